import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { kernelLock } from '../../host/kernel-lock.ts'
import { ended, killGroup } from './guard.ts'
import type { Order } from './order.ts'
import type { Launcher } from './storm.ts'
import { launch } from './storm.ts'

export interface Exclusion {
  readonly rounds: number
  /** How often the lock of a living process kept us out; as often as there were rounds, if it is one. */
  readonly excluded: number
  /** The longest time from kill -9 until the lock was free, milliseconds; null when it stayed locked. */
  readonly freedAfterMs: number | null
}

const rounds = 3

/** The kernel frees a lock some milliseconds after its owner was killed. */
const freeWithinMs = 5000

/** Asks the kernel directly: does a lock that another process holds keep us out, and is it free soon after that process was killed? */
export async function tryExclusion(launcher: Launcher, order: Order): Promise<Exclusion> {
  const lock = kernelLock()
  let excluded = 0
  let freedAfterMs: number | null = 0
  for (let round = 0; round < rounds; round++) {
    const child = launch(launcher, { ...order, role: 'hold' })
    const exit = ended(child)
    const fd = fs.openSync(order.counter, 'a+')
    try {
      await Promise.race([new Promise(resolve => child.stdout?.once('data', resolve)), exit])
      if (!lock.tryExclusive(fd)) excluded++
      else lock.unlock(fd)
      const from = performance.now()
      killGroup(child)
      while (!lock.tryExclusive(fd) && performance.now() - from < freeWithinMs) await sleep(1)
      const took = performance.now() - from
      freedAfterMs = freedAfterMs === null || took >= freeWithinMs ? null : Math.max(freedAfterMs, Math.round(took * 10) / 10)
      await exit
    } finally {
      killGroup(child)
      fs.closeSync(fd)
    }
  }
  return { rounds, excluded, freedAfterMs }
}
