import { marks } from './script.ts'

// Our lines in a file that somebody else owns. The first of them says how they came there, so that taking them out restores every byte.

interface Found {
  /** Where the block begins and ends, its last newline included. */
  readonly start: number
  readonly end: number
  /** We made the file. */
  readonly made: boolean
  /** The file ended without a newline before. */
  readonly glued: boolean
}

function find(text: string): Found | null {
  const start = text.startsWith(`${marks.begin} `) ? 0 : text.indexOf(`\n${marks.begin} `) + 1
  if (start === 0 && !text.startsWith(`${marks.begin} `)) return null
  const last = text.indexOf(`\n${marks.end}`, start)
  const newline = last < 0 ? -1 : text.indexOf('\n', last + 1)
  const end = last < 0 || newline < 0 ? text.length : newline + 1
  const head = text.slice(start, text.indexOf('\n', start))
  return { start, end, made: head.includes('(made the file)'), glued: head.includes('(no newline before)') }
}

export interface Insertion {
  readonly title: string
  /** Whole lines. */
  readonly lines: string
  /** What a file that we make begins with. */
  readonly preamble: string
  /** Where the script would end before it came to us. */
  readonly first: boolean
}

/** The text with our block; null = there was no file. One that is there already is brought up to date where it stands. */
export function withBlock(text: string | null, { title, lines, preamble, first }: Insertion): string {
  const block = (note: string): string => `${marks.begin} ${title}${note}\n${lines}${marks.end}\n`
  if (text === null) return `${preamble}${block(' (made the file)')}`
  const found = find(text)
  if (found !== null) {
    const note = `${found.made ? ' (made the file)' : ''}${found.glued ? ' (no newline before)' : ''}`
    return `${text.slice(0, found.start)}${block(note)}${text.slice(found.end)}`
  }
  if (!first) return text === '' || text.endsWith('\n') ? `${text}${block('')}` : `${text}\n${block(' (no newline before)')}`
  // Behind the interpreter's line, which has to be the first.
  const at = text.startsWith('#!') && text.includes('\n') ? text.indexOf('\n') + 1 : text.startsWith('#!') ? -1 : 0
  return at < 0 ? `${text}\n${block(' (no newline before)')}` : `${text.slice(0, at)}${block('')}${text.slice(at)}`
}

/** The text without our block, null when the file was ours alone. `text` as it is when there is no block in it. */
export function withoutBlock(text: string, preamble: string): string | null {
  const found = find(text)
  if (found === null) return text
  const [before, after] = [text.slice(0, found.start), text.slice(found.end)]
  if (found.made && before === preamble && after === '') return null
  return found.glued && before.endsWith('\n') ? `${before.slice(0, -1)}${after === '' ? '' : `\n${after}`}` : `${before}${after}`
}

/** Is this nothing but our block and what we put before it? */
export function isOnlyBlock(text: string, preamble: string): boolean {
  const found = find(text)
  return found !== null && text.slice(0, found.start) === preamble && text.slice(found.end) === ''
}
