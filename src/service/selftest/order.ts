import type { KernelLock } from '../../host/kernel-lock.ts'
import type { Store } from '../../store/store.ts'
import type { StoreSettings } from '../claim/workspace.ts'

/** A store whose lock and log can be had raw, to do what a crash does. */
export interface CrashableStore extends Store {
  exclusively<T>(label: string, work: (fd: number) => T): Promise<T>
}

export type OpenStore = (settings: StoreSettings & { readonly lock?: KernelLock }) => CrashableStore

/** The variable that turns `lh selftest` into one of its own processes. */
export const orderVariable = 'LEASEHOLD_TEST_SELFTEST_WORKER'

/** For tests of the test: `lock` makes the lock of these processes do nothing. */
export const breakVariable = 'LEASEHOLD_TEST_BREAK'

/** What one process is told to do. */
export interface Order {
  /** Use the store as hard as possible, or only take a lock and keep it. */
  readonly role: 'hammer' | 'hold'
  readonly agentId: string
  readonly store: string
  /** A file for counting under a lock of its own. */
  readonly counter: string
  readonly keys: number
  readonly resident: boolean
  readonly unsafe: boolean
}

/** What it reports, one line of JSON each. Written before anything else happens, so that a kill cannot take it back. */
export type Report =
  | { readonly is: 'ready' }
  | { readonly is: 'held' }
  /** The store said yes. `seqs` are the records it said are durable. */
  | {
      readonly is: 'ack'
      readonly op: 'acquire' | 'renew' | 'release'
      readonly opId: string
      readonly seqs: readonly number[]
      /** What it is about. One answer can have several tokens: some of the keys were held already. */
      readonly leases: readonly { readonly resource: string; readonly token: number }[]
      readonly agentId: string
      /** When it was asked and when it was answered: milliseconds of the clock that all processes of this machine share. */
      readonly asked: number
      readonly answered: number
    }
  /** The store said no, as it should. */
  | { readonly is: 'no'; readonly why: string }
  /** One more counted under the lock; `intruder` when somebody else was in there too. */
  | { readonly is: 'counted'; readonly intruder: number | null }
  /** Half a record is in the log, and now this process dies with the lock in its hand. */
  | { readonly is: 'torn'; readonly bytes: number }
  /** The store failed: it should not. */
  | { readonly is: 'fault'; readonly message: string }
  | { readonly is: 'waited'; readonly ms: number }

export const ttlSecs = 1

/** Longer than any pause, so that only a lock that is lost for good makes the store busy. */
export const lockWaitMs = 20_000

/** Small segments: the log is rotated in the midst of it all. */
export const segmentBytes = 192 * 1024

export const settingsOf = ({ store, resident, unsafe }: Pick<Order, 'store' | 'resident' | 'unsafe'>): StoreSettings => ({
  directory: store,
  shared: false,
  lockWaitMs,
  retention: { segmentBytes, maxAgeMs: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY },
  limits: { max_indefinite_leases_per_agent: 2, max_indefinite_leases_per_repo: 10 },
  limitsChosen: [],
  allowUnsafeFs: unsafe,
  resident,
})
