import { acquire } from './acquire.ts'
import type { Asked, Depart, EndSession, HoldSession, Launch, ResumeSession, TellSession } from './command.ts'
import { accept, refuse } from './decision.ts'
import type { Decision } from './decision.ts'
import { confirm } from './holding.ts'
import { isExpired } from './lease.ts'
import type { Holder, Lease, Witness } from './lease.ts'
import type { Operation, OwnershipOperation } from './operation.ts'
import { autoEvict, beatOn, endOfTime, membersOf, subjectOf } from './ownership.ts'
import type { Policy } from './policy.ts'
import type { Refusal } from './refusal.ts'
import { sessionKey, union } from './session.ts'
import type { Session } from './session.ts'
import { claimsOf, endedSession, openingOf, openingRecord, reservationOf, sessionStanding } from './standing.ts'
import type { View } from './view.ts'

// Launched agents: a claim and a session begin in one record, and how a session goes on.

/** The claim of a launched agent, after it was seen to work: one record with its session, and its peers'. */
export function launch(command: Launch, view: View, policy: Policy): Decision {
  const sessions = [{ ...command.session, name: freeName(command.session.name, view) }, ...befriended(command.session, view)]
  if (command.resources.length === 0) {
    const held = endOfHold(command, command.session, view)
    return 'refusal' in held ? refuse(held.refusal) : accept([...held.operations, telling(command, sessions)], { resources: [] })
  }
  const decision =
    command.token === null
      ? acquire({ ...command, type: 'acquire', presented: { leaseId: null, token: null } }, view, policy)
      : confirm({ ...command, type: 'confirm', target: { resource: command.resources[0]! }, token: command.token }, view, policy)
  if (!decision.ok) return decision
  const [last, ...before] = decision.operations.toReversed()
  return { ...decision, operations: [...before.toReversed(), { ...last!, sessions } as Operation] }
}

/** Another launch may have taken the name since it was chosen. */
function freeName(name: string, view: View): string {
  const taken = new Set([...view.sessions()].map(session => session.name))
  let free = name
  for (let count = 2; taken.has(free); count++) free = `${name}-${count}`
  return free
}

/** The other ends of its peers; who is unknown or has ended is none. */
const befriended = (session: Session, view: View): readonly Session[] =>
  session.peers
    .map(id => view.session(id))
    .filter(peer => peer !== null)
    .map(peer => ({ ...peer, peers: union(peer.peers, [session.sessionId]) }))

const telling = ({ opId, holder }: Asked, sessions: readonly Session[]): Operation => ({
  op: 'session',
  opId,
  actor: holder.agentId,
  sessions,
})

/** Hold the keys of a session while its agent is being started again. */
export function holdSession(command: HoldSession, view: View, policy: Policy): Decision {
  const found = restorable(command.sessionId, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { session } = found
  if (command.record !== null) return reserveByName(command, command.record, session, view, policy)
  const lease = launchedLease(session, view)
  const subject = lease === null ? { resources: [sessionKey(session.sessionId)], leaseIds: [] } : subjectOf(membersOf(lease, view))
  for (const resource of subject.resources) {
    const reservation = view.reservation(resource)
    if (reservation !== null) return refuse({ kind: 'reserved', reservation })
  }
  const terms = { ttlSecs: policy.ttlSecs, staleSecs: lease?.staleSecs ?? policy.staleSecs, branch: lease?.branch ?? null }
  return accept([reserving(command, subject, lease?.holder ?? command.holder, terms)], { resources: [] })
}

/** A record holds the session's name and nothing of its claim: whatever becomes of the start, that is as it was. */
function reserveByName(
  command: HoldSession,
  { leaseId, ttlSecs }: NonNullable<HoldSession['record']>,
  session: Session,
  view: View,
  { staleSecs }: Policy,
): Decision {
  const resources = [sessionKey(session.sessionId)]
  // Whoever likes to can claim that name by hand, and has it then as anything else.
  const before = view.lease(resources[0]!)
  const end = before === null ? null : endOfTime(before, view)
  if (before !== null && end !== null && !('reason' in end))
    return refuse(
      before.state === 'pending'
        ? { kind: 'opening', session, reservation: reservationOf(session, before, view) }
        : { kind: 'held', lease: before, wanted: before.resource },
    )
  const ended = before === null ? [] : membersOf(before, view)
  const evicted = end === null || !('reason' in end) ? [] : [autoEvict(ended, end.reason, command.holder.agentId)]
  const reserved = reserving(command, { resources, leaseIds: [leaseId] }, command.holder, { ttlSecs, staleSecs, branch: null })
  return accept([...evicted, reserved], { resources, ended })
}

const reserving = (
  { opId, holder: { agentId } }: Asked,
  subject: Pick<OwnershipOperation, 'resources' | 'leaseIds'>,
  holder: Holder,
  terms: Pick<OwnershipOperation, 'ttlSecs' | 'staleSecs' | 'branch'>,
): OwnershipOperation => ({ op: 'reserve', opId, actor: agentId, ...subject, holder, ...terms, reason: null, binding: null, from: null })

/** The session's agent works again: a new token fences whatever the old one left running. */
export function resumeSession(command: ResumeSession, view: View, policy: Policy): Decision {
  const found = restorable(command.sessionId, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { session } = found
  const held = endOfHold(command, session, view)
  if ('refusal' in held) return refuse(held.refusal)
  const ownerships = claimedBy(session, view)
  const other = ownerships.length > 0 ? null : takenFrom(session, view)
  if (other !== null) return refuse({ kind: 'held', lease: other, wanted: other.resource })
  const after: Session = {
    ...session,
    state: 'live',
    exitCode: null,
    witness: command.witness,
    binding: command.binding,
    evidence: command.evidence,
    resume: command.resume ?? session.resume,
    clientSessionIds: union(session.clientSessionIds, command.clientSessionIds),
  }
  if (ownerships.length === 0) return accept([...held.operations, telling(command, [after])], { resources: [] })
  const operations = ownerships.map((members): Operation => {
    const lease = members[0]!
    return {
      op: 'resume',
      opId: null,
      actor: command.holder.agentId,
      ...subjectOf(members),
      holder: { ...lease.holder, witness: command.witness },
      ttlSecs: policy.ttlSecs,
      staleSecs: lease.staleSecs,
      branch: lease.branch,
      reason: lease.reason,
      binding: command.binding,
      from: { holder: lease.holder, token: lease.token, leaseIds: members.map(({ leaseId }) => leaseId) },
    }
  })
  const resumed = lastTells(operations, command.opId, [after])
  return accept([...held.operations, ...resumed], { resources: ownerships.flat().map(({ resource }) => resource) })
}

/** What ends the record under which a session's name was held for this: it has to be the caller's still. */
function endOfHold(
  { token, holder }: Pick<ResumeSession, 'token' | 'holder'>,
  session: Session,
  view: View,
): { readonly operations: readonly Operation[] } | { readonly refusal: Refusal } {
  const record = openingRecord(session, view)
  if (token === null && record !== null) {
    // One that lapsed, and was moved to where a lock holds a session, keeps nobody from anything.
    const end = endOfTime(record, view)
    if (!('reason' in end)) return { refusal: { kind: 'opening', session, reservation: reservationOf(session, record, view) } }
    return { operations: [autoEvict([record], end.reason, holder.agentId)] }
  }
  if (token === null) return { operations: [] }
  const resource = sessionKey(session.sessionId)
  if (record?.token === token) return { operations: [releaseOf([record], holder.agentId, 'it is open')] }
  const presented = { leaseId: null, token }
  return { refusal: { kind: 'superseded', resource, lease: record, past: view.past(resource), presented } }
}

const releaseOf = (members: readonly Lease[], actor: string, reason: string): Operation => {
  const { token, holder } = members[0]!
  return { op: 'release', opId: null, actor, ...subjectOf(members), token, holder, reason, outcome: null, remaining: null }
}

/** Of several records the last has the id of the command, and tells of the sessions. */
function lastTells(operations: readonly Operation[], opId: string | null, sessions: readonly Session[]): readonly Operation[] {
  return operations.map((operation, at) => (at < operations.length - 1 ? operation : ({ ...operation, opId, sessions } as Operation)))
}

/** The claims that a session was launched with, or was handed: all leases of each. */
function claimedBy(session: Session, view: View): readonly (readonly Lease[])[] {
  const ownerships = new Map<number, readonly Lease[]>()
  for (const lease of claimsOf(session, view)) if (!ownerships.has(lease.token)) ownerships.set(lease.token, membersOf(lease, view))
  return [...ownerships.values()]
}

/** Who has a ticket of a session now that it lost: beside them nobody else may begin to work on it. */
const takenFrom = (session: Session, view: View): Lease | null =>
  session.relatedTickets
    .map(ticket => view.lease(`ticket:${ticket}`))
    .find(lease => lease !== null && lease.holder.sessionId !== session.sessionId && !isExpired(lease, view.now)) ?? null

/** What the note of a claim says while its agent could be started again. */
const restorableNote = 'restorable'

/** The agent's process ended. Its claim stays when the client can open the session again, and is given back when it cannot. */
export function depart(command: Depart, view: View): Decision {
  const session = view.session(command.sessionId)
  if (session === null || !isOf(command, session)) return accept([], { resources: [] })
  const lease = launchedLease(session, view)
  // With its ticket done there is nothing to open it for; one that never had a ticket has its own purpose still.
  if (command.keep && (lease !== null || session.origin !== 'ticket-claim') && view.restorable(session)) {
    const kept: Session = { ...session, state: 'restorable', exitCode: command.exitCode, endReason: null }
    if (lease === null) return accept([telling(command, [kept])], { resources: [] })
    const beats = claimedBy(session, view).map(([first]) => beatOn(first!, 'renew', command.holder.agentId, 0, restorableNote, null, view))
    return accept(lastTells(beats, command.opId, [kept]), { resources: beats.flatMap(({ resources }) => resources) })
  }
  return endAll(command, session, { reason: command.reason, exitCode: command.exitCode, force: false }, view)
}

/** Is this said of the agent that the session has? One that was started again since then has another process. */
const isOf = ({ agent }: Depart | TellSession, { witness, binding }: Session): boolean =>
  agent === null || (sameProcess(agent.witness, witness) && agent.binding?.live === binding?.live)

const sameProcess = (one: Witness | null, other: Witness | null): boolean =>
  one === null || other === null
    ? one === other
    : one.host === other.host &&
      one.bootId === other.bootId &&
      one.pidNs === other.pidNs &&
      one.pid === other.pid &&
      one.pidStartTicks === other.pidStartTicks

/** A session ends by somebody's word: the leases that it has end with it. */
export function endSession(command: EndSession, view: View): Decision {
  const session = view.session(command.sessionId)
  if (session === null && command.ended !== undefined)
    return accept([telling(command, [{ ...command.ended, endReason: command.reason }])], { resources: [] })
  if (session === null) return refuse({ kind: 'no-session', sessionId: command.sessionId })
  const standing = sessionStanding(session, launchedLease(session, view), view)
  const reservation = standing === 'live' ? null : openingOf(session, view)
  if (reservation !== null) return refuse({ kind: 'opening', session, reservation })
  if (command.staleOnly && standing !== 'stale') return refuse({ kind: 'session-is', session, standing, wanted: 'stale' })
  return endAll(command, session, { reason: command.reason, exitCode: session.exitCode, force: command.force }, view)
}

/** What a session says of itself changes: another id that its client calls it by. */
export function tellSession(command: TellSession, view: View): Decision {
  const session = view.session(command.sessionId)
  if (session === null) return refuse({ kind: 'no-session', sessionId: command.sessionId })
  if (!isOf(command, session)) return accept([], { resources: [] })
  const clientSessionIds = union(session.clientSessionIds, [command.clientSessionId])
  const resume = command.resume ?? session.resume
  if (clientSessionIds.length === session.clientSessionIds.length && resume === session.resume) return accept([], { resources: [] })
  return accept([telling(command, [{ ...session, clientSessionIds, resume }])], { resources: [] })
}

interface End {
  readonly reason: string
  readonly exitCode: number | null
  readonly force: boolean
}

/** One record for each ownership of the session; the last tells of its end. */
function endAll(command: Asked, session: Session, { reason, exitCode, force }: End, view: View): Decision {
  const { opId, holder } = command
  const ended: Session = { ...endedSession(session, reason, view), exitCode }
  // What is left of a start of its agent that nobody goes on with. The record that tells of the end is never one about the session's own key.
  const left = openingRecord(session, view)
  const ownerships = new Map<number, readonly Lease[]>()
  for (const lease of view.all())
    if (lease.holder.sessionId === session.sessionId && lease.token !== left?.token && !ownerships.has(lease.token))
      ownerships.set(lease.token, membersOf(lease, view))
  const operations = [...ownerships.values()].map((members): Operation =>
    force ? { ...autoEvict(members, 'ttl', holder.agentId), op: 'force-evict', reason } : releaseOf(members, holder.agentId, reason),
  )
  const told = operations.length === 0 ? [telling(command, [ended])] : lastTells(operations, opId, [ended])
  return accept([...(left === null ? [] : [releaseOf([left], holder.agentId, reason)]), ...told], {
    resources: [],
    ended: [...ownerships.values()].flat(),
    endedSessions: [ended],
  })
}

/** The claim that a session was launched with, while it has it. */
export const launchedLease = (session: Session, view: View): Lease | null => claimsOf(session, view)[0] ?? null

function restorable(
  sessionId: string,
  view: View,
): { readonly session: Session } | { readonly refusal: Extract<Decision, { ok: false }>['refusal'] } {
  const session = view.session(sessionId)
  if (session === null) return { refusal: { kind: 'no-session', sessionId } }
  const standing = sessionStanding(session, launchedLease(session, view), view)
  return standing === 'restorable' ? { session } : { refusal: { kind: 'session-is', session, standing, wanted: 'restorable' } }
}
