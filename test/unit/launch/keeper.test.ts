import { expect, it } from 'vitest'
import type { Coordinator, Granted } from '../../../src/coordinator.ts'
import type { Lease } from '../../../src/core/lease.ts'
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
