import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { afterEach, expect, inject } from 'vitest'

// The built executable as people and agents run it: a process of its own, in a real repository. Nothing of the source is imported, so
// a test that uses this knows only what the documents promise.

/** What is tested. */
export const executable = path.resolve(import.meta.dirname, '../../dist/bin/lh.cjs')

/** Exit codes by name, from the documents and not from the code. */
export const exits = {
  internal: 1,
  usage: 2,
  held: 3,
  not_found: 4,
  not_owner: 5,
  superseded: 6,
  unavailable: 7,
  policy: 8,
  timeout: 9,
  launch_failed: 10,
} as const

/** Name of an error. */
export type Code = keyof typeof exits

/** A JSON document as it came; what is expected of it is said in the test. */
// oxlint-disable-next-line typescript/no-explicit-any -- a test looks into it freely
export type Doc = any

export const parse = (text: string): Doc => JSON.parse(text)

/** How a process ended, and what it said. */
export interface Result {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A process that runs beside the test; killed after it. */
export class Running {
  readonly child: ChildProcess
  /** When it has ended and nobody can write to its output any more; children that inherited it count. */
  readonly ended: Promise<Result>
  /** When it has ended, whatever its children do. */
  readonly exited: Promise<void>
  stdout = ''
  stderr = ''

  constructor(
    program: string,
    args: readonly string[],
    options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; readonly uid?: number },
  ) {
    const user = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }
    this.child = spawn(program, args, { cwd: options.cwd, env: options.env, stdio: ['ignore', 'pipe', 'pipe'], ...user })
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.exited = new Promise(resolve => this.child.once('exit', () => resolve()))
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (code, signal) => resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }))
    })
    running.add(this)
    void this.ended.catch(() => undefined).finally(() => running.delete(this))
  }

  get pid(): number {
    return this.child.pid!
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }
}

const running = new Set<Running>()
afterEach(() => {
  for (const { child } of running) child.kill('SIGKILL')
})

/** Calls `look` until it gives something; fails after half a minute, which no test that passes comes near. */
export async function until<T>(look: () => T | Promise<T>, what: string): Promise<NonNullable<T>> {
  for (const start = performance.now(); performance.now() - start < 30_000;) {
    // oxlint-disable-next-line no-await-in-loop -- one look after the other
    const found = await look()
    if (found) return found
    // oxlint-disable-next-line no-await-in-loop -- polling
    await sleep(20)
  }
  throw new Error(`waited 30 s in vain until ${what}`)
}

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Does a process run (a corpse does not count)? */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !fs.existsSync('/proc/self/stat') || !/\) [ZX] /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** A process that has a store's lock until it is killed. */
export async function busyStore(repo: Repo): Promise<Running> {
  const [lock, addon] = [
    path.join(repo.store, 'locks', 'claims.lock'),
    path.resolve(import.meta.dirname, '../../node_modules/fs-native-extensions'),
  ]
  const script = `const fd = require('fs').openSync(${JSON.stringify(lock)}, 'r+'); require(${JSON.stringify(addon)}).waitForLock(fd).then(() => { console.log('locked'); setInterval(() => {}, 1000) })`
  const holder = new Running(process.execPath, ['-e', script], { cwd: repo.dir, env: process.env })
  await until(() => holder.stdout, 'the lock is taken')
  return holder
}

/** Sends a signal to a process that may be gone already. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It is gone.
  }
}

export const git = (cwd: string, ...args: readonly string[]): string =>
  execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()

/** A folder that goes with the run. */
export const folder = (name = 'f-'): string => fs.realpathSync(fs.mkdtempSync(path.join(inject('runFolder'), name)))

/** Lets every user of this machine in: `dir` and what is above it, as far as it is the run's own. What is above that is not ours to open. */
export function openToAll(dir: string): void {
  const run = fs.realpathSync(inject('runFolder'))
  if (dir !== run && !dir.startsWith(`${run}${path.sep}`)) throw new Error(`not of this run: ${dir}`)
  for (let each = dir; ; each = path.dirname(each)) {
    fs.chmodSync(each, 0o755)
    if (each === run) return
  }
}

/** A new repository with one commit's worth of nothing in it. */
export function repository(): Repo {
  const dir = folder('repo-')
  git(dir, 'init', '-q')
  return new Repo(dir)
}

/** A repository with its store. */
export class Repo {
  readonly dir: string
  readonly store: string
  /** Other processes write meanwhile, so a refusal cannot be told to have written nothing by comparing. */
  busy = false

  constructor(dir: string, store = path.join(dir, '.git', 'leasehold')) {
    this.dir = dir
    this.store = store
  }

  /** An agent that works here. */
  as(agent: string | null, env: NodeJS.ProcessEnv = {}): Agent {
    return new Agent(this, this.dir, agent === null ? env : { LEASEHOLD_AGENT_ID: agent, ...env })
  }

  get logFile(): string {
    return path.join(this.store, 'claims.jsonl')
  }

  /** The log's bytes as text; empty when there is none. */
  log(): string {
    return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, 'utf8') : ''
  }

  /** The log's records, parsed. */
  records(): readonly Doc[] {
    return this.log()
      .split('\n')
      .filter(line => line !== '')
      .map(line => parse(line))
      .filter(record => record.op !== 'segment')
  }

  /** `op resource` of each record, oldest first: what happened, in few words. */
  story(): readonly string[] {
    return this.records().map(({ op, resource, resources, session }) => `${op} ${resource ?? resources?.join('+') ?? session.name}`)
  }

  /** Every file below the store, with its content's hash: what must not change when nothing may be written. */
  snapshot(): Readonly<Record<string, string>> {
    const found: Record<string, string> = {}
    if (!fs.existsSync(this.store)) return found
    for (const name of fs.readdirSync(this.store, { recursive: true, encoding: 'utf8' })) {
      const file = path.join(this.store, name)
      found[name] = fs.statSync(file).isFile() ? createHash('sha256').update(fs.readFileSync(file)).digest('hex') : 'directory'
    }
    return found
  }
}

/** Somebody with an environment and a directory, who runs `lh`. Words of the first argument are split at blanks, the rest is taken as is. */
export class Agent {
  readonly repo: Repo
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv

  constructor(repo: Repo, cwd: string, env: NodeJS.ProcessEnv) {
    this.repo = repo
    this.cwd = cwd
    this.env = env
  }

  with(env: NodeJS.ProcessEnv): Agent {
    return new Agent(this.repo, this.cwd, { ...this.env, ...env })
  }

  in(cwd: string): Agent {
    return new Agent(this.repo, cwd, this.env)
  }

  start(words: string, ...more: readonly string[]): Running {
    return this.startWith([], words, ...more)
  }

  /** Runs it under another program, such as faketime. */
  startWith(wrapper: readonly string[], words: string, ...more: readonly string[]): Running {
    const [program, ...args] = [...wrapper, process.execPath, executable, ...words.split(' ').filter(word => word !== ''), ...more]
    return new Running(program!, args, { cwd: this.cwd, env: { ...process.env, ...this.env } })
  }

  run(words: string, ...more: readonly string[]): Promise<Result> {
    return this.start(words, ...more).ended
  }

  /** Runs with `--json` and gives the document of a success: exit 0, one line on standard output, nothing on standard error. */
  async ok(words: string, ...more: readonly string[]): Promise<Doc> {
    const result = await this.run(`--json ${words}`, ...more)
    expect(result, `${words} ${more.join(' ')}`).toMatchObject({ code: 0, signal: null, stderr: '' })
    return success(result)
  }

  /** Runs with `--json` and gives the error of a refusal, which has the exit code of its name and has written nothing. */
  async refused(code: Code, words: string, ...more: readonly string[]): Promise<Doc> {
    const before = this.repo.log()
    const result = await this.run(`--json ${words}`, ...more)
    const error = failure(result, code, `${words} ${more.join(' ')}`)
    // The first command that would write makes the store, whatever it is then told: an empty log with its header.
    const after = this.repo.log()
    if (!this.repo.busy && !(before === '' && this.repo.records().length === 0)) expect(after, 'the log after a refusal').toBe(before)
    return error
  }

  /** Acquires and gives the lease. */
  async acquire(words: string, ...more: readonly string[]): Promise<Doc> {
    return (await this.ok(`claim acquire ${words}`, ...more)).lease
  }

  /** The lease of a resource as anybody sees it, or undefined. */
  async lease(resource: string): Promise<Doc> {
    return (await this.ok('claim list')).leases.find((lease: Doc) => lease.resource === resource)
  }

  async history(...words: readonly string[]): Promise<readonly Doc[]> {
    return (await this.ok('claim history', ...words)).operations
  }
}

/** The document of a success. */
export function success({ stdout }: Result): Doc {
  expect(stdout.endsWith('\n') && stdout.indexOf('\n') === stdout.length - 1, `one line of JSON: ${stdout}`).toBe(true)
  const document = parse(stdout)
  expect(document.ok).toBe(true)
  return document
}

/** The error of a failure, of the documented shape. */
export function failure({ code, stdout, stderr }: Result, expected: Code, what = ''): Doc {
  expect({ code, stderr, stdout }, what).toMatchObject({ code: exits[expected], stderr: '' })
  expect(stdout.endsWith('\n') && stdout.indexOf('\n') === stdout.length - 1, `one line of JSON: ${stdout}`).toBe(true)
  const document = parse(stdout)
  expect(Object.keys(document)).toEqual(['ok', 'error'])
  expect(document.ok).toBe(false)
  const { error } = document
  expect(Object.keys(error).filter(key => !['code', 'exit', 'message', 'hint', 'holder', 'details'].includes(key))).toEqual([])
  expect(error).toMatchObject({ code: expected, exit: exits[expected] })
  expect(error.message).toMatch(/\S/)
  expect(typeof error.hint).toBe('string')
  return error
}
