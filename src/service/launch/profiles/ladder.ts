import type { Evidence, HookReport, Verdict } from '../evidence.ts'

/** An answer this long, in characters, comes from a model that works; shorter ones, which may be an error's, are waited for to the end. */
export const longAnswer = 1000

/** What was reached of one launch. The first acceptance or rejection stays. */
export class Ladder {
  #verdict: Verdict = { state: 'waiting', step: null }
  readonly #show: (text: string) => string

  /** `show` makes one short line of what an agent said, without secrets. */
  constructor(show: (text: string) => string) {
    this.#show = show
  }

  get verdict(): Verdict {
    return this.#verdict
  }

  get isOpen(): boolean {
    return this.#verdict.state === 'waiting'
  }

  step(text: string): Verdict {
    if (this.isOpen) this.#verdict = { state: 'waiting', step: this.#show(text) }
    return this.#verdict
  }

  accept(kind: Evidence['kind'], seen: string): Verdict {
    if (this.isOpen) this.#verdict = { state: 'accepted', evidence: { kind, seen: this.#show(seen), confirmed: true } }
    return this.#verdict
  }

  reject(reason: string): Verdict {
    if (this.isOpen) this.#verdict = { state: 'rejected', reason: this.#show(reason) || 'the agent gave no reason' }
    return this.#verdict
  }
}

/** An object of a stream of JSON lines; null for whatever else is on that line. */
export function objectOf(line: string): Readonly<Record<string, unknown>> | null {
  if (!line.startsWith('{')) return null
  try {
    return recordOf(JSON.parse(line))
  } catch {
    return null
  }
}

/** An object that is no list. */
export const recordOf = (value: unknown): Readonly<Record<string, unknown>> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : null

/** A text that says something. */
export const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

/** A name as clients give them to tools and models; nothing else may reach the log. */
export const nameOf = (value: unknown): string | null =>
  typeof value === 'string' && /^[A-Za-z0-9][\w.:/@-]{0,79}$/.test(value) ? value : null

/** What may be a session's id. */
export const sessionIdOf = (value: unknown): string | null =>
  typeof value === 'string' && /^[A-Za-z0-9][\w.:@+-]{0,127}$/.test(value) ? value : null

/** Which session a launch is about: known before the start, else the first that is named. */
export class SessionName {
  #id: string | null
  #pid: number | null = null

  constructor(id: string | null) {
    this.#id = id
  }

  get id(): string | null {
    return this.#id
  }

  /** The agent's own stream names it. */
  say(value: unknown): void {
    this.#id = sessionIdOf(value) ?? this.#id
  }

  /** Is this report about our session? The process that it belongs to may give it a new id (`/clear`); another process may not. */
  claims({ sessionId, pid }: HookReport): boolean {
    const id = sessionIdOf(sessionId)
    if (this.#id === null || id === null || id === this.#id) {
      this.#pid ??= pid
      this.#id ??= id
      return true
    }
    if (this.#pid === null || pid !== this.#pid) return false
    this.#id = id
    return true
  }
}

/** What hooks prove: the model used a tool or ended its turn. A prompt that was taken is a rung; the API has not answered then. */
export function judgeHook(ladder: Ladder, session: SessionName, report: HookReport): Verdict {
  if (!session.claims(report)) return ladder.verdict
  const tool = nameOf(report.tool)
  switch (report.event) {
    case 'session-start':
      return ladder.step('client started')
    case 'user-prompt-submit':
      return ladder.step('prompt taken')
    case 'pre-tool-use':
    case 'permission-request':
      return ladder.accept('hook', `${report.event} hook${tool === null ? '' : `, tool ${tool}`}`)
    case 'post-tool-use':
    case 'post-tool-use-failure':
    case 'post-tool-batch':
    case 'subagent-start':
      return ladder.accept('hook', `${report.event} hook`)
    case 'stop':
      return report.error === null ? ladder.accept('hook', 'stop hook: the first turn is over') : ladder.reject(report.error)
    case 'stop-failure':
      return ladder.reject(report.error ?? 'the turn failed')
    case 'session-end':
      return ladder.step('session ended')
    default:
      return ladder.verdict
  }
}
