import path from 'node:path'
import { tmpdir } from 'node:os'
import { Coordinator } from '../../src/coordinator.ts'
import type { Answer, Caller } from '../../src/coordinator.ts'
import type { Holder } from '../../src/core/lease.ts'
import { systemClock } from '../../src/host/clock.ts'
import { kernelLock } from '../../src/host/kernel-lock.ts'
import { EtcdStore } from '../../src/store/etcd/store.ts'
import { parsePlace } from '../../src/store/etcd/url.ts'
import type { Operation } from './linearizable.ts'
import { chanceOf, oneOf } from './sim-disk.ts'

// Clients of a cluster that work until they are told to stop, and write down every call and every answer.

/** Milliseconds on a clock that all processes of this machine share. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

export const roomy = { ttlSecs: 30, staleSecs: 60, maxIndefinitePerAgent: 1000, maxIndefinitePerRepo: 100_000 }

/** A store of its own for one client, as a process would have. */
export const openEtcd = (url: string, timeoutMs = 1000): EtcdStore =>
  new EtcdStore({
    place: parsePlace(url, 'test'),
    access: { user: null, passwordFile: null, caFile: null, certFile: null, keyFile: null },
    clock: systemClock(),
    lock: kernelLock,
    localDirectory: path.join(tmpdir(), `leasehold-etcd-local-${process.pid}`),
    lockWaitMs: 10_000,
    limits: {
      max_indefinite_leases_per_agent: roomy.maxIndefinitePerAgent,
      max_indefinite_leases_per_repo: roomy.maxIndefinitePerRepo,
    },
    limitsChosen: [],
    timeoutMs,
  })

export const someone = (agentId: string, sessionId: string | null = 's'): Holder => ({
  agentId,
  worktreeId: 'wt:00000001',
  sessionId,
  witness: null,
})

/** One client: its store, and the rules on it. */
export class Client {
  readonly store: EtcdStore
  readonly coordinator: Coordinator

  constructor(url: string, timeoutMs?: number) {
    this.store = openEtcd(url, timeoutMs)
    this.coordinator = new Coordinator(this.store, roomy, `test/${process.pid}`)
  }

  close(): void {
    this.store.close()
  }
}

/** An operation on one of the keys. */
export type KeyOperation = Operation & { readonly key: string }

export interface Contest {
  readonly url: string
  /** Begins the names of its clients. */
  readonly name: string
  readonly clients: number
  readonly keys: readonly string[]
  readonly seed: number
  /** Longest pause between two calls, milliseconds. */
  readonly pauseMs: number
  /** All of them are callers of one process, with one store. */
  readonly together?: boolean
}

/** Seconds. The guard is as long, so that a lease is not ended early even if the engine says so too soon. */
const ttlSecs = 2

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Lets clients contend for the same keys until `isOver`. Some of them stop in the middle of what they hold, and come back as somebody else. */
export async function contend(
  contest: Contest,
  isOver: () => boolean,
): Promise<{ readonly operations: readonly KeyOperation[]; readonly faults: Readonly<Record<string, number>> }> {
  const operations: KeyOperation[] = []
  const faults: Record<string, number> = {}
  const client = contest.together === true ? new Client(contest.url) : null
  await Promise.all(
    Array.from({ length: contest.clients }, (_, number) =>
      one(contest, number, client, isOver, operations, message => (faults[message] = (faults[message] ?? 0) + 1)),
    ),
  )
  client?.close()
  return { operations, faults }
}

async function one(
  { url, name, keys, seed, pauseMs }: Contest,
  number: number,
  shared: Client | null,
  isOver: () => boolean,
  operations: KeyOperation[],
  fault: (message: string) => void,
): Promise<void> {
  const chance = chanceOf(seed * 1000 + number)
  const client = shared ?? new Client(url)
  let incarnation = 0
  let held: string | null = null
  while (!isOver()) {
    const holder = `agent:${name}${number}.${incarnation}`
    const caller = { holder: someone(holder) }
    const pick = chance()
    const mine: boolean = held !== null && pick < 0.8
    const key: string = mine ? held! : oneOf(chance, keys)
    const f: Operation['f'] = mine
      ? pick < 0.4
        ? 'renew'
        : 'release'
      : pick < 0.85
        ? 'acquire'
        : oneOf(chance, ['read', 'read', 'renew', 'release'])
    const asked = { key, f, holder, ttl: ttlSecs * 1000 }
    const call = nowMs()
    try {
      const out = await told(client, caller, f, key)
      operations.push({ ...asked, call, ret: nowMs(), out })
      if (f === 'acquire' && out.ok) held = key
      else if (mine && f === 'release') held = null
      // Crashes while it holds: nobody releases that, it has to lapse.
      if (held !== null && chance() < 0.01) {
        incarnation++
        held = null
      }
    } catch (error) {
      const { details, message } = error as { details?: { outcome?: string }; message: string }
      fault(`${details?.outcome ?? 'no outcome'}: ${message.replaceAll(/[0-9.:]+/g, '#').slice(0, 160)}`)
      if (details?.outcome !== 'nothing_changed') {
        operations.push({ ...asked, call, ret: Number.POSITIVE_INFINITY, out: null })
        incarnation++
        held = null
      }
    }
    await pause(chance() * pauseMs)
  }
  if (shared === null) client.close()
}

async function told(
  { store, coordinator }: Client,
  caller: Caller,
  f: Operation['f'],
  key: string,
): Promise<NonNullable<Operation['out']>> {
  if (f === 'read') return { ok: true, by: (await store.view([key])).lease(key)?.holder.agentId ?? null }
  const target = { resource: key }
  const answer =
    f === 'acquire'
      ? await coordinator.acquire(caller, { resources: [key], ttlSecs })
      : f === 'renew'
        ? await coordinator.renew(caller, { target, ttlSecs })
        : await coordinator.release(caller, { target })
  // Who repeats a release is told that it is done; what it says of the key is that this caller does not hold it.
  if (f === 'release' && answer.ok && answer.ended.length === 0) return { ok: false }
  return asAnswer(answer)
}

function asAnswer(answer: Answer): NonNullable<Operation['out']> {
  if (answer.ok) {
    const token = answer.leases[0]?.token
    return { ok: true, again: answer.alreadyHeld, ...(token === undefined ? {} : { token }) }
  }
  const { refusal } = answer
  const blocker = 'lease' in refusal ? refusal.lease : null
  return { ok: false, ...(blocker === null ? {} : { by: blocker.holder.agentId }) }
}

/** What became of holders that renewed on schedule. */
export interface Kept {
  renewals: number
  /** Renewals that nobody answered; each is tried again at once. */
  unanswered: number
  /** The lease was somebody else's, or nobody's: must never happen. */
  lost: string[]
}

/** Holds a key of its own for as long as the test lasts, renewing every fifth of the TTL. */
export async function keep(url: string, key: string, holdSecs: number, isOver: () => boolean, kept: Kept): Promise<void> {
  const client = new Client(url)
  const caller = { holder: someone(`agent:keeper-${key}`, `s-${key}`) }
  await client.coordinator.acquire(caller, { resources: [key], ttlSecs: holdSecs })
  while (!isOver()) {
    await pause((holdSecs * 1000) / 5)
    try {
      const answer = await client.coordinator.renew(caller, { target: { resource: key } })
      if (answer.ok) kept.renewals++
      else {
        kept.lost.push(`${key}: ${answer.refusal.kind}`)
        break
      }
    } catch {
      kept.unanswered++
    }
  }
  client.close()
}

/** Tries all the time to take what others keep. */
export async function thieve(url: string, keys: readonly string[], isOver: () => boolean, stolen: string[]): Promise<void> {
  const client = new Client(url)
  for (let turn = 0; !isOver(); turn++) {
    const key = keys[turn % keys.length]!
    try {
      const answer = await client.coordinator.acquire({ holder: someone('agent:thief') }, { resources: [key], ttlSecs: 2 })
      if (answer.ok) stolen.push(key)
    } catch {
      // Nobody answered: tried again.
    }
    await pause(60)
  }
  client.close()
}
