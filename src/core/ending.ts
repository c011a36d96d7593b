import type { Allow, ForceEvict, Sweep } from './command.ts'
import { accept, refuse } from './decision.ts'
import type { Decision } from './decision.ts'
import { find } from './holding.ts'
import type { EvictOperation } from './operation.ts'
import { autoEvict, endOfTime, membersOf } from './ownership.ts'
import type { Evictable } from './ownership.ts'
import type { View } from './view.ts'

// What others do to a lease, and to its work.

export function forceEvict(command: ForceEvict, view: View): Decision {
  if (command.reason.trim() === '') return refuse({ kind: 'reason-required', what: 'an eviction' })
  const presented = { leaseId: 'leaseId' in command.target ? command.target.leaseId : null, token: command.token }
  const found = find(command.target, presented, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (command.token !== null && command.token !== lease.token)
    return refuse({ kind: 'superseded', resource: lease.resource, lease, past: null, presented })
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
    if ('reason' in end) evictable.set(lease.token, { members: membersOf(lease, view), reason: end.reason })
  }
  const ended = [...evictable.values()]
  return accept(
    ended.map(({ members, reason }) => autoEvict(members, reason, command.holder.agentId)),
    { resources: [], ended: ended.flatMap(({ members }) => members) },
  )
}
