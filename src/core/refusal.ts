import type { ErrorCode } from './fault.ts'
import { shellWord } from './shell-word.ts'
import type { Holder, Instant, Lease, Past, Witness } from './lease.ts'
import { isStale, remainingMs, sameHolder } from './lease.ts'
import { bounds, ttlRange } from './policy.ts'
import { resumeCommand } from './session.ts'
import type { Session, SessionStanding } from './session.ts'
import { kindOf, nameOf, printable, show, spellingOf } from './resource.ts'

/** A launch in flight: a hold that is not in the log and dies with the process that made it. */
export interface Reservation {
  readonly resource: string
  /** The machine of the launcher, where it may be another. */
  readonly host?: string
  /** Id of the launch, which becomes the session's. */
  readonly launchId: string
  readonly role: string
  /** Who will hold it. */
  readonly agentId: string
  /** The launcher. */
  readonly pid: number | null
  /** False: the launcher is gone, and its agent keeps the reservation without anybody who could confirm it. */
  readonly launcherAlive: boolean
  /** The agent's process, once it was started. */
  readonly agent: Witness | null
  /** Milliseconds since it began. */
  readonly ageMs: number
  /** The file whose kernel lock it is. Another that had, or gets, its name is that of another launch. */
  readonly lockFile: { readonly path: string; readonly dev: number; readonly ino: number } | null
}

/** "No", as data: who holds it, until when, and which rule said so. Worded by `wordRefusal`, given an exit code by `refusalCode`. */
export type Refusal =
  /** `sameAgent`: by the caller's own agent, in another worktree. `handing`: by whoever hands `wanted` over, which is not to be waited for. */
  | { readonly kind: 'held'; readonly lease: Lease; readonly wanted: string; readonly sameAgent?: boolean; readonly handing?: boolean }
  | { readonly kind: 'reserved'; readonly reservation: Reservation }
  /** A launched agent has it, or could have it again. */
  | { readonly kind: 'launched'; readonly lease: Lease; readonly session: Session; readonly standing: SessionStanding }
  | { readonly kind: 'no-session'; readonly sessionId: string }
  /** Its agent is being started again at this moment. */
  | { readonly kind: 'opening'; readonly session: Session; readonly reservation: Reservation }
  | {
      readonly kind: 'session-is'
      readonly session: Session
      readonly standing: SessionStanding
      readonly wanted: 'stale' | 'restorable' | 'live'
    }
  | { readonly kind: 'lapsing'; readonly lease: Lease; readonly retryAfterMs: number }
  | { readonly kind: 'other-instance'; readonly lease: Lease }
  | { readonly kind: 'pending'; readonly lease: Lease }
  | { readonly kind: 'not-pending'; readonly lease: Lease }
  | { readonly kind: 'not-held'; readonly resource: string }
  | { readonly kind: 'unknown-lease'; readonly leaseId: string }
  /** `sameAgent`: the caller itself, in another worktree or session; `sameWorktree`: only the session differs. */
  | { readonly kind: 'not-owner'; readonly lease: Lease; readonly sameAgent?: boolean; readonly sameWorktree?: boolean }
  | {
      readonly kind: 'superseded'
      readonly resource: string
      readonly lease: Lease | null
      readonly past: Past | null
      readonly presented: Presented
      /** Who showed it, where that is known: it may have the newer lease as well. */
      readonly asker?: Holder
      /** It was shown to say which ownership is to be evicted, by whoever evicts it. */
      readonly evicting?: boolean
      /** It could not be renewed in time, and nobody knows what became of it. */
      readonly unanswered?: boolean
    }
  | { readonly kind: 'store-reset'; readonly token: number; readonly lastSeq: number }
  | { readonly kind: 'bad-ttl'; readonly ttlSecs: number; readonly reservation: boolean }
  | { readonly kind: 'too-many'; readonly count: number }
  | {
      readonly kind: 'op-id-reused'
      readonly opId: string
      readonly op: string
      readonly by: string
      readonly resources: readonly string[]
    }
  | { readonly kind: 'same-holder'; readonly lease: Lease }
  | { readonly kind: 'reason-required'; readonly what: string }
  | {
      readonly kind: 'limit'
      readonly scope: 'agent' | 'repo'
      readonly limit: number
      readonly agentId: string
      readonly held: readonly string[]
      /** How many it would have been more. */
      readonly adding: number
    }
  | { readonly kind: 'not-stale'; readonly lease: Lease }
  | { readonly kind: 'finished'; readonly past: Past }
  | { readonly kind: 'none-free'; readonly candidates: number }

/** What a caller showed to prove that a lease is theirs. */
export interface Presented {
  readonly leaseId: string | null
  readonly token: number | null
}

/** The error code of a refusal; what to exit with follows from it. */
export function refusalCode(refusal: Refusal): ErrorCode {
  switch (refusal.kind) {
    case 'held':
    case 'launched':
    case 'reserved':
    case 'opening':
    case 'lapsing':
    case 'other-instance':
    case 'pending':
      return 'held'
    case 'not-held':
    case 'no-session':
    case 'unknown-lease':
      return 'not_found'
    case 'not-owner':
      return 'not_owner'
    case 'superseded':
      return 'superseded'
    case 'store-reset':
      return 'unavailable'
    case 'bad-ttl':
    case 'too-many':
    case 'op-id-reused':
    case 'same-holder':
      return 'usage'
    case 'not-pending':
    case 'reason-required':
    case 'limit':
    case 'not-stale':
    case 'finished':
    case 'none-free':
      return 'policy'
    case 'session-is':
      return refusal.standing === 'live' ? 'held' : 'policy'
  }
}

/** The lease that stands in the way, where there is one. */
export const blockerOf = (refusal: Refusal): Lease | null => ('lease' in refusal ? refusal.lease : null)

/** Milliseconds after which asking again may help; null when only somebody's act will. */
export function retryAfterMs(refusal: Refusal, now: Instant): number | null {
  if (refusal.kind === 'lapsing') return refusal.retryAfterMs
  // Its deadline ends nothing.
  if (refusal.kind === 'launched') return null
  const lease = blockerOf(refusal)
  if (lease === null || refusalCode(refusal) !== 'held') return null
  const left = remainingMs(lease, now)
  return left === null ? null : Math.max(0, left)
}

/** One sentence that names the thing and the cause, and one that says what to do next. */
export interface Wording {
  readonly message: string
  readonly hint: string
}

/** Every refusal is worded here and nowhere else. Reasons, sessions and ids are other people's words, so they are made printable. */
export function wordRefusal(refusal: Refusal, now: Instant): Wording {
  const { message, hint } = wordingOf(refusal, now)
  return { message: printable(message), hint: printable(hint) }
}

function wordingOf(refusal: Refusal, now: Instant): Wording {
  switch (refusal.kind) {
    case 'held':
      return wordHeld(refusal, now)
    case 'reserved':
      return wordReserved(refusal.reservation)
    case 'opening':
      return wordOpening(refusal)
    case 'launched':
      return wordLaunched(refusal)
    case 'no-session':
      return { message: `there is no session ${refusal.sessionId}, or it has ended`, hint: 'those that there are: lh session list' }
    case 'session-is':
      return wordSession(refusal)
    case 'lapsing':
      return {
        message: `${refusal.lease.resource} looks abandoned by ${refusal.lease.holder.agentId} and is being watched before it is taken`,
        hint: `ask again in ${inWords(refusal.retryAfterMs)}, or ${waitHint(refusal.lease.resource)}`,
      }
    case 'other-instance':
      return wordOtherInstance(refusal.lease, now)
    case 'pending':
      return {
        message: `${refusal.lease.resource} is reserved for a launch by ${refusal.lease.holder.agentId}; a reservation is confirmed, not used`,
        hint: `see: lh why ${shellWord(refusal.lease.resource)}`,
      }
    case 'not-pending':
      return {
        message: `${refusal.lease.resource} is held, not reserved: there is nothing to confirm`,
        hint: `see: lh why ${shellWord(refusal.lease.resource)}`,
      }
    case 'not-held':
      return { message: `nobody holds ${refusal.resource}`, hint: `to take it: lh claim acquire ${shellWord(refusal.resource)}` }
    case 'unknown-lease':
      return { message: `there is no lease ${show(refusal.leaseId)}`, hint: 'to see the leases there are: lh claim list' }
    case 'not-owner':
      if (refusal.sameAgent === true) return wordOwnElsewhere(refusal.lease, refusal.sameWorktree === true, now)
      return {
        message: `${refusal.lease.resource} is held by ${holderInWords(refusal.lease)}, ${untilInWords(refusal.lease, now)}: not by you`,
        hint: `only its holder can do that; see: lh why ${shellWord(refusal.lease.resource)}; when nobody is behind it any more: lh claim evict ${shellWord(refusal.lease.resource)} --reason "…"`,
      }
    case 'superseded':
      return wordSuperseded(refusal, now)
    case 'store-reset':
      return {
        message: `token ${refusal.token} is newer than the whole log, which ends at ${refusal.lastSeq}: the store was reset, or this is another one`,
        hint: 'nothing was changed; see: lh doctor, and stop using leases from before the reset',
      }
    case 'bad-ttl':
      return {
        message: `a ttl of ${refusal.ttlSecs} s is not possible`,
        hint: refusal.reservation
          ? `a reservation lasts more than 0 and at most ${bounds.maxReservationSecs} s`
          : `give a ttl ${ttlRange}, or 0 for indefinite`,
      }
    case 'too-many':
      return {
        message: `${refusal.count} resources in one step are too many`,
        hint: `at most ${bounds.maxResources} can be taken together`,
      }
    case 'op-id-reused':
      return {
        message: `the op_id ${show(refusal.opId)} was already used for ${refusal.op} of ${refusal.resources.join(', ')} by ${refusal.by}`,
        hint: 'an op_id names one command of one holder; use a new one for another',
      }
    case 'same-holder':
      return {
        message: `${refusal.lease.resource} already belongs to ${refusal.lease.holder.agentId} there`,
        hint: 'name another agent or worktree',
      }
    case 'reason-required':
      return { message: `${refusal.what} needs a reason`, hint: 'add --reason "…"; it is kept in the log' }
    case 'limit':
      return wordLimit(refusal)
    case 'not-stale':
      return {
        message: `${refusal.lease.resource} is not stale: ${holderInWords(refusal.lease)} gave a sign of life ${inWords(now.m - refusal.lease.beat.m)} ago`,
        hint: `see: lh why ${shellWord(refusal.lease.resource)}`,
      }
    case 'finished':
      return wordFinished(refusal.past)
    case 'none-free':
      return { message: `all ${refusal.candidates} candidates are taken`, hint: 'see: lh claim list' }
  }
}

function wordFinished({ resource, outcome, outcomeBy, branch, holder }: Past): Wording {
  const where = branch === null ? '' : ` on ${branch}`
  return {
    message: `${resource} is ${outcome}: ${outcomeBy ?? holder.agentId} finished it${where}, so it is not handed out again`,
    hint: `to work on it once more: lh ticket reopen ${shellWord(nameOf(resource))} --reason "…"`,
  }
}

function wordHeld({ lease, wanted, sameAgent, handing }: Extract<Refusal, { kind: 'held' }>, now: Instant): Wording {
  const overlap = wanted === lease.resource ? '' : ` (${wanted} overlaps it)`
  const stale = isStale(lease, now) ? `; stale: no sign of life for ${inWords(now.m - lease.beat.m)}` : ''
  if (sameAgent === true)
    return {
      message: `${lease.resource} is held by ${holderInWords(lease)}, ${untilInWords(lease, now)}${stale}${overlap}: by you, in another worktree`,
      hint: `go on there (see: lh worktree list), or give it back first: ${releaseHint(lease)}`,
    }
  const message = `${lease.resource} is held by ${holderInWords(lease)}, ${untilInWords(lease, now)}${stale}${overlap}`
  if (handing === true) return { message, hint: `give that back first: ${releaseHint(lease)}` }
  return {
    message,
    hint: `see: lh why ${shellWord(lease.resource)}, or ${waitHint(wanted)}`,
  }
}

/** Most commands cannot wait themselves, so the one that can is named. */
const waitHint = (wanted: string): string => `wait for it: lh claim acquire ${shellWord(wanted)} --wait`

/** How a command that takes its claims itself is typed, to wait for them and to take them again. */
export interface OwnWay {
  readonly wait: string
  readonly take: string
}

/** Does this hint say to claim by hand? */
export const saysToClaim = (hint: string): boolean => waiting.test(hint) || taking.test(hint)

/** Such a hint for a command that takes its claims itself: a claim by hand is of where one stands, and would be in its way. */
export const inOwnWay = (hint: string, { wait, take }: OwnWay): string => hint.replace(waiting, wait).replace(taking, take)

const waiting = /\b(?:wait for it|then): lh claim acquire .* --wait$/
const taking = /\bto take it again: lh claim acquire .*$/

/** What may be shown for a lease from anywhere, by its holder. */
const proofHint = ({ leaseId, token }: Lease): string => `--lease ${leaseId} --token ${token}`

const releaseHint = (lease: Lease): string => `lh claim release ${shellWord(lease.resource)} ${proofHint(lease)}`

/** The agent that asks has it, in this worktree, and another process or session of it, or none, is the holder. */
function wordOtherInstance(lease: Lease, now: Instant): Wording {
  const { resource, holder, binding } = lease
  if (binding === null && holder.sessionId === null)
    return {
      message: `you hold ${resource} already, here, outside of a session, ${untilInWords(lease, now)}`,
      hint: `give it back first: ${releaseHint(lease)}`,
    }
  return {
    message: `${resource} is held by ${holder.agentId} itself, in ${instanceInWords(lease)}, ${untilInWords(lease, now)}`,
    hint: `work there, or end that one first; see: lh why ${shellWord(resource)}`,
  }
}

/** The agent that asks has it, but it asks from elsewhere: a lease is of an agent in a worktree and a session. */
function wordOwnElsewhere(lease: Lease, sameWorktree: boolean, now: Instant): Wording {
  const held = `${lease.resource} is held by ${holderInWords(lease)}, ${untilInWords(lease, now)}`
  if (!sameWorktree)
    return {
      message: `${held}: by you, but not from here`,
      hint: `go where it is held (see: lh worktree list), or show its token: ${proofHint(lease)}`,
    }
  return lease.holder.sessionId === null
    ? {
        message: `${held}: by you, but outside of this session`,
        hint: `do it outside of the session, or show its token: ${proofHint(lease)}`,
      }
    : { message: `${held}: by you, but in another session`, hint: `do it from inside that session, or show its token: ${proofHint(lease)}` }
}

function wordLaunched({ lease, session, standing }: Extract<Refusal, { kind: 'launched' }>): Wording {
  const who = `session ${session.name} (role ${session.role}, ${lease.holder.agentId})`
  const ticket = lease.group?.resources.find(key => kindOf(key) === 'ticket') ?? lease.resource
  const what = ticket === lease.resource ? ticket : `${lease.resource} is part of ${ticket}, which`
  return {
    message: `${what} is claimed by ${who}, which is ${standing}${standingInWords[standing]}`,
    hint: `${openHint(session, standing)}; see: lh why ${shellWord(lease.resource)}`,
  }
}

const reclaimHint = ({ name }: Session): string => `lh session reclaim ${name} --reason "…"`

const standingInWords: Record<SessionStanding, string> = {
  live: '',
  restorable: ': its agent ended and can be opened again',
  stale: ': nobody can tell whether its agent still runs, and it has been silent for too long',
  gone: ': its agent is dead and cannot be opened again',
}

function openHint(session: Session, standing: SessionStanding): string {
  const { name, cwd } = session
  switch (standing) {
    case 'live':
      return `it works in ${cwd}: lh session show ${name}`
    case 'restorable':
      return `open it: ${resumeCommand(session)}, or end it: lh session end ${name}`
    case 'stale':
      return `make sure that it is gone, then: ${reclaimHint(session)}`
    case 'gone':
      return `end it: lh session end ${name}`
  }
}

function wordSession({ session, standing, wanted }: Extract<Refusal, { kind: 'session-is' }>): Wording {
  return {
    message: `session ${session.name} is ${standing}, not ${wanted}${standingInWords[standing]}`,
    hint: openHint(session, standing),
  }
}

function wordOpening({ session, reservation }: Extract<Refusal, { kind: 'opening' }>): Wording {
  const { pid, host, ageMs, launcherAlive } = reservation
  const on = host === undefined ? '' : ` on ${host}`
  if (!launcherAlive)
    return {
      message: `session ${session.name} was being opened again${pid === null ? '' : ` by pid ${pid}${on}`} ${inWords(ageMs)} ago, and its launcher is gone`,
      hint: `what that held lapses by itself within seconds; then: ${resumeCommand(session)}`,
    }
  return {
    message: `session ${session.name} is being opened again${pid === null ? '' : ` by pid ${pid}${on}`} since ${inWords(ageMs)}`,
    hint: `${pid === null ? '' : `to stop that${on}: kill ${pid}; `}what becomes of it: lh session show ${session.name}`,
  }
}

function wordReserved({ resource, agentId, role, pid, launcherAlive, agent, ageMs }: Reservation): Wording {
  const who = role === '' ? agentId : `${agentId} (role ${role})`
  if (!launcherAlive)
    return {
      message: `${resource} is reserved: ${who} was being launched for it ${inWords(ageMs)} ago, its launcher is gone, and what it started still runs${agent === null ? '' : ` (pid ${agent.pid})`}`,
      hint: `end that: lh session end ${shellWord(spellingOf(resource))}; or launch again, which ends it first`,
    }
  return {
    message: `${resource} is reserved: ${who} is being launched for it${pid === null ? '' : ` by pid ${pid}`} since ${inWords(ageMs)}`,
    hint: `the launch ends with a claim or with nothing; see: lh why ${shellWord(resource)}, or ${waitHint(resource)}`,
  }
}

function wordSuperseded(refusal: Extract<Refusal, { kind: 'superseded' }>, now: Instant): Wording {
  const { resource, lease, past, presented, asker, evicting, unanswered } = refusal
  // Of what was shown, what does not fit.
  const token = presented.leaseId !== null && presented.token === lease?.token ? null : presented.token
  const shown = token !== null ? `token ${token}` : presented.leaseId === null ? 'lease' : `lease ${presented.leaseId}`
  if (evicting === true) return wordNotEvicted(shown, refusal, now)
  if (unanswered === true)
    return {
      message: `your ${shown} for ${resource} could not be renewed before its deadline, and whether it is still current is unknown`,
      hint: `stop writing; see: lh why ${shellWord(resource)}`,
    }
  if (lease !== null && asker?.agentId === lease.holder.agentId) return wordOwnNewer(shown, lease, asker, now)
  if (lease !== null) {
    return {
      message: `your ${shown} for ${resource} is no longer current: ${holderInWords(lease)} holds it with token ${lease.token}, ${untilInWords(lease, now)}`,
      hint: `stop writing; see: lh why ${shellWord(resource)}, then: lh claim acquire ${shellWord(resource)} --wait`,
    }
  }
  return {
    message: `your ${shown} for ${resource} is no longer current: ${endInWords(past, presented, now)} and nobody holds it now`,
    hint: `to take it again: lh claim acquire ${shellWord(resource)}`,
  }
}

/** Whoever evicts has lost nothing: the ownership that was meant is over. */
function wordNotEvicted(
  shown: string,
  { resource, lease, past, presented }: Extract<Refusal, { kind: 'superseded' }>,
  now: Instant,
): Wording {
  const why = `lh why ${shellWord(resource)}`
  if (lease === null)
    return {
      message: `${resource} is not held with ${shown}: ${endInWords(past, presented, now)} and nobody holds it now`,
      hint: `there is nothing to evict; see: ${why}`,
    }
  return {
    message: `${resource} is not held with ${shown}: ${holderInWords(lease)} holds it with token ${lease.token}, ${untilInWords(lease, now)}`,
    hint: `nothing was evicted; see: ${why}; to end that one: lh claim evict ${shellWord(resource)} --token ${lease.token} --reason "…"`,
  }
}

/** Who shows what is old has what is current as well, here or elsewhere: to wait for it would be to wait for oneself. */
function wordOwnNewer(shown: string, lease: Lease, asker: Holder, now: Instant): Wording {
  const { resource, token, holder } = lease
  const told = (where: string): string =>
    `your ${shown} for ${resource} is no longer current: you hold it yourself${where}, with token ${token}, ${untilInWords(lease, now)}`
  if (sameHolder(asker, holder))
    return {
      message: told(''),
      hint: `take note of that one: lh claim acquire ${shellWord(resource)}; or show it: ${proofHint(lease)}; see: lh why ${shellWord(resource)}`,
    }
  const giveBack = `or give it back first: ${releaseHint(lease)}`
  if (asker.worktreeId !== holder.worktreeId)
    return { message: told(` in another worktree (${holder.worktreeId})`), hint: `go on there (see: lh worktree list), ${giveBack}` }
  const where = holder.sessionId === null ? ' outside of this session' : ` in session ${holder.sessionId}`
  return { message: told(where), hint: `go on there, ${giveBack}` }
}

/** How what was presented ended. Only the last ownership's end is remembered, and it says nothing of those before it. */
function endInWords(past: Past | null, { leaseId, token }: Presented, now: Instant): string {
  if (past === null) return 'it has ended'
  const isIt = (token === null || token === past.token) && (leaseId === null || leaseId === past.leaseId)
  if (isIt) return `it ended by ${past.endedBy}${past.reason === null ? '' : ` (${past.reason})`} ${inWords(now.wall - past.endedAt)} ago`
  if (token === past.token) return 'it has ended'
  if (token !== null && token > past.token) return `its last token was ${past.token}, which has ended,`
  return `a later token, ${past.token}, took its place, which has ended too,`
}

function wordLimit({ scope, limit, agentId, held, adding }: Extract<Refusal, { kind: 'limit' }>): Wording {
  const whose = scope === 'agent' ? agentId : 'this repository'
  const key = scope === 'agent' ? 'max_indefinite_leases_per_agent' : 'max_indefinite_leases_per_repo'
  if (limit === 0) return { message: `indefinite leases (ttl 0) are not allowed here: ${key} is 0`, hint: `give a --ttl, or raise ${key}` }
  if (held.length === 0)
    return {
      message: `${adding} indefinite leases in one step are too many: the limit for ${whose} is ${limit}`,
      hint: `take fewer, give a --ttl, or raise ${key}`,
    }
  const more = adding === 1 ? '' : `, and this would be ${adding} more`
  return {
    message: `${whose} already has ${held.length} indefinite ${held.length === 1 ? 'lease' : 'leases'} (${held.join(', ')})${more}; the limit is ${limit}`,
    hint: `release one, give a --ttl, or raise ${key}`,
  }
}

const holderInWords = (lease: Lease): string => {
  const { agentId, worktreeId, sessionId } = lease.holder
  return sessionId === null ? `${agentId} (${worktreeId})` : `${agentId} (${worktreeId}, session ${sessionId})`
}

function instanceInWords({ binding, holder }: Lease): string {
  if (binding !== null) return holder.witness === null ? 'another process' : `process ${holder.witness.pid}`
  return holder.sessionId === null ? 'another session' : `session ${holder.sessionId}`
}

function untilInWords(lease: Lease, now: Instant): string {
  const left = remainingMs(lease, now)
  if (left === null) return 'indefinitely'
  return left > 0 ? `for another ${inWords(left)}` : `expired ${inWords(-left)} ago and not yet evicted`
}

/** A duration for people: `340 ms`, `12 s`, `4 min`, `3 h 20 min`, `2 d`. */
export function inWords(ms: number): string {
  const rounded = Math.max(0, Math.round(ms))
  if (rounded < 1000) return `${rounded} ms`
  const secs = Math.round(rounded / 1000)
  if (secs < 120) return `${secs} s`
  const minutes = Math.round(secs / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return `${Math.round(hours / 24)} d`
}
