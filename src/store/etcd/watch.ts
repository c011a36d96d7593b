import type { Gateway } from './gateway.ts'
import type { Names } from './keys.ts'
import { prefixEnd } from './keys.ts'
import { between } from './messages.ts'

/** However quiet the watch is, whoever waits looks again after so long: watches have had bugs. Milliseconds. */
const netMs = 15_000

/** Until the watch has to be there, milliseconds. */
const connectMs = 3000

/** After a watch that failed: whoever waits asks again, and is told what is wrong. Milliseconds. */
const failedMs = 500

/**
 * Resolves when something was written after `revision`, or an engine lease ended there; at the latest after `timeoutMs`. No event can slip
 * between: the watch starts at the next revision, also when that is long past. What was compacted away may have been an event.
 */
export async function untilChanged(gateway: Gateway, names: Names, revision: number, timeoutMs: number): Promise<void> {
  const until = performance.now() + Math.min(timeoutMs, netMs)
  try {
    const { root } = names
    const request = { create_request: { ...between(root, prefixEnd(root)), start_revision: String(revision + 1) } }
    const stream = await gateway.stream('/v3/watch', request, Math.min(connectMs, Math.max(1, timeoutMs)))
    await firstEvent(stream, until - performance.now())
  } catch {
    const left = Math.min(failedMs, until - performance.now())
    await new Promise(resolve => setTimeout(resolve, Math.max(0, left)))
  }
}

function firstEvent(stream: NodeJS.ReadableStream & { destroy(): void }, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => done(resolve), Math.max(0, timeoutMs))
    const done = (how: () => void): void => {
      clearTimeout(timer)
      stream.destroy()
      how()
    }
    let text = ''
    stream.on('data', (part: Buffer) => {
      text += part.toString()
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      try {
        if (lines.some(tellsOfChange)) done(resolve)
      } catch (error) {
        // No etcd says that: a proxy before it does, for example.
        done(() => reject(new Error('the watch was answered with something else', { cause: error })))
      }
    })
    stream.once('end', () => done(() => reject(new Error('the watch ended'))))
    stream.once('error', (error: Error) => done(() => reject(error)))
  })
}

/** An event; or the watch was ended by etcd, because of a compaction for example: then there is nothing to rely on. */
function tellsOfChange(line: string): boolean {
  if (line.trim() === '') return false
  const { result, error } = JSON.parse(line) as { result?: { events?: unknown; canceled?: boolean }; error?: unknown }
  return error !== undefined || result?.events !== undefined || result?.canceled === true
}
