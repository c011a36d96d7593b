import { randomUUID } from 'node:crypto'
import type { Decision, Outcome } from '../../core/decision.ts'
import { Fault, isFault } from '../../core/fault.ts'
import type { Holder, Instant, Lease } from '../../core/lease.ts'
import type { BeatOperation, Entry, Operation } from '../../core/operation.ts'
import { isOwnership } from '../../core/operation.ts'
import { isPath } from '../../core/resource.ts'
import { blockerOf } from '../../core/refusal.ts'
import { sessionKeyPrefix } from '../../core/session.ts'
import { sha256Hex } from '../../core/sha256.ts'
import { launchedWith } from '../../core/standing.ts'
import type { View } from '../../core/view.ts'
import type { Clock } from '../../host/clock.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'
import type { Capabilities, Commit, Decider, HistoryQuery, LiveLock, Reading, Store, TransactOptions } from '../store.ts'
import { refuseMoved } from '../moved.ts'
import { Convoy } from './convoy.ts'
import { Effects } from './effects.ts'
import { Facts, Missing, noWants } from './facts.ts'
import type { Claim, Wants } from './facts.ts'
import { fetchFacts, maxSteps, readingOnRefusal } from './fetch.ts'
import { Gateway } from './gateway.ts'
import type { Access } from './gateway.ts'
import { asUnknown, codes, isEngineError, overCompactions } from './gateway.ts'
import { Heart } from './heart.ts'
import { membersOf } from './health.ts'
import { historyOf } from './history.ts'
import { Names } from './keys.ts'
import { RealLeases } from './leases.ts'
import type { EngineLeases } from './leases.ts'
import { absent, only, pairsOf, put, revisionOf, unchanged } from './messages.ts'
import type { NestedRequest, RangeAnswer, TxnAnswer } from './messages.ts'
import { comparesOf, mostSteps, planOf, settled, stepsOf, writes, writesSettings } from './plan.ts'
import type { Needed, Plan } from './plan.ts'
import { positionOf, revisionUntil } from './positions.ts'
import { boundSecs, realTiming } from './timing.ts'
import type { Timing } from './timing.ts'
import type { Place } from './url.ts'
import { headToValue, logFromPair } from './values.ts'
import type { SpaceSettings } from './values.ts'
import { untilChanged } from './watch.ts'

export interface EtcdStoreOptions {
  readonly place: Place
  readonly access: Access
  readonly clock: Clock
  readonly lock: () => KernelLock
  /** Where this clone keeps the lock of its effects; made when there is one. */
  readonly localDirectory: string
  /** Git's `core.sharedRepository`, for that directory. */
  readonly shared?: boolean
  /** How long a command tries to win against others that want the same, milliseconds. */
  readonly lockWaitMs: number
  /** Fixed when the space is made. When the caller chose them and the space has others, it refuses. */
  readonly limits: SpaceSettings['limits']
  /** Of them, those that somebody chose. */
  readonly limitsChosen: readonly (keyof SpaceSettings['limits'])[]
  /** For one call to one member, milliseconds. */
  readonly timeoutMs?: number
  readonly timing?: Timing
  /** Replaced in tests, where time stands still. */
  readonly engineLeases?: (gateway: Gateway) => EngineLeases
}

/** For one call to one member, milliseconds: longer than an election, shorter than a person's patience. */
const defaultTimeoutMs = 2000

/** Version of the layout that this code writes. */
const writerVersion = 2

/** An op_id is remembered for at least a day: seconds that the engine lease of a day's op_ids lasts. */
const memorySecs = 2 * 86_400

/** Most that a loser waits before it tries again, milliseconds. */
const longestPauseMs = 50

/** The rules, with all they were told beside the view. */
type Rules = (view: View) => Decision

/** What was decided, on what, and what it means. */
interface Decided {
  readonly decision: Decision
  readonly facts: Facts
  readonly plan: Plan | null
}

/** What a long command has done so far: each part is a history that could have ended there. */
interface Progress {
  readonly entries: Entry[]
  readonly ended: Lease[]
  effectRan: boolean
}

/** To be decided once more: because others were faster, or because only a part was done. `known`: what is there now, where that was told. */
interface Again {
  readonly isPart: boolean
  readonly known: Facts | null
}

/** Where a transaction was done. */
interface Written {
  readonly revision: number
  readonly place: number
}

const again: Again = { isPart: false, known: null }

/** A guard is attached to what is suspected within this time, milliseconds. */
const guardMomentMs = 200

/** Losses after which somebody who lost begins to wait a little. */
const quickTries = 2

/** Keys of which a process remembers how it left them. */
const maxLeft = 1000

/**
 * Leases in etcd: a command reads what it is about, decides, and writes in one transaction that compares every head it read; who loses reads
 * and decides again. Ownership is a permanent key; engine leases only carry the sign of life beside it (see timing.ts). A token is
 * counted from the revision of the transaction that made the owner, the idea of etcd's own `concurrency` package.
 */
export class EtcdStore implements Store {
  readonly capabilities: Capabilities = {
    reservation: 'record',
    durable: true,
    shared: true,
    binding: false,
    gapless: false,
    beats: 'engine',
  }
  readonly location: string
  readonly warnings: readonly string[] = []
  readonly gateway: Gateway
  readonly names: Names
  readonly #options: EtcdStoreOptions
  readonly #timing: Timing
  readonly #engine: EngineLeases
  readonly #effects: Effects
  readonly #convoy: Convoy
  readonly #heart: Heart
  /** What a new space begins with. */
  readonly #fresh: SpaceSettings
  /** What was seen last of the space as a whole. */
  #space: { readonly settings: SpaceSettings; readonly settingsMod: number; readonly revision: number } | null = null
  /** Keys as this process left them. */
  readonly #left = new Map<string, Claim>()
  /** Ends with the last effect that was asked for in this process. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: EtcdStoreOptions) {
    this.#options = options
    this.location = options.place.shown
    this.names = new Names(options.place.space)
    this.gateway = new Gateway({
      endpoints: options.place.endpoints,
      access: options.access,
      timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
    })
    this.#fresh = { space: randomUUID(), tokenBase: 0, minWriter: writerVersion, limits: options.limits }
    this.#timing = options.timing ?? realTiming
    this.#engine = (options.engineLeases ?? (gateway => new RealLeases(gateway)))(this.gateway)
    this.#heart = new Heart(this.#engine)
    this.#convoy = new Convoy(this.gateway)
    this.#effects = new Effects(options.lock, options.localDirectory, options.shared === true, options.lockWaitMs)
  }

  async transact(decide: Decider, options: TransactOptions = {}): Promise<Commit> {
    const before = this.#turn
    if (options.effect === undefined) {
      await before
      return this.#run(decide, options)
    }
    const done = before.then(() => this.#effects.alone(() => this.#run(decide, options)))
    this.#turn = done.catch(() => undefined)
    return done
  }

  async view(about?: readonly string[]): Promise<Reading> {
    const wants = noWants()
    wants.limits = true
    if (about === undefined) wants.all = true
    else for (const resource of about) wants.claims.add(resource)
    wants.paths = about?.some(isPath) === true
    const facts = await this.#read(wants)
    const engineLeases = [...facts.claims.values()].flatMap(({ beat, guard }) => [beat, guard]).filter(id => id !== null)
    facts.remaining = await this.#engine.remaining(engineLeases)
    // Op_ids are looked up one by one, and only for a command.
    return { ...facts.view(), recall: () => null, warnings: [], answeredBy: this.gateway.endpoint, members: () => membersOf(this.gateway) }
  }

  async *history(query: HistoryQuery = {}): AsyncGenerator<Entry> {
    const base = query.afterSeq === undefined ? 0 : (await this.#read(noWants())).base
    yield* historyOf(this.gateway, this.names, query, base)
  }

  async changed(sinceSeq: number, timeoutMs: number): Promise<void> {
    const base = (this.#space?.settings ?? (await this.#read(noWants())).settings)?.tokenBase ?? 0
    await untilChanged(this.gateway, this.names, revisionUntil(sinceSeq, base), timeoutMs)
  }

  close(): void {
    this.#heart.close()
    this.gateway.close()
  }

  // ── deciding ──

  #now(): Instant {
    const { wall } = this.#options.clock.now()
    // No machine's own clock judges here, so there is one for all, and it is for people.
    return { b: 'etcd', m: wall, wall }
  }

  async #read(wants: Wants): Promise<Facts> {
    const facts = await overCompactions(async () => {
      const read = new Facts(this.#now(), this.#timing, wants)
      await fetchFacts(this.gateway, this.names, read, this.location)
      return read
    })
    refuseMoved(facts.settings?.move, this.location, false)
    facts.isRead = true
    this.#learn(facts)
    return facts
  }

  #learn({ settings, settingsMod, revision }: Facts): void {
    if (settings === null) return
    // What a command is refused for is looked at each time: a move ends, and limits are changed.
    const isRefused = settings.move !== undefined || settings.minWriter > writerVersion || this.#otherLimit(settings) !== undefined
    this.#space = isRefused ? null : { settings, settingsMod, revision: Math.max(revision, this.#space?.revision ?? 0) }
  }

  /**
   * What can be decided on without looking: each key as this process left it, and those that it never saw as if nobody ever had them. A
   * transaction compares all of it, so a wrong guess costs nothing but the try.
   */
  #guessed(wants: Wants): Facts {
    const facts = new Facts(this.#now(), this.#timing, wants)
    if (this.#space === null) return facts
    Object.assign(facts, this.#space)
    facts.guess = this.#left
    facts.isRead = true
    return facts
  }

  /** Asks the rules until they have seen all they wanted to see. */
  async #decide(decide: Rules, options: TransactOptions, wants: Wants, known: Facts): Promise<Decided> {
    let facts = known
    for (let reads = 0; ; reads++) {
      try {
        const view = facts.view()
        const decision = shortened(decide(view), view)
        const plan = decision.ok ? planOf(decision.operations, decision.outcome.resources, facts) : null
        if (facts.guess === null ? !facts.isRead && !decision.ok : !this.#mayLeap(plan, facts, options)) throw new Missing()
        return { decision, facts, plan }
      } catch (error) {
        if (!(error instanceof Missing)) throw error
        if (reads > 0) facts.rehearse(decide)
        // oxlint-disable-next-line no-await-in-loop -- a decision that was shown more may ask for more
        facts = await this.#read(wants)
      }
    }
  }

  /**
   * Is everything that a guess led to compared by the transaction? Nobody says "no" without having looked, nor "it is still so", nor that
   * somebody else was passed over; and whether a holder was late is the engine's to say.
   */
  #mayLeap(plan: Plan | null, facts: Facts, options: TransactOptions): boolean {
    if (plan === null || options.effect !== undefined || facts.suspects.size > 0 || plan.renewals.size > 0) return false
    const isBeat = plan.entries.some(({ operation }) => 'late' in operation)
    return writes(plan) && !isBeat && [...facts.wants.claims].every(resource => plan.changes.has(resource))
  }

  /** What marks a lease as this process's own: a second one of the same holder is refused, and it ends soon after nobody renews it. */
  #bind(): LiveLock {
    const live = randomUUID().replaceAll('-', '')
    this.#heart.start(live)
    return { live, fd: null, close: () => this.#heart.stop(live) }
  }

  async #run(decider: Decider, options: TransactOptions): Promise<Commit> {
    const live = options.bind === true ? this.#bind() : null
    try {
      return this.#bound(await this.#untilDone(view => decider(view, live), options), live, options)
    } catch (error) {
      live?.close()
      throw error
    }
  }

  async #untilDone(decide: Rules, options: TransactOptions): Promise<Commit> {
    const progress: Progress = { entries: [], ended: [], effectRan: false }
    try {
      return await this.#inParts(decide, options, progress)
    } catch (error) {
      throw progress.entries.length > 0 ? asUnknown(error) : error
    }
  }

  async #inParts(decide: Rules, options: TransactOptions, progress: Progress): Promise<Commit> {
    let until = performance.now() + this.#options.lockWaitMs
    const wants = noWants()
    let known = this.#guessed(wants)
    for (let lost = 0; ;) {
      // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
      const done = await this.#attempt(await this.#decide(decide, options, wants, known), decide, options, progress)
      if ('decision' in done) return done
      // What was done counts: however long all of it takes, each part has the time of a command.
      if (done.isPart) until = performance.now() + this.#options.lockWaitMs
      if (!done.isPart && performance.now() > until) throw busy(this.location)
      if (!done.isPart && ++lost > quickTries)
        // oxlint-disable-next-line no-await-in-loop -- who lost against many waits a little, each another time
        await new Promise(resolve => setTimeout(resolve, Math.random() * Math.min(longestPauseMs, 2 ** Math.min(lost, 10))))
      // oxlint-disable-next-line no-await-in-loop -- as it is now
      known = done.known ?? (await this.#read(wants))
    }
  }

  /** A binding that no record has is let go, and so is one whose lease has ended. */
  #bound(commit: Commit, live: LiveLock | null, { unbind }: TransactOptions): Commit {
    if (commit.decision.ok) unbind?.close()
    if (isKept(live, commit)) return { ...commit, live }
    live?.close()
    return commit
  }

  /** Does what was decided; or says that others were faster, or that a part is done and the rest has to be decided anew. */
  async #attempt(decided: Decided, decide: Rules, options: TransactOptions, progress: Progress): Promise<Commit | Again> {
    const { decision, facts, plan } = decided
    if (facts.isRead) refuseMoved(facts.settings?.move, this.location, false)
    if (!decision.ok || plan === null) return this.#refusal(decided, decide, progress)
    if (facts.isRead) this.#refuseForeign(facts, decision.operations.length > 0)
    if (!writes(plan)) {
      if (facts.settings === null && facts.isRead && !(await this.#begin(facts))) return again
      if (!(await this.#checkThen(plan, facts, options, decision.outcome, progress))) return again
      if (!(await this.#renew(plan, facts))) return again
      await this.#weigh(facts)
      return this.#commit(decision, facts, [], await this.#withRemaining(decided), progress)
    }
    const { plan: part, isWhole } = this.#fitting(decision.operations, decision.outcome, facts, plan)
    if (isWhole && !(await this.#checkThen(part, facts, options, decision.outcome, progress))) return again
    if (!(await this.#renew(part, facts))) return again
    const engineLeases = await this.#ensureAll(part.needed)
    const written = await this.#write(part, facts, engineLeases)
    if (!('revision' in written)) return written
    const position = this.#apply(part, facts, engineLeases, written)
    await this.#forgetEngineLeases(part, facts)
    for (const resource of part.changes.keys()) facts.suspects.delete(resource)
    // It is done: whoever asks next weighs what could not be weighed now.
    await this.#weigh(facts).catch(onlyFault)
    if (isWhole) return this.#commit(decision, facts, settledEntries(part, position), facts, progress)
    progress.entries.push(...settledEntries(part, position))
    progress.ended.push(...decision.outcome.ended.filter(({ resource }) => part.changes.has(resource)))
    // What it was decided on is what is there, as far as this process knows: the next part compares that too.
    return { isPart: true, known: facts }
  }

  /** A refusal, after what it calls for was begun: whoever is found silent is weighed from now on. */
  async #refusal(decided: Decided, decide: Rules, progress: Progress): Promise<Commit> {
    const { facts } = decided
    await this.#weigh(facts)
    let { decision } = decided
    const blocker = decision.ok ? null : blockerOf(decision.refusal)
    const claim = blocker === null ? undefined : facts.claims.get(blocker.resource)
    if (claim !== undefined && (claim.beat ?? claim.guard) !== null) {
      // How long it still lasts is asked only where somebody is told.
      facts.remaining = await this.#engine.remaining([claim.beat, claim.guard].filter(id => id !== null))
      decision = decide(facts.view())
    }
    return {
      decision,
      now: facts.now,
      lastSeq: facts.isRead ? facts.lastSeq : 0,
      entries: progress.entries,
      leases: [],
      live: null,
      reservation: null,
    }
  }

  /** What is left of leases that are shown as they were found; those that were just renewed have all of it. */
  async #withRemaining({ decision, facts, plan }: Decided): Promise<Facts> {
    if (!decision.ok) return facts
    const beats = decision.outcome.resources
      .map(resource => facts.claims.get(resource)?.beat ?? null)
      .filter((id): id is string => id !== null && plan?.renewals.has(id) !== true)
    if (beats.length === 0) return facts
    facts.remaining = await this.#engine.remaining(beats)
    return facts
  }

  #commit(decision: Extract<Decision, { ok: true }>, facts: Facts, entries: readonly Entry[], shown: Facts, progress: Progress): Commit {
    const leases = decision.outcome.resources
      .map(resource => (shown.claims.has(resource) ? shown.lease(resource) : null))
      .filter(lease => lease !== null)
    const outcome =
      progress.ended.length === 0 ? decision.outcome : { ...decision.outcome, ended: [...progress.ended, ...decision.outcome.ended] }
    return {
      decision: { ...decision, outcome },
      now: facts.now,
      lastSeq: facts.isRead ? facts.lastSeq : 0,
      entries: [...progress.entries, ...entries],
      leases,
      live: null,
      reservation: null,
    }
  }

  #refuseForeign({ settings }: Facts, isWriting: boolean): void {
    if (settings === null) return
    const details = { outcome: 'nothing_changed' }
    refuseMoved(settings.move, this.location, isWriting)
    if (isWriting && settings.minWriter > writerVersion)
      throw new Fault('unavailable', `${this.location} is used by a newer Leasehold`, { hint: 'upgrade leasehold', details })
    const key = this.#otherLimit(settings)
    if (key !== undefined)
      throw new Fault(
        'usage',
        `${key} is ${settings.limits[key]} in ${this.location}, and ${this.#options.limits[key]} in this configuration`,
        {
          hint: 'limits are the same for everybody: leave the setting out here, or change it for all with lh config set',
        },
      )
  }

  /** A limit that somebody chose here, and that is another one in the space. */
  #otherLimit({ limits }: SpaceSettings): keyof SpaceSettings['limits'] | undefined {
    return this.#options.limitsChosen.find(key => limits[key] !== this.#options.limits[key])
  }

  // ── writing ──

  /** As many operations as one transaction takes, from the first on. */
  #fitting(
    operations: readonly Operation[],
    outcome: Outcome,
    facts: Facts,
    whole: Plan,
  ): { readonly plan: Plan; readonly isWhole: boolean } {
    if (mostSteps(whole) <= maxSteps) return { plan: whole, isWhole: true }
    let plan = whole
    // Each operation takes a step at least: a sweep of thousands is not tried in every length.
    for (let count = Math.min(operations.length, maxSteps); count > 0; count--) {
      if (count < operations.length) plan = planOf(operations.slice(0, count), [], facts)
      const making = {
        names: this.names,
        transaction: '',
        engineLeases: plan.needed.map(() => '0'),
        memory: '0',
        settings: this.#fresh,
        place: 0,
      }
      if (stepsOf(plan, facts, making).length <= maxSteps && comparesOf(plan, facts, this.names).length <= maxSteps)
        return { plan, isWhole: count === operations.length }
    }
    throw new Error(`one record about ${outcome.resources.length} keys is more than one transaction takes`)
  }

  /** Makes the space. False when somebody else just did. */
  async #begin(facts: Facts): Promise<boolean> {
    return 'revision' in (await this.#write(planOf([], [], facts), facts, []))
  }

  /** Writes in one transaction; resolves to where that was done, or to what is there when something is not as it was read. */
  async #write(plan: Plan, facts: Facts, engineLeases: readonly string[]): Promise<Written | Again> {
    const transaction = randomUUID()
    const memory = plan.remembered === null ? null : await this.#memory()
    const making = { names: this.names, transaction, engineLeases, memory, settings: this.#fresh }
    const known = new Facts(this.#now(), this.#timing, facts.wants)
    const reading = readingOnRefusal(this.names, known, this.location)
    const request = (place: number): NestedRequest => ({
      compare: comparesOf(plan, facts, this.names),
      success: stepsOf(plan, facts, { ...making, place }),
      failure: reading?.steps ?? [],
    })
    try {
      const { succeeded, responses, revision, place, mayBeDone } = await this.#convoy.send({ about: aboutOf(plan, facts), request })
      if (succeeded) return { revision, place }
      const found = mayBeDone ? await this.#find(plan, transaction).catch(asUnknownThrown) : null
      if (found !== null) return { revision: found, place }
      if (reading === null) return again
      reading.take(responses, revision)
      this.#learn(known)
      return { isPart: false, known }
    } catch (error) {
      // The engine lease of a session ended just now: the next attempt makes it anew.
      if (!isEngineError(error, codes.notFound)) throw error
      this.#engine.doubt(engineLeases)
      return again
    }
  }

  /** The revision of a transaction whose answer was lost, if it was done. */
  async #find(plan: Plan, transaction: string): Promise<number | null> {
    const [first] = plan.logs
    if (first === undefined) return null
    const { body } = await this.gateway.call<RangeAnswer>('/v3/kv/range', only(this.names.log(first.resource, first.n)))
    const [pair] = pairsOf(body)
    return pair !== undefined && logFromPair(pair)?.transaction === transaction ? pair.mod : null
  }

  /** Renews engine leases; false when one is gone, which the facts did not know. */
  async #renew({ renewals }: Plan, facts: Facts): Promise<boolean> {
    const renewed = await Promise.all([...renewals.keys()].map(async id => [id, await this.#engine.renew(id)] as const))
    const fresh = new Map(facts.remaining)
    for (const [id] of renewed) fresh.delete(id)
    facts.remaining = fresh
    return renewed.every(([, alive]) => alive)
  }

  #ensureAll(needed: readonly Needed[]): Promise<readonly string[]> {
    return Promise.all(
      needed.map(({ holder, lease }) => {
        const secs = this.#timing.engineSecs(lease)!
        return this.#engine.ensure(this.#sharedLease(holder, lease, secs), secs)
      }),
    )
  }

  /**
   * The claims of one session that last equally long share one engine lease: renewing one of them renews them all. What ends before its
   * session does, a reservation or a process's own, has one of its own.
   */
  #sharedLease(holder: Holder, { state, binding }: Pick<Lease, 'state' | 'binding'>, engineSecs: number): string | null {
    if (holder.sessionId === null || state === 'pending' || binding !== null) return null
    return idOf([this.names.root, holder.agentId, holder.worktreeId, holder.sessionId, String(engineSecs)])
  }

  async #memory(): Promise<string> {
    const id = idOf([this.names.root, 'op_ids', String(Math.floor(Date.now() / 86_400_000))])
    await this.#engine.keep(id, memorySecs)
    return id
  }

  /** What was written, into what is known; the position of it. */
  #apply(plan: Plan, facts: Facts, engineLeases: readonly string[], { revision, place }: Written): number {
    if (writesSettings(facts, writerVersion))
      Object.assign(facts, { settings: { ...(facts.settings ?? this.#fresh), minWriter: writerVersion }, settingsMod: revision })
    facts.revision = revision
    const position = positionOf(facts.base, revision, place)
    const remaining = new Map(facts.remaining)
    for (const [resource, { before, head, beat }] of plan.changes) {
      const fresh = beat.kind === 'new' ? engineLeases[beat.number]! : null
      if (fresh !== null) remaining.delete(fresh)
      const after: Claim = {
        head: { ...head, slot: settled(head.slot, position), engineLease: beat.kind === 'keep' ? head.engineLease : fresh },
        mod: revision,
        beat: beat.kind === 'keep' ? before.beat : fresh,
        guard: null,
      }
      facts.claims.set(resource, after)
      const { lease } = after.head.slot
      if (fresh !== null && lease !== null && lease.binding !== null) this.#heart.follow(lease.binding.live, fresh)
      this.#left.delete(resource)
      this.#left.set(resource, after)
    }
    facts.remaining = remaining
    this.#learn(facts)
    for (const resource of this.#left.keys()) {
      if (this.#left.size <= maxLeft) break
      this.#left.delete(resource)
    }
    return position
  }

  /** Engine leases that nothing is attached to any more end now, and not when their time is over. */
  async #forgetEngineLeases(plan: Plan, facts: Facts): Promise<void> {
    const left = new Set<string>()
    for (const { before, beat } of plan.changes.values()) {
      const { lease } = before.head.slot
      if (lease === null || before.beat === null || beat.kind === 'keep') continue
      const secs = this.#timing.engineSecs(lease)
      if (secs !== null && this.#sharedLease(lease.holder, lease, secs) !== before.beat) left.add(before.beat)
    }
    for (const { beat } of facts.claims.values()) if (beat !== null) left.delete(beat)
    await Promise.all([...left].map(id => this.#engine.revoke(id)))
  }

  // ── effects ──

  /** Runs the effect if everything is still as it was decided on. It runs once, whatever becomes of the records after it. */
  async #checkThen(plan: Plan, facts: Facts, options: TransactOptions, outcome: Outcome, progress: Progress): Promise<boolean> {
    if (options.effect === undefined || progress.effectRan) return true
    if (facts.isRead) {
      const { body } = await this.gateway.call<TxnAnswer>('/v3/kv/txn', { compare: comparesOf(plan, facts, this.names) })
      if (body.succeeded !== true) return false
    }
    options.effect(outcome)
    progress.effectRan = true
    return true
  }

  // ── weighing ──

  /** The first of two looks: from now on an eviction is being weighed, unless the holder speaks. Who else did the same is as good. */
  async #weigh(facts: Facts): Promise<void> {
    const guards = new Map<number, Guard>()
    for (const lease of facts.suspects.values()) {
      const secs = this.#timing.guardSecs(lease.ttlSecs)
      // oxlint-disable-next-line no-await-in-loop -- hardly ever more than one, and a sweep has time
      const revision = await this.#suspect(facts, lease, secs, guards)
      if (revision !== null) facts.revision = Math.max(facts.revision, revision)
    }
  }

  /** One guard serves many for a moment only: each holder has all of its time from when they are suspected. */
  async #guard(secs: number, guards: Map<number, Guard>): Promise<Guard> {
    const known = guards.get(secs)
    if (known !== undefined && performance.now() - known.at < guardMomentMs) return known
    const at = performance.now()
    const guard = { at, id: await this.#engine.ensure(null, secs) }
    guards.set(secs, guard)
    return guard
  }

  async #suspect(facts: Facts, lease: Lease, secs: number, guards: Map<number, Guard>): Promise<number | null> {
    const { resource, token } = lease
    const claim = facts.claims.get(resource)
    if (claim === undefined) return null
    const head = { ...claim.head, suspect: token }
    const compare = [
      unchanged(this.names.cfg, facts.settingsMod),
      unchanged(this.names.head(resource), claim.mod),
      absent(this.names.beat(resource)),
    ]
    const guard = await this.#guard(secs, guards)
    const success = [put(this.names.head(resource), headToValue(head, facts.base)), put(this.names.guard(resource), '1', guard.id)]
    try {
      const { body } = await this.gateway.call<TxnAnswer>('/v3/kv/txn', { compare, success })
      // What was long on its way, as through a pause, took a part of the guard with it.
      if (performance.now() - guard.at > 2 * guardMomentMs) await this.#engine.renew(guard.id)
      return body.succeeded === true ? revisionOf(body) : null
    } catch (error) {
      // The guard ended before anything was attached to it: this process stood still, and the next look weighs.
      if (isEngineError(error, codes.notFound)) return null
      throw error
    }
  }
}

/** An engine lease for guards, and when it was asked for on this process's clock. */
interface Guard {
  readonly at: number
  readonly id: string
}

/** Passes over what the world did; throws a mistake of ours. */
function onlyFault(error: unknown): void {
  if (!isFault(error)) throw error
}

function asUnknownThrown(error: unknown): never {
  throw asUnknown(error)
}

const isKept = (live: LiveLock | null, { entries }: Commit): boolean =>
  live !== null && entries.some(({ operation }) => 'binding' in operation && operation.binding?.live === live.live)

/** What is bound to a process has a short TTL, whatever is asked for later: that it died cannot be proven to another machine. */
function shortened(decision: Decision, view: View): Decision {
  if (!decision.ok) return decision
  const short = (secs: number): number => (secs === 0 ? boundSecs : Math.min(secs, boundSecs))
  const operations = decision.operations.map(each => {
    if (isOwnership(each)) return each.binding === null ? each : { ...each, ttlSecs: short(each.ttlSecs) }
    const isBeat = each.op === 'renew' || each.op === 'heartbeat'
    return isBeat && short(each.ttlSecs) !== each.ttlSecs && isBound(each, view) ? { ...each, ttlSecs: short(each.ttlSecs) } : each
  })
  return { ...decision, operations }
}

/** Does this ownership end with its process? A launched claim does not: its session says what becomes of it. */
function isBound({ resources }: BeatOperation, view: View): boolean {
  const lease = view.lease(resources[0]!)
  return lease !== null && lease.binding !== null && launchedWith(lease, view) === null
}

/** The records with the position that their transaction got. */
const settledEntries = ({ entries }: Plan, seq: number): readonly Entry[] => entries.map(entry => ({ ...entry, seq }))

/**
 * What a transaction shares with others: every key that it compares, writes, or would bring back when it is refused; paths and sessions as a
 * whole where it looks at all of them. Null where that is more than can be named.
 */
function aboutOf(plan: Plan, facts: Facts): ReadonlySet<string> | null {
  const { wants } = facts
  if (wants.all || writesSettings(facts, writerVersion) || plan.movesPaths || plan.counted !== null) return null
  const keys = [...wants.claims, ...plan.changes.keys(), ...plan.watched]
  const opId = plan.remembered?.operation.opId ?? null
  const looksAtPaths = wants.paths || keys.some(isPath)
  const looksAtSessions = wants.sessions || keys.some(key => key.startsWith(sessionKeyPrefix))
  return new Set([
    ...keys,
    ...(opId === null ? [] : [`op_id ${opId}`]),
    ...(looksAtPaths ? ['paths'] : []),
    ...(looksAtSessions ? ['sessions'] : []),
  ])
}

const encoder = new TextEncoder()

/** An id for an engine lease, the same for everybody who names these words: 60 bits, decimal, never 0. */
const idOf = (words: readonly string[]): string =>
  BigInt(`0x1${sha256Hex(encoder.encode(JSON.stringify(words)), 16).slice(0, 14)}`).toString()

function busy(location: string): Fault {
  return new Fault('unavailable', `too many others change the same leases in ${location} at this moment`, {
    hint: 'try again',
    details: { outcome: 'nothing_changed' },
  })
}
