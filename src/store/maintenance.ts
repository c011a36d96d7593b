// What a store that keeps its log in files offers to those who look after it. Types only: doors and services know no concrete store.

/** One thing that is wrong with the log. */
export interface VerifyFault {
  /** Absolute path of the segment; null where the log is no file. */
  readonly file: string | null
  /** Where the log is no file: the name that it is about. */
  readonly key?: string
  /** 1-based; null when it is about the file as a whole. */
  readonly line: number | null
  /** Of the line, bytes. */
  readonly offset: number | null
  readonly seq: number | null
  readonly message: string
}

/** What a complete reading of the log found. */
export interface Verified {
  /** Records, those of checkpoints not counted. */
  readonly records: number
  readonly segments: number
  /** Where the log is no file: the keys that the records are about. */
  readonly keys?: number
  readonly bytes: number
  /** 0 when there is no record. */
  readonly firstSeq: number
  readonly lastSeq: number
  readonly leases: number
  /** Bytes after the last newline: an append that was cut short, never acknowledged, mended by the next writer. */
  readonly tornBytes: number
  /** The first record that only a newer version understands; what follows it is checked for its chain alone. */
  readonly foreign: { readonly seq: number; readonly op: string } | null
  /** The first ones; `moreFaults` says how many are not listed. */
  readonly faults: readonly VerifyFault[]
  readonly moreFaults: number
}

export type Progress = (doneBytes: number, totalBytes: number) => void

/** What a recovery did. */
export interface Recovered {
  /** Sentences for people; empty when all was well. */
  readonly mended: readonly string[]
  readonly cutLines: number
  readonly cutBytes: number
  /** File in `quarantine/` with the bytes that were cut. */
  readonly quarantine: string | null
  /** `none`: there is none, nor a store perhaps; `kept`: the one of before is there, or nothing of it is in files. */
  readonly index: 'rebuilt' | 'none' | 'kept'
  /** Why it could not be rebuilt. */
  readonly indexTrouble: string | null
  /** Leftover files, relative to the store. */
  readonly removed: readonly string[]
}

export type Severity = 'error' | 'warning' | 'info'

/** What `doctor` says about one thing. */
export interface Finding {
  readonly severity: Severity
  /** A short stable name, such as `log-damaged`. */
  readonly code: string
  readonly file: string | null
  /** 1-based. */
  readonly line: number | null
  readonly message: string
  /** What to do: a command where there is one. */
  readonly fix: string | null
}

export interface InspectOptions {
  /** Ids of the repository's worktrees; null when they are not known. */
  readonly worktreeIds: ReadonlySet<string> | null
}

/** How the store became another one than it was: its directory was moved or copied, or a backup of its cluster was restored. */
export type Adoption = 'moved' | 'copied' | 'restored'

export interface Adopted {
  /** False when the directory is the one that the store was made in. */
  readonly changed: boolean
  readonly space: string
  /** Where the copied log went, relative to the store; null when it was kept. */
  readonly quarantine: string | null
  /** The next record's number is larger. */
  readonly lastSeq: number
}

export interface Compacted {
  readonly bytesBefore: number
  readonly bytesAfter: number
  /** Names of the archives that it made; empty when there was no record to put away. */
  readonly archived: readonly string[]
  /** Where the log is no file: the records that were older than is wanted, and are gone. */
  readonly pruned?: number
}

/** Limits that all worktrees share; what is absent stays as it is. */
export interface LimitChange {
  readonly max_indefinite_leases_per_agent?: number
  readonly max_indefinite_leases_per_repo?: number
}

/** Looking after one store. Each method throws a `Fault` like the store's own. */
export interface Maintenance {
  /** For people: where this is. */
  readonly location: string
  /** Reads every line of the archive and the log without any lock. Memory stays flat. */
  verify(onProgress?: Progress): Promise<Verified>
  /**
   * Mends what can be mended, beside running agents. Never grants or ends a lease; with `cut` it may lose those whose records are
   * damaged, and says which. Throws `unavailable` where only `cut` would help.
   */
  recover(options: { readonly cut: boolean }): Promise<Recovered>
  /** Looks and changes nothing; never throws for what it finds. */
  inspect(options: InspectOptions): Promise<readonly Finding[]>
  /** Accepts the store as it is: `moved` and `restored` keep the leases, `copied` starts a new set without any. */
  adopt(how: Adoption): Promise<Adopted>
  /** Starts a new segment now; where the log is no file, drops what is older than `keepMs`. */
  compact(keepMs?: number): Promise<Compacted>
  /** Changes the limits in `format`; false when nothing was to change or there is no store yet. */
  setLimits(limits: LimitChange): Promise<boolean>
}
