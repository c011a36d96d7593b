import { agentId, errorPart, token, ulid } from './parts.ts'
import { about, always, count, either, flag, list, maybe, number, object, oneOf, text, type Schema } from './shape.ts'

// What the `gate` commands print.

type Members = Readonly<Record<string, Schema>>

const ok: Members = { ok: always(true) }
const key = text('key of a gate')
const ticket: Members = { ticket: text('full id') }
const stage = oneOf('pre', 'post')
const keys = list(key)

const definition: Members = {
  key,
  title: maybe(text()),
  description: maybe(text()),
  stage,
  mode: oneOf('auto', 'manual'),
  command: maybe(text('for /bin/sh; null for a manual one')),
  timeout_secs: maybe(number()),
  env: { type: 'object', additionalProperties: text(), description: 'what the command finds in its environment besides ours' },
  working_dir: maybe(text('relative to the top of the worktree; null = the top')),
  pass_context: maybe(flag()),
  legacy: maybe({ type: 'object', description: 'what an import could not map' }),
  file: text(),
  source: about(oneOf('here', 'main'), 'in this worktree, or in the main one'),
}

const result: Members = {
  id: ulid,
  at: text('when; RFC 3339'),
  actor: about(agentId, 'who ran or decided it'),
  gate: key,
  stage,
  result: oneOf('passed', 'failed'),
  commit: maybe(text('what was checked out')),
  dirty: flag('there were changes that no commit had, .leasehold left aside'),
  token: maybe(token),
  lease_id: maybe(ulid),
  command: maybe(text()),
  exit_code: maybe(count()),
  signal: maybe(text('that ended the command')),
  timed_out: flag(),
  duration_ms: maybe(number()),
  message: maybe(text()),
  override: flag('an automatic gate that somebody decided by their word'),
  reason: maybe(text()),
  output: maybe(text('the end of what a failed command said')),
  log: maybe(text('file with what was kept of the output, relative to the git directory of the worktree it ran in')),
}

const gate = object(definition)
const results: Members = { results: list(object(result)), count: count() }

export const gateDefine = object({
  ...ok,
  gate,
  outcome: oneOf('created', 'unchanged', 'replaced'),
  changes: list(object({ name: text(), from: text(), to: text() })),
})

const state: Members = {
  state: about(oneOf('passed', 'failed', 'missing', 'stale', 'undefined'), 'stale: it passed, for other code or another command'),
  result: maybe(about(object(result), 'the newest')),
}

export const gateList = either(
  object({ ...ok, gates: list(gate), count: count() }),
  object({
    ...ok,
    ...ticket,
    gates: list(either(object({ ...definition, ...state }), object({ key, stage, mode: always(null), ...state }))),
    count: count(),
  }),
)

const added: Members = { added: about(keys, 'those that the ticket did not have before') }

export const gateAdd = either(
  object({ ...ok, ...ticket, gate, ...added }),
  object({ ...ok, ...ticket, gates: list(gate), count: count(), ...added }),
)

const ran: Members = {
  ...ticket,
  results: list(object({ ...result, log_file: maybe(text('absolute')) })),
  count: count(),
  waiting: about(keys, 'manual gates that nobody passed yet'),
}

export const gateRun = either(object({ ...ok, ...ran }), object({ ok: always(false), error: errorPart, ...ran }))

export const gateDecide = either(
  object({ ...ok, ...ticket, gate, result: object(result) }),
  object({ ...ok, ...ticket, gates: list(gate), ...results }),
)

export const gateHistory = object({ ...ok, ...ticket, ...results })
