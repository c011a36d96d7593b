import { usage } from '../../core/fault.ts'

const secondMs = 1000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** Longer than anything that is meant, and short enough that sums stay exact. */
const maxDurationMs = 100 * 366 * dayMs

/** Each at most once and in this order, milliseconds. */
const durationUnits: readonly (readonly [string, number])[] = [
  ['d', dayMs],
  ['h', hourMs],
  ['m', minuteMs],
  ['s', secondMs],
  ['ms', 1],
]

const sizeUnits: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** Milliseconds from `600` (seconds), `300ms`, `10m`, `2h`, `30d`, `1h30m`. `name` is the flag or key that the error names. Throws `usage`. */
export function parseDuration(text: string, name: string): number {
  const total = durationMs(text.trim())
  if (total === null)
    throw usage(`${name}: ${JSON.stringify(text)} is no duration.`, 'For example 600 (seconds), 300ms, 10m, 2h, 30d or 1h30m.')
  if (total > maxDurationMs) throw usage(`${name}: ${JSON.stringify(text)} is longer than a hundred years.`)
  return total
}

/** By hand rather than by pattern: compiling one costs each command more than all the durations that it reads. */
function durationMs(text: string): number | null {
  let total = 0
  let unitsPassed = 0
  for (let at = 0; at < text.length;) {
    const [digits, unit] = [at, endOfDigits(text, at)]
    if (unit === digits) return null
    const value = Number(text.slice(digits, unit))
    if (unit === text.length) return digits === 0 ? value * secondMs : null
    for (at = unit; at < text.length && endOfDigits(text, at) === at;) at++
    const place = durationUnits.findIndex(([name]) => name === text.slice(unit, at))
    if (place < unitsPassed) return null
    total += value * durationUnits[place]![1]
    unitsPassed = place + 1
  }
  return text === '' ? null : total
}

function endOfDigits(text: string, from: number): number {
  let at = from
  while (text.charCodeAt(at) >= 48 && text.charCodeAt(at) <= 57) at++
  return at
}

/** A duration for people, its two largest units, in a form that can be typed again: `1h30m`, `45s`, `300ms`, `0s`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (ms > 0 && ms < secondMs) return `${Math.ceil(ms)}ms`
  const total = Math.floor(ms / secondMs)
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(total / 86_400), 'd'],
    [Math.floor(total / 3600) % 24, 'h'],
    [Math.floor(total / 60) % 60, 'm'],
    [total % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first < 0) return '0s'
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0)
  return shown.map(([count, unit]) => `${count}${unit}`).join('')
}

/** Bytes from `65536`, `64KiB`, `1MiB`, `2GiB`. `name` is the flag or key that the error names. Throws `usage`. */
export function parseSize(text: string, name: string): number {
  const [, digits = '', unit = ''] = /^([0-9]+) ?([A-Za-z]*)$/.exec(text.trim()) ?? []
  const factor = sizeUnits[unit]
  const bytes = Number(digits) * (factor ?? NaN)
  if (digits === '' || !Number.isSafeInteger(bytes))
    throw usage(`${name}: ${JSON.stringify(text)} is no size.`, 'For example 65536 (bytes), 64KiB or 1MiB.')
  return bytes
}

/** A size for people, exact: `1MiB`, `65KiB`, `1000B`. */
export function formatSize(bytes: number): string {
  const unit = ['GiB', 'MiB', 'KiB'].find(name => bytes > 0 && bytes % (sizeUnits[name] ?? 1) === 0) ?? 'B'
  return `${bytes / (sizeUnits[unit] ?? 1)}${unit}`
}
