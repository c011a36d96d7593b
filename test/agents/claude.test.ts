import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { launchOf } from '../../src/service/hooks/agent/launch.ts'
import { promptFor } from '../../src/service/hooks/agent/model/script.ts'
import { folder, git, isRunning, Repo, signal, until } from '../support/cli.ts'
import { needsTmux, Terminal } from '../support/terminal.ts'
import { blocked, Desk, needs, programs, useModel, versionOf, withHook, workUntilTold } from './agent.ts'
import { enter, usedBefore } from './person.ts'

const version = versionOf('@anthropic-ai/claude-code')

const bash = (command: string, more: object = {}) => ({ tool: 'Bash', input: { command, description: 'd', ...more } })
const write = (file: string, content = 'new\n') => ({ tool: 'Write', input: { file_path: file, content } })
const load = (tool: string) => ({ tool: 'ToolSearch', input: { query: `select:${tool}`, max_results: 3 } })

async function installed(): Promise<Desk> {
  const desk = new Desk()
  await desk.leasehold('hooks install claude')
  return desk
}

/** A session that works in a shell command until it is told to stop. */
async function busy(desk: Desk, name: string) {
  const id = randomUUID()
  const session = desk.start('claude', [bash(workUntilTold(name))], { more: ['--session-id', id] })
  await until(() => desk.has(`${name}.begun`), `${name} has begun`)
  return { id, session, shell: () => Number(desk.read(`${name}.pid`)), go: () => desk.put(`${name}.go`, '') }
}

needs('claude').describe(`Claude Code ${version}, two sessions in one workspace`, () => {
  useModel()

  it("blocks the second one's Write, Edit, Bash and Monitor while the first works, and lets them run when it has ended", async () => {
    const desk = await installed()
    const file = (name: string): string => path.join(desk.workspace, name)
    const steps = [
      { tool: 'Read', input: { file_path: file('existing.txt') } },
      write(file('written.txt')),
      { tool: 'Edit', input: { file_path: file('existing.txt'), old_string: 'old', new_string: 'new' } },
      bash('echo hi > bashed.txt'),
      load('Monitor'),
      { tool: 'Monitor', input: { command: 'echo hi > monitored.txt; echo seen', description: 'd', timeout_ms: 5000, persistent: false } },
    ]
    const first = await busy(desk, 'first')
    const said = await desk.run('claude', steps)
    expect(said.split(`${blocked} ${first.id}`).length - 1, 'each is told who holds it').toBeGreaterThanOrEqual(4)
    for (const name of ['written.txt', 'bashed.txt', 'monitored.txt']) expect(desk.has(name), name).toBe(false)
    expect(desk.read('existing.txt')).toBe('old\n')

    first.go()
    await first.session.output()
    expect(desk.has('first.over')).toBe(true)
    expect(await desk.run('claude', steps)).not.toContain(blocked)
    await until(() => ['written.txt', 'bashed.txt', 'monitored.txt'].every(name => desk.has(name)), 'the second has written')
    expect(desk.read('existing.txt')).toBe('new\n')
  })

  it('lets the second one read and look around while the first works', async () => {
    const desk = await installed()
    const first = await busy(desk, 'first')
    const said = await desk.run('claude', [
      { tool: 'Read', input: { file_path: path.join(desk.workspace, 'existing.txt') } },
      bash('git status --short'),
    ])
    expect(said).not.toContain(blocked)
    first.go()
    await first.session.output()
  })

  it('lets the second one work at once when the first was killed and its shell with it', async () => {
    const desk = await installed()
    const first = await busy(desk, 'first')
    first.session.kill('SIGKILL')
    signal(first.shell(), 'SIGKILL')
    await first.session.exited
    await until(() => !isRunning(first.shell()), 'the shell is gone')
    expect(await desk.run('claude', [bash('echo hi > second.txt')])).not.toContain(blocked)
    expect(desk.has('second.txt')).toBe(true)
  })

  it('blocks the second one as long as a shell of the killed first goes on writing', async () => {
    const desk = await installed()
    const first = await busy(desk, 'first')
    first.session.kill('SIGKILL')
    await first.session.exited
    expect(isRunning(first.shell()), 'the shell survives its agent').toBe(true)
    expect(await desk.run('claude', [bash('echo hi > second.txt')])).toContain(blocked)
    expect(desk.has('second.txt')).toBe(false)

    first.go()
    await until(() => !isRunning(first.shell()), 'the shell has ended')
    expect(await desk.run('claude', [bash('echo hi > second.txt')])).not.toContain(blocked)
    expect(desk.has('second.txt')).toBe(true)
  })

  it('keeps the lock at Stop while a background task runs', async () => {
    const desk = await installed()
    const first = desk.start('claude', [bash(workUntilTold('task'), { run_in_background: true })], { more: ['--include-hook-events'] })
    const stopped = (): boolean =>
      first.stdout.split('\n').some(line => line.includes('"hook_response"') && line.includes('"hook_event":"Stop"'))
    await until(() => desk.has('task.begun') && stopped(), 'the turn is over and the task runs')
    expect(desk.has('task.over')).toBe(false)
    expect(await desk.run('claude', [bash('echo hi > second.txt')])).toContain(blocked)
    expect(desk.has('second.txt')).toBe(false)
    desk.put('task.go', '')
    await first.output()
    expect(await desk.run('claude', [bash('echo hi > second.txt')])).not.toContain(blocked)
    expect(desk.has('second.txt')).toBe(true)
  })

  it('does not block a session in another worktree', async () => {
    const desk = await installed()
    const other = path.join(folder('other-'), 'worktree')
    git(desk.workspace, 'worktree', 'add', '-q', other)
    const first = await busy(desk, 'first')
    const said = await desk.run('claude', [write(path.join(other, 'there.txt')), bash('echo hi > bashed.txt')], { cwd: other })
    expect(said).not.toContain(blocked)
    expect(fs.existsSync(path.join(other, 'there.txt'))).toBe(true)
    expect(fs.existsSync(path.join(other, 'bashed.txt'))).toBe(true)
    first.go()
    await first.session.output()
  })

  it('judges a write into another worktree by that worktree', async () => {
    const desk = await installed()
    const other = path.join(folder('other-'), 'worktree')
    git(desk.workspace, 'worktree', 'add', '-q', other)
    const first = await busy(desk, 'first')
    const file = path.join(desk.workspace, 'from-outside.txt')
    expect(await desk.run('claude', [write(file)], { cwd: other, more: ['--add-dir', desk.workspace] })).toContain(blocked)
    expect(fs.existsSync(file)).toBe(false)
    first.go()
    await first.session.output()
  })

  it('does not block a subagent for the sake of its parent', async () => {
    const desk = await installed()
    const file = path.join(desk.workspace, 'sub.txt')
    const prompt = `work <<script ${Buffer.from(JSON.stringify([write(file), bash('echo hi > sub-bashed.txt')])).toString('base64')} script>>`
    const agent = { tool: 'Agent', input: { description: 'd', prompt, subagent_type: 'general-purpose' } }
    expect(
      await desk.run('claude', [write(path.join(desk.workspace, 'parent.txt')), [agent, bash('echo hi > parent-bashed.txt')]]),
    ).not.toContain(blocked)
    for (const name of ['parent.txt', 'parent-bashed.txt']) expect(desk.has(name), name).toBe(true)
    await until(() => desk.has('sub.txt') && desk.has('sub-bashed.txt'), 'the subagent has written')
  })
})

needs('claude').describe(`Claude Code ${version} and leases`, () => {
  useModel()

  it('is one session for lh, whether its hooks or its shell ask; a tool call renews the lease it works under', async () => {
    const desk = await installed()
    const id = randomUUID()
    const lh = `'${process.execPath}' '${desk.lh}' --agent agent:one`
    const steps = [
      bash(`${lh} --json whoami > who.json && ${lh} claim acquire ticket:a --ttl 5s > lease.txt && sleep 1.5`),
      write(path.join(desk.workspace, 'written.txt')),
      bash('echo hi > over.txt'),
    ]
    const said = await desk.run('claude', steps, { more: ['--session-id', id] })
    expect(desk.has('over.txt'), said).toBe(true)
    expect(JSON.stringify(JSON.parse(desk.read('who.json')))).toContain(id)
    const { operations } = await desk.leasehold('claim history ticket:a')
    expect(operations.map(({ op }: { op: string }) => op)).toEqual(expect.arrayContaining(['acquire', 'renew']))
  })
})

needs('claude').describe(`Claude Code ${version} and a hook that fails`, () => {
  useModel()

  const failing: readonly (readonly [string, string | null])[] = [
    ['crashes', 'throw new Error("a bug")'],
    ['is killed', 'process.kill(process.pid, "SIGKILL")'],
    ['hangs', 'setInterval(() => {}, 1000)'],
    ['prints garbage', 'console.log("{{{ garbage"); process.exit(0)'],
    ['ends with an unknown code', 'process.exit(41)'],
    ['is gone', null],
  ]

  it.each(failing)('locks nobody out when the hook %s', async (_, text) => {
    const desk = new Desk(withHook(''))
    await desk.leasehold('hooks install claude')
    const hook = path.join(path.dirname(desk.lh), 'hook.cjs')
    if (text === null) fs.rmSync(hook)
    else fs.writeFileSync(hook, text)
    await desk.run('claude', [bash('echo hi > bashed.txt')])
    expect(desk.has('bashed.txt')).toBe(true)
  })

  it('blocks when the hook crashes and session_lock.fail is closed', async () => {
    const desk = new Desk(withHook('throw new Error("a bug")'))
    desk.put('.leasehold/config.yaml', 'session_lock:\n  fail: closed\n')
    await desk.leasehold('hooks install claude')
    await desk.run('claude', [bash('echo hi > bashed.txt')])
    expect(desk.has('bashed.txt')).toBe(false)
  })
})

needs('claude').describe(`Claude Code ${version} and the installer`, () => {
  useModel()

  it('runs the hooks of each form: user, project and plugin', async () => {
    const plugin = path.join(folder('plugin-'), 'leasehold')
    const forms: readonly (readonly [string, readonly string[]])[] = [
      ['', []],
      [' --project', []],
      [` --plugin ${plugin}`, ['--plugin-dir', plugin]],
    ]
    for (const [form, more] of forms) {
      const desk = new Desk()
      await desk.leasehold(`hooks install claude${form}`)
      const first = desk.start('claude', [bash(workUntilTold('first'))], { more })
      await until(() => desk.has('first.begun'), 'the first has begun')
      expect(await desk.run('claude', [bash('echo hi > second.txt')], { more }), form).toContain(blocked)
      desk.put('first.go', '')
      await first.output()
    }
  })

  it('leaves no trace when the hooks are taken out', async () => {
    const desk = new Desk()
    fs.mkdirSync(path.join(desk.home, '.claude'))
    fs.writeFileSync(path.join(desk.home, '.claude', 'settings.json'), '{ "cleanupPeriodDays":30 }\n')
    const before = desk.settings()
    await desk.leasehold('hooks install claude')
    const first = await busy(desk, 'first')
    await desk.leasehold('hooks uninstall claude')
    expect(desk.settings()).toEqual(before)
    expect(await desk.run('claude', [bash('echo hi > second.txt')]), 'nothing is asked any more').not.toContain(blocked)
    first.go()
    await first.session.output()
    expect(desk.has('second.txt')).toBe(true)
  })

  it('is proven by the canary, which runs it', async () => {
    const desk = await installed()
    expect(await desk.leasehold(`hooks status claude`)).toMatchObject({ ok: true, agents: [{ agent: 'claude', fires: true }] })
    expect(await desk.leasehold(`hooks test claude --client ${programs.claude}`)).toMatchObject({
      ok: true,
      tried: 'client',
      client: { version },
    })
  })

  it.each([
    ['disableAllHooks', { disableAllHooks: true }],
    ['a hook of a type that it does not know', { hooks: { PreToolUse: [{ hooks: [{ type: 'tune' }] }] } }],
  ])('is found out by status and by the canary when its hooks are switched off by %s', async (_, settings) => {
    const desk = new Desk()
    fs.mkdirSync(path.join(desk.home, '.claude'))
    fs.writeFileSync(path.join(desk.home, '.claude', 'settings.json'), JSON.stringify(settings))
    await desk.leasehold('hooks install claude')
    expect(await desk.leasehold(`hooks status claude`, 8)).toMatchObject({ ok: false, agents: [{ fires: false }] })
    expect(await desk.leasehold(`hooks test claude --client ${programs.claude}`, 8)).toMatchObject({ ok: false, tried: 'client' })
  })
})

describe('the fixture', () => {
  it('is pinned to one version, without the address of a registry', () => {
    const text = fs.readFileSync(path.join(import.meta.dirname, 'clients', 'package-lock.json'), 'utf8')
    expect(version).toMatch(/^\d+\.\d+\.\d+$/)
    expect(text).not.toContain('http')
  })
})

const inTerminal = fs.existsSync(programs.claude) ? needsTmux : needs('claude')

inTerminal.describe(`Claude Code ${version}, in a terminal`, () => {
  useModel()

  it('is blocked while another session works, says so to its person, and works on when that has ended', async () => {
    const desk = await installed()
    const { env } = launchOf('claude', {
      program: programs.claude,
      home: desk.home,
      url: desk.url,
      steps: [],
      path: process.env['PATH'] ?? '',
    })
    fs.writeFileSync(path.join(desk.home, '.claude.json'), usedBefore(desk.workspace, String(env['ANTHROPIC_API_KEY']).slice(-20)))
    const first = await busy(desk, 'first')
    const person = new Repo(desk.workspace).as(null, { ...env, CI: undefined })
    // Any command of ours that hands its terminal on.
    const claude = `${programs.claude} --permission-mode acceptEdits --allowedTools Bash`
    const terminal = new Terminal(person, `exec env:terminal -- ${claude}`, { columns: 160, rows: 50 })
    await terminal.shows('accept edits on')
    enter(terminal, promptFor([bash('echo hi > second.txt')]))
    await terminal.shows(blocked, 'All done')
    expect(desk.has('second.txt')).toBe(false)
    first.go()
    await first.session.output()
    enter(terminal, promptFor([bash('echo hi > second.txt')]))
    await until(() => desk.has('second.txt'), 'the second has written')
    enter(terminal, '/exit')
    await terminal.shows(/ended 0 /)
    // Nobody is locked out by a session whose person has left.
    expect(await desk.run('claude', [bash('echo hi > third.txt')])).not.toContain(blocked)
  })
})
