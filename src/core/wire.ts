import type { Holder, Lease, Past, Stamp, Standing, Witness } from './lease.ts'
import { remainingMs } from './lease.ts'
import type { Entry, Operation } from './operation.ts'
import { schemaVersion } from './operation.ts'
import type { Session } from './session.ts'
import { isoFromMs, msFromIso } from './time.ts'

// The one place where camelCase becomes snake_case and back. Key order is fixed: lines can be compared, and found without parsing.

/** A JSON object as it is written. */
export type Wire = Record<string, unknown>

export const witnessToWire = (witness: Witness): Wire => ({
  host: witness.host,
  boot_id: witness.bootId,
  pid_ns: witness.pidNs,
  time_ns: witness.timeNs,
  pid: witness.pid,
  pid_start_ticks: witness.pidStartTicks,
})

export const holderToWire = (holder: Holder): Wire => ({
  agent_id: holder.agentId,
  worktree_id: holder.worktreeId,
  session_id: holder.sessionId,
  witness: holder.witness === null ? null : witnessToWire(holder.witness),
})

/**
 * A record as people and scripts get it, and, with `prev`, as the log has it; `token` is the fence that an ownership record made. Members
 * are added one by one and not spread: this is most of what an acknowledged record costs in a process that stays.
 */
export function entryToWire({ seq, at, clk, operation }: Entry, prev?: string): Wire {
  const wire: Wire = { schema_version: schemaVersion, seq }
  if (prev !== undefined) wire['prev'] = prev
  wire['at'] = isoFromMs(at)
  wire['clk'] = clk
  wire['op'] = operation.op
  wire['op_id'] = operation.opId
  wire['actor'] = operation.actor
  if ('from' in operation) wire['token'] = seq
  if ('leaseIds' in operation) addSubject(wire, operation)
  addParticulars(wire, operation)
  if ('sessions' in operation && operation.sessions !== undefined) addSessions(wire, operation.sessions)
  return wire
}

/** The session that a record is about, and others that it changes: its peers. */
function addSessions(wire: Wire, [first, ...others]: readonly Session[]): void {
  if (first !== undefined) wire['session'] = sessionToWire(first)
  if (others.length > 0) wire['other_sessions'] = others.map(sessionToWire)
}

/** One resource is written as a word, several as lists: most records are about one, and people read them. */
function addSubject(
  wire: Wire,
  { resources, leaseIds }: { readonly resources: readonly string[]; readonly leaseIds: readonly string[] },
): void {
  if (resources.length === 1) {
    wire['resource'] = resources[0]
    wire['lease_id'] = leaseIds[0]
    return
  }
  wire['resources'] = resources
  wire['lease_ids'] = leaseIds
  wire['group'] = leaseIds[0]
}

function addParticulars(wire: Wire, operation: Operation): void {
  switch (operation.op) {
    case 'acquire':
    case 'reserve':
    case 'confirm':
    case 'transfer':
    case 'resume':
    case 'reclaim':
      wire['holder'] = holderToWire(operation.holder)
      wire['ttl_secs'] = operation.ttlSecs
      wire['stale_secs'] = operation.staleSecs
      wire['branch'] = operation.branch
      wire['reason'] = operation.reason
      wire['binding'] = operation.binding === null ? null : { live: operation.binding.live }
      wire['from'] =
        operation.from === null
          ? null
          : { holder: holderToWire(operation.from.holder), token: operation.from.token, lease_ids: operation.from.leaseIds }
      return
    case 'renew':
    case 'heartbeat':
      wire['token'] = operation.token
      wire['holder'] = holderToWire(operation.holder)
      wire['ttl_secs'] = operation.ttlSecs
      wire['late'] = operation.late
      wire['note'] = operation.note
      if (operation.reason !== undefined) wire['reason'] = operation.reason
      if (operation.branch !== undefined) wire['branch'] = operation.branch
      return
    case 'release':
      wire['token'] = operation.token
      wire['holder'] = holderToWire(operation.holder)
      wire['reason'] = operation.reason
      wire['outcome'] = operation.outcome
      wire['remaining'] = operation.remaining
      return
    case 'auto-evict':
    case 'force-evict':
      wire['previous_holder'] = holderToWire(operation.previousHolder)
      wire['previous_token'] = operation.previousToken
      wire['reason'] = operation.reason
      return
    case 'allow':
      wire['token'] = operation.token
      wire['reason'] = operation.reason
      return
    case 'session':
      return
    case 'boot':
      wire['previous'] = operation.previous
      wire['grace_ms'] = operation.graceMs
      wire['two_clocks'] = operation.twoClocks
      return
    case 'repair':
      wire['reason'] = operation.reason
      wire['cut_bytes'] = operation.cutBytes
      wire['cut_lines'] = operation.cutLines
      wire['quarantine'] = operation.quarantine
      wire['last_good_seq'] = operation.lastGoodSeq
  }
}

/** A session, on the wire and in the log. `command` is what opens it again. */
export const sessionToWire = (session: Session): Wire => ({
  session_id: session.sessionId,
  name: session.name,
  role: session.role,
  origin: session.origin,
  profile: session.profile,
  state: session.state,
  agent_id: session.agentId,
  worktree_id: session.worktreeId,
  cwd: session.cwd,
  witness: session.witness === null ? null : witnessToWire(session.witness),
  binding: session.binding === null ? null : { live: session.binding.live },
  client_session_ids: session.clientSessionIds,
  related_tickets: session.relatedTickets,
  peers: session.peers,
  evidence: { ...session.evidence, at: isoFromMs(session.evidence.at) },
  resume_command: session.resume?.command ?? null,
  stored: session.resume?.stored ?? null,
  launched_by: session.launchedBy,
  started_at: isoFromMs(session.startedAt),
  ended_at: session.endedAt === null ? null : isoFromMs(session.endedAt),
  end_reason: session.endReason,
  exit_code: session.exitCode,
})

/** Seconds until a lease ends, to the millisecond. */
export function remainingSecs(lease: Lease, now: Stamp): number | null {
  const left = remainingMs(lease, now)
  return left === null ? null : Math.round(left) / 1000
}

/** A lease as every command shows it. `remaining_secs` is null for an indefinite one and negative once expired. */
export function leaseToWire(lease: Lease, now: Stamp & { readonly wall: number }, standing: Standing): Wire {
  const left = remainingMs(lease, now)
  return {
    lease_id: lease.leaseId,
    resource: lease.resource,
    holder: holderToWire(lease.holder),
    token: lease.token,
    ttl_secs: lease.ttlSecs,
    acquired_at: isoFromMs(lease.acquiredAt),
    expires_at: left === null ? null : isoFromMs(now.wall + left),
    last_beat: isoFromMs(lease.lastBeatAt),
    branch: lease.branch,
    reason: lease.reason,
    note: lease.note,
    session: lease.holder.sessionId,
    group: lease.group?.id ?? null,
    bound: lease.binding !== null,
    standing,
    remaining_secs: remainingSecs(lease, now),
  }
}

// ── stored state: what an index and a checkpoint keep of a key ────────────────────────────────────────────────────────────

/** A lease as the store keeps it: everything `evolve` needs, times as numbers. `resource` comes first. */
export const leaseToStored = (lease: Lease): Wire => ({
  resource: lease.resource,
  lease_id: lease.leaseId,
  state: lease.state,
  token: lease.token,
  holder: holderToWire(lease.holder),
  ttl_secs: lease.ttlSecs,
  stale_secs: lease.staleSecs,
  acquired_at: lease.acquiredAt,
  last_beat_at: lease.lastBeatAt,
  beat: lease.beat,
  deadline_m: lease.deadlineM,
  branch: lease.branch,
  reason: lease.reason,
  note: lease.note,
  binding: lease.binding === null ? null : { live: lease.binding.live },
  group: lease.group,
})

/** What is remembered of an ended ownership. */
export const pastToStored = (past: Past): Wire => ({
  resource: past.resource,
  lease_id: past.leaseId,
  token: past.token,
  holder: holderToWire(past.holder),
  ended_by: past.endedBy,
  reason: past.reason,
  outcome: past.outcome,
  outcome_by: past.outcomeBy,
  branch: past.branch,
  ended_at: past.endedAt,
  ended_seq: past.endedSeq,
})

/* oxlint-disable typescript/no-explicit-any -- the one border where untyped JSON enters; a checksum has vouched for it */

export const witnessFromWire = (w: any): Witness => ({
  host: w.host,
  bootId: w.boot_id,
  pidNs: w.pid_ns,
  timeNs: w.time_ns,
  pid: w.pid,
  pidStartTicks: w.pid_start_ticks,
})

export const holderFromWire = (w: any): Holder => ({
  agentId: w.agent_id,
  worktreeId: w.worktree_id,
  sessionId: w.session_id,
  witness: w.witness === null ? null : witnessFromWire(w.witness),
})

export const leaseFromStored = (w: any): Lease => ({
  leaseId: w.lease_id,
  resource: w.resource,
  state: w.state,
  holder: holderFromWire(w.holder),
  token: w.token,
  ttlSecs: w.ttl_secs,
  staleSecs: w.stale_secs,
  acquiredAt: w.acquired_at,
  lastBeatAt: w.last_beat_at,
  beat: w.beat,
  deadlineM: w.deadline_m,
  branch: w.branch,
  reason: w.reason,
  note: w.note,
  binding: w.binding,
  group: w.group,
})

export const pastFromStored = (w: any): Past => ({
  resource: w.resource,
  token: w.token,
  leaseId: w.lease_id,
  holder: holderFromWire(w.holder),
  endedBy: w.ended_by,
  reason: w.reason,
  outcome: w.outcome,
  outcomeBy: w.outcome_by ?? null,
  branch: w.branch ?? null,
  endedAt: w.ended_at,
  endedSeq: w.ended_seq,
})

export const sessionFromWire = (w: any): Session => ({
  sessionId: w.session_id,
  name: w.name,
  role: w.role,
  origin: w.origin,
  profile: w.profile,
  state: w.state,
  agentId: w.agent_id,
  worktreeId: w.worktree_id,
  cwd: w.cwd,
  witness: w.witness === null ? null : witnessFromWire(w.witness),
  binding: w.binding,
  clientSessionIds: w.client_session_ids,
  relatedTickets: w.related_tickets,
  peers: w.peers,
  evidence: { kind: w.evidence.kind, seen: w.evidence.seen, confirmed: w.evidence.confirmed, at: msFromIso(w.evidence.at) },
  resume: w.resume_command === null ? null : { command: w.resume_command, stored: w.stored },
  launchedBy: w.launched_by,
  startedAt: msFromIso(w.started_at),
  endedAt: w.ended_at === null ? null : msFromIso(w.ended_at),
  endReason: w.end_reason,
  exitCode: w.exit_code,
})

/** The sessions that a record tells of, if any. */
const toldBy = (w: any): { sessions?: readonly Session[] } =>
  w.session === undefined ? {} : { sessions: [w.session, ...(w.other_sessions ?? [])].map(sessionFromWire) }

/** The entry of a parsed record, or null when this version does not know its operation or its schema is newer. */
export function entryFromWire(w: any): Entry | null {
  if (w.schema_version !== schemaVersion) return null
  const operation = operationFromWire(w)
  return operation === null ? null : { seq: w.seq, at: msFromIso(w.at), clk: w.clk, operation }
}

function operationFromWire(w: any): Operation | null {
  switch (w.op) {
    case 'acquire':
    case 'reserve':
    case 'confirm':
    case 'transfer':
    case 'resume':
    case 'reclaim':
      return {
        op: w.op,
        opId: w.op_id,
        actor: w.actor,
        resources: resourcesOf(w),
        leaseIds: leaseIdsOf(w),
        holder: holderFromWire(w.holder),
        ttlSecs: w.ttl_secs,
        staleSecs: w.stale_secs,
        branch: w.branch,
        reason: w.reason,
        binding: w.binding,
        from: w.from === null ? null : { holder: holderFromWire(w.from.holder), token: w.from.token, leaseIds: w.from.lease_ids },
        ...toldBy(w),
      }
    case 'renew':
    case 'heartbeat':
      return {
        op: w.op,
        opId: w.op_id,
        actor: w.actor,
        resources: resourcesOf(w),
        leaseIds: leaseIdsOf(w),
        token: w.token,
        holder: holderFromWire(w.holder),
        ttlSecs: w.ttl_secs,
        late: w.late,
        note: w.note,
        ...(w.reason === undefined ? {} : { reason: w.reason }),
        ...(w.branch === undefined ? {} : { branch: w.branch }),
        ...toldBy(w),
      }
    case 'release':
      return {
        op: w.op,
        opId: w.op_id,
        actor: w.actor,
        resources: resourcesOf(w),
        leaseIds: leaseIdsOf(w),
        token: w.token,
        holder: holderFromWire(w.holder),
        reason: w.reason,
        outcome: w.outcome,
        remaining: w.remaining,
        ...toldBy(w),
      }
    case 'auto-evict':
    case 'force-evict':
      return {
        op: w.op,
        opId: w.op_id,
        actor: w.actor,
        resources: resourcesOf(w),
        leaseIds: leaseIdsOf(w),
        previousHolder: holderFromWire(w.previous_holder),
        previousToken: w.previous_token,
        reason: w.reason,
        ...toldBy(w),
      }
    case 'allow':
      return {
        op: w.op,
        opId: w.op_id,
        actor: w.actor,
        resources: resourcesOf(w),
        leaseIds: leaseIdsOf(w),
        token: w.token,
        reason: w.reason,
      }
    case 'session':
      return { op: w.op, opId: w.op_id, actor: w.actor, sessions: [w.session, ...(w.other_sessions ?? [])].map(sessionFromWire) }
    case 'boot':
      return { op: w.op, opId: w.op_id, actor: w.actor, previous: w.previous, graceMs: w.grace_ms, twoClocks: w.two_clocks }
    case 'repair':
      return {
        op: w.op,
        opId: w.op_id,
        actor: w.actor,
        reason: w.reason,
        cutBytes: w.cut_bytes,
        cutLines: w.cut_lines,
        quarantine: w.quarantine,
        lastGoodSeq: w.last_good_seq,
      }
    default:
      return null
  }
}

const resourcesOf = (w: any): readonly string[] => w.resources ?? [w.resource]
const leaseIdsOf = (w: any): readonly string[] => w.lease_ids ?? [w.lease_id]
