import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { createInterface } from 'node:readline'
import { groupRuns, processesWith, signalGroup } from '../../host/process.ts'
import { exited } from '../claim/hold.ts'

/** From SIGTERM to SIGKILL, milliseconds. */
const killAfterMs = 5000

/** How often it is looked whether all have gone, milliseconds. */
const lookMs = 50

/** Lines that are kept of what an agent said, for whoever asks why it did not start. */
const keptLines = 20
const keptColumns = 500

export interface SpawnRequest {
  readonly command: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** Every process of the agent carries it as `LEASEHOLD_LAUNCH_ID`. */
  readonly launchId: string
  /** The agent gets the terminal: nothing of what it says is seen here. */
  readonly terminal: boolean
  /** Standard input and output belong to the launcher. */
  readonly dialogue: boolean
  /** Where its standard output goes. */
  readonly stdout: Writable
  /** Descriptors that keep the launch's locks. */
  readonly locks: readonly number[]
  readonly readyFd: boolean
  readonly onLine: (line: string) => void
}

/** A launched agent and all that it starts. */
export class AgentProcess {
  readonly child: ChildProcess
  /** Exit code, or 128 + n. */
  readonly ended: Promise<number>
  /** What the agent writes a newline to when it is ready. */
  readonly ready: Readable | null
  readonly lastLines: string[] = []
  readonly #launchId: string
  readonly #group: number | null

  private constructor(child: ChildProcess, { launchId, terminal, readyFd, locks }: SpawnRequest) {
    this.child = child
    this.ended = exited(child)
    this.#launchId = launchId
    this.#group = terminal ? null : child.pid!
    this.ready = readyFd ? (child.stdio[3 + locks.length] as Readable) : null
  }

  /** Starts it; rejects with the system's error when that is not possible. */
  static async start(request: SpawnRequest): Promise<AgentProcess> {
    const { command, cwd, env, terminal, dialogue, stdout, locks, readyFd } = request
    const [program, ...args] = command
    const output = terminal ? 'inherit' : 'pipe'
    const child = spawn(program!, args, {
      cwd,
      env: { ...env, ...(readyFd ? { LEASEHOLD_READY_FD: String(3 + locks.length) } : {}) },
      // A group of its own, so that all of it can be ended; an agent that has the terminal must stay in the terminal's.
      detached: !terminal,
      stdio: [dialogue ? 'pipe' : 'inherit', output, output, ...locks, ...(readyFd ? ['pipe' as const] : [])],
    })
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
    const agent = new AgentProcess(child, request)
    if (!terminal) agent.#listen(stdout, dialogue, request.onLine)
    return agent
  }

  get pid(): number {
    return this.child.pid!
  }

  /** As `ChildProcess.kill`, to all of its group. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): boolean {
    if (this.#group !== null) signalGroup(this.#group, signal)
    return this.child.kill(signal)
  }

  /** Ends the agent and everything that it started, also what left its group; resolves when nothing of it runs. */
  async end(): Promise<void> {
    const group = this.#group
    await endAll(this.#launchId, {
      signal: name => void this.kill(name),
      runs: () => (group === null ? this.child.exitCode === null && this.child.signalCode === null : groupRuns(group)),
    })
    await this.ended
  }

  #listen(stdout: Writable, dialogue: boolean, onLine: (line: string) => void): void {
    const { child } = this
    if (!dialogue) {
      child.stdout!.pipe(stdout, { end: false })
      createInterface({ input: child.stdout! }).on('line', line => {
        this.#keep(line)
        onLine(line)
      })
    }
    child.stderr!.pipe(process.stderr, { end: false })
    createInterface({ input: child.stderr! }).on('line', line => this.#keep(line))
  }

  #keep(line: string): void {
    this.lastLines.push(line.slice(0, keptColumns))
    if (this.lastLines.length > keptLines) this.lastLines.shift()
  }
}

/** TERM, and KILL for what is still there a while later. The environment finds those that made a session of their own. */
export async function endAll(launchId: string, main: Main): Promise<void> {
  const carriers = (): readonly number[] => processesWith('LEASEHOLD_LAUNCH_ID', launchId)
  const signal = (name: NodeJS.Signals): void => {
    main.signal(name)
    for (const pid of carriers()) signalOne(pid, name)
  }
  const runs = (): boolean => main.runs() || carriers().length > 0
  signal('SIGTERM')
  await untilNot(runs, () => undefined)
  await untilNot(runs, () => signal('SIGKILL'))
}

/** The first process of what is to be ended. */
export interface Main {
  signal(name: NodeJS.Signals): void
  runs(): boolean
}

async function untilNot(runs: () => boolean, meanwhile: () => void): Promise<void> {
  const deadline = performance.now() + killAfterMs
  while (runs() && performance.now() < deadline) {
    meanwhile()
    // oxlint-disable-next-line no-await-in-loop -- polling
    await new Promise(resolve => void setTimeout(resolve, lookMs))
  }
}

function signalOne(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It is gone.
  }
}
