import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { acquire, ann, bob, eve, on, release, renew } from '../support/cast.ts'
import { brokenChain, brokenHistory, brokenState, faultOf, historyOf, isOk, openOn, run, settle } from '../support/fault.ts'
import { bundleWorker, openReal, runScript, withFileLimit } from '../support/fault-processes.ts'
import type { SimProcess, Trouble } from '../support/sim-disk.ts'
import { SimClock, SimDisk, SimLock, failure } from '../support/sim-disk.ts'
import { requires } from '../support/skip.ts'

// A disk that is full, or that fails.

let folder: string
let worker: string

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leasehold-full-'))
  worker = await bundleWorker(folder)
})
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

const full = { ok: false, code: 'unavailable', outcome: 'nothing_changed', message: expect.stringContaining('the disk is full') as string }

describe('a limit on the size of files', () => {
  it('is a full disk: nothing changed, and later it works', async () => {
    const directory = path.join(folder, 'limit')
    const log = path.join(directory, 'claims.jsonl')
    const store = openReal(directory)
    await run(store, acquire(ann, 'issue:1', { ttlSecs: 600 }))
    await run(store, acquire(ann, 'issue:2', { ttlSecs: 600 }))
    const before = fs.readFileSync(log)
    const script = {
      directory,
      steps: [
        { do: 'acquire', who: 'agent:x', key: 'issue:3', opId: 'op-1' },
        { do: 'acquire', who: 'agent:x', key: 'issue:4' },
      ] as const,
    }
    // Room for a part of a record: a short write first, then the error.
    const partly = await runScript({ worker, through: withFileLimit(before.length + 1) }, script)
    expect(partly).toMatchObject({ code: 0, signal: null, results: [full, full] })
    expect(fs.readFileSync(log).equals(before)).toBe(true)
    // No room at all.
    const none = await runScript({ worker, through: withFileLimit(512) }, script)
    expect(none.results).toMatchObject([full, full])
    expect(fs.readFileSync(log).equals(before)).toBe(true)
    expect(fs.readdirSync(directory).filter(name => name.endsWith('.tmp') || name.endsWith('.new'))).toEqual([])
    // The same command, when there is room: it happens for the first time.
    const later = await runScript({ worker }, script)
    expect(later.results).toMatchObject([{ ok: true, replay: false }, { ok: true }])
    expect(brokenHistory(await historyOf(store))).toBeNull()
    expect(fs.readdirSync(path.join(directory, 'quarantine'))).toEqual([])
  })

  it('keeps nobody from reading', async () => {
    const directory = path.join(folder, 'reading')
    await run(openReal(directory), acquire(ann, 'issue:1', { ttlSecs: 600 }))
    const { results } = await runScript({ worker, through: withFileLimit(512) }, { directory, steps: [{ do: 'list', who: 'agent:x' }] })
    expect(results).toMatchObject([{ ok: true, leases: ['issue:1'] }])
  })
})

const mounts = (): boolean => {
  if (process.getuid?.() !== 0) return false
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'leasehold-mount-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place], { stdio: 'ignore' })
    execFileSync('umount', [place], { stdio: 'ignore' })
    return true
  } catch {
    return false
  } finally {
    fs.rmdirSync(place)
  }
}

requires(mounts(), 'needs root and the right to mount a tmpfs').it(
  'a file system that is really full: nothing changed, and later it works',
  async () => {
    const place = path.join(folder, 'small')
    fs.mkdirSync(place)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k,nr_inodes=64', 'tmpfs', place])
    const directory = path.join(place, 'leasehold')
    const log = path.join(directory, 'claims.jsonl')
    const store = openReal(directory)
    try {
      expect(isOk(await run(store, acquire(ann, 'issue:held', { ttlSecs: 600 })))).toBe(true)
      const filler = fs.openSync(path.join(place, 'filler'), 'w')
      expect(() => {
        for (;;) fs.writeSync(filler, Buffer.alloc(4096))
      }).toThrow(/ENOSPC/)
      // The last page of the log has some room left; then it is over.
      let refused: Awaited<ReturnType<typeof faultOf>> | null = null
      let granted = 0
      while (refused === null && granted < 50) {
        const before = fs.readFileSync(log)
        const answer = run(store, acquire(bob, `issue:${granted}`, { ttlSecs: 600 }))
        if ((await answer.catch(() => null)) !== null) granted++
        else {
          refused = await faultOf(answer)
          expect(fs.readFileSync(log).equals(before)).toBe(true)
        }
      }
      expect(refused).toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('the disk is full'),
        details: { outcome: 'nothing_changed' },
      })
      expect((await store.view()).lease('issue:held')?.holder.agentId).toBe('agent:ann')
      expect(isOk(await run(store, acquire(eve, 'issue:held')))).toBe(false)
      fs.closeSync(filler)
      fs.unlinkSync(path.join(place, 'filler'))
      expect(isOk(await run(store, acquire(bob, 'issue:later', { ttlSecs: 600 })))).toBe(true)
      const entries = await historyOf(store)
      expect(brokenHistory(entries)).toBeNull()
      expect(entries.filter(({ operation }) => operation.op === 'acquire')).toHaveLength(granted + 2)
    } finally {
      store.close()
      execFileSync('umount', ['--lazy', place])
    }
  },
)

// ── failures at a chosen call, on the simulated disk ──

const directory = '/repo/leasehold'
const log = `${directory}/claims.jsonl`

interface Rig {
  readonly disk: SimDisk
  readonly clock: SimClock
  open(segmentBytes?: number, resident?: boolean): { store: ReturnType<typeof openOn>; process: SimProcess }
}

function rig(): Rig {
  const disk = new SimDisk(3)
  disk.plant('/repo')
  const clock = new SimClock()
  const lock = new SimLock(disk)
  return {
    disk,
    clock,
    open(segmentBytes = 1 << 20, resident = false) {
      const process = disk.process(lock)
      return {
        process,
        store: openOn({ directory, clock, disk: process, lock, resident, retention: { segmentBytes, maxAgeMs: 1e15, maxBytes: 1e15 } }),
      }
    },
  }
}

/** Stores in different situations, each about to carry out one acquire. */
const situations: Readonly<Record<string, (at: Rig) => Promise<number>>> = {
  'the first use of all': () => Promise.resolve(1 << 20),
  'a plain append': async at => {
    await run(at.open().store, acquire(ann, 'issue:held', { ttlSecs: 600 }))
    return 1 << 20
  },
  'an eviction before it': async at => {
    await run(at.open().store, acquire(ann, 'issue:new', { ttlSecs: 1 }))
    at.clock.advance(2000)
    return 1 << 20
  },
  'a torn tail': async at => {
    await run(at.open().store, acquire(ann, 'issue:held', { ttlSecs: 600 }))
    at.disk.overwrite(log, Buffer.concat([at.disk.content(log)!, Buffer.from('{"schema_version":1,"se')]))
    return 1 << 20
  },
  'a reboot and half a record': async at => {
    await run(at.open().store, acquire(ann, 'issue:held', { ttlSecs: 600 }))
    at.disk.overwrite(log, Buffer.concat([at.disk.content(log)!, Buffer.from(`${'\0'.repeat(100)}"}\n`)]))
    at.clock.reboot(60_000)
    return 1 << 20
  },
  'a rotation': async at => {
    await run(at.open().store, acquire(ann, 'issue:held', { ttlSecs: 86_400 }))
    for (let time = 0; time < 12; time++) await run(at.open().store, renew(ann, on('issue:held')))
    at.clock.wall += 86_400_001
    return 1
  },
}

describe('an error at any call', () => {
  for (const [name, prepare] of Object.entries(situations)) {
    for (const code of ['ENOSPC', 'EIO']) {
      for (const lasting of [false, true]) {
        it(`${code}${lasting ? ' from there on' : ' once'}, in ${name}`, async () => {
          let tried = 0
          for (let after = 0; ; after++) {
            const at = rig()
            const segmentBytes = await prepare(at)
            const { store, process } = at.open(segmentBytes)
            const trouble: Trouble = {
              call: '*',
              after,
              code,
              ...(lasting ? {} : { times: 1 }),
              ...(after % 2 === 0 ? { bytes: 100 } : {}),
            }
            process.fail(trouble)
            const command = acquire(bob, 'issue:new', { ttlSecs: 300, retry: true })
            const first = await run(store, command).then(
              commit => ({ commit, fault: null }),
              (fault: Error) => ({ commit: null, fault: fault as Error & { code?: string; details?: Record<string, unknown> } }),
            )
            if (first.fault === null && process.untouched(trouble)) break
            tried++
            const what = `call ${after}: ${first.fault?.message ?? 'accepted'}`
            if (first.fault !== null) {
              expect(first.fault, what).toMatchObject({ name: 'Fault', code: 'unavailable' })
              expect(['nothing_changed', 'unknown'], what).toContain(first.fault.details?.['outcome'])
            } else expect(isOk(first.commit), what).toBe(true)
            // The disk is well again; another process goes on, in the same boot and without help.
            const next = at.open(segmentBytes)
            const granted = (await historyOf(next.store).catch(() => [])).filter(({ operation }) => operation.opId === command.opId)
            if (first.fault?.details?.['outcome'] === 'nothing_changed') expect(granted, what).toEqual([])
            if (first.fault === null) expect(granted, what).toHaveLength(1)
            const again = await run(next.store, command)
            expect(isOk(again), what).toBe(true)
            expect(again.leases[0]!.holder.agentId).toBe('agent:bob')
            const entries = await historyOf(next.store)
            expect(
              entries.filter(({ operation }) => operation.opId === command.opId),
              what,
            ).toHaveLength(1)
            expect(brokenHistory(entries), what).toBeNull()
            expect(brokenState(entries, (await next.store.view()).all()), what).toBeNull()
            expect(brokenChain(at.disk.content(log)!, 'log'), what).toBeNull()
            expect(at.disk.content(`${directory}/poisoned`), what).toBeNull()
            store.close()
          }
          expect(tried).toBeGreaterThan(5)
        })
      }
    }
  }
})

describe('a sync that fails', () => {
  it('is an unknown outcome; the segment is written anew and never synced again; the same op_id is answered once', async () => {
    for (const batch of [false, true]) {
      const at = rig()
      const { store, process } = at.open()
      await run(store, acquire(ann, 'issue:1', { ttlSecs: 600 }))
      const sick = inodeOf(at.disk)
      const command = acquire(ann, 'issue:2', { ttlSecs: 600, retry: true })
      let fault: Awaited<ReturnType<typeof faultOf>>
      if (batch) {
        const both = Promise.allSettled([run(store, command), run(store, acquire(ann, 'issue:3', { ttlSecs: 600 }))])
        await settle()
        at.disk.pendingSyncs[0]!.finish(failure('EIO', 'fdatasync', log))
        const [first] = await both
        fault = await faultOf(first.status === 'rejected' ? Promise.reject(first.reason as Error) : Promise.resolve())
      } else {
        process.fail({ call: 'fdatasync', times: 1, code: 'EIO' })
        fault = await faultOf(run(store, command))
      }
      expect(fault).toMatchObject({ code: 'unavailable', details: { outcome: 'unknown' } })
      expect(at.disk.content(`${directory}/poisoned`)?.toString()).toContain(String(sick))
      const syncs: number[] = []
      at.disk.onStep = ({ call, path }) => {
        if (call.startsWith('f') && call.includes('sync') && path.includes('claims.jsonl')) syncs.push(inodeOf(at.disk, path))
      }
      const other = at.open()
      const again = await run(other.store, command)
      expect(again.decision).toMatchObject({ ok: true, operations: [], outcome: { replayOf: { operation: { opId: command.opId } } } })
      expect(syncs.length).toBeGreaterThan(0)
      expect(syncs).not.toContain(sick)
      expect(inodeOf(at.disk)).not.toBe(sick)
      expect(at.disk.content(`${directory}/poisoned`)).toBeNull()
      // Now it is durable: the power goes and nothing that was acknowledged is lost.
      const left = at.disk.crash(() => 0.17)
      const clock = new SimClock(1000, at.clock.wall)
      clock.boot = 'boot-2'
      const lock = new SimLock(left)
      const view = await openOn({ directory, clock, disk: left.process(lock), lock }).view()
      expect([...view.all()].map(({ resource }) => resource)).toEqual(expect.arrayContaining(['issue:1', 'issue:2']))
    }
  })

  it('is noticed by a writer that appended before it and synced after it', async () => {
    const at = rig()
    const a = at.open()
    const b = at.open()
    await run(a.store, acquire(ann, 'issue:0', { ttlSecs: 600 }))
    const pair = (store: typeof a.store, key: string): Promise<PromiseSettledResult<unknown>[]> =>
      Promise.allSettled([run(store, acquire(ann, `${key}1`, { ttlSecs: 600 })), run(store, acquire(ann, `${key}2`, { ttlSecs: 600 }))])
    const first = pair(a.store, 'issue:a')
    await settle()
    const [syncOfA] = at.disk.pendingSyncs
    const second = pair(b.store, 'issue:b')
    await settle()
    const syncOfB = at.disk.pendingSyncs.find(sync => sync !== syncOfA)!
    // The kernel tells only a, as older kernels did: b finds the pages clean and its sync succeeds.
    Object.defineProperty(at.disk, 'loseDirty', { value: () => undefined })
    syncOfA!.finish(failure('EIO', 'fdatasync', log))
    await first
    syncOfB.finish(null)
    for (const result of await second) {
      expect(result.status).toBe('rejected')
      if (result.status === 'rejected')
        expect(await faultOf(Promise.reject(result.reason as Error))).toMatchObject({ details: { outcome: 'unknown' } })
    }
  })

  it('deliberately without the mark: an acknowledged record is lost', async () => {
    const at = rig()
    const lock = new SimLock(at.disk)
    const process = at.disk.process(lock)
    const forgetful = process.with({
      lstatSync: ((file: string, options: { throwIfNoEntry?: boolean }) =>
        file.endsWith('/poisoned') ? undefined : process.lstatSync(file, options)) as SimProcess['lstatSync'],
    })
    const store = openOn({ directory, clock: at.clock, disk: forgetful, lock })
    await run(store, acquire(ann, 'issue:1', { ttlSecs: 600 }))
    process.fail({ call: 'fdatasync', times: 1, code: 'EIO' })
    await faultOf(run(store, acquire(ann, 'issue:2', { ttlSecs: 600 })))
    expect(isOk(await run(store, acquire(bob, 'issue:3', { ttlSecs: 600 })))).toBe(true)
    const left = at.disk.crash(() => 0.17)
    const after = new SimLock(left)
    const view = await openOn({ directory, clock: at.clock, disk: left.process(after), lock: after }).view()
    expect(view.lease('issue:3')).toBeNull()
  })
})

describe('a release that cannot be written', () => {
  it('ends by its time', async () => {
    const at = rig()
    const { store, process } = at.open()
    await run(store, acquire(ann, 'issue:1', { ttlSecs: 5 }))
    process.fail({ call: 'writeSync', path: 'claims.jsonl', code: 'ENOSPC' })
    expect(await faultOf(run(store, release(ann, on('issue:1'))))).toMatchObject({ details: { outcome: 'nothing_changed' } })
    process.heal()
    expect(isOk(await run(store, acquire(bob, 'issue:1')))).toBe(false)
    at.clock.advance(5000)
    expect(isOk(await run(store, acquire(bob, 'issue:1')))).toBe(true)
  })
})

const inodeOf = (disk: SimDisk, file = log): number => disk.find(file)!.ino
