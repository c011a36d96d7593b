// The conformance suite as a library: `leasehold/testing`. What every store must do, for those who write one. It runs under vitest, and
// needs fast-check; the build puts the suite itself in this module's place (see scripts/build.mjs).
import type { Witness } from './core/lease.ts'
import type { Capabilities, Store } from './store/store.ts'

/** A fresh, empty store with a clock that the test moves. */
export interface Opened {
  readonly store: Store
  /** What proves that this process lives, where a store wants to know before it believes in a death. */
  readonly witness?: Witness
  advance(ms: number): void
  /** Closes the store and removes what it left. */
  close(): Promise<void> | void
  /** Another handle on the same place, as another process would have it. Only where the store is shared. */
  again?(): Promise<Store> | Store
}

/**
 * Declares the tests of a store. It is tested by what it declares, and it must declare what the caller says it can. Limits of indefinite
 * leases that a store fixes itself have to be two for an agent and three in all.
 */
export declare function conformance(name: string, open: () => Promise<Opened>, capabilities: Capabilities): void

export type { Capabilities, Store } from './store/store.ts'
