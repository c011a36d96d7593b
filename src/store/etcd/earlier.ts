import { Fault } from '../../core/fault.ts'
import { evolve } from '../../core/evolve.ts'
import { emptySlot, isLasting } from '../../core/lease.ts'
import type { Holder, Lease, Past, Slot } from '../../core/lease.ts'
import { endedBy, touches } from '../../core/operation.ts'
import type { Entry, Operation } from '../../core/operation.ts'
import { sessionKey } from '../../core/session.ts'
import { stateOf } from '../base.ts'
import type { Base } from '../move.ts'
import { tick } from '../state.ts'
import type { FullState } from '../state.ts'
import type { Claim } from './facts.ts'

// Old records are dropped, and what they say is kept in the heads. Who goes on from the records alone would find nobody where somebody
// holds: what is no longer told has to be a part of the state before the first record.

/** The records that are moved, and the state before the first of them. */
export interface Told {
  readonly base: Base
  readonly entries: readonly Entry[]
}

/** `told`, so that its records make what the heads say. Records that are older than what was dropped become a part of the base. */
export function withDropped(told: Told, claims: ReadonlyMap<string, Claim>): Told {
  const folded = foldOf(told)
  const keys = new Set([...claims.keys(), ...keysOfBase(told.base)])
  const lacking = [...keys].filter(key => isLacking(slotIn(claims, key), folded.slot(key), claims.get(key)?.head.logFrom ?? 1))
  if (lacking.length === 0) return told
  const records = recordsOf(lacking, told.entries)
  const state = stateOf(told.base)
  let seq = told.base.seq
  for (const key of lacking) {
    const slot = slotBefore(slotIn(claims, key), records.get(key) ?? [], key)
    state.put(key, slot)
    seq = Math.max(seq, slot.lease?.token ?? 0, slot.past?.endedSeq ?? 0)
  }
  for (const entry of told.entries) if (entry.seq <= seq) state.apply(entry)
  const entries = told.entries.filter(entry => entry.seq > seq)
  const m = Math.max(0, ...[...state.leases()].map(({ lastBeatAt }) => lastBeatAt))
  const clocks = tick(state.clocks, entries[0]?.clk ?? { b: 'etcd', m })
  const base = { seq, clocks, leases: [...state.leases()], pasts: [...state.pasts()], sessions: [...state.sessions()] }
  refuseOther(foldOf({ base, entries }), claims)
  return { base, entries }
}

export const keysOfBase = ({ leases, pasts, sessions }: Base): readonly string[] => [
  ...[...leases, ...pasts].map(({ resource }) => resource),
  ...sessions.map(({ sessionId }) => sessionKey(sessionId)),
]

function foldOf({ base, entries }: Told): FullState {
  const state = stateOf(base)
  for (const entry of entries) state.apply(entry)
  return state
}

const slotIn = (claims: ReadonlyMap<string, Claim>, key: string): Slot => claims.get(key)?.head.slot ?? emptySlot

/** A fold forgets very old ends, but none with an outcome. */
function isLacking(is: Slot, told: Slot, logFrom: number): boolean {
  const { lease, past, session } = is
  return (
    logFrom > 1 ||
    !isSameLease(lease, told.lease) ||
    (past?.outcome ?? null) !== (told.past?.outcome ?? null) ||
    JSON.stringify(session) !== JSON.stringify(told.session)
  )
}

const isSameLease = (one: Lease | null, other: Lease | null): boolean => one?.token === other?.token && one?.leaseId === other?.leaseId

function recordsOf(keys: readonly string[], entries: readonly Entry[]): ReadonlyMap<string, readonly Entry[]> {
  const found = new Map<string, Entry[]>(keys.map(key => [key, []]))
  for (const entry of entries) for (const key of new Set(touches(entry.operation))) found.get(key)?.push(entry)
  return found
}

/** What a key was before these records of it, which made it what it `is`. */
function slotBefore(is: Slot, records: readonly Entry[], key: string): Slot {
  const first = records.find(({ operation }) => subjectOf(operation) !== undefined)
  const changesSession = records.some(
    ({ operation }) => 'sessions' in operation && operation.sessions?.some(({ sessionId }) => sessionKey(sessionId) === key),
  )
  const lease = first === undefined ? is.lease : leaseBefore(is, first, records, key)
  return { lease, past: pastBefore(is.past, records, lease), session: changesSession ? null : is.session }
}

/** Whose the ownership was that a record is about; null where nobody's was, undefined where the record does not tell. */
function subjectOf(operation: Operation): { readonly token: number; readonly holder: Holder } | null | undefined {
  switch (operation.op) {
    case 'acquire':
    case 'reserve':
      return null
    case 'confirm':
    case 'transfer':
    case 'resume':
    case 'reclaim':
      return operation.from
    case 'renew':
    case 'heartbeat':
    case 'release':
      return operation
    case 'auto-evict':
    case 'force-evict':
      return { token: operation.previousToken, holder: operation.previousHolder }
    case 'allow':
    case 'boot':
    case 'session':
    case 'repair':
      return undefined
  }
}

function leaseBefore(is: Slot, first: Entry, records: readonly Entry[], key: string): Lease | null {
  const { operation, at, clk } = first
  const subject = subjectOf(operation) ?? null
  if (subject === null || !('resources' in operation)) return null
  const { token, holder } = subject
  const group = touches(operation) ?? []
  const leaseIds = group.map(each => leaseIdOf(token, each, records))
  const own = leaseIds[group.indexOf(key)] || [is.lease, is.past].find(each => each?.token === token)?.leaseId
  const now = is.lease?.token === token ? is.lease : null
  // Of one that has ended since, only what ended it is told: how long it lasted nobody asks any more.
  const acquire = { op: 'acquire', actor: holder.agentId, opId: null, resources: group, leaseIds, holder, staleSecs: 0 } as const
  const terms = { ttlSecs: 'ttlSecs' in operation ? operation.ttlSecs : 1, branch: null, reason: null, binding: null, from: null }
  const made = evolve(emptySlot, { seq: token, at, clk, operation: { ...acquire, ...terms } }, key).lease!
  const lease = now ?? { ...made, deadlineM: made.deadlineM === null ? null : clk.m }
  const id = now?.group?.id ?? leaseIds.find(each => each !== '') ?? own ?? ''
  return { ...lease, leaseId: own ?? lease.leaseId, group: group.length > 1 ? { id, resources: group } : null }
}

/** The lease id that a key has in the first record of this ownership that tells it. */
function leaseIdOf(token: number, key: string, records: readonly Entry[]): string {
  for (const { operation } of records) {
    if (subjectOf(operation)?.token !== token || !('resources' in operation)) continue
    const ids = 'from' in operation ? (operation.from?.leaseIds ?? []) : operation.leaseIds
    const id = ids[operation.resources.indexOf(key)]
    if (id !== undefined) return id
  }
  return ''
}

/** An end that these records wrote was not there before, but for an outcome that lasts over ends which have none. */
function pastBefore(past: Past | null, records: readonly Entry[], lease: Lease | null): Past | null {
  const ends = records.filter(({ operation }) => endedBy(operation) !== null)
  if (ends.length === 0 || past === null) return past
  const saysOutcome = ends.some(({ operation }) => operation.op === 'release' && operation.outcome !== null)
  if (saysOutcome || !isLasting(past)) return null
  const token = Math.min(past.token, lease?.token ?? past.token) - 1
  return { ...past, token, endedSeq: token }
}

/** What is held and what is moved must be the same: a lease that is lost on the way is somebody else's afterwards. */
function refuseOther(folded: FullState, claims: ReadonlyMap<string, Claim>): void {
  for (const [key, { head }] of claims)
    if (!isSameLease(head.slot.lease, folded.slot(key).lease))
      throw new Fault('unavailable', `the records of ${key} do not make what is said of it, and it is not moved as it is`, {
        hint: 'see what is wrong: lh verify',
        details: { outcome: 'nothing_changed' },
      })
}
