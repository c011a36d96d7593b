// @ts-check
// What a tool call pays for its hook: whole processes of `dist/bin/hook.cjs`, in turns with an empty script, each fed its payload as a client does.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { inTurns, plainEnvironment } from './measure.mjs'
import { plain } from './report.mjs'
import { dist, temporaryDirectory } from './stores.mjs'

const program = path.join(dist, 'bin/hook.cjs')
const limit = 1.2

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function hook({ quick }) {
  const home = temporaryDirectory('hook')
  const workspace = path.join(home, 'app')
  const empty = path.join(home, 'empty.cjs')
  fs.writeFileSync(empty, '')
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
  const calls = [
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
  const envOf = /** @param {number} pid */ pid => ({ HOME: home, CLAUDE_PID: String(pid) })
  // The order of the turns is one of chance, and whoever comes first gets the lock.
  const [first] = calls
  execFileSync(process.execPath, [...(first?.args ?? [])], {
    cwd: workspace,
    env: { ...plainEnvironment, ...envOf(process.pid) },
    input: first?.input ?? '',
  })
  const found = inTurns(
    [
      [{ name: 'empty', args: () => [empty], input: '' }],
      ...calls.map(({ name, args, input, pid, code }) => [{ name, args: () => args, input, code, cwd: workspace, env: envOf(pid) }]),
    ],
    quick ? { rounds: 30, usageRounds: 10 } : { rounds: 120, usageRounds: 30 },
  )
  const of = /** @param {string} name */ name => /** @type {import('./measure.mjs').Usage} */ (found.get(name))
  const base = of('empty')
  return calls.map(({ name, promised }) => {
    const { wall, cpu } = of(name)
    return {
      what: name,
      value: wall / base.wall,
      unit: 'x',
      ...(promised === true ? { target: { atMost: limit } } : {}),
      note: `CPU ${plain(cpu / base.cpu)} x; ${plain(wall)} ms against ${plain(base.wall)}`,
    }
  })
}
