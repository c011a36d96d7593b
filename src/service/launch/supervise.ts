import type { Caller, Coordinator, Granted, Refused } from '../../coordinator.ts'
import type { Lease } from '../../core/lease.ts'
import { sessionKey } from '../../core/session.ts'
import type { Session } from '../../core/session.ts'
import type { LiveLock } from '../../store/store.ts'
import { Keeper, forwardSignals } from '../claim/hold.ts'
import type { Workspace } from '../claim/workspace.ts'
import type { AgentProcess } from './agent-process.ts'
import type { StartOrder } from './order.ts'

/** How a supervised agent ended. */
export interface Supervised {
  /** The agent's, or 128 + n. */
  readonly exitCode: number
  /** Why the claim was lost while it ran, or null. */
  readonly lost: Refused | null
  /** Its claim waits for it to be started again. */
  readonly restorable: boolean
  /** Its session does: it waits to be started again, or another agent works in it already. */
  readonly goesOn: boolean
}

export interface SuperviseRequest {
  readonly workspace: Workspace
  readonly caller: Caller
  readonly granted: Granted
  readonly session: Session
  readonly agent: AgentProcess
  readonly order: StartOrder
  readonly live: LiveLock | null
}

/** Keeps a launched agent's claim while it runs: renews, forwards signals, ends it when the claim is lost, and says at its end what is left. */
export async function supervise({ workspace, caller, granted, session, agent, order, live }: SuperviseRequest): Promise<Supervised> {
  const { coordinator } = workspace
  const keeper = new Keeper({ coordinator, caller, granted, warn: order.warn, launched: true })
  keeper.watch(agent)
  const receiving = new AbortController()
  void keepReceived(coordinator, session.sessionId, keeper, receiving.signal)
  const stopForwarding = forwardSignals(agent, () => order.terminal)
  try {
    const exitCode = await agent.ended
    await agent.said()
    await keeper.look().catch(() => undefined)
    const state = await departed({ workspace, caller, session, order }, exitCode)
    return { exitCode, lost: keeper.lost, restorable: state === 'restorable', goesOn: state !== null }
  } finally {
    stopForwarding()
    receiving.abort()
    keeper.stop()
    live?.close()
    await agent.flushed()
  }
}

/** How long the log may be quiet until it is looked at all the same, and the least time between two looks, milliseconds. */
const lookAgainMs = 5000
const betweenLooksMs = 1000

/** A ticket that is handed on to a session that works is kept by that session's supervisor from then on. */
async function keepReceived(coordinator: Coordinator, sessionId: string, keeper: Keeper, signal: AbortSignal): Promise<void> {
  const pause = (): Promise<void> => new Promise(resolve => void setTimeout(resolve, betweenLooksMs).unref())
  while (!signal.aborted) {
    // What cannot be read now is looked at again.
    // oxlint-disable-next-line no-await-in-loop -- one look after the other is the point
    const seen = await received(coordinator, sessionId).catch(() => null)
    if (signal.aborted) return
    for (const lease of seen?.leases ?? []) keeper.add(lease)
    // oxlint-disable-next-line no-await-in-loop -- as above
    if (seen !== null) await coordinator.changed(seen.lastSeq, lookAgainMs).catch(() => undefined)
    // oxlint-disable-next-line no-await-in-loop -- as above
    await pause()
  }
}

async function received(
  coordinator: Coordinator,
  sessionId: string,
): Promise<{ readonly leases: readonly Lease[]; readonly lastSeq: number }> {
  const { lastSeq, ...own } = await coordinator.view([sessionKey(sessionId)])
  const keys = (own.session(sessionId)?.relatedTickets ?? []).map(ticket => `ticket:${ticket}`)
  if (keys.length === 0) return { leases: [], lastSeq }
  const view = await coordinator.view(keys)
  const leases = keys.map(key => view.lease(key)).filter(lease => lease?.holder.sessionId === sessionId)
  return { leases: leases.filter(lease => lease !== null && lease !== undefined), lastSeq }
}

/**
 * Records the end, and says what its session is then; null where it is none any more, or where that cannot be told. What the client calls its
 * session may have become known, or its file have appeared, only after the acceptance.
 */
async function departed(
  { workspace, caller, session, order }: Pick<SuperviseRequest, 'workspace' | 'caller' | 'session' | 'order'>,
  exitCode: number,
): Promise<Session['state'] | null> {
  const { sessionId } = session
  // Slow as this process may have been, another agent may work by now: what is said here is of this one.
  const ended = { witness: session.witness, binding: session.binding }
  const { profile, prepared, command, env, cwd, warn } = order
  const { coordinator } = workspace
  try {
    const clientSessionId = prepared.judge.clientSessionId ?? prepared.clientSessionId
    const resume = clientSessionId === null ? session.resume : profile.resumable(clientSessionId, { command, env, cwd })
    if (clientSessionId !== null && JSON.stringify(resume) !== JSON.stringify(session.resume))
      await coordinator.session(caller, asked => ({ ...asked, type: 'tell-session', sessionId, agent: ended, clientSessionId, resume }))
    const reason = exitCode === 0 ? 'the agent ended' : `the agent ended with code ${exitCode}`
    const answer = await coordinator.session(caller, asked => ({
      ...asked,
      type: 'depart',
      sessionId,
      agent: ended,
      exitCode,
      reason,
      keep: resume !== null,
    }))
    return answer.ok ? ((await coordinator.view()).session(sessionId)?.state ?? null) : null
  } catch (error) {
    warn(`the end of session ${session.name} could not be recorded: ${(error as Error).message}; see: lh session show ${session.name}`)
    return null
  }
}
