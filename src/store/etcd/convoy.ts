import { isFault } from '../../core/fault.ts'
import { codes, isEngineError } from './gateway.ts'
import type { Gateway } from './gateway.ts'
import type { NestedRequest, TxnAnswer } from './messages.ts'
import { revisionOf } from './messages.ts'
import { places } from './positions.ts'

// The callers of one process travel together: who comes while others are on their way joins those who also wait, and they go as one
// transaction. Each has a transaction of its own inside it (etcd nests them), with its own compares and its own answer, so nobody is
// refused because of another; what costs is one proposal, one sync and one request for all of them.

/** One command's transaction. */
export interface Traveller {
  /**
   * What it reads or writes. Etcd evaluates the compares of all before it does anything of any, so those who share something never travel
   * together. Null: it shares more than can be named, and goes alone.
   */
  readonly about: ReadonlySet<string> | null
  /** What it sends from this place; asked once. */
  request(place: number): NestedRequest
}

/** What became of it. */
export interface Arrived {
  readonly succeeded: boolean
  readonly responses: TxnAnswer['responses']
  readonly revision: number
  readonly place: number
  /** It was sent more than once: where it was refused, an earlier sending may have been what it was refused for. */
  readonly mayBeDone: boolean
}

/** Somebody who waits to be sent. */
interface Waiting {
  readonly traveller: Traveller
  readonly resolve: (arrived: Arrived) => void
  readonly reject: (error: unknown) => void
}

interface Boarded extends Waiting {
  readonly request: NestedRequest
  readonly place: number
}

/** Transactions on their way before others wait to go together. */
const maxUnderWay = 2

/** Who has waited so long goes whatever is under way: a member that hangs holds up those it was asked for, and nobody else. Milliseconds. */
const patienceMs = 100

/** Operations of one command in company: all of them together are fewer than a page of the history, and than etcd takes along one path. */
const maxOperations = 60

/** Characters of the values of one command in company: etcd takes 1.5 MiB in one request. */
const maxCharacters = 30_000

/** Sends the transactions of one process. */
export class Convoy {
  readonly #gateway: Gateway
  #waiting: Waiting[] = []
  #underWay = 0
  #isSoon = false
  #late: NodeJS.Timeout | null = null

  constructor(gateway: Gateway) {
    this.#gateway = gateway
  }

  /** Throws what the gateway throws; with `outcome: unknown` this one may have happened, whoever else it travelled with. */
  send(traveller: Traveller): Promise<Arrived> {
    if (traveller.about === null) return this.#alone(traveller.request(0), 0, false)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ traveller, resolve, reject })
      this.#goSoon()
    })
  }

  /** Not at once: who was answered together asks again together. */
  #goSoon(): void {
    if (this.#isSoon) return
    this.#isSoon = true
    setImmediate(() => {
      this.#isSoon = false
      this.#go()
    })
  }

  #go(): void {
    while (this.#waiting.length > 0 && this.#underWay < maxUnderWay) void this.#depart()
    if (this.#waiting.length === 0) return
    this.#late ??= setTimeout(() => {
      this.#late = null
      while (this.#waiting.length > 0) void this.#depart()
    }, patienceMs)
  }

  async #depart(): Promise<void> {
    const together = this.#boarded()
    this.#underWay++
    try {
      await this.#travel(together)
    } finally {
      this.#underWay--
      clearTimeout(this.#late ?? undefined)
      this.#late = null
      if (this.#waiting.length > 0) this.#goSoon()
    }
  }

  /** Those who can go together, in the order in which they came; the others stay in front. */
  #boarded(): readonly Boarded[] {
    const boarded: Boarded[] = []
    const left: Waiting[] = []
    const taken = new Set<string>()
    for (const waiting of this.#waiting) {
      const about = waiting.traveller.about!
      const isFree = boarded.length < places && ![...about].some(name => taken.has(name))
      // Who stays keeps what they are about from those who came later.
      for (const name of about) taken.add(name)
      if (!isFree) left.push(waiting)
      else {
        const place = boarded.length
        const request = waiting.traveller.request(place)
        if (isSmall(request)) boarded.push({ ...waiting, request, place })
        else this.#alone(request, place, false).then(waiting.resolve, waiting.reject)
      }
    }
    this.#waiting = left
    return boarded
  }

  async #travel(together: readonly Boarded[]): Promise<void> {
    const [first] = together
    if (first === undefined) return
    if (together.length === 1) return this.#alone(first.request, first.place, false).then(first.resolve, first.reject)
    const success = together.map(({ request }) => ({ request_txn: request }))
    try {
      const { answer, mayBeDone } = await this.#ask({ success })
      const revision = revisionOf(answer)
      for (const [index, { resolve, place }] of together.entries()) {
        const { succeeded = false, responses } = answer.responses?.[index]?.response_txn ?? {}
        resolve({ succeeded, responses, revision, place, mayBeDone })
      }
    } catch (error) {
      // Etcd's own "no" is about one of them, such as an engine lease that has ended: nothing was done of any, and each asks for itself.
      if (isOwnNo(error))
        await Promise.all(together.map(({ request, place, resolve, reject }) => this.#alone(request, place, true).then(resolve, reject)))
      else for (const { reject } of together) reject(error)
    }
  }

  async #alone(request: NestedRequest, place: number, wasSent: boolean): Promise<Arrived> {
    const { answer, mayBeDone } = await this.#ask(request)
    const { succeeded = false, responses } = answer
    return { succeeded, responses, revision: revisionOf(answer), place, mayBeDone: mayBeDone || wasSent }
  }

  /** A compared transaction may be sent again when its answer was lost: it happens once, and then the second one is refused. */
  async #ask(request: object): Promise<{ readonly answer: TxnAnswer; readonly mayBeDone: boolean }> {
    const send = () => this.#gateway.call<TxnAnswer>('/v3/kv/txn', request, { changes: true })
    try {
      const { body, resent } = await send()
      return { answer: body, mayBeDone: resent }
    } catch (error) {
      if (!isFault(error) || error.details?.['outcome'] !== 'unknown') throw error
      const second = await send().catch(() => null)
      if (second === null) throw error
      return { answer: second.body, mayBeDone: true }
    }
  }
}

const isOwnNo = (error: unknown): boolean => Object.values(codes).some(code => isEngineError(error, code))

function isSmall({ compare, success, failure }: NestedRequest): boolean {
  if (Math.max(compare.length, success.length, failure.length) > maxOperations) return false
  let characters = 0
  for (const step of success) if ('request_put' in step) characters += step.request_put.value.length
  return characters <= maxCharacters
}
