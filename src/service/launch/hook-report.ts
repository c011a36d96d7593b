import type { HookReport } from './evidence.ts'
import { redactor } from './words.ts'

/** Events by the clients' names, in small letters, where they are not Claude's. */
const others: Readonly<Record<string, string>> = {
  beforeagent: 'user-prompt-submit',
  userpromptsubmitted: 'user-prompt-submit',
  beforesubmitprompt: 'user-prompt-submit',
  beforetool: 'pre-tool-use',
  beforeshellexecution: 'pre-tool-use',
  beforemcpexecution: 'pre-tool-use',
  aftertool: 'post-tool-use',
  aftershellexecution: 'post-tool-use',
  aftermcpexecution: 'post-tool-use',
  afterfileedit: 'post-tool-use',
  afteragent: 'stop',
  agentstop: 'stop',
}

/** Copilot names no event in what it sends: then it is what the hook was installed for. */
const installedFor: Readonly<Record<string, string>> = {
  'before-tool': 'pre-tool-use',
  'after-tool': 'post-tool-use',
  refresh: 'user-prompt-submit',
  stop: 'stop',
  'session-start': 'session-start',
  'session-end': 'session-end',
}

/**
 * What a client sent to a hook, as the judge of its launch wants it; null when it says too little. Neither the prompt nor what the model said
 * is in it, and no value of a secret of `env`. `installed`: what the hook's own line says it is called for.
 */
export function hookReportOf(
  payload: unknown,
  client: string,
  pid: number | null,
  env: NodeJS.ProcessEnv,
  installed: string | null = null,
): HookReport | null {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return null
  const sent = payload as Readonly<Record<string, unknown>>
  const name = textOf(sent['hook_event_name'] ?? sent['hookEventName'])
  const known = name !== null && /^[A-Za-z]{1,64}$/.test(name) ? eventOf(name) : null
  const event = known ?? installedFor[installed ?? '']
  if (event === undefined) return null
  const sessionId = textOf(sent['session_id'] ?? sent['sessionId'] ?? sent['conversation_id'])
  const tool = textOf(sent['tool_name'] ?? sent['toolName'])
  return {
    event,
    client,
    sessionId: sessionId?.slice(0, 128) ?? null,
    pid,
    tool: tool?.slice(0, 80) ?? null,
    error: errorOf(event, sent, env),
  }
}

function eventOf(name: string): string {
  const small = name.toLowerCase()
  if (Object.hasOwn(others, small)) return others[small]!
  return name.replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase()
}

/** Only what went wrong with the turn: that a tool failed proves that the agent works. */
function errorOf(event: string, sent: Readonly<Record<string, unknown>>, env: NodeJS.ProcessEnv): string | null {
  if (event !== 'stop-failure') return null
  const words = [textOf(sent['error']), textOf(sent['last_assistant_message'])].filter(word => word !== null)
  return words.length === 0 ? 'the turn failed' : redactor(env)(words.join(': '))
}

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
