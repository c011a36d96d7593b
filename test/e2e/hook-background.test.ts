import { spawn, type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect } from 'vitest'
import { folder, git, isRunning, repository, signal, sleep, until } from '../support/cli.ts'
import { Home, hookProgram, passed, runHook } from '../support/hook.ts'
import { requires } from '../support/skip.ts'

// A session that stopped while something of it goes on: no hook is called, and a process of its own renews its leases.

const linux = requires(process.platform === 'linux', 'finds processes in /proc')

const working = { background_tasks: [{ id: 'b', type: 'shell', status: 'running', command: 'make' }] }

const started: Scene[] = []

/** A session of a client that runs, with a lease of three seconds. */
class Scene {
  readonly home = new Home()
  readonly repo = repository()
  readonly client: ChildProcess = spawn('sleep', ['600'], { stdio: 'ignore' })
  readonly id = `busy-${this.client.pid}`
  readonly env = { CLAUDE_PID: String(this.client.pid), CLAUDE_CODE_SESSION_ID: this.id }
  readonly me = this.home.session(this.id, this.repo.dir, this.env)
  readonly agent = this.repo.as(null, { ...this.env, HOME: this.home.dir })

  constructor() {
    started.push(this)
    this.repo.busy = true
  }

  /** The processes that renew for this session. */
  keepers(): readonly number[] {
    return processes().filter(pid => {
      const args = argumentsOf(pid)
      return args.includes('--keep') && args.some(arg => arg.includes(`"${this.id}"`))
    })
  }

  async stopped(): Promise<number> {
    expect(await this.me.stop(working)).toEqual(passed)
    // It is there before it is at work, and what comes next may overtake it.
    await until(() => this.keeperFiles.length > 0, 'a process has begun to renew')
    return until(() => this.keepers()[0], 'a process renews')
  }

  /** Ends the client, and waits until nothing of the session runs. */
  async close(): Promise<void> {
    signal(this.client.pid!, 'SIGKILL')
    await until(() => this.keepers().length === 0, 'nothing renews any more')
  }

  get keeperFiles(): readonly string[] {
    return this.home.files().filter(name => name.startsWith('session-keeper-'))
  }
}

const processes = (): readonly number[] =>
  fs
    .readdirSync('/proc')
    .filter(name => /^[0-9]+$/.test(name))
    .map(Number)
    .filter(isRunning)

function argumentsOf(pid: number): readonly string[] {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

afterEach(async () => {
  const scenes = started.splice(0)
  await Promise.all(scenes.map(scene => scene.close()))
  for (const scene of scenes) expect(scene.keepers()).toEqual([])
})

/** For how long it took until something was so, milliseconds. */
/** Ends, not only at the next renewal of a lease of 30 s. */
async function expectEnd(pid: number): Promise<void> {
  const start = performance.now()
  await until(() => !isRunning(pid), 'it has ended')
  expect(performance.now() - start).toBeLessThan(5000)
}

describe('a session that works in the background', () => {
  linux.it(
    'keeps its leases for longer than they last, and loses them with its client',
    async () => {
      const scene = new Scene()
      const { token } = await scene.agent.acquire('fix-it --ttl 3')
      const pid = await scene.stopped()
      await sleep(9500)
      expect(await scene.agent.lease('ticket:fix-it')).toMatchObject({ token, standing: 'live' })
      // Renewed as seldom as by hooks: a fifth of the lease after the last time.
      const beats = scene.repo.story().filter(line => line.startsWith('heartbeat')).length
      expect(beats).toBeGreaterThan(4)
      expect(beats).toBeLessThan(20)
      // It stands in the way of nobody.
      expect(fs.readlinkSync(`/proc/${pid}/cwd`)).toBe('/')
      expect(fs.readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain(scene.id)
      for (const fd of [0, 1, 2]) expect(fs.readlinkSync(`/proc/${pid}/fd/${fd}`)).toBe('/dev/null')
      signal(scene.client.pid!, 'SIGKILL')
      await expectEnd(pid)
      expect(scene.keeperFiles).toEqual([])
      expect(scene.home.log()).toBe('')
      await until(async () => (await scene.agent.lease('ticket:fix-it'))?.standing !== 'live', 'the lease is over')
    },
    60_000,
  )

  linux.it(
    'keeps a lease too that it took meanwhile and that is shorter',
    async () => {
      const scene = new Scene()
      await scene.agent.acquire('env:long')
      await scene.stopped()
      await until(() => scene.repo.story().includes('heartbeat env:long'), 'the long one was renewed')
      const { token } = await scene.agent.acquire('env:short --ttl 4')
      await sleep(6500)
      expect(await scene.agent.lease('env:short')).toMatchObject({ token, standing: 'live' })
      expect(scene.repo.story().filter(line => line === 'heartbeat env:short').length).toBeLessThan(12)
    },
    60_000,
  )

  linux.it(
    'keeps its leases also when their store did not answer while it stopped',
    async () => {
      const scene = new Scene()
      await scene.agent.acquire('fix-it --ttl 30')
      await scene.me.write(`${scene.repo.dir}/a`)
      // One that is new is renewed at once.
      const { token } = await scene.agent.acquire('env:new --ttl 30')
      const log = scene.repo.logFile
      const sound = fs.readFileSync(log)
      fs.writeFileSync(log, Buffer.alloc(sound.length, 'x\n'))
      expect(await scene.me.stop(working)).toEqual(passed)
      expect(scene.home.log()).toContain(' claude stop ')
      fs.writeFileSync(log, sound)
      await until(() => scene.repo.story().includes('heartbeat env:new'), 'it is renewed')
      expect(await scene.agent.lease('env:new')).toMatchObject({ token, standing: 'live' })
    },
    60_000,
  )

  linux.it(
    'has one such process, however often it stops',
    async () => {
      const scene = new Scene()
      await scene.agent.acquire('fix-it --ttl 30')
      expect(await Promise.all([1, 2, 3].map(() => scene.me.stop(working)))).toEqual([passed, passed, passed])
      await until(() => scene.keepers().length === 1, 'one is left')
      const [first] = scene.keepers()
      await scene.stopped()
      await sleep(500)
      expect(scene.keepers()).toEqual([first])
      expect(scene.keeperFiles).toHaveLength(1)
    },
    60_000,
  )

  linux.it(
    'has none when it ends, stops for good, or holds nothing any more',
    async () => {
      for (const over of [
        (scene: Scene) => scene.me.end(),
        (scene: Scene) => scene.me.stop(),
        (scene: Scene) => scene.agent.run('claim release fix-it'),
      ]) {
        const scene = new Scene()
        await scene.agent.acquire('fix-it --ttl 30')
        const pid = await scene.stopped()
        expect((await over(scene)).code).toBe(0)
        await expectEnd(pid)
        expect(scene.keeperFiles).toEqual([])
        expect(scene.home.records()).toEqual([])
      }
    },
    60_000,
  )

  linux.it(
    'goes on with a new one after it ended',
    async () => {
      const scene = new Scene()
      await scene.agent.acquire('fix-it --ttl 30')
      const first = await scene.stopped()
      expect(await scene.me.end()).toEqual(passed)
      expect(await scene.me.stop(working)).toEqual(passed)
      await until(() => !isRunning(first) && scene.keepers().length === 1, 'the first has ended, another renews')
      await sleep(1200)
      expect(scene.keepers()).toHaveLength(1)
      signal(scene.keepers()[0]!, 'SIGTERM')
      await until(() => scene.keepers().length === 0, 'it was told to end')
      expect(scene.keeperFiles).toEqual([])
    },
    60_000,
  )

  linux.it(
    'is told at its next write of a lease that was lost meanwhile',
    async () => {
      const scene = new Scene()
      await scene.agent.acquire('fix-it --ttl 5')
      const pid = await scene.stopped()
      git(scene.repo.dir, 'commit', '-q', '--allow-empty', '-m', 'x')
      const elsewhere = path.join(folder('wts-'), 'boss')
      git(scene.repo.dir, 'worktree', 'add', '-q', elsewhere)
      const boss = scene.repo.as('human:boss').in(elsewhere)
      expect((await boss.run('claim evict fix-it --reason', 'mine now')).code).toBe(0)
      await boss.acquire('fix-it')
      await until(() => !isRunning(pid), 'it has ended')
      expect(scene.keeperFiles).toEqual([])
      expect(await scene.me.write(`${scene.repo.dir}/a`)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('your lease of ticket:fix-it is lost'),
      })
    },
    60_000,
  )

  linux.it(
    'keeps its lock fresh too, and takes none',
    async () => {
      const scene = new Scene()
      const env = { ...scene.env, LEASEHOLD_SESSION_LOCK_TTL: '10s' }
      const me = scene.home.session(scene.id, scene.repo.dir, env)
      await scene.agent.acquire('fix-it --ttl 30')
      await me.write(`${scene.repo.dir}/a`)
      expect(await me.stop(working)).toEqual(passed)
      const [before] = scene.home.records()
      await until(() => (scene.home.records()[0]?.clk.m ?? 0) > before.clk.m, 'it is refreshed')
      expect(scene.home.records()).toEqual([expect.objectContaining({ session_id: scene.id, pid: scene.client.pid, ttl_ms: 3_600_000 })])
      for (const name of scene.home.files()) if (/^session-lock-.*json$/.test(name)) fs.rmSync(path.join(scene.home.runtime, name))
      await sleep(1500)
      expect(scene.home.records()).toEqual([])
      expect(scene.keepers()).toHaveLength(1)
    },
    60_000,
  )

  linux.it(
    'is not gone on for without leases, or without a client that is known',
    async () => {
      const scene = new Scene()
      await scene.me.write(`${scene.repo.dir}/a`)
      expect(await scene.me.stop(working)).toEqual(passed)
      await scene.agent.acquire('fix-it --ttl 30')
      expect(await scene.home.session(scene.id, scene.repo.dir).stop(working)).toEqual(passed)
      await sleep(500)
      expect(scene.keepers()).toEqual([])
      expect(scene.keeperFiles).toEqual([])
    },
    60_000,
  )

  linux.it(
    'stops as usual when the process cannot be started, with one line in the log',
    async () => {
      const scene = new Scene()
      await scene.agent.acquire('fix-it --ttl 30')
      const broken = path.join(folder('bin-'), 'node')
      fs.copyFileSync(process.execPath, broken)
      const payload = JSON.stringify({ session_id: scene.id, cwd: scene.repo.dir, hook_event_name: 'Stop', ...working })
      // Nothing can be started from a path where nothing is.
      const preload = path.join(folder('pre-'), 'gone.cjs')
      fs.writeFileSync(preload, `require('node:fs').unlinkSync(process.execPath)\n`)
      const result = await runHook(['stop', '--agent', 'claude'], payload, { HOME: scene.home.dir, ...scene.env }, scene.repo.dir, [
        broken,
        '--require',
        preload,
        hookProgram,
      ])
      expect(result).toEqual(passed)
      expect(scene.home.log()).toMatch(/^\S+Z claude stop leases are not renewed in the background: [^\n]+\n$/)
      expect(scene.keepers()).toEqual([])
    },
    60_000,
  )
})
