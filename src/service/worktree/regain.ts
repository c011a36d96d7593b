import type { Refused } from '../../coordinator.ts'
import type { Refusal } from '../../core/refusal.ts'
import { Fault, isFault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { orThrow } from '../claim/answer.ts'
import { readWorktree } from '../identity/worktree.ts'
import { listEntries } from './entries.ts'
import type { Entry } from './entries.ts'
import { keysOf } from './keys.ts'
import type { Asker } from './asker.ts'

// What whoever lost the lease on a worktree can type where they stand. A lease is of an agent in a worktree, so what they would take for
// the ticket from somewhere else does not stand for the worktree.

type Superseded = Extract<Refusal, { kind: 'superseded' }>

/** Throws why a removal is refused, with what gets past it. */
export async function refuseRemoval(asker: Asker, entry: Entry, answer: Refused): Promise<never> {
  const { refusal } = answer
  const hint = refusal.kind === 'superseded' ? await regainHint(asker, entry, refusal) : null
  try {
    orThrow(answer)
  } catch (error) {
    if (!isFault(error) || hint === null) throw error
    throw new Fault(error.code, error.message, { hint, details: error.details ?? {}, cause: error })
  }
  throw new Fault('internal', 'a refusal was none')
}

/** Null where the general words do. */
async function regainHint(asker: Asker, entry: Entry, { resource, lease }: Superseded): Promise<string | null> {
  const { flags, caller, workspace, env } = asker
  if (flags.token !== undefined || flags.lease !== undefined)
    return `see who holds it: lh why ${shellWord(resource)}; without --token and --lease your own note of it counts`
  // What a command was given by `lh exec` is over; nothing that it could take makes up for that.
  if (env['LEASEHOLD_TOKEN']) return null
  const here = readWorktree(workspace.repository).worktreeId
  const keys = keysOf(entry, workspace).own
  // A claim of the ticket takes the worktree and the branch as well.
  const acquire = `lh claim acquire ${(keys.includes(resource) ? keys : [resource]).map(shellWord).join(' ')}`
  const inPlace = (command: string): string => (entry.identity.worktreeId === here ? command : within(entry.path, command))
  if (lease === null) return `to take it again: ${inPlace(acquire)}; then remove it`
  const { agentId, sessionId, worktreeId } = lease.holder
  if (agentId !== caller.holder.agentId || sessionId !== caller.holder.sessionId)
    return `stop writing; see: lh why ${shellWord(resource)}${entry.present ? `; to wait for it: ${inPlace(`${acquire} --wait`)}` : ''}`
  const release = `lh claim release ${shellWord(resource)}`
  const giveBack = worktreeId === here ? release : await releaseElsewhere(asker, worktreeId, resource, release)
  return `you hold it, but not there; give it back: ${giveBack}${entry.present ? `; take it there: ${inPlace(acquire)}` : ''}; then remove it`
}

/** For a shell that is somewhere else, and stays there. */
const within = (path: string, command: string): string => `(cd ${shellWord(path)} && ${command})`

async function releaseElsewhere({ workspace, env }: Asker, worktreeId: string, resource: string, release: string): Promise<string> {
  const there = (await listEntries(workspace.repository, env)).find(({ identity }) => identity.worktreeId === worktreeId)
  return there?.present === true ? within(there.path, release) : `lh claim evict ${shellWord(resource)} --reason "its worktree is gone"`
}
