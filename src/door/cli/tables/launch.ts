import type { CommandSpec, OptionSpec } from '../command.ts'

const ttl: OptionSpec = {
  name: 'ttl',
  value: '<ttl>',
  doc: 'how long the claim lives without a sign of life; it is renewed while the agent runs',
}
const role: OptionSpec = { name: 'role', value: '<role>', doc: 'what the agent is for: intake, dev, review, orchestrator …' }
const profile: OptionSpec = {
  name: 'profile',
  value: '<name>',
  doc: 'claude, codex, gemini, qwen, acp or command; without it the name of the program decides',
}
const ready: OptionSpec = {
  name: 'ready',
  value: '<how>',
  doc: 'for the profile command: fd (a newline on $LEASEHOLD_READY_FD), output=REGEX, http=URL, alive=5s, hook',
}
const readyTimeout: OptionSpec = {
  name: 'ready-timeout',
  value: '<duration>',
  doc: 'give up when the agent has not shown that it works (60s)',
}
const peer: OptionSpec = { name: 'peer', value: '<session>[,…]', doc: 'a session that it works with; both know of each other' }
const name: OptionSpec = { name: 'name', value: '<name>', doc: 'what the session is called; <role>-<ticket> without it' }
const prompt: OptionSpec = { name: 'prompt', value: '<text>', doc: 'for the profile acp: what the agent is asked' }
const permit: OptionSpec = { name: 'permit', doc: 'for the profile acp: allow what the agent asks permission for' }
const keep: OptionSpec = { name: 'keep', doc: 'leave the agent running if its claim cannot be recorded' }

/** What `lh work` shares with `lh launch`. */
export const launchOptions: readonly OptionSpec[] = [role, profile, ready, readyTimeout, peer, name, prompt, permit]

/** `lh launch` */
export const launchCommands: readonly CommandSpec[] = [
  {
    path: 'launch',
    usage: '<ticket> --role <role> -- <command>…',
    arity: [0, 1],
    summary: 'start an agent for a ticket; the claim exists only once the agent has been seen to work',
    options: [
      role,
      profile,
      ready,
      readyTimeout,
      peer,
      { name: 'worktree', doc: "start it in the ticket's own worktree, made if there is none" },
      { name: 'scope', value: '<glob>[,…]', doc: 'files that it takes with the ticket, all or nothing' },
      name,
      { name: 'no-ticket', doc: 'a session without a ticket: intake writes one, another role has none' },
      keep,
      prompt,
      permit,
      ttl,
    ],
    details:
      'While the agent starts, the ticket is reserved by a lock that dies with the launch. A process, a handshake or a session id prove nothing: the first answer of the model or ' +
      'the first tool call does. Then one record holds the claim and the session, and this command stays to renew it until the agent ends. Anything that goes wrong before ' +
      'leaves no claim, no session and no process (exit 10), and the same command works again at once. A claim whose session is live or can be opened again stands in the way ' +
      'of a second launch, which says how to open it. When the agent ends, the claim is kept if its client can open the session again, else released. Its exit code is passed ' +
      'through. Launching does not start the ticket; lh ticket start and done do.',
    examples: [
      'lh launch fix-login --role dev -- claude',
      'lh launch fix-login --role intake --worktree -- codex exec --json "read the ticket and ask what is unclear"',
      'lh launch fix-login --role dev --ready fd -- ./my-agent.sh',
    ],
    load: async () => (await import('../commands/launch.ts')).launchCommand,
  },
]

/** What changes a session; what shows one is in the table of sessions. */
export const sessionChangeCommands: readonly CommandSpec[] = [
  {
    path: 'session resume',
    usage: '<session> [-- <command>…]',
    arity: [1, 1],
    summary: 'open a session again whose agent has ended; its claim goes on under a new token',
    options: [readyTimeout, keep, prompt, permit],
    details:
      'It runs what the client needs to open its session (lh session show tells), or the command after --, where the session worked, and waits for the same proof as a launch: ' +
      'until then the claim is as it was. The new token fences whatever the old process left running.',
    examples: ['lh session resume dev-fix-login'],
    load: async () => (await import('../commands/session-change.ts')).resume,
  },
  {
    path: 'session reclaim',
    usage: '<session>',
    arity: [1, 1],
    summary: 'end a stale session, of which nobody can tell whether it lives, and free its ticket; never done by itself',
    options: [{ name: 'reason', value: '<text>', doc: 'how you know that it is gone; kept in the log' }],
    details: 'A session that lives or can be opened again is refused.',
    examples: ['lh session reclaim dev-fix-login --reason "that machine was scrapped"'],
    load: async () => (await import('../commands/session-change.ts')).reclaim,
  },
  {
    path: 'session end',
    usage: '<session>',
    arity: [1, 1],
    summary: 'end a session: its agent, if that runs on this machine, and its claim',
    options: [{ name: 'reason', value: '<text>', doc: "why; needed for somebody else's session, and kept in the log" }],
    details: 'Also what a launcher left behind that was killed before its launch was complete: name the ticket.',
    examples: ['lh session end dev-fix-login'],
    load: async () => (await import('../commands/session-change.ts')).end,
  },
]
