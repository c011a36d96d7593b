import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Clock } from '../../src/host/clock.ts'
import { kernelLock } from '../../src/host/kernel-lock.ts'
import type { Gateway } from '../../src/store/etcd/gateway.ts'
import type { EngineLeases, Remaining } from '../../src/store/etcd/leases.ts'
import { EtcdStore } from '../../src/store/etcd/store.ts'
import type { EtcdStoreOptions } from '../../src/store/etcd/store.ts'
import { parsePlace } from '../../src/store/etcd/url.ts'
import { tightPolicy } from './cast.ts'
import { requires } from './skip.ts'

/** Does this program run here? `etcdctl` and `openssl` say their version too, each in its own way. */
export function isInstalled(program: string, ...version: readonly string[]): boolean {
  try {
    execFileSync(program, version, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export const isEtcdInstalled = isInstalled('etcd', '--version')

/** Tests with a real etcd: `needsEtcd.describe(…)`. */
export const needsEtcd = requires(isEtcdInstalled, 'needs etcd on PATH (Debian: etcd-server)')

/** A real etcd of one member on loopback, with an empty data directory. */
export interface Etcd {
  /** `127.0.0.1:port`. */
  readonly address: string
  readonly process: ChildProcess
  stop(): Promise<void>
}

/** A port that nobody uses at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

/** Starts it and waits until it answers. */
export async function startEtcd(more: readonly string[] = []): Promise<Etcd> {
  const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-etcd-'))
  const [client, peer] = [await freePort(), await freePort()]
  const [clientUrl, peerUrl] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`]
  const child = spawn(
    'etcd',
    [
      '--name',
      'one',
      '--data-dir',
      path.join(folder, 'data'),
      '--log-level',
      'error',
      '--listen-client-urls',
      clientUrl,
      '--advertise-client-urls',
      clientUrl,
      '--listen-peer-urls',
      peerUrl,
      '--initial-advertise-peer-urls',
      peerUrl,
      '--initial-cluster',
      `one=${peerUrl}`,
      ...more,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  for (const start = performance.now(); ;) {
    const healthy = await fetch(`${clientUrl}/health`).then(
      answer => answer.ok,
      () => false,
    )
    if (healthy) return { address: `127.0.0.1:${client}`, process: child, stop }
    if (child.exitCode !== null || performance.now() - start > 30_000) {
      await stop()
      throw new Error(`etcd did not start: ${said}`)
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

const noAccess = { user: null, passwordFile: null, caFile: null, certFile: null, keyFile: null }

/** A store in a space of this etcd. */
export function etcdStore(etcd: Etcd, space: string, clock: Clock, more: Partial<EtcdStoreOptions> = {}): EtcdStore {
  return new EtcdStore({
    place: parsePlace(`etcd://${etcd.address}/${space}`, 'test'),
    access: noAccess,
    clock,
    lock: kernelLock,
    localDirectory: path.join(tmpdir(), `leasehold-etcd-local-${process.pid}`),
    lockWaitMs: 10_000,
    limits: {
      max_indefinite_leases_per_agent: tightPolicy.maxIndefinitePerAgent,
      max_indefinite_leases_per_repo: tightPolicy.maxIndefinitePerRepo,
    },
    limitsChosen: [],
    ...more,
  })
}

/** How many seconds a real lease gets that must not end by itself. */
const foreverSecs = 1_000_000

/**
 * Engine leases on a clock that a test moves: etcd keeps them, and they end when the test's clock says so. Several stores of one space
 * share one. `settle` is to be called after the clock was moved and before a store is asked.
 */
export class StillLeases {
  readonly #now: () => number
  readonly #leases = new Map<string, { grantedMs: number; deadline: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  readonly open = (gateway: Gateway): EngineLeases => {
    const grant = async (id: string | null): Promise<string> =>
      (await gateway.call<{ ID: string }>('/v3/lease/grant', { ID: id ?? '0', TTL: String(foreverSecs) })).body.ID
    const renew = (id: string): boolean => {
      const lease = this.#leases.get(id)
      if (lease === undefined || this.#now() >= lease.deadline) return false
      lease.deadline = this.#now() + lease.grantedMs
      return true
    }
    return {
      ensure: async (id, ttlSecs) => {
        if (id !== null && renew(id)) return id
        // Noted first: whoever asks for the same one meanwhile finds it.
        if (id !== null) this.#leases.set(id, { grantedMs: ttlSecs * 1000, deadline: this.#now() + ttlSecs * 1000 })
        const made = await grant(id).catch(error => {
          if (id !== null && renew(id)) return id
          throw error
        })
        this.#leases.set(made, { grantedMs: ttlSecs * 1000, deadline: this.#now() + ttlSecs * 1000 })
        return made
      },
      keep: async id => void (await grant(id).catch(() => undefined)),
      renew: id => Promise.resolve(renew(id)),
      remaining: ids => {
        const left = new Map<string, Remaining>()
        for (const id of ids) {
          const lease = this.#leases.get(id)
          if (lease !== undefined) left.set(id, { grantedMs: lease.grantedMs, remainingMs: lease.deadline - this.#now() })
        }
        return Promise.resolve(left)
      },
      doubt: () => undefined,
      revoke: async id => {
        this.#leases.delete(id)
        await gateway.call('/v3/lease/revoke', { ID: id }).catch(() => undefined)
      },
    }
  }

  /** Ends what is over. */
  async settle(gateway: Gateway): Promise<void> {
    const over = [...this.#leases].filter(([, { deadline }]) => this.#now() >= deadline).map(([id]) => id)
    for (const id of over) this.#leases.delete(id)
    await Promise.all(over.map(id => gateway.call('/v3/lease/revoke', { ID: id }).catch(() => undefined)))
  }
}
