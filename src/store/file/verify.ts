import type { Entry } from '../../core/operation.ts'
import { sessionKey } from '../../core/session.ts'
import {
  entryFromWire,
  leaseFromStored,
  leaseToStored,
  pastFromStored,
  pastToStored,
  sessionFromWire,
  sessionToWire,
} from '../../core/wire.ts'
import type { Disk } from '../../host/disk.ts'
import type { Progress, Verified, VerifyFault } from '../maintenance.ts'
import { FullState } from '../state.ts'
import type { Archived } from './archive.ts'
import { headOf, listArchive, removedThrough } from './archive.ts'
import type { Layout } from './directory.ts'
import { openIfPresent } from './directory.ts'
import { breach } from './laws.ts'
import { withoutDoubles } from './leftovers.ts'
import { eachLine, endOfLines, seal, unseal, useNativeHash } from './record.ts'
import { lostLogReason } from './restore.ts'
import type { Position } from './segment.ts'
import { gapBefore } from './segment.ts'

/** Faults that are listed; one wrong line can make many later ones wrong. */
const maxFaults = 50

/** Pieces in which segments are read, and how often progress is told, bytes. */
const chunkBytes = 1 << 20

/**
 * Reads everything that the store keeps, oldest first, and believes none of it: each line's checksum, the chain through all segments,
 * the numbering, that each checkpoint is the fold of what came before, and the laws that no writer may break. Takes no lock: what is
 * written meanwhile is not looked at. It cannot notice somebody who rewrites every line, nor records that are missing at the very end.
 */
export function verifyLog(disk: Disk, layout: Layout, onProgress: Progress = () => {}): Verified {
  return verifyNewest(disk, layout, Number.POSITIVE_INFINITY, onProgress).verified
}

/** The same for the log and as many of the newest archived segments as have no more than so many bytes together. */
export function verifyNewest(
  disk: Disk,
  layout: Layout,
  maxBytes: number,
  onProgress: Progress = () => {},
): { readonly verified: Verified; readonly unread: readonly Archived[] } {
  useNativeHash()
  // Opened before the archive is listed: if it is archived meanwhile it is still this file, and a newer one is none of ours.
  const log = openIfPresent(disk, layout.log)
  try {
    const size = log === null ? 0 : disk.fstatSync(log).size
    const all = withoutDoubles(listArchive(disk, layout), log === null ? null : (headOf(disk, log)?.base_seq ?? null))
    const archives = newestWithin(all, maxBytes)
    const total = archives.reduce((sum, { bytes }) => sum + bytes, size)
    const verifier = new Verifier(disk, layout, total, onProgress)
    onProgress(0, total)
    for (const archive of archives) verifyArchive(disk, verifier, archive)
    if (log !== null) verifier.segment(layout.log, log, size, null)
    return { verified: verifier.result(archives.length === all.length), unread: all.slice(0, all.length - archives.length) }
  } finally {
    if (log !== null) disk.closeSync(log)
  }
}

function newestWithin(archives: readonly Archived[], maxBytes: number): readonly Archived[] {
  let bytes = 0
  let from = archives.length
  while (from > 0 && bytes + archives[from - 1]!.bytes <= maxBytes) bytes += archives[--from]!.bytes
  return archives.slice(from)
}

function verifyArchive(disk: Disk, verifier: Verifier, archive: Archived): void {
  const fd = openIfPresent(disk, archive.file)
  // Retention deletes the oldest while we read; a hole elsewhere shows by itself.
  if (fd === null) return
  try {
    verifier.segment(archive.file, fd, archive.bytes, archive)
  } finally {
    disk.closeSync(fd)
  }
}

/** Carries the fold through all segments and writes down what is wrong. */
class Verifier {
  readonly #disk: Disk
  readonly #layout: Layout
  readonly #onProgress: Progress
  readonly #total: number
  readonly #faults: VerifyFault[] = []
  readonly #trail = new Trail()
  #buffer = Buffer.allocUnsafeSlow(chunkBytes)
  #faultCount = 0
  #done = 0
  #records = 0
  #segments = 0
  #firstSeq = 0
  #torn = 0
  #foreign: Verified['foreign'] = null
  #state = new FullState()
  /** The last line read; null before the first, and after a line that could not be read. */
  #position: Position | null = null
  #lastSeq = 0
  /** Does the state stand for what the records say? Not after a line that could not be read, or not be understood. */
  #sound = true
  // Of the segment that is being read:
  #file = ''
  #line = 0
  #offset = 0
  /** The number that it continues. */
  #base: number | null = null
  #firstBase: number | null = null
  #checkpointLeft = 0
  #checkpoint: Checkpoint | null = null
  /** What is wrong between this segment and the one before; forgiven when the first record says that the log was lost. */
  #seam: VerifyFault[] = []

  constructor(disk: Disk, layout: Layout, total: number, onProgress: Progress) {
    this.#disk = disk
    this.#layout = layout
    this.#total = total
    this.#onProgress = onProgress
  }

  /** Reads one segment; `archive` is null for the current one. */
  segment(file: string, fd: number, size: number, archive: Archived | null): void {
    this.#file = file
    this.#line = 0
    this.#offset = 0
    this.#base = null
    this.#checkpointLeft = 0
    this.#checkpoint = null
    this.#seam = []
    this.#segments++
    const torn = this.#readLines(fd, size)
    this.#line = 0
    this.#settleSeam()
    if (this.#base === null) this.#blame('it has no whole line', null)
    else if (this.#checkpointLeft > 0) this.#blame(`its checkpoint lacks ${this.#checkpointLeft} lines`, null)
    if (archive === null) this.#torn = torn
    else this.#endArchive(archive, torn)
  }

  #endArchive({ first, last }: Archived, torn: number): void {
    if (torn > 0) this.#blame(`it ends with ${torn} bytes that are no line`, null)
    if (this.#base !== null && (this.#base + 1 !== first || this.#lastSeq !== last)) {
      this.#blame(`its name says ${first} to ${last}, and it has ${this.#base + 1} to ${this.#lastSeq}`, null)
    }
  }

  /** `isAll`: nothing that is kept was left out. */
  result(isAll: boolean): Verified {
    if (isAll) this.#checkAuditStart()
    let leases = 0
    for (const _ of this.#state.leases()) leases++
    return {
      records: this.#records,
      segments: this.#segments,
      bytes: this.#total,
      firstSeq: this.#firstSeq,
      lastSeq: this.#lastSeq,
      leases,
      tornBytes: this.#torn,
      foreign: this.#foreign,
      faults: this.#faults,
      moreFaults: this.#faultCount - this.#faults.length,
    }
  }

  /** Hands over each complete line; returns how many bytes follow the last one. One buffer for all of it: memory stays flat. */
  #readLines(fd: number, size: number): number {
    let position = 0
    let kept = 0
    for (;;) {
      const wanted = Math.min(this.#buffer.length - kept, size - position - kept)
      const filled = kept + this.#fill(fd, kept, wanted, position + kept)
      const bytes = this.#buffer.subarray(0, filled)
      const end = endOfLines(bytes)
      eachLine(bytes.subarray(0, end), 0, (start, stop) => {
        this.#line++
        this.#offset = position + start
        this.#takeLine(bytes, start, stop)
        return true
      })
      position += end
      kept = filled - end
      if (kept > 0) this.#carryOver(end, filled)
      this.#onProgress(this.#done + position, this.#total)
      if (position + kept >= size || filled < wanted) break
    }
    this.#done += size
    this.#line++
    this.#offset = position
    // An append that was cut short ends within its line. A whole record and then another byte than its newline is something else.
    if (kept > 1 && typeof unseal(this.#buffer, 0, kept - 1) !== 'string') this.#blame('the newline after it is gone', null)
    return kept
  }

  #fill(fd: number, at: number, length: number, position: number): number {
    let filled = 0
    while (filled < length) {
      const count = this.#disk.readSync(fd, this.#buffer, at + filled, length - filled, position + filled)
      if (count === 0) break
      filled += count
    }
    return filled
  }

  /** Moves the beginning of a line to the front; one that fills the buffer is damaged, but it has an end all the same. */
  #carryOver(from: number, to: number): void {
    const buffer = from === 0 && to === this.#buffer.length ? Buffer.allocUnsafeSlow(2 * to) : this.#buffer
    this.#buffer.copy(buffer, 0, from, to)
    this.#buffer = buffer
  }

  #takeLine(bytes: Buffer, start: number, stop: number): void {
    const read = unseal(bytes, start, stop)
    if (typeof read === 'string') {
      this.#blame(read, null)
      this.#lose()
      if (this.#checkpointLeft > 0) this.#checkpointLeft--
      return
    }
    const { record, sum } = read
    if (this.#base === null) {
      if (record.op === 'segment') return this.#open(record, sum)
      this.#blame('a segment begins with another line', record.seq)
      this.#base = record.seq - 1
      this.#lose()
    }
    if (this.#position !== null && record.prev !== this.#position.sum) {
      this.#blame('it does not continue the line before it', record.seq)
      this.#lose()
    }
    if (this.#checkpointLeft > 0) this.#takeCheckpointLine(record, sum)
    else this.#takeRecord(record, sum)
  }

  /** The thread is lost: what comes next is judged by itself, until a checkpoint says what is held. */
  #lose(): void {
    this.#position = null
    this.#sound = false
    this.#trail.clear()
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  #open(record: any, sum: string): void {
    const first = this.#segments === 1
    const continues = !first && this.#position !== null && record.base_seq === this.#lastSeq && record.prev === this.#position.sum
    if (!first && !continues) {
      const why = this.#breakBefore(record.base_seq)
      if (why !== null) this.#seam.push(this.#fault(why, record.base_seq))
      this.#lose()
    }
    this.#base = record.base_seq
    this.#firstBase ??= record.base_seq
    this.#checkpointLeft = record.live + record.past + (record.sessions ?? 0) + record.ops
    this.#checkpoint = new Checkpoint(record, continues && this.#sound ? this.#state : null, continues ? this.#trail : null)
    this.#position = { seq: record.base_seq, sum }
    this.#lastSeq = record.base_seq
    this.#sound = true
    for (const wrong of this.#checkpoint.headFaults(record)) this.#seam.push(this.#fault(wrong, record.base_seq))
    if (this.#checkpointLeft === 0) this.#closeCheckpoint()
  }

  /** Why a segment that continues `base` does not follow; null where retention removed what was between, now or while it was read. */
  #breakBefore(base: number): string | null {
    if (base <= this.#lastSeq) return 'it does not continue the segment before it'
    if (base <= (removedThrough(this.#disk, this.#layout) ?? 0)) return null
    return `records ${this.#lastSeq + 1} to ${base} are missing before it`
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  #takeCheckpointLine(record: any, sum: string): void {
    this.#checkpointLeft--
    this.#position = { seq: record.seq, sum }
    const wrong = record.seq === this.#base ? this.#checkpoint?.take(record) : 'it is not part of the checkpoint that the segment announces'
    if (wrong !== null && wrong !== undefined) this.#seam.push(this.#fault(wrong, record.seq))
    if (this.#checkpointLeft === 0) this.#closeCheckpoint()
  }

  #closeCheckpoint(): void {
    const checkpoint = this.#checkpoint!
    for (const wrong of checkpoint.missing()) this.#seam.push(this.#fault(wrong, this.#base))
    this.#state = checkpoint.state
    this.#checkpoint = null
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  #takeRecord(record: any, sum: string): void {
    const { seq, prev } = record
    const entry = entryFromWire(record)
    if (this.#seam.length > 0) this.#settleSeam(entry)
    const gap = this.#position === null && seq > this.#lastSeq ? null : gapBefore(record, this.#lastSeq)
    if (gap !== null) this.#blame(gap, seq)
    this.#records++
    if (this.#firstSeq === 0) this.#firstSeq = seq
    this.#lastSeq = seq
    this.#position = { seq, sum }
    if (entry === null) {
      this.#foreign ??= { seq, op: String(record.op) }
      this.#sound = false
      return
    }
    const wrong = this.#sound && gap === null ? breach(this.#state, entry) : null
    if (wrong !== null) this.#blame(wrong, seq)
    this.#state.apply(entry)
    if (entry.operation.opId !== null) this.#trail.add(seq, prev, sum)
  }

  /** A log that was made after the old one was lost continues what was known then, which need not be where the archive ends. */
  #settleSeam(first: Entry | null = null): void {
    const forgiven = first?.operation.op === 'repair' && first.operation.reason.startsWith(lostLogReason)
    if (!forgiven) for (const fault of this.#seam) this.#keep(fault)
    this.#seam = []
  }

  /** What retention removed is on record, in the first line of the log; whatever else is missing before the oldest segment is a hole. */
  #checkAuditStart(): void {
    const removed = removedThrough(this.#disk, this.#layout)
    if (this.#firstBase === null || removed === null || this.#firstBase <= removed) return
    this.#line = 0
    this.#blame(`records ${removed + 1} to ${this.#firstBase} should still be in the archive`, removed + 1)
  }

  #fault(message: string, seq: unknown): VerifyFault {
    const known = this.#line > 0
    return {
      file: this.#file,
      line: known ? this.#line : null,
      offset: known ? this.#offset : null,
      seq: typeof seq === 'number' ? seq : null,
      message,
    }
  }

  #blame(message: string, seq: unknown): void {
    this.#keep(this.#fault(message, seq))
  }

  #keep(fault: VerifyFault): void {
    this.#faultCount++
    if (this.#faults.length < maxFaults) this.#faults.push(fault)
  }
}

/** Where recent commands are in the chain, by which a checkpoint's copies of their records are recognised. */
class Trail {
  /** As many as a checkpoint carries. */
  static readonly #kept = 10_000
  #seqs: number[] = []
  #prevs: string[] = []
  #sums: string[] = []

  add(seq: number, prev: string, sum: string): void {
    this.#seqs.push(seq)
    this.#prevs.push(prev)
    this.#sums.push(sum)
    if (this.#seqs.length > 2 * Trail.#kept) {
      this.#seqs = this.#seqs.slice(-Trail.#kept)
      this.#prevs = this.#prevs.slice(-Trail.#kept)
      this.#sums = this.#sums.slice(-Trail.#kept)
    }
  }

  clear(): void {
    this.#seqs = []
    this.#prevs = []
    this.#sums = []
  }

  /** Is this the record that stood in the log? A record that is older than the trail is believed. */
  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  isGenuine(record: any): boolean {
    const { schema_version, seq, ...rest } = record
    if (this.#seqs.length === 0 || seq < this.#seqs[0]!) return true
    const at = this.#find(seq)
    return this.#seqs[at] === seq && seal({ schema_version, seq, prev: this.#prevs[at], ...rest }).sum === this.#sums[at]
  }

  #find(seq: number): number {
    let low = 0
    let high = this.#seqs.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#seqs[middle]! < seq) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** A checkpoint while it is read, compared with the state that it repeats; `before` is null where that is not known. */
class Checkpoint {
  readonly state: FullState
  readonly #before: FullState | null
  readonly #trail: Trail | null

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  constructor(record: any, before: FullState | null, trail: Trail | null) {
    this.state = new FullState(record.base_seq, { current: record.clk, seen: record.clocks })
    this.#before = before
    this.#trail = trail
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  headFaults(record: any): readonly string[] {
    if (this.#before === null) return []
    const same = JSON.stringify({ current: record.clk, seen: record.clocks }) === JSON.stringify(this.#before.clocks)
    return same ? [] : ['the checkpoint has other clocks than the records before it']
  }

  /** Takes a line of it; returns how it differs. */
  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  take(record: any): string | null {
    switch (record.op) {
      case 'live': {
        const lease = leaseFromStored(record.lease)
        const { resource } = lease
        this.state.put(resource, { ...this.state.slot(resource), lease })
        const known = this.#before?.slot(resource).lease
        if (known === undefined) return null
        if (known === null) return `the checkpoint has a lease on ${resource} that the records before it do not grant`
        return JSON.stringify(leaseToStored(known)) === JSON.stringify(record.lease)
          ? null
          : `the checkpoint's lease on ${resource} is not the one that was granted`
      }
      case 'past': {
        const past = pastFromStored(record.past)
        const { resource } = past
        this.state.put(resource, { ...this.state.slot(resource), past })
        const known = this.#before?.slot(resource).past
        if (known === undefined) return null
        const same = known !== null && JSON.stringify(pastToStored(known)) === JSON.stringify(record.past)
        return same ? null : `the checkpoint says of ${resource} that it ended otherwise than the records before it say`
      }
      case 'session': {
        const session = sessionFromWire(record.session)
        const key = sessionKey(session.sessionId)
        this.state.put(key, { ...this.state.slot(key), session })
        const known = this.#before?.slot(key).session
        const same = known === undefined || (known !== null && JSON.stringify(sessionToWire(known)) === JSON.stringify(record.session))
        return same ? null : `the checkpoint says of session ${session.sessionId} otherwise than the records before it say`
      }
      case 'ops':
        return this.#takeCommands(record.records)
      default:
        return 'it is not part of the checkpoint that the segment announces'
    }
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  #takeCommands(records: readonly any[]): string | null {
    const wrong = this.#trail === null ? undefined : records.find(record => !this.#trail!.isGenuine(record))
    return wrong === undefined ? null : `the checkpoint remembers another command than record ${wrong.seq} was`
  }

  /** What the records before it left and the checkpoint does not have. Only ends that carry no outcome may be forgotten. */
  *missing(): Generator<string> {
    if (this.#before === null) return
    for (const { resource, token } of this.#before.leases()) {
      if (this.state.slot(resource).lease === null) yield `the checkpoint lacks the lease on ${resource} (token ${token})`
    }
    for (const { sessionId } of this.#before.sessions()) {
      if (this.state.slot(sessionKey(sessionId)).session === null) yield `the checkpoint lacks the session ${sessionId}`
    }
    for (const { resource, outcome } of this.#before.pasts()) {
      if (outcome !== null && this.state.slot(resource).past === null) yield `the checkpoint forgets that ${resource} ended as ${outcome}`
    }
  }
}
