import { Fault, policy } from '../../core/fault.ts'
import type { Holder } from '../../core/lease.ts'
import { isExpired } from '../../core/lease.ts'
import { holderToWire } from '../../core/wire.ts'
import { whenFree } from '../claim/when-free.ts'
import type { Patience } from '../claim/when-free.ts'
import type { Workspace } from '../claim/workspace.ts'
import { readWorktree } from '../identity/worktree.ts'
import { worktreeIdsOf } from '../identity/worktrees.ts'
import { Desk, keyOf } from '../ticket/desk.ts'
import { refuseIntake, refuseUnstartable } from '../ticket/workflow.ts'
import { addWorktree, refuseHalfGone, refuseNoBase } from '../worktree/add.ts'
import type { Added } from '../worktree/add.ts'
import { worktreeFor } from './find.ts'

export interface PlaceRequest {
  readonly ticketId: string
  /** Where the caller stands. */
  readonly directory: string
  readonly env: NodeJS.ProcessEnv
  /** How long to wait for a ticket that somebody else has. */
  /** Null refuses at once a ticket that somebody else has. */
  readonly wait: Patience | null
}

/** The worktree for a ticket, made where there is none. Nothing is made for a ticket that cannot be started, or is somebody else's. */
export const placeFor = (workspace: Workspace, holder: Holder, { ticketId, directory, env, wait }: PlaceRequest): Promise<Added> =>
  whenFree(workspace, wait, async () => {
    const desk = new Desk(workspace)
    if (worktreeFor(workspace.repository, ticketId) === null) await refuseBeforehand(desk, holder, ticketId, env)
    return addWorktree(desk, holder, { name: ticketId, directory, env })
  })

/** Throws what starting would throw in the worktree that is to be made: its ticket is as the base branch has it, where that has one. */
async function refuseBeforehand(desk: Desk, holder: Holder, id: string, env: NodeJS.ProcessEnv): Promise<void> {
  await refuseHalfGone(desk, holder, id, env)
  const here = await desk.sound(id)
  const there = (await desk.catalogue.copies(id)).find(({ source }) => source === 'base')?.ticket
  if (there === undefined) await refuseNoBase(desk, env)
  // Its worktree would have a copy of its own, and the merge two beginnings of one file.
  if (there === undefined)
    throw policy(
      `${id} is not committed on ${desk.catalogue.baseBranch ?? 'any branch'}, from which its worktree is made`,
      'commit it there first: git add .leasehold .gitattributes && git commit -m "Tickets"',
    )
  if (there.workflowState === 'intake' && here.workflowState !== 'intake')
    throw policy(
      `${id} is ${here.workflowState} here, and still in intake on ${desk.catalogue.baseBranch}, from which its worktree is made`,
      'commit it there first: git add .leasehold && git commit',
    )
  await refuseOwnElsewhere(desk, holder, id)
  refuseIntake(
    there,
    `say that it is clear, and commit that on ${desk.catalogue.baseBranch}: lh ticket ready ${id} && git add .leasehold && git commit; then: lh work ${id}`,
  )
  await refuseUnstartable(desk, there)
}

/** A lease is of an agent in a worktree: what it took where it stands is not its own in another one. */
async function refuseOwnElsewhere(desk: Desk, { agentId, sessionId }: Holder, id: string): Promise<void> {
  const view = await desk.view()
  const lease = view.lease(keyOf(id))
  if (lease === null || isExpired(lease, view.now)) return
  const { holder } = lease
  if (holder.agentId !== agentId || holder.sessionId !== sessionId) return
  const present = worktreeIdsOf(desk.workspace.repository).has(holder.worktreeId)
  const isHere = readWorktree(desk.workspace.repository).worktreeId === holder.worktreeId
  const where = present ? 'in another worktree' : desk.workspace.mayHaveOtherClones ? 'in another clone' : 'in a worktree that is gone'
  throw new Fault('held', `you hold ${id} already, ${isHere ? 'here' : `${where} (${holder.worktreeId})`}`, {
    hint: isHere
      ? `give it back, then its worktree can take it: lh claim release ${id}`
      : present
        ? `go on there (see: lh worktree list), or give it back there first: lh claim release ${id}`
        : desk.workspace.mayHaveOtherClones
          ? `go on there, or give it back there first: lh claim release ${id}`
          : `end that: lh claim evict ${id} --reason "its worktree is gone"; then: lh work ${id}`,
    details: { holder: holderToWire(holder) },
  })
}
