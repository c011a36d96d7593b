import type { Holder, Lease } from '../../core/lease.ts'
import { shellWord } from '../../core/shell-word.ts'
import { isExpired, isStale, remainingMs, sameHolder } from '../../core/lease.ts'
import { inWords } from '../../core/refusal.ts'
import { isOver } from '../../core/ownership.ts'
import { isPath, pathsOverlap } from '../../core/resource.ts'
import { isoFromMs } from '../../core/time.ts'
import type { Wire } from '../../core/wire.ts'
import { processesWith, processState, vitality } from '../../host/process.ts'
import type { Reading } from '../../store/store.ts'
import { readLease, standingNow } from './answer.ts'
import { pendingFor, pendingToWire } from './pending.ts'
import type { Pending } from './pending.ts'

/** `lh why`: who holds it, what proves that they live, what would free it and when, and the next command of who asks (null: nobody known). */
export function explainResource(resource: string, view: Reading, asker: Holder | null): Wire {
  const lease = view.lease(resource) ?? overlapping(resource, view, asker)
  const pending = pendingFor(lease?.resource ?? resource, view)
  if (lease === null) return pending === null ? explainFree(resource, view) : explainPending(resource, pending, view)
  return {
    ok: true,
    resource,
    standing: standingNow(lease, view),
    lease: readLease(lease, view),
    pending: pending === null ? null : pendingToWire(pending),
    evidence: evidenceOf(lease, view),
    frees_when: freesWhen(lease, view),
    next: nextCommand(resource, lease, view, asker),
    warnings: view.warnings,
  }
}

/** Of several, one that is in the way of who asks: their own is not, nor is one that ends with the next request. */
function overlapping(resource: string, view: Reading, asker: Holder | null): Lease | null {
  if (!isPath(resource)) return null
  const found = [...view.paths()].filter(lease => pathsOverlap(lease.resource, resource))
  const others = asker === null ? found : found.filter(({ holder }) => !sameHolder(asker, holder))
  return others.find(lease => !isOver(lease, view)) ?? others[0] ?? found[0] ?? null
}

function explainFree(resource: string, view: Reading): Wire {
  const past = view.past(resource)
  const last =
    past === null
      ? ['nobody is known to have held it']
      : [
          `last held by ${past.holder.agentId} with token ${past.token}; ended by ${past.endedBy}${past.reason === null ? '' : ` (${past.reason})`} at ${isoFromMs(past.endedAt)}`,
        ]
  return {
    ok: true,
    resource,
    standing: 'free',
    lease: null,
    pending: null,
    evidence: last,
    frees_when: 'it is free now',
    next: `lh claim acquire ${shellWord(resource)}`,
    warnings: view.warnings,
  }
}

/** A launch in flight: nobody holds it yet, and nobody else may. */
function explainPending(resource: string, pending: Pending, view: Reading): Wire {
  const { agentId, role, launcherPid, launcherAlive, agentPid, ageMs, open } = pending
  return {
    ok: true,
    resource,
    standing: 'pending',
    lease: null,
    pending: pendingToWire(pending),
    evidence: [
      `${agentId}${role === null ? '' : ` (role ${role})`} has been in launch for ${inWords(ageMs)}`,
      launcherPid === null ? 'its launcher is not known' : `its launcher, process ${launcherPid}, is ${launcherAlive ? 'alive' : 'gone'}`,
      agentPid === null ? 'no agent was started yet' : `process ${agentPid} was started as its agent`,
    ],
    frees_when: launcherAlive
      ? 'when its launch fails; when it succeeds it becomes a claim'
      : 'when what its launcher left running has ended: nobody is left who could make a claim of it',
    next: open ?? `lh claim acquire ${shellWord(resource)} --wait`,
    warnings: view.warnings,
  }
}

function evidenceOf(lease: Lease, view: Reading): readonly string[] {
  const facts = [`last sign of life ${inWords(view.now.m - lease.beat.m)} ago, at ${isoFromMs(lease.lastBeatAt)}`]
  if (lease.note !== null) facts.push(`its note: ${lease.note}`)
  const { witness } = lease.holder
  if (witness === null) {
    facts.push('no process is known for it, so only time can show that its holder is gone')
  } else {
    const state = vitality(witness)
    const stopped = state === 'alive' && /[Tt]/.test(processState(witness.pid) ?? '') ? ', but stopped' : ''
    const survived = isSurvived(lease, view) ? `, but ${survivorsInWords(lease)}` : ''
    facts.push(`process ${witness.pid} on ${witness.host} is ${state}${stopped}${survived}`)
  }
  if (lease.binding !== null) facts.push(bindingInWords(lease, view))
  if (lease.group !== null) facts.push(`taken together with ${lease.group.resources.filter(key => key !== lease.resource).join(', ')}`)
  return facts
}

function bindingInWords(lease: Lease, view: Reading): string {
  if (view.boundDead(lease)) return 'its process and every child of it are gone'
  return isSurvived(lease, view) ? 'it ends with the last process that was started under it' : 'it ends with its process'
}

/** Is its process dead, and the lease kept by what that started? A cluster cannot see that: there nobody renews it any more. */
const isSurvived = (lease: Lease, view: Reading): boolean =>
  lease.binding !== null &&
  lease.holder.witness !== null &&
  view.members === undefined &&
  vitality(lease.holder.witness) === 'dead' &&
  !view.boundDead(lease)

/** More processes than this are not named. */
const maxPids = 5

/** A process that cleared its environment keeps the lock all the same, and has no name to be found by. */
function survivorsInWords({ binding }: Lease): string {
  const pids = binding === null ? [] : processesWith('LEASEHOLD_LIVE', binding.live)
  if (pids.length === 0) return 'as far as can be told, something that it started still runs'
  const more = pids.length > maxPids ? ` and ${pids.length - maxPids} more` : ''
  return `something that it started still runs: process ${pids.slice(0, maxPids).join(', ')}${more}`
}

function freesWhen(lease: Lease, view: Reading): string {
  if (lease.binding !== null && view.boundDead(lease)) return 'at the next request for it: its process is proven dead'
  const left = remainingMs(lease, view.now)
  if (left === null) return 'only by release, transfer or evict: it is indefinite'
  const ending = isSurvived(lease, view) ? 'what its process started ends' : 'its process ends'
  const bound = lease.binding === null ? '' : `, or at once when ${ending}`
  if (isExpired(lease, view.now))
    return `at the next request for it: it expired ${inWords(-left)} ago; until then its holder may still renew`
  return `in ${inWords(left)}, at ${isoFromMs(view.now.wall + left)}, unless its holder renews${bound}`
}

function nextCommand(resource: string, lease: Lease, view: Reading, asker: Holder | null): string {
  if (isExpired(lease, view.now) || (lease.binding !== null && view.boundDead(lease))) return `lh claim acquire ${shellWord(resource)}`
  if (isStale(lease, view.now)) return `lh claim evict ${shellWord(lease.resource)} --reason "stale: no sign of life"`
  // To wait for oneself would only renew it.
  if (asker !== null && sameHolder(asker, lease.holder)) return `lh claim release ${shellWord(lease.resource)}`
  return `lh claim acquire ${shellWord(resource)} --wait`
}
