import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import { defaultPolicy } from '../../../src/core/policy.ts'
import { recoverReport } from '../../../src/service/maintenance/recover.ts'
import { openMaintenance } from '../../../src/store/open.ts'
import { holder } from '../../support/cast.ts'
import { flip, forge, giveBack, held, linesOf, stage, take } from './stage.ts'
import type { Stage } from './stage.ts'

const recover = ({ maintenance }: Stage, cut = false) => maintenance.recover({ cut })

/** Offset of a line's beginning, 0-based. */
const offsetOf = (file: string, line: number): number => linesOf(file).slice(0, line).join('\n').length + (line === 0 ? 0 : 1)

async function sound(s: Stage): Promise<void> {
  expect((await s.maintenance.verify()).faults).toEqual([])
  await take(s, 'after')
  expect(await held(s.store)).toContain('ticket:after')
}

describe('a store that is well', () => {
  it('loses nothing and gets its index', async () => {
    const s = await stage()
    await take(s, 'a', 'b')
    const before = fs.readFileSync(s.file('claims.jsonl'))
    expect(await recover(s)).toEqual({
      mended: [],
      cutLines: 0,
      cutBytes: 0,
      quarantine: null,
      index: 'rebuilt',
      indexTrouble: null,
      removed: [],
    })
    expect(fs.readFileSync(s.file('claims.jsonl'))).toEqual(before)
    expect(fs.existsSync(s.file('claims.index.jsonl'))).toBe(true)
    expect(await recoverReport(s.maintenance, { cut: true })).toMatchObject({
      exit: 0,
      document: { ok: true, mended: [], cut_lines: 0, index: 'rebuilt' },
    })
  })

  it('is not said to have an index that could not be written', async () => {
    const s = await stage()
    await take(s, 'a')
    for (const [before, index] of [
      ['', 'none'],
      ['sound', 'kept'],
    ] as const) {
      if (before === '') fs.writeFileSync(s.file('claims.index.jsonl'), '')
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      else await recover(s)
      const renameSync = (): never => {
        throw new Error('the disk is full')
      }
      const disk = { ...fs, renameSync }
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { exit, document, lines, warnings } = await recoverReport(await openMaintenance(s.open({ disk })), { cut: false })
      expect([exit, document['index'], lines]).toEqual([0, index, ['nothing else was wrong']])
      expect(warnings).toEqual([expect.stringContaining('the index could not be rebuilt: the disk is full. Nothing depends on it')])
      expect(fs.readdirSync(s.directory).filter(name => name.endsWith('.tmp'))).toEqual([])
    }
  })

  it('is not made by recovering', async () => {
    const s = await stage()
    expect(await recover(s, true)).toMatchObject({ index: 'none', mended: [] })
    expect(fs.existsSync(s.directory)).toBe(false)
    fs.mkdirSync(s.directory, { mode: 0o700 })
    expect(await recover(s, true)).toMatchObject({ index: 'none', mended: [] })
    expect(fs.existsSync(s.file('claims.jsonl'))).toBe(false)
    expect((await recoverReport(s.maintenance, { cut: false })).lines).toEqual(['there is nothing to recover'])
  })

  it('grants nothing and ends nothing, also what has expired', async () => {
    const s = await stage()
    await take(s, 'a')
    s.clock.advance(10 * 3600_000)
    await recover(s)
    expect(await held(s.store)).toEqual(['ticket:a'])
    expect(s.records('claims.jsonl').map(({ op }) => op)).toEqual(['segment', 'acquire'])
  })
})

it('goes on beyond what the index and the archive knew, where the log lost its end cleanly', async () => {
  for (const archived of [false, true]) {
    const s = await stage()
    for (const name of ['a', 'b']) await take(s, name)
    const shorter = fs.readFileSync(s.file('claims.jsonl'))
    for (const name of ['c', 'd']) await take(s, name)
    if (archived) await s.maintenance.compact()
    else await recover(s)
    fs.writeFileSync(s.file('claims.jsonl'), shorter)
    if (archived) fs.rmSync(s.file('claims.index.jsonl'), { force: true })
    const { mended } = await recover(s)
    expect(mended[0]).toBe('the log ended at record 2 although there was a record 4: what came after its end is lost')
    expect((await recover(s)).mended).toEqual([])
    await take(s, 'e')
    const { lastSeq } = await s.maintenance.verify()
    expect(lastSeq).toBeGreaterThan(1_000_004)
    expect(s.records('claims.jsonl').map(({ op }) => op)).toEqual(['segment', 'acquire', 'acquire', 'repair', 'acquire'])
  }
})

it('runs in a loop beside four who acquire and release, and nobody notices', async () => {
  const s = await stage({ retention: { segmentBytes: 8192, maxAgeMs: 1e12, maxBytes: 1e12 } })
  await take(s, 'first')
  const work = { isOver: false }
  const granted: number[] = []
  const workers = [1, 2, 3, 4].map(async n => {
    const coordinator = new Coordinator(s.open({ resident: n % 2 === 0 }), defaultPolicy, `worker ${n}`)
    const asking = { holder: holder(`agent:w${n}`) }
    while (!work.isOver) {
      const answer = await coordinator.acquire(asking, { resources: ['ticket:shared'], bind: n === 1 })
      if (answer.ok) {
        granted.push(answer.leases[0]!.token)
        const released = await coordinator.release(asking, {
          target: { resource: 'ticket:shared' },
          ...(answer.liveLock === null ? {} : { unbind: answer.liveLock }),
        })
        expect(released.ok).toBe(true)
      }
      await new Promise(setImmediate)
    }
  })
  for (let round = 0; round < 60; round++) {
    fs.writeFileSync(s.file(`claims.index.jsonl.${2 ** 22 - 1}.1.tmp`), 'x')
    const { mended, cutLines, removed } = await recover(s)
    expect({ mended, cutLines }).toEqual({ mended: [], cutLines: 0 })
    expect(removed.filter(file => file.endsWith('.lock'))).toEqual([])
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  work.isOver = true
  await Promise.all(workers)
  expect(granted.length).toBeGreaterThan(20)
  expect(granted).toEqual([...new Set(granted)].toSorted((a, b) => a - b))
  await sound(s)
})

describe('the end of the log', () => {
  it('a torn tail is mended and said', async () => {
    const s = await stage()
    await take(s, 'a')
    fs.appendFileSync(s.file('claims.jsonl'), '{"schema_version":1,"seq":2,"pr')
    const { mended, cutLines, cutBytes, quarantine } = await recover(s)
    expect({ cutLines, cutBytes }).toEqual({ cutLines: 0, cutBytes: 31 })
    expect(mended[0]).toContain('31 bytes of an append that was cut short')
    expect(fs.readFileSync(s.file('quarantine', quarantine!), 'utf8')).toBe('{"schema_version":1,"seq":2,"pr')
    expect(s.records('claims.jsonl').at(-1)).toMatchObject({ op: 'repair', seq: 2, last_good_seq: 1 })
    expect(await held(s.store)).toEqual(['ticket:a'])
    await sound(s)
  })

  it('after a restart of the machine the leases keep the time they had left, and a minute', async () => {
    const s = await stage()
    await take(s, 'a')
    fs.appendFileSync(s.file('claims.jsonl'), '{"schema')
    const now = () => ({ b: 'boot2.ns1', m: 50, wall: 1_760_000_000_000 + 61_000 })
    const later = s.open({ clock: { now } })
    await (await openMaintenance(later)).recover({ cut: false })
    expect(s.records('claims.jsonl').at(-1)).toMatchObject({ op: 'repair', clk: { b: 'boot1.ns1' } })
    await new Coordinator(later, defaultPolicy, 'later').sweep({ holder: holder('system') })
    expect(s.records('claims.jsonl').map(({ op }) => op)).toEqual(['segment', 'acquire', 'repair', 'boot'])
    const [lease] = [...(await later.view()).all()]
    expect(lease!.deadlineM).toBe(50 + 1_800_000 - 60_000 + 60_000)
    expect((await s.maintenance.verify()).faults).toEqual([])
  })

  it('what a power loss damaged is cut without being told to: it was never acknowledged', async () => {
    const s = await stage()
    await take(s, 'a', 'b')
    const log = s.file('claims.jsonl')
    flip(log, offsetOf(log, 2) + 30)
    const later = s.open({ clock: { now: () => ({ b: 'boot2.ns1', m: 50, wall: 1_760_000_061_000 }) } })
    const { cutLines, mended } = await (await openMaintenance(later)).recover({ cut: false })
    expect(cutLines).toBe(1)
    expect(mended[0]).toContain('the log was cut after record 1')
    expect(await held(s.store)).toEqual(['ticket:a'])
    expect((await s.maintenance.verify()).faults).toEqual([])
  })

  it('damage of the same boot is not cut, and what a cut would lose is said', async () => {
    const s = await stage()
    await take(s, 'a', 'b', 'c')
    await giveBack(s, 'a')
    const log = s.file('claims.jsonl')
    flip(log, offsetOf(log, 2) + 30)
    const before = fs.readFileSync(log)
    const fault = await recover(s).catch(error => error)
    expect(fault).toMatchObject({ name: 'Fault', code: 'unavailable' })
    expect(fault.message).toContain('damaged at line 3')
    expect(fault.message).toContain(
      'loses 3 lines (records 2 to 4), the grant of ticket:b to agent:ann, ticket:c to agent:ann, the end of ticket:a',
    )
    expect(fault.hint).toContain('lh recover --cut')
    expect(fault.details).toMatchObject({
      outcome: 'nothing_changed',
      line: 3,
      last_good_seq: 1,
      cut_lines: 3,
      cut_first_seq: 2,
      cut_last_seq: 4,
      cut_ends: ['ticket:a'],
    })
    expect(fs.readFileSync(log)).toEqual(before)
  })

  it('with cut, goes on behind the damage with larger numbers', async () => {
    const s = await stage()
    await take(s, 'a', 'b', 'c')
    const log = s.file('claims.jsonl')
    flip(log, offsetOf(log, 2) + 30)
    const cut = fs.readFileSync(log).subarray(offsetOf(log, 2))
    const { mended, cutLines, cutBytes, quarantine } = await recover(s, true)
    expect({ cutLines, cutBytes }).toEqual({ cutLines: 2, cutBytes: cut.length })
    expect(mended[0]).toContain('the log was cut after record 1: 2 lines')
    expect(fs.readFileSync(s.file('quarantine', quarantine!))).toEqual(cut)
    expect(s.records('claims.jsonl').at(-1)).toMatchObject({ op: 'repair', seq: 4, last_good_seq: 1, cut_lines: 2 })
    expect(await held(s.store)).toEqual(['ticket:a'])
    await sound(s)
    expect((await s.store.view()).lease('ticket:after')!.token).toBe(5)
  })

  it('numbers that cannot be read any more are passed over', async () => {
    const s = await stage()
    await take(s, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i')
    const log = s.file('claims.jsonl')
    const bytes = fs.readFileSync(log)
    bytes.fill(0, offsetOf(log, 3), bytes.length - 1)
    fs.writeFileSync(log, bytes)
    await recover(s, true)
    const all = s.records('claims.jsonl')
    expect(all.slice(-2).map(({ op }) => op)).toEqual(['repair', 'repair'])
    expect(all.at(-1).seq).toBeGreaterThanOrEqual(1_000_000)
    await sound(s)
  })

  it('numbers that only the index knows are passed over', async () => {
    const s = await stage()
    await take(s, 'a', 'b', 'c')
    await recover(s)
    const log = s.file('claims.jsonl')
    const lines = linesOf(log)
    // Somebody cut two lines off and wrote one of his own.
    fs.writeFileSync(log, `${lines.slice(0, 2).join('\n')}\n${lines[2]!.replace('ticket:b', 'ticket:x')}\n`)
    await recover(s, true)
    await take(s, 'next')
    expect((await s.store.view()).lease('ticket:next')!.token).toBeGreaterThan(3)
    await sound(s)
  })
})

describe('a log that is gone', () => {
  it('is not made anew without being told, and what is known is said', async () => {
    const s = await stage()
    await take(s, 'a', 'b')
    await recover(s)
    fs.rmSync(s.file('claims.jsonl'))
    const fault = await recover(s).catch(error => error)
    expect(fault).toMatchObject({
      code: 'unavailable',
      details: { outcome: 'nothing_changed', known_from: 'index', known_seq: 2, leases: 2 },
    })
    expect(fault.message).toContain('the index has it up to record 2 with 2 leases')
    expect(fs.existsSync(s.file('claims.jsonl'))).toBe(false)
  })

  it('comes back from the index, with its leases and much larger numbers', async () => {
    const s = await stage()
    await take(s, 'a', 'b', 'c')
    await giveBack(s, 'c', 'done')
    await recover(s)
    const { space } = JSON.parse(fs.readFileSync(s.file('format'), 'utf8'))
    fs.rmSync(s.file('claims.jsonl'))
    const { mended } = await recover(s, true)
    expect(mended[0]).toContain('restored from the index as it was at record 4, with 2 leases')
    expect(await held(s.store)).toEqual(['ticket:a', 'ticket:b'])
    expect((await s.store.view()).past('ticket:c')).toMatchObject({ outcome: 'done' })
    const all = s.records('claims.jsonl')
    expect(all[0]).toMatchObject({ op: 'segment', space })
    expect(all.at(-1)).toMatchObject({ op: 'repair', seq: 1_000_004, last_good_seq: 4 })
    await sound(s)
    expect((await s.store.view()).lease('ticket:after')!.token).toBe(1_000_005)
  })

  it('comes back from the newest archive when the index is damaged', async () => {
    const s = await stage()
    await take(s, 'a')
    await s.maintenance.compact()
    await take(s, 'b')
    await recover(s)
    flip(s.file('claims.index.jsonl'), 200)
    fs.rmSync(s.file('claims.jsonl'))
    const { mended } = await recover(s, true)
    expect(mended[0]).toContain('restored from the newest archive as it was at record 1')
    expect(await held(s.store)).toEqual(['ticket:a'])
    await sound(s)
  })

  it('the records between archive and index are known to be gone', async () => {
    const s = await stage()
    await take(s, 'a')
    await s.maintenance.compact()
    await take(s, 'b', 'c')
    await recover(s)
    fs.rmSync(s.file('claims.jsonl'))
    await recover(s, true)
    expect(await held(s.store)).toEqual(['ticket:a', 'ticket:b', 'ticket:c'])
    await sound(s)
    await s.maintenance.compact()
    await sound(s)
  })

  it('starts without leases when nothing else is known, and not at 1', async () => {
    const s = await stage()
    await take(s, 'a')
    fs.rmSync(s.file('claims.jsonl'))
    fs.rmSync(s.file('claims.index.jsonl'), { force: true })
    await expect(recover(s)).rejects.toThrow('nothing else is known')
    await recover(s, true)
    expect(await held(s.store)).toEqual([])
    await sound(s)
    expect((await s.store.view()).lease('ticket:after')!.token).toBeGreaterThan(1_000_000)
  })

  it('a checkpoint that cannot be read is a log that is gone', async () => {
    const s = await stage()
    await take(s, 'a', 'b')
    await s.maintenance.compact()
    await take(s, 'c')
    await recover(s)
    const log = s.file('claims.jsonl')
    flip(log, offsetOf(log, 1) + 30)
    const damaged = fs.readFileSync(log)
    await expect(recover(s)).rejects.toThrow('it can only be made anew from the index (record 3)')
    const { quarantine, mended } = await recover(s, true)
    expect(fs.readFileSync(s.file('quarantine', quarantine!))).toEqual(damaged)
    expect(mended[0]).toContain('unreadable')
    expect(await held(s.store)).toEqual(['ticket:a', 'ticket:b', 'ticket:c'])
    await sound(s)
  })
})

describe('other files', () => {
  it('format, missing or damaged, is written anew for the same space', async () => {
    for (const spoil of [(file: string) => fs.rmSync(file), (file: string) => fs.writeFileSync(file, '{"for')]) {
      const s = await stage()
      await take(s, 'a')
      const before = JSON.parse(fs.readFileSync(s.file('format'), 'utf8'))
      spoil(s.file('format'))
      await expect(take(s, 'b')).rejects.toThrow('format')
      expect((await recover(s)).mended).toEqual([
        'format was missing or damaged and was written anew',
        'its limits are those of the configuration here: max_indefinite_leases_per_agent is 2, max_indefinite_leases_per_repo is 10; to change one: lh config set',
      ])
      expect(JSON.parse(fs.readFileSync(s.file('format'), 'utf8'))).toEqual(before)
      await sound(s)
    }
  })

  it('a newer format is left alone', async () => {
    const s = await stage()
    await take(s, 'a')
    const format = JSON.parse(fs.readFileSync(s.file('format'), 'utf8'))
    fs.writeFileSync(s.file('format'), JSON.stringify({ ...format, min_writer: 9 }))
    await expect(recover(s, true)).rejects.toThrow('newer Leasehold')
  })

  it('records of a newer version are left alone', async () => {
    const s = await stage()
    await take(s, 'a')
    const all = s.records('claims.jsonl')
    forge(s.file('claims.jsonl'), [...all, { ...all[1], seq: 2, op: 'split' }])
    fs.appendFileSync(s.file('claims.jsonl'), '{"to')
    await expect(recover(s, true)).rejects.toThrow('"split"')
    expect(fs.readFileSync(s.file('claims.jsonl'), 'utf8').endsWith('{"to')).toBe(true)
  })

  it('a copied directory is not touched', async () => {
    const s = await stage()
    await take(s, 'a')
    fs.cpSync(s.directory, `${s.directory}2`, { recursive: true })
    fs.rmSync(s.directory, { recursive: true })
    fs.renameSync(`${s.directory}2`, s.directory)
    await expect(recover(s, true)).rejects.toThrow('copied or moved')
  })

  it('leftovers go; what is used, referenced or fresh stays', async () => {
    const s = await stage()
    await take(s, 'a')
    const bound = await s.coordinator.acquire({ holder: holder('agent:ann') }, { resources: ['port:1'], bind: true })
    const dead = await s.coordinator.acquire({ holder: holder('agent:ann') }, { resources: ['port:2'], bind: true })
    if (!bound.ok || !dead.ok) throw new Error('refused')
    dead.liveLock!.close()
    const old = new Date(1_700_000_000_000)
    const make = (name: string, time?: Date): void => {
      fs.writeFileSync(s.file(name), '')
      if (time !== undefined) fs.utimesSync(s.file(name), time, time)
    }
    const gone = spawnSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }).stdout.trim()
    const free = 'locks/live-00000000000000000000000000000001.lock'
    const reserve = 'locks/reserve-00000000000000000000000000000001.lock'
    for (const name of ['claims.jsonl.new', free, reserve, 'notes.txt', `claims.index.jsonl.${gone}.1.tmp`]) make(name)
    make(`format.${process.pid}.1.tmp`, old)
    const fresh = new Date(s.clock.now().wall)
    make(`format.${process.pid}.2.tmp`, fresh)
    const before = fs.readdirSync(s.file('locks'))
    const { removed } = await recover(s)
    expect(removed.toSorted()).toEqual(
      ['claims.jsonl.new', free, reserve, `claims.index.jsonl.${gone}.1.tmp`, `format.${process.pid}.1.tmp`].toSorted(),
    )
    expect(fs.readdirSync(s.file('locks')).toSorted()).toEqual(
      before.filter(name => !free.endsWith(name) && !reserve.endsWith(name)).toSorted(),
    )
    expect(fs.existsSync(s.file('notes.txt'))).toBe(true)
    expect(fs.existsSync(s.file(`format.${process.pid}.2.tmp`))).toBe(true)
    bound.liveLock!.close()
  })

  it("a stopped rotation's second name of the log goes", async () => {
    const s = await stage()
    await take(s, 'a')
    fs.linkSync(s.file('claims.jsonl'), s.file('archive', 'claims-000000000001-000000000001.jsonl'))
    expect((await recover(s)).removed).toEqual([path.join('archive', 'claims-000000000001-000000000001.jsonl')])
    await sound(s)
  })

  it('a log whose sync failed is written anew', async () => {
    const s = await stage()
    await take(s, 'a')
    fs.writeFileSync(s.file('poisoned'), '{}')
    const { ino } = fs.statSync(s.file('claims.jsonl'))
    expect((await recover(s)).mended[0]).toContain('written anew')
    expect(fs.existsSync(s.file('poisoned'))).toBe(false)
    expect(fs.statSync(s.file('claims.jsonl')).ino).not.toBe(ino)
    await sound(s)
  })

  it('directories that are missing come back', async () => {
    const s = await stage()
    await take(s, 'a')
    fs.rmSync(s.file('archive'), { recursive: true })
    fs.rmSync(s.file('quarantine'), { recursive: true })
    await recover(s)
    expect(fs.existsSync(s.file('archive')) && fs.existsSync(s.file('quarantine'))).toBe(true)
  })
})
