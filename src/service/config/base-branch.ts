import { Fault, usage } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { commitOfBase } from '../../host/base-commit.ts'
import { runGitIn } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import type { Config } from './layers.ts'

/** A setting that names no branch; in a repository without a commit there is none that it could name yet. */
export interface MissingBase {
  readonly fault: Fault
  readonly unborn: boolean
}

/** What is wrong with `base_branch`; null where it names a branch, here or on a remote, or nobody has set it. */
export function missingBase(repository: Repository, config: Config): MissingBase | null {
  const name = config.get('base_branch')
  if (name === null || commitOfBase(repository, name) !== null) return null
  if (!hasBranches(repository)) return { fault: noCommitYet(repository, name), unborn: true }
  const message = `base_branch is ${JSON.stringify(name)} (${config.origin('base_branch')}), and there is no branch ${name} here`
  const ways = `name one that is there: lh config set base_branch <branch>; or make it: git branch ${shellWord(name)} <commit>`
  return { fault: usage(message, `${ways}; or fetch it: git fetch origin ${shellWord(name)}`), unborn: false }
}

/** Throws `usage` where `base_branch` names no branch. A repository without a commit is no fault of the setting. */
export function refuseMissingBase(repository: Repository, config: Config): void {
  const missing = missingBase(repository, config)
  if (missing?.unborn === false) throw missing.fault
}

/** The same for who only looks: who holds what is true all the same. */
export function warnedBase(repository: Repository, config: Config): readonly string[] {
  const missing = missingBase(repository, config)
  return missing?.unborn === false ? [`${missing.fault.message}; ${missing.fault.hint}`] : []
}

export const hasBranches = (repository: Repository): boolean =>
  runGitIn(repository, ['for-each-ref', '--count=1', 'refs/heads', 'refs/remotes']).stdout !== ''

/** What to throw where something needs the base branch of a repository in which nothing was committed. */
export const noCommitYet = ({ root }: Pick<Repository, 'root'>, name: string | null): Fault =>
  new Fault('policy', `this repository has no commit yet${name === null ? '' : `, so there is no branch ${name}`}`, {
    hint:
      root === null
        ? 'nobody commits in a bare one: push the first one to it, from a clone: git push origin HEAD'
        : 'make the first one: git commit --allow-empty -m "start"',
  })
