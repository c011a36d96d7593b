import type { Instant, Lease } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { isPath } from '../../core/resource.ts'
import { sessionKey } from '../../core/session.ts'
import type { Session } from '../../core/session.ts'
import type { Lapse, View } from '../../core/view.ts'
import { vitality } from '../../host/process.ts'
import { isRestorable } from '../restorable.ts'
import type { Remaining } from './leases.ts'
import { positionOf } from './positions.ts'
import type { Timing } from './timing.ts'
import { emptyHead } from './values.ts'
import type { Counted, Head, SpaceSettings } from './values.ts'

/** What is known of one key, as of one revision. */
export interface Claim {
  readonly head: Head
  /** Revision of the head's last write; 0 when there is none. */
  readonly mod: number
  /** The engine lease of the beat that is there; null = the holder is silent. */
  readonly beat: string | null
  /** The engine lease of the guard that is there; null = no eviction is being weighed. */
  readonly guard: string | null
}

export const unknownClaim: Claim = { head: emptyHead, mod: 0, beat: null, guard: null }

/** What a decision asked for and has to be fetched. */
export interface Wants {
  readonly claims: Set<string>
  readonly leaseIds: Set<string>
  readonly opIds: Set<string>
  paths: boolean
  limits: boolean
  sessions: boolean
  all: boolean
}

export const noWants = (): Wants => ({
  claims: new Set(),
  leaseIds: new Set(),
  opIds: new Set(),
  paths: false,
  limits: false,
  sessions: false,
  all: false,
})

const nobody: Lease = {
  leaseId: '',
  resource: '',
  state: 'held',
  holder: { agentId: '', worktreeId: '', sessionId: null, witness: null },
  token: 0,
  ttlSecs: 1,
  staleSecs: 0,
  acquiredAt: 0,
  lastBeatAt: 0,
  beat: { b: '', m: 0 },
  deadlineM: null,
  branch: null,
  reason: null,
  note: null,
  binding: null,
  group: null,
}

const heldClaim: Claim = { ...unknownClaim, head: { ...emptyHead, slot: { lease: nobody, past: null, session: null } }, beat: '0' }

/** Stops a decision that asked for what is not here. Private to this store: nobody else ever sees it. */
export class Missing extends Error {
  override readonly name = 'Missing'
}

/** A part of the space as it was at one revision, and the view of it that a decision gets. */
export class Facts {
  readonly now: Instant
  readonly timing: Timing
  /** Everything that was asked for since the first attempt. */
  readonly wants: Wants
  settings: SpaceSettings | null = null
  settingsMod = 0
  revision = 0
  readonly claims = new Map<string, Claim>()
  /** Which of `wants` were fetched. */
  hasPaths = false
  pathsMod = 0
  limits: readonly Counted[] | null = null
  limitsMod = 0
  hasSessions = false
  hasAll = false
  readonly resourceOf = new Map<string, string | null>()
  readonly ops = new Map<string, Entry | null>()
  /** What is left of engine leases, where that was asked. */
  remaining: ReadonlyMap<string, Remaining> = new Map()
  /** Leases that a decision found silent, and that nobody weighs yet. */
  readonly suspects = new Map<string, Lease>()
  /** False before the first reading: then nothing is known, and a decision that needs nothing is made all the same. */
  isRead = false
  /** What to take for true without looking: a transaction compares it, and nothing else may be done on it. Null = nothing is guessed. */
  guess: ReadonlyMap<string, Claim> | null = null
  /** What a rehearsal is shown for a key that is not here: its answer is thrown away, only what it asks for counts. */
  #rehearsal: Claim | null = null

  constructor(now: Instant, timing: Timing, wants: Wants) {
    this.now = now
    this.timing = timing
    this.wants = wants
  }

  get base(): number {
    return this.settings?.tokenBase ?? 0
  }

  /** Position of the newest record there can be. */
  get lastSeq(): number {
    return this.isRead ? positionOf(this.base, this.revision) : Number.POSITIVE_INFINITY
  }

  /** Finds out what else a decision will ask for: once as if all else were free, once as if all else were held. */
  rehearse(decide: (view: View) => unknown): void {
    for (const shown of [unknownClaim, heldClaim]) {
      this.#rehearsal = shown
      try {
        decide(this.view())
      } catch {
        // What it asked for until then is noted.
      }
    }
    this.#rehearsal = null
    this.suspects.clear()
  }

  claim(resource: string): Claim {
    const known = this.claims.get(resource)
    if (known !== undefined) return known
    if (this.hasAll || (this.hasPaths && isPath(resource))) return unknownClaim
    // The lease that a rehearsal shows is of no key.
    if (resource !== nobody.resource) this.wants.claims.add(resource)
    if (this.guess !== null) return this.guess.get(resource) ?? unknownClaim
    if (this.#rehearsal !== null) return this.#rehearsal
    throw new Missing()
  }

  /** A lease as it looks now: how long it still lasts is the engine's word, not what was written when it was taken. */
  lease(resource: string): Lease | null {
    const { head, beat } = this.claim(resource)
    return head.slot.lease === null ? null : this.seen(head.slot.lease, beat)
  }

  seen(lease: Lease, beat: string | null): Lease {
    const { now } = this
    const ttlMs = lease.ttlSecs * 1000
    const silentMs = this.#silentMs(lease, beat)
    const left = beat === null ? 0 : Math.max(1, ttlMs - silentMs)
    return {
      ...lease,
      lastBeatAt: now.wall - silentMs,
      beat: { b: now.b, m: now.m - silentMs },
      deadlineM: lease.ttlSecs === 0 ? null : now.m + left,
    }
  }

  /** Since when the holder has not been heard of: at least, where the engine knows no more. */
  #silentMs(lease: Lease, beat: string | null): number {
    const engineSecs = this.timing.engineSecs(lease)
    if (engineSecs === null) return Math.max(0, this.now.wall - lease.lastBeatAt)
    if (beat === null) return Math.max((lease.ttlSecs === 0 ? lease.staleSecs : lease.ttlSecs) * 1000, 0)
    const left = this.remaining.get(beat)
    return left === undefined ? 0 : Math.max(0, left.grantedMs - left.remainingMs)
  }

  lapse(lease: Lease): Lapse {
    const { head, beat, guard } = this.claim(lease.resource)
    if (lease.ttlSecs === 0 || beat !== null) return { state: 'running' }
    const guardMs = this.timing.guardSecs(lease.ttlSecs) * 1000
    if (guardMs === 0) return { state: 'over' }
    const weighed = head.suspect === lease.token
    if (weighed && guard === null) return { state: 'over' }
    if (!weighed) this.suspects.set(lease.resource, lease)
    const left = guard === null ? undefined : this.remaining.get(guard)
    return { state: 'lapsing', retryAfterMs: left === undefined ? guardMs : Math.max(1, left.remainingMs) }
  }

  view(): View {
    const { settings } = this
    return {
      now: this.now,
      lastSeq: this.lastSeq,
      limits:
        settings === null
          ? null
          : {
              maxIndefinitePerAgent: settings.limits.max_indefinite_leases_per_agent,
              maxIndefinitePerRepo: settings.limits.max_indefinite_leases_per_repo,
            },
      lease: resource => this.lease(resource),
      past: resource => this.claim(resource).head.slot.past,
      byLeaseId: leaseId => this.#byLeaseId(leaseId),
      paths: () => this.#paths(),
      all: () => this.#all(),
      indefinite: () => this.#indefinite(),
      recall: opId => this.#recall(opId),
      lapse: lease => this.lapse(lease),
      // A process of another machine cannot be proven dead. What ends with its process is renewed by it every few seconds, and was looked
      // at twice.
      boundDead: lease => lease.binding !== null && this.lapse(lease).state === 'over',
      // A launch in flight is a record like any other: a lease that is pending.
      reservation: () => null,
      reservations: () => [],
      session: sessionId => this.claim(sessionKey(sessionId)).head.slot.session,
      sessions: () => this.#sessions(),
      life: ({ witness }) => (witness === null ? 'unknown' : vitality(witness)),
      restorable: isRestorable,
    }
  }

  #byLeaseId(leaseId: string): Lease | null {
    if (this.hasAll) {
      for (const lease of this.#all()) if (lease.leaseId === leaseId) return lease
      return null
    }
    const resource = this.resourceOf.get(leaseId)
    if (resource === undefined) {
      this.wants.leaseIds.add(leaseId)
      throw new Missing()
    }
    const lease = resource === null ? null : this.lease(resource)
    return lease?.leaseId === leaseId ? lease : null
  }

  #paths(): readonly Lease[] {
    if (this.hasPaths || this.hasAll) return this.#leases().filter(({ resource }) => isPath(resource))
    this.wants.paths = true
    throw new Missing()
  }

  #all(): readonly Lease[] {
    if (this.hasAll) return this.#leases()
    this.wants.all = true
    throw new Missing()
  }

  #leases(): readonly Lease[] {
    const leases: Lease[] = []
    for (const { head, beat } of this.claims.values()) if (head.slot.lease !== null) leases.push(this.seen(head.slot.lease, beat))
    return leases
  }

  #sessions(): readonly Session[] {
    if (!this.hasSessions && !this.hasAll) {
      this.wants.sessions = true
      throw new Missing()
    }
    return [...this.claims.values()].flatMap(({ head: { slot } }) => (slot.session === null ? [] : [slot.session]))
  }

  #indefinite(): readonly Counted[] {
    if (this.limits !== null) return this.limits
    this.wants.limits = true
    throw new Missing()
  }

  #recall(opId: string): Entry | null {
    const known = this.ops.get(opId)
    if (known !== undefined) return known
    this.wants.opIds.add(opId)
    throw new Missing()
  }
}
