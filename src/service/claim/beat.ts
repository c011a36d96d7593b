import type { Answer, Caller, Coordinator, Refused } from '../../coordinator.ts'
import type { Target } from '../../core/command.ts'
import type { Lease } from '../../core/lease.ts'
import { usage } from '../../core/fault.ts'
import { isFault } from '../../core/fault.ts'
import type { Presented } from '../../core/refusal.ts'
import { refusalCode } from '../../core/refusal.ts'
import { vitality, witnessOf } from '../../host/process.ts'
import { endings, onSignals } from './signals.ts'

export interface BeatRequest {
  readonly coordinator: Coordinator
  readonly caller: Caller
  readonly target: Target
  readonly presented: Presented
  readonly everyMs: number
  /** Stop when this process ends; null = go on until told. */
  readonly whilePid: number | null
  readonly note: string | undefined
  readonly warn: (text: string) => void
}

export interface Beaten {
  /** Those that the store has acknowledged. */
  readonly beats: number
  readonly why: string
  /** The last answer; a refusal when the lease was lost. */
  readonly last: Answer | null
}

/** How often the watched process is looked at, milliseconds. */
const lookMs = 1000

/** Renews again and again. Leaves nothing behind, whatever ends it: it writes no file and starts no process. */
export async function beatUntil(request: BeatRequest): Promise<Beaten> {
  const { coordinator, caller, presented, everyMs, whilePid, note, warn } = request
  const watched = whilePid === null ? null : witnessOf(whilePid)
  if (whilePid !== null && watched === null) throw usage(`there is no process ${whilePid}`, 'nothing was renewed')
  const stop = untilSignal()
  let last: Answer | null = null
  let { target } = request
  let proof = presented
  /** The others of its group, and what was said of those before. */
  let rest: readonly Lease[] = []
  let refused: Refused | null = null
  try {
    for (let beats = 0; ;) {
      const answer = await attempt(
        () => coordinator.renew(caller, { target, presented: proof, heartbeat: true, ...(note === undefined ? {} : { note }) }),
        warn,
      )
      if (answer?.ok === false) {
        refused ??= answer
        const [next, ...others] = answer.refusal.kind === 'superseded' ? rest : []
        if (next === undefined) return { beats, why: refusalCode(refused.refusal), last: lostAs(refused, beats) }
        // One of a group may have been given back alone: then the others are still held.
        target = { resource: next.resource }
        proof = { leaseId: next.leaseId, token: next.token }
        rest = others
        continue
      }
      if (answer !== null) {
        last = answer
        refused = null
        // From now on exactly this ownership: a later one by the same holder is not ours to keep alive. Each of a group has an id of its own.
        const named = target
        const lease = answer.leases.find(each => ('resource' in named ? each.resource === named.resource : each.leaseId === named.leaseId))
        if (lease !== undefined) proof = { leaseId: lease.leaseId, token: lease.token }
        rest = answer.leases.filter(each => each !== lease && each.token === lease?.token)
        beats++
      }
      const why = await pause(everyMs, stop.signalled, () => watched === null || vitality(watched) !== 'dead')
      if (why !== null) return { beats, why, last }
    }
  } finally {
    stop.cancel()
  }
}

/** A store that is busy or full for the moment is asked again at the next beat; one that the leases have left is not. */
async function attempt(renew: () => Promise<Answer>, warn: (text: string) => void): Promise<Answer | null> {
  try {
    return await renew()
  } catch (error) {
    if (!isFault(error) || error.code !== 'unavailable' || error.details?.['moved_to'] !== undefined) throw error
    warn(`could not renew: ${error.message}`)
    return null
  }
}

/** After the first beat, a lease that is gone or another's has been lost. A log that never granted it cannot say so. */
function lostAs(answer: Extract<Answer, { ok: false }>, beats: number): Answer {
  const { refusal } = answer
  if (beats === 0 || refusal.kind === 'superseded' || refusal.kind === 'store-reset') return answer
  const resource =
    'resource' in refusal ? refusal.resource : 'lease' in refusal && refusal.lease !== null ? refusal.lease.resource : 'the lease'
  const lease = 'lease' in refusal ? refusal.lease : null
  return { ...answer, refusal: { kind: 'superseded', resource, lease, past: null, presented: { leaseId: null, token: null } } }
}

async function pause(ms: number, signalled: Promise<string>, isAlive: () => boolean): Promise<string | null> {
  for (let left = ms; left > 0; left -= lookMs) {
    if (!isAlive()) return 'the process it watched has ended'
    const why = await Promise.race([signalled, new Promise<null>(resolve => setTimeout(() => resolve(null), Math.min(left, lookMs)))])
    if (why !== null) return why
  }
  return isAlive() ? null : 'the process it watched has ended'
}

function untilSignal(): { readonly signalled: Promise<string>; cancel(): void } {
  let cancel = (): void => undefined
  const signalled = new Promise<string>(resolve => {
    cancel = onSignals(endings, signal => resolve(`${signal} told it to`))
  })
  return { signalled, cancel }
}
