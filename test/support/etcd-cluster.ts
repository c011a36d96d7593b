import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { freePort } from './etcd.ts'
import { Janitor } from './janitor.ts'
import { Network } from './network.ts'
import type { Machine } from './network.ts'

/** One node of a cluster. */
export interface Member {
  readonly name: string
  /** `host:port` for clients. */
  readonly address: string
  /** Where it runs; null on loopback. */
  readonly machine: Machine | null
  readonly folder: string
}

export interface ClusterOptions {
  /** A folder that goes with the run. */
  readonly folder: string
  /** Each member in a network namespace of its own; needs root. */
  readonly network?: boolean
  /** A member's disk is so small, in bytes; needs root. */
  readonly disks?: Readonly<Record<string, number>>
  readonly flags?: readonly string[]
}

interface Status {
  readonly header: { readonly member_id: string; readonly revision: string }
  readonly leader?: string
  readonly raftTerm?: string
}

const names = ['m1', 'm2', 'm3'] as const

/** How long to wait for the cluster to do something, milliseconds. */
const patienceMs = 40_000

/** Resolves with what `look` finds, as soon as that is something; fails after a while. */
export async function eventually<T>(what: string, look: () => Promise<T | null> | T | null, withinMs = patienceMs): Promise<T> {
  for (const start = performance.now(); ;) {
    const found = await look()
    if (found !== null) return found
    if (performance.now() - start > withinMs) throw new Error(`waited ${withinMs} ms for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 25))
  }
}

/** Three real etcd nodes, with what can be done to them. Whatever becomes of the test, nothing of them is left. */
export class EtcdCluster {
  readonly members: readonly Member[]
  readonly network: Network | null
  readonly #options: ClusterOptions
  readonly #folder: string
  readonly #janitor: Janitor
  readonly #running = new Map<string, ChildProcess>()
  readonly #peers: ReadonlyMap<string, string>
  readonly #ids = new Map<string, string>()

  private constructor(
    options: ClusterOptions,
    folder: string,
    janitor: Janitor,
    network: Network | null,
    members: readonly Member[],
    peers: ReadonlyMap<string, string>,
  ) {
    this.#options = options
    this.#folder = folder
    this.#janitor = janitor
    this.network = network
    this.members = members
    this.#peers = peers
  }

  static async start(options: ClusterOptions): Promise<EtcdCluster> {
    const folder = realpathSync(mkdtempSync(path.join(options.folder, 'cluster-')))
    const janitor = new Janitor()
    janitor.later(`rm -rf '${folder}'`)
    const network = options.network === true ? new Network(janitor) : null
    const peers = new Map<string, string>()
    const members: Member[] = []
    for (const name of names) {
      const machine = network?.machine(name) ?? null
      const host = machine?.address ?? '127.0.0.1'
      peers.set(name, `http://${host}:${machine === null ? await freePort() : 2380}`)
      const own = path.join(folder, name)
      mkdirSync(own)
      const size = options.disks?.[name]
      if (size !== undefined) {
        janitor.later(`umount -l '${own}'`)
        execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', own])
      }
      members.push({ name, address: `${host}:${machine === null ? await freePort() : 2379}`, machine, folder: own })
    }
    // Before all else at the end: every process with this folder in its command line.
    janitor.later(`for p in /proc/[0-9]*; do grep -qaF '${folder}/m' $p/cmdline && kill -9 \${p#/proc/}; done; sleep 0.1`)
    const cluster = new EtcdCluster(options, folder, janitor, network, members, peers)
    try {
      for (const { name } of members) cluster.run(name)
      await cluster.leader()
      for (const member of members) await cluster.answering(member.name)
      return cluster
    } catch (error) {
      await cluster.close()
      throw error
    }
  }

  /** The store of a space, as the configuration names it. */
  url(space: string, members: readonly Member[] = this.members): string {
    return `etcd://${members.map(({ address }) => address).join(',')}/${space}`
  }

  member(name: string): Member {
    return this.members.find(member => member.name === name)!
  }

  others(than: Member): readonly Member[] {
    return this.members.filter(({ name }) => name !== than.name)
  }

  /** Starts a member that does not run, with the data it has. */
  run(name: string): void {
    const { address, machine, folder } = this.member(name)
    const [peer, client] = [this.#peers.get(name)!, `http://${address}`]
    const [program, ...args] = [
      ...(machine?.through ?? []),
      'etcd',
      '--name',
      name,
      '--data-dir',
      path.join(folder, 'data'),
      '--log-level=error',
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${[...this.#peers].map(([each, url]) => `${each}=${url}`).join(',')}`,
      ...(this.#options.flags ?? []),
    ]
    const child = spawn(program!, args, { stdio: 'ignore' })
    child.once('error', () => undefined)
    this.#running.set(name, child)
  }

  isRunning(name: string): boolean {
    const child = this.#running.get(name)
    return child !== undefined && child.exitCode === null && child.signalCode === null
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(name: string): Promise<void> {
    const child = this.#running.get(name)!
    if (!this.isRunning(name)) return
    const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
    child.kill('SIGKILL')
    await gone
  }

  /** SIGSTOP: it keeps its connections and says nothing. */
  stop(name: string): void {
    this.#running.get(name)!.kill('SIGSTOP')
  }

  goOn(name: string): void {
    this.#running.get(name)!.kill('SIGCONT')
  }

  /** Fills a member's disk to the last byte. */
  fill(name: string): void {
    const { folder } = this.member(name)
    const { bavail, bsize } = statfsSync(folder)
    try {
      writeFileSync(path.join(folder, 'ballast'), Buffer.alloc(bavail * bsize))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }

  /** Makes room again. */
  empty(name: string): void {
    rmSync(path.join(this.member(name).folder, 'ballast'), { force: true })
  }

  /** Who leads, as most members say in the newest term that any of them knows; one of those that were asked. */
  async leader(among: readonly Member[] = this.members): Promise<Member> {
    return eventually('a leader', async () => {
      const said = (await Promise.all(among.map(member => this.status(member)))).filter(status => status !== null)
      const term = Math.max(...said.map(({ raftTerm }) => Number(raftTerm ?? 0)))
      const newest = said.filter(({ raftTerm, leader = '0' }) => Number(raftTerm) === term && leader !== '0')
      const name = newest.length >= 2 ? this.#ids.get(newest[0]!.leader!) : undefined
      return among.find(member => member.name === name) ?? null
    })
  }

  /** Resolves when this member answers and knows a leader. */
  async answering(name: string): Promise<void> {
    await eventually(`${name} to answer`, async () => {
      const status = await this.status(this.member(name))
      return status === null || (status.leader ?? '0') === '0' ? null : true
    })
  }

  /** What a member says of itself; null when it says nothing within a second. */
  async status(member: Member): Promise<Status | null> {
    const status = await this.call<Status>(member, '/v3/maintenance/status', {})
    if (status !== null) this.#ids.set(status.header.member_id, member.name)
    return status
  }

  /** One call of etcd's own, past our client. */
  async call<T>({ address }: Member, route: string, request: object): Promise<T | null> {
    try {
      const signal = AbortSignal.timeout(1000)
      const answer = await fetch(`http://${address}${route}`, { method: 'POST', body: JSON.stringify(request), signal })
      return answer.ok ? ((await answer.json()) as T) : null
    } catch {
      return null
    }
  }

  /** Everything runs again and is reachable, as at the beginning. */
  async mend(): Promise<void> {
    this.network?.heal()
    for (const { name } of this.members) {
      if (this.isRunning(name)) this.goOn(name)
      else this.run(name)
    }
    await this.leader()
    for (const { name } of this.members) await this.answering(name)
  }

  /** Ends the nodes and takes away all that was made for them. */
  async close(): Promise<void> {
    await this.#janitor.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
