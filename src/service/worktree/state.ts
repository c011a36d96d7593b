import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Repository } from '../../host/git.ts'
import type { Entry } from './entries.ts'
import { dirtyIn, ignoredIn } from './changes.ts'
import { filesBelow, shown, sizeOf } from './files.ts'
import type { Found } from './files.ts'
import { Git } from './git.ts'
import { innerOf, innerOfModules } from './inner.ts'
import { unfinishedIn } from './unfinished.ts'
import type { Unfinished } from './unfinished.ts'

// What would be lost with a worktree.

/** A worktree as it is before it may go. */
export interface State {
  readonly head: string | null
  /** What is checked out now; null when detached. */
  readonly branch: string | null
  /** Commits that are on no other branch, tag or remote. */
  readonly unmerged: readonly string[]
  /** References of this worktree alone whose commits nothing else leads to. They go with it. */
  readonly own: readonly OwnReference[]
  /** Changed and untracked paths. */
  readonly dirty: readonly string[]
  /** Ignored files and directories (with a slash) that are small enough to be kept with the rest, and those that are not. */
  readonly ignored: { readonly small: readonly string[]; readonly large: readonly string[] }
  /** The files as they were seen, without ignored ones that are not kept. Null when the directory is gone. */
  readonly found: Found | null
  /** Sentences about repositories inside it that have something that is nowhere else. */
  readonly inner: readonly string[]
  /** What Git is in the middle of there: it goes with the worktree, and what it put aside as well. */
  readonly unfinished: Unfinished | null
}

/** A reference below `refs/worktree`, or what a bisect or rebase keeps. */
export interface OwnReference {
  readonly name: string
  /** Null where it is something else than a commit. */
  readonly commit: string | null
}

/** What one ignored entry, and all of them together, may take to be kept. Bytes. */
const smallBytes = 1024 * 1024
const allSmallBytes = 16 * 1024 * 1024

/** Looks at everything that could be lost. Writes nothing. */
export async function stateOf(repository: Repository, entry: Entry, env: NodeJS.ProcessEnv): Promise<State> {
  const { gitDir, branch } = entry
  const git = entry.present ? new Git(entry.path, env) : new Git(gitDir, env, ['--git-dir', gitDir])
  const head = await git.resolve('HEAD')
  const unmerged = await unmergedOf(repository, head, branch, env)
  const own = await ownReferences(git, head, branch)
  const unfinished = unfinishedIn(gitDir)
  if (!entry.present) {
    const staged = head === null ? null : await git.try(['diff-index', '--cached', '--quiet', 'HEAD', '--'])
    const dirty = staged?.status === 1 && existsSync(join(gitDir, 'index')) ? ['(staged changes)'] : []
    const inner = await innerOfModules(gitDir, new Set(), env)
    return { head, branch, unmerged, own, dirty, ignored: { small: [], large: [] }, found: null, inner, unfinished }
  }
  const ignored = sortIgnored(entry.path, await ignoredIn(git))
  const found = filesBelow(entry.path, new Set([...ignored.large, ...ignored.small]))
  const dirty = await dirtyIn(git, entry.path)
  const inner = await innerOf(entry, { nested: found.nested, ignored: [...ignored.small, ...ignored.large] }, env)
  return { head, branch, unmerged, own, dirty, ignored, found, inner, unfinished }
}

/**
 * Arguments for Git that name what else may lead to commits of a branch: other branches, tags and what remotes have. Another name of the
 * same branch (`git symbolic-ref`) is none: it leads nowhere without it.
 */
export async function othersThan(git: Git, branch: string | null): Promise<readonly string[]> {
  const heads =
    branch === null ? [] : (await git.run(['for-each-ref', '--format=%(refname) %(symref)', 'refs/heads'])).split('\n').map(shown)
  const names = heads.flatMap(line => (line.endsWith(` refs/heads/${branch}`) ? [line.slice('refs/heads/'.length, line.indexOf(' '))] : []))
  // `--exclude` is for the next of these only.
  return [...(branch === null ? [] : [branch, ...names]).map(name => `--exclude=${name}`), '--branches', '--remotes', '--tags']
}

/** Commits that nothing but this worktree and its branch leads to. */
async function unmergedOf(
  repository: Repository,
  head: string | null,
  branch: string | null,
  env: NodeJS.ProcessEnv,
): Promise<readonly string[]> {
  if (head === null) return []
  const git = new Git(repository.commonDir, env, ['--git-dir', repository.commonDir])
  const output = await git.run(['rev-list', '--max-count=1000', head, '--not', ...(await othersThan(git, branch))])
  return output.split('\n').filter(line => line !== '')
}

async function ownReferences(git: Git, head: string | null, branch: string | null): Promise<readonly OwnReference[]> {
  const lines = (
    await git.run([
      'for-each-ref',
      '--format=%(refname)%00%(objectname)%00%(objecttype)',
      ...['worktree', 'bisect', 'rewritten'].map(each => `refs/${each}`),
    ])
  ).split('\n')
  const found: OwnReference[] = []
  for (const [name = '', object = '', type = ''] of lines.filter(line => line !== '').map(line => line.split('\0'))) {
    if (type !== 'commit') {
      found.push({ name, commit: null })
      continue
    }
    // What HEAD leads to is told of as its own.
    // oxlint-disable-next-line no-await-in-loop -- hardly ever any
    const others = [...(head === null ? [] : [head]), ...(await othersThan(git, branch))]
    // oxlint-disable-next-line no-await-in-loop -- hardly ever any
    if ((await git.run(['rev-list', '--max-count=1', object, '--not', ...others])) !== '') found.push({ name, commit: object })
  }
  return found
}

function sortIgnored(path: string, names: readonly string[]): State['ignored'] {
  const small: string[] = []
  const large: string[] = []
  let left = allSmallBytes
  for (const name of names) {
    const size = sizeOf(path, name, smallBytes)
    // A repository among them cannot be kept as files.
    const fits = size <= smallBytes && size <= left && filesOrNull(path, name)
    if (fits) left -= size
    ;(fits ? small : large).push(name)
  }
  return { small, large }
}

function filesOrNull(path: string, name: string): boolean {
  if (!name.endsWith('/')) return true
  const directory = `${path}/${shown(name).slice(0, -1)}`
  try {
    return !existsSync(join(directory, '.git')) && filesBelow(directory, new Set()).nested.length === 0
  } catch {
    return false
  }
}
