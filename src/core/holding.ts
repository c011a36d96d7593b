import type { Asked, Beat, Confirm, Guard, Reclaim, Release, Resume, Target, Transfer } from './command.ts'
import { accept, refuse } from './decision.ts'
import type { Decision } from './decision.ts'
import { isExpired, isStale, sameHolder } from './lease.ts'
import type { Binding, Holder, Lease } from './lease.ts'
import type { OwnershipOperation } from './operation.ts'
import { beatOn, freshIds, indefiniteRefusal, isLeftBehind, leasesWith, membersOf, subjectOf } from './ownership.ts'
import { isTtl } from './policy.ts'
import type { Policy } from './policy.ts'
import type { Presented, Refusal } from './refusal.ts'
import { isPath, kindOf, nameOf, pathsOverlap } from './resource.ts'
import { union } from './session.ts'
import type { Session } from './session.ts'
import { launchedWith, sessionStanding } from './standing.ts'
import type { View } from './view.ts'

// What a holder does with its lease: renew, prove, give back, hand over.

export const noProof: Presented = { leaseId: null, token: null }

/** Finds the lease that is meant, or says why there is none. */
export function find(target: Target, presented: Presented, view: View): { readonly lease: Lease } | { readonly refusal: Refusal } {
  if ('leaseId' in target) {
    const lease = view.byLeaseId(target.leaseId)
    return lease === null ? { refusal: { kind: 'unknown-lease', leaseId: target.leaseId } } : { lease }
  }
  const lease = view.lease(target.resource)
  if (lease !== null) return { lease }
  const showsProof = presented.leaseId !== null || presented.token !== null
  const past = view.past(target.resource)
  if (showsProof) return { refusal: { kind: 'superseded', resource: target.resource, lease: null, past, presented } }
  return { refusal: { kind: 'not-held', resource: target.resource } }
}

/**
 * May the caller act for this lease? A presented token or lease id must match, identity does not rescue an old one; both together
 * are enough for anybody; alone or absent they leave the question to identity.
 */
function authorityRefusal(lease: Lease, holder: Holder, presented: Presented): Refusal | null {
  const { leaseId, token } = presented
  const wrong = (token !== null && token !== lease.token) || (leaseId !== null && leaseId !== lease.leaseId)
  if (wrong) return { kind: 'superseded', resource: lease.resource, lease, past: null, presented, asker: holder }
  if (leaseId !== null && token !== null) return null
  if (sameHolder(holder, lease.holder)) return null
  const { agentId, worktreeId } = lease.holder
  return { kind: 'not-owner', lease, sameAgent: holder.agentId === agentId, sameWorktree: holder.worktreeId === worktreeId }
}

/** `find` and `authorityRefusal` in one: the lease, if it is there and the caller's. */
function ownLease(
  command: { readonly target: Target; readonly presented: Presented; readonly holder: Holder },
  view: View,
): { readonly lease: Lease } | { readonly refusal: Refusal } {
  // A lease id that is shown beside the one that is named has to be the same.
  const presented =
    'leaseId' in command.target ? { ...command.presented, leaseId: command.presented.leaseId ?? command.target.leaseId } : command.presented
  const found = find(command.target, presented, view)
  if ('refusal' in found) return found
  const refusal = authorityRefusal(found.lease, command.holder, presented)
  return refusal === null ? found : { refusal }
}

export function beat(command: Beat, view: View, policy: Policy): Decision {
  if (command.ttlSecs !== null && !isTtl(command.ttlSecs)) return refuse({ kind: 'bad-ttl', ttlSecs: command.ttlSecs, reservation: false })
  const found = ownLease(command, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (command.ttlSecs === 0 && lease.state === 'pending') return refuse({ kind: 'bad-ttl', ttlSecs: 0, reservation: true })
  if (command.ttlSecs === 0 && lease.ttlSecs !== 0) {
    const refusal = indefiniteRefusal(lease.holder.agentId, command.reason, view, policy, { adding: leasesWith(lease) })
    if (refusal !== null) return refuse(refusal)
  }
  const operation = beatOn(lease, command.type, command.holder.agentId, command.ttlSecs, command.note, command.opId, view, {
    reason: command.reason,
  })
  return accept([operation], { resources: operation.resources, late: operation.late })
}

export function guard(command: Guard, view: View): Decision {
  const found = ownLease(command, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (!isExpired(lease, view.now)) return accept([], { resources: [lease.resource] })
  const operation = beatOn(lease, 'renew', command.holder.agentId, null, null, command.opId, view)
  return accept([operation], { resources: operation.resources, late: true })
}

export function release(command: Release, view: View): Decision {
  const found = ownLease(command, view)
  if ('refusal' in found) return alreadyReleased(command, view) ?? refuse(found.refusal)
  const { lease } = found
  const members = membersOf(lease, view)
  const leaving = command.only ? [lease] : members
  const staying = command.only ? members.filter(member => member.resource !== lease.resource) : []
  return accept(
    [
      {
        op: 'release',
        opId: command.opId,
        actor: command.holder.agentId,
        ...subjectOf(leaving),
        token: lease.token,
        holder: lease.holder,
        reason: command.reason,
        outcome: command.outcome,
        remaining: staying.length === 0 ? null : staying.map(member => member.resource),
      },
    ],
    { resources: leaving.map(each => each.resource), ended: leaving },
  )
}

/** A holder that repeats its own release is told that it is done. */
function alreadyReleased(command: Release, view: View): Decision | null {
  if (!('resource' in command.target) || view.lease(command.target.resource) !== null) return null
  const past = view.past(command.target.resource)
  if (past === null || past.endedBy !== 'release') return null
  const { leaseId, token } = command.presented
  const presentedIt = (token === null || token === past.token) && (leaseId === null || leaseId === past.leaseId)
  const isTheirs = sameHolder(command.holder, past.holder) || (leaseId !== null && token !== null)
  return presentedIt && isTheirs ? accept([], { resources: [command.target.resource] }) : null
}

export function transfer(command: Transfer, view: View, policy: Policy): Decision {
  if (command.ttlSecs !== null && !isTtl(command.ttlSecs)) return refuse({ kind: 'bad-ttl', ttlSecs: command.ttlSecs, reservation: false })
  const found = ownLease(command, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (lease.state === 'pending') return refuse({ kind: 'pending', lease })
  if (sameHolder(lease.holder, command.to)) return refuse({ kind: 'same-holder', lease })
  const collision = collisionOf(lease, command.to, view)
  if (collision !== null) return refuse({ ...collision, handing: true })
  // A claim without a deadline because its agent could be started again gets one with another agent.
  const kept = launchedWith(lease, view)?.state === 'restorable'
  const ttlSecs = command.ttlSecs ?? (kept ? policy.ttlSecs : lease.ttlSecs)
  if (ttlSecs === 0) {
    const refusal = indefiniteRefusal(command.to.agentId, command.reason, view, policy, { adding: leasesWith(lease), except: lease.token })
    if (refusal !== null) return refuse(refusal)
  }
  const members = membersOf(lease, view)
  // The new owner is another process: what the old one was bound to says nothing about it.
  const next = command.toSession === undefined ? null : view.session(command.toSession)
  if (command.toSession !== undefined && next === null) return refuse({ kind: 'no-session', sessionId: command.toSession })
  if (next !== null && sessionStanding(next, null, view) === 'gone')
    return refuse({ kind: 'session-is', session: next, standing: 'gone', wanted: 'live' })
  const operation = handOver('transfer', command, members, command.to, freshIds(command.leaseId, members), {
    ttlSecs,
    reason: command.reason,
    binding: next?.binding ?? null,
  })
  const sessions = handedOn(members, next, view)
  return accept([sessions.length === 0 ? operation : { ...operation, sessions }], { resources: operation.resources, ended: members })
}

/** A launched claim goes to another session with the peers that its work has, known on both sides, and its own session stays their peer. */
function handedOn(members: readonly Lease[], to: Session | null, view: View): readonly Session[] {
  const from = launchedWith(members[0]!, view)
  const tickets = members.filter(({ resource }) => kindOf(resource) === 'ticket').map(({ resource }) => nameOf(resource))
  const sessions: Session[] = []
  if (from !== null) {
    const relatedTickets = from.relatedTickets.filter(ticket => !tickets.includes(ticket))
    sessions.push({ ...from, relatedTickets, peers: to === null ? from.peers : union(from.peers, [to.sessionId]) })
  }
  if (to !== null) {
    const peers = from === null ? to.peers : union(to.peers, [from.sessionId, ...from.peers.filter(peer => peer !== to.sessionId)])
    sessions.push({ ...to, relatedTickets: union(to.relatedTickets, tickets), peers })
    for (const id of from?.peers ?? []) {
      const peer = id === to.sessionId ? null : view.session(id)
      if (peer !== null) sessions.push({ ...peer, peers: union(peer.peers, [to.sessionId]) })
    }
  }
  return sessions
}

/** One holder's paths may overlap; handing one of them to another would make two holders share files. */
function collisionOf(lease: Lease, to: Holder, view: View): Extract<Refusal, { kind: 'held' }> | null {
  for (const { resource, token } of membersOf(lease, view)) {
    if (!isPath(resource)) continue
    for (const other of view.paths()) {
      const apart = other.token !== token && !sameHolder(other.holder, to)
      if (apart && pathsOverlap(other.resource, resource)) return { kind: 'held', lease: other, wanted: resource }
    }
  }
  return null
}

function handOver(
  op: 'transfer' | 'resume' | 'reclaim' | 'confirm',
  command: Asked,
  members: readonly Lease[],
  holder: Holder,
  leaseIds: readonly string[],
  terms: { readonly ttlSecs: number; readonly reason: string | null; readonly binding: Binding | null },
): OwnershipOperation {
  const lease = members[0]!
  return {
    op,
    opId: command.opId,
    actor: command.holder.agentId,
    resources: members.map(member => member.resource),
    leaseIds,
    holder,
    ttlSecs: terms.ttlSecs,
    staleSecs: lease.staleSecs,
    branch: lease.branch,
    reason: terms.reason,
    binding: terms.binding,
    from: { holder: lease.holder, token: lease.token, leaseIds: members.map(member => member.leaseId) },
  }
}

export function confirm(command: Confirm, view: View, policy: Policy): Decision {
  if (command.ttlSecs !== null && !isTtl(command.ttlSecs)) return refuse({ kind: 'bad-ttl', ttlSecs: command.ttlSecs, reservation: false })
  const presented = { leaseId: null, token: command.token }
  const found = find(command.target, presented, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (lease.token !== command.token) return refuse({ kind: 'superseded', resource: lease.resource, lease, past: null, presented })
  if (lease.state !== 'pending') return refuse({ kind: 'not-pending', lease })
  const collision = collisionOf(lease, command.holder, view)
  if (collision !== null) return refuse(collision)
  const ttlSecs = command.ttlSecs ?? policy.ttlSecs
  if (ttlSecs === 0) {
    const refusal = indefiniteRefusal(command.holder.agentId, lease.reason, view, policy, { adding: leasesWith(lease) })
    if (refusal !== null) return refuse(refusal)
  }
  const members = membersOf(lease, view)
  const operation = handOver('confirm', command, members, command.holder, freshIds(command.leaseId, members), {
    ttlSecs,
    reason: lease.reason,
    binding: command.binding,
  })
  return accept([operation], { resources: operation.resources })
}

export function resume(command: Resume, view: View): Decision {
  const found = find(command.target, noProof, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (lease.state === 'pending') return refuse({ kind: 'pending', lease })
  if (lease.holder.agentId !== command.holder.agentId || lease.holder.worktreeId !== command.holder.worktreeId) {
    return refuse({ kind: 'held', lease, wanted: lease.resource })
  }
  const members = membersOf(lease, view)
  if (sameHolder(lease.holder, command.holder) && !isLeftBehind(lease, view))
    return accept([], { resources: members.map(member => member.resource), alreadyHeld: true })
  const ids = members.map(member => member.leaseId)
  const operation = handOver('resume', command, members, command.holder, ids, {
    ttlSecs: lease.ttlSecs,
    reason: lease.reason,
    binding: command.binding,
  })
  return accept([operation], { resources: operation.resources })
}

export function reclaim(command: Reclaim, view: View, policy: Policy): Decision {
  const presented = { leaseId: null, token: command.token }
  const found = find(command.target, presented, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (!isStale(lease, view.now)) return refuse({ kind: 'not-stale', lease })
  if (lease.token !== command.token) return refuse({ kind: 'superseded', resource: lease.resource, lease, past: null, presented })
  if (command.reason === null) return refuse({ kind: 'reason-required', what: 'a reclaim' })
  const collision = collisionOf(lease, command.holder, view)
  if (collision !== null) return refuse(collision)
  const limit = indefiniteRefusal(command.holder.agentId, command.reason, view, policy, { adding: leasesWith(lease), except: lease.token })
  if (limit !== null) return refuse(limit)
  const members = membersOf(lease, view)
  const terms = { ttlSecs: lease.ttlSecs, reason: command.reason, binding: null }
  const operation = handOver('reclaim', command, members, command.holder, freshIds(command.leaseId, members), terms)
  return accept([operation], { resources: operation.resources, ended: members })
}
