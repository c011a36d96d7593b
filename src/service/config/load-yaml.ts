import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node, type Pair, type YAMLMap } from 'yaml'
import { Fault, usage } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Entry } from './cache.ts'
import { isKey, keys, listKeys, settings, suggest, type Key } from './schema.ts'
import { isSettled, stampOf } from './stamp.ts'

/** What a configuration file says, and whether its stamp can be trusted to change when it does. */
export interface LoadedFile {
  readonly entries: readonly Entry[]
  readonly text: string
  readonly stamp: string
  readonly settled: boolean
}

/** More than a person writes. Bytes. */
const maxConfigBytes = 64 * 1024

/** Reads a configuration file; a missing one says nothing. A committed one is not read through a symbolic link. Throws `usage`. */
export function loadYaml(path: string, committed: boolean, note: Note = strictly): LoadedFile {
  const { text, stamp, settled } = readWhole(path, committed)
  return { entries: parseEntries(text, path, note), text, stamp, settled }
}

/** Runs something that may find a fault in one setting (`about`); undefined when it did, and that setting is to be left out. */
export type Note = <T>(work: () => T, about?: string) => T | undefined

const strictly: Note = work => work()

/** The settings in a configuration file's text, each known and said once. Values are not judged here. Throws `usage` with file and line. */
export function parseEntries(text: string, path: string, note: Note = strictly): readonly Entry[] {
  const { document, lineAt } = parseYaml(text, path, hintFor)
  const found = new Map<string, Entry>()
  const contents = document.contents
  if (contents === null || (isScalar(contents) && contents.value === null)) return []
  if (!isMap(contents)) throw usage(`${path}:1: a configuration file holds settings, \`key: value\`.`, hintForm)
  collect(contents, '', (pair, key) => {
    const line = lineAt(pair.key)
    const entry = note(() => {
      const earlier = found.get(key)
      if (earlier !== undefined)
        throw usage(`${path}:${line}: ${key} is set a second time; line ${earlier.line} has it already.`, hintTwice)
      return entryOf(pair, key, `${path}:${line}`, line)
    }, key)
    if (entry !== null && entry !== undefined) found.set(key, entry)
    return entry === null
  })
  return [...found.values()]
}

/** The document behind a text, for editing. Throws `usage` with file and line, and the hint for the parser's code, for what is no YAML. */
export function parseYaml(
  text: string,
  path: string,
  hint?: (code: string) => string,
): { document: Document.Parsed; lineAt: (node: unknown) => number } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, schema: 'core' })
  const error = document.errors[0]
  if (error !== undefined) {
    const what =
      error.code === 'DUPLICATE_KEY'
        ? 'a key is set a second time'
        : error.code === 'MULTIPLE_DOCS'
          ? 'a second document begins here; one is all there may be'
          : error.message
    throw usage(`${path}:${lines.linePos(error.pos[0]).line}: ${what}.`, hint?.(error.code))
  }
  return { document, lineAt: node => lines.linePos((node as Node | null)?.range?.[0] ?? 0).line }
}

/** Visits every pair; `visit` says whether to go into its map. */
function collect(map: YAMLMap, prefix: string, visit: (pair: Pair, key: string) => boolean): void {
  for (const pair of map.items) {
    const key = `${prefix}${isScalar(pair.key) ? String(pair.key.value) : '?'}`
    if (visit(pair, key) && isMap(pair.value)) collect(pair.value, `${key}.`, visit)
  }
}

/** Null for the name of a group of settings. */
function entryOf({ value }: Pair, key: string, where: string, line: number): Entry | null {
  if (!isKey(key)) {
    const isGroup = keys.some(known => known.startsWith(`${key}.`))
    if (isGroup && (isMap(value) || (isScalar(value) && value.value === null))) return null
    const meant = suggest(key, keys)
    throw usage(`${where}: there is no setting ${JSON.stringify(key)}.`, meant === null ? hintList : `Did you mean ${meant}?`)
  }
  if (isAlias(value)) throw usage(`${where}: ${key} is an alias.`, 'Write its value out.')
  if (isSeq(value) && listKeys.has(key)) {
    // Scalars by their text as well: in a list of words, `010` is a word.
    const words = value.items.map(item =>
      isScalar(item) && typeof item.value === 'string' ? item.value : isScalar(item) ? item.source : null,
    )
    if (words.some(each => typeof each !== 'string'))
      throw usage(`${where}: ${key} takes a list of words.`, `For example ${key}: [one, two]`)
    return { key, text: JSON.stringify(words), line }
  }
  if (!isScalar(value)) throw usage(`${where}: ${key} takes one value.`, oneValueHint(key, value))
  if (value.value === null || (value.value === '' && !takesNothing(key)))
    throw usage(`${where}: ${key} has no value.`, `Give it one, or take that line away. What it may be: lh config explain ${key}`)
  // The text as it stands: `010`, `1e3` and `yes` mean what the setting says they mean, not what YAML does.
  return { key, text: typeof value.value === 'string' ? value.value : (value.source ?? JSON.stringify(value.value)), line }
}

/** Is an empty text one of its values, as in a list of patterns that is to be empty? */
function takesNothing(key: Key): boolean {
  try {
    settings[key].parse('', key)
    return true
  } catch {
    return false
  }
}

const hintList = 'Take that line away. `lh config list` shows every setting.'
const hintForm = 'Mend it there: a line for each setting, for example `ttl: 10m`; what is special to YAML stands in quotes.'
const hintFor = (code: string): string =>
  code === 'DUPLICATE_KEY' ? hintTwice : code === 'MULTIPLE_DOCS' ? 'Put all settings into one.' : hintForm
const hintTwice = 'Take one of the two lines away.'

/** Below a key that has a value of its own, others have no place: they are written with their dots. */
function oneValueHint(key: Key, value: unknown): string {
  const inner = isMap(value) ? keys.find(known => known.startsWith(`${key}.`)) : undefined
  return inner === undefined ? `For example ${key}: ${settings[key].default ?? '…'}` : `Write what is below it with dots: \`${inner}: …\`.`
}

const lookAt = (path: string): string => `Look at it: ls -ld ${shellWord(path)}`

function readWhole(path: string, committed: boolean): { text: string; stamp: string; settled: boolean } {
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants
  let descriptor: number
  try {
    descriptor = openSync(path, O_RDONLY | O_NONBLOCK | (committed ? O_NOFOLLOW : 0))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return { text: '', stamp: '', settled: false }
    const why = code === 'ELOOP' ? 'a committed configuration file may not be a symbolic link' : message
    throw new Fault('usage', `${path} cannot be read: ${why}.`, { hint: lookAt(path), cause: error })
  }
  try {
    const stats = fstatSync(descriptor, { bigint: true })
    if (!stats.isFile()) throw usage(`${path} is not a regular file.`, lookAt(path))
    if (stats.size > BigInt(maxConfigBytes))
      throw usage(`${path} is too large for a configuration file (${stats.size} bytes).`, lookAt(path))
    return { text: readFileSync(descriptor, 'utf8'), stamp: stampOf(stats), settled: isSettled(stats, Date.now()) }
  } finally {
    closeSync(descriptor)
  }
}
