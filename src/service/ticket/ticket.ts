import { policy, usage } from '../../core/fault.ts'

// What a ticket is: its fields, its states, and which step leads where. Pure.

/** Where the work stands. */
export const workflowStates = ['intake', 'ready', 'queued', 'inprogress', 'done'] as const
export type WorkflowState = (typeof workflowStates)[number]

/** Whether the ticket is on the table at all. */
export const statuses = ['open', 'pending', 'closed'] as const
export type Status = (typeof statuses)[number]

/** P0 is the most urgent. */
export const priorities = ['P0', 'P1', 'P2', 'P3', 'P4'] as const
export type Priority = (typeof priorities)[number]

/** What the front matter of a `ticket.md` says, with defaults where it says nothing. Times are RFC 3339 as written. */
export interface Ticket {
  /** `YYYYMMDD-HHMMSS-slug`; never changes, and equals the name of its directory. */
  readonly id: string
  readonly slug: string
  readonly title: string
  readonly status: Status
  readonly kind: string
  readonly priority: Priority
  readonly labels: readonly string[]
  readonly workflowState: WorkflowState
  readonly createdAt: string
  readonly updatedAt: string
  /** Agent id. */
  readonly assignee: string | null
  /** What it was called where it was imported from. */
  readonly legacyTicket: string | null
  readonly queuedBy: string | null
  readonly queuedAt: string | null
  /** Full ids of the tickets that have to be done first. */
  readonly dependsOn: readonly string[]
  /** Keys of the gates it has to pass. */
  readonly gates: readonly string[]
}

/** Steps that may be taken by saying so. `done` is left by `reopen` alone, and reached by `done` or `close`. */
const steps: Readonly<Record<WorkflowState, readonly WorkflowState[]>> = {
  intake: ['ready'],
  ready: ['intake', 'queued', 'inprogress'],
  queued: ['ready', 'inprogress'],
  inprogress: ['ready', 'queued', 'done'],
  done: [],
}

/** Throws `policy`, naming what is allowed, when this step may not be taken. */
export function checkStep({ id, workflowState: from }: Pick<Ticket, 'id' | 'workflowState'>, to: WorkflowState): void {
  if (steps[from].includes(to)) return
  const allowed =
    steps[from].length === 0 ? 'only a reopening leads out of it' : `from ${from} a ticket goes to ${steps[from].join(' or ')}`
  throw policy(
    `${id} is ${from}, and cannot become ${to}`,
    `${allowed}; ${from === 'done' ? `see: lh ticket reopen ${id} --reason "…"` : `see: lh ticket show ${id}`}`,
  )
}

/** Is the work over, in this copy of the ticket? */
export const isFinished = ({ status, workflowState }: Pick<Ticket, 'status' | 'workflowState'>): boolean =>
  status === 'closed' || workflowState === 'done'

/** What a ticket id, a directory name and the name in `ticket:<id>` look like. */
export const idPattern = /^[a-z0-9][a-z0-9._-]{0,127}$/

/** One of a list of words, or `usage` naming them. */
export function oneOf<T extends string>(words: readonly T[], text: string, what: string): T {
  const found = words.find(word => word.toLowerCase() === text.trim().toLowerCase())
  if (found === undefined) throw usage(`${what} is one of ${words.join(', ')}, not ${JSON.stringify(text)}`)
  return found
}
