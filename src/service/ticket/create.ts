import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { usage } from '../../core/fault.ts'
import { worktreeRoots } from '../identity/worktrees.ts'
import { ensureAttributes } from './attributes.ts'
import { secondsOf, signed } from './change.ts'
import type { Desk } from './desk.ts'
import { createTicketDirectory, ticketsDirectory } from './files.ts'
import { formatTicket } from './front-matter.ts'
import { mintId, slugOf } from './identify.ts'
import type { Priority, Ticket } from './ticket.ts'

export interface NewTicket {
  readonly title: string
  readonly body: string
  readonly slug?: string
  readonly kind: string
  readonly priority: Priority
  readonly labels: readonly string[]
  /** Spellings of tickets that come first. */
  readonly dependsOn: readonly string[]
  readonly gates: readonly string[]
}

/**
 * Makes a ticket in this worktree. Its id is chosen while nobody else can make one, and is free in every worktree of the repository.
 * Throws `usage` and `not_found` for what it is made of; nothing is left of it then.
 */
export async function createTicket(desk: Desk, actor: string, asked: NewTicket): Promise<Ticket> {
  const { repository } = desk.workspace
  if (repository.root === null) throw usage('a bare repository has no files for tickets', 'run this in a worktree')
  const slug = checkedSlug(asked)
  const dependsOn: string[] = []
  for (const spelling of new Set(asked.dependsOn)) {
    // oxlint-disable-next-line no-await-in-loop -- the first that is wrong is told
    dependsOn.push(await desk.catalogue.resolve(spelling))
  }
  await checkGates(desk, asked.gates)
  const roots = worktreeRoots(repository)
  const taken = (id: string): boolean =>
    roots.some(root => existsSync(join(ticketsDirectory(root), id))) || desk.catalogue.locate(id) !== null
  let made: Ticket | undefined
  await desk.workspace.coordinator.exclusively('ticket create', () => {
    const now = Date.now()
    const ticket = ticketOf(asked, mintId(slug, now, taken), slug, now, [...new Set(dependsOn)])
    const created = signed([{ type: 'created', title: ticket.title }], actor, now)
    ensureAttributes(repository.root!)
    createTicketDirectory(repository.root!, ticket.id, {
      'ticket.md': formatTicket(ticket, withNewline(asked.body)),
      'events.jsonl': created.map(event => `${JSON.stringify(event)}\n`).join(''),
    })
    made = ticket
  })
  return made!
}

function checkedSlug({ slug, title }: NewTicket): string {
  if (slug === undefined) return slugOf(title)
  if (slugOf(slug) === slug) return slug
  throw usage(`--slug ${JSON.stringify(slug)} is no slug`, `small letters, digits and dashes, for example: ${slugOf(slug)}`)
}

async function checkGates(desk: Desk, gates: readonly string[]): Promise<void> {
  if (gates.length === 0) return
  const { Definitions } = await import('../gate/definition.ts')
  const definitions = Definitions.open(desk.workspace.repository)
  for (const key of gates) definitions.require(key)
}

function ticketOf(asked: NewTicket, id: string, slug: string, now: number, dependsOn: readonly string[]): Ticket {
  const { title, kind, priority, labels, gates } = asked
  return {
    id,
    slug,
    title,
    status: 'open',
    kind,
    priority,
    labels: [...new Set(labels)],
    workflowState: 'intake',
    createdAt: secondsOf(now),
    updatedAt: secondsOf(now),
    assignee: null,
    legacyTicket: null,
    queuedBy: null,
    queuedAt: null,
    dependsOn,
    gates: [...new Set(gates)],
  }
}

const withNewline = (body: string): string => (body === '' || body.endsWith('\n') ? body : `${body}\n`)
