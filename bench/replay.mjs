// @ts-check
// Reading a log back: every checksum and every record folded, against a loop that does nothing but JSON.parse on the same lines.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { median } from './measure.mjs'
import { plain } from './report.mjs'
import { executable, libraryModule, makeHistory, repository } from './stores.mjs'
import { plainEnvironment } from './measure.mjs'

/** Reads and parses each line, and keeps nothing. @param {string} file @returns {number} lines */
function bareParse(file) {
  const bytes = fs.readFileSync(file)
  let lines = 0
  for (let start = 0, end = bytes.indexOf(0x0a); end >= 0; start = end + 1, end = bytes.indexOf(0x0a, start)) {
    JSON.parse(bytes.toString('utf8', start, end))
    lines++
  }
  return lines
}

/** Milliseconds of a call. @param {() => unknown} work */
function timed(work) {
  const start = performance.now()
  work()
  return performance.now() - start
}

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function replay({ quick }) {
  const { loadWhole } = await libraryModule('store/file/load')
  const directory = repository('replay')
  // All of it in one segment.
  await makeHistory(directory, 20_000, { retention: { segmentBytes: 2 ** 40, maxAgeMs: 2 ** 50, maxBytes: 2 ** 50 } })
  const log = path.join(directory, '.git', 'leasehold', 'claims.jsonl')
  const fd = fs.openSync(log, 'r')
  const { size } = fs.fstatSync(fd)
  const lines = bareParse(log)
  const fold = () => {
    const loaded = loadWhole(fs, fd, size)
    if (loaded.damage !== null || loaded.end !== size) throw new Error('the log is damaged')
  }
  /** @type {number[]} */
  const bare = []
  /** @type {number[]} */
  const folded = []
  for (let run = 0; run < (quick ? 5 : 15); run++) {
    bare.push(timed(() => bareParse(log)))
    folded.push(timed(fold))
  }
  fs.closeSync(fd)
  /** @type {import('./report.mjs').Row[]} */
  const rows = [
    {
      what: 'replay (checksums, parse, fold) against bare JSON.parse',
      value: median(bare) / median(folded),
      unit: 'x',
      target: { atLeast: 0.6 },
      note: `${plain(lines / median(folded) / 1000)} M lines/s against ${plain(lines / median(bare) / 1000)}`,
    },
  ]
  return [...rows, ...(await verified(quick))]
}

/** `lh verify` of a long history in many segments, as a process. @param {boolean} quick @returns {Promise<import('./report.mjs').Row[]>} */
async function verified(quick) {
  const peaks = []
  for (const records of quick ? [10_000, 100_000] : [100_000, 1_000_000]) {
    const directory = repository('verify')
    await makeHistory(directory, records)
    const start = performance.now()
    const done = spawnSync(
      process.execPath,
      ['--require', path.join(import.meta.dirname, 'usage-at-exit.cjs'), executable, 'verify', '--json'],
      {
        cwd: directory,
        env: plainEnvironment,
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      },
    )
    if (done.status !== 0)
      return [{ what: `lh verify of ${plain(records)} records`, value: Number.NaN, unit: '', note: `did not work: exit ${done.status}` }]
    peaks.push({
      records,
      secs: (performance.now() - start) / 1000,
      peak: /** @type {{ peak: number }} */ (JSON.parse(done.output[3]?.toString() ?? '')).peak,
    })
  }
  const [few, many] = peaks
  if (few === undefined || many === undefined) return []
  return [
    {
      what: `lh verify: peak memory for ${plain(many.records)} records against ${plain(few.records)}`,
      value: many.peak / few.peak,
      unit: 'x',
      target: { atMost: 1.3 },
      note: `${plain(many.peak)} MiB against ${plain(few.peak)}; ${plain(many.secs)} s, ${plain(many.records / many.secs)} records/s`,
    },
  ]
}
