import type { Reading } from '../../store/store.ts'
import type { Seen } from '../claim/answer.ts'
import type { Pending } from '../claim/pending.ts'
import { listedPending } from '../claim/pending.ts'
import { listedLeases } from '../claim/reports.ts'
import type { SeenSession } from './report.ts'
import { listedSessions } from './report.ts'

/** A ticket that an agent could be launched for. */
export interface OpenTicket {
  readonly id: string
  readonly title: string
  readonly state: string
  readonly priority: string
}

/** Everything that a person who watches wants to see, at one moment. */
export interface Overview {
  readonly pending: readonly Pending[]
  readonly sessions: readonly SeenSession[]
  readonly mine: readonly Seen[]
  readonly others: readonly Seen[]
  readonly tickets: readonly OpenTicket[]
  readonly warnings: readonly string[]
}

/** `agentId`: who watches; null when nobody has said. */
export function overviewOf(view: Reading, agentId: string | null, tickets: readonly OpenTicket[]): Overview {
  // A reservation that is a record is a lease already, and shown as what it is.
  const leases = listedLeases(view).filter(({ lease }) => lease.state !== 'pending')
  return {
    pending: listedPending(view),
    sessions: listedSessions(view),
    mine: leases.filter(({ lease }) => lease.holder.agentId === agentId),
    others: leases.filter(({ lease }) => lease.holder.agentId !== agentId),
    tickets,
    warnings: view.warnings,
  }
}
