import { sameHolder } from '../../core/lease.ts'
import type { Holder, Lease, Slot } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { isOwnership } from '../../core/operation.ts'

// What no sequence of records about one key may do, whoever wrote it. Written down apart from `decide`, so that a mistake there does not
// excuse itself here. Time is not judged: it was the engine's, and left no record.

/** Which law a record breaks for this key when it follows `slot`, or null. `lastToken`: the largest that the key was given before. */
export function breach(slot: Slot, entry: Entry, resource: string, lastToken: number): string | null {
  const { operation } = entry
  const { lease } = slot
  if (!('resources' in operation) || !operation.resources.includes(resource)) return null
  if (isOwnership(operation)) {
    if (entry.seq <= lastToken) return `its token ${entry.seq} is not larger than ${lastToken}, which was given before`
    if (operation.leaseIds.length !== operation.resources.length) return 'it has not one lease for each resource'
    const { from, op } = operation
    if (op !== 'acquire' && op !== 'reserve')
      return from === null ? `${op} names no holder before` : subject(lease, resource, from.token, from.holder)
    return lease === null ? null : `it grants what ${lease.holder.agentId} holds with token ${lease.token}`
  }
  switch (operation.op) {
    case 'renew':
    case 'heartbeat':
    case 'release':
      return subject(lease, resource, operation.token, operation.holder)
    case 'auto-evict':
    case 'force-evict':
      return subject(lease, resource, operation.previousToken, operation.previousHolder)
    case 'allow':
      return null
  }
}

function subject(lease: Lease | null, resource: string, token: number, holder: Holder): string | null {
  if (lease === null) return `it is about an ownership of ${resource}, which nobody holds there`
  if (lease.token !== token) return `it is about token ${token}, and the one that holds is ${lease.token}`
  return sameHolder(lease.holder, holder) ? null : `it is about ${holder.agentId}, and ${lease.holder.agentId} holds ${resource}`
}
