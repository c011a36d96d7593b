import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { Answer, Caller, Granted } from '../../src/coordinator.ts'
import { Coordinator } from '../../src/coordinator.ts'
import { isFault } from '../../src/core/fault.ts'
import type { Entry } from '../../src/core/operation.ts'
import { systemClock } from '../../src/host/clock.ts'
import { only, pairsOf } from '../../src/store/etcd/messages.ts'
import type { RangeAnswer } from '../../src/store/etcd/messages.ts'
import type { EtcdStore } from '../../src/store/etcd/store.ts'
import { collect } from '../support/bench.ts'
import { roomy, someone } from '../support/etcd-clients.ts'
import type { Proxy } from '../support/etcd-proxy.ts'
import { proxyTo } from '../support/etcd-proxy.ts'
import type { Etcd } from '../support/etcd.ts'
import { etcdStore, needsEtcd, startEtcd } from '../support/etcd.ts'

/** One process: a store, the rules on it, and how many transactions it sent. */
interface Process {
  readonly store: EtcdStore
  readonly coordinator: Coordinator
  sent: number
  /** Calls about engine leases. */
  leases: number
}

const ttlSecs = 600

const numbered = (count: number): readonly number[] => Array.from({ length: count }, (_, number) => number)

const caller = (number: number, opId?: string): Caller => ({
  holder: someone(`agent:${number}`, `s-${number}`),
  ...(opId === undefined ? {} : { opId }),
})

function granted(answer: Answer): Granted {
  if (!answer.ok) throw new Error(`refused: ${answer.refusal.kind}`)
  return answer
}

// oxlint-disable-next-line typescript/no-explicit-any -- whatever is sent
const isTogether = (route: string, body: any): boolean =>
  route === '/v3/kv/txn' && body?.success?.some((step: object) => 'request_txn' in step) === true

needsEtcd.describe('callers of one process that write together', () => {
  let etcd: Etcd
  const processes: Process[] = []
  const proxies: Proxy[] = []
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())
  afterEach(async () => {
    for (const { store } of processes.splice(0)) store.close()
    for (const proxy of proxies.splice(0)) await proxy.close()
  })

  /** A process that knows the space: its first claim is made. */
  async function start(space: string, { address = etcd.address, timeoutMs = 2000 } = {}): Promise<Process> {
    const store = etcdStore({ ...etcd, address }, space, systemClock(), { timeoutMs })
    const started: Process = { store, coordinator: new Coordinator(store, roomy, 'test'), sent: 0, leases: 0 }
    processes.push(started)
    granted(await started.coordinator.acquire(caller(99), { resources: [`ticket:first-${processes.length}`], ttlSecs }))
    const call = store.gateway.call.bind(store.gateway)
    Object.assign(store.gateway, {
      call: (path: string, ...more: [object]) => {
        if (path === '/v3/kv/txn') started.sent++
        if (path.startsWith('/v3/lease/')) started.leases++
        return call(path, ...more)
      },
    })
    return started
  }

  const take = ({ coordinator }: Process, number: number, key = `ticket:t-${number}`, opId?: string): Promise<Answer> =>
    coordinator.acquire(caller(number, opId), { resources: [key], ttlSecs })

  /** The records about these keys, as a process sees them that had no part in it. */
  async function records(space: string): Promise<readonly Entry[]> {
    const entries = await collect((await start(space)).store)
    return entries.filter(({ operation }) => 'resources' in operation && !operation.resources[0]!.startsWith('ticket:first-'))
  }

  /** Each ownership has a token of its own, and it is its record's position. */
  function expectOwn(entries: readonly Entry[], answers: readonly Answer[]): void {
    const tokens = answers.map(answer => granted(answer).leases[0]!.token)
    expect(new Set(tokens).size).toBe(tokens.length)
    expect(entries.map(({ seq }) => seq).toSorted((a, b) => a - b)).toEqual(tokens.toSorted((a, b) => a - b))
  }

  it('need a few transactions for all, and each gets a record and a token of its own', async () => {
    const space = randomUUID()
    const here = await start(space)
    const answers = await Promise.all(numbered(100).map(number => take(here, number)))
    expect(here.sent).toBeLessThan(20)
    const entries = await records(space)
    expectOwn(entries, answers)
    const view = await here.store.view()
    for (const answer of answers) expect(view.lease(granted(answer).leases[0]!.resource)?.token).toBe(granted(answer).leases[0]!.token)
    await Promise.all(numbered(100).map(number => here.coordinator.release(caller(number), { target: { resource: `ticket:t-${number}` } })))
    expect((await records(space)).map(({ operation }) => operation.op).filter(op => op === 'release')).toHaveLength(100)
  })

  it('are not refused because one of them is, who is told who has it', async () => {
    const space = randomUUID()
    const [here, there] = [await start(space), await start(space)]
    granted(await take(there, 7))
    here.sent = 0
    const answers = await Promise.all(numbered(20).map(number => take(here, number + 50, `ticket:t-${number}`)))
    expect(here.sent).toBeLessThan(10)
    expect(answers.map(({ ok }) => ok)).toEqual(numbered(20).map(number => number !== 7))
    expect(answers[7]).toMatchObject({ refusal: { kind: 'held', lease: { holder: { agentId: 'agent:7' } } } })
    expect(await records(space)).toHaveLength(20)
  })

  it('who want the same thing get it once', async () => {
    const space = randomUUID()
    const here = await start(space)
    const answers = await Promise.all(numbered(20).map(number => take(here, number, 'ticket:one')))
    const [winner, ...others] = answers.filter(({ ok }) => ok)
    expect(others).toEqual([])
    const { token, holder } = granted(winner!).leases[0]!
    for (const answer of answers)
      if (!answer.ok) expect(answer.refusal).toMatchObject({ kind: 'held', lease: { token, holder: { agentId: holder.agentId } } })
    expect(await records(space)).toHaveLength(1)
  })

  it('get the first answer again for an op_id that was used before, or twice at once', async () => {
    const space = randomUUID()
    const [here, there] = [await start(space), await start(space)]
    const first = granted(await take(there, 3, undefined, 'mine'))
    const both = Promise.all([take(here, 30, 'ticket:both', 'at once'), take(here, 30, 'ticket:both', 'at once')])
    const answers = await Promise.all(numbered(10).map(number => take(here, number, undefined, number === 3 ? 'mine' : undefined)))
    expect(answers[3]).toMatchObject({ ok: true, replay: true, leases: [{ token: first.leases[0]!.token }] })
    const [one, two] = await both
    expect(granted(one).leases[0]!.token).toBe(granted(two).leases[0]!.token)
    const entries = await records(space)
    expectOwn(entries, [...answers, one])
    expect(entries.filter(({ operation }) => operation.opId === 'mine')).toHaveLength(1)
  })

  it('who shared a transaction whose answer was lost are each told what became of it', async () => {
    const space = randomUUID()
    let lost = 0
    const proxy = await proxyTo(etcd, { loses: (route, body) => isTogether(route, body) && lost++ === 0 })
    proxies.push(proxy)
    const [here, there] = [await start(space, { address: `127.0.0.1:${proxy.port}` }), await start(space)]
    granted(await take(there, 4))
    const answers = await Promise.all(numbered(20).map(number => take(here, number + 50, `ticket:t-${number}`)))
    expect(lost).toBeGreaterThan(0)
    expect(answers.map(({ ok }) => ok)).toEqual(numbered(20).map(number => number !== 4))
    const entries = (await records(space)).filter(({ operation }) => operation.actor !== 'agent:4')
    expectOwn(
      entries,
      answers.filter(({ ok }) => ok),
    )
  })

  it('who are told nothing are told that, each with an op_id that answers later', async () => {
    const space = randomUUID()
    let isCut = true
    const proxy = await proxyTo(etcd, { loses: (route, body) => isCut && isTogether(route, body) })
    proxies.push(proxy)
    const here = await start(space, { address: `127.0.0.1:${proxy.port}` })
    const opIds = numbered(20).map(number => `op ${number}`)
    const told = await Promise.all(
      opIds.map((opId, number) =>
        take(here, number, undefined, opId).then(
          answer => granted(answer),
          error => error,
        ),
      ),
    )
    const cut = told.filter(isFault)
    expect(cut.length).toBeGreaterThan(10)
    for (const [number, error] of told.entries())
      if (isFault(error)) expect(error).toMatchObject({ code: 'unavailable', details: { outcome: 'unknown', op_id: opIds[number] } })
    isCut = false
    const answers = await Promise.all(opIds.map((opId, number) => take(here, number, undefined, opId)))
    const entries = await records(space)
    expectOwn(entries, answers)
    expect(entries.map(({ operation }) => operation.opId)).toHaveLength(new Set(opIds).size)
  })

  it('are not held up by an engine lease that ended under one of them', async () => {
    const space = randomUUID()
    const here = await start(space)
    granted(await take(here, 5, 'ticket:earlier'))
    const { body } = await here.store.gateway.call<RangeAnswer>('/v3/kv/range', only(here.store.names.beat('ticket:earlier')))
    await here.store.gateway.call('/v3/lease/revoke', { ID: pairsOf(body)[0]!.lease })
    const answers = await Promise.all(numbered(10).map(number => take(here, number)))
    const entries = (await records(space)).filter(
      ({ operation }) => 'resources' in operation && operation.resources[0] !== 'ticket:earlier',
    )
    expectOwn(entries, answers)
  })

  it('of one session make and renew its engine lease once for all of them', async () => {
    const space = randomUUID()
    const here = await start(space)
    const answers = await Promise.all(
      numbered(50).map(number => here.coordinator.acquire(caller(1), { resources: [`ticket:t-${number}`], ttlSecs })),
    )
    // It is not there to be renewed, and then it is made.
    expect(here.leases).toBe(2)
    expectOwn(await records(space), answers)
  })

  it('do not wait for those who hang', async () => {
    const space = randomUUID()
    let slow = 0
    const proxy = await proxyTo(etcd, { delayMs: () => (slow-- > 0 ? 3000 : 0) })
    proxies.push(proxy)
    const here = await start(space, { address: `127.0.0.1:${proxy.port}`, timeoutMs: 60_000 })
    const ready = numbered(6).map(number => caller(number))
    for (const [number, who] of ready.entries())
      granted(await here.coordinator.acquire(who, { resources: [`ticket:warm-${number}`], ttlSecs }))
    slow = 2
    const ended: string[] = []
    const one = (number: number): Promise<unknown> =>
      here.coordinator.acquire(ready[number]!, { resources: [`ticket:t-${number}`], ttlSecs }).then(() => ended.push(`${number}`))
    const hanging = [one(0)]
    await new Promise(resolve => setTimeout(resolve, 20))
    hanging.push(one(1))
    await new Promise(resolve => setTimeout(resolve, 20))
    await Promise.all([one(2), one(3), one(4)])
    expect(ended.toSorted()).toEqual(['2', '3', '4'])
    await Promise.all(hanging)
  })
})
