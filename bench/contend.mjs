// @ts-check
// Sixteen processes on one store, each with its own resource: what the lock costs when everybody wants it.
import { execFileSync, fork } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { median, plainEnvironment } from './measure.mjs'
import { plain } from './report.mjs'
import { repository } from './stores.mjs'

const processes = 16
const peers = path.join(import.meta.dirname, 'peers')

/** Installs what we are compared with, pinned by its own lock; says why not. */
function installPeers() {
  if (fs.existsSync(path.join(peers, 'node_modules', '.package-lock.json'))) return null
  try {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: peers, stdio: ['ignore', 'ignore', 'pipe'], timeout: 180_000 })
    return null
  } catch (error) {
    return (
      String(/** @type {{ stderr?: Buffer }} */ (error).stderr ?? error)
        .trim()
        .split('\n')
        .at(-1) ?? 'npm ci failed'
    )
  }
}

/** Why a peer cannot run here, or null. @param {string} name */
function missing(name) {
  try {
    // better-sqlite3 looks for its addon only when a database is opened.
    const open = name === 'better-sqlite3' ? `new (require('${name}'))(':memory:')` : `require('${name}')`
    execFileSync(process.execPath, ['-e', open], { cwd: peers, stdio: ['ignore', 'ignore', 'pipe'] })
    return null
  } catch (error) {
    const said = String(/** @type {{ stderr?: Buffer }} */ (error).stderr ?? error)
    return /(Error: .*)/.exec(said)?.[1] ?? 'it does not load'
  }
}

/** @param {string} kind @param {{ warmup: number, seconds: number }} times @returns {Promise<{ rate: number, longest: number, share: number }>} */
async function contend(kind, { warmup, seconds }) {
  const directory = repository(`contend-${kind}`)
  const env = { ...plainEnvironment, ...pick(['LEASEHOLD_TEST_DIST', 'LEASEHOLD_TEST_TMP']) }
  const children = Array.from({ length: processes }, (_, number) =>
    fork(path.join(import.meta.dirname, 'contender.mjs'), [kind, directory, String(number)], { env }),
  )
  /** A process that ends well has said what it had to say, even if that arrives after its end. @param {import('node:child_process').ChildProcess} child */
  const message = child =>
    new Promise((resolve, reject) => {
      const failed = /** @param {number | null} code */ code => code !== 0 && reject(new Error(`a contender (${kind}) ended with ${code}`))
      child.once('exit', failed).once('message', said => {
        child.removeListener('exit', failed)
        resolve(said)
      })
    })
  await Promise.all(children.map(message))
  const results = children.map(message)
  const begin = Number(process.hrtime.bigint()) / 1e6 + warmup * 1000
  for (const child of children) child.send({ begin, end: begin + seconds * 1000 })
  const said = /** @type {{ count: number, longest: number }[]} */ (await Promise.all(results))
  const counts = said.map(({ count }) => count)
  return {
    rate: counts.reduce((sum, count) => sum + count, 0) / seconds,
    longest: Math.max(...said.map(({ longest }) => longest)),
    share: Math.min(...counts) / Math.max(...counts),
  }
}

/** @param {readonly string[]} names @returns {Record<string, string>} */
const pick = names => Object.fromEntries(names.flatMap(name => (process.env[name] === undefined ? [] : [[name, process.env[name] ?? '']])))

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function contention({ quick }) {
  const why = installPeers()
  const kinds = ['leasehold', 'floor']
  for (const [kind, name] of [
    ['proper-lockfile', 'proper-lockfile'],
    ['sqlite', 'better-sqlite3'],
    ['sqlite-rollback', 'better-sqlite3'],
  ]) {
    const reason = why ?? missing(name ?? '')
    if (reason === null) kinds.push(kind ?? '')
    else console.log(`skipped: ${name}: ${reason}`)
  }
  /** @type {Map<string, { rate: number, longest: number, share: number }[]>} */
  const found = new Map(kinds.map(kind => [kind, []]))
  const times = quick ? { warmup: 2, seconds: 3 } : { warmup: 4, seconds: 6 }
  for (let run = 0; run < (quick ? 1 : 3); run++) for (const kind of kinds) found.get(kind)?.push(await contend(kind, times))
  /** @param {string} kind @param {'rate' | 'longest' | 'share'} what */
  const of = (kind, what) => median((found.get(kind) ?? []).map(each => each[what]))
  const longest = Math.max(...(found.get('leasehold') ?? []).map(each => each.longest))
  /** @param {string} kind @param {string} label @param {number} [atLeast] */
  const against = (kind, label, atLeast) =>
    kinds.includes(kind)
      ? [
          {
            what: `${processes} processes against ${label}`,
            value: of('leasehold', 'rate') / of(kind, 'rate'),
            unit: 'x',
            ...(atLeast === undefined ? {} : { target: { atLeast } }),
            note: `${plain(of('leasehold', 'rate'))}/s against ${plain(of(kind, 'rate'))}/s; its longest wait ${plain(of(kind, 'longest'))} ms`,
          },
        ]
      : []
  return [
    ...against('floor', 'a bare lock + write + sync of each'),
    ...against('proper-lockfile', 'proper-lockfile around the same append', 10),
    ...against('sqlite', 'SQLite, BEGIN IMMEDIATE, synchronous=FULL, WAL', 2),
    ...against('sqlite-rollback', 'the same with a rollback journal, its default', 2),
    {
      what: 'longest wait of any of them',
      value: longest,
      unit: 'ms',
      target: { atMost: 1000 },
      note: `the slowest process did ${plain(100 * of('leasehold', 'share'))} % of what the fastest did`,
    },
  ]
}
