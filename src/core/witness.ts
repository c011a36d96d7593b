// What proves that somebody lives: a process that can be looked for, and a lock that ends with it.

/** A process that can be proven dead: only when boot and both namespaces equal those of whoever looks. */
export interface Witness {
  readonly host: string
  readonly bootId: string
  /** Inode of `/proc/self/ns/pid`, or the platform's word for "there is only one". */
  readonly pidNs: string
  /** Inode of `/proc/self/ns/time`: another time namespace shows another start for the same pid. */
  readonly timeNs: string
  readonly pid: number
  /** Start time in clock ticks since boot (field 22 of `/proc/PID/stat`). */
  readonly pidStartTicks: number
}

/** A hold that ends by itself when a process ends: the name of its liveness lock, which that process and its children keep. */
export interface Binding {
  readonly live: string
}
