import path from 'node:path'
import { Fault } from '../../core/fault.ts'
import type { Instant } from '../../core/lease.ts'
import { readFully } from '../../host/disk.ts'
import type { Recovered } from '../maintenance.ts'
import { listArchive } from './archive.ts'
import { spaceId } from './create.ts'
import type { Format } from './directory.ts'
import {
  formatVersion,
  layoutOf,
  lookAt,
  makeDirectories,
  refuseCopy,
  refuseNewerFormat,
  removeIfPresent,
  readMove,
  soundFormat,
  writeFormat,
} from './directory.ts'
import { rebuildIndex } from './index-file.ts'
import { leftovers } from './leftovers.ts'
import type { Loaded } from './load.ts'
import { loadWhole } from './load.ts'
import { describeLoss } from './loss.ts'
import { cutTail, isPowerLoss, refuseForeign } from './repair.ts'
import type { Remains } from './restore.ts'
import { countLines, findRemains, keepLog, lostLogJump, lostLogReason, soundIndex, spaceOf, writeNewLog } from './restore.ts'
import { Session, isPoisoned, logFlags, onLogClock, poison, syncFault } from './session.ts'
import { refuseAbsent } from './noted.ts'
import type { FileStore } from './store.ts'

/** What was done, while it is being done. */
interface Report {
  readonly mended: string[]
  readonly removed: string[]
  cutLines: number
  cutBytes: number
  quarantine: string | null
  indexTrouble: string | null
}

/**
 * Mends a store under its lock, beside whoever works with it: the torn or damaged end of the log, a lost `format`, leftovers, the index.
 * Grants and ends nothing. Whole records are cut only with `cut`; without it, what would be lost is in the fault.
 */
export async function recover(store: FileStore, cut: boolean): Promise<Recovered> {
  const { disk } = store.options
  const report: Report = { mended: [], removed: [], cutLines: 0, cutBytes: 0, quarantine: null, indexTrouble: null }
  const nothing: Recovered = { ...report, index: 'none' }
  if (cut && store.options.noted !== undefined) makeDirectories(disk, store.layout, store.modes)
  else store.refuseAbsent()
  if (lookAt(disk, store.layout.directory) === null) return nothing
  const known = await store.lockedOnly('recover', () => recoverLocked(store, cut, report))
  if (!known) return nothing
  // Its pages may never have reached the disk; a writer copies it before anything else, and so do we.
  if (isPoisoned(disk, store.layout)) {
    await store.exclusively('recover', (fd, loaded) => {
      report.indexTrouble = rebuildIndex(disk, store.layout, store.modes, fd, loaded.end)
    })
    report.mended.push('the log was written anew, because the disk had failed to sync it')
  }
  if (report.indexTrouble === null) return { ...report, index: 'rebuilt' }
  return { ...report, index: soundIndex(disk, store.layout) === null ? 'none' : 'kept' }
}

/** False when there is nothing that could be recovered: the store is still to be made. */
function recoverLocked(store: FileStore, cut: boolean, report: Report): boolean {
  const { layout, modes } = store
  const { disk, clock } = store.options
  const now = clock.now()
  makeDirectories(disk, layout, modes)
  const format = soundFormat(disk, layout)
  if (format !== null) {
    refuseNewerFormat(format, true)
    refuseAbsent(store.options.noted, layout, format.space)
    refuseCopy(format, layout, disk.lstatSync(layout.directory))
  }
  if (lookAt(disk, layout.newLog) !== null) {
    disk.unlinkSync(layout.newLog)
    report.removed.push(path.basename(layout.newLog))
  }
  if (lookAt(disk, layout.log) === null && !isKnown(store)) return false
  const fd = openSoundLog(store, cut, now, format, report)
  try {
    passOverLost(store, fd, now, report)
    const loaded = loadWhole(disk, fd, disk.fstatSync(fd).size)
    if (format === null) {
      const move = readMove(disk, layout)
      writeFormat(disk, layout, { ...newFormat(store, loaded.space), ...(move === undefined ? {} : { move }) }, modes)
      report.mended.push('format was missing or damaged and was written anew', newLimits(store))
    }
    removeLeftovers(store, loaded, now, report)
    report.indexTrouble = rebuildIndex(disk, layout, modes, fd, loaded.end)
  } finally {
    disk.closeSync(fd)
  }
  return true
}

/** The limits stood in the old one alone, so whoever had changed them has to know. */
function newLimits({ options: { limits } }: FileStore): string {
  const each = Object.entries(limits).map(([key, limit]) => `${key} is ${limit}`)
  return `its limits are those of the configuration here: ${each.join(', ')}; to change one: lh config set`
}

/** Is there any sign that this store was in use? */
function isKnown({ layout, options: { disk, noted } }: FileStore): boolean {
  if (noted !== undefined) return true
  return lookAt(disk, layout.format) !== null || lookAt(disk, layout.index) !== null || listArchive(disk, layout).length > 0
}

/** A `format` for this directory as it is. */
export function newFormat({ layout, options: { disk, limits, allowUnsafeFs } }: FileStore, space: string): Format {
  const { dev, ino } = disk.lstatSync(layout.directory)
  const unsafe = allowUnsafeFs ? { unsafe_fs: true } : {}
  return {
    format: formatVersion,
    min_reader: formatVersion,
    min_writer: formatVersion,
    space: space === '' ? spaceId() : space,
    limits,
    device: dev,
    inode: ino,
    ...unsafe,
  }
}

/** The log, open and whole to its end. Throws `unavailable` when that would lose records and nobody said to. */
function openSoundLog(store: FileStore, cut: boolean, now: Instant, format: Format | null, report: Report): number {
  const { layout } = store
  const { disk } = store.options
  const present = lookAt(disk, layout.log)
  if (present === null) {
    if (!cut) throw missingFault(store)
    restore(store, now, format, report)
    return disk.openSync(layout.log, logFlags)
  }
  if (!present.isFile())
    throw new Fault('unavailable', `${layout.log} is not a file`, { hint: 'move it away, then: lh recover --cut', details: nothingChanged })
  let fd = disk.openSync(layout.log, logFlags)
  try {
    const loaded = loadWhole(disk, fd, present.size)
    refuseForeign(loaded, layout)
    const readable = loaded.fold?.isOpen === true
    if (loaded.damage !== null && !cut && !(readable && isPowerLoss(loaded, loaded.damage, now))) throw lossFault(store, fd, loaded)
    if (!readable) {
      restore(store, now, format, report, fd)
      disk.closeSync(fd)
      fd = disk.openSync(layout.log, logFlags)
    } else if (loaded.damage !== null || loaded.tornBytes > 0) cutDamage(store, fd, loaded, now, report)
    return fd
  } catch (error) {
    disk.closeSync(fd)
    throw error
  }
}

const nothingChanged = { outcome: 'nothing_changed' }

function cutDamage(store: FileStore, fd: number, loaded: Loaded, now: Instant, report: Report): void {
  const { layout, modes } = store
  const { disk } = store.options
  const session = new Session(disk, layout, fd, loaded)
  const at = onLogClock(now, loaded.state.clocks)
  const why = loaded.damage === null ? 'torn tail' : `damaged: ${loaded.damage.reason}`
  const before = readFully(disk, fd, loaded.end, loaded.size - loaded.end)
  const { cutBytes, cutLines, quarantine } = cutTail(session, modes, at, why)
  const floor = numbersBeyond(store, before, cutLines)
  if (session.position.seq < floor) passOver(session, at, floor)
  const { error } = session.write()
  if (error !== null) throw error
  sync(store, fd)
  Object.assign(report, { cutBytes, cutLines, quarantine })
  const copy = `a copy is in quarantine/${quarantine}`
  report.mended.push(
    loaded.damage === null
      ? `${cutBytes} bytes of an append that was cut short were removed from the end of the log; ${copy}`
      : `the log was cut after record ${loaded.position.seq}: ${cutLines} lines (${cutBytes} bytes) are gone; ${copy}`,
  )
}

/** The next number is `floor`. */
function passOver(session: Session, at: Instant, floor: number): void {
  const reason = 'numbers that the lost records may have had are passed over'
  const lastGoodSeq = session.position.seq
  session.append({ op: 'repair', actor: 'system', opId: null, reason, cutBytes: 0, cutLines: 0, quarantine: null, lastGoodSeq }, at, floor)
}

/**
 * A log may have lost its end without a trace in itself: an older copy was put back, whole lines were taken off. Its index and the archive
 * know of later records, and the index is about to be made anew.
 */
function passOverLost(store: FileStore, fd: number, now: Instant, report: Report): void {
  const { layout } = store
  const { disk } = store.options
  const loaded = loadWhole(disk, fd, disk.fstatSync(fd).size)
  const { seq } = loaded.position
  const index = soundIndex(disk, layout)?.header
  const indexed = index?.space === loaded.space ? index.position.seq : 0
  const highest = Math.max(indexed, ...listArchive(disk, layout).map(({ last }) => last))
  if (highest <= seq) return
  const floor = highest + lostLogJump
  const session = new Session(disk, layout, fd, loaded)
  passOver(session, onLogClock(now, loaded.state.clocks), floor)
  const { error } = session.write()
  if (error !== null) throw error
  sync(store, fd)
  report.mended.push(
    `the log ended at record ${seq} although there was a record ${highest}: what came after its end is lost`,
    `the next records have numbers from ${floor} on, so that no token is given twice`,
  )
}

/**
 * After whole lines were lost, the largest number that they may have had. `cutTail` has read those that can still be read; the index
 * may know more, and of a line that cannot be read at all nobody knows how many records it was.
 */
function numbersBeyond({ layout, options: { disk } }: FileStore, cut: Buffer, cutLines: number): number {
  if (cutLines === 0) return 0
  const indexed = soundIndex(disk, layout)?.header.position.seq ?? 0
  const lines = cut.toString('latin1').split('\n')
  const numbers = lines.map(line => Number(/^\{"schema_version":\d+,"seq":(\d{1,15}),/.exec(line)?.[1] ?? 0))
  const unreadable = lines.some((line, at) => line !== '' && numbers[at] === 0)
  return Math.max(indexed + 1, unreadable ? Math.max(indexed, ...numbers) + lostLogJump : 0)
}

function sync(store: FileStore, fd: number): void {
  const { disk } = store.options
  if (isPoisoned(disk, store.layout)) return
  try {
    disk.fdatasyncSync(fd)
  } catch (error) {
    poison(disk, store.layout, disk.fstatSync(fd).ino, store.modes.file)
    throw syncFault(error)
  }
}

/** Makes the log anew from what else is known; `damaged` is what is left of the old one. */
function restore(store: FileStore, now: Instant, format: Format | null, report: Report, damaged: number | null = null): void {
  const { layout, modes } = store
  const { disk } = store.options
  const { source, state, position, space, highest } = remainsOf(store)
  const quarantine = damaged === null ? null : keepLog(disk, layout, now)
  const cutBytes = damaged === null ? 0 : disk.fstatSync(damaged).size
  const cutLines = damaged === null ? 0 : countLines(disk, damaged)
  const from = { index: 'restored from the index', archive: 'restored from the newest archive', nothing: 'nothing else was known' }[source]
  const firstSeq = highest + lostLogJump
  writeNewLog(disk, layout, modes, now, {
    state,
    position,
    space: spaceOf(format?.space, store.options.noted?.space, space),
    firstSeq,
    reason: `${lostLogReason}: ${from}`,
    cutBytes,
    cutLines,
    quarantine,
  })
  removeIfPresent(disk, layout.index)
  Object.assign(report, { cutBytes, cutLines, quarantine })
  let leases = 0
  for (const _ of state.leases()) leases++
  const copy = quarantine === null ? '' : `; what was left of it is in quarantine/${quarantine}`
  report.mended.push(
    `the log was ${damaged === null ? 'gone' : 'unreadable'} and was ${source === 'nothing' ? 'made anew, without leases' : `${from} as it was at record ${position.seq}, with ${leases} leases`}${copy}`,
  )
  report.mended.push(`the next records have numbers from ${firstSeq} on, so that no token is given twice`)
}

/** What is left of the log, and the largest number that is known: the place that the leases were moved from has some of theirs. */
function remainsOf({ layout, options: { disk, noted } }: FileStore): Remains {
  const remains = findRemains(disk, layout)
  const before = noted === undefined ? 0 : findRemains(disk, layoutOf(noted.beside)).highest
  return { ...remains, highest: Math.max(remains.highest, before) }
}

function missingFault(store: FileStore): Fault {
  const { layout } = store
  const { source, position, highest, state } = remainsOf(store)
  let leases = 0
  for (const _ of state.leases()) leases++
  const known =
    source === 'nothing'
      ? 'nothing else is known of it'
      : `the ${source} has it up to record ${position.seq} with ${leases} leases, and everything after that is lost`
  return new Fault('unavailable', `${layout.log} is gone; ${known}`, {
    hint: 'put it back from a backup, or go on with what is known: lh recover --cut',
    details: { ...nothingChanged, known_from: source, known_seq: position.seq, highest_seq: highest, leases },
  })
}

function lossFault(store: FileStore, fd: number, loaded: Loaded): Fault {
  const { layout } = store
  const { line, offset, reason } = loaded.damage!
  const loss = describeLoss(readFully(store.options.disk, fd, loaded.end, loaded.size - loaded.end))
  const { position } = loaded
  const remains = loaded.fold?.isOpen === true ? null : findRemains(store.options.disk, layout)
  const kept =
    remains === null
      ? `what is kept ends at record ${position.seq}`
      : `it can only be made anew from ${remains.source === 'nothing' ? 'nothing' : `the ${remains.source} (record ${remains.position.seq})`}`
  return new Fault(
    'unavailable',
    `${layout.log} is damaged at line ${line} (byte ${offset}): ${reason}. To cut it there loses ${loss.sentence}; ${kept}`,
    {
      hint: 'put it back from a backup, or cut it there and keep a copy in quarantine/: lh recover --cut',
      details: { ...nothingChanged, line, offset, last_good_seq: position.seq, ...loss.details },
    },
  )
}

function removeLeftovers(store: FileStore, loaded: Loaded, now: Instant, report: Report): void {
  const { layout } = store
  const { disk, lock } = store.options
  const facts = { disk, lock, layout, now: now.wall, state: loaded.state, base: loaded.fold?.head?.baseSeq ?? null }
  for (const file of leftovers(facts)) {
    removeIfPresent(disk, file)
    report.removed.push(path.relative(layout.directory, file))
  }
}
