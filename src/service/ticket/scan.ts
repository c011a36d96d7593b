import { priorities, statuses, workflowStates, type Priority, type Status, type Ticket, type WorkflowState } from './ticket.ts'

// The fast way to read a ticket: by hand, for front matter as it is usually written. It needs no YAML library, whose loading costs more
// than reading a hundred tickets. Whatever looks unusual is left to `front-matter.ts`, which gives the same answer for the rest.

/** Where the front matter of a text stands. */
export interface FrontMatterPlace {
  /** After the opening `---` line. */
  readonly start: number
  /** Before the closing `---` line. */
  readonly end: number
  /** After the closing `---` line and its line ending. */
  readonly after: number
}

/** Finds the two `---` lines; null when there is no opening one, `unclosed` when there is no closing one. */
export function findFrontMatter(text: string): FrontMatterPlace | null | 'unclosed' {
  const first = text.charCodeAt(0) === 0xfeff ? 1 : 0
  const start = afterFence(text, first)
  if (start < 0) return null
  if (start === 0) return 'unclosed'
  for (let line = start; ;) {
    const after = afterFence(text, line)
    if (after >= 0) return { start, end: line, after: after === 0 ? text.length : after }
    const next = text.indexOf('\n', line)
    if (next < 0) return 'unclosed'
    line = next + 1
  }
}

/** -1: no `---` line at `at`. 0: one without a line ending. Else where the next line begins. */
function afterFence(text: string, at: number): number {
  if (text.charCodeAt(at) !== 45 || text.charCodeAt(at + 1) !== 45 || text.charCodeAt(at + 2) !== 45) return -1
  let end = at + 3
  while (end < text.length && (text.charCodeAt(end) === 32 || text.charCodeAt(end) === 9)) end++
  if (end === text.length) return 0
  if (text.charCodeAt(end) === 13) end++
  return text.charCodeAt(end) === 10 ? end + 1 : -1
}

/** Anything that could make YAML see other lines than we do. Halves of characters outside the basic plane are no such thing. */
const strange = /[^\n\x20-\x7e\xa0-\u2027\u202a-\ufefe\uff00-\ufffd]/

/** What YAML reads as nothing. */
const nothing = new Set(['', '~', 'null', 'Null', 'NULL'])

/** Keys that YAML would not read as text. */
const notText = /^(?:null|true|false)$/i

/**
 * The ticket, when its front matter is written as it usually is; null when it is not, and `parseTicket` has to look. What it returns is
 * what `parseTicket` would, and nothing is wrong with it but perhaps the name of its directory.
 */
export function scanTicket(source: string | Buffer): Ticket | null {
  const text = typeof source === 'string' ? source : headOf(source)
  const place = findFrontMatter(text)
  if (place === null || place === 'unclosed') return null
  let head = text.slice(place.start, place.end)
  if (head.includes('\r')) head = head.replaceAll('\r\n', '\n')
  if (strange.test(head)) return null
  const values = new Map<string, string | readonly string[] | null>()
  for (let at = 0; at < head.length;) {
    let end = head.indexOf('\n', at)
    if (end < 0) end = head.length
    const line = head.slice(at, end)
    at = end + 1
    if (line === '' || line.charCodeAt(0) === 35) continue
    const colon = line.indexOf(':')
    if (colon < 1 || colon > 100 || !isKey(line, colon)) return null
    const key = line.slice(0, colon)
    if (values.has(key) || notText.test(key)) return null
    const value = valueOf(line, colon + 1)
    if (value === undefined) return null
    values.set(key, value)
  }
  return ticketOf(values)
}

/** The text up to the end of the front matter, as far as it can be seen without decoding the body. */
function headOf(bytes: Buffer): string {
  const closing = bytes.indexOf('\n---', 3, 'latin1')
  // Two bytes more for the line ending; should they cut a character in two, then `---` is not the whole line and nothing is lost.
  const line = closing < 0 ? -1 : bytes.indexOf('\n', closing + 4, 'latin1')
  return closing < 0 || line < 0 ? bytes.toString('utf8') : bytes.toString('utf8', 0, line + 1)
}

function isKey(line: string, end: number): boolean {
  for (let at = 0; at < end; at++) {
    const sign = line.charCodeAt(at)
    const letter = (sign >= 97 && sign <= 122) || (sign >= 65 && sign <= 90) || sign === 95
    if (!letter && (at === 0 || !((sign >= 48 && sign <= 57) || sign === 45))) return false
  }
  return true
}

/** The value that begins behind the colon; undefined for what is not plain enough. */
function valueOf(line: string, from: number): string | readonly string[] | null | undefined {
  if (from === line.length) return undefined
  if (line.charCodeAt(from) !== 32) return undefined
  const text = line.slice(from).trim()
  const sign = text.charCodeAt(0)
  if (sign === 91) return listOf(text)
  if (sign === 39 || sign === 34) return quoted(text)
  return plain(text)
}

/** Signs that mean something to YAML at the beginning of a plain scalar. */
const meaningful = new Set(Array.from('-?:,[]{}#&*!|>\'"%@`', sign => sign.charCodeAt(0)))

function plain(text: string): string | null | undefined {
  if (nothing.has(text)) return text === '' ? undefined : null
  if (meaningful.has(text.charCodeAt(0)) || text.includes(': ') || text.includes(' #') || text.endsWith(':')) return undefined
  return text
}

function quoted(text: string): string | undefined {
  const quote = text.charAt(0)
  const inner = text.slice(1, -1)
  if (text.length < 2 || !text.endsWith(quote)) return undefined
  if (quote === '"') return inner.includes('"') || inner.includes('\\') ? undefined : inner
  const undone = inner.replaceAll("''", '')
  return undone.includes("'") ? undefined : inner.replaceAll("''", "'")
}

/** What may stand in a list without quotes and without doubt. */
const plainItem = /^[A-Za-z0-9_./\u00c0-\u02af\u0370-\u1fff\u2c00-\ud7ff](?:[^,[\]{}:#'"&*!|>%@`]*)$/

function listOf(text: string): readonly string[] | undefined {
  if (!text.endsWith(']')) return undefined
  const inner = text.slice(1, -1).trim()
  if (inner === '') return []
  const items: string[] = []
  for (const part of inner.split(',')) {
    const item = part.trim()
    const sign = item.charCodeAt(0)
    const value = sign === 39 || sign === 34 ? quoted(item) : plainItem.test(item) && !nothing.has(item) ? item : undefined
    // The comma may have been inside quotes: then the halves are not quoted, and nothing is guessed.
    if (value === undefined || value === '') return undefined
    items.push(value)
  }
  return items
}

function ticketOf(values: ReadonlyMap<string, string | readonly string[] | null>): Ticket | null {
  const text = (key: string): string | null => {
    const value = values.get(key)
    return typeof value === 'string' && value !== '' ? value : null
  }
  /** Undefined when it is there and no text. */
  const optional = (key: string): string | null | undefined => {
    const value = values.get(key) ?? null
    return typeof value === 'object' && value !== null ? undefined : value === '' ? undefined : value
  }
  const list = (key: string): readonly string[] | undefined => {
    const value = values.get(key) ?? []
    return typeof value === 'string' ? undefined : value
  }
  const [id, slug, title, kind] = [text('id'), text('slug'), text('title'), text('kind')]
  const [createdAt, updatedAt] = [text('created_at'), text('updated_at')]
  const status = text('status') as Status | null
  const priority = text('priority') as Priority | null
  const state = values.has('workflow_state') ? (text('workflow_state') as WorkflowState | null) : status === 'closed' ? 'done' : 'intake'
  const [assignee, legacyTicket, queuedBy, queuedAt] = [
    optional('assignee'),
    optional('legacy_ticket'),
    optional('queued_by'),
    optional('queued_at'),
  ]
  const [labels, dependsOn, gates] = [list('labels'), list('depends_on'), list('gates')]
  if (id === null || slug === null || title === null || kind === null || createdAt === null || updatedAt === null) return null
  if (status === null || !statuses.includes(status) || priority === null || !priorities.includes(priority)) return null
  if (state === null || !workflowStates.includes(state)) return null
  if (assignee === undefined || legacyTicket === undefined || queuedBy === undefined || queuedAt === undefined) return null
  if (labels === undefined || dependsOn === undefined || gates === undefined) return null
  if (!isTime(createdAt) || !isTime(updatedAt) || (queuedAt !== null && !isTime(queuedAt))) return null
  return {
    id,
    slug,
    title,
    status,
    kind,
    priority,
    labels,
    workflowState: state,
    createdAt,
    updatedAt,
    assignee,
    legacyTicket,
    queuedBy,
    queuedAt,
    dependsOn,
    gates,
  }
}

/** Is this an RFC 3339 time, as far as its form goes? By hand: a pattern costs more than the rest of a scan. */
export function isTime(text: string): boolean {
  if (text.length < 20 || text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return false
  return /^\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(?:\.\d+)?(?:Z|[+-][0-2]\d:[0-5]\d)$/.test(text)
}
