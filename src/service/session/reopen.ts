import type { Session } from '../../core/session.ts'
import { claimsOf, sessionStanding } from '../../core/standing.ts'
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
