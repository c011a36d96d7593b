import type { Disk } from '../../host/disk.ts'
import { replaceFile } from './directory.ts'
import type { Layout, Modes } from './directory.ts'
import { IndexedState, copiedBytes, encodeIndex } from './index-cache.ts'
import { completeState, loadWhole } from './load.ts'
import type { Loaded } from './load.ts'

/** A process that ends soon makes the index anew once it is this many bytes behind (four claims), and more the more keys there are to be copied. */
const bytesBehind = 2048
const keysPerByteBehind = 5

/** Is the index of a process that ends soon due? */
export function isIndexDue({ state, behindIndex }: Loaded): boolean {
  if (state instanceof IndexedState && state.isDamaged) return true
  const keys = state instanceof IndexedState ? state.indexedKeys : 0
  return behindIndex >= Math.max(bytesBehind, keys / keysPerByteBehind)
}

/** Reads the segment once more, every checksum, and writes its index. Says why that could not be; null: it was. */
export function rebuildIndex(disk: Disk, layout: Layout, modes: Modes, fd: number, end: number): string | null {
  const loaded = loadWhole(disk, fd, end)
  if (loaded.damage !== null || loaded.tornBytes !== 0) return 'the log is not whole'
  return refreshIndex(disk, layout, modes, loaded, loaded.bytes)
}

/** Writes the index of a process that keeps the state and not the bytes: a short log is read for it, a long one need not be. */
export function updateIndex(disk: Disk, layout: Layout, modes: Modes, fd: number, known: Loaded): void {
  if (known.end > copiedBytes) refreshIndex(disk, layout, modes, known, null)
  else rebuildIndex(disk, layout, modes, fd, known.end)
}

/**
 * Writes the index: `bytes` is the whole segment up to `loaded.end`, verified, or null when it is long.
 * Outside the store's lock and without a sync: an index that is late, lost or about another segment is noticed by its readers. Failures
 * are told and no fault, it is a cache.
 */
export function refreshIndex(disk: Disk, layout: Layout, modes: Modes, loaded: Loaded, bytes: Buffer | null): string | null {
  const { state, position, end, checkpointBytes, space } = loaded
  const log = bytes === null || end > copiedBytes ? null : bytes
  const described = { offset: end, position, checkpointBytes, space }
  try {
    const encoded = state instanceof IndexedState ? state.encode(described, log) : encodeIndex(completeState(state), described, log)
    replaceFile(disk, layout.index, encoded, modes.file, false)
    return null
  } catch (error) {
    // Nobody depends on it.
    return (error as Error).message
  }
}
