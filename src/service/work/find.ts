import { existsSync } from 'node:fs'
import { isFault } from '../../core/fault.ts'
import { findRepository } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import { worktreeRoots } from '../identity/worktrees.ts'
import type { Purpose } from '../identity/worktree.ts'
import { purposeOf } from '../identity/purpose.ts'

/** A worktree and what it was made for. */
export interface Place {
  readonly repository: Repository
  readonly root: string
  readonly purpose: Purpose
}

/** The worktree that was made for a ticket; null when there is none (any more). */
export function worktreeFor(repository: Repository, ticketId: string): Place | null {
  for (const root of worktreeRoots(repository)) {
    // One whose directory is gone is no place to work.
    const place = existsSync(root) ? placeIn(root) : null
    if (place?.purpose.ticket === ticketId) return place
  }
  return null
}

/** Null also where its `.git` leads nowhere: what was moved is to be repaired first. */
function placeIn(root: string): Place | null {
  try {
    return placeAt(root)
  } catch (error) {
    if (isFault(error)) return null
    throw error
  }
}

/** What the worktree at this top was made for; null when we did not make it. */
export function placeAt(root: string): Place | null {
  const repository = findRepository(root, {})
  const purpose = purposeOf(repository)
  return purpose === null ? null : { repository, root, purpose }
}
