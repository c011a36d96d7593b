import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { Verdict } from '../../../src/service/launch/evidence.ts'
import type { AcpRun } from '../../../src/service/launch/profiles/acp.ts'
import { runAcp } from '../../../src/service/launch/profiles/acp.ts'
import { parse, until, type Doc } from '../../support/cli.ts'

/** An agent that answers each request as it is told, and writes down what it was asked. */
class Agent {
  readonly stdin = new PassThrough()
  readonly stdout = new PassThrough()
  readonly asked: Doc[] = []
  readonly #answers: Readonly<Record<string, (message: Doc, agent: Agent) => unknown>>
  readonly #waiting = new Map<unknown, (message: Doc) => void>()
  #rest = ''

  constructor(answers: Readonly<Record<string, (message: Doc, agent: Agent) => unknown>>) {
    this.#answers = { ...usual, ...answers }
    this.stdin.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n')
      this.#rest = lines.pop()!
      for (const line of lines) void this.#hear(parse(line))
    })
  }

  async #hear(message: Doc): Promise<void> {
    this.asked.push(message)
    if (message.method === undefined) return this.#waiting.get(message.id)?.(message)
    const answer = await this.#answers[message.method]?.(message, this)
    if (message.id !== undefined && answer !== undefined) this.send({ id: message.id, ...(answer as object) })
  }

  send(message: object): void {
    this.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
  }

  update(update: object): void {
    this.send({ method: 'session/update', params: { sessionId: 's1', update } })
  }

  say(text: string): void {
    this.update({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } })
  }

  /** Asks the client, and gives its answer. */
  ask(id: number, method: string, params: object): Promise<Doc> {
    const answer = new Promise<Doc>(resolve => this.#waiting.set(id, resolve))
    this.send({ id, method, params })
    return answer
  }
}

const usual = {
  initialize: () => ({ result: { protocolVersion: 1, agentCapabilities: { loadSession: true }, authMethods: [] } }),
  'session/new': () => ({ result: { sessionId: 's1' } }),
  'session/load': (_: Doc, agent: Agent) => {
    agent.update({ sessionUpdate: 'tool_call', toolCallId: 'old', title: 'old', kind: 'edit', status: 'completed' })
    agent.say('long ago')
    return { result: {} }
  },
}

const options = [
  { optionId: 'always', name: 'Always', kind: 'allow_always' },
  { optionId: 'yes', name: 'Yes', kind: 'allow_once' },
  { optionId: 'no', name: 'No', kind: 'reject_once' },
]

const toolCall = { sessionUpdate: 'tool_call', toolCallId: 't1', title: 'write a.txt', kind: 'edit', status: 'pending' }

interface Told {
  readonly verdicts: Verdict[]
  readonly texts: string[]
  readonly sessions: string[]
  readonly ended: Promise<{ readonly stopReason: string }>
  readonly abort: (reason: Error) => void
}

function run(agent: Agent, more: Partial<AcpRun> = {}): Told {
  const verdicts: Verdict[] = []
  const texts: string[] = []
  const sessions: string[] = []
  const controller = new AbortController()
  const ended = runAcp({
    stdin: agent.stdin,
    stdout: agent.stdout,
    cwd: '/workspace',
    prompt: 'PROMPT-OF-THE-USER',
    env: { AGENT_KEY: 'hunter2hunter2' },
    permit: 'reject',
    onText: text => void texts.push(text),
    onVerdict: verdict => void verdicts.push(verdict),
    onSession: id => void sessions.push(id),
    signal: controller.signal,
    ...more,
  })
  ended.catch(() => undefined)
  return { verdicts, texts, sessions, ended, abort: reason => controller.abort(reason) }
}

describe('an agent that speaks ACP', () => {
  it('is accepted when its first turn is over, and not before', async () => {
    const agent = new Agent({
      'session/prompt': (_, self) => {
        self.update({ sessionUpdate: 'available_commands_update', availableCommands: [] })
        self.say('Hel')
        self.say('lo')
        return { result: { stopReason: 'end_turn' } }
      },
    })
    const told = run(agent)
    expect(await told.ended).toEqual({ stopReason: 'end_turn' })
    expect(told.verdicts).toEqual([
      { state: 'waiting', step: 'client started' },
      { state: 'waiting', step: 'session opened' },
      { state: 'waiting', step: 'the agent is answering' },
      { state: 'accepted', evidence: { kind: 'model-answer', seen: 'the first turn is over (end_turn)', confirmed: true } },
    ])
    expect(told.texts.join('')).toBe('Hello')
    expect(told.sessions).toEqual(['s1'])
    expect(agent.asked.map(({ method }) => method)).toEqual(['initialize', 'session/new', 'session/prompt'])
    expect(agent.asked[1].params).toEqual({ cwd: '/workspace', mcpServers: [] })
    expect(agent.asked[2].params.prompt).toEqual([{ type: 'text', text: 'PROMPT-OF-THE-USER' }])
  })

  it.each(['agent_message_chunk', 'agent_thought_chunk'])('is accepted while it gives a long answer (%s)', async sessionUpdate => {
    let end: (answer: object) => void = () => undefined
    const agent = new Agent({
      'session/prompt': (_, self) => {
        for (let count = 0; count < 100; count++) self.update({ sessionUpdate, content: { type: 'text', text: 'ten chars ' } })
        return new Promise<object>(resolve => (end = resolve))
      },
    })
    const told = run(agent)
    await until(() => told.verdicts.at(-1)?.state === 'accepted', 'it is accepted')
    expect(told.verdicts.at(-1)).toEqual({
      state: 'accepted',
      evidence: { kind: 'model-answer', seen: '1000 characters of an answer', confirmed: true },
    })
    expect(told.verdicts.at(-2)).toEqual({ state: 'waiting', step: 'the agent is answering' })
    end({ result: { stopReason: 'end_turn' } })
    await told.ended
    expect(told.verdicts.filter(({ state }) => state === 'accepted')).toHaveLength(1)
  })

  it('is accepted at its first tool call', async () => {
    const agent = new Agent({
      'session/prompt': (_, self) => {
        self.update(toolCall)
        return { error: { code: -32_603, message: 'died later' } }
      },
    })
    const told = run(agent)
    await expect(told.ended).rejects.toMatchObject({ name: 'Fault', code: 'launch_failed', message: 'died later' })
    expect(told.verdicts.at(-1)).toEqual({
      state: 'accepted',
      evidence: { kind: 'tool-call', seen: 'a tool call of the agent (edit)', confirmed: true },
    })
  })

  it.each([
    ['allow', 'yes'],
    ['reject', 'no'],
  ] as const)('is accepted when it asks for a permission, which the policy %s answers with "%s"', async (permit, optionId) => {
    const outcomes: Doc[] = []
    const agent = new Agent({
      'session/prompt': async (_, self) => {
        const { sessionUpdate: _drop, ...call } = toolCall
        const answer = await self.ask(900, 'session/request_permission', { sessionId: 's1', toolCall: call, options })
        outcomes.push(answer.result.outcome)
        outcomes.push((await self.ask(901, 'session/request_permission', { sessionId: 's1', toolCall: call, options: [] })).result.outcome)
        return { result: { stopReason: 'end_turn' } }
      },
    })
    const told = run(agent, { permit })
    await told.ended
    expect(told.verdicts.at(-1)).toMatchObject({ state: 'accepted', evidence: { kind: 'tool-call' } })
    expect(outcomes).toEqual([{ outcome: 'selected', optionId }, { outcome: 'cancelled' }])
  })

  it('is rejected when it answers with an error, also after a message of its own', async () => {
    const agent = new Agent({
      'session/prompt': (_, self) => {
        self.say('Invalid API key')
        return { error: { code: -32_000, message: 'Authentication required', data: { details: 'key hunter2hunter2 is wrong' } } }
      },
    })
    const told = run(agent)
    await expect(told.ended).rejects.toMatchObject({ code: 'launch_failed' })
    expect(told.verdicts.at(-1)).toEqual({ state: 'rejected', reason: 'Authentication required: key [hidden] is wrong' })
  })

  it.each([
    ['initialize', { error: { code: -32_603, message: 'no' } }, /no/],
    ['initialize', { result: { protocolVersion: 99, agentCapabilities: {} } }, /version 99/],
    ['initialize', { result: { protocolVersion: '1' } }, /^it gives "1" as its version of ACP, not the number 1$/],
    ['initialize', { result: {} }, /^it gives nothing as its version of ACP, not the number 1$/],
    ['initialize', { result: null }, /^it answered initialize with null, which is no object$/],
    ['initialize', { result: [1] }, /^it answered initialize with \[1\], which is no object$/],
    ['session/new', { result: null }, /^it answered session\/new with null, which is no object$/],
    ['session/prompt', { result: null }, /^it answered session\/prompt with null, which is no object$/],
    ['session/new', { error: { code: -32_000, message: 'Authentication required' } }, /Authentication required/],
    ['session/new', { result: { sessionId: '../x' } }, /no usable id/],
    ['session/prompt', { result: { stopReason: 'end_turn' } }, /without an answer/],
    ['session/prompt', { result: { stopReason: 'cancelled' } }, /cancelled/],
  ])('is rejected when %s is answered with %j', async (method, answer, reason) => {
    const told = run(new Agent({ [method]: () => answer }))
    await told.ended.catch(() => undefined)
    const last = told.verdicts.at(-1)
    expect(last?.state).toBe('rejected')
    expect(last?.state === 'rejected' && last.reason).toMatch(reason)
  })

  it('is rejected when it goes away in the middle of an answer', async () => {
    const agent = new Agent({
      'session/prompt': (_, self) => {
        self.say('Hel')
        self.stdout.end()
      },
    })
    const told = run(agent)
    await expect(told.ended).rejects.toMatchObject({ code: 'launch_failed' })
    expect(told.verdicts.at(-1)?.state).toBe('rejected')
  })

  it('is waited for when it hangs, cancelled when told, and left when it does not mind', async () => {
    for (const obeys of [true, false]) {
      let prompted: () => void = () => undefined
      const hanging = new Promise<void>(resolve => (prompted = resolve))
      const agent = new Agent({
        'session/prompt': () => prompted(),
        'session/cancel': (_, self) => {
          const { id } = self.asked.find(({ method }) => method === 'session/prompt')
          if (obeys) self.send({ id, result: { stopReason: 'cancelled' } })
          else self.stdout.end()
        },
      })
      const told = run(agent)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await hanging
      expect(told.verdicts.at(-1)).toEqual({ state: 'waiting', step: 'session opened' })
      told.abort(new Error('out of time'))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const end = await told.ended.catch((error: unknown) => error)
      if (obeys) expect(end).toEqual({ stopReason: 'cancelled' })
      else expect(end).toMatchObject({ code: 'launch_failed' })
      expect(told.verdicts.at(-1)?.state).toBe('rejected')
    }
  })

  it('is left at once when it has not even answered the handshake', async () => {
    const agent = new Agent({ initialize: () => undefined })
    const told = run(agent)
    told.abort(new Error('out of time'))
    await expect(told.ended).rejects.toMatchObject({ code: 'launch_failed', message: 'out of time' })
    expect(told.verdicts).toEqual([{ state: 'rejected', reason: 'out of time' }])
  })

  it('may print garbage between its messages', async () => {
    const agent = new Agent({
      'session/prompt': (_, self) => {
        self.stdout.write('warning: no terminal\n{broken\n[]\n7\n\n')
        self.update({ sessionUpdate: 'something_new', x: 1 })
        self.send({ method: 'session/update', params: 7 })
        self.update({ sessionUpdate: 'agent_message_chunk', content: 7 })
        self.say('Hello')
        return { result: { stopReason: 'end_turn' } }
      },
    })
    const told = run(agent)
    await told.ended
    expect(told.verdicts.at(-1)).toMatchObject({ state: 'accepted' })
    expect(told.texts).toEqual(['Hello'])
  })

  it('opens a session of before, whose history is no evidence and is not said again', async () => {
    const agent = new Agent({
      'session/load': async (message, self) => {
        const { sessionUpdate: _drop, ...call } = toolCall
        await self.ask(900, 'session/request_permission', { sessionId: 's0', toolCall: call, options })
        return usual['session/load'](message, self)
      },
      'session/prompt': () => ({ error: { code: -32_603, message: 'no model' } }),
    })
    const told = run(agent, { resume: 's0' })
    await expect(told.ended).rejects.toMatchObject({ code: 'launch_failed' })
    const methods = agent.asked.map(({ method }) => method).filter(method => method !== undefined)
    expect(methods).toEqual(['initialize', 'session/load', 'session/prompt'])
    expect(agent.asked[1].params.sessionId).toBe('s0')
    expect(told.verdicts.map(({ state }) => state)).toEqual(['waiting', 'waiting', 'rejected'])
    expect(told.texts).toEqual([])

    const better = new Agent({
      initialize: () => ({ result: { protocolVersion: 1, agentCapabilities: { sessionCapabilities: { resume: {} } } } }),
      'session/resume': () => ({ result: {} }),
      'session/prompt': (_, self) => {
        self.say('on')
        return { result: { stopReason: 'end_turn' } }
      },
    })
    await run(better, { resume: 's0' }).ended
    expect(better.asked.map(({ method }) => method)).toEqual(['initialize', 'session/resume', 'session/prompt'])

    const unable = new Agent({ initialize: () => ({ result: { protocolVersion: 1, agentCapabilities: {} } }) })
    await expect(run(unable, { resume: 's0' }).ended).rejects.toThrow('cannot open a session again')
  })
})
