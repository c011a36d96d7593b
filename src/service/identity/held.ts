import { closeSync } from 'node:fs'
import { isFault } from '../../core/fault.ts'
import { makePrivateDirectory, openLockFile, readJson, writeRepositoryFile } from '../../host/files.ts'
import type { Repository } from '../../host/git.ts'
import { kernelLock } from '../../host/kernel-lock.ts'
import { below, worktreeDirectory } from '../../host/paths.ts'

/** A lease that this worktree was granted. Id and token stand together: neither is ever presented with another's. */
export interface HeldEntry {
  /** Canonical key. */
  readonly resource: string
  readonly leaseId: string
  readonly token: number
  /** Whom it was granted to. Several agents may work in one worktree, and a note is proof for its own agent only. */
  readonly agentId: string
  readonly session: string | null
}

/** What the worktree remembers, newest last, by resource. */
export interface Held {
  readonly entries: ReadonlyMap<string, HeldEntry>
  /** Whose key somebody else who works here was granted since: a session that lost a lease like that has yet to hear of it. Oldest first. */
  readonly replaced: readonly HeldEntry[]
  /** Why nothing is remembered although a file is there. */
  readonly warning?: string
}

/** More leases than one worktree can sensibly have; the oldest are forgotten first. */
const maxEntries = 512
/** Sessions that never came back are not waited for. */
const maxReplaced = 64
/** How long others that change the file are waited for, milliseconds. Each needs less than one; who is stopped in between needs longer. */
const waitMs = 2000

const nothing: Held = { entries: new Map(), replaced: [] }

const heldFile = (repository: Repository): string => below(worktreeDirectory(repository.gitDir), 'held.json')

/** The leases that this worktree was granted and has not given back, as far as it knows: a reminder, no authority. Never throws. */
export function readHeld(repository: Repository): Held {
  const file = heldFile(repository)
  try {
    const content = readJson(file)
    if (content === undefined) return nothing
    return parseHeld(content) ?? { ...nothing, warning: `${file} is damaged and was ignored.` }
  } catch (error) {
    return { ...nothing, warning: `${reasonOf(error)} It was ignored.` }
  }
}

/** Remembers granted leases after the store has acknowledged them. Returns a warning instead of failing: the lease is held either way. */
export function rememberHeld(repository: Repository, granted: readonly HeldEntry[]): string | null {
  return change(repository, (entries, replaced) => {
    for (const entry of granted) {
      const known = entries.get(entry.resource)
      const isSame = known !== undefined && isOfSame(known, entry)
      if (isSame && known.leaseId === entry.leaseId && known.token === entry.token) continue
      // What the holder was given before, and lost, does not matter any more: it has the key again.
      drop(replaced, other => other.resource === entry.resource && isOfSame(other, entry))
      if (known !== undefined && !isSame && known.session !== null && known.leaseId !== entry.leaseId) replaced.push(known)
      // Deleting first moves the entry to the end: the order is the age.
      entries.delete(entry.resource)
      entries.set(entry.resource, entry)
    }
  })
}

/** Forgets leases that ended. Returns a warning instead of failing: an entry of an ended lease is refused when it is presented. */
export function forgetHeld(repository: Repository, leaseIds: readonly string[]): string | null {
  return change(repository, (entries, replaced) => {
    for (const [resource, entry] of entries) if (leaseIds.includes(entry.leaseId)) entries.delete(resource)
    drop(replaced, ({ leaseId }) => leaseIds.includes(leaseId))
  })
}

const isOfSame = (a: HeldEntry, b: HeldEntry): boolean => a.agentId === b.agentId && a.session === b.session

function drop(list: HeldEntry[], isMeant: (entry: HeldEntry) => boolean): void {
  for (let at = list.length - 1; at >= 0; at--) if (isMeant(list[at]!)) list.splice(at, 1)
}

type Edit = (entries: Map<string, HeldEntry>, replaced: HeldEntry[]) => void

function change(repository: Repository, edit: Edit): string | null {
  // Nothing new is the usual case (renew, heartbeat), and then nothing is locked or written.
  if (edited(readHeld(repository), edit) === null) return null
  try {
    makePrivateDirectory(worktreeDirectory(repository.gitDir), repository.shared)
    return exclusively(repository, () => {
      // Others may have written meanwhile.
      const before = readHeld(repository)
      const text = edited(before, edit)
      if (text !== null) writeRepositoryFile(heldFile(repository), text, repository.shared)
      return before.warning ?? null
    })
  } catch (error) {
    return `${heldFile(repository)} could not be written, so this lease's id and token must be presented by hand or by its holder: ${reasonOf(error)}`
  }
}

/** The file after an edit; null when that changes nothing. */
function edited(before: Held, edit: Edit): string | null {
  const after = new Map(before.entries)
  const replaced = [...before.replaced]
  edit(after, replaced)
  const isSame = isEqual([...before.entries.values()], [...after.values()]) && isEqual(before.replaced, replaced)
  if (before.warning === undefined && isSame) return null
  return print([...after.values()].slice(-maxEntries), replaced.slice(-maxReplaced))
}

/**
 * Runs `work` while nobody else here changes the file. The lock has a file of its own, which stays: what is locked must not be replaced.
 * The kernel frees it with its process. Throws when it is not to be had.
 */
function exclusively<T>(repository: Repository, work: () => T): T {
  const file = below(worktreeDirectory(repository.gitDir), 'held.lock')
  const descriptor = openLockFile(file, repository.shared)
  try {
    // Counted, because a clock would have to be loaded first, also by those who need not wait.
    for (let waitedMs = 0; !kernelLock().tryExclusive(descriptor); waitedMs++) {
      if (waitedMs > waitMs) throw new Error(`others change it, for more than ${waitMs / 1000} s; its lock is ${file}`)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
    return work()
  } finally {
    closeSync(descriptor)
  }
}

const isEqual = (a: readonly HeldEntry[], b: readonly HeldEntry[]): boolean =>
  a.length === b.length && a.every((entry, at) => entry === b[at])

function print(entries: readonly HeldEntry[], replaced: readonly HeldEntry[]): string {
  const noted = ({ leaseId, token, agentId, session }: HeldEntry) => ({ lease_id: leaseId, token, agent_id: agentId, session })
  const document = {
    schema_version: 1,
    entries: Object.fromEntries(entries.map(entry => [entry.resource, noted(entry)] as const)),
    ...(replaced.length === 0 ? {} : { replaced: replaced.map(entry => ({ resource: entry.resource, ...noted(entry) })) }),
  }
  return `${JSON.stringify(document)}\n`
}

/** All or nothing: a file with one strange entry was not written by us. */
function parseHeld(content: unknown): Held | null {
  const { schema_version, entries, replaced = [] } = recordOf(content) ?? {}
  const listed = recordOf(entries)
  if (schema_version !== 1 || listed === null || !Array.isArray(replaced)) return null
  const parsed = Object.entries(listed).map(([resource, value]) => parseEntry(resource, value))
  const others = replaced.map(value => parseEntry(recordOf(value)?.['resource'], value))
  if (![...parsed, ...others].every(entry => entry !== null)) return null
  return { entries: new Map(parsed.map(entry => [entry!.resource, entry!])), replaced: others as HeldEntry[] }
}

function parseEntry(resource: unknown, value: unknown): HeldEntry | null {
  const { lease_id: leaseId, token, agent_id: agentId, session } = recordOf(value) ?? {}
  const isWhole =
    typeof resource === 'string' &&
    typeof leaseId === 'string' &&
    typeof agentId === 'string' &&
    typeof token === 'number' &&
    Number.isSafeInteger(token) &&
    token > 0 &&
    (session === null || typeof session === 'string')
  return isWhole ? { resource, leaseId, token, agentId, session } : null
}

const recordOf = (value: unknown): Record<string, unknown> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null

const reasonOf = (error: unknown): string => (isFault(error) || error instanceof Error ? error.message : String(error))
