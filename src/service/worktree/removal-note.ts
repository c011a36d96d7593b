import { join } from 'node:path'
import { makePrivateDirectory, readJson, remove, writeRepositoryFile } from '../../host/files.ts'
import type { Repository } from '../../host/git.ts'
import { worktreeDirectory } from '../../host/paths.ts'
import { readOnly } from './turn.ts'

// What is written down before a worktree is removed, in its git directory, so that the same command can go on after a crash.

/** A removal that has begun. */
export interface Removal {
  readonly path: string
  /** Where its directory is put first: what has another name can neither be used nor half used. */
  readonly aside: string
  /** The files were seen to be what was judged, and saved where they had to be: deleting has begun. */
  readonly verified: boolean
  readonly branch: string | null
  /** The branch goes too, if it is still at this commit. */
  readonly branchAt: string | null
  readonly salvage: string | null
}

const fileOf = (gitDir: string): string => join(worktreeDirectory(gitDir), 'removing.json')

/** The removal that has begun; null when none has. */
export function removalOf(gitDir: string): Removal | null {
  try {
    const said = readJson(fileOf(gitDir)) as Record<keyof Removal, unknown> | undefined
    if (said === undefined || typeof said.path !== 'string' || typeof said.aside !== 'string') return null
    const textOr = (value: unknown): string | null => (typeof value === 'string' ? value : null)
    return {
      path: said.path,
      aside: said.aside,
      verified: said.verified === true,
      branch: textOr(said.branch),
      branchAt: textOr(said.branchAt),
      salvage: textOr(said.salvage),
    }
  } catch {
    return null
  }
}

export function noteRemoval(repository: Repository, gitDir: string, removal: Removal): void {
  makePrivateDirectory(worktreeDirectory(gitDir), repository.shared)
  try {
    writeRepositoryFile(fileOf(gitDir), `${JSON.stringify(removal)}\n`, repository.shared, { sync: true })
  } catch (error) {
    throw readOnly(fileOf(gitDir), repository, error)
  }
}

export const forgetRemoval = (gitDir: string): void => remove(fileOf(gitDir))
