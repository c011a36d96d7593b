import { isUlid } from '../../core/ulid.ts'

/** The three trailers that say under which ownership of a ticket a commit was made. */
export interface Trio {
  /** Id of the ticket. */
  readonly ticket: string
  readonly leaseId: string
  readonly token: number
}

const keys = ['Leasehold-Ticket', 'Leasehold-Lease', 'Leasehold-Token'] as const

/** The lines that are put into a message. */
export const trioLines = ({ ticket, leaseId, token }: Trio): readonly string[] => [
  `${keys[0]}: ${ticket}`,
  `${keys[1]}: ${leaseId}`,
  `${keys[2]}: ${token}`,
]

interface Found extends Trio {
  /** Numbers of its lines. */
  readonly lines: readonly number[]
  /** It stands inside a quoted message, as `git merge --squash` writes them. */
  readonly quoted: boolean
}

/**
 * Every complete trio of a message, wherever it stands: a squash leaves those of its commits in the middle or indented, and each counts.
 * What is incomplete or malformed is passed over.
 */
export const triosIn = (message: string): readonly Trio[] =>
  find(message.split('\n')).map(({ ticket, leaseId, token }) => ({ ticket, leaseId, token }))

function find(lines: readonly string[]): readonly Found[] {
  const found: Found[] = []
  let open: { ticket?: string; leaseId?: string; token?: number; quoted: boolean; lines: number[] } = { quoted: false, lines: [] }
  for (const [at, line] of lines.entries()) {
    const match = /^([ \t]*)leasehold-(ticket|lease|token):[ \t]*(\S+)\s*$/i.exec(line)
    if (match === null) continue
    const [, indent = '', key = '', value = ''] = match
    const name = ({ ticket: 'ticket', lease: 'leaseId', token: 'token' } as const)[key.toLowerCase() as 'ticket' | 'lease' | 'token']
    if (open[name] !== undefined) open = { quoted: false, lines: [] }
    if (name === 'ticket') open.ticket = value.toLowerCase()
    else if (name === 'leaseId') {
      if (!isUlid(value.toUpperCase())) continue
      open.leaseId = value.toUpperCase()
    } else {
      if (!/^[1-9]\d{0,14}$/.test(value)) continue
      open.token = Number(value)
    }
    open.lines.push(at)
    open.quoted ||= indent !== ''
    const { ticket, leaseId, token } = open
    if (ticket === undefined || leaseId === undefined || token === undefined) continue
    found.push({ ticket, leaseId, token, lines: open.lines, quoted: open.quoted })
    open = { quoted: false, lines: [] }
  }
  return found
}

export interface MessageOptions {
  /** What begins a comment line, where an editor will be or was shown; null when every line is part of the message. */
  readonly comment: string | null
  /** Only a trio of the same ticket is brought up to date; none is added. */
  readonly replaceOnly?: boolean
}

/**
 * The message with this trio as its trailers; one of the same ticket, from before an amend or a reword, goes. Comments, what stands below
 * the scissors and the line ends stay as they are.
 */
export function withTrio(message: string, trio: Trio, { comment, replaceOnly = false }: MessageOptions): string {
  const eol = /^[^\n]*\r\n/.test(message) ? '\r\n' : '\n'
  const { body, rest } = split(message, comment)
  const lines = body.split('\n').map(line => line.replace(/\r$/, ''))
  const same = find(lines).filter(found => found.ticket === trio.ticket && !found.quoted)
  const [only] = same
  if (same.length === 1 && only!.leaseId === trio.leaseId && only!.token === trio.token) return message
  if (replaceOnly && same.length === 0) return message
  const gone = new Set(same.flatMap(found => found.lines))
  const kept = lines.filter((_, at) => !gone.has(at))
  while (kept.length > 0 && kept.at(-1)!.trim() === '') kept.pop()
  const isEmpty = kept.every(line => line.trim() === '')
  // The first line is the subject's, still to be written.
  const head = isEmpty ? ['', ''] : isTrailerBlock(kept) ? kept : [...kept, '']
  const after = rest === '' ? '' : /^\r?\n/.test(rest) ? rest : `${eol}${rest}`
  return `${[...head, ...trioLines(trio)].join(eol)}${eol}${after}`
}

/** What will be the message, and what Git will cut off. */
function split(message: string, comment: string | null): { readonly body: string; readonly rest: string } {
  if (comment === null) return { body: message, rest: '' }
  const lines = message.split('\n')
  const scissors = lines.findIndex(line => line.replace(/\r$/, '') === `${comment} ------------------------ >8 ------------------------`)
  let end = scissors < 0 ? lines.length : scissors
  while (end > 0 && (lines[end - 1]!.trim() === '' || lines[end - 1]!.startsWith(comment))) end--
  const body = lines.slice(0, end)
  return { body: body.join('\n') + (end > 0 && end < lines.length ? '\n' : ''), rest: lines.slice(end).join('\n') }
}

/** Is the last paragraph one of trailers? The first is the subject, whatever it looks like. */
function isTrailerBlock(lines: readonly string[]): boolean {
  const start = lines.findLastIndex(line => line.trim() === '') + 1
  const before = lines.slice(0, start).some(line => line.trim() !== '')
  return before && lines.slice(start).every(line => /^([A-Za-z0-9-]+[ \t]*:|[ \t]+\S|\(cherry picked from commit )/.test(line))
}
