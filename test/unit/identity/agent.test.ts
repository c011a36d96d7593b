import { spawn, type ChildProcess } from 'node:child_process'
import { afterAll, describe, expect, it } from 'vitest'
import { processStartTicks, type Ancestor } from '../../../src/host/process.ts'
import { parseAgentId, resolveAgent, resolveSession, resolveWitness, type AgentSources } from '../../../src/service/identity/agent.ts'

const children: ChildProcess[] = []
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
})

const nobody = async (): Promise<string | null> => null
const none = (): readonly Ancestor[] => []
const agentOf = (sources: Partial<AgentSources>): ReturnType<typeof resolveAgent> =>
  resolveAgent({ env: {}, gitUserName: nobody, ...sources })
const ancestor = (pid: number, comm: string, ...cmdline: string[]): Ancestor => ({ pid, startTicks: pid * 10, comm, cmdline })

describe('resolveAgent', () => {
  const claude = { CLAUDE_CODE_SESSION_ID: 'abcdef12-3456-7890' }
  const everything: AgentSources = {
    flag: 'agent:flag',
    env: { LEASEHOLD_AGENT_ID: 'ci:env', ...claude },
    config: 'human:config',
    gitUserName: async () => 'Alice Example',
  }

  it('takes the first that is there, in the documented order, and says where from', async () => {
    const { flag: _, ...withoutFlag } = everything
    expect(await resolveAgent(everything)).toEqual({ agentId: 'agent:flag', origin: '--agent' })
    expect(await resolveAgent(withoutFlag)).toEqual({ agentId: 'ci:env', origin: 'environment LEASEHOLD_AGENT_ID' })
    expect(await resolveAgent({ ...withoutFlag, env: claude })).toEqual({
      agentId: 'human:config',
      origin: 'agent.id in the user configuration',
    })
    expect(await resolveAgent({ ...withoutFlag, env: claude, config: null })).toEqual({
      agentId: 'agent:claude-abcdef12',
      origin: 'session of environment CLAUDE_CODE_SESSION_ID',
    })
    expect(await resolveAgent({ ...withoutFlag, env: {}, config: null })).toEqual({
      agentId: 'human:Alice Example',
      origin: 'git user.name',
    })
  })

  it('asks Git only when nobody else has said', async () => {
    const gitUserName = (): Promise<never> => Promise.reject(new Error('asked'))
    for (const sources of [{ flag: 'a:b' }, { env: { LEASEHOLD_AGENT_ID: 'a:b' } }, { config: 'a:b' }, { env: claude }]) {
      expect((await agentOf({ ...sources, gitUserName })).agentId).toMatch(/^a/)
    }
    await expect(agentOf({ gitUserName })).rejects.toThrow('asked')
  })

  it('names the command that helps when nobody has said at all', async () => {
    for (const name of [null, '', '  \u0007 ']) {
      await expect(agentOf({ gitUserName: async () => name })).rejects.toMatchObject({
        name: 'Fault',
        code: 'policy',
        hint: expect.stringContaining('lh config set --user agent.id human:'),
      })
    }
  })

  it('treats an empty variable as unset, and cleans a name from Git', async () => {
    expect((await agentOf({ env: { LEASEHOLD_AGENT_ID: '' }, config: 'human:a' })).agentId).toBe('human:a')
    expect((await agentOf({ gitUserName: async () => ' Zoe\u0301 \u001b[31m' })).agentId).toBe('human:Zo\u00e9 [31m')
  })
})

describe('parseAgentId', () => {
  it('takes every type and printable identifier, in one spelling', () => {
    for (const id of [
      'agent:claude-1',
      'human:alice',
      'ci:build/17',
      'human:Ann Li',
      'my_bot-2:a:b',
      `a:${'x'.repeat(128)}`,
      'human:山田',
    ]) {
      expect(parseAgentId(id, '--agent')).toBe(id)
    }
    expect(parseAgentId('human:Zoe\u0301', '--agent')).toBe('human:Zo\u00e9')
  })

  it('refuses the rest, naming the source and an example', () => {
    const bad = [
      'alice',
      '',
      ':x',
      'Human:alice',
      '1a:x',
      'agent:',
      `a:${'x'.repeat(129)}`,
      `a:${'é'.repeat(65)}`,
      'a: x',
      'a:x ',
      'a:x\n',
      'a:\u001b[1m',
      'a:\u202ex',
      'a:\ud800',
    ]
    for (const id of bad) {
      expect(() => parseAgentId(id, 'LEASEHOLD_AGENT_ID'), JSON.stringify(id)).toThrow(
        expect.objectContaining({
          name: 'Fault',
          code: 'usage',
          message: expect.stringContaining('LEASEHOLD_AGENT_ID'),
          hint: expect.stringContaining('human:alice'),
        }),
      )
    }
  })
})

describe('resolveSession', () => {
  it('takes the first variable in the documented order', () => {
    const env: NodeJS.ProcessEnv = {
      LEASEHOLD_SESSION_ID: 'ours',
      CLAUDE_CODE_SESSION_ID: 'c1',
      CODEX_SESSION_ID: 'c2',
      QWEN_CODE_SESSION_ID: 'c3',
      COPILOT_AGENT_SESSION_ID: 'c4',
      GEMINI_CLI: '1',
    }
    const expected = [
      ['LEASEHOLD_SESSION_ID', 'ours', 'claude'],
      ['CLAUDE_CODE_SESSION_ID', 'c1', 'claude'],
      ['CODEX_SESSION_ID', 'c2', 'codex'],
      ['QWEN_CODE_SESSION_ID', 'c3', 'qwen'],
      ['COPILOT_AGENT_SESSION_ID', 'c4', 'copilot'],
    ] as const
    for (const [variable, sessionId, client] of expected) {
      expect(resolveSession(env, none)).toEqual({ sessionId, client, origin: `environment ${variable}` })
      delete env[variable]
    }
    expect(resolveSession({ LEASEHOLD_SESSION_ID: 'ours' }, none)).toMatchObject({ sessionId: 'ours', client: null })
  })

  it('is none for a person, and looks at no process for that', () => {
    expect(resolveSession({ PATH: '/bin' }, () => expect.unreachable())).toBe(null)
  })

  it('uses the nearest ancestor that is the marked agent', async () => {
    const above = [
      ancestor(50, 'bash', 'bash', '-c', 'lh claim list # gemini'),
      ancestor(
        40,
        'node',
        '/usr/bin/node',
        '--max-old-space-size=4096',
        '/usr/lib/node_modules/@google/gemini-cli/dist/index.js',
        '-p',
        'x',
      ),
      ancestor(30, 'node', 'node', '/usr/bin/gemini'),
      ancestor(20, 'claude', 'claude'),
    ]
    const session = resolveSession({ GEMINI_CLI: '1' }, () => above)
    expect(session).toEqual({ sessionId: 'pid40-400', client: 'gemini', origin: 'process 40 (gemini, marked by GEMINI_CLI)' })
    expect(resolveSession({ CLAUDECODE: '1' }, () => above)?.sessionId).toBe('pid20-200')
    expect(resolveSession({ GEMINI_CLI: '1', CLAUDECODE: '1' }, () => above.slice(2))?.sessionId).toBe('pid30-300')
    // Eight characters of "pid12345678-…" would name other processes too.
    expect((await agentOf({ session: { sessionId: 'pid12345678-9', client: 'gemini', origin: 'x' } })).agentId).toBe(
      'agent:gemini-pid12345678',
    )
  })

  it('refuses an agent that cannot be told from the next one', () => {
    const mark = (): unknown =>
      resolveSession({ GEMINI_CLI: '1' }, () => [
        ancestor(50, 'bash', 'bash', '-c', 'gemini -p x'),
        ancestor(9, 'node', 'node', 'server.js', 'gemini'),
      ])
    expect(mark).toThrow(
      expect.objectContaining({
        code: 'policy',
        message: expect.stringContaining('GEMINI_CLI'),
        hint: expect.stringContaining('LEASEHOLD_SESSION_ID'),
      }),
    )
  })

  it('refuses a session id that could forge a screen', () => {
    for (const bad of ['a\nb', ' a', 'x'.repeat(257)]) {
      expect(() => resolveSession({ CODEX_SESSION_ID: bad }, none)).toThrow(
        expect.objectContaining({ code: 'usage', message: expect.stringContaining('CODEX_SESSION_ID') }),
      )
    }
  })
})

describe('resolveWitness', () => {
  it('is the named process while it lives', async () => {
    const child = spawn('sleep', ['60'])
    children.push(child)
    const pid = child.pid ?? 0
    const found = resolveWitness({ CLAUDE_PID: String(pid) })
    expect(found).toMatchObject({ origin: 'environment CLAUDE_PID', witness: { pid, pidStartTicks: processStartTicks(pid) } })
    expect(resolveWitness({ LEASEHOLD_PID: String(process.ppid), CLAUDE_PID: String(pid) })?.witness.pid).toBe(process.ppid)
    expect(resolveWitness({ CLAUDE_PID: '4194305' })).toBe(null)
    expect(resolveWitness({ CLAUDE_PID: 'x' })).toBe(null)
    expect(resolveWitness({})).toBe(null)
  })

  it('refuses a LEASEHOLD_PID that is none', () => {
    for (const bad of ['x', '-1', '0', '1e3', '4194305'])
      expect(() => resolveWitness({ LEASEHOLD_PID: bad, CLAUDE_PID: String(process.ppid) })).toThrow(
        expect.objectContaining({ code: 'usage', message: expect.stringContaining('LEASEHOLD_PID') }),
      )
  })
})
