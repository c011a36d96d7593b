import { Fault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Session } from '../../core/session.ts'
import type { Reading, Store } from '../../store/store.ts'

// Which session is meant by what somebody typed.

/** A beginning that is shorter names nothing. */
const leastPrefix = 4

/** The slug of a ticket's id. */
const slugOf = (ticket: string): string => ticket.replace(/^\d{8}-\d{6}-/, '')

/** One way to read a spelling; what an earlier one finds counts. */
type Way = (session: Session, text: string) => boolean

const ways: readonly Way[] = [
  ({ name }, text) => name.toLowerCase() === text,
  ({ sessionId }, text) => sessionId.toLowerCase() === text,
  ({ clientSessionIds }, text) => clientSessionIds.some(id => id.toLowerCase() === text),
  ({ relatedTickets }, text) => relatedTickets.includes(text) || relatedTickets.some(ticket => slugOf(ticket) === text),
  ({ sessionId, relatedTickets }, text) =>
    text.length >= leastPrefix && (sessionId.toLowerCase().startsWith(text) || relatedTickets.some(ticket => ticket.startsWith(text))),
]

/**
 * The sessions that a spelling may mean: a name, a full id, what the client calls it, its ticket (id or slug), or the beginning of an id.
 * Several only where the best way to read it finds several.
 */
export function matchSessions(sessions: readonly Session[], spelling: string): readonly Session[] {
  const text = spelling.toLowerCase().replace(/^ticket:/, '')
  for (const way of ways) {
    const found = sessions.filter(session => way(session, text))
    if (found.length > 0) return found
  }
  return []
}

/** The one session that is meant, of those that have not ended. Throws `not_found`, and `usage` when several may be meant. */
export const findSession = (view: Reading, spelling: string): Session => theOnly(matchSessions([...view.sessions()], spelling), spelling)

/** As `findSession`; where no session fits, one that has ended, as the history has it: of several with one name the newest. */
export async function findAnySession(store: Store, view: Reading, spelling: string): Promise<Session> {
  const found = matchSessions([...view.sessions()], spelling)
  return theOnly(found.length > 0 ? found : newestOfName(matchSessions(await endedSessions(store), spelling)), spelling)
}

/** Names are unique at one moment, so sessions of one name came one after the other, and the last of them is meant. */
export function newestOfName(ended: readonly Session[]): readonly Session[] {
  const isOneName = new Set(ended.map(({ name }) => name)).size === 1
  return isOneName ? [ended.reduce((newest, other) => (isNewer(other, newest) ? other : newest))] : ended
}

const isNewer = (one: Session, other: Session): boolean =>
  one.startedAt === other.startedAt ? one.sessionId > other.sessionId : one.startedAt > other.startedAt

/** As `findSession`, for what can only be done with one that goes on. Throws `not_found` that says so when it has ended. */
export async function findOpenSession(store: Store, view: Reading, spelling: string): Promise<Session> {
  const session = await findAnySession(store, view, spelling)
  if (session.state !== 'ended') return session
  throw new Fault('not_found', `session ${session.name} has ended`, {
    hint: `what became of it: lh session show ${session.sessionId}; to begin again: ${launchAgain(session)}`,
  })
}

function launchAgain({ relatedTickets, role }: Session): string {
  const [ticket] = relatedTickets
  return `lh launch ${ticket === undefined ? '--no-ticket' : shellWord(ticket)} --role ${role} -- …`
}

async function endedSessions(store: Store): Promise<readonly Session[]> {
  const last = new Map<string, Session>()
  for await (const { operation } of store.history())
    if ('sessions' in operation) for (const session of operation.sessions ?? []) last.set(session.sessionId, session)
  return [...last.values()].filter(({ state }) => state === 'ended')
}

function theOnly(found: readonly Session[], spelling: string): Session {
  const [first, ...others] = found
  if (first === undefined) {
    throw new Fault('not_found', `there is no session ${JSON.stringify(spelling)}`, { hint: 'those that there are: lh session list' })
  }
  if (others.length === 0) return first
  const candidates = found.map(({ sessionId }) => sessionId)
  const named = found.map(({ sessionId, name, state }) => `${sessionId} (${name}, ${state})`)
  throw new Fault('usage', `${JSON.stringify(spelling)} may mean ${found.length} sessions`, {
    hint: `say which by its id: ${named.join(', ')}`,
    details: { candidates },
  })
}
