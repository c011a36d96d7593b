import { Fault, isFault, notFound, policy } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Lease } from '../../core/lease.ts'
import { isExpired } from '../../core/lease.ts'
import { kindOf, nameOf, printable } from '../../core/resource.ts'
import { holderToWire } from '../../core/wire.ts'
import type { Wire } from '../../core/wire.ts'
import type { Workspace } from '../claim/workspace.ts'
import { claimSet } from '../identity/purpose.ts'
import { branchOf } from '../../host/base-commit.ts'
import type { Catalogue } from './catalogue.ts'
import { Desk, keyOf, olderLease } from './desk.ts'
import type { Blocker } from './readiness.ts'

// Claims of tickets: which ticket is meant, and may it be claimed? Loaded only where there are tickets.

/**
 * The key of a ticket that is spelled in any way. Throws `usage` for an ambiguous spelling, and `not_found` unless the log knows it:
 * what is held can be looked at and ended although its ticket is gone.
 */
export async function ticketKey(workspace: Workspace, key: string): Promise<string> {
  const { catalogue } = new Desk(workspace)
  const id = await idOf(catalogue, key)
  if (id === nameOf(key)) return key
  const view = await workspace.coordinator.view()
  // One that was taken by this name before there was such a ticket is to be ended by it.
  if (typeof id === 'string') return view.lease(key) !== null && view.lease(keyOf(id)) === null ? key : keyOf(id)
  if (view.lease(key) === null && view.past(key) === null) throw id
  return key
}

/** The id that a key spells; its name where there are no tickets at all; the fault where there are others. */
async function idOf(catalogue: Catalogue, key: string): Promise<string | Fault> {
  try {
    return await catalogue.resolve(nameOf(key))
  } catch (error) {
    if (!isFault(error) || error.code !== 'not_found') throw error
    return catalogue.present ? error : nameOf(key)
  }
}

/** What a claim of these keys is to be: each ticket by its full id, and the branch that its work is done on. */
export interface Claim {
  readonly resources: readonly string[]
  /** Null when no ticket is among them, or none is checked out. */
  readonly branch: string | null
}

/** Resolves the tickets among the keys. Throws `not_found`, and `policy` for one that is over or blocked, naming what blocks it. */
export async function claimOfKeys(workspace: Workspace, keys: readonly string[]): Promise<Claim> {
  const desk = new Desk(workspace)
  const resources: string[] = []
  for (const key of keys) {
    // oxlint-disable-next-line no-await-in-loop -- hardly ever more than one
    resources.push(...(isTicket(key) ? claimSet(workspace.repository, await claimable(desk, key)) : [key]))
  }
  return { resources: [...new Set(resources)], branch: keys.some(isTicket) ? branchOf(workspace.repository.gitDir) : null }
}

const isTicket = (key: string): boolean => kindOf(key) === 'ticket'

async function claimable(desk: Desk, key: string): Promise<string> {
  const id = await idOf(desk.catalogue, key)
  if (typeof id !== 'string') throw notFound(id.message, `${id.hint}; what is no ticket is claimed with a kind, such as env:${nameOf(key)}`)
  if (desk.catalogue.locate(id) !== null) await refuseUnclaimable(desk, id)
  return keyOf(id)
}

/** Throws `policy` for a ticket that is over, or that waits for another. One that is held is for the lease to refuse, or to renew. */
export async function refuseUnclaimable(desk: Desk, id: string): Promise<void> {
  const view = await desk.view()
  const lease = view.lease(keyOf(id))
  if (lease !== null && !isExpired(lease, view.now)) return
  const older = olderLease(view, id)
  if (older !== null) throw heldByName(id, older)
  const ticket = await desk.sound(id)
  const { claimable: may, blockers, over, reasons } = await desk.readiness(ticket)
  if (may) return
  const [first] = blockers
  throw policy(
    `${id} cannot be claimed: ${printable(reasons[0] ?? 'it is not ready')}`,
    over !== null || first === undefined ? `to work on it once more: lh ticket reopen ${id} --reason "…"` : wayOut(id, first),
  )
}

/**
 * What `lh why` says of a ticket that nobody holds, and that nobody may claim all the same; of others what it said.
 */
export async function explainUnclaimable(workspace: Workspace, document: Wire): Promise<Wire> {
  const desk = new Desk(workspace)
  const id = nameOf(String(document['resource']))
  if (desk.catalogue.locate(id) === null) return document
  try {
    await refuseUnclaimable(desk, id)
    return document
  } catch (error) {
    if (!isFault(error)) throw error
    const isHeld = error.code === 'held'
    const [command] = (isHeld ? /lh why .*/ : /(?:lh|git) [^;]+/).exec(error.hint ?? '') ?? [`lh ticket show ${id}`]
    return {
      ...document,
      evidence: [...(document['evidence'] as readonly string[]), error.message],
      frees_when: isHeld ? 'when that lease ends' : 'not by itself: nobody holds it, and nobody can claim it as it is',
      next: command,
    }
  }
}

/** It cannot be waited for: that would be for another key. */
function heldByName(id: string, { resource, leaseId, token, holder }: Lease): Fault {
  const who = printable(`${holder.agentId} (${holder.worktreeId})`)
  return new Fault('held', `${id} is held by ${who} as ${resource}, since before there was that ticket`, {
    hint: `its holder gives it back: lh claim release ${shellWord(resource)} --lease ${leaseId} --token ${token}; see: lh why ${shellWord(resource)}`,
    details: { kind: 'held', resource, lease_id: leaseId, token, holder: holderToWire(holder) },
  })
}

const wayOut = (id: string, { id: other, branch }: Blocker): string =>
  branch === undefined
    ? `finish that one first: lh ticket show ${other}; or take the dependency away: lh ticket depend ${id} --on ${other} --remove`
    : `bring that work here first: git merge ${shellWord(branch)}`
