import { codes, isEngineError } from './gateway.ts'
import type { Gateway } from './gateway.ts'
import { momentMs } from './timing.ts'

/** How much of an engine lease is left. */
export interface Remaining {
  readonly remainingMs: number
  readonly grantedMs: number
}

/** The engine's own leases: they carry beats and guards, never an ownership. Ids are decimal, as etcd's JSON has them. */
export interface EngineLeases {
  /** A lease that lasts so long from now: a new one, or the one with this id, made or renewed. */
  ensure(id: string | null, ttlSecs: number): Promise<string>
  /** A lease with this id is there from now on, renewed or not. */
  keep(id: string, ttlSecs: number): Promise<void>
  /** False: it is gone. */
  renew(id: string): Promise<boolean>
  /** What is left of each; those that are gone are missing. */
  remaining(ids: Iterable<string>): Promise<ReadonlyMap<string, Remaining>>
  /** These may be gone, whatever was known of them. */
  doubt(ids: readonly string[]): void
  /** Ends it; quiet when that fails, for it ends by itself. */
  revoke(id: string): Promise<void>
}

/** A renewal that is not answered in time is asked of the next member: a paused one would hold it for as long as its pause. */
const renewTimeoutMs = 1000

/** Requests at the same time. */
const parallel = 16

export class RealLeases implements EngineLeases {
  readonly #gateway: Gateway
  /** Until when each was renewed a moment ago: the claims of one session share one, and it need not be renewed for each of them. */
  readonly #freshUntil = new Map<string, number>()
  /** What is being asked now, and since when. */
  readonly #asked = new Map<string, { readonly at: number; readonly answer: Promise<string> }>()

  constructor(gateway: Gateway) {
    this.#gateway = gateway
  }

  ensure(id: string | null, ttlSecs: number): Promise<string> {
    if (id === null) return this.#ensure(null, ttlSecs)
    // Callers of one session who ask at once ask once; what was asked longer ago than a moment says too little of now.
    const asked = this.#asked.get(id)
    if (asked !== undefined && performance.now() - asked.at < momentMs(ttlSecs)) return asked.answer
    const answer = this.#ensure(id, ttlSecs).finally(() => {
      if (this.#asked.get(id)?.answer === answer) this.#asked.delete(id)
    })
    this.#asked.set(id, { at: performance.now(), answer })
    return answer
  }

  async #ensure(id: string | null, ttlSecs: number): Promise<string> {
    if (id !== null && (await this.renew(id))) return id
    const sentAt = performance.now()
    try {
      const { body } = await this.#gateway.call<{ ID: string }>('/v3/lease/grant', { ID: id ?? '0', TTL: String(ttlSecs) })
      if (id !== null) this.#freshUntil.set(id, sentAt + momentMs(ttlSecs))
      return body.ID
    } catch (error) {
      // Somebody of the same session was faster.
      if (id !== null && isEngineError(error, codes.precondition) && (await this.renew(id))) return id
      throw error
    }
  }

  async keep(id: string, ttlSecs: number): Promise<void> {
    try {
      await this.#gateway.call('/v3/lease/grant', { ID: id, TTL: String(ttlSecs) })
    } catch (error) {
      if (!isEngineError(error, codes.precondition)) throw error
    }
  }

  async renew(id: string): Promise<boolean> {
    const sentAt = performance.now()
    if (sentAt < (this.#freshUntil.get(id) ?? 0)) return true
    // Unary: the gateway ignores all but the first message of a stream. A lease that is gone is answered without a TTL.
    const { body } = await this.#gateway.call<{ result?: { TTL?: string } }>(
      '/v3/lease/keepalive',
      { ID: id },
      { timeoutMs: renewTimeoutMs },
    )
    const secs = Number(body.result?.TTL ?? 0)
    if (secs > 0) this.#freshUntil.set(id, sentAt + momentMs(secs))
    else this.#freshUntil.delete(id)
    return secs > 0
  }

  async remaining(ids: Iterable<string>): Promise<ReadonlyMap<string, Remaining>> {
    const asked = [...new Set(ids)]
    const left = new Map<string, Remaining>()
    const work = async (): Promise<void> => {
      for (let id = asked.pop(); id !== undefined; id = asked.pop()) {
        // oxlint-disable-next-line no-await-in-loop -- a few at a time
        const { body } = await this.#gateway.call<{ TTL?: string; grantedTTL?: string }>('/v3/lease/timetolive', { ID: id })
        const secs = Number(body.TTL ?? 0)
        if (secs >= 0) left.set(id, { remainingMs: secs * 1000, grantedMs: Number(body.grantedTTL ?? 0) * 1000 })
      }
    }
    await Promise.all(Array.from({ length: Math.min(parallel, asked.length) }, work))
    return left
  }

  doubt(ids: readonly string[]): void {
    for (const id of ids) this.#freshUntil.delete(id)
  }

  async revoke(id: string): Promise<void> {
    this.#freshUntil.delete(id)
    await this.#gateway.call('/v3/lease/revoke', { ID: id }, { timeoutMs: renewTimeoutMs }).catch(() => undefined)
  }
}
