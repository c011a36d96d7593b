import { Fault } from '../../core/fault.ts'

/**
 * For whoever looks again and again. Throws `unavailable` where a store that had records up to `seenSeq` has none any more: one that is gone
 * looks like one that was never made, and not like one in which everything was given back.
 */
export function refuseGone(location: string, lastSeq: number, seenSeq: number): void {
  if (lastSeq > 0 || seenSeq === 0) return
  throw new Fault('unavailable', `the store ${location} is gone: what it had is not there any more`, {
    hint: 'put the repository, or the store, back; or end this',
    details: { outcome: 'nothing_changed' },
  })
}
