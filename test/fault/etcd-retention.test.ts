import { afterAll, beforeAll, expect, it } from 'vitest'
import { pruneLog } from '../../src/store/etcd/retention.ts'
import { Bench, collect } from '../support/bench.ts'
import { StillClock, acquire, ann, bob, on, release, renew } from '../support/cast.ts'
import { type Etcd, etcdStore, needsEtcd, startEtcd } from '../support/etcd.ts'

needsEtcd.describe('the log in etcd', () => {
  let etcd: Etcd
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())

  it('is kept for as long as it is wanted, without a gap, and what is held or finished is not forgotten', async () => {
    const clock = new StillClock()
    const store = etcdStore(etcd, 'retention', clock)
    const bench = new Bench({ store, policy: { ttlSecs: 3600 } })
    const finish = async (key: string, outcome: string | null): Promise<void> => {
      await bench.does(acquire(ann, key))
      await bench.does(release(ann, on(key), { outcome }))
    }
    await finish('env:gone', null)
    await finish('ticket:done', 'done')
    const held = await bench.does(acquire(ann, 'ticket:held'))
    await bench.does(renew(ann, on('ticket:held'), { note: 'old' }))
    clock.advance(1000)
    const cut = clock.now().wall
    await bench.does(renew(ann, on('ticket:held'), { note: 'new' }))
    await finish('env:new', null)

    expect(await pruneLog(store.gateway, store.names, cut, 0)).toEqual({ records: 6, keys: 1 })
    expect((await collect(store)).map(({ operation }) => operation.op)).toEqual(['renew', 'acquire', 'release'])
    const view = await store.view()
    expect(view.lease('ticket:held')).toMatchObject({ token: held.lease.token, note: 'new' })
    expect([view.past('ticket:done')?.outcome, view.past('env:gone'), view.past('env:new')?.endedBy]).toEqual(['done', null, 'release'])
    expect(await pruneLog(store.gateway, store.names, cut, 0)).toEqual({ records: 0, keys: 0 })

    // Whoever comes next finds the numbers of the log going on, and a larger token.
    expect(await bench.refuses(acquire(bob, 'ticket:done'))).toMatchObject({ kind: 'finished' })
    expect((await bench.does(acquire(bob, 'env:gone'))).lease.token).toBeGreaterThan(held.lease.token)
    await bench.does(release(ann, on('ticket:held')))
    expect((await collect(store)).map(({ operation }) => operation.op)).toEqual(['renew', 'acquire', 'release', 'acquire', 'release'])
    store.close()
  })
})
