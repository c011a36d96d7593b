import type fs from 'node:fs'

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
>

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
