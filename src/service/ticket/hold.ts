import type { Caller, Granted, Refused } from '../../coordinator.ts'
import type { Holder, Lease } from '../../core/lease.ts'
import { isExpired } from '../../core/lease.ts'
import type { Presented } from '../../core/refusal.ts'
import { orThrow } from '../claim/answer.ts'
import { noteEnded, proofFor } from '../claim/proof.ts'
import type { ProofFlags } from '../claim/proof.ts'
import type { Workspace } from '../claim/workspace.ts'

/** How long a lease that is taken for the moment lasts if its taker dies. Seconds. */
const momentSecs = 60

/** A ticket whose lease the caller has: its own, or one that was free and is taken for the moment. */
export interface HeldTicket {
  readonly ticketId: string
  readonly lease: Lease
  readonly momentary: boolean
  /** Moves the deadline. Throws `superseded` when the lease is lost. */
  renew(): Promise<void>
  /** Is this very ownership still current, and up to which position of the log is that known? */
  look(): Promise<{ readonly current: boolean; readonly seq: number }>
  /** Resolves when the log has gone past this position, or the time is over. */
  changed(seq: number, timeoutMs: number): Promise<void>
  /**
   * Runs the effect while the store is locked, after it was proven that this very ownership is still current (also late). Throws the
   * refusal otherwise, and nothing happened then. A momentary lease ends in the same step.
   */
  commit(effect: () => void): Promise<void>
  /** The same, and the lease goes on, also a momentary one. */
  guard(effect: () => void): Promise<void>
  /** The same, and the ownership ends with this outcome. */
  finish(outcome: string, effect: () => void): Promise<void>
  /** Gives back a momentary lease that nothing was done with. */
  abandon(): Promise<void>
}

export interface HoldOptions {
  /** What for; kept in the log with a momentary lease. */
  readonly why: string
  /** Also a ticket that is done or closed. */
  readonly finishedToo?: boolean
  readonly flags?: ProofFlags
  readonly env?: NodeJS.ProcessEnv
}

/**
 * The lease of a ticket, for a command that needs it: the caller's own, with proof; if nobody has one it is taken for the moment.
 * Throws what the rules answer when it is somebody else's, or was the caller's and is lost.
 */
export async function holdTicket(workspace: Workspace, caller: Caller, ticketId: string, options: HoldOptions): Promise<HeldTicket> {
  const { coordinator } = workspace
  const { holder } = caller
  const target = { resource: `ticket:${ticketId}` }
  const presented = proofFor(workspace, target, options.flags ?? {}, options.env ?? process.env, holder)
  const answer = await coordinator.guard({ holder }, { target, presented, effect: () => undefined })
  if (answer.ok) return new Held(workspace, { holder }, ticketId, leaseOf(answer, target.resource), false)
  if (!isFree(answer)) orThrow(answer)
  const { finishedToo = false, why } = options
  const taken = orThrow(
    await coordinator.acquire({ holder }, { resources: [target.resource], ttlSecs: momentSecs, reason: why, finishedToo }),
  )
  return new Held(workspace, { holder }, ticketId, leaseOf(taken, target.resource), true)
}

const leaseOf = ({ leases }: Granted, resource: string): Lease => leases.find(lease => lease.resource === resource)!

/** Nobody has it, or somebody whose time is over. A caller that shows an old token is told that it lost the lease. */
const isFree = ({ refusal, now }: Refused): boolean =>
  refusal.kind === 'not-held' || (refusal.kind === 'not-owner' && isExpired(refusal.lease, now))

/**
 * What is shown has to match, also where nothing is left to do. A holder that repeats the command with which its ownership ended may show
 * that: so it goes when an answer was lost.
 */
export async function refuseWrongProof(workspace: Workspace, { holder }: Caller, ticketId: string, flags: ProofFlags): Promise<void> {
  if (flags.token === undefined && flags.lease === undefined) return
  const target = { resource: `ticket:${ticketId}` }
  const presented = proofFor(workspace, target, flags, {}, holder)
  const answer = await workspace.coordinator.guard({ holder }, { target, presented, effect: () => undefined })
  if (!answer.ok && !isOwnEnd(answer, holder)) orThrow(answer)
}

function isOwnEnd({ refusal }: Refused, { agentId, sessionId }: Holder): boolean {
  if (refusal.kind !== 'superseded' || refusal.lease !== null || refusal.past?.endedBy !== 'release') return false
  const { past, presented } = refusal
  const isThat = (presented.token ?? past.token) === past.token && (presented.leaseId ?? past.leaseId) === past.leaseId
  return isThat && past.holder.agentId === agentId && past.holder.sessionId === sessionId
}

/** Holds a ticket while `work` runs, and gives back what was taken for the moment. */
export async function withTicket<T>(
  workspace: Workspace,
  caller: Caller,
  ticketId: string,
  options: HoldOptions,
  work: (held: HeldTicket) => Promise<T>,
): Promise<T> {
  const held = await holdTicket(workspace, caller, ticketId, options)
  try {
    return await work(held)
  } finally {
    await held.abandon()
  }
}

class Held implements HeldTicket {
  readonly ticketId: string
  readonly lease: Lease
  readonly momentary: boolean
  readonly #workspace: Workspace
  readonly #caller: Caller
  readonly #presented: Presented
  #ended = false

  constructor(workspace: Workspace, caller: Caller, ticketId: string, lease: Lease, momentary: boolean) {
    this.#workspace = workspace
    this.#caller = caller
    this.ticketId = ticketId
    this.lease = lease
    this.momentary = momentary
    this.#presented = { leaseId: lease.leaseId, token: lease.token }
  }

  get #asked(): { readonly target: { readonly resource: string }; readonly presented: Presented } {
    return { target: { resource: this.lease.resource }, presented: this.#presented }
  }

  async renew(): Promise<void> {
    orThrow(await this.#workspace.coordinator.renew(this.#caller, this.#asked))
  }

  async look(): Promise<{ readonly current: boolean; readonly seq: number }> {
    const { resource, token } = this.lease
    const view = await this.#workspace.coordinator.view([resource])
    return { current: view.lease(resource)?.token === token, seq: view.lastSeq }
  }

  changed(seq: number, timeoutMs: number): Promise<void> {
    return this.#workspace.coordinator.changed(seq, timeoutMs)
  }

  async commit(effect: () => void): Promise<void> {
    if (this.momentary) await this.#release(null, effect)
    else await this.guard(effect)
  }

  async guard(effect: () => void): Promise<void> {
    orThrow(await this.#workspace.coordinator.guard(this.#caller, { ...this.#asked, effect }))
  }

  async finish(outcome: string, effect: () => void): Promise<void> {
    await this.#release(outcome, effect)
  }

  async abandon(): Promise<void> {
    // If it cannot be given back, time does it.
    if (this.momentary && !this.#ended) await this.#release(null, () => undefined).catch(() => undefined)
  }

  /** What was taken for this ticket ends with it; another ticket of the same group goes on. */
  #hasOtherWork(): boolean {
    return this.lease.group?.resources.some(key => key.startsWith('ticket:') && key !== this.lease.resource) === true
  }

  async #release(outcome: string | null, effect: () => void): Promise<void> {
    const answer = await this.#workspace.coordinator.release(this.#caller, {
      ...this.#asked,
      ...(outcome === null ? {} : { outcome }),
      only: this.#hasOtherWork(),
      effect,
    })
    this.#ended = answer.ok
    // Also one for the moment may have been noted: what runs meanwhile acts as its holder, and renews it.
    noteEnded(this.#workspace, orThrow(answer).ended)
  }
}
