import { isAbsolute, join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import { version } from '../../../version.ts'
import type { Client, Finding, Form, Merged, Surroundings, Target, Whole } from './client.ts'
import type { Document } from './document.ts'
import { lineOfMember, ourEntries, valueOf } from './document.ts'
import { readAgentFile } from './file.ts'
import type { Wire } from './grouped.ts'
import { groupedEntries } from './grouped.ts'
import { handlersOf } from './line.ts'

/** Tools that write, run commands or go to another worktree, and those of MCP servers, of which nobody knows. */
const tools = 'Edit|Write|MultiEdit|NotebookEdit|Bash|PowerShell|Monitor|EnterWorktree|ExitWorktree|mcp__.*'

const wires: readonly Wire[] = [
  { on: 'SessionStart', event: 'session-start' },
  { on: 'UserPromptSubmit', event: 'refresh' },
  { on: 'PreToolUse', event: 'before-tool', matcher: tools },
  { on: 'PostToolUse', event: 'after-tool', matcher: tools },
  { on: 'PostToolUseFailure', event: 'after-tool', matcher: tools },
  { on: 'PostToolBatch', event: 'refresh' },
  { on: 'SubagentStop', event: 'refresh' },
  { on: 'Stop', event: 'stop' },
  { on: 'SessionEnd', event: 'session-end' },
]

/** Kinds of hooks that the version of the tests knows; beside any other it runs no hook of that event in that file. */
const kinds: readonly unknown[] = ['command', 'http', 'mcp_tool', 'prompt', 'agent']

/** The folder of the user's settings. */
export function claudeDirectory({ env, home }: Pick<Surroundings, 'env' | 'home'>): string {
  const configured = env['CLAUDE_CONFIG_DIR']
  return configured && isAbsolute(configured) ? configured : join(home, '.claude')
}

/** The settings that Copilot and Cursor read as well. */
export const sharedSettings = (root: string): readonly string[] => [
  join(root, '.claude', 'settings.json'),
  join(root, '.claude', 'settings.local.json'),
]

const managedSettings =
  process.platform === 'darwin' ? '/Library/Application Support/ClaudeCode/managed-settings.json' : '/etc/claude-code/managed-settings.json'

function entries(around: Surroundings): Merged['entries'] {
  return groupedEntries(
    wires,
    {
      agent: 'claude',
      timeout: 3,
      // Without Claude's own shell in between; the small one here is what tries `lh` on PATH when this installation is gone.
      command: line => ({ command: '/bin/sh', args: ['-c', line] }),
      extra: ({ event }) => (around.failClosed && event === 'before-tool' ? { onFailure: 'block' } : {}),
    },
    around,
  )
}

function targets(form: Form, around: Surroundings): readonly Target[] {
  if (form !== 'plugin') {
    const path = form === 'user' ? join(claudeDirectory(around), 'settings.json') : join(around.root, '.claude', 'settings.json')
    return [{ kind: 'entries', path, members: {}, entries: entries(around) }]
  }
  if (around.plugin === null) throw usage('a plugin needs a folder', 'lh hooks install claude --plugin <directory>')
  const description = 'One session at a time changes a workspace (Leasehold).'
  return [
    manifest(join(around.plugin, '.claude-plugin', 'plugin.json'), description),
    { kind: 'entries', path: join(around.plugin, 'hooks', 'hooks.json'), members: { description }, entries: entries(around) },
  ]
}

function manifest(path: string, description: string): Whole {
  const textFor = (version: unknown): string => `${JSON.stringify({ name: 'leasehold', version, description }, null, 2)}\n`
  return {
    kind: 'text',
    path,
    text: textFor(version),
    lines: () => [],
    isOurs: text => {
      try {
        return text === textFor((JSON.parse(text) as { readonly version?: unknown }).version)
      } catch {
        return false
      }
    },
  }
}

function next(form: Form, around: Surroundings): readonly string[] {
  if (form === 'plugin') return [`start Claude Code with: claude --plugin-dir ${around.plugin}`]
  if (form === 'user') return ['nothing to click; sessions that are open already read it when they start anew']
  return [
    `commit ${join('.claude', 'settings.json')}: without it the hooks run only in sessions that are started here, not in --worktree sessions or other clones`,
    'start Claude Code at the top of the repository: it reads no project settings in a subdirectory (the user form runs everywhere)',
    'accept the trust dialog of the folder, once',
    'GitHub Copilot and Cursor read this file too: do not install theirs beside it',
  ]
}

function obstacles(around: Surroundings, installed: readonly string[]): readonly Finding[] {
  const found: Finding[] = []
  const layers = [managedSettings, join(claudeDirectory(around), 'settings.json'), ...sharedSettings(around.root)]
  for (const path of new Set([...layers, ...installed])) {
    const isOurs = installed.includes(path)
    try {
      const { text } = readAgentFile(path)
      if (text === null || text.trim() === '') continue
      const document = { path, text, dialect: claude.dialect }
      const value = valueOf(document)
      const because = (member: string, message: string): void =>
        void found.push({ severity: 'error', message, path, line: lineOfMember(document, [member]) })
      if (value['disableAllHooks'] === true) because('disableAllHooks', 'disableAllHooks is set: no hook runs')
      if (path === managedSettings && value['allowManagedHooksOnly'] === true)
        because('allowManagedHooksOnly', 'allowManagedHooksOnly is set: only hooks of the managed settings run')
      if (isOurs && value['hooks'] !== undefined) found.push(...unknownKinds(document, value['hooks']))
      if (isOurs && Object.keys(ourEntries(document)).length > 0) found.push(...onFailure(around, document))
    } catch (error) {
      found.push({ severity: isOurs ? 'error' : 'warning', message: `Claude Code cannot read it: ${(error as Error).message}`, path })
    }
  }
  return found
}

/** One hook of a kind that Claude does not know, and it runs none that the file has for that event. Events without ours do not matter here. */
function unknownKinds(document: Document, hooks: unknown): readonly Finding[] {
  const found: Finding[] = []
  const ours = ourEntries(document)
  for (const [event, groups] of Object.entries(hooks as Record<string, unknown>)) {
    if (ours[event] === undefined) continue
    for (const [index, group] of (Array.isArray(groups) ? (groups as readonly unknown[]) : []).entries()) {
      for (const [at, handler] of handlersOf(group).entries()) {
        const kind = (handler as { readonly type?: unknown } | null)?.type
        if (kinds.includes(kind)) continue
        found.push({
          severity: 'error',
          message: `a hook of an unknown type (${JSON.stringify(kind)}): Claude Code then runs no hook that this file has for ${event}`,
          path: document.path,
          line: lineOfMember(document, ['hooks', event, index, 'hooks', at]),
        })
      }
    }
  }
  return found
}

function onFailure({ failClosed }: Surroundings, document: Document): readonly Finding[] {
  const handlers = (ourEntries(document)['PreToolUse'] ?? []).flatMap(handlersOf) as readonly { readonly onFailure?: unknown }[]
  const blocks = handlers.some(handler => handler.onFailure === 'block')
  if (blocks === failClosed) return []
  const message = failClosed
    ? 'session_lock.fail is closed, but the hook was installed without onFailure: block'
    : 'session_lock.fail is open, but the hook was installed with onFailure: block'
  return [{ severity: 'warning', message: `${message}; install it again`, path: document.path }]
}

/** Claude Code. */
export const claude: Client = {
  name: 'claude',
  title: 'Claude Code',
  forms: ['user', 'project', 'plugin'],
  dialect: 'json with mark',
  targets,
  next,
  obstacles,
}
