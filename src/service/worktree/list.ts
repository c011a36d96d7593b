import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import type { Lease } from '../../core/lease.ts'
import { isExpired } from '../../core/lease.ts'
import type { Wire } from '../../core/wire.ts'
import type { Repository } from '../../host/git.ts'
import { References } from '../../host/references.ts'
import type { Reading } from '../../store/store.ts'
import { readLease } from '../claim/answer.ts'
import type { Workspace } from '../claim/workspace.ts'
import { repositoryGit } from './entries.ts'
import type { Entry } from './entries.ts'
import { leasesOf } from './fence.ts'
import { sizeOf } from './files.ts'
import { shell } from './git.ts'
import { isOurMark, leasedText, markLeased, unmark } from '../identity/mark.ts'
import { removalOf } from './removal-note.ts'

// The worktrees as they are shown: what Git knows of them, and who works in them.

export interface LookOptions {
  readonly workspace: Workspace
  readonly view: Reading
  readonly base: string | null
  /** Also how much each takes on the disk. */
  readonly disk: boolean
  readonly env: NodeJS.ProcessEnv
}

/** How many Gits look at files at a time, at most. */
const maxWidth = 8

/** Worktrees on the wire, in Git's order. */
export async function lookAt(entries: readonly Entry[], options: LookOptions): Promise<readonly Wire[]> {
  const { workspace, base, env } = options
  const [distances, statuses] = await Promise.all([distancesTo(workspace.repository, base, entries, env), statusesOf(entries, env)])
  return entries.map(entry => rowOf(entry, statuses.get(entry) ?? null, distances.get(entry.head ?? '') ?? null, options))
}

interface Status {
  readonly changed: number
  readonly untracked: number
}

/**
 * What is changed in each; null where there is nothing to look at, or Git cannot. A shell goes through some of them: to start one
 * program costs Node several times what it costs a shell.
 */
async function statusesOf(entries: readonly Entry[], env: NodeJS.ProcessEnv): Promise<ReadonlyMap<Entry, Status>> {
  const present = entries.filter(entry => entry.present)
  const width = Math.min(maxWidth, Math.ceil(present.length / 4))
  const shares = Array.from({ length: width }, (_, lane) => present.filter((__, at) => at % width === lane))
  const found = new Map<Entry, Status>()
  await Promise.all(
    shares.map(async share => {
      const output = await shell(
        walk,
        share.map(({ path }) => path),
        env,
      )
      let tokens: string[] = []
      let at = 0
      for (const token of output.split('\0')) {
        // A line of status has a blank in the third place.
        const ended = /^=(\d+)=$/.exec(token)
        if (ended === null) {
          tokens.push(token)
          continue
        }
        const untracked = tokens.filter(each => each.startsWith('??')).length
        if (ended[1] === '0') found.set(share[at]!, { changed: tokens.length - untracked, untracked })
        tokens = []
        at++
      }
    }),
  )
  return found
}

/** The status of each argument, as `worktree remove` asks for it, then the exit code between two equals signs. */
const walk = `for place; do
  git -C "$place" --no-optional-locks -c core.fsmonitor=false status --porcelain -z --untracked-files=normal --ignore-submodules=none --no-renames 2>/dev/null
  printf "=%s=\\0" "$?"
done`

function rowOf(entry: Entry, status: Status | null, distance: Distance | null, { workspace, view, base, disk }: LookOptions): Wire {
  const { identity, path } = entry
  const leases = leasesOf(entry, workspace, view)
  const holder = leases.find(lease => !isExpired(lease, view.now))?.holder.agentId ?? null
  return {
    worktree_id: identity.worktreeId,
    path,
    branch: entry.branch,
    head: entry.head,
    ticket: identity.purpose?.ticket ?? null,
    base: identity.purpose?.base ?? (entry.main ? null : base),
    main: entry.main,
    current: entry.gitDir === workspace.repository.gitDir,
    made_by_us: identity.purpose !== null,
    present: entry.present,
    bare: entry.bare,
    astray: entry.astray,
    dirty: status === null ? null : status.changed + status.untracked > 0,
    changed: status?.changed ?? null,
    untracked: status?.untracked ?? null,
    ahead: distance?.ahead ?? null,
    behind: distance?.behind ?? null,
    holder,
    leases: leases.map(lease => readLease(lease, view)),
    locked: entry.locked,
    prunable: entry.prunable,
    removing: removalOf(entry.gitDir) !== null,
    last_activity: lastActivity(entry),
    ...(disk ? { disk_bytes: entry.present ? sizeOf(path, '.') : 0 } : {}),
  }
}

/** The last commit, checkout or change of the index. */
function lastActivity({ gitDir, path, present }: Entry): string | null {
  const times = [join(gitDir, 'logs', 'HEAD'), join(gitDir, 'HEAD'), join(gitDir, 'index'), ...(present ? [path] : [])].map(timeOf)
  const last = Math.max(...times)
  return last > 0 ? new Date(last).toISOString() : null
}

function timeOf(path: string): number {
  try {
    return lstatSync(path).mtimeMs
  } catch {
    return 0
  }
}

interface Distance {
  readonly ahead: number
  readonly behind: number
}

/** How far each commit is from the base branch. One Git walks what they do not all have in common; the counting is ours. */
async function distancesTo(
  repository: Repository,
  base: string | null,
  entries: readonly Entry[],
  env: NodeJS.ProcessEnv,
): Promise<ReadonlyMap<string, Distance>> {
  const git = repositoryGit(repository, env)
  const found = new Map<string, Distance>()
  const references = new References(repository.commonDir)
  const start = base === null ? null : (references.commitOf(`refs/heads/${base}`) ?? references.commitOf(`refs/remotes/origin/${base}`))
  if (start === null) return found
  const heads = [...new Set(entries.flatMap(({ head }) => (head === null ? [] : [head])))]
  found.set(start, { ahead: 0, behind: 0 })
  const others = heads.filter(head => head !== start)
  if (others.length === 0) return found
  const common = await git.try(['merge-base', '--octopus', start, ...others])
  const shared = common.status === 0 ? common.stdout.toString('latin1').trim() : null
  const walked = await git.try(['rev-list', '--parents', start, ...others, ...(shared === null ? [] : [`^${shared}`])])
  if (walked.status !== 0) return found
  const parents = new Map<string, readonly string[]>()
  for (const line of walked.stdout.toString('latin1').split('\n')) {
    const [commit, ...above] = line.split(' ')
    if (commit !== undefined && commit !== '') parents.set(commit, above)
  }
  const ofBase = reachable(start, parents)
  for (const head of others) {
    const own = reachable(head, parents)
    let both = 0
    for (const commit of own) if (ofBase.has(commit)) both++
    found.set(head, { ahead: own.size - both, behind: ofBase.size - both })
  }
  return found
}

function reachable(start: string, parents: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const seen = new Set<string>()
  for (const left = [start]; left.length > 0;) {
    const commit = left.pop()!
    const above = parents.get(commit)
    // What all have in common was not walked.
    if (above === undefined || seen.has(commit)) continue
    seen.add(commit)
    left.push(...above)
  }
  return seen
}

/** Puts our marks right: one where somebody holds the worktree, none where nobody does. Returns the worktrees that had it wrong. */
export function mendMarks(entries: readonly Entry[], workspace: Workspace, view: Reading, really: boolean): readonly Entry[] {
  const wrong: Entry[] = []
  for (const entry of entries) {
    if (entry.main || removalOf(entry.gitDir) !== null) continue
    const lease = holding(entry, workspace, view)
    const marked = isOurMark(entry.locked)
    if ((lease === null) === !marked || (lease !== null && entry.locked !== null && !marked)) continue
    wrong.push(entry)
    if (!really) continue
    if (lease === null) unmark(entry)
    else markLeased({ ...workspace.repository, gitDir: entry.gitDir, kind: 'linked' }, leasedText(lease.holder.agentId, lease.resource))
  }
  return wrong
}

/** The lease for which a worktree is marked: that of the ticket it was made for, while it has the worktree as well. */
function holding(entry: Entry, workspace: Workspace, view: Reading): Lease | null {
  const leases = leasesOf(entry, workspace, view).filter(lease => !isExpired(lease, view.now))
  return leases.some(({ resource }) => resource.startsWith('worktree:'))
    ? (leases.find(({ resource }) => resource.startsWith('ticket:')) ?? null)
    : null
}
