import { Fault } from '../../core/fault.ts'
import { syncDirectory } from '../../host/disk.ts'
import type { Home, Whereabouts } from '../home.ts'
import type { MoveMark } from '../move.ts'
import { refuseMoved } from '../moved.ts'
import { listArchive, readLines } from './archive.ts'
import { isEmpty, lookAt, readFormat, readMove, removeIfPresent, soundFormat, writeFormat, writeMove } from './directory.ts'
import type { FileStore } from './store.ts'

/** The store beside a repository, as the one that knows where the leases are. */
export const homeOf = (store: FileStore): Home => ({
  whereabouts: () => whereabouts(store),
  settle: (to, space, seen) => store.lockedOnly('store', () => settle(store, { to, space, seen })),
})

/** It is written down twice; of a store that was never made only once. */
const markOf = ({ layout, options: { disk } }: FileStore): MoveMark | undefined => readMove(disk, layout) ?? soundFormat(disk, layout)?.move

/** One small read where the leases are elsewhere. */
function whereabouts(store: FileStore): Whereabouts {
  const { layout } = store
  const { disk } = store.options
  const mark = markOf(store)
  if (mark?.to !== undefined && mark.done === true)
    return { kind: 'there', to: mark.to, space: mark.space ?? readFormat(disk, layout)?.space ?? null }
  if (mark?.to !== undefined) return { kind: 'here' }
  if (mark?.from !== undefined) {
    const format = readFormat(disk, layout)
    // They have arrived: whoever opened this store was stopped before the mark was gone.
    if (format !== null && format.move === undefined) return { kind: 'here' }
    return { kind: 'there', to: mark.from, space: format?.space ?? null }
  }
  if (isEmpty(disk, layout)) return { kind: 'open' }
  return { kind: hasRecords(disk, layout) ? 'here' : 'open' }
}

/** Has anything ever happened here? What cannot be read counts as something. A second clock alone is nothing. */
function hasRecords(disk: FileStore['options']['disk'], layout: FileStore['layout']): boolean {
  if (lookAt(disk, layout.log) === null || listArchive(disk, layout).length > 0) return true
  for (const { record } of readLines(disk, layout.log))
    if (record === null || (record.op !== 'segment' && record.op !== 'boot')) return true
  return false
}

/** Under the lock of this store, so nobody begins to use it meanwhile. An empty one gives way: whoever opens it next reads the mark. */
function settle(
  store: FileStore,
  { to, space, seen }: { readonly to: string; readonly space: string | null; readonly seen: Whereabouts },
): void {
  const { layout, modes } = store
  const { disk } = store.options
  const now = whereabouts(store)
  const mark = markOf(store)
  const known = space === null ? {} : { space }
  if (now.kind === 'here') {
    refuseMoved(mark, store.location, true)
    throw overtaken(store)
  }
  if (now.kind === 'there') {
    if (now.to !== to && (seen.kind !== 'there' || now.to !== seen.to)) throw overtaken(store)
    if (now.to === to && (space === null || now.space === space)) return
    const format = readFormat(disk, layout)
    const next = { ...mark, to, done: true, ...known }
    if (format === null) writeMove(disk, layout, next, modes)
    else writeFormat(disk, layout, { ...format, move: next }, modes)
    return
  }
  writeMove(disk, layout, { to, done: true, chosen: true, ...known }, modes)
  for (const file of [layout.format, layout.index, layout.log]) removeIfPresent(disk, file)
  syncDirectory(disk, layout.directory)
}

const overtaken = ({ location }: FileStore): Fault =>
  new Fault('unavailable', `somebody else decided in this moment where the leases of ${location} are`, {
    hint: 'give the command again',
    details: { outcome: 'nothing_changed' },
  })
