import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { isFault } from '../../../core/fault.ts'
import type { Client, Finding, Form, Surroundings, Target } from './client.ts'
import type { Document } from './document.ts'
import { lineOfMember, valueOf } from './document.ts'
import { readAgentFile } from './file.ts'
import type { Wire } from './grouped.ts'
import { callOf, handlersOf } from './line.ts'
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

/** Kinds of hooks that the version of the tests knows. */
const kinds: readonly unknown[] = ['command', 'mcp_tool', 'prompt', 'agent']

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
  if (form === 'project')
    steps.push('trust the project, when Codex asks; before that it reads nothing of .codex in it', 'commit .codex/hooks.json')
  steps.push(
    'for one unattended run that you have checked: codex exec --dangerously-bypass-hook-trust',
    `where Codex itself runs lh in its sandbox, allow it the records: in ${join(codexDirectory(around), 'config.toml')} [sandbox_workspace_write] writable_roots = [${JSON.stringify(around.commonDir === null ? '<repository>/.git/leasehold' : join(around.commonDir, 'leasehold'))}]`,
  )
  if (around.failClosed) steps.push('Codex has no way to block when a hook cannot start: session_lock.fail closed counts only once it runs')
  return steps
}

function obstacles(around: Surroundings, installed: readonly string[]): readonly Finding[] {
  const found: Finding[] = []
  const own = join(codexDirectory(around), 'config.toml')
  const configs = new Map([own, join(around.root, '.codex', 'config.toml')].map(path => [path, linesOf(path, own, found)]))
  const lines = configs.get(own)!
  for (const [path, each] of configs) {
    const off = each.findIndex((_, index) => isOff(each, index))
    if (off >= 0) found.push({ severity: 'error', message: 'hooks are switched off ([features] hooks = false)', path, line: off + 1 })
  }
  for (const path of installed) {
    const { text } = readAgentFile(path)
    if (text === null) continue
    found.push(...unknownKinds({ path, text, dialect: 'json' }))
    const untrusted = hooksIn({ path, text, dialect: 'json' }).filter(hook => !isTrusted(lines, path, hook))
    if (untrusted.length === 0) continue
    const events = [...new Set(untrusted.map(({ event }) => event))].join(', ')
    const message = `Codex leaves out what its user has not trusted, and that is: ${events}. Start codex, type /hooks, and trust the hooks of Leasehold`
    found.push({ severity: 'error', message, path })
  }
  return found
}

/** The lines of one of Codex's configurations; without its user's own it does not start. */
function linesOf(path: string, own: string, found: Finding[]): readonly string[] {
  try {
    return readAgentFile(path).text?.split(/\r?\n/) ?? []
  } catch (error) {
    if (!isFault(error)) throw error
    found.push({ severity: path === own ? 'error' : 'warning', message: `Codex cannot read it: ${error.message}`, path })
    return []
  }
}

/** Does this line switch hooks off, however TOML lets it be written? */
function isOff(lines: readonly string[], index: number): boolean {
  const said = `${sectionAt(lines, index) ?? ''}.${lines[index]!}`.replaceAll(/["'\s]/g, '')
  return /^(?:\.?features\.|\.features=\{(?:[^}]*,)?)(?:codex_)?hooks=false\b/.test(said)
}

/** One hook of a kind that Codex does not know, and it reads nothing of the file. */
function unknownKinds(document: Document): readonly Finding[] {
  const found: Finding[] = []
  for (const [event, groups] of Object.entries(valueOf(document)['hooks'] ?? {}))
    for (const [index, group] of (Array.isArray(groups) ? (groups as readonly unknown[]) : []).entries())
      for (const [at, handler] of handlersOf(group).entries()) {
        const kind = (handler as { readonly type?: unknown } | null)?.type
        if (kinds.includes(kind)) continue
        const message = `a hook of an unknown type (${JSON.stringify(kind)}): Codex then runs no hook of this file`
        found.push({ severity: 'error', message, path: document.path, line: lineOfMember(document, ['hooks', event, index, 'hooks', at]) })
      }
  return found
}

/** A hook of ours, as Codex counts them. */
interface Counted {
  readonly event: string
  readonly group: number
  readonly index: number
  readonly matcher: unknown
  readonly handler: Readonly<Record<string, unknown>>
}

function hooksIn(document: Document): readonly Counted[] {
  const found: Counted[] = []
  for (const [event, groups] of Object.entries(valueOf(document)['hooks'] ?? {})) {
    for (const [group, entry] of (groups as readonly { readonly matcher?: unknown }[]).entries()) {
      for (const [index, handler] of handlersOf(entry).entries())
        if (callOf(handler) !== null) found.push({ event, group, index, matcher: entry.matcher, handler: handler as Counted['handler'] })
    }
  }
  return found
}

const labelOf = ({ event }: Counted): string => event.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toLowerCase()

/** Does Codex's configuration have the user's word for this hook as it is now? The word is kept with the hook's place and a sum of it. */
function isTrusted(lines: readonly string[], path: string, hook: Counted): boolean {
  const snake = labelOf(hook)
  const keys = [path, realpathSync(path)].map(file => JSON.stringify(`${file}:${snake}:${hook.group}:${hook.index}`))
  const at = lines.findIndex(line => keys.some(key => line.includes(key)))
  if (at < 0) return false
  const end = lines.findIndex((line, index) => index > at && /^\s*\[/.test(line))
  const said = lines.slice(at, end < 0 ? undefined : end).join('\n')
  return said.includes(sumOf(snake, hook)) && !/\benabled\s*=\s*false\b/.test(said)
}

/** What Codex makes of a hook to see whether it has changed: SHA-256 of its JSON with sorted keys. Tried with the real one. */
function sumOf(event: string, { matcher, handler: { command, timeout } }: Counted): string {
  const handler = { async: false, command, timeout, type: 'command' }
  const identity = { event_name: event, hooks: [handler], ...(matcher === undefined ? {} : { matcher }) }
  return `sha256:${createHash('sha256').update(JSON.stringify(identity)).digest('hex')}`
}

/** What a user's word for all of our hooks looks like in Codex's configuration. Only tests give it; a person does that in /hooks. */
export const trustLines = (document: Document): string =>
  hooksIn(document)
    .map(hook => {
      const snake = labelOf(hook)
      return `[hooks.state.${JSON.stringify(`${document.path}:${snake}:${hook.group}:${hook.index}`)}]\ntrusted_hash = "${sumOf(snake, hook)}"\n`
    })
    .join('\n')

function sectionAt(lines: readonly string[], index: number): string | null {
  for (let at = index; at >= 0; at--) {
    const section = /^\s*\[\[?([^[\]]+)\]/.exec(lines[at]!)?.[1]
    if (section !== undefined) return section.trim()
  }
  return null
}

/** Codex CLI. */
export const codex: Client = { name: 'codex', title: 'Codex', forms: ['user', 'project'], dialect: 'json', targets, next, obstacles }
