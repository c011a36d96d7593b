import type { Holder } from '../../../core/lease.ts'
import { isExpired, sameHolder } from '../../../core/lease.ts'
import type { View } from '../../../core/view.ts'
import { keyOf } from '../desk.ts'

/** Who holds a ticket. */
export interface Held {
  readonly agentId: string
  /** By whoever imports. */
  readonly mine: boolean
}

/** Who holds a ticket, as the log says; null for nobody. */
export const holderOf =
  (view: View, holder: Holder) =>
  (id: string): Held | null => {
    const lease = view.lease(keyOf(id))
    if (lease === null || isExpired(lease, view.now)) return null
    return { agentId: lease.holder.agentId, mine: sameHolder(lease.holder, holder) }
  }
