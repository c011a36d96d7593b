import type { Group, Lease, Past, Slot } from './lease.ts'
import { isLasting } from './lease.ts'
import { kindOf } from './resource.ts'
import { endedBy } from './operation.ts'
import { sessionKey } from './session.ts'
import type { BeatOperation, BootOperation, Entry, OwnershipOperation, ReleaseOperation } from './operation.ts'

/**
 * What one key is after `entry`, given what it was before. Total and time-free: the fold of the log over this function *is* the state,
 * so replay gives the same deadlines on every machine. Shape after emmett's `evolve`; per key, so a reader may fold one key alone.
 */
export function evolve(slot: Slot, entry: Entry, resource: string): Slot {
  const { operation } = entry
  const session = 'sessions' in operation ? operation.sessions?.find(({ sessionId }) => sessionKey(sessionId) === resource) : undefined
  if (session !== undefined) return { ...slot, session: session.state === 'ended' ? null : session }
  switch (operation.op) {
    case 'acquire':
    case 'reserve':
    case 'confirm':
    case 'transfer':
    case 'resume':
    case 'reclaim':
      return slotOf(slot, owned(slot.lease, entry, operation, resource), endOf(slot, entry))
    case 'renew':
    case 'heartbeat':
      return slot.lease === null ? slot : slotOf(slot, beaten(slot.lease, entry, operation), slot.past)
    case 'release':
      return operation.remaining?.includes(resource) === true
        ? slotOf(slot, slot.lease === null ? null : regrouped(slot.lease, operation), slot.past)
        : slotOf(slot, null, endOf(slot, entry))
    case 'auto-evict':
    case 'force-evict':
      return slotOf(slot, null, endOf(slot, entry))
    case 'boot':
      return slot.lease === null ? slot : slotOf(slot, rebased(slot.lease, entry, operation), slot.past)
    case 'allow':
    case 'session':
    case 'repair':
      return slot
  }
}

function owned(before: Lease | null, entry: Entry, operation: OwnershipOperation, resource: string): Lease {
  const index = operation.resources.indexOf(resource)
  return {
    leaseId: operation.leaseIds[index]!,
    resource,
    state: operation.op === 'reserve' ? 'pending' : 'held',
    holder: operation.holder,
    token: entry.seq,
    ttlSecs: operation.ttlSecs,
    staleSecs: operation.staleSecs,
    // A resumed ownership is the same one with a new instance: people still ask since when it is held.
    acquiredAt: operation.op === 'resume' && before !== null ? before.acquiredAt : entry.at,
    lastBeatAt: entry.at,
    beat: entry.clk,
    deadlineM: deadline(entry.clk.m, operation.ttlSecs),
    branch: operation.branch,
    reason: operation.reason,
    note: null,
    binding: operation.binding,
    group: groupOf(operation.leaseIds, operation.resources),
  }
}

const deadline = (m: number, ttlSecs: number): number | null => (ttlSecs === 0 ? null : m + ttlSecs * 1000)

const groupOf = (leaseIds: readonly string[], resources: readonly string[]): Group | null =>
  resources.length === 1 ? null : { id: leaseIds[0]!, resources }

/** Spelled out: a record is folded for each command of everybody, and spreading an object costs several times that. */
const slotOf = ({ session }: Slot, lease: Lease | null, past: Past | null): Slot => ({ lease, past, session })

const beaten = (lease: Lease, entry: Entry, operation: BeatOperation): Lease => ({
  ...lease,
  ttlSecs: operation.ttlSecs,
  lastBeatAt: entry.at,
  beat: entry.clk,
  deadlineM: deadline(entry.clk.m, operation.ttlSecs),
  note: operation.note ?? lease.note,
  reason: operation.reason ?? lease.reason,
  branch: operation.branch ?? lease.branch,
})

const regrouped = (lease: Lease, operation: ReleaseOperation): Lease => ({
  ...lease,
  group:
    operation.remaining === null || operation.remaining.length === 1
      ? null
      : { id: lease.group?.id ?? lease.leaseId, resources: operation.remaining },
})

/**
 * Between two clocks only the wall clock can say how long it was. It is clamped at both ends, so a wrong one can shorten only leases
 * whose processes did not survive, and lengthen none beyond a whole TTL and the grace.
 */
function rebased(lease: Lease, entry: Entry, operation: BootOperation): Lease {
  const silentMs = Math.max(0, entry.at - lease.lastBeatAt)
  const ttlMs = lease.ttlSecs * 1000
  return {
    ...lease,
    beat: { b: entry.clk.b, m: entry.clk.m - silentMs },
    // Two clocks may take turns for ever, so there the grace counts from the last beat and not from each turn.
    deadlineM:
      lease.ttlSecs === 0
        ? null
        : entry.clk.m +
          (operation.twoClocks ? Math.max(0, ttlMs + operation.graceMs - silentMs) : Math.max(0, ttlMs - silentMs) + operation.graceMs),
  }
}

function endOf(slot: Slot, entry: Entry): Past | null {
  const { lease } = slot
  const how = endedBy(entry.operation)
  if (lease === null || how === null) return slot.past
  const { operation } = entry
  // Work on a ticket is finished; the worktree and the branch that were held with it are merely given back.
  const outcome = operation.op === 'release' && kindOf(lease.resource) === 'ticket' ? operation.outcome : null
  // Who holds finished work for a moment, to close it or to correct its text, and crashes there has not reopened it; and what was
  // reopened stays so until it is finished again, whatever older copies of the ticket say.
  const stays = outcome === null && isLasting(slot.past) ? slot.past : null
  return {
    resource: lease.resource,
    token: lease.token,
    leaseId: lease.leaseId,
    holder: lease.holder,
    endedBy: how,
    reason: 'reason' in operation ? operation.reason : null,
    outcome: stays?.outcome ?? outcome,
    outcomeBy: stays === null ? (outcome === null ? null : operation.actor) : stays.outcomeBy,
    branch: stays === null ? lease.branch : stays.branch,
    endedAt: entry.at,
    endedSeq: entry.seq,
  }
}
