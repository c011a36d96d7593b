import type * as FrontMatter from '../front-matter.ts'
import { findFrontMatter, isDate, scanTicket } from '../scan.ts'
import type { Ticket } from '../ticket.ts'
import { isFinished } from '../ticket.ts'
import type { Code, Diagnosis } from './finding.ts'
import { error, warning } from './finding.ts'
import { linesOfKey, linesWhere, valueOfKey } from './lines.ts'

// What one `ticket.md` has wrong with it by itself.

/** What needs the YAML library: asked for when the first file needs it. */
export type Yaml = Pick<typeof FrontMatter, 'parseTicket' | 'editTicket'>

/** What a file says, and the faults of it. */
export interface Read {
  /** The best guess where something is wrong; the id is the directory's name. */
  readonly ticket: Ticket
  /** The id as it is written; null when there is none. */
  readonly writtenId: string | null
  /** Something is so wrong that the ticket is mostly guessed: what follows from it is not said. */
  readonly guessed: boolean
  readonly faults: readonly Diagnosis[]
}

/** Reads the front matter of one file, in UTF-8. Ordinary ones never load YAML, and their bodies are not decoded. */
export async function readFrontMatter(bytes: Buffer, directoryName: string, file: string, yaml: () => Promise<Yaml>): Promise<Read> {
  const scanned = scanTicket(bytes)
  if (scanned !== null && scanned.id === directoryName && !isUnusual(bytes, scanned))
    return { ticket: scanned, writtenId: scanned.id, guessed: false, faults: [] }
  const text = bytes.toString('utf8')
  const faults: Diagnosis[] = []
  const { parseTicket, editTicket } = await yaml()
  const { ticket, problems } = parseTicket(text, directoryName)
  const unmerged = conflictIn(text)
  if (unmerged !== null) faults.push(conflict(file, unmerged))
  const said = problems.map(problem => ({ ...problem, name: codeOf(problem.code, problem.key, problem.message) }))
  // Where the text is no front matter at all, what is missing in it is a consequence; the first cause is enough.
  const cause = said.find(({ name }) => name === 'no-front-matter' || name === 'bad-yaml')
  const guessed = cause !== undefined || unmerged?.inside === true
  for (const problem of unmerged?.inside === true ? [] : cause === undefined ? said : [cause]) {
    const { name, key, message } = problem
    faults.push(error(name, { file, line: lineOf(problem, text) }, sentence(name, message), advice(name, key, ticket)))
  }
  if (!guessed) {
    faults.push(...badTimes(text, ticket, file, faults))
    if (linesOfKey(text, 'workflow_state').length === 0) faults.push(stateMissing(file, ticket, editTicket))
  }
  const writtenId = guessed
    ? null
    : problems.some(({ code }) => code === 'id_mismatch')
      ? valueOfKey(text, 'id')
      : faults.some(({ code }) => code === 'missing-id')
        ? null
        : directoryName
  return { ticket, writtenId, guessed, faults }
}

// As bytes: a text would be turned into bytes for each ticket anew.
const stateLine = Buffer.from('\nworkflow_state:')
const fenceLine = Buffer.from('\n---')
const conflictLine = Buffer.from('\n<<<<<<< ')

/** What the scanner accepts and a doctor does not: it reads a ticket without a state, does no arithmetic with dates, and leaves the body alone. */
function isUnusual(bytes: Buffer, { createdAt, updatedAt, queuedAt }: Ticket): boolean {
  const state = bytes.indexOf(stateLine)
  return (
    state < 0 ||
    state > bytes.indexOf(fenceLine, 3) ||
    !isDate(createdAt) ||
    (updatedAt !== createdAt && !isDate(updatedAt)) ||
    (queuedAt !== null && queuedAt !== createdAt && !isDate(queuedAt)) ||
    bytes.includes(conflictLine)
  )
}

const timeKeys = { created_at: 'createdAt', updated_at: 'updatedAt', queued_at: 'queuedAt' } as const

function* badTimes(text: string, ticket: Ticket, file: string, known: readonly Diagnosis[]): Generator<Diagnosis> {
  for (const [key, field] of Object.entries(timeKeys)) {
    const value = ticket[field]
    const line = linesOfKey(text, key)[0]
    if (value === null || line === undefined || isDate(value) || known.some(fault => fault.line === line)) continue
    yield error('bad-time', { file, line }, `${key}: there is no such time as ${value}`, `write it like 2026-06-07T22:02:25Z`)
  }
}

const stateMissing = (file: string, ticket: Ticket, editTicket: Yaml['editTicket']): Diagnosis =>
  error(
    'missing-field',
    { file, line: 1 },
    `workflow_state is missing; it is read as ${ticket.workflowState}`,
    `lh ticket doctor --fix writes it: workflow_state: ${ticket.workflowState}`,
    { kind: 'edit', edit: text => editTicket(text, { workflowState: ticket.workflowState }) },
  )

interface Conflict {
  readonly line: number
  /** It is in the front matter. */
  readonly inside: boolean
}

/** Where a merge was left unfinished: all three signs, each on a line of its own, in their order. */
function conflictIn(text: string): Conflict | null {
  // One search first: the other patterns cost more than reading the file.
  if (!text.includes('\n<<<<<<< ')) return null
  const found = /^<<<<<<< .*$[^]*?^=======\r?$[^]*?^>>>>>>> /m.exec(text)
  if (found === null) return null
  const place = findFrontMatter(text)
  return { line: text.slice(0, found.index).split('\n').length, inside: place === null || place === 'unclosed' || found.index < place.end }
}

const conflict = (file: string, { line, inside }: Conflict): Diagnosis =>
  (inside ? error : warning)(
    'conflict-markers',
    { file, line },
    `a merge was left unfinished ${inside ? 'in the front matter' : 'in the body'}`,
    `choose between the two sides in ${file}, and remove the markers`,
  )

function codeOf(problem: string, key: string | null, message: string): Code {
  switch (problem) {
    case 'no_front_matter':
    case 'unclosed_front_matter':
      return 'no-front-matter'
    case 'duplicate_key':
      return 'duplicate-key'
    case 'missing_field':
      return key === 'id' ? 'missing-id' : 'missing-field'
    case 'id_mismatch':
      return 'id-mismatch'
    case 'unknown_value':
      return key === 'status' ? 'unknown-status' : key === 'priority' ? 'unknown-priority' : 'unknown-state'
    case 'bad_value':
      return message.includes(' is a time like ') ? 'bad-time' : 'wrong-type'
    default:
      return 'bad-yaml'
  }
}

const unclosed = /Missing closing (["'])|end with a ([\]}])/

/** Of what does not end, the line where it begins: the error itself is only noticed behind it. */
function lineOf(
  { name, message, line }: { readonly name: Code; readonly message: string; readonly line: number | null },
  text: string,
): number {
  const [, quote, bracket] = (name === 'bad-yaml' ? unclosed.exec(message) : null) ?? []
  const sign = quote ?? (bracket === ']' ? '[' : '{')
  if (quote === undefined && bracket === undefined) return line ?? 1
  const [opening] = linesWhere(
    text,
    content => content.split(sign).length % 2 === 0 && (bracket === undefined || !content.includes(bracket)),
  )
  return opening ?? line ?? 1
}

function sentence(code: Code, message: string): string {
  return code === 'bad-yaml' ? `the front matter is no YAML: ${message.split('\n')[0]}` : message
}

function advice(code: Code, key: string | null, ticket: Ticket): string {
  if (code === 'missing-id') return `add the line: id: ${ticket.id}`
  if (code === 'missing-field') return `add a line like: ${key}: ${example(key, ticket)}`
  if (code === 'id-mismatch') return `an id never changes: write id: ${ticket.id}, or move the directory back`
  if (code === 'wrong-type') return isList(key) ? `write it like: ${key}: [a, b]` : `write one value, or null`
  return advices[code] ?? 'mend the line by hand'
}

const isList = (key: string | null): boolean => key === 'labels' || key === 'gates' || key === 'depends_on'

const advices: Partial<Readonly<Record<Code, string>>> = {
  'no-front-matter': 'begin the file with a line ---, then `key: value` lines, then a line ---',
  'duplicate-key': 'keep one of the lines',
  'bad-time': 'write it like 2026-06-07T22:02:25Z',
  'unknown-state': 'write one of these words',
  'unknown-status': 'write one of these words',
  'unknown-priority': 'write one of these words',
}

/** What could stand there: the value that is assumed without it. */
function example(key: string | null, ticket: Ticket): string {
  if (key === 'status') return isFinished(ticket) ? 'closed' : 'open'
  if (key === 'priority') return ticket.priority
  if (key === 'created_at') return ticket.createdAt
  if (key === 'updated_at') return ticket.updatedAt
  if (key === 'slug') return ticket.slug
  return key === 'kind' ? ticket.kind : '…'
}
