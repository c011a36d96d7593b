import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { OpenFile } from '../../host/process.ts'
import { fileBehind, groupRuns, lockKeepers, processesWith, processStartTicks, signalGroup } from '../../host/process.ts'
import { exited } from '../claim/hold.ts'

/** From SIGTERM to SIGKILL, milliseconds. */
const killAfterMs = 5000

/** How often it is looked whether all have gone, milliseconds. */
const lookMs = 50

/** How long an agent's output has to be quiet after its end to be over, and how long it is read at most, milliseconds. */
const quietMs = 100
const lastWordsMs = 3000

/** Longer lines are cut: they are no event of any client, and one without an end must not fill the memory. */
const maxLine = 1_048_576

/** Lines that are kept of what an agent said, for whoever asks why it did not start. */
const keptLines = 20
const keptColumns = 500

export interface SpawnRequest {
  readonly command: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** The agent gets the terminal: nothing of what it says is seen here. */
  readonly terminal: boolean
  /** Standard input and output belong to the launcher. */
  readonly dialogue: boolean
  /** Where its standard output goes. */
  readonly stdout: () => Writable
  /** Descriptors that keep the launch's locks. */
  readonly locks: readonly number[]
  readonly readyFd: boolean
  readonly onLine: (line: string) => void
  /** Called before anything else can happen to us: whoever finds the agent without its launcher has to know it. */
  readonly onPid: (pid: number) => void
}

/** A launched agent and all that it starts. */
export class AgentProcess {
  readonly child: ChildProcess
  /** Exit code, or 128 + n. */
  readonly ended: Promise<number>
  /** What the agent writes a newline to when it is ready. */
  readonly ready: Readable | null
  readonly lastLines: string[] = []
  readonly #left: Left
  readonly #group: number | null
  readonly #outputs: Writable[] = []
  #heardAt = 0
  readonly #unread = new Set<Writable>()

  private constructor(child: ChildProcess, { terminal, readyFd, locks }: SpawnRequest, start: string) {
    this.child = child
    this.ended = exited(child)
    const lockFiles = locks.map(fileBehind).filter(file => file !== null)
    this.#left = { carried: ['LEASEHOLD_START', start], lockFiles, startedSince: processStartTicks(child.pid!) ?? 0 }
    this.#group = terminal ? null : child.pid!
    this.ready = readyFd ? (child.stdio[readyAt] as Readable) : null
  }

  /** Starts it; rejects with the system's error when that is not possible. */
  static async start(request: SpawnRequest): Promise<AgentProcess> {
    const { command, cwd, env, terminal, dialogue, stdout, locks, readyFd } = request
    const [program, ...args] = command
    const output = terminal ? 'inherit' : 'pipe'
    // Another launcher may open the same session while this one stands still, and what that started is not ours to end.
    const start = `${process.pid}-${process.hrtime.bigint()}`
    const child = spawn(program!, args, {
      cwd,
      env: { ...env, LEASEHOLD_START: start, ...(readyFd ? { LEASEHOLD_READY_FD: String(readyAt) } : {}) },
      // A group of its own, so that all of it can be ended; an agent that has the terminal must stay in the terminal's.
      detached: !terminal,
      stdio: [dialogue ? 'pipe' : 'inherit', output, output, ...(readyFd ? ['pipe' as const] : []), ...belowLocks(readyFd), ...locks],
    })
    if (child.pid !== undefined) request.onPid(child.pid)
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
    const agent = new AgentProcess(child, request, start)
    if (!terminal) agent.#listen(stdout(), dialogue, request.onLine)
    return agent
  }

  get pid(): number {
    return this.child.pid!
  }

  /** As `ChildProcess.kill`, to all of its group. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): boolean {
    if (this.#group === null) return this.child.kill(signal)
    signalGroup(this.#group, signal)
    return true
  }

  /** Ends the agent and everything that it started, also what left its group; resolves when nothing of it runs. */
  async end(): Promise<void> {
    const group = this.#group
    await endAll(this.#left, {
      signal: name => void this.kill(name),
      runs: () => (group === null ? this.child.exitCode === null && this.child.signalCode === null : groupRuns(group)),
    })
    await this.ended
  }

  /** Resolves when what it said before its end has been read. What outlives it may keep its output open, and is not waited for. */
  async said(): Promise<void> {
    const deadline = performance.now() + lastWordsMs
    const { stdout, stderr } = this.child
    const isOpen = (): boolean => [stdout, stderr].some(stream => stream !== null && !stream.readableEnded && !stream.destroyed)
    this.#heardAt = performance.now()
    while (isOpen() && performance.now() - this.#heardAt < quietMs && performance.now() < deadline)
      // oxlint-disable-next-line no-await-in-loop -- polling
      await new Promise(resolve => void setTimeout(resolve, 5))
  }

  /** Resolves when all of that has also been taken by whoever reads it, or when nobody does any more. */
  async flushed(): Promise<void> {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- a reader that is slow holds up what is read
      await this.said()
      const full = this.#outputs.filter(output => output.writableNeedDrain && this.#isRead(output))
      if (full.length === 0) break
      // Node reads the rest when an agent ends, whatever its reader has taken by then: there may be nothing left to be said.
      // oxlint-disable-next-line no-await-in-loop -- as above
      await Promise.all(full.map(drained))
    }
    await Promise.all(this.#outputs.filter(output => this.#isRead(output)).map(drained))
  }

  #listen(stdout: Writable, dialogue: boolean, onLine: (line: string) => void): void {
    const { child } = this
    if (!dialogue) {
      this.#pass(child.stdout!, stdout, line => {
        this.#keep(line)
        onLine(line)
      })
    }
    this.#pass(child.stderr!, process.stderr, line => this.#keep(line))
  }

  /** Standard output outlives its errors: that nobody reads it any more is to be remembered. */
  #isRead(output: Writable): boolean {
    return !output.destroyed && !this.#unread.has(output)
  }

  /** Hands on what it says, and looks at each line of it. When nobody reads it any more, the agent is told in the usual way. */
  #pass(from: Readable, to: Writable, onLine: (line: string) => void): void {
    this.#outputs.push(to)
    to.on('error', () => {
      this.#unread.add(to)
      from.destroy()
    })
    from.on('error', () => undefined).pipe(to, { end: false })
    const split = lineSplitter(onLine)
    from.on('data', (chunk: Buffer) => {
      this.#heardAt = performance.now()
      split(chunk)
    })
    from.on('end', () => split(newline))
  }

  #keep(line: string): void {
    this.lastLines.push(line.slice(0, keptColumns))
    if (this.lastLines.length > keptLines) this.lastLines.shift()
  }
}

function drained(output: Writable): Promise<void> {
  return new Promise(resolve => {
    if (output.destroyed || output.writableLength === 0) return resolve()
    const over = (): void => {
      output.off('error', over).off('close', over)
      resolve()
    }
    output.once('error', over).once('close', over).write('', over)
  })
}

const newline = Buffer.from('\n')

/** Cuts bytes into lines, at newlines only: JSON may hold what Unicode calls a line separator. The last line may lack its newline. */
function lineSplitter(onLine: (line: string) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = []
  let length = 0
  const keep = (part: Buffer): void => {
    const room = maxLine - length
    if (room > 0 && part.length > 0) parts.push(part.subarray(0, room))
    length += Math.min(part.length, Math.max(0, room))
  }
  return chunk => {
    let start = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      keep(chunk.subarray(start, end))
      if (length > 0) onLine(Buffer.concat(parts).toString('utf8').replace(/\r$/, ''))
      ;[parts, length] = [[], 0]
      start = end + 1
    }
    keep(chunk.subarray(start))
  }
}

/** Where an agent finds the descriptor to say that it is ready on. Shells know only those of one digit. */
const readyAt = 3

/** Where its locks begin: a shell script that writes to a descriptor of one or two digits, or closes it, means one of its own. */
const locksAt = 100

const belowLocks = (readyFd: boolean): readonly 'ignore'[] => Array.from({ length: locksAt - readyAt - Number(readyFd) }, () => 'ignore')

/**
 * TERM, and KILL for what is still there a while later. The environment finds those that made a session of their own, and the locks of the
 * launch those that have cleared it.
 */
export async function endAll({ carried: [variable, value], lockFiles, startedSince }: Left, main: Main): Promise<void> {
  const carriers = (): ReadonlySet<number> => new Set([...processesWith(variable, value, startedSince), ...lockKeepers(lockFiles)])
  const signal = (name: NodeJS.Signals): void => {
    main.signal(name)
    for (const pid of carriers()) signalOne(pid, name)
  }
  const runs = (): boolean => main.runs() || carriers().size > 0
  signal('SIGTERM')
  await untilNot(runs, () => undefined)
  await untilNot(runs, () => signal('SIGKILL'))
}

/** By what all is found that a start brought about. */
export interface Left {
  /** What all of them have in their environment: name and value. */
  readonly carried: readonly [string, string]
  readonly lockFiles: readonly OpenFile[]
  /** When its first process started, clock ticks: a session that is opened again has its id of before, and what it left then is not meant. */
  readonly startedSince: number
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
