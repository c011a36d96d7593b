import { existsSync, lstatSync, readdirSync, renameSync, rmdirSync, rmSync, chmodSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { Fault, policy } from '../../core/fault.ts'
import type { Lease } from '../../core/lease.ts'
import { isReadOnly } from '../../host/files.ts'
import { findRepository } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import { storeDirectory, worktreeDirectory } from '../../host/paths.ts'
import { shellWord } from '../../core/shell-word.ts'
import { astray, isInside, listEntries, repositoryGit } from './entries.ts'
import type { Entry } from './entries.ts'
import { fenceOff } from './fence.ts'
import type { Asker, Fence } from './fence.ts'
import { few, filesBelow, shown } from './files.ts'
import { isOurMark, markGoing, markOf, unmark } from '../identity/mark.ts'
import { forgetRemoval, noteRemoval, removalOf } from './removal-note.ts'
import type { Removal } from './removal-note.ts'
import { salvage } from './salvage.ts'
import type { Salvage } from './salvage.ts'
import { othersThan, stateOf } from './state.ts'
import type { State } from './state.ts'
import { inTurn, lockIn } from './turn.ts'
import { waysOut } from './unfinished.ts'
import { workersIn } from './workers.ts'

export interface RemoveOptions {
  /** Save what would be lost, then remove. */
  readonly salvage: boolean
  /** Also a branch that is merged nowhere, once it is saved. */
  readonly deleteBranch: boolean
  readonly env: NodeJS.ProcessEnv
}

/** A worktree that is gone. */
export interface Removed {
  readonly path: string
  readonly worktreeId: string
  readonly ticket: string | null
  readonly branch: string | null
  readonly branchDeleted: boolean
  /** Null when there was nothing to save. */
  readonly salvage: Salvage | string | null
  /** Ignored files that went with it and were not saved. */
  readonly leftOut: readonly string[]
  readonly released: readonly Lease[]
}

/**
 * Removes a worktree with its branch, when that is merged, and its leases. Nothing that is not in a commit that stays is deleted before
 * it was saved and read back, and after a crash the same command goes on. Throws `policy` with what is in the way, and what the rules say
 * when somebody else holds it.
 */
export async function removeWorktree(asker: Asker, entry: Entry, options: RemoveOptions): Promise<Removed> {
  const { repository } = asker.workspace
  refuseAlways(repository, entry)
  refuseAbove(await listEntries(repository, options.env), entry)
  // Also the same agent may run this twice at once.
  const lock = lockIn(worktreeDirectory(entry.gitDir), 'removing.lock', repository)
  if (lock === null) throw new Fault('held', `another command is removing ${entry.path}`, { hint: 'see: lh worktree list' })
  try {
    return await removeLocked(asker, entry, options)
  } finally {
    lock.end()
  }
}

async function removeLocked(asker: Asker, entry: Entry, options: RemoveOptions): Promise<Removed> {
  const fence = await fenceOff(asker, entry)
  try {
    const begun = restored(entry)
    if (begun === null) return await judgeAndRemove(asker, entry, fence, options)
    await fence.close()
    return await end(asker, entry, fence, begun, [], options.env)
  } catch (error) {
    await fence.abandon()
    throw error
  }
}

/** What no option lets through. */
export function refuseAlways(repository: Repository, entry: Entry): void {
  if (entry.main) throw policy(`${entry.path} is the main worktree; it is never removed`, 'other worktrees: lh worktree list')
  if (entry.astray) throw astray(entry)
  if (entry.locked !== null && !isOurMark(entry.locked))
    throw policy(
      `${entry.path} is locked${entry.locked === '' ? '' : `: ${entry.locked}`}`,
      `if that is over: git -C ${shellWord(repository.commonDir)} worktree unlock ${shellWord(entry.path)}`,
    )
  const [worker, ...more] = entry.present ? workersIn(entry.path) : []
  if (worker !== undefined)
    throw new Fault(
      'policy',
      `process ${worker.pid} (${worker.command})${more.length === 0 ? '' : ` and ${more.length} more`} works in ${entry.path}`,
      { hint: 'end it, or let it go elsewhere, then try again', details: { pids: [worker, ...more].map(({ pid }) => pid) } },
    )
}

function refuseAbove(entries: readonly Entry[], entry: Entry): void {
  const inside = entries.find(other => other.path !== entry.path && isInside(other.path, entry.path))
  if (inside !== undefined)
    throw policy(
      `the worktree ${inside.path} lies inside ${entry.path}`,
      `remove or move that one first: git worktree move ${shellWord(inside.path)} …`,
    )
}

/** Throws `policy` with everything that would be lost; says nothing of what `--salvage` saves when that was asked for. */
export function refuseLoss(entry: Entry, state: State, saved: boolean): void {
  if (state.inner.length > 0)
    throw new Fault('policy', `${entry.path} has repositories inside whose content would be lost: ${state.inner.join('; ')}`, {
      hint: 'commit and push there, or move them away; no salvage can keep them',
      details: { inner: state.inner },
    })
  const { dirty, unmerged, own, unfinished, ignored } = state
  const odd = own.filter(({ commit }) => commit === null).map(({ name }) => name)
  if (odd.length > 0)
    throw policy(
      `${entry.path} has ${few(odd)}, which no other worktree has and no salvage can keep: no commit`,
      `give it another name, or delete it: cd ${shellWord(entry.path)}; git update-ref -d ${shellWord(odd[0]!)}`,
    )
  if (saved && unfinished === 'am')
    throw policy(
      `${entry.path} has an unfinished am, and no salvage can keep the patches that are left of it`,
      `cd ${shellWord(entry.path)}; ${waysOut(unfinished)}`,
    )
  if (saved) return
  if (dirty.length === 0 && unmerged.length === 0 && own.length === 0 && unfinished === null) return
  const what = [
    ...(dirty.length === 0
      ? []
      : [`${dirty.length} changed or untracked ${dirty.length === 1 ? 'file' : 'files'} (${few(dirty.map(shown))})`]),
    ...(unmerged.length === 0
      ? []
      : [
          `${unmerged.length} ${unmerged.length === 1 ? 'commit' : 'commits'} of ${state.branch ?? 'no branch'} that ${unmerged.length === 1 ? 'is' : 'are'} on no other branch`,
        ]),
    ...(own.length === 0 ? [] : [`commits that only it leads to (${few(own.map(({ name }) => name))})`]),
    ...(unfinished === null ? [] : [`an unfinished ${unfinished}`]),
  ]
  const all = [...ignored.small, ...ignored.large].map(shown)
  throw new Fault('policy', `${entry.path} has ${what.join(', ')}${all.length === 0 ? '' : `; also ignored: ${few(all)}`}`, {
    hint: `${unfinished === null || !entry.present ? 'commit and merge it' : waysOut(unfinished)}${unfinished === 'am' ? '' : `, or save it and remove: lh worktree remove ${entry.identity.worktreeId} --salvage`}`,
    details: { dirty: dirty.slice(0, 1000).map(shown), unmerged: unmerged.length, ignored: all.slice(0, 1000), unfinished },
  })
}

/** A removal that had begun to delete, to be gone on with. One that had not is undone: it is judged anew. Throws `policy` where it cannot be. */
function restored({ gitDir, path }: Entry): Removal | null {
  const begun = removalOf(gitDir)
  if (begun === null || begun.verified) return begun
  if (existsSync(begun.aside)) {
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined)
      throw policy(
        `a removal of ${path} was cut short when it had put it aside as ${begun.aside}, and something else lies there now`,
        `move that away, then: lh worktree remove ${shellWord(path)}`,
      )
    renameSync(begun.aside, path)
  }
  forgetRemoval(gitDir)
  return null
}

async function judgeAndRemove(asker: Asker, listed: Entry, fence: Fence, options: RemoveOptions): Promise<Removed> {
  const { repository } = asker.workspace
  const { env } = options
  // It may just have been put back. Another repository may lie where it was, and is nothing of ours.
  const entry = { ...listed, present: isOwnAt(listed) }
  const state = await stateOf(repository, entry, env)
  refuseLoss(entry, state, options.salvage)
  await fence.close()
  const saved =
    options.salvage && isWorthSaving(state)
      ? await salvage(repository, entry, state, nameOf(entry), asker.caller.holder.agentId, env)
      : null
  const removal: Removal = {
    path: entry.path,
    aside: join(dirname(entry.path), `.${basename(entry.path)}.removing-${entry.identity.worktreeId.slice(3)}`),
    verified: false,
    branch: state.branch,
    branchAt: await branchToDelete(repository, entry, state, saved !== null && options.deleteBranch, env),
    salvage: saved?.ref ?? null,
  }
  noteRemoval(repository, entry.gitDir, removal)
  if (entry.present) await putAside(entry, state, removal, fence)
  noteRemoval(repository, entry.gitDir, { ...removal, verified: true })
  const done = await end(asker, entry, fence, { ...removal, verified: true }, state.ignored.large.map(shown), env)
  return { ...done, salvage: saved, leftOut: saved === null ? [...state.ignored.small, ...state.ignored.large].map(shown) : done.leftOut }
}

/** Does its directory lead to it? */
function isOwnAt({ path, gitDir }: Entry): boolean {
  try {
    return lstatSync(join(path, '.git')).isFile() && findRepository(path, {}).gitDir === gitDir
  } catch {
    return false
  }
}

const isWorthSaving = ({ dirty, unmerged, own, ignored, unfinished }: State): boolean =>
  dirty.length > 0 || unmerged.length > 0 || own.length > 0 || ignored.small.length > 0 || unfinished !== null

/** What a salvage is filed under: the ticket, else what its directory is called. */
export const nameOf = ({ identity, path }: Entry): string => identity.purpose?.ticket ?? basename(path)

/** The commit at which the branch may go; null when it stays. */
async function branchToDelete(
  repository: Repository,
  entry: Entry,
  state: State,
  saved: boolean,
  env: NodeJS.ProcessEnv,
): Promise<string | null> {
  const { purpose } = entry.identity
  // Only a branch that is this worktree's: what somebody checked out here was there before.
  if (purpose?.ownBranch !== true || state.branch === null || state.branch !== purpose.branch || state.branch === purpose.base) return null
  return state.unmerged.length === 0 || saved ? repositoryGit(repository, env).resolve(`refs/heads/${state.branch}`) : null
}

/** Gives the directory another name while the leases are proven, and looks whether it still is what was judged. */
async function putAside(entry: Entry, state: State, removal: Removal, fence: Fence): Promise<void> {
  const { path, gitDir } = entry
  // Git would forget a worktree whose directory is not there, and with it where the directory is.
  const marked = markOf(entry) !== null
  const back = (): void => {
    forgetRemoval(gitDir)
    if (!marked) unmark(entry)
  }
  markGoing(entry)
  try {
    await fence.commit(() => renameSync(path, removal.aside))
  } catch (error) {
    if (!existsSync(removal.aside)) back()
    if ((error as NodeJS.ErrnoException).code === undefined || error instanceof Fault) throw error
    throw new Fault('unavailable', `${path} cannot be removed: ${(error as Error).message}`, {
      hint: isReadOnly(error) ? `Let this process write to ${dirname(path)}.` : `Look at it: ls -la ${dirname(path)}`,
      details: { outcome: 'nothing_changed' },
      cause: error,
    })
  }
  const changed = whatChanged(state, removal.aside)
  if (changed === null) return
  renameSync(removal.aside, path)
  back()
  throw policy(`${path} changed while it was being removed (${changed}), so nothing was removed`, 'try again when nobody works there')
}

/** A file that is not what it was when it was judged; null when all are. */
function whatChanged({ found, ignored }: State, path: string): string | null {
  if (found === null) return null
  const { files } = filesBelow(path, new Set([...ignored.large, ...ignored.small]))
  for (const [name, text] of files) if (found.files.get(name) !== text) return shown(name)
  for (const name of found.files.keys()) if (!files.has(name)) return shown(name)
  return null
}

/** Everything is saved or merged: deletes, in an order in which each part can be repeated. What Git knows of it goes last. */
async function end(
  asker: Asker,
  entry: Entry,
  fence: Fence,
  removal: Removal,
  leftOut: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Removed> {
  const { repository } = asker.workspace
  removeTree(removal.aside)
  const branchDeleted = await deleteBranch(repository, removal, env)
  const released = await fence.release()
  await inTurn(repository, async () => removeEntry(repository, entry.gitDir))
  return {
    path: entry.path,
    worktreeId: entry.identity.worktreeId,
    ticket: entry.identity.purpose?.ticket ?? null,
    branch: removal.branch,
    branchDeleted,
    salvage: removal.salvage,
    leftOut,
    released,
  }
}

function removeTree(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  } catch (error) {
    if (!isReadOnly(error)) throw error
    // Build tools make directories that may not be written.
    openUp(directory)
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  }
}

function openUp(directory: string): void {
  chmodSync(directory, 0o700)
  for (const entry of readdirSync(directory, { withFileTypes: true })) if (entry.isDirectory()) openUp(join(directory, entry.name))
}

/** One at a time: of two branches that lead to the same commits the one that goes last stays. */
const deleteBranch = (repository: Repository, removal: Removal, env: NodeJS.ProcessEnv): Promise<boolean> =>
  inTurn(repository, async () => {
    const { branch, branchAt } = removal
    if (branch === null || branchAt === null) return false
    const git = repositoryGit(repository, env)
    const name = `refs/heads/${branch}`
    const others = [...(await othersThan(git, branch)), ...(removal.salvage === null ? [] : [removal.salvage])]
    const own = await git.try(['rev-list', '--max-count=1', branchAt, '--not', ...others])
    if (own.status !== 0 || own.stdout.length > 0) return false
    // Another commit on it means that somebody went on: then it stays.
    const { status } = await git.try(['update-ref', '-d', name, branchAt])
    if (status === 0) await git.try(['config', '--remove-section', `branch.${branch}`])
    return (await git.resolve(name)) === null
  })

/** What `git worktree remove` does at its end, in one step: first out of Git's sight, then deleted. */
function removeEntry(repository: Repository, gitDir: string): void {
  const aside = join(storeDirectory(repository.commonDir), `removed-${basename(gitDir)}-${process.pid}`)
  if (existsSync(gitDir)) renameSync(gitDir, aside)
  sweepRemoved(repository)
  try {
    rmdirSync(dirname(gitDir))
  } catch {
    // Others are left.
  }
}

/** Deletes what removals that were killed at their very end have left. */
export function sweepRemoved(repository: Repository): void {
  const directory = storeDirectory(repository.commonDir)
  for (const name of existsSync(directory) ? readdirSync(directory) : [])
    if (name.startsWith('removed-')) rmSync(join(directory, name), { recursive: true, force: true })
}
