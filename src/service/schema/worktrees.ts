import { agentId, lease, resource, time, worktreeId } from './parts.ts'
import { about, always, count, flag, list, maybe, object, text, type Schema } from './shape.ts'

// What the `worktree` commands print.

type Members = Readonly<Record<string, Schema>>

const ok: Members = { ok: always(true) }

const named: Members = {
  worktree_id: worktreeId,
  path: text('absolute, free of symbolic links'),
  ticket: maybe(text('full id of the ticket it was made for')),
  branch: maybe(text('null when detached')),
}

const worktree = object(
  {
    ...named,
    head: maybe(text('commit')),
    base: maybe(text('the branch that its work is to go to')),
    main: flag('it is the repository itself'),
    current: flag('this command ran in it'),
    made_by_us: flag('by lh worktree add or lh work'),
    present: flag('its directory is there'),
    bare: flag('a repository without files of its own'),
    astray: flag('its directory is there, but its .git leads nowhere: it or the repository was moved; git worktree repair'),
    dirty: maybe(flag('something is changed or untracked')),
    changed: maybe(count()),
    untracked: maybe(count('a directory of untracked files counts once')),
    ahead: maybe(count('commits that the base branch does not have')),
    behind: maybe(count('commits of the base branch that it does not have')),
    holder: maybe(about(agentId, 'who holds it, its branch or its ticket, or holds something from within it')),
    leases: list(lease),
    locked: maybe(text('the reason; empty when none was given')),
    prunable: maybe(text('why Git would forget it')),
    removing: flag('a removal was stopped half-way; remove it again to go on'),
    last_activity: maybe(time),
  },
  { disk_bytes: count('with --disk') },
)

const removed = object({
  ...named,
  branch_deleted: flag(),
  salvage: maybe(text('the reference under which everything was saved')),
  left_out: list(text('ignored files and directories that were not saved')),
  released: list(resource),
})

export const worktreeAdd = object({ ...ok, worktree }, { already: always(true, 'it was there before') })
export const worktreeList = object({ ...ok, worktrees: list(worktree), count: count() })
export const worktreeInfo = object({ ...ok, worktree })
export const worktreeInit = object({ ...ok, worktree_id: worktreeId, path: text() })
export const worktreeRemove = object({ ...ok, worktree: removed })
export const worktreePrune = object({
  ...ok,
  dry_run: flag('nothing was done; --yes does it'),
  worktrees: { anyOf: [list(removed), list(object(named))] },
  count: count(),
  kept: list(object({ ...named, why: text() })),
  cleared: list(text('where a killed command had begun to make a worktree')),
  marks: list(text('worktrees whose Git lock said something else than the leases')),
})
