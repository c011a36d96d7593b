import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, test } from 'vitest'

const executable = process.env['LEASEHOLD_TEST_EXECUTABLE'] ?? path.resolve('dist/bin/lh.cjs')

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** What is left in the folder that it used for temporary files, and in the one it was started in. */
  readonly left: readonly string[]
  readonly processes: readonly string[]
}

interface Options {
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  readonly lh?: string
  /** Once the timeline shows this, send the signal. */
  readonly signal?: readonly [NodeJS.Signals, after: string]
}

/** Runs `lh demo` in an empty folder, with a temporary folder of its own. */
async function demo({ args = [], env = {}, lh = executable, signal }: Options): Promise<Ran> {
  const folder = mkdtempSync(path.join(inject('runFolder'), 'demo-'))
  const [cwd, temporary] = [path.join(folder, 'here'), path.join(folder, 'tmp')]
  mkdirSync(cwd)
  mkdirSync(temporary)
  const child = spawn(process.execPath, [lh, 'demo', ...args], { cwd, env: { ...process.env, TMPDIR: temporary, ...env } })
  let [stdout, stderr] = ['', '']
  let isTold = false
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    // Once: a second one would meet a process that is already on its way out and has no handlers any more.
    if (signal !== undefined && !isTold && stdout.includes(signal[1])) isTold = child.kill(signal[0])
  })
  const code = await new Promise<number | null>(resolve => child.on('close', resolve))
  return { code, stdout, stderr, left: [...readdirSync(temporary), ...readdirSync(cwd)], processes: await processesIn(folder) }
}

/** Processes that have anything to do with a folder; those just killed get a moment to go. */
async function processesIn(folder: string): Promise<readonly string[]> {
  if (!existsSync('/proc/self/cmdline')) return []
  for (let attempt = 0; ; attempt++) {
    const found = readdirSync('/proc').filter(pid => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) || readFileSync(`/proc/${pid}/environ`, 'utf8').includes(folder)
        )
      } catch {
        return false
      }
    })
    if (found.length === 0 || attempt === 40) return found
    await sleep(50)
  }
}

/** An executable that behaves like the real one except for what `code` does first. */
function broken(name: string, code: string): string {
  const file = path.join(mkdtempSync(path.join(inject('runFolder'), 'broken-')), `${name}.cjs`)
  writeFileSync(
    file,
    `const args = process.argv.slice(2)\nconst answer = (document, code = 0) => { console.log(JSON.stringify(document)); process.exit(code) }\n${code}\nrequire(${JSON.stringify(executable)})\n`,
  )
  return file
}

interface Row {
  readonly event: string
  readonly agent: string
  readonly ticket: string
  readonly token: number | null
  readonly elapsed_ms: number
}

describe.concurrent('lh demo', () => {
  test('proves what it says, whoever runs it and wherever, and leaves nothing behind', { timeout: 60_000 }, async () => {
    // Everything that could leak in from outside: another repository, another identity, an agent's session, a broken configuration.
    const env = {
      GIT_DIR: '/nowhere',
      GIT_CONFIG_GLOBAL: '/nowhere/config',
      LEASEHOLD_AGENT_ID: 'nonsense',
      LEASEHOLD_TTL: 'nonsense',
      CLAUDECODE: '1',
      GIT_AUTHOR_DATE: 'nonsense',
    }
    const { code, stdout, stderr, left, processes } = await demo({ args: ['--json'], env })
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const { ok, timeline, proven } = JSON.parse(stdout) as { ok: boolean; timeline: Row[]; proven: Record<string, never> }
    expect(ok).toBe(true)
    expect(proven).toMatchObject({
      holds: true,
      tickets: 6,
      done_exactly_once: 6,
      commits: 6,
      most_holders_at_once: 1,
      killed: { ticket: 'signup', signal: 'SIGKILL' },
      takeover: { ticket: 'signup', ttl_secs: 3 },
      stale_token: { attempts: 2, refused: 2, exit_code: 6 },
      log: { verified: true },
    })
    const {
      killed,
      takeover,
      stale_token: stale,
    } = proven as unknown as Record<string, { agent: string; token: number; after_secs: number }>
    expect(takeover!.agent).not.toBe(killed!.agent)
    expect(takeover!.token).toBeGreaterThan(killed!.token)
    expect(takeover!.after_secs).toBeGreaterThanOrEqual(3)
    expect(stale!.token).toBe(killed!.token)
    const order = (event: string): number => timeline.findIndex(row => row.event === event)
    expect(order('killed')).toBeGreaterThan(-1)
    expect(order('takeover')).toBeGreaterThan(order('killed'))
    expect(order('refused')).toBeGreaterThan(order('takeover'))
    expect(
      timeline
        .filter(({ event }) => event === 'done')
        .map(({ ticket }) => ticket)
        .sort(),
    ).toEqual(['billing', 'docs', 'export', 'login', 'search', 'signup'])
    expect(timeline.map(({ elapsed_ms: ms }) => ms)).toEqual(timeline.map(({ elapsed_ms: ms }) => ms).toSorted((a, b) => a - b))
    expect(left).toEqual([])
    expect(processes).toEqual([])
  })

  test(
    'draws a timeline of 80 columns, without colour where nobody looks, and keeps the repository when asked',
    { timeout: 60_000 },
    async () => {
      const { code, stdout, left, processes } = await demo({ args: ['--keep'] })
      expect(code).toBe(0)
      expect(stdout).not.toContain('\u001b')
      const [kept] = left
      expect(left).toHaveLength(1)
      expect(stdout).toContain(kept)
      const lines = stdout.split('\n').filter(line => !line.includes('leasehold-demo-'))
      expect(lines.filter(line => line.length > 80)).toEqual([])
      expect(lines.filter(line => line.startsWith('✓ '))).toHaveLength(5)
      for (const sign of ['● takes login', '✗ kill -9', '▶ takes over signup', '⊘ check', '⊘ renew', '✓ signup done', 'Next'])
        expect(stdout).toContain(sign)
      expect(processes).toEqual([])
    },
  )

  test.for([
    ['SIGINT', 130, 'lh demo'],
    ['SIGTERM', 143, '● takes'],
    ['SIGHUP', 129, '✗ kill -9'],
  ] as const)('%s leaves nothing behind', { timeout: 60_000 }, async ([signal, exit, after]) => {
    const { code, left, processes } = await demo({ signal: [signal, after] })
    expect(code).toBe(exit)
    expect(left).toEqual([])
    expect(processes).toEqual([])
  })

  test('says so when Git is missing', { timeout: 60_000 }, async () => {
    const { code, stdout, left } = await demo({ args: ['--json'], env: { PATH: '/nowhere' } })
    expect(code).toBe(7)
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      error: {
        code: 'unavailable',
        message: expect.stringContaining('git could not be started') as string,
        hint: expect.stringContaining('Install Git') as string,
      },
    })
    expect(left).toEqual([])
  })

  test('--quiet says nothing', { timeout: 60_000 }, async () => {
    expect(await demo({ args: ['--quiet'] })).toMatchObject({ code: 0, stdout: '', stderr: '', left: [] })
  })
})

// A demo that cannot fail proves nothing: each of these executables breaks one promise, and the demo has to notice.
describe.concurrent('lh demo with a broken Leasehold', () => {
  const told = (words: string): string =>
    `if (${words
      .split(' ')
      .map((word, index) => `args[${index}] === '${word}'`)
      .join(' && ')})`
  test.for([
    [
      'that takes stale tokens',
      'stale_token',
      `${told('claim check')} answer({ ok: true, current: true }); ${told('claim renew')} answer({ ok: true, lease: {} })`,
    ],
    ['whose log is damaged', 'log_verified', `${told('verify')} answer({ ok: false }, 7)`],
    [
      'that grants without writing it down',
      'one_holder',
      `${told('claim acquire search')} answer({ ok: true, lease: { lease_id: 'x', token: 1 } }); ${told('claim check search')} answer({ ok: true })`,
    ],
  ] as const)('%s fails', { timeout: 90_000 }, async ([name, check, code]) => {
    const ran = await demo({ args: ['--json'], lh: broken(name.replaceAll(/\W/g, '-'), code) })
    expect(ran.code).toBe(1)
    const { ok, error } = JSON.parse(ran.stdout) as { ok: boolean; error: { message: string; details: { failed: string[] } } }
    expect(ok).toBe(false)
    expect(error.message).toContain('did NOT prove')
    expect(error.details.failed).toContain(check)
    expect(ran.left).toEqual([])
    expect(ran.processes).toEqual([])
  })
})
