import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import { defaultPolicy } from '../../../src/core/policy.ts'
import type { Repository } from '../../../src/host/git.ts'
import { worktreeDirectory } from '../../../src/host/paths.ts'
import { pidNamespace, processStartTicks, witnessOf } from '../../../src/host/process.ts'
import { doctorReport } from '../../../src/service/maintenance/doctor.ts'
import { heldFindings } from '../../../src/service/maintenance/held.ts'
import type { DoctorRequest } from '../../../src/service/maintenance/doctor.ts'
import type { Finding } from '../../../src/store/maintenance.ts'
import type { OpenFileOptions } from '../../../src/store/open.ts'
import { openMaintenance } from '../../../src/store/open.ts'
import { holder } from '../../support/cast.ts'
import type { Stage } from './stage.ts'
import { flip, forge, held, linesOf, stage, take } from './stage.ts'

const inspect = ({ maintenance }: Stage, worktreeIds: ReadonlySet<string> | null = null): Promise<readonly Finding[]> =>
  maintenance.inspect({ worktreeIds })

const briefly = (findings: readonly Finding[]): readonly string[] => findings.map(({ severity, code }) => `${severity} ${code}`)

/** What is found after something was spoilt in a store with one lease. */
async function foundAfter(spoil: (s: Stage) => void | Promise<void>, more: Partial<OpenFileOptions> = {}): Promise<readonly Finding[]> {
  const s = await stage()
  await take(s, 'a')
  await s.maintenance.recover({ cut: false })
  await spoil(s)
  return (await openMaintenance(s.open(more))).inspect({ worktreeIds: null })
}

/** The index of a store that has more records. */
async function indexOfAnother(): Promise<string> {
  const s = await stage()
  for (const name of ['a', 'b']) await take(s, name)
  await s.maintenance.recover({ cut: false })
  return s.file('claims.index.jsonl')
}

const doctor = (s: Stage, more: Partial<DoctorRequest> = {}) =>
  doctorReport({
    maintenance: s.maintenance,
    worktreeIds: null,
    fix: false,
    sweep: async () => {
      const answer = await s.coordinator.sweep({ holder: holder('system') })
      return answer.ok ? answer.seqs.length : 0
    },
    hooks: [],
    ...more,
  })

describe('many findings', () => {
  it('of one kind: ten are shown and the others counted, the document has them all, and none hides another kind', async () => {
    const s = await stage()
    for (let number = 0; number < 60; number++) await take(s, `t${number}`)
    s.clock.advance(365 * 86_400_000)
    for (let number = 0; number < 25; number++) fs.writeFileSync(s.file(`claims.index.jsonl.999999${number}.1.tmp`), '')
    await take(s, 'live')
    const { lines, document } = await doctor(s, { worktreeIds: new Set() })
    expect((document['findings'] as readonly Finding[]).length).toBe(60 + 25 + 1)
    expect(document['count']).toBe(86)
    expect(lines.filter(line => line.includes('has expired'))).toHaveLength(10)
    expect(lines.filter(line => line.includes('was left behind'))).toHaveLength(10)
    expect(lines.filter(line => line.startsWith('and '))).toEqual([
      'and 15 more of these (leftover); to see all of them: lh doctor --json',
      'and 50 more of these (lease-expired); to see all of them: lh doctor --json',
    ])
    expect(lines[0]).toContain('ticket:live, held by agent:ann in worktree')
    expect(lines.at(-1)).toBe('0 errors, 1 warning, 85 to know')
  })
})

describe('a store that is well', () => {
  it('is not asked for what the first claim makes, where other things of ours lie beside it', async () => {
    const s = await stage()
    fs.mkdirSync(s.directory, { mode: 0o700 })
    fs.writeFileSync(s.file('worktrees.lock'), '')
    expect(await inspect(s)).toEqual([])
  })

  it('has nothing to find, and looking changes nothing', async () => {
    const s = await stage()
    await take(s, 'a')
    await s.maintenance.recover({ cut: false })
    const snapshot = (): readonly string[] => fs.readdirSync(s.directory, { recursive: true, encoding: 'utf8' }).toSorted()
    const before = snapshot()
    expect(await inspect(s, new Set(['wt:00000001']))).toEqual([])
    expect(snapshot()).toEqual(before)
    expect(await doctor(s)).toMatchObject({ exit: 0, document: { ok: true, findings: [], count: 0 }, lines: ['all is well'] })
  })

  it('is not made by looking', async () => {
    const s = await stage()
    expect(briefly(await inspect(s))).toEqual(['info no-store'])
    expect((await doctor(s, { fix: true })).exit).toBe(0)
    expect(fs.existsSync(s.directory)).toBe(false)
  })
})

describe('what is found', () => {
  const log = (s: Stage): string => s.file('claims.jsonl')
  const cases: readonly (readonly [string, (s: Stage) => void | Promise<void>, Partial<OpenFileOptions>?])[] = [
    ['error directory-unsafe', s => fs.chmodSync(s.directory, 0o777)],
    ['error directory-unsafe', s => (fs.rmSync(s.file('archive'), { recursive: true }), fs.symlinkSync('/tmp', s.file('archive')))],
    ['warning directory-missing', s => fs.rmSync(s.file('quarantine'), { recursive: true })],
    ['error symlink', s => (fs.renameSync(log(s), s.file('x')), fs.symlinkSync('x', log(s)))],
    ['error not-a-file', s => (fs.rmSync(s.file('format')), fs.mkdirSync(s.file('format')))],
    ['warning file-permissions', s => fs.chmodSync(log(s), 0o606)],
    ['error unsafe-file-system', () => {}, { fileSystemType: () => 0x6969 }],
    ['error format-missing', s => fs.rmSync(s.file('format'))],
    ['error format-damaged', s => fs.writeFileSync(s.file('format'), '{')],
    ['error format-newer', s => rewriteFormat(s, { min_writer: 2 })],
    ['error copied-or-moved', s => rewriteFormat(s, { inode: 1 })],
    ['error log-missing', s => fs.rmSync(log(s))],
    ['error log-damaged', s => flip(log(s), fs.statSync(log(s)).size - 60)],
    ['info torn-tail', s => fs.appendFileSync(log(s), '{"sch')],
    [
      'error newer-records',
      s => void forge(log(s), [...s.records('claims.jsonl'), { ...s.records('claims.jsonl')[1], seq: 2, op: 'split' }]),
    ],
    ['info index-damaged', s => flip(s.file('claims.index.jsonl'), 300)],
    ['error log-behind-index', s => fs.writeFileSync(log(s), `${linesOf(log(s))[0]}\n`)],
    ['info index-stale', async s => fs.copyFileSync(await indexOfAnother(), s.file('claims.index.jsonl'))],
    ['warning poisoned', s => fs.writeFileSync(s.file('poisoned'), '{}')],
    ['info quarantine', s => fs.writeFileSync(s.file('quarantine', 'x.bin'), 'x')],
    ['info leftover', s => (fs.writeFileSync(s.file('claims.jsonl.new'), 'x'), fs.utimesSync(s.file('claims.jsonl.new'), 1, 1))],
    ['info lease-expired', s => s.clock.advance(3600_000)],
  ]

  it.each(cases.map(([expected, spoil, more]) => ({ expected, spoil, more })))('$expected', async ({ expected, spoil, more }) => {
    const found = await foundAfter(spoil, more)
    expect(briefly(found)).toContain(expected)
    for (const { message, fix, severity } of found) {
      expect(message.length).toBeGreaterThan(10)
      if (severity !== 'info') expect(fix, message).not.toBeNull()
    }
  })

  it('a damaged line has its number', async () => {
    const found = await foundAfter(s => flip(log(s), fs.statSync(log(s)).size - 60))
    expect(found.find(({ code }) => code === 'log-damaged')).toMatchObject({ line: 2, fix: 'see what would be lost: lh recover' })
  })

  it('damage that a power loss did is only a warning', async () => {
    const s = await stage()
    await take(s, 'a', 'b')
    flip(log(s), fs.statSync(log(s)).size - 60)
    const later = await openMaintenance(s.open({ clock: { now: () => ({ b: 'boot2.ns1', m: 1, wall: 1_760_000_100_000 }) } }))
    expect(briefly(await later.inspect({ worktreeIds: null }))).toContain('warning log-damaged')
  })

  it('somebody who accepted an unsafe file system is only reminded', async () => {
    expect(briefly(await foundAfter(() => {}, { fileSystemType: () => 0x6969, allowUnsafeFs: true }))).toContain(
      'warning unsafe-file-system',
    )
  })

  it('locks that keep nobody out', async () => {
    const s = await stage()
    await take(s, 'a')
    const lock = { ...s.store.options.lock, tryExclusive: () => true }
    expect(briefly(await (await openMaintenance(s.open({ lock }))).inspect({ worktreeIds: null }))).toContain('error locks-unreliable')
  })

  it.each(['EROFS', 'EACCES', 'EPERM', 'ENOSPC'])('a place that cannot be written (%s), with the line that opens it', async code => {
    const s = await stage()
    await take(s, 'a')
    const openSync = (file: string, flags: number, mode?: number): number => {
      if (file.endsWith('.tmp')) throw Object.assign(new Error(code), { code, path: file })
      return fs.openSync(file, flags, mode)
    }
    const found = await (
      await openMaintenance(s.open({ disk: { ...fs, openSync: openSync as typeof fs.openSync } }))
    ).inspect({ worktreeIds: null })
    const finding = found.find(each => each.code === 'not-writable')
    expect(finding?.severity).toBe('error')
    expect(finding?.fix).toContain(code === 'ENOSPC' ? 'make room' : `sandbox_workspace_write.writable_roots=["${s.directory}"]`)
  })

  it('an archived segment that is damaged, or gone without another that tells', async () => {
    const archived = async (): Promise<readonly [Stage, string]> => {
      const s = await stage()
      for (const name of ['a', 'b']) await take(s, name)
      await s.maintenance.compact()
      return [s, s.file('archive', 'claims-000000000001-000000000002.jsonl')]
    }
    const [damaged, file] = await archived()
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"acquire"', '"acquirf"'))
    expect(await inspect(damaged)).toMatchObject([{ severity: 'error', code: 'history-damaged', file, line: 2 }])
    expect((await doctor(damaged)).exit).toBe(2)
    const [missing, only] = await archived()
    fs.rmSync(only)
    const [found, ...more] = await inspect(missing)
    expect(found).toMatchObject({ severity: 'error', code: 'history-damaged' })
    expect(found!.message).toContain('records 1 to 2 should still be in the archive')
    expect(more).toEqual([])
  })

  it('how much of a large archive was not read, and what reads it', async () => {
    const s = await stage()
    for (const name of ['a', 'b', 'c']) {
      await take(s, name)
      await s.maintenance.compact()
    }
    const [first, second] = [1, 2].map(n => s.file('archive', `claims-00000000000${n}-00000000000${n}.jsonl`))
    fs.truncateSync(first!, 3 * 1_048_576)
    expect((await inspect(s)).map(({ code, file }) => [code, file])).toEqual([['history-damaged', first]])
    fs.truncateSync(second!, 7 * 1_048_576)
    const found = await inspect(s)
    expect(found.map(({ code, file }) => [code, file])).toEqual([
      ['history-damaged', second],
      ['history-unread', s.file('archive')],
    ])
    expect(found[1]).toMatchObject({
      severity: 'info',
      message: expect.stringContaining('1 older segments (3 MiB)'),
      fix: expect.stringContaining('lh verify'),
    })
  })

  it('an archive that is gone, unless the log says that it was lost', async () => {
    const s = await stage()
    for (const name of ['a', 'b', 'c']) {
      await take(s, name)
      await s.maintenance.compact()
    }
    fs.rmSync(s.file('archive', 'claims-000000000002-000000000002.jsonl'))
    expect((await inspect(s)).find(({ code }) => code === 'archive-gap')?.message).toContain('records 2 to 2 are missing')

    const t = await stage()
    await take(t, 'a')
    await t.maintenance.compact()
    await take(t, 'b')
    await t.maintenance.recover({ cut: false })
    fs.rmSync(log(t))
    await t.maintenance.recover({ cut: true })
    expect(briefly(await inspect(t))).toEqual([])
  })

  it('two clocks in one log', async () => {
    const s = await stage()
    await take(s, 'a')
    const other = s.open({ clock: { now: () => ({ b: 'boot9.ns1', m: 5, wall: 1_760_000_005_000 }) } })
    await take({ coordinator: new Coordinator(other, defaultPolicy, 'other') }, 'b')
    expect(briefly(await inspect(s))).toContain('warning two-clocks')
  })
})

describe('leases', () => {
  const named = { holder: holder('agent:ann') }

  it('of a worktree that is gone, once for a group, and only where worktrees are known', async () => {
    const s = await stage()
    await s.coordinator.acquire(named, { resources: ['ticket:a', 'ticket:b'] })
    expect(await inspect(s)).toEqual([])
    expect(await inspect(s, new Set(['wt:00000001']))).toEqual([])
    const found = await inspect(s, new Set(['wt:99999999']))
    expect(briefly(found)).toEqual(['warning worktree-gone'])
    expect(found[0]!.fix).toBe("lh claim evict ticket:a --reason 'its worktree is gone'")
  })

  it('indefinite and silent', async () => {
    const s = await stage()
    await s.coordinator.acquire(named, { resources: ['ticket:a'], ttlSecs: 0, reason: 'long' })
    expect(briefly(await inspect(s))).toEqual([])
    s.clock.advance(3601_000)
    expect(briefly(await inspect(s))).toEqual(['warning lease-stale'])
  })

  it('bound to a dead process are swept by --fix, and those of the living stay', async () => {
    const s = await stage()
    const mine = { ...named.holder, witness: witnessOf(process.pid) }
    const dead = await s.coordinator.acquire({ holder: mine }, { resources: ['port:1'], bind: true })
    const alive = await s.coordinator.acquire({ holder: mine }, { resources: ['port:2'], bind: true })
    if (!dead.ok || !alive.ok) throw new Error('refused')
    dead.liveLock!.close()
    expect(briefly(await inspect(s))).toEqual(['info lease-dead'])
    const report = await doctor(s, { fix: true })
    expect(report).toMatchObject({ exit: 0, document: { ok: true, findings: [], fixed: ['ended 1 lease of expired or dead holders'] } })
    expect(await held(s.store)).toEqual(['port:2'])
    alive.liveLock!.close()
  })
})

describe('lh doctor', () => {
  it('exits 2 with the findings beside the error', async () => {
    const s = await stage()
    await take(s, 'a')
    fs.rmSync(s.file('format'))
    const report = await doctor(s)
    expect(report.exit).toBe(2)
    expect(report.document).toMatchObject({
      ok: false,
      error: { exit: 2 },
      findings: [{ severity: 'error', code: 'format-missing', fix: 'lh recover' }],
      count: 1,
    })
    expect(report.lines.at(-1)).toBe('1 error, 0 warnings, 0 to know')
    expect(await doctor(s, { fix: true })).toMatchObject({
      exit: 0,
      document: { ok: true, fixed: ['format was missing or damaged and was written anew', expect.stringContaining('its limits are')] },
    })
    expect((await doctor(s)).exit).toBe(0)
  })

  it('--fix cuts nothing', async () => {
    const s = await stage()
    await take(s, 'a', 'b')
    flip(s.file('claims.jsonl'), fs.statSync(s.file('claims.jsonl')).size - 60)
    const before = fs.readFileSync(s.file('claims.jsonl'))
    const report = await doctor(s, { fix: true })
    expect(report.exit).toBe(2)
    expect(JSON.stringify(report.document)).toContain('lh recover --cut')
    expect(fs.readFileSync(s.file('claims.jsonl'))).toEqual(before)
  })

  it('takes in what other parts find, and survives those that fail', async () => {
    const s = await stage()
    const other: Finding = { severity: 'warning', code: 'config', file: '/x', line: 3, message: 'unknown key', fix: null }
    const report = await doctor(s, {
      hooks: [
        () => [other],
        () => {
          throw new Error('broken hook')
        },
      ],
    })
    expect(report.exit).toBe(2)
    expect(report.document['findings']).toMatchObject([{ message: 'broken hook' }, other, { code: 'no-store' }])
    expect(report.lines).toContain('warning: /x:3: unknown key')
  })

  it('says when the notes of this worktree cannot be read', () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'lh-held-'))
    const repository = { gitDir: directory } as Repository
    expect(heldFindings(repository)).toEqual([])
    fs.mkdirSync(worktreeDirectory(directory), { recursive: true })
    fs.writeFileSync(path.join(worktreeDirectory(directory), 'held.json'), '{"sch')
    expect(heldFindings(repository)).toMatchObject([{ severity: 'warning', code: 'held-unreadable' }])
  })

  it('names a stopped process that keeps everybody waiting', async () => {
    const s = await stage()
    await take(s, 'a')
    const child = spawn(process.execPath, ['-e', `setInterval(() => {}, 1000)`], { stdio: 'ignore' })
    await new Promise(resolve => child.once('spawn', resolve))
    try {
      process.kill(child.pid!, 'SIGSTOP')
      const fd = fs.openSync(s.file('locks', 'claims.lock'), 'r+')
      s.store.options.lock.tryExclusive(fd)
      const since = new Date(s.clock.now().wall - 60_000).toISOString()
      const sign = (signature: object): void => {
        const line = Buffer.alloc(256, 0x20)
        line.write(JSON.stringify(signature))
        fs.writeSync(fd, line, 0, 256, 0)
      }
      const signature = { pid: child.pid, start_ticks: processStartTicks(child.pid!), pid_ns: pidNamespace(), label: 'acquire x', since }
      sign(signature)
      const stopped = (await inspect(s)).find(({ code: found }) => found === 'lock-holder-stopped')
      expect(stopped).toMatchObject({ severity: 'error', fix: `kill -CONT ${child.pid}, or end it` })
      process.kill(child.pid!, 'SIGCONT')
      await new Promise(resolve => setTimeout(resolve, 50))
      expect((await inspect(s)).find(({ code: found }) => found === 'lock-held')?.message).toContain('60 s by pid')
      sign({ ...signature, since: new Date(s.clock.now().wall).toISOString() })
      expect(briefly(await inspect(s))).toEqual([])
      fs.closeSync(fd)
    } finally {
      child.kill('SIGKILL')
    }
  })
})

function rewriteFormat(s: Stage, change: object): void {
  const format = JSON.parse(fs.readFileSync(s.file('format'), 'utf8'))
  fs.writeFileSync(s.file('format'), JSON.stringify({ ...format, ...change }))
}
