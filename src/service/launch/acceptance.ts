import type { AgentProcess } from './agent-process.ts'
import type { Evidence, HookReport, Judge, Ready, Verdict } from './evidence.ts'
import { watchAlive, watchFd, watchHttp } from './ready.ts'

/** How the wait for evidence ended. */
export type Accepted =
  | { readonly ok: true; readonly evidence: Evidence }
  | { readonly ok: false; readonly why: string; readonly step: string | null; readonly exitCode: number | null }

export interface WaitRequest {
  readonly agent: AgentProcess
  readonly ready: Ready | null
  /** Milliseconds. */
  readonly timeoutMs: number
  /** Time counts from the first prompt: a person types it when they like. */
  readonly fromPrompt: boolean
  /** Aborted with the reason, when the launcher itself is told to stop. */
  readonly signal: AbortSignal
}

/** Longest line that a judge is shown; what is longer is no event of any client. */
const maxLine = 1_048_576

/** What is longer between two looks at the clock, milliseconds, we were stopped for (Ctrl-Z), and mostly the agent with us. */
const longestTickMs = 1000

/** Collects what is seen of one launch until it proves that the agent works, or that it does not. The first word is the last. */
export class Acceptance {
  readonly #judge: Judge
  readonly #settled: Promise<Accepted>
  #settle: (accepted: Accepted) => void = () => undefined
  #step: string | null = null
  #timer: NodeJS.Timeout | undefined
  #prompted = false

  constructor(judge: Judge) {
    this.#judge = judge
    this.#settled = new Promise(resolve => (this.#settle = resolve))
  }

  line(line: string): void {
    if (line.length <= maxLine) this.verdict(this.#judge.stdout(line))
  }

  hook(report: HookReport): void {
    if (report.event === 'user-prompt-submit') this.#prompted = true
    this.verdict(this.#judge.hook(report))
  }

  verdict(verdict: Verdict): void {
    if (verdict.state === 'accepted') this.#settle({ ok: true, evidence: verdict.evidence })
    else if (verdict.state === 'rejected') this.#refuse(verdict.reason)
    else this.#step = verdict.step ?? this.#step
  }

  /** Resolves once; nothing that it started goes on afterwards. */
  async wait(request: WaitRequest): Promise<Accepted> {
    const { agent, timeoutMs, fromPrompt, signal } = request
    const over = new AbortController()
    void agent.ended.then(async exitCode => {
      // What it said last may still be on its way here.
      await Promise.all([agent.said(), rest(lastWordsMs)])
      this.#refuse(exitCode === 0 ? 'it ended before it showed that it works' : `it ended with code ${exitCode}`, exitCode)
    })
    signal.addEventListener('abort', () => this.#refuse(String(signal.reason)), { once: true, signal: over.signal })
    if (request.ready !== null) void this.#watch(request.ready, agent, over.signal)
    this.#startTimer(timeoutMs, fromPrompt)
    try {
      return await this.#settled
    } finally {
      clearInterval(this.#timer)
      over.abort()
    }
  }

  #refuse(why: string, exitCode: number | null = null): void {
    this.#settle({ ok: false, why, step: this.#step, exitCode })
  }

  #startTimer(timeoutMs: number, fromPrompt: boolean): void {
    let [waitedMs, last] = [0, performance.now()]
    this.#timer = setInterval(
      () => {
        const now = performance.now()
        if (!fromPrompt || this.#prompted) waitedMs += Math.min(now - last, longestTickMs)
        last = now
        if (waitedMs >= timeoutMs) this.#refuse(`it did not show within ${Math.round(timeoutMs / 100) / 10} s that it works`)
      },
      Math.min(100, timeoutMs),
    )
  }

  async #watch(ready: Ready, agent: AgentProcess, signal: AbortSignal): Promise<void> {
    try {
      if (ready.kind === 'fd') this.#accept(await watchFd(agent.ready!, signal))
      // Neither of these comes from the agent itself, so it must still be there.
      if (ready.kind === 'http') this.#acceptOf(agent, await watchHttp(ready.url, signal))
      if (ready.kind === 'alive') this.#acceptOf(agent, await watchAlive(ready.ms, signal))
    } catch (error) {
      // An agent that has ended says more by its exit code than by what it left unsaid.
      await rest(lastWordsMs * 2)
      if (!signal.aborted) this.#refuse((error as Error).message)
    }
  }

  /** One that has ended is refused by its end. */
  #acceptOf({ child }: AgentProcess, evidence: Evidence): void {
    if (child.exitCode === null && child.signalCode === null) this.#accept(evidence)
  }

  #accept(evidence: Evidence): void {
    this.#settle({ ok: true, evidence })
  }
}

const rest = (ms: number): Promise<void> => new Promise(resolve => void setTimeout(resolve, ms))

/** How long after its end an agent's output and reports are still read, milliseconds. */
const lastWordsMs = 250
