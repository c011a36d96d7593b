import path from 'node:path'
import { isFault } from '../../core/fault.ts'
import type { Witness } from '../../core/lease.ts'
import type { Reservation } from '../../core/refusal.ts'
import { sha256Hex } from '../../core/sha256.ts'
import { isoFromMs } from '../../core/time.ts'
import { witnessFromWire, witnessToWire } from '../../core/wire.ts'
import type { Disk } from '../../host/disk.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'
import { below } from '../../host/paths.ts'
import { processesWith, vitality, witnessOf } from '../../host/process.ts'
import type { ReservationLock, ReservationNote } from '../store.ts'
import { lookAt, readFlags, removeIfPresent } from './directory.ts'
import type { Layout, Modes } from './directory.ts'
import { createLocked } from './live-lock.ts'

// A launch in flight holds a kernel lock on `locks/reserve-<hash of the key>.lock`, shares it with the agent that it starts, and writes no
// record. The lock is gone with the last of them; a file without one says nothing, unless what it was for still runs. Files are made, tested for a decision and removed only
// under the store's lock, so that a reservation and an acquisition cannot pass each other.

const prefix = 'reserve-'

/** One line, always this long, so that it can be written again in place. The words of others in it are cut so that they fit. */
const noteBytes = 4096
const maxWords = 200

const fileOf = (layout: Layout, resource: string): string => below(layout.locks, `${prefix}${sha256Hex(Buffer.from(resource), 32)}.lock`)

/** Holds these keys. Only under the store's lock, and after every one of them was found free. */
export function makeReservation(
  disk: Disk,
  lock: KernelLock,
  layout: Layout,
  modes: Modes,
  resources: readonly string[],
  told: ReservationNote,
): ReservationLock {
  const held: { readonly resource: string; readonly file: string; readonly fd: number }[] = []
  const since = Date.now()
  const launcher = witnessOf(process.pid)
  const made: ReservationLock = {
    launchId: told.launchId,
    resources,
    fds: [],
    note(agent) {
      try {
        for (const { resource, fd } of held) writeNote(disk, fd, { resource, ...told, launcher, agent, since })
      } catch {
        // It is for those who look. The agent runs, and what holds the keys is the lock.
      }
    },
    isCurrent: () =>
      held.length === resources.length &&
      held.every(({ file, fd }) => disk.lstatSync(file, { throwIfNoEntry: false })?.ino === disk.fstatSync(fd).ino),
    remove() {
      if (made.isCurrent()) for (const { file } of held) removeIfPresent(disk, file)
    },
    close() {
      for (const { fd } of held.splice(0)) disk.closeSync(fd)
    },
  }
  try {
    for (const resource of resources) {
      const file = fileOf(layout, resource)
      const fd = createLocked(disk, lock, file, modes, empty => writeNote(disk, empty, { resource, ...told, launcher, agent: null, since }))
      held.push({ resource, file, fd })
    }
  } catch (error) {
    for (const { file } of held) removeIfPresent(disk, file)
    made.close()
    throw error
  }
  return { ...made, fds: held.map(({ fd }) => fd) }
}

interface Note extends ReservationNote {
  readonly resource: string
  readonly launcher: Witness | null
  readonly agent: Witness | null
  readonly since: number
}

function writeNote(disk: Disk, fd: number, note: Note): void {
  const text = JSON.stringify({
    launch_id: note.launchId,
    resource: note.resource,
    role: note.role.slice(0, maxWords),
    agent_id: note.agentId.slice(0, maxWords),
    launcher: note.launcher === null ? null : witnessToWire(note.launcher),
    agent: note.agent === null ? null : witnessToWire(note.agent),
    since: isoFromMs(note.since),
  })
  const bytes = Buffer.alloc(noteBytes, 0x20)
  bytes.write(text)
  bytes[noteBytes - 1] = 0x0a
  const written = disk.writeSync(fd, bytes, 0, noteBytes, 0)
  if (written < noteBytes) throw Object.assign(new Error('ENOSPC: only a part of a reservation could be written'), { code: 'ENOSPC' })
}

/** The reservation of a key, or null. A file that nobody keeps locked, and of whose launch nothing runs, is none. */
export const reservationOf = (disk: Disk, lock: KernelLock, layout: Layout, resource: string): Reservation | null =>
  read(disk, lock, fileOf(layout, resource), resource)

const namesOf = (disk: Disk, layout: Layout): readonly string[] =>
  disk.readdirSync(layout.locks).filter(name => name.startsWith(prefix) && name.endsWith('.lock'))

/** Is there a file of a reservation at all? While the store's lock is held, none can appear but our own. */
export const hasReservations = (disk: Disk, layout: Layout): boolean => namesOf(disk, layout).length > 0

/** Every launch in flight. */
export function allReservations(disk: Disk, lock: KernelLock, layout: Layout): readonly Reservation[] {
  return namesOf(disk, layout)
    .map(name => read(disk, lock, path.join(layout.locks, name), null))
    .filter(each => each !== null)
}

function read(disk: Disk, lock: KernelLock, file: string, resource: string | null): Reservation | null {
  // Most keys have none, and a look costs a tenth of an open that fails.
  if (lookAt(disk, file) === null) return null
  let fd: number
  try {
    fd = disk.openSync(file, readFlags)
  } catch (error) {
    // Whatever else keeps us from looking is no proof that nothing is there.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    const free = isFree(lock, fd)
    const bytes = Buffer.alloc(noteBytes)
    const { dev, ino } = disk.fstatSync(fd)
    const found = parse(bytes.toString('utf8', 0, disk.readSync(fd, bytes, 0, bytes.length, 0)), resource, { path: file, dev, ino })
    return free && !runsOn(found) ? null : found
  } finally {
    disk.closeSync(fd)
  }
}

/**
 * A launcher that was killed leaves its file, and its agent may have closed what it did not know. Then the lock is free, and the second proof
 * counts, as for a lease that is bound to a process: its process, or one that carries the launch's id in its environment. What is older than
 * its process was left by an agent that had the session before.
 */
const runsOn = ({ agent, launchId }: Reservation): boolean =>
  (agent !== null && vitality(agent) === 'alive') ||
  (launchId !== '' && processesWith('LEASEHOLD_LAUNCH_ID', launchId, agent?.pidStartTicks).length > 0)

/** Is this the file of a launch, free or not, of which something still runs? Only under the store's lock. */
export const isReservation = (disk: Disk, lock: KernelLock, file: string): boolean => read(disk, lock, file, null) !== null

/** Where nobody can tell, for want of a lock module, it counts: that a launch is in flight is shown, and nobody there could take its key. */
function isFree(lock: KernelLock, fd: number): boolean {
  try {
    return lock.tryShared(fd)
  } catch (error) {
    if (isFault(error)) return false
    throw error
  }
}

/** One that is locked counts, whatever can be read of it. */
function parse(text: string, resource: string | null, lockFile: Reservation['lockFile']): Reservation {
  try {
    const note = JSON.parse(text)
    const launcher = note.launcher === null ? null : witnessFromWire(note.launcher)
    return {
      resource: note.resource,
      launchId: note.launch_id,
      role: note.role,
      agentId: note.agent_id,
      pid: launcher?.pid ?? null,
      launcherAlive: launcher === null || vitality(launcher) !== 'dead',
      agent: note.agent === null ? null : witnessFromWire(note.agent),
      ageMs: Math.max(0, Date.now() - Date.parse(note.since)),
      lockFile,
    }
  } catch {
    const unknown = { launchId: '', role: '', agentId: 'unknown', pid: null, launcherAlive: true, agent: null, ageMs: 0 }
    return { resource: resource ?? 'unknown', ...unknown, lockFile }
  }
}
