// Is there one order of these operations, each taking effect between its call and its return, that a single lease could have produced?
// The checker of Wing & Gong with Lowe's memory of visited states, for one key at a time; leases.md, section 6. No npm package does
// this. Keep a history below some 20,000 operations, and let a client whose answer was lost go on under a new name, as Jepsen does.

/** One operation of a client. `ret: Infinity`: the answer was lost, so it may or may not have happened, at any time after `call`. */
export interface Operation {
  readonly call: number
  readonly ret: number
  readonly f: 'acquire' | 'renew' | 'release' | 'read'
  /** Who asks, and for acquire and renew the TTL in the unit of `call`, 0 = indefinite. */
  readonly holder: string
  readonly ttl?: number
  readonly out: Answer | null
}

/** What the client was told. */
export interface Answer {
  readonly ok: boolean
  /** acquire: the token. */
  readonly token?: number
  /** acquire: it was held already, by whoever asked. */
  readonly again?: boolean
  /** acquire, refused: by whom it is held. read: who holds it. */
  readonly by?: string | null
}

/** A state machine with several possible next states; none means that the answer is impossible here. */
export interface SequentialModel<S> {
  readonly init: S
  key(state: S): string
  step(state: S, operation: Operation): readonly S[]
}

export type Verdict =
  | { readonly ok: true; readonly states: number }
  | { readonly ok: false; readonly stuck: Operation | null }
  | { readonly ok: null }

interface Event {
  readonly index: number
  readonly isCall: boolean
  readonly at: number
  prev: Event | null
  next: Event | null
}

/** Searches for an order; `ok: null` when `maxMs` is over first. */
export function checkLinearizable<S>(model: SequentialModel<S>, operations: readonly Operation[], maxMs = 20_000): Verdict {
  const { head, calls, returns } = eventsOf(operations)
  const taken = new Uint32Array((operations.length + 31) >> 5)
  const seen = new Set<string>()
  const stack: { readonly index: number; readonly state: S; readonly alternative: number }[] = []
  const started = performance.now()
  let state = model.init
  let event = head.next
  let alternative = 0
  let deepest = 0
  let stuck: Operation | null = null
  for (;;) {
    if (onlyLostAnswersLeft(head)) return { ok: true, states: seen.size }
    if (seen.size % 1024 === 1023 && performance.now() - started > maxMs) return { ok: null }
    if (event?.isCall === true) {
      const { index } = event
      const nexts = model.step(state, operations[index]!)
      flip(taken, index)
      while (alternative < nexts.length && seen.has(`${taken.join()}|${model.key(nexts[alternative]!)}`)) alternative++
      const next = nexts[alternative]
      if (next === undefined) {
        flip(taken, index)
        event = event.next
        alternative = 0
        continue
      }
      seen.add(`${taken.join()}|${model.key(next)}`)
      stack.push({ index, state, alternative: alternative + 1 })
      state = next
      lift(calls[index]!, returns[index]!)
      event = head.next
      alternative = 0
      continue
    }
    // A return is reached and its operation has not happened: something before it was placed wrongly.
    if (event !== null && event.at === Number.POSITIVE_INFINITY && event.next !== null) {
      event = event.next
      continue
    }
    if (stack.length >= deepest) {
      deepest = stack.length
      stuck = event === null ? null : operations[event.index]!
    }
    const last = stack.pop()
    if (last === undefined) return { ok: false, stuck }
    flip(taken, last.index)
    unlift(calls[last.index]!, returns[last.index]!)
    ;({ state, alternative } = last)
    event = calls[last.index]!
  }
}

const flip = (bits: Uint32Array, index: number): void => {
  bits[index >> 5]! ^= 1 << (index & 31)
}

function eventsOf(operations: readonly Operation[]): { head: Event; calls: Event[]; returns: Event[] } {
  const make = (index: number, isCall: boolean, at: number): Event => ({ index, isCall, at, prev: null, next: null })
  const calls = operations.map(({ call }, index) => make(index, true, call))
  const returns = operations.map(({ ret }, index) => make(index, false, ret))
  const inOrder = [...calls, ...returns].sort((x, y) =>
    x.at === y.at ? Number(y.isCall) - Number(x.isCall) || x.index - y.index : x.at < y.at ? -1 : 1,
  )
  const head = make(-1, false, 0)
  let last = head
  for (const event of inOrder) {
    event.prev = last
    last.next = event
    last = event
  }
  return { head, calls, returns }
}

function lift(call: Event, ret: Event): void {
  for (const event of [call, ret]) {
    event.prev!.next = event.next
    if (event.next !== null) event.next.prev = event.prev
  }
}

function unlift(call: Event, ret: Event): void {
  for (const event of [ret, call]) {
    event.prev!.next = event
    if (event.next !== null) event.next.prev = event
  }
}

/** Lost answers sort last, so the first return that is left tells. */
function onlyLostAnswersLeft(head: Event): boolean {
  for (let event = head.next; event !== null; event = event.next) if (!event.isCall) return event.at === Number.POSITIVE_INFINITY
  return true
}

/** A lease as a sequential object. */
export interface LeaseState {
  readonly holder: string | null
  readonly token: number
  /** Before this it cannot have lapsed; 0 = never. */
  readonly until: number
}

/**
 * A lease whose expiry is judged by bounds: what was granted or renewed by a call that began at `t` cannot lapse before `t + ttl`, so a
 * takeover too early is a violation and a late one is not. Past that time it may go on just as well: only a record ends an ownership.
 */
export const leaseModel: SequentialModel<LeaseState> = {
  init: { holder: null, token: 0, until: 0 },
  key: ({ holder, token, until }) => `${holder}/${token}/${until}`,
  step(state, operation) {
    const { holder, out, f } = operation
    const lapsed = state.holder !== null && state.until !== 0 && operation.ret >= state.until
    const free: LeaseState = { ...state, holder: null, until: 0 }
    const isHolder = state.holder === holder
    const until = operation.ttl === undefined || operation.ttl === 0 ? 0 : operation.call + operation.ttl
    switch (f) {
      case 'acquire': {
        const vacant = state.holder === null || lapsed
        // The token is not known when the answer was lost; it is larger than the one before, so that one stays as the floor.
        if (out === null)
          return [...(vacant ? [{ holder, token: state.token, until }] : []), ...(isHolder ? [{ ...state, until }] : []), state]
        const token = out.token ?? 0
        if (out.ok && out.again === true) return isHolder && token >= state.token ? [{ holder, token, until }] : []
        if (out.ok) return vacant && token > state.token ? [{ holder, token, until }] : []
        return state.holder !== null && (out.by === undefined || out.by === state.holder) ? [state] : []
      }
      case 'renew':
        if (out === null) return isHolder ? [{ ...state, until }, state] : [state]
        if (out.ok) return isHolder ? [{ ...state, until }] : []
        return isHolder ? (lapsed ? [free] : []) : [state]
      case 'release':
        if (out === null) return isHolder ? [free, state] : [state]
        if (out.ok) return isHolder ? [free] : []
        return isHolder ? (lapsed ? [free] : []) : [state]
      case 'read':
        if (out === null) return [state]
        return [...(out.by === state.holder ? [state] : []), ...(out.by === null && lapsed ? [free] : [])]
    }
  },
}
