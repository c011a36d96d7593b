import fs from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Disk } from '../../../src/host/disk.ts'
import { rotate } from '../../../src/store/file/rotate.ts'
import { openMaintenance } from '../../../src/store/open.ts'
import type { Stage } from './stage.ts'
import { stage, take } from './stage.ts'

const forever = Number.POSITIVE_INFINITY
const keepAll = { segmentBytes: 1 << 20, maxAgeMs: forever, maxBytes: forever }
const keepOne = { ...keepAll, maxBytes: 1 }
const keepHour = { ...keepAll, maxAgeMs: 3_600_000 }

let s: Stage
const archives = (): readonly string[] => fs.readdirSync(s.file('archive')).toSorted()
const numbersOf = (): readonly number[] => archives().map(name => Number(/^claims-(\d+)/.exec(name)?.[1]))

/** A new segment, by a process with these settings. */
const compact = async (retention: typeof keepAll): Promise<unknown> => (await openMaintenance(s.open({ retention }))).compact()

/** Everything that a process which keeps all archives says of the log. */
async function complaints(): Promise<readonly string[]> {
  const store = s.open({ retention: keepAll })
  const maintenance = await openMaintenance(store)
  const found: string[] = (await maintenance.verify()).faults.map(({ message }) => `verify: ${message}`)
  for (const { code, message } of await maintenance.inspect({ worktreeIds: null }))
    if (code === 'archive-gap' || code === 'history-damaged') found.push(`doctor: ${message}`)
  for await (const _ of store.history({ unreadable: where => found.push(`history: ${where}`) })) void _
  return found
}

/** Archives of one record each, 1 to 4, and record 5 in the log. */
beforeEach(async () => {
  s = await stage({ retention: keepAll })
  for (const name of ['a', 'b', 'c', 'd']) {
    await take(s, name)
    await s.maintenance.compact()
  }
  await take(s, 'e')
  expect(numbersOf()).toEqual([1, 2, 3, 4])
})

const age = (name: string, ms: number): void => {
  const at = new Date(s.clock.now().wall - ms)
  fs.utimesSync(s.file('archive', name), at, at)
}

describe('what retention removed is on record', () => {
  it('for a reader that would have kept it, by size and by age', async () => {
    await compact(keepOne)
    expect(numbersOf()).toEqual([5])
    expect(await complaints()).toEqual([])
    await take(s, 'f')
    age(archives()[0]!, 7_200_000)
    await compact(keepHour)
    expect(numbersOf()).toEqual([6])
    expect(await complaints()).toEqual([])
    // Also in the segments that come after it.
    await take(s, 'g')
    await compact(keepAll)
    expect(numbersOf()).toEqual([6, 7])
    expect(await complaints()).toEqual([])
  })

  it('and what somebody else removed is a hole, at the start as well, also for a reader that would not have kept it', async () => {
    fs.rmSync(s.file('archive', archives()[0]!))
    const hole = ['verify: records 1 to 1 should still be in the archive', 'doctor: records 1 to 1 should still be in the archive']
    expect(await complaints()).toEqual([...hole, 'history: the records between 0 and 2 are missing'])
    const other = await openMaintenance(s.open({ retention: keepOne }))
    expect((await other.verify()).faults).toHaveLength(1)
    // A new segment does not make it right.
    await compact(keepAll)
    expect(await complaints()).toEqual([...hole, 'history: the records between 0 and 2 are missing'])
    await take(s, 'f')
    await compact(keepOne)
    expect(await complaints()).toEqual([])
  })

  it('where a power loss brought one of the removed archives back', async () => {
    const kept = fs.readFileSync(s.file('archive', archives()[1]!))
    const name = archives()[1]!
    await compact(keepOne)
    fs.writeFileSync(s.file('archive', name), kept)
    expect(numbersOf()).toEqual([2, 5])
    expect(await complaints()).toEqual([])
    await take(s, 'f')
    await compact(keepAll)
    expect(await complaints()).toEqual([])
  })

  it('while somebody reads', async () => {
    const missing: string[] = []
    const seen: number[] = []
    for await (const { seq } of s.store.history({ unreadable: where => missing.push(where) })) {
      if (seen.length === 0) await compact(keepOne)
      seen.push(seq)
    }
    expect(missing).toEqual([])
    expect(seen).toEqual([1, 5])
  })
})

describe('retention leaves no hole', () => {
  it('when an archive in the middle is too old and one before it is not', async () => {
    for (const name of archives()) age(name, 1000)
    age(archives()[2]!, 7_200_000)
    await compact(keepHour)
    expect(numbersOf()).toEqual([4, 5])
    expect(await complaints()).toEqual([])
  })

  it('when it is stopped half-way', async () => {
    const { layout, modes } = s.store
    let removed = 0
    const disk: Disk = {
      ...fs,
      unlinkSync: ((file: string) => {
        if (file.startsWith(layout.archive) && removed++ === 2) throw new Error('stopped')
        fs.unlinkSync(file)
      }) as Disk['unlinkSync'],
    }
    const fd = fs.openSync(layout.log, 'r+')
    expect(() => rotate(disk, layout, modes, fd, s.clock.now(), keepOne)).toThrow('stopped')
    fs.closeSync(fd)
    expect(numbersOf()).toEqual([3, 4, 5])
    expect(await complaints()).toEqual([])
  })
})
