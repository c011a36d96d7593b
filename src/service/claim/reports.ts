import type { Target } from '../../core/command.ts'
import { Fault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Holder, Lease } from '../../core/lease.ts'
import { isExpired } from '../../core/lease.ts'
import { wordRefusal } from '../../core/refusal.ts'
import type { Presented, Refusal } from '../../core/refusal.ts'
import type { Wire } from '../../core/wire.ts'
import { holderToWire } from '../../core/wire.ts'
import type { Reading } from '../../store/store.ts'
import { readLease, seeLease, seenToWire } from './answer.ts'
import type { Seen } from './answer.ts'
import { listedPending, pendingOf, pendingToWire } from './pending.ts'

/** In the order of their keys; comparing the keys alone is left to V8, which is faster at it than at calling a comparison. */
function seeAll(leases: Iterable<Lease>, view: Reading): readonly Seen[] {
  const seen = new Map<string, Seen>()
  for (const lease of leases) seen.set(lease.resource, seeLease(lease, view))
  return [...seen.keys()].toSorted().map(resource => seen.get(resource)!)
}

/** Every live lease of the repository, any kind, any holder. Expired ones that nobody evicted yet are shown as such. */
export const listedLeases = (view: Reading): readonly Seen[] => seeAll(view.all(), view)

export const listDocument = (leases: readonly Seen[], view: Reading): Wire => ({
  ok: true,
  leases: leases.map(seenToWire),
  count: leases.length,
  pending: listedPending(view).map(pendingToWire),
  warnings: view.warnings,
})

/** The leases of one resource or one agent; everything when neither is named. */
export function leasesOf(view: Reading, resource: string | null, agentId: string | null): readonly Seen[] {
  const chosen = resource === null ? [...view.all()] : [view.lease(resource)].filter(lease => lease !== null)
  return seeAll(
    chosen.filter(lease => agentId === null || lease.holder.agentId === agentId),
    view,
  )
}

export function statusDocument(leases: readonly Seen[], view: Reading, resource: string | null, agentId: string | null): Wire {
  const pending = pendingOf(view, resource, agentId).map(pendingToWire)
  return { ok: true, leases: leases.map(seenToWire), count: leases.length, pending, resource, agent: agentId, warnings: view.warnings }
}

/** What is asked where a token is not the current one. */
export interface Unclear {
  readonly whoAsks: () => Promise<Holder | null>
  /** What a lease that is no more was of; null where nothing tells. */
  readonly wasOf: (leaseId: string) => Promise<string | null>
}

/** The lease whose current token this is, and not expired. Throws `superseded` otherwise: whoever has it must stop; `unavailable` where nobody can know. */
export async function currentLease(view: Reading, target: Target, token: number, { whoAsks, wasOf }: Unclear): Promise<Lease> {
  if (view.doubt !== undefined) throw view.doubt
  const shown = 'leaseId' in target ? target.leaseId : null
  const named = 'leaseId' in target ? view.byLeaseId(target.leaseId) : view.lease(target.resource)
  const resource = named?.resource ?? ('leaseId' in target ? await wasOf(target.leaseId) : target.resource)
  if (resource === null)
    throw new Fault('superseded', `there is no lease ${shown}, so token ${token} is not the current one of anything`, {
      hint: 'to see the leases there are: lh claim list',
      details: { current: false, token: null },
    })
  // Of a lease that is no more it is said who has what it was of.
  const lease = named ?? view.lease(resource)
  if (lease === null || lease !== named || lease.token !== token)
    throw notCurrent(view, resource, lease, {
      presented: { leaseId: named === null ? shown : null, token },
      asker: lease === null ? null : await whoAsks(),
    })
  if (!isExpired(lease, view.now)) return lease
  throw new Fault('superseded', `token ${token} is the newest of ${resource}, but its lease has expired`, {
    hint: `renew is still possible while nobody takes it: lh claim renew ${shellWord(resource)}`,
    details: { current: false, token, resource, renewable: true },
  })
}

export const checkDocument = (view: Reading, lease: Lease): Wire => ({
  ok: true,
  current: true,
  token: lease.token,
  resource: lease.resource,
  lease: readLease(lease, view),
})

function notCurrent(
  view: Reading,
  resource: string,
  lease: Lease | null,
  { presented, asker }: { readonly presented: Presented & { readonly token: number }; readonly asker: Holder | null },
): Fault {
  const { token } = presented
  const past = lease === null ? view.past(resource) : null
  const refusal: Refusal = { kind: 'superseded', resource, lease, past, presented, ...(asker === null ? {} : { asker }) }
  const { message, hint } = wordRefusal(refusal, view.now)
  // Whoever shows a token that was never given has one of another log; for them the answer is the same: stop.
  const unknown =
    token > view.lastSeq ? `; the log ends at ${view.lastSeq}, so that token is from another store or from before a reset` : ''
  return new Fault('superseded', `${message}${unknown}`, {
    hint,
    details: { current: false, token: lease?.token ?? null, resource, ...(lease === null ? {} : { holder: holderToWire(lease.holder) }) },
  })
}
