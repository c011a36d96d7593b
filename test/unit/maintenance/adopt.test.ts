import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { adoptReport } from '../../../src/service/maintenance/adopt.ts'
import { compactReport, exportLines } from '../../../src/service/maintenance/compact.ts'
import { holder, proofOf } from '../../support/cast.ts'
import type { Stage } from './stage.ts'
import { giveBack, held, stage, take } from './stage.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
const formatOf = (s: Stage): any => JSON.parse(fs.readFileSync(s.file('format'), 'utf8'))

/** A store with history, and a copy of its directory in another place. */
async function copied(): Promise<{ readonly original: Stage; readonly copy: Stage }> {
  const original = await stage()
  await take(original, 'a', 'b')
  await original.maintenance.compact()
  await take(original, 'c')
  const copy = await stage()
  fs.cpSync(original.directory, copy.directory, { recursive: true })
  return { original, copy }
}

describe('a directory that is another one', () => {
  it('is refused until somebody says what happened', async () => {
    const { copy } = await copied()
    await expect(take(copy, 'x')).rejects.toThrow('copied or moved')
  })

  it('moved: the leases go on', async () => {
    const { original, copy } = await copied()
    const { space } = formatOf(original)
    expect(await adoptReport(copy.maintenance, 'moved')).toMatchObject({
      exit: 0,
      document: { ok: true, changed: true, adopted: 'moved', space, quarantine: null, last_seq: 3 },
    })
    expect(await held(copy.store)).toEqual(['ticket:a', 'ticket:b', 'ticket:c'])
    expect(formatOf(copy)).toMatchObject({ space, inode: fs.statSync(copy.directory).ino })
    await take(copy, 'd')
    expect((await copy.maintenance.verify()).faults).toEqual([])
  })

  it('copied: a set of its own without leases, with larger numbers, and nothing of the original is lost', async () => {
    const { original, copy } = await copied()
    const view = await original.store.view()
    const lease = view.lease('ticket:c')!
    let cleared = 0
    const report = await adoptReport(copy.maintenance, 'copied', () => (cleared++, ['one warning']))
    expect(report).toMatchObject({ exit: 0, document: { ok: true, changed: true, adopted: 'copied' }, warnings: ['one warning'] })
    expect(cleared).toBe(1)
    expect(await held(copy.store)).toEqual([])
    expect(formatOf(copy).space).not.toBe(formatOf(original).space)
    expect(copy.records('claims.jsonl')[0]).toMatchObject({ op: 'segment', space: formatOf(copy).space, live: 0 })
    expect(fs.readdirSync(copy.file('archive'))).toEqual([])
    expect(fs.readFileSync(copy.file(String(report.document['quarantine'])))).toEqual(fs.readFileSync(original.file('claims.jsonl')))
    expect(fs.existsSync(copy.file('quarantine', 'claims-000000000001-000000000002.jsonl'))).toBe(true)
    // What the original granted is worth nothing here.
    const renewed = await copy.coordinator.renew(
      { holder: holder('agent:ann') },
      { target: { resource: 'ticket:c' }, presented: proofOf(lease) },
    )
    expect(renewed.ok).toBe(false)
    await take(copy, 'c')
    expect((await copy.store.view()).lease('ticket:c')!.token).toBeGreaterThan(lease.token)
    expect((await copy.maintenance.verify()).faults).toEqual([])
    expect((await original.maintenance.verify()).faults).toEqual([])
    expect(await held(original.store)).toEqual(['ticket:a', 'ticket:b', 'ticket:c'])
  })

  it('copied with a damaged, missing or poisoned log', async () => {
    for (const spoil of [
      (s: Stage) => fs.writeFileSync(s.file('claims.jsonl'), 'nonsense\n'),
      (s: Stage) => fs.rmSync(s.file('claims.jsonl')),
      (s: Stage) => fs.writeFileSync(s.file('poisoned'), '{}'),
    ]) {
      const { copy } = await copied()
      spoil(copy)
      await copy.maintenance.adopt('copied')
      await take(copy, 'x')
      expect((await copy.store.view()).lease('ticket:x')!.token).toBeGreaterThan(2)
      expect((await copy.maintenance.verify()).faults).toEqual([])
    }
  })

  it('can be adopted again after a crash at any step', async () => {
    const { copy } = await copied()
    // Counts the steps of a whole adoption, then stops each in turn.
    for (let stopAt = 1; ; stopAt++) {
      const fresh = await stage()
      fs.cpSync(copy.directory, fresh.directory, { recursive: true })
      let steps = 0
      const step =
        <A extends readonly unknown[], R>(work: (...args: A) => R) =>
        (...args: A): R => {
          if (++steps >= stopAt) throw new Error('power is gone')
          return work(...args)
        }
      const disk = {
        ...fs,
        renameSync: step(fs.renameSync),
        linkSync: step(fs.linkSync),
        unlinkSync: step(fs.unlinkSync),
        fsyncSync: step(fs.fsyncSync),
        mkdirSync: fs.mkdirSync,
      } as typeof fs
      const { openMaintenance } = await import('../../../src/store/open.ts')
      const stopped = await (await openMaintenance(fresh.open({ disk }))).adopt('copied').then(
        () => false,
        () => true,
      )
      if (stopped && formatOf(fresh).inode !== fs.statSync(fresh.directory).ino) {
        await expect(take(fresh, 'x')).rejects.toThrow()
        await fresh.maintenance.adopt('copied')
      }
      await take(fresh, 'x')
      expect(await held(fresh.store)).toEqual(['ticket:x'])
      expect((await fresh.store.view()).lease('ticket:x')!.token).toBeGreaterThan(3)
      expect((await fresh.maintenance.verify()).faults).toEqual([])
      if (!stopped) break
    }
  })

  it('the right directory is left as it is', async () => {
    const s = await stage()
    await take(s, 'a')
    const before = fs.readFileSync(s.file('claims.jsonl'))
    for (const how of ['moved', 'copied'] as const) {
      let cleared = false
      const report = await adoptReport(s.maintenance, how, () => ((cleared = true), []))
      expect(report).toMatchObject({ exit: 0, document: { ok: true, changed: false, adopted: null, last_seq: 1 } })
      expect(cleared).toBe(false)
    }
    expect(fs.readFileSync(s.file('claims.jsonl'))).toEqual(before)
    const none = await stage()
    await expect(none.maintenance.adopt('moved')).rejects.toThrow('there is no store')
    expect(fs.existsSync(none.directory)).toBe(false)
  })
})

describe('compact', () => {
  it('puts the records away and keeps the leases', async () => {
    const s = await stage()
    await take(s, 'a', 'b', 'c', 'd')
    for (const name of ['b', 'c', 'd']) await giveBack(s, name)
    const before = fs.statSync(s.file('claims.jsonl')).size
    const report = await compactReport(s.maintenance)
    const after = fs.statSync(s.file('claims.jsonl')).size
    const archived = ['claims-000000000001-000000000007.jsonl']
    expect(report).toMatchObject({ exit: 0, document: { ok: true, segment_bytes_before: before, segment_bytes_after: after, archived } })
    expect(await held(s.store)).toEqual(['ticket:a'])
    expect((await s.maintenance.verify()).faults).toEqual([])
    await take(s, 'e')
    expect(await held(s.store)).toEqual(['ticket:a', 'ticket:e'])
  })

  it('has nothing to do for a log without records, and makes no store', async () => {
    const s = await stage()
    expect(await s.maintenance.compact()).toEqual({ bytesBefore: 0, bytesAfter: 0, archived: [] })
    expect(fs.existsSync(s.directory)).toBe(false)
    await take(s, 'a')
    await s.maintenance.compact()
    const before = fs.readFileSync(s.file('claims.jsonl'))
    expect(await s.maintenance.compact()).toMatchObject({ archived: [] })
    expect(fs.readFileSync(s.file('claims.jsonl'))).toEqual(before)
  })

  it('leaves no descriptor open', async () => {
    const s = await stage()
    await take(s, 'a')
    const open = (): number => fs.readdirSync('/proc/self/fd').length
    await s.maintenance.compact()
    const before = open()
    for (let n = 0; n < 5; n++) {
      await take(s, `t${n}`)
      await s.maintenance.compact()
      await s.maintenance.recover({ cut: false })
      await s.maintenance.verify()
      await s.maintenance.inspect({ worktreeIds: null })
    }
    expect(open()).toBe(before)
  })

  it('export gives every record, also the archived ones', async () => {
    const s = await stage()
    await take(s, 'a')
    await s.maintenance.compact()
    await take(s, 'b')
    const lines: string[] = []
    for await (const line of exportLines(s.store)) lines.push(line)
    expect(lines.map(line => JSON.parse(line))).toMatchObject([
      { seq: 1, op: 'acquire', resource: 'ticket:a', token: 1 },
      { seq: 2, op: 'acquire', resource: 'ticket:b', token: 2 },
    ])
  })
})

describe('limits', () => {
  it('are changed for everybody, or not at all', async () => {
    const s = await stage()
    expect(await s.maintenance.setLimits({ max_indefinite_leases_per_agent: 1 })).toBe(false)
    expect(fs.existsSync(s.directory)).toBe(false)
    await take(s, 'a')
    const { space } = formatOf(s)
    expect(await s.maintenance.setLimits({ max_indefinite_leases_per_agent: 0 })).toBe(true)
    expect(formatOf(s)).toMatchObject({ space, limits: { max_indefinite_leases_per_agent: 0, max_indefinite_leases_per_repo: 10 } })
    expect(await s.maintenance.setLimits({ max_indefinite_leases_per_agent: 0 })).toBe(false)
    const answer = await s.coordinator.acquire({ holder: holder('agent:ann') }, { resources: ['ticket:z'], ttlSecs: 0, reason: 'long' })
    expect(answer).toMatchObject({ ok: false, refusal: { kind: 'limit', limit: 0 } })
    await expect(s.maintenance.setLimits({ max_indefinite_leases_per_repo: -1 })).rejects.toMatchObject({ code: 'usage' })
    await expect(s.maintenance.setLimits({ max_indefinite_leases_per_repo: 1.5 })).rejects.toMatchObject({ code: 'usage' })
  })

  it('are not changed in a copy, nor where the format is newer', async () => {
    const { copy } = await copied()
    await expect(copy.maintenance.setLimits({ max_indefinite_leases_per_repo: 1 })).rejects.toThrow('copied or moved')
    const s = await stage()
    await take(s, 'a')
    fs.writeFileSync(s.file('format'), JSON.stringify({ ...formatOf(s), min_writer: 2 }))
    await expect(s.maintenance.setLimits({ max_indefinite_leases_per_repo: 1 })).rejects.toThrow('newer')
  })
})
