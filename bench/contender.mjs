// @ts-check
/**
 * One of many processes on one store: waits for the word, then appends durable records as fast as it is let, and tells how many and how
 * long its longest wait was. Started by contend.mjs with: KIND DIRECTORY NUMBER.
 */
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { agent, expectYes, openResident } from './stores.mjs'

const [, , kind = '', directory = '', number = ''] = process.argv
const peers = createRequire(path.join(import.meta.dirname, 'peers', 'package.json'))
const line = Buffer.from(`${'x'.repeat(479)}\n`)

/** @param {'WAL' | 'DELETE'} journal */
async function sqlite(journal) {
  const Database = peers('better-sqlite3')
  const database = new Database(path.join(directory, 'log.db'), { timeout: 60_000 })
  database.pragma(`journal_mode = ${journal}`)
  database.pragma('synchronous = FULL')
  database.exec('CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, line BLOB NOT NULL)')
  const insert = database.prepare('INSERT INTO log (line) VALUES (?)')
  const append = database.transaction(() => insert.run(line))
  return () => append.immediate()
}

/** @type {Record<string, () => Promise<() => unknown>>} */
const kinds = {
  leasehold: async () => {
    const { coordinator } = await openResident(directory)
    const resource = `ticket:contender-${number}`
    const caller = agent(Number(number))
    let holds = false
    return async () => {
      if (holds) expectYes(await coordinator.release(caller, { target: { resource } }))
      else expectYes(await coordinator.acquire(caller, { resources: [resource], ttlSecs: 3600 }))
      holds = !holds
    }
  },
  // What this machine allows: the same lock, write and sync, and nothing that decides, checks or remembers.
  floor: async () => {
    const { waitForLockSync, unlock } = createRequire(import.meta.url)('fs-native-extensions')
    const [lock, fd] = [fs.openSync(path.join(directory, 'lock'), 'a+'), fs.openSync(path.join(directory, 'log'), 'a')]
    return () => {
      waitForLockSync(lock)
      fs.writeSync(fd, line)
      unlock(lock)
      fs.fdatasyncSync(fd)
    }
  },
  'proper-lockfile': async () => {
    const lockfile = peers('proper-lockfile')
    const file = path.join(directory, 'log')
    fs.closeSync(fs.openSync(file, 'a'))
    const fd = fs.openSync(file, 'a')
    return async () => {
      const release = await lockfile.lock(file, { retries: { retries: 1000, factor: 1, minTimeout: 1, maxTimeout: 2 } })
      fs.writeSync(fd, line)
      fs.fdatasyncSync(fd)
      await release()
    }
  },
  sqlite: () => sqlite('WAL'),
  'sqlite-rollback': () => sqlite('DELETE'),
}

const made = await kinds[kind]?.()
if (made === undefined) throw new Error(`no such kind: ${kind}`)
const step = made

/** A clock that all processes of this machine share, milliseconds. */
const sharedNow = () => Number(process.hrtime.bigint()) / 1e6

/**
 * Goes round until `end`, and tells how many rounds were over between `begin` and then, and what the longest of them was: the same stretch
 * of time for all, and none of a process's first rounds, which only warm it up.
 * @param {{ begin: number, end: number }} when
 */
async function contend({ begin, end }) {
  let count = 0
  let longest = 0
  for (let now = sharedNow(); now < end;) {
    await step()
    const after = sharedNow()
    if (after > begin && after <= end) count++
    if (after > begin) longest = Math.max(longest, after - now)
    now = after
  }
  process.send?.({ count, longest }, () => process.exit(0))
}

process.once('message', when => void contend(/** @type {{ begin: number, end: number }} */ (when)))
process.send?.('ready')
