import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { bundleWorker } from '../support/fault-processes.ts'
import { brokenHistory, historyOf, scale } from '../support/fault.ts'
import { EtcdCluster, eventually } from '../support/etcd-cluster.ts'
import type { Member } from '../support/etcd-cluster.ts'
import { Client, contend, keep, nowMs, openEtcd, someone, thieve } from '../support/etcd-clients.ts'
import type { Contest, Kept, KeyOperation } from '../support/etcd-clients.ts'
import { proxyTo } from '../support/etcd-proxy.ts'
import { isEtcdInstalled, needsEtcd } from '../support/etcd.ts'
import { checkLinearizable, leaseModel } from '../support/linearizable.ts'
import type { Verdict } from '../support/linearizable.ts'
import { canMakeNetworks } from '../support/network.ts'
import { requires } from '../support/skip.ts'
import type { EtcdStore } from '../../src/store/etcd/store.ts'
import { isOwnership } from '../../src/core/operation.ts'
import { fromBytes, toBytes } from '../../src/store/etcd/messages.ts'
import { prefixEnd } from '../../src/store/etcd/keys.ts'
import { verifySpace } from '../../src/store/etcd/verify.ts'

// Three real etcd nodes, and what happens to them: killed, paused, cut off, out of disk, compacted. Whatever it is, one key has one owner
// at a time, what was acknowledged is there, and who renews on schedule keeps what they hold.

const keys = ['issue:1', 'issue:2', 'issue:3']

/** It is a matter of luck whether a leader that goes on still ends leases: about every second one does. */
const pauses = 3

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

let spaces = 0
const space = (): string => `cluster/${process.pid}-${++spaces}`

/** A round of work, while things happen to the cluster. */
async function during(
  url: string,
  what: () => Promise<void>,
  { keepers = 6, clients = 6, keepSecs = 5 } = {},
): Promise<{ operations: readonly KeyOperation[]; faults: Readonly<Record<string, number>>; kept: Kept; stolen: readonly string[] }> {
  let over = false
  const isOver = (): boolean => over
  const kept: Kept = { renewals: 0, unanswered: 0, lost: [] }
  const stolen: string[] = []
  const own = Array.from({ length: keepers }, (_, number) => `issue:kept-${number}`)
  // Kept before anybody tries to steal it.
  const keeping = own.map(key => keep(url, key, keepSecs, isOver, kept))
  const watching = new Client(url)
  await eventually('the keepers to begin', async () => {
    const view = await watching.store.view(own)
    return own.every(key => view.lease(key) !== null) ? true : null
  })
  watching.close()
  const stealing = thieve(url, own, isOver, stolen)
  const contending = contend({ url, name: 'c', clients, keys, seed: 7, pauseMs: 30 }, isOver)
  try {
    await what()
  } finally {
    over = true
  }
  const [{ operations, faults }] = await Promise.all([contending, stealing, ...keeping])
  return { operations, faults, kept, stolen }
}

/** One order of all operations for each key, expiry included; and every acknowledged grant is in the log. */
async function expectSound(url: string, operations: readonly KeyOperation[]): Promise<void> {
  for (const key of keys) {
    const about = operations.filter(operation => operation.key === key)
    const verdict = checkLinearizable(leaseModel, about)
    expect(verdict.ok, `${key}: ${told(verdict, about)}`).toBe(true)
  }
  const store = openEtcd(url)
  const entries = await historyOf(store)
  expect(brokenHistory(entries, false)).toBeNull()
  expect(await gapIn(store)).toBeNull()
  expect((await verifySpace(store.gateway, store.names, url)).faults).toEqual([])
  const granted = new Set(entries.filter(({ operation }) => isOwnership(operation)).map(({ seq }) => seq))
  const acknowledged = operations.flatMap(({ f, out }) => (f === 'acquire' && out?.token !== undefined ? [out.token] : []))
  expect(acknowledged.filter(token => !granted.has(token))).toEqual([])
  store.close()
}

/** The operation that fits nowhere, and what happened around it. */
function told(verdict: Verdict, operations: readonly KeyOperation[]): string {
  if (verdict.ok !== false || verdict.stuck === null) return JSON.stringify(verdict)
  const { call, ret } = verdict.stuck
  const around = operations
    .filter(({ out, ...operation }) => out?.ok !== false && operation.ret > call - 3000 && operation.call < ret + 100)
    .slice(-30)
  return `stuck at ${JSON.stringify(verdict.stuck)}\n${around.map(operation => JSON.stringify(operation)).join('\n')}`
}

/** Records are numbered for each key, without a gap, in the order of their positions. */
async function gapIn({ gateway, names }: EtcdStore): Promise<string | null> {
  const { body } = await gateway.call<{ kvs?: { key: string; mod_revision: string }[] }>('/v3/kv/range', {
    key: toBytes(names.logs),
    range_end: toBytes(prefixEnd(names.logs)),
    keys_only: true,
    sort_target: 'KEY',
    sort_order: 'ASCEND',
  })
  const last = new Map<string, { n: number; mod: number }>()
  for (const { key, mod_revision } of body.kvs ?? []) {
    const [, about = '', n = ''] = /log\/([^/]+)\/(\d+)$/.exec(fromBytes(key)) ?? []
    const before = last.get(about) ?? { n: 0, mod: 0 }
    if (Number(n) !== before.n + 1 || Number(mod_revision) < before.mod) return `${about}: ${n} follows ${before.n}`
    last.set(about, { n: Number(n), mod: Number(mod_revision) })
  }
  return last.size === 0 ? 'there is no record at all' : null
}

const counts = (operations: readonly KeyOperation[]): { all: number; granted: number; unknown: number } => ({
  all: operations.length,
  granted: operations.filter(({ f, out }) => f === 'acquire' && out?.ok === true && out.again !== true).length,
  unknown: operations.filter(({ out }) => out === null).length,
})

/** A transaction, and those inside it, without what they compare. */
// oxlint-disable-next-line typescript/no-explicit-any -- whatever is sent
const uncompared = (body: any): any => ({
  ...body,
  compare: [],
  success: body.success?.map((step: { request_txn?: object }) =>
    step.request_txn === undefined ? step : { request_txn: uncompared(step.request_txn) },
  ),
})

needsEtcd.describe('a cluster of three', () => {
  let cluster: EtcdCluster
  beforeAll(async () => {
    cluster = await EtcdCluster.start({ folder: inject('runFolder') })
  })
  afterAll(() => cluster.close())

  it('the leader is paused, then killed: one owner at a time, and nobody loses what they renew', async () => {
    const url = cluster.url(space())
    const { operations, faults, kept, stolen } = await during(url, async () => {
      await pause(1000)
      for (let round = 0; round < pauses; round++) {
        const paused = await cluster.leader()
        cluster.stop(paused.name)
        await cluster.leader(cluster.others(paused))
        // Longer than any engine lease of the keepers: by the paused member's own account all of them are over.
        await pause(6000)
        // A leader that was paused ends engine leases that were renewed meanwhile: it does not know yet that it is no leader.
        cluster.goOn(paused.name)
        await cluster.answering(paused.name)
        await pause(2500)
      }
      const killed = await cluster.leader()
      await cluster.kill(killed.name)
      await cluster.leader(cluster.others(killed))
      await pause(2000)
      await cluster.mend()
      await pause(1000)
    })
    const told = { ...counts(operations), ...kept, faults }
    expect(kept.lost, JSON.stringify(told)).toEqual([])
    expect(stolen).toEqual([])
    expect(kept.renewals).toBeGreaterThan(30)
    expect(counts(operations).granted).toBeGreaterThan(50)
    await expectSound(url, operations)
  }, 120_000)

  it('callers of one process, whose transactions travel together, are as right while the leader is killed', async () => {
    const url = cluster.url(space())
    let over = false
    const contest = { url, name: 'c', clients: 12, keys, seed: 11, pauseMs: 10, together: true }
    // Two such processes, against each other.
    const contending = [contend(contest, () => over), contend({ ...contest, name: 'd', seed: 12 }, () => over)]
    await pause(1500)
    for (let round = 0; round < 2; round++) {
      const killed = await cluster.leader()
      await cluster.kill(killed.name)
      await cluster.leader(cluster.others(killed))
      await pause(1500)
      await cluster.mend()
    }
    await pause(500)
    over = true
    const operations = (await Promise.all(contending)).flatMap(each => each.operations)
    expect(counts(operations).granted).toBeGreaterThan(20)
    await expectSound(url, operations)
  }, 120_000)

  it('without the comparison of transactions the same work goes wrong, and the checker sees it', async () => {
    const member = cluster.members[0]!
    const stripped = await proxyTo(member, { passed: (route, body) => (route === '/v3/kv/txn' ? uncompared(body) : body) })
    const url = `etcd://127.0.0.1:${stripped.port}/${space()}`
    let over = false
    const contest = { url, name: 'c', clients: 4, keys, seed: 3, pauseMs: 5 }
    const contending = [contend(contest, () => over), contend({ ...contest, name: 'd', seed: 4, together: true }, () => over)]
    await pause(4000)
    over = true
    const operations = (await Promise.all(contending)).flatMap(each => each.operations)
    await stripped.close()
    const verdicts = keys.map(
      key =>
        checkLinearizable(
          leaseModel,
          operations.filter(operation => operation.key === key),
        ).ok,
    )
    expect(verdicts).toEqual(keys.map(() => false))
  }, 60_000)

  it('a waiter is woken although the history was compacted, and what was compacted is still told', async () => {
    const url = cluster.url(space())
    const [ann, bob] = [new Client(url), new Client(url)]
    const resource = 'issue:waited-for'
    const holder = { holder: someone('agent:ann') }
    const taken = await ann.coordinator.acquire(holder, { resources: [resource], ttlSecs: 60 })
    const since = (await ann.store.view([resource])).lastSeq
    const waiting = bob.coordinator.acquire({ holder: someone('agent:bob') }, { resources: [resource], ttlSecs: 60, waitMs: 30_000 })
    for (let turn = 0; turn < 20; turn++)
      await ann.coordinator.renew(holder, { target: { resource }, note: `still here ${turn}`, ttlSecs: 60 })
    await compact(cluster)
    // A watch from before the compaction cannot be had any more; whoever waits has to look again, and not for fifteen seconds.
    const asked = nowMs()
    await ann.store.changed(since, 60_000)
    expect(nowMs() - asked).toBeLessThan(10_000)
    await ann.coordinator.release(holder, { target: { resource } })
    const got = await waiting
    expect(got).toMatchObject({ ok: true })
    const story = (await historyOf(ann.store)).map(({ operation }) => operation.op)
    expect(story).toEqual(['acquire', ...Array.from({ length: 20 }, () => 'renew'), 'release', 'acquire'])
    expect(taken).toMatchObject({ ok: true })
    for (const client of [ann, bob]) client.close()
  }, 60_000)

  it('thirty who evict at the same time write one record', async () => {
    const url = cluster.url(space())
    const dead = new Client(url)
    const resources = ['issue:dead-1', 'issue:dead-2']
    for (const resource of resources)
      await dead.coordinator.acquire({ holder: someone('agent:dead') }, { resources: [resource], ttlSecs: 1 })
    dead.close()
    const sweepers = Array.from({ length: 30 }, () => new Client(url))
    await eventually('the leases to be evicted', async () => {
      await Promise.all(
        sweepers.map(({ coordinator }, number) => coordinator.sweep({ holder: someone(`agent:sweeper-${number}`) }).catch(() => null)),
      )
      const view = await sweepers[0]!.store.view(resources)
      return resources.every(resource => view.lease(resource) === null) ? true : null
    })
    const ends = (await historyOf(sweepers[0]!.store)).filter(({ operation }) => operation.op === 'auto-evict')
    expect(ends.flatMap(({ operation }) => ('resources' in operation ? operation.resources : [])).toSorted()).toEqual(resources)
    for (const sweeper of sweepers) sweeper.close()
  }, 60_000)

  it('a hundred sessions keep thousands of claims with one renewal each', async () => {
    const url = cluster.url(space())
    const sessions = Math.max(10, Math.round(100 * Math.min(1, scale)))
    const each = scale >= 4 ? 100 : 20
    const client = new Client(url, 5000)
    const caller = (session: number) => ({ holder: someone(`agent:many-${session}`, `s-${session}`) })
    const resourceOf = (session: number, number: number): string => `issue:many-${session}-${number}`
    await Promise.all(
      Array.from({ length: sessions }, async (_, session) => {
        for (let number = 0; number < each; number++) {
          const answer = await client.coordinator.acquire(caller(session), { resources: [resourceOf(session, number)], ttlSecs: 20 })
          expect(answer).toMatchObject({ ok: true })
        }
      }),
    )
    const before = await engineLeases(cluster)
    const renewed = await Promise.all(
      Array.from({ length: sessions }, (_, session) =>
        client.coordinator.renew(caller(session), { target: { resource: resourceOf(session, 0) } }),
      ),
    )
    expect(renewed.every(({ ok }) => ok)).toBe(true)
    // The claims of a session share its engine lease.
    expect(before).toBeLessThan(sessions + 50)
    const view = await client.store.view()
    const leases = [...view.all()]
    expect(leases).toHaveLength(sessions * each)
    expect(leases.filter(lease => view.lapse(lease).state !== 'running')).toEqual([])
    client.close()
  }, 180_000)
})

const needsNetworks = requires(
  isEtcdInstalled && canMakeNetworks(),
  'needs etcd on PATH, root, and a kernel with network namespaces, veth and bridges',
)

needsNetworks.describe('a cluster on three machines', () => {
  let cluster: EtcdCluster
  let worker: string
  const disk = 'm1'
  beforeAll(async () => {
    const folder = mkdtempSync(path.join(inject('runFolder'), 'etcd-machines-'))
    worker = await bundleWorker(folder, 'worker-etcd.ts')
    cluster = await EtcdCluster.start({ folder, network: true, disks: { [disk]: 220 << 20 } })
  })
  afterAll(() => cluster.close())

  /** Clients on a member's own machine; `end` gives what they saw. */
  function clientsAt(member: Member, contest: Contest): { end(): Promise<readonly KeyOperation[]> } {
    const answers = path.join(path.dirname(worker), `answers-${member.name}-${++spaces}`)
    const [program, ...args] = [...member.machine!.through, process.execPath, worker, JSON.stringify({ ...contest, answers })]
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'] })
    return {
      async end() {
        const gone = new Promise(resolve => child.once('exit', resolve))
        child.stdin.end()
        expect(await gone).toBe(0)
        const { operations } = JSON.parse(readFileSync(answers, 'utf8')) as {
          operations: (Omit<KeyOperation, 'ret'> & { ret: number | null })[]
        }
        return operations.map(operation => ({ ...operation, ret: operation.ret ?? Number.POSITIVE_INFINITY }))
      },
    }
  }

  it('the leader is cut off together with clients: they are told nothing false, and everybody else goes on', async () => {
    const url = cluster.url(space())
    const leader = await cluster.leader()
    // They only know the member beside them, so they cannot turn to the others.
    const alone = cluster.url(url.split('/').slice(3).join('/'), [leader])
    const cutOff = clientsAt(leader, { url: alone, name: 'cut', clients: 3, keys, seed: 5, pauseMs: 30 })
    let cutAt = 0
    let healedAt = 0
    const { operations, faults, kept, stolen } = await during(url, async () => {
      await pause(2000)
      cluster.network!.split([leader.name])
      cutAt = nowMs()
      const next = await cluster.leader(cluster.others(leader))
      expect(next.name).not.toBe(leader.name)
      await pause(6000)
      healedAt = nowMs()
      await cluster.mend()
      await pause(2000)
    })
    const beside = await cutOff.end()
    const told = { ...counts(operations), cutOff: counts(beside), ...kept, faults }
    expect(kept.lost, JSON.stringify(told)).toEqual([])
    expect(stolen).toEqual([])
    // With the leader alone nobody is answered, and so nobody is told that something is free.
    const answered = beside.filter(({ call, ret }) => call > cutAt + 100 && ret < healedAt)
    expect(answered).toEqual([])
    expect(operations.filter(({ call, out }) => call > cutAt + 3000 && call < healedAt && out?.ok === true).length).toBeGreaterThan(0)
    await expectSound(url, [...operations, ...beside])
  }, 120_000)

  it('a node without a network: the others answer, and it comes back', async () => {
    const url = cluster.url(space())
    const leader = await cluster.leader()
    const { operations, kept, stolen } = await during(url, async () => {
      cluster.network!.unplug(leader.name)
      await cluster.leader(cluster.others(leader))
      await pause(3000)
      await cluster.mend()
      await pause(1000)
    })
    expect(kept.lost).toEqual([])
    expect(stolen).toEqual([])
    await expectSound(url, operations)
  }, 90_000)

  it('the disk of the leader is full: it ends, the others go on, and it comes back with room', async () => {
    const url = cluster.url(space())
    await moveLeader(cluster, disk)
    const { operations, kept, stolen } = await during(url, async () => {
      cluster.fill(disk)
      const big = new Client(url)
      // Enough to grow its database beyond what its file has room for.
      await eventually(`${disk} to notice`, async () => {
        const view = { target: { resource: 'issue:big' }, note: 'x'.repeat(900) }
        const holder = { holder: someone('agent:big') }
        await big.coordinator.acquire(holder, { resources: ['issue:big'], ttlSecs: 60 }).catch(() => null)
        await Promise.all(Array.from({ length: 40 }, () => big.coordinator.renew(holder, view).catch(() => null)))
        return cluster.isRunning(disk) ? null : true
      })
      big.close()
      await cluster.leader(cluster.others(cluster.member(disk)))
      await pause(2000)
      cluster.empty(disk)
      await cluster.mend()
      await pause(1000)
    })
    expect(kept.lost).toEqual([])
    expect(stolen).toEqual([])
    await expectSound(url, operations)
  }, 120_000)
})

/** Forgets all but the present. */
async function compact(cluster: EtcdCluster): Promise<void> {
  const leader = await cluster.leader()
  const { header } = (await cluster.status(leader))!
  const done = await cluster.call(leader, '/v3/kv/compaction', { revision: header.revision, physical: true })
  expect(done).not.toBeNull()
}

async function engineLeases(cluster: EtcdCluster): Promise<number> {
  const answer = await cluster.call<{ leases?: unknown[] }>(cluster.members[0]!, '/v3/lease/leases', {})
  return answer!.leases?.length ?? 0
}

async function moveLeader(cluster: EtcdCluster, name: string): Promise<void> {
  const target = (await cluster.status(cluster.member(name)))!.header.member_id
  await eventually(`${name} to lead`, async () => {
    const leader = await cluster.leader()
    if (leader.name === name) return true
    await cluster.call(leader, '/v3/maintenance/transfer-leadership', { targetID: target })
    return null
  })
}

describe('the tools of these tests', () => {
  it('wait for what comes, and not for ever', async () => {
    await expect(eventually('nothing', () => null, 60)).rejects.toThrow('waited 60 ms for nothing')
  })
})
