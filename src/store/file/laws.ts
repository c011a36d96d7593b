import type { Holder, Lease } from '../../core/lease.ts'
import { isExpired, sameHolder } from '../../core/lease.ts'
import type { BootOperation, Entry, EvictOperation, OwnershipOperation, ReleaseOperation } from '../../core/operation.ts'
import { isPath, pathsOverlap } from '../../core/resource.ts'
import type { State } from '../state.ts'

// What no sequence of records may do, whoever wrote it and however well its checksums match. Written down a second time, apart from
// `decide`, so that a mistake there does not excuse itself here.

/** Which law a record breaks when it follows `state`, or null. */
export function breach(state: State, entry: Entry): string | null {
  const { operation } = entry
  switch (operation.op) {
    case 'acquire':
    case 'reserve':
      return clockBreach(state, entry) ?? grantBreach(state, entry, operation)
    case 'confirm':
    case 'transfer':
    case 'resume':
    case 'reclaim':
      return clockBreach(state, entry) ?? succession(state, operation)
    case 'renew':
    case 'heartbeat':
      return clockBreach(state, entry) ?? subjectBreach(state, operation, operation.token, operation.holder, true)
    case 'release':
      return clockBreach(state, entry) ?? releaseBreach(state, operation)
    case 'auto-evict':
    case 'force-evict':
      return clockBreach(state, entry) ?? evictBreach(state, entry, operation)
    case 'allow':
    case 'session':
      return clockBreach(state, entry)
    case 'boot':
      return bootBreach(state, entry, operation)
    case 'repair':
      if (operation.lastGoodSeq !== state.lastSeq)
        return `it repairs a log that ended at ${operation.lastGoodSeq}, and this one ended at ${state.lastSeq}`
      return clockBreach(state, entry)
  }
}

/** Only a `boot` record may change the clock, and within one boot time does not go back. */
function clockBreach(state: State, { clk }: Entry): string | null {
  const { current } = state.clocks
  if (clk.b !== current.b) return `it is on another clock (${clk.b}), and no boot record says so`
  return clk.m < current.m ? `its time (${clk.m}) is before the last record's (${current.m})` : null
}

function bootBreach(state: State, { clk }: Entry, { previous }: BootOperation): string | null {
  const { current } = state.clocks
  if (previous.b !== current.b || previous.m !== current.m) return 'it continues another clock than the last record has'
  return clk.b === current.b ? 'it starts the clock that was running' : null
}

function grantBreach(state: State, entry: Entry, operation: OwnershipOperation): string | null {
  if (operation.from !== null) return `${operation.op} takes over from another holder`
  if (operation.leaseIds.length !== operation.resources.length) return 'it has not one lease for each resource'
  for (const resource of operation.resources) {
    const { lease, past } = state.slot(resource)
    if (lease !== null) return `it grants ${resource}, which ${lease.holder.agentId} holds with token ${lease.token}`
    if (past !== null && past.token >= entry.seq) return `its token for ${resource} is not larger than the last one (${past.token})`
    const overlapping = isPath(resource) ? overlap(state, resource, operation.holder) : null
    if (overlapping !== null)
      return `it grants ${resource}, and ${overlapping.holder.agentId} holds ${overlapping.resource} with token ${overlapping.token}`
  }
  return null
}

function overlap(state: State, resource: string, holder: Holder): Lease | null {
  for (const lease of state.paths()) if (!sameHolder(lease.holder, holder) && pathsOverlap(lease.resource, resource)) return lease
  return null
}

function succession(state: State, operation: OwnershipOperation): string | null {
  const { from, op, resources, leaseIds } = operation
  if (from === null) return `${op} names no holder before`
  if (leaseIds.length !== resources.length) return 'it has not one lease for each resource'
  return subjectBreach(state, { resources, leaseIds: from.leaseIds }, from.token, from.holder, true)
}

function releaseBreach(state: State, operation: ReleaseOperation): string | null {
  const { resources, remaining, token, holder } = operation
  const wrong = subjectBreach(state, operation, token, holder, remaining === null)
  if (wrong !== null || remaining === null) return wrong
  const group = state.slot(resources[0]!).lease?.group?.resources ?? []
  const told = new Set([...resources, ...remaining])
  return told.size === group.length && group.every(member => told.has(member))
    ? null
    : 'what it releases and what it leaves are not the group'
}

function evictBreach(state: State, entry: Entry, operation: EvictOperation): string | null {
  const wrong = subjectBreach(state, operation, operation.previousToken, operation.previousHolder, true)
  if (wrong !== null || operation.op === 'force-evict' || operation.reason === 'holder-dead') return wrong
  const { lease } = state.slot(operation.resources[0]!)
  return lease !== null && isExpired(lease, entry.clk) ? null : `it evicts ${operation.resources[0]} before its time`
}

/** Everything that an operation on an ownership names must be that ownership's, and all of its group unless it says otherwise. */
function subjectBreach(
  state: State,
  { resources, leaseIds }: { readonly resources: readonly string[]; readonly leaseIds: readonly string[] },
  token: number,
  holder: Holder,
  whole: boolean,
): string | null {
  for (const [index, resource] of resources.entries()) {
    const { lease } = state.slot(resource)
    if (lease === null) return `${resource} is not held`
    if (lease.token !== token) return `its token for ${resource} is ${token}, and the one that holds is ${lease.token}`
    if (lease.leaseId !== leaseIds[index]) return `${resource} is held under another lease id`
    if (!sameHolder(lease.holder, holder)) return `${resource} is held by ${lease.holder.agentId}, not by ${holder.agentId}`
    if (whole && (lease.group?.resources.length ?? 1) !== resources.length) return `it leaves out a part of the group of ${resource}`
  }
  return null
}
