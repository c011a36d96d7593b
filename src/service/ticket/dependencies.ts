// Which ticket waits for which. Pure, and iterative throughout: a chain of 100,000 tickets does not overflow the stack.

/** From a ticket's id to the ids it depends on. Ids that are no key of the map depend on nothing. */
export type Edges = ReadonlyMap<string, readonly string[]>

/** What a ticket still waits for, in its own order, each once. */
export const blockersOf = (ticket: { readonly dependsOn: readonly string[] }, isDone: (id: string) => boolean): readonly string[] => [
  ...new Set(ticket.dependsOn.filter(id => !isDone(id))),
]

/**
 * A cycle as the ids on it, each once, every one depending on the next and the last on the first; null when there is none.
 * With `through` the shortest one that this ticket is on.
 */
export function findCycle(edges: Edges, through?: string): readonly string[] | null {
  return through === undefined ? (cyclesIn(edges)[0] ?? null) : shortestThrough(edges, through, null)
}

/** One cycle of each knot of tickets that wait for each other: the shortest through the knot's smallest id. In the order of these ids. */
export function cyclesIn(edges: Edges): readonly (readonly string[])[] {
  const cycles: (readonly string[])[] = []
  for (const knot of knotsOf(edges)) {
    const smallest = knot.reduce((least, id) => (id < least ? id : least))
    const cycle = shortestThrough(edges, smallest, new Set(knot))
    if (cycle !== null) cycles.push(cycle)
  }
  return cycles.toSorted((one, other) => (one[0]! < other[0]! ? -1 : 1))
}

/** `a → b → a` */
export const wordCycle = (cycle: readonly string[]): string => [...cycle, cycle[0] ?? ''].join(' → ')

/** Breadth first from `start` until somebody depends on it. */
function shortestThrough(edges: Edges, start: string, among: ReadonlySet<string> | null): readonly string[] | null {
  const from = new Map<string, string | null>([[start, null]])
  // A map is visited in the order of insertion, also what is inserted meanwhile.
  for (const id of from.keys()) {
    for (const next of edges.get(id) ?? []) {
      if (next === start) return wayTo(id, from)
      if (!from.has(next) && among?.has(next) !== false) from.set(next, id)
    }
  }
  return null
}

function wayTo(end: string, from: ReadonlyMap<string, string | null>): readonly string[] {
  const way: string[] = []
  for (let id: string | null = end; id !== null; id = from.get(id) ?? null) way.push(id)
  return way.toReversed()
}

/** Strongly connected components with a cycle in them (Tarjan), on numbers: names are looked up once. */
function knotsOf(edges: Edges): readonly (readonly string[])[] {
  const { names, next } = numbered(edges)
  /** 0 = not seen yet. */
  const order = new Int32Array(names.length)
  const low = new Int32Array(names.length)
  const isOpen = new Uint8Array(names.length)
  const place = new Int32Array(names.length)
  const open: number[] = []
  const path: number[] = []
  const knots: string[][] = []
  let seen = 0
  const enter = (node: number): void => {
    order[node] = low[node] = ++seen
    isOpen[node] = 1
    open.push(node)
    path.push(node)
  }
  const leave = (node: number): void => {
    path.pop()
    const below = path.at(-1)
    if (below !== undefined) low[below] = Math.min(low[below]!, low[node]!)
    if (low[node] !== order[node]) return
    const knot: number[] = []
    for (let member = -1; member !== node;) {
      member = open.pop()!
      isOpen[member] = 0
      knot.push(member)
    }
    if (knot.length > 1 || next[node]!.includes(node)) knots.push(knot.map(member => names[member]!))
  }
  for (let root = 0; root < edges.size; root++) {
    if (order[root] === 0) enter(root)
    for (let node = path.at(-1); node !== undefined; node = path.at(-1)) {
      const on = next[node]![place[node]!++]
      if (on === undefined) leave(node)
      else if (order[on] === 0) enter(on)
      else if (isOpen[on] === 1) low[node] = Math.min(low[node]!, order[on]!)
    }
  }
  return knots
}

const nothing: readonly number[] = []

/** The same graph with numbers for names, those with edges first. */
function numbered(edges: Edges): { readonly names: readonly string[]; readonly next: readonly (readonly number[])[] } {
  const names = [...edges.keys()]
  const numbers = new Map(names.map((name, number) => [name, number]))
  const next: (readonly number[])[] = []
  for (const ids of edges.values()) {
    next.push(
      ids.length === 0
        ? nothing
        : ids.map(id => {
            let number = numbers.get(id)
            if (number === undefined) numbers.set(id, (number = names.push(id) - 1))
            return number
          }),
    )
  }
  while (next.length < names.length) next.push(nothing)
  return { names, next }
}
