import { join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import type { Priority } from '../ticket.ts'
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
  timeIn as readTime,
  wordOf,
  type ImportedEvent,
  type ImportedTicket,
  type Json,
  type Source,
} from './imported.ts'
import { entriesOf, looksLikeRecord, nothingFound, parseJson, requirePath, requireText } from './source.ts'

// GitHub: what `gh issue list --json …` prints, a list with any of its fields, or one issue from `gh issue view --json …`. What the API
// itself answers (`gh api`) is understood too: its names are in snake_case.

/** Reads issues of GitHub. Throws `usage` for what is no JSON, and when there are none. */
export function readGithub(path: string): Source {
  const notes = new Notes()
  const wanted = 'name a file with what this prints: gh issue list --state all --json number,title,body,state,labels,comments,createdAt,url'
  const files = requirePath(path) === 'file' ? [path] : filesIn(path)
  const issues: Issue[] = []
  const seen = new Map<number, Set<string | null>>()
  for (const file of files) {
    const records = recordsIn(file, wanted)
    for (const [index, record] of records.entries()) add(record, `${file}: issue ${index + 1}`, issues, seen, notes)
  }
  if (issues.length === 0)
    throw notes.warnings[0] === undefined
      ? nothingFound('github', path, wanted)
      : usage(`${notes.warnings[0]}; nothing was imported`, wanted)
  dropKeys(
    issues.map(({ record }) => leftIn(record)),
    notes,
  )
  tellCounted(issues, notes)
  const named = new Set(issues.map(({ repository }) => repository).filter(repository => repository !== null))
  const all = named.size === 1 ? [...named][0]! : null
  const tickets = issues.map(({ number, record, repository }) => ticketOf(number, record, repository ?? all, notes))
  return { tickets, gates: [], notes }
}

const filesIn = (directory: string): readonly string[] =>
  entriesOf(directory)
    .files.filter(name => name.endsWith('.json'))
    .map(name => join(directory, name))
    .filter(file => {
      const parsed = parseJson(requireText(file))
      const first = 'value' in parsed ? (Array.isArray(parsed.value) ? (parsed.value as unknown[])[0] : parsed.value) : null
      return isObject(first) && looksLikeRecord(first) === 'github'
    })

function recordsIn(file: string, wanted: string): readonly unknown[] {
  const parsed = parseJson(requireText(file))
  if ('why' in parsed) {
    const other = nothingFound('github', file, wanted)
    throw other.message.includes('looks like')
      ? other
      : usage(`${file}:${parsed.line}: not JSON: ${parsed.why}; nothing was imported`, wanted)
  }
  const { value } = parsed
  const records = Array.isArray(value)
    ? (value as readonly unknown[])
    : isObject(value) && Array.isArray(value['issues'])
      ? (value['issues'] as unknown[])
      : [value]
  const first = records.find(isObject)
  const other = first === undefined ? null : looksLikeRecord(first)
  if (other !== null && other !== 'github') throw nothingFound('github', file, wanted)
  return records
}

interface Issue {
  readonly number: number
  readonly record: Json
  /** `owner/name`, when it tells. */
  readonly repository: string | null
}

/** `seen` has the repositories in which there is each number. */
function add(record: unknown, where: string, issues: Issue[], seen: Map<number, Set<string | null>>, notes: Notes): void {
  const number = isObject(record) ? record['number'] : null
  if (!isObject(record) || typeof number !== 'number' || !Number.isSafeInteger(number)) notes.warn(where, 'it has no number; left out')
  else if (isPullRequest(record)) notes.drop(`#${number}`, 'a pull request, no issue')
  else {
    const repository = repositoryOf(record)
    const others = seen.get(number) ?? new Set()
    if (others.has(repository) || others.has(null) || (repository === null && others.size > 0)) {
      notes.warn(where, `#${number} is there twice; the first is taken`)
      return
    }
    seen.set(number, others.add(repository))
    issues.push({ number, record, repository })
  }
}

const urlOf = (record: Json): string | null => wordOf(record['html_url']) ?? wordOf(record['url'])

/** The API gives both in one list; who picks fields from it gets `pull_request: null` for an issue. */
const isPullRequest = (record: Json): boolean =>
  (record['pull_request'] ?? null) !== null ||
  record['isPullRequest'] === true ||
  /^https?:\/\/[^/]+\/(?:repos\/)?[^/]+\/[^/]+\/pulls?\/\d/.test(urlOf(record) ?? '')

/** The API says how many comments there are, and not what they are. */
function tellCounted(issues: readonly Issue[], notes: Notes): void {
  const counts = issues.flatMap(({ record: { comments } }) => (typeof comments === 'number' && comments > 0 ? [comments] : []))
  if (counts.length === 0) return
  const [all, of] = [counts.reduce((sum, count) => sum + count, 0), counts.length === 1 ? '1 issue' : `${counts.length} issues`]
  notes.warnings.push(
    `${all === 1 ? '1 comment' : `${all} comments`} of ${of} ${all === 1 ? 'is' : 'are'} not in this export, which only counts them; ` +
      'gh issue list has them: add comments to its --json',
  )
}

function repositoryOf(record: Json): string | null {
  const url = urlOf(record)
  const found = /^https?:\/\/[^/]+\/(?:repos\/)?([^/]+\/[^/]+)\/issues\//.exec(url ?? '')?.[1]
  return found?.toLowerCase() ?? null
}

const texts = ['title', 'body', 'state', 'stateReason', 'state_reason']

const lists = ['labels', 'assignees', 'comments']

const known = new Set([
  ...texts,
  ...lists,
  'number',
  'assignee',
  'author',
  'user',
  'createdAt',
  'created_at',
  'updatedAt',
  'updated_at',
  'closedAt',
  'closed_at',
  'milestone',
  'url',
  'html_url',
  'closed',
])

/** The members of a list; GraphQL has them under `nodes`. Null for what is no list. */
function listOf(value: unknown): readonly unknown[] | null {
  const list = isObject(value) ? value['nodes'] : value
  return Array.isArray(list) ? (list as readonly unknown[]) : null
}

/** What has no place in a ticket, and what stands in the place of a list and is none. */
const leftIn = (record: Json): Readonly<Record<string, unknown>> => ({
  ...leftOf(record, known, texts),
  ...Object.fromEntries(
    lists
      .filter(key => !isEmpty(record[key]) && typeof record[key] !== 'number' && listOf(record[key]) === null)
      .map(key => [key, record[key]]),
  ),
})

const loginOf = (value: unknown): string | null => (isObject(value) ? (wordOf(value['login']) ?? wordOf(value['name'])) : wordOf(value))

const timeIn = (record: Json, name: string, apiName: string, where: string, notes: Notes): string | null =>
  readTime(record, isEmpty(record[name]) ? apiName : name, where, notes)

function ticketOf(number: number, record: Json, repository: string | null, notes: Notes): ImportedTicket {
  const name = `#${number}`
  const said = (wordOf(record['state']) ?? (record['closed'] === true ? 'closed' : 'open')).toLowerCase()
  if (said !== 'open' && said !== 'closed') notes.warn(name, `its state ${JSON.stringify(said)} is not known; open is taken`)
  const closed = said === 'closed'
  const reason = wordOf(record['stateReason'] ?? record['state_reason'])?.toLowerCase() ?? null
  notes.state(closed && reason !== null ? `closed (${reason})` : said, closed ? 'closed' : 'open', closed ? 'done' : 'intake')
  const labels = labelsOf(
    (listOf(record['labels']) ?? []).map(label => (isObject(label) ? (wordOf(label['name']) ?? '') : (wordOf(label) ?? ''))),
  )
  const assignees = assigneesOf(record)
  if (assignees.length > 1)
    notes.drop(name, `assigned to ${assignees.join(', ')}; the first is taken (the others are kept in the event \`imported\`)`)
  const milestone = isObject(record['milestone']) ? wordOf(record['milestone']['title']) : wordOf(record['milestone'])
  if (milestone !== null) notes.drop(name, `milestone ${JSON.stringify(milestone)} (kept in the event \`imported\`)`)
  const madeAt = timeIn(record, 'createdAt', 'created_at', name, notes)
  const updatedAt = timeIn(record, 'updatedAt', 'updated_at', name, notes)
  const createdAt = madeAt ?? updatedAt
  if (createdAt === null) notes.warn(name, 'nothing says when it was made; 1970 is taken')
  const made = createdAt ?? '1970-01-01T00:00:00Z'
  const url = urlOf(record)
  const title = lineOf(record['title'])
  if (title === '') notes.warn(name, 'it has no title; its number is taken')
  const body = textOf(record['body'])
  return {
    sourceId: repository === null ? name : `${repository}${name}`,
    legacyTicket: name,
    ownId: null,
    slug: null,
    title: title || name,
    body: body === '' || body.endsWith('\n') ? body : `${body}\n`,
    status: closed ? 'closed' : 'open',
    workflowState: closed ? 'done' : 'intake',
    kind: kindIn(labels),
    priority: priorityIn(labels, name, notes),
    labels,
    assignee: assigneeOf(assignees[0] ?? null, 'github'),
    createdAt: made,
    madeAt,
    updatedAt: updatedAt ?? made,
    queuedBy: null,
    queuedAt: null,
    dependsOn: [],
    gates: [],
    events: eventsOf(record, made, reason, name, notes),
    gateResults: new Map(),
    resolution: closed
      ? resolutionOf(reason === null ? null : `Closed on GitHub as ${reason.replaceAll('_', ' ')}.`, 'closed', 'GitHub')
      : null,
    files: [],
    extra: {},
    legacy: {
      ...(url === null ? {} : { url }),
      ...(milestone === null ? {} : { milestone }),
      ...(assignees.length > 1 ? { assignees } : {}),
      ...leftIn(record),
    },
    sourceHash: hashOf(canonical(record)),
  }
}

const assigneesOf = (record: Json): readonly string[] => {
  const list = listOf(record['assignees'])?.map(loginOf) ?? [loginOf(record['assignee'])]
  return list.filter(login => login !== null)
}

const plainKinds = new Set(['bug', 'enhancement', 'feature', 'epic', 'task', 'chore', 'story', 'documentation'])

/** `bug`, `type: bug`, `kind/feature`. */
function kindIn(labels: readonly string[]): string {
  for (const label of labels) {
    const named = /^(?:type|kind)\s*[:/-]\s*(.+)$/i.exec(label)?.[1]
    if (named !== undefined) return kindOf(named, true)
  }
  const plain = labels.find(label => plainKinds.has(label.toLowerCase()))
  return kindOf(plain ?? null, true)
}

/** `P1`, `priority: high`, `priority/critical`, `prio-2`. */
function priorityIn(labels: readonly string[], name: string, notes: Notes): Priority {
  const said = labels.flatMap(label => {
    const word = /^(?:priority|prio)\s*[:/_ -]\s*(.+)$/i.exec(label)?.[1] ?? /^(p[0-4])(?:$|\s*[:/ -])/i.exec(label)?.[1]
    return word === undefined ? [] : [{ label, priority: priorityOf(word) }]
  })
  for (const { label, priority } of said)
    if (priority === null) notes.warn(name, `its label ${JSON.stringify(label)} names no priority that is known`)
  const found = said.find(({ priority }) => priority !== null)
  notes.priority(found?.label ?? '(none)', found?.priority ?? 'P2')
  return found?.priority ?? 'P2'
}

function eventsOf(record: Json, createdAt: string, reason: string | null, name: string, notes: Notes): readonly ImportedEvent[] {
  const created: ImportedEvent = {
    key: 'created',
    type: 'created',
    at: createdAt,
    author: loginOf(record['author'] ?? record['user']),
    fields: {},
  }
  const comments = objectsOf(listOf(record['comments'])).map((comment, index): ImportedEvent => {
    const legacy = leftOf(
      comment,
      new Set([
        'id',
        'author',
        'user',
        'body',
        'createdAt',
        'created_at',
        'viewerDidAuthor',
        'includesCreatedEdit',
        'isMinimized',
        'minimizedReason',
        'authorAssociation',
        'reactionGroups',
      ]),
    )
    return {
      key: `comment:${wordOf(comment['id']) ?? index}`,
      type: 'comment',
      at: timeIn(comment, 'createdAt', 'created_at', name, notes),
      author: loginOf(comment['author'] ?? comment['user']),
      fields: { message: textOf(comment['body']), ...(isEmpty(legacy) ? {} : { legacy }) },
    }
  })
  const closedAt = timeIn(record, 'closedAt', 'closed_at', name, notes)
  const closed: readonly ImportedEvent[] =
    closedAt === null ? [] : [{ key: 'closed', type: 'closed', at: closedAt, author: null, fields: reason === null ? {} : { reason } }]
  return [created, ...[...comments, ...closed].toSorted((a, b) => millis(a, createdAt) - millis(b, createdAt))]
}

const millis = ({ at }: ImportedEvent, instead: string): number => Date.parse(at ?? instead)
