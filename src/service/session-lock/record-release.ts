import type { Caller } from '../../coordinator.ts'
import { orThrow } from '../claim/answer.ts'
import type { Workspace } from '../claim/workspace.ts'
import type { LockRecord } from './record.ts'
import { logKey } from './report.ts'

/**
 * Writes a forced release into the repository's log: a lease of `session-lock:<hash>` that is taken and given back with the reason, since
 * the log has no other way to say that a person did something.
 */
export async function recordRelease(
  workspace: Workspace,
  caller: Caller,
  root: string,
  previous: LockRecord,
  reason: string,
): Promise<void> {
  const resource = logKey(root)
  const words = `session lock of ${previous.session_id} (pid ${previous.pid}) released by force: ${reason}`.slice(0, 2048)
  const { leases } = orThrow(await workspace.coordinator.acquire(caller, { resources: [resource], ttlSecs: 60, reason: words }))
  for (const { leaseId, token } of leases) {
    orThrow(await workspace.coordinator.release(caller, { target: { resource }, presented: { leaseId, token }, reason: words }))
  }
}
