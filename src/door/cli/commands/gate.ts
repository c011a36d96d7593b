import { policy, usage } from '../../../core/fault.ts'
import type { Fault } from '../../../core/fault.ts'
import type { Wire } from '../../../core/wire.ts'
import { formatDuration } from '../../../service/config/durations.ts'
import {
  checkGateKey,
  defaultTimeoutMs,
  definitionToWire,
  Definitions,
  differences,
  formatTimeout,
  parseTimeout,
  stages,
  writeDefinition,
  type Defined,
  type Definition,
  type Stage,
} from '../../../service/gate/definition.ts'
import {
  addGates,
  decideGates,
  gateHistory,
  resultToWire,
  runGates,
  stateToWire,
  ticketGates,
  type GateRequest,
  type Ran,
  type RunReport,
} from '../../../service/ticket/gates.ts'
import { plainText } from '../../../service/gate/log.ts'
import { gateAdvice, unmetGates, type State } from '../../../service/gate/results.ts'
import { Desk } from '../../../service/ticket/desk.ts'
import { oneOf } from '../../../service/ticket/ticket.ts'
import type { Context, Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { statusLine } from '../progress.ts'
import { columns, paint, printable, said } from '../text.ts'
import { callerOf, proofOptions, reasonOption } from '../claiming.ts'

const stageOption = (context: Context): Stage | null => {
  const text = textOption(context, 'stage')
  return text === undefined ? null : oneOf(stages, text, '--stage')
}

/** `lh gate define` */
export const define: Run = async context => {
  const key = checkGateKey(context.positionals[0]!)
  const asked = askedOf(context, key)
  const workspace = await openWorkspace(context)
  const { root, gitDir } = workspace.repository
  if (root === null) throw usage(`${gitDir} is bare: it has no files for gates`, 'run this in a worktree')
  const known = Definitions.open(workspace.repository).get(key)
  const defined = writeDefinition(root, changed(key, known, asked))
  context.output.answer(definedDocument(defined), definedLines(defined, context.output.colour))
  return 0
}

type Deciding = Pick<Definition, 'mode' | 'command'>

/** What the command line says of a gate; undefined where it says nothing. */
interface Asked {
  readonly deciding: Deciding | undefined
  readonly stage: Stage | undefined
  readonly timeoutMs: number | undefined
  readonly title: string | undefined
  readonly description: string | undefined
}

function askedOf(context: Context, key: string): Asked {
  const [command, manual] = [textOption(context, 'command'), switchOption(context, 'manual')]
  if (command !== undefined && manual) throw undecided(key, 'only one of --command and --manual')
  const timeout = textOption(context, 'timeout')
  return {
    deciding: manual ? { mode: 'manual', command: null } : command === undefined ? undefined : { mode: 'auto', command },
    stage: stageOption(context) ?? undefined,
    timeoutMs: timeout === undefined ? undefined : parseTimeout(timeout, '--timeout'),
    title: textOption(context, 'title'),
    description: textOption(context, 'description'),
  }
}

const undecided = (key: string, what: string): Fault => usage(`the gate ${key} needs ${what}`, `lh gate define ${key} --command "npm test"`)

/** A gate with what was asked for; what nobody spoke of is as it was, also what only the file can say. */
function changed(key: string, known: Definition | null, asked: Asked): Definition {
  const deciding = asked.deciding ?? known
  if (deciding === null) throw undecided(key, '--command or --manual')
  const { mode, command } = deciding
  if (mode === 'manual' && asked.timeoutMs !== undefined) throw usage('a manual gate has no time limit', 'leave --timeout out')
  return {
    key,
    title: asked.title ?? known?.title ?? null,
    description: asked.description ?? known?.description ?? null,
    stage: asked.stage ?? known?.stage ?? 'post',
    mode,
    command,
    timeoutMs: asked.timeoutMs ?? known?.timeoutMs ?? defaultTimeoutMs,
    env: known?.env ?? {},
    workingDir: known?.workingDir ?? null,
    passContext: known?.passContext ?? null,
    legacy: known?.legacy ?? null,
  }
}

const definedDocument = ({ outcome, found, previous }: Defined): Wire => ({
  ok: true,
  gate: definitionToWire(found),
  outcome,
  changes: outcome === 'replaced' ? differences(previous!, found.definition) : [],
})

function definedLines({ outcome, found, previous }: Defined, colour: boolean): readonly string[] {
  const { key } = found.definition
  if (outcome !== 'replaced')
    return [`${outcome === 'created' ? 'defined' : 'unchanged:'} ${key}  ${inShort(found.definition)}`, `  ${printable(found.file)}`]
  const changes = differences(previous!, found.definition).flatMap(({ name, from, to }) => [
    paint(colour, 'red', `  - ${name}: ${printable(from)}`),
    paint(colour, 'green', `  + ${name}: ${printable(to)}`),
  ])
  return [`replaced ${key}`, ...changes, `  ${printable(found.file)}`]
}

/** Stage, and what decides. */
const inShort = ({ stage, mode, command, timeoutMs }: Definition): string =>
  mode === 'manual' ? `${stage}  manual` : `${stage}  ${printable(command!)}  (at most ${formatTimeout(timeoutMs)})`

type Look = Omit<GateRequest, 'caller' | 'flags'>

/** The gates of the ticket that was named. */
async function look(context: Context): Promise<Look> {
  return ofTicket(context, await openWorkspace(context))
}

/** The same, with who asks, and what they show. */
async function request(context: Context): Promise<GateRequest> {
  const workspace = await openWorkspace(context)
  return { ...(await ofTicket(context, workspace)), caller: await callerOf(context, workspace), flags: proofOptions(context) }
}

async function ofTicket(context: Context, workspace: FileWorkspace): Promise<Look> {
  const desk = new Desk(workspace)
  const ticketId = await desk.catalogue.resolve(context.positionals[0]!)
  return { desk, definitions: Definitions.open(workspace.repository), ticketId, env: context.env }
}

const keysOf = (context: Context): readonly string[] => [...new Set(context.positionals.slice(1))]

const stateStyles = { passed: 'green', failed: 'red', missing: 'yellow', stale: 'yellow', undefined: 'red' } as const
const paintState = (colour: boolean, state: string): string => paint(colour, stateStyles[state as State] ?? 'white', state)

/** `lh gate list` */
export const list: Run = async context => {
  if (context.positionals.length > 0) return listOf(context)
  const workspace = await openWorkspace(context)
  const definitions = Definitions.open(workspace.repository)
  const found = definitions.keys().map(key => definitions.require(key))
  const rows = found.map(({ definition: { key, stage, mode, command, timeoutMs, title } }) => [
    key,
    stage,
    mode,
    mode === 'auto' ? formatTimeout(timeoutMs) : '',
    printable(firstLine(mode === 'auto' ? command! : said(title))),
  ])
  const gates = found.map(definitionToWire)
  context.output.answer(
    { ok: true, gates, count: gates.length },
    rows.length === 0 ? ['no gates; define one: lh gate define tests --command "…"'] : columns(rows),
  )
  return 0
}

const firstLine = (text: string): string => text.trim().split('\n')[0]!

async function listOf(context: Context): Promise<number> {
  const asked = await look(context)
  const { states } = await ticketGates(asked)
  const gates = states.map(state => stateToWire(state, asked.definitions.find(state.key)))
  const rows = states.map(gate => {
    const { why, command } = gateAdvice(gate, asked.ticketId)
    const by = gate.event === null ? '' : `by ${gate.event.actor}, ${gate.event.at}`
    return [gate.state, gate.key, gate.stage, gate.mode ?? '', printable(gate.state === 'passed' ? by : `${why}: ${command}`)]
  })
  context.output.answer(
    { ok: true, ticket: asked.ticketId, gates, count: gates.length },
    rows.length === 0
      ? [`${asked.ticketId} has no gates; give it one: lh gate add ${asked.ticketId} <key>`]
      : stateColumns(rows, context.output.colour),
  )
  return 0
}

/** Rows whose first cell is a state. */
const stateColumns = (rows: readonly (readonly string[])[], colour: boolean): readonly string[] =>
  columns(rows, (text, row, column) => {
    const state = rows[row]![0]!
    return column === 0 ? paintState(colour, state) + text.slice(state.length) : text
  })

/** `lh gate add` */
export const add: Run = async context => {
  const asked = await request(context)
  const keys = keysOf(context)
  const added = await addGates(asked, keys)
  const gates = keys.map(key => definitionToWire(asked.definitions.require(key)))
  context.output.answer(
    { ok: true, ticket: asked.ticketId, ...(gates.length === 1 ? { gate: gates[0] } : { gates, count: gates.length }), added },
    keys.map(key => `${asked.ticketId} ${added.includes(key) ? 'has now' : 'had already'} the gate ${key}`),
  )
  return 0
}

const decide =
  (result: 'passed' | 'failed'): Run =>
  async context => {
    const [message = null, reason = null] = [reasonOption(context, 'message'), reasonOption(context)]
    if (result === 'failed' && message === null && reason === null)
      throw usage('a gate that fails needs a message', 'add --message "…"; it tells the others what is missing')
    const asked = await request(context)
    const events = await decideGates(asked, keysOf(context), { result, message, reason })
    const results = events.map(resultToWire)
    const gates = results.map(({ gate }) => definitionToWire(asked.definitions.require(String(gate))))
    context.output.answer(
      {
        ok: true,
        ticket: asked.ticketId,
        ...(results.length === 1 ? { gate: gates[0], result: results[0] } : { gates, results, count: results.length }),
      },
      results.map(({ gate, message }) =>
        `${paintState(context.output.colour, result)}  ${String(gate)}  ${asked.ticketId}  ${printable(said(message))}`.trimEnd(),
      ),
    )
    return 0
  }

/** `lh gate pass` */
export const pass = decide('passed')
/** `lh gate fail` */
export const fail = decide('failed')

/** `lh gate history` */
export const history: Run = async context => {
  const asked = await look(context)
  const results = (await gateHistory(asked, context.positionals[1] ?? null)).map(resultToWire)
  const rows = results.map(result => [
    String(result['result']),
    printable(String(result['gate'])),
    printable(String(result['at'])),
    printable(String(result['actor'])),
    said(result['commit']).slice(0, 10),
    printable(howItWent(result)),
  ])
  context.output.answer(
    { ok: true, ticket: asked.ticketId, results, count: results.length },
    rows.length === 0 ? ['no results yet'] : stateColumns(rows, context.output.colour),
  )
  return 0
}

/** What a result says beside passed or failed. */
function howItWent(result: Wire): string {
  const { exit_code: exitCode, signal, timed_out: timedOut, duration_ms: ms, message, override, reason, dirty } = result
  return [
    timedOut === true
      ? 'ended at its time limit'
      : typeof signal === 'string'
        ? `ended by ${signal}`
        : exitCode === null || exitCode === 0
          ? ''
          : `exit code ${said(exitCode)}`,
    typeof ms === 'number' ? formatDuration(ms) : '',
    said(message),
    override === true ? `by hand: ${said(reason)}` : '',
    dirty === true ? 'with uncommitted changes' : '',
  ]
    .filter(text => text !== '')
    .join(', ')
}

/** `lh gate run` */
export const run: Run = async context => {
  const stage = stageOption(context)
  const asked = await request(context)
  const watch = watching(context)
  try {
    const report = await runGates({ ...asked, keys: keysOf(context), stage, warn: context.output.warn, ...watch.hooks })
    watch.stop()
    if (report.interrupted !== null) await endBy(report.interrupted)
    return answerRun(context, asked.ticketId, report)
  } finally {
    watch.stop()
  }
}

/**
 * Runs the automatic gates of a stage that are not passed for the code that is there, as part of another command. Throws `policy` when
 * one fails, after saying what it said.
 */
export async function runUnmetGates(context: Context, asked: GateRequest, stage: Stage): Promise<void> {
  const { states } = await ticketGates(asked)
  const keys = unmetGates(states, stage).flatMap(({ key, mode }) => (mode === 'auto' ? [key] : []))
  if (keys.length === 0) return
  const watch = watching(context)
  try {
    const report = await runGates({ ...asked, keys, stage, warn: context.output.warn, ...watch.hooks })
    watch.stop()
    if (report.interrupted !== null) await endBy(report.interrupted)
    const failed = report.ran.filter(({ passed }) => !passed)
    for (const line of failed.flatMap(one => outputLines(one, false))) context.output.note(line)
    if (failed.length > 0) throw gatesFailed(asked.ticketId, failed, report.ran.length)
  } finally {
    watch.stop()
  }
}

const gatesFailed = (ticketId: string, failed: readonly Ran[], of: number): Fault => {
  const keys = failed.map(({ event }) => String(event['gate']))
  return policy(
    `${keys.length} of ${of} gate${of === 1 ? '' : 's'} failed: ${keys.join(', ')}`,
    `mend it, then: lh gate run ${ticketId} ${keys.join(' ')}`,
  )
}

/** Ends as a process does that had not heard of the signal: a shell tells by that how its command ended. */
function endBy(signal: NodeJS.Signals): Promise<never> {
  process.kill(process.pid, signal)
  return new Promise(() => undefined)
}

/** Shows what runs: on a terminal a line that changes, elsewhere a line when it begins and one when it ends. */
function watching({ output }: Context) {
  const line = statusLine(output)
  let timer: NodeJS.Timeout | undefined
  const stop = (): void => {
    clearInterval(timer)
    line.clear()
  }
  let last = ''
  return {
    stop,
    hooks: {
      onStart(gate: Definition) {
        const startedAt = performance.now()
        last = ''
        if (!process.stderr.isTTY)
          output.note(`${gate.key}: running ${printable(firstLine(gate.command!))} (at most ${formatTimeout(gate.timeoutMs)})`)
        const show = (): void => line.show(`${gate.key}  ${Math.floor((performance.now() - startedAt) / 1000)} s  ${last}`)
        show()
        timer = setInterval(show, 200)
      },
      onOutput(_gate: Definition, chunk: Buffer) {
        const lines = plainText(chunk.subarray(-4096)).split(/[\r\n]+/)
        last = printable(lines.findLast(text => text.trim() !== '') ?? last)
      },
      onEnd(gate: Definition, outcome: Ran | null) {
        stop()
        if (outcome === null) output.note(`${gate.key}: interrupted, no result`)
        else if (!process.stderr.isTTY)
          output.note(`${gate.key}: ${outcome.passed ? 'passed' : 'failed'}, ${howItWent(resultToWire(outcome.event))}`)
      },
    },
  }
}

function answerRun(context: Context, ticketId: string, { ran, waiting }: RunReport): number {
  const failed = ran.filter(({ passed }) => !passed)
  const document = {
    ticket: ticketId,
    results: ran.map(({ event, logFile }) => ({ ...resultToWire(event), log_file: logFile })),
    count: ran.length,
    waiting,
  }
  const lines = runLines(context, ticketId, ran, waiting)
  if (failed.length === 0) {
    context.output.answer({ ok: true, ...document }, lines)
    return 0
  }
  const fault = gatesFailed(ticketId, failed, ran.length)
  const { code, message, hint } = fault
  context.output.answer({ ok: false, error: { code, exit: 8, message, hint }, ...document }, lines)
  if (context.output.json) return 8
  throw fault
}

function runLines(context: Context, ticketId: string, ran: readonly Ran[], waiting: readonly string[]): readonly string[] {
  const { colour } = context.output
  if (ran.length + waiting.length === 0) return [`${ticketId} has no automatic gates to run`]
  const rows = [
    ...ran.map(({ event }) => [event['result'] as string, event['gate'] as string, printable(howItWent(resultToWire(event)))]),
    ...waiting.map(key => ['manual', key, `waiting for: lh gate pass ${ticketId} ${key}`]),
  ]
  const table = stateColumns(rows, colour)
  return [...ran.flatMap(one => (one.passed ? [] : outputLines(one, colour))), ...table]
}

/** What a failed gate said, with the end last, where people look. */
function outputLines({ event, output, logFile }: Ran, colour: boolean): readonly string[] {
  const lines = plainText(output)
    .trimEnd()
    .split('\n')
    // A bar that draws itself over and over: what was to be seen in the end.
    .map(line =>
      printable(
        line
          .slice(line.trimEnd().lastIndexOf('\r') + 1)
          .replaceAll('\t', '    ')
          .trimEnd(),
      ),
    )
  const shown = lines.slice(-shownLines)
  const cut = lines.length - shown.length
  return [
    paint(
      colour,
      'bold',
      `${String(event['gate'])}:${output.length === 0 ? ' no output' : cut > 0 ? ` (${cut} lines before these are in the file)` : ''}`,
    ),
    ...(output.length === 0 ? [] : shown.map(line => `  ${line}`)),
    ...(logFile === null ? [] : [paint(colour, 'dim', `  ${logFile}`)]),
  ]
}

/** Of a long output; the file has more. */
const shownLines = 200
