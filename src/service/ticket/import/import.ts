import { isFault, usage } from '../../../core/fault.ts'
import type { Wire } from '../../../core/wire.ts'
import { ensureAttributes } from '../attributes.ts'
import type { Listed } from '../catalogue.ts'
import { maxEventBytes } from '../events.ts'
import { createTicketDirectory } from '../files.ts'
import { readBeads } from './beads.ts'
import { existingTickets, whyBroken } from './existing.ts'
import { gateKeysOf, newGates, standIns, writeGates } from './gates.ts'
import { readGithub } from './github.ts'
import type { ImportedTicket, Mapped, Notes, Source, Tracker } from './imported.ts'
import { readJit } from './jit.ts'
import type { Held } from './held.ts'
import { importedEvent, isUnchanged, planTickets, type Planned } from './plan.ts'
import { corrections, planUpdate } from './update.ts'
import { readYoi } from './yoi.ts'

/** What an import needs to know beside the source. */
export interface ImportOptions {
  /** Top of the worktree that is written to. */
  readonly root: string
  readonly from: Tracker
  readonly path: string
  /** Who imports. */
  readonly actor: string
  readonly nowMs: number
  /** The tickets that are there, each once. */
  readonly tickets: AsyncIterable<Listed>
  /** Who holds this ticket: it is not changed under the hands of others, and not closed under anybody's. */
  readonly heldBy: (id: string) => Held | null
  readonly dryRun: boolean
  readonly progress?: (done: number, total: number) => void
}

/** What an import did, or would do. */
export interface Imported {
  readonly from: Tracker
  readonly dryRun: boolean
  readonly imported: number
  readonly updated: number
  readonly unchanged: number
  readonly skipped: number
  /** Definitions of gates that are new. */
  readonly gates: number
  readonly warnings: readonly string[]
  readonly dropped: readonly string[]
  readonly mapped: { readonly states: Mapped; readonly priorities: Mapped }
}

/** Reads a tracker's records. Throws `usage` when there is nothing to read; nothing was written then. */
export function readSource(from: Tracker, path: string): Source {
  switch (from) {
    case 'yoi':
      return readYoi(path)
    case 'jit':
      return readJit(path)
    case 'beads':
      return readBeads(path)
    case 'github':
      return readGithub(path)
  }
}

/**
 * Takes over what another tracker has: each ticket as a whole or not at all, so that a run that was killed is finished by the next. What
 * was imported before is brought up to date, except where it was changed here.
 */
export async function importTickets(options: ImportOptions): Promise<Imported> {
  const { root, from, dryRun } = options
  const { tickets, gates, notes } = readSource(from, options.path)
  const { existing, names } = await existingTickets(root, options.tickets)
  const ids = new Set(existing.map(({ id }) => id))
  const isTaken = (id: string): boolean => ids.has(id) || names.has(id)
  const keyOf = gateKeysOf([...gates.map(({ key }) => key), ...tickets.flatMap(gatesIn)])
  const { planned, left } = planTickets(tickets, from, existing, isTaken, keyOf, notes)
  const defined = newGates(root, gates, keyOf, notes)
  const needed = planned.map(({ ticket }) => ticket.gates)
  const fresh = [...defined, ...standIns(root, needed, defined, notes)]
  if (!dryRun) {
    ensureAttributes(root)
    writeGates(root, fresh)
  }
  const elsewhere: string[] = []
  const counts = { imported: 0, updated: 0, unchanged: 0, skipped: left }
  for (const [index, plan] of planned.entries()) {
    counts[carryOut(plan, options, notes, elsewhere)] += 1
    options.progress?.(index + 1, planned.length)
  }
  if (elsewhere.length > 0) notes.warnings.push(tellElsewhere(elsewhere))
  const { warnings, dropped, states, priorities } = notes
  return { from, dryRun, ...counts, gates: fresh.length, warnings, dropped, mapped: { states, priorities } }
}

/** Every gate that a record speaks of. */
const gatesIn = ({ gates, gateResults, events }: ImportedTicket): readonly string[] => [
  ...gates,
  ...gateResults.keys(),
  ...events.map(({ fields }) => fields['gate']).filter(gate => typeof gate === 'string'),
]

/** A copy of its own would meet the other one at the next merge. */
function tellElsewhere(ids: readonly string[]): string {
  const [them, some] = [ids.length === 1 ? 'ticket is' : 'tickets are', ids.slice(0, 3).join(', ')]
  return (
    `${ids.length} ${them} not in this worktree, but in the main one or on the base branch: ${some}${ids.length > 3 ? ', …' : ''}; ` +
    'import there, or merge first'
  )
}

type Outcome = 'imported' | 'updated' | 'unchanged' | 'skipped'

function carryOut(plan: Planned, options: ImportOptions, notes: Notes, elsewhere: string[]): Outcome {
  const { existing, ticket } = plan
  if (existing?.directory === null) {
    elsewhere.push(ticket.id)
    return 'skipped'
  }
  const broken = existing === null ? null : whyBroken(existing.directory, ticket.id)
  if (broken !== null) {
    notes.warn(ticket.id, `${broken}. It stays as it is.`)
    return 'skipped'
  }
  if (isUnchanged(plan)) return 'unchanged'
  const held = existing === null ? null : options.heldBy(ticket.id)
  if (held?.mine === false) {
    notes.warn(
      ticket.id,
      `${held.agentId} holds it; what is new in the source was left out. Run this again when it is free: lh why ${ticket.id}`,
    )
    return 'skipped'
  }
  try {
    if (existing === null) return create(plan, options)
    const update = planUpdate(plan, options.from, options.actor, options.nowMs, notes)
    if (held !== null && update.closes) {
      notes.warn(ticket.id, `the source closed it, and you hold it; left out. Run this again after: lh claim release ${ticket.id}`)
      return 'skipped'
    }
    if (!options.dryRun) update.write()
    return 'updated'
  } catch (error) {
    // A file that somebody edits, made or broke: the others are not to wait for it.
    if (!isFault(error) || (error.code !== 'policy' && error.code !== 'usage')) throw error
    notes.warn(ticket.id, [error.message.replace(/[^.]$/, '$&.'), 'It is left out.', error.hint ?? ''].join(' ').trimEnd())
    return 'skipped'
  }
}

function create(plan: Planned, { root, from, actor, nowMs, dryRun }: ImportOptions): Outcome {
  const { ticket, record, files } = plan
  const done = { keys: null, gateResults: corrections(plan.events, plan.gateResults) }
  const events = [...plan.events, importedEvent(plan, from, actor, nowMs, done)]
  const lines = events.map(event => `${JSON.stringify(event)}\n`).join('')
  if (Buffer.byteLength(lines) > maxEventBytes) throw usage(`its events have more than ${maxEventBytes} bytes.`)
  if (dryRun) return 'imported'
  const contents = {
    'ticket.md': plan.text!,
    'events.jsonl': lines,
    ...(record.resolution === null ? {} : { 'resolution.md': record.resolution }),
    ...Object.fromEntries(files.map(({ path, content }) => [path, content])),
  }
  const executable = new Set(files.filter(({ isExecutable }) => isExecutable).map(({ path }) => path))
  createTicketDirectory(root, ticket.id, contents, executable)
  return 'imported'
}

/** The report as it goes on the wire. */
export const importToWire = (report: Imported): Wire => ({
  ok: true,
  from: report.from,
  dry_run: report.dryRun,
  imported: report.imported,
  updated: report.updated,
  unchanged: report.unchanged,
  skipped: report.skipped,
  gates: report.gates,
  mapped: report.mapped,
  dropped: report.dropped,
  warnings: report.warnings,
})

/** A list for people ends here; `--json` has all of it. */
const mostLines = 20

/** The report for people. */
export function importLines(report: Imported): readonly string[] {
  const { imported, updated, unchanged, skipped, gates, mapped, dropped, dryRun, from } = report
  const rows = [
    ...rowsOf('state', mapped.states),
    ...rowsOf('priority', mapped.priorities),
    ...(gates === 0 ? [] : [['gates', '', `${gates} new in .leasehold/gates`] as const]),
  ]
  const width = [0, 1].map(column => Math.max(0, ...rows.map(row => row[column]!.length)))
  return [
    `${dryRun ? 'Would import' : 'Imported'} ${imported} from ${from}: ${updated} updated, ${unchanged} unchanged, ${skipped} skipped.`,
    ...rows.map(([name, source, target]) => `  ${name.padEnd(width[0]!)}  ${source.padEnd(width[1]!)}  ${target}`.trimEnd()),
    ...(dropped.length === 0
      ? []
      : [`  left out or without a place here (${dropped.length}):`, ...few(dropped).map(line => `    ${line}`)]),
  ]
}

/** The first of many lines, and how many more there are. */
export const few = (lines: readonly string[]): readonly string[] =>
  lines.length <= mostLines ? lines : [...lines.slice(0, mostLines - 1), `… and ${lines.length - mostLines + 1} more; --json has them all`]

const rowsOf = (name: string, mapped: Mapped): readonly (readonly [string, string, string])[] =>
  Object.entries(mapped).flatMap(([source, targets]) =>
    Object.entries(targets).map(([target, count]) => [name, source, `→ ${target}  ${count}`] as const),
  )
