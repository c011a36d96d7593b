import path from 'node:path'
import { Fault } from '../../core/fault.ts'
import type { Instant } from '../../core/lease.ts'
import type { RepairOperation } from '../../core/operation.ts'
import { bootOf } from '../../host/clock.ts'
import { readFully, syncDirectory, writeFully } from '../../host/disk.ts'
import { listArchive } from './archive.ts'
import { createFile } from './directory.ts'
import type { Layout, Modes } from './directory.ts'
import type { Damage, Loaded } from './load.ts'
import type { Session } from './session.ts'

/** No damaged digit may push the sequence further than this beyond what was seen. */
const maxJump = 1_000_000

/** Throws `unavailable` when this version may not write beside what the log contains. */
export function refuseForeign(loaded: Loaded, layout: Layout): void {
  const { foreign } = loaded
  if (foreign === null) return
  throw new Fault(
    'unavailable',
    `${layout.log} contains "${foreign.op}" (seq ${foreign.seq}, schema ${foreign.schemaVersion}), which this version does not know`,
    {
      hint: 'upgrade leasehold; nothing was changed',
      details: { outcome: 'nothing_changed' },
    },
  )
}

/**
 * May a writer cut this damage by itself? Only what a power loss can have done: nothing intact follows, and the machine was started
 * again since the last whole record. In the same boot the page cache is coherent, so it was an editor, a bug or a dying disk.
 * Never in a checkpoint: it was synced before it got its name, and what it lists would be free without it.
 */
export const isPowerLoss = (loaded: Loaded, damage: Damage, now: Instant): boolean =>
  damage.intactAfter === 0 && loaded.fold?.isOpen === true && bootOf(loaded.state.clocks.current.b) !== bootOf(now.b)

/** Says where the log is damaged and what to do. */
export const damageFault = (layout: Layout, damage: Damage): Fault =>
  new Fault('unavailable', `${layout.log} is damaged at line ${damage.line} (byte ${damage.offset}): ${damage.reason}`, {
    hint: `what is held is unknown and nothing was changed; see: lh doctor, and to cut the log there: lh recover --cut`,
    details: { outcome: 'nothing_changed', line: damage.line, offset: damage.offset, intact_lines_after: damage.intactAfter },
  })

/**
 * Has a log lost its end in this boot, and not with the power? That may take records which an index was made of before they were synced,
 * and nobody was told of: then it goes on, as after any torn end.
 */
export const isCutShort = ({ lost }: Pick<Loaded, 'lost'>, now: Instant): boolean => lost !== null && bootOf(lost.b) === bootOf(now.b)

/** Throws `unavailable` for such a log. */
export function refuseCutShort(loaded: Loaded, layout: Layout, now: Instant): void {
  const { lost, position } = loaded
  if (lost === null || !isCutShort(loaded, now)) return
  throw new Fault(
    'unavailable',
    `${layout.log} ends at record ${position.seq}, and its own index was made at record ${lost.seq}: whole lines were taken off its end`,
    {
      hint: 'what is held is unknown and nothing was changed; put the log back from a backup, or have its numbers pass over what is lost: lh recover',
      details: { outcome: 'nothing_changed', last_good_seq: position.seq },
    },
  )
}

/**
 * Cuts everything after the last whole record: first a copy into `quarantine/`, then the cut, then a `repair` record. Cutting twice
 * does no harm. After whole lines were cut the sequence jumps beyond every number seen anywhere, so that no token is given twice.
 */
export function cutTail(session: Session, modes: Modes, now: Instant, reason: string): RepairOperation {
  const { disk, fd, loaded } = session
  const bytes = readFully(disk, fd, loaded.end, loaded.size - loaded.end)
  const cutLines = countLines(bytes)
  const operation: RepairOperation = {
    op: 'repair',
    actor: 'system',
    opId: null,
    reason,
    cutBytes: bytes.length,
    cutLines,
    quarantine: quarantine(session, modes, bytes, now),
    lastGoodSeq: loaded.position.seq,
  }
  disk.ftruncateSync(fd, loaded.end)
  const next = cutLines === 0 ? loaded.position.seq + 1 : highestSeq(session, bytes) + 1
  session.append(operation, now, next)
  return operation
}

function quarantine({ disk, layout, loaded }: Session, modes: Modes, bytes: Buffer, now: Instant): string {
  // With the monotonic clock in it, since a writer that is stopped and tries again has the same position, pid and perhaps wall clock.
  const name = `claims-${loaded.position.seq}-${now.wall}-${process.pid}-${process.hrtime().join('')}.bin`
  const fd = createFile(disk, path.join(layout.quarantine, name), modes.file)
  try {
    const { error } = writeFully(disk, fd, bytes)
    if (error !== null) throw error
    disk.fsyncSync(fd)
  } finally {
    disk.closeSync(fd)
  }
  syncDirectory(disk, layout.quarantine)
  return name
}

function countLines(bytes: Buffer): number {
  let lines = 0
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) lines++
  return lines
}

/** The largest sequence number in what was cut, what is kept and the archive. */
function highestSeq({ disk, layout, loaded }: Session, cut: Buffer): number {
  const last = loaded.position.seq
  let highest = Math.max(last, ...listArchive(disk, layout).map(({ last: archived }) => archived))
  for (const match of cut.toString('latin1').matchAll(/"(?:seq|token)":(\d{1,15})/g)) {
    const seen = Number(match[1])
    if (seen <= last + maxJump) highest = Math.max(highest, seen)
  }
  return highest
}
