import { Readable, Writable } from 'node:stream'
import * as sdk from '@agentclientprotocol/sdk'
import { Fault } from '../../../core/fault.ts'
import { version } from '../../../version.ts'
import type { Verdict } from '../evidence.ts'
import { redactor } from '../words.ts'
import { Ladder, longAnswer, nameOf, recordOf, sessionIdOf, textOf } from './ladder.ts'

// The Agent Client Protocol, version 1, as its client. This file brings the protocol's library: load it lazily.

/** One run of an agent that speaks ACP. */
export interface AcpRun {
  /** The agent's standard input and output. */
  readonly stdin: Writable
  readonly stdout: Readable
  readonly cwd: string
  readonly prompt: string
  readonly env: NodeJS.ProcessEnv
  /** What is answered when the agent asks for a permission. */
  readonly permit: 'allow' | 'reject'
  /** A session of before, opened again with `session/resume`, else `session/load`. */
  readonly resume?: string
  /** What the agent says to the prompt, as it comes. */
  readonly onText: (text: string) => void
  readonly onVerdict: (verdict: Verdict) => void
  /** What the agent calls its session. */
  readonly onSession: (sessionId: string) => void
  readonly signal: AbortSignal
}

/** After `session/cancel` the agent may still end its turn in order; this long, milliseconds. */
const cancelMs = 5000

/** How long the end of an agent may take to be told after its pipes were closed, milliseconds. */
const lastWordsMs = 600

/** A message above this is no message. Bytes. */
const maxMessageBytes = 64 * 1024 * 1024

/**
 * Drives the agent through one prompt and resolves when its turn is over. Throws `launch_failed` when it refuses, fails or goes away,
 * after a `rejected` verdict if none was given before. On `signal` the turn is cancelled; what is left of the agent is the caller's.
 */
export async function runAcp(run: AcpRun): Promise<{ readonly stopReason: string }> {
  const ladder = new Watched(run)
  const { readable, writable } = sdk.ndJsonStream(Writable.toWeb(run.stdin) as WritableStream<Uint8Array>, Readable.toWeb(run.stdout), {
    maxMessageBytes,
  })
  const stream = { readable: readable.pipeThrough(updatesTo(ladder)), writable }
  // A pipe that breaks is told by the connection; without a listener it would end the process.
  for (const pipe of [run.stdin, run.stdout]) pipe.on('error', () => undefined)
  try {
    const app = sdk.client({ name: 'leasehold' }).onRequest('session/request_permission', ({ params }) => {
      ladder.tool(params.toolCall.kind)
      return { outcome: outcomeOf(params.options, run.permit) }
    })
    return await app.connectWith(stream, context => converse(context, run, ladder))
  } catch (error) {
    const gone = isGone(error) && !run.signal.aborted
    // How it ended says more than that its pipes are closed, and whoever waits for it is told that first.
    if (gone) await new Promise(resolve => void setTimeout(resolve, lastWordsMs))
    const reason = ladder.fail(gone ? new Error('it closed its standard input or output') : error)
    throw new Fault('launch_failed', reason, { cause: error })
  }
}

/** The library's word for it, or the system's. */
function isGone(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException
  return message === 'ACP connection closed' || /^(?:EPIPE|ECONNRESET|ERR_STREAM_\w+)$/.test(String(code))
}

/**
 * Takes the updates out of what the agent sends. The library would judge them by its schema and write to our standard error about each kind
 * that it does not know yet; and here they come in order with the answers.
 */
function updatesTo(ladder: Watched): TransformStream<sdk.AnyMessage, sdk.AnyMessage> {
  return new TransformStream({
    transform: (message, controller) => {
      const { method, params } = message as { readonly method?: unknown; readonly params?: unknown }
      if (method !== 'session/update') return controller.enqueue(message)
      const update = recordOf(recordOf(params)?.['update'])
      if (update !== null) ladder.update(update)
    },
  })
}

async function converse(context: sdk.ClientContext, run: AcpRun, ladder: Watched): Promise<{ readonly stopReason: string }> {
  const { signal } = run
  signal.throwIfAborted()
  const initialized = await abortable(
    signal,
    context.request('initialize', {
      protocolVersion: sdk.PROTOCOL_VERSION,
      clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
      clientInfo: { name: 'leasehold', version },
    }),
  )
  const { protocolVersion: spoken, agentCapabilities } = answered('initialize', initialized)
  if (typeof spoken !== 'number')
    throw new Error(`it gives ${JSON.stringify(spoken) ?? 'nothing'} as its version of ACP, not the number ${sdk.PROTOCOL_VERSION}`)
  if (spoken !== sdk.PROTOCOL_VERSION) throw new Error(`it speaks version ${spoken} of ACP, not ${sdk.PROTOCOL_VERSION}`)
  ladder.step('client started')
  const sessionId = await abortable(signal, openSession(context, run, recordOf(agentCapabilities)))
  ladder.step('session opened')
  run.onSession(sessionId)
  ladder.begin()
  const answer = context.request('session/prompt', { sessionId, prompt: [{ type: 'text', text: run.prompt }] })
  const over = await untilOver(answer, signal, () => context.notify('session/cancel', { sessionId }))
  const stopReason = textOf(answered('session/prompt', over)['stopReason']) ?? 'no reason given'
  ladder.end(stopReason)
  return { stopReason }
}

/** The library believes every answer. */
function answered(method: string, answer: unknown): Readonly<Record<string, unknown>> {
  const record = recordOf(answer)
  if (record === null) throw new Error(`it answered ${method} with ${JSON.stringify(answer) ?? 'nothing'}, which is no object`)
  return record
}

async function openSession(
  context: sdk.ClientContext,
  { cwd, resume: id }: AcpRun,
  capabilities: Readonly<Record<string, unknown>> | null,
): Promise<string> {
  const place: sdk.NewSessionRequest = { cwd, mcpServers: [] }
  if (id === undefined) {
    const { sessionId } = answered('session/new', await context.request('session/new', place))
    const usable = sessionIdOf(sessionId)
    if (usable === null) throw new Error('its session has no usable id')
    return usable
  }
  if (recordOf(capabilities?.['sessionCapabilities'])?.['resume']) await context.request('session/resume', { sessionId: id, ...place })
  else if (capabilities?.['loadSession'] === true) await context.request('session/load', { sessionId: id, ...place })
  else throw new Error('it cannot open a session again')
  return id
}

/** The answer, or the abort, whichever is first. */
function abortable<T>(signal: AbortSignal, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason as Error)
    if (signal.aborted) aborted()
    signal.addEventListener('abort', aborted, { once: true })
    const settle = (): void => signal.removeEventListener('abort', aborted)
    answer.then(resolve, reject).finally(settle)
  })
}

/** The answer to a prompt; once aborted the agent is told, and waited for a little. */
async function untilOver<T>(answer: Promise<T>, signal: AbortSignal, cancel: () => Promise<void>): Promise<T> {
  const late = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const aborted = (): void => {
    cancel().catch(() => undefined)
    timer = setTimeout(() => late.abort(signal.reason), cancelMs)
  }
  if (signal.aborted) aborted()
  else signal.addEventListener('abort', aborted, { once: true })
  try {
    return await abortable(late.signal, answer)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', aborted)
  }
}

/** Once only: what is allowed for ever is a person's to say. */
function outcomeOf(options: readonly sdk.PermissionOption[], permit: AcpRun['permit']): sdk.RequestPermissionOutcome {
  const kinds = permit === 'allow' ? ['allow_once', 'allow_always'] : ['reject_once', 'reject_always']
  const chosen = kinds.map(kind => options.find(option => option.kind === kind)).find(option => option !== undefined)
  return chosen === undefined ? { outcome: 'cancelled' } : { outcome: 'selected', optionId: chosen.optionId }
}

/** Tells each new verdict. Nothing counts before the prompt: a session that is loaded tells its whole history. */
class Watched {
  readonly #ladder: Ladder
  readonly #run: AcpRun
  readonly #show: (text: string) => string
  #begun = false
  #spoke = false
  #answered = 0

  constructor(run: AcpRun) {
    this.#run = run
    this.#show = redactor(run.env, [run.prompt])
    this.#ladder = new Ladder(this.#show)
  }

  begin(): void {
    this.#begun = true
  }

  step(text: string): void {
    const before = this.#ladder.verdict
    const after = this.#ladder.step(text)
    if (before !== after && !(before.state === 'waiting' && after.state === 'waiting' && before.step === after.step))
      this.#run.onVerdict(after)
  }

  tool(kind: unknown): void {
    if (!this.#begun || !this.#ladder.isOpen) return
    this.#run.onVerdict(this.#ladder.accept('tool-call', `a tool call of the agent${nameOf(kind) === null ? '' : ` (${nameOf(kind)})`}`))
  }

  update(update: Readonly<Record<string, unknown>>): void {
    if (!this.#begun) return
    const { sessionUpdate: kind } = update
    if (kind === 'tool_call') this.tool(update['kind'])
    if (kind !== 'agent_message_chunk' && kind !== 'agent_thought_chunk') return
    this.#spoke = true
    this.step('the agent is answering')
    const text = textOf(recordOf(update['content'])?.['text'])
    if (text === null) return
    // A first word may be an error's: a wrong key is told as a message, and only then refused.
    this.#answered += text.length
    if (this.#answered >= longAnswer && this.#ladder.isOpen)
      this.#run.onVerdict(this.#ladder.accept('model-answer', `${this.#answered} characters of an answer`))
    if (kind === 'agent_message_chunk') this.#run.onText(text)
  }

  end(stopReason: string): void {
    if (!this.#ladder.isOpen) return
    if (stopReason === 'cancelled') this.#run.onVerdict(this.#ladder.reject('the turn was cancelled'))
    else if (!this.#spoke) this.#run.onVerdict(this.#ladder.reject('it ended without an answer of the model'))
    else this.#run.onVerdict(this.#ladder.accept('model-answer', `the first turn is over (${stopReason})`))
  }

  /** Why, in one line. */
  fail(error: unknown): string {
    const { data } = error as { readonly data?: unknown }
    const detail = textOf(data) ?? textOf(recordOf(data)?.['details']) ?? textOf(recordOf(data)?.['message'])
    const said = [error instanceof Error ? error.message : String(error), detail].filter(Boolean).join(': ')
    const reason = this.#show(said) || 'the agent went away'
    if (this.#ladder.isOpen) this.#run.onVerdict(this.#ladder.reject(reason))
    return reason
  }
}
