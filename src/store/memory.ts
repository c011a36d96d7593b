import type { Instant, Lease } from '../core/lease.ts'
import type { Entry, Operation } from '../core/operation.ts'
import { isExpired } from '../core/lease.ts'
import type { Lapse, View } from '../core/view.ts'
import { isPlainBeat } from './beats.ts'
import { matches } from './history.ts'
import { FullState } from './state.ts'
import type { Capabilities, Commit, Decider, HistoryQuery, LiveLock, Reading, Store, TransactOptions } from './store.ts'
import { viewOf } from './view.ts'

export interface MemoryOptions {
  /** The store's clock. */
  readonly now: () => Instant
  /**
   * Milliseconds between the first suspicion that a lease has ended and its eviction. A store whose clock may be wrong needs it (see
   * the etcd store); 0 evicts at the deadline.
   */
  readonly guardMs?: number
  /** `engine`: a renewal that says no more than that the holder lives leaves no record. */
  readonly beats?: Capabilities['beats']
}

/** The reference store: everything in this process, nothing durable. The simulator and the model tests run on it. */
export class MemoryStore implements Store {
  readonly capabilities: Capabilities
  readonly location = 'memory:'
  readonly warnings: readonly string[] = []
  readonly #now: () => Instant
  readonly #guardMs: number
  readonly #state = new FullState()
  readonly #entries: Entry[] = []
  /** Since when each ownership is suspected to have ended, on the store's clock. */
  readonly #suspected = new Map<number, number>()
  readonly #alive = new Set<string>()
  /** Op_ids that a command asked for: their callers chose them, and may ask again. */
  readonly #recalled = new Set<string>()
  #waiting: (() => void)[] = []
  #bindings = 0

  constructor(options: MemoryOptions) {
    this.#now = options.now
    this.#guardMs = options.guardMs ?? 0
    const beats = options.beats ?? 'record'
    this.capabilities = { reservation: 'record', durable: false, shared: false, binding: true, gapless: true, beats }
  }

  // oxlint-disable-next-line typescript/require-await -- one synchronous step, so nothing can come between view and records
  async transact(decide: Decider, options: TransactOptions = {}): Promise<Commit> {
    const now = this.#instant()
    const live = options.bind === true ? this.#bind() : null
    const decision = decide(this.#view(now), live)
    if (decision.ok) this.#run(() => options.effect?.(decision.outcome), live)
    const entries = decision.ok ? decision.operations.flatMap(operation => this.#append(operation, now)) : []
    const kept = entries.some(({ operation }) => 'binding' in operation && operation.binding?.live === live?.live) ? live : null
    if (kept === null) live?.close()
    if (decision.ok) options.unbind?.close()
    const resources = decision.ok ? decision.outcome.resources : []
    const leases = resources.map(resource => this.#state.slot(resource).lease).filter((lease): lease is Lease => lease !== null)
    return { decision, now, lastSeq: this.#state.lastSeq, entries, leases, live: kept, reservation: null }
  }

  // oxlint-disable-next-line typescript/require-await -- the interface is asynchronous, memory is not
  async view(): Promise<Reading> {
    const now = this.#instant()
    // A reader may see that the guard runs, but it does not start one.
    return { ...this.#view(now), lapse: lease => this.#lapse(lease, now, false), warnings: [] }
  }

  async *history(query: HistoryQuery = {}): AsyncGenerator<Entry> {
    for (const entry of this.#entries) if (matches(entry, query)) yield entry
  }

  async changed(sinceSeq: number, timeoutMs: number): Promise<void> {
    if (this.#state.lastSeq > sinceSeq) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#waiting.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  close(): void {
    this.#wake()
  }

  /** The store's clock never goes back: a reading that does is taken for the last one. */
  #instant(): Instant {
    const now = this.#now()
    return { ...now, m: Math.max(now.m, this.#state.clocks.current.m) }
  }

  #run(effect: () => void, live: LiveLock | null): void {
    try {
      effect()
    } catch (error) {
      live?.close()
      throw error
    }
  }

  #bind(): LiveLock {
    const live = `memory-${++this.#bindings}`
    this.#alive.add(live)
    return { live, fd: null, close: () => void this.#alive.delete(live) }
  }

  #view(now: Instant): View {
    const view = viewOf(this.#state, now, {
      recall: opId => {
        this.#recalled.add(opId)
        return this.#entries.find(({ operation }) => operation.opId === opId) ?? null
      },
      boundDead: lease => lease.binding !== null && !this.#alive.has(lease.binding.live),
      reservation: () => null,
      reservations: () => [],
      life: ({ binding }) => (binding === null ? 'unknown' : this.#alive.has(binding.live) ? 'alive' : 'dead'),
      restorable: ({ resume }) => resume !== null,
      limits: null,
    })
    return { ...view, lapse: lease => this.#lapse(lease, now, true) }
  }

  #lapse(lease: Lease, now: Instant, suspect: boolean): Lapse {
    if (!isExpired(lease, now)) return { state: 'running' }
    if (this.#guardMs === 0) return { state: 'over' }
    const since = this.#suspected.get(lease.token) ?? now.m
    if (suspect) this.#suspected.set(lease.token, since)
    const left = since + this.#guardMs - now.m
    return left > 0 ? { state: 'lapsing', retryAfterMs: left } : { state: 'over' }
  }

  /** The record, where there is one. */
  #append(operation: Operation, now: Instant): readonly Entry[] {
    const { beats } = this.capabilities
    const isSilent =
      beats === 'engine' &&
      isPlainBeat(
        operation,
        key => this.#state.slot(key).lease,
        opId => this.#recalled.has(opId),
      )
    const entry = { seq: this.#state.lastSeq + (isSilent ? 0 : 1), at: now.wall, clk: { b: now.b, m: now.m }, operation }
    if (!isSilent) this.#entries.push(entry)
    this.#state.apply(entry)
    if ('token' in operation) this.#suspected.delete(operation.token)
    this.#wake()
    return isSilent ? [] : [entry]
  }

  #wake(): void {
    const woken = this.#waiting
    this.#waiting = []
    for (const wake of woken) wake()
  }
}
