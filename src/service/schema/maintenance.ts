import { errorPart, time } from './parts.ts'
import { about, always, count, either, flag, list, maybe, number, object, oneOf, text, type Schema } from './shape.ts'

// What the commands print that look after a store, and the two that prove something. They keep what they found beside the error.

type Members = Readonly<Record<string, Schema>>

const ok: Members = { ok: always(true) }
const failed: Members = { ok: always(false), error: errorPart }

const finding: Members = {
  severity: oneOf('error', 'warning', 'info'),
  code: text('a short stable name'),
  file: maybe(text()),
  line: maybe(count()),
  message: text(),
  fix: maybe(text('what to do; a command where there is one')),
}
const findings: Members = { findings: list(object(finding)), count: count() }
const fixed: Members = { fixed: list(text()) }

export const doctor = either(
  object({ ...ok, ...findings }, fixed),
  object({ ...failed, ...findings }, fixed),
  object({
    ...ok,
    ...findings,
    changed: flag(),
    adopted: maybe(oneOf('moved', 'copied', 'restored')),
    space: text(),
    quarantine: maybe(text('where the copied log went')),
    last_seq: count(),
  }),
)

const mended: Members = {
  fixed: list(
    object({
      file: text('from the top of the worktree'),
      code: text('what was mended, the code of a finding'),
      diff: text('unified, for git apply; of a directory that was removed, what was in it'),
    }),
  ),
}

export const ticketDoctor = either(object({ ...ok, ...findings }, mended), object({ ...failed, ...findings }, mended))

const verified: Members = {
  records: count('those of checkpoints not counted'),
  segments: count(),
  bytes: count(),
  first_seq: count(),
  last_seq: count(),
  leases: count(),
  torn_bytes: count('after the last newline: an append that was cut short, never acknowledged'),
  newer: maybe(about(object({ seq: count(), op: text() }), 'the first record that only a newer version understands')),
  findings: list(object({ ...finding, offset: maybe(count()), seq: maybe(number()) }, { key: text('etcd: the name that it is about') })),
  count: count(),
}

const inEtcd: Members = { keys: count('etcd: keys that the records are about') }

export const verify = either(object({ ...ok, ...verified }, inEtcd), object({ ...failed, ...verified }, inEtcd))

export const recover = object({
  ...ok,
  mended: list(text()),
  cut_lines: count(),
  cut_bytes: count(),
  quarantine: maybe(text('file with the bytes that were cut')),
  index: oneOf('rebuilt', 'none', 'kept'),
  removed: list(text()),
})

export const compact = either(
  object({ ...ok, segment_bytes_before: count(), segment_bytes_after: count(), archived: list(text()) }),
  object({ ...ok, pruned_records: count('etcd: older than log.retention') }),
)

/** `--back` says only where the leases stay, and a move that was finished later does not know any more how much it was. */
export const storeMove = object(
  { ...ok, from: text('as in the setting store'), to: text() },
  {
    records: count(),
    leases: count('live ones'),
    last_seq: count('later tokens are larger'),
    resumed: always(true, 'everything had been moved; the last steps were done now'),
    given_up: always(true),
    joined: always(true, 'with --join: nothing was moved'),
    file: text('the configuration that names the new store'),
  },
)

/** A failure whose details are what the command found. */
const failedWith = (details: Schema): Schema =>
  object({ ok: always(false), error: object({ code: always('internal'), exit: always(1), message: text(), hint: text(), details }) })

const moment = object({
  at: time,
  elapsed_ms: number(),
  agent: text(),
  event: oneOf('claim', 'takeover', 'busy', 'waits', 'renew', 'done', 'given-back', 'killed', 'back', 'refused', 'accepted', 'lost'),
  ticket: text(),
  token: maybe(count()),
  detail: maybe(text('busy: who has it; refused, accepted: the command')),
})

const proven = object(
  { holds: flag() },
  {
    claims: count(),
    most_holders_at_once: count(),
    busy_refusals: count(),
    renewals: count(),
    records: count(),
    killed: object({ agent: text(), ticket: text(), token: count(), pid: count(), signal: maybe(text()) }),
    takeover: object({ agent: text(), ticket: text(), token: count(), after_secs: number(), ttl_secs: number() }),
    stale_token: object({ token: maybe(count()), attempts: count(), refused: count(), exit_code: count() }),
    tickets: count(),
    done_exactly_once: count(),
    commits: count(),
    log: object({ records: maybe(count()), segments: maybe(count()), verified: flag() }),
    troubles: list(text()),
  },
)

export const demo = either(
  object({ ...ok, timeline: list(moment), proven, directory: maybe(text('with --keep')) }),
  failedWith(object({ failed: list(text()), timeline: list(moment), proven })),
)

const report: Members = {
  file_system: text(),
  directory: text(),
  seconds: number(),
  agents: count(),
  keys: count(),
  acknowledged: count(),
  refused: { type: 'object', additionalProperties: count(), description: 'by error code' },
  ownerships: count(),
  evictions: count(),
  kills: count(),
  pauses: count(),
  torn_tails: count(),
  torn_tails_repaired: count(),
  counted_under_lock: count(),
  longest_lock_wait_ms: number(),
  longest_pause_ms: number(),
  records: count(),
  segments: count(),
  operations: { type: 'object', additionalProperties: count(), description: 'records by operation' },
  lock_freed_after_kill_ms: maybe(number()),
  checks: list(object({ name: text(), holds: flag(), text: text() })),
}

export const selftest = either(object({ ...ok, pass: always(true), ...report }), failedWith(object({ pass: always(false), ...report })))
