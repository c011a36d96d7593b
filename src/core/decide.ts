import { acquire, acquireFirst } from './acquire.ts'
import type { Acquire, Command } from './command.ts'
import { accept, refuse } from './decision.ts'
import type { Decision } from './decision.ts'
import { allow, forceEvict, sweep } from './ending.ts'
import { depart, endSession, holdSession, launch, resumeSession, tellSession } from './launching.ts'
import { beat, confirm, guard, noProof, reclaim, release, resume, transfer } from './holding.ts'
import { sameHolder } from './lease.ts'
import type { Entry, Operation } from './operation.ts'
import type { Policy } from './policy.ts'
import type { Presented } from './refusal.ts'
import type { View } from './view.ts'

/**
 * The rules. Pure: everything it needs is in its arguments, and a refusal writes nothing. Shape after emmett's `Decider` and the
 * lease design of etcd's `concurrency` package: ownership is one create-if-absent step whose position is the fence.
 */
export function decide(command: Command, view: View, chosen: Policy): Decision {
  const policy = view.limits === null ? chosen : { ...chosen, ...view.limits }
  const replay = replayed(command, view)
  if (replay !== null) return replay
  const presented = presentedBy(command)
  // A token from the future means that this log is not the one that granted it.
  if (presented.token !== null && presented.token > view.lastSeq)
    return refuse({ kind: 'store-reset', token: presented.token, lastSeq: view.lastSeq })
  switch (command.type) {
    case 'acquire':
    case 'reserve':
      return acquire(command, view, policy)
    case 'acquire-first':
      return acquireFirst(command, view, policy)
    case 'guard':
      return guard(command, view)
    case 'confirm':
      return confirm(command, view, policy)
    case 'renew':
    case 'heartbeat':
      return beat(command, view, policy)
    case 'release':
      return release(command, view)
    case 'transfer':
      return transfer(command, view, policy)
    case 'resume':
      return resume(command, view)
    case 'reclaim':
      return reclaim(command, view, policy)
    case 'force-evict':
      return forceEvict(command, view)
    case 'allow':
      return allow(command)
    case 'sweep':
      return sweep(command, view)
    case 'launch':
      return launch(command, view, policy)
    case 'depart':
      return depart(command, view)
    case 'hold-session':
      return holdSession(command, view, policy)
    case 'resume-session':
      return resumeSession(command, view, policy)
    case 'end-session':
      return endSession(command, view)
    case 'tell-session':
      return tellSession(command, view)
  }
}

function presentedBy(command: Command): Presented {
  if ('presented' in command) return command.presented
  return 'token' in command ? { leaseId: null, token: command.token } : noProof
}

/** The same op_id again gives the first answer to who asked first; of anybody else, and on another command, it is a mistake. */
function replayed(command: Command, view: View): Decision | null {
  if (!command.retry) return null
  const entry = view.recall(command.opId)
  if (entry === null) return null
  const { operation } = entry
  if (!('resources' in operation) || !isFirstAsker(command, operation) || !isSameCommand(command, entry, operation, view)) {
    return refuse({
      kind: 'op-id-reused',
      opId: command.opId,
      op: operation.op,
      by: operation.actor,
      resources: 'resources' in operation ? operation.resources : [],
    })
  }
  const resources = 'resources' in command ? command.resources : operation.resources
  return accept([], { resources, replayOf: entry, alreadyHeld: command.type === 'acquire' && operation.op === 'renew' })
}

/**
 * The same agent, where it worked then or with the proof that was enough. Its session may be another one by now: who was ended before it
 * heard the answer asks again in the next. Of an eviction only the agent is known.
 */
function isFirstAsker(command: Command, operation: Operation): boolean {
  if (operation.actor !== command.holder.agentId) return false
  const subject = operation.op === 'transfer' ? operation.from : operation
  if (subject === null || !('holder' in subject) || subject.holder.worktreeId === command.holder.worktreeId) return true
  const { leaseId, token } = presentedBy(command)
  return token !== null && leaseId !== null && subject.leaseIds.includes(leaseId)
}

function isSameCommand(
  command: Command,
  { seq }: Entry,
  operation: Operation & { readonly resources: readonly string[]; readonly leaseIds: readonly string[] },
  view: View,
): boolean {
  if (command.type === 'sweep' || command.type === 'guard' || command.type === 'launch' || 'sessionId' in command) return false
  // The candidates may be others by now; what was given then is the answer.
  if (command.type === 'acquire-first') return operation.op === 'acquire' && operation.resources.length === 1
  if ('resources' in command) {
    const others = command.resources.filter(key => !operation.resources.includes(key))
    // A renewal is of the whole group, whichever of its members were asked for.
    const fits =
      operation.op === 'renew' || (operation.op === command.type && operation.resources.every(key => command.resources.includes(key)))
    return fits && others.length < command.resources.length && others.every(key => wasTheirs(command, key, seq, view))
  }
  if (operation.op !== command.type) return false
  if (command.type === 'allow')
    return operation.op === 'allow' && operation.resources[0] === command.resource && operation.token === command.token
  return 'resource' in command.target
    ? operation.resources.includes(command.target.resource)
    : operation.leaseIds.includes(command.target.leaseId) || previousIds(operation).includes(command.target.leaseId)
}

/** What the caller already held when the record was made is not named in it. */
function wasTheirs(command: Acquire, key: string, seq: number, view: View): boolean {
  const lease = view.lease(key)
  if (lease !== null && lease.token < seq) return sameHolder(lease.holder, command.holder)
  const past = view.past(key)
  return past !== null && past.token < seq && past.endedSeq > seq && sameHolder(past.holder, command.holder)
}

const previousIds = (operation: Operation): readonly string[] =>
  'from' in operation && operation.from !== null ? operation.from.leaseIds : []
