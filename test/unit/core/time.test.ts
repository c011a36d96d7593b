import fc from 'fast-check'
import { expect, it } from 'vitest'
import { isoFromMs, msFromIso } from '../../../src/core/time.ts'

const year0 = new Date('0000-01-01T00:00:00.000Z').getTime()
const year9999 = new Date('9999-12-31T23:59:59.999Z').getTime()

it.each([
  0,
  1,
  -1,
  999,
  951_782_400_000, // 2000-02-29
  4_107_542_400_000, // 2100-03-01: not a leap year
  1_709_164_799_999, // 2024-02-28T23:59:59.999
  1_709_164_800_000,
  1_735_689_599_999, // the last millisecond of 2024
  year0,
  year9999,
])('writes %d as Date does, and reads it back', ms => {
  expect(isoFromMs(ms)).toBe(new Date(ms).toISOString())
  expect(msFromIso(isoFromMs(ms))).toBe(ms)
})

it('agrees with Date over all years of four digits', () => {
  fc.assert(
    fc.property(fc.integer({ min: year0, max: year9999 }), ms => {
      const iso = new Date(ms).toISOString()
      expect(isoFromMs(ms)).toBe(iso)
      expect(msFromIso(iso)).toBe(ms)
    }),
    { numRuns: 5000 },
  )
})

it('agrees with Date on both sides of every midnight of every leap-year cycle', () => {
  for (let day = Math.floor(Date.UTC(1999, 11, 1) / 86_400_000); day < Date.UTC(2101, 2, 3) / 86_400_000; day++) {
    for (const ms of [day * 86_400_000 - 1, day * 86_400_000]) {
      if (isoFromMs(ms) !== new Date(ms).toISOString() || msFromIso(isoFromMs(ms)) !== ms) expect.fail(`day ${day}`)
    }
  }
})

it.each([
  '',
  'now',
  '2024-01-01T00:00:00Z',
  '2024-01-01T00:00:00.000+00',
  '2024-01-01T00:00:00.0000Z',
  'abcd-01-01T00:00:00.000Z',
  '2024-0x-01T00:00:00.000Z',
])('does not read %j as a time', text => expect(msFromIso(text)).toBeNaN())
