import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Heart } from '../../../src/store/etcd/heart.ts'
import type { EngineLeases } from '../../../src/store/etcd/leases.ts'

const renewed: string[] = []
const engine = {
  renew: (id: string) => {
    renewed.push(id)
    return id === 'broken' ? Promise.reject(new Error('no answer')) : Promise.resolve(true)
  },
} as unknown as EngineLeases

beforeEach(() => {
  renewed.splice(0)
  vi.useFakeTimers()
})
afterEach(() => void vi.useRealTimers())

it('renews what is bound to this process, whichever engine lease that has, until it is let go', () => {
  const heart = new Heart(engine)
  heart.start('live')
  heart.start('other')
  vi.advanceTimersByTime(2400)
  expect(renewed).toEqual([])
  heart.follow('live', 'one')
  heart.follow('unknown', 'none')
  vi.advanceTimersByTime(4800)
  heart.follow('live', 'two')
  vi.advanceTimersByTime(2400)
  expect(renewed).toEqual(['one', 'one', 'two'])
  heart.stop('live')
  vi.advanceTimersByTime(60_000)
  expect(renewed).toHaveLength(3)
  heart.close()
  expect(vi.getTimerCount()).toBe(0)
})

it('goes on after a renewal that failed', async () => {
  const heart = new Heart(engine)
  heart.start('live')
  heart.follow('live', 'broken')
  await vi.advanceTimersByTimeAsync(4800)
  expect(renewed).toEqual(['broken', 'broken'])
  heart.close()
})
