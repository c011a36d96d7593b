import { findRepository } from '../../../src/host/git.ts'
import { ensureWorktree } from '../../../src/service/identity/worktree.ts'

// One of several first commands: waits for the common start, then writes the worktree's id and prints it.
const [, , directory = '', startAt = ''] = process.argv
while (Date.now() < Number(startAt));
process.stdout.write(ensureWorktree(findRepository(directory, {})).worktreeId)
