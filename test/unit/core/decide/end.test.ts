import { beforeEach, describe, expect, it } from 'vitest'
import { Bench } from '../../../support/bench.ts'
import { acquire, ann, bob, eve, evict, on, reserve, sweep } from '../../../support/cast.ts'

// Leases that others end.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'
const c = 'ticket:c'
const indefinitely = { ttlSecs: 0, reason: 'long work' }

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

describe('force-evict', () => {
  it('ends anybody’s lease, with who and why', async () => {
    const { lease } = await bench.does(acquire(ann, a, indefinitely))
    const gone = await bench.does(evict(bob, on(a)))
    expect(gone.entries[0]!.operation).toMatchObject({
      op: 'force-evict',
      actor: 'agent:bob',
      previousHolder: ann,
      previousToken: lease.token,
      reason: 'a person said so',
    })
    expect(await bench.lease(a)).toBeNull()
  })

  it('needs a reason, something to evict, and the right token where one is given', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    expect(await bench.refuses(evict(bob, on(a), { reason: '  ' }))).toMatchObject({ kind: 'reason-required' })
    expect(await bench.refuses(evict(bob, on(a), { token: lease.token - 1 }))).toMatchObject({ kind: 'superseded' })
    expect(await bench.refuses(evict(bob, on(b)))).toMatchObject({ kind: 'not-held' })
    expect(await bench.refuses(evict(bob, on(b), { token: 1 }))).toMatchObject({ kind: 'superseded' })
    expect(await bench.refuses(evict(bob, { leaseId: 'nobody' }))).toMatchObject({ kind: 'unknown-lease' })
    await bench.does(evict(bob, { leaseId: lease.leaseId }, { token: lease.token }))
  })
})

describe('sweep', () => {
  it('evicts all that time has ended, once each, and nothing else', async () => {
    await bench.does(acquire(ann, [a, b]))
    await bench.does(reserve(bob, c, { ttlSecs: 5 }))
    await bench.does(acquire(eve, 'env:x', { ttlSecs: 1000 }))
    bench.advance(10)
    expect((await bench.does(sweep(eve))).ops).toEqual(['auto-evict', 'auto-evict'])
    expect((await bench.does(sweep(eve))).entries).toEqual([])
    expect([...(await bench.store.view()).all()].map(({ resource }) => resource)).toEqual(['env:x'])
  })

  it('may be of one key', async () => {
    await bench.does(acquire(ann, a))
    await bench.does(acquire(ann, b))
    bench.advance(10)
    expect((await bench.does(sweep(eve, b))).entries).toMatchObject([{ operation: { resources: [b] } }])
    expect((await bench.does(sweep(eve, c))).entries).toEqual([])
  })
})
