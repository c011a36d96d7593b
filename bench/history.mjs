// @ts-check
// What an acquire costs after a long history, against after a short one. Both stores have as few live leases.
import fs from 'node:fs'
import path from 'node:path'
import { inTurns } from './measure.mjs'
import { plain } from './report.mjs'
import { executable, fill, makeHistory, repository } from './stores.mjs'

const short = 100

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function history({ quick }) {
  const long = quick ? 100_000 : 1_000_000
  const stores = { short: repository('short'), long: repository('long') }
  await fill(stores.short, 10)
  await makeHistory(stores.short, short)
  await fill(stores.long, 10)
  const start = performance.now()
  await makeHistory(stores.long, long)
  const made = performance.now() - start
  // A segment that is nearly full is the worst moment.
  await fillSegment(stores.long, 900_000)
  const cut = { LEASEHOLD_LOG_RETENTION_SIZE: '64GiB' }
  /** @param {'short' | 'long'} which */
  const life = which => [
    {
      name: `acquire ${which}`,
      cwd: stores[which],
      env: cut,
      args: /** @param {number} round */ round => [executable, 'claim', 'acquire', `bench-${round}`],
    },
    {
      name: `release ${which}`,
      cwd: stores[which],
      env: cut,
      args: /** @param {number} round */ round => [executable, 'claim', 'release', `bench-${round}`],
    },
  ]
  const found = inTurns([life('short'), life('long')], quick ? { rounds: 10, usageRounds: 8 } : { rounds: 32, usageRounds: 12 })
  return ['acquire', 'release'].map(verb => {
    const [before, after] = [found.get(`${verb} short`), found.get(`${verb} long`)]
    if (before === undefined || after === undefined) throw new Error('not measured')
    return {
      what: `lh claim ${verb} after ${plain(long)} records against after ${short}`,
      value: after.wall / before.wall,
      unit: 'x',
      target: { atMost: 1.1 },
      note: `CPU ${plain(after.cpu / before.cpu)} x; ${plain(after.wall)} ms against ${plain(before.wall)}; made at ${plain(long / (made / 1000))} records/s, now in ${archives(stores.long)} segments`,
    }
  })
}

const storeOf = /** @param {string} directory */ directory => path.join(directory, '.git', 'leasehold')

/** @param {string} directory @param {number} bytes */
async function fillSegment(directory, bytes) {
  const log = path.join(storeOf(directory), 'claims.jsonl')
  for (let left = bytes - fs.statSync(log).size; left > 0; left = bytes - fs.statSync(log).size)
    await makeHistory(directory, Math.ceil(left / 600))
}

/** @param {string} directory */
const archives = directory => fs.readdirSync(path.join(storeOf(directory), 'archive')).length + 1
