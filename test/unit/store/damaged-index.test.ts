import fs, { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import { Fault } from '../../../src/core/fault.ts'
import type { Lease } from '../../../src/core/lease.ts'
import { kernelLock } from '../../../src/host/kernel-lock.ts'
import { fingerprint } from '../../../src/store/file/fingerprint.ts'
import { IndexedState, parseHeader } from '../../../src/store/file/index-cache.ts'
import { loadWhole } from '../../../src/store/file/load.ts'
import type { FileStore } from '../../../src/store/file/store.ts'
import { FullState } from '../../../src/store/state.ts'
import { StillClock, tightPolicy } from '../../support/cast.ts'
import { openOn, widePolicy } from '../../support/fault.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-damaged-index-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const clock = new StillClock()
const caller = (agentId: string) => ({ holder: { agentId, worktreeId: 'wt:00000001', sessionId: null, witness: null } })
const open = (name: string, more: object = {}): FileStore =>
  openOn({
    directory: path.join(folder, name),
    clock,
    disk: fs,
    lock: kernelLock(),
    retention: { segmentBytes: 1 << 26, maxAgeMs: 1e15, maxBytes: 1e15 },
    ...more,
  })
const coordinator = (store: FileStore, policy = widePolicy): Coordinator => new Coordinator(store, policy, 'test')
const bulk = 'x'.repeat(1500)

async function filled(name: string, count: number): Promise<void> {
  const store = open(name, { resident: true })
  await Promise.all(
    Array.from({ length: count }, (_, at) => coordinator(store).acquire(caller('agent:a'), { resources: [`ticket:t-${at}`] })),
  )
  store.close()
  for (let at = 0; at < 2; at++) await coordinator(open(name)).acquire(caller('agent:a'), { resources: [`env:late-${at}`], reason: bulk })
}

// What damage an index can have, and that none of it is believed, or costs more than the log itself.

describe('an index with many damaged buckets', () => {
  it('has its log looked through once, not once for every bucket', async () => {
    await filled('half', 2000)
    const { index, log } = open('half').layout
    truncateSync(index, Math.floor(statSync(index).size / 2))
    let passes = 0
    class Counted extends FullState {
      override *leases(): Generator<Lease> {
        passes++
        yield* super.leases()
      }
    }
    const fd = fs.openSync(log, 'r')
    const damaged = parseHeader(readFileSync(index))!
    // As much of the log as the index covers; how much that is depends on how long it took to fill.
    const covered = (): FullState => loadWhole(fs, fd, damaged.header.offset).state as FullState
    const refold = (): FullState => {
      const whole = covered()
      const counted = new Counted(whole.lastSeq, whole.clocks)
      for (const { resource } of whole.leases()) counted.put(resource, whole.slot(resource))
      return counted
    }
    const state = new IndexedState(damaged, refold)
    const expected = [...covered().leases()].length
    expect(expected).toBeGreaterThan(1999)
    expect([...state.leases()]).toHaveLength(expected)
    fs.closeSync(fd)
    expect(passes).toBeLessThanOrEqual(4)
  })
})

describe('indefinite leases', () => {
  it('are counted through the index as the log counts them, also when the first of a group was given back', async () => {
    const at = () => open('group')
    const ask = (resources: readonly string[], ttlSecs?: number) =>
      coordinator(at(), tightPolicy).acquire(caller('agent:a'), { resources, reason: bulk, ...(ttlSecs === undefined ? {} : { ttlSecs }) })
    await ask(['env:a', 'env:b'], 0)
    await ask(['env:f1'])
    await ask(['env:f2'])
    expect(statSync(at().layout.index).size).toBeGreaterThan(0)
    await coordinator(at()).release(caller('agent:a'), { target: { resource: 'env:a' }, only: true })
    const through = await at().view()
    rmSync(at().layout.index)
    const folded = await at().view()
    expect(folded.indefinite().map(({ token }) => token)).toEqual([1])
    expect(through.indefinite().map(({ token }) => token)).toEqual([1])
  })
})

describe('a bucket with two flipped bits', () => {
  it('is no reason to call a held key free', async () => {
    const key = 'ticket:a-key-that-is-long-enough'
    const at = () => open('flips')
    await coordinator(at()).acquire(caller('agent:a'), { resources: [key] })
    for (let each = 0; each < 2; each++) await coordinator(at()).acquire(caller('agent:a'), { resources: [`env:f${each}`], reason: bulk })
    const bytes = readFileSync(at().layout.index)
    const found = bytes.indexOf(`"key":"${key}"`)
    // Buckets are checked in words from their beginnings; this line is the first of its bucket.
    const start = found - 2
    expect(bytes[start]).toBe(0x5b)
    for (const byte of [start + 15, start + 19]) bytes[byte] = bytes[byte]! ^ 0x80
    writeFileSync(at().layout.index, bytes)
    expect.soft((await at().view([key])).lease(key)?.holder.agentId).toBe('agent:a')
    expect(await coordinator(at()).acquire(caller('agent:b'), { resources: [key] })).toMatchObject({ ok: false })
  })
})

describe('a header that says a number of buckets that cannot be', () => {
  it.each([32, 0, null, -1, 0.5])('%s is not believed', async hashBuckets => {
    const name = `header-${hashBuckets}`
    await filled(name, 600)
    const { index } = open(name).layout
    const good = readFileSync(index)
    const end = good.indexOf(0x0a)
    const header = Buffer.from(`${JSON.stringify({ ...JSON.parse(good.toString('latin1', 9, end)), hashBuckets })}\n`)
    const forged = Buffer.concat([Buffer.alloc(9, 0x20), header, good.subarray(end + 1)])
    const bodyAt = 9 + header.length + (2 + (hashBuckets as number)) * 12
    forged.write(fingerprint(forged.subarray(9, bodyAt)).toString(16).padStart(8, '0'))
    writeFileSync(index, forged)
    const view = await open(name).view()
    expect([...view.all()]).toHaveLength(602)
    expect(view.lease('ticket:t-5')?.token).toBe(6)
  })
})

describe('without a lock module', () => {
  it('what is held by a process that runs can be read', async () => {
    const fault = (): never => {
      throw new Fault('unavailable', 'there is no file-lock module')
    }
    const none = { load: fault, tryExclusive: fault, tryShared: fault, waitExclusive: fault, unlock: fault }
    const store = open('bound')
    const granted = await coordinator(store).acquire(caller('agent:a'), { resources: ['env:x'], bind: true })
    expect(granted.ok).toBe(true)
    const view = await open('bound', { lock: none }).view()
    expect(view.lease('env:x')?.token).toBe(1)
    expect(view.boundDead(view.lease('env:x')!)).toBe(false)
    expect(view.reservations()).toEqual([])
  })
})
