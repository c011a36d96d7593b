import { execFileSync } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import type { Janitor } from './janitor.ts'

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** Can this process make networks? It needs root, and a kernel with namespaces, veth and bridges. */
export function canMakeNetworks(): boolean {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return false
  const name = `lh-can-${randomBytes(3).toString('hex')}`
  try {
    ip('netns', 'add', name)
    ip('-n', name, 'link', 'add', 'name', 'sw0', 'type', 'bridge')
    ip('-n', name, 'link', 'add', 'name', 'end0', 'type', 'veth', 'peer', 'name', 'end1')
    return true
  } catch {
    return false
  } finally {
    try {
      ip('netns', 'del', name)
    } catch {
      // It was never made.
    }
  }
}

/** A machine as the network sees it: a namespace with one cable. */
export interface Machine {
  readonly name: string
  readonly address: string
  /** What to put in front of a program that is to run there. */
  readonly through: readonly string[]
}

/**
 * Machines on one switch, made of network namespaces; the test itself is plugged in too. `split` is a real partition: cables go into a
 * second switch that has no connection to the first, and packets between the two are lost without a word. `unplug` takes the carrier away.
 */
export class Network {
  readonly #hub: string
  readonly #id = randomBytes(3).toString('hex')
  readonly #prefix = `10.${randomInt(128, 250)}.${randomInt(1, 250)}`
  readonly #janitor: Janitor
  readonly #machines = new Map<string, Machine>()

  /** The test's own. */
  readonly address = `${this.#prefix}.254`

  constructor(janitor: Janitor) {
    this.#janitor = janitor
    this.#hub = this.#namespace('hub')
    for (const bridge of ['sw0', 'sw1']) {
      ip('-n', this.#hub, 'link', 'add', 'name', bridge, 'type', 'bridge')
      ip('-n', this.#hub, 'link', 'set', bridge, 'up')
    }
    const mine = `lh${this.#id}`
    ip('link', 'add', mine, 'type', 'veth', 'peer', 'name', 'test', 'netns', this.#hub)
    ip('-n', this.#hub, 'link', 'set', 'test', 'master', 'sw0', 'up')
    ip('address', 'add', `${this.address}/24`, 'dev', mine)
    ip('link', 'set', mine, 'up')
  }

  /** Adds a machine; it is reachable at once. */
  machine(name: string): Machine {
    const namespace = this.#namespace(name)
    const address = `${this.#prefix}.${this.#machines.size + 1}`
    ip('-n', namespace, 'link', 'add', 'e0', 'type', 'veth', 'peer', 'name', name, 'netns', this.#hub)
    ip('-n', this.#hub, 'link', 'set', name, 'master', 'sw0', 'up')
    ip('-n', namespace, 'address', 'add', `${address}/24`, 'dev', 'e0')
    ip('-n', namespace, 'link', 'set', 'e0', 'up')
    ip('-n', namespace, 'link', 'set', 'lo', 'up')
    const machine = { name, address, through: ['ip', 'netns', 'exec', namespace] }
    this.#machines.set(name, machine)
    return machine
  }

  /** From now on these machines reach each other and nobody else. */
  split(names: readonly string[]): void {
    for (const name of names) ip('-n', this.#hub, 'link', 'set', name, 'master', 'sw1')
  }

  unplug(name: string): void {
    ip('-n', this.#hub, 'link', 'set', name, 'down')
  }

  /** Everybody reaches everybody again. */
  heal(): void {
    for (const name of this.#machines.keys()) ip('-n', this.#hub, 'link', 'set', name, 'master', 'sw0', 'up')
  }

  #namespace(name: string): string {
    const namespace = `lh-${this.#id}-${name}`
    this.#janitor.later(`ip netns del ${namespace}`)
    ip('netns', 'add', namespace)
    return namespace
  }
}
