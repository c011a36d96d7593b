import { beforeEach, describe, expect, it } from 'vitest'
import { Bench } from '../../../support/bench.ts'
import { acquire, ann, annAgain, bob, evict, on, proofOf, reclaim, release, renew, transfer } from '../../../support/cast.ts'

// All or nothing: several resources, and paths that overlap.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'
const c = 'ticket:c'
const indefinitely = { ttlSecs: 0, reason: 'long work' }

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

describe('a group', () => {
  it('is one record with one token, and each member has its lease', async () => {
    const { entries, leases } = await bench.does(acquire(ann, [a, b, c]))
    expect(entries).toHaveLength(1)
    expect(new Set(leases.map(({ token }) => token))).toEqual(new Set([entries[0]!.seq]))
    expect(new Set(leases.map(({ leaseId }) => leaseId)).size).toBe(3)
    for (const lease of leases) expect(lease.group).toEqual({ id: leases[0]!.leaseId, resources: [a, b, c] })
  })

  it('is taken whole or not at all', async () => {
    await bench.does(acquire(bob, c))
    expect(await bench.refuses(acquire(ann, [a, b, c]))).toMatchObject({ kind: 'held', wanted: c })
    expect(await bench.lease(a)).toBeNull()
  })

  it('is renewed, handed over, evicted and released together', async () => {
    await bench.does(acquire(ann, [a, b]))
    bench.advance(2)
    expect((await bench.does(renew(ann, on(b)))).leases.map(({ deadlineM }) => deadlineM)).toEqual([13_000, 13_000])
    const moved = await bench.does(transfer(ann, on(b), bob))
    expect(moved.leases.map(({ holder: { agentId }, resource }) => `${agentId} ${resource}`)).toEqual([
      'agent:bob ticket:a',
      'agent:bob ticket:b',
    ])
    expect(moved.entries).toHaveLength(1)
    expect((await bench.does(release(bob, on(a)))).entries).toMatchObject([{ operation: { resources: [a, b], remaining: null } }])
    await bench.does(acquire(ann, [a, b]))
    expect((await bench.does(evict(bob, on(b)))).entries).toMatchObject([{ operation: { resources: [a, b] } }])
    await bench.does(acquire(ann, [a, b]))
    bench.advance(10)
    const taken = await bench.does(acquire(bob, b))
    expect(taken.entries).toMatchObject([
      { operation: { op: 'auto-evict', resources: [a, b] } },
      { operation: { op: 'acquire', resources: [b] } },
    ])
    expect(await bench.lease(a)).toBeNull()
  })

  it('is whose proof of one member is shown, also to who asks for another', async () => {
    const { leases } = await bench.does(acquire(ann, [a, b, c]))
    const presented = { leaseId: leases[0]!.leaseId, token: leases[0]!.token }
    for (const keys of [[b], [a, b], [c, b]]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await bench.does(acquire(bob, keys, { presented }))).toMatchObject({ ops: ['renew'], outcome: { alreadyHeld: true } })
    }
    expect(await bench.refuses(acquire(bob, [b], { presented: { ...presented, token: presented.token - 1 } }))).toMatchObject({
      kind: 'held',
    })
    await bench.does(release(ann, on(a), { only: true }))
    expect(await bench.refuses(acquire(bob, b, { presented }))).toMatchObject({ kind: 'held', wanted: b })
    expect(await bench.does(acquire(bob, c, { presented: { ...presented, leaseId: leases[1]!.leaseId } }))).toMatchObject({
      ops: ['renew'],
    })
  })

  it('loses one member by `only`; the others go on together, the last one alone', async () => {
    const { leases } = await bench.does(acquire(ann, [a, b, c]))
    const split = await bench.does(release(ann, on(a), { only: true }))
    expect(split.entries).toMatchObject([{ operation: { resources: [a], remaining: [b, c] } }])
    expect(await bench.lease(a)).toBeNull()
    expect(await bench.lease(b)).toMatchObject({ token: leases[1]!.token, leaseId: leases[1]!.leaseId, group: { resources: [b, c] } })
    await bench.does(release(ann, on(b), { only: true }))
    expect(await bench.lease(c)).toMatchObject({ token: leases[2]!.token, group: null })
    expect((await bench.does(renew(ann, on(c)))).entries).toMatchObject([{ operation: { resources: [c] } }])
    await bench.does(acquire(bob, a))
  })

  it('may be partly one’s own: the rest is granted, what was held is renewed', async () => {
    await bench.does(acquire(ann, a))
    const more = await bench.does(acquire(ann, [a, b]))
    expect(more).toMatchObject({ ops: ['renew', 'acquire'], outcome: { alreadyHeld: false, resources: [a, b] } })
    expect(more.entries.map(({ operation }) => operation.opId !== null)).toEqual([false, true])
    expect(more.leases).toHaveLength(2)
  })

  it('is evicted once, however many of its members are in the way', async () => {
    await bench.does(acquire(ann, [a, b, c]))
    bench.advance(10)
    expect((await bench.does(acquire(bob, [c, a]))).ops).toEqual(['auto-evict', 'acquire'])
  })
})

describe('paths', () => {
  it('exclude other holders where they overlap', async () => {
    await bench.does(acquire(ann, 'path:src/**'))
    expect(await bench.refuses(acquire(bob, 'path:src/x'))).toMatchObject({
      kind: 'held',
      wanted: 'path:src/x',
      lease: { resource: 'path:src/**' },
    })
    expect(await bench.refuses(acquire(annAgain, 'path:src/x'))).toMatchObject({ kind: 'held' })
    await bench.does(acquire(bob, 'path:docs/**'))
  })

  it('do not exclude their own holder', async () => {
    await bench.does(acquire(ann, 'path:src/**'))
    expect((await bench.does(acquire(ann, 'path:src/x'))).ops).toEqual(['acquire'])
    expect((await bench.does(acquire(ann, ['path:**/x', 'path:src/*']))).leases).toHaveLength(2)
  })

  it('are evicted when expired, wherever they overlap', async () => {
    await bench.does(acquire(ann, ['path:src/**', a]))
    bench.advance(10)
    expect((await bench.does(acquire(bob, 'path:**/x'))).entries).toMatchObject([
      { operation: { op: 'auto-evict', resources: ['path:src/**', a] } },
      { operation: { op: 'acquire' } },
    ])
  })

  it('cannot be handed to somebody while the rest of them stays', async () => {
    await bench.does(acquire(ann, 'path:src/**'))
    await bench.does(acquire(ann, 'path:src/x'))
    expect(await bench.refuses(transfer(ann, on('path:src/x'), bob))).toMatchObject({
      kind: 'held',
      lease: { resource: 'path:src/**' },
      wanted: 'path:src/x',
    })
    await bench.does(release(ann, on('path:src/**')))
    await bench.does(transfer(ann, on('path:src/x'), bob))
  })

  it('cannot be reclaimed while others of the silent holder overlap them', async () => {
    const { lease } = await bench.does(acquire(ann, 'path:src/**', indefinitely))
    await bench.does(acquire(ann, 'path:src/x', indefinitely))
    bench.advance(30)
    expect(await bench.refuses(reclaim(bob, on('path:src/**'), lease.token))).toMatchObject({
      kind: 'held',
      lease: { resource: 'path:src/x' },
    })
  })

  it('that a stranger with proof keeps are not evicted under it in the same step', async () => {
    const { lease } = await bench.does(acquire(ann, 'path:src/**'))
    bench.advance(10)
    expect(await bench.refuses(acquire(bob, ['path:src/**', 'path:src/x'], { presented: proofOf(lease) }))).toMatchObject({ kind: 'held' })
    expect(await bench.does(acquire(bob, 'path:src/**', { presented: proofOf(lease) }))).toMatchObject({ ops: ['renew'] })
  })

  it('that one group covers twice can be renewed by a stranger with proof', async () => {
    const { lease } = await bench.does(acquire(ann, ['path:src/**', 'path:src/x']))
    expect(await bench.does(acquire(bob, 'path:src/**', { presented: proofOf(lease) }))).toMatchObject({
      ops: ['renew'],
      outcome: { alreadyHeld: true },
    })
  })
})
