import { isAbsolute, join } from 'node:path'
import type { Client, Finding, Form, Surroundings, Target } from './client.ts'
import { lineOfMember, valueOf } from './document.ts'
import { readAgentFile } from './file.ts'
import type { Wire } from './grouped.ts'
import { groupedEntries } from './grouped.ts'

const tools = 'write_file|replace|run_shell_command|mcp_.*'

const wires: readonly Wire[] = [
  { on: 'SessionStart', event: 'session-start' },
  { on: 'BeforeAgent', event: 'refresh' },
  { on: 'BeforeTool', event: 'before-tool', matcher: tools },
  { on: 'AfterTool', event: 'after-tool', matcher: tools },
  { on: 'AfterAgent', event: 'stop' },
  { on: 'SessionEnd', event: 'session-end' },
]

function directoryOf({ env, home }: Surroundings): string {
  const configured = env['GEMINI_CLI_HOME']
  return join(configured && isAbsolute(configured) ? configured : home, '.gemini')
}

const fileOf = (form: Form, around: Surroundings): string =>
  join(form === 'project' ? join(around.root, '.gemini') : directoryOf(around), 'settings.json')

function targets(form: Form, around: Surroundings): readonly Target[] {
  const handwriting = { agent: 'gemini', timeout: 3000, extra: () => ({ name: 'leasehold' }) } as const
  return [{ kind: 'entries', path: fileOf(form, around), members: {}, entries: groupedEntries(wires, handwriting, around) }]
}

function next(form: Form, around: Surroundings): readonly string[] {
  const steps =
    form === 'user'
      ? ['nothing to click; sessions that are open already read it when they start anew']
      : [
          'trust the folder, when Gemini asks: in folders that are not trusted it runs no hooks of the project (headless: GEMINI_CLI_TRUST_WORKSPACE=true)',
          'commit .gemini/settings.json',
        ]
  if (around.failClosed)
    steps.push('Gemini has no way to block when a hook cannot start: session_lock.fail closed counts only once it runs')
  return steps
}

function obstacles(around: Surroundings, installed: readonly string[]): readonly Finding[] {
  const found: Finding[] = []
  const system = process.platform === 'darwin' ? '/Library/Application Support/GeminiCli/settings.json' : '/etc/gemini-cli/settings.json'
  for (const path of new Set([system, fileOf('user', around), fileOf('project', around), ...installed])) {
    try {
      const { text } = readAgentFile(path)
      if (text === null || text.trim() === '') continue
      const document = { path, text, dialect: 'json with comments' } as const
      const config = valueOf(document)['hooksConfig'] as { readonly enabled?: unknown; readonly disabled?: unknown } | undefined
      if (config?.enabled === false)
        found.push({
          severity: 'error',
          message: 'hooksConfig.enabled is false: no hook runs',
          path,
          line: lineOfMember(document, ['hooksConfig', 'enabled']),
        })
      if (Array.isArray(config?.disabled) && config.disabled.includes('leasehold'))
        found.push({
          severity: 'error',
          message: 'hooksConfig.disabled names leasehold',
          path,
          line: lineOfMember(document, ['hooksConfig', 'disabled']),
        })
    } catch (error) {
      found.push({
        severity: installed.includes(path) ? 'error' : 'warning',
        message: `Gemini cannot read it: ${(error as Error).message}`,
        path,
      })
    }
  }
  return found
}

/** Gemini CLI. */
export const gemini: Client = {
  name: 'gemini',
  title: 'Gemini CLI',
  forms: ['user', 'project'],
  dialect: 'json with comments',
  targets,
  next,
  obstacles,
}
