import type { Command } from '../../src/core/command.ts'
import type { Decision } from '../../src/core/decision.ts'
import { decide } from '../../src/core/decide.ts'
import type { Lease } from '../../src/core/lease.ts'
import type { Entry } from '../../src/core/operation.ts'
import { isOwnership } from '../../src/core/operation.ts'
import type { Policy } from '../../src/core/policy.ts'
import { sha256Hex } from '../../src/core/sha256.ts'
import { leaseToStored } from '../../src/core/wire.ts'
import type { Clock } from '../../src/host/clock.ts'
import type { Disk } from '../../src/host/disk.ts'
import type { KernelLock } from '../../src/host/kernel-lock.ts'
import { FullState } from '../../src/store/state.ts'
import { FileStore } from '../../src/store/file/store.ts'
import type { FileStoreOptions } from '../../src/store/file/options.ts'
import type { Commit, Store, TransactOptions } from '../../src/store/store.ts'

// What the fault tests share: opening a file store on any disk, and looking at what is on that disk without the store's own eyes.

/** More work for a longer look; 1 in the default run. */
export const scale = Math.max(0.01, Number(process.env['LEASEHOLD_TEST_SCALE'] ?? 1) || 1)

/** Limits out of the way: these tests are about the disk. */
export const widePolicy: Policy = { ttlSecs: 10, staleSecs: 20, maxIndefinitePerAgent: 100, maxIndefinitePerRepo: 100 }

const ext4 = 0xef53
const forever = 1e15

export type FaultStoreOptions = {
  readonly directory: string
  readonly clock: Clock
  readonly disk: Disk
  readonly lock: KernelLock
} & Partial<FileStoreOptions>

/** A file store with nothing of this machine in it unless it is given. */
export const openOn = (options: FaultStoreOptions): FileStore =>
  new FileStore({
    fileSystemType: () => ext4,
    shared: false,
    lockWaitMs: 2_000,
    retention: { segmentBytes: 1 << 20, maxAgeMs: forever, maxBytes: forever },
    limits: { max_indefinite_leases_per_agent: 100, max_indefinite_leases_per_repo: 100 },
    limitsChosen: [],
    allowUnsafeFs: false,
    resident: false,
    ...options,
  })

/** Runs a command of the core on a store. */
export const run = (store: Store, command: Command, options: TransactOptions = {}): Promise<Commit> =>
  store.transact((view, binding) => {
    const bound = binding !== null && 'binding' in command ? { ...command, binding: { live: binding.live } } : command
    return decide(bound, view, widePolicy)
  }, options)

export const isOk = ({ decision }: { readonly decision: Decision }): boolean => decision.ok

// ── the log, read as a stranger would ──

interface RawRecord {
  readonly seq: number
  readonly op: string
  readonly prev: string
  readonly sum: string
  readonly [member: string]: unknown
}

/** The lines of a segment: verified by code of its own, so that a mistake in the store's reader does not hide itself. */
export function rawLines(bytes: Buffer): readonly (RawRecord | null)[] {
  const lines = bytes.toString('utf8').split('\n')
  lines.pop()
  return lines.map(line => {
    const tail = /^(.*),"sum":"([0-9a-f]{16})"\}$/s.exec(line)
    if (tail === null || sha256Hex(Buffer.from(`${tail[1]}}`), 16) !== tail[2]) return null
    return JSON.parse(line) as RawRecord
  })
}

const checkpointOps = new Set(['segment', 'live', 'past', 'ops'])

/** What is wrong with the chain of one segment, or null. */
export function brokenChain(bytes: Buffer, name: string): string | null {
  if (bytes.length > 0 && bytes.at(-1) !== 0x0a) return `${name} ends in the middle of a line`
  let prev: string | null = null
  let seq = 0
  for (const [index, record] of rawLines(bytes).entries()) {
    if (record === null) return `${name}:${index + 1} is no intact line`
    if (index === 0 && record.op !== 'segment') return `${name} does not begin with a segment line`
    if (prev !== null && record.prev !== prev) return `${name}:${index + 1} does not continue the line before it`
    const inCheckpoint = checkpointOps.has(record.op) || (record.op === 'session' && record.seq === seq)
    if (!inCheckpoint && record.seq !== seq + 1 && !(record.op === 'repair' && record.seq > seq))
      return `${name}:${index + 1} has seq ${record.seq} after ${seq}`
    if (inCheckpoint && index > 0 && record.seq !== seq) return `${name}:${index + 1} is a checkpoint line of another base`
    prev = record.sum
    seq = record.seq
  }
  return null
}

/**
 * What is wrong with a whole history: gaps, two owners, tokens that do not grow, ends that end nothing. Without `gapless` positions only
 * have to grow, and the records of one transaction share one.
 */
export function brokenHistory(entries: readonly Entry[], gapless = true): string | null {
  const owners = new Map<string, { readonly token: number; readonly agent: string }>()
  const largest = new Map<string, number>()
  let seq = 0
  for (const { seq: at, operation } of entries) {
    const jump = operation.op === 'repair' && at > seq && operation.lastGoodSeq === seq
    if (gapless ? at !== seq + 1 && !jump : at < seq) return `record ${at} follows ${seq}`
    seq = at
    if (!('resources' in operation)) continue
    for (const key of operation.resources) {
      const owner = owners.get(key)
      if (isOwnership(operation)) {
        if (operation.from === null && owner !== undefined)
          return `record ${at} grants ${key}, which ${owner.agent} holds with token ${owner.token}`
        if (operation.from !== null && owner?.token !== operation.from.token)
          return `record ${at} takes ${key} from ${operation.from.token}, which does not hold it`
        if (at <= (largest.get(key) ?? 0)) return `record ${at} gives ${key} a token that is not larger than ${largest.get(key)}`
        owners.set(key, { token: at, agent: operation.holder.agentId })
        largest.set(key, at)
      } else if (operation.op === 'renew' || operation.op === 'heartbeat') {
        if (owner?.token !== operation.token)
          return `record ${at} renews ${key} with token ${operation.token}, its owner has ${owner?.token}`
      } else {
        const token = 'token' in operation ? operation.token : operation.previousToken
        if (owner?.token !== token) return `record ${at} ends token ${token} of ${key}, its owner has ${owner?.token}`
        owners.delete(key)
      }
    }
  }
  return null
}

const written = (leases: Iterable<Lease>): string =>
  JSON.stringify([...leases].map(leaseToStored).toSorted((a, b) => String(a['resource']).localeCompare(String(b['resource']))))

/** Does the state that a store shows differ from the fold of its history? */
export function brokenState(entries: readonly Entry[], leases: Iterable<Lease>): string | null {
  const state = new FullState()
  for (const entry of entries) state.apply(entry)
  const folded = written(state.leases())
  const shown = written(leases)
  return folded === shown ? null : `the state shows ${shown}, the history folds to ${folded}`
}

/** A record that a caller was told is safe. */
export interface Acknowledged {
  readonly seq: number
  readonly op: string
  readonly opId: string | null
}

export const acknowledgedBy = (commit: Commit): readonly Acknowledged[] =>
  commit.entries.map(({ seq, operation }) => ({ seq, op: operation.op, opId: operation.opId }))

/** The first acknowledged record that a history has not, or null. */
export function lostAcknowledgement(acknowledged: Iterable<Acknowledged>, entries: readonly Entry[]): string | null {
  const bySeq = new Map(entries.map(entry => [entry.seq, entry.operation]))
  for (const { seq, op, opId } of acknowledged) {
    const found = bySeq.get(seq)
    if (found === undefined || found.op !== op || found.opId !== opId)
      return `acknowledged record ${seq} (${op}) is ${found === undefined ? 'lost' : `now a ${found.op}`}`
  }
  return null
}

export async function historyOf(store: Store): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  for await (const entry of store.history()) entries.push(entry)
  return entries
}

/** The fault that a promise ends with; fails the test when it does not. */
export async function faultOf(
  promise: Promise<unknown>,
): Promise<{ readonly code: string; readonly message: string; readonly hint?: string; readonly details?: Record<string, unknown> }> {
  try {
    await promise
  } catch (error) {
    if ((error as Error).name === 'Fault') return error as never
    throw error
  }
  throw new Error('it succeeded where a fault was expected')
}

/** Lets everything run that can run without anybody's help. */
export async function settle(turns = 3): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve))
}

/** A log whose lines were changed and sealed again, chain and all: what no accident does. */
export function resealed(bytes: Buffer, change: (line: string) => string): Buffer {
  let prev: string | null = null
  const lines = bytes
    .toString('utf8')
    .split('\n')
    .slice(0, -1)
    .map(line => {
      const body = change(line).replace(/,"sum":"[0-9a-f]{16}"\}$/, '}')
      const chained: string = prev === null ? body : body.replace(/"prev":"[0-9a-f]{16}"/, `"prev":"${prev}"`)
      prev = sha256Hex(Buffer.from(chained), 16)
      return `${chained.slice(0, -1)},"sum":"${prev}"}\n`
    })
  return Buffer.from(lines.join(''))
}
