import type { Answer, Granted } from '../../../coordinator.ts'
import type { Target } from '../../../core/command.ts'
import { notFound, usage } from '../../../core/fault.ts'
import type { Holder, Lease } from '../../../core/lease.ts'
import { endedDocument, grantedDocument, lostInWords, orThrow, secondsLeft } from '../../../service/claim/answer.ts'
import { checkDocument, currentLease, leasesOf, listDocument, listedLeases, statusDocument } from '../../../service/claim/reports.ts'
import { pendingOf } from '../../../service/claim/pending.ts'
import type { Pending } from '../../../service/claim/pending.ts'
import { noteEnded, noteHeld, parseToken, proofFor, shownFor, tokenVariable } from '../../../service/claim/proof.ts'
import { parseAgentId } from '../../../service/identity/agent.ts'
import type { Reading } from '../../../store/store.ts'
import type { Context, Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import { callerOf, leaseOption, reasonOption, tellWaiting, ttlOption, waitOption } from '../claiming.ts'
import { launcherInWords } from '../launched.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { resourceOf, targetOf, warnOfDoubt } from '../resource.ts'
import { claimOf, leasedBy } from '../../../service/ticket/claim-words.ts'
import { agentInWords, endInWords, leaseTable, printable } from '../text.ts'

function requiredReason(context: Context, what: string): string {
  const reason = reasonOption(context)
  if (reason === undefined) throw usage(`${what} needs a reason`, 'add --reason "…"; it is kept in the log')
  return reason
}

/** `lh claim acquire` */
export const acquire: Run = async context => {
  const workspace = await openWorkspace(context)
  const [ttlSecs, waitMs, reason, named] = [ttlOption(context), waitOption(context), reasonOption(context), branchOption(context)]
  const { resources, branch: checkedOut } = await claimOf(workspace, context.positionals)
  await warnOfDoubt(context, workspace)
  const branch = named ?? checkedOut ?? undefined
  const caller = await callerOf(context, workspace)
  const answer = await workspace.coordinator.acquire(caller, {
    resources,
    ...(ttlSecs === undefined ? {} : { ttlSecs }),
    ...(reason === undefined ? {} : { reason }),
    ...(branch === undefined ? {} : { branch }),
    ...(waitMs === undefined ? {} : { waitMs }),
    news: { ...(reason === undefined ? {} : { reason }), ...(named === undefined ? {} : { branch: named }) },
    ...shownFor(resources, context.env),
    onWait: tellWaiting(context),
  })
  const granted = orThrow(answer)
  return leasesAnswer(context, workspace, granted, granted.alreadyHeld ? 'you already hold' : 'acquired')
}

function branchOption(context: Context): string | undefined {
  const branch = textOption(context, 'branch')
  if (branch === undefined) return undefined
  if (branch === '' || /[\u0000-\u0020\u007f~^:?*[\\]/.test(branch) || Buffer.byteLength(branch) > 256)
    throw usage(`"${printable(branch)}" is not a branch name`)
  return branch
}

/** Told again, nothing was done: who meant to do it now has to hear that. */
const againInWords = ({ replay }: Granted): string => (replay ? ' (the first answer again)' : '')

function lostLines(granted: Granted): readonly string[] {
  const lost = lostInWords(granted)
  return lost === null ? [] : [lost]
}

function leasesAnswer(context: Context, workspace: FileWorkspace, granted: Granted, verb: string): number {
  const { lost } = granted
  const note = noteHeld(
    workspace,
    granted.leases.filter(({ resource }) => !lost.has(resource)),
  )
  for (const warning of [...workspace.store.warnings, ...(note === null ? [] : [note])]) context.output.warn(warning)
  const suffix = againInWords(granted) || (granted.late ? ' (it had expired, and nobody had taken it)' : '')
  const untilWhen = (lease: Lease): string => (lost.has(lease.resource) ? 'no longer current' : endInWords(secondsLeft(lease, granted)))
  const told = (lease: Lease): string =>
    `${verb} ${lease.resource}  token ${lease.token}, ${untilWhen(lease)}  lease ${lease.leaseId}${suffix}`
  context.output.answer(
    () => grantedDocument(granted),
    () => [...granted.leases.map(told), ...lostLines(granted)],
  )
  return 0
}

const beat =
  (heartbeat: boolean): Run =>
  async context => {
    if (textOption(context, 'every') !== undefined || textOption(context, 'while-pid') !== undefined) {
      const { keepBeating } = await import('./heartbeat.ts')
      return keepBeating(context)
    }
    const workspace = await openWorkspace(context)
    const ttlSecs = ttlOption(context)
    const note = reasonOption(context, 'note')
    const reason = reasonOption(context)
    const { caller, target, presented } = await addressed(context, workspace)
    const granted = orThrow(
      await workspace.coordinator.renew(caller, {
        target,
        presented,
        heartbeat,
        ...(ttlSecs === undefined ? {} : { ttlSecs }),
        ...(note === undefined ? {} : { note }),
        ...(reason === undefined ? {} : { reason }),
      }),
    )
    return leasesAnswer(context, workspace, granted, 'renewed')
  }

/** `lh claim renew` */
export const renew = beat(false)
/** `lh claim heartbeat` */
export const heartbeat = beat(true)

/** Who asks, about which lease, with what proof. */
export async function addressed(context: Context, workspace: FileWorkspace) {
  const [text] = context.positionals
  const target = await targetOf(workspace, text!)
  const caller = await callerOf(context, workspace)
  const flags = { token: textOption(context, 'token'), lease: leaseFor(context, target) }
  return { caller, target, presented: proofFor(workspace, target, flags, context.env, caller.holder) }
}

/** `--lease`. Beside a lease id as the argument it can only say the same. */
function leaseFor(context: Context, target: Target): string | undefined {
  const leaseId = leaseOption(context)
  if (leaseId !== undefined && 'leaseId' in target && target.leaseId !== leaseId)
    throw usage(`two leases are named: ${target.leaseId}, and with --lease ${leaseId}`, 'name one of them')
  return leaseId
}

/** `lh claim release` */
export const release: Run = async context => {
  const workspace = await openWorkspace(context)
  const reason = reasonOption(context)
  const { caller, target, presented } = await addressed(context, workspace)
  const only = switchOption(context, 'only')
  const answer = await workspace.coordinator.release(caller, { target, presented, only, ...(reason === undefined ? {} : { reason }) })
  const note = noteEnded(workspace, answer.ok ? answer.ended : [])
  if (note !== null) context.output.warn(note)
  return endedAnswer(context, workspace, target, answer, caller.holder.agentId, 'released')
}

/** `lh claim evict` */
export const evict: Run = async context => {
  const workspace = await openWorkspace(context)
  const reason = requiredReason(context, 'an eviction')
  const target = await targetOf(workspace, context.positionals[0]!)
  const token = textOption(context, 'token')
  const caller = await callerOf(context, workspace)
  const answer = await workspace.coordinator.evict(caller, { target, reason, ...(token === undefined ? {} : { token: parseToken(token) }) })
  return endedAnswer(context, workspace, target, answer, caller.holder.agentId, 'evicted')
}

/** The canonical key of what was named, or the lease id. */
const askedFor = (target: Target): string => ('resource' in target ? target.resource : target.leaseId)

function endedAnswer(context: Context, workspace: FileWorkspace, target: Target, answer: Answer, actor: string, verb: string): number {
  const granted = orThrow(answer)
  for (const warning of workspace.store.warnings) context.output.warn(warning)
  const again = againInWords(granted)
  const lines = granted.ended.map(lease => `${verb} ${lease.resource}, held by ${lease.holder.agentId} with token ${lease.token}${again}`)
  context.output.answer(
    () => endedDocument(granted, actor, askedFor(target)),
    lines.length === 0 ? [`${askedFor(target)} was already released`] : lines,
  )
  return 0
}

/** `lh claim transfer` */
export const transfer: Run = async context => {
  const workspace = await openWorkspace(context)
  const [toAgent, toSession] = [textOption(context, 'to-agent'), textOption(context, 'to-session')]
  if (toAgent !== undefined && toSession !== undefined)
    throw usage('--to-agent and --to-session exclude each other', 'a session has its agent: leave --to-agent out')
  if (toAgent === undefined && toSession === undefined)
    throw usage('a transfer needs --to-agent or --to-session', 'lh claim transfer <lease|resource> --to-agent agent:other --reason "…"')
  const reason = requiredReason(context, 'a transfer')
  const toWorktree = textOption(context, 'to-worktree')
  if (toWorktree !== undefined && !/^wt:[0-9a-f]{8}$/.test(toWorktree))
    throw usage('--to-worktree is a worktree id such as wt:1a2b3c4d', 'that worktree shows its own with: lh whoami')
  const ttlSecs = ttlOption(context)
  const { caller, target, presented } = await addressed(context, workspace)
  const view = await workspace.coordinator.view()
  const present = 'leaseId' in target ? view.byLeaseId(target.leaseId) : view.lease(target.resource)
  if (toWorktree !== undefined) await checkWorktree(context, workspace, view, toWorktree)
  const worktreeId = toWorktree ?? present?.holder.worktreeId ?? caller.holder.worktreeId
  // To another session: it works where the work is, unless it is told to be somewhere else.
  const session = toSession === undefined ? null : (await import('../../../service/session/find.ts')).findSession(view, toSession)
  const to =
    session === null
      ? { agentId: parseAgentId(toAgent!, '--to-agent'), worktreeId, sessionId: null, witness: null }
      : { agentId: session.agentId, worktreeId, sessionId: session.sessionId, witness: session.witness }
  const granted = orThrow(
    await workspace.coordinator.transfer(caller, {
      target,
      presented,
      to,
      reason,
      ...(session === null ? {} : { toSession: session.sessionId }),
      ...(ttlSecs === undefined ? {} : { ttlSecs }),
    }),
  )
  noteEnded(workspace, granted.ended)
  context.output.answer(grantedDocument(granted), [
    ...granted.leases.map(
      lease =>
        `transferred ${lease.resource} to ${lease.holder.agentId} (${lease.holder.worktreeId})  token ${lease.token}  lease ${lease.leaseId}${againInWords(granted)}`,
    ),
    ...lostLines(granted),
  ])
  return 0
}

/** Throws `not_found` for a worktree that is not of this repository. A store that others share may know theirs: then it is a warning. */
async function checkWorktree(context: Context, workspace: FileWorkspace, view: Reading, worktreeId: string): Promise<void> {
  const { worktreeIdsOf } = await import('../../../service/identity/worktrees.ts')
  const own = worktreeIdsOf(workspace.repository)
  const isKnown = own.has(worktreeId) || [...view.all()].some(({ holder }) => holder.worktreeId === worktreeId)
  if (isKnown) return
  const which = `${worktreeId} is no worktree of this repository, which has ${[...own].join(', ') || 'none that has an id'}`
  const where = 'a worktree shows its id with: lh whoami'
  if (!workspace.mayHaveOtherClones) throw notFound(which, where)
  context.output.warn(`${which}; one of another clone is taken at your word`)
}

const pendingLines = (pending: readonly Pending[]): readonly string[] =>
  pending.map(each => `pending  ${printable(`${each.resource}  ${each.agentId}`)}  ${launcherInWords(each)}`)

/** `lh claim list` */
export const list: Run = async context => {
  const workspace = await openWorkspace(context)
  if (switchOption(context, 'sweep')) {
    const caller = await workspace.identify().catch(() => workspace.system())
    orThrow(await workspace.coordinator.sweep(caller))
  }
  const view = await workspace.coordinator.view()
  for (const warning of view.warnings) context.output.warn(warning)
  const all = switchOption(context, 'all')
  const leases = listedLeases(view)
  const ended = all ? await (await import('../../../service/claim/ended.ts')).endedLeases(workspace.store, view) : []
  context.output.answer(
    () => ({ ...listDocument(leases, view), ...(all ? { ended } : {}) }),
    () => [
      ...leaseTable(leases, context.output.colour),
      ...pendingLines(pendingOf(view, null, null)),
      ...ended.map(past => `ended  ${String(past['resource'])}  token ${String(past['token'])}  ${String(past['ended_by'])}`),
    ],
  )
  return 0
}

/** `lh claim status` */
export const status: Run = async context => {
  const workspace = await openWorkspace(context)
  const resource = textOption(context, 'resource')
  const agent = textOption(context, 'agent')
  const own = resource === undefined && agent === undefined ? await workspace.identify('look').catch(() => null) : null
  const view = await workspace.coordinator.view()
  for (const warning of view.warnings) context.output.warn(warning)
  const [key, agentId] = [resource === undefined ? null : await resourceOf(workspace, resource), agent ?? own?.holder.agentId ?? null]
  const leases = leasesOf(view, key, agentId)
  context.output.answer(
    () => statusDocument(leases, view, key, agentId),
    () => [...leaseTable(leases, context.output.colour), ...pendingLines(pendingOf(view, key, agentId))],
  )
  return 0
}

/** The token that is shown, else the environment's; where that one is of other resources, what the worktree noted for its holder. */
async function tokenToCheck(context: Context, workspace: FileWorkspace, target: Target): Promise<number> {
  const shown = textOption(context, 'token')
  if (shown !== undefined) return parseToken(shown)
  const { [tokenVariable]: text, LEASEHOLD_RESOURCES: named } = context.env
  const how = 'lh claim check <resource> --token N'
  if (text === undefined) throw usage('a check needs --token', how)
  if (named === undefined || 'leaseId' in target || named.split('\n').includes(target.resource)) return parseToken(text, tokenVariable)
  const { holder } = await workspace.identify('look')
  const { token } = proofFor(workspace, target, {}, {}, holder)
  if (token === null) throw usage(`${tokenVariable} is not of ${target.resource}, and no other token of it is known here`, how)
  return token
}

/** `lh claim check` */
export const check: Run = async context => {
  const workspace = await openWorkspace(context)
  const target = await targetOf(workspace, context.positionals[0]!)
  const token = await tokenToCheck(context, workspace, target)
  const view = await workspace.coordinator.view('resource' in target ? [target.resource] : undefined)
  const whoAsks = (): Promise<Holder | null> =>
    workspace.identify('look').then(
      ({ holder }) => holder,
      () => null,
    )
  const lease = await currentLease(view, target, token, { whoAsks, wasOf: leaseId => leasedBy(workspace, leaseId) })
  const { agentId, sessionId } = lease.holder
  context.output.answer(
    () => checkDocument(view, lease),
    [`token ${token} is the current one of ${lease.resource}, held by ${agentInWords(agentId, sessionId)}`],
  )
  return 0
}
