import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { hookReportOf } from '../../service/launch/hook-report.ts'
import type { HookCall } from '../../service/session-lock/hook.ts'

// A launched agent's hooks tell its launcher what they were called for: a tool call proves that the agent works. The launcher made the
// file and takes it away; without it nobody waits any more.

/** Appends one line to `LEASEHOLD_LAUNCH_REPORT`. Never throws: a hook has more to do. */
export function report(file: string, { hint: client, event, env }: Pick<HookCall, 'hint' | 'event' | 'env'>, payload: unknown): void {
  try {
    const pid = Number(env['CLAUDE_PID'])
    const told = hookReportOf(payload, client ?? 'unknown', Number.isSafeInteger(pid) && pid > 0 ? pid : null, env, event)
    if (told === null) return
    const { sessionId, ...rest } = told
    const fd = openSync(file, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW)
    try {
      writeSync(fd, `${JSON.stringify({ ...rest, session_id: sessionId })}\n`)
    } finally {
      closeSync(fd)
    }
  } catch {
    // The launch is over, or its directory was cleaned away.
  }
}
