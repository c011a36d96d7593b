import path from 'node:path'
import { isFault } from '../../core/fault.ts'
import type { Binding, Lease, Witness } from '../../core/lease.ts'
import type { Life } from '../../core/session.ts'
import { sha256Hex } from '../../core/sha256.ts'
import type { Disk } from '../../host/disk.ts'
import { handOver } from '../../host/disk.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'
import { bootId, environmentHolder, pidNamespace, vitality } from '../../host/process.ts'
import type { LiveLock } from '../store.ts'
import { createFlags, readFlags, removeIfPresent } from './directory.ts'
import type { Layout, Modes } from './directory.ts'

// A process that holds something for its own lifetime keeps a kernel lock on `locks/live-<hash>.lock`. The lock is inherited by the
// children it is passed to and freed by the kernel with the last of them, across pid namespaces and without pids that are reused.

const liveFile = (layout: Layout, live: string): string => path.join(layout.locks, `live-${live}.lock`)

/**
 * Makes a lock file that is locked, and filled, when it appears: whoever looks without the store's lock never finds it free, and cannot
 * keep us from locking it by looking. Only under the store's lock. Returns a descriptor that reads and writes.
 */
export function createLocked(disk: Disk, lock: KernelLock, file: string, modes: Modes, fill: (fd: number) => void = () => {}): number {
  const hidden = `${file}.${process.pid}`
  const fd = openNew(disk, hidden, modes)
  try {
    handOver(disk, fd, file, modes.file)
    if (!lock.tryExclusive(fd)) throw new Error(`a new lock is already locked: ${hidden}`)
    fill(fd)
    disk.renameSync(hidden, file)
    return fd
  } catch (error) {
    removeIfPresent(disk, hidden)
    disk.closeSync(fd)
    throw error
  }
}

/** One that is there is of a process that had our pid and was killed. */
function openNew(disk: Disk, file: string, modes: Modes): number {
  // Read and write: an exclusive lock needs a descriptor that may write.
  const flags = (createFlags & ~1) | 2
  try {
    return disk.openSync(file, flags, modes.file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    removeIfPresent(disk, file)
    return disk.openSync(file, flags, modes.file)
  }
}

let made = 0

/** Makes and takes a new liveness lock. Only under the store's lock. */
export function makeLiveLock(disk: Disk, lock: KernelLock, layout: Layout, modes: Modes): LiveLock {
  const unique = `${bootId()}/${pidNamespace()}/${process.pid}/${process.hrtime().join('.')}/${++made}`
  const live = sha256Hex(Buffer.from(unique), 32)
  const fd = createLocked(disk, lock, liveFile(layout, live), modes)
  let open = true
  return {
    live,
    fd,
    close() {
      if (open) disk.closeSync(fd)
      open = false
    },
  }
}

/** Removes the file of a liveness lock. Only under the store's lock, and before the lock itself is let go. */
export const removeLiveFile = (disk: Disk, layout: Layout, live: string): void => removeIfPresent(disk, liveFile(layout, live))

/** Is somebody holding this liveness lock? A missing file says nothing. */
export function liveLockState(disk: Disk, lock: KernelLock, layout: Layout, live: string): 'held' | 'free' | 'unknown' {
  let fd: number
  try {
    fd = disk.openSync(liveFile(layout, live), readFlags)
  } catch {
    return 'unknown'
  }
  try {
    return lock.tryShared(fd) ? 'free' : 'held'
  } catch (error) {
    // Without a lock module one can still look at everything else.
    if (isFault(error)) return 'unknown'
    throw error
  } finally {
    disk.closeSync(fd)
  }
}

/**
 * Is the process that this lease is bound to proven dead, and every process it started for it? The lock being free is the first proof.
 * A child may have closed the descriptor, so the second is that no process carries the lock's name in its environment. Unknown is no.
 */
export const isBoundDead = (disk: Disk, lock: KernelLock, layout: Layout, { binding, holder }: Lease): boolean =>
  binding !== null && lifeOf(disk, lock, layout, binding, holder.witness) === 'dead'

/** Does the process that this is bound to run, or any that it started for it? */
export function lifeOf(disk: Disk, lock: KernelLock, layout: Layout, { live }: Binding, witness: Witness | null): Life {
  const state = liveLockState(disk, lock, layout, live)
  if (state === 'held') return 'alive'
  if (witness === null) return 'unknown'
  if (state === 'unknown') return vitality(witness) === 'alive' ? 'alive' : 'unknown'
  if (witness.bootId !== bootId()) return 'dead'
  if (witness.pidNs !== pidNamespace()) return 'unknown'
  const carried = environmentHolder('LEASEHOLD_LIVE', live, witness.pidStartTicks)
  return carried === 'absent' ? 'dead' : carried === 'present' ? 'alive' : 'unknown'
}
