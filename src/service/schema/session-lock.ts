import { agentId, time } from './parts.ts'
import { always, count, list, maybe, object, oneOf, text } from './shape.ts'

// What `lh session-lock` and `lh why workspace:…` print.

/** A session's lock as every command shows it. */
export const sessionLock = object({
  session_id: text(),
  pid: count('for people; 0 when unknown'),
  agent: maybe(text('the client: claude, codex …')),
  host: maybe(text()),
  cwd: maybe(text('where the session worked when it took the lock')),
  acquired_at: time,
  since: time,
  ttl_ms: count(),
  remaining_ms: count('0 when it has expired'),
})

/** `lh session-lock status`, and `lh why workspace:…`. */
export const sessionLockStatus = object({
  ok: always(true),
  resource: text('workspace:<path>'),
  workspace: text('top of the worktree'),
  file: text('where the lock is kept'),
  standing: oneOf('free', 'live', 'expired', 'dead'),
  session_lock: maybe(sessionLock),
  evidence: list(text()),
  frees_when: text(),
  next: text('a command, or what happens by itself'),
})

/** `lh session-lock release --force` */
export const sessionLockRelease = object({
  ok: always(true),
  workspace: text(),
  released: sessionLock,
  actor: agentId,
  reason: text(),
  recorded: oneOf('log', 'hook-log'),
})
