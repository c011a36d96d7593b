import { closeSync, constants, openSync, writeSync } from 'node:fs'

// A launched agent's hooks tell its launcher what they were called for: a tool call proves that the agent works. The launcher made the
// file and takes it away; without it nobody waits any more.

/** What our own names of the events are in the report, for clients that send none. */
const eventNames: Readonly<Record<string, string>> = {
  'before-tool': 'pre-tool-use',
  'after-tool': 'post-tool-use',
  beforetool: 'pre-tool-use',
  aftertool: 'post-tool-use',
  beforeagent: 'user-prompt-submit',
  afteragent: 'stop',
  agentstop: 'stop',
  userpromptsubmitted: 'user-prompt-submit',
  beforesubmitprompt: 'user-prompt-submit',
}

/** Appends one line to `LEASEHOLD_LAUNCH_REPORT`. Never throws: a hook has more to do. */
export function report(file: string, event: string | null, client: string | null, payload: unknown, env: NodeJS.ProcessEnv): void {
  try {
    const sent = (typeof payload === 'object' && payload !== null ? payload : {}) as Record<string, unknown>
    const text = (...names: readonly string[]): string | null => {
      const value = names.map(name => sent[name]).find(each => typeof each === 'string')
      return typeof value === 'string' ? value.slice(0, 200) : null
    }
    const spoken = text('hook_event_name', 'hookEventName')
    const pid = Number(env['CLAUDE_PID'])
    const line = {
      event: eventNames[(spoken ?? '').toLowerCase()] ?? kebab(spoken) ?? eventNames[event ?? ''] ?? event ?? 'unknown',
      client: client ?? 'unknown',
      session_id: text('session_id', 'sessionId', 'conversation_id'),
      pid: Number.isSafeInteger(pid) && pid > 0 ? pid : null,
      tool: text('tool_name', 'toolName'),
      error: text('error'),
    }
    const fd = openSync(file, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW)
    try {
      writeSync(fd, `${JSON.stringify(line)}\n`)
    } finally {
      closeSync(fd)
    }
  } catch {
    // The launch is over, or its directory was cleaned away.
  }
}

/** `PreToolUse` and `preToolUse` are `pre-tool-use`. */
const kebab = (name: string | null): string | null =>
  name === null ? null : name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()
