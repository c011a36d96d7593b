import type { Lease } from '../../core/lease.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Reservation } from '../../core/refusal.ts'
import { spellingOf } from '../../core/resource.ts'
import type { Session } from '../../core/session.ts'
import { claimsOf, launchedWith, openingRecord, sessionStanding } from '../../core/standing.ts'
import type { Wire } from '../../core/wire.ts'
import type { Reading } from '../../store/store.ts'
import { provenDead } from './answer.ts'

// Launches in flight. On files they are locks that no record knows; where a store has no such locks, leases that are still pending.

/** A launch in flight as a reader finds it. */
export interface Pending {
  readonly resource: string
  readonly launchId: string | null
  readonly role: string | null
  /** Who will hold it. */
  readonly agentId: string
  readonly launcherPid: number | null
  readonly launcherAlive: boolean
  readonly agentPid: number | null
  readonly ageMs: number
  /** The command that ends what a dead launcher left behind; null while there is a launcher. */
  readonly open: string | null
}

export const pendingToWire = (pending: Pending): Wire => ({
  resource: pending.resource,
  launch_id: pending.launchId,
  role: pending.role,
  agent_id: pending.agentId,
  launcher_pid: pending.launcherPid,
  launcher_alive: pending.launcherAlive,
  agent_pid: pending.agentPid,
  age_secs: Math.round(pending.ageMs) / 1000,
  open: pending.open,
})

/** What ends the agent of a launch whose launcher is gone. */
export const endCommand = (resource: string): string => `lh session end ${shellWord(spellingOf(resource))}`

const fromLock = ({ resource, launchId, role, agentId, pid, launcherAlive, agent, ageMs }: Reservation): Pending => ({
  resource,
  launchId: launchId || null,
  role: role || null,
  agentId,
  launcherPid: pid,
  launcherAlive,
  agentPid: agent?.pid ?? null,
  ageMs,
  open: launcherAlive ? null : endCommand(resource),
})

/** The record of a launch is there a moment before its lock is gone. From then on it is no launch in flight. */
function isRecorded({ resource, launchId }: Reservation, view: Reading): boolean {
  const lease = view.lease(resource)
  const session = lease === null || lease.holder.sessionId !== launchId ? null : launchedWith(lease, view)
  return session !== null && sessionStanding(session, lease, view) === 'live'
}

/** What a launcher notes beside a reservation that is a record, once it has started its agent. */
export const agentNote = (pid: number): string => `its agent is pid ${pid}`

/** The pid in such a note. */
const notedPid = (note: string | null): number | null => Number(/^its agent is pid (\d+)$/.exec(note ?? '')?.[1] ?? 0) || null

/** A reservation that is a record lapses by itself, so nobody has to end it. */
const fromRecord = (lease: Lease, view: Reading): Pending => ({
  resource: heldWith(lease, view),
  launchId: lease.holder.sessionId,
  role: opened(lease, view)?.role ?? null,
  agentId: lease.holder.agentId,
  launcherPid: lease.holder.witness?.pid ?? null,
  launcherAlive: !provenDead(lease, view),
  agentPid: notedPid(lease.note),
  ageMs: Math.max(0, view.now.wall - lease.acquiredAt),
  open: null,
})

/** The session whose agent is being started again under this record; null where a new one is launched. */
const opened = (lease: Lease, view: Reading): Session | null =>
  lease.holder.sessionId === null ? null : view.session(lease.holder.sessionId)

/** What is shown as pending: of a session that is opened again its claim, where it has one. */
function heldWith(lease: Lease, view: Reading): string {
  const session = opened(lease, view)
  return (session === null ? undefined : claimsOf(session, view)[0]?.resource) ?? lease.resource
}

/** The record under which the agent that a claim waits for is being started again. */
function openingOfClaim(lease: Lease, view: Reading): Lease | null {
  const session = launchedWith(lease, view)
  return session === null ? null : openingRecord(session, view)
}

/** Every launch in flight, in the order of their keys. */
export function listedPending(view: Reading): readonly Pending[] {
  const found = new Map<string, Pending>()
  for (const reservation of view.reservations()) if (!isRecorded(reservation, view)) found.set(reservation.resource, fromLock(reservation))
  for (const lease of view.all()) if (lease.state === 'pending') found.set(heldWith(lease, view), fromRecord(lease, view))
  return [...found.keys()].toSorted().map(key => found.get(key)!)
}

/** The launches in flight of one resource or one agent; all when neither is named. */
export const pendingOf = (view: Reading, resource: string | null, agentId: string | null): readonly Pending[] =>
  listedPending(view).filter(
    pending => (resource ?? pending.resource) === pending.resource && (agentId ?? pending.agentId) === pending.agentId,
  )

/** The launch in flight that holds a key, or null. */
export function pendingFor(resource: string, view: Reading): Pending | null {
  const reservation = view.reservation(resource)
  if (reservation !== null && !isRecorded(reservation, view)) return fromLock(reservation)
  const lease = view.lease(resource)
  if (lease === null) return null
  const record = lease.state === 'pending' ? lease : openingOfClaim(lease, view)
  return record === null ? null : fromRecord(record, view)
}
