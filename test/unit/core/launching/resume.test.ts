import { beforeEach, describe, expect, it } from 'vitest'
import type { HoldSession } from '../../../../src/core/command.ts'
import { refusalCode } from '../../../../src/core/refusal.ts'
import { acquire, bob, on, release, renew } from '../../../support/cast.ts'
import {
  t1,
  group,
  World,
  launcher,
  sessionOf,
  holderOf,
  launch,
  depart,
  holdSession,
  resumeSession,
  endSession,
  tellSession,
  opsOf,
  standings,
} from '../../../support/launching.ts'

// The agent of a session is started again.

let world: World

beforeEach(() => {
  world = new World()
})

describe('hold-session and resume-session', () => {
  it.each(standings)('a %s session', standing => {
    world.does(launch(sessionOf('S1'), group))
    world.make('S1', standing)
    if (standing === 'restorable') {
      expect(world.does(holdSession('S1'))[0]!.operation).toMatchObject({ op: 'reserve', resources: group })
      return
    }
    for (const command of [holdSession('S1'), resumeSession('S1')]) {
      const refusal = world.refuses(command)
      expect(refusal).toMatchObject({ kind: 'session-is', standing, wanted: 'restorable' })
      expect(refusalCode(refusal)).toBe(standing === 'live' ? 'held' : 'policy')
    }
  })

  it('of nobody', () => {
    for (const command of [holdSession('S1'), resumeSession('S1'), endSession('S1'), tellSession('S1', 'c')])
      expect(world.refuses(command)).toEqual({ kind: 'no-session', sessionId: 'S1' })
  })

  it('holds no key of which a launch is in flight', () => {
    world.does(launch(sessionOf('S1'), group))
    world.make('S1', 'restorable')
    const reservation = {
      resource: group[2]!,
      launchId: 'S2',
      role: 'dev',
      agentId: 'a',
      pid: 7,
      launcherAlive: true,
      agent: null,
      ageMs: 5,
      lockFile: null,
    }
    world.reserved.set(group[2]!, reservation)
    expect(world.refuses(holdSession('S1'))).toEqual({ kind: 'reserved', reservation })
  })

  it.each([
    ['after its agent left in order', true],
    ['after it was killed', false],
  ])('goes on with a new token, a deadline and its own lease ids %s', (_how, inOrder) => {
    world.does(launch(sessionOf('S1'), group))
    world.make('S1', 'restorable')
    if (inOrder) world.does(depart('S1'))
    const before = group.map(key => world.lease(key)!)
    const [entry, ...more] = world.does(
      resumeSession('S1', { binding: { live: 'live-S1' }, clientSessionIds: ['c2'], resume: { command: ['claude', 'c2'], stored: null } }),
    )
    expect(more).toEqual([])
    expect(entry!.operation).toMatchObject({ op: 'resume', resources: group, from: { token: before[0]!.token } })
    for (const [at, key] of group.entries())
      expect(world.lease(key)).toMatchObject({
        token: entry!.seq,
        leaseId: before[at]!.leaseId,
        ttlSecs: 10,
        deadlineM: world.clock.m + 10_000,
        note: null,
        reason: null,
        acquiredAt: before[at]!.acquiredAt,
      })
    world.lives.set('S1', 'alive')
    expect(world.session('S1')).toMatchObject({
      state: 'live',
      exitCode: null,
      clientSessionIds: ['c2'],
      resume: { command: ['claude', 'c2'] },
      evidence: { at: 2 },
    })
    expect(world.standing('S1')).toBe('live')
    // What the old agent left running shows the old token.
    const { leaseId, token } = before[0]!
    expect(world.refuses(renew(holderOf(sessionOf('S1')), on(t1), { presented: { leaseId, token } }))).toMatchObject({ kind: 'superseded' })
  })

  it('goes on without a claim where it has none', () => {
    world.does(launch(sessionOf('S1', { origin: 'role-launch', relatedTickets: [] }), []))
    world.make('S1', 'restorable')
    expect(opsOf(world.does(resumeSession('S1')))).toEqual(['session'])
    world.lives.set('S1', 'alive')
    expect(world.refuses(resumeSession('S1'))).toMatchObject({ kind: 'session-is', standing: 'live' })
  })
})

it('a session without a claim is held by its own name where a lock holds it', () => {
  world.does(launch(sessionOf('S1', { origin: 'role-launch', relatedTickets: [] }), []))
  world.make('S1', 'restorable')
  expect(world.does(holdSession('S1'))[0]!.operation).toMatchObject({ op: 'reserve', resources: ['session:S1'] })
})

describe.each([
  ['with a claim', group],
  ['without one', []],
])('a session %s that is held by a record while its agent starts', (_what, keys) => {
  const key = 'session:S1'
  const hold = (leaseId: string): HoldSession => holdSession('S1', { leaseId, ttlSecs: 5 })
  const session = sessionOf('S1', keys.length === 0 ? { origin: 'role-launch', relatedTickets: [] } : {})
  let token: number

  beforeEach(() => {
    world.does(launch(session, keys))
    world.make('S1', 'restorable')
    token = world.does(hold('L1'))[0]!.seq
  })

  it('is held by one of those who try, and its claim is as it was', () => {
    const before = keys.map(resource => world.lease(resource))
    for (const command of [hold('L2'), resumeSession('S1'), endSession('S1'), endSession('S1', { force: true, staleOnly: true })]) {
      const refusal = world.refuses(command)
      expect(refusal).toMatchObject({ kind: 'opening', session: { sessionId: 'S1' } })
      expect(refusalCode(refusal)).toBe('held')
    }
    expect(keys.map(resource => world.lease(resource))).toEqual(before)
    for (const lease of before) expect(lease).toMatchObject({ state: 'held' })
    world.does(release(launcher, on(key)))
    expect(world.does(hold('L2'))[0]!.operation).toMatchObject({ op: 'reserve', resources: [key] })
  })

  it('is open in the step that ends the hold', () => {
    expect(world.refuses(resumeSession('S1', { token: token - 1 }))).toMatchObject({ kind: 'superseded' })
    const entries = world.does(resumeSession('S1', { token }))
    expect(opsOf(entries)).toEqual(['release', keys.length === 0 ? 'session' : 'resume'])
    expect(world.lease(key)).toBeNull()
    world.lives.set('S1', 'alive')
    expect(world.standing('S1')).toBe('live')
  })

  it('is held by the next when its launcher was silent for too long, who then opens nothing', () => {
    world.clock.advance(10_000)
    const entries = world.does(hold('L2'))
    expect(opsOf(entries)).toEqual(['auto-evict', 'reserve'])
    expect(world.refuses(resumeSession('S1', { token }))).toMatchObject({ kind: 'superseded' })
    world.does(resumeSession('S1', { token: entries[1]!.seq }))
  })

  it('is open without a hold where one that lapsed is in the way', () => {
    expect(world.refuses(resumeSession('S1'))).toMatchObject({ kind: 'opening' })
    world.clock.advance(10_000)
    expect(opsOf(world.does(resumeSession('S1')))).toEqual(['auto-evict', keys.length === 0 ? 'session' : 'resume'])
    expect(world.lease(key)).toBeNull()
  })

  it('is not taken from whoever claimed its name by hand', () => {
    world.does(release(launcher, on(key)))
    world.does(acquire(bob, key))
    expect(world.refuses(hold('L2'))).toMatchObject({ kind: 'held', lease: { holder: bob } })
    world.clock.advance(20_000)
    expect(opsOf(world.does(hold('L2')))).toEqual(['auto-evict', 'reserve'])
  })

  it('is ended with what a launcher left that is gone', () => {
    world.clock.advance(10_000)
    expect(opsOf(world.does(endSession('S1')))).toEqual(['release', keys.length === 0 ? 'session' : 'release'])
    expect([world.session('S1'), world.lease(key)]).toEqual([null, null])
  })
})
