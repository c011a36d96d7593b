import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Fault, policy } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { isFinal } from '../../core/lease.ts'
import { isOver } from '../../core/ownership.ts'
import { holderToWire } from '../../core/wire.ts'
import { findRepository, mainRoot } from '../../host/git.ts'
import type { GitAnswer, Repository } from '../../host/git.ts'
import { worktreeDirectory } from '../../host/paths.ts'
import { branchKey } from '../identity/purpose.ts'
import { refuseMissingBase } from '../config/base-branch.ts'
import type { Purpose } from '../identity/worktree.ts'
import { changeTicket } from '../ticket/change.ts'
import type { Desk } from '../ticket/desk.ts'
import { keyOf } from '../ticket/desk.ts'
import type { HeldTicket } from '../ticket/hold.ts'
import { withTicket } from '../ticket/hold.ts'
import { finishedPlan, refuseUnmet } from '../ticket/workflow.ts'
import type { Asking } from '../ticket/workflow.ts'
import { isFinished } from '../ticket/ticket.ts'
import { inTurn, lockIn } from '../worktree/turn.ts'
import { worktreePathOf } from '../worktree/entries.ts'
import { lookingItself } from '../worktree/changes.ts'
import { few } from '../worktree/files.ts'
import { rebasing, waysOut, withArticle } from '../worktree/unfinished.ts'
import { inTheWay, mergedTree } from './in-the-way.ts'
import { takeBack } from './take-back.ts'
import { WorktreeGit, otherChanges, ownChanges, ownFiles, refuseUncommitted, unfinishedHere } from './git.ts'

export interface FinishRequest {
  readonly asking: Asking
  readonly ticketId: string
  /** What this worktree was made for. */
  readonly purpose: Purpose
  /** Runs the automatic gates that are not passed for the code that is there now. */
  readonly runGates: () => Promise<void>
  /** Always a merge commit, also where the base branch could simply move on. */
  readonly noFastForward: boolean
  readonly message: string | null
  /** Says what is being done. */
  readonly tell: (text: string) => void
}

/** What finishing did; everything else had been done before. */
export interface FinishedWork {
  readonly ticketId: string
  readonly branch: string
  readonly base: string
  /** Commit of the base branch that has the work. */
  readonly commit: string
}

/**
 * From committed work to a base branch that has it and a ticket that is done. Each step looks whether it was done already, so that after
 * a crash the same command goes on: bring the base branch in, pass the gates on the result, mark the ticket done in the branch's last
 * commit, move the base branch, give the lease back. Until the base branch has moved, a failure leaves it, the worktree and the lease as
 * they were. The lease is proven before each step that others would see; who lost it gets `superseded`, and the work stays where it is.
 */
export async function finishWork(request: FinishRequest): Promise<FinishedWork> {
  const { asking, purpose, ticketId } = request
  const { desk, env } = asking
  const root = desk.workspace.repository.root!
  const git = new WorktreeGit(root, env)
  const base = git.branchBehind(localBase(git, baseOf(desk, purpose)))
  const branch = git.branch()
  if (branch === null) throw onNoBranch(git, purpose.branch)
  if (branch === base) throw policy(`${root} is on ${base} itself: there is nothing to merge`, `git switch ${shellWord(purpose.branch)}`)
  if (git.commit(refOf(base)) === null) throw policy(`there is no branch ${base} here to merge into`, waysToBase(git, base))
  if (git.commit('HEAD') === null) throw policy(`${branch} has no commit yet`, 'commit something first')
  // One holder may run this twice at once: the second one would find the files of the first, half written.
  const lock = lockIn(worktreeDirectory(git.gitDir), 'finishing.lock', desk.workspace.repository)
  if (lock === null)
    throw new Fault('held', `another command is finishing ${ticketId}`, { hint: `wait for it; see: lh ticket show ${ticketId}` })
  try {
    await finishAlone(request, git, base)
  } finally {
    lock.end()
  }
  return { ticketId, branch, base, commit: git.commit(refOf(base))! }
}

async function finishAlone(request: FinishRequest, git: WorktreeGit, base: string): Promise<void> {
  const { asking, ticketId } = request
  const { desk, caller, flags, env } = asking
  const view = await desk.view()
  const isOver = isFinal(view.past(keyOf(ticketId))) && view.lease(keyOf(ticketId)) === null
  // Everything up to the end of the lease was done before; else whoever lost the lease is told so, also when the work is over elsewhere.
  if (!isOver || !isBrought(git, base, ticketId))
    await withTicket(desk.workspace, caller, ticketId, { why: 'work --finish', finishedToo: true, flags, env }, held =>
      // Git's hooks find whose work is committed here.
      finishHeld(request, new WorktreeGit(git.root, { ...env, ...leaseEnvironment(held) }), base, held),
    )
}

/** Switching to the branch is what is missing, but in a rebase Git refuses that, and commits of no branch would be left behind. */
function onNoBranch(git: WorktreeGit, branch: string): Fault {
  const unfinished = git.unfinished()
  if (unfinished !== null) return unfinishedHere(git, unfinished)
  const exists = git.commit(refOf(branch)) !== null
  const own = git.commit('HEAD') === null ? 0 : Number(git.run('rev-list', '--count', 'HEAD', '--not', '--branches', '--remotes', '--tags'))
  if (!exists) return policy(`${git.root} is on no branch`, `make it here: git switch -c ${shellWord(branch)}`)
  if (own === 0) return policy(`${git.root} is on no branch`, `git switch ${shellWord(branch)}`)
  return policy(
    `${git.root} is on no branch, and ${own === 1 ? 'a commit there is' : `${own} commits there are`} on none`,
    `keep ${own === 1 ? 'it' : 'them'}: git switch ${shellWord(branch)} && git merge ${git.commit('HEAD')!.slice(0, 12)}`,
  )
}

/** A branch of a remote moves with a push alone: what was begun from `origin/main` goes to the `main` that is here. */
function localBase(git: WorktreeGit, base: string): string {
  const [, ...own] = base.split('/')
  const isRemote = own.length > 0 && git.commit(refOf(base)) === null && git.commit(`refs/remotes/${base}`) !== null
  return isRemote ? own.join('/') : base
}

/** How a base branch comes to be here that is on a remote only, was deleted or has another name by now. */
function waysToBase(git: WorktreeGit, base: string): string {
  const remote = `origin/${base}`
  const start = git.commit(`refs/remotes/${remote}`) === null ? '<commit>' : shellWord(remote)
  const renamed = `git symbolic-ref ${shellWord(refOf(base))} refs/heads/<branch>`
  return `make it where the work is to go: git branch ${shellWord(base)} ${start}; or, if it has another name by now, say which: ${renamed}`
}

/** A branch by its full name: a tag may be called the same. */
const refOf = (branch: string): string => `refs/heads/${branch}`

const filesOf = (id: string): string => `.leasehold/tickets/${id}/`

/** Has the base branch everything, also what the ticket's own files say? Who ends a ticket by hand may have committed nothing. */
const isBrought = (git: WorktreeGit, base: string, id: string): boolean =>
  git.isAncestor('HEAD', refOf(base)) && ownChanges(git, ownFiles(git, filesOf(id))).length === 0

const leaseEnvironment = ({ lease }: HeldTicket): Record<string, string> => ({
  LEASEHOLD_LEASE: lease.leaseId,
  LEASEHOLD_TOKEN: String(lease.token),
  LEASEHOLD_RESOURCES: lease.resource,
})

function baseOf({ catalogue, workspace }: Desk, { base }: Purpose): string {
  if (base === null) refuseMissingBase(workspace.repository, workspace.config)
  const name = base ?? catalogue.baseBranch
  if (name === null) throw policy('there is no branch to merge into', 'say which: lh config set base_branch main')
  return name
}

async function finishHeld(request: FinishRequest, git: WorktreeGit, base: string, held: HeldTicket): Promise<void> {
  const { asking, tell } = request
  const { desk, caller } = asking
  const id = held.ticketId
  await refuseLeasedBase(asking, base)
  const ticketFiles = filesOf(id)
  const isOpen = !isFinished(await desk.sound(id))
  let home: WorktreeGit | null = null
  if (isOpen || !isBrought(git, base, id)) {
    clearLeft(git.root, id)
    const own = ownFiles(git, ticketFiles)
    refuseUncommitted(git, own)
    const before = git.commit('HEAD')!
    // An agent that did nothing, or did it elsewhere, closes a ticket that others wait for.
    if (isOpen && git.isAncestor(before, refOf(base)))
      tell(`${request.purpose.branch} has no commit that ${base} lacks: ${id} is finished without a change`)
    let [recorded, left] = [before, before]
    try {
      if (!git.isAncestor(refOf(base), 'HEAD')) {
        // What a merge finds uncommitted in its way it refuses to touch.
        commitTicket(git, own, `Record the work on ${id}`)
        recorded = left = git.commit('HEAD')!
        bringIn(git, base, tell)
        left = git.commit('HEAD')!
      }
      await request.runGates()
      refuseLeftByGates(git, own)
      await refuseUnmet(desk, await desk.sound(id), 'post', 'be finished')
    } catch (error) {
      undo(git, { before, recorded, left }, ticketFiles, tell)
      throw error
    }
    // Proves the lease; the file is done from here on, and the lease still held.
    await changeTicket(
      desk,
      id,
      caller.holder.agentId,
      ({ ticket }) => (isFinished(ticket) ? null : finishedPlan(ticket, held.lease)),
      effect => held.guard(effect),
    )
    commitTicket(git, own, `Finish ${id}`)
    home = await inTurn(desk.workspace.repository, () => moveBase(request, git, base, held))
  }
  tell(`${base} has the work`)
  await held.finish('done', () => undefined)
  // It may take minutes, hang, or run lh itself: nobody waits for it.
  home?.tryToItsEnd('hook', 'run', '--ignore-missing', 'post-merge', '--', '0')
}

/** Files that a command was to put in place when it was killed: they are no work, and would be in the way. */
function clearLeft(root: string, id: string): void {
  const tickets = join(root, '.leasehold', 'tickets')
  for (const name of existsSync(tickets) ? readdirSync(tickets) : []) {
    const [, maker] = /\.([0-9]+)\.[0-9]+(?:\.[0-9]+\.tmp)?$/.exec(name) ?? []
    if (maker === undefined || !(name.startsWith(`.tmp-${id}-`) || name.startsWith(`.tmp-${id}.`))) continue
    if (hasEnded(Number(maker))) rmSync(join(tickets, name), { recursive: true, force: true })
  }
}

function hasEnded(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** Merges the base branch into ours where it has moved on, so that the gates judge what the base branch will be. */
function bringIn(git: WorktreeGit, base: string, tell: (text: string) => void): void {
  // A merge overwrites what is ignored without a word.
  const ignored = inTheWay(git, 'HEAD', mergedTree(git, refOf(base)))
  if (ignored.length > 0)
    throw policy(
      `${base} has moved on, and has files where others lie in ${git.root} that are not committed: ${few(ignored)}`,
      'move them away, then: lh work --finish; nothing of your work is lost, and you still hold the ticket',
    )
  tell(`${base} has moved on: merging it in`)
  // It tells what it merges after it has written the files and before it commits them.
  const { status, stdout, stderr } = git.tryToItsEnd(
    'merge',
    // Not what the configuration says of merges, also of this branch alone.
    '--ff',
    '--commit',
    '--no-squash',
    '--no-edit',
    '-m',
    `Merge branch '${base}' into ${git.branch()!}`,
    refOf(base),
  )
  if (status === 0) return
  const conflicts = git
    .run('diff', '--name-only', '--diff-filter=U', '-z')
    .split('\0')
    .filter(name => name !== '')
  if (conflicts.length === 0) {
    const locked = lockedHere(git)
    if (locked !== null) throw locked
    git.try('merge', '--abort')
    throw policy(
      `${base} could not be merged into ${git.root}: ${lastWords(stderr, stdout)}`,
      `see why: cd ${shellWord(git.root)} && git merge ${shellWord(base)}; you still hold the ticket, and nothing has changed`,
    )
  }
  throw policy(
    `${base} and this branch changed the same lines of ${conflicts.length} ${conflicts.length === 1 ? 'file' : 'files'}: ${few(conflicts)}; you still hold the ticket`,
    `resolve them: cd ${shellWord(git.root)}; then: git add -A && git commit --no-edit && lh work --finish (or give it up: git merge --abort)`,
  )
}

/** The last lines of what Git and its hooks said, as one. */
const lastWords = (stderr: string, stdout: string): string => (stderr || stdout).trim().split('\n').slice(-3).join(' / ')

/** What a gate writes was not there when the others judged, and would not be merged. */
function refuseLeftByGates(git: WorktreeGit, own: readonly string[]): void {
  const left = otherChanges(git, own)
  if (left.length > 0)
    throw policy(
      `the gates left ${left.length} ${left.length === 1 ? 'file' : 'files'} changed or new in ${git.root}: ${few(left)}`,
      'commit them, or let Git ignore them, then: lh work --finish',
    )
}

/** Where the branch was, where it was when only the ticket's own files had been committed, and where we left it before the gates ran. */
interface Before {
  readonly before: string
  readonly recorded: string
  readonly left: string
}

/** A gate said no, or Git did: the branch is again what it was, and what the gates said stays in the ticket. A conflict stays for the person. */
function undo(git: WorktreeGit, { before, recorded, left }: Before, ticketFiles: string, tell: (text: string) => void): void {
  if (git.unfinished() !== null) return
  // Gates take their time: what somebody, or one of them, committed meanwhile is not ours to take back.
  if (git.commit('HEAD') !== left) {
    if (left !== before) tell('the merge of the base branch stays in this branch: a commit was made on top of it meanwhile')
    return
  }
  if (left === before) return
  const back = (): boolean => inTheWay(git, 'HEAD', recorded).length === 0 && git.try('reset', '--quiet', '--keep', recorded).status === 0
  if (back() || withoutNewEvents(git, ticketFiles, back)) git.try('reset', '--quiet', '--mixed', before)
  else tell('the merge of the base branch stays in this branch: files that are not committed are in the way of taking it back')
}

/** Does something while the ticket's events are those that are committed: the new ones would be in the way where the base branch has some too. */
function withoutNewEvents(git: WorktreeGit, ticketFiles: string, work: () => boolean): boolean {
  const file = join(git.root, ticketFiles, 'events.jsonl')
  const { status, stdout: known } = git.try('show', `HEAD:${ticketFiles}events.jsonl`)
  const present = readFileSync(file, 'utf8')
  if (status !== 0 || !present.startsWith(known)) return false
  git.run('checkout', '--quiet', 'HEAD', '--', `${ticketFiles}events.jsonl`)
  const done = work()
  appendFileSync(file, present.slice(known.length))
  return done
}

/** The ticket's own files, as the last commit of the branch. */
function commitTicket(git: WorktreeGit, own: readonly string[], message: string): void {
  const add = ['add', '--all', '--sparse', '--', ...own]
  const added = git.try(...add)
  if (added.status !== 0) throw lockedHere(git) ?? git.failed(add, added)
  if (git.try('diff', '--cached', '--quiet', '--', ...own).status === 0) return
  const { status, stdout, stderr } = git.tryToItsEnd('commit', '--quiet', '-m', message, '--', ...own)
  if (status === 0) return
  const yourself = `cd ${shellWord(git.root)} && git commit -m "…" -- ${own.map(shellWord).join(' ')}`
  throw (
    lockedHere(git) ??
    policy(
      `Git refused the commit "${message}" in ${git.root}: ${lastWords(stderr, stdout)}`,
      `mend what it says, or commit these files in your own words: ${yourself}; then: lh work --finish; nothing was merged, and you still hold the ticket`,
    )
  )
}

/** The lock on a worktree's index that another Git has, or a killed one left, in words; null when there is none. */
function lockOf({ gitDir }: WorktreeGit): { readonly why: string; readonly hint: string } | null {
  const lock = join(gitDir, 'index.lock')
  if (!existsSync(lock)) return null
  return {
    why: `another Git works there, or one was killed: it left ${lock}`,
    hint: `wait for it, or when none runs there any more: rm ${shellWord(lock)}`,
  }
}

/** What to throw when Git failed in our own worktree because of its lock; null when there is none. */
function lockedHere(git: WorktreeGit): Fault | null {
  const lock = lockOf(git)
  return lock === null
    ? null
    : policy(
        `nothing can be committed in ${git.root}: ${lock.why}`,
        `${lock.hint}; then: lh work --finish; nothing was merged, and you still hold the ticket`,
      )
}

/**
 * Moves the base branch to our work; it only ever moves forward. Where it is checked out its files come first, as Git does it too: what
 * is in their way refuses the whole. The branch itself moves while the store is locked and the lease proven, so that nobody who was
 * stopped in between moves it after another took over. Returns the worktree whose files moved; null when none did.
 */
async function moveBase(request: FinishRequest, git: WorktreeGit, base: string, held: HeldTicket): Promise<WorktreeGit | null> {
  const { noFastForward, message, tell, asking } = request
  const branch = git.branch()!
  const [old, head] = [git.commit(refOf(base))!, git.commit('HEAD')!]
  if (git.isAncestor(head, old)) return null
  if (!git.isAncestor(old, head)) throw movedOn(base)
  const target = noFastForward || message !== null ? mergeCommit(git, { old, head }, message ?? `Merge branch '${branch}'`) : head
  refuseRebased(git, base, held.ticketId)
  await refuseLeasedBase(asking, base)
  await held.renew()
  const top = worktreeOn(git, base)
  const home = top === null || !existsSync(top) ? null : new WorktreeGit(top, asking.env)
  tell(`moving ${base} to ${target.slice(0, 10)}`)
  if (home !== null) await bringFiles(home, base, old, target)
  try {
    await held.guard(() => {
      const { status, stderr } = (home ?? git).try('update-ref', '-m', `lh work --finish: ${branch}`, refOf(base), target, old)
      if (status !== 0) throw notMoved(git, base, old, stderr)
    })
  } catch (error) {
    // Also when it is not known: whoever comes again brings them once more.
    if (home !== null && git.commit(refOf(base)) === old) await home.tryApart(...lookingItself, 'read-tree', '-m', '-u', target, old)
    throw error
  }
  return home
}

/** A hook says why first and Git then that there was one; of a lock Git says first which. */
function notMoved(git: WorktreeGit, base: string, old: string, said: string): Fault {
  if (git.commit(refOf(base)) !== old) return movedOn(base)
  const words = said
    .split('\n')
    .filter(line => line.trim() !== '')
    .slice(0, 3)
    .join(' / ')
  const then = 'then: lh work --finish; nothing of your work is lost, and you still hold the ticket'
  return policy(`Git did not move ${base}: ${words}`, `mend what it says; ${then}`)
}

const movedOn = (base: string): Fault => policy(`${base} has moved on in the meantime`, 'run it again: lh work --finish')

/** Whoever leased the base branch counts on it to stay where it is. One's own lease of it is none of somebody else's, wherever it was taken. */
async function refuseLeasedBase({ desk: { workspace }, caller }: Asking, base: string): Promise<void> {
  const key = branchKey(workspace.repository, base)
  const view = await workspace.coordinator.view()
  const lease = view.lease(key)
  if (lease === null || isOver(lease, view)) return
  const { agentId, worktreeId, sessionId } = lease.holder
  if (agentId === caller.holder.agentId && sessionId === caller.holder.sessionId) return
  throw new Fault('held', `${base} cannot be moved: ${key} is held by ${agentId} (${worktreeId})`, {
    hint: `wait until it is free, see: lh why ${shellWord(key)}; then: lh work --finish; nothing of your work is lost, and you still hold the ticket`,
    details: { resource: key, holder: holderToWire(lease.holder) },
  })
}

/** A branch in a rebase is checked out nowhere, and is set when that ends or is given up: what it got meanwhile would be off it again. */
function refuseRebased(git: WorktreeGit, base: string, id: string): void {
  const repository = findRepository(git.root, {})
  const { commonDir } = repository
  const gitDir = rebasing(commonDir, base)
  if (gitDir === null) return
  const place = gitDir === commonDir ? (mainRoot(repository) ?? commonDir) : (worktreePathOf(gitDir) ?? gitDir)
  const ways = existsSync(place) ? `cd ${shellWord(place)}; ${waysOut('rebase')}` : `lh worktree remove ${shellWord(place)} --salvage`
  throw policy(
    `a rebase of ${base} is unfinished in ${place}, and would take the work off ${base} again`,
    `${ways}; then: lh work --finish ${shellWord(id)}; nothing of your work is lost, and you still hold the ticket`,
  )
}

/** The tree is ours: the base branch is in it already. */
const mergeCommit = (git: WorktreeGit, { old, head }: { readonly old: string; readonly head: string }, message: string): string =>
  git.run('commit-tree', ...signing(git), `${head}^{tree}`, '-p', old, '-p', head, '-m', message).trim()

/** Unlike `git commit` this command does not ask the configuration whether commits are signed. */
const signing = (git: WorktreeGit): readonly string[] =>
  git.try('config', '--type=bool', '--get', 'commit.gpgSign').stdout.trim() === 'true' ? ['-S'] : []

/** So Git says that it has changed nothing: something of somebody's is in the way. */
const didNotBegin =
  /would be (?:overwritten|removed) by merge|not uptodate\. Cannot merge|would lose untracked files|Refusing to remove|cannot checkout new HEAD/

/** The files of the base branch's own worktree, from one commit to the next. What is not committed there stays, or refuses it. */
async function bringFiles(home: WorktreeGit, base: string, old: string, target: string): Promise<void> {
  const then = 'then: lh work --finish; nothing of your work is lost, and you still hold the ticket'
  const unfinished = home.unfinished()
  if (unfinished !== null)
    throw policy(
      `${base} is checked out in ${home.root}, where ${withArticle(unfinished)} is unfinished`,
      `cd ${shellWord(home.root)}; ${waysOut(unfinished)}; ${then}`,
    )
  const refused = (why: string, hint = 'commit or put away what is in the way there'): Fault =>
    policy(`${base} is checked out in ${home.root}, and could not move: ${why}`, `${hint}; ${then}`)
  const uncommitted = (paths: readonly string[]): Fault => refused(`not committed there, and in the way: ${few(paths)}`)
  home.try(...lookingItself, 'update-index', '-q', '--refresh')
  const unknown = inTheWay(home, old, target)
  if (unknown.length > 0) throw uncommitted(unknown)
  const bring = (...how: readonly string[]): Promise<GitAnswer> =>
    home.tryApartInEnglish(...lookingItself, 'read-tree', ...how, '-m', '-u', old, target)
  // Asked beforehand, so that what a failure in the middle leaves is known to be ours; what somebody saved just now is theirs.
  const would = await bring('--dry-run')
  const { status, stderr, stdout } = would.status === 0 ? await bring() : would
  if (status === 0) return
  const lock = lockOf(home)
  if (lock !== null) throw refused(lock.why, lock.hint)
  if (would.status === 0 && !didNotBegin.test(stderr)) {
    const left = takeBack(home, old, target)
    throw refused(
      lastWords(stderr, stdout),
      left.length === 0 ? 'mend that' : `mend that, and put away what had been brought until then: ${few(left)}`,
    )
  }
  const moving = new Set(differing(home, old, target))
  const changed = home.changes().filter(path => moving.has(path))
  throw changed.length > 0 ? uncommitted(changed) : refused(lastWords(stderr, stdout))
}

/** Paths that are not the same in two commits. */
const differing = (git: WorktreeGit, old: string, target: string): readonly string[] =>
  git
    .run('diff', '--name-only', '--no-renames', '-z', old, target)
    .split('\0')
    .filter(path => path !== '')

/** Top of the worktree that has a branch checked out; null when none has. Throws `policy` where that is the main one and nobody knows where. */
export function worktreeOn(git: WorktreeGit, branch: string): string | null {
  for (const [at, record] of git.run('worktree', 'list', '--porcelain', '-z').split('\0\0').entries()) {
    const fields = record.split('\0')
    if (!fields.includes(`branch refs/heads/${branch}`)) continue
    // Where the git directory stands apart, Git shows that as the main worktree.
    if (at === 0) return knownMain(findRepository(git.root, {}), branch)
    return fields.find(field => field.startsWith('worktree '))?.slice('worktree '.length) ?? null
  }
  return null
}

function knownMain(repository: Repository, branch: string): string {
  const root = mainRoot(repository)
  if (root !== null) return root
  throw policy(
    `${branch} is checked out in the main worktree of ${repository.commonDir}, and nothing says where that is`,
    'run there once: lh worktree init; then here again: lh work --finish',
  )
}
