import type { Lease } from '../../core/lease.ts'
import { launchedWith, sessionStanding } from '../../core/standing.ts'
import type { Session } from '../../core/session.ts'
import type { Wire } from '../../core/wire.ts'
import { sessionToWire } from '../../core/wire.ts'
import type { Reading } from '../../store/store.ts'
import { hostname } from '../../host/process.ts'
import { readLease } from '../claim/answer.ts'
import { factsOf } from './facts.ts'
import { openingNow, placeGone } from './reopen.ts'
import { openCommand, shownStanding } from '../claim/open-session.ts'
import type { ShownStanding } from '../claim/open-session.ts'

/** A session as a reader finds it. */
export interface SeenSession {
  readonly session: Session
  readonly standing: ShownStanding
  readonly facts: readonly string[]
  /** Everything that is held in it. */
  readonly leases: readonly Lease[]
  /** The command that opens or ends it. */
  readonly open: string | null
}

/** What is held in each session. */
function leasesBySession(view: Reading): ReadonlyMap<string, readonly Lease[]> {
  const held = new Map<string, Lease[]>()
  for (const lease of view.all()) {
    const { sessionId } = lease.holder
    // One under which its agent is being started is nothing that it has.
    if (sessionId === null || lease.state === 'pending') continue
    const others = held.get(sessionId)
    if (others === undefined) held.set(sessionId, [lease])
    else others.push(lease)
  }
  return held
}

function see(session: Session, leases: readonly Lease[], view: Reading): SeenSession {
  const claim = leases.find(lease => launchedWith(lease, view)?.sessionId === session.sessionId) ?? null
  const standing = session.state === 'ended' ? 'ended' : shownStanding(sessionStanding(session, claim, view))
  const opening = session.state === 'ended' ? null : openingNow(session, view)
  const facts = factsOf(session, claim, view, opening)
  // Then there is nowhere to open it: what is left to do is to end it. Another machine has other places.
  const isHere = session.witness?.host === hostname()
  const gone = isHere && standing === 'restorable' && opening === null ? placeGone(session) : null
  if (gone !== null) return { session, standing, facts: [`it ${gone}`, ...facts], leases, open: openCommand(session, 'dead') }
  return { session, standing, facts, leases, open: openCommand(session, opening === null ? standing : 'live') }
}

/** A session, and what is known of it now. */
export const seeSession = (session: Session, view: Reading): SeenSession =>
  see(session, leasesBySession(view).get(session.sessionId) ?? [], view)

/** Every session that has not ended, the oldest first. */
export function listedSessions(view: Reading): readonly SeenSession[] {
  const sessions = [...view.sessions()]
  if (sessions.length === 0) return []
  const leases = leasesBySession(view)
  return sessions
    .toSorted((a, b) => (a.sessionId < b.sessionId ? -1 : 1))
    .map(session => see(session, leases.get(session.sessionId) ?? [], view))
}

/** A session as every command shows it. */
export const seenSessionToWire = ({ session, standing, facts, leases, open }: SeenSession, view: Reading): Wire => ({
  ...sessionToWire(session),
  standing,
  facts,
  leases: leases.map(lease => readLease(lease, view)),
  open,
})

/** `lh session list` */
export function sessionListDocument(sessions: readonly SeenSession[], view: Reading): Wire {
  return { ok: true, sessions: sessions.map(seen => seenSessionToWire(seen, view)), count: sessions.length, warnings: view.warnings }
}

/** `lh session show` */
export const sessionDocument = (seen: SeenSession, view: Reading): Wire => ({
  ok: true,
  session: seenSessionToWire(seen, view),
  warnings: view.warnings,
})
