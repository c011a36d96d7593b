import { describe, expect, it } from 'vitest'
import { Fault } from '../../../src/core/fault.ts'
import { whenFree } from '../../../src/service/claim/when-free.ts'
import type { Workspace } from '../../../src/service/claim/workspace.ts'

const held = (message = 'ann has it'): Fault => new Fault('held', message, { hint: 'wait', details: { op_id: 'op-1' } })

/** A log that others write: `write` wakes who waits, and who looks at a position before it is not put to sleep. */
class Log {
  lastSeq = 0
  readonly slept: { readonly since: number; readonly timeoutMs: number }[] = []
  readonly #wake = new Set<() => void>()

  readonly write = (): void => {
    this.lastSeq++
    for (const wake of this.#wake) wake()
    this.#wake.clear()
  }

  readonly workspace = {
    coordinator: {
      view: async () => ({ lastSeq: this.lastSeq }),
      changed: async (since: number, timeoutMs: number): Promise<void> => {
        this.slept.push({ since, timeoutMs })
        if (this.lastSeq <= since) await new Promise<void>(resolve => this.#wake.add(resolve))
      },
    },
  } as unknown as Workspace
}

describe('whenFree', () => {
  it('asks again when something was written, and not before', async () => {
    const log = new Log()
    let [attempts, told] = [0, 0]
    const result = whenFree(log.workspace, { ms: 60_000, onWait: () => told++ }, async () => {
      if (++attempts < 4) throw held()
      return 'done'
    })
    for (let round = 1; round < 4; round++) {
      // oxlint-disable-next-line no-await-in-loop -- each round follows a write
      await new Promise(setImmediate)
      expect(attempts).toBe(round)
      log.write()
    }
    expect(await result).toBe('done')
    expect([attempts, told]).toEqual([4, 1])
    expect(log.slept.every(({ timeoutMs }) => timeoutMs <= 1000)).toBe(true)
  })

  it('misses nothing that is written during an attempt', async () => {
    const log = new Log()
    let attempts = 0
    const attempt = async (): Promise<string> => {
      if (++attempts > 1) return 'done'
      log.write()
      throw held()
    }
    expect(await whenFree(log.workspace, { ms: 60_000, onWait: () => undefined }, attempt)).toBe('done')
    expect(log.slept).toMatchObject([{ since: 0 }])
  })

  it('gives way when the time is over, with what is in the way', async () => {
    const log = new Log()
    const over = await whenFree(log.workspace, { ms: 0, onWait: () => expect.unreachable() }, async () => {
      throw held()
    }).catch((error: unknown) => error)
    expect(over).toMatchObject({ code: 'timeout', message: 'waited 0 s, and ann has it', hint: 'wait', details: { op_id: 'op-1' } })
  })

  it('waits for a move of the leases to be over, as long as there is time', async () => {
    const moving = new Fault('unavailable', 'on their way', { details: { outcome: 'nothing_changed', moving_to: 'file:' } })
    let [attempts, told] = [0, 0]
    const attempt = async (): Promise<string> => {
      attempts++
      if (attempts === 1) throw moving
      if (attempts === 2) {
        log.write()
        throw held()
      }
      return 'done'
    }
    const log = new Log()
    expect(await whenFree(log.workspace, { ms: 60_000, onWait: () => told++ }, attempt)).toBe('done')
    expect([attempts, told]).toEqual([3, 1])
    await expect(whenFree(log.workspace, { ms: 0, onWait: () => told++ }, () => Promise.reject(moving))).rejects.toBe(moving)
  })

  it('does not wait where nobody asked for it, nor for anything else', async () => {
    const log = new Log()
    for (const [patience, error] of [
      [null, held()],
      [{ ms: 60_000, onWait: () => expect.unreachable() }, new Fault('policy', 'no')],
      [{ ms: 60_000, onWait: () => expect.unreachable() }, new TypeError('broken')],
    ] as const)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await expect(whenFree(log.workspace, patience, () => Promise.reject(error))).rejects.toBe(error)
    expect(log.slept).toEqual([])
  })
})
