import type { Instant, Lease, Past } from './lease.ts'
import type { Entry } from './operation.ts'
import type { Policy } from './policy.ts'
import type { Reservation } from './refusal.ts'
import type { Life, Session } from './session.ts'

/** May this lease be ended by time now? `lapsing` is a store's second look before it trusts a clock that is not its own. */
export type Lapse =
  | { readonly state: 'running' }
  | { readonly state: 'lapsing'; readonly retryAfterMs: number }
  | { readonly state: 'over' }

/**
 * What a decision may look at: the state of the log at one position, the store's clock, and facts that only the host can know.
 * A store may answer from memory or look each key up; within one decision the answers never change.
 */
export interface View {
  readonly now: Instant
  /** Position of the newest record. */
  readonly lastSeq: number
  /** Limits that the store itself has fixed for everybody, or null where the caller's policy counts. */
  readonly limits: Pick<Policy, 'maxIndefinitePerAgent' | 'maxIndefinitePerRepo'> | null
  lease(resource: string): Lease | null
  past(resource: string): Past | null
  byLeaseId(leaseId: string): Lease | null
  /** All `path:` leases. */
  paths(): Iterable<Lease>
  /** All leases. Costs a whole read; for sweeps. */
  all(): Iterable<Lease>
  /** Indefinite ownerships, each named once by one of its keys; all the leases of a group count towards the limits. */
  indefinite(): readonly { readonly token: number; readonly agentId: string; readonly resource: string }[]
  /** The record that an op_id made, if it is remembered. */
  recall(opId: string): Entry | null
  lapse(lease: Lease): Lapse
  /** Is the process that this lease is bound to proven dead? Unknown counts as no. */
  boundDead(lease: Lease): boolean
  reservation(resource: string): Reservation | null
  /** Every launch in flight that is no record. */
  reservations(): readonly Reservation[]
  /** A session that has not ended. */
  session(sessionId: string): Session | null
  /** All sessions that have not ended. */
  sessions(): Iterable<Session>
  /** Does the agent of a session run, or anything that it started? */
  life(session: Session): Life
  /** Is the session still there to be opened again, on this machine? */
  restorable(session: Session): boolean
}
