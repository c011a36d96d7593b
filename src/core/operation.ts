import type { Binding, EndedBy, Holder, Stamp } from './lease.ts'
import { sessionKey } from './session.ts'
import type { Session } from './session.ts'

/** Version of the record format that this code writes. A reader shows newer records, a writer refuses beside them. */
export const schemaVersion = 1

/** The keys an operation is about and, in the same order, their leases. */
interface Subject {
  readonly resources: readonly string[]
  readonly leaseIds: readonly string[]
}

/** Sessions that the same record begins, changes or ends, each as it is afterwards; most records have none. */
interface Told {
  readonly sessions?: readonly Session[]
}

interface Signed {
  /** Who asked: an agent id, or `system`. */
  readonly actor: string
  /** The id under which the caller may ask again; null for records that precede the caller's own. */
  readonly opId: string | null
}

/** A change of owner. Its position in the log is the new fencing token. */
export interface OwnershipOperation extends Subject, Signed, Told {
  readonly op: 'acquire' | 'reserve' | 'confirm' | 'transfer' | 'resume' | 'reclaim'
  readonly holder: Holder
  readonly ttlSecs: number
  readonly staleSecs: number
  readonly branch: string | null
  readonly reason: string | null
  readonly binding: Binding | null
  /** The owner before, where there was one. */
  readonly from: { readonly holder: Holder; readonly token: number; readonly leaseIds: readonly string[] } | null
}

/** The holder lives: the deadline moves, ownership and token do not. */
export interface BeatOperation extends Subject, Signed, Told {
  readonly op: 'renew' | 'heartbeat'
  readonly token: number
  readonly holder: Holder
  readonly ttlSecs: number
  /** The deadline had passed and nobody had evicted yet. */
  readonly late: boolean
  readonly note: string | null
  /** What it is held for from now on; absent when that stays as it was. */
  readonly reason?: string
  /** The branch that it is for from now on; absent when that stays as it was. */
  readonly branch?: string
}

/** The holder gives it back. */
export interface ReleaseOperation extends Subject, Signed, Told {
  readonly op: 'release'
  readonly token: number
  readonly holder: Holder
  readonly reason: string | null
  /** How the work ended: `done`, `closed`, `abandoned`; null when that was not said. */
  readonly outcome: string | null
  /** Members of the group that stay held when one was split off; null otherwise. */
  readonly remaining: readonly string[] | null
}

/** Somebody else ends an ownership: time or death proven (`auto-evict`), or a person's word (`force-evict`). */
export interface EvictOperation extends Subject, Signed, Told {
  readonly op: 'auto-evict' | 'force-evict'
  readonly previousHolder: Holder
  readonly previousToken: number
  /** `ttl`, `holder-dead`, `reservation-lapsed`, or a person's words. */
  readonly reason: string
}

/** The clock of the records changed: a reboot, or a second clock that writes into the same log. */
export interface BootOperation extends Signed {
  readonly op: 'boot'
  readonly previous: Stamp
  /** Added to every finite lease's remaining time, milliseconds. */
  readonly graceMs: number
  /** This clock had been seen before the last one: two machines or time namespaces share the log. */
  readonly twoClocks: boolean
}

/** Damage was cut away. The only record after which the sequence may jump. */
export interface RepairOperation extends Signed {
  readonly op: 'repair'
  readonly reason: string
  readonly cutBytes: number
  /** Complete lines among the bytes that were cut. */
  readonly cutLines: number
  /** File in `quarantine/` that keeps the bytes, or null when there were none. */
  readonly quarantine: string | null
  /** Sequence number the record before this one had; a larger gap than one is legal only here. */
  readonly lastGoodSeq: number
}

/** A person lets work through that lost its lease, by their word. Changes no lease: it is for those who judge a push. */
export interface AllowOperation extends Subject, Signed {
  readonly op: 'allow'
  /** The ownership whose work may pass. */
  readonly token: number
  readonly reason: string
}

/** Sessions change, and no lease does. */
export interface SessionOperation extends Signed {
  readonly op: 'session'
  readonly sessions: readonly Session[]
}

/** Everything the log can say. */
export type Operation =
  | OwnershipOperation
  | BeatOperation
  | ReleaseOperation
  | EvictOperation
  | AllowOperation
  | SessionOperation
  | BootOperation
  | RepairOperation

export type OperationName = Operation['op']

/** An operation at its place in the log. */
export interface Entry {
  readonly seq: number
  /** Wall clock, milliseconds since the epoch; for people. */
  readonly at: number
  readonly clk: Stamp
  readonly operation: Operation
}

/** Does this operation make a new owner, and with it a new token? */
export const isOwnership = (operation: Operation): operation is OwnershipOperation =>
  operation.op === 'acquire' ||
  operation.op === 'reserve' ||
  operation.op === 'confirm' ||
  operation.op === 'transfer' ||
  operation.op === 'resume' ||
  operation.op === 'reclaim'

/** The keys whose state an operation changes; null means all of them. */
export function touches(operation: Operation): readonly string[] | null {
  const keys = leased(operation)
  const sessions = 'sessions' in operation ? operation.sessions : undefined
  return keys === null || sessions === undefined ? keys : [...keys, ...sessions.map(({ sessionId }) => sessionKey(sessionId))]
}

function leased(operation: Operation): readonly string[] | null {
  switch (operation.op) {
    case 'boot':
      return null
    case 'repair':
    case 'session':
      return []
    case 'release':
      return operation.remaining === null ? operation.resources : [...operation.resources, ...operation.remaining]
    case 'acquire':
    case 'reserve':
    case 'confirm':
    case 'transfer':
    case 'resume':
    case 'reclaim':
    case 'renew':
    case 'heartbeat':
    case 'auto-evict':
    case 'force-evict':
      return operation.resources
    case 'allow':
      return []
  }
}

/** How an ownership ends when this operation is applied to its key, or null when it goes on. */
export function endedBy(operation: Operation): EndedBy | null {
  switch (operation.op) {
    case 'release':
    case 'transfer':
    case 'reclaim':
    case 'confirm':
    case 'auto-evict':
    case 'force-evict':
      return operation.op
    case 'acquire':
    case 'reserve':
    case 'resume':
    case 'renew':
    case 'heartbeat':
    case 'allow':
    case 'session':
    case 'boot':
    case 'repair':
      return null
  }
}
