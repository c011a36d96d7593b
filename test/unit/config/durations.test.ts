import { describe, expect, it } from 'vitest'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../../src/service/config/durations.ts'

const minute = 60_000

describe('durations', () => {
  it('are read as documented', () => {
    const cases: readonly (readonly [string, number])[] = [
      ['600', 600_000],
      ['0', 0],
      ['300ms', 300],
      ['10m', 10 * minute],
      ['2h', 120 * minute],
      ['30d', 43_200 * minute],
      ['1h30m', 90 * minute],
      ['1d2h3m4s5ms', 93_784_005],
      [' 45s ', 45_000],
    ]
    for (const [text, ms] of cases) expect(parseDuration(text, '--ttl'), text).toBe(ms)
  })

  it('are refused with the name of the flag and an example', () => {
    for (const bad of [
      '',
      ' ',
      '-1',
      '1.5h',
      '10 m',
      '10x',
      'm',
      '30m1h',
      '1h 30m',
      '1e3',
      '٣',
      '99999999999999d',
      '1m1m',
      '1h30',
      '5ms1s',
      '1h2',
      '3hm',
      '1 '.repeat(2),
    ]) {
      expect(() => parseDuration(bad, '--ttl'), bad).toThrow(
        expect.objectContaining({ name: 'Fault', code: 'usage', message: expect.stringMatching(/^--ttl: /) }),
      )
    }
    expect(() => parseDuration('soon', 'lock_wait')).toThrow(expect.objectContaining({ hint: expect.stringContaining('1h30m') }))
  })

  it('are shown by their two largest units, and can be typed again', () => {
    const cases: readonly (readonly [number, string])[] = [
      [0, '0s'],
      [0.4, '1ms'],
      [300, '300ms'],
      [45_999, '45s'],
      [90 * minute, '1h30m'],
      [3_600_500, '1h'],
      [93_784_005, '1d2h'],
      [86_400_000 + 5000, '1d'],
      [-90_000, '-1m30s'],
    ]
    for (const [ms, text] of cases) expect(formatDuration(ms)).toBe(text)
    for (const text of ['45s', '1h30m', '90d', '300ms']) expect(formatDuration(parseDuration(text, 'x'))).toBe(text)
  })
})

describe('sizes', () => {
  it('are read and shown exactly', () => {
    for (const [text, bytes] of [
      ['65536', 65_536],
      ['64KiB', 65_536],
      ['1MiB', 1_048_576],
      ['2 GiB', 2_147_483_648],
      ['7B', 7],
    ] as const) {
      expect(parseSize(text, 'log.segment_size')).toBe(bytes)
    }
    expect([0, 1000, 65_536, 1_048_576, 3 * 1024 ** 3].map(formatSize)).toEqual(['0B', '1000B', '64KiB', '1MiB', '3GiB'])
  })

  it('are refused with the name of the key', () => {
    for (const bad of ['', '1MB', '1.5MiB', '-1', 'KiB', '1mib', '99999999999GiB', '1constructor']) {
      expect(() => parseSize(bad, 'log.segment_size'), bad).toThrow(
        expect.objectContaining({ code: 'usage', message: expect.stringMatching(/^log\.segment_size: /) }),
      )
    }
  })
})
