import { beforeEach, describe, expect, it } from 'vitest'
import { Bench } from '../../../support/bench.ts'
import { acquire, ann, annAgain, bob, evict, on, proofOf, release, renew, sweep } from '../../../support/cast.ts'

// Who may keep a lease, and who may give it back.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

describe.each(['renew', 'heartbeat'] as const)('%s', type => {
  it('moves the deadline and keeps the token; the note stays until there is another', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    bench.advance(3)
    const beaten = await bench.does(renew(ann, on(a), { type, note: 'half way' }))
    expect(beaten).toMatchObject({
      ops: [type],
      outcome: { late: false },
      lease: { token: lease.token, deadlineM: lease.deadlineM! + 3000, note: 'half way' },
    })
    expect((await bench.does(renew(ann, on(a), { type }))).lease.note).toBe('half way')
  })

  it('may set a new ttl', async () => {
    await bench.does(acquire(ann, a))
    expect((await bench.does(renew(ann, on(a), { type, ttlSecs: 100 }))).lease).toMatchObject({ ttlSecs: 100, deadlineM: 101_000 })
    expect(await bench.refuses(renew(ann, on(a), { type, ttlSecs: 0.2 }))).toMatchObject({ kind: 'bad-ttl' })
  })

  it('is accepted late until somebody evicts, and not after', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    bench.advance(1000)
    expect(await bench.does(renew(ann, on(a), { type }))).toMatchObject({
      outcome: { late: true },
      entries: [{ operation: { late: true } }],
    })
    bench.advance(10)
    await bench.does(sweep(bob))
    expect(await bench.refuses(renew(ann, on(a), { type }))).toMatchObject({ kind: 'not-held' })
    expect(await bench.refuses(renew(ann, on(a), { type, presented: proofOf(lease) }))).toMatchObject({
      kind: 'superseded',
      lease: null,
      past: { endedBy: 'auto-evict' },
    })
  })

  it('judges the credential: a token that is shown must match, identity does not rescue an old one', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    await bench.does(renew(ann, on(a), { type, presented: { leaseId: null, token: lease.token } }))
    await bench.does(renew(bob, on(a), { type, presented: proofOf(lease) }))
    await bench.does(renew(bob, { leaseId: lease.leaseId }, { type, presented: { leaseId: null, token: lease.token } }))
    expect(await bench.refuses(renew(ann, on(a), { type, presented: { leaseId: null, token: lease.token - 1 } }))).toMatchObject({
      kind: 'superseded',
    })
    expect(await bench.refuses(renew(ann, on(a), { type, presented: { leaseId: 'another', token: null } }))).toMatchObject({
      kind: 'superseded',
    })
    expect(await bench.refuses(renew(bob, on(a), { type, presented: { leaseId: null, token: lease.token } }))).toMatchObject({
      kind: 'not-owner',
    })
    expect(await bench.refuses(renew(bob, { leaseId: lease.leaseId }, { type }))).toMatchObject({ kind: 'not-owner' })
    expect(await bench.refuses(renew(bob, on(a), { type }))).toMatchObject({ kind: 'not-owner', lease: { holder: ann } })
    expect(await bench.refuses(renew(annAgain, on(a), { type }))).toMatchObject({ kind: 'not-owner' })
  })

  it('of nothing says so', async () => {
    expect(await bench.refuses(renew(ann, on(a), { type }))).toEqual({ kind: 'not-held', resource: a })
    expect(await bench.refuses(renew(ann, { leaseId: 'nobody' }, { type }))).toEqual({ kind: 'unknown-lease', leaseId: 'nobody' })
  })
})

describe('release', () => {
  it('ends it with its reason and outcome', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    const gone = await bench.does(release(ann, on(a), { reason: 'merged', outcome: 'done' }))
    expect(gone).toMatchObject({ ops: ['release'], leases: [], outcome: { ended: [lease] } })
    expect((await bench.store.view()).past(a)).toMatchObject({ token: lease.token, endedBy: 'release', reason: 'merged', outcome: 'done' })
    expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'finished', past: { reason: 'merged' } })
  })

  it('repeated by its holder is fine and writes nothing', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    await bench.does(release(ann, on(a)))
    for (const presented of [{ leaseId: null, token: null }, { leaseId: null, token: lease.token }, proofOf(lease)]) {
      expect((await bench.does(release(ann, on(a), { presented }))).entries).toEqual([])
    }
    expect((await bench.does(release(bob, on(a), { presented: proofOf(lease) }))).entries).toEqual([])
  })

  it('of what was never or is no longer theirs is refused', async () => {
    expect(await bench.refuses(release(ann, on(a)))).toMatchObject({ kind: 'not-held' })
    const { lease } = await bench.does(acquire(ann, a))
    expect(await bench.refuses(release(bob, on(a)))).toMatchObject({ kind: 'not-owner' })
    expect(await bench.refuses(release(ann, on(a), { presented: { leaseId: null, token: lease.token - 1 } }))).toMatchObject({
      kind: 'superseded',
    })
    await bench.does(release(ann, on(a)))
    expect(await bench.refuses(release(bob, on(a)))).toMatchObject({ kind: 'not-held' })
    await bench.does(acquire(bob, a))
    expect(await bench.refuses(release(ann, on(a), { presented: proofOf(lease) }))).toMatchObject({
      kind: 'superseded',
      lease: { holder: bob },
    })
    await bench.does(evict(ann, on(a)))
    expect(await bench.refuses(release(bob, on(a)))).toMatchObject({ kind: 'not-held' })
  })
})
