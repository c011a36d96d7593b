import type { Cluster } from '../cluster.ts'
import type { Holder } from '../../../core/lease.ts'
import type { Wire } from '../../../core/wire.ts'
import { seenToWire } from '../../../service/claim/answer.ts'
import type { Seen } from '../../../service/claim/answer.ts'
import { explainResource } from '../../../service/claim/explain.ts'
import { listedPending, pendingToWire } from '../../../service/claim/pending.ts'
import type { Pending } from '../../../service/claim/pending.ts'
import { listedLeases } from '../../../service/claim/reports.ts'
import { explainLock } from '../../../service/session-lock/report.ts'
import { warnedBase } from '../../../service/config/base-branch.ts'
import { whoamiDocument } from '../../../service/claim/whoami.ts'
import type { Reading } from '../../../store/store.ts'
import type { Context, Run } from '../command.ts'
import { switchOption } from '../command.ts'
import { pendingTable, sessionTable } from '../launched.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { resourceOf } from '../resource.ts'
import {
  agentInWords,
  columns,
  holderInWords,
  leaseTable,
  lockInWords,
  paint,
  paintStanding,
  printable,
  said,
  untilInWords,
} from '../text.ts'

/** `lh whoami` */
export const whoami: Run = async context => {
  const workspace = await openWorkspace(context)
  const identity = await workspace.whoIsHere()
  if (identity.warning !== null) context.output.warn(identity.warning)
  const document = whoamiDocument(workspace, identity)
  const { holder, origins } = identity
  const rows = [
    ['agent', holder.agentId ?? '-', origins.agent],
    ['worktree', holder.worktreeId, origins.worktree],
    ['session', holder.sessionId ?? '-', origins.session],
    ['process', holder.witness === null ? '-' : String(holder.witness.pid), origins.witness],
    ['store', printable(workspace.store.location), workspace.config.origin('store')],
  ]
  context.output.answer(
    document,
    columns(rows, (text, _row, column) => (column === 2 ? paint(context.output.colour, 'dim', text) : text)),
  )
  return 0
}

/** `lh status` */
export const status: Run = async context => {
  if (switchOption(context, 'watch')) return (await import('./watch.ts')).watch(context)
  const workspace = await openWorkspace(context)
  const identity = await workspace.identify('look').catch(() => null)
  const view = await workspace.coordinator.view()
  const leases = listedLeases(view)
  const isMine = ({ lease }: Seen): boolean => lease.holder.agentId === identity?.holder.agentId
  const warnings = [
    ...view.warnings,
    ...warnedBase(workspace.repository, workspace.config),
    ...(identity === null || identity.warning === null ? [] : [identity.warning]),
    ...troubles(leases),
  ]
  const agent = identity?.holder.agentId ?? null
  const lock = lockHere(workspace.repository.root, context.env)
  const mine = leases.filter(isMine)
  const pending = listedPending(view)
  const sessions = await launched(view)
  const cluster = await clusterOf(view)
  if (cluster !== null) context.output.note(`${printable(workspace.store.location)}, as told by ${view.answeredBy}; ${cluster.words}`)
  for (const doubt of cluster?.uncertain ?? []) warnings.push(doubt)
  warnings.push(...(await unrenewed(context, mine)))
  context.output.answer(
    () => ({
      ok: true,
      agent,
      worktree_id: identity?.holder.worktreeId ?? null,
      store: workspace.store.location,
      ...cluster?.document,
      leases: leases.map(seenToWire),
      count: leases.length,
      mine: mine.length,
      session_lock: lock,
      pending: pending.map(pendingToWire),
      sessions: sessions.documents,
      warnings,
    }),
    () => {
      const others = leases.filter(seen => !isMine(seen))
      return statusLines(context, { agent, mine, others, pending, sessions: sessions.lines(context.output.colour), lock, warnings })
    },
  )
  return 0
}

/** Which member of a cluster said so, how the others are, and what that leaves open. Loaded where there is one. */
async function clusterOf(view: Reading): Promise<Cluster | null> {
  return view.members === undefined ? null : (await import('../cluster.ts')).clusterOf(view, await view.members())
}

/** The sessions of launched agents. Most repositories have none, and then nothing of theirs is loaded. */
async function launched(
  view: Reading,
): Promise<{ readonly documents: readonly Wire[]; readonly lines: (colour: boolean) => readonly string[] }> {
  for (const _ of view.sessions()) {
    const { listedSessions, seenSessionToWire } = await import('../../../service/session/report.ts')
    const sessions = listedSessions(view)
    return { documents: sessions.map(seen => seenSessionToWire(seen, view)), lines: colour => sessionTable(sessions, colour) }
  }
  return { documents: [], lines: () => [] }
}

const standingTroubles: Readonly<Record<string, string>> = {
  expired: 'has expired; the next one who asks gets it',
  stale: 'has been silent for too long; see lh why',
  dead: 'belongs to a process that is proven dead',
}

function troubles(leases: readonly Seen[]): readonly string[] {
  return leases.flatMap(({ lease: { resource, holder }, standing }) => {
    const trouble = standingTroubles[standing]
    return trouble === undefined ? [] : [`${resource} (${agentInWords(holder.agentId, holder.sessionId)}) ${trouble}`]
  })
}

/** A hook speaks for its session only, so where hooks renew leases, what was taken without one is a surprise. */
async function unrenewed(context: Context, mine: readonly Seen[]): Promise<readonly string[]> {
  const found = mine.filter(
    ({ standing, lease }) => standing === 'live' && lease.ttlSecs > 0 && lease.binding === null && lease.holder.sessionId === null,
  )
  if (found.length === 0 || !(await (await import('./agent-hooks.ts')).areHooksWired(context))) return []
  return found.map(
    ({ lease: { resource } }) => `${resource} was taken without a session: hooks do not renew it; lh claim renew ${resource}`,
  )
}

interface Shown {
  readonly agent: string | null
  readonly mine: readonly Seen[]
  readonly others: readonly Seen[]
  readonly pending: readonly Pending[]
  readonly sessions: readonly string[]
  readonly lock: Wire | null
  readonly warnings: readonly string[]
}

function statusLines(context: Context, { agent, mine, others, pending, sessions, lock, warnings }: Shown): readonly string[] {
  const { colour } = context.output
  const heading = (text: string): string => paint(colour, 'bold', text)
  const table = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : [heading(title), ...lines.map(line => `  ${line}`), '']
  const section = (title: string, leases: readonly Seen[]): readonly string[] =>
    table(title, leases.length === 0 ? [] : leaseTable(leases, colour))
  const empty = mine.length + others.length === 0 ? ['nobody holds anything here; to take something: lh claim acquire <resource>', ''] : []
  const warned = warnings.length === 0 ? [] : [paint(colour, 'yellow', 'warnings'), ...warnings.map(text => `  ${printable(text)}`), '']
  const locked = lock === null ? [] : [heading('session lock'), `  ${lockInWords(lock)}; see: lh why workspace:.`, '']
  const lines = [
    agent ?? 'nobody (see: lh whoami)',
    '',
    ...empty,
    ...section('mine', mine),
    ...section('others', others),
    ...table('pending', pendingTable(pending, colour)),
    ...table('launched', sessions),
    ...locked,
    ...warned,
  ]
  return lines.slice(0, -1)
}

/** The session lock of this workspace while it counts; null when there is none, or it cannot be read. */
function lockHere(root: string | null, env: NodeJS.ProcessEnv): Wire | null {
  try {
    const { standing, session_lock: lock } = root === null ? {} : explainLock(root, env)
    return standing === 'live' ? (lock as Wire) : null
  } catch {
    return null
  }
}

async function explained(workspace: FileWorkspace, resource: string, view: Reading, asker: Holder | null): Promise<Wire> {
  const document = explainResource(resource, view, asker)
  if (document['standing'] === 'free' && resource.startsWith('ticket:') && workspace.mayHaveTickets)
    return (await import('../../../service/ticket/spelling.ts')).explainUnclaimable(workspace, document)
  const { session, lease_id: leaseId } = (document['lease'] as Wire | null) ?? {}
  const lease = typeof session === 'string' ? view.byLeaseId(String(leaseId)) : null
  return lease === null ? document : (await import('../../../service/session/explain.ts')).explainLaunched(document, lease, view)
}

/** `lh why` */
export const why: Run = async context => {
  if (/^workspace:/i.test(context.positionals[0]!)) return (await import('./session-lock.ts')).why(context)
  const workspace = await openWorkspace(context)
  const resource = await resourceOf(workspace, context.positionals[0]!)
  const view = await workspace.coordinator.view()
  const identity = await workspace.identify('look').catch(() => null)
  const document = await explained(workspace, resource, view, identity?.holder ?? null)
  const lease = document['lease'] as Wire | null
  const session = document['session'] as Wire | undefined
  const { colour } = context.output
  for (const warning of view.warnings) context.output.warn(warning)
  const cluster = await clusterOf(view)
  context.output.answer({ ...document, ...cluster?.document }, [
    `${paint(colour, 'bold', resource)} is ${paintStanding(colour, String(document['standing']))}`,
    ...(lease === null
      ? []
      : [
          `  held by   ${printable(holderInWords(lease))} (${String((lease['holder'] as Wire)['worktree_id'])}), token ${String(lease['token'])}, ${untilInWords(lease)}`,
        ]),
    ...(lease === null || lease['resource'] === resource ? [] : [`  as        ${String(lease['resource'])}, which overlaps it`]),
    ...(session === undefined
      ? []
      : [
          `  session   ${printable(said(session['name']))} (role ${printable(said(session['role']))}), ${paintStanding(colour, said(session['standing']))}`,
        ]),
    ...(lease === null || lease['reason'] === null ? [] : [`  because   ${printable(said(lease['reason']))}`]),
    ...(document['evidence'] as readonly string[]).map(
      (fact, index) => `${index === 0 ? '  evidence  ' : '            '}${printable(fact)}`,
    ),
    `  frees     ${String(document['frees_when'])}`,
    `  next      ${String(document['next'])}`,
    ...(cluster === null ? [] : [`  told by   ${view.answeredBy}; ${cluster.words}`]),
    ...(cluster?.uncertain ?? []).map(doubt => `  uncertain ${printable(doubt)}`),
  ])
  return 0
}
