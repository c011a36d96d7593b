import fs from 'node:fs'
import { Fault } from '../../core/fault.ts'
import type { Instant } from '../../core/lease.ts'
import type { BootOperation, Entry, Operation } from '../../core/operation.ts'
import { writeFully } from '../../host/disk.ts'
import type { Disk } from '../../host/disk.ts'
import type { Clocks } from '../state.ts'
import { createFile, lateFault, removeIfPresent } from './directory.ts'
import type { Layout } from './directory.ts'
import type { Loaded } from './load.ts'
import type { Position } from './segment.ts'
import { sealEntry } from './segment.ts'

const { O_APPEND, O_NOFOLLOW, O_RDWR } = fs.constants

/** Always appended to, never through a symbolic link. */
export const logFlags = O_RDWR | O_APPEND | O_NOFOLLOW

/** Added to what a lease has left when the machine was started again, milliseconds: its holder needs to come up too. */
const rebootGraceMs = 60_000

/** The same where two clocks write into one log: the wall clocks of two machines differ by less than this. */
const twoClocksGraceMs = 30_000

/** The clock as this log may use it: within one boot it never goes back. */
export const settled = (now: Instant, clocks: Clocks): Instant =>
  now.b === clocks.current.b && now.m < clocks.current.m ? { ...now, m: clocks.current.m } : now

/** `now` for a record that must not move the log to another clock: deadlines stay on the log's own until a `boot` record moves them. */
export const onLogClock = (now: Instant, clocks: Clocks): Instant =>
  now.b === clocks.current.b ? settled(now, clocks) : { ...clocks.current, wall: now.wall }

/** The record that has to come first when another clock than this one wrote last. */
export function bootOperation(clocks: Clocks, now: Instant): BootOperation | null {
  if (clocks.current.b === now.b) return null
  const twoClocks = clocks.seen.includes(now.b)
  return {
    op: 'boot',
    actor: 'system',
    opId: null,
    previous: clocks.current,
    graceMs: twoClocks ? twoClocksGraceMs : rebootGraceMs,
    twoClocks,
  }
}

/** The log while its lock is held: records are added to the state at once and to the file in one write. */
export class Session {
  readonly disk: Disk
  readonly layout: Layout
  readonly fd: number
  readonly loaded: Loaded
  position: Position
  readonly #lines: { readonly entry: Entry; readonly line: string }[] = []

  constructor(disk: Disk, layout: Layout, fd: number, loaded: Loaded) {
    this.disk = disk
    this.layout = layout
    this.fd = fd
    this.loaded = loaded
    this.position = loaded.position
  }

  /** Adds a record after the last one, or at a later `seq` when a repair has to jump. */
  append(operation: Operation, now: Instant, seq = this.position.seq + 1): Entry {
    const entry = { seq, at: now.wall, clk: { b: now.b, m: now.m }, operation }
    const { line, sum } = sealEntry(entry, this.position.sum)
    this.#lines.push({ entry, line })
    this.position = { seq, sum }
    this.loaded.state.apply(entry)
    return entry
  }

  /** Records of this session by their op_id; they are not in the file yet. */
  recall(opId: string): Entry | null {
    return this.#lines.findLast(({ entry }) => entry.operation.opId === opId)?.entry ?? null
  }

  get pending(): number {
    return this.#lines.length
  }

  /** The bytes of what was appended. */
  bytes(): Buffer {
    const [first] = this.#lines
    return Buffer.from(this.#lines.length === 1 ? first!.line : this.#lines.map(({ line }) => line).join(''))
  }

  /**
   * Writes what was appended. Returns how many of the records arrived whole, and what stopped the rest: a whole line that made it stays,
   * since each prefix of a valid history is one, and a part of a line is cut off again.
   */
  write(): { readonly arrived: number; readonly end: number; readonly error: NodeJS.ErrnoException | null } {
    const bytes = this.bytes()
    const { written, error } = writeFully(this.disk, this.fd, bytes)
    const { arrived, whole } = written === bytes.length ? { arrived: this.#lines.length, whole: written } : this.#wholeLines(written)
    const end = this.loaded.end + whole
    if (written > whole) this.#cutBack(end)
    if (error === null) this.#refuseIntruder(end)
    return { arrived, end, error }
  }

  /** How many lines the first `written` bytes hold whole. */
  #wholeLines(written: number): { readonly arrived: number; readonly whole: number } {
    let whole = 0
    for (const [arrived, { line }] of this.#lines.entries()) {
      const length = Buffer.byteLength(line)
      if (whole + length > written) return { arrived, whole }
      whole += length
    }
    return { arrived: this.#lines.length, whole }
  }

  #cutBack(end: number): void {
    try {
      this.disk.ftruncateSync(this.fd, end)
    } catch {
      // Then the next writer finds a torn tail and repairs it.
    }
  }

  /** The file has to be what was read plus what was written, and still the one at its path; else somebody ignores the lock. */
  #refuseIntruder(end: number): void {
    if (this.#isAsExpected(end)) return
    throw new Fault('unavailable', `${this.layout.log} was changed by a program that ignores its lock`, {
      hint: 'find out which (an editor, a sync tool, a restore?), then: lh doctor',
      details: { outcome: 'unknown' },
    })
  }

  #isAsExpected(end: number): boolean {
    try {
      const { size, ino } = this.disk.fstatSync(this.fd)
      const present = this.disk.lstatSync(this.layout.log, { throwIfNoEntry: false })
      return size === end && present?.ino === ino
    } catch (error) {
      throw lateFault(error)
    }
  }
}

// ── a failed fdatasync ───────────────────────────────────────────────────────────────────────────────────────────────────
// The kernel drops the dirty pages of a failed sync, and a second sync of the same file would succeed without having written them. So
// it is never asked twice: the segment is marked, and the next writer makes a fresh copy of it before anything else (see PostgreSQL's
// "fsyncgate", 2018).

/** Marks the segment with this inode, durably if the disk still lets us. */
export function poison(disk: Disk, layout: Layout, inode: number, mode: number): void {
  try {
    const fd = createFile(disk, layout.poisoned, mode)
    writeFully(disk, fd, Buffer.from(`${JSON.stringify({ segment_inode: inode })}\n`))
    disk.closeSync(fd)
  } catch {
    // It exists already, or nothing can be written at all; then appending fails as well.
  }
}

/** Is some segment marked? */
export const isPoisoned = (disk: Disk, layout: Layout): boolean => disk.lstatSync(layout.poisoned, { throwIfNoEntry: false }) !== undefined

/** Takes the mark away, after the segment was written anew. */
export const unpoison = (disk: Disk, layout: Layout): void => removeIfPresent(disk, layout.poisoned)

/** What a caller is told when its record is in the log but nobody can say whether it would survive a power loss. */
export const syncFault = (cause: unknown): Fault =>
  new Fault('unavailable', 'the disk failed to make the log durable: whether the command happened is unknown', {
    hint: 'ask again with the same --op-id: it happens once; then look after that disk',
    details: { outcome: 'unknown' },
    cause,
  })
