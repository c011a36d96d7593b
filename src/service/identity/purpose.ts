import type { Repository } from '../../host/git.ts'
import { readWorktree, type Purpose } from './worktree.ts'

export type { Purpose } from './worktree.ts'

/** What this worktree was made for; null when we did not make it, and in a copy. One file is read. */
export const purposeOf = (repository: Repository): Purpose | null => readWorktree(repository).purpose

/**
 * The keys that a claim of a ticket takes together: in the worktree that was made for it the ticket, the worktree and its branch, so
 * that nobody else takes any of the three; elsewhere the ticket alone, so that several agents can share a worktree.
 */
export function claimSet(repository: Repository, ticketKey: string): readonly string[] {
  const { purpose, worktreeId } = readWorktree(repository)
  if (purpose === null || purpose.ticket === null || ticketKey !== `ticket:${purpose.ticket}`) return [ticketKey]
  return [ticketKey, worktreeKey(worktreeId), branchKey(repository, purpose.branch)]
}

/** The resource that stands for a worktree. */
export const worktreeKey = (worktreeId: string): string => `worktree:${worktreeId.replace(/^wt:/, '')}`

/** The resource that stands for a branch, spelled as a claim on it would be. */
export function branchKey({ ignoreCase }: Repository, branch: string): string {
  const name = branch.normalize('NFC')
  return `branch:${ignoreCase ? name.toLowerCase().normalize('NFC') : name}`
}
