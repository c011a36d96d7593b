import type { Holder, Lease, Past, Stamp, Standing, Witness } from './lease.ts'
import { remainingMs } from './lease.ts'
import type { Entry, Operation } from './operation.ts'
import { schemaVersion } from './operation.ts'
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

/** What an operation says, without its place in the log. */
export function operationToWire(operation: Operation): Wire {
  const signed = { op: operation.op, op_id: operation.opId, actor: operation.actor }
  switch (operation.op) {
    case 'acquire':
    case 'reserve':
    case 'confirm':
    case 'transfer':
    case 'resume':
    case 'reclaim':
      return {
        ...signed,
        ...subjectToWire(operation),
        holder: holderToWire(operation.holder),
        ttl_secs: operation.ttlSecs,
        stale_secs: operation.staleSecs,
        branch: operation.branch,
        reason: operation.reason,
        binding: operation.binding === null ? null : { live: operation.binding.live },
        from:
          operation.from === null
            ? null
            : { holder: holderToWire(operation.from.holder), token: operation.from.token, lease_ids: operation.from.leaseIds },
      }
    case 'renew':
    case 'heartbeat':
      return {
        ...signed,
        ...subjectToWire(operation),
        token: operation.token,
        holder: holderToWire(operation.holder),
        ttl_secs: operation.ttlSecs,
        late: operation.late,
        note: operation.note,
      }
    case 'release':
      return {
        ...signed,
        ...subjectToWire(operation),
        token: operation.token,
        holder: holderToWire(operation.holder),
        reason: operation.reason,
        outcome: operation.outcome,
        remaining: operation.remaining,
      }
    case 'auto-evict':
    case 'force-evict':
      return {
        ...signed,
        ...subjectToWire(operation),
        previous_holder: holderToWire(operation.previousHolder),
        previous_token: operation.previousToken,
        reason: operation.reason,
      }
    case 'boot':
      return { ...signed, previous: operation.previous, grace_ms: operation.graceMs, two_clocks: operation.twoClocks }
    case 'repair':
      return {
        ...signed,
        reason: operation.reason,
        cut_bytes: operation.cutBytes,
        cut_lines: operation.cutLines,
        quarantine: operation.quarantine,
        last_good_seq: operation.lastGoodSeq,
      }
  }
}

/** One resource is written as a word, several as lists: most records are about one, and people read them. */
const subjectToWire = ({ resources, leaseIds }: { readonly resources: readonly string[]; readonly leaseIds: readonly string[] }): Wire =>
  resources.length === 1 ? { resource: resources[0], lease_id: leaseIds[0] } : { resources, lease_ids: leaseIds, group: leaseIds[0] }

/** A record as people and scripts get it; `token` is the fence that an ownership record made. */
export function entryToWire(entry: Entry): Wire {
  const { op, op_id, actor, ...rest } = operationToWire(entry.operation)
  const token = 'from' in entry.operation ? { token: entry.seq } : {}
  return { schema_version: schemaVersion, seq: entry.seq, at: isoFromMs(entry.at), clk: entry.clk, op, op_id, actor, ...token, ...rest }
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
    remaining_secs: left === null ? null : Math.round(left) / 1000,
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
  endedAt: w.ended_at,
  endedSeq: w.ended_seq,
})

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
      }
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
