import { evolve } from '../../core/evolve.ts'
import type { Lease, Slot } from '../../core/lease.ts'
import { emptySlot } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { touches } from '../../core/operation.ts'
import { isPath } from '../../core/resource.ts'
import { sessionKey, sessionKeyPrefix } from '../../core/session.ts'
import type { Session } from '../../core/session.ts'
import { leaseFromStored, leaseToStored, pastFromStored, pastToStored, sessionFromWire, sessionToWire } from '../../core/wire.ts'
import type { Clocks, Indefinite, State } from '../state.ts'
import { FullState, tick } from '../state.ts'
import { fingerprint } from './fingerprint.ts'
import type { Position } from './segment.ts'

// `claims.index.jsonl` is a cache of the state at one offset of the log: a header line, then one line for each key, in 64 buckets by
// hash, one for all `path:` keys and one for sessions, so that a command about one key reads one bucket. Wrong or missing, it is ignored and made anew.

const version = 3
const hashBuckets = 64
const pathBucket = hashBuckets
const sessionBucket = hashBuckets + 1
const bucketCount = hashBuckets + 2

/**
 * Up to this much log in front of the index is kept in it once more and compared, so that damage anywhere in it is seen at once. Comparing is
 * the kernel of the C library and takes microseconds; any digest of so much takes a fresh process milliseconds.
 */
export const copiedBytes = 262_144

export interface Bucket {
  readonly offset: number
  readonly length: number
  readonly print: number
}

/** What the header line says. */
export interface IndexHeader {
  /** Bytes of the log that the index covers. */
  readonly offset: number
  readonly position: Position
  /** Those bytes follow the buckets; not when they are too many. */
  readonly copied: boolean
  readonly checkpointBytes: number
  readonly clocks: Clocks
  readonly leases: number
  readonly pasts: number
  readonly indefinite: readonly Indefinite[]
  readonly space: string
}

/** An index whose header was checked; its buckets are, when they are read. */
export interface Index {
  readonly header: IndexHeader
  readonly buckets: readonly Bucket[]
  readonly bytes: Buffer
  readonly bodyAt: number
  /** The log up to the index's offset as it was, or null when it is not kept. */
  readonly log: Buffer | null
}

/** Reads the header of an index, which ends before `limit`; null when it is not what was written. */
export function parseHeader(bytes: Buffer, limit = bytes.length): Index | null {
  const end = bytes.subarray(0, limit).indexOf(0x0a)
  if (end < 10) return null
  const print = bytes.toString('latin1', 0, 8)
  const headerBytes = bytes.subarray(9, end)
  if (print !== hex(fingerprint(headerBytes))) return null
  try {
    const { v, buckets, ...rest } = JSON.parse(headerBytes.toString('utf8'))
    if (v !== version || buckets.length !== bucketCount) return null
    const list = buckets.map(([offset, length, bucketPrint]: [number, number, number]) => ({ offset, length, print: bucketPrint }))
    const bodyEnd = list.reduce((at: number, { length }: Bucket) => at + length, end + 1)
    return { header: rest, buckets: list, bytes, bodyAt: end + 1, log: rest.copied ? bytes.subarray(bodyEnd, bodyEnd + rest.offset) : null }
  } catch {
    return null
  }
}

/** Reads an index whose every byte is what was written, or null. */
export function parseIndex(bytes: Buffer): Index | null {
  const index = parseHeader(bytes)
  return index?.buckets.every(bucket => isIntact(index, bucket)) === true ? index : null
}

function isIntact({ bytes, bodyAt }: Index, { offset, length, print }: Bucket): boolean {
  const start = bodyAt + offset
  return start + length <= bytes.length && fingerprint(bytes.subarray(start, start + length)) === print
}

const hex = (value: number): string => value.toString(16).padStart(8, '0')

/** Which bucket a key is in: FNV-1a over its UTF-16 units. */
function bucketOf(resource: string): number {
  if (isPath(resource)) return pathBucket
  if (resource.startsWith(sessionKeyPrefix)) return sessionBucket
  let hash = 0x811c9dc5
  for (let i = 0; i < resource.length; i++) hash = Math.imul(hash ^ resource.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % hashBuckets
}

/** Where an index keeps what it knows of these keys. */
export const bucketsOf = ({ buckets }: Index, keys: readonly string[]): readonly Bucket[] =>
  [...new Set(keys.map(bucketOf))].map(at => buckets[at]!)

/** What `encodeIndex` is told; the rest of a header is the state's. */
type Described = Omit<IndexHeader, 'copied' | 'clocks' | 'leases' | 'pasts' | 'indefinite'>

/** With more ended ownerships than this, some have to be forgotten, which takes all of the state. */
export const maxPastsCopied = 11_000

const neverDamaged = (): FullState => {
  throw new Error('an index that was checked as a whole is damaged')
}

/**
 * The state of the log, looked up in the index and carried forward by the records after it. A bucket is checked when it is first read: an
 * absence in a doubtful one must never mean "free", so then the log is folded up to where the index stands (`refold`).
 */
export class IndexedState implements State {
  lastSeq: number
  clocks: Clocks
  readonly #index: Index
  readonly #refold: () => FullState
  readonly #intact = new Map<number, boolean>()
  /** The state at the index's position, once a bucket was found damaged. */
  #folded: FullState | null = null
  /** Every key that was looked at, carried forward. */
  readonly #slots = new Map<string, Slot>()
  readonly #entries: Entry[] = []
  /** All leases, once somebody asked: one command asks several times. */
  #leases: readonly Lease[] | null = null

  constructor(index: Index, refold: () => FullState = neverDamaged) {
    this.#index = index
    this.#refold = refold
    this.lastSeq = index.header.position.seq
    this.clocks = index.header.clocks
  }

  /** Size of the index: leases and ended ownerships in it. */
  get indexedKeys(): number {
    const { leases, pasts } = this.#index.header
    return leases + pasts
  }

  slot(resource: string): Slot {
    const known = this.#slots.get(resource)
    if (known !== undefined) return known
    let slot = this.#lookUp(resource)
    for (const entry of this.#entries) {
      const touched = touches(entry.operation)
      if (touched === null || touched.includes(resource)) slot = evolve(slot, entry, resource)
    }
    this.#slots.set(resource, slot)
    return slot
  }

  apply(entry: Entry): void {
    this.lastSeq = entry.seq
    this.clocks = tick(this.clocks, entry.clk)
    this.#entries.push(entry)
    this.#leases = null
    for (const resource of touches(entry.operation) ?? [...this.#slots.keys()]) {
      const slot = this.#slots.get(resource)
      if (slot !== undefined) this.#slots.set(resource, evolve(slot, entry, resource))
    }
  }

  byLeaseId(leaseId: string): Lease | null {
    for (const { operation } of this.#entries) {
      const at = 'leaseIds' in operation ? operation.leaseIds.indexOf(leaseId) : -1
      const lease = at >= 0 && 'resources' in operation ? this.slot(operation.resources[at]!).lease : null
      if (lease?.leaseId === leaseId) return lease
    }
    const resource = this.#resourceOf(leaseId)
    const lease = resource === null ? null : this.slot(resource).lease
    return lease?.leaseId === leaseId ? lease : null
  }

  /** The key of a lease in the index. */
  #resourceOf(leaseId: string): string | null {
    const { bytes, bodyAt, buckets } = this.#index
    const found = bytes.indexOf(`"lease_id":${JSON.stringify(leaseId)},"state"`, bodyAt)
    const bucket = found < 0 ? -1 : buckets.findIndex(({ offset, length }) => found < bodyAt + offset + length)
    const sound = bucket < 0 ? buckets.every((_, at) => this.#isIntact(at)) : this.#isIntact(bucket)
    if (!sound) return this.#fold().byLeaseId(leaseId)?.resource ?? null
    return bucket < 0 ? null : parseSlot(bytes, bytes.lastIndexOf(0x0a, found) + 1, bytes.indexOf(0x0a, found)).resource
  }

  *paths(): Generator<Lease> {
    const keys = new Set(this.#bucketSlots(pathBucket).map(({ resource }) => resource))
    for (const { operation } of this.#entries) for (const resource of touches(operation) ?? []) if (isPath(resource)) keys.add(resource)
    for (const resource of keys) {
      const { lease } = this.slot(resource)
      if (lease !== null) yield lease
    }
  }

  *sessions(): Generator<Session> {
    const keys = new Set(this.#bucketSlots(sessionBucket).map(({ resource }) => resource))
    for (const { operation } of this.#entries)
      if ('sessions' in operation) for (const { sessionId } of operation.sessions ?? []) keys.add(sessionKey(sessionId))
    for (const resource of keys) {
      const { session } = this.slot(resource)
      if (session !== null) yield session
    }
  }

  leases(): Iterable<Lease> {
    this.#leases ??= this.#allLeases()
    return this.#leases
  }

  #allLeases(): readonly Lease[] {
    const touched = this.#touched()
    if (touched === null || this.#folded !== null) return [...this.complete().leases()]
    const later = new Set([...touched.values()].flatMap(keys => [...keys]))
    const leases: (Lease | null)[] = []
    for (let at = 0; at < bucketCount; at++)
      for (const { resource, slot } of this.#bucketSlots(at)) leases.push(later.delete(resource) ? this.slot(resource).lease : slot.lease)
    for (const resource of later) leases.push(this.slot(resource).lease)
    return leases.filter(lease => lease !== null)
  }

  indefinite(): readonly Indefinite[] {
    const keys = new Set(this.#index.header.indefinite.map(({ resource }) => resource))
    for (const { operation } of this.#entries) {
      if ('ttlSecs' in operation && operation.ttlSecs === 0) for (const resource of operation.resources) keys.add(resource)
    }
    const ownerships = new Map<number, Indefinite>()
    for (const resource of keys) {
      const { lease } = this.slot(resource)
      if (lease?.ttlSecs === 0 && !ownerships.has(lease.token)) {
        ownerships.set(lease.token, { token: lease.token, agentId: lease.holder.agentId, resource })
      }
    }
    return [...ownerships.values()]
  }

  /** Everything, in memory. */
  complete(): FullState {
    const { header } = this.#index
    const state = new FullState(header.position.seq, header.clocks)
    for (let bucket = 0; bucket < bucketCount; bucket++)
      for (const { resource, slot } of this.#bucketSlots(bucket)) state.put(resource, slot)
    for (const entry of this.#entries) state.apply(entry)
    return state
  }

  /** The bytes of an index of this state. A bucket that no record touched is copied as it is. `log`: as for `encodeIndex`. */
  encode(described: Described, log: Buffer | null): Buffer {
    const touched = this.#touched()
    let { leases, pasts } = this.#index.header
    const bodies = this.#index.buckets.map((bucket, at): Body => {
      const keys = touched?.get(at)
      if (keys === undefined) return { bytes: this.#bytesOf(at), print: bucket.print }
      const slots = new Map(this.#bucketSlots(at).map(({ resource, slot }) => [resource, slot]))
      for (const resource of keys) {
        const before = slots.get(resource) ?? emptySlot
        const after = this.slot(resource)
        leases += Number(after.lease !== null) - Number(before.lease !== null)
        pasts += Number(after.past !== null) - Number(before.past !== null)
        if (after.lease === null && after.past === null && after.session === null) slots.delete(resource)
        else slots.set(resource, after)
      }
      return bodyOf([...slots].map(([resource, slot]) => encodeSlot(resource, slot)))
    })
    if (touched === null || this.#folded !== null || pasts > maxPastsCopied) return encodeIndex(this.complete(), described, log)
    return assemble({ ...described, copied: log !== null, clocks: this.clocks, leases, pasts, indefinite: this.indefinite() }, bodies, log)
  }

  /** Keys that records after the index touch, by bucket; null when one touches all there are. */
  #touched(): Map<number, Set<string>> | null {
    const keys = new Map<number, Set<string>>()
    for (const { operation } of this.#entries) {
      const touched = touches(operation)
      if (touched === null) return null
      for (const resource of touched) {
        const at = bucketOf(resource)
        keys.set(at, (keys.get(at) ?? new Set()).add(resource))
      }
    }
    return keys
  }

  #lookUp(resource: string): Slot {
    const at = bucketOf(resource)
    if (!this.#isIntact(at)) return this.#fold().slot(resource)
    // As most are where few things are leased, while a list asks about thousands.
    if (this.#index.buckets[at]!.length === 0) return emptySlot
    const bytes = this.#bytesOf(at)
    // A match inside a line is impossible: within a line every quote of a user's text is escaped.
    const found = bytes.indexOf(linePrefix(resource))
    return found < 0 ? emptySlot : parseSlot(bytes, found, bytes.indexOf(0x0a, found)).slot
  }

  #bucketSlots(at: number): readonly KeySlot[] {
    if (!this.#isIntact(at))
      return [...keysOf(this.#fold())].filter(key => bucketOf(key) === at).map(key => ({ resource: key, slot: this.#fold().slot(key) }))
    // One text and one parse for all: a process that lives for one command does nothing faster than what is not its own code.
    const lines = this.#bytesOf(at).toString('utf8').slice(0, -1).replaceAll('\n', ',')
    return (JSON.parse(`[${lines}]`) as unknown[]).map(slotFromStored)
  }

  #bytesOf(at: number): Buffer {
    const { offset, length } = this.#index.buckets[at]!
    return this.#index.bytes.subarray(this.#index.bodyAt + offset, this.#index.bodyAt + offset + length)
  }

  #isIntact(at: number): boolean {
    const known = this.#intact.get(at)
    if (known !== undefined) return known
    const intact = isIntact(this.#index, this.#index.buckets[at]!)
    this.#intact.set(at, intact)
    return intact
  }

  #fold(): FullState {
    this.#folded ??= this.#refold()
    return this.#folded
  }
}

const linePrefix = (resource: string): string => `{"key":${JSON.stringify(resource)},`

interface KeySlot {
  readonly resource: string
  readonly slot: Slot
}

const parseSlot = (bytes: Buffer, start: number, end: number): KeySlot => slotFromStored(JSON.parse(bytes.toString('utf8', start, end)))

const slotFromStored = ({ key, lease, past, session }: ReturnType<typeof JSON.parse>): KeySlot => ({
  resource: key,
  slot: {
    lease: lease === null ? null : leaseFromStored(lease),
    past: past === null ? null : pastFromStored(past),
    session: session === undefined ? null : sessionFromWire(session),
  },
})

const encodeSlot = (resource: string, { lease, past, session }: Slot): string =>
  `${linePrefix(resource)}"lease":${JSON.stringify(lease === null ? null : leaseToStored(lease))},"past":${JSON.stringify(past === null ? null : pastToStored(past))}${session === null ? '' : `,"session":${JSON.stringify(sessionToWire(session))}`}}\n`

/** Every key that a state says something of. */
function keysOf(state: FullState): Set<string> {
  const keys = new Set<string>()
  for (const { resource } of state.leases()) keys.add(resource)
  for (const { resource } of state.pasts()) keys.add(resource)
  for (const { sessionId } of state.sessions()) keys.add(sessionKey(sessionId))
  return keys
}

/** A bucket's bytes and their fingerprint. */
interface Body {
  readonly bytes: Buffer
  readonly print: number
}

function bodyOf(lines: readonly string[]): Body {
  const bytes = Buffer.from(lines.join(''))
  return { bytes, print: fingerprint(bytes) }
}

/** The bytes of an index of `state`; `log` is what it covers, or null when that is too much to keep. */
export function encodeIndex(state: FullState, described: Described, log: Buffer | null): Buffer {
  const lines: string[][] = Array.from({ length: bucketCount }, () => [])
  let [leases, pasts] = [0, 0]
  for (const resource of keysOf(state)) {
    const slot = state.slot(resource)
    lines[bucketOf(resource)]!.push(encodeSlot(resource, slot))
    leases += Number(slot.lease !== null)
    pasts += Number(slot.past !== null)
  }
  const header = { ...described, copied: log !== null, clocks: state.clocks, leases, pasts, indefinite: state.indefinite() }
  return assemble(header, lines.map(bodyOf), log)
}

function assemble(header: IndexHeader, bodies: readonly Body[], log: Buffer | null): Buffer {
  let offset = 0
  const buckets = bodies.map(({ bytes, print }) => {
    const entry = [offset, bytes.length, print]
    offset += bytes.length
    return entry
  })
  const headerBytes = Buffer.from(JSON.stringify({ v: version, ...header, buckets }))
  const pieces = [Buffer.from(`${hex(fingerprint(headerBytes))} `), headerBytes, Buffer.from('\n'), ...bodies.map(({ bytes }) => bytes)]
  return Buffer.concat(log === null ? pieces : [...pieces, log])
}
