import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { makeDirectory } from '../../host/files.ts'
import { Fault } from '../../core/fault.ts'
import { kernelLock } from '../../host/kernel-lock.ts'
import { elapsedMs } from './moment.ts'
import type { LockIO } from './lock.ts'
import { remainingMs, type LockRecord, type Moment } from './record.ts'

// Where locks are kept. Writers take turns by a kernel lock on one permanent empty file, so a killed process leaves none behind. A record
// is written in place, in one write of a size that never shrinks: there is no temporary file that a kill could leave, and a reader without
// the lock tells half a write from a whole one by the sum at its end.

/** A record is padded with blanks to a multiple of this. Bytes. */
const blockBytes = 1024

/** Nothing of ours is longer. Bytes. */
const maxBytes = 64 * 1024

const recordName = /^session-lock-([0-9a-f]{12})\.json$/

/** The directory of all session locks of a user. Throws `unavailable` without a home. */
export function runtimeDirectory(env: NodeJS.ProcessEnv): string {
  const home = env['HOME']
  if (home === undefined || !isAbsolute(home))
    throw new Fault('unavailable', 'HOME names no directory, so there is no place for session locks.', {
      hint: 'Say whose locks are meant: HOME=/home/you lh …',
    })
  return join(home, '.claude', 'runtime')
}

/** All session locks of this user on this machine. */
export class LockDirectory {
  readonly path: string
  #depth = 0

  constructor(path: string) {
    this.path = path
  }

  /** Where the record of a workspace is. */
  file(hash: string): string {
    return join(this.path, `session-lock-${hash}.json`)
  }

  /** The record of a workspace as it is now, without waiting for anybody; null unless it is whole and one of ours. Never throws. */
  glance(hash: string): LockRecord | null {
    try {
      const text = readOwn(this.file(hash))
      return text === null ? null : verified(text)
    } catch {
      return null
    }
  }

  /** What the record's file holds; null for what nobody could have meant as one. Throws what the file system does. */
  read(hash: string): unknown {
    const text = readOwn(this.file(hash))
    if (text === null) return null
    try {
      return JSON.parse(text)
    } catch {
      return null
    }
  }

  /** Throws `unavailable` for what keeps hooks from having this workspace's lock: the directory is none of ours, or another lies in its place. */
  inspect(hash: string): void {
    const present = lookAt(this.path)
    if (present === undefined) return
    refuseStrange(this.path, present)
    const file = this.file(hash)
    if (lstatSync(file, { throwIfNoEntry: false })?.isDirectory() === true)
      throw notOurs(file, 'is a directory where a lock should be, and hooks let everything pass')
  }

  /** Every workspace that has a record. */
  hashes(): readonly string[] {
    try {
      return readdirSync(this.path).flatMap(name => recordName.exec(name)?.[1] ?? [])
    } catch {
      return []
    }
  }

  /** The tops of all workspaces that another session than this one has now, and that are still there. */
  othersThan(sessionId: string, now: Moment): readonly string[] {
    return this.hashes().flatMap(hash => {
      const record = this.glance(hash)
      const workspace = record?.['workspace']
      if (record === null || record.session_id === sessionId || remainingMs(record, now) <= 0) return []
      return typeof workspace === 'string' && isAbsolute(workspace) && existsSync(workspace) ? [workspace] : []
    })
  }

  /** Other files of ours here: their names. */
  names(): readonly string[] {
    try {
      return readdirSync(this.path)
    } catch {
      return []
    }
  }

  /** Is there such a file? */
  has(file: string): boolean {
    return lstatSync(file, { throwIfNoEntry: false }) !== undefined
  }

  /** Reading and writing one workspace's record; to be used inside `locked`. */
  io(hash: string): LockIO {
    const file = this.file(hash)
    return {
      readLock: () => this.read(hash),
      writeLock: record => writeOwn(file, printed(record)),
      deleteLock: () => removeOwn(file),
    }
  }

  /**
   * Does something while no other process writes here. Throws `timeout` when the others do not let us by `deadline` (as
   * `elapsedMs` counts), `unavailable` when the directory is none of ours.
   */
  locked<T>(deadline: number, work: () => T): T {
    if (this.#depth > 0) return work()
    prepareDirectory(this.path)
    const fd = this.#lock(deadline)
    this.#depth++
    try {
      return work()
    } finally {
      this.#depth--
      // Closing frees the lock.
      closeSync(fd)
    }
  }

  #lock(deadline: number): number {
    const file = join(this.path, 'session-lock.lock')
    const lock = kernelLock()
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
    for (let nap = 1; ; nap = Math.min(nap * 1.5, 20)) {
      const fd = openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
      try {
        const stats = fstatSync(fd)
        if (!stats.isFile() || stats.uid !== userId()) throw new Fault('unavailable', `${file} is not a file of ours.`)
        // Somebody may have removed the file after we opened it: then others would lock another one.
        while (!lock.tryExclusive(fd)) {
          if (elapsedMs() + nap > deadline) throw new Fault('timeout', `${file} stayed locked by another process.`)
          sleep(nap)
          nap = Math.min(nap * 1.5, 20)
        }
        const present = lstatSync(file, { throwIfNoEntry: false })
        if (present !== undefined && present.ino === stats.ino && present.dev === stats.dev) {
          if ((stats.mode & 0o077) !== 0) fchmodSync(fd, 0o600)
          return fd
        }
      } catch (error) {
        closeSync(fd)
        throw error
      }
      closeSync(fd)
      if (elapsedMs() > deadline) throw new Fault('timeout', `${file} is being replaced again and again.`)
    }
  }
}

/** Replaces a small file of ours in place, without a temporary; to be used under the lock. Throws what the file system does. */
export function writeOwn(file: string, text: string): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants
  let fd = openExisting(file, O_WRONLY | O_NOFOLLOW | O_NONBLOCK)
  const made = fd === null
  fd ??= openSync(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    const stats = fstatSync(fd)
    const length = Buffer.byteLength(text)
    const bytes = Buffer.alloc(Math.max(Math.ceil((length + 1) / blockBytes) * blockBytes, stats.size), ' ')
    bytes.write(text)
    bytes[bytes.length - 1] = 0x0a
    if (bytes.length > maxBytes) throw new Fault('unavailable', `${file} would become too large (${bytes.length} bytes).`)
    if ((stats.mode & 0o777) !== 0o600) fchmodSync(fd, 0o600)
    const done = writeSync(fd, bytes, 0, bytes.length, 0)
    if (done !== bytes.length) throw new Fault('unavailable', `${file} could not be written: the disk is full.`)
  } catch (error) {
    if (made) removeOwn(file)
    throw error
  } finally {
    closeSync(fd)
  }
}

/** The text of a small file of ours; null when there is none, or something else is in its place. */
export function readOwn(file: string): string | null {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  // Asking first: a missing file is a usual case, and an exception costs ten times the question.
  const present = lstatSync(file, { throwIfNoEntry: false })
  if (present === undefined || !isOwn(present)) return null
  const fd = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const buffer = Buffer.allocUnsafe(present.size)
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, present.size, 0))
  } finally {
    closeSync(fd)
  }
}

/** Removes a file of ours if it is there. */
export function removeOwn(file: string): void {
  try {
    unlinkSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** A descriptor of the file that is there, or null: nothing is, or what was there could only have been put there to mislead and is gone. */
function openExisting(file: string, flags: number): number | null {
  const present = lstatSync(file, { throwIfNoEntry: false })
  if (present === undefined) return null
  if (isOwn(present)) return openSync(file, flags)
  // A link's target is not touched, and a directory stays and is an error.
  unlinkSync(file)
  return null
}

/** A regular file of this user under one name, of a size that we could have written. */
const isOwn = (stats: { isFile(): boolean; uid: number; nlink: number; size: number }): boolean =>
  stats.isFile() && stats.uid === userId() && stats.nlink === 1 && stats.size <= maxBytes

const userId = (): number => process.geteuid?.() ?? 0

/** Makes the directory, or sees that it is ours. Throws `unavailable`. */
export function prepareDirectory(path: string): void {
  let present = lookAt(path)
  if (present === undefined) {
    const above = dirname(path)
    const home = dirname(above)
    // Root that works in somebody's home would leave there what its owner could not use.
    for (const place of [above, home]) {
      const stats = lstatSync(place, { throwIfNoEntry: false })
      if (stats !== undefined && !stats.isSymbolicLink() && stats.uid !== userId()) throw notOurs(place, 'belongs to another user')
    }
    makeDirectory(path, 0o700)
    present = lstatSync(path)
  }
  refuseStrange(path, present)
  if ((present.mode & 0o077) !== 0) chmodSync(path, 0o700)
}

/** What is there, undefined when nothing is. Throws `unavailable` when it could not be. */
function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOTDIR' ? notOurs(dirname(path), 'is not a directory') : error
  }
}

function refuseStrange(path: string, stats: Stats): void {
  if (stats.isSymbolicLink()) throw notOurs(path, 'is a symbolic link')
  if (!stats.isDirectory()) throw notOurs(path, 'is not a directory')
  if (stats.uid !== userId()) throw notOurs(path, 'belongs to another user')
}

const notOurs = (path: string, why: string): Fault => new Fault('unavailable', `${path} ${why}.`, { hint: `Look at it: ls -ld ${path}` })

function printed(record: LockRecord): string {
  const { sum: _, ...rest } = record
  const text = JSON.stringify(rest)
  return `${text.slice(0, -1)},"sum":"${sumOf(text)}"}`
}

/** A record whose sum is right: written by us, as a whole, and by nobody else since. */
function verified(text: string): LockRecord | null {
  const end = text.trimEnd()
  const at = end.length - ',"sum":"00000000"}'.length
  if (at < 0 || !end.startsWith(',"sum":"', at) || sumOf(`${end.slice(0, at)}}`) !== end.slice(at + 8, at + 16)) return null
  return JSON.parse(end) as LockRecord
}

/** FNV-1a over UTF-16 units, 8 hexadecimal digits: tells a torn read, and protects nothing. */
function sumOf(text: string): string {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}

/** Everything here is over before a timer could fire. */
const sleep = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
