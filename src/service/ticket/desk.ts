import { join } from 'node:path'
import { policy } from '../../core/fault.ts'
import type { Lease, Past } from '../../core/lease.ts'
import { isFinal } from '../../core/lease.ts'
import { isOver } from '../../core/ownership.ts'
import type { Reading } from '../../store/store.ts'
import type { Workspace } from '../claim/workspace.ts'
import { Catalogue, damageIn } from './catalogue.ts'
import { slugInId } from './identify.ts'
import type { Read } from './catalogue.ts'
import type { Blocker, Readiness } from './readiness.ts'
import { readinessOf, wasReopened } from './readiness.ts'
import type { Ticket } from './ticket.ts'
import { isFinished } from './ticket.ts'

/** Where tickets and leases meet: the tickets of a repository, and what the log says of them at one moment. */
export class Desk {
  readonly workspace: Workspace
  readonly catalogue: Catalogue
  readonly #blockers = new Map<string, Promise<Blocker | null>>()
  readonly #here: Ticket[] = []
  #listed: ReadonlyMap<string, Ticket> | undefined
  #view: Promise<Reading> | undefined

  constructor(workspace: Workspace) {
    this.workspace = workspace
    this.catalogue = Catalogue.open(workspace.repository, workspace.config.get('base_branch'))
  }

  /** The log at the moment of the first question. */
  view(): Promise<Reading> {
    this.#view ??= this.workspace.coordinator.view()
    return this.#view
  }

  /** All tickets. What this worktree has of them is not read again for those that wait for them. */
  async list(): Promise<readonly Ticket[]> {
    const tickets: Ticket[] = []
    await this.catalogue.each((ticket, source) => {
      tickets.push(ticket)
      if (source === 'here') this.#here.push(ticket)
    })
    this.#listed = undefined
    return tickets
  }

  /** A ticket that something is to be decided by. Throws `not_found`, and `policy` with file and line when it is damaged. */
  async sound(id: string): Promise<Ticket> {
    const read = await this.catalogue.read(id)
    refuseDamaged(read)
    return read.ticket
  }

  /** May it be claimed, and is it handed out? */
  async readiness(ticket: Ticket, damage = this.catalogue.damageTo(ticket)): Promise<Readiness> {
    const view = await this.view()
    const key = keyOf(ticket.id)
    const past = view.past(key)
    const blockers: Blocker[] = []
    for (const id of ticket.dependsOn) {
      // oxlint-disable-next-line no-await-in-loop -- hardly ever more than a few, and mostly known
      const blocker = await this.#blocker(id)
      if (blocker !== null) blockers.push(blocker)
    }
    // Whatever others say: it is over here.
    const over = isFinal(past) || (isFinished(ticket) && !wasReopened(ticket, past))
    const mayBeOver = !over && this.catalogue.mayBeFinishedElsewhere(ticket.id)
    return readinessOf(ticket, {
      damage,
      blockers,
      finishedElsewhere: mayBeOver ? await this.#finishedElsewhere(ticket.id, past) : null,
      lease: standingLease(view, key) ?? olderLease(view, ticket.id),
      past,
    })
  }

  /** What a dependency still lacks; null when it is done. The same answer for everything that waits for it. */
  #blocker(id: string): Promise<Blocker | null> {
    let known = this.#blockers.get(id)
    if (known === undefined) this.#blockers.set(id, (known = this.#findBlocker(id)))
    return known
  }

  async #findBlocker(id: string): Promise<Blocker | null> {
    this.#listed ??= new Map(this.#here.map(ticket => [ticket.id, ticket]))
    const listed = this.#listed.get(id)
    if (listed === undefined && this.catalogue.locate(id) === null) return { id, why: 'there is no such ticket' }
    const { done, elsewhere } = await this.#isDone(id, listed)
    if (done) return null
    const past = (await this.view()).past(keyOf(id))
    if (isFinal(past)) {
      const { outcome, branch } = past
      return branch === null ? { id, why: `${outcome}, not merged` } : { id, why: `${outcome} on ${branch}, not merged`, branch }
    }
    if (elsewhere !== null) return { id, why: `done on ${elsewhere}, not merged`, branch: elsewhere }
    const ticket = listed ?? (await this.catalogue.read(id)).ticket
    return { id, why: ticket.status === 'pending' ? `${ticket.workflowState}, pending` : ticket.workflowState }
  }

  async #isDone(id: string, listed: Ticket | undefined): Promise<{ readonly done: boolean; readonly elsewhere: string | null }> {
    if (listed === undefined) return this.catalogue.isDone(id)
    if (isFinished(listed)) return { done: true, elsewhere: null }
    const copies = await this.catalogue.finishedElsewhere(id)
    const main = copies.find(({ source }) => source === 'main')
    return { done: copies.some(({ source }) => source === 'base'), elsewhere: main === undefined ? null : (main.branch ?? 'HEAD') }
  }

  /** Another copy that says it is over: of the main worktree, or on the base branch. */
  async #finishedElsewhere(id: string, past: Past | null): Promise<string | null> {
    const copy = (await this.catalogue.finishedElsewhere(id)).find(({ ticket }) => !wasReopened(ticket, past))
    if (copy === undefined) return null
    const { branch, ticket } = copy
    return `${ticket.status === 'closed' ? 'closed' : 'done'}${branch === null ? ' in the main worktree' : ` on ${branch}`}`
  }
}

/** The lease that stands in the way of others. */
export function standingLease(view: Reading, key: string): Lease | null {
  const lease = view.lease(key)
  return lease === null || isOver(lease, view) ? null : lease
}

/** A lease by the bare name of a ticket, taken when there was no such ticket: whoever has it does the same work. */
export function olderLease(view: Reading, id: string): Lease | null {
  const slug = slugInId(id)
  return slug === id ? null : standingLease(view, keyOf(slug))
}

/** Throws `policy` for a ticket whose front matter cannot be trusted. */
function refuseDamaged({ ticket: { id }, located, problems }: Read): void {
  const problem = damageIn(problems)
  if (problem === undefined) return
  const file = located.directory === null ? `the ticket.md of ${id}` : join(located.directory, 'ticket.md')
  throw policy(
    `${file}${problem.line === null ? '' : `:${problem.line}`}: ${problem.message}`,
    'mend it in an editor; see: lh ticket doctor',
  )
}

/** The resource that a claim of this ticket is about. */
export const keyOf = (id: string): string => `ticket:${id}`
