import { whenMoved } from '../../coordinator.ts'
import { Fault, isFault } from '../../core/fault.ts'
import type { Workspace } from './workspace.ts'

/** How long to wait for what somebody else has, milliseconds, and whom to tell when that begins. */
export interface Patience {
  readonly ms: number
  readonly onWait: () => void
}

/** How often it is looked at least whether what somebody has is free, milliseconds: a death writes no record. */
const lookAgainMs = 1000

/**
 * Tries until nobody else has it, and no move to another store is under way: each change of the log wakes it. An attempt that throws `held`
 * has done nothing that it would have to take back. Throws `timeout` when the time is over, and at once what else an attempt throws; `held`
 * too, where nobody waits.
 */
export async function whenFree<T>({ coordinator }: Workspace, patience: Patience | null, attempt: () => Promise<T>): Promise<T> {
  if (patience === null) return attempt()
  const deadline = performance.now() + patience.ms
  for (let told = false; ; told = true) {
    // Read before the attempt: what is written from then on wakes.
    // oxlint-disable-next-line no-await-in-loop -- each attempt follows a change
    const { lastSeq } = await coordinator.view()
    try {
      // oxlint-disable-next-line no-await-in-loop -- as above
      return await whenMoved(attempt, deadline)
    } catch (error) {
      if (!isFault(error) || error.code !== 'held') throw error
      const left = deadline - performance.now()
      if (left <= 0) throw waitedLongEnough(error, patience.ms)
      if (!told) patience.onWait()
      // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
      await coordinator.changed(lastSeq, Math.min(left, lookAgainMs))
    }
  }
}

function waitedLongEnough(held: Fault, ms: number): Fault {
  const { message, hint, details } = held
  return new Fault('timeout', `waited ${Math.round(ms / 100) / 10} s, and ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
    cause: held,
  })
}
