import { maxTicketBytes } from '../files.ts'
import { editTicket, formatTicket, parseTicket } from '../front-matter.ts'
import { scanTicket } from '../scan.ts'
import type { Ticket } from '../ticket.ts'
import { isEmpty, type ImportedTicket, type Notes } from './imported.ts'

// What of a record fits into a ticket: nothing is written that could not be read again.

/** A title that is longer is cut. Characters. */
const maxTitle = 1000

/** A key of others with a longer value is kept in the event `imported`. Characters. */
const maxValue = 1000

/** And all of them, when they are longer together. Characters. */
const maxValues = 16_000

/** The record with its title and the keys of others as long as front matter takes them; the rest goes to `legacy`. */
export function fitted(record: ImportedTicket, id: string, notes: Notes): ImportedTicket {
  const [extra, tooLong] = split(record.extra)
  for (const key of Object.keys(tooLong)) notes.drop(id, `${key}: too long for a ticket (kept in the event \`imported\`)`)
  const isLong = record.title.length > maxTitle
  if (isLong) notes.warn(id, `its title has ${record.title.length} characters; it was cut (all of it is kept in the event \`imported\`)`)
  const title = isLong ? `${record.title.slice(0, maxTitle - 1).replace(/\p{Surrogate}$/u, '')}…` : record.title
  const legacy = { ...record.legacy, ...tooLong, ...(isLong ? { title: record.title } : {}) }
  return { ...record, title, extra, legacy }
}

type Extra = ImportedTicket['extra']

function split(extra: Extra): readonly [fits: Extra, tooLong: Extra] {
  const short = Object.entries(extra).filter(([, value]) => value.length <= maxValue)
  const length = short.reduce((sum, [key, value]) => sum + key.length + value.length, 0)
  const fits = Object.fromEntries(length > maxValues ? [] : short)
  return [fits, Object.fromEntries(Object.entries(extra).filter(([key]) => !Object.hasOwn(fits, key)))]
}

/** `ticket.md` of a new ticket. Throws `usage` for a value that cannot be written. */
export function newText(ticket: Ticket, body: string, extra: Extra): string {
  const plain = formatTicket(ticket, body)
  return isEmpty(extra) ? plain : editTicket(plain, { extra })
}

/** Why nobody could read this text as this ticket; null when it can be read. */
export function whyUnreadable(text: string, ticket: Ticket): string | null {
  const size = Buffer.byteLength(text)
  if (size > maxTicketBytes) return `its ticket.md would have ${size} bytes, and a ticket has at most ${maxTicketBytes}`
  if (scanTicket(text)?.id === ticket.id) return null
  const problem = parseTicket(text, ticket.id).problems[0]
  return problem === undefined ? null : `${problem.message}${longList(ticket)}`
}

/** What makes the front matter long, for people. */
function longList({ labels, dependsOn, gates }: Ticket): string {
  const lists = [
    { name: 'labels', length: labels.length },
    { name: 'dependencies', length: dependsOn.length },
    { name: 'gates', length: gates.length },
  ]
  const [most] = lists.toSorted((a, b) => b.length - a.length)
  return most!.length < 100 ? '' : ` (${most!.length} ${most!.name})`
}
