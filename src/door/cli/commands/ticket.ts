import fs from 'node:fs'
import { usage } from '../../../core/fault.ts'
import type { Wire } from '../../../core/wire.ts'
import { noteHeld } from '../../../service/claim/proof.ts'
import { grantedDocument } from '../../../service/claim/answer.ts'
import { createTicket } from '../../../service/ticket/create.ts'
import { Desk } from '../../../service/ticket/desk.ts'
import {
  addEvent,
  checkLabels,
  checkTitle,
  checkWord,
  editText,
  replaceText,
  setDependency,
  setFields,
} from '../../../service/ticket/edit.ts'
import { judgedTickets, listTickets, rowToWire, showTicket } from '../../../service/ticket/look.ts'
import type { Filter, JudgedRow, Row, Shown } from '../../../service/ticket/look.ts'
import { peekNext, takeNext } from '../../../service/ticket/next.ts'
import { oneOf, priorities, statuses, workflowStates } from '../../../service/ticket/ticket.ts'
import type { Ticket } from '../../../service/ticket/ticket.ts'
import { ticketToWire } from '../../../service/ticket/wire.ts'
import { closeTicket, finishTicket, moveTicket, reopenTicket, startTicket } from '../../../service/ticket/workflow.ts'
import type { Asking, Stepped } from '../../../service/ticket/workflow.ts'
import { worktreeFor } from '../../../service/work/find.ts'
import type { Context, Run } from '../command.ts'
import { listOption, switchOption, textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { columns, paint, printable, printableLine, said } from '../text.ts'
import { callerOf, proofOptions, reasonOption, tellWaiting, ttlOption, waitOption } from '../claiming.ts'

/** Longest body that is read, bytes. */
const maxBodyBytes = 1024 * 1024

/** Where the tickets are, for commands that only look. */
async function desk(context: Context): Promise<Desk> {
  return new Desk(await openWorkspace(context))
}

/** Who asks about which ticket, for commands that change one. */
async function asked(context: Context): Promise<{ readonly asking: Asking; readonly id: string; readonly workspace: FileWorkspace }> {
  const workspace = await openWorkspace(context)
  const own = new Desk(workspace)
  const id = await own.catalogue.resolve(context.positionals[0]!)
  const caller = await callerOf(context, workspace)
  return { asking: { desk: own, caller, flags: proofOptions(context), env: context.env }, id, workspace }
}

/** The text of `--body-file`: a file, or standard input for `-`. */
function bodyOption(context: Context): string | undefined {
  const file = textOption(context, 'body-file')
  if (file === undefined) return undefined
  let bytes: Buffer
  try {
    bytes = readUpTo(file === '-' ? 0 : file, maxBodyBytes + 1)
  } catch (error) {
    throw usage(`--body-file ${file} cannot be read: ${(error as Error).message}`)
  }
  if (bytes.length > maxBodyBytes) throw usage(`--body-file ${file} is too large: a body has at most ${maxBodyBytes} bytes`)
  const text = bytes.toString('utf8')
  if (!Buffer.from(text).equals(bytes)) throw usage(`--body-file ${file} is not UTF-8 text`)
  return text
}

/** The first bytes of a file, which may be one without an end. */
function readUpTo(file: string | number, limit: number): Buffer {
  const descriptor = typeof file === 'number' ? file : fs.openSync(file, 'r')
  try {
    const parts: Buffer[] = []
    for (let length = 0; length < limit;) {
      const part = Buffer.allocUnsafe(Math.min(64 * 1024, limit - length))
      const got = fs.readSync(descriptor, part)
      if (got === 0) break
      parts.push(part.subarray(0, got))
      length += got
    }
    return Buffer.concat(parts)
  } finally {
    if (descriptor !== file) fs.closeSync(descriptor)
  }
}

function answer(context: Context, ticket: Ticket, lines: string | readonly string[], more: Wire = {}): number {
  context.output.answer({ ok: true, ticket: ticketToWire(ticket), ...more }, [lines].flat().map(printable))
  return 0
}

/** `lh ticket create` */
export const create: Run = async context => {
  const title = textOption(context, 'title')
  if (title === undefined) throw usage('a ticket needs a title', 'lh ticket create --title "…"')
  const slug = textOption(context, 'slug')
  const wanted = {
    title: checkTitle(title),
    body: bodyOption(context) ?? '',
    kind: checkWord(textOption(context, 'kind') ?? 'task', 'kind'),
    priority: oneOf(priorities, textOption(context, 'priority') ?? 'P2', 'a priority'),
    labels: checkLabels(listOption(context, 'label')),
    dependsOn: listOption(context, 'depends-on'),
    gates: listOption(context, 'gate'),
    ...(slug === undefined ? {} : { slug }),
  }
  const workspace = await openWorkspace(context)
  const caller = await callerOf(context, workspace)
  const ticket = await createTicket(new Desk(workspace), caller.holder.agentId, wanted)
  answer(context, ticket, `created ${ticket.id}`)
  context.output.note(`when it is clear what to do: lh ticket ready ${await shortName(workspace, ticket)}`)
  return 0
}

/** The slug, where that means one ticket alone. */
async function shortName(workspace: FileWorkspace, { id, slug }: Ticket): Promise<string> {
  // Afresh: what was read before does not know the ticket that was made since.
  const found = await new Desk(workspace).catalogue.resolve(slug).catch(() => null)
  return found === id ? slug : id
}

function filterOf(context: Context): Filter {
  const status = textOption(context, 'status')
  const state = textOption(context, 'state')
  const priority = textOption(context, 'priority')
  const assignee = textOption(context, 'assignee')
  const given = {
    ...(status === undefined ? {} : { status: oneOf([...statuses, 'all'] as const, status, '--status') }),
    ...(state === undefined ? {} : { state: oneOf(workflowStates, state, '--state') }),
    ...(priority === undefined ? {} : { priority: oneOf(priorities, priority, '--priority') }),
    labels: listOption(context, 'label'),
    ...(assignee === undefined ? {} : { assignee }),
  }
  const filter = { ...given, ready: switchOption(context, 'ready'), blocked: switchOption(context, 'blocked') }
  refuseImpossible(filter)
  return filter
}

/** Throws `usage` for what no ticket can be: an empty list would look like an answer. */
function refuseImpossible({ ready: wantsReady, blocked, status, state }: Filter): void {
  if (wantsReady !== true) return
  if (blocked === true) throw usage('--ready and --blocked exclude each other', 'leave one of them out')
  if (status === 'pending' || status === 'closed') throw usage(`--ready and --status ${status} exclude each other`, 'what is ready is open')
  if (state !== undefined && state !== 'ready' && state !== 'queued')
    throw usage(`--ready and --state ${state} exclude each other`, 'what may be handed out is ready or queued')
}

/** `lh ticket list` */
export const listAll: Run = async context => {
  const filter = filterOf(context)
  const own = await desk(context)
  // What is only looked at need not be judged.
  const judged = context.output.json || filter.ready === true || filter.blocked === true
  const rows = await (judged ? judgedTickets(own, filter) : listTickets(own, filter))
  warnOfDamage(context, own)
  if (context.output.json)
    context.output.answer({ ok: true, tickets: (rows as readonly JudgedRow[]).map(rowToWire), count: rows.length }, [])
  else context.output.answer({ ok: true }, rowLines(rows, filter, context.output.colour))
  return 0
}

/** What could not be read, or not be believed, is in no answer as it should be. */
function warnOfDamage({ output }: Context, { catalogue }: Desk): void {
  for (const warning of catalogue.warnings) output.warn(warning)
}

function rowLines(rows: readonly (Row | JudgedRow)[], filter: Filter, colour: boolean): readonly string[] {
  if (rows.length === 0)
    return [filter.ready === true ? 'no ticket is ready' : filter.blocked === true ? 'no ticket is blocked' : 'no tickets']
  const slugs = new Map<string, number>()
  for (const { ticket } of rows) slugs.set(ticket.slug, (slugs.get(ticket.slug) ?? 0) + 1)
  const cells = rows.map(row => {
    const { ticket, holder } = row
    const remark = remarkOn(row, filter)
    return [
      ticket.priority,
      ticket.status === 'open' ? ticket.workflowState : ticket.status,
      printable(slugs.get(ticket.slug) === 1 ? ticket.slug : ticket.id),
      printable(holder ?? ticket.assignee ?? ''),
      printable(remark === '' ? ticket.title : `${ticket.title} — ${remark}`),
    ]
  })
  if (!colour) return columns(cells)
  return columns(cells, (text, _row, column) =>
    column === 2 ? paint(colour, 'bold', text) : column === 1 ? paint(colour, 'cyan', text) : text,
  )
}

function remarkOn(row: Row | JudgedRow, { ready: wantsReady, blocked }: Filter): string {
  if (wantsReady === true) return turn(row.ticket)
  if (blocked === true && 'readiness' in row) return row.readiness.reasons.join('; ')
  if (row.unmerged !== null) return `${row.unmerged}, not merged here`
  return row.ticket.workflowState === 'inprogress' && row.holder === null ? 'nobody holds it now' : ''
}

/** Why a ready ticket is where it is in the queue. */
const turn = (ticket: Ticket): string =>
  `${ticket.workflowState}${ticket.queuedBy === null ? '' : ` by ${printable(ticket.queuedBy)}`}, since ${ticket.createdAt.slice(0, 10)}, nothing in its way`

/** `lh ticket show` */
export const show: Run = async context => {
  const own = await desk(context)
  const id = await own.catalogue.resolve(context.positionals[0]!)
  const shown = await showTicket(own, id)
  context.output.answer({ ok: true, ticket: shown.document }, shownLines(shown, context.output.colour))
  return 0
}

function shownLines({ ticket, body, events, readiness, document, directory }: Shown, colour: boolean): readonly string[] {
  const lease = document['lease'] as Wire | null
  const facts: readonly (readonly [string, string])[] = [
    ['id', ticket.id],
    ['state', `${ticket.status}, ${ticket.workflowState}`],
    ['priority', ticket.priority],
    ['kind', ticket.kind],
    ['labels', ticket.labels.join(', ')],
    ['assignee', ticket.assignee ?? ''],
    ['held by', lease === null ? '' : `${said((lease['holder'] as Wire)['agent_id'])}, token ${said(lease['token'])}`],
    ['depends on', ticket.dependsOn.join(', ')],
    ['gates', ticket.gates.join(', ')],
    ['legacy', ticket.legacyTicket ?? ''],
    ['updated', ticket.updatedAt],
    ['file', directory === null ? 'on the base branch only' : `${directory}/ticket.md`],
    ['next', readiness.ready ? 'ready to be taken' : readiness.reasons.join('; ')],
  ]
  const problems = (document['problems'] as readonly Wire[]).map(({ line, message }) =>
    paint(colour, 'red', printable(`damaged${line === null ? '' : `, line ${said(line)}`}: ${said(message)}`)),
  )
  const rows = facts.filter(([, value]) => value !== '').map(([name, value]) => [name, printable(value)])
  return [
    paint(colour, 'bold', printable(ticket.title)),
    ...(problems.length === 0 ? [] : ['', ...problems, 'what it says below may be a guess; see: lh ticket doctor']),
    '',
    ...columns(rows, (text, _row, column) => (column === 0 ? paint(colour, 'dim', text) : text)),
    ...(body.trim() === '' ? [] : ['', ...body.trimEnd().split(/\r?\n/).map(printableLine)]),
    ...(events.length === 0 ? [] : ['', ...events.map(event => eventLine(event, colour))]),
  ]
}

function eventLine(event: Shown['events'][number], colour: boolean): string {
  const { at, actor, type } = event
  const words = said(event['message'] ?? event['reason'] ?? event['resolution'] ?? event['title'] ?? '').split('\n')
  const steps = event['from'] !== undefined && event['to'] !== undefined ? `${said(event['from'])} → ${said(event['to'])} ` : ''
  const gate = event['gate'] === undefined ? '' : `${said(event['gate'])} ${said(event['result'])} `
  const verdict = event['verdict'] === undefined ? '' : `${said(event['verdict'])}: `
  const text = `${steps}${gate}${verdict}${words[0] ?? ''}${words.length > 1 ? ' …' : ''}`
  return `${paint(colour, 'dim', printable(at))}  ${printable(actor)}  ${printable(type)}  ${printable(text)}`.trimEnd()
}

/** `lh ticket set` */
export const set: Run = async context => {
  const { asking, id } = await asked(context)
  const ticket = await setFields(asking, id, context.positionals.slice(1))
  return answer(context, ticket, `set ${context.positionals.slice(1).join(' ')} of ${ticket.id}`)
}

/** `lh ticket edit` */
export const edit: Run = async context => {
  const [title, body] = [textOption(context, 'title'), bodyOption(context)]
  const { asking, id } = await asked(context)
  const text = { ...(title === undefined ? {} : { title }), ...(body === undefined ? {} : { body }) }
  const isGiven = title !== undefined || body !== undefined
  const { ticket, already } = isGiven ? await editText(asking, id, text) : await inEditor(context, asking, id)
  return answer(context, ticket, already ? `${id} says that already` : `edited ${id}`, already ? { already: true } : {})
}

/** Lets a person edit the whole file. What they wrote is kept when it cannot be taken. */
async function inEditor(context: Context, asking: Asking, id: string): Promise<Stepped> {
  const editor = [context.env['VISUAL'], context.env['EDITOR']].find(each => each !== undefined && each !== '')
  if (editor === undefined) throw usage('no editor is known', 'set EDITOR, or give --title or --body-file')
  const { located } = await asking.desk.catalogue.read(id)
  const before = located.text
  const { editInTemporaryFile } = await import('../editor.ts')
  const edited = editInTemporaryFile(editor, `${id}.md`, before, context.output.json)
  try {
    const done = await replaceText(asking, id, before, edited.text)
    edited.forget()
    return done
  } catch (error) {
    context.output.warn(`nothing was changed; what you wrote is in ${edited.file}`)
    throw error
  }
}

function message(context: Context): string {
  const text = reasonOption(context, 'message')
  if (text === undefined) throw usage(`${context.spec.path.slice('ticket '.length)} needs a text`, 'add --message "…"')
  return text
}

/** `lh ticket comment` */
export const comment: Run = async context => {
  const text = message(context)
  const { asking, id } = await asked(context)
  return answer(context, await addEvent(asking, id, { type: 'comment', message: text }), `commented on ${id}`)
}

/** `lh ticket review` */
export const review: Run = async context => {
  const text = message(context)
  const verdict = textOption(context, 'verdict')
  const judged = verdict === undefined ? {} : { verdict: oneOf(['approve', 'changes'] as const, verdict, '--verdict') }
  const { asking, id } = await asked(context)
  return answer(context, await addEvent(asking, id, { type: 'review', message: text, ...judged }), `reviewed ${id}`)
}

/** `lh ticket depend` */
export const depend: Run = async context => {
  const on = textOption(context, 'on')
  if (on === undefined) throw usage('depend needs --on', 'lh ticket depend <ticket> --on <other>')
  const { asking, id } = await asked(context)
  const remove = switchOption(context, 'remove')
  const ticket = await setDependency(asking, id, on, remove)
  return answer(
    context,
    ticket,
    ticket.dependsOn.length === 0 ? `${id} depends on nothing` : `${id} depends on ${ticket.dependsOn.join(', ')}`,
  )
}

const moved = (context: Context, { ticket, already }: Stepped, word: string): number =>
  answer(context, ticket, already ? `${ticket.id} was ${word} already` : `${ticket.id} is ${word}`, already ? { already: true } : {})

/** `lh ticket ready` */
export const ready: Run = async context => {
  const { asking, id } = await asked(context)
  return moved(context, await moveTicket(asking, id, 'ready'), 'ready')
}

/** `lh ticket queue` */
export const queue: Run = async context => {
  const { asking, id } = await asked(context)
  return moved(context, await moveTicket(asking, id, 'queued'), 'queued')
}

/** `lh ticket start` */
export const start: Run = async context => {
  const [ttlSecs, waitMs, reason] = [ttlOption(context), waitOption(context), reasonOption(context)]
  const { asking, id } = await asked(context)
  const started = await startTicket(asking, id, {
    ...(reason === undefined ? {} : { reason }),
    ...(ttlSecs === undefined ? {} : { ttlSecs }),
    ...(waitMs === undefined ? {} : { waitMs }),
    onWait: () => tellWaiting(context)(undefined),
  })
  if (started.warning !== null) context.output.warn(started.warning)
  if (!started.already) warnOfBegun(context, asking.desk, id)
  const { lease, leases, already_held: held } = grantedDocument(started.granted)
  const all = (leases ?? [lease]) as readonly Wire[]
  const own = all.find(each => each['resource'] === `ticket:${id}`)!
  return answer(context, started.ticket, `${started.already ? 'goes on with' : 'started'} ${id}, token ${String(own['token'])}`, {
    lease: own,
    // In the worktree that was made for it, the worktree and its branch too.
    ...(leases === undefined ? {} : { leases }),
    ...(held === undefined ? {} : { already_held: held }),
  })
}

/** `lh ticket done` */
export const done: Run = async context => {
  const { asking, id } = await asked(context)
  return moved(context, await finishTicket(asking, id), 'done')
}

/** `lh ticket close` */
export const close: Run = async context => {
  const resolution = textOption(context, 'resolution')
  if (resolution === undefined) throw usage('closing needs a resolution', 'add --resolution "what became of it"')
  const { asking, id } = await asked(context)
  return moved(context, await closeTicket(asking, id, resolution), 'closed')
}

/** `lh ticket reopen` */
export const reopen: Run = async context => {
  const reason = reasonOption(context)
  if (reason === undefined) throw usage('reopening needs a reason', 'add --reason "…"; it is kept with the ticket')
  const { asking, id } = await asked(context)
  return moved(context, await reopenTicket(asking, id, reason), 'ready again')
}

/** `lh ticket next` */
export const next: Run = async context => {
  const filter = filterOf(context)
  const [ttlSecs, reason] = [ttlOption(context), reasonOption(context)]
  const workspace = await openWorkspace(context)
  const own = new Desk(workspace)
  if (!switchOption(context, 'claim')) {
    for (const name of ['ttl', 'reason'] as const)
      if (context.options[name] !== undefined) throw usage(`--${name} is for --claim`, 'add --claim to take the ticket')
    const ticket = await peekNext(own, filter)
    warnOfDamage(context, own)
    return ticket === null ? nothingNext(context, own, filter) : answer(context, ticket, nextLine(ticket), { lease: null })
  }
  const terms = { ...(ttlSecs === undefined ? {} : { ttlSecs }), ...(reason === undefined ? {} : { reason }) }
  const taken = await takeNext(own, await callerOf(context, workspace), filter, terms)
  warnOfDamage(context, own)
  if (taken === null) return nothingNext(context, own, filter)
  const { ticket, granted } = taken
  const warning = noteHeld(workspace, granted.leases)
  if (warning !== null) context.output.warn(warning)
  warnOfBegun(context, own, ticket.id)
  const { lease } = grantedDocument(granted)
  answer(context, ticket, [nextLine(ticket), `taken, token ${granted.leases[0]!.token}`], { lease })
  context.output.note(`to begin: lh ticket start ${await shortName(workspace, ticket)}`)
  return 0
}

/** What was begun in the ticket's own worktree is not here, and this copy of the ticket may know nothing of it. */
function warnOfBegun({ output }: Context, { workspace: { repository } }: Desk, id: string): void {
  const place = worktreeFor(repository, id)
  if (place === null || place.root === repository.root) return
  const { root, purpose } = place
  output.warn(
    `${id} has a worktree, ${root} on ${purpose.branch}: what was begun there is not here; to go on there: lh claim release ${id} && lh work ${id}`,
  )
}

const nextLine = (ticket: Ticket): string => `${ticket.id}  ${ticket.priority} ${ticket.workflowState}  ${ticket.title}`

async function nothingNext(context: Context, own: Desk, filter: Filter): Promise<number> {
  const document = { ok: true, ticket: null, lease: null }
  // The document says the same whatever is in the way; to find out means to judge every ticket.
  if (context.output.json) context.output.answer(document, [])
  else
    context.output.answer(document, whyNothing(await judgedTickets(own, filter), filter, (await own.workspace.whoIsHere()).holder.agentId))
  return 0
}

/** What could be done so that there is a next ticket. */
function whyNothing(all: readonly JudgedRow[], { labels = [], priority }: Filter, agentId: string | null): readonly string[] {
  const wanted = [...labels.map(label => `label ${label}`), ...(priority === undefined ? [] : [`priority ${priority}`])].join(', ')
  const rows = all.filter(({ readiness, unmerged }) => readiness.over === null && unmerged === null)
  const blocked = rows.some(({ readiness }) => readiness.blockers.length > 0)
  const unclear = rows.filter(({ ticket }) => ticket.workflowState === 'intake')
  // A ticket that somebody began is not handed out by itself: what they left has to be looked at.
  const left = rows.filter(({ ticket, holder }) => ticket.workflowState === 'inprogress' && holder === null)
  const next = blocked
    ? '; see what is in the way: lh ticket list --blocked'
    : rows.length === 0
      ? wanted === ''
        ? '; to make one: lh ticket create --title "…"'
        : '; of all of them: lh ticket next'
      : unclear.length + left.length === 0
        ? '; see: lh ticket list'
        : ''
  return [
    `no ticket ${wanted === '' ? '' : `with ${wanted} `}is ready${next}`,
    ...rows.flatMap(({ ticket, holder }) =>
      holder !== null && holder === agentId ? [`you hold ${ticket.id}: lh ticket show ${ticket.id}`] : [],
    ),
    ...(unclear.length === 0 ? [] : [clarify(unclear)]),
    ...left.map(
      ({ ticket }) =>
        `${ticket.id} was begun by ${ticket.assignee ?? 'somebody'}, and nobody holds it now; to go on: lh ticket start ${ticket.id}`,
    ),
  ].map(printable)
}

function clarify([only, ...more]: readonly JudgedRow[]): string {
  return more.length === 0
    ? `${only!.ticket.id} is in intake; when it is clear what to do: lh ticket ready ${only!.ticket.id}`
    : `${more.length + 1} are in intake (lh ticket list --state intake); when it is clear what to do: lh ticket ready <ticket>`
}
