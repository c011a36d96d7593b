import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../../core/fault.ts'
import { isoFromMs } from '../../core/time.ts'
import { runGitIn } from '../../host/git.ts'
import { ensureAttributes } from './attributes.ts'
import type { Desk } from './desk.ts'
import type { TicketEvent } from './events.ts'
import { appendEvents, mintEventId, readEvents } from './events.ts'
import {
  changedMeanwhile,
  createTicketDirectory,
  hashOf,
  isChangedMeanwhile,
  maxTicketBytes,
  prepareReplacement,
  readRegular,
} from './files.ts'
import type { Replacement } from './files.ts'
import { editTicket } from './front-matter.ts'
import type { Changes } from './front-matter.ts'
import type { Ticket } from './ticket.ts'

/** An event before it has an id, a time and an actor. */
export interface Happening {
  readonly type: string
  readonly [more: string]: unknown
}

/** What is to become of a ticket. */
export interface Plan {
  readonly changes: Changes
  /** The whole file, as a person left it in an editor; the changes come on top. */
  readonly text?: string
  readonly events: readonly Happening[]
  /** Other files of the ticket that are written with it, such as `resolution.md`. */
  readonly files?: Readonly<Record<string, string>>
}

/** A ticket as it is in this worktree, or would be after it was brought here. */
export interface Current {
  readonly ticket: Ticket
  readonly body: string
  readonly text: string
}

/** Runs the effect where the caller may write: under its lease, or where none is needed under the store's lock alone. */
export type Commit = (effect: () => void) => Promise<void>

/** How often a change is planned anew because an editor wrote the file in between. */
const attempts = 5

/**
 * Changes a ticket in this worktree, and records the events in the same step. The new file is prepared and synced before the lock is
 * taken; under it the file must still be the one that was read, else the change is planned again on the newer one. A plan of null
 * changes nothing. Returns the ticket as it is afterwards.
 */
export async function changeTicket(
  desk: Desk,
  id: string,
  actor: string,
  plan: (current: Current) => Plan | null | Promise<Plan | null>,
  commit: Commit,
): Promise<Ticket> {
  for (let attempt = 1; ; attempt++) {
    // oxlint-disable-next-line no-await-in-loop -- each attempt follows a change by somebody else
    const current = await readCurrent(desk, id)
    // oxlint-disable-next-line no-await-in-loop -- as above
    const planned = await plan(current)
    if (planned === null) return current.ticket
    try {
      // oxlint-disable-next-line no-await-in-loop -- as above
      await carryOut(desk, id, actor, current, planned, commit)
      // oxlint-disable-next-line no-await-in-loop -- as above
      return (await desk.catalogue.read(id)).ticket
    } catch (error) {
      if (!isChangedMeanwhile(error) || attempt === attempts) throw error
    }
  }
}

async function readCurrent({ catalogue }: Desk, id: string): Promise<Current> {
  const { ticket, body, located } = await catalogue.read(id)
  return { ticket, body, text: located.text }
}

async function carryOut(desk: Desk, id: string, actor: string, { text }: Current, plan: Plan, commit: Commit): Promise<void> {
  const { catalogue } = desk
  const changed = plan.text !== undefined || Object.keys(plan.changes).length > 0
  const now = Date.now()
  const edited = changed ? editTicket(plan.text ?? text, { ...plan.changes, updatedAt: secondsOf(now) }) : text
  const events = signed(plan.events, actor, now)
  const directory = catalogue.directoryHere(id)
  // Where there are files there is a top.
  const root = desk.workspace.repository.root!
  // Git has to know of the first events, or the next merge is a conflict. The result of a gate touches nothing but the events: it would
  // make the code another than the one that passed.
  const attributed = events.some(({ type }) => type !== 'gate')
  if (catalogue.locate(id)?.source !== 'here') {
    const files = { ...bringHere(desk, id, edited, events), ...plan.files }
    return commit(() => {
      // Somebody else of this worktree may have brought it meanwhile.
      if (catalogue.locate(id)?.source === 'here') throw changedMeanwhile(directory)
      if (attributed) ensureAttributes(root)
      createTicketDirectory(root, id, files)
    })
  }
  const replacements: { readonly file: Replacement; readonly expected: string | null }[] = []
  try {
    for (const [name, content] of Object.entries(plan.files ?? {})) replacements.push(prepareBeside(join(directory, name), content))
    if (changed) replacements.push({ file: prepareReplacement(join(directory, 'ticket.md'), edited), expected: hashOf(text) })
    await commit(() => {
      // What can fail comes first: events that cannot be recorded leave everything as it was.
      for (const { file, expected } of replacements) file.check(expected)
      if (attributed && !existsSync(join(directory, 'events.jsonl'))) ensureAttributes(root)
      appendEvents(directory, events)
      for (const { file, expected } of replacements) file.commit(expected)
    })
  } finally {
    for (const { file } of replacements) file.discard()
  }
}

/** A ticket of the main worktree or of the base branch, with its history and what is added to it, as the files that make it this worktree's own. */
function bringHere(
  { catalogue, workspace }: Desk,
  id: string,
  text: string,
  added: readonly TicketEvent[],
): Readonly<Record<string, string>> {
  const located = catalogue.locate(id)!
  const linesOf = (events: readonly TicketEvent[]): string => events.map(event => `${JSON.stringify(event)}\n`).join('')
  const history =
    located.directory === null
      ? runGitIn(workspace.repository, ['show', `${catalogue.baseBranch}:.leasehold/tickets/${id}/events.jsonl`]).stdout
      : linesOf(readEvents([located.directory]))
  const glue = history === '' || history.endsWith('\n') ? '' : '\n'
  return { 'ticket.md': text, 'events.jsonl': `${history}${glue}${linesOf(added)}` }
}

/** The newer word counts: a ticket that is closed again gets its second resolution. Throws `unavailable` for what is no file. */
function prepareBeside(path: string, content: string): { readonly file: Replacement; readonly expected: string | null } {
  const found = readRegular(path, maxTicketBytes)
  if (typeof found === 'string' && found !== 'missing') {
    throw new Fault('unavailable', `${path} cannot be replaced: ${found}.`, {
      hint: `Look at it: ls -ld ${path}`,
      details: { outcome: 'nothing_changed' },
    })
  }
  return { file: prepareReplacement(path, content), expected: typeof found === 'string' ? null : hashOf(found) }
}

/** Gives happenings their ids, time and actor. */
export const signed = (happenings: readonly Happening[], actor: string, now = Date.now()): readonly TicketEvent[] =>
  happenings.map(({ type, ...more }) => ({ id: mintEventId(now), type, at: isoFromMs(now), actor, ...more }))

/** A time as front matter has it: whole seconds. */
export const secondsOf = (ms: number): string => `${isoFromMs(Math.floor(ms / 1000) * 1000).slice(0, 19)}Z`
