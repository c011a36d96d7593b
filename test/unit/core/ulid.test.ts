import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isUlid, ulid, ulidAfter } from '../../../src/core/ulid.ts'

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const valueOf = (text: string): bigint => [...text].reduce((sum, symbol) => sum * 32n + BigInt(alphabet.indexOf(symbol)), 0n)
const unique = fc.uint8Array({ minLength: 10, maxLength: 10 })
const time = fc.integer({ min: 0, max: 2 ** 48 - 1 })

describe('ulid', () => {
  it('is the time and the ten bytes, read as one number of 128 bits', () => {
    fc.assert(
      fc.property(time, unique, (ms, bytes) => {
        const text = ulid(ms, bytes)
        expect(isUlid(text)).toBe(true)
        expect(valueOf(text)).toBe((BigInt(ms) << 80n) | bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n))
      }),
    )
  })

  it('matches the example of the specification in its time part', () => {
    expect(ulid(1_469_918_176_385, new Uint8Array(10)).slice(0, 10)).toBe('01ARYZ6S41')
  })

  it('sorts by time as text', () => {
    fc.assert(
      fc.property(time, time, unique, unique, (a, b, one, other) => {
        fc.pre(a < b)
        expect(ulid(a, one) < ulid(b, other)).toBe(true)
      }),
    )
  })
})

describe('ulidAfter', () => {
  it('adds to the number, with carry', () => {
    fc.assert(
      fc.property(time, unique, fc.nat(31), (ms, bytes, steps) => {
        const seed = ulid(ms, bytes)
        expect(valueOf(ulidAfter(seed, steps))).toBe((valueOf(seed) + BigInt(steps)) % (1n << 130n))
      }),
    )
    expect(ulidAfter('01ARYZ6S4100000000000000ZZ', 1)).toBe('01ARYZ6S410000000000000100')
  })

  it('gives the 32 members of the largest group ids of their own, in order', () => {
    const ids = Array.from({ length: 32 }, (_, index) => ulidAfter('01ARYZ6S41ZZZZZZZZZZZZZZZR', index))
    expect(new Set(ids).size).toBe(32)
    expect([...ids].sort()).toEqual(ids)
    expect(ids.every(isUlid)).toBe(true)
  })
})

it.each([
  '',
  '01ARYZ6S410000000000000000 ',
  '81ARYZ6S410000000000000000',
  '01aryz6s410000000000000000',
  '01ARYZ6S41000000000000000I',
  'ticket:a',
  '01ARYZ6S410000000000000000\n',
])('%j is no ulid', text => expect(isUlid(text)).toBe(false))
