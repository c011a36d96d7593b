import { basename, dirname, join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import type { Status, WorkflowState } from '../ticket.ts'
import {
  assigneeOf,
  canonical,
  dropKeys,
  hashOf,
  isEmpty,
  isObject,
  isSameResult,
  kindOf,
  labelsOf,
  leftOf,
  lineOf,
  Notes,
  priorityOf,
  resolutionOf,
  textOf,
  timeIn,
  timeOf,
  wordOf,
  wordsIn,
  wordsOf,
  type GateResult,
  type ImportedEvent,
  type ImportedGate,
  type ImportedTicket,
  type Json,
  type Source,
} from './imported.ts'
import { entriesOf, isFileAt, kindOfPath, nothingFound, parseJson, placeOf, readText, requirePath, requireText } from './source.ts'
import { parseToml } from './toml.ts'

// jit: a JSON file for each issue in `.jit/issues`, the gates in `.jit/gates.toml` (`gates.json` once), what happened in `.jit/events.jsonl`.

/** Where the parts of a store are. */
interface Place {
  readonly files: readonly string[]
  /** Of the gates and `events.jsonl`, the first that has them. */
  readonly beside: readonly string[]
}

/** An issue, and where it was found. */
interface Found {
  readonly record: Json
  readonly file: string
}

/** What the log has of each issue. */
type History = ReadonlyMap<string, readonly Json[]>

/** Reads issues of jit. Throws `usage` when there are none. */
export function readJit(path: string): Source {
  const notes = new Notes()
  const place = find(path, notes)
  const wanted = 'name the .jit directory, its issues directory, or the repository with it'
  if (place.files.length === 0) throw nothingFound('jit', path, wanted)
  const records = new Map<string, Found>()
  for (const file of place.files) {
    const record = readIssue(file, notes)
    if (record === null) notes.broken.set(basename(file, '.json'), file)
    const id = record === null ? null : wordOf(record['id'])
    if (record === null || id === null) continue
    const other = records.get(id)
    // jit reads the file that is called as the issue; the other is somebody's copy.
    const counts = other === undefined || (basename(file) === `${id}.json` && basename(other.file) !== `${id}.json`)
    if (other !== undefined)
      notes.warn(counts ? other.file : file, `issue ${id} is also in ${counts ? file : other.file}; this one is left out`)
    if (counts) records.set(id, { record, file })
  }
  if (records.size === 0) throw problemOf(path, wanted, notes)
  const gates = readGates(place, notes)
  const history = readHistory(place, new Set(records.keys()), notes)
  const stages = new Map(gates.map(({ key, stage }) => [key, stage]))
  const tickets = [...records].map(([id, { record, file }]) => ticketOf(id, record, history.get(id) ?? [], stages, file, notes))
  tellFreed(tickets, records, history, notes)
  const left = [...records.values()].map(({ record }) => leftOf(record, known, texts))
  dropKeys(left, notes)
  tellRuns(place, notes)
  return { tickets, gates, notes }
}

function find(path: string, notes: Notes): Place {
  if (requirePath(path) === 'file') return { files: [path], beside: [dirname(path), dirname(dirname(path))] }
  for (const store of [join(path, '.jit'), path]) {
    const inside = join(store, 'issues')
    if (kindOfPath(inside) !== 'directory') continue
    return { files: jsonFiles(inside, notes), beside: [store] }
  }
  return { files: jsonFiles(path, notes), beside: [path, dirname(path)] }
}

/** Files of a store that are no issues. */
const notIssues = new Set(['gates.json', 'index.json', 'config.json', 'labels.json', 'package.json'])

const isIssueName = (name: string): boolean => name.endsWith('.json') && !name.startsWith('.') && !notIssues.has(name)

/** Files that may be issues; what is called so and is no file is warned of. */
function jsonFiles(directory: string, notes: Notes): readonly string[] {
  const { files, directories, others } = entriesOf(directory)
  for (const name of [...directories, ...others].filter(isIssueName)) {
    notes.warn(join(directory, name), 'not a regular file (a symbolic link is not followed); left out')
    notes.broken.set(basename(name, '.json'), join(directory, name))
  }
  return files.filter(isIssueName).map(name => join(directory, name))
}

/** Nothing could be read: why not, in the words of the first file. */
function problemOf(path: string, wanted: string, notes: Notes): Error {
  const first = notes.warnings[0]
  const other = nothingFound('jit', path, wanted)
  return first === undefined || other.message.includes('looks like') ? other : usage(`${first}; nothing was imported`, wanted)
}

function readIssue(file: string, notes: Notes): Json | null {
  const read = readText(file)
  if ('why' in read) {
    notes.warn(placeOf(file, read), `${read.why}; left out`)
    return null
  }
  const parsed = parseJson(read.text)
  if ('why' in parsed) {
    const merge = /^<{7}(?: |\r?$)/m.exec(read.text)
    if (merge === null) notes.warn(`${file}:${parsed.line}`, `not JSON: ${parsed.why}; left out`)
    else notes.warn(`${file}:${read.text.slice(0, merge.index).split('\n').length}`, 'not JSON: an unresolved merge; left out')
    return null
  }
  const { value } = parsed
  const issue = isObject(value) && wordOf(value['id']) !== null && ['state', 'status', 'title', 'gates_required'].some(key => key in value)
  if (issue && !('issue_type' in value) && !('number' in value)) return value
  notes.warn(file, 'not an issue of jit; left out')
  return null
}

const states: Readonly<Record<string, readonly [Status, WorkflowState]>> = {
  backlog: ['open', 'intake'],
  open: ['open', 'intake'],
  ready: ['open', 'ready'],
  in_progress: ['open', 'inprogress'],
  inprogress: ['open', 'inprogress'],
  gated: ['open', 'inprogress'],
  done: ['closed', 'done'],
  rejected: ['closed', 'done'],
  archived: ['closed', 'done'],
}

/** What `resolution.md` begins with where a state says more than that it is over. */
const endings: Readonly<Record<string, string>> = {
  rejected: 'Rejected: it was decided not to do this.',
  archived: 'Archived: no longer relevant.',
}

const texts = ['title', 'description', 'state', 'priority', 'assignee']

const known = new Set([...texts, 'id', 'dependencies', 'gates_required', 'gates_status', 'labels', 'created_at', 'updated_at'])

function ticketOf(
  id: string,
  record: Json,
  history: readonly Json[],
  stages: ReadonlyMap<string, string>,
  file: string,
  notes: Notes,
): ImportedTicket {
  const state = wordOf(record['state'] ?? record['status']) ?? '(none)'
  const archived = archivedFrom(record, history)
  const aside = putAside(archived)
  const [status, workflowState] = aside ?? (Object.hasOwn(states, state) ? states[state]! : (['open', 'intake'] as const))
  if (!Object.hasOwn(states, state)) notes.warn(file, `its state ${JSON.stringify(state)} is not known; intake is taken`)
  notes.state(aside === null ? state : `${state} (${archived})`, status, workflowState)
  const said = wordOf(record['priority'])
  const priority = priorityOf(said)
  notes.priority(said ?? '(none)', priority ?? 'P2')
  if (priority === null) notes.warn(file, `its priority ${JSON.stringify(said)} is not known; P2 is taken`)
  const labels = labelsOf(wordsIn(record, 'labels', file, notes))
  const results = gateResults(record, stages, file, notes)
  const before = history.map(past).filter(event => event !== null)
  const updatedAt = timeIn(record, 'updated_at', file, notes)
  const createdAt =
    timeIn(record, 'created_at', file, notes) ?? updatedAt ?? history.map(event => timeOf(event['timestamp'])).find(at => at !== null)
  if (createdAt === undefined) notes.warn(file, 'nothing says when it was made; 1970 is taken')
  const made = createdAt ?? '1970-01-01T00:00:00Z'
  const created: ImportedEvent = { key: 'created', type: 'created', at: made, author: null, fields: {} }
  const title = lineOf(record['title'])
  if (title === '') notes.warn(file, 'it has no title; its id is taken')
  return {
    sourceId: id,
    legacyTicket: lineOf(id),
    ownId: null,
    slug: null,
    title: title || lineOf(id),
    body: withNewline(textOf(record['description'])),
    status,
    workflowState,
    kind: kindOf(labels.find(label => /^type:./.test(label))?.slice('type:'.length) ?? null),
    priority: priority ?? 'P2',
    labels,
    assignee: assigneeOf(wordOf(record['assignee']), 'jit'),
    createdAt: made,
    updatedAt: updatedAt ?? made,
    queuedBy: null,
    queuedAt: null,
    dependsOn: wordsIn(record, 'dependencies', file, notes),
    gates: wordsIn(record, 'gates_required', file, notes),
    events: [created, ...merged(results, before)],
    gateResults: standing(record, results, before),
    resolution: status === 'closed' ? resolutionIn(archived, state, labels) : null,
    files: [],
    extra: {},
    legacy: { ...(aside === null ? {} : { state }), ...leftOf(record, known, texts) },
    sourceHash: hashOf(canonical(record), ...history.map(canonical)),
  }
}

/** What it was before it was archived, if it was and anything says so: older issues do not, and then the log may. */
function archivedFrom(record: Json, history: readonly Json[]): string | null {
  if (wordOf(record['state'] ?? record['status']) !== 'archived') return null
  const moves = history.filter(event => event['type'] === 'issue_state_changed' && wordOf(event['to']) === 'archived')
  const last = moves.toSorted((a, b) => millisAt(a) - millisAt(b)).at(-1)
  return wordOf(record['archived_from']) ?? wordOf(last?.['from'])
}

const millisAt = (event: Json): number => Date.parse(timeOf(event['timestamp']) ?? '1970-01-01T00:00:00Z')

/** Archived before it was done: not closed, since a closed ticket counts as done and nothing would wait for it any more. */
function putAside(from: string | null): readonly [Status, WorkflowState] | null {
  if (from === null || from === 'done' || from === 'rejected') return null
  return ['pending', Object.hasOwn(states, from) ? states[from]![1] : 'intake']
}

/** Who waited for something archived of which nothing says whether it was done. */
function tellFreed(tickets: readonly ImportedTicket[], records: ReadonlyMap<string, Found>, history: History, notes: Notes): void {
  for (const [id, { record, file }] of records) {
    const isArchived = wordOf(record['state'] ?? record['status']) === 'archived'
    if (!isArchived || archivedFrom(record, history.get(id) ?? []) !== null) continue
    const freed = tickets.filter(({ status, dependsOn }) => status !== 'closed' && dependsOn.includes(id)).map(({ sourceId }) => sourceId)
    if (freed.length > 0)
      notes.warn(file, `it is archived, and nothing says whether it was done; these wait for it no more: ${freed.join(', ')}`)
  }
}

const withNewline = (text: string): string => (text === '' || text.endsWith('\n') ? text : `${text}\n`)

function resolutionIn(from: string | null, state: string, labels: readonly string[]): string {
  const reason = labels.find(label => /^resolution:./.test(label))?.slice('resolution:'.length)
  const lines = [
    endings[state] ?? '',
    reason === undefined ? '' : `Reason: ${reason}.`,
    from === null ? '' : `It was ${from} before.`,
    `Imported as ${state} from jit.`,
  ]
  return resolutionOf(lines.filter(line => line !== '').join('\n\n'), state, 'jit')
}

/** The last result of each gate, oldest first. */
function gateResults(record: Json, stages: ReadonlyMap<string, string>, file: string, notes: Notes): readonly ImportedEvent[] {
  const results: ImportedEvent[] = []
  const said = record['gates_status']
  for (const [gate, value] of Object.entries(isObject(said) ? said : {})) {
    const status = isObject(value) ? wordOf(value['status']) : wordOf(value)
    if (status === 'pending' || status === null) continue
    if (status !== 'passed' && status !== 'failed') {
      notes.warn(file, `gate ${gate}: its result ${JSON.stringify(status)} is not known; left out`)
      continue
    }
    const { updated_by: by, updated_at: time, status: _, ...more } = isObject(value) ? value : {}
    const at = timeOf(time)
    const legacy = leftOf(more, new Set())
    results.push({
      key: `gate:${gate}:${status}`,
      type: 'gate',
      at,
      author: wordOf(by),
      fields: { gate, stage: stages.get(gate) ?? 'post', result: status, ...(isEmpty(legacy) ? {} : { legacy }) },
    })
  }
  return inTime(results)
}

/** How jit has it: what `gates_status` says decides, and what only the log says is past. */
function standing(record: Json, results: readonly ImportedEvent[], before: readonly ImportedEvent[]): ImportedTicket['gateResults'] {
  const gateOf = ({ fields }: ImportedEvent): string | null => wordOf(fields['gate'])
  const gates = [...wordsOf(record['gates_required']), ...before.filter(({ type }) => type === 'gate').map(gateOf)]
  return new Map<string, string | null>([
    ...gates.filter(gate => gate !== null).map(gate => [gate, null] as const),
    ...results.map(result => [String(result.fields['gate']), result.key] as const),
  ])
}

/** Events without an order of their own, by time and then by key. */
const inTime = (events: readonly ImportedEvent[]): readonly ImportedEvent[] =>
  events.toSorted((a, b) => millis(a) - millis(b) || (a.key < b.key ? -1 : 1))

const millis = ({ at }: ImportedEvent): number => (at === null ? 0 : Date.parse(at))

/** The results, and what the log has beside them. */
function merged(results: readonly ImportedEvent[], past: readonly ImportedEvent[]): readonly ImportedEvent[] {
  const resultOf = ({ type, at, fields }: ImportedEvent): GateResult => ({ type, at, gate: fields['gate'], result: fields['result'] })
  const isResult = (event: ImportedEvent): boolean => results.some(result => isSameResult(resultOf(result), resultOf(event)))
  return inTime([...results, ...past.filter(event => !isResult(event))])
}

/** An event of jit's own log; null for what the issue says anyway. */
function past(event: Json): ImportedEvent | null {
  const { type, id, issue_id: _, timestamp, from, to, gate_key: gate, updated_by: by, assignee, reason, ...more } = event
  const word = wordOf(type) ?? 'event'
  if (word === 'issue_created') return null
  const base = { key: `event:${wordOf(id) ?? canonical(event)}`, at: timeOf(timestamp), author: wordOf(by) ?? wordOf(assignee) }
  const legacy = leftOf(more, new Set())
  const rest = { ...(wordOf(reason) === null ? {} : { reason: wordOf(reason) }), ...(isEmpty(legacy) ? {} : { legacy }) }
  if (word === 'gate_passed' || word === 'gate_failed')
    return { ...base, type: 'gate', fields: { gate: wordOf(gate) ?? '', result: word.slice('gate_'.length), ...rest } }
  if (word === 'issue_claimed') return { ...base, type: 'claimed', fields: rest }
  if (word === 'issue_state_changed') return { ...base, type: 'state_changed', fields: { field: 'state', from, to, ...rest } }
  return { ...base, type: word, fields: { ...(wordOf(gate) === null ? {} : { gate: wordOf(gate) }), ...rest } }
}

function readHistory(place: Place, ids: ReadonlySet<string>, notes: Notes): History {
  const events = new Map<string, Json[]>()
  const file = fileIn(place, 'events.jsonl', notes)
  if (file === undefined) return events
  const read = readText(file)
  if ('why' in read) {
    notes.warn(placeOf(file, read), `${read.why}; left out`)
    return events
  }
  const seen = new Set<string>()
  let others = 0
  for (const [index, line] of read.text.split('\n').entries()) {
    if (line.trim() === '') continue
    const parsed = parseJson(line)
    const value = 'value' in parsed ? parsed.value : null
    if (!isObject(value)) {
      notes.warn(`${file}:${index + 1}`, 'not a JSON object; left out')
      continue
    }
    const [issue, id] = [wordOf(value['issue_id']), wordOf(value['id'])]
    if (id !== null && seen.has(id)) continue
    if (id !== null) seen.add(id)
    if (issue === null || !ids.has(issue)) {
      others++
      continue
    }
    if (!events.has(issue)) events.set(issue, [])
    events.get(issue)!.push(value)
  }
  if (others > 0) notes.drop(file, `${others === 1 ? '1 event' : `${others} events`} of no issue in this source`)
  return events
}

/** Runs of gates are many, and their output is large. */
function tellRuns({ beside }: Place, notes: Notes): void {
  for (const runs of beside.map(directory => join(directory, 'gate-runs'))) {
    const { directories, files } = entriesOf(runs)
    const count = directories.length + files.length
    if (count > 0) notes.drop(runs, count === 1 ? '1 run of a gate, and what it printed' : `${count} runs of gates, and what they printed`)
  }
}

/** A file of the store; none where it is missing, or a link. */
function fileIn({ beside }: Place, name: string, notes: Notes): string | undefined {
  const paths = beside.map(directory => join(directory, name))
  const file = paths.find(isFileAt)
  const link = file === undefined ? paths.find(path => kindOfPath(path) === 'file') : undefined
  if (link !== undefined) notes.warn(link, 'a symbolic link is not followed; left out')
  return file
}

const gateMembers = new Set(['key', 'title', 'description', 'stage', 'mode', 'auto', 'checker'])
const checkerMembers = new Set(['type', 'command', 'timeout_seconds', 'working_dir', 'env', 'pass_context'])

function readGates(place: Place, notes: Notes): readonly ImportedGate[] {
  const newer = fileIn(place, 'gates.toml', notes)
  const older = fileIn(place, 'gates.json', notes)
  const file = newer ?? older
  if (file === undefined) return []
  if (newer !== undefined && older !== undefined) notes.drop(older, 'jit reads gates.toml, which lies beside it')
  const [kind, parsed] =
    file === newer ? (['TOML', parseToml(requireText(file))] as const) : (['JSON', parseJson(requireText(file))] as const)
  if ('why' in parsed)
    throw usage(`${file}:${parsed.line}: not ${kind}: ${parsed.why}; nothing was imported`, 'mend the file, or move it away')
  const said = isObject(parsed.value) && 'gates' in parsed.value ? parsed.value['gates'] : parsed.value
  const list: readonly (readonly [string, unknown])[] = Array.isArray(said)
    ? said.map((gate: unknown) => [isObject(gate) ? (wordOf(gate['key']) ?? '') : '', gate] as const)
    : Object.entries(isObject(said) ? said : {})
  return list.flatMap(([key, value]) => {
    if (key === '') {
      notes.warn(file, 'a gate without a key; left out')
      return []
    }
    if (isObject(value)) return [gateOf(key, value, file, notes)]
    notes.warn(file, `gate ${key} is not defined by an object; left out`)
    return []
  })
}

function gateOf(key: string, value: Json, file: string, notes: Notes): ImportedGate {
  const checker = isObject(value['checker']) ? value['checker'] : {}
  const command = wordOf(checker['command'])
  const said = wordOf(value['mode']) ?? (value['auto'] === true ? 'auto' : 'manual')
  const mode = said === 'auto' && command !== null ? 'auto' : 'manual'
  if (said === 'auto' && command === null) notes.warn(file, `gate ${key} is automatic and has no command; it becomes a manual one`)
  const stage = wordOf(value['stage'])
  if (stage !== null && stage !== 'precheck' && stage !== 'postcheck')
    notes.warn(file, `gate ${key}: its stage ${stage} is not known; post is taken`)
  const seconds = checker['timeout_seconds']
  const env = isObject(checker['env']) ? checker['env'] : {}
  const left = { ...leftOf(value, gateMembers), ...leftOf(checker, checkerMembers) }
  return {
    key,
    title: lineOf(value['title']) || null,
    description: textOf(value['description']).trim() || null,
    stage: stage === 'precheck' ? 'pre' : 'post',
    mode,
    command: mode === 'auto' ? command : null,
    timeoutSecs: typeof seconds === 'number' && seconds > 0 ? seconds : null,
    env: Object.fromEntries(Object.entries(env).map(([name, text]) => [name, wordOf(text) ?? ''])),
    workingDir: wordOf(checker['working_dir']),
    passContext: typeof checker['pass_context'] === 'boolean' ? checker['pass_context'] : null,
    legacy: { from: 'jit', ...(mode === 'manual' && command !== null ? { command } : {}), ...left },
  }
}
