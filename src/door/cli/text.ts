import type { styleText } from 'node:util'
import type { Wire } from '../../core/wire.ts'
import type { Seen } from '../../service/claim/answer.ts'

// Text for people. It says what the documents that `--json` prints say.

type Style = Parameters<typeof styleText>[0]

/** Colours a text if colours are wanted. */
export const paint = (colour: boolean, style: Style, text: string): string =>
  colour ? process.getBuiltinModule('node:util').styleText(style, text, { validateStream: false }) : text

/** A duration in seconds: `45 s`, `29 min`, `3 h 5 min`. */
export function secondsInWords(secs: number): string {
  if (secs < 120) return `${Math.round(secs)} s`
  const minutes = Math.round(secs / 60)
  if (minutes < 120) return `${minutes} min`
  return `${Math.floor(minutes / 60)} h${minutes % 60 === 0 ? '' : ` ${minutes % 60} min`}`
}

/** When a lease ends, as people say it. */
export const untilInWords = (lease: Wire): string => endInWords(lease['remaining_secs'] as number | null)

/** The same of the seconds that it has left, null for an indefinite one. */
export function endInWords(left: number | null): string {
  if (left === null) return 'indefinitely'
  return left > 0 ? `for ${secondsInWords(left)}` : `expired ${secondsInWords(-left)} ago`
}

/** A member of a document as text; an absent one is empty. */
export const said = (value: unknown): string =>
  value === null || value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value)

/** The holder's agent and, where it has one, session. */
export function holderInWords(lease: Wire): string {
  const holder = lease['holder'] as Wire
  return agentInWords(String(holder['agent_id']), holder['session_id'] as string | null)
}

export const agentInWords = (agentId: string, sessionId: string | null): string =>
  sessionId === null ? agentId : `${agentId} in session ${sessionId}`

const standingStyles: Readonly<Record<string, Style>> = {
  live: 'green',
  restorable: 'cyan',
  stale: 'yellow',
  expired: 'yellow',
  dead: 'red',
  pending: 'cyan',
  free: 'green',
}

export const paintStanding = (colour: boolean, standing: string): string => paint(colour, standingStyles[standing] ?? 'white', standing)

// oxlint-disable-next-line no-control-regex -- these are the ones meant
const control = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/
const everyControl = new RegExp(control, 'g')

/** Control characters in what somebody typed must not reach a terminal. */
export const printable = (text: string): string =>
  control.test(text) ? text.replace(everyControl, found => `\\u{${found.codePointAt(0)!.toString(16)}}`) : text

/** A line of a text; what is indented stays so. */
export const printableLine = (line: string): string => line.split('\t').map(printable).join('\t')

/** Columns, left-aligned; colour is added after the widths are known. */
export function columns(
  rows: readonly (readonly string[])[],
  decorate?: (text: string, row: number, column: number) => string,
): readonly string[] {
  const widths: number[] = []
  for (const row of rows)
    for (let column = 0; column < row.length; column++) {
      const { length } = row[column]!
      if (!(widths[column]! >= length)) widths[column] = length
    }
  return rows.map((row, at) => {
    const last = row.length - 1
    const cells = row.map((text, column) => {
      const cell = column === last ? text : text.padEnd(widths[column]!)
      return decorate === undefined ? cell : decorate(cell, at, column)
    })
    const line = cells.join('  ')
    return cells[last] === '' || line.endsWith(' ') ? line.trimEnd() : line
  })
}

/** Leases as a table. */
export function leaseTable(leases: readonly Seen[], colour: boolean): readonly string[] {
  if (leases.length === 0) return ['no leases']
  const rows = leases.map(({ lease, standing, leftSecs }) => [
    printable(lease.resource),
    printable(agentInWords(lease.holder.agentId, lease.holder.sessionId)),
    lease.holder.worktreeId,
    `token ${lease.token}`,
    standing,
    endInWords(leftSecs),
    printable(lease.reason ?? ''),
  ])
  if (!colour) return columns(rows)
  return columns(rows, (text, row, column) =>
    column === 4
      ? paintStanding(colour, rows[row]![4]!) + text.slice(rows[row]![4]!.length)
      : column === 0
        ? paint(colour, 'bold', text)
        : text,
  )
}

/** Who has a session lock, on one line. */
export const lockInWords = (lock: Wire): string =>
  printable(
    `${typeof lock['agent'] === 'string' ? lock['agent'] : 'an agent'} session ${String(lock['session_id'])} (pid ${String(lock['pid'])})`,
  )
