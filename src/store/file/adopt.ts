import path from 'node:path'
import { Fault, usage } from '../../core/fault.ts'
import { makePolicy } from '../../core/policy.ts'
import { syncDirectory } from '../../host/disk.ts'
import type { Adopted, Adoption, LimitChange } from '../maintenance.ts'
import { FullState } from '../state.ts'
import { listArchive } from './archive.ts'
import { spaceId } from './create.ts'
import type { Format } from './directory.ts'
import { lookAt, makeDirectories, readFlags, readFormat, refuseCopy, refuseNewerFormat, removeIfPresent, writeFormat } from './directory.ts'
import { loadWhole } from './load.ts'
import { firstPrev } from './record.ts'
import type { Position } from './segment.ts'
import { findRemains, keepLog, writeNewLog } from './restore.ts'
import { unpoison } from './session.ts'
import type { FileStore } from './store.ts'

/**
 * Accepts a directory that is not the one its store was made in. After a move the leases are still true; after a copy they are the
 * original's, so the copy begins a set of its own, with larger numbers, and the copied records go to `quarantine/`. Nothing happens
 * when the directory is the right one.
 */
export async function adopt(store: FileStore, how: Adoption): Promise<Adopted> {
  const { layout, options } = store
  if (how === 'restored') throw usage('that is for backups of etcd', 'a directory that was put back: lh doctor, then lh doctor --moved')
  if (lookAt(options.disk, layout.directory) === null || lookAt(options.disk, layout.format) === null) throw nothingToAdopt(store)
  return store.lockedOnly(`doctor --${how}`, () => {
    const format = readFormat(options.disk, layout)
    if (format === null) throw nothingToAdopt(store)
    refuseNewerFormat(format, true)
    if (isHere(store, format)) return { changed: false, space: format.space, quarantine: null, lastSeq: endOf(store).position.seq }
    makeDirectories(options.disk, layout, store.modes)
    return how === 'moved' ? adoptMoved(store, format) : adoptCopied(store, format)
  })
}

const nothingToAdopt = ({ layout }: FileStore): Fault =>
  new Fault('unavailable', `there is no store in ${layout.directory} that could have been moved or copied`, {
    hint: 'see: lh doctor',
    details: { outcome: 'nothing_changed' },
  })

const isHere = ({ layout, options: { disk } }: FileStore, format: Format): boolean => disk.lstatSync(layout.directory).ino === format.inode

function adoptMoved(store: FileStore, format: Format): Adopted {
  sign(store, format)
  return { changed: true, space: format.space, quarantine: null, lastSeq: endOf(store).position.seq }
}

/**
 * Each step leaves a directory that still does not match its `format`, so nobody writes into it, and after a crash the command can be
 * given again; the last step is `format`.
 */
function adoptCopied(store: FileStore, format: Format): Adopted {
  const { layout, modes } = store
  const { disk, clock } = store.options
  const now = clock.now()
  const space = spaceId()
  const { position, highest } = endOf(store)
  const quarantine = lookAt(disk, layout.log) === null ? null : keepLog(disk, layout, now)
  for (const { file } of listArchive(disk, layout)) disk.renameSync(file, path.join(layout.quarantine, path.basename(file)))
  syncDirectory(disk, layout.quarantine)
  syncDirectory(disk, layout.archive)
  writeNewLog(disk, layout, modes, now, {
    state: new FullState(),
    position,
    space,
    firstSeq: highest + 1,
    reason: "the store is a copy: its leases were the original's",
    cutBytes: 0,
    cutLines: 0,
    quarantine,
  })
  removeIfPresent(disk, layout.index)
  removeLocks(store)
  unpoison(disk, layout)
  sign(store, { ...format, space })
  return { changed: true, space, quarantine: quarantine === null ? null : `quarantine/${quarantine}`, lastSeq: highest + 1 }
}

/** Files of liveness locks were copied too; the processes that hold the locks did not come along. */
function removeLocks({ layout, options: { disk } }: FileStore): void {
  for (const name of disk.readdirSync(layout.locks)) if (/^(live|reserve)-/.test(name)) removeIfPresent(disk, path.join(layout.locks, name))
}

/** `format` for the directory as it is now. */
function sign(store: FileStore, format: Format): void {
  const { dev, ino } = store.options.disk.lstatSync(store.layout.directory)
  writeFormat(store.options.disk, store.layout, { ...format, device: dev, inode: ino }, store.modes)
}

/** Where the log ends, and the largest number that anything here speaks of. */
function endOf({ layout, options: { disk } }: FileStore): { readonly position: Position; readonly highest: number } {
  const { highest, position: known } = findRemains(disk, layout)
  if (lookAt(disk, layout.log)?.isFile() !== true) return { position: known, highest }
  const fd = disk.openSync(layout.log, readFlags)
  try {
    const { fold, position } = loadWhole(disk, fd, disk.fstatSync(fd).size)
    const end = fold?.isOpen === true ? position : { seq: highest, sum: firstPrev }
    return { position: end, highest: Math.max(highest, end.seq) }
  } finally {
    disk.closeSync(fd)
  }
}

/** Changes the limits that all worktrees share. False when there is no store yet, or nothing to change. */
export async function setLimits(store: FileStore, change: LimitChange): Promise<boolean> {
  const { layout, modes, options } = store
  store.refuseAbsent()
  if (lookAt(options.disk, layout.format) === null) return false
  return store.lockedOnly('config set', () => {
    const format = readFormat(options.disk, layout)
    if (format === null) return false
    refuseNewerFormat(format, true)
    refuseCopy(format, layout, options.disk.lstatSync(layout.directory))
    const limits = { ...format.limits, ...change }
    const { max_indefinite_leases_per_agent: maxIndefinitePerAgent, max_indefinite_leases_per_repo: maxIndefinitePerRepo } = limits
    makePolicy({ maxIndefinitePerAgent, maxIndefinitePerRepo })
    if (JSON.stringify(limits) === JSON.stringify(format.limits)) return false
    writeFormat(options.disk, layout, { ...format, limits }, modes)
    return true
  })
}
