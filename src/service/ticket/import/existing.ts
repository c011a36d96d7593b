import { isUtf8 } from 'node:buffer'
import { join } from 'node:path'
import { shellWord } from '../../../core/shell-word.ts'
import type { Listed } from '../catalogue.ts'
import { isUnreadable } from '../catalogue.ts'
import { readEvents } from '../events.ts'
import { lineOfBadByte, maxTicketBytes, readRegular, ticketsDirectory } from '../files.ts'
import { parseTicket } from '../front-matter.ts'
import { scanTicket } from '../scan.ts'
import { idPattern } from '../ticket.ts'
import { lastImport, type Existing } from './plan.ts'
import { entriesOf, isFileAt } from './source.ts'

// The tickets that are there before an import, also those that nobody can read at the moment.

/** The tickets that are there, and all names. */
interface Existings {
  readonly existing: readonly Existing[]
  /**
   * What has a name where tickets are, as it was before the first of them was read: what another import makes meanwhile is to be met by its
   * name, and not to be taken over a second time under another.
   */
  readonly names: ReadonlySet<string>
}

/**
 * One pass over what is there. Only tickets of this worktree are asked where they came from: the others are not written to. A directory
 * that lost its `ticket.md` is still the ticket that its events speak of.
 */
export async function existingTickets(root: string, tickets: AsyncIterable<Listed>): Promise<Existings> {
  const parent = ticketsDirectory(root)
  const there = entriesOf(parent)
  const existing: Existing[] = []
  const listed = new Set<string>()
  for await (const { ticket, located } of tickets) {
    const directory = located.source === 'here' ? located.directory : null
    const last = directory === null ? null : lastImport(readEvents([directory]))
    existing.push({ id: ticket.id, legacyTicket: ticket.legacyTicket, createdAt: ticket.createdAt, directory, last })
    listed.add(ticket.id)
  }
  for (const id of there.directories) {
    const directory = join(parent, id)
    if (listed.has(id) || !idPattern.test(id) || !isFileAt(join(directory, 'events.jsonl'))) continue
    const last = lastImport(readEvents([directory]))
    if (last !== null) existing.push({ id, legacyTicket: null, createdAt: null, directory, last })
  }
  return { existing, names: new Set([...there.directories, ...there.files, ...there.others]) }
}

/** Why a ticket that is there cannot be brought up to date, and what to do; null when its file can be read. */
export function whyBroken(directory: string, id: string): string | null {
  const file = join(directory, 'ticket.md')
  const bytes = readRegular(file, maxTicketBytes)
  if (bytes === 'missing')
    return `${file} is missing; to get it back: git checkout -- ${shellWord(file)}; to import it anew: rm -r ${shellWord(directory)}`
  if (typeof bytes === 'string') return `${file} cannot be read: ${bytes}; look at it: ls -l ${shellWord(file)}`
  if (!isUtf8(bytes)) return `${file}:${lineOfBadByte(bytes)}: it is not UTF-8; write it as UTF-8, and run this again`
  const text = bytes.toString('utf8')
  if (scanTicket(text)?.id === id) return null
  const problem = parseTicket(text, id).problems.find(isUnreadable)
  if (problem === undefined) return null
  const why = /^<{7}(?: |\r?$)/m.test(text) ? 'an unresolved merge' : problem.message
  return `${file}:${problem.line ?? 1}: ${why}; mend it, and run this again`
}
