import { isExpired } from '../core/lease.ts'
import type { Instant, Lease } from '../core/lease.ts'
import type { Entry } from '../core/operation.ts'
import type { Reservation } from '../core/refusal.ts'
import { sessionKey } from '../core/session.ts'
import type { Life, Session } from '../core/session.ts'
import type { Lapse, View } from '../core/view.ts'
import type { State } from './state.ts'

/** What the state alone cannot say. */
export interface Facts {
  recall(opId: string): Entry | null
  boundDead(lease: Lease): boolean
  reservation(resource: string): Reservation | null
  reservations(): readonly Reservation[]
  life(session: Session): Life
  restorable(session: Session): boolean
  readonly limits: View['limits']
}

/**
 * Has the launch of a reservation been recorded already? Its launcher may be killed between the record and the end of the reservation; then
 * the agent, which has its claim, still keeps that lock, and must not be taken for what a failed launch left behind.
 */
function isFulfilled({ launchId, agent }: Reservation, state: State): boolean {
  if (agent === null) return false
  const witness = state.slot(sessionKey(launchId)).session?.witness
  return witness?.pid === agent.pid && witness.pidStartTicks === agent.pidStartTicks && witness.bootId === agent.bootId
}

const running: Lapse = { state: 'running' }
const over: Lapse = { state: 'over' }

/** A view of `state` for a store whose clock is the one that granted: past the deadline means over, without a second look. */
export function viewOf(state: State, now: Instant, facts: Facts): View {
  return {
    now,
    lastSeq: state.lastSeq,
    limits: facts.limits,
    lease: resource => state.slot(resource).lease,
    past: resource => state.slot(resource).past,
    byLeaseId: leaseId => state.byLeaseId(leaseId),
    paths: () => state.paths(),
    all: () => state.leases(),
    indefinite: () => state.indefinite(),
    recall: facts.recall,
    lapse: lease => (isExpired(lease, now) ? over : running),
    boundDead: facts.boundDead,
    reservation(resource) {
      const found = facts.reservation(resource)
      return found !== null && isFulfilled(found, state) ? null : found
    },
    reservations: () => facts.reservations().filter(each => !isFulfilled(each, state)),
    session: sessionId => state.slot(sessionKey(sessionId)).session,
    sessions: () => state.sessions(),
    life: facts.life,
    restorable: facts.restorable,
  }
}
