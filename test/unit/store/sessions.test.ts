import fs, { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import type { Granted, LaunchHold } from '../../../src/coordinator.ts'
import type { Holder } from '../../../src/core/lease.ts'
import type { Depart, EndSession } from '../../../src/core/command.ts'
import type { Session } from '../../../src/core/session.ts'
import { kernelLock } from '../../../src/host/kernel-lock.ts'
import { hostname, witnessOf } from '../../../src/host/process.ts'
import { recover } from '../../../src/store/file/recover.ts'
import { inspect } from '../../../src/store/file/inspect.ts'
import type { FileStore } from '../../../src/store/file/store.ts'
import { verifyLog } from '../../../src/store/file/verify.ts'
import { FullState } from '../../../src/store/state.ts'
import { StillClock, acquire, bob, freshId, holder, on, release } from '../../support/cast.ts'
import { brokenChain, historyOf, openOn, resealed, run, widePolicy } from '../../support/fault.ts'

// Sessions in files: whatever is done to the log, the index and the process, they are what the records say.

const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-sessions-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let clock: StillClock
let directory: string
let opened: FileStore[]

beforeEach(() => {
  clock = new StillClock()
  directory = path.join(mkdtempSync(path.join(folder, 'store-')), 'leasehold')
  opened = []
})

const open = (options: { resident?: boolean; segmentBytes?: number } = {}): FileStore => {
  const { resident = false, segmentBytes = 1 << 20 } = options
  const retention = { segmentBytes, maxAgeMs: 1e15, maxBytes: 1e15 }
  const store = openOn({ directory, clock, disk: fs, lock: kernelLock(), resident, retention })
  opened.push(store)
  return store
}

const launcher = holder('human:ann')
const coordinatorOf = (store: FileStore): Coordinator => new Coordinator(store, widePolicy, 'test')

const sessionOf = (sessionId: string, chosen: Partial<Session> = {}): Session => ({
  sessionId,
  name: `dev-${sessionId.toLowerCase()}`,
  role: 'dev',
  origin: 'ticket-claim',
  profile: 'claude',
  agentId: 'agent:dev',
  worktreeId: 'wt:00000009',
  cwd: '/repo/w1',
  witness: witnessOf(process.pid),
  binding: null,
  clientSessionIds: ['c-1', 'ü"\\\n'],
  relatedTickets: [],
  peers: [],
  evidence: { kind: 'tool-call', seen: 'Write', confirmed: true, at: 1_760_000_000_000 },
  resume: { command: ['claude', '--resume', 'c-1'], stored: null },
  launchedBy: 'human:ann',
  startedAt: 1_760_000_000_000,
  state: 'live',
  endedAt: null,
  endReason: null,
  exitCode: null,
  ...chosen,
})

interface Launched {
  readonly granted: Granted
  readonly hold: LaunchHold
  readonly session: Session
}

/** Reserves and launches, as `lh launch` does. */
async function launch(store: FileStore, sessionId: string, resources: readonly string[], chosen: Partial<Session> = {}): Promise<Launched> {
  const coordinator = coordinatorOf(store)
  const relatedTickets = resources.filter(key => key.startsWith('ticket:')).map(key => key.slice(7))
  const own: Holder = { agentId: 'agent:dev', worktreeId: 'wt:00000009', sessionId, witness: witnessOf(process.pid) }
  const note = { launchId: sessionId, role: 'dev', agentId: 'agent:dev' }
  const reserved = await coordinator.reserve({ holder: launcher }, { resources, note, ttlSecs: 30 })
  if (!reserved.ok) throw new Error(`not reserved: ${JSON.stringify(reserved.refusal)}`)
  const hold = { lock: reserved.reservation, live: reserved.liveLock, token: null }
  const binding = hold.live === null ? null : { live: hold.live.live }
  const session = sessionOf(sessionId, { relatedTickets, binding, ...chosen })
  const granted = await coordinator.launch({ holder: own }, { resources, ttlSecs: 600, branch: null, reason: null, session }, hold)
  if (!granted.ok) throw new Error(`not launched: ${JSON.stringify(granted.refusal)}`)
  return { granted, hold, session }
}

const asked = (): { holder: Holder; opId: string; retry: boolean } => ({ holder: launcher, opId: freshId(), retry: false })
const depart = (sessionId: string): Depart => ({
  ...asked(),
  type: 'depart',
  sessionId,
  agent: null,
  exitCode: 0,
  reason: 'ended',
  keep: false,
})
const endSession = (sessionId: string): EndSession => ({
  ...asked(),
  type: 'end-session',
  sessionId,
  reason: 'a person said so',
  force: true,
  staleOnly: false,
})

const byId = (sessions: Iterable<Session>): readonly Session[] =>
  [...sessions].toSorted((one, other) => one.sessionId.localeCompare(other.sessionId))

/** What every kind of reader sees: with and without the index, about one key, in a process that stays, and the fold of the history. */
async function everywhere(): Promise<readonly Session[]> {
  const expected = byId((await open().view()).sessions())
  const fold = new FullState()
  for (const entry of await historyOf(open())) fold.apply(entry)
  expect(byId(fold.sessions())).toEqual(expected)
  const staying = open({ resident: true })
  await run(staying, acquire(bob, 'env:staying'))
  await run(staying, release(bob, on('env:staying')))
  expect(byId((await staying.view()).sessions())).toEqual(expected)
  await staying.transact(view => {
    expect(byId(view.sessions())).toEqual(expected)
    return { ok: false, refusal: { kind: 'not-held', resource: 'x' } }
  })
  staying.close()
  for (const session of expected) {
    const about = await open().view([`session:${session.sessionId}`])
    expect(about.session(session.sessionId)).toEqual(session)
    expect((await open().view(['env:other'])).session(session.sessionId)).toEqual(session)
  }
  fs.rmSync(open().layout.index, { force: true })
  expect(byId((await open().view()).sessions())).toEqual(expected)
  expect(verifyLog(fs, open().layout).faults).toEqual([])
  expect(brokenChain(readFileSync(open().layout.log), 'log')).toBeNull()
  return expected
}

/** A checkpoint's line about a session; what a checkpoint remembers of commands may tell of them too. */
const ofSession = (line: string): boolean => line.includes('"op":"session","session":{')

const fill = async (store: FileStore, count: number): Promise<void> => {
  for (let at = 0; at < count; at++) {
    await run(store, acquire(bob, `env:${at % 7}`))
    await run(store, release(bob, on(`env:${at % 7}`)))
  }
}

describe('a session', () => {
  it('is kept by every kind of store as it was told', async () => {
    const one = await launch(open(), 'S1', ['ticket:t1', 'branch:work/t1'])
    const two = await launch(open({ resident: true }), 'S2', ['ticket:t2'], { peers: ['S1'] })
    const none = await launch(open(), 'S3', [], { origin: 'role-launch', resume: null, witness: null })
    expect(await everywhere()).toEqual([{ ...one.session, peers: ['S2'] }, two.session, none.session])
    expect(none.session.binding, 'without a ticket it is proven by a lock all the same').not.toBeNull()
  })

  it('is seen begin, change and end by a process that stays and that did nothing of it', async () => {
    const staying = open({ resident: true })
    await run(staying, acquire(bob, 'env:x'))
    const seen = async (): Promise<readonly Session[]> => {
      let sessions: readonly Session[] = []
      await staying.transact(view => {
        sessions = byId(view.sessions())
        return { ok: false, refusal: { kind: 'not-held', resource: 'x' } }
      })
      return sessions
    }
    expect(await seen()).toEqual([])
    // A record of one key, of the kind that waits as text until its key is asked for.
    const { session, hold } = await launch(open(), 'S1', ['ticket:t1'])
    expect(await seen()).toEqual([session])
    const other = await launch(open(), 'S2', ['ticket:t2'], { peers: ['S1'] })
    expect(await seen()).toEqual([{ ...session, peers: ['S2'] }, other.session])
    await run(open(), depart('S1'))
    expect(await seen()).toEqual([other.session])
    for (const each of [hold, other.hold]) each.live?.close()
  })

  it.each([
    ['one process after the other', false],
    ['a process that stays', true],
  ])('survives many records and rotations of the log, by %s', async (_who, resident) => {
    const { session } = await launch(open(), 'S1', ['ticket:t1'])
    const role = await launch(open(), 'S2', [], { origin: 'role-launch' })
    const store = open({ resident, segmentBytes: 4096 })
    await fill(store, 60)
    store.close()
    expect(fs.readdirSync(store.layout.archive).length).toBeGreaterThan(1)
    expect(readFileSync(store.layout.log, 'utf8').split('\n')[0]).toContain('"sessions":2')
    expect(await everywhere()).toEqual([session, role.session])
    expect((await open().view()).lease('ticket:t1')).toMatchObject({ binding: session.binding })
  })

  it('that has ended is gone from state, index and the next checkpoint', async () => {
    const one = await launch(open(), 'S1', ['ticket:t1'])
    const two = await launch(open(), 'S2', [], { origin: 'role-launch' })
    await fill(open(), 3)
    await run(open(), endSession('S1'))
    await run(open(), depart('S2'))
    for (const { session } of [one, two]) {
      expect((await open().view()).session(session.sessionId)).toBeNull()
      expect((await open().view([`session:${session.sessionId}`])).session(session.sessionId)).toBeNull()
    }
    expect(await everywhere()).toEqual([])
    expect(fs.readdirSync(open().layout.locks).filter(name => name.startsWith('live-'))).toEqual([])
    const store = open({ resident: true, segmentBytes: 4096 })
    await fill(store, 40)
    store.close()
    await fill(open(), 40)
    const lines = readFileSync(store.layout.log, 'utf8').split('\n')
    expect(lines[0]).not.toContain('"sessions"')
    expect(lines.filter(ofSession)).toEqual([])
    expect(readFileSync(store.layout.index, 'utf8')).not.toContain('session:')
    for (const { hold } of [one, two]) hold.live?.close()
  })

  it('of which the ticket was given back goes on, and so does the lock that proves it', async () => {
    const { session, hold } = await launch(open(), 'S1', ['ticket:t1'])
    const own: Holder = { agentId: 'agent:dev', worktreeId: 'wt:00000009', sessionId: 'S1', witness: null }
    await run(open(), release(own, on('ticket:t1'), { outcome: 'done' }))
    const view = await open().view()
    expect(view.lease('ticket:t1')).toBeNull()
    expect(view.life(view.session('S1')!)).toBe('alive')
    expect(fs.existsSync(path.join(open().layout.locks, `live-${session.binding!.live}.lock`))).toBe(true)
    hold.live!.close()
    const after = await open().view()
    expect(after.life(after.session('S1')!)).toBe('dead')
  })

  it('is restorable while what its client keeps is there, and another machine’s always', async () => {
    const stored = path.join(folder, 'stored')
    writeFileSync(stored, '')
    const resume = { command: ['claude'], stored }
    const { hold } = await launch(open(), 'S1', ['ticket:t1'], { resume })
    const far = { ...witnessOf(process.pid)!, host: `not-${hostname()}` }
    await launch(open(), 'S2', ['ticket:t2'], { resume: { command: ['claude'], stored: '/nowhere' }, witness: far })
    await launch(open(), 'S3', ['ticket:t3'], { resume: null })
    const restorable = async (id: string): Promise<boolean> => {
      const view = await open().view()
      return view.restorable(view.session(id)!)
    }
    expect([await restorable('S1'), await restorable('S2'), await restorable('S3')]).toEqual([true, true, false])
    rmSync(stored)
    expect(await restorable('S1')).toBe(false)
    hold.live?.close()
  })

  it('that died is evicted by the next who asks, its lock goes, and the index knows', async () => {
    const { hold, session } = await launch(open(), 'S1', ['ticket:t1', 'branch:work/t1'], { resume: null })
    hold.live!.close()
    const commit = await run(open(), acquire(bob, 'branch:work/t1'))
    expect(commit.entries.map(({ operation }) => operation.op)).toEqual(['auto-evict', 'acquire'])
    expect(await everywhere()).toEqual([])
    expect(fs.existsSync(path.join(open().layout.locks, `live-${session.binding!.live}.lock`))).toBe(false)
    expect((await open().view()).lease('ticket:t1')).toBeNull()
  })
})

describe('a damaged index', () => {
  it.each([
    ['at every place near a session, one byte at a time', 1],
    ['as a whole', 0],
  ])('%s hides no session and makes none up', async (_how, single) => {
    const { session } = await launch(open(), 'S1', ['ticket:t1'])
    await launch(open(), 'S2', [], { origin: 'role-launch' })
    // An index is made only when there is enough before it.
    const store = open({ resident: true })
    await fill(store, 40)
    store.close()
    await recover(open(), false)
    const { index } = open().layout
    const whole = readFileSync(index)
    const at = whole.indexOf('{"key":"session:S1"')
    expect(at).toBeGreaterThan(0)
    const places = single === 1 ? Array.from({ length: 120 }, (_, step) => at + step * 5).filter(place => place < whole.length) : [-1]
    for (const place of places) {
      const damaged = place < 0 ? Buffer.alloc(whole.length, 0x7b) : Buffer.from(whole)
      if (place >= 0) damaged[place] = damaged[place]! ^ 1
      writeFileSync(index, damaged)
      const view = await open().view([`session:S1`])
      expect(view.session('S1'), `byte ${place}`).toEqual(session)
      expect([...(await open().view()).sessions()].map(({ sessionId }) => sessionId).toSorted()).toEqual(['S1', 'S2'])
    }
    writeFileSync(index, whole)
  })
})

describe('a lost log', () => {
  it('is made anew with the sessions that the index knows, and its archive has no hole that nobody explained', async () => {
    const { session } = await launch(open(), 'S1', ['ticket:t1'])
    await fill(open({ segmentBytes: 4096 }), 40)
    await recover(open(), false)
    fs.rmSync(open().layout.log)
    await recover(open(), true)
    expect([...(await open().view()).sessions()]).toEqual([session])
    // Once it is archived it begins with a jump, and before that with the checkpoint's lines of sessions.
    const store = open({ segmentBytes: 4096 })
    await fill(store, 40)
    const findings = await inspect(open(), { worktreeIds: null })
    expect(findings.filter(({ code }) => code === 'archive-gap' || code === 'check-failed')).toEqual([])
  })
})

describe('verify', () => {
  const faults = (): readonly string[] => verifyLog(fs, open().layout).faults.map(({ message }) => message)

  async function rotated(): Promise<void> {
    await launch(open(), 'S1', ['ticket:t1'])
    await launch(open(), 'S2', [], { origin: 'role-launch' })
    await fill(open({ segmentBytes: 4096 }), 12)
    expect(fs.readdirSync(open().layout.archive).length).toBeGreaterThan(0)
    expect(faults()).toEqual([])
  }

  it('notices a checkpoint that says something else of a session', async () => {
    await rotated()
    const { log } = open().layout
    writeFileSync(
      log,
      resealed(readFileSync(log), line => (ofSession(line) ? line.replace('"name":"dev-s1"', '"name":"dev-s9"') : line)),
    )
    expect(faults()).toHaveLength(1)
    expect(faults()[0]).toContain('S1')
  })

  it('notices a checkpoint that lacks a session', async () => {
    await rotated()
    const { log } = open().layout
    const lines = readFileSync(log, 'utf8').split('\n')
    const without = lines.filter(line => !(ofSession(line) && line.includes('"S1"'))).join('\n')
    writeFileSync(
      log,
      resealed(Buffer.from(without), line => line.replace('"sessions":2', '"sessions":1')),
    )
    expect(faults()).toEqual(['the checkpoint lacks the session S1'])
  })
})
