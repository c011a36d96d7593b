import { runGitIn } from '../../host/git.ts'
import type { Desk } from './desk.ts'
import { parseEvents, readEvents } from './events.ts'
import type { TicketEvent } from './events.ts'

/** The events of a ticket: of all its copies in files; where there is none, of the base branch. */
export function eventsOf({ catalogue, workspace }: Desk, ticketId: string): readonly TicketEvent[] {
  const directories = catalogue.directories(ticketId)
  if (directories.length > 0 || catalogue.baseBranch === null) return readEvents(directories)
  const name = `${catalogue.baseBranch}:.leasehold/tickets/${ticketId}/events.jsonl`
  const { status, stdout } = runGitIn(workspace.repository, ['show', name])
  return status === 0 ? parseEvents(stdout).events : []
}
