import { isAbsolute } from 'node:path'
import { isSessionId } from './record.ts'

/** What a hook is called for, whatever the client calls it. */
export type HookEvent = 'before-tool' | 'after-tool' | 'refresh' | 'stop' | 'session-start' | 'session-end'

/** Which client calls. */
export type Client = 'claude' | 'codex' | 'gemini' | 'qwen' | 'copilot' | 'cursor' | 'opencode'

/** A client's payload in one form. */
export interface Payload {
  readonly client: Client
  readonly event: HookEvent
  readonly sessionId: string
  /** Where the tool runs. */
  readonly cwd: string
  /** Null where the event has none. */
  readonly tool: string | null
  readonly input: Readonly<Record<string, unknown>>
  readonly toolUseId: string | null
  /** The client itself says that it is a tool of an MCP server. */
  readonly mcp: boolean
  /** What a tool call began goes on in the background after it. */
  readonly goesOn: boolean
  /** Work that goes on or will begin by itself after a stop; null: the client does not say. */
  readonly background: number | null
}

export const hookEvents: readonly HookEvent[] = ['before-tool', 'after-tool', 'refresh', 'stop', 'session-start', 'session-end']
export const clients: readonly Client[] = ['claude', 'codex', 'gemini', 'qwen', 'copilot', 'cursor', 'opencode']

/** By the clients' names in small letters: all of them spell alike. What is not here is a refresh. */
const eventOfName: Readonly<Record<string, HookEvent>> = {
  pretooluse: 'before-tool',
  beforetool: 'before-tool',
  beforeshellexecution: 'before-tool',
  beforemcpexecution: 'before-tool',
  posttooluse: 'after-tool',
  posttoolusefailure: 'after-tool',
  aftertool: 'after-tool',
  aftershellexecution: 'after-tool',
  aftermcpexecution: 'after-tool',
  afterfileedit: 'after-tool',
  stop: 'stop',
  afteragent: 'stop',
  agentstop: 'stop',
  sessionstart: 'session-start',
  sessionend: 'session-end',
}

/** Background work that is over. */
const ended = new Set(['completed', 'failed', 'killed', 'stopped', 'cancelled', 'canceled', 'exited', 'done', 'error'])

/**
 * What a client sent, in one form; a text instead says what is wrong with it. `event` is what the hook was installed for, `hint` the client
 * that it was installed for: others read some of the same files, so what the payload shows counts more.
 */
export function normalise(
  value: unknown,
  event: HookEvent | null,
  hint: Client | null,
  env: NodeJS.ProcessEnv,
  fallback: string,
): Payload | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'the payload is no JSON object'
  const sent = value as Record<string, unknown>
  const client = clientOf(sent, hint, env)
  const spoken = sent['hook_event_name'] ?? sent['hookEventName']
  const named = typeof spoken === 'string' ? eventNamed(spoken) : null
  const meant = event ?? named
  if (meant === null) return 'neither the command line nor the payload names an event'
  const sessionId =
    client === 'cursor'
      ? (sent['conversation_id'] ?? sent['session_id'])
      : (sent['session_id'] ?? sent['sessionId'] ?? sent['conversation_id'])
  if (!isSessionId(sessionId)) return 'the payload has no usable session id'
  const input = inputOf(sent)
  const said = sent['tool_name'] ?? sent['toolName'] ?? toolOfCursor(spoken)
  const tool = typeof said === 'string' && said !== '' ? said.slice(0, 256) : null
  if (tool === null && meant === 'before-tool') return 'the payload names no tool'
  return {
    client,
    event: meant,
    sessionId,
    cwd: directoryOf(sent, fallback),
    tool,
    input,
    toolUseId: textOf(sent['tool_use_id'] ?? sent['toolUseId'] ?? sent['toolCallId'])?.slice(0, 128) ?? null,
    mcp: sent['mcp_server'] !== undefined || (typeof spoken === 'string' && spoken.toLowerCase() === 'beforemcpexecution'),
    goesOn: goesOn(sent['tool_response']),
    background: backgroundOf(sent['background_tasks'] ?? sent['backgroundTasks'], sent['session_crons'] ?? sent['sessionCrons']),
  }
}

function eventNamed(spoken: string): HookEvent {
  const name = spoken.toLowerCase()
  // A name is whatever somebody sends; `constructor` is one too.
  return Object.hasOwn(eventOfName, name) ? eventOfName[name]! : 'refresh'
}

function clientOf(sent: Readonly<Record<string, unknown>>, hint: Client | null, env: NodeJS.ProcessEnv): Client {
  if (sent['cursor_version'] !== undefined || (sent['conversation_id'] !== undefined && sent['generation_id'] !== undefined))
    return 'cursor'
  if (sent['sessionId'] !== undefined || sent['toolArgs'] !== undefined || sent['toolName'] !== undefined) return 'copilot'
  const { CLAUDE_CODE_SESSION_ID: own } = env
  if (own !== undefined && own === sent['session_id'] && env['CLAUDE_PID'] !== undefined) return 'claude'
  if (sent['turn_id'] !== undefined) return 'codex'
  const spoken = sent['hook_event_name']
  if (typeof spoken === 'string' && /^(?:Before|After)(?:Tool|Agent|Model|ToolSelection)$/.test(spoken)) return 'gemini'
  const input = sent['tool_input']
  // Copilot speaks Claude's language to Claude's hooks, with arguments of its own.
  if (typeof input === 'object' && input !== null && 'file_text' in input && 'path' in input) return 'copilot'
  if (hint !== null) return hint
  return sent['timestamp'] === undefined ? 'claude' : 'qwen'
}

/** Some send the arguments as JSON text. */
function inputOf(sent: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const given = parsed(sent['tool_input'] ?? sent['toolArgs'])
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given as Record<string, unknown>
  // A patch may come as bare text; Cursor's older events have the arguments beside the rest.
  if (typeof given === 'string') return { input: given }
  const { command, file_path: path, cwd } = sent
  return {
    ...(command === undefined ? {} : { command }),
    ...(path === undefined ? {} : { file_path: path }),
    ...(cwd === undefined ? {} : { cwd }),
  }
}

function parsed(value: unknown): unknown {
  if (typeof value !== 'string' || !value.trimStart().startsWith('{')) return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

function toolOfCursor(spoken: unknown): string | null {
  if (typeof spoken !== 'string') return null
  const known: Readonly<Record<string, string>> = { beforeShellExecution: 'Shell', afterShellExecution: 'Shell', afterFileEdit: 'Write' }
  return Object.hasOwn(known, spoken) ? known[spoken]! : null
}

function directoryOf(sent: Readonly<Record<string, unknown>>, fallback: string): string {
  const roots = sent['workspace_roots']
  for (const candidate of [sent['cwd'], Array.isArray(roots) ? roots[0] : undefined]) {
    if (typeof candidate === 'string' && isAbsolute(candidate) && !candidate.includes('\0')) return candidate
  }
  return fallback
}

/** Claude Code names the task that goes on, also where a command was only put there when its time was over. */
const goesOn = (answer: unknown): boolean =>
  textOf((answer as { backgroundTaskId?: unknown } | null | undefined)?.backgroundTaskId) !== null

const backgroundOf = (tasks: unknown, crons: unknown): number | null =>
  tasks === undefined && crons === undefined ? null : countOf(tasks) + countOf(crons)

const countOf = (value: unknown): number =>
  Array.isArray(value)
    ? value.filter((item: { status?: unknown } | null) => typeof item?.status !== 'string' || !ended.has(item.status.toLowerCase())).length
    : 0

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
