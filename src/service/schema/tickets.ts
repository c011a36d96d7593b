import { agentId, lease } from './parts.ts'
import { about, always, count, flag, list, maybe, object, oneOf, text, type Schema } from './shape.ts'

// What the `ticket` commands print.

type Members = Readonly<Record<string, Schema>>

const ok: Members = { ok: always(true) }

/** Every field of the front matter. */
const fields: Members = {
  id: text('YYYYMMDD-HHMMSS-slug; never changes'),
  slug: text(),
  title: text(),
  status: oneOf('open', 'pending', 'closed'),
  kind: text(),
  priority: oneOf('P0', 'P1', 'P2', 'P3', 'P4'),
  labels: list(text()),
  workflow_state: oneOf('intake', 'ready', 'queued', 'inprogress', 'done'),
  created_at: text('RFC 3339, as it is written in the file'),
  updated_at: text('RFC 3339'),
  assignee: maybe(text('agent id')),
  legacy_ticket: maybe(text('what it was called where it was imported from')),
  queued_by: maybe(text('agent id')),
  queued_at: maybe(text('RFC 3339')),
  depends_on: list(text('full id')),
  gates: list(text('key')),
}

const standing: Members = {
  ready: flag('ticket next may hand it out now'),
  blocked_by: about(list(object({ id: text(), why: text() })), 'dependencies that are not done'),
  why: about(list(text()), 'what keeps it from being handed out'),
}

/** A ticket as the commands that change one print it. */
export const ticket = object(fields)

const row = object({ ...fields, ...standing, holder: maybe(agentId) })

const event: Schema = {
  type: 'object',
  properties: { id: text('ULID'), type: text(), at: text('RFC 3339'), actor: text() },
  required: ['id', 'type', 'at', 'actor'],
  description: 'more members, depending on its type',
}

const shown = object({
  ...fields,
  ...standing,
  body: text('Markdown'),
  events: list(event),
  lease: maybe(lease),
  outcome: maybe(text('how the work on it ended, as the log says: done, closed or reopened')),
  source: about(oneOf('here', 'main', 'base'), 'this worktree, the main worktree, the base branch'),
  problems: about(list(object({ code: text(), message: text(), line: maybe(count()) })), 'what is wrong with its front matter'),
})

const already: Members = { already: always(true, 'there was nothing to do') }

export const ticketChanged = object({ ...ok, ticket }, already)
export const ticketList = object({ ...ok, tickets: list(row), count: count() })
export const ticketShow = object({ ...ok, ticket: shown })
export const ticketStart = object(
  { ...ok, ticket, lease },
  {
    leases: about(list(lease), 'in the worktree that was made for it: the ticket’s, the worktree’s and the branch’s'),
    already_held: always(true),
  },
)
export const ticketNext = object({ ...ok, ticket: maybe(ticket), lease: maybe(about(lease, 'with --claim')) })

const mappedWords: Schema = {
  type: 'object',
  additionalProperties: { type: 'object', additionalProperties: count() },
  description: 'how often which word of the source became which of ours',
}

export const ticketImport = object({
  ...ok,
  from: oneOf('yoi', 'jit', 'beads', 'github'),
  dry_run: flag('nothing was written'),
  imported: count('new tickets'),
  updated: count('of an earlier import, changed in the source since'),
  unchanged: count(),
  skipped: count('held by somebody else, in another worktree, or with an id that is taken; each with a warning'),
  gates: count('definitions of gates that are new'),
  mapped: object({ states: mappedWords, priorities: mappedWords }),
  dropped: list(text('what has no place in a ticket; kept in its event `imported` where there is one')),
  warnings: list(text()),
})

const placed: Members = { path: text('of the worktree') }

export const workBegun = object(
  { ...ok, ticket, ...placed, made: flag('false: the worktree was there'), token: count('of the ticket’s lease') },
  { exit_code: count('of the command; 128 + n for a signal') },
)

/** With a profile or `--ready`: `launched` is what `lh launch` answers. */
export const workLaunched = (launched: Members): Schema => object({ ...ok, ...launched, ticket, ...placed })

export const workFinished = object(
  { ...ok, ticket },
  {
    branch: text(),
    base: text(),
    commit: text('of the base branch, which has the work'),
    ...placed,
    removed: flag('the worktree is gone'),
    already: always(true, 'it was finished before'),
  },
)
