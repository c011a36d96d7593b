import { basename, dirname, join } from 'node:path'
import { parseDocument } from 'yaml'
import { usage } from '../../../core/fault.ts'
import { isExecutable, readRegular } from '../files.ts'
import { frontMatterKeys } from '../scan.ts'
import { idTime, slugInId } from '../identify.ts'
import { idPattern, statuses, workflowStates, type Status, type WorkflowState } from '../ticket.ts'
import {
  assigneeOf,
  dropKeys,
  hashOf,
  isEmpty,
  isObject,
  kindOf,
  labelsOf,
  lineOf,
  Notes,
  objectsOf,
  priorityOf,
  resolutionOf,
  textOf,
  timeIn,
  timeOf,
  wordOf,
  wordsOf,
  type ImportedEvent,
  type ImportedFile,
  type ImportedTicket,
  type Source,
} from './imported.ts'
import { entriesOf, isFileAt, nothingFound, parseJson, placeOf, readText, requirePath } from './source.ts'

// yoi: a directory for each ticket, with item.md (front matter and body), thread.md (events), resolution.md and artifacts/. Older ones
// lie in open/, closed/ and pending/; newer ones have short ids, `state` for both status and workflow state, and relations beside.

/** Larger files are left where they are. Bytes. */
const maxFileBytes = 10 * 1024 * 1024

/** How deep below the given directory tickets may be: `.yoi/tickets/open/<id>`. */
const maxDepth = 4

/** What Git needs, and nobody else. */
const notKept: ReadonlySet<string> = new Set(['.gitkeep', '.git'])

/** Directories without tickets, and perhaps large. */
const notTickets = new Set(['artifacts', 'objectives', 'node_modules', 'target', '.git', '.leasehold'])

/** Reads tickets of yoi. Throws `usage` when there are none. */
export function readYoi(path: string): Source {
  const notes = new Notes()
  const directories = requirePath(path) === 'file' ? (basename(path) === 'item.md' ? [dirname(path)] : []) : ticketDirectories(path, notes)
  if (directories.length === 0) throw nothingFound('yoi', path, 'name a directory with tickets (each with an item.md), or one above it')
  const raw = directories.flatMap(directory => {
    const ticket = readDirectory(directory, notes)
    if (ticket === null) notes.broken.set(basename(directory), join(directory, 'item.md'))
    return ticket === null ? [] : [ticket]
  })
  if (raw.length === 0) throw usage(`${path}: none of its ${directories.length} tickets can be read`, notes.warnings[0])
  const once = withoutDoubles(raw, notes)
  const left = once.map(({ ticket }) => ticket.legacy)
  dropKeys(left, notes)
  return { tickets: withRelations(once, notes), gates: [], notes }
}

function ticketDirectories(path: string, notes: Notes): readonly string[] {
  if (isFileAt(join(path, 'item.md'))) return [path]
  for (const inside of ['.yoi/tickets', 'tickets', 'work-items', '']) {
    const found = search(join(path, inside), maxDepth, notes)
    if (found.length > 0) return found
  }
  return []
}

function search(directory: string, depth: number, notes: Notes): readonly string[] {
  const { directories, others } = entriesOf(directory)
  const found = directories.flatMap(name => {
    const inside = join(directory, name)
    if (isFileAt(join(inside, 'item.md'))) return [inside]
    const why = whyNoTicket(inside)
    if (why !== null) {
      notes.warn(inside, `${why}; left out`)
      notes.broken.set(name, inside)
      return []
    }
    return depth > 1 && !notTickets.has(name) ? search(inside, depth - 1, notes) : []
  })
  const isAmongTickets = found.some(ticket => dirname(ticket) === directory)
  for (const name of others)
    if (isAmongTickets || statuses.some(status => status === name))
      notes.warn(join(directory, name), 'not a directory (a symbolic link is not followed); left out')
  return found
}

/** Why a directory that looks like a ticket without an item is left out; null when it is something else. */
function whyNoTicket(directory: string): string | null {
  const { files, directories, others } = entriesOf(directory)
  if (others.includes('item.md')) return 'its item.md is not a regular file (a symbolic link is not followed)'
  if (directories.includes('item.md')) return 'its item.md is a directory'
  const part = ['thread.md', 'resolution.md'].find(name => files.includes(name))
  return part === undefined ? null : `it has a ${part} and no item.md`
}

/** A ticket, and what other files say that it has to do with others. */
interface Raw {
  readonly ticket: ImportedTicket
  readonly directory: string
  readonly relations: readonly Relation[]
}

interface Relation {
  readonly kind: string
  readonly target: string
}

const known = new Set([...frontMatterKeys, 'state'])

function readDirectory(directory: string, notes: Notes): Raw | null {
  const file = join(directory, 'item.md')
  const read = readText(file, maxFileBytes)
  if ('why' in read) {
    notes.warn(placeOf(file, read), `${read.why}; this ticket is left out`)
    return null
  }
  const item = splitItem(textOf(read.text))
  if (item === null) {
    notes.warn(file, 'it has no front matter between `---` lines; this ticket is left out')
    return null
  }
  const thread = optionalText(join(directory, 'thread.md'), notes)
  const resolution = optionalText(join(directory, 'resolution.md'), notes)
  // As a whole or not at all: what is no UTF-8 would come over as other signs.
  if (thread === undefined || resolution === undefined) return null
  const merge = [
    { path: file, line: mergeLine(textOf(read.text)) },
    { path: join(directory, 'thread.md'), line: mergeLine(thread ?? '') },
  ].find(({ line }) => line !== null)
  if (merge !== undefined) {
    notes.warn(`${merge.path}:${merge.line}`, 'an unresolved merge; this ticket is left out')
    return null
  }
  const front = frontMatter(item.head, file, notes)
  const said = (key: string): string | null => nullable(front[key])
  // It would look as if it waited for nothing.
  if (isMisfit('depends_on', front['depends_on'])) {
    notes.warn(file, 'its depends_on is no list of ids; this ticket is left out')
    return null
  }
  const real = artifacts(directory, notes)
  const relations = relationsIn(real, directory, notes)
  if (relations === null) return null
  const files = [...real, ...besides(directory, real, notes)]
  const sourceId = said('id') ?? basename(directory)
  if (sourceId !== basename(directory))
    notes.warn(file, `its id is ${sourceId}, but its directory is called ${basename(directory)}; the id counts`)
  const { status, workflowState, from } = stateOf(front, directory, notes)
  const priority = priorityIn(said('priority'), file, notes)
  const events = thread === null ? [] : parseThread(thread, join(directory, 'thread.md'), notes)
  const ownId = idPattern.test(sourceId) && idTime(sourceId) !== null && slugInId(sourceId) !== sourceId ? sourceId : null
  const time = (key: string): string | null => timeIn({ [key]: said(key) }, key, file, notes)
  const createdAt = time('created_at') ?? idTime(sourceId) ?? events[0]?.at ?? epoch(file, notes)
  const slug = said('slug')
  const legacy = said('legacy_ticket')
  const [extra, odd] = othersIn(front)
  const gates = typeof front['gates'] === 'object' ? front['gates'] : listIn(front['gates'])
  return {
    directory,
    relations,
    ticket: {
      sourceId,
      legacyTicket: ownId === null ? sourceId : legacy,
      ownId,
      slug: slug !== null && /^[a-z0-9][a-z0-9._-]{0,99}$/.test(slug) ? slug : null,
      title: lineOf(said('title')) || slugInId(sourceId),
      body: item.body,
      status,
      workflowState,
      kind: kindOf(said('kind')),
      priority,
      labels: labelsOf(listIn(front['labels'])),
      assignee: assigneeOf(said('assignee'), 'yoi'),
      createdAt,
      updatedAt: time('updated_at') ?? createdAt,
      queuedBy: assigneeOf(said('queued_by'), 'yoi'),
      queuedAt: time('queued_at'),
      dependsOn: listIn(front['depends_on']),
      gates: [],
      events,
      gateResults: new Map(),
      resolution: status === 'closed' ? (resolution ?? resolutionOf(null, from === '(none)' ? status : from, 'yoi')) : resolution,
      files,
      extra,
      legacy: {
        ...odd,
        ...(ownId === null && legacy !== null ? { legacy_ticket: legacy } : {}),
        ...(isEmpty(gates) ? {} : { gates }),
      },
      sourceHash: hashOf(
        read.text,
        thread ?? '',
        resolution ?? '',
        ...files.flatMap(file => [file.path, file.content, ...(file.isExecutable === true ? ['executable'] : [])]),
      ),
    },
  }
}

/** Where both sides of a merge stand beside each other; null when they do not. In a fence they are an example. */
function mergeLine(text: string): number | null {
  const lines = text.split('\n')
  let begin = 0
  let sides = 0
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!
    if (/^<{7}(?: |$)/.test(line)) [begin, sides] = [at + 1, 1]
    else if (/^={7}$/.test(line) && sides === 1) sides = 2
    else if (/^>{7}(?: |$)/.test(line) && sides === 2) return begin
    else at = fenceEnd(lines, at) ?? at
  }
  return null
}

/** Keys of ours with a list of words. */
const lists: ReadonlySet<string> = new Set(['labels', 'depends_on'])

/** Does a key of ours hold what it has not here: several values for one, or in a list what is no word? */
const isMisfit = (key: string, value: unknown): boolean =>
  typeof value === 'object' &&
  !isEmpty(value) &&
  key !== 'gates' &&
  !(lists.has(key) && Array.isArray(value) && value.every(part => isEmpty(part) || wordOf(part) !== null))

/** Keys that are not ours, and values that have no place under ours: those that fit into front matter as one value, and the rest. */
function othersIn(
  front: Readonly<Record<string, unknown>>,
): readonly [Readonly<Record<string, string>>, Readonly<Record<string, unknown>>] {
  const others = Object.entries(front).filter(([key, value]) => (known.has(key) ? isMisfit(key, value) : !isEmpty(value)))
  const fits = ([key, value]: readonly [string, unknown]): boolean =>
    !known.has(key) &&
    /^[A-Za-z_][A-Za-z0-9_-]{0,99}$/.test(key) &&
    !/^(?:null|true|false|__proto__)$/i.test(key) &&
    typeof value === 'string' &&
    lineOf(value) === value
  return [
    Object.fromEntries(others.filter(fits).map(([key, value]) => [key, value as string])),
    Object.fromEntries(others.filter(other => !fits(other))),
  ]
}

function epoch(file: string, notes: Notes): string {
  notes.warn(file, 'nothing says when it was made; 1970 is taken')
  return '1970-01-01T00:00:00Z'
}

/** Front matter and body of an item. */
export function splitItem(text: string): { readonly head: string; readonly body: string } | null {
  const found = /^---[ \t]*\n([^]*?\n)?---[ \t]*(?:\n|$)/.exec(text)
  return found === null ? null : { head: found[1] ?? '', body: text.slice(found[0].length).replace(/^\n/, '') }
}

/** Text of every value; yoi's first writer did not quote what YAML wants quoted, and then each line is read by itself. */
function frontMatter(head: string, file: string, notes: Notes): Readonly<Record<string, unknown>> {
  const document = parseDocument(head, { schema: 'failsafe', prettyErrors: false })
  if (document.errors.length === 0) {
    const value = document.toJS({ maxAliasCount: 100 }) as unknown
    if (isObject(value)) return value
  }
  notes.warn(file, `its front matter is not YAML (${document.errors[0]?.message ?? 'no `key: value` lines'}); it was read line by line`)
  return lineByLine(head)
}

/** The values of `key: value` lines, and of keys with `- item` lines below them; all of it as `front_matter` where a line is neither. */
function lineByLine(head: string): Readonly<Record<string, unknown>> {
  const values = Object.create(null) as Record<string, unknown>
  const lines = head.split('\n')
  // Somebody may have indented all of it.
  const indent = /^\s*/.exec(lines.find(line => line.trim() !== '') ?? '')![0]
  let list: string[] | null = null
  let isWhole = true
  for (const line of lines) {
    const [, key, value] = /^([A-Za-z_][\w-]*):\s*(.*)$/.exec(line.startsWith(indent) ? line.slice(indent.length) : line) ?? []
    const item = /^\s*-\s+(.*)$/.exec(line)?.[1]
    if (key !== undefined) {
      isWhole &&= !Object.hasOwn(values, key)
      list = value!.trim() === '' ? [] : null
      values[key] = list ?? unquoted(value!.trim())
    } else if (item !== undefined && list !== null) list.push(unquoted(item.trim()))
    else isWhole &&= /^\s*(?:#.*)?$/.test(line)
  }
  return isWhole ? values : { ...values, front_matter: head }
}

function unquoted(text: string): string {
  if (text.length > 1 && text.startsWith("'") && text.endsWith("'")) return text.slice(1, -1).replaceAll("''", "'")
  if (text.length > 1 && text.startsWith('"') && text.endsWith('"')) {
    const parsed = parseJson(text)
    return 'value' in parsed && typeof parsed.value === 'string' ? parsed.value : text.slice(1, -1)
  }
  return text
}

const nullable = (value: unknown): string | null => {
  const text = lineOf(value)
  return text === '' || text === 'null' || text === '~' ? null : text
}

/** A list, or what an unread line says of one. */
function listIn(value: unknown): readonly string[] {
  if (Array.isArray(value)) return wordsOf(value)
  const text = nullable(value)
  if (text === null) return []
  return wordsOf(
    text
      .replace(/^\[|\]$/g, '')
      .split(',')
      .map(part => unquoted(part.trim())),
  )
}

function priorityIn(said: string | null, file: string, notes: Notes): ImportedTicket['priority'] {
  const priority = priorityOf(said)
  notes.priority(said ?? '(none)', priority ?? 'P2')
  if (priority === null && said !== null) notes.warn(file, `its priority ${JSON.stringify(said)} is not known; P2 is taken`)
  return priority ?? 'P2'
}

/** What newer and older words mean here. */
const stateWords: ReadonlyMap<string, WorkflowState> = new Map([
  ['planning', 'intake'],
  ['in_progress', 'inprogress'],
  ['review', 'inprogress'],
])

function stateOf(
  front: Readonly<Record<string, unknown>>,
  directory: string,
  notes: Notes,
): { readonly status: Status; readonly workflowState: WorkflowState; readonly from: string } {
  const file = join(directory, 'item.md')
  const folder = basename(dirname(directory))
  const [said, state] = [nullable(front['status']), nullable(front['workflow_state']) ?? nullable(front['state'])]
  const status =
    statuses.find(word => word === said) ?? (state === 'closed' ? 'closed' : null) ?? statuses.find(word => word === folder) ?? 'open'
  if (said !== null && said !== status) notes.warn(file, `its status ${JSON.stringify(said)} is not known; ${status} is taken`)
  if (said === status && statuses.some(word => word === folder) && folder !== status)
    notes.warn(file, `its status is ${status}, but it lies in ${folder}/; the status counts`)
  const instead = status === 'closed' ? 'done' : 'intake'
  const workflowState =
    state === null || state === 'closed' ? instead : (workflowStates.find(word => word === state) ?? stateWords.get(state) ?? null)
  if (workflowState === null) notes.warn(file, `its workflow state ${JSON.stringify(state)} is not known; ${instead} is taken`)
  if (status === 'closed' && workflowState !== null && workflowState !== 'done')
    notes.warn(file, `it is closed, but its workflow state is ${workflowState}; kept as it is`)
  const from = said === null ? (state ?? '(none)') : state === null ? said : `${said}/${state}`
  notes.state(from, status, workflowState ?? instead)
  return { status, workflowState: workflowState ?? instead, from }
}

/** Null when there is nothing to read; undefined when the ticket cannot come over without it. */
function optionalText(path: string, notes: Notes): string | null | undefined {
  const read = readText(path, maxFileBytes)
  if ('text' in read) return textOf(read.text)
  if (read.line !== undefined) {
    notes.warn(placeOf(path, read), `${read.why}; this ticket is left out`)
    return undefined
  }
  if (read.why !== 'missing') notes.warn(path, `${read.why}; left out`)
  return null
}

/** Every regular file below `artifacts/`. */
function artifacts(directory: string, notes: Notes): readonly ImportedFile[] {
  const refuse = (path: string, why: string): void => notes.warn(path, `${why}; left out`)
  return filesIn(join(directory, 'artifacts'), 'artifacts', refuse)
}

/** What a ticket is made of; the rest of its directory has no name here. */
const parts = new Set(['item.md', 'thread.md', 'resolution.md', 'artifacts', ...notKept])

/** Files and directories that lie beside those become artifacts; under another name where the ticket has an artifact that is called so. */
function besides(directory: string, real: readonly ImportedFile[], notes: Notes): readonly ImportedFile[] {
  const { files, directories, others } = entriesOf(directory)
  const taken = new Set(real.map(({ path }) => path.split('/')[1]))
  const refuse = (path: string, why: string): void => notes.drop(path, why)
  for (const name of others) refuse(join(directory, name), notFollowed)
  return [...files, ...directories].flatMap(name => {
    if (parts.has(name)) return []
    const path = join(directory, name)
    const place = [name, `beside-item-${name}`].find(free => !taken.has(free))
    if (place !== undefined)
      return files.includes(name) ? fileAt(path, `artifacts/${place}`, refuse) : filesIn(path, `artifacts/${place}`, refuse)
    refuse(path, 'there is an artifact of this name')
    return []
  })
}

const notFollowed = 'not a regular file (a symbolic link is not followed)'

type Refuse = (path: string, why: string) => void

/** The regular files of a directory, as artifacts below `to`. */
function filesIn(directory: string, to: string, refuse: Refuse): readonly ImportedFile[] {
  const { files, directories, others } = entriesOf(directory)
  for (const name of others) refuse(join(directory, name), notFollowed)
  return [
    ...files.filter(name => !notKept.has(name)).flatMap(name => fileAt(join(directory, name), `${to}/${name}`, refuse)),
    ...directories.filter(name => !notKept.has(name)).flatMap(name => filesIn(join(directory, name), `${to}/${name}`, refuse)),
  ]
}

function fileAt(path: string, to: string, refuse: Refuse): readonly ImportedFile[] {
  const content = readRegular(path, maxFileBytes)
  if (typeof content !== 'string') return [{ path: to, content, isExecutable: isExecutable(path) }]
  refuse(path, content)
  return []
}

/** Null when they are there and cannot be read: the ticket would look as if it waited for nothing. */
function relationsIn(files: readonly ImportedFile[], directory: string, notes: Notes): readonly Relation[] | null {
  const file = files.find(({ path }) => path === 'artifacts/relations.json')
  if (file === undefined) return []
  const parsed = parseJson(Buffer.from(file.content).toString('utf8'))
  if ('why' in parsed) {
    notes.warn(`${join(directory, file.path)}:${parsed.line}`, `not JSON: ${parsed.why}; this ticket is left out`)
    return null
  }
  const list = isObject(parsed.value) ? parsed.value['relations'] : parsed.value
  const relations = objectsOf(list).flatMap(relation => {
    const [kind, target] = [wordOf(relation['kind']), wordOf(relation['target'])]
    return kind === null || target === null ? [] : [{ kind, target }]
  })
  const others = Array.isArray(list) ? list.length - relations.length : 1
  if (others > 0)
    notes.warn(
      join(directory, file.path),
      `${others} ${others === 1 ? 'entry is' : 'entries are'} not a relation with kind and target; look at it by hand`,
    )
  return relations
}

/** A ticket that was moved from `open/` to `closed/` on one branch and changed on another is in both after the merge. */
function withoutDoubles(raw: readonly Raw[], notes: Notes): readonly Raw[] {
  const first = new Map<string, string>()
  return raw.filter(({ ticket, directory }) => {
    const other = first.get(ticket.sourceId)
    if (other === undefined) first.set(ticket.sourceId, directory)
    else notes.warn(directory, `ticket ${ticket.sourceId} is also in ${other}; this one is left out`)
    return other === undefined
  })
}

/** Relations of one ticket may be dependencies of another. */
function withRelations(raw: readonly Raw[], notes: Notes): readonly ImportedTicket[] {
  const more = new Map<string, string[]>()
  const add = (id: string, on: string): void => void more.set(id, [...(more.get(id) ?? []), on])
  for (const { ticket, relations, directory } of raw) {
    for (const { kind, target } of relations) {
      if (kind === 'depends_on') add(ticket.sourceId, target)
      else if (kind === 'blocks') add(target, ticket.sourceId)
      else notes.drop(directory, `relation ${kind} to ${target} (kept in artifacts/relations.json)`)
    }
  }
  return raw.map(({ ticket }) => {
    const on = more.get(ticket.sourceId)
    return on === undefined ? ticket : { ...ticket, dependsOn: [...new Set([...ticket.dependsOn, ...on])] }
  })
}

// The thread. An event is a comment line, a Markdown body and a `---` line; bodies hold `---`, comments and whole fenced threads of their own.

/** No header is longer; what is, is text. */
const longestHeader = 4096

/** Type and values of a header; null for any other line. */
function headerOf(line: string): { readonly word: string; readonly rest: string } | null {
  const text = line.trim()
  if (text.length > longestHeader || !line.startsWith('<!--') || !text.endsWith('-->')) return null
  const found = /^event:\s*(\S+)(?:\s|$)/.exec(text.slice(4, -3).trim())
  return found === null ? null : { word: found[1]!, rest: text.slice(4, -3).trim().slice(found[0].length) }
}

const headerKeys = ['author', 'at', 'status', 'from', 'to', 'reason', 'field', 'role', 'kind', 'verdict', 'session', 'commit'] as const

/** Types of yoi that have a name here. */
const typeNames: ReadonlyMap<string, string> = new Map([
  ['create', 'created'],
  ['close', 'closed'],
  ['migration', 'migrated'],
  ['reopen', 'reopened'],
])

/** The events of a thread, in its order. */
export function parseThread(text: string, file: string, notes: Notes): readonly ImportedEvent[] {
  const lines = textOf(text).split('\n')
  const starts = headersIn(lines)
  const before = lines
    .slice(0, starts[0] ?? lines.length)
    .join('\n')
    .trim()
  if (before !== '') notes.warn(`${file}:1`, 'text before the first event; kept as a comment without author')
  const preface: ImportedEvent[] =
    before === '' ? [] : [{ key: 'preface', type: 'comment', at: null, author: null, fields: { message: before } }]
  const events = starts.map((start, index) => {
    const body = lines.slice(start + 1, starts[index + 1] ?? lines.length).join('\n')
    return eventOf(lines[start]!, withoutRule(body), index, `${file}:${start + 1}`, notes)
  })
  return [...preface, ...events]
}

/** A body without the rule that ends it. */
function withoutRule(body: string): string {
  const text = `\n${body.trim()}`
  return (text.endsWith('\n---') ? text.slice(0, -'---'.length) : text).trim()
}

/** Line numbers of the comments that begin an event: those in a fence belong to a body. */
function headersIn(lines: readonly string[]): readonly number[] {
  const starts: number[] = []
  for (let at = 0; at < lines.length; at++) {
    if (isHeader(lines[at]!) || (headerOf(lines[at]!) !== null && isBehindRule(lines, at))) starts.push(at)
    else at = fenceEnd(lines, at) ?? at
  }
  return starts
}

/** A header that says when, wherever it stands. */
const isHeader = (line: string): boolean => /\bat: *["']?\d{4}-/.test(headerOf(line)?.rest ?? '')

/** Is the last thing before this line a rule, or nothing at all? */
function isBehindRule(lines: readonly string[], at: number): boolean {
  let before = at - 1
  while (before >= 0 && lines[before]!.trim() === '') before--
  return before < 0 || lines[before]!.trim() === '---'
}

/** The line that closes the fence which this line opens; null when it opens none, or one that nobody closed. */
function fenceEnd(lines: readonly string[], at: number): number | null {
  const mark = /^ {0,3}(`{3,}(?!.*`)|~{3,})/.exec(lines[at]!)?.[1]
  if (mark === undefined) return null
  let passed = false
  for (let next = at + 1; next < lines.length; next++) {
    const line = lines[next]!
    const [, other, info] = /^ {0,3}(`{3,}|~{3,})\s*(.*)$/.exec(line) ?? []
    if (other?.startsWith(mark) === true) {
      if (info === '') return next
      // A fence that opens behind the beginning of an event: the one before was never closed.
      if (passed) return null
    }
    passed ||=
      isHeader(line) &&
      lines
        .slice(at + 1, next)
        .findLast(line => line.trim() !== '')
        ?.trim() === '---'
  }
  return null
}

function eventOf(line: string, message: string, index: number, where: string, notes: Notes): ImportedEvent {
  const { word, rest } = headerOf(line)!
  const { said, unknown } = headerValues(rest)
  const type = typeNames.get(word) ?? (word.toLowerCase().replaceAll(/[^a-z0-9_]+/g, '_') || 'comment')
  const { author, at: time, status, from, to, reason, field, ...more } = said
  const at = timeOf(time?.split(/\s/, 1)[0] ?? null)
  if (at === null) notes.warn(where, `the time of this event, ${JSON.stringify(time ?? '')}, is none; that of the one before is taken`)
  const verdict = type === 'review' ? verdictOf(status ?? more['verdict']) : undefined
  if (type === 'review' && verdict === undefined) notes.warn(where, `a review that says neither approve nor request_changes`)
  const left = { ...unknown, ...more, ...(status === undefined || verdict !== undefined || type === 'closed' ? {} : { status }) }
  return {
    key: `thread:${index}`,
    type,
    at,
    author: author ?? null,
    fields: {
      ...(verdict === undefined ? {} : { verdict }),
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      ...(reason === undefined ? {} : { reason }),
      ...(field === undefined ? {} : { field }),
      ...(message === '' ? {} : { message }),
      ...(Object.keys(left).length === 0 ? {} : { legacy: left }),
    },
  }
}

const verdictOf = (word: string | undefined): string | undefined =>
  word === 'approve' || word === 'approved'
    ? 'approve'
    : word === 'request_changes' || word === 'changes' || word === 'reject'
      ? 'changes'
      : undefined

const knownKey = new RegExp(`(?:^|\\s)(${headerKeys.join('|')}):(?=\\s|$)`, 'g')
const anyKey = /(?:^|\s)([A-Za-z_][\w-]*):(?=\s|$)/g

/**
 * `author: yoi ticket at: T status: S`: a value goes up to the next key that is known, or to its closing quote; that of `at` is one word.
 * What stands between them has keys that we do not know, and what has not even that is `header`.
 */
function headerValues(text: string): {
  readonly said: Readonly<Record<string, string>>
  readonly unknown: Readonly<Record<string, string>>
} {
  const said = pairsIn(text, knownKey)
  const others = pairsIn(said.rest, anyKey)
  const unknown = { ...Object.fromEntries(others.values), ...(others.rest === '' ? {} : { header: others.rest }) }
  return { said: Object.fromEntries(said.values), unknown }
}

/** The values of these keys, and what stands between them. */
function pairsIn(text: string, key: RegExp): { readonly values: ReadonlyMap<string, string>; readonly rest: string } {
  const values = new Map<string, string>()
  key.lastIndex = 0
  let found = key.exec(text)
  const rest = [text.slice(0, found?.index ?? text.length)]
  while (found !== null) {
    const [name, begin] = [found[1]!, key.lastIndex]
    const bounded =
      /^\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')(?=\s|$)/.exec(text.slice(begin)) ??
      (name === 'at' ? /^\s*(\S+)/.exec(text.slice(begin)) : null)
    if (bounded !== null) key.lastIndex = begin + bounded[0].length
    const next = key.exec(text)
    const end = next?.index ?? text.length
    const value = unquoted((bounded?.[1] ?? text.slice(begin, end)).trim())
    if (bounded !== null) rest.push(text.slice(begin + bounded[0].length, end))
    if (values.has(name)) rest.push(`${name}: ${value}`)
    else values.set(name, value)
    found = next
  }
  const left = rest.map(part => part.trim()).filter(part => part !== '')
  return { values, rest: left.join(' ') }
}
