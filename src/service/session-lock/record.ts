/** What a session lock's file says. What else it holds is somebody's, and is kept. */
export interface LockRecord {
  readonly schema_version: number
  readonly session_id: string
  /** For people. It proves death only where `pid_started_at` says which process was meant. */
  readonly pid: number
  /** Milliseconds since the epoch; a record of others may have an ISO time in the file. */
  readonly acquired_at: number
  readonly ttl_ms: number
  readonly [extra: string]: unknown
}

/** A moment, on the wall and, where there is one, on a clock that nobody can set. */
export interface Moment {
  /** Milliseconds since the epoch. */
  readonly wall: number
  /** The boot's name and its monotonic milliseconds. */
  readonly clk: Clk | null
}

/** The extra member `clk`. */
export interface Clk {
  readonly b: string
  readonly m: number
}

const maxIdBytes = 256

/** A year: what claims to last longer was not meant. */
const maxTtlMs = 366 * 86_400_000

/** What a parsed file says, or null for what is no lock record: then nobody holds the lock. */
export function recordOf(value: unknown): LockRecord | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const { schema_version: version = 1, session_id: session, pid, acquired_at: acquired, ttl_ms: ttl } = value as Record<string, unknown>
  const at = typeof acquired === 'string' ? Date.parse(acquired) : acquired
  if (typeof version !== 'number' || !isSessionId(session) || !isTime(at) || typeof ttl !== 'number' || !(ttl >= 0)) return null
  const known = typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 0 ? pid : 0
  return { ...value, schema_version: version, session_id: session, pid: known, acquired_at: at, ttl_ms: Math.min(ttl, maxTtlMs) }
}

/** Can this name a session? */
export const isSessionId = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= maxIdBytes && !/[\u0000-\u001f\u007f]/.test(value)

/** How long ago it was taken or refreshed, milliseconds. Within one boot the monotonic clock says it, whatever became of the wall clock. */
export function ageMs(record: LockRecord, now: Moment): number {
  const clk = clkOf(record)
  return clk !== null && now.clk !== null && clk.b === now.clk.b && clk.m <= now.clk.m ? now.clk.m - clk.m : now.wall - record.acquired_at
}

/** What is left of it, milliseconds; 0 or less is past. A record from a future beyond its own length was written by a wrong clock: past. */
export function remainingMs(record: LockRecord, now: Moment): number {
  const age = ageMs(record, now)
  return age < -record.ttl_ms ? 0 : record.ttl_ms - Math.max(0, age)
}

/** The record's monotonic time, when it has a usable one. */
export function clkOf(record: LockRecord): Clk | null {
  const clk = record['clk'] as Partial<Clk> | null | undefined
  return typeof clk?.b === 'string' && typeof clk.m === 'number' && Number.isFinite(clk.m) ? { b: clk.b, m: clk.m } : null
}

const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0
