import type { Caller, Granted } from '../../coordinator.ts'
import { policy } from '../../core/fault.ts'
import type { Lease } from '../../core/lease.ts'
import { printable } from '../../core/resource.ts'
import { orThrow } from '../claim/answer.ts'
import type { ProofFlags } from '../claim/proof.ts'
import { noteHeld, shownFor } from '../claim/proof.ts'
import type { Stage } from '../gate/definition.ts'
import { claimSet } from '../identity/purpose.ts'
import { branchOf } from '../../host/base-commit.ts'
import { changeTicket, secondsOf } from './change.ts'
import type { Plan } from './change.ts'
import type { Desk } from './desk.ts'
import { keyOf } from './desk.ts'
import { readEvents } from './events.ts'
import { eventsOf } from './history.ts'
import { refuseWrongProof, withTicket } from './hold.ts'
import type { HeldTicket } from './hold.ts'
import { refuseUnclaimable } from './spelling.ts'
import type { Ticket, WorkflowState } from './ticket.ts'
import { checkStep, isFinished } from './ticket.ts'

// The way of a ticket from intake to done, and back. Each step needs the ticket's lease, and is refused where it does not lead.

/** Who asks, and what they show. */
export interface Asking {
  readonly desk: Desk
  readonly caller: Caller
  readonly flags: ProofFlags
  readonly env: NodeJS.ProcessEnv
}

/** The ticket after a step; `already` when it had been there. */
export interface Stepped {
  readonly ticket: Ticket
  readonly already: boolean
}

const stateEvent = (from: string, to: string, more: Readonly<Record<string, unknown>> = {}) => ({
  type: 'state_changed',
  field: 'workflow_state',
  from,
  to,
  ...more,
})

/** The front matter of a step; leaving the queue takes the ticket off it. */
function stepChanges(ticket: Ticket, to: WorkflowState, actor: string): Plan['changes'] {
  if (to === 'queued') return { workflowState: to, queuedBy: actor, queuedAt: secondsOf(Date.now()) }
  const left = ticket.workflowState === 'queued' && to === 'ready' ? { queuedBy: null, queuedAt: null } : {}
  // What goes back to the others is nobody's.
  const back = ticket.workflowState === 'inprogress' && to !== 'done' ? { assignee: null } : {}
  return { workflowState: to, ...left, ...back }
}

/** Nothing is left to do for whoever may have done it. */
async function already({ desk, caller, flags }: Asking, ticket: Ticket): Promise<Stepped> {
  await refuseWrongProof(desk.workspace, caller, ticket.id, flags)
  return { ticket, already: true }
}

/** Moves a ticket to another state by saying so: `ready`, `queue`, and back. Throws `policy` with what is allowed. */
export async function moveTicket(asking: Asking, id: string, to: WorkflowState): Promise<Stepped> {
  const { desk, caller, flags, env } = asking
  const before = await desk.sound(id)
  if (before.workflowState === to && !isFinished(before)) return already(asking, before)
  checkStep(before, to)
  const actor = caller.holder.agentId
  return withTicket(desk.workspace, caller, id, { why: `ticket ${to}`, flags, env }, async held => {
    const plan = ({ ticket }: { ticket: Ticket }): Plan => {
      checkStep(ticket, to)
      return { changes: stepChanges(ticket, to, actor), events: [stateEvent(ticket.workflowState, to)] }
    }
    // What is handed back while it is in progress is nobody's: its lease ends with it.
    const commit =
      before.workflowState === 'inprogress'
        ? (effect: () => void) => held.finish('abandoned', effect)
        : (effect: () => void) => held.commit(effect)
    return { ticket: await changeTicket(desk, id, actor, plan, commit), already: false }
  })
}

export interface StartRequest {
  /** 0 = indefinite: that needs a reason. */
  readonly ttlSecs?: number
  readonly reason?: string
  readonly waitMs?: number
  readonly onWait?: () => void
  readonly opId?: string
}

/** What a start leaves: the lease and the ticket in progress. */
export interface Started extends Stepped {
  readonly granted: Granted
  /** A lease that could not be noted in this worktree. */
  readonly warning: string | null
}

/**
 * Claims a ticket and marks it as in progress by its holder. The log comes first: whoever crashes in between holds the ticket, and can
 * run this again. Throws `policy` for one that is not ready, blocked, over, or short of a gate.
 */
export async function startTicket(asking: Asking, id: string, request: StartRequest): Promise<Started> {
  const { desk, caller, env } = asking
  const { waitMs, onWait, ttlSecs, reason } = request
  refuseEndless(request)
  await refuseUnstartable(desk, await desk.sound(id))
  const branch = branchOf(desk.workspace.repository.gitDir)
  const resources = claimSet(desk.workspace.repository, keyOf(id))
  const granted = orThrow(
    await desk.workspace.coordinator.acquire(caller, {
      resources,
      ...shownFor(resources, env),
      // By this the doctor knows a start that was cut short.
      reason: reason === undefined ? 'ticket start' : `ticket start: ${reason}`,
      ...(ttlSecs === undefined ? {} : { ttlSecs }),
      ...(branch === null ? {} : { branch }),
      ...(waitMs === undefined ? {} : { waitMs }),
      ...(onWait === undefined ? {} : { onWait }),
    }),
  )
  const lease = granted.leases.find(({ resource }) => resource === keyOf(id))!
  const warning = noteHeld(desk.workspace, granted.leases)
  return { ...(await markStarted(asking, id, lease)), granted, warning }
}

/** Throws `policy` for an indefinite claim that nobody gives a reason for: that it is started is none. */
export function refuseEndless({ ttlSecs, reason }: Pick<StartRequest, 'ttlSecs' | 'reason'>): void {
  if (ttlSecs === 0 && reason === undefined)
    throw policy('an indefinite lease (ttl 0) needs a reason', 'add --reason "…"; it is kept in the log')
}

/** Throws `policy` for a ticket that is not ready, blocked, over, or short of a gate. */
export async function refuseUnstartable(desk: Desk, ticket: Ticket): Promise<void> {
  if (ticket.workflowState !== 'inprogress' || isFinished(ticket)) checkStart(ticket)
  await refuseUnclaimable(desk, ticket.id)
  await refuseUnmet(desk, ticket, 'pre', 'start')
}

function checkStart(ticket: Ticket): void {
  refuseIntake(ticket, `say that it is clear: lh ticket ready ${ticket.id}, then: lh ticket start ${ticket.id}`)
  if (!isFinished(ticket)) checkStep(ticket, 'inprogress')
}

/** Throws `policy` for a ticket of which nobody has said yet that it is clear; `hint`: how to say it, and what to do then. */
export function refuseIntake(ticket: Ticket, hint: string): void {
  if (isFinished(ticket) || ticket.workflowState !== 'intake') return
  throw policy(`${ticket.id} is in intake: it has to be clarified before work on it starts`, hint)
}

async function markStarted({ desk, caller }: Asking, id: string, lease: Lease): Promise<Stepped> {
  const actor = caller.holder.agentId
  // Who shows the proof of a lease may be another than its holder.
  const assignee = lease.holder.agentId
  let already = false
  const plan = ({ ticket }: { ticket: Ticket }): Plan | null => {
    already = ticket.workflowState === 'inprogress' && ticket.assignee === assignee
    if (already) return null
    const taken = ticket.assignee !== null && ticket.assignee !== assignee ? { from_assignee: ticket.assignee } : {}
    return {
      changes: { workflowState: 'inprogress', assignee },
      events: [stateEvent(ticket.workflowState, 'inprogress', { token: lease.token, lease_id: lease.leaseId, ...taken })],
    }
  }
  const asked = { target: { resource: lease.resource }, presented: { leaseId: lease.leaseId, token: lease.token } }
  const commit = async (effect: () => void): Promise<void> =>
    void orThrow(await desk.workspace.coordinator.guard(caller, { ...asked, effect }))
  return { ticket: await changeTicket(desk, id, actor, plan, commit), already }
}

/** Throws `policy` while a gate of this stage is not passed, naming each and the command that helps. */
export async function refuseUnmet(desk: Desk, ticket: Ticket, stage: Stage, what: string): Promise<void> {
  if (ticket.gates.length === 0) return
  const [{ Definitions }, { gateStates, unmetGates, gateAdvice }] = await Promise.all([
    import('../gate/definition.ts'),
    import('../gate/results.ts'),
  ])
  const { repository } = desk.workspace
  const events = readEvents(desk.catalogue.directories(ticket.id))
  const unmet = unmetGates(gateStates(Definitions.open(repository), ticket, events, repository), stage)
  if (unmet.length === 0) return
  const advice = unmet.map(gate => ({ ...gateAdvice(gate, ticket.id), key: gate.key }))
  throw policy(
    `${ticket.id} cannot ${what}: not passed: ${advice.map(({ key, why }) => `gate ${key} (${why})`).join(', ')}`,
    [...new Set(advice.map(({ command }) => command))].join('; '),
  )
}

/**
 * Finishes a ticket: every gate passed, then the file and the end of the lease in one step. The file comes first: whoever crashes in
 * between still holds the ticket, and can run this again.
 */
export async function finishTicket(asking: Asking, id: string): Promise<Stepped> {
  const { desk, caller, flags, env } = asking
  const ticket = await desk.sound(id)
  const view = await desk.view()
  if (isFinished(ticket) && view.lease(keyOf(id)) === null) return already(asking, ticket)
  const actor = caller.holder.agentId
  return withTicket(desk.workspace, caller, id, { why: 'ticket done', finishedToo: isFinished(ticket), flags, env }, async held => {
    const plan = async ({ ticket: current }: { ticket: Ticket }): Promise<Plan> => {
      if (isFinished(current)) return { changes: {}, events: [] }
      await refuseUnmet(desk, current, 'post', 'be done')
      return finishedPlan(current, held.lease)
    }
    return { ticket: await changeTicket(desk, id, actor, plan, effect => held.finish('done', effect)), already: false }
  })
}

/** How a ticket is marked as done. Throws `policy` when it is not in progress. */
export function finishedPlan(ticket: Ticket, { token, leaseId }: Lease): Plan {
  checkStep(ticket, 'done')
  return { changes: { workflowState: 'done' }, events: [stateEvent(ticket.workflowState, 'done', { token, lease_id: leaseId })] }
}

/** Closes a ticket in whatever state it is, with what became of it. Ends its lease. */
export async function closeTicket(asking: Asking, id: string, resolution: string): Promise<Stepped> {
  const { desk, caller } = asking
  const actor = caller.holder.agentId
  const { ticket } = await desk.catalogue.read(id)
  if (ticket.status === 'closed' && (await desk.view()).lease(keyOf(id)) === null) {
    refuseOtherResolution(desk, ticket, resolution)
    return already(asking, ticket)
  }
  return ending(asking, id, 'ticket close', async held => {
    const plan = ({ ticket: current }: { ticket: Ticket }): Plan => ({
      changes: { status: 'closed', workflowState: 'done' },
      events: [
        ...(current.workflowState === 'done' ? [] : [stateEvent(current.workflowState, 'done', { reason: 'closed' })]),
        { type: 'closed', resolution },
      ],
      files: { 'resolution.md': resolution.endsWith('\n') ? resolution : `${resolution}\n` },
    })
    return { ticket: await changeTicket(desk, id, actor, plan, effect => held.finish('closed', effect)), already: false }
  })
}

/** Whoever asks again is told that it is done; another text would be lost. */
function refuseOtherResolution(desk: Desk, { id }: Ticket, resolution: string): void {
  const closed = eventsOf(desk, id).findLast(({ type }) => type === 'closed')
  const said = typeof closed?.['resolution'] === 'string' ? closed['resolution'].trim() : null
  if (said === resolution.trim()) return
  throw policy(
    `${id} is closed already${said === null ? '' : `: ${printable(said.split('\n')[0]!)}`}`,
    `to add something: lh ticket comment ${id} --message "…"; to close it in another way: lh ticket reopen ${id} --reason "…", then close it`,
  )
}

/** Opens what was done or closed once more: it is ready, and nobody's. */
export async function reopenTicket(asking: Asking, id: string, reason: string): Promise<Stepped> {
  const { desk, caller } = asking
  const actor = caller.holder.agentId
  const { ticket: before } = await desk.catalogue.read(id)
  if (!isFinished(before) && (await desk.readiness(before)).over === null)
    throw policy(`${id} is ${before.workflowState}, and nothing says that it is over`, `see: lh ticket show ${id}`)
  return ending(asking, id, 'ticket reopen', async held => {
    const plan = ({ ticket }: { ticket: Ticket }): Plan => ({
      changes: { status: 'open', workflowState: 'ready', assignee: null, queuedBy: null, queuedAt: null },
      events: [{ type: 'reopened', reason, from: ticket.workflowState, to: 'ready', status: ticket.status }],
    })
    return { ticket: await changeTicket(desk, id, actor, plan, effect => held.finish('reopened', effect)), already: false }
  })
}

const ending = <T>({ desk, caller, flags, env }: Asking, id: string, why: string, work: (held: HeldTicket) => Promise<T>): Promise<T> =>
  withTicket(desk.workspace, caller, id, { why, finishedToo: true, flags, env }, work)
