import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
  type Pair,
  type Scalar,
  type YAMLSeq,
} from 'yaml'
import { usage, type Fault } from '../../core/fault.ts'
import { idTime, slugInId } from './identify.ts'
import { findFrontMatter, isTime, maxFrontMatter } from './scan.ts'
import { priorities, statuses, workflowStates, type Ticket } from './ticket.ts'

/** Something wrong in a file, and where. Lines count from 1. */
export interface Problem {
  readonly code: string
  readonly message: string
  readonly line: number | null
  readonly key: string | null
}

/** What a `ticket.md` says. */
export interface Parsed {
  /** The best guess where something is wrong; its id is always the name of the directory. */
  readonly ticket: Ticket
  readonly body: string
  /** Keys that are not ours. */
  readonly extra: Readonly<Record<string, unknown>>
  readonly problems: readonly Problem[]
}

/** What can be changed in a `ticket.md`; what is left out stays. */
export type Changes = Partial<Omit<Ticket, 'id' | 'createdAt'>> & {
  readonly body?: string
  /** Keys that are not ours. */
  readonly extra?: Readonly<Record<string, string>>
}

/** The names in the file, in the order of a new one. */
const names = {
  id: 'id',
  slug: 'slug',
  title: 'title',
  status: 'status',
  kind: 'kind',
  priority: 'priority',
  labels: 'labels',
  workflowState: 'workflow_state',
  createdAt: 'created_at',
  updatedAt: 'updated_at',
  assignee: 'assignee',
  legacyTicket: 'legacy_ticket',
  queuedBy: 'queued_by',
  queuedAt: 'queued_at',
  dependsOn: 'depends_on',
  gates: 'gates',
} as const satisfies Record<keyof Ticket, string>

const ours: ReadonlySet<string> = new Set(Object.values(names))

/** What a ticket says. Never throws for what stands in it: `problems` says what is wrong. */
export function parseTicket(text: string, directoryName: string): Parsed {
  return new Reading(text, directoryName).parsed()
}

/** Brackets in brackets. */
const maxDepth = 100

/** Why this is not given to the YAML library, which recurses; null when it may be. It may come from anybody's branch. */
function excessive(head: string): string | null {
  if (head.length > maxFrontMatter) return `the front matter is longer than ${maxFrontMatter} characters`
  let depth = 0
  for (const sign of head.match(/[[\]{}]/g) ?? []) {
    depth = Math.max(0, depth + (sign === '[' || sign === '{' ? 1 : -1))
    if (depth > maxDepth) return 'the front matter is nested too deeply'
  }
  return /(?:[-?:][ \t]+){100}/.test(head) ? 'the front matter is nested too deeply' : null
}

/** The YAML of a front matter. Keys that are set twice are ours to find: the library compares each with each. */
function parseHead(head: string): { document: Document.Parsed; lines: LineCounter } {
  const lines = new LineCounter()
  const options = { lineCounter: lines, prettyErrors: false, schema: 'core', keepSourceTokens: true, uniqueKeys: false } as const
  return { document: parseDocument(head, options), lines }
}

/** One reading of one file, collecting what is wrong with it. */
class Reading {
  readonly #text: string
  readonly #directoryName: string
  readonly #problems: Problem[] = []
  readonly #pairs = new Map<string, Pair<Node, Node | null>>()
  #extra: Readonly<Record<string, unknown>> = {}
  #lineOf: (node: unknown) => number | null = () => null

  constructor(text: string, directoryName: string) {
    this.#text = text
    this.#directoryName = directoryName
  }

  parsed(): Parsed {
    const place = findFrontMatter(this.#text)
    let body = ''
    if (place === null) {
      this.#report('no_front_matter', 'it does not begin with a `---` line', 1)
      body = this.#text
    } else if (place === 'unclosed') {
      this.#report('unclosed_front_matter', 'the front matter has no closing `---` line', 1)
    } else {
      body = this.#text.slice(bodyStart(this.#text, place.after))
      this.#read(place)
    }
    return { ticket: this.#ticket(), body, extra: this.#extra, problems: this.#problems }
  }

  #report(code: string, message: string, line: number | null, key: string | null = null): void {
    this.#problems.push({ code, message, line, key })
  }

  #read(place: { readonly start: number; readonly end: number }): void {
    const head = this.#text.slice(place.start, place.end)
    const why = excessive(head)
    if (why !== null) {
      this.#report('yaml', why, 1)
      return
    }
    const { document, lines } = parseHead(head)
    // The opening line is the first.
    const lineAt = (offset: number): number => lines.linePos(offset).line + 1
    this.#lineOf = node => lineAt((node as Node | null)?.range?.[0] ?? 0)
    for (const { message, pos } of document.errors) this.#report('yaml', message, lineAt(pos[0]))
    const contents = document.contents
    if (contents === null || (isScalar(contents) && contents.value === null)) return
    if (!isMap(contents)) {
      this.#report('yaml', 'front matter holds `key: value` lines', this.#lineOf(contents))
      return
    }
    const seen = new Set<string>()
    const others: [string, unknown][] = []
    for (const pair of contents.items as Pair<Node, Node | null>[]) {
      const key = isScalar(pair.key) ? String(pair.key.value) : null
      if (key === null) this.#report('yaml', 'a key is one word', this.#lineOf(pair.key))
      else if (seen.has(key)) this.#report('duplicate_key', `${key} is set a second time`, this.#lineOf(pair.key), key)
      else if (ours.has(key)) this.#pairs.set(key, pair)
      else others.push([key, this.#plain(pair, document, key)])
      if (key !== null) seen.add(key)
    }
    this.#extra = Object.fromEntries(others)
  }

  #plain({ key: node, value }: Pair<Node, Node | null>, document: Document.Parsed, key: string): unknown {
    try {
      return value === null ? null : (value.toJS(document, { maxAliasCount: 100 }) as unknown)
    } catch (error) {
      this.#report('yaml', `${key}: ${(error as Error).message}`, this.#lineOf(node), key)
      return null
    }
  }

  #ticket(): Ticket {
    const broken = this.#problems.length > 0
    const written = this.#textOf('id')
    const id = this.#directoryName
    if (written === null) {
      if (!broken || this.#pairs.size > 0) this.#missing('id')
    } else if (written !== id) {
      this.#report(
        'id_mismatch',
        `id is ${JSON.stringify(written)}, but the directory is called ${JSON.stringify(id)}`,
        this.#line('id'),
        'id',
      )
    }
    const slug = this.#required('slug', slugInId(id))
    const title = this.#required('title', slug)
    const status = this.#word('status', statuses, 'open')
    const createdAt = this.#time('created_at', idTime(id) ?? '1970-01-01T00:00:00Z')
    return {
      id,
      slug,
      title,
      status,
      kind: this.#required('kind', 'task'),
      priority: this.#word('priority', priorities, 'P2'),
      labels: this.#list('labels'),
      workflowState: this.#pairs.has('workflow_state')
        ? this.#word('workflow_state', workflowStates, status === 'closed' ? 'done' : 'intake')
        : status === 'closed'
          ? 'done'
          : 'intake',
      createdAt,
      updatedAt: this.#time('updated_at', createdAt),
      assignee: this.#optional('assignee'),
      legacyTicket: this.#optional('legacy_ticket'),
      queuedBy: this.#optional('queued_by'),
      queuedAt: this.#optionalTime('queued_at'),
      dependsOn: this.#list('depends_on'),
      gates: this.#list('gates'),
    }
  }

  #line(key: string): number | null {
    const pair = this.#pairs.get(key)
    return pair === undefined ? null : this.#lineOf(pair.key)
  }

  #missing(key: string): void {
    if (this.#problems.some(({ code }) => code === 'no_front_matter' || code === 'unclosed_front_matter')) return
    this.#report('missing_field', `${key} is missing`, this.#line(key) ?? 1, key)
  }

  #bad(key: string, message: string): void {
    this.#report('bad_value', `${key} ${message}`, this.#line(key), key)
  }

  /** Null when it is missing, empty, or no single value. */
  #textOf(key: string): string | null {
    const node = this.#pairs.get(key)?.value ?? null
    if (node === null) return null
    const text = textOfScalar(node)
    if (text === undefined) this.#bad(key, 'takes one value')
    return text ?? null
  }

  #required(key: string, instead: string): string {
    const text = this.#textOf(key)
    if (text !== null && text !== '') return text
    this.#missing(key)
    return instead
  }

  #optional(key: string): string | null {
    const text = this.#textOf(key)
    if (text === '') this.#bad(key, 'is empty; write null')
    return text === '' ? null : text
  }

  #word<T extends string>(key: string, words: readonly T[], instead: T): T {
    const text = this.#textOf(key)
    if (text === null || text === '') {
      this.#missing(key)
      return instead
    }
    const found = words.find(word => word === text)
    if (found !== undefined) return found
    this.#report('unknown_value', `${key} is one of ${words.join(', ')}, not ${JSON.stringify(text)}`, this.#line(key), key)
    return words.find(word => word.toLowerCase() === text.trim().toLowerCase()) ?? instead
  }

  #time(key: string, instead: string): string {
    const text = this.#required(key, instead)
    if (!isTime(text)) this.#bad(key, `is a time like 2026-06-07T22:02:25Z, not ${JSON.stringify(text)}`)
    return text
  }

  #optionalTime(key: string): string | null {
    const text = this.#optional(key)
    if (text !== null && !isTime(text)) this.#bad(key, `is a time like 2026-06-07T22:02:25Z, not ${JSON.stringify(text)}`)
    return text
  }

  #list(key: string): readonly string[] {
    const node = this.#pairs.get(key)?.value ?? null
    if (node === null || (isScalar(node) && node.value === null)) return []
    if (!isSeq(node)) {
      this.#bad(key, 'is a list: [a, b]')
      const text = textOfScalar(node)
      return text ? [text] : []
    }
    const items: string[] = []
    for (const item of node.items) {
      const text = textOfScalar(item as Node)
      if (text) items.push(text)
      else this.#bad(key, 'holds something that is no text')
    }
    return items
  }
}

/** The text of a value as it is written: `012` and `true` are what they look like. Null for YAML's null, undefined for no single value. */
function textOfScalar(node: Node | null): string | null | undefined {
  if (node === null || isAlias(node) || isCollection(node)) return undefined
  if (!isScalar(node)) return undefined
  if (node.value === null) return null
  return typeof node.value === 'string' ? node.value : (node.source ?? JSON.stringify(node.value))
}

/** Behind the blank line that follows front matter. */
function bodyStart(text: string, after: number): number {
  if (text.startsWith('\r\n', after)) return after + 2
  return text.startsWith('\n', after) ? after + 1 : after
}

/**
 * The text with these changes, and every other byte as it was: comments, unknown keys, quotes, line endings. A key that is missing is
 * added at the end of the front matter. Throws `usage` for a value that cannot be written, or a file that cannot be changed safely.
 */
export function editTicket(text: string, changes: Changes): string {
  const place = findFrontMatter(text)
  if (place === null || place === 'unclosed') throw uneditable('it has no front matter between two `---` lines')
  const wanted = wantedValues(changes)
  const edited = wanted.size === 0 ? text : new Editing(text, place).apply(wanted)
  return changes.body === undefined ? edited : withBody(edited, changes.body)
}

const uneditable = (why: string): Fault =>
  usage(`ticket.md cannot be changed: ${why}.`, 'Mend it with an editor; `lh ticket doctor` names what is wrong.')

type Value = string | null | readonly string[]

/** The values under their names in the file. */
function wantedValues(changes: Changes): ReadonlyMap<string, Value> {
  const wanted = new Map<string, Value>()
  for (const [field, name] of Object.entries(names) as [keyof Ticket, string][]) {
    const value = field === 'id' || field === 'createdAt' ? undefined : changes[field]
    if (value === undefined) continue
    for (const text of typeof value === 'string' ? [value] : (value ?? [])) checked(text, name)
    wanted.set(name, value)
  }
  for (const [name, value] of Object.entries(changes.extra ?? {})) {
    if (ours.has(name)) throw usage(`${name} is a field of every ticket; it is not set as an extra key.`)
    if (!/^[A-Za-z_][A-Za-z0-9_-]{0,99}$/.test(name) || /^(?:null|true|false)$/i.test(name)) {
      throw usage(`${JSON.stringify(name)} cannot be a key: it begins with a letter and holds letters, digits, - and _.`)
    }
    wanted.set(name, checked(value, name))
  }
  return wanted
}

/** A part of the text and what takes its place. */
interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** The places of tokens, as far as we need them; the library types them as a union of everything. */
interface SourceItem {
  readonly start?: readonly { readonly type: string; readonly offset: number }[]
  readonly sep?: readonly { readonly type: string; readonly offset: number }[]
}

/** One change of one front matter. Offsets count from its beginning. */
class Editing {
  readonly #text: string
  readonly #place: { readonly start: number; readonly end: number }
  readonly #head: string
  readonly #eol: string
  readonly #edits: Edit[] = []
  #added = ''

  constructor(text: string, place: { readonly start: number; readonly end: number }) {
    this.#text = text
    this.#place = place
    this.#head = text.slice(place.start, place.end)
    this.#eol = eolOf(text, place.start)
  }

  apply(wanted: ReadonlyMap<string, Value>): string {
    const why = excessive(this.#head)
    if (why !== null) throw uneditable(why)
    const { document, lines } = parseHead(this.#head)
    const [error] = document.errors
    if (error !== undefined) throw uneditable(`line ${lines.linePos(error.pos[0]).line + 1}: ${error.message}`)
    const pairs = pairsOf(document)
    const indent = ' '.repeat(pairs.size === 0 ? 0 : lines.linePos(rangeOf([...pairs.values()][0]!.key)[0]).col - 1)
    for (const [key, value] of wanted) {
      const pair = pairs.get(key)
      if (pair === undefined) this.#added += `${indent}${key}: ${valueText(value, key)}${this.#eol}`
      else if (!isValue(pair.value, value)) this.#change(pair, key, value)
    }
    const result = this.#text.slice(0, this.#place.start) + this.#spliced() + this.#added + this.#text.slice(this.#place.end)
    this.#verify(result, document, wanted)
    return result
  }

  #spliced(): string {
    let head = this.#head
    // From the end, so that offsets stay right; of two at one place the later comes later.
    for (const { start, end, text } of [...this.#edits].reverse().sort((a, b) => b.start - a.start)) {
      head = head.slice(0, start) + text + head.slice(end)
    }
    return head
  }

  #replace(start: number, end: number, text: string): void {
    this.#edits.push({ start, end, text })
  }

  #change(pair: Pair<Node, Node | null>, key: string, value: Value): void {
    const node = pair.value
    const { sep = [] } = (pair.srcToken ?? {}) as SourceItem
    const colon = sep.find(({ type }) => type === 'map-value-ind')?.offset
    if (colon === undefined) throw uneditable(`${key} is written in an unusual way`)
    if (node === null || isEmpty(node)) return this.#replace(colon + 1, colon + 1, ` ${valueText(value, key)}`)
    // What a tag (`!!str`) makes of a value is a part of it.
    const start = sep.find(({ type }) => type === 'tag')?.offset ?? rangeOf(node)[0]
    const end = rangeOf(node)[1]
    if (isCollection(node) && node.flow !== true) {
      if (isSeq(node) && isList(value) && value.length > 0) return this.#changeItems(node, key, value)
      this.#replace(colon + 1, colon + 1, ` ${valueText(value, key)}`)
      return this.#replace(this.#lineStart(start), this.#lineEnd(end), '')
    }
    if (isScalar(node) && (node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED')) {
      const comment = /^[^\r\n]*?(\s#[^\r\n]*)?(?:\r?\n|$)/.exec(this.#head.slice(rangeOf(node)[0], end))?.[1] ?? ''
      return this.#replace(start, end, `${valueText(value, key)}${comment}${this.#eol}`)
    }
    this.#replace(start, end, this.#inStyleOf(node, value, key))
  }

  /** A scalar keeps its quotes, a list the way its remaining items are written. */
  #inStyleOf(node: Node, value: Value, key: string): string {
    if (isScalar(node) && typeof value === 'string') return scalarText(value, false, quotesOf(node))
    if (!isSeq(node) || !isList(value)) return valueText(value, key)
    const written = new Map<string, string>()
    for (const item of node.items as Node[]) {
      const text = textOfScalar(item)
      const source = isScalar(item) ? this.#head.slice(...rangeOf(item)) : '\n'
      if (typeof text === 'string' && !source.includes('\n') && isScalar(item) && !item.anchor && !item.tag) written.set(text, source)
    }
    return `[${value.map(item => written.get(item) ?? scalarText(item, true)).join(', ')}]`
  }

  /** A list of `- item` lines: those that stay are not touched, those that go are removed, new ones come after the last. */
  #changeItems(list: YAMLSeq, key: string, value: readonly string[]): void {
    let kept = 0
    let last = 0
    let dash = 0
    for (const [number, item] of (list.items as Node[]).entries()) {
      const source = (list.srcToken as { readonly items?: readonly SourceItem[] } | undefined)?.items?.[number]
      dash = source?.start?.find(({ type }) => type === 'seq-item-ind')?.offset ?? -1
      if (dash < 0) throw uneditable(`${key} is written in an unusual way`)
      last = this.#lineEnd(item.range === null || item.range === undefined ? dash + 1 : rangeOf(item)[1])
      if (kept < value.length && textOfScalar(item) === value[kept]) kept++
      else this.#replace(this.#lineStart(dash), last, '')
    }
    const indent = this.#head.slice(this.#lineStart(dash), dash)
    const lines = value.slice(kept).map(item => `${indent}- ${scalarText(item, true)}${this.#eol}`)
    this.#replace(last, last, lines.join(''))
  }

  #lineStart(offset: number): number {
    return this.#head.lastIndexOf('\n', offset - 1) + 1
  }

  /** Where the next line begins; `offset` itself when it is the beginning of a line. */
  #lineEnd(offset: number): number {
    if (offset > 0 && this.#head[offset - 1] === '\n') return offset
    const end = this.#head.indexOf('\n', offset)
    return end < 0 ? this.#head.length : end + 1
  }

  /** Nothing is written that does not read as it should: the wanted values, and all the others as before. */
  #verify(result: string, before: Document.Parsed, wanted: ReadonlyMap<string, Value>): void {
    const place = findFrontMatter(result)
    if (place === null || place === 'unclosed') throw uneditable('it is written in an unusual way')
    const { document } = parseHead(result.slice(place.start, place.end))
    const pairs = pairsOf(document)
    const same = (key: string, pair: Pair<Node, Node | null>): boolean =>
      wanted.has(key) || JSON.stringify(plainOf(pair.value, before)) === JSON.stringify(plainOf(pairs.get(key)?.value ?? null, document))
    const others = [...pairsOf(before)]
    const fine =
      document.errors.length === 0 &&
      others.every(([key, pair]) => pairs.has(key) && same(key, pair)) &&
      [...wanted].every(([key, value]) => isValue(pairs.get(key)?.value ?? null, value)) &&
      pairs.size === others.length + [...wanted.keys()].filter(key => !others.some(([other]) => other === key)).length
    if (!fine) throw uneditable(`its front matter is written in an unusual way; ${[...wanted.keys()].join(', ')} cannot be set in it`)
  }
}

/** The pairs of a front matter under their keys. Throws `usage` where it is no list of `key: value`. */
function pairsOf(document: Document.Parsed): ReadonlyMap<string, Pair<Node, Node | null>> {
  const { contents } = document
  const pairs = new Map<string, Pair<Node, Node | null>>()
  if (contents === null || isEmpty(contents)) return pairs
  if (!isMap(contents)) throw uneditable('its front matter does not hold `key: value` lines')
  for (const pair of contents.items as Pair<Node, Node | null>[]) {
    if (!isScalar(pair.key)) throw uneditable('a key of its front matter is not one word')
    const key = String(pair.key.value)
    if (pairs.has(key)) throw uneditable(`${key} is set a second time`)
    pairs.set(key, pair)
  }
  return pairs
}

function plainOf(node: Node | null, document: Document.Parsed): unknown {
  try {
    return node === null ? null : (node.toJS(document) as unknown)
  } catch (error) {
    throw uneditable((error as Error).message)
  }
}

const isList = (value: Value): value is readonly string[] => typeof value === 'object' && value !== null

/** Nothing is written there. */
const isEmpty = (node: Node): boolean => isScalar(node) && node.value === null && node.range?.[0] === node.range?.[1]

const rangeOf = (node: Node): [start: number, end: number] => [node.range![0], node.range![1]]

/** Does this node say this value? */
function isValue(node: Node | null, value: Value): boolean {
  if (node === null) return value === null
  if (!isList(value)) return textOfScalar(node) === value
  return isSeq(node) && node.items.length === value.length && node.items.every((item, at) => textOfScalar(item as Node) === value[at])
}

/** How the line before `offset` ends. */
const eolOf = (text: string, offset: number): '\n' | '\r\n' => (text[offset - 2] === '\r' ? '\r\n' : '\n')

function withBody(text: string, body: string): string {
  const place = findFrontMatter(text)
  if (place === null || place === 'unclosed') return text
  const eol = eolOf(text, place.start)
  const start = bodyStart(text, place.after)
  const lines = eol === '\n' ? body : body.replaceAll(/\r?\n/g, eol)
  if (text.slice(start) === lines) return text
  const blank = lines === '' || start > place.after ? '' : eol
  const fence = lines === '' || text[place.after - 1] === '\n' ? '' : eol
  return `${text.slice(0, start)}${fence}${blank}${lines}`
}

/** A new `ticket.md`. Throws `usage` for a value that cannot be written. */
export function formatTicket(ticket: Ticket, body: string): string {
  const lines = (Object.keys(names) as (keyof Ticket)[]).map(field => `${names[field]}: ${valueText(ticket[field], names[field])}\n`)
  return `---\n${lines.join('')}---\n\n${body}`
}

function valueText(value: string | null | readonly string[], key: string): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return scalarText(checked(value, key), false)
  return `[${value.map(item => scalarText(checked(item, key), true)).join(', ')}]`
}

/** Front matter values are single lines: more would be a body. */
function checked(value: string, key: string): string {
  if (/[\n\r\u0085\u2028\u2029]/.test(value)) throw usage(`${key} is one line; it may not hold a line break.`)
  if (value === '') throw usage(`${key} may not be empty.`)
  return value
}

/** Characters that a YAML file should not hold as they are. */
const unprintable = /[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/

/** What YAML's core schema reads as something else than text, and what older readers do. */
const ambiguousWords =
  /^(?:~|null|true|false|yes|no|on|off|y|n|[-+]?(?:[0-9][0-9_]*)?\.?[0-9][0-9_]*\.?(?:e[-+]?[0-9]+)?|0[xob][0-9a-f_]+|[-+]?\.(?:inf|nan)|[-+]?[0-9]+(?::[0-9]+)+)$/i

/** The pattern takes its time with long numbers; those get quotes unasked. */
const isAmbiguous = (value: string): boolean => (value.length > 64 ? /^[-+.0-9]/.test(value) : ambiguousWords.test(value))

type Quotes = 'single' | 'double' | null

const quotesOf = (node: Scalar): Quotes => (node.type === 'QUOTE_SINGLE' ? 'single' : node.type === 'QUOTE_DOUBLE' ? 'double' : null)

/** A text as YAML that reads as this text; plain where that is possible and no quotes are asked for, else in single ones. */
function scalarText(value: string, inList: boolean, quotes: Quotes = null): string {
  if (quotes === 'double' || unprintable.test(value)) return doubleQuoted(value)
  const odd =
    quotes === 'single' ||
    value === '' ||
    value !== value.trim() ||
    /^(?:[,[\]{}#&*!|>'"%@`]|[-?:](?:\s|$)|---|\.\.\.)/.test(value) ||
    /:(?:\s|$)|\s#/.test(value) ||
    isAmbiguous(value) ||
    (inList && /[,[\]{}:]|^[-?]/.test(value))
  return odd ? `'${value.replaceAll("'", "''")}'` : value
}

const doubleQuoted = (value: string): string =>
  `"${value.replaceAll(/["\\]|[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g, sign =>
    sign === '"' || sign === '\\' ? `\\${sign}` : `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )}"`
