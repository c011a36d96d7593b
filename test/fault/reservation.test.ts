import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Coordinator } from '../../src/coordinator.ts'
import type { Answer } from '../../src/coordinator.ts'
import { processState } from '../../src/host/process.ts'
import { recover } from '../../src/store/file/recover.ts'
import { verifyLog } from '../../src/store/file/verify.ts'
import { bob } from '../support/cast.ts'
import { brokenHistory, historyOf, scale, widePolicy } from '../support/fault.ts'
import { openReal } from '../support/fault-processes.ts'
import type { Asked, ReservationTask } from '../support/worker-reservation.ts'

// Launchers and agents that are really killed: what a launch in flight holds is a lock of the kernel, and nothing else.

const root = path.resolve(import.meta.dirname, '../..')
const keys = ['ticket:t1', 'worktree:w1', 'branch:work/t1']

let folder: string
let worker: string
let directory: string
/** Groups and processes that a test started. */
let started: ChildProcess[]
let agents: number[]

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leasehold-launchers-'))
  worker = path.join(folder, 'worker.mjs')
  await build({
    entryPoints: [path.join(root, 'test/support/worker-reservation.ts')],
    outfile: worker,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  })
  fs.mkdirSync(path.join(folder, 'node_modules'))
  fs.symlinkSync(path.join(root, 'node_modules/fs-native-extensions'), path.join(folder, 'node_modules/fs-native-extensions'))
})
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

beforeEach(() => {
  directory = path.join(fs.mkdtempSync(path.join(folder, 'store-')), 'leasehold')
  started = []
  agents = []
})

afterEach(() => {
  for (const child of started) child.kill('SIGKILL')
  for (const pid of agents) end(pid)
})

/** Ends an agent with all that it started; each is the leader of its group. */
function end(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It is gone.
  }
}

class Launcher {
  readonly child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #closed: Promise<NodeJS.Signals | null>

  constructor(task: Partial<ReservationTask>) {
    const whole: ReservationTask = { directory, resources: keys, launchId: 'LAUNCH', ...task }
    this.child = spawn(process.execPath, [worker, JSON.stringify(whole)], { stdio: ['pipe', 'pipe', 'inherit'] })
    // It may be dead before it reads.
    this.child.stdin!.on('error', () => {})
    started.push(this.child)
    this.#lines = readline.createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]()
    this.#closed = new Promise(resolve => this.child.once('exit', (_code, signal) => resolve(signal)))
  }

  /** The next thing that it says; null when it has died. */
  async says(): Promise<(Asked & { readonly ready?: boolean }) | null> {
    const { value, done } = await this.#lines.next()
    if (done === true) return null
    const said = JSON.parse(value) as Asked
    if (typeof said.agent === 'number') agents.push(said.agent)
    return said
  }

  tell(word: 'commit' | 'abandon' | 'exit'): Promise<(Asked & { readonly ready?: boolean }) | null> {
    this.child.stdin!.write(`${word}\n`)
    return this.says()
  }

  kill(): Promise<NodeJS.Signals | null> {
    this.child.kill('SIGKILL')
    return this.#closed
  }

  closed(): Promise<NodeJS.Signals | null> {
    return this.#closed
  }
}

const coordinator = (): Coordinator => new Coordinator(openReal(directory), widePolicy, 'test')
const acquire = (resource = keys[0]!): Promise<Answer> => coordinator().acquire({ holder: bob }, { resources: [resource] })
const reserveHere = (): Promise<Answer> =>
  coordinator().reserve({ holder: bob }, { resources: keys, note: { launchId: 'HERE', role: 'dev', agentId: bob.agentId }, ttlSecs: 30 })
const locks = (): readonly string[] => fs.readdirSync(path.join(directory, 'locks')).filter(name => /^(live|reserve)-/.test(name))

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 5))
}

/** The first yes. The kernel takes a moment for the locks of a process that is over, and until then it counts as living. */
async function granted<T extends { readonly ok: boolean }>(ask: () => Promise<T>): Promise<T> {
  let answer = await ask()
  await until(async () => answer.ok || (answer = await ask()).ok)
  return answer
}

describe('many launchers at once', () => {
  async function race(tasks: readonly Partial<ReservationTask>[]): Promise<readonly Asked[]> {
    const go = path.join(path.dirname(directory), 'go')
    const all = tasks.map((task, at) => new Launcher({ ...task, launchId: `L${at}`, go }))
    for (const each of all) expect((await each.says())?.ready).toBe(true)
    fs.writeFileSync(go, '')
    return Promise.all(all.map(async each => (await each.says())!))
  }

  it('32 of one ticket: one gets it, and the others are told who', { timeout: 120_000 }, async () => {
    const answers = await race(Array.from({ length: 32 }, () => ({})))
    const [winner, ...more] = answers.filter(({ ok }) => ok)
    expect(more).toEqual([])
    for (const loser of answers.filter(({ ok }) => !ok)) {
      expect(loser).toMatchObject({ kind: 'reserved', pid: winner!.pid })
      expect(loser.ageMs).toBeGreaterThanOrEqual(0)
    }
    expect(await historyOf(openReal(directory))).toEqual([])
  })

  it('and acquirers of it, in parts and as a whole: never two', { timeout: 120_000 }, async () => {
    const resources = (at: number): readonly string[] => (at % 3 === 0 ? keys : [keys[0]!])
    const answers = await race(Array.from({ length: 16 }, (_, at) => ({ acquire: at % 2 === 0, resources: resources(at) })))
    expect(answers.filter(({ ok }) => ok)).toHaveLength(1)
    expect(new Set(answers.filter(({ ok }) => !ok).map(({ kind }) => kind))).toEqual(
      new Set([answers.findIndex(({ ok }) => ok) % 2 === 0 ? 'held' : 'reserved']),
    )
  })
})

describe('a launcher that is killed', () => {
  it('while nothing else runs frees its keys at once, and leaves nothing that blocks', async () => {
    const launcher = new Launcher({})
    expect(await launcher.says()).toMatchObject({ ok: true })
    expect(await acquire()).toMatchObject({ ok: false, refusal: { kind: 'reserved', reservation: { pid: launcher.child.pid } } })
    expect(await launcher.kill()).toBe('SIGKILL')
    expect((await openReal(directory).view()).reservations()).toEqual([])
    for (const key of keys) expect(await acquire(key)).toMatchObject({ ok: true })
    expect(await historyOf(openReal(directory))).toHaveLength(3)
    expect((await recover(openReal(directory), false)).removed).toHaveLength(4)
    expect(locks()).toEqual([])
  })

  it('while its agent runs leaves the reservation to that, which is shown; with the agent’s end it is free at once', async () => {
    const launcher = new Launcher({ agent: 'sleep 600' })
    const { agent } = (await launcher.says())!
    await launcher.kill()
    const view = await openReal(directory).view()
    for (const key of keys)
      expect(view.reservation(key)).toMatchObject({ resource: key, launcherAlive: false, pid: launcher.child.pid, agent: { pid: agent } })
    for (const asked of [acquire(), reserveHere()])
      expect(await asked).toMatchObject({ ok: false, refusal: { kind: 'reserved', reservation: { launcherAlive: false } } })
    expect((await recover(openReal(directory), false)).removed, 'nothing of it is a leftover').toEqual([])
    expect(view.reservations()).toHaveLength(3)
    end(agent!)
    const answer = await granted(reserveHere)
    expect(locks(), 'and the next launch has removed what was left').toHaveLength(4)
    if (answer.ok) for (const lock of [answer.reservation, answer.liveLock]) lock?.close()
  })

  it('of which only what its agent started is left, still holds it', async () => {
    const pidFile = path.join(folder, `grandchild-${path.basename(path.dirname(directory))}`)
    const launcher = new Launcher({ agent: `sleep 600 & echo $! > ${pidFile}; exit 0` })
    await launcher.says()
    await until(() => fs.existsSync(pidFile) && fs.readFileSync(pidFile, 'utf8').endsWith('\n'))
    await launcher.kill()
    expect(await acquire()).toMatchObject({ ok: false, refusal: { kind: 'reserved', reservation: { launcherAlive: false } } })
    const grandchild = Number(fs.readFileSync(pidFile, 'utf8'))
    process.kill(grandchild, 'SIGKILL')
    expect(await granted(acquire)).toMatchObject({ ok: true })
  })

  it('after its claim leaves the claim to the agent, and no reservation', async () => {
    const launcher = new Launcher({ agent: 'sleep 600' })
    const { agent } = (await launcher.says())!
    expect(await launcher.tell('commit')).toMatchObject({ ok: true })
    await launcher.kill()
    const view = await openReal(directory).view()
    expect(view.reservations()).toEqual([])
    expect(view.life(view.session('LAUNCH')!)).toBe('alive')
    expect(await acquire()).toMatchObject({ ok: false, refusal: { kind: 'launched', standing: 'live' } })
    end(agent!)
    const taken = await granted(acquire)
    expect(taken).toMatchObject({ ok: true, ended: [{}, {}, {}] })
    const [, evicted] = await historyOf(openReal(directory))
    expect(evicted!.operation).toMatchObject({
      op: 'auto-evict',
      reason: 'holder-dead',
      sessions: [{ sessionId: 'LAUNCH', state: 'ended' }],
    })
    expect(locks()).toEqual([])
  })
})

describe('a launch that is given up', () => {
  it('is free although a process that it started keeps the descriptors', async () => {
    const launcher = new Launcher({ agent: 'sleep 600' })
    const { agent } = (await launcher.says())!
    expect(await launcher.tell('abandon')).toMatchObject({ ok: true })
    expect(processState(agent!)).not.toBeNull()
    expect(locks()).toEqual([])
    expect((await openReal(directory).view()).reservations()).toEqual([])
    expect(await acquire()).toMatchObject({ ok: true })
  })

  it('by removing its file is lost to the launcher, who writes nothing', async () => {
    const launcher = new Launcher({ agent: 'sleep 600' })
    await launcher.says()
    for (const name of locks()) if (name.startsWith('reserve-')) fs.unlinkSync(path.join(directory, 'locks', name))
    expect(await acquire()).toMatchObject({ ok: true })
    expect(await launcher.tell('commit')).toMatchObject({ ok: false, kind: 'unavailable' })
    expect(await launcher.tell('abandon')).toMatchObject({ ok: true })
    const entries = await historyOf(openReal(directory))
    expect(entries.map(({ operation }) => operation.op)).toEqual(['acquire'])
    expect(locks()).toEqual([])
  })
})

describe('a launcher that dies at a call to the disk', () => {
  /** Whether it was killed there; false when it had no so many calls. */
  async function dyingAt(dieAt: number, dieFrom: 'reserve' | 'commit'): Promise<boolean> {
    const launcher = new Launcher({ dieAt, dieFrom, launchId: `L${dieAt}`, segmentBytes: 4096 })
    const asked = await launcher.says()
    if (dieFrom === 'reserve') {
      if (asked === null) return (await launcher.closed()) === 'SIGKILL'
      await launcher.kill()
      return false
    }
    expect(asked).toMatchObject({ ok: true })
    const committed = await launcher.tell('commit')
    await launcher.kill()
    return committed === null
  }

  it.each(['reserve', 'commit'] as const)(
    'of its %s leaves all of it or nothing, and nothing that blocks',
    { timeout: 300_000 },
    async dieFrom => {
      await acquire('env:first')
      // Every call in a longer run.
      const step = Math.max(1, Math.round((dieFrom === 'reserve' ? 3 : 1) / scale))
      let died = 0
      let claims = 0
      for (let at = 0; at < 200; at += step) {
        if (!(await dyingAt(at, dieFrom))) break
        died++
        const view = await openReal(directory).view()
        expect(view.reservations(), `call ${at}`).toEqual([])
        const session = view.session(`L${at}`)
        for (const key of keys) expect(view.lease(key) !== null, `call ${at}: ${key}`).toBe(session !== null)
        if (session !== null) {
          claims++
          expect(view.life(session), `call ${at}`).toBe('dead')
        }
        const taken = await acquire()
        expect(taken, `call ${at}`).toMatchObject({ ok: true })
        if (!taken.ok) return
        await coordinator().release({ holder: bob }, { target: { resource: keys[0]! } })
        expect([...(await openReal(directory).view()).sessions()]).toEqual([])
        expect(locks().length, `call ${at}`).toBeLessThan(14)
      }
      expect(died * step).toBeGreaterThan(dieFrom === 'reserve' ? 40 : 15)
      if (dieFrom === 'commit') expect(claims * step).toBeGreaterThan(1)
      else expect(claims).toBe(0)
      expect(brokenHistory(await historyOf(openReal(directory)))).toBeNull()
      expect(verifyLog(fs, openReal(directory).layout).faults).toEqual([])
      // The last one was not killed in time.
      await coordinator().sweep({ holder: bob })
      await recover(openReal(directory), false)
      expect(locks()).toEqual([])
    },
  )
})
