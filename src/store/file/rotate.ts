import path from 'node:path'
import { Fault } from '../../core/fault.ts'
import type { Instant } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import type { Disk } from '../../host/disk.ts'
import { readFully, syncDirectory, writeFully } from '../../host/disk.ts'
import type { FullState } from '../state.ts'
import type { Archived } from './archive.ts'
import { archiveName, countOutlived, listArchive } from './archive.ts'
import { createFile, removeIfPresent } from './directory.ts'
import type { Layout, Modes } from './directory.ts'
import { loadWhole } from './load.ts'
import type { Loaded } from './load.ts'
import { firstPrev } from './record.ts'
import type { Position, SegmentFold } from './segment.ts'
import { sealCheckpoint } from './segment.ts'
import { logFlags, poison, syncFault } from './session.ts'

/** When a segment is full, and how long old ones are kept. */
export interface Retention {
  /** Bytes; a segment also has to be four times its own checkpoint. */
  readonly segmentBytes: number
  readonly maxAgeMs: number
  readonly maxBytes: number
}

/** Remembered commands that a new segment carries on: the newest of the last day. */
const maxRemembered = 10_000
const rememberedMs = 86_400_000
/** How long it is remembered how an ownership ended, when it ended without an outcome. */
const pastMs = 90 * 86_400_000

export const isFull = (loaded: Loaded, { segmentBytes }: Retention): boolean =>
  loaded.end > Math.max(segmentBytes, 4 * loaded.checkpointBytes)

/** Creates the first segment, durably. Only under the lock. */
export function createFirstSegment(disk: Disk, layout: Layout, modes: Modes, space: string, state: FullState, now: Instant): void {
  writeSegment(disk, layout, modes, {
    state,
    remembered: [],
    position: { seq: 0, sum: firstPrev },
    space,
    auditFrom: 1,
    clk: { b: now.b, m: now.m },
    at: now.wall,
  })
  disk.renameSync(layout.newLog, layout.log)
  syncDirectory(disk, layout.directory)
  syncDirectory(disk, path.dirname(layout.directory))
}

function writeSegment(
  disk: Disk,
  layout: Layout,
  modes: Modes,
  input: Parameters<typeof sealCheckpoint>[0],
): { readonly bytes: number; readonly sum: string } {
  const { lines, sum } = sealCheckpoint(input)
  const bytes = Buffer.from(lines.join(''))
  writeNewLog(disk, layout, modes, bytes)
  return { bytes: bytes.length, sum }
}

/** `claims.jsonl.new`, durable, or not there at all. */
function writeNewLog(disk: Disk, layout: Layout, modes: Modes, bytes: Uint8Array): void {
  removeIfPresent(disk, layout.newLog)
  const fd = createFile(disk, layout.newLog, modes.file)
  try {
    const { error } = writeFully(disk, fd, bytes)
    if (error !== null) throw error
    disk.fsyncSync(fd)
  } catch (error) {
    removeIfPresent(disk, layout.newLog)
    throw error
  } finally {
    disk.closeSync(fd)
  }
}

export interface Rotated {
  readonly fd: number
  readonly loaded: Loaded
}

/**
 * Starts a new segment that carries the state of the old one. Only under the lock; nobody may append before the last step is done.
 * The order of steps was proven by enumerating crash states: without the sync of the archive directory, audit records can be lost; an
 * unlock before the last sync loses acknowledged records.
 */
export function rotate(disk: Disk, layout: Layout, modes: Modes, fd: number, now: Instant, retention: Retention): Rotated {
  const old = loadSound(disk, layout, fd)
  try {
    disk.fdatasyncSync(fd)
  } catch (error) {
    poison(disk, layout, disk.fstatSync(fd).ino, modes.file)
    throw syncFault(error)
  }
  const { outlived, keptFrom } = outlivedWith(disk, layout, old, now, retention)
  forgetOld(old.fold.state, now)
  const input = {
    state: old.fold.state,
    remembered: stillRemembered(old.fold.remembered, now),
    position: old.position,
    space: old.space,
    auditFrom: Math.max(old.fold.head!.auditFrom, keptFrom),
    // Not our own clock: deadlines are on the log's until a `boot` record moves them.
    clk: old.fold.state.clocks.current,
    at: now.wall,
  }
  const written = writeSegment(disk, layout, modes, input)
  if (old.fold.records > 0) keepInArchive(disk, layout, archivedAs(layout, old).file)
  disk.renameSync(layout.newLog, layout.log)
  syncDirectory(disk, layout.directory)
  // Oldest first, so that whoever is stopped here leaves no hole.
  for (const { file } of outlived) removeIfPresent(disk, file)
  return reopened(disk, layout, old, { seq: old.position.seq, sum: written.sum }, written.bytes)
}

/**
 * Writes the segment into a new file, byte for byte, after a sync of the old one failed: fresh pages, which can be synced. Nothing is
 * compacted or archived in the same step: a copy in the archive would be durable before the log is, and after a power loss the two
 * would tell different stories.
 */
export function rewrite(disk: Disk, layout: Layout, modes: Modes, fd: number): Rotated {
  const old = loadSound(disk, layout, fd)
  writeNewLog(disk, layout, modes, old.bytes)
  disk.renameSync(layout.newLog, layout.log)
  syncDirectory(disk, layout.directory)
  return { fd: disk.openSync(layout.log, logFlags), loaded: old }
}

/** The segment from its first byte, every checksum; throws `unavailable` when it is not whole. */
function loadSound(disk: Disk, layout: Layout, fd: number): Loaded & { readonly fold: SegmentFold; readonly bytes: Buffer } {
  const loaded = loadWhole(disk, fd, disk.fstatSync(fd).size, true)
  const { fold, bytes } = loaded
  if (loaded.damage === null && loaded.foreign === null && loaded.tornBytes === 0 && fold !== null && bytes !== null)
    return { ...loaded, fold, bytes }
  throw new Fault('unavailable', `${layout.log} is damaged at line ${loaded.damage?.line ?? '?'} and cannot be compacted`, {
    hint: 'see: lh doctor',
  })
}

function reopened(disk: Disk, layout: Layout, old: Loaded, position: Position, bytes: number): Rotated {
  const fd = disk.openSync(layout.log, logFlags)
  const loaded = {
    ...old,
    position,
    end: bytes,
    size: bytes,
    checkpointBytes: bytes,
    behindIndex: Number.POSITIVE_INFINITY,
    bytes: readFully(disk, fd, 0, bytes),
    fold: null,
  }
  return { fd, loaded }
}

/** The segment as it will lie in the archive. */
function archivedAs(layout: Layout, { fold, position, end }: Loaded & { readonly fold: SegmentFold }): Archived {
  const [first, last] = [fold.head!.baseSeq + 1, position.seq]
  return { file: path.join(layout.archive, archiveName(first, last)), first, last, bytes: end, modifiedMs: Number.POSITIVE_INFINITY }
}

/**
 * The archives that retention removes once this segment is one of them, oldest first, and the number that the rest begins with: 0 where none
 * goes. The next segment says so before they go.
 */
function outlivedWith(
  disk: Disk,
  layout: Layout,
  old: Loaded & { readonly fold: SegmentFold },
  now: Instant,
  { maxAgeMs, maxBytes }: Retention,
): { readonly outlived: readonly Archived[]; readonly keptFrom: number } {
  const added = old.fold.records > 0 ? [archivedAs(layout, old)] : []
  // A rotation that was stopped has given it its name already.
  const before = listArchive(disk, layout).filter(({ file }) => file !== added[0]?.file)
  const archives = [...before, ...added]
  const count = countOutlived(archives, now.wall, maxAgeMs, maxBytes)
  return { outlived: archives.slice(0, count), keptFrom: count === 0 ? 0 : archives[count]!.first }
}

/** Links the old segment into the archive. */
function keepInArchive(disk: Disk, layout: Layout, file: string): void {
  try {
    disk.linkSync(layout.log, file)
  } catch (error) {
    // A rotation that was stopped between link and rename has linked it already.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  syncDirectory(disk, layout.archive)
}

const stillRemembered = (entries: readonly Entry[], now: Instant): readonly Entry[] =>
  entries.filter(({ at }) => now.wall - at < rememberedMs).slice(-maxRemembered)

function forgetOld(state: FullState, now: Instant): void {
  for (const past of state.pasts()) {
    const { lease } = state.slot(past.resource)
    if (lease === null && past.outcome === null && now.wall - past.endedAt > pastMs)
      state.put(past.resource, { ...state.slot(past.resource), past: null })
  }
}
