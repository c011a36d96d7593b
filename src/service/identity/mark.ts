import { constants, closeSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { printable } from '../../core/resource.ts'
import { writeFileAtomic } from '../../host/files.ts'
import type { Repository } from '../../host/git.ts'

// A leased worktree carries Git's own lock, so that people and tools who know nothing of us see it and do not remove it. The file is the
// one that `git worktree lock` writes; starting Git for it would cost more than the whole claim.

const ours = 'leasehold: '

/** The reason that a leased worktree shows. */
export const leasedText = (agentId: string, ticketId: string): string => `${ours}${printable(agentId)} holds ${printable(ticketId)}`

/** Is this reason one that we wrote? */
export const isOurMark = (reason: string | null): boolean => reason?.startsWith(ours) === true

const fileOf = ({ gitDir }: Pick<Repository, 'gitDir'>): string => join(gitDir, 'locked')

/** The reason for which a worktree is locked, empty when none was given; null when it is not locked. */
export function markOf(repository: Pick<Repository, 'gitDir'>): string | null {
  try {
    return readFileSync(fileOf(repository), 'utf8').trimEnd()
  } catch {
    return null
  }
}

/**
 * Locks a linked worktree in Git's way, with a text that begins with `leasehold: `. A lock of somebody else stays as it is. Says whether
 * the worktree carries ours now; never throws, since the lease counts without it.
 */
export function markLeased(repository: Repository, text: string): boolean {
  if (repository.kind !== 'linked' || !isOurMark(text)) return false
  const present = markOf(repository)
  if (present === text) return true
  const content = `${text.replace(/[\r\n]+/g, ' ')}\n`
  try {
    if (present === null) createMark(fileOf(repository), content)
    else if (isOurMark(present)) writeFileAtomic(fileOf(repository), content, 0o666 & ~process.umask())
    else return false
    return true
  } catch {
    return false
  }
}

/** Locks a worktree that is about to go, unless it is locked: whoever prunes meanwhile leaves it alone. */
export function markGoing(repository: Pick<Repository, 'gitDir'>): void {
  if (markOf(repository) === null) createMark(fileOf(repository), `${ours}it is being removed\n`)
}

function createMark(file: string, content: string): void {
  const { O_WRONLY, O_CREAT, O_EXCL } = constants
  const descriptor = openSync(file, O_WRONLY | O_CREAT | O_EXCL, 0o666)
  try {
    writeSync(descriptor, content)
  } finally {
    closeSync(descriptor)
  }
}

/** Takes our lock away; another one's stays. Says whether there was one of ours; never throws. */
export function unmark(repository: Pick<Repository, 'gitDir'>): boolean {
  if (!isOurMark(markOf(repository))) return false
  try {
    unlinkSync(fileOf(repository))
    return true
  } catch {
    return false
  }
}
