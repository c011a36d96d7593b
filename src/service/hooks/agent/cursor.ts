import { join } from 'node:path'
import type { Client, Form, HookEvent, Surroundings, Target } from './client.ts'
import { shellLine } from './line.ts'

const events: readonly (readonly [on: string, event: HookEvent])[] = [
  ['sessionStart', 'session-start'],
  ['beforeSubmitPrompt', 'refresh'],
  ['preToolUse', 'before-tool'],
  ['postToolUse', 'after-tool'],
  ['postToolUseFailure', 'after-tool'],
  ['stop', 'stop'],
  ['sessionEnd', 'session-end'],
]

function targets(form: Form, around: Surroundings): readonly Target[] {
  const path = join(form === 'project' ? around.root : around.home, '.cursor', 'hooks.json')
  // Never `failClosed`: Cursor takes an empty answer for a failure then, and ours is empty when the tool may run.
  const entries = Object.fromEntries(
    events.map(([on, event]) => [on, [{ command: shellLine(around.program, event, 'cursor'), timeout: 3 }]]),
  )
  return [{ kind: 'entries', path, members: { version: 1 }, entries }]
}

function next(form: Form, around: Surroundings): readonly string[] {
  const steps = ['restart Cursor, and look in Settings > Hooks whether the hooks are listed']
  if (form === 'project') steps.push('commit .cursor/hooks.json')
  if (around.failClosed) steps.push('failClosed is not used: Cursor would take the empty answer of a hook that lets pass for a failure')
  return steps
}

/** Cursor. */
export const cursor: Client = {
  name: 'cursor',
  title: 'Cursor',
  forms: ['user', 'project'],
  dialect: 'json',
  targets,
  next,
  obstacles: () => [],
}
