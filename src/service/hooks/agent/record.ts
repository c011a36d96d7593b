import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { makeDirectories, replaceFile } from '../../../host/edit-file.ts'
import { readJson, remove } from '../../../host/files.ts'
import { removeDirectories } from './file.ts'

/** What an installation remembers of one file, so that its end leaves the file as it found it. */
export interface Note {
  /** Null when there was no file. */
  readonly before: string | null
  readonly after: string
  /** Directories that were made for it, the outermost first. */
  readonly made: readonly string[]
}

interface Stored extends Note {
  readonly schema_version: 1
  readonly path: string
  /** Directories that were made for this note. */
  readonly made_here: readonly string[]
}

/** Where the notes are; the files they remember may have secrets in them, so they are their owner's alone. */
function notesDirectory(env: NodeJS.ProcessEnv, home: string): string {
  const configured = env['XDG_STATE_HOME']
  return join(configured && isAbsolute(configured) ? configured : join(home, '.local', 'state'), 'leasehold', 'hooks')
}

const noteFile = (directory: string, real: string): string =>
  join(directory, `${createHash('sha256').update(real).digest('hex').slice(0, 16)}.json`)

/** The notes of one user. */
export class Notes {
  readonly #directory: string

  constructor(env: NodeJS.ProcessEnv, home: string) {
    this.#directory = notesDirectory(env, home)
  }

  /** What is remembered of a file; null when nothing is, or nothing that can be relied on. */
  read(real: string): Note | null {
    return this.#stored(real)
  }

  #stored(real: string): Stored | null {
    try {
      const stored = readJson(noteFile(this.#directory, real)) as Partial<Stored> | undefined
      const { before, after, made, made_here: madeHere, path, schema_version: version } = stored ?? {}
      const isText = typeof after === 'string' && (typeof before === 'string' || before === null)
      return version === 1 && path === real && isText && isPaths(made) && isPaths(madeHere) ? (stored as Stored) : null
    } catch {
      return null
    }
  }

  write(real: string, note: Note): void {
    for (let tries = 10; ; tries--) {
      const made = makeDirectories(this.#directory, 0o700)
      try {
        const stored: Stored = { ...note, schema_version: 1, path: real, made_here: made.length > 0 ? made : this.#madeBefore() }
        replaceFile(noteFile(this.#directory, real), `${JSON.stringify(stored)}\n`, 0o600)
        return
      } catch (error) {
        // Who forgets another file takes the directory away when it is empty.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries === 0) throw error
      }
    }
  }

  /** The directories that were made for the first note; whichever is the last takes them away. */
  #madeBefore(): readonly string[] {
    for (const name of readdirSync(this.#directory)) {
      try {
        const made = (readJson(join(this.#directory, name)) as Partial<Stored> | undefined)?.made_here
        if (isPaths(made) && made.length > 0) return made
      } catch {
        // A damaged note says nothing.
      }
    }
    return []
  }

  /** Forgets a file; the last note takes the directory with it. */
  forget(real: string): void {
    const stored = this.#stored(real)
    remove(noteFile(this.#directory, real))
    removeDirectories([...(stored?.made_here ?? []), this.#directory].toSorted((a, b) => a.length - b.length))
  }
}

const isPaths = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(each => typeof each === 'string')
