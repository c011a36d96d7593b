import { isExpired, isStale } from './lease.ts'
import type { Lease } from './lease.ts'
import type { Reservation } from './refusal.ts'
import { sessionKey } from './session.ts'
import type { Session, SessionStanding } from './session.ts'
import type { View } from './view.ts'

// How a session stands, and which claims are its own: asked of the log and of the machine, and written down nowhere.

/** Judged by facts, not by what the log said last. `lease`: a lease of the session, if it has one. */
export function sessionStanding(session: Session, lease: Lease | null, view: View): SessionStanding {
  const life = session.state === 'live' ? view.life(session) : 'dead'
  if (life === 'dead') return view.restorable(session) ? 'restorable' : 'gone'
  if (life === 'alive') return 'live'
  const silent = lease === null || isExpired(lease, view.now) || isStale(lease, view.now)
  return silent ? 'stale' : 'live'
}

/** The record under which the agent of a session is being started again, where a reservation is one. */
export function openingRecord({ sessionId }: Session, view: View): Lease | null {
  const lease = view.lease(sessionKey(sessionId))
  return lease?.state === 'pending' ? lease : null
}

/** Such a record as what a lock tells of the same. */
export const reservationOf = (session: Session, { resource, holder, acquiredAt }: Lease, view: View): Reservation => ({
  resource,
  launchId: session.sessionId,
  role: '',
  agentId: holder.agentId,
  pid: holder.witness?.pid ?? null,
  ...(holder.witness === null ? {} : { host: holder.witness.host }),
  launcherAlive: holder.witness === null || view.life({ ...session, witness: holder.witness, binding: null }) !== 'dead',
  agent: null,
  ageMs: Math.max(0, view.now.wall - acquiredAt),
  lockFile: null,
})

/** Is the agent of a session that can be opened again being started, by a launcher that lives? Null where it is not. */
export function openingOf(session: Session, view: View): Reservation | null {
  const record = openingRecord(session, view)
  const held = record === null || view.lapse(record).state === 'over' ? [...view.reservations()] : [reservationOf(session, record, view)]
  return held.find(({ launchId, launcherAlive }) => launchId === session.sessionId && launcherAlive) ?? null
}

/** The session that a lease was launched with, while it has not ended. */
export function launchedWith(lease: Lease, view: View): Session | null {
  const { sessionId } = lease.holder
  const session = sessionId === null ? null : view.session(sessionId)
  if (session === null) return null
  // What the agent took itself, later, is not bound to it. Where nothing can be bound, the tickets tell.
  if (session.binding !== null) return session.binding.live === lease.binding?.live ? session : null
  return (lease.group?.resources ?? [lease.resource]).some(key => session.relatedTickets.some(ticket => key === `ticket:${ticket}`))
    ? session
    : null
}

/** The claims that a session was launched with, or was handed, while it has them: one lease of each. */
export function claimsOf(session: Session, view: View): readonly Lease[] {
  return session.relatedTickets
    .map(ticket => view.lease(`ticket:${ticket}`))
    .filter(lease => lease !== null)
    .filter(lease => launchedWith(lease, view)?.sessionId === session.sessionId)
}

/** As it is once it has ended. */
export const endedSession = (session: Session, reason: string, view: View): Session => ({
  ...session,
  state: 'ended',
  endedAt: view.now.wall,
  endReason: reason,
})
