import type { Decision, Outcome } from '../core/decision.ts'
import type { Fault } from '../core/fault.ts'
import type { Binding, Instant, Lease, Witness } from '../core/lease.ts'
import type { Entry } from '../core/operation.ts'
import type { View } from '../core/view.ts'

/** What a store can do; the conformance suite asks before it tests, and a skip carries the reason. */
export interface Capabilities {
  /** A reservation is a kernel lock of the launcher, or a record that lapses. */
  readonly reservation: 'kernel-lock' | 'record'
  /** An acknowledged record survives the machine's power loss. */
  readonly durable: boolean
  /** Other processes see the same leases. */
  readonly shared: boolean
  /** A lease can end at once with the process that took it; elsewhere it is short, and ends because that process does not renew it. */
  readonly binding: boolean
  /** Positions follow each other without a gap; elsewhere they only grow, and the records of one transaction share one. */
  readonly gapless: boolean
  /** A renewal that says no more than that the holder lives leaves a record, or it is the engine that keeps time. */
  readonly beats: 'record' | 'engine'
}

/** A liveness lock: its owner lives as long as it, or a child that inherited the descriptor, keeps it open. */
export interface LiveLock extends Binding {
  /** To be passed to a child; null where the store has no descriptors. */
  readonly fd: number | null
  /** Lets go without touching the log; the store does this itself when a transaction was told to. */
  close(): void
}

/** What a launch in flight says of itself. */
export interface ReservationNote {
  readonly launchId: string
  readonly role: string
  readonly agentId: string
}

/** Keys held by a launch in flight, for as long as this process, or one that it passed the descriptors to, runs. */
export interface ReservationLock {
  readonly launchId: string
  readonly resources: readonly string[]
  /** To be passed to the agent. */
  readonly fds: readonly number[]
  /** Says which process is the agent. */
  note(agent: Witness | null): void
  /** Is it still what others find under these keys? */
  isCurrent(): boolean
  /** Takes it away for everybody; only the store does this, under its lock. */
  remove(): void
  close(): void
}

/** Judged once, under the store's exclusion; `binding` is the new liveness lock when one was asked for. */
export type Decider = (view: View, binding: Binding | null) => Decision

export interface TransactOptions {
  /** Make a liveness lock whose name the decision may write into a lease. Kept only if something was written. */
  readonly bind?: boolean
  /** Drop this liveness lock together with the record that ends its lease. */
  readonly unbind?: LiveLock
  /** Where a reservation is a kernel lock: a `reserve` that the decision says is not written but held, and this stands in it. */
  readonly reserve?: ReservationNote
  /** A reservation that ends with this transaction, if that is accepted. It must still be current, else nothing is written. */
  readonly unreserve?: ReservationLock
  /**
   * Runs once after the decision said yes and before its records are written, while no other transaction on this machine can come
   * between: for a change of a file that only the holder may make. What it throws is the answer, and then nothing is written. It is
   * not undone when the records cannot be written after it.
   */
  readonly effect?: (outcome: Outcome) => void
  /** Shown to whoever finds the store locked: a short name of what is being done. */
  readonly label?: string
}

/** What a transaction left behind. */
export interface Commit {
  readonly decision: Decision
  readonly now: Instant
  readonly lastSeq: number
  /** The records it added, in order. */
  readonly entries: readonly Entry[]
  /** The leases of the decision's resources after it; a key that is free is missing. */
  readonly leases: readonly Lease[]
  readonly live: LiveLock | null
  /** What `reserve` asked for. */
  readonly reservation: ReservationLock | null
}

/** How one member of a cluster is. `leaderless`: it answers, and knows nobody who leads, so it can tell nothing. */
export interface MemberHealth {
  readonly endpoint: string
  readonly state: 'leader' | 'member' | 'leaderless' | 'silent'
  /** Why it is silent. */
  readonly error: string | null
}

/** State at one moment, read without excluding anybody. */
export interface Reading extends View {
  /** Things a person should know, such as a second clock that writes into this log. */
  readonly warnings: readonly string[]
  /** Why all of this may be another store's, so that nothing may rest on it; then `warnings` says it too. */
  readonly doubt?: Fault
  /** Which member of a cluster answered, where there is one. */
  readonly answeredBy?: string
  /** Asks how each member is. */
  readonly members?: () => Promise<readonly MemberHealth[]>
}

/** Narrows `history`. */
export interface HistoryQuery {
  readonly resource?: string
  /** Wall clock, milliseconds since the epoch. */
  readonly sinceMs?: number
  /** Records after this position only. */
  readonly afterSeq?: number
  /** Told of each line that is left out because it cannot be read: its place, and why. Whatever it said is missing in the answer. */
  readonly unreadable?: (where: string) => void
}

/**
 * Where leases live. The contract, which one suite checks for every store:
 *
 * - `transact` calls `decide` with a view that no other transaction changes before its records are in place. An answer means that
 *   every record the view showed, and every one it added, is as durable as the store promises; so also after a refusal to write.
 *   A store may call `decide` again when it lost a race, so `decide` must be pure. Throws a `Fault`; with `outcome: unknown` in its
 *   details the records may or may not be there, and asking again under the same op_id tells.
 * - `view` never writes and never waits for a writer. What it shows may not be durable yet.
 * - `history` is in order and complete back to the oldest record kept.
 * - `changed` resolves when something may have been written after `sinceSeq`, or after `timeoutMs`; it may be wrong, never late.
 *
 * It does not promise that the holder of a lease knows it still has it: check the token where the effect happens.
 */
export interface Store {
  readonly capabilities: Capabilities
  /** For people: where this is. */
  readonly location: string
  /** What somebody who writes should be told, such as a repair that was made; filled as it happens. */
  readonly warnings: readonly string[]
  /** For whoever is about to write something else first. Throws `unavailable` where nobody could write here. */
  ready?(): void
  transact(decide: Decider, options?: TransactOptions): Promise<Commit>
  /** The state at this moment. `about`: the only keys that the caller will ask for, so that no more than those need be read. */
  view(about?: readonly string[]): Promise<Reading>
  history(query?: HistoryQuery): AsyncIterable<Entry>
  changed(sinceSeq: number, timeoutMs: number): Promise<void>
  close(): void
}
