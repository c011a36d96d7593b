import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/host/clock.ts'
import { kernelLock } from '../../src/host/kernel-lock.ts'
import { maintenanceOf } from '../../src/store/file/maintenance.ts'
import type { Verified } from '../../src/store/maintenance.ts'
import { acquire, ann, bob, eve, on, release, renew, sweep } from '../support/cast.ts'
import { brokenChain, brokenHistory, faultOf, historyOf, isOk, openOn, resealed, run } from '../support/fault.ts'
import { bundleWorker, launch, openReal, runScript, ended } from '../support/fault-processes.ts'
import { requires } from '../support/skip.ts'

// A directory that is not what it should be, other programs in it, and what a well-known tool gets wrong.

let folder: string
let worker: string
let place: string
let directory: string
let log: string

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leasehold-strangers-'))
  worker = await bundleWorker(folder)
})
afterAll(() => {
  for (const name of fs.readdirSync(folder)) execFileSync('chmod', ['-R', 'u+rwX', path.join(folder, name)])
  fs.rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  place = fs.mkdtempSync(path.join(folder, 'case-'))
  directory = path.join(place, 'leasehold')
  log = path.join(directory, 'claims.jsonl')
})

const root = process.getuid?.() === 0
const unavailable = (message: string | RegExp): object => ({
  code: 'unavailable',
  message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
})

/** A store where ann holds `issue:held`. */
async function inUse(): Promise<void> {
  const store = openReal(directory)
  await run(store, acquire(ann, 'issue:held', { ttlSecs: 3600 }))
  await run(store, acquire(ann, 'issue:other', { ttlSecs: 3600 }))
  store.close()
}

/** Everything in the directory, names and bytes; the lock file's line is for people and may change. */
function picture(): string {
  const lines: string[] = []
  const visit = (at: string): void => {
    for (const name of fs.readdirSync(at).toSorted()) {
      const file = path.join(at, name)
      const stat = fs.lstatSync(file)
      if (stat.isDirectory()) visit(file)
      else if (!file.endsWith('claims.lock'))
        lines.push(`${file} ${stat.mode} ${stat.mtimeMs} ${stat.isFile() ? fs.readFileSync(file, 'latin1') : fs.readlinkSync(file)}`)
    }
  }
  visit(directory)
  return lines.join('\n')
}

/** Neither a writer nor (unless said otherwise) a reader gets anything, and nothing is touched. */
async function refusesAll(
  message: string | RegExp,
  { reads = false, writesTo = directory }: { reads?: boolean; writesTo?: string } = {},
): Promise<void> {
  const store = openReal(writesTo)
  const before = picture()
  expect(await faultOf(run(store, acquire(eve, 'issue:held')))).toMatchObject(unavailable(message))
  expect(await faultOf(run(store, acquire(eve, 'issue:free')))).toMatchObject(unavailable(message))
  if (reads) expect((await store.view()).lease('issue:held')?.holder.agentId).toBe('agent:ann')
  else expect(await faultOf(store.view())).toMatchObject({ code: 'unavailable' })
  expect(picture()).toBe(before)
  store.close()
}

describe('symbolic links', () => {
  it('the store itself', async () => {
    await inUse()
    fs.symlinkSync(directory, path.join(place, 'link'))
    await refusesAll('is a symbolic link', { writesTo: path.join(place, 'link') })
  })

  for (const name of ['locks', 'archive', 'quarantine']) {
    it(`${name}/`, async () => {
      await inUse()
      const elsewhere = path.join(place, 'elsewhere')
      fs.renameSync(path.join(directory, name), elsewhere)
      fs.symlinkSync(elsewhere, path.join(directory, name))
      const before = fs.readdirSync(elsewhere)
      await refusesAll('is a symbolic link', { reads: true })
      expect(fs.readdirSync(elsewhere)).toEqual(before)
    })
  }

  for (const name of ['claims.jsonl', 'format']) {
    it(name, async () => {
      await inUse()
      const elsewhere = path.join(place, 'elsewhere')
      fs.renameSync(path.join(directory, name), elsewhere)
      fs.symlinkSync(elsewhere, path.join(directory, name))
      const before = fs.readFileSync(elsewhere)
      await refusesAll(/symbolic link|is not a file/)
      // What it leads to may be all that there is of the log.
      const link = path.join(directory, name)
      expect(await faultOf(openReal(directory).view())).toMatchObject({
        ...unavailable(`${link} is a symbolic link`),
        hint: expect.stringContaining('put that file itself in its place') as string,
      })
      const findings = await maintenanceOf(openReal(directory)).inspect({ worktreeIds: null })
      expect(findings).toContainEqual(
        expect.objectContaining({
          code: 'symlink',
          file: link,
          fix: expect.stringContaining('put that file itself in its place') as string,
        }),
      )
      expect(fs.readFileSync(elsewhere).equals(before)).toBe(true)
    })
  }

  it('the lock file', async () => {
    await inUse()
    const elsewhere = path.join(place, 'elsewhere')
    fs.writeFileSync(elsewhere, 'precious')
    fs.unlinkSync(path.join(directory, 'locks/claims.lock'))
    fs.symlinkSync(elsewhere, path.join(directory, 'locks/claims.lock'))
    const store = openReal(directory)
    expect(await faultOf(run(store, acquire(eve, 'issue:held')))).toMatchObject(unavailable('symbolic link'))
    expect(fs.readFileSync(elsewhere, 'utf8')).toBe('precious')
  })

  it('the index, or a directory in its place, is no index', async () => {
    await inUse()
    const index = path.join(directory, 'claims.index.jsonl')
    const elsewhere = path.join(place, 'elsewhere')
    fs.writeFileSync(elsewhere, 'precious')
    for (const make of [() => fs.symlinkSync(elsewhere, index), () => fs.mkdirSync(index)]) {
      fs.rmSync(index, { recursive: true, force: true })
      make()
      expect(isOk(await run(openReal(directory), acquire(eve, 'issue:held')))).toBe(false)
      expect(isOk(await run(openReal(directory), renew(ann, on('issue:held'))))).toBe(true)
    }
    expect(fs.readFileSync(elsewhere, 'utf8')).toBe('precious')
  })
})

describe('things that are no files', () => {
  it('in the place of the log are said to be so by whoever reads all of it', async () => {
    await inUse()
    const elsewhere = path.join(place, 'elsewhere')
    fs.renameSync(log, elsewhere)
    for (const make of [() => fs.symlinkSync(elsewhere, log), () => fs.mkdirSync(log), () => execFileSync('mkfifo', [log])]) {
      fs.rmSync(log, { recursive: true, force: true })
      make()
      const store = openReal(directory)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await faultOf(historyOf(store))).toMatchObject(unavailable(/symbolic link|or neither/))
      // oxlint-disable-next-line no-await-in-loop -- as above
      const verified = await maintenanceOf(store)
        .verify()
        .catch((error: unknown) => error)
      if ((verified as Verified).faults === undefined) expect(verified).toMatchObject(unavailable(/symbolic link|or neither/))
      else expect((verified as Verified).faults).not.toEqual([])
    }
  })

  it('in the place of the locks are said to be so by whoever asks what is being launched', async () => {
    await inUse()
    fs.renameSync(path.join(directory, 'locks'), path.join(place, 'elsewhere'))
    for (const make of [
      () => fs.writeFileSync(path.join(directory, 'locks'), ''),
      () => fs.symlinkSync('nowhere', path.join(directory, 'locks')),
    ]) {
      fs.rmSync(path.join(directory, 'locks'), { force: true })
      make()
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const view = await openReal(directory).view()
      expect(() => view.reservations()).toThrow(expect.objectContaining(unavailable('')) as Error)
    }
  })

  for (const name of ['claims.jsonl', 'format', 'claims.index.jsonl']) {
    it(`a pipe in the place of ${name} hangs nobody`, async () => {
      await inUse()
      fs.rmSync(path.join(directory, name), { force: true })
      execFileSync('mkfifo', [path.join(directory, name)])
      // In a process of its own, so that hanging fails this test and not the run.
      const child = launch(
        { worker, through: ['timeout', '20'] },
        {
          mode: 'script',
          directory,
          steps: [
            { do: 'list', who: 'agent:x' },
            { do: 'acquire', who: 'agent:x', key: 'issue:held' },
          ],
        },
      )
      const { code, out } = await ended(child)
      expect(code).toBe(0)
      const results = out
        .split('\n')
        .filter(Boolean)
        .map(line => JSON.parse(line))
      expect(results[1]).toMatchObject({ ok: false })
      if (name !== 'claims.index.jsonl') expect(results).toMatchObject([{ code: 'unavailable' }, { code: 'unavailable' }])
    })
  }
})

describe('rights and owners', () => {
  for (const name of ['', 'locks']) {
    it(`a directory that everybody may write: ${name || 'the store'}`, async () => {
      await inUse()
      fs.chmodSync(path.join(directory, name), 0o777)
      await refusesAll('can be written by every user', { reads: name !== '' })
    })
  }

  requires(root, 'needs root, to give a directory away').it(
    'a directory of somebody who is neither us nor the owner of the repository',
    async () => {
      await inUse()
      fs.chownSync(directory, 4242, 4242)
      await refusesAll('belongs to user 4242')
      // The owner of the repository may own the store.
      fs.chownSync(place, 4242, 4242)
      expect(isOk(await run(openReal(directory), renew(ann, on('issue:held'))))).toBe(true)
    },
  )

  requires(root, 'needs root, to become another user').it(
    'a directory that we may not write: says so, and who may read reads on',
    async () => {
      await inUse()
      fs.chmodSync(folder, 0o755)
      fs.chmodSync(place, 0o755)
      fs.chmodSync(directory, 0o755)
      execFileSync('chmod', ['-R', 'a+rX', directory])
      execFileSync('chmod', ['-R', 'a+rX', worker, path.join(folder, 'node_modules')])
      const { results, err } = await runScript(
        { worker, through: ['setpriv', '--reuid=4242', '--regid=4242', '--clear-groups', '--'] },
        {
          directory,
          steps: [
            { do: 'acquire', who: 'agent:x', key: 'issue:held' },
            { do: 'list', who: 'agent:x' },
          ],
        },
      )
      expect(err).toBe('')
      expect(results).toMatchObject([
        {
          ok: false,
          code: 'unavailable',
          outcome: 'nothing_changed',
          message: expect.stringContaining('cannot be written (EACCES)'),
          hint: expect.stringContaining('writable_roots'),
        },
        { ok: true, leases: ['issue:held', 'issue:other'] },
      ])
    },
  )

  it('a read-only file system: the same answer, with what opens it', async () => {
    await inUse()
    const readOnly = {
      ...fs,
      openSync: ((file: string, flags: number, mode?: number) => {
        if (typeof flags === 'number' && (flags & 3) !== 0)
          throw Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS', syscall: 'open', path: file })
        return fs.openSync(file, flags, mode)
      }) as typeof fs.openSync,
    }
    const store = openOn({ directory, clock: systemClock(), disk: readOnly, lock: kernelLock() })
    expect(await faultOf(run(store, acquire(eve, 'issue:held')))).toMatchObject({
      ...unavailable('cannot be written (EROFS)'),
      hint: expect.stringContaining(directory),
      details: { outcome: 'nothing_changed' },
    })
    expect((await store.view()).lease('issue:held')?.holder.agentId).toBe('agent:ann')
  })
})

describe('a file system whose locks cannot be trusted', () => {
  for (const [type, name] of [
    [0x6969, 'NFS'],
    [0xff534d42, 'CIFS'],
    [0xfe534d42, 'SMB'],
    [0x01021997, '9P'],
    [0x65735546, 'FUSE'],
    [0x12345678, '0x12345678'],
  ] as const) {
    it(`${name} is refused before anything is made`, async () => {
      const store = openReal(directory, { fileSystemType: type })
      expect(await faultOf(run(store, acquire(ann, 'issue:1')))).toMatchObject({
        ...unavailable(name),
        details: { outcome: 'nothing_changed' },
      })
      expect(fs.existsSync(directory)).toBe(false)
      // statfs gives the same number with a sign on some platforms.
      expect(await faultOf(run(openReal(directory, { fileSystemType: type | 0 }), acquire(ann, 'issue:1')))).toMatchObject(
        unavailable(name),
      )
      const brave = openReal(directory, { fileSystemType: type, allowUnsafeFs: true })
      expect(isOk(await run(brave, acquire(ann, 'issue:1', { ttlSecs: 60 })))).toBe(true)
      expect(isOk(await run(openReal(directory, { fileSystemType: type }), acquire(bob, 'issue:1')))).toBe(false)
    })
  }
})

describe('the format file', () => {
  const rewrite = (change: object): void => {
    const file = path.join(directory, 'format')
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), ...change }))
  }

  it('that is missing beside records', async () => {
    await inUse()
    fs.unlinkSync(path.join(directory, 'format'))
    await refusesAll('format is missing', { reads: true })
  })

  for (const [name, bytes] of [
    ['empty', ''],
    ['garbage', '\0\0\0\0'],
    ['another JSON', '[1,2]'],
    ['half of itself', '{"format":1,"min_re'],
  ]) {
    it(`that is ${name}`, async () => {
      await inUse()
      fs.writeFileSync(path.join(directory, 'format'), bytes!)
      await refusesAll('damaged')
    })
  }

  it('that asks for a newer writer: readers read', async () => {
    await inUse()
    rewrite({ min_writer: 2 })
    await refusesAll('needs a newer Leasehold', { reads: true })
  })

  it('that asks for a newer reader', async () => {
    await inUse()
    rewrite({ min_writer: 2, min_reader: 2 })
    await refusesAll('needs a newer Leasehold')
  })

  it('of a directory that was copied: the copy is refused, the original works', async () => {
    await inUse()
    const original = directory
    execFileSync('cp', ['-r', directory, path.join(place, 'copy')])
    directory = path.join(place, 'copy')
    await refusesAll('was copied or moved', { reads: true })
    expect(isOk(await run(openReal(original), renew(ann, on('issue:held'))))).toBe(true)
  })
})

describe('the log', () => {
  it('that was deleted: never at 1 again', async () => {
    await inUse()
    fs.unlinkSync(log)
    await refusesAll('is gone')
    expect(fs.existsSync(log)).toBe(false)
  })

  it('that was deleted with the format', async () => {
    const store = openReal(directory)
    for (let time = 0; time < 10; time++) await run(store, acquire(ann, 'issue:held', { ttlSecs: 3600 }))
    store.close()
    expect(fs.existsSync(path.join(directory, 'claims.index.jsonl'))).toBe(true)
    fs.unlinkSync(log)
    fs.unlinkSync(path.join(directory, 'format'))
    expect(await faultOf(run(openReal(directory), acquire(eve, 'issue:held')))).toMatchObject(unavailable('is gone'))
    expect(fs.existsSync(log)).toBe(false)
  })

  it('that is emptied: not a new store', async () => {
    await inUse()
    fs.truncateSync(log, 0)
    await refusesAll('damaged')
  })

  it('that is replaced under a writer: the outcome is unknown', async () => {
    await inUse()
    for (const resident of [false, true]) {
      const bytes = fs.readFileSync(log)
      // Between the writer's append and its look at what it did, an editor saves its copy.
      const meddled = {
        ...fs,
        writeSync: ((fd: number, data: Uint8Array, offset: number, length: number, position: number | null) => {
          const count = fs.writeSync(fd, data, offset, length, position)
          if (fs.fstatSync(fd).ino === fs.statSync(log).ino) {
            fs.writeFileSync(`${log}~`, bytes)
            fs.renameSync(`${log}~`, log)
          }
          return count
        }) as typeof fs.writeSync,
      }
      const store = openOn({ directory, clock: systemClock(), disk: meddled, lock: kernelLock(), resident })
      expect(await faultOf(run(store, acquire(eve, 'issue:new')))).toMatchObject({
        ...unavailable('ignores its lock'),
        details: { outcome: 'unknown' },
      })
      store.close()
      expect(isOk(await run(openReal(directory), acquire(eve, 'issue:held')))).toBe(false)
    }
  })

  it('that is replaced between two commands of a process that stays: it is read again', async () => {
    await inUse()
    const store = openReal(directory, { resident: true })
    await run(store, renew(ann, on('issue:held')))
    const bytes = fs.readFileSync(log)
    expect(isOk(await run(store, release(ann, on('issue:held'))))).toBe(true)
    fs.writeFileSync(`${log}~`, bytes)
    fs.renameSync(`${log}~`, log)
    expect(isOk(await run(store, acquire(eve, 'issue:held')))).toBe(false)
    store.close()
  })

  for (const [name, change, says] of [
    ['an operation that is not known', (line: string) => line.replace('"op":"renew"', '"op":"borrow"'), 'borrow'],
    [
      'a newer schema',
      (line: string) => (line.includes('"op":"renew"') ? line.replace('"schema_version":1', '"schema_version":2') : line),
      'schema 2',
    ],
  ] as const) {
    it(`with ${name}: readers show the rest, writers refuse`, async () => {
      await inUse()
      await run(openReal(directory), renew(ann, on('issue:other')))
      fs.writeFileSync(log, resealed(fs.readFileSync(log), change))
      await refusesAll(says, { reads: true })
      const view = await openReal(directory).view()
      expect(view.warnings.join()).toContain('newer Leasehold')
      expect((await historyOf(openReal(directory))).map(({ seq }) => seq)).toEqual([1, 2])
    })
  }

  it('with a leftover of a rotation beside it: removed', async () => {
    await inUse()
    fs.writeFileSync(`${log}.new`, 'half a segment')
    expect(isOk(await run(openReal(directory), acquire(eve, 'issue:held')))).toBe(false)
    expect(fs.existsSync(`${log}.new`)).toBe(false)
  })

  it('that is rotated while somebody reads its history: no gap', async () => {
    await inUse()
    const small = openReal(directory, { segmentBytes: 1 })
    const reader = openReal(directory).history()
    const seen = [(await reader.next()).value!.seq]
    for (let time = 0; time < 40; time++) await run(small, renew(ann, on('issue:held')))
    for await (const { seq } of reader) seen.push(seq)
    expect(seen).toEqual(seen.map((_, index) => index + 1))
    // And from an archive on: what was listed at first is not all there is by the time that it is read.
    const later = openReal(directory).history()
    const again = [(await later.next()).value!.seq]
    for (let time = 0; time < 80; time++) await run(small, renew(ann, on('issue:held')))
    for await (const { seq } of later) again.push(seq)
    expect(again).toEqual(again.map((_, index) => index + 1))
    expect(fs.readdirSync(path.join(directory, 'archive')).length).toBeGreaterThan(1)
  })
})

describe('the lock', () => {
  it('file that was replaced while we waited: we wait at the new one', async () => {
    await inUse()
    const lock = path.join(directory, 'locks/claims.lock')
    const old = fs.openSync(lock, 'r+')
    expect(kernelLock().tryExclusive(old)).toBe(true)
    const waiting = run(openReal(directory), acquire(eve, 'issue:new', { ttlSecs: 60 }))
    let done = false
    void waiting.then(() => (done = true))
    await new Promise(resolve => setTimeout(resolve, 50))
    fs.renameSync(lock, `${lock}.old`)
    const fresh = fs.openSync(lock, 'w+')
    expect(kernelLock().tryExclusive(fresh)).toBe(true)
    kernelLock().unlock(old)
    await new Promise(resolve => setTimeout(resolve, 200))
    expect(done).toBe(false)
    kernelLock().unlock(fresh)
    expect(isOk(await waiting)).toBe(true)
    fs.closeSync(old)
    fs.closeSync(fresh)
  })

  it('that somebody keeps: busy, nothing changed, and it names who', async () => {
    await inUse()
    const lock = path.join(directory, 'locks/claims.lock')
    const held = fs.openSync(lock, 'r+')
    expect(kernelLock().tryExclusive(held)).toBe(true)
    const store = openReal(directory, { lockWaitMs: 100 })
    const before = picture()
    expect(await faultOf(run(store, acquire(eve, 'issue:new')))).toMatchObject({
      ...unavailable(`pid ${process.pid}`),
      details: { outcome: 'nothing_changed' },
    })
    expect(picture()).toBe(before)
    // Readers take no lock.
    expect((await store.view()).lease('issue:held')?.holder.agentId).toBe('agent:ann')
    fs.closeSync(held)
    expect(isOk(await run(store, acquire(eve, 'issue:new', { ttlSecs: 60 })))).toBe(true)
  })

  it('of a stopped process: says that it is stopped', async () => {
    await inUse()
    const child = launch({ worker }, { mode: 'script', directory, steps: [{ do: 'sweep', who: 'agent:x', times: 1_000_000 }] })
    const over = ended(child)
    const lock = path.join(directory, 'locks/claims.lock')
    const store = openReal(directory, { lockWaitMs: 150 })
    try {
      // Until it is caught with the lock in its hand.
      for (let attempt = 0; ; attempt++) {
        await new Promise(resolve => setTimeout(resolve, 100 + (attempt % 7)))
        child.kill('SIGSTOP')
        await new Promise(resolve => setTimeout(resolve, 20))
        const look = fs.openSync(lock, 'r+')
        const free = kernelLock().tryExclusive(look)
        fs.closeSync(look)
        if (!free) break
        if (attempt > 400) throw new Error('it never had the lock')
        child.kill('SIGCONT')
      }
      const fault = await faultOf(run(store, acquire(eve, 'issue:new')))
      expect(fault).toMatchObject(unavailable(`pid ${child.pid}`))
      expect(fault.message).toContain('stopped')
      expect(fault.hint).toContain(`kill -CONT ${child.pid}`)
    } finally {
      child.kill('SIGKILL')
      await over
    }
    expect(isOk(await run(store, acquire(eve, 'issue:new', { ttlSecs: 60 })))).toBe(true)
  })
})

// ── leases.md, section 0a ──

describe('the five defects of the nearest tool', () => {
  it('1. killed between the log and the index: the second acquirer is refused', async () => {
    for (const call of ['writeSync', 'openSync', 'renameSync', 'fdatasyncSync']) {
      directory = path.join(place, `killed-${call}`)
      log = path.join(directory, 'claims.jsonl')
      await runScript({ worker }, { directory, steps: [{ do: 'acquire', who: 'agent:a', key: 'issue:0', ttlSecs: 600 }] })
      // Without an index the next command makes one.
      fs.unlinkSync(path.join(directory, 'claims.index.jsonl'))
      const where = call === 'renameSync' ? '/claims.index.jsonl' : call === 'openSync' ? '.tmp' : '/claims.jsonl'
      const { signal, results } = await runScript(
        { worker },
        {
          directory,
          steps: [
            { do: 'die-after', call, path: where },
            { do: 'acquire', who: 'agent:first', key: 'issue:1', ttlSecs: 600 },
          ],
        },
      )
      expect(signal, call).toBe('SIGKILL')
      expect(results, call).toEqual([])
      const second = await runScript(
        { worker },
        {
          directory,
          steps: [
            { do: 'acquire', who: 'agent:second', key: 'issue:1', ttlSecs: 600 },
            { do: 'list', who: 'agent:second' },
          ],
        },
      )
      expect(second.results, call).toMatchObject([
        { ok: false, kind: 'held', by: 'agent:first' },
        { ok: true, leases: ['issue:0', 'issue:1'] },
      ])
    }
  })

  it(
    '2. 1,000 looks at an expired lease write nothing; 1,000 sweeps of many processes write one eviction',
    { timeout: 120_000 },
    async () => {
      const store = openReal(directory)
      await run(store, acquire(ann, 'issue:old', { ttlSecs: 1 }))
      await new Promise(resolve => setTimeout(resolve, 1100))
      const before = picture()
      for (let time = 0; time < 900; time++) await store.view()
      await runScript({ worker }, { directory, steps: [{ do: 'list', who: 'agent:x', times: 100 }] })
      expect(picture()).toBe(before)
      const sweeps = await Promise.all(
        Array.from({ length: 5 }, (_, number) =>
          runScript(
            { worker },
            {
              directory,
              steps: [
                { do: 'sweep', who: `agent:${number}`, times: 200 },
                { do: 'acquire', who: `agent:${number}`, key: `issue:${number}`, ttlSecs: 60 },
              ],
            },
          ),
        ),
      )
      expect(sweeps.flatMap(({ results }) => results.map(({ ok }) => ok))).toEqual(Array.from({ length: 10 }, () => true))
      const entries = await historyOf(store)
      expect(brokenHistory(entries)).toBeNull()
      expect(entries.map(({ operation }) => operation.op).filter(op => op === 'auto-evict')).toHaveLength(1)
      expect(entries).toHaveLength(1 + 1 + 5)
    },
  )

  it('3. a torn last line: the next record stands on a line of its own, and the rest is rebuilt', async () => {
    await inUse()
    const whole = fs.readFileSync(log)
    const record = whole.subarray(whole.lastIndexOf(0x0a, whole.length - 2) + 1)
    for (const length of [1, 40, record.length - 1]) {
      fs.writeFileSync(log, Buffer.concat([whole, record.subarray(0, length)]))
      fs.rmSync(path.join(directory, 'claims.index.jsonl'), { force: true })
      expect((await openReal(directory).view()).lease('issue:held')?.holder.agentId).toBe('agent:ann')
      expect(isOk(await run(openReal(directory), acquire(eve, 'issue:held')))).toBe(false)
      expect(isOk(await run(openReal(directory), acquire(eve, 'issue:new', { ttlSecs: 60 })))).toBe(true)
      const bytes = fs.readFileSync(log)
      expect(brokenChain(bytes, 'log')).toBeNull()
      expect(bytes.subarray(0, whole.length).equals(whole)).toBe(true)
      expect((await historyOf(openReal(directory))).map(({ operation }) => operation.op)).toEqual([
        'acquire',
        'acquire',
        'repair',
        'acquire',
      ])
    }
  })

  it('4. the wall clock a day ahead ends nothing', async () => {
    await inUse()
    const real = systemClock()
    const store = openOn({
      directory,
      clock: { now: () => ({ ...real.now(), wall: Date.now() + 86_400_000 }) },
      disk: fs,
      lock: kernelLock(),
    })
    expect((await run(store, sweep(eve))).entries).toEqual([])
    expect(isOk(await run(store, acquire(eve, 'issue:held')))).toBe(false)
  })

  it('5. numbers without a gap are read from the log itself, and a gap is seen', async () => {
    await inUse()
    await run(openReal(directory), renew(ann, on('issue:held')))
    const entries = await historyOf(openReal(directory))
    expect(entries.map(({ seq }) => seq)).toEqual([1, 2, 3])
    expect(brokenHistory(entries)).toBeNull()
    // The check can fail: without the second record, even with every checksum in order, nobody believes the log.
    const lines = fs.readFileSync(log, 'utf8').split('\n')
    lines.splice(2, 1)
    const gap = resealed(Buffer.from(lines.join('\n')), line => line)
    expect(brokenChain(gap, 'log')).toContain('has seq 3 after 1')
    fs.writeFileSync(log, gap)
    fs.rmSync(path.join(directory, 'claims.index.jsonl'), { force: true })
    await refusesAll('its seq is 3 where 2 is expected')
  })
})
