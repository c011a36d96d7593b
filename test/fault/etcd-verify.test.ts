import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/host/clock.ts'
import { maintenanceOf } from '../../src/store/etcd/maintenance.ts'
import { etcdEnd } from '../../src/store/etcd/move.ts'
import { prefixEnd } from '../../src/store/etcd/keys.ts'
import { only, pairsOf, put, remove, toBytes } from '../../src/store/etcd/messages.ts'
import type { RangeAnswer, Step } from '../../src/store/etcd/messages.ts'
import { pruneLog } from '../../src/store/etcd/retention.ts'
import type { EtcdStore } from '../../src/store/etcd/store.ts'
import { verifySpace } from '../../src/store/etcd/verify.ts'
import type { Verified } from '../../src/store/maintenance.ts'
import { Bench } from '../support/bench.ts'
import { acquire, ann, bob, eve, evict, on, release, renew, transfer } from '../support/cast.ts'
import type { Etcd } from '../support/etcd.ts'
import { etcdStore, needsEtcd, startEtcd } from '../support/etcd.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- whatever is stored
type Stored = any

const [a, b, p] = ['ticket:a', 'ticket:b', 'path:src/**'] as const

needsEtcd.describe('what is in etcd is checked', () => {
  let etcd: Etcd
  const stores: EtcdStore[] = []
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())
  afterEach(() => {
    for (const store of stores.splice(0)) store.close()
  })

  const open = (space: string = randomUUID()): EtcdStore => {
    const store = etcdStore(etcd, space, systemClock())
    stores.push(store)
    return store
  }
  const verify = ({ gateway, names, location }: EtcdStore): Promise<Verified> => verifySpace(gateway, names, location)
  const write = async ({ gateway }: EtcdStore, ...success: readonly Step[]): Promise<void> =>
    void (await gateway.call('/v3/kv/txn', { success }))
  const valueOf = async ({ gateway }: EtcdStore, name: string): Promise<string> =>
    pairsOf((await gateway.call<RangeAnswer>('/v3/kv/range', only(name))).body)[0]!.value
  /** Rewrites a value as somebody could by hand. */
  async function change(store: EtcdStore, name: string, how: (value: Stored) => object): Promise<void> {
    await write(store, put(name, JSON.stringify(how(JSON.parse(await valueOf(store, name))))))
  }
  /** What is wrong, each as its name below the space, its position, and the message. */
  async function wrong(store: EtcdStore): Promise<readonly (readonly [string, number | null, string])[]> {
    const { faults, moreFaults } = await verify(store)
    expect(moreFaults).toBe(0)
    return faults.map(({ key, seq, message }) => [decodeURIComponent(key!.slice(store.names.root.length)), seq, message])
  }

  /** A space where something of everything has happened; the positions of the records of `a`. */
  async function lived(): Promise<{ readonly store: EtcdStore; readonly seqs: readonly number[] }> {
    const store = open()
    const bench = new Bench({ store, policy: { ttlSecs: 600 } })
    await bench.does(acquire(ann, a))
    await bench.does(renew(ann, on(a), { note: 'at work' }))
    await bench.does(release(ann, on(a), { outcome: null }))
    await bench.does(acquire(bob, a))
    await bench.does(acquire(ann, [b, p], { opId: 'chosen', retry: true }))
    await bench.does(acquire(bob, 'env:idle', { ttlSecs: 0, reason: 'long' }))
    await bench.does(transfer(bob, on('env:idle'), ann))
    await bench.does(acquire(ann, 'env:gone'))
    await bench.does(evict(bob, on('env:gone')))
    const seqs = (await bench.log())
      .filter(({ operation }) => 'resources' in operation && operation.resources[0] === a)
      .map(({ seq }) => seq)
    return { store, seqs }
  }

  it('and is found to be as it should', async () => {
    const { store, seqs } = await lived()
    expect(await verify(store)).toMatchObject({
      records: 10,
      keys: 5,
      leases: 4,
      firstSeq: seqs[0],
      foreign: null,
      faults: [],
      moreFaults: 0,
    })
    expect(await verify(open())).toMatchObject({ records: 0, keys: 0, faults: [] })
  })

  it('after old records were dropped it goes on from the oldest that was kept', async () => {
    const { store } = await lived()
    const now = Date.now()
    await new Promise(resolve => setTimeout(resolve, 20))
    await new Bench({ store, policy: { ttlSecs: 600 } }).does(renew(bob, on(a), { note: 'still' }))
    expect((await pruneLog(store.gateway, store.names, now + 10, 0)).records).toBeGreaterThan(5)
    expect(await verify(store)).toMatchObject({ leases: 4, faults: [] })
    await write(store, remove(store.names.log(a, 5)))
    expect(await wrong(store)).toHaveLength(1)
  })

  it('also what was moved in from elsewhere', async () => {
    const { store } = await lived()
    const target = open()
    await etcdEnd(target).receive(await etcdEnd(store).read(), 'elsewhere')
    await etcdEnd(target).open()
    await new Bench({ store: target, policy: { ttlSecs: 600 } }).does(release(bob, on(a)))
    expect(await verify(target)).toMatchObject({ records: 11, leases: 3, faults: [] })
  })

  it('also a key that was moved in, given back, forgotten and taken again', async () => {
    const { store } = await lived()
    await new Promise(resolve => setTimeout(resolve, 20))
    await pruneLog(store.gateway, store.names, Date.now() + 10, 0)
    const target = open()
    await etcdEnd(target).receive(await etcdEnd(store).read(), 'elsewhere')
    await etcdEnd(target).open()
    const bench = new Bench({ store: target, policy: { ttlSecs: 600 } })
    const keys = [a, 'env:idle']
    await bench.does(release(bob, on(a)))
    await bench.does(release(ann, on('env:idle')))
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(await maintenanceOf(target).compact(-10)).toMatchObject({ pruned: expect.any(Number) as number })
    for (const key of keys) expect((await target.view([key])).past(key), key).toBeNull()
    expect(await verify(target)).toMatchObject({ faults: [] })
    for (const key of keys) await bench.does(acquire(eve, key))
    expect(await verify(target)).toMatchObject({ faults: [] })
    const [again] = [...(await etcdEnd(target).read()).base.leases].filter(({ resource }) => resource === a)
    expect(again?.holder.agentId).not.toBe(bob.agentId)
  })

  it('thousands of records, in pages', async () => {
    const store = open()
    const bench = new Bench({ store, policy: { ttlSecs: 600 } })
    for (let round = 0; round < 4; round++)
      await Promise.all(
        Array.from({ length: 300 }, (_, n) => bench.does(acquire(ann, `env:${n}`)).then(() => bench.does(release(ann, on(`env:${n}`))))),
      )
    expect(await verify(store)).toMatchObject({ records: 2400, keys: 300, faults: [] })
    // Etcd may compact between two pages of the history, too.
    const seqs: number[] = []
    for await (const { seq } of store.history()) {
      if (seqs.push(seq) !== 1) continue
      await write(store, put('other', ''))
      const { body } = await store.gateway.call<RangeAnswer>('/v3/kv/range', only('other'))
      await store.gateway.call('/v3/kv/compaction', { revision: body.header.revision })
    }
    expect([seqs.length, new Set(seqs).size]).toEqual([2400, 2400])
    await write(store, remove(store.names.log('env:299', 5)))
    expect(await wrong(store)).toEqual([['log/env:299/000000000006', expect.any(Number), 'record 5 is missing before it']])
  })

  describe('and what is wrong is named:', () => {
    it('a record that was deleted, wherever it was', async () => {
      for (const [n, key, at] of [
        [1, 'log/ticket:a/000000000001', null],
        [2, 'log/ticket:a/000000000003', 0],
        [4, 'log/ticket:a/000000000004', 2],
      ] as const) {
        const { store, seqs } = await lived()
        await write(store, remove(store.names.log(a, n)))
        const [fault, ...more] = await wrong(store)
        expect(fault).toEqual([
          key,
          at === null ? null : seqs[at],
          expect.stringMatching(n === 4 ? /last record is number 3/ : /is missing/),
        ])
        expect(more.length).toBeLessThanOrEqual(1)
      }
    })

    it('all records of a key, and its head', async () => {
      const { store } = await lived()
      const logs = store.names.logOf(a)
      await write(store, { request_delete_range: { key: toBytes(logs), range_end: toBytes(prefixEnd(logs)) } }, remove(store.names.head(b)))
      const found = await wrong(store)
      expect(found.toSorted(([one], [other]) => one.localeCompare(other))).toEqual([
        ['c/ticket:b/beat', null, 'it is there without a head'],
        ['c/ticket:b/head', expect.any(Number), 'it is missing, and there are records about it'],
        ['log/ticket:a/000000000001', null, 'records 1 to 4 are missing: there is none about this key'],
      ])
    })

    it('a record that was written again, with other words or the same', async () => {
      for (const how of [(value: object) => value, (value: object) => ({ ...value, note: 'other' })]) {
        const { store } = await lived()
        await change(store, store.names.log(a, 2), how)
        expect((await wrong(store)).map(([key, , message]) => `${key}: ${message}`)).toContain(
          'log/ticket:a/000000000002: it was written later than its head',
        )
      }
    })

    it('a token that shrank, in a record and in a head', async () => {
      const { store, seqs } = await lived()
      await change(store, store.names.log(a, 4), value => ({ ...value, seq: seqs[0] }))
      const found = await wrong(store)
      expect(found).toContainEqual([
        'log/ticket:a/000000000004',
        seqs[0],
        `its position is not larger than ${seqs[2]}, which came before it`,
      ])
      expect(found).toContainEqual([
        'log/ticket:a/000000000004',
        seqs[0],
        `its token ${seqs[0]} is not larger than ${seqs[0]}, which was given before`,
      ])
      const { store: other, seqs: others } = await lived()
      await change(other, other.names.head(a), value => ({ ...value, lease: { ...value.lease, token: others[0] } }))
      expect(await wrong(other)).toEqual([
        ['c/ticket:a/head', others[3], expect.stringMatching(`holder is not what the records say: .*"token":${others[0]},`)],
      ])
    })

    it('positions that are counted from further down than before', async () => {
      const { store } = await lived()
      await change(store, store.names.cfg, value => ({ ...value, token_base: 1_000_000 }))
      const again = open(decodeURIComponent(store.names.root.split('/')[2]!))
      const { lease } = await new Bench({ store: again, policy: { ttlSecs: 600 } }).does(acquire(ann, 'env:new'))
      expect(await wrong(store)).toEqual([])
      await change(store, store.names.cfg, value => ({ ...value, token_base: 0 }))
      expect(await wrong(store)).toContainEqual([
        'log/env:new/000000000001',
        lease.token,
        expect.stringMatching(/its position is after the end/),
      ])
    })

    it.each([
      ['another holder', (lease: Stored) => ({ ...lease, holder: { ...lease.holder, agent_id: 'agent:eve' } }), /holder/],
      ['nobody', () => null, /nobody against/],
      ['another lease id', (lease: Stored) => ({ ...lease, lease_id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }), /holder/],
      ['a longer ttl', (lease: Stored) => ({ ...lease, ttl_secs: 9999 }), /holder/],
    ])('a head that was changed by hand: %s', async (_, how, message) => {
      const { store, seqs } = await lived()
      await change(store, store.names.head(a), value => ({ ...value, lease: how(value.lease) }))
      expect(await wrong(store)).toContainEqual(['c/ticket:a/head', seqs[3], expect.stringMatching(message)])
    })

    it('a head that counts otherwise, or forgot how work ended', async () => {
      const { store, seqs } = await lived()
      await change(store, store.names.head(a), value => ({ ...value, n: 7 }))
      expect(await wrong(store)).toEqual([['log/ticket:a/000000000007', seqs[3], 'the last record is number 4, and its head counts 7']])
      await change(store, store.names.head(a), value => ({ ...value, n: 4, log_from: 3 }))
      expect((await wrong(store))[0]).toEqual([
        'log/ticket:a/000000000001',
        null,
        expect.stringMatching(/kept from 3 on, and the first one is 1/),
      ])
      await change(store, store.names.head(a), value => ({ ...value, log_from: 1, past: null }))
      expect(await wrong(store)).toContainEqual(['c/ticket:a/head', seqs[3], expect.stringMatching(/last end .* none against/)])
    })

    it('names beside the heads that do not agree with them', async () => {
      const { store } = await lived()
      const { leaseId } = (await store.view()).lease(a)!
      await write(store, remove(store.names.id(leaseId)), remove(store.names.limits), put(store.names.beat(a), '1'))
      await write(store, put(store.names.beat('env:gone'), '1'))
      await change(store, store.names.op('chosen'), value => ({ ...value, seq: 32 }))
      const found = await wrong(store)
      expect(
        found.map(([key, , message]) => `${key}: ${message.replaceAll(/\d+/g, '#')}`).toSorted((one, other) => one.localeCompare(other)),
      ).toEqual([
        'c/env:gone/beat: somebody is heard of, and nobody holds it',
        'c/ticket:a/beat: it is attached to engine lease #, and its head names #',
        expect.stringMatching(/^i\/.*does not lead to ticket:a$/),
        'limits: it counts the tokens [], and those that last without an end are [#]',
        expect.stringMatching(/^o\/.*: it remembers position #, and .* has #$/),
      ])
    })

    it('what cannot be read says nothing of who holds what, to nobody', async () => {
      for (const [part, value] of [
        ['cfg', 'hello'],
        ['cfg', 'null'],
        ['cfg', '{"schema_version":2}'],
        ['c/ticket%3Aa/head', 'hello'],
        ['c/ticket%3Aa/head', '{}'],
        ['c/%zz/head', '{}'],
      ] as const) {
        const { store } = await lived()
        await write(store, put(`${store.names.root}${part}`, value))
        const asked = open(decodeURIComponent(store.names.root.split('/')[2]!))
        const unknown = { code: 'unavailable', details: { outcome: 'nothing_changed' } }
        await expect(asked.view(), `${part} ${value}`).rejects.toMatchObject(unknown)
        // A key that is about no resource is in nobody's way who looks at others.
        const claim = new Bench({ store: asked }).run(acquire(bob, a))
        if (part !== 'c/%zz/head') await expect(claim, `${part} ${value}`).rejects.toMatchObject(unknown)
        else expect((await claim).decision.ok).toBe(true)
        await expect(asked.view(), `${part} ${value}`).rejects.toThrow('cannot be read')
      }
    })

    it('what cannot be read, and what a newer version wrote', async () => {
      const { store } = await lived()
      await write(store, put(store.names.log(a, 4), '{'))
      expect(await wrong(store)).toEqual([['log/ticket:a/000000000004', null, 'it cannot be read']])
      await write(store, put(store.names.log(a, 4), '{"schema_version":99,"op":"bless"}'))
      expect(await verify(store)).toMatchObject({ foreign: { op: 'bless' }, faults: [] })
    })
  })
})
