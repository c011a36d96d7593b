import path from 'node:path'
import type { Disk } from '../../host/disk.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'
import { processStartTicks } from '../../host/process.ts'
import type { State } from '../state.ts'
import type { Archived } from './archive.ts'
import { listArchive } from './archive.ts'
import type { Layout } from './directory.ts'
import { lookAt, readFlags } from './directory.ts'
import { isReservation } from './reservation.ts'

/** How old a temporary file is before its maker cannot be at work on it any more, milliseconds. */
const workingMs = 60_000

/** What decides whether a file is still of use. */
export interface LeftoverFacts {
  readonly disk: Disk
  readonly lock: KernelLock
  readonly layout: Layout
  /** Wall clock, milliseconds. */
  readonly now: number
  /** Liveness locks of leases are kept, free or not: a missing one would mean "unknown", and the lease would have to wait for its time. */
  readonly state: State | null
  /** Sequence number that the current segment continues, or null when that is not known. */
  readonly base: number | null
}

/** Files that somebody left behind and nobody will use again. Sure only under the store's lock. */
export function leftovers(facts: LeftoverFacts): readonly string[] {
  return [...temporaries(facts), ...freeLocks(facts), ...doubles(facts)]
}

/** An index or format that was never renamed into place, or a segment that was not. To remove one too early costs its maker one retry. */
function* temporaries({ disk, layout, now }: LeftoverFacts): Generator<string> {
  for (const name of disk.readdirSync(layout.directory)) {
    const maker = /\.(\d+)\.[\d.]+\.tmp$/.exec(name)?.[1]
    const file = path.join(layout.directory, name)
    if (maker === undefined && file !== layout.newLog) continue
    const stat = lookAt(disk, file)
    if (stat === null || stat.isDirectory()) continue
    const dead = maker !== undefined && processStartTicks(Number(maker)) === null
    if (dead || now - stat.mtimeMs > workingMs) yield file
  }
}

/**
 * Lock files that nobody holds and nothing needs. They appear locked, so one that is free has lost its owner; under its maker's own name
 * nobody may touch the lock, and there its maker's end or its age says so. Where there are no more than the `made` ones that the caller
 * holds, none is looked at.
 */
export function* freeLocks({ disk, lock, layout, now, state }: Omit<LeftoverFacts, 'base'>, made = 0): Generator<string> {
  if (state === null || lookAt(disk, layout.locks) === null) return
  let bound: ReadonlySet<string> | null = null
  const names = disk.readdirSync(layout.locks).filter(name => name.startsWith('live-') || name.startsWith('reserve-'))
  if (names.length <= made) return
  for (const name of names) {
    const match = /^(live|reserve)-([0-9a-f]{32})\.lock(\.\d+)?$/.exec(name)
    if (match === null) continue
    const file = path.join(layout.locks, name)
    const maker = match[3]?.slice(1)
    if (maker === undefined ? !isFree(disk, lock, file) : !isAbandoned(disk, file, maker, now)) continue
    if (match[1] === 'live' && (bound ??= boundBy(state)).has(match[2]!)) continue
    if (match[1] === 'reserve' && maker === undefined && isReservation(disk, lock, file)) continue
    yield file
  }
}

/** Names of the liveness locks that prove something. */
function boundBy(state: State): ReadonlySet<string> {
  const bound = new Set<string>()
  for (const { binding } of [...state.leases(), ...state.sessions()]) if (binding !== null) bound.add(binding.live)
  return bound
}

function isAbandoned(disk: Disk, file: string, maker: string, now: number): boolean {
  const stat = lookAt(disk, file)
  return stat !== null && (processStartTicks(Number(maker)) === null || now - stat.mtimeMs > workingMs)
}

function isFree(disk: Disk, lock: KernelLock, file: string): boolean {
  let fd: number
  try {
    fd = disk.openSync(file, readFlags)
  } catch {
    return false
  }
  try {
    return lock.tryShared(fd)
  } finally {
    disk.closeSync(fd)
  }
}

/** Second names of one file in the archive: a rotation was stopped between giving the name and starting the new segment. */
function* doubles({ disk, layout, base }: LeftoverFacts): Generator<string> {
  const log = lookAt(disk, layout.log)
  const all = listArchive(disk, layout)
  const whole = new Set(withoutDoubles(all, base))
  const inUse = new Set([...whole].map(({ file }) => disk.lstatSync(file).ino))
  if (log !== null) inUse.add(log.ino)
  for (const archive of all) if (!whole.has(archive) && inUse.has(disk.lstatSync(archive.file).ino)) yield archive.file
}

/**
 * The archive as one run of segments. A rotation that was stopped half-way leaves an archive's name on the file that is still in use,
 * and the next one gives it another name: of several with the same beginning the longest is the whole, and what begins where the log
 * begins is the log.
 */
export function withoutDoubles(archives: readonly Archived[], logBase: number | null): readonly Archived[] {
  const longest = new Map<number, Archived>()
  for (const archive of archives) {
    if (logBase !== null && archive.first > logBase) continue
    const known = longest.get(archive.first)
    if (known === undefined || known.last < archive.last) longest.set(archive.first, archive)
  }
  return [...longest.values()]
}
