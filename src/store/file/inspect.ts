import fs from 'node:fs'
import path from 'node:path'
import { isFault } from '../../core/fault.ts'
import type { Lease } from '../../core/lease.ts'
import { isStale } from '../../core/lease.ts'
import { isOver } from '../../core/ownership.ts'
import { launchedWith } from '../../core/standing.ts'
import { shellWord } from '../../core/shell-word.ts'
import { writeFully } from '../../host/disk.ts'
import { isUnreadable } from '../../host/files.ts'
import { pidNamespace, processStartTicks, processState, vitality } from '../../host/process.ts'
import { refuseMoved } from '../moved.ts'
import type { Finding, InspectOptions } from '../maintenance.ts'
import type { Reading } from '../store.ts'
import { listArchive, readLines, removedThrough } from './archive.ts'
import type { Format } from './directory.ts'
import {
  accessFault,
  createFile,
  isEmpty,
  lookAt,
  readFlags,
  readFormat,
  readMove,
  refuseCopy,
  refuseNewerFormat,
  refuseStrangeDirectory,
  refuseUnsafeFileSystem,
  removeIfPresent,
} from './directory.ts'
import { readLockHolder } from './exclusive.ts'
import { leftovers, withoutDoubles } from './leftovers.ts'
import type { Loaded } from './load.ts'
import { loadWhole } from './load.ts'
import { limitsFault } from './open-log.ts'
import { isCutShort, isPowerLoss } from './repair.ts'
import { lostLogReason, soundIndex } from './restore.ts'
import { bootOperation, isPoisoned } from './session.ts'
import type { FileStore } from './store.ts'
import { verifyNewest } from './verify.ts'

/** Less free space than this is said, bytes: a few full segments and their successors. */
const lowBytes = 64 * 1024 * 1024

/** A lock is held for a fraction of a millisecond; one that is still held after this long is worth a word. */
const longHoldMs = 2000
const patienceMs = 250

/** So much of the archive is read each time, bytes: a fraction of a second. */
const historyBytes = 8 * 1_048_576

type Found = Iterable<Finding>

/** Looks at everything that can be wrong with a store, and changes nothing that stays. What a check itself fails of is a finding too. */
export async function inspect(store: FileStore, options: InspectOptions): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  const run = (check: () => Found): void => {
    try {
      findings.push(...check())
    } catch (error) {
      findings.push(failed(store, error))
    }
  }
  let directory: fs.Stats | null
  try {
    store.refuseAbsent()
    directory = lookAt(store.options.disk, store.layout.directory)
  } catch (cause) {
    return [failed(store, cause, 'store-absent')]
  }
  if (directory === null) {
    run(() => fileSystem(store, path.dirname(store.layout.directory), null))
    run(() => (store.ready(), []))
    run(() => [info('no-store', store.layout.directory, 'there is no store here yet; the first claim makes it', null)])
    return findings
  }
  run(() => directories(store))
  if (findings.some(({ severity }) => severity === 'error')) return findings
  const format = quietly(() => readFormat(store.options.disk, store.layout))
  const loaded = quietly(() => loadLog(store))
  run(() => fileSystem(store, store.layout.directory, format))
  run(() => writing(store))
  run(() => formatFile(store))
  run(() => log(store, loaded))
  run(() => index(store, loaded))
  run(() => remains(store, loaded))
  run(() => history(store, loaded))
  for (const finding of await lockHolder(store).catch(error => [failed(store, error)])) findings.push(finding)
  const reading = await store.view().catch(() => null)
  if (reading !== null) {
    run(() => clocks(store, reading, loaded))
    run(() => leases(reading, options))
  }
  return findings
}

const finding = (
  severity: Finding['severity'],
  code: string,
  file: string | null,
  message: string,
  fix: string | null,
  line: number | null = null,
): Finding => ({
  severity,
  code,
  file,
  line,
  message,
  fix,
})
const error = finding.bind(null, 'error')
const warning = finding.bind(null, 'warning')
const info = finding.bind(null, 'info')

/** A fault as a finding. */
function failed({ layout }: FileStore, cause: unknown, code = 'check-failed'): Finding {
  const { syscall, path: file } = cause as NodeJS.ErrnoException
  if (code === 'check-failed' && isUnreadable(cause) && syscall === 'open' && file !== undefined) return unreadable(file)
  const said = accessFault(cause, layout.directory)
  if (isFault(said)) return error(code, layout.directory, said.message, said.hint ?? null)
  return error(code, layout.directory, said instanceof Error ? said.message : String(said), null)
}

/** Who may not read a file that is there, and who may. */
function unreadable(file: string): Finding {
  const { uid, gid, mode } = fs.lstatSync(file)
  const { uid: owner, gid: group } = fs.lstatSync(path.dirname(file))
  const who = `user ${process.geteuid?.() ?? '?'}`
  const message = `${file} cannot be read by ${who}: it belongs to user ${uid} and group ${gid}, with mode ${(mode & 0o777).toString(8).padStart(4, '0')}`
  const mend = uid === owner && gid === group ? `chmod u+rw ${shellWord(file)}` : `chown ${owner}:${group} ${shellWord(file)}`
  return error('unreadable', file, message, `as its owner or root: ${mend}`)
}

function quietly<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

function loadLog({ layout, options: { disk } }: FileStore): Loaded | null {
  if (lookAt(disk, layout.log)?.isFile() !== true) return null
  const fd = disk.openSync(layout.log, readFlags)
  try {
    return loadWhole(disk, fd, disk.fstatSync(fd).size)
  } finally {
    disk.closeSync(fd)
  }
}

// ── the place ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function* directories(store: FileStore): Found {
  const { layout } = store
  const { disk } = store.options
  for (const directory of [layout.directory, layout.locks, layout.archive, layout.quarantine]) {
    const stat = lookAt(disk, directory)
    // Other things of ours lie in that directory too, before the first claim makes the store.
    if (stat === null && isEmpty(disk, layout)) continue
    if (stat === null) yield warning('directory-missing', directory, `${directory} is missing`, 'lh recover')
    else
      try {
        refuseStrangeDirectory(disk, directory, stat)
      } catch (cause) {
        yield failed(store, cause, 'directory-unsafe')
      }
  }
  for (const file of [layout.log, layout.format, layout.index, layout.lock, layout.poisoned]) {
    const stat = lookAt(disk, file)
    if (stat === null) continue
    if (stat.isSymbolicLink())
      yield error(
        'symlink',
        file,
        `${file} is a symbolic link, which is never followed`,
        // Of the log it may be all that there is: removed with nothing in its place, the leases would be lost.
        `look where it leads (ls -l ${file}), and put that file itself in its place; if it leads nowhere: rm ${file}, then: lh recover`,
      )
    else if (!stat.isFile()) yield error('not-a-file', file, `${file} is not a file`, 'move it away, then: lh recover')
    else if ((stat.mode & 0o002) !== 0)
      yield warning('file-permissions', file, `${file} can be written by every user of this machine`, `chmod o-w ${file}`)
  }
}

function* fileSystem(store: FileStore, directory: string, format: Format | null): Found {
  const { fileSystemType, allowUnsafeFs } = store.options
  try {
    refuseUnsafeFileSystem(directory, fileSystemType(directory))
  } catch (cause) {
    const accepted = allowUnsafeFs || format?.unsafe_fs === true
    const found = failed(store, cause, 'unsafe-file-system')
    yield accepted ? { ...found, severity: 'warning', message: `${found.message}; somebody said to go on all the same` } : found
  }
  const { bavail, bsize } = fs.statfsSync(directory)
  const free = bavail * bsize
  if (free < lowBytes) {
    yield warning(
      'disk-low',
      directory,
      `only ${Math.floor(free / 1024)} KiB are free on the file system of ${directory}`,
      'make room; a claim on a full disk fails and changes nothing',
    )
  }
}

/** Can a file be made here, and does a lock on it keep a second descriptor out? Tried on a file of its own, gone at once. */
function* writing(store: FileStore): Found {
  const { layout, modes } = store
  const { disk, lock } = store.options
  const file = `${path.join(layout.directory, 'doctor')}.${process.pid}.${process.hrtime().join('')}.tmp`
  let first: number | null = null
  let second: number | null = null
  try {
    first = createFile(disk, file, modes.file)
    const { error: stopped } = writeFully(disk, first, Buffer.from('doctor\n'))
    if (stopped !== null) throw stopped
    second = disk.openSync(file, fs.constants.O_RDWR | fs.constants.O_NOFOLLOW)
    const excludes = lock.tryExclusive(first) && !lock.tryExclusive(second) && !lock.tryShared(second)
    if (excludes) lock.unlock(first)
    if (!excludes || !lock.tryShared(second)) {
      yield error(
        'locks-unreliable',
        layout.directory,
        `a file lock in ${layout.directory} does not keep others out`,
        'put the repository on a local disk',
      )
    }
  } catch (cause) {
    yield failed(store, cause, 'not-writable')
  } finally {
    for (const fd of [first, second]) if (fd !== null) disk.closeSync(fd)
    quietly(() => removeIfPresent(disk, file))
  }
}

function* formatFile(store: FileStore): Found {
  const { layout } = store
  const { disk } = store.options
  let format: Format | null
  try {
    format = readFormat(disk, layout)
  } catch (cause) {
    yield isUnreadable(cause) ? failed(store, cause) : error('format-damaged', layout.format, `${layout.format} is damaged`, 'lh recover')
    return
  }
  if (format === null && lookAt(disk, layout.log) !== null)
    yield error('format-missing', layout.format, `${layout.format} is missing beside a log`, 'lh recover')
  try {
    const note = readMove(disk, layout)
    refuseMoved(format === null ? note : format.move, store.location, true)
  } catch (cause) {
    yield failed(store, cause, 'moved')
  }
  if (format === null) return
  try {
    refuseNewerFormat(format, true)
  } catch (cause) {
    yield failed(store, cause, 'format-newer')
  }
  try {
    refuseCopy(format, layout, disk.lstatSync(layout.directory))
  } catch (cause) {
    yield failed(store, cause, 'copied-or-moved')
  }
  const otherLimits = limitsFault(format, store.options, layout)
  if (otherLimits !== null) yield failed(store, otherLimits, 'other-limits')
}

// ── the log ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

function* log(store: FileStore, loaded: Loaded | null): Found {
  const { layout } = store
  const { disk, clock } = store.options
  if (loaded === null && lookAt(disk, layout.log)?.isFile() === true) {
    // It is there, so what was thrown when it was read says why.
    loadLog(store)
    return
  }
  if (loaded === null) {
    const used = [layout.format, layout.index].some(file => lookAt(disk, file) !== null) || listArchive(disk, layout).length > 0
    if (used)
      yield error(
        'log-missing',
        layout.log,
        `${layout.log} is gone, although this store was in use: what is held is unknown`,
        'put it back from a backup, or: lh recover --cut',
      )
    return
  }
  const { damage, foreign, tornBytes } = loaded
  if (damage !== null) {
    const afterPowerLoss = isPowerLoss(loaded, damage, clock.now())
    const message = `the log is damaged at line ${damage.line} (byte ${damage.offset}): ${damage.reason}`
    if (afterPowerLoss)
      yield finding(
        'warning',
        'log-damaged',
        layout.log,
        `${message}; a power loss did that, and the next claim mends it`,
        'lh recover',
        damage.line,
      )
    else
      yield finding(
        'error',
        'log-damaged',
        layout.log,
        `${message}; what is held is unknown`,
        'see what would be lost: lh recover',
        damage.line,
      )
  } else if (tornBytes > 0) {
    yield info(
      'torn-tail',
      layout.log,
      `the last append was cut short (${tornBytes} bytes, never acknowledged); the next claim mends it`,
      'lh recover',
    )
  }
  if (foreign !== null) {
    yield error(
      'newer-records',
      layout.log,
      `record ${foreign.seq} ("${foreign.op}") is of a newer Leasehold: it can be shown here, and nothing can be claimed`,
      'upgrade leasehold',
    )
  }
}

function* index(store: FileStore, loaded: Loaded | null): Found {
  const { layout } = store
  const { disk, clock } = store.options
  if (lookAt(disk, layout.index) === null) return
  const sound = soundIndex(disk, layout)
  if (sound === null) {
    yield info(
      'index-damaged',
      layout.index,
      'the index is damaged; it is ignored, and commands are slower until it is made anew',
      'lh recover',
    )
    return
  }
  const { offset, position, space, clocks } = sound.header
  const isLater = (log: Loaded | null): boolean => log?.damage === null && log.space === space && position.seq > log.position.seq
  // Commands may have gone on since the log was read; one that is read after its index is never behind it.
  if (isLater(loaded) && isLater(loadLog(store))) {
    const { seq } = loaded!.position
    const refused = isCutShort({ lost: { seq: position.seq, b: clocks.current.b } }, clock.now())
    yield (refused ? error : warning)(
      'log-behind-index',
      layout.log,
      `the log ends at record ${seq}, and its own index was made at record ${position.seq}: records ${seq + 1} to ${position.seq} at least are lost` +
        (refused ? ', and nothing is granted meanwhile' : ', and their tokens would be given again'),
      'put the log back from a backup, or have the numbers pass over them: lh recover',
    )
  } else if (loaded?.damage === null && (offset > loaded.end || (loaded.space !== space && position.seq > loaded.position.seq))) {
    yield info('index-stale', layout.index, 'the index is about another log; it is ignored until it is made anew', 'lh recover')
  }
}

function* remains(store: FileStore, loaded: Loaded | null): Found {
  const { layout } = store
  const { disk, lock, clock } = store.options
  if (isPoisoned(disk, layout))
    yield warning(
      'poisoned',
      layout.poisoned,
      'the disk failed to sync the log; the next claim writes it anew',
      'lh recover, then look after that disk',
    )
  const quarantined = lookAt(disk, layout.quarantine) === null ? [] : disk.readdirSync(layout.quarantine)
  if (quarantined.length > 0) {
    const bytes = quarantined.reduce((sum, name) => sum + (lookAt(disk, path.join(layout.quarantine, name))?.size ?? 0), 0)
    yield info(
      'quarantine',
      layout.quarantine,
      `${quarantined.length} files (${bytes} bytes) were cut from logs and kept`,
      'delete them when nobody wants to look at them',
    )
  }
  const left = leftovers({
    disk,
    lock,
    layout,
    now: clock.now().wall,
    state: loaded?.state ?? null,
    base: loaded?.fold?.head?.baseSeq ?? null,
  })
  for (const file of left)
    yield info('leftover', file, `${path.relative(layout.directory, file)} was left behind and nobody uses it`, 'lh recover')
}

/** Everything that is kept, or what of it is newest: reading it must not take long. */
function* history(store: FileStore, loaded: Loaded | null): Found {
  const { layout, options } = store
  const gaps = [...archiveGaps(store, loaded)]
  yield* gaps
  // A log that cannot be read is said already.
  if (loaded === null && lookAt(options.disk, layout.log) !== null) return
  const told = new Set(gaps.map(({ file }) => file))
  // What is wrong with the log's own lines is said already.
  if (loaded === null || loaded.damage !== null) told.add(layout.log)
  const { verified, unread } = verifyNewest(options.disk, layout, historyBytes)
  for (const { file, line, message } of verified.faults) {
    if (told.has(file)) continue
    told.add(file)
    yield error('history-damaged', file, message, 'put it back from a backup; see everything that is wrong: lh verify', line)
  }
  if (unread.length > 0) {
    const bytes = unread.reduce((sum, each) => sum + each.bytes, 0)
    yield info(
      'history-unread',
      layout.archive,
      `${unread.length} older segments (${Math.ceil(bytes / 1_048_576)} MiB) of the archive were not read`,
      'to read all of it: lh verify',
    )
  }
}

/** Holes between segments, by their names. */
function* archiveGaps({ layout, options: { disk } }: FileStore, loaded: Loaded | null): Found {
  const head = loaded?.fold?.head ?? null
  const segments = withoutDoubles(listArchive(disk, layout), head?.baseSeq ?? null).map(({ file, first, last }) => ({ file, first, last }))
  if (head !== null) segments.push({ file: layout.log, first: head.baseSeq + 1, last: loaded!.position.seq })
  for (const [at, { file, first }] of segments.entries()) {
    const last = segments[at - 1]?.last ?? first - 1
    if (first <= last + 1 || first - 1 <= (removedThrough(disk, layout) ?? 0) || followsLoss({ layout, disk, file })) continue
    yield error(
      'archive-gap',
      file,
      `records ${last + 1} to ${first - 1} are missing from the archive: leases are right, their history is not`,
      'put them back from a backup; see: lh verify',
    )
  }
}

/** Does this segment begin by saying that the log before it was lost? */
function followsLoss({
  disk,
  file,
}: {
  readonly layout: unknown
  readonly disk: FileStore['options']['disk']
  readonly file: string
}): boolean {
  let base: number | null = null
  for (const { record } of readLines(disk, file)) {
    if (record === null) return false
    if (record.op === 'repair') return String(record.reason).startsWith(lostLogReason)
    // A checkpoint's lines have no number of their own, which tells its `session` lines from records.
    if (record.op === 'segment') base = record.base_seq
    else if (record.seq !== base) return false
  }
  return false
}

// ── who works with it ────────────────────────────────────────────────────────────────────────────────────────────────────

async function lockHolder({ layout, options: { disk, lock, clock } }: FileStore): Promise<readonly Finding[]> {
  if (lookAt(disk, layout.lock)?.isFile() !== true) return []
  const fd = disk.openSync(layout.lock, readFlags)
  try {
    for (const deadline = performance.now() + patienceMs; ;) {
      if (lock.tryShared(fd)) return []
      if (performance.now() > deadline) break
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  } finally {
    disk.closeSync(fd)
  }
  const holder = readLockHolder(disk, layout)
  if (holder === null)
    return [warning('lock-held', layout.lock, 'the store is locked by a process that did not sign', 'find it: fuser -v ' + layout.lock)]
  const known = holder.pid_ns === pidNamespace() && (holder.start_ticks === null || processStartTicks(holder.pid) === holder.start_ticks)
  const who = `pid ${holder.pid} (${holder.label})`
  if (known && /[Tt]/.test(processState(holder.pid) ?? '')) {
    return [
      error(
        'lock-holder-stopped',
        layout.lock,
        `the store is locked by ${who}, which is stopped: everybody waits for it`,
        `kill -CONT ${holder.pid}, or end it`,
      ),
    ]
  }
  const heldMs = clock.now().wall - Date.parse(holder.since)
  if (!(heldMs > longHoldMs)) return []
  return [
    warning(
      'lock-held',
      layout.lock,
      `the store has been locked for ${Math.round(heldMs / 1000)} s by ${who}`,
      known ? `see what it does: ps -fp ${holder.pid}` : null,
    ),
  ]
}

function* clocks({ layout, options: { clock } }: FileStore, reading: Reading, loaded: Loaded | null): Found {
  const state = loaded?.state
  if (state !== undefined && bootOperation(state.clocks, clock.now())?.twoClocks === true) {
    yield warning(
      'two-clocks',
      layout.log,
      reading.warnings.find(each => each.startsWith('two clocks')) ?? 'two clocks write into this store',
      'use one machine, or an engine',
    )
  }
}

function* leases(reading: Reading, { worktreeIds }: InspectOptions): Found {
  const seen = new Set<number>()
  for (const lease of reading.all()) {
    // A group is one ownership.
    if (seen.has(lease.token)) continue
    seen.add(lease.token)
    const about = leaseFinding(lease, reading, worktreeIds)
    if (about !== null) yield about
  }
}

function leaseFinding(lease: Lease, reading: Reading, worktreeIds: ReadonlySet<string> | null): Finding | null {
  const { resource, holder } = lease
  const whose = `${resource}, held by ${holder.agentId}`
  // Of a launched claim facts decide, and its session tells of them: neither time nor the end of its process alone ends it.
  const launched = launchedWith(lease, reading) !== null
  if (launched ? isOver(lease, reading) : reading.boundDead(lease))
    return info('lease-dead', null, `${whose}: its process is dead; the next claim takes it`, 'lh doctor --fix')
  if (!launched && reading.lapse(lease).state === 'over')
    return info('lease-expired', null, `${whose}, has expired; the next claim takes it`, 'lh doctor --fix')
  if (worktreeIds !== null && !worktreeIds.has(holder.worktreeId)) {
    return warning(
      'worktree-gone',
      null,
      `${whose} in worktree ${holder.worktreeId}, which does not exist any more`,
      `lh claim evict ${shellWord(resource)} --reason 'its worktree is gone'`,
    )
  }
  if (launched) return null
  if (isStale(lease, reading.now))
    return warning('lease-stale', null, `${whose} without a time limit, has been silent for too long`, `lh why ${shellWord(resource)}`)
  if (lease.binding === null && holder.witness !== null && vitality(holder.witness) === 'dead') {
    return info('holder-gone', null, `${whose}: the process that took it has ended; it ends by time`, `lh why ${shellWord(resource)}`)
  }
  return null
}
