import { isExpired } from './lease.ts'
import type { Lease } from './lease.ts'
import type { BeatOperation, EvictOperation } from './operation.ts'
import type { Policy } from './policy.ts'
import type { Refusal } from './refusal.ts'
import { kindOf } from './resource.ts'
import type { Session } from './session.ts'
import { claimsOf, endedSession, launchedWith, sessionStanding } from './standing.ts'
import { ulidAfter } from './ulid.ts'
import type { View } from './view.ts'

// What the rules share: the members of an ownership, how it may end without its holder, and what it may not exceed.

export interface Evictable {
  readonly members: readonly Lease[]
  readonly reason: 'ttl' | 'holder-dead' | 'reservation-lapsed'
  /** Ends in the same record, as it is then. */
  readonly session: Session | null
}

/** An end that needs no holder; `session` is one that is gone, and all of its claims with it. */
interface EndOfTime {
  readonly reason: Evictable['reason']
  readonly session: Session | null
}

/** Its process died. Even its own holder starts anew then: a lease bound to the dead would be evicted under the living. */
export const isLeftBehind = (lease: Lease, view: View): boolean => lease.binding !== null && view.boundDead(lease)

/** Does this lease stand in nobody's way? The next request ends it: its time is over, or its process proven dead; a launched claim ends by neither alone. */
export function isOver(lease: Lease, view: View): boolean {
  const session = launchedWith(lease, view)
  if (session !== null) return sessionStanding(session, lease, view) === 'gone'
  return isExpired(lease, view.now) || isLeftBehind(lease, view)
}

/** May this lease be ended without its holder? If so, why; if it is being watched first, until when. */
export function endOfTime(lease: Lease, view: View): EndOfTime | { readonly refusal: Refusal | null } {
  const session = launchedWith(lease, view)
  if (session !== null) return endOfLaunch(lease, session, view)
  if (isLeftBehind(lease, view)) return { reason: 'holder-dead', session: null }
  const lapse = view.lapse(lease)
  switch (lapse.state) {
    case 'running':
      return { refusal: null }
    case 'lapsing':
      return { refusal: { kind: 'lapsing', lease, retryAfterMs: lapse.retryAfterMs } }
    case 'over':
      return { reason: lease.state === 'pending' ? 'reservation-lapsed' : 'ttl', session: null }
  }
}

/** A launched claim is not ended by time: facts say whether its agent lives or can be opened again, and where they cannot, a person does. */
function endOfLaunch(lease: Lease, session: Session, view: View): ReturnType<typeof endOfTime> {
  const standing = sessionStanding(session, lease, view)
  return standing === 'gone' ? { reason: 'holder-dead', session } : { refusal: { kind: 'launched', lease, session, standing } }
}

/** Adds what ends when this lease does: its ownership, and of a session that is gone every claim, the session itself with the last. */
export function evictInto(evictable: Map<number, Evictable>, lease: Lease, { reason, session }: EndOfTime, view: View): void {
  const claims = session === null ? [lease] : [...claimsOf(session, view), lease]
  const ending = [...new Map(claims.map(each => [each.token, each])).values()]
  for (const [index, each] of ending.entries()) {
    const last = session !== null && index === ending.length - 1
    const ended = last ? endedSession(session, reason, view) : null
    evictable.set(each.token, { members: membersOf(each, view), reason, session: ended })
  }
}

export function membersOf(lease: Lease, view: View): readonly Lease[] {
  if (lease.group === null) return [lease]
  return lease.group.resources.map(key => view.lease(key)).filter((member): member is Lease => member?.token === lease.token)
}

export const autoEvict = (
  members: readonly Lease[],
  reason: Evictable['reason'],
  actor: string,
  ended: Session | null = null,
): EvictOperation => ({
  op: 'auto-evict',
  opId: null,
  actor,
  ...subjectOf(members),
  previousHolder: members[0]!.holder,
  previousToken: members[0]!.token,
  reason,
  ...(ended === null ? {} : { sessions: [ended] }),
})

export const subjectOf = (leases: readonly Lease[]): { resources: readonly string[]; leaseIds: readonly string[] } => ({
  resources: leases.map(lease => lease.resource),
  leaseIds: leases.map(lease => lease.leaseId),
})

/** Those of some keys that count towards the limits: the branch and the worktree that are taken with a ticket are where it is worked on. */
export const countedKeys = (keys: readonly string[]): readonly string[] =>
  keys.some(key => kindOf(key) === 'ticket') ? keys.filter(key => !placeKinds.has(kindOf(key))) : keys

const placeKinds: ReadonlySet<string> = new Set(['branch', 'worktree'])

/** Keys of the ownership that a lease is one of, as far as they count. */
const keysWith = (lease: Lease): readonly string[] => countedKeys(lease.group?.resources ?? [lease.resource])

/** How many leases that count begin, end and last with this one. */
export const leasesWith = (lease: Lease): number => keysWith(lease).length

/** An indefinite lease needs a reason and stays within two limits, where each of a group is one; evictions of the same step make room. */
export function indefiniteRefusal(
  agentId: string,
  reason: string | null,
  view: View,
  policy: Policy,
  { adding, leaving = [], except }: { readonly adding: number; readonly leaving?: readonly Evictable[]; readonly except?: number },
): Refusal | null {
  if (reason === null) return { kind: 'reason-required', what: 'an indefinite lease (ttl 0)' }
  const gone = new Set([...leaving.map(({ members }) => members[0]!.token), except])
  const standing = view.indefinite().flatMap(ownership => {
    if (gone.has(ownership.token)) return []
    const lease = view.lease(ownership.resource)
    if (lease === null) return [ownership]
    // A claim that waits for its agent to be started again is indefinite by rule, not by choice.
    if (launchedWith(lease, view) !== null) return []
    return keysWith(lease).map(resource => ({ ...ownership, resource }))
  })
  const own = standing.filter(each => each.agentId === agentId)
  const named = (list: typeof standing): readonly string[] => list.map(({ resource }) => resource)
  if (own.length + adding > policy.maxIndefinitePerAgent) {
    return { kind: 'limit', scope: 'agent', limit: policy.maxIndefinitePerAgent, agentId, held: named(own), adding }
  }
  if (standing.length + adding > policy.maxIndefinitePerRepo) {
    return { kind: 'limit', scope: 'repo', limit: policy.maxIndefinitePerRepo, agentId, held: named(standing), adding }
  }
  return null
}

export const beatOn = (
  lease: Lease,
  op: 'renew' | 'heartbeat',
  actor: string,
  ttlSecs: number | null,
  note: string | null,
  opId: string | null,
  view: View,
  news: { readonly reason?: string | null; readonly branch?: string | null } = {},
): BeatOperation => ({
  op,
  opId,
  actor,
  ...subjectOf(membersOf(lease, view)),
  token: lease.token,
  holder: lease.holder,
  ttlSecs: ttlSecs ?? lease.ttlSecs,
  late: isExpired(lease, view.now),
  note,
  // What is said again is no news.
  ...(isNews(news.reason, lease.reason) ? { reason: news.reason } : {}),
  ...(isNews(news.branch, lease.branch) ? { branch: news.branch } : {}),
})

const isNews = (said: string | null | undefined, known: string | null): said is string => typeof said === 'string' && said !== known

export const freshIds = (seed: string, members: readonly Lease[]): readonly string[] => members.map((_, index) => ulidAfter(seed, index))
