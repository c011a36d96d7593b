import {
  agentId,
  errorPart,
  failure,
  holder,
  lease,
  leasesWith,
  opId,
  pending,
  resource,
  session,
  time,
  token,
  ulid,
  witness,
  worktreeId,
} from './parts.ts'
import { operation } from './log.ts'
import { agentHooksChanged, agentHooksStatus, agentHooksTest } from './agent-hooks.ts'
import { gateAdd, gateDecide, gateDefine, gateHistory, gateList, gateRun } from './gates.ts'
import { hooksChanged, hooksStatus, hooksTest } from './hooks.ts'
import { compact, demo, doctor, recover, selftest, storeMove, ticketDoctor, verify } from './maintenance.ts'
import {
  ticketChanged,
  ticketImport,
  ticketList,
  ticketNext,
  ticketShow,
  ticketStart,
  workBegun,
  workFinished,
  workLaunched,
} from './tickets.ts'
import { worktreeAdd, worktreeInfo, worktreeInit, worktreeList, worktreePrune, worktreeRemove } from './worktrees.ts'
import { sessionLock, sessionLockRelease, sessionLockStatus } from './session-lock.ts'
import { about, always, count, either, flag, list, maybe, object, oneOf, text, type Schema } from './shape.ts'

// What each command prints with `--json` when it succeeds. What it prints when it fails is the schema `error`.

type Members = Readonly<Record<string, Schema>>

const ok: Members = { ok: always(true) }
const warnings: Members = { warnings: list(text()) }
const replay: Members = { replay: always(true, 'the first answer again'), live: flag('is that ownership still current?') }
const again: Members = { ...replay, hint: text('what became of the leases that are not current any more') }
const late: Members = { late: always(true, 'it had expired, and nobody had taken it') }
const held: Members = { already_held: always(true, 'the caller had it; it was renewed') }

const granted = leasesWith({ op_id: opId }, { ...held, ...again, ...late })
const renewed = leasesWith({ op_id: opId }, { ...again, ...late })

const ended = object(
  {
    ...ok,
    lease_id: maybe(ulid),
    resource: text('canonical key of the lease; as it was typed when there was nothing left to end'),
    previous_holder: maybe(holder),
    token: maybe(token),
    actor: agentId,
    op_id: opId,
  },
  { resources: list(resource), already_released: always(true), ...replay },
)

const beats: Members = { beats: count(), ended_by: text('why it stopped') }

const heartbeat = either(renewed, leasesWith({ op_id: opId, ...beats }, { ...again, ...late }), object({ ...ok, ...beats }))

const launched: Members = { lease: maybe(lease), session, pid: count('of the agent') }

const launch = object({ ...ok, ...launched }, { resumed: always(true) })

const sessionEnd = object(
  { ...ok, session: maybe(session), released: list(resource) },
  { launch_id: text('of a launch that was never completed; then there is no session') },
)

const lost = object({ ok: always(false), error: errorPart })

const exec = either(
  leasesWith(
    {
      op_id: opId,
      exit_code: count('of the command; 128 + n for a signal'),
      released: flag('false when it was held before, or had ended'),
    },
    { ...held, ...again, ...late },
  ),
  lost,
)

const leases: Members = { leases: list(lease), count: count(), pending: about(list(pending), 'launches in flight'), ...warnings }

const endedLease = object({
  resource,
  lease_id: ulid,
  token,
  holder,
  ended_by: oneOf('release', 'transfer', 'reclaim', 'confirm', 'auto-evict', 'force-evict'),
  reason: maybe(text()),
  ended_at: time,
})

const toldBy: Members = {
  answered_by: text('the member of the cluster that answered'),
  members: list(
    object({
      endpoint: text(),
      state: oneOf('leader', 'member', 'leaderless', 'silent'),
      error: maybe(text('why it is silent')),
    }),
  ),
  uncertain: list(text('what is not known for certain at this moment, and why')),
}

const status = object(
  {
    ...ok,
    agent: maybe(agentId),
    worktree_id: maybe(worktreeId),
    store: text(),
    mine: count('how many of the leases are the caller’s'),
    session_lock: maybe(sessionLock),
    sessions: about(list(session), 'of launched agents, while they have not ended'),
    ...leases,
  },
  toldBy,
)

const why = object(
  {
    ...ok,
    resource,
    standing: oneOf('live', 'stale', 'expired', 'dead', 'pending', 'free'),
    lease: maybe(about(lease, 'may be of another `path:` that overlaps')),
    pending: maybe(about(pending, 'the launch in flight')),
    evidence: list(text()),
    frees_when: text(),
    next: text('a command'),
    ...warnings,
  },
  { session: about(session, 'that the lease was launched with'), ...toldBy },
)

/** One line of `lh status --watch`. */
const statusChange = (kind: string, standing: Schema, thing: Members): Schema =>
  object({
    at: time,
    change: about(oneOf('is', 'appears', 'becomes', 'goes'), 'is: it was there when watching began; goes: as it was last'),
    kind: always(kind),
    name: text('of the session, or the resource'),
    standing,
    before: maybe(about(standing, 'what it was, where it becomes something else')),
    ...thing,
  })

const change = either(
  statusChange('pending', oneOf('pending', 'orphaned'), { pending }),
  statusChange('session', oneOf('live', 'restorable', 'stale', 'dead'), { session }),
  statusChange('lease', oneOf('live', 'stale', 'expired', 'dead', 'pending'), { lease }),
)

const whoami = object(
  {
    ...ok,
    agent_id: maybe(about(agentId, 'null where nobody has said who acts; origins.agent says how to')),
    worktree_id: worktreeId,
    session_id: maybe(text()),
    witness: maybe(witness),
    origins: about(object({ agent: text(), worktree: text(), session: text(), witness: text() }), 'where each part came from'),
    repository: object({ root: maybe(text()), git_dir: text(), common_dir: text(), kind: text() }),
    store: text(),
  },
  warnings,
)

const settingValue = about({ type: ['string', 'number', 'boolean', 'null'] }, 'durations in seconds, sizes in bytes')
const setting: Members = { key: text(), value: settingValue, text: maybe(text('as it was written')), origin: text() }
const place: Members = { file: text(), line: count() }
const saying = object({ origin: text(), text: maybe(text()) }, place)

const helpOption = object({ name: text('with its dashes'), value: maybe(text('what it takes; null for a switch')), doc: text() })
const help = object({
  ...ok,
  commands: list(
    object(
      { command: text(), usage: text('its arguments'), summary: text(), options: list(helpOption), examples: list(text()) },
      { details: text() },
    ),
  ),
})

/** Name, what it is about, and the schema; in the order of `lh --help`. */
export const answers: readonly (readonly [name: string, title: string, schema: Schema])[] = [
  ['error', 'any command that fails', failure],
  ['lease', 'a lease, as every command shows it', lease],
  ['holder', 'who holds', holder],
  ['init', 'lh init', object({ ...ok, made: list(text()), kept: list(text()), agent: maybe(agentId), store: text(), next: list(text()) })],
  ['whoami', 'lh whoami', whoami],
  ['status', 'lh status', status],
  ['status-change', 'a line of lh status --watch', change],
  ['why', 'lh why', either(why, sessionLockStatus)],
  ['acquire', 'lh claim acquire', granted],
  ['renew', 'lh claim renew', renewed],
  ['heartbeat', 'lh claim heartbeat', heartbeat],
  ['release', 'lh claim release', ended],
  ['transfer', 'lh claim transfer', leasesWith({ op_id: opId }, replay)],
  ['evict', 'lh claim evict', ended],
  [
    'allow',
    'lh claim allow',
    object({ ...ok, resource, token, lease_id: ulid, reason: text(), actor: agentId, op_id: opId }, { replay: always(true) }),
  ],
  ['claim-status', 'lh claim status', object({ ...ok, ...leases, resource: maybe(resource), agent: maybe(agentId) })],
  ['list', 'lh claim list', object({ ...ok, ...leases }, { ended: list(endedLease) })],
  ['check', 'lh claim check', object({ ...ok, current: always(true), token, resource, lease })],
  ['history', 'lh claim history', object({ ...ok, operations: list(operation), count: count(), ...warnings })],
  ['operation', 'a line of lh claim history --follow and of lh log export', operation],
  ['exec', 'lh exec', exec],
  ['session-lock-status', 'lh session-lock status, lh why workspace:<directory>', sessionLockStatus],
  ['session-lock-release', 'lh session-lock release', sessionLockRelease],
  ['ticket', 'lh ticket create, edit, set, comment, review, depend, ready, queue, done, close, reopen', ticketChanged],
  ['ticket-list', 'lh ticket list', ticketList],
  ['ticket-show', 'lh ticket show', ticketShow],
  ['ticket-start', 'lh ticket start', ticketStart],
  ['ticket-next', 'lh ticket next', ticketNext],
  ['ticket-doctor', 'lh ticket doctor', ticketDoctor],
  ['ticket-import', 'lh ticket import', ticketImport],
  ['launch', 'lh launch, lh session resume; printed when the agent has been seen to work, which then runs on', launch],
  ['session-end', 'lh session end, lh session reclaim', sessionEnd],
  ['session-list', 'lh session list', object({ ...ok, sessions: list(session), count: count(), ...warnings })],
  ['session-show', 'lh session show', object({ ...ok, session, ...warnings })],
  ['session', 'a session, as every command shows it', session],
  ['worktree-add', 'lh worktree add', worktreeAdd],
  ['worktree-list', 'lh worktree list', worktreeList],
  ['worktree-info', 'lh worktree info', worktreeInfo],
  ['worktree-init', 'lh worktree init', worktreeInit],
  ['worktree-remove', 'lh worktree remove', worktreeRemove],
  ['worktree-prune', 'lh worktree prune', worktreePrune],
  ['work', 'lh work', either(workBegun, workLaunched(launched), workFinished)],
  ['gate-define', 'lh gate define', gateDefine],
  ['gate-list', 'lh gate list', gateList],
  ['gate-add', 'lh gate add', gateAdd],
  ['gate-run', 'lh gate run', gateRun],
  ['gate-decide', 'lh gate pass, lh gate fail', gateDecide],
  ['gate-history', 'lh gate history', gateHistory],
  ['hooks', 'lh hooks install, lh hooks uninstall', either(hooksChanged, agentHooksChanged)],
  ['hooks-status', 'lh hooks status', either(hooksStatus, agentHooksStatus)],
  ['hooks-test', 'lh hooks test', either(hooksTest, agentHooksTest)],
  ['doctor', 'lh doctor', doctor],
  ['recover', 'lh recover', recover],
  ['verify', 'lh verify', verify],
  ['compact', 'lh log compact', compact],
  ['store-move', 'lh store move', storeMove],
  ['config-list', 'lh config list', object({ ...ok, settings: list(object(setting, place)), count: count() }, warnings)],
  ['config-get', 'lh config get', object({ ...ok, ...setting }, warnings)],
  ['config-set', 'lh config set', object({ ...ok, key: text(), value: text(), previous: maybe(text()), file: text() }, warnings)],
  [
    'config-explain',
    'lh config explain',
    object(
      { ...ok, ...setting, doc: text(), default: maybe(text()), variable: text('the environment variable'), shadowed: list(saying) },
      { ...place, ...warnings },
    ),
  ],
  [
    'schema',
    'lh schema',
    either(
      object({ ...ok, schemas: list(object({ name: text(), title: text() })), count: count() }),
      object({ ...ok, name: text(), schema: { type: 'object' } }),
    ),
  ],
  ['demo', 'lh demo', demo],
  ['selftest', 'lh selftest', selftest],
  [
    'completion',
    'lh completion',
    either(object({ ...ok, shell: oneOf('bash', 'zsh'), script: text() }), object({ ...ok, words: list(text('what may be meant')) })),
  ],
  ['help', 'lh --help, and any command with --help', help],
  ['version', 'lh --version', object({ ...ok, version: text() })],
]
