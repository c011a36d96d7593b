import { closeSync, constants, lstatSync, openSync, readSync } from 'node:fs'
import type { HeldEntry } from '../identity/held.ts'

// Whether anything happened to a session's leases since its last hook, told by what was appended to the log meanwhile. Where nothing was,
// that is one question to the file system; the store is only opened when a record is about one of them.

/** Where a log ended. */
export interface LogEnd {
  readonly path: string
  readonly ino: number
  /** Bytes. */
  readonly size: number
}

/** What came after an end. */
export interface News {
  /** Something that may have ended one of the leases, or made it shorter; also when that cannot be told. */
  readonly ours: boolean
  /** Where it ends now. */
  readonly end: LogEnd
}

/** More is not read: a look at the store is cheaper then. Bytes. */
const maxTail = 256 * 1024

/** Where a log ends now. Throws what the file system does. */
export function logEnd(path: string): LogEnd {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  return { path, ino: stats?.ino ?? 0, size: stats?.size ?? 0 }
}

/** A remembered end, null for what is none. */
export function logEndIn(value: unknown): LogEnd | null {
  const { path, ino, size } = (value ?? {}) as Partial<LogEnd>
  return typeof path === 'string' && typeof ino === 'number' && typeof size === 'number' ? { path, ino, size } : null
}

/** What happened to these leases since the log ended there; `spanMs` is how seldom they are renewed. Throws what the file system does. */
export function newsSince(known: LogEnd, entries: readonly HeldEntry[], spanMs: number): News {
  const end = logEnd(known.path)
  const length = end.size - known.size
  // Another file: the log was rotated or mended.
  if (end.ino !== known.ino || length < 0 || length > maxTail) return { ours: true, end }
  if (length === 0) return { ours: false, end }
  const marks = entries.flatMap(({ leaseId, resource }) => [leaseId, JSON.stringify(resource)])
  const lines = tailOf(known, length).split('\n')
  return { ours: lines.some(line => marks.some(mark => line.includes(mark)) && !isSignOfLife(line, spanMs)), end }
}

function tailOf({ path, size }: LogEnd, length: number): string {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const buffer = Buffer.allocUnsafe(length)
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, length, size))
  } finally {
    closeSync(fd)
  }
}

/** Says this record only that the holder lives, and goes on for as long as before? */
function isSignOfLife(line: string, spanMs: number): boolean {
  try {
    const { op, ttl_secs: ttl } = JSON.parse(line) as { readonly op?: unknown; readonly ttl_secs?: unknown }
    return op === 'heartbeat' || (op === 'renew' && typeof ttl === 'number' && (ttl === 0 || ttl * 1000 * duePart >= spanMs))
  } catch {
    return false
  }
}

/** Hooks renew again after this part of the shortest lease. */
export const duePart = 1 / 5
