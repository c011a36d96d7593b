import type { Target } from '../../core/command.ts'
import { Fault } from '../../core/fault.ts'
import type { Lease } from '../../core/lease.ts'
import { isExpired } from '../../core/lease.ts'
import { wordRefusal } from '../../core/refusal.ts'
import type { Wire } from '../../core/wire.ts'
import { holderToWire } from '../../core/wire.ts'
import type { Reading } from '../../store/store.ts'
import { readLease } from './answer.ts'

/** Leases on the wire. */
export interface LeasesDocument extends Wire {
  readonly leases: readonly Wire[]
}

const byResource = (a: Lease, b: Lease): number => (a.resource < b.resource ? -1 : a.resource > b.resource ? 1 : 0)

/** Every live lease of the repository, any kind, any holder. Expired ones that nobody evicted yet are shown as such. */
export function listDocument(view: Reading): LeasesDocument {
  const leases = [...view.all()].toSorted(byResource).map(lease => readLease(lease, view))
  return { ok: true, leases, count: leases.length, pending: [], warnings: view.warnings }
}

/** The leases of one resource or one agent; everything when neither is named. */
export function statusDocument(view: Reading, resource: string | null, agentId: string | null): LeasesDocument {
  const chosen = resource === null ? [...view.all()] : [view.lease(resource)].filter(lease => lease !== null)
  const leases = chosen
    .filter(lease => agentId === null || lease.holder.agentId === agentId)
    .toSorted(byResource)
    .map(lease => readLease(lease, view))
  return { ok: true, leases, count: leases.length, pending: [], resource, agent: agentId, warnings: view.warnings }
}

/** Is this the current token, and not expired? Throws `superseded` otherwise: whoever has it must stop. */
export function checkDocument(view: Reading, target: Target, token: number): Wire {
  const lease = 'leaseId' in target ? view.byLeaseId(target.leaseId) : view.lease(target.resource)
  const resource = 'leaseId' in target ? (lease?.resource ?? target.leaseId) : target.resource
  if (lease === null || lease.token !== token) throw notCurrent(view, resource, lease, token)
  if (!isExpired(lease, view.now)) return { ok: true, current: true, token, resource, lease: readLease(lease, view) }
  throw new Fault('superseded', `token ${token} is the newest of ${resource}, but its lease has expired`, {
    hint: `renew is still possible while nobody takes it: lh claim renew ${resource}`,
    details: { current: false, token, resource, renewable: true },
  })
}

function notCurrent(view: Reading, resource: string, lease: Lease | null, token: number): Fault {
  const past = lease === null ? view.past(resource) : null
  const { message, hint } = wordRefusal({ kind: 'superseded', resource, lease, past, presented: { leaseId: null, token } }, view.now)
  // Whoever shows a token that was never given has one of another log; for them the answer is the same: stop.
  const unknown =
    token > view.lastSeq ? `; the log ends at ${view.lastSeq}, so that token is from another store or from before a reset` : ''
  return new Fault('superseded', `${message}${unknown}`, {
    hint,
    details: { current: false, token: lease?.token ?? null, resource, ...(lease === null ? {} : { holder: holderToWire(lease.holder) }) },
  })
}
