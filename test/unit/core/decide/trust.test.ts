import { beforeEach, describe, expect, it } from 'vitest'
import type { Lease } from '../../../../src/core/lease.ts'
import type { LiveLock } from '../../../../src/store/store.ts'
import { Bench } from '../../../support/bench.ts'
import { acquire, ann, bob, eve, evict, holder, on, renew, reserve, resume, sweep, transfer } from '../../../support/cast.ts'

// What is known of a holder beside the clock: its process, and a guard where the clock is not trusted.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'
const c = 'ticket:c'

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

describe('a lease bound to a process', () => {
  let live: LiveLock
  let lease: Lease

  beforeEach(async () => {
    const commit = await bench.does(acquire(ann, a, { ttlSecs: 1000 }), { bind: true })
    live = commit.live!
    lease = commit.lease
  })

  it('is free as soon as the process is gone', async () => {
    expect(lease.binding).toEqual({ live: live.live })
    expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held' })
    live.close()
    const taken = await bench.does(acquire(bob, a))
    expect(taken.entries).toMatchObject([{ operation: { op: 'auto-evict', reason: 'holder-dead' } }, { operation: { op: 'acquire' } }])
  })

  it('is swept when it is dead, and not while it lives', async () => {
    expect((await bench.does(sweep(bob))).entries).toEqual([])
    live.close()
    expect((await bench.does(sweep(bob))).entries).toMatchObject([{ operation: { reason: 'holder-dead' } }])
  })

  it('of a dead process is granted anew to its own holder, with a new token', async () => {
    live.close()
    const anew = await bench.does(acquire(ann, a))
    expect(anew).toMatchObject({ ops: ['auto-evict', 'acquire'], outcome: { alreadyHeld: false }, lease: { binding: null } })
    expect(anew.lease.token).toBeGreaterThan(lease.token)
  })

  it('is not shared with a second process of the same holder', async () => {
    expect(await bench.refuses(acquire(ann, a), { bind: true })).toMatchObject({ kind: 'other-instance' })
    expect(await bench.does(acquire(ann, a))).toMatchObject({ ops: ['renew'], lease: { binding: { live: live.live } } })
  })

  it('is unbound by a transfer and bound anew by a resume', async () => {
    const moved = await bench.does(transfer(ann, on(a), bob))
    expect(moved.lease.binding).toBeNull()
    live.close()
    expect((await bench.does(sweep(eve))).entries).toEqual([])
    const resumed = await bench.does(resume(holder('agent:bob', 's-bob-2'), on(a)), { bind: true })
    expect(resumed.lease.binding).toEqual({ live: resumed.live!.live })
  })

  it('of a dead process is resumed by its own holder, not left to be swept', async () => {
    live.close()
    expect(await bench.does(resume(ann, on(a)))).toMatchObject({ ops: ['resume'], lease: { binding: null } })
    expect((await bench.does(sweep(bob))).entries).toEqual([])
  })

  it('of a group is evicted with the group', async () => {
    const pair = await bench.does(acquire(ann, [b, c]), { bind: true })
    pair.live!.close()
    expect((await bench.does(acquire(bob, c))).entries).toMatchObject([
      { operation: { op: 'auto-evict', resources: [b, c], reason: 'holder-dead' } },
      {},
    ])
  })

  it('frees a reservation at once', async () => {
    const pending = await bench.does(reserve(ann, b), { bind: true })
    pending.live!.close()
    expect((await bench.does(acquire(bob, b))).entries).toMatchObject([{ operation: { reason: 'holder-dead' } }, {}])
  })
})

describe('the guard of a store that does not trust its clock', () => {
  beforeEach(() => {
    bench = new Bench({ guardMs: 3000 })
  })

  it('watches before it evicts, and says how long', async () => {
    await bench.does(acquire(ann, a))
    bench.advance(15)
    expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'lapsing', retryAfterMs: 3000 })
    bench.advance(2)
    expect(await bench.refuses(acquire(eve, a))).toMatchObject({ kind: 'lapsing', retryAfterMs: 1000 })
    expect((await bench.does(sweep(eve))).entries).toEqual([])
    bench.advance(1)
    expect((await bench.does(acquire(bob, a))).ops).toEqual(['auto-evict', 'acquire'])
  })

  it('is not started by a reader', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    bench.advance(10)
    expect((await bench.store.view()).lapse(lease)).toEqual({ state: 'lapsing', retryAfterMs: 3000 })
    bench.advance(3)
    expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'lapsing', retryAfterMs: 3000 })
  })

  it('is called off by a renewal', async () => {
    await bench.does(acquire(ann, a))
    bench.advance(10)
    await bench.refuses(acquire(bob, a))
    bench.advance(2)
    await bench.does(renew(ann, on(a)))
    bench.advance(10)
    expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'lapsing', retryAfterMs: 3000 })
  })

  it('does not protect the proven dead, nor from a person', async () => {
    const { live } = await bench.does(acquire(ann, a), { bind: true })
    live!.close()
    expect((await bench.does(sweep(bob))).ops).toEqual(['auto-evict'])
    await bench.does(acquire(ann, b))
    bench.advance(10)
    await bench.refuses(acquire(bob, b))
    await bench.does(evict(bob, on(b)))
  })
})
