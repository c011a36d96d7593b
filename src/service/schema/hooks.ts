import { errorPart } from './parts.ts'
import { about, always, count, either, flag, list, maybe, object, oneOf, text, type Schema } from './shape.ts'

// What the `hooks … git` commands print.

type Members = Readonly<Record<string, Schema>>

const ok: Members = { ok: always(true) }
const failed: Members = { ok: always(false), error: errorPart }
const directory: Members = { directory: text('from which Git takes hooks in this worktree') }

const change = either(object({ kind: oneOf('write', 'remove'), path: text() }), object({ kind: always('move'), path: text(), to: text() }))

export const hooksChanged = object({
  ...ok,
  ...directory,
  changes: about(list(change), 'in the order in which they are made; none when everything was so already'),
  count: count(),
  dry_run: flag('nothing was changed'),
  notes: list(text()),
})

const hook = oneOf('prepare-commit-msg', 'pre-commit', 'pre-merge-commit', 'pre-applypatch', 'commit-msg', 'pre-push', 'pre-receive')

const state = object({
  hook,
  installed: flag('ours is somewhere, whether or not Git gets to it'),
  fires: flag('Git would run it here and now'),
  file: maybe(text('the file that has it')),
  via: maybe(oneOf('git', 'husky', 'lefthook', 'pre-commit')),
  chained: maybe(text('what is called before it')),
  problem: maybe(text('why it does not do what it should')),
})

const status: Members = {
  ...directory,
  hooks_path: maybe(text('core.hooksPath')),
  hooks: list(state),
  count: count(),
  warnings: list(text()),
}

export const hooksStatus = either(object({ ...ok, ...status }), object({ ...failed, ...status }))

const steps: Members = {
  steps: list(object({ step: text(), ok: flag(), said: maybe(text('what Git said, where it was not what it should be')) })),
  count: count(),
}

export const hooksTest = either(object({ ...ok, ...steps }), object({ ...failed, ...steps }))
