// A command line as words, for whoever looks for what is written out in it. It understands quotes, redirection, here-documents, comments and
// subshells; what a variable or a substitution becomes is not known, and what runs in a substitution is not looked at.

/** A word as far as it is written out. */
export interface Word {
  readonly text: string
  /** False: a variable, a substitution or a pattern follows the text. */
  readonly whole: boolean
  /** What follows it is a pattern. */
  readonly pattern?: boolean
}

/** A simple command, and the files that it is redirected into. */
export interface ShellCommand {
  readonly words: readonly Word[]
  readonly writes: readonly Word[]
}

/** `(` and `)`: a subshell begins and ends. */
export type ShellItem = ShellCommand | '(' | ')'

const hereDocument = /<<(-?)[ \t]*(?:'([^'\n]*)'|"([^"\n]*)"|([^\s;&|<>()'"]+))/y

/** Steps in one text. What is quoted or in a here-document is one, or nearly. */
const maxSteps = 1_048_576

/** Of a text in double quotes, what stands for itself. */
const plainQuoted = /[^"\\$`]+/y

/** What a command line consists of, in order. What cannot be understood ends it; `onCut` is told when it was too long. */
export function shellItems(text: string, onCut: () => void): readonly ShellItem[] {
  const reader = new Reader(text)
  try {
    if (!reader.read()) onCut()
  } catch {
    // Nested deeper than the stack.
    onCut()
  }
  return reader.items
}

class Reader {
  readonly items: ShellItem[] = []
  readonly #text: string
  #at = 0
  #words: Word[] = []
  #writes: Word[] = []
  #word: { text: string; whole: boolean; pattern?: boolean } | null = null
  /** What the next word is, when it is no word of the command. */
  #next: 'written' | 'read' | null = null
  #documents: { readonly end: string; readonly tabs: boolean }[] = []

  constructor(text: string) {
    this.#text = text
  }

  /** False: there is more of it. */
  read(): boolean {
    for (let steps = 0; this.#at < this.#text.length && steps < maxSteps; steps++) this.#step()
    this.#endCommand()
    return this.#at >= this.#text.length
  }

  #step(): void {
    const sign = this.#text[this.#at++]!
    switch (sign) {
      case ' ':
      case '\t':
        this.#endWord()
        return
      case '\n':
        this.#endCommand()
        this.#skipDocuments()
        return
      case ';':
      case '|':
        this.#endCommand()
        return
      case '&':
        if (this.#text[this.#at] !== '>') this.#endCommand()
        return
      case '(':
      case ')':
        this.#endCommand()
        this.items.push(sign)
        return
      case '<':
      case '>':
        this.#redirect(sign)
        return
      case "'":
        this.#add(this.#until("'"))
        return
      case '"':
        this.#quoted()
        return
      case '\\':
        if (this.#text[this.#at] !== '\n') this.#add(this.#text[this.#at] ?? '')
        this.#at++
        return
      case '$':
        if (this.#text[this.#at] === "'") this.#escaped()
        else this.#substitution(sign)
        return
      case '`':
        this.#substitution(sign)
        return
      case '#':
        if (this.#word === null) this.#at = this.#find('\n')
        else this.#add(sign)
        return
      case '*':
      case '?':
      case '[':
        if (this.#word?.whole !== false) this.#leaveOpen().pattern = true
        return
      case '{':
        // Alone it begins a group.
        if (this.#word === null && /\s/.test(this.#text[this.#at] ?? ' ')) this.#add(sign)
        else this.#leaveOpen()
        return
      case '~':
        if (this.#word === null) this.#leaveOpen()
        else this.#add(sign)
        return
      default:
        this.#add(sign)
    }
  }

  #add(text: string): void {
    this.#word ??= { text: '', whole: true }
    if (this.#word.whole) this.#word.text += text
  }

  #leaveOpen(): { pattern?: boolean } {
    this.#add('')
    this.#word!.whole = false
    return this.#word!
  }

  #endWord(): void {
    if (this.#word === null) return
    if (this.#next === null) this.#words.push(this.#word)
    else if (this.#next === 'written') this.#writes.push(this.#word)
    this.#next = null
    this.#word = null
  }

  #endCommand(): void {
    this.#endWord()
    this.#next = null
    if (this.#words.length + this.#writes.length > 0) this.items.push({ words: this.#words, writes: this.#writes })
    this.#words = []
    this.#writes = []
  }

  #redirect(sign: string): void {
    // The number of a stream is no word.
    if (this.#word !== null && /^[0-9]+$/.test(this.#word.text)) this.#word = null
    this.#endWord()
    if (this.#text[this.#at] === '(') {
      this.#at = closing(this.#text, this.#at + 1)
      this.#leaveOpen()
      return
    }
    if (sign === '<') {
      hereDocument.lastIndex = this.#at - 1
      const found = this.#text.startsWith('<<<', this.#at - 1) ? null : hereDocument.exec(this.#text)
      if (found !== null) {
        this.#documents.push({ end: found[2] ?? found[3] ?? found[4]!.replaceAll('\\', ''), tabs: found[1] === '-' })
        this.#at = hereDocument.lastIndex
        return
      }
    }
    while (/[<>|&]/.test(this.#text[this.#at] ?? '')) this.#at++
    this.#next = sign === '>' ? 'written' : 'read'
  }

  #skipDocuments(): void {
    for (const document of this.#documents.splice(0)) this.#at = endOfDocument(this.#text, this.#at, document)
  }

  #quoted(): void {
    this.#add('')
    while (this.#at < this.#text.length) {
      plainQuoted.lastIndex = this.#at
      const plain = plainQuoted.exec(this.#text)
      if (plain !== null) {
        this.#add(plain[0])
        this.#at = plainQuoted.lastIndex
        continue
      }
      const sign = this.#text[this.#at++]!
      if (sign === '"') return
      if (sign === '\\' && /[$`"\\]/.test(this.#text[this.#at] ?? '')) this.#add(this.#text[this.#at++]!)
      else if (sign === '$' || sign === '`') this.#substitution(sign)
      else this.#add(sign)
    }
  }

  /** `$'…'` */
  #escaped(): void {
    const from = this.#at + 1
    const end = endOfEscaped(this.#text, from)
    this.#at = end + 1
    this.#add('')
    for (const [part, escape] of this.#text
      .slice(from, end)
      .matchAll(/[^\\]+|\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|[uU][0-9a-fA-F]{1,8}|c?[^])/g)) {
      const text = escape === undefined ? part : unescaped(escape)
      if (text === null) this.#leaveOpen()
      else this.#add(text)
    }
  }

  #substitution(sign: string): void {
    const next = this.#text[this.#at]
    if (sign === '`') this.#until('`')
    else if (next === '(') this.#at = closing(this.#text, this.#at + 1)
    else if (next === '{') this.#until('}')
    else if (next === "'" || next === '"') return
    this.#leaveOpen()
  }

  #until(end: string): string {
    const from = this.#at
    const at = this.#find(end)
    this.#at = at + 1
    return this.#text.slice(from, at)
  }

  #find(sign: string): number {
    const at = this.#text.indexOf(sign, this.#at)
    return at < 0 ? this.#text.length : at
  }
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', "'": "'", '"': '"', '\\': '\\', '?': '?' }

/** What stands behind a backslash in `$'…'`; null: no sign that a path has. */
function unescaped(escape: string): string | null {
  if (Object.hasOwn(escapes, escape)) return escapes[escape]!
  const code = /^[0-7]/.test(escape) ? parseInt(escape, 8) : parseInt(escape.slice(1), 16)
  return /^[0-7xuU]/.test(escape) && code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : null
}

/** The quote that ends `$'…'`. */
function endOfEscaped(text: string, from: number): number {
  let at = from
  for (; at < text.length && text[at] !== "'"; at++) if (text[at] === '\\') at++
  return at
}

/** Behind the parenthesis that ends what began before `from`. */
function closing(text: string, from: number): number {
  const documents: { readonly end: string; readonly tabs: boolean }[] = []
  let depth = 1
  for (let at = from; at < text.length; at++) {
    const sign = text[at]!
    if (sign === '(') depth++
    else if (sign === ')' && --depth === 0) return at + 1
    else if (sign === '\\') at++
    else if (sign === '$' && text[at + 1] === "'") at = endOfEscaped(text, at + 2)
    else if (sign === "'") at = indexOr(text, "'", at + 1)
    else if (sign === '"') at = endOfQuote(text, at + 1)
    else if (sign === '<') {
      hereDocument.lastIndex = at
      const found = hereDocument.exec(text)
      if (found === null) continue
      documents.push({ end: found[2] ?? found[3] ?? found[4]!, tabs: found[1] === '-' })
      at = hereDocument.lastIndex - 1
    } else if (sign === '\n') for (const document of documents.splice(0)) at = endOfDocument(text, at + 1, document) - 1
  }
  return text.length
}

/** The quote that ends what began before `from`. */
function endOfQuote(text: string, from: number): number {
  let at = from
  for (; at < text.length && text[at] !== '"'; at++) {
    if (text[at] === '\\') at++
    else if (text.startsWith('$(', at)) at = closing(text, at + 2) - 1
  }
  return at
}

/** Where the line begins that follows a here-document. */
function endOfDocument(text: string, from: number, { end, tabs }: { readonly end: string; readonly tabs: boolean }): number {
  for (let at = from; at < text.length;) {
    const next = indexOr(text, '\n', at)
    const line = text.slice(at, next)
    at = next + 1
    if ((tabs ? line.replace(/^\t+/, '') : line) === end) return at
  }
  return text.length
}

function indexOr(text: string, sign: string, from: number): number {
  const at = text.indexOf(sign, from)
  return at < 0 ? text.length : at
}
