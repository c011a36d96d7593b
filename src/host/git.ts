import { closeSync, fstatSync, lstatSync, openSync, readFileSync, readSync, realpathSync, type Stats, statSync, unlinkSync } from 'node:fs'
import { basename, delimiter, dirname, isAbsolute, join, resolve } from 'node:path'
import { Fault, isFault } from '../core/fault.ts'
import { readJson } from './files.ts'
import { withoutRepository } from './git-run.ts'
import { below, worktreeRecordFile } from './paths.ts'

/** How this worktree hangs on its repository. A bare repository has no worktree of its own, but it may have linked ones. */
export type RepositoryKind = 'main' | 'linked' | 'submodule' | 'bare'

/** One worktree of one Git repository. All paths are absolute and free of symbolic links, so every spelling gives the same. */
export interface Repository {
  /** This worktree's own git directory. */
  readonly gitDir: string
  /** The git directory that all worktrees share. */
  readonly commonDir: string
  /** Top of the worktree; null where there is none. */
  readonly root: string | null
  readonly kind: RepositoryKind
  /** `core.sharedRepository` is on: directories 0770 and files 0660 instead of 0700 and 0600. */
  readonly shared: boolean
  /** `core.ignorecase`: the file system folds names. */
  readonly ignoreCase: boolean
}

/** What a finished `git` said. */
export interface GitAnswer {
  /** Exit code; null when a signal ended it. */
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The few settings that Git itself reads before it has a repository. */
interface EarlySettings {
  readonly bare: boolean | null
  readonly worktree: string | null
  readonly worktreeConfig: boolean
  readonly shared: boolean
  readonly ignoreCase: boolean
}

/**
 * The repository that `start` lies in, found as Git finds it but without starting it (0.1 ms against 4). Creates nothing.
 * Throws `usage` outside Git, for a missing directory and for a damaged `.git` file.
 */
export function findRepository(start: string, env: NodeJS.ProcessEnv): Repository {
  const from = realDirectory(start)
  if (env['GIT_DIR'] || env['GIT_COMMON_DIR'] || env['GIT_WORK_TREE']) return askGit(from, env)
  const ceilings = ceilingsOf(env)
  const acrossMounts = isTrue(env['GIT_DISCOVERY_ACROSS_FILESYSTEM'] ?? 'false')
  const device = statSync(from).dev
  for (let directory = from; ;) {
    const gitDir = gitDirAt(directory)
    if (gitDir !== null) return describe(gitDir, directory)
    if (isGitDirectory(directory)) return describe(directory, null)
    const parent = dirname(directory)
    if (parent === directory || ceilings.includes(parent)) throw outsideGit(start)
    if (!acrossMounts && statOf(parent)?.dev !== device) throw outsideGit(start)
    directory = parent
  }
}

/** The same; null outside Git. */
export function findRepositoryAround(start: string, env: NodeJS.ProcessEnv): Repository | null {
  try {
    return findRepository(start, env)
  } catch (error) {
    if (isFault(error) && error.message.includes(outside)) return null
    throw error
  }
}

/** Top of the main worktree; null in a bare repository, where it is gone or damaged, and where nothing says where it is. */
export function mainRoot({ gitDir, commonDir, root }: Pick<Repository, 'gitDir' | 'commonDir' | 'root'>): string | null {
  if (gitDir === commonDir && root !== null) return root
  try {
    return findRepository(commonDir, {}).root ?? notedRoot(commonDir)
  } catch {
    return null
  }
}

/**
 * A git directory that stands apart (`--separate-git-dir`) does not know its worktree, nor does `git worktree list`. What a command noted
 * when it ran there is believed while that directory's `.git` leads back here.
 */
function notedRoot(commonDir: string): string | null {
  const note = readJson(worktreeRecordFile(commonDir)) as { root?: unknown } | null | undefined
  if (typeof note?.root !== 'string' || note.root === commonDir) return null
  const { gitDir, root } = findRepository(note.root, {})
  return gitDir === commonDir && root === note.root ? root : null
}

/** Runs `git` and waits for it. Throws `unavailable` when it cannot be started; its own failures are in the answer. */
export function runGit(cwd: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): GitAnswer {
  // Not an import: loading child_process costs a millisecond that most commands never need.
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const done = spawnSync('git', args, { cwd, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'pipe'] })
  if (done.error !== undefined) throw notStarted(cwd, done.error)
  return { status: done.status, stdout: done.stdout, stderr: done.stderr }
}

/** Where Git is to work: a worktree, or a git directory without one. */
export type GitPlace = Pick<Repository, 'gitDir' | 'root'>

/** Runs `git` in this very repository, whatever a hook or an alias that we run in has set. Throws `unavailable` when it cannot be started. */
export function runGitIn({ gitDir, root }: GitPlace, args: readonly string[]): GitAnswer {
  const place = [`--git-dir=${gitDir}`, ...(root === null ? [] : [`--work-tree=${root}`])]
  return runGit(root ?? gitDir, [...place, ...args], withoutRepository(process.env))
}

const notStarted = (cwd: string, cause: Error): Fault =>
  new Fault('unavailable', `git could not be started in ${cwd}: ${cause.message}`, { hint: 'Install Git, or put it on PATH.', cause })

/**
 * Runs `git` as `runGit` does, and so that it comes to its end also when this process is killed: into a pipe that nobody reads any more
 * it could not say what it does, and would stop in the middle of it. Nor is anything waited for that a hook left running with its output.
 * What it says is all in `stderr`. Throws `unavailable`.
 */
export function runGitToItsEnd(cwd: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): GitAnswer {
  const said = namelessFile()
  // Without a place for it a pipe does: most are not killed.
  if (said === null) return runGit(cwd, args, env)
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  try {
    const { status, error } = spawnSync('git', args, { cwd, env, stdio: ['ignore', said, said] })
    if (error !== undefined) throw notStarted(cwd, error)
    return { status, stdout: '', stderr: wholeOf(said) }
  } finally {
    closeSync(said)
  }
}

/**
 * Runs `git` as `runGitToItsEnd` does, and in a session of its own: who interrupts us (Ctrl-C), or kills us with all that we started, does
 * not stop it in the middle either. It has no terminal to ask anything. Throws `unavailable`.
 */
export async function runGitApart(cwd: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<GitAnswer> {
  const said = namelessFile()
  if (said === null) return runGit(cwd, args, env)
  const { spawn } = process.getBuiltinModule('node:child_process')
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      const child = spawn('git', args, { cwd, env, detached: true, stdio: ['ignore', said, said] })
      child.once('error', error => reject(notStarted(cwd, error)))
      child.once('exit', resolve)
    })
    return { status, stdout: '', stderr: wholeOf(said) }
  } finally {
    closeSync(said)
  }
}

/** All that is in an open file. */
function wholeOf(fd: number): string {
  const bytes = Buffer.alloc(fstatSync(fd).size)
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0))
}

/** A file without a name, which is gone with those who have it open; null where none can be made. */
function namelessFile(): number | null {
  const { tmpdir } = process.getBuiltinModule('node:os')
  const path = join(tmpdir(), `leasehold-git-${process.pid}-${process.hrtime.bigint()}`)
  try {
    const fd = openSync(path, 'wx+', 0o600)
    unlinkSync(path)
    return fd
  } catch {
    return null
  }
}

function realDirectory(start: string): string {
  const stats = statOf(start)
  if (stats === null) {
    throw new Fault('usage', `There is no directory ${resolve(start)} (or it may not be entered).`, {
      hint: 'Give --repo a directory inside a Git repository.',
    })
  }
  if (!stats.isDirectory()) {
    throw new Fault('usage', `${resolve(start)} is not a directory.`, { hint: 'Give --repo a directory inside a Git repository.' })
  }
  // Whole: below a directory that was removed, `..` leads to somewhere that has no name.
  return realpathSync.native(resolve(start))
}

const outside = 'is not inside a Git repository'

const outsideGit = (start: string): Fault =>
  new Fault('usage', `${resolve(start)} ${outside}; Leasehold keeps its records in one.`, {
    hint: 'Go to a repository, name one with --repo DIR, or run `git init` here.',
  })

/** Directories that the search does not go up into, as `GIT_CEILING_DIRECTORIES` lists them; relative entries mean nothing to Git. */
function ceilingsOf(env: NodeJS.ProcessEnv): readonly string[] {
  const listed = env['GIT_CEILING_DIRECTORIES']
  if (!listed) return []
  return listed
    .split(delimiter)
    .filter(isAbsolute)
    .map(path => (statOf(path) === null ? resolve(path) : realpathSync.native(path)))
}

/** The git directory that `directory/.git` leads to, or null when there is none worth the name. */
function gitDirAt(directory: string): string | null {
  const entry = below(directory, '.git')
  const stats = statOf(entry)
  if (stats === null) return null
  // Git walks past a `.git` directory that is no repository, and stops at a `.git` file that leads nowhere. So do we.
  if (stats.isDirectory()) return isGitDirectory(entry) ? realpathSync.native(entry) : null
  if (!stats.isFile()) return null
  const target = /^gitdir: ([^]*?[^\r\n])[\r\n]*$/.exec(readFileSync(entry, 'utf8'))?.[1]
  if (target === undefined) throw brokenGitFile(entry, 'it does not say `gitdir: <path>`')
  const gitDir = resolve(directory, target)
  if (!isGitDirectory(gitDir)) throw brokenGitFile(entry, `it leads to ${gitDir}, which is not a git directory`)
  return realpathSync.native(gitDir)
}

const brokenGitFile = (entry: string, why: string): Fault =>
  new Fault('usage', `${entry} is damaged: ${why}.`, {
    hint: 'If a worktree or its repository was moved, run `git worktree repair` in the repository.',
  })

/** HEAD, and objects and refs of its own or through `commondir`: the same test as Git's. */
function isGitDirectory(directory: string): boolean {
  // lstat: HEAD may be a symbolic link to a branch that has no commit yet.
  if (lstatOf(below(directory, 'HEAD')) === null) return false
  const common = commonDirOf(directory)
  return isDirectory(below(common, 'objects')) && isDirectory(below(common, 'refs'))
}

/** Where `gitDir` keeps what all worktrees share. */
function commonDirOf(gitDir: string): string {
  const said = pathIn(below(gitDir, 'commondir'))
  return said === null ? gitDir : resolve(gitDir, said)
}

/** `foundFrom` is the directory whose `.git` led here; null when the search began inside the git directory itself. */
function describe(gitDir: string, foundFrom: string | null): Repository {
  const common = commonDirOf(gitDir)
  const commonDir = common === gitDir ? gitDir : realpathSync.native(common)
  const settings = readEarlySettings(commonDir)
  const { shared, ignoreCase } = settings
  const facts = { gitDir, commonDir, shared, ignoreCase }
  if (gitDir !== commonDir) {
    // Git ignores the shared core.worktree and core.bare here, but not what config.worktree says for this worktree alone.
    const own = settings.worktreeConfig ? readEarlySettings(gitDir, 'config.worktree').worktree : null
    const root = own === null ? (foundFrom ?? linkedRoot(gitDir)) : realPath(resolve(gitDir, own))
    return { ...facts, root, kind: root === null ? 'bare' : 'linked' }
  }
  const own = settings.worktreeConfig ? readEarlySettings(gitDir, 'config.worktree') : null
  const worktree = own?.worktree ?? settings.worktree
  if (worktree !== null) {
    return { ...facts, root: realPath(resolve(gitDir, worktree)), kind: isSubmodule(gitDir) ? 'submodule' : 'main' }
  }
  const bare = own?.bare ?? settings.bare
  const root = bare === true ? null : (foundFrom ?? (basename(gitDir) === '.git' ? dirname(gitDir) : null))
  return { ...facts, root, kind: root === null ? 'bare' : isSubmodule(gitDir) ? 'submodule' : 'main' }
}

/** The worktree that a linked worktree's git directory belongs to: its `gitdir` file names that worktree's `.git` file. */
function linkedRoot(gitDir: string): string | null {
  const said = pathIn(below(gitDir, 'gitdir'))
  if (said === null) return null
  const root = dirname(resolve(gitDir, said))
  return isDirectory(root) ? realPath(root) : null
}

/** Is this git directory kept under another repository's `modules/`? */
function isSubmodule(gitDir: string): boolean {
  const parts = gitDir.split('/modules/')
  for (let count = 1; count < parts.length; count++) {
    if (isGitDirectory(parts.slice(0, count).join('/modules/'))) return true
  }
  return false
}

/** Git's own answer, for the cases in which the environment decides: about 4 ms. */
function askGit(cwd: string, env: NodeJS.ProcessEnv): Repository {
  // The top level comes last: in a bare repository Git fails there, after it has answered the rest.
  const args = ['rev-parse', '--path-format=absolute', '--git-dir', '--git-common-dir', '--is-bare-repository', '--show-toplevel']
  const answer = runGit(cwd, args, env)
  const [gitDir, commonDir, bare, root] = answer.stdout.split('\n')
  if (!gitDir || !commonDir || !bare) {
    const set = ['GIT_DIR', 'GIT_COMMON_DIR', 'GIT_WORK_TREE'].filter(name => env[name]).map(name => `${name}=${env[name]}`)
    throw new Fault('usage', `Git finds no repository in ${cwd} with ${set.join(' ')}: ${answer.stderr.trim()}`, {
      hint: 'Unset these variables, or let them name a repository.',
    })
  }
  const facts = { gitDir: realPath(gitDir), commonDir: realPath(commonDir) }
  const { shared, ignoreCase } = readEarlySettings(facts.commonDir)
  const top = root ? realPath(root) : null
  const kind = top === null ? 'bare' : facts.gitDir !== facts.commonDir ? 'linked' : isSubmodule(facts.gitDir) ? 'submodule' : 'main'
  return { ...facts, root: top, kind, shared, ignoreCase }
}

/** Reads a repository's own `config`. Git follows no `include` for these either, so a line reader is enough. */
function readEarlySettings(directory: string, name = 'config'): EarlySettings {
  const found = new Map<string, string>()
  let section = ''
  // By hand rather than by pattern: a pattern's first use costs more than the whole file.
  for (const text of textOf(below(directory, name)).split('\n')) {
    let line = text.trim()
    if (line.startsWith('[')) {
      const end = line.indexOf(']')
      section = line.slice(1, end).toLowerCase()
      line = line.slice(end + 1).trim()
    }
    if ((section !== 'core' && section !== 'extensions') || line === '' || line.startsWith('#') || line.startsWith(';')) continue
    const equals = line.indexOf('=')
    const key = equals < 0 ? line : line.slice(0, equals).trimEnd()
    found.set(`${section}.${key.toLowerCase()}`, equals < 0 ? 'true' : plainValue(line.slice(equals + 1)))
  }
  const bare = found.get('core.bare')
  const shared = found.get('core.sharedrepository') ?? 'umask'
  return {
    bare: bare === undefined ? null : isTrue(bare),
    worktree: found.get('core.worktree') ?? null,
    worktreeConfig: isTrue(found.get('extensions.worktreeconfig') ?? 'false'),
    // `group`, `all`, `world`, `everybody` or an octal mode; only these words mean "not shared".
    shared: !['umask', 'false', 'no', 'off', '0', ''].includes(shared.toLowerCase()),
    ignoreCase: isTrue(found.get('core.ignorecase') ?? 'false'),
  }
}

/** A configuration value without its quotes, escapes and comment. */
function plainValue(text: string): string {
  const line = text.trim()
  if (!['"', '\\', '#', ';'].some(sign => line.includes(sign))) return line
  let value = ''
  let kept = 0
  let quoted = false
  for (let at = 0; at < line.length; at++) {
    const sign = line.charAt(at)
    if (sign === '\\') value += { n: '\n', t: '\t', b: '\b' }[line.charAt(++at)] ?? line.charAt(at)
    else if (sign === '"') quoted = !quoted
    else if (!quoted && (sign === '#' || sign === ';')) break
    else value += sign
    // Blanks count only inside quotes or before something else.
    if (quoted || !/\s/.test(sign)) kept = value.length
  }
  return value.slice(0, kept)
}

// A pattern only where it can match: compiling one costs more than reading the whole file.
const isTrue = (text: string): boolean =>
  ['true', 'yes', 'on'].includes(text.toLowerCase()) || (text > '0' && text < ':' && /^[1-9][0-9]*$/.test(text))

/** Null when there is nothing, or nothing that we may see. */
function statOf(path: string): Stats | null {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? null
  } catch {
    return null
  }
}

const lstatOf = (path: string): Stats | null => lstatSync(path, { throwIfNoEntry: false }) ?? null
const isDirectory = (path: string): boolean => statOf(path)?.isDirectory() === true

/** The path without symbolic links; as it is when it does not exist (a worktree may be on a disk that is not mounted). */
function realPath(path: string): string {
  return statOf(path) === null ? resolve(path) : realpathSync.native(path)
}

/**
 * An absolute path as it is below `root`, where symbolic links lead there; any other as it is. Links inside are left: they are names of the
 * repository. What comes behind a wildcard cannot be looked at.
 */
export function asInside(root: string, path: string): string {
  const isInside = (place: string): boolean => place === root || place.startsWith(below(root, ''))
  if (isInside(path)) return path
  const parts = path.split('/')
  const wild = parts.findIndex(part => /[*?]/.test(part))
  for (let count = 2; count <= (wild < 0 ? parts.length : wild); count++) {
    const place = parts.slice(0, count).join('/')
    if (statOf(place) === null) return path
    const real = realpathSync.native(place)
    if (isInside(real)) return [real, ...parts.slice(count)].join('/')
  }
  return path
}

function textOf(path: string): string {
  // Asking first: a missing file is the usual case, and an exception costs ten times the question.
  if (statOf(path) === null) return ''
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** The path that a file of Git's says: newlines end it only at the end of the file, others are part of a name. Null when it says none. */
function pathIn(file: string): string | null {
  const said = textOf(file).trimEnd()
  return said === '' ? null : said
}
