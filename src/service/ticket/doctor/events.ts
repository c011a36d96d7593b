import type { TicketEvent } from '../events.ts'
import { shellWord } from '../../../core/shell-word.ts'
import { parseEvents, tidyEvents } from '../events.ts'
import type { Diagnosis, Mend } from './finding.ts'
import { error, info, warning } from './finding.ts'

// What one `events.jsonl` has wrong with it by itself.

const mend = 'lh ticket doctor --fix'
const tidy: Mend = { kind: 'edit', edit: tidyEvents }
const endLine: Mend = { kind: 'edit', edit: text => `${text}\n` }
const unmark: Mend = { kind: 'edit', edit: text => tidyEvents(withoutMarkers(text)) }

/** The events of a file, in order, each once; and what is wrong with the file. */
export function readEventFile(
  text: string,
  file: string,
): { readonly events: readonly TicketEvent[]; readonly faults: readonly Diagnosis[] } {
  const { events, problems } = parseEvents(text)
  const faults = problems.map(({ code, message, line }) => {
    const place = { file, line }
    switch (code) {
      case 'conflict_marker':
        return error('events-conflict-markers', place, message, `${mend} removes it and keeps both sides`, unmark)
      case 'doubled_event':
        return warning('events-doubled', place, message, `${mend} keeps one of them`, tidy)
      case 'conflicting_event':
        return error('events-doubled', place, message, 'give one of them another id, or remove the wrong one; readers see the first')
      default:
        return error('events-malformed', place, message, `mend or remove the line; readers pass over it: git log -p -- ${shellWord(file)}`)
    }
  })
  if (text !== '' && !text.endsWith('\n'))
    faults.push(warning('events-no-newline', { file, line: lastLine(text) }, 'the last line does not end', `${mend} ends it`, endLine))
  for (const { id, at } of events)
    if (Number.isNaN(Date.parse(at)))
      faults.push(
        error(
          'events-malformed',
          { file, line: lineOf(text, id) },
          `event ${id}: ${JSON.stringify(at)} is no time`,
          'write it like 2026-06-07T22:02:25.000Z',
        ),
      )
  const disorder = events.length > 1 && seemsOutOfOrder(text) ? firstOutOfOrder(text) : null
  if (disorder !== null)
    faults.push(
      info(
        'events-out-of-order',
        { file, line: disorder },
        'events are not in the order of their ids, as after a merge; readers sort them',
        `${mend} sorts them`,
        tidy,
      ),
    )
  return { events, faults }
}

const usual = '{"id":"'
const anyId = /"id"\s*:\s*"([0-7][0-9A-HJKMNP-TV-Z]{25})"/

/** Is there perhaps a line whose event belongs before an earlier one? By the looks of it: it may be none that can be read. */
function seemsOutOfOrder(text: string): boolean {
  let latest = ''
  for (let start = 0; start < text.length;) {
    const end = text.indexOf('\n', start)
    const next = end < 0 ? text.length : end + 1
    // As every writer of ours begins a line; others may write it as they like.
    const id = text.startsWith(usual, start)
      ? text.slice(start + usual.length, start + usual.length + 26)
      : anyId.exec(text.slice(start, next))?.[1]
    if (id !== undefined && id < latest) return true
    latest = id ?? latest
    start = next
  }
  return false
}

/** The first line whose event belongs before an earlier one; what cannot be read keeps its place. */
function firstOutOfOrder(text: string): number | null {
  let latest = ''
  for (const [index, line] of text.split('\n').entries()) {
    const [event] = parseEvents(line).events
    if (event === undefined) continue
    if (event.id < latest) return index + 1
    latest = event.id
  }
  return null
}

/** Number of the line that the first event with this id is on. */
export const lineOf = (text: string, id: string): number => lineAt(text, Math.max(0, text.indexOf(`"${id}"`)))

const lineAt = (text: string, offset: number): number => text.slice(0, offset).split('\n').length
const lastLine = (text: string): number => text.split('\n').length

/** Both sides of every conflict, and what was before it where Git shows that as well: events are only ever added. */
const withoutMarkers = (text: string): string => text.replaceAll(/^\ufeff?(?:<{7}|={7}|>{7}|\|{7})(?: .*)?(?:\r?\n|$)/gm, '')
