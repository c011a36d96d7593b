import type { Lease } from '../../core/lease.ts'

// A lease of T seconds is three quarters engine lease and one quarter guard: when the engine says that the holder is silent, which it may
// say too early (after a pause of the leader it ends leases that were renewed), a holder that renews every T/5 speaks again within the
// guard. So a wrong word of the engine alone never takes a claim from anybody.

/** How long a holder may be silent, as the engine and the guard are told; tests make both exact. */
export interface Timing {
  /** Seconds that the engine lease of a beat lasts; null where silence means nothing. */
  engineSecs(lease: Pick<Lease, 'ttlSecs' | 'staleSecs'>): number | null
  /** Seconds between the first suspicion and the eviction. */
  guardSecs(ttlSecs: number): number
}

/** Shortest engine lease and shortest guard, seconds: etcd looks at leases twice a second, and an election takes longer than one. */
const shortestSecs = 2

/** Added to an engine lease, a hundredth of the TTL: one that was renewed a moment ago is not renewed again for the next claim that it carries. */
const slackSecs = (secs: number): number => Math.max(1, Math.ceil(secs / 100))

/** How long a renewal of an engine lease of so many seconds is a moment ago, milliseconds: about half of its slack. */
export const momentMs = (engineSecs: number): number => Math.max(500, engineSecs * 5)

export const realTiming: Timing = {
  engineSecs({ ttlSecs, staleSecs }) {
    if (ttlSecs > 0) return Math.max(shortestSecs, Math.ceil(ttlSecs * 0.75)) + slackSecs(ttlSecs)
    return staleSecs > 0 ? Math.max(shortestSecs, Math.ceil(staleSecs)) + slackSecs(staleSecs) : null
  },
  guardSecs: ttlSecs => Math.max(shortestSecs, Math.ceil(ttlSecs / 4)),
}

/** Most that a lease lasts which ends with its process, seconds: nobody can prove a death to another machine, so it is kept short and renewed. */
export const boundSecs = 12
