import { ttlSecs } from './order.ts'
import type { Ack } from './storm.ts'

/** From when until when a process was certain to be the holder: it had been told so, and neither gave it back nor let it lapse. */
interface Hold {
  readonly agentId: string
  readonly resource: string
  readonly token: number
  readonly from: number
  until: number
}

/**
 * Two holders as the processes themselves saw it, whatever the log says: stretches of time in which each of two was told that it has the
 * same key. Only what is certain counts. A hold ends where its release was asked for, with its TTL counted from before the last renewal
 * was asked for, and, when nothing was heard of a release (its process may have been killed during one), at the last answer.
 */
export function toldTwice(acks: readonly Ack[]): readonly string[] {
  const holds = [...holdsOf(acks).values()].toSorted((a, b) => a.from - b.from)
  const latest = new Map<string, Hold>()
  const found: string[] = []
  for (const hold of holds) {
    const before = latest.get(hold.resource)
    if (before !== undefined && hold.from < before.until) {
      const ms = Math.min(hold.until, before.until) - hold.from
      found.push(
        `${hold.resource} was ${before.agentId}'s (#${before.token}) and ${hold.agentId}'s (#${hold.token}) for ${ms.toFixed(1)} ms`,
      )
    }
    if (before === undefined || hold.until > before.until) latest.set(hold.resource, hold)
  }
  return found
}

function holdsOf(acks: readonly Ack[]): ReadonlyMap<string, Hold> {
  const holds = new Map<string, Hold>()
  const deadlines = new Map<string, number>()
  for (const { op, leases, agentId, asked, answered } of acks) {
    for (const { resource, token } of leases) {
      const key = `${resource} ${token} ${agentId}`
      const hold = holds.get(key)
      if (op === 'release') {
        if (hold !== undefined) hold.until = Math.min(asked, deadlines.get(key)!)
        continue
      }
      const deadline = asked + ttlSecs * 1000
      deadlines.set(key, deadline)
      if (hold === undefined) holds.set(key, { agentId, resource, token, from: answered, until: answered })
      // Who is stopped between the record and its answer hears of a renewal after its time: by then the key may be another's.
      else hold.until = Math.max(hold.until, Math.min(answered, deadline))
    }
  }
  return holds
}
