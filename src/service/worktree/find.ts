import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { Fault, notFound } from '../../core/fault.ts'
import type { Desk } from '../ticket/desk.ts'
import { listEntries, realPath } from './entries.ts'
import type { Entry } from './entries.ts'
import { ticketCalled } from './layout.ts'

export interface Spelled {
  readonly text: string
  /** Where the caller stands. */
  readonly directory: string
  readonly env: NodeJS.ProcessEnv
}

/** The worktree that a text means: `wt:<id>`, a path, a ticket, the name of its directory or its branch. Throws `not_found`, and `usage` for several. */
export async function findEntry(desk: Desk, { text, directory, env }: Spelled): Promise<Entry> {
  const entries = await listEntries(desk.workspace.repository, env)
  const path = realPath(resolve(directory, text))
  const found =
    some(entries, ({ identity }) => identity.worktreeId === (text.startsWith('wt:') ? text.toLowerCase() : `wt:${text}`)) ??
    some(entries, entry => entry.path === path) ??
    (await ofTicket(desk, entries, text)) ??
    some(entries, entry => !entry.main && basename(entry.path) === text) ??
    some(entries, entry => !entry.main && (entry.branch === text || entry.identity.purpose?.branch === text)) ??
    // The main one is called like a repository or its base branch, and a linked one may be too: that is more often meant.
    some(entries, entry => entry.main && (basename(entry.path) === text || entry.branch === text))
  if (found === null)
    throw notFound(
      `there is no worktree ${JSON.stringify(text)}${existsSync(path) ? ', and that directory is none of this repository' : ''}`,
      'see: lh worktree list',
    )
  if (found.length === 1) return found[0]!
  const candidates = found.map(entry => entry.path)
  throw new Fault('usage', `${JSON.stringify(text)} could be ${found.length} worktrees: ${candidates.join(', ')}`, {
    hint: 'Name it by its path or its wt: id.',
    details: { candidates },
  })
}

const some = (entries: readonly Entry[], test: (entry: Entry) => boolean): readonly Entry[] | null => {
  const found = entries.filter(test)
  return found.length === 0 ? null : found
}

async function ofTicket(desk: Desk, entries: readonly Entry[], text: string): Promise<readonly Entry[] | null> {
  const made = entries.filter(({ identity }) => (identity.purpose?.ticket ?? null) !== null)
  if (made.length === 0) return null
  // A worktree outlives its ticket; then the full id still names it.
  const bare = text.toLowerCase().replace(/^ticket:/, '')
  const exact = some(made, ({ identity }) => identity.purpose!.ticket === bare)
  if (exact !== null) return exact
  try {
    const id = await ticketCalled(desk, text)
    return id === null ? null : some(made, ({ identity }) => identity.purpose!.ticket === id)
  } catch {
    return null
  }
}
