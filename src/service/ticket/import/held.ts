import type { Holder } from '../../../core/lease.ts'
import { isExpired, sameHolder } from '../../../core/lease.ts'
import type { View } from '../../../core/view.ts'
import { keyOf } from '../desk.ts'

/** Who else holds a ticket, as the log says: their agent id, or null. */
export const heldByOthers =
  (view: View, holder: Holder) =>
  (id: string): string | null => {
    const lease = view.lease(keyOf(id))
    return lease === null || isExpired(lease, view.now) || sameHolder(lease.holder, holder) ? null : lease.holder.agentId
  }
