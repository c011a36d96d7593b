import type { Stamp } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { schemaVersion } from '../../core/operation.ts'
import { isoFromMs } from '../../core/time.ts'
import type { Wire } from '../../core/wire.ts'
import { sessionKey } from '../../core/session.ts'
import {
  entryFromWire,
  entryToWire,
  leaseFromStored,
  leaseToStored,
  pastFromStored,
  pastToStored,
  sessionFromWire,
  sessionToWire,
} from '../../core/wire.ts'
import { FullState } from '../state.ts'
import { seal } from './record.ts'

// A segment is self-contained: a `segment` line, then the checkpoint it announces (`live`, `past`, `session` and `ops` lines), then records.
// The lines of the checkpoint repeat what older records said, so they take no sequence number of their own: they carry the base's.

/** Where a chain stands: the next line must follow this one. */
export interface Position {
  readonly seq: number
  readonly sum: string
}

/** The first line of a segment. */
export interface SegmentHead {
  readonly baseSeq: number
  readonly live: number
  readonly past: number
  /** Sessions that have not ended; absent where a version that knew none wrote it. */
  readonly sessions: number
  readonly ops: number
  readonly space: string
  /** Oldest sequence number still in the archive when this segment began. */
  readonly auditFrom: number
}

/** A record of a newer version: it can be shown, and nothing may be written beside it. */
export interface Foreign {
  readonly seq: number
  readonly op: string
  readonly schemaVersion: number
}

/** Reads a segment line by line into the state it describes. */
export class SegmentFold {
  head: SegmentHead | null = null
  state = new FullState()
  position: Position
  foreign: Foreign | null = null
  /** Records after the checkpoint. */
  records = 0
  #checkpointLeft = 0
  readonly #remembers: boolean
  /** Remembered commands of the checkpoint, as they are written. */
  readonly #carried: unknown[] = []
  readonly #since: Entry[] = []

  /** `remembers`: are the remembered commands wanted? Only a rotation carries them on, and to keep every record makes memory the cost. */
  constructor(prev: string, remembers = false) {
    this.position = { seq: 0, sum: prev }
    this.#remembers = remembers
  }

  /** Is the checkpoint complete? */
  get isOpen(): boolean {
    return this.head !== null && this.#checkpointLeft === 0
  }

  /** Remembered commands, oldest first, if they were wanted. */
  get remembered(): readonly Entry[] {
    return [...this.#carried.map(entryFromWire).filter(entry => entry !== null), ...this.#since]
  }

  /** Takes the next line; returns why it cannot be the next one, or null. */
  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  take(record: any, sum: string): string | null {
    if (this.head === null) return this.#open(record, sum)
    if (record.prev !== this.position.sum) return 'it does not continue the line before it'
    if (this.#checkpointLeft > 0) return this.#checkpoint(record, sum)
    const gap = gapBefore(record, this.position.seq)
    if (gap !== null) return gap
    this.position = { seq: record.seq, sum }
    this.records++
    const entry = entryFromWire(record)
    if (entry === null) {
      this.foreign ??= { seq: record.seq, op: String(record.op), schemaVersion: Number(record.schema_version) }
      return null
    }
    this.state.apply(entry)
    if (this.#remembers && entry.operation.opId !== null) this.#since.push(entry)
    return null
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  #open(record: any, sum: string): string | null {
    if (record.op !== 'segment') return 'a segment begins with another line'
    this.head = {
      baseSeq: record.base_seq,
      live: record.live,
      past: record.past,
      sessions: record.sessions ?? 0,
      ops: record.ops,
      space: record.space,
      auditFrom: record.audit_from,
    }
    this.#checkpointLeft = record.live + record.past + (record.sessions ?? 0) + record.ops
    this.state = new FullState(record.base_seq, { current: record.clk, seen: record.clocks })
    this.position = { seq: record.base_seq, sum }
    return null
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  #checkpoint(record: any, sum: string): string | null {
    if (record.seq !== this.position.seq) return 'it is not part of the checkpoint that the segment announces'
    switch (record.op) {
      case 'live': {
        const lease = leaseFromStored(record.lease)
        this.state.put(lease.resource, { ...this.state.slot(lease.resource), lease })
        break
      }
      case 'past': {
        const past = pastFromStored(record.past)
        this.state.put(past.resource, { ...this.state.slot(past.resource), past })
        break
      }
      case 'session': {
        const session = sessionFromWire(record.session)
        const key = sessionKey(session.sessionId)
        this.state.put(key, { ...this.state.slot(key), session })
        break
      }
      case 'ops':
        if (this.#remembers) this.#carried.push(...record.records)
        break
      default:
        return 'it is not part of the checkpoint that the segment announces'
    }
    this.#checkpointLeft--
    this.position = { seq: this.position.seq, sum }
    return null
  }
}

/** Sequence numbers have no gaps, except where a repair says what was cut. */
export function gapBefore(
  record: { readonly seq: unknown; readonly op: unknown; readonly last_good_seq?: unknown },
  lastSeq: number,
): string | null {
  if (record.seq === lastSeq + 1) return null
  const declared = record.op === 'repair' && typeof record.seq === 'number' && record.seq > lastSeq && record.last_good_seq === lastSeq
  return declared ? null : `its seq is ${String(record.seq)} where ${lastSeq + 1} is expected`
}

/** A record's line, chained to `prev`. */
export function sealEntry(entry: Entry, prev: string): { readonly line: string; readonly sum: string } {
  return seal(entryToWire(entry, prev))
}

export interface CheckpointInput {
  readonly state: FullState
  readonly remembered: readonly Entry[]
  readonly position: Position
  readonly space: string
  readonly auditFrom: number
  readonly clk: Stamp
  /** Wall clock, milliseconds. */
  readonly at: number
}

/** Most of a line that remembered commands fill; a line ends at 64 KiB. */
const opsBytesPerLine = 24_576

/** The lines of a new segment that continues `position`, as pieces, and the sum of the last one. */
export function sealCheckpoint(input: CheckpointInput): { readonly lines: readonly string[]; readonly sum: string } {
  const { state, remembered, position } = input
  const leases = [...state.leases()]
  const pasts = [...state.pasts()]
  const sessions = [...state.sessions()]
  const chunks = chunked(remembered.map(entry => entryToWire(entry)))
  const common = { schema_version: schemaVersion, seq: position.seq }
  const stamped = { at: isoFromMs(input.at), clk: input.clk }
  const lines: string[] = []
  let sum = position.sum
  const add = (rest: Wire): void => {
    const sealed = seal({ ...common, prev: sum, ...stamped, ...rest })
    lines.push(sealed.line)
    sum = sealed.sum
  }
  add({
    op: 'segment',
    base_seq: position.seq,
    live: leases.length,
    past: pasts.length,
    ...(sessions.length === 0 ? {} : { sessions: sessions.length }),
    ops: chunks.length,
    space: input.space,
    audit_from: input.auditFrom,
    clocks: state.clocks.seen,
  })
  for (const lease of leases) add({ op: 'live', lease: leaseToStored(lease) })
  for (const past of pasts) add({ op: 'past', past: pastToStored(past) })
  for (const session of sessions) add({ op: 'session', session: sessionToWire(session) })
  for (const chunk of chunks) add({ op: 'ops', records: chunk })
  return { lines, sum }
}

function chunked(records: readonly Wire[]): readonly (readonly Wire[])[] {
  const chunks: Wire[][] = []
  let filled = opsBytesPerLine
  for (const record of records) {
    const size = JSON.stringify(record).length
    if (filled + size > opsBytesPerLine) {
      chunks.push([])
      filled = 0
    }
    chunks.at(-1)!.push(record)
    filled += size
  }
  return chunks
}
