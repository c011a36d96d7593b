import fs from 'node:fs'
import path from 'node:path'
import { makePrivateDirectory, openLockFile } from '../../host/files.ts'
import { Fault } from '../../core/fault.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'

/** How long between two tries, milliseconds. */
const tryAgainMs = 10

/**
 * One effect at a time on this clone of the repository: it changes files, and other machines have other files. The kernel frees the lock
 * with the process.
 */
export class Effects {
  readonly #lock: () => KernelLock
  readonly #directory: string
  readonly #shared: boolean
  readonly #waitMs: number

  constructor(lock: () => KernelLock, directory: string, shared: boolean, waitMs: number) {
    this.#lock = lock
    this.#directory = directory
    this.#shared = shared
    this.#waitMs = waitMs
  }

  async alone<T>(work: () => Promise<T>): Promise<T> {
    const fd = this.#open()
    try {
      await this.#take(fd)
      return await work()
    } finally {
      fs.closeSync(fd)
    }
  }

  #open(): number {
    const file = path.join(this.#directory, 'effects.lock')
    try {
      makePrivateDirectory(this.#directory, this.#shared)
      return openLockFile(file, this.#shared)
    } catch (error) {
      throw new Fault('unavailable', `${file} cannot be opened (${(error as NodeJS.ErrnoException).code})`, {
        hint: `give this user write access to ${this.#directory}; inside a sandbox, allow that directory`,
        details: { outcome: 'nothing_changed' },
        cause: error,
      })
    }
  }

  async #take(fd: number): Promise<void> {
    const lock = this.#lock()
    const until = performance.now() + this.#waitMs
    while (!lock.tryExclusive(fd)) {
      if (performance.now() > until)
        throw new Fault('unavailable', 'another process is changing files under a lease and does not end', {
          hint: 'try again; see which one it is: fuser, or lsof',
          details: { outcome: 'nothing_changed' },
        })
      // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
      await new Promise(resolve => setTimeout(resolve, tryAgainMs))
    }
  }
}
