import { usage } from './fault.ts'

/** What a spelling is resolved against. */
export interface ResourceContext {
  /** Top level of the worktree, absolute, or null where there is none; absolute `path:` names are made relative to it. */
  readonly root: string | null
  /** Git's `core.ignorecase`: `branch:` and `path:` names are folded. */
  readonly ignoreCase: boolean
}

/** Longest key in UTF-8 bytes. */
export const maxKeyBytes = 256
const maxSegments = 32
const kindPattern = /^[a-z][a-z0-9_-]{0,31}$/
const ticketPattern = /^[a-z0-9][a-z0-9._-]{0,127}$/
const worktreePattern = /^(?:wt:)?[0-9a-f]{8}$/i

/** The part of a key before the first colon. */
export const kindOf = (key: string): string => key.slice(0, key.indexOf(':'))

/** The part of a key after the first colon. */
export const nameOf = (key: string): string => key.slice(key.indexOf(':') + 1)

/** The shortest spelling of a key: a ticket is a bare word. */
export const spellingOf = (key: string): string => (kindOf(key) === 'ticket' ? nameOf(key) : key)

/** Does this key name a path or a pattern of paths? */
export const isPath = (key: string): boolean => key.startsWith('path:')

/**
 * The one canonical key of a spelling: `<kind>:<name>`, a bare word being a ticket. Throws `usage` for a name that cannot be a key;
 * a key is at most 256 bytes of NFC UTF-8 without control characters, so it can be shown, logged and compared byte by byte.
 */
export function parseResource(text: string, context: ResourceContext): string {
  const colon = text.indexOf(':')
  const typed = colon < 0 ? 'ticket' : text.slice(0, colon).toLowerCase()
  // As lh whoami shows it: `wt:1a2b3c4d`.
  const kind = typed === 'wt' && worktreePattern.test(text) ? 'worktree' : typed
  if (!kindPattern.test(kind)) {
    throw usage(`${show(text)} is not a resource: the part before the colon must be a word such as ticket, path, branch or env`, spelling)
  }
  const name = canonicalName(kind, colon < 0 ? text : text.slice(colon + 1), text, context)
  const key = `${kind}:${name}`
  if (utf8Length(key) > maxKeyBytes) {
    throw usage(`${show(text)} is too long: ${utf8Length(key)} bytes, a resource has at most ${maxKeyBytes}`)
  }
  return key
}

const keyPattern = /^[a-z][a-z0-9_-]{0,31}:[^]/
const nowhere: ResourceContext = { root: null, ignoreCase: false }

/** Throws `usage` unless these are keys as `parseResource` gives them, at least one: another spelling would be a second lease of the same thing. */
export function requireKeys(keys: readonly string[]): void {
  if (!Array.isArray(keys) || keys.length === 0) throw usage('resources are a list of keys, at least one', spelledBy)
  for (const key of keys as readonly unknown[])
    if (typeof key !== 'string' || !isKey(key)) throw usage(`${show(String(key))} is no key of a resource`, spelledBy)
}

/** Kinds without rules for their names may be spelled in any way. */
const isKey = (key: string): boolean =>
  keyPattern.test(key) && (!['ticket', 'path', 'branch', 'worktree'].includes(kindOf(key)) || parseResource(key, nowhere) === key)

const spelledBy = "take what claimOf gives, for example of ['fix-login', 'env:staging']"

const spelling = 'write <kind>:<name>, for example ticket:fix-login, path:src/** or env:staging'

function canonicalName(kind: string, raw: string, text: string, context: ResourceContext): string {
  const name = raw.normalize('NFC')
  if (name === '') throw usage(`${show(text)} has no name`, spelling)
  const bad = forbiddenCharacter(name)
  if (bad !== null) throw usage(`${show(text)} contains ${bad}, which a resource name may not`)
  refuseOuterBlanks(name, text)
  switch (kind) {
    case 'ticket':
      return ticketName(name, text)
    case 'path':
      return pathName(name, text, context)
    case 'branch':
      return branchName(context.ignoreCase ? folded(name) : name, text)
    case 'worktree':
      return worktreePattern.test(name) ? name.slice(-8).toLowerCase() : name
    case 'workspace':
      throw usage('workspace: is held by the session lock, not by a claim', 'see: lh session-lock status')
    default:
      return name
  }
}

function refuseOuterBlanks(name: string, text: string): void {
  if (name !== name.trim()) throw usage(`${show(text)} begins or ends with a blank`)
}

/** Lower case can decompose: J with caron has no capital of its own, its small letter has one code point. */
const folded = (name: string): string => name.toLowerCase().normalize('NFC')

/** Git itself says `refs/heads/main` where it means the branch. */
function branchName(name: string, text: string): string {
  const short = name.replace(/^(?:refs\/heads\/)+/, '')
  if (short === '') throw usage(`${show(text)} has no name`, spelling)
  refuseOuterBlanks(short, text)
  return short
}

function ticketName(name: string, text: string): string {
  const folded = name.toLowerCase()
  if (ticketPattern.test(folded)) return folded
  throw usage(
    `${show(text)} is not a ticket id: ids have up to 128 letters, digits, dots, dashes and underscores, and begin with a letter or digit`,
    spelling,
  )
}

/** `path:` names are relative to the top of the repository; `.`, `//` and inner `..` are resolved and a trailing `/` means the subtree. */
function pathName(name: string, text: string, context: ResourceContext): string {
  let relative = name
  if (name.startsWith('/')) {
    const root = context.root === null ? null : context.root.normalize('NFC').replace(/\/+$/, '')
    if (root === null || !(name === root || name.startsWith(`${root}/`))) throw usage(`${show(text)} is outside the repository`)
    relative = name.slice(root.length + 1)
  }
  if (/[{}[\]!\\]/.test(relative)) throw usage(`${show(text)}: a path pattern knows *, ? and ** only, no braces, brackets, ! or backslash`)
  const segments: string[] = []
  for (const segment of relative.split('/')) {
    if (segment === '' || segment === '.') continue
    if (segment === '..') {
      if (segments.pop() === undefined) throw usage(`${show(text)} leaves the repository`)
    } else if (segment !== '**' && segment.includes('**')) {
      throw usage(`${show(text)}: ** stands alone between slashes`)
    } else if (!(segment === '**' && segments.at(-1) === '**')) {
      segments.push(segment)
    }
  }
  if (segments.length > maxSegments) throw usage(`${show(text)} has more than ${maxSegments} segments`)
  const subtree = segments.length === 0 || /(^|\/)\.?$/.test(relative)
  if (subtree && segments.at(-1) !== '**') segments.push('**')
  const joined = segments.join('/')
  // A leading ./ may have hidden a blank: the key must be a spelling that can be given back.
  refuseOuterBlanks(joined, text)
  return context.ignoreCase ? folded(joined) : joined
}

/**
 * Can one file match both `path:` keys? A pattern whose last segment has no wildcard also stands for everything below it, since the
 * same name may be a file or a directory. Errs on the side of yes only there.
 */
export function pathsOverlap(a: string, b: string): boolean {
  return intersect(patternOf(a), patternOf(b))
}

function patternOf(key: string): readonly string[] {
  const segments = nameOf(key).split('/')
  const last = segments.at(-1)!
  return last.includes('*') || last.includes('?') ? segments : [...segments, '**']
}

/** Do two sequences of segment patterns have a path in common? Dynamic programming over both, `**` standing for any number. */
function intersect(a: readonly string[], b: readonly string[]): boolean {
  const width = b.length + 1
  const reachable = new Uint8Array((a.length + 1) * width)
  for (let i = a.length; i >= 0; i--) {
    for (let j = b.length; j >= 0; j--) {
      const at = i * width + j
      if (i === a.length && j === b.length) reachable[at] = 1
      else if (i < a.length && a[i] === '**') reachable[at] = reachable[at + width]! | (j < b.length ? reachable[at + 1]! : 0)
      else if (j < b.length && b[j] === '**') reachable[at] = reachable[at + 1]! | (i < a.length ? reachable[at + width]! : 0)
      else if (i < a.length && j < b.length && segmentsMeet(a[i]!, b[j]!)) reachable[at] = reachable[at + width + 1]!
    }
  }
  return reachable[0] === 1
}

/** Is there one name that both segment patterns (`*`, `?`, literal) match? */
function segmentsMeet(a: string, b: string): boolean {
  if (!/[*?]/.test(a) && !/[*?]/.test(b)) return a === b
  const left = [...a]
  const right = [...b]
  let row = new Uint8Array(right.length + 1)
  for (let i = left.length; i >= 0; i--) {
    const next = new Uint8Array(right.length + 1)
    for (let j = right.length; j >= 0; j--) {
      const l = left[i]
      const r = right[j]
      if (l === undefined && r === undefined) next[j] = 1
      else if (l === '*') next[j] = row[j]! | (r === undefined ? 0 : next[j + 1]!)
      else if (r === '*') next[j] = next[j + 1]! | (l === undefined ? 0 : row[j]!)
      else if (l !== undefined && r !== undefined && (l === r || l === '?' || r === '?')) next[j] = row[j + 1]!
    }
    row = next
  }
  return row[0] === 1
}

/** Names the first character that a key may not contain, or null. Bidirectional overrides would let a key look like another. */
function forbiddenCharacter(text: string): string | null {
  for (const character of text) {
    const code = character.codePointAt(0)!
    const control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code === 0x2028 || code === 0x2029
    const mark = code === 0x200e || code === 0x200f || code === 0x061c || code === 0xfeff
    const bidirectional = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || mark
    const surrogate = code >= 0xd800 && code <= 0xdfff
    if (control || bidirectional || surrogate || code === 0xfffd) return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
  }
  return null
}

function utf8Length(text: string): number {
  let bytes = 0
  for (const character of text) {
    const code = character.codePointAt(0)!
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4
  }
  return bytes
}

/** Text as it may be printed: quoted, control and bidirectional characters escaped, shortened. */
export function show(text: string): string {
  return `"${printable(text.length > 80 ? `${text.slice(0, 77)}…` : text)}"`
}

/** Control and bidirectional characters escaped: what people wrote cannot move the cursor of whoever reads it. */
export function printable(text: string): string {
  let out = ''
  for (const character of text) {
    out += forbiddenCharacter(character) === null ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`
  }
  return out
}
