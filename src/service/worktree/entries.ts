import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Fault } from '../../core/fault.ts'
import { policy } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { findRepository, mainRoot } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import { readWorktree } from '../identity/worktree.ts'
import type { WorktreeIdentity } from '../identity/worktree.ts'
import { Git } from './git.ts'

// The worktrees of a repository: Git's list, and what each says of itself.

/** One line of `git worktree list`. */
export interface Listed {
  readonly path: string
  readonly head: string | null
  /** Without `refs/heads/`; null when detached or bare. */
  readonly branch: string | null
  readonly bare: boolean
  /** The reason, empty when none was given; null when it is not locked. */
  readonly locked: string | null
  /** Why Git would prune it; null when it would not. */
  readonly prunable: string | null
}

/** A worktree, whether its directory is there or not. */
export interface Entry extends Listed {
  /** The one that is the repository itself; it is never made or removed by us. */
  readonly main: boolean
  /** Is its directory there? */
  readonly present: boolean
  /** It is there, but its `.git` leads nowhere: it or the repository was moved, and `git worktree repair` has to be run. */
  readonly astray: boolean
  readonly gitDir: string
  readonly identity: WorktreeIdentity
}

/** Git for what concerns the whole repository. */
export const repositoryGit = ({ commonDir }: Repository, env: NodeJS.ProcessEnv): Git => new Git(commonDir, env, ['--git-dir', commonDir])

/** The worktrees, the main one first. What Git cannot tell apart, or has half forgotten, is left out. */
export async function listEntries(repository: Repository, env: NodeJS.ProcessEnv): Promise<readonly Entry[]> {
  const output = await repositoryGit(repository, env).try(['worktree', 'list', '--porcelain', '-z'])
  const listed = output.status === 0 ? parseList(output.stdout.toString('utf8')) : parseList(await withoutNul(repository, env))
  const directories = linkedDirectories(repository.commonDir)
  return listed.flatMap((item, at) => {
    const gitDir = directories.get(item.path)
    const entry = at === 0 ? mainEntry(item, repository) : gitDir === undefined ? null : entryOf(item, gitDir)
    return entry === null ? [] : [entry]
  })
}

/** Git itself only knows where the git directory is; it shows that where it is not called `.git`. */
function mainEntry(item: Listed, { commonDir, ...repository }: Repository): Entry | null {
  const root = item.bare ? null : mainRoot({ commonDir, ...repository })
  try {
    const identity = readWorktree(findRepository(root ?? commonDir, {}))
    return { ...item, path: root ?? item.path, main: true, present: item.bare || root !== null, astray: false, gitDir: commonDir, identity }
  } catch {
    return null
  }
}

/** Before Git 2.36 there is no `-z`: a path with a newline then looks like two lines. */
async function withoutNul(repository: Repository, env: NodeJS.ProcessEnv): Promise<string> {
  const text = await repositoryGit(repository, env).run(['worktree', 'list', '--porcelain'])
  return Buffer.from(text, 'latin1').toString('utf8').replaceAll('\n', '\0')
}

function entryOf(item: Listed, gitDir: string): Entry | null {
  const there = existsSync(join(item.path, '.git'))
  try {
    const found = there ? repositoryAt(item.path) : null
    const astray = there && found === null
    // Another repository may lie where a worktree was.
    const own = found?.gitDir === gitDir
    const repository = own ? found : findRepository(gitDir, {})
    // What is half made is not seen as one from the inside either.
    if (repository.gitDir !== gitDir) return null
    return { ...item, main: false, present: own || astray, astray, gitDir, identity: readWorktree(repository) }
  } catch {
    return null
  }
}

/** The repository that a directory belongs to; null when its `.git` leads nowhere. */
function repositoryAt(path: string): Repository | null {
  try {
    return findRepository(path, {})
  } catch {
    return null
  }
}

/** The git directories of linked worktrees by the path that each says its worktree has. */
export function linkedDirectories(commonDir: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const directory = join(commonDir, 'worktrees')
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const gitDir = join(directory, name)
    const path = worktreePathOf(gitDir)
    if (path !== null) found.set(path, gitDir)
  }
  return found
}

/** Where a linked worktree's git directory says that its worktree is; null when it does not say. */
export function worktreePathOf(gitDir: string): string | null {
  try {
    // One newline ends it; others are part of the name.
    const said = readFileSync(join(gitDir, 'gitdir'), 'utf8').replace(/\r?\n$/, '')
    return said === '' ? null : dirname(resolve(gitDir, said))
  } catch {
    return null
  }
}

/** What to throw where something is to be done with a worktree that has gone astray. */
export const astray = ({ path }: Entry): Fault =>
  policy(`${path} does not lead to this repository any more: one of the two was moved`, `git worktree repair ${shellWord(path)}`)

function parseList(output: string): readonly Listed[] {
  const found: Listed[] = []
  for (const record of output.split('\0\0')) {
    const fields = new Map<string, string>()
    for (const field of record.split('\0')) {
      const space = field.indexOf(' ')
      if (space < 0) fields.set(field, '')
      else fields.set(field.slice(0, space), field.slice(space + 1))
    }
    const path = fields.get('worktree')
    if (path === undefined) continue
    found.push({
      path,
      head: headOf(fields.get('HEAD')),
      branch: fields.get('branch')?.replace(/^refs\/heads\//, '') ?? null,
      bare: fields.has('bare'),
      locked: fields.get('locked') ?? null,
      prunable: fields.get('prunable') ?? null,
    })
  }
  return found
}

/** A branch without a commit has only zeros. */
const headOf = (id: string | undefined): string | null => (id === undefined || /^0+$/.test(id) ? null : id)

/** The path without symbolic links, as far as it exists: what Git would write down for it. */
export function realPath(path: string): string {
  const wanted = resolve(path)
  if (lstatSync(wanted, { throwIfNoEntry: false }) !== undefined) {
    try {
      return realpathSync.native(wanted)
    } catch {
      return wanted
    }
  }
  const above = dirname(wanted)
  return above === wanted ? wanted : join(realPath(above), wanted.slice(above === '/' ? 1 : above.length + 1))
}

/** Is a path this directory, or below it? */
export const isInside = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(`${directory.replace(/\/$/, '')}/`)
