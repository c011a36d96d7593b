import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, test } from 'vitest'
import type { Holder } from '../../src/core/lease.ts'
import type { Entry } from '../../src/core/operation.ts'
import { sha256Hex } from '../../src/core/sha256.ts'
import { readChain } from '../../src/service/selftest/chain.ts'
import { judgeHistory } from '../../src/service/selftest/ownership.ts'
import type { Ack } from '../../src/service/selftest/storm.ts'
import { toldTwice } from '../../src/service/selftest/told.ts'

const executable = process.env['LEASEHOLD_TEST_EXECUTABLE'] ?? path.resolve('dist/bin/lh.cjs')

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

async function selftest(cwd: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, interruptMs?: number): Promise<Ran> {
  const child = spawn(process.execPath, [executable, 'selftest', ...args], { cwd, env: { ...process.env, ...env } })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  if (interruptMs !== undefined) setTimeout(() => child.kill('SIGINT'), interruptMs)
  const code = await new Promise<number | null>(resolve => child.on('close', resolve))
  return { code, stdout, stderr }
}

const folder = (): string => mkdtempSync(path.join(inject('runFolder'), 'selftest-'))

function repository(): string {
  const place = folder()
  execFileSync('git', ['init', '--quiet', place])
  return place
}

/** Processes of a selftest that runs in this folder; those just killed get a moment to go. */
async function processesOf(place: string): Promise<readonly string[]> {
  if (!existsSync('/proc/self/environ')) return []
  for (let attempt = 0; ; attempt++) {
    const found = readdirSync('/proc').filter(pid => {
      if (!/^\d+$/.test(pid)) return false
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${place}/`)
      } catch {
        return false
      }
    })
    if (found.length === 0 || attempt === 40) return found
    await sleep(50)
  }
}

describe('lh selftest', () => {
  test('passes here, having killed, paused and torn, and leaves nothing behind', { timeout: 60_000 }, async () => {
    const place = repository()
    const before = readdirSync(path.join(place, '.git'))
    const { code, stdout, stderr } = await selftest(place, ['--seconds', '3', '--agents', '4', '--json'])
    expect(stderr).toBe('')
    const report = JSON.parse(stdout) as Record<string, number> & { checks: { name: string; holds: boolean }[] }
    expect(report).toMatchObject({ ok: true, pass: true, agents: 4, seconds: 3 })
    expect(code).toBe(0)
    for (const count of ['acknowledged', 'kills', 'pauses', 'torn_tails', 'torn_tails_repaired', 'counted_under_lock', 'records'])
      expect(report[count]).toBeGreaterThan(0)
    expect(report['records']).toBeGreaterThanOrEqual(report['ownerships']!)
    expect(report.checks.map(({ name }) => name)).toEqual([
      'one_holder',
      'acknowledged_kept',
      'chain_whole',
      'tokens_grow',
      'no_early_eviction',
      'torn_tails',
      'lock_excludes',
      'no_faults',
      'meaningful',
    ])
    expect(readdirSync(path.join(place, '.git'))).toEqual(before)
    expect(await processesOf(place)).toEqual([])
  })

  test('runs outside Git too, in the directory it is told', { timeout: 60_000 }, async () => {
    const place = folder()
    const { code, stdout } = await selftest(inject('runFolder'), ['--repo', place, '--seconds', '2', '--agents', '2'])
    expect(stdout).toContain('PASS')
    expect(stdout).toContain(place)
    expect(stdout).not.toContain('\u001b')
    expect(code).toBe(0)
    expect(readdirSync(place)).toEqual([])
  })

  test('fails loudly when the lock is none', { timeout: 60_000 }, async () => {
    const place = repository()
    const { code, stdout } = await selftest(place, ['--seconds', '3', '--agents', '4', '--json'], { LEASEHOLD_TEST_BREAK: 'lock' })
    expect(code).toBe(1)
    const { ok, error } = JSON.parse(stdout) as {
      ok: boolean
      error: { details: { pass: boolean; checks: { name: string; holds: boolean }[] } }
    }
    expect(ok).toBe(false)
    expect(error.details.pass).toBe(false)
    const failed = error.details.checks.filter(({ holds }) => !holds).map(({ name }) => name)
    expect(failed).toContain('lock_excludes')
    expect(failed).toContain('no_faults')
    expect(readdirSync(path.join(place, '.git')).filter(name => name.includes('selftest'))).toEqual([])
  })

  test('Ctrl-C leaves nothing behind', { timeout: 60_000 }, async () => {
    const place = repository()
    const { code } = await selftest(place, ['--seconds', '30', '--agents', '3'], {}, 2500)
    expect(code).toBe(130)
    expect(readdirSync(path.join(place, '.git')).filter(name => name.includes('selftest'))).toEqual([])
    expect(await processesOf(place)).toEqual([])
  })

  test.for([[['--seconds', '0']], [['--agents', '1']], [['--agents', 'many']]])('%j is a usage error', async ([args]) => {
    expect((await selftest(folder(), args!)).code).toBe(2)
  })

  test('its help keeps quiet about its own processes', async () => {
    expect((await selftest(folder(), ['--help'])).stdout).not.toContain('LEASEHOLD_TEST')
  })
})

// What judges the others is judged here: each of these histories breaks one promise.
describe('the second opinion', () => {
  const holder = (agentId: string): Holder => ({ agentId, worktreeId: 'wt:00000000', sessionId: null, witness: null })
  const at = (seq: number, m: number): Pick<Entry, 'seq' | 'at' | 'clk'> => ({ seq, at: m, clk: { b: 'boot.0', m } })
  const subject = { resources: ['k:x'], leaseIds: ['L'], actor: 'system', opId: null }
  const taken = (seq: number, agent: string, m = seq, opId: string | null = null): Entry => ({
    ...at(seq, m),
    operation: {
      ...subject,
      op: 'acquire',
      opId,
      holder: holder(agent),
      ttlSecs: 1,
      staleSecs: 0,
      branch: null,
      reason: null,
      binding: null,
      from: null,
    },
  })
  const released = (seq: number, agent: string, token: number, m = seq): Entry => ({
    ...at(seq, m),
    operation: { ...subject, op: 'release', token, holder: holder(agent), reason: null, outcome: null, remaining: null },
  })
  const evicted = (seq: number, agent: string, token: number, m = seq): Entry => ({
    ...at(seq, m),
    operation: { ...subject, op: 'auto-evict', previousHolder: holder(agent), previousToken: token, reason: 'ttl' },
  })

  test('finds nothing wrong where nothing is', () => {
    const history = judgeHistory([
      taken(1, 'a:a'),
      released(2, 'a:a', 1),
      taken(3, 'a:b'),
      evicted(4, 'a:b', 3, 1003),
      taken(5, 'a:a', 1003),
    ])
    expect(history).toMatchObject({
      mostHolders: 1,
      twoHolders: [],
      tokensNotGrowing: [],
      earlyEvictions: [],
      strangeEnds: [],
      repeatedOpIds: [],
    })
  })

  test('sees two holders', () => {
    const history = judgeHistory([taken(1, 'a:a'), taken(2, 'a:b')])
    expect(history).toMatchObject({ mostHolders: 2, twoHolders: ['k:x: a:b (#2) beside a:a (#1)'] })
  })

  test('sees an eviction that came too early, an end of nothing, a token that shrank, a command that happened twice', () => {
    expect(judgeHistory([taken(1, 'a:a'), evicted(2, 'a:a', 1, 900)]).earlyEvictions).toHaveLength(1)
    expect(judgeHistory([taken(1, 'a:a'), released(2, 'a:a', 7)]).strangeEnds).toHaveLength(1)
    expect(judgeHistory([taken(9, 'a:a'), released(10, 'a:a', 9), taken(3, 'a:b')]).tokensNotGrowing).toHaveLength(1)
    expect(judgeHistory([taken(1, 'a:a', 1, 'op'), released(2, 'a:a', 1), taken(3, 'a:a', 3, 'op')]).repeatedOpIds).toHaveLength(1)
  })

  const ack = (agentId: string, op: Ack['op'], token: number, asked: number, answered: number): Ack => ({
    is: 'ack',
    op,
    opId: `${agentId}${asked}`,
    seqs: [token],
    leases: [{ resource: 'k:x', token }],
    agentId,
    asked,
    answered,
  })

  test('sees two who were told that they hold, and believes only what is certain', () => {
    expect(
      toldTwice([
        ack('a', 'acquire', 1, 0, 5),
        ack('a', 'release', 1, 20, 25),
        ack('b', 'acquire', 3, 21, 24),
        ack('b', 'release', 3, 30, 31),
      ]),
    ).toEqual([])
    expect(
      toldTwice([
        ack('a', 'acquire', 1, 0, 5),
        ack('a', 'release', 1, 20, 25),
        ack('b', 'acquire', 2, 8, 10),
        ack('b', 'release', 2, 30, 31),
      ]),
    ).toHaveLength(1)
    // Killed, perhaps during its release; paused beyond its TTL.
    expect(toldTwice([ack('a', 'acquire', 1, 0, 5), ack('b', 'acquire', 3, 8, 10)])).toEqual([])
    // Stopped between the record of its renewal and the answer, and continued when the key was another's.
    expect(toldTwice([ack('a', 'acquire', 1, 0, 5), ack('a', 'renew', 1, 500, 1990), ack('b', 'acquire', 3, 1600, 1610)])).toEqual([])
    expect(toldTwice([ack('a', 'acquire', 1, 0, 5), ack('a', 'release', 1, 1500, 1510), ack('b', 'acquire', 3, 1001, 1010)])).toEqual([])
    expect(
      toldTwice([
        ack('a', 'acquire', 1, 0, 5),
        ack('a', 'renew', 1, 600, 610),
        ack('a', 'release', 1, 1500, 1510),
        ack('b', 'acquire', 3, 1001, 1010),
      ]),
    ).toHaveLength(1)
  })

  test('reads the chain by itself: every byte counts', () => {
    const store = folder()
    mkdirSync(path.join(store, 'archive'))
    let prev = '0'.repeat(16)
    const line = (record: object): string => {
      const body = JSON.stringify({ prev, ...record })
      prev = sha256Hex(Buffer.from(body), 16)
      return `${body.slice(0, -1)},"sum":"${prev}"}\n`
    }
    const bytes = Buffer.from(
      line({ seq: 0, op: 'segment' }) + line({ seq: 1, op: 'acquire', resource: 'k:x' }) + line({ seq: 2, op: 'release', resource: 'k:x' }),
    )
    const read = (content: Buffer): readonly string[] => {
      writeFileSync(path.join(store, 'claims.jsonl'), content)
      return readChain(store).faults
    }
    expect(read(bytes)).toEqual([])
    for (let index = 0; index < bytes.length; index++) {
      const damaged = Buffer.from(bytes)
      damaged[index]! ^= 1
      expect(read(damaged), `byte ${index}`).not.toEqual([])
    }
    expect(read(bytes.subarray(0, -1))).not.toEqual([])
    const lines = bytes.toString().split('\n')
    expect(read(Buffer.from([lines[0], lines[2], ''].join('\n')))).not.toEqual([])
  })
})
