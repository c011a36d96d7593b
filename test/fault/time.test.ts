import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Commit } from '../../src/store/store.ts'
import { acquire, ann, bob, eve, on, renew, sweep } from '../support/cast.ts'
import { brokenHistory, historyOf, isOk, openOn, run } from '../support/fault.ts'
import { bundleWorker, openReal, runScript } from '../support/fault-processes.ts'
import { SimClock, SimDisk, SimLock } from '../support/sim-disk.ts'
import { requires } from '../support/skip.ts'

// Clocks that jump, stop, start again, or are two.

const directory = '/repo/leasehold'
const second = 1000
const hour = 3_600_000
const day = 86_400_000

class Machine {
  readonly disk = new SimDisk(5)
  readonly clock = new SimClock()
  readonly warnings: string[] = []

  constructor() {
    this.disk.plant('/repo')
  }

  /** A fresh process with this clock. */
  open(clock = this.clock) {
    const lock = new SimLock(this.disk)
    return openOn({ directory, clock, disk: this.disk.process(lock), lock })
  }

  async does(command: Parameters<typeof run>[1], clock = this.clock): Promise<Commit> {
    const store = this.open(clock)
    const commit = await run(store, command)
    this.warnings.push(...store.warnings)
    return commit
  }

  /** Can bob have it now? */
  async lost(clock = this.clock): Promise<boolean> {
    return isOk(await this.does(acquire(bob, 'issue:1', { ttlSecs: 600 }), clock))
  }

  async operations(): Promise<readonly string[]> {
    const entries = await historyOf(this.open())
    expect(brokenHistory(entries)).toBeNull()
    return entries.map(({ operation }) => operation.op)
  }
}

describe('the wall clock within one boot', () => {
  for (const [name, jump] of Object.entries({ '+1 h': hour, '-1 h': -hour, '+1 day': day, '-1 day': -day })) {
    it(`${name}: nothing ends early, and nothing lives for ever`, async () => {
      const at = new Machine()
      await at.does(acquire(ann, 'issue:1', { ttlSecs: 600 }))
      at.clock.advance(100 * second)
      at.clock.wall += jump
      expect(await at.lost()).toBe(false)
      at.clock.advance(499 * second)
      expect(await at.lost()).toBe(false)
      expect((await at.does(sweep(eve))).entries).toEqual([])
      at.clock.advance(second)
      expect(await at.lost()).toBe(true)
      expect(await at.operations()).toEqual(['acquire', 'auto-evict', 'acquire'])
    })
  }

  it('does not matter to a renewal either', async () => {
    const at = new Machine()
    await at.does(acquire(ann, 'issue:1', { ttlSecs: 600 }))
    at.clock.wall -= day
    at.clock.advance(500 * second)
    await at.does(renew(ann, on('issue:1')))
    at.clock.wall += 2 * day
    at.clock.advance(599 * second)
    expect(await at.lost()).toBe(false)
    at.clock.advance(second)
    expect(await at.lost()).toBe(true)
  })
})

describe('a machine that sleeps', () => {
  it('takes nothing from anybody: nobody could work', async () => {
    const at = new Machine()
    await at.does(acquire(ann, 'issue:1', { ttlSecs: 600 }))
    // CLOCK_MONOTONIC stands still while the wall clock goes on.
    at.clock.wall += 8 * hour
    expect(await at.lost()).toBe(false)
    at.clock.advance(600 * second)
    expect(await at.lost()).toBe(true)
  })
})

describe('a reboot', () => {
  const rebooted = async (offMs: number): Promise<Machine> => {
    const at = new Machine()
    at.clock.m = 5 * hour
    await at.does(acquire(ann, 'issue:1', { ttlSecs: 600 }))
    at.clock.advance(100 * second)
    at.clock.reboot(offMs)
    return at
  }

  it('leaves what was left, and a minute of grace', async () => {
    const at = await rebooted(200 * second)
    expect(await at.lost()).toBe(false)
    expect(await at.operations()).toEqual(['acquire', 'boot'])
    at.clock.advance(359 * second)
    expect(await at.lost()).toBe(false)
    at.clock.advance(second)
    expect(await at.lost()).toBe(true)
  })

  it('that took longer than the lease leaves the grace', async () => {
    const at = await rebooted(day)
    expect(await at.lost()).toBe(false)
    at.clock.advance(59 * second)
    expect(await at.lost()).toBe(false)
    at.clock.advance(second)
    expect(await at.lost()).toBe(true)
  })

  it('with a wall clock that went back gives no more than a whole term and the grace', async () => {
    const at = await rebooted(-10 * day)
    expect(await at.lost()).toBe(false)
    at.clock.advance(659 * second)
    expect(await at.lost()).toBe(false)
    at.clock.advance(second)
    expect(await at.lost()).toBe(true)
  })

  it('is counted from the first command after it, and the holder may go on', async () => {
    const at = await rebooted(day)
    expect(isOk(await at.does(renew(ann, on('issue:1'))))).toBe(true)
    at.clock.advance(599 * second)
    expect(await at.lost()).toBe(false)
    at.clock.advance(second)
    expect(await at.lost()).toBe(true)
  })

  it('a reader judges as the next writer will, and writes nothing', async () => {
    const at = await rebooted(day)
    const before = at.disk.picture(directory)
    const lease = (await at.open().view()).lease('issue:1')!
    expect(lease.deadlineM).toBe(at.clock.m + 60 * second)
    expect(at.disk.picture(directory)).toBe(before)
    await at.does(sweep(eve))
    expect((await at.open().view()).lease('issue:1')!.deadlineM).toBe(lease.deadlineM)
  })

  it('with a torn tail: the repair does not hide that the clock is another', async () => {
    const at = await rebooted(200 * second)
    const torn = at.disk.process(new SimLock(at.disk))
    const fd = torn.openSync(`${directory}/claims.jsonl`, fs.constants.O_WRONLY | fs.constants.O_APPEND)
    torn.writeSync(fd, Buffer.from('{"torn":'), 0, 8)
    torn.closeSync(fd)
    expect(await at.lost()).toBe(false)
    expect(await at.operations()).toEqual(['acquire', 'repair', 'boot'])
    at.clock.advance(359 * second)
    expect(await at.lost()).toBe(false)
    at.clock.advance(second)
    expect(await at.lost()).toBe(true)
  })

  it('keeps an indefinite lease', async () => {
    const at = new Machine()
    await at.does(acquire(ann, 'issue:1', { ttlSecs: 0, reason: 'long work' }))
    for (let boot = 0; boot < 5; boot++) {
      at.clock.reboot(30 * day)
      at.clock.advance(day)
      expect(await at.lost()).toBe(false)
      expect((await at.does(sweep(eve))).entries.map(({ operation }) => operation.op).filter(op => op !== 'boot')).toEqual([])
    }
  })
})

describe('two clocks on one directory', () => {
  /** A second machine: the same wall time, another boot, its own monotonic clock. */
  const pair = (): { at: Machine; other: SimClock; advance: (ms: number) => void } => {
    const at = new Machine()
    const other = new SimClock(77 * hour, at.clock.wall)
    other.boot = 'boot-of-another-machine'
    return {
      at,
      other,
      advance: ms => {
        at.clock.advance(ms)
        other.advance(ms)
      },
    }
  }

  it('warns, and judges by the wall clock with half a minute of allowance', async () => {
    const { at, other, advance } = pair()
    await at.does(acquire(ann, 'issue:1', { ttlSecs: 600 }))
    advance(100 * second)
    await at.does(acquire(eve, 'issue:2', { ttlSecs: 60 }), other)
    expect(at.warnings).toEqual([])
    await at.does(acquire(eve, 'issue:3', { ttlSecs: 60 }))
    expect(at.warnings.join()).toContain('two clocks')
    expect((await at.open(other).view()).warnings.join()).toContain('two clocks')
    advance(529 * second)
    expect(await at.lost()).toBe(false)
    advance(second)
    expect(await at.lost()).toBe(true)
  })

  it('never ends a lease early, whoever asks', async () => {
    const { at, other, advance } = pair()
    await at.does(acquire(ann, 'issue:1', { ttlSecs: 600 }))
    for (let elapsed = 0; elapsed < 600; elapsed += 50) {
      expect(await at.lost(elapsed % 100 === 0 ? other : at.clock), `after ${elapsed} s`).toBe(false)
      advance(50 * second)
    }
  })

  it('however often they alternate, a silent lease ends after its term and the allowance', async () => {
    const { at, other, advance } = pair()
    await at.does(acquire(ann, 'issue:1', { ttlSecs: 600 }))
    let elapsed = 0
    let lost = false
    while (!lost && elapsed < 1200) {
      advance(10 * second)
      elapsed += 10
      lost = await at.lost(elapsed % 20 === 0 ? other : at.clock)
    }
    expect(elapsed).toBeGreaterThanOrEqual(600)
    // One minute more where the first change of clocks looks like a reboot.
    expect(elapsed).toBeLessThanOrEqual(600 + 60 + 10)
  })
})

describe('a monotonic clock that goes back within one boot', () => {
  it('stands still until it is where it was: nothing ends early, the log does not go back', async () => {
    const at = new Machine()
    at.clock.m = 1000 * second
    await at.does(acquire(ann, 'issue:1', { ttlSecs: 600 }))
    at.clock.m -= 500 * second
    expect(await at.lost()).toBe(false)
    await at.does(acquire(eve, 'issue:2', { ttlSecs: 600 }))
    at.clock.m += 1099 * second
    expect(await at.lost()).toBe(false)
    at.clock.m += second
    expect(await at.lost()).toBe(true)
    const entries = await historyOf(at.open())
    for (const [index, { clk }] of entries.entries()) if (index > 0) expect(clk.m).toBeGreaterThanOrEqual(entries[index - 1]!.clk.m)
  })
})

describe('deliberately by the wall clock', () => {
  it('a lease ends early when that is set forward, which the tests above would see', async () => {
    const at = new Machine()
    const wallOnly = { now: () => ({ ...at.clock.now(), m: at.clock.wall }) }
    const lock = new SimLock(at.disk)
    const store = openOn({ directory, clock: wallOnly, disk: at.disk.process(lock), lock })
    await run(store, acquire(ann, 'issue:1', { ttlSecs: 600 }))
    at.clock.wall += hour
    expect(isOk(await run(store, acquire(bob, 'issue:1')))).toBe(true)
  })
})

const unshares = (): boolean => {
  try {
    execFileSync('unshare', ['-T', '--monotonic', '1000', '--boottime', '1000', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

requires(process.getuid?.() === 0 && unshares(), 'needs root and time namespaces (unshare -T)').describe(
  'real processes in another time namespace',
  () => {
    let folder: string
    let worker: string
    const through = ['unshare', '-T', '--monotonic', '43200', '--boottime', '86400']

    beforeAll(async () => {
      folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leasehold-time-'))
      worker = await bundleWorker(folder)
    })
    afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

    it('do not take what is held outside, although their clock is half a day ahead', async () => {
      const directory = path.join(folder, 'store')
      const outside = openReal(directory)
      expect(isOk(await run(outside, acquire(ann, 'issue:1', { ttlSecs: 600 })))).toBe(true)
      const inside = await runScript(
        { worker, through },
        {
          directory,
          steps: [
            { do: 'acquire', who: 'agent:inside', key: 'issue:1' },
            { do: 'sweep', who: 'agent:inside' },
            { do: 'acquire', who: 'agent:inside', key: 'issue:2', ttlSecs: 600 },
          ],
        },
      )
      expect(inside.err).toBe('')
      expect(inside.results).toMatchObject([{ ok: false, by: 'agent:ann' }, { ok: true, seqs: [] }, { ok: true }])
      // And back: half a day behind, nothing is for ever and nothing is lost.
      expect(isOk(await run(outside, acquire(bob, 'issue:2')))).toBe(false)
      const view = await outside.view()
      for (const key of ['issue:1', 'issue:2']) {
        const left = view.lease(key)!.deadlineM! - view.now.m
        expect(left).toBeGreaterThan(500 * second)
        expect(left).toBeLessThanOrEqual(690 * second)
      }
      const operations = (await historyOf(outside)).map(({ operation }) => operation.op)
      expect(operations.filter(op => op === 'boot').length).toBeGreaterThanOrEqual(2)
      expect(outside.warnings.join()).toContain('two clocks')
    })
  },
)
