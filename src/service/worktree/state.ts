import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Repository } from '../../host/git.ts'
import type { Entry } from './entries.ts'
import { at, filesBelow, shown, sizeOf } from './files.ts'
import type { Found } from './files.ts'
import { Git } from './git.ts'
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

/** What one ignored entry, and all of them together, may take to be kept. Bytes. */
const smallBytes = 1024 * 1024
const allSmallBytes = 16 * 1024 * 1024

/** Looks at everything that could be lost. Writes nothing. */
export async function stateOf(repository: Repository, entry: Entry, env: NodeJS.ProcessEnv): Promise<State> {
  const { gitDir, branch } = entry
  const git = entry.present ? new Git(entry.path, env) : new Git(gitDir, env, ['--git-dir', gitDir])
  const head = await git.resolve('HEAD')
  const unmerged = await unmergedOf(repository, head, branch, env)
  const unfinished = unfinishedIn(gitDir)
  if (!entry.present) {
    const staged = head === null ? null : await git.try(['diff-index', '--cached', '--quiet', 'HEAD', '--'])
    const dirty = staged?.status === 1 && existsSync(join(gitDir, 'index')) ? ['(staged changes)'] : []
    return { head, branch, unmerged, dirty, ignored: { small: [], large: [] }, found: null, inner: [], unfinished }
  }
  const ignored = sortIgnored(entry.path, await ignoredIn(git))
  const found = filesBelow(entry.path, new Set([...ignored.large, ...ignored.small]))
  const [dirty, inner] = [await dirtyIn(git, entry.path), await innerOf(git, entry.path, found.nested, env)]
  return { head, branch, unmerged, dirty, ignored, found, inner, unfinished }
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
  // `--exclude` is for the next of these only.
  const others = [...(branch === null ? [] : [`--exclude=${branch}`]), '--branches', '--remotes', '--tags']
  const output = await git.run(['rev-list', '--max-count=1000', head, '--not', ...others])
  return output.split('\n').filter(line => line !== '')
}

async function dirtyIn(git: Git, path: string): Promise<readonly string[]> {
  const fields = (
    await git.run([
      '--no-optional-locks',
      'status',
      '--porcelain=v1',
      '-z',
      '--untracked-files=normal',
      '--ignore-submodules=none',
      '--no-renames',
    ])
  ).split('\0')
  const names = fields.filter(field => field !== '').map(field => field.slice(3))
  return [...names, ...(await hiddenChanges(git, path, new Set(names)))]
}

/** Files that Git was told not to look at (`assume-unchanged`, `skip-worktree`) and that are there: they may differ. */
async function hiddenChanges(git: Git, path: string, known: ReadonlySet<string>): Promise<readonly string[]> {
  const hidden = hiddenFiles(await git.run(['ls-files', '-v', '-z']), path).filter(name => !known.has(name))
  const changed: string[] = []
  for (const name of hidden) {
    // oxlint-disable-next-line no-await-in-loop -- hardly ever any
    const [index, own] = [
      await git.run(['ls-files', '-s', '-z', '--', `:(literal)${shown(name)}`]),
      await git.try(['hash-object', '--', shown(name)]),
    ]
    if (own.status !== 0 || !index.includes(own.stdout.toString('latin1').trim())) changed.push(name)
  }
  return changed
}

/** Of `ls-files -v -z` those that are hidden and there. */
export const hiddenFiles = (output: string, path: string): readonly string[] =>
  output
    .split('\0')
    .filter(line => /^(?:[a-z]|S) /.test(line))
    .map(line => line.slice(2))
    .filter(name => existsSync(at(path, name)))

async function ignoredIn(git: Git): Promise<readonly string[]> {
  const output = await git.run(['ls-files', '-z', '--others', '--ignored', '--exclude-standard', '--directory'])
  return output.split('\0').filter(name => name !== '')
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

/** Repositories inside a worktree whose content is nowhere else: the git directories of its submodules go with it. */
async function innerOf(git: Git, path: string, nested: readonly string[], env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  if (nested.length === 0) return []
  const links = new Set(
    (await git.run(['ls-files', '-s', '-z']))
      .split('\0')
      .filter(line => line.startsWith('160000 '))
      .map(line => line.slice(line.indexOf('\t') + 1)),
  )
  const said: string[] = []
  for (const name of nested) {
    const directory = `${path}/${shown(name)}`
    // oxlint-disable-next-line no-await-in-loop -- hardly ever more than one
    const why = links.has(name)
      ? await unsavedIn(directory, env)
      : 'it is a repository of its own, whose files Git cannot keep with the rest'
    if (why !== null) said.push(`${shown(name)}: ${why}`)
  }
  return said
}

/** What a submodule has that its remote has not; null when there is nothing. */
async function unsavedIn(directory: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  const git = new Git(directory, env)
  const status = await git.run(['status', '--porcelain', '--untracked-files=normal', '--ignore-submodules=none'])
  if (status !== '') return 'it has uncommitted changes'
  if ((await git.resolve('refs/stash')) !== null) return 'it has stashed changes'
  const own = await git.run(['rev-list', '--max-count=1', 'HEAD', '--branches', '--tags', '--not', '--remotes'])
  if (own !== '') return 'it has commits that its remote does not have'
  const { nested } = filesBelow(directory, new Set())
  const inside = await innerOf(git, directory, nested, env)
  return inside[0] ?? null
}
