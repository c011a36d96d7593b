import type { Workspace } from '../claim/workspace.ts'
import { branchKey, worktreeKey } from '../identity/purpose.ts'
import type { Entry } from './entries.ts'

/** The keys that stand for a worktree. */
export function keysOf(
  { identity, branch }: Entry,
  workspace: Workspace,
): { readonly own: readonly string[]; readonly ticket: string | null } {
  const { purpose, worktreeId } = identity
  const name = purpose?.branch ?? branch
  const ticket = purpose === null || purpose.ticket === null ? null : `ticket:${purpose.ticket}`
  return { own: [worktreeKey(worktreeId), ...(name === null ? [] : [branchKey(workspace.repository, name)])], ticket }
}
