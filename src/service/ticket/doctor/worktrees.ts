import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { readJson } from '../../../host/files.ts'
import type { Repository } from '../../../host/git.ts'
import { worktreeDirectory } from '../../../host/paths.ts'

/** Where a worktree is, as far as it has an id. */
export interface Place {
  readonly id: string
  /** Top of it, whether or not it is still there. */
  readonly root: string
  readonly present: boolean
}

/** The repository's worktrees by their ids. */
export function worktreePlaces(repository: Repository): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>()
  for (const gitDirectory of gitDirectories(repository)) {
    const place = placeOf(gitDirectory, repository)
    if (place !== null) places.set(place.id, place)
  }
  return places
}

function gitDirectories({ commonDir }: Repository): readonly string[] {
  try {
    return [commonDir, ...readdirSync(join(commonDir, 'worktrees')).map(name => join(commonDir, 'worktrees', name))]
  } catch {
    return [commonDir]
  }
}

function placeOf(gitDirectory: string, { commonDir }: Repository): Place | null {
  try {
    const { worktree_id: id, root: said } = (readJson(join(worktreeDirectory(gitDirectory), 'worktree.json')) ?? {}) as Record<
      string,
      unknown
    >
    if (typeof id !== 'string' || typeof said !== 'string') return null
    // Git's own word for where it is, since our file is only corrected by the next command there.
    const root =
      gitDirectory === commonDir ? said : dirname(resolve(gitDirectory, readFileSync(join(gitDirectory, 'gitdir'), 'utf8').trimEnd()))
    return { id, root, present: statSync(root, { throwIfNoEntry: false })?.isDirectory() === true }
  } catch {
    return null
  }
}

/** Id of this worktree, as far as it has one. */
export const worktreeIdOf = (repository: Repository): string | null => placeOf(repository.gitDir, repository)?.id ?? null
