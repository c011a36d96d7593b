import { closeSync, constants, openSync, readSync } from 'node:fs'
import type { Repository } from './git.ts'
import { below, storeDirectory } from './paths.ts'
import { References, symbolicTarget } from './references.ts'

// Which commit is the base branch's, and whether it is known to have no tickets. Read by each claim of a ticket where no files are seen.

/** Names that a base branch goes by where nobody says. */
const usualNames = ['main', 'master', 'trunk']

/** The base branch where nobody says; null in a repository without a branch that could be it. */
export function guessBase({ commonDir }: Repository, references = new References(commonDir)): string | null {
  const exists = (name: string): boolean => references.commitOf(`refs/heads/${name}`) !== null
  const remote = symbolicTarget(commonDir, 'refs/remotes/origin/HEAD')
  const namesake = remote?.startsWith('refs/remotes/origin/') === true ? remote.slice('refs/remotes/origin/'.length) : null
  if (namesake !== null && exists(namesake)) return namesake
  return usualNames.find(exists) ?? branchOf(commonDir)
}

/** The branch that is checked out in the worktree of this git directory; null when it is none (detached). */
export function branchOf(gitDir: string): string | null {
  const target = symbolicTarget(gitDir, 'HEAD')
  return target?.startsWith('refs/heads/') === true ? target.slice('refs/heads/'.length) : target
}

/** The commit of a base branch, which may be a remote one; null when there is none. */
export function commitOfBase({ commonDir }: Repository, name: string, references = new References(commonDir)): string | null {
  for (const reference of [`refs/heads/${name}`, `refs/remotes/${name}`, `refs/remotes/origin/${name}`]) {
    const commit = references.commitOf(reference)
    if (commit !== null) return commit
  }
  return null
}

/** Where it is kept what Git said of the tickets of one commit. */
export const baseCacheFile = ({ commonDir }: Repository): string => below(storeDirectory(commonDir), 'tickets.base')

export const heading = (commit: string): string => `leasehold tickets 1 ${commit}`

/** A heading with the commit, `:` and the ids, a record for each ticket, and an end. */
export const baseCache = (commit: string, ids: readonly string[], records: readonly string[]): string =>
  `${heading(commit)}\n${[':', ...ids].join(' ')}\n${records.join('')}end\n`

/** Could the base branch have tickets? No is certain: there is no such branch, or Git was asked about its commit before. */
export function baseMayHaveTickets(repository: Repository, configured: string | null): boolean {
  const references = new References(repository.commonDir)
  const name = configured ?? guessBase(repository, references)
  const commit = name === null ? null : commitOfBase(repository, name, references)
  return commit !== null && !isFile(baseCacheFile(repository), baseCache(commit, [], []))
}

/** Is this all that the file says? Not more than that is read of it. */
function isFile(file: string, content: string): boolean {
  let fd: number
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return false
  }
  try {
    const bytes = Buffer.alloc(content.length + 1)
    return readSync(fd, bytes, 0, bytes.length, 0) === content.length && bytes.toString('latin1', 0, content.length) === content
  } catch {
    return false
  } finally {
    closeSync(fd)
  }
}
