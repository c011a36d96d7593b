import { evolve } from '../core/evolve.ts'
import type { Lease, Past, Slot, Stamp } from '../core/lease.ts'
import { emptySlot } from '../core/lease.ts'
import type { Entry } from '../core/operation.ts'
import { touches } from '../core/operation.ts'
import { isPath } from '../core/resource.ts'
import type { Session } from '../core/session.ts'

/** An indefinite ownership, as the limits count it. */
export interface Indefinite {
  readonly token: number
  readonly agentId: string
  readonly resource: string
}

/** The clocks of a log: the present one, where it stands, and every clock that ever wrote. */
export interface Clocks {
  readonly current: Stamp
  readonly seen: readonly string[]
}

/** The state of a log at one position, however it is kept. `apply` moves it forward by one record. */
export interface State {
  readonly lastSeq: number
  readonly clocks: Clocks
  slot(resource: string): Slot
  byLeaseId(leaseId: string): Lease | null
  paths(): Iterable<Lease>
  leases(): Iterable<Lease>
  indefinite(): readonly Indefinite[]
  /** Those that have not ended. */
  sessions(): Iterable<Session>
  apply(entry: Entry): void
}

/** Most ended ownerships remembered; those with an outcome are kept beyond it, they stop a ticket from being handed out again. */
const maxPasts = 10_000

/** Newest clocks remembered. */
const maxClocks = 16

/** The clocks after a record was written by one of them. */
export function tick(clocks: Clocks, clk: Stamp): Clocks {
  if (clocks.current.b === clk.b) return { current: clk, seen: clocks.seen }
  return { current: clk, seen: [...clocks.seen.filter(b => b !== clk.b), clk.b].slice(-maxClocks) }
}

/** All of the state in memory: the fold of the log. */
export class FullState implements State {
  lastSeq: number
  clocks: Clocks
  readonly #slots = new Map<string, Slot>()
  readonly #byLeaseId = new Map<string, string>()
  readonly #paths = new Set<string>()
  readonly #indefinite = new Set<string>()
  readonly #sessions = new Set<string>()
  #pasts = 0

  constructor(lastSeq = 0, clocks: Clocks = { current: { b: '', m: 0 }, seen: [] }) {
    this.lastSeq = lastSeq
    this.clocks = clocks
  }

  slot(resource: string): Slot {
    return this.#slots.get(resource) ?? emptySlot
  }

  byLeaseId(leaseId: string): Lease | null {
    const resource = this.#byLeaseId.get(leaseId)
    return resource === undefined ? null : this.slot(resource).lease
  }

  *paths(): Generator<Lease> {
    for (const resource of this.#paths) yield this.slot(resource).lease!
  }

  *leases(): Generator<Lease> {
    for (const { lease } of this.#slots.values()) if (lease !== null) yield lease
  }

  *pasts(): Generator<Past> {
    for (const { past } of this.#slots.values()) if (past !== null) yield past
  }

  indefinite(): readonly Indefinite[] {
    const ownerships = new Map<number, Indefinite>()
    for (const resource of this.#indefinite) {
      const lease = this.slot(resource).lease!
      if (!ownerships.has(lease.token)) ownerships.set(lease.token, { token: lease.token, agentId: lease.holder.agentId, resource })
    }
    return [...ownerships.values()]
  }

  *sessions(): Generator<Session> {
    for (const resource of this.#sessions) yield this.slot(resource).session!
  }

  apply(entry: Entry): void {
    this.lastSeq = entry.seq
    this.clocks = tick(this.clocks, entry.clk)
    for (const resource of touches(entry.operation) ?? [...this.#slots.keys()]) {
      const before = this.slot(resource)
      this.#replace(resource, before, evolve(before, entry, resource))
    }
    if (this.#pasts > maxPasts * 1.1) this.#forget()
  }

  /** Sets a key as a checkpoint or an index has it. */
  put(resource: string, slot: Slot): void {
    this.#replace(resource, this.slot(resource), slot)
  }

  #replace(resource: string, before: Slot, slot: Slot): void {
    if (before.lease !== null && before.lease.leaseId !== slot.lease?.leaseId) this.#byLeaseId.delete(before.lease.leaseId)
    if (slot.lease !== null) this.#byLeaseId.set(slot.lease.leaseId, resource)
    if (isPath(resource)) toggle(this.#paths, resource, slot.lease !== null)
    toggle(this.#indefinite, resource, slot.lease?.ttlSecs === 0)
    toggle(this.#sessions, resource, slot.session !== null)
    this.#pasts += Number(slot.past !== null) - Number(before.past !== null)
    if (slot.lease === null && slot.past === null && slot.session === null) this.#slots.delete(resource)
    else this.#slots.set(resource, slot)
  }

  /** Drops the oldest ended ownerships; the order of records is the same everywhere, so every fold forgets alike. */
  #forget(): void {
    const droppable = [...this.#slots].filter(([, { lease, past }]) => lease === null && past !== null && past.outcome === null)
    droppable.sort(([, a], [, b]) => a.past!.endedSeq - b.past!.endedSeq)
    const surplus = this.#pasts - maxPasts
    for (const [resource] of droppable.slice(0, surplus)) this.put(resource, emptySlot)
  }
}

function toggle(set: Set<string>, member: string, present: boolean): void {
  if (present) set.add(member)
  // Most are empty all the time, and looking in costs a hash.
  else if (set.size > 0) set.delete(member)
}
