import { resolve } from 'node:path'
import { md5Hex } from './md5.ts'
import { clkOf, recordOf, remainingMs, type LockRecord, type Moment } from './record.ts'

export type { LockRecord, Moment } from './record.ts'

// One mutable session for each workspace. Pure apart from what is handed in: who reads and writes the record, and what time it is.
// Whoever calls makes the three steps of an acquisition one, as `FileLock` does with a kernel lock.

/** How long a lock lasts without a refresh, milliseconds. */
export const DEFAULT_TTL_MS = 300_000

/** The same under its first name. */
export const LOCK_DEFAULT_TTL_MS = DEFAULT_TTL_MS

/** Where the record is kept. What is read may be anything; what is no record counts as none. */
export interface LockIO {
  readLock(): unknown
  writeLock(record: LockRecord): void
  deleteLock(): void
}

/** Who asks. */
export interface LockRequest {
  readonly sessionId: string
  readonly pid: number
  /** Milliseconds since the epoch, or both clocks. Now unless told. */
  readonly now?: number | Moment
  readonly ttlMs?: number
  /** More to be written into the record; what the record held before is kept for its own session. */
  readonly extra?: Readonly<Record<string, unknown>>
  /** Is the process of this record proven dead, with everything that it started? No unless told. */
  readonly isDead?: (record: LockRecord) => boolean
  /** Is this record the caller's under an earlier session id? No unless told. */
  readonly isOwn?: (record: LockRecord) => boolean
}

/** What became of an acquisition. `how`: nobody had it, it was ours already, or it was somebody's who is gone. */
export type AcquireResult =
  | {
      readonly acquired: true
      readonly how: 'taken' | 'refreshed' | 'expired' | 'dead'
      readonly record: LockRecord
      readonly previous: LockRecord | null
    }
  | { readonly acquired: false; readonly holder: LockRecord; readonly remainingMs: number }

/** Takes the lock, or refreshes it when this session has it. Another's that is fresh and not proven dead stays. */
export function acquire(io: LockIO, request: LockRequest): AcquireResult {
  const now = momentOf(request.now)
  const found = recordOf(io.readLock())
  if (found === null) return written(io, request, now, null, 'taken')
  if (found.session_id === request.sessionId || request.isOwn?.(found) === true) return written(io, request, now, found, 'refreshed')
  const remaining = remainingMs(found, now)
  if (remaining <= 0) return written(io, request, now, found, 'expired')
  if (request.isDead?.(found) === true) return written(io, request, now, found, 'dead')
  return { acquired: false, holder: found, remainingMs: remaining }
}

/** Moves the deadline of this session's lock; false when it has none. Never takes one, not even a free one. */
export function refresh(io: LockIO, request: LockRequest): boolean {
  const found = recordOf(io.readLock())
  if (found?.session_id !== request.sessionId) return false
  written(io, request, momentOf(request.now), found, 'refreshed')
  return true
}

/** Gives up this session's lock; false when it has none. Another's stays. What `acquire` was called with will do, too. */
export function release(io: LockIO, session: string | Pick<LockRequest, 'sessionId'>): boolean {
  const sessionId = typeof session === 'string' ? session : session.sessionId
  if (recordOf(io.readLock())?.session_id !== sessionId) return false
  io.deleteLock()
  return true
}

/** What names a workspace's lock: the first 12 hexadecimal digits of the MD5 of its resolved path. */
export const computeWorkspaceHash = (workspace: string): string => md5Hex(resolve(workspace)).slice(0, 12)

/** The same under a shorter name. */
export const workspaceHash = computeWorkspaceHash

/** What the agent is told. */
export interface Verdict {
  readonly block: boolean
  readonly reason?: string
}

/** Blocks only for a lock that another session holds. Without a result, whatever went wrong, nobody is locked out. */
export function decide(result: AcquireResult | null | undefined, sessionId: string): Verdict {
  if (result === null || result === undefined || result.acquired) return { block: false }
  const holder = recordOf(result.holder)
  if (holder === null || holder.session_id === sessionId) return { block: false }
  return {
    block: true,
    reason: `parallel session lock held by ${shown(holder.session_id)} (pid ${holder.pid === 0 ? 'unknown' : holder.pid}) — wait or close that session first`,
  }
}

function written(
  io: LockIO,
  request: LockRequest,
  now: Moment,
  previous: LockRecord | null,
  how: 'taken' | 'refreshed' | 'expired' | 'dead',
): AcquireResult {
  const kept = how === 'refreshed' ? previous : null
  // A clock of another writer says nothing about our time.
  const clk = now.clk ?? (kept === null || clkOf(kept) === null ? undefined : null)
  const record: LockRecord = {
    ...kept,
    ...request.extra,
    schema_version: 1,
    session_id: request.sessionId,
    pid: request.pid,
    acquired_at: now.wall,
    ttl_ms: request.ttlMs ?? DEFAULT_TTL_MS,
    ...(clk === undefined ? {} : { clk }),
  }
  io.writeLock(record)
  return { acquired: true, how, record, previous }
}

const momentOf = (now: number | Moment | undefined): Moment => (typeof now === 'object' ? now : { wall: now ?? Date.now(), clk: null })

/** A file's text on an agent's screen: on one line, not longer than it needs to be. */
const shown = (text: string): string => text.replaceAll(/[^\u0020-\u007e]/g, '?').slice(0, 80)
