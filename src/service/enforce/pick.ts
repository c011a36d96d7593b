import { nameOf } from '../../core/resource.ts'
import type { HeldEntry } from '../identity/held.ts'
import { ticketsIn } from './commit.ts'
import type { Trio } from './trailers.ts'

/** What a commit is made under. */
export interface Picked {
  readonly trio: Trio | null
  /** Why it is none, where a person should know. */
  readonly warning: string | null
}

export interface PickFacts {
  readonly env: NodeJS.ProcessEnv
  /** What this worktree noted, by resource. */
  readonly entries: ReadonlyMap<string, HeldEntry>
  /** The session that commits. */
  readonly session: string | null
  /** The files of tickets that are staged; asked for only when it decides. */
  readonly staged: () => readonly string[]
  /** The lease id of an ownership, where neither the environment nor a note has it. */
  readonly leaseIdOf: (resource: string, token: number) => string | null
  /** Is this ownership still the current one? Of several notes, those of lost leases stand back. */
  readonly isCurrent: (resource: string, token: number) => boolean
}

const isTicket = (resource: string): boolean => resource.startsWith('ticket:')

/**
 * The ownership whose trailers a commit gets: the environment's, else that of the session's note, else of the only note of the agent that
 * the environment names, else of the only note at all; of several the one whose ticket files are staged, else the only one that was not lost, else none. The log is never asked whose it might be.
 */
export function pickTrio(facts: PickFacts): Picked {
  const fromEnvironment = environmentCandidates(facts)
  if (fromEnvironment.length > 0) return choose(fromEnvironment, facts)
  const notes = [...facts.entries.values()]
    .filter(({ resource }) => isTicket(resource))
    .map(entry => ({ ...entry, ticket: nameOf(entry.resource) }))
  const own = notes.filter(({ session }) => session === facts.session)
  const likely = own.length > 0 ? own : notes
  const agent = facts.env['LEASEHOLD_AGENT_ID']
  if (!agent || (own.length > 0 && facts.session !== null)) return choose(likely, facts)
  // Who says who they are does not commit under the token of another agent that works here.
  const named = likely.filter(({ agentId }) => agentId === agent)
  return named.length === 0 && likely.length > 0 ? { trio: null, warning: notYours(likely, agent) } : choose(named, facts)
}

function notYours(notes: readonly (Trio & HeldEntry)[], agent: string): string {
  const held = notes.map(({ ticket, agentId }) => `${ticket} by ${agentId}`).join(', ')
  return `this commit names no ticket: held here is ${held}, and you are ${agent}; to take a ticket yourself: lh claim acquire <ticket>`
}

function environmentCandidates({ env, entries, leaseIdOf }: PickFacts): readonly Trio[] {
  const { LEASEHOLD_TOKEN, LEASEHOLD_LEASE, LEASEHOLD_RESOURCES } = env
  const token = /^[1-9]\d{0,14}$/.test(LEASEHOLD_TOKEN ?? '') ? Number(LEASEHOLD_TOKEN) : null
  if (token === null) return []
  const named = LEASEHOLD_RESOURCES?.split('\n').filter(resource => resource !== '')
  const tickets = (named ?? [...entries.values()].filter(entry => entry.token === token).map(({ resource }) => resource)).filter(isTicket)
  return tickets.flatMap(resource => {
    const note = entries.get(resource)
    const leaseId = note?.token === token ? note.leaseId : named?.length === 1 ? LEASEHOLD_LEASE : leaseIdOf(resource, token)
    return leaseId === undefined || leaseId === null ? [] : [{ ticket: nameOf(resource), leaseId, token }]
  })
}

function choose(candidates: readonly Trio[], { staged, isCurrent }: PickFacts): Picked {
  const [first, ...others] = candidates
  if (first === undefined) return { trio: null, warning: null }
  if (others.length === 0) return { trio: trioOf(first), warning: null }
  const touched = ticketsIn(staged())
  const fitting = candidates.filter(({ ticket }) => touched.includes(ticket))
  if (fitting.length === 1) return { trio: trioOf(fitting[0]!), warning: null }
  const current = candidates.filter(({ ticket, token }) => isCurrent(`ticket:${ticket}`, token))
  if (fitting.length === 0 && current.length === 1) return { trio: trioOf(current[0]!), warning: null }
  const names = candidates.map(({ ticket }) => ticket).join(', ')
  return {
    trio: null,
    warning: `this commit names no ticket: ${candidates.length} are held here (${names}), and it does not show which one it is for; to say it: lh exec ticket:<id> -- git commit …`,
  }
}

const trioOf = ({ ticket, leaseId, token }: Trio): Trio => ({ ticket, leaseId, token })
