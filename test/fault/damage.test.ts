import { beforeAll, describe, expect, it } from 'vitest'
import type { Entry } from '../../src/core/operation.ts'
import { isOwnership } from '../../src/core/operation.ts'
import type { Disk } from '../../src/host/disk.ts'
import { acquire, ann, bob, eve, on, release, renew, transfer } from '../support/cast.ts'
import { brokenHistory, faultOf, historyOf, isOk, openOn, rawLines, resealed, run, scale } from '../support/fault.ts'
import { SimClock, SimDisk, SimLock, chanceOf } from '../support/sim-disk.ts'

// Damage of a real log, byte by byte: what a torn append leaves is mended, anything else is refused, and never does a second holder get in.

const directory = '/repo/leasehold'
const log = `${directory}/claims.jsonl`
const index = `${directory}/claims.index.jsonl`

/** A store at rest, and a way to put it back. */
interface Scene {
  readonly disk: SimDisk
  readonly clock: SimClock
  readonly bytes: Buffer
  readonly index: Buffer
  readonly entries: readonly Entry[]
  /** Where the records begin, after the checkpoint. */
  readonly firstRecord: number
  /** Where the last line begins. */
  readonly lastLine: number
}

const open = ({ disk, clock }: Pick<Scene, 'disk' | 'clock'>, segmentBytes = 1 << 20) => {
  const lock = new SimLock(disk)
  return openOn({ directory, clock, disk: disk.process(lock), lock, retention: { segmentBytes, maxAgeMs: 1e15, maxBytes: 1e15 } })
}

/** ann holds `issue:held` all along; the last line is bob's renewal of something else. */
async function scene(rounds: number, rotated: boolean): Promise<Scene> {
  const disk = new SimDisk(1)
  disk.plant('/repo')
  const clock = new SimClock()
  const store = open({ disk, clock })
  const does = async (command: Parameters<typeof run>[1]): Promise<void> => {
    clock.advance(7)
    const commit = await run(store, command)
    if (!isOk(commit)) throw new Error(`${command.type} was refused`)
  }
  await does(acquire(ann, 'issue:held', { ttlSecs: 86_400, branch: 'ä "quoted" \n name' }))
  await does(acquire(bob, ['issue:b', 'path:src/**'], { ttlSecs: 86_400 }))
  if (rotated) {
    clock.wall += 86_400_001
    const small = open({ disk, clock }, 1)
    await run(small, renew(ann, on('issue:held')))
    await run(small, renew(bob, on('issue:b')))
  }
  for (let round = 0; round < rounds; round++) {
    await does(acquire(bob, `issue:${round}`, { ttlSecs: 0, reason: 'as long as it takes' }))
    await does(renew(bob, on(`issue:${round}`), { note: `round ${round}` }))
    await does(transfer(bob, on(`issue:${round}`), ann))
    await does(release(ann, on(`issue:${round}`), { outcome: 'done' }))
  }
  await does(renew(bob, on('issue:b')))
  const bytes = disk.content(log)!
  const lines = rawLines(bytes)
  const checkpoint = lines.findIndex(line => !['segment', 'live', 'past', 'ops'].includes(line!.op))
  let firstRecord = 0
  for (let line = 0; line < checkpoint; line++) firstRecord = bytes.indexOf(0x0a, firstRecord) + 1
  return {
    disk,
    clock,
    bytes,
    index: disk.content(index) ?? Buffer.alloc(0),
    entries: await historyOf(store),
    firstRecord,
    lastLine: bytes.lastIndexOf(0x0a, bytes.length - 2) + 1,
  }
}

/** Puts this log and this index in place, and nothing else that a test before may have left. */
function lay({ disk }: Scene, bytes: Uint8Array, indexBytes: Uint8Array | null): void {
  disk.overwrite(log, bytes)
  if (indexBytes !== null) disk.overwrite(index, indexBytes)
  else if (disk.content(index) !== null) disk.remove(index)
  for (const name of disk.names(`${directory}/quarantine`)) disk.remove(`${directory}/quarantine/${name}`)
}

const rounds = Math.min(48, Math.max(2, Math.round(4 * scale)))
const minutes = 60_000 * Math.max(1, scale)

for (const rotated of [false, true]) {
  describe(rotated ? 'a log that begins with a checkpoint' : 'the first segment', () => {
    let at: Scene
    beforeAll(async () => {
      at = await scene(rounds, rotated)
    })

    it('is what these tests think it is', async () => {
      expect(at.index.length).toBeGreaterThan(1000)
      expect(rawLines(at.bytes).length).toBeLessThanOrEqual(200)
      expect(brokenHistory(at.entries)).toBeNull()
      const refused = await run(open(at), acquire(eve, 'issue:held'))
      expect(isOk(refused)).toBe(false)
      expect(at.disk.content(log)!.equals(at.bytes)).toBe(true)
    })

    for (const reboot of [false, true]) {
      it(
        `cut after any byte${reboot ? ', then a reboot' : ''}: whole lines stay, the rest is kept aside, tokens go on${reboot ? '' : ', unless the index knows that lines are gone'}`,
        { timeout: 5 * minutes },
        async () => {
          const seen = Number(/"position":\{"seq":(\d+)/.exec(at.index.toString('latin1'))![1])
          let refused = 0
          const clock = reboot ? later(at.clock) : at.clock
          const written = at.entries.map(entry => JSON.stringify(entry))
          const step = scale >= 3 ? 1 : reboot ? 5 : rotated ? 3 : 1
          for (let length = 0; length < at.bytes.length; length += step) {
            const cut = at.bytes.subarray(0, length)
            lay(at, cut, length % 2 === 0 ? at.index : null)
            const store = open({ disk: at.disk, clock })
            if (length < at.firstRecord) {
              // The checkpoint was durable before it got its name: no power loss can cut it, so nobody guesses.
              const fault = await faultOf(run(store, acquire(eve, 'issue:new')))
              expect(fault, `${length}`).toMatchObject({ code: 'unavailable', details: { outcome: 'nothing_changed' } })
              expect(at.disk.content(log)!.equals(cut), `${length}`).toBe(true)
              expect(await faultOf(store.view()), `${length}`).toMatchObject({ code: 'unavailable' })
              continue
            }
            const whole = cut.lastIndexOf(0x0a) + 1
            const last = lastSeq(cut)
            if (!reboot && length % 2 === 0 && last < seen) {
              for (const asked of [run(store, acquire(eve, 'issue:new')), store.view()])
                expect(await faultOf(asked), `${length}`).toMatchObject({ code: 'unavailable', details: { outcome: 'nothing_changed' } })
              expect(at.disk.content(log)!.equals(cut), `${length}`).toBe(true)
              refused++
              continue
            }
            const kept = at.entries.findLastIndex(({ seq }) => seq <= last) + 1
            const view = await store.view()
            expect(view.lease('issue:held')?.holder.agentId ?? null, `${length}`).toBe(kept > 0 ? 'agent:ann' : null)
            const commit = await run(store, acquire(eve, 'issue:new', { ttlSecs: 60 }))
            expect(isOk(commit), `${length}`).toBe(true)
            const after = await historyOf(store)
            expect(
              after.slice(0, kept).every((entry, place) => JSON.stringify(entry) === written[place]),
              `${length}`,
            ).toBe(true)
            const repairs = after.filter(({ operation }) => operation.op === 'repair')
            expect(repairs.length, `${length}`).toBe(whole === length ? 0 : 1)
            if (repairs[0]?.operation.op === 'repair') {
              const { quarantine, cutBytes } = repairs[0].operation
              expect(cutBytes).toBe(length - whole)
              expect(at.disk.content(`${directory}/quarantine/${quarantine}`)!.equals(cut.subarray(whole))).toBe(true)
            }
            expect(commit.leases[0]!.token).toBeGreaterThan(last)
            expect(brokenHistory(after), `${length}`).toBeNull()
            const second = await run(open({ disk: at.disk, clock }), acquire(bob, 'issue:new'))
            expect(isOk(second), `${length}`).toBe(false)
          }
          expect(refused > 0).toBe(!reboot)
        },
      )
    }

    for (const withIndex of ['no index', 'a sound index', 'an index of half the log'] as const) {
      it(`any byte replaced, ${withIndex}: nobody reads it, nobody writes to it`, { timeout: 5 * minutes }, async () => {
        const chance = chanceOf(7)
        const half = await indexOfHalf(at)
        for (let position = 0; position < at.bytes.length; position++) {
          const bytes = replaced(at.bytes, position, chance)
          lay(at, bytes, withIndex === 'no index' ? null : withIndex === 'a sound index' ? at.index : half)
          const store = open(at)
          // Of somebody else's key, and of a free one: neither may be given from a log that cannot be believed.
          const key = position % 2 === 0 ? 'issue:held' : 'issue:new'
          const fault = await faultOf(run(store, acquire(eve, key)))
          expect(fault, `byte ${position}`).toMatchObject({ code: 'unavailable', details: { outcome: 'nothing_changed' } })
          expect(at.disk.content(log)!.equals(bytes), `byte ${position}`).toBe(true)
          expect(at.disk.names(`${directory}/quarantine`)).toEqual([])
          if (position % 4 === 0) expect(await faultOf(store.view()), `byte ${position}`).toMatchObject({ code: 'unavailable' })
        }
      })
    }

    it('any byte replaced, then a reboot: only the last line may go, and it is said', { timeout: 5 * minutes }, async () => {
      const chance = chanceOf(8)
      const clock = later(at.clock)
      const granted = Math.max(...at.entries.filter(({ operation }) => isOwnership(operation)).map(({ seq }) => seq))
      let cuts = 0
      for (let position = 0; position < at.bytes.length; position++) {
        const bytes = replaced(at.bytes, position, chance)
        lay(at, bytes, position % 2 === 0 ? at.index : null)
        const store = open({ disk: at.disk, clock })
        // The newline before the last line belongs to it: without it two lines are one.
        const inLast = position >= at.lastLine - 1
        if (!inLast || at.lastLine <= at.firstRecord) {
          const fault = await faultOf(run(store, acquire(eve, 'issue:held')))
          expect(fault, `byte ${position}`).toMatchObject({ code: 'unavailable', details: { outcome: 'nothing_changed' } })
          expect(at.disk.content(log)!.equals(bytes), `byte ${position}`).toBe(true)
          continue
        }
        cuts++
        const commit = await run(store, acquire(eve, 'issue:new', { ttlSecs: 60 }))
        expect(isOk(commit), `byte ${position}`).toBe(true)
        expect(commit.leases[0]!.token, `byte ${position}`).toBeGreaterThan(granted)
        const after = await historyOf(store)
        const kept = at.entries.slice(0, position === at.lastLine - 1 ? -2 : -1)
        expect(after.slice(0, kept.length)).toEqual(kept)
        expect(after.filter(({ operation }) => operation.op === 'repair')).toHaveLength(1)
        expect(brokenHistory(after), `byte ${position}`).toBeNull()
        expect(isOk(await run(open({ disk: at.disk, clock }), acquire(eve, 'issue:held'))), `byte ${position}`).toBe(false)
      }
      expect(cuts).toBeGreaterThan(300)
    })

    it('a damaged index is as good as none', { timeout: 5 * minutes }, async () => {
      const chance = chanceOf(9)
      const check = async (bytes: Uint8Array, what: string): Promise<void> => {
        lay(at, at.bytes, bytes)
        const store = open(at)
        expect(isOk(await run(store, acquire(eve, 'issue:held'))), what).toBe(false)
        const view = await store.view()
        expect(view.lease('issue:held')?.holder.agentId, what).toBe('agent:ann')
        expect([...view.all()].map(({ resource }) => resource).toSorted(), what).toEqual(['issue:b', 'issue:held', 'path:src/**'])
        expect([...view.paths()], what).toHaveLength(1)
        expect(isOk(await run(store, acquire(eve, 'path:src/store/**'))), what).toBe(false)
        expect(isOk(await run(store, acquire(eve, 'issue:new', { ttlSecs: 60 }))), what).toBe(true)
      }
      await check(at.index, 'sound')
      for (let position = 0; position < at.index.length; position += 16)
        await check(replaced(at.index, position, chance), `byte ${position}`)
      for (let length = 0; length < at.index.length; length += 97) await check(at.index.subarray(0, length), `cut at ${length}`)
      await check(await indexOfHalf(at), 'of half the log')
      await check(Buffer.from('garbage\n'), 'garbage')
      await check(Buffer.alloc(at.index.length), 'zeros')
      await check((await scene(rounds + 1, !rotated)).index, 'of another segment')
      await check((await scene(rounds, rotated)).index, 'of a twin')
    })
  })
}

/** Deliberately broken: what the checks above are worth. */
describe('the same without checksums', () => {
  it('lets a second holder in', { timeout: 5 * minutes }, async () => {
    const at = await scene(2, false)
    const chance = chanceOf(10)
    let intruders = 0
    for (let position = 0; position < at.bytes.length; position++) {
      const bytes = replaced(at.bytes, position, chance)
      lay(at, bytes, null)
      const lock = new SimLock(at.disk)
      const process = at.disk.process(lock)
      // Every line is sealed anew as it is read: whatever it says, its checksum holds.
      const trusting = process.with({
        readSync: ((fd: number, buffer: Uint8Array, offset: number, length: number, from: number) => {
          if (at.disk.files.get(fd)?.path !== log) return process.readSync(fd, buffer, offset, length, from)
          const chunk = resealed(bytes, line => line).subarray(from, from + length)
          buffer.set(chunk, offset)
          return chunk.length
        }) as Disk['readSync'],
      })
      const store = openOn({ directory, clock: at.clock, disk: trusting, lock })
      const commit = await run(store, acquire(eve, 'issue:held')).catch(() => null)
      if (commit !== null && isOk(commit)) intruders++
    }
    expect(intruders).toBeGreaterThan(0)
  })
})

const later = (clock: SimClock): SimClock => {
  const other = new SimClock(5000, clock.wall + 60_000)
  other.boot = 'boot-2'
  return other
}

function replaced(bytes: Buffer, position: number, chance: () => number): Buffer {
  const copy = Buffer.from(bytes)
  // A newline now and then: it makes two lines of one, and is the byte that ends a record.
  const other = chance() < 0.1 && bytes[position] !== 0x0a ? 0x0a : (bytes[position]! + 1 + Math.floor(chance() * 255)) % 256
  copy[position] = other
  return copy
}

function lastSeq(bytes: Buffer): number {
  const end = bytes.lastIndexOf(0x0a)
  return rawLines(bytes.subarray(bytes.lastIndexOf(0x0a, end - 1) + 1, end + 1)).at(-1)?.seq ?? 0
}

/** The index as it was when the log had half its lines. */
async function indexOfHalf(at: Scene): Promise<Buffer> {
  const middle = at.bytes.indexOf(0x0a, Math.floor((at.firstRecord + at.lastLine) / 2)) + 1
  lay(at, at.bytes.subarray(0, middle), null)
  const store = open(at)
  await run(store, acquire(eve, 'issue:held')).catch(() => null)
  await run(store, renew(ann, on('issue:held')))
  const made = at.disk.content(index)
  if (made === null) throw new Error('no index was made')
  return made
}
