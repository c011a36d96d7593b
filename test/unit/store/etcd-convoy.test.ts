import { expect, it } from 'vitest'
import { Convoy } from '../../../src/store/etcd/convoy.ts'
import type { Traveller } from '../../../src/store/etcd/convoy.ts'
import { EngineError } from '../../../src/store/etcd/gateway.ts'
import type { Gateway } from '../../../src/store/etcd/gateway.ts'
import { put } from '../../../src/store/etcd/messages.ts'
import type { NestedRequest } from '../../../src/store/etcd/messages.ts'
import { places, positionOf, revisionUntil } from '../../../src/store/etcd/positions.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- whatever is sent
type Sent = any

/** An etcd that says yes, or what it is told to say, and writes down what it was asked. */
function etcd(says: (request: Sent) => void = () => undefined): { readonly convoy: Convoy; readonly sent: string[][] } {
  const sent: string[][] = []
  let revision = 0
  const valueOf = ({ success }: NestedRequest): string =>
    success.map(step => ('request_put' in step ? atob(step.request_put.value).slice(0, 12) : '?')).join()
  const call = async (_: string, request: Sent): Promise<object> => {
    const inside: readonly NestedRequest[] =
      request.compare === undefined ? request.success.map((step: Sent) => step.request_txn) : [request]
    sent.push(inside.map(valueOf))
    await new Promise(resolve => setTimeout(resolve, 5))
    says(request)
    const body = { header: { revision: `${++revision}` }, succeeded: true }
    const responses = inside.map(() => ({ response_txn: { succeeded: true } }))
    return { body: { ...body, responses }, endpoint: '', resent: false }
  }
  return { convoy: new Convoy({ call } as unknown as Gateway), sent }
}

const traveller = (name: string, about: readonly string[] | null, size = 0): Traveller => ({
  about: about === null ? null : new Set(about),
  request: place => ({ compare: [], success: [put(name, `${name}@${place} ${'x'.repeat(size)}`)], failure: [] }),
})

it('who share something do not travel together, and go in the order in which they came', async () => {
  const { convoy, sent } = etcd()
  const all = [traveller('a', ['1']), traveller('b', ['1', '2']), traveller('c', ['2']), traveller('d', ['3']), traveller('e', ['1'])]
  await Promise.all(all.map(each => convoy.send(each)))
  const turn = (name: string): number => sent.findIndex(names => names.some(each => each.startsWith(name)))
  expect(turn('d')).toBe(turn('a'))
  for (const [before, after] of [
    ['a', 'b'],
    ['b', 'c'],
    ['b', 'e'],
  ] as const)
    expect(turn(before), `${before} before ${after}: ${JSON.stringify(sent)}`).toBeLessThan(turn(after))
})

it('each has a place of its own, as many as there are positions in a revision', async () => {
  const { convoy, sent } = etcd()
  const arrived = await Promise.all(Array.from({ length: places + 8 }, (_, number) => convoy.send(traveller(`t${number}`, [`${number}`]))))
  expect(Math.max(...sent.map(names => names.length))).toBe(places)
  const positions = arrived.map(({ revision, place }) => positionOf(100, revision, place))
  expect(new Set(positions).size).toBe(places + 8)
  for (const [index, { revision }] of arrived.entries()) {
    // Whoever saw all of the revision before has not seen this one.
    expect(revisionUntil(positions[index]! - 1, 100)).toBe(revision - 1)
    expect(revisionUntil(positionOf(100, revision), 100)).toBe(revision)
  }
})

it('who shares too much to name it, or brings too much, goes alone', async () => {
  const { convoy, sent } = etcd()
  await Promise.all(
    [traveller('a', ['1']), traveller('b', null), traveller('c', ['3'], 100_000), traveller('d', ['4'])].map(each => convoy.send(each)),
  )
  expect(sent.find(names => names[0]!.startsWith('b'))).toHaveLength(1)
  expect(sent.find(names => names[0]!.startsWith('c'))).toHaveLength(1)
  expect(sent.find(names => names[0]!.startsWith('a'))).toHaveLength(2)
})

it('what etcd says no to because of one is asked again by each', async () => {
  const { convoy } = etcd(request => {
    if (JSON.stringify(request).includes(btoa('bad'))) throw new EngineError(5, 'requested lease not found')
  })
  const told = await Promise.all(
    ['good', 'bad', 'fine'].map(name =>
      convoy.send(traveller(name, [name])).then(
        ({ succeeded, mayBeDone }) => ({ succeeded, mayBeDone }),
        (error: Error) => error.message,
      ),
    ),
  )
  expect(told).toEqual([{ succeeded: true, mayBeDone: true }, 'requested lease not found', { succeeded: true, mayBeDone: true }])
})
