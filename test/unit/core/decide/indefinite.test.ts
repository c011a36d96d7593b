import { beforeEach, describe, expect, it } from 'vitest'
import { Bench } from '../../../support/bench.ts'
import { acquire, ann, annAgain, bob, eve, on, reclaim, release, renew, sweep, transfer } from '../../../support/cast.ts'

// Leases without an end, and how many there may be.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'
const c = 'ticket:c'
const indefinitely = { ttlSecs: 0, reason: 'long work' }

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

describe('indefinite leases', () => {
  it('need a reason', async () => {
    expect(await bench.refuses(acquire(ann, a, { ttlSecs: 0 }))).toMatchObject({ kind: 'reason-required' })
    expect((await bench.does(acquire(ann, a, indefinitely))).lease).toMatchObject({ ttlSecs: 0, deadlineM: null })
  })

  it('are never ended by time', async () => {
    await bench.does(acquire(ann, a, indefinitely))
    bench.advance(10_000_000)
    expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held' })
    expect((await bench.does(sweep(bob))).ops).toEqual([])
  })

  it('are limited for an agent and for the repository', async () => {
    await bench.does(acquire(ann, a, indefinitely))
    await bench.does(acquire(ann, c, indefinitely))
    expect(await bench.refuses(acquire(ann, 'env:x', indefinitely))).toMatchObject({
      kind: 'limit',
      scope: 'agent',
      limit: 2,
      held: [a, c],
    })
    expect(await bench.refuses(acquire(annAgain, 'env:x', indefinitely))).toMatchObject({ kind: 'limit', scope: 'agent' })
    await bench.does(acquire(bob, 'env:x', indefinitely))
    expect(await bench.refuses(acquire(eve, 'env:y', indefinitely))).toMatchObject({ kind: 'limit', scope: 'repo', limit: 3 })
    await bench.does(release(ann, on(a)))
    await bench.does(acquire(eve, 'env:y', indefinitely))
  })

  it('of a group count each, until it is given back', async () => {
    expect(await bench.refuses(acquire(ann, [a, b, c], indefinitely))).toMatchObject({ kind: 'limit', scope: 'agent', held: [], adding: 3 })
    await bench.does(acquire(ann, [a, b], indefinitely))
    expect(await bench.refuses(acquire(ann, c, indefinitely))).toMatchObject({ kind: 'limit', scope: 'agent', held: [a, b] })
    await bench.does(acquire(bob, c, indefinitely))
    expect(await bench.refuses(acquire(eve, 'env:x', indefinitely))).toMatchObject({ kind: 'limit', scope: 'repo', held: [a, b, c] })
    await bench.does(release(ann, on(a), { only: true }))
    await bench.does(acquire(ann, 'env:x', indefinitely))
    expect(await bench.refuses(acquire(ann, a, indefinitely))).toMatchObject({ kind: 'limit', scope: 'agent', held: [b, 'env:x'] })
  })

  it('of a ticket count once with its branch and its worktree', async () => {
    const place = ['branch:agents/a', 'worktree:00000001']
    await bench.does(acquire(ann, [a, ...place], indefinitely))
    await bench.does(acquire(ann, [c, 'branch:agents/c', 'worktree:00000003'], indefinitely))
    expect(await bench.refuses(acquire(ann, 'env:x', indefinitely))).toMatchObject({ kind: 'limit', scope: 'agent', held: [a, c] })
    await bench.does(release(ann, on(c)))
    // Without a ticket they are leases like any other.
    expect(await bench.refuses(acquire(ann, ['branch:x', 'worktree:00000009'], indefinitely))).toMatchObject({ kind: 'limit', adding: 2 })
    await bench.does(acquire(ann, 'branch:x', indefinitely))
  })

  it('come about by renewal, transfer or reclaim of a group only where all of it fits', async () => {
    await bench.does(acquire(ann, [a, b, c]))
    expect(await bench.refuses(renew(ann, on(b), indefinitely))).toMatchObject({ kind: 'limit', adding: 3 })
    expect(await bench.refuses(acquire(ann, a, indefinitely))).toMatchObject({ kind: 'limit', adding: 3 })
    expect(await bench.refuses(transfer(ann, on(a), bob, { ttlSecs: 0 }))).toMatchObject({ kind: 'limit', adding: 3 })
    await bench.does(release(ann, on(c), { only: true }))
    await bench.does(renew(ann, on(b), indefinitely))
    await bench.does(acquire(bob, c, indefinitely))
    expect(await bench.refuses(transfer(ann, on(a), bob))).toMatchObject({ kind: 'limit', scope: 'agent', held: [c], adding: 2 })
    bench.advance(21_000)
    const { token } = (await bench.lease(a))!
    expect(await bench.refuses(reclaim(bob, on(a), token))).toMatchObject({ kind: 'limit', scope: 'agent', adding: 2 })
  })

  it('come about by renewal only within the limits', async () => {
    await bench.does(acquire(ann, a, indefinitely))
    await bench.does(acquire(ann, b, indefinitely))
    await bench.does(acquire(ann, c))
    expect(await bench.refuses(renew(ann, on(c), { ttlSecs: 0 }))).toMatchObject({ kind: 'reason-required' })
    expect(await bench.refuses(renew(ann, on(c), indefinitely))).toMatchObject({ kind: 'limit' })
    expect(await bench.refuses(acquire(ann, c, indefinitely))).toMatchObject({ kind: 'limit' })
    expect(await bench.does(renew(ann, on(a), { ttlSecs: 0 }))).toMatchObject({ lease: { ttlSecs: 0 } })
  })

  it('cannot slip past the limit two at a time, one new and one renewed', async () => {
    await bench.does(acquire(ann, a, indefinitely))
    await bench.does(acquire(ann, b))
    expect(await bench.refuses(acquire(ann, [b, c], indefinitely))).toMatchObject({ kind: 'limit', scope: 'agent' })
    await bench.does(release(ann, on(a)))
    await bench.does(acquire(ann, [b, c], indefinitely))
  })

  it('move to another agent only within that agent’s limit, and not twice into the repository’s', async () => {
    for (const key of [a, b]) await bench.does(acquire(bob, key, indefinitely))
    await bench.does(acquire(ann, c, indefinitely))
    expect(await bench.refuses(transfer(ann, on(c), bob))).toMatchObject({ kind: 'limit', scope: 'agent' })
    expect((await bench.does(transfer(ann, on(c), eve))).lease).toMatchObject({ holder: eve, ttlSecs: 0 })
  })
})
