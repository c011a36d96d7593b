import { closeSync, constants, fdatasyncSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { isUlid, ulid, ulidAfter } from '../../core/ulid.ts'
import { readRegular, syncDirectory } from './files.ts'
import type { Problem } from './front-matter.ts'

/** One line of `events.jsonl`: something that happened to a ticket, and who did it. */
export interface TicketEvent {
  /** ULID; the order of events is theirs. */
  readonly id: string
  readonly type: string
  /** RFC 3339. */
  readonly at: string
  readonly actor: string
  readonly [more: string]: unknown
}

/** Above this a file of events is damaged, whatever it says. Bytes. */
export const maxEventBytes = 64 * 1024 * 1024

const fileIn = (directory: string): string => join(directory, 'events.jsonl')

const lookAt = (path: string): string => `Look at it: ls -ld ${shellWord(path)}; mend it, and run the command again.`

let latest = ''

/** A new ULID, after every one that this process made before. */
export function mintEventId(nowMs = Date.now()): string {
  const random = globalThis.crypto.getRandomValues(new Uint8Array(10))
  // Room to count up without running over into the time.
  random[0] = random[0]! & 0x7f
  const fresh = ulid(nowMs, random)
  latest = fresh > latest ? fresh : ulidAfter(latest, 1)
  return latest
}

/**
 * Appends events to a ticket's file in one write, and waits for the disk. A last line that a crash tore stays, on a line of its own. Needs
 * no lock. Throws `unavailable`.
 */
export function appendEvents(directory: string, events: readonly TicketEvent[]): void {
  if (events.length === 0) return
  const path = fileIn(directory)
  const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants
  let descriptor: number | null = null
  try {
    descriptor = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0o644)
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw new Error('it is not a regular file')
    const lines = events.map(event => `${JSON.stringify(event)}\n`).join('')
    const bytes = Buffer.from(stats.size > 0 && !endsLine(descriptor, stats.size) ? `\n${lines}` : lines)
    if (stats.size + bytes.length > maxEventBytes) throw new Error(`it would be larger than ${maxEventBytes} bytes`)
    const written = writeSync(descriptor, bytes)
    if (written < bytes.length) throw new Error(`only ${written} of ${bytes.length} bytes found room`)
    fdatasyncSync(descriptor)
    if (stats.size === 0) syncDirectory(directory)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ELOOP' || code === 'EMLINK' ? 'it is a symbolic link' : message
    throw new Fault('unavailable', `${path} cannot be written: ${why}`, { hint: lookAt(path), cause: error })
  } finally {
    if (descriptor !== null) closeSync(descriptor)
  }
}

function endsLine(descriptor: number, size: number): boolean {
  const last = Buffer.alloc(1)
  return readSync(descriptor, last, 0, 1, size - 1) === 1 && last[0] === 10
}

/** What a file of events says: its events in the order of their ids, each once, and what is wrong with it. */
export const parseEvents = (text: string): Parsed => {
  const events = eventsInOrder(text)
  return events === null ? parseCarefully(text) : { events, problems: [] }
}

interface Parsed {
  readonly events: readonly TicketEvent[]
  readonly problems: readonly Problem[]
}

/** The events of a file in which each line is one, later than that before it: nearly every file. Null for any other. */
function eventsInOrder(text: string): readonly TicketEvent[] | null {
  const events: TicketEvent[] = []
  let latest = ''
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\n', at)
    if (end < 0 || text.charCodeAt(at) !== 123) return null
    const event = eventOf(text.slice(at, end))
    if (typeof event === 'string' || event.id <= latest) return null
    latest = event.id
    events.push(event)
    at = end + 1
  }
  return events
}

function parseCarefully(text: string): Parsed {
  const problems: Problem[] = []
  const seen = new Map<string, { readonly event: TicketEvent; readonly source: string }>()
  let number = 0
  for (const source of linesOf(text)) {
    number++
    if (isBlank(source)) continue
    const marker = conflictMarker(source)
    if (marker !== null) {
      problems.push({ code: 'conflict_marker', message: `a merge left ${marker}`, line: number, key: null })
      continue
    }
    const event = eventOf(source)
    if (typeof event === 'string') {
      problems.push({ code: 'malformed_event', message: event, line: number, key: null })
      continue
    }
    const earlier = seen.get(event.id)
    if (earlier === undefined) seen.set(event.id, { event, source })
    else if (isSame(earlier, { event, source })) {
      problems.push({ code: 'doubled_event', message: `event ${event.id} is there twice`, line: number, key: event.id })
    } else {
      problems.push({
        code: 'conflicting_event',
        message: `event ${event.id} is there twice, and not the same`,
        line: number,
        key: event.id,
      })
    }
  }
  return { events: sorted([...seen.values()].map(({ event }) => event)), problems }
}

function sorted(events: TicketEvent[]): readonly TicketEvent[] {
  return events.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
}

const isBlank = (line: string): boolean => line === '' || line.trim() === ''

function* linesOf(text: string): Generator<string> {
  for (let at = text.charCodeAt(0) === 0xfeff ? 1 : 0; at < text.length;) {
    const end = text.indexOf('\n', at)
    if (end < 0) {
      yield text.slice(at)
      return
    }
    yield text.slice(at, text.charCodeAt(end - 1) === 13 ? end - 1 : end)
    at = end + 1
  }
}

/** The sign of an unresolved merge that this line is; null for any other. */
function conflictMarker(line: string): string | null {
  const sign = line.charCodeAt(0)
  if (sign !== 60 && sign !== 61 && sign !== 62 && sign !== 124) return null
  return /^(?:<{7}|={7}|>{7}|\|{7})(?= |$)/.exec(line)?.[0] ?? null
}

/** The event of a line, or what is wrong with it. */
function eventOf(line: string): TicketEvent | string {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return 'this line is not JSON'
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'this line is not an object'
  const { id, type, at, actor } = value as Record<string, unknown>
  if (typeof id !== 'string' || !isUlid(id)) return 'the id of this event is not a ULID'
  if (typeof type !== 'string' || type === '') return 'this event has no type'
  if (typeof at !== 'string' || at === '') return 'this event has no time'
  if (typeof actor !== 'string' || actor === '') return 'this event has no actor'
  return value as TicketEvent
}

interface Line {
  readonly event: TicketEvent
  readonly source: string
}

const isSame = (a: Line, b: Line): boolean => a.source === b.source || canonical(a.event) === canonical(b.event)

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
}

/** The events of all copies of a ticket, each once, in order. A missing file has none. Throws `unavailable` for one that cannot be read. */
export function readEvents(directories: readonly string[]): readonly TicketEvent[] {
  const texts: string[] = []
  for (const directory of directories) {
    const found = readRegular(fileIn(directory), maxEventBytes)
    if (found === 'missing') continue
    if (typeof found === 'string')
      throw new Fault('unavailable', `${fileIn(directory)} cannot be read: ${found}.`, { hint: lookAt(fileIn(directory)) })
    texts.push(found.toString('utf8'))
  }
  if (texts.length === 1) return parseEvents(texts[0]!).events
  const events = new Map<string, TicketEvent>()
  for (const text of texts) for (const event of parseEvents(text).events) if (!events.has(event.id)) events.set(event.id, event)
  return sorted([...events.values()])
}

/** A file of events as it should be: in order, each once. What cannot be read as an event keeps its place; conflicts stay as they are. */
export function tidyEvents(text: string): string {
  const lines = [...linesOf(text)].filter(line => !isBlank(line))
  if (lines.some(line => conflictMarker(line) !== null)) return text
  const kept: Line[] = []
  const known = new Map<string, Line[]>()
  const slots: (string | null)[] = []
  for (const source of lines) {
    const event = eventOf(source)
    if (typeof event === 'string') {
      slots.push(source)
      continue
    }
    const line = { event, source }
    const others = known.get(event.id) ?? []
    if (others.some(other => isSame(other, line))) continue
    known.set(event.id, [...others, line])
    kept.push(line)
    slots.push(null)
  }
  const order = kept.sort((a, b) => (a.event.id < b.event.id ? -1 : a.event.id > b.event.id ? 1 : 0))
  let next = 0
  return slots.map(slot => `${slot ?? order[next++]!.source}\n`).join('')
}
