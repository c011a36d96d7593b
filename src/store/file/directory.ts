import fs from 'node:fs'
import path from 'node:path'
import { Fault, isFault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Disk } from '../../host/disk.ts'
import { handOver, isShared, makeDirectoryOf, readIfPresent, syncDirectory, writeFully } from '../../host/disk.ts'
import { below } from '../../host/paths.ts'
import type { MoveMark } from '../move.ts'
import { isMoveMark } from '../moved.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants

/** Never through a symbolic link, and never waiting at a pipe: a repository unpacked from an archive may contain a hostile directory. */
export const readFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
export const createFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
const lockFlags = O_RDWR | O_NOFOLLOW

/** Where each file of a store lies. */
export interface Layout {
  readonly directory: string
  readonly log: string
  readonly newLog: string
  readonly index: string
  readonly format: string
  readonly poisoned: string
  readonly locks: string
  readonly lock: string
  readonly archive: string
  readonly quarantine: string
}

export const layoutOf = (directory: string): Layout => ({
  directory,
  log: below(directory, 'claims.jsonl'),
  newLog: below(directory, 'claims.jsonl.new'),
  index: below(directory, 'claims.index.jsonl'),
  format: below(directory, 'format'),
  poisoned: below(directory, 'poisoned'),
  locks: below(directory, 'locks'),
  lock: below(directory, 'locks/claims.lock'),
  archive: below(directory, 'archive'),
  quarantine: below(directory, 'quarantine'),
})

/** Access rights of a store's directories and files. */
export interface Modes {
  readonly directory: number
  readonly file: number
}

/** 0700 and 0600, or 0770 and 0660 where Git's `core.sharedRepository` says that a group shares the repository. */
export const modesOf = (shared: boolean): Modes => (shared ? { directory: 0o770, file: 0o660 } : { directory: 0o700, file: 0o600 })

/** Limits that were fixed when the store was made; a work tree that differs is refused instead of believed. */
export interface FixedLimits {
  readonly max_indefinite_leases_per_agent: number
  readonly max_indefinite_leases_per_repo: number
}

/** The `format` file. */
export interface Format {
  readonly format: number
  readonly min_reader: number
  readonly min_writer: number
  /** Identity of this set of leases. */
  readonly space: string
  readonly limits: FixedLimits
  /** Device and inode of the directory when it was made: another inode means that it was copied or moved. */
  readonly device: number
  readonly inode: number
  /** The file system's locks are not reliable and somebody said to go on. */
  readonly unsafe_fs?: boolean
  /** The leases are being moved, or were. */
  readonly move?: MoveMark
}

/** The version of the layout that this code reads and writes. */
export const formatVersion = 1

/** File systems whose locks and appends are the kernel's own, by `statfs` type. */
const safeTypes = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x794c7630, 'overlay'],
  [0xf2f52010, 'f2fs'],
  [0xca451a4e, 'bcachefs'],
  [0x1a, 'apfs'],
])

const unsafeTypes = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x517b, 'SMB'],
  [0x01021997, '9P'],
  [0x65735546, 'FUSE or virtiofs'],
  [0x786f4256, 'VirtualBox shared folders'],
  [0x00c36400, 'Ceph'],
])

/** Throws `unavailable` where locks are not reliable, unless that was allowed. `type` is what `statfs` says. */
export function refuseUnsafeFileSystem(directory: string, type: number, isAllowed = (): boolean => false): void {
  const unsigned = type >>> 0
  if (safeTypes.has(unsigned) || process.platform === 'darwin' || isAllowed()) return
  const name = unsafeTypes.get(unsigned) ?? `type 0x${unsigned.toString(16)}`
  throw new Fault('unavailable', `${directory} is on a file system (${name}) where file locks are not reliable`, {
    hint: 'put the repository on a local disk (ext4, xfs, btrfs, zfs, tmpfs, apfs); to go on at your own risk: lh init --allow-unsafe-fs',
    details: { outcome: 'nothing_changed' },
  })
}

/** What `lstat` says, or null when there is nothing. */
export function lookAt(disk: Disk, file: string): fs.Stats | null {
  return disk.lstatSync(file, { throwIfNoEntry: false }) ?? null
}

/** Opens a file to read it; null when there is none. */
export function openIfPresent(disk: Disk, file: string): number | null {
  try {
    return disk.openSync(file, readFlags)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/**
 * Is this a directory that only we, or those who own or share the repository, can have filled? Throws `unavailable` when it is a symbolic
 * link, belongs to a stranger or can be written by everybody. The idea is Git's `safe.directory`.
 */
export function refuseStrangeDirectory(disk: Disk, directory: string, stat: fs.Stats): void {
  const refuse = (why: string, hint: string): never => {
    throw new Fault('unavailable', `${directory} ${why}`, { hint, details: { outcome: 'nothing_changed' } })
  }
  if (stat.isSymbolicLink())
    refuse('is a symbolic link; it must be a directory', 'remove the link; if a store was moved, use store: file:///dir')
  if (!stat.isDirectory()) refuse('is not a directory', 'move that file away')
  if ((stat.mode & 0o002) !== 0) refuse('can be written by every user of this machine', `take that away: chmod o-w ${directory}`)
  const user = process.geteuid?.()
  if (user === undefined || stat.uid === user) return
  const { uid: owner, gid: group, mode } = disk.lstatSync(path.dirname(directory))
  // Of a repository that its group may write, any of the group may have made it.
  const isOfGroup = (mode & 0o020) !== 0 && stat.gid === group
  if (stat.uid !== owner && !isOfGroup)
    refuse(
      `belongs to user ${stat.uid}, neither you (${user}) nor the repository's owner (${owner})`,
      `make it yours: chown -R ${user} ${directory}`,
    )
}

/** Is this the system's way to say that there is no room? */
export const isDiskFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '')

/** Translates what the operating system says when it will not let us in. */
export function accessFault(error: unknown, directory: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  const details = { outcome: 'nothing_changed' }
  switch (code as string) {
    case 'ENOENT': {
      const missing = (error as NodeJS.ErrnoException).path ?? directory
      const parent = path.dirname(directory)
      return new Fault('unavailable', `${missing} is missing`, {
        hint: missing === parent ? `make it: mkdir -p ${shellWord(parent)}   or mount what belongs there` : 'see: lh doctor',
        cause: error,
        details,
      })
    }
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new Fault('unavailable', `${directory} cannot be written (${code})`, {
        hint: `give this user write access to it; inside a sandbox, allow that directory, for example in Codex: sandbox_workspace_write.writable_roots=["${directory}"]`,
        cause: error,
        details,
      })
    case 'ELOOP':
      return new Fault('unavailable', `${(error as NodeJS.ErrnoException).path ?? `a file in ${directory}`} is a symbolic link`, {
        hint: 'look where it leads, and put that file itself in its place; see: lh doctor',
        cause: error,
        details,
      })
    case 'EISDIR':
    case 'ENOTDIR':
    case 'ESPIPE':
      return new Fault('unavailable', `a file in ${directory} is a directory, or the other way round, or neither (${code})`, {
        hint: `see what is there: ls -ld ${shellWord(path.dirname(directory))}; then: lh doctor`,
        cause: error,
        details,
      })
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new Fault('unavailable', `the disk is full (${code}): nothing was changed`, {
        hint: `make room on the file system of ${directory}, then try again`,
        cause: error,
        details,
      })
    default:
      return isSystemError(error)
        ? new Fault('unavailable', `the disk failed (${code}): nothing was changed`, {
            hint: 'look after that disk; see: lh doctor',
            cause: error,
            details,
          })
        : error
  }
}

/** The same for what happens when records are in the log already: whether they count is unknown. */
export function lateFault(error: unknown): unknown {
  if (!isSystemError(error)) return error
  return new Fault('unavailable', `the disk failed (${error.code}) after the command was written: whether it happened is unknown`, {
    hint: 'ask again with the same --op-id: it happens once; then look after that disk',
    cause: error,
    details: { outcome: 'unknown' },
  })
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && 'syscall' in error && 'code' in error

/** The `format` file, or null when there is none. Throws `unavailable` for one that cannot be understood. */
export function readFormat(disk: Disk, layout: Layout): Format | null {
  const bytes = readIfPresent(disk, layout.format, readFlags)
  if (bytes === null) return null
  try {
    const format = JSON.parse(bytes.toString('utf8')) as Format
    if (Number.isInteger(format.format) && typeof format.space === 'string' && (format.move === undefined || isMoveMark(format.move)))
      return format
  } catch {
    // Said below.
  }
  throw new Fault('unavailable', `${layout.format} is damaged`, {
    hint: 'see: lh doctor; lh recover writes it anew',
    details: { outcome: 'nothing_changed' },
  })
}

/** The `format` file; null when it is missing or damaged. */
export function soundFormat(disk: Disk, layout: Layout): Format | null {
  try {
    return readFormat(disk, layout)
  } catch (error) {
    if (isFault(error)) return null
    throw error
  }
}

/** Is there neither a log nor a `format`? What cannot be understood is something. */
export const isEmpty = (disk: Disk, layout: Layout): boolean => lookAt(disk, layout.format) === null && lookAt(disk, layout.log) === null

/** Throws `unavailable` when this code is too old for the store. */
export function refuseNewerFormat(format: Format, asWriter: boolean): void {
  const needed = asWriter ? format.min_writer : format.min_reader
  if (needed <= formatVersion) return
  throw new Fault('unavailable', `this store needs a newer Leasehold (format ${needed}, this one knows ${formatVersion})`, {
    hint: 'upgrade leasehold',
  })
}

/**
 * Throws `unavailable` when the directory is not the one that the store was made in. A device number alone may change with a reboot,
 * so a different one counts only together with the inode.
 */
export function refuseCopy(format: Format, layout: Layout, stat: fs.Stats): void {
  const fault = copyFault(format, layout, stat)
  if (fault !== null) throw fault
}

/** What is wrong when the directory is not the one that the store was made in; null when it is. */
export function copyFault(format: Format, layout: Layout, stat: fs.Stats): Fault | null {
  if (format.inode === stat.ino) return null
  return new Fault('unavailable', `${layout.directory} was copied or moved from another place: its leases may belong to the original`, {
    hint: 'say which: lh doctor --copied (a new space without leases) or lh doctor --moved (the original is gone, keep the leases)',
    details: { outcome: 'nothing_changed' },
  })
}

/** Writes `format` durably. That leases are elsewhere is written down twice: who repairs the one file must not open the store again. */
export function writeFormat(disk: Disk, layout: Layout, format: Format, modes: Modes): void {
  const { move } = format
  const second = moveFile(layout)
  if (move !== undefined) replaceFile(disk, second, Buffer.from(`${JSON.stringify(move)}\n`), modes.file, true)
  replaceFile(disk, layout.format, Buffer.from(`${JSON.stringify(format)}\n`), modes.file, true)
  if (move === undefined && lookAt(disk, second) !== null) removeIfPresent(disk, second)
  syncDirectory(disk, layout.directory)
}

/** The second place alone, for a store that was never made: its leases are elsewhere from the beginning. */
export function writeMove(disk: Disk, layout: Layout, move: MoveMark, modes: Modes): void {
  replaceFile(disk, moveFile(layout), Buffer.from(`${JSON.stringify(move)}\n`), modes.file, true)
  syncDirectory(disk, layout.directory)
}

const moveFile = (layout: Layout): string => below(layout.directory, 'moved')

/** What the second place says of a move, for when the first is gone; undefined when there was none. Throws `unavailable` for one that says nothing. */
export function readMove(disk: Disk, layout: Layout): MoveMark | undefined {
  const file = moveFile(layout)
  const bytes = readIfPresent(disk, file, readFlags)
  if (bytes === null) return undefined
  try {
    const mark: unknown = JSON.parse(bytes.toString('utf8'))
    if (isMoveMark(mark)) return mark
  } catch {
    // Said below.
  }
  throw new Fault('unavailable', `${file} is damaged, which says where this repository's leases are`, {
    hint: `put it back from a backup; or, if the setting names the right store (lh config get store), have it made anew: rm ${shellWord(file)}`,
    details: { outcome: 'nothing_changed', damaged_note: file },
  })
}

/** Replaces a file as a whole: temporary file, optionally synced, then renamed. Leaves no temporary file behind when it fails. */
export function replaceFile(disk: Disk, file: string, content: Uint8Array | readonly Uint8Array[], mode: number, durable: boolean): void {
  const temporary = `${file}.${process.pid}.${process.hrtime.bigint()}.tmp`
  const fd = createFile(disk, temporary, mode)
  try {
    try {
      for (const bytes of content instanceof Uint8Array ? [content] : content) {
        const { error } = writeFully(disk, fd, bytes)
        if (error !== null) throw error
      }
      if (durable) disk.fsyncSync(fd)
    } finally {
      disk.closeSync(fd)
    }
    disk.renameSync(temporary, file)
  } catch (error) {
    removeIfPresent(disk, temporary)
    throw error
  }
}

/** Opens a file that must not exist yet, for appending. It belongs to those whose store it is, whoever makes it. */
export function createFile(disk: Disk, file: string, mode: number): number {
  const fd = disk.openSync(file, createFlags, mode)
  handOver(disk, fd, file, mode)
  return fd
}

/** Opens the file of a lock, made if it is missing. */
export function openLock(disk: Disk, layout: Layout, file: string, modes: Modes): number {
  if (!isShared(modes.file)) {
    const fd = disk.openSync(file, lockFlags | O_CREAT, modes.file)
    handOver(disk, fd, file, modes.file)
    return fd
  }
  try {
    return disk.openSync(file, lockFlags)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  // It appears with its rights, so that nobody who comes in between is shut out.
  const temporary = `${path.join(layout.directory, path.basename(file))}.${process.pid}.${process.hrtime.bigint()}.tmp`
  disk.closeSync(createFile(disk, temporary, modes.file))
  try {
    disk.linkSync(temporary, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    removeIfPresent(disk, temporary)
  }
  return disk.openSync(file, lockFlags)
}

/** Removes a file; it is fine when there is none. */
export function removeIfPresent(disk: Disk, file: string): void {
  try {
    disk.unlinkSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** Makes the store's directories; what exists stays as it is. */
export function makeDirectories(disk: Disk, layout: Layout, modes: Modes): void {
  for (const directory of [layout.directory, layout.locks, layout.archive, layout.quarantine]) {
    try {
      makeDirectoryOf(disk, directory, modes.directory)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    refuseStrangeDirectory(disk, directory, disk.lstatSync(directory))
  }
}

/** The log of a store that was in use is not there. */
export const logMissing = (layout: Layout): Fault =>
  new Fault('unavailable', `${layout.log} is gone, although this store was in use: what is held is unknown`, {
    hint: 'put it back from a backup, or start after the newest number that is known: lh recover --cut',
    details: { outcome: 'nothing_changed' },
  })
