import { isDeepStrictEqual } from 'node:util'
import type { Node, ParseError } from 'jsonc-parser'
import { applyEdits, findNodeAtLocation, getNodeValue, modify, parseTree, printParseErrorCode } from 'jsonc-parser'
import { Fault } from '../../../core/fault.ts'
import type { Dialect, Merged } from './client.ts'
import { callOf, handlersOf } from './line.ts'

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
  const tree = parseTree(body, errors, { allowTrailingComma: false, disallowComments: !comments })
  const broken = (offset: number, what: string): Fault => {
    const line = lineAt(text, offset)
    return new Fault('usage', `${path}:${line}: ${what}; the file was left as it is`, {
      hint: 'mend it there, then say the same again',
      details: { path, line },
    })
  }
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
    }
  }
  return tree
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
export function ourEntries(document: Document): Entries {
  const found: Record<string, unknown[]> = {}
  const hooks = valueOf(document)['hooks']
  for (const [event, list] of Object.entries(hooks ?? {})) {
    if (!Array.isArray(list)) continue
    for (const entry of list as readonly unknown[]) {
      const handlers = handlersOf(entry)
      const ours = handlers.filter(handler => callOf(handler) !== null)
      if (ours.length === 0) continue
      found[event] ??= []
      found[event].push(handlers[0] === entry ? entry : { ...(entry as object), hooks: ours })
    }
  }
  return found
}

/** The text with exactly these entries of ours, whatever was there of ours before. */
export function withEntries(document: Document, { entries }: Merged): string {
  if (isDeepStrictEqual(ourEntries(document), entries)) return document.text
  let text = withoutEntries(document, null)
  for (const [event, list] of Object.entries(entries)) {
    const hooks = hooksOf({ ...document, text })
    if (hooks === undefined) text = added({ ...document, text }, [], 'hooks', { [event]: list })
    else if (hooks[event] === undefined) text = added({ ...document, text }, ['hooks'], event, list)
    else for (const entry of list) text = added({ ...document, text }, ['hooks', event], null, entry)
  }
  return text
}

/**
 * The text without our entries. Lists that are empty then go too, unless they were so in `before`, the file as it was when the first entry
 * came (`null`: not known, or there was none).
 */
export function withoutEntries(document: Document, before: string | null): string {
  let { text } = document
  const had = before === null || before.trim() === '' ? undefined : hooksOf({ ...document, text: before })
  const touched = Object.keys(ourEntries(document))
  for (let place = placeOfOurs({ ...document, text }); place !== null; place = placeOfOurs({ ...document, text }))
    text = removed(text, place)
  for (const event of touched) {
    const list = hooksOf({ ...document, text })?.[event]
    if (Array.isArray(list) && list.length === 0 && had?.[event] === undefined) text = removed(text, ['hooks', event])
  }
  const left = hooksOf({ ...document, text })
  const isEmpty = touched.length > 0 && left !== undefined && Object.keys(left).length === 0
  return isEmpty && had === undefined ? removed(text, ['hooks']) : text
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

/** The text without one member or element. Nothing else is formatted anew. */
function removed(text: string, path: readonly (string | number)[]): string {
  const { bom, body } = split(text)
  return bom + applyEdits(body, modify(body, [...path], undefined, {}))
}

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

function split(text: string): { readonly bom: string; readonly body: string } {
  const bom = text.startsWith('\uFEFF') ? '\uFEFF' : ''
  return { bom, body: text.slice(bom.length) }
}

/** What the line of an offset begins with. */
const marginAt = (text: string, offset: number): string => /^[ \t]*/.exec(text.slice(text.lastIndexOf('\n', offset - 1) + 1))![0]

/** How the file is written: what its first indented line begins with, and how its lines end. */
function styleOf(text: string): { readonly indent: string; readonly eol: string } {
  return { indent: /\n([ \t]+)\S/.exec(text)?.[1] ?? '  ', eol: text.includes('\r\n') ? '\r\n' : '\n' }
}
