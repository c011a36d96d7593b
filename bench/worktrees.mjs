// @ts-check
// Fifty worktrees: `lh worktree list` against what Git takes for the same facts, `git worktree list` and `git status` in each, run as
// a shell would, one after the other, and as a script that knows better would, eight at a time.
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { inTurns } from './measure.mjs'
import { plain } from './report.mjs'
import { executable, temporaryDirectory } from './stores.mjs'

const count = 50
const filesEach = 200

/** @param {string} cwd @param {string[]} args */
const git = (cwd, ...args) => execFileSync('git', args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] }).toString()

const oneAfterTheOther = `
const { execFileSync } = require('node:child_process')
const list = execFileSync('git', ['worktree', 'list', '--porcelain', '-z']).toString()
for (const [, cwd] of list.matchAll(/(?:^|\\0)worktree ([^\\0]*)/g)) execFileSync('git', ['status', '--porcelain'], { cwd })
`
const eightAtATime = `
const { execFileSync, execFile } = require('node:child_process')
const { promisify } = require('node:util')
const run = promisify(execFile)
const list = execFileSync('git', ['worktree', 'list', '--porcelain', '-z']).toString()
const left = [...list.matchAll(/(?:^|\\0)worktree ([^\\0]*)/g)].map(([, cwd]) => cwd)
const lane = async () => { for (let cwd = left.pop(); cwd !== undefined; cwd = left.pop()) await run('git', ['status', '--porcelain'], { cwd }) }
Promise.all(Array.from({ length: 8 }, lane))
`

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function worktrees({ quick }) {
  const room = temporaryDirectory('worktrees')
  const main = path.join(room, 'app')
  fs.mkdirSync(main)
  git(main, 'init', '-q', '-b', 'main')
  for (let number = 0; number < filesEach; number++) {
    const directory = path.join(main, `part-${number % 10}`)
    fs.mkdirSync(directory, { recursive: true })
    fs.writeFileSync(path.join(directory, `file-${number}`), `${number}\n`)
  }
  git(main, 'add', '-A')
  git(main, '-c', 'user.name=bench', '-c', 'user.email=bench@example.invalid', 'commit', '-q', '-m', 'start')
  for (let number = 0; number < count - 1; number++) {
    const { status, stderr } = spawnSync(process.execPath, [executable, '--agent', 'agent:bench', 'worktree', 'add', `w-${number}`], {
      cwd: main,
    })
    if (status !== 0) throw new Error(stderr.toString())
  }
  const script = path.join(room, 'serial.cjs')
  const parallel = path.join(room, 'parallel.cjs')
  fs.writeFileSync(script, oneAfterTheOther)
  fs.writeFileSync(parallel, eightAtATime)
  const seen = inTurns(
    [
      [{ name: 'lh', cwd: main, args: () => [executable, 'worktree', 'list', '--json'] }],
      [{ name: 'serial', cwd: main, args: () => [script] }],
      [{ name: 'parallel', cwd: main, args: () => [parallel] }],
    ],
    { rounds: quick ? 5 : 15, usageRounds: 1 },
  )
  const wall = /** @param {string} name */ name => seen.get(name)?.wall ?? Number.NaN
  const [ours, serial, parallel8] = [wall('lh'), wall('serial'), wall('parallel')]
  return [
    {
      what: `lh worktree list / git worktree list and git status in each of ${count}`,
      value: ours / serial,
      unit: 'x',
      target: { atMost: 1.3 },
      note: `${plain(ours)} / ${plain(serial)} ms`,
    },
    { what: 'the same / eight git status at a time', value: ours / parallel8, unit: 'x', note: `${plain(ours)} / ${plain(parallel8)} ms` },
  ]
}
