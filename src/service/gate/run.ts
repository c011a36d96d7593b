import type { ChildProcess } from 'node:child_process'
import { closeSync, realpathSync, statSync } from 'node:fs'
import { Socket } from 'node:net'
import { join, relative } from 'node:path'
import type { Readable } from 'node:stream'
import { Fault, usage } from '../../core/fault.ts'
import { openPipe } from '../../host/pipe.ts'
import { groupRuns, signalGroup } from '../../host/process.ts'
import type { Definition } from './definition.ts'

export interface CommandRun {
  /** For `/bin/sh -c`. */
  readonly command: string
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly timeoutMs: number
  /** Ends the command early: its whole group, politely first. */
  readonly stop: AbortSignal
  /** No more politeness. */
  readonly kill: AbortSignal
  readonly onOutput?: (chunk: Buffer) => void
}

export interface CommandEnd {
  /** Null when a signal ended it. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly timedOut: boolean
  /** It was told to stop. */
  readonly stopped: boolean
  readonly durationMs: number
  /** Standard output and error in the order in which they were written; of a long one the end. */
  readonly output: Buffer
  /** How many bytes came before what was kept. */
  readonly dropped: number
}

/** How much of a command's output is kept, bytes. */
export const keptBytes = 64 * 1024

/** From SIGTERM to SIGKILL, milliseconds. */
export const killAfterMs = 5000

const pollMs = 20

/** For the last words of somebody outside the group who still has the pipe, milliseconds. */
const drainMs = 300

/**
 * Runs a command in a process group of its own, without input. When it is over, by itself, by its time limit or because it was stopped,
 * nothing of its group is left: SIGTERM to all of it, five seconds later SIGKILL.
 */
export async function runCommand(run: CommandRun): Promise<CommandEnd> {
  const { command, cwd, env, timeoutMs, stop, kill } = run
  const { spawn } = await import('node:child_process')
  const pipe = openPipe()
  const out = pipe?.write ?? 'pipe'
  const startedAt = performance.now()
  let child: ChildProcess
  try {
    child = spawn('/bin/sh', ['-c', command], { cwd, env, detached: true, stdio: ['ignore', out, out] })
    await begun(child, cwd)
  } catch (error) {
    if (pipe !== null) closeSync(pipe.read)
    throw error
  } finally {
    if (pipe !== null) closeSync(pipe.write)
  }
  const sources = pipe === null ? [child.stdout!, child.stderr!] : [new Socket({ fd: pipe.read, readable: true, writable: false })]
  const tail = new Tail(sources, run.onOutput)
  const group = child.pid!
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const why = await first(exited, timeoutMs, stop)
  const durationMs = Math.round(performance.now() - startedAt)
  if (groupRuns(group)) await endGroup(group, kill)
  await exited
  await tail.drained()
  return {
    exitCode: child.exitCode,
    signal: child.signalCode,
    timedOut: why === 'timeout',
    stopped: why === 'stop',
    durationMs,
    output: tail.bytes(),
    dropped: tail.dropped,
  }
}

const begun = (child: ChildProcess, cwd: string): Promise<void> =>
  new Promise((resolve, reject) => {
    child.once('spawn', () => resolve())
    child.once('error', cause => reject(new Fault('unavailable', `/bin/sh could not be started in ${cwd}: ${cause.message}`, { cause })))
  })

/** What comes first. */
function first(exited: Promise<void>, timeoutMs: number, stop: AbortSignal): Promise<'exit' | 'timeout' | 'stop'> {
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve('timeout'), timeoutMs)
    const stopped = (): void => resolve('stop')
    if (stop.aborted) stopped()
    stop.addEventListener('abort', stopped, { once: true })
    void exited.then(() => {
      clearTimeout(timer)
      stop.removeEventListener('abort', stopped)
      resolve('exit')
    })
  })
}

async function endGroup(group: number, kill: AbortSignal): Promise<void> {
  signalGroup(group, 'SIGTERM')
  // What is stopped hears nothing.
  signalGroup(group, 'SIGCONT')
  if (await gone(group, killAfterMs, kill)) return
  signalGroup(group, 'SIGKILL')
  await gone(group, 2000)
}

async function gone(group: number, withinMs: number, hurry?: AbortSignal): Promise<boolean> {
  const until = performance.now() + withinMs
  while (groupRuns(group)) {
    if (performance.now() >= until || hurry?.aborted === true) return false
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
  return true
}

/** The end of what a command says. */
class Tail {
  readonly #sources: readonly Readable[]
  readonly #chunks: Buffer[] = []
  #size = 0
  #total = 0
  #open: number

  constructor(sources: readonly Readable[], onOutput: CommandRun['onOutput']) {
    this.#sources = sources
    this.#open = sources.length
    for (const source of sources) {
      source.on('data', (chunk: Buffer) => {
        this.#keep(chunk)
        onOutput?.(chunk)
      })
      source.once('close', () => this.#open--)
      // What cannot be read is not kept; the command itself decides how it ends.
      source.on('error', () => source.destroy())
    }
  }

  get dropped(): number {
    return Math.max(0, this.#total - keptBytes)
  }

  /** Nobody writes any more, or nobody of the command's own group does. */
  async drained(): Promise<void> {
    const until = performance.now() + drainMs
    while (this.#open > 0 && performance.now() < until) await new Promise(resolve => setTimeout(resolve, 2))
    for (const source of this.#sources) source.destroy()
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks).subarray(-keptBytes)
  }

  #keep(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    this.#total += chunk.length
    // Whole chunks go as long as enough is left without them.
    while (this.#size - this.#chunks[0]!.length >= keptBytes) this.#size -= this.#chunks.shift()!.length
  }
}

/** Where a gate's command starts: the top of the worktree, or a directory inside it. Throws `usage` when there is none. */
export function startDirectory(root: string, { key, workingDir }: Definition): string {
  if (workingDir === null) return root
  const path = join(root, workingDir)
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw usage(`the gate ${key} starts in ${workingDir}, and there is no such directory here`, `change working_dir, or make ${path}`)
  const real = realpathSync.native(path)
  const inside = relative(realpathSync.native(root), real)
  if (inside === '..' || inside.startsWith('../')) throw usage(`the gate ${key} starts in ${workingDir}, which leads out of the worktree`)
  return real
}
