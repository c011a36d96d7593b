import type { Witness } from '../../core/lease.ts'
import type { HeldEntry } from '../identity/held.ts'
import type { Memo, PathLease } from './memo.ts'
import type { Repository } from './workspaces.ts'

/** The leases of one workspace; the door knows how to open its store. */
export interface Leases {
  renew(
    entries: readonly HeldEntry[],
    memo: Memo,
    stretchMs: number | null,
    restore: boolean,
  ): Promise<{ readonly memo: Memo; readonly lost: readonly string[] }>
  take(files: readonly string[], ttlMs: number): Promise<{ readonly taken: readonly PathLease[]; readonly refused: string | null }>
  release(memo: Memo): Promise<void>
  /** What says who writes a file that this is true of; null: nobody else does. */
  othersIn(isMeant: (file: string) => boolean): Promise<string | null>
}

/** Whose leases. */
export interface Party {
  readonly agentId: string
  readonly session: string
  readonly witness: Witness | null
  readonly waitMs: number
}

export type OpenLeases = (repository: Repository, env: NodeJS.ProcessEnv, party: Party) => Promise<Leases>
