import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { answerHook, failure } from '../../../src/service/session-lock/hook.ts'
import { elapsedMs } from '../../../src/service/session-lock/moment.ts'
import { hookEvents } from '../../../src/service/session-lock/payload.ts'
import { folder } from '../../support/cli.ts'
import { Home, hookProgram, workspace } from '../../support/hook.ts'

// Payloads that no client sends. Whatever comes, the answer is "go on" or a reason, in time, and nothing is written but locks.

const full = process.env['LEASEHOLD_TEST_FULL'] === '1'

/** The same numbers in each run. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const strange: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e308,
  NaN,
  '',
  ' ',
  'x',
  '\u0000',
  '../../../../etc/passwd',
  '/',
  '//',
  '.',
  '~',
  '/dev/null',
  '/proc/self/mem',
  'file:///etc/x',
  'a\nb',
  '\ud800',
  '💥'.repeat(50),
  'x'.repeat(5000),
  [],
  [[]],
  {},
  { a: 1 },
  '__proto__',
  'constructor',
  '{"path":"/x"}',
  '{',
  '*** Begin Patch\n*** Update File: /etc/passwd\n',
  "'; rm -rf /; '",
  'a/'.repeat(3000),
]

function samples(ws: string): readonly Record<string, unknown>[] {
  const base = { session_id: 'fuzz', cwd: ws, tool_use_id: 't' }
  return [
    { ...base, hook_event_name: 'PreToolUse', tool_name: 'Write', tool_input: { file_path: `${ws}/a`, content: 'x' } },
    { ...base, hook_event_name: 'PreToolUse', tool_name: 'Bash', tool_input: { command: 'cd src && make > x', timeout: 1000 } },
    {
      ...base,
      hook_event_name: 'BeforeTool',
      timestamp: 't',
      tool_name: 'run_shell_command',
      tool_input: { command: 'ls', directory: 'x' },
    },
    {
      ...base,
      hook_event_name: 'PostToolUse',
      tool_name: 'apply_patch',
      tool_input: { command: '*** Begin Patch\n*** Add File: a\n+x\n' },
    },
    { ...base, hook_event_name: 'Stop', background_tasks: [{ id: 'b', status: 'running' }], session_crons: [] },
    { ...base, hook_event_name: 'SessionStart', source: 'clear' },
    { ...base, hook_event_name: 'SessionEnd', reason: 'other' },
    { sessionId: 'fuzz', cwd: ws, toolName: 'create', toolArgs: { path: `${ws}/a`, file_text: '' } },
    {
      conversation_id: 'fuzz',
      generation_id: 'g',
      cursor_version: '1',
      hook_event_name: 'beforeMCPExecution',
      workspace_roots: [ws],
      tool_name: 'write_file',
      tool_input: '{"path":"a"}',
    },
  ]
}

/** A payload with one to four members replaced, removed or moved, at any depth. */
function mutated(sample: Record<string, unknown>, next: () => number): unknown {
  const copy = structuredClone(sample)
  for (let count = 1 + Math.floor(next() * 4); count > 0; count--) {
    let place: Record<string, unknown> = copy
    for (;;) {
      const names = Object.keys(place)
      const name = names[Math.floor(next() * names.length)] ?? 'x'
      const inner = place[name]
      if (typeof inner === 'object' && inner !== null && !Array.isArray(inner) && next() < 0.6) {
        place = inner as Record<string, unknown>
        continue
      }
      const value = strange[Math.floor(next() * strange.length)]
      const kind = next()
      if (kind < 0.15) delete place[name]
      else if (kind < 0.3) place[String(value).slice(0, 20)] = inner
      else place[name] = value
      break
    }
  }
  return next() < 0.01 ? strange[Math.floor(next() * strange.length)] : copy
}

/** Every file below a directory. */
const below = (directory: string): readonly string[] => fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted()

const known = /^\.claude(?:\/runtime(?:\/(?:session-lock\.lock|session-lock-[0-9a-f]{12}\.json|leasehold-hook\.log))?)?$/

describe('mutated payloads', () => {
  const rounds = full ? 200_000 : 4000
  it(`${rounds} in this process`, async () => {
    const home = new Home()
    const ws = workspace()
    const before = below(ws)
    const next = random(1)
    const given = samples(ws)
    let slowest = 0
    for (let round = 0; round < rounds; round++) {
      const payload = mutated(given[round % given.length]!, next)
      const event = next() < 0.7 ? hookEvents[Math.floor(next() * hookEvents.length)]! : null
      const env = { HOME: home.dir }
      const start = performance.now()
      const call = {
        event,
        hint: null,
        env,
        cwd: ws,
        payload,
        deadline: elapsedMs() + 2500,
        openLeases: () => Promise.reject(new Error('none')),
        keepOn: () => Promise.reject(new Error('none is kept')),
      }
      const reason = await answerHook(call).catch((error: unknown) => failure(call, (error as Error).message))
      slowest = Math.max(slowest, performance.now() - start)
      if (reason !== null) expect(reason).not.toMatch(/\n\s+at |undefined|\[object/)
    }
    expect(slowest).toBeLessThan(2500)
    expect(below(ws)).toEqual(before)
    for (const name of below(home.dir)) expect(name).toMatch(known)
    const log = path.join(home.runtime, 'leasehold-hook.log')
    expect(fs.statSync(log).size).toBeLessThan(80_000)
    expect(fs.readFileSync(log, 'utf8')).not.toMatch(/\n\s+at /)
  }, 900_000)

  const processes = full ? 300 : 30
  it(`${processes} as whole processes, bytes broken too`, async () => {
    const home = new Home()
    const ws = workspace()
    const elsewhere = folder('cwd-')
    const next = random(2)
    const given = samples(ws)
    for (let round = 0; round < processes; round++) {
      const text = Buffer.from(JSON.stringify(mutated(given[round % given.length]!, next)) ?? 'undefined')
      for (let count = Math.floor(next() * 3); count > 0; count--) text[Math.floor(next() * text.length)] = Math.floor(next() * 256)
      const bytes = next() < 0.2 ? text.subarray(0, Math.floor(next() * text.length)) : text
      const event = next() < 0.9 ? hookEvents[Math.floor(next() * hookEvents.length)]! : String(strange[10])
      const child = spawn(process.execPath, [hookProgram, event], {
        cwd: elsewhere,
        env: { PATH: process.env['PATH'], HOME: home.dir },
        stdio: ['pipe', 'pipe', 'pipe'],
      })
      let said = ''
      child.stdout.on('data', (part: Buffer) => (said += `OUT ${String(part)}`))
      child.stderr.on('data', (part: Buffer) => (said += String(part)))
      child.stdin.on('error', () => undefined)
      child.stdin.end(bytes)
      const code = await new Promise(resolve => child.once('close', resolve))
      expect([0, 2], `${String(code)} for ${event} ${bytes.toString('latin1')}`).toContain(code)
      expect(said).not.toMatch(/OUT|\n\s+at |Error:/)
      if (code === 0) expect(said).toBe('')
    }
    expect(fs.readdirSync(elsewhere)).toEqual([])
    for (const name of below(home.dir)) expect(name).toMatch(known)
  }, 300_000)
})
