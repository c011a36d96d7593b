import { describe, expect, it } from 'vitest'
import type { CrashOptions, Tally } from '../support/fault-crash.ts'
import { crashRun, emptyTally, variants } from '../support/fault-crash.ts'
import { scale } from '../support/fault.ts'

/** Histories with these seeds, until `enough` says so. */
async function runs(first: number, count: number, options: CrashOptions, enough: (tally: Tally) => boolean = () => false): Promise<Tally> {
  const tally = emptyTally()
  for (let seed = first; seed < first + count && !enough(tally); seed++) await crashRun(seed, tally, options)
  return tally
}

const minutes = 60_000 * Math.max(1, scale)

describe('a power loss at any step', () => {
  it('leaves a store that opens by itself with all that was acknowledged', { timeout: 5 * minutes }, async () => {
    const tally = await runs(1, Math.ceil(210 * scale), { density: 0.9 })
    expect(tally.violations.slice(0, 3)).toEqual([])
    // The run is worth something only if it met what it is about.
    expect(tally.rotations).toBeGreaterThan(100 * scale)
    expect(tally.kills).toBeGreaterThan(100 * scale)
    expect(tally.repaired).toBeGreaterThan(1000 * scale)
    if (scale >= 1) expect(tally.states).toBeGreaterThan(20_000 * scale)
    // Ruling 12: where a whole record follows a damaged one, a person is asked. Nothing that was acknowledged lies behind the damage.
    expect(tally.refused).toBeLessThan(tally.states / 50)
  })

  it('also beside a disk whose syncs fail', { timeout: 5 * minutes }, async () => {
    const tally = await runs(10_001, Math.ceil(60 * scale), { density: 0.9, failingSyncs: 0.06 })
    expect(tally.violations.slice(0, 3)).toEqual([])
    expect(tally.acknowledged).toBeGreaterThan(100 * scale)
  })
})

describe('the same, deliberately broken', () => {
  for (const [name, { variant, finds, failingSyncs = 0 }] of Object.entries(variants)) {
    it(`${name}: is found`, { timeout: 5 * minutes }, async () => {
      const tally = await runs(1, 400, { variant, density: 1, failingSyncs }, ({ violations }) =>
        violations.some(({ what }) => finds.test(what)),
      )
      expect(
        tally.violations.map(({ what }) => what).find(what => finds.test(what)),
        `${tally.states} states, nothing found`,
      ).toBeDefined()
    })
  }
})
