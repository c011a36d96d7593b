import { basename, dirname, join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import { shellWord } from '../../../core/shell-word.ts'
import type { Status, WorkflowState } from '../ticket.ts'
import {
  assigneeOf,
  canonical,
  dropKeys,
  hashOf,
  isEmpty,
  isObject,
  kindOf,
  labelsOf,
  leftOf,
  lineOf,
  Notes,
  objectsOf,
  priorityOf,
  resolutionOf,
  textOf,
  timeIn,
  timeOf,
  wordOf,
  wordsIn,
  type ImportedEvent,
  type ImportedTicket,
  type Json,
  type Source,
} from './imported.ts'
import { entriesOf, isFileAt, looksLikeRecord, nothingFound, parseJson, parseLines, requirePath, requireText } from './source.ts'

// beads: one issue a line in `.beads/issues.jsonl` (`beads.jsonl` once), with its dependencies and comments; `bd … --json` prints lists.

/** Reads issues of beads. Throws `usage` for a line that is no JSON, and when there are none. */
export function readBeads(path: string): Source {
  const notes = new Notes()
  const wanted = 'name the JSON lines (.beads/issues.jsonl), the .beads directory, or the repository with it'
  const file = requirePath(path) === 'file' ? path : fileIn(path, notes)
  if (file === null) throw nothingFound('beads', path, wanted)
  refuseTables(file)
  const records = recordsIn(requireText(file), file)
  const first = records[0]
  if (first === undefined) throw nothingFound('beads', path, wanted)
  const other = looksLikeRecord(first.value)
  if (other !== null && other !== 'beads') throw nothingFound('beads', file, wanted)
  const issues = newest(records, file, notes)
  if (issues.size === 0) throw nothingFound('beads', path, wanted)
  const left = [...issues.values()].map(({ value }) => leftOf(value, known, texts))
  dropKeys(left, notes)
  return { tickets: [...issues.values()].map(({ value, where }) => ticketOf(value, issues, where, notes)), gates: [], notes }
}

/** A backup of beads has each of its tables in a file: issues that wait for others would look as if they waited for nothing. */
function refuseTables(file: string): void {
  const beside = join(dirname(file), 'dependencies.jsonl')
  if (!isFileAt(beside)) return
  throw usage(
    `${file}: its dependencies, labels and comments are in files beside it (${beside}), as in a backup of beads; nothing was imported`,
    'let beads write all into one: bd export -o issues.jsonl; then: lh ticket import --from beads issues.jsonl',
  )
}

function fileIn(directory: string, notes: Notes): string | null {
  for (const inside of [join(directory, '.beads'), directory]) {
    const lines = entriesOf(inside).files.filter(name => name.endsWith('.jsonl') && !notIssues.has(name))
    const name = ['issues.jsonl', 'beads.jsonl'].find(usual => lines.includes(usual)) ?? (lines.length === 1 ? lines[0]! : null)
    if (name === null) continue
    for (const other of lines.filter(line => line !== name)) {
      const beside = join(inside, other)
      notes.drop(beside, `beads reads ${name}, which lies beside it; to take this one: lh ticket import --from beads ${shellWord(beside)}`)
    }
    return join(inside, name)
  }
  return null
}

/** Lines of a store that are no issues. */
const notIssues = new Set([
  'deletions.jsonl',
  'interactions.jsonl',
  'events.jsonl',
  'beads.left.jsonl',
  'beads.base.jsonl',
  'comments.jsonl',
])

interface Line {
  readonly value: Json
  readonly line: number
}

/** JSON lines, or what `bd list --json` prints. */
function recordsIn(text: string, file: string): readonly Line[] {
  const begin = text.trimStart()
  if (begin.startsWith('[')) {
    const whole = parseJson(text)
    if ('value' in whole) return objectsOf(whole.value).map((value, index) => ({ value, line: index + 1 }))
  } else if (/^\{\s*\n/.test(begin)) {
    const whole = parseJson(text)
    if ('value' in whole) return objectsOf([whole.value]).map(value => ({ value, line: 1 }))
  }
  return parseLines(text, file)
}

interface Issue {
  readonly value: Json
  readonly where: string
}

/** The issues by id; of one that is there twice, as a merge may leave it, the newer. */
function newest(records: readonly Line[], file: string, notes: Notes): ReadonlyMap<string, Issue> {
  const issues = new Map<string, Issue>()
  for (const { value, line } of records) {
    const where = `${file}:${line}`
    const type = wordOf(value['_type'])
    if (type !== null && type !== 'issue') {
      notes.drop(where, `a record of type ${type}`)
      continue
    }
    const id = wordOf(value['id'])
    if (id === null) {
      notes.warn(where, 'it has no id; left out')
      continue
    }
    const earlier = issues.get(id)
    if (earlier !== undefined) notes.warn(where, `${id} is there a second time (${basename(earlier.where)}); the newer is taken`)
    if (earlier === undefined || changed(value) >= changed(earlier.value)) issues.set(id, { value, where })
  }
  return issues
}

const changed = (value: Json): number => Date.parse(timeOf(value['updated_at']) ?? '1970-01-01T00:00:00Z')

const states: Readonly<Record<string, readonly [Status, WorkflowState]>> = {
  open: ['open', 'ready'],
  in_progress: ['open', 'inprogress'],
  hooked: ['open', 'inprogress'],
  blocked: ['open', 'ready'],
  deferred: ['pending', 'intake'],
  pinned: ['pending', 'intake'],
  closed: ['closed', 'done'],
  tombstone: ['closed', 'done'],
}

/** What a record may be without being work: beads itself never hands these out. */
const noWork = ['pinned', 'is_template', 'ephemeral', 'wisp']

/** Kinds of issues that are no work either, but signs of what agents wait for, say and are. */
const noWorkTypes = new Set(['gate', 'message', 'molecule', 'merge-request', 'agent', 'role', 'rig'])

/** Why an open issue is not to be handed out here, either; null when it is work. */
function noWorkIn(record: Json): string | null {
  const type = wordOf(record['issue_type'])
  return noWork.find(key => record[key] === true) ?? (type !== null && noWorkTypes.has(type) ? type : null)
}

/** Dependencies that hold an issue back; the others only relate. */
const blocking = new Set(['blocks', 'conditional-blocks', 'waits-for'])

const texts = [
  'title',
  'description',
  'design',
  'acceptance_criteria',
  'notes',
  'status',
  'priority',
  'issue_type',
  'assignee',
  'created_by',
  'closed_at',
  'close_reason',
]

const known = new Set([
  ...texts,
  '_type',
  'id',
  'created_at',
  'updated_at',
  'labels',
  'dependencies',
  'comments',
  // What a listing counts.
  'dependency_count',
  'dependent_count',
  'comment_count',
])

interface Dependency {
  readonly on: string
  readonly type: string
}

function ticketOf(record: Json, issues: ReadonlyMap<string, Issue>, where: string, notes: Notes): ImportedTicket {
  const id = wordOf(record['id'])!
  const dependencies = dependenciesOf(id, record, where, notes)
  const dependsOn = [...new Set(dependencies.filter(({ type }) => blocking.has(type)).map(({ on }) => on))]
  const relations = dependencies.filter(({ type }) => !blocking.has(type))
  for (const { on, type } of relations) notes.drop(id, `${type} ${on} (it does not block; kept in the event \`imported\`)`)
  const said = wordOf(record['status'])
  if (said === null) notes.warn(where, `${id} has no status; open is taken`)
  const state = said ?? 'open'
  // One that a team made up: whether it may be worked on, somebody here has to say.
  const [plain, workflowState] = Object.hasOwn(states, state) ? states[state]! : (['open', 'intake'] as const)
  const aside = plain === 'open' ? noWorkIn(record) : null
  const status = aside === null ? plain : 'pending'
  if (!Object.hasOwn(states, state)) notes.warn(where, `${id}: its status ${JSON.stringify(state)} is not known; intake is taken`)
  if (state === 'blocked' && !dependsOn.some(on => isOpen(issues.get(on))))
    notes.warn(where, `${id} is blocked, but nothing that it depends on is open; it becomes ready`)
  notes.state(aside === null ? state : `${state} (${aside})`, status, workflowState)
  const updatedAt = timeIn(record, 'updated_at', `${where}: ${id}`, notes)
  const createdAt = timeIn(record, 'created_at', `${where}: ${id}`, notes) ?? updatedAt
  if (createdAt === null) notes.warn(where, `${id}: nothing says when it was made; 1970 is taken`)
  const made = createdAt ?? '1970-01-01T00:00:00Z'
  const title = lineOf(record['title'])
  if (title === '') notes.warn(where, `${id} has no title; its id is taken`)
  return {
    sourceId: id,
    legacyTicket: lineOf(id),
    ownId: null,
    slug: null,
    title: title || lineOf(id),
    body: bodyOf(record),
    status,
    workflowState,
    kind: kindOf(wordOf(record['issue_type'])),
    priority: priorityIn(record, id, where, notes),
    labels: labelsOf(wordsIn(record, 'labels', `${where}: ${id}`, notes)),
    assignee: assigneeOf(wordOf(record['assignee']), 'beads'),
    createdAt: made,
    updatedAt: updatedAt ?? made,
    queuedBy: null,
    queuedAt: null,
    dependsOn,
    gates: [],
    events: eventsOf(record, made),
    gateResults: new Map(),
    resolution: status === 'closed' ? resolutionOf(reasonOf(record, state), state, 'beads') : null,
    files: [],
    extra: {},
    legacy: { ...leftOf(record, known, texts), ...(relations.length === 0 ? {} : { relations }) },
    sourceHash: hashOf(canonical(record)),
  }
}

const isOpen = (issue: Issue | undefined): boolean =>
  issue !== undefined && !['closed', 'tombstone'].includes(wordOf(issue.value['status']) ?? '')

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

function dependenciesOf(id: string, record: Json, where: string, notes: Notes): readonly Dependency[] {
  const said = record['dependencies']
  const named = listOf(said).map(entry => {
    // An export may name nothing but the other issue.
    const dependency = isObject(entry) ? entry : { depends_on_id: entry }
    return { dependency, on: wordOf(dependency['depends_on_id']) ?? wordOf(dependency['id']) }
  })
  const why = Array.isArray(said)
    ? named.some(({ on }) => on === null)
      ? 'hold something that names no issue'
      : null
    : isEmpty(said)
      ? null
      : 'are no list'
  if (why !== null) notes.warn(where, `${id}: its dependencies ${why}; left out`)
  return named.flatMap(({ dependency, on }) =>
    on === null || (wordOf(dependency['issue_id']) ?? id) !== id
      ? []
      : [{ on, type: wordOf(dependency['type']) ?? wordOf(dependency['dependency_type']) ?? 'blocks' }],
  )
}

function priorityIn(record: Json, id: string, where: string, notes: Notes): ImportedTicket['priority'] {
  const said = record['priority']
  const priority = priorityOf(said)
  notes.priority(wordOf(said) ?? '(none)', priority ?? 'P2')
  if (priority === null) notes.warn(where, `${id}: its priority ${JSON.stringify(said ?? null)} is not known; P2 is taken`)
  return priority ?? 'P2'
}

/** The description, and the other texts under headings. */
function bodyOf(record: Json): string {
  const sections = [
    ['', 'description'],
    ['## Design\n\n', 'design'],
    ['## Acceptance criteria\n\n', 'acceptance_criteria'],
    ['## Notes\n\n', 'notes'],
  ].map(([heading, key]) => [heading!, textOf(record[key!]).replace(/^\n+/, '').trimEnd()] as const)
  return sections
    .filter(([, text]) => text !== '')
    .map(([heading, text]) => `${heading}${text}\n`)
    .join('\n')
}

function reasonOf(record: Json, state: string): string | null {
  if (state !== 'tombstone') return wordOf(record['close_reason'])
  const reason = wordOf(record['delete_reason'])
  return `Deleted in beads${reason === null ? '' : `: ${reason}`}.`
}

function eventsOf(record: Json, createdAt: string): readonly ImportedEvent[] {
  const created: ImportedEvent = { key: 'created', type: 'created', at: createdAt, author: wordOf(record['created_by']), fields: {} }
  const comments = objectsOf(record['comments']).map((comment, index): ImportedEvent => {
    const legacy = leftOf(comment, new Set(['id', 'issue_id', 'author', 'text', 'created_at']))
    return {
      key: `comment:${wordOf(comment['id']) ?? index}`,
      type: 'comment',
      at: timeOf(comment['created_at']),
      author: wordOf(comment['author']),
      fields: { message: textOf(comment['text']), ...(isEmpty(legacy) ? {} : { legacy }) },
    }
  })
  const closedAt = timeOf(record['closed_at'])
  const reason = textOf(record['close_reason']).trim()
  const closed: readonly ImportedEvent[] =
    closedAt === null ? [] : [{ key: 'closed', type: 'closed', at: closedAt, author: null, fields: reason === '' ? {} : { reason } }]
  return [created, ...inTime([...comments, ...closed])]
}

/** Comments may follow a closing. Stable, and what has no time stays behind the one before it. */
function inTime(events: readonly ImportedEvent[]): readonly ImportedEvent[] {
  let last = 0
  return events
    .map(event => ({ event, ms: (last = event.at === null ? last : Date.parse(event.at)) }))
    .toSorted((a, b) => a.ms - b.ms)
    .map(({ event }) => event)
}
