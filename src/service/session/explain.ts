import type { Lease } from '../../core/lease.ts'
import { shellWord } from '../../core/shell-word.ts'
import { launchedWith } from '../../core/standing.ts'
import type { Wire } from '../../core/wire.ts'
import type { Reading } from '../../store/store.ts'
import type { ShownStanding } from '../claim/open-session.ts'
import { openingNow } from './reopen.ts'
import { seeSession, seenSessionToWire } from './report.ts'

/** What `lh why` says of a launched claim, over what it says of any: the session, and what that makes of the claim. */
export function explainLaunched(document: Wire, lease: Lease, view: Reading): Wire {
  const session = launchedWith(lease, view)
  if (session === null) return document
  const seen = seeSession(session, view)
  const isOpened = openingNow(session, view) !== null
  return {
    ...document,
    session: seenSessionToWire(seen, view),
    evidence: seen.facts,
    frees_when: isOpened ? 'not now: its agent is being started again' : freesWhen(seen.standing, session.name),
    next: seen.standing === 'dead' ? `lh claim acquire ${shellWord(lease.resource)}` : (seen.open ?? document['next']),
  }
}

function freesWhen(standing: ShownStanding, name: string): string {
  switch (standing) {
    case 'live':
      return 'when its agent ends and cannot be started again, or by release, transfer or evict; not by time'
    case 'restorable':
      return `not by itself: its agent can be started again; to give it up: lh session end ${name}`
    case 'stale':
      return 'by the word of a person who has made sure that its agent is gone; not by itself'
    case 'dead':
    case 'ended':
      return 'at the next request for it: its agent is proven dead and cannot be started again'
  }
}
