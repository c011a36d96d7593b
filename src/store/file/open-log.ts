import type fs from 'node:fs'
import path from 'node:path'
import { Fault } from '../../core/fault.ts'
import type { Instant } from '../../core/lease.ts'
import { syncDirectory } from '../../host/disk.ts'
import { refuseMoved } from '../moved.ts'
import { FullState } from '../state.ts'
import { listArchive } from './archive.ts'
import { spaceId } from './create.ts'
import type { Format, Layout, Modes } from './directory.ts'
import {
  formatVersion,
  isDiskFull,
  isEmpty,
  logMissing,
  lookAt,
  makeDirectories,
  readFormat,
  readMove,
  refuseCopy,
  refuseNewerFormat,
  refuseStrangeDirectory,
  refuseUnsafeFileSystem,
  writeFormat,
} from './directory.ts'
import type { Loaded } from './load.ts'
import { completeState, load, loadMore } from './load.ts'
import { refuseAbsent } from './noted.ts'
import type { FileStoreOptions } from './options.ts'
import { cutTail, damageFault, isPowerLoss, refuseCutShort, refuseForeign } from './repair.ts'
import { ResidentState } from './resident-state.ts'
import type { Rotated } from './rotate.ts'
import { createFirstSegment, isFull, rewrite, rotate } from './rotate.ts'
import { Session, isPoisoned, logFlags, onLogClock, settled, unpoison } from './session.ts'

/** The log as a writer needs it, under the store's lock. */
export interface Opened {
  readonly fd: number
  readonly loaded: Loaded
  readonly now: Instant
  readonly format: Format
}

/** Has a file not been rewritten between two looks at it? */
const isSameFile = (before: fs.Stats | null, now: fs.Stats | null): boolean =>
  before !== null && before.ino === now?.ino && before.mtimeMs === now.mtimeMs && before.size === now.size

/**
 * The log of a store as one process has it open to write: made where there is none, read to its end, repaired where that is allowed, rotated
 * where that is due. A process that stays keeps it, and what it said, from one command to the next.
 */
export class OpenLog {
  readonly #options: FileStoreOptions
  readonly #layout: Layout
  readonly #modes: Modes
  readonly #location: string
  readonly #warn: (text: string) => void
  #fd: number | null = null
  #inode = 0
  #known: Loaded | null = null
  #entered = false
  /** The `format` file of a resident store, judged, and what it looked like then. */
  #format: { readonly format: Format; readonly seen: fs.Stats | null } | null = null

  constructor(
    options: FileStoreOptions,
    place: { readonly layout: Layout; readonly modes: Modes; readonly location: string },
    warn: (text: string) => void,
  ) {
    this.#options = options
    this.#layout = place.layout
    this.#modes = place.modes
    this.#location = place.location
    this.#warn = warn
  }

  /** What the log says now, after our own records; null when the next command has to read it anew. */
  keep(loaded: Loaded | null): void {
    this.#known = loaded
  }

  forget(): void {
    this.#known = null
    if (this.#fd !== null) this.#options.disk.closeSync(this.#fd)
    this.#fd = null
  }

  /** The directory is there, ours and on a file system that can be trusted; made if it is missing. */
  enter(): void {
    if (this.#entered) return
    const { disk, lock, fileSystemType, allowUnsafeFs } = this.#options
    lock.load?.()
    const stat = lookAt(disk, this.#layout.directory)
    if (stat !== null) refuseStrangeDirectory(disk, this.#layout.directory, stat)
    const where = stat === null ? path.dirname(this.#layout.directory) : this.#layout.directory
    if (!allowUnsafeFs) refuseUnsafeFileSystem(where, fileSystemType(where), () => this.#wasAllowedUnsafe())
    const parts = [this.#layout.locks, this.#layout.archive, this.#layout.quarantine].map(part => [part, lookAt(disk, part)] as const)
    if (stat === null || parts.some(([, seen]) => seen === null)) this.#makeDirectories()
    else for (const [part, seen] of parts) refuseStrangeDirectory(disk, part, seen!)
    this.#entered = this.#options.resident
  }

  /** Nothing is put where something else is to be mounted. */
  #makeDirectories(): void {
    const { disk, noted } = this.#options
    if (isEmpty(disk, this.#layout)) refuseAbsent(noted, this.#layout, null)
    makeDirectories(disk, this.#layout, this.#modes)
  }

  /** Did somebody say so when the store was made? A damaged `format` says nothing here: recovery must come in to write it anew. */
  #wasAllowedUnsafe(): boolean {
    try {
      return readFormat(this.#options.disk, this.#layout)?.unsafe_fs === true
    } catch {
      return false
    }
  }

  /** Under the lock: the log, read to its end, repaired where that is allowed, rotated where that is due. */
  open(): Opened {
    const { disk, clock, retention } = this.#options
    const reading = clock.now()
    const format = this.#openFormat(reading)
    if (this.#known === null && lookAt(disk, this.#layout.newLog) !== null) disk.unlinkSync(this.#layout.newLog)
    let { fd, loaded } = this.#openSegment()
    if (loaded.damage !== null && !isPowerLoss(loaded, loaded.damage, reading)) throw damageFault(this.#layout, loaded.damage)
    refuseCutShort(loaded, this.#layout, reading)
    refuseForeign(loaded, this.#layout)
    if (loaded.end === loaded.checkpointBytes) this.#settleNames(loaded)
    if (loaded.damage !== null || loaded.tornBytes > 0) {
      this.#mend(fd, loaded, reading)
      ;({ fd, loaded } = this.#openSegment())
    }
    if (isPoisoned(disk, this.#layout)) {
      ;({ fd, loaded } = this.#replace(fd, rewrite(disk, this.#layout, this.#modes, fd)))
      unpoison(disk, this.#layout)
    }
    if (isFull(loaded, retention)) ({ fd, loaded } = this.#rotated(fd, loaded, settled(reading, loaded.state.clocks)))
    return { fd, loaded, now: settled(reading, loaded.state.clocks), format }
  }

  /**
   * Before the first record of a segment: whoever made it may have been killed between its rename and the sync of its name. Without that
   * sync a power loss brings the older segment back, and what was acknowledged in this one is gone.
   */
  #settleNames({ position }: Loaded): void {
    const { disk } = this.#options
    syncDirectory(disk, this.#layout.directory)
    if (position.seq === 0) syncDirectory(disk, path.dirname(this.#layout.directory))
  }

  #replace(old: number, rotated: Rotated): Rotated {
    this.#options.disk.closeSync(old)
    this.#adopt(rotated.fd)
    return rotated
  }

  #adopt(fd: number): void {
    this.#fd = fd
    this.#inode = this.#options.disk.fstatSync(fd).ino
  }

  /** A new segment is only tidier: where the disk has no room for one, a short record may still fit into the old. */
  #rotated(fd: number, loaded: Loaded, now: Instant): { fd: number; loaded: Loaded } {
    try {
      return this.#replace(fd, rotate(this.#options.disk, this.#layout, this.#modes, fd, now, this.#options.retention))
    } catch (error) {
      if (!isDiskFull(error)) throw error
      return { fd, loaded }
    }
  }

  #openSegment(): { fd: number; loaded: Loaded } {
    const { disk } = this.#options
    const present = lookAt(disk, this.#layout.log)
    if (present === null) throw logMissing(this.#layout)
    if (!present.isFile()) throw new Fault('unavailable', `${this.#layout.log} is not a file`, { hint: 'see: lh doctor' })
    if (this.#fd !== null && this.#known !== null && this.#inode === present.ino) {
      const loaded = loadMore(disk, this.#fd, this.#known)
      if (loaded !== null) return { fd: this.#fd, loaded }
    }
    this.forget()
    const fd = disk.openSync(this.#layout.log, logFlags)
    this.#adopt(fd)
    const loaded = load(disk, fd, this.#layout)
    return { fd, loaded: this.#options.resident ? { ...loaded, state: new ResidentState(completeState(loaded.state)) } : loaded }
  }

  #mend(fd: number, loaded: Loaded, reading: Instant): void {
    const session = new Session(this.#options.disk, this.#layout, fd, loaded)
    const reason = loaded.damage === null ? 'torn tail' : `damaged by a power loss: ${loaded.damage.reason}`
    const { cutBytes, cutLines, quarantine } = cutTail(session, this.#modes, onLogClock(reading, loaded.state.clocks), reason)
    const { error } = session.write()
    if (error !== null) throw error
    this.#known = null
    if (cutLines > 0)
      this.#warn(
        `${cutLines} damaged lines (${cutBytes} bytes) at the end of the log were cut after a power loss; a copy is in quarantine/${quarantine}`,
      )
  }

  /** The `format` file; makes the store when there is nothing yet. */
  #openFormat(now: Instant): Format {
    const { disk, noted } = this.#options
    if (this.#known !== null && this.#format !== null && isSameFile(this.#format.seen, lookAt(disk, this.#layout.format)))
      return this.#format.format
    const format = readFormat(disk, this.#layout) ?? this.#create(now)
    refuseNewerFormat(format, true)
    refuseMoved(format.move, this.#location, true)
    refuseAbsent(noted, this.#layout, format.space)
    refuseCopy(format, this.#layout, disk.lstatSync(this.#layout.directory))
    const otherLimits = limitsFault(format, this.#options, this.#layout)
    if (otherLimits !== null) throw otherLimits
    this.#format = { format, seen: lookAt(disk, this.#layout.format) }
    return format
  }

  #create(now: Instant): Format {
    const { disk, limits, allowUnsafeFs, noted } = this.#options
    refuseMoved(readMove(disk, this.#layout), this.#location, true)
    const stat = disk.lstatSync(this.#layout.directory)
    let space = spaceId()
    // Of directories that were made just before a power loss, some may be gone.
    makeDirectories(disk, this.#layout, this.#modes)
    if (lookAt(disk, this.#layout.log) === null) {
      refuseAbsent(noted, this.#layout, null)
      // Numbers that were given once are never given again, also when both files are gone.
      if (lookAt(disk, this.#layout.index) !== null || listArchive(disk, this.#layout).length > 0) throw logMissing(this.#layout)
      createFirstSegment(disk, this.#layout, this.#modes, space, new FullState(0, { current: { b: now.b, m: now.m }, seen: [now.b] }), now)
    } else {
      // Stopped between the log and the format: the log is still without a record.
      const { loaded } = this.#openSegment()
      if (loaded.fold?.records !== 0 || loaded.damage !== null) {
        throw new Fault('unavailable', `${this.#layout.format} is missing beside a log with records`, {
          hint: 'to write it anew: lh recover',
          details: { outcome: 'nothing_changed' },
        })
      }
      space = loaded.space
      syncDirectory(disk, this.#layout.directory)
    }
    const format: Format = {
      format: formatVersion,
      min_reader: formatVersion,
      min_writer: formatVersion,
      space,
      limits,
      device: stat.dev,
      inode: stat.ino,
      ...(allowUnsafeFs ? { unsafe_fs: true } : {}),
    }
    writeFormat(disk, this.#layout, format, this.#modes)
    return format
  }
}

/** What is wrong with a limit that somebody chose here, and that is another one in the store; null when none is. */
export function limitsFault({ limits: fixed }: Format, { limits: here, limitsChosen }: FileStoreOptions, layout: Layout): Fault | null {
  const key = limitsChosen.find(each => fixed[each] !== here[each])
  if (key === undefined) return null
  return new Fault(
    'usage',
    `${key} is ${here[key]} in the configuration here and ${fixed[key]} in ${layout.format}, which all worktrees share`,
    { hint: `to change it for all: lh config set ${key} ${here[key]}` },
  )
}
