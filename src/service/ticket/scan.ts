import { priorities, statuses, workflowStates, type Priority, type Status, type Ticket, type WorkflowState } from './ticket.ts'

// The fast way to read a ticket: by hand, for front matter as it is usually written. It needs no YAML library, whose loading costs more
// than reading a hundred tickets. Whatever looks unusual is left to `front-matter.ts`, which gives the same answer for the rest.

/** Longer front matter means nobody any good. Characters. */
export const maxFrontMatter = 64 * 1024

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
  for (let line = start - 1; ;) {
    line = text.indexOf('\n---', line) + 1
    if (line === 0) return 'unclosed'
    const after = afterFence(text, line)
    if (after >= 0) return { start, end: line, after: after === 0 ? text.length : after }
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

/** Front matter is seldom longer; decoding the body as well would take longer than all the rest. Bytes. */
const usualHead = 1024

/** Keys that YAML would not read as text. */
const notText = /^(?:null|true|false)$/i

/** Undefined: it is not there. */
type Value = string | readonly string[] | null | undefined

/** Our keys, in the order in which we write them. */
export const frontMatterKeys = [
  'id',
  'slug',
  'title',
  'status',
  'kind',
  'priority',
  'labels',
  'workflow_state',
  'created_at',
  'updated_at',
  'assignee',
  'legacy_ticket',
  'queued_by',
  'queued_at',
  'depends_on',
  'gates',
]

/** Where each key has its value while a text is scanned. */
const slots = new Map(frontMatterKeys.map((key, slot) => [key, slot]))
const values: Value[] = Array.from({ length: slots.size })

/**
 * The ticket, when its front matter is written as it usually is; null when it is not, and `parseTicket` has to look. What it returns is
 * what `parseTicket` would, and nothing is wrong with it but perhaps the name of its directory. Of a buffer `length` bytes count.
 */
export function scanTicket(source: string | Buffer, length = source.length): Ticket | null {
  if (typeof source === 'string') return scanHead(source, findFrontMatter(source))
  if (scanBytes(source, length)) {
    const ticket = ticketOf()
    if (ticket !== null) return ticket
  }
  const beginning = source.toString('utf8', 0, Math.min(length, usualHead))
  const place = findFrontMatter(beginning)
  // Of half a line nobody knows what it is.
  const whole = length <= usualHead || (place !== null && place !== 'unclosed' && place.after < beginning.length)
  return whole ? scanHead(beginning, place) : scanTicket(source.toString('utf8', 0, length))
}

function scanHead(text: string, place: FrontMatterPlace | null | 'unclosed'): Ticket | null {
  if (place === null || place === 'unclosed' || place.end - place.start > maxFrontMatter) return null
  let head = text.slice(place.start, place.end)
  if (head.includes('\r')) head = head.replaceAll('\r\n', '\n')
  if (strange.test(head)) return null
  let others: Set<string> | null = null
  values.fill(undefined)
  for (let at = 0; at < head.length;) {
    const line = at
    const end = head.indexOf('\n', at)
    at = end + 1
    if (line === end || head.charCodeAt(line) === 35) continue
    const colon = head.indexOf(':', line)
    if (colon < 0 || colon > end) return null
    const key = head.slice(line, colon)
    const slot = slots.get(key)
    const value = valueOf(head, colon + 1, end)
    if (value === undefined) return null
    if (slot !== undefined) {
      if (values[slot] !== undefined) return null
      values[slot] = value
    } else {
      if (others?.has(key) === true || !isKey(key)) return null
      others = (others ?? new Set()).add(key)
    }
  }
  return ticketOf()
}

const keyBytes = frontMatterKeys.map(key => Buffer.from(`${key}: `))

/**
 * What was read last, by the number of its bytes: of ten thousand tickets most say the same but in a line or two, and what is not made
 * anew is not collected either.
 */
const remembered = 1024
const texts: string[] = Array.from({ length: remembered }, () => '')
const meanings: Value[] = Array.from({ length: remembered })

/** Fills `values` from front matter of nothing but printable ASCII and our own keys, without a text of the whole. False: it is another. */
function scanBytes(bytes: Buffer, length: number): boolean {
  if (length < 4 || bytes[0] !== 45 || bytes[1] !== 45 || bytes[2] !== 45 || bytes[3] !== 10) return false
  values.fill(undefined)
  let next = 0
  for (let at = 4; ;) {
    const slot = slotAt(bytes, at, next)
    if (slot < 0) return isFence(bytes, at, length) && at - 4 <= maxFrontMatter
    if (values[slot] !== undefined) return false
    next = slot + 1
    let start = at + keyBytes[slot]!.length
    while (bytes[start] === 32) start++
    let hash = 0
    let end = start
    let byte = 0
    for (at = start; at < length; at++) {
      byte = bytes[at]!
      if (byte < 32 || byte > 126) break
      hash = (Math.imul(hash, 31) + byte) | 0
      if (byte !== 32) end = at + 1
    }
    if (byte !== 10 || at >= length || end === start) return false
    at++
    const value = valueAt(bytes, start, end, hash)
    if (value === undefined) return false
    values[slot] = value
  }
}

/** The key that a line begins with, probably the next one; -1 for none. */
function slotAt(bytes: Buffer, at: number, next: number): number {
  if (next < frontMatterKeys.length && beginsWith(bytes, at, keyBytes[next]!)) return next
  for (let slot = 0; slot < frontMatterKeys.length; slot++) if (beginsWith(bytes, at, keyBytes[slot]!)) return slot
  return -1
}

function beginsWith(bytes: Buffer, at: number, wanted: Buffer): boolean {
  for (let place = 0; place < wanted.length; place++) if (bytes[at + place] !== wanted[place]) return false
  return true
}

const isFence = (bytes: Buffer, at: number, length: number): boolean =>
  at + 3 < length && bytes[at] === 45 && bytes[at + 1] === 45 && bytes[at + 2] === 45 && bytes[at + 3] === 10

function valueAt(bytes: Buffer, start: number, end: number, hash: number): Value {
  const place = (hash ^ (hash >>> 10)) & (remembered - 1)
  if (isText(bytes, start, end, texts[place]!)) return meanings[place]
  const text = bytes.toString('latin1', start, end)
  texts[place] = text
  return (meanings[place] = valueIn(text))
}

function isText(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (text.length !== end - start) return false
  for (let at = start; at < end; at++) if (bytes[at] !== text.charCodeAt(at - start)) return false
  return true
}

const isKey = (key: string): boolean => /^[A-Za-z_][A-Za-z0-9_-]{0,99}$/.test(key) && !notText.test(key)

/** `text` from `from` to `to` without the spaces around it. Not `trim`: YAML takes other white space for text. */
function trimmed(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && text.charCodeAt(start) === 32) start++
  while (end > start && text.charCodeAt(end - 1) === 32) end--
  return text.slice(start, end)
}

/** The value that begins behind the colon; undefined for what is not plain enough. */
const valueOf = (head: string, from: number, to: number): Value =>
  head.charCodeAt(from) === 32 ? valueIn(trimmed(head, from, to)) : undefined

function valueIn(text: string): Value {
  const sign = text.charCodeAt(0)
  if (sign === 91) return listOf(text)
  if (sign === 39 || sign === 34) return quoted(text)
  if (isNothing(text)) return text === '' ? undefined : null
  if (meaningful.has(sign) || text.includes(': ') || text.includes(' #') || text.endsWith(':')) return undefined
  return text
}

/** Signs that mean something to YAML at the beginning of a plain scalar. */
const meaningful = new Set(Array.from('-?:,[]{}#&*!|>\'"%@`', sign => sign.charCodeAt(0)))

/** What YAML reads as nothing. */
const isNothing = (text: string): boolean =>
  text.length <= 4 && (text === 'null' || text === '' || text === '~' || text === 'Null' || text === 'NULL')

function quoted(text: string): string | undefined {
  const quote = text.charAt(0)
  const inner = text.slice(1, -1)
  if (text.length < 2 || !text.endsWith(quote)) return undefined
  if (!inner.includes(quote)) return quote === '"' && inner.includes('\\') ? undefined : inner
  if (quote === '"' || inner.replaceAll("''", '').includes("'")) return undefined
  return inner.replaceAll("''", "'")
}

/** What may stand in a list without quotes and without doubt. */
const plainItem = /^[A-Za-z0-9_./\u00c0-\u02af\u0370-\u1fff\u2c00-\ud7ff](?:[^,[\]{}:#'"&*!|>%@`]*)$/

function listOf(text: string): readonly string[] | undefined {
  if (text === '[]') return []
  if (!text.endsWith(']')) return undefined
  const items: string[] = []
  const last = text.length - 1
  for (let at = 1; at <= last;) {
    const comma = text.indexOf(',', at)
    const end = comma < 0 ? last : comma
    const item = trimmed(text, at, end)
    const sign = item.charCodeAt(0)
    if (item === '' && items.length === 0 && end === last) return []
    const value = sign === 39 || sign === 34 ? quoted(item) : plainItem.test(item) && !isNothing(item) ? item : undefined
    // The comma may have been inside quotes: then the halves are not quoted, and nothing is guessed.
    if (value === undefined || value === '') return undefined
    items.push(value)
    at = end + 1
  }
  return items
}

/** A text that has to be there; null when it is not. */
function text(slot: number): string | null {
  const value = values[slot]
  return typeof value === 'string' && value !== '' ? value : null
}

/** Undefined when it is there and no text. */
function optional(slot: number): string | null | undefined {
  const value = values[slot] ?? null
  return value === null || (typeof value === 'string' && value !== '') ? value : undefined
}

/** Undefined when it is there and no list. */
function list(slot: number): readonly string[] | undefined {
  const value = values[slot] ?? []
  return typeof value === 'string' ? undefined : value
}

function ticketOf(): Ticket | null {
  const id = text(0)
  const slug = text(1)
  const title = text(2)
  const kind = text(4)
  const createdAt = text(8)
  const updatedAt = text(9)
  if (id === null || slug === null || title === null || kind === null || createdAt === null || updatedAt === null) return null
  const status = text(3) as Status | null
  const priority = text(5) as Priority | null
  if (status === null || !statuses.includes(status) || priority === null || !priorities.includes(priority)) return null
  const workflowState = values[7] === undefined ? (status === 'closed' ? 'done' : 'intake') : (text(7) as WorkflowState | null)
  if (workflowState === null || !workflowStates.includes(workflowState)) return null
  const assignee = optional(10)
  const legacyTicket = optional(11)
  const queuedBy = optional(12)
  const queuedAt = optional(13)
  if (assignee === undefined || legacyTicket === undefined || queuedBy === undefined || queuedAt === undefined) return null
  const labels = list(6)
  const dependsOn = list(14)
  const gates = list(15)
  if (labels === undefined || dependsOn === undefined || gates === undefined) return null
  if (!isTime(createdAt) || (updatedAt !== createdAt && !isTime(updatedAt))) return null
  if (queuedAt !== null && queuedAt !== createdAt && !isTime(queuedAt)) return null
  return {
    id,
    slug,
    title,
    status,
    kind,
    priority,
    labels,
    workflowState,
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

const time = /^\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(?:\.\d+)?(?:Z|[+-][0-2]\d:[0-5]\d)$/

/** Is this an RFC 3339 time, as far as its form goes? */
export const isTime = (text: string): boolean => time.test(text)

/** Is there such a day and hour? What has the right form is meant here. */
export function isDate(text: string): boolean {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) return false
  const day = Number(text.slice(8, 10))
  // 31 February would be read as a day of March.
  return day <= 28 || new Date(Date.parse(`${text.slice(0, 10)}T00:00:00Z`)).getUTCDate() === day
}
