import { beforeEach, describe, expect, it } from 'vitest'
import type { Command } from '../../../../src/core/command.ts'
import { FullState } from '../../../../src/store/state.ts'
import { acquire, bob, eve, evict, on, release, transfer } from '../../../support/cast.ts'
import {
  t1,
  group,
  World,
  sessionOf,
  holderOf,
  launch,
  depart,
  resumeSession,
  endSession,
  tellSession,
  opsOf,
  told,
} from '../../../support/launching.ts'

// What a person may do with a launched claim, and to whom it may go.

let world: World

beforeEach(() => {
  world = new World()
})

describe('a person’s word on a launched claim', () => {
  it('evicts the whole group, and the session is still seen while its agent runs', () => {
    world.does(launch(sessionOf('S1'), group))
    world.does(evict(bob, on('branch:work/t1')))
    for (const key of group) expect(world.lease(key)).toBeNull()
    expect(world.standing('S1')).toBe('live')
    world.does(acquire(bob, t1))
    expect(world.standing('S1')).toBe('live')
    world.does(depart('S1'))
    expect(world.lease()).toMatchObject({ holder: bob })
  })
})

it('a session whose ticket somebody else has by now is not begun again', () => {
  world.does(launch(sessionOf('S1'), [t1]))
  world.make('S1', 'restorable')
  world.openable.add('S1')
  world.does(depart('S1'))
  world.does(release(holderOf(sessionOf('S1')), on(t1)))
  world.does(acquire(bob, t1))
  expect(world.refuses(resumeSession('S1'))).toMatchObject({ kind: 'held', wanted: t1, lease: { holder: bob } })
  world.does(release(bob, on(t1)))
  expect(opsOf(world.does(resumeSession('S1')))).toEqual(['session'])
})

describe('transfer to a session', () => {
  const one = sessionOf('S1', { peers: ['LEAD'] })
  const two = sessionOf('S2', { relatedTickets: ['t2'], agentId: 'agent:two', worktreeId: 'wt:00000002' })
  const hand = (chosen: { toSession?: string } = {}): Command =>
    transfer(holderOf(one), on(t1), holderOf(two), { toSession: 'S2', ...chosen })

  beforeEach(() => {
    world.does(launch(sessionOf('LEAD', { relatedTickets: [], origin: 'role-launch' }), []))
    world.does(launch(one, group))
    world.does(launch(two, ['ticket:t2']))
  })

  it('moves the group, the ticket and the peers in one record, and binds it to the other agent', () => {
    const [entry, ...more] = world.does(hand())
    expect(more).toEqual([])
    expect(entry!.operation).toMatchObject({ op: 'transfer', resources: group, binding: { live: 'live-S2' } })
    for (const key of group) expect(world.lease(key)).toMatchObject({ holder: { sessionId: 'S2' }, binding: { live: 'live-S2' } })
    expect(world.session('S2')).toEqual({ ...two, relatedTickets: ['t2', 't1'], peers: ['S1', 'LEAD'] })
    expect(world.session('S1')).toEqual({ ...one, relatedTickets: [], peers: ['LEAD', 'S2'] })
    // Whoever is a peer is so on both sides.
    expect(world.session('LEAD')!.peers).toEqual(['S1', 'S2'])
  })

  it('is judged by the facts of the new session from then on', () => {
    world.does(hand())
    world.make('S1', 'gone')
    expect(world.refuses(acquire(bob, t1))).toMatchObject({ kind: 'launched', session: { sessionId: 'S2' }, standing: 'live' })
    world.does(depart('S1'))
    expect(world.lease()).not.toBeNull()
    world.make('S2', 'gone')
    // With both of its claims.
    expect(opsOf(world.does(acquire(bob, t1)))).toEqual(['auto-evict', 'auto-evict', 'acquire'])
  })

  it('goes on when that session does: kept, and begun again with all of its claims', () => {
    world.does(hand())
    world.make('S2', 'restorable')
    world.openable.add('S2')
    const kept = world.does(depart('S2'))
    expect(opsOf(kept)).toEqual(['renew', 'renew'])
    for (const key of ['ticket:t2', t1]) expect(world.lease(key)).toMatchObject({ ttlSecs: 0, note: 'restorable' })
    world.make('S1', 'gone')
    expect(world.refuses(acquire(bob, t1))).toMatchObject({ kind: 'launched', standing: 'restorable' })
    const resumed = world.does(resumeSession('S2', { binding: { live: 'live-again' } }))
    expect(opsOf(resumed)).toEqual(['resume', 'resume'])
    for (const key of ['ticket:t2', ...group])
      expect(world.lease(key)).toMatchObject({ holder: { sessionId: 'S2' }, binding: { live: 'live-again' }, ttlSecs: 10 })
    expect(resumed.map(told)).toEqual([[], [expect.objectContaining({ sessionId: 'S2', state: 'live' })]])
  })

  it('of a claim that was kept for its agent has a deadline again, and no limit is in its way', () => {
    world.openable.add('S1')
    world.does(depart('S1'))
    world.does(hand(), { maxIndefinitePerAgent: 0 })
    expect(world.lease()).toMatchObject({ ttlSecs: 10, deadlineM: world.clock.m + 10_000 })
  })

  it('to a person takes it from the session, and gives the person a deadline', () => {
    world.openable.add('S1')
    world.does(depart('S1'))
    world.does(transfer(holderOf(one), on(t1), bob), { maxIndefinitePerAgent: 0 })
    expect(world.lease()).toMatchObject({ holder: bob, binding: null, ttlSecs: 10 })
    expect(world.session('S1')).toMatchObject({ relatedTickets: [], peers: ['LEAD'] })
    world.clock.advance(10_000)
    expect(opsOf(world.does(acquire(eve, t1)))).toEqual(['auto-evict', 'acquire'])
  })

  it('that there is not changes nothing', () => {
    expect(world.refuses(hand({ toSession: 'S9' }))).toEqual({ kind: 'no-session', sessionId: 'S9' })
    expect(world.lease()).toMatchObject({ holder: { sessionId: 'S1' } })
  })
})

it('the state is the fold of these records', () => {
  world.does(launch(sessionOf('LEAD', { relatedTickets: [] }), []))
  world.does(launch(sessionOf('S1', { peers: ['LEAD'] }), group))
  world.make('S1', 'restorable')
  world.does(depart('S1'))
  world.does(resumeSession('S1'))
  world.does(tellSession('LEAD', 'c'))
  world.does(endSession('S1'))
  const again = new FullState()
  for (const entry of world.log) again.apply(entry)
  expect([...again.sessions()]).toEqual([...world.state.sessions()])
  expect([...again.leases()]).toEqual([...world.state.leases()])
  expect([...again.sessions()].map(({ sessionId, peers }) => [sessionId, peers])).toEqual([['LEAD', ['S1']]])
})
