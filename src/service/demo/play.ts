import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import path from 'node:path'
import type { Entry } from '../../core/operation.ts'
import type { Store } from '../../store/store.ts'
import { eachLine, ended, killGroup } from '../selftest/guard.ts'
import type { Stage } from './stage.ts'
import { agents, fatalTicket } from './stage.ts'

/** One row of the timeline. */
export interface Moment {
  /** Wall clock, milliseconds since the epoch. */
  readonly at: number
  readonly agent: string
  readonly event:
    | 'claim'
    | 'takeover'
    | 'busy'
    | 'waits'
    | 'renew'
    | 'done'
    | 'given-back'
    | 'killed'
    | 'back'
    | 'refused'
    | 'accepted'
    | 'lost'
  readonly ticket: string
  readonly token: number | null
  /** For `busy`: who holds it. For `refused` and `accepted`: the command. */
  readonly detail: string | null
}

/** What an agent said on its standard output. */
interface Report {
  readonly at: number
  readonly agent: string
  readonly event: 'ready' | 'granted' | 'busy' | 'waits' | 'done' | 'already' | 'lost' | 'back' | 'asked'
  readonly ticket: string
  readonly token?: number
  readonly lease?: string
  readonly by?: string
  readonly command?: string
  readonly exit?: number
}

/** Everything that was seen, for the judge. */
export interface Seen {
  readonly moments: Moment[]
  readonly reports: Report[]
  readonly troubles: string[]
  victim: {
    readonly agent: string
    readonly pid: number
    readonly ticket: string
    readonly token: number
    readonly at: number
    signal: string | null
  } | null
}

/** How often the log is read, milliseconds. */
const lookEveryMs = 80

/** Rows wait this long before they are shown, so that what several processes tell comes out in the order in which it happened. */
const settleMs = 300

/** From the fatal claim to the kill: long enough to be in the midst of the work. */
const killAfterMs = 350
const backAfterMs = 250

/** A whole play takes about six seconds; past this, something hangs. */
const deadlineMs = 45_000

/** The three agents at work. What they claim is taken from the log, not from what they say. */
export class Play {
  readonly seen: Seen = { moments: [], reports: [], troubles: [], victim: null }
  readonly #stage: Stage
  readonly #store: Store
  readonly #tell: (moment: Moment) => void
  readonly #running = new Map<string, ChildProcess>()
  readonly #exits: Promise<void>[] = []
  readonly #committed = new Set<string>()
  #shown = 0
  #lastSeq = 0
  #isOver = false

  constructor(stage: Stage, store: Store, tell: (moment: Moment) => void) {
    this.#stage = stage
    this.#store = store
    this.#tell = tell
  }

  /** Kills whatever still runs. */
  stop(): void {
    this.#isOver = true
    for (const child of this.#running.values()) killGroup(child)
  }

  /** Runs until every agent has ended, the killed one twice. */
  async run(): Promise<Seen> {
    for (const agent of agents) this.#start(agent)
    const timer = setTimeout(() => this.#giveUp(), deadlineMs)
    const over = this.#untilAllEnded().finally(() => (this.#isOver = true))
    while (!this.#isOver) {
      await this.#followLog()
      this.#show(Date.now() - settleMs)
      await Promise.race([over, new Promise(resolve => setTimeout(resolve, lookEveryMs))])
    }
    await over
    clearTimeout(timer)
    await this.#followLog()
    this.#show(Number.POSITIVE_INFINITY)
    return this.seen
  }

  #giveUp(): void {
    this.seen.troubles.push(`the agents were not done after ${deadlineMs / 1000} s`)
    this.stop()
  }

  /** The list grows while it is awaited: the killed agent is started again. */
  async #untilAllEnded(): Promise<void> {
    for (let index = 0; index < this.#exits.length; index++) await this.#exits[index]
  }

  #start(agent: string): void {
    const { directory, env } = this.#stage
    const identity = { LEASEHOLD_AGENT_ID: `agent:${agent}` }
    const options = { cwd: this.#stage.worktreeOf(agent), env: { ...env, ...identity }, detached: true, stdio: 'pipe' } as const
    const child = spawn(process.execPath, [path.join(directory, 'agent.mjs'), agent], options)
    this.#running.set(agent, child)
    // Who is killed before it read what we wrote is no error of ours.
    child.stdin.on('error', () => undefined)
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
    eachLine(child, line => this.#hear(JSON.parse(line) as Report))
    this.#exits.push(this.#untilEnded(agent, child, () => complaint))
  }

  async #untilEnded(agent: string, child: ChildProcess, complaint: () => string): Promise<void> {
    const { code, signal } = await ended(child)
    this.#running.delete(agent)
    const { victim } = this.seen
    if (victim?.pid === child.pid) {
      victim!.signal = signal
      await this.#untilTakenOver()
      if (!this.#isOver) this.#start(agent)
    } else if (code !== 0) this.seen.troubles.push(`${agent} ended with ${signal ?? `code ${code}`}: ${complaint().trim().slice(-600)}`)
  }

  /** The killed agent comes back while somebody else is at work on its ticket, when it would do the most harm. */
  async #untilTakenOver(): Promise<void> {
    const isTaken = (): boolean => this.seen.moments.some(({ event, ticket }) => event === 'takeover' && ticket === fatalTicket)
    while (!isTaken() && !this.#isOver && this.#running.size > 0) await new Promise(resolve => setTimeout(resolve, lookEveryMs))
    await new Promise(resolve => setTimeout(resolve, backAfterMs))
  }

  #hear(report: Report): void {
    this.seen.reports.push(report)
    const { at, agent, ticket, token = null } = report
    const add = (event: Moment['event'], detail: string | null = null): void =>
      void this.seen.moments.push({ at, agent, event, ticket, token, detail })
    switch (report.event) {
      case 'ready':
        if (this.seen.reports.filter(({ event }) => event === 'ready').length === agents.length)
          for (const child of this.#running.values()) child.stdin?.write('go\n')
        break
      case 'busy':
        add('busy', report.by?.replace('agent:', '') ?? null)
        break
      case 'waits':
      case 'lost':
      case 'back':
        add(report.event)
        break
      case 'asked':
        add(report.exit === 6 ? 'refused' : 'accepted', report.command ?? null)
        break
      case 'done':
        this.#committed.add(`${agent} ${ticket}`)
        this.#correctRelease(agent, ticket)
        break
      case 'granted':
      case 'already':
        break
    }
  }

  /** On a busy machine the log tells of the release before the pipe does of the work. */
  #correctRelease(agent: string, ticket: string): void {
    const { moments } = this.seen
    const at = moments.findIndex(moment => moment.event === 'given-back' && moment.agent === agent && moment.ticket === ticket)
    if (at >= 0) moments[at] = { ...moments[at]!, event: 'done' }
  }

  async #followLog(): Promise<void> {
    for await (const entry of this.#store.history({ afterSeq: this.#lastSeq })) {
      this.#lastSeq = entry.seq
      this.#note(entry)
    }
  }

  #note({ seq, at, operation }: Entry): void {
    if (!('resources' in operation)) return
    const ticket = operation.resources[0]!.replace('ticket:', '')
    const agent = operation.actor.replace('agent:', '')
    const add = (event: Moment['event'], token: number): void =>
      void this.seen.moments.push({ at, agent, event, ticket, token, detail: null })
    if (operation.op === 'acquire') {
      const evicted = this.seen.victim?.ticket === ticket && this.seen.victim.agent !== agent
      const again = this.seen.moments.some(moment => moment.event === 'takeover' && moment.ticket === ticket)
      add(evicted && !again ? 'takeover' : 'claim', seq)
      if (ticket === fatalTicket && this.seen.victim === null) this.#condemn(agent, ticket, seq)
    } else if (operation.op === 'renew') add('renew', operation.token)
    else if (operation.op === 'release') add(this.#committed.has(`${agent} ${ticket}`) ? 'done' : 'given-back', operation.token)
  }

  #condemn(agent: string, ticket: string, token: number): void {
    const child = this.#running.get(agent)
    if (child?.pid === undefined) return
    const victim = { agent, pid: child.pid, ticket, token, at: 0, signal: null }
    this.seen.victim = victim
    setTimeout(() => {
      const at = Date.now()
      killGroup(child)
      this.seen.victim = { ...victim, at }
      this.seen.moments.push({ at, agent, event: 'killed', ticket, token, detail: null })
    }, killAfterMs)
  }

  /** Shows what happened before `until`, in order. A stable sort: what the log says at one millisecond stays in its order. */
  #show(until: number): void {
    const { moments } = this.seen
    const fresh = moments.slice(this.#shown).sort((a, b) => a.at - b.at)
    moments.splice(this.#shown, fresh.length, ...fresh)
    for (let moment = moments[this.#shown]; moment !== undefined && moment.at <= until; moment = moments[++this.#shown]) this.#tell(moment)
  }
}
