import type { CommandSpec } from '../command.ts'
import { launchOptions } from './launch.ts'
import { opId, proof, reason, ttl, wait } from './options.ts'

/** `lh work` */
export const workCommands: readonly CommandSpec[] = [
  {
    path: 'work',
    usage: '[<ticket>] [-- <command>…]',
    arity: [0, 1],
    summary: 'the whole day of a ticket: a worktree of its own, the claim, a command in it; --finish brings it home',
    options: [
      { name: 'finish', doc: 'gates, merge into the base branch, done, release, remove the worktree and its branch' },
      { name: 'no-ff', doc: 'with --finish: a merge commit, also where the base branch could simply move on' },
      { name: 'message', value: '<text>', doc: 'with --finish: the message of a merge commit' },
      { name: 'keep', doc: 'with --finish: leave the worktree and the branch' },
      ...proof.map(option => ({ ...option, doc: `with --finish: ${option.doc}` })),
      ...launchOptions,
      ttl,
      { ...reason, doc: 'why; kept in the log with the claim' },
      wait,
      opId,
    ],
    details:
      'It makes a worktree beside the repository and a branch, or goes on in the one that was made, and takes ticket, worktree and branch together. A command runs there as with ' +
      'lh exec: the lease is renewed meanwhile, the command is ended if it is lost, its exit code is passed through; the claim goes on after it. With --profile or --ready the command is launched as by lh launch: ticket, worktree and branch are claimed, and the ticket ' +
      'started, once the agent has been seen to work. --finish brings the base branch in, ' +
      'runs the gates on the result, marks the ticket done in the last commit and moves the base branch; a failure before that leaves base branch, worktree and lease as they were. ' +
      'After a crash the same command goes on.',
    examples: ['lh work fix-login', 'lh work fix-login -- claude', 'lh work --finish', 'lh work --finish fix-login --no-ff'],
    load: async () => (await import('../commands/work.ts')).work,
  },
]
