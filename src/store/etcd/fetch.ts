import type { Entry } from '../../core/operation.ts'
import { sessionKeyPrefix } from '../../core/session.ts'
import { unknownClaim } from './facts.ts'
import type { Claim, Facts } from './facts.ts'
import type { Gateway } from './gateway.ts'
import { searchOpId } from './history.ts'
import type { Names } from './keys.ts'
import { prefixEnd } from './keys.ts'
import { between, only, pairsOf, revisionOf, toBytes } from './messages.ts'
import type { Pair, RangeAnswer, RangeRequest, Step, TxnAnswer } from './messages.ts'
import { countedFromPair, headFromPair, logFromPair, readable, settingsFromValue } from './values.ts'

// Reading: one transaction of ranges, so that everything in it is of one revision.

/** Most operations that etcd takes in one transaction. */
export const maxSteps = 128

/** Names in one page of a whole reading. */
const pageSize = 5000

/** A range to read, and what to do with what was found. */
interface Reading {
  readonly range: RangeRequest
  readonly take: (pairs: readonly Pair[]) => void
}

const noPair = (name: string): Pair => ({ name, value: '', mod: 0, lease: '0' })

/**
 * What `facts` wants, as a transaction that is refused brings it along: who lost decides again on what it brought. Null where that is more
 * than fits.
 */
export function readingOnRefusal(
  names: Names,
  facts: Facts,
  shown: string,
): { readonly steps: readonly Step[]; take(responses: TxnAnswer['responses'], revision: number): void } | null {
  const { all, leaseIds, opIds } = facts.wants
  const readings = readingsOf(names, facts, shown)
  if (all || leaseIds.size > 0 || opIds.size > 0 || readings.length > maxSteps) return null
  return {
    steps: readings.map(({ range }) => ({ request_range: range })),
    take(responses, revision) {
      for (const [index, { take }] of readings.entries()) take(pairsOf(responses?.[index]?.response_range))
      facts.revision = revision
      facts.isRead = true
    },
  }
}

/** Reads everything that `facts` wants, all of it of one revision. */
export async function fetchFacts(gateway: Gateway, names: Names, facts: Facts, shown: string): Promise<void> {
  const readings = readingsOf(names, facts, shown)
  for (let at = 0, revision = 0; at < readings.length; at += maxSteps) {
    const part = readings.slice(at, at + maxSteps)
    const pinned = revision === 0 ? {} : { revision: String(revision) }
    const success: readonly Step[] = part.map(({ range }) => ({ request_range: { ...range, ...pinned } }))
    // oxlint-disable-next-line no-await-in-loop -- the first part's revision is every part's
    const { body } = await gateway.call<TxnAnswer>('/v3/kv/txn', { success })
    revision = revision === 0 ? revisionOf(body) : revision
    facts.revision = revision
    for (const [index, { take }] of part.entries()) take(pairsOf(body.responses?.[index]?.response_range))
  }
  if (facts.wants.all) await fetchAll(gateway, names, facts)
  for (const [opId, entry] of facts.ops)
    // oxlint-disable-next-line no-await-in-loop -- a command has one
    if (entry === null) facts.ops.set(opId, await searchOpId(gateway, names, opId, facts.revision))
  // A lease id leads to a key, which has to be known as well.
  const unknown = [...facts.resourceOf.values()].filter(resource => resource !== null && !facts.hasAll && !facts.claims.has(resource))
  if (unknown.length === 0) return
  for (const resource of unknown) facts.wants.claims.add(resource!)
  await fetchFacts(gateway, names, facts, shown)
}

function readingsOf(names: Names, facts: Facts, shown: string): readonly Reading[] {
  const { wants } = facts
  const readings: Reading[] = [
    {
      range: only(names.cfg),
      take: ([pair]) => {
        facts.settings = pair === undefined ? null : settingsFromValue(pair.value, shown)
        facts.settingsMod = pair?.mod ?? 0
      },
    },
  ]
  if (wants.limits)
    readings.push({
      range: only(names.limits),
      take: ([pair = noPair(names.limits)]) => {
        facts.limits = readable(pair.name, () => countedFromPair(pair))
        facts.limitsMod = pair.mod
      },
    })
  if (wants.paths)
    readings.push(
      { range: only(names.paths), take: ([pair]) => void (facts.pathsMod = pair?.mod ?? 0) },
      {
        range: below(names.claimsOf('path:')),
        take: pairs => {
          takeClaims(names, facts, pairs)
          facts.hasPaths = true
        },
      },
    )
  if (wants.sessions)
    readings.push({
      range: below(names.claimsOf(sessionKeyPrefix)),
      take: pairs => {
        takeClaims(names, facts, pairs)
        facts.hasSessions = true
      },
    })
  for (const resource of wants.claims) readings.push(claimReading(names, facts, resource))
  for (const leaseId of wants.leaseIds) readings.push(idReading(names, facts, leaseId))
  for (const opId of wants.opIds)
    readings.push({
      range: only(names.op(opId)),
      take: ([pair]) => void facts.ops.set(opId, recalled(pair, opId)),
    })
  return readings
}

const below = (prefix: string): RangeRequest => between(prefix, prefixEnd(prefix))

const claimReading = (names: Names, facts: Facts, resource: string): Reading => ({
  range: below(names.claim(resource)),
  take: pairs => {
    facts.claims.set(resource, unknownClaim)
    takeClaims(names, facts, pairs)
  },
})

/** An ownership's keys are found by its first lease id; the others of a group follow that one, so the nearest before it is it. */
const idReading = (names: Names, facts: Facts, leaseId: string): Reading => ({
  range: { ...between(names.ids, `${names.id(leaseId)}\0`), sort_order: 'DESCEND', sort_target: 'KEY', limit: '1' },
  take: ([pair]) => {
    const listed: readonly (readonly [string, string])[] = pair === undefined ? [] : readable(pair.name, () => JSON.parse(pair.value))
    facts.resourceOf.set(leaseId, listed.find(([id]) => id === leaseId)?.[1] ?? null)
  },
})

function recalled(pair: Pair | undefined, opId: string): Entry | null {
  const entry = pair === undefined ? null : (readable(pair.name, () => logFromPair(pair))?.entry ?? null)
  return entry?.operation.opId === opId ? entry : null
}

function takeClaims(names: Names, facts: Facts, pairs: readonly Pair[]): void {
  for (const pair of pairs)
    readable(pair.name, () => {
      const place = names.partOf(pair.name)
      if (place === null) return
      const known = facts.claims.get(place.resource) ?? unknownClaim
      facts.claims.set(place.resource, withPart(known, place.part, pair))
    })
}

function withPart(claim: Claim, part: string, pair: Pair): Claim {
  if (part === 'head') return { ...claim, head: headFromPair(pair), mod: pair.mod }
  if (part === 'beat') return { ...claim, beat: pair.lease }
  return part === 'guard' ? { ...claim, guard: pair.lease } : claim
}

/** Everything that is kept of all keys, in pages of the same revision. */
async function fetchAll(gateway: Gateway, names: Names, facts: Facts): Promise<void> {
  facts.claims.clear()
  const end = toBytes(prefixEnd(names.claims))
  for (let from = toBytes(names.claims); ;) {
    // oxlint-disable-next-line no-await-in-loop -- one page after the other
    const { body } = await gateway.call<RangeAnswer>('/v3/kv/range', {
      key: from,
      range_end: end,
      limit: String(pageSize),
      revision: String(facts.revision),
    })
    const pairs = pairsOf(body)
    takeClaims(names, facts, pairs)
    const last = pairs.at(-1)
    if (body.more !== true || last === undefined) break
    from = toBytes(`${last.name}\0`)
  }
  facts.hasAll = true
}
