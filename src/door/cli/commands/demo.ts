import { Fault } from '../../../core/fault.ts'
import type { Wire } from '../../../core/wire.ts'
import { openFileStore } from '../../../store/open.ts'
import { demonstrate } from '../../../service/demo/demo.ts'
import type { Demonstrated } from '../../../service/demo/demo.ts'
import type { Moment } from '../../../service/demo/play.ts'
import { agents, tickets, ttlSecs } from '../../../service/demo/stage.ts'
import type { Check } from '../../../service/demo/verdict.ts'
import type { Run } from '../command.ts'
import { switchOption } from '../command.ts'
import { paint } from '../text.ts'

type Style = Parameters<typeof paint>[1]

/** `lh demo` */
export const demo: Run = async context => {
  const { output } = context
  const keep = switchOption(context, 'keep')
  const timeline = new Timeline(output.colour)
  const say = (lines: readonly string[]): void => {
    if (!output.json && !output.quiet) output.raw(`${lines.join('\n')}\n`)
  }
  const result = await demonstrate({
    env: context.env,
    open: openFileStore,
    lh: process.argv[1]!,
    keep,
    onStart: directory => say(timeline.head(directory)),
    onMoment: (moment, elapsedMs) => say([timeline.row(moment, elapsedMs)]),
  })
  const failed = result.checks.filter(({ holds }) => !holds)
  const kept = keep ? [`Kept: ${result.directory} (repository/, the worktrees, and agent.mjs, which is a whole agent)`, ''] : []
  say([
    ...timeline.foot(result.checks),
    '',
    ...kept,
    ...(failed.length === 0 ? whatNext(output.colour, keep ? result.directory : null) : []),
  ])
  if (failed.length > 0) throw notProven(failed, result, keep)
  output.answer(documentOf(result, keep), [])
  return 0
}

const documentOf = ({ timeline, proven, directory }: Demonstrated, keep: boolean): Wire => ({
  ok: true,
  timeline: timeline.map(({ at, elapsedMs, agent, event, ticket, token, detail }) => ({
    at: new Date(at).toISOString(),
    elapsed_ms: elapsedMs,
    agent,
    event,
    ticket,
    token,
    detail,
  })),
  proven,
  directory: keep ? directory : null,
})

function notProven(failed: readonly Check[], result: Demonstrated, keep: boolean): Fault {
  const { timeline, proven } = documentOf(result, keep)
  return new Fault('internal', `the demo did NOT prove what it should: ${failed.map(({ text }) => text).join(' ')}`, {
    hint: `this must not happen; please report it, with what lh demo --json --keep says`,
    details: { failed: failed.map(({ name }) => name), timeline, proven },
  })
}

const laneWidth = 24
const timeWidth = 8
const textWidth = timeWidth + laneWidth * agents.length

const agentStyles: Readonly<Record<string, Style>> = { ada: 'cyan', bob: 'magenta', cyd: 'blue' }

/** What an agent's lane shows between its events. */
type Lane = 'idle' | 'holding' | 'dead' | 'off'

/** One lane for each agent, time down: `●` takes, `✓` is done, a bar while it holds. Rows come out as things happen. */
class Timeline {
  readonly #colour: boolean
  readonly #lanes = new Map<string, Lane>(agents.map(agent => [agent, 'idle']))

  constructor(colour: boolean) {
    this.#colour = colour
  }

  head(directory: string): readonly string[] {
    const agentHeads = agents.map(agent => this.#style(['bold', agentStyles[agent]!], agent.padEnd(laneWidth)))
    const rule = ['─'.repeat(timeWidth - 2), ...agents.map(() => '─'.repeat(laneWidth - 2))].join('  ')
    return [
      '',
      `${this.#style(['bold'], 'lh demo')}: three processes share ${tickets.length} tickets of one Git repository. One gets killed.`,
      this.#style(['dim'], `Each has its own worktree in ${directory}.`),
      this.#style(['dim'], `A claim lasts ${ttlSecs} s unless renewed; #n: its token; ┃ held; ┊ held by the dead`),
      '',
      `${' '.repeat(timeWidth)}${agentHeads.join('').trimEnd()}`,
      this.#style(['dim'], rule),
    ]
  }

  row(moment: Moment, elapsedMs: number): string {
    const [style, text, lane] = depicted(moment)
    const cells = agents.map(agent =>
      agent === moment.agent
        ? this.#style(style === 'agent' ? [agentStyles[agent]!] : style, text.padEnd(laneWidth))
        : this.#between(agent),
    )
    // A ticket that is taken over is no longer the dead holder's.
    if (moment.event === 'takeover') for (const [agent, state] of this.#lanes) if (state === 'dead') this.#lanes.set(agent, 'off')
    if (lane !== null) this.#lanes.set(moment.agent, lane)
    const time = this.#style(['dim'], `${(elapsedMs / 1000).toFixed(2)} s`.padStart(timeWidth - 2))
    return `${time}  ${cells.join('')}`.trimEnd()
  }

  #between(agent: string): string {
    const lane = this.#lanes.get(agent)
    const sign = lane === 'holding' ? '┃' : lane === 'dead' ? '┊' : ' '
    return this.#style(lane === 'dead' ? ['red'] : [agentStyles[agent]!], sign) + ' '.repeat(laneWidth - 1)
  }

  foot(checks: readonly Check[]): readonly string[] {
    const sentence = ({ holds, text }: Check): readonly string[] => {
      const [first = '', ...more] = wrapped(text, textWidth - 4)
      const sign = this.#style(holds ? ['green', 'bold'] : ['red', 'bold'], holds ? '✓' : '✗ NOT PROVEN')
      return [`${sign} ${this.#lead(first)}`, ...more.map(line => `  ${line}`)]
    }
    return ['', ...checks.flatMap(sentence)]
  }

  /** The part before the colon says it all; the rest is the numbers. */
  #lead(line: string): string {
    const colon = line.indexOf(':')
    return colon < 0 ? line : this.#style(['bold'], line.slice(0, colon)) + line.slice(colon)
  }

  #style(styles: readonly Style[], text: string): string {
    return styles.reduce<string>((painted, style) => paint(this.#colour, style, painted), text)
  }
}

/** How an event is drawn: its style, its text, and what the lane shows afterwards (null: as before). */
function depicted({ event, ticket, token, detail }: Moment): readonly [style: 'agent' | readonly Style[], text: string, lane: Lane | null] {
  switch (event) {
    case 'claim':
      return ['agent', `● takes ${ticket} #${token}`, 'holding']
    case 'takeover':
      return [['green', 'bold'], `▶ takes over ${ticket} #${token}`, 'holding']
    case 'busy':
      return [['dim'], `○ ${ticket}: ${detail} has it`, null]
    case 'waits':
      return [['dim'], `… waits for ${ticket}`, null]
    case 'renew':
      return ['agent', `↻ renews ${ticket}`, null]
    case 'done':
      return [['green'], `✓ ${ticket} done`, 'idle']
    case 'given-back':
      return [['dim'], `✓ ${ticket} was done`, 'idle']
    case 'killed':
      return [['red', 'bold'], `✗ kill -9, holds ${ticket}`, 'dead']
    case 'back':
      return [['yellow'], `↺ back, still has #${token}`, 'off']
    case 'refused':
      return [['red', 'bold'], `⊘ ${detail} #${token}: refused`, null]
    case 'accepted':
      return [['red', 'bold'], `! ${detail} #${token}: ACCEPTED`, null]
    case 'lost':
      return [['red', 'bold'], `! lost ${ticket}`, 'idle']
  }
}

function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

function whatNext(colour: boolean, kept: string | null): readonly string[] {
  const rows = [
    ...(kept === null ? [] : [['lh claim history', `what happened here (in ${kept}/repository)`]]),
    ['lh claim acquire fix-login', 'take a ticket, in your own repository'],
    ['lh why fix-login', 'who holds it, until when, what would free it'],
    ['lh selftest', '8 processes and many more kills, on your own disk'],
  ]
  const width = Math.max(...rows.map(([command]) => command!.length))
  return [
    paint(colour, 'bold', 'Next'),
    ...rows.map(([command, why]) => `  ${paint(colour, 'cyan', command!.padEnd(width))}  ${paint(colour, 'dim', why!)}`),
    '',
  ]
}
