import { Fault } from '../../core/fault.ts'
import type { Disk } from '../../host/disk.ts'
import { readFully } from '../../host/disk.ts'
import type { Entry } from '../../core/operation.ts'
import { entryFromWire } from '../../core/wire.ts'
import { FullState } from '../state.ts'
import type { State } from '../state.ts'
import { readFlags } from './directory.ts'
import type { Layout } from './directory.ts'
import type { Index } from './index-cache.ts'
import { IndexedState, bucketsOf, parseHeader } from './index-cache.ts'
import { checkedLine, eachLine, endOfLines, firstPrev, maxLineBytes, sumOf, unseal, useNativeHash } from './record.ts'
import { ResidentState, glimpse } from './resident-state.ts'
import type { Foreign, Position } from './segment.ts'
import { SegmentFold, gapBefore } from './segment.ts'

/** A complete line that is not the next record. */
export interface Damage {
  /** Byte offset of the line in the segment. */
  readonly offset: number
  /** 1-based. */
  readonly line: number
  readonly reason: string
  /** Complete, intact lines after it: more than none means that it is no torn write. */
  readonly intactAfter: number
}

/** Whole lines were taken off the end of a log: nothing in it tells. */
export interface Lost {
  /** The last record that is known to have been there. */
  readonly seq: number
  /** The clock that was its time. */
  readonly b: string
}

/** A segment, read as far as it is whole. */
export interface Loaded {
  readonly state: State
  /** The last whole record. */
  readonly position: Position
  /** Offset just after it. */
  readonly end: number
  /** Size of the file. */
  readonly size: number
  /** Bytes after the last newline: an append that was cut short, never acknowledged. */
  readonly tornBytes: number
  readonly damage: Damage | null
  /** What its own index has seen and it no longer has. */
  readonly lost: Lost | null
  readonly foreign: Foreign | null
  readonly checkpointBytes: number
  /** Bytes that the index does not cover. */
  readonly behindIndex: number
  /** Bytes `[0, end)` of the segment when all of it was read, else null. */
  readonly bytes: Buffer | null
  readonly space: string
  /** Present when the whole segment was folded. */
  readonly fold: SegmentFold | null
}

/** Reads the segment behind `fd`: through the index when that is sound, else from its first line. `about`: as for a store's view. */
export function load(disk: Disk, fd: number, layout: Layout, about?: readonly string[]): Loaded {
  const { size, ino } = disk.fstatSync(fd)
  const index = readIndex(disk, layout, about)
  if (index === null) return loadWhole(disk, fd, size)
  const { offset } = index.header
  const through = offset > size ? null : loadThroughIndex(disk, fd, size, index, () => refold(disk, layout, ino, offset))
  return through ?? withLost(loadWhole(disk, fd, size), index.header)
}

/** Nobody who holds the lock takes a whole record off a log, so what its index has seen is in it or was lost. */
function withLost(loaded: Loaded, { position: { seq }, space, clocks }: Index['header']): Loaded {
  const isLost = loaded.damage === null && space === loaded.space && seq > loaded.position.seq
  return isLost ? { ...loaded, lost: { seq, b: clocks.current.b } } : loaded
}

/** It is a cache: one that cannot be read, whatever stands in its place, is as good as none. */
function readIndex(disk: Disk, layout: Layout, about: readonly string[] | undefined): Index | null {
  try {
    const fd = disk.openSync(layout.index, readFlags)
    try {
      const { size } = disk.fstatSync(fd)
      const some = about === undefined || size < sparseFrom ? null : readSparsely(disk, fd, size, about)
      return some ?? parseHeader(readFully(disk, fd, 0, size))
    } finally {
      disk.closeSync(fd)
    }
  } catch {
    return null
  }
}

/** An index of fewer bytes is read as a whole. */
const sparseFrom = 262_144

/** More than header and table of most indexes, and of any. */
const headBytes = [16_384, 65_536]

/**
 * Only the header and the buckets of these keys. What is not read stays as it was allocated, so a bucket that should be asked for after all is
 * one that does not match its fingerprint. Null when there is no sound header, or the log is kept in this index.
 */
function readSparsely(disk: Disk, fd: number, size: number, about: readonly string[]): Index | null {
  const bytes = Buffer.allocUnsafeSlow(size)
  let index: Index | null = null
  for (let at = 0, read = 0; index === null && at < headBytes.length; at++) {
    for (let count = 1; read < headBytes[at]! && count > 0; read += count)
      count = disk.readSync(fd, bytes, read, headBytes[at]! - read, read)
    index = parseHeader(bytes, read)
  }
  if (index === null || index.log !== null) return null
  for (const { offset, length } of bucketsOf(index, about)) {
    const at = index.bodyAt + offset
    for (let done = 0, count = 1; done < length && count > 0; done += count)
      count = disk.readSync(fd, bytes, at + done, length - done, at + done)
  }
  return index
}

/** Every byte, every checksum; `remembers` as for `SegmentFold`. */
export function loadWhole(disk: Disk, fd: number, size: number, remembers = false): Loaded {
  const bytes = readFully(disk, fd, 0, size)
  if (bytes.length > 16_384) useNativeHash()
  const fold = new SegmentFold(firstPrev, remembers)
  let checkpointBytes = 0
  const scan = scanLines(bytes, 0, (record, sum, end) => {
    const wrong = fold.take(record, sum)
    if (wrong === null && fold.records === 0) checkpointBytes = end
    return wrong
  })
  const damage =
    scan.damage ??
    (fold.isOpen
      ? null
      : { offset: scan.end, line: scan.lines + 1, reason: 'the checkpoint at its beginning is incomplete', intactAfter: 0 })
  return {
    state: fold.state,
    position: fold.position,
    end: scan.end,
    size: bytes.length,
    tornBytes: bytes.length - endOfLines(bytes),
    damage,
    lost: null,
    foreign: fold.foreign,
    checkpointBytes,
    behindIndex: Number.POSITIVE_INFINITY,
    bytes,
    space: fold.head?.space ?? '',
    fold,
  }
}

/** Most records are shorter. */
const usualLineBytes = 4096

function loadThroughIndex(disk: Disk, fd: number, size: number, index: Index, refolded: () => FullState): Loaded | null {
  const { header } = index
  const whole = index.log !== null
  let from = whole ? 0 : Math.max(0, header.offset - usualLineBytes)
  let bytes = readFully(disk, fd, from, size - from)
  // Its last record is a long one, and begins before that.
  if (from > 0 && bytes.lastIndexOf(newline, header.offset - from - 2) < 0) {
    from = Math.max(0, header.offset - maxLineBytes)
    bytes = readFully(disk, fd, from, size - from)
  }
  const offset = header.offset - from
  // When all of it is the same there is nothing left to ask of its last record.
  const same = index.log?.equals(bytes.subarray(0, offset)) ?? endsWithRecord(bytes, offset, header.position)
  if (!same) return null
  const state = new IndexedState(index, refolded)
  const tail = new Tail(state, header.position)
  const scan = scanLines(bytes, offset, (record, sum) => tail.take(record, sum))
  // Where exactly the damage is, and what follows it, only the whole segment can tell.
  if (scan.damage !== null) return null
  return {
    state,
    position: tail.position,
    end: from + scan.end,
    size: from + bytes.length,
    tornBytes: bytes.length - endOfLines(bytes),
    damage: null,
    lost: null,
    foreign: tail.foreign,
    checkpointBytes: header.checkpointBytes,
    behindIndex: scan.end - offset,
    bytes: whole ? bytes : null,
    space: header.space,
    fold: null,
  }
}

/** The state after the first `end` bytes of the segment, for a reader whose index turned out to be damaged. */
function refold(disk: Disk, layout: Layout, ino: number, end: number): FullState {
  const fd = disk.openSync(layout.log, readFlags)
  try {
    const { state, damage } = loadWhole(disk, fd, end)
    if (damage === null && state instanceof FullState && disk.fstatSync(fd).ino === ino) return state
  } finally {
    disk.closeSync(fd)
  }
  throw new Fault('unavailable', `${layout.index} is damaged, and ${layout.log} cannot stand in for it`, {
    hint: 'try again; if it stays so, see: lh doctor',
    details: { outcome: 'nothing_changed' },
  })
}

/** Carries an existing state forward over records, for a process that stays. Null when the segment is not the one it was. */
export function loadMore(disk: Disk, fd: number, known: Loaded): Loaded | null {
  // The newline before it as well: its absence tells that the file became shorter.
  const bytes = readOn(disk, fd, known.end - 1)
  if (bytes[0] !== newline) return null
  if (bytes.length === 1) return known
  const tail = new Tail(known.state, known.position)
  const from = known.state instanceof ResidentState ? glimpseLines(bytes, 1, known.state, tail) : 1
  const scan = scanLines(bytes, from, (record, sum) => tail.take(record, sum))
  if (scan.damage !== null) return null
  return {
    ...known,
    position: tail.position,
    end: known.end - 1 + scan.end,
    size: known.end - 1 + bytes.length,
    tornBytes: bytes.length - endOfLines(bytes),
    foreign: known.foreign ?? tail.foreign,
    behindIndex: known.behindIndex + scan.end - 1,
    bytes: null,
    fold: null,
  }
}

const newline = 0x0a
let scratch: Buffer | undefined

/** What there is from `position` on; valid until it is called again. */
function readOn(disk: Disk, fd: number, position: number): Buffer {
  scratch ??= Buffer.allocUnsafeSlow(65_536)
  const count = disk.readSync(fd, scratch, 0, scratch.length, position)
  if (count < scratch.length) return scratch.subarray(0, count)
  return readFully(disk, fd, position, Math.max(0, disk.fstatSync(fd).size - position))
}

/** Takes records whose text is enough for now; gives the offset of the first that has to be read, or is not in order. */
function glimpseLines(bytes: Buffer, from: number, state: ResidentState, tail: Tail): number {
  const { b } = state.clocks.current
  let end = from
  let m: number | null = null
  for (let stop = bytes.indexOf(newline, end); stop >= 0; stop = bytes.indexOf(newline, end)) {
    const line = checkedLine(bytes, end, stop)
    const seen = line === null ? null : glimpse(line, tail.position, b)
    if (line === null || seen === null || !state.defer(seen)) break
    tail.position = { seq: tail.position.seq + 1, sum: sumOf(line) }
    m = seen.m
    end = stop + 1
  }
  if (m !== null) state.moveTo(tail.position.seq, m)
  return end
}

/** An index describes this segment if the record that ends where it says has its number and sum; an inode is no identity. */
function endsWithRecord(bytes: Buffer, end: number, position: Position): boolean {
  if (end <= 0 || bytes[end - 1] !== 0x0a) return false
  const start = bytes.lastIndexOf(0x0a, end - 2) + 1
  const line = unseal(bytes, start, end - 1)
  return typeof line !== 'string' && line.sum === position.sum && line.record.seq === position.seq
}

/** Applies records that follow a known position. */
class Tail {
  position: Position
  foreign: Foreign | null = null
  readonly #state: State

  constructor(state: State, position: Position) {
    this.#state = state
    this.position = position
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  take(record: any, sum: string): string | null {
    if (record.prev !== this.position.sum) return 'it does not continue the line before it'
    const gap = gapBefore(record, this.position.seq)
    if (gap !== null) return gap
    this.position = { seq: record.seq, sum }
    const entry = entryFromWire(record)
    if (entry === null) this.foreign ??= { seq: record.seq, op: String(record.op), schemaVersion: Number(record.schema_version) }
    else this.#state.apply(entry)
    return null
  }
}

interface Scan {
  /** Offset after the last line that was taken. */
  readonly end: number
  readonly lines: number
  readonly damage: Damage | null
}

/** Hands each complete, intact line to `take` until one is refused; then counts the intact ones after it. */
// oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
function scanLines(bytes: Buffer, from: number, take: (record: any, sum: string, end: number) => string | null): Scan {
  let end = from
  let lines = 0
  let bad: { readonly offset: number; readonly line: number; readonly reason: string } | null = null
  let intactAfter = 0
  eachLine(bytes, from, (start, stop) => {
    const line = unseal(bytes, start, stop)
    if (bad !== null) {
      if (typeof line !== 'string') intactAfter++
      return true
    }
    const reason = typeof line === 'string' ? line : take(line.record, line.sum, stop + 1)
    if (reason === null) {
      end = stop + 1
      lines++
    } else {
      bad = { offset: start, line: lines + 1, reason }
    }
    return true
  })
  // An append that was cut short ends within its line. A whole record and then another byte than its newline is something else.
  const tail = endOfLines(bytes)
  if (bad === null && tail >= from && bytes.length - tail > 1 && typeof unseal(bytes, tail, bytes.length - 1) !== 'string') {
    bad = { offset: tail, line: lines + 1, reason: 'the newline after it is gone' }
  }
  return { end, lines, damage: bad === null ? null : { ...(bad as { offset: number; line: number; reason: string }), intactAfter } }
}

/** The record that an op_id made, found in the segment's own bytes: newest first, and only its own member counts. */
export function recall(bytes: Buffer, opId: string): Entry | null {
  const needle = Buffer.from(`"op_id":${JSON.stringify(opId)}`)
  for (let at = bytes.lastIndexOf(needle); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(needle, at - 1)) {
    const start = bytes.lastIndexOf(0x0a, at) + 1
    const end = bytes.indexOf(0x0a, at)
    if (end < 0) continue
    const record = JSON.parse(bytes.toString('utf8', start, end))
    const candidates = record.op === 'ops' ? record.records : [record]
    for (const each of candidates) if (each.op_id === opId) return entryFromWire(each)
  }
  return null
}

/** All of the state: an indexed one is read completely. */
export const completeState = (state: State): FullState =>
  state instanceof IndexedState || state instanceof ResidentState
    ? state.complete()
    : state instanceof FullState
      ? state
      : new FullState(state.lastSeq, state.clocks)
