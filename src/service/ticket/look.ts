import type { Wire } from '../../core/wire.ts'
import { isFinal } from '../../core/lease.ts'
import type { Reading } from '../../store/store.ts'
import { readLease } from '../claim/answer.ts'
import { damageIn } from './catalogue.ts'
import type { Desk } from './desk.ts'
import { keyOf, standingLease } from './desk.ts'
import type { TicketEvent } from './events.ts'
import { readEvents } from './events.ts'
import type { Readiness } from './readiness.ts'
import { finishedInWords, inTurn } from './readiness.ts'
import { isFinished } from './ticket.ts'
import type { Priority, Status, Ticket, WorkflowState } from './ticket.ts'
import { ticketToWire } from './wire.ts'

/** Narrows a list. What is absent does not. */
export interface Filter {
  readonly status?: Status | 'all'
  readonly state?: WorkflowState
  /** Those that have all of them. */
  readonly labels?: readonly string[]
  readonly assignee?: string
  readonly priority?: Priority
  /** Those that `next` may hand out now. */
  readonly ready?: boolean
  /** Those that wait for another ticket. */
  readonly blocked?: boolean
}

/** A ticket in a list. */
export interface Row {
  readonly ticket: Ticket
  /** Who holds it now. */
  readonly holder: string | null
  /** Finished on a branch that is not merged here: how, by whom and where; null otherwise. */
  readonly unmerged: string | null
}

/** A ticket in a list, with what keeps it from being handed out. */
export interface JudgedRow extends Row {
  readonly readiness: Readiness
}

/** The tickets that a filter leaves, in the order in which they would be handed out. What is ready or blocked, `judgedTickets` knows. */
export async function listTickets(desk: Desk, filter: Filter): Promise<readonly Row[]> {
  const view = await desk.view()
  return inTurn((await desk.list()).filter(ticket => fits(ticket, filter))).map(ticket => rowOf(ticket, view))
}

/** The same, each judged: may it be handed out, and what is in its way? */
export async function judgedTickets(desk: Desk, filter: Filter): Promise<readonly JudgedRow[]> {
  const rows: JudgedRow[] = []
  for (const row of await listTickets(desk, filter)) {
    // oxlint-disable-next-line no-await-in-loop -- mostly without waiting
    const readiness = await desk.readiness(row.ticket)
    if (filter.ready === true && !readiness.ready) continue
    if (filter.blocked === true && readiness.blockers.length === 0) continue
    rows.push({ ...row, readiness })
  }
  return rows
}

function rowOf(ticket: Ticket, view: Reading): Row {
  const key = keyOf(ticket.id)
  const past = view.past(key)
  return {
    ticket,
    holder: standingLease(view, key)?.holder.agentId ?? null,
    unmerged: isFinal(past) && !isFinished(ticket) ? finishedInWords(past) : null,
  }
}

/** What the front matter alone can tell. */
export function fits(ticket: Ticket, { status = 'open', state, labels = [], assignee, priority }: Filter): boolean {
  return (
    (status === 'all' || ticket.status === status) &&
    (state === undefined || ticket.workflowState === state) &&
    labels.every(label => ticket.labels.includes(label)) &&
    (assignee === undefined || ticket.assignee === assignee) &&
    (priority === undefined || ticket.priority === priority)
  )
}

/** A row on the wire: every field of the front matter, and why it is or is not handed out. */
export const rowToWire = ({ ticket, readiness, holder }: JudgedRow): Wire => ({
  ...ticketToWire(ticket),
  ready: readiness.ready,
  blocked_by: readiness.blockers.map(({ id, why }) => ({ id, why })),
  why: readiness.reasons,
  holder,
})

/** One ticket with everything that is known of it. */
export interface Shown {
  readonly ticket: Ticket
  readonly body: string
  readonly events: readonly TicketEvent[]
  readonly readiness: Readiness
  readonly document: Wire
  /** Where its copy lies; null when it is only on the base branch. */
  readonly directory: string | null
}

/** Everything about one ticket. `updated_at` is that of its newest event, where that is later. */
export async function showTicket(desk: Desk, id: string): Promise<Shown> {
  const { ticket, body, located, problems } = await desk.catalogue.read(id)
  const view = await desk.view()
  const events = readEvents(desk.catalogue.directories(id))
  const shown = withLatest(ticket, events)
  const readiness = await desk.readiness(shown, damageIn(problems)?.message)
  const lease = view.lease(keyOf(id))
  const past = view.past(keyOf(id))
  return {
    ticket: shown,
    body,
    events,
    readiness,
    directory: located.directory,
    document: {
      ...ticketToWire(shown),
      body,
      events,
      ready: readiness.ready,
      blocked_by: readiness.blockers.map(({ id: blocker, why }) => ({ id: blocker, why })),
      why: readiness.reasons,
      lease: lease === null ? null : readLease(lease, view),
      outcome: past?.outcome ?? null,
      source: located.source,
      problems: problems.map(({ code, message, line }) => ({ code, message, line })),
    },
  }
}

function withLatest(ticket: Ticket, events: readonly TicketEvent[]): Ticket {
  const latest = events.reduce((last, { at }) => (Date.parse(at) > Date.parse(last) ? at : last), ticket.updatedAt)
  return latest === ticket.updatedAt ? ticket : { ...ticket, updatedAt: latest }
}
