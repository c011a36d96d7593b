import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, failure, isRunning, type Running, success, until } from '../support/cli.ts'
import {
  accepted,
  ending,
  environmentOf,
  id,
  known,
  launched,
  launching,
  noted,
  opening,
  person,
  processesOf,
  stage,
  starts,
  tell,
  untell,
  wrote,
} from '../support/launch.ts'
import { commit, linked, putTicket } from '../support/tickets.ts'

// One ticket, one agent, however many launch it.

const key = `ticket:${id}`

describe('at the same moment', () => {
  it('twenty launches of one ticket start one agent', { timeout: 120_000 }, async () => {
    const all = stage()
    const spellings = ['fix-login', id, `ticket:${id}`, '20260607', `TICKET:${id.toUpperCase()}`]
    const launches = Array.from({ length: 20 }, (_, at) =>
      all.launcher.start(`--json launch ${spellings[at % spellings.length]} --role dev --ready fd`, ...all.agent('work')),
    )
    const won = await until(() => launches.find(each => each.stdout.includes('"ok":true')), 'one of them has started its agent')
    const lost = await Promise.all(launches.filter(each => each !== won).map(each => each.ended))
    for (const result of lost) {
      const error = failure(result, 'held')
      expect(error.message).toContain(key)
      expect(error.hint).toMatch(/lh why|lh session show/)
    }
    expect(starts(all)).toHaveLength(1)
    expect(processesOf(all.dir).filter(pid => pid === starts(all)[0])).toHaveLength(1)
    expect(all.repo.story()).toEqual([`acquire ${key}`])
    const { leases, sessions, pending } = await known(all)
    expect([leases.length, sessions.length, pending.length]).toEqual([1, 1, 0])
    await ending(all, won)
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
  })

  it('those that fail leave the ticket to the next', { timeout: 120_000 }, async () => {
    const all = stage()
    const launches = Array.from({ length: 6 }, () => all.launcher.run(launching, ...all.agent('exit', '1')))
    for (const { code } of await Promise.all(launches)) expect([3, 10]).toContain(code)
    expect(all.repo.story()).toEqual([])
    const { running } = await launched(all)
    await ending(all, running)
  })

  it('launches of several tickets do not hinder each other', { timeout: 120_000 }, async () => {
    const all = stage()
    const ids = ['20260101-000000-one', '20260101-000000-two', '20260101-000000-three']
    for (const each of ids) putTicket(all.repo.dir, each)
    commit(all.repo.dir)
    const launches = ids.map(each => all.launcher.start(`--json launch ${each} --role dev --ready fd`, ...all.agent('work')))
    const docs = await Promise.all(launches.map(each => accepted(each)))
    expect(new Set(docs.map(({ lease }) => lease.token)).size).toBe(3)
    expect((await known(all)).sessions).toHaveLength(3)
    tell(all, 'stop')
    for (const each of launches) expect((await each.ended).code).toBe(0)
  })
})

describe('by mistake', () => {
  it('under another spelling, from another worktree, with a worktree, and by next: refused in the same way', async () => {
    const all = stage()
    const elsewhere = linked(all.repo, 'other')
    const running = all.launcher.start(launching, ...all.agent('late'))
    await until(() => starts(all).length > 0, 'the agent is there')
    const attempts = async (standing: RegExp): Promise<void> => {
      for (const [agent, words] of [
        [all.launcher, `--json launch ${id} --role dev --ready fd`],
        [all.launcher, `--json launch TICKET:${id.toUpperCase()} --role intake --ready fd`],
        [all.launcher.in(elsewhere), launching],
        [all.launcher.in(path.join(elsewhere, '.leasehold')), `--json launch ${id} --role dev --ready fd`],
        [all.launcher, '--json work fix-login --ready fd'],
      ] as const) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const error = failure(await agent.run(words, ...all.agent('work')), 'held', words)
        expect(error.message, words).toMatch(standing)
      }
      expect((await all.b.ok('ticket next --claim')).ticket).toBeNull()
      expect((await all.b.in(elsewhere).ok('ticket next --claim')).ticket).toBeNull()
    }
    await attempts(/is reserved: .* is being launched/)
    tell(all, 'go')
    await accepted(running)
    await attempts(/session dev-fix-login .*is live/)
    expect(starts(all)).toHaveLength(1)
    expect(all.repo.story()).toEqual([`acquire ${key}`])
    await ending(all, running)
  })

  it('also where the launcher was named as the agent that holds it', async () => {
    const all = stage()
    const { running, doc } = await launched(all, `${launching} --agent agent:one`)
    const again = await all.launcher.run(`${launching} --agent agent:one`, ...all.agent('work'))
    expect(failure(again, 'held').message).toContain('which is live')
    // Nor is it somebody else's who merely has the same name.
    const same = failure(await all.launcher.with({ LEASEHOLD_AGENT_ID: 'agent:one' }).run('--json claim acquire fix-login'), 'held')
    expect(same.holder).toMatchObject({ agent_id: 'agent:one', session_id: doc.session.session_id })
    await all.launcher.with({ LEASEHOLD_AGENT_ID: 'agent:one' }).run('--json claim release fix-login')
    expect((await known(all)).leases).toHaveLength(1)
    await ending(all, running)
  })

  it('nobody waits for what they hold themselves', async () => {
    const all = stage()
    await all.launcher.acquire('fix-login')
    const own = failure(await all.launcher.run(launching, ...all.agent('work')), 'held')
    expect(own.message).toMatch(/^you hold ticket:\S+ yourself/)
    await all.launcher.ok(own.hint.replace('give it back first: lh ', ''))
    expect((await launched(all)).doc.ok).toBe(true)
  })

  it('nor with lh work --wait in the worktree where they hold it', async () => {
    const all = stage()
    await all.launcher.ok('worktree add fix-login')
    await all.launcher.in(all.place).acquire('fix-login')
    const own = failure(await all.launcher.in(all.place).run('--json work fix-login --ready fd --wait=1h', ...all.agent('work')), 'held')
    expect(own.message).toMatch(/^you hold ticket:\S+ yourself/)
    expect(starts(all)).toEqual([])
  })

  it('a ticket that a person holds is not launched for, whoever that is', async () => {
    const all = stage()
    await person(all).acquire('fix-login')
    const error = failure(await all.launcher.with({ LEASEHOLD_AGENT_ID: 'human:ada' }).run(launching, ...all.agent('work')), 'held')
    expect(error.holder).toMatchObject({ agent_id: 'human:ada' })
    expect(starts(all)).toEqual([])
  })
})

describe('while another launch is in flight', () => {
  it('no worktree is made for one that is refused', async () => {
    const all = stage()
    const first = all.launcher.start(launching, ...all.agent('late'))
    await until(() => starts(all).length === 1, 'the agent is there')
    for (const words of ['launch fix-login --role dev --worktree --ready fd', 'work fix-login --ready fd'])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      failure(await all.launcher.run(`--json ${words}`, ...all.agent('work')), 'held')
    failure(await all.b.run('--json worktree add fix-login'), 'held')
    expect(fs.existsSync(all.place)).toBe(false)
    tell(all, 'go')
    await accepted(first)
    await ending(all, first)
  })

  it('lh work --wait launches when the ticket is free, also in a worktree that is there already', async () => {
    const all = stage()
    await all.b.ok('worktree add fix-login')
    const first = all.launcher.start(launching, ...all.agent('late'))
    await until(() => starts(all).length === 1, 'the agent is there')
    failure(await all.launcher.run('--json work fix-login --ready fd --wait=300ms', ...all.agent('work')), 'timeout')
    const second = all.launcher.start('work fix-login --ready fd --wait=60s', ...all.agent('env'))
    await until(() => second.stderr.includes('waiting…'), 'it waits')
    expect(starts(all)).toHaveLength(1)
    tell(all, 'stop')
    tell(all, 'go')
    expect(await first.ended).toMatchObject({ code: 0 })
    expect(await second.ended).toMatchObject({ code: 0 })
    expect(wrote(all, 'pwd')).toEqual([all.place])
    expect((await known(all)).leases).toEqual([])
  })
})

describe('of a session that is being opened again', () => {
  it('one agent is started', { timeout: 120_000 }, async () => {
    const all = stage()
    const { running } = await launched(all, opening, ...all.claude)
    await ending(all, running)
    const resumes = Array.from({ length: 6 }, () => all.launcher.start('--json session resume dev-fix-login'))
    const won = await until(() => resumes.find(each => each.stdout.includes('"ok":true')), 'one of them has started its agent')
    const lost = await Promise.all(resumes.filter(each => each !== won).map(each => each.ended))
    for (const result of lost) failure(result, 'held')
    expect(starts(all)).toHaveLength(2)
    expect((await known(all)).leases).toHaveLength(1)
    await ending(all, won)
  })

  it('one agent is started where it has no ticket either, and those that are refused leave it alone', { timeout: 120_000 }, async () => {
    const all = stage()
    const { running } = await launched(all, '--json launch --no-ticket --role review', ...all.claude)
    await ending(all, running)
    const resumes = Array.from({ length: 4 }, () => all.launcher.with({ CLAUDE_DOES: 'wait' }).start('--json session resume review'))
    const lost = (each: Running): boolean => each.child.exitCode !== null
    await until(() => resumes.filter(lost).length === 3, 'all but one are refused')
    for (const each of resumes.filter(lost)) failure(await each.ended, 'held')
    expect((await known(all)).pending).toMatchObject([
      { resource: expect.stringMatching(/^session:/), role: 'review', launcher_alive: true },
    ])
    tell(all, 'go')
    const won = resumes.find(each => !lost(each))!
    await accepted(won)
    expect(starts(all)).toHaveLength(2)
    expect((await known(all)).pending).toEqual([])
    expect(await ending(all, won)).toMatchObject({ code: 0 })
  })

  it('what a killed launcher left of one without a ticket is shown, and ended by the next', { timeout: 120_000 }, async () => {
    const all = stage()
    const { running } = await launched(all, '--json launch --no-ticket --role review', ...all.claude)
    await ending(all, running)
    const orphaned = async (): Promise<number> => {
      const count = starts(all).length
      const killed = all.launcher.with({ CLAUDE_DOES: 'hang' }).start('--json session resume review')
      await until(() => starts(all).length > count, 'the agent is there')
      const agent = starts(all).at(-1)!
      await noted(all, agent)
      killed.kill('SIGKILL')
      await killed.exited
      return agent
    }
    const first = await orphaned()
    const again = all.launcher.start('--json session resume review')
    await accepted(again)
    expect(isRunning(first)).toBe(false)
    await ending(all, again)
    const second = await orphaned()
    const [pending] = (await known(all)).pending
    expect(pending).toMatchObject({ launcher_alive: false, agent_pid: second })
    await all.launcher.ok(pending!.open.replace('lh ', ''))
    expect(isRunning(second)).toBe(false)
    expect(await known(all)).toMatchObject({ pending: [], sessions: [{ name: 'review', standing: 'restorable' }] })
  })

  it('what its agent of before left running is left alone when it cannot be opened', async () => {
    const all = stage()
    const { running } = await launched(all, opening, ...all.claude)
    const left = spawn('sleep', ['1007'], { detached: true, stdio: 'ignore', env: { ...environmentOf(starts(all)[0]!) } })
    await ending(all, running)
    expect(await all.launcher.with({ CLAUDE_DOES: 'reject' }).run('--json session resume dev-fix-login')).toMatchObject({ code: 10 })
    expect(isRunning(left.pid!)).toBe(true)
    left.kill('SIGKILL')
  })

  it('it is reserved meanwhile, for another launch too', async () => {
    const all = stage()
    const { running } = await launched(all, opening, ...all.claude)
    await ending(all, running)
    const resuming = all.launcher.with({ CLAUDE_DOES: 'wait' }).start('--json session resume dev-fix-login')
    await until(() => starts(all).length === 2, 'the agent is there')
    failure(await all.launcher.run(opening, ...all.claude), 'held')
    const twice = failure(await all.launcher.run('--json session resume dev-fix-login'), 'held')
    expect(twice.hint).toMatch(/or open it again when that has ended$/)
    expect((await known(all)).pending).toEqual([expect.objectContaining({ resource: key, launcher_pid: resuming.pid, role: 'dev' })])
    tell(all, 'go')
    const doc: Doc = await accepted(resuming)
    expect(isRunning(doc.pid)).toBe(true)
    await ending(all, resuming)
    untell(all, 'go')
    success(await person(all).run('--json session end dev-fix-login --reason done'))
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
  })
})
