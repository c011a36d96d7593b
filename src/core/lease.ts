import type { Session } from './session.ts'
import type { Binding, Witness } from './witness.ts'

export type { Binding, Witness } from './witness.ts'

/** Who holds: the agent, where it works, in which session, and the process that proves it lives, when one is known. */
export interface Holder {
  /** `<type>:<identifier>`, for example `agent:claude-1` or `human:alice`. */
  readonly agentId: string
  /** `wt:<8 hex>`. */
  readonly worktreeId: string
  readonly sessionId: string | null
  readonly witness: Witness | null
}

/** A point on the store's clock. `b` names the clock (boot and time namespace), `m` counts its milliseconds. */
export interface Stamp {
  readonly b: string
  readonly m: number
}

/** A point in time as the store reports it: its own clock for judging, the wall clock for people. */
export interface Instant extends Stamp {
  /** Milliseconds since the epoch. Judges nothing within one boot. */
  readonly wall: number
}

/** A time-bounded, exclusive, fenced hold on one resource. */
export interface Lease {
  /** ULID; one per ownership, so a transfer or a reclaim makes a new one. */
  readonly leaseId: string
  /** Canonical key, `<kind>:<name>`. */
  readonly resource: string
  readonly state: 'held' | 'pending'
  readonly holder: Holder
  /** The fencing token: position of the ownership record in the log. */
  readonly token: number
  /** Seconds; 0 = indefinite. */
  readonly ttlSecs: number
  /** Seconds without a beat after which an indefinite lease shows as stale. */
  readonly staleSecs: number
  /** Wall clock, milliseconds since the epoch. */
  readonly acquiredAt: number
  /** Wall clock of the last acquire, renew or heartbeat. */
  readonly lastBeatAt: number
  /** Store clock of the last beat. */
  readonly beat: Stamp
  /** Store clock (same `b` as the beat) from which the lease may be evicted; null when indefinite. */
  readonly deadlineM: number | null
  readonly branch: string | null
  readonly reason: string | null
  /** The last heartbeat's note. */
  readonly note: string | null
  readonly binding: Binding | null
  /** Keys taken in the same record, this one included; they are renewed and ended together. Null for a single one. */
  readonly group: Group | null
}

/** The other leases that were taken in one record with this one. */
export interface Group {
  /** Lease id of the first member. */
  readonly id: string
  readonly resources: readonly string[]
}

/** How an ownership ended. */
export type EndedBy = 'release' | 'transfer' | 'reclaim' | 'confirm' | 'auto-evict' | 'force-evict'

/** What is remembered of a key's last ownership after it ended. */
export interface Past {
  readonly resource: string
  readonly token: number
  readonly leaseId: string
  readonly holder: Holder
  readonly endedBy: EndedBy
  /** `ttl`, `holder-dead`, `reservation-lapsed`, or a person's words. */
  readonly reason: string | null
  /** `done`, `closed`, `abandoned`, `reopened`, or null. */
  readonly outcome: string | null
  /** Agent who said so; null without an outcome. */
  readonly outcomeBy: string | null
  /** The branch that the work was done on, as the lease named it. */
  readonly branch: string | null
  /** Wall clock, milliseconds since the epoch. */
  readonly endedAt: number
  /** Position of the record that ended it. */
  readonly endedSeq: number
}

/** Everything the log says of one key. A lease may have a past; a key of a session has nothing else. */
export interface Slot {
  readonly lease: Lease | null
  readonly past: Past | null
  /** Until it has ended. */
  readonly session: Session | null
}

/** Was the work on this key finished by whoever held it last, and not reopened since? Then it is not handed out again. */
export const isFinal = (past: Past | null): past is Past => past?.outcome === 'done' || past?.outcome === 'closed'

/** An outcome that holds until another one is said. */
export const isLasting = (past: Past | null): past is Past => past !== null && (past.outcome === 'reopened' || isFinal(past))

export const emptySlot: Slot = { lease: null, past: null, session: null }

/** What a lease looks like to somebody who asks now. `ended`: it was granted by the answer that is repeated, and is no more. */
export type Standing = 'live' | 'stale' | 'expired' | 'dead' | 'pending' | 'free' | 'ended'

/** Milliseconds until the deadline on the store's clock (negative when past), null when indefinite. */
export const remainingMs = (lease: Lease, now: Stamp): number | null => (lease.deadlineM === null ? null : lease.deadlineM - now.m)

/** Past its deadline: it may be evicted, and until somebody does its holder may still renew. */
export const isExpired = (lease: Lease, now: Stamp): boolean => lease.deadlineM !== null && now.m >= lease.deadlineM

/** Indefinite and silent for too long. Never taken without being asked for. */
export const isStale = (lease: Lease, now: Stamp): boolean =>
  lease.ttlSecs === 0 && lease.staleSecs > 0 && now.m - lease.beat.m >= lease.staleSecs * 1000

/** The standing that is shown; `dead` needs a proof that only the host can give. */
export function standingOf(lease: Lease, now: Stamp, provenDead: boolean): Standing {
  if (provenDead) return 'dead'
  if (isExpired(lease, now)) return 'expired'
  if (lease.state === 'pending') return 'pending'
  return isStale(lease, now) ? 'stale' : 'live'
}

/** Same agent, same worktree, same session (absent equals only absent): the identity that ownership is judged by. */
export const sameHolder = (a: Holder, b: Holder): boolean =>
  a.agentId === b.agentId && a.worktreeId === b.worktreeId && a.sessionId === b.sessionId
