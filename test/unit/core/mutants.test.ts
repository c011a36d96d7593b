import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { invariants } from '../../support/invariants.ts'
import { mutants } from '../../support/mutants.ts'
import type { Staging } from '../../support/random-history.ts'
import { plan, play } from '../../support/random-history.ts'

/** The same histories every time: whether a defect is found must not depend on luck. */
const plans = fc.sample(plan(), { numRuns: 400, seed: 20_260_801 })

/** What the first wrong answer is called, or null when all histories pass. */
async function firstFinding(staging: Staging): Promise<string | null> {
  for (const steps of plans) {
    const finding = await play(steps, staging).then(
      () => null,
      (error: Error) => error.message,
    )
    if (finding !== null) return finding
  }
  return null
}

describe('each defect is found', () => {
  it.each(mutants)('$name', async ({ staging }) => {
    expect(await firstFinding(staging)).toMatch(/^invariant \d+ |the model:/)
  })
})

describe('and by the invariants alone, without a second opinion', () => {
  it.each(mutants.filter(({ breaks }) => breaks.length > 0))('$name breaks $breaks', async ({ staging, breaks }) => {
    const finding = (await firstFinding({ ...staging, check: 'invariants' })) ?? ''
    const numbers = [...finding.matchAll(/^invariant (\d+) /gm)].map(([, number]) => Number(number))
    expect(numbers).toEqual(expect.arrayContaining([...breaks]))
  })
})

it('and the real one passes the same histories', async () => {
  for (const steps of plans) await play(steps)
  expect(invariants).toHaveLength(15)
})
