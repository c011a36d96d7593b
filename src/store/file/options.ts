import type { Clock } from '../../host/clock.ts'
import type { Disk } from '../../host/disk.ts'
import type { KernelLock } from '../../host/kernel-lock.ts'
import type { FixedLimits } from './directory.ts'
import type { Noted } from './noted.ts'
import type { Retention } from './rotate.ts'

/** What a file store is told when it is opened. */
export interface FileStoreOptions {
  /** Absolute; made by the first write, in a directory that exists. */
  readonly directory: string
  readonly clock: Clock
  readonly disk: Disk
  readonly lock: KernelLock
  /** Type of a directory's file system, as `statfs` says. */
  readonly fileSystemType: (directory: string) => number
  /** Git's `core.sharedRepository`: the group may read and write. */
  readonly shared: boolean
  /** How long to wait for the store's lock, milliseconds. */
  readonly lockWaitMs: number
  readonly retention: Retention
  /** Fixed when the store is made. Where the caller chose one of them and the store has another, it refuses. */
  readonly limits: FixedLimits
  readonly limitsChosen: readonly (keyof FixedLimits)[]
  readonly allowUnsafeFs: boolean
  /** A process that stays keeps the state in memory; one that ends soon looks each key up in the index. */
  readonly resident: boolean
  /** The leases that have to be here; absent where nobody has noted that yet. */
  readonly noted?: Noted
}
