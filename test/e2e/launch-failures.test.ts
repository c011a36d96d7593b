import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Code, type Doc, Running, executable, failure, folder, git, isRunning, parse, signal, until } from '../support/cli.ts'
import {
  accepted,
  ending,
  expectNothingLeft,
  expectRetryWorks,
  id,
  known,
  launched,
  launching,
  locksOf,
  noted,
  processesOf,
  stage,
  starts,
  tell,
  wrote,
} from '../support/launch.ts'
import type { Stage } from '../support/launch.ts'
import { requires } from '../support/skip.ts'
import { putTicket } from '../support/tickets.ts'

// Every way in which a launch can fail, and after each of them the same: no claim, no session, no process, no reservation, no record,
// and the next launch works at once.

/** The error of a launch that failed. What its agent said is on standard error. */
function failed({ code, stdout }: { readonly code: number | null; readonly stdout: string }, expected: Code = 'launch_failed'): Doc {
  return failure({ code, signal: null, stdout, stderr: '' }, expected)
}

/** Launches an agent that cannot be launched, and looks at what is left. */
async function failing(all: Stage, words: string, agent: readonly string[], expected: Code = 'launch_failed'): Promise<Doc> {
  const before = all.repo.story()
  const result = await all.launcher.run(words, ...agent)
  const error = failed(result, expected)
  await expectNothingLeft(all, before, words)
  return error
}

describe('before it starts', () => {
  it('a program that is not there, or that may not be executed', async () => {
    const all = stage()
    const missing = await failing(all, launching, ['--', 'no-such-agent'])
    expect(missing).toMatchObject({
      message: '"no-such-agent" could not be started: there is no such program',
      hint: 'nothing was claimed',
    })
    // Whoever stands below the top of the worktree is told where it was looked for.
    const below = path.join(all.repo.dir, 'tools')
    fs.mkdirSync(below)
    const lost = await all.launcher.in(below).run(launching, '--', './no-such-agent')
    expect(failed(lost).message).toBe(
      `"./no-such-agent" could not be started: there is no such program (in ${all.repo.dir}, where it is started)`,
    )
    const file = path.join(all.dir, 'text')
    fs.writeFileSync(file, 'no program\n', { mode: 0o644 })
    expect(await failing(all, launching, ['--', file])).toMatchObject({ message: `"${file}" could not be started: it may not be executed` })
    expect((await failing(all, launching, ['--', all.dir])).message).toContain('could not be started')
    expect(starts(all)).toEqual([])
    await expectRetryWorks(all)
  })

  it('options that mean nothing', async () => {
    const all = stage()
    for (const words of [
      '--json launch fix-login --ready fd',
      '--json launch fix-login --role Dev! --ready fd',
      '--json launch fix-login --role dev --profile gpt',
      '--json launch fix-login --role dev --ready soon',
      '--json launch fix-login --role dev --ready fd=3',
      '--json launch fix-login --role dev --ready output=(',
      '--json launch fix-login --role dev --ready http=ftp://x',
      '--json launch fix-login --role dev --ready fd --ready-timeout never',
      '--json launch fix-login --role dev --ready alive=2s --ready-timeout 1s',
      '--json launch fix-login --role dev --ready-timeout 5s',
      '--json launch --no-ticket --role dev --ready fd --ttl 5m',
      '--json launch fix-login --role dev --ready fd --permit',
      '--json launch fix-login --role dev --ready fd --scope src/**,,x',
      '--json launch fix-login --role dev --ready fd --scope ../outside',
      '--json launch fix-login --role dev --ready fd --ttl 0',
      '--json launch fix-login --role dev --ready fd --name ../x',
      '--json launch fix-login --no-ticket --role dev --ready fd',
      '--json launch port:80 --role dev --ready fd',
      '--json launch --role dev --ready fd',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await failing(all, words, all.agent('work'), 'usage')
    }
    await failing(all, '--json launch fix-login --role dev --ready fd', [], 'usage')
    await failing(all, '--json launch no-such-ticket --role dev --ready fd', all.agent('work'), 'not_found')
    expect(starts(all)).toEqual([])
    await expectRetryWorks(all)
  })

  it('a ticket that is done, closed or blocked', async () => {
    for (const fields of [
      { state: 'done', status: 'closed' },
      { state: 'ready', status: 'closed' },
    ]) {
      const all = stage(fields)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await failing(all, launching, all.agent('work'), 'policy')
      expect(starts(all)).toEqual([])
    }
    const all = stage({ dependsOn: ['20260101-000000-first'] })
    putTicket(all.repo.dir, '20260101-000000-first')
    await failing(all, launching, all.agent('work'), 'policy')
    expect(starts(all)).toEqual([])
  })

  it('a scope that another holds', async () => {
    const all = stage()
    await all.b.acquire('path:src/login.ts')
    const before = all.repo.story()
    const error = failed(await all.launcher.run(`${launching} --scope docs/**,src/**`, ...all.agent('work')), 'held')
    expect(error).toMatchObject({ holder: { agent_id: 'agent:b' } })
    expect([starts(all), all.repo.story(), locksOf(all), processesOf(all.dir)]).toEqual([[], before, [], []])
    await all.b.ok('claim release path:src/login.ts')
    const { running, doc } = await launched(all, `${launching} --scope docs/**,src/**`)
    expect(doc.session.related_tickets).toEqual([id])
    expect(new Set((await known(all)).leases.map(({ resource }) => String(resource)))).toEqual(
      new Set(['path:docs/**', 'path:src/**', `ticket:${id}`]),
    )
    tell(all, 'stop')
    expect((await running.ended).code).toBe(0)
  })

  it('a ticket that somebody holds, without a launch', async () => {
    const all = stage()
    await all.b.acquire('fix-login')
    const error = failed(await all.launcher.run(launching, ...all.agent('work')), 'held')
    expect(error.holder).toMatchObject({ agent_id: 'agent:b' })
    expect([starts(all), locksOf(all)]).toEqual([[], []])
    await all.b.ok('claim release fix-login')
    await expectRetryWorks(all)
  })

  it('no place for temporary files', async () => {
    const all = stage()
    const launcher = all.launcher.with({ TMPDIR: path.join(all.dir, 'nowhere') })
    // Only what waits for a report of the agent's hooks needs one.
    await all.launcher.ok('hooks install claude')
    const error = failed(await launcher.run('--json launch fix-login --role dev --ready hook', ...all.agent('work')))
    expect(error.message).toContain('temporary file')
    await expectNothingLeft(all, [], 'no TMPDIR')
    await expectRetryWorks(all)
  })

  it('hooks that are to tell, and are not installed', async () => {
    const all = stage()
    const copilot = path.join(all.dir, 'copilot')
    fs.copyFileSync(all.agent('work')[1]!, copilot)
    const launch = '--json launch fix-login --role dev --ready hook'
    expect(await failing(all, launch, all.agent('silent'), 'usage')).toMatchObject({
      message: expect.stringContaining('none of any agent is installed'),
      hint: expect.stringContaining('lh hooks install claude | codex'),
    })
    await all.launcher.ok('hooks install claude')
    const refused = {
      message: 'the hooks of copilot are not installed',
      hint: expect.stringContaining('lh hooks install copilot; '),
    }
    expect(await failing(all, launch, ['--', copilot, 'silent'], 'usage')).toMatchObject(refused)
    // Hooks might have been in the worktree, so that is made, and goes again.
    expect(failed(await all.launcher.run('--json work fix-login --ready hook', '--', copilot, 'silent'), 'usage')).toMatchObject(refused)
    expect([(await known(all)).leases, git(all.repo.dir, 'worktree', 'list').split('\n').length]).toEqual([[], 1])
    expect([starts(all), locksOf(all)]).toEqual([[], []])
    await all.launcher.ok('hooks install copilot')
    const error = failed(await all.launcher.run(`${launch} --ready-timeout 300ms`, '--', copilot, 'silent'))
    expect(error.message).toContain('it did not show within 0.3 s that it works')
  })

  it('a repository whose store cannot answer', async () => {
    const all = stage()
    await all.b.acquire('port:1')
    fs.appendFileSync(all.repo.logFile, 'garbage\n{"seq":9}\n')
    const { code, stdout } = await all.launcher.run(launching, ...all.agent('work'))
    failed({ code, stdout }, 'unavailable')
    expect([starts(all), processesOf(all.dir)]).toEqual([[], []])
  })
})

describe('between its start and its proof', () => {
  it('it ends: with 0, with a code, by a signal; the last lines are in the answer', async () => {
    const all = stage()
    const none = await failing(all, launching, all.agent('exit', '0'))
    expect(none.message).toContain('it ended before it showed that it works')
    const three = await failing(all, launching, all.agent('exit', '3'))
    expect(three.message).toContain('it ended with code 3')
    expect(three.details).toMatchObject({ agent_exit_code: 3 })
    expect(new Set(three.details.last_lines)).toEqual(new Set(['first words', 'last words 3', 'on stderr']))
    const killed = await failing(all, launching, all.agent('signal', 'KILL'))
    expect(killed.details).toMatchObject({ agent_exit_code: 137 })
    expect(starts(all)).toHaveLength(3)
    await expectRetryWorks(all)
  })

  it('it closes the descriptor on which it should have said that it is ready', async () => {
    const all = stage()
    expect((await failing(all, launching, all.agent('closes'))).message).toContain('the ready descriptor was closed without a newline')
    await expectRetryWorks(all)
  })

  it('it is to speak ACP, and ends, or closes its pipes: that is told, and not what the system says of a pipe', async () => {
    const all = stage()
    const words = '--json launch fix-login --role dev --profile acp --prompt hello'
    const ended = (code: string) => failing(all, words, ['--', 'sh', '-c', `${code}; echo why >&2; exit 5`])
    for (const error of [await ended('read line'), await ended(':')]) {
      expect(error.message).toBe('sh did not start: it ended with code 5')
      expect(error.details).toMatchObject({ agent_exit_code: 5, last_lines: ['why'] })
    }
    const shut = await failing(all, words, ['--', 'sh', '-c', 'exec <&- >&-; sleep 1000'])
    expect(shut.message).toBe('sh did not start: it closed its standard input or output')
  })

  it('it speaks ACP, works, and answers the prompt with an error: that is told, whatever it ends with', async () => {
    const all = stage()
    const say = (...messages: readonly object[]): string => messages.map(message => `echo '${JSON.stringify(message)}'; `).join('')
    const update = { sessionUpdate: 'tool_call', toolCallId: 't', title: 'x', kind: 'edit' }
    const code =
      `read line; ${say({ jsonrpc: '2.0', id: 0, result: { protocolVersion: 1 } })}` +
      `read line; ${say({ jsonrpc: '2.0', id: 1, result: { sessionId: 's' } })}` +
      `read line; ${say({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's', update } })}` +
      `${say({ jsonrpc: '2.0', id: 2, error: { code: -32603, message: 'no quota left' } })} while read line; do :; done; exit 0`
    const words = 'launch fix-login --role dev --profile acp --prompt hello'
    const { code: exit, stderr } = await all.launcher.run(words, '--', 'sh', '-c', code)
    expect(stderr).toContain('the turn of the agent failed: no quota left')
    expect(exit).toBe(0)
  })

  it('it was stopped with its launcher for longer than it had time: that does not count', async () => {
    const all = stage()
    const running = all.launcher.start(`${launching} --ready-timeout 2s`, ...all.agent('late'))
    await until(() => starts(all).length === 1, 'the agent is there')
    running.kill('SIGSTOP')
    tell(all, 'go')
    await new Promise(resolve => void setTimeout(resolve, 2500))
    running.kill('SIGCONT')
    await accepted(running)
    expect(await ending(all, running)).toMatchObject({ code: 0 })
  })

  it('it talks garbage, also in one line without an end', async () => {
    const all = stage()
    const words = '--json launch fix-login --role dev --ready output=^ready --ready-timeout 1s'
    const { details } = await failing(all, words, all.agent('garbage'))
    expect(details.last_lines.length).toBeLessThanOrEqual(20)
    expect(details.last_lines.every((line: string) => line.length <= 500)).toBe(true)
    expect(details.last_lines.at(-1)).toBe('not { json')
    await expectRetryWorks(all)
  })

  it('it hangs: whatever it started is ended with it', async () => {
    const all = stage()
    const running = all.launcher.start(`${launching} --ready-timeout 2s`, ...all.agent('family'))
    await until(() => wrote(all, 'starts').length > 0 && processesOf(all.dir).length >= 6, 'the family is there')
    const error = failed(await running.ended)
    expect(error.message).toContain('it did not show within 2 s that it works')
    await expectNothingLeft(all, [], 'a hang')
    await expectRetryWorks(all)
  })

  it('it is deaf to SIGTERM, and so is what it started', { timeout: 90_000 }, async () => {
    const all = stage()
    failed(await all.launcher.run(`${launching} --ready-timeout 1s`, ...all.agent('deaf')))
    await expectNothingLeft(all, [], 'deaf')
    await expectRetryWorks(all)
  })

  it('without --ready it has to live for a while, which is no confirmation', async () => {
    const all = stage()
    await failing(all, '--json launch fix-login --role dev', all.agent('exit', '0'))
    await failing(all, '--json launch fix-login --role dev --ready alive=10s', all.agent('exit', '4'))
    const { running, doc } = await launched(all, '--json launch fix-login --role dev --ready alive=200ms', ...all.agent('alive'))
    expect(doc.session.evidence).toMatchObject({ kind: 'alive', confirmed: false })
    tell(all, 'stop')
    expect((await running.ended).code).toBe(0)
  })

  it('nobody answers under the URL', async () => {
    const all = stage()
    const words = '--json launch fix-login --role dev --ready http=http://127.0.0.1:9/ --ready-timeout 700ms'
    await failing(all, words, all.agent('silent'))
    await expectRetryWorks(all)
  })
})

describe('what it says', () => {
  it('in one line without an end does not fill the memory', { timeout: 120_000 }, async () => {
    const all = stage()
    const out = fs.openSync('/dev/null', 'w')
    const [program, ...args] = [process.execPath, executable, ...launching.split(' '), ...all.agent('flood')]
    const child = spawn(program, args, { cwd: all.repo.dir, env: { ...process.env, ...all.launcher.env }, stdio: ['ignore', out, out] })
    const ended = new Promise(resolve => child.once('exit', resolve))
    await until(() => starts(all).length > 0, 'the agent is there')
    const written = (): number => Number(/^wchar: (\d+)/m.exec(fs.readFileSync(`/proc/${child.pid}/io`, 'utf8'))?.[1])
    await until(() => written() >= 700_000_000, 'all of it was passed on')
    const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1])
    expect(peak).toBeLessThan(300_000)
    child.kill('SIGTERM')
    expect(await ended).toBe(10)
    await expectNothingLeft(all, [], 'flood')
  })

  it('to nobody is told to it in the usual way, and the launch goes on', async () => {
    const all = stage()
    const words = launching.replace('--json ', '').split(' ')
    const line = [process.execPath, executable, ...words, ...all.agent('talk')].map(word => `'${word}'`).join(' ')
    const { stderr, code } = await new Running('/bin/bash', ['-c', `${line} | head -c 10; exit \${PIPESTATUS[0]}`], {
      cwd: all.repo.dir,
      env: { ...process.env, ...all.launcher.env },
    }).ended
    expect(stderr).not.toMatch(/EPIPE|Error|at /)
    expect(code).toBeLessThan(128 + 14)
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
  })
})

describe('the launcher is told to stop', () => {
  for (const name of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP'] as const) {
    it(`by ${name}`, async () => {
      const all = stage()
      const running = all.launcher.start(launching, ...all.agent('family'))
      await until(() => processesOf(all.dir).length >= 6, 'the family is there')
      running.kill(name)
      const error = failed(await running.ended)
      expect(error.message).toContain(`the launch was stopped by ${name}`)
      await expectNothingLeft(all, [], name)
      await expectRetryWorks(all)
    })
  }

  it('twice: the second time changes nothing', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('deaf'))
    await until(() => wrote(all, 'starts').length > 0 && fs.existsSync(path.join(all.dir, 'deaf')), 'it is deaf')
    running.kill('SIGINT')
    await until(() => processesOf(all.dir).length > 0, 'it is being ended')
    running.kill('SIGINT')
    running.kill('SIGTERM')
    failed(await running.ended)
    await expectNothingLeft(all, [], 'twice')
  })
})

describe('what the agent does with its descriptors', () => {
  it('is its own affair: one that writes to all of one digit changes nothing', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('scribbles'))
    await until(() => starts(all).length > 0, 'it is there')
    // For as long as it starts; how often that is seen depends on the machine.
    for (let pending = (await known(all)).pending; pending.length > 0; { pending } = await known(all)) {
      expect(pending[0].resource).toBe(`ticket:${id}`)
      expect(pending[0].agent_id).toMatch(/^agent:command-/)
    }
    await accepted(running)
    await ending(all, running)
  })

  it('what it leaves without an environment ends with a launch that fails', async () => {
    const all = stage()
    failed(await all.launcher.run(launching, ...all.agent('blank', '5')))
    expect(wrote(all, 'blank').map(Number).filter(isRunning)).toEqual([])
    await expectNothingLeft(all, [], 'blank')
  })
})

describe('a launch that fails leaves alone', () => {
  it('what an earlier agent for the ticket left running, and one that works on without it', async () => {
    const all = stage()
    const [server, shell] = [path.join(all.dir, 'server'), ['--', 'sh', '-c']]
    expect(await all.launcher.run(launching, ...shell, `echo >&3; setsid sleep 1006 & echo $! > ${server}`)).toMatchObject({ code: 0 })
    const { running, doc } = await launched(all, `${launching} --name other`)
    const proof = `--lease ${doc.lease.lease_id} --token ${doc.lease.token}`
    await all.a.ok(`claim release fix-login ${proof}`)
    failed(await all.launcher.run(launching, ...all.agent('exit', '5')))
    expect(wrote(all, 'server').map(Number).map(isRunning)).toEqual([true])
    expect((await known(all)).sessions).toMatchObject([{ name: 'other', standing: 'live' }])
    expect(await ending(all, running)).toMatchObject({ code: 0 })
  })

  it('also where it first ends what a killed launcher left', async () => {
    const all = stage()
    const { running, doc } = await launched(all, `${launching} --name other`)
    await all.a.ok(`claim release fix-login --lease ${doc.lease.lease_id} --token ${doc.lease.token}`)
    const orphan = all.launcher.start(launching, ...all.agent('silent'))
    await until(() => starts(all).length === 2, 'the agent is there')
    orphan.kill('SIGKILL')
    await orphan.exited
    failed(await all.launcher.run(launching, ...all.agent('exit', '5')))
    expect((await known(all)).sessions).toMatchObject([{ name: 'other', standing: 'live' }])
    expect(await ending(all, running)).toMatchObject({ code: 0 })
  })
})

/** The command line of a process; empty when it is gone. */
function commandOf(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

describe('the launcher is killed', () => {
  it('with its agent: the ticket is free at once', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('silent'))
    await until(() => processesOf(all.dir).length > 0, 'the agent is there')
    const agents = processesOf(all.dir)
    running.kill('SIGKILL')
    for (const pid of agents) signal(pid, 'SIGKILL')
    await running.exited
    await until(() => processesOf(all.dir).length === 0, 'nothing runs')
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
    expect(all.repo.story()).toEqual([])
    await all.b.acquire('fix-login')
    await all.b.ok('claim release fix-login')
    await expectRetryWorks(all)
    expect(locksOf(all)).toEqual([])
  })

  it('and its agent lives: that is shown, nobody else gets the ticket, and the next launch ends it first', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('family'))
    await until(() => processesOf(all.dir).length >= 6, 'the family is there')
    await noted(all, starts(all)[0]!)
    running.kill('SIGKILL')
    await running.exited
    const orphans = processesOf(all.dir)
    expect(orphans.length).toBe(6)
    const { leases, sessions, pending } = await known(all)
    expect([leases, sessions]).toEqual([[], []])
    expect(pending).toEqual([
      expect.objectContaining({
        resource: `ticket:${id}`,
        launcher_alive: false,
        launcher_pid: running.pid,
        agent_pid: starts(all)[0],
        open: `lh session end ${id}`,
      }),
    ])
    const refused = await all.b.refused('held', 'claim acquire fix-login')
    expect(refused.hint).toContain(`lh session end ${id}`)
    expect(refused.message).toContain(`pid ${starts(all)[0]}`)
    expect((await all.b.ok('why fix-login')).pending).toMatchObject({ launcher_alive: false })
    expect(processesOf(all.dir)).toEqual(orphans)
    await expectRetryWorks(all)
    expect(orphans.filter(isRunning)).toEqual([])
    expect(starts(all)).toHaveLength(2)
  })

  it('and its agent lives, and has closed what it inherited: it is the same', async () => {
    const all = stage()
    // Not by a descriptor: that it was closed would be an answer.
    const running = all.launcher.start('--json launch fix-login --role dev --ready output=never', ...all.agent('shuts'))
    await until(() => starts(all).some(pid => commandOf(pid).startsWith('sleep')), 'all is closed')
    const [agent] = starts(all)
    await noted(all, agent!)
    running.kill('SIGKILL')
    await running.exited
    expect((await known(all)).pending).toEqual([expect.objectContaining({ launcher_alive: false, agent_pid: agent })])
    expect((await all.b.refused('held', 'claim acquire fix-login')).hint).toContain(`lh session end ${id}`)
    // Whoever tidies up sees what a launch still needs.
    await all.b.ok('recover')
    expect((await known(all)).pending).toHaveLength(1)
    await expectRetryWorks(all)
    expect(isRunning(agent!)).toBe(false)
  })

  it('and what its agent left has no environment and a group of its own: it is found by the lock that it keeps', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('blank'))
    await until(() => wrote(all, 'blank').length > 0, 'it is there')
    const [keeper] = wrote(all, 'blank').map(Number)
    running.kill('SIGKILL')
    for (const pid of processesOf(all.dir)) signal(pid, 'SIGKILL')
    await running.exited
    await all.b.refused('held', 'claim acquire fix-login')
    expect(await all.b.ok(`session end ${id}`)).toMatchObject({ released: [`ticket:${id}`] })
    expect(isRunning(keeper!)).toBe(false)
    await all.b.acquire('fix-login')
  })

  it('with an agent in a worktree of its own: each command that is named ends what is left', async () => {
    const all = stage()
    const start = async (): Promise<readonly Doc[]> => {
      const running = all.launcher.start('--json launch fix-login --role dev --worktree --ready fd', ...all.agent('silent'))
      await until(() => processesOf(all.dir).length > 0, 'the agent is there')
      running.kill('SIGKILL')
      await running.exited
      return (await known(all)).pending
    }
    const { length } = await start()
    expect(length).toBeGreaterThan(2)
    await all.b.ok(`session end ${id}`)
    for (let index = 0; index < length; index++) {
      // oxlint-disable-next-line no-await-in-loop -- one launch after the other
      const { resource, open } = (await start())[index]!
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect(await all.b.ok(open.replace(/^lh /, ''))).toMatchObject({ released: [resource] })
      expect(processesOf(all.dir)).toEqual([])
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect((await known(all)).pending).toEqual([])
    }
  })

  it('with an agent that was to claim nothing: it is shown all the same, and ended by the command that is named', async () => {
    const all = stage()
    const before = all.repo.story()
    const running = all.launcher.start('--json launch --no-ticket --role review --ready fd', ...all.agent('silent'))
    await until(() => starts(all).length === 1, 'the agent is there')
    await noted(all, starts(all)[0]!)
    expect((await known(all)).pending).toMatchObject([{ role: 'review', launcher_pid: running.pid, launcher_alive: true }])
    running.kill('SIGKILL')
    await running.exited
    const [left] = (await known(all)).pending
    expect(left).toMatchObject({ launcher_alive: false, agent_pid: starts(all)[0] })
    await all.b.ok(left!.open.replace('lh ', ''))
    expect(starts(all).map(isRunning)).toEqual([false])
    expect((await known(all)).pending).toEqual([])
    const next = await launched(all, '--json launch --no-ticket --role review --ready fd')
    expect(await ending(all, next.running)).toMatchObject({ code: 0 })
    expect([locksOf(all), all.repo.story().length - before.length]).toEqual([[], 2])
  })

  it('and a person ends what it left, by the command that is named', async () => {
    const all = stage()
    const running = all.launcher.start(launching, ...all.agent('family'))
    await until(() => processesOf(all.dir).length >= 6, 'the family is there')
    expect((await all.b.refused('policy', 'session end fix-login')).hint).toBe(`to stop the launch: kill ${running.pid}`)
    running.kill('SIGKILL')
    await running.exited
    expect(await all.b.ok(`session end ${id}`)).toMatchObject({ session: null, released: [`ticket:${id}`] })
    expect(processesOf(all.dir)).toEqual([])
    await all.b.acquire('fix-login')
  })
})

// ── the record cannot be written ──

const mounts = (): boolean => {
  if (process.getuid?.() !== 0) return false
  const place = folder('mount-')
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place], { stdio: 'ignore' })
    execFileSync('umount', [place], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** An agent that works as soon as it may: meanwhile something happens to the store. */
async function untilCommit(all: Stage, words: string): Promise<ReturnType<Stage['launcher']['start']>> {
  const running = all.launcher.start(words, ...all.agent('late'))
  await until(() => starts(all).length > 0, 'the agent is there')
  return running
}

describe('the agent works, and that cannot be recorded', () => {
  const needsMounts = requires(mounts(), 'needs root and the right to mount a tmpfs')
  for (const keep of [false, true]) {
    needsMounts.it(`the disk is full${keep ? ', with --keep' : ''}`, async () => {
      const all = stage()
      const full = folder('full-')
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,nr_inodes=64', 'tmpfs', full])
      try {
        const store = `file://${path.join(full, 'store')}`
        const at = { ...all, launcher: all.launcher.with({ LEASEHOLD_STORE: store }) }
        const b = all.b.with({ LEASEHOLD_STORE: store })
        const log = path.join(full, 'store', 'claims.jsonl')
        // In the last page of the log there is to be no room for another record.
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        for (let n = 1; n === 1 || 4096 - (fs.statSync(log).size % 4096) > 1000; n++) await b.ok(`claim acquire port:${n}`)
        const running = await untilCommit(at, `${launching}${keep ? ' --keep' : ''}`)
        const filler = fs.openSync(path.join(full, 'filler'), 'w')
        expect(() => {
          for (;;) fs.writeSync(filler, Buffer.alloc(512))
        }).toThrow(/ENOSPC/)
        fs.closeSync(filler)
        tell(all, 'go')
        const error = failed(await running.ended, 'unavailable')
        expect(error.message).toContain('the agent works, and its claim could not be recorded')
        const [agent] = starts(all)
        expect(error.details).toMatchObject({ agent_pid: agent, kept: keep })
        expect(error.message).toContain(keep ? `end it: kill ${agent}` : `the agent (pid ${agent}) was ended`)
        expect(isRunning(agent!)).toBe(keep)
        fs.rmSync(path.join(full, 'filler'))
        if (keep) process.kill(agent!, 'SIGKILL')
        await until(() => processesOf(all.dir).length === 0, 'nothing runs')
        const leases = (await b.ok('claim list')).leases.map(({ resource }: Doc) => resource)
        expect(leases.filter((resource: string) => resource.startsWith('ticket:'))).toEqual([])
        expect((await b.ok('session list')).sessions).toEqual([])
        const { running: again } = await launched(at)
        tell(all, 'stop')
        expect((await again.ended).code).toBe(0)
      } finally {
        execFileSync('umount', ['--lazy', full])
      }
    })
  }

  it('the store is locked by a process that is stopped', async () => {
    const all = stage()
    await all.b.acquire('port:1')
    await all.b.ok('claim release port:1')
    fs.writeFileSync(path.join(all.repo.dir, '.leasehold', 'config.yaml'), 'lock_wait: 500ms\n')
    const running = await untilCommit(all, launching)
    const before = all.repo.story()
    const locker = lockedStore(all)
    try {
      await locker.locked
      tell(all, 'go')
      const error = failed(await running.ended, 'unavailable')
      expect(error.message).toContain('could not be recorded')
      expect(error.details).toMatchObject({ agent_pid: starts(all)[0], kept: false })
      expect(processesOf(all.dir)).toEqual([])
    } finally {
      locker.release()
    }
    expect(all.repo.story()).toEqual(before)
    await expectRetryWorks(all)
  })

  it('the log is damaged meanwhile', async () => {
    const all = stage()
    await all.b.acquire('port:1')
    const running = await untilCommit(all, launching)
    const good = fs.readFileSync(all.repo.logFile)
    fs.writeFileSync(all.repo.logFile, Buffer.concat([good.subarray(0, -40), Buffer.from('x'.repeat(39)), Buffer.from('\n{"seq":2}\n')]))
    tell(all, 'go')
    const error = failed(await running.ended, 'unavailable')
    expect(error.details).toMatchObject({ agent_pid: starts(all)[0], kept: false })
    expect(processesOf(all.dir)).toEqual([])
    fs.writeFileSync(all.repo.logFile, good)
    await all.b.ok('claim release port:1')
    await expectRetryWorks(all)
  })

  it('somebody removed the file of the reservation: it is not recorded beside another launch', async () => {
    const all = stage()
    const running = await untilCommit(all, launching)
    for (const name of locksOf(all).filter(each => each.startsWith('reserve-'))) fs.rmSync(path.join(all.repo.store, 'locks', name))
    tell(all, 'go')
    const error = failed(await running.ended, 'unavailable')
    expect(error.message).toContain('the reservation of')
    await expectNothingLeft(all, [], 'removed')
    await expectRetryWorks(all)
  })
})

/** Has the store's lock, as a process that was stopped in the middle does. */
function lockedStore({ repo }: Stage): { readonly locked: Promise<void>; release(): void } {
  const addon = parse(
    execFileSync(process.execPath, ['-p', "JSON.stringify(require.resolve('fs-native-extensions'))"], {
      encoding: 'utf8',
      cwd: path.resolve(import.meta.dirname, '../..'),
    }),
  )
  const code = `const { tryLock } = require(${JSON.stringify(addon)}); const fs = require('fs');
    const fd = fs.openSync(${JSON.stringify(path.join(repo.store, 'locks', 'claims.lock'))}, 'r+'); if (!tryLock(fd)) process.exit(9); console.log('locked'); setInterval(() => {}, 1e6)`
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  return {
    locked: new Promise((resolve, reject) => {
      child.stdout.once('data', () => resolve())
      child.once('exit', status => reject(new Error(`the locker ended with ${status}`)))
    }),
    release: () => void child.kill('SIGKILL'),
  }
}
