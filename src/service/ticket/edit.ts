import { notFound, policy, usage } from '../../core/fault.ts'
import { suggest } from '../config/schema.ts'
import { parseAgentId } from '../identity/agent.ts'
import type { Current, Happening, Plan } from './change.ts'
import type { Located } from './catalogue.ts'
import { changeTicket } from './change.ts'
import { findCycle, wordCycle } from './dependencies.ts'
import type { Desk } from './desk.ts'
import { changedMeanwhile } from './files.ts'
import { parseTicket } from './front-matter.ts'
import type { Changes } from './front-matter.ts'
import { withTicket } from './hold.ts'
import type { Ticket, WorkflowState } from './ticket.ts'
import { checkStep, isFinished, oneOf, priorities, statuses, workflowStates } from './ticket.ts'
import type { Asking, Stepped } from './workflow.ts'

// Changes of a ticket that do not move it along. What the work depends on (text, state, assignee) needs the lease; what only sorts it
// (labels, priority, dependencies, comments) does not.

/** A change as it is asked for: which keys, to what. */
interface Setting {
  readonly key: SettableKey
  readonly changes: Changes
  readonly needsLease: boolean
}

const settable = ['title', 'status', 'kind', 'priority', 'labels', 'workflow_state', 'assignee'] as const
type SettableKey = (typeof settable)[number]

/** Keys that another command changes, or nobody. */
const elsewhere: Readonly<Record<string, string>> = {
  id: 'an id never changes',
  slug: 'a slug never changes: it is part of the id',
  created_at: 'that is when it was made',
  updated_at: 'it follows from what happens',
  legacy_ticket: 'that is what it was imported from',
  queued_by: 'see: lh ticket queue',
  queued_at: 'see: lh ticket queue',
  depends_on: 'see: lh ticket depend',
  gates: 'see: lh gate add',
}

/** Short words that people type. */
const aliases: ReadonlyMap<string, SettableKey> = new Map([
  ['state', 'workflow_state'],
  ['label', 'labels'],
])

/** Reads `key=value`. Throws `usage` for a key that is not set this way, saying what is. */
export function parseSetting(text: string): Setting {
  const equals = text.indexOf('=')
  if (equals < 1) throw usage(`${JSON.stringify(text)} sets nothing`, `write key=value; the keys are ${settable.join(', ')}`)
  const [given, value] = [text.slice(0, equals).trim(), text.slice(equals + 1).trim()]
  const key = settable.find(name => name === (aliases.get(given) ?? given))
  if (key !== undefined) return { key, changes: changeOf(key, value), needsLease: needsLease(key) }
  if (Object.hasOwn(elsewhere, given)) throw usage(`${given} is not set this way`, elsewhere[given])
  const near = suggest(given, settable)
  throw usage(
    `a ticket has no ${JSON.stringify(given)}`,
    `${near === null ? '' : `did you mean ${near}? `}the keys are ${settable.join(', ')}`,
  )
}

const needsLease = (key: SettableKey): boolean => key !== 'labels' && key !== 'priority'

function changeOf(key: SettableKey, value: string): Changes {
  switch (key) {
    case 'title':
      return { title: checkTitle(value) }
    case 'status':
      return { status: openStatus(value) }
    case 'kind':
      return { kind: checkWord(value, 'kind') }
    case 'priority':
      return { priority: oneOf(priorities, value, 'a priority') }
    case 'labels':
      return { labels: value === '' ? [] : checkLabels(value.split(',')) }
    case 'workflow_state':
      return { workflowState: oneOf(workflowStates, value, 'a state') }
    case 'assignee':
      return { assignee: value === '' || value === 'null' ? null : parseAgentId(value, 'assignee') }
  }
}

function openStatus(value: string): 'open' | 'pending' {
  const status = oneOf(statuses, value, 'a status')
  if (status === 'closed') throw usage('a ticket is not closed by setting its status', 'lh ticket close <ticket> --resolution "…"')
  return status
}

/** A title, on one line. Throws `usage`. */
export function checkTitle(text: string): string {
  const title = text.trim()
  if (title === '') throw usage('a ticket needs a title')
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(title)) throw usage('a title is one line without control characters')
  if (Buffer.byteLength(title) > 500) throw usage('a title has at most 500 bytes', 'put the rest into the body')
  return title
}

/** One word: a kind or a label. */
export function checkWord(text: string, what: string): string {
  const word = text.trim()
  if (/^[\p{L}\p{N}][\p{L}\p{N}_.:/+-]{0,63}$/u.test(word)) return what === 'kind' ? word.toLowerCase() : word
  throw usage(`${JSON.stringify(text)} is no ${what}`, 'one word of letters, digits and _ . : / + -, at most 64')
}

/** Labels, each once. Throws `usage` for what is none. */
export const checkLabels = (labels: readonly string[]): readonly string[] => [...new Set(labels.map(label => checkWord(label, 'label')))]

/** `lh ticket set`. Throws before anything is changed. */
export async function setFields(asking: Asking, id: string, texts: readonly string[]): Promise<Ticket> {
  const settings = texts.map(parseSetting)
  const twice = settings.find(({ key }, index) => settings.findIndex(other => other.key === key) !== index)
  if (twice !== undefined) throw usage(`${twice.key} is set twice`, 'give one value for each key')
  const changes: Changes = Object.assign({}, ...settings.map(each => each.changes)) as Changes
  const actor = asking.caller.holder.agentId
  const plan = ({ ticket }: { ticket: Ticket }): Plan | null => {
    const { workflowState, ...others } = changes
    const stepping = workflowState !== undefined && workflowState !== ticket.workflowState
    if (stepping) refuseOtherWays(ticket, workflowState)
    if (changes.status !== undefined && isFinished(ticket)) throw over(ticket)
    const changed = changedKeys(ticket, others)
    if (changed.length === 0 && !stepping) return null
    const events: Happening[] =
      changed.length === 0
        ? []
        : [{ type: 'edited', keys: changed, set: Object.fromEntries(changed.map(key => [key, valueOf(others, key)])) }]
    if (stepping) events.push({ type: 'state_changed', field: 'workflow_state', from: ticket.workflowState, to: workflowState })
    return { changes, events }
  }
  return write(
    asking,
    id,
    actor,
    plan,
    settings.some(setting => setting.needsLease),
    'ticket set',
  )
}

const over = ({ id, workflowState, status }: Ticket) =>
  policy(`${id} is ${status === 'closed' ? 'closed' : workflowState}`, `to work on it once more: lh ticket reopen ${id} --reason "…"`)

/** `start` takes the claim and `done` gives it back; a bare setting of the state would do neither. */
function refuseOtherWays(ticket: Ticket, to: WorkflowState): void {
  checkStep(ticket, to)
  if (to === 'inprogress') throw policy(`a ticket is started by claiming it`, `lh ticket start ${ticket.id}`)
  if (to === 'done') throw policy(`a ticket is done when its gates are passed`, `lh ticket done ${ticket.id}`)
}

const wireKey = (key: string): string => key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)

const changedKeys = (ticket: Ticket, changes: Changes): readonly string[] =>
  Object.entries(changes)
    .filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(ticket[key as keyof Ticket]))
    .map(([key]) => wireKey(key))

const valueOf = (changes: Changes, key: string): unknown => Object.entries(changes).find(([name]) => wireKey(name) === key)?.[1]

/** `lh ticket edit`: title and body. */
export function editText(asking: Asking, id: string, text: { readonly title?: string; readonly body?: string }): Promise<Stepped> {
  const title = text.title === undefined ? undefined : checkTitle(text.title)
  const body = text.body === undefined ? undefined : text.body === '' || text.body.endsWith('\n') ? text.body : `${text.body}\n`
  const plan = ({ ticket, body: before }: { ticket: Ticket; body: string }): Plan | null => {
    const keys = [
      ...(title === undefined || title === ticket.title ? [] : ['title']),
      ...(body === undefined || body === before ? [] : ['body']),
    ]
    if (keys.length === 0) return null
    return {
      changes: { ...(title === undefined ? {} : { title }), ...(body === undefined ? {} : { body }) },
      events: [{ type: 'edited', keys }],
    }
  }
  return edit(asking, id, plan)
}

/**
 * A ticket as it came out of an editor, made from `before`. What only commands may change must be as it was. Throws `usage` with the
 * lines that are wrong, `policy` when somebody else changed the ticket meanwhile.
 */
export function replaceText(asking: Asking, id: string, before: string, after: string): Promise<Stepped> {
  const parsed = parseTicket(after, id)
  const [problem] = parsed.problems
  if (problem !== undefined) throw usage(`line ${problem.line ?? 1}: ${problem.message}`)
  checkTitle(parsed.ticket.title)
  const plan = ({ ticket, text, body }: { readonly ticket: Ticket; readonly text: string; readonly body: string }): Plan | null => {
    if (after === text) return null
    if (text !== before)
      throw policy(`${id} was changed by somebody else while it was being edited`, `look at it, and edit it again: lh ticket show ${id}`)
    const keys = [...changedKeys(ticket, parsed.ticket), ...(parsed.body === body ? [] : ['body'])]
    const fixed = keys.find(key => key !== 'body' && !settable.includes(key as SettableKey))
    if (fixed !== undefined) throw usage(`${fixed} is not changed in an editor`, elsewhere[fixed])
    const { status, workflowState } = parsed.ticket
    if (status !== ticket.status) openStatus(status)
    if (workflowState !== ticket.workflowState) refuseOtherWays(ticket, workflowState)
    const step = { type: 'state_changed', field: 'workflow_state', from: ticket.workflowState, to: workflowState }
    return { changes: {}, text: after, events: [{ type: 'edited', keys }, ...(workflowState === ticket.workflowState ? [] : [step])] }
  }
  return edit(asking, id, plan)
}

async function edit(asking: Asking, id: string, plan: (current: Current) => Plan | null): Promise<Stepped> {
  let already = true
  const noting = (current: Current): Plan | null => {
    const planned = plan(current)
    already = planned === null
    return planned
  }
  const ticket = await write(asking, id, asking.caller.holder.agentId, noting, true, 'ticket edit')
  return { ticket, already }
}

/** `lh ticket comment` and `review`: an event and nothing else, so that anybody may, and no merge ever conflicts. */
export function addEvent(asking: Asking, id: string, happening: Happening): Promise<Ticket> {
  return write(asking, id, asking.caller.holder.agentId, () => ({ changes: {}, events: [happening] }), false, `ticket ${happening.type}`)
}

/** `lh ticket depend`. Throws `policy` with the cycle when it would make one. */
export async function setDependency(asking: Asking, id: string, on: string, remove: boolean): Promise<Ticket> {
  const { desk, caller } = asking
  const other = remove ? await knownDependency(desk, id, on) : await desk.catalogue.resolve(on)
  let behind: Behind = new Map()
  const plan = async ({ ticket }: { ticket: Ticket }): Promise<Plan | null> => {
    if (!remove) {
      behind = await everythingBehind(desk, other)
      refuseCycle(id, other, behind)
    }
    if (ticket.dependsOn.includes(other) !== remove) return null
    const dependsOn = remove ? ticket.dependsOn.filter(each => each !== other) : [...ticket.dependsOn, other]
    return { changes: { dependsOn }, events: [{ type: 'dependency', on: other, ...(remove ? { removed: true } : {}) }] }
  }
  return changeTicket(desk, id, caller.holder.agentId, plan, effect =>
    desk.workspace.coordinator.exclusively('ticket depend', () => {
      // Two that are added at the same moment could close a circle that neither of them saw.
      checkUnchanged(desk, behind)
      effect()
    }),
  )
}

/** What is taken away may be a ticket that is gone. */
async function knownDependency(desk: Desk, id: string, spelling: string): Promise<string> {
  const { ticket } = await desk.catalogue.read(id)
  if (ticket.dependsOn.includes(spelling)) return spelling
  const other = await desk.catalogue.resolve(spelling)
  if (ticket.dependsOn.includes(other)) return other
  throw notFound(`${id} does not depend on ${other}`, `see: lh ticket show ${id}`)
}

/** Tickets, and where and how they were read. */
type Behind = ReadonlyMap<string, { readonly dependsOn: readonly string[]; readonly located: Located; readonly text: string }>

/** A ticket and all that it waits for, directly or not. */
async function everythingBehind({ catalogue }: Desk, first: string): Promise<Behind> {
  const behind = new Map<string, { readonly dependsOn: readonly string[]; readonly located: Located; readonly text: string }>()
  const ids = new Set([first])
  // A set is visited in the order of insertion, also what is inserted meanwhile.
  for (const id of ids) {
    if (catalogue.locate(id) === null) continue
    // oxlint-disable-next-line no-await-in-loop -- each names the next
    const { ticket, located } = await catalogue.read(id)
    behind.set(id, { dependsOn: ticket.dependsOn, located, text: located.text })
    for (const next of ticket.dependsOn) ids.add(next)
  }
  return behind
}

function refuseCycle(id: string, on: string, behind: Behind): void {
  if (id === on) throw policy(`${id} cannot depend on itself`, 'name another ticket')
  const edges = new Map([...behind].map(([each, { dependsOn }]) => [each, dependsOn]))
  const cycle = findCycle(edges.set(id, [on]), id)
  if (cycle !== null) {
    throw policy(
      `that would be a cycle: ${wordCycle(cycle)}`,
      `take one of these away: lh ticket depend ${cycle.at(-1)} --on ${cycle[0]} --remove`,
    )
  }
}

/** Throws when one of the files says something else by now. The base branch is what it was when it was read. */
function checkUnchanged({ catalogue }: Desk, behind: Behind): void {
  for (const [id, { located, text }] of behind) {
    const now = catalogue.locate(id)
    if (now?.source !== located.source || (located.source !== 'base' && now.text !== text)) throw changedMeanwhile(id)
  }
}

function write(
  asking: Asking,
  id: string,
  actor: string,
  plan: (current: Current) => Plan | null,
  leased: boolean,
  why: string,
): Promise<Ticket> {
  const { desk, caller, flags, env } = asking
  const { workspace } = desk
  // Whoever shows a lease acts under it, whether it is needed or not.
  const shows = flags.token !== undefined || flags.lease !== undefined
  if (!leased && !shows) return changeTicket(desk, id, actor, plan, effect => workspace.coordinator.exclusively(why, effect))
  return withTicket(workspace, caller, id, { why, finishedToo: true, flags, env }, held =>
    changeTicket(desk, id, actor, plan, effect => held.commit(effect)),
  )
}
