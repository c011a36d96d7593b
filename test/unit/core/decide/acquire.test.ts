import { beforeEach, describe, expect, it } from 'vitest'
import { Bench } from '../../../support/bench.ts'
import { acquire, ann, annAgain, bob, eve, holder, proofOf, reserve } from '../../../support/cast.ts'

// Who gets a lease, and what they are told who do not.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'
const indefinitely = { ttlSecs: 0, reason: 'long work' }

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

describe('acquire', () => {
  it('grants what is free: the token is the position of the record', async () => {
    const { lease, ops, entries } = await bench.does(acquire(ann, a))
    expect(ops).toEqual(['acquire'])
    expect(lease).toMatchObject({
      resource: a,
      state: 'held',
      holder: ann,
      token: entries[0]!.seq,
      ttlSecs: 10,
      deadlineM: 11_000,
      group: null,
    })
  })

  it('refuses what another holds, and says who', async () => {
    await bench.does(acquire(ann, a))
    expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held', wanted: a, lease: { holder: ann } })
  })

  it('refuses the same agent in another session, which is another instance', async () => {
    await bench.does(acquire(ann, a))
    expect(await bench.refuses(acquire(annAgain, a))).toMatchObject({ kind: 'other-instance' })
    expect(await bench.refuses(acquire(holder('agent:ann'), a))).toMatchObject({ kind: 'other-instance' })
    expect(await bench.refuses(acquire(holder('agent:ann', 's-ann', 'wt:00000002'), a))).toMatchObject({ kind: 'held' })
  })

  it('of what one holds is a renewal: same token, a later deadline', async () => {
    const first = await bench.does(acquire(ann, a))
    bench.advance(4)
    const again = await bench.does(acquire(ann, a))
    expect(again).toMatchObject({ ops: ['renew'], outcome: { alreadyHeld: true, late: false } })
    expect(again.lease).toMatchObject({ token: first.lease.token, leaseId: first.lease.leaseId, deadlineM: first.lease.deadlineM! + 4000 })
  })

  it('knows a holder without a session by its absence', async () => {
    await bench.does(acquire(eve, a))
    expect(await bench.does(acquire(eve, a))).toMatchObject({ outcome: { alreadyHeld: true } })
    expect(await bench.refuses(acquire(holder('agent:eve', 's-1'), a))).toMatchObject({ kind: 'other-instance' })
  })

  it('with lease id and token is already_held for a stranger; one of the two is not enough', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    expect(await bench.does(acquire(bob, a, { presented: proofOf(lease) }))).toMatchObject({
      ops: ['renew'],
      outcome: { alreadyHeld: true },
      lease: { holder: ann },
    })
    expect(await bench.refuses(acquire(bob, a, { presented: { leaseId: null, token: lease.token } }))).toMatchObject({ kind: 'held' })
    expect(await bench.refuses(acquire(bob, a, { presented: { leaseId: lease.leaseId, token: null } }))).toMatchObject({ kind: 'held' })
    expect(await bench.refuses(acquire(bob, a, { presented: { leaseId: lease.leaseId, token: lease.token - 1 } }))).toMatchObject({
      kind: 'held',
    })
  })

  it('evicts what is past its deadline, in a record of its own that names what it ends', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    bench.advance(9.999)
    await bench.refuses(acquire(bob, a))
    bench.advance(0.001)
    const taken = await bench.does(acquire(bob, a))
    expect(taken.ops).toEqual(['auto-evict', 'acquire'])
    expect(taken.entries[0]!.operation).toMatchObject({
      previousHolder: ann,
      previousToken: lease.token,
      reason: 'ttl',
      actor: bob.agentId,
      opId: null,
    })
    expect(taken.outcome.ended).toEqual([lease])
    expect(taken.lease.token).toBeGreaterThan(lease.token)
  })

  it('of what one holds oneself, past the deadline, is late and keeps the token', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    bench.advance(60)
    expect(await bench.does(acquire(ann, a))).toMatchObject({ ops: ['renew'], outcome: { late: true }, lease: { token: lease.token } })
  })

  it.each([0.5, -1, 2_592_001, Number.NaN])('with a ttl of %d s is refused', async ttlSecs => {
    expect(await bench.refuses(acquire(ann, a, { ttlSecs }))).toMatchObject({ kind: 'bad-ttl', reservation: false })
  })

  it('of more than 32 at once is refused', async () => {
    const keys = Array.from({ length: 33 }, (_, index) => `ticket:t${index}`)
    expect(await bench.refuses(acquire(ann, keys))).toMatchObject({ kind: 'too-many', count: 33 })
    expect((await bench.does(acquire(ann, keys.slice(1)))).leases).toHaveLength(32)
  })

  it('of one’s own reservation is refused: it is confirmed', async () => {
    await bench.does(reserve(ann, a))
    expect(await bench.refuses(acquire(ann, a))).toMatchObject({ kind: 'pending' })
  })

  it('obeys limits that the store itself has fixed', async () => {
    const strict = new Bench()
    const limits = { maxIndefinitePerAgent: 0, maxIndefinitePerRepo: 0 }
    const { decide } = await import('../../../../src/core/decide.ts')
    const view = await strict.store.view()
    expect(decide(acquire(ann, a, indefinitely), { ...view, limits }, strict.policy)).toMatchObject({
      ok: false,
      refusal: { kind: 'limit', limit: 0 },
    })
  })

  it('of a reservation that lives outside the log is refused', async () => {
    const { decide } = await import('../../../../src/core/decide.ts')
    const launch = { launchId: 'L', role: 'dev', launcherAlive: true, agent: null }
    const reservation = { resource: a, agentId: 'agent:bob', pid: 7, ageMs: 1, lockFile: null, ...launch }
    const view = { ...(await bench.store.view()), reservation: (key: string) => (key === a ? reservation : null) }
    expect(decide(acquire(ann, [b, a]), view, bench.policy)).toEqual({ ok: false, refusal: { kind: 'reserved', reservation } })
  })
})

describe('a refusal', () => {
  it('writes nothing, not even the eviction it would have needed', async () => {
    await bench.does(acquire(ann, a))
    await bench.does(acquire(ann, b, { ttlSecs: 1000 }))
    bench.advance(20)
    expect(await bench.refuses(acquire(bob, [a, b]))).toMatchObject({ kind: 'held', wanted: b })
    expect(await bench.log()).toHaveLength(2)
    expect(await bench.lease(a)).not.toBeNull()
  })
})
