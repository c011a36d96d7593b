import { sha256Hex } from '../../core/sha256.ts'
import type { Wire } from '../../core/wire.ts'

// One record is one line of JSON whose last member is `sum`: 16 hexadecimal digits of the SHA-256 of the line without it. `prev` is the
// sum of the line before, so the lines form a chain. JSON escapes newlines and quotes, so nothing that a user writes can forge a line.

/** `prev` of the first line of all. */
export const firstPrev = '0000000000000000'

/** Longest line in bytes. */
export const maxLineBytes = 65_536

const newline = 0x0a
const sumPrefix = ',"sum":"'
const sumTail = `${sumPrefix}0123456789abcdef"}`.length
const brace = 0x7d
const comma = 0x2c

/** Plain arithmetic is faster than loading the native module until about this many bytes: then V8 begins to optimise it (10 ms, 4 MB). */
const nativeAfterBytes = 3072
let hashed = 0
let native: ((data: Uint8Array | string) => string) | undefined

/** The sums of lines that were read while hashing was slow, which is few: one command reads the end of the log several times. */
const readBefore = new Map<string, string>()

/** 16 hexadecimal digits of the SHA-256 of bytes, or of a text in UTF-8. */
export function checksum(data: Uint8Array | string): string {
  if (native !== undefined) return native(data)
  hashed += data.length
  if (hashed > nativeAfterBytes) return useNativeHash()(data)
  return sha256Hex(typeof data === 'string' ? Buffer.from(data) : data, 16)
}

/** Loads the native hash, once: the caller knows that many lines are coming. */
export function useNativeHash(): (data: Uint8Array | string) => string {
  if (native !== undefined) return native
  const { hash } = process.getBuiltinModule('node:crypto')
  native = data => hash('sha256', data, 'hex').slice(0, 16)
  return native
}

/** A line and the sum that the next one will carry as `prev`. */
export interface Sealed {
  readonly line: string
  readonly sum: string
}

/** Turns a record without `sum` into its line, newline included. */
export function seal(record: Wire): Sealed {
  const body = JSON.stringify(record)
  const sum = checksum(body)
  return { line: `${body.slice(0, -1)},"sum":"${sum}"}\n`, sum }
}

/** A line that vouches for itself. */
export interface Unsealed {
  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON; `core/wire.ts` gives it types
  readonly record: any
  readonly sum: string
}

/** The record in `bytes[start, end)` (newline excluded), or the reason why it is none. Leaves `bytes` as it was. */
export function unseal(bytes: Buffer, start: number, end: number): Unsealed | string {
  const length = end - start
  if (length > maxLineBytes) return 'the line is longer than 64 KiB'
  const cut = end - sumTail
  const text = bytes.toString('utf8', start, end)
  if (length <= sumTail || !text.startsWith(sumPrefix, text.length - sumTail)) return 'the line has no checksum at its end'
  if (!text.endsWith('"}')) return 'the line is cut off'
  const actual = native === undefined ? rememberedSum(text, bytes, start, cut) : sumOfLine(bytes, start, cut)
  const sum = sumOf(text)
  if (actual !== sum) return 'the checksum does not match'
  try {
    return { record: JSON.parse(text), sum }
  } catch {
    return 'the line is not JSON'
  }
}

/** Only while hashing is slow: with the native hash, looking a text up costs more than its sum. */
function rememberedSum(text: string, bytes: Buffer, start: number, cut: number): string {
  const known = readBefore.get(text)
  if (known !== undefined) return known
  const sum = sumOfLine(bytes, start, cut)
  // Without a replacement character in it no other bytes than these give this text.
  if (!text.includes('\ufffd')) readBefore.set(text, sum)
  return sum
}

/** The checksum covers the line as it was before `sum` was added, which ended with a brace where the comma is now. */
function sumOfLine(bytes: Buffer, start: number, cut: number): string {
  bytes[cut] = brace
  const sum = checksum(bytes.subarray(start, cut + 1))
  bytes[cut] = comma
  return sum
}

/** The line in `bytes[start, end)` (newline excluded), one character for each byte, or null when its checksum is not right. */
export function checkedLine(bytes: Buffer, start: number, end: number): string | null {
  const cut = end - sumTail
  if (cut <= start || end - start > maxLineBytes) return null
  const line = bytes.toString('latin1', start, end)
  if (!line.startsWith(sumPrefix, cut - start) || !line.endsWith('"}')) return null
  return sumOfLine(bytes, start, cut) === sumOf(line) ? line : null
}

/** The sum at the end of a line. */
export const sumOf = (line: string): string => line.slice(-18, -2)

/** Offset just after the last complete line; 0 when there is none. */
export const endOfLines = (bytes: Uint8Array): number => bytes.lastIndexOf(newline) + 1

/** Calls `visit(start, end)` for each complete line from `from`, newline excluded, until it returns false. */
export function eachLine(bytes: Buffer, from: number, visit: (start: number, end: number) => boolean): void {
  for (let start = from; start < bytes.length;) {
    const end = bytes.indexOf(newline, start)
    if (end < 0 || !visit(start, end)) return
    start = end + 1
  }
}
