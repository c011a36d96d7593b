import { Fault, isFault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { HeldTicket } from './hold.ts'

/** How often an indefinite lease, or one with a long TTL, gives a sign of life, milliseconds. */
const longestIntervalMs = 60_000

/** After a renewal that did not reach the store, milliseconds. */
const againMs = 1000

/** How long the log may be quiet until it is looked at all the same, and the least time between two looks, milliseconds. */
const lookAgainMs = 5000
const betweenLooksMs = 500

const pause = (ms: number): Promise<void> => new Promise(resolve => void setTimeout(resolve, ms).unref())

/** A lease that is kept while something long runs. */
export interface Kept {
  /** What ended it, null while it is held. */
  readonly lost: unknown
  stop(): void
}

/**
 * Renews a ticket's lease at a fifth of its TTL until `stop`, and looks at each change of the log: an eviction is meant to stop the work
 * now. `onLost` is called once when it is lost, also when no renewal succeeded until our own deadline: then somebody else may be the
 * holder, whether we hear of it or not.
 */
export async function keepLease(held: HeldTicket, onLost: () => void, warn: (text: string) => void): Promise<Kept> {
  const ttlMs = held.lease.ttlSecs === 0 ? Number.POSITIVE_INFINITY : held.lease.ttlSecs * 1000
  const marginMs = Math.min(ttlMs / 3, Math.max(2000, ttlMs / 10))
  const intervalMs = Math.min(ttlMs / 5, longestIntervalMs)
  let deadline = Number.POSITIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  let lost: unknown = null
  const goesOn = (): boolean => !stopped && lost === null

  const beat = async (): Promise<void> => {
    const sentAt = performance.now()
    await held.renew()
    if (ttlMs !== Number.POSITIVE_INFINITY) deadline = sentAt + ttlMs - marginMs
  }
  const next = (ms: number): void => {
    if (goesOn()) timer = setTimeout(() => void tick(), ms)
  }
  const lose = (why: unknown): void => {
    if (!goesOn()) return
    lost = why
    clearTimeout(timer)
    onLost()
  }
  const tick = async (): Promise<void> => {
    try {
      await beat()
      next(intervalMs)
    } catch (error) {
      if (!mayPass(error)) return lose(error)
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) return lose(unreachable(held, error))
      if (!stopped) warn(`the lease of ${held.ticketId} could not be renewed (${(error as Error).message}); trying again`)
      next(Math.min(againMs, leftMs))
    }
  }
  const keepLooking = async (): Promise<void> => {
    while (goesOn()) {
      // What cannot be read now, the renewals find out.
      // oxlint-disable-next-line no-await-in-loop -- one look after the other is the point
      const seen = await held.look().catch(() => null)
      // Another renewal says by which refusal it was lost.
      // oxlint-disable-next-line no-await-in-loop -- as above
      if (seen?.current === false && !stopped) await beat().catch((error: unknown) => (mayPass(error) ? undefined : lose(error)))
      // oxlint-disable-next-line no-await-in-loop -- as above
      if (seen !== null && goesOn()) await held.changed(seen.seq, lookAgainMs).catch(() => undefined)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await pause(betweenLooksMs)
    }
  }
  // A lease of the caller's own may be about to end: the first renewal makes sure of all its time.
  if (held.momentary) deadline = performance.now() + ttlMs - marginMs
  else await beat()
  next(intervalMs)
  void keepLooking()
  return {
    get lost() {
      return lost
    },
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}

/** The store did not answer; everything else it says is an answer. */
const mayPass = (error: unknown): boolean => !isFault(error) || error.code === 'unavailable' || error.code === 'timeout'

const unreachable = ({ ticketId, lease }: HeldTicket, cause: unknown): Fault =>
  new Fault('superseded', `the lease of ${ticketId} could not be renewed in time: ${(cause as Error).message}`, {
    hint: `see who has it: lh why ${shellWord(lease.resource)}`,
    cause,
  })
