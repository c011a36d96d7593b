import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Doc, type Running, exits, failure, isRunning, parse, signal, until } from '../support/cli.ts'
import { needsEtcd, startEtcd } from '../support/etcd.ts'
import type { Etcd } from '../support/etcd.ts'
import { accepted, ending, id, known, launched, launching, opening, person, stage, starts, tell, untell } from '../support/launch.ts'
import type { Stage } from '../support/launch.ts'

// A session that is opened again, in files and in etcd: one agent for it, whoever asks when, and nothing is lost when that fails.

const key = `ticket:${id}`
const kinds = [
  ['with a claim', opening, 'dev-fix-login'],
  ['without one', '--json launch --no-ticket --role review', 'review'],
] as const

const countOf = (text: string, part: string): number => text.split(part).length - 1

/** Opens it as soon as that is possible: what a dead launcher holds in etcd lapses after a while. */
async function untilOpened(all: Stage, name: string): Promise<Running> {
  for (;;) {
    const next = all.launcher.start(`--json session resume ${name}`)
    // oxlint-disable-next-line no-await-in-loop -- one try after the other
    const doc = await until(() => (next.stdout.includes('\n') ? parse(next.stdout) : null), 'it says what became of it')
    if (doc.ok === true) return next
    // oxlint-disable-next-line no-await-in-loop -- as above
    failure(await next.ended, 'held')
  }
}

function tests(open: () => Stage): void {
  /** A session that can be opened again. */
  async function restorable(words: string = opening): Promise<{ readonly all: Stage; readonly doc: Doc }> {
    const all = open()
    const { running, doc } = await launched(all, words, ...all.claude)
    expect(await ending(all, running)).toMatchObject({ code: 0 })
    return { all, doc }
  }

  /** Its agent is being started, and has not answered. */
  async function opened(all: Stage, name: string): Promise<Running> {
    const count = starts(all).length
    const running = all.launcher.with({ CLAUDE_DOES: 'wait' }).start(`--json session resume ${name}`)
    await until(() => starts(all).length > count, 'the agent is there')
    return running
  }

  async function goesOn(all: Stage, running: Running): Promise<void> {
    tell(all, 'go')
    const { pid } = await accepted(running)
    expect(isRunning(pid)).toBe(true)
    expect(await ending(all, running)).toMatchObject({ code: 0 })
    untell(all, 'go')
  }

  describe.each(kinds)('%s', (_what, words, name) => {
    it('is opened once, however many try', { timeout: 120_000 }, async () => {
      const { all, doc } = await restorable(words)
      const resumes = [1, 2, 3, 4].map(() => all.launcher.with({ CLAUDE_DOES: 'wait' }).start(`--json session resume ${name}`))
      await until(() => resumes.filter(each => each.child.exitCode !== null).length === 3, 'all but one are refused')
      for (const each of resumes) if (each.child.exitCode !== null) failure(await each.ended, 'held')
      expect(starts(all)).toHaveLength(2)
      await goesOn(
        all,
        resumes.find(each => each.child.exitCode === null)!,
      )
      const { leases } = await known(all)
      for (const lease of leases) expect(lease.token).toBeGreaterThan(doc.lease.token)
    })

    it('is as it was when it cannot be opened', async () => {
      const { all } = await restorable(words)
      const before = await known(all)
      const failed = await all.launcher.with({ CLAUDE_DOES: 'reject' }).run(`session resume ${name}`)
      expect(failed.code).toBe(exits.launch_failed)
      const stopped = await opened(all, name)
      stopped.kill('SIGTERM')
      expect((await stopped.ended).code).toBe(exits.launch_failed)
      const after = await known(all)
      expect(after.pending).toEqual([])
      expect(after.sessions).toMatchObject([
        { standing: 'restorable', leases: before.sessions[0].leases.map(({ token }: Doc) => ({ token })) },
      ])
      expect(after.leases).toMatchObject(before.leases.map(({ token, standing }) => ({ token, standing })))
      await person(all).ok('verify')
      await goesOn(all, await opened(all, name))
    })

    it('is not ended while it is opened: the launcher is named, which can be stopped', async () => {
      const { all } = await restorable(words)
      const running = await opened(all, name)
      for (const how of ['end', 'reclaim']) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const error = await all.b.refused('held', `session ${how} ${name} --reason enough`)
        expect(error.message).toContain(`session ${name} is being opened again by pid ${running.pid}`)
        expect(error.hint).toContain(`kill ${running.pid}`)
      }
      if (words === opening) await all.b.refused('held', 'session end fix-login --reason enough')
      expect(isRunning(starts(all)[1]!)).toBe(true)
      await goesOn(all, running)
      await all.b.ok(`session end ${name} --reason enough`)
      expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
    })

    it('is shown with its launcher and its agent while it is opened', async () => {
      const { all } = await restorable(words)
      const running = await opened(all, name)
      const pids = { launcher_pid: running.pid, launcher_alive: true, agent_pid: starts(all)[1] }
      const pending = await until(async () => {
        const [found] = (await known(all)).pending
        return typeof found?.agent_pid === 'number' ? found : null
      }, 'the agent is noted')
      expect(pending).toMatchObject(pids)
      const { session } = await person(all).ok(`session show ${name}`)
      expect(session).toMatchObject({ standing: 'restorable', open: `lh session show ${name}` })
      expect(session.facts[0]).toMatch(`its agent is being started again by process ${running.pid}, since `)
      if (words === opening) {
        const why = await person(all).ok('why fix-login')
        expect(why).toMatchObject({
          pending: pids,
          frees_when: 'not now: its agent is being started again',
          next: `lh session show ${name}`,
        })
        expect(why.evidence[0]).toMatch(`its agent is being started again by process ${running.pid}, since `)
      }
      await goesOn(all, running)
    })

    it('is ended at once when its launcher was killed, with what that left', async () => {
      const { all } = await restorable(words)
      const killed = await opened(all, name)
      killed.kill('SIGKILL')
      await killed.exited
      await all.b.ok(`session end ${name} --reason enough`)
      expect(starts(all).filter(isRunning)).toEqual([])
      expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
      await person(all).ok('verify')
    })

    it('is opened by the next when its launcher was killed, and what that left is ended', { timeout: 120_000 }, async () => {
      const { all } = await restorable(words)
      const killed = await opened(all, name)
      killed.kill('SIGKILL')
      await killed.exited
      const next = await untilOpened(all, name)
      expect(isRunning(starts(all)[1]!)).toBe(false)
      expect(await ending(all, next)).toMatchObject({ code: 0 })
      expect((await known(all)).pending).toEqual([])
    })
  })
}

describe('in files', () => tests(() => stage()))

needsEtcd.describe('in etcd', () => {
  let etcd: Etcd
  let spaces = 0
  beforeAll(async () => void (etcd = await startEtcd()))
  afterAll(() => etcd.stop())

  const open = (): Stage => {
    const all = stage()
    fs.writeFileSync(path.join(all.repo.dir, '.leasehold/config.yaml'), `store: etcd://${etcd.address}/opening${++spaces}\n`)
    return all
  }
  tests(open)

  it('a launcher that stood still until another one opened it opens nothing', { timeout: 120_000 }, async () => {
    const all = open()
    const { running } = await launched(all, opening, ...all.claude)
    await ending(all, running)
    const slow = all.launcher.with({ CLAUDE_DOES: 'wait' }).start('--json session resume dev-fix-login')
    await until(() => starts(all).length === 2, 'the agent is there')
    slow.kill('SIGSTOP')
    const next = await untilOpened(all, 'dev-fix-login')
    tell(all, 'go')
    slow.kill('SIGCONT')
    expect((await slow.ended).code).not.toBe(0)
    expect(starts(all).filter(isRunning)).toHaveLength(1)
    expect((await known(all)).sessions).toMatchObject([{ standing: 'live' }])
    expect(await ending(all, next)).toMatchObject({ code: 0 })
  })

  it('what a slow supervisor says of the agent before changes nothing once another one works', { timeout: 120_000 }, async () => {
    const all = open()
    const { running: slow, doc } = await launched(all, opening, ...all.claude)
    slow.kill('SIGSTOP')
    signal(doc.pid, 'SIGKILL')
    await until(async () => (await known(all)).sessions[0].standing === 'restorable', 'its agent is gone')
    const next = all.launcher.start('--json session resume dev-fix-login')
    const again = await accepted(next)
    slow.kill('SIGCONT')
    await slow.ended
    const { leases, sessions } = await known(all)
    expect(sessions).toMatchObject([{ standing: 'live', state: 'live', witness: { pid: again.pid } }])
    expect(leases).toMatchObject([{ token: again.lease.token, ttl_secs: again.lease.ttl_secs }])
    expect(isRunning(again.pid)).toBe(true)
    expect(fs.readFileSync(path.join(all.repo.store, 'held.json'), 'utf8')).toContain(`"token":${again.lease.token}`)
    expect(await ending(all, next)).toMatchObject({ code: 0 })
    expect((await known(all)).sessions).toMatchObject([{ standing: 'restorable' }])
  })

  it('an agent is not ended, and its claim goes on, when etcd does not answer for less than a TTL', { timeout: 120_000 }, async () => {
    const own = await startEtcd()
    try {
      const all = stage()
      fs.writeFileSync(path.join(all.repo.dir, '.leasehold/config.yaml'), `store: etcd://${own.address}/away\n`)
      const { running, doc } = await launched(all, `${launching} --ttl 8s`)
      own.process.kill('SIGSTOP')
      // As often as it is asked it says nothing: longer than the holder of any other lease would go on.
      await until(() => countOf(running.stderr, 'could not be renewed') === 3, 'it is away')
      own.process.kill('SIGCONT')
      const lease = await until(async () => {
        const found = await person(all).lease(key)
        return found?.remaining_secs > 6 ? found : null
      }, 'it is renewed again')
      expect(lease).toMatchObject({ token: doc.lease.token, standing: 'live' })
      expect([isRunning(doc.pid), running.child.exitCode]).toEqual([true, null])
      expect(await ending(all, running)).toMatchObject({ code: 0 })
    } finally {
      await own.stop()
    }
  })

  it.each([
    ['for its ticket', launching, key],
    ['without one', '--json launch --no-ticket --role review --ready fd', expect.stringMatching(/^session:/) as string],
  ])('a launch in flight %s is shown with its launcher and its agent, and ends as it should', async (_what, words, resource) => {
    const all = open()
    const begin = async (): Promise<Running> => {
      const count = starts(all).length
      const running = all.launcher.start(words, ...all.agent('late'))
      await until(() => starts(all).length > count, 'the agent is there')
      return running
    }
    const running = await begin()
    const pids = { resource, launcher_pid: running.pid, launcher_alive: true, agent_pid: starts(all)[0] }
    const pending = await until(async () => {
      const [found] = (await known(all)).pending
      return typeof found?.agent_pid === 'number' ? found : null
    }, 'the agent is noted')
    expect(pending).toMatchObject(pids)
    expect((await person(all).ok(`why ${pending.resource}`)).pending).toMatchObject(pids)
    tell(all, 'go')
    await accepted(running)
    expect((await known(all)).pending).toEqual([])
    expect(await ending(all, running)).toMatchObject({ code: 0 })
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
    untell(all, 'go')
    const stopped = await begin()
    stopped.kill('SIGTERM')
    expect((await stopped.ended).code).toBe(exits.launch_failed)
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
    await person(all).ok('verify')
  })
})
