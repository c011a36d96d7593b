import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readJson, remove } from '../../host/files.ts'
import { findRepository, mainRoot } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import { worktreeDirectory, worktreeRecordFile } from '../../host/paths.ts'

/** The git directories of a repository's worktrees, the main one first. */
function gitDirectories({ commonDir }: Repository): readonly string[] {
  try {
    return [commonDir, ...readdirSync(join(commonDir, 'worktrees')).map(name => join(commonDir, 'worktrees', name))]
  } catch {
    return [commonDir]
  }
}

/** Tops of the repository's worktrees that are there, the main one first. */
export const worktreeRoots = (repository: Repository): readonly string[] =>
  gitDirectories(repository).flatMap(directory => {
    const root = directory === repository.commonDir ? mainRoot(repository) : linkedRoot(directory)
    return root === null ? [] : [root]
  })

function linkedRoot(gitDirectory: string): string | null {
  try {
    return findRepository(gitDirectory, {}).root
  } catch {
    return null
  }
}

/** Ids of the worktrees that exist, as far as they have one. */
export function worktreeIdsOf(repository: Repository): ReadonlySet<string> {
  const ids = new Set<string>()
  for (const directory of gitDirectories(repository)) {
    const id = idIn(directory)
    if (id !== null) ids.add(id)
  }
  return ids
}

function idIn(gitDirectory: string): string | null {
  try {
    const content = readJson(worktreeRecordFile(gitDirectory))
    const id = (content as { worktree_id?: unknown } | undefined)?.worktree_id
    return typeof id === 'string' ? id : null
  } catch {
    return null
  }
}

/** Forgets every note of a granted lease: after a copy they are the original's. Returns warnings. */
export function clearHeld(repository: Repository): readonly string[] {
  for (const directory of gitDirectories(repository)) remove(join(worktreeDirectory(directory), 'held.json'))
  return []
}
