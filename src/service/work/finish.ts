import { Fault, policy } from '../../core/fault.ts'
import { isFinal } from '../../core/lease.ts'
import type { Purpose } from '../identity/worktree.ts'
import { changeTicket } from '../ticket/change.ts'
import type { Desk } from '../ticket/desk.ts'
import { keyOf } from '../ticket/desk.ts'
import type { HeldTicket } from '../ticket/hold.ts'
import { withTicket } from '../ticket/hold.ts'
import { finishedPlan, refuseUnmet } from '../ticket/workflow.ts'
import type { Asking } from '../ticket/workflow.ts'
import { isFinished } from '../ticket/ticket.ts'
import { WorktreeGit, few, refuseUncommitted } from './git.ts'

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
  const { desk, caller, flags, env } = asking
  const root = desk.workspace.repository.root!
  const base = baseOf(desk, purpose)
  const git = new WorktreeGit(root, env)
  const branch = git.branch()
  if (branch === null) throw policy(`${root} is on no branch`, `git switch ${purpose.branch}`)
  if (branch === base) throw policy(`${root} is on ${base} itself: there is nothing to merge`, `git switch ${purpose.branch}`)
  if (git.commit('HEAD') === null || git.commit(base) === null)
    throw policy(`${git.commit(base) === null ? base : branch} has no commit yet`, 'commit something first')
  const isOver = isFinal((await desk.view()).past(keyOf(ticketId))) && (await desk.view()).lease(keyOf(ticketId)) === null
  if (!isOver)
    await withTicket(desk.workspace, caller, ticketId, { why: 'work --finish', finishedToo: true, flags, env }, held =>
      // Git's hooks find whose work is committed here.
      finishHeld(request, new WorktreeGit(root, { ...env, ...leaseEnvironment(held) }), base, held),
    )
  else if (!git.isAncestor('HEAD', base)) await moveBase(request, git, base, branch, null)
  return { ticketId, branch, base, commit: git.commit(base)! }
}

const leaseEnvironment = ({ lease }: HeldTicket): Record<string, string> => ({
  LEASEHOLD_LEASE: lease.leaseId,
  LEASEHOLD_TOKEN: String(lease.token),
  LEASEHOLD_RESOURCES: lease.resource,
})

function baseOf({ catalogue }: Desk, { base }: Purpose): string {
  const name = base ?? catalogue.baseBranch
  if (name === null) throw policy('there is no branch to merge into', 'say which: lh config set base_branch main')
  return name
}

async function finishHeld(request: FinishRequest, git: WorktreeGit, base: string, held: HeldTicket): Promise<void> {
  const { asking, tell } = request
  const { desk, caller } = asking
  const id = held.ticketId
  const ticketFiles = `.leasehold/tickets/${id}/`
  const branch = git.branch()!
  const isOpen = !isFinished((await desk.catalogue.read(id)).ticket)
  if (isOpen || !git.isAncestor('HEAD', base) || git.changes('').length > 0) {
    refuseUncommitted(git, ticketFiles)
    // What a merge finds uncommitted in its way it refuses to touch.
    commitTicket(git, ticketFiles, `Record the work on ${id}`)
    const before = git.commit('HEAD')!
    bringIn(git, base, tell)
    try {
      await request.runGates()
      await refuseUnmet(desk, (await desk.catalogue.read(id)).ticket, 'post', 'be finished')
    } catch (error) {
      undo(git, before, tell)
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
    commitTicket(git, ticketFiles, `Finish ${id}`)
    await moveBase(request, git, base, branch, held)
  }
  tell(`${base} has the work`)
  await held.finish('done', () => undefined)
}

/** Merges the base branch into ours where it has moved on, so that the gates judge what the base branch will be. */
function bringIn(git: WorktreeGit, base: string, tell: (text: string) => void): void {
  if (git.isAncestor(base, 'HEAD')) return
  tell(`${base} has moved on: merging it in`)
  const { status } = git.try('merge', '--no-edit', base)
  if (status === 0) return
  const conflicts = git
    .run('diff', '--name-only', '--diff-filter=U', '-z')
    .split('\0')
    .filter(name => name !== '')
  if (conflicts.length === 0) {
    git.try('merge', '--abort')
    throw new Fault('unavailable', `${base} could not be merged into ${git.root}`, { hint: `try it: cd ${git.root} && git merge ${base}` })
  }
  throw policy(
    `${base} and this branch changed the same lines of ${conflicts.length} files: ${few(conflicts)}; you still hold the ticket`,
    `resolve them in ${git.root}, then: git add -A && git commit --no-edit && lh work --finish (or give it up: git merge --abort)`,
  )
}

/** A gate said no: the branch is again what it was. Files that nobody committed stay. */
function undo(git: WorktreeGit, before: string, tell: (text: string) => void): void {
  if (git.commit('HEAD') === before || git.try('reset', '--quiet', '--keep', before).status === 0) return
  tell('the merge of the base branch stays in this branch: files that are not committed are in the way of taking it back')
}

/** The ticket's own files, as the last commit of the branch. */
function commitTicket(git: WorktreeGit, files: string, message: string): void {
  git.run('add', '--all', '--', files)
  if (git.try('diff', '--cached', '--quiet', '--', files).status === 0) return
  git.run('commit', '--quiet', '-m', message, '--', files)
}

/** Moves the base branch to our work, in its own worktree where it is checked out. It only ever moves forward. */
async function moveBase(request: FinishRequest, git: WorktreeGit, base: string, branch: string, held: HeldTicket | null): Promise<void> {
  const { noFastForward, message, tell, asking } = request
  const head = git.commit('HEAD')!
  const old = git.commit(base)!
  if (git.isAncestor(head, old)) return
  if (!git.isAncestor(old, head)) throw policy(`${base} has moved on in the meantime`, 'run it again: lh work --finish')
  const target = noFastForward || message !== null ? mergeCommit(git, base, branch, message) : head
  await held?.renew()
  const checkedOut = worktreeOn(git, base)
  tell(`moving ${base} to ${target.slice(0, 10)}`)
  if (checkedOut === null) git.run('update-ref', '-m', `lh work --finish: ${branch}`, `refs/heads/${base}`, target, old)
  else fastForward(new WorktreeGit(checkedOut, asking.env), base, target)
}

/** The tree is ours: the base branch is in it already. */
function mergeCommit(git: WorktreeGit, base: string, branch: string, message: string | null): string {
  const text = message ?? `Merge branch '${branch}'`
  return git.run('commit-tree', `${git.commit('HEAD')!}^{tree}`, '-p', git.commit(base)!, '-p', git.commit('HEAD')!, '-m', text).trim()
}

function fastForward(main: WorktreeGit, base: string, target: string): void {
  const { status, stderr, stdout } = main.try('merge', '--ff-only', '--quiet', target)
  if (status === 0) return
  throw policy(
    `${base} is checked out in ${main.root}, and could not move there: ${(stderr || stdout).trim().split('\n').slice(0, 3).join(' ')}`,
    `commit or put away what is in the way there, then: lh work --finish; nothing of your work is lost, and you still hold the ticket`,
  )
}

/** Top of the worktree that has a branch checked out; null when none has. */
export function worktreeOn(git: WorktreeGit, branch: string): string | null {
  for (const record of git.run('worktree', 'list', '--porcelain', '-z').split('\0\0')) {
    const fields = record.split('\0')
    if (fields.includes(`branch refs/heads/${branch}`))
      return fields.find(field => field.startsWith('worktree '))?.slice('worktree '.length) ?? null
  }
  return null
}
