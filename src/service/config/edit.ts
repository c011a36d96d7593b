import { dirname } from 'node:path'
import type { Document } from 'yaml'
import { Fault, usage } from '../../core/fault.ts'
import { editing, makeDirectories, putText, unwritable } from '../../host/edit-file.ts'
import type { Repository } from '../../host/git.ts'
import { repositoryConfigFile, userConfigFile } from '../../host/paths.ts'
import { knownKey, noting, permitted, refuseLinkedDirectory } from './layers.ts'
import { loadYaml, parseEntries, parseYaml, type LoadedFile } from './load-yaml.ts'
import { isKey, settings, type Key } from './schema.ts'

/** Where a setting was written, and what stood there before (null: nothing). */
export interface Written {
  readonly file: string
  readonly key: Key
  readonly previous: string | null
  /** What is still wrong in that file; it was so before. */
  readonly faults: readonly Fault[]
}

/** For whom a setting is written: everybody who has the repository, or only this user. */
export interface EditPlace {
  readonly user: boolean
  readonly env: NodeJS.ProcessEnv
}

/**
 * Writes one setting into the repository's or the user's configuration file, keeping comments and order; makes the file if needed.
 * Nothing is written unless the result says this setting; what is wrong with others is not made worse by it. Throws `usage`, and `unavailable` where the file cannot be written.
 */
export function setConfig(repository: Repository, key: string, value: string, { user, env }: EditPlace): Written {
  const known = knownKey(key, 'config set')
  permitted(key, user ? 'user' : 'repository', 'config set')
  const text = value.trim()
  settings[known].parse(text, known)
  const file = fileFor(repository, user, env)
  return editing(file, real => setIn(loadYaml(file, !user, noting([])), real, known, text, user ? 0o600 : 0o644))
}

/** One setting in what a file at a real place says; a new file gets `mode`. */
function setIn(before: LoadedFile, file: string, key: Key, text: string, mode: number): Written {
  const faults: Fault[] = []
  const { document } = parseYaml(before.text, file)
  // What has more digits than a number can keep is written as a text.
  const isNumber = /^(0|[1-9][0-9]*)$/.test(text) && Number.isSafeInteger(Number(text))
  place(document, key, isNumber ? Number(text) : text)
  const after = document.toString({ lineWidth: 0 })
  if (parseEntries(after, file, noting(faults)).find(entry => entry.key === key)?.text !== text) {
    throw new Fault('internal', `${file} would not say ${key}: ${text} after the change; nothing was written.`)
  }
  save(file, before.stamp === '' ? null : before.text, after, mode)
  return { file, key, previous: before.entries.find(entry => entry.key === key)?.text ?? null, faults }
}

function fileFor(repository: Repository, user: boolean, env: NodeJS.ProcessEnv): string {
  if (!user) {
    if (repository.root !== null) return ownFile(repositoryConfigFile(repository.root))
    throw usage(`${repository.gitDir} is bare: it has no files to configure.`, 'Use --user, or run this in a worktree.')
  }
  const file = userConfigFile(env)
  if (file === null) throw usage('There is no place for your configuration: neither XDG_CONFIG_HOME nor HOME is set.')
  return file
}

function ownFile(path: string): string {
  refuseLinkedDirectory(path)
  return path
}

/** Sets the key where it stands, as `log.retention: …` or below `log:`; a new one goes below its group. */
function place(document: Document.Parsed, key: Key, value: string | number): void {
  const nested = key.split('.')
  // Below a setting that has a value of its own there is no room for another one.
  if (nested.length === 1 || document.has(key) || isKey(nested[0]!)) {
    document.set(key, value)
    return
  }
  const [group = '', ...rest] = nested
  // An empty `log:` is no map yet (and the library calls its null undefined).
  if (document.has(group) && document.get(group) === undefined) document.set(group, document.createNode({}))
  document.setIn([group, ...rest], value)
}

function save(file: string, before: string | null, after: string, mode: number): void {
  try {
    makeDirectories(dirname(file))
    putText(file, before, after, mode)
  } catch (error) {
    throw unwritable(file, error)
  }
}
