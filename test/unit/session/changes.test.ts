import { beforeEach, describe, expect, it } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import type { Granted } from '../../../src/coordinator.ts'
import type { Instant } from '../../../src/core/lease.ts'
import { makePolicy } from '../../../src/core/policy.ts'
import { changeInWords, changesBetween, changeToWire, thingsOf } from '../../../src/service/session/changes.ts'
import type { Change, Things } from '../../../src/service/session/changes.ts'
import { overviewOf } from '../../../src/service/session/overview.ts'
import { MemoryStore } from '../../../src/store/memory.ts'

// What a watcher is told, on a clock that only the test moves, and on a store whose reservations are records.

const caller = { holder: { agentId: 'agent:a', worktreeId: 'wt:00000001', sessionId: null, witness: null } }
let m: number
let coordinator: Coordinator
let before: Things | null

beforeEach(() => {
  m = 0
  before = null
  const now = (): Instant => ({ b: 'test', m, wall: 1_000_000_000_000 + m })
  coordinator = new Coordinator(new MemoryStore({ now }), makePolicy({ ttlSecs: 60, staleSecs: 3600 }), 'test')
})

/** What happened since the last look. */
async function changes(): Promise<readonly Change[]> {
  const view = await coordinator.view()
  const after = thingsOf(overviewOf(view, 'agent:a', []), view)
  const found = changesBetween(before, after)
  before = after
  return found
}

const told = async (): Promise<readonly string[]> =>
  (await changes()).map(({ change, kind, name, standing }) => `${change} ${kind} ${name} ${standing}`)

async function granted(answer: Promise<unknown>): Promise<Granted> {
  const given = (await answer) as Granted
  expect(given.ok).toBe(true)
  return given
}

describe('a watcher is told', () => {
  it('what there is at first, then only what changes', async () => {
    await granted(coordinator.acquire(caller, { resources: ['env:x'] }))
    expect(await told()).toEqual(['is lease env:x live'])
    expect(await told()).toEqual([])
    await granted(coordinator.acquire(caller, { resources: ['env:y'] }))
    expect(await told()).toEqual(['appears lease env:y live'])
    await granted(coordinator.release(caller, { target: { resource: 'env:x' } }))
    expect(await told()).toEqual(['goes lease env:x live'])
  })

  it('nothing of a renewal, and of a deadline without any record', async () => {
    await granted(coordinator.acquire(caller, { resources: ['env:x'] }))
    await told()
    m += 30_000
    await granted(coordinator.renew(caller, { target: { resource: 'env:x' } }))
    expect(await told()).toEqual([])
    m += 60_000
    const [change, ...others] = await changes()
    expect(others).toEqual([])
    expect(change).toMatchObject({ change: 'becomes', standing: 'expired', before: 'live' })
    expect(changeInWords(change!, 0)).toBe('1970-01-01T00:00:00.000Z  lease env:x becomes expired (was live): agent:a, token 1')
    expect(changeToWire(change!, 0)).toMatchObject({
      at: '1970-01-01T00:00:00.000Z',
      kind: 'lease',
      before: 'live',
      lease: { resource: 'env:x', standing: 'expired' },
    })
  })

  it('of an owner that follows another as of two things', async () => {
    await granted(coordinator.acquire(caller, { resources: ['env:x'] }))
    await told()
    const to = { ...caller.holder, agentId: 'agent:b' }
    await granted(coordinator.transfer(caller, { target: { resource: 'env:x' }, to, reason: 'over to you' }))
    expect((await changes()).map(({ change, about }) => `${change}: ${about}`)).toEqual([
      'goes: agent:a, token 1',
      'appears: agent:b, token 2',
    ])
  })

  it('of a reservation that is a record as of a launch, and not of a lease besides', async () => {
    await told()
    const note = { launchId: 'L', role: 'dev', agentId: 'agent:a' }
    await granted(coordinator.reserve(caller, { resources: ['ticket:x'], note, ttlSecs: 30 }))
    expect(await told()).toEqual(['appears pending ticket:x pending'])
    m += 31_000
    await granted(coordinator.sweep(caller))
    expect(await told()).toEqual(['goes pending ticket:x pending'])
  })
})
