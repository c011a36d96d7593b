import type { Entry } from '../core/operation.ts'
import type { HistoryQuery } from './store.ts'

/** Does this record belong to the history that was asked for? */
export function matches(entry: Entry, { resource, sinceMs, afterSeq }: HistoryQuery): boolean {
  if (afterSeq !== undefined && entry.seq <= afterSeq) return false
  if (sinceMs !== undefined && entry.at < sinceMs) return false
  if (resource === undefined) return true
  const { operation } = entry
  return 'resources' in operation && operation.resources.includes(resource)
}
