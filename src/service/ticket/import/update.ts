import { lstatSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import { makeDirectory, remove } from '../../../host/files.ts'
import { newestResults } from '../../gate/results.ts'
import { readRegular, hashOf, isExecutable, maxTicketBytes, replaceFile, checkDirectory } from '../files.ts'
import { appendEvents, readEvents, type TicketEvent } from '../events.ts'
import { editTicket, parseTicket, type Changes } from '../front-matter.ts'
import { isFinished } from '../ticket.ts'
import { whyUnreadable } from './fit.ts'
import { canonical, isSameResult, lineOf, textOf, type ImportedFile, type Notes, type Tracker } from './imported.ts'
import {
  fieldHash,
  fileHash,
  gateField,
  gateIn,
  importedEvent,
  millisOf,
  reopenedEvent,
  valuesOf,
  type Planned,
  type Values,
} from './plan.ts'

// A record that has changed since its last import: what is new comes over, field by field, except where somebody changed it here.

/** Fields as people know them. */
const fieldNames: Readonly<Record<string, string>> = { state: 'status and workflow state', queued: 'queued_by and queued_at' }

/** What an update would do. */
export interface Update {
  /** Fields that take the source's value. */
  readonly keys: readonly string[]
  /** Does it end the work on the ticket? */
  readonly closes: boolean
  /** Writes it; the ticket first, then the events, so that a second run finishes what a first one began. */
  readonly write: () => void
}

/** Compares what is here with what the source says. Warns about each field that both changed. */
export function planUpdate(plan: Planned, from: Tracker, actor: string, nowMs: number, notes: Notes): Update {
  const directory = plan.existing!.directory!
  const file = join(directory, 'ticket.md')
  const bytes = readRegular(file, maxTicketBytes)
  if (typeof bytes === 'string') throw new Error(`${file}: ${bytes}`)
  const text = bytes.toString('utf8')
  const here = parseTicket(text, plan.ticket.id)
  const local: Values = {
    ticket: here.ticket,
    body: here.body,
    extra: Object.fromEntries(
      Object.entries(here.extra).map(([key, value]) => [key, lineOf(typeof value === 'string' ? value : canonical(value))]),
    ),
    resolution: textAt(join(directory, 'resolution.md')),
    files: plan.files.flatMap(({ path }) => {
      const content = readRegular(join(directory, path), Number.MAX_SAFE_INTEGER)
      return typeof content === 'string' ? [] : [{ path, content, isExecutable: isExecutable(join(directory, path)) }]
    }),
  }
  const keys = keysToTake(plan, local, notes)
  for (const path of ['resolution.md', ...plan.files.map(file => file.path)])
    if (keys.includes(path === 'resolution.md' ? 'resolution' : `file:${path}`)) checkRoom(directory, path)
  const before = readEvents([directory])
  const edited = editTicket(text, changesOf(plan, local, keys))
  const why = edited === text ? null : whyUnreadable(edited, plan.ticket)
  if (why !== null) throw usage(`${file} could not be read any more: ${why}.`)
  const fresh = freshEvents(plan.events, before)
  const reopens = keys.includes('state') && isFinished(local.ticket) && !isFinished(plan.ticket)
  const reopening = reopens && !fresh.some(({ type }) => type === 'reopened') ? [reopenedEvent(plan, local.ticket, from, actor, nowMs)] : []
  const gateResults = corrections(inOrder([...before, ...fresh, ...reopening]), standingGates(plan, before, notes))
  return {
    keys,
    closes: keys.includes('state') && isFinished(plan.ticket),
    write: () => {
      if (edited !== text) replaceFile(file, edited, hashOf(bytes))
      if (keys.includes('resolution')) writeResolution(join(directory, 'resolution.md'), plan.record.resolution, local.resolution)
      for (const file of plan.files) if (keys.includes(`file:${file.path}`)) writeArtifact(directory, file, local.files)
      appendEvents(directory, [...fresh, ...reopening, importedEvent(plan, from, actor, nowMs, { keys, gateResults })])
    },
  }
}

/** What a reopened ticket had become is no longer so: the file goes where nobody changed it here. */
function writeResolution(path: string, wanted: string | null, local: string | null): void {
  if (wanted !== null) replaceFile(path, wanted, local === null ? null : hashOf(local))
  else if (textAt(path) === local) remove(path)
}

/** Throws `usage` where something else has the place of a file: of its ticket nothing is to be written then. */
function checkRoom(directory: string, path: string): void {
  let place = directory
  for (const [index, name] of path.split('/').entries()) {
    place = join(place, name)
    const stats = lstatSync(place, { throwIfNoEntry: false })
    if (stats === undefined) return
    const wanted = index === path.split('/').length - 1 ? 'file' : 'directory'
    const found = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'link or device'
    if (found !== wanted) throw usage(`${place} is a ${found} here, and a ${wanted} in the source: move it away, and run this again.`)
  }
}

function textAt(path: string): string | null {
  const bytes = readRegular(path, maxTicketBytes * 16)
  return typeof bytes === 'string' ? null : bytes.toString('utf8')
}

function keysToTake(plan: Planned, local: Values, notes: Notes): readonly string[] {
  const theirs = valuesOf({ ...plan, extra: plan.record.extra, resolution: plan.record.resolution })
  // Git may have given them other line endings.
  const ours = valuesOf({ ...local, body: textOf(local.body), resolution: local.resolution === null ? null : textOf(local.resolution) })
  const before = plan.existing!.last!.fields
  const keys: string[] = []
  for (const [key, value] of Object.entries(theirs)) {
    if (key === 'updated_at') continue
    const [wanted, now] = [fieldHash(value), fieldHash(ours[key] ?? null)]
    if (wanted === before[key] || wanted === now) continue
    // Nothing here, and nothing was imported: a resolution, a file, a key of others that is new.
    const untouched = before[key] === undefined ? ours[key] === undefined || ours[key] === null : now === before[key]
    if (untouched) keys.push(key)
    else
      notes.warn(
        plan.ticket.id,
        `its ${fieldNames[key] ?? key.replace(/^(?:file|extra):/, '')} changed here and in the source; kept as it is here`,
      )
  }
  // What became of it is said only of what is over here, too.
  const goesOn = isFinished(plan.ticket) && !keys.includes('state') && !isFinished(local.ticket)
  return goesOn ? keys.filter(key => key !== 'resolution') : keys
}

function changesOf({ ticket, body, record }: Planned, local: Values, keys: readonly string[]): Changes {
  const takes = (key: string): boolean => keys.includes(key)
  const extra = Object.fromEntries(Object.entries(record.extra).filter(([key]) => takes(`extra:${key}`)))
  const later = millisOf(ticket.updatedAt) > millisOf(local.ticket.updatedAt)
  return {
    ...(takes('title') ? { title: ticket.title } : {}),
    ...(takes('state') ? { status: ticket.status, workflowState: ticket.workflowState } : {}),
    ...(takes('kind') ? { kind: ticket.kind } : {}),
    ...(takes('priority') ? { priority: ticket.priority } : {}),
    ...(takes('labels') ? { labels: ticket.labels } : {}),
    ...(takes('assignee') ? { assignee: ticket.assignee } : {}),
    ...(takes('queued') ? { queuedBy: ticket.queuedBy, queuedAt: ticket.queuedAt } : {}),
    ...(takes('depends_on') ? { dependsOn: ticket.dependsOn } : {}),
    ...(takes('gates') ? { gates: ticket.gates } : {}),
    ...(later ? { updatedAt: ticket.updatedAt } : {}),
    ...(takes('body') ? { body } : {}),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  }
}

/** Events that are not here yet, neither under their id nor with the same content under another. */
function freshEvents(events: readonly TicketEvent[], here: readonly TicketEvent[]): readonly TicketEvent[] {
  const known = new Set(here.map(({ id }) => id))
  const contents = new Set(here.map(withoutId))
  return events.filter(event => !known.has(event.id) && !contents.has(withoutId(event)) && sameResult(event, here) === undefined)
}

/** A result of the source that is here already: its log may have come later, or earlier, than what it says of the gate. */
const sameResult = (event: TicketEvent, here: readonly TicketEvent[]): TicketEvent | undefined =>
  event.type === 'gate' ? here.find(other => !isGivenHere(other) && isSameResult(event, other)) : undefined

/** Results that were given here know under which lease. */
const isGivenHere = (event: TicketEvent): boolean => typeof event['lease_id'] === 'string'

/** The result that is to count of each gate: the source's, except where the gate was decided or reopened here since. */
function standingGates(plan: Planned, here: readonly TicketEvent[], notes: Notes): Planned['gateResults'] {
  const now = newestResults(here)
  const { fields } = plan.existing!.last!
  const keys = new Set([...plan.gateResults.keys(), ...Object.keys(fields).flatMap(gateIn)])
  return new Map(
    [...keys].map(key => {
      const said = plan.gateResults.get(key) ?? null
      const theirs = said === null ? null : (sameResult(said, here) ?? said)
      const ours = now.get(key) ?? null
      const before = fields[gateField(key)]
      if (before === plan.fields[gateField(key)]) return [key, ours] as const
      const touched = ours === null ? before !== undefined && before !== fieldHash(null) : isGivenHere(ours)
      if (!touched) return [key, theirs] as const
      if (ours?.['result'] !== theirs?.['result'])
        notes.warn(plan.ticket.id, `its gate ${key} was decided here and in the source; kept as it is here`)
      return [key, ours] as const
    }),
  )
}

/** Gates whose results do not count as they stand in these events, each with the id of the result that is to count. */
export function corrections(events: readonly TicketEvent[], wanted: Planned['gateResults']): Readonly<Record<string, string | null>> {
  const counts = newestResults(events)
  const wrong = [...wanted].filter(([key, event]) => counts.get(key)?.id !== event?.id)
  return Object.fromEntries(wrong.map(([key, event]) => [key, event?.id ?? null]))
}

const inOrder = (events: readonly TicketEvent[]): readonly TicketEvent[] => events.toSorted((a, b) => (a.id < b.id ? -1 : 1))

const withoutId = (event: TicketEvent): string => canonical({ ...event, id: null })

function writeArtifact(directory: string, file: ImportedFile, local: readonly ImportedFile[]): void {
  const { path, content } = file
  const target = join(directory, path)
  const before = local.find(other => other.path === path)
  for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) checkDirectory(join(directory, folder))
  makeDirectory(dirname(target))
  if (before === undefined || fileHash(before) !== fileHash(file))
    replaceFile(target, content, before === undefined ? null : hashOf(before.content), file.isExecutable)
}
