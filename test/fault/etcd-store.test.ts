import { randomUUID } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Coordinator } from '../../src/coordinator.ts'
import { isFault } from '../../src/core/fault.ts'
import { systemClock } from '../../src/host/clock.ts'
import type { EtcdStore } from '../../src/store/etcd/store.ts'
import type { CallOptions } from '../../src/store/etcd/gateway.ts'
import { membersOf } from '../../src/store/etcd/health.ts'
import { only, pairsOf, put, toBytes } from '../../src/store/etcd/messages.ts'
import { verifySpace } from '../../src/store/etcd/verify.ts'
import type { RangeAnswer, Step, TxnAnswer } from '../../src/store/etcd/messages.ts'
import { Bench, collect } from '../support/bench.ts'
import { acquire, ann, bob, eve, evict, holder, on, release, renew, sweep, tightPolicy } from '../support/cast.ts'
import { proxyTo } from '../support/etcd-proxy.ts'
import type { Etcd } from '../support/etcd.ts'
import { etcdStore, freePort, needsEtcd, startEtcd } from '../support/etcd.ts'

const a = 'ticket:a'

/** What is thrown, as an `unavailable` fault. */
async function faultOf(work: Promise<unknown>): Promise<{ message: string; details: Readonly<Record<string, unknown>> }> {
  const error = await work.then(
    () => null,
    thrown => thrown,
  )
  if (!isFault(error)) throw new Error(`no fault, but ${error}`)
  expect(error.code).toBe('unavailable')
  return { message: error.message, details: error.details ?? {} }
}

async function until<T>(look: () => Promise<T | null | false>, what: string): Promise<T> {
  for (const start = performance.now(); performance.now() - start < 30_000;) {
    const found = await look()
    if (found !== null && found !== false) return found
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`waited in vain until ${what}`)
}

/** Some at a time: all at once would wait for each other for longer than an answer may take. */
async function eachOf(keys: readonly string[], work: (key: string) => Promise<void>): Promise<void> {
  const left = [...keys]
  const worker = async (): Promise<void> => {
    for (let key = left.shift(); key !== undefined; key = left.shift()) await work(key)
  }
  await Promise.all(Array.from({ length: 30 }, worker))
}

needsEtcd.describe('the etcd store', () => {
  let etcd: Etcd
  const stores: EtcdStore[] = []
  const servers: http.Server[] = []
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())
  afterEach(() => {
    for (const store of stores.splice(0)) store.close()
    for (const server of servers.splice(0)) {
      server.close()
      server.closeAllConnections()
    }
  })

  const open = (space = randomUUID(), addresses = etcd.address, timeoutMs = 2000): EtcdStore => {
    const store = etcdStore({ ...etcd, address: addresses }, space, systemClock(), { timeoutMs })
    stores.push(store)
    return store
  }
  const benchOf = (store: EtcdStore): Bench => new Bench({ store, policy: { ttlSecs: 600 } })
  const opsOf = async (store: EtcdStore): Promise<readonly string[]> => (await collect(store)).map(({ operation }) => operation.op)

  /** Ends the engine lease of a key's beat, as etcd itself may do too early. */
  async function silence(store: EtcdStore, resource: string): Promise<void> {
    const { body } = await store.gateway.call<RangeAnswer>('/v3/kv/range', only(store.names.beat(resource)))
    await store.gateway.call('/v3/lease/revoke', { ID: pairsOf(body)[0]!.lease })
  }

  const isThere = async (store: EtcdStore, name: string): Promise<boolean> =>
    pairsOf((await store.gateway.call<RangeAnswer>('/v3/kv/range', only(name))).body).length === 1

  /** A server in front of etcd that may keep an answer to itself. */
  async function proxy(mayAnswer: (path: string, body: string) => boolean): Promise<string> {
    const server = http.createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => void parts.push(part))
      request.on('end', () => {
        const body = Buffer.concat(parts).toString()
        const [host, port] = etcd.address.split(':')
        const onward = http.request({ host, port, path: request.url, method: request.method }, answer => {
          const answered: Buffer[] = []
          answer.on('data', (part: Buffer) => void answered.push(part))
          answer.on('end', () => {
            if (!mayAnswer(request.url!, body)) return void request.socket.destroy()
            response.writeHead(answer.statusCode!).end(Buffer.concat(answered))
          })
        })
        onward.end(body)
      })
    })
    servers.push(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** A server that takes requests and says nothing, as a member that was stopped does. */
  async function mute(): Promise<string> {
    const server = http.createServer(() => undefined)
    servers.push(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  const isWrite = (path: string, body: string): boolean => path === '/v3/kv/txn' && body.includes('request_put')

  describe('a holder that etcd calls silent', () => {
    it('keeps its claim when it speaks again before the second look', async () => {
      const bench = benchOf(open())
      const { lease } = await bench.does(acquire(ann, a))
      await silence(bench.store as EtcdStore, a)
      const refusal = await bench.refuses(acquire(bob, a))
      expect(refusal).toMatchObject({ kind: 'lapsing', lease: { token: lease.token } })
      expect(await bench.does(renew(ann, on(a)))).toMatchObject({ lease: { token: lease.token }, outcome: { late: true }, ops: ['renew'] })
      expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held' })
      expect(await opsOf(bench.store as EtcdStore)).toEqual(['acquire', 'renew'])
    })

    it('is not weighed by who only reads', async () => {
      const store = open()
      const bench = benchOf(store)
      await bench.does(acquire(ann, a))
      await silence(store, a)
      for (let i = 0; i < 20; i++) {
        const view = await store.view()
        expect(view.lapse(view.lease(a)!).state).toBe('lapsing')
      }
      expect(await isThere(store, store.names.guard(a))).toBe(false)
      await bench.refuses(acquire(bob, a))
      expect(await isThere(store, store.names.guard(a))).toBe(true)
    })

    it('and stays silent is evicted once, whoever and how many ask', async () => {
      const store = open()
      const bench = benchOf(store)
      await bench.does(acquire(ann, a, { ttlSecs: 1 }))
      await silence(store, a)
      await until(async () => {
        const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => bench.run(acquire(holder(`agent:${n}`), a))))
        return answers.some(({ decision }) => decision.ok)
      }, 'the guard is over')
      expect(await opsOf(store)).toEqual(['acquire', 'auto-evict', 'acquire'])
    })

    it('wakes who waits for the claim', async () => {
      const store = open()
      const coordinator = new Coordinator(store, tightPolicy, 'test')
      await coordinator.acquire({ holder: ann }, { resources: [a], ttlSecs: 1 })
      const waiting = coordinator.acquire({ holder: bob }, { resources: [a], waitMs: 30_000 })
      await silence(store, a)
      expect(await waiting).toMatchObject({ ok: true, leases: [{ holder: { agentId: bob.agentId } }] })
    })
  })

  it('gives the claims of a session one engine lease, and everything else one of its own', async () => {
    const store = open()
    const bench = benchOf(store)
    for (let n = 0; n < 5; n++) await bench.does(acquire(ann, `ticket:s${n}`))
    await bench.does(acquire(ann, 'env:bound'), { bind: true })
    for (let n = 0; n < 2; n++) await bench.does(acquire(eve, `ticket:e${n}`))
    const beats = await Promise.all(
      ['ticket:s0', 'ticket:s1', 'ticket:s2', 'ticket:s3', 'ticket:s4', 'env:bound', 'ticket:e0', 'ticket:e1'].map(async key => {
        const { body } = await store.gateway.call<RangeAnswer>('/v3/kv/range', only(store.names.beat(key)))
        return pairsOf(body)[0]!.lease
      }),
    )
    expect(new Set(beats.slice(0, 5)).size).toBe(1)
    expect(new Set(beats).size).toBe(4)
    // What is given back takes none of the others with it.
    await bench.does(release(ann, on('ticket:s0')))
    expect((await store.view()).lapse((await store.view()).lease('ticket:s1')!).state).toBe('running')
  })

  it('binds a lease to its process by a short ttl: a second one of the same holder is refused meanwhile', async () => {
    const bench = benchOf(open())
    const { lease, live } = await bench.does(acquire(ann, a), { bind: true })
    expect([lease.ttlSecs, lease.binding?.live]).toEqual([12, live?.live])
    expect(await bench.refuses(acquire(ann, a), { bind: true })).toMatchObject({ kind: 'other-instance' })
  })

  it('keeps what is bound to its process short, whatever ttl it is given later', async () => {
    const store = open()
    const bench = benchOf(store)
    await bench.does(acquire(ann, a), { bind: true })
    for (const ttlSecs of [3600, 0]) {
      const { lease } = await bench.does(renew(ann, on(a), { ttlSecs, reason: 'long work' }))
      expect([ttlSecs, lease.ttlSecs]).toEqual([ttlSecs, 12])
    }
    expect((await bench.does(renew(ann, on(a), { ttlSecs: 5 }))).lease.ttlSecs).toBe(5)
    // What is not bound lasts as long as is asked for.
    await bench.does(acquire(eve, 'ticket:b'))
    expect((await bench.does(renew(eve, on('ticket:b'), { ttlSecs: 3600 }))).lease.ttlSecs).toBe(3600)
  })

  it('does what is more than one transaction takes in several', async () => {
    const store = open()
    const bench = benchOf(store)
    const keys = Array.from({ length: 150 }, (_, n) => `ticket:many-${n}`)
    await Promise.all(keys.map(key => bench.does(acquire(eve, key, { ttlSecs: 1 }))))
    await Promise.all(keys.map(key => silence(store, key)))
    await until(async () => {
      await bench.does(sweep(bob))
      return [...(await store.view()).all()].length === 0
    }, 'all are evicted')
    const ops = await opsOf(store)
    expect([ops.filter(op => op === 'acquire').length, ops.filter(op => op === 'auto-evict').length]).toEqual([150, 150])
  })

  it('sweeps many without trying all of them in every length', async () => {
    const store = open()
    const bench = benchOf(store)
    const keys = Array.from({ length: 700 }, (_, n) => `ticket:many-${n}`)
    await eachOf(keys, async key => {
      await bench.does(acquire(eve, key, { ttlSecs: 1 }))
      await silence(store, key)
    })
    const before = process.cpuUsage()
    await until(async () => {
      await bench.does(sweep(bob))
      return [...(await store.view()).all()].length === 0
    }, 'all are evicted')
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(6)
  }, 60_000)

  it('has all of its time again after each part of a long sweep', async () => {
    const space = randomUUID()
    const fast = open(space)
    const keys = Array.from({ length: 100 }, (_, n) => `ticket:long-${n}`)
    await eachOf(keys, async key => {
      await benchOf(fast).does(acquire(eve, key, { ttlSecs: 1 }))
      await silence(fast, key)
    })
    await benchOf(fast).does(sweep(bob))
    await until(async () => !(await isThere(fast, fast.names.guard(keys.at(-1)!))), 'the guards are over')
    const lockWaitMs = 4000
    const store = etcdStore(etcd, space, systemClock(), { lockWaitMs })
    stores.push(store)
    const call = store.gateway.call.bind(store.gateway)
    let writes = 0
    store.gateway.call = async <T>(path: string, request: object, options?: CallOptions) => {
      const { compare = [], success = [] } = request as { compare?: { key: string }[]; success?: Step[] }
      if (!success.some(step => 'request_put' in step)) return call<T>(path, request, options)
      writes++
      // The first part takes longer than there is time; then somebody else is faster by one lease.
      if (writes === 1) await new Promise(resolve => setTimeout(resolve, lockWaitMs + 100))
      const about = compare.map(({ key }) => fast.names.partOf(Buffer.from(key, 'base64').toString())).find(place => place !== null)
      if (writes === 2) await benchOf(fast).does(evict(eve, on(about!.resource)))
      return call<T>(path, request, options)
    }
    await benchOf(store).does(sweep(bob))
    expect(writes).toBeGreaterThan(3)
    expect([...(await fast.view()).all()]).toEqual([])
    expect((await opsOf(fast)).filter(op => op === 'auto-evict')).toHaveLength(keys.length - 1)
  }, 60_000)

  it('gives each of many silent holders all of the guard, however long it takes to suspect them', async () => {
    const space = randomUUID()
    const fast = open(space)
    const slow = await proxyTo(etcd, { delayMs: () => 60 })
    const store = open(space, `127.0.0.1:${slow.port}`)
    const keys = Array.from({ length: 50 }, (_, n) => `ticket:silent-${String(n).padStart(2, '0')}`)
    await Promise.all(keys.map(key => benchOf(fast).does(acquire(eve, key, { ttlSecs: 1 }))))
    await Promise.all(keys.map(key => silence(fast, key)))
    await benchOf(store).does(sweep(bob))
    const { body } = await fast.gateway.call<RangeAnswer>('/v3/kv/range', only(fast.names.guard(keys.at(-1)!)))
    const left = await fast.gateway.call<{ TTL: string }>('/v3/lease/timetolive', { ID: pairsOf(body)[0]!.lease })
    expect(Number(left.body.TTL)).toBeGreaterThanOrEqual(1)
    await slow.close()
  })

  describe('an answer that is lost', () => {
    it('is found again: the command happened once, and says so', async () => {
      let lost = 0
      const address = await proxy((path, body) => !(isWrite(path, body) && lost++ === 0))
      const store = open(randomUUID(), address)
      const { lease, entries } = await benchOf(store).does(acquire(ann, a))
      expect(lost).toBeGreaterThan(1)
      expect((await collect(store)).map(({ seq }) => seq)).toEqual([lease.token])
      expect(entries[0]!.seq).toBe(lease.token)
    })

    it('every time leaves it unknown, with the id to ask again under; then it is told', async () => {
      let isMute = true
      const address = await proxy((path, body) => !(isMute && isWrite(path, body)))
      const store = open(randomUUID(), address)
      const coordinator = new Coordinator(store, tightPolicy, 'test')
      const fault = await faultOf(coordinator.acquire({ holder: ann }, { resources: [a] }))
      expect(fault.details).toMatchObject({ outcome: 'unknown', endpoints: [{ endpoint: `http://${address}` }] })
      isMute = false
      const opId = fault.details['op_id'] as string
      expect(await coordinator.acquire({ holder: ann, opId }, { resources: [a] })).toMatchObject({ ok: true, replay: true, live: true })
      expect(await opsOf(store)).toEqual(['acquire'])
    })

    it('is unknown as well where nobody tells what became of it', async () => {
      let lost = 0
      const address = await proxy((path, body) => (isWrite(path, body) ? lost++ > 0 : lost === 0 || path !== '/v3/kv/range'))
      const fault = await faultOf(benchOf(open(randomUUID(), address)).run(acquire(ann, a)))
      expect(lost).toBe(2)
      expect(fault.details).toMatchObject({ outcome: 'unknown' })
    })

    it('is unknown where the member that was asked next lets nobody write', async () => {
      const full = http.createServer((request, response) => {
        if (request.url === '/version') response.end('{"etcdserver":"3.5.16"}')
        else response.writeHead(429).end('{"code":8,"message":"etcdserver: mvcc: database space exceeded"}')
      })
      servers.push(full)
      await new Promise<void>(resolve => full.listen(0, '127.0.0.1', resolve))
      const lossy = await proxy((path, body) => !isWrite(path, body))
      const store = open(randomUUID(), `${lossy},127.0.0.1:${(full.address() as AddressInfo).port}`)
      const fault = await faultOf(benchOf(store).run(acquire(ann, a)))
      expect(fault).toMatchObject({ message: expect.stringContaining('takes no more writes'), details: { outcome: 'unknown' } })
      expect(await opsOf(store)).toEqual(['acquire'])
    })

    it('after a part of it was done: not that nothing changed', async () => {
      const space = randomUUID()
      const fast = open(space)
      const keys = Array.from({ length: 60 }, (_, n) => `ticket:many-${n}`)
      await Promise.all(keys.map(key => benchOf(fast).does(acquire(eve, key, { ttlSecs: 1 }))))
      await Promise.all(keys.map(key => silence(fast, key)))
      await benchOf(fast).does(sweep(bob))
      await until(async () => !(await isThere(fast, fast.names.guard(keys.at(-1)!))), 'the guards are over')
      let writes = 0
      const address = await proxy((path, body) => (isWrite(path, body) ? ++writes === 1 : writes === 0))
      const fault = await faultOf(benchOf(open(space, address)).run(sweep(bob)))
      expect(fault.details).toMatchObject({ outcome: 'unknown' })
      expect((await opsOf(fast)).filter(op => op === 'auto-evict').length).toBeGreaterThan(10)
    })
  })

  describe('an answer that is no etcd’s', () => {
    it('is none: a document without a header, and words where a watch was asked for', async () => {
      const odd = http.createServer((request, response) => response.end(request.url === '/version' ? '{"etcdserver":"3.5.16"}' : '{}'))
      servers.push(odd)
      await new Promise<void>(resolve => odd.listen(0, '127.0.0.1', resolve))
      const address = `127.0.0.1:${(odd.address() as AddressInfo).port}`
      for (const work of [(store: EtcdStore) => store.view(), (store: EtcdStore) => benchOf(store).run(acquire(ann, a))])
        expect((await faultOf(work(open(randomUUID(), address)))).message).toContain('it answered 200: {}')
      expect((await membersOf(open(randomUUID(), address).gateway)).map(({ state }) => state)).toEqual(['silent'])

      const html = await proxyTo(etcd, { instead: route => (route === '/v3/watch' ? '<html>\nbad gateway\n</html>\n' : null) })
      const store = open(randomUUID(), `127.0.0.1:${html.port}`)
      const { lastSeq } = await benchOf(store).does(acquire(ann, a))
      await store.changed(lastSeq, 5000)
      await html.close()
    })
  })

  it('is read anew where its revision was compacted away meanwhile', async () => {
    const space = randomUUID()
    const store = open(space)
    await benchOf(store).does(acquire(ann, a))
    let compactions = 0
    const { gateway } = store
    const call = gateway.call.bind(gateway)
    gateway.call = async <T>(path: string, request: object, options?: CallOptions) => {
      if ('revision' in request && path === '/v3/kv/range' && request.revision !== '0' && compactions < 2) {
        compactions++
        await call('/v3/kv/put', { key: toBytes(`other-${space}`), value: '' })
        const { body } = await call<RangeAnswer>('/v3/kv/range', only('other'))
        await call('/v3/kv/compaction', { revision: body.header.revision })
      }
      return call<T>(path, request, options)
    }
    expect([...(await store.view()).all()].map(({ resource }) => resource)).toEqual([a])
    expect(compactions).toBe(2)
    compactions = 0
    expect(await verifySpace(gateway, store.names, store.location)).toMatchObject({ records: 1, faults: [] })
    expect(compactions).toBe(2)
  })

  describe('a cluster that does not answer', () => {
    it('is unknown and not free: for writers, for readers, and for who waits', async () => {
      const port = await freePort()
      const store = open(randomUUID(), `127.0.0.1:${port}`)
      for (const work of [() => benchOf(store).run(acquire(ann, a)), () => store.view(), () => collect(store)]) {
        const { details } = await faultOf(work())
        expect(details).toEqual({
          outcome: 'nothing_changed',
          endpoints: [{ endpoint: `http://127.0.0.1:${port}`, error: 'ECONNREFUSED' }],
        })
      }
    })

    it('is asked elsewhere, and the answer says where it came from', async () => {
      const [closed, silent] = [`127.0.0.1:${await freePort()}`, await mute()]
      const store = open(randomUUID(), `${closed},${silent},${etcd.address}`, 500)
      await benchOf(store).does(acquire(ann, a))
      expect((await store.view()).answeredBy).toBe(`http://${etcd.address}`)
    })
  })

  it('does not believe a member that can lose what it acknowledged', async () => {
    const server = http.createServer((_, response) => response.end('{"etcdserver":"3.5.4","etcdcluster":"3.5.0"}'))
    servers.push(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const store = open(randomUUID(), `127.0.0.1:${(server.address() as AddressInfo).port}`)
    expect((await faultOf(store.view())).message).toMatch(/3\.5\.4, which can lose/)
  })

  it('wakes who waits over a compaction', async () => {
    const store = open()
    const bench = benchOf(store)
    const { lastSeq } = await bench.does(acquire(ann, a))
    for (let n = 0; n < 5; n++) await bench.does(renew(ann, on(a), { note: `${n}` }))
    await bench.does(evict(bob, on(a)))
    const { body } = await store.gateway.call<RangeAnswer>('/v3/kv/range', only(store.names.cfg))
    await store.gateway.call('/v3/kv/compaction', { revision: body.header.revision, physical: true })
    await store.changed(lastSeq, 20_000)
    expect(await opsOf(store)).toEqual(['acquire', 'renew', 'renew', 'renew', 'renew', 'renew', 'force-evict'])
  })

  it('reads what was written before commands travelled together, and shuts its writers out', async () => {
    const space = randomUUID()
    const store = open(space)
    const { names, gateway } = store
    await benchOf(store).does(acquire(ann, a))
    const old = async (name: string): Promise<Step> => {
      const [pair] = pairsOf((await gateway.call<RangeAnswer>('/v3/kv/range', only(name))).body)
      const { place: _, ...value } = JSON.parse(pair!.value)
      return put(name, JSON.stringify({ ...value, ...('min_writer' in value ? { min_writer: 1, schema_version: 1 } : {}) }))
    }
    const success = [await old(names.cfg), await old(names.head(a)), await old(names.log(a, 1))]
    const { body } = await gateway.call<TxnAnswer>('/v3/kv/txn', { success })
    const revision = Number(body.header.revision)
    const later = open(space)
    const held = (await later.view()).lease(a)!
    // A revision was a position then.
    expect(held.token).toBe(revision)
    const bench = benchOf(later)
    const { lease } = await bench.does(acquire(bob, 'ticket:b'))
    expect(lease.token).toBeGreaterThan(held.token)
    const [cfg] = pairsOf((await gateway.call<RangeAnswer>('/v3/kv/range', only(names.cfg))).body)
    expect(JSON.parse(cfg!.value)).toMatchObject({ schema_version: 2, min_writer: 2 })
    await bench.does(release(ann, on(a), { presented: { leaseId: held.leaseId, token: held.token } }))
    expect((await bench.does(acquire(bob, a))).lease.token).toBeGreaterThan(lease.token)
    expect((await verifySpace(gateway, names, '')).faults).toEqual([])
  })
})
