import { beforeEach, describe, expect, it } from 'vitest'
import type { Holder, Lease } from '../../../src/core/lease.ts'
import type { LiveLock } from '../../../src/store/store.ts'
import { Bench } from '../../support/bench.ts'
import {
  acquire,
  ann,
  annAgain,
  bob,
  confirm,
  eve,
  evict,
  holder,
  on,
  proofOf,
  reclaim,
  release,
  renew,
  reserve,
  resume,
  sweep,
  transfer,
} from '../../support/cast.ts'

// The table of leases.md, section 2, row by row, and the fine print of the rulings. The policy of the bench: ttl 10 s, stale after
// 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'
const c = 'ticket:c'
const indefinitely = { ttlSecs: 0, reason: 'long work' }

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

const tokenOf = async (resource: string): Promise<number> => (await bench.lease(resource))!.token

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
    const { decide } = await import('../../../src/core/decide.ts')
    const view = await strict.store.view()
    expect(decide(acquire(ann, a, indefinitely), { ...view, limits }, strict.policy)).toMatchObject({
      ok: false,
      refusal: { kind: 'limit', limit: 0 },
    })
  })

  it('of a reservation that lives outside the log is refused', async () => {
    const { decide } = await import('../../../src/core/decide.ts')
    const launch = { launchId: 'L', role: 'dev', launcherAlive: true, agent: null }
    const reservation = { resource: a, agentId: 'agent:bob', pid: 7, ageMs: 1, lockFile: null, ...launch }
    const view = { ...(await bench.store.view()), reservation: (key: string) => (key === a ? reservation : null) }
    expect(decide(acquire(ann, [b, a]), view, bench.policy)).toEqual({ ok: false, refusal: { kind: 'reserved', reservation } })
  })
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

describe('a retry', () => {
  const again = { opId: 'op-1', retry: true }

  it('gives the first answer and writes nothing', async () => {
    const first = await bench.does(acquire(ann, [a, b], again))
    const repeated = await bench.does(acquire(ann, [a, b], again))
    expect(repeated).toMatchObject({
      entries: [],
      leases: first.leases,
      outcome: { replayOf: { seq: first.entries[0]!.seq }, resources: [a, b] },
    })
    await bench.does(release(ann, on(a), { opId: 'op-2', retry: true }))
    expect((await bench.does(release(ann, on(a), { opId: 'op-2', retry: true }))).entries).toEqual([])
    expect(await bench.does(acquire(ann, [a, b], again))).toMatchObject({ entries: [], leases: [], outcome: { replayOf: { seq: 1 } } })
  })

  it.each([
    ['renew', () => renew(ann, on(a), again)],
    ['release', () => release(ann, on(a), again)],
    ['transfer', () => transfer(ann, on(a), bob, again)],
    ['resume', () => resume(annAgain, on(a), again)],
    ['evict', () => evict(bob, on(a), again)],
    ['acquire again', () => acquire(ann, a, again)],
  ])('of %s happens once', async (_, command) => {
    await bench.does(acquire(ann, a))
    const first = await bench.does(command())
    const repeated = await bench.does(command())
    expect([first.entries.length, repeated.entries.length]).toEqual([1, 0])
    expect(repeated.leases).toEqual(first.leases)
    expect(repeated.outcome.replayOf).toEqual(first.entries[0])
  })

  it('by lease id is recognised after the lease has another id', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    await bench.does(transfer(ann, { leaseId: lease.leaseId }, bob, again))
    expect((await bench.does(transfer(ann, { leaseId: lease.leaseId }, bob, again))).entries).toEqual([])
  })

  it('of another command is a mistake', async () => {
    await bench.does(acquire(ann, a, again))
    for (const command of [
      acquire(ann, b, again),
      release(ann, on(a), again),
      renew(ann, on(a), again),
      reserve(ann, a, again),
      sweep(ann),
    ]) {
      expect(await bench.refuses({ ...command, ...again })).toMatchObject({
        kind: 'op-id-reused',
        opId: 'op-1',
        op: 'acquire',
        resources: [a],
      })
    }
  })

  it.each([
    ['acquire', () => acquire(ann, a, again), (who: Holder) => acquire(who, a, again)],
    ['renew', () => renew(ann, on(a), again), (who: Holder) => renew(who, on(a), again)],
    ['release', () => release(ann, on(a), again), (who: Holder) => release(who, on(a), again)],
    ['transfer', () => transfer(ann, on(a), eve, again), (who: Holder) => transfer(who, on(a), eve, again)],
  ])('of %s is answered to nobody but who asked first', async (op, first, repeated) => {
    if (op !== 'acquire') await bench.does(acquire(ann, a))
    await bench.does(first())
    for (const other of [bob, { ...bob, worktreeId: ann.worktreeId }, { ...ann, worktreeId: 'wt:0000abcd' }])
      expect(await bench.refuses(repeated(other))).toMatchObject({ kind: 'op-id-reused', op, by: ann.agentId })
    // Ended before it heard the answer, and started again.
    expect((await bench.does(repeated(annAgain))).outcome.replayOf).not.toBeNull()
  })

  it('from another worktree is answered to who shows again what was proof', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    const fromAfar = () => renew(bob, on(a), { ...again, presented: proofOf(lease) })
    await bench.does(fromAfar())
    expect((await bench.does(fromAfar())).entries).toEqual([])
  })

  it('for more than the first time is a mistake too: the answer would look as if all were held', async () => {
    await bench.does(acquire(ann, a, again))
    expect(await bench.refuses(acquire(ann, [a, b], again))).toMatchObject({ kind: 'op-id-reused' })
  })

  it('that had found a part already held answers for all of it', async () => {
    await bench.does(acquire(ann, a))
    const first = await bench.does(acquire(ann, [a, b], again))
    const repeated = await bench.does(acquire(ann, [a, b], again))
    expect(repeated.outcome.resources).toEqual([a, b])
    expect(repeated.leases).toEqual(first.leases)
    await bench.does(release(ann, on(a)))
    expect((await bench.does(acquire(ann, [a, b], again))).leases.map(({ resource }) => resource)).toEqual([b])
  })

  it('that had renewed a whole group is recognised when the group is gone', async () => {
    await bench.does(acquire(ann, [a, b]))
    await bench.does(acquire(ann, a, again))
    await bench.does(release(ann, on(a), { only: true }))
    expect(await bench.does(acquire(ann, a, again))).toMatchObject({
      entries: [],
      leases: [],
      outcome: { resources: [a], alreadyHeld: true },
    })
  })

  it('is looked for only where the caller chose the id', async () => {
    await bench.does(acquire(ann, a, again))
    expect(await bench.does(acquire(ann, a, { opId: 'op-1', retry: false }))).toMatchObject({ ops: ['renew'], outcome: { replayOf: null } })
  })
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

describe('a token newer than the log', () => {
  it('means another store, whatever the command', async () => {
    const { lease } = await bench.does(acquire(ann, a))
    const presented = { leaseId: lease.leaseId, token: lease.token + 1 }
    for (const command of [
      acquire(ann, b, { presented }),
      renew(ann, on(a), { presented }),
      release(ann, on(a), { presented }),
      transfer(ann, on(a), bob, { presented }),
      confirm(ann, on(a), presented.token),
      reclaim(bob, on(a), presented.token),
      evict(bob, on(a), { token: presented.token }),
    ]) {
      expect(await bench.refuses(command)).toEqual({ kind: 'store-reset', token: presented.token, lastSeq: lease.token })
    }
    expect(await tokenOf(a)).toBe(lease.token)
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
