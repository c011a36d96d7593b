import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { prepareDirectory } from './binding.ts'

/** A longer file loses its older half. Bytes. */
const maxBytes = 64 * 1024

/** One line of what a hook has to tell, in a file beside the locks. Never throws: whoever has no place for it gets none. */
export function note(directory: string, what: string): void {
  const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
  try {
    prepareDirectory(directory)
    const fd = openSync(join(directory, 'leasehold-hook.log'), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
    try {
      const stats = fstatSync(fd)
      if (!stats.isFile() || stats.uid !== (process.geteuid?.() ?? stats.uid)) return
      if (stats.size > maxBytes) {
        const kept = Buffer.alloc(maxBytes / 2)
        const length = readSync(fd, kept, 0, kept.length, stats.size - kept.length)
        ftruncateSync(fd, 0)
        writeSync(fd, kept.subarray(kept.indexOf(0x0a) + 1, length))
      }
      writeSync(fd, `${new Date().toISOString()} ${plain(what)}\n`)
    } finally {
      closeSync(fd)
    }
  } catch {
    // There is nobody to tell.
  }
}

/** On one line, without what moves a terminal's cursor. */
const plain = (text: string): string => text.replaceAll(/[^\u0020-\u007e]+/g, ' ').slice(0, 600)
