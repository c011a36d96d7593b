import { usage } from './fault.ts'

/** Numbers a repository may choose. */
export interface Policy {
  /** Seconds; used when a command names none. */
  readonly ttlSecs: number
  /** Seconds of silence after which an indefinite lease shows as stale. */
  readonly staleSecs: number
  readonly maxIndefinitePerAgent: number
  readonly maxIndefinitePerRepo: number
}

/** Bounds that nobody may change. */
export const bounds = {
  minTtlSecs: 1,
  maxTtlSecs: 30 * 86_400,
  maxReservationSecs: 60,
  maxResources: 32,
  maxTextBytes: 2048,
  maxOpIdLength: 128,
} as const

export const defaultPolicy: Policy = { ttlSecs: 1800, staleSecs: 3600, maxIndefinitePerAgent: 2, maxIndefinitePerRepo: 10 }

/** Makes a policy; throws `usage` for one that could never work, so that a setting is refused and not ignored. */
export function makePolicy(chosen: Partial<Policy>): Policy {
  const policy = { ...defaultPolicy, ...chosen }
  if (!isTtl(policy.ttlSecs) || policy.ttlSecs === 0) throw usage(`the default ttl must be ${ttlRange}, not ${policy.ttlSecs} s`)
  if (!(policy.staleSecs >= 0)) throw usage(`stale_after must be a duration, 0 for never, not ${policy.staleSecs} s`)
  for (const [name, value] of [
    ['max_indefinite_leases_per_agent', policy.maxIndefinitePerAgent],
    ['max_indefinite_leases_per_repo', policy.maxIndefinitePerRepo],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 0 || value > 1000)
      throw usage(`${name} must be a whole number from 0 to 1000, not ${value}`)
  }
  return policy
}

/** In words, for messages. */
export const ttlRange = 'from 1s to 30d'

/** A TTL that a lease may have: 0 (indefinite) or 1 s to 30 d. */
export const isTtl = (secs: number): boolean =>
  secs === 0 || (Number.isFinite(secs) && secs >= bounds.minTtlSecs && secs <= bounds.maxTtlSecs)
