import type { CommandSpec, OptionSpec } from '../command.ts'
import { lease, token } from './options.ts'

const salvage: OptionSpec = {
  name: 'salvage',
  doc: 'first save every file, also untracked ones, and every commit under refs/leasehold/salvage/, then remove',
}
const spelling =
  'A worktree is named by its path, its wt: id, its ticket, or the name of its directory or branch; the main one by these two only if no other is called so.'

/** `lh worktree …` */
export const worktreeCommands: readonly CommandSpec[] = [
  {
    path: 'worktree add',
    usage: '<ticket|name>',
    arity: [1, 1],
    summary: 'make a worktree with a branch of its own for a ticket, or under a free name; prints its path',
    options: [
      { name: 'path', value: '<dir>', doc: 'where; ../<repository>-worktrees/<name> unless told' },
      {
        name: 'branch',
        value: '<name>',
        doc: 'its branch, agents/<name> unless told; one that exists is used when it is checked out nowhere',
      },
      {
        name: 'base',
        value: '<ref>',
        doc: 'what the branch starts from, and where lh work --finish brings it; the base branch unless told',
      },
    ],
    details:
      'For a ticket or a name that has one it says where that is; asked for in another place, on another branch or from another base, it refuses. A claim of the ticket in its worktree takes the worktree and the branch as well. Many adds at once are fine; ' +
      'one that fails leaves nothing, and after one that was killed the same command goes on.',
    examples: ['cd "$(lh worktree add fix-login)"', 'lh worktree add spike --base release/1.0'],
    load: async () => (await import('../commands/worktree.ts')).add,
  },
  {
    path: 'worktree list',
    usage: '',
    arity: [0, 0],
    summary: 'the worktrees, who works in each, and what is not committed or not merged',
    options: [{ name: 'disk', doc: 'also how much each takes on the disk' }],
    load: async () => (await import('../commands/worktree.ts')).list,
  },
  {
    path: 'worktree info',
    usage: '[<path|ticket|name|wt:id>]',
    arity: [0, 1],
    summary: 'one worktree; this one unless told',
    options: [],
    details: spelling,
    load: async () => (await import('../commands/worktree.ts')).info,
  },
  {
    path: 'worktree init',
    usage: '',
    arity: [0, 0],
    summary: 'write down the id of this worktree, and say it; other commands do so when they need it',
    options: [],
    load: async () => (await import('../commands/worktree.ts')).init,
  },
  {
    path: 'worktree remove',
    usage: '<path|ticket|name|wt:id>',
    arity: [1, 1],
    summary: 'remove a worktree, its branch when that is merged, and its leases',
    options: [salvage, { name: 'delete-branch', doc: 'with --salvage: the branch too, although it is merged nowhere' }, token, lease],
    details:
      `${spelling} Only its holder may, or anybody when nobody holds it. Refused while it has anything that is in no commit of another branch, unless --salvage; ` +
      'while a process works in it; and for the main worktree. Ignored files go with it; with --salvage small ones are saved too.',
    load: async () => (await import('../commands/worktree.ts')).remove,
  },
  {
    path: 'worktree prune',
    usage: '',
    arity: [0, 0],
    summary: 'remove the worktrees that lh made and nobody holds, or whose directory is gone; says what it would do unless --yes',
    options: [{ name: 'yes', doc: 'do it' }, salvage],
    details: 'The same rules as for remove: what would lose something stays, unless --salvage.',
    load: async () => (await import('../commands/worktree.ts')).prune,
  },
]
