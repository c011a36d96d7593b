import type { Wire } from '../../core/wire.ts'
import type { MemberHealth, Reading } from '../../store/store.ts'

/** What is told of a cluster beside its leases. */
export interface Cluster {
  readonly document: Wire
  /** One line for people. */
  readonly words: string
  /** What is not known for certain, and why. */
  readonly uncertain: readonly string[]
}

/** How a cluster is, and what of the leases is uncertain because of that or because a holder is silent. */
export function clusterOf(view: Reading, members: readonly MemberHealth[]): Cluster {
  const silent = members.filter(({ state }) => state === 'silent' || state === 'leaderless')
  const leader = members.find(({ state }) => state === 'leader')
  const uncertain = [
    ...silent.map(({ endpoint, state, error }) =>
      state === 'silent' ? `${endpoint} does not answer (${error}); what is shown is a majority's word` : `${endpoint} knows no leader`,
    ),
    ...(leader === undefined && silent.length < members.length
      ? ['no member that was asked leads: the leader is not in the URL, or is being elected']
      : []),
    ...[...view.all()]
      .filter(lease => view.lapse(lease).state !== 'running')
      .map(
        ({ resource, holder }) =>
          `${resource}: ${holder.agentId} is silent; whether they are gone is being weighed, and until then they have it`,
      ),
  ]
  const answering = members.length - silent.length
  return {
    document: { answered_by: view.answeredBy, members, uncertain },
    words: `${answering} of ${members.length} members answer${leader === undefined ? '' : `, ${leader.endpoint} leads`}`,
    uncertain,
  }
}
