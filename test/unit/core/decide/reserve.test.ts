import { beforeEach, describe, expect, it } from 'vitest'
import { Bench } from '../../../support/bench.ts'
import { acquire, ann, annAgain, bob, confirm, on, proofOf, release, renew, reserve, resume, transfer } from '../../../support/cast.ts'

// What is held for a launch, and what becomes of it.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'
const indefinitely = { ttlSecs: 0, reason: 'long work' }

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

describe('reserve and confirm', () => {
  it('reserves what is free for at most a minute', async () => {
    expect((await bench.does(reserve(ann, a, { ttlSecs: 60 }))).lease).toMatchObject({ state: 'pending', ttlSecs: 60 })
    for (const ttlSecs of [0, 61, -1, null])
      expect(await bench.refuses(reserve(ann, b, { ttlSecs }))).toMatchObject({ kind: 'bad-ttl', reservation: true })
  })

  it('excludes everybody else', async () => {
    await bench.does(reserve(ann, a))
    expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held', lease: { state: 'pending' } })
    expect(await bench.refuses(reserve(bob, a))).toMatchObject({ kind: 'held' })
    expect(await bench.refuses(acquire(annAgain, a))).toMatchObject({ kind: 'held' })
  })

  it('is refused for what is held, also to its own holder, whose ttl stays', async () => {
    const { lease } = await bench.does(acquire(ann, a, { ttlSecs: 1000 }))
    expect(await bench.refuses(reserve(bob, a))).toMatchObject({ kind: 'held' })
    expect(await bench.refuses(reserve(ann, a))).toMatchObject({ kind: 'held' })
    expect(await bench.lease(a)).toEqual(lease)
  })

  it('again by the same launcher goes on', async () => {
    const { lease } = await bench.does(reserve(ann, a))
    expect(await bench.does(reserve(ann, a))).toMatchObject({ ops: ['renew'], lease: { state: 'pending', token: lease.token } })
  })

  it('becomes the agent’s claim with a new token, a new lease and its own ttl', async () => {
    const { lease } = await bench.does(reserve(ann, a, { reason: 'launch' }))
    const confirmed = await bench.does(confirm(bob, on(a), lease.token))
    expect(confirmed.ops).toEqual(['confirm'])
    expect(confirmed.lease).toMatchObject({ state: 'held', holder: bob, ttlSecs: 10, reason: 'launch' })
    expect(confirmed.lease.token).toBeGreaterThan(lease.token)
    expect(confirmed.lease.leaseId).not.toBe(lease.leaseId)
    expect(await bench.refuses(release(ann, on(a), { presented: proofOf(lease) }))).toMatchObject({ kind: 'superseded' })
  })

  it('is confirmed only with its token, while it is there, and once', async () => {
    expect(await bench.refuses(confirm(bob, on(a), 0))).toMatchObject({ kind: 'superseded', lease: null })
    const { lease } = await bench.does(reserve(ann, a))
    expect(await bench.refuses(confirm(bob, on(a), lease.token - 1))).toMatchObject({ kind: 'superseded' })
    expect(await bench.refuses(confirm(bob, on(a), lease.token, { ttlSecs: 0.1 }))).toMatchObject({ kind: 'bad-ttl' })
    const { lease: held } = await bench.does(confirm(bob, { leaseId: lease.leaseId }, lease.token))
    expect(await bench.refuses(confirm(bob, on(a), held.token))).toMatchObject({ kind: 'not-pending' })
  })

  it('confirmed as an indefinite claim needs the reservation’s reason', async () => {
    const bare = await bench.does(reserve(ann, a))
    expect(await bench.refuses(confirm(bob, on(a), bare.lease.token, { ttlSecs: 0 }))).toMatchObject({ kind: 'reason-required' })
    const spoken = await bench.does(reserve(ann, b, { reason: 'long' }))
    expect((await bench.does(confirm(bob, on(b), spoken.lease.token, { ttlSecs: 0 }))).lease).toMatchObject({ ttlSecs: 0, reason: 'long' })
  })

  it('lapses, and may be confirmed until somebody evicts it', async () => {
    const first = await bench.does(reserve(ann, a, { ttlSecs: 5 }))
    bench.advance(6)
    await bench.does(confirm(ann, on(a), first.lease.token))
    const second = await bench.does(reserve(ann, b, { ttlSecs: 5 }))
    bench.advance(6)
    const taken = await bench.does(acquire(bob, b))
    expect(taken.entries[0]!.operation).toMatchObject({ op: 'auto-evict', reason: 'reservation-lapsed' })
    expect(await bench.refuses(confirm(ann, on(b), second.lease.token))).toMatchObject({ kind: 'superseded' })
  })

  it('is not transferred or resumed, and never becomes indefinite', async () => {
    await bench.does(reserve(ann, a))
    expect(await bench.refuses(transfer(ann, on(a), bob))).toMatchObject({ kind: 'pending' })
    expect(await bench.refuses(resume(annAgain, on(a)))).toMatchObject({ kind: 'pending' })
    expect(await bench.refuses(renew(ann, on(a), indefinitely))).toMatchObject({ kind: 'bad-ttl', reservation: true })
    expect((await bench.does(release(ann, on(a)))).ops).toEqual(['release'])
  })
})
