import { entryToWire } from '../../core/wire.ts'
import type { Maintenance } from '../../store/maintenance.ts'
import type { HistoryQuery, Store } from '../../store/store.ts'
import type { Report } from './report.ts'
import { fine } from './report.ts'

/** `lh log compact`: starts a new segment now; where the log is no file, drops records that are older than `keepMs`. */
export async function compactReport(maintenance: Maintenance, keepMs = Number.POSITIVE_INFINITY): Promise<Report> {
  const { bytesBefore, bytesAfter, archived, pruned } = await maintenance.compact(keepMs)
  if (pruned !== undefined)
    return fine({ pruned_records: pruned }, [pruned === 0 ? 'no record is older than is wanted' : `${pruned} old records are gone`])
  const document = { segment_bytes_before: bytesBefore, segment_bytes_after: bytesAfter, archived }
  const line =
    archived.length === 0
      ? 'nothing to put away'
      : `${bytesBefore} bytes were put away as ${archived.join(', ')}; the log has ${bytesAfter} bytes now`
  return fine(document, [line])
}

/** `lh log export`: the history, oldest first, one JSON text for each record. */
export async function* exportLines(store: Store, query: HistoryQuery = {}): AsyncGenerator<string> {
  for await (const entry of store.history(query)) yield JSON.stringify(entryToWire(entry))
}
