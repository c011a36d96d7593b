import type { Readable, Writable } from 'node:stream'
import type { Verdict } from '../evidence.ts'

/** Not there yet. */
export async function runAcp(_request: {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly cwd: string
  readonly prompt: string
  readonly permit: 'allow' | 'reject'
  readonly onText: (text: string) => void
  readonly onVerdict: (verdict: Verdict) => void
  readonly signal: AbortSignal
}): Promise<{ readonly stopReason: string }> {
  throw new Error('not there yet')
}
