import { describe, expect, it } from 'vitest'
import { isFault } from '../../../src/core/fault.ts'
import { bounds, defaultPolicy, isTtl, makePolicy } from '../../../src/core/policy.ts'
import type { Policy } from '../../../src/core/policy.ts'

describe('a policy', () => {
  it('has the defaults of ruling 35', () => {
    expect(makePolicy({})).toEqual(defaultPolicy)
    expect(defaultPolicy).toMatchObject({ ttlSecs: 1800, staleSecs: 3600 })
  })

  it.each<Partial<Policy>>([
    { ttlSecs: 1 },
    { ttlSecs: bounds.maxTtlSecs },
    { staleSecs: 0 },
    { maxIndefinitePerAgent: 0 },
    { maxIndefinitePerRepo: 1000 },
  ])('may be %j', chosen => expect(makePolicy(chosen)).toEqual({ ...defaultPolicy, ...chosen }))

  it.each<[Partial<Policy>, string]>([
    [{ ttlSecs: 0 }, 'ttl'],
    [{ ttlSecs: 0.5 }, 'ttl'],
    [{ ttlSecs: bounds.maxTtlSecs + 1 }, 'ttl'],
    [{ ttlSecs: Number.NaN }, 'ttl'],
    [{ staleSecs: -1 }, 'stale_after'],
    [{ staleSecs: Number.NaN }, 'stale_after'],
    [{ maxIndefinitePerAgent: -1 }, 'max_indefinite_leases_per_agent'],
    [{ maxIndefinitePerAgent: 1.5 }, 'max_indefinite_leases_per_agent'],
    [{ maxIndefinitePerRepo: 1001 }, 'max_indefinite_leases_per_repo'],
    [{ maxIndefinitePerRepo: Number.POSITIVE_INFINITY }, 'max_indefinite_leases_per_repo'],
  ])('may not be %j: the message names %s', (chosen, named) => {
    try {
      makePolicy(chosen)
      expect.unreachable()
    } catch (error) {
      expect(isFault(error) && error.code === 'usage' && error.message).toContain(named)
    }
  })
})

it.each<[number, boolean]>([
  [0, true],
  [1, true],
  [1.5, true],
  [2_592_000, true],
  [0.999, false],
  [-1, false],
  [2_592_001, false],
  [Number.NaN, false],
  [Number.POSITIVE_INFINITY, false],
])('a ttl of %d s: %s', (secs, possible) => expect(isTtl(secs)).toBe(possible))
