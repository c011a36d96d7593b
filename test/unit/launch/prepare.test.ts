import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { presentAt } from '../../../src/host/look.ts'
import type { LaunchRequest, Prepared, ProfileName } from '../../../src/service/launch/evidence.ts'
import { guessProfile, profileOf } from '../../../src/service/launch/profiles/by-name.ts'
import { Arguments, splitCommand } from '../../../src/service/launch/profiles/arguments.ts'
import { folder } from '../../support/cli.ts'
import { request } from './recorded.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const id = '0b0c80ff-3c50-487b-8245-8ef44211e803'

const prepare = async (name: ProfileName, command: string, more: Partial<LaunchRequest> = {}): Promise<Prepared> =>
  (await profileOf(name)).prepare(request(command, more))

const settingsOf = ({ command }: Prepared): Record<string, unknown> | null => {
  const at = command.indexOf('--settings')
  return at < 0 ? null : (JSON.parse(command[at + 1]!) as { hooks: Record<string, unknown> }).hooks
}

describe('claude', () => {
  it('reads the stream where the command asks for one, and adds nothing but a session id', async () => {
    const prepared = await prepare('claude', 'claude -p hello --output-format stream-json --verbose', { hooksInstalled: false })
    expect(prepared).toMatchObject({ stdio: 'stdout', hooks: 'helpful', warnings: [] })
    expect(prepared.clientSessionId).toMatch(uuid)
    expect(prepared.command.join(' ')).toBe(
      `claude --session-id ${prepared.clientSessionId} -p hello --output-format stream-json --verbose`,
    )
    expect(prepared.judge.clientSessionId).toBe(prepared.clientSessionId)
  })

  it.each([
    ['claude', true],
    ['claude -p hello', false],
    ['claude -p hello --output-format json', false],
    ['claude --model opus', false],
  ])('leaves the output of %s alone and brings hooks', async (command, interactive) => {
    const prepared = await prepare('claude', command, { interactive, hooksInstalled: false })
    expect(prepared).toMatchObject({ stdio: 'inherit', hooks: 'needed', warnings: [] })
    expect(Object.keys(settingsOf(prepared)!)).toEqual([
      'SessionStart',
      'UserPromptSubmit',
      'PreToolUse',
      'Stop',
      'StopFailure',
      'SessionEnd',
    ])
    expect(JSON.stringify(settingsOf(prepared))).toContain("'/opt/hook.cjs' refresh --agent claude")
    expect(JSON.stringify(settingsOf(prepared)), 'a launch brings no session lock').not.toContain('before-tool')
  })

  it('adds only the hook that is not installed where ours are, and none beside --settings', async () => {
    expect(Object.keys(settingsOf(await prepare('claude', 'claude -p hello'))!)).toEqual(['StopFailure'])
    const own = await prepare('claude', 'claude -p hello --settings mine.json')
    expect(own.command.filter(word => word === '--settings')).toHaveLength(1)
    expect(own.warnings).toEqual([])
    const without = await prepare('claude', 'claude -p hello --settings=mine.json', { hooksInstalled: false })
    expect(without.command).not.toContain('--settings')
    expect(without.warnings).toHaveLength(1)
  })

  it.each([
    [`claude -p x --session-id ${id} --output-format stream-json`, id],
    [`claude -p x --session-id=${id} --output-format stream-json`, id],
    [`claude -p x --resume ${id} --output-format stream-json`, id],
    [`claude -p x -r ${id} --fork-session --output-format stream-json`, null],
    ['claude -p x --resume by-its-name --output-format stream-json', null],
    ['claude -p x --continue --output-format stream-json', null],
    ['claude -p x -c --output-format stream-json', null],
  ])('knows the session of %s: %s', async (command, session) => {
    const prepared = await prepare('claude', command)
    expect(prepared.clientSessionId).toBe(session)
    expect(prepared.command.join(' '), 'nothing is added').toBe(command)
  })

  it.each(['claude --bg x', 'claude --help', 'claude --version', 'claude --cloud x', 'claude --bare -p x', 'claude --safe-mode'])(
    'refuses %s',
    async command => {
      await expect(prepare('claude', command)).rejects.toMatchObject({ code: 'usage' })
    },
  )

  it('adds options behind the program, also where another one runs it', async () => {
    for (const start of [
      'npx @anthropic-ai/claude-code',
      'npx -y -p @anthropic-ai/claude-code claude',
      'npx --package=@anthropic-ai/claude-code claude',
      'node /x/claude-code/cli.js',
      'env A=b claude',
      'env BIN=/opt/claude claude',
      'sudo -u claude claude',
      './my-agent.sh',
    ]) {
      const { command, clientSessionId } = await prepare('claude', `${start} -p hello --output-format stream-json`)
      expect(command.join(' ')).toBe(`${start} --session-id ${clientSessionId} -p hello --output-format stream-json`)
    }
  })

  it('opens a session again with how it may work, and without what it was told', async () => {
    const claude = await profileOf('claude')
    const home = folder('home-')
    const around = { env: { HOME: home }, cwd: '/' }
    const command =
      'claude -p PROMPT --model opus --add-dir a b --output-format stream-json --verbose --session-id=x --permission-mode=acceptEdits --unknown y'
    const before = claude.resumable(id, { ...around, command: command.split(' ') })!
    expect(before.command.join(' ')).toBe(`claude --resume ${id} --model opus --add-dir a b --permission-mode=acceptEdits`)
    expect(before.stored).toBe(path.join(home, '.claude/projects/*', `${id}.jsonl`))
    expect(fs.existsSync(before.stored!)).toBe(false)
    const file = path.join(home, '.claude/projects/-workspace', `${id}.jsonl`)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, '{}\n')
    expect(claude.resumable(id, { ...around, command: ['claude'] })!.stored).toBe(file)
    expect(presentAt(before.stored!)).toBe(file)
    const elsewhere = claude.resumable(id, {
      ...around,
      env: { HOME: '/nowhere', CLAUDE_CONFIG_DIR: path.join(home, '.claude') },
      command: ['claude'],
    })
    expect(elsewhere!.stored).toBe(file)
    expect(claude.resumable(id, { ...around, command: ['claude', '-p', 'x', '--no-session-persistence'] })).toBeNull()
    const launched = await prepare('claude', 'claude -p PROMPT --model opus', { hooksInstalled: false })
    const again = claude.resumable(id, { ...around, command: launched.command })!
    expect(again.command.join(' '), 'without what was added for one launch').toBe(`claude --resume ${id} --model opus`)
    expect(claude.resumable(id, { ...around, command: ['claude', '--settings', 'mine.json'] })!.command).toContain('mine.json')
    expect(claude.resumable('../../x', { ...around, command: ['claude'] })).toBeNull()
  })
})

describe('codex', () => {
  it.each([
    ['codex exec --json hello', 'stdout', null],
    ['codex e --json hello', 'stdout', null],
    ['codex -m gpt-5.5 exec -c a=b --json hello', 'stdout', null],
    [`codex exec resume --json ${id} hello`, 'stdout', id],
    ['codex exec resume --json --last hello', 'stdout', null],
    ['codex exec hello', 'inherit', null],
    ['codex', 'inherit', null],
    [`codex resume ${id}`, 'inherit', id],
    [`codex fork ${id}`, 'inherit', null],
  ])('%s: %s, session %s', async (command, stdio, session) => {
    const prepared = await prepare('codex', command)
    expect(prepared).toMatchObject({ stdio, clientSessionId: session, hooks: stdio === 'stdout' ? 'helpful' : 'needed' })
    expect(prepared.command.join(' ')).toBe(command)
    expect(prepared.warnings).toHaveLength(stdio === 'stdout' ? 0 : 1)
  })

  it('refuses what can prove nothing', async () => {
    await expect(prepare('codex', 'codex exec hello', { hooksInstalled: false })).rejects.toMatchObject({ code: 'usage' })
    await expect(prepare('codex', 'codex', { hooksInstalled: false })).rejects.toMatchObject({ code: 'usage' })
    await expect(prepare('codex', 'codex login')).rejects.toMatchObject({ code: 'usage' })
    expect((await prepare('codex', 'codex exec --json x', { hooksInstalled: false })).warnings).toEqual([])
  })

  it('finds a session by its id, below the day that it began', async () => {
    const codex = await profileOf('codex')
    const home = folder('home-')
    const ask = (command = 'codex exec --json -m gpt-5.5 -s workspace-write PROMPT') =>
      codex.resumable(id, { env: { HOME: home }, cwd: '/', command: command.split(' ') })
    expect(ask()!.command.join(' ')).toBe(`codex resume -m gpt-5.5 -s workspace-write ${id}`)
    const before = ask()!.stored!
    expect(presentAt(before)).toBeNull()
    const file = path.join(home, '.codex/sessions/2026/11/21', `rollout-2026-11-21T13-35-14-${id}.jsonl`)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, '{}\n')
    expect(ask()!.stored).toBe(file)
    expect(presentAt(before)).toBe(file)
    expect(ask('codex exec --json --ephemeral PROMPT')).toBeNull()
  })
})

describe('gemini and qwen', () => {
  it('reads the stream of gemini and chooses its session', async () => {
    const prepared = await prepare('gemini', 'gemini -o stream-json -p hello', { hooksInstalled: false })
    expect(prepared).toMatchObject({ stdio: 'stdout', hooks: 'helpful' })
    expect(prepared.clientSessionId).toMatch(uuid)
    expect(prepared.command.join(' ')).toBe(`gemini --session-id ${prepared.clientSessionId} -o stream-json -p hello`)
    expect((await prepare('gemini', `gemini --resume ${id} -o stream-json -p x`)).clientSessionId).toBe(id)
    expect((await prepare('gemini', 'gemini --resume latest -o stream-json -p x')).command).not.toContain('--session-id')
  })

  it('refuses what can prove nothing', async () => {
    for (const name of ['gemini', 'qwen'] as const) {
      await expect(prepare(name, `${name} -p hello`, { hooksInstalled: false })).rejects.toMatchObject({ code: 'usage' })
      expect(await prepare(name, `${name} -p hello`)).toMatchObject({ stdio: 'inherit', hooks: 'needed' })
      await expect(prepare(name, `${name} --acp`)).rejects.toMatchObject({ code: 'usage' })
    }
    await expect(prepare('gemini', 'gemini --list-sessions')).rejects.toMatchObject({ code: 'usage' })
    await expect(prepare('gemini', 'gemini mcp list')).rejects.toMatchObject({ code: 'usage' })
  })

  it.each([
    ['codex', `codex resume ${id}`, `codex exec --json resume ${id} PROMPT`],
    ['codex', 'codex', 'codex exec --json PROMPT'],
    ['gemini', `gemini --resume ${id}`, `gemini --resume ${id} -p PROMPT --output-format stream-json`],
    ['gemini', `gemini --session-id ${id}`, 'gemini -p PROMPT --output-format stream-json'],
    ['qwen', `qwen --resume ${id}`, `qwen --resume ${id} -p PROMPT --output-format stream-json`],
    ['qwen', 'qwen', 'qwen -p PROMPT --output-format stream-json'],
  ] as const)('without hooks %s (%s) is told what would do: the same session, where one is opened', async (name, command, shown) => {
    const refused = prepare(name, command, { hooksInstalled: false })
    await expect(refused).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining(`after --: ${shown}; or lh hooks install ${name}`),
    })
    expect(await prepare(name, shown, { hooksInstalled: false })).toMatchObject({ stdio: 'stdout' })
    if (command.includes('resume')) expect((await prepare(name, shown, { hooksInstalled: false })).clientSessionId).toBe(id)
  })

  it('finds a session of gemini by its whole id', async () => {
    const gemini = await profileOf('gemini')
    const home = folder('home-')
    const chats = path.join(home, '.gemini/tmp/workspace/chats')
    fs.mkdirSync(chats, { recursive: true })
    const ask = () => gemini.resumable(id, { env: { HOME: home }, cwd: '/', command: 'gemini -m pro -o stream-json -p x'.split(' ') })!
    fs.writeFileSync(path.join(chats, 'session-2026-11-21T13-45-0b0c80ff.jsonl'), '{"sessionId":"0b0c80ff-another-one"}\n')
    expect(ask().command.join(' ')).toBe(`gemini --resume ${id} -m pro`)
    expect(fs.existsSync(ask().stored!)).toBe(false)
    const file = path.join(chats, 'session-2026-11-21T13-40-0b0c80ff.jsonl')
    fs.writeFileSync(file, `{"sessionId":"${id}","projectHash":"x"}\n`)
    expect(ask().stored).toBe(file)
  })

  it('chooses the session of qwen, and knows that it answers a bare prompt once', async () => {
    const prepared = await prepare('qwen', 'qwen hello -o stream-json', { interactive: true, hooksInstalled: false })
    expect(prepared.stdio).toBe('stdout')
    expect(prepared.command.slice(0, 3)).toEqual(['qwen', '--session-id', prepared.clientSessionId])
    expect((await prepare('qwen', 'qwen -i hello -o stream-json', { interactive: true })).stdio).toBe('inherit')
    expect((await prepare('qwen', `qwen x --resume ${id}`)).clientSessionId).toBe(id)
    expect((await prepare('qwen', `qwen x --resume ${id} --fork-session`)).clientSessionId).toBeNull()
    expect((await prepare('qwen', 'qwen x --continue')).command).not.toContain('--session-id')
  })

  it('finds a session of qwen', async () => {
    const qwen = await profileOf('qwen')
    const home = folder('home-')
    const file = path.join(home, '.qwen/projects/-workspace/chats', `${id}.jsonl`)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, '{}\n')
    expect(qwen.resumable(id, { env: { HOME: home }, cwd: '/', command: ['qwen', '-p', 'x'] })).toEqual({
      command: ['qwen', '--resume', id],
      stored: file,
    })
  })
})

describe('acp and command', () => {
  it('starts them as they are', async () => {
    expect(await prepare('acp', 'gemini --acp')).toMatchObject({ command: ['gemini', '--acp'], stdio: 'acp', hooks: 'no' })
    expect(await prepare('command', './agent')).toMatchObject({ command: ['./agent'], stdio: 'inherit', hooks: 'no' })
    for (const name of ['acp', 'command'] as const) await expect(prepare(name, '')).rejects.toMatchObject({ code: 'usage' })
    expect((await profileOf('acp')).resumable('s1', { command: ['x', '--acp'], env: {}, cwd: '/' })).toEqual({
      command: ['x', '--acp'],
      stored: null,
    })
    expect((await profileOf('command')).resumable('s1', { command: ['x'], env: {}, cwd: '/' })).toBeNull()
  })

  it('matches output line by line', async () => {
    const { stdio, judge } = await prepare('command', './agent', { ready: { kind: 'output', regex: /^listening on \d+/ } })
    expect(stdio).toBe('stdout')
    expect(judge.stdout('not listening on 1').state).toBe('waiting')
    expect(judge.stdout('listening on 80, key hunter2')).toEqual({
      state: 'accepted',
      evidence: { kind: 'output', seen: String.raw`a line that matches /^listening on \d+/`, confirmed: true },
    })
    const long = await prepare('command', './agent', { ready: { kind: 'output', regex: /ready/g } })
    expect(long.judge.stdout(`${'x'.repeat(5000)}ready`).state, 'far behind').toBe('waiting')
  })

  it('takes a report of whichever client where it waits for one, and else none', async () => {
    const stop = { event: 'stop', client: 'copilot', sessionId: 's', pid: 1, tool: null, error: null }
    const hooked = await prepare('command', './agent', { ready: { kind: 'hook' } })
    expect(hooked.hooks).toBe('needed')
    expect(hooked.judge.hook(stop).state).toBe('accepted')
    expect((await prepare('command', './agent')).judge.hook(stop).state).toBe('waiting')
  })

  it('takes --ready for a command only', async () => {
    for (const name of ['claude', 'codex', 'gemini', 'qwen', 'acp'] as const)
      await expect(prepare(name, `${name} x`, { ready: { kind: 'fd' } })).rejects.toMatchObject({ code: 'usage' })
  })
})

describe('command lines', () => {
  it.each([
    ['/usr/bin/claude -p x', 'claude'],
    ['codex exec', 'codex'],
    ['./node_modules/.bin/gemini', 'gemini'],
    ['qwen', 'qwen'],
    ['claude.exe', 'claude'],
    ['claude-wrapper', 'command'],
    ['npx codex', 'command'],
    ['', 'command'],
  ])('%s is of the profile %s', (command, name) => {
    expect(guessProfile(command === '' ? [] : command.split(' '))).toBe(name)
  })

  it('reads options with values, with lists, with none, and what comes after --', () => {
    const given = new Arguments('-m x --list a b --flag rest --eq=1=2 --maybe -- --no option'.split(' '), {
      values: ['-m'],
      lists: ['--list'],
      optional: ['--maybe'],
    })
    expect(given.value('-m')).toBe('x')
    expect(given.value('--eq')).toBe('1=2')
    expect(given.value('--maybe')).toBeNull()
    expect(given.has('--maybe')).toBe(true)
    expect(given.has('--no')).toBe(false)
    expect(given.others).toEqual(['rest', '--no', 'option'])
    expect(given.only(['--list', '--eq'])).toEqual(['--list', 'a', 'b', '--eq=1=2'])
    expect(new Arguments(['-m'], { values: ['-m'] }).value('-m')).toBeNull()
  })

  it('does not take an argument for the program', () => {
    expect(splitCommand(['my-runner', 'codex'], /codex/).program).toEqual(['my-runner'])
    expect(splitCommand([], /codex/)).toEqual({ program: [], args: [] })
  })
})
