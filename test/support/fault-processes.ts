import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { build } from 'esbuild'
import { afterAll } from 'vitest'
import { systemClock } from '../../src/host/clock.ts'
import { kernelLock } from '../../src/host/kernel-lock.ts'
import { FileStore, statfsType } from '../../src/store/file/store.ts'
import type { LoopTask, ScriptResult, ScriptTask } from './worker.ts'

// Real processes on a real file system.

const root = path.resolve(import.meta.dirname, '../..')

/** Bundles the worker into a folder; the lock addon is found through a link, as in an installation. */
export async function bundleWorker(folder: string, source = 'worker.ts'): Promise<string> {
  const file = path.join(folder, 'worker.mjs')
  await build({
    entryPoints: [path.join(root, 'test/support', source)],
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  })
  fs.mkdirSync(path.join(folder, 'node_modules'), { recursive: true })
  fs.symlinkSync(path.join(root, 'node_modules/fs-native-extensions'), path.join(folder, 'node_modules/fs-native-extensions'))
  return file
}

export interface Launch {
  readonly worker: string
  /** Program and arguments in front of node, for example a limit or a namespace. */
  readonly through?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

const running = new Set<ChildProcess>()

// A test that fails leaves processes that go round for ever.
afterAll(() => running.forEach(child => child.kill('SIGKILL')))

export function launch({ worker, through = [], env }: Launch, task: LoopTask | ScriptTask): ChildProcess {
  const [program, ...args] = [...through, process.execPath, worker, JSON.stringify(task)]
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  running.add(child)
  return child.once('exit', () => running.delete(child))
}

/** How a process ended, and all that it said. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

export function ended(child: ChildProcess): Promise<Ended> {
  let out = ''
  let err = ''
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, out, err }))
  })
}

/** Carries out a script in a process of its own. A process that died has fewer results than steps. */
export async function runScript(
  how: Launch,
  task: Omit<ScriptTask, 'mode'>,
): Promise<Ended & { readonly results: readonly ScriptResult[] }> {
  const end = await ended(launch(how, { mode: 'script', ...task }))
  return {
    ...end,
    results: end.out
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as ScriptResult),
  }
}

/** `ulimit -f` in blocks of 512 bytes, as POSIX has it. */
export const withFileLimit = (bytes: number): readonly string[] => [
  '/bin/sh',
  '-c',
  `ulimit -f ${Math.ceil(bytes / 512)} && exec "$@"`,
  'sh',
]

/** A store on the real file system, in this process. */
export const openReal = (
  directory: string,
  options: {
    readonly segmentBytes?: number
    readonly lockWaitMs?: number
    readonly resident?: boolean
    readonly fileSystemType?: number
    readonly allowUnsafeFs?: boolean
  } = {},
): FileStore =>
  new FileStore({
    directory,
    disk: fs,
    clock: systemClock(),
    lock: kernelLock(),
    fileSystemType: options.fileSystemType === undefined ? statfsType : () => options.fileSystemType!,
    shared: false,
    lockWaitMs: options.lockWaitMs ?? 10_000,
    retention: { segmentBytes: options.segmentBytes ?? 1 << 20, maxAgeMs: 1e15, maxBytes: 1e15 },
    limits: { max_indefinite_leases_per_agent: 1000, max_indefinite_leases_per_repo: 1000 },
    limitsChosen: [],
    allowUnsafeFs: options.allowUnsafeFs ?? false,
    resident: options.resident ?? false,
  })
