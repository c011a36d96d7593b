import type { Reservation } from '../../core/refusal.ts'
import type { Session } from '../../core/session.ts'
import { claimsOf, openingOf, sessionStanding } from '../../core/standing.ts'
import type { Reading } from '../../store/store.ts'
import { orThrow } from '../claim/answer.ts'

/**
 * Throws `held` for a session whose agent works and `policy` for one that cannot be opened again, before anybody is asked how: what was
 * answered would be refused all the same.
 */
export function refuseUnlessRestorable(session: Session, view: Reading): void {
  const standing = sessionStanding(session, claimsOf(session, view)[0] ?? null, view)
  if (standing === 'restorable') return
  const refusal = { kind: 'session-is', session, standing, wanted: 'restorable' } as const
  orThrow({ ok: false, refusal, opId: '', now: view.now, lastSeq: view.lastSeq })
}

/** Throws `held`, with the process to be stopped, for a session whose agent is being started again: to end it now would kill that agent. */
export function refuseWhileOpened(session: Session, view: Reading): void {
  const reservation = openingNow(session, view)
  if (reservation === null) return
  orThrow({ ok: false, refusal: { kind: 'opening', session, reservation }, opId: '', now: view.now, lastSeq: view.lastSeq })
}

/** The start of a session's agent that is in flight. One that works has none: its lock may be seen a moment longer than it is held. */
export const openingNow = (session: Session, view: Reading): Reservation | null =>
  sessionStanding(session, claimsOf(session, view)[0] ?? null, view) === 'live' ? null : openingOf(session, view)
