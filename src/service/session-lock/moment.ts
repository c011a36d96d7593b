import { systemClock } from '../../host/clock.ts'
import type { Moment } from './record.ts'

/** Now, on both clocks of this machine. Throws `unavailable` when the monotonic one is not the kernel's. */
export function momentNow(): Moment {
  const { b, m, wall } = clock.now()
  return { wall, clk: { b, m } }
}

const clock = systemClock()

/** Milliseconds since this process began. The global `performance` says the same, and loading it costs a tool call a millisecond. */
export const elapsedMs = (): number => process.uptime() * 1000
