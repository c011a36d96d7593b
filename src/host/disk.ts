import fs from 'node:fs'
import path from 'node:path'

/** The file operations a store needs: `node:fs` itself, or a simulated disk that loses power at a chosen step. */
export type Disk = Pick<
  typeof fs,
  | 'openSync'
  | 'closeSync'
  | 'readSync'
  | 'writeSync'
  | 'fstatSync'
  | 'ftruncateSync'
  | 'fdatasyncSync'
  | 'fdatasync'
  | 'fsyncSync'
  | 'renameSync'
  | 'linkSync'
  | 'unlinkSync'
  | 'mkdirSync'
  | 'lstatSync'
  | 'readdirSync'
  | 'fchmodSync'
  | 'fchownSync'
>

/**
 * Gives a file or directory that we have just made to those whose place it is in. Root's work must not shut out the owner, and a shared
 * repository promises its group the rights of `mode`, whatever the umask and whichever group is the maker's own.
 */
export function handOver(disk: Pick<Disk, 'lstatSync' | 'fchownSync' | 'fchmodSync'>, fd: number, file: string, mode: number): void {
  if (!isForOthers(mode)) return
  const user = process.geteuid!()
  try {
    const { uid, gid } = disk.lstatSync(path.dirname(file))
    const owner = user === 0 ? uid : user
    if (owner !== user || gid !== process.getegid!()) disk.fchownSync(fd, owner, gid)
  } catch {
    // Of a group that is none of ours, or of a user whom this namespace does not know: it stays our own.
  }
  if (isShared(mode)) disk.fchmodSync(fd, mode)
}

/** Is this a mode of a shared repository? */
export const isShared = (mode: number): boolean => (mode & 0o070) !== 0

/** Does what we make belong to others as well? To root nothing does that is in somebody's directory. */
const isForOthers = (mode: number): boolean => process.geteuid?.() === 0 || isShared(mode)

/** The same for a directory; what is made in a shared one belongs to its group, as with Git. */
function handOverDirectory(
  disk: Pick<Disk, 'openSync' | 'closeSync' | 'lstatSync' | 'fchownSync' | 'fchmodSync'>,
  directory: string,
  mode: number,
): void {
  if (!isForOthers(mode)) return
  const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants
  const fd = disk.openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  try {
    handOver(disk, fd, directory, isShared(mode) ? mode | 0o2000 : mode)
  } finally {
    disk.closeSync(fd)
  }
}

/** Makes a directory that belongs to those whose place it is in. Throws the system's own errors. */
export function makeDirectoryOf(
  disk: Pick<Disk, 'mkdirSync' | 'openSync' | 'closeSync' | 'lstatSync' | 'fchownSync' | 'fchmodSync'>,
  directory: string,
  mode: number,
): void {
  // Until it has its rights, others of the group who come in between would be shut out.
  const before = isShared(mode) ? setMask(0o007) : null
  try {
    disk.mkdirSync(directory, { mode })
  } finally {
    if (before !== null) setMask(before)
  }
  handOverDirectory(disk, directory, mode)
}

/** Returns the mask that was set; null in a worker thread, which cannot set it. */
function setMask(mask: number): number | null {
  try {
    return process.umask(mask)
  } catch {
    return null
  }
}

/** Reads up to `length` bytes at `position`; shorter only at the end of the file. */
export function readFully(disk: Disk, fd: number, position: number, length: number): Buffer {
  // Its own memory, so that views of it are aligned.
  const buffer = Buffer.allocUnsafeSlow(length)
  let filled = 0
  while (filled < length) {
    const count = disk.readSync(fd, buffer, filled, length - filled, position + filled)
    if (count === 0) break
    filled += count
  }
  return filled === length ? buffer : buffer.subarray(0, filled)
}

/** The whole file, or null when it does not exist. Follows no symbolic link. */
export function readIfPresent(disk: Disk, path: string, flags: number): Buffer | null {
  let fd: number
  try {
    fd = disk.openSync(path, flags)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    return readFully(disk, fd, 0, disk.fstatSync(fd).size)
  } finally {
    disk.closeSync(fd)
  }
}

/** Writes all of it: the kernel may take less than it was given. Returns how much arrived, and the error that stopped it. */
export function writeFully(
  disk: Disk,
  fd: number,
  bytes: Uint8Array,
): { readonly written: number; readonly error: NodeJS.ErrnoException | null } {
  let written = 0
  try {
    while (written < bytes.length) written += disk.writeSync(fd, bytes, written, bytes.length - written)
    return { written, error: null }
  } catch (error) {
    return { written, error: error as NodeJS.ErrnoException }
  }
}

/** Makes names in a directory durable. */
export function syncDirectory(disk: Disk, path: string): void {
  const fd = disk.openSync(path, 'r')
  try {
    disk.fsyncSync(fd)
  } finally {
    disk.closeSync(fd)
  }
}
