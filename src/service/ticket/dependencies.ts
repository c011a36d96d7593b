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

/** Strongly connected components with a cycle in them (Tarjan). */
function knotsOf(edges: Edges): readonly (readonly string[])[] {
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const open: string[] = []
  const isOpen = new Set<string>()
  const knots: string[][] = []
  const enter = (id: string): { readonly id: string; next: number } => {
    index.set(id, index.size)
    low.set(id, index.size - 1)
    open.push(id)
    isOpen.add(id)
    return { id, next: 0 }
  }
  const lower = (id: string, value: number): void => {
    if (value < low.get(id)!) low.set(id, value)
  }
  const leave = (id: string): void => {
    if (low.get(id) !== index.get(id)) return
    const knot = open.splice(open.lastIndexOf(id))
    for (const member of knot) isOpen.delete(member)
    if (knot.length > 1 || edges.get(id)?.includes(id) === true) knots.push(knot)
  }
  for (const root of edges.keys()) {
    if (index.has(root)) continue
    const path = [enter(root)]
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = edges.get(top.id)?.[top.next++]
      if (next === undefined) {
        path.pop()
        leave(top.id)
        const below = path.at(-1)
        if (below !== undefined) lower(below.id, low.get(top.id)!)
      } else if (!index.has(next)) path.push(enter(next))
      else if (isOpen.has(next)) lower(top.id, index.get(next)!)
    }
  }
  return knots
}
