import type { Holder } from '../../core/lease.ts'
import { shellWord } from '../../core/shell-word.ts'
import { inWords } from '../../core/refusal.ts'
import type { Chronicle, Ownership } from './ownership.ts'
import type { Trio } from './trailers.ts'

/** A trio in a commit that a push brings. */
export interface PushedTrio extends Trio {
  readonly commit: string
}

/** Work of an ownership that was lost to somebody else. */
export interface LostWork {
  readonly ticket: string
  /** The newest trailers of the ticket among the new commits. */
  readonly trio: PushedTrio
  /** The commits that carry them. */
  readonly commits: readonly string[]
  readonly ended: Ownership
  /** Whose it is since. */
  readonly later: Ownership
}

export interface PushVerdict {
  readonly lost: readonly LostWork[]
  /** Newest trailers of tickets of which this log has no such ownership. */
  readonly unknown: readonly PushedTrio[]
  /** Let through by somebody's word. */
  readonly allowed: readonly LostWork[]
}

/**
 * Judges the commits that are new to the remote: per ticket the newest ownership among them. It is lost work if that ownership was ended by
 * time or by somebody else, and a later one belongs to somebody else, who holds it or finished, and nothing in the push (`carried`) is
 * theirs: a finished ticket, one that nobody took up again, a rebase or squash by the present holder and old history pass.
 */
export function judgePush(judged: readonly PushedTrio[], carried: readonly PushedTrio[], log: Chronicle): PushVerdict {
  const lost: LostWork[] = []
  const unknown: PushedTrio[] = []
  const allowed: LostWork[] = []
  for (const [ticket, trios] of byTicket(judged)) {
    const resource = `ticket:${ticket}`
    const history = log.ownerships(resource)
    const known = trios.filter(trio => ownershipOf(trio, history) !== undefined)
    const newest = newestOf(known)
    // A made-up token must not stand before a real one.
    if (newest === undefined) {
      unknown.push(newestOf(trios)!)
      continue
    }
    const ended = ownershipOf(newest, history)!
    if (!isTakenAway(ended)) continue
    const carriedIds = new Set(carried.filter(trio => trio.ticket === ticket).map(({ leaseId }) => leaseId))
    const after = history.slice(history.indexOf(ended) + 1).filter(each => isOthers(each.holder, ended.holder) && counts(each))
    if (after.length === 0 || after.some(({ leaseId }) => carriedIds.has(leaseId))) continue
    const commits = known.filter(({ leaseId }) => leaseId === newest.leaseId).map(({ commit }) => commit)
    const work = { ticket, trio: newest, commits: [...new Set(commits)], ended, later: after.at(-1)! }
    ;(log.isAllowed(resource, newest.token) ? allowed : lost).push(work)
  }
  return { lost, unknown, allowed }
}

function byTicket(trios: readonly PushedTrio[]): ReadonlyMap<string, readonly PushedTrio[]> {
  const found = new Map<string, PushedTrio[]>()
  for (const trio of trios) {
    const same = found.get(trio.ticket)
    if (same === undefined) found.set(trio.ticket, [trio])
    else same.push(trio)
  }
  return found
}

const newestOf = (trios: readonly PushedTrio[]): PushedTrio | undefined =>
  trios.reduce<PushedTrio | undefined>((newest, trio) => (newest === undefined || trio.token > newest.token ? trio : newest), undefined)

/** The token is one of this ownership's: a resumed one has several under its lease id, and shows the newest. */
const ownershipOf = ({ leaseId, token }: Trio, history: readonly Ownership[]): Ownership | undefined =>
  history.find(each => each.leaseId === leaseId && token <= each.token)

const isTakenAway = ({ endedBy }: Ownership): boolean =>
  endedBy === 'auto-evict' || endedBy === 'force-evict' || endedBy === 'transfer' || endedBy === 'reclaim'

/** The same agent in the same worktree goes on with its own work, in whichever session. */
const isOthers = (a: Holder, b: Holder): boolean => a.agentId !== b.agentId || a.worktreeId !== b.worktreeId

const counts = ({ endedBy, outcome }: Ownership): boolean => endedBy === null || outcome !== null

/** What was lost, to whom, and what to do about it. */
export function wordLost(
  { ticket, trio, commits, ended, later }: LostWork,
  nowMs: number,
): { readonly message: string; readonly hint: string } {
  const first = commits[0]!.slice(0, 10)
  const which = commits.length === 1 ? `commit ${first} was` : `${commits.length} commits (${first} …) were`
  const when = ended.endedAt === null ? '' : ` ${inWords(nowMs - ended.endedAt)} ago`
  const reason = ended.reason === null ? '' : ` (${ended.reason})`
  const whose = `${later.holder.agentId} (${later.holder.worktreeId})`
  const since =
    later.endedBy === null
      ? `${whose} holds it now with token ${later.token}`
      : `${whose} took it with token ${later.token} and it is ${later.outcome}`
  return {
    message: `${which} made for ticket ${ticket} with token ${trio.token}, which ended by ${ended.endedBy}${reason}${when}; ${since}`,
    hint: `hand the work over to them, or let it through by your word: lh claim allow ${shellWord(ticket)} --token ${trio.token} --reason "…"`,
  }
}
