import { findFrontMatter } from '../scan.ts'

/** Number of the line, from 1, that a key of the front matter is on; 1 when it is not there. */
export const lineOfKey = (text: string, key: string): number => linesOfKey(text, key).at(0) ?? 1

/** Numbers of all lines that this key is on. */
export const linesOfKey = (text: string, key: string): readonly number[] => linesWhere(text, content => isKey(content, key))

/** Numbers of those lines of the front matter that are so. */
export function linesWhere(text: string, isSo: (content: string) => boolean): readonly number[] {
  const found: number[] = []
  for (const [line, content] of frontMatterLines(text)) if (isSo(content)) found.push(line)
  return found
}

/** Number of the line that an item of a list is on: the key's own, or one of those that follow it. */
export function lineOfItem(text: string, key: string, item: string, occurrence = 0): number {
  let inside = false
  let seen = 0
  let keyLine = 1
  for (const [line, content] of frontMatterLines(text)) {
    if (isKey(content, key)) [inside, keyLine] = [true, line]
    else if (inside && /^[^\s#-]/.test(content)) break
    if (!inside) continue
    seen += timesIn(content, item)
    if (seen > occurrence) return line
  }
  return keyLine
}

/** How often an item stands in a line by itself, not as a part of another. */
function timesIn(content: string, item: string): number {
  let times = 0
  for (let at = content.indexOf(item); at >= 0; at = content.indexOf(item, at + item.length)) {
    const [before, after] = [content.charAt(at - 1), content.charAt(at + item.length)]
    if (apart.has(before) && apart.has(after)) times++
  }
  return times
}

/** What stands around an item; nothing at the ends of a line. */
const apart: ReadonlySet<string> = new Set(['', ' ', '\t', ',', '[', ']', '"', "'"])

const isKey = (content: string, key: string): boolean =>
  content.startsWith(key) || content.startsWith(`"${key}"`) || content.startsWith(`'${key}'`)
    ? /^["']?[\w-]+["']?\s*:/.exec(content)?.[0].replaceAll(/["':\s]/g, '') === key
    : false

function* frontMatterLines(text: string): Generator<readonly [number: number, content: string]> {
  const place = findFrontMatter(text)
  if (place === null) return
  const [start, end] = place === 'unclosed' ? [0, text.length] : [place.start, place.end]
  const first = text.slice(0, start).split('\n').length
  for (const [at, content] of text.slice(start, end).split(/\r?\n/).entries()) yield [first + at, content]
}

/** The value on a key's own line, without quotes and comment; null when there is none. For values of one word. */
export function valueOfKey(text: string, key: string): string | null {
  for (const [, content] of frontMatterLines(text)) {
    if (!isKey(content, key)) continue
    const value = content
      .slice(content.indexOf(':') + 1)
      .replace(/\s#.*$/, '')
      .trim()
      .replaceAll(/^(["'])(.*)\1$/g, '$2')
    return value === '' ? null : value
  }
  return null
}
