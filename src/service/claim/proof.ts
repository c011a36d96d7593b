import { existsSync } from 'node:fs'
import type { Target } from '../../core/command.ts'
import type { Holder, Lease } from '../../core/lease.ts'
import type { Presented } from '../../core/refusal.ts'
import { isUlid } from '../../core/ulid.ts'
import { usage } from '../../core/fault.ts'
import { forgetHeld, readHeld, rememberHeld } from '../identity/held.ts'
import { leasedText, markLeased, unmark } from '../identity/mark.ts'
import { worktreeKey } from '../identity/purpose.ts'
import { readWorktree } from '../identity/worktree.ts'
import type { Workspace } from './workspace.ts'

// What a caller shows to prove that a lease is theirs, in this order: flags, the environment that `exec` and `launch` set, then what this
// worktree noted when its lease was granted. Whatever is found first has to match; identity does not rescue an old token.

/** The lease id that a text is, in either case; null when it names a resource. */
export const leaseIdIn = (text: string): string | null => (isUlid(text.toUpperCase()) ? text.toUpperCase() : null)

/** Where `exec` puts the token for what it runs. */
export const tokenVariable = 'LEASEHOLD_TOKEN'

export interface ProofFlags {
  readonly token?: string | undefined
  readonly lease?: string | undefined
}

/** Reads a `--token`, or what else `name` says it is. Throws `usage` for anything but a positive whole number. */
export function parseToken(text: string, name = '--token'): number {
  const token = Number(text)
  if (/^\d{1,15}$/.test(text) && token > 0) return token
  throw usage(`${name} must be a positive whole number, not "${text}"`, 'the token is shown by: lh claim list')
}

/** The proof for a target. */
export function proofFor(workspace: Workspace, target: Target, flags: ProofFlags, env: NodeJS.ProcessEnv, holder: Holder): Presented {
  if (flags.token !== undefined || flags.lease !== undefined) {
    return { leaseId: flags.lease?.toUpperCase() ?? null, token: flags.token === undefined ? null : parseToken(flags.token) }
  }
  return fromEnvironment(target, env) ?? fromNotes(workspace, target, holder)
}

/** `exec` names its resources too, so that its token is not shown for something else that its child asks about. */
function fromEnvironment(target: Target, env: NodeJS.ProcessEnv): Presented | null {
  const { LEASEHOLD_TOKEN: token, LEASEHOLD_LEASE: lease, LEASEHOLD_RESOURCES: resources, LEASEHOLD_LEASES: leases } = env
  if (token === undefined || token === '') return null
  const meant =
    'leaseId' in target
      ? lease === undefined || lease === target.leaseId
      : resources === undefined || resources.split('\n').includes(target.resource)
  if (!meant) return null
  const presented = parseToken(token, tokenVariable)
  if ('leaseId' in target) return { leaseId: null, token: presented }
  if (resources?.includes('\n') !== true) return { leaseId: lease ?? null, token: presented }
  // Several have a lease id each; the token is the same for all of them.
  const line = resources.split('\n').indexOf(target.resource)
  return { leaseId: leases?.split('\n')[line] || null, token: presented }
}

/**
 * What a command that takes several keys shows for those that its environment names; nothing where it names none of them. There is one
 * token, so one lease id of its ownership is enough.
 */
export function shownFor(keys: readonly string[], env: NodeJS.ProcessEnv): { readonly presented?: Presented } {
  for (const resource of keys) {
    const presented = fromEnvironment({ resource }, env)
    if (presented?.leaseId) return { presented }
  }
  return {}
}

/**
 * What this worktree noted is shown only by the agent and session that it was granted to: others who work here have no part in it. An
 * eviction by somebody else leaves the note, which is how a holder learns that it lost the lease and not merely that nobody has it.
 */
function fromNotes(workspace: Workspace, target: Target, holder: Holder): Presented {
  if ('leaseId' in target) return { leaseId: null, token: null }
  const entry = readHeld(workspace.repository).entries.get(target.resource)
  return entry === undefined || entry.agentId !== holder.agentId || entry.session !== holder.sessionId
    ? { leaseId: null, token: null }
    : { leaseId: entry.leaseId, token: entry.token }
}

/** Notes what was granted. Returns a warning when that was not possible; the lease is held all the same. */
export function noteHeld(workspace: Workspace, leases: readonly Lease[]): string | null {
  const own = leases.find(isOf(workspace))
  if (own !== undefined)
    markLeased(workspace.repository, leasedText(own.holder.agentId, own.group?.resources.find(isTicket) ?? own.resource))
  return rememberHeld(
    workspace.repository,
    leases.map(({ resource, leaseId, token, holder }) => ({
      resource,
      leaseId,
      token,
      agentId: holder.agentId,
      session: holder.sessionId,
    })),
  )
}

const isTicket = (key: string): boolean => key.startsWith('ticket:')

/** Is this the lease on the worktree itself, which Git's own tools are to see? */
const isOf =
  ({ repository }: Workspace) =>
  ({ resource }: Lease): boolean =>
    resource.startsWith('worktree:') && resource === worktreeKey(readWorktree(repository).worktreeId)

/** Forgets what its holder has given away. */
export function noteEnded(workspace: Workspace, leases: readonly Lease[]): string | null {
  // What a worktree remembered is gone with it: an agent may have finished its work and removed the place that it worked in.
  if (leases.length === 0 || !existsSync(workspace.repository.gitDir)) return null
  if (leases.some(isOf(workspace))) unmark(workspace.repository)
  return forgetHeld(
    workspace.repository,
    leases.map(({ leaseId }) => leaseId),
  )
}
