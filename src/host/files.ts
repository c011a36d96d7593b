import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { Fault } from '../core/fault.ts'
import { handOver, makeDirectoryOf } from './disk.ts'

/** Above this a JSON file of ours is damaged, whatever it says. Bytes. */
const maxJsonBytes = 16 * 1024 * 1024

/**
 * Makes a directory and what is missing above it; one that is there is fine. Throws the system's own errors. Node's own recursive
 * `mkdir` never ends where the system says ENOENT below a directory that is there (/proc does; so may an automounter).
 */
export function makeDirectory(path: string, mode = 0o777): void {
  let error = tryDirectory(path, mode)
  if (error?.code === 'ENOENT' && dirname(path) !== path) {
    makeDirectory(dirname(path), mode)
    error = tryDirectory(path, mode)
  }
  if (error !== null) throw error
}

function tryDirectory(path: string, mode: number): NodeJS.ErrnoException | null {
  try {
    mkdirSync(path, mode)
    return null
  } catch (error) {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? null : (error as NodeJS.ErrnoException)
  }
}

let temporaries = 0

/**
 * Replaces `path` in one step: readers see the old content or the new, and a failure leaves the old and no temporary file.
 * Survives a crash of the process, and one of the machine only with `sync`. Throws the system's own errors.
 */
export function writeFileAtomic(path: string, data: string | Uint8Array, mode: number, options: { readonly sync?: boolean } = {}): void {
  putInPlace(path, writeTemporary(path, data, mode, options.sync === true))
}

/** The same for a file that belongs to the repository, and not to whoever happens to write it: its owner and its group can use it. */
export function writeRepositoryFile(
  path: string,
  data: string | Uint8Array,
  shared: boolean,
  options: { readonly sync?: boolean } = {},
): void {
  putInPlace(path, writeRepositoryTemporary(path, data, shared, options.sync === true))
}

function putInPlace(path: string, temporary: string): void {
  try {
    renameSync(temporary, path)
  } catch (error) {
    remove(temporary)
    throw error
  }
}

/** Puts a whole file of the repository's in place unless one is there. False: somebody else's is. Throws the system's own errors. */
export function createOnce(path: string, data: string, shared: boolean): boolean {
  const temporary = writeRepositoryTemporary(path, data, shared, false)
  try {
    linkSync(temporary, path)
    return true
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EEXIST') return false
    // No hard links on this file system. Racing writers write the same bytes, so replacing is as good.
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error
    writeRepositoryFile(path, data, shared)
    return true
  } finally {
    remove(temporary)
  }
}

/** Opens the file of a lock of the repository's, made if it is missing. Throws the system's own errors. */
export function openLockFile(path: string, shared: boolean): number {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) createOnce(path, '', shared)
  return openSync(path, constants.O_RDWR | constants.O_NOFOLLOW)
}

/** A new file beside `path` with this content; the caller renames or links it. Throws the system's own errors, leaving nothing. */
export function writeTemporary(path: string, data: string | Uint8Array, mode: number, sync: boolean): string {
  return temporaryWith(path, data, mode, sync, descriptor => {
    if ((mode & 0o077) !== 0) fchmodSync(descriptor, mode)
  })
}

/** The same for one that belongs to the repository. */
export function writeRepositoryTemporary(path: string, data: string | Uint8Array, shared: boolean, sync: boolean): string {
  const mode = shared ? 0o660 : 0o600
  return temporaryWith(path, data, mode, sync, descriptor => handOver(disk, descriptor, path, mode))
}

const disk = { mkdirSync, openSync, closeSync, lstatSync, fchownSync, fchmodSync }

/** A new file beside `path` with this content, as `prepare` has made it whose it is to be. Throws what that does and the system's own errors, leaving nothing. */
export function temporaryWith(
  path: string,
  data: string | Uint8Array,
  mode: number,
  sync: boolean,
  prepare: (descriptor: number) => void,
): string {
  // Unique without randomness: the pid tells processes apart, the clock their predecessors, the counter calls within one.
  const temporary = `${path}.${process.pid}.${process.hrtime.bigint()}.${temporaries++}.tmp`
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const descriptor = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
  try {
    prepare(descriptor)
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done)
    if (sync) fsyncSync(descriptor)
  } catch (error) {
    closeSync(descriptor)
    remove(temporary)
    throw error
  }
  closeSync(descriptor)
  return temporary
}

/** Removes a file if it is there and may be removed; for leftovers only. */
export function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // It is gone, or it stays: either way there is nothing to add to the failure that brought us here.
  }
}

/** The parsed content of a JSON file, undefined when there is none. Throws `unavailable` when it is broken, a symbolic link or no file. */
export function readJson(path: string): unknown {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let descriptor: number
  try {
    // Without O_NONBLOCK a FIFO in the place of our file would hang every command.
    descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    const why = code === 'ELOOP' || code === 'EMLINK' ? 'it is a symbolic link' : (error as Error).message
    throw new Fault('unavailable', `${path} cannot be read: ${why}`, { cause: error })
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw new Fault('unavailable', `${path} is not a regular file.`)
    if (stats.size > maxJsonBytes) throw new Fault('unavailable', `${path} is too large (${stats.size} bytes).`)
    return JSON.parse(readFileSync(descriptor, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) throw new Fault('unavailable', `${path} is damaged: it is not JSON.`, { cause: error })
    throw error
  } finally {
    closeSync(descriptor)
  }
}

/** Makes a directory of the repository's, 0700 or 0770 when `shared`; one that exists is fine, a symbolic link is not (`unavailable`). */
export function makePrivateDirectory(path: string, shared: boolean): void {
  const mode = shared ? 0o770 : 0o700
  // Asking first: it is there as a rule, and an exception costs ten times the question.
  let stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) {
    try {
      makeDirectoryOf(disk, path, mode)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    stats = lstatSync(path)
  }
  if (!stats.isDirectory()) {
    throw new Fault(
      'unavailable',
      `${path} is ${stats.isSymbolicLink() ? 'a symbolic link' : 'not a directory'}; Leasehold does not follow it.`,
      {
        hint: `Look at it, and remove it if you did not make it: ls -ld ${path}`,
      },
    )
  }
}

/** May this user not read what is there? */
export const isUnreadable = (error: unknown): boolean => {
  const { code } = ((error as Error | null)?.cause ?? error ?? {}) as NodeJS.ErrnoException
  return code === 'EACCES' || code === 'EPERM'
}

/** Did the system refuse because this place may not be written? */
export function isReadOnly(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code
  return code === 'EROFS' || code === 'EACCES' || code === 'EPERM'
}
