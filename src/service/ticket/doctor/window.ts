import { closeSync, readSync } from 'node:fs'
import { openForReading, readRegular } from '../files.ts'

/** More than nearly every ticket has. Bytes. */
const size = 64 * 1024

/** Reads many files one after the other into the same memory: what one held is gone when the next is read. */
export class Window {
  readonly #memory = Buffer.allocUnsafeSlow(size)

  /** What a regular file holds; otherwise `missing`, or why it cannot be read. */
  read(path: string, limit: number): Buffer | string {
    try {
      const descriptor = openForReading(path)
      if (typeof descriptor === 'string') return descriptor
      const got = this.#fill(descriptor)
      // An empty file, a large one, or none at all: looked at with care.
      return got > 0 && got < size && got <= limit ? this.#memory.subarray(0, got) : readRegular(path, limit)
    } catch (error) {
      // What a failing disk says.
      return error instanceof Error ? error.message : String(error)
    }
  }

  #fill(descriptor: number): number {
    try {
      return readSync(descriptor, this.#memory, 0, size, null)
    } catch {
      // A directory, for one.
      return 0
    } finally {
      closeSync(descriptor)
    }
  }
}
