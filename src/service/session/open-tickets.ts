import type { Workspace } from '../claim/workspace.ts'
import { Desk, keyOf } from '../ticket/desk.ts'
import type { OpenTicket } from './overview.ts'

/** More than this nobody chooses from on one screen. */
const most = 200

/** The tickets that could be claimed now and that nobody holds or launches an agent for, the most urgent first. */
export async function openTickets(workspace: Workspace): Promise<readonly OpenTicket[]> {
  const desk = new Desk(workspace)
  const view = await desk.view()
  const found: OpenTicket[] = []
  for (const ticket of await desk.list()) {
    const key = keyOf(ticket.id)
    if (view.lease(key) !== null || view.reservation(key) !== null) continue
    // oxlint-disable-next-line no-await-in-loop -- mostly known
    const { claimable } = await desk.readiness(ticket)
    if (claimable) found.push({ id: ticket.id, title: ticket.title, state: ticket.workflowState, priority: ticket.priority })
  }
  return found.toSorted((a, b) => (a.priority + a.id < b.priority + b.id ? -1 : 1)).slice(0, most)
}
