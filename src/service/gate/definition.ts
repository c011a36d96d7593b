import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { Document, isMap, isScalar, type Pair } from 'yaml'
import { Fault, notFound, usage } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Wire } from '../../core/wire.ts'
import { makeDirectory, isReadOnly, writeFileAtomic } from '../../host/files.ts'
import { mainRoot, type Repository } from '../../host/git.ts'
import { formatDuration, parseDuration } from '../config/durations.ts'
import { parseYaml } from '../config/load-yaml.ts'
import { suggest } from '../config/schema.ts'

// What a gate is: a file for each, `.leasehold/gates/<key>.yaml`, committed with the code. One file each, so that two branches that add
// gates do not meet in one.

/** Before `start`, or before `done`. */
export const stages = ['pre', 'post'] as const
export type Stage = (typeof stages)[number]

/** What decides: the exit code of a command, or a person. */
export type Mode = 'auto' | 'manual'

/** A gate as its file defines it, with defaults where it says nothing. */
export interface Definition {
  readonly key: string
  readonly title: string | null
  readonly description: string | null
  readonly stage: Stage
  readonly mode: Mode
  /** For `/bin/sh -c`; null for a manual one. */
  readonly command: string | null
  readonly timeoutMs: number
  /** What the command finds in its environment besides ours. */
  readonly env: Readonly<Record<string, string>>
  /** Inside the worktree, relative to its top; null = the top. */
  readonly workingDir: string | null
  /** Kept for imports; the command is always told its ticket, gate and token. */
  readonly passContext: boolean | null
  /** What an import could not map. */
  readonly legacy: Wire | null
}

/** Where a definition was read from. */
export interface Found {
  readonly definition: Definition
  readonly file: string
  readonly source: 'here' | 'main'
}

const keyPattern = /^[a-z0-9][a-z0-9._-]{0,63}$/
const fileEnding = '.yaml'
const maxFileBytes = 64 * 1024
const maxCommandBytes = 16 * 1024
const secondMs = 1000
const maxTimeoutMs = 86_400 * secondMs

/** How long a command may take that names no limit. */
export const defaultTimeoutMs = 300 * secondMs

/** Directory of the definitions in a worktree. */
export const gatesDirectory = (root: string): string => join(root, '.leasehold', 'gates')

/** Is this what the key of a gate looks like? */
export const isGateKey = (text: string): boolean => keyPattern.test(text)

/** A key, or `usage` saying what one looks like. */
export function checkGateKey(text: string): string {
  if (isGateKey(text)) return text
  const near = text
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 64)
  throw usage(
    `${JSON.stringify(text)} is not the key of a gate: a-z, 0-9, dot, dash and underscore, at most 64, the first a letter or digit`,
    near === '' ? 'for example: lh gate define tests --command "npm test"' : `for example: ${near}`,
  )
}

/** A time limit in milliseconds, 1s to 24h. `name` begins the error. */
export function parseTimeout(text: string, name: string): number {
  const ms = parseDuration(text, name)
  if (ms < secondMs || ms > maxTimeoutMs) throw usage(`${name}: ${text} is outside 1s to 24h`)
  return ms
}

/** A limit as it is written: exact, unlike what is shown of long durations elsewhere. */
export function formatTimeout(ms: number): string {
  const short = formatDuration(ms)
  return parseDuration(short, '') === ms ? short : ms % secondMs === 0 ? `${ms / secondMs}s` : `${ms}ms`
}

/** The definitions that are seen from a worktree: its own, else those of the main worktree. Each is read when it is asked for. */
export class Definitions {
  readonly #repository: Repository
  readonly #seen = new Map<string, Found | null>()
  #mainRoot: string | null | undefined

  private constructor(repository: Repository) {
    this.#repository = repository
  }

  static open(repository: Repository): Definitions {
    return new Definitions(repository)
  }

  /** Every key, sorted. */
  keys(): readonly string[] {
    return [...new Set(this.#places().flatMap(({ root }) => keysIn(gatesDirectory(root))))].toSorted()
  }

  /** Null when no file defines it. Throws `usage` with file and line for a broken one. */
  find(key: string): Found | null {
    let found = this.#seen.get(key)
    if (found === undefined) this.#seen.set(key, (found = this.#read(key)))
    return found
  }

  get(key: string): Definition | null {
    return this.find(key)?.definition ?? null
  }

  /** Throws `not_found`, naming how to define it. */
  require(key: string): Found {
    const found = this.find(checkGateKey(key))
    if (found !== null) return found
    const near = suggest(key, this.keys())
    throw notFound(
      `no gate "${key}" is defined`,
      `${near === null ? '' : `did you mean ${near}? or `}define it: lh gate define ${key} --command "…" (or --manual)`,
    )
  }

  #read(key: string): Found | null {
    if (!isGateKey(key)) return null
    for (const { root, source } of this.#places()) {
      const file = join(gatesDirectory(root), `${key}${fileEnding}`)
      const text = readCommitted(file)
      if (text !== null) return { definition: parseDefinition(text, key, file), file, source }
    }
    return null
  }

  #places(): readonly { readonly root: string; readonly source: 'here' | 'main' }[] {
    const { root, kind } = this.#repository
    if (this.#mainRoot === undefined) this.#mainRoot = kind === 'linked' ? mainRoot(this.#repository) : null
    return [
      ...(root === null ? [] : [{ root, source: 'here' as const }]),
      ...(this.#mainRoot === null ? [] : [{ root: this.#mainRoot, source: 'main' as const }]),
    ]
  }
}

function keysIn(directory: string): readonly string[] {
  let names: readonly string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw new Fault('unavailable', `${directory} cannot be read: ${message}`, {
      hint: `Look at it: ls -ld ${shellWord(directory)}`,
      cause: error,
    })
  }
  return names
    .filter(name => name.endsWith(fileEnding))
    .map(name => name.slice(0, -fileEnding.length))
    .filter(isGateKey)
}

/** Null when there is none. Not through a symbolic link: whoever commits one would choose what is read, and where is written. */
function readCommitted(file: string): string | null {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let descriptor: number
  try {
    descriptor = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    const why = code === 'ELOOP' || code === 'EMLINK' ? 'the definition of a gate may not be a symbolic link' : message
    throw new Fault('usage', `${file} cannot be read: ${why}`, { cause: error })
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw usage(`${file} is not a regular file`)
    if (stats.size > maxFileBytes) throw usage(`${file} is too large for the definition of a gate (${stats.size} bytes)`)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

/** Every key that a file may have, in the order in which they are written. */
const members = ['title', 'description', 'stage', 'mode', 'command', 'timeout', 'env', 'working_dir', 'pass_context', 'legacy'] as const
type Member = (typeof members)[number]

/** The definition in a file's text. Throws `usage` with file and line. */
export function parseDefinition(text: string, key: string, file: string): Definition {
  const { document, lineAt } = parseYaml(text.replace(/^\ufeff/, ''), file)
  const { contents } = document
  if (!isMap(contents)) throw usage(`${file}:1: a gate is defined by \`key: value\` lines`, `one of: ${members.join(', ')}`)
  const values = valuesOf(document, file)
  const pairs = new Map<Member, Said>()
  for (const pair of contents.items as readonly Pair[]) {
    const name = isScalar(pair.key) ? String(pair.key.value) : '?'
    const where = `${file}:${lineAt(pair.key)}`
    const member = members.find(known => known === name)
    if (member === undefined) {
      const near = suggest(name, members)
      throw usage(
        `${where}: a gate has no key ${JSON.stringify(name)}`,
        near === null ? `one of: ${members.join(', ')}` : `did you mean ${near}?`,
      )
    }
    pairs.set(member, { value: values[name], node: pair.value, where: `${where}: ${name}` })
  }
  return fromMembers(pairs, key, file)
}

/** What a file says for one member. */
interface Said {
  readonly value: unknown
  readonly node: unknown
  /** File, line and name; begins an error. */
  readonly where: string
}

function valuesOf(document: Document.Parsed, file: string): Wire {
  try {
    return document.toJS() as Wire
  } catch (error) {
    // Aliases that multiply.
    throw usage(`${file}: ${(error as Error).message}`)
  }
}

/** A scalar as it was written: `010` and `1e3` mean what a gate says they mean, not what YAML does. */
function sourceOf(node: unknown): string | null {
  if (!isScalar(node) || node.value === null) return null
  return typeof node.value === 'string' ? node.value : (node.source ?? JSON.stringify(node.value))
}

function fromMembers(said: ReadonlyMap<Member, Said>, key: string, file: string): Definition {
  const command = textOf(said.get('command'))
  const timeout = textOf(said.get('timeout'))
  const mode = wordOf(said.get('mode'), ['auto', 'manual'] as const)
  // A command that was forgotten must not become a gate that a word passes.
  if (command === null && mode === null && said.has('command'))
    throw usage(`${said.get('command')!.where} has no value`, 'give it `command: …`, or say `mode: manual`')
  const definition: Definition = {
    key,
    title: textOf(said.get('title')),
    description: textOf(said.get('description')),
    stage: wordOf(said.get('stage'), stages) ?? 'post',
    mode: mode ?? (command === null ? 'manual' : 'auto'),
    command,
    timeoutMs: timeout === null ? defaultTimeoutMs : parseTimeout(timeout, said.get('timeout')!.where),
    env: envOf(said.get('env')),
    workingDir: directoryOf(said.get('working_dir')),
    passContext: flagOf(said.get('pass_context')),
    legacy: mapOf(said.get('legacy')),
  }
  checkDefinition(definition, said.get('command')?.where ?? `${file}:1`)
  return definition
}

/** What no single member can tell. `where` begins the error. */
export function checkDefinition({ mode, command, title, description }: Definition, where: string): void {
  if (mode === 'auto' && (command ?? '').trim() === '')
    throw usage(`${where}: an automatic gate needs a command`, 'give it `command: …`, or `mode: manual`')
  if (mode === 'manual' && command !== null)
    throw usage(`${where}: a manual gate has no command`, 'remove the command, or say `mode: auto`')
  for (const [name, text] of Object.entries({ command, title, description })) {
    if (text === null) continue
    if (text.includes('\0')) throw usage(`${where}: the ${name} holds a NUL character`)
    if (Buffer.byteLength(text) > maxCommandBytes) throw usage(`${where}: the ${name} has more than ${maxCommandBytes} bytes`)
  }
}

function textOf(said: Said | undefined): string | null {
  if (said === undefined || said.value === null) return null
  const source = sourceOf(said.node)
  if (source === null) throw usage(`${said.where} takes one value`)
  return source
}

function wordOf<T extends string>(said: Said | undefined, words: readonly T[]): T | null {
  const text = textOf(said)
  if (text === null) return null
  const found = words.find(word => word === text)
  if (found === undefined) throw usage(`${said!.where} is ${words.join(' or ')}, not ${JSON.stringify(text)}`)
  return found
}

function flagOf(said: Said | undefined): boolean | null {
  if (said === undefined || said.value === null) return null
  if (typeof said.value !== 'boolean') throw usage(`${said.where} is true or false`)
  return said.value
}

function mapOf(said: Said | undefined): Wire | null {
  if (said === undefined || said.value === null) return null
  if (typeof said.value !== 'object' || Array.isArray(said.value)) throw usage(`${said.where} holds \`key: value\` lines`)
  return said.value as Wire
}

function envOf(said: Said | undefined): Readonly<Record<string, string>> {
  const env: Record<string, string> = {}
  if (mapOf(said) === null || !isMap(said?.node)) return env
  for (const pair of said.node.items as readonly Pair[]) {
    const name = isScalar(pair.key) ? String(pair.key.value) : '?'
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw usage(`${said.where}: ${JSON.stringify(name)} is not the name of a variable`)
    if (name.startsWith('LEASEHOLD_')) throw usage(`${said.where}: ${name} is set by Leasehold itself`)
    const source = sourceOf(pair.value)
    if (source === null) throw usage(`${said.where}: ${name} takes one value`, 'an empty one is written ""')
    if (source.includes('\0')) throw usage(`${said.where}: ${name} holds a NUL character`)
    env[name] = source
  }
  return env
}

function directoryOf(said: Said | undefined): string | null {
  const text = textOf(said)
  if (text === null || text === '') return null
  const path = posix.normalize(text).replace(/\/$/, '')
  if (posix.isAbsolute(path) || path === '..' || path.startsWith('../') || path.includes('\0'))
    throw usage(`${said!.where}: ${JSON.stringify(text)} is not inside the worktree`, 'give it relative to the top of the worktree')
  return path === '.' ? null : path
}

/** What a file says for a definition; what is default is left out. */
function membersOf(definition: Definition): readonly (readonly [Member, unknown])[] {
  const { title, description, stage, mode, command, timeoutMs, env, workingDir, passContext, legacy } = definition
  const all: Readonly<Record<Member, unknown>> = {
    title,
    description,
    stage,
    mode,
    command,
    timeout: mode === 'auto' ? formatTimeout(timeoutMs) : null,
    env: Object.keys(env).length === 0 ? null : env,
    working_dir: workingDir,
    pass_context: passContext,
    legacy,
  }
  return members.map(name => [name, all[name]] as const).filter(([, value]) => value !== null)
}

/** The text of a new file; the inverse of `parseDefinition`. */
export const formatDefinition = (definition: Definition): string => text(new Document(Object.fromEntries(membersOf(definition))))

/** The same file with another definition in it: comments and the order of lines stay. */
export function editDefinition(before: string, definition: Definition, file: string): string {
  const { document } = parseYaml(before, file)
  const present = new Map(membersOf(parseDefinition(before, definition.key, file)))
  const wanted = new Map(membersOf(definition))
  for (const name of members) {
    if (!wanted.has(name)) {
      // What says nothing now (a limit of a manual gate) says something again later.
      if (present.has(name)) document.delete(name)
    } else if (!same(present.get(name), wanted.get(name))) document.set(name, wanted.get(name))
  }
  return text(document)
}

const text = (document: Document | ReturnType<typeof parseYaml>['document']): string => document.toString({ lineWidth: 0 })

/** A gate on the wire. */
export const definitionToWire = ({ definition, file, source }: Found): Wire => ({
  key: definition.key,
  title: definition.title,
  description: definition.description,
  stage: definition.stage,
  mode: definition.mode,
  command: definition.command,
  timeout_secs: definition.mode === 'auto' ? definition.timeoutMs / secondMs : null,
  env: definition.env,
  working_dir: definition.workingDir,
  pass_context: definition.passContext,
  legacy: definition.legacy,
  file,
  source,
})

/** What became of a definition. */
export interface Defined {
  readonly outcome: 'created' | 'unchanged' | 'replaced'
  readonly found: Found
  /** What stood there before, in the same worktree. */
  readonly previous: Definition | null
}

/** Writes the definition of a gate into a worktree; the same content again writes nothing. */
export function writeDefinition(root: string, definition: Definition): Defined {
  checkGateKey(definition.key)
  const file = join(gatesDirectory(root), `${definition.key}${fileEnding}`)
  checkDefinition(definition, definition.key)
  refuseLinks(root)
  const before = readCommitted(file)
  const previous = before === null ? null : parseDefinition(before, definition.key, file)
  const found: Found = { definition, file, source: 'here' }
  if (previous !== null && sameDefinition(previous, definition)) return { outcome: 'unchanged', found, previous }
  const after = before === null ? formatDefinition(definition) : editDefinition(before, definition, file)
  if (!sameDefinition(parseDefinition(after, definition.key, file), definition))
    throw new Fault('internal', `${file} would not say what was asked for; nothing was written`)
  if (Buffer.byteLength(after) > maxFileBytes) throw usage(`the definition of ${definition.key} is too large (${after.length} characters)`)
  try {
    makeDirectory(gatesDirectory(root))
    writeFileAtomic(file, after, 0o644, { sync: true })
  } catch (error) {
    const hint = isReadOnly(error) ? { hint: `see who may write there: ls -ld ${gatesDirectory(root)}` } : {}
    throw new Fault('unavailable', `${file} could not be written: ${(error as Error).message}`, { ...hint, cause: error })
  }
  return { outcome: previous === null ? 'created' : 'replaced', found, previous }
}

const sameDefinition = (a: Definition, b: Definition): boolean => same(membersOf(a), membersOf(b))

const same = (a: unknown, b: unknown): boolean => JSON.stringify(canonical(a)) === JSON.stringify(canonical(b))

/** Maps with their keys in order: what is said counts, not where. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, inner]) => [name, canonical(inner)])
}

/** A committed link in the place of our directories would make us write somewhere else. */
function refuseLinks(root: string): void {
  for (const path of [join(root, '.leasehold'), gatesDirectory(root)]) {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    if (stats !== undefined && !stats.isDirectory()) throw usage(`${path} is not a directory of its own`, `look at it: ls -ld ${path}`)
  }
}

/** What differs, member by member, as people read it. */
export function differences(
  before: Definition,
  after: Definition,
): readonly { readonly name: string; readonly from: string; readonly to: string }[] {
  const [old, fresh] = [new Map(membersOf(before)), new Map(membersOf(after))]
  const said = (value: unknown): string => (value === undefined ? '(none)' : typeof value === 'string' ? value : JSON.stringify(value))
  return members.map(name => ({ name, from: said(old.get(name)), to: said(fresh.get(name)) })).filter(({ from, to }) => from !== to)
}
