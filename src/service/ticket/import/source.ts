import { isUtf8 } from 'node:buffer'
import { lstatSync, readdirSync, statSync, type Dirent } from 'node:fs'
import { basename, join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import { shellWord } from '../../../core/shell-word.ts'
import { lineOfBadByte, readRegular } from '../files.ts'
import { isObject, type Json, type Tracker } from './imported.ts'

// Reading what others wrote: their files are not ours to trust, nor to change.

/** An export larger than this is not read. Bytes. */
export const maxSourceBytes = 256 * 1024 * 1024

/** What a path is; a symbolic link given by the user is followed, one inside the source is not. */
export function kindOfPath(path: string): 'file' | 'directory' | null {
  const stats = statSync(path, { throwIfNoEntry: false })
  return stats === undefined ? null : stats.isDirectory() ? 'directory' : stats.isFile() ? 'file' : null
}

/** Throws `usage` when there is nothing to import from. */
export function requirePath(path: string): 'file' | 'directory' {
  let kind: ReturnType<typeof kindOfPath>
  try {
    kind = kindOfPath(path)
  } catch (error) {
    throw usage(`${path} cannot be read: ${(error as Error).message}`)
  }
  if (kind !== null) return kind
  if (statSync(path, { throwIfNoEntry: false }) === undefined)
    throw usage(`${path}: there is no such file or directory`, 'name what the other tracker wrote')
  throw usage(
    `${path} is neither a regular file nor a directory, and is read more than once`,
    'write it to a file first: … > issues.json; then: lh ticket import --from <tracker> issues.json',
  )
}

/** Entries of a directory in one order; none when it is missing. Directories and regular files only. */
export function entriesOf(directory: string): {
  readonly directories: readonly string[]
  readonly files: readonly string[]
  readonly others: readonly string[]
} {
  let entries: readonly Dirent[]
  try {
    entries = readdirSync(directory, { withFileTypes: true })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return { directories: [], files: [], others: [] }
    throw usage(`${directory} cannot be read: ${message}`)
  }
  const names = (wanted: (entry: Dirent) => boolean): readonly string[] =>
    entries
      .filter(wanted)
      .map(({ name }) => name)
      .toSorted()
  return {
    directories: names(entry => entry.isDirectory()),
    files: names(entry => entry.isFile()),
    others: names(entry => !entry.isDirectory() && !entry.isFile()),
  }
}

/** Is there a regular file, not behind a symbolic link? */
export const isFileAt = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true

/** Why there is no text, and on which line, where it is one alone. */
export interface NoText {
  readonly why: string
  readonly line?: number
}

/** The text of a file; why it cannot be had otherwise. */
export function readText(path: string, limit = maxSourceBytes): { readonly text: string } | NoText {
  const bytes = readRegular(path, limit)
  if (typeof bytes === 'string') return { why: bytes }
  // What is written into a file on Windows may be UTF-16, and says so.
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return { text: bytes.toString('utf16le', 2) }
  if (!isUtf8(bytes)) return { why: 'it is not UTF-8', line: lineOfBadByte(bytes) }
  const text = bytes.toString('utf8')
  return { text: text.charCodeAt(0) === 0xfeff ? text.slice(1) : text }
}

/** Where it is that there is no text. */
export const placeOf = (path: string, { line }: NoText): string => (line === undefined ? path : `${path}:${line}`)

/** The text of the file that the user named. Throws `usage`. */
export function requireText(path: string): string {
  // The user may name a link; what is inside a source may not be one.
  const read = readText(lstatSync(path).isSymbolicLink() ? realPath(path) : path)
  if (!('why' in read)) return read.text
  if (read.line === undefined) throw usage(`${path} cannot be read: ${read.why}`)
  throw usage(
    `${placeOf(path, read)}: ${read.why}; nothing was imported`,
    `write it as UTF-8, for example: iconv -f latin1 -t utf8 ${shellWord(path)}`,
  )
}

const realPath = (path: string): string => process.getBuiltinModule('node:fs').realpathSync(path)

/** What a JSON text says, or where and why it is none. */
export function parseJson(text: string): { readonly value: unknown } | { readonly line: number; readonly why: string } {
  try {
    const value: unknown = JSON.parse(text)
    return isTooDeep(value) ? { line: 1, why: `it is nested deeper than ${maxNesting} levels` } : { value }
  } catch (error) {
    const why = (error as Error).message.replace(/ in JSON at position.*$/s, '').replace(/, (?:\.\.\.)?"[^]*$/, '')
    return { line: text.slice(0, brokenAt(text)).split('\n').length, why }
  }
}

/** Lists in lists and objects in objects. What is deeper cannot be written again: the machine's own writer recurses. */
const maxNesting = 500

function isTooDeep(value: unknown): boolean {
  let level: readonly unknown[] = [value]
  for (let depth = 0; depth <= maxNesting && level.length > 0; depth++)
    level = level.flatMap(part => (typeof part === 'object' && part !== null ? Object.values(part) : []))
  return level.length > 0
}

const token =
  /\s*(?:([{}[\],:])|("[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*")|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y

/** What may come next: a value, a name or the end of a list, and so on. */
type Wanted = 'value' | 'value or end' | 'name' | 'name or end' | 'colon' | 'comma or end'

/** Where a text stops being JSON. The machine's own parser does not always say. */
function brokenAt(text: string): number {
  const open: string[] = []
  let wanted: Wanted = 'value'
  token.lastIndex = 0
  for (let at = 0; ; at = token.lastIndex) {
    const found = token.exec(text)
    if (found === null) {
      token.lastIndex = 0
      return at + /^\s*/.exec(text.slice(at, at + 1000))![0].length
    }
    const next = follows(wanted, found[1] ?? '', found[2] !== undefined, open)
    if (next === null) return token.lastIndex - 1
    wanted = next
  }
}

/** What is wanted after this token; null when it may not stand here. */
function follows(wanted: Wanted, sign: string, isText: boolean, open: string[]): Wanted | null {
  const inner = open.at(-1)
  if (sign === '}' || sign === ']') {
    const closes = sign === '}' ? inner === '{' && wanted !== 'value' : inner === '['
    if (!closes || !wanted.endsWith('or end')) return null
    open.pop()
    return 'comma or end'
  }
  if (sign === ',') return wanted === 'comma or end' && inner !== undefined ? (inner === '{' ? 'name' : 'value') : null
  if (sign === ':') return wanted === 'colon' ? 'value' : null
  if (wanted === 'name' || wanted === 'name or end') return isText ? 'colon' : null
  if (wanted !== 'value' && wanted !== 'value or end') return null
  if (sign === '') return 'comma or end'
  open.push(sign)
  return sign === '{' ? 'name or end' : 'value or end'
}

/** The objects of a file of JSON lines. Throws `usage` naming the line of one that is none; blank lines are fine. */
export function parseLines(text: string, path: string): readonly { readonly value: Json; readonly line: number }[] {
  const objects: { value: Json; line: number }[] = []
  let line = 0
  for (const source of text.split('\n')) {
    line++
    if (source.trim() === '') continue
    const parsed = parseJson(source)
    if ('why' in parsed) {
      const conflict = /^(?:<{7}|={7}|>{7})/.test(source) ? 'an unresolved merge' : `not JSON: ${parsed.why}`
      throw usage(`${path}:${line}: ${conflict}; nothing was imported`, 'mend this line, and run the command again')
    }
    if (!isObject(parsed.value)) throw usage(`${path}:${line}: not a JSON object; nothing was imported`, 'each line is one issue')
    objects.push({ value: parsed.value, line })
  }
  return objects
}

/** Throws `usage`: nothing of this tracker is there, and perhaps something of another. */
export function nothingFound(from: Tracker, path: string, wanted: string): Error {
  const other = looksLike(path)
  return other === null || other === from
    ? usage(`${path}: nothing to import from ${from} was found`, wanted)
    : usage(`${path}: this looks like ${other}: use --from ${other}`, `lh ticket import --from ${other} ${shellWord(path)}`)
}

/** Which tracker wrote this, as far as a glance tells. */
export function looksLike(path: string): Tracker | null {
  return kindOfPath(path) === 'directory' ? looksLikeDirectory(path) : looksLikeFile(path)
}

function looksLikeDirectory(path: string): Tracker | null {
  const { directories, files } = entriesOf(path)
  if (files.includes('item.md') || directories.includes('.yoi')) return 'yoi'
  if (directories.includes('.jit') || files.includes('gates.json') || files.includes('gates.toml')) return 'jit'
  if (directories.includes('.beads') || files.some(name => name.endsWith('.jsonl') && looksLikeFile(join(path, name)) === 'beads'))
    return 'beads'
  const json = files.find(name => name.endsWith('.json'))
  if (json !== undefined) return looksLikeFile(join(path, json))
  const inside = directories.slice(0, 20).find(name => isFileAt(join(path, name, 'item.md')))
  if (inside !== undefined) return 'yoi'
  for (const name of ['issues', 'open', 'closed', 'pending', 'tickets']) {
    if (directories.includes(name)) {
      const found = looksLikeDirectory(join(path, name))
      if (found !== null) return found
    }
  }
  return null
}

function looksLikeFile(path: string): Tracker | null {
  if (basename(path) === 'item.md') return 'yoi'
  const read = readText(path)
  if ('why' in read) return null
  const whole = parseJson(read.text)
  const first = 'value' in whole ? (Array.isArray(whole.value) ? (whole.value as unknown[])[0] : whole.value) : firstLine(read.text)
  if (!isObject(first)) return null
  return looksLikeRecord(first)
}

function firstLine(text: string): unknown {
  const parsed = parseJson(text.trimStart().split('\n', 1)[0] ?? '')
  return 'value' in parsed ? parsed.value : null
}

/** Which tracker writes such a record. */
export function looksLikeRecord(record: Json): Tracker | null {
  if ('gates_required' in record || 'gates_status' in record) return 'jit'
  if ('issue_type' in record || ('status' in record && 'id' in record && typeof record['priority'] === 'number')) return 'beads'
  if ('number' in record || 'stateReason' in record) return 'github'
  return 'state' in record && 'id' in record && 'dependencies' in record ? 'jit' : null
}
