import type { Holder, Instant, Lease, Past } from '../../core/lease.ts'
import { shellWord } from '../../core/shell-word.ts'
import { isExpired, remainingMs, sameHolder } from '../../core/lease.ts'
import { inWords } from '../../core/refusal.ts'
import { nameOf } from '../../core/resource.ts'
import type { Ownership } from './ownership.ts'
import { covers } from './paths.ts'

/** A lease id and its token, as a hook presents them. */
export interface Proof {
  readonly leaseId: string | null
  readonly token: number
}

/** How a resource stands to whoever commits. */
export type Standing =
  | { readonly kind: 'mine'; readonly lease: Lease; readonly expired: boolean }
  | { readonly kind: 'theirs'; readonly lease: Lease }
  /** It was the committer's, and time or somebody's word ended that. */
  | { readonly kind: 'lost'; readonly resource: string; readonly token: number; readonly how: string; readonly lease: Lease | null }
  | { readonly kind: 'free' }

/** What a standing follows from. */
export interface StandingFacts {
  readonly resource: string
  readonly lease: Lease | null
  readonly past: Past | null
  readonly proof: Proof | null
  /** The ownership that the proof is of, as the log tells; needed only when neither `lease` nor `past` is it. */
  readonly ownership: Ownership | null
  /** Null where nobody can be named. */
  readonly me: Holder | null
  readonly now: Instant
}

const isProofOf = ({ leaseId, token }: Proof, owned: { readonly leaseId: string; readonly token: number }): boolean =>
  token === owned.token && (leaseId === null || leaseId === owned.leaseId)

/** Is the ownership that a proof is of neither the present nor the last one? Then only the log can tell what became of it. */
export const needsLog = ({ lease, past, proof }: Pick<StandingFacts, 'lease' | 'past' | 'proof'>): boolean =>
  proof !== null && !(lease !== null && isProofOf(proof, lease)) && !(past !== null && isProofOf(proof, past))

/** A presented proof has to match; identity does not rescue an old one. */
export function standingOf({ resource, lease, past, proof, ownership, me, now }: StandingFacts): Standing {
  if (lease !== null && proof !== null && isProofOf(proof, lease)) return { kind: 'mine', lease, expired: isExpired(lease, now) }
  const ended = proof === null ? null : past !== null && isProofOf(proof, past) ? past : ownership
  const current = lease === null || isExpired(lease, now) ? null : lease
  if (proof !== null && ended !== null) {
    const { endedBy, reason } = ended
    if (endedBy === 'auto-evict' || endedBy === 'force-evict' || endedBy === 'reclaim')
      return { kind: 'lost', resource, token: proof.token, how: `${endedBy}${reason === null ? '' : ` (${reason})`}`, lease: current }
  }
  if (lease !== null && me !== null && sameHolder(lease.holder, me) && proof === null)
    return { kind: 'mine', lease, expired: isExpired(lease, now) }
  return current === null ? { kind: 'free' } : { kind: 'theirs', lease: current }
}

/** What a commit is about to do, and how everything stands that it touches. */
export interface CommitFacts {
  /** Changed against HEAD, relative to the top of the worktree; both names of a rename. */
  readonly changed: readonly string[]
  /** A merge, cherry-pick, revert, rebase or `git am` goes on: ticket files come from commits that were judged where they were made. */
  readonly replaying: boolean
  /** Key of the branch that gets the commit; null on a detached HEAD. */
  readonly branch: string | null
  /** Id of the ticket that this worktree was made for. */
  readonly purpose: string | null
  /** The worktree that commits. */
  readonly worktreeId: string | null
  readonly ignoreCase: boolean
  /** All `path:` leases that are not over. */
  readonly paths: readonly Standing[]
  standing(resource: string): Standing
  readonly now: Instant
}

/** Why a commit is refused: one sentence, and what to do. */
export interface Objection {
  readonly message: string
  readonly hint: string
}

export interface CommitVerdict {
  readonly objections: readonly Objection[]
  /** Leases of the committer that have expired and that nobody took: they are renewed, and the commit goes on. */
  readonly renew: readonly Lease[]
}

const ticketFile = /^\.leasehold\/tickets\/([^/]+)\/(?:ticket|resolution)\.md$/

/** The tickets whose own files are among these; events are for everybody to add to. */
export const ticketsIn = (changed: readonly string[]): readonly string[] => [
  ...new Set(changed.flatMap(file => ticketFile.exec(file)?.[1]?.toLowerCase() ?? [])),
]

/** May this be committed? */
export function judgeCommit(facts: CommitFacts): CommitVerdict {
  const objections: Objection[] = []
  const renew = new Map<string, Lease>()
  const uses = (standing: Standing): void => {
    if (standing.kind === 'mine' && standing.expired) renew.set(standing.lease.leaseId, standing.lease)
  }
  const worktree = facts.purpose === null ? null : facts.standing(`ticket:${facts.purpose}`)
  if (worktree !== null) {
    uses(worktree)
    const objection = objectionToWorktree(facts, worktree)
    if (objection !== null) objections.push(objection)
  }
  for (const ticket of facts.replaying ? [] : ticketsIn(facts.changed)) {
    const standing = facts.standing(`ticket:${ticket}`)
    uses(standing)
    if (standing.kind === 'mine' || standing.kind === 'free' || (objections.length > 0 && ticket === facts.purpose)) continue
    objections.push(objectionToTicket(ticket, standing, facts.now))
  }
  const branch = facts.branch === null ? null : facts.standing(facts.branch)
  if (branch !== null) uses(branch)
  if (branch?.kind === 'theirs')
    objections.push({
      message: `a commit on ${nameOf(branch.lease.resource)} is not yours to make: ${heldBy(branch.lease, facts.now)}`,
      hint: `commit on a branch of your own: git switch -c <branch>; who and why: lh why ${shellWord(branch.lease.resource)}`,
    })
  for (const standing of facts.paths) {
    const lease = standing.kind === 'mine' || standing.kind === 'theirs' ? standing.lease : null
    const touched = lease === null ? [] : facts.changed.filter(file => covers(lease.resource, file, facts.ignoreCase))
    if (lease === null || touched.length === 0) continue
    uses(standing)
    if (standing.kind === 'theirs') objections.push(objectionToPath(lease, touched, facts.now))
  }
  return { objections, renew: objections.length === 0 ? [...renew.values()] : [] }
}

/** In a worktree that was made for a ticket nothing is committed once its lease is lost. A colleague in the same worktree is none. */
function objectionToWorktree({ purpose, worktreeId, now }: CommitFacts, standing: Standing): Objection | null {
  if (standing.kind === 'theirs' && standing.lease.holder.worktreeId !== worktreeId)
    return {
      message: `this worktree was made for ticket ${purpose}, and ${heldBy(standing.lease, now)}`,
      hint: `keep your work where it is and ask them, or: lh claim acquire ${purpose} --wait; who and why: lh why ${purpose}`,
    }
  if (standing.kind !== 'lost') return null
  const { lease, how, token } = standing
  return {
    message: `this worktree was made for ticket ${purpose}, and your lease of it (token ${token}) ended by ${how}; ${lease === null ? 'nobody holds it now' : heldBy(lease, now)}`,
    hint:
      lease === null
        ? `to take it again: lh claim acquire ${purpose}, then commit`
        : `keep your work where it is and ask them, or: lh claim acquire ${purpose} --wait; who and why: lh why ${purpose}`,
  }
}

function objectionToTicket(ticket: string, standing: Extract<Standing, { kind: 'theirs' | 'lost' }>, now: Instant): Objection {
  const leave = `leave its files out: git restore --staged ${shellWord(`.leasehold/tickets/${ticket}`)}`
  if (standing.kind === 'theirs')
    return {
      message: `the files of ticket ${ticket} are changed, and ${heldBy(standing.lease, now)}`,
      hint: `${leave}; who and why: lh why ${ticket}`,
    }
  const { lease, how, token } = standing
  return {
    message: `the files of ticket ${ticket} are changed, and your lease of it (token ${token}) ended by ${how}; ${lease === null ? 'nobody holds it now' : heldBy(lease, now)}`,
    hint: lease === null ? `to take it again: lh claim acquire ${ticket}; or ${leave}` : `${leave}; who and why: lh why ${ticket}`,
  }
}

function objectionToPath(lease: Lease, touched: readonly string[], now: Instant): Objection {
  const [first, ...others] = touched
  const more = others.length === 0 ? '' : ` and ${others.length} more`
  return {
    message: `${JSON.stringify(first)}${more} lies under ${lease.resource}: ${heldBy(lease, now)}`,
    hint: `leave it out: git restore --staged ${more === '' ? shellWord(first!) : '<file>…'}; or wait for it: lh claim acquire ${shellWord(lease.resource)} --wait`,
  }
}

/** Who holds a lease, until when. */
export function heldBy(lease: Lease, now: Instant): string {
  const { agentId, worktreeId } = lease.holder
  const left = remainingMs(lease, now)
  const until =
    left === null ? 'indefinitely' : left > 0 ? `for another ${inWords(left)}` : `expired ${inWords(-left)} ago and not yet evicted`
  const verb = lease.state === 'pending' ? 'has reserved it for a launch' : 'holds it'
  return `${agentId} (${worktreeId}) ${verb} with token ${lease.token}, ${until}`
}
