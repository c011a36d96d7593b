// @ts-check
/**
 * Usage: node bench/hook.mjs [rounds] [--check]. What a tool call pays for its hook: whole processes of `dist/bin/hook.cjs`, in turns with an
 * empty script, each fed its payload as a client does. Prints wall and CPU milliseconds and the ratio to the empty script; `--check`
 * fails when a tool call costs more than 1.2 of it in CPU time.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { median, quantile } from './measure.mjs'

const root = path.dirname(import.meta.dirname)
const program = path.join(root, 'dist/bin/hook.cjs')
const rounds = Number(process.argv.slice(2).find(arg => /^[0-9]+$/.test(arg)) ?? 40)
const limit = 1.2

const home = mkdtempSync(path.join(tmpdir(), 'leasehold-hook-'))
const workspace = path.join(home, 'app')
const empty = path.join(home, 'empty.cjs')
writeFileSync(empty, '')
execFileSync('git', ['init', '-q', workspace])

/** @param {string} session @param {string} tool @param {object} input */
const payload = (session, tool, input) =>
  JSON.stringify({
    session_id: session,
    transcript_path: `${home}/t.jsonl`,
    cwd: workspace,
    permission_mode: 'acceptEdits',
    hook_event_name: 'PreToolUse',
    tool_name: tool,
    tool_input: input,
    tool_use_id: 'toolu_1',
  })

const write = { file_path: `${workspace}/a.txt`, content: 'hello\n'.repeat(200) }
/** @type {readonly { name: string, args: readonly string[], input: string, pid: number, code: number, promised?: boolean }[]} */
const contestants = [
  { name: 'node empty.cjs', args: [empty], input: '', pid: process.pid, code: 0 },
  {
    name: 'before a write, lock held by self',
    args: [program, 'before-tool'],
    input: payload('one', 'Write', write),
    pid: process.pid,
    code: 0,
    promised: true,
  },
  {
    name: 'before a write, blocked',
    args: [program, 'before-tool'],
    input: payload('two', 'Write', write),
    pid: 1,
    code: 2,
    promised: true,
  },
  {
    name: 'before a command that reads',
    args: [program, 'before-tool'],
    input: payload('one', 'Bash', { command: 'git status' }),
    pid: process.pid,
    code: 0,
  },
  {
    name: 'before a command, lock stretched',
    args: [program, 'before-tool'],
    input: payload('one', 'Bash', { command: 'make' }),
    pid: process.pid,
    code: 0,
  },
  {
    name: 'after a command, lock set back',
    args: [program, 'after-tool'],
    input: payload('one', 'Bash', { command: 'make' }),
    pid: process.pid,
    code: 0,
  },
]

/** @type {Map<string, { wall: number[], cpu: number[] }>} */
const seen = new Map(contestants.map(({ name }) => [name, { wall: [], cpu: [] }]))

/** @param {(typeof contestants)[number]} contestant */
function run({ name, args, input, pid, code }) {
  const env = { PATH: process.env['PATH'] ?? '', HOME: home, CLAUDE_PID: String(pid) }
  const start = process.hrtime.bigint()
  const done = spawnSync(process.execPath, args, { input, env, cwd: workspace })
  const wall = Number(process.hrtime.bigint() - start) / 1e6
  if (done.status !== code) throw new Error(`${name}: ${String(done.status)} ${String(done.stderr)}`)
  seen.get(name)?.wall.push(wall)
}

/** CPU time as the kernel counts it for a child that was waited for. @param {(typeof contestants)[number]} contestant */
function cpuOf({ args, input, pid }) {
  const before = children()
  spawnSync(process.execPath, args, {
    input,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, CLAUDE_PID: String(pid) },
    cwd: workspace,
  })
  return children() - before
}

/** Milliseconds that all children so far took; in steps of 10, so only sums mean something. */
function children() {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) * 10
}

try {
  for (const each of contestants) run(each)
  for (const times of seen.values()) times.wall.length = 0
  for (let round = 0; round < rounds; round++) {
    const first = round % contestants.length
    for (const each of [...contestants.slice(first), ...contestants.slice(0, first)]) run(each)
  }
  if (process.platform === 'linux') {
    for (let round = 0; round < rounds; round++) for (const each of contestants) seen.get(each.name)?.cpu.push(cpuOf(each))
  }
  const base = seen.get(contestants[0]?.name ?? '') ?? { wall: [], cpu: [] }
  /** @param {readonly number[]} values */
  const mean = values => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
  let worst = 0
  for (const { name, promised } of contestants) {
    const times = seen.get(name) ?? base
    const ratio = mean(times.cpu) / mean(base.cpu)
    if (promised === true) worst = Math.max(worst, ratio)
    console.log(
      `${name.padEnd(36)} wall ${median(times.wall).toFixed(1).padStart(6)} ms  fastest quarter ${quantile(times.wall, 0.25).toFixed(1).padStart(6)} (${(quantile(times.wall, 0.25) / quantile(base.wall, 0.25)).toFixed(2)})  CPU ${mean(times.cpu).toFixed(1).padStart(5)} ms (${ratio.toFixed(2)})`,
    )
  }
  if (process.argv.includes('--check') && worst > limit) {
    console.log(`a tool call costs ${worst.toFixed(2)} of an empty script; promised are ${limit}`)
    process.exitCode = 1
  }
} finally {
  rmSync(home, { recursive: true, force: true })
}
