import type { Entry } from '../../core/operation.ts'
import type { Disk } from '../../host/disk.ts'
import { matches } from '../history.ts'
import type { HistoryQuery } from '../store.ts'
import { listArchive, readEntries, removedThrough } from './archive.ts'
import { accessFault, openIfPresent } from './directory.ts'
import type { Layout } from './directory.ts'

/** The records in order, of the archive and of the log. What cannot be read is left out, and `unreadable` is told. */
// oxlint-disable-next-line typescript/require-await -- the interface is asynchronous, reading files is not
export async function* historyOf(disk: Disk, layout: Layout, query: HistoryQuery): AsyncGenerator<Entry> {
  const { unreadable = () => {} } = query
  // The log is opened before the archive is listed: a rotation in between moves it there, and the descriptor still reads it.
  let log: number | null = null
  try {
    log = openIfPresent(disk, layout.log)
    let last = 0
    let told = false
    for (const { file } of [...listArchive(disk, layout), { file: null }]) {
      const fd = file === null ? log : openIfPresent(disk, file)
      if (fd === null) continue
      try {
        const tell = (line: number, why: string): void => {
          unreadable(`${file ?? layout.log}:${line}: ${why}`)
          told = true
        }
        for (const entry of readEntries(disk, fd, tell)) {
          // A segment that is archived while we read appears in both places.
          if (entry.seq <= last) continue
          if (!told && isGap(entry, last)) {
            const from = Math.max(last, removedThrough(disk, layout) ?? entry.seq)
            if (isGap(entry, from)) unreadable(`the records between ${from} and ${entry.seq} are missing`)
          }
          if (matches(entry, query)) yield entry
          last = entry.seq
          told = false
        }
      } finally {
        if (fd !== log) disk.closeSync(fd)
      }
    }
  } catch (error) {
    throw accessFault(error, layout.directory)
  } finally {
    if (log !== null) disk.closeSync(log)
  }
}

/** Are records missing between `last` and this one? A repair names what it cut. */
const isGap = ({ seq, operation }: Entry, last: number): boolean =>
  seq > last + 1 && !(operation.op === 'repair' && operation.lastGoodSeq === last)
