import { evolve } from '../../core/evolve.ts'
import type { Lease, Slot } from '../../core/lease.ts'
import { emptySlot } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { touches } from '../../core/operation.ts'
import { isPath } from '../../core/resource.ts'
import { leaseFromStored, leaseToStored, pastFromStored, pastToStored } from '../../core/wire.ts'
import type { Clocks, Indefinite, State } from '../state.ts'
import { FullState, tick } from '../state.ts'
import { eachLine, fingerprint } from './record.ts'
import type { Position } from './segment.ts'

// `claims.index.jsonl` is a cache of the state at one offset of the log: a header line, then one line for each key, in 64 buckets by
// hash and one for all `path:` keys, so that a command about one key reads one bucket. Wrong or missing, it is ignored and made anew.

const version = 1
const hashBuckets = 64
const pathBucket = hashBuckets
const bucketCount = hashBuckets + 1

/** Up to this much log in front of the index is compared with its fingerprint, so that damage anywhere in it is seen at once. */
export const fingerprintedBytes = 2_097_152

interface Bucket {
  readonly offset: number
  readonly length: number
  readonly print: number
}

/** What the header line says. */
export interface IndexHeader {
  /** Bytes of the log that the index covers. */
  readonly offset: number
  readonly position: Position
  /** Of those bytes, or null when they were too many. */
  readonly print: number | null
  readonly checkpointBytes: number
  readonly clocks: Clocks
  readonly leases: number
  readonly indefinite: readonly Indefinite[]
  readonly space: string
}

/** An index whose every byte was checked. */
export interface Index {
  readonly header: IndexHeader
  readonly buckets: readonly Bucket[]
  readonly bytes: Buffer
  readonly bodyAt: number
}

/** Reads an index file's bytes; null when any of them is not what was written: an absence in a doubtful index must never mean "free". */
export function parseIndex(bytes: Buffer): Index | null {
  const end = bytes.indexOf(0x0a)
  if (end < 10) return null
  const print = bytes.toString('latin1', 0, 8)
  const headerBytes = bytes.subarray(9, end)
  if (print !== hex(fingerprint(headerBytes))) return null
  try {
    const { v, buckets, ...rest } = JSON.parse(headerBytes.toString('utf8'))
    if (v !== version || buckets.length !== bucketCount) return null
    const list = buckets.map(([offset, length, bucketPrint]: [number, number, number]) => ({ offset, length, print: bucketPrint }))
    if (!list.every((bucket: Bucket) => isIntact(bytes, end + 1, bucket))) return null
    return { header: rest, buckets: list, bytes, bodyAt: end + 1 }
  } catch {
    return null
  }
}

function isIntact(bytes: Buffer, bodyAt: number, { offset, length, print }: Bucket): boolean {
  const start = bodyAt + offset
  return start + length <= bytes.length && fingerprint(bytes.subarray(start, start + length)) === print
}

const hex = (value: number): string => value.toString(16).padStart(8, '0')

/** Which bucket a key is in: FNV-1a over its UTF-16 units. */
function bucketOf(resource: string): number {
  if (isPath(resource)) return pathBucket
  let hash = 0x811c9dc5
  for (let i = 0; i < resource.length; i++) hash = Math.imul(hash ^ resource.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % hashBuckets
}

/** The state of the log, looked up in the index and carried forward by the records after it. */
export class IndexedState implements State {
  lastSeq: number
  clocks: Clocks
  readonly #index: Index
  /** Every key that was looked at, carried forward. */
  readonly #slots = new Map<string, Slot>()
  readonly #entries: Entry[] = []

  constructor(index: Index) {
    this.#index = index
    this.lastSeq = index.header.position.seq
    this.clocks = index.header.clocks
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
    const { bytes, bodyAt } = this.#index
    const found = bytes.indexOf(`"lease_id":${JSON.stringify(leaseId)},"state"`, bodyAt)
    if (found < 0) return null
    const start = bytes.lastIndexOf(0x0a, found) + 1
    const lease = this.slot(parseSlot(bytes, start, bytes.indexOf(0x0a, found)).resource).lease
    return lease?.leaseId === leaseId ? lease : null
  }

  *paths(): Generator<Lease> {
    const keys = new Set(this.#bucketSlots(pathBucket).map(({ resource }) => resource))
    for (const { operation } of this.#entries) for (const resource of touches(operation) ?? []) if (isPath(resource)) keys.add(resource)
    for (const resource of keys) {
      const { lease } = this.slot(resource)
      if (lease !== null) yield lease
    }
  }

  leases(): Iterable<Lease> {
    return this.complete().leases()
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

  #lookUp(resource: string): Slot {
    const { start, end } = this.#bucket(bucketOf(resource))
    const { bytes } = this.#index
    const wanted = Buffer.from(linePrefix(resource))
    // A match inside a line is impossible: within a line every quote of a user's text is escaped.
    const found = bytes.subarray(start, end).indexOf(wanted)
    return found < 0 ? emptySlot : parseSlot(bytes, start + found, bytes.indexOf(0x0a, start + found)).slot
  }

  #bucketSlots(bucket: number): readonly { readonly resource: string; readonly slot: Slot }[] {
    const { start, end } = this.#bucket(bucket)
    const slots: { resource: string; slot: Slot }[] = []
    eachLine(this.#index.bytes.subarray(0, end), start, (from, to) => {
      slots.push(parseSlot(this.#index.bytes, from, to))
      return true
    })
    return slots
  }

  #bucket(bucket: number): { readonly start: number; readonly end: number } {
    const { offset, length } = this.#index.buckets[bucket]!
    const start = this.#index.bodyAt + offset
    return { start, end: start + length }
  }
}

const linePrefix = (resource: string): string => `{"key":${JSON.stringify(resource)},`

function parseSlot(bytes: Buffer, start: number, end: number): { readonly resource: string; readonly slot: Slot } {
  const { key, lease, past } = JSON.parse(bytes.toString('utf8', start, end))
  return {
    resource: key,
    slot: { lease: lease === null ? null : leaseFromStored(lease), past: past === null ? null : pastFromStored(past) },
  }
}

const encodeSlot = (resource: string, { lease, past }: Slot): string =>
  `${linePrefix(resource)}"lease":${JSON.stringify(lease === null ? null : leaseToStored(lease))},"past":${JSON.stringify(past === null ? null : pastToStored(past))}}\n`

/** The bytes of an index of `state`. */
export function encodeIndex(state: FullState, header: Omit<IndexHeader, 'clocks' | 'leases' | 'indefinite'>): Buffer {
  const lines: string[][] = Array.from({ length: bucketCount }, () => [])
  const keys = new Set<string>()
  let leases = 0
  for (const { resource } of state.leases()) {
    keys.add(resource)
    leases++
  }
  for (const { resource } of state.pasts()) keys.add(resource)
  for (const resource of keys) lines[bucketOf(resource)]!.push(encodeSlot(resource, state.slot(resource)))
  const bodies = lines.map(bucket => Buffer.from(bucket.join('')))
  let offset = 0
  const buckets = bodies.map(body => {
    const entry = [offset, body.length, fingerprint(body)]
    offset += body.length
    return entry
  })
  const full: IndexHeader & { v: number; buckets: number[][] } = {
    v: version,
    ...header,
    clocks: state.clocks,
    leases,
    indefinite: state.indefinite(),
    buckets,
  }
  const headerBytes = Buffer.from(JSON.stringify(full))
  return Buffer.concat([Buffer.from(`${hex(fingerprint(headerBytes))} `), headerBytes, Buffer.from('\n'), ...bodies])
}
