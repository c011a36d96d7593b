import type { Lease } from './lease.ts'
import type { Entry, Operation } from './operation.ts'
import type { Refusal } from './refusal.ts'
import type { Session } from './session.ts'

// What the rules answer.

/** What a command did, apart from the leases it leaves behind. */
export interface Outcome {
  /** Keys whose leases are the answer. */
  readonly resources: readonly string[]
  /** The leases that this command ended. */
  readonly ended: readonly Lease[]
  /** The sessions that it ended. */
  readonly endedSessions: readonly Session[]
  readonly alreadyHeld: boolean
  readonly late: boolean
  /** The record of the first answer, when the op_id had been used before. */
  readonly replayOf: Entry | null
}

export type Decision =
  | { readonly ok: true; readonly operations: readonly Operation[]; readonly outcome: Outcome }
  | { readonly ok: false; readonly refusal: Refusal }

const none: readonly never[] = []

export const refuse = (refusal: Refusal): Decision => ({ ok: false, refusal })

export const accept = (
  operations: readonly Operation[],
  {
    resources,
    ended = none,
    endedSessions = none,
    alreadyHeld = false,
    late = false,
    replayOf = null,
  }: Partial<Outcome> & Pick<Outcome, 'resources'>,
): Decision => ({ ok: true, operations, outcome: { resources, ended, endedSessions, alreadyHeld, late, replayOf } })
