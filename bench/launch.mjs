// @ts-check
// What a launch costs: the time from its start to the start of its agent, and the memory of the supervisor that stays beside it.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { inTurns, median, plainEnvironment, sleep } from './measure.mjs'
import { plain } from './report.mjs'
import { executable, repository, temporaryDirectory } from './stores.mjs'

/** A ticket that can be launched. @param {string} cwd @param {string} id */
function putTicket(cwd, id) {
  const directory = path.join(cwd, '.leasehold', 'tickets', id)
  fs.mkdirSync(directory, { recursive: true })
  fs.writeFileSync(
    path.join(directory, 'ticket.md'),
    `---\nid: ${id}\nslug: ${id.slice(16)}\ntitle: Bench\nstatus: open\nkind: task\npriority: P2\nlabels: []\nworkflow_state: ready\n` +
      `created_at: 2026-01-01T00:00:00Z\nupdated_at: 2026-01-01T00:00:00Z\nassignee: null\nlegacy_ticket: null\nqueued_by: null\n` +
      `queued_at: null\ndepends_on: []\ngates: []\n---\n\nBench.\n`,
  )
}

const ticket = '20260101-000000-bench'
const words = ['launch', ticket, '--role', 'dev', '--ready', 'fd', '--']

/** Milliseconds from the start of a process until a file appears. @param {readonly string[]} args @param {string} cwd @param {string} file */
async function untilFile(args, cwd, file) {
  fs.rmSync(file, { force: true })
  const directory = path.dirname(file)
  const seen = new Promise(resolve => {
    const watcher = fs.watch(directory, (_, name) => {
      if (name !== path.basename(file)) return
      watcher.close()
      resolve(performance.now())
    })
  })
  const start = performance.now()
  const child = spawn(process.execPath, args, { cwd, env: plainEnvironment, stdio: 'ignore' })
  const ended = new Promise(resolve => child.once('exit', resolve))
  const ms = /** @type {number} */ (await seen) - start
  await ended
  return ms
}

/** Resident memory without what it shares with other processes of the same program, and all of it, MiB. @param {number} pid */
function memoryOf(pid) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const mib = /** @param {string} name */ name => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024
  return { rss: mib('Rss'), own: mib('Private_Clean') + mib('Private_Dirty') }
}

/** Memory of a process once it no longer changes. @param {readonly string[]} args @param {string} cwd @param {(child: import('node:child_process').ChildProcess) => void} end */
async function settled(args, cwd, end) {
  const child = spawn(process.execPath, args, { cwd, env: plainEnvironment, stdio: 'ignore' })
  const ended = new Promise(resolve => child.once('exit', resolve))
  await sleep(4000)
  const memory = memoryOf(/** @type {number} */ (child.pid))
  end(child)
  await ended
  return memory
}

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function launches({ quick }) {
  const place = temporaryDirectory('launch')
  const cwd = repository('launch')
  putTicket(cwd, ticket)
  const [empty, file, toucher] = [path.join(place, 'empty.cjs'), path.join(place, 'mark', 'started'), path.join(place, 'agent')]
  fs.mkdirSync(path.dirname(file))
  fs.writeFileSync(empty, '')
  // `exec` leaves one process: what is measured is when it begins.
  fs.writeFileSync(toucher, `#!/bin/sh\n: > "${file}"\necho >&3\n`, { mode: 0o755 })
  const bare = path.join(place, 'bare.cjs')
  fs.writeFileSync(
    bare,
    `require('node:child_process').spawn(${JSON.stringify(toucher)}, { stdio: ['inherit', 'inherit', 'inherit', 'pipe'] })`,
  )
  const rounds = quick ? 12 : 40
  /** @type {{ name: string, run: () => Promise<number>, times: number[] }[]} */
  const contestants = [
    { name: 'bare', run: () => untilFile([bare], cwd, file), times: [] },
    { name: 'launch', run: () => untilFile([executable, ...words, toucher], cwd, file), times: [] },
  ]
  for (let round = 0; round < rounds + 2; round++)
    for (const { run, times } of contestants) {
      const ms = await run()
      if (round >= 2) times.push(ms)
    }
  const [start = Number.NaN, before = Number.NaN] = contestants.map(({ times }) => median(times))
  const whole = inTurns([[{ name: 'empty', args: () => [empty] }], [{ name: 'status', cwd, args: () => [executable, 'status'] }]], {
    rounds: quick ? 8 : 20,
    usageRounds: 0,
  })
  const wallOf = /** @param {string} name */ name => whole.get(name)?.wall ?? Number.NaN

  const idle = path.join(place, 'idle.cjs')
  fs.writeFileSync(idle, 'setInterval(() => {}, 1e6)')
  const sleeper = path.join(place, 'sleeper')
  fs.writeFileSync(sleeper, '#!/bin/sh\necho >&3\nexec sleep 1000\n', { mode: 0o755 })
  /** @type {{ rss: number, own: number }[][]} */
  const memories = [[], []]
  for (let round = 0; round < (quick ? 2 : 4); round++) {
    memories[0]?.push(await settled([idle], cwd, child => child.kill()))
    memories[1]?.push(await settled([executable, ...words, sleeper], cwd, child => child.kill('SIGTERM')))
  }
  const of = /** @param {number} which @param {'rss' | 'own'} what */ (which, what) =>
    median((memories[which] ?? []).map(each => each[what]))
  return [
    {
      what: 'lh launch until its agent starts, against node that starts the same',
      value: before / start,
      unit: 'x',
      target: { atMost: 1.4 },
      note: `${plain(before)} ms against ${plain(start)}; lh status ${plain(wallOf('status'))}, an empty script ${plain(wallOf('empty'))}`,
    },
    {
      what: 'memory of a supervisor that has settled, against node that does nothing',
      value: of(1, 'rss') / of(0, 'rss'),
      unit: 'x',
      target: { atMost: 1.3 },
      note: `${plain(of(1, 'rss'))} MiB against ${plain(of(0, 'rss'))}; its own without what all of them share: ${plain(of(1, 'own'))} against ${plain(of(0, 'own'))}`,
    },
  ]
}
