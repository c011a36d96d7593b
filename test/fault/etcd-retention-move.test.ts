import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../src/host/clock.ts'
import type { Clock } from '../../src/host/clock.ts'
import { etcdEnd } from '../../src/store/etcd/move.ts'
import { only, pairsOf } from '../../src/store/etcd/messages.ts'
import type { RangeAnswer } from '../../src/store/etcd/messages.ts'
import { pruneLog } from '../../src/store/etcd/retention.ts'
import type { EtcdStore } from '../../src/store/etcd/store.ts'
import { openFileStore, openMaintenance, openMoveEnd } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { Bench } from '../support/bench.ts'
import { StillClock, acquire, ann, bob, evict, holder, on, release, renew, tightPolicy, transfer } from '../support/cast.ts'
import { proxyTo } from '../support/etcd-proxy.ts'
import { type Etcd, etcdStore, needsEtcd, startEtcd } from '../support/etcd.ts'

// Old records are dropped, and then the leases move: what is held, and how work ended, is no less afterwards.

const retention = { segmentBytes: 1 << 20, maxAgeMs: 86_400_000, maxBytes: 64 << 20 }

const keys = ['ticket:held', 'ticket:beaten', 'env:one', 'env:two', 'env:three', 'ticket:handed', 'ticket:done', 'ticket:again', 'env:gone']

needsEtcd.describe('leases whose records are no longer kept', () => {
  let etcd: Etcd
  const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-retention-'))
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(async () => {
    await etcd.stop()
    rmSync(folder, { recursive: true })
  })

  const options = { lockWaitMs: 10_000, limitsChosen: [], shared: false, allowUnsafeFs: false, resident: false, retention }
  const limits = {
    max_indefinite_leases_per_agent: tightPolicy.maxIndefinitePerAgent,
    max_indefinite_leases_per_repo: tightPolicy.maxIndefinitePerRepo,
  }
  const inEtcd = (clock: Clock): EtcdStore => etcdStore(etcd, `pruned/${randomUUID()}`, clock)
  const inFiles = (): Store => openFileStore({ ...options, limits, directory: path.join(folder, randomUUID()) })

  /** A second between two records; the times of all of them. */
  async function live(store: EtcdStore, clock: StillClock): Promise<readonly number[]> {
    const bench = new Bench({ store, clock, policy: { ttlSecs: 3600 } })
    const times: number[] = []
    for (const command of [
      acquire(ann, 'ticket:held', { ttlSecs: 0, reason: 'long' }),
      acquire(ann, 'ticket:beaten'),
      acquire(bob, ['env:one', 'env:two', 'env:three']),
      acquire(ann, 'ticket:done'),
      release(ann, on('ticket:done'), { outcome: 'done' }),
      acquire(ann, 'ticket:handed'),
      acquire(ann, 'ticket:again'),
      acquire(ann, 'env:gone'),
      renew(ann, on('ticket:beaten'), { note: 'still' }),
      release(bob, on('env:two'), { only: true }),
      transfer(ann, on('ticket:handed'), bob),
      release(ann, on('ticket:again'), { outcome: 'abandoned' }),
      acquire(bob, 'ticket:done', { finishedToo: true }),
      release(bob, on('ticket:done')),
      acquire(bob, 'ticket:again'),
      evict(bob, on('env:gone')),
    ]) {
      clock.advance(1000)
      await bench.does(command)
      times.push(clock.now().wall)
    }
    return times
  }

  /** Who holds what, and how work ended. */
  async function seen(store: Store): Promise<object> {
    const view = await store.view()
    return keys.map(key => {
      const [lease, past] = [view.lease(key), view.past(key)]
      const held = lease === null ? null : [lease.token, lease.leaseId, lease.holder.agentId, lease.ttlSecs, lease.note, lease.group]
      return [key, held, past?.outcome ?? null]
    })
  }

  it('are moved as they are, whatever was dropped', async () => {
    for (let kept = 0; kept <= 16; kept++) {
      const clock = new StillClock()
      const source = inEtcd(clock)
      const times = await live(source, clock)
      await pruneLog(source.gateway, source.names, (times.at(-1 - kept) ?? 0) + 1, 0)
      const before = await seen(source)
      const moving = await etcdEnd(source).read()
      for (const target of [inEtcd(clock), inFiles()]) {
        const end = await openMoveEnd(target)
        await end.receive(moving, source.location)
        await end.open()
        expect(await seen(target), `${kept} records are kept, in ${target.location}`).toEqual(before)
        const { faults } = await (await openMaintenance(target)).verify()
        expect(faults, `${kept} records are kept, in ${target.location}`).toEqual([])
        const late = (await new Bench({ store: target, clock }).does(acquire(bob, 'env:late'))).lease
        expect(late.token).toBeGreaterThan(moving.lastSeq)
        expect((await end.read()).entries.length).toBeGreaterThan(kept > 0 ? 1 : 0)
        target.close()
      }
      source.close()
    }
  }, 60_000)

  it('are not dropped while they move', async () => {
    const clock = new StillClock()
    const source = inEtcd(clock)
    await live(source, clock)
    const { compact } = await openMaintenance(source)
    const cfg = async (): Promise<number> =>
      pairsOf((await source.gateway.call<RangeAnswer>('/v3/kv/range', only(source.names.cfg))).body)[0]!.mod
    const before = await cfg()
    await etcdEnd(source).freeze('file:')
    await expect(compact(0)).rejects.toThrow('are being moved to file:')
    expect(await pruneLog(source.gateway, source.names, clock.now().wall, 0, before)).toEqual({ records: 0, keys: 0 })
    await etcdEnd(source).thaw()
    expect((await compact(-86_400_000_000)).pruned).toBeGreaterThan(0)
    source.close()
  })

  it('have a whole TTL from the moment of the move, however long it takes', async () => {
    const source = inEtcd(systemClock())
    const space = `moved/${randomUUID()}`
    const target = etcdStore(etcd, space, systemClock())
    const slow = await proxyTo(etcd, { delayMs: () => 30 })
    const far = etcdStore({ ...etcd, address: `127.0.0.1:${slow.port}` }, space, systemClock())
    const bench = new Bench({ store: source, policy: { ttlSecs: 3600 } })
    await bench.does(acquire(ann, 'ticket:short', { ttlSecs: 4 }))
    await Promise.all(Array.from({ length: 150 }, (_, n) => bench.does(acquire(holder(`agent:${n}`), `env:${n}`))))
    const moving = await etcdEnd(source).read()
    await etcdEnd(far).receive(moving, source.location)
    await etcdEnd(far).open()
    const view = await target.view()
    expect([...view.all()].every(lease => view.lapse(lease).state === 'running')).toBe(true)
    for (const store of [source, target, far]) store.close()
    await slow.close()
  }, 60_000)
})
