import { errorPart } from './parts.ts'
import { about, always, count, either, flag, list, maybe, number, object, oneOf, text, type Schema } from './shape.ts'

// What the `hooks … <agent>` commands print.

type Members = Readonly<Record<string, Schema>>

const ok: Members = { ok: always(true) }
const failed: Members = { ok: always(false), error: errorPart }
const agent = oneOf('claude', 'codex', 'gemini', 'qwen', 'copilot', 'cursor', 'opencode')
const form = oneOf('user', 'project', 'plugin')
const cover = maybe(text('settings of another agent that this one reads, with our hooks'))

const change = object({
  path: text(),
  change: oneOf('created', 'changed', 'removed', 'unchanged'),
  diff: text('as diff -u shows it; empty when nothing changes'),
})

export const agentHooksChanged = object({
  ...ok,
  agent,
  form,
  changes: list(change),
  count: about(count(), 'of the files that are not what they were'),
  covered_by: cover,
  next: about(list(text()), 'what a person still has to do'),
  dry_run: flag('nothing was changed'),
})

const wiring = object({
  form,
  path: text(),
  state: about(
    oneOf('complete', 'outdated', 'incomplete', 'broken'),
    'outdated: it takes the lock and gives it back, but is not what this version installs; broken: its agent cannot read the file',
  ),
  missing: about(list(text()), 'events of the agent that nothing of ours is wired to'),
})

const finding = object({
  severity: about(oneOf('error', 'warning', 'note'), 'error: hooks do not run, or not all that are needed'),
  message: text(),
  path: maybe(text()),
  line: maybe(number()),
})

const status = object({
  agent,
  installed: flag(),
  fires: about(maybe(flag()), 'they would run as they should; null: not installed'),
  covered_by: cover,
  wirings: list(wiring),
  findings: list(finding),
})

const statuses: Members = { agents: list(status), count: count() }

export const agentHooksStatus = either(object({ ...ok, ...statuses }), object({ ...failed, ...statuses }))

const report: Members = {
  agent,
  tried: about(oneOf('client', 'hook'), 'the agent itself, or only our hook as it is installed, with what that agent sends'),
  client: maybe(object({ path: text(), version: maybe(text()) })),
  untried: maybe(text('why the agent itself was not tried')),
  steps: list(object({ step: text(), ok: flag(), said: maybe(text()) })),
  count: count(),
}

export const agentHooksTest = either(object({ ...ok, ...report }), object({ ...failed, ...report }))
