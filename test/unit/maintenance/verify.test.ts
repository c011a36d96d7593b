import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Disk } from '../../../src/host/disk.ts'
import { verifyReport } from '../../../src/service/maintenance/verify.ts'
import { rotate } from '../../../src/store/file/rotate.ts'
import { verifyLog } from '../../../src/store/file/verify.ts'
import type { Stage } from './stage.ts'
import { flip, forge, giveBack, linesOf, stage, take } from './stage.ts'

/** Three segments: two in the archive, one in use; leases, an end with an outcome and one without. */
async function threeSegments(): Promise<Stage & { readonly archives: readonly string[] }> {
  const s = await stage()
  await take(s, 'a', 'b', 'c')
  await giveBack(s, 'b', 'done')
  await s.maintenance.compact()
  await take(s, 'd', 'e')
  await giveBack(s, 'e')
  await s.maintenance.compact()
  await take(s, 'f')
  return { ...s, archives: fs.readdirSync(s.file('archive')).toSorted() }
}

const messages = async ({ maintenance }: Stage): Promise<readonly string[]> =>
  (await maintenance.verify()).faults.map(({ message }) => message)

describe('a sound log', () => {
  it('has nothing wrong', async () => {
    const s = await threeSegments()
    expect(await s.maintenance.verify()).toMatchObject({
      records: 8,
      segments: 3,
      firstSeq: 1,
      lastSeq: 8,
      leases: 4,
      tornBytes: 0,
      foreign: null,
      faults: [],
      moreFaults: 0,
    })
    const report = await verifyReport(s.maintenance)
    expect(report).toMatchObject({
      exit: 0,
      document: { ok: true, records: 8, segments: 3, findings: [] },
      lines: ['8 records in 3 segments, the last one is 8; 4 leases'],
    })
  })

  it('is empty before the first claim, and nothing is made by looking', async () => {
    const s = await stage()
    expect(await s.maintenance.verify()).toMatchObject({ records: 0, segments: 0, faults: [] })
    expect(fs.existsSync(s.directory)).toBe(false)
  })

  it('tells its progress to the end', async () => {
    const s = await threeSegments()
    const told: number[] = []
    const { bytes } = await s.maintenance.verify((done, total) => told.push(done / total))
    expect(bytes).toBeGreaterThan(0)
    expect(told[0]).toBe(0)
    expect(told.at(-1)).toBe(1)
    expect(told).toEqual(told.toSorted((a, b) => a - b))
  })

  it('stays sound when it is rotated, and the oldest archive deleted, while it is read', async () => {
    const s = await threeSegments()
    const { layout, modes } = s.store
    const rotateNow = (maxBytes: number): void => {
      const fd = fs.openSync(layout.log, 'r+')
      fs.closeSync(rotate(fs, layout, modes, fd, s.clock.now(), { segmentBytes: 1, maxAgeMs: 1e12, maxBytes }).fd)
      fs.closeSync(fd)
    }
    for (const maxBytes of [1e12, 1]) {
      let rotated = false
      const once = (): void => {
        if (!rotated) rotateNow(maxBytes)
        rotated = true
      }
      const disk: Disk = {
        ...fs,
        readdirSync: ((directory: string) => {
          if (maxBytes !== 1) once()
          return fs.readdirSync(directory)
        }) as Disk['readdirSync'],
        openSync: ((file: string, flags: number) => {
          if (path.dirname(file) === layout.archive) once()
          return fs.openSync(file, flags)
        }) as Disk['openSync'],
      }
      expect(verifyLog(disk, layout)).toMatchObject({
        faults: [],
        lastSeq: maxBytes === 1 ? 9 : 8,
      })
      expect(rotated).toBe(true)
      await take(s, 'later')
    }
  })

  it('may have an archive name that a stopped rotation left on the log in use', async () => {
    const s = await threeSegments()
    const [head] = s.records('claims.jsonl')
    fs.linkSync(s.file('claims.jsonl'), s.file('archive', `claims-${String(head.base_seq + 1).padStart(12, '0')}-000000000008.jsonl`))
    await take(s, 'g')
    expect(await messages(s)).toEqual([])
    await s.maintenance.compact()
    await take(s, 'h')
    expect(await messages(s)).toEqual([])
  })
})

describe('damage that checksums tell', () => {
  it('a byte anywhere in any segment', async () => {
    const s = await threeSegments()
    for (const file of [...s.archives.map(name => s.file('archive', name)), s.file('claims.jsonl')]) {
      const whole = fs.readFileSync(file)
      for (let offset = 5; offset < whole.length; offset += 97) {
        flip(file, offset)
        const { faults } = await s.maintenance.verify()
        expect(faults.length, `${path.basename(file)} byte ${offset}`).toBeGreaterThan(0)
        expect(faults[0]!.file).toBe(file)
        fs.writeFileSync(file, whole)
      }
      expect(await messages(s)).toEqual([])
    }
  })

  it('says file, line and byte of a damaged line, once', async () => {
    const s = await threeSegments()
    const file = s.file('archive', s.archives[0]!)
    const lines = linesOf(file)
    const offset = lines.slice(0, 2).join('\n').length + 1
    flip(file, offset + 40)
    const { faults } = await s.maintenance.verify()
    expect(faults).toMatchObject([{ file, line: 3, offset }])
    const report = await verifyReport(s.maintenance)
    expect(report.exit).toBe(7)
    expect(report.document).toMatchObject({
      ok: false,
      error: { code: 'unavailable', exit: 7 },
      records: 7,
      findings: [{ severity: 'error', file, line: 3 }],
      count: 1,
    })
  })

  it('swapped lines', async () => {
    const s = await threeSegments()
    const file = s.file('archive', s.archives[0]!)
    const lines = [...linesOf(file)]
    ;[lines[1], lines[2]] = [lines[2]!, lines[1]!]
    fs.writeFileSync(file, `${lines.join('\n')}\n`)
    expect(await messages(s)).toContain('it does not continue the line before it')
  })

  it('a line that is gone, also the newline of the last one', async () => {
    const s = await threeSegments()
    const file = s.file('archive', s.archives[0]!)
    const whole = fs.readFileSync(file)
    const lines = linesOf(file)
    fs.writeFileSync(file, `${[...lines.slice(0, 2), ...lines.slice(3)].join('\n')}\n`)
    expect((await messages(s)).length).toBeGreaterThan(0)
    fs.writeFileSync(file, whole)
    const log = fs.readFileSync(s.file('claims.jsonl'), 'utf8')
    fs.writeFileSync(s.file('claims.jsonl'), `${log.slice(0, -1)}x`)
    expect(await messages(s)).toEqual(['the newline after it is gone'])
  })

  it('a torn tail is no fault of the log in use, and one of an archive', async () => {
    const s = await threeSegments()
    fs.appendFileSync(s.file('claims.jsonl'), '{"schema_ver')
    expect(await s.maintenance.verify()).toMatchObject({ tornBytes: 12, faults: [] })
    expect((await verifyReport(s.maintenance)).warnings[0]).toContain('12 bytes')
    fs.appendFileSync(s.file('archive', s.archives[0]!), '{"schema_ver')
    expect(await messages(s)).toEqual(['it ends with 12 bytes that are no line'])
  })

  it('a line of more than a piece', async () => {
    const s = await threeSegments()
    const log = fs.readFileSync(s.file('claims.jsonl'), 'utf8')
    fs.writeFileSync(s.file('claims.jsonl'), `${'x'.repeat(3 << 20)}\n${log}`)
    expect((await messages(s))[0]).toContain('longer than 64 KiB')
  })
})

describe('archives', () => {
  it('one in the middle is gone', async () => {
    const s = await threeSegments()
    fs.rmSync(s.file('archive', s.archives[1]!))
    expect(await messages(s)).toEqual(['records 5 to 7 are missing before it'])
  })

  it('the oldest is gone, although retention keeps it', async () => {
    const s = await threeSegments()
    fs.rmSync(s.file('archive', s.archives[0]!))
    expect(await messages(s)).toEqual(['records 1 to 4 should still be in the archive'])
  })

  it('one is cut at its end, cleanly', async () => {
    const s = await threeSegments()
    const file = s.file('archive', s.archives[0]!)
    fs.writeFileSync(file, `${linesOf(file).slice(0, -1).join('\n')}\n`)
    expect(await messages(s)).toEqual(['its name says 1 to 4, and it has 1 to 3', 'records 4 to 4 are missing before it'])
  })

  it('one was replaced by another of the same numbers', async () => {
    const s = await threeSegments()
    const file = s.file('archive', s.archives[0]!)
    forge(
      file,
      s.records('archive', s.archives[0]!).map(record => (record.seq === 2 ? { ...record, actor: 'agent:eve' } : record)),
    )
    expect(await messages(s)).toContain('it does not continue the segment before it')
  })
})

describe('lies with valid checksums', () => {
  type Change = (records: any[]) => any[] // oxlint-disable-line typescript/no-explicit-any -- parsed JSON

  /** Rewrites the newest archive and the log, so that every checksum and link is right. */
  async function told(change: Change): Promise<readonly string[]> {
    const s = await threeSegments()
    const log = change(s.records('claims.jsonl'))
    forge(s.file('claims.jsonl'), log)
    return messages(s)
  }

  const cases: readonly (readonly [string, Change, RegExp])[] = [
    [
      'a checkpoint without a lease',
      all => [{ ...all[0], live: all[0].live - 1 }, ...all.slice(1).filter(r => r.lease?.resource !== 'ticket:a')],
      /lacks the lease on ticket:a/,
    ],
    [
      'a checkpoint with another holder',
      all =>
        all.map(r =>
          r.lease?.resource === 'ticket:a' ? { ...r, lease: { ...r.lease, holder: { ...r.lease.holder, agent_id: 'agent:eve' } } } : r,
        ),
      /lease on ticket:a is not the one/,
    ],
    [
      'a checkpoint with another deadline',
      all => all.map(r => (r.lease?.resource === 'ticket:c' ? { ...r, lease: { ...r.lease, deadline_m: 9e15 } } : r)),
      /lease on ticket:c is not the one/,
    ],
    [
      'a checkpoint with a lease that nobody granted',
      all => [{ ...all[0], live: all[0].live + 1 }, { ...all[1], lease: { ...all[1].lease, resource: 'ticket:x' } }, ...all.slice(1)],
      /lease on ticket:x that the records before it do not grant/,
    ],
    [
      'a checkpoint that forgets an outcome',
      all => [{ ...all[0], past: all[0].past - 1 }, ...all.slice(1).filter(r => r.past?.resource !== 'ticket:b')],
      /forgets that ticket:b ended as done/,
    ],
    [
      'a checkpoint with another outcome',
      all => all.map(r => (r.past?.resource === 'ticket:b' ? { ...r, past: { ...r.past, outcome: null } } : r)),
      /ticket:b that it ended otherwise/,
    ],
    ['a checkpoint with another clock', all => [{ ...all[0], clk: { b: 'boot1.ns1', m: 5 } }, ...all.slice(1)], /other clocks/],
    [
      'a checkpoint with another command',
      all =>
        all.map(r =>
          r.op === 'ops'
            ? { ...r, records: r.records.map((each: { seq: number }) => (each.seq === 5 ? { ...each, actor: 'agent:eve' } : each)) }
            : r,
        ),
      /another command than record 5/,
    ], // oxlint-disable-line typescript/no-explicit-any
    [
      'a checkpoint that announces more than it has',
      all => [{ ...all[0], live: all[0].live + 1 }, ...all.slice(1)],
      /not part of the checkpoint/,
    ],
    [
      'a checkpoint alone that announces more than it has',
      all => [{ ...all[0], live: all[0].live + 1 }, ...all.slice(1, -1)],
      /its checkpoint lacks 1 lines/,
    ],
    ['no checkpoint at all', all => all.slice(1), /begins with another line/],
    ['a second grant', all => [...all, { ...all.at(-1), seq: 9, token: 9 }], /grants ticket:f, which agent:ann holds with token 8/],
    ['a number left out', all => [...all.slice(0, -1), { ...all.at(-1), seq: 10 }], /its seq is 10 where 8 is expected/],
    ['a number twice', all => [...all, { ...all.at(-1), resource: 'ticket:z' }], /its seq is 8 where 9 is expected/],
    ['a repair that hides a number', all => [...all, repair(all, 20, 7)], /its seq is 20 where 9 is expected/],
    ['time that goes back', all => [...all.slice(0, -1), { ...all.at(-1), clk: { b: 'boot1.ns1', m: 0 } }], /before the last record's/],
    [
      'another clock without a boot record',
      all => [...all.slice(0, -1), { ...all.at(-1), clk: { b: 'boot2.ns1', m: 9e9 } }],
      /another clock/,
    ],
    ['a release of what is not held', all => [...all, release(all, 'ticket:q', 3)], /ticket:q is not held/],
    [
      'a release with an old token',
      all => [...all, release(all, 'ticket:f', 3)],
      /its token for ticket:f is 3, and the one that holds is 8/,
    ],
    ['an eviction before its time', all => [...all, evict(all, 'ttl')], /before its time/],
  ]

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  const repair = (all: any[], seq: number, lastGood: number) => ({
    schema_version: 1,
    seq,
    prev: '',
    at: all[0].at,
    clk: all.at(-1).clk,
    op: 'repair',
    op_id: null,
    actor: 'system',
    reason: 'x',
    cut_bytes: 1,
    cut_lines: 1,
    quarantine: null,
    last_good_seq: lastGood,
  })
  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  const release = (all: any[], resource: string, token: number) => {
    const { at, clk, lease_id, holder } = all.at(-1)
    return {
      schema_version: 1,
      seq: 9,
      prev: '',
      at,
      clk,
      op: 'release',
      op_id: null,
      actor: 'agent:ann',
      resource,
      lease_id,
      token,
      holder,
      reason: null,
      outcome: null,
      remaining: null,
    }
  }
  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  const evict = (all: any[], reason: string) => {
    const { at, clk, lease_id, holder, resource } = all.at(-1)
    return {
      schema_version: 1,
      seq: 9,
      prev: '',
      at,
      clk,
      op: 'auto-evict',
      op_id: null,
      actor: 'agent:eve',
      resource,
      lease_id,
      previous_holder: holder,
      previous_token: 8,
      reason,
    }
  }

  it('the forger changes nothing and is not noticed', async () => {
    expect(await told(all => all)).toEqual([])
    expect(await told(all => [...all, evict(all, 'holder-dead')])).toEqual([])
  })

  it.each(cases)('%s', async (_, change, expected) => {
    expect((await told(change)).join('\n')).toMatch(expected)
  })

  it('a record of a newer version is no fault, and what follows is not judged', async () => {
    const s = await threeSegments()
    const all = s.records('claims.jsonl')
    forge(s.file('claims.jsonl'), [...all, { ...all.at(-1), seq: 9, op: 'split' }, { ...all.at(-1), seq: 10 }])
    expect(await s.maintenance.verify()).toMatchObject({ foreign: { seq: 9, op: 'split' }, faults: [], records: 10 })
  })
})
