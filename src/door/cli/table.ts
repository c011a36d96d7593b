import type { CommandSpec } from './command.ts'
import * as claim from './commands/claim.ts'
import { namesCommand } from './parse.ts'
import { lease, opId, reason, token, ttl, wait } from './tables/options.ts'

// Every command as data. What agents run all day is loaded with this table; the tables of tickets and gates, and the code of everything
// else, on use.

const target = '<lease|resource>'

/** The commands that need no other table to be found. */
export const everyday: readonly CommandSpec[] = [
  {
    path: 'init',
    usage: '',
    arity: [0, 0],
    summary: 'prepare this repository, and say what is next; safe to repeat',
    options: [{ name: 'allow-unsafe-fs', doc: 'go on although file locks are not reliable on this file system' }],
    details:
      'Claims need no init: the first one makes the store. This tests the file locks, makes the store and .leasehold/, and shows who you are.',
    load: async () => (await import('./commands/init.ts')).init,
  },
  {
    path: 'whoami',
    usage: '',
    arity: [0, 0],
    summary: 'who I am here, and where each part of it came from',
    options: [],
    load: async () => (await import('./commands/look.ts')).whoami,
  },
  {
    path: 'status',
    usage: '',
    arity: [0, 0],
    summary: 'one screen: my leases, those of others, launched agents, warnings',
    options: [{ name: 'watch', doc: 'keep it on the screen as it changes; in a pipe, one line for each change (with --json, of JSON)' }],
    details:
      'Watching, on a terminal: the arrow keys choose; Enter opens a session again or says where it works; c launches an agent with the role intake for a ticket ' +
      '(its command is the setting launch.command); r ends a stale session, and asks why; q or Ctrl-C ends.',
    load: async () => (await import('./commands/look.ts')).status,
  },
  {
    path: 'why',
    usage: '<resource>',
    arity: [1, 1],
    summary: 'who holds it, what proves that they live, what would free it and when, and the next command to type',
    options: [],
    details: 'What is held may also be named by the id of its lease, or by the first characters of that, four or more.',
    load: async () => (await import('./commands/look.ts')).why,
  },
  {
    path: 'claim acquire',
    usage: '<resource>…',
    arity: [1, 32],
    summary: 'take one or several resources; several are all or nothing',
    options: [ttl, reason, wait, { name: 'branch', value: '<name>', doc: 'the branch this is for; kept with the lease' }, opId],
    details:
      'A resource is <kind>:<name> (ticket:fix-login, path:src/**, env:staging); a bare word is a ticket, and paths begin at the top of the repository. Acquiring what you hold renews it. ' +
      'The answer has the fencing token: whatever you change outside, check it first with lh claim check. A lease does not stop a process; it tells who may go on.',
    examples: ['lh claim acquire fix-login --ttl 10m', 'lh claim acquire ticket:fix-login path:src/login/** --wait=30s'],
    load: async () => claim.acquire,
  },
  {
    path: 'claim renew',
    usage: target,
    arity: [1, 1],
    summary: 'move the deadline: now + TTL; also late, until somebody has evicted it',
    options: [ttl, reason, { name: 'note', value: '<text>', doc: 'what you are doing; shown by why' }, token, lease, opId],
    details:
      'A lease is named by what it is of, by its id, or by the first characters of that, four or more. A reason replaces the one that the lease has; so does a new ' +
      'reason or --branch of lh claim acquire for what you hold.',
    load: async () => claim.renew,
  },
  {
    path: 'claim heartbeat',
    usage: target,
    arity: [1, 1],
    summary: 'say that you live; with --every, go on saying it',
    options: [
      {
        name: 'every',
        value: '<duration>',
        doc: 'renew again and again, more often than the TTL, until the lease is lost (exit 6) or a signal ends it',
      },
      { name: 'while-pid', value: '<pid>', doc: 'with --every: until this process ends' },
      { name: 'note', value: '<text>', doc: 'what you are doing; shown by why' },
      token,
      lease,
      opId,
    ],
    examples: ['lh claim heartbeat fix-login --every 30s --while-pid $PPID &'],
    load: async () => claim.heartbeat,
  },
  {
    path: 'claim release',
    usage: target,
    arity: [1, 1],
    summary: 'give it back; a group as a whole',
    options: [{ name: 'only', doc: 'split this one off its group and keep the others' }, reason, token, lease, opId],
    load: async () => claim.release,
  },
  {
    path: 'claim transfer',
    usage: target,
    arity: [1, 1],
    summary: 'hand it to another agent or worktree; your token ends',
    options: [
      { name: 'to-agent', value: '<type:name>', doc: 'who gets it' },
      { name: 'to-session', value: '<session>', doc: 'instead of --to-agent: a launched agent, with the peers of the work' },
      { name: 'to-worktree', value: '<wt:id>', doc: 'where they work, if not here' },
      reason,
      ttl,
      token,
      lease,
      opId,
    ],
    load: async () => claim.transfer,
  },
  {
    path: 'claim evict',
    usage: target,
    arity: [1, 1],
    summary: 'end somebody’s lease by your word; it is recorded with your name and reason',
    options: [reason, { ...token, doc: 'evict only the ownership with this token' }, opId],
    load: async () => claim.evict,
  },
  {
    path: 'claim allow',
    usage: '<ticket>',
    arity: [1, 1],
    summary: 'let work be pushed that lost its lease, by your word; recorded with your name and reason, and gives nobody a lease',
    options: [{ name: 'token', value: '<n>', doc: 'the ownership whose work it is, as its commits say' }, reason, opId],
    load: async () => (await import('./commands/allow.ts')).allow,
  },
  {
    path: 'claim status',
    usage: '',
    arity: [0, 0],
    summary: 'my leases, or those of one resource or agent (--agent)',
    options: [{ name: 'resource', value: '<resource>', doc: 'this one only' }],
    load: async () => claim.status,
  },
  {
    path: 'claim list',
    usage: '',
    arity: [0, 0],
    summary: 'every lease of the repository',
    options: [
      { name: 'all', doc: 'also how ended ones ended' },
      { name: 'sweep', doc: 'first evict what has expired; without it, list never writes' },
    ],
    load: async () => claim.list,
  },
  {
    path: 'claim check',
    usage: target,
    arity: [1, 1],
    summary: 'exit 0 only while this token is the current one; ask before every effect outside',
    options: [token],
    details:
      'Without --token LEASEHOLD_TOKEN is asked about, where LEASEHOLD_RESOURCES names the resource; what else its holder has is found in what this worktree noted.',
    examples: ['lh claim check fix-login --token 57 && deploy'],
    load: async () => claim.check,
  },
  {
    path: 'claim history',
    usage: '[<resource>]',
    arity: [0, 1],
    summary: 'what happened, oldest first',
    options: [
      { name: 'since', value: '<time>', doc: 'from then on: a duration back (2h, 1d) or a date and time' },
      { name: 'follow', doc: 'go on as it happens; with --json one record a line' },
    ],
    load: async () => (await import('./commands/history.ts')).history,
  },
  {
    path: 'exec',
    usage: '<resource>… -- <command>…',
    arity: [1, 32],
    summary: 'hold while a command runs: renewed meanwhile, released after, freed at once if everything is killed',
    options: [ttl, reason, wait, opId],
    details:
      'The command gets LEASEHOLD_LEASE, LEASEHOLD_TOKEN, LEASEHOLD_RESOURCES, LEASEHOLD_LEASES and LEASEHOLD_LIVE. What was held before has a token of its own, which ' +
      'that is not: LEASEHOLD_RESOURCES names what it is of, and lh claim check without --token finds the right one. Its exit code is passed through (128 + n for a signal). ' +
      'If the lease is lost it gets SIGTERM, ten seconds later SIGKILL, and the exit code is 6; so it is when the command gives the lease back, but not when it finishes the ticket (lh ticket done) that it ran under. With --json its standard output goes to standard error.',
    examples: ['lh exec port:5432 -- npm test', 'lh exec env:staging --wait=5m -- ./deploy.sh'],
    load: async () => (await import('./commands/exec.ts')).exec,
  },
  {
    path: 'doctor',
    usage: '',
    arity: [0, 0],
    summary: 'every fault, with the file and what to do; exit 2 when there is an error among them',
    options: [
      { name: 'fix', doc: 'mend what is safe' },
      { name: 'moved', doc: 'this store was moved here, or is the one to use from now on: keep its leases' },
      { name: 'copied', doc: 'this store is a copy: start a new space without leases' },
      { name: 'restored', doc: 'a backup of etcd was restored: keep its leases, and let tokens grow beyond all that were given since' },
    ],
    details: 'Of each kind of fault ten are shown and the others counted; --json has all of them.',
    load: async () => (await import('./commands/maintain.ts')).doctor,
  },
  {
    path: 'recover',
    usage: '',
    arity: [0, 0],
    summary: 'mend a torn log, rebuild the index, remove leftovers; safe beside running agents',
    options: [{ name: 'cut', doc: 'cut a damaged log where the damage begins; a copy is kept' }],
    details: 'It never grants and never ends a lease. With --cut, what the damaged part said is lost; tokens go on growing.',
    load: async () => (await import('./commands/maintain.ts')).recover,
  },
  {
    path: 'verify',
    usage: '',
    arity: [0, 0],
    summary: 'check every record ever written: sums, chain, numbers, ownership',
    options: [],
    details:
      'In etcd: all of it at one revision, without holding anybody up. The records of each key are numbered without a gap, tokens only grow, and what is held, finished and counted is what the records say.',
    load: async () => (await import('./commands/maintain.ts')).verify,
  },
  {
    path: 'log compact',
    usage: '',
    arity: [0, 0],
    summary: 'start a new segment now; the old one goes to the archive (in etcd: drop the records older than log.retention)',
    options: [],
    load: async () => (await import('./commands/maintain.ts')).compact,
  },
  {
    path: 'log export',
    usage: '',
    arity: [0, 0],
    summary: 'every record as a line of JSON',
    options: [{ name: 'since', value: '<time>', doc: 'from then on: a duration back (2h, 1d) or a date and time' }],
    load: async () => (await import('./commands/history.ts')).exportLog,
  },
  {
    path: 'config list',
    usage: '',
    arity: [0, 0],
    summary: 'every setting, its value and where that came from',
    options: [],
    load: async () => (await import('./commands/config.ts')).list,
  },
  {
    path: 'config get',
    usage: '<key>',
    arity: [1, 1],
    summary: 'one setting',
    options: [],
    load: async () => (await import('./commands/config.ts')).get,
  },
  {
    path: 'config set',
    usage: '<key> <value>',
    arity: [2, 2],
    summary: 'change a setting in .leasehold/config.yaml',
    options: [{ name: 'user', doc: 'in your own configuration instead' }],
    load: async () => (await import('./commands/config.ts')).set,
  },
  {
    path: 'config explain',
    usage: '<key>',
    arity: [1, 1],
    summary: 'what a setting does, every layer that sets it, and which one wins',
    options: [],
    load: async () => (await import('./commands/config.ts')).explain,
  },
  {
    path: 'schema',
    usage: '[<name>]',
    arity: [0, 1],
    summary: 'the JSON Schema of what --json prints and of the log',
    options: [],
    load: async () => (await import('./commands/schema.ts')).schema,
  },
  {
    path: 'completion',
    usage: '<bash|zsh|tickets|resources|sessions>',
    arity: [1, 1],
    summary: 'a completion script for your shell',
    options: [],
    details:
      'The scripts complete commands, options, tickets by id and slug, what is held, and sessions. They ask for these words by lh completion tickets, resources or ' +
      'sessions: one a line, none outside a repository, and of leases and sessions none where the store is in etcd.',
    examples: ['eval "$(lh completion bash)"'],
    load: async () => (await import('./commands/completion.ts')).completion,
  },
  {
    path: 'demo',
    usage: '',
    arity: [0, 0],
    summary: 'three agents, one crash, one takeover, in a temporary repository; a timeline',
    options: [{ name: 'keep', doc: 'keep the temporary repository, to look around in it' }],
    load: async () => (await import('./commands/demo.ts')).demo,
  },
  {
    path: 'selftest',
    usage: '',
    arity: [0, 0],
    summary: 'prove one holder on this file system: kill, pause, torn tail; a report',
    options: [
      { name: 'seconds', value: '<n>', doc: 'how long; 10 unless told' },
      { name: 'agents', value: '<n>', doc: 'how many processes; 8 unless told' },
    ],
    load: async () => (await import('./commands/selftest.ts')).selftest,
  },
]

/** The tables that are loaded on use, by the first word of their commands; in the order of `lh --help`. */
const tables: Readonly<Record<string, () => Promise<readonly CommandSpec[]>>> = {
  ticket: async () => (await import('./tables/ticket.ts')).ticketCommands,
  work: async () => (await import('./tables/work.ts')).workCommands,
  launch: async () => (await import('./tables/launch.ts')).launchCommands,
  session: async () => {
    const [{ sessionCommands }, { sessionChangeCommands }] = [await import('./tables/session.ts'), await import('./tables/launch.ts')]
    return [...sessionCommands, ...sessionChangeCommands]
  },
  worktree: async () => (await import('./tables/worktree.ts')).worktreeCommands,
  gate: async () => (await import('./tables/gate.ts')).gateCommands,
  hooks: async () => (await import('./tables/hooks.ts')).hookCommands,
  'session-lock': async () => (await import('./tables/session-lock.ts')).sessionLockCommands,
  store: async () => (await import('./tables/store.ts')).storeCommands,
}

/** All commands, in the order of `lh --help`. */
export async function everyCommand(): Promise<readonly CommandSpec[]> {
  const others = await Promise.all(Object.values(tables).map(load => load()))
  const exec = everyday.findIndex(({ path }) => path === 'exec')
  return [...everyday.slice(0, exec + 1), ...others.flat(), ...everyday.slice(exec + 1)]
}

/** The smallest table that has the command which these words name; all of it for a mistake, to see what may be meant. */
export async function tableFor(argv: readonly string[]): Promise<readonly CommandSpec[]> {
  if (namesCommand(argv, everyday)) return everyday
  const word = argv.find(argument => Object.hasOwn(tables, argument))
  const table = word === undefined ? [] : await tables[word]!()
  return namesCommand(argv, table) ? table : everyCommand()
}
