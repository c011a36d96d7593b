import type { Lease, Past } from '../../core/lease.ts'
import { isFinal } from '../../core/lease.ts'
import type { Ticket } from './ticket.ts'
import { isFinished, priorities } from './ticket.ts'

// May this ticket be claimed, and is it handed out? Pure: facts in, verdict and reasons out.

/** A dependency that is not done yet, and why not. */
export interface Blocker {
  readonly id: string
  /** For people: `ready`, `inprogress`, `done on work/x, not merged`, `no such ticket`. */
  readonly why: string
  /** The branch that has it done, and has to be merged. */
  readonly branch?: string
}

/** What is known of a ticket beside its file. */
export interface Facts {
  /** What is wrong with its file, so that all of this is a guess; null for nothing. */
  readonly damage: string | null
  readonly blockers: readonly Blocker[]
  /** Copies of it on other branches that say it is over: `done on main`. */
  readonly finishedElsewhere: string | null
  readonly lease: Lease | null
  readonly past: Past | null
}

/** The verdict on one ticket. */
export interface Readiness {
  /** `ticket next` may give it out now. */
  readonly ready: boolean
  /** A claim of it would be refused, whoever asks. */
  readonly claimable: boolean
  readonly blockers: readonly Blocker[]
  /** Why the work on it is over, in words; null when it is not. */
  readonly over: string | null
  /** Why it is not ready, in words; empty when it is. */
  readonly reasons: readonly string[]
}

/** Judges a ticket. A lease does not make it unclaimable: its holder is told, and it ends. */
export function readinessOf(ticket: Ticket, facts: Facts): Readiness {
  const over = overIn(ticket, facts)
  const { blockers, damage, lease } = facts
  const reasons: string[] = []
  if (damage !== null) reasons.push(`damaged: ${damage}`)
  if (over !== null) reasons.push(over)
  for (const { id, why } of blockers) reasons.push(`waits for ${id} (${why})`)
  if (over === null && ticket.status === 'pending') reasons.push('pending: put aside')
  if (over === null && ticket.workflowState === 'intake') reasons.push('intake: not clarified yet')
  if (over === null && ticket.workflowState === 'inprogress' && lease === null)
    reasons.push('inprogress: somebody started it, and nobody holds it now')
  if (lease !== null) reasons.push(`held by ${lease.holder.agentId}`)
  return { ready: reasons.length === 0, claimable: damage === null && over === null && blockers.length === 0, blockers, over, reasons }
}

/** Why the work on it is over, or null. What was reopened here is open, whatever older copies elsewhere say. */
function overIn(ticket: Ticket, { finishedElsewhere, past }: Facts): string | null {
  if (isFinal(past)) return `${finishedInWords(past)}${isFinished(ticket) ? '' : ', not merged here'}`
  if (isFinished(ticket) && !wasReopened(ticket, past)) return ticket.status === 'closed' ? 'closed' : 'done'
  return finishedElsewhere
}

/** How the log says that it ended: `done by agent:x on work/y`. */
export const finishedInWords = ({ outcome, outcomeBy, holder, branch }: Past): string =>
  `${outcome} by ${outcomeBy ?? holder.agentId}${branch === null ? '' : ` on ${branch}`}`

/** Did the log see a reopening after this copy was written? Then the copy is of before. */
export const wasReopened = ({ updatedAt }: Pick<Ticket, 'updatedAt'>, past: Past | null): boolean =>
  past?.outcome === 'reopened' && !(Date.parse(updatedAt) > past.endedAt)

/** The order in which tickets are handed out: by priority, queued before ready, oldest first. */
export function inTurn(tickets: readonly Ticket[]): readonly Ticket[] {
  // In a handful of groups first: within one they are mostly in order already, and hardly any two are compared.
  const groups: Ticket[][] = priorities.flatMap(() => [[], []])
  for (const ticket of tickets) groups[priorities.indexOf(ticket.priority) * 2 + Number(ticket.workflowState !== 'queued')]!.push(ticket)
  return groups.flatMap(group => group.sort((a, b) => compare(a.createdAt, b.createdAt) || compare(a.id, b.id)))
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
