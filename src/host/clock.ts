import fs from 'node:fs'
import { Fault } from '../core/fault.ts'
import type { Instant } from '../core/lease.ts'
import { bootId, timeNamespace } from './process.ts'

/** Where `now` comes from; replaced in tests. */
export interface Clock {
  now(): Instant
}

/** The monotonic clock may be ahead of the uptime by rounding only; more means that something pretends. */
const allowedLeadMs = 20_000

/** The boot part of a clock's name: records of one boot share it, in every time namespace. */
export const bootOf = (clockName: string): string => clockName.slice(0, clockName.indexOf('.'))

/**
 * The machine's clocks. `m` is CLOCK_MONOTONIC, the same for all processes of one boot; it stands still while the machine sleeps,
 * and so does everybody who could be working. Throws `unavailable` when the clock cannot be the kernel's.
 */
export function systemClock(): Clock {
  const boot = (bootId() ?? 'unknown').replaceAll('-', '').slice(0, 16)
  const b = `${boot}.${timeNamespace()}`
  let checked = false
  return {
    now() {
      const m = Math.floor(Number(process.hrtime.bigint()) / 1e6)
      if (!checked) refuseFalseClock(m)
      checked = true
      return { b, m, wall: Date.now() }
    },
  }
}

/**
 * faketime and its like make CLOCK_MONOTONIC read like the wall clock unless told otherwise. One record with such a time would
 * expire every lease and then stop the log's clock for years, so it is refused before anything is judged or written.
 */
function refuseFalseClock(m: number): void {
  const uptime = readFirstNumber('/proc/uptime')
  if (uptime === null || m <= uptime * 1000 + allowedLeadMs) return
  if (m - offsetMs('monotonic') <= uptime * 1000 - offsetMs('boottime') + allowedLeadMs) return
  throw new Fault(
    'unavailable',
    `this process's monotonic clock (${Math.round(m / 1000)} s) is ahead of the kernel's uptime (${Math.round(uptime)} s)`,
    {
      hint: 'under faketime, leave the monotonic clock alone: FAKETIME_DONT_FAKE_MONOTONIC=1',
      details: { outcome: 'nothing_changed' },
    },
  )
}

function readFirstNumber(file: string): number | null {
  try {
    return Number.parseFloat(fs.readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

/** What this time namespace adds to a clock, milliseconds. */
function offsetMs(name: 'monotonic' | 'boottime'): number {
  try {
    const line = fs
      .readFileSync('/proc/self/timens_offsets', 'latin1')
      .split('\n')
      .find(each => each.startsWith(name))
    return Number(line?.trim().split(/\s+/)[1] ?? 0) * 1000
  } catch {
    return 0
  }
}
