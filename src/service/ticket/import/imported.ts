import { createHash } from 'node:crypto'
import { isFault } from '../../../core/fault.ts'
import { parseAgentId } from '../../identity/agent.ts'
import type { Mode, Stage } from '../../gate/definition.ts'
import { isDate, isTime } from '../scan.ts'
import type { Priority, Status, WorkflowState } from '../ticket.ts'

// What every tracker's records are turned into before anything is written, and the words that all of them share. Pure.

/** Where tickets can come from. */
export const trackers = ['yoi', 'jit', 'beads', 'github'] as const
export type Tracker = (typeof trackers)[number]

/** An entry of a thread, a comment, the result of a gate. */
export interface ImportedEvent {
  /** Tells it from the others of its ticket, the same in every import. */
  readonly key: string
  readonly type: string
  /** RFC 3339; null when the source does not say. */
  readonly at: string | null
  /** As the source writes it. */
  readonly author: string | null
  /** Payload, under its names on the wire. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** The result of a gate, as far as two can be told from each other. */
export interface GateResult {
  readonly type: string
  readonly at: string | null
  readonly gate?: unknown
  readonly result?: unknown
}

/** A tracker that notes a result in two places does not take its time twice within these milliseconds. */
const sameResultMs = 5000

/** Are these one result of a gate, noted in two places? */
export const isSameResult = (one: GateResult, other: GateResult): boolean =>
  one.type === 'gate' &&
  other.type === 'gate' &&
  one.gate === other.gate &&
  one.result === other.result &&
  Math.abs(millisIn(one) - millisIn(other)) < sameResultMs

const millisIn = ({ at }: GateResult): number => (at === null ? 0 : Date.parse(at))

/** A file that belongs to a ticket. */
export interface ImportedFile {
  /** Relative to the ticket's directory, with `/`. */
  readonly path: string
  readonly content: Uint8Array
  /** May it be run, as a script? */
  readonly isExecutable?: boolean
}

/** One record of a tracker in our words; what it depends on is still called as it is there. */
export interface ImportedTicket {
  /** What the tracker calls it; identifies it in later imports. */
  readonly sourceId: string
  /** For `legacy_ticket`. */
  readonly legacyTicket: string | null
  /** An id of ours that it has already. */
  readonly ownId: string | null
  readonly slug: string | null
  readonly title: string
  readonly body: string
  readonly status: Status
  readonly workflowState: WorkflowState
  readonly kind: string
  readonly priority: Priority
  readonly labels: readonly string[]
  readonly assignee: string | null
  readonly createdAt: string
  /** When the source itself says that it was made, where its name may also be that of another; null when it does not. */
  readonly madeAt?: string | null
  readonly updatedAt: string
  readonly queuedBy: string | null
  readonly queuedAt: string | null
  readonly dependsOn: readonly string[]
  readonly gates: readonly string[]
  /** In the order of the source. */
  readonly events: readonly ImportedEvent[]
  /** The key of the event that decides each gate, null for an undecided one; its other results are past. */
  readonly gateResults: ReadonlyMap<string, string | null>
  /** Of a closed one. */
  readonly resolution: string | null
  readonly files: readonly ImportedFile[]
  /** Front matter that we do not know and keep. */
  readonly extra: Readonly<Record<string, string>>
  /** What has no place in a ticket; kept in the event `imported`. */
  readonly legacy: Readonly<Record<string, unknown>>
  /** Of the whole record. */
  readonly sourceHash: string
}

/** The definition of a gate in a tracker. */
export interface ImportedGate {
  readonly key: string
  readonly title: string | null
  readonly description: string | null
  readonly stage: Stage
  readonly mode: Mode
  readonly command: string | null
  readonly timeoutSecs: number | null
  readonly env: Readonly<Record<string, string>>
  readonly workingDir: string | null
  readonly passContext: boolean | null
  readonly legacy: Readonly<Record<string, unknown>>
}

/** How often which word became which. */
export type Mapped = Record<string, Record<string, number>>

/** What a reader found beside the tickets. */
export class Notes {
  /** What a person should look at. */
  readonly warnings: string[] = []
  /** What has no place here; nothing is lost without being in this list. */
  readonly dropped: string[] = []
  /** Records that are there and cannot be read: what others call them, and their files. */
  readonly broken = new Map<string, string>()
  readonly states: Mapped = Object.create(null) as Mapped
  readonly priorities: Mapped = Object.create(null) as Mapped

  warn(where: string, why: string): void {
    this.warnings.push(`${where}: ${why}`)
  }

  drop(where: string, what: string): void {
    this.dropped.push(`${where}: ${what}`)
  }

  state(from: string, status: Status, to: WorkflowState): void {
    count(this.states, from, status === 'open' ? to : `${status}/${to}`)
  }

  priority(from: string, to: Priority): void {
    count(this.priorities, from, to)
  }
}

function count(counts: Mapped, from: string, to: string): void {
  const of = (counts[from] ??= Object.create(null) as Record<string, number>)
  of[to] = (of[to] ?? 0) + 1
}

/** All that was read from one source. */
export interface Source {
  readonly tickets: readonly ImportedTicket[]
  readonly gates: readonly ImportedGate[]
  readonly notes: Notes
}

/** A JSON object as it came. */
export type Json = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The objects of a list; none of what is no list. */
export const objectsOf = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.filter(isObject) : [])

/** A text or a number as text, trimmed; null for anything else and for an empty one. */
export function wordOf(value: unknown): string | null {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : ''
  return text === '' ? null : text
}

/** The words of a list. */
export const wordsOf = (value: unknown): readonly string[] =>
  Array.isArray(value) ? [...new Set(value.map(wordOf).filter(word => word !== null))] : []

/** Text of several lines with one kind of line ending, without halves of characters and NUL. */
export const textOf = (value: unknown): string =>
  typeof value === 'string'
    ? value
        .replaceAll('\r\n', '\n')
        .replaceAll('\r', '\n')
        .replaceAll(/\0|\p{Surrogate}/gu, '\ufffd')
    : ''

/** The same in one line. */
export const lineOf = (value: unknown): string =>
  textOf(value)
    .replaceAll(/[\s\u0085\u2028\u2029]+/g, ' ')
    .replaceAll(/[\x00-\x1f\x7f]/g, '')
    .trim()

/** Labels in one line each. */
export const labelsOf = (values: readonly string[]): readonly string[] => [...new Set(values.map(lineOf).filter(label => label !== ''))]

/** 1 January 10000, which has no form. */
const afterMs = 253_402_300_800_000

/**
 * A time in RFC 3339, UTC, at most milliseconds; null when it is none. What is in UTC already stays as it is written, and what names no
 * zone is taken for it; a day begins.
 */
export function timeOf(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const text = value
    .trim()
    .replace(/^(\d{4}-\d\d-\d\d)$/, '$1T00:00:00Z')
    .replace(/^(\d{4}-\d\d-\d\d)[ t](\d\d:\d\d:\d\d(?:\.\d+)?) ?(?:z|UTC)?$/i, '$1T$2Z')
  const ms = Date.parse(text)
  // Before 1970 is what a program writes that knows no time.
  if (!isTime(text) || !isDate(text) || !(ms > 0 && ms < afterMs)) return null
  return text.endsWith('Z') ? text.replace(/(\.\d{3})\d+Z$/, '$1Z') : new Date(ms).toISOString()
}

/** The time under this name of a record; a value that is none is said. */
export function timeIn(record: Json, key: string, where: string, notes: Notes): string | null {
  const time = timeOf(record[key])
  if (time === null && !isEmpty(record[key])) notes.warn(where, `its ${key} ${JSON.stringify(record[key])} is no time; left out`)
  return time
}

/** The words under this name of a record; what is no word, and no list, is said. */
export function wordsIn(record: Json, key: string, where: string, notes: Notes): readonly string[] {
  const value = record[key]
  if (Array.isArray(value) ? value.some(part => wordOf(part) === null) : !isEmpty(value))
    notes.warn(where, `its ${key} ${Array.isArray(value) ? 'hold something that is no word' : 'are no list'}; left out`)
  return wordsOf(value)
}

/** Who did something, as an agent id; `author` is what the source says where that is something else. */
export interface Actor {
  readonly actor: string
  readonly author: string | null
}

/** `agent:x` stays, a bare name becomes `human:<name>`, nobody becomes `import:<tracker>`. */
export function actorOf(name: string | null, from: Tracker): Actor {
  const line = lineOf(name)
  if (line === '') return { actor: `import:${from}`, author: null }
  const typed = line.indexOf(':') > 0 ? idOf(line) : null
  if (typed !== null) return { actor: typed, author: typed === line ? null : line }
  return { actor: idOf(`human:${line}`) ?? idOf(`human:${plainName(line)}`) ?? `import:${from}`, author: line }
}

function idOf(text: string): string | null {
  try {
    return parseAgentId(text, 'author')
  } catch (error) {
    if (isFault(error)) return null
    throw error
  }
}

/** What is left of a name in 60 plain letters. */
const plainName = (name: string): string =>
  name
    .replaceAll(/[^\p{L}\p{N}._-]+/gu, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 60)

/** The agent id of an assignee; null when there is none. */
export const assigneeOf = (name: string | null, from: Tracker): string | null => {
  const line = lineOf(name)
  return line === '' ? null : actorOf(line, from).actor
}

/** Words for kinds that trackers use, in ours. */
const kinds: ReadonlyMap<string, string> = new Map([
  ['enhancement', 'feature'],
  ['defect', 'bug'],
])

/** A kind in lower case; `task` when there is none. `enhancement` is ours only where no tracker's own word is to be kept. */
export function kindOf(word: string | null, translate = false): string {
  const kind = lineOf(word).toLowerCase().replaceAll(/\s+/g, '-')
  if (kind === '') return 'task'
  return translate ? (kinds.get(kind) ?? kind) : kind
}

const priorityWords: Readonly<Record<string, Priority>> = {
  critical: 'P0',
  urgent: 'P0',
  blocker: 'P0',
  highest: 'P0',
  high: 'P1',
  major: 'P1',
  important: 'P1',
  normal: 'P2',
  medium: 'P2',
  moderate: 'P2',
  low: 'P3',
  minor: 'P3',
  lowest: 'P4',
  trivial: 'P4',
}

/** The priority that a word or number means; null when none is known. */
export function priorityOf(value: unknown): Priority | null {
  const word = wordOf(value)?.toLowerCase() ?? ''
  const digit = /^p?-?([0-4])$/.exec(word)?.[1]
  if (digit !== undefined) return `P${digit}` as Priority
  return Object.hasOwn(priorityWords, word) ? priorityWords[word]! : null
}

/** What `resolution.md` says of a closed ticket whose tracker says nothing. */
export const resolutionOf = (reason: string | null, state: string, tracker: string): string => {
  const text = textOf(reason).trim()
  return text === '' ? `Imported as ${state} from ${tracker}.\n` : `${text}\n`
}

/** Is there something in it? */
export const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === '' ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0)

/** What of a record has no place in a ticket. Under `texts` a text has one, and a list or an object has not. */
export const leftOf = (record: Json, known: ReadonlySet<string>, texts: readonly string[] = []): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(record).filter(
      ([key, value]) => !isEmpty(value) && (!known.has(key) || (typeof value === 'object' && texts.includes(key))),
    ),
  )

/** Names each key of records that has no place in a ticket, once. */
export function dropKeys(left: readonly Json[], notes: Notes): void {
  const counts = new Map<string, number>()
  for (const record of left) for (const key of Object.keys(record)) counts.set(key, (counts.get(key) ?? 0) + 1)
  for (const [key, count] of counts)
    notes.drop(key, `of ${count === 1 ? '1 record' : `${count} records`}, has no place in a ticket (kept in the event \`imported\`)`)
}

/** Members of an object in the order of their names, at every depth: the same record has the same text, however it was written. */
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    isObject(part) ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1))) : part,
  ) ?? 'null'

/** SHA-256 in hexadecimal. By the machine's own code: an import hashes megabytes, and starts once. */
export function hashOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) {
    hash.update(`${part.length}:`)
    hash.update(part)
  }
  return hash.digest('hex')
}
