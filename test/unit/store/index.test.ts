import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import { openFileStore } from '../../../src/store/open.ts'
import type { FileStore } from '../../../src/store/file/store.ts'
import { StillClock, tightPolicy } from '../../support/cast.ts'

// A reader that says which keys it is about reads no more of a big index than those; what it is told must be what every reader is told.

const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-index-'))
const clock = new StillClock()
const caller = (agentId: string) => ({ holder: { agentId, worktreeId: 'wt:00000001', sessionId: null, witness: null } })

const open = (resident: boolean, name = 'leasehold'): FileStore =>
  openFileStore({
    directory: path.join(folder, name),
    clock,
    shared: false,
    lockWaitMs: 10_000,
    retention: { segmentBytes: 8 * 1024 * 1024, maxAgeMs: 86_400_000, maxBytes: 64 * 1024 * 1024 },
    limits: {
      max_indefinite_leases_per_agent: tightPolicy.maxIndefinitePerAgent,
      max_indefinite_leases_per_repo: tightPolicy.maxIndefinitePerRepo,
    },
    limitsChosen: [],
    allowUnsafeFs: false,
    resident,
  })

const coordinator = (store: FileStore): Coordinator => new Coordinator(store, tightPolicy, 'test')
const index = (): string => open(false).layout.index
const count = 900

beforeAll(async () => {
  const store = open(true)
  const all = Array.from({ length: count }, (_, at) => coordinator(store).acquire(caller('agent:a'), { resources: [`ticket:t-${at}`] }))
  await Promise.all(all)
  store.close()
  // Processes that end at once bring the index up to date and leave records behind it.
  for (let at = 0; at < 9; at++) await coordinator(open(false)).release(caller('agent:a'), { target: { resource: `ticket:t-${at}` } })
  await coordinator(open(false)).acquire(caller('agent:b'), { resources: ['ticket:late'] })
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a reader that is about a few keys', () => {
  it('has an index before it that is too big to be read as a whole', () => {
    expect(statSync(index()).size).toBeGreaterThan(262_144)
  })

  it('is told what every reader is told of them', async () => {
    const keys = ['ticket:t-0', 'ticket:t-8', 'ticket:t-500', 'ticket:late', 'ticket:never']
    const whole = await open(false).view()
    for (const key of keys) {
      const view = await open(false).view([key])
      expect(view.lease(key)).toEqual(whole.lease(key))
      expect(view.past(key)).toEqual(whole.past(key))
    }
    expect(whole.lease('ticket:t-500')?.holder.agentId).toBe('agent:a')
    expect(whole.past('ticket:t-0')).not.toBeNull()
  })

  it('gets no wrong answer about any other', async () => {
    const view = await open(false).view(['ticket:t-500'])
    for (let at = 10; at < 60; at++) expect(view.lease(`ticket:t-${at}`)?.resource).toBe(`ticket:t-${at}`)
    expect([...view.all()]).toHaveLength(count - 9 + 1)
  })

  it('is not misled by damage in what it reads', async () => {
    const bytes = readFileSync(index())
    const at = bytes.indexOf('"key":"ticket:t-700"')
    writeFileSync(index(), Buffer.concat([bytes.subarray(0, at), Buffer.from('"key":"ticket:x-700"'), bytes.subarray(at + 20)]))
    const view = await open(false).view(['ticket:t-700'])
    writeFileSync(index(), bytes)
    expect(view.lease('ticket:t-700')?.holder.agentId).toBe('agent:a')
  })
})

it('lists what a process that stays lists', async () => {
  const [once, staying] = [await open(false).view(), open(true)]
  // It takes its state from the whole log.
  await coordinator(staying).acquire(caller('agent:c'), { resources: ['ticket:late'] })
  const byKey = (leases: Iterable<{ resource: string }>) => [...leases].toSorted((a, b) => a.resource.localeCompare(b.resource))
  expect(byKey(once.all())).toEqual(byKey((await staying.view()).all()))
  staying.close()
})

describe('an index', () => {
  const at = (resident: boolean): FileStore => open(resident, 'growing')
  const file = at(false).layout.index
  const header = (): { hashBuckets: number; leases: number; pasts: number; offset: number } => {
    const text = readFileSync(file, 'latin1')
    return JSON.parse(text.slice(9, text.indexOf('\n')))
  }
  /** Commands of processes that end at once, until one of them makes the index anew from the one before. */
  const bringUpToDate = async (name: string): Promise<void> => {
    const { log } = at(false).layout
    for (let each = 0; each === 0 || header().offset < statSync(log).size; each++)
      await coordinator(at(false)).acquire(caller('agent:b'), { resources: [`env:${name}-${each}`] })
  }
  const many = async (work: (store: FileStore, number: number) => Promise<unknown>): Promise<void> => {
    const store = at(true)
    await Promise.all(Array.from({ length: 900 }, (_, number) => work(store, number)))
    store.close()
  }
  const listed = async (): Promise<readonly string[]> => [...(await at(false).view()).all()].map(({ resource }) => resource).toSorted()

  it('gets more buckets with more keys, and says the same', async () => {
    await bringUpToDate('few')
    expect(header()).toMatchObject({ hashBuckets: 16, leases: (await listed()).length })
    await many((store, number) => coordinator(store).acquire(caller('agent:a'), { resources: [`ticket:t-${number}`] }))
    await bringUpToDate('grown')
    expect(header()).toMatchObject({ hashBuckets: 64, leases: (await listed()).length })
    expect((await listed()).filter(key => key.startsWith('ticket:'))).toHaveLength(900)
    for (const key of ['ticket:t-0', 'ticket:t-899', 'env:few-0']) expect((await at(false).view([key])).lease(key)?.resource).toBe(key)
  })

  it('is not believed when a byte of its header or of its table is another', async () => {
    const sound = readFileSync(file)
    const whole = await listed()
    const end = sound.indexOf('\n') + 1 + (2 + header().hashBuckets) * 12
    for (let byte = 0; byte < end; byte += byte < 40 ? 1 : 7) {
      const damaged = Buffer.from(sound)
      damaged[byte] = damaged[byte]! ^ 0x01
      writeFileSync(file, damaged)
      const view = await at(false).view(['ticket:t-500'])
      expect(view.lease('ticket:t-500')?.resource, `byte ${byte}`).toBe('ticket:t-500')
      expect(view.lease('ticket:never'), `byte ${byte}`).toBeNull()
    }
    expect(await listed()).toEqual(whole)
    writeFileSync(file, sound)
  })

  it('counts what has ended, and forgets none of it', async () => {
    await many((store, number) => coordinator(store).release(caller('agent:a'), { target: { resource: `ticket:t-${number}` } }))
    await bringUpToDate('over')
    const view = await at(false).view()
    expect(header()).toMatchObject({ hashBuckets: 64, leases: [...view.all()].length, pasts: 900 })
    expect(await listed()).toEqual((await listed()).filter(key => key.startsWith('env:')))
    expect(view.past('ticket:t-500')).not.toBeNull()
    expect(view.lease('ticket:t-500')).toBeNull()
  })
})
