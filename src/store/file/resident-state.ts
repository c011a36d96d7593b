import { evolve } from '../../core/evolve.ts'
import type { Lease, Slot } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { schemaVersion, touches } from '../../core/operation.ts'
import { isPath } from '../../core/resource.ts'
import type { Session } from '../../core/session.ts'
import { entryFromWire } from '../../core/wire.ts'
import type { Clocks, Indefinite, State } from '../state.ts'
import type { FullState } from '../state.ts'
import { maxPastsCopied } from './index-cache.ts'
import type { Position } from './segment.ts'

/** Operations whose records may wait as text: they change one key and nothing else. */
type LateOperation = 'acquire' | 'renew' | 'heartbeat' | 'release'

interface Unread {
  readonly op: LateOperation
  /** The line, one character for each byte. */
  readonly line: string
}

/** More records of one key than this are read: only an end makes the older ones superfluous, and a heartbeat is none. */
const maxUnreadOfKey = 8

/** More keys than this are read; bounds the memory. */
const maxUnreadKeys = 1024

/** A record that others wrote: enough of it to know whom it concerns. */
export interface Glimpse {
  /** Milliseconds of the log's clock. */
  readonly m: number
  readonly op: LateOperation
  readonly resource: string
  readonly line: string
}

/**
 * The state in a process that stays. What other processes write about keys that nobody here asks for is kept as checked text: each of many
 * processes sees the records of all, and to parse and fold those of others is most of what it would do.
 */
export class ResidentState implements State {
  lastSeq: number
  clocks: Clocks
  readonly #full: FullState
  readonly #unread = new Map<string, Unread[]>()
  /** Ended ownerships, those that are not read yet included. */
  #pasts: number

  constructor(full: FullState) {
    this.#full = full
    this.lastSeq = full.lastSeq
    this.clocks = full.clocks
    this.#pasts = countOf(full.pasts())
  }

  slot(resource: string): Slot {
    if (this.#unread.size > 0) this.#read(resource)
    return this.#full.slot(resource)
  }

  byLeaseId(leaseId: string): Lease | null {
    return this.complete().byLeaseId(leaseId)
  }

  /** Records about paths never wait. */
  paths(): Iterable<Lease> {
    return this.#full.paths()
  }

  leases(): Iterable<Lease> {
    return this.complete().leases()
  }

  /** Records about sessions never wait. */
  sessions(): Iterable<Session> {
    return this.#full.sessions()
  }

  /** The beginning of an indefinite lease never waits, its end may. */
  indefinite(): readonly Indefinite[] {
    if (this.#unread.size > 0) for (const { resource } of this.#full.indefinite()) this.#read(resource)
    return this.#full.indefinite()
  }

  apply(entry: Entry): void {
    const touched = touches(entry.operation)
    if (touched === null) this.complete()
    else for (const resource of touched) this.#read(resource)
    const before = this.#pastsOf(touched)
    this.#full.apply(entry)
    this.lastSeq = entry.seq
    this.clocks = this.#full.clocks
    this.#pasts += this.#pastsOf(touched) - before
    // Then the fold has forgotten some.
    if (this.#pasts > maxPastsCopied) this.#pasts = countOf(this.#full.pasts())
  }

  /** Takes note of a record without reading it; false when it has to be read now. */
  defer({ op, resource, line }: Glimpse): boolean {
    if (isPath(resource)) return false
    if (op === 'release' && !this.#notePast(resource)) return false
    const waiting = this.#unread.get(resource)
    const unread = { op, line }
    if (waiting === undefined) this.#unread.set(resource, [unread])
    else if (op === 'release') this.#unread.set(resource, [...ownershipOf(waiting), unread])
    else waiting.push(unread)
    if (waiting !== undefined && waiting.length > maxUnreadOfKey) this.#read(resource)
    if (this.#unread.size > maxUnreadKeys) this.complete()
    return true
  }

  /** After the last of some records that wait: where the log stands. */
  moveTo(seq: number, m: number): void {
    this.lastSeq = seq
    this.clocks = { current: { b: this.clocks.current.b, m }, seen: this.clocks.seen }
  }

  /** Everything, read. */
  complete(): FullState {
    for (const resource of this.#unread.keys()) this.#read(resource)
    this.#full.lastSeq = this.lastSeq
    this.#full.clocks = this.clocks
    return this.#full
  }

  /** One more key with an ended ownership, or the same as before; false when the fold would forget some of them now. */
  #notePast(resource: string): boolean {
    if (this.#unread.get(resource)?.some(({ op }) => op === 'release') === true || this.#full.slot(resource).past !== null) return true
    if (this.#pasts >= maxPastsCopied) {
      this.complete()
      return false
    }
    this.#pasts++
    return true
  }

  #pastsOf(touched: readonly string[] | null): number {
    let pasts = 0
    for (const resource of touched ?? []) pasts += Number(this.#full.slot(resource).past !== null)
    return pasts
  }

  #read(resource: string): void {
    const waiting = this.#unread.get(resource)
    if (waiting === undefined) return
    this.#unread.delete(resource)
    let slot = this.#full.slot(resource)
    for (const { line } of waiting) slot = evolve(slot, entryFromWire(JSON.parse(Buffer.from(line, 'latin1').toString('utf8')))!, resource)
    this.#full.put(resource, slot)
  }
}

/** The record that began the ownership which ends now; what was before it, and its heartbeats, are gone with it. */
function ownershipOf(waiting: readonly Unread[]): readonly Unread[] {
  const began = waiting.findLast(({ op }) => op === 'acquire')
  return began === undefined ? [] : [began]
}

function countOf(items: Iterable<unknown>): number {
  let count = 0
  for (const _ of items) count++
  return count
}

/** The record in a checked line, if it follows `position` on the clock `b` and may wait; the order of members is always the same. */
export function glimpse(line: string, position: Position, b: string): Glimpse | null {
  const head = `{"schema_version":${schemaVersion},"seq":${position.seq + 1},"prev":"${position.sum}","at":"`
  const clock = `","clk":{"b":"${b}","m":`
  const afterAt = head.length + isoLength
  if (!line.startsWith(head) || !line.startsWith(clock, afterAt)) return null
  const afterM = line.indexOf('},"op":"', afterAt)
  const m = Number(line.slice(afterAt + clock.length, afterM))
  const afterOp = line.indexOf('"', afterM + 8)
  const op = line.slice(afterM + 8, afterOp)
  if (!isLate(op) || !Number.isInteger(m)) return null
  // Within a text of a user every quote is escaped, so what looks like a member is one.
  const start = line.indexOf(resourceMember, afterOp) + resourceMember.length
  const resource = line.slice(start, line.indexOf('"', start))
  const plain = start >= resourceMember.length && !/[^ -[\]-~]/.test(resource)
  const others = op === 'release' ? !line.includes('"remaining":null') : line.includes('"ttl_secs":0,')
  return plain && !others && !line.includes(',"session":{') ? { m, op, resource, line } : null
}

const isoLength = '2026-01-01T00:00:00.000Z'.length
const resourceMember = ',"resource":"'
const isLate = (op: string): op is LateOperation => op === 'acquire' || op === 'release' || op === 'renew' || op === 'heartbeat'
