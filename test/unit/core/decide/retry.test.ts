import { beforeEach, describe, expect, it } from 'vitest'
import type { Holder } from '../../../../src/core/lease.ts'
import { Bench } from '../../../support/bench.ts'
import {
  acquire,
  ann,
  annAgain,
  bob,
  confirm,
  eve,
  evict,
  on,
  proofOf,
  reclaim,
  release,
  renew,
  reserve,
  resume,
  sweep,
  transfer,
} from '../../../support/cast.ts'

// The same operation id again, and a log that is behind its tokens.
// The policy of the bench: ttl 10 s, stale after 20 s, two indefinite leases for an agent and three in all.

const a = 'ticket:a'
const b = 'ticket:b'

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

const tokenOf = async (resource: string): Promise<number> => (await bench.lease(resource))!.token

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
