import { agentId, holder, resource, storedSession, time, token, ulid, worktreeId } from './parts.ts'
import { about, always, count, either, flag, list, maybe, number, object, oneOf, text, type Schema } from './shape.ts'

// The lines of `claims.jsonl`. `lh claim history` and `lh log export` print the operations without `prev` and `sum`.

type Members = Readonly<Record<string, Schema>>

const stamp = object({ b: text('the clock: boot and time namespace'), m: number('its milliseconds') })
const sum: Schema = { type: 'string', pattern: '^[0-9a-f]{16}$' }
const binding = maybe(object({ live: { type: 'string', pattern: '^[0-9a-f]{32}$' } }))

const place: Members = {
  schema_version: always(1),
  seq: about(count(), 'position in the log, without gaps except after a repair; the lines of a checkpoint repeat the last one before it'),
  at: about(time, 'wall clock, for people'),
  clk: about(stamp, 'the clock that judges'),
}

const signed: Members = { op_id: maybe(text()), actor: about(agentId, 'who asked') }
const oneSubject: Members = { resource, lease_id: ulid }
const severalSubjects: Members = {
  resources: { ...list(resource), minItems: 2, maxItems: 32 },
  lease_ids: { ...list(ulid), minItems: 2, maxItems: 32 },
  group: ulid,
}

const ownership: Members = {
  token: about(token, 'equal to seq'),
  holder,
  ttl_secs: number('0 = indefinite'),
  stale_secs: number('silence after which an indefinite one shows as stale; 0 = never'),
  branch: maybe(text()),
  reason: maybe(text()),
  binding: about(binding, 'the liveness lock whose end ends it'),
  from: maybe(about(object({ holder, token, lease_ids: list(ulid) }), 'the ownership that this one follows')),
}

const beat: Members = {
  token,
  holder,
  ttl_secs: number(),
  late: flag('its deadline had passed and nobody had evicted it'),
  note: maybe(text()),
}

const news: Members = {
  reason: text('what it is held for from now on'),
  branch: text('the branch that it is for from now on'),
}

const release: Members = {
  token,
  holder,
  reason: maybe(text()),
  outcome: maybe(text('how the work ended')),
  remaining: maybe(about(list(resource), 'members of its group that stay held')),
}

const eviction: Members = {
  previous_holder: holder,
  previous_token: token,
  reason: text('ttl, holder-dead, reservation-lapsed, or a person’s words'),
}

const allowance: Members = { token: about(token, 'the ownership whose work may pass'), reason: text() }

const boot: Members = {
  previous: stamp,
  grace_ms: number('added to what every finite lease had left'),
  two_clocks: flag('this clock had been seen before: two machines or time namespaces write into one log'),
}

const repair: Members = {
  reason: text(),
  cut_bytes: count(),
  cut_lines: count('complete lines among them'),
  quarantine: maybe(text('file in quarantine/ that keeps the bytes')),
  last_good_seq: count('seq of the record before; only here the next seq may jump'),
}

const told = 'as it is afterwards'
const theSession: Members = { session: about(storedSession, `of a launched agent, that this begins, changes or ends: ${told}`) }
const otherSessions: Members = { other_sessions: about(list(storedSession), `that this changes too, such as its peers: ${told}`) }

/** Every operation, about one resource or about several; `extra` is what its line has besides. */
function operations(extra: Members): readonly Schema[] {
  const about1 = (ops: readonly string[], members: Members, more: Members = {}): readonly Schema[] =>
    [oneSubject, severalSubjects].map(subject =>
      object({ ...place, ...extra, op: oneOf(...ops), ...signed, ...subject, ...members }, { ...theSession, ...otherSessions, ...more }),
    )
  return [
    ...about1(['acquire', 'reserve', 'confirm', 'transfer', 'resume', 'reclaim'], ownership),
    ...about1(['renew', 'heartbeat'], beat, news),
    ...about1(['release'], release),
    ...about1(['auto-evict', 'force-evict'], eviction),
    ...about1(['allow'], allowance),
    object({ ...place, ...extra, op: always('session'), ...signed, ...theSession }, otherSessions),
    object({ ...place, ...extra, op: always('boot'), ...signed, ...boot }),
    object({ ...place, ...extra, op: always('repair'), ...signed, ...repair }),
  ]
}

/** An operation as history and export print it. */
export const operation: Schema = either(...operations({}))

const chained: Members = { prev: about(sum, 'sum of the line before'), sum: about(sum, 'of this line without `sum`; always last') }

const group = maybe(object({ id: ulid, resources: list(resource) }))

const storedLease = object({
  resource,
  lease_id: ulid,
  state: oneOf('held', 'pending'),
  token,
  holder,
  ttl_secs: number(),
  stale_secs: number(),
  acquired_at: number('milliseconds since the epoch'),
  last_beat_at: number('milliseconds since the epoch'),
  beat: stamp,
  deadline_m: maybe(number('on the clock of `beat`')),
  branch: maybe(text()),
  reason: maybe(text()),
  note: maybe(text()),
  binding,
  group,
})

const storedPast = object({
  resource,
  lease_id: ulid,
  token,
  holder,
  ended_by: oneOf('release', 'transfer', 'reclaim', 'confirm', 'auto-evict', 'force-evict'),
  reason: maybe(text()),
  outcome: maybe(text()),
  outcome_by: maybe(text('agent who said so')),
  branch: maybe(text()),
  ended_at: number('milliseconds since the epoch'),
  ended_seq: count(),
})

/** A line of `claims.jsonl`: a checkpoint at the beginning of a segment (`segment`, `live`, `past`, `session`, `ops`), then operations. */
export const record: Schema = either(
  object(
    {
      ...place,
      ...chained,
      op: always('segment'),
      base_seq: count('the last seq before this segment'),
      live: count('how many `live` lines follow'),
      past: count('how many `past` lines follow'),
      ops: count('how many `ops` lines follow'),
      space: text('identity of this set of leases'),
      audit_from: count('oldest seq that retention has left: what is missing before it was removed, what is missing after it is a hole'),
      clocks: list(text()),
    },
    { sessions: count('how many `session` lines without an actor follow; absent when there are none') },
  ),
  object({ ...place, ...chained, op: always('live'), lease: storedLease }),
  object({ ...place, ...chained, op: always('past'), past: storedPast }),
  object({ ...place, ...chained, op: always('session'), session: storedSession }),
  object({ ...place, ...chained, op: always('ops'), records: list(operation) }),
  ...operations(chained),
)

/** The `format` file of a store. */
export const format: Schema = object(
  {
    format: count(),
    min_reader: count(),
    min_writer: count(),
    space: text('identity of this set of leases'),
    limits: object({ max_indefinite_leases_per_agent: count(), max_indefinite_leases_per_repo: count() }),
    device: number(),
    inode: number('another one means that the directory was copied or moved'),
  },
  { unsafe_fs: always(true, 'its file locks are not reliable, and somebody said to go on') },
)

/** `worktree.json` in a worktree’s git directory. */
export const worktreeFile: Schema = object(
  { schema_version: always(1), worktree_id: worktreeId, root: text(), created_at: time },
  {
    ticket: text('full id of the ticket it was made for'),
    branch: text('the branch it was made with; there only when lh made the worktree'),
    base: text('the branch that its work is to go to'),
    own_branch: flag('the branch came with the worktree, and goes with it when it is merged'),
  },
)

/** `held.json` in a worktree’s git directory. */
export const heldFile: Schema = object({
  schema_version: always(1),
  entries: { type: 'object', additionalProperties: object({ lease_id: ulid, token, agent_id: text(), session: maybe(text()) }) },
})
