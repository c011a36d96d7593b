import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault, policy } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { gitOutput } from '../../host/git-run.ts'
import { findRepository, runGit, runGitApart, runGitToItsEnd } from '../../host/git.ts'
import type { GitAnswer } from '../../host/git.ts'
import { lookingItself } from '../worktree/changes.ts'
import { few } from '../worktree/files.ts'
import { unfinishedIn, waysOut, withArticle } from '../worktree/unfinished.ts'
import type { Unfinished } from '../worktree/unfinished.ts'

// What finishing asks of Git, in words.

/**
 * The environment for Git and its hooks: nothing of a hook that we may be running in, and whose work it is. Unlike where worktrees are made,
 * what configures Git and its language stays: a person's own hooks run, and what they say is shown.
 */
export function gitEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !/^GIT_(DIR|WORK_TREE|INDEX_FILE|COMMON_DIR|OBJECT_DIRECTORY|PREFIX)$/.test(name))
  return Object.fromEntries(kept)
}

/** Git in one worktree. */
export class WorktreeGit {
  readonly root: string
  readonly #env: NodeJS.ProcessEnv

  constructor(root: string, env: NodeJS.ProcessEnv) {
    this.root = root
    this.#env = gitEnvironment(env)
  }

  try(...args: readonly string[]): GitAnswer {
    return runGit(this.root, args, this.#env)
  }

  /** For what must not stop in the middle when this process is killed, and for hooks: what they leave running is not waited for. */
  tryToItsEnd(...args: readonly string[]): GitAnswer {
    return runGitToItsEnd(this.root, args, this.#env)
  }

  /** For what must not stop in the middle when this process is interrupted either, or killed with all that it started. */
  tryApart(...args: readonly string[]): Promise<GitAnswer> {
    return runGitApart(this.root, args, this.#env)
  }

  /** The same, where Git's words decide something: in no other language, which leaves all else of the locale as it is. */
  tryApartInEnglish(...args: readonly string[]): Promise<GitAnswer> {
    return runGitApart(this.root, args, { ...this.#env, LANGUAGE: 'en' })
  }

  /** Its output. Throws `unavailable` with what Git said when it fails. */
  run(...args: readonly string[]): string {
    const answer = this.try(...args)
    if (answer.status === 0) return answer.stdout
    throw this.failed(args, answer)
  }

  /** What to throw when a command failed that should have worked. */
  failed(args: readonly string[], { stdout, stderr }: GitAnswer): Fault {
    const lines = (stderr || stdout).trim().split('\n')
    const why = lines.find(line => line.startsWith('fatal: ')) ?? lines.at(-1)
    return new Fault('unavailable', `git ${commandIn(args)} failed in ${this.root}: ${why}`, {
      hint: `try it: cd ${shellWord(this.root)} && git ${args.map(shellWord).join(' ')}`,
    })
  }

  /** What it lists with `-z`, byte by byte a character each: names need not be UTF-8. Throws as `run` does. */
  names(...args: readonly string[]): readonly string[] {
    const output = gitOutput(this.root, args, { env: this.#env })
    return (output?.toString('latin1') ?? this.run(...args)).split('\0').filter(name => name !== '')
  }

  /** Did it work, given this to read? */
  fed(input: Buffer, ...args: readonly string[]): boolean {
    return gitOutput(this.root, args, { env: this.#env, input }) !== null
  }

  /** Commit of a name, null when there is none. */
  commit(name: string): string | null {
    const { status, stdout } = this.try('rev-parse', '--quiet', '--verify', `${name}^{commit}`)
    return status === 0 ? stdout.trim() : null
  }

  /** The branch that is checked out; null when detached. */
  branch(): string | null {
    // Not --short: that says "heads/main" where a tag is called the same.
    const args = ['symbolic-ref', '--quiet', 'HEAD']
    const answer = this.try(...args)
    // Git says 1 where there is none, and more where it does not work, as in the repository of another owner (`safe.directory`).
    if (answer.status !== 0 && answer.status !== 1) throw this.failed(args, answer)
    return answer.status === 0 ? answer.stdout.trim().replace(/^refs\/heads\//, '') : null
  }

  /** The branch that a name stands for: one may be another name of it (`git symbolic-ref`), and it is the other that is checked out and moves. */
  branchBehind(name: string): string {
    const { stdout } = this.try('rev-parse', '--symbolic-full-name', `refs/heads/${name}`)
    return /^refs\/heads\/([^\n]+)\n$/.exec(stdout)?.[1] ?? name
  }

  isAncestor(ancestor: string, of: string): boolean {
    return this.try('merge-base', '--is-ancestor', ancestor, of).status === 0
  }

  /** Changed and untracked paths, those below `except` left out. */
  changes(except?: string): readonly string[] {
    const fields = this.run(...lookingItself, 'status', '--porcelain=v1', '-z', '--untracked-files=all').split('\0')
    const paths: string[] = []
    for (let at = 0; at < fields.length; at++) {
      const field = fields[at]!
      if (field === '') continue
      paths.push(field.slice(3))
      // A renamed file is followed by its old name.
      if (/^[RC]/.test(field)) at++
    }
    return except === undefined ? paths : paths.filter(path => !path.startsWith(except))
  }

  /** This worktree's own git directory. */
  get gitDir(): string {
    return findRepository(this.root, {}).gitDir
  }

  /** Is a merge, a rebase or the like in the middle? */
  unfinished(): Unfinished | null {
    const found = unfinishedIn(this.gitDir)
    if (found !== null) return found
    // Where references are kept in tables these two are no files.
    if (this.commit('CHERRY_PICK_HEAD') !== null) return 'cherry-pick'
    return this.commit('REVERT_HEAD') === null ? null : 'revert'
  }
}

/** The command's name behind settings. */
const commandIn = (args: readonly string[]): string => args.find((each, place) => each !== '-c' && args[place - 1] !== '-c') ?? ''

const attributes = '.gitattributes'

/**
 * What is committed with a ticket: its own files, and Git's attributes where nothing was added to them but files whose lines are all
 * kept in a merge. Those are our own lines, which a worktree gets when it is made or its ticket gets its first events.
 */
export function ownFiles(git: WorktreeGit, ticketFiles: string): readonly string[] {
  if (!git.changes(ticketFiles).includes(attributes)) return [ticketFiles]
  const { status, stdout } = git.try('show', `HEAD:${attributes}`)
  const before = status === 0 ? stdout : ''
  const present = existsSync(join(git.root, attributes)) ? readFileSync(join(git.root, attributes), 'utf8') : ''
  return withoutUnion(before) === withoutUnion(present) ? [ticketFiles, attributes] : [ticketFiles]
}

const withoutUnion = (text: string): string =>
  text
    .split(/\r?\n/)
    .filter(line => line !== '' && !line.endsWith(' merge=union'))
    .join('\n')

/** Changed and untracked paths that are not committed with the ticket. */
export const otherChanges = (git: WorktreeGit, own: readonly string[]): readonly string[] =>
  git.changes(own[0]).filter(path => !own.includes(path))

/** Changed and untracked paths of those that are. */
export const ownChanges = (git: WorktreeGit, own: readonly string[]): readonly string[] =>
  git.changes().filter(path => path.startsWith(own[0]!) || own.includes(path))

/** What to throw where something has to be brought to its end first. */
export const unfinishedHere = ({ root }: WorktreeGit, what: Unfinished): Fault =>
  policy(`${withArticle(what)} is unfinished in ${root}`, `${waysOut(what)}; then: lh work --finish`)

/** Refuses a worktree in which something is not committed. */
export function refuseUncommitted(git: WorktreeGit, own: readonly string[]): void {
  const what = git.unfinished()
  if (what !== null) throw unfinishedHere(git, what)
  const changes = otherChanges(git, own)
  if (changes.length > 0)
    throw policy(
      `${changes.length} ${changes.length === 1 ? 'file' : 'files'} in ${git.root} not committed: ${few(changes)}`,
      'commit them, or put them away: git stash --include-untracked',
    )
}
