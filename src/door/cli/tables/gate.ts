import type { CommandSpec, OptionSpec } from '../command.ts'
import { proof } from './options.ts'

const stage: OptionSpec = { name: 'stage', value: '<pre|post>', doc: 'pre: needed by lh ticket start; post: needed by lh ticket done' }
const gateMessage: OptionSpec = { name: 'message', value: '<text>', doc: 'what you found; kept with the result' }
const overrideReason: OptionSpec = { name: 'reason', value: '<text>', doc: 'decide an automatic gate by your word; kept with your name' }

/** `lh gate …` */
export const gateCommands: readonly CommandSpec[] = [
  {
    path: 'gate define',
    usage: '<key>',
    arity: [1, 1],
    summary: 'make a gate, or change one: .leasehold/gates/<key>.yaml, to be committed with the code',
    options: [
      { name: 'command', value: '<command>', doc: 'automatic: what /bin/sh runs at the top of the worktree; exit 0 passes' },
      { name: 'manual', doc: 'a person decides, with lh gate pass' },
      { ...stage, doc: `${stage.doc}; a new gate is post unless told` },
      {
        name: 'timeout',
        value: '<duration>',
        doc: 'after it everything that the command started is ended: 1s to 24h; of a new gate 5m unless told',
      },
      { name: 'title', value: '<text>', doc: 'a name for people' },
      { name: 'description', value: '<text>', doc: 'what it is for' },
    ],
    details:
      'A new gate needs --command or --manual. Of one that is there only what is named changes: the rest stays as its file says it, also what only the file ' +
      'can say (env, working_dir, legacy) and comments. The same again changes nothing.',
    examples: [
      'lh gate define tests --command "npm test" --timeout 10m',
      'lh gate define tests --timeout 20m',
      'lh gate define review --manual --title "Somebody read it"',
    ],
    load: async () => (await import('../commands/gate.ts')).define,
  },
  {
    path: 'gate list',
    usage: '[<ticket>]',
    arity: [0, 1],
    summary: 'every gate that is defined; with a ticket, those it has and what became of them',
    options: [],
    load: async () => (await import('../commands/gate.ts')).list,
  },
  {
    path: 'gate add',
    usage: '<ticket> <key>…',
    arity: [2, 33],
    summary: 'give a ticket gates',
    options: proof,
    load: async () => (await import('../commands/gate.ts')).add,
  },
  {
    path: 'gate run',
    usage: '<ticket> [<key>…]',
    arity: [1, 33],
    summary: 'run the automatic gates of a ticket, under its lease; exit 8 when one fails',
    options: [stage, ...proof],
    details:
      'A pass counts for the code it ran on: the commit that is checked out, .leasehold left aside. The command finds LEASEHOLD_TICKET, LEASEHOLD_GATE, LEASEHOLD_TOKEN and ' +
      'LEASEHOLD_LEASE; it has no input. When it is over, nothing of its process group is left. A ticket that nobody holds is held meanwhile. ' +
      'If the lease is lost the command is ended, nothing is recorded, and the exit code is 6.',
    examples: ['lh gate run fix-login', 'lh gate run fix-login tests --json'],
    load: async () => (await import('../commands/gate.ts')).run,
  },
  {
    path: 'gate pass',
    usage: '<ticket> <key>…',
    arity: [2, 33],
    summary: 'pass manual gates, by your word',
    options: [gateMessage, overrideReason, ...proof],
    load: async () => (await import('../commands/gate.ts')).pass,
  },
  {
    path: 'gate fail',
    usage: '<ticket> <key>…',
    arity: [2, 33],
    summary: 'fail manual gates, saying why',
    options: [{ ...gateMessage, doc: 'what is missing; kept with the result' }, overrideReason, ...proof],
    load: async () => (await import('../commands/gate.ts')).fail,
  },
  {
    path: 'gate history',
    usage: '<ticket> [<key>]',
    arity: [1, 2],
    summary: 'every result of a ticket’s gates, or of one of them, oldest first',
    options: [],
    load: async () => (await import('../commands/gate.ts')).history,
  },
]
