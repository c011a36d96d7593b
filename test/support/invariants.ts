import type { Command } from '../../src/core/command.ts'
import type { Holder, Lease, Past } from '../../src/core/lease.ts'
import type { Entry, OwnershipOperation } from '../../src/core/operation.ts'
import { sha256Hex } from '../../src/core/sha256.ts'
import { entryFromWire, entryToWire, leaseToStored, pastToStored } from '../../src/core/wire.ts'
import { FullState } from '../../src/store/state.ts'
import type { Commit } from '../../src/store/store.ts'

// The fifteen invariants of leases.md, section 2, each a function over what can be seen from outside: the log, the state, and what
// the callers were told. Each answers with what is wrong, or null. Nothing here asks `decide`.

/** A command and its answer. */
export interface Step {
  readonly command: Command
  readonly commit: Commit
  readonly seqBefore: number
  readonly seqAfter: number
}

export interface Evidence {
  readonly entries: readonly Entry[]
  readonly leases: readonly Lease[]
  readonly pasts: readonly Past[]
  readonly steps: readonly Step[]
  /** Running checksums, taken when each record was first seen. */
  readonly sums: readonly string[]
  readonly guardMs: number
  /** The history is over: also look at what is too slow to look at after every command. */
  readonly final: boolean
  readonly overlap: (a: string, b: string) => boolean
}

/** An ownership of one key, as the log tells it so far. */
interface Span {
  readonly key: string
  readonly token: number
  readonly leaseId: string
  readonly holder: Holder
  readonly pending: boolean
  ttlSecs: number
  beatM: number
}

type Open = Map<string, Span>

const begins = new Set(['acquire', 'reserve', 'confirm', 'transfer', 'resume', 'reclaim'])
const isBeginning = (operation: Entry['operation']): operation is OwnershipOperation => begins.has(operation.op)
const sameWords = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
const sameHolder = (a: Holder, b: Holder): boolean =>
  a.agentId === b.agentId && a.worktreeId === b.worktreeId && a.sessionId === b.sessionId
const sameAgent = (a: Holder, b: Holder): boolean => a.agentId === b.agentId && a.worktreeId === b.worktreeId

/** Walks through the log; `visit` sees each record and the ownerships that are open before it, and may complain. */
function walk(entries: readonly Entry[], visit: (entry: Entry, open: Open) => string | null): string | null {
  const open: Open = new Map()
  for (const entry of entries) {
    const complaint = visit(entry, open)
    if (complaint !== null) return `record ${entry.seq} (${entry.operation.op}): ${complaint}`
    carry(entry, open)
  }
  return null
}

function carry(entry: Entry, open: Open): void {
  const { operation } = entry
  if (!('resources' in operation)) return
  for (const [index, key] of operation.resources.entries()) {
    if (isBeginning(operation)) {
      open.set(key, {
        key,
        token: entry.seq,
        leaseId: operation.leaseIds[index]!,
        holder: operation.holder,
        pending: operation.op === 'reserve',
        ttlSecs: operation.ttlSecs,
        beatM: entry.clk.m,
      })
    } else if (operation.op === 'renew' || operation.op === 'heartbeat') {
      const span = open.get(key)
      if (span !== undefined) Object.assign(span, { ttlSecs: operation.ttlSecs, beatM: entry.clk.m })
    } else open.delete(key)
  }
}

const openAtEnd = (entries: readonly Entry[]): Open => {
  const open: Open = new Map()
  for (const entry of entries) carry(entry, open)
  return open
}

export interface Invariant {
  readonly number: number
  readonly says: string
  readonly broken: (evidence: Evidence) => string | null
}

export const invariants: readonly Invariant[] = [
  { number: 1, says: 'at most one owner per key; a grant only when free', broken: oneOwner },
  { number: 2, says: 'positions have no gap', broken: noGap },
  { number: 3, says: 'a token is the position of the ownership record, and only grows', broken: tokensGrow },
  { number: 4, says: 'the state is the fold of the log, also of the log as it is written', broken: stateIsFold },
  { number: 5, says: 'each ownership has one start and at most one end', broken: oneEnd },
  { number: 6, says: 'no eviction by time before the deadline and the guard', broken: notBeforeItsTime },
  { number: 7, says: 'ttl 0 never ends by time', broken: indefiniteStays },
  { number: 8, says: 'a reservation always has a deadline', broken: pendingLapses },
  { number: 9, says: 'renew and release only with the current token', broken: onlyTheOwner },
  { number: 10, says: 'each op_id at most once', broken: onceEach },
  { number: 11, says: 'a refusal adds no record', broken: refusalsWriteNothing },
  { number: 12, says: 'what was acknowledged is in the log', broken: acknowledgedIsThere },
  { number: 13, says: 'the chain of sums is unbroken: no record ever changes', broken: chainHolds },
  { number: 14, says: 'the clock of the records never goes back', broken: clockGoesOn },
  { number: 15, says: 'an end names the token of the start it ends', broken: endsNameTheirStart },
]

function oneOwner({ entries, leases, overlap }: Evidence): string | null {
  const twice = leases.find((lease, index) => leases.findIndex(other => other.resource === lease.resource) !== index)
  if (twice !== undefined) return `the state has ${twice.resource} twice`
  return walk(entries, ({ operation }, open) => {
    if (!isBeginning(operation)) return null
    if (new Set(operation.resources).size !== operation.resources.length) return 'names a key twice'
    for (const key of operation.resources) {
      const span = open.get(key)
      if (operation.from === null && span !== undefined) return `grants ${key}, which ${span.holder.agentId} holds with token ${span.token}`
      if (operation.from !== null && span?.token !== operation.from.token)
        return `takes ${key} from ${operation.from.token}, which does not hold it`
      for (const other of open.values()) {
        // A resumed session may overlap what the same agent's earlier session still holds: the agent is one.
        const apart = operation.op === 'resume' ? !sameAgent(other.holder, operation.holder) : !sameHolder(other.holder, operation.holder)
        if (apart && other.key !== key && other.token !== operation.from?.token && overlap(other.key, key))
          return `${key} overlaps ${other.key} of ${other.holder.agentId}`
      }
    }
    return null
  })
}

function noGap({ entries, steps }: Evidence): string | null {
  const at = entries.findIndex((entry, index) => entry.seq !== index + 1)
  if (at >= 0) return `record number ${at + 1} has position ${entries[at]!.seq}`
  const last = steps.at(-1)
  return last === undefined || last.commit.lastSeq === entries.length
    ? null
    : `the last answer says ${last.commit.lastSeq}, the log has ${entries.length}`
}

function tokensGrow({ entries, leases, steps }: Evidence): string | null {
  const open = openAtEnd(entries)
  for (const lease of leases) {
    const span = open.get(lease.resource)
    if (lease.token !== span?.token) return `${lease.resource} shows token ${lease.token}, its ownership began at ${span?.token}`
  }
  const largest = new Map<string, number>()
  for (const { commit } of steps) {
    const made = commit.entries.findLast(({ operation }) => isBeginning(operation))
    const keys = made !== undefined && 'resources' in made.operation ? made.operation.resources : []
    for (const lease of commit.leases) {
      const before = largest.get(lease.resource) ?? 0
      if (lease.token < before) return `the answer for ${lease.resource} went from token ${before} to ${lease.token}`
      if (keys.includes(lease.resource) && lease.token <= before)
        return `a new owner of ${lease.resource} got token ${lease.token} after ${before}`
      if (keys.includes(lease.resource) && lease.token !== made?.seq)
        return `the owner that record ${made?.seq} made got token ${lease.token}`
      largest.set(lease.resource, lease.token)
    }
  }
  return null
}

const inOrder = <T extends { resource: string }>(all: Iterable<T>, write: (each: T) => unknown): string =>
  JSON.stringify([...all].sort((a, b) => (a.resource < b.resource ? -1 : 1)).map(write))

function stateIsFold({ entries, leases, pasts, final }: Evidence): string | null {
  const shown = `${inOrder(leases, leaseToStored)} ${inOrder(pasts, pastToStored)}`
  const plain = foldOf(entries)
  if (plain !== shown) return `fold ${plain}\nstate ${shown}`
  if (final) {
    const written = foldOf(entries.map(entry => entryFromWire(JSON.parse(JSON.stringify(entryToWire(entry))))!))
    if (written !== shown) return `fold of what is written ${written}\nstate ${shown}`
  }
  const open = openAtEnd(entries)
  const told = inOrder(
    [...open.values()].map(({ key, token, leaseId, ttlSecs }) => ({ resource: key, token, leaseId, ttlSecs })),
    each => each,
  )
  const stands = inOrder(
    leases.map(({ resource, token, leaseId, ttlSecs }) => ({ resource, token, leaseId, ttlSecs })),
    each => each,
  )
  return told === stands ? null : `the log tells ${told}, the state is ${stands}`
}

function foldOf(entries: readonly Entry[]): string {
  const fold = new FullState()
  for (const entry of entries) fold.apply(entry)
  return `${inOrder(fold.leases(), leaseToStored)} ${inOrder(fold.pasts(), pastToStored)}`
}

function oneEnd({ entries }: Evidence): string | null {
  const started = new Set<number>()
  return walk(entries, ({ seq, operation }, open) => {
    if (!('resources' in operation)) return null
    if (isBeginning(operation)) {
      if (started.has(seq)) return 'starts twice'
      started.add(seq)
      return null
    }
    for (const key of operation.resources) if (!open.has(key)) return `is about ${key}, which nobody holds`
    // A group ends together; only a release may split one off, and says what stays.
    const { token } = open.get(operation.resources[0]!)!
    const members = [...open.values()].filter(span => span.token === token).map(span => span.key)
    const left = members.filter(key => !operation.resources.includes(key))
    const said = operation.op === 'release' ? (operation.remaining ?? []) : []
    return sameWords([...left].sort(), [...said].sort()) ? null : `leaves ${left.join(', ')} of the group, and says ${said.join(', ')}`
  })
}

const byTime = (entry: Entry): boolean => entry.operation.op === 'auto-evict' && entry.operation.reason !== 'holder-dead'

function notBeforeItsTime({ entries, guardMs }: Evidence): string | null {
  return walk(entries, (entry, open) => {
    const { operation } = entry
    if (!('resources' in operation)) return null
    for (const key of operation.resources) {
      const span = open.get(key)
      if (span === undefined || span.ttlSecs === 0) continue
      const deadline = span.beatM + span.ttlSecs * 1000
      if (byTime(entry) && entry.clk.m < deadline + guardMs) return `evicts ${key} ${deadline + guardMs - entry.clk.m} ms too early`
      const late = (operation.op === 'renew' || operation.op === 'heartbeat') && operation.late
      if (late && entry.clk.m < deadline) return `calls a renewal of ${key} late that is not`
    }
    return null
  })
}

function indefiniteStays({ entries }: Evidence): string | null {
  return walk(entries, (entry, open) => {
    if (!byTime(entry) || !('resources' in entry.operation)) return null
    const forever = entry.operation.resources.find(key => open.get(key)?.ttlSecs === 0)
    return forever === undefined ? null : `evicts ${forever}, which is indefinite`
  })
}

function pendingLapses({ entries, leases }: Evidence): string | null {
  const stuck = leases.find(lease => lease.state === 'pending' && (lease.deadlineM === null || lease.ttlSecs === 0))
  if (stuck !== undefined) return `${stuck.resource} is reserved for ever`
  return walk(entries, ({ operation }, open) => {
    if (operation.op === 'reserve' && !(operation.ttlSecs > 0 && operation.ttlSecs <= 60)) return `reserves for ${operation.ttlSecs} s`
    const isBeat = operation.op === 'renew' || operation.op === 'heartbeat'
    return isBeat && operation.ttlSecs === 0 && operation.resources.some(key => open.get(key)?.pending === true)
      ? 'makes a reservation indefinite'
      : null
  })
}

function onlyTheOwner({ entries, steps }: Evidence): string | null {
  const commandOf = new Map(steps.flatMap(({ command, commit }) => commit.entries.map(entry => [entry.seq, command] as const)))
  return walk(entries, ({ seq, operation }, open) => {
    const command = commandOf.get(seq)
    if (!('resources' in operation) || command === undefined) return null
    const from = 'from' in operation ? operation.from?.token : undefined
    if (operation.op === 'confirm') return 'token' in command && command.token !== from ? 'confirms another reservation' : null
    if (operation.op !== 'transfer' && !('token' in operation)) return null
    const token = 'token' in operation ? operation.token : from
    const spans = operation.resources.map(key => open.get(key))
    for (const span of spans) if (span?.token !== token) return `acts with token ${token} on ${span?.token}`
    return spans.some(span => span !== undefined && mayAct(command, span))
      ? null
      : `is by ${command.holder.agentId} with ${JSON.stringify(command)}`
  })
}

/** Is the caller the holder, or has it shown all there is to show? A wrong token spoils both. */
function mayAct(command: Command, span: Span): boolean {
  const shown = 'presented' in command ? command.presented : { leaseId: null, token: null }
  const named = 'target' in command && 'leaseId' in command.target ? command.target.leaseId : shown.leaseId
  const isAcquire = command.type === 'acquire' || command.type === 'reserve'
  if (isAcquire && sameHolder(command.holder, span.holder)) return true
  if (shown.token !== null && shown.token !== span.token) return false
  if (sameHolder(command.holder, span.holder)) return true
  return named !== null && shown.token !== null
}

function onceEach({ entries }: Evidence): string | null {
  const seen = new Set<string>()
  for (const { seq, operation } of entries) {
    if (operation.opId === null) continue
    if (seen.has(operation.opId)) return `record ${seq} repeats op_id ${operation.opId}`
    seen.add(operation.opId)
  }
  return null
}

function refusalsWriteNothing({ steps }: Evidence): string | null {
  const wrote = steps.find(
    ({ commit, seqBefore, seqAfter }) => !commit.decision.ok && (seqAfter !== seqBefore || commit.entries.length > 0),
  )
  return wrote === undefined ? null : `${wrote.command.type} was refused and wrote records up to ${wrote.seqAfter}`
}

function acknowledgedIsThere({ entries, steps }: Evidence): string | null {
  for (const { commit } of steps) {
    for (const entry of commit.entries) {
      if (!sameWords(entries[entry.seq - 1], entry)) return `record ${entry.seq} was acknowledged and is not in the log`
    }
  }
  return null
}

/** The checksum of a record is taken over the one before it and the line as it is written. */
export const sumAfter = (before: string, entry: Entry): string =>
  sha256Hex(new TextEncoder().encode(before + JSON.stringify(entryToWire(entry))), 16)

function chainHolds({ entries, sums, final }: Evidence): string | null {
  if (!final) return null
  let sum = ''
  for (const [index, entry] of entries.entries()) {
    sum = sumAfter(sum, entry)
    if (index < sums.length && sums[index] !== sum) return `record ${entry.seq} is not what it was`
  }
  return sums.length > entries.length ? `${sums.length - entries.length} records are gone` : null
}

function clockGoesOn({ entries }: Evidence): string | null {
  for (const [index, entry] of entries.entries()) {
    const before = entries[index - 1]
    if (before === undefined || entry.operation.op === 'boot') continue
    if (entry.clk.b !== before.clk.b) return `record ${entry.seq} has another clock, and no boot record said so`
    if (entry.clk.m < before.clk.m) return `record ${entry.seq} is ${before.clk.m - entry.clk.m} ms before the one before it`
  }
  return null
}

function endsNameTheirStart({ entries }: Evidence): string | null {
  return walk(entries, ({ operation }, open) => {
    const named = namedEnd(operation)
    if (named === null || !('resources' in operation)) return null
    for (const key of operation.resources) {
      const span = open.get(key)
      if (span?.token !== named.token) return `ends token ${named.token} of ${key}, which has ${span?.token}`
      if (!sameWords(span.holder, named.holder)) return `ends ${key} of ${named.holder.agentId}, which ${span.holder.agentId} holds`
    }
    return null
  })
}

function namedEnd(operation: Entry['operation']): { token: number; holder: Holder } | null {
  if (operation.op === 'release') return operation
  if (operation.op === 'auto-evict' || operation.op === 'force-evict')
    return { token: operation.previousToken, holder: operation.previousHolder }
  return isBeginning(operation) ? operation.from : null
}
