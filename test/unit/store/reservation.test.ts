import fs, { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import type { Answer, LaunchHold } from '../../../src/coordinator.ts'
import type { Holder } from '../../../src/core/lease.ts'
import type { Session } from '../../../src/core/session.ts'
import type { Disk } from '../../../src/host/disk.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { kernelLock } from '../../../src/host/kernel-lock.ts'
import { witnessOf } from '../../../src/host/process.ts'
import { inspect } from '../../../src/store/file/inspect.ts'
import { leftovers } from '../../../src/store/file/leftovers.ts'
import { recover } from '../../../src/store/file/recover.ts'
import type { FileStore } from '../../../src/store/file/store.ts'
import { bob, holder } from '../../support/cast.ts'
import { faultOf, historyOf, openOn, widePolicy } from '../../support/fault.ts'
import { failure } from '../../support/sim-disk.ts'

// Launches in flight hold their keys by kernel locks. Two stores of one process exclude each other as two processes do: the locks
// belong to the open file. Processes that are really killed are in test/fault/reservation.test.ts.

const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-reservations-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let directory: string

beforeEach(() => {
  directory = path.join(mkdtempSync(path.join(folder, 'store-')), 'leasehold')
})

const open = (options: { resident?: boolean; disk?: Disk; shared?: boolean } = {}): FileStore =>
  openOn({
    directory,
    clock: systemClock(),
    disk: options.disk ?? fs,
    lock: kernelLock(),
    resident: options.resident ?? false,
    shared: options.shared ?? false,
  })

const coordinatorOf = (store: FileStore): Coordinator => new Coordinator(store, widePolicy, 'test')
const launcher = holder('human:ann')
const keys = ['ticket:t1', 'worktree:w1', 'branch:work/t1']

let launches = 0

const reserve = (store: FileStore, resources: readonly string[] = keys, role = 'dev', launchId = `L${++launches}`): Promise<Answer> =>
  coordinatorOf(store).reserve({ holder: launcher }, { resources, note: { launchId, role, agentId: 'agent:dev' }, ttlSecs: 30 })

const acquire = (store: FileStore, resources: readonly string[], who: Holder = bob): Promise<Answer> =>
  coordinatorOf(store).acquire({ holder: who }, { resources })

/** Must be granted; what the launch holds. */
async function held(asked: Promise<Answer>): Promise<LaunchHold & { readonly lock: NonNullable<LaunchHold['lock']> }> {
  const answer = await asked
  if (!answer.ok || answer.reservation === null) throw new Error(`not reserved: ${JSON.stringify(answer)}`)
  return { lock: answer.reservation, live: answer.liveLock, token: null }
}

/** Must be refused because of a launch in flight. */
async function reserved(
  asked: Promise<Answer>,
): Promise<Extract<Extract<Answer, { ok: false }>['refusal'], { kind: 'reserved' }>['reservation']> {
  const answer = await asked
  if (answer.ok || answer.refusal.kind !== 'reserved') throw new Error(`not refused: ${JSON.stringify(answer)}`)
  return answer.refusal.reservation
}

const sessionOf = (hold: LaunchHold, sessionId: string, relatedTickets: readonly string[]): Session => ({
  sessionId,
  name: sessionId,
  role: 'dev',
  origin: 'ticket-claim',
  profile: 'command',
  agentId: 'agent:dev',
  worktreeId: 'wt:00000001',
  cwd: '/repo',
  witness: witnessOf(process.pid),
  binding: hold.live === null ? null : { live: hold.live.live },
  clientSessionIds: [],
  relatedTickets,
  peers: [],
  evidence: { kind: 'alive', seen: '5s', confirmed: false, at: 1 },
  resume: null,
  launchedBy: 'human:ann',
  startedAt: 1,
  state: 'live',
  endedAt: null,
  endReason: null,
  exitCode: null,
})

const commit = (
  store: FileStore,
  hold: LaunchHold,
  resources: readonly string[] = keys,
  sessionId = hold.lock!.launchId,
): Promise<Answer> => {
  const session = sessionOf(hold, sessionId, [resources[0]!.slice(7)])
  const own: Holder = { agentId: 'agent:dev', worktreeId: 'wt:00000001', sessionId, witness: witnessOf(process.pid) }
  return coordinatorOf(store).launch({ holder: own }, { resources, ttlSecs: 600, branch: null, reason: null, session }, hold)
}

const abandon = (store: FileStore, hold: LaunchHold): Promise<void> => coordinatorOf(store).abandon({ holder: launcher }, hold, 'ticket:t1')

const locks = (): readonly string[] => fs.readdirSync(path.join(directory, 'locks')).filter(name => /^(live|reserve)-/.test(name))
const reserveFiles = (): readonly string[] =>
  locks()
    .filter(name => name.startsWith('reserve-'))
    .map(name => path.join(directory, 'locks', name))

/** What is left when a launcher is killed: its files, and no lock. */
const killed = ({ lock, live }: LaunchHold): void => {
  lock?.close()
  live?.close()
}

/** The real disk, with something before and after each call. */
const watched = (before: (call: string, name: string) => void, after: (call: string, name: string) => void = () => {}): Disk => {
  const names = new Map<unknown, string>()
  return new Proxy(fs, {
    get(target, property) {
      const value = Reflect.get(target, property) as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        const last = property === 'renameSync' ? args[1] : args[0]
        const name = typeof last === 'number' ? (names.get(last) ?? '') : String(last)
        before(String(property), name)
        const result = (value as (...all: unknown[]) => unknown).apply(target, args)
        if (property === 'openSync') names.set(result, String(args[0]))
        after(String(property), name)
        return result
      }
    },
  })
}

it('waits for the disk only when it becomes a claim', async () => {
  const synced: string[] = []
  const disk = watched(call => {
    if (call.startsWith('fdatasync')) synced.push(call)
  })
  await acquire(open(), ['env:before'])
  const store = open({ disk })
  const hold = await held(reserve(store))
  expect(synced).toEqual([])
  expect((await commit(store, hold)).ok).toBe(true)
  expect(synced.length).toBeGreaterThan(0)
})

describe.each([
  ['processes that end soon', false],
  ['processes that stay', true],
])('a reservation, among %s', (_who, resident) => {
  it('keeps every launch and every acquisition of each of its keys out, says who, and writes nothing', async () => {
    const [one, two] = [open({ resident }), open({ resident })]
    const hold = await held(reserve(one, keys, 'dev', 'LAUNCH'))
    for (const key of keys) {
      for (const asked of [
        acquire(two, [key]),
        acquire(two, ['env:x', key]),
        reserve(two, [key]),
        acquire(one, [key]),
        reserve(one, [key]),
      ]) {
        const { ageMs, lockFile, ...rest } = await reserved(asked)
        expect(rest).toEqual({
          resource: key,
          launchId: 'LAUNCH',
          role: 'dev',
          agentId: 'agent:dev',
          pid: process.pid,
          launcherAlive: true,
          agent: null,
        })
        expect(ageMs).toBeGreaterThanOrEqual(0)
        expect(path.basename(lockFile!.path)).toMatch(/^reserve-[0-9a-f]{32}\.lock$/)
      }
    }
    expect(await historyOf(two)).toEqual([])
    expect((await acquire(two, ['ticket:t2'])).ok).toBe(true)
    expect(
      (await two.view())
        .reservations()
        .map(({ resource }) => resource)
        .toSorted(),
    ).toEqual([...keys].toSorted())
    await abandon(one, hold)
    expect((await two.view()).reservations()).toEqual([])
    expect((await acquire(two, keys)).ok).toBe(true)
    for (const store of [one, two]) store.close()
  })

  it('keeps out who asks in the same breath', async () => {
    const store = open({ resident })
    const [first, second, reserving, late, other] = [
      acquire(store, ['env:a']),
      acquire(store, ['env:b']),
      reserve(store),
      acquire(store, ['ticket:t1']),
      acquire(store, ['env:c']),
    ]
    const hold = await held(reserving)
    expect((await reserved(late)).resource).toBe('ticket:t1')
    for (const asked of [first, second, other]) expect((await asked).ok).toBe(true)
    await abandon(store, hold)
    expect((await acquire(store, keys)).ok).toBe(true)
    store.close()
  })

  it('is not given of what somebody has', async () => {
    const [one, two] = [open({ resident }), open({ resident })]
    await acquire(one, ['worktree:w1'])
    expect(await reserve(two)).toMatchObject({ ok: false, refusal: { kind: 'held', lease: { resource: 'worktree:w1' } } })
    expect(locks()).toEqual([])
    for (const store of [one, two]) store.close()
  })

  it('ends in the claim, in one step, and leaves no file but the lock that proves the session', async () => {
    const [one, two] = [open({ resident }), open({ resident })]
    const hold = await held(reserve(one))
    const answer = await commit(one, hold)
    expect(answer).toMatchObject({ ok: true, seqs: [1] })
    expect(locks()).toEqual([`live-${hold.live!.live}.lock`])
    const view = await two.view()
    expect(view.reservations()).toEqual([])
    expect(view.session(hold.lock.launchId)).toMatchObject({ state: 'live', binding: { live: hold.live!.live } })
    expect(await acquire(two, ['ticket:t1'])).toMatchObject({ ok: false, refusal: { kind: 'launched', standing: 'live' } })
    // Its agent dies: the next who asks has it.
    hold.live!.close()
    expect(await acquire(two, ['ticket:t1'])).toMatchObject({ ok: true, seqs: [2, 3] })
    for (const store of [one, two]) store.close()
  })
})

describe('the commit of a launch', () => {
  it.each([
    ['removed', (file: string): void => fs.unlinkSync(file)],
    [
      'replaced',
      (file: string): void => {
        fs.unlinkSync(file)
        writeFileSync(file, '')
      },
    ],
  ])('whose reservation file somebody has %s fails and writes nothing', async (_how, harm) => {
    const store = open()
    const hold = await held(reserve(store))
    harm(reserveFiles()[1]!)
    expect(hold.lock.isCurrent()).toBe(false)
    expect(await faultOf(commit(store, hold))).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('ticket:t1') as string,
      details: { outcome: 'nothing_changed' },
    })
    expect(await historyOf(store)).toEqual([])
    expect((await store.view()).session(hold.lock.launchId)).toBeNull()
    // What is left of the hold goes without a fuss, and the file of whoever came later is not touched.
    const before = reserveFiles().length
    await abandon(store, hold)
    expect(locks().filter(name => name.startsWith('live-'))).toEqual([])
    expect(reserveFiles().length).toBeLessThanOrEqual(before)
    expect((await acquire(open(), keys)).ok).toBe(true)
  })

  it('with a hold that was given up fails', async () => {
    const store = open()
    const hold = await held(reserve(store))
    await abandon(store, hold)
    expect(hold.lock.isCurrent()).toBe(false)
    expect(await faultOf(commit(store, hold))).toMatchObject({ code: 'unavailable' })
    expect(await historyOf(store)).toEqual([])
    // A second time is no mistake.
    await abandon(store, hold)
  })

  it('on a full disk leaves the reservation as it was, and works when there is room', async () => {
    let full = false
    const disk = watched((call, name) => {
      if (full && call === 'writeSync' && name.endsWith('claims.jsonl')) throw failure('ENOSPC', 'write', name)
    })
    const store = open({ disk })
    const hold = await held(reserve(store, keys, 'dev', 'LAUNCH'))
    full = true
    expect(await faultOf(commit(store, hold))).toMatchObject({ code: 'unavailable', details: { outcome: 'nothing_changed' } })
    expect(await historyOf(open())).toEqual([])
    expect(hold.lock.isCurrent()).toBe(true)
    expect(await reserved(reserve(open()))).toMatchObject({ launchId: 'LAUNCH' })
    full = false
    expect(await commit(store, hold)).toMatchObject({ ok: true })
    expect(reserveFiles()).toEqual([])
    hold.live?.close()
  })

  it('refused by the rules keeps the reservation', async () => {
    const store = open()
    const hold = await held(reserve(store, ['ticket:t1']))
    await acquire(open(), ['ticket:t9'])
    expect(await commit(store, hold, ['ticket:t9'])).toMatchObject({ ok: false, refusal: { kind: 'held' } })
    expect(await reserved(acquire(open(), ['ticket:t1']))).toMatchObject({ resource: 'ticket:t1' })
    killed(hold)
  })
})

describe('a reservation that cannot be made', () => {
  it.each([
    ['openSync', 'no room for the second file'],
    ['writeSync', 'no room for the second note'],
    ['renameSync', 'the second does not get its name'],
  ])('%s: %s, and of the first nothing is left', async call => {
    let armed = true
    const seen = new Set<string>()
    const disk = watched((done, name) => {
      // Making it, not looking for it.
      if (!armed || done !== call || !/reserve-.*lock\.\d+$/.test(done === 'renameSync' ? `${name}.1` : name)) return
      seen.add(name)
      if (seen.size === 2) throw failure('ENOSPC', done, name)
    })
    const store = open({ disk })
    expect(await faultOf(reserve(store))).toMatchObject({ code: 'unavailable' })
    expect(seen.size).toBe(2)
    armed = false
    expect(locks()).toEqual([])
    expect((await acquire(open(), keys)).ok).toBe(true)
  })

  it('half a note is a full disk', async () => {
    const disk = new Proxy(fs, {
      get(target, property) {
        if (property !== 'writeSync') return Reflect.get(target, property) as unknown
        return (fd: number, bytes: Buffer, offset: number, length: number, position: number | null): number =>
          bytes.includes('"launch_id"') ? fs.writeSync(fd, bytes, offset, 100, position) : fs.writeSync(fd, bytes, offset, length, position)
      },
    })
    expect(await faultOf(reserve(open({ disk })))).toMatchObject({ code: 'unavailable' })
    expect(locks()).toEqual([])
  })
})

describe('those who look', () => {
  it('and cannot see whether there is a reservation grant nothing', async () => {
    const hold = await held(reserve(open()))
    const disk = watched((call, name) => {
      if (call === 'openSync' && name.includes('reserve-')) throw failure('EMFILE', 'open', name)
    })
    for (const asked of [acquire(open({ disk }), ['ticket:t1']), reserve(open({ disk }))])
      expect((await asked.then(JSON.stringify, (error: Error) => error.message)).slice(0, 200)).toMatch(/EMFILE/)
    expect(hold.lock.isCurrent()).toBe(true)
    killed(hold)
  })

  it('in a shared repository can, whatever the umask of the launcher says', async () => {
    const umask = process.umask(0o077)
    try {
      const hold = await held(reserve(open({ shared: true })))
      for (const name of locks()) expect(fs.statSync(path.join(directory, 'locks', name)).mode & 0o777, name).toBe(0o660)
      killed(hold)
    } finally {
      process.umask(umask)
    }
  })

  it('never keep anybody from a reservation, at whichever moment they do it and however long', async () => {
    await acquire(open(), ['env:x'])
    // What a look opens, and locks, stays so until the next one.
    const looking: number[] = []
    const lingering = new Proxy(fs, {
      get: (target, property) =>
        property === 'closeSync' ? (fd: number) => void looking.push(fd) : (Reflect.get(target, property) as unknown),
    })
    let looks = 0
    const look = (call: string, name: string): void => {
      if (!/(live|reserve)-/.test(name) || call === 'closeSync') return
      looks++
      for (const fd of looking.splice(0)) fs.closeSync(fd)
      const reader = open({ disk: lingering })
      void reader.view().then(view => [...view.reservations(), view.reservation('ticket:t1')])
      const state = { leases: () => [], sessions: () => [] } as never
      const facts = { disk: lingering, lock: kernelLock(), layout: reader.layout, now: Date.now(), state, base: null }
      // As `doctor` does, without the store's lock.
      expect([...leftovers(facts)].filter(file => file.includes(`.lock.${process.pid}`))).toEqual([])
    }
    const store = open({ disk: watched(look, look) })
    for (let round = 0; round < 3; round++) {
      const hold = await held(reserve(store))
      expect(await commit(store, hold)).toMatchObject({ ok: true })
      hold.live!.close()
    }
    for (const fd of looking) fs.closeSync(fd)
    expect(looks).toBeGreaterThan(50)
  })

  it('write nothing and make no file', async () => {
    await acquire(open(), ['env:x'])
    const hold = await held(reserve(open()))
    const before = [readFileSync(open().layout.log, 'utf8'), locks()]
    for (let time = 0; time < 50; time++) expect((await open().view()).reservations()).toHaveLength(3)
    expect([readFileSync(open().layout.log, 'utf8'), locks()]).toEqual(before)
    killed(hold)
  })

  it('are told which process the agent is, whatever the role is called', async () => {
    const store = open()
    const role = `${'"\\ü\n'.repeat(400)}end`
    const hold = await held(reserve(store, ['ticket:t1'], role))
    const size = fs.statSync(reserveFiles()[0]!).size
    const agent = witnessOf(process.ppid)
    for (const told of [agent, null, agent]) {
      hold.lock.note(told)
      expect(await reserved(acquire(open(), ['ticket:t1']))).toMatchObject({ pid: process.pid, agent: told, agentId: 'agent:dev' })
    }
    expect((await open().view()).reservation('ticket:t1')!.role).toBe(role.slice(0, 200))
    expect(fs.statSync(reserveFiles()[0]!).size).toBe(size)
    killed(hold)
  })

  it('take what they cannot read for a reservation all the same, while it is locked', async () => {
    const hold = await held(reserve(open(), ['ticket:t1']))
    const [file] = reserveFiles()
    fs.writeFileSync(fs.openSync(file!, 'r+'), 'x'.repeat(50))
    expect(await reserved(acquire(open(), ['ticket:t1']))).toMatchObject({
      resource: 'ticket:t1',
      launcherAlive: true,
      pid: null,
      agent: null,
    })
    expect((await open().view()).reservations()).toHaveLength(1)
    killed(hold)
    expect((await acquire(open(), ['ticket:t1'])).ok).toBe(true)
  })

  it('that wait for it are served when it ends without a record', async () => {
    const hold = await held(reserve(open(), ['ticket:t1']))
    const waiting = coordinatorOf(open()).acquire(
      { holder: bob },
      { resources: ['ticket:t1'], waitMs: Number.POSITIVE_INFINITY, onWait: () => killed(hold) },
    )
    expect(await waiting).toMatchObject({ ok: true })
  })

  it('that were launched for it wait for the claim, and are its holder', async () => {
    const store = open()
    const hold = await held(reserve(store, keys, 'dev', 'S1'))
    const own: Holder = { agentId: 'agent:dev', worktreeId: 'wt:00000001', sessionId: 'S1', witness: null }
    const asking = coordinatorOf(open()).acquire({ holder: own, launchId: 'S1' }, { resources: ['ticket:t1'] })
    expect(await coordinatorOf(open()).acquire({ holder: own }, { resources: ['ticket:t1'] })).toMatchObject({ ok: false })
    expect(await commit(store, hold)).toMatchObject({ ok: true })
    expect(await asking).toMatchObject({ ok: true, alreadyHeld: true, leases: [{ holder: { sessionId: 'S1' } }] })
    hold.live?.close()
  })
})

describe('what killed launchers leave', () => {
  it('blocks nothing, and does not pile up', async () => {
    for (let round = 0; round < 40; round++) {
      killed(await held(reserve(open(), [`ticket:t${round}`, `branch:b${round}`])))
      expect(locks().length).toBeLessThanOrEqual(3)
    }
    const store = open()
    await abandon(store, await held(reserve(store, ['ticket:t1'])))
    expect(locks()).toEqual([])
  })

  it('is removed without the locks that prove something or that somebody holds', async () => {
    const store = open()
    const dead = await held(reserve(store, ['ticket:dead']))
    await commit(store, dead, ['ticket:dead'])
    const flying = await held(reserve(store, ['ticket:flying']))
    // The lock of a lease that is bound to a process which has just died.
    const bound = await coordinatorOf(store).acquire(
      { holder: { ...bob, witness: witnessOf(process.pid) } },
      { resources: ['env:bound'], bind: true },
    )
    if (!bound.ok) throw new Error('not bound')
    bound.liveLock!.close()
    dead.live!.close()
    killed(await held(reserve(store, ['ticket:gone'])))
    const hidden = path.join(directory, 'locks', `reserve-${'a'.repeat(32)}.lock.${process.pid}`)
    const orphan = path.join(directory, 'locks', `live-${'b'.repeat(32)}.lock.4194303`)
    for (const file of [hidden, orphan]) writeFileSync(file, '')
    const kept = [`live-${dead.live!.live}.lock`, `live-${bound.liveLock!.live}.lock`, `live-${flying.live!.live}.lock`]
    const before = locks()
    const told = (await inspect(open(), { worktreeIds: null })).filter(({ code }) => code === 'leftover')
    expect(told).toHaveLength(3)
    const { removed } = await recover(open(), false)
    expect(removed).toHaveLength(3)
    expect(
      locks()
        .filter(name => name.startsWith('live-'))
        .toSorted(),
    ).toEqual(kept.toSorted())
    expect(reserveFiles().map(file => path.basename(file))).toEqual(
      before.filter(
        name => name.startsWith('reserve-') && (name.endsWith(`.${process.pid}`) || fs.existsSync(path.join(directory, 'locks', name))),
      ),
    )
    expect(fs.existsSync(hidden), 'its maker lives, and may be at work on it').toBe(true)
    expect(fs.existsSync(orphan)).toBe(false)
    expect(await reserved(acquire(open(), ['ticket:flying']))).toMatchObject({ resource: 'ticket:flying' })
    // They still prove: the session and the lease are evicted at once.
    expect(await acquire(open(), ['ticket:dead', 'env:bound'], launcher)).toMatchObject({ ok: true, ended: [{}, {}] })
    fs.rmSync(hidden)
    expect((await recover(open(), false)).removed).toEqual([])
    killed(flying)
  })
})

describe('a session that is started again', () => {
  it('is held by one of those who try', async () => {
    const store = open()
    const hold = await held(reserve(store, keys, 'dev', 'S1'))
    const stored = { resume: { command: ['agent'], stored: null } }
    const session = { ...sessionOf(hold, 'S1', ['t1']), ...stored }
    const own: Holder = { agentId: 'agent:dev', worktreeId: 'wt:00000001', sessionId: 'S1', witness: witnessOf(process.pid) }
    await coordinatorOf(store).launch({ holder: own }, { resources: keys, ttlSecs: 600, branch: null, reason: null, session }, hold)
    hold.live!.close()
    const note = { launchId: 'S1', role: 'dev', agentId: 'agent:dev' }
    const opening = (): Promise<Answer> => coordinatorOf(open()).holdSession({ holder: launcher }, 'S1', note, 10)
    const again = await held(opening())
    expect(again.lock.resources).toEqual(keys)
    expect(await reserved(opening())).toMatchObject({ launchId: 'S1' })
    // It came to nothing: the claim is as it was.
    await abandon(store, again)
    expect(locks()).toEqual([`live-${hold.live!.live}.lock`])
    expect(await acquire(open(), ['ticket:t1'])).toMatchObject({ ok: false, refusal: { kind: 'launched', standing: 'restorable' } })
    const third = await held(opening())
    const binding = { live: third.live!.live }
    const evidence = session.evidence
    const resumed = await coordinatorOf(store).session(
      { holder: launcher },
      asked => ({
        ...asked,
        type: 'resume-session',
        sessionId: 'S1',
        witness: witnessOf(process.pid),
        binding,
        evidence,
        resume: null,
        clientSessionIds: [],
        token: null,
      }),
      third.lock,
    )
    expect(resumed).toMatchObject({ ok: true, leases: [{ token: 2, binding }, {}, {}] })
    expect(reserveFiles()).toEqual([])
    expect(await acquire(open(), ['ticket:t1'])).toMatchObject({ ok: false, refusal: { kind: 'launched', standing: 'live' } })
    third.live!.close()
  })
})
