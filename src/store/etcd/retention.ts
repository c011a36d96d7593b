import { isLasting } from '../../core/lease.ts'
import { sessionKey } from '../../core/session.ts'
import type { Gateway } from './gateway.ts'
import type { Names } from './keys.ts'
import { prefixEnd } from './keys.ts'
import { between, pairsOf, put, remove, toBytes, unchanged } from './messages.ts'
import type { Compare, Pair, RangeAnswer, Step, TxnAnswer } from './messages.ts'
import { pairsBelow } from './pages.ts'
import { headFromPair, headToValue, logFromPair } from './values.ts'
import type { Head } from './values.ts'

// Etcd's own compaction never touches what is current, and every record is: how long the log is kept is ours to see to.

/** Keys, and records of one key, that are looked at together. */
const pageSize = 500

export interface Pruned {
  readonly records: number
  /** Keys of which nothing is known any more. */
  readonly keys: number
}

/**
 * Deletes records that are older than `before` (milliseconds since the epoch), key by key, oldest first: what is left of each key's log has
 * no gap, and its head says where it begins. A key that nobody holds is forgotten with its last record, unless it ended with an outcome that
 * still counts. Who writes at the same moment is not disturbed: that key is left for the next time. `base` is the space's token base, and
 * `cfgMod` the revision of what it was read from: from the moment that the leases begin to move, nothing is deleted any more.
 */
export async function pruneLog(gateway: Gateway, names: Names, before: number, base: number, cfgMod?: number): Promise<Pruned> {
  const guards = cfgMod === undefined ? [] : [unchanged(names.cfg, cfgMod)]
  const moved = await movedIn(gateway, names)
  let [records, keys] = [0, 0]
  for await (const pair of pairsBelow(gateway, names.claims)) {
    const place = names.partOf(pair.name)
    if (place?.part !== 'head') continue
    const done = await pruneKey(gateway, names, place.resource, pair, { before, base, guards, moved })
    records += done.records
    keys += done.keys
  }
  return { records, keys }
}

interface Pruning {
  readonly before: number
  readonly base: number
  readonly guards: readonly Compare[]
  /** Where the state before the first record is kept that a move brought, by key. */
  readonly moved: ReadonlyMap<string, readonly string[]>
}

async function movedIn(gateway: Gateway, names: Names): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>()
  const prefix = `${names.root}base/`
  for await (const { name, value } of pairsBelow(gateway, prefix)) {
    const { lease, past, session } = JSON.parse(value)
    const key: string | undefined = (lease ?? past)?.resource ?? (session === undefined ? undefined : sessionKey(session.session_id))
    if (key !== undefined) found.set(key, [...(found.get(key) ?? []), name])
  }
  return found
}

async function pruneKey(gateway: Gateway, names: Names, resource: string, pair: Pair, pruning: Pruning): Promise<Pruned> {
  const { before, base, guards, moved } = pruning
  const head = headFromPair(pair)
  const old = await oldRecords(gateway, names, resource, before)
  const logFrom = head.logFrom + old.length
  const isForgotten = logFrom > head.n && isForgettable(head, before)
  if (old.length === 0 && !isForgotten) return { records: 0, keys: 0 }
  // Whoever takes a forgotten key begins its records anew: what it was before them would contradict those.
  const kept: readonly Step[] = isForgotten
    ? [pair.name, ...(moved.get(resource) ?? [])].map(name => remove(name))
    : [put(pair.name, headToValue({ ...head, logFrom }, base))]
  const gone: readonly Step[] = old.length === 0 ? [] : [removeThrough(names.logOf(resource), old.at(-1)!.name)]
  const request = { compare: [...guards, unchanged(pair.name, pair.mod)], success: [...kept, ...gone] }
  const { body } = await gateway.call<TxnAnswer>('/v3/kv/txn', request, { changes: true })
  return body.succeeded === true ? { records: old.length, keys: Number(isForgotten) } : { records: 0, keys: 0 }
}

const removeThrough = (prefix: string, last: string): Step => ({
  request_delete_range: { key: toBytes(prefix), range_end: toBytes(`${last}\0`) },
})

/** The oldest records of a key, as far as all of them are old. */
async function oldRecords(gateway: Gateway, names: Names, resource: string, before: number): Promise<readonly Pair[]> {
  const prefix = names.logOf(resource)
  const { body } = await gateway.call<RangeAnswer>('/v3/kv/range', { ...between(prefix, prefixEnd(prefix)), limit: String(pageSize) })
  const pairs = pairsOf(body)
  const kept = pairs.findIndex(pair => {
    const logged = logFromPair(pair)
    return logged === null || logged.entry.at >= before
  })
  return kept < 0 ? pairs : pairs.slice(0, kept)
}

/** Nobody holds it, and how it ended stops nobody from anything. */
const isForgettable = ({ slot: { lease, past, session } }: Head, before: number): boolean =>
  lease === null && session === null && (past === null || (past.endedAt < before && !isLasting(past)))
