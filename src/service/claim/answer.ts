import type { Answer, Granted, Refused } from '../../coordinator.ts'
import { Fault, isFault } from '../../core/fault.ts'
import type { ErrorCode } from '../../core/fault.ts'
import type { Instant, Lease, Standing } from '../../core/lease.ts'
import { isStale, standingOf } from '../../core/lease.ts'
import type { OwnWay, Refusal, Reservation } from '../../core/refusal.ts'
import { blockerOf, inOwnWay, refusalCode, retryAfterMs, saysToClaim, wordRefusal } from '../../core/refusal.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Wire } from '../../core/wire.ts'
import { holderToWire, leaseToWire, remainingSecs } from '../../core/wire.ts'
import { launchedWith, sessionStanding } from '../../core/standing.ts'
import type { Session, SessionStanding } from '../../core/session.ts'
import { vitality } from '../../host/process.ts'
import type { Reading } from '../../store/store.ts'
import { openCommand, shownStanding } from './open-session.ts'

/** What went wrong, as it goes on the wire. */
export interface ErrorDocument {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string
  readonly holder?: Wire
  readonly details?: Wire
}

/** A refusal on the wire. */
export function refusalDocument({ refusal, now, opId }: Refused): ErrorDocument {
  const { message, hint } = wordRefusal(refusal, now)
  const lease = blockerOf(refusal)
  return {
    code: refusalCode(refusal),
    message,
    hint,
    ...(lease === null ? {} : { holder: holderToWire(lease.holder) }),
    details: { kind: refusal.kind, ...detailsOf(refusal, lease, now), op_id: opId },
  }
}

function detailsOf(refusal: Refusal, lease: Lease | null, now: Instant): Wire {
  const retryMs = retryAfterMs(refusal, now)
  const pending = refusal.kind === 'reserved' || refusal.kind === 'opening' || lease?.state === 'pending'
  return {
    ...(lease === null ? {} : { lease: shownLease(lease, now, false), stale: isStale(lease, now) }),
    ...(refusal.kind === 'reserved' || refusal.kind === 'opening' ? reservedDetails(refusal.reservation) : {}),
    ...(refusal.kind === 'opening' ? { session_id: refusal.session.sessionId, session_name: refusal.session.name } : {}),
    ...('standing' in refusal ? sessionDetails(refusal.session, refusal.standing) : {}),
    ...(pending ? { pending: true } : {}),
    ...('resource' in refusal ? { resource: refusal.resource } : {}),
    ...(retryMs === null ? {} : { retry_after_secs: Math.ceil(retryMs) / 1000 }),
  }
}

const reservedDetails = ({ resource, launchId, role, pid, launcherAlive, agent, ageMs }: Reservation): Wire => ({
  resource,
  launch_id: launchId || null,
  role: role || null,
  launcher_pid: pid,
  launcher_alive: launcherAlive,
  agent_pid: agent?.pid ?? null,
  age_secs: ageMs / 1000,
})

const sessionDetails = (session: Session, standing: SessionStanding): Wire => ({
  session_id: session.sessionId,
  session_name: session.name,
  role: session.role,
  session_standing: shownStanding(standing),
  stale: standing === 'stale',
  open: openCommand(session, shownStanding(standing)),
})

/** A lease on the wire with the standing it has now. `boundDead`: its process is proven dead. */
export const shownLease = (lease: Lease, now: Instant, boundDead: boolean): Wire =>
  leaseToWire(lease, now, standingOf(lease, now, boundDead))

/**
 * Is the process of this lease proven gone? One that is bound lives as long as anything that was started for it; of any other the
 * witness is all there is, and its death is shown but ends nothing.
 */
export const provenDead = (lease: Lease, view: Reading): boolean =>
  lease.binding === null ? lease.holder.witness !== null && vitality(lease.holder.witness) === 'dead' : view.boundDead(lease)

/** A claim whose agent can be started again counts like one whose agent works. */
const launchedStandings: Readonly<Record<SessionStanding, Standing>> = { live: 'live', restorable: 'live', stale: 'stale', gone: 'dead' }

/** The standing of a lease now. Of a launched claim facts decide, and not its deadline: that alone never ends it. */
export function standingNow(lease: Lease, view: Reading): Standing {
  const session = launchedWith(lease, view)
  if (session === null) return standingOf(lease, view.now, provenDead(lease, view))
  return launchedStandings[sessionStanding(session, lease, view)]
}

/** A lease as a reader finds it. */
export interface Seen {
  readonly lease: Lease
  readonly standing: Standing
  readonly leftSecs: number | null
  readonly now: Instant
}

export const seeLease = (lease: Lease, view: Reading): Seen => ({
  lease,
  standing: standingNow(lease, view),
  leftSecs: remainingSecs(lease, view.now),
  now: view.now,
})

/** As a document has it. */
export const seenToWire = ({ lease, standing, now }: Seen): Wire => leaseToWire(lease, now, standing)

/** A lease as a reader shows it. */
export const readLease = (lease: Lease, view: Reading): Wire => seenToWire(seeLease(lease, view))

/** What a granted lease has left; null for an indefinite one. */
export const secondsLeft = (lease: Lease, { now }: Granted): number | null => remainingSecs(lease, now)

/** What became of leases that a repeated answer names, and that are no more; null where all of them last. */
export function lostInWords({ leases, lost }: Granted): string | null {
  if (lost.size === 0) return null
  const told = [...lost].map(([resource, now]) => {
    const token = leases.find(lease => lease.resource === resource)?.token
    const who = now === null ? 'nobody holds it now' : `${now.holder.agentId} (${now.holder.worktreeId}) holds it with token ${now.token}`
    return `${resource} is not held ${token === undefined ? 'as it was' : `with token ${token}`} any more: ${who}`
  })
  return `this is the first answer again, and its time is over: ${told.join('; ')}; see: lh why ${shellWord([...lost.keys()][0]!)}`
}

const endedLease = (lease: Lease, now: Instant): Wire => ({ ...leaseToWire(lease, now, 'ended'), expires_at: null, remaining_secs: 0 })

/** A "yes" that leaves leases: acquire, renew, heartbeat, transfer. */
export function grantedDocument(granted: Granted): Wire {
  const { now, lost } = granted
  const leases = granted.leases.map(lease => (lost.has(lease.resource) ? endedLease(lease, now) : shownLease(lease, now, false)))
  const hint = lostInWords(granted)
  return {
    ok: true,
    ...(leases.length === 1 ? { lease: leases[0] } : { leases, count: leases.length }),
    ...(granted.alreadyHeld ? { already_held: true } : {}),
    ...(granted.replay ? { replay: true, live: granted.live } : {}),
    ...(hint === null ? {} : { hint }),
    ...(granted.late ? { late: true } : {}),
    op_id: granted.opId,
  }
}

/** A "yes" that ended leases: release, evict. */
export function endedDocument(granted: Granted, actor: string, asked: string): Wire {
  const [first] = granted.ended
  return {
    ok: true,
    lease_id: first?.leaseId ?? null,
    resource: first?.resource ?? asked,
    ...(granted.ended.length > 1 ? { resources: granted.ended.map(({ resource }) => resource) } : {}),
    previous_holder: first === undefined ? null : holderToWire(first.holder),
    token: first?.token ?? null,
    actor,
    ...(first === undefined ? { already_released: true } : {}),
    ...(granted.replay ? { replay: true, live: false } : {}),
    op_id: granted.opId,
  }
}

/** Throws a refusal, for callers that have nothing else to do with one. The door renders it like any other error. */
export function orThrow(answer: Answer): Granted {
  if (answer.ok) return answer
  const { code, message, hint, holder, details } = refusalDocument(answer)
  throw new Fault(code, message, { hint, details: { ...details, ...(holder === undefined ? {} : { holder }) } })
}

/** An error of a command that takes its claims itself, with a hint that says how it is typed; any other one as it is. */
export async function toldInOwnWay(error: unknown, way: () => OwnWay | Promise<OwnWay>): Promise<unknown> {
  if (!isFault(error) || error.hint === undefined || !saysToClaim(error.hint)) return error
  const hint = inOwnWay(error.hint, await way())
  return new Fault(error.code, error.message, { hint, ...(error.details && { details: error.details }), cause: error })
}
