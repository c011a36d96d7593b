// @ts-check
// Repositories with a store in them, filled through the library of the build that is measured.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { plainEnvironment } from './measure.mjs'

const root = path.dirname(import.meta.dirname)

/** The build to measure; `LEASEHOLD_TEST_DIST` names another one. */
export const dist = path.resolve(process.env['LEASEHOLD_TEST_DIST'] ?? path.join(root, 'dist'))
export const executable = path.join(dist, 'bin', 'lh.cjs')

/** A module of the library as it was built. @param {string} name such as `store/file/load` */
export const libraryModule = name => import(pathToFileURL(path.join(dist, 'lib', `${name}.js`)).href)

/** A new directory on a real disk (`LEASEHOLD_TEST_TMP`, else the system's), removed when this process ends. @param {string} name */
export function temporaryDirectory(name) {
  const directory = fs.mkdtempSync(path.join(process.env['LEASEHOLD_TEST_TMP'] ?? os.tmpdir(), `lh-bench-${name}-`))
  if (made.length === 0) process.on('exit', () => made.forEach(each => fs.rmSync(each, { recursive: true, force: true })))
  made.push(directory)
  return fs.realpathSync(directory)
}

/** @type {string[]} */
const made = []

/** A Git repository. @param {string} name */
export function repository(name) {
  const directory = temporaryDirectory(name)
  execFileSync('git', ['init', '--quiet', directory], { env: plainEnvironment })
  return directory
}

/**
 * A store below this directory for a process that stays, as the library opens it.
 * @param {string} directory @param {object} [more] options that differ from the defaults
 */
export async function openResident(directory, more = {}) {
  const { Coordinator, defaultPolicy, openFileStore } = await libraryModule('index')
  const store = openFileStore({
    directory: path.join(directory, '.git', 'leasehold'),
    shared: false,
    lockWaitMs: 60_000,
    retention: { segmentBytes: 1_048_576, maxAgeMs: 90 * 86_400_000, maxBytes: 2 ** 40 },
    limits: { max_indefinite_leases_per_agent: 2, max_indefinite_leases_per_repo: 10 },
    limitsChosen: [],
    allowUnsafeFs: false,
    resident: true,
    ...more,
  })
  return { store, coordinator: new Coordinator(store, defaultPolicy, 'bench') }
}

/** Many agents in many worktrees; nobody's process is alive or dead. @param {number} number */
export const agent = number => ({
  holder: {
    agentId: `agent:worker-${number % 40}`,
    worktreeId: `wt:${(number % 40).toString(16).padStart(8, '0')}`,
    sessionId: `session-${number % 40}`,
    witness: null,
  },
})

const ttlSecs = 30 * 86_400

/** Acquires `count` tickets that stay. @param {string} directory @param {number} count */
export async function fill(directory, count) {
  const { store, coordinator } = await openResident(directory)
  await concurrently(count, 64, async number =>
    expectYes(await coordinator.acquire(agent(number), { resources: [`ticket:seed-${number}`], ttlSecs, reason: 'filling the store' })),
  )
  store.close()
}

/**
 * Makes `records` records of history, in pairs of acquire and release, by 64 callers at a time.
 * @param {string} directory @param {number} records @param {object} [more]
 */
export async function makeHistory(directory, records, more = {}) {
  const { store, coordinator } = await openResident(directory, more)
  await concurrently(Math.ceil(records / 2), 64, async number => {
    const resources = [`ticket:past-${number % 5000}`]
    const caller = agent(number)
    expectYes(await coordinator.acquire(caller, { resources, ttlSecs }))
    expectYes(await coordinator.release(caller, { target: { resource: resources[0] } }))
  })
  store.close()
}

/** @template {{ ok: boolean }} T @param {T} answer @returns {T} */
export function expectYes(answer) {
  if (!answer.ok) throw new Error(`refused: ${JSON.stringify(answer)}`)
  return answer
}

/** @param {number} count @param {number} callers @param {(number: number) => Promise<unknown>} work */
export async function concurrently(count, callers, work) {
  let next = 0
  const one = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: callers }, one))
}
