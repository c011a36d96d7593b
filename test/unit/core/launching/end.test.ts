import { beforeEach, describe, expect, it } from 'vitest'
import { acquire, bob, on, release } from '../../../support/cast.ts'
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
  standings,
} from '../../../support/launching.ts'

// How a launched agent and its session end, and what is said of them.

let world: World

beforeEach(() => {
  world = new World()
})

describe('depart', () => {
  it('keeps the whole claim, indefinitely, where the client can open the session again', () => {
    world.does(launch(sessionOf('S1'), group))
    world.openable.add('S1')
    const token = world.lease()!.token
    const [entry, ...more] = world.does(depart('S1', { exitCode: 3 }))
    expect(more).toEqual([])
    expect(entry!.operation).toMatchObject({ op: 'renew', resources: group })
    for (const key of group) expect(world.lease(key)).toMatchObject({ token, ttlSecs: 0, deadlineM: null, note: 'restorable' })
    expect(world.session('S1')).toMatchObject({ state: 'restorable', exitCode: 3, endedAt: null })
    expect(world.standing('S1')).toBe('restorable')
  })

  it('counts for no limit while it is kept', () => {
    for (const at of [1, 2, 3, 4]) {
      const session = sessionOf(`S${at}`, { relatedTickets: [`t${at}`], agentId: bob.agentId })
      world.does(launch(session, [`ticket:t${at}`]))
      world.openable.add(session.sessionId)
      world.does(depart(session.sessionId))
    }
    expect(world.view.indefinite()).toHaveLength(4)
    world.does(acquire(bob, 'env:a', { ttlSecs: 0, reason: 'long' }))
    world.does(acquire(bob, 'env:b', { ttlSecs: 0, reason: 'long' }))
    expect(world.refuses(acquire(bob, 'env:c', { ttlSecs: 0, reason: 'long' }))).toMatchObject({
      kind: 'limit',
      scope: 'agent',
      held: ['env:a', 'env:b'],
    })
  })

  it.each([
    ['cannot be opened again', {}, false],
    ['is not to be kept', { keep: false }, true],
  ])('gives the claim back in one record with the end of a session that %s', (_why, chosen, openable) => {
    world.does(launch(sessionOf('S1'), group))
    if (openable) world.openable.add('S1')
    const [entry, ...more] = world.does(depart('S1', { ...chosen, exitCode: 1 }))
    expect(more).toEqual([])
    expect(entry!.operation).toMatchObject({ op: 'release', resources: group, reason: 'its agent ended', outcome: null })
    expect(told(entry!)).toMatchObject([{ sessionId: 'S1', state: 'ended', exitCode: 1, endReason: 'its agent ended' }])
    expect(world.session('S1')).toBeNull()
    for (const key of group) expect(world.lease(key)).toBeNull()
  })

  it('gives back everything that the session holds, one record for each ownership, the end in the last', () => {
    const session = sessionOf('S1')
    world.does(launch(session, group))
    world.does(acquire(holderOf(session), ['path:src/**', 'path:docs/**']))
    world.does(acquire(bob, 'env:x'))
    const entries = world.does(depart('S1'))
    expect(opsOf(entries)).toEqual(['release', 'release'])
    expect(entries.map(told).map(({ length }) => length)).toEqual([0, 1])
    expect([...world.view.all()].map(({ resource }) => resource)).toEqual(['env:x'])
  })

  it('after its ticket was given back ends the session, and touches nobody else’s claim', () => {
    world.does(launch(sessionOf('S1')))
    world.openable.add('S1')
    world.does(release(holderOf(sessionOf('S1')), on(t1), { outcome: 'done' }))
    expect(world.session('S1'), 'what runs is seen').not.toBeNull()
    world.does(acquire(bob, t1, { finishedToo: true }))
    expect(opsOf(world.does(depart('S1')))).toEqual(['session'])
    expect(world.session('S1')).toBeNull()
    expect(world.lease()).toMatchObject({ holder: bob })
  })

  it('of a session that never had a ticket leaves it to be opened again', () => {
    world.does(launch(sessionOf('S1', { origin: 'role-launch', relatedTickets: [] }), []))
    world.openable.add('S1')
    expect(opsOf(world.does(depart('S1')))).toEqual(['session'])
    expect(world.session('S1')).toMatchObject({ state: 'restorable', exitCode: 0 })
    world.openable.delete('S1')
    world.does(depart('S1'))
    expect(world.session('S1')).toBeNull()
  })

  it('of nobody is no mistake: somebody ended it first', () => expect(world.does(depart('S1'))).toEqual([]))
})

describe('what is said too late of an agent', () => {
  const before = { witness: null, binding: { live: 'live-S1' } }
  const after = { ...before, binding: { live: 'live-again' } }

  it.each([true, false])('changes nothing once another one works (kept: %s)', keep => {
    world.does(launch(sessionOf('S1'), group))
    world.make('S1', 'restorable')
    world.does(resumeSession('S1', after))
    world.lives.set('S1', 'alive')
    const resume = { command: ['old'], stored: null }
    expect(world.does(depart('S1', { agent: before, keep }))).toEqual([])
    expect(world.does({ ...tellSession('S1', 'c9'), agent: before, resume })).toEqual([])
    expect(world.session('S1')).toMatchObject({ state: 'live', clientSessionIds: [], resume: { stored: '/stored' } })
    expect(world.lease()).toMatchObject({ ttlSecs: 10 })
    expect(opsOf(world.does(depart('S1', { agent: after, keep })))).toEqual([keep ? 'renew' : 'release'])
  })

  it('is told by the process where nothing binds it', () => {
    const process = (pid: number, pidStartTicks: number) => ({
      binding: null,
      witness: { host: 'h', bootId: 'b', pidNs: 'p', timeNs: 't', pid, pidStartTicks },
    })
    world.does(launch(sessionOf('S1', process(7, 70))))
    world.make('S1', 'restorable')
    world.does(resumeSession('S1', process(8, 80)))
    for (const agent of [process(7, 70), process(8, 79), { witness: null, binding: null }])
      expect(world.does(depart('S1', { agent }))).toEqual([])
    expect(opsOf(world.does(depart('S1', { agent: process(8, 80) })))).toEqual(['renew'])
  })
})

describe('end-session', () => {
  it.each(standings)('by its own word or a person’s: a %s one, and its claim', standing => {
    for (const [id, force] of [
      ['S1', false],
      ['S2', true],
    ] as const) {
      const ticket = id.toLowerCase()
      const keys = [`ticket:${ticket}`, `branch:${ticket}`]
      world.does(launch(sessionOf(id, { relatedTickets: [ticket] }), keys))
      world.make(id, standing)
      const [entry, ...more] = world.does(endSession(id, { force }))
      expect(more).toEqual([])
      expect(entry!.operation).toMatchObject({ op: force ? 'force-evict' : 'release', resources: keys, reason: 'a person said so' })
      expect(told(entry!)).toMatchObject([{ sessionId: id, state: 'ended', endReason: 'a person said so' }])
      expect(world.lease(keys[1])).toBeNull()
      expect(world.session(id)).toBeNull()
    }
  })

  it('keeps what was said for the end of one whose end was recorded meanwhile', () => {
    world.does(launch(sessionOf('S1')))
    world.make('S1', 'gone')
    const [departed] = world.does(depart('S1', { keep: false, exitCode: 143 }))
    const [ended] = told(departed!)
    expect(world.refuses(endSession('S1', { force: true }))).toMatchObject({ kind: 'no-session' })
    const [entry, ...more] = world.does(endSession('S1', { force: true, ended: ended! }))
    expect(more).toEqual([])
    expect(entry!.operation.op).toBe('session')
    expect(told(entry!)).toEqual([{ ...ended, endReason: 'a person said so' }])
    expect(world.session('S1')).toBeNull()
  })

  it.each(standings)('only stale: a %s one', standing => {
    world.does(launch(sessionOf('S1')))
    world.make('S1', standing)
    const command = endSession('S1', { force: true, staleOnly: true })
    if (standing === 'stale') expect(opsOf(world.does(command))).toEqual(['force-evict'])
    else expect(world.refuses(command)).toMatchObject({ kind: 'session-is', standing, wanted: 'stale' })
  })
})

describe('tell-session', () => {
  it('adds an id that the client goes by, once', () => {
    world.does(launch(sessionOf('S1', { clientSessionIds: ['c1'] })))
    const [entry] = world.does(tellSession('S1', 'c2'))
    expect(entry!.operation.op).toBe('session')
    expect(world.session('S1')).toEqual(sessionOf('S1', { clientSessionIds: ['c1', 'c2'] }))
    expect(world.does(tellSession('S1', 'c2'))).toEqual([])
  })
})
