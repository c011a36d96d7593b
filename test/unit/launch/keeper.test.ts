import { expect, it } from 'vitest'
import type { Answer, Coordinator, Granted } from '../../../src/coordinator.ts'
import type { Lease } from '../../../src/core/lease.ts'
import { wordRefusal } from '../../../src/core/refusal.ts'
import { Keeper } from '../../../src/service/claim/hold.ts'

// What keeps a lease while something runs outlives a store that cannot say whether anything has changed.

it('goes on looking when the store cannot tell that something has changed', async () => {
  const holder = { agentId: 'agent:a', worktreeId: 'wt:00000001', sessionId: null, witness: null }
  const lease = { resource: 'env:a', leaseId: 'L1', token: 1, ttlSecs: 600, holder, group: null } as Lease
  let looks = 0
  let asked = 0
  const coordinator = {
    view: () => Promise.resolve({ lease: () => lease, past: () => null, lastSeq: ++looks }),
    changed: () => Promise.reject(new Error(`away, for the ${++asked}th time`)),
  } as unknown as Coordinator
  const granted = { leases: [lease], seqs: [1] } as unknown as Granted
  const keeper = new Keeper({ coordinator, caller: { holder }, granted, warn: () => undefined })
  keeper.watch({ kill: () => true })
  // A rejection that nobody hears would end this process.
  await expect.poll(() => asked, { timeout: 20_000 }).toBeGreaterThan(1)
  expect([keeper.lost, looks]).toEqual([null, asked])
  keeper.stop()
})

it('ends what runs at its deadline, also while the store has not answered', async () => {
  const holder = { agentId: 'agent:a', worktreeId: 'wt:00000001', sessionId: null, witness: null }
  const lease = { resource: 'env:a', leaseId: 'L1', token: 1, ttlSecs: 1, holder, group: null } as Lease
  const renewals: ((answer: Answer) => void)[] = []
  const coordinator = {
    view: () => Promise.resolve({ lease: () => lease, past: () => null, lastSeq: 1 }),
    changed: () => new Promise(() => undefined),
    renew: () => new Promise<Answer>(resolve => void renewals.push(resolve)),
  } as unknown as Coordinator
  const granted = { leases: [lease], seqs: [1], now: { b: 'b', m: 0, wall: 0 } } as unknown as Granted
  const said: string[] = []
  const keeper = new Keeper({ coordinator, caller: { holder }, granted, warn: text => void said.push(text) })
  const signals: (string | undefined)[] = []
  keeper.watch({ kill: signal => signals.push(signal) > 0 })
  // Somebody has the store's lock for longer than the lease lasts; whoever gets it next may be another.
  await expect.poll(() => signals, { timeout: 20_000 }).toEqual(['SIGTERM'])
  expect([renewals.length, keeper.lost?.ok, said]).toEqual([1, false, [expect.stringContaining('env:a could not be renewed in time')]])
  // Nobody can say that it has ended, or who has it.
  expect(wordRefusal(keeper.lost!.refusal, granted.now)).toEqual({
    message: 'your token 1 for env:a could not be renewed before its deadline, and whether it is still current is unknown',
    hint: 'stop writing; see: lh why env:a',
  })
  // An answer that comes then changes nothing any more: what ran has been told to end.
  renewals[0]!({ ok: true } as Answer)
  await new Promise(resolve => void setImmediate(resolve))
  expect([renewals.length, signals, keeper.lost?.ok]).toEqual([1, ['SIGTERM'], false])
  keeper.stop()
})
