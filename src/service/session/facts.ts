import type { Lease, Witness } from '../../core/lease.ts'
import { isExpired } from '../../core/lease.ts'
import { inWords } from '../../core/refusal.ts'
import type { Reservation } from '../../core/refusal.ts'
import type { Session } from '../../core/session.ts'
import { isoFromMs } from '../../core/time.ts'
import { presentAt } from '../../host/look.ts'
import { bootId, hostname, pidNamespace, processState, vitality } from '../../host/process.ts'
import type { Reading } from '../../store/store.ts'

// What is known of a session, in words, and how it is known. A standing is only as good as these.

/** The facts, the most telling first. `opening`: the start of its agent that is in flight. `lease`: the claim that the session was launched with, while it has it. */
export function factsOf(session: Session, lease: Lease | null, view: Reading, opening: Reservation | null): readonly string[] {
  if (session.state === 'ended') return [endOf(session), proofOf(session)]
  return [
    ...(opening === null ? [] : [openingInWords(opening)]),
    processOf(session, view),
    storedOf(session),
    claimOf(session, lease, view),
    proofOf(session),
  ]
}

function openingInWords({ pid, host = hostname(), ageMs }: Reservation): string {
  const by = pid === null ? '' : ` by process ${pid}${host === hostname() ? '' : ` on ${host}`}`
  return `its agent is being started again${by}, since ${inWords(ageMs)}`
}

const exitInWords = ({ exitCode }: Session): string => (exitCode === null ? '' : ` with exit code ${exitCode}`)

function endOf(session: Session): string {
  const { endedAt, endReason } = session
  const because = endReason === null ? '' : ` (${endReason})`
  return `it ended${endedAt === null ? '' : ` at ${isoFromMs(endedAt)}`}${exitInWords(session)}${because}`
}

function processOf(session: Session, view: Reading): string {
  const { witness, state } = session
  const who = witness === null ? 'its agent' : `process ${witness.pid} on ${witness.host}`
  if (state === 'restorable') return `its agent ended${exitInWords(session)}${witness === null ? '' : ` (it was ${who})`}`
  switch (view.life(session)) {
    case 'alive':
      return aliveInWords(session, who)
    case 'dead':
      return `${who} is gone, and so is everything that it started`
    case 'unknown':
      return `whether ${who} runs cannot be told from here: ${whyUnknown(witness)}`
  }
}

function aliveInWords({ witness, evidence }: Session, who: string): string {
  if (witness === null || vitality(witness) === 'unknown') return `${who} is alive: its lock is held`
  if (vitality(witness) === 'dead') return `${who} has ended, but something that it started still runs`
  const stopped = /[Tt]/.test(processState(witness.pid) ?? '') ? ', but stopped' : ''
  return `${who} is alive${stopped}; seen to work since ${isoFromMs(evidence.at)}`
}

function whyUnknown(witness: Witness | null): string {
  if (witness === null) return 'no process is known for it'
  if (witness.bootId !== bootId()) return 'it ran on another machine, or before a restart'
  if (witness.pidNs !== pidNamespace()) return 'it runs in another container'
  return 'its lock is missing, or processes cannot be read'
}

function storedOf({ resume, witness }: Session): string {
  if (resume === null) return 'its client has nothing that it could be opened with again'
  const { stored } = resume
  if (stored === null) return 'whether its client still has the session is not known'
  if (witness !== null && witness.host !== hostname())
    return `its client has the session on ${witness.host}, as ${stored}; not seen from here`
  const present = presentAt(stored)
  return present === null ? `its client has lost the session: ${stored} is gone` : `its client still has the session: ${present}`
}

function claimOf(session: Session, lease: Lease | null, view: Reading): string {
  if (lease === null) return 'it has no claim of its own'
  if (lease.ttlSecs === 0) return `its claim of ${lease.resource} waits for it, without a deadline`
  const silent = inWords(view.now.m - lease.beat.m)
  const name = `its claim of ${lease.resource}`
  if (isExpired(lease, view.now)) return `nobody has renewed ${name} for ${silent}: its supervisor is gone, or stopped`
  return session.state === 'live' ? `its supervisor renewed ${name} ${silent} ago` : `${name} was last renewed ${silent} ago`
}

function proofOf({ evidence: { kind, seen, confirmed, at } }: Session): string {
  const what = seen === '' ? kind : `${kind}: ${seen}`
  return confirmed ? `proved to work by ${what}, at ${isoFromMs(at)}` : `started, not confirmed (${what}), at ${isoFromMs(at)}`
}
