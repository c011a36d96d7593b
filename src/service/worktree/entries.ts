import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { findRepository } from '../../host/git.ts'
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
    const main = at === 0
    const gitDir = main ? repository.commonDir : directories.get(item.path)
    if (gitDir === undefined) return []
    const entry = entryOf(item, gitDir, main)
    return entry === null ? [] : [entry]
  })
}

/** Before Git 2.36 there is no `-z`: a path with a newline then looks like two lines. */
async function withoutNul(repository: Repository, env: NodeJS.ProcessEnv): Promise<string> {
  const text = await repositoryGit(repository, env).run(['worktree', 'list', '--porcelain'])
  return Buffer.from(text, 'latin1').toString('utf8').replaceAll('\n', '\0')
}

function entryOf(item: Listed, gitDir: string, main: boolean): Entry | null {
  const present = !item.bare && existsSync(join(item.path, '.git'))
  try {
    const repository = findRepository(present ? item.path : gitDir, {})
    // Another repository may lie where a worktree was.
    const own = repository.gitDir === gitDir || main
    return { ...item, main, present: present && own, gitDir, identity: readWorktree(own ? repository : findRepository(gitDir, {})) }
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
