import { Fault, usage } from '../../../core/fault.ts'
import { orderVariable } from '../../../service/selftest/order.ts'
import type { Order } from '../../../service/selftest/order.ts'
import { selftest as runSelftest } from '../../../service/selftest/selftest.ts'
import type { SelftestReport } from '../../../service/selftest/selftest.ts'
import type { Toll } from '../../../service/selftest/storm.ts'
import { grouped } from '../../../service/selftest/verdict.ts'
import { openFileStore } from '../../../store/open.ts'
import type { Context, Output, Run } from '../command.ts'
import { textOption } from '../command.ts'
import { columns, paint } from '../text.ts'

/** `lh selftest` */
export const selftest: Run = async context => {
  const { env, output } = context
  const order = env[orderVariable]
  if (order !== undefined) {
    const { work } = await import('../../../service/selftest/worker.ts')
    return work(JSON.parse(order) as Order, env, openFileStore)
  }
  const seconds = numberOption(context, 'seconds', 10, 1, 600)
  const agents = numberOption(context, 'agents', 8, 2, 64)
  const progress = new Progress(output, seconds, agents)
  const report = await runSelftest({
    directory: context.directory,
    env,
    open: openFileStore,
    lh: process.argv[1]!,
    seconds,
    agents,
    onProgress: (toll, elapsedSecs) => progress.show(toll, elapsedSecs),
  }).finally(() => progress.clear())
  for (const warning of report.warnings) output.warn(warning)
  return conclude(report, output, agents, seconds)
}

function conclude(report: SelftestReport, output: Output, agents: number, seconds: number): number {
  const failed = report.checks.filter(({ holds }) => !holds)
  const document = { file_system: report.fileSystem, directory: report.directory, ...report.document }
  const lines = linesOf(report, output.colour, agents, seconds)
  if (failed.length === 0) {
    output.answer({ ok: true, pass: true, ...document }, lines)
    return 0
  }
  if (!output.json && !output.quiet) output.raw(`${lines.join('\n')}\n`)
  if (failed.every(({ name }) => name === 'meaningful')) {
    throw new Fault('internal', 'the selftest saw nothing wrong, but too little happened in that time to prove anything', {
      hint: 'give it more time: lh selftest --seconds 10',
      details: { pass: false, ...document },
    })
  }
  throw new Fault(
    'internal',
    `the selftest FAILED on ${report.fileSystem} (${report.directory}): ${failed.map(({ name }) => name).join(', ')}`,
    {
      hint: 'do not rely on Leasehold here; put the repository on a local disk, run it again there, and report both',
      details: { pass: false, ...document },
    },
  )
}

function numberOption(context: Context, name: string, fallback: number, least: number, most: number): number {
  const text = textOption(context, name)
  if (text === undefined) return fallback
  const number = /^\d{1,4}$/.test(text) ? Number(text) : NaN
  if (number >= least && number <= most) return number
  throw usage(`--${name} is a whole number from ${least} to ${most}, not "${text}"`)
}

function linesOf(
  { toll, checks, records, segments, exclusion, fileSystem, directory, keys }: SelftestReport,
  colour: boolean,
  agents: number,
  seconds: number,
): readonly string[] {
  const rows = [
    ['operations', `${grouped(toll.acks.length)} acknowledged (${spread(toll)}), ${grouped(refusals(toll))} refused`],
    ['inflicted', `${toll.kills} × kill -9, ${toll.pauses} pauses of up to ${toll.longestPauseMs} ms, ${toll.torn} torn writes`],
    ['log', `${grouped(records)} records in ${segments} segment${segments === 1 ? '' : 's'}`],
    [
      'lock',
      `longest wait ${Math.round(toll.longestWaitMs)} ms, pauses of its holder included; freed ${exclusion.freedAfterMs ?? 'never'} ms after kill -9`,
    ],
  ]
  const passed = checks.every(({ holds }) => holds)
  const verdict = passed
    ? `${paint(colour, ['bold', 'green'], 'PASS')}  nobody held the same thing twice`
    : `${paint(colour, ['bold', 'red'], 'FAIL')}  do not rely on Leasehold on this file system`
  return [
    `${paint(colour, 'bold', 'lh selftest')}: ${agents} processes, ${keys} keys, ${seconds} s, on ${fileSystem}`,
    paint(colour, 'dim', `in a scratch directory of ${directory}; your own store was not touched`),
    '',
    ...columns(rows, (text, _row, column) => `${column === 0 ? '  ' : ''}${column === 0 ? paint(colour, 'dim', text) : text}`),
    '',
    ...checks.map(({ holds, text }) => `${paint(colour, holds ? 'green' : ['bold', 'red'], holds ? '✓' : '✗')} ${text}`),
    '',
    verdict,
  ]
}

function spread({ acks }: Toll): string {
  const of = (op: string): string => grouped(acks.filter(ack => ack.op === op).length)
  return `${of('acquire')} acquire, ${of('renew')} renew, ${of('release')} release`
}

const refusals = ({ refusals }: Toll): number => [...refusals.values()].reduce((sum, count) => sum + count, 0)

/** One line on the terminal that says what goes on; nothing anywhere else. */
class Progress {
  readonly #isShown: boolean
  readonly #seconds: number
  readonly #agents: number

  constructor({ json, quiet }: Output, seconds: number, agents: number) {
    this.#isShown = !json && !quiet && process.stderr.isTTY
    this.#seconds = seconds
    this.#agents = agents
  }

  show(toll: Toll, elapsedSecs: number): void {
    if (!this.#isShown) return
    const done = Math.min(elapsedSecs / this.#seconds, 1)
    const bar = '█'.repeat(Math.round(done * 16)).padEnd(16, '░')
    const counts = `${grouped(toll.acks.length)} operations, ${toll.kills} killed, ${toll.pauses} paused, ${toll.torn} torn`
    process.stderr.write(`\r\u001b[K${bar} ${this.#agents} processes: ${counts}`)
  }

  clear(): void {
    if (this.#isShown) process.stderr.write('\r\u001b[K')
  }
}
