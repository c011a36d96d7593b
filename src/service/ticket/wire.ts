import type { Wire } from '../../core/wire.ts'
import type { Ticket } from './ticket.ts'

/** The ticket as it goes on the wire: every field of the front matter, under its name there and in its order. */
export const ticketToWire = (ticket: Ticket): Wire => ({
  id: ticket.id,
  slug: ticket.slug,
  title: ticket.title,
  status: ticket.status,
  kind: ticket.kind,
  priority: ticket.priority,
  labels: ticket.labels,
  workflow_state: ticket.workflowState,
  created_at: ticket.createdAt,
  updated_at: ticket.updatedAt,
  assignee: ticket.assignee,
  legacy_ticket: ticket.legacyTicket,
  queued_by: ticket.queuedBy,
  queued_at: ticket.queuedAt,
  depends_on: ticket.dependsOn,
  gates: ticket.gates,
})
