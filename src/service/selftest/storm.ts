import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { eachLine, ended, killGroup } from './guard.ts'
import type { Order, Report } from './order.ts'
import { orderVariable } from './order.ts'

/** Starts processes of our own kind. */
export interface Launcher {
  readonly lh: string
  readonly env: NodeJS.ProcessEnv
}

export function launch({ lh, env }: Launcher, order: Order): ChildProcess {
  const child = spawn(process.execPath, [lh, 'selftest'], {
    env: { ...env, [orderVariable]: JSON.stringify(order) },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // Who is killed before it read what we wrote is no error of ours.
  child.stdin.on('error', () => undefined)
  return child
}

/** An answer of the store that said yes. */
export type Ack = Extract<Report, { is: 'ack' }>

/** What was done to the processes and what they did. */
export interface Toll {
  readonly acks: Ack[]
  readonly refusals: Map<string, number>
  counted: number
  intruders: number
  kills: number
  pauses: number
  torn: number
  starts: number
  longestWaitMs: number
  longestPauseMs: number
  readonly faults: string[]
}

interface Worker {
  readonly child: ChildProcess
  /** Between its first word and what ends it. */
  state: 'starting' | 'working' | 'paused' | 'doomed'
}

/** One blow after the other, milliseconds between them for all processes together. */
const blowEveryMs = { least: 60, most: 300 }

/** Most pauses are short, since everybody waits when the paused one has the store's lock; some outlast the TTL, and then the paused holder has lost its lease when it goes on. */
const pauseMs = { least: 20, usual: 200, long: 1400, longShare: 0.15 }

/** How much longer a run may take to have one blow of each kind and enough commands, on a machine that is slow to start processes. */
const graceMs = 20_000

/** After so many failures nobody is replaced any more: the verdict is clear, and processes that cannot even start would go on for ever. */
const maxFaults = 300

/** After the last blow a process finishes what it does; this is for one that hangs. */
const endMs = 30_000

/** Everybody works, and at random somebody is killed, paused, or dies in the midst of a write. The dead are replaced at once. */
export class Storm {
  readonly toll: Toll = {
    acks: [],
    refusals: new Map(),
    counted: 0,
    intruders: 0,
    kills: 0,
    pauses: 0,
    torn: 0,
    starts: 0,
    longestWaitMs: 0,
    longestPauseMs: 0,
    faults: [],
  }
  readonly #launcher: Launcher
  readonly #order: Omit<Order, 'agentId' | 'role' | 'resident'>
  readonly #workers: (Worker | null)[]
  readonly #exits = new Set<Promise<void>>()
  #isOver = false

  constructor(launcher: Launcher, order: Omit<Order, 'agentId' | 'role' | 'resident'>, agents: number) {
    this.#launcher = launcher
    this.#order = order
    this.#workers = Array.from({ length: agents }, () => null)
  }

  /** Kills everything. */
  stop(): void {
    this.#isOver = true
    for (const worker of this.#workers) if (worker !== null) killGroup(worker.child)
  }

  async rage(seconds: number): Promise<Toll> {
    for (const place of this.#workers.keys()) this.#start(place)
    while (this.#workers.some(worker => worker?.state === 'starting')) await sleep(10)
    const until = performance.now() + seconds * 1000
    for (let blow = 0; performance.now() < until || (this.#isThin(blow) && performance.now() < until + graceMs);) {
      await sleep(between(blowEveryMs.least, blowEveryMs.most))
      if (this.#strike(blow)) blow++
    }
    await this.#finish()
    return this.toll
  }

  /** Too little to prove anything: on a busy machine a few seconds can pass with hardly a command. */
  #isThin(blows: number): boolean {
    const { kills, pauses, torn, acks } = this.toll
    return blows < 3 || kills === 0 || pauses === 0 || torn === 0 || acks.length < 60
  }

  #start(place: number): void {
    const agentId = `selftest:${place + 1}-${++this.toll.starts}`
    const child = launch(this.#launcher, { ...this.#order, role: 'hammer', agentId, resident: place % 2 === 1 })
    const worker: Worker = { child, state: 'starting' }
    this.#workers[place] = worker
    let complaint = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text))
    eachLine(child, line => this.#hear(worker, JSON.parse(line) as Report))
    const exit = ended(child)
      .then(({ code, signal }) => this.#buried(place, worker, signal ?? code, complaint))
      .finally(() => this.#exits.delete(exit))
    this.#exits.add(exit)
  }

  #buried(place: number, worker: Worker, how: string | number | null, complaint: string): void {
    if (worker.state !== 'doomed' && how !== 0) this.toll.faults.push(`a process ended with ${how} ${complaint.trim().slice(-300)}`)
    this.#workers[place] = null
    if (!this.#isOver && this.toll.faults.length < maxFaults) this.#start(place)
  }

  #hear(worker: Worker, report: Report): void {
    const { toll } = this
    switch (report.is) {
      case 'ready':
        if (worker.state === 'starting') worker.state = 'working'
        break
      case 'ack':
        toll.acks.push(report)
        break
      case 'no':
        toll.refusals.set(report.why, (toll.refusals.get(report.why) ?? 0) + 1)
        break
      case 'counted':
        toll.counted++
        if (report.intruder !== null) toll.intruders++
        break
      case 'torn':
        toll.torn++
        break
      case 'waited':
        toll.longestWaitMs = Math.max(toll.longestWaitMs, report.ms)
        break
      case 'fault':
        toll.faults.push(report.message)
        break
      case 'held':
        break
    }
  }

  /** The first three blows are one of each kind, so that even the shortest run has them all. */
  #strike(blow: number): boolean {
    const working = this.#workers.filter(worker => worker?.state === 'working')
    const victim = working[Math.floor(Math.random() * working.length)]
    if (victim === undefined || victim === null) return false
    const kind =
      blow < 3 ? (['kill', 'tear', 'pause'] as const)[blow] : (['kill', 'kill', 'tear', 'pause'] as const)[Math.floor(Math.random() * 4)]
    if (kind === 'pause') this.#pause(victim)
    else {
      victim.state = 'doomed'
      if (kind === 'tear') victim.child.stdin?.write('tear\n')
      else if (victim.child.kill('SIGKILL')) this.toll.kills++
    }
    return true
  }

  #pause(worker: Worker): void {
    const { toll } = this
    const ms = Math.random() < pauseMs.longShare ? pauseMs.long : between(pauseMs.least, pauseMs.usual)
    if (!worker.child.kill('SIGSTOP')) return
    toll.pauses++
    toll.longestPauseMs = Math.max(toll.longestPauseMs, Math.round(ms))
    worker.state = 'paused'
    setTimeout(() => {
      worker.child.kill('SIGCONT')
      worker.state = 'working'
    }, ms)
  }

  async #finish(): Promise<void> {
    this.#isOver = true
    const late = setTimeout(() => {
      this.toll.faults.push(`a process did not end within ${endMs / 1000} s`)
      this.stop()
    }, endMs)
    for (const worker of this.#workers) {
      worker?.child.kill('SIGCONT')
      if (worker !== null && worker.state !== 'doomed') worker.child.stdin?.write('end\n')
    }
    while (this.#exits.size > 0) await Promise.all(this.#exits)
    clearTimeout(late)
  }
}

const between = (least: number, most: number): number => least + Math.random() * (most - least)
