import type { TicketEvent } from '../events.ts'
import type { Status, Ticket, WorkflowState } from '../ticket.ts'
import { statuses, workflowStates } from '../ticket.ts'
import type { Diagnosis } from './finding.ts'
import { error, info, warning } from './finding.ts'
import { lineOf } from './events.ts'
import { lineOfItem, lineOfKey } from './lines.ts'

// Whether the files of one ticket say the same.

/** The files of one ticket, as they were read. */
export interface Files {
  readonly ticket: Ticket
  /** Paths from the top of the worktree. */
  readonly file: string
  readonly eventsFile: string
  /** Of `ticket.md`; asked for only where a line is to be named. */
  readonly text: () => string
  readonly eventsText: string
  readonly events: readonly TicketEvent[]
}

/** Does the ticket stand where its events left it? What was changed by hand has no event. */
export function* unsaidEdits({ ticket, file, text, events }: Files): Generator<Diagnosis> {
  const fix = `lh ticket comment ${ticket.id} --message … says why; or change it back and use: lh ticket set ${ticket.id} …`
  const said = lastSaid(events)
  const at = (key: string): { readonly file: string; readonly line: number } => ({ file, line: lineOfKey(text(), key) })
  if (said.state !== null && said.state !== ticket.workflowState)
    yield warning(
      'edited-without-event',
      at('workflow_state'),
      `workflow_state is ${ticket.workflowState}, but the last event left it ${said.state}`,
      fix,
    )
  else if (said.status !== null && said.status !== ticket.status)
    yield warning('edited-without-event', at('status'), `status is ${ticket.status}, but the last event left it ${said.status}`, fix)
  else if (events.length > 0 && isLaterThanAll(ticket.updatedAt, events))
    yield warning('edited-without-event', at('updated_at'), `updated_at is ${ticket.updatedAt}, which is after the last event`, fix)
}

/** Times in files may be whole seconds. */
const slackMs = 1000

const isLaterThanAll = (time: string, events: readonly TicketEvent[]): boolean => {
  const ms = Date.parse(time) - slackMs
  // From the newest on: that one usually decides.
  return ms === ms && events.findLast(({ at }) => !(Date.parse(at) < ms)) === undefined
}

interface Said {
  state: WorkflowState | null
  status: Status | null
}

/** Where the events left the ticket; null where they do not say. */
function lastSaid(events: readonly TicketEvent[]): Said {
  const said: Said = { state: null, status: null }
  for (const event of events) {
    switch (event.type) {
      case 'state_changed':
        if (event['field'] === 'status') said.status = statusOf(event['to'])
        else said.state = stateOf(event['to'])
        break
      case 'edited':
        if (saysStatus(event)) said.status = statusOf((event['set'] as { status?: unknown } | undefined)?.status)
        break
      case 'closed':
        said.status = 'closed'
        said.state = 'done'
        break
      case 'reopened':
        said.status = null
        said.state = stateOf(event['to'])
        break
      case 'imported':
      case 'migrated':
        // What was there before has its own order of things.
        said.status = null
        said.state = null
        break
      default:
    }
  }
  return said
}

const saysStatus = ({ keys }: TicketEvent): boolean => Array.isArray(keys) && keys.includes('status')
const stateOf = (word: unknown): WorkflowState | null => workflowStates.find(state => state === word) ?? null
const statusOf = (word: unknown): Status | null => statuses.find(status => status === word) ?? null

/** Closed, but not as closing leaves it. */
export function* badEnd({ ticket, file, text }: Files, resolution: 'there' | 'empty' | 'missing'): Generator<Diagnosis> {
  if (ticket.status !== 'closed') return
  const { id, workflowState: state } = ticket
  if (state !== 'done')
    yield error(
      'closed-not-done',
      { file, line: lineOfKey(text(), 'workflow_state') },
      `it is closed, but its workflow_state is ${state}`,
      `write workflow_state: done; or, if the work goes on: lh ticket reopen ${id} --reason "…"`,
    )
  if (resolution !== 'there')
    yield error(
      'closed-without-resolution',
      { file, line: lineOfKey(text(), 'status') },
      `it is closed, but resolution.md ${resolution === 'empty' ? 'is empty' : 'is missing'}`,
      `write what became of it into ${file.replace(/ticket\.md$/, 'resolution.md')}`,
    )
}

/** Results of gates that the ticket does not have, and gates that a finished ticket never passed. */
export function* gateResults({ ticket, file, text, events, eventsFile, eventsText }: Files): Generator<Diagnosis> {
  if (ticket.gates.length === 0 && !events.some(({ type }) => type === 'gate')) return
  const last = new Map<string, TicketEvent>()
  for (const event of events) if (event.type === 'gate' && typeof event['gate'] === 'string') last.set(event['gate'], event)
  for (const [key, { id }] of last) {
    if (ticket.gates.includes(key)) continue
    yield info(
      'gate-event-stray',
      { file: eventsFile, line: lineOf(eventsText, id) },
      `a result of the gate ${key}, which this ticket does not have`,
      `if it should have it: lh gate add ${ticket.id} ${key}`,
    )
  }
  // Closing asks for no gate: it is also how one says that nothing will be done.
  if (ticket.workflowState !== 'done' || ticket.status === 'closed') return
  const open = [...new Set(ticket.gates)].filter(key => last.get(key)?.['result'] !== 'passed')
  if (open.length === 0) return
  const words = open.map(key => `${key} (${last.has(key) ? 'not passed' : 'no result'})`)
  yield warning(
    'done-gate-open',
    { file, line: lineOfItem(text(), 'gates', open[0]!) },
    `it is done without ${words.join(', ')}`,
    `lh ticket reopen ${ticket.id} --reason "…", then: lh gate run ${ticket.id} ${open.join(' ')}`,
  )
}
