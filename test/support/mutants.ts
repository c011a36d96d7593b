import type { Command } from '../../src/core/command.ts'
import type { Decision } from '../../src/core/decision.ts'
import { decide } from '../../src/core/decide.ts'
import type { Lease } from '../../src/core/lease.ts'
import { isExpired } from '../../src/core/lease.ts'
import type { Operation } from '../../src/core/operation.ts'
import type { View } from '../../src/core/view.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Commit, Decider, Reading, TransactOptions } from '../../src/store/store.ts'
import type { StillClock } from './cast.ts'
import { noProof } from './cast.ts'
import type { Staging } from './random-history.ts'

// Leaseholds with one thing wrong each, made by wrapping the real one. A test that cannot tell them from the real one is no test.

export interface Mutant {
  readonly name: string
  /** The invariants that must find it without the model; where there is none, only the model knows better. */
  readonly breaks: readonly number[]
  readonly staging: Staging
}

type Decide = typeof decide

/** A rule that sees the world a little wrong. */
const seeing =
  (change: (view: View) => Partial<View>): Decide =>
  (command, view, policy) =>
    decide(command, { ...view, ...change(view) }, policy)

/** A rule that takes one command for another. */
const hearing =
  (change: (command: Command, view: View) => Command): Decide =>
  (command, view, policy) =>
    decide(change(command, view), view, policy)

const leaseMeant = (command: Command, view: View): Lease | null => {
  if (!('target' in command)) return null
  return 'resource' in command.target ? view.lease(command.target.resource) : view.byLeaseId(command.target.leaseId)
}

/** As if the lease's own holder had asked, without showing anything. */
function asItsHolder(command: Command, view: View): Command {
  const lease = leaseMeant(command, view)
  return lease === null || !('presented' in command) || !('target' in command)
    ? command
    : { ...command, target: { resource: lease.resource }, holder: lease.holder, presented: noProof }
}

const groupPartiallyGranted: Decide = (command, view, policy) => {
  const whole = decide(command, view, policy)
  if (whole.ok || command.type !== 'acquire' || command.resources.length === 1) return whole
  const parts = command.resources.map(key => decide({ ...command, resources: [key] }, view, policy)).find(part => part.ok)
  return parts ?? whole
}

const lateRenewAfterEviction: Decide = (command, view, policy) => {
  const decision = decide(command, view, policy)
  if (decision.ok || command.type !== 'renew' || !('resource' in command.target)) return decision
  const past = view.past(command.target.resource)
  if (view.lease(command.target.resource) !== null || past?.endedBy !== 'auto-evict') return decision
  const operation: Operation = {
    op: 'renew',
    opId: command.opId,
    actor: command.holder.agentId,
    resources: [past.resource],
    leaseIds: [past.leaseId],
    token: past.token,
    holder: past.holder,
    ttlSecs: 10,
    late: true,
    note: null,
  }
  return {
    ok: true,
    operations: [operation],
    outcome: { resources: [past.resource], ended: [], endedSessions: [], alreadyHeld: false, late: true, replayOf: null },
  }
}

/** Evictions of a group end only the member that was in the way. */
const tornGroups: Decide = (command, view, policy) => {
  const decision = decide(command, view, policy)
  if (!decision.ok) return decision
  const operations = decision.operations.map(operation =>
    operation.op === 'auto-evict'
      ? { ...operation, resources: operation.resources.slice(0, 1), leaseIds: operation.leaseIds.slice(0, 1) }
      : operation,
  )
  return { ...decision, operations }
}

const wrongPreviousToken: Decide = (command, view, policy) => {
  const decision = decide(command, view, policy)
  if (!decision.ok) return decision
  const operations = decision.operations.map(operation =>
    'previousToken' in operation ? { ...operation, previousToken: operation.previousToken - 1 } : operation,
  )
  return { ...decision, operations }
}

/** A store whose new owners after a transfer keep the token of the owner before. */
class TokenStandsStill extends MemoryStore {
  readonly #as = new Map<number, number>()

  override async transact(decider: Decider, options: TransactOptions = {}): Promise<Commit> {
    const commit = await super.transact((view, binding) => decider(this.#blurred(view), binding), options)
    for (const { seq, operation } of commit.entries) if (operation.op === 'transfer') this.#as.set(seq, operation.from!.token)
    return { ...commit, leases: commit.leases.map(lease => this.#blur(lease)!) }
  }

  override async view(): Promise<Reading> {
    const view = await super.view()
    return { ...this.#blurred(view), warnings: view.warnings }
  }

  #blur(lease: Lease | null): Lease | null {
    return lease === null ? null : { ...lease, token: this.#as.get(lease.token) ?? lease.token }
  }

  #blurred(view: View): View {
    return {
      ...view,
      lease: resource => this.#blur(view.lease(resource)),
      byLeaseId: leaseId => this.#blur(view.byLeaseId(leaseId)),
      all: () => [...view.all()].map(lease => this.#blur(lease)!),
    }
  }
}

/** A store that notes a refused attempt in the log. */
class RefusalsWrite extends MemoryStore {
  override async transact(decider: Decider, options: TransactOptions = {}): Promise<Commit> {
    let refused: Decision | null = null
    const commit = await super.transact((view, binding) => {
      const decision = decider(view, binding)
      if (decision.ok || decision.refusal.kind !== 'held' || decision.refusal.lease.group !== null) return decision
      refused = decision
      const { lease } = decision.refusal
      const { holder, token, ttlSecs } = lease
      const note: Operation = {
        op: 'heartbeat',
        opId: null,
        actor: 'system',
        resources: [lease.resource],
        leaseIds: [lease.leaseId],
        token,
        holder,
        ttlSecs,
        late: false,
        note: 'wanted',
      }
      return {
        ok: true,
        operations: [note],
        outcome: { resources: [], ended: [], endedSessions: [], alreadyHeld: false, late: false, replayOf: null },
      }
    }, options)
    return refused === null ? commit : { ...commit, decision: refused }
  }
}

/** A store that answers before it writes, and forgets every seventh record. */
class Forgetful extends MemoryStore {
  override async *history(): ReturnType<MemoryStore['history']> {
    for await (const entry of super.history()) if (entry.seq % 7 !== 0) yield entry
  }
}

/** A store whose clock is set back once. */
const clockSetBack = (clock: StillClock, guardMs: number): MemoryStore => {
  let calls = 0
  return new (class extends MemoryStore {
    override async transact(decider: Decider, options: TransactOptions = {}): Promise<Commit> {
      return super.transact(
        (view, binding) => decider(++calls < 4 ? view : { ...view, now: { ...view.now, m: view.now.m - 5000 } }, binding),
        options,
      )
    }
  })({ now: clock.now, guardMs })
}

const open =
  (Kind: typeof MemoryStore) =>
  (clock: StillClock, guardMs: number): MemoryStore =>
    new Kind({ now: clock.now, guardMs })

const over = { state: 'over' } as const
const running = { state: 'running' } as const

export const mutants: readonly Mutant[] = [
  {
    name: 'evicts a second before the deadline',
    breaks: [6],
    staging: {
      decide: seeing(({ now, lapse }) => ({ lapse: lease => (isExpired(lease, { b: now.b, m: now.m + 1000 }) ? over : lapse(lease)) })),
    },
  },
  { name: 'the token does not grow at a transfer', breaks: [3], staging: { open: open(TokenStandsStill) } },
  {
    name: 'a stranger may renew',
    breaks: [9],
    staging: { decide: hearing((command, view) => (command.type === 'renew' ? asItsHolder(command, view) : command)) },
  },
  { name: 'a repeated op_id is not recognised', breaks: [10], staging: { decide: seeing(() => ({ recall: () => null })) } },
  { name: 'a group is granted in part', breaks: [], staging: { decide: groupPartiallyGranted } },
  {
    name: 'release ignores the token',
    breaks: [9],
    staging: { decide: hearing((command, view) => (command.type === 'release' ? asItsHolder(command, view) : command)) },
  },
  { name: 'overlapping paths do not exclude each other', breaks: [1], staging: { decide: seeing(() => ({ paths: () => [] })) } },
  {
    name: 'ttl 0 expires',
    breaks: [7],
    staging: {
      decide: seeing(({ now, lapse }) => ({ lapse: lease => (lease.ttlSecs === 0 && now.m - lease.beat.m > 5000 ? over : lapse(lease)) })),
    },
  },
  { name: 'a late renewal is accepted after the eviction', breaks: [5], staging: { decide: lateRenewAfterEviction } },
  { name: 'a refusal writes', breaks: [11], staging: { open: open(RefusalsWrite) } },
  {
    name: 'the guard is skipped',
    breaks: [6],
    staging: { guardMs: 3000, decide: seeing(({ now }) => ({ lapse: lease => (isExpired(lease, now) ? over : running) })) },
  },
  { name: 'an eviction ends one member of a group', breaks: [5], staging: { decide: tornGroups } },
  { name: 'an eviction names the wrong token', breaks: [15], staging: { decide: wrongPreviousToken } },
  { name: 'limits of indefinite leases are not counted', breaks: [], staging: { decide: seeing(() => ({ indefinite: () => [] })) } },
  {
    name: 'a group of indefinite leases counts as one',
    breaks: [],
    // Nobody holds the key that is named, so its group is not seen.
    staging: { decide: seeing(view => ({ indefinite: () => view.indefinite().map(each => ({ ...each, resource: 'ticket:z' })) })) },
  },
  {
    name: 'finished work is handed out again',
    breaks: [],
    staging: { decide: hearing(command => ('finishedToo' in command ? { ...command, finishedToo: true } : command)) },
  },
  {
    name: 'the first candidate is taken from its holder’s own hands',
    breaks: [],
    staging: {
      decide: hearing(command =>
        command.type === 'acquire-first' ? { ...command, type: 'acquire', resources: command.candidates.slice(0, 1) } : command,
      ),
    },
  },
  { name: 'a dead process keeps its lease', breaks: [], staging: { decide: seeing(() => ({ boundDead: () => false })) } },
  { name: 'an acknowledged record is missing from the log', breaks: [2], staging: { open: open(Forgetful) } },
  { name: 'the deciding clock is set back', breaks: [], staging: { open: clockSetBack } },
]
