import type { CommandSpec } from '../command.ts'
import { reason } from './options.ts'

/** `lh session-lock …` and `lh hook`. */
export const sessionLockCommands: readonly CommandSpec[] = [
  {
    path: 'session-lock status',
    usage: '[<directory>]',
    arity: [0, 1],
    summary: 'which agent session has this workspace for itself, what proves that it lives, and how to free it',
    options: [],
    details:
      'One session at a time changes a workspace; the hooks of the agents take and free the lock. The same is shown by lh why workspace:<directory>.',
    load: async () => (await import('../commands/session-lock.ts')).status,
  },
  {
    path: 'session-lock release',
    usage: '[<directory>]',
    arity: [0, 1],
    summary: 'free a workspace by your word: for a session that is gone, or hangs; recorded with your name and reason',
    options: [
      { name: 'force', doc: 'another session’s lock is ended: what that session does next is refused while somebody else has it' },
      reason,
    ],
    examples: ['lh session-lock release --force --reason "its terminal is gone"'],
    load: async () => (await import('../commands/session-lock.ts')).release,
  },
  {
    path: 'hook',
    usage: '[<event>]',
    arity: [0, 1],
    summary: 'what installed hooks of agents call: a payload on standard input, exit 2 with a reason blocks the tool',
    options: [],
    details:
      'Events: before-tool, after-tool, refresh, stop, session-start, session-end; without one, what the payload says. Nothing is ever written to standard output. ' +
      'A failure lets the tool run unless session_lock.fail is closed. --agent names the client that it was installed for.',
    load: async () => (await import('../commands/session-lock.ts')).hookHere,
  },
]
