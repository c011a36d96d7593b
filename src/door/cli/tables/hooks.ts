import type { CommandSpec } from '../command.ts'

const dryRun = { name: 'dry-run', doc: 'only show what would be changed' }
const who = 'git|claude|codex|gemini|qwen|copilot|cursor|opencode'
const project = { name: 'project', doc: 'agents: in the files of this repository, and not in those of the user' }
const plugin = { name: 'plugin', value: '<directory>', doc: 'claude: as a plugin in a folder of its own' }

/** `lh hooks …` */
export const hookCommands: readonly CommandSpec[] = [
  {
    path: 'hooks install',
    usage: who,
    arity: [1, 1],
    summary: 'wire the hooks of an agent, or of Git; what is there stays, and the same again changes nothing',
    options: [
      dryRun,
      project,
      plugin,
      { name: 'beside', doc: 'copilot, cursor: also where the settings of Claude Code, which they can read, have our hooks' },
      { name: 'pre-receive', doc: 'in a bare repository: judge what is pushed to it' },
    ],
    details:
      'An agent then asks before each tool call that writes whether another session works in the same workspace; see docs/agents.md for what is installed where. ' +
      'Git: six hooks: trailers in each message, a look at the lease before each commit (also of a merge, cherry-pick, revert or git am), another before each push. A hook that is there already is called first, and its failure counts; ' +
      'husky, lefthook, the pre-commit framework and core.hooksPath are respected, and core.hooksPath is never set. git commit --no-verify skips what runs on your side; pre-receive cannot be skipped.',
    examples: ['lh hooks install claude', 'lh hooks install git --dry-run', 'lh hooks install git --pre-receive --repo /srv/project.git'],
    load: async () => (await import('../commands/hooks.ts')).install,
  },
  {
    path: 'hooks uninstall',
    usage: who,
    arity: [1, 1],
    summary: 'take the hooks out: what was there before stands there again, to the byte',
    options: [dryRun, project, plugin],
    load: async () => (await import('../commands/hooks.ts')).uninstall,
  },
  {
    path: 'hooks status',
    usage: `[${who}]`,
    arity: [0, 1],
    summary: 'are the hooks installed, and would they run; without a name: of every agent. Exit 8 when some are installed and would not',
    options: [plugin],
    load: async () => (await import('../commands/hooks.ts')).status,
  },
  {
    path: 'hooks test',
    usage: who,
    arity: [1, 1],
    summary: 'prove that a deny denies: with the agent that is installed here, or commits and a push; exit 8 when something gets through',
    options: [plugin, { name: 'client', value: '<path>', doc: 'agents: this executable, and not the one on PATH' }],
    details:
      'In a temporary home and repository somebody else holds the lock, and the agent tries to write: against a model of our own on the loopback interface, without an account. ' +
      'Where the agent is not found (and for qwen, copilot, cursor, opencode) our hook is run with what that agent sends, and the answer says so.',
    load: async () => (await import('../commands/hooks.ts')).test,
  },
]
