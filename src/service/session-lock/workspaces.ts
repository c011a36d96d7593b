import { realpathSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { findRepository, type Repository } from '../../host/git.ts'
import { isDirectory, linkAt } from '../../host/look.ts'

export type { Repository } from '../../host/git.ts'

/** A workspace that a tool call would change. */
export interface Target {
  /** Top of the worktree; outside Git the directory in which the session works. */
  readonly root: string
  /** Null outside Git. */
  readonly repository: Repository | null
  /** The files in it that were named, without symbolic links. */
  readonly files: readonly string[]
}

/**
 * The workspaces of the paths that a tool call names, or of the directory where it runs when it names none. `always`: that directory
 * counts too. A path is judged by where it leads, not by where its link lies.
 */
export function targetsOf(paths: readonly string[], cwd: string, always: boolean): readonly Target[] {
  const here = realOf(cwd)
  const found = new Map<string, { repository: Repository | null; files: string[] }>()
  const add = (directory: string, file: string | null): void => {
    const repository = repositoryAt(directory)
    // Outside Git only what lies below the session's own directory is its workspace.
    const root = repository?.root ?? (directory === here || directory.startsWith(`${here}/`) ? here : null)
    if (root === null) return
    const known = found.get(root)
    if (known === undefined) found.set(root, { repository, files: file === null ? [] : [file] })
    else if (file !== null) known.files.push(file)
  }
  if (paths.length === 0 || always) add(here, null)
  for (const path of paths) for (const file of meant(here, path)) add(isDirectory(file) ? file : existing(dirname(file)), file)
  return [...found].map(([root, { repository, files }]) => ({ root, repository, files }))
}

/** Repositories by directory: one payload names many files of few directories. */
const known = new Map<string, Repository | null>()

function repositoryAt(directory: string): Repository | null {
  const seen = known.get(directory)
  if (seen !== undefined) return seen
  let repository: Repository | null = null
  try {
    // Without GIT_DIR and its like: they say where a Git command works, not whose file this is.
    repository = findRepository(directory, {})
    if (repository.root === null) repository = null
  } catch {
    // Outside Git, or in a worktree whose repository is gone.
  }
  known.set(directory, repository)
  return repository
}

/** Links of one path that lead to nothing; a circle of them has no end. */
const maxLinks = 40

/** Where a path leads: behind a link, `..` is beside its target for the kernel, and beside the link for whoever shortens the text first. */
export function meant(here: string, path: string): readonly string[] {
  const plain = realOf(resolve(here, path))
  if (!/[^/.][^/]*\/+(?:\.\/+)*\.\.(?:\/|$)/.test(path)) return [plain]
  const other = followed(isAbsolute(path) ? path : `${here}/${path}`)
  return other === plain ? [plain] : [plain, other]
}

/** A path without symbolic links, as far as it exists; of a link that leads to nothing, what a write would make. */
function realOf(path: string, links = { left: maxLinks }): string {
  const above = existing(path)
  const real = realpathSync.native(above)
  if (above === path) return real
  const rest = path.slice(above === '/' ? 1 : above.length + 1)
  const [first = ''] = rest.split('/', 1)
  const target = linkAt(join(real, first))
  if (target === null || links.left-- <= 0) return join(real, rest)
  return join(followed(isAbsolute(target) ? target : `${real}/${target}`, links), rest.slice(first.length))
}

/** The same, component by component, as the kernel goes. */
function followed(path: string, links = { left: maxLinks }): string {
  const parts = path.split('/')
  let place = '/'
  for (const [at, part] of parts.entries()) {
    if (part === '..') place = dirname(place)
    if (part === '' || part === '.' || part === '..') continue
    const next = join(place, part)
    place = realOf(next, links)
    if (!exists(next)) return join(place, ...parts.slice(at + 1))
  }
  return place
}

/** The nearest directory or file at or above a path that exists. */
function existing(path: string): string {
  let place = path
  while (place !== '/' && !exists(place)) place = dirname(place)
  return place
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return false
  }
}
