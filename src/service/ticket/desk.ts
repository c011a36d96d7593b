import type { Past } from '../../core/lease.ts'
import { isFinal } from '../../core/lease.ts'
import type { Reading } from '../../store/store.ts'
import type { Workspace } from '../claim/workspace.ts'
import { Catalogue } from './catalogue.ts'
import type { Blocker, Readiness } from './readiness.ts'
import { readinessOf, wasReopened } from './readiness.ts'
import type { Ticket } from './ticket.ts'
import { isFinished } from './ticket.ts'

/** Where tickets and leases meet: the tickets of a repository, and what the log says of them at one moment. */
export class Desk {
  readonly workspace: Workspace
  readonly catalogue: Catalogue
  readonly #blockers = new Map<string, Promise<Blocker | null>>()
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

  /** May it be claimed, and is it handed out? */
  async readiness(ticket: Ticket): Promise<Readiness> {
    const view = await this.view()
    const key = keyOf(ticket.id)
    const past = view.past(key)
    const blockers = await Promise.all(ticket.dependsOn.map(id => this.#blocker(id)))
    return readinessOf(ticket, {
      blockers: blockers.filter(blocker => blocker !== null),
      finishedElsewhere: await this.#finishedElsewhere(ticket.id, past),
      lease: view.lease(key),
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
    if (this.catalogue.locate(id) === null) return { id, why: 'there is no such ticket' }
    const { done, elsewhere } = await this.catalogue.isDone(id)
    if (done) return null
    const past = (await this.view()).past(keyOf(id))
    if (isFinal(past)) return { id, why: `${past.outcome}${past.branch === null ? '' : ` on ${past.branch}`}, not merged` }
    if (elsewhere !== null) return { id, why: `done on ${elsewhere}, not merged` }
    const { ticket } = await this.catalogue.read(id)
    return { id, why: ticket.status === 'pending' ? `${ticket.workflowState}, pending` : ticket.workflowState }
  }

  /** Another copy that says it is over: of the main worktree, or on the base branch. */
  async #finishedElsewhere(id: string, past: Past | null): Promise<string | null> {
    for (const { source, branch, ticket } of await this.catalogue.copies(id)) {
      if (source === 'here' || !isFinished(ticket) || wasReopened(ticket, past)) continue
      return `${ticket.status === 'closed' ? 'closed' : 'done'}${branch === null ? ' in the main worktree' : ` on ${branch}`}`
    }
    return null
  }
}

/** The resource that a claim of this ticket is about. */
export const keyOf = (id: string): string => `ticket:${id}`
