import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { isUtf8 } from 'node:buffer'
import { basename, dirname, join, relative } from 'node:path'
import { Fault, isFault, policy, usage } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { sha256Hex } from '../../core/sha256.ts'
import { makeDirectory, remove, writeTemporary } from '../../host/files.ts'
import { exchangeFiles } from '../../host/kernel-lock.ts'
import { idPattern } from './ticket.ts'

/** More than a person writes into one ticket. Bytes. */
export const maxTicketBytes = 1024 * 1024

/** Where the tickets of a worktree are; `root` is its top. */
export const ticketsDirectory = (root: string): string => join(root, '.leasehold', 'tickets')

/** What identifies the content of a file that is to be replaced. */
export const hashOf = (content: string | Uint8Array): string => sha256Hex(typeof content === 'string' ? Buffer.from(content) : content, 64)

/** Why a file of ours cannot be read. */
export type Unreadable = 'missing' | 'symbolic link' | 'not a regular file' | 'too large' | 'no permission'

/**
 * The content of a regular file of at most `limit` bytes; a word when it cannot be had. Neither follows a symbolic link nor waits for
 * the other end of a pipe.
 */
export function readRegular(path: string, limit: number): Buffer | Unreadable {
  const descriptor = openForReading(path)
  if (typeof descriptor === 'string') return descriptor
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) return 'not a regular file'
    if (stats.size > limit) return 'too large'
    const bytes = Buffer.allocUnsafe(stats.size)
    let length = 0
    for (let got = -1; length < bytes.length && got !== 0; length += got)
      got = readSync(descriptor, bytes, length, bytes.length - length, null)
    return bytes.subarray(0, length)
  } finally {
    closeSync(descriptor)
  }
}

/** May its owner run it? */
export const isExecutable = (path: string): boolean => ((lstatSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o100) !== 0

/** An open descriptor, or why there is none. */
export function openForReading(path: string): number | Unreadable {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === undefined ? undefined : unreadable.get(code)
    if (why !== undefined) return why
    throw new Fault('unavailable', `${path} cannot be read: ${message}`, { hint: `Look at it: ls -ld ${shellWord(path)}`, cause: error })
  }
}

const unreadable: ReadonlyMap<string, Unreadable> = new Map([
  ['ENOENT', 'missing'],
  ['ENOTDIR', 'missing'],
  ['ELOOP', 'symbolic link'],
  ['EMLINK', 'symbolic link'],
  ['EACCES', 'no permission'],
  ['EPERM', 'no permission'],
  // A socket, or a device that is not there.
  ['ENXIO', 'not a regular file'],
  ['ENODEV', 'not a regular file'],
  ['EOPNOTSUPP', 'not a regular file'],
])

/** The first line that is no UTF-8 by itself: a line break is no part of any other character. */
export function lineOfBadByte(bytes: Buffer): number {
  for (let at = 0, line = 1; ; line++) {
    const end = bytes.indexOf(10, at)
    if (end < 0 || !isUtf8(bytes.subarray(at, end))) return line
    at = end + 1
  }
}

/**
 * Makes the directory of a ticket with these files, all of them or none: it is built beside and moved into place. `root` is the top of
 * the worktree; paths are relative to the ticket's directory; those in `executable` may be run. Throws `policy` when there is one already.
 */
export function createTicketDirectory(
  root: string,
  id: string,
  files: Readonly<Record<string, string | Uint8Array>>,
  executable: ReadonlySet<string> = new Set(),
): void {
  if (!idPattern.test(id)) throw usage(`${JSON.stringify(id)} cannot be the name of a ticket's directory.`)
  const parent = ticketsDirectory(root)
  makeTicketsDirectory(root)
  const target = join(parent, id)
  refuseExisting(target, id)
  const temporary = join(parent, `.tmp-${id}.${process.pid}.${process.hrtime.bigint()}`)
  try {
    mkdirSync(temporary)
    const folders = new Set([temporary])
    for (const [name, content] of Object.entries(files)) {
      const path = join(temporary, name)
      if (relative(temporary, path).startsWith('..') || path === temporary)
        throw usage(`${JSON.stringify(name)} is outside the ticket's directory.`)
      const folder = dirname(path)
      checkSize(join(target, name), content)
      makeDirectory(folder)
      folders.add(folder)
      writeFileSync(path, content, { flag: 'wx', flush: true, mode: executable.has(name) ? 0o777 : 0o666 })
    }
    for (const folder of folders) syncDirectory(folder)
    refuseExisting(target, id)
    renameSync(temporary, target)
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true })
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR') throw taken(target, id)
    throw unwritable(target, error)
  }
  syncDirectory(parent)
}

/** What a ticket has beside its `ticket.md`, such as its artifacts, is as large as it was made. Bytes. */
const limitOf = (path: string): number => (basename(path) === 'ticket.md' ? maxTicketBytes : Number.MAX_SAFE_INTEGER)

/** What could not be read again is not written. */
function checkSize(path: string, content: string | Uint8Array): void {
  const size = typeof content === 'string' ? Buffer.byteLength(content) : content.length
  if (size <= limitOf(path)) return
  throw usage(`${path} would have ${size} bytes; a ticket has at most ${maxTicketBytes}.`, 'Put the long part into a file of its own.')
}

const taken = (target: string, id: string): Fault =>
  policy(`There is a ticket ${id} already: ${target}`, `Look at it: lh ticket show ${id}`)

function refuseExisting(target: string, id: string): void {
  if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) throw taken(target, id)
}

/** Makes `.leasehold/tickets` where it is missing; nothing of it may be a symbolic link. */
function makeTicketsDirectory(root: string): void {
  for (const path of [join(root, '.leasehold'), ticketsDirectory(root)]) {
    try {
      mkdirSync(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unwritable(path, error)
      checkDirectory(path)
    }
  }
}

/** Throws `unavailable` unless this is a directory itself, or nothing. */
export function checkDirectory(path: string): void {
  let stats
  try {
    stats = lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw new Fault('unavailable', `${path} cannot be read: ${(error as Error).message}`, {
      hint: `Look at it: ls -ld ${shellWord(path)}`,
      cause: error,
    })
  }
  if (stats?.isDirectory() !== false) return
  throw new Fault(
    'unavailable',
    `${path} is ${stats.isSymbolicLink() ? 'a symbolic link' : 'not a directory'}; Leasehold does not follow it.`,
    {
      hint: `Look at it: ls -ld ${path}`,
    },
  )
}

const isOurs = (error: unknown): boolean => error instanceof Error && error.name === 'Fault'

const unwritable = (path: string, error: unknown): unknown =>
  isOurs(error)
    ? error
    : new Fault('unavailable', `${path} cannot be written: ${(error as Error).message}`, {
        hint: 'Nothing was changed. See to the disk and its permissions, and run the command again.',
        details: { outcome: 'nothing_changed' },
        cause: error,
      })

/** A new content for a file, on the disk but not in its place yet. */
export interface Replacement {
  /** Throws `policy` unless the file still has the content with this hash (null: is missing). */
  check(expectedHash: string | null): void
  /** Checks, and puts it in place. */
  commit(expectedHash: string | null): void
  /** Forgets it. */
  discard(): void
}

/**
 * Where the new content of a file waits. What a killed command leaves of a ticket lies beside the tickets and not in one of them, where
 * the doctor finds it and nobody commits it with the work.
 */
function waitingPlace(path: string): string {
  const [folder, tickets] = [dirname(path), dirname(dirname(path))]
  return tickets.endsWith(join('.leasehold', 'tickets')) ? join(tickets, `.tmp-${basename(folder)}-${basename(path)}`) : path
}

/** Writes and syncs a new content, so that putting it in place takes no time. Throws `unavailable`. */
export function prepareReplacement(path: string, content: string | Uint8Array, executable?: boolean): Replacement {
  checkSize(path, content)
  let temporary: string
  try {
    const before = existsSync(path) ? lstatSync(path).mode & 0o777 : 0o644
    const mode = executable === undefined ? before : executable ? before | 0o111 : before & ~0o111
    temporary = writeTemporary(waitingPlace(path), content, mode, true)
  } catch (error) {
    throw unwritable(path, error)
  }
  const check = (expectedHash: string | null): void => {
    const found = readRegular(path, limitOf(path))
    if (hashOfFound(found) === expectedHash) return
    if (typeof found === 'string' || isUtf8(found)) throw changedMeanwhile(path)
    throw usage(`${path} is not UTF-8; it cannot be changed without loss.`, 'Save it as UTF-8 with an editor.')
  }
  return {
    check,
    commit(expectedHash) {
      try {
        check(expectedHash)
        if (!takePlace(temporary, path, expectedHash)) throw changedMeanwhile(path)
      } catch (error) {
        throw unwritable(path, error)
      } finally {
        remove(temporary)
      }
      syncDirectory(dirname(path))
    },
    discard: () => remove(temporary),
  }
}

/** Null when it is missing, a word that is no hash when it cannot be read. */
const hashOfFound = (found: Buffer | Unreadable): string | null =>
  typeof found === 'string' ? (found === 'missing' ? null : found) : hashOf(found)

/**
 * Puts a new file in the place of the one with this hash. An editor may save between a look at the file and a renaming, however short;
 * so the two change places, and what was there is looked at afterwards. False when it was not the one that was expected; it is back then.
 */
function takePlace(temporary: string, path: string, expectedHash: string | null): boolean {
  if (expectedHash === null || !exchangeFiles(temporary, path)) {
    renameSync(temporary, path)
    return true
  }
  if (hashOfFound(readRegular(temporary, limitOf(path))) === expectedHash) return true
  exchangeFiles(temporary, path)
  return false
}

/** The refusal after which reading anew and trying again is right. */
export const changedMeanwhile = (path: string): Fault =>
  new Fault('policy', `${path} was changed by somebody else in the meantime; nothing was written.`, {
    hint: 'Run the command again.',
    details: { kind: 'changed-meanwhile' },
  })

/** Was a file not written because an editor, or somebody else, was there first? Then reading it again and asking anew is right. */
export const isChangedMeanwhile = (error: unknown): boolean => isFault(error) && error.details?.['kind'] === 'changed-meanwhile'

/** Replaces a file in one step, durably; `policy` when it is no longer the one whose hash is given. */
export function replaceFile(path: string, content: string | Uint8Array, expectedHash: string | null, executable?: boolean): void {
  prepareReplacement(path, content, executable).commit(expectedHash)
}

/** Makes a renaming in this directory durable, where the file system can. */
export function syncDirectory(path: string): void {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch {
    return
  }
  try {
    fsyncSync(descriptor)
  } catch {
    // Some network file systems cannot; the renaming itself is done.
  } finally {
    closeSync(descriptor)
  }
}
