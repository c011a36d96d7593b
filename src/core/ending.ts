import type { Allow, ForceEvict, Sweep } from './command.ts'
import { accept, refuse } from './decision.ts'
import type { Decision } from './decision.ts'
import { find } from './holding.ts'
import type { EvictOperation, Operation } from './operation.ts'
import { autoEvict, endOfTime, evictInto, membersOf } from './ownership.ts'
import type { Evictable } from './ownership.ts'
import type { Session } from './session.ts'
import { claimsOf, endedSession, sessionStanding } from './standing.ts'
import type { View } from './view.ts'

// What others do to a lease, and to its work.

export function forceEvict(command: ForceEvict, view: View): Decision {
  if (command.reason.trim() === '') return refuse({ kind: 'reason-required', what: 'an eviction' })
  const presented = { leaseId: 'leaseId' in command.target ? command.target.leaseId : null, token: command.token }
  const found = find(command.target, presented, view)
  if ('refusal' in found) return refuse(found.refusal.kind === 'superseded' ? { ...found.refusal, evicting: true } : found.refusal)
  const { lease } = found
  if (command.token !== null && command.token !== lease.token)
    return refuse({ kind: 'superseded', resource: lease.resource, lease, past: null, presented, evicting: true })
  const members = membersOf(lease, view)
  const operation: EvictOperation = {
    ...autoEvict(members, 'ttl', command.holder.agentId),
    op: 'force-evict',
    opId: command.opId,
    reason: command.reason,
  }
  return accept([operation], { resources: operation.resources, ended: members })
}

export function allow({ holder, opId, resource, token, leaseId, reason }: Allow): Decision {
  if (reason.trim() === '') return refuse({ kind: 'reason-required', what: 'letting lost work through' })
  return accept([{ op: 'allow', opId, actor: holder.agentId, resources: [resource], leaseIds: [leaseId], token, reason }], {
    resources: [],
  })
}

export function sweep(command: Sweep, view: View): Decision {
  const evictable = new Map<number, Evictable>()
  const candidates = command.resource === null ? view.all() : [view.lease(command.resource)]
  for (const lease of candidates) {
    if (lease === null || evictable.has(lease.token)) continue
    const end = endOfTime(lease, view)
    if ('reason' in end) evictInto(evictable, lease, end, view)
  }
  const ended = [...evictable.values()]
  const actor = command.holder.agentId
  const operations: Operation[] = ended.map(({ members, reason, session }) => autoEvict(members, reason, actor, session))
  const sessions = command.resource === null ? goneSessions(view) : []
  if (sessions.length > 0) operations.push({ op: 'session', opId: null, actor, sessions })
  return accept(operations, {
    resources: [],
    ended: ended.flatMap(({ members }) => members),
    endedSessions: [...ended.map(({ session }) => session).filter(session => session !== null), ...sessions],
  })
}

/** Sessions that are gone and have no claim with which they would end. */
const goneSessions = (view: View): readonly Session[] =>
  [...view.sessions()]
    .filter(session => claimsOf(session, view).length === 0 && sessionStanding(session, null, view) === 'gone')
    .map(session => endedSession(session, 'holder-dead', view))
