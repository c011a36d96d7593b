import { usage } from '../../core/fault.ts'
import type { Target } from '../../core/command.ts'
import type { Lease } from '../../core/lease.ts'
import { leaseIdIn } from '../../service/claim/proof.ts'
import { leasedBy } from '../../service/ticket/claim-words.ts'
import type { Context } from './command.ts'
import type { FileWorkspace } from './open.ts'

// What a spelling on the command line means. Where there are no tickets, nothing is loaded that knows of them.

/**
 * The canonical key of a resource that may be held, or may have been; where a lease is named, by its whole id or the beginning of a live one's, of
 * what that is or was of.
 */
export async function resourceOf(workspace: FileWorkspace, text: string): Promise<string> {
  return (await leasedBy(workspace, text)) ?? (await leaseBegun(workspace, text))?.resource ?? spelled(workspace, text)
}

async function spelled(workspace: FileWorkspace, text: string): Promise<string> {
  const key = workspace.resource(text)
  if (!key.startsWith('ticket:') || !workspace.mayHaveTickets) return key
  const { ticketKey } = await import('../../service/ticket/spelling.ts')
  return ticketKey(workspace, key)
}

/** A command's `<lease|resource>` argument. */
export async function targetOf(workspace: FileWorkspace, text: string): Promise<Target> {
  const leaseId = leaseIdIn(text) ?? (await leaseBegun(workspace, text))?.leaseId
  return leaseId === undefined ? { resource: await spelled(workspace, text) } : { leaseId }
}

/**
 * Four characters or more of a lease id, which begins with a digit, in capitals: folding cases would cost a pattern more than all else that it
 * does. A word that anything else than a lease could be is looked up no further.
 */
const leaseBeginning = /^[0-7][0-9A-HJKMNP-TV-Z]{3,24}$/

/** The one live lease whose id begins so; null where there is none. Throws `usage` where several do, or a ticket of that name is held. */
async function leaseBegun(workspace: FileWorkspace, text: string): Promise<Lease | null> {
  const beginning = text.toUpperCase()
  if (!leaseBeginning.test(beginning)) return null
  const view = await workspace.coordinator.view()
  const found = [...view.all()].filter(({ leaseId }) => leaseId.startsWith(beginning))
  const [first] = found
  if (first === undefined) return null
  const ticket = view.lease(`ticket:${text.toLowerCase()}`)
  const meant = [...found.map(({ leaseId, resource }) => `${leaseId} (${resource})`), ...(ticket === null ? [] : [ticket.resource])]
  if (meant.length > 1) throw usage(`"${text}" can mean ${meant.join(', ')}`, 'write more of it, or a ticket as ticket:<id>')
  return first
}

/** What may not be what was meant is said, and claimed all the same. */
export async function warnOfDoubt({ positionals, directory, output }: Context, workspace: FileWorkspace): Promise<void> {
  const { root } = workspace.repository
  const isPlain = (text: string): boolean =>
    !text.includes(':') || /^(?:ticket|env|branch|port):/.test(text) || (text.startsWith('path:') && directory === root)
  if (positionals.every(isPlain)) return
  const { doubtOf } = await import('../../service/claim/doubt.ts')
  for (const text of positionals) {
    const doubt = doubtOf(text, workspace.resource(text), directory, root)
    if (doubt !== null) output.warn(doubt)
  }
}
