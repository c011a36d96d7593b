import type { Command, Launch, SessionCommand, Target } from './core/command.ts'
import type { Decision, Outcome } from './core/decision.ts'
import { decide } from './core/decide.ts'
import { evolve } from './core/evolve.ts'
import { Fault, isFault, isMoving, usage } from './core/fault.ts'
import { shellWord } from './core/shell-word.ts'
import type { Binding, EndedBy, Holder, Instant, Lease } from './core/lease.ts'
import { emptySlot } from './core/lease.ts'
import type { Entry } from './core/operation.ts'
import { endedBy, isOwnership } from './core/operation.ts'
import type { Policy } from './core/policy.ts'
import type { Presented, Refusal } from './core/refusal.ts'
import { refusalCode, retryAfterMs, wordRefusal } from './core/refusal.ts'
import { requireKeys } from './core/resource.ts'
import { sessionKey } from './core/session.ts'
import { sha256Hex } from './core/sha256.ts'
import { ulid } from './core/ulid.ts'
import type { Commit, LiveLock, Reading, ReservationLock, ReservationNote, Store } from './store/store.ts'

/** Who asks, and under which id the command may be repeated. */
export interface Caller {
  readonly holder: Holder
  /** The caller's own op_id; absent = one is made. The same id again gives the first answer. */
  readonly opId?: string
  /** The launch that the caller is, where it was launched: what is reserved for it will be its own in a moment. */
  readonly launchId?: string
}

/** "Yes": the leases as they are after the command, and what it ended. */
export interface Granted {
  readonly ok: true
  readonly leases: readonly Lease[]
  readonly ended: readonly Lease[]
  readonly alreadyHeld: boolean
  readonly late: boolean
  /** The op_id had been used before; this is the first answer again. */
  readonly replay: boolean
  /** On a replay: is that ownership still current? */
  readonly live: boolean
  /** On a replay: those of `leases` that are not current any more, by key, with the lease that is there now. */
  readonly lost: ReadonlyMap<string, Lease | null>
  readonly opId: string
  readonly now: Instant
  /** Positions of the records that were added. */
  readonly seqs: readonly number[]
  /** The liveness lock of a lease that is bound to this process. */
  readonly liveLock: LiveLock | null
  /** The hold of a launch, where that is no record. */
  readonly reservation: ReservationLock | null
}

/** "No", and why. Nothing was written for it. */
export interface Refused {
  readonly ok: false
  readonly refusal: Refusal
  readonly opId: string
  readonly now: Instant
  /** Position of the log that said no: what is written after it may change the answer. */
  readonly lastSeq: number
}

export type Answer = Granted | Refused

export interface AcquireRequest {
  /** Canonical keys, at most 32; all or nothing. */
  readonly resources: readonly string[]
  /** Seconds, 0 = indefinite (needs a reason). Absent = the policy's. */
  readonly ttlSecs?: number
  readonly reason?: string
  readonly branch?: string
  /** What whoever asks said of their own accord: what they hold already gets it too. */
  readonly news?: { readonly reason?: string; readonly branch?: string }
  readonly presented?: Presented
  /** Also what its last holder finished. */
  readonly finishedToo?: boolean
  /** End the lease with this process and the children that inherit its liveness lock. */
  readonly bind?: boolean
  /** Wait until it is free: milliseconds, or Infinity. */
  readonly waitMs?: number
  /** Called once when the command begins to wait. */
  readonly onWait?: (refusal: Refusal, now: Instant) => void
}

export interface TargetRequest {
  readonly target: Target
  readonly presented?: Presented
}

/** What every command is built from. */
type Asking = { readonly holder: Holder; readonly opId: string; readonly retry: boolean }

/** How long a launched agent waits for its launcher's record, milliseconds. */
const ownLaunchMs = 5000

/** A waiting acquirer looks again at least this often when what blocks it is bound to a process: a death writes no record. */
const deathCheckMs = 1000

/** How often it looks whether the leases have arrived, or stay. */
const movingCheckMs = 1000

/** No proof was shown; identity decides. */
const nothingPresented: Presented = { leaseId: null, token: null }

/** What a launch holds before its agent is seen to work. */
export interface LaunchHold {
  readonly lock: ReservationLock | null
  readonly live: LiveLock | null
  /** Of the reservation, where that is a record. */
  readonly token: number | null
}

interface RunOptions {
  readonly bind?: boolean
  readonly unbind?: LiveLock
  readonly reserve?: ReservationNote
  readonly unreserve?: ReservationLock
  readonly effect?: (outcome: Outcome) => void
  readonly label: string
}

/** Runs what has to be over when it returns. */
function atOnce(effect: () => unknown): void {
  const given = effect()
  if (typeof (given as Partial<Promise<unknown>> | null | undefined)?.then === 'function')
    throw usage(
      'the effect of guard gave a promise: what it goes on to do is not guarded',
      'do it in one go, without await; or hold the lease meanwhile and show its token where it counts',
    )
}

let minted = 0

/** Four bytes that count, then six that tell this process from every other. */
let unique: Buffer | undefined

/**
 * The one impure loop between those who ask and the rules: gather what the rules need, let the store run `decide` where nobody can come
 * between, and turn what happened into an answer. It grants nothing itself, and it does not know which store it works on.
 */
export class Coordinator {
  readonly #store: Store
  readonly #policy: Policy
  /** Makes what it mints different from every other process's: host, boot and pid are in it. */
  readonly #origin: string

  constructor(store: Store, policy: Policy, origin: string) {
    this.#store = store
    this.#policy = policy
    this.#origin = origin
  }

  /**
   * Takes resources, all or nothing; waits for them if asked to. Times out with the last refusal inside a `timeout` fault; throws `usage` for
   * what is no key.
   */
  async acquire(caller: Caller, request: AcquireRequest): Promise<Answer> {
    requireKeys(request.resources)
    const leaseId = this.#mint()
    const opId = caller.opId ?? this.#mint()
    const command = (binding: Binding | null): Command => ({
      type: 'acquire',
      holder: caller.holder,
      opId,
      retry: caller.opId !== undefined,
      resources: [...new Set(request.resources)].toSorted(),
      leaseId,
      ttlSecs: request.ttlSecs ?? null,
      branch: request.branch ?? null,
      ...(request.news === undefined ? {} : { news: request.news }),
      reason: request.reason ?? null,
      binding,
      presented: request.presented ?? nothingPresented,
      finishedToo: request.finishedToo === true,
    })
    const attempt = (): Promise<Answer> =>
      this.#run(command, opId, { bind: request.bind === true, label: `acquire ${request.resources[0] ?? ''}` })
    const tried = (): Promise<Answer> => (caller.launchId === undefined ? attempt() : this.#afterOwnLaunch(attempt, caller.launchId))
    return request.waitMs === undefined ? tried() : this.#waitFor(tried, request.waitMs, request.onWait)
  }

  /** A launched agent may ask for its ticket before the launcher has recorded that it is its own. */
  async #afterOwnLaunch(attempt: () => Promise<Answer>, launchId: string): Promise<Answer> {
    const until = performance.now() + ownLaunchMs
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- each attempt follows a change
      const answer = await attempt()
      const own = !answer.ok && answer.refusal.kind === 'reserved' && answer.refusal.reservation.launchId === launchId
      const left = until - performance.now()
      if (answer.ok || !own || left <= 0) return answer
      // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
      await this.#store.changed(answer.lastSeq, Math.min(left, deathCheckMs))
    }
  }

  /**
   * Holds keys for a launch: not durable, gone with this process and the agent that it shares the hold with. Where the store knows no such
   * locks it is a record that lapses after `ttlSecs`. The liveness lock is for the claim that may follow.
   */
  async reserve(
    caller: Caller,
    request: { readonly resources: readonly string[]; readonly note: ReservationNote; readonly ttlSecs: number },
  ): Promise<Answer> {
    const { note, ttlSecs } = request
    // A launch that claims nothing is seen, and can be ended, by the name that its session will have.
    const resources = request.resources.length > 0 ? request.resources : [sessionKey(note.launchId)]
    const command = (asked: Asking): Command => ({
      ...asked,
      type: 'reserve',
      resources: [...new Set(resources)],
      leaseId: this.#mint(),
      ttlSecs,
      branch: null,
      reason: null,
      binding: null,
      presented: nothingPresented,
      launchId: note.launchId,
    })
    return this.#ask({ holder: caller.holder }, command, this.#holding(note))
  }

  /** As `reserve`, for a session whose agent is to be started again. */
  holdSession(caller: Caller, sessionId: string, note: ReservationNote, ttlSecs: number): Promise<Answer> {
    const record = this.#reservesByLock ? null : { leaseId: this.#mint(), ttlSecs }
    return this.#ask({ holder: caller.holder }, asked => ({ ...asked, type: 'hold-session', sessionId, record }), this.#holding(note))
  }

  #holding(note: ReservationNote): Pick<RunOptions, 'bind' | 'reserve'> {
    return this.#reservesByLock ? { bind: true, reserve: note } : { bind: true }
  }

  get #reservesByLock(): boolean {
    return this.#store.capabilities.reservation === 'kernel-lock'
  }

  /** Records the claim and the session of a launched agent, and ends the reservation in the same step. */
  launch(
    caller: Caller,
    request: Pick<Launch, 'resources' | 'ttlSecs' | 'branch' | 'reason' | 'session'>,
    { lock, token }: LaunchHold,
  ): Promise<Answer> {
    const { resources, session } = request
    return this.#ask(
      { holder: caller.holder },
      asked => ({
        ...asked,
        ...request,
        type: 'launch',
        resources: [...new Set(resources)],
        leaseId: this.#mint(),
        binding: session.binding,
        launchId: session.sessionId,
        token,
      }),
      lock === null ? {} : { unreserve: lock },
    )
  }

  /** A launch came to nothing: what it held is free at once. */
  async abandon(caller: Caller, { lock, live, token }: LaunchHold, resource: string | null): Promise<void> {
    const outcome: Outcome = { resources: [], ended: [], endedSessions: [], alreadyHeld: false, late: false, replayOf: null }
    // A hold that somebody removed is free already, and no reason to keep the rest of it.
    const held = lock !== null && lock.isCurrent()
    if (!held) lock?.close()
    const options = { ...(held ? { unreserve: lock } : {}), ...(live === null ? {} : { unbind: live }) }
    if (token !== null && resource !== null)
      await this.release({ holder: caller.holder }, { target: { resource }, presented: { leaseId: null, token }, reason: 'launch failed' })
    await this.#store.transact(() => ({ ok: true, operations: [], outcome }), { ...options, label: 'abandon' })
  }

  /** Changes or ends a session; `lock` is the hold under which its agent was started again. */
  session(caller: Caller, change: (asked: Asking) => SessionCommand, lock: ReservationLock | null = null): Promise<Answer> {
    return this.#ask({ holder: caller.holder }, change, lock === null ? {} : { unreserve: lock })
  }

  /** A fresh id for a launch, and for the session that it may become. */
  mintId(): string {
    return this.#mint()
  }

  /** Takes the first of the candidates that nobody holds, in one step: two callers never get the same one. */
  acquireFirst(
    caller: Caller,
    request: Pick<AcquireRequest, 'ttlSecs' | 'reason' | 'branch'> & { readonly candidates: readonly string[] },
  ): Promise<Answer> {
    return this.#ask(caller, asked => ({
      ...asked,
      type: 'acquire-first',
      candidates: request.candidates,
      leaseId: this.#mint(),
      ttlSecs: request.ttlSecs ?? null,
      branch: request.branch ?? null,
      reason: request.reason ?? null,
      binding: null,
      presented: nothingPresented,
    }))
  }

  /**
   * Runs an effect while the caller's lease is proven current and nobody can take it; renews late. Nothing happens on a refusal. The effect
   * has to be over when it returns; throws `usage` when it gave a promise, which nothing guarded.
   */
  guard(caller: Caller, request: TargetRequest & { readonly effect: () => void }): Promise<Answer> {
    const { target, presented = nothingPresented, effect } = request
    // Not under the caller's op_id: proof is asked for each time.
    return this.#ask({ holder: caller.holder }, asked => ({ ...asked, type: 'guard', target, presented }), { effect: () => atOnce(effect) })
  }

  /** Runs an effect while no transaction of anybody on this machine can come between. It needs no lease, and leaves no record. */
  async exclusively(label: string, effect: () => void): Promise<void> {
    const outcome: Outcome = { resources: [], ended: [], endedSessions: [], alreadyHeld: false, late: false, replayOf: null }
    await this.#store.transact(() => ({ ok: true, operations: [], outcome }), { effect, label })
  }

  /** Moves the deadline: now + TTL. Also late, as long as nobody has evicted the lease. */
  renew(
    caller: Caller,
    request: TargetRequest & { readonly heartbeat?: boolean; readonly ttlSecs?: number; readonly note?: string; readonly reason?: string },
  ): Promise<Answer> {
    return this.#ask(caller, asked => ({
      ...asked,
      type: request.heartbeat === true ? 'heartbeat' : 'renew',
      target: request.target,
      presented: request.presented ?? nothingPresented,
      ttlSecs: request.ttlSecs ?? null,
      note: request.note ?? null,
      reason: request.reason ?? null,
    }))
  }

  /** Gives back; a group as a whole unless `only`. A holder that repeats its own release is told that it is done. */
  release(
    caller: Caller,
    request: TargetRequest & {
      readonly only?: boolean
      readonly reason?: string
      readonly outcome?: string
      readonly unbind?: LiveLock
      /** Runs in the same step, before the lease ends; what it throws leaves the lease as it is. */
      readonly effect?: () => void
    },
  ): Promise<Answer> {
    const { unbind, effect } = request
    return this.#ask(
      caller,
      asked => ({
        ...asked,
        type: 'release',
        target: request.target,
        presented: request.presented ?? nothingPresented,
        only: request.only === true,
        reason: request.reason ?? null,
        outcome: request.outcome ?? null,
      }),
      {
        ...(unbind === undefined ? {} : { unbind }),
        // A release that is repeated has nothing left to protect the effect with.
        ...(effect === undefined ? {} : { effect: ({ ended }: Outcome) => (ended.length > 0 ? effect() : undefined) }),
      },
    )
  }

  /** Hands over to another agent or worktree; the old token ends with it. */
  transfer(
    caller: Caller,
    request: TargetRequest & { readonly to: Holder; readonly toSession?: string; readonly ttlSecs?: number; readonly reason: string },
  ): Promise<Answer> {
    return this.#ask(caller, asked => ({
      ...asked,
      type: 'transfer',
      target: request.target,
      presented: request.presented ?? nothingPresented,
      to: request.to,
      ...(request.toSession === undefined ? {} : { toSession: request.toSession }),
      leaseId: this.#mint(),
      ttlSecs: request.ttlSecs ?? null,
      reason: request.reason,
    }))
  }

  /** Ends somebody's lease by a person's word. */
  evict(caller: Caller, request: { readonly target: Target; readonly reason: string; readonly token?: number }): Promise<Answer> {
    return this.#ask(caller, asked => ({
      ...asked,
      type: 'force-evict',
      target: request.target,
      reason: request.reason,
      token: request.token ?? null,
    }))
  }

  /** Records that the work of an ownership may be pushed although its lease was lost. */
  allow(
    caller: Caller,
    request: { readonly resource: string; readonly token: number; readonly leaseId: string; readonly reason: string },
  ): Promise<Answer> {
    return this.#ask(caller, asked => ({ ...asked, type: 'allow', ...request }))
  }

  /** Evicts what time or a proven death has ended: one key, or everything. */
  sweep(caller: Caller, resource: string | null = null): Promise<Answer> {
    return this.#ask(caller, asked => ({ ...asked, type: 'sweep', resource }))
  }

  /** State at this moment; never writes, never waits for a writer. `about`: as for a store. */
  view(about?: readonly string[]): Promise<Reading> {
    return this.#store.view(about)
  }

  /** How the ownership of a key with this token ended, and what its holder said came of it; null while it lasts, and where no record tells any more. */
  async endOf(resource: string, token: number): Promise<{ readonly by: EndedBy; readonly outcome: string | null } | null> {
    const past = (await this.view([resource])).past(resource)
    if (past?.token === token) return { by: past.endedBy, outcome: past.outcome }
    // Of those that ended only the newest is remembered; the log has them all.
    if (past === null || past.token > token)
      for await (const { operation } of this.#store.history({ resource, afterSeq: token })) {
        const by = 'resources' in operation && operation.resources.includes(resource) ? endedBy(operation) : null
        if (by !== null) return { by, outcome: operation.op === 'release' ? operation.outcome : null }
      }
    return null
  }

  /** Resolves when something may have been written after this position, or after a while. */
  changed(sinceSeq: number, timeoutMs: number): Promise<void> {
    return this.#store.changed(sinceSeq, timeoutMs)
  }

  #ask(caller: Caller, build: (asked: Asking) => Command, options: Omit<RunOptions, 'label'> = {}): Promise<Answer> {
    const opId = caller.opId ?? this.#mint()
    const command = build({ holder: caller.holder, opId, retry: caller.opId !== undefined })
    return this.#run(() => command, opId, { ...options, label: command.type })
  }

  async #run(command: (binding: Binding | null) => Command, opId: string, options: RunOptions): Promise<Answer> {
    const { decision, now, ...commit } = await this.#transact(command, opId, options)
    if (decision.ok) return granted(decision, { ...commit, decision, now }, opId)
    const { refusal } = decision
    if (refusal.kind !== 'unknown-lease') return { ok: false, refusal, opId, now, lastSeq: commit.lastSeq }
    // A lease id that nobody has may be one that ended; then the question is about the key it was for, with that id shown as proof.
    const resource = await this.#resourceOf(refusal.leaseId)
    if (resource === null) return { ok: false, refusal, opId, now, lastSeq: commit.lastSeq }
    const asked = command(null)
    if (takesProof(asked)) return this.#run(binding => about(command(binding), resource, refusal.leaseId), opId, options)
    const view = await this.#store.view()
    const past = view.past(resource)
    const presented = { leaseId: refusal.leaseId, token: null }
    const ended: Refusal = {
      kind: 'superseded',
      resource,
      lease: view.lease(resource),
      past: past?.leaseId === refusal.leaseId ? past : null,
      presented,
      evicting: asked.type === 'force-evict',
    }
    return { ok: false, refusal: ended, opId, now, lastSeq: commit.lastSeq }
  }

  async #transact(command: (binding: Binding | null) => Command, opId: string, options: RunOptions): Promise<Commit> {
    try {
      return await this.#store.transact((view, binding) => decide(command(binding), view, this.#policy), options)
    } catch (error) {
      throw withOpId(error, opId)
    }
  }

  async #resourceOf(leaseId: string): Promise<string | null> {
    let resource: string | null = null
    for await (const { operation } of this.#store.history()) {
      const index = 'leaseIds' in operation ? operation.leaseIds.indexOf(leaseId) : -1
      if (index >= 0 && 'resources' in operation) resource = operation.resources[index] ?? null
    }
    return resource
  }

  async #waitFor(attempt: () => Promise<Answer>, waitMs: number, onWait: AcquireRequest['onWait']): Promise<Answer> {
    const deadline = performance.now() + waitMs
    for (let told = false; ; told = true) {
      // oxlint-disable-next-line no-await-in-loop -- each attempt follows a change
      const answer = await whenMoved(attempt, deadline)
      if (answer.ok || refusalCode(answer.refusal) !== 'held') return answer
      if (!told) onWait?.(answer.refusal, answer.now)
      const left = deadline - performance.now()
      if (left <= 0) throw timedOut(answer, waitMs)
      // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
      await this.#untilWorthAsking(answer, left)
    }
  }

  /** Until something is written, the blocker's deadline passes, its process may have died, or our own time is over. */
  async #untilWorthAsking({ refusal, now, lastSeq }: Refused, leftMs: number): Promise<void> {
    const bound = refusal.kind === 'reserved' || ('lease' in refusal && refusal.lease?.binding !== null)
    const until = Math.min(
      retryAfterMs(refusal, now) ?? Number.POSITIVE_INFINITY,
      bound ? deathCheckMs : Number.POSITIVE_INFINITY,
      leftMs,
      maxTimerMs,
    )
    await this.#store.changed(lastSeq, Math.ceil(until) + 1)
  }

  /** A fresh ULID. Not random: boot, process, clock and a counter make it unique, and loading randomness would cost more than the claim. */
  #mint(): string {
    unique ??= Buffer.from(sha256Hex(Buffer.from(`${this.#origin}/${process.pid}/${process.hrtime.bigint()}`), 24).slice(0, 20), 'hex')
    minted++
    for (let at = 0; at < 4; at++) unique[at] = minted >>> (8 * (3 - at))
    return ulid(Date.now(), unique)
  }
}

/** Longest time for one timer, milliseconds: Node counts to 2^31 - 1, beyond that it warns and does not wait. */
const maxTimerMs = 2 ** 31 - 1000

/** Commands that are judged by what is presented. Of the others none may be turned from an ended lease to whoever holds the key now. */
const takesProof = (command: Command): command is Extract<Command, { target: Target; presented: Presented }> =>
  'target' in command && 'presented' in command

/** The same command about a key, with the lease id as proof. */
const about = (command: Command, resource: string, leaseId: string): Command =>
  takesProof(command) ? { ...command, target: { resource }, presented: { ...command.presented, leaseId } } : command

function granted(decision: Extract<Decision, { ok: true }>, commit: Commit, opId: string): Granted {
  const { outcome } = decision
  const first = outcome.replayOf
  const replayed = first === null ? null : firstAnswer(first, outcome.resources, commit)
  return {
    ok: true,
    leases: replayed?.leases ?? commit.leases,
    ended: replayed?.ended ?? outcome.ended,
    alreadyHeld: outcome.alreadyHeld,
    late: outcome.late,
    replay: first !== null,
    live: replayed?.live ?? true,
    lost: replayed?.lost ?? noneLost,
    opId,
    now: commit.now,
    seqs: commit.entries.map(({ seq }) => seq),
    liveLock: commit.live,
    reservation: commit.reservation,
  }
}

const noneLost: Granted['lost'] = new Map()

/** What a command answered the first time about these keys, rebuilt from its record: the leases as they are, or as they were. */
function firstAnswer(entry: Entry, resources: readonly string[], commit: Commit): Pick<Granted, 'leases' | 'ended' | 'live' | 'lost'> {
  const { operation } = entry
  const asked = (leases: readonly Lease[]) => compared(leases, resources, entry.seq, commit.leases)
  if (isOwnership(operation)) return asked(operation.resources.map(resource => evolve(emptySlot, entry, resource).lease!))
  if (operation.op === 'renew' || operation.op === 'heartbeat') return asked(leasesOf(entry, operation))
  if (operation.op === 'allow') return { leases: [], ended: [], live: true, lost: noneLost }
  return { leases: [], ended: 'resources' in operation ? leasesOf(entry, operation) : [], live: false, lost: noneLost }
}

/**
 * Leases of a first answer beside those that there are now: the present ones stand for those that last. What its holder had before is in the
 * answer and not in the record; when it has ended since, no lease can stand for it.
 */
function compared(
  recorded: readonly Lease[],
  resources: readonly string[],
  seq: number,
  current: readonly Lease[],
): ReturnType<typeof firstAnswer> {
  const lost = new Map<string, Lease | null>()
  const leases = resources.flatMap(resource => {
    const first = recorded.find(lease => lease.resource === resource)
    const now = current.find(lease => lease.resource === resource) ?? null
    if (now !== null && (first === undefined ? now.token < seq : now.token === first.token)) return now
    lost.set(resource, now)
    return first ?? []
  })
  return { leases, ended: [], live: lost.size === 0, lost }
}

/** The leases that a record is about, as far as the record itself tells. */
function leasesOf(
  entry: Entry,
  operation: Exclude<Extract<Entry['operation'], { resources: readonly string[] }>, { op: 'allow' }>,
): readonly Lease[] {
  const holder = 'holder' in operation ? operation.holder : operation.previousHolder
  const token = 'token' in operation ? operation.token : 'previousToken' in operation ? operation.previousToken : entry.seq
  const terms = {
    op: 'acquire',
    actor: operation.actor,
    opId: operation.opId,
    ttlSecs: 'ttlSecs' in operation ? operation.ttlSecs : 0,
    staleSecs: 0,
    branch: null,
    reason: null,
    binding: null,
    from: null,
  } as const
  const start = { ...entry, operation: { ...terms, resources: operation.resources, leaseIds: operation.leaseIds, holder } }
  return operation.resources.map(resource => ({ ...evolve(emptySlot, start, resource).lease!, token }))
}

function timedOut({ refusal, now, opId }: Refused, waitMs: number): Fault {
  const { message } = wordRefusal(refusal, now)
  return new Fault('timeout', `waited ${Math.round(waitMs / 100) / 10} s, and ${message}`, {
    hint: `${'lease' in refusal && refusal.lease !== null ? `see: lh why ${shellWord(refusal.lease.resource)}, or wait` : 'wait'} longer`,
    details: { op_id: opId },
  })
}

/** Whoever has to ask again needs the id to ask under. */
function withOpId(error: unknown, opId: string): unknown {
  if (!isFault(error) || error.details?.['outcome'] === undefined) return error
  return new Fault(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: { ...error.details, op_id: opId },
    cause: error,
  })
}

/**
 * While the leases are on their way to another store nobody can say who has what: it is tried again when that is over. `deadline` is as
 * `performance.now` counts, milliseconds; what is thrown from then on, and all else, is thrown on.
 */
export async function whenMoved<T>(attempt: () => Promise<T>, deadline: number): Promise<T> {
  for (;;) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- each attempt follows a pause
      return await attempt()
    } catch (error) {
      const left = deadline - performance.now()
      if (!isMoving(error) || left <= 0) throw error
      // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
      await new Promise(resolve => void setTimeout(resolve, Math.min(left, movingCheckMs)))
    }
  }
}
