// @ts-check
/**
 * Measures whole processes in turns: every round runs each contestant once, in an order of chance, so that a machine that slows down
 * slows all of them. Wall times come from runs without any extra; CPU time and peak memory from a few more, where `usage-at-exit.cjs` is loaded
 * into every contestant alike (no child of Node tells its parent what it used).
 */
import { spawnSync } from 'node:child_process'
import path from 'node:path'

const usageHook = path.join(import.meta.dirname, 'usage-at-exit.cjs')

/** What children get of our environment: nothing that tells Leasehold who runs it, and nothing that slows Node down. */
export const plainEnvironment = {
  PATH: process.env['PATH'] ?? '',
  HOME: process.env['HOME'] ?? '',
  LEASEHOLD_AGENT_ID: 'agent:bench',
}

/**
 * @typedef {object} Contestant
 * @property {string} name
 * @property {(round: number) => readonly string[]} args of Node; `round` is never used twice
 * @property {string} [cwd]
 * @property {Record<string, string>} [env]
 * @property {string} [input] what it reads on its standard input
 * @property {number} [code] with which it has to end; 0 without it
 */

/**
 * Milliseconds and MiB. `cpu` has the mean as well: work that only some runs do does not show in a median.
 * @typedef {{ wall: number, p90: number, cpu: number, cpuMean: number, peak: number }} Usage
 */

/** @param {readonly number[]} values */
export const median = values => quantile(values, 0.5)

/** @param {readonly number[]} values @param {number} q */
export function quantile(values, q) {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

/** @param {readonly number[]} values */
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length

/** @param {number} ms */
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** In an order of chance: whoever always ran after the same one would pay for what that one left to the kernel. @template T @param {readonly T[]} values */
function shuffled(values) {
  const left = [...values]
  return values.map(() => /** @type {T} */ (left.splice(Math.floor(Math.random() * left.length), 1)[0]))
}

let round = 0

/**
 * Runs the contestants in turns; those of one group follow each other in their own order (acquire, renew, release).
 * @param {readonly (readonly Contestant[])[]} groups
 * @param {{ rounds: number, usageRounds: number }} times
 * @returns {Map<string, Usage>}
 */
export function inTurns(groups, { rounds, usageRounds }) {
  /** @type {Map<string, { wall: number[], cpu: number[], peak: number[] }>} */
  const seen = new Map(groups.flat().map(({ name }) => [name, { wall: [], cpu: [], peak: [] }]))
  const turns = rounds + usageRounds + 2
  for (let turn = 0; turn < turns; turn++, round++) {
    const counted = turn >= rounds + 2
    for (const group of shuffled(groups)) {
      for (const contestant of group) {
        const { wall, usage } = run(contestant, counted)
        const notes = seen.get(contestant.name)
        if (usage !== null) {
          notes?.cpu.push(usage.cpu)
          notes?.peak.push(usage.peak)
        } else if (turn >= 2) notes?.wall.push(wall)
      }
    }
  }
  return new Map(
    [...seen].map(([name, { wall, cpu, peak }]) => [
      name,
      { wall: median(wall), p90: quantile(wall, 0.9), cpu: median(cpu), cpuMean: mean(cpu), peak: median(peak) },
    ]),
  )
}

/** @param {Contestant} contestant @param {boolean} counted */
function run({ name, args, cwd, env, input, code = 0 }, counted) {
  const given = args(round)
  const options = { cwd, env: { ...plainEnvironment, ...env }, maxBuffer: 256 * 1024 * 1024 }
  const start = process.hrtime.bigint()
  const done = spawnSync(process.execPath, counted ? ['--require', usageHook, ...given] : given, {
    ...options,
    // A pipe, as an agent has: what a process does about its output is part of its time.
    ...(input === undefined ? {} : { input }),
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...(counted ? [/** @type {const} */ ('pipe')] : [])],
  })
  const wall = Number(process.hrtime.bigint() - start) / 1e6
  if (done.status !== code)
    throw new Error(`${name}: exit ${done.status ?? done.signal}\n${done.stdout.toString()}${done.stderr.toString()}`)
  const said = done.output[3]?.toString()
  return { wall, usage: counted ? /** @type {{ cpu: number, peak: number }} */ (JSON.parse(said ?? '')) : null }
}
