import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../src/host/clock.ts'
import { maintenanceOf } from '../../src/store/etcd/maintenance.ts'
import { only, pairsOf } from '../../src/store/etcd/messages.ts'
import type { RangeAnswer } from '../../src/store/etcd/messages.ts'
import { etcdEnd } from '../../src/store/etcd/move.ts'
import type { EtcdStore } from '../../src/store/etcd/store.ts'
import { settingsFromValue } from '../../src/store/etcd/values.ts'
import type { SpaceSettings } from '../../src/store/etcd/values.ts'
import { Bench } from '../support/bench.ts'
import { acquire, ann } from '../support/cast.ts'
import { proxyTo } from '../support/etcd-proxy.ts'
import type { Proxy } from '../support/etcd-proxy.ts'
import { etcdStore, needsEtcd, startEtcd } from '../support/etcd.ts'
import type { Etcd } from '../support/etcd.ts'

// What holds for a space as a whole is changed, and the answer is lost: it was changed once, and whoever changed it is told so.

needsEtcd.describe('a change of what holds for a space, of which the answer is lost', () => {
  let etcd: Etcd
  const open: EtcdStore[] = []
  const proxies: Proxy[] = []
  beforeAll(async () => void (etcd = await startEtcd()))
  afterAll(() => etcd.stop())
  afterEach(async () => {
    for (const store of open.splice(0)) store.close()
    for (const proxy of proxies.splice(0)) await proxy.close()
  })

  const direct = (space: string, addresses = etcd.address): EtcdStore => {
    const store = etcdStore({ ...etcd, address: addresses }, space, systemClock())
    open.push(store)
    return store
  }

  /** Loses the first `count` answers to transactions that write. `spare`: another way to the same member is named too. */
  async function lossy(space: string, spare: boolean, count = 1): Promise<{ readonly store: EtcdStore; readonly lost: () => number }> {
    let lost = 0
    const loses = (route: string, body: unknown): boolean =>
      route === '/v3/kv/txn' && JSON.stringify(body).includes('request_put') && lost < count && ++lost > 0
    const proxy = await proxyTo(etcd, { loses })
    proxies.push(proxy)
    const address = `127.0.0.1:${proxy.port}`
    return { store: direct(space, spare ? `${address},${etcd.address}` : address), lost: () => lost }
  }

  async function settingsOf({ gateway, names }: EtcdStore): Promise<SpaceSettings> {
    const [pair] = pairsOf((await gateway.call<RangeAnswer>('/v3/kv/range', only(names.cfg))).body)
    return settingsFromValue(pair!.value, 'test')
  }

  async function used(): Promise<{ readonly space: string; readonly sure: EtcdStore; readonly before: SpaceSettings }> {
    const space = randomUUID()
    const sure = direct(space)
    await new Bench({ store: sure }).does(acquire(ann, 'ticket:a'))
    return { space, sure, before: await settingsOf(sure) }
  }

  it.each([
    ['asked again', false],
    ['asked of another member', true],
  ])('is made once when it is %s', async (_how, spare) => {
    const { space, sure, before } = await used()
    const one = await lossy(space, spare)
    expect(await maintenanceOf(one.store).adopt('restored')).toMatchObject({ changed: true })
    expect(one.lost()).toBe(1)
    const once = (await settingsOf(sure)).tokenBase
    expect(await maintenanceOf(sure).adopt('restored')).toMatchObject({ changed: true })
    expect((await settingsOf(sure)).tokenBase - once).toBe(once - before.tokenBase)

    const two = await lossy(space, spare)
    expect(await maintenanceOf(two.store).setLimits({ max_indefinite_leases_per_agent: 7 })).toBe(true)
    expect(two.lost()).toBe(1)
    expect((await settingsOf(sure)).limits.max_indefinite_leases_per_agent).toBe(7)
  })

  it.each([
    ['asked again', false],
    ['asked of another member', true],
  ])('is no other mover when it is %s', async (_how, spare) => {
    const { space, sure } = await used()
    const leaving = await lossy(space, spare)
    await etcdEnd(leaving.store).freeze('file:')
    expect(leaving.lost()).toBe(1)
    expect((await settingsOf(sure)).move).toEqual({ to: 'file:', done: false })
    const moving = await etcdEnd(sure).read()

    const into = randomUUID()
    // What begins the arrival, and every part of it.
    const arriving = await lossy(into, spare, 1)
    await etcdEnd(arriving.store).receive(moving, 'file:')
    const opening = await lossy(into, spare)
    await etcdEnd(opening.store).open()
    expect([arriving.lost(), opening.lost()]).toEqual([1, 1])
    const there = direct(into)
    expect([...(await there.view()).all()].map(({ resource }) => resource)).toEqual(['ticket:a'])
    expect((await maintenanceOf(there).verify()).faults).toEqual([])
  })

  it('by somebody else is told as that', async () => {
    const { space, sure } = await used()
    const late = direct(space)
    const call = late.gateway.call.bind(late.gateway)
    let changed = false
    late.gateway.call = async <T>(...[path, request, options]: Parameters<typeof call>) => {
      if (path === '/v3/kv/txn' && !changed) {
        changed = true
        await etcdEnd(sure).freeze('file:')
      }
      return call<T>(path, request, options)
    }
    await expect(etcdEnd(late).freeze('file:')).rejects.toThrow('somebody else moves leases')
  })
})
