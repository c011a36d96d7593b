import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, executable, failure, git, isRunning, parse, sleep, success, until } from '../support/cli.ts'
import type { Stage } from '../support/launch.ts'
import {
  accepted,
  ending,
  environmentOf,
  expectNothingLeft,
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
import { eventsIn, fieldOf, ticketBytes } from '../support/tickets.ts'
import { read } from '../support/work.ts'

// What a launch promises: a claim exists once the agent has been seen to work, and as long as it lives.

const key = `ticket:${id}`

/** The names of environment variables are the contract with the agent. */
const ours = (lines: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(lines.filter(line => line.startsWith('LEASEHOLD_')).map(line => line.split('=', 2) as [string, string]))

describe('a client that tells by its hooks that it works', () => {
  it('may name no event in what it sends, as Copilot does', async () => {
    const all = stage()
    await all.launcher.ok('hooks install copilot')
    const sent = JSON.stringify({ sessionId: 'c', timestamp: 1, cwd: '/', toolName: 'bash', toolArgs: { command: 'ls' } })
    const copilot = path.join(all.dir, 'copilot')
    const hook = `"${process.execPath}" "${path.join(path.dirname(executable), 'hook.cjs')}" before-tool --agent copilot`
    fs.writeFileSync(copilot, `#!/bin/sh\necho '${sent}' | ${hook}\nexec "${all.agent('work')[1]}" alive\n`, { mode: 0o755 })
    const running = all.launcher.start('--json launch fix-login --role dev --ready hook', '--', copilot)
    const { session } = await accepted(running)
    expect(session.evidence).toMatchObject({ kind: 'hook', seen: 'pre-tool-use hook, tool bash' })
    expect(await ending(all, running)).toMatchObject({ code: 0 })
  })
})

describe('what the launch of an intake was asked for', () => {
  it('a failed launch of a ticket that nobody had leaves no claim and no record', async () => {
    const all = stage()
    const result = await all.launcher.run(launching, ...all.agent('exit', '1'))
    expect(failure({ ...result, stderr: '' }, 'launch_failed').hint).toContain('nothing was claimed')
    await expectNothingLeft(all, [])
    expect((await person(all).ok('claim history')).operations).toEqual([])
    expect((await person(all).ok('why fix-login')).standing).toBe('free')
  })

  it('a launch that succeeds writes exactly one claim, for the agent that was launched, with its session in the same record', async () => {
    const all = stage()
    const { running, doc } = await launched(all)
    const records = all.repo.records()
    expect(all.repo.story()).toEqual([`acquire ${key}`])
    const [record] = records
    const [agent] = starts(all)
    expect(record.holder).toMatchObject({ agent_id: doc.session.agent_id, session_id: doc.session.session_id, witness: { pid: agent } })
    expect(record.session ?? record.sessions[0]).toMatchObject({
      session_id: doc.session.session_id,
      name: 'dev-fix-login',
      role: 'dev',
      origin: 'ticket-claim',
      related_tickets: [id],
      peers: [],
      evidence: { kind: 'ready-fd', confirmed: true },
      state: 'live',
      launched_by: 'human:Test',
    })
    const { leases, sessions, pending } = await known(all)
    expect([leases.length, sessions.length, pending.length]).toEqual([1, 1, 0])
    expect(leases[0]).toMatchObject({ resource: key, token: 1, lease_id: doc.lease.lease_id, bound: true, standing: 'live' })
    expect((await ending(all, running)).code).toBe(0)
    expect(all.repo.story()).toEqual([`acquire ${key}`, `release ${key}`])
  })

  it('a program that is named from where somebody stands below the top is that one; the agent works at the top', async () => {
    const all = stage()
    const below = path.join(all.repo.dir, 'tools')
    fs.mkdirSync(below)
    fs.symlinkSync(all.agent()[1]!, path.join(below, 'agent.sh'))
    const running = all.launcher.in(below).start(launching, '--', './agent.sh', 'env')
    const doc = await accepted(running)
    expect(doc.session.cwd).toBe(all.repo.dir)
    expect(wrote(all, 'pwd')).toEqual([all.repo.dir])
    await ending(all, running)
  })

  it('a launch after a failed one is not in the way of itself', async () => {
    const all = stage()
    for (const words of [['exit', '1'], ['closes'], ['signal', 'KILL']]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await all.launcher.run(launching, ...all.agent(...words))).code).toBe(10)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectRetryWorks(all)
    }
    expect(all.repo.story()).toEqual(Array.from({ length: 3 }, () => [`acquire ${key}`, `release ${key}`]).flat())
  })

  it('a claim that is live blocks a second launch, and says where its agent works', async () => {
    const all = stage()
    const { running, doc } = await launched(all)
    const second = failure(await all.launcher.run(launching, ...all.agent('work')), 'held')
    expect(second.message).toBe(`${key} is claimed by session dev-fix-login (role dev, ${doc.session.agent_id}), which is live`)
    expect(second.hint).toContain('lh session show dev-fix-login')
    expect(second.hint).toContain(`lh why ${key}`)
    expect(starts(all)).toHaveLength(1)
    await ending(all, running)
  })

  it('a claim that can be opened again blocks a second launch, and says how', async () => {
    const all = stage()
    const { running } = await launched(all, opening, ...all.claude)
    expect((await ending(all, running)).code).toBe(0)
    const second = failure(await all.launcher.run(opening, ...all.claude), 'held')
    expect(second.message).toContain('session dev-fix-login (role dev')
    expect(second.message).toContain('which is restorable')
    expect(second.hint).toContain('lh session resume dev-fix-login')
    expect(starts(all)).toHaveLength(1)
  })

  it('a client that is rejected, or that is never answered, has been started and is not claimed for', async () => {
    const all = stage()
    const rejected = await all.launcher.with({ CLAUDE_DOES: 'reject' }).run(opening, ...all.claude)
    expect(failure({ ...rejected, stderr: '' }, 'launch_failed').message).toContain('Invalid API key')
    await expectNothingLeft(all, [], 'rejected')
    const hung = await all.launcher.with({ CLAUDE_DOES: 'hang' }).run(`${opening} --ready-timeout 1s`, ...all.claude)
    const error = failure({ ...hung, stderr: '' }, 'launch_failed')
    expect(error).toMatchObject({ details: { step: 'client started' } })
    await expectNothingLeft(all, [], 'hung')
    expect(all.stored()).toEqual([])
    await expectRetryWorks(all)
  })

  it('the doctor of the tickets has nothing to say, whatever was launched', async () => {
    const all = stage()
    await all.launcher.run(launching, ...all.agent('exit', '1'))
    await expectRetryWorks(all)
    const { findings } = await person(all).ok('ticket doctor')
    // The ticket of the stage was written by hand.
    expect(findings.map(({ code }: Doc) => code)).toEqual(['events-missing'])
    await person(all).ok('verify')
  })
})

describe('while the agent starts', () => {
  it('its ticket is reserved: shown with the launcher, and refused to everybody else', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('late'))
    await until(() => starts(all).length > 0, 'the agent is there')
    const { pending, leases } = await known(all)
    expect(leases).toEqual([])
    expect(pending).toEqual([
      expect.objectContaining({ resource: key, launcher_pid: running.pid, launcher_alive: true, role: 'dev', open: null }),
    ])
    for (const words of ['claim acquire fix-login', 'ticket start fix-login']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const refused = await all.b.refused('held', words)
      expect(refused.message).toContain(`by pid ${running.pid}`)
      expect(refused.details).toMatchObject({ pending: true })
    }
    expect((await all.b.ok('ticket next --claim')).ticket).toBeNull()
    expect((await person(all).ok('why fix-login')).standing).toBe('pending')
    expect(all.repo.story()).toEqual([])
    tell(all, 'go')
    await accepted(running)
    expect(locksOf(all).filter(name => name.startsWith('reserve-'))).toEqual([])
    await ending(all, running)
  })

  it('somebody who waits for the ticket gets it when the launch has failed', async () => {
    const all = stage()
    const running = all.launcher.start(`${launching} --ready-timeout 1s`, ...all.agent('silent'))
    await until(() => starts(all).length > 0, 'the agent is there')
    const waiting = all.b.start('--json claim acquire fix-login --wait=30s')
    expect((await running.ended).code).toBe(10)
    expect(success(await waiting.ended).lease).toMatchObject({ resource: key, holder: { agent_id: 'agent:b' } })
  })

  it('a reader sees no file of a lock that nobody holds, and a doctor finds nothing', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('late'))
    await until(() => starts(all).length > 0, 'the agent is there')
    expect((await person(all).ok('doctor')).findings.filter(({ severity }: Doc) => severity === 'error')).toEqual([])
    tell(all, 'go')
    await accepted(running)
    await ending(all, running)
  })
})

describe('the agent', () => {
  it('is told what it is for, before it does anything', async () => {
    const all = stage()
    const { running, doc } = await launched(all, launching, ...all.agent('env'))
    const env = ours(wrote(all, 'env'))
    expect(env).toMatchObject({
      LEASEHOLD_LAUNCH_ID: doc.session.session_id,
      LEASEHOLD_SESSION_ID: doc.session.session_id,
      LEASEHOLD_AGENT_ID: doc.session.agent_id,
      LEASEHOLD_ROLE: 'dev',
      LEASEHOLD_TICKET: id,
      LEASEHOLD_READY_FD: '3',
    })
    expect(Object.keys(env)).not.toContain('LEASEHOLD_PEERS')
    expect(doc.session.agent_id).toBe(`agent:command-${doc.session.session_id.slice(-8).toLowerCase()}`)
    expect(wrote(all, 'pwd')).toEqual([all.repo.dir])
    await ending(all, running)
  })

  it('is named by --agent or by LEASEHOLD_AGENT_ID, but not after the launched agent that launches it', async () => {
    const all = stage()
    for (const [launcher, name] of [
      [all.launcher.with({ LEASEHOLD_AGENT_ID: 'agent:named' }), 'agent:named'],
      [all.launcher, 'agent:flag'],
    ] as const) {
      const running = launcher.start(name === 'agent:flag' ? `${launching} --agent agent:flag` : launching, ...all.agent('work'))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await accepted(running)).lease.holder.agent_id).toBe(name)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await ending(all, running)
    }
    const inner = ['launch', '--json', '--no-ticket', '--role', 'review', '--ready', 'fd', ...all.agent('env')]
    const { running, doc } = await launched(all, `${launching} --peer nobody`, ...all.agent('run', process.execPath, executable, ...inner))
    const env = await until(() => (wrote(all, 'env').length > 0 ? ours(wrote(all, 'env')) : null), 'the inner agent is there')
    expect(env['LEASEHOLD_AGENT_ID']).not.toBe(doc.session.agent_id)
    expect(env['LEASEHOLD_LAUNCH_ID']).not.toBe(doc.session.session_id)
    expect(Object.keys(env)).not.toContain('LEASEHOLD_TICKET')
    // It may outlive who launched it, and is no reason to take them for alive.
    const record = all.repo.records().find(each => each.session?.session_id === doc.session.session_id)
    const carried = environmentOf(starts(all).at(-1)!)!['LEASEHOLD_LIVE']!.split('\n')
    expect(record.session.binding.live).toMatch(/^[0-9a-f]+$/)
    expect([carried.length, carried.includes(record.session.binding.live)]).toEqual([1, false])
    await ending(all, running)
  })

  it('that is launched under lh exec keeps its lease when both lh are killed, and so does whom that agent launches', async () => {
    const all = stage()
    const inner = ['launch', '--no-ticket', '--role', 'review', '--ready', 'fd', ...all.agent('env')]
    const lh = [process.execPath, executable]
    const outer = all.launcher.start('exec env:y --', ...lh, ...launching.split(' '), ...all.agent('run', ...lh, ...inner))
    await until(() => wrote(all, 'env').length > 0, 'the inner agent is there')
    const [agent, last] = starts(all)
    const parentOf = (pid: number): number => Number(/^PPid:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))![1])
    const [first, second] = [parentOf(agent!), parentOf(last!)]
    outer.kill('SIGKILL')
    for (const pid of [first, second, agent!]) process.kill(pid, 'SIGKILL')
    await until(() => ![outer.pid, first, second, agent!].some(isRunning), 'all but the last agent are gone')
    await person(all).refused('held', 'claim acquire env:y')
    // What reads for a launcher that was killed carries the locks as well, and ends a moment later.
    const isFree = async (resource: string): Promise<boolean> => (await person(all).run(`claim acquire ${resource}`)).code === 0
    await until(() => isFree('fix-login'), 'the agent in between is no reason to wait: it is gone')
    await person(all).refused('held', 'claim acquire env:y')
    process.kill(last!, 'SIGKILL')
    await until(() => isFree('env:y'), 'nobody is left who could work under it')
  })

  it('is renewed for while it works, far beyond its TTL', async () => {
    const all = stage()
    const { running, doc } = await launched(all, `${launching} --ttl 1s`)
    await until(() => all.repo.story().filter(line => line === `renew ${key}`).length >= 3, 'it is renewed')
    expect((await person(all).lease(key)).token).toBe(doc.lease.token)
    await ending(all, running)
  })

  it('gets the signals that its launcher gets, and its exit code is passed on', async () => {
    const all = stage()
    const { running } = await launched(all, launching, ...all.agent('signals'))
    for (const name of ['HUP', 'INT', 'USR1', 'USR2'] as const) {
      running.kill(`SIG${name}`)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await until(() => wrote(all, 'signals').includes(name), `SIG${name} arrives`)
    }
    running.kill('SIGTERM')
    expect((await running.ended).code).toBe(7)
    expect(wrote(all, 'signals')).toEqual(['HUP', 'INT', 'USR1', 'USR2', 'TERM'])
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
  })

  it('ends with a code, or by a signal: so does its launcher, and the claim is free', async () => {
    const all = stage()
    const first = all.launcher.with({ AGENT_CODE: '5' }).start(launching, ...all.agent('work'))
    await accepted(first)
    expect((await ending(all, first)).code).toBe(5)
    const { running } = await launched(all)
    process.kill(starts(all)[1]!, 'SIGKILL')
    expect((await running.ended).code).toBe(137)
    expect(all.repo.records().at(-1)).toMatchObject({ op: 'release', reason: 'the agent ended with code 137' })
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
  })

  it('is ended when its claim is lost, and the code is 6', async () => {
    const all = stage()
    const { running } = await launched(all)
    await person(all).ok('claim evict fix-login --reason', 'stopped by a test')
    const { code, stderr } = await running.ended
    expect([code, stderr.includes('the claim was lost')]).toEqual([6, true])
    expect(processesOf(all.dir)).toEqual([])
    expect((await known(all)).sessions).toEqual([])
  })

  it('is heard to the last word, and stays apart from the answer in JSON', async () => {
    const all = stage()
    const loud = await all.launcher.run(launching, ...all.agent('talk'))
    expect(success({ ...loud, stderr: '' }).session.state).toBe('live')
    expect(loud.stderr.endsWith(`${'x'.repeat(1000)}\nlast words\n`)).toBe(true)
    expect(loud.stderr.length).toBeGreaterThan(3_000_000)
    const plain = await all.launcher.run('launch fix-login --role dev --ready fd', ...all.agent('talk'))
    expect([plain.code, plain.stdout.endsWith('x\nlast words\n')]).toEqual([0, true])
    expect(plain.stderr).toContain('session dev-fix-login is live')
  })

  it('is heard to the last word also by a reader that is slower than its end', async () => {
    const all = stage()
    const reading = all.launcher.start(launching, ...all.agent('chat'))
    reading.child.stderr!.pause()
    await until(() => starts(all).length === 1 && !isRunning(starts(all)[0]!), 'the agent has ended')
    // What the socket between us does not take is still its launcher's.
    await sleep(500)
    reading.child.stderr!.resume()
    const { stderr, code } = await reading.ended
    expect([code, stderr.length > 320_000, stderr.endsWith('x\nlast words\n')]).toEqual([0, true, true])
    expect((await known(all)).leases).toEqual([])
  })

  it('leaves a child that keeps its output: the launch ends when the agent does', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('parent'))
    await running.exited
    expect(running.child.exitCode).toBe(0)
    expect((await known(all)).leases).toEqual([])
  })
})

describe('the answer', () => {
  it('is printed at the acceptance, while the agent runs', async () => {
    const all = stage()
    const { running, doc } = await launched(all)
    expect(running.stdout.split('\n')).toHaveLength(2)
    expect(isRunning(doc.pid)).toBe(true)
    expect(environmentOf(doc.pid)?.['LEASEHOLD_LAUNCH_ID']).toBe(doc.session.session_id)
    expect(doc).toMatchObject({ ok: true, lease: { resource: key, standing: 'live' }, session: { standing: 'live' }, pid: starts(all)[0] })
    const { stdout } = await ending(all, running)
    expect(parse(stdout)).toEqual(doc)
  })

  it('names the evidence: a line of output, a URL, a while', async () => {
    const all = stage()
    const { running, doc } = await launched(all, '--json launch fix-login --role dev --ready output=^ready', ...all.agent('output'))
    expect(doc.session.evidence).toMatchObject({ kind: 'output', confirmed: true })
    expect(doc.session.evidence.seen).toContain('^ready')
    await ending(all, running)
    const said = await all.launcher.run('launch fix-login --role dev --ready alive=100ms', ...all.agent('exit', '0'))
    expect(said.code).toBe(10)
    const alive = all.launcher.start('launch fix-login --role dev --ready alive=100ms', ...all.agent('alive'))
    await until(() => alive.stderr.includes('is live'), 'it is alive')
    expect(alive.stderr).toContain('started, not confirmed')
    await ending(all, alive)
  })
})

describe('what it is launched for', () => {
  it('makes no worktree of its own for a ticket that is held already', async () => {
    const all = stage()
    await all.launcher.ok('claim acquire fix-login')
    const before = git(all.repo.dir, 'branch', '--list')
    await all.launcher.refused('held', `${launching.replace('--json ', '')} --worktree`, ...all.agent('env'))
    expect(git(all.repo.dir, 'branch', '--list')).toBe(before)
    expect(git(all.repo.dir, 'worktree', 'list').split('\n')).toHaveLength(1)
  })

  it('a ticket in a worktree of its own, with its branch', async () => {
    const all = stage()
    const { running, doc } = await launched(all, `${launching} --worktree`, ...all.agent('env'))
    expect(doc.session.cwd).toBe(all.place)
    expect(wrote(all, 'pwd')).toEqual([all.place])
    expect(doc.lease).toMatchObject({ resource: key, branch: 'agents/fix-login' })
    const { leases } = await known(all)
    expect(leases.map(({ resource }) => String(resource).split(':')[0]).toSorted((a, b) => (a! < b! ? -1 : 1))).toEqual([
      'branch',
      'ticket',
      'worktree',
    ])
    expect(new Set(leases.map(({ token }) => token)).size).toBe(1)
    await ending(all, running)
    expect((await known(all)).leases).toEqual([])
    expect(fs.existsSync(all.place)).toBe(true)
  })

  it('no ticket: intake that writes one, or a role of its own', async () => {
    const all = stage()
    for (const [role, origin] of [
      ['intake', 'pre-ticket-intake'],
      ['review', 'role-launch'],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { running, doc } = await launched(all, `--json launch --no-ticket --role ${role} --ready fd`)
      expect(doc).toMatchObject({ lease: null, session: { name: role, role, origin, related_tickets: [] } })
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { leases, sessions } = await known(all)
      expect([leases, sessions.map(({ name, standing }) => [name, standing])]).toEqual([[], [[role, 'live']]])
      // oxlint-disable-next-line no-await-in-loop -- as above
      await ending(all, running)
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect((await known(all)).sessions).toEqual([])
    }
    const before = all.repo.story()
    expect((await all.launcher.run('launch --no-ticket --role review --ready fd', ...all.agent('exit', '1'))).code).toBe(10)
    await expectNothingLeft(all, before)
  })

  it('a name of its own, which no other session has', async () => {
    const all = stage()
    const { running } = await launched(all, `${launching} --name Ada.1`)
    const again = await all.launcher.run('--json launch --no-ticket --role review --ready fd --name Ada.1', ...all.agent('work'))
    expect(failure(again, 'policy').hint).toContain('lh session show Ada.1')
    const other = await launched(all, '--json launch --no-ticket --role review --ready fd')
    const third = await launched(all, '--json launch --no-ticket --role review --ready fd')
    expect([other.doc.session.name, third.doc.session.name]).toEqual(['review', 'review-2'])
    tell(all, 'stop')
    await Promise.all([running.ended, other.running.ended, third.running.ended])
  })

  it('a launch leaves the ticket as it is; lh work starts it once the agent works', async () => {
    const all = stage()
    const before = ticketBytes(all.repo.dir)
    const { running } = await launched(all)
    expect(ticketBytes(all.repo.dir)).toEqual(before)
    await ending(all, running)
    expect(ticketBytes(all.repo.dir)).toEqual(before)
    const failed = await all.launcher.run('--json work fix-login --ready fd', ...all.agent('exit', '1'))
    expect(failure({ ...failed, stderr: '' }, 'launch_failed')).toBeDefined()
    expect(fieldOf(all.place, id, 'workflow_state')).toBe('ready')
    expect((await known(all)).leases).toEqual([])
    const works = all.launcher.start('--json work fix-login --ready fd', ...all.agent('env'))
    const doc = await accepted(works)
    expect(doc).toMatchObject({ session: { role: 'dev', cwd: all.place }, ticket: { workflow_state: 'inprogress' }, path: all.place })
    expect(fieldOf(all.place, id, 'workflow_state')).toBe('inprogress')
    expect(fieldOf(all.place, id, 'assignee')).toBe(doc.session.agent_id)
    await ending(all, works)
    expect(ticketBytes(all.repo.dir)).toEqual(before)
  })
})

describe('an agent that goes to work at once', () => {
  const lh = (...words: readonly string[]): readonly string[] => [process.execPath, executable, ...words]
  const result = async (all: ReturnType<typeof stage>): Promise<{ readonly code: string; readonly out: Doc }> => {
    const [code] = await until(() => (wrote(all, 'run.code').length > 0 ? wrote(all, 'run.code') : null), 'its command has ended')
    return { code: code!, out: parse(read(all.dir, 'run.out')) }
  }

  it('acquires its own ticket before the launcher has recorded it, and is told that it has it', async () => {
    const all = stage()
    const { running, doc } = await launched(all, launching, ...all.agent('first', ...lh('--json', 'claim', 'acquire', 'fix-login')))
    const { code, out } = await result(all)
    expect([code, out.already_held, out.lease.token]).toEqual(['0', true, doc.lease.token])
    expect(all.repo.story().filter(line => line.startsWith('acquire'))).toEqual([`acquire ${key}`])
    await ending(all, running)
  })

  it('starts its ticket before that', async () => {
    const all = stage()
    const { running, doc } = await launched(all, launching, ...all.agent('first', ...lh('--json', 'ticket', 'start', 'fix-login')))
    const { code, out } = await result(all)
    expect([code, out.ticket.workflow_state, out.ticket.assignee]).toEqual(['0', 'inprogress', doc.session.agent_id])
    expect((await known(all)).leases.map(({ token }) => token)).toEqual([doc.lease.token])
    await ending(all, running)
  })

  it('finishes its ticket, and its session goes on', async () => {
    const all = stage()
    const script = `"$0" "$1" --json ticket start fix-login && "$0" "$1" --json ticket done fix-login`
    const { running, doc } = await launched(all, launching, ...all.agent('run', 'sh', '-c', script, process.execPath, executable))
    await until(() => wrote(all, 'run.code').length > 0, 'it is done')
    expect(wrote(all, 'run.code')).toEqual(['0'])
    expect(fieldOf(all.repo.dir, id, 'workflow_state')).toBe('done')
    const { leases, sessions } = await known(all)
    expect([leases, sessions.map(({ name, standing }) => [name, standing])]).toEqual([[], [['dev-fix-login', 'live']]])
    expect(isRunning(doc.pid)).toBe(true)
    const { code, stderr } = await ending(all, running)
    expect([code, stderr.includes('lost')]).toEqual([0, false])
    expect((await known(all)).sessions).toEqual([])
    expect(eventsIn(all.repo.dir, id).filter(({ to }) => to === 'done')).toHaveLength(1)
    expect(all.repo.records().filter(({ op }) => op === 'release')).toMatchObject([{ outcome: 'done' }])
    expect((await person(all).ok('ticket doctor')).findings).toEqual([])
    await person(all).ok('verify')
  })

  it('commits with the trailers of its claim', async () => {
    const all = stage()
    await all.a.ok('hooks install git')
    const script = 'while [ ! -e "$AGENT_DIR/go" ]; do sleep 0.02; done; git commit -q --allow-empty -m "from the agent"'
    const { running, doc } = await launched(all, launching, ...all.agent('run', 'sh', '-c', script))
    tell(all, 'go')
    await until(() => wrote(all, 'run.code').length > 0, 'it has committed')
    expect([wrote(all, 'run.code'), read(all.dir, 'run.out')]).toEqual([['0'], ''])
    expect(git(all.repo.dir, 'log', '-1', '--format=%B')).toContain(`Leasehold-Token: ${doc.lease.token}`)
    await ending(all, running)
  })
})

const hasScript = spawnSync('script', ['--version'], { stdio: 'ignore' }).status === 0

requires(hasScript && process.platform === 'linux', 'needs script(1) of util-linux').describe('in a terminal', () => {
  /** Types at a terminal in which a command runs. */
  function terminal(all: Stage, words: string, agent: readonly string[]) {
    // `exec`: some shells stay in front of their last command, and would end by the Ctrl-C themselves.
    const line = ['exec', ...[process.execPath, executable, ...words.split(' '), ...agent].map(word => `'${word}'`)].join(' ')
    const child = spawn('script', ['-qefc', line, '/dev/null'], {
      cwd: all.repo.dir,
      env: { ...process.env, ...all.launcher.env },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
    const ended = new Promise<number | null>(resolve => child.once('close', resolve))
    return { type: (text: string) => void child.stdin.write(text), ended, said: () => out }
  }
  const plain = launching.replace('--json ', '')

  it('Ctrl-C ends a launch that is not accepted yet, with all that it started', async () => {
    const all = stage()
    const { type, ended, said } = terminal(all, plain, all.agent('family'))
    await until(() => processesOf(all.dir).length >= 6, 'the family is there')
    type('\x03')
    expect([await ended, said()]).toEqual([10, expect.stringContaining('the launch was stopped by SIGINT')])
    await expectNothingLeft(all, [])
  })

  for (const [what, words] of [
    ['shares the terminal', plain],
    ['does not', 'launch fix-login --role dev --ready output=^ready'],
  ] as const) {
    it(`Ctrl-C reaches an agent that ${what}, once`, async () => {
      const all = stage()
      const { type, ended } = terminal(all, words, all.agent('signals'))
      await until(async () => (await known(all)).sessions.length === 1, 'it works')
      type('\x03')
      await until(() => wrote(all, 'signals').length > 0, 'it is heard')
      process.kill(starts(all)[0]!, 'SIGTERM')
      expect(await ended).toBe(7)
      expect(wrote(all, 'signals')).toEqual(['INT', 'TERM'])
    })
  }

  it('the agent reads what is typed', async () => {
    const all = stage()
    const { type, ended, said } = terminal(all, plain, ['--', 'sh', '-c', 'echo >&3; read line; echo "got <$line>"'])
    await until(async () => (await known(all)).sessions.length === 1, 'it works')
    type('hello\n')
    expect([await ended, said()]).toEqual([0, expect.stringContaining('got <hello>')])
  })
})
