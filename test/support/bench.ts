import type { Command } from '../../src/core/command.ts'
import type { Decision, Outcome } from '../../src/core/decision.ts'
import { decide } from '../../src/core/decide.ts'
import type { Lease, Witness } from '../../src/core/lease.ts'
import type { Entry } from '../../src/core/operation.ts'
import type { Policy } from '../../src/core/policy.ts'
import type { Refusal } from '../../src/core/refusal.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Commit, Store, TransactOptions } from '../../src/store/store.ts'
import { StillClock, tightPolicy } from './cast.ts'

/** A store, a clock that stands still, and short ways to say what must happen. */
export class Bench {
  readonly store: Store
  readonly clock: StillClock
  readonly policy: Policy

  readonly #witness: Witness | null

  constructor(options: { store?: Store; clock?: StillClock; policy?: Partial<Policy>; guardMs?: number; witness?: Witness | null } = {}) {
    this.clock = options.clock ?? new StillClock()
    this.store = options.store ?? new MemoryStore({ now: this.clock.now, guardMs: options.guardMs ?? 0 })
    this.#witness = options.witness ?? null
    this.policy = { ...tightPolicy, ...options.policy }
  }

  advance(secs: number): void {
    this.clock.advance(secs * 1000)
  }

  /** Runs a command; `bind` also makes a liveness lock and writes its name into the command. */
  run(command: Command, options: TransactOptions = {}): Promise<Commit> {
    const asked = this.#witness === null ? command : { ...command, holder: { ...command.holder, witness: this.#witness } }
    return this.store.transact((view, binding) => {
      const bound = binding !== null && 'binding' in asked ? { ...asked, binding: { live: binding.live } } : asked
      return decide(bound, view, this.policy)
    }, options)
  }

  /** The command must be accepted. */
  async does(command: Command, options: TransactOptions = {}): Promise<Accepted> {
    const commit = await this.run(command, options)
    if (!commit.decision.ok) throw new Error(`${command.type} was refused: ${describeRefusal(commit.decision)}`)
    return {
      ...commit,
      lease: commit.leases[0]!,
      outcome: commit.decision.outcome,
      ops: commit.entries.map(({ operation }) => operation.op),
    }
  }

  /** The command must be refused and write nothing; its refusal is the answer. */
  async refuses(command: Command, options: TransactOptions = {}): Promise<Refusal> {
    const commit = await this.run(command, options)
    if (commit.decision.ok) throw new Error(`${command.type} was accepted, but must not be: ${JSON.stringify(commit.entries)}`)
    if (commit.entries.length > 0) throw new Error(`${command.type} was refused and wrote ${JSON.stringify(commit.entries)}`)
    return commit.decision.refusal
  }

  async lease(resource: string): Promise<Lease | null> {
    return (await this.store.view()).lease(resource)
  }

  log(): Promise<readonly Entry[]> {
    return collect(this.store)
  }
}

export interface Accepted extends Commit {
  /** The first lease of the answer. */
  readonly lease: Lease
  readonly outcome: Outcome
  readonly ops: readonly string[]
}

/** A store's whole history. */
export async function collect(store: Store): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  for await (const entry of store.history()) entries.push(entry)
  return entries
}

const describeRefusal = (decision: Decision): string => (decision.ok ? 'no' : JSON.stringify(decision.refusal))
