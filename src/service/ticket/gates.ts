import { Fault, notFound, policy, usage } from '../../core/fault.ts'
import type { Caller } from '../../coordinator.ts'
import type { Wire } from '../../core/wire.ts'
import { endings, onSignals } from '../claim/signals.ts'
import { orThrow } from '../claim/answer.ts'
import type { ProofFlags } from '../claim/proof.ts'
import { suggest } from '../config/schema.ts'
import { changeTicket, signed, type Happening } from './change.ts'
import type { Desk } from './desk.ts'
import type { TicketEvent } from './events.ts'
import { eventsOf } from './history.ts'
import { refuseWrongProof, withTicket, type HeldTicket } from './hold.ts'
import type { Ticket } from './ticket.ts'
import { definitionToWire, type Definition, type Definitions, type Found, type Stage } from '../gate/definition.ts'
import { keepLease } from './keep.ts'
import { keepOutput, logFile, logName, tailOf } from '../gate/log.ts'
import { Code, gateStates, isResult, type GateState } from '../gate/results.ts'
import { runCommand, startDirectory, type CommandEnd } from '../gate/run.ts'

// The gates of tickets: which they have, what became of them, and running them. Whoever writes a result has the ticket's lease, and has
// it still when the result is written.

/** Who asks about the gates of which ticket. */
export interface GateRequest {
  readonly desk: Desk
  readonly definitions: Definitions
  readonly ticketId: string
  readonly caller: Caller
  /** What the caller shows for the ticket's lease. */
  readonly flags: ProofFlags
  readonly env: NodeJS.ProcessEnv
}

type Look = Pick<GateRequest, 'desk' | 'definitions' | 'ticketId'>

/** The gates of a ticket, each with its state. */
export async function ticketGates(look: Look): Promise<{ readonly ticket: Ticket; readonly states: readonly GateState<TicketEvent>[] }> {
  const ticket = await look.desk.sound(look.ticketId)
  return { ticket, states: gateStates(look.definitions, ticket, eventsOf(look.desk, look.ticketId), look.desk.workspace.repository) }
}

/** A gate of a ticket on the wire: its definition, and what became of it. */
export const stateToWire = ({ key, stage, mode, state, event }: GateState<TicketEvent>, found: Found | null): Wire => ({
  ...(found === null ? { key, stage, mode } : definitionToWire(found)),
  state,
  result: event === null ? null : resultToWire(event),
})

/** A result on the wire: what the event says, with null for what it does not. */
export const resultToWire = (event: TicketEvent): Wire => ({
  id: event.id,
  at: event.at,
  actor: event.actor,
  gate: event['gate'],
  stage: textOr(event['stage'], 'post'),
  result: event['result'] === 'passed' ? 'passed' : 'failed',
  commit: textOr(event['commit'], null),
  dirty: event['dirty'] === true,
  token: numberOr(event['token']),
  lease_id: textOr(event['lease_id'], null),
  command: textOr(event['command'], null),
  exit_code: numberOr(event['exit_code']),
  signal: textOr(event['signal'], null),
  timed_out: event['timed_out'] === true,
  duration_ms: numberOr(event['duration_ms']),
  message: textOr(event['message'], null),
  override: event['override'] === true,
  reason: textOr(event['reason'], null),
  output: textOr(event['output'], null),
  log: textOr(event['log'], null),
})

const textOr = <T>(value: unknown, other: T): string | T => (typeof value === 'string' ? value : other)
const numberOr = (value: unknown): number | null => (typeof value === 'number' ? value : null)

/** Results of a ticket's gates, or of one of them, oldest first. */
export async function gateHistory(look: Look, key: string | null): Promise<readonly TicketEvent[]> {
  const { ticket } = await look.desk.catalogue.read(look.ticketId)
  const results = eventsOf(look.desk, look.ticketId).filter(isResult)
  if (key === null) return results
  const own = results.filter(event => event['gate'] === key)
  // A gate that was taken off the ticket, or is defined no more, still has its history.
  if (own.length === 0 && !ticket.gates.includes(key)) throw unknownHere(ticket, key)
  return own
}

function unknownHere({ id, gates }: Ticket, key: string): Fault {
  const near = suggest(key, gates)
  return notFound(
    `${id} has no gate ${JSON.stringify(key)}`,
    near === null
      ? `${gates.length === 0 ? 'it has none' : `it has ${gates.join(', ')}`}; lh gate add ${id} ${key}`
      : `did you mean ${near}?`,
  )
}

/** Gives a ticket gates. Returns those that it did not have before. */
export async function addGates(request: GateRequest, keys: readonly string[]): Promise<readonly string[]> {
  const { desk, definitions, caller, ticketId, flags, env } = request
  for (const key of keys) definitions.require(key)
  const missing = ({ gates }: Ticket): readonly string[] => [...new Set(keys)].filter(key => !gates.includes(key))
  let added = missing((await desk.catalogue.read(ticketId)).ticket)
  if (added.length === 0) {
    await refuseWrongProof(desk.workspace, caller, ticketId, flags)
    return added
  }
  await withTicket(desk.workspace, caller, ticketId, { why: 'gate add', flags, env }, held =>
    changeTicket(
      desk,
      ticketId,
      caller.holder.agentId,
      ({ ticket }) => {
        added = missing(ticket)
        const gates = [...ticket.gates, ...added]
        return added.length === 0 ? null : { changes: { gates }, events: [{ type: 'edited', keys: ['gates'], to: gates }] }
      },
      effect => held.commit(effect),
    ),
  )
  return added
}

/** What a person says of a gate. */
export interface Verdict {
  readonly result: 'passed' | 'failed'
  readonly message: string | null
  /** Why a gate is decided by a word that a command should decide. */
  readonly reason: string | null
}

/** Decides manual gates by a person's word; an automatic one only with a reason, which is kept. Returns the events. */
export async function decideGates(request: GateRequest, keys: readonly string[], verdict: Verdict): Promise<readonly TicketEvent[]> {
  const { desk, caller, ticketId, flags, env } = request
  const chosen = await gatesNamed(request, keys)
  const automatic = chosen.filter(({ mode }) => mode === 'auto').map(({ key }) => key)
  if (automatic.length > 0 && verdict.reason === null)
    throw policy(
      `${automatic.join(', ')} ${automatic.length === 1 ? 'is an automatic gate: its command decides' : 'are automatic gates: their commands decide'}`,
      `lh gate run ${ticketId} ${automatic.join(' ')} (or say why not: --reason "…"; it is kept)`,
    )
  const code = codeOf(desk)
  return withTicket(desk.workspace, caller, ticketId, { why: `gate ${verdict.result === 'passed' ? 'pass' : 'fail'}`, flags, env }, held =>
    record(
      request,
      chosen.map(gate => decided(gate, verdict, code, held)),
      effect => held.commit(effect),
    ),
  )
}

const decided = ({ key, stage, mode }: Definition, { result, message, reason }: Verdict, code: Code, { lease }: HeldTicket): Happening => ({
  type: 'gate',
  gate: key,
  stage,
  result,
  commit: code.head,
  dirty: code.isDirty(),
  token: lease.token,
  lease_id: lease.leaseId,
  ...(message === null ? {} : { message }),
  ...(mode === 'auto' ? { override: true } : {}),
  ...(reason === null ? {} : { reason }),
})

/** Appends results, where and when the commit allows it. */
async function record(
  { desk, caller, ticketId }: GateRequest,
  happenings: readonly Happening[],
  commit: (effect: () => void) => Promise<void>,
): Promise<readonly TicketEvent[]> {
  const actor = caller.holder.agentId
  const events = signed(happenings, actor)
  await changeTicket(desk, ticketId, actor, () => ({ changes: {}, events }), commit)
  return events
}

/** Gates of a ticket by their keys. Throws `not_found` for one that the ticket does not have or that nothing defines. */
async function gatesNamed({ desk, definitions, ticketId }: Look, keys: readonly string[]): Promise<readonly Definition[]> {
  const { ticket } = await desk.catalogue.read(ticketId)
  return [...new Set(keys)].map(key => {
    if (!ticket.gates.includes(key)) throw unknownHere(ticket, key)
    return definitions.require(key).definition
  })
}

const codeOf = (desk: Desk): Code => new Code({ ...desk.workspace.repository, root: topOf(desk) })

function topOf({ workspace }: Desk): string {
  const { root, gitDir } = workspace.repository
  if (root === null) throw usage(`${gitDir} is bare: it has no files that a gate could judge`, 'run this in a worktree')
  return root
}

/** Which gates to run, and who wants to watch. */
export interface RunRequest extends GateRequest {
  /** Empty: all automatic ones. */
  readonly keys: readonly string[]
  readonly stage: Stage | null
  readonly warn: (text: string) => void
  readonly onStart?: (gate: Definition) => void
  readonly onOutput?: (gate: Definition, chunk: Buffer) => void
  readonly onEnd?: (gate: Definition, outcome: Ran | null) => void
}

/** A gate that was run. */
export interface Ran {
  readonly event: TicketEvent
  readonly passed: boolean
  /** All that was kept of its output. */
  readonly output: Buffer
  /** The file with that output; null when it could not be written. */
  readonly logFile: string | null
}

export interface RunReport {
  readonly ran: readonly Ran[]
  /** Manual gates of the ticket that nobody passed yet. */
  readonly waiting: readonly string[]
  /** The signal that ended it early. What was running then has no result. */
  readonly interrupted: NodeJS.Signals | null
}

/** Runs automatic gates of a ticket, one after the other, under its lease. */
export async function runGates(request: RunRequest): Promise<RunReport> {
  const { desk, caller, ticketId, flags, env } = request
  const root = topOf(desk)
  const { automatic, waiting } = await choose(request)
  for (const gate of automatic) startDirectory(root, gate)
  if (automatic.length === 0) {
    await refuseWrongProof(desk.workspace, caller, ticketId, flags)
    return { ran: [], waiting, interrupted: null }
  }
  return withTicket(desk.workspace, caller, ticketId, { why: 'gate run', flags, env }, async held => ({
    ...(await runHeld(request, automatic, held, root)),
    waiting,
  }))
}

async function choose(request: RunRequest): Promise<{ readonly automatic: readonly Definition[]; readonly waiting: readonly string[] }> {
  const { keys, stage, ticketId } = request
  const { ticket, states } = await ticketGates(request)
  const named = await gatesNamed(request, keys.length === 0 ? ticket.gates : keys)
  const inStage = named.filter(gate => stage === null || gate.stage === stage)
  if (keys.length > 0) {
    const other = named.find(gate => !inStage.includes(gate))
    if (other !== undefined) throw usage(`${other.key} is a ${other.stage} gate, not a ${stage} one`, 'leave --stage out')
    const manual = named.filter(({ mode }) => mode === 'manual').map(({ key }) => key)
    if (manual.length > 0)
      throw policy(
        `${manual.join(', ')} ${manual.length === 1 ? 'is a manual gate' : 'are manual gates'}: there is no command to run`,
        `lh gate pass ${ticketId} ${manual.join(' ')}`,
      )
  }
  const passed = new Set(states.filter(({ state }) => state === 'passed').map(({ key }) => key))
  return {
    automatic: inStage.filter(({ mode }) => mode === 'auto').toSorted((a, b) => Number(b.stage === 'pre') - Number(a.stage === 'pre')),
    waiting: inStage.filter(({ key, mode }) => mode === 'manual' && !passed.has(key)).map(({ key }) => key),
  }
}

async function runHeld(
  request: RunRequest,
  gates: readonly Definition[],
  held: HeldTicket,
  root: string,
): Promise<Pick<RunReport, 'ran' | 'interrupted'>> {
  const [stop, kill] = [new AbortController(), new AbortController()]
  let interrupted: NodeJS.Signals | null = null
  const onSignal = (signal: NodeJS.Signals): void => {
    // Who asks twice does not want to wait.
    if (interrupted !== null) kill.abort()
    interrupted ??= signal
    stop.abort()
  }
  const deaf = onSignals(endings, onSignal)
  const ran: Ran[] = []
  try {
    const kept = await keepLease(held, () => stop.abort(), request.warn)
    try {
      for (const gate of gates) {
        request.onStart?.(gate)
        // oxlint-disable-next-line no-await-in-loop -- one after the other: two could disturb each other
        const outcome = await runOne(request, gate, held, { root, stop: stop.signal, kill: kill.signal, lost: () => kept.lost })
        request.onEnd?.(gate, outcome)
        if (outcome === null) break
        ran.push(outcome)
      }
    } finally {
      kept.stop()
    }
  } finally {
    deaf()
  }
  return { ran, interrupted }
}

interface Running {
  readonly root: string
  readonly stop: AbortSignal
  readonly kill: AbortSignal
  readonly lost: () => unknown
}

/** Null when it was interrupted. Throws when the lease was lost meanwhile. */
async function runOne(request: RunRequest, gate: Definition, held: HeldTicket, running: Running): Promise<Ran | null> {
  const { desk, ticketId, env } = request
  const { lease } = held
  if (running.stop.aborted && running.lost() === null) return null
  const code = codeOf(desk)
  const state = { commit: code.head, dirty: code.isDirty() }
  const end = await runCommand({
    command: gate.command!,
    cwd: startDirectory(running.root, gate),
    env: {
      ...env,
      ...gate.env,
      LEASEHOLD_TICKET: ticketId,
      LEASEHOLD_GATE: gate.key,
      LEASEHOLD_LEASE: lease.leaseId,
      LEASEHOLD_TOKEN: String(lease.token),
      LEASEHOLD_RESOURCES: lease.resource,
    },
    timeoutMs: gate.timeoutMs,
    stop: running.stop,
    kill: running.kill,
    onOutput: chunk => request.onOutput?.(gate, chunk),
  })
  if (running.lost() !== null) throw lostMeanwhile(running.lost(), gate)
  if (end.stopped) return null
  const { repository, coordinator } = desk.workspace
  const warning = keepOutput(repository, ticketId, gate.key, end)
  if (warning !== null) request.warn(warning)
  const target = { target: { resource: lease.resource }, presented: { leaseId: lease.leaseId, token: lease.token } }
  const happening = ranTo(gate, end, held, { ...state, log: warning === null ? logName(ticketId, gate.key) : null })
  // Not the holder's own commit: that would give back, after the first gate, what was taken for all of them.
  const [event] = await record(request, [happening], async effect => {
    orThrow(await coordinator.guard({ holder: request.caller.holder }, { ...target, effect }))
  })
  return {
    event: event!,
    passed: event!['result'] === 'passed',
    output: end.output,
    logFile: warning === null ? logFile(repository, ticketId, gate.key) : null,
  }
}

function ranTo({ key, stage, command }: Definition, end: CommandEnd, { lease }: HeldTicket, more: Wire): Happening {
  const passed = end.exitCode === 0 && !end.timedOut
  return {
    type: 'gate',
    gate: key,
    stage,
    result: passed ? 'passed' : 'failed',
    ...more,
    token: lease.token,
    lease_id: lease.leaseId,
    command,
    exit_code: end.exitCode,
    signal: end.signal,
    timed_out: end.timedOut,
    duration_ms: end.durationMs,
    ...(passed ? {} : { output: tailOf(end.output) }),
  }
}

/** The refusal of the renewal, with what it means here. */
function lostMeanwhile(why: unknown, { key }: Definition): unknown {
  if (!(why instanceof Error) || why.name !== 'Fault') return why
  const { message, hint, details } = why as Fault
  return new Fault('superseded', `the lease was lost while the gate ${key} ran, and no result was recorded: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
    cause: why,
  })
}
