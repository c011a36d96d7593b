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
export const storedSession = ref('stored_session')
export const session = ref('session')
export const pending = ref('pending')
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
      'launched',
      'reserved',
      'no-session',
      'session-is',
      'opening',
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
    candidates: list(text('a ticket, a worktree or a session that the spelling may mean')),
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
    moving_to: text('the store to which the leases are on their way'),
    moved_to: text('the store in which the leases are now, for good'),
    store: text('the store in which the leases are, where a setting names another one'),
    setting: text('what that setting names'),
    damaged_note: text('the file that says where the leases are, and cannot be read'),
    stderr: text('what Git said, at most 4,000 characters'),
    lease: about(lease, 'the lease that stands in the way'),
    stale: flag('it is indefinite and silent for too long; or nobody can tell whether its agent runs'),
    resource,
    lease_id: about(ulid, 'of the lease that stands in the way'),
    pending: flag('it is a reservation in flight'),
    launch_id: maybe(text('id of the launch in flight')),
    role: maybe(text('of the launch, or of the session')),
    launcher_pid: maybe(count()),
    launcher_alive: flag('false: what it started still runs, and nobody is left who could make a claim of it'),
    agent_pid: maybe(count('of the agent that is being launched')),
    age_secs: number(),
    session_id: about(ulid, 'the session that has it'),
    session_name: text(),
    session_standing: oneOf('live', 'restorable', 'stale', 'dead'),
    open: maybe(text('the command that opens or ends that session')),
    last_lines: about(list(text()), 'launch: what the agent said last'),
    step: maybe(text('launch: how far it came')),
    agent_exit_code: maybe(count('launch: what it ended with, before it had shown that it works')),
    kept: flag('launch: the agent was left running without a claim'),
    endpoint: text('of etcd, that said no'),
    endpoints: about(list(object({ endpoint: text(), error: text('why it did not help') })), 'of etcd, that were tried'),
    damaged: text('the name in etcd of what cannot be read'),
    resources: about(list(text()), 'what stands in the way'),
    retry_after_secs: number('seconds after which asking again may help'),
    current: flag('check: is the token the current one?'),
    token: maybe(token),
    renewable: flag('check: it has expired and nobody took it, so its holder may still renew'),
    path: text('of a file that cannot be changed as it is'),
    line: count('of that file, or of the damaged log; from 1'),
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

const sessionMembers: Readonly<Record<string, Schema>> = {
  session_id: about(ulid, 'also the id of the launch that made it'),
  name: text('for people; unique among those that have not ended'),
  role: text(),
  origin: about(oneOf('ticket-claim', 'pre-ticket-intake', 'role-launch'), 'for a ticket, to write one, or for a role of its own'),
  profile: text(),
  state: about(oneOf('live', 'restorable', 'ended'), 'as the log says; what it is by the facts is its standing'),
  agent_id: agentId,
  worktree_id: worktreeId,
  cwd: text('where its agent runs'),
  witness: maybe(about(witness, 'the agent’s process')),
  binding: maybe(object({ live: text('the liveness lock that the agent and its children keep') })),
  client_session_ids: list(text('what its client calls it')),
  related_tickets: list(text('full id')),
  peers: list(text('id of a session that it works with')),
  evidence: object({
    kind: text('model-answer, tool-call, ready-fd, output, http, alive or hook'),
    seen: text(),
    confirmed: flag('false: it only did not end'),
    at: time,
  }),
  resume_command: maybe(about(list(text()), 'how its client opens it again')),
  stored: maybe(text('where its client keeps it; null: not known')),
  launched_by: agentId,
  started_at: time,
  ended_at: maybe(time),
  end_reason: maybe(text()),
  exit_code: maybe(number()),
}

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
    expires_at: maybe(about(time, 'when it may be evicted, by the wall clock, for people; null when indefinite or ended')),
    last_beat: time,
    branch: maybe(text()),
    reason: maybe(text()),
    note: maybe(text('of the last heartbeat that had one')),
    session: maybe(text('the holder’s session_id')),
    group: maybe(about(ulid, 'the leases that were taken in one step share it')),
    bound: flag('it ends with its process'),
    standing: about(oneOf('live', 'stale', 'expired', 'dead', 'pending', 'ended'), 'ended: only where a first answer is given again'),
    remaining_secs: maybe(number('negative once expired, 0 when ended; null when indefinite')),
  }),
  stored_session: object(sessionMembers),
  session: object({
    ...sessionMembers,
    standing: about(
      oneOf('live', 'restorable', 'stale', 'dead', 'ended'),
      'by the facts. restorable: its agent ended and can be started again; stale: nobody can tell, and it has been silent for too long; ' +
        'dead: proven gone, and not to be opened again',
    ),
    facts: list(text('what is known of it, in words, and how')),
    leases: list(about(lease, 'held in it')),
    open: maybe(text('the command that opens or ends it, or says where it works')),
  }),
  pending: object({
    resource,
    launch_id: maybe(text('becomes the id of the session')),
    role: maybe(text()),
    agent_id: about(agentId, 'who will hold it'),
    launcher_pid: maybe(count()),
    launcher_alive: flag('false: what it started still runs, and nobody is left who could make a claim of it'),
    agent_pid: maybe(count('null while no agent was started')),
    age_secs: number(),
    open: maybe(text('the command that ends what a dead launcher left running')),
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
