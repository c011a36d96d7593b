import { isDeepStrictEqual } from 'node:util'
import type { Node, ParseError } from 'jsonc-parser'
import { createScanner, findNodeAtLocation, getNodeValue, parseTree, printParseErrorCode } from 'jsonc-parser'
import { Fault } from '../../../core/fault.ts'
import type { Dialect, Merged } from './client.ts'
import type { CallWithin } from './line.ts'
import { callOf, callWithin, handlersOf } from './line.ts'

// Changes to a settings file that is somebody else's: only what is ours is added or taken away, by editing the text.

/** A settings file as it stands. */
export interface Document {
  readonly path: string
  readonly text: string
  /** What its client reads of it; with anything else in it, it reads nothing. */
  readonly dialect: Dialect
}

/** Entries of ours in a document: by event, in order. */
export type Entries = Readonly<Record<string, readonly unknown[]>>

/** The value of a document. Throws `usage`, naming the line, when its client could not read it or nothing can be added to it safely. */
export function valueOf(document: Document): Readonly<Record<string, unknown>> {
  // Through JSON: the parser's objects have no prototype, and would be equal to none of ours.
  return JSON.parse(JSON.stringify(getNodeValue(treeOf(document)))) as Readonly<Record<string, unknown>>
}

/** Where an offset is, counted from 1. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

/** The line of a member of the document, 1 when it is not there. */
export function lineOfMember(document: Document, path: readonly (string | number)[]): number {
  const node = findNodeAtLocation(treeOf(document), [...path])
  return node === undefined ? 1 : lineAt(document.text, node.offset)
}

function treeOf({ path, text, dialect }: Document): Node {
  const errors: ParseError[] = []
  const body = text.replace(/^\uFEFF/, ' ')
  const comments = dialect === 'json with comments'
  const deep = tooDeepAt(body)
  const tree = deep !== null ? undefined : parseTree(body, errors, { allowTrailingComma: false, disallowComments: !comments })
  const broken = (offset: number, what: string): Fault => {
    const line = lineAt(text, offset)
    return new Fault('usage', `${path}:${line}: ${what}; the file was left as it is`, {
      hint: 'mend it there, then say the same again',
      details: { path, line },
    })
  }
  if (deep !== null) throw broken(deep, `it is nested more than ${maxDepth} deep`)
  if (body !== text && dialect !== 'json with mark') throw broken(0, 'it begins with a byte order mark, which its client does not read')
  const [error] = errors
  if (error !== undefined) throw broken(error.offset, `it is not ${comments ? 'JSON with comments' : 'JSON'} (${said(error)})`)
  if (tree?.type !== 'object') throw broken(tree?.offset ?? 0, 'it is no JSON object')
  const hooks = onlyMember(tree, 'hooks', broken)
  if (hooks !== undefined) {
    if (hooks.type !== 'object') throw broken(hooks.offset, '"hooks" is no object')
    for (const event of hooks.children ?? []) {
      const name = String(event.children![0]!.value)
      const list = onlyMember(hooks, name, broken)!
      if (name !== 'state' && list.type !== 'array') throw broken(list.offset, `"hooks.${name}" is no list`)
      for (const entry of list.type === 'array' ? list.children! : []) if (entry.type === 'object') onlyMember(entry, 'hooks', broken)
    }
  }
  return tree
}

/** Those who read a document call themselves for each depth; no settings are as deep as this. */
const maxDepth = 500

/** Where a text gets deeper than what is read here; null: nowhere. */
function tooDeepAt(text: string): number | null {
  const scanner = createScanner(text, true)
  let depth = 0
  for (scanner.scan(); scanner.getTokenLength() > 0; scanner.scan()) {
    const at = scanner.getTokenOffset()
    const first = text[at]
    if (first === '{' || first === '[') depth++
    else if (first === '}' || first === ']') depth--
    if (depth > maxDepth) return at
  }
  return null
}

/** Of a key that is there twice clients read the last and editors change the first. */
function onlyMember(object: Node, key: string, broken: (offset: number, what: string) => Fault): Node | undefined {
  const found = (object.children ?? []).filter(({ children }) => children![0]!.value === key)
  if (found.length > 1) throw broken(found[1]!.offset, `"${key}" is there twice`)
  return found[0]?.children![1]
}

const said = ({ error }: ParseError): string =>
  printParseErrorCode(error)
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()

/** What of a document is ours. An entry in which others have hooks too is shown with ours only. */
export const ourEntries = (document: Document): Entries => entriesOf(document, handler => callOf(handler) !== null)

/** The entries that call us: ours, and lines of a user's own that do so among other things. */
export const callingEntries = (document: Document): Entries =>
  entriesOf(document, handler => callOf(handler) !== null || callWithin(handler) !== null)

function entriesOf(document: Document, isMeant: (handler: unknown) => boolean): Entries {
  const found: Record<string, unknown[]> = {}
  const hooks = valueOf(document)['hooks']
  for (const [event, list] of Object.entries(hooks ?? {})) {
    if (!Array.isArray(list)) continue
    for (const entry of list as readonly unknown[]) {
      const handlers = handlersOf(entry)
      const meant = handlers.filter(isMeant)
      if (meant.length === 0) continue
      found[event] ??= []
      found[event].push(handlers[0] === entry ? entry : { ...(entry as object), hooks: meant })
    }
  }
  return found
}

/** A line of a user's own that calls us among other things. It is never changed. */
export interface OwnLine extends CallWithin {
  /** The client's name of the event. */
  readonly on: string
  /** Where it is in the file, from 1. */
  readonly at: number
  /** A hook of ours is at that event too. */
  readonly isBeside: boolean
}

/** The lines of a user's own that call us among other things. */
export function ownLines(document: Document): readonly OwnLine[] {
  const found: OwnLine[] = []
  for (const [on, list] of Object.entries(hooksOf(document) ?? {})) {
    if (!Array.isArray(list)) continue
    const isBeside = list.flatMap(handlersOf).some(handler => callOf(handler) !== null)
    for (const [index, entry] of (list as readonly unknown[]).entries())
      for (const [inner, handler] of handlersOf(entry).entries()) {
        const call = callWithin(handler)
        if (call === null) continue
        const place = handler === entry ? ['hooks', on, index] : ['hooks', on, index, 'hooks', inner]
        found.push({ ...call, on, isBeside, at: lineOfMember(document, place) })
      }
  }
  return found
}

/** The text with exactly these entries of ours, whatever was there of ours before. */
export function withEntries(document: Document, { entries }: Merged): string {
  if (isDeepStrictEqual(ourEntries(document), entries)) return document.text
  return edited(document, entries, () => {
    let text = withoutEntries(document, null)
    for (const [event, list] of Object.entries(entries)) {
      const hooks = hooksOf({ ...document, text })
      if (hooks === undefined) text = added({ ...document, text }, [], 'hooks', { [event]: list })
      else if (hooks[event] === undefined) text = added({ ...document, text }, ['hooks'], event, list)
      else for (const entry of list) text = added({ ...document, text }, ['hooks', event], null, entry)
    }
    return text
  })
}

/**
 * The text without our entries. Lists that are empty then go too, unless there is a comment in them or they were so in `before`, the file
 * as it was when the first entry came (`null`: not known, or there was none).
 */
export function withoutEntries(document: Document, before: string | null): string {
  const touched = Object.keys(ourEntries(document))
  if (touched.length === 0) return document.text
  const had = before === null ? null : earlierTree({ ...document, text: before })
  return edited(document, {}, () => {
    let { text } = document
    for (let place = placeOfOurs({ ...document, text }); place !== null; place = placeOfOurs({ ...document, text }))
      text = removed({ ...document, text }, place)
    // The innermost first.
    for (const place of [...touched.map(event => ['hooks', event]), ['hooks'], []]) {
      const node = findNodeAtLocation(treeOf({ ...document, text }), place)
      if (node === undefined || node.children!.length > 0 || insideOf(text, node).trim() !== '') continue
      const earlier = had === null ? undefined : findNodeAtLocation(had, place)
      if (earlier === undefined && place.length > 0) text = isPlain(text, node) ? removed({ ...document, text }, place) : text
      else if (earlier?.children?.length === 0 && insideOf(before!, earlier).trim() === '')
        text = without(text, [node.offset + 1, node.offset + node.length - 1], insideOf(before!, earlier))
    }
    return text
  })
}

/**
 * What an edit of ours makes of a document that is sound. Throws `internal` when that has not exactly these entries of ours, and beside
 * them what the document has: whatever is wrong with it then is our doing, and not the file's.
 */
function edited(document: Document, entries: Entries, edit: () => string): string {
  const others = othersIn(valueOf(document))
  let cause: unknown
  try {
    const after = { ...document, text: edit() }
    if (isDeepStrictEqual(ourEntries(after), entries) && isDeepStrictEqual(othersIn(valueOf(after)), others)) return after.text
  } catch (error) {
    cause = error
  }
  throw new Fault('internal', `our own change would have damaged ${document.path}; the file was left as it is`, {
    hint: 'it is a defect of Leasehold: please report it with that file; until then its entries can be changed by hand',
    details: { path: document.path },
    cause,
  })
}

/** The value of a document without what is ours, and without lists for hooks that are empty then. */
function othersIn({ hooks, ...rest }: Readonly<Record<string, unknown>>): unknown {
  const left: Record<string, unknown> = {}
  for (const [event, list] of Object.entries(hooks ?? {})) {
    const others = Array.isArray(list) ? list.flatMap(othersOf) : list
    if (!Array.isArray(others) || others.length > 0) left[event] = others
  }
  return Object.keys(left).length === 0 ? rest : { ...rest, hooks: left }
}

function othersOf(entry: unknown): readonly unknown[] {
  const handlers = handlersOf(entry)
  const others = handlers.filter(handler => callOf(handler) === null)
  if (others.length === handlers.length) return [entry]
  return others.length === 0 ? [] : [{ ...(entry as object), hooks: others }]
}

/** What is remembered of a file may be nothing that its client reads. */
function earlierTree(document: Document): Node | null {
  try {
    return treeOf(document)
  } catch {
    return null
  }
}

function hooksOf(document: Document): Readonly<Record<string, unknown>> | undefined {
  return valueOf(document)['hooks'] as Readonly<Record<string, unknown>> | undefined
}

/** The next thing to remove: a whole entry, or one hook of an entry in which others have theirs. */
function placeOfOurs(document: Document): readonly (string | number)[] | null {
  for (const [event, list] of Object.entries(hooksOf(document) ?? {})) {
    if (!Array.isArray(list)) continue
    for (const [index, entry] of (list as readonly unknown[]).entries()) {
      const handlers = handlersOf(entry)
      const ours = handlers.findIndex(handler => callOf(handler) !== null)
      if (ours < 0) continue
      return handlers.every(handler => callOf(handler) !== null) ? ['hooks', event, index] : ['hooks', event, index, 'hooks', ours]
    }
  }
  return null
}

/** The text without one member or element and its comma. Comments stay, and nothing else is formatted anew. */
function removed(document: Document, place: readonly (string | number)[]): string {
  const { text } = document
  const value = findNodeAtLocation(treeOf(document), [...place])!
  const node = typeof place.at(-1) === 'string' ? value.parent! : value
  const { children = [], offset, length } = node.parent!
  const [start, end] = [node.offset, endOf(node)]
  const index = children.indexOf(node)
  const next = children[index + 1]
  if (next !== undefined) {
    const comma = commaAfter(text, end)
    if (text.slice(end, comma).trim() !== '') return without(without(text, [comma, comma + 1]), [start, end])
    const gap = blankAfter(text, comma + 1)
    // Of the blank before it and the one behind it the one stays that begins a line, or ends one.
    return /[\r\n]/.test(text.slice(comma + 1, gap)) ? without(text, [blankBefore(text, start), comma + 1]) : without(text, [start, gap])
  }
  const previous = children[index - 1]
  if (previous === undefined) {
    const inside: Range = [offset + 1, offset + length - 1]
    const isAlone = text.slice(inside[0], start).trim() === '' && text.slice(end, inside[1]).trim() === ''
    return without(text, isAlone ? inside : [lineKept(text, start, end), end])
  }
  const comma = commaAfter(text, endOf(previous))
  const from = text.slice(endOf(previous), comma).trim() === '' ? endOf(previous) : comma
  if (text.slice(comma + 1, start).trim() === '') return without(text, [from, end])
  return without(without(text, [lineKept(text, start, end), end]), [from, comma + 1])
}

/** From an offset up to another. */
type Range = readonly [number, number]

const without = (text: string, [from, to]: Range, instead = ''): string => text.slice(0, from) + instead + text.slice(to)

const endOf = ({ offset, length }: Node): number => offset + length

/** What is between the brackets of a list or an object. */
const insideOf = (text: string, node: Node): string => text.slice(node.offset + 1, endOf(node) - 1)

/** Is there no comment between the name of a member and its value? */
const isPlain = (text: string, value: Node): boolean => text.slice(endOf(value.parent!.children![0]!), value.offset).trim() === ':'

/** The comma that comes next but for blanks and comments. */
function commaAfter(text: string, offset: number): number {
  const blank = /(?:\s|\/\/[^\r\n]*|\/\*[^]*?\*\/)*,/y
  blank.lastIndex = offset
  if (blank.exec(text) === null) throw new Error(`no comma after ${offset}`)
  return blank.lastIndex - 1
}

const blankBefore = (text: string, offset: number): number => text.slice(0, offset).trimEnd().length
const blankAfter = (text: string, offset: number): number => text.length - text.slice(offset).trimStart().length

/** Where to begin taking out what follows a comment: what comes behind it must not get into that comment's line. */
const lineKept = (text: string, start: number, end: number): number =>
  /^[ \t]*[\r\n]/.test(text.slice(end)) ? blankBefore(text, start) : start

/**
 * The text with one more member (`key`) or element at the end of an object or a list. What is there keeps its form: on one line it goes
 * on in that line, else a line of its own begins.
 */
function added(document: Document, place: readonly string[], key: string | null, value: unknown): string {
  const { text } = document
  const container = findNodeAtLocation(treeOf(document), [...place])!
  const { indent: unit, eol } = styleOf(text)
  const before = key === null ? '' : `${JSON.stringify(key)}: `
  const written = (margin: string): string => before + JSON.stringify(value, null, unit).replaceAll('\n', `${eol}${margin}`)
  const close = container.offset + container.length - 1
  const margin = marginAt(text, container.offset)
  const last = container.children?.at(-1)
  if (last === undefined) {
    const inside = text.slice(container.offset + 1, close)
    const head = text.slice(0, close).replace(/[ \t]*$/, '')
    const start =
      head.endsWith('\n') && inside.trim() !== '' ? head : inside.trim() === '' ? text.slice(0, container.offset + 1) + eol : head + eol
    return `${start}${margin}${unit}${written(margin + unit)}${eol}${margin}${text.slice(close)}`
  }
  const end = last.offset + last.length
  if (!text.slice(container.offset, end).includes('\n')) return `${text.slice(0, end)}, ${before}${JSON.stringify(value)}${text.slice(end)}`
  // A comment behind the last one stays behind it.
  const rest = /^[ \t]*(?:\/\/[^\r\n]*|\/\*[^\r\n]*?\*\/)?[ \t]*(?=\r?\n)/.exec(text.slice(end, close))?.[0] ?? ''
  const inner = marginAt(text, last.offset)
  return `${text.slice(0, end)},${rest}${eol}${inner}${written(inner)}${text.slice(end + rest.length)}`
}

/** What the line of an offset begins with. */
const marginAt = (text: string, offset: number): string => /^[ \t]*/.exec(text.slice(text.lastIndexOf('\n', offset - 1) + 1))![0]

/** How the file is written: what its first indented line begins with, and how its lines end. */
function styleOf(text: string): { readonly indent: string; readonly eol: string } {
  return { indent: /\n([ \t]+)\S/.exec(text)?.[1] ?? '  ', eol: text.includes('\r\n') ? '\r\n' : '\n' }
}
