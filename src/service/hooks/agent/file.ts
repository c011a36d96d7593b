import { readFileSync, rmdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Fault, isFault } from '../../../core/fault.ts'
import { makeDirectories, putText, realPlace, removeText, unwritable } from '../../../host/edit-file.ts'

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
}

/** Reads a file of an agent. Throws `usage` when it cannot be one, `unavailable` when it may not be read. */
export function readAgentFile(path: string): AgentFile {
  const real = realPlace(path)
  let bytes: Buffer
  try {
    const stats = statSync(real)
    if (!stats.isFile()) throw odd(path, 'it is not a regular file')
    if (stats.size > maxBytes) throw odd(path, `it is too large (${stats.size} bytes)`)
    bytes = readFileSync(real)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (isFault(error)) throw error
    if (code === 'ENOENT') return { path, real, text: null }
    if (code === 'ENOTDIR') throw odd(path, 'something on the way to it is no directory')
    throw new Fault('unavailable', `${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  const text = bytes.toString('utf8')
  if (!Buffer.from(text).equals(bytes)) throw odd(path, 'it is not UTF-8')
  return { path, real, text }
}

const odd = (path: string, what: string): Fault =>
  new Fault('usage', `${path}: ${what}; it was left as it is`, { hint: `look at it: ls -l ${path}`, details: { path } })

/**
 * Replaces a file by what was made of it, in one step, and gives the directories that had to be made for it; a new file gets `mode`. Only
 * for `editing`.
 */
export function replaceAgentFile({ path, real, text: before }: AgentFile, text: string, mode: number): readonly string[] {
  try {
    const made = makeDirectories(dirname(real))
    putText(real, before, text, mode)
    return made
  } catch (error) {
    throw unwritable(path, error, byItsUser)
  }
}

/** Removes a file that was ours alone. Only for `editing`. */
export function removeAgentFile({ path, real }: AgentFile, text: string): void {
  try {
    removeText(real, text)
  } catch (error) {
    throw unwritable(path, error, byItsUser)
  }
}

const byItsUser = 'run it outside of the sandbox, as the user whose settings these are'

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
