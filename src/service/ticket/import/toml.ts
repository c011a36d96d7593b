// TOML, as far as the trackers write it: tables, lists of tables, and every kind of value. Times stay text.

/** What a TOML text says, or where and why it is none. */
export function parseToml(text: string): { readonly value: unknown } | { readonly line: number; readonly why: string } {
  const reading = new Reading(text.replaceAll('\r\n', '\n'))
  try {
    return { value: reading.document() }
  } catch (error) {
    if (!(error instanceof Broken)) throw error
    return { line: reading.line(), why: error.message }
  }
}

/** Here the text stops being TOML. */
class Broken extends Error {}

/** Lists in lists and tables in tables. */
const maxNesting = 100
const tooDeep = `it is nested deeper than ${maxNesting} levels`

type Table = { [key: string]: unknown }

/** Without a prototype: `__proto__` is a key as any other. */
const emptyTable = (): Table => Object.create(null) as Table

const space = /[ \t]*/y
const gap = /(?:[ \t\n]+|#[^\n]*)*/y
const lineEnd = /[ \t]*(?:#[^\n]*)?(?:\n|$)/y
const bareKey = /[A-Za-z0-9_-]+/y
const scalar = /[A-Za-z0-9+._:-]+(?: \d\d:\d\d[A-Za-z0-9+.:-]*)?/y
const number = /^[+-]?(?:(?:0|[1-9](?:_?\d)*)(?:\.\d(?:_?\d)*)?(?:[eE][+-]?\d(?:_?\d)*)?|inf|nan)$/
const radix = /^0(?:x[\dA-Fa-f](?:_?[\dA-Fa-f])*|o[0-7](?:_?[0-7])*|b[01](?:_?[01])*)$/
const time = /^(?:\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d)?)?|\d\d:\d\d(?::\d\d(?:\.\d+)?)?)$/

const escapes: Readonly<Record<string, string>> = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', e: '\u001b', '"': '"', '\\': '\\' }

/** One reading of one text, from its beginning to its end. */
class Reading {
  readonly #text: string
  #at = 0
  /** Tables that a value stands for: nothing is added to them later. */
  readonly #closed = new WeakSet<object>()
  /** Tables that a header of their own began. */
  readonly #begun = new WeakSet<object>()

  constructor(text: string) {
    this.#text = text
  }

  /** Of where it is, from 1. */
  line(): number {
    return this.#text.slice(0, this.#at).split('\n').length
  }

  document(): Table {
    const root = emptyTable()
    let table = root
    for (this.#skip(gap); this.#at < this.#text.length; this.#skip(gap)) {
      if (this.#take('[[')) table = this.#header(root, ']]')
      else if (this.#take('[')) table = this.#header(root, ']')
      else this.#pair(table, 0)
      if (this.#match(lineEnd) === null) throw new Broken('the line goes on where it should end')
    }
    return root
  }

  /** The table that the lines below this header belong to. */
  #header(root: Table, end: ']' | ']]'): Table {
    const keys = this.#keys()
    if (!this.#take(end)) throw new Broken(`a header does not end with ${end}`)
    const last = keys.pop()!
    const parent = this.#inside(root, keys)
    const there = parent[last]
    if (end === ']]') {
      const fresh = emptyTable()
      if (there === undefined) parent[last] = [fresh]
      else if (Array.isArray(there) && !this.#closed.has(there)) there.push(fresh)
      else throw new Broken(`${last} is set a second time`)
      return fresh
    }
    const table = there === undefined ? (parent[last] = emptyTable()) : there
    if (!isTable(table) || this.#closed.has(table) || this.#begun.has(table)) throw new Broken(`${last} is set a second time`)
    this.#begun.add(table)
    return table as Table
  }

  /** The table behind these keys; of a list the last one. */
  #inside(table: Table, keys: readonly string[]): Table {
    let inside = table
    for (const key of keys) {
      const there = (inside[key] ??= emptyTable())
      const next: unknown = Array.isArray(there) ? there.at(-1) : there
      if (!isTable(next) || this.#closed.has(there) || this.#closed.has(next)) throw new Broken(`${key} is set a second time`)
      inside = next as Table
    }
    return inside
  }

  #pair(table: Table, depth: number): void {
    const keys = this.#keys()
    if (!this.#take('=')) throw new Broken('a key has no = behind it')
    this.#skip(space)
    const last = keys.pop()!
    const parent = this.#inside(table, keys)
    if (parent[last] !== undefined) throw new Broken(`${last} is set a second time`)
    parent[last] = this.#value(depth)
  }

  /** `a.b."c d"` */
  #keys(): string[] {
    const keys: string[] = []
    do {
      this.#skip(space)
      const sign = this.#text[this.#at]
      const key = sign === '"' || sign === "'" ? this.#string(sign) : this.#match(bareKey)
      if (key === null) throw new Broken('a key is missing')
      keys.push(key)
      if (keys.length > maxNesting) throw new Broken(tooDeep)
      this.#skip(space)
    } while (this.#take('.'))
    return keys
  }

  #value(depth: number): unknown {
    if (depth > maxNesting) throw new Broken(tooDeep)
    const sign = this.#text[this.#at]
    if (sign === '"' || sign === "'") return this.#text.startsWith(sign.repeat(3), this.#at) ? this.#longString(sign) : this.#string(sign)
    if (this.#take('[')) return this.#list(depth)
    if (this.#take('{')) return this.#inline(depth)
    const begin = this.#at
    const word = this.#match(scalar) ?? ''
    if (word === 'true' || word === 'false') return word === 'true'
    if (number.test(word)) return Number(word.replaceAll('_', '').replace(/inf$/, 'Infinity').replace(/nan$/, 'NaN'))
    if (radix.test(word)) return Number(word.replaceAll('_', ''))
    if (time.test(word)) return word
    this.#at = begin
    throw new Broken('a value is missing, or is none')
  }

  #list(depth: number): unknown[] {
    const items: unknown[] = []
    for (this.#skip(gap); !this.#take(']'); this.#skip(gap)) {
      items.push(this.#value(depth + 1))
      this.#skip(gap)
      if (!this.#take(',') && this.#text[this.#at] !== ']') throw new Broken('a list does not end')
    }
    this.#closed.add(items)
    return items
  }

  #inline(depth: number): Table {
    const table = emptyTable()
    for (this.#skip(gap); !this.#take('}'); this.#skip(gap)) {
      this.#pair(table, depth + 1)
      this.#skip(gap)
      if (!this.#take(',') && this.#text[this.#at] !== '}') throw new Broken('a table between braces does not end')
    }
    this.#closed.add(table)
    return table
  }

  #string(quote: '"' | "'"): string {
    const end = this.#endOf(quote, this.#at + 1)
    const text = this.#text.slice(this.#at + 1, end)
    if (end < 0 || text.includes('\n')) throw new Broken('a text has no closing quote')
    const said = quote === '"' ? this.#unescaped(text) : text
    this.#at = end + 1
    return said
  }

  #longString(quote: '"' | "'"): string {
    const begin = this.#at + 3
    let end = this.#endOf(quote.repeat(3), begin)
    if (end < 0) throw new Broken('a text of several lines has no closing quotes')
    // Up to two quotes may stand before the closing ones.
    for (let more = 0; more < 2 && this.#text[end + 3] === quote; more++) end++
    const text = this.#text.slice(begin, end).replace(/^\n/, '')
    const said = quote === '"' ? this.#unescaped(text.replaceAll(/(?<!\\)((?:\\\\)*)\\[ \t]*\n[ \t\n]*/g, '$1')) : text
    this.#at = end + 3
    return said
  }

  /** Where these quotes stand next; between double ones a backslash takes the sign behind it along. */
  #endOf(quotes: string, from: number): number {
    for (let at = from; at < this.#text.length; at++) {
      if (this.#text.startsWith(quotes, at)) return at
      if (quotes[0] === '"' && this.#text[at] === '\\') at++
    }
    return -1
  }

  #unescaped(text: string): string {
    return text.replaceAll(/\\(?:u([\dA-Fa-f]{4})|U([\dA-Fa-f]{8})|([^]|$))/g, (_, short?: string, long?: string, sign?: string) => {
      const code = short ?? long
      if (code === undefined) {
        const said = escapes[sign ?? '']
        if (said === undefined) throw new Broken(`\\${sign ?? ''} stands for nothing`)
        return said
      }
      const point = Number.parseInt(code, 16)
      if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) throw new Broken(`\\u${code} stands for nothing`)
      return String.fromCodePoint(point)
    })
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null) return null
    this.#at = pattern.lastIndex
    return found[0]
  }

  #skip(pattern: RegExp): void {
    this.#match(pattern)
  }

  #take(sign: string): boolean {
    if (!this.#text.startsWith(sign, this.#at)) return false
    this.#at += sign.length
    return true
  }
}

const isTable = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value)
