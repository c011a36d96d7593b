import { existsSync, lstatSync, readdirSync, realpathSync, type Dirent } from 'node:fs'
import { join } from 'node:path'
import { policy } from '../../core/fault.ts'
import { findRepository } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import { dirtyIn, ignoredIn } from './changes.ts'
import { isInside, worktreePathOf } from './entries.ts'
import type { Entry } from './entries.ts'
import { at, few, filesBelow, shown } from './files.ts'
import { Git } from './git.ts'
import { unfinishedIn, withArticle } from './unfinished.ts'

// Repositories that go with a worktree: submodules, with their git directories, and clones that somebody put below it. Git keeps nothing of
// them with the rest, and tells of most of them nothing.

/** Directories of a worktree in which other repositories may be. */
interface Places {
  /** Those that are repositories, the ignored ones left out. */
  readonly nested: readonly string[]
  /** Ignored files and directories (with a slash). */
  readonly ignored: readonly string[]
}

/** Sentences about repositories inside a worktree that have something that is nowhere else. */
export async function innerOf(entry: Pick<Entry, 'path' | 'gitDir'>, places: Places, env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const looked = new Set<string>()
  const said = await innerBelow(entry.path, places, [entry.path, entry.gitDir], looked, env)
  return [...said, ...(await innerOfModules(entry.gitDir, looked, env))]
}

/** The same of the directory `top`; `going` goes with the worktree, and `looked` gets the git directories that were looked into. */
async function innerBelow(
  top: string,
  { nested, ignored }: Places,
  going: readonly string[],
  looked: Set<string>,
  env: NodeJS.ProcessEnv,
): Promise<readonly string[]> {
  const links = await linksIn(new Git(top, env))
  const said: string[] = []
  const look = async (name: string): Promise<void> => {
    const why = await unsavedIn(pathOf(top, name), going, looked, env)
    if (why !== null) said.push(`${shown(name)}: ${why}`)
  }
  // One after the other: there is hardly ever more than one.
  /* oxlint-disable no-await-in-loop */
  for (const name of links) {
    if (isThere(at(top, `${name}/.git`))) await look(name)
    else {
      // Git takes what lies there for the submodule's, and says nothing of it.
      const files = filesIn(top, name)
      if (files.length > 0)
        said.push(`${shown(name)}: it is a submodule that is not set up, and has files of its own: ${few(files.map(shown))}`)
    }
  }
  for (const name of nested)
    if (!links.includes(name)) said.push(`${shown(name)}: it is a repository of its own, whose files Git cannot keep with the rest`)
  for (const name of ignored.flatMap(each => (each.endsWith('/') ? repositoriesBelow(top, each.slice(0, -1)) : []))) await look(name)
  /* oxlint-enable no-await-in-loop */
  return said
}

/** Sentences about git directories of submodules, below that of a worktree, which nothing in the worktree leads to (any more). */
export async function innerOfModules(gitDir: string, looked: ReadonlySet<string>, env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const said: string[] = []
  for (const directory of moduleDirectories(gitDir)) {
    if (looked.has(directory)) continue
    // oxlint-disable-next-line no-await-in-loop -- hardly ever more than one
    const why = await unsavedOf(directory, env)
    if (why !== null) said.push(`${directory}, of a submodule that is not set up: ${why}`)
  }
  return said
}

function moduleDirectories(gitDir: string): readonly string[] {
  const found: string[] = []
  const walk = (directory: string): void => {
    if (!existsSync(directory)) return
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name)
      if (!entry.isDirectory()) continue
      const isModule = isThere(join(path, 'HEAD')) && existsSync(join(path, 'objects'))
      if (isModule) found.push(path)
      walk(isModule ? join(path, 'modules') : path)
    }
  }
  walk(join(gitDir, 'modules'))
  return found
}

/** Submodules, as the index has them. */
const linksIn = async (git: Git): Promise<readonly string[]> =>
  (await git.run(['ls-files', '-s', '-z']))
    .split('\0')
    .filter(line => line.startsWith('160000 '))
    .map(line => line.slice(line.indexOf('\t') + 1))

function filesIn(top: string, name: string): readonly string[] {
  if (lstatSync(at(top, name), { throwIfNoEntry: false })?.isDirectory() !== true) return []
  const { files, nested, special } = filesBelow(pathOf(top, name), new Set())
  return [...files.keys(), ...nested, ...special].map(each => `${name}/${each}`)
}

/** Repositories at or below an ignored directory, also bare ones. They are not looked into. */
function repositoriesBelow(top: string, directory: string): readonly string[] {
  const names = new Map(entriesIn(top, directory).map(entry => [entry.name.toString('latin1'), entry]))
  if (isSome(top, `${directory}/.git`) || ['HEAD', 'objects', 'refs'].every(name => names.has(name))) return [directory]
  return [...names].filter(([, entry]) => entry.isDirectory()).flatMap(([name]) => repositoriesBelow(top, `${directory}/${name}`))
}

function entriesIn(top: string, directory: string): readonly Dirent<Buffer>[] {
  try {
    return readdirSync(at(top, directory), { withFileTypes: true, encoding: 'buffer' })
  } catch (error) {
    throw policy(
      `${pathOf(top, directory)} cannot be looked into: ${(error as Error).message}`,
      'a repository may be there; let this user read it, or move it away',
    )
  }
}

/** Is anything there, and not only an empty file or directory? Sandboxes leave such. */
function isSome(top: string, name: string): boolean {
  const stats = lstatSync(at(top, name), { throwIfNoEntry: false })
  return stats !== undefined && (stats.isDirectory() ? entriesIn(top, name).length > 0 : stats.size > 0)
}

/** What a repository in a directory has that is nowhere else; null when there is nothing. */
async function unsavedIn(directory: string, going: readonly string[], looked: Set<string>, env: NodeJS.ProcessEnv): Promise<string | null> {
  const repository = repositoryAt(directory)
  if (repository === null) return 'its .git leads to no repository, so nobody can tell what it has'
  const { gitDir, commonDir, root } = repository
  looked.add(gitDir)
  if (root !== null) {
    const git = new Git(directory, env)
    if ((await dirtyIn(git, directory)).length > 0) return 'it has uncommitted changes'
    const ignored = await ignoredIn(git)
    const { nested } = filesBelow(directory, new Set(ignored))
    const [inside] = await innerBelow(directory, { nested, ignored }, going, looked, env)
    const [module] = inside === undefined ? await innerOfModules(gitDir, looked, env) : [inside]
    if (module !== undefined) return module
  }
  // Of a worktree of a repository elsewhere only what it has checked out goes.
  return going.some(place => isInside(commonDir, place)) ? unsavedOf(commonDir, env, gitDir) : unsavedHead(gitDir, env)
}

/** The repository of which this is the top; null when it is none. */
function repositoryAt(directory: string): Repository | null {
  try {
    const found = findRepository(directory, {})
    return (found.root ?? found.gitDir) === realpathSync.native(directory) ? found : null
  } catch {
    return null
  }
}

/** What a git directory that goes has that its remote has not; null when there is nothing. */
async function unsavedOf(commonDir: string, env: NodeJS.ProcessEnv, gitDir = commonDir): Promise<string | null> {
  const git = gitAt(gitDir, env)
  const head = await git.resolve('HEAD^{commit}')
  if ((await git.resolve('refs/stash')) !== null) return 'it has stashed changes'
  const unfinished = unfinishedIn(gitDir)
  if (unfinished !== null) return `${withArticle(unfinished)} is unfinished there`
  if (
    head !== null &&
    existsSync(join(gitDir, 'index')) &&
    (await git.try(['diff-index', '--cached', '--quiet', 'HEAD', '--'])).status !== 0
  )
    return 'it has staged changes'
  const own = await git.run(['rev-list', '--max-count=1', ...(head === null ? [] : ['HEAD']), '--all', '--not', '--remotes'])
  if (own !== '') return 'it has commits that its remote does not have'
  const worktrees = join(commonDir, 'worktrees')
  const other = (existsSync(worktrees) ? readdirSync(worktrees) : [])
    .map(name => worktreePathOf(join(worktrees, name)))
    .find(path => path !== null && existsSync(path))
  return other === undefined ? null : `the worktree ${other} hangs on it`
}

/** What is lost with a worktree of a repository that stays. */
async function unsavedHead(gitDir: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  const git = gitAt(gitDir, env)
  const unfinished = unfinishedIn(gitDir)
  if (unfinished !== null) return `${withArticle(unfinished)} is unfinished there`
  if ((await git.resolve('HEAD^{commit}')) === null) return null
  const own = await git.run(['rev-list', '--max-count=1', 'HEAD', '--not', '--branches', '--tags', '--remotes'])
  return own === '' ? null : 'it has commits that are on no branch'
}

/** Git in a git directory, whose worktree may be gone: it would go there, where its settings name one. */
const gitAt = (gitDir: string, env: NodeJS.ProcessEnv): Git => new Git(gitDir, env, ['--git-dir', gitDir, '--work-tree', gitDir])

/** Git and we take this path as text. */
const pathOf = (top: string, name: string): string => `${top}/${shown(name)}`

const isThere = (path: string | Buffer): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined
