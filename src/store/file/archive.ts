import path from 'node:path'
import type { Entry } from '../../core/operation.ts'
import { entryFromWire } from '../../core/wire.ts'
import type { Disk } from '../../host/disk.ts'
import { readFully } from '../../host/disk.ts'
import { openIfPresent, readFlags } from './directory.ts'
import type { Layout } from './directory.ts'
import { eachLine, endOfLines, unseal } from './record.ts'

/** An older segment. */
export interface Archived {
  readonly file: string
  readonly first: number
  readonly last: number
  readonly bytes: number
  /** Wall clock, milliseconds. */
  readonly modifiedMs: number
}

/** Name of the archive that keeps the records `first` to `last`. Padded, so that a listing is in order. */
export const archiveName = (first: number, last: number): string =>
  `claims-${String(first).padStart(12, '0')}-${String(last).padStart(12, '0')}.jsonl`

/** The archived segments, oldest first. */
export function listArchive(disk: Disk, layout: Layout): readonly Archived[] {
  let names: readonly string[]
  try {
    names = disk.readdirSync(layout.archive)
  } catch {
    return []
  }
  const found: Archived[] = []
  for (const name of names) {
    const match = /^claims-(\d+)-(\d+)\.jsonl$/.exec(name)
    if (match === null) continue
    const file = path.join(layout.archive, name)
    // Another process's retention may have taken it since the listing.
    const stat = disk.lstatSync(file, { throwIfNoEntry: false })
    if (stat?.isFile() === true)
      found.push({ file, first: Number(match[1]), last: Number(match[2]), bytes: stat.size, modifiedMs: stat.mtimeMs })
  }
  return found.toSorted((a, b) => a.first - b.first || a.last - b.last)
}

/**
 * How many of the oldest archives go: the newest that is too old, or too many bytes with those after it, takes all before it along. The newest
 * of all stays. `archives`: oldest first; ages in milliseconds.
 */
export function countOutlived(archives: readonly Archived[], nowMs: number, maxAgeMs: number, maxBytes: number): number {
  let total = 0
  for (let at = archives.length - 1; at >= 0; at--) {
    total += archives[at]!.bytes
    const isOver = total > maxBytes || nowMs - archives[at]!.modifiedMs > maxAgeMs
    if (isOver && at < archives.length - 1) return at + 1
  }
  return 0
}

/** The last record that retention removed, as the log says now; 0: none. Null where the log's first line cannot be read. */
export function removedThrough(disk: Disk, layout: Layout): number | null {
  const fd = openIfPresent(disk, layout.log)
  if (fd === null) return null
  try {
    const head = headOf(disk, fd)
    return head === null ? null : head.audit_from - 1
  } finally {
    disk.closeSync(fd)
  }
}

/** The first line of an open segment, or null when it is damaged. */
// oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
export function headOf(disk: Disk, fd: number): any {
  const [first] = linesOf(disk, fd)
  return first?.record?.op === 'segment' ? first.record : null
}

/** A line as it was read: its record, or why it is none. */
export interface ReadLine {
  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  readonly record: any
  readonly sum: string
  /** 1-based. */
  readonly line: number
  readonly offset: number
  readonly fault: string | null
}

const chunkBytes = 1 << 20

/** The complete lines of a segment in pieces of 1 MiB, so that memory stays flat however long it is. */
export function* readLines(disk: Disk, file: string): Generator<ReadLine> {
  const fd = disk.openSync(file, readFlags)
  try {
    yield* linesOf(disk, fd)
  } finally {
    disk.closeSync(fd)
  }
}

function* linesOf(disk: Disk, fd: number): Generator<ReadLine> {
  let line = 0
  for (let position = 0; ;) {
    let bytes = readFully(disk, fd, position, chunkBytes)
    let end = endOfLines(bytes)
    // A line longer than a piece is damaged, but it has an end all the same.
    for (let size = chunkBytes; end === 0 && bytes.length === size; end = endOfLines(bytes))
      bytes = readFully(disk, fd, position, (size *= 2))
    if (end === 0) return
    const lines: ReadLine[] = []
    eachLine(bytes.subarray(0, end), 0, (start, stop) => {
      const read = unseal(bytes, start, stop)
      const damaged = typeof read === 'string'
      lines.push({
        record: damaged ? null : read.record,
        sum: damaged ? '' : read.sum,
        line: ++line,
        offset: position + start,
        fault: damaged ? read : null,
      })
      return true
    })
    yield* lines
    position += end
  }
}

/** The records of an open segment without its checkpoint. Damaged lines and operations of a newer version are left out, and told of. */
export function* readEntries(disk: Disk, fd: number, unreadable: (line: number, why: string) => void): Generator<Entry> {
  let checkpoint = 0
  for (const { record, line, fault } of linesOf(disk, fd)) {
    if (line === 1 && record?.op === 'segment') {
      checkpoint = 1 + record.live + record.past + (record.sessions ?? 0) + record.ops
    }
    // What a checkpoint says was told by the records before it.
    if (line <= checkpoint) continue
    const entry = record === null ? null : entryFromWire(record)
    if (entry === null) unreadable(line, fault ?? `the operation ${JSON.stringify(record.op)} is not known to this version`)
    else yield entry
  }
}
