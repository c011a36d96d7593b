import { describe, expect, it } from 'vitest'
import type { HookReport, Judge, LaunchRequest, Verdict } from '../../../src/service/launch/evidence.ts'
import { profileOf } from '../../../src/service/launch/profiles/by-name.ts'
import { outcome, recorded, reported, request, streaming } from './recorded.ts'

type Client = keyof typeof streaming

const profiles = {
  claude: await profileOf('claude'),
  codex: await profileOf('codex'),
  gemini: await profileOf('gemini'),
  qwen: await profileOf('qwen'),
}

const judgeOf = (client: Client, more: Partial<LaunchRequest> = {}): Judge =>
  profiles[client].prepare(request(streaming[client], more)).judge

/** The judge knows its session's id before the start where it chose it; a recording has its own. */
const open = (client: Client): Judge =>
  client === 'claude'
    ? profiles.claude.prepare(request('claude -p PROMPT-OF-THE-USER --continue --output-format stream-json')).judge
    : client === 'gemini'
      ? profiles.gemini.prepare(request('gemini -o stream-json --resume latest -p PROMPT-OF-THE-USER')).judge
      : client === 'qwen'
        ? profiles.qwen.prepare(request('qwen -o stream-json --continue -p PROMPT-OF-THE-USER')).judge
        : judgeOf(client)

const client = (recording: string): Client => recording.split('-')[0] as Client

const overStream = (recording: string): { readonly after: number; readonly verdict: Verdict } => {
  const judge = open(client(recording))
  return outcome(recorded(recording), line => judge.stdout(line))
}

const overHooks = (recording: string): { readonly after: number; readonly verdict: Verdict } => {
  const judge = open(client(recording))
  return outcome(reported(recording), report => judge.hook(report))
}

const bad = ['claude', 'codex', 'gemini', 'qwen']
  .flatMap(name => [`${name}-wrong-key`, `${name}-hangs`, `${name}-dies`])
  .concat('claude-dies-tool')

describe('the stream of a real client', () => {
  it.each([
    ['claude-good', 4, 'model-answer', 'a message of the model (claude-opus-5-5)'],
    ['claude-good-tool', 4, 'tool-call', 'the model (claude-opus-5-5) called Bash'],
    ['codex-good', 6, 'model-answer', 'the first turn was completed'],
    ['codex-good-tool', 5, 'tool-call', 'the model started command_execution'],
    ['gemini-good', 4, 'model-answer', 'an answer of the model'],
    ['gemini-good-tool', 3, 'tool-call', 'the model called run_shell_command'],
    ['qwen-good', 4, 'model-answer', 'an answer of the model'],
    ['qwen-good-tool', 3, 'tool-call', 'the model (m) called run_shell_command'],
  ])('%s is accepted at line %i: %s', (recording, after, kind, seen) => {
    expect(overStream(recording)).toEqual({ after, verdict: { state: 'accepted', evidence: { kind, seen, confirmed: true } } })
  })

  it.each([
    ['claude-wrong-key', 6, 'authentication_failed: Invalid API key · Fix external API key'],
    ['claude-dies', 6, /^server_error: API Error: Connection to the API was lost/],
    ['claude-dies-tool', 6, /^server_error: API Error/],
    ['codex-wrong-key', 6, /^unexpected status 401 Unauthorized: Incorrect API key provided/],
    ['codex-dies', 7, /^stream disconnected before completion/],
    ['gemini-wrong-key', 3, /API key not valid/],
    ['gemini-dies', 3, '[API Error: terminated]'],
    ['qwen-wrong-key', 3, /401 Incorrect API key/],
    ['qwen-dies', 7, /terminated/],
  ])('%s is rejected at line %i', (recording, after, reason) => {
    const found = overStream(recording)
    expect(found).toMatchObject({ after, verdict: { state: 'rejected' } })
    expect(found.verdict.state === 'rejected' && found.verdict.reason).toMatch(reason)
  })

  it.each([
    ['claude-hangs', 'client started'],
    ['codex-hangs', 'prompt taken'],
    ['gemini-hangs', 'prompt taken'],
    ['qwen-hangs', 'client started'],
  ])('%s is waited for, at "%s"', (recording, step) => {
    expect(overStream(recording).verdict).toEqual({ state: 'waiting', step })
  })

  it('names the status of an API that refuses, as long as the client tries again', () => {
    const judge = open('claude')
    const steps = recorded('claude-wrong-key').map(line => judge.stdout(line))
    expect(steps).toContainEqual({ state: 'waiting', step: 'the API said 401 (authentication_failed), retry 2 of 2' })
    const dying = open('claude')
    expect(recorded('claude-dies').map(line => dying.stdout(line))).toContainEqual({
      state: 'waiting',
      step: 'no answer of the API, retry 1 of 2',
    })
  })

  it('tells the session as soon as it is named', () => {
    for (const [recording, line] of [
      ['claude-good', 3],
      ['codex-good', 1],
      ['gemini-good', 1],
    ] as const) {
      const judge = open(client(recording))
      const ids = recorded(recording).map(text => [judge.stdout(text), judge.clientSessionId][1])
      expect(ids.slice(0, line - 1).every(id => id === null)).toBe(true)
      expect(ids[line - 1]).toMatch(/^[0-9a-f-]{36}$/)
      expect(new Set(ids.slice(line - 1)).size).toBe(1)
    }
  })

  it('decides once: what follows an acceptance or a rejection changes nothing', () => {
    for (const [first, then] of [
      ['claude-good', 'claude-wrong-key'],
      ['claude-wrong-key', 'claude-good'],
      ['codex-good', 'codex-dies'],
      ['gemini-dies', 'gemini-good'],
    ] as const) {
      const judge = open(client(first))
      const { verdict } = outcome(recorded(first), line => judge.stdout(line))
      for (const line of recorded(then)) expect(judge.stdout(line)).toEqual(verdict)
      for (const report of reported(then)) expect(judge.hook(report)).toEqual(verdict)
    }
  })

  it('accepts no line that was cut anywhere', () => {
    for (const recording of ['claude-good', 'claude-good-tool', 'codex-good', 'codex-good-tool', 'gemini-good', 'gemini-good-tool']) {
      const { after } = overStream(recording)
      const line = recorded(recording)[after - 1]!
      for (let at = 0; at < line.length; at++) {
        const judge = open(client(recording))
        expect(judge.stdout(line.slice(0, at)).state, `${recording} up to ${at}`).toBe('waiting')
        if (at > 0) expect(judge.stdout(line.slice(at)).state, `${recording} from ${at}`).toBe('waiting')
      }
    }
  })
})

describe('details of the streams', () => {
  const say = (name: Client, ...lines: readonly object[]): Verdict =>
    outcome(lines, line => open2(name).stdout(JSON.stringify(line))).verdict
  let current: { name: Client; judge: Judge } | null = null
  const open2 = (name: Client): Judge => (current?.name === name ? current : (current = { name, judge: open(name) })).judge
  const fresh = (name: Client, ...lines: readonly object[]): Verdict => {
    current = null
    return say(name, ...lines)
  }
  const message = (content: readonly object[], more: object = {}): object => ({
    type: 'assistant',
    message: { role: 'assistant', model: 'm', content, ...more },
  })

  it('takes no message of the client itself for one of the model', () => {
    expect(fresh('claude', message([{ type: 'text', text: 'hi' }], { model: '<synthetic>' })).state).toBe('waiting')
    expect(fresh('claude', message([])).state).toBe('waiting')
    expect(fresh('claude', message([{ type: 'text', text: 'hi' }], { role: 'user' })).state).toBe('waiting')
    expect(fresh('claude', { ...message([{ type: 'text', text: 'x' }]), error: 'rate_limit' }).state).toBe('rejected')
    const failure = [{ type: 'text', text: 'API Error handling is in src/api.ts' }]
    expect(fresh('claude', message(failure, { model: '<synthetic>' })).state).toBe('rejected')
    expect(fresh('claude', message(failure)).state, 'a model may speak of errors').toBe('accepted')
    expect(fresh('qwen', message([{ type: 'text', text: '[API Error: 401 Incorrect API key]' }])).state).toBe('rejected')
    expect(fresh('qwen', message([{ type: 'text', text: 'hi [API Error: terminated]' }])), 'it may be').toEqual({
      state: 'waiting',
      step: 'the model is answering',
    })
  })

  it('rejects a turn that ended well without an answer, as when a hook refuses the prompt', () => {
    const result = { type: 'result', subtype: 'success', is_error: false, result: 'blocked by hook' }
    expect(fresh('claude', result)).toEqual({ state: 'rejected', reason: 'it ended without an answer of the model' })
    expect(fresh('claude', { ...result, subtype: 'error_during_execution' }).state).toBe('rejected')
    const failed = { ...result, is_error: true, result: 'Not logged in', terminal_reason: 'api_error' }
    expect(fresh('claude', failed), 'whatever the subtype says').toEqual({ state: 'rejected', reason: 'Not logged in' })
    expect(fresh('gemini', { type: 'result', status: 'success' }).state).toBe('rejected')
  })

  it('accepts a long answer before it is over', () => {
    const piece = (length: number): object => ({
      type: 'stream_event',
      event: { type: 'content_block_delta', delta: { type: 'text_delta', text: 'x'.repeat(length) } },
    })
    expect(fresh('claude', piece(500), piece(499))).toEqual({ state: 'waiting', step: 'the model is answering' })
    expect(fresh('claude', piece(500), piece(500)).state).toBe('accepted')
    const chunk = (length: number): object => ({ type: 'message', role: 'assistant', delta: true, content: 'x'.repeat(length) })
    expect(fresh('gemini', chunk(999))).toEqual({ state: 'waiting', step: 'the model is answering' })
    expect(fresh('gemini', chunk(999), chunk(1)).state).toBe('accepted')
  })

  it('takes no word of the prompt, of the model or of a secret into what it has seen', () => {
    const secret = 'sk-ant-REALLY-SECRET'
    const lines = {
      claude: [
        { ...message([{ type: 'tool_use', name: `Bash ${secret}` }]) },
        message([{ type: 'text', text: `PROMPT-OF-THE-USER ${secret}` }]),
      ],
      codex: [{ type: 'item.started', item: { type: 'command_execution', command: `echo ${secret} PROMPT-OF-THE-USER` } }],
      gemini: [{ type: 'tool_use', tool_name: secret.slice(0, 20), parameters: { command: secret } }],
    }
    for (const name of ['claude', 'codex', 'gemini'] as const) {
      const judge = judgeOf(name, { env: { HOME: '/nowhere', SOME_API_KEY: secret } })
      const { verdict } = outcome(lines[name], line => judge.stdout(JSON.stringify(line)))
      expect(verdict.state, name).toBe('accepted')
      expect(JSON.stringify(verdict)).not.toMatch(/SECRET|PROMPT/)
    }
  })

  it('shows a reason in one printable line without secrets', () => {
    const judge = judgeOf('codex', { env: { MY_TOKEN: 'hunter2hunter2' } })
    const text = `bad\u001B[31m key\nhunter2hunter2, sk-proj-abcdefgh12345 in PROMPT-OF-THE-USER ${'x'.repeat(9999)}`
    const verdict = judge.stdout(JSON.stringify({ type: 'turn.failed', error: { message: text } }))
    const reason = verdict.state === 'rejected' ? verdict.reason : ''
    expect(reason).toMatch(/^bad\\u\{1b\}\[31m key \[hidden\], \[hidden\] in \[hidden\] x+…$/)
    expect(reason.length).toBeLessThanOrEqual(200)
  })

  it('takes no id that could not be one', () => {
    for (const id of ['', '-x', 'a b', 'x'.repeat(129), '../../etc', 7, null, {}]) {
      const judge = open('codex')
      judge.stdout(JSON.stringify({ type: 'thread.started', thread_id: id }))
      expect(judge.clientSessionId).toBeNull()
    }
  })
})

describe('the hooks of a real client', () => {
  it.each([
    ['claude-good', 'stop hook: the first turn is over'],
    ['claude-good-text', 'stop hook: the first turn is over'],
    ['claude-good-tool', 'pre-tool-use hook, tool Bash'],
    ['codex-good', 'stop hook: the first turn is over'],
    ['codex-good-tool', 'pre-tool-use hook, tool Bash'],
    ['gemini-good', 'stop hook: the first turn is over'],
    ['gemini-good-tool', 'pre-tool-use hook, tool run_shell_command'],
  ])('%s: %s', (recording, seen) => {
    expect(overHooks(recording).verdict).toEqual({ state: 'accepted', evidence: { kind: 'hook', seen, confirmed: true } })
  })

  it.each([
    ['claude-wrong-key', 'authentication_failed: Invalid API key · Fix external API key'],
    ['claude-dies', /^server_error: API Error/],
  ])('%s is rejected', (recording, reason) => {
    const { verdict } = overHooks(recording)
    expect(verdict.state === 'rejected' && verdict.reason).toMatch(reason)
  })

  it.each([
    ['claude-hangs', 'prompt taken'],
    ['codex-hangs', 'prompt taken'],
    ['gemini-hangs', 'prompt taken'],
    ['codex-wrong-key', 'session ended'],
    ['codex-dies', 'session ended'],
    ['gemini-wrong-key', 'prompt taken'],
    ['gemini-wrong-key-text', 'session ended'],
    ['gemini-dies', 'prompt taken'],
  ])('%s is waited for, at "%s"', (recording, step) => {
    expect(overHooks(recording).verdict).toEqual({ state: 'waiting', step })
  })

  const report = (more: Partial<HookReport>): HookReport => ({
    event: 'pre-tool-use',
    client: 'claude',
    sessionId: 'one',
    pid: 7,
    tool: 'Bash',
    error: null,
    ...more,
  })

  it('listens to its own client and session only', () => {
    const own = '11111111-2222-4333-8444-555555555555'
    const judge = profiles.claude.prepare(request(`claude -p x --session-id ${own}`)).judge
    expect(judge.hook(report({ client: 'codex', sessionId: own })).state).toBe('waiting')
    expect(judge.hook(report({ sessionId: 'another', pid: 8 })).state, 'an agent that it started').toBe('waiting')
    expect(judge.hook(report({ sessionId: 'another', pid: null })).state).toBe('waiting')
    expect(judge.clientSessionId).toBe(own)
    judge.hook(report({ event: 'session-start', sessionId: own }))
    expect(judge.hook(report({ sessionId: 'another', pid: 8 })).state).toBe('waiting')
    expect(judge.hook(report({ sessionId: 'cleared' })).state, 'the same process, after /clear').toBe('accepted')
    expect(judge.clientSessionId).toBe('cleared')
  })

  it('learns the session from the first report, where nothing else tells', () => {
    const judge = profiles.codex.prepare(request('codex exec x')).judge
    expect(judge.clientSessionId).toBeNull()
    judge.hook(report({ client: 'codex', event: 'session-start', sessionId: 'thread-1' }))
    expect(judge.clientSessionId).toBe('thread-1')
  })

  it('rejects a turn that failed, and does not mind a tool that failed', () => {
    expect(open('claude').hook(report({ event: 'stop-failure', error: 'rate_limit' }))).toEqual({ state: 'rejected', reason: 'rate_limit' })
    expect(open('claude').hook(report({ event: 'stop-failure' })).state).toBe('rejected')
    expect(open('claude').hook(report({ event: 'post-tool-use-failure' })).state).toBe('accepted')
    expect(open('claude').hook(report({ event: 'notification' }))).toEqual({ state: 'waiting', step: null })
  })
})

/** Small and fast, the same on every machine (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const values: readonly unknown[] = [null, true, false, 0, -1, 1e308, '', 'x', [], {}, [null], { type: 'x' }, '\u0000', '\uD800', 'error']

describe('garbage', () => {
  const lines = bad.flatMap(name => recorded(name).map(line => [client(name), line] as const))

  const linesOf = (wanted: Client): readonly string[] => lines.filter(([name]) => name === wanted).map(([, line]) => line)
  const byClient = { claude: linesOf('claude'), codex: linesOf('codex'), gemini: linesOf('gemini'), qwen: linesOf('qwen') }

  /** A line as it never was. Only values that a client with a bad API does not send: it must stay no evidence. */
  function broken(line: string, own: readonly string[], next: (below: number) => number): string {
    switch (next(6)) {
      case 0:
        return line.slice(0, next(line.length + 1))
      case 1:
        return line.slice(next(line.length))
      case 2: {
        const at = next(line.length)
        return `${line.slice(0, at)}${String.fromCharCode(next(0x250))}${line.slice(at + next(4))}`
      }
      case 3: {
        const other = own[next(own.length)]!
        return line.slice(0, next(line.length)) + other.slice(next(other.length))
      }
      case 4: {
        const sent = JSON.parse(line) as Record<string, unknown>
        const keys = Object.keys(sent)
        sent[keys[next(keys.length)]!] = values[next(values.length)]
        return JSON.stringify(sent)
      }
      default:
        return Array.from({ length: next(60) }, () => String.fromCharCode(next(0x10000))).join('')
    }
  }

  function pick(next: (below: number) => number): { readonly name: Client; readonly line: string } {
    const [name, line] = lines[next(lines.length)]!
    return { name, line }
  }

  it('200,000 broken lines are never evidence and never too much', () => {
    const seed = Number(process.env['LEASEHOLD_TEST_SEED'] ?? 20_261_121)
    const next = random(seed)
    const judges = new Map<Client, Judge>()
    for (let count = 0; count < 200_000; count++) {
      const { name, line } = pick(next)
      const text = broken(line, byClient[name], next)
      // Sent to each: who knows what a wrapper prints.
      // What Qwen says of an error would be a message of the model to Claude.
      const to = next(4) === 0 && name !== 'qwen' ? (['claude', 'codex', 'gemini', 'qwen'] as const)[next(4)]! : name
      const judge = judges.get(to) ?? open(to)
      const { state } = judge.stdout(text)
      if (state === 'accepted') expect.fail(`seed ${seed}: ${to} took this for evidence: ${text}`)
      // A judge that has decided looks at nothing any more.
      if (state === 'rejected') judges.delete(to)
      else judges.set(to, judge)
    }
  })

  it('reports that are nonsense are never evidence', () => {
    const next = random(7)
    const names = ['claude', 'codex', 'gemini', 'qwen'] as const
    for (let count = 0; count < 20_000; count++) {
      const name = names[next(4)]!
      const report = Object.fromEntries(
        ['event', 'client', 'sessionId', 'pid', 'tool', 'error'].map(key => [key, values[next(values.length)]]),
      ) as unknown as HookReport
      expect(open(name).hook({ ...report, client: name }).state).not.toBe('accepted')
    }
  })
})
