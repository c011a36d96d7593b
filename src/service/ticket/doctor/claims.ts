import { join } from 'node:path'
import { shellWord } from '../../../core/shell-word.ts'
import type { Lease } from '../../../core/lease.ts'
import { isOver } from '../../../core/ownership.ts'
import type { Reading } from '../../../store/store.ts'
import { maxTicketBytes, ticketsDirectory } from '../files.ts'
import { slugInId } from '../identify.ts'
import { wasReopened } from '../readiness.ts'
import type { Ticket } from '../ticket.ts'
import { isFinished } from '../ticket.ts'
import type { Diagnosis } from './finding.ts'
import { error, info, warning } from './finding.ts'
import type { Yaml } from './front-matter.ts'
import type { Elsewhere, Known, Lines } from './links.ts'
import { Window } from './window.ts'
import type { Place } from './worktrees.ts'

// Whether the log and the tickets say the same.

const kind = 'ticket:'

/** A lease that a command takes for the moment is no claim. Seconds. */
const momentSecs = 60

/** Live leases of tickets, by ticket id. What time or a death has ended is as good as gone. */
export function claimsOf(reading: Reading): ReadonlyMap<string, Lease> {
  const claims = new Map<string, Lease>()
  for (const lease of reading.all()) {
    if (!lease.resource.startsWith(kind) || isOver(lease, reading)) continue
    if (lease.ttlSecs > 0 && lease.ttlSecs <= momentSecs) continue
    claims.set(lease.resource.slice(kind.length), lease)
  }
  return claims
}

interface Situation {
  readonly known: ReadonlyMap<string, Known>
  readonly elsewhere: Elsewhere
  readonly lines: Lines
  readonly reading: Reading
  readonly claims: ReadonlyMap<string, Lease>
  /** The repository's worktrees by id. */
  readonly places: ReadonlyMap<string, Place>
  /** Id of this worktree. */
  readonly here: string | null
  readonly otherClones: boolean
  /** False: of worktrees that Git does not know any more somebody else speaks. */
  readonly worktreesToo: boolean
  readonly yaml: () => Promise<Yaml>
}

/** Claims of tickets that are gone, over, or held from a worktree that is gone. */
export async function claimFaults(situation: Situation): Promise<readonly Diagnosis[]> {
  const faults: Diagnosis[] = []
  for (const [id, lease] of situation.claims) {
    const gone = worktreeGone(lease, situation)
    if (gone !== null) faults.push(gone)
    const fault = await claimFault(id, lease, situation)
    if (fault !== null) faults.push(fault)
  }
  return faults
}

const whose = ({ resource, holder }: Lease): string => `${resource} is held by ${holder.agentId}`

/** Is it held from where nobody here can look? */
const isOfAnotherClone = ({ holder }: Lease, { places, otherClones }: Situation): boolean => otherClones && !places.has(holder.worktreeId)

function worktreeGone(lease: Lease, situation: Situation): Diagnosis | null {
  const { places, worktreesToo } = situation
  const { worktreeId } = lease.holder
  const place = places.get(worktreeId)
  if (place === undefined ? !worktreesToo || isOfAnotherClone(lease, situation) : place.present) return null
  return warning(
    'claim-worktree-gone',
    { file: null },
    `${whose(lease)} in the worktree ${worktreeId}, which ${place === undefined ? 'does not exist any more' : `is gone from ${place.root}`}`,
    `lh claim evict ${shellWord(lease.resource)} --reason 'its worktree is gone'`,
  )
}

async function claimFault(id: string, lease: Lease, situation: Situation): Promise<Diagnosis | null> {
  const { known, elsewhere, lines, here, reading } = situation
  const there = await copyOfHolder(id, lease, situation)
  const mine = known.get(id)
  if (there === null && mine === undefined && !elsewhere.has(id)) {
    if (isOfAnotherClone(lease, situation)) return null
    const later = [...known.keys()].find(each => slugInId(each) === id)
    return error(
      'claim-on-missing-ticket',
      { file: null },
      later === undefined
        ? `${whose(lease)}, and there is no such ticket`
        : `${whose(lease)}, since before there was ${later}, which nobody can claim meanwhile`,
      `lh claim release ${shellWord(lease.resource)}, or: lh claim evict ${shellWord(lease.resource)} --reason 'there is no such ticket'`,
    )
  }
  // The holder works with its own copy; what it says counts.
  const ticket = there ?? mine?.ticket ?? null
  if (ticket === null || mine?.guessed === true || !isFinished(ticket) || wasReopened(ticket, reading.past(lease.resource))) return null
  const place =
    mine === undefined
      ? { file: null }
      : { file: mine.file, line: lines.ofKey(mine, ticket.status === 'closed' ? 'status' : 'workflow_state') }
  const word = ticket.status === 'closed' ? 'closed' : 'done'
  if (word === 'done' && lease.holder.worktreeId === here)
    return warning(
      'done-half',
      place,
      `it is done, and ${whose(lease)} still: the last step is missing`,
      `lh ticket done ${id}, by the holder`,
    )
  return error(
    'claim-on-closed-ticket',
    place,
    `it is ${word}, and ${whose(lease)}`,
    `lh claim release ${shellWord(lease.resource)}, or: lh claim evict ${shellWord(lease.resource)} --reason 'it is ${word}'`,
  )
}

const window = new Window()

/** The ticket as the holder's worktree has it, where that is another one; null when it has none. */
async function copyOfHolder(id: string, { holder }: Lease, { places, here, yaml }: Situation): Promise<Ticket | null> {
  const place = places.get(holder.worktreeId)
  if (place?.present !== true || place.id === here) return null
  const text = window.read(join(ticketsDirectory(place.root), id, 'ticket.md'), maxTicketBytes)
  return typeof text === 'string' ? null : (await yaml()).parseTicket(text.toString('utf8'), id).ticket
}

/** What `ticket start` gives as the reason of its claim. */
const startReason = /^(?:ticket )?start\b/

/** A started ticket that nobody works on, or a claim that should have started it. Of this worktree's copies only. */
export function* startFaults(
  known: Known,
  startedAt: string | null,
  { claims, lines, here }: Pick<Situation, 'claims' | 'lines' | 'here'>,
): Generator<Diagnosis> {
  const { ticket, file } = known
  const lease = claims.get(ticket.id)
  const place = { file, line: 0 }
  const at = (): typeof place => ({ ...place, line: lines.ofKey(known, 'workflow_state') })
  if (ticket.workflowState === 'inprogress' && !isFinished(ticket) && lease === undefined) {
    const who = ticket.assignee === null ? '' : ` by ${ticket.assignee}`
    yield info(
      'assignee-without-claim',
      at(),
      `it was started${who} (${startedAt ?? ticket.updatedAt}), and nobody holds it now`,
      `to go on with it: lh ticket start ${ticket.id}; to give it back: lh ticket queue ${ticket.id}`,
    )
  }
  if (lease === undefined || lease.holder.worktreeId !== here || isFinished(ticket) || ticket.workflowState === 'inprogress') return
  if (lease.reason !== null && startReason.test(lease.reason))
    yield warning(
      'started-half',
      at(),
      `${whose(lease)} to start it, but its workflow_state is ${ticket.workflowState}: the last step is missing`,
      `lh ticket start ${ticket.id}, by the holder`,
    )
}
