import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Answer, Operation } from '../../support/linearizable.ts'
import { checkLinearizable, leaseModel } from '../../support/linearizable.ts'

const verdict = (operations: readonly Operation[]): boolean | null => checkLinearizable(leaseModel, operations).ok

const op = (holder: string, f: Operation['f'], call: number, ret: number, out: Answer | null, ttl = 0): Operation => ({
  holder,
  f,
  call,
  ret,
  out,
  ttl,
})

describe('by hand', () => {
  it('accepts one after the other', () => {
    const history = [
      op('ann', 'acquire', 0, 1, { ok: true, token: 1 }),
      op('bob', 'acquire', 2, 3, { ok: false, by: 'ann' }),
      op('ann', 'release', 4, 5, { ok: true }),
      op('bob', 'acquire', 6, 7, { ok: true, token: 4 }),
      op('ann', 'read', 8, 9, { ok: true, by: 'bob' }),
    ]
    expect(verdict(history)).toBe(true)
    expect(verdict(history.toReversed())).toBe(true)
    expect(verdict([])).toBe(true)
  })

  it('accepts any order of what happened at the same time, and no other', () => {
    const ann = op('ann', 'acquire', 0, 10, { ok: true, token: 1 })
    expect(verdict([ann, op('bob', 'read', 1, 2, { ok: true, by: null })])).toBe(true)
    expect(verdict([ann, op('bob', 'read', 1, 2, { ok: true, by: 'ann' })])).toBe(true)
    expect(verdict([ann, op('bob', 'read', 1, 2, { ok: true, by: 'ann' }), op('bob', 'read', 3, 4, { ok: true, by: null })])).toBe(false)
    expect(verdict([ann, op('bob', 'read', 11, 12, { ok: true, by: null })])).toBe(false)
  })

  it('finds two owners, a token that does not grow, and a release of another’s', () => {
    const ann = op('ann', 'acquire', 0, 1, { ok: true, token: 5 })
    expect(verdict([ann, op('bob', 'acquire', 2, 3, { ok: true, token: 6 })])).toBe(false)
    const gone = op('ann', 'release', 2, 3, { ok: true })
    expect(verdict([ann, gone, op('bob', 'acquire', 4, 5, { ok: true, token: 6 })])).toBe(true)
    expect(verdict([ann, gone, op('bob', 'acquire', 4, 5, { ok: true, token: 5 })])).toBe(false)
    expect(verdict([ann, op('bob', 'release', 2, 3, { ok: true })])).toBe(false)
    expect(verdict([ann, op('bob', 'renew', 2, 3, { ok: true })])).toBe(false)
  })

  it('lets a lease lapse at its time and not before; a renewal moves it', () => {
    const ann = op('ann', 'acquire', 0, 1, { ok: true, token: 1 }, 100)
    const taken = (at: number): Operation => op('bob', 'acquire', at, at + 1, { ok: true, token: 9 }, 100)
    expect(verdict([ann, taken(98)])).toBe(false)
    expect(verdict([ann, taken(100)])).toBe(true)
    const renewed = op('ann', 'renew', 50, 51, { ok: true }, 100)
    expect(verdict([ann, renewed, taken(100)])).toBe(false)
    expect(verdict([ann, renewed, taken(150)])).toBe(true)
    expect(verdict([ann, op('ann', 'renew', 140, 141, { ok: true }, 100), taken(150)])).toBe(false)
    expect(verdict([ann, taken(120), op('ann', 'renew', 130, 131, { ok: true }, 100)])).toBe(false)
    expect(verdict([op('ann', 'acquire', 0, 1, { ok: true, token: 1 }, 0), taken(1_000_000)])).toBe(false)
  })

  it('takes a lost answer either way', () => {
    const lost = op('ann', 'acquire', 0, Number.POSITIVE_INFINITY, null)
    expect(verdict([lost, op('bob', 'acquire', 2, 3, { ok: true, token: 3 })])).toBe(true)
    expect(verdict([lost, op('bob', 'acquire', 2, 3, { ok: false, by: 'ann' })])).toBe(true)
    expect(verdict([lost, op('bob', 'acquire', 2, 3, { ok: false, by: 'eve' })])).toBe(false)
    const held = op('ann', 'acquire', 0, 1, { ok: true, token: 1 })
    const lostRelease = op('ann', 'release', 2, Number.POSITIVE_INFINITY, null)
    expect(verdict([held, lostRelease, op('bob', 'acquire', 3, 4, { ok: true, token: 3 })])).toBe(true)
    expect(verdict([held, lostRelease, op('bob', 'acquire', 3, 4, { ok: false, by: 'ann' })])).toBe(true)
  })

  it('says where it got stuck', () => {
    const wrong = op('bob', 'acquire', 2, 3, { ok: true, token: 6 })
    expect(checkLinearizable(leaseModel, [op('ann', 'acquire', 0, 1, { ok: true, token: 5 }), wrong])).toMatchObject({
      ok: false,
      stuck: wrong,
    })
  })
})

// ── its power: histories of a real lease are accepted, the same with one lie in them are not ──

const slowest = 20

/** An operation, and when it really happened. */
interface Witnessed {
  readonly operation: Operation
  readonly at: number
}

/** Who held the lease from when to when, and from when on it could have lapsed. */
interface Reign {
  readonly holder: string
  readonly from: number
  to: number
  lapses: number
}

/** Clients with delays before and after each step on one lease. */
function simulate(random: () => number, clients: number, count: number, losing: number): { history: Witnessed[]; reigns: Reign[] } {
  const below = (n: number): number => Math.floor(random() * n)
  const ready = Array.from({ length: clients }, () => below(slowest))
  const names = ready.map((_, index) => `c${index}`)
  const planned = Array.from({ length: count }, () => {
    const client = ready.indexOf(Math.min(...ready))
    const call = ready[client]! + 1 + below(10)
    const at = call + 1 + below(slowest / 2 - 1)
    const ret = at + 1 + below(slowest / 2 - 1)
    ready[client] = ret
    const lost = random() < losing
    const holder = names[client]!
    if (lost) names[client] = `${holder}'`
    return {
      holder,
      call,
      at: at + random() / 2,
      ret: lost ? Number.POSITIVE_INFINITY : ret,
      f: (['acquire', 'acquire', 'renew', 'release', 'read'] as const)[below(5)]!,
      ttl: 60 + below(100),
    }
  }).sort((x, y) => x.at - y.at)
  const reigns: Reign[] = []
  let token = 0
  let granted = 0
  const history = planned.map(({ at, ...operation }): Witnessed => {
    token++
    const last = reigns.at(-1)
    let owner = last !== undefined && at < last.to ? last : null
    const { holder, f, call, ttl } = operation
    const answer = ((): Answer => {
      if (f === 'read') return { ok: true, by: owner?.holder ?? null }
      if (f === 'acquire') {
        const again = owner?.holder === holder
        if (owner !== null && !again && at >= owner.lapses) {
          owner.to = at
          owner = null
        }
        if (owner !== null && !again) return { ok: false, by: owner.holder }
        if (owner === null) reigns.push({ holder, from: at, to: Number.POSITIVE_INFINITY, lapses: at + ttl })
        else owner.lapses = at + ttl
        if (!again) granted = token
        return { ok: true, token: granted, ...(again ? { again } : {}) }
      }
      if (owner?.holder !== holder) return { ok: false }
      if (f === 'renew') owner.lapses = at + ttl
      else owner.to = at
      return { ok: true }
    })()
    return { at, operation: { ...operation, call, out: operation.ret === Number.POSITIVE_INFINITY ? null : answer } }
  })
  return { history, reigns }
}

/** A small generator of numbers that a seed repeats. */
function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Another answer for this operation that cannot be true, however the operations around it are ordered; null when there is none. */
function lieAbout({ operation }: Witnessed, reigns: readonly Reign[], history: readonly Witnessed[]): Operation | null {
  const { call, ret, f, holder, out } = operation
  if (out === null || ret === Number.POSITIVE_INFINITY) return null
  const [begin, end] = [call - 2 * slowest, ret + 2 * slowest]
  const near = reigns.filter(({ from, to }) => from < end && to > begin)
  // One owner well before and well after, and not near its deadline: nothing else can have been true.
  const steady = near.length === 1 && near[0]!.from < begin && near[0]!.to > end && near[0]!.lapses > end + slowest ? near[0]! : null
  const lostNear = history.some(({ operation: other }) => other.ret === Number.POSITIVE_INFINITY && other.call < end)
  if (steady === null || lostNear) return null
  const isOwner = steady.holder === holder
  if (f === 'read') return { ...operation, out: { ok: true, by: null } }
  if (f === 'acquire') return { ...operation, out: isOwner ? { ok: false, by: 'somebody' } : { ok: true, token: 1_000_000 } }
  return { ...operation, out: { ok: !out.ok } }
}

it('accepts what a lease really did, with and without lost answers', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const { history } = simulate(mulberry(seed), 4, 60, seed % 3 === 0 ? 0.05 : 0)
    expect(verdict(history.map(({ operation }) => operation)), `seed ${seed}`).toBe(true)
  }
})

it('rejects at least 99 in 100 of the same histories with one lie in each', () => {
  let lies = 0
  let found = 0
  for (let seed = 1; lies < 600; seed++) {
    const { history, reigns } = simulate(mulberry(seed), 4, 60, 0)
    const candidates = history
      .map((witnessed, index) => ({ index, lie: lieAbout(witnessed, reigns, history) }))
      .filter(({ lie }) => lie !== null)
    for (const { index, lie } of candidates.slice(0, 4)) {
      lies++
      if (verdict(history.map(({ operation }, i) => (i === index ? lie! : operation))) === false) found++
    }
  }
  expect(found / lies).toBeGreaterThanOrEqual(0.99)
})

it('rejects a token that was given before', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100_000 }), seed => {
      const operations = simulate(mulberry(seed), 3, 40, 0).history.map(({ operation }) => operation)
      const grants = operations.filter(({ f, out }) => f === 'acquire' && out?.ok === true && out.again !== true)
      fc.pre(grants.length >= 2)
      const last = grants.at(-1)!
      const repeated = operations.map(each => (each === last ? { ...last, out: { ok: true, token: grants[0]!.out!.token! } } : each))
      expect(verdict(repeated)).toBe(false)
    }),
    { numRuns: 100 },
  )
})

it('checks 3,000 operations of 16 clients in a few seconds', () => {
  const operations = simulate(mulberry(5), 16, 3000, 0).history.map(({ operation }) => operation)
  const before = performance.now()
  expect(verdict(operations)).toBe(true)
  expect(performance.now() - before).toBeLessThan(5000)
})
