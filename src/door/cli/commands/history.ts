import { isFault, usage } from '../../../core/fault.ts'
import type { Wire } from '../../../core/wire.ts'
import { followHistory, Gaps, historyDocument } from '../../../service/claim/past.ts'
import { exportLines } from '../../../service/maintenance/compact.ts'
import { parseDuration } from '../../../service/config/durations.ts'
import type { Context, Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import { openWorkspace } from '../open.ts'
import { resourceOf } from '../resource.ts'
import { columns, paint, printable, said } from '../text.ts'

/** `--since`: a duration back from now, or a date and time. Milliseconds since the epoch. */
function sinceOption(context: Context): number | undefined {
  const text = textOption(context, 'since')
  if (text === undefined) return undefined
  const at = /^\d{4}-/.test(text) ? dateOf(text) : Date.now() - backFrom(text)
  if (Number.isNaN(at))
    throw usage(`--since: ${JSON.stringify(text)} is neither a duration nor a date`, 'write 2h, 1d or 2026-01-31T12:00:00Z')
  return at
}

/** Milliseconds since the epoch; NaN for what is no date: `Date.parse` takes 30 February for a day in March, and words for a time. */
function dateOf(text: string): number {
  const [, year, month, day = '1'] =
    /^(\d{4})-(\d\d)(?:-(\d\d)(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?)?$/.exec(text) ?? []
  const isDay = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  return isDay ? Date.parse(text) : NaN
}

/** Milliseconds; NaN for what is no duration. */
function backFrom(text: string): number {
  try {
    return parseDuration(text, '--since')
  } catch (error) {
    if (isFault(error)) return NaN
    throw error
  }
}

/** `lh claim history` */
export const history: Run = async context => {
  const follow = switchOption(context, 'follow')
  if (follow && context.output.quiet) throw usage('--follow shows what happens, --quiet shows nothing', 'leave one of them out')
  const workspace = await openWorkspace(context)
  const [text] = context.positionals
  const sinceMs = sinceOption(context)
  const query = {
    ...(text === undefined ? {} : { resource: await resourceOf(workspace, text) }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
  }
  if (follow) {
    const { json, colour, raw } = context.output
    const tell = (operation: Wire): boolean =>
      raw(json ? `${JSON.stringify(operation)}\n` : `${operationLines([operation], colour).join('\n')}\n`)
    await followHistory(workspace, query, tell)
    return 0
  }
  const document = await historyDocument(workspace.store, query)
  const operations = document['operations'] as readonly Wire[]
  for (const warning of document['warnings'] as readonly string[]) context.output.warn(warning)
  context.output.answer(document, operations.length === 0 ? ['nothing has happened'] : operationLines(operations, context.output.colour))
  return 0
}

/** `lh log export` */
export const exportLog: Run = async context => {
  const workspace = await openWorkspace(context)
  const sinceMs = sinceOption(context)
  const gaps = new Gaps()
  const query = { ...(sinceMs === undefined ? {} : { sinceMs }), unreadable: gaps.note }
  for await (const line of exportLines(workspace.store, query)) if (!context.output.raw(`${line}\n`)) return 0
  for (const warning of gaps.warnings) context.output.warn(warning)
  return 0
}

function operationLines(operations: readonly Wire[], colour: boolean): readonly string[] {
  const rows = operations.map(operation => [
    String(operation['at']),
    `#${String(operation['seq'])}`,
    String(operation['op']),
    printable(subject(operation)),
    printable(whoDidIt(operation)),
  ])
  return columns(rows, (text, _row, column) =>
    column === 0 ? paint(colour, 'dim', text) : column === 2 ? paint(colour, styleOf(text.trim()), text) : text,
  )
}

const styleOf = (op: string): 'green' | 'red' | 'yellow' | 'cyan' =>
  op === 'acquire' ? 'green' : op === 'force-evict' || op === 'repair' ? 'red' : op === 'auto-evict' ? 'yellow' : 'cyan'

function subject(operation: Wire): string {
  const { resource, resources, session } = operation
  if (operation['op'] === 'session') return `session ${said((session as Wire)['name'])}`
  return Array.isArray(resources) ? resources.join(' ') : typeof resource === 'string' ? resource : ''
}

function whoDidIt(operation: Wire): string {
  const previous = operation['previous_holder'] as Wire | undefined
  const session = operation['op'] === 'session' ? (operation['session'] as Wire) : null
  const because = said(operation['reason'] ?? session?.['end_reason'])
  const reason = because === '' ? '' : ` (${because})`
  const whose = previous === undefined ? '' : ` ended ${String(previous['agent_id'])}`
  const outcome = said(operation['outcome'] ?? session?.['state'])
  return `${String(operation['actor'])}${whose}${outcome === '' ? '' : `: ${outcome}`}${reason}`
}
