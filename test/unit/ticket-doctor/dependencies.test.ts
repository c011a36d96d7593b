import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blockersOf, cyclesIn, findCycle, wordCycle } from '../../../src/service/ticket/dependencies.ts'
import type { Edges } from '../../../src/service/ticket/dependencies.ts'

const graph = (text: string): Edges =>
  new Map(
    text
      .split(' ')
      .filter(part => part !== '')
      .map(part => {
        const [id, on] = part.split('>')
        return [id!, on === undefined || on === '' ? [] : on.split(',')] as const
      }),
  )

describe('cycles of dependencies', () => {
  it('finds none where there is none', () => {
    expect(findCycle(graph('a>b,c b>d c>d d>'))).toBeNull()
    expect(cyclesIn(graph(''))).toEqual([])
  })

  it('names each ticket on it, in order', () => {
    expect(findCycle(graph('c>a a>b b>c'))).toEqual(['a', 'b', 'c'])
    expect(wordCycle(['a', 'b', 'c'])).toBe('a → b → c → a')
  })

  it('finds a ticket that depends on itself', () => {
    expect(findCycle(graph('a>a'))).toEqual(['a'])
    expect(wordCycle(['a'])).toBe('a → a')
  })

  it('finds one for each knot, the shortest through the smallest id', () => {
    expect(cyclesIn(graph('z>y y>z a>b b>c,a c>a x>a'))).toEqual([
      ['a', 'b'],
      ['y', 'z'],
    ])
  })

  it('finds the one through a ticket, whatever others there are', () => {
    const edges = graph('a>b b>a m>n n>m o>m')
    expect(findCycle(edges, 'n')).toEqual(['n', 'm'])
    expect(findCycle(edges, 'o')).toBeNull()
  })

  it('does not mind dependencies on what is unknown', () => {
    expect(findCycle(graph('a>gone'))).toBeNull()
  })

  it('does not overflow the stack with 100,000 tickets in a row', () => {
    const many = 100_000
    const row = new Map(Array.from({ length: many }, (_, n) => [`t${n}`, n + 1 < many ? [`t${n + 1}`] : []]))
    expect(findCycle(row)).toBeNull()
    row.set(`t${many - 1}`, ['t0'])
    expect(findCycle(row)).toHaveLength(many)
  })

  it('agrees with a slow search on any small graph', () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f']
    const anyEdges = fc.array(fc.tuple(fc.constantFrom(...ids), fc.constantFrom(...ids)), { maxLength: 12 })
    fc.assert(
      fc.property(anyEdges, pairs => {
        const edges = new Map(ids.map(id => [id, pairs.filter(([from]) => from === id).map(([, to]) => to)]))
        const reach = (from: string): ReadonlySet<string> => {
          const seen = new Set<string>()
          const visit = (id: string): void => {
            for (const next of edges.get(id) ?? []) {
              if (seen.has(next)) continue
              seen.add(next)
              visit(next)
            }
          }
          visit(from)
          return seen
        }
        const onOne = ids.filter(id => reach(id).has(id))
        const knots = new Set(onOne.map(id => onOne.find(other => other === id || (reach(id).has(other) && reach(other).has(id)))))
        const cycles = cyclesIn(edges)
        expect(cycles.map(([first]) => first)).toEqual(ids.filter(id => knots.has(id)))
        for (const cycle of cycles) {
          expect(new Set(cycle).size).toBe(cycle.length)
          for (const [place, id] of cycle.entries()) expect(edges.get(id)).toContain(cycle[(place + 1) % cycle.length])
        }
        for (const id of ids) expect(findCycle(edges, id) !== null).toBe(onOne.includes(id))
      }),
    )
  })
})

describe('what blocks a ticket', () => {
  it('is what it depends on and is not done, each once', () => {
    expect(blockersOf({ dependsOn: ['c', 'a', 'b', 'c'] }, id => id === 'a')).toEqual(['c', 'b'])
    expect(blockersOf({ dependsOn: [] }, () => false)).toEqual([])
  })
})
