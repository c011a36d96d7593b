import { beforeEach, describe, expect, it } from 'vitest'
import type { Asked, Command, Depart, EndSession, HoldSession, Launch, ResumeSession, TellSession } from '../../../src/core/command.ts'
import { decide } from '../../../src/core/decide.ts'
import type { Holder, Lease } from '../../../src/core/lease.ts'
import type { Entry, Operation } from '../../../src/core/operation.ts'
import type { Policy } from '../../../src/core/policy.ts'
import type { Refusal, Reservation } from '../../../src/core/refusal.ts'
import { refusalCode, retryAfterMs, wordRefusal } from '../../../src/core/refusal.ts'
import { launchedLease } from '../../../src/core/launching.ts'
import { sessionStanding } from '../../../src/core/standing.ts'
import type { Life, Session, SessionStanding } from '../../../src/core/session.ts'
import type { View } from '../../../src/core/view.ts'
import { FullState } from '../../../src/store/state.ts'
import { viewOf } from '../../../src/store/view.ts'
import {
  StillClock,
  acquire,
  acquireFirst,
  bob,
  eve,
  evict,
  freshId,
  holder,
  on,
  release,
  renew,
  sweep,
  tightPolicy,
  transfer,
} from '../../support/cast.ts'

// What the rules say of launched agents, in a world where the facts are whatever a test says they are. Ttl 10 s, stale after 20 s, two
// indefinite leases for an agent and three in all.

const t1 = 'ticket:t1'
const group = [t1, 'worktree:w1', 'branch:work/t1']
const policy: Policy = tightPolicy

/** The log, and a machine on which processes live and die as told. */
class World {
  readonly clock = new StillClock()
  readonly state = new FullState()
  readonly log: Entry[] = []
  readonly lives = new Map<string, Life>()
  readonly openable = new Set<string>()
  readonly reserved = new Map<string, Reservation>()

  get view(): View {
    return viewOf(this.state, this.clock.now(), {
      recall: opId => this.log.find(({ operation }) => operation.opId === opId) ?? null,
      boundDead: ({ binding }) => this.lives.get(binding?.live.replace('live-', '') ?? '') === 'dead',
      reservation: key => this.reserved.get(key) ?? null,
      reservations: () => [...this.reserved.values()],
      life: ({ sessionId }) => this.lives.get(sessionId) ?? 'alive',
      restorable: ({ sessionId }) => this.openable.has(sessionId),
      limits: null,
    })
  }

  /** The command must be accepted; its records. */
  does(command: Command, chosen: Partial<Policy> = {}): readonly Entry[] {
    const decision = decide(command, this.view, { ...policy, ...chosen })
    if (!decision.ok) throw new Error(`${command.type} was refused: ${JSON.stringify(decision.refusal)}`)
    return decision.operations.map(operation => this.append(operation))
  }

  refuses(command: Command, chosen: Partial<Policy> = {}): Refusal {
    const decision = decide(command, this.view, { ...policy, ...chosen })
    if (decision.ok) throw new Error(`${command.type} was accepted, but must not be: ${JSON.stringify(decision.operations)}`)
    return decision.refusal
  }

  append(operation: Operation): Entry {
    const { wall, ...clk } = this.clock.now()
    const entry = { seq: this.state.lastSeq + 1, at: wall, clk, operation }
    this.state.apply(entry)
    this.log.push(entry)
    return entry
  }

  lease(key = t1): Lease | null {
    return this.view.lease(key)
  }

  session(sessionId: string): Session | null {
    return this.view.session(sessionId)
  }

  standing(sessionId: string): SessionStanding {
    const session = this.session(sessionId)!
    return sessionStanding(session, launchedLease(session, this.view), this.view)
  }

  /** Brings a launched session to a standing. */
  make(sessionId: string, standing: SessionStanding): void {
    const openable = standing === 'restorable'
    const life = ({ live: 'alive', restorable: 'dead', stale: 'unknown', gone: 'dead' } as const)[standing]
    this.lives.set(sessionId, life)
    if (openable) this.openable.add(sessionId)
    else this.openable.delete(sessionId)
    if (standing === 'stale') this.clock.advance(10_000)
    expect(this.standing(sessionId)).toBe(standing)
  }
}

const launcher = holder('human:ann')
const asked = (who: Holder = launcher): Asked => ({ holder: who, opId: freshId(), retry: false })
const evidence = { kind: 'tool-call', seen: 'Write', confirmed: true, at: 1 }

const sessionOf = (sessionId: string, chosen: Partial<Session> = {}): Session => ({
  sessionId,
  name: `dev-${sessionId.toLowerCase()}`,
  role: 'dev',
  origin: 'ticket-claim',
  profile: 'claude',
  agentId: 'agent:dev',
  worktreeId: 'wt:00000009',
  cwd: '/repo/w1',
  witness: null,
  binding: { live: `live-${sessionId}` },
  clientSessionIds: [],
  relatedTickets: ['t1'],
  peers: [],
  evidence,
  resume: { command: ['claude', '--resume', 'c1'], stored: '/stored' },
  launchedBy: 'human:ann',
  startedAt: 1,
  state: 'live',
  endedAt: null,
  endReason: null,
  exitCode: null,
  ...chosen,
})

const holderOf = ({ agentId, worktreeId, sessionId }: Session): Holder => ({ agentId, worktreeId, sessionId, witness: null })

const launch = (session: Session, resources: readonly string[] = [t1], chosen: Partial<Launch> = {}): Launch => ({
  ...asked(holderOf(session)),
  type: 'launch',
  resources,
  leaseId: freshId(),
  ttlSecs: null,
  branch: null,
  reason: null,
  binding: session.binding,
  session,
  launchId: session.sessionId,
  token: null,
  ...chosen,
})
const depart = (sessionId: string, chosen: Partial<Depart> = {}): Depart => ({
  ...asked(),
  type: 'depart',
  sessionId,
  agent: null,
  exitCode: 0,
  reason: 'its agent ended',
  keep: true,
  ...chosen,
})
const holdSession = (sessionId: string, record: HoldSession['record'] = null): HoldSession => ({
  ...asked(),
  type: 'hold-session',
  sessionId,
  record,
})
const resumeSession = (sessionId: string, chosen: Partial<ResumeSession> = {}): ResumeSession => ({
  ...asked(),
  type: 'resume-session',
  sessionId,
  witness: null,
  binding: { live: `live-${sessionId}` },
  evidence: { ...evidence, at: 2 },
  resume: null,
  clientSessionIds: [],
  token: null,
  ...chosen,
})
const endSession = (sessionId: string, chosen: Partial<EndSession> = {}): EndSession => ({
  ...asked(),
  type: 'end-session',
  sessionId,
  reason: 'a person said so',
  force: false,
  staleOnly: false,
  ...chosen,
})
const tellSession = (sessionId: string, clientSessionId: string): TellSession => ({
  ...asked(),
  type: 'tell-session',
  sessionId,
  agent: null,
  clientSessionId,
  resume: null,
})

const opsOf = (entries: readonly Entry[]): readonly string[] => entries.map(({ operation }) => operation.op)
const told = ({ operation }: Entry): readonly Session[] => ('sessions' in operation ? (operation.sessions ?? []) : [])
const standings: readonly SessionStanding[] = ['live', 'restorable', 'stale', 'gone']

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
