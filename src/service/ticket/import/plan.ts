import { isFault } from '../../../core/fault.ts'
import { isoFromMs } from '../../../core/time.ts'
import { ulid } from '../../../core/ulid.ts'
import { cyclesIn, wordCycle } from '../dependencies.ts'
import type { TicketEvent } from '../events.ts'
import { fitted, newText, whyUnreadable } from './fit.ts'
import { idTime, mintId, slugInId, slugOf } from '../identify.ts'
import type { Ticket } from '../ticket.ts'
import { actorOf, canonical, hashOf, isEmpty, type ImportedFile, type ImportedTicket, type Notes, type Tracker } from './imported.ts'

// From the neutral shape to tickets of ours: ids, dependencies between them, events with ids that are the same in every import. Pure.

/** A ticket that is there already. */
export interface Existing {
  readonly id: string
  readonly legacyTicket: string | null
  /** Null when its file cannot be read. */
  readonly createdAt: string | null
  /** Where, when it is in this worktree; null when only elsewhere. */
  readonly directory: string | null
  /** What its last import said; null when it was made here. */
  readonly last: LastImport | null
}

/** What the newest event `imported` of a ticket says. */
export interface LastImport {
  readonly from: string
  readonly sourceId: string
  readonly sourceHash: string
  /** Hash of the value of each field as it was imported. */
  readonly fields: Readonly<Record<string, string>>
}

/** What is to become of one record. */
export interface Planned {
  readonly record: ImportedTicket
  readonly ticket: Ticket
  readonly body: string
  /** `ticket.md` of a new one; null for one that is there. */
  readonly text: string | null
  readonly files: readonly ImportedFile[]
  readonly events: readonly TicketEvent[]
  /** The event that decides each gate; null for an undecided one. */
  readonly gateResults: ReadonlyMap<string, TicketEvent | null>
  /** Hash of each field: how a later import knows what was changed here. */
  readonly fields: Readonly<Record<string, string>>
  /** Dependencies that lead outside. */
  readonly droppedDependencies: readonly string[]
  readonly existing: Existing | null
}

/** A longer body becomes a file of its own: a ticket has to stay readable. Bytes. */
const maxBodyBytes = 900_000

/** Plans every record; those whose id belongs to another ticket are left out with a warning. */
export function planTickets(
  records: readonly ImportedTicket[],
  from: Tracker,
  existing: readonly Existing[],
  isTaken: (id: string) => boolean,
  gateKey: (key: string) => string,
  notes: Notes,
): { readonly planned: readonly Planned[]; readonly left: number } {
  const known = new Known(existing)
  const sorted = records.toSorted((a, b) => millisOf(a.createdAt) - millisOf(b.createdAt) || (a.sourceId < b.sourceId ? -1 : 1))
  const chosen = chooseIds(sorted, from, known, isTaken, notes)
  const ids = new Map<string, string>()
  for (const [record, { id }] of chosen) ids.set(record.sourceId, id)
  const outside = new Outside()
  const tried = [...chosen].map(([record, place]) =>
    planOne(record, place, from, name => ids.get(name) ?? known.meant(name), gateKey, outside, notes),
  )
  const planned = withoutImpossible(tried, notes)
  outside.tell(notes)
  for (const cycle of cyclesIn(new Map(planned.map(({ ticket }) => [ticket.id, ticket.dependsOn]))))
    notes.warnings.push(`dependencies form a cycle, as they do in the source: ${wordCycle(cycle)}`)
  return { planned, left: records.length - planned.length }
}

/** A plan, and why it cannot be carried out. */
interface Tried {
  readonly plan: Planned
  readonly why: string | null
}

/** Without what cannot come over, and without what depends on that: it would look as if it waited for nothing. */
function withoutImpossible(tried: readonly Tried[], notes: Notes): readonly Planned[] {
  const dependents = new Map<string, Planned[]>()
  for (const { plan } of tried) for (const on of plan.ticket.dependsOn) put(dependents, on, plan)
  const left = new Map(tried.flatMap(({ plan, why }) => (why === null ? [] : [[plan, why] as const])))
  // A map is visited in the order of insertion, also what is inserted meanwhile.
  for (const [{ ticket, existing }, why] of left) {
    notes.warn(ticket.id, `${why}; ${existing === null ? 'left out' : 'it stays as it is'}`)
    if (existing !== null) continue
    for (const plan of dependents.get(ticket.id) ?? []) if (!left.has(plan)) left.set(plan, `it depends on ${ticket.id}, which is left out`)
  }
  return tried.flatMap(({ plan }) => (left.has(plan) ? [] : [plan]))
}

function put<T>(lists: Map<string, T[]>, key: string, value: T): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}

/** Tickets that are there, by what they may be called. */
class Known {
  readonly ids: ReadonlyMap<string, Existing>
  readonly #legacy = new Map<string, Existing[]>()
  readonly #sources = new Map<string, Existing>()

  constructor(existing: readonly Existing[]) {
    this.ids = new Map(existing.map(ticket => [ticket.id, ticket]))
    for (const ticket of existing) {
      // Where its file cannot be read, its events know what it was called.
      const called = ticket.legacyTicket ?? ticket.last?.sourceId ?? null
      if (called !== null) put(this.#legacy, called, ticket)
      const source = ticket.last === null ? null : sourceKey(ticket.last.from, ticket.last.sourceId)
      if (source !== null && !this.#sources.has(source)) this.#sources.set(source, ticket)
    }
  }

  /** The ticket that an earlier import made of this record. */
  of(record: ImportedTicket, from: Tracker): Existing | null {
    const own = record.ownId === null ? undefined : this.ids.get(record.ownId)
    if (own !== undefined) return isFrom(own, record, from) ? own : null
    const called = record.ownId === null && record.legacyTicket !== null ? (this.#legacy.get(record.legacyTicket) ?? []) : []
    const source = this.#sources.get(sourceKey(from, record.sourceId))
    return [...called, ...(source === undefined ? [] : [source])].find(ticket => isFrom(ticket, record, from)) ?? null
  }

  /** The ticket that a name from outside means, if it is one alone. */
  meant(name: string): string | null {
    if (this.ids.has(name)) return name
    const called = this.#legacy.get(name) ?? []
    return called.length === 1 ? called[0]!.id : null
  }
}

const sourceKey = (from: string, id: string): string => `${from} ${id}`

/** What is elsewhere only cannot be asked where it is from; its name has to do. */
function isFrom(existing: Existing, record: ImportedTicket, from: Tracker): boolean {
  const { directory, last } = existing
  if (directory === null) return !isMadeApart(existing, record)
  if (last === null || last.from !== from) return false
  // An export of GitHub need not say which repository it is of.
  const [there, here] = [last.sourceId.split('#'), record.sourceId.split('#')]
  if (from !== 'github' || (there[0] !== '' && here[0] !== '')) return last.sourceId === record.sourceId
  return there[1] === here[1] && !isMadeApart(existing, record)
}

/**
 * Is it certain, or nearly, that these are not one issue, since they were made at different times? Where an export did not say when, the
 * time of a change stands for it, which is later.
 */
function isMadeApart({ createdAt, last }: Existing, { madeAt, title }: ImportedTicket): boolean {
  if (madeAt === undefined || madeAt === null || createdAt === null || millisOf(createdAt) === 0) return false
  const later = millisOf(madeAt) - millisOf(createdAt)
  return later > 0 || (later < 0 && last !== null && last.fields['title'] !== fieldHash(title))
}

interface Place {
  readonly id: string
  readonly existing: Existing | null
}

/** An id for every record: the one it has, the one of an earlier import, or one from its time and title. */
function chooseIds(
  records: readonly ImportedTicket[],
  from: Tracker,
  known: Known,
  isTaken: (id: string) => boolean,
  notes: Notes,
): ReadonlyMap<ImportedTicket, Place> {
  const chosen = new Map<ImportedTicket, Place>()
  const used = new Set<string>()
  const minted: ImportedTicket[] = []
  for (const record of records) {
    const existing = known.of(record, from)
    const id = existing?.id ?? record.ownId
    if (id === null) minted.push(record)
    else if (used.has(id)) notes.warn(record.sourceId, `another record of the source became ${id}; this one is left out`)
    else if (existing === null && isTaken(id)) notes.warn(id, 'there is a ticket with this id that was not imported from here; left out')
    else {
      used.add(id)
      chosen.set(record, { id, existing })
    }
  }
  // Many may be of one second and one slug, as titles in other letters are: each search goes on where the one before ended.
  const after = new Map<string, number>()
  for (const record of minted) {
    const [slug, madeMs] = [record.slug ?? slugOf(record.title), millisOf(record.createdAt)]
    const begin = `${slug} ${Math.floor(madeMs / 1000)}`
    const id = mintId(slug, after.get(begin) ?? madeMs, id => used.has(id) || isTaken(id))
    after.set(begin, Date.parse(idTime(id)!) + 1000)
    used.add(id)
    chosen.set(record, { id, existing: null })
  }
  return new Map(records.flatMap(record => (chosen.has(record) ? [[record, chosen.get(record)!] as const] : [])))
}

/** Dependencies that lead outside. */
class Outside {
  #dependencies = 0
  #tickets = 0

  add(count: number): void {
    this.#dependencies += count
    this.#tickets += 1
  }

  tell({ warnings }: Notes): void {
    const [one, those] = [this.#dependencies === 1, this.#tickets === 1]
    if (this.#dependencies > 0)
      warnings.push(
        `${this.#dependencies} ${one ? 'dependency' : 'dependencies'} of ${this.#tickets} ${those ? 'ticket' : 'tickets'} ${one ? 'leads' : 'lead'} to what is not in this source and ${one ? 'was' : 'were'} left out` +
          ' (kept as dropped_dependencies in the event `imported`)',
      )
  }
}

function planOne(
  said: ImportedTicket,
  { id, existing }: Place,
  from: Tracker,
  idOf: (name: string) => string | null,
  gateKey: (key: string) => string,
  outside: Outside,
  notes: Notes,
): Tried {
  // The fuller name stays: later exports are told apart by it.
  const known = existing?.last?.sourceId ?? ''
  const record = fitted(known.length > said.sourceId.length ? { ...said, sourceId: known } : said, id, notes)
  const dependsOn = new Set<string>()
  const droppedDependencies: string[] = []
  for (const name of record.dependsOn) {
    const on = idOf(name)
    if (on !== null) dependsOn.add(on)
    else if (!notes.broken.has(name)) {
      droppedDependencies.push(name)
      notes.drop(id, `dependency on ${name}, which is not in this source`)
    }
  }
  if (droppedDependencies.length > 0) outside.add(droppedDependencies.length)
  const large = Buffer.byteLength(record.body) > maxBodyBytes
  const place = bodyPlace(record)
  if (large) notes.warn(id, `its body is too long for a ticket; it is in ${place}`)
  const body = large ? `The text is in [${place}](${place}).\n` : record.body
  const ticket: Ticket = {
    id,
    slug: record.slug ?? slugInId(id),
    title: record.title,
    status: record.status,
    kind: record.kind,
    priority: record.priority,
    labels: record.labels,
    workflowState: record.workflowState,
    createdAt: record.createdAt,
    updatedAt: record.updatedAt,
    assignee: record.assignee,
    legacyTicket: record.legacyTicket,
    queuedBy: record.queuedBy,
    queuedAt: record.queuedAt,
    dependsOn: [...dependsOn],
    gates: [...new Set(record.gates.map(gateKey))],
  }
  const files = large ? [...record.files, { path: place, content: Buffer.from(record.body) }] : record.files
  const events = eventsOf(record, from, gateKey)
  const gateResults = new Map([...record.gateResults].map(([gate, key]) => [gateKey(gate), eventWith(key, record, events)]))
  const made = existing === null ? makeText(ticket, body, record) : { text: null, why: null }
  const plan = { record, ticket, body, text: made.text, files, droppedDependencies, existing, events, gateResults }
  const values = valuesOf({ ...plan, extra: record.extra, resolution: record.resolution })
  const broken = record.dependsOn.find(name => notes.broken.has(name) && idOf(name) === null)
  const why = broken === undefined ? made.why : `it depends on ${broken}, which is there and cannot be read: ${notes.broken.get(broken)}`
  return { plan: { ...plan, fields: fieldHashes({ ...values, ...gateValues(gateResults) }) }, why }
}

/** Where a long body goes: beside the artifacts of the ticket, and over none of them. */
function bodyPlace({ files }: ImportedTicket): string {
  for (let number = 1; ; number++) {
    const place = `artifacts/body${number === 1 ? '' : `-${number}`}.md`
    if (!files.some(({ path }) => path === place || path.startsWith(`${place}/`))) return place
  }
}

/** `ticket.md` of a new ticket, and why it cannot be one. */
function makeText(ticket: Ticket, body: string, { extra }: ImportedTicket): { readonly text: string | null; readonly why: string | null } {
  try {
    const text = newText(ticket, body, extra)
    return { text, why: whyUnreadable(text, ticket) }
  } catch (error) {
    if (!isFault(error) || error.code !== 'usage') throw error
    return { text: null, why: error.message }
  }
}

const eventWith = (key: string | null, record: ImportedTicket, events: readonly TicketEvent[]): TicketEvent | null =>
  key === null ? null : (events[record.events.findIndex(event => event.key === key)] ?? null)

/** Name of a gate's state among the fields of an import. */
export const gateField = (key: string): string => `gate:${key}`

/** The gate whose state this field is, if it is one. */
export const gateIn = (field: string): readonly string[] => (field.startsWith('gate:') ? [field.slice('gate:'.length)] : [])

const gateValues = (results: Planned['gateResults']): Readonly<Record<string, unknown>> =>
  Object.fromEntries([...results].map(([key, event]) => [gateField(key), event === null ? null : [event['result'], event.at]]))

/** What of a ticket can be changed here and there, by field. */
export interface Values {
  readonly ticket: Ticket
  readonly body: string
  readonly extra: Readonly<Record<string, string>>
  readonly resolution: string | null
  readonly files: readonly ImportedFile[]
}

/** The fields one by one: status and workflow state are one, and so is who queued it when. */
export function valuesOf({ ticket, body, extra, resolution, files }: Values): Readonly<Record<string, unknown>> {
  return {
    title: ticket.title,
    state: [ticket.status, ticket.workflowState],
    kind: ticket.kind,
    priority: ticket.priority,
    labels: ticket.labels,
    assignee: ticket.assignee,
    updated_at: ticket.updatedAt,
    queued: [ticket.queuedBy, ticket.queuedAt],
    depends_on: ticket.dependsOn,
    gates: ticket.gates,
    body,
    resolution,
    ...Object.fromEntries(Object.entries(extra).map(([key, value]) => [`extra:${key}`, value])),
    ...Object.fromEntries(files.map(file => [`file:${file.path}`, fileHash(file)])),
  }
}

/** Of one that nobody can run, that of its content alone. */
export const fileHash = ({ content, isExecutable }: ImportedFile): string =>
  hashOf(content, ...(isExecutable === true ? ['executable'] : []))

/** Enough to tell whether a value is the one that was imported. */
export const fieldHash = (value: unknown): string => hashOf(canonical(value)).slice(0, 8)

const fieldHashes = (values: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, fieldHash(value)]))

/** Milliseconds since 1970, for the part of a ULID that is a time. */
export const millisOf = (time: string): number => {
  const ms = Date.parse(time)
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), Date.parse('9999-12-31T23:59:59Z'))
}

/**
 * The events with their ids. An id is made of the source's id, the event's key and its time, so that a second import, or one on another
 * branch, has the same ones. They rise in the order of the source, also where its times do not; `at` is the source's own.
 */
function eventsOf(record: ImportedTicket, from: Tracker, gateKey: (key: string) => string): readonly TicketEvent[] {
  let at = record.createdAt
  let ms = -1
  let ordinal = 0
  return record.events.map(event => {
    at = event.at ?? at
    const time = Math.max(ms, millisOf(at))
    ordinal = time === ms ? ordinal + 1 : 0
    ms = time
    const { actor, author } = actorOf(event.author, from)
    const gate = event.fields['gate']
    return {
      id: eventId(ms, ordinal, from, record.sourceId, event.key, at),
      type: event.type,
      at,
      actor,
      ...(author === null ? {} : { author }),
      ...event.fields,
      ...(typeof gate === 'string' && gate !== '' ? { gate: gateKey(gate) } : {}),
    }
  })
}

/** Within one millisecond the first two bytes keep the order. */
function eventId(ms: number, ordinal: number, ...identity: readonly string[]): string {
  const unique = new Uint8Array(10)
  unique.set([(ordinal >> 8) & 0xff, ordinal & 0xff])
  unique.set(Buffer.from(hashOf(...identity), 'hex').subarray(0, 8), 2)
  return ulid(ms, unique)
}

/** What one import did to a ticket. */
export interface Done {
  /** Fields that were taken over; null at the first time, for all. */
  readonly keys: readonly string[] | null
  /** Which result of a gate counts from now on, where the order of the events says something else. */
  readonly gateResults: Readonly<Record<string, string | null>>
}

/** The event that says where a ticket comes from. Two imports at different times are two events. */
export function importedEvent(plan: Planned, from: Tracker, actor: string, nowMs: number, { keys, gateResults }: Done): TicketEvent {
  const { record, fields, droppedDependencies } = plan
  const at = isoFromMs(nowMs)
  return {
    // Behind the reopening of the same moment.
    id: eventId(nowMs, 1, from, record.sourceId, record.sourceHash, at),
    type: 'imported',
    at,
    actor,
    from,
    source_id: record.sourceId,
    source_hash: record.sourceHash,
    ...(keys === null ? {} : { keys }),
    ...(isEmpty(gateResults) ? {} : { gate_results: gateResults }),
    ...(droppedDependencies.length === 0 ? {} : { dropped_dependencies: droppedDependencies }),
    ...(Object.keys(record.legacy).length === 0 ? {} : { legacy: record.legacy }),
    fields,
  }
}

/** What `lh ticket reopen` would record, for a ticket that was over here and is open again in its source. */
export function reopenedEvent({ record, ticket }: Planned, before: Ticket, from: Tracker, actor: string, nowMs: number): TicketEvent {
  const at = isoFromMs(nowMs)
  return {
    id: eventId(nowMs, 0, from, record.sourceId, record.sourceHash, at, 'reopened'),
    type: 'reopened',
    at,
    actor,
    reason: `reopened in ${from}`,
    from: before.workflowState,
    to: ticket.workflowState,
    status: before.status,
  }
}

/** What the newest import of a ticket says, from its events in their order. */
export function lastImport(events: readonly TicketEvent[]): LastImport | null {
  const event = events.findLast(
    ({ type, source_id: id, source_hash: hash }) => type === 'imported' && typeof id === 'string' && typeof hash === 'string',
  )
  if (event === undefined) return null
  const fields = event['fields']
  return {
    from: String(event['from']),
    sourceId: String(event['source_id']),
    sourceHash: String(event['source_hash']),
    fields: typeof fields === 'object' && fields !== null ? (fields as Readonly<Record<string, string>>) : {},
  }
}

/** Is nothing new in the source since the last import? */
export const isUnchanged = ({ record, fields, existing }: Planned): boolean =>
  existing?.last?.sourceHash === record.sourceHash && canonical(existing.last.fields) === canonical(fields)
