import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import type { Client, Finding, Form, Surroundings, Target } from './client.ts'
import type { Wire } from './grouped.ts'
import { groupedEntries } from './grouped.ts'

const tools = 'Bash|apply_patch|Edit|Write|mcp__.*'

// No `Interrupt`: what was interrupted may have left commands running.
const wires: readonly Wire[] = [
  { on: 'SessionStart', event: 'session-start' },
  { on: 'UserPromptSubmit', event: 'refresh' },
  { on: 'PreToolUse', event: 'before-tool', matcher: tools },
  { on: 'PostToolUse', event: 'after-tool', matcher: tools },
  { on: 'Stop', event: 'stop' },
  { on: 'SessionEnd', event: 'session-end' },
]

/** The folder of the user's configuration. */
export function codexDirectory({ env, home }: Pick<Surroundings, 'env' | 'home'>): string {
  const configured = env['CODEX_HOME']
  return configured && isAbsolute(configured) ? configured : join(home, '.codex')
}

const fileOf = (form: Form, around: Surroundings): string =>
  join(form === 'project' ? join(around.root, '.codex') : codexDirectory(around), 'hooks.json')

function targets(form: Form, around: Surroundings): readonly Target[] {
  return [
    { kind: 'entries', path: fileOf(form, around), members: {}, entries: groupedEntries(wires, { agent: 'codex', timeout: 3 }, around) },
  ]
}

function next(form: Form, around: Surroundings): readonly string[] {
  const steps = [
    'start codex, type /hooks, look at the hooks of Leasehold and trust them: until then Codex leaves them out, in `codex exec` without a word',
  ]
  if (form === 'project') steps.push('trust the project, when Codex asks; before that it reads nothing of .codex in it')
  steps.push(
    'for one unattended run that you have checked: codex exec --dangerously-bypass-hook-trust',
    `in a sandbox .git may not be written; where agents run lh themselves, add to ${join(codexDirectory(around), 'config.toml')}: [sandbox_workspace_write] writable_roots = ["${join(around.root, '.git', 'leasehold')}"]`,
  )
  if (around.failClosed) steps.push('Codex has no way to block when a hook cannot start: session_lock.fail closed counts only once it runs')
  return steps
}

function obstacles(around: Surroundings, installed: readonly string[]): readonly Finding[] {
  const found: Finding[] = []
  const config = join(codexDirectory(around), 'config.toml')
  const lines = existsSync(config) ? readFileSync(config, 'utf8').split(/\r?\n/) : []
  const off = lines.findIndex((line, index) => /^\s*(?:codex_)?hooks\s*=\s*false\b/.test(line) && sectionAt(lines, index) === 'features')
  if (off >= 0) found.push({ severity: 'error', message: 'hooks are switched off ([features] hooks = false)', path: config, line: off + 1 })
  for (const path of installed) {
    const trusted = lines.some(line => line.includes(`${path}:pre_tool_use:`))
    if (!trusted) {
      found.push({
        severity: 'error',
        message: 'Codex has not been told to trust these hooks: it leaves them out. Start codex and type /hooks',
        path,
      })
    } else found.push({ severity: 'note', message: 'trusted in /hooks; Codex asks again when the hooks change', path })
  }
  return found
}

function sectionAt(lines: readonly string[], index: number): string | null {
  for (let at = index; at >= 0; at--) {
    const section = /^\s*\[([^[\]]+)\]/.exec(lines[at]!)?.[1]
    if (section !== undefined) return section.trim()
  }
  return null
}

/** Codex CLI. */
export const codex: Client = { name: 'codex', title: 'Codex', forms: ['user', 'project'], dialect: 'json', targets, next, obstacles }
