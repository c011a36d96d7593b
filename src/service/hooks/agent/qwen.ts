import { join } from 'node:path'
import type { Client, Finding, Form, Surroundings, Target } from './client.ts'
import { lineOfMember, valueOf } from './document.ts'
import { readAgentFile } from './file.ts'
import type { Wire } from './grouped.ts'
import { groupedEntries } from './grouped.ts'

const tools = 'write_file|edit|notebook_edit|run_shell_command|monitor|mcp__.*'

// SessionEnd does not come in headless runs; Stop does.
const wires: readonly Wire[] = [
  { on: 'SessionStart', event: 'session-start' },
  { on: 'UserPromptSubmit', event: 'refresh' },
  { on: 'PreToolUse', event: 'before-tool', matcher: tools },
  { on: 'PostToolUse', event: 'after-tool', matcher: tools },
  { on: 'PostToolUseFailure', event: 'after-tool', matcher: tools },
  { on: 'Stop', event: 'stop' },
  { on: 'SessionEnd', event: 'session-end' },
]

const fileOf = (form: Form, { home, root }: Surroundings): string => join(form === 'project' ? root : home, '.qwen', 'settings.json')

function targets(form: Form, around: Surroundings): readonly Target[] {
  const handwriting = { agent: 'qwen', timeout: 3000, extra: () => ({ name: 'leasehold' }) } as const
  return [{ kind: 'entries', path: fileOf(form, around), members: {}, entries: groupedEntries(wires, handwriting, around) }]
}

function next(form: Form, around: Surroundings): readonly string[] {
  const steps = ['nothing to click; sessions that are open already read it when they start anew']
  if (form === 'project') steps.push('commit .qwen/settings.json')
  if (around.failClosed) steps.push('Qwen has no way to block when a hook cannot start: session_lock.fail closed counts only once it runs')
  return steps
}

function obstacles(around: Surroundings, installed: readonly string[]): readonly Finding[] {
  const found: Finding[] = []
  for (const path of new Set([fileOf('user', around), fileOf('project', around), ...installed])) {
    try {
      const { text } = readAgentFile(path)
      if (text === null || text.trim() === '') continue
      const document = { path, text, dialect: 'json with comments' } as const
      if (valueOf(document)['disableAllHooks'] === true)
        found.push({
          severity: 'error',
          message: 'disableAllHooks is set: no hook runs',
          path,
          line: lineOfMember(document, ['disableAllHooks']),
        })
    } catch (error) {
      found.push({
        severity: installed.includes(path) ? 'error' : 'warning',
        message: `Qwen Code cannot read it: ${(error as Error).message}`,
        path,
      })
    }
  }
  return found
}

/** Qwen Code. */
export const qwen: Client = {
  name: 'qwen',
  title: 'Qwen Code',
  forms: ['user', 'project'],
  dialect: 'json with comments',
  targets,
  next,
  obstacles,
}
