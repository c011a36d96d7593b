import { expect } from 'vitest'
import type { Asked, Command, Depart, EndSession, HoldSession, Launch, ResumeSession, TellSession } from '../../src/core/command.ts'
import { decide } from '../../src/core/decide.ts'
import type { Holder, Lease } from '../../src/core/lease.ts'
import type { Entry, Operation } from '../../src/core/operation.ts'
import type { Policy } from '../../src/core/policy.ts'
import type { Refusal, Reservation } from '../../src/core/refusal.ts'
import { launchedLease } from '../../src/core/launching.ts'
import { sessionStanding } from '../../src/core/standing.ts'
import type { Life, Session, SessionStanding } from '../../src/core/session.ts'
import type { View } from '../../src/core/view.ts'
import { FullState } from '../../src/store/state.ts'
import { viewOf } from '../../src/store/view.ts'
import { StillClock, freshId, holder, tightPolicy } from './cast.ts'

// Launched agents in a world where the facts are whatever a test says they are. Ttl 10 s, stale after 20 s, two indefinite leases for an
// agent and three in all.

export const t1 = 'ticket:t1'
export const group = [t1, 'worktree:w1', 'branch:work/t1']
export const policy: Policy = tightPolicy

/** The log, and a machine on which processes live and die as told. */
export class World {
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

export const launcher = holder('human:ann')
export const asked = (who: Holder = launcher): Asked => ({ holder: who, opId: freshId(), retry: false })
export const evidence = { kind: 'tool-call', seen: 'Write', confirmed: true, at: 1 }

export const sessionOf = (sessionId: string, chosen: Partial<Session> = {}): Session => ({
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

export const holderOf = ({ agentId, worktreeId, sessionId }: Session): Holder => ({ agentId, worktreeId, sessionId, witness: null })

export const launch = (session: Session, resources: readonly string[] = [t1], chosen: Partial<Launch> = {}): Launch => ({
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
export const depart = (sessionId: string, chosen: Partial<Depart> = {}): Depart => ({
  ...asked(),
  type: 'depart',
  sessionId,
  agent: null,
  exitCode: 0,
  reason: 'its agent ended',
  keep: true,
  ...chosen,
})
export const holdSession = (sessionId: string, record: HoldSession['record'] = null): HoldSession => ({
  ...asked(),
  type: 'hold-session',
  sessionId,
  record,
})
export const resumeSession = (sessionId: string, chosen: Partial<ResumeSession> = {}): ResumeSession => ({
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
export const endSession = (sessionId: string, chosen: Partial<EndSession> = {}): EndSession => ({
  ...asked(),
  type: 'end-session',
  sessionId,
  reason: 'a person said so',
  force: false,
  staleOnly: false,
  ...chosen,
})
export const tellSession = (sessionId: string, clientSessionId: string): TellSession => ({
  ...asked(),
  type: 'tell-session',
  sessionId,
  agent: null,
  clientSessionId,
  resume: null,
})

export const opsOf = (entries: readonly Entry[]): readonly string[] => entries.map(({ operation }) => operation.op)
export const told = ({ operation }: Entry): readonly Session[] => ('sessions' in operation ? (operation.sessions ?? []) : [])
export const standings: readonly SessionStanding[] = ['live', 'restorable', 'stale', 'gone']
