import { usage } from '../../core/fault.ts'

/** A word: characters, parts in single or double quotes, and characters after a backslash. */
const word = /(?:[^\s'"\\]|'[^']*'|"(?:[^"\\]|\\[^])*"|\\[^])+/y

/**
 * Program and arguments of a command that a setting names: a JSON list of words, or words as a shell reads them, without variables and
 * anything else that a shell would do. `where` begins the error. Throws `usage`.
 */
export function commandWords(text: string, where: string): readonly string[] {
  const words = text.trimStart().startsWith('[') ? listed(text, where) : split(text, where)
  if (words.length > 0 && words[0] !== '' && !words.some(each => each.includes('\0'))) return words
  throw usage(`${where}: ${JSON.stringify(text)} is no command.`, example)
}

const example = 'Write the program and its arguments: claude --model opus, or ["claude", "--model", "opus"].'

function listed(text: string, where: string): readonly string[] {
  try {
    const words: unknown = JSON.parse(text)
    if (Array.isArray(words) && words.every(each => typeof each === 'string')) return words
  } catch {
    // Said below.
  }
  throw usage(`${where}: ${JSON.stringify(text)} is no list of words.`, example)
}

function split(text: string, where: string): readonly string[] {
  const words: string[] = []
  const trimmed = text.trim()
  for (let at = 0; at < trimmed.length;) {
    word.lastIndex = at
    const found = word.exec(trimmed)?.[0]
    if (found === undefined) throw usage(`${where}: ${JSON.stringify(text)} has a quote or a backslash without its end.`, example)
    words.push(unquoted(found))
    at += found.length
    if (at < trimmed.length && !/\s/.test(trimmed[at]!))
      throw usage(`${where}: ${JSON.stringify(text)} has a quote without its end.`, example)
    while (/\s/.test(trimmed[at] ?? '')) at++
  }
  return words
}

const unquoted = (found: string): string =>
  found.replaceAll(/'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])/g, (_, single?: string, double?: string, escaped?: string) =>
    single !== undefined ? single : double !== undefined ? double.replaceAll(/\\(["\\])/g, '$1') : (escaped ?? ''),
  )
