import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { hookReportOf } from '../../../src/service/launch/hook-report.ts'
import { parseReady, watchAlive, watchFd, watchHttp } from '../../../src/service/launch/ready.ts'
import { redactor, shown } from '../../../src/service/launch/words.ts'

const live = (): AbortSignal => new AbortController().signal

describe('--ready', () => {
  it.each([
    ['fd', { kind: 'fd' }],
    ['hook', { kind: 'hook' }],
    ['output=^listening on (\\d+)=x', { kind: 'output', regex: /^listening on (\d+)=x/ }],
    ['http=http://127.0.0.1:8080/health?a=b', { kind: 'http', url: 'http://127.0.0.1:8080/health?a=b' }],
    ['alive=5s', { kind: 'alive', ms: 5000 }],
    ['alive=300ms', { kind: 'alive', ms: 300 }],
  ])('%s', (text, ready) => {
    expect(parseReady(text)).toEqual(ready)
  })

  it.each(['', 'fd=3', 'hook=x', 'output', 'output=', 'output=(', `output=${'x'.repeat(1001)}`, 'http', 'http=file:///x', 'http=x'])(
    'refuses "%s" with a hint',
    text => {
      expect(() => parseReady(text)).toThrow(expect.objectContaining({ code: 'usage', hint: expect.any(String) as string }))
    },
  )

  it.each(['alive', 'alive=', 'alive=0', 'alive=soon', 'alive=99y', 'alive=30d', 'ready', '\u001B[31m'])('refuses "%s"', text => {
    expect(() => parseReady(text)).toThrow(expect.objectContaining({ code: 'usage' }))
  })
})

describe('the ready descriptor', () => {
  it('is waited for until a newline comes, and is closed then', async () => {
    const stream = new PassThrough()
    const found = watchFd(stream, live())
    stream.write('almo')
    stream.write('st\n')
    expect(await found).toEqual({ kind: 'ready-fd', seen: 'a newline on the ready descriptor', confirmed: true })
    expect(stream.destroyed).toBe(true)
  })

  it('is no evidence when it is closed, breaks or is given up', async () => {
    const closed = new PassThrough()
    const ended = watchFd(closed, live())
    closed.end('no newline')
    await expect(ended).rejects.toThrow('closed without a newline')

    const broken = new PassThrough()
    const failed = watchFd(broken, live())
    broken.destroy(new Error('EIO'))
    await expect(failed).rejects.toThrow('EIO')

    const kept = new PassThrough()
    const controller = new AbortController()
    const given = watchFd(kept, controller.signal)
    controller.abort(new Error('over'))
    await expect(given).rejects.toThrow('over')
    expect(kept.destroyed).toBe(true)
    await expect(watchFd(new PassThrough(), controller.signal)).rejects.toThrow('over')
  })
})

describe('a URL', () => {
  const closing: (() => void)[] = []
  afterEach(() => closing.splice(0).forEach(close => close()))

  async function serve(answers: readonly (number | 'hang' | 'reset')[]): Promise<{ url: string; asked: () => number }> {
    let asked = 0
    const server = createServer((request, response) => {
      const answer = answers[Math.min(asked++, answers.length - 1)]!
      if (answer === 'reset') request.socket.destroy()
      else if (answer !== 'hang') response.writeHead(answer, { location: '/elsewhere' }).end('x')
    })
    closing.push(() => {
      server.close()
      server.closeAllConnections()
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/health?token=hunter2`, asked: () => asked }
  }

  it('is asked until it answers well', async () => {
    const { url, asked } = await serve(['reset', 503, 404, 200])
    const evidence = await watchHttp(url, live())
    expect(asked()).toBe(4)
    expect(evidence).toMatchObject({ kind: 'http', confirmed: true })
    expect(evidence.seen).toMatch(/^200 from http:\/\/127\.0\.0\.1:\d+\/health$/)
  })

  it('is given up, whether nobody listens or nobody answers', async () => {
    const { url } = await serve(['hang'])
    for (const address of [url, 'http://127.0.0.1:1/']) {
      const controller = new AbortController()
      const found = watchHttp(address, controller.signal)
      setImmediate(() => controller.abort(new Error('over')))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await expect(found).rejects.toThrow('over')
    }
  })
})

describe('staying alive', () => {
  it('proves little, and says so', async () => {
    expect(await watchAlive(1, live())).toEqual({ kind: 'alive', seen: 'alive for 1ms', confirmed: false })
    const controller = new AbortController()
    const found = watchAlive(60_000, controller.signal)
    controller.abort(new Error('gone'))
    await expect(found).rejects.toThrow('gone')
    await expect(watchAlive(60_000, controller.signal)).rejects.toThrow('gone')
  })
})

describe('what is shown', () => {
  it('is one short printable line', () => {
    expect(shown('  a\n\tb\u0007 ')).toBe(String.raw`a b\u{7}`)
    expect(shown('x'.repeat(1000))).toHaveLength(200)
    expect(shown('😀'.repeat(300)).at(-2)).not.toMatch(/[\uD800-\uDBFF]/)
  })

  it('has no secret in it', () => {
    const show = redactor({ API_KEY: 'abcdef', DB_PASSWORD: 'abcdef-longer', HOME: '/home/me', SHORT_TOKEN: 'x' }, ['the prompt'])
    expect(show('abcdef abcdef-longer /home/me x the prompt')).toBe('[hidden] [hidden] /home/me x [hidden]')
    expect(show('sk-proj-12345678 Bearer eyJhbGciOi AIzaSyD-12345 ghp_12345678')).toBe('[hidden] [hidden] [hidden] [hidden]')
  })
})

describe('a report of a hook', () => {
  it.each([
    ['PreToolUse', 'pre-tool-use'],
    ['UserPromptSubmit', 'user-prompt-submit'],
    ['StopFailure', 'stop-failure'],
    ['BeforeTool', 'pre-tool-use'],
    ['BeforeAgent', 'user-prompt-submit'],
    ['AfterAgent', 'stop'],
    ['preToolUse', 'pre-tool-use'],
    ['userPromptSubmitted', 'user-prompt-submit'],
    ['agentStop', 'stop'],
    ['constructor', 'constructor'],
  ])('%s is %s', (name, event) => {
    expect(hookReportOf({ hook_event_name: name, session_id: 's' }, 'claude', 1, {})).toMatchObject({ event, sessionId: 's' })
  })

  it.each([
    ['before-tool', 'pre-tool-use'],
    ['after-tool', 'post-tool-use'],
    ['refresh', 'user-prompt-submit'],
    ['stop', 'stop'],
    ['session-start', 'session-start'],
    ['session-end', 'session-end'],
  ])('of a client that names no event is of what the hook was installed for: %s is %s', (installed, event) => {
    const sent = { sessionId: 's', timestamp: 1, cwd: '/w', toolName: 'bash', toolArgs: { command: 'make' } }
    expect(hookReportOf(sent, 'copilot', null, {}, installed)).toMatchObject({ event, client: 'copilot', sessionId: 's', tool: 'bash' })
    expect(hookReportOf({ ...sent, hook_event_name: 'Stop' }, 'copilot', null, {}, installed)).toMatchObject({ event: 'stop' })
  })

  it('holds neither prompt nor answer nor secret', () => {
    const sent = {
      hook_event_name: 'StopFailure',
      session_id: 's',
      prompt: 'PROMPT',
      error: 'authentication_failed',
      last_assistant_message: 'Invalid key hunter2hunter2',
    }
    expect(hookReportOf(sent, 'claude', null, { KEY: 'hunter2hunter2' })).toEqual({
      event: 'stop-failure',
      client: 'claude',
      sessionId: 's',
      pid: null,
      tool: null,
      error: 'authentication_failed: Invalid key [hidden]',
    })
    const stop = { hook_event_name: 'Stop', session_id: 's', last_assistant_message: 'ANSWER', error: 'Exit code 3' }
    expect(hookReportOf(stop, 'claude', null, {})).toMatchObject({ error: null })
    expect(JSON.stringify(hookReportOf(stop, 'claude', null, {}))).not.toContain('ANSWER')
  })

  it.each([null, 7, [], {}, { hook_event_name: 7 }, { hook_event_name: 'no event' }])('is none of %j', payload => {
    expect(hookReportOf(payload, 'claude', 1, {})).toBeNull()
  })
})
