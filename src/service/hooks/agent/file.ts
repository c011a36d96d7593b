import { chmodSync, lstatSync, readFileSync, readlinkSync, realpathSync, rmdirSync, statSync, unlinkSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { Fault, isFault } from '../../../core/fault.ts'
import { makeDirectory, isReadOnly, writeFileAtomic } from '../../../host/files.ts'

/** Above this a file is no settings file. Bytes. */
const maxBytes = 4 * 1024 * 1024

/** A file of an agent, as it stands. */
export interface AgentFile {
  /** As it is named. */
  readonly path: string
  /** Where it is: a symbolic link stays, and what it points at is changed (people keep their settings elsewhere and link to them). */
  readonly real: string
  /** Null when there is none. */
  readonly text: string | null
  readonly mode: number | null
}

/** Reads a file of an agent. Throws `usage` when it cannot be one, `unavailable` when it may not be read. */
export function readAgentFile(path: string): AgentFile {
  const real = realOf(path)
  let bytes: Buffer
  let mode: number
  try {
    const stats = statSync(real)
    if (!stats.isFile()) throw odd(path, 'it is not a regular file')
    if (stats.size > maxBytes) throw odd(path, `it is too large (${stats.size} bytes)`)
    mode = stats.mode & 0o777
    bytes = readFileSync(real)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (isFault(error)) throw error
    if (code === 'ENOENT') return { path, real, text: null, mode: null }
    if (code === 'ENOTDIR') throw odd(path, 'something on the way to it is no directory')
    throw new Fault('unavailable', `${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  const text = bytes.toString('utf8')
  if (!Buffer.from(text).equals(bytes)) throw odd(path, 'it is not UTF-8')
  return { path, real, text, mode }
}

const odd = (path: string, what: string): Fault =>
  new Fault('usage', `${path}: ${what}; it was left as it is`, { hint: `look at it: ls -l ${path}`, details: { path } })

/** Where a path leads, also when nothing is there yet. */
function realOf(path: string): string {
  let at = path
  for (let steps = 0; steps < 40; steps++) {
    try {
      return realpathSync(at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    if (lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return join(realAncestor(dirname(at)), basename(at))
    at = resolve(dirname(at), readlinkSync(at))
  }
  throw odd(path, 'too many symbolic links')
}

function realAncestor(directory: string): string {
  try {
    return realpathSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(directory) === directory) throw error
    return join(realAncestor(dirname(directory)), basename(directory))
  }
}

/**
 * Replaces a file by what was made of it, in one step, and gives the directories that had to be made for it. Throws `policy` when somebody
 * else changed it since it was read.
 */
export function replaceAgentFile(file: AgentFile, text: string, mode: number): readonly string[] {
  try {
    const made = makeDirectories(dirname(file.real))
    assertUnchanged(file)
    writeFileAtomic(file.real, text, file.mode ?? mode, { sync: true })
    // The umask may have taken away what the file had.
    if (file.mode !== null) chmodSync(file.real, file.mode)
    return made
  } catch (error) {
    throw readOnly(file, error)
  }
}

/** Removes a file that was ours alone. */
export function removeAgentFile(file: AgentFile): void {
  try {
    assertUnchanged(file)
    unlinkSync(file.real)
  } catch (error) {
    throw readOnly(file, error)
  }
}

function assertUnchanged(file: AgentFile): void {
  if (readAgentFile(file.path).text === file.text) return
  throw new Fault('policy', `${file.path} was changed by somebody else meanwhile; nothing was written`, { hint: 'say the same again' })
}

function readOnly(file: AgentFile, error: unknown): unknown {
  if (!isReadOnly(error)) return error
  return new Fault('unavailable', `${file.path} may not be written: ${(error as Error).message}`, {
    hint: 'run it outside of the sandbox, as the user whose settings these are',
    details: { path: file.path },
    cause: error,
  })
}

/** Makes a directory and what is missing above it; gives those it made, the outermost first. */
export function makeDirectories(directory: string, mode = 0o777): readonly string[] {
  const missing: string[] = []
  for (let at = directory; lstatSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at)) missing.unshift(at)
  makeDirectory(directory, mode)
  return missing
}

/** Removes those of these directories that are empty, the innermost first. */
export function removeDirectories(directories: readonly string[]): void {
  for (const directory of directories.toReversed()) {
    try {
      rmdirSync(directory)
    } catch {
      // Somebody else's file is in it, or it is gone: it is not ours any more.
    }
  }
}
