import { isExpired } from '../../core/lease.ts'
import type { Instant, Lease, Stamp } from '../../core/lease.ts'
import type { BootOperation, Entry, Operation, RepairOperation } from '../../core/operation.ts'
import { isOwnership, touches } from '../../core/operation.ts'
import type { Moving } from '../move.ts'
import { uncountedReason } from '../base.ts'
import type { FullState } from '../state.ts'

// Records of a store that counts otherwise, as this one's laws want them: numbers without gaps but where a `repair` says so, one number for
// each record, and one clock that only a `boot` record changes. Tokens stay what they are: an ownership record keeps its number.

/** What leases of silent holders get when the clock changes, milliseconds: half of what a reboot gives. */
const graceMs = 30_000

/** The records in order, and then what brings them to this machine's clock: a `boot`, and a sign of life of each holder that has one. */
export function* lawful(moving: Moving, state: FullState, now: Instant): Generator<Entry> {
  const told = moving.entries.filter(({ operation }) => operation.op !== 'repair' || operation.reason !== uncountedReason)
  for (const entry of numbered(told, moving.base.seq)) yield* following(entry, state)
  const last = moving.entries.at(-1)?.clk
  const end: Stamp = { b: now.b, m: now.m }
  if (state.clocks.current.b !== now.b && last !== undefined)
    yield* following(
      { seq: Math.max(state.lastSeq, moving.lastSeq) + 1, at: now.wall, clk: end, operation: boot(state.clocks.current) },
      state,
    )
  const tokens = new Set<number>()
  for (const lease of state.leases()) {
    if (!moving.alive.has(lease.resource) || tokens.has(lease.token)) continue
    tokens.add(lease.token)
    const seq = Math.max(state.lastSeq, moving.lastSeq) + 1
    yield* following({ seq, at: now.wall, clk: end, operation: signOfLife(lease, state) }, state)
  }
}

/**
 * Gives each record a number of its own. The records of one transaction share one: it is the ownership's, or else the last one's, and the
 * others get the nearest free number before it. There is one: what was evicted was found silent first, and that took a number too.
 */
function numbered(entries: readonly Entry[], base: number): readonly Entry[] {
  const used = new Set(entries.map(({ seq }) => seq))
  const touched = new Map<string, number>()
  const given: Entry[] = []
  for (let at = 0; at < entries.length;) {
    const { seq } = entries[at]!
    let end = at
    while (entries[end]?.seq === seq) end++
    const together = entries.slice(at, end)
    const owner = together.findLastIndex(({ operation }) => isOwnership(operation))
    const keeps = owner < 0 ? together.length - 1 : owner
    for (const [index, entry] of together.entries()) {
      const keys = keysOf(entry.operation)
      const after = Math.max(base, ...keys.map(key => touched.get(key) ?? 0))
      const number = index === keeps ? seq : freeBefore(seq, after, used)
      used.add(number)
      for (const key of keys) touched.set(key, number)
      given.push({ ...entry, seq: number })
    }
    at = end
  }
  return given.toSorted((a, b) => a.seq - b.seq)
}

const keysOf = (operation: Operation): readonly string[] => [
  ...(touches(operation) ?? []),
  ...('resources' in operation ? operation.resources : []),
]

function freeBefore(seq: number, after: number, used: ReadonlySet<number>): number {
  for (let number = seq - 1; number > after; number--) if (!used.has(number)) return number
  throw new Error(`no number is free between ${after} and ${seq}`)
}

/** A record, after those that have to come before it. */
function* following(entry: Entry, state: FullState): Generator<Entry> {
  const { current } = state.clocks
  const isOther = entry.clk.b !== current.b && entry.operation.op !== 'boot'
  const needed = isOther ? 1 : 0
  const free = entry.seq - state.lastSeq - 1
  if (free > needed) yield add(state, repair(entry.seq - 1 - needed, state, entry.at))
  else if (free < needed) throw new Error(`no number is free before ${entry.seq}`)
  if (isOther) yield add(state, { seq: entry.seq - 1, at: entry.at, clk: entry.clk, operation: boot(current) })
  yield add(state, { ...entry, clk: clockFor(entry, state) })
}

function add(state: FullState, entry: Entry): Entry {
  state.apply(entry)
  return entry
}

/** Machines' wall clocks differ a little; here time does not go back, and nobody is evicted before their time. */
function clockFor({ clk, operation }: Entry, state: FullState): Stamp {
  const { current } = state.clocks
  if (operation.op === 'boot' || clk.b !== current.b) return clk
  const byTime = operation.op === 'auto-evict' && operation.reason !== 'holder-dead' ? operation.resources : []
  return { b: clk.b, m: Math.max(clk.m, current.m, ...byTime.map(resource => state.slot(resource).lease?.deadlineM ?? 0)) }
}

const repair = (seq: number, state: FullState, at: number): Entry => {
  const operation: RepairOperation = {
    op: 'repair',
    actor: 'system',
    opId: null,
    reason: uncountedReason,
    cutBytes: 0,
    cutLines: 0,
    quarantine: null,
    lastGoodSeq: state.lastSeq,
  }
  return { seq, at, clk: state.clocks.current, operation }
}

const boot = (previous: Stamp): BootOperation => ({ op: 'boot', actor: 'system', opId: null, previous, graceMs, twoClocks: false })

/** Its holder renewed it as the engine asks for, which left no record. */
const signOfLife = (lease: Lease, state: FullState): Operation => {
  const resources = lease.group?.resources ?? [lease.resource]
  return {
    op: 'heartbeat',
    actor: 'system',
    opId: null,
    resources,
    leaseIds: resources.map(resource => state.slot(resource).lease!.leaseId),
    token: lease.token,
    holder: lease.holder,
    ttlSecs: lease.ttlSecs,
    late: isExpired(lease, state.clocks.current),
    note: null,
  }
}
