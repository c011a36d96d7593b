import { decide, type AcquireResult } from './lock.ts'
import { ageMs, type Moment } from './record.ts'

/** Why a tool call is blocked, for the agent and for people; null: it is not. */
export function blockText(result: AcquireResult | null, sessionId: string, workspace: string, now: Moment): string | null {
  const { block, reason } = decide(result, sessionId)
  if (!block || reason === undefined || result === null || result.acquired) return null
  const { holder, remainingMs } = result
  const since = typeof holder['since'] === 'number' && holder['since'] <= now.wall ? `held for ${spanOf(now.wall - holder['since'])}, ` : ''
  return [
    reason,
    `${since}last active ${spanOf(ageMs(holder, now))} ago; it ends when that session stops or ends, or after ${spanOf(remainingMs)} without a sign of it`,
    `who and why: lh why workspace:${shellWord(workspace)}`,
  ].join('\n')
}

/** `4 min 5 s`. */
export function spanOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** A path as a shell takes it, on one line of plain signs. */
function shellWord(path: string): string {
  if (/^[\w@%+=:,./-]+$/.test(path)) return path
  return /[^\u0020-\u007e]/.test(path) ? '.' : `'${path.replaceAll("'", `'\\''`)}'`
}
