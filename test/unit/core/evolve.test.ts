import { describe, expect, it } from 'vitest'
import { evolve } from '../../../src/core/evolve.ts'
import type { Lease, Slot } from '../../../src/core/lease.ts'
import { emptySlot, isExpired, isStale, remainingMs, standingOf } from '../../../src/core/lease.ts'
import type { Entry, Operation } from '../../../src/core/operation.ts'
import { ann, bob } from '../../support/cast.ts'

const at = (seq: number, m: number, operation: Operation, b = 'boot1', wall = 1_000_000 + m): Entry => ({
  seq,
  at: wall,
  clk: { b, m },
  operation,
})

const owned = (op: 'acquire' | 'resume' | 'transfer', resources: readonly string[] = ['ticket:a'], ttlSecs = 10): Operation => ({
  op,
  opId: null,
  actor: ann.agentId,
  resources,
  leaseIds: resources.map((_, index) => `L${index}`),
  holder: op === 'transfer' ? bob : ann,
  ttlSecs,
  staleSecs: 20,
  branch: null,
  reason: null,
  binding: null,
  from: null,
})

const boot = (graceMs: number): Operation => ({
  op: 'boot',
  opId: null,
  actor: 'system',
  previous: { b: 'boot1', m: 0 },
  graceMs,
  twoClocks: false,
})

const held = (ttlSecs = 10): Slot => evolve(emptySlot, at(1, 5000, owned('acquire', ['ticket:a'], ttlSecs)), 'ticket:a')

const rebooted = (slot: Slot, silentMs: number, graceMs = 0): Lease =>
  evolve(slot, at(2, 300, boot(graceMs), 'boot2', slot.lease!.lastBeatAt + silentMs), 'ticket:a').lease!

describe('after a reboot', () => {
  it('the rest of the time is what the wall clock leaves, and the grace on top', () => {
    expect(rebooted(held(), 4000).deadlineM).toBe(300 + 6000)
    expect(rebooted(held(), 4000, 2500).deadlineM).toBe(300 + 6000 + 2500)
    expect(rebooted(held(), 4000)).toMatchObject({ token: 1, holder: ann, beat: { b: 'boot2', m: 300 - 4000 } })
  })

  it('a wall clock that is wrong neither lengthens it beyond a whole ttl nor shortens it below the grace', () => {
    expect(rebooted(held(), -3_600_000, 1000).deadlineM).toBe(300 + 10_000 + 1000)
    expect(rebooted(held(), 86_400_000, 1000).deadlineM).toBe(300 + 1000)
  })

  it('an indefinite one stays indefinite, and its silence is remembered', () => {
    const lease = rebooted(held(0), 30_000)
    expect(lease.deadlineM).toBeNull()
    expect(isStale(lease, { b: 'boot2', m: 300 })).toBe(true)
    expect(isStale(rebooted(held(0), 5000), { b: 'boot2', m: 300 })).toBe(false)
  })

  it('a free key stays free', () => expect(evolve(emptySlot, at(2, 1, boot(0), 'boot2'), 'ticket:a')).toBe(emptySlot))
})

describe('one key', () => {
  it('is untouched by a repair, and by signs of life when it is free', () => {
    const repair: Operation = {
      op: 'repair',
      opId: null,
      actor: 'system',
      reason: 'torn',
      cutBytes: 1,
      cutLines: 0,
      quarantine: null,
      lastGoodSeq: 1,
    }
    const slot = held()
    expect(evolve(slot, at(2, 6000, repair), 'ticket:a')).toBe(slot)
    const beat: Operation = {
      op: 'renew',
      opId: null,
      actor: 'x',
      resources: ['ticket:a'],
      leaseIds: ['L0'],
      token: 1,
      holder: ann,
      ttlSecs: 10,
      late: false,
      note: null,
    }
    expect(evolve(emptySlot, at(2, 6000, beat), 'ticket:a')).toBe(emptySlot)
  })

  it('remembers since when it is held through a resume, not through a transfer', () => {
    const slot = held()
    const since = slot.lease!.acquiredAt
    expect(evolve(slot, at(2, 9000, owned('resume')), 'ticket:a').lease).toMatchObject({ token: 2, acquiredAt: since, deadlineM: 19_000 })
    const moved = evolve(slot, at(2, 9000, owned('transfer')), 'ticket:a')
    expect(moved.lease).toMatchObject({ token: 2, acquiredAt: since + 4000 })
    expect(moved.past).toMatchObject({ token: 1, endedBy: 'transfer', endedSeq: 2, holder: ann })
  })

  it('knows its own id within a group', () => {
    const group = owned('acquire', ['ticket:a', 'ticket:b'])
    expect(evolve(emptySlot, at(1, 0, group), 'ticket:b').lease).toMatchObject({
      leaseId: 'L1',
      group: { id: 'L0', resources: ['ticket:a', 'ticket:b'] },
    })
  })

  it('does not change what it is given', () => {
    const slot = held()
    const before = structuredClone(slot)
    evolve(slot, at(2, 6000, owned('transfer')), 'ticket:a')
    rebooted(slot, 5)
    expect(slot).toEqual(before)
  })
})

describe('what it looks like', () => {
  const lease = held().lease!
  const now = (m: number): { b: string; m: number } => ({ b: 'boot1', m })

  it('expires at its deadline, not before', () => {
    expect([remainingMs(lease, now(14_999)), isExpired(lease, now(14_999))]).toEqual([1, false])
    expect([remainingMs(lease, now(15_000)), isExpired(lease, now(15_000))]).toEqual([0, true])
  })

  it('has one standing', () => {
    expect(standingOf(lease, now(5000), false)).toBe('live')
    expect(standingOf(lease, now(15_000), false)).toBe('expired')
    expect(standingOf(lease, now(5000), true)).toBe('dead')
    expect(standingOf({ ...lease, state: 'pending' }, now(5000), false)).toBe('pending')
    const forever = held(0).lease!
    expect(standingOf(forever, now(24_999), false)).toBe('live')
    expect(standingOf(forever, now(25_000), false)).toBe('stale')
    expect(standingOf({ ...forever, staleSecs: 0 }, now(1e9), false)).toBe('live')
  })
})
