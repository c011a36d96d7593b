import { usage } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { leaseIdIn } from '../claim/proof.ts'
import type { Workspace } from '../claim/workspace.ts'
import type { Claim } from './spelling.ts'

// What is to be claimed, as it is spelled. Where there are no tickets, nothing is loaded that knows of them.

/**
 * What a claim of these words is to be, as every command takes it: canonical keys, each once, a ticket by its full id. Throws `not_found` for
 * a ticket that is not there, `policy` for one that is over or blocked, and `usage` for what is no resource.
 */
export async function claimOf(workspace: Workspace, words: readonly string[]): Promise<Claim> {
  if (words.some(({ length }) => length === ulidLength)) await refuseLeases(workspace, words)
  const resources = [...new Set(words.map(word => workspace.resource(word)))]
  if (!workspace.mayHaveTickets || !resources.some(key => key.startsWith('ticket:'))) return { resources, branch: null }
  const { claimOfKeys } = await import('./spelling.ts')
  return claimOfKeys(workspace, resources)
}

/** What the lease with this id is or was of; null for what is no lease's id. */
export async function leasedBy(workspace: Workspace, text: string): Promise<string | null> {
  const leaseId = text.length === ulidLength ? leaseIdIn(text) : null
  if (leaseId === null) return null
  const view = await workspace.coordinator.view()
  const lease = view.byLeaseId(leaseId)
  if (lease !== null) return lease.resource
  for await (const { operation } of workspace.store.history()) {
    const at = 'leaseIds' in operation ? operation.leaseIds.indexOf(leaseId) : -1
    if (at >= 0 && 'resources' in operation) return operation.resources[at] ?? null
  }
  return null
}

const ulidLength = 26

/** Throws `usage` for the id of a lease: taken as a ticket's it would be claimed, and keep nobody from anything. */
async function refuseLeases(workspace: Workspace, texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    // oxlint-disable-next-line no-await-in-loop -- hardly ever one
    const leased = text.length === ulidLength ? await leasedBy(workspace, text) : null
    if (leased === null) continue
    throw usage(
      `${text} is the id of a lease on ${leased}, and no resource`,
      `to go on with that lease: lh claim renew ${text}; to take what it is of: lh claim acquire ${shellWord(leased)}`,
    )
  }
}
