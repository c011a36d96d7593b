import fc from 'fast-check'
import { expect, it } from 'vitest'
import { fingerprint } from '../../../src/store/file/fingerprint.ts'

/** FNV-1a over little-endian words, the rest byte by byte, with a shift after each step. */
function reference(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let hash = 0x811c9dc5 ^ bytes.length
  let at = 0
  const step = (value: number): void => {
    hash = Math.imul(hash ^ value, 0x01000193)
    hash ^= hash >>> 15
  }
  for (; at + 4 <= bytes.length; at += 4) step(view.getInt32(at, true))
  for (; at < bytes.length; at++) step(bytes[at]!)
  return hash >>> 0
}

const filled = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 151 + (i >> 8) * 7) & 255)

it('is the same for few bytes, in plain arithmetic, and for many, in machine code', () => {
  for (const length of [0, 1, 3, 4, 5, 1000, 16_383, 16_384, 65_535, 65_536, 65_537, 65_540, 131_072, 200_003])
    expect(fingerprint(filled(length)), `length ${length}`).toBe(reference(filled(length)))
})

it('does not depend on where the bytes lie', () => {
  const bytes = filled(70_000)
  for (const start of [1, 2, 3, 4]) expect(fingerprint(bytes.subarray(start))).toBe(reference(bytes.slice(start)))
})

it('notices any one byte that differs', () => {
  const bytes = filled(70_001)
  const print = fingerprint(bytes)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const other = bytes.slice()
      other[at]! ^= flip
      expect(fingerprint(other)).not.toBe(print)
    }),
    { numRuns: 200 },
  )
})

it('notices two bits that differ in the same place of two words', () => {
  const bytes = filled(10_240)
  const print = fingerprint(bytes)
  for (let bit = 0; bit < 32; bit++)
    for (let word = 1; word < 40; word++) {
      const other = bytes.slice()
      for (const at of [0, word]) other[at * 4 + (bit >> 3)]! ^= 1 << (bit & 7)
      expect(fingerprint(other), `bit ${bit}, words 0 and ${word}`).not.toBe(print)
    }
})
