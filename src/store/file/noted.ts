import { Fault } from '../../core/fault.ts'
import type { Layout } from './directory.ts'

/** The set of leases that a repository uses, as the store beside it notes. */
export interface Noted {
  readonly space: string
  /** Of the store that has the note. */
  readonly beside: string
}

/**
 * Throws `unavailable` where the set of leases that is noted is not in this directory: a disk that is not mounted must never look like one
 * on which everything is free. `space`: the set that is here, null where there is none.
 */
export function refuseAbsent(noted: Noted | undefined, { directory }: Layout, space: string | null): void {
  if (noted === undefined || noted.space === space) return
  const expected = `this repository's leases (space ${noted.space}, says ${noted.beside})`
  const details = { outcome: 'nothing_changed', expected_space: noted.space, space }
  if (space === null)
    throw new Fault('unavailable', `${directory} has no store, and ${expected} are there: who holds what is unknown`, {
      hint: 'mount or put back what belongs there; if it is lost for good, begin anew with larger tokens: lh recover --cut',
      details,
    })
  throw new Fault('unavailable', `${directory} has other leases (space ${space}) than ${expected}`, {
    hint: 'mount or put back what belongs there; to use from now on what is there instead: lh doctor --moved',
    details,
  })
}
