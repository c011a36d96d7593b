import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { afterEach } from 'vitest'
import type { LaunchHold } from '../../src/coordinator.ts'
import type { Witness } from '../../src/core/lease.ts'
import type { Session } from '../../src/core/session.ts'
import { witnessOf } from '../../src/host/process.ts'
import { Workspace } from '../../src/service/claim/workspace.ts'
import { openFileStore } from '../../src/store/open.ts'

// Sessions as a launch leaves them, made with the library: the test keeps the locks that a launcher and its agent would keep.

export const openWorkspace = (directory: string, agent = 'agent:launcher') =>
  Workspace.open({ directory, env: { ...process.env, LEASEHOLD_AGENT_ID: agent }, open: openFileStore })

export type Opened = Awaited<ReturnType<typeof openWorkspace>>

export interface Agent {
  readonly witness: Witness
  readonly child: ChildProcess
}

const agents = new Set<ChildProcess>()
const holds = new Set<LaunchHold>()
afterEach(() => {
  for (const child of agents) child.kill('SIGKILL')
  for (const hold of holds) letGo(hold)
  agents.clear()
  holds.clear()
})

/** A process that stands for an agent; killed after the test. */
export function anAgent(): Agent {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  agents.add(child)
  const witness = witnessOf(child.pid!)
  if (witness === null) throw new Error('the agent does not run')
  return { witness, child }
}

/** Kills an agent and waits until it is gone. */
export const kill = ({ child }: Agent): Promise<void> =>
  new Promise(resolve => {
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })

/** What everything that a launcher started would do by ending. */
export function letGo({ lock, live }: LaunchHold): void {
  lock?.close()
  live?.close()
}

export interface Wanted {
  readonly ticket: string
  readonly name?: string
  readonly role?: string
  readonly agentId?: string
  readonly agent?: Agent | null
  readonly resume?: Session['resume']
  readonly clientSessionIds?: readonly string[]
  readonly ttlSecs?: number
}

/** Holds a ticket for a launch, as a launcher does before its agent is seen to work. */
export async function reserve(workspace: Opened, { ticket, role = 'dev', agentId = 'agent:launched' }: Wanted) {
  const { holder } = await workspace.identify()
  const launchId = workspace.coordinator.mintId()
  const answer = await workspace.coordinator.reserve(
    { holder },
    { resources: [`ticket:${ticket}`], note: { launchId, role, agentId }, ttlSecs: 60 },
  )
  if (!answer.ok) throw new Error(`refused: ${answer.refusal.kind}`)
  const hold: LaunchHold = { lock: answer.reservation, live: answer.liveLock, token: null }
  holds.add(hold)
  return { launchId, hold, holder }
}

/** A launched claim and its session. */
export async function launch(workspace: Opened, wanted: Wanted): Promise<{ readonly session: Session; readonly hold: LaunchHold }> {
  const { launchId, hold, holder } = await reserve(workspace, wanted)
  const { ticket, name = `dev-${ticket}`, role = 'dev', agentId = 'agent:launched', agent = null } = wanted
  const session: Session = {
    sessionId: launchId,
    name,
    role,
    origin: 'ticket-claim',
    profile: 'command',
    agentId,
    worktreeId: holder.worktreeId,
    cwd: workspace.repository.root!,
    witness: agent?.witness ?? null,
    binding: hold.live === null ? null : { live: hold.live.live },
    clientSessionIds: wanted.clientSessionIds ?? [],
    relatedTickets: [ticket],
    peers: [],
    evidence: { kind: 'ready-fd', seen: 'a newline', confirmed: true, at: Date.now() },
    resume: wanted.resume ?? null,
    launchedBy: holder.agentId,
    startedAt: Date.now(),
    state: 'live',
    endedAt: null,
    endReason: null,
    exitCode: null,
  }
  const answer = await workspace.coordinator.launch(
    { holder: { ...holder, agentId, sessionId: launchId, witness: session.witness } },
    { resources: [`ticket:${ticket}`], ttlSecs: wanted.ttlSecs ?? null, branch: null, reason: null, session },
    hold,
  )
  if (!answer.ok) throw new Error(`refused: ${answer.refusal.kind}`)
  return { session, hold }
}

/** The end of an agent, as its supervisor records it. */
export async function depart(workspace: Opened, { sessionId }: Session, exitCode: number): Promise<void> {
  const { holder } = await workspace.identify()
  const answer = await workspace.coordinator.session({ holder }, asked => ({
    ...asked,
    type: 'depart',
    sessionId,
    agent: null,
    exitCode,
    reason: 'its agent ended',
    keep: true,
  }))
  if (!answer.ok) throw new Error(`refused: ${answer.refusal.kind}`)
}

/** A session ends by somebody's word. */
export async function finish(workspace: Opened, { sessionId }: Session): Promise<void> {
  const { holder } = await workspace.identify()
  const ending = { sessionId, reason: 'enough of it', force: true, staleOnly: false }
  const answer = await workspace.coordinator.session({ holder }, asked => ({ ...asked, type: 'end-session', ...ending }))
  if (!answer.ok) throw new Error(`refused: ${answer.refusal.kind}`)
}
