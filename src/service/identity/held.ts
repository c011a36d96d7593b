import { join } from 'node:path'
import { isFault } from '../../core/fault.ts'
import { makePrivateDirectory, readJson, writeFileAtomic } from '../../host/files.ts'
import type { Repository } from '../../host/git.ts'
import { worktreeDirectory } from '../../host/paths.ts'

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
  /** Why nothing is remembered although a file is there. */
  readonly warning?: string
}

/** More leases than one worktree can sensibly have; the oldest are forgotten first. */
const maxEntries = 512

const heldFile = (repository: Repository): string => join(worktreeDirectory(repository.gitDir), 'held.json')

/** The leases that this worktree was granted and has not given back, as far as it knows: a reminder, no authority. Never throws. */
export function readHeld(repository: Repository): Held {
  const file = heldFile(repository)
  try {
    const content = readJson(file)
    if (content === undefined) return { entries: new Map() }
    const entries = parseHeld(content)
    return entries === null ? { entries: new Map(), warning: `${file} is damaged and was ignored.` } : { entries }
  } catch (error) {
    return { entries: new Map(), warning: `${reasonOf(error)} It was ignored.` }
  }
}

/**
 * Remembers granted leases after the store has acknowledged them. Returns a warning instead of failing: the lease is held either way.
 * Two commands at the same moment may lose one's entry (it then falls back to the holder's identity), never mix two.
 */
export function rememberHeld(repository: Repository, granted: readonly HeldEntry[]): string | null {
  return change(repository, entries => {
    for (const entry of granted) {
      const known = entries.get(entry.resource)
      if (
        known?.leaseId === entry.leaseId &&
        known.token === entry.token &&
        known.agentId === entry.agentId &&
        known.session === entry.session
      )
        continue
      // Deleting first moves the entry to the end: the order is the age.
      entries.delete(entry.resource)
      entries.set(entry.resource, entry)
    }
  })
}

/** Forgets leases that ended. Returns a warning instead of failing: an entry of an ended lease is refused when it is presented. */
export function forgetHeld(repository: Repository, leaseIds: readonly string[]): string | null {
  return change(repository, entries => {
    for (const [resource, entry] of entries) if (leaseIds.includes(entry.leaseId)) entries.delete(resource)
  })
}

function change(repository: Repository, edit: (entries: Map<string, HeldEntry>) => void): string | null {
  const file = heldFile(repository)
  const before = readHeld(repository)
  const after = new Map(before.entries)
  edit(after)
  const known = [...before.entries.values()]
  // Nothing new is the usual case (renew, heartbeat), and then nothing is written.
  if (before.warning === undefined && known.length === after.size && [...after.values()].every((entry, at) => entry === known[at]))
    return null
  try {
    makePrivateDirectory(worktreeDirectory(repository.gitDir), repository.shared)
    writeFileAtomic(file, print([...after.values()].slice(-maxEntries)), repository.shared ? 0o660 : 0o600)
    return before.warning ?? null
  } catch (error) {
    return `${file} could not be written, so this lease's id and token must be presented by hand or by its holder: ${reasonOf(error)}`
  }
}

function print(entries: readonly HeldEntry[]): string {
  const byResource = entries.map(
    entry => [entry.resource, { lease_id: entry.leaseId, token: entry.token, agent_id: entry.agentId, session: entry.session }] as const,
  )
  return `${JSON.stringify({ schema_version: 1, entries: Object.fromEntries(byResource) })}\n`
}

/** All or nothing: a file with one strange entry was not written by us. */
function parseHeld(content: unknown): Map<string, HeldEntry> | null {
  const { schema_version, entries } = recordOf(content) ?? {}
  const listed = recordOf(entries)
  if (schema_version !== 1 || listed === null) return null
  const parsed = new Map<string, HeldEntry>()
  for (const [resource, value] of Object.entries(listed)) {
    const { lease_id: leaseId, token, agent_id: agentId, session } = recordOf(value) ?? {}
    if (
      typeof leaseId !== 'string' ||
      typeof agentId !== 'string' ||
      typeof token !== 'number' ||
      !Number.isSafeInteger(token) ||
      token < 1
    )
      return null
    if (session !== null && typeof session !== 'string') return null
    parsed.set(resource, { resource, leaseId, token, agentId, session })
  }
  return parsed
}

const recordOf = (value: unknown): Record<string, unknown> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null

const reasonOf = (error: unknown): string => (isFault(error) || error instanceof Error ? error.message : String(error))
