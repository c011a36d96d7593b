import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

// What Git keeps in a worktree's git directory while a merge, a rebase or the like is in the middle.

/** An operation that is in the middle, by the name of its command. */
export type Unfinished = 'rebase' | 'am' | 'merge' | 'cherry-pick' | 'revert' | 'bisect'

/** The operation that is in the middle in the worktree with this git directory; null when none is. */
export function unfinishedIn(gitDir: string): Unfinished | null {
  const has = (name: string): boolean => existsSync(join(gitDir, name))
  if (has('rebase-merge')) return 'rebase'
  if (has('rebase-apply')) return has('rebase-apply/applying') ? 'am' : 'rebase'
  if (has('MERGE_HEAD')) return 'merge'
  if (has('CHERRY_PICK_HEAD')) return 'cherry-pick'
  if (has('REVERT_HEAD')) return 'revert'
  return sequenceIn(gitDir) ?? (has('BISECT_LOG') ? 'bisect' : null)
}

/** Of several commits those that are left, also between two of them, where no `_HEAD` is there. */
function sequenceIn(gitDir: string): Unfinished | null {
  const [step] = linesOf(join(gitDir, 'sequencer', 'todo')).filter(line => !line.startsWith('#'))
  if (step === undefined) return null
  return /^(?:revert|r) /.test(step) ? 'revert' : 'cherry-pick'
}

/** As a sentence begins with it. */
export const withArticle = (what: Unfinished): string => `${what === 'am' ? 'an' : 'a'} ${what}`

/** What to type to bring it to its end, and to give it up. */
export const waysOut = (what: Unfinished): string =>
  what === 'bisect' ? 'end it: git bisect reset' : `finish it: git ${what} --continue, or give it up: git ${what} --abort`

/** Commits that only an unfinished operation leads to: what it brings in, what it put aside when it began, and where it began. */
export const pendingCommits = (gitDir: string): readonly string[] => [
  ...new Set([...commitsOf(gitDir, ['MERGE_HEAD', 'rebase-merge/orig-head', 'rebase-apply/orig-head']), ...autostashes(gitDir)]),
]

/** Changes that `--autostash` put aside: no branch and no stash leads to them. */
export const autostashes = (gitDir: string): readonly string[] =>
  commitsOf(gitDir, ['rebase-merge/autostash', 'rebase-apply/autostash', 'MERGE_AUTOSTASH'])

const commitsOf = (gitDir: string, names: readonly string[]): readonly string[] =>
  names.flatMap(name => linesOf(join(gitDir, name))).filter(line => /^[0-9a-f]{40,64}$/.test(line))

/** The git directory of a worktree in which a rebase will set this branch when it ends or is given up; null when none is. */
export function rebasing(commonDir: string, branch: string): string | null {
  const linked = join(commonDir, 'worktrees')
  const all = [commonDir, ...(existsSync(linked) ? readdirSync(linked).map(name => join(linked, name)) : [])]
  const files = ['rebase-merge/head-name', 'rebase-apply/head-name', 'rebase-merge/update-refs']
  return all.find(gitDir => files.some(name => linesOf(join(gitDir, name)).includes(`refs/heads/${branch}`))) ?? null
}

/** Lines that are not empty; none where there is no such file. */
function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter(line => line !== '')
  } catch {
    return []
  }
}
