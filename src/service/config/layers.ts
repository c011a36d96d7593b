import { lstatSync, statSync, type BigIntStats } from 'node:fs'
import { dirname } from 'node:path'
import { isFault, usage, type Fault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { isOtherVariable, otherVariables } from '../../host/environment.ts'
import type { Repository } from '../../host/git.ts'
import { repositoryConfigFile, systemConfigFile, userConfigFile } from '../../host/paths.ts'
import { readCache, writeCache, type Cache, type Entry } from './cache.ts'
import { flagOf, isKey, keys, settings, suggest, variableOf, type Key, type Layer, type Values } from './schema.ts'
import type { Note } from './load-yaml.ts'
import { stampOf } from './stamp.ts'

/** Values from the command line, as they were typed. */
export type Flags = { readonly [K in Key]?: string | undefined }

/** One place that says something of a key. */
export interface Saying {
  /** `default`, `system file`, `user file`, `repository file`, `environment LEASEHOLD_TTL` or `flag`. */
  readonly origin: string
  /** As it was written; null for a key without a default. */
  readonly text: string | null
  readonly file?: string
  readonly line?: number
}

/** All there is to know of a key: what counts, and what it stands before. */
export interface Explanation<K extends Key = Key> extends Saying {
  readonly key: K
  readonly value: Values[K]
  readonly doc: string
  readonly default: string | null
  readonly variable: string
  /** What weaker layers say, the strongest of them first. */
  readonly shadowed: readonly Saying[]
}

/** The settings that hold here, each with where it came from. */
export interface Config {
  get<K extends Key>(key: K): Values[K]
  /** See `Saying.origin`. */
  origin(key: Key): string
  explain<K extends Key>(key: K): Explanation<K>
  /** What is wrong with it, where that is tolerated; those settings are left out. */
  readonly faults: readonly Fault[]
  /** Is this what the configuration says, although something is wrong with it? */
  isSure(key: Key): boolean
  /** Git's `user.name`, looked up when first asked for and remembered across commands; null when Git knows none. */
  gitUserName(): Promise<string | null>
}

/** Stands for no repository: there only the machine, the user and the environment say something. */
export const nowhere: Repository = {
  gitDir: '/dev/null',
  commonDir: '/dev/null',
  root: null,
  kind: 'bare',
  shared: false,
  ignoreCase: false,
}

interface FileLayer {
  readonly layer: Layer
  readonly path: string
  readonly stats: BigIntStats
}

/** Variables that change which files Git reads; the name it finds is remembered for each of their combinations. */
const gitFileVariables = ['HOME', 'XDG_CONFIG_HOME', 'GIT_CONFIG_GLOBAL', 'GIT_CONFIG_SYSTEM', 'GIT_CONFIG_NOSYSTEM']

/** Variables that carry settings themselves. */
const gitValueVariables = ['GIT_CONFIG_COUNT', 'GIT_CONFIG_PARAMETERS', 'GIT_CONFIG']

/**
 * The settings for this repository: defaults < system < user < repository < environment < flags. Without configuration files this is
 * three looks at the disk; with unchanged ones it reads a cache; only a changed one loads the YAML parser.
 * Throws `usage` for an unknown key or variable and for a bad value, naming file, line and key.
 */
export const loadConfig = (repository: Repository, env: NodeJS.ProcessEnv, flags: Flags = {}): Promise<Config> =>
  load(repository, env, flags, null)

/** The same for those who look at the configuration or mend it: what is wrong is listed, and left out. Such a configuration is good for nothing else. */
export const loadFaultyConfig = (repository: Repository, env: NodeJS.ProcessEnv, flags: Flags = {}): Promise<Config> =>
  load(repository, env, flags, [])

/** `faults`: where to note what is wrong; null where that is the end. */
async function load(repository: Repository, env: NodeJS.ProcessEnv, flags: Flags, faults: Fault[] | null): Promise<Config> {
  const sayings = new Map<Key, Saying[]>()
  for (const key of keys) sayings.set(key, [{ origin: 'default', text: settings[key].default }])
  const say = (key: Key, saying: Saying): void => void sayings.get(key)?.unshift(saying)
  const unsure = new Set<string>()
  const note = noting(faults, unsure)
  let read: Cache | undefined
  const cache = (): Cache => (read ??= readCache(repository.commonDir))
  const remember = await readFiles(repository, env, note, cache, (layer, path, entry) => {
    const where = `${path}:${entry.line}`
    const key = permitted(entry.key, layer, where)
    settings[key].parse(entry.text, `${where}: ${key}`)
    say(key, { origin: `${layer} file`, text: entry.text, file: path, line: entry.line })
  })
  if (faults === null || faults.length === 0) remember()
  for (const [key, text] of environmentSettings(env, note)) {
    const origin = `environment ${variableOf(key)}`
    // Otherwise a bad value is found below, with all that came from elsewhere.
    const isGood = faults === null || note(() => [settings[key].parse(text, variableOf(key))], key) !== undefined
    if (isGood) say(key, { origin, text })
  }
  for (const key of keys) if (flags[key] !== undefined) say(key, { origin: 'flag', text: flags[key] })
  const isSure = (key: Key): boolean => !unsure.has(key) && !unsure.has(everything)
  return { ...configOf(sayings, () => gitName(repository, env, cache())), faults: faults ?? [], isSure }
}

/** A whole file could not be read: any setting may be another than it seems. */
const everything = '*'

/** Notes faults and goes on; without a list, the first is the end. `unsure` collects the keys that they are about. */
export const noting =
  (faults: Fault[] | null, unsure: Set<string> = new Set()): Note =>
  (work, about) => {
    if (faults === null) return work()
    try {
      return work()
    } catch (error) {
      if (!isFault(error)) throw error
      faults.push(error)
      if (about !== undefined) unsure.add(about)
      return undefined
    }
  }

/** A key, if that layer may set it. Throws `usage`. */
export function permitted(key: string, layer: Layer, where: string): Key {
  const known = knownKey(key, where)
  const { layers, why } = settings[known]
  if (layers.includes(layer)) return known
  const hint = layers.includes('user') ? `Set it for yourself: lh config set --user ${key} …, or ${variableOf(known)}.` : undefined
  throw usage(`${where}: ${known} cannot be set for the whole ${layer}: ${why ?? 'it is personal'}.`, hint)
}

/** A key by its name. Throws `usage` with the name that was probably meant. */
export function knownKey(text: string, where: string): Key {
  if (isKey(text)) return text
  const meant = suggest(text, keys)
  throw usage(
    `${where}: there is no setting ${JSON.stringify(text)}.`,
    meant === null ? '`lh config list` shows every setting.' : `Did you mean ${meant}?`,
  )
}

function configOf(
  sayings: ReadonlyMap<Key, readonly Saying[]>,
  lookUpName: () => Promise<string | null>,
): Omit<Config, 'faults' | 'isSure'> {
  const values = new Map<Key, Values[Key]>()
  const get = <K extends Key>(key: K): Values[K] => {
    if (!values.has(key)) values.set(key, valueOf(key, sayings.get(key)?.[0]))
    return values.get(key) as Values[K]
  }
  // Whatever somebody wrote is judged now, used or not; the defaults are good, and most commands read two of them.
  for (const key of keys) if ((sayings.get(key)?.length ?? 0) > 1) get(key)
  let name: Promise<string | null> | undefined
  return {
    get,
    origin: key => sayings.get(key)?.[0]?.origin ?? 'default',
    explain: key => {
      const [first = { origin: 'default', text: null }, ...shadowed] = sayings.get(key) ?? []
      const { doc, default: fallback } = settings[key]
      return { key, value: get(key), ...first, doc, default: fallback, variable: variableOf(key), shadowed }
    },
    gitUserName: () => (name ??= lookUpName()),
  }
}

function valueOf(key: Key, saying: Saying | undefined): Values[Key] {
  if (saying === undefined || saying.text === null) return null
  const { origin, file, line, text } = saying
  const where =
    file === undefined ? (origin === 'flag' ? flagOf(key) : origin === 'default' ? key : variableOf(key)) : `${file}:${line}: ${key}`
  return settings[key].parse(text, where)
}

/** What `LEASEHOLD_*` says; an empty variable says nothing. Throws `usage` for one that nobody reads. */
function environmentSettings(env: NodeJS.ProcessEnv, note: Note): readonly (readonly [Key, string])[] {
  const found: [Key, string][] = []
  for (const name of Object.keys(env)) {
    if (!name.startsWith('LEASEHOLD_') || isOtherVariable(name)) continue
    const key = keys.find(candidate => variableOf(candidate) === name)
    if (key === undefined)
      note(() => {
        throw unknownVariable(name)
      })
    const text = env[name]
    if (key !== undefined && text) found.push([key, text])
  }
  return found
}

function unknownVariable(name: string): Error {
  const meant = suggest(name, [...keys.map(variableOf), ...otherVariables])
  return usage(
    `The environment variable ${name} means nothing to Leasehold.`,
    meant === null ? `Unset it: unset ${name}` : `Did you mean ${meant}?`,
  )
}

const keepNothing = (): void => {}

/** Hands on what the configuration files say, weakest layer first. Resolves to what remembers them. */
async function readFiles(
  repository: Repository,
  env: NodeJS.ProcessEnv,
  note: Note,
  cacheOf: () => Cache,
  take: (layer: Layer, path: string, entry: Entry) => void,
): Promise<() => void> {
  const present = presentFiles(repository, env, note)
  if (present.length === 0) return keepNothing
  const cache = cacheOf()
  let learned = false
  for (const { layer, path, stats } of present) {
    const known = cache.files.get(path)
    // A key that this version does not know was cached by another one: read the file again, for its error with the right words.
    const usable = known?.stamp === stampOf(stats) && known.entries.every(entry => isKey(entry.key))
    const fresh = usable ? null : await reader()
    const entries = usable ? known.entries : (note(() => fresh!(path, layer, cache, note), everything) ?? [])
    learned ||= !usable && cache.files.get(path)?.entries === entries
    for (const entry of entries) note(() => take(layer, path, entry), entry.key)
  }
  // Last, so that a file with a bad value is never remembered as good.
  return learned ? () => writeCache(repository.commonDir, cache) : keepNothing
}

/** Reads a file that is new or changed; loaded on use. */
async function reader(): Promise<(path: string, layer: Layer, cache: Cache, note: Note) => readonly Entry[]> {
  const { loadYaml } = await import('./load-yaml.ts')
  return (path, layer, cache, note) => {
    const { entries, stamp, settled } = loadYaml(path, layer === 'repository', note)
    cache.files.delete(path)
    if (settled) cache.files.set(path, { stamp, entries })
    return entries
  }
}

function presentFiles(repository: Repository, env: NodeJS.ProcessEnv, note: Note): readonly FileLayer[] {
  const places: [Layer, string | null][] = [
    ['system', systemConfigFile],
    ['user', userConfigFile(env)],
    ['repository', repository.root === null ? null : repositoryConfigFile(repository.root)],
  ]
  const present: FileLayer[] = []
  for (const [layer, path] of places) {
    if (path === null) continue
    const stats = note(() => look(layer, path), everything)
    if (stats !== undefined) present.push({ layer, path, stats })
  }
  return present
}

function look(layer: Layer, path: string): BigIntStats | undefined {
  try {
    // A person's file may be a link into their dotfiles; then the target's changes count. A committed one is not followed.
    const stats = (layer === 'repository' ? lstatSync : statSync)(path, { bigint: true, throwIfNoEntry: false })
    if (stats !== undefined && layer === 'repository') refuseLinkedDirectory(path)
    return stats
  } catch (error) {
    if (isFault(error)) throw error
    throw usage(`${path} cannot be read: ${(error as Error).message}.`, `Look at it: ls -ld ${shellWord(path)}`)
  }
}

/** Throws `usage` where the directory of the repository's file is a link: what is committed does not say where else we read and write. */
export function refuseLinkedDirectory(path: string): void {
  const directory = dirname(path)
  if (lstatSync(directory, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return
  throw usage(
    `${path} cannot be read: ${directory} is a symbolic link, and what is committed is not followed.`,
    `Put a directory in its place: ls -ld ${directory}`,
  )
}

/** Git's user name: from the cache while no file that it depends on has changed, else by asking Git. */
async function gitName(repository: Repository, env: NodeJS.ProcessEnv, cache: Cache): Promise<string | null> {
  const place = [repository.gitDir, ...gitFileVariables.map(name => env[name] ?? '')].join('\0')
  const cacheable = !gitValueVariables.some(name => env[name])
  const known = cacheable ? cache.names.get(place) : undefined
  if (known?.needs.every(([path, stamp]) => stampOf(look('system', path)) === stamp)) return known.name
  const { lookUpGitName } = await import('./git-name.ts')
  const { name, keep } = lookUpGitName(repository, env)
  if (keep !== null && cacheable) {
    cache.names.delete(place)
    cache.names.set(place, keep)
    writeCache(repository.commonDir, cache)
  }
  return name
}
