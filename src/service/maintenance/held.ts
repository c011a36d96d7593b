import type { Repository } from '../../host/git.ts'
import type { Finding } from '../../store/maintenance.ts'
import { readHeld } from '../identity/held.ts'

/** What is wrong with this worktree's notes of its leases; without them only the holder's identity is left to prove who it is. */
export function heldFindings(repository: Repository): readonly Finding[] {
  const { warning } = readHeld(repository)
  if (warning === undefined) return []
  return [
    {
      severity: 'warning',
      code: 'held-unreadable',
      file: null,
      line: null,
      message: warning,
      fix: 'the next claim of this worktree writes it anew',
    },
  ]
}
