import type { Pending } from '../../service/claim/pending.ts'
import type { SeenSession } from '../../service/session/report.ts'
import { columns, paint, paintStanding, printable, secondsInWords } from './text.ts'

// Sessions and launches in flight, as text.

/** Sessions as a table, with the command that opens each. */
export function sessionTable(sessions: readonly SeenSession[], colour: boolean): readonly string[] {
  const rows = sessions.map(({ session, standing, open }) => [
    printable(session.name),
    standing,
    printable(session.role),
    printable(session.relatedTickets.join(', ') || '-'),
    printable(session.agentId),
    printable(open ?? ''),
  ])
  return columns(rows, (text, row, column) =>
    column === 1
      ? paintStanding(colour, rows[row]![1]!) + text.slice(rows[row]![1]!.length)
      : column === 0
        ? paint(colour, 'bold', text)
        : text,
  )
}

/** Launches in flight as a table, with the command that ends one that was left behind. */
export const pendingTable = (pending: readonly Pending[], colour: boolean): readonly string[] =>
  columns(
    pending.map(each => [
      printable(each.resource),
      printable(each.role ?? '-'),
      printable(each.agentId),
      launcherInWords(each),
      `for ${secondsInWords(each.ageMs / 1000)}`,
      printable(each.open ?? ''),
    ]),
    (text, _row, column) => (column === 0 ? paint(colour, 'bold', text) : text),
  )

/** The process that launches, or what it left behind. */
export function launcherInWords({ launcherPid, launcherAlive, agentPid }: Pending): string {
  if (launcherAlive) return launcherPid === null ? 'being launched' : `being launched by pid ${launcherPid}`
  return agentPid === null ? 'its launcher is gone' : `its launcher is gone, pid ${agentPid} still runs`
}
