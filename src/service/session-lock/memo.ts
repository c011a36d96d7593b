import { join } from 'node:path'
import type { Repository } from '../../host/git.ts'
import { worktreeDirectory } from '../../host/paths.ts'
import { readHeld, type HeldEntry } from '../identity/held.ts'
import { readOwn, removeOwn, writeOwn, type LockDirectory } from './binding.ts'
import { computeWorkspaceHash } from './lock.ts'
import { logEndIn, type LogEnd } from './log-end.ts'
import { md5Hex } from './md5.ts'
import type { Clk } from './record.ts'

// What hooks of one session remember of its leases in one workspace: when to renew again, what the agent was already told, and in path
// scope which files it has. A cache and a throttle: without it leases are renewed too often, and nothing else.

/** Files that are leased for one tool call. */
export const maxTaken = 32

/** A file that this session has for itself. */
export interface PathLease {
  readonly resource: string
  readonly leaseId: string
  readonly token: number
}

/** A lease whose time was stretched for a long command, and what it was before. */
export interface Stretched {
  readonly leaseId: string
  readonly ttlSecs: number
}

export interface Memo {
  /** The moment from which leases are to be renewed again, and how long after the last renewal that is. */
  readonly due: (Clk & { readonly span: number }) | null
  /** Leases that `due` takes into account, by id. */
  readonly known: readonly string[]
  /** Where the log ended then; null: there is none on this machine. */
  readonly log: LogEnd | null
  /** Leases that were lost, by id, and whose loss the agent was told. */
  readonly told: readonly string[]
  /** What the agent has to be told at its next write. */
  readonly lost: readonly string[]
  readonly stretched: readonly Stretched[]
  readonly paths: readonly PathLease[]
  /** The session stopped and works on in the background: its leases are renewed for it. */
  readonly background: boolean
}

export const emptyMemo: Memo = { due: null, known: [], log: null, told: [], lost: [], stretched: [], paths: [], background: false }

const memoName = (session: string): RegExp => new RegExp(`^session-leases-[0-9a-f]{12}-${md5Hex(session).slice(0, 12)}\\.json$`)

/** Where it is kept. */
export const memoFile = (directory: LockDirectory, root: string, session: string): string =>
  join(directory.path, `session-leases-${computeWorkspaceHash(root)}-${md5Hex(session).slice(0, 12)}.json`)

/** What the process that keeps a session's leases has locked while it runs. Once it is removed, that process ends at its next look. */
export const keeperFile = (directory: LockDirectory, session: string): string =>
  join(directory.path, `session-keeper-${md5Hex(session).slice(0, 12)}.lock`)

/** What is remembered; nothing when it cannot be read. */
export function readMemo(file: string): Memo {
  try {
    const { due, known, log, told, lost, stretched, paths, background } = JSON.parse(readOwn(file) ?? '{}') as Partial<Memo>
    return {
      due: typeof due?.b === 'string' && typeof due.m === 'number' && typeof due.span === 'number' ? due : null,
      known: textsIn(known),
      log: logEndIn(log),
      told: textsIn(told),
      lost: textsIn(lost),
      stretched: Array.isArray(stretched)
        ? stretched.filter(item => typeof item?.leaseId === 'string' && typeof item.ttlSecs === 'number')
        : [],
      paths: Array.isArray(paths)
        ? paths.filter(item => typeof item?.resource === 'string' && typeof item.leaseId === 'string' && typeof item.token === 'number')
        : [],
      background: background === true,
    }
  } catch {
    return emptyMemo
  }
}

const textsIn = (value: unknown): readonly string[] => (Array.isArray(value) ? value.filter(item => typeof item === 'string') : [])

/** Is any of these leases to be renewed now? One that was taken since the last time may be shorter than all others. */
export const isDue = ({ due, known }: Memo, entries: readonly HeldEntry[], clk: Clk | null): boolean =>
  due === null || due.b !== clk?.b || clk.m >= due.m || entries.some(({ leaseId }) => !known.includes(leaseId))

/** Remembers it; to be used under the lock of the directory. */
export const writeMemo = (file: string, root: string, session: string, memo: Memo): void =>
  writeOwn(file, JSON.stringify({ schema_version: 1, session_id: session, workspace: root, ...memo }))

/** Each workspace for which a session has a memo: its file and its top. */
export function memosOf(directory: LockDirectory, session: string): readonly { readonly file: string; readonly root: string }[] {
  const pattern = memoName(session)
  return directory
    .names()
    .filter(name => pattern.test(name))
    .flatMap(name => {
      const file = join(directory.path, name)
      try {
        const { workspace } = JSON.parse(readOwn(file) ?? '{}') as { workspace?: unknown }
        return typeof workspace === 'string' ? [{ file, root: workspace }] : []
      } catch {
        return []
      }
    })
}

export const removeMemo = removeOwn

/** The leases that these sessions were granted in a worktree and have not given back, lost or not. Leases without a session are nobody's that a hook could speak for. */
export function leasesOf(repository: Repository, sessions: ReadonlySet<string>): readonly HeldEntry[] {
  // One look at the disk for the many who hold nothing.
  const text = readOwn(join(worktreeDirectory(repository.gitDir), 'held.json'))
  if (text === null || ![...sessions].some(session => text.includes(JSON.stringify(session)))) return []
  const { entries, replaced } = readHeld(repository)
  return [...replaced, ...entries.values()].filter(({ session }) => session !== null && sessions.has(session))
}
