import { sessionKey } from '../core/session.ts'
import type { Base } from './move.ts'
import { FullState } from './state.ts'

// What a store that receives leases from another one works with.

export const emptyBase: Base = { seq: 0, clocks: { current: { b: '', m: 0 }, seen: [] }, leases: [], pasts: [], sessions: [] }

/** The state that a base stands for. */
export function stateOf({ seq, clocks, leases, pasts, sessions }: Base): FullState {
  const state = new FullState(seq, clocks)
  for (const lease of leases) state.put(lease.resource, { ...state.slot(lease.resource), lease })
  for (const past of pasts) state.put(past.resource, { ...state.slot(past.resource), past })
  for (const session of sessions) {
    const key = sessionKey(session.sessionId)
    state.put(key, { ...state.slot(key), session })
  }
  return state
}

/** First words of the `repair` records that stand for numbers which no record has, because another kind of store counted. */
export const uncountedReason = 'numbers that the store before this one gave to no record'
