import type { EngineLeases } from './leases.ts'
import { boundSecs } from './timing.ts'

/** As often as any holder renews: five times in its TTL. Milliseconds. */
const everyMs = (boundSecs * 1000) / 5

/**
 * Keeps alive what is bound to this process, for as long as the process is there: on files a kernel lock does that without being asked.
 * It knows nothing of the work, so it protects nothing by itself: who works under a lease still watches its own deadline.
 */
export class Heart {
  readonly #engine: EngineLeases
  readonly #beating = new Map<string, { engineLease: string; readonly timer: NodeJS.Timeout }>()

  constructor(engine: EngineLeases) {
    this.#engine = engine
  }

  /** From now on. Nothing is renewed before the first lease of it is known. */
  start(live: string): void {
    const timer = setInterval(() => {
      const { engineLease } = this.#beating.get(live) ?? { engineLease: '' }
      // What fails is tried again at the next beat; an engine lease that ended is nobody's any more.
      if (engineLease !== '') this.#engine.renew(engineLease).catch(() => undefined)
    }, everyMs)
    this.#beating.set(live, { engineLease: '', timer: timer.unref() })
  }

  /** The leases that are bound to `live` have this engine lease now. */
  follow(live: string, engineLease: string): void {
    const beat = this.#beating.get(live)
    if (beat !== undefined) beat.engineLease = engineLease
  }

  stop(live: string): void {
    clearInterval(this.#beating.get(live)?.timer)
    this.#beating.delete(live)
  }

  close(): void {
    for (const live of this.#beating.keys()) this.stop(live)
  }
}
