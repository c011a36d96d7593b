import type { Caller } from '../../coordinator.ts'
import { notFound } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { isOwnership } from '../../core/operation.ts'
import type { Wire } from '../../core/wire.ts'
import { orThrow } from './answer.ts'
import type { Workspace } from './workspace.ts'

/** What a person lets through. */
export interface Allowance {
  readonly resource: string
  readonly token: number
  readonly reason: string
}

/**
 * Records that the work of an ownership may be pushed although its lease was lost. It gives nobody a lease. Throws `not_found` when the
 * log knows no such ownership.
 */
export async function allowLost(workspace: Workspace, caller: Caller, { resource, token, reason }: Allowance): Promise<Wire> {
  let leaseId: string | undefined
  for await (const { seq, operation } of workspace.store.history({ resource }))
    if (seq === token && isOwnership(operation)) leaseId = operation.leaseIds[operation.resources.indexOf(resource)]
  if (leaseId === undefined)
    throw notFound(`nobody ever held ${resource} with token ${token}`, `see: lh claim history ${shellWord(resource)}`)
  const granted = orThrow(await workspace.coordinator.allow(caller, { resource, token, leaseId, reason }))
  return {
    ok: true,
    resource,
    token,
    lease_id: leaseId,
    reason,
    actor: caller.holder.agentId,
    ...(granted.replay ? { replay: true } : {}),
    op_id: granted.opId,
  }
}
