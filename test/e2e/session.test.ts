import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type Doc, exits, failure, git, isRunning, signal, until } from '../support/cli.ts'
import type { Stage } from '../support/launch.ts'
import {
  accepted,
  ending,
  expectRetryWorks,
  id,
  known,
  launched,
  launching,
  locksOf,
  opening,
  person,
  processesOf,
  stage,
  starts,
  tell,
  wrote,
} from '../support/launch.ts'
import { requires } from '../support/skip.ts'

// What becomes of a session: it lives, it can be opened again, nobody can tell, or it is over. Facts decide, and each says its command.

const key = `ticket:${id}`

const standingOf = async (all: Stage, name = 'dev-fix-login'): Promise<string> =>
  (await person(all).ok(`session show ${name}`)).session.standing

/** Has been launched, has ended, and its client still has it. */
async function restorable(all: Stage): Promise<Doc> {
  const { running, doc } = await launched(all, opening, ...all.claude)
  expect((await ending(all, running)).code).toBe(0)
  return doc
}

describe('one that can be opened again', () => {
  it('says so when the place in which it worked is gone, and what can be done then', async () => {
    const all = stage()
    const { running, doc } = await launched(all, `${opening} --worktree`, ...all.claude)
    await ending(all, running)
    fs.rmSync(doc.session.cwd, { recursive: true })
    const { message, hint } = await person(all).refused('policy', 'session resume dev-fix-login')
    expect(message).toBe(`session dev-fix-login worked in ${doc.session.cwd}, and that is gone`)
    // Nor is anybody sent there.
    const seen = { standing: 'restorable', open: 'lh session end dev-fix-login' }
    expect((await known(all)).sessions).toMatchObject([seen])
    const { session } = await person(all).ok('session show dev-fix-login')
    expect(session).toMatchObject(seen)
    expect(session.facts[0]).toBe(`it worked in ${doc.session.cwd}, and that is gone`)
    expect((await person(all).ok('why fix-login')).next).toBe(seen.open)
    const lies = `session dev-fix-login worked in ${doc.session.cwd}, and what is there now is not its worktree (${doc.session.worktree_id})`
    fs.mkdirSync(doc.session.cwd)
    expect(await person(all).refused('policy', 'session resume dev-fix-login')).toMatchObject({ message: lies, hint })
    fs.rmdirSync(doc.session.cwd)
    git(all.repo.dir, 'worktree', 'add', '-q', '-f', '-f', doc.session.cwd, 'HEAD')
    expect(await person(all).refused('policy', 'session resume dev-fix-login')).toMatchObject({ message: lies, hint })
    expect(starts(all)).toHaveLength(1)
    await all.launcher.ok(hint.replace(/^.*: lh /, ''))
    await all.b.acquire('fix-login')
  })

  it('keeps its claim without a deadline, outside the limits, and is shown so everywhere', async () => {
    const all = stage()
    const doc = await restorable(all)
    const { leases, sessions, pending } = await known(all)
    expect(pending).toEqual([])
    expect(leases).toMatchObject([{ resource: key, token: doc.lease.token, ttl_secs: 0, expires_at: null }])
    expect(sessions).toMatchObject([{ standing: 'restorable', state: 'restorable', exit_code: 0, open: 'lh session resume dev-fix-login' }])
    expect(sessions[0].client_session_ids).toHaveLength(1)
    expect(sessions[0].resume_command).toContain(sessions[0].client_session_ids[0])
    expect(sessions[0].stored).toBe(all.stored()[0])
    const why = await person(all).ok('why fix-login')
    expect(why).toMatchObject({ next: 'lh session resume dev-fix-login', session: { standing: 'restorable' } })
    // Nobody is offered its ticket meanwhile, and nothing is wrong with it.
    expect((await person(all).ok('ticket next')).ticket).toBeNull()
    expect((await person(all).ok('ticket list --ready')).tickets).toEqual([])
    const codes = (await person(all).ok('doctor')).findings.map(({ code }: Doc) => code)
    expect(codes.filter((code: string) => /^(lease|claim)-/.test(code))).toEqual([])
    const text = (await person(all).run('status')).stdout
    expect(text).toContain('restorable')
    const refused = await all.b.refused('held', 'claim acquire fix-login')
    expect(refused.hint).toContain('lh session resume dev-fix-login')
    for (const words of ['launch fix-login --role dev --worktree --ready fd -- true', 'worktree add fix-login']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await all.b.refused('held', words)).toMatchObject({ hint: expect.stringContaining('lh session resume dev-fix-login') })
    }
  })

  it('is told to whoever launched it', async () => {
    const all = stage()
    const running = all.launcher.start('launch fix-login --role dev', ...all.claude)
    await until(() => running.stderr.includes('is live'), 'it works')
    const { stderr } = await ending(all, running)
    expect(stderr).toContain('its claim is kept: lh session resume dev-fix-login, or lh session end dev-fix-login')
    const bare = all.launcher.start('launch --no-ticket --role review', ...all.claude)
    await until(() => bare.stderr.includes('is live'), 'it works')
    expect((await ending(all, bare)).stderr).toContain('it can be opened again: lh session resume review, or lh session end review')
  })

  it('is opened again under a new token, by the command that its client needs, and keeps its name', async () => {
    const all = stage()
    const before = await restorable(all)
    const running = all.launcher.start('--json session resume dev-fix-login')
    const doc = await accepted(running)
    expect(doc).toMatchObject({
      resumed: true,
      session: { name: 'dev-fix-login', session_id: before.session.session_id, standing: 'live' },
    })
    expect(doc.lease.token).toBeGreaterThan(before.lease.token)
    expect(wrote(all, 'calls')[1]).toContain(`--resume ${before.session.client_session_ids[0] ?? doc.session.client_session_ids[0]}`)
    expect(all.repo.story().at(-1)).toBe(`resume ${key}`)
    await all.b.refused('superseded', `claim check fix-login --token ${before.lease.token}`)
    await all.b.ok(`claim check fix-login --token ${doc.lease.token}`)
    expect(failure(await all.launcher.run('--json session resume dev-fix-login'), 'held').message).toContain('live')
    await ending(all, running)
    expect(await standingOf(all)).toBe('restorable')
  })

  it('stays as it is when it cannot be opened: rejected, hung, or its launcher was stopped', async () => {
    const all = stage()
    const doc = await restorable(all)
    const [before, locks] = [all.repo.story(), locksOf(all)]
    expect(locks).toHaveLength(1)
    const after = async (what: string): Promise<void> => {
      expect(processesOf(all.dir), what).toEqual([])
      expect(all.repo.story(), what).toEqual(before)
      const { leases, sessions, pending } = await known(all)
      expect([leases.map(({ token }) => token), sessions.map(({ standing }) => standing), pending], what).toEqual([
        [doc.lease.token],
        ['restorable'],
        [],
      ])
      // The lock of the first agent stays, since the record names it.
      expect(locksOf(all), what).toEqual(locks)
    }
    expect((await all.launcher.with({ CLAUDE_DOES: 'reject' }).run('session resume dev-fix-login')).code).toBe(exits.launch_failed)
    await after('rejected')
    expect((await all.launcher.with({ CLAUDE_DOES: 'hang' }).run('session resume dev-fix-login --ready-timeout 1s')).code).toBe(
      exits.launch_failed,
    )
    await after('hung')
    const running = all.launcher.with({ CLAUDE_DOES: 'hang' }).start('session resume dev-fix-login')
    await until(() => starts(all).length === 4, 'the agent is there')
    running.kill('SIGTERM')
    expect((await running.ended).code).toBe(exits.launch_failed)
    await after('stopped')
    const killed = all.launcher.with({ CLAUDE_DOES: 'hang' }).start('session resume dev-fix-login')
    await until(() => starts(all).length === 5, 'the agent is there')
    killed.kill('SIGKILL')
    await killed.exited
    expect((await known(all)).pending).toMatchObject([{ resource: key, launcher_alive: false }])
    const last = all.launcher.start('--json session resume dev-fix-login')
    await accepted(last)
    expect(starts(all).filter(isRunning)).toHaveLength(1)
    await ending(all, last)
  })

  it('whose client has lost it is gone: the next one gets the ticket, and the end is recorded', async () => {
    const all = stage()
    await restorable(all)
    for (const file of all.stored()) fs.rmSync(file)
    expect(await standingOf(all)).toBe('dead')
    expect((await all.launcher.run('session resume dev-fix-login')).code).toBe(exits.policy)
    const { running } = await launched(all, opening, ...all.claude)
    expect(all.repo.records().find(({ op }) => op === 'auto-evict')).toMatchObject({ reason: 'holder-dead' })
    await ending(all, running)
  })

  it('is given up by a person: its launcher without a reason, another with one', async () => {
    const all = stage()
    await restorable(all)
    const error = await all.b.refused('policy', 'session end dev-fix-login')
    expect(error.hint).toContain('--reason')
    expect(await all.b.ok('session end dev-fix-login --reason', 'not needed')).toMatchObject({
      released: [key],
      session: { standing: 'ended' },
    })
    expect(all.repo.records().at(-1)).toMatchObject({ op: 'force-evict', actor: 'agent:b', reason: 'not needed' })
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
    const { running } = await launched(all, opening, ...all.claude)
    await ending(all, running)
    const name = (await known(all)).sessions[0].name as string
    expect(await all.launcher.ok(`session end ${name}`)).toMatchObject({ released: [key] })
    expect(all.repo.records().at(-1)).toMatchObject({ op: 'release' })
    await all.b.acquire('fix-login')
  })

  it('is not given back by its claim alone: a release ends the claim, and the session can still be opened', async () => {
    const all = stage()
    const doc = await restorable(all)
    await person(all).ok(`claim release ${doc.lease.lease_id} --token ${doc.lease.token}`)
    expect((await known(all)).leases).toEqual([])
    await all.b.acquire('fix-login')
    expect(await person(all).ok('claim list')).toMatchObject({ leases: [{ holder: { agent_id: 'agent:b' } }] })
  })

  it('is none when its client keeps nothing, or its agent could never be opened', async () => {
    const all = stage()
    const first = all.launcher.with({ CLAUDE_DOES: 'forget' }).start(opening, ...all.claude)
    await accepted(first)
    await ending(all, first)
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
    await expectRetryWorks(all)
  })

  it('whose ticket was done meanwhile is over when its agent ends', async () => {
    const all = stage()
    const { running, doc } = await launched(all, opening, ...all.claude)
    const agent = all.launcher.with({ LEASEHOLD_AGENT_ID: doc.session.agent_id, LEASEHOLD_SESSION_ID: doc.session.session_id })
    await agent.ok('ticket start fix-login')
    await agent.ok('ticket done fix-login')
    expect(await standingOf(all)).toBe('live')
    await ending(all, running)
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
  })
})

describe('one that lives', () => {
  it('is ended with its agent and all that it started', async () => {
    const all = stage()
    const { running, doc } = await launched(all, launching, ...all.agent('run', 'sh', '-c', 'setsid sleep 1001 & sleep 1002'))
    await until(() => processesOf(all.dir).length >= 4, 'all of it is there')
    expect((await all.b.refused('policy', 'session end dev-fix-login')).message).toContain('human:Test')
    const ended = await all.launcher.ok('session end dev-fix-login')
    expect(ended.session).toMatchObject({ standing: 'ended' })
    await running.exited
    expect(processesOf(all.dir)).toEqual([])
    expect(isRunning(doc.pid)).toBe(false)
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
    expect((await person(all).ok('session show dev-fix-login')).session.standing).toBe('ended')
    expect((await person(all).ok('session list')).sessions).toEqual([])
  })

  it('is ended by another by their word, which is kept whoever records the end first', async () => {
    const all = stage()
    const { running } = await launched(all)
    await all.b.ok('session end dev-fix-login --reason', 'it hangs')
    await running.exited
    const { session } = await person(all).ok('session show dev-fix-login')
    expect(session).toMatchObject({ standing: 'ended', end_reason: 'it hangs' })
    const lines = (await person(all).run('claim history')).stdout.split('\n')
    expect(lines.find(line => line.includes('agent:b') && line.includes('(it hangs)'))).toBeDefined()
    expect((await person(all).ok('verify')).ok).toBe(true)
  })

  it('is not reclaimed and not resumed, and says where it works', async () => {
    const all = stage()
    const { running } = await launched(all)
    const reclaimed = await all.b.refused('held', 'session reclaim dev-fix-login --reason', 'I want it')
    expect(reclaimed.message).toContain('is live, not stale')
    expect((await all.launcher.run('session reclaim dev-fix-login')).code).toBe(exits.usage)
    expect(failure(await all.launcher.run('--json session resume dev-fix-login', ...all.agent('work')), 'held').message).toContain('live')
    await all.b.refused('not_found', 'session show nothing-like-it')
    await ending(all, running)
  })

  it('whose supervisor was killed lives on, beyond its TTL, and nobody gets its ticket', async () => {
    const all = stage()
    const { running, doc } = await launched(all, `${launching} --ttl 1s`)
    running.kill('SIGKILL')
    await running.exited
    await until(async () => (await person(all).lease(key)).remaining_secs < 0, 'its TTL is over')
    expect(await standingOf(all)).toBe('live')
    await all.b.refused('held', 'claim acquire fix-login')
    failure(await all.launcher.run(launching, ...all.agent('work')), 'held')
    expect((await all.b.ok('claim list --sweep')).leases).toHaveLength(1)
    expect(isRunning(doc.pid)).toBe(true)
    signal(doc.pid, 'SIGKILL')
    await until(() => !isRunning(doc.pid), 'it is gone')
    await until(async () => (await standingOf(all)) === 'dead', 'that is seen')
    await all.b.acquire('fix-login')
    expect(all.repo.records().filter(({ op }) => op === 'auto-evict')).toMatchObject([{ reason: 'holder-dead' }])
    expect((await known(all)).sessions).toEqual([])
  })

  it('whose supervisor was killed before the client had stored it can be opened again all the same', async () => {
    const all = stage()
    const running = all.launcher.with({ CLAUDE_DOES: 'late' }).start(opening, ...all.claude)
    const { pid } = await accepted(running)
    expect(all.stored()).toEqual([])
    running.kill('SIGKILL')
    await running.exited
    tell(all, 'go')
    const [file] = await until(() => (all.stored().length > 0 ? all.stored() : null), 'the client has stored it')
    signal(pid, 'SIGKILL')
    await until(() => !isRunning(pid), 'it is gone')
    await until(async () => (await standingOf(all)) !== 'live', 'that is seen')
    const { session } = await person(all).ok('session show dev-fix-login')
    expect(session.standing).toBe('restorable')
    expect(session.facts).toContain(`its client still has the session: ${file}`)
    await all.b.refused('held', 'claim acquire fix-login')
    const again = all.launcher.start('--json session resume dev-fix-login')
    await accepted(again)
    await ending(all, again)
  })

  it('whose agent has ended, but not what it started, is not dead', async () => {
    const all = stage()
    const { running, doc } = await launched(all, launching, ...all.agent('run', 'sh', '-c', 'setsid sleep 1001 & sleep 1002'))
    await until(() => processesOf(all.dir).length >= 4, 'all of it is there')
    running.kill('SIGKILL')
    await running.exited
    signal(doc.pid, 'SIGKILL')
    await until(() => !isRunning(doc.pid), 'the agent is gone')
    expect(await standingOf(all)).toBe('live')
    await all.b.refused('held', 'claim acquire fix-login')
    for (const pid of processesOf(all.dir)) signal(pid, 'SIGKILL')
    await until(() => processesOf(all.dir).length === 0, 'all of it is gone')
    await all.b.acquire('fix-login')
  })
})

const unshares = (): boolean => {
  try {
    execFileSync('unshare', ['--pid', '--fork', '--mount-proc', '--kill-child', 'true'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}

requires(unshares(), 'needs root, for a process namespace of its own').describe('one of which nobody can tell whether it lives', () => {
  const container = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']

  it('is refused with the command that ends it, and ends by a person’s word only', async () => {
    const all = stage()
    const running = all.launcher.startWith(container, `${launching} --ttl 2s`, ...all.agent('work'))
    await accepted(running)
    expect(await standingOf(all)).toBe('live')
    // Its supervisor renews, now and then.
    all.repo.busy = true
    await all.b.refused('held', 'session reclaim dev-fix-login --reason', 'too early')
    // The container is gone; from here nobody can see that.
    running.kill('SIGKILL')
    await running.ended
    all.repo.busy = false
    await until(() => processesOf(all.dir).length === 0, 'nothing runs')
    await until(async () => (await standingOf(all)) === 'stale', 'it is silent for too long')
    const { sessions, leases } = await known(all)
    expect(sessions).toMatchObject([{ standing: 'stale', open: 'lh session reclaim dev-fix-login --reason "…"' }])
    expect(leases).toHaveLength(1)
    const before = all.repo.story()
    for (const words of ['claim acquire fix-login', 'ticket start fix-login']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const error = await all.b.refused('held', words)
      expect(error.hint).toContain('lh session reclaim dev-fix-login --reason')
      expect(error.details).toMatchObject({ stale: true })
    }
    const launch = failure(await all.launcher.run(launching, ...all.agent('work')), 'held')
    expect(launch.message).toContain(`${key} is claimed by session dev-fix-login (role dev`)
    expect(launch.hint).toMatch(/lh session reclaim dev-fix-login --reason .*lh why/)
    expect((await all.b.ok('ticket next --claim')).ticket).toBeNull()
    expect((await all.b.ok('claim list --sweep')).leases).toHaveLength(1)
    expect(all.repo.story()).toEqual(before)
    expect(await all.b.ok('session reclaim dev-fix-login --reason', 'that container is gone')).toMatchObject({ released: [key] })
    expect(all.repo.records().at(-1)).toMatchObject({ op: 'force-evict', actor: 'agent:b', reason: 'that container is gone' })
    await expectRetryWorks(all)
    expect(starts(all)).toHaveLength(2)
  })

  it('comes back by a sign of life', async () => {
    const all = stage()
    const running = all.launcher.startWith(container, `${launching} --ttl 2s`, ...all.agent('work'))
    const doc = await accepted(running)
    running.kill('SIGKILL')
    await running.ended
    await until(async () => (await standingOf(all)) === 'stale', 'it is silent for too long')
    await person(all).ok(`claim heartbeat ${doc.lease.lease_id} --token ${doc.lease.token}`)
    expect(await standingOf(all)).toBe('live')
    await all.b.refused('held', 'session reclaim dev-fix-login --reason', 'too early')
  })
})
