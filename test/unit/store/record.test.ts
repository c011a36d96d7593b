import { expect, it, vi } from 'vitest'

// Lines are remembered by their text while hashing is slow; a line that changed must still be found out.

it.each(['größer', 'größer �'])('a line that was read before is judged again when any of its bytes is another: %s', async reason => {
  vi.resetModules()
  const { seal, unseal } = await import('../../../src/store/file/record.ts')
  const { line } = seal({ reason, more: 'and so on, and so on' })
  const bytes = Buffer.from(line)
  const read = (from: Buffer) => unseal(from, 0, from.length - 1)
  expect(read(bytes)).toMatchObject({ record: { reason } })
  expect(read(bytes)).toMatchObject({ record: { reason } })
  for (let at = 0; at < bytes.length - 1; at++) {
    for (const value of [bytes[at]! ^ 1, 0x80, 0xff]) {
      if (value === bytes[at]) continue
      const damaged = Buffer.from(bytes)
      damaged[at] = value
      expect(typeof read(damaged), `byte ${at} is ${value}`).toBe('string')
    }
  }
  expect(read(bytes)).toMatchObject({ record: { reason } })
})
