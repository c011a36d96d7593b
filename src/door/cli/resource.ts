import type { Target } from '../../core/command.ts'
import { leaseIdIn } from '../../service/claim/proof.ts'
import type { FileWorkspace } from './open.ts'

// What a spelling on the command line means. Where there are no tickets, nothing is loaded that knows of them.

/** The canonical key of a resource that may be held, or may have been. */
export async function resourceOf(workspace: FileWorkspace, text: string): Promise<string> {
  const key = workspace.resource(text)
  if (!key.startsWith('ticket:') || !workspace.mayHaveTickets) return key
  const { ticketKey } = await import('../../service/ticket/spelling.ts')
  return ticketKey(workspace, key)
}

/** A command's `<lease|resource>` argument. */
export async function targetOf(workspace: FileWorkspace, text: string): Promise<Target> {
  const leaseId = leaseIdIn(text)
  return leaseId === null ? { resource: await resourceOf(workspace, text) } : { leaseId }
}

/** Resources that are to be claimed, each once. Throws where a ticket among them may not be. */
export async function claimedResources(
  workspace: FileWorkspace,
  texts: readonly string[],
): Promise<{ readonly resources: readonly string[]; readonly branch: string | null }> {
  const resources = [...new Set(texts.map(text => workspace.resource(text)))]
  if (!workspace.mayHaveTickets || !resources.some(key => key.startsWith('ticket:'))) return { resources, branch: null }
  const { claimOf } = await import('../../service/ticket/spelling.ts')
  return claimOf(workspace, resources)
}
