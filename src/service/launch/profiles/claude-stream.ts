import type { HookReport, Judge, Verdict } from '../evidence.ts'
import { judgeHook, Ladder, longAnswer, nameOf, objectOf, recordOf, SessionName, textOf } from './ladder.ts'

type Sent = Readonly<Record<string, unknown>>

/** Blocks of a message that only a model makes. */
const blocks: readonly unknown[] = ['text', 'thinking', 'redacted_thinking', 'tool_use', 'server_tool_use', 'mcp_tool_use']

/** What sets a client apart that took over Claude's stream. */
export interface Speech {
  readonly client: string
  /** It says what went wrong as a message of the model: a text is an answer only once the turn has ended well (Qwen). */
  readonly errorsAreMessages: boolean
}

/** Judges `--output-format stream-json` of Claude Code and of what took it over, and their hooks. */
export class ClaudeJudge implements Judge {
  readonly #ladder: Ladder
  readonly #session: SessionName
  readonly #speech: Speech
  #partial = 0
  #spoke = false

  constructor(speech: Speech, show: (text: string) => string, sessionId: string | null) {
    this.#speech = speech
    this.#ladder = new Ladder(show)
    this.#session = new SessionName(sessionId)
  }

  get clientSessionId(): string | null {
    return this.#session.id
  }

  hook(report: HookReport): Verdict {
    return report.client === this.#speech.client ? judgeHook(this.#ladder, this.#session, report) : this.#ladder.verdict
  }

  stdout(line: string): Verdict {
    const sent = objectOf(line)
    if (sent === null) return this.#ladder.verdict
    switch (sent['type']) {
      case 'system':
        return this.#system(sent)
      case 'command_lifecycle':
        return sent['state'] === 'started' ? this.#ladder.step('prompt taken') : this.#ladder.verdict
      case 'assistant':
        return this.#assistant(sent)
      case 'stream_event':
        return this.#delta(sent)
      case 'result':
        return this.#result(sent)
      default:
        return this.#ladder.verdict
    }
  }

  #system(sent: Sent): Verdict {
    if (sent['subtype'] === 'init') {
      this.#session.say(sent['session_id'])
      return this.#ladder.step('client started')
    }
    if (sent['subtype'] === 'retry') return this.#ladder.step('no answer of the API, tries again')
    if (sent['subtype'] !== 'api_retry') return this.#ladder.verdict
    const { error_status: status, error, attempt, max_retries: most } = sent
    const what = typeof status === 'number' ? `the API said ${status}` : 'no answer of the API'
    const why = nameOf(error) === null || error === 'unknown' ? '' : ` (${nameOf(error)})`
    const which = typeof attempt === 'number' && typeof most === 'number' ? `, retry ${attempt} of ${most}` : ''
    return this.#ladder.step(`${what}${why}${which}`)
  }

  #assistant(sent: Sent): Verdict {
    const message = recordOf(sent['message'])
    const content: readonly unknown[] = Array.isArray(message?.['content']) ? message['content'] : []
    const said = content.map(recordOf).filter(block => block !== null)
    const error = textOf(sent['error'])
    const text = said.map(block => textOf(block['text'])).find(words => words !== null) ?? ''
    // The client itself speaks: of an error, or for a command that it answers alone.
    const own = message?.['model'] === '<synthetic>'
    // What a model says of errors is an answer.
    const isError = /^\[?API Error/.test(text) && (own || this.#speech.errorsAreMessages)
    if (error !== null || sent['isApiErrorMessage'] === true || isError)
      return this.#ladder.reject([error, text].filter(Boolean).join(': '))
    if (own || message?.['role'] !== 'assistant') return this.#ladder.verdict
    const model = nameOf(message['model'])
    const of = model === null ? '' : ` (${model})`
    const tool = said.find(block => block['type'] === 'tool_use' && nameOf(block['name']) !== null)
    if (tool !== undefined) return this.#ladder.accept('tool-call', `the model${of} called ${nameOf(tool['name'])}`)
    if (!said.some(block => blocks.includes(block['type']))) return this.#ladder.verdict
    if (this.#speech.errorsAreMessages) {
      this.#spoke = true
      return this.#ladder.step('the model is answering')
    }
    return this.#ladder.accept('model-answer', `a message of the model${of}`)
  }

  #delta(sent: Sent): Verdict {
    const event = recordOf(sent['event'])
    const delta = event?.['type'] === 'content_block_delta' ? recordOf(event['delta']) : null
    if (delta === null) return this.#ladder.verdict
    this.#partial += (textOf(delta['text']) ?? textOf(delta['thinking']) ?? textOf(delta['partial_json']) ?? '').length
    if (this.#partial >= longAnswer) return this.#ladder.accept('model-answer', `${this.#partial} characters of an answer`)
    return this.#partial > 0 ? this.#ladder.step('the model is answering') : this.#ladder.verdict
  }

  /** `subtype` says success also where every request failed. */
  #result(sent: Sent): Verdict {
    const failed = sent['is_error'] === true || textOf(sent['subtype'])?.startsWith('error') === true
    const errors: readonly unknown[] = Array.isArray(sent['errors']) ? sent['errors'] : []
    const why = [
      textOf(sent['result']),
      textOf(recordOf(sent['error'])?.['message']),
      ...errors.map(textOf),
      textOf(sent['terminal_reason']),
    ].find(Boolean)
    if (failed) return this.#ladder.reject(why ?? textOf(sent['subtype']) ?? 'the turn failed')
    if (sent['is_error'] !== false) return this.#ladder.verdict
    if (this.#spoke) return this.#ladder.accept('model-answer', 'an answer of the model')
    return this.#ladder.reject('it ended without an answer of the model')
  }
}
