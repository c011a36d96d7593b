import { lstatSync, statSync, type BigIntStats } from 'node:fs'
import { usage } from '../../core/fault.ts'
import { isOtherVariable, otherVariables } from '../../host/environment.ts'
import type { Repository } from '../../host/git.ts'
import { repositoryConfigFile, systemConfigFile, userConfigFile } from '../../host/paths.ts'
import { readCache, writeCache, type Cache, type Entry } from './cache.ts'
import { flagOf, isKey, keys, settings, suggest, variableOf, type Key, type Layer, type Values } from './schema.ts'
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
  /** Git's `user.name`, looked up when first asked for and remembered across commands; null when Git knows none. */
  gitUserName(): Promise<string | null>
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
export async function loadConfig(repository: Repository, env: NodeJS.ProcessEnv, flags: Flags = {}): Promise<Config> {
  const sayings = new Map<Key, Saying[]>()
  for (const key of keys) sayings.set(key, [{ origin: 'default', text: settings[key].default }])
  const say = (key: Key, saying: Saying): void => void sayings.get(key)?.unshift(saying)
  await readFiles(repository, env, (layer, path, entry) => {
    const where = `${path}:${entry.line}`
    const key = permitted(entry.key, layer, where)
    settings[key].parse(entry.text, `${where}: ${key}`)
    say(key, { origin: `${layer} file`, text: entry.text, file: path, line: entry.line })
  })
  for (const [key, text] of environmentSettings(env)) say(key, { origin: `environment ${variableOf(key)}`, text })
  for (const key of keys) if (flags[key] !== undefined) say(key, { origin: 'flag', text: flags[key] })
  return configOf(sayings, () => gitName(repository, env))
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

function configOf(sayings: ReadonlyMap<Key, readonly Saying[]>, lookUpName: () => Promise<string | null>): Config {
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
function environmentSettings(env: NodeJS.ProcessEnv): readonly (readonly [Key, string])[] {
  const found: [Key, string][] = []
  for (const name of Object.keys(env)) {
    if (!name.startsWith('LEASEHOLD_') || isOtherVariable(name)) continue
    const key = keys.find(candidate => variableOf(candidate) === name)
    if (key === undefined) throw unknownVariable(name)
    const text = env[name]
    if (text) found.push([key, text])
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

/** Hands on what the configuration files say, weakest layer first. */
async function readFiles(
  repository: Repository,
  env: NodeJS.ProcessEnv,
  take: (layer: Layer, path: string, entry: Entry) => void,
): Promise<void> {
  const present = presentFiles(repository, env)
  if (present.length === 0) return
  const cache = readCache(repository.commonDir)
  let learned = false
  for (const { layer, path, stats } of present) {
    const known = cache.files.get(path)
    // A key that this version does not know was cached by another one: read the file again, for its error with the right words.
    const usable = known?.stamp === stampOf(stats) && known.entries.every(entry => isKey(entry.key))
    const entries = usable ? known.entries : await readFresh(path, layer, cache)
    learned ||= !usable && cache.files.get(path)?.entries === entries
    for (const entry of entries) take(layer, path, entry)
  }
  // Last, so that a file with a bad value is never remembered as good.
  if (learned) writeCache(repository.commonDir, cache)
}

async function readFresh(path: string, layer: Layer, cache: Cache): Promise<readonly Entry[]> {
  const { loadYaml } = await import('./load-yaml.ts')
  const { entries, stamp, settled } = loadYaml(path, layer === 'repository')
  cache.files.delete(path)
  if (settled) cache.files.set(path, { stamp, entries })
  return entries
}

function presentFiles(repository: Repository, env: NodeJS.ProcessEnv): readonly FileLayer[] {
  const places: [Layer, string | null][] = [
    ['system', systemConfigFile],
    ['user', userConfigFile(env)],
    ['repository', repository.root === null ? null : repositoryConfigFile(repository.root)],
  ]
  const present: FileLayer[] = []
  for (const [layer, path] of places) {
    if (path === null) continue
    const stats = look(layer, path)
    if (stats !== undefined) present.push({ layer, path, stats })
  }
  return present
}

function look(layer: Layer, path: string): BigIntStats | undefined {
  try {
    // A person's file may be a link into their dotfiles; then the target's changes count. A committed one is not followed.
    return (layer === 'repository' ? lstatSync : statSync)(path, { bigint: true, throwIfNoEntry: false })
  } catch (error) {
    throw usage(`${path} cannot be read: ${(error as Error).message}.`)
  }
}

/** Git's user name: from the cache while no file that it depends on has changed, else by asking Git. */
async function gitName(repository: Repository, env: NodeJS.ProcessEnv): Promise<string | null> {
  const place = [repository.gitDir, ...gitFileVariables.map(name => env[name] ?? '')].join('\0')
  const cacheable = !gitValueVariables.some(name => env[name])
  const cache = readCache(repository.commonDir)
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
