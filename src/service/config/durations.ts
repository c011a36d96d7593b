import { usage } from '../../core/fault.ts'

const secondMs = 1000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** Longer than anything that is meant, and short enough that sums stay exact. */
const maxDurationMs = 100 * 366 * dayMs

const sizeUnits: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** Milliseconds from `600` (seconds), `300ms`, `10m`, `2h`, `30d`, `1h30m`. `name` is the flag or key that the error names. Throws `usage`. */
export function parseDuration(text: string, name: string): number {
  const parts = /^(?:([0-9]+)|(?=[0-9])(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?)$/.exec(text.trim())
  if (parts === null)
    throw usage(`${name}: ${JSON.stringify(text)} is no duration.`, 'For example 600 (seconds), 300ms, 10m, 2h, 30d or 1h30m.')
  const [plain, days, hours, minutes, seconds, ms] = parts.slice(1).map(digits => Number(digits ?? 0))
  const total =
    ((plain ?? 0) + (seconds ?? 0)) * secondMs + (days ?? 0) * dayMs + (hours ?? 0) * hourMs + (minutes ?? 0) * minuteMs + (ms ?? 0)
  if (total > maxDurationMs) throw usage(`${name}: ${JSON.stringify(text)} is longer than a hundred years.`)
  return total
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
