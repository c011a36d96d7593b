import { existsSync, lstatSync, readFileSync, readdirSync, realpathSync, statSync, type Stats } from 'node:fs'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { Fault, policy } from '../../../core/fault.ts'
import { gitOutput, withoutRepository } from '../../../host/git-run.ts'
import type { Repository } from '../../../host/git.ts'
import { mainRoot } from '../../../host/git.ts'
import type { HookName } from './script.ts'
import { clientHooks, marks, scriptsFolder, serverHooks } from './script.ts'

/** Where Git looks for hooks here, and who else has a hand in it. */
export interface HookLayout {
  readonly repository: Repository
  /** The hooks that are ours to install. */
  readonly names: readonly HookName[]
  /** The directory that Git takes hooks from in this worktree. */
  readonly directory: string
  /** The one that it takes them from where nobody said otherwise. */
  readonly usual: string
  /** `core.hooksPath` as it was written; null when it is not set. */
  readonly hooksPath: string | null
  /** The folder of husky's scripts, which people write and commit; null without husky. */
  readonly husky: string | null
  /** The configuration of lefthook; null without it. */
  readonly lefthook: string | null
  /** Where the scripts are that another manager's hooks call. */
  readonly scripts: string
  readonly env: NodeJS.ProcessEnv
}

/** Finds out who runs the hooks of this repository. Throws `unavailable` when Git cannot tell. */
export function hookLayout(repository: Repository, env: NodeJS.ProcessEnv): HookLayout {
  const clean = withoutRepository(env)
  const cwd = repository.root ?? repository.gitDir
  const hooksPath = gitOutput(cwd, ['config', '--get', 'core.hooksPath'], { env: clean })?.toString('utf8').replace(/\n$/, '') ?? null
  // An empty path switches the hooks off, and Git names no place for it.
  const directory = hooksPath === '' ? '/dev/null' : hooksOf(cwd, clean)
  if (!directory)
    throw new Fault('unavailable', `git cannot tell where the hooks of ${cwd} are`, { hint: 'see: git rev-parse --git-path hooks' })
  const bare = repository.root === null
  return {
    repository,
    names: bare ? serverHooks : clientHooks,
    directory,
    // It may be a link, of which Git says where it leads.
    usual: realPathOf(join(repository.commonDir, 'hooks')),
    hooksPath,
    husky: bare || hooksPath === null ? null : huskyFolder(directory),
    lefthook: bare ? null : lefthookConfig(repository.root),
    scripts: join(repository.commonDir, scriptsFolder),
    env: clean,
  }
}

const realPathOf = (path: string): string => (existsSync(path) ? realpathSync(path) : path)

/** The directory that Git takes hooks from in a worktree; null when it cannot tell. */
const hooksOf = (cwd: string, env: NodeJS.ProcessEnv): string | null =>
  gitOutput(cwd, ['rev-parse', '--path-format=absolute', '--git-path', 'hooks'], { env })?.toString('utf8').replace(/\n$/, '') ?? null

/** Husky 9 points Git at `.husky/_`, whose files call those beside it; before, it was `.husky` itself. */
function huskyFolder(directory: string): string | null {
  if (basename(directory) === '_' && (existsSync(join(directory, 'h')) || basename(dirname(directory)) === '.husky'))
    return dirname(directory)
  return existsSync(join(directory, '_', 'husky.sh')) ? directory : null
}

const lefthookNames = ['yml', 'yaml', 'toml', 'json', 'jsonc'].flatMap(end => [
  `lefthook.${end}`,
  `.lefthook.${end}`,
  `.config/lefthook.${end}`,
])

const lefthookConfig = (root: string): string | null => {
  const found = lefthookNames.find(name => existsSync(join(root, name)))
  return found === undefined ? null : join(root, found)
}

/** Lefthook's file for one machine, beside its configuration. */
export const lefthookLocal = (config: string): string =>
  join(dirname(config), `${basename(config).startsWith('.') ? '.' : ''}lefthook-local.yml`)

/** The folder of scripts for one machine. */
export function lefthookScripts(config: string): string {
  const said = [lefthookLocal(config), config].flatMap(
    file => /^source_dir_local:[ \t]*["']?([^"'\n#]+?)["']?[ \t]*$/m.exec(textAt(file) ?? '')?.[1] ?? [],
  )
  // Relative to the top of the worktree, wherever the configuration is.
  const root = basename(dirname(config)) === '.config' ? dirname(dirname(config)) : dirname(config)
  return join(root, said[0] ?? '.lefthook-local')
}

/** The hooks that lefthook is configured to run, and therefore installs. */
export function lefthookHooks({ lefthook, names }: HookLayout): readonly HookName[] {
  const text = lefthook === null ? '' : (textAt(lefthook) ?? '')
  return names.filter(name => new RegExp(`^\\s*\\[?["']?${name}\\b`, 'm').test(text))
}

/** Why Git runs no hook here at all, whatever is installed: `core.hooksPath=/dev/null` is the usual way to say so. Null where it does. */
export function silence({ directory, hooksPath }: HookLayout): { readonly why: string; readonly hint: string } | null {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== false) return null
  if (hooksPath === null) return { why: `${directory} is no directory, so Git runs no hook`, hint: 'move it away' }
  return {
    why: `core.hooksPath is ${hooksPath === '' ? 'empty' : `${hooksPath}, which is no directory`}, so Git runs no hook`,
    hint: 'git config --unset core.hooksPath; where it is set: git config --show-origin core.hooksPath',
  }
}

/** Worktrees whose own `core.hooksPath` (`extensions.worktreeConfig`) leads Git elsewhere, in sentences. */
export function othersElsewhere({ repository, directory, env }: HookLayout): readonly string[] {
  const { commonDir, root } = repository
  const setsPath = (gitDir: string): boolean => /hookspath/i.test(textAt(join(gitDir, 'config.worktree')) ?? '')
  const main = setsPath(commonDir) ? mainRoot(repository) : null
  const linked = join(commonDir, 'worktrees')
  const places = (existsSync(linked) ? readdirSync(linked) : [])
    .filter(name => setsPath(join(linked, name)))
    .flatMap(name => textAt(join(linked, name, 'gitdir'))?.replace(/\/\.git\n?$/, '') ?? [])
    .map(bytes => Buffer.from(bytes, 'latin1').toString('utf8'))
  return [...(main === null ? [] : [main]), ...places].flatMap(place => {
    if (place === root || !existsSync(place)) return []
    const there = hooksOf(place, env)
    return there === null || there === directory
      ? []
      : [`${place} has a core.hooksPath of its own, so Git takes its hooks from ${there}: run lh hooks install git there, too`]
  })
}

/** Is `core.hooksPath` relative, so that each worktree has hooks of its own? */
export const isRelative = ({ hooksPath }: HookLayout): boolean =>
  hooksPath !== null && hooksPath !== '' && !isAbsolute(hooksPath) && !hooksPath.startsWith('~')

/** A hook that lefthook wrote. */
export const isLefthooks = (text: string | null): boolean => text !== null && text.includes('call_lefthook')

/** A hook that the pre-commit framework wrote; it calls what it found as `<name>.legacy`. */
export const isPreCommits = (text: string | null): boolean => text !== null && text.includes('generated by pre-commit')

/** Is a block of ours in this text? */
export const isOurs = (text: string | null): boolean => text !== null && text.includes(`${marks.begin} `)

/** A larger file is no hook that somebody wrote. Bytes. */
const maxBytes = 1024 * 1024

/** A file's text, byte for byte (each is one letter); null when there is none, or what is there is no file that we should read. */
export function textAt(path: string): string | null {
  try {
    const stats = lstatSync(path)
    return stats.isFile() && stats.size <= maxBytes ? readFileSync(path, 'latin1') : null
  } catch {
    return null
  }
}

/** The same, also of what a symbolic link leads to. */
export function textBehind(path: string): string | null {
  try {
    return textAt(realpathSync(path))
  } catch {
    return null
  }
}

/** Is anything there? Throws `policy` for a directory, which is no hook. */
export function isThere(path: string): boolean {
  const stats = lookAt(path)
  if (stats?.isDirectory() === true) throw policy(`${path} is a directory`, 'Git could not run it either; move it away first')
  return stats !== undefined
}

/** Below what is no directory there is nothing. */
function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    throw error
  }
}

/** May Git run it? */
export function isExecutable(path: string): boolean {
  const stats = lookAt(path)
  return stats !== undefined && (stats.isSymbolicLink() || (stats.isFile() && (stats.mode & 0o111) !== 0))
}

/** A free name for something that must not be lost. */
export function spare(path: string): string {
  const taken = new Set(existsSync(dirname(path)) ? readdirSync(dirname(path)) : [])
  for (let number = 1; ; number++) if (!taken.has(`${basename(path)}.${number}`)) return `${path}.${number}`
}
