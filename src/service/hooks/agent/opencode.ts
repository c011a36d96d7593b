import { createHash } from 'node:crypto'
import { isAbsolute, join } from 'node:path'
import type { Client, Form, Program, Surroundings, Target } from './client.ts'
import { shellLine } from './line.ts'

const events = ['before-tool', 'after-tool', 'stop', 'session-end'] as const

const sumOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)
const lastLine = /^\/\/ leasehold ([0-9a-f]{16})\n$/

function directoryOf({ env, home }: Surroundings): string {
  const configured = env['XDG_CONFIG_HOME']
  return join(configured && isAbsolute(configured) ? configured : join(home, '.config'), 'opencode')
}

/** The plugin. It speaks as hooks do elsewhere: one process for each event, the payload on its standard input. */
function pluginText(program: Program): string {
  const lines = Object.fromEntries(events.map(event => [event, shellLine(program, event, 'opencode')]))
  const text = `// Made by \`lh hooks install opencode\`; \`lh hooks uninstall opencode\` removes it. Changes are lost when it is installed again.
import { spawn } from 'node:child_process'

const lines = ${JSON.stringify(lines, null, 2)}
const deadlineMs = 3000

function run(event, payload) {
  return new Promise(resolve => {
    const child = spawn('/bin/sh', ['-c', lines[event]], { stdio: ['pipe', 'ignore', 'pipe'] })
    let said = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
    const end = code => {
      clearTimeout(timer)
      resolve({ code, said: said.trim() })
    }
    child.stderr.setEncoding('utf8').on('data', text => (said += text))
    child.on('error', () => end(null))
    child.on('close', end)
    child.stdin.on('error', () => {})
    child.stdin.end(JSON.stringify(payload))
  })
}

// What a session starts to work for it has its lock, and does not give it back.
const parents = new Map()
const topOf = id => (parents.has(id) ? topOf(parents.get(id)) : id)

export const Leasehold = async ({ directory }) => ({
  'tool.execute.before': async ({ tool, sessionID, callID }, { args }) => {
    const payload = { session_id: topOf(sessionID), hook_event_name: 'PreToolUse', cwd: directory, tool_name: tool, tool_input: args, tool_use_id: callID }
    const { code, said } = await run('before-tool', payload)
    if (code === 2) throw new Error(said || 'blocked by Leasehold')
  },
  'tool.execute.after': async ({ tool, sessionID, callID }) => {
    await run('after-tool', { session_id: topOf(sessionID), hook_event_name: 'PostToolUse', cwd: directory, tool_name: tool, tool_use_id: callID })
  },
  event: async ({ event }) => {
    const { sessionID = event.properties?.info?.id, info } = event.properties ?? {}
    if (!sessionID) return
    if (info?.parentID && info.parentID !== sessionID && topOf(info.parentID) !== sessionID) parents.set(sessionID, info.parentID)
    if (parents.has(sessionID)) return
    if (event.type === 'session.idle') await run('stop', { session_id: sessionID, hook_event_name: 'Stop', cwd: directory })
    if (event.type === 'session.deleted') await run('session-end', { session_id: sessionID, hook_event_name: 'SessionEnd', cwd: directory })
  },
})
`
  return `${text}// leasehold ${sumOf(text)}\n`
}

/** A plugin that some version of us wrote, untouched: its last line says so. */
function isOurs(text: string): boolean {
  const at = text.lastIndexOf('\n', text.length - 2) + 1
  return lastLine.exec(text.slice(at))?.[1] === sumOf(text.slice(0, at))
}

/** What a plugin of ours runs. */
function linesIn(text: string): readonly { readonly command: string }[] {
  const found = /^const lines = (\{\n[^]*?\n\})$/m.exec(text)
  return found === null ? [] : Object.values(JSON.parse(found[1]!) as Record<string, string>).map(command => ({ command }))
}

function targets(form: Form, around: Surroundings): readonly Target[] {
  const directory = form === 'project' ? join(around.root, '.opencode') : directoryOf(around)
  return [{ kind: 'text', path: join(directory, 'plugins', 'leasehold.js'), text: pluginText(around.program), isOurs, lines: linesIn }]
}

function next(form: Form, around: Surroundings): readonly string[] {
  const steps = ['nothing to click; opencode loads it when it starts']
  if (form === 'project') steps.push('commit .opencode/plugins/leasehold.js')
  if (around.failClosed)
    steps.push('opencode leaves out a plugin that fails while loading, without a word: session_lock.fail closed counts only once it runs')
  return steps
}

/** opencode. */
export const opencode: Client = {
  name: 'opencode',
  title: 'opencode',
  forms: ['user', 'project'],
  dialect: 'json',
  targets,
  next,
  obstacles: () => [],
}
