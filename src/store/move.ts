import type { Lease, Past } from '../core/lease.ts'
import type { Entry } from '../core/operation.ts'
import type { Session } from '../core/session.ts'
import type { Clocks } from './state.ts'

// Moving leases from one store to another: what both ends have to be able to do. Types only: the service that moves knows no concrete store.

/** The leases, as they go from one store to another. */
export interface Moving {
  /** Identity of this set of leases; it stays the same wherever they are. */
  readonly space: string
  readonly limits: { readonly max_indefinite_leases_per_agent: number; readonly max_indefinite_leases_per_repo: number }
  /** The largest position that was given: the new store's are larger. */
  readonly lastSeq: number
  /** The state before the first record that is kept. */
  readonly base: Base
  /** Everything that is known of the past, oldest first. */
  readonly entries: readonly Entry[]
  /** Keys that somebody holds who was heard of in time: they get a whole TTL from now. */
  readonly alive: ReadonlySet<string>
  /** Leases that end with a process of this machine, and keys that are held for a launch in flight: those cannot be moved. */
  readonly bound: readonly string[]
}

/** A state without the records that made it. */
export interface Base {
  readonly seq: number
  readonly clocks: Clocks
  readonly leases: readonly Lease[]
  readonly pasts: readonly Past[]
  readonly sessions: readonly Session[]
}

/** What a store says of moving. Stores are named as the setting `store` names them. */
export type Standing =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'in-use'; readonly space: string }
  /** Nobody may write here. While `done` is false the leases are still these, and the move can be given up. */
  | { readonly kind: 'leaving'; readonly space: string; readonly to: string; readonly done: boolean }
  /** Nobody may write here yet. */
  | { readonly kind: 'arriving'; readonly space: string; readonly from: string }

/** One end of a move. Each step may be repeated, and is durable when it resolves. */
export interface MoveEnd {
  standing(): Promise<Standing>
  /** From now on nobody writes here: `leaving`, not done. */
  freeze(to: string): Promise<void>
  /** What is to be moved; only after `freeze`. */
  read(): Promise<Moving>
  /** The new store has everything: `leaving`, done. */
  seal(to: string): Promise<void>
  /** The move is given up. */
  thaw(): Promise<void>
  /** Writes it all: `arriving`. What was here before goes. */
  receive(moving: Moving, from: string): Promise<void>
  /** From now on these are the leases: `in-use`. */
  open(): Promise<void>
}

/** How a store in which leases are on their way says so; it is written into the store. */
export interface MoveMark {
  readonly to?: string
  readonly from?: string
  readonly done?: boolean
  /** The set of leases that it is about, as far as it was known. */
  readonly space?: string
  /** Nothing was moved: these leases were never here. */
  readonly chosen?: boolean
}
