import { Fault } from '../../core/fault.ts'
import { isoFromMs } from '../../core/time.ts'
import type { Disk } from '../../host/disk.ts'
import { readIfPresent } from '../../host/disk.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'
import { pidNamespace, processStartTicks, processState } from '../../host/process.ts'
import { openLock, readFlags } from './directory.ts'
import type { Layout, Modes } from './directory.ts'
import { Turn } from './turn.ts'

/** One line, always this long, so that a shorter one never leaves the end of a longer one behind. */
const diagnosticBytes = 256

/** One nap, and all of them, milliseconds: the lock is held for a fraction of one. */
const napMs = 0.03
const napsMs = 2
let napping: Int32Array | undefined

/** Who has the lock, as the lock file says, in its own words. For people: it never decides anything. */
export interface LockHolder {
  readonly pid: number
  readonly start_ticks: number | null
  readonly pid_ns: string
  readonly label: string
  /** Wall clock, RFC 3339. */
  readonly since: string
}

/** Waiters of one process stand in line here, so that at most one kernel wait is pending in it. */
let lastWait: Promise<unknown> = Promise.resolve()

/**
 * The one lock of a store, `locks/claims.lock`. The file is never renamed, replaced or deleted, so all who open it meet. It says who
 * has it in one diagnostic line, since the kernel will not tell.
 */
export class Exclusive {
  readonly #disk: Disk
  readonly #lock: KernelLock
  readonly #layout: Layout
  readonly #modes: Modes
  readonly #waitMs: number
  readonly #turn: Turn | null
  #fd: number | null = null
  #inode: number | null = null
  /** The diagnostic line up to what changes. */
  #words: string | null = null

  constructor(disk: Disk, lock: KernelLock, layout: Layout, modes: Modes, waitMs: number, turns: boolean) {
    this.#disk = disk
    this.#lock = lock
    this.#layout = layout
    this.#modes = modes
    this.#waitMs = waitMs
    this.#turn = turns ? new Turn(disk, lock, layout, modes, waitMs) : null
  }

  /** Takes the lock if it is free now: most of the time, and then without a promise. */
  takeNow(label: string): boolean {
    const fd = this.#open()
    if (!this.#lock.tryExclusive(fd)) return false
    if (this.#isStillCurrent(fd)) this.#sign(label)
    else this.close()
    return this.#fd !== null
  }

  /** Takes the lock; throws `unavailable` ("busy") naming the holder when that takes longer than the wait. */
  async take(label: string): Promise<void> {
    for (;;) {
      const fd = this.#open()
      if (!this.#lock.tryExclusive(fd) && !(await this.#tryAgain(fd))) await this.#wait(fd)
      if (this.#isStillCurrent(fd)) break
      // Somebody replaced the lock file. What is locked now is a file that nobody else will ever open.
      this.close()
    }
    this.#sign(label)
  }

  release(): void {
    if (this.#fd !== null) this.#lock.unlock(this.#fd)
  }

  close(): void {
    this.#turn?.close()
    if (this.#fd !== null) this.#disk.closeSync(this.#fd)
    this.#fd = null
  }

  #open(): number {
    if (this.#fd !== null) return this.#fd
    this.#fd = openLock(this.#disk, this.#layout, this.#layout.lock, this.#modes)
    this.#inode = null
    return this.#fd
  }

  /** Who cannot tell must not keep the lock: nobody would release it while this process lives. */
  #isStillCurrent(fd: number): boolean {
    try {
      return this.#isCurrent(fd)
    } catch (error) {
      this.close()
      throw error
    }
  }

  #isCurrent(fd: number): boolean {
    const present = this.#disk.lstatSync(this.#layout.lock, { throwIfNoEntry: false })
    // An open file keeps its inode: no other can have the same number meanwhile.
    this.#inode ??= this.#disk.fstatSync(fd).ino
    return present?.ino === this.#inode
  }

  /** Short naps first: a wait in the kernel goes through another thread, and each unlock wakes everybody who waits there. */
  async #tryAgain(fd: number): Promise<boolean> {
    if (this.#turn !== null) {
      await this.#turn.take()
      if (this.#lock.tryExclusive(fd)) return true
    }
    napping ??= new Int32Array(new SharedArrayBuffer(4))
    const until = performance.now() + napsMs
    do {
      Atomics.wait(napping, 0, 0, napMs * (0.5 + Math.random()))
      if (this.#lock.tryExclusive(fd)) return true
    } while (performance.now() < until)
    return false
  }

  async #wait(fd: number): Promise<void> {
    const before = lastWait
    const turn = this.#waitForTurn(before, fd)
    lastWait = turn.catch(() => undefined)
    await turn
  }

  async #waitForTurn(before: Promise<unknown>, fd: number): Promise<void> {
    const deadline = timer(this.#waitMs)
    try {
      const inTime = await Promise.race([before.then(() => true), deadline.promise])
      if (!inTime) throw this.#busy()
      const granted = this.#lock.waitExclusive(fd)
      const got = await Promise.race([granted.then(() => true), deadline.promise])
      if (got) return
      this.#abandon(fd, granted)
      throw this.#busy()
    } finally {
      deadline.cancel()
    }
  }

  /** The kernel goes on waiting for us; when it grants, give the lock back at once. */
  #abandon(fd: number, granted: Promise<void>): void {
    this.#fd = null
    const giveBack = (): void => this.#disk.closeSync(fd)
    granted.then(giveBack, giveBack)
  }

  #busy(): Fault {
    const holder = readLockHolder(this.#disk, this.#layout)
    const who = holder === null ? 'another process' : describe(holder)
    return new Fault('unavailable', `the store is busy: ${who} has had its lock for more than ${this.#waitMs / 1000} s`, {
      hint: `nothing was changed; ${holder !== null && isStopped(holder) ? `that process is stopped: continue it (kill -CONT ${holder.pid}) or end it` : 'try again, or see: lh doctor'}`,
      details: { outcome: 'nothing_changed', lock_holder: holder },
    })
  }

  #sign(label: string): void {
    const text = `${this.#ownWords()}${JSON.stringify(label.slice(0, 40))},"since":"${isoFromMs(Date.now())}"}`
    try {
      this.#disk.writeSync(this.#fd!, Buffer.from(`${text.padEnd(diagnosticBytes - 1)}\n`), 0, diagnosticBytes, 0)
    } catch {
      // A full disk must not keep anybody from releasing; the line is only for people.
    }
  }

  #ownWords(): string {
    if (this.#words !== null) return this.#words
    const own = { pid: process.pid, start_ticks: processStartTicks(process.pid), pid_ns: pidNamespace() } satisfies Partial<LockHolder>
    this.#words = `${JSON.stringify(own).slice(0, -1)},"label":`
    return this.#words
  }
}

/** Who signed the lock file last, or null. */
export function readLockHolder(disk: Disk, layout: Layout): LockHolder | null {
  try {
    const bytes = readIfPresent(disk, layout.lock, readFlags)
    return bytes === null || bytes.length === 0 ? null : (JSON.parse(bytes.toString('utf8')) as LockHolder)
  } catch {
    return null
  }
}

const isSame = (holder: LockHolder): boolean =>
  holder.pid_ns === pidNamespace() && (holder.start_ticks === null || processStartTicks(holder.pid) === holder.start_ticks)

const isStopped = (holder: LockHolder): boolean => isSame(holder) && /[Tt]/.test(processState(holder.pid) ?? '')

function describe(holder: LockHolder): string {
  if (!isSame(holder)) return `a process that was pid ${holder.pid} (${holder.label})`
  const state = isStopped(holder) ? ', stopped' : ''
  return `pid ${holder.pid} (${holder.label}${state}), since ${holder.since},`
}

function timer(ms: number): { readonly promise: Promise<false>; cancel(): void } {
  let handle: NodeJS.Timeout
  const promise = new Promise<false>(resolve => {
    handle = setTimeout(() => resolve(false), ms)
  })
  return { promise, cancel: () => clearTimeout(handle) }
}
