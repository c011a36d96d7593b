import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  acquire,
  computeWorkspaceHash,
  decide,
  DEFAULT_TTL_MS,
  LOCK_DEFAULT_TTL_MS,
  refresh,
  release,
  workspaceHash,
  type LockIO,
  type LockRecord,
} from '../../../src/session-lock.ts'
import { md5Hex } from '../../../src/service/session-lock/md5.ts'

/** A lock that is a variable. */
function memory(content: unknown = null) {
  const state = { content, writes: 0, deletes: 0 }
  const io: LockIO = {
    readLock: () => state.content,
    writeLock: record => {
      state.content = record
      state.writes++
    },
    deleteLock: () => {
      state.content = null
      state.deletes++
    },
  }
  return { io, state }
}

const now = 1_800_000_000_000
const record = (more: Readonly<Record<string, unknown>> = {}): LockRecord => ({
  schema_version: 1,
  session_id: 'other',
  pid: 42,
  acquired_at: now - 1000,
  ttl_ms: 300_000,
  ...more,
})
const mine = { sessionId: 'me', pid: 7, now }

describe('acquire', () => {
  it('takes what nobody has', () => {
    const { io, state } = memory()
    expect(acquire(io, mine)).toMatchObject({ acquired: true, how: 'taken', previous: null })
    expect(state.content).toEqual({ schema_version: 1, session_id: 'me', pid: 7, acquired_at: now, ttl_ms: DEFAULT_TTL_MS })
  })

  it('is idempotent for its own session, refreshes, and keeps members that it does not know', () => {
    const { io, state } = memory(record({ session_id: 'me', colour: 'red' }))
    expect(acquire(io, mine)).toMatchObject({ acquired: true, how: 'refreshed' })
    expect(state.content).toMatchObject({ acquired_at: now, colour: 'red' })
  })

  it('takes over what has expired, at the millisecond, and nothing of the old one stays', () => {
    const fresh = memory(record({ acquired_at: now - 299_999, colour: 'red' }))
    expect(acquire(fresh.io, mine)).toEqual({ acquired: false, holder: fresh.state.content, remainingMs: 1 })
    const past = memory(record({ acquired_at: now - 300_000, colour: 'red' }))
    expect(acquire(past.io, mine)).toMatchObject({ acquired: true, how: 'expired', previous: { session_id: 'other' } })
    expect(past.state.content).not.toHaveProperty('colour')
  })

  it('leaves what another has and is fresh, without a write', () => {
    const { io, state } = memory(record())
    expect(acquire(io, mine)).toMatchObject({ acquired: false, holder: { session_id: 'other', pid: 42 }, remainingMs: 299_000 })
    expect([state.writes, state.deletes]).toEqual([0, 0])
  })

  it('takes over from the proven dead, and knows its own under an earlier id', () => {
    expect(acquire(memory(record()).io, { ...mine, isDead: ({ pid }) => pid === 42 })).toMatchObject({ acquired: true, how: 'dead' })
    const { io, state } = memory(record({ colour: 'red' }))
    expect(acquire(io, { ...mine, isOwn: () => true })).toMatchObject({ acquired: true, how: 'refreshed' })
    expect(state.content).toMatchObject({ session_id: 'me', colour: 'red' })
  })

  it.each([
    'text',
    5,
    [],
    {},
    true,
    undefined,
    { session_id: '' },
    { session_id: 'a\nb', acquired_at: now, ttl_ms: 1e6 },
    { session_id: 'x', acquired_at: 'soon', ttl_ms: 1e6 },
    { session_id: 'x', acquired_at: now },
    { session_id: 'x', acquired_at: now, ttl_ms: -1 },
    { session_id: 'x', acquired_at: now, ttl_ms: NaN },
    { session_id: 'x'.repeat(300), acquired_at: now, ttl_ms: 1e6 },
  ])('counts %j as nobody’s', content => {
    expect(acquire(memory(content).io, mine)).toMatchObject({ acquired: true, how: 'taken' })
  })

  it('reads records of others: an ISO time, no version, no pid', () => {
    const foreign = { session_id: 'other', acquired_at: new Date(now - 1000).toISOString(), ttl_ms: 2000 }
    expect(acquire(memory(foreign).io, mine)).toMatchObject({ acquired: false, remainingMs: 1000, holder: { pid: 0 } })
  })

  it('judges by the monotonic clock within one boot, whatever the wall clock did', () => {
    const clk = { b: 'boot.1', m: 1_000_000 }
    const at = (wall: number, m: number, b = 'boot.1') => ({ ...mine, now: { wall, clk: { b, m } } })
    const held = () => memory(record({ acquired_at: now, clk })).io
    expect(acquire(held(), at(now + 86_400_000, 1_010_000))).toMatchObject({ acquired: false, remainingMs: 290_000 })
    expect(acquire(held(), at(now - 86_400_000, 1_300_000))).toMatchObject({ acquired: true, how: 'expired' })
    expect(acquire(held(), at(now + 10_000, 5, 'boot.2'))).toMatchObject({ acquired: false, remainingMs: 290_000 })
    expect(acquire(held(), at(now + 300_000, 5, 'boot.2'))).toMatchObject({ acquired: true, how: 'expired' })
  })

  it('does not believe a record from further in the future than it would last', () => {
    expect(acquire(memory(record({ acquired_at: now + 200_000 })).io, mine)).toMatchObject({ acquired: false, remainingMs: 300_000 })
    expect(acquire(memory(record({ acquired_at: now + 300_001 })).io, mine)).toMatchObject({ acquired: true, how: 'expired' })
  })

  it('writes the length and the extra members that it is given', () => {
    const { io, state } = memory()
    acquire(io, { ...mine, ttlMs: 5, extra: { host: 'h', session_id: 'cannot be replaced' } })
    expect(state.content).toMatchObject({ ttl_ms: 5, host: 'h', session_id: 'me' })
  })

  it('asks the time itself when it is not told', () => {
    const { io, state } = memory()
    acquire(io, { sessionId: 'me', pid: 1 })
    expect(Math.abs((state.content as LockRecord).acquired_at - Date.now())).toBeLessThan(5000)
  })
})

describe('refresh and release', () => {
  it('refresh moves its own, also an expired one, and never steals', () => {
    const own = memory(record({ session_id: 'me', acquired_at: now - 900_000 }))
    expect(refresh(own.io, mine)).toBe(true)
    expect(own.state.content).toMatchObject({ acquired_at: now })
    for (const content of [null, record(), record({ acquired_at: 0 }), 'torn']) {
      const { io, state } = memory(content)
      expect([refresh(io, mine), state.writes]).toEqual([false, 0])
    }
  })

  it('release deletes its own only', () => {
    const own = memory(record({ session_id: 'me' }))
    expect([release(own.io, 'me'), own.state.deletes]).toEqual([true, 1])
    for (const content of [null, record(), 'torn']) {
      const { io, state } = memory(content)
      expect([release(io, 'me'), state.deletes]).toEqual([false, 0])
    }
  })
})

describe('decide', () => {
  const refused = { acquired: false, holder: record(), remainingMs: 1 } as const

  it('blocks for another’s lock, naming session and pid', () => {
    expect(decide(refused, 'me')).toEqual({
      block: true,
      reason: 'parallel session lock held by other (pid 42) — wait or close that session first',
    })
  })

  it('lets pass without a result, with the lock, and for its own', () => {
    expect(decide(undefined, 'me')).toEqual({ block: false })
    expect(decide(null, 'me')).toEqual({ block: false })
    expect(decide(acquire(memory().io, mine), 'me')).toEqual({ block: false })
    expect(decide({ ...refused, holder: record({ session_id: 'me' }) }, 'me')).toEqual({ block: false })
    expect(decide({ ...refused, holder: {} as LockRecord }, 'me')).toEqual({ block: false })
  })

  it('says what a foreign record holds without what would forge a screen', () => {
    const { reason } = decide({ ...refused, holder: record({ session_id: `\u202e${'ä'.repeat(100)}`, pid: -1 }) }, 'me')
    expect(reason).toMatch(/^parallel session lock held by \?{80} \(pid unknown\)/)
  })
})

describe('computeWorkspaceHash', () => {
  it('is the beginning of the MD5 of the resolved path', () => {
    for (const path of ['/', '/a/b', '/a/../b', 'relative', '/ünï/çode 😀', `/${'x'.repeat(500)}`]) {
      const expected = createHash('md5').update(resolve(path)).digest('hex').slice(0, 12)
      expect([path, computeWorkspaceHash(path), workspaceHash(path)]).toEqual([path, expected, expected])
    }
  })

  it('has an MD5 of its own that is the real one, for every length up to three blocks', () => {
    for (let length = 0; length < 200; length++) {
      const text = 'aé'.repeat(length).slice(0, length)
      expect([length, md5Hex(text)]).toEqual([length, createHash('md5').update(text).digest('hex')])
    }
  })

  it('has a length of five minutes under both names', () => {
    expect([DEFAULT_TTL_MS, LOCK_DEFAULT_TTL_MS]).toEqual([300_000, 300_000])
  })
})
