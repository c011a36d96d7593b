import type { Readable } from 'node:stream'
import { usage } from '../../core/fault.ts'
import { formatDuration, parseDuration } from '../config/durations.ts'
import type { Evidence, Ready } from './evidence.ts'
import { shown } from './words.ts'

// `--ready`: how an agent that no profile knows says that it works.

const hint =
  '--ready fd (a newline on the descriptor in LEASEHOLD_READY_FD), output=REGEX, http=URL, alive=5s or hook (needs lh hooks install)'

/** Longer expressions are a mistake, and slow to compile. */
const maxPattern = 1000

/** Reads `--ready`: `fd`, `output=REGEX`, `http=URL`, `alive=5s`, `hook`. Throws `usage` for anything else. */
export function parseReady(text: string): Ready {
  const at = text.indexOf('=')
  const [kind, value] = at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)]
  switch (kind) {
    case 'fd':
    case 'hook':
      if (value !== null) throw usage(`--ready ${kind} takes no value`, hint)
      return { kind }
    case 'output':
      if (!value) throw usage('--ready output needs a regular expression', "--ready 'output=^listening on'")
      return { kind, regex: regexOf(value) }
    case 'http':
      return { kind, url: urlOf(value ?? '') }
    case 'alive': {
      if (!value) throw usage('--ready alive needs a duration', '--ready alive=5s')
      const ms = parseDuration(value, '--ready alive')
      if (ms <= 0 || ms > 2_147_483_647) throw usage(`--ready alive=${shown(value)} is no time to wait`, '--ready alive=5s')
      return { kind, ms }
    }
    default:
      throw usage(`--ready does not know "${shown(text)}"`, hint)
  }
}

function regexOf(text: string): RegExp {
  if (text.length > maxPattern) throw usage(`--ready output has more than ${maxPattern} characters`, "--ready 'output=^listening on'")
  try {
    return new RegExp(text)
  } catch (error) {
    throw usage(`--ready output: ${shown((error as Error).message)}`, 'a regular expression of JavaScript, without slashes')
  }
}

function urlOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol))
    throw usage(`--ready http needs an http or https URL, not "${shown(text)}"`, '--ready http=http://127.0.0.1:8080/health')
  return url.href
}

/**
 * Waits for a newline on the pipe that the agent has as LEASEHOLD_READY_FD. Rejects when it is closed without one, or on `signal`. The
 * stream is ended afterwards either way.
 */
export function watchFd(stream: Readable, signal: AbortSignal): Promise<Evidence> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      stream.off('data', look).off('end', ended).off('close', ended).off('error', failed)
      // Its errors are nobody's any more, and without a listener they would end the process.
      stream.on('error', () => undefined)
      signal.removeEventListener('abort', aborted)
      stream.destroy()
      act()
    }
    const look = (chunk: Buffer | string): void => {
      if (!chunk.includes('\n')) return
      settle(() => resolve({ kind: 'ready-fd', seen: 'a newline on the ready descriptor', confirmed: true }))
    }
    const ended = (): void => settle(() => reject(new Error('the ready descriptor was closed without a newline')))
    const failed = (error: Error): void => settle(() => reject(error))
    const aborted = (): void => settle(() => reject(reasonOf(signal)))
    if (signal.aborted) return aborted()
    signal.addEventListener('abort', aborted)
    stream.on('data', look).on('end', ended).on('close', ended).on('error', failed)
  })
}

/** Between two questions, milliseconds. */
const pollMs = 200
/** For one question. A server that hangs is asked again. */
const askMs = 2000

/** Asks the URL until it answers 2xx or 3xx (which is not followed). Rejects on `signal` only. */
export async function watchHttp(url: string, signal: AbortSignal): Promise<Evidence> {
  for (;;) {
    if (signal.aborted) throw reasonOf(signal)
    // oxlint-disable-next-line no-await-in-loop -- one question after the other
    const status = await ask(url, signal)
    if (status !== null && status >= 200 && status < 400) {
      const { origin, pathname } = new URL(url)
      // Without the query and the user, where secrets are.
      return { kind: 'http', seen: shown(`${status} from ${origin}${pathname}`), confirmed: true }
    }
    // oxlint-disable-next-line no-await-in-loop -- polling
    await rest(pollMs, signal)
  }
}

/** The status, null where nobody answers in time. */
async function ask(url: string, signal: AbortSignal): Promise<number | null> {
  // Most launches ask no server, and these load TLS and all of cryptography.
  const { get } = url.startsWith('https:') ? await import('node:https') : await import('node:http')
  return new Promise(resolve => {
    // A connection of its own: a pool would keep the process up.
    const request = get(url, { agent: false, timeout: askMs, signal }, response => {
      resolve(response.statusCode ?? null)
      response.destroy()
    })
    // `timeout` is about silence; a server that drips header lines is cut off too.
    const deadline = setTimeout(() => request.destroy(), askMs)
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(null))
    request.on('close', () => {
      clearTimeout(deadline)
      resolve(null)
    })
  })
}

/** Waits; whether the process still lives then is the launcher's to know, who aborts when it ends. */
export async function watchAlive(ms: number, signal: AbortSignal): Promise<Evidence> {
  await rest(ms, signal)
  return { kind: 'alive', seen: `alive for ${formatDuration(ms)}`, confirmed: false }
}

function rest(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(reasonOf(signal))
    const aborted = (): void => {
      clearTimeout(timer)
      reject(reasonOf(signal))
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', aborted)
      resolve()
    }, ms)
    signal.addEventListener('abort', aborted, { once: true })
  })
}

const reasonOf = (signal: AbortSignal): Error =>
  signal.reason instanceof Error ? signal.reason : new Error('the launch is over', { cause: signal.reason })
