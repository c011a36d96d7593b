import type { Caller, Granted } from '../../coordinator.ts'
import { nameOf } from '../../core/resource.ts'
import { orThrow } from '../claim/answer.ts'
import { branchOf } from '../../host/base-commit.ts'
import type { Desk } from './desk.ts'
import { keyOf } from './desk.ts'
import { fits } from './look.ts'
import { inTurn } from './readiness.ts'
import type { Filter } from './look.ts'
import type { Ticket } from './ticket.ts'

/** Tickets looked at closely, and offered to the lock, at a time; most of a long queue is never read beyond its front matter. */
const handful = 32

/** Tickets that may be handed out as far as their own front matter tells, first one first. */
async function queue(desk: Desk, filter: Filter): Promise<readonly Ticket[]> {
  const waiting: Ticket[] = []
  const wanted: Filter = { ...filter, status: 'open' }
  await desk.catalogue.each(ticket => {
    const open = ticket.workflowState === 'ready' || ticket.workflowState === 'queued'
    if (open && fits(ticket, wanted)) waiting.push(ticket)
  })
  return inTurn(waiting)
}

async function* readyOnes(desk: Desk, filter: Filter): AsyncGenerator<readonly Ticket[]> {
  const waiting = await queue(desk, filter)
  let ready: Ticket[] = []
  for (const ticket of waiting) {
    if (!(await desk.readiness(ticket)).ready) continue
    ready.push(ticket)
    if (ready.length < handful) continue
    yield ready
    ready = []
  }
  if (ready.length > 0) yield ready
}

/** The ticket that would be handed out next, or null. Takes nothing. */
export async function peekNext(desk: Desk, filter: Filter): Promise<Ticket | null> {
  for await (const [first] of readyOnes(desk, filter)) return first ?? null
  return null
}

/** What was handed out. */
export interface Taken {
  readonly ticket: Ticket
  readonly granted: Granted
}

/**
 * Takes the next ticket: the choice among those that are ready and the claim are one locked step, so no two callers get the same one,
 * whatever their copies of the tickets say. Null when there is none.
 */
export async function takeNext(
  desk: Desk,
  caller: Caller,
  filter: Filter,
  terms: { readonly ttlSecs?: number; readonly reason?: string },
): Promise<Taken | null> {
  const { coordinator, repository } = desk.workspace
  const branch = branchOf(repository.gitDir)
  for await (const tickets of readyOnes(desk, filter)) {
    const answer = await coordinator.acquireFirst(caller, {
      candidates: tickets.map(({ id }) => keyOf(id)),
      ...terms,
      ...(branch === null ? {} : { branch }),
    })
    if (!answer.ok && answer.refusal.kind === 'none-free') continue
    const granted = orThrow(answer)
    const id = nameOf(granted.leases[0]!.resource)
    return { granted, ticket: tickets.find(ticket => ticket.id === id) ?? (await desk.catalogue.read(id)).ticket }
  }
  return null
}
