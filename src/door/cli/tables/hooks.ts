import type { CommandSpec } from '../command.ts'

const dryRun = { name: 'dry-run', doc: 'only show what would be changed' }

/** `lh hooks … git` */
export const hookCommands: readonly CommandSpec[] = [
  {
    path: 'hooks install',
    usage: 'git',
    arity: [1, 1],
    summary: 'let Git ask before each commit and push whether the lease is still there; once for all worktrees, what is there stays',
    options: [dryRun, { name: 'pre-receive', doc: 'in a bare repository: judge what is pushed to it' }],
    details:
      'Four hooks: trailers in each message, a look at the lease before each commit, another before each push. A hook that is there already is called first, and its failure counts; ' +
      'husky, lefthook, the pre-commit framework and core.hooksPath are respected, and core.hooksPath is never set. git commit --no-verify skips what runs on your side; pre-receive cannot be skipped.',
    examples: ['lh hooks install git --dry-run', 'lh hooks install git --pre-receive --repo /srv/project.git'],
    load: async () => (await import('../commands/hooks.ts')).install,
  },
  {
    path: 'hooks uninstall',
    usage: 'git',
    arity: [1, 1],
    summary: 'take the hooks out: what was there before stands there again, to the byte',
    options: [dryRun],
    load: async () => (await import('../commands/hooks.ts')).uninstall,
  },
  {
    path: 'hooks status',
    usage: 'git',
    arity: [1, 1],
    summary: 'is each hook installed, and would it fire; exit 8 when one is installed and would not',
    options: [],
    load: async () => (await import('../commands/hooks.ts')).status,
  },
  {
    path: 'hooks test',
    usage: 'git',
    arity: [1, 1],
    summary: 'prove it: in a temporary worktree a commit and a push that must be refused; exit 8 when one is not',
    options: [],
    load: async () => (await import('../commands/hooks.ts')).test,
  },
]
