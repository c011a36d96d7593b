import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { agentNames } from '../../src/service/hooks/agent/names.ts'
import type { Agent, Doc, Repo } from '../support/cli.ts'
import { executable, exits, failure, folder, repository, Running } from '../support/cli.ts'
import { lhIn } from '../support/shell.ts'
import { requires } from '../support/skip.ts'

const hook = path.join(path.dirname(executable), 'hook.cjs')

const needsRoot = requires(process.getuid?.() === 0, 'needs root, to be several users')

interface Person {
  readonly repo: Repo
  readonly home: string
  readonly lh: Agent
}

/** Somebody with a home of their own, where no agent is on PATH. */
function person(): Person {
  const home = folder('home-')
  const repo = repository()
  return { repo, home, lh: repo.as(null, { HOME: home, PATH: '/usr/bin:/bin' }) }
}

/** A tool call of another session, which takes the lock as long as this process runs. */
async function stranger({ repo, home }: Person, event: 'before-tool' | 'session-end'): Promise<void> {
  const payload = {
    session_id: 'stranger',
    hook_event_name: 'PreToolUse',
    cwd: repo.dir,
    tool_name: 'Write',
    tool_input: { file_path: 'a', content: '' },
  }
  const script = `printf %s '${JSON.stringify(payload)}' | '${process.execPath}' '${hook}' ${event} --agent claude`
  const env = { HOME: home, PATH: process.env['PATH'], CLAUDE_PID: String(process.pid) }
  expect((await new Running('/bin/sh', ['-c', script], { cwd: repo.dir, env }).ended).code).toBe(0)
}

describe('lh hooks, for agents', () => {
  it.each(agentNames)('installs, looks at, tries and takes out those of %s', async agent => {
    const { lh, home } = person()
    const before = fs.readdirSync(home, { recursive: true })
    const installed = await lh.ok(`hooks install ${agent}`)
    expect(installed).toMatchObject({ agent, form: 'user', count: 1, covered_by: null, dry_run: false, changes: [{ change: 'created' }] })
    expect(installed.next.length).toBeGreaterThan(0)
    expect(await lh.ok(`hooks install ${agent}`)).toMatchObject({ count: 0, changes: [{ change: 'unchanged', diff: '' }] })

    const status = await lh.run(`--json hooks status ${agent}`)
    const [found] = JSON.parse(status.stdout).agents
    expect(found).toMatchObject({ agent, installed: true, wirings: [{ form: 'user', state: 'complete', missing: [] }] })
    // Codex waits for its user's word.
    expect([status.code, found.fires]).toEqual(agent === 'codex' ? [exits.policy, false] : [0, true])

    const tried = await lh.ok(`hooks test ${agent}`)
    expect(tried).toMatchObject({ agent, tried: 'hook', client: null, steps: [{ ok: true }, { ok: true }, { ok: true }] })
    expect(tried.untried).not.toBeNull()

    await lh.ok(`hooks uninstall ${agent}`)
    expect(fs.readdirSync(home, { recursive: true })).toEqual(before)
    expect(await lh.refused('policy', `hooks test ${agent}`)).toMatchObject({ hint: `lh hooks install ${agent}` })
  })

  it('shows the diff and what is left to do, and changes nothing with --dry-run', async () => {
    const { lh, home } = person()
    const { stdout } = await lh.run('hooks install codex --dry-run')
    expect(stdout).toContain(`+++ ${path.join(home, '.codex', 'hooks.json')}`)
    expect(stdout).toContain('+    "PreToolUse": [')
    expect(stdout).toContain('/hooks')
    expect(fs.readdirSync(home)).toEqual([])
  })

  it.each(['', 'relative/home'])('are nobody’s where HOME is %j: nothing is read or written', async HOME => {
    const { lh } = person()
    const there = folder()
    const me = lh.with({ HOME }).in(there)
    for (const words of ['install cursor', 'install claude --project', 'uninstall claude', 'status', 'status codex', 'test gemini']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await me.refused('usage', `hooks ${words}`), words).toMatchObject({
        message: `HOME names no directory: ${JSON.stringify(HOME)}`,
        hint: expect.stringContaining('HOME=/'),
      })
    }
    expect(fs.readdirSync(there)).toEqual([])
  })

  it('say what the canary saw of a client that does not start, and of one that writes all the same', async () => {
    const { lh } = person()
    await lh.ok('hooks install claude')
    const client = path.join(folder(), 'claude')
    const test = async (text: string): Promise<Doc> => {
      fs.writeFileSync(client, text, { mode: 0o755 })
      const { code, stdout } = await lh.run(`--json hooks test claude --client ${client}`)
      expect(code).toBe(exits.policy)
      return JSON.parse(stdout)
    }
    const unproven = {
      message: 'Claude Code did not start, so nothing is proven',
      hint: 'mend what it says, then again: lh hooks test claude',
    }
    const step = { ok: false, step: 'Claude Code itself starts, and asks its model' }
    expect(await test('#!/bin/sh\necho no such library >&2\nexit 3\n')).toMatchObject({
      error: unproven,
      steps: [{ ok: true }, { ...step, said: 'it ended with code 3: no such library' }],
    })
    expect(await test('#!/nowhere/node\n')).toMatchObject({
      error: unproven,
      steps: [{ ok: true }, { ...step, said: expect.stringMatching(/^it was not run to its end: .*ENOENT/) }],
    })
    expect(await test('#!/bin/sh\necho x > canary.txt\n')).toMatchObject({
      error: { message: 'a deny does not deny', hint: 'see: lh hooks status claude' },
      steps: [{ ok: true }, { ok: false }, { ok: true }],
    })
    expect((await lh.run(`hooks test claude --client ${client}`)).stdout).toMatch(/\na deny does not deny; see: lh hooks status claude\n$/)
  })

  it('say of a file that is nested too deep that it is, and leave it as it was', async () => {
    const { lh, home } = person()
    const file = path.join(home, '.claude', 'settings.json')
    const nested = (depth: number) => `{\n"x": ${'['.repeat(depth)}${']'.repeat(depth)}}`
    fs.mkdirSync(path.dirname(file))
    fs.writeFileSync(file, nested(400))
    await lh.ok('hooks install claude')
    await lh.ok('hooks uninstall claude')
    fs.writeFileSync(file, nested(3000))
    for (const words of ['install', 'uninstall', 'test'])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await lh.refused('usage', `hooks ${words} claude`), words).toMatchObject({
        message: `${file}:2: it is nested more than 500 deep; the file was left as it is`,
      })
    const { code, stdout } = await lh.run('hooks status claude')
    expect([code, stdout]).toEqual([8, expect.stringContaining('nested more than 500 deep')])
    expect(fs.readFileSync(file, 'utf8')).toBe(nested(3000))
  })

  it('goes by the user’s settings outside of Git too', async () => {
    const { lh, home } = person()
    fs.mkdirSync(path.join(home, '.config/leasehold'), { recursive: true })
    fs.writeFileSync(path.join(home, '.config/leasehold/config.yaml'), 'session_lock.fail: closed\n')
    const [change] = (await lh.in(folder()).ok('hooks install claude --dry-run')).changes
    expect(change.diff).toContain('"onFailure": "block"')
  })

  it('several at a time are wired as one after the other', async () => {
    const { lh, home } = person()
    const before = fs.readdirSync(home, { recursive: true })
    const agents = [...agentNames, ...agentNames]
    await Promise.all(agents.map(agent => lh.ok(`hooks install ${agent} --beside`.replace(/(?<!copilot|cursor) --beside/, ''))))
    for (const { agent, wirings } of (JSON.parse((await lh.run('--json hooks status')).stdout) as { agents: Doc[] }).agents)
      expect(wirings, agent).toMatchObject([{ state: 'complete' }])
    await Promise.all(agents.map(agent => lh.ok(`hooks uninstall ${agent}`)))
    const left = fs.readdirSync(home, { recursive: true, withFileTypes: true }).filter(entry => !entry.isDirectory())
    expect([left, before]).toEqual([[], []])
  })

  needsRoot.it('by root leave the settings of a user theirs, and what is made for them is theirs', async () => {
    const home = folder('home-')
    fs.chmodSync(path.dirname(home), 0o755)
    const settings = path.join(home, '.claude', 'settings.json')
    fs.mkdirSync(path.dirname(settings))
    fs.writeFileSync(settings, '{\n  "model": "opus"\n}\n')
    for (const file of [home, path.dirname(settings), settings]) fs.chownSync(file, 1001, 1001)
    fs.chmodSync(settings, 0o640)
    const root = repository().as(null, { HOME: home })
    for (const agent of ['claude', 'codex', 'opencode']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await root.ok(`hooks install ${agent}`)
    }
    await root.ok('config set --user ttl 5m')
    const foreign = fs
      .readdirSync(home, { recursive: true, encoding: 'utf8' })
      .filter(name => fs.lstatSync(path.join(home, name)).uid !== 1001 || fs.lstatSync(path.join(home, name)).gid !== 1001)
    expect(foreign).toEqual([])
    expect(fs.statSync(settings).mode & 0o777).toBe(0o640)
    const theirs = root.in(home)
    const words = ['setpriv', '--reuid=1001', '--regid=1001', '--clear-groups', '--']
    for (const agent of ['claude', 'codex', 'opencode']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { code, stderr } = await theirs.startWith(words, `--json hooks uninstall ${agent}`).ended
      expect([code, stderr], agent).toEqual([0, ''])
    }
    expect(fs.readFileSync(settings, 'utf8')).toBe('{\n  "model": "opus"\n}\n')
  })

  needsRoot.it('change nothing where the settings would become somebody else’s', async () => {
    const home = folder('home-')
    fs.chmodSync(path.dirname(home), 0o755)
    const settings = path.join(home, '.claude', 'settings.json')
    fs.mkdirSync(path.dirname(settings))
    for (const file of [home, path.dirname(settings)]) fs.chownSync(file, 1001, 1001)
    fs.writeFileSync(settings, '{}\n', { mode: 0o644 })
    const words = ['setpriv', '--reuid=1001', '--regid=1001', '--clear-groups', '--']
    const user = repository().as(null, { HOME: home }).in(home)
    const error = failure(await user.startWith(words, '--json hooks install claude').ended, 'unavailable')
    expect(error.message).toContain(`${settings} belongs to another user (0)`)
    expect(fs.readdirSync(home, { recursive: true })).toEqual(['.claude', '.claude/settings.json'])
    expect([fs.readFileSync(settings, 'utf8'), fs.statSync(settings).uid]).toEqual(['{}\n', 0])
  })

  it('are put where a link into nowhere leads; one that leads nowhere else is refused', { timeout: 30_000 }, async () => {
    const { lh, home } = person()
    const [settings, config] = [path.join(home, '.claude', 'settings.json'), path.join(home, '.config', 'leasehold')]
    for (const place of [settings, config]) fs.mkdirSync(path.dirname(place))
    fs.symlinkSync('nowhere/settings.json', settings)
    await lh.ok('hooks install claude')
    expect(fs.readdirSync(path.join(home, '.claude', 'nowhere'))).toEqual(['settings.json'])
    await lh.ok('hooks uninstall claude')
    expect(fs.readdirSync(path.dirname(settings))).toEqual(['settings.json'])
    fs.rmSync(settings)
    fs.symlinkSync('settings.json', settings)
    expect((await lh.refused('usage', 'hooks install claude')).message).toContain(`${settings}: its symbolic links have no end`)
    expect((await lh.run('hooks status claude')).code).toBe(exits.policy)
    fs.symlinkSync('leasehold', config)
    expect((await lh.refused('usage', 'config set --user ttl 5m')).message).toContain(config)
  })

  it('names the line of a settings file that is broken, and leaves it alone', async () => {
    const { lh, home } = person()
    const file = path.join(home, '.claude', 'settings.json')
    fs.mkdirSync(path.dirname(file))
    fs.writeFileSync(file, '{\n  "a": 1,\n}\n')
    const error = await lh.refused('usage', 'hooks install claude')
    expect(error.message).toContain(`${file}:3: `)
    expect(fs.readFileSync(file, 'utf8')).toBe('{\n  "a": 1,\n}\n')
  })

  it('installs for the user from anywhere, and for a project only in one', async () => {
    const { lh } = person()
    const outside = lh.in(folder('outside-'))
    await outside.ok('hooks install gemini')
    await outside.refused('usage', 'hooks install gemini --project')
    await lh.refused('usage', 'hooks install gemini --plugin somewhere')
    await lh.refused('usage', 'hooks install emacs')
  })

  it.each([
    ['install claude --pre-receive', 'git'],
    ['install claude --beside', 'copilot, cursor'],
    ['install git --project', 'claude, codex'],
    ['install codex --plugin somewhere', 'claude'],
    ['uninstall git --project', 'claude, codex'],
    ['status git --plugin somewhere', 'claude'],
    ['test git --client somewhere', 'claude, codex, gemini'],
    ['test qwen --client somewhere', 'claude, codex, gemini'],
  ])('hooks %s is refused: the option would change nothing', async (words, forWhom) => {
    const { lh } = person()
    expect(await lh.refused('usage', `hooks ${words}`)).toMatchObject({
      message: expect.stringContaining('changes nothing for'),
      hint: expect.stringContaining(`it is for ${forWhom}`),
    })
  })

  it('says in one list how it is with every agent', async () => {
    const { lh } = person()
    await lh.ok('hooks install claude')
    const { agents, count } = await lh.ok('hooks status')
    expect(count).toBe(agentNames.length)
    expect(Object.fromEntries(agents.map(({ agent, fires }: { agent: string; fires: boolean | null }) => [agent, fires]))).toMatchObject({
      claude: true,
      gemini: null,
    })
  })

  type Settings = { hooks: Record<string, { matcher: string }[]> }
  it.each<[string, string, (settings: Settings) => void]>([
    ['Stop is gone', 'Stop has lost its hook', ({ hooks }) => delete hooks['Stop']],
    ['PostToolUse is gone', 'PostToolUse has lost its hook', ({ hooks }) => delete hooks['PostToolUse']],
    ['another has its place', 'SessionEnd has lost its hook', ({ hooks }) => (hooks['SessionEnd'] = hooks['Stop']!)],
    [
      'its matcher is narrower',
      'PreToolUse is not asked about Edit MultiEdit',
      ({ hooks }) => (hooks['PreToolUse']![0]!.matcher = 'Write'),
    ],
  ])('says when %s, and installs it anew', async (_name, said, change) => {
    const { lh, home } = person()
    await lh.ok('hooks install claude')
    const file = path.join(home, '.claude', 'settings.json')
    const settings = JSON.parse(fs.readFileSync(file, 'utf8'))
    change(settings)
    fs.writeFileSync(file, JSON.stringify(settings))
    const status = await lh.run('hooks status claude')
    expect([status.code, status.stdout]).toEqual([exits.policy, expect.stringContaining(said)])
    expect(status.stdout).toContain('would not run')
    await lh.ok('hooks install claude')
    expect((await lh.ok('hooks status claude')).agents).toMatchObject([{ fires: true, wirings: [{ state: 'complete' }] }])
  })

  it('takes hooks that ask about more than they have to for whole', async () => {
    const { lh, home } = person()
    await lh.ok('hooks install claude')
    const file = path.join(home, '.claude', 'settings.json')
    const settings: Settings = JSON.parse(fs.readFileSync(file, 'utf8'))
    settings.hooks['PreToolUse']![0]!.matcher = '.*'
    Reflect.deleteProperty(settings.hooks['PostToolUse']![0]!, 'matcher')
    fs.writeFileSync(file, JSON.stringify(settings))
    expect((await lh.ok('hooks status claude')).agents).toMatchObject([{ fires: true, wirings: [{ state: 'outdated', missing: [] }] }])
  })

  it('says of an agent that is wired through another’s settings which ones to try', async () => {
    const { lh, home } = person()
    await lh.ok('hooks install claude')
    expect(await lh.refused('policy', 'hooks test cursor')).toMatchObject({
      message: expect.stringContaining(path.join(home, '.claude', 'settings.json')),
      hint: 'lh hooks test claude',
    })
    await lh.ok('hooks test claude')
    await lh.ok('hooks install cursor --beside')
    expect(await lh.ok('hooks test cursor')).toMatchObject({ agent: 'cursor', tried: 'hook' })
  })

  it('says in lh status which leases no hook renews', async () => {
    const { lh, repo, home } = person()
    const me = repo.as('human:alice', { HOME: home })
    await me.acquire('env:n')
    await me.acquire('env:forever --ttl 0 --reason x')
    await repo.as('human:alice', { HOME: home, LEASEHOLD_SESSION_ID: 's-1' }).acquire('env:s')
    const warnings = async () => ((await me.ok('status')).warnings as string[]).filter(text => text.includes('without a session'))
    expect(await warnings(), 'nobody has hooks').toEqual([])
    await lh.ok('hooks install claude')
    expect(await warnings()).toEqual([expect.stringMatching(/^env:n was taken without a session: hooks do not renew it/)])
    expect((await me.run('status')).stdout).toContain('env:n was taken without a session')
  })

  it('goes through lh on PATH when the installation is gone, and lets pass without it', async () => {
    const found = person()
    const { lh, home, repo } = found
    const copy = folder('dist-')
    fs.cpSync(path.dirname(executable), path.join(copy, 'bin'), { recursive: true })
    const install = new Running(process.execPath, [path.join(copy, 'bin', 'lh.cjs'), 'hooks', 'install', 'claude'], {
      cwd: repo.dir,
      env: lh.env,
    })
    expect((await install.ended).code).toBe(0)
    fs.rmSync(copy, { recursive: true })
    const [handler] = JSON.parse(fs.readFileSync(path.join(home, '.claude', 'settings.json'), 'utf8')).hooks.PreToolUse[0].hooks
    await stranger(found, 'before-tool')

    const payload = {
      session_id: 'me',
      hook_event_name: 'PreToolUse',
      cwd: repo.dir,
      tool_name: 'Write',
      tool_input: { file_path: 'b', content: '' },
    }
    const call = async (PATH: string) => {
      const running = new Running('/bin/sh', ['-c', `printf %s '${JSON.stringify(payload)}' | ( ${handler.args[1]} )`], {
        cwd: repo.dir,
        env: { HOME: home, PATH },
      })
      return running.ended
    }
    expect(await call('/usr/bin:/bin')).toMatchObject({ code: 0, stdout: '', stderr: 'leasehold: not installed here any more; let pass\n' })
    const bin = folder('bin-')
    fs.writeFileSync(path.join(bin, 'lh'), '#!/bin/sh\necho "unknown command: $1" >&2; exit 2\n', { mode: 0o755 })
    expect(await call(`${bin}:/usr/bin:/bin`), 'another program of that name blocks nothing').toMatchObject({ code: 0, stdout: '' })
    lhIn(bin)
    expect(await call(`${bin}:/usr/bin:/bin`)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('stranger') })
  })

  it('gives opencode a plugin that throws what the model is told', async () => {
    const found = person()
    const { changes } = await found.lh.ok('hooks install opencode')
    const { Leasehold } = await import(/* @vite-ignore */ pathToFileURL(changes[0].path).href)
    const saved = process.env['HOME']
    process.env['HOME'] = found.home
    try {
      const plugin = await Leasehold({ directory: found.repo.dir })
      const write = (sessionID = 'mine') =>
        plugin['tool.execute.before'](
          { tool: 'write', sessionID, callID: '1' },
          { args: { filePath: path.join(found.repo.dir, 'x'), content: '' } },
        )
      await stranger(found, 'before-tool')
      await expect(write()).rejects.toThrow('parallel session lock held by stranger')
      await stranger(found, 'session-end')
      await write()
      await plugin['tool.execute.after']({ tool: 'write', sessionID: 'mine', callID: '1' })
      // A session that works for it, and one that works for that, are as it is; they do not end its turn.
      for (const [id, parentID] of [
        ['child', 'mine'],
        ['grandchild', 'child'],
        ['mine', 'grandchild'],
      ])
        await plugin.event({ event: { type: 'session.created', properties: { info: { id, parentID } } } })
      for (const id of ['child', 'grandchild']) {
        await write(id)
        await plugin.event({ event: { type: 'session.idle', properties: { sessionID: id } } })
        await plugin.event({ event: { type: 'session.deleted', properties: { info: { id, parentID: 'mine' } } } })
      }
      await expect(write('other')).rejects.toThrow('parallel session lock held by mine')
      await plugin.event({ event: { type: 'session.idle', properties: { sessionID: 'mine' } } })
      await stranger(found, 'before-tool')
    } finally {
      process.env['HOME'] = saved
    }
  })
})
