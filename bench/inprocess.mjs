// @ts-check
// The library in a process that stays: one caller against the disk's own speed, and many callers at once.
import fs from 'node:fs'
import path from 'node:path'
import { median } from './measure.mjs'
import { plain } from './report.mjs'
import { agent, concurrently, expectYes, openResident, repository } from './stores.mjs'

const ttlSecs = 3600

/** Nanoseconds to microseconds. @param {bigint} from */
const microsecondsSince = from => Number(process.hrtime.bigint() - from) / 1000

/** Appends lines of these sizes to a file beside the log, each synced; the microseconds of each. @param {number} fd @param {readonly Buffer[]} lines */
function bareAppends(fd, lines) {
  return lines.map(line => {
    const start = process.hrtime.bigint()
    fs.writeSync(fd, line)
    fs.fdatasyncSync(fd)
    return microsecondsSince(start)
  })
}

/** The last `count` lines of a file. @param {string} file @param {number} count */
function lastLines(file, count) {
  const lines = fs.readFileSync(file, 'utf8').split('\n').slice(0, -1)
  return lines.slice(-count).map(line => Buffer.from(`${line}\n`))
}

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function inProcess({ quick }) {
  const directory = repository('inprocess')
  const { store, coordinator } = await openResident(directory)
  const log = path.join(directory, '.git', 'leasehold', 'claims.jsonl')
  const bare = fs.openSync(path.join(directory, 'bare'), 'a')
  let made = 0
  /** Acquires and releases one resource; the microseconds of both. */
  const pair = async () => {
    const number = made++
    const resource = `ticket:one-${number % 1000}`
    const start = process.hrtime.bigint()
    expectYes(await coordinator.acquire(agent(number), { resources: [resource], ttlSecs }))
    const acquired = microsecondsSince(start)
    const middle = process.hrtime.bigint()
    expectYes(await coordinator.release(agent(number), { target: { resource } }))
    return [acquired, microsecondsSince(middle)]
  }
  // A process that stays: V8 has made machine code of what it does all day.
  for (let warm = 0; warm < (quick ? 500 : 10_000); warm++) await pair()
  /** @type {number[]} */
  const own = []
  /** @type {number[]} */
  const floor = []
  for (let block = 0; block < (quick ? 10 : 30); block++) {
    const lines = lastLines(log, 40)
    floor.push(...bareAppends(bare, lines))
    for (let at = 0; at < 20; at++) own.push(...(await pair()))
  }
  const many = 64
  const rates = []
  for (let run = 0; run < (quick ? 3 : 7); run++) {
    const pairs = quick ? 10_000 : 25_000
    const start = process.hrtime.bigint()
    await concurrently(pairs, many, pair)
    rates.push((2 * pairs) / (microsecondsSince(start) / 1e6))
  }
  store.close()
  fs.closeSync(bare)
  const one = 1e6 / (own.reduce((sum, each) => sum + each, 0) / own.length)
  return [
    {
      what: 'one caller, durable, against write + fdatasync of the same bytes',
      value: median(own) / median(floor),
      unit: 'x',
      target: { atMost: 1.3 },
      note: `${plain(median(own))} µs against ${plain(median(floor))}; ${plain(one)} a second on average`,
    },
    { what: `${many} callers at once: acknowledged acquires and releases`, value: median(rates), unit: '/s', target: { atLeast: 40_000 } },
    { what: `${many} callers against one`, value: median(rates) / one, unit: 'x' },
  ]
}
