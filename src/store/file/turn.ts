import path from 'node:path'
import type { Disk } from '../../host/disk.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'
import { openLock } from './directory.ts'
import type { Layout, Modes } from './directory.ts'

/** So many processes at once: while one waits for the disk, another appends. */
const turns = 3

/** How long a process has its turn, milliseconds. */
const turnMs = 15

/** How long a process without one sleeps before it looks again, milliseconds: at least this, at most twice as much. */
const lookMs = 10

/** Whoever was sent away for so long asks for the store's lock all the same: a turn is a courtesy, and its holder may be asleep. */
const patienceMs = 150

/**
 * Where many processes that stay want a store at once, a few at a time have their turn and do several commands in it, and the others sleep.
 * Without turns each unlock wakes all of them: every command would then run on caches that fifteen other processes have just filled.
 * Turns protect nothing. They are kernel locks on files of their own, so a process that ends gives its turn back.
 */
export class Turn {
  readonly #disk: Disk
  readonly #lock: KernelLock
  readonly #layout: Layout
  readonly #modes: Modes
  readonly #patienceMs: number
  #fds: readonly number[] | null = null
  #held: number | null = null
  #end: NodeJS.Timeout | null = null

  constructor(disk: Disk, lock: KernelLock, layout: Layout, modes: Modes, waitMs: number) {
    this.#disk = disk
    this.#lock = lock
    this.#layout = layout
    this.#modes = modes
    this.#patienceMs = Math.min(patienceMs, waitMs / 4)
  }

  /** Waits for a turn, but not for long. */
  async take(): Promise<void> {
    if (this.#held !== null) return
    const until = performance.now() + this.#patienceMs
    while (!this.#tryNow() && performance.now() < until) {
      // oxlint-disable-next-line no-await-in-loop -- sleeping is what the loop is for
      await new Promise<void>(resolve => setTimeout(resolve, lookMs * (1 + Math.random())))
    }
  }

  close(): void {
    this.#giveBack()
    for (const fd of this.#fds ?? []) this.#disk.closeSync(fd)
    this.#fds = null
  }

  #tryNow(): boolean {
    const fds = this.#open()
    const fd = fds[Math.floor(Math.random() * fds.length)]
    // Without the files there are no turns, and that keeps nobody from anything.
    if (fd === undefined) return true
    if (!this.#lock.tryExclusive(fd)) return false
    this.#held = fd
    this.#end = setTimeout(() => this.#giveBack(), turnMs).unref()
    return true
  }

  #giveBack(): void {
    if (this.#held !== null) this.#lock.unlock(this.#held)
    this.#held = null
    if (this.#end !== null) clearTimeout(this.#end)
    this.#end = null
  }

  #open(): readonly number[] {
    if (this.#fds !== null) return this.#fds
    const fds: number[] = []
    this.#fds = fds
    try {
      for (let number = 1; number <= turns; number++)
        fds.push(openLock(this.#disk, this.#layout, path.join(this.#layout.locks, `turn-${number}.lock`), this.#modes))
    } catch {
      // As many as there are.
    }
    return fds
  }
}
