import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { isFault, usage } from '../../core/fault.ts'
import { findRepository, mainRoot } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import type { Desk } from '../ticket/desk.ts'
import { slugInId } from '../ticket/identify.ts'
import { realPath } from './entries.ts'

// What a new worktree is called, and where it goes.

/** What a worktree is to be made for. */
export interface Subject {
  /** Full id; null for a free name. */
  readonly ticket: string | null
  /** What its directory and its branch may be called, the best first: a ticket's slug need not be the only one of its kind. */
  readonly names: readonly string[]
}

const namePattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

/** The ticket that is spelled so, else a free name. Throws `usage` for neither, and for several tickets; `not_found` for `ticket:…`. */
export async function subjectOf(desk: Desk, spelling: string): Promise<Subject> {
  const id = await ticketCalled(desk, spelling)
  if (id !== null) return { ticket: id, names: [...new Set([slugInId(id) || id, id])] }
  if (namePattern.test(spelling) && !spelling.includes('..') && !/\.(?:lock)?$/.test(spelling)) return { ticket: null, names: [spelling] }
  throw usage(
    `${JSON.stringify(spelling)} is neither a ticket nor a name for a worktree`,
    'a name has letters, digits, dots, dashes and underscores; the tickets: lh ticket list',
  )
}

/** The id of the ticket that is spelled so; null when there is none, and nobody said that there is. */
export async function ticketCalled(desk: Desk, spelling: string): Promise<string | null> {
  const said = /^ticket:/i.test(spelling)
  if (!said && !desk.workspace.mayHaveTickets) return null
  try {
    return await desk.catalogue.resolve(spelling)
  } catch (error) {
    if (isFault(error) && error.code === 'not_found' && !said) return null
    throw error
  }
}

/** The top of the main worktree; of a bare repository its directory. */
export const mainTop = (repository: Repository): string => mainRoot(repository) ?? repository.commonDir

/** The directory for new worktrees, and whether somebody said that it may lie inside the repository. */
export interface Home {
  readonly directory: string
  readonly chosen: boolean
}

/** Where worktrees go unless told: beside the repository, and beside whatever that is part of. */
export function homeOf(repository: Repository, configured: string | null): Home {
  const top = mainTop(repository)
  if (configured !== null) return { directory: realPath(isAbsolute(configured) ? configured : resolve(top, configured)), chosen: true }
  const name = basename(top === repository.commonDir && basename(top) === '.git' ? dirname(top) : top).replace(/(?<=.)\.git$/, '')
  return { directory: join(dirname(outermost(top)), `${name}-worktrees`), chosen: false }
}

/** A submodule lies in another repository: nothing is put into that either. */
function outermost(top: string): string {
  for (let inside = top; ;) {
    const above = rootAbove(inside)
    if (above === null) return inside
    inside = above
  }
}

function rootAbove(top: string): string | null {
  if (dirname(top) === top) return null
  try {
    const { root, commonDir } = findRepository(dirname(top), {})
    const found = root ?? commonDir
    return found === top || dirname(found) === found ? null : found
  } catch {
    return null
  }
}
