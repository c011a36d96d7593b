import { evolve } from '../../core/evolve.ts'
import { emptySlot } from '../../core/lease.ts'
import type { Slot } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { isOwnership } from '../../core/operation.ts'
import { sessionKey } from '../../core/session.ts'
import { leaseFromStored, leaseToStored, pastFromStored, pastToStored, sessionFromWire, sessionToWire } from '../../core/wire.ts'
import type { Progress, Verified, VerifyFault } from '../maintenance.ts'
import { overCompactions } from './gateway.ts'
import type { Gateway } from './gateway.ts'
import { prefixEnd } from './keys.ts'
import type { Names } from './keys.ts'
import { breach } from './laws.ts'
import { between, only, pairsOf, revisionOf } from './messages.ts'
import type { Pair, RangeAnswer } from './messages.ts'
import { pairsBelow } from './pages.ts'
import { positionOf } from './positions.ts'
import { countedFromPair, headFromPair, isUnreadable, logFromPair, settingsFromValue } from './values.ts'
import type { Counted, Head, Logged, SpaceSettings } from './values.ts'

/** Faults that are listed; one wrong record can make many later ones wrong. */
const maxFaults = 50

/** How often progress is told, names. */
const tellEvery = 1000

/** Where records are kept that are about no key, which only a move brings. They have no head. */
const wholeStore = 'store'

/** What the head of a key, and all that stands beside it, says of it. */
interface Claim {
  head: Head | null
  readonly mod: number
  beat: string | null
}

/** A record that was read, with what orders it. */
interface Read {
  readonly n: number
  readonly mod: number
  readonly seq: number
  readonly logged: Logged | null
}

/** The records of one key so far. */
interface Trail {
  readonly resource: string
  last: Read | null
  /** What the records make of it; what they do not tell, because older ones were dropped, is not known. */
  slot: Slot
  knowsLease: boolean
  knowsPast: boolean
  /** False after a record that could not be read, or not be understood: what it did is not known. */
  isSound: boolean
  lastToken: number
}

/**
 * Reads all of a space as it was at one revision, and believes none of it: each key's records are numbered without a gap from the oldest
 * one that was kept, positions and tokens only grow, no record does what none may do, and each head, session, lease id and limit is what
 * the records make of it. Nothing is locked and nobody waits. It cannot notice somebody who rewrites everything, nor a key of which all is
 * gone. Memory grows with the keys, not with the records.
 */
export const verifySpace = (gateway: Gateway, names: Names, shown: string, onProgress: Progress = () => {}): Promise<Verified> =>
  overCompactions(() => verified(gateway, names, shown, onProgress))

async function verified(gateway: Gateway, names: Names, shown: string, onProgress: Progress): Promise<Verified> {
  const { body } = await gateway.call<RangeAnswer>('/v3/kv/range', only(names.cfg))
  const revision = revisionOf(body)
  const [cfg] = pairsOf(body)
  const { body: counted } = await gateway.call<RangeAnswer>('/v3/kv/range', {
    ...between(names.root, prefixEnd(names.root)),
    count_only: true,
    revision: String(revision),
  })
  const verifier = new Verifier(names, revision, Number(counted.count ?? 0), onProgress)
  if (cfg === undefined) {
    if (Number(counted.count ?? 0) > 0) verifier.fault(names.cfg, null, 'it is missing, and there are leases')
  } else verifier.settings(cfg, shown)
  const parts: readonly (readonly [string, (pair: Pair) => void])[] = [
    [`${names.root}base/`, pair => verifier.base(pair)],
    [names.claims, pair => verifier.claim(pair)],
    [names.ids, pair => verifier.id(pair)],
    [`${names.root}o/`, pair => verifier.remembered(pair)],
    [names.limits, pair => verifier.limits(pair)],
    [names.logs, pair => verifier.record(pair)],
  ]
  for (const [prefix, look] of parts)
    // oxlint-disable-next-line no-await-in-loop -- the records come last, when all that they are compared with is known
    for await (const pair of pairsBelow(gateway, prefix, revision)) verifier.look(pair, look)
  return verifier.result()
}

/** Carries the fold through all keys and writes down what is wrong. */
class Verifier {
  readonly #names: Names
  readonly #revision: number
  readonly #total: number
  readonly #onProgress: Progress
  readonly #faults: VerifyFault[] = []
  #faultCount = 0
  #done = 0
  #records = 0
  #bytes = 0
  #firstSeq = 0
  #lastSeq = 0
  #foreign: Verified['foreign'] = null
  #settings: SpaceSettings | null = null
  readonly #base = new Map<string, Slot>()
  readonly #claims = new Map<string, Claim>()
  readonly #resourceOf = new Map<string, string>()
  readonly #ops = new Map<string, { readonly name: string; readonly seq: number }>()
  #counted: readonly Counted[] = []
  #trail: Trail | null = null
  readonly #told = new Set<string>()

  constructor(names: Names, revision: number, total: number, onProgress: Progress) {
    this.#names = names
    this.#revision = revision
    this.#total = total
    this.#onProgress = onProgress
  }

  fault(key: string, seq: number | null, message: string): void {
    this.#faultCount++
    if (this.#faults.length < maxFaults) this.#faults.push({ file: null, key, line: null, offset: null, seq, message })
  }

  look(pair: Pair, look: (pair: Pair) => void): void {
    if (this.#done++ % tellEvery === 0) this.#onProgress(this.#done, this.#total)
    try {
      look(pair)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      this.fault(pair.name, null, 'it cannot be read')
    }
  }

  settings(pair: Pair, shown: string): void {
    this.look(pair, ({ value }) => void (this.#settings = settingsFromValue(value, shown)))
  }

  /** A part of the state before the first record, which a move brought. */
  base({ value }: Pair): void {
    const { lease, past, session } = JSON.parse(value)
    const stored = lease ?? past
    const resource: string | null = stored?.resource ?? (session === undefined ? null : sessionKey(sessionFromWire(session).sessionId))
    if (resource === null) return
    const slot = this.#base.get(resource) ?? emptySlot
    if (lease !== undefined) this.#base.set(resource, { ...slot, lease: leaseFromStored(lease) })
    else if (past !== undefined) this.#base.set(resource, { ...slot, past: pastFromStored(past) })
    else this.#base.set(resource, { ...slot, session: sessionFromWire(session) })
  }

  claim(pair: Pair): void {
    const place = this.#names.partOf(pair.name)
    if (place === null) return
    const { resource, part } = place
    const known: Claim = this.#claims.get(resource) ?? { head: null, mod: 0, beat: null }
    // What cannot be read is there all the same: its records are looked at for themselves.
    if (part === 'head') this.#claims.set(resource, { ...known, mod: pair.mod })
    if (part === 'head') this.#claims.set(resource, { ...known, mod: pair.mod, head: headFromPair(pair) })
    else if (part === 'beat') this.#claims.set(resource, { ...known, beat: pair.lease })
  }

  id({ value }: Pair): void {
    for (const [leaseId, resource] of JSON.parse(value) as readonly (readonly [string, string])[]) this.#resourceOf.set(leaseId, resource)
  }

  remembered(pair: Pair): void {
    const { opId = null } = logFromPair(pair)?.entry.operation ?? {}
    if (opId === null) return
    const { seq } = logFromPair(pair)!.entry
    if (this.#names.op(opId) !== pair.name) this.fault(pair.name, seq, 'it is under the name of another op_id')
    else this.#ops.set(opId, { name: pair.name, seq })
  }

  limits(pair: Pair): void {
    this.#counted = countedFromPair(pair)
  }

  record(pair: Pair): void {
    const [key = '', number = ''] = pair.name.slice(this.#names.logs.length).split('/')
    const resource = decodeURIComponent(key)
    if (this.#trail?.resource !== resource) {
      this.#end()
      this.#trail = this.#begin(resource)
    }
    this.#records++
    this.#bytes += Buffer.byteLength(pair.name) + Buffer.byteLength(pair.value)
    const trail = this.#trail
    const n = Number(number)
    if (trail.last === null) this.#first(trail, n)
    else if (n !== trail.last.n + 1) {
      this.fault(pair.name, trail.last.seq, `${missing(trail.last.n + 1, n - 1)} missing before it`)
      trail.isSound = false
    }
    const logged = this.#understood(pair)
    const seq = logged?.entry.seq ?? trail.last?.seq ?? 0
    if (logged === null) trail.isSound = false
    else this.#judge(trail, pair, logged)
    trail.last = { n, mod: pair.mod, seq, logged }
  }

  /** The oldest record that was kept is the one that the head says. */
  #first(trail: Trail, n: number): void {
    const logFrom = this.#claims.get(trail.resource)?.head?.logFrom ?? 1
    if (n === logFrom) return
    this.fault(this.#names.log(trail.resource, Math.min(n, logFrom)), null, misplaced(logFrom, n))
    trail.isSound = false
  }

  #understood(pair: Pair): Logged | null {
    try {
      const logged = logFromPair(pair)
      if (logged !== null) return logged
      const { op } = JSON.parse(pair.value)
      this.#foreign ??= { seq: positionOf(this.#settings?.tokenBase ?? 0, pair.mod), op: String(op) }
    } catch (error) {
      if (!isUnreadable(error)) throw error
      this.fault(pair.name, null, 'it cannot be read')
    }
    return null
  }

  #begin(resource: string): Trail {
    const claim = this.#claims.get(resource)
    const isWhole = (claim?.head?.logFrom ?? 1) === 1
    const slot = this.#base.get(resource) ?? emptySlot
    return { resource, last: null, slot, knowsLease: isWhole, knowsPast: isWhole, isSound: true, lastToken: 0 }
  }

  #judge(trail: Trail, pair: Pair, logged: Logged): void {
    const { entry } = logged
    const { resource, last } = trail
    if (!logged.isCopy) this.#span(entry.seq)
    const end = positionOf(this.#settings?.tokenBase ?? 0, this.#revision)
    if (entry.seq > end) this.fault(pair.name, entry.seq, `its position is after the end, which is ${end}`)
    const isTogether = last?.logged?.transaction === logged.transaction && last.logged.index < logged.index
    if (last !== null && (entry.seq < last.seq || (entry.seq === last.seq && !isTogether)))
      this.fault(pair.name, entry.seq, `its position is not larger than ${last.seq}, which came before it`)
    if (last !== null && pair.mod < last.mod) this.fault(pair.name, entry.seq, 'the record before it was written later than it')
    const { mod = 0 } = this.#claims.get(resource) ?? {}
    if (resource !== wholeStore && mod > 0 && pair.mod > mod) this.fault(pair.name, entry.seq, 'it was written later than its head')
    if (!logged.isCopy) this.#remember(pair, entry)
    if (trail.isSound && trail.knowsLease) {
      const wrong = breach(trail.slot, entry, resource, trail.lastToken)
      if (wrong !== null) this.fault(pair.name, entry.seq, wrong)
    }
    this.#fold(trail, entry)
  }

  #fold(trail: Trail, entry: Entry): void {
    const { operation } = entry
    const held = trail.slot.lease
    trail.slot = evolve(trail.slot, entry, trail.resource)
    if (!isOwnership(operation)) {
      if (held !== null && trail.slot.lease === null) trail.knowsPast ||= trail.slot.past?.outcome !== null
      return
    }
    trail.knowsLease = true
    trail.lastToken = Math.max(trail.lastToken, entry.seq)
  }

  /** What is kept for the op_id is the record that is in the log. */
  #remember({ name }: Pair, { seq, operation: { opId } }: Entry): void {
    const op = opId === null ? undefined : this.#ops.get(opId)
    if (op !== undefined && op.seq !== seq) this.fault(op.name, op.seq, `it remembers position ${op.seq}, and ${name} has ${seq}`)
  }

  #span(seq: number): void {
    this.#firstSeq = this.#firstSeq === 0 ? seq : Math.min(this.#firstSeq, seq)
    this.#lastSeq = Math.max(this.#lastSeq, seq)
  }

  /** The last record of a key was read: is its head what they make of it? */
  #end(): void {
    const trail = this.#trail
    if (trail === null || trail.resource === wholeStore) return
    const { resource, last } = trail
    this.#told.add(resource)
    const name = this.#names.head(resource)
    const claim = this.#claims.get(resource)
    if (claim === undefined || claim.mod === 0) return this.fault(name, last?.seq ?? null, 'it is missing, and there are records about it')
    const { head } = claim
    if (head === null) return
    if (last!.n !== head.n) {
      this.fault(this.#names.log(resource, head.n), last!.seq, `the last record is number ${last!.n}, and its head counts ${head.n}`)
      return
    }
    if (trail.isSound) this.#compare(name, head.slot, trail)
  }

  #compare(name: string, stored: Slot, { slot, knowsLease, knowsPast, last }: Trail): void {
    const seq = last?.seq ?? null
    if (knowsLease) {
      const [is, should] = [leaseIn(stored), leaseIn(slot)]
      if (is !== should) this.fault(name, seq, `what it says of its holder is not what the records say: ${difference(is, should)}`)
    }
    // A move brings a limited number of those that have ended.
    const isLeftOut = stored.past === null && (slot.past?.endedSeq ?? 0) <= (this.#settings?.tokenBase ?? 0)
    if (knowsLease && knowsPast && !isLeftOut) {
      const [is, should] = [pastIn(stored), pastIn(slot)]
      if (is !== should) this.fault(name, seq, `what it says of its last end is not what the records say: ${difference(is, should)}`)
    }
    if (knowsPast) {
      const [is, should] = [sessionIn(stored), sessionIn(slot)]
      if (is !== should) this.fault(name, seq, `what it says of the session is not what the records say: ${difference(is, should)}`)
    }
  }

  result(): Verified {
    this.#end()
    this.#trail = null
    for (const [resource, claim] of this.#claims) this.#whole(resource, claim)
    this.#limits()
    this.#onProgress(this.#total, this.#total)
    const held = [...this.#claims.values()].filter(({ head }) => head !== null && head.slot.lease !== null)
    return {
      records: this.#records,
      segments: 0,
      keys: this.#claims.size,
      bytes: this.#bytes,
      firstSeq: this.#firstSeq,
      lastSeq: this.#lastSeq,
      leases: held.length,
      tornBytes: 0,
      foreign: this.#foreign,
      faults: this.#faults,
      moreFaults: this.#faultCount - this.#faults.length,
    }
  }

  /** A head, and what stands beside it; and what has no records at all. */
  #whole(resource: string, { head, mod, beat }: Claim): void {
    const name = this.#names.head(resource)
    if (head === null) {
      if (mod === 0) this.fault(this.#names.beat(resource), null, 'it is there without a head')
      return
    }
    if (!this.#told.has(resource) && head.n >= head.logFrom)
      this.fault(this.#names.log(resource, head.logFrom), null, `${missing(head.logFrom, head.n)} missing: there is none about this key`)
    const { lease } = head.slot
    const end = positionOf(this.#settings?.tokenBase ?? 0, this.#revision)
    if (lease === null) {
      if (beat !== null) this.fault(this.#names.beat(resource), null, 'somebody is heard of, and nobody holds it')
      return
    }
    if (lease.token > end) this.fault(name, null, `its token ${lease.token} is after the end, which is ${end}`)
    if (beat !== null && beat !== head.engineLease)
      this.fault(this.#names.beat(resource), null, `it is attached to engine lease ${beat}, and its head names ${head.engineLease}`)
    if (this.#resourceOf.get(lease.leaseId) !== resource)
      this.fault(this.#names.id(lease.group?.id ?? lease.leaseId), null, `the lease id ${lease.leaseId} does not lead to ${resource}`)
  }

  /** The indefinite ownerships that are counted are those that there are. */
  #limits(): void {
    const held = [...this.#claims.values()].flatMap(({ head }) => (head?.slot.lease?.ttlSecs === 0 ? [head.slot.lease.token] : []))
    const [is, should] = [tokensIn(this.#counted.map(({ token }) => token)), tokensIn(held)]
    if (is !== should)
      this.fault(this.#names.limits, null, `it counts the tokens [${is}], and those that last without an end are [${should}]`)
  }
}

const tokensIn = (tokens: readonly number[]): string => [...new Set(tokens)].toSorted((a, b) => a - b).join(', ')

const missing = (from: number, to: number): string => (from === to ? `record ${from} is` : `records ${from} to ${to} are`)

const misplaced = (logFrom: number, first: number): string =>
  first > logFrom
    ? `${missing(logFrom, first - 1)} missing: its head says that records are kept from ${logFrom} on`
    : `its head says that records are kept from ${logFrom} on, and the first one is ${first}`

/** What a lease is apart from when it was heard of: beats leave no record. */
function leaseIn({ lease }: Slot): string {
  if (lease === null) return 'nobody'
  const { leaseId, resource, state, holder, token, ttlSecs, staleSecs, acquiredAt, branch, reason, note, binding, group } = leaseFromStored(
    leaseToStored(lease),
  )
  return JSON.stringify({ token, leaseId, resource, state, holder, ttlSecs, staleSecs, acquiredAt, branch, reason, note, binding, group })
}

const pastIn = ({ past }: Slot): string => (past === null ? 'none' : JSON.stringify(pastToStored(past)))

const sessionIn = ({ session }: Slot): string => (session === null ? 'none' : JSON.stringify(sessionToWire(session)))

/** Where two of them part, with a few words before it. */
function difference(is: string, should: string): string {
  let at = 0
  while (at < Math.min(is.length, should.length) && is[at] === should[at]) at++
  const from = Math.max(0, at - 16)
  const [one, other] = [is, should].map(text => (text.length > 80 ? `${from > 0 ? '…' : ''}${text.slice(from, from + 64)}…` : text))
  return `${one} against ${other}`
}
