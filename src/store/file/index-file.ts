import type { Disk } from '../../host/disk.ts'
import { replaceFile } from './directory.ts'
import type { Layout, Modes } from './directory.ts'
import { encodeIndex, fingerprintedBytes } from './index-cache.ts'
import { completeState, loadWhole } from './load.ts'
import type { Loaded } from './load.ts'
import { fingerprint } from './record.ts'

/** A process that ends soon makes the index anew once this many records are behind it, and more the more leases there are. */
const recordsBehind = 8
const leasesPerRecordBehind = 128

/** Is the index of a process that ends soon due? */
export const isIndexDue = (loaded: Loaded): boolean => loaded.behindIndex >= recordsBehind

/** Writes the index if enough records are behind it: `bytes` is the whole segment up to `loaded.end`, verified, or null when it is long. */
export function refreshIndex(disk: Disk, layout: Layout, modes: Modes, loaded: Loaded, bytes: Buffer | null): void {
  const state = completeState(loaded.state)
  let leases = 0
  for (const _ of state.leases()) leases++
  if (loaded.behindIndex >= leases / leasesPerRecordBehind) writeIndex(disk, layout, modes, { ...loaded, state }, bytes)
}

/** Reads the segment once more, every checksum, and writes its index; for a process that keeps the state and not the bytes. */
export function rebuildIndex(disk: Disk, layout: Layout, modes: Modes, fd: number, end: number): void {
  const loaded = loadWhole(disk, fd, end)
  if (loaded.damage === null && loaded.tornBytes === 0) writeIndex(disk, layout, modes, loaded, loaded.bytes)
}

/**
 * Outside the store's lock and without a sync: an index that is late, lost or about another segment is noticed by its readers. Failures
 * are ignored, it is a cache.
 */
function writeIndex(disk: Disk, layout: Layout, modes: Modes, loaded: Loaded, bytes: Buffer | null): void {
  const { position, end, checkpointBytes, space } = loaded
  const print = bytes === null || end > fingerprintedBytes ? null : fingerprint(bytes)
  try {
    replaceFile(
      disk,
      layout.index,
      encodeIndex(completeState(loaded.state), { offset: end, position, print, checkpointBytes, space }),
      modes.file,
      false,
    )
  } catch {
    // Nobody depends on it.
  }
}
