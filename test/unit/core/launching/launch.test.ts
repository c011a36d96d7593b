import { beforeEach, describe, expect, it } from 'vitest'
import type { Command } from '../../../../src/core/command.ts'
import type { Refusal } from '../../../../src/core/refusal.ts'
import { refusalCode, retryAfterMs, wordRefusal } from '../../../../src/core/refusal.ts'
import type { SessionStanding } from '../../../../src/core/session.ts'
import { acquire, acquireFirst, bob, eve, on, renew, sweep, transfer } from '../../../support/cast.ts'
import { t1, group, World, sessionOf, holderOf, launch, opsOf, told } from '../../../support/launching.ts'

// A launch, and the claim that it makes: what is told of it, and what time does to it.

let world: World

beforeEach(() => {
  world = new World()
})

describe('launch', () => {
  it('begins the claim of the whole group and the session in one record', () => {
    const [entry, ...more] = world.does(launch(sessionOf('S1'), group))
    expect(more).toEqual([])
    expect(entry!.operation).toMatchObject({ op: 'acquire', resources: group, binding: { live: 'live-S1' } })
    expect(told(entry!)).toEqual([sessionOf('S1')])
    expect(world.session('S1')).toEqual(sessionOf('S1'))
    for (const key of group) expect(world.lease(key)).toMatchObject({ token: entry!.seq, holder: { sessionId: 'S1' } })
  })

  it('without a ticket is a session and no lease', () => {
    const [entry, ...more] = world.does(launch(sessionOf('S1', { origin: 'role-launch', relatedTickets: [] }), []))
    expect(more).toEqual([])
    expect(entry!.operation).toMatchObject({ op: 'session', opId: expect.any(String) as string })
    expect([...world.view.all()]).toEqual([])
    expect(world.session('S1')).not.toBeNull()
  })

  it('tells both ends of a peer in that one record, and keeps the peers that they had', () => {
    world.does(launch(sessionOf('LEAD', { relatedTickets: [], peers: ['OLD'] }), []))
    world.does(launch(sessionOf('TWO', { relatedTickets: [] }), []))
    const [entry, ...more] = world.does(launch(sessionOf('S1', { peers: ['LEAD', 'TWO', 'GONE'] })))
    expect(more).toEqual([])
    expect(told(entry!).map(({ sessionId }) => sessionId)).toEqual(['S1', 'LEAD', 'TWO'])
    expect(world.session('LEAD')!.peers).toEqual(['OLD', 'S1'])
    expect(world.session('TWO')!.peers).toEqual(['S1'])
    expect(world.session('S1')!.peers).toEqual(['LEAD', 'TWO', 'GONE'])
    // Of the peers nothing else changes, and a peer that has ended does not come back.
    expect(world.session('LEAD')).toEqual(sessionOf('LEAD', { relatedTickets: [], peers: ['OLD', 'S1'] }))
    expect(world.session('GONE')).toBeNull()
  })

  it('writes nothing where somebody holds one of the keys', () => {
    world.does(acquire(bob, 'branch:work/t1'))
    expect(world.refuses(launch(sessionOf('S1'), group))).toMatchObject({ kind: 'held', lease: { resource: 'branch:work/t1' } })
    expect(world.session('S1')).toBeNull()
    expect(world.lease()).toBeNull()
  })

  it('passes its own reservation, and nobody else does', () => {
    const other = { role: 'dev', agentId: 'agent:dev', pid: 7, launcherAlive: true, agent: null, lockFile: null, ageMs: 5 }
    world.reserved.set(t1, { resource: t1, launchId: 'S1', ...other })
    expect(world.refuses(launch(sessionOf('S2')))).toMatchObject({ kind: 'reserved', reservation: { launchId: 'S1', pid: 7 } })
    expect(world.refuses(acquire(bob, group))).toMatchObject({ kind: 'reserved' })
    expect(world.refuses(acquireFirst(bob, [t1]))).toMatchObject({ kind: 'none-free' })
    world.does(launch(sessionOf('S1')))
    expect(world.lease()).not.toBeNull()
  })

  it('evicts first what time has ended, in a record of its own; the session comes with the last record', () => {
    world.does(acquire(bob, t1))
    world.clock.advance(10_000)
    const entries = world.does(launch(sessionOf('S1')))
    expect(opsOf(entries)).toEqual(['auto-evict', 'acquire'])
    expect(entries.map(told).map(({ length }) => length)).toEqual([0, 1])
  })

  it('confirms a reservation that is a record, with a new token', () => {
    const session = sessionOf('S1')
    world.does({ ...acquire(holderOf(session), group, { ttlSecs: 30 }), type: 'reserve' })
    expect(world.refuses(launch(session, group, { token: 0 }))).toMatchObject({ kind: 'superseded' })
    const [entry, ...more] = world.does(launch(session, group, { token: world.lease()!.token }))
    expect(more).toEqual([])
    expect(entry!.operation).toMatchObject({ op: 'confirm', resources: group })
    expect(told(entry!)).toEqual([session])
  })
})

describe('what a stranger is told of a launched claim', () => {
  const askedBy = (standing: SessionStanding): Refusal => {
    world.does(launch(sessionOf('S1'), group))
    world.make('S1', standing)
    return world.refuses(acquire(bob, t1))
  }

  it.each(['live', 'restorable', 'stale'] as const)(
    '%s: ticket, role, session, standing and the commands that would be allowed',
    standing => {
      const refusal = askedBy(standing)
      expect(refusal).toMatchObject({ kind: 'launched', standing, session: { sessionId: 'S1' }, lease: { resource: t1 } })
      expect(refusalCode(refusal)).toBe('held')
      const { message, hint } = wordRefusal(refusal, world.clock.now())
      expect(message).toContain('ticket:t1')
      expect(message).toContain('role dev')
      expect(message).toContain('session dev-s1')
      expect(message).toContain(standing)
      expect(hint).toContain('lh why ticket:t1')
      expect(hint.includes('lh session reclaim dev-s1 --reason "…"'), 'reclaimed is only what is stale').toBe(standing === 'stale')
      if (standing === 'restorable') expect(hint).toContain('lh session resume dev-s1')
    },
  )

  it('is the same for every key of the group, and says which', () => {
    askedBy('live')
    for (const key of group) {
      const refusal = world.refuses(acquire(bob, key))
      expect(refusal).toMatchObject({ kind: 'launched', lease: { resource: key } })
      expect(wordRefusal(refusal, world.clock.now()).message).toContain('ticket:t1')
    }
  })

  it('has no time after which to ask again: no time ends it', () => {
    const refusal = askedBy('stale')
    expect(retryAfterMs(refusal, world.clock.now())).toBeNull()
  })

  it('is passed over by whoever takes the first that is free', () => {
    askedBy('live')
    world.does(acquireFirst(bob, [t1, 'ticket:t2']))
    expect(world.lease('ticket:t2')).not.toBeNull()
  })
})

describe('a launched claim and time', () => {
  it('is not ended by it while its agent lives, could be opened again, or cannot be seen', () => {
    world.does(launch(sessionOf('S1'), group))
    for (const standing of ['live', 'restorable', 'stale'] as const) {
      world.make('S1', standing)
      world.clock.advance(1_000_000)
      expect(world.does(sweep(bob))).toEqual([])
      expect(world.refuses(acquire(bob, t1))).toMatchObject({ kind: 'launched', standing })
      expect(world.refuses(launch(sessionOf('S2')))).toMatchObject({ kind: 'launched', standing })
    }
    // Its own agent renews it late, as any holder does.
    world.does(renew(holderOf(sessionOf('S1')), on(t1)))
  })

  it('that cannot be seen is stale only after a TTL of silence; an indefinite one after that of indefinite leases', () => {
    world.does(launch(sessionOf('S1')))
    world.lives.set('S1', 'unknown')
    world.clock.advance(9_999)
    expect(world.standing('S1')).toBe('live')
    world.clock.advance(1)
    expect(world.standing('S1')).toBe('stale')
    world.does(launch(sessionOf('S2', { relatedTickets: ['t2'] }), ['ticket:t2'], { ttlSecs: 0, reason: 'for long' }))
    world.lives.set('S2', 'unknown')
    world.clock.advance(19_999)
    expect(world.standing('S2')).toBe('live')
    world.clock.advance(1)
    expect(world.standing('S2')).toBe('stale')
  })

  it.each([
    ['an acquirer', (): Command => acquire(bob, t1)],
    ['a launch', (): Command => launch(sessionOf('S2'))],
    ['whoever takes the first that is free', (): Command => acquireFirst(bob, [t1])],
    ['a sweep', (): Command => sweep(bob)],
  ])('is evicted once by %s when its agent is dead and nothing can be opened, and the session ends with it', (_who, command) => {
    world.does(launch(sessionOf('S1'), group))
    world.make('S1', 'gone')
    const [evicted] = world.does(command())
    expect(evicted!.operation).toMatchObject({ op: 'auto-evict', reason: 'holder-dead', resources: group })
    expect(told(evicted!)).toMatchObject([{ sessionId: 'S1', state: 'ended', endReason: 'holder-dead', endedAt: world.clock.now().wall }])
    expect(world.session('S1')).toBeNull()
    for (const key of group.slice(1)) expect(world.lease(key)).toBeNull()
    world.does(sweep(eve))
    world.does(acquire(eve, 'branch:work/t1'))
    expect(world.log.filter(({ operation }) => operation.op === 'auto-evict')).toHaveLength(1)
  })

  it('that is dead is not its own agent’s any more either', () => {
    const session = sessionOf('S1')
    world.does(launch(session))
    world.make('S1', 'gone')
    expect(opsOf(world.does(acquire(holderOf(session), t1)))).toEqual(['auto-evict', 'acquire'])
  })

  it('that is dead ends with every other claim of its session, and the session with the last', () => {
    world.does(launch(sessionOf('S1')))
    world.does(launch(sessionOf('S2', { relatedTickets: ['t2'] }), ['ticket:t2']))
    world.does(transfer(holderOf(sessionOf('S2')), on('ticket:t2'), holderOf(sessionOf('S1')), { toSession: 'S1' }))
    world.make('S1', 'gone')
    const entries = world.does(acquire(bob, 'ticket:t2'))
    expect(opsOf(entries)).toEqual(['auto-evict', 'auto-evict', 'acquire'])
    expect(entries.map(told).map(({ length }) => length)).toEqual([0, 1, 0])
    expect(world.session('S1')).toBeNull()
    expect([...world.view.all()].map(({ resource }) => resource)).toEqual(['ticket:t2'])
  })

  it('of which the session has ended is judged by its lock, as every bound lease', () => {
    world.does(launch(sessionOf('S1')))
    const lease = world.lease()!
    world.append({ op: 'session', opId: null, actor: 'system', sessions: [{ ...sessionOf('S1'), state: 'ended' }] })
    expect(world.lease()).toEqual(lease)
    expect(world.refuses(acquire(bob, t1))).toMatchObject({ kind: 'held' })
    world.lives.set('S1', 'dead')
    expect(opsOf(world.does(acquire(bob, t1)))).toEqual(['auto-evict', 'acquire'])
  })

  it('sessions without a claim that are gone end by a sweep, once, and no others', () => {
    for (const id of ['LIVE', 'GONE', 'OPEN', 'DARK']) world.does(launch(sessionOf(id, { relatedTickets: [], origin: 'role-launch' }), []))
    world.make('GONE', 'gone')
    world.make('OPEN', 'restorable')
    world.make('DARK', 'stale')
    const [entry, ...more] = world.does(sweep(bob))
    expect(more).toEqual([])
    expect(entry!.operation.op).toBe('session')
    expect(told(entry!)).toMatchObject([{ sessionId: 'GONE', state: 'ended' }])
    expect(world.does(sweep(bob))).toEqual([])
    expect(world.does(sweep(bob, t1))).toEqual([])
    expect([...world.view.sessions()].map(({ sessionId }) => sessionId)).toEqual(['LIVE', 'OPEN', 'DARK'])
  })
})
