import fc from 'fast-check'
import { expect, it } from 'vitest'
import { invariants } from '../../support/invariants.ts'
import { assertHistories, plan, play, seed } from '../../support/random-history.ts'

it('checks fifteen invariants', () => {
  expect(invariants.map(({ number }) => number)).toEqual(Array.from({ length: 15 }, (_, index) => index + 1))
})

it(`holds every invariant and agrees with the model after every command (seed ${seed})`, async () => {
  await assertHistories(
    fc.asyncProperty(plan(), async steps => void (await play(steps))),
    2000,
  )
})

it(`also with a guard before each eviction (seed ${seed})`, async () => {
  await assertHistories(
    fc.asyncProperty(plan(), async steps => void (await play(steps, { guardMs: 3000 }))),
    700,
  )
})
