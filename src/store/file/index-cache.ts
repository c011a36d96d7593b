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

// `claims.index.jsonl` is a cache of the state at one offset of the log: a header line, a table that says where each bucket lies, then the
// keys in buckets by hash, one bucket for sessions and one for all `path:` keys, so that a command about one key reads one small bucket. A
// bucket is an array in JSON with a line for each key. Wrong or missing, the index is ignored and made anew.

const version = 4
const sessionBucket = 0
const pathBucket = 1
const firstHashBucket = 2

/** Of these a bucket has about so many, whatever there is of them: a command about one key checks all of a bucket. */
const keysPerBucket = 20
const [fewestBuckets, mostBuckets] = [16, 4096]

const isBucketCount = (count: unknown): boolean => Number.isInteger(count) && Number(count) >= fewestBuckets && Number(count) <= mostBuckets

/** How many buckets by hash suit so many keys: a power of two. */
function hashBucketsFor(keys: number): number {
  let count = fewestBuckets
  while (count < mostBuckets && count * keysPerBucket < keys) count *= 2
  return count
}

/**
 * Up to this much log in front of the index is kept in it once more and compared, so that damage anywhere in it is seen at once. Comparing is
 * the kernel of the C library and takes microseconds; any digest of so much takes a fresh process milliseconds.
 */
export const copiedBytes = 262_144

/** Where a bucket lies among the buckets, and its fingerprint. */
export interface Bucket {
  readonly offset: number
  readonly length: number
  readonly print: number
}

/** The three of them, 32 bits each. */
const entryBytes = 12

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
  /** Buckets by hash; two more come before them. */
  readonly hashBuckets: number
}

/** An index whose header and table were checked; its buckets are, when they are read. */
export interface Index {
  readonly header: IndexHeader
  readonly table: DataView
  readonly bytes: Buffer
  readonly bodyAt: number
  /** The log up to the index's offset as it was, or null when it is not kept. */
  readonly log: Buffer | null
}

/** Reads the header and the table of an index, which end before `limit`; null when they are not what was written. */
export function parseHeader(bytes: Buffer, limit = bytes.length): Index | null {
  const end = bytes.subarray(0, limit).indexOf(0x0a)
  const headerAt = noPrint.length + 1
  if (end < headerAt) return null
  try {
    const { v, ...header } = JSON.parse(bytes.toString('utf8', headerAt, end))
    if (v !== version || !isBucketCount(header.hashBuckets)) return null
    const bodyAt = end + 1 + (firstHashBucket + header.hashBuckets) * entryBytes
    const print = bytes.toString('utf8', 0, noPrint.length)
    if (bodyAt > limit || print !== hex(fingerprint(bytes.subarray(headerAt, bodyAt)))) return null
    const table = new DataView(bytes.buffer, bytes.byteOffset + end + 1, bodyAt - end - 1)
    const index = { header, table, bytes, bodyAt, log: null }
    if (!header.copied) return index
    const last = bucketAt(index, firstHashBucket + header.hashBuckets - 1)
    const bodyEnd = bodyAt + last.offset + last.length
    return { ...index, log: bytes.subarray(bodyEnd, bodyEnd + header.offset) }
  } catch {
    return null
  }
}

/** Reads an index whose every byte is what was written, or null. */
export function parseIndex(bytes: Buffer): Index | null {
  const index = parseHeader(bytes)
  if (index === null) return null
  for (let at = 0; at < bucketCountOf(index); at++) if (!isIntact(index, bucketAt(index, at))) return null
  return index
}

const bucketCountOf = ({ header }: Index): number => firstHashBucket + header.hashBuckets

const bucketAt = ({ table }: Pick<Index, 'table'>, at: number): Bucket => ({
  offset: table.getUint32(at * entryBytes, true),
  length: table.getUint32(at * entryBytes + 4, true),
  print: table.getUint32(at * entryBytes + 8, true),
})

function isIntact({ bytes, bodyAt }: Index, { offset, length, print }: Bucket): boolean {
  const start = bodyAt + offset
  return start + length <= bytes.length && fingerprint(bytes.subarray(start, start + length)) === print
}

const noPrint = '00000000'

const hex = (value: number): string => value.toString(16).padStart(8, '0')

/** Which bucket a key is in: FNV-1a over its UTF-16 units. */
function bucketOf(resource: string, hashBuckets: number): number {
  if (isPath(resource)) return pathBucket
  if (resource.startsWith(sessionKeyPrefix)) return sessionBucket
  let hash = 0x811c9dc5
  for (let i = 0; i < resource.length; i++) hash = Math.imul(hash ^ resource.charCodeAt(i), 0x01000193)
  return firstHashBucket + ((hash >>> 0) % hashBuckets)
}

/** Where an index keeps what it knows of these keys. */
export const bucketsOf = (index: Index, keys: readonly string[]): readonly Bucket[] =>
  [...new Set(keys.map(key => bucketOf(key, index.header.hashBuckets)))].map(at => bucketAt(index, at))

/** What `encodeIndex` is told; the rest of a header is the state's. */
type Described = Omit<IndexHeader, 'copied' | 'clocks' | 'leases' | 'pasts' | 'indefinite' | 'hashBuckets'>

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
  #foldedBuckets: ReadonlyMap<number, readonly KeySlot[]> | null = null
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

  /** Was a bucket found damaged? Then the index has to be made anew, or each command about it folds the log once more. */
  get isDamaged(): boolean {
    return this.#folded !== null
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
    const { bytes, bodyAt } = this.#index
    const found = bytes.indexOf(`"lease_id":${JSON.stringify(leaseId)},"state"`, bodyAt)
    const bucket = found < 0 ? null : this.#bucketAround(found)
    const sound = bucket === null ? this.#all.every(at => this.#isIntact(at)) : this.#isIntact(bucket)
    if (!sound) return this.#fold().byLeaseId(leaseId)?.resource ?? null
    if (bucket === null) return null
    return parseSlot(bytes, bytes.lastIndexOf(keyMember, found)).resource
  }

  /** The bucket that this byte of the index is in; null when it is behind them. */
  #bucketAround(byte: number): number | null {
    const from = byte - this.#index.bodyAt
    const found = this.#all.find(at => {
      const { offset, length } = bucketAt(this.#index, at)
      return from < offset + length
    })
    return found ?? null
  }

  get #all(): readonly number[] {
    return Array.from({ length: bucketCountOf(this.#index) }, (_, at) => at)
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
    for (const at of this.#all)
      for (const { resource, slot } of this.#bucketSlots(at)) leases.push(later.delete(resource) ? this.slot(resource).lease : slot.lease)
    for (const resource of later) leases.push(this.slot(resource).lease)
    return leases.filter(lease => lease !== null)
  }

  indefinite(): readonly Indefinite[] {
    const keys = new Set(this.#index.header.indefinite.map(({ resource }) => resource))
    // The header names one key of each ownership. A record may take that one out of it and leave the others.
    for (const { operation } of this.#entries) for (const resource of touches(operation) ?? []) keys.add(resource)
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
    for (const at of this.#all) for (const { resource, slot } of this.#bucketSlots(at)) state.put(resource, slot)
    for (const entry of this.#entries) state.apply(entry)
    return state
  }

  /** An index of this state, in pieces. Buckets that no record touched are copied as they are. `log`: as for `encodeIndex`. */
  encode(described: Described, log: Buffer | null): readonly Uint8Array[] {
    const touched = this.#touched()
    const { hashBuckets } = this.#index.header
    let { leases, pasts } = this.#index.header
    const bodies: Body[] = []
    for (const [at, keys] of [...(touched ?? [])].toSorted(([a], [b]) => a - b)) {
      const slots = new Map(this.#bucketSlots(at).map(({ resource, slot }) => [resource, slot]))
      for (const resource of keys) {
        const before = slots.get(resource) ?? emptySlot
        const after = this.slot(resource)
        leases += Number(after.lease !== null) - Number(before.lease !== null)
        pasts += Number(after.past !== null) - Number(before.past !== null)
        if (after.lease === null && after.past === null && after.session === null) slots.delete(resource)
        else slots.set(resource, after)
      }
      bodies.push(
        bodyOf(
          at,
          [...slots].map(([resource, slot]) => encodeSlot(resource, slot)),
        ),
      )
    }
    const suited = hashBucketsFor(leases + pasts)
    const isOff = suited > 2 * hashBuckets || suited < hashBuckets / 2
    if (touched === null || this.#folded !== null || pasts > maxPastsCopied || isOff) return encodeIndex(this.complete(), described, log)
    const header = { ...described, copied: log !== null, clocks: this.clocks, leases, pasts, indefinite: this.indefinite(), hashBuckets }
    return assemble(header, bodies, this.#index, log)
  }

  /** Keys that records after the index touch, by bucket; null when one touches all there are. */
  #touched(): Map<number, Set<string>> | null {
    const keys = new Map<number, Set<string>>()
    for (const { operation } of this.#entries) {
      const touched = touches(operation)
      if (touched === null) return null
      for (const resource of touched) {
        const at = bucketOf(resource, this.#index.header.hashBuckets)
        keys.set(at, (keys.get(at) ?? new Set()).add(resource))
      }
    }
    return keys
  }

  #lookUp(resource: string): Slot {
    const at = bucketOf(resource, this.#index.header.hashBuckets)
    if (!this.#isIntact(at)) return this.#fold().slot(resource)
    // As most are where few things are leased, while a list asks about thousands.
    if (bucketAt(this.#index, at).length === 0) return emptySlot
    const bytes = this.#bytesOf(at)
    // A match inside a line is impossible: within a line every quote of a user's text is escaped.
    const found = bytes.indexOf(linePrefix(resource))
    return found < 0 ? emptySlot : parseSlot(bytes, found).slot
  }

  #bucketSlots(at: number): readonly KeySlot[] {
    if (!this.#isIntact(at)) return this.#foldedSlots().get(at) ?? []
    // One parse for all: a process that lives for one command does nothing faster than what is not its own code.
    const text = this.#bytesOf(at).toString('utf8')
    return text === '' ? [] : (JSON.parse(text) as unknown[]).map(slotFromStored)
  }

  #bytesOf(at: number): Buffer {
    const { offset, length } = bucketAt(this.#index, at)
    return this.#index.bytes.subarray(this.#index.bodyAt + offset, this.#index.bodyAt + offset + length)
  }

  #isIntact(at: number): boolean {
    const known = this.#intact.get(at)
    if (known !== undefined) return known
    const intact = isIntact(this.#index, bucketAt(this.#index, at))
    this.#intact.set(at, intact)
    return intact
  }

  #fold(): FullState {
    this.#folded ??= this.#refold()
    return this.#folded
  }

  /** What the damaged buckets should have said, by bucket: divided once, for there may be thousands of them. */
  #foldedSlots(): ReadonlyMap<number, readonly KeySlot[]> {
    if (this.#foldedBuckets !== null) return this.#foldedBuckets
    const folded = this.#fold()
    const buckets = new Map<number, KeySlot[]>()
    for (const resource of keysOf(folded)) {
      const at = bucketOf(resource, this.#index.header.hashBuckets)
      const slots = buckets.get(at) ?? []
      slots.push({ resource, slot: folded.slot(resource) })
      buckets.set(at, slots)
    }
    this.#foldedBuckets = buckets
    return buckets
  }
}

/** How each line of a bucket begins; within a user's text its quotes would be escaped. */
const keyMember = '{"key":'
const linePrefix = (resource: string): string => `${keyMember}${JSON.stringify(resource)},`

interface KeySlot {
  readonly resource: string
  readonly slot: Slot
}

/** The line that begins here, without what joins it to the next. */
const parseSlot = (bytes: Buffer, start: number): KeySlot =>
  slotFromStored(JSON.parse(bytes.toString('utf8', start, bytes.indexOf(0x0a, start) - 1)))

const slotFromStored = ({ key, lease, past, session }: ReturnType<typeof JSON.parse>): KeySlot => ({
  resource: key,
  slot: {
    lease: lease === null ? null : leaseFromStored(lease),
    past: past === null ? null : pastFromStored(past),
    session: session === undefined ? null : sessionFromWire(session),
  },
})

const encodeSlot = (resource: string, { lease, past, session }: Slot): string =>
  `${linePrefix(resource)}"lease":${JSON.stringify(lease === null ? null : leaseToStored(lease))},"past":${JSON.stringify(past === null ? null : pastToStored(past))}${session === null ? '' : `,"session":${JSON.stringify(sessionToWire(session))}`}}`

/** Every key that a state says something of. */
function keysOf(state: FullState): Set<string> {
  const keys = new Set<string>()
  for (const { resource } of state.leases()) keys.add(resource)
  for (const { resource } of state.pasts()) keys.add(resource)
  for (const { sessionId } of state.sessions()) keys.add(sessionKey(sessionId))
  return keys
}

/** What a bucket is to hold, and its fingerprint. */
interface Body {
  readonly at: number
  readonly bytes: Uint8Array
  readonly print: number
}

function bodyOf(at: number, lines: readonly string[]): Body {
  const bytes = Buffer.from(lines.length === 0 ? '' : `[${lines.join(',\n')}]\n`)
  return { at, bytes, print: fingerprint(bytes) }
}

/** The index of `state`, in pieces; `log` is what it covers, or null when that is too much to keep. */
export function encodeIndex(state: FullState, described: Described, log: Buffer | null): readonly Uint8Array[] {
  const keys = keysOf(state)
  const hashBuckets = hashBucketsFor(keys.size)
  const lines: string[][] = Array.from({ length: firstHashBucket + hashBuckets }, () => [])
  let [leases, pasts] = [0, 0]
  for (const resource of keys) {
    const slot = state.slot(resource)
    lines[bucketOf(resource, hashBuckets)]!.push(encodeSlot(resource, slot))
    leases += Number(slot.lease !== null)
    pasts += Number(slot.past !== null)
  }
  const bodies = lines.map((each, at) => bodyOf(at, each))
  const header = { ...described, copied: log !== null, clocks: state.clocks, leases, pasts, indefinite: state.indefinite(), hashBuckets }
  return assemble(header, bodies, null, log)
}

/** `bodies` in the order of their buckets; what they do not have comes from the index `before`, in as few pieces as there are gaps. */
function assemble(header: IndexHeader, bodies: readonly Body[], before: Index | null, log: Buffer | null): readonly Uint8Array[] {
  const count = firstHashBucket + header.hashBuckets
  const tableBytes = Buffer.alloc(count * entryBytes)
  const table = new DataView(tableBytes.buffer, tableBytes.byteOffset, tableBytes.length)
  const pieces: Uint8Array[] = []
  let [at, end] = [0, 0]
  const note = (length: number, print: number): void => {
    table.setUint32(at * entryBytes, end, true)
    table.setUint32(at * entryBytes + 4, length, true)
    table.setUint32(at * entryBytes + 8, print, true)
    at++
    end += length
  }
  const copyUntil = (index: Index, stop: number): void => {
    if (at === stop) return
    const begin = index.bodyAt + bucketAt(index, at).offset
    const before = end
    for (let from = at; from < stop; from++) {
      const { length, print } = bucketAt(index, from)
      note(length, print)
    }
    pieces.push(index.bytes.subarray(begin, begin + end - before))
  }
  for (const body of bodies) {
    if (before !== null) copyUntil(before, body.at)
    note(body.bytes.length, body.print)
    pieces.push(body.bytes)
  }
  if (before !== null) copyUntil(before, count)
  const start = Buffer.concat([Buffer.from(`${noPrint} ${JSON.stringify({ v: version, ...header })}\n`), tableBytes])
  start.write(hex(fingerprint(start.subarray(noPrint.length + 1))))
  // Each piece is a call of the system.
  const body = before === null ? [Buffer.concat(pieces)] : pieces
  return log === null ? [start, ...body] : [start, ...body, log]
}
