import type { CommandSpec } from '../command.ts'

const spelling =
  'A session is named by its name, its id or the beginning of that (4 characters or more), what its client calls it, or its ticket.'

/** `lh session …` */
export const sessionCommands: readonly CommandSpec[] = [
  {
    path: 'session list',
    usage: '',
    arity: [0, 0],
    summary: 'the sessions of launched agents that have not ended, what each is now, and the command that opens it',
    options: [],
    details:
      'live: its agent works. restorable: its agent ended, and its client can open the session again. stale: nobody can tell whether its agent runs, and it has ' +
      'been silent for too long. dead: its agent is proven gone and cannot be opened again.',
    load: async () => (await import('../commands/session.ts')).list,
  },
  {
    path: 'session show',
    usage: '<session>',
    arity: [1, 1],
    summary: 'one session, also one that has ended: what it holds, the facts that are known of it, and the command that opens it',
    options: [],
    details: spelling,
    examples: ['lh session show fix-login'],
    load: async () => (await import('../commands/session.ts')).show,
  },
]
