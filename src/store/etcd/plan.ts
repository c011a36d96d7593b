import { evolve } from '../../core/evolve.ts'
import type { Holder, Lease, Past, Slot } from '../../core/lease.ts'
import type { BeatOperation, Entry, Operation } from '../../core/operation.ts'
import { isOwnership, touches } from '../../core/operation.ts'
import { isPath } from '../../core/resource.ts'
import { isPlainBeat } from '../beats.ts'
import type { Claim, Facts } from './facts.ts'
import { Missing } from './facts.ts'
import type { Names } from './keys.ts'
import type { Compare, Step } from './messages.ts'
import { absent, put, remove, unchanged } from './messages.ts'
import { countedToValue, headToValue, here, logToValue, settingsToValue } from './values.ts'
import type { Counted, Head, Logged, SpaceSettings } from './values.ts'

// What a decision's operations mean for the names and values: pure. One transaction does all of it, and compares every head that the
// decision was about, so it happens as decided or not at all.

/** What becomes of the beat of a key. */
export type BeatChange =
  | { readonly kind: 'keep' }
  | { readonly kind: 'remove' }
  /** Attached to another engine lease; `number` names it among those of the plan. */
  | { readonly kind: 'new'; readonly number: number }

interface Change {
  readonly before: Claim
  head: Head
  beat: BeatChange
}

/** An engine lease that has to be there before the transaction. */
export interface Needed {
  readonly holder: Holder
  readonly lease: Pick<Lease, 'ttlSecs' | 'staleSecs' | 'state' | 'binding'>
}

export interface Plan {
  /** The records, each once; their position is the transaction's. */
  readonly entries: readonly Entry[]
  readonly logs: readonly { readonly resource: string; readonly n: number; readonly logged: Omit<Logged, 'transaction'> }[]
  readonly changes: ReadonlyMap<string, Change>
  /** Engine leases to renew; nothing is written for them. */
  readonly renewals: ReadonlyMap<string, readonly string[]>
  /** Beats of the same holder and TTL share one engine lease. */
  readonly needed: readonly Needed[]
  /** Keys whose holder must be silent still. */
  readonly silent: ReadonlySet<string>
  /** Keys that the decision was about and that stay as they are. */
  readonly watched: ReadonlySet<string>
  readonly counted: readonly Counted[] | null
  readonly movesPaths: boolean
  readonly ids: ReadonlyMap<string, string | null>
  readonly remembered: Entry | null
}

class Draft {
  readonly entries: Entry[] = []
  readonly logs: { resource: string; n: number; logged: Omit<Logged, 'transaction'> }[] = []
  readonly changes = new Map<string, Change>()
  readonly renewals = new Map<string, string[]>()
  readonly needed: Needed[] = []
  readonly silent = new Set<string>()
  readonly ids = new Map<string, string | null>()
  movesPaths = false
  readonly #facts: Facts

  constructor(facts: Facts) {
    this.#facts = facts
  }

  lease = (resource: string): Lease | null => this.#head(resource).slot.lease

  add(operation: Operation): void {
    if (isPlainBeat(operation, this.lease, opId => this.#facts.ops.has(opId))) return this.#beat(operation.resources)
    const keys = touches(operation)
    if (keys === null) throw new Error(`${operation.op} is no record of this store`)
    const entry = this.#entry(operation)
    const number = this.#need(operation)
    // A process that is proven dead is not waited for, however long it could have been silent.
    const byTime = operation.op === 'auto-evict' && operation.reason !== 'holder-dead'
    if (byTime || operation.op === 'reclaim') for (const resource of operation.resources) this.silent.add(resource)
    this.#index(operation)
    // An `allow` changes no key, and is about one.
    const named = 'resources' in operation ? operation.resources : []
    for (const resource of new Set([...keys, ...named])) this.#apply(entry, resource, number)
    if (isOwnership(operation) && operation.resources.some(isPath)) this.movesPaths = true
  }

  /** The holder lives. Where its beats are gone they are made anew, which needs no record. */
  #beat(resources: readonly string[]): void {
    const silent = resources.filter(resource => this.#isSilent(resource))
    if (silent.length > 0) {
      const lease = this.lease(resources[0]!)!
      const number = this.needed.push({ holder: lease.holder, lease }) - 1
      for (const resource of resources) {
        const change = this.#change(resource)
        change.head = { ...change.head, suspect: null }
        change.beat = { kind: 'new', number }
      }
      return
    }
    this.#renew(resources)
  }

  #renew(resources: readonly string[]): null {
    for (const resource of resources) {
      const { beat } = this.#facts.claim(resource)
      if (beat !== null) this.renewals.set(beat, [...(this.renewals.get(beat) ?? []), resource])
    }
    return null
  }

  #beatsGoOn({ resources, ttlSecs }: BeatOperation): boolean {
    return resources.every(resource => this.lease(resource)?.ttlSecs === ttlSecs && this.#facts.claim(resource).beat !== null)
  }

  #isSilent(resource: string): boolean {
    const lease = this.lease(resource)
    return lease !== null && this.#facts.timing.engineSecs(lease) !== null && this.#facts.claim(resource).beat === null
  }

  #entry(operation: Operation): Entry {
    const { now } = this.#facts
    const entry = { seq: here, at: now.wall, clk: { b: now.b, m: now.m }, operation }
    this.entries.push(entry)
    return entry
  }

  /** The engine lease that the beats of this operation's keys need, where it gives them one. */
  #need(operation: Operation): number | null {
    if (!isOwnership(operation) && operation.op !== 'renew' && operation.op !== 'heartbeat') return null
    const { staleSecs, binding } = isOwnership(operation) ? operation : this.lease(operation.resources[0]!)!
    const lease = { ttlSecs: operation.ttlSecs, staleSecs, binding, state: operation.op === 'reserve' ? 'pending' : 'held' } as const
    if (this.#facts.timing.engineSecs(lease) === null) return null
    if (!isOwnership(operation) && this.#beatsGoOn(operation)) return this.#renew(operation.resources)
    return this.needed.push({ holder: operation.holder, lease }) - 1
  }

  #index(operation: Operation): void {
    // Whoever splits one off its group leaves the others to be found.
    const ends =
      (operation.op === 'release' && operation.remaining === null) || operation.op === 'auto-evict' || operation.op === 'force-evict'
    if (ends) for (const id of operation.leaseIds) this.ids.set(this.#firstId(operation.resources, id), null)
    if (!isOwnership(operation)) return
    for (const id of operation.from?.leaseIds ?? []) this.ids.set(this.#firstId(operation.resources, id), null)
    const [first] = operation.leaseIds
    const listed = operation.resources.map((resource, index) => [operation.leaseIds[index], resource])
    if (first !== undefined) this.ids.set(first, JSON.stringify(listed))
  }

  #firstId(resources: readonly string[], leaseId: string): string {
    const lease = resources.map(this.lease).find(each => each?.leaseId === leaseId)
    return lease?.group?.id ?? leaseId
  }

  #apply(entry: Entry, resource: string, number: number | null): void {
    const change = this.#change(resource)
    const before = change.head.slot.lease
    const slot = evolve(change.head.slot, entry, resource)
    const n = change.head.n + 1
    this.logs.push({
      resource,
      n,
      logged: { entry, index: this.entries.length, isCopy: this.logs.some(({ logged }) => logged.entry === entry) },
    })
    // Letting work through says nothing of whoever holds it now.
    change.head = { ...change.head, slot, n, suspect: entry.operation.op === 'allow' ? change.head.suspect : null }
    if (slot.lease === null) change.beat = { kind: 'remove' }
    else if (number !== null) change.beat = { kind: 'new', number }
    else if (isOwnership(entry.operation) || slot.lease.ttlSecs !== before?.ttlSecs) change.beat = { kind: 'remove' }
  }

  #change(resource: string): Change {
    const known = this.changes.get(resource)
    if (known !== undefined) return known
    const before = this.#facts.claim(resource)
    const change: Change = { before, head: before.head, beat: { kind: 'keep' } }
    this.changes.set(resource, change)
    return change
  }

  #head(resource: string): Head {
    return this.changes.get(resource)?.head ?? this.#facts.claim(resource).head
  }

  /** The indefinite ownerships after it, when they change. */
  counted(): readonly Counted[] | null {
    const before = tokensOf([...this.changes.values()].map(change => change.before.head.slot))
    const after = tokensOf([...this.changes.values()].map(change => change.head.slot))
    if (JSON.stringify([...before.values()]) === JSON.stringify([...after.values()])) return null
    const { limits, wants } = this.#facts
    if (limits === null) {
      wants.limits = true
      throw new Missing()
    }
    return [...limits.filter(({ token }) => !before.has(token)), ...after.values()]
  }
}

/** The indefinite ownerships among some keys, by token. */
function tokensOf(slots: readonly Slot[]): ReadonlyMap<number, Counted> {
  const found = new Map<number, Counted>()
  for (const { lease } of slots)
    if (lease?.ttlSecs === 0 && !found.has(lease.token))
      found.set(lease.token, { token: lease.token, agentId: lease.holder.agentId, resource: lease.resource })
  return found
}

/** `about`: keys that the answer names. Throws `Missing` where more has to be known. */
export function planOf(operations: readonly Operation[], about: readonly string[], facts: Facts): Plan {
  const draft = new Draft(facts)
  for (const operation of operations) draft.add(operation)
  if (draft.movesPaths && !facts.hasPaths) {
    facts.wants.paths = true
    throw new Missing()
  }
  const watched = new Set<string>()
  for (const resource of about) facts.claim(resource)
  for (const resource of [...about, ...[...draft.renewals.values()].flat()])
    if (!draft.changes.has(resource) && facts.claims.has(resource)) watched.add(resource)
  const { entries, logs, changes, renewals, needed, silent, ids, movesPaths } = draft
  const counted = draft.counted()
  const remembered = entries.find(({ operation }) => operation.opId !== null && facts.ops.has(operation.opId)) ?? null
  return { entries, logs, changes, renewals, needed, silent, watched, counted, movesPaths, ids, remembered }
}

/** Is there anything to write? */
export const writes = ({ changes }: Plan): boolean => changes.size > 0

/** What a transaction is made with. */
export interface Making {
  readonly names: Names
  /** A name that no other transaction has. */
  readonly transaction: string
  /** The engine leases of `Plan.needed`. */
  readonly engineLeases: readonly string[]
  /** The engine lease that remembers op_ids; null where there is none to remember. */
  readonly memory: string | null
  /** To be written with it, where the space has none yet, or where an older writer made them. */
  readonly settings: SpaceSettings
  /** The command's own among those that are written together. */
  readonly place: number
}

/** Does the transaction write what holds for the space as a whole? */
export const writesSettings = ({ settings }: Facts, minWriter: number): boolean => settings === null || settings.minWriter < minWriter

/** At most so many steps; counted without making them. */
export const mostSteps = ({ changes, logs, ids }: Plan): number => 4 + 2 * changes.size + logs.length + ids.size

/** What has to be as it was read. */
export function comparesOf(plan: Plan, facts: Facts, names: Names): readonly Compare[] {
  return [
    unchanged(names.cfg, facts.settingsMod),
    ...[...plan.changes].map(([resource, { before }]) => unchanged(names.head(resource), before.mod)),
    ...[...plan.watched].map(resource => unchanged(names.head(resource), facts.claims.get(resource)!.mod)),
    ...[...plan.silent].flatMap(resource => [absent(names.beat(resource)), absent(names.guard(resource))]),
    ...(plan.movesPaths ? [unchanged(names.paths, facts.pathsMod)] : []),
    ...(plan.counted === null ? [] : [unchanged(names.limits, facts.limitsMod)]),
    ...(plan.remembered === null ? [] : [absent(names.op(plan.remembered.operation.opId!))]),
  ]
}

export function stepsOf(plan: Plan, facts: Facts, making: Making): readonly Step[] {
  const { names, transaction, engineLeases, memory, settings, place } = making
  const base = facts.settings === null ? settings.tokenBase : facts.base
  const steps: Step[] = []
  if (writesSettings(facts, settings.minWriter))
    steps.push(put(names.cfg, settingsToValue({ ...(facts.settings ?? settings), minWriter: settings.minWriter })))
  for (const [resource, { before, head, beat }] of plan.changes) {
    const engineLease = beat.kind === 'keep' ? head.engineLease : beat.kind === 'new' ? engineLeases[beat.number]! : null
    steps.push(put(names.head(resource), headToValue({ ...head, engineLease }, base, place)))
    if (beat.kind === 'new') steps.push(put(names.beat(resource), '1', engineLease!))
    else if (beat.kind === 'remove' && before.beat !== null) steps.push(remove(names.beat(resource)))
  }
  for (const { resource, n, logged } of plan.logs)
    steps.push(put(names.log(resource, n), logToValue({ ...logged, transaction }, base, place)))
  for (const [id, listed] of plan.ids) steps.push(listed === null ? remove(names.id(id)) : put(names.id(id), listed))
  if (plan.movesPaths) steps.push(put(names.paths, transaction))
  if (plan.counted !== null) steps.push(put(names.limits, countedToValue(plan.counted, base, place)))
  if (plan.remembered !== null && memory !== null) {
    const logged = { entry: plan.remembered, index: 0, transaction, isCopy: false }
    steps.push(put(names.op(plan.remembered.operation.opId!), logToValue(logged, base, place), memory))
  }
  return steps
}

/** A slot with the position that its transaction got. */
export function settled({ lease, past, session }: Slot, seq: number): Slot {
  const settledLease = lease?.token === here ? { ...lease, token: seq } : lease
  const settledPast: Past | null = past?.endedSeq === here ? { ...past, endedSeq: seq } : past
  return { lease: settledLease, past: settledPast, session }
}
