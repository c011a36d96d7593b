import { acquire } from './acquire.ts'
import type { Asked, Depart, EndSession, HoldSession, Launch, ResumeSession, TellSession } from './command.ts'
import { accept, refuse } from './decision.ts'
import type { Decision } from './decision.ts'
import { confirm } from './holding.ts'
import { isExpired } from './lease.ts'
import type { Lease } from './lease.ts'
import type { Operation } from './operation.ts'
import { autoEvict, beatOn, membersOf, subjectOf } from './ownership.ts'
import type { Policy } from './policy.ts'
import { sessionKey, union } from './session.ts'
import type { Session } from './session.ts'
import { claimsOf, endedSession, sessionStanding } from './standing.ts'
import type { View } from './view.ts'

// Launched agents: a claim and a session begin in one record, and how a session goes on.

/** The claim of a launched agent, after it was seen to work: one record with its session, and its peers'. */
export function launch(command: Launch, view: View, policy: Policy): Decision {
  const sessions = [{ ...command.session, name: freeName(command.session.name, view) }, ...befriended(command.session, view)]
  if (command.resources.length === 0) return accept([telling(command, sessions)], { resources: [] })
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
export function holdSession({ holder, opId, sessionId, byName }: HoldSession, view: View, policy: Policy): Decision {
  const found = restorable(sessionId, view)
  if ('refusal' in found) return refuse(found.refusal)
  const lease = launchedLease(found.session, view)
  const members = lease === null ? [] : membersOf(lease, view)
  const subject = lease === null ? { resources: byName ? [sessionKey(sessionId)] : [], leaseIds: [] } : subjectOf(members)
  for (const resource of subject.resources) {
    const reservation = view.reservation(resource)
    if (reservation !== null) return refuse({ kind: 'reserved', reservation })
  }
  if (subject.resources.length === 0) return accept([], { resources: [] })
  return accept(
    [
      {
        op: 'reserve',
        opId,
        actor: holder.agentId,
        ...subject,
        holder: lease?.holder ?? holder,
        ttlSecs: policy.ttlSecs,
        staleSecs: lease?.staleSecs ?? policy.staleSecs,
        branch: lease?.branch ?? null,
        reason: null,
        binding: null,
        from: null,
      },
    ],
    { resources: [] },
  )
}

/** The session's agent works again: a new token fences whatever the old one left running. */
export function resumeSession(command: ResumeSession, view: View, policy: Policy): Decision {
  const found = restorable(command.sessionId, view)
  if ('refusal' in found) return refuse(found.refusal)
  const { session } = found
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
  if (ownerships.length === 0) return accept([telling(command, [after])], { resources: [] })
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
  return accept(lastTells(operations, command.opId, [after]), { resources: ownerships.flat().map(({ resource }) => resource) })
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
  if (session === null) return accept([], { resources: [] })
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

/** A session ends by somebody's word: the leases that it has end with it. */
export function endSession(command: EndSession, view: View): Decision {
  const session = view.session(command.sessionId)
  if (session === null) return refuse({ kind: 'no-session', sessionId: command.sessionId })
  const standing = sessionStanding(session, launchedLease(session, view), view)
  if (command.staleOnly && standing !== 'stale') return refuse({ kind: 'session-is', session, standing, wanted: 'stale' })
  return endAll(command, session, { reason: command.reason, exitCode: session.exitCode, force: command.force }, view)
}

/** What a session says of itself changes: another id that its client calls it by. */
export function tellSession(command: TellSession, view: View): Decision {
  const session = view.session(command.sessionId)
  if (session === null) return refuse({ kind: 'no-session', sessionId: command.sessionId })
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
  const ownerships = new Map<number, readonly Lease[]>()
  for (const lease of view.all())
    if (lease.holder.sessionId === session.sessionId && !ownerships.has(lease.token)) ownerships.set(lease.token, membersOf(lease, view))
  const operations = [...ownerships.values()].map((members): Operation => {
    const lease = members[0]!
    if (force) return { ...autoEvict(members, 'ttl', holder.agentId), op: 'force-evict', reason }
    const terms = { token: lease.token, holder: lease.holder, reason, outcome: null, remaining: null }
    return { op: 'release', opId: null, actor: holder.agentId, ...subjectOf(members), ...terms }
  })
  return accept(operations.length === 0 ? [telling(command, [ended])] : lastTells(operations, opId, [ended]), {
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
