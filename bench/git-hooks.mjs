// @ts-check
// What the installed Git hooks cost a commit and a push: against `sh -c :`, against an empty Node, and of ten thousand commits.
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { median, plainEnvironment } from './measure.mjs'
import { plain } from './report.mjs'
import { executable, repository, temporaryDirectory } from './stores.mjs'

const commits = 10_000

/** @typedef {{ name: string, program: string, args: readonly string[], cwd: string, input?: string, code?: number }} Runner */

/** Milliseconds of each, run in turns. @param {readonly Runner[]} runners @param {number} rounds */
function inTurns(runners, rounds) {
  /** @type {Map<string, number[]>} */
  const seen = new Map(runners.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds + 2; round++) {
    for (let at = 0; at < runners.length; at++) {
      const { name, program, args, cwd, input, code = 0 } = /** @type {Runner} */ (runners[(at + round) % runners.length])
      const start = process.hrtime.bigint()
      // As Git starts them.
      const env = { ...plainEnvironment, GIT_INDEX_FILE: '.git/index', GIT_EDITOR: ':' }
      const done = spawnSync(program, args, { cwd, env, maxBuffer: 64 * 1024 * 1024, ...(input === undefined ? {} : { input }) })
      const wall = Number(process.hrtime.bigint() - start) / 1e6
      if (done.status !== code) throw new Error(`${name}: exit ${done.status ?? done.signal}\n${done.stderr.toString().slice(0, 500)}`)
      if (round >= 2) seen.get(name)?.push(wall)
    }
  }
  return new Map([...seen].map(([name, walls]) => [name, median(walls)]))
}

/** @param {string} directory @param {readonly string[]} args */
const lh = (directory, ...args) =>
  execFileSync(process.execPath, [executable, ...args], { cwd: directory, env: plainEnvironment, stdio: ['ignore', 'pipe', 'ignore'] })

/** A repository with the hooks and a store that was used. @param {string} name */
function hooked(name) {
  const directory = repository(name)
  lh(directory, 'hooks', 'install', 'git')
  lh(directory, 'claim', 'acquire', 'env:once')
  lh(directory, 'claim', 'release', 'env:once')
  return directory
}

/** Ten thousand commits under one lease, then its loss to another agent. @param {string} directory */
function history(directory) {
  const { lease } = JSON.parse(lh(directory, 'claim', 'acquire', 'fix', '--json').toString())
  const trailers = `Leasehold-Ticket: fix\nLeasehold-Lease: ${lease.lease_id}\nLeasehold-Token: ${lease.token}\n`
  const lines = Array.from({ length: commits }, (_, number) => {
    const message = `part ${number}\n\n${trailers}`
    return `commit refs/heads/long\ncommitter bench <bench@example.invalid> ${1_700_000_000 + number} +0000\ndata ${message.length}\n${message}\n`
  })
  execFileSync('git', ['fast-import', '--quiet'], { cwd: directory, env: plainEnvironment, input: lines.join('') })
  lh(directory, 'claim', 'evict', 'fix', '--reason', 'bench')
  lh(directory, 'claim', 'acquire', 'fix', '--agent', 'agent:other')
  return execFileSync('git', ['rev-parse', 'long'], { cwd: directory, env: plainEnvironment, encoding: 'utf8' }).trim()
}

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function gitHooks({ quick }) {
  const empty = path.join(temporaryDirectory('empty'), 'empty.cjs')
  fs.writeFileSync(empty, '')
  const nothing = hooked('nothing')
  const held = hooked('held')
  lh(held, 'claim', 'acquire', 'fix', 'path:src/**')
  fs.mkdirSync(path.join(held, 'src'))
  fs.writeFileSync(path.join(held, 'src', 'x'), 'x\n')
  execFileSync('git', ['add', '--all'], { cwd: held, env: plainEnvironment })
  const message = path.join(held, '.git', 'BENCH_MSG')
  fs.writeFileSync(message, 'subject\n')
  const hook = /** @param {string} name @param {string} cwd @param {string} which @param {readonly string[]} args */ (
    name,
    cwd,
    which,
    ...args
  ) => ({
    name,
    cwd,
    program: path.join(cwd, '.git', 'hooks', which),
    args,
  })
  const found = inTurns(
    [
      { name: 'sh', cwd: nothing, program: 'sh', args: ['-c', ':'] },
      { name: 'node', cwd: nothing, program: process.execPath, args: [empty] },
      hook('quiet commit', nothing, 'pre-commit'),
      hook('quiet message', nothing, 'prepare-commit-msg', '.git/BENCH_MSG', 'message'),
      hook('commit', held, 'pre-commit'),
      hook('message', held, 'prepare-commit-msg', '.git/BENCH_MSG', 'message'),
    ],
    quick ? 10 : 40,
  )
  const long = history(nothing)
  const zeros = '0'.repeat(40)
  const pushes = inTurns(
    [
      { ...hook('push', nothing, 'pre-push', 'origin', 'url'), input: `refs/heads/long ${long} refs/heads/long ${zeros}\n`, code: 1 },
      { name: 'log', cwd: nothing, program: 'git', args: ['log', '--format=%H%n%B', long] },
    ],
    quick ? 2 : 5,
  )
  const of = /** @param {string} name */ name => /** @type {number} */ (found.get(name) ?? pushes.get(name))
  const over = /** @param {string} what @param {string} name @param {number} atMost */ (what, name, atMost) => ({
    what,
    value: of(name) - of('sh'),
    unit: 'ms',
    target: { atMost },
    note: `${plain(of(name))} ms against ${plain(of('sh'))} (sh -c :)`,
  })
  const ratio = /** @param {string} what @param {string} name @param {string} floor @param {number} [atMost] */ (
    what,
    name,
    floor,
    atMost,
  ) => ({
    what,
    value: of(name) / of(floor),
    unit: 'x',
    ...(atMost === undefined ? {} : { target: { atMost } }),
    note: `${plain(of(name))} ms against ${plain(of(floor))} (${floor === 'node' ? 'node empty.cjs' : 'git log of the same'})`,
  })
  return [
    over('pre-commit, nothing to judge: more than sh -c :', 'quiet commit', 10),
    over('prepare-commit-msg, nothing held: more than sh -c :', 'quiet message', 10),
    ratio('pre-commit, a lease to check', 'commit', 'node', 1.4),
    ratio('prepare-commit-msg, trailers to add', 'message', 'node'),
    ratio(`pre-push, first push of ${commits} commits, refused`, 'push', 'log'),
  ]
}
