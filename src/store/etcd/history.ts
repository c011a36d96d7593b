import type { Entry } from '../../core/operation.ts'
import { isUlid } from '../../core/ulid.ts'
import { matches } from '../history.ts'
import type { HistoryQuery } from '../store.ts'
import { onlyCompacted } from './gateway.ts'
import type { Gateway } from './gateway.ts'
import type { Names } from './keys.ts'
import { prefixEnd } from './keys.ts'
import { between, pairsOf, revisionOf } from './messages.ts'
import type { Pair, RangeAnswer } from './messages.ts'
import { revisionUntil } from './positions.ts'
import { logFromPair, readable } from './values.ts'
import type { Logged } from './values.ts'

/** How far the clocks of two machines may be apart, milliseconds. */
const clockAllowanceMs = 3_600_000

/** Records in one page; more than one transaction can write. */
const pageSize = 2000

/** The records in order, of the revision at which the reading began. `base`: what positions are counted from, where `afterSeq` is asked. */
export async function* historyOf(gateway: Gateway, names: Names, query: HistoryQuery, base: number): AsyncGenerator<Entry> {
  const prefix = query.resource === undefined ? names.logs : names.logOf(query.resource)
  // Records that were moved in keep their positions, all of them below the base: after a smaller one the whole log is read.
  for (let since = query.afterSeq === undefined ? 0 : revisionUntil(query.afterSeq, base) + 1, pinned = 0; ;) {
    const request = { ...between(prefix, prefixEnd(prefix)), sort_order: 'ASCEND', sort_target: 'MOD', limit: String(pageSize) }
    // oxlint-disable-next-line no-await-in-loop -- one page after the other
    const answered = await gateway
      .call<RangeAnswer>('/v3/kv/range', { ...request, min_mod_revision: String(since), revision: String(pinned) })
      .catch(onlyCompacted)
    if (answered === null) {
      // That revision is gone, and no record with it: the rest is read as it is now.
      pinned = 0
      continue
    }
    const { body } = answered
    pinned = pinned === 0 ? revisionOf(body) : pinned
    const pairs = pairsOf(body)
    const last = pairs.at(-1)?.mod ?? 0
    // The page may end in the middle of a transaction: that one is read again, whole.
    const whole = body.more === true ? pairs.filter(({ mod }) => mod < last) : pairs
    for (const { entry } of inOrder(whole, query.resource === undefined)) if (matches(entry, query)) yield entry
    if (body.more !== true) return
    since = last
  }
}

/** Crockford's base 32, as ULIDs are written in. */
const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** When a ULID was made, milliseconds since the epoch. */
const ulidTime = (id: string): number => Array.from(id.slice(0, 10)).reduce((time, digit) => time * 32 + digits.indexOf(digit), 0)

/** Most records that are searched for an op_id. */
const searchedRecords = 10_000

/**
 * The record that an op_id made which the caller did not choose: those are not kept apart, for hardly any is ever asked for again. It is
 * searched from the newest record back. An id of our own tells when it was made, and no record of it is older.
 */
export async function searchOpId(gateway: Gateway, names: Names, opId: string, revision: number): Promise<Entry | null> {
  if (!isUlid(opId)) return null
  const oldest = ulidTime(opId) - clockAllowanceMs
  for (let until = revision, seen = 0; until > 0 && seen < searchedRecords;) {
    // oxlint-disable-next-line no-await-in-loop -- one page after the other
    const { body } = await gateway.call<RangeAnswer>('/v3/kv/range', {
      ...between(names.logs, prefixEnd(names.logs)),
      sort_order: 'DESCEND',
      sort_target: 'MOD',
      max_mod_revision: String(until),
      limit: String(pageSize),
      revision: String(revision),
    })
    const pairs = pairsOf(body)
    const logged = pairs.map(pair => readable(pair.name, () => logFromPair(pair))).filter(each => each !== null)
    const found = logged.find(({ entry }) => entry.operation.opId === opId)
    if (found !== undefined) return found.entry
    if (body.more !== true || logged.every(({ entry }) => entry.at < oldest)) return null
    // A transaction at the end of a page may go on in the next one.
    until = pairs.at(-1)?.mod ?? 0
    seen += pairs.length
  }
  return null
}

function inOrder(pairs: readonly Pair[], withoutCopies: boolean): readonly Logged[] {
  const logged = pairs.map(pair => readable(pair.name, () => logFromPair(pair))).filter(each => each !== null)
  return logged.filter(({ isCopy }) => !(withoutCopies && isCopy)).toSorted((a, b) => a.entry.seq - b.entry.seq || a.index - b.index)
}
