import { isAbsolute, join } from 'node:path'
import type { Client, Form, HookEvent, Surroundings, Target } from './client.ts'
import { shellLine } from './line.ts'

const events: readonly (readonly [on: string, event: HookEvent])[] = [
  ['sessionStart', 'session-start'],
  ['userPromptSubmitted', 'refresh'],
  ['preToolUse', 'before-tool'],
  ['postToolUse', 'after-tool'],
  ['agentStop', 'stop'],
  ['sessionEnd', 'session-end'],
]

function directoryOf({ env, home }: Surroundings): string {
  const configured = env['COPILOT_HOME']
  return configured && isAbsolute(configured) ? configured : join(home, '.copilot')
}

function targets(form: Form, around: Surroundings): readonly Target[] {
  const directory = form === 'project' ? join(around.root, '.github', 'hooks') : join(directoryOf(around), 'hooks')
  const entries = Object.fromEntries(
    events.map(([on, event]) => [on, [{ type: 'command', bash: shellLine(around.program, event, 'copilot'), timeoutSec: 3 }]]),
  )
  return [{ kind: 'entries', path: join(directory, 'leasehold.json'), members: { version: 1 }, entries }]
}

function next(form: Form, around: Surroundings): readonly string[] {
  const steps =
    form === 'user'
      ? ['nothing to click; sessions that are open already read it when they start anew']
      : [
          'trust the folder, when Copilot asks (headless: --trust-folder): in others it runs no hooks of the repository',
          'commit .github/hooks/leasehold.json',
        ]
  if (around.failClosed) steps.push('Copilot blocks by itself when a hook fails, but lets a tool run when a hook takes too long')
  return steps
}

/** GitHub Copilot CLI. */
export const copilot: Client = {
  name: 'copilot',
  title: 'GitHub Copilot CLI',
  forms: ['user', 'project'],
  dialect: 'json',
  targets,
  next,
  obstacles: () => [],
}
