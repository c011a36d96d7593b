import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { sha256Hex } from '../../../src/core/sha256.ts'

const native = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

it('gives the values of FIPS 180-4', () => {
  expect(sha256Hex(new TextEncoder().encode('abc'), 64)).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  expect(sha256Hex(new Uint8Array(0), 64)).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

it('agrees with the native one at every length around the padding of up to five blocks', () => {
  for (let length = 0; length <= 321; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 151 + length * 7) & 255)
    expect(sha256Hex(bytes, 64), `length ${length}`).toBe(native(bytes))
  }
})

it('agrees with the native one on any bytes, whole and cut short', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.constantFrom(55, 56, 63, 64, 65, 119, 120, 4096).map(length => new Uint8Array(length).fill(0xff)),
  )
  fc.assert(
    fc.property(bytes, fc.constantFrom(8, 16, 32, 64), (input, digits) => {
      expect(sha256Hex(input, digits)).toBe(native(input).slice(0, digits))
    }),
    { numRuns: 300 },
  )
})

it('leaves its input alone and remembers nothing of the call before', () => {
  const bytes = new TextEncoder().encode('x'.repeat(100))
  const before = bytes.slice()
  sha256Hex(bytes, 64)
  expect(bytes).toEqual(before)
  expect(sha256Hex(bytes, 64)).toBe(native(bytes))
})
