import type { Answer, Caller, Granted } from '../../../coordinator.ts'
import type { Asked, EndSession } from '../../../core/command.ts'
import { policy, usage } from '../../../core/fault.ts'
import type { Reservation } from '../../../core/refusal.ts'
import type { Reading } from '../../../store/store.ts'
import type { Session } from '../../../core/session.ts'
import type { Wire } from '../../../core/wire.ts'
import { orThrow, toldInOwnWay } from '../../../service/claim/answer.ts'
import { endCommand } from '../../../service/claim/pending.ts'
import { noteEnded } from '../../../service/claim/proof.ts'
import { endOrphan, endSessionProcesses, resumeSession } from '../../../service/launch/launch.ts'
import { isProfileName } from '../../../service/launch/evidence.ts'
import { findAnySession, findOpenSession } from '../../../service/session/find.ts'
import { refuseElsewhere, refuseUnlessRestorable, refuseWhileOpened } from '../../../service/session/reopen.ts'
import { seeSession, seenSessionToWire } from '../../../service/session/report.ts'
import type { Context, Run } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { elsewhere, openWorkspace } from '../open.ts'
import { resourceOf } from '../resource.ts'
import { printable } from '../text.ts'
import { callerOf, reasonOption } from '../claiming.ts'
import { followed, startOrder } from './launch.ts'

/** `lh session resume` */
export const resume: Run = async context => {
  try {
    return await openAgain(context)
  } catch (error) {
    throw await toldInOwnWay(error, () => ({ wait: 'open it again when that has ended', take: 'open it again' }))
  }
}

async function openAgain(context: Context): Promise<number> {
  const { workspace, session, view } = await named(context)
  refuseUnlessRestorable(session, view)
  refuseElsewhere(session)
  // What can be opened again says how.
  const command = context.rest.length > 0 ? context.rest : (session.resume?.command ?? [])
  const there = await openWorkspace(elsewhere(context, session.cwd))
  const caller = await callerOf(context, workspace)
  const options = { ...context.options, ...(isProfileName(session.profile) ? { profile: session.profile } : {}) }
  const start = await startOrder({ ...elsewhere(context, session.cwd), options }, there, command, session.clientSessionIds.at(-1) ?? null)
  return followed(context, there, await resumeSession(there, caller, session, start), { resumed: true })
}

/** `lh session reclaim` */
export const reclaim: Run = async context => {
  const reason = reasonOption(context)
  if (reason === undefined) throw usage('a reclaim needs a reason', 'add --reason "…"; it is kept in the log')
  const { workspace, session } = await named(context)
  const caller = await callerOf(context, workspace)
  const { sessionId } = session
  const ending = { sessionId, reason, force: true, staleOnly: true }
  const granted = orThrow(await workspace.coordinator.session(caller, asked => ({ ...asked, type: 'end-session', ...ending })))
  return told(context, workspace, session, granted.ended, 'reclaimed')
}

/** `lh session end` */
export const end: Run = async context => {
  const workspace = await openWorkspace(context)
  const pending = await reservationOf(context, workspace)
  if (pending !== null) return endPending(context, workspace, pending)
  const view = await workspace.coordinator.view()
  const session = await findOpenSession(workspace.store, view, context.positionals[0]!)
  refuseWhileOpened(session, view)
  const held = seeSession(session, view).leases
  const caller = await callerOf(context, workspace)
  const { sessionId, name } = session
  if (context.env['LEASEHOLD_LAUNCH_ID'] === sessionId)
    throw policy(`you are session ${name}`, 'it ends when its agent does; to give the ticket back now: lh claim release <ticket>')
  const reason = reasonOption(context)
  const { agentId } = caller.holder
  const own = agentId === session.agentId || agentId === session.launchedBy
  if (!own && reason === undefined)
    throw policy(`session ${name} was launched by ${session.launchedBy}, not by you`, `say why: lh session end ${name} --reason "…"`)
  if (!(await endSessionProcesses(workspace, session)))
    throw policy(
      `the agent of session ${name} lives, and cannot be ended from here; nothing was changed`,
      'end the session where its agent runs, or take its claim away, and its supervisor ends it: lh claim evict <ticket> --reason "…"',
    )
  const granted = await endByWord(workspace, caller, { sessionId, reason: reason ?? 'ended by its owner', force: !own, staleOnly: false })
  for (const other of await endedWith(workspace, session, view))
    context.output.warn(
      `session ${other.name} was launched by this one and has ended with it, or can be opened again: lh session show ${other.name}`,
    )
  return told(context, workspace, session, granted.ended.length === 0 ? held : granted.ended, 'ended')
}

/** Its own supervisor may have recorded the end meanwhile, and not why: then that is all that is left to record. */
async function endByWord(workspace: FileWorkspace, caller: Caller, ending: Omit<EndSession, keyof Asked | 'type'>): Promise<Granted> {
  const { coordinator, store } = workspace
  const end = (ended: Pick<EndSession, 'ended'>): Promise<Answer> =>
    coordinator.session(caller, asked => ({ ...asked, type: 'end-session', ...ending, ...ended }))
  const answer = await end({})
  if (answer.ok || answer.refusal.kind !== 'no-session') return orThrow(answer)
  return orThrow(await end({ ended: await findAnySession(store, await coordinator.view(), ending.sessionId) }))
}

/** What an agent started ends with it, also the agents that it launched: their own launchers record that, in a moment. */
async function endedWith(workspace: FileWorkspace, { agentId, sessionId }: Session, before: Reading): Promise<readonly Session[]> {
  const others = [...before.sessions()].filter(other => other.launchedBy === agentId && other.sessionId !== sessionId)
  if (others.length === 0) return []
  const after = await workspace.coordinator.view()
  return others.filter(
    other => before.life(other) === 'alive' && (after.session(other.sessionId) === null || after.life(other) !== 'alive'),
  )
}

async function named(context: Context): Promise<{ readonly workspace: FileWorkspace; readonly session: Session; readonly view: Reading }> {
  const workspace = await openWorkspace(context)
  const view = await workspace.coordinator.view()
  return { workspace, view, session: await findOpenSession(workspace.store, view, context.positionals[0]!) }
}

/** A launch in flight for what was named. */
async function reservationOf(context: Context, workspace: FileWorkspace): Promise<Reservation | null> {
  const text = context.positionals[0]!
  const key = await resourceOf(workspace, text).catch(() => null)
  const view = await workspace.coordinator.view()
  return view.reservations().find(({ resource, launchId }) => resource === key || launchId === text) ?? null
}

async function endPending(context: Context, workspace: FileWorkspace, pending: Reservation): Promise<number> {
  const { resource, pid, launcherAlive, launchId } = pending
  const before = await workspace.coordinator.view()
  const reopened = before.session(launchId)
  if (reopened !== null) refuseWhileOpened(reopened, before)
  if (launcherAlive) throw policy(`${resource} is being launched, and the launcher runs (pid ${pid})`, `to stop the launch: kill ${pid}`)
  await endOrphan(pending)
  const view = await workspace.coordinator.view()
  if (view.reservation(resource)?.launchId === launchId)
    throw policy(
      `what a launch of ${resource} had left behind still runs, and cannot be ended from here`,
      `end it where it runs, then: ${endCommand(resource)}`,
    )
  // What was to be opened again is as it was before that.
  const kept = view.session(launchId)
  context.output.answer({ ok: true, session: null, released: kept === null ? [resource] : [], launch_id: launchId }, [
    `ended what a launch of ${printable(resource)} had left behind; ${kept === null ? 'it is free' : `it is kept for session ${kept.name}: lh session show ${kept.name}`}`,
  ])
  return 0
}

async function told(
  context: Context,
  workspace: FileWorkspace,
  { sessionId }: Session,
  leases: Parameters<typeof noteEnded>[1],
  word: string,
): Promise<number> {
  noteEnded(workspace, leases)
  const view = await workspace.coordinator.view()
  const session = await findAnySession(workspace.store, view, sessionId)
  const released = leases.map(({ resource }) => resource)
  const document: Wire = { ok: true, session: seenSessionToWire(seeSession(session, view), view), released }
  const freed = released.join(', ')
  context.output.answer(document, [printable(`${word} session ${session.name}${freed === '' ? '' : `; free: ${freed}`}`)])
  return 0
}
