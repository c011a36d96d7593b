import type { Binding, Holder, Lease } from './lease.ts'
import { isExpired, isFinal, isStale, sameHolder } from './lease.ts'
import type { BeatOperation, Entry, EvictOperation, Operation, OwnershipOperation } from './operation.ts'
import type { Policy } from './policy.ts'
import { bounds, isTtl } from './policy.ts'
import type { Presented, Refusal } from './refusal.ts'
import { isPath, pathsOverlap } from './resource.ts'
import { ulidAfter } from './ulid.ts'
import type { View } from './view.ts'

/** What every command that changes something carries. Ids are made by the caller: the core makes none. */
interface Asked {
  /** Identity of the one who asks. */
  readonly holder: Holder
  readonly opId: string
  /** The caller chose `opId` and may be repeating a command whose answer was lost. */
  readonly retry: boolean
}

/** Names a lease by its key or by its id. */
export type Target = { readonly resource: string } | { readonly leaseId: string }

/** Take resources, all or nothing. */
export interface Acquire extends Asked {
  readonly type: 'acquire' | 'reserve'
  readonly resources: readonly string[]
  /** A fresh ULID; the members of a group get consecutive ones. */
  readonly leaseId: string
  /** Seconds, 0 = indefinite; null = the policy's, or unchanged when it is already held. */
  readonly ttlSecs: number | null
  readonly branch: string | null
  readonly reason: string | null
  readonly binding: Binding | null
  readonly presented: Presented
  /** Also what its last holder finished: to close it, to reopen it or to correct its text. */
  readonly finishedToo?: boolean
}

/** Take the first of several that nobody holds; one that the caller holds is not given to it a second time. */
export interface AcquireFirst extends Omit<Acquire, 'type' | 'resources'> {
  readonly type: 'acquire-first'
  /** In order of preference. */
  readonly candidates: readonly string[]
}

/** Show that the lease is still the caller's, for an effect in the same locked step; renews it when its deadline has passed. */
export interface Guard extends Asked {
  readonly type: 'guard'
  readonly target: Target
  readonly presented: Presented
}

/** Turn a reservation into a claim of the agent that was launched. */
export interface Confirm extends Asked {
  readonly type: 'confirm'
  readonly target: Target
  readonly token: number
  /** A fresh ULID for the new ownership. */
  readonly leaseId: string
  readonly ttlSecs: number | null
  readonly binding: Binding | null
}

/** Say that the holder lives. */
export interface Beat extends Asked {
  readonly type: 'renew' | 'heartbeat'
  readonly target: Target
  readonly presented: Presented
  /** A new TTL in seconds, or null to keep it. */
  readonly ttlSecs: number | null
  readonly note: string | null
  readonly reason: string | null
}

/** Give back. */
export interface Release extends Asked {
  readonly type: 'release'
  readonly target: Target
  readonly presented: Presented
  /** Split this one off its group. */
  readonly only: boolean
  readonly reason: string | null
  readonly outcome: string | null
}

/** Hand over to another holder. */
export interface Transfer extends Asked {
  readonly type: 'transfer'
  readonly target: Target
  readonly presented: Presented
  readonly to: Holder
  /** A fresh ULID for the new ownership. */
  readonly leaseId: string
  readonly ttlSecs: number | null
  readonly reason: string
}

/** The same agent goes on in another session; the old session's token ends. */
export interface Resume extends Asked {
  readonly type: 'resume'
  readonly target: Target
  readonly binding: Binding | null
}

/** Take over a stale indefinite lease, guarded by the token read just before. */
export interface Reclaim extends Asked {
  readonly type: 'reclaim'
  readonly target: Target
  readonly token: number
  /** A fresh ULID for the new ownership. */
  readonly leaseId: string
  readonly reason: string | null
}

/** A person ends somebody's lease. */
export interface ForceEvict extends Asked {
  readonly type: 'force-evict'
  readonly target: Target
  readonly reason: string
  /** Evict only this ownership, if given. */
  readonly token: number | null
}

/** Let the work of an ownership through although its lease was lost; recorded, and nothing else. */
export interface Allow extends Asked {
  readonly type: 'allow'
  readonly resource: string
  /** The ownership: the one that holds now, or one of before. */
  readonly token: number
  /** Its lease id, which whoever asks has looked up. */
  readonly leaseId: string
  readonly reason: string
}

/** Evict what time or a proven death has ended; everything, or one key. */
export interface Sweep extends Asked {
  readonly type: 'sweep'
  readonly resource: string | null
}

export type Command = Acquire | AcquireFirst | Guard | Confirm | Beat | Release | Transfer | Resume | Reclaim | ForceEvict | Allow | Sweep

/** What a command did, apart from the leases it leaves behind. */
export interface Outcome {
  /** Keys whose leases are the answer. */
  readonly resources: readonly string[]
  /** The leases that this command ended. */
  readonly ended: readonly Lease[]
  readonly alreadyHeld: boolean
  readonly late: boolean
  /** The record of the first answer, when the op_id had been used before. */
  readonly replayOf: Entry | null
}

export type Decision =
  | { readonly ok: true; readonly operations: readonly Operation[]; readonly outcome: Outcome }
  | { readonly ok: false; readonly refusal: Refusal }

/**
 * The rules. Pure: everything it needs is in its arguments, and a refusal writes nothing. Shape after emmett's `Decider` and the
 * lease design of etcd's `concurrency` package: ownership is one create-if-absent step whose position is the fence.
 */
export function decide(command: Command, view: View, chosen: Policy): Decision {
  const policy = view.limits === null ? chosen : { ...chosen, ...view.limits }
  const replay = replayed(command, view)
  if (replay !== null) return replay
  const presented = presentedBy(command)
  // A token from the future means that this log is not the one that granted it.
  if (presented.token !== null && presented.token > view.lastSeq)
    return refuse({ kind: 'store-reset', token: presented.token, lastSeq: view.lastSeq })
  switch (command.type) {
    case 'acquire':
    case 'reserve':
      return acquire(command, view, policy)
    case 'acquire-first':
      return acquireFirst(command, view, policy)
    case 'guard':
      return guard(command, view)
    case 'confirm':
      return confirm(command, view, policy)
    case 'renew':
    case 'heartbeat':
      return beat(command, view, policy)
    case 'release':
      return release(command, view)
    case 'transfer':
      return transfer(command, view, policy)
    case 'resume':
      return resume(command, view)
    case 'reclaim':
      return reclaim(command, view, policy)
    case 'force-evict':
      return forceEvict(command, view)
    case 'allow':
      return allow(command)
    case 'sweep':
      return sweep(command, view)
  }
}

const noProof: Presented = { leaseId: null, token: null }

function presentedBy(command: Command): Presented {
  if ('presented' in command) return command.presented
  return 'token' in command ? { leaseId: null, token: command.token } : noProof
}

const nothing: Omit<Outcome, 'resources'> = { ended: [], alreadyHeld: false, late: false, replayOf: null }

const refuse = (refusal: Refusal): Decision => ({ ok: false, refusal })

const accept = (operations: readonly Operation[], outcome: Partial<Outcome> & Pick<Outcome, 'resources'>): Decision => ({
  ok: true,
  operations,
  outcome: { ...nothing, ...outcome },
})

/** The same op_id again gives the first answer; on another command it is a mistake. */
function replayed(command: Command, view: View): Decision | null {
  if (!command.retry) return null
  const entry = view.recall(command.opId)
  if (entry === null) return null
  const { operation } = entry
  if (!('resources' in operation) || !isSameCommand(command, entry, operation, view)) {
    return refuse({
      kind: 'op-id-reused',
      opId: command.opId,
      op: operation.op,
      resources: 'resources' in operation ? operation.resources : [],
    })
  }
  const resources = 'resources' in command ? command.resources : operation.resources
  return accept([], { resources, replayOf: entry, alreadyHeld: command.type === 'acquire' && operation.op === 'renew' })
}

function isSameCommand(
  command: Command,
  { seq }: Entry,
  operation: Operation & { readonly resources: readonly string[]; readonly leaseIds: readonly string[] },
  view: View,
): boolean {
  if (command.type === 'sweep' || command.type === 'guard') return false
  // The candidates may be others by now; what was given then is the answer.
  if (command.type === 'acquire-first') return operation.op === 'acquire' && operation.resources.length === 1
  if ('resources' in command) {
    const others = command.resources.filter(key => !operation.resources.includes(key))
    // A renewal is of the whole group, whichever of its members were asked for.
    const fits =
      operation.op === 'renew' || (operation.op === command.type && operation.resources.every(key => command.resources.includes(key)))
    return fits && others.length < command.resources.length && others.every(key => wasTheirs(command, key, seq, view))
  }
  if (operation.op !== command.type) return false
  if (command.type === 'allow')
    return operation.op === 'allow' && operation.resources[0] === command.resource && operation.token === command.token
  return 'resource' in command.target
    ? operation.resources.includes(command.target.resource)
    : operation.leaseIds.includes(command.target.leaseId) || previousIds(operation).includes(command.target.leaseId)
}

/** What the caller already held when the record was made is not named in it. */
function wasTheirs(command: Acquire, key: string, seq: number, view: View): boolean {
  const lease = view.lease(key)
  if (lease !== null && lease.token < seq) return sameHolder(lease.holder, command.holder)
  const past = view.past(key)
  return past !== null && past.token < seq && past.endedSeq > seq && sameHolder(past.holder, command.holder)
}

const previousIds = (operation: Operation): readonly string[] =>
  'from' in operation && operation.from !== null ? operation.from.leaseIds : []

// ── acquire and reserve ──────────────────────────────────────────────────────────────────────────────────────────────────

function acquire(command: Acquire, view: View, policy: Policy): Decision {
  if (command.resources.length > bounds.maxResources) return refuse({ kind: 'too-many', count: command.resources.length })
  const bad = badTtl(command)
  if (bad !== null) return refuse(bad)
  const survey = surveyAll(command, view)
  if ('refusal' in survey) return refuse(survey.refusal)
  const { mine, wanted, evictable } = survey
  const ttlSecs = command.ttlSecs ?? policy.ttlSecs
  const becoming = Number(wanted.length > 0 && ttlSecs === 0) + becomingIndefinite(command, mine)
  if (becoming > 0) {
    const refusal = indefiniteRefusal(command.holder.agentId, command.reason, view, policy, { adding: becoming, leaving: evictable })
    if (refusal !== null) return refuse(refusal)
  }
  const beats = beatsOf(command, mine, view)
  const evictions = evictable.map(({ members, reason }) => autoEvict(members, reason, command.holder.agentId))
  const operations = [...evictions, ...beats, ...(wanted.length === 0 ? [] : [grant(command, wanted, ttlSecs, policy)])]
  return accept(underOpId(operations, command.opId), {
    resources: command.resources,
    alreadyHeld: wanted.length === 0,
    late: mine.some(lease => isExpired(lease, view.now)),
    ended: evictable.flatMap(({ members }) => members),
  })
}

/** Refusals that are about one candidate, and say nothing of the next. */
const passingOver: ReadonlySet<Refusal['kind']> = new Set(['held', 'reserved', 'lapsing', 'other-instance', 'pending', 'finished'])

function acquireFirst({ candidates, ...command }: AcquireFirst, view: View, policy: Policy): Decision {
  for (const key of candidates) {
    const lease = view.lease(key)
    if (lease !== null && !('reason' in endOfTime(lease, view))) continue
    const decision = acquire({ ...command, type: 'acquire', resources: [key] }, view, policy)
    if (decision.ok || !passingOver.has(decision.refusal.kind)) return decision
  }
  return refuse({ kind: 'none-free', candidates: candidates.length })
}

/** Only the last record carries the op_id: it is the one that completes the command. */
const underOpId = (operations: readonly Operation[], opId: string): readonly Operation[] =>
  operations.map((operation, index) => (index === operations.length - 1 ? { ...operation, opId } : operation))

function badTtl(command: Acquire): Refusal | null {
  const { ttlSecs } = command
  if (command.type === 'reserve') {
    const possible = ttlSecs !== null && ttlSecs > 0 && ttlSecs <= bounds.maxReservationSecs
    return possible ? null : { kind: 'bad-ttl', ttlSecs: ttlSecs ?? 0, reservation: true }
  }
  return ttlSecs === null || isTtl(ttlSecs) ? null : { kind: 'bad-ttl', ttlSecs, reservation: false }
}

interface Evictable {
  readonly members: readonly Lease[]
  readonly reason: 'ttl' | 'holder-dead' | 'reservation-lapsed'
}

interface Survey {
  readonly mine: readonly Lease[]
  readonly wanted: readonly string[]
  readonly evictable: readonly Evictable[]
}

/** Looks at every key before anything is decided: all or nothing. */
function surveyAll(command: Acquire, view: View): Survey | { readonly refusal: Refusal } {
  const mine: Lease[] = []
  const wanted: string[] = []
  const evictable = new Map<number, Evictable>()
  for (const key of command.resources) {
    const own = view.lease(key)
    const isMine = own !== null && owns(command, own) && !isLeftBehind(own, view)
    if (isMine && own.state === 'pending' && command.type === 'acquire') return { refusal: { kind: 'pending', lease: own } }
    if (isMine && own.state === 'held' && command.type === 'reserve') return { refusal: { kind: 'held', lease: own, wanted: key } }
    if (isMine && own.binding !== null && command.binding !== null) return { refusal: { kind: 'other-instance', lease: own } }
    if (isMine) {
      mine.push(own)
      continue
    }
    const past = view.past(key)
    if (command.finishedToo !== true && isFinal(past)) return { refusal: { kind: 'finished', past } }
    wanted.push(key)
    const reservation = view.reservation(key)
    if (reservation !== null) return { refusal: { kind: 'reserved', reservation } }
    for (const lease of inTheWay(command, key, own, view)) {
      const end = endOfTime(lease, view)
      if (!('reason' in end)) return { refusal: end.refusal ?? blocked(command, lease, key) }
      if (!evictable.has(lease.token)) evictable.set(lease.token, { members: membersOf(lease, view), reason: end.reason })
    }
  }
  // A stranger with proof may keep one key of an ownership and be in the way of another: it cannot be renewed and evicted in one step.
  const kept = mine.find(lease => evictable.has(lease.token))
  if (kept !== undefined) return { refusal: { kind: 'held', lease: kept, wanted: kept.resource } }
  return { mine, wanted, evictable: [...evictable.values()] }
}

function* inTheWay(command: Acquire, key: string, own: Lease | null, view: View): Generator<Lease> {
  if (own !== null) yield own
  if (!isPath(key)) return
  for (const lease of view.paths()) {
    if (lease.resource !== key && !sameHolder(lease.holder, command.holder) && pathsOverlap(lease.resource, key)) yield lease
  }
}

/** Its process died. Even its own holder starts anew then: a lease bound to the dead would be evicted under the living. */
const isLeftBehind = (lease: Lease, view: View): boolean => lease.binding !== null && view.boundDead(lease)

const owns = (command: Acquire, lease: Lease): boolean =>
  sameHolder(command.holder, lease.holder) || (command.presented.leaseId === lease.leaseId && command.presented.token === lease.token)

function blocked(command: Acquire, lease: Lease, wanted: string): Refusal {
  const { holder } = command
  const sameAgent = lease.holder.agentId === holder.agentId && lease.holder.worktreeId === holder.worktreeId
  if (lease.state === 'pending') return { kind: 'held', lease, wanted }
  return sameAgent && lease.resource === wanted ? { kind: 'other-instance', lease } : { kind: 'held', lease, wanted }
}

/** May this lease be ended without its holder? If so, why; if it is being watched first, until when. */
function endOfTime(lease: Lease, view: View): { readonly reason: Evictable['reason'] } | { readonly refusal: Refusal | null } {
  if (isLeftBehind(lease, view)) return { reason: 'holder-dead' }
  const lapse = view.lapse(lease)
  switch (lapse.state) {
    case 'running':
      return { refusal: null }
    case 'lapsing':
      return { refusal: { kind: 'lapsing', lease, retryAfterMs: lapse.retryAfterMs } }
    case 'over':
      return { reason: lease.state === 'pending' ? 'reservation-lapsed' : 'ttl' }
  }
}

function membersOf(lease: Lease, view: View): readonly Lease[] {
  if (lease.group === null) return [lease]
  return lease.group.resources.map(key => view.lease(key)).filter((member): member is Lease => member?.token === lease.token)
}

const autoEvict = (members: readonly Lease[], reason: Evictable['reason'], actor: string): EvictOperation => ({
  op: 'auto-evict',
  opId: null,
  actor,
  ...subjectOf(members),
  previousHolder: members[0]!.holder,
  previousToken: members[0]!.token,
  reason,
})

const subjectOf = (leases: readonly Lease[]): { resources: readonly string[]; leaseIds: readonly string[] } => ({
  resources: leases.map(lease => lease.resource),
  leaseIds: leases.map(lease => lease.leaseId),
})

function grant(command: Acquire, wanted: readonly string[], ttlSecs: number, policy: Policy): OwnershipOperation {
  return {
    op: command.type,
    opId: null,
    actor: command.holder.agentId,
    resources: wanted,
    leaseIds: wanted.map((_, index) => ulidAfter(command.leaseId, index)),
    holder: command.holder,
    ttlSecs,
    staleSecs: policy.staleSecs,
    branch: command.branch,
    reason: command.reason,
    binding: command.binding,
    from: null,
  }
}

/** An indefinite lease needs a reason and stays within two limits; evictions of the same step make room. */
function indefiniteRefusal(
  agentId: string,
  reason: string | null,
  view: View,
  policy: Policy,
  change: { readonly adding?: number; readonly leaving?: readonly Evictable[]; readonly except?: number } = {},
): Refusal | null {
  if (reason === null) return { kind: 'reason-required', what: 'an indefinite lease (ttl 0)' }
  const { adding = 1, leaving = [], except = null } = change
  const gone = new Set(leaving.map(({ members }) => members[0]!.token))
  const standing = view.indefinite().filter(({ token }) => !gone.has(token) && token !== except)
  const own = standing.filter(ownership => ownership.agentId === agentId)
  const named = (list: typeof standing): readonly string[] => list.map(({ resource }) => resource)
  if (own.length + adding > policy.maxIndefinitePerAgent) {
    return { kind: 'limit', scope: 'agent', limit: policy.maxIndefinitePerAgent, agentId, held: named(own) }
  }
  if (standing.length + adding > policy.maxIndefinitePerRepo) {
    return { kind: 'limit', scope: 'repo', limit: policy.maxIndefinitePerRepo, agentId, held: named(standing) }
  }
  return null
}

/** Ownerships that the caller has with a deadline and asks to have without one. */
const becomingIndefinite = (command: Acquire, mine: readonly Lease[]): number =>
  command.ttlSecs === 0 ? new Set(mine.filter(lease => lease.ttlSecs !== 0).map(lease => lease.token)).size : 0

/** Acquiring what one holds is a renewal of it, once for each ownership. */
const beatsOf = (command: Acquire, mine: readonly Lease[], view: View): readonly BeatOperation[] =>
  [...new Map(mine.map(lease => [lease.token, lease])).values()].map(lease =>
    beatOn(lease, 'renew', command.holder.agentId, command.ttlSecs, null, null, view),
  )

const beatOn = (
  lease: Lease,
  op: 'renew' | 'heartbeat',
  actor: string,
  ttlSecs: number | null,
  note: string | null,
  opId: string | null,
  view: View,
): BeatOperation => ({
  op,
  opId,
  actor,
  ...subjectOf(membersOf(lease, view)),
  token: lease.token,
  holder: lease.holder,
  ttlSecs: ttlSecs ?? lease.ttlSecs,
  late: isExpired(lease, view.now),
  note,
})

// ── what a holder does with its lease ────────────────────────────────────────────────────────────────────────────────────

/** Finds the lease that is meant, or says why there is none. */
function find(target: Target, presented: Presented, view: View): { readonly lease: Lease } | { readonly refusal: Refusal } {
  if ('leaseId' in target) {
    const lease = view.byLeaseId(target.leaseId)
    return lease === null ? { refusal: { kind: 'unknown-lease', leaseId: target.leaseId } } : { lease }
  }
  const lease = view.lease(target.resource)
  if (lease !== null) return { lease }
  const showsProof = presented.leaseId !== null || presented.token !== null
  const past = view.past(target.resource)
  if (showsProof) return { refusal: { kind: 'superseded', resource: target.resource, lease: null, past, presented } }
  return { refusal: { kind: 'not-held', resource: target.resource } }
}

/**
 * May the caller act for this lease? A presented token or lease id must match, identity does not rescue an old one; both together
 * are enough for anybody; alone or absent they leave the question to identity.
 */
function authorityRefusal(lease: Lease, holder: Holder, presented: Presented): Refusal | null {
  const { leaseId, token } = presented
  const wrong = (token !== null && token !== lease.token) || (leaseId !== null && leaseId !== lease.leaseId)
  if (wrong) return { kind: 'superseded', resource: lease.resource, lease, past: null, presented }
  if (leaseId !== null && token !== null) return null
  return sameHolder(holder, lease.holder) ? null : { kind: 'not-owner', lease }
}

/** `find` and `authorityRefusal` in one: the lease, if it is there and the caller's. */
function ownLease(
  command: { readonly target: Target; readonly presented: Presented; readonly holder: Holder },
  view: View,
): { readonly lease: Lease } | { readonly refusal: Refusal } {
  const presented = 'leaseId' in command.target ? { ...command.presented, leaseId: command.target.leaseId } : command.presented
  const found = find(command.target, presented, view)
  if ('refusal' in found) return found
  const refusal = authorityRefusal(found.lease, command.holder, presented)
  return refusal === null ? found : { refusal }
}

function beat(command: Beat, view: View, policy: Policy): Decision {
  if (command.ttlSecs !== null && !isTtl(command.ttlSecs)) return refuse({ kind: 'bad-ttl', ttlSecs: command.ttlSecs, reservation: false })
  const found = ownLease(command, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (command.ttlSecs === 0 && lease.state === 'pending') return refuse({ kind: 'bad-ttl', ttlSecs: 0, reservation: true })
  if (command.ttlSecs === 0 && lease.ttlSecs !== 0) {
    const refusal = indefiniteRefusal(lease.holder.agentId, command.reason, view, policy)
    if (refusal !== null) return refuse(refusal)
  }
  const operation = beatOn(lease, command.type, command.holder.agentId, command.ttlSecs, command.note, command.opId, view)
  return accept([operation], { resources: operation.resources, late: operation.late })
}

function guard(command: Guard, view: View): Decision {
  const found = ownLease(command, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (!isExpired(lease, view.now)) return accept([], { resources: [lease.resource] })
  const operation = beatOn(lease, 'renew', command.holder.agentId, null, null, command.opId, view)
  return accept([operation], { resources: operation.resources, late: true })
}

function release(command: Release, view: View): Decision {
  const found = ownLease(command, view)
  if ('refusal' in found) return alreadyReleased(command, view) ?? refuse(found.refusal)
  const { lease } = found
  const members = membersOf(lease, view)
  const leaving = command.only ? [lease] : members
  const staying = command.only ? members.filter(member => member.resource !== lease.resource) : []
  return accept(
    [
      {
        op: 'release',
        opId: command.opId,
        actor: command.holder.agentId,
        ...subjectOf(leaving),
        token: lease.token,
        holder: lease.holder,
        reason: command.reason,
        outcome: command.outcome,
        remaining: staying.length === 0 ? null : staying.map(member => member.resource),
      },
    ],
    { resources: leaving.map(each => each.resource), ended: leaving },
  )
}

/** A holder that repeats its own release is told that it is done. */
function alreadyReleased(command: Release, view: View): Decision | null {
  if (!('resource' in command.target) || view.lease(command.target.resource) !== null) return null
  const past = view.past(command.target.resource)
  if (past === null || past.endedBy !== 'release') return null
  const { leaseId, token } = command.presented
  const presentedIt = (token === null || token === past.token) && (leaseId === null || leaseId === past.leaseId)
  const isTheirs = sameHolder(command.holder, past.holder) || (leaseId !== null && token !== null)
  return presentedIt && isTheirs ? accept([], { resources: [command.target.resource] }) : null
}

function transfer(command: Transfer, view: View, policy: Policy): Decision {
  if (command.ttlSecs !== null && !isTtl(command.ttlSecs)) return refuse({ kind: 'bad-ttl', ttlSecs: command.ttlSecs, reservation: false })
  const found = ownLease(command, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (lease.state === 'pending') return refuse({ kind: 'pending', lease })
  if (sameHolder(lease.holder, command.to)) return refuse({ kind: 'same-holder', lease })
  const collision = collisionOf(lease, command.to, view)
  if (collision !== null) return refuse(collision)
  const ttlSecs = command.ttlSecs ?? lease.ttlSecs
  if (ttlSecs === 0) {
    const refusal = indefiniteRefusal(command.to.agentId, command.reason, view, policy, { except: lease.token })
    if (refusal !== null) return refuse(refusal)
  }
  const members = membersOf(lease, view)
  // The new owner is another process: what the old one was bound to says nothing about it.
  const operation = handOver('transfer', command, members, command.to, freshIds(command.leaseId, members), {
    ttlSecs,
    reason: command.reason,
    binding: null,
  })
  return accept([operation], { resources: operation.resources, ended: members })
}

/** One holder's paths may overlap; handing one of them to another would make two holders share files. */
function collisionOf(lease: Lease, to: Holder, view: View): Refusal | null {
  for (const { resource, token } of membersOf(lease, view)) {
    if (!isPath(resource)) continue
    for (const other of view.paths()) {
      const apart = other.token !== token && !sameHolder(other.holder, to)
      if (apart && pathsOverlap(other.resource, resource)) return { kind: 'held', lease: other, wanted: resource }
    }
  }
  return null
}

const freshIds = (seed: string, members: readonly Lease[]): readonly string[] => members.map((_, index) => ulidAfter(seed, index))

function handOver(
  op: 'transfer' | 'resume' | 'reclaim' | 'confirm',
  command: Asked,
  members: readonly Lease[],
  holder: Holder,
  leaseIds: readonly string[],
  terms: { readonly ttlSecs: number; readonly reason: string | null; readonly binding: Binding | null },
): OwnershipOperation {
  const lease = members[0]!
  return {
    op,
    opId: command.opId,
    actor: command.holder.agentId,
    resources: members.map(member => member.resource),
    leaseIds,
    holder,
    ttlSecs: terms.ttlSecs,
    staleSecs: lease.staleSecs,
    branch: lease.branch,
    reason: terms.reason,
    binding: terms.binding,
    from: { holder: lease.holder, token: lease.token, leaseIds: members.map(member => member.leaseId) },
  }
}

function confirm(command: Confirm, view: View, policy: Policy): Decision {
  if (command.ttlSecs !== null && !isTtl(command.ttlSecs)) return refuse({ kind: 'bad-ttl', ttlSecs: command.ttlSecs, reservation: false })
  const presented = { leaseId: null, token: command.token }
  const found = find(command.target, presented, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (lease.token !== command.token) return refuse({ kind: 'superseded', resource: lease.resource, lease, past: null, presented })
  if (lease.state !== 'pending') return refuse({ kind: 'not-pending', lease })
  const collision = collisionOf(lease, command.holder, view)
  if (collision !== null) return refuse(collision)
  const ttlSecs = command.ttlSecs ?? policy.ttlSecs
  if (ttlSecs === 0) {
    const refusal = indefiniteRefusal(command.holder.agentId, lease.reason, view, policy)
    if (refusal !== null) return refuse(refusal)
  }
  const members = membersOf(lease, view)
  const operation = handOver('confirm', command, members, command.holder, freshIds(command.leaseId, members), {
    ttlSecs,
    reason: lease.reason,
    binding: command.binding,
  })
  return accept([operation], { resources: operation.resources })
}

function resume(command: Resume, view: View): Decision {
  const found = find(command.target, noProof, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (lease.state === 'pending') return refuse({ kind: 'pending', lease })
  if (lease.holder.agentId !== command.holder.agentId || lease.holder.worktreeId !== command.holder.worktreeId) {
    return refuse({ kind: 'held', lease, wanted: lease.resource })
  }
  const members = membersOf(lease, view)
  if (sameHolder(lease.holder, command.holder) && !isLeftBehind(lease, view))
    return accept([], { resources: members.map(member => member.resource), alreadyHeld: true })
  const ids = members.map(member => member.leaseId)
  const operation = handOver('resume', command, members, command.holder, ids, {
    ttlSecs: lease.ttlSecs,
    reason: lease.reason,
    binding: command.binding,
  })
  return accept([operation], { resources: operation.resources })
}

function reclaim(command: Reclaim, view: View, policy: Policy): Decision {
  const presented = { leaseId: null, token: command.token }
  const found = find(command.target, presented, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (!isStale(lease, view.now)) return refuse({ kind: 'not-stale', lease })
  if (lease.token !== command.token) return refuse({ kind: 'superseded', resource: lease.resource, lease, past: null, presented })
  if (command.reason === null) return refuse({ kind: 'reason-required', what: 'a reclaim' })
  const collision = collisionOf(lease, command.holder, view)
  if (collision !== null) return refuse(collision)
  const limit = indefiniteRefusal(command.holder.agentId, command.reason, view, policy, { except: lease.token })
  if (limit !== null) return refuse(limit)
  const members = membersOf(lease, view)
  const terms = { ttlSecs: lease.ttlSecs, reason: command.reason, binding: null }
  const operation = handOver('reclaim', command, members, command.holder, freshIds(command.leaseId, members), terms)
  return accept([operation], { resources: operation.resources, ended: members })
}

// ── what others do ───────────────────────────────────────────────────────────────────────────────────────────────────────

function forceEvict(command: ForceEvict, view: View): Decision {
  if (command.reason.trim() === '') return refuse({ kind: 'reason-required', what: 'an eviction' })
  const presented = { leaseId: 'leaseId' in command.target ? command.target.leaseId : null, token: command.token }
  const found = find(command.target, presented, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { lease } = found
  if (command.token !== null && command.token !== lease.token)
    return refuse({ kind: 'superseded', resource: lease.resource, lease, past: null, presented })
  const members = membersOf(lease, view)
  const operation: EvictOperation = {
    ...autoEvict(members, 'ttl', command.holder.agentId),
    op: 'force-evict',
    opId: command.opId,
    reason: command.reason,
  }
  return accept([operation], { resources: operation.resources, ended: members })
}

function allow({ holder, opId, resource, token, leaseId, reason }: Allow): Decision {
  if (reason.trim() === '') return refuse({ kind: 'reason-required', what: 'letting lost work through' })
  return accept([{ op: 'allow', opId, actor: holder.agentId, resources: [resource], leaseIds: [leaseId], token, reason }], {
    resources: [],
  })
}

function sweep(command: Sweep, view: View): Decision {
  const evictable = new Map<number, Evictable>()
  const candidates = command.resource === null ? view.all() : [view.lease(command.resource)]
  for (const lease of candidates) {
    if (lease === null || evictable.has(lease.token)) continue
    const end = endOfTime(lease, view)
    if ('reason' in end) evictable.set(lease.token, { members: membersOf(lease, view), reason: end.reason })
  }
  const ended = [...evictable.values()]
  return accept(
    ended.map(({ members, reason }) => autoEvict(members, reason, command.holder.agentId)),
    { resources: [], ended: ended.flatMap(({ members }) => members) },
  )
}
