import type { Caller, Granted, Refused } from '../../coordinator.ts'
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
  const keeper = granted.leases.length === 0 ? null : new Keeper({ coordinator, caller, granted, warn: order.warn, mayGiveBack: true })
  keeper?.watch(agent)
  const stopForwarding = forwardSignals(agent, order.terminal)
  try {
    const exitCode = await agent.ended
    await agent.said()
    await keeper?.look().catch(() => undefined)
    const restorable = await departed({ workspace, caller, session, order }, exitCode)
    return { exitCode, lost: keeper?.lost ?? null, restorable }
  } finally {
    stopForwarding()
    keeper?.stop()
    live?.close()
    await agent.flushed()
  }
}

/** Records the end. What the client calls its session may have become known, or its file have appeared, only after the acceptance. */
async function departed(
  { workspace, caller, session, order }: Pick<SuperviseRequest, 'workspace' | 'caller' | 'session' | 'order'>,
  exitCode: number,
): Promise<boolean> {
  const { sessionId } = session
  const { profile, prepared, command, env, cwd, warn } = order
  const { coordinator } = workspace
  try {
    const clientSessionId = prepared.judge.clientSessionId ?? prepared.clientSessionId
    const resume = clientSessionId === null ? null : profile.resumable(clientSessionId, { command, env, cwd })
    if (clientSessionId !== null && JSON.stringify(resume) !== JSON.stringify(session.resume))
      await coordinator.session(caller, asked => ({ ...asked, type: 'tell-session', sessionId, clientSessionId, resume }))
    const reason = exitCode === 0 ? 'the agent ended' : `the agent ended with code ${exitCode}`
    const answer = await coordinator.session(caller, asked => ({
      ...asked,
      type: 'depart',
      sessionId,
      exitCode,
      reason,
      keep: resume !== null,
    }))
    return answer.ok && (await coordinator.view()).session(sessionId)?.state === 'restorable'
  } catch (error) {
    warn(`the end of session ${session.name} could not be recorded: ${(error as Error).message}; see: lh session show ${session.name}`)
    return false
  }
}
