import path from 'node:path'
import type { Instant } from '../../core/lease.ts'
import type { RepairOperation } from '../../core/operation.ts'
import type { Disk } from '../../host/disk.ts'
import { readFully, readIfPresent, syncDirectory, writeFully } from '../../host/disk.ts'
import { FullState } from '../state.ts'
import { listArchive } from './archive.ts'
import { spaceId } from './create.ts'
import type { Layout, Modes } from './directory.ts'
import { createFile, lookAt, readFlags, removeIfPresent } from './directory.ts'
import type { Index } from './index-cache.ts'
import { IndexedState, parseIndex } from './index-cache.ts'
import { loadWhole } from './load.ts'
import { firstPrev } from './record.ts'
import type { Position } from './segment.ts'
import { sealCheckpoint, sealEntry } from './segment.ts'

// A log that is gone, or whose checkpoint cannot be read, is made anew from what else is known. It never starts at 1 again: a token
// that was given once must not be given twice.

/** First words of the `repair` record that opens a log made after the old one was lost: what lies between them is gone, and known to be. */
export const lostLogReason = 'the log was lost'

/**
 * How far the new log's numbers jump beyond the largest that is known. Records that are lost and left no trace can only have been in the
 * last segment, and a segment with a million records would be hundreds of times as large as one ever grows.
 */
export const lostLogJump = 1_000_000

/** What is left of a log. */
export interface Remains {
  readonly source: 'index' | 'archive' | 'nothing'
  readonly state: FullState
  readonly position: Position
  readonly space: string | null
  /** The largest sequence number that anything speaks of. */
  readonly highest: number
}

/** Looks for the newest sound state beside the log: the index, or the newest archive that can be read. */
export function findRemains(disk: Disk, layout: Layout): Remains {
  const archives = listArchive(disk, layout)
  const newest = Math.max(0, ...archives.map(({ last }) => last))
  const index = readIndex(disk, layout)
  const highest = Math.max(newest, index?.position.seq ?? 0, numbersIn(disk, layout, newest))
  // An index that is older than the archive knows less.
  if (index !== null && index.position.seq >= newest) return { ...index, highest }
  for (const { file } of archives.toReversed()) {
    const found = readArchive(disk, file)
    if (found !== null) return { ...found, highest }
  }
  if (index !== null) return { ...index, highest }
  return { source: 'nothing', state: new FullState(), position: { seq: 0, sum: firstPrev }, space: null, highest }
}

/** The index, if every byte of it is sound; whatever else stands in its place is as good as none. */
export function soundIndex(disk: Disk, layout: Layout): Index | null {
  try {
    const bytes = readIfPresent(disk, layout.index, readFlags)
    return bytes === null ? null : parseIndex(bytes)
  } catch {
    return null
  }
}

function readIndex(disk: Disk, layout: Layout): Omit<Remains, 'highest'> | null {
  const index = soundIndex(disk, layout)
  if (index === null) return null
  return { source: 'index', state: new IndexedState(index).complete(), position: index.header.position, space: index.header.space }
}

/** An archive is read as far as it is whole. */
function readArchive(disk: Disk, file: string): Omit<Remains, 'highest'> | null {
  const fd = disk.openSync(file, readFlags)
  try {
    const { fold, position, space } = loadWhole(disk, fd, disk.fstatSync(fd).size)
    return fold?.isOpen === true ? { source: 'archive', state: fold.state, position, space } : null
  } finally {
    disk.closeSync(fd)
  }
}

/** The largest number in what is left of the log itself; no damaged digit may push it further than the jump. */
function numbersIn(disk: Disk, layout: Layout, known: number): number {
  const bytes = lookAt(disk, layout.log)?.isFile() === true ? readIfPresent(disk, layout.log, readFlags) : null
  let highest = 0
  for (const match of (bytes?.toString('latin1') ?? '').matchAll(/"(?:base_seq|seq|token)":(\d{1,15})/g)) {
    const seen = Number(match[1])
    if (seen <= Math.max(known, highest) + lostLogJump) highest = Math.max(highest, seen)
  }
  return highest
}

export interface NewLog {
  readonly state: FullState
  readonly position: Position
  readonly space: string
  /** Number of its first record. */
  readonly firstSeq: number
  readonly reason: string
  readonly cutBytes: number
  readonly cutLines: number
  readonly quarantine: string | null
}

/** Writes a log that continues `position`, durably and in one step; its first record says why. Only under the store's lock. */
export function writeNewLog(disk: Disk, layout: Layout, modes: Modes, now: Instant, made: NewLog): RepairOperation {
  const { state, position, reason, cutBytes, cutLines, quarantine } = made
  const clocks = state.clocks.current.b === '' ? { current: { b: now.b, m: now.m }, seen: [now.b] } : state.clocks
  state.clocks = clocks
  const auditFrom = listArchive(disk, layout)[0]?.first ?? position.seq + 1
  const checkpoint = sealCheckpoint({ state, remembered: [], position, space: made.space, auditFrom, clk: clocks.current, at: now.wall })
  const operation: RepairOperation = {
    op: 'repair',
    actor: 'system',
    opId: null,
    reason,
    cutBytes,
    cutLines,
    quarantine,
    lastGoodSeq: position.seq,
  }
  // On the log's own clock: deadlines are, until a `boot` record moves them.
  const repair = sealEntry({ seq: made.firstSeq, at: now.wall, clk: clocks.current, operation }, checkpoint.sum)
  removeIfPresent(disk, layout.newLog)
  const fd = createFile(disk, layout.newLog, modes.file)
  try {
    const { error } = writeFully(disk, fd, Buffer.from(`${checkpoint.lines.join('')}${repair.line}`))
    if (error !== null) throw error
    disk.fsyncSync(fd)
  } catch (error) {
    removeIfPresent(disk, layout.newLog)
    throw error
  } finally {
    disk.closeSync(fd)
  }
  disk.renameSync(layout.newLog, layout.log)
  syncDirectory(disk, layout.directory)
  return operation
}

/** Gives the present log a second name in `quarantine/`, and returns it. */
export function keepLog(disk: Disk, layout: Layout, now: Instant): string {
  // With the monotonic clock in it: whoever is stopped and tries again may have the same pid and wall clock.
  const name = `claims-${now.wall}-${process.pid}-${process.hrtime().join('')}.jsonl`
  disk.linkSync(layout.log, path.join(layout.quarantine, name))
  syncDirectory(disk, layout.quarantine)
  return name
}

/** A restored log's space: the one that was, as far as anybody knows. */
export const spaceOf = (...known: readonly (string | null | undefined)[]): string =>
  known.find(space => space !== null && space !== undefined && space !== '') ?? spaceId()

/** Complete lines in a file. */
export function countLines(disk: Disk, fd: number): number {
  const bytes = readFully(disk, fd, 0, disk.fstatSync(fd).size)
  let lines = 0
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) lines++
  return lines
}
