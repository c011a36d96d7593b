import type { Gateway } from './gateway.ts'
import { prefixEnd } from './keys.ts'
import { pairsOf, toBytes } from './messages.ts'
import type { Pair, RangeAnswer } from './messages.ts'

/** Names in one page. */
const pageSize = 2000

/** All that begins with `prefix`, in the order of the names, as it was at this revision; without one, each page as it is when it is read. */
export async function* pairsBelow(gateway: Gateway, prefix: string, revision = 0): AsyncGenerator<Pair> {
  const range = { range_end: toBytes(prefixEnd(prefix)), limit: String(pageSize), revision: String(revision) }
  for (let from = toBytes(prefix); ;) {
    // oxlint-disable-next-line no-await-in-loop -- one page after the other
    const { body } = await gateway.call<RangeAnswer>('/v3/kv/range', { key: from, ...range })
    const pairs = pairsOf(body)
    yield* pairs
    const last = pairs.at(-1)
    if (body.more !== true || last === undefined) return
    from = toBytes(`${last.name}\0`)
  }
}
