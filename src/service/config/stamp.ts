import type { BigIntStats } from 'node:fs'

/** What changes whenever a file does: which file it is, its size and its times. Empty for a file that is not there. */
export const stampOf = (stats: BigIntStats | undefined): string =>
  stats === undefined ? '' : `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`

/**
 * Was the file last changed long enough ago for its times to tell a later change? Git calls the others "racily clean": within one
 * tick of the file system's clock a second edit of the same size leaves the same stamp.
 */
export function isSettled(stats: BigIntStats | undefined, nowMs: number): boolean {
  if (stats === undefined) return true
  // Whole seconds betray a file system that records no more.
  const tickMs = stats.ctimeNs % 1_000_000_000n === 0n ? 2000 : 100
  return Number(stats.ctimeNs / 1_000_000n) + tickMs < nowMs
}
