import fc from 'fast-check'
import type { Acquire, Command, Target } from '../../src/core/command.ts'
import { decide } from '../../src/core/decide.ts'
import type { Holder, Lease, Witness } from '../../src/core/lease.ts'
import type { Entry } from '../../src/core/operation.ts'
import { isOwnership } from '../../src/core/operation.ts'
import type { Presented } from '../../src/core/refusal.ts'
import type { View } from '../../src/core/view.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Capabilities, Commit, LiveLock, Store } from '../../src/store/store.ts'
import {
  StillClock,
  acquire,
  acquireFirst,
  ann,
  annAgain,
  bob,
  confirm,
  eve,
  evict,
  freshId,
  guard,
  noProof,
  proofOf,
  reclaim,
  release,
  renew,
  reserve,
  resume,
  sweep,
  tightPolicy,
  transfer,
} from './cast.ts'
import { collect } from './bench.ts'
import type { Evidence, Step } from './invariants.ts'
import { invariants, sumAfter } from './invariants.ts'
import type { Answer, Foreseen } from './model.ts'
import { Model } from './model.ts'

// Random histories of commands: a plan is plain data, so it shrinks and can be played on any store; only when it is played are its
// choices ("the token this key has now", "an older one") turned into commands.

/** The keys of the histories. */
export const keys = ['ticket:a', 'ticket:b', 'ticket:c', 'path:src/**', 'path:src/x', 'path:**/x', 'path:docs/*'] as const

/** Which of them overlap, by hand. */
const overlapping = new Set(['path:src/** path:src/x', 'path:src/** path:**/x', 'path:src/x path:**/x', 'path:**/x path:docs/*'])

export const overlap = (a: string, b: string): boolean => a !== b && (overlapping.has(`${a} ${b}`) || overlapping.has(`${b} ${a}`))

const people: readonly Holder[] = [ann, annAgain, bob, eve]

const verbs = [
  'acquire',
  'acquire-first',
  'guard',
  'reserve',
  'confirm',
  'renew',
  'heartbeat',
  'release',
  'transfer',
  'resume',
  'reclaim',
  'force-evict',
  'sweep',
  'advance',
  'die',
] as const

/** One step of a plan. Every step has every field, so shrinking one does not change the others. */
export interface Planned {
  readonly verb: (typeof verbs)[number]
  readonly who: number
  readonly to: number
  readonly keys: readonly number[]
  readonly ttl: number | null
  readonly proof: 'none' | 'right' | 'token' | 'id' | 'old' | 'future'
  readonly byId: boolean
  readonly reason: boolean
  /** Bind to a process when taking; split off a group when releasing; for one key only when sweeping. */
  readonly special: boolean
  readonly advance: number
  readonly opId: 'new' | 'same command' | 'other command'
  readonly earlier: number
}

const plannedStep: fc.Arbitrary<Planned> = fc.record({
  verb: fc.oneof(
    { weight: 9, arbitrary: fc.constant<Planned['verb']>('acquire') },
    { weight: 5, arbitrary: fc.constant<Planned['verb']>('advance') },
    { weight: 3, arbitrary: fc.constantFrom<Planned['verb'][]>('renew', 'release', 'transfer') },
    { weight: 4, arbitrary: fc.constantFrom<Planned['verb'][]>(...verbs) },
  ),
  who: fc.constantFrom(0, 0, 1, 2, 2, 3),
  to: fc.nat(3),
  keys: fc.oneof(
    { weight: 2, arbitrary: fc.nat(keys.length - 1).map(key => [key]) },
    { weight: 1, arbitrary: fc.uniqueArray(fc.nat(keys.length - 1), { minLength: 1, maxLength: 4 }) },
  ),
  ttl: fc.constantFrom(null, null, null, 1, 5, 30, 0, 0, 0.5, 2_592_001),
  proof: fc.constantFrom('none', 'none', 'right', 'right', 'token', 'id', 'old', 'future'),
  byId: fc.integer({ min: 0, max: 4 }).map(n => n === 0),
  reason: fc.integer({ min: 0, max: 3 }).map(n => n > 0),
  special: fc.integer({ min: 0, max: 3 }).map(n => n === 0),
  advance: fc.constantFrom(0, 1, 999, 1000, 4000, 5000, 10_000, 21_000, 61_000),
  opId: fc.constantFrom('new', 'new', 'new', 'new', 'new', 'new', 'same command', 'other command'),
  earlier: fc.nat(7),
})

export const plan = (maxLength = 40): fc.Arbitrary<readonly Planned[]> => fc.array(plannedStep, { minLength: 1, maxLength, size: 'max' })

/** How a history is played. The defaults are the real thing. */
export interface Staging {
  readonly guardMs?: number
  /** The store to play on; by default one in memory. */
  readonly open?: (clock: StillClock, guardMs: number) => Store
  /** Or on one that is open already, with the clock that it has. */
  readonly on?: { readonly store: Store; readonly witness?: Witness; advance(ms: number): void }
  readonly decide?: typeof decide
  /** Leave reservations out: this store keeps them elsewhere. */
  readonly withoutReservations?: boolean
  /** Bind nothing to a process: this store cannot. */
  readonly withoutBinding?: boolean
  /** Whether the store in memory records each renewal. */
  readonly beats?: Capabilities['beats']
  /** Look after every command: at the invariants and the model, at the invariants alone, or at nothing. */
  readonly check?: 'all' | 'invariants' | 'nothing'
}

/** What was answered to one command, without anything that may differ between two stores. */
export type Line = string

/** Plays a plan; throws at the first command whose answer or aftermath is wrong. */
export async function play(steps: readonly Planned[], staging: Staging = {}): Promise<readonly Line[]> {
  const show = new Show(staging)
  try {
    for (const step of steps) await show.play(step)
    await show.finish()
    return show.lines
  } finally {
    show.store.close()
  }
}

class Show {
  readonly clock = new StillClock()
  readonly lines: Line[] = []
  readonly store: Store
  readonly #staging: Staging
  readonly #guardMs: number
  readonly #model: Model
  readonly #steps: Step[] = []
  readonly #sums: string[] = []
  readonly #lives: LiveLock[] = []
  readonly #done: { readonly command: Command; readonly bound: boolean }[] = []
  readonly #tokens = new Map<number, number>()
  #entries: readonly Entry[] = []

  constructor(staging: Staging) {
    this.#staging = staging
    this.#guardMs = staging.guardMs ?? 0
    this.store =
      staging.on?.store ??
      staging.open?.(this.clock, this.#guardMs) ??
      new MemoryStore({ now: this.clock.now, guardMs: this.#guardMs, beats: staging.beats ?? 'record' })
    this.#model = new Model(tightPolicy, this.#guardMs, overlap)
  }

  async play(step: Planned): Promise<void> {
    if (step.verb === 'advance') {
      this.clock.advance(step.advance)
      return this.#staging.on?.advance(step.advance)
    }
    if (step.verb === 'die') return this.#die(step)
    const reserving = step.verb === 'reserve' || step.verb === 'confirm'
    if (reserving && this.#staging.withoutReservations === true) return
    const view = await this.store.view()
    const { command, bound } = this.#choose(step, view)
    if (this.#staging.withoutReservations === true && (command.type === 'reserve' || command.type === 'confirm')) return
    await this.#run(command, bound, view)
  }

  async finish(): Promise<void> {
    for (const live of this.#lives) live.close()
    if (this.#staging.check !== 'nothing') await this.#inspect(true)
  }

  #die(step: Planned): void {
    const live = this.#lives[step.earlier % Math.max(1, this.#lives.length)]
    if (live === undefined) return
    live.close()
    this.#model.dead.add(live.live)
  }

  #choose(step: Planned, view: View): { command: Command; bound: boolean } {
    const earlier = this.#done[this.#done.length - 1 - step.earlier]
    if (earlier !== undefined && step.opId === 'same command') return { ...earlier, command: { ...earlier.command, retry: true } }
    const command = commandOf(step, view)
    const bound = step.special && 'binding' in command && this.#staging.withoutBinding !== true
    if (earlier === undefined || step.opId !== 'other command') return { command, bound }
    return { command: { ...command, opId: earlier.command.opId, retry: true }, bound }
  }

  async #run(planned: Command, bound: boolean, view: View): Promise<void> {
    const { check = 'all' } = this.#staging
    const seqBefore = view.lastSeq
    const witness = this.#staging.on?.witness ?? null
    const asked = { ...planned, holder: { ...planned.holder, witness } }
    let command: Command = asked
    const commit = await this.store.transact(
      (seen, binding) => {
        command = bound && 'binding' in asked ? { ...asked, binding: binding === null ? null : { live: binding.live } } : asked
        return (this.#staging.decide ?? decide)(command, seen, tightPolicy)
      },
      { bind: bound },
    )
    if (commit.live !== null) this.#lives.push(commit.live)
    if (commit.decision.ok && !this.#done.some(({ command: { opId } }) => opId === planned.opId))
      this.#done.push({ command: planned, bound })
    if (check !== 'nothing') {
      this.#entries = await collect(this.store)
      this.#steps.push({ command, commit, seqBefore, seqAfter: this.#entries.length })
      if (check === 'all') this.#compare(command, commit, this.#model.step(command, this.clock.m))
      await this.#inspect(false)
    }
    this.lines.push(this.#lineOf(command, commit))
  }

  #compare(command: Command, commit: Commit, foreseen: Answer): void {
    const { decision } = commit
    const got = decision.ok
      ? {
          ok: true,
          records: commit.entries.map(recordOf),
          keys: decision.outcome.resources,
          alreadyHeld: decision.outcome.alreadyHeld,
          late: decision.outcome.late,
          replay: decision.outcome.replayOf !== null,
        }
      : { ok: false, kind: decision.refusal.kind }
    if (foreseen.ok === null) {
      if (commit.entries.length > 0) throw differs(command, 'a replay or a refusal', got)
      return
    }
    const expected = foreseen.ok && foreseen.replay ? { ...foreseen, alreadyHeld: got.alreadyHeld } : foreseen
    // A sweep may look at the keys in any order.
    if (command.type === 'sweep')
      for (const { records = [] } of [got, expected] as { records?: Foreseen[] }[]) records.sort((a, b) => a.token - b.token)
    if (JSON.stringify(got) !== JSON.stringify(expected)) throw differs(command, expected, got)
  }

  async #inspect(final: boolean): Promise<void> {
    const view = await this.store.view()
    const leases = [...view.all()]
    const pasts = keys.map(key => view.past(key)).filter(past => past !== null)
    if (this.#staging.check !== 'invariants') this.#compareState(view)
    for (const entry of this.#entries.slice(this.#sums.length)) this.#sums.push(sumAfter(this.#sums.at(-1) ?? '', entry))
    const evidence: Evidence = {
      entries: this.#entries,
      leases,
      pasts,
      steps: this.#steps,
      sums: this.#sums,
      guardMs: this.#guardMs,
      final,
      overlap,
    }
    const complaints = invariants.flatMap(({ number, says, broken }) => {
      const complaint = broken(evidence)
      return complaint === null ? [] : [`invariant ${number} (${says}) is broken: ${complaint}`]
    })
    if (complaints.length > 0) throw new Error(complaints.join('\n'))
  }

  #compareState(view: View): void {
    for (const key of keys) {
      const lease = view.lease(key)
      const owner = this.#model.owners.get(key)
      const got =
        lease === null
          ? null
          : [
              lease.token,
              lease.leaseId,
              lease.holder,
              lease.state === 'pending',
              lease.ttlSecs,
              lease.deadlineM,
              lease.beat.m,
              lease.binding?.live ?? null,
              lease.group?.resources ?? [key],
            ]
      const expected =
        owner === undefined
          ? null
          : [
              owner.token,
              owner.ids.get(key),
              owner.holder,
              owner.pending,
              owner.ttl,
              this.#model.deadline(owner),
              owner.beat,
              owner.live,
              [...owner.ids.keys()],
            ]
      if (JSON.stringify(got) !== JSON.stringify(expected)) throw differs(`the state of ${key}`, expected, got)
      if (lease !== null && view.byLeaseId(lease.leaseId)?.resource !== key)
        throw differs(`byLeaseId of ${key}`, key, view.byLeaseId(lease.leaseId))
      const past = view.past(key)
      const last = this.#model.ended.get(key)
      const ended =
        past === null ? null : { token: past.token, id: past.leaseId, holder: past.holder, how: past.endedBy, outcome: past.outcome }
      if (JSON.stringify(ended) !== JSON.stringify(last ?? null)) throw differs(`the past of ${key}`, last, ended)
    }
  }

  /** Positions are counted as they appear, so a store may have records of its own between them. */
  #lineOf(command: Command, { decision, entries, leases, now }: Commit): Line {
    const token = (seq: number): string => {
      if (!this.#tokens.has(seq)) this.#tokens.set(seq, this.#tokens.size + 1)
      return `#${this.#tokens.get(seq)}`
    }
    const about = aboutOf(command)
    if (!decision.ok) return `${command.type} ${about}: ${decision.refusal.kind}`
    const records = entries.map(entry => {
      const { op, keys: named } = recordOf(entry)
      // Only a token says something to anybody; other positions a store may number as it likes.
      return `${op} ${named.join('+')} ${isOwnership(entry.operation) ? token(entry.seq) : ''}`
    })
    // A sweep may look at the keys in any order.
    if (command.type === 'sweep') records.sort()
    const standing = leases.map(
      lease =>
        `${lease.resource} ${lease.holder.agentId} ${token(lease.token)} ${lease.ttlSecs} ${lease.deadlineM === null ? '-' : Math.max(0, lease.deadlineM - now.m)} ${lease.binding === null ? '' : 'bound'}`,
    )
    const { alreadyHeld, late, replayOf } = decision.outcome
    return `${command.type} ${about}: [${records.join(', ')}] {${standing.join(', ')}}${alreadyHeld ? ' already held' : ''}${late ? ' late' : ''}${replayOf === null ? '' : ' replay'}`
  }
}

/** Ids are fresh each time, so a command is told by the keys it names. */
function aboutOf(command: Command): string {
  if ('resources' in command) return command.resources.join('+')
  if ('candidates' in command) return command.candidates.join(' or ')
  if ('sessionId' in command) return command.sessionId
  if (!('target' in command)) return command.resource ?? 'all'
  return 'resource' in command.target ? command.target.resource : 'a lease id'
}

const differs = (what: unknown, expected: unknown, got: unknown): Error =>
  new Error(`${JSON.stringify(what)}\n  the model: ${JSON.stringify(expected)}\n  the store: ${JSON.stringify(got)}`)

function recordOf({ seq, operation }: Entry): { op: Entry['operation']['op']; keys: readonly string[]; token: number } {
  const named = 'resources' in operation ? operation.resources : []
  if ('token' in operation) return { op: operation.op, keys: named, token: operation.token }
  return { op: operation.op, keys: named, token: 'previousToken' in operation ? operation.previousToken : seq }
}

function commandOf(step: Planned, view: View): Command {
  const who = people[step.who]!
  const key = keys[step.keys[0]!]!
  const lease = view.lease(key)
  const target: Target = step.byId ? { leaseId: lease?.leaseId ?? view.past(key)?.leaseId ?? freshId() } : { resource: key }
  const presented = shown(step, lease, view)
  const token = presented.token ?? lease?.token ?? 0
  const reason = step.reason ? 'because' : null
  switch (step.verb) {
    case 'reserve':
      return reserve(
        who,
        step.keys.map(each => keys[each]!),
        { ttlSecs: step.ttl, reason, presented },
      )
    case 'confirm':
      return confirm(who, target, token, { ttlSecs: step.ttl })
    case 'renew':
    case 'heartbeat':
      return renew(who, target, {
        type: step.verb,
        presented,
        ttlSecs: step.ttl,
        reason,
        note: step.verb === 'heartbeat' ? 'at work' : null,
      })
    case 'release':
      return release(who, target, { presented, only: step.special, outcome: step.reason ? null : step.special ? 'reopened' : 'done' })
    case 'transfer':
      return transfer(who, target, people[step.to]!, { presented, ttlSecs: step.ttl })
    case 'resume':
      return resume(who, target)
    case 'reclaim':
      return reclaim(who, target, token, { reason })
    case 'force-evict':
      return evict(who, target, { reason: step.reason ? 'because' : ' ', token: presented.token })
    case 'sweep':
      return sweep(who, step.special ? key : null)
    case 'acquire':
    case 'advance':
    case 'die':
      return acquire(
        who,
        step.keys.map(each => keys[each]!),
        { ttlSecs: step.ttl, reason, presented, finishedToo: step.byId || !step.reason } satisfies Partial<Acquire>,
      )
    case 'acquire-first':
      return acquireFirst(
        who,
        step.keys.map(each => keys[each]!),
        { ttlSecs: step.ttl, reason, finishedToo: step.byId },
      )
    case 'guard':
      return guard(who, target, { presented })
  }
}

function shown({ proof, keys: [key] }: Planned, lease: Lease | null, view: View): Presented {
  const past = view.past(keys[key!]!)
  switch (proof) {
    case 'none':
      return noProof
    case 'right':
      return lease === null ? (past === null ? noProof : { leaseId: past.leaseId, token: past.token }) : proofOf(lease)
    case 'token':
      return { leaseId: null, token: lease?.token ?? null }
    case 'id':
      return { leaseId: lease?.leaseId ?? null, token: null }
    case 'old':
      return past === null
        ? { leaseId: null, token: lease === null ? null : lease.token - 1 }
        : { leaseId: past.leaseId, token: past.token }
    case 'future':
      return { leaseId: lease?.leaseId ?? null, token: view.lastSeq + 1 }
  }
}

/** Seed of this run: LEASEHOLD_TEST_SEED repeats a failed one. */
export const seed = Number(process.env['LEASEHOLD_TEST_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff))

/** How many times the usual number of histories is played: LEASEHOLD_TEST_FACTOR makes a long night of it. */
export const factor = Number(process.env['LEASEHOLD_TEST_FACTOR'] ?? 1)

/** `fc.assert`, with the line that repeats a failure. */
export async function assertHistories(property: fc.IAsyncPropertyWithHooks<[readonly Planned[]]>, numRuns: number): Promise<void> {
  try {
    await fc.assert(property, { numRuns: numRuns * factor, seed })
  } catch (error) {
    // The first wrong answer comes first: what fast-check says of it is long.
    const { message, cause } = error as Error
    const first = cause instanceof Error ? cause.message : ''
    throw new Error(`to repeat: LEASEHOLD_TEST_SEED=${seed}\n${first}\n${message}`, { cause: error })
  }
}
