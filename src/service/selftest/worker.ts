import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from '../../coordinator.ts'
import { Coordinator } from '../../coordinator.ts'
import { isFault } from '../../core/fault.ts'
import type { Lease } from '../../core/lease.ts'
import { makePolicy } from '../../core/policy.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'
import { kernelLock } from '../../host/kernel-lock.ts'
import { bootId, hostname } from '../../host/process.ts'
import type { CrashableStore, OpenStore, Order, Report } from './order.ts'
import { breakVariable, settingsOf, ttlSecs } from './order.ts'

/** How often a round does what. */
const odds = { count: 0.15, several: 0.1, wait: 0.25, renew: 0.3, linger: 0.3, forget: 0.004 }

/** After so many failures of the store a process stops: it has made its point. */
const maxFaults = 10

/** One of the processes of `lh selftest`; ends when its standard input does, or is killed. */
export async function work(order: Order, env: NodeJS.ProcessEnv, open: OpenStore): Promise<number> {
  const lock = new WatchedLock(env[breakVariable] === 'lock' ? noLock : kernelLock())
  if (order.role === 'hold') return holdForever(order, lock)
  return new Hammer(order, lock, open({ ...settingsOf(order), lock })).run()
}

/** At once and into the kernel: what is reported survives the death of whoever reports it. */
function report(line: Report): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
  for (let done = 0; done < bytes.length;) {
    try {
      done += fs.writeSync(1, bytes, done)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') process.exit(3)
    }
  }
}

const noLock: KernelLock = {
  tryExclusive: () => true,
  tryShared: () => true,
  waitExclusive: () => Promise.resolve(),
  unlock: () => undefined,
}

/** The real lock, and how long the longest wait for it was. */
class WatchedLock implements KernelLock {
  longestMs = 0
  readonly #lock: KernelLock

  constructor(lock: KernelLock) {
    this.#lock = lock
  }

  tryExclusive(fd: number): boolean {
    return this.#lock.tryExclusive(fd)
  }

  tryShared(fd: number): boolean {
    return this.#lock.tryShared(fd)
  }

  async waitExclusive(fd: number): Promise<void> {
    const from = performance.now()
    await this.#lock.waitExclusive(fd)
    const ms = performance.now() - from
    if (ms <= this.longestMs) return
    this.longestMs = ms
    report({ is: 'waited', ms: Math.round(ms * 10) / 10 })
  }

  unlock(fd: number): void {
    this.#lock.unlock(fd)
  }
}

async function holdForever({ counter }: Order, lock: KernelLock): Promise<number> {
  const fd = fs.openSync(counter, 'a+')
  if (!lock.tryExclusive(fd)) await lock.waitExclusive(fd)
  report({ is: 'held' })
  for await (const _ of process.stdin) continue
  return 0
}

/** Monotonic, and the same for all processes. */
const sharedMs = (): number => Number(process.hrtime.bigint() / 1000n) / 1000

const chance = (probability: number): boolean => Math.random() < probability

/** Acquires, renews and releases a few keys that everybody wants, as fast as it can. */
class Hammer {
  readonly #order: Order
  readonly #lock: WatchedLock
  readonly #store: CrashableStore
  readonly #coordinator: Coordinator
  readonly #counter: number
  #told: 'go on' | 'tear' | 'end' = 'go on'

  constructor(order: Order, lock: WatchedLock, store: CrashableStore) {
    this.#order = order
    this.#lock = lock
    this.#store = store
    this.#coordinator = new Coordinator(store, makePolicy({ ttlSecs }), `${hostname()}/${bootId()}`)
    this.#counter = fs.openSync(order.counter, 'r+')
  }

  async run(): Promise<number> {
    process.stdin.setEncoding('utf8').on('data', (text: string) => (this.#told = text.includes('end') ? 'end' : 'tear'))
    process.stdin.on('end', () => process.exit(3))
    report({ is: 'ready' })
    for (let faults = 0; this.#told !== 'end' && faults < maxFaults;) {
      try {
        if (this.#told === 'tear') await this.#tear()
        else await (chance(odds.count) ? this.#count() : this.#round())
      } catch (error) {
        if (isFault(error) && error.code === 'timeout') report({ is: 'no', why: 'timeout' })
        else {
          faults++
          report({ is: 'fault', message: error instanceof Error ? error.message : String(error) })
          await sleep(20)
        }
      }
      // Orders arrive between two turns of the event loop.
      await new Promise(setImmediate)
    }
    return 0
  }

  async #round(): Promise<void> {
    const { agentId } = this.#order
    const caller = { holder: { agentId, worktreeId: 'wt:5e1f7e57', sessionId: null, witness: null } }
    const resources = [this.#key(), ...(chance(odds.several) ? [this.#key()] : [])]
    const waiting = chance(odds.wait) ? { waitMs: 50 + Math.random() * 200 } : {}
    const lease = await this.#noted('acquire', () => this.#coordinator.acquire(caller, { resources, ttlSecs, ...waiting }))
    if (lease === null) {
      await sleep(Math.random() * 4)
      return
    }
    const proof = { target: { resource: lease.resource }, presented: { leaseId: lease.leaseId, token: lease.token } }
    if (chance(odds.linger)) await sleep(Math.random() * 8)
    if (chance(odds.renew) && (await this.#noted('renew', () => this.#coordinator.renew(caller, proof))) === null) return
    if (!chance(odds.forget)) await this.#noted('release', () => this.#coordinator.release(caller, proof))
  }

  #key(): string {
    return `selftest:key-${Math.floor(Math.random() * this.#order.keys)}`
  }

  async #noted(op: 'acquire' | 'renew' | 'release', ask: () => Promise<Answer>): Promise<Lease | null> {
    const asked = sharedMs()
    const answer = await ask()
    const answered = sharedMs()
    if (!answer.ok) {
      report({ is: 'no', why: answer.refusal.kind })
      return null
    }
    const leases = op === 'release' ? answer.ended : answer.leases
    const { agentId } = this.#order
    const told = leases.map(({ resource, token }) => ({ resource, token }))
    report({ is: 'ack', op, opId: answer.opId, seqs: answer.seqs, leases: told, agentId, asked, answered })
    return leases[0] ?? null
  }

  /** Adds one to a number in a file, in steps that only a lock makes safe, and looks whether anybody else was there meanwhile. */
  async #count(): Promise<void> {
    const fd = this.#counter
    if (!this.#lock.tryExclusive(fd)) await this.#lock.waitExclusive(fd)
    try {
      const bytes = Buffer.alloc(32)
      fs.readSync(fd, bytes, 0, 32, 0)
      const count = Number(bytes.toString('latin1', 0, 16))
      fs.writeSync(fd, String(process.pid).padEnd(16), 16)
      for (const until = performance.now() + 0.05; performance.now() < until;) continue
      fs.readSync(fd, bytes, 16, 16, 16)
      const inside = Number(bytes.toString('latin1', 16, 32))
      fs.writeSync(fd, String(count + 1).padEnd(16), 0)
      report({ is: 'counted', intruder: inside === process.pid ? null : inside })
    } finally {
      this.#lock.unlock(fd)
    }
  }

  /** What a crash in the midst of a write leaves: half a record without its end, and a lock whose owner is gone. */
  #tear(): Promise<never> {
    return this.#store.exclusively('selftest: tear', fd => {
      const record = JSON.stringify({
        schema_version: 1,
        seq: 1,
        prev: '0'.repeat(16),
        at: new Date().toISOString(),
        op: 'acquire',
        resource: this.#key(),
        agent: this.#order.agentId,
      })
      const bytes = fs.writeSync(fd, record.slice(0, 1 + Math.floor(Math.random() * (record.length - 1))))
      report({ is: 'torn', bytes })
      for (;;) process.kill(process.pid, 'SIGKILL')
    })
  }
}
