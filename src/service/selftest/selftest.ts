import { existsSync, mkdirSync, readdirSync, statSync, statfsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Coordinator } from '../../coordinator.ts'
import type { Caller } from '../../coordinator.ts'
import { isFault } from '../../core/fault.ts'
import { makePolicy } from '../../core/policy.ts'
import type { Wire } from '../../core/wire.ts'
import { findRepository } from '../../host/git.ts'
import { bootId, hostname } from '../../host/process.ts'
import { readChain } from './chain.ts'
import type { Exclusion } from './exclusion.ts'
import { tryExclusion } from './exclusion.ts'
import { guard, removeTree } from './guard.ts'
import type { OpenStore } from './order.ts'
import { settingsOf, ttlSecs } from './order.ts'
import type { Judgement } from './ownership.ts'
import { collect, judgeHistory } from './ownership.ts'
import type { Launcher, Toll } from './storm.ts'
import { Storm } from './storm.ts'
import type { Check } from './verdict.ts'
import { judge } from './verdict.ts'

export interface SelftestOptions {
  /** Its file system is the one that is tested. */
  readonly directory: string
  readonly env: NodeJS.ProcessEnv
  readonly open: OpenStore
  /** The executable that runs now; the processes are the same one. */
  readonly lh: string
  readonly seconds: number
  readonly agents: number
  readonly onProgress: (toll: Toll, elapsedSecs: number) => void
}

export interface SelftestReport {
  readonly checks: readonly Check[]
  readonly document: Wire
  readonly toll: Toll
  readonly exclusion: Exclusion
  readonly segments: number
  readonly records: number
  readonly directory: string
  readonly fileSystem: string
  readonly keys: number
  readonly warnings: readonly string[]
}

const progressEveryMs = 150

/** Runs the store through kill, pause and torn writes in a scratch directory on the repository's file system, and judges what is left. */
export async function selftest(options: SelftestOptions): Promise<SelftestReport> {
  const base = placeOf(options.directory, options.env)
  removeLeftovers(base)
  const scratch = path.join(base, `leasehold-selftest-${process.pid}`)
  let storm: Storm | null = null
  const clean = guard(() => {
    storm?.stop()
    removeTree(scratch)
  })
  try {
    mkdirSync(scratch, { mode: 0o700 })
    const warning = await unsafeFileSystem(scratch, options.open)
    const keys = Math.max(2, Math.ceil(options.agents / 2))
    const order = { store: path.join(scratch, 'store'), counter: path.join(scratch, 'counter'), keys, unsafe: warning !== null }
    writeFileSync(order.counter, '0'.padEnd(32))
    const launcher: Launcher = { lh: path.resolve(options.lh), env: options.env }
    const exclusion = await tryExclusion(launcher, { ...order, role: 'hold', agentId: 'selftest:0', resident: false })
    storm = new Storm(launcher, order, options.agents)
    const toll = await watched(storm, options)
    return {
      ...(await report(options, { ...order, exclusion, toll })),
      directory: base,
      fileSystem: fileSystemName(base),
      warnings: warning === null ? [] : [warning],
    }
  } finally {
    clean()
  }
}

async function watched(storm: Storm, { seconds, onProgress }: SelftestOptions): Promise<Toll> {
  const from = performance.now()
  const timer = setInterval(() => onProgress(storm.toll, (performance.now() - from) / 1000), progressEveryMs)
  try {
    return await storm.rage(seconds)
  } finally {
    clearInterval(timer)
  }
}

interface Done {
  readonly store: string
  readonly counter: string
  readonly keys: number
  readonly unsafe: boolean
  readonly exclusion: Exclusion
  readonly toll: Toll
}

async function report(options: SelftestOptions, done: Done): Promise<Omit<SelftestReport, 'directory' | 'fileSystem' | 'warnings'>> {
  const { toll, exclusion, keys } = done
  const freed = await takeAll(options, done)
  const chain = readChain(done.store)
  const history = judgeHistory(await collect(options.open(settingsOf({ ...done, resident: false })).history()))
  const checks = judge({ toll, chain, history, exclusion, counter: done.counter, freed, keys })
  const { counts } = history
  const document = {
    seconds: options.seconds,
    agents: options.agents,
    keys,
    ...countsOf(toll, history),
    records: chain.records.size,
    segments: chain.segments,
    operations: counts,
    lock_freed_after_kill_ms: exclusion.freedAfterMs,
    checks,
  }
  return { checks, document, toll, exclusion, keys, segments: chain.segments, records: chain.records.size }
}

const countsOf = (toll: Toll, history: Judgement): Wire => ({
  acknowledged: toll.acks.length,
  refused: Object.fromEntries(toll.refusals),
  ownerships: history.ownerships.length,
  evictions: history.evictions,
  kills: toll.kills,
  pauses: toll.pauses,
  torn_tails: toll.torn,
  torn_tails_repaired: history.repairs,
  counted_under_lock: toll.counted,
  longest_lock_wait_ms: toll.longestWaitMs,
  longest_pause_ms: toll.longestPauseMs,
})

/** Takes and gives back every key, as the next user would. Says how many times that worked; mends the last torn tail on the way. */
async function takeAll({ open }: SelftestOptions, done: Done): Promise<number> {
  const coordinator = new Coordinator(open(settingsOf({ ...done, resident: false })), makePolicy({ ttlSecs }), `${hostname()}/${bootId()}`)
  let freed = 0
  for (let key = 0; key < done.keys; key++) {
    const resource = `selftest:key-${key}`
    try {
      const taken = await coordinator.acquire(last, { resources: [resource], waitMs: ttlSecs * 3000 })
      if (taken.ok && (await coordinator.release(last, { target: { resource } })).ok) freed++
    } catch (error) {
      if (!isFault(error)) throw error
      // Said by the check that compares the two numbers, and by whatever broke the store.
    }
  }
  return freed
}

const last: Caller = { holder: { agentId: 'selftest:last', worktreeId: 'wt:5e1f7e57', sessionId: null, witness: null } }

/** The shared Git directory, where the real store is; outside Git the directory itself. */
function placeOf(directory: string, env: NodeJS.ProcessEnv): string {
  try {
    return findRepository(directory, env).commonDir
  } catch (error) {
    if (!isFault(error) || !existsSync(directory)) throw error
    return path.resolve(directory)
  }
}

/** What killed selftests left. The age is for processes of another container, whose pids are not ours to judge. */
function removeLeftovers(base: string): void {
  for (const name of readdirSync(base)) {
    const pid = /^leasehold-selftest-(\d+)$/.exec(name)?.[1]
    if (pid === undefined || isRunning(Number(pid))) continue
    const place = path.join(base, name)
    if (Date.now() - statSync(place).mtimeMs > 3_600_000) removeTree(place)
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Would Leasehold refuse this file system? Then it is tested all the same, with a warning. */
async function unsafeFileSystem(scratch: string, open: OpenStore): Promise<string | null> {
  const store = open(settingsOf({ store: path.join(scratch, 'first'), resident: false, unsafe: false }))
  try {
    await new Coordinator(store, makePolicy({ ttlSecs }), hostname()).sweep(last)
    return null
  } catch (error) {
    if (!isFault(error) || !error.message.includes('file locks are not reliable')) throw error
    return `${error.message}; Leasehold refuses it. What follows is about this one machine only: a second one may not see these locks`
  } finally {
    store.close()
  }
}

const fileSystems: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x2fc12fc1: 'zfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlay',
  0xf2f52010: 'f2fs',
  0x1a: 'apfs',
  0x6969: 'nfs',
}

function fileSystemName(directory: string): string {
  const type = statfsSync(directory).type >>> 0
  return fileSystems[type] ?? `file system 0x${type.toString(16)}`
}
