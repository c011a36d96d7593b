import type { Acquire, AcquireFirst } from './command.ts'
import { accept, refuse } from './decision.ts'
import type { Decision } from './decision.ts'
import { isExpired, isFinal, sameHolder } from './lease.ts'
import type { Lease } from './lease.ts'
import type { BeatOperation, Operation, OwnershipOperation } from './operation.ts'
import {
  autoEvict,
  beatOn,
  countedKeys,
  endOfTime,
  evictInto,
  indefiniteRefusal,
  isLeftBehind,
  leasesWith,
  membersOf,
} from './ownership.ts'
import type { Evictable } from './ownership.ts'
import { bounds, isTtl } from './policy.ts'
import type { Policy } from './policy.ts'
import type { Refusal } from './refusal.ts'
import { isPath, pathsOverlap } from './resource.ts'
import { ulidAfter } from './ulid.ts'
import type { View } from './view.ts'

// Taking what is free, all or nothing.

export function acquire(command: Acquire, view: View, policy: Policy): Decision {
  if (command.resources.length > bounds.maxResources) return refuse({ kind: 'too-many', count: command.resources.length })
  const bad = badTtl(command)
  if (bad !== null) return refuse(bad)
  const survey = surveyAll(command, view)
  if ('refusal' in survey) return refuse(survey.refusal)
  const { mine, wanted, evictable } = survey
  const ttlSecs = command.ttlSecs ?? policy.ttlSecs
  const counted = ttlSecs === 0 ? new Set(countedKeys(command.resources)) : null
  const becoming = wanted.filter(key => counted?.has(key)).length + becomingIndefinite(command, mine)
  if (becoming > 0) {
    const refusal = indefiniteRefusal(command.holder.agentId, command.reason, view, policy, { adding: becoming, leaving: evictable })
    if (refusal !== null) return refuse(refusal)
  }
  const beats = beatsOf(command, mine, view)
  const evictions = evictable.map(({ members, reason, session }) => autoEvict(members, reason, command.holder.agentId, session))
  const operations = [...evictions, ...beats, ...(wanted.length === 0 ? [] : [grant(command, wanted, ttlSecs, policy)])]
  return accept(underOpId(operations, command.opId), {
    resources: command.resources,
    alreadyHeld: wanted.length === 0,
    late: mine.some(lease => isExpired(lease, view.now)),
    ended: evictable.flatMap(({ members }) => members),
    endedSessions: evictable.map(({ session }) => session).filter(session => session !== null),
  })
}

/** Refusals that are about one candidate, and say nothing of the next. */
const passingOver: ReadonlySet<Refusal['kind']> = new Set([
  'held',
  'launched',
  'reserved',
  'lapsing',
  'other-instance',
  'pending',
  'finished',
])

export function acquireFirst({ candidates, ...command }: AcquireFirst, view: View, policy: Policy): Decision {
  for (const key of candidates) {
    const lease = view.lease(key)
    if (lease !== null && !('reason' in endOfTime(lease, view))) continue
    const decision = acquire({ ...command, type: 'acquire', resources: [key] }, view, policy)
    if (decision.ok || !passingOver.has(decision.refusal.kind)) return decision
  }
  return refuse({ kind: 'none-free', candidates: candidates.length })
}

/** Only the last record carries the op_id: it is the one that completes the command. */
const underOpId = (operations: readonly Operation[], opId: string): readonly Operation[] =>
  operations.map((operation, index) => (index === operations.length - 1 ? { ...operation, opId } : operation))

function badTtl(command: Acquire): Refusal | null {
  const { ttlSecs } = command
  if (command.type === 'reserve') {
    const possible = ttlSecs !== null && ttlSecs > 0 && ttlSecs <= bounds.maxReservationSecs
    return possible ? null : { kind: 'bad-ttl', ttlSecs: ttlSecs ?? 0, reservation: true }
  }
  return ttlSecs === null || isTtl(ttlSecs) ? null : { kind: 'bad-ttl', ttlSecs, reservation: false }
}

interface Survey {
  readonly mine: readonly Lease[]
  readonly wanted: readonly string[]
  readonly evictable: readonly Evictable[]
}

/** Looks at every key before anything is decided: all or nothing. */
function surveyAll(command: Acquire, view: View): Survey | { readonly refusal: Refusal } {
  const mine: Lease[] = []
  const wanted: string[] = []
  const evictable = new Map<number, Evictable>()
  for (const key of command.resources) {
    const own = view.lease(key)
    const isMine = own !== null && owns(command, own, view) && !isLeftBehind(own, view)
    if (isMine && own.state === 'pending' && command.type === 'acquire') return { refusal: { kind: 'pending', lease: own } }
    if (isMine && own.state === 'held' && command.type === 'reserve') return { refusal: { kind: 'held', lease: own, wanted: key } }
    if (isMine && own.binding !== null && command.binding !== null) return { refusal: { kind: 'other-instance', lease: own } }
    if (isMine) {
      mine.push(own)
      continue
    }
    const past = view.past(key)
    if (command.finishedToo !== true && isFinal(past)) return { refusal: { kind: 'finished', past } }
    wanted.push(key)
    const reservation = view.reservation(key)
    if (reservation !== null && reservation.launchId !== command.launchId) return { refusal: { kind: 'reserved', reservation } }
    for (const lease of inTheWay(command, key, own, view)) {
      const end = endOfTime(lease, view)
      if (!('reason' in end)) return { refusal: end.refusal ?? blocked(command, lease, key) }
      if (!evictable.has(lease.token)) evictInto(evictable, lease, end, view)
    }
  }
  // A stranger with proof may keep one key of an ownership and be in the way of another: it cannot be renewed and evicted in one step.
  const kept = mine.find(lease => evictable.has(lease.token))
  if (kept !== undefined) return { refusal: { kind: 'held', lease: kept, wanted: kept.resource } }
  return { mine, wanted, evictable: [...evictable.values()] }
}

function* inTheWay(command: Acquire, key: string, own: Lease | null, view: View): Generator<Lease> {
  if (own !== null) yield own
  if (!isPath(key)) return
  for (const lease of view.paths()) {
    if (lease.resource !== key && !sameHolder(lease.holder, command.holder) && pathsOverlap(lease.resource, key)) yield lease
  }
}

/** The proof of one member is enough for all that it would renew, hand over or end. */
const owns = ({ holder, presented }: Acquire, lease: Lease, view: View): boolean =>
  sameHolder(holder, lease.holder) ||
  (presented.token === lease.token && membersOf(lease, view).some(({ leaseId }) => leaseId === presented.leaseId))

function blocked(command: Acquire, lease: Lease, wanted: string): Refusal {
  const { agentId, worktreeId } = command.holder
  const sameAgent = lease.holder.agentId === agentId
  const here = lease.holder.worktreeId === worktreeId
  if (lease.state === 'pending' || !sameAgent) return { kind: 'held', lease, wanted }
  return here && lease.resource === wanted ? { kind: 'other-instance', lease } : { kind: 'held', lease, wanted, sameAgent: !here }
}

function grant(command: Acquire, wanted: readonly string[], ttlSecs: number, policy: Policy): OwnershipOperation {
  return {
    op: command.type,
    opId: null,
    actor: command.holder.agentId,
    resources: wanted,
    leaseIds: wanted.map((_, index) => ulidAfter(command.leaseId, index)),
    holder: command.holder,
    ttlSecs,
    staleSecs: policy.staleSecs,
    branch: command.branch,
    reason: command.reason,
    binding: command.binding,
    from: null,
  }
}

/** How many leases the caller has with a deadline and asks to have without one; of a group that is all of it. */
function becomingIndefinite(command: Acquire, mine: readonly Lease[]): number {
  if (command.ttlSecs !== 0) return 0
  const ownerships = new Map(mine.filter(lease => lease.ttlSecs !== 0).map(lease => [lease.token, leasesWith(lease)]))
  return [...ownerships.values()].reduce((sum, count) => sum + count, 0)
}

/** Acquiring what one holds is a renewal of it, once for each ownership. */
const beatsOf = (command: Acquire, mine: readonly Lease[], view: View): readonly BeatOperation[] =>
  [...new Map(mine.map(lease => [lease.token, lease])).values()].map(lease =>
    beatOn(lease, 'renew', command.holder.agentId, command.ttlSecs, null, null, view, command.news),
  )
