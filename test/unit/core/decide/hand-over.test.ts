import { beforeEach, describe, expect, it } from 'vitest'
import { Bench } from '../../../support/bench.ts'
import { acquire, ann, annAgain, bob, eve, holder, on, proofOf, reclaim, release, renew, resume, transfer } from '../../../support/cast.ts'

// From one holder to another: given, gone on with, taken back.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'
const c = 'ticket:c'
const indefinitely = { ttlSecs: 0, reason: 'long work' }

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

describe('transfer', () => {
  it('makes a new ownership: new token, new lease, the old holder fenced', async () => {
    const { lease } = await bench.does(acquire(ann, a, { branch: 'topic' }))
    bench.advance(5)
    const moved = await bench.does(transfer(ann, on(a), bob))
    expect(moved.ops).toEqual(['transfer'])
    expect(moved.lease).toMatchObject({ holder: bob, branch: 'topic', ttlSecs: 10, deadlineM: 16_000, reason: 'handing over' })
    expect(moved.lease.token).toBeGreaterThan(lease.token)
    expect(moved.lease.leaseId).not.toBe(lease.leaseId)
    expect(moved.entries[0]!.operation).toMatchObject({ from: { holder: ann, token: lease.token, leaseIds: [lease.leaseId] } })
    expect(await bench.refuses(renew(ann, on(a)))).toMatchObject({ kind: 'not-owner' })
    expect(await bench.refuses(renew(ann, on(a), { presented: proofOf(lease) }))).toMatchObject({ kind: 'superseded' })
    await bench.does(renew(bob, on(a)))
  })

  it('is refused of nothing, by a stranger, with an old token, to oneself, with a bad ttl', async () => {
    expect(await bench.refuses(transfer(ann, on(a), bob))).toMatchObject({ kind: 'not-held' })
    const { lease } = await bench.does(acquire(ann, a))
    expect(await bench.refuses(transfer(bob, on(a), eve))).toMatchObject({ kind: 'not-owner' })
    expect(await bench.refuses(transfer(ann, on(a), bob, { presented: { leaseId: null, token: lease.token - 1 } }))).toMatchObject({
      kind: 'superseded',
    })
    expect(await bench.refuses(transfer(ann, on(a), ann))).toMatchObject({ kind: 'same-holder' })
    expect(await bench.refuses(transfer(ann, on(a), bob, { ttlSecs: -1 }))).toMatchObject({ kind: 'bad-ttl' })
    expect((await bench.does(transfer(ann, on(a), annAgain))).lease.holder).toEqual(annAgain)
  })
})

describe('resume', () => {
  it('goes on in a new session: same lease, new token, the old session fenced', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    bench.advance(5)
    const resumed = await bench.does(resume(annAgain, on(a)))
    expect(resumed.lease).toMatchObject({ holder: annAgain, leaseId: lease.leaseId, acquiredAt: lease.acquiredAt, deadlineM: 16_000 })
    expect(resumed.lease.token).toBeGreaterThan(lease.token)
    expect(await bench.refuses(renew(ann, on(a), { presented: proofOf(lease) }))).toMatchObject({ kind: 'superseded' })
    expect(await bench.refuses(renew(ann, on(a)))).toMatchObject({ kind: 'not-owner' })
  })

  it('of one’s own session changes nothing', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    expect(await bench.does(resume(ann, on(a)))).toMatchObject({ entries: [], outcome: { alreadyHeld: true }, lease })
  })

  it('of what another holds, or nobody, is refused', async () => {
    expect(await bench.refuses(resume(ann, on(a)))).toMatchObject({ kind: 'not-held' })
    await bench.does(acquire(ann, a))
    expect(await bench.refuses(resume(bob, on(a)))).toMatchObject({ kind: 'held' })
    expect(await bench.refuses(resume(holder('agent:ann', 's', 'wt:00000002'), on(a)))).toMatchObject({ kind: 'held' })
  })
})

describe('reclaim', () => {
  it('takes over what is indefinite and silent, with the token read just before', async () => {
    const { lease } = await bench.does(acquire(ann, a, indefinitely))
    bench.advance(19.999)
    expect(await bench.refuses(reclaim(bob, on(a), lease.token))).toMatchObject({ kind: 'not-stale' })
    bench.advance(0.001)
    expect(await bench.refuses(reclaim(bob, on(a), lease.token - 1))).toMatchObject({ kind: 'superseded' })
    expect(await bench.refuses(reclaim(bob, on(a), lease.token, { reason: null }))).toMatchObject({ kind: 'reason-required' })
    const taken = await bench.does(reclaim(bob, on(a), lease.token))
    expect(taken).toMatchObject({
      ops: ['reclaim'],
      outcome: { ended: [lease] },
      lease: { holder: bob, ttlSecs: 0, reason: 'nobody answers' },
    })
    expect(taken.lease.token).toBeGreaterThan(lease.token)
    expect(await bench.refuses(release(ann, on(a), { presented: proofOf(lease) }))).toMatchObject({ kind: 'superseded' })
  })

  it('is refused when a sign of life came between, and for what is not indefinite', async () => {
    const { lease } = await bench.does(acquire(ann, a, indefinitely))
    bench.advance(25)
    await bench.does(renew(ann, on(a), { type: 'heartbeat' }))
    expect(await bench.refuses(reclaim(bob, on(a), lease.token))).toMatchObject({ kind: 'not-stale' })
    const finite = await bench.does(acquire(ann, b))
    bench.advance(25)
    expect(await bench.refuses(reclaim(bob, on(b), finite.lease.token))).toMatchObject({ kind: 'not-stale' })
    expect(await bench.refuses(reclaim(bob, on(c), 0))).toMatchObject({ kind: 'superseded', lease: null })
  })
})
