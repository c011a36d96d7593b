import { endedBy, touches } from '../../core/operation.ts'
import { isoFromMs } from '../../core/time.ts'
import type { Wire } from '../../core/wire.ts'
import { holderToWire } from '../../core/wire.ts'
import type { Reading, Store } from '../../store/store.ts'

/** How each key that is free now was last held, newest last. */
export async function endedLeases(store: Store, view: Reading): Promise<readonly Wire[]> {
  const keys = new Set<string>()
  for await (const { operation } of store.history())
    if (endedBy(operation) !== null) for (const key of touches(operation) ?? []) keys.add(key)
  const ended: Wire[] = []
  for (const key of keys) {
    const past = view.lease(key) === null ? view.past(key) : null
    if (past === null) continue
    const { resource, leaseId, token, holder, reason, endedAt } = past
    ended.push({
      resource,
      lease_id: leaseId,
      token,
      holder: holderToWire(holder),
      ended_by: past.endedBy,
      reason,
      ended_at: isoFromMs(endedAt),
    })
  }
  return ended
}
