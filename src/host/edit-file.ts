import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  linkSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  type Stats,
} from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import { Fault, usage } from '../core/fault.ts'
import { makeDirectory, remove, temporaryWith } from './files.ts'
import { kernelLock } from './kernel-lock.ts'
import { linkAt } from './look.ts'
import { below } from './paths.ts'

// Changes to files that belong to people: settings of theirs, and of their agents. Such a file keeps its owner, its group and its mode, a
// link to it stays a link, and of two who change it at a time none undoes what the other did.

/** As many as the kernel follows. */
const maxLinks = 40
/** How long the edits of others are waited for, milliseconds. */
const waitMs = 10_000

/** What was made of a file is of no use: somebody else has changed it since. `editing` begins anew. */
class Overtaken extends Error {}

/** Where a path leads when all links are followed, also when nothing is there yet. Throws `usage` for links that have no end. */
export function realPlace(path: string): string {
  const parts = path.split('/')
  let place = '/'
  for (let links = 0; parts.length > 0;) {
    const part = parts.shift()!
    if (part === '..') place = dirname(place)
    if (part === '' || part === '.' || part === '..') continue
    const next = below(place, part)
    const target = linkAt(next)
    if (target === null) {
      place = next
      continue
    }
    if (++links > maxLinks) throw usage(`${path}: its symbolic links have no end`, `look at it: ls -l ${path}`)
    if (isAbsolute(target)) place = '/'
    parts.unshift(...target.split('/'))
  }
  return place
}

/**
 * Changes a person's file while nobody else does who changes it this way. `work` reads it and puts what it makes of it with `putText` or
 * `removeText`; it is called again when others had changed the file meanwhile. Throws `unavailable` when they let nobody else in.
 */
export function editing<T>(path: string, work: (real: string) => T): T {
  for (const deadline = performance.now() + waitMs; ;) {
    const real = realPlace(path)
    const lock = lockOf(real, deadline)
    try {
      return work(real)
    } catch (error) {
      if (!(error instanceof Overtaken)) throw error
      if (performance.now() > deadline) throw busy(path)
    } finally {
      if (lock !== null) closeSync(lock)
    }
  }
}

const busy = (path: string): Fault =>
  new Fault('unavailable', `${path} is being changed by somebody else; nothing was written`, { hint: 'say the same again' })

/**
 * A descriptor with the kernel's lock on the file itself, so no file of a lock is left beside it. Null: there is none yet, or none that can
 * be locked; then that nobody else has changed it is only seen by comparing.
 */
function lockOf(real: string, deadline: number): number | null {
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants
  for (;;) {
    const present = lookAt(real)
    if (present?.isFile() !== true) return null
    let fd: number
    try {
      fd = openSync(real, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
      return null
    }
    const got = lockIn(fd, deadline)
    // Who had it before us has replaced or removed it: what is locked now is a file that nobody else opens.
    const [locked, now] = [fstatSync(fd), lookAt(real)]
    if (got === true && now?.ino === locked.ino && now.dev === locked.dev) return fd
    closeSync(fd)
    if (got === null) return null
    if (!got) throw busy(real)
  }
}

/** Null: there is no module for such locks on this platform, or this file system has none. */
function lockIn(fd: number, deadline: number): boolean | null {
  try {
    for (let nap = 1; !kernelLock().tryExclusive(fd); nap = Math.min(nap * 1.5, 50)) {
      if (performance.now() + nap > deadline) return false
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, nap)
    }
    return true
  } catch {
    return null
  }
}

function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

/**
 * Replaces the file at a real place, in one step, by what was made of `before` (null: of none); a new one gets `mode`. Only for `editing`.
 * Throws `unavailable` when it could not be left its owner, its group and its mode, and then changes nothing.
 */
export function putText(real: string, before: string | null, text: string, mode: number): void {
  const stats = lookAt(real) ?? null
  const temporary = temporaryFor(real, text, stats, mode)
  try {
    refuseOvertaken(real, before)
    if (stats === null) linkNew(temporary, real)
    else renameSync(temporary, real)
  } finally {
    remove(temporary)
  }
}

/** Removes the file at a real place that said `before`. Only for `editing`. */
export function removeText(real: string, before: string): void {
  refuseOvertaken(real, before)
  unlinkSync(real)
}

/** Replaces a file of a person's that nobody else changes, or a link, or makes it; see `putText`. */
export function replaceFile(path: string, data: string | Uint8Array, mode: number): void {
  const stats = lookAt(path)
  const temporary = temporaryFor(path, data, stats?.isFile() === true ? stats : null, mode)
  try {
    renameSync(temporary, path)
  } catch (error) {
    remove(temporary)
    throw error
  }
}

function refuseOvertaken(real: string, before: string | null): void {
  if (textAt(real) !== before) throw new Overtaken(`${real} was changed meanwhile`)
}

function textAt(real: string): string | null {
  try {
    return readFileSync(real, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function linkNew(temporary: string, real: string): void {
  try {
    linkSync(temporary, real)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new Overtaken(`${real} was made meanwhile`)
    // No hard links on this file system.
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error
    renameSync(temporary, real)
  }
}

/** A synced file beside it that is whose `stats` are; a new one of root's belongs to whose directory it is in. */
function temporaryFor(real: string, data: string | Uint8Array, stats: Stats | null, mode: number): string {
  return temporaryWith(real, data, 0o600, true, fd => {
    if (stats !== null) give(fd, stats, real)
    else giveToOwner(fd, real)
    fchmodSync(fd, stats === null ? mode : stats.mode & 0o7777)
  })
}

function give(fd: number, { uid, gid }: Stats, real: string): void {
  const own = fstatSync(fd)
  if (own.uid === uid && own.gid === gid) return
  try {
    fchownSync(fd, uid, gid)
  } catch (error) {
    const whose = own.uid === uid ? `the group ${gid}, and you are not in it` : `another user (${uid})`
    throw new Fault('unavailable', `${real} belongs to ${whose}: what replaced it could not be theirs (${(error as Error).message})`, {
      hint: 'nothing was changed; run it as the user whose file it is',
      details: { path: real },
      cause: error,
    })
  }
}

/** Root's work in somebody's directory must not shut out its owner. */
function giveToOwner(fd: number, path: string): void {
  if (process.geteuid?.() !== 0) return
  const { uid, gid } = statSync(dirname(path))
  if (uid === 0) return
  try {
    fchownSync(fd, uid, gid)
  } catch {
    // Of a user whom this namespace does not know: it stays our own.
  }
}

/** Makes a directory and what is missing above it, for whose place it is in; gives those it made, the outermost first. */
export function makeDirectories(directory: string, mode = 0o777): readonly string[] {
  const missing: string[] = []
  for (let at = directory; lstatSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at)) missing.unshift(at)
  makeDirectory(directory, mode)
  for (const made of missing) handOver(made)
  return missing
}

function handOver(directory: string): void {
  if (process.geteuid?.() !== 0) return
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    giveToOwner(fd, directory)
  } finally {
    closeSync(fd)
  }
}

/** Troubles of the machine, whatever file it is. */
const ofTheMachine: readonly (string | undefined)[] = ['ENOSPC', 'EDQUOT', 'EIO', 'EMFILE', 'ENFILE']

/** What is said of a file that the system does not let us write; other errors as they are. */
export function unwritable(path: string, error: unknown, hint?: string): unknown {
  const { syscall, code } = error as NodeJS.ErrnoException
  if (typeof syscall !== 'string' || ofTheMachine.includes(code)) return error
  return new Fault('unavailable', `${path} cannot be written: ${(error as Error).message}`, {
    ...(hint === undefined ? {} : { hint }),
    details: { path },
    cause: error,
  })
}
