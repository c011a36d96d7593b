import { about, count, either, flag, list, maybe, number, object, oneOf, text, type Schema } from './shape.ts'

// What several documents share. Each published schema carries the parts it uses in `$defs`, so that one file is enough to validate.

const ref = (name: string): Schema => ({ $ref: `#/$defs/${name}` })

export const ulid: Schema = { type: 'string', pattern: '^[0-7][0-9A-HJKMNP-TV-Z]{25}$' }
export const time = ref('time')
export const resource = ref('resource')
export const agentId = ref('agent_id')
export const worktreeId = ref('worktree_id')
export const token = ref('token')
export const holder = ref('holder')
export const witness = ref('witness')
export const lease = ref('lease')
export const opId = text('the id under which the same command may be asked again: it happens once')

export const lockHolder = object({
  pid: count(),
  start_ticks: maybe(number('clock ticks since boot; seconds since the epoch on macOS')),
  pid_ns: text('which numbering of processes the pid belongs to'),
  label: text('what it was doing'),
  since: time,
})

/** Facts beside an error's message. Which are there depends on the error. */
const errorDetails = object(
  {},
  {
    kind: oneOf(
      'held',
      'reserved',
      'lapsing',
      'other-instance',
      'pending',
      'not-pending',
      'not-held',
      'unknown-lease',
      'not-owner',
      'superseded',
      'store-reset',
      'bad-ttl',
      'too-many',
      'op-id-reused',
      'same-holder',
      'reason-required',
      'limit',
      'not-stale',
      'finished',
      'none-free',
      'changed-meanwhile',
    ),
    op_id: opId,
    candidates: list(text('a ticket, or a worktree, that the spelling may mean')),
    dirty: about(list(text()), 'worktree: changed or untracked files, at most 1,000'),
    unmerged: count('worktree: commits that are on no other branch'),
    unfinished: maybe(text('worktree: a merge or the like in the middle')),
    ignored: about(list(text()), 'worktree: ignored files, at most 1,000'),
    inner: about(list(text()), 'worktree: repositories inside whose content would be lost'),
    pids: about(list(count()), 'worktree: processes that work in it'),
    outcome: about(
      oneOf('unknown', 'nothing_changed'),
      'with `unavailable`: did the command happen? After `unknown`, ask again with the same op_id',
    ),
    lease: about(lease, 'the lease that stands in the way'),
    stale: flag('it is indefinite and silent for too long'),
    resource,
    pending: flag('it is a reservation in flight'),
    launcher_pid: maybe(count()),
    age_secs: number(),
    retry_after_secs: number('seconds after which asking again may help'),
    current: flag('check: is the token the current one?'),
    token: maybe(token),
    renewable: flag('check: it has expired and nobody took it, so its holder may still renew'),
    line: count('of the damaged log, from 1'),
    offset: count('bytes into the damaged log'),
    intact_lines_after: count('whole records after the damage; more than none means that it was no torn write'),
    last_good_seq: count('of the record before the damage'),
    cut_lines: count('what lh recover --cut would cut'),
    cut_bytes: count(),
    cut_first_seq: maybe(number()),
    cut_last_seq: maybe(number()),
    cut_grants: list(text()),
    cut_ends: list(text()),
    known_from: text('what still tells something of a log that is gone'),
    known_seq: count(),
    highest_seq: count('the next record gets a larger number'),
    leases: count('that would be known after lh recover --cut'),
    lock_holder: maybe(about(lockHolder, 'who has the lock of the store, as its lock file says')),
    cause: text('exec: why the lease was lost'),
    command_exit_code: count('exec: what the command itself ended with'),
    variable: text('the environment variable that says an agent runs this'),
    client: text('the agent it names'),
  },
)

const error = object(
  {
    code: oneOf('internal', 'usage', 'held', 'not_found', 'not_owner', 'superseded', 'unavailable', 'policy', 'timeout', 'launch_failed'),
    exit: about({ type: 'integer', minimum: 1, maximum: 10 }, 'the exit code of the command'),
    message: text('the thing and the cause, one sentence'),
    hint: text('the next command or step; may be empty'),
  },
  { holder: about(holder, 'who holds what was asked for'), details: errorDetails },
)

/** Everything that is referred to by name. */
export const parts: Readonly<Record<string, Schema>> = {
  time: { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$', description: 'RFC 3339, UTC, milliseconds' },
  resource: { type: 'string', pattern: '^[a-z][a-z0-9_-]{0,31}:.+$', maxLength: 256, description: 'canonical key, <kind>:<name>' },
  agent_id: { type: 'string', pattern: '^([a-z][a-z0-9_-]*:.+|system)$', description: '<type>:<identifier>; `system` for repairs' },
  worktree_id: { type: 'string', pattern: '^wt:[0-9a-f]{8}$' },
  token: {
    type: 'integer',
    minimum: 1,
    description: 'the fencing token: position of the ownership record in the log; a later owner has a larger one',
  },
  witness: object({
    host: text('for people; no proof'),
    boot_id: text(),
    pid_ns: text(),
    time_ns: text(),
    pid: count(),
    pid_start_ticks: number('clock ticks since boot; seconds since the epoch on macOS'),
  }),
  holder: object({
    agent_id: agentId,
    worktree_id: worktreeId,
    session_id: maybe(text()),
    witness: maybe(about(witness, 'a process that can be proven dead, where one is known')),
  }),
  lease: object({
    lease_id: about(ulid, 'one for each ownership; a resumed session keeps it'),
    resource,
    holder,
    token,
    ttl_secs: number('seconds without a renewal; 0 = indefinite'),
    acquired_at: time,
    expires_at: maybe(about(time, 'when it may be evicted, by the wall clock, for people; null when indefinite')),
    last_beat: time,
    branch: maybe(text()),
    reason: maybe(text()),
    note: maybe(text('of the last heartbeat that had one')),
    session: maybe(text('the holder’s session_id')),
    group: maybe(about(ulid, 'the leases that were taken in one step share it')),
    bound: flag('it ends with its process'),
    standing: oneOf('live', 'stale', 'expired', 'dead', 'pending'),
    remaining_secs: maybe(number('negative once expired; null when indefinite')),
  }),
  error,
}

/** `ok: false` and why. */
export const failure = object({ ok: { const: false }, error: ref('error') })
export const errorPart = ref('error')

/** One lease as `lease`, several as `leases` with their number; and what else the answer carries. */
export const leasesWith = (required: Readonly<Record<string, Schema>>, optional: Readonly<Record<string, Schema>> = {}): Schema =>
  either(
    object({ ok: { const: true }, lease, ...required }, optional),
    object({ ok: { const: true }, leases: list(lease), count: count(), ...required }, optional),
  )
