import { closeSync, openSync } from 'node:fs'
import type { Answer, Caller, Granted, LaunchHold } from '../../coordinator.ts'
import { Fault, isFault } from '../../core/fault.ts'
import type { Holder } from '../../core/lease.ts'
import type { Reservation } from '../../core/refusal.ts'
import { spellingOf } from '../../core/resource.ts'
import { sessionKey } from '../../core/session.ts'
import type { LaunchEvidence, Session } from '../../core/session.ts'
import { shellWord } from '../../core/shell-word.ts'
import { signalGroup, vitality, witnessOf } from '../../host/process.ts'
import { orThrow, refusalDocument } from '../claim/answer.ts'
import { carriedWith, whyNotStarted } from '../claim/hold.ts'
import { agentNote } from '../claim/pending.ts'
import { endings, forwarded, isFromTerminal, onSignals } from '../claim/signals.ts'
import { whenFree } from '../claim/when-free.ts'
import type { Workspace } from '../claim/workspace.ts'
import type { Accepted } from './acceptance.ts'
import { Acceptance } from './acceptance.ts'
import { AgentProcess, endAll } from './agent-process.ts'
import { ReportChannel } from './channel.ts'
import type { Verdict } from './evidence.ts'
import type { LaunchOrder, StartOrder } from './order.ts'
import type { Supervised } from './supervise.ts'

// reserve → spawn → evidence → one record → supervise. A claim exists only once the agent has been seen to work; until then all there is
// of the launch is a lock that dies with it.

/** A launch that succeeded. */
export interface Launched {
  readonly granted: Granted
  readonly session: Session
  readonly pid: number
  /** The agent has the terminal, and nothing else may write there. */
  readonly terminal: boolean
  /** Keeps the claim until the agent ends. */
  supervise(): Promise<Supervised>
}

/** Launches an agent. Throws `launch_failed` when it did not show that it works; then nothing of it is left. */
export async function launch(order: LaunchOrder): Promise<Launched> {
  const { workspace, resources, role } = order
  const { coordinator } = workspace
  const sessionId = coordinator.mintId()
  const agentId = order.agentId ?? `agent:${order.start.profile.name}-${sessionId.slice(-8).toLowerCase()}`
  const holder: Holder = { ...order.caller.holder, agentId, sessionId, witness: null }
  const env = { ...withoutForeign(order.start.env), ...environmentOf(agentId, role, order.ticket, order.peers) }
  const note = { launchId: sessionId, role, agentId }
  const reserve = (): Promise<Answer> =>
    coordinator.reserve({ holder: ownWitness(holder) }, { resources, note, ttlSecs: reservationTtlSecs })
  const reserved = await whenFree(workspace, order.wait, async () => {
    const answer = await withoutOrphan(reserve)
    return (agentId === order.caller.holder.agentId ? null : heldByLauncher(answer, order.caller)) ?? orThrow(answer)
  })
  if (reserved instanceof Fault) throw reserved
  const hold = holdOf(reserved)
  const begun = async (started: Started): Promise<Session> => ({
    sessionId,
    name: await order.name(),
    role,
    origin: order.origin,
    profile: order.start.profile.name,
    agentId,
    worktreeId: holder.worktreeId,
    cwd: order.start.cwd,
    ...started.facts,
    relatedTickets: order.ticket === null ? [] : [order.ticket],
    peers: order.peers,
    launchedBy: order.caller.holder.agentId,
    startedAt: Date.now(),
    state: 'live',
    endedAt: null,
    endReason: null,
    exitCode: null,
  })
  const run = new Run(workspace, { ...order.caller, holder }, sessionId, hold, resources[0] ?? sessionKey(sessionId), 'nothing was claimed')
  return run.start({ ...order.start, env }, async started => {
    const session = await begun(started)
    const own: Caller = { holder: { ...holder, witness: session.witness } }
    const answer = await coordinator.launch(own, { resources, ttlSecs: order.ttlSecs, branch: order.branch, reason: null, session }, hold)
    return { answer, session, caller: own }
  })
}

/** Whoever launches an agent for what they hold themselves would wait for themselves: the agent is another holder. */
function heldByLauncher(answer: Answer, { holder }: Caller): Fault | null {
  if (answer.ok || answer.refusal.kind !== 'held' || answer.refusal.lease.holder.agentId !== holder.agentId) return null
  const { resource, leaseId, token } = answer.refusal.lease
  const { code, details, holder: who } = refusalDocument(answer)
  return new Fault(code, `you hold ${resource} yourself, and a launched agent is a holder of its own`, {
    hint: `give it back first: lh claim release ${shellWord(spellingOf(resource))} --lease ${leaseId} --token ${token}`,
    details: { ...details, holder: who },
  })
}

/** Starts the agent of a session again, that its client can open. The claim gets a new token, which fences the old process. */
export async function resumeSession(workspace: Workspace, caller: Caller, session: Session, start: StartOrder): Promise<Launched> {
  const { coordinator } = workspace
  const { sessionId, agentId, role, worktreeId } = session
  const holder: Holder = { agentId, worktreeId, sessionId, witness: null }
  const told = environmentOf(agentId, role, session.relatedTickets[0] ?? null, session.peers)
  const env = { ...withoutForeign(start.env), ...told }
  const note = { launchId: sessionId, role, agentId }
  const launcher = ownWitness(holder)
  const held = await withoutOrphan(() => coordinator.holdSession({ holder: launcher }, sessionId, note, reservationTtlSecs))
  const hold = holdOf(orThrow(held))
  const unchanged = 'the session is as it was, and so is its claim'
  const run = new Run(workspace, { ...caller, holder: launcher }, sessionId, hold, sessionKey(sessionId), unchanged)
  return run.start({ ...start, env }, async ({ facts }) => {
    const own: Caller = { holder: { ...holder, witness: facts.witness } }
    const { witness, binding, evidence, resume, clientSessionIds } = facts
    const answer = await coordinator.session(
      own,
      asked => ({ ...asked, type: 'resume-session', sessionId, witness, binding, evidence, resume, clientSessionIds, token: hold.token }),
      hold.lock,
    )
    return { answer, session: { ...session, ...facts, state: 'live' as const }, caller: own }
  })
}

/** While its agent is not there, the launcher stands for a holder. */
const ownWitness = (holder: Holder): Holder => ({ ...holder, witness: witnessOf(process.pid) })

/** A reservation that is a record lapses this long after its launcher's last sign of life, seconds. */
const reservationTtlSecs = 10

const holdOf = ({ reservation, liveLock, leases }: Granted): LaunchHold => ({
  lock: reservation,
  live: liveLock,
  token: leases.find(({ state }) => state === 'pending')?.token ?? null,
})

/** What a launcher left behind that was killed: nobody will ever confirm it, so it is ended before the same is started again. */
async function withoutOrphan(reserve: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    // oxlint-disable-next-line no-await-in-loop -- each try follows an end
    const answer = await reserve()
    if (answer.ok) {
      // Where a reservation is a record that lapses, it ends before what it was for.
      for (const { state, holder } of answer.ended)
        if (state === 'pending' && holder.sessionId !== null) await endOrphan({ launchId: holder.sessionId, agent: null, lockFile: null })
      return answer
    }
    if (answer.refusal.kind !== 'reserved' || answer.refusal.reservation.launcherAlive || tries === maxOrphans) return answer
    // oxlint-disable-next-line no-await-in-loop -- as above
    await endOrphan(answer.refusal.reservation)
  }
}

/** One that its launcher was just forking is not to be found by its environment until it runs its program. */
const maxOrphans = 4

/** Ends the agent of a launch whose launcher is gone. Throws nothing; afterwards the reservation is free unless something could not be ended. */
export async function endOrphan({ launchId, agent, lockFile }: Pick<Reservation, 'launchId' | 'agent' | 'lockFile'>): Promise<void> {
  const isAlive = (): boolean => agent !== null && vitality(agent) === 'alive'
  // While it is open here, no later launch gets a file that could be taken for it.
  const open = lockFile === null ? null : opened(lockFile.path)
  try {
    const startedSince = lockFile === null ? 0 : (agent?.pidStartTicks ?? 0)
    await endAll(
      { carried: ['LEASEHOLD_LAUNCH_ID', launchId], lockFiles: lockFile === null ? [] : [lockFile], startedSince },
      {
        signal: name => {
          if (isAlive()) signalGroup(agent!.pid, name)
          try {
            if (isAlive()) process.kill(agent!.pid, name)
          } catch {
            // It has just gone.
          }
        },
        runs: isAlive,
      },
    )
  } finally {
    if (open !== null) closeSync(open)
  }
}

function opened(file: string): number | null {
  try {
    return openSync(file, 'r')
  } catch {
    return null
  }
}

/**
 * Ends the agent of a session and what it started, as far as it can be reached from here. False when it lives on all the same, as in another
 * container: to free its ticket then would make two agents for one.
 */
export async function endSessionProcesses({ coordinator }: Workspace, session: Session): Promise<boolean> {
  const { sessionId, witness } = session
  await endOrphan({ launchId: sessionId, agent: witness, lockFile: null })
  for (const deadline = performance.now() + recordingMs; performance.now() < deadline;) {
    // oxlint-disable-next-line no-await-in-loop -- polling
    const view = await coordinator.view()
    const now = view.session(sessionId)
    if (now?.state !== 'live' || view.life(now) !== 'alive' || witness === null || vitality(witness) === 'dead') return true
    // oxlint-disable-next-line no-await-in-loop -- as above
    await new Promise(resolve => void setTimeout(resolve, 50))
  }
  return false
}

/** How long a supervisor may take to record that its agent has ended, milliseconds. */
const recordingMs = 3000

/** What is known once the agent works. */
interface Started {
  readonly facts: Pick<Session, 'witness' | 'binding' | 'clientSessionIds' | 'evidence' | 'resume'>
}

type Confirm = (started: Started) => Promise<{ readonly answer: Answer; readonly session: Session; readonly caller: Caller }>

/** One start of an agent, from the hold to its record. */
class Run {
  readonly #workspace: Workspace
  readonly #caller: Caller
  readonly #launchId: string
  readonly #hold: LaunchHold
  /** What its reservation is of, where that is a record. */
  readonly #resource: string
  /** What a start that fails leaves as it was, for people. */
  readonly #unchanged: string
  readonly #stop = new AbortController()
  /** What an agent that we speak to calls its session. */
  #said: string | null = null

  constructor(workspace: Workspace, caller: Caller, launchId: string, hold: LaunchHold, resource: string, unchanged: string) {
    this.#workspace = workspace
    this.#caller = caller
    this.#launchId = launchId
    this.#hold = hold
    this.#resource = resource
    this.#unchanged = unchanged
  }

  async start(order: StartOrder, confirm: Confirm): Promise<Launched> {
    let working: AgentProcess | null = null
    /** What was sent while the record was being written: for the agent then, since its launch can no longer be stopped. */
    const late: NodeJS.Signals[] = []
    const forward = (name: NodeJS.Signals): void => {
      if (!isFromTerminal(name) || !order.terminal) working?.kill(name)
    }
    const release = onSignals(forwarded, name => {
      if (working !== null) return forward(name)
      late.push(name)
      if ((endings as readonly string[]).includes(name)) this.#stop.abort(`the launch was stopped by ${name}`)
    })
    const acceptance = new Acceptance(order.prepared.judge)
    let channel: ReportChannel | null = null
    let agent: AgentProcess | null = null
    const stopRenewing = this.#renewReservation()
    try {
      if (order.prepared.hooks !== 'no') channel = reportChannel(acceptance)
      agent = await this.#spawn(order, acceptance, channel)
      const accepted = await this.#accepted(order, acceptance, agent)
      const launched = await this.#confirmed(order, agent, accepted, confirm)
      working = agent
      late.forEach(forward)
      return {
        ...launched,
        supervise() {
          // The supervisor forwards signals from its first moment on.
          const supervised = launched.supervise()
          release()
          return supervised
        },
      }
    } catch (error) {
      // What could not be recorded is the one failure after which an agent may be left, and only if that was asked for.
      if (agent !== null && !(order.keep && isFault(error) && error.code === 'unavailable')) await agent.end()
      await this.#abandon(order)
      if (!order.keep) await agent?.flushed()
      release()
      throw error
    } finally {
      stopRenewing()
      channel?.close()
    }
  }

  /** Where the reservation is a record, it lives by our signs of life. */
  #renewReservation(): () => void {
    const { token } = this.#hold
    if (token === null) return () => undefined
    const timer = setInterval(() => void this.#beat(token), (reservationTtlSecs * 1000) / 5)
    return () => clearInterval(timer)
  }

  /** For whoever looks, and for whoever ends what we leave behind. */
  #notePid(pid: number): void {
    const { lock, token } = this.#hold
    lock?.note(witnessOf(pid))
    if (token !== null) void this.#beat(token, agentNote(pid))
  }

  /** A sign of life of a reservation that is a record; whether that was lost, the confirmation finds out. */
  async #beat(token: number, note?: string): Promise<void> {
    const target = { resource: this.#resource }
    const { holder } = this.#caller
    const request = { target, presented: { leaseId: null, token }, ...(note === undefined ? {} : { note }) }
    await this.#workspace.coordinator.renew({ holder }, request).catch(() => undefined)
  }

  async #spawn(order: StartOrder, acceptance: Acceptance, channel: ReportChannel | null): Promise<AgentProcess> {
    const { prepared, cwd, terminal, stdout, ready, env } = order
    const { lock, live } = this.#hold
    const own = {
      LEASEHOLD_LAUNCH_ID: this.#launchId,
      LEASEHOLD_SESSION_ID: this.#launchId,
      ...(channel === null ? {} : { LEASEHOLD_LAUNCH_REPORT: channel.file }),
      // Which of the locks is the session's own: an agent that it launches does not carry that one on.
      ...(live === null ? {} : { LEASEHOLD_LIVE: carriedWith(live.live, env['LEASEHOLD_LIVE']), LEASEHOLD_LAUNCH_LIVE: live.live }),
    }
    try {
      return await AgentProcess.start({
        command: prepared.command,
        cwd,
        env: { ...env, ...own },
        terminal,
        dialogue: prepared.stdio === 'acp',
        stdout,
        locks: [...(lock?.fds ?? []), ...(live?.fd === null || live === null ? [] : [live.fd])],
        readyFd: ready?.kind === 'fd',
        onLine: line => acceptance.line(line),
        onPid: pid => this.#notePid(pid),
      })
    } catch (error) {
      const where =
        (error as NodeJS.ErrnoException).code === 'ENOENT' && prepared.command[0]!.includes('/') ? ` (in ${cwd}, where it is started)` : ''
      const why = `${whyNotStarted(error)}${where}`
      throw failed(`"${prepared.command[0]}" could not be started: ${why}`, this.#unchanged, null)
    }
  }

  async #accepted(order: StartOrder, acceptance: Acceptance, agent: AgentProcess): Promise<Extract<Accepted, { ok: true }>> {
    const { prepared, ready, readyTimeoutMs, terminal, dialogue } = order
    if (prepared.stdio === 'acp' && dialogue !== null) {
      let works = false
      const onVerdict = (verdict: Verdict): void => {
        works ||= verdict.state === 'accepted'
        acceptance.verdict(verdict)
      }
      const { child } = agent
      dialogue(child, { onVerdict, onSession: id => void (this.#said = id) }, this.#stop.signal).catch((error: Error) => {
        // Before it works a verdict tells of it, and after its end its exit code: an agent that only answers an error ends with 0.
        if (works && child.exitCode === null && child.signalCode === null) order.warn(`the turn of the agent failed: ${error.message}`)
      })
    }
    const accepted = await acceptance.wait({
      agent,
      ready,
      timeoutMs: readyTimeoutMs,
      fromPrompt: terminal && prepared.hooks === 'needed',
      signal: this.#stop.signal,
    })
    if (accepted.ok) return accepted
    await agent.end()
    const step = accepted.step === null ? '' : ` (it came as far as: ${accepted.step})`
    throw failed(
      `${prepared.command[0]} did not start: ${accepted.why}${step}`,
      `${this.#unchanged}, and nothing is left of this start; try again when that is mended`,
      { last_lines: agent.lastLines, step: accepted.step, agent_exit_code: accepted.exitCode },
    )
  }

  async #confirmed(
    order: StartOrder,
    agent: AgentProcess,
    { evidence }: Extract<Accepted, { ok: true }>,
    confirm: Confirm,
  ): Promise<Launched> {
    const { profile, prepared, command, env, cwd, keep } = order
    const clientSessionId = this.#said ?? prepared.judge.clientSessionId ?? prepared.clientSessionId
    const seen: LaunchEvidence = { ...evidence, at: Date.now() }
    const facts = {
      witness: witnessOf(agent.pid),
      binding: this.#hold.live === null ? null : { live: this.#hold.live.live },
      clientSessionIds: clientSessionId === null ? [] : [clientSessionId],
      evidence: seen,
      resume: clientSessionId === null ? null : profile.resumable(clientSessionId, { command, env, cwd }),
    }
    // Nothing of it is needed before the agent works.
    const { supervise } = await import('./supervise.ts')
    let confirmed: Awaited<ReturnType<Confirm>>
    try {
      confirmed = await confirm({ facts })
    } catch (error) {
      throw unrecorded(error, agent.pid, keep)
    }
    const { answer, session, caller } = confirmed
    const granted = { ...orThrow(answer), liveLock: this.#hold.live }
    return {
      granted,
      session,
      pid: agent.pid,
      terminal: order.terminal,
      supervise: () => supervise({ workspace: this.#workspace, caller, granted, session, agent, order, live: this.#hold.live }),
    }
  }

  /** The locks go with this process in any case; this makes it at once, and leaves no files. */
  async #abandon({ warn }: StartOrder): Promise<void> {
    try {
      await this.#workspace.coordinator.abandon(this.#caller, this.#hold, this.#resource)
    } catch (error) {
      this.#hold.lock?.close()
      this.#hold.live?.close()
      warn(`the reservation ends with this process: ${(error as Error).message}`)
    }
  }
}

/** What an agent is told before its first prompt. */
const environmentOf = (agentId: string, role: string, ticket: string | null, peers: readonly string[]): Record<string, string> => ({
  LEASEHOLD_AGENT_ID: agentId,
  LEASEHOLD_ROLE: role,
  ...(ticket === null ? {} : { LEASEHOLD_TICKET: ticket }),
  ...(peers.length === 0 ? {} : { LEASEHOLD_PEERS: peers.join(',') }),
})

/**
 * What of our own environment is not the agent's: the lease, ticket and peers of whoever launched it, and sessions of other clients. What
 * runs under `lh exec` it goes on carrying, for that is not over before it; a session that launched it may be.
 */
function withoutForeign(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const foreign = new Set(['LEASEHOLD_LEASE', 'LEASEHOLD_TOKEN', 'LEASEHOLD_RESOURCES', 'LEASEHOLD_LEASES', 'LEASEHOLD_LIVE'])
  for (const name of [
    'LEASEHOLD_PID',
    'CLAUDE_PID',
    'LEASEHOLD_TICKET',
    'LEASEHOLD_PEERS',
    'LEASEHOLD_READY_FD',
    'LEASEHOLD_LAUNCH_LIVE',
    'LEASEHOLD_LAUNCH_REPORT',
  ])
    foreign.add(name)
  for (const name of ['CLAUDE_CODE_SESSION_ID', 'CODEX_SESSION_ID', 'CODEX_THREAD_ID', 'QWEN_CODE_SESSION_ID', 'COPILOT_AGENT_SESSION_ID'])
    foreign.add(name)
  const { LEASEHOLD_LIVE: carried, LEASEHOLD_LAUNCH_LIVE: session } = env
  const kept = carried?.split('\n').filter(live => live !== session) ?? []
  const others = Object.entries(env).filter(([name]) => !foreign.has(name))
  return Object.fromEntries(kept.length === 0 ? others : [...others, ['LEASEHOLD_LIVE', kept.join('\n')]])
}

function reportChannel(acceptance: Acceptance): ReportChannel {
  try {
    return new ReportChannel(report => acceptance.hook(report))
  } catch (error) {
    throw failed(`there is no room for a temporary file: ${(error as Error).message}`, 'nothing was claimed; see: echo $TMPDIR', null)
  }
}

const failed = (message: string, hint: string, details: Record<string, unknown> | null): Fault =>
  new Fault('launch_failed', message, { hint, ...(details === null ? {} : { details }) })

/** The agent works, and that could not be written: it is named, never hidden. */
function unrecorded(error: unknown, pid: number, keep: boolean): unknown {
  if (!isFault(error)) return error
  const fate = keep ? `it runs on without a claim as pid ${pid}; end it: kill ${pid}` : `the agent (pid ${pid}) was ended`
  return new Fault(error.code, `the agent works, and its claim could not be recorded: ${error.message}; ${fate}`, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: { ...error.details, agent_pid: pid, kept: keep },
    cause: error,
  })
}
