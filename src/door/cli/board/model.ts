import type { Overview } from '../../../service/session/overview.ts'
import { shellWord } from '../../../core/shell-word.ts'
import { agentInWords, secondsInWords } from '../text.ts'
import { launcherInWords } from '../launched.ts'
import type { Key } from './keys.ts'

// The board as data: what is on it, what is chosen, and what a key does to it. Nothing here knows a terminal.

/** What can be done with what is chosen. */
export type Subject =
  | { readonly kind: 'pending'; readonly resource: string; readonly open: string | null }
  | { readonly kind: 'session'; readonly name: string; readonly standing: string; readonly where: string }
  | { readonly kind: 'ticket'; readonly id: string }
  | { readonly kind: 'lease'; readonly resource: string }

/** One row that can be chosen. */
export interface Item {
  /** The same while it is the same thing. */
  readonly key: string
  readonly cells: readonly string[]
  readonly tone: Tone
  readonly subject: Subject
}

export type Tone = 'live' | 'restorable' | 'stale' | 'dead' | 'pending' | 'plain'

export interface Section {
  readonly title: string
  readonly items: readonly Item[]
}

/** What the board shows besides the overview. */
export interface Board {
  readonly sections: readonly Section[]
  /** Key of the chosen item; null when there is none. */
  readonly chosen: string | null
  /** Somebody is asked why. */
  readonly asking: { readonly name: string; readonly text: string } | null
  /** What happened last. */
  readonly message: string
  /** Why the store cannot be read now; the sections are then what was seen last. */
  readonly trouble: string | null
  /** When the sections were seen: wall clock, milliseconds. */
  readonly seenAt: number
}

/** What a key asks of whoever runs the board. */
export type Action =
  | { readonly kind: 'quit' }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'resume'; readonly name: string }
  | { readonly kind: 'launch'; readonly ticket: string }
  | { readonly kind: 'reclaim'; readonly name: string; readonly reason: string }

/** Everything of an overview, in sections; those without anything are left out. */
export function sectionsOf({ pending, sessions, mine, others, tickets }: Overview): readonly Section[] {
  const launched = (title: string, ...standings: readonly string[]): Section => ({
    title,
    items: sessions.filter(({ standing }) => standings.includes(standing)).map(sessionItem),
  })
  const names = new Map(sessions.map(({ session }) => [session.sessionId, session.name]))
  const held = (leases: Overview['mine']): readonly Item[] => leases.map(seen => leaseItem(seen, names))
  const sections: readonly Section[] = [
    { title: 'pending', items: pending.map(pendingItem) },
    launched('live', 'live'),
    launched('restorable', 'restorable'),
    launched('stale', 'stale', 'dead'),
    { title: 'my leases', items: held(mine) },
    { title: 'leases of others', items: held(others) },
    { title: 'tickets that can be claimed', items: tickets.map(ticketItem) },
  ]
  return sections.filter(({ items }) => items.length > 0)
}

const pendingItem = (each: Overview['pending'][number]): Item => ({
  key: `pending ${each.resource}`,
  cells: [each.resource, each.role ?? '-', each.agentId, launcherInWords(each), `for ${secondsInWords(each.ageMs / 1000)}`],
  tone: each.launcherAlive ? 'pending' : 'stale',
  subject: { kind: 'pending', resource: each.resource, open: each.open },
})

function sessionItem({ session, standing }: Overview['sessions'][number]): Item {
  const { name, role, relatedTickets, agentId, witness, cwd } = session
  const pid = witness === null || standing !== 'live' ? '' : `pid ${witness.pid}`
  return {
    key: `session ${session.sessionId}`,
    cells: [name, standing, role, relatedTickets.join(', ') || '-', agentId, pid],
    tone: standing === 'ended' ? 'plain' : standing,
    subject: { kind: 'session', name, standing, where: `${cwd}${pid === '' ? '' : ` (${pid})`}` },
  }
}

function leaseItem({ lease, standing, leftSecs }: Overview['mine'][number], names: ReadonlyMap<string, string>): Item {
  const { agentId, sessionId } = lease.holder
  const name = sessionId === null ? undefined : names.get(sessionId)
  const left =
    leftSecs === null ? 'indefinitely' : leftSecs > 0 ? `for ${secondsInWords(leftSecs)}` : `expired ${secondsInWords(-leftSecs)} ago`
  return {
    key: `lease ${lease.resource} ${lease.token}`,
    cells: [
      lease.resource,
      standing,
      name === undefined ? agentInWords(agentId, sessionId) : `${agentId} in ${name}`,
      left,
      lease.reason ?? '',
    ],
    tone: standing === 'dead' ? 'dead' : standing === 'stale' || standing === 'expired' ? 'stale' : 'plain',
    subject: { kind: 'lease', resource: lease.resource },
  }
}

const ticketItem = ({ id, title, state, priority }: Overview['tickets'][number]): Item => ({
  key: `ticket ${id}`,
  cells: [id, priority, state, title],
  tone: 'plain',
  subject: { kind: 'ticket', id },
})

export const emptyBoard: Board = { sections: [], chosen: null, asking: null, message: '', trouble: null, seenAt: 0 }

const itemsOf = ({ sections }: Board): readonly Item[] => sections.flatMap(({ items }) => items)

export const chosenItem = (board: Board): Item | null => itemsOf(board).find(({ key }) => key === board.chosen) ?? null

/** The board with what is there now. What was chosen stays so; when it is gone, what took its place is. */
export function refreshed(board: Board, sections: readonly Section[]): Board {
  const next = { ...board, sections }
  const items = itemsOf(next)
  if (items.some(({ key }) => key === board.chosen)) return next
  const place = itemsOf(board).findIndex(({ key }) => key === board.chosen)
  return { ...next, chosen: (items[Math.max(0, Math.min(place, items.length - 1))] ?? null)?.key ?? null }
}

/** Rows that a page key moves. */
const page = 10

/** What a key makes of the board, and what it asks for. */
export function press(board: Board, key: Key): { readonly board: Board; readonly action: Action | null } {
  if ('name' in key && key.name === 'interrupt') return { board, action: { kind: 'quit' } }
  if ('name' in key && key.name === 'suspend') return { board, action: { kind: 'suspend' } }
  if (board.asking !== null) return answer(board, board.asking, key)
  if ('text' in key) return command(board, key.text)
  switch (key.name) {
    case 'up':
      return stay(moved(board, -1))
    case 'down':
      return stay(moved(board, 1))
    case 'page-up':
      return stay(moved(board, -page))
    case 'page-down':
      return stay(moved(board, page))
    case 'home':
      return stay(moved(board, Number.NEGATIVE_INFINITY))
    case 'end':
      return stay(moved(board, Number.POSITIVE_INFINITY))
    case 'enter':
      return open(board)
    case 'escape':
    case 'backspace':
      return stay({ ...board, message: '' })
    case 'interrupt':
    case 'suspend':
      return stay(board)
  }
}

const stay = (board: Board): { readonly board: Board; readonly action: null } => ({ board, action: null })
const says = (board: Board, message: string): ReturnType<typeof press> => stay({ ...board, message })

function moved(board: Board, by: number): Board {
  const items = itemsOf(board)
  const at = items.findIndex(({ key }) => key === board.chosen)
  const next = items[Math.max(0, Math.min(items.length - 1, at + by))]
  return { ...board, chosen: next?.key ?? null, message: '' }
}

function command(board: Board, text: string): ReturnType<typeof press> {
  switch (text) {
    case 'q':
      return { board, action: { kind: 'quit' } }
    case 'k':
      return stay(moved(board, -1))
    case 'j':
      return stay(moved(board, 1))
    case 'c':
      return launch(board)
    case 'r':
      return reclaim(board)
    default:
      return stay(board)
  }
}

function open(board: Board): ReturnType<typeof press> {
  const subject = chosenItem(board)?.subject
  switch (subject?.kind) {
    case undefined:
      return stay(board)
    case 'session':
      if (subject.standing === 'restorable') return { board, action: { kind: 'resume', name: subject.name } }
      if (subject.standing === 'live')
        return says(board, `${subject.name} works in ${subject.where}; more: lh session show ${subject.name}`)
      return says(board, `${subject.name} is ${subject.standing}; more: lh session show ${subject.name}`)
    case 'pending':
      return says(board, subject.open === null ? 'it is being launched' : `its launcher is gone; to end what it left: ${subject.open}`)
    case 'lease':
      return says(board, `more: lh why ${shellWord(subject.resource)}`)
    case 'ticket':
      return says(board, `more: lh ticket show ${subject.id}; c launches an agent for it`)
  }
}

function launch(board: Board): ReturnType<typeof press> {
  const subject = chosenItem(board)?.subject
  if (subject?.kind !== 'ticket') return says(board, 'c is for a ticket that can be claimed')
  return { board: { ...board, message: '' }, action: { kind: 'launch', ticket: subject.id } }
}

function reclaim(board: Board): ReturnType<typeof press> {
  const subject = chosenItem(board)?.subject
  if (subject?.kind !== 'session' || subject.standing !== 'stale') return says(board, 'r is for a stale session')
  return stay({ ...board, asking: { name: subject.name, text: '' }, message: '' })
}

/** Longer than this no reason is; the log takes no longer one. Characters. */
const longest = 500

function answer(board: Board, asking: NonNullable<Board['asking']>, key: Key): ReturnType<typeof press> {
  const { name, text } = asking
  if ('text' in key) return stay({ ...board, asking: { name, text: (text + key.text).slice(0, longest) } })
  if (key.name === 'backspace') return stay({ ...board, asking: { name, text: [...text].slice(0, -1).join('') } })
  if (key.name === 'escape') return stay({ ...board, asking: null, message: 'nothing was changed' })
  if (key.name !== 'enter') return stay(board)
  if (text.trim() === '') return says({ ...board, asking: null }, 'without a reason nothing was changed')
  return { board: { ...board, asking: null }, action: { kind: 'reclaim', name, reason: text.trim() } }
}
