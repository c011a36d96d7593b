import { expect, it } from 'vitest'
import { Coordinator } from '../../src/coordinator.ts'
import type { Answer, Caller } from '../../src/coordinator.ts'
import { Fault } from '../../src/core/fault.ts'
import { makePolicy } from '../../src/core/policy.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { ann, bob } from '../support/cast.ts'

/** Notes how long is to be waited for a change, and makes one. */
class Watched extends MemoryStore {
  readonly waits: number[] = []
  change: () => Promise<unknown> = () => Promise.resolve()

  override async changed(_sinceSeq: number, timeoutMs: number): Promise<void> {
    this.waits.push(timeoutMs)
    await this.change()
  }
}

it('nobody waits longer at a time than one timer of Node counts, however long the lease in the way lasts', async () => {
  const store = new Watched({ now: () => ({ b: 'test', m: 0, wall: 1_000_000_000_000 }) })
  const coordinator = new Coordinator(store, makePolicy({ ttlSecs: 60, staleSecs: 3600 }), 'test')
  const [first, second]: readonly Caller[] = [{ holder: ann }, { holder: bob }]
  store.change = () => coordinator.release(first!, { target: { resource: 'ticket:x' } })
  for (const ttlSecs of [0, 30 * 86_400]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await coordinator.acquire(first!, { resources: ['ticket:x'], ttlSecs, reason: 'long' })
    // oxlint-disable-next-line no-await-in-loop -- as above
    expect(await coordinator.acquire(second!, { resources: ['ticket:x'], waitMs: Number.POSITIVE_INFINITY })).toMatchObject({ ok: true })
    // oxlint-disable-next-line no-await-in-loop -- as above
    await coordinator.release(second!, { target: { resource: 'ticket:x' } })
  }
  expect(store.waits).toHaveLength(2)
  expect(Math.max(...store.waits)).toBeLessThan(2 ** 31)
})

/** Its leases are on their way to another store for the next `looks` transactions. */
class Leaving extends MemoryStore {
  looks = 0
  fate: Readonly<Record<string, string>> = {}

  override transact(...args: Parameters<MemoryStore['transact']>): ReturnType<MemoryStore['transact']> {
    if (this.looks-- > 0) throw new Fault('unavailable', 'on their way', { details: { outcome: 'nothing_changed', ...this.fate } })
    return super.transact(...args)
  }
}

it('who waits goes on waiting while the leases are moved, and is told when they have gone', async () => {
  const store = new Leaving({ now: () => ({ b: 'test', m: 0, wall: 1_000_000_000_000 }) })
  const coordinator = new Coordinator(store, makePolicy({ ttlSecs: 60, staleSecs: 3600 }), 'test')
  const take = (waitMs?: number): Promise<Answer> =>
    coordinator.acquire({ holder: ann }, { resources: ['ticket:x'], ...(waitMs === undefined ? {} : { waitMs }) })
  Object.assign(store, { looks: 2, fate: { moving_to: 'file:' } })
  expect(await take(60_000)).toMatchObject({ ok: true })
  store.looks = 1
  await expect(take()).rejects.toThrow('on their way')
  store.looks = 1
  await expect(take(0)).rejects.toThrow('on their way')
  Object.assign(store, { looks: 1, fate: { moved_to: 'file:' } })
  await expect(take(60_000)).rejects.toThrow('on their way')
})
