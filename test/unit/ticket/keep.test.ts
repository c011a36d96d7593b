import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Fault } from '../../../src/core/fault.ts'
import { keepLease, type Kept } from '../../../src/service/ticket/keep.ts'
import type { HeldTicket } from '../../../src/service/ticket/hold.ts'

// Keeping a lease while a gate runs, with a clock that the test moves.

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const renew = vi.fn<() => Promise<void>>()
const look = vi.fn<() => Promise<{ current: boolean; seq: number }>>()
const onLost = vi.fn<() => void>()
const warn = vi.fn<(text: string) => void>()
beforeEach(() => {
  renew.mockReset().mockResolvedValue()
  look.mockReset().mockResolvedValue({ current: true, seq: 1 })
  onLost.mockReset()
  warn.mockReset()
})

const keep = (ttlSecs: number, momentary = false): Promise<Kept> =>
  keepLease(
    { ticketId: 't', momentary, lease: { ttlSecs, resource: 'ticket:t' }, renew, look, changed } as unknown as HeldTicket,
    onLost,
    warn,
  )
const changed = (_seq: number, ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const unavailable = new Fault('unavailable', 'the disk is full')

describe('a lease that is kept', () => {
  it('is renewed at once and then at a fifth of its TTL, until it is enough', async () => {
    const kept = await keep(100)
    expect(renew).toHaveBeenCalledTimes(1)
    await pass(61_000)
    expect(renew).toHaveBeenCalledTimes(4)
    kept.stop()
    await pass(600_000)
    expect(renew).toHaveBeenCalledTimes(4)
    expect(onLost).not.toHaveBeenCalled()
    expect(kept.lost).toBeNull()
  })

  it('is not renewed at once when it was just taken, and once a minute when it is indefinite', async () => {
    const moment = await keep(60, true)
    expect(renew).not.toHaveBeenCalled()
    await pass(12_500)
    expect(renew).toHaveBeenCalledTimes(1)
    moment.stop()
    renew.mockClear()
    const endless = await keep(0)
    await pass(121_000)
    expect(renew).toHaveBeenCalledTimes(3)
    endless.stop()
  })

  it('is lost as soon as a renewal is refused', async () => {
    const kept = await keep(100)
    const refusal = new Fault('superseded', 'evicted')
    renew.mockRejectedValue(refusal)
    await pass(21_000)
    expect(kept.lost).toBe(refusal)
    expect(onLost).toHaveBeenCalledTimes(1)
    await pass(600_000)
    expect(renew).toHaveBeenCalledTimes(2)
    expect(warn).not.toHaveBeenCalled()
  })

  it('is lost as soon as the log says so, however far the next renewal is', async () => {
    const kept = await keep(0)
    const refusal = new Fault('superseded', 'evicted')
    renew.mockRejectedValue(refusal)
    look.mockRejectedValueOnce(unavailable).mockResolvedValue({ current: false, seq: 2 })
    await pass(7000)
    expect(kept.lost).toBe(refusal)
    await pass(600_000)
    expect(onLost).toHaveBeenCalledTimes(1)
    expect(renew).toHaveBeenCalledTimes(2)
  })

  it('is not lost by a look that a renewal does not bear out', async () => {
    const kept = await keep(0)
    look.mockResolvedValue({ current: false, seq: 2 })
    await pass(30_000)
    renew.mockRejectedValue(unavailable)
    await pass(10_000)
    expect(kept.lost).toBeNull()
    kept.stop()
    look.mockClear()
    await pass(600_000)
    expect(look).not.toHaveBeenCalled()
  })

  it('is refused before anything runs when it is lost already', async () => {
    renew.mockRejectedValue(new Fault('superseded', 'evicted'))
    await expect(keep(100)).rejects.toMatchObject({ code: 'superseded' })
  })

  it('survives a store that does not answer for a moment', async () => {
    const kept = await keep(100)
    renew.mockRejectedValueOnce(unavailable).mockRejectedValueOnce(new Error('EIO'))
    await pass(23_000)
    expect(renew).toHaveBeenCalledTimes(4)
    expect(warn).toHaveBeenCalledTimes(2)
    await pass(200_000)
    expect(kept.lost).toBeNull()
    kept.stop()
  })

  it('counts as lost before its deadline when the store stays away', async () => {
    for (const momentary of [false, true]) {
      renew.mockReset().mockResolvedValue()
      onLost.mockReset()
      const kept = await keep(100, momentary)
      renew.mockRejectedValue(unavailable)
      await pass(89_000)
      expect(onLost).not.toHaveBeenCalled()
      await pass(2500)
      expect(onLost).toHaveBeenCalledTimes(1)
      expect(kept.lost).toMatchObject({ code: 'superseded', message: expect.stringContaining('the disk is full') })
      await pass(100_000)
      expect(onLost).toHaveBeenCalledTimes(1)
    }
  })
})
