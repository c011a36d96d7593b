import { kindOf, nameOf } from '../../core/resource.ts'

/** Does a `path:` key cover this file? The file's name is taken literally, whatever stars are in it. A plain name also covers what is below it. */
export function covers(key: string, file: string, ignoreCase: boolean): boolean {
  if (kindOf(key) !== 'path') return false
  const name = file.normalize('NFC')
  const segments = (ignoreCase ? name.toLowerCase().normalize('NFC') : name).split('/')
  const pattern = nameOf(key).split('/')
  return matches(/[*?]/.test(pattern.at(-1)!) ? pattern : [...pattern, '**'], segments)
}

/** Segment by segment, from the end; `**` stands for any number of them. */
function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  let row = segments.map(() => false)
  row.push(true)
  for (let at = pattern.length - 1; at >= 0; at--) {
    const next = row.map(() => false)
    for (let of = segments.length; of >= 0; of--) {
      if (pattern[at] === '**') next[of] = row[of]! || (of < segments.length && next[of + 1]!)
      else next[of] = of < segments.length && segmentMatches(pattern[at]!, segments[of]!) && row[of + 1]!
    }
    row = next
  }
  return row[0]!
}

function segmentMatches(pattern: string, segment: string): boolean {
  if (!/[*?]/.test(pattern)) return pattern === segment
  const [signs, letters] = [[...pattern], [...segment]]
  let at = 0
  let star = -1
  let retry = 0
  for (let of = 0; of < letters.length;) {
    if (at < signs.length && (signs[at] === '?' || (signs[at] !== '*' && signs[at] === letters[of]))) {
      at++
      of++
    } else if (at < signs.length && signs[at] === '*') {
      star = at++
      retry = of
    } else if (star >= 0) {
      at = star + 1
      of = ++retry
    } else return false
  }
  while (signs[at] === '*') at++
  return at === signs.length
}
