import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import { defaultPolicy } from '../../../src/core/policy.ts'
import { openMaintenance } from '../../../src/store/open.ts'
import { holder } from '../../support/cast.ts'
import { faultOf } from '../../support/fault.ts'
import type { Stage } from './stage.ts'
import { held, linesOf, stage, take } from './stage.ts'

// A log that lost whole lines at its end: an older copy was put back, somebody edited it. Nothing in it tells, and whoever went on would
// give tokens that were given before. Its index knows better.

const names = Array.from({ length: 12 }, (_, at) => `t${at}`)

/** Twelve claims by processes that end at once. Returns the log's lines, and how many of them the index has seen. */
async function claimed(s: Stage): Promise<{ readonly lines: readonly string[]; readonly seen: number }> {
  await take(s, ...names)
  const lines = linesOf(s.file('claims.jsonl'))
  const index = fs.readFileSync(s.file('claims.index.jsonl'), 'latin1')
  return { lines, seen: Number(/"position":\{"seq":(\d+)/.exec(index)![1]) + 1 }
}

const cut = (s: Stage, lines: readonly string[], count: number): void =>
  fs.writeFileSync(s.file('claims.jsonl'), `${lines.slice(0, count).join('\n')}\n`)

const acquire = (s: Stage, clock = s.clock) =>
  new Coordinator(s.open({ clock }), defaultPolicy, 'test').acquire({ holder: holder('agent:bob') }, { resources: ['ticket:t11'] })

describe('a log that ends before what its index has seen', () => {
  it('grants and shows nothing, wherever it was cut, until its numbers pass over what is lost', async () => {
    const first = await stage()
    const { seen } = await claimed(first)
    expect(seen).toBeGreaterThan(4)
    for (let count = 1; count < seen; count++) {
      const s = await stage()
      const { lines } = await claimed(s)
      cut(s, lines, count)
      const before = fs.readFileSync(s.file('claims.jsonl'))
      for (const asked of [acquire(s), s.open().view(), s.open({ resident: true }).view()]) {
        const fault = await faultOf(asked)
        expect(fault, `${count} lines`).toMatchObject({ code: 'unavailable', details: { last_good_seq: count - 1 } })
        expect(fault.hint).toContain('lh recover')
      }
      expect(fs.readFileSync(s.file('claims.jsonl'))).toEqual(before)
      const found = await s.maintenance.inspect({ worktreeIds: null })
      expect(found.map(({ severity, code }) => `${severity} ${code}`)).toContain('error log-behind-index')
      await s.maintenance.recover({ cut: false })
      expect(await held(s.open())).toEqual(
        names
          .slice(0, count - 1)
          .map(name => `ticket:${name}`)
          .toSorted(),
      )
      const answer = await acquire(s)
      expect(answer).toMatchObject({ ok: true })
      expect(answer.ok && answer.leases[0]!.token).toBeGreaterThan(names.length)
    }
  })

  it('is what a power loss may leave, of records that nobody was told of: then it goes on', async () => {
    const s = await stage()
    const { lines, seen } = await claimed(s)
    cut(s, lines, seen - 1)
    const later = { now: () => ({ b: 'boot2.ns1', m: 1, wall: 1_760_000_100_000 }) }
    expect(await faultOf(s.open().view())).toMatchObject({ code: 'unavailable' })
    expect((await s.open({ clock: later }).view()).lastSeq).toBe(seen - 2)
    const found = await (await openMaintenance(s.open({ clock: later }))).inspect({ worktreeIds: null })
    expect(found.map(({ severity, code }) => `${severity} ${code}`)).toContain('warning log-behind-index')
    expect(await acquire(s, later as never)).toMatchObject({ ok: true })
  })

  it('is not one that is behind the index of another log, or that was rotated', async () => {
    const [s, other] = [await stage(), await stage({ retention: { segmentBytes: 4096, maxAgeMs: 1e12, maxBytes: 1e9 } })]
    await claimed(s)
    await take(other, 'x')
    fs.copyFileSync(s.file('claims.index.jsonl'), other.file('claims.index.jsonl'))
    expect(await held(other.open())).toEqual(['ticket:x'])
    for (let round = 0; round < 30; round++) await take(other, `r${round}`)
    expect(fs.readdirSync(other.file('archive')).length).toBeGreaterThan(0)
    expect((await held(other.open())).length).toBe(31)
  })
})
