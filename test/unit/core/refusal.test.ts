import { resumeCommand } from '../../../src/core/session.ts'
import { describe, expect, it } from 'vitest'
import type { Holder, Instant, Lease } from '../../../src/core/lease.ts'
import type { Session } from '../../../src/core/session.ts'
import type { Refusal } from '../../../src/core/refusal.ts'
import { blockerOf, inWords, refusalCode, retryAfterMs, wordRefusal } from '../../../src/core/refusal.ts'
import { ann, holder } from '../../support/cast.ts'

const now: Instant = { b: 'b', m: 100_000, wall: 1_760_000_000_000 }

const lease: Lease = {
  leaseId: '01HF7YAT000000000000000001',
  resource: 'ticket:login',
  state: 'held',
  holder: ann,
  token: 17,
  ttlSecs: 1800,
  staleSecs: 3600,
  acquiredAt: now.wall - 60_000,
  lastBeatAt: now.wall - 60_000,
  beat: { b: 'b', m: 40_000 },
  deadlineM: 340_000,
  branch: null,
  reason: null,
  note: null,
  binding: null,
  group: null,
}

const past = {
  resource: lease.resource,
  token: 12,
  leaseId: lease.leaseId,
  holder: ann,
  endedBy: 'force-evict' as const,
  reason: 'went home',
  outcome: null,
  outcomeBy: null,
  branch: null,
  endedAt: now.wall - 90_000,
  endedSeq: 15,
}
const presented = { leaseId: null, token: 12 }

const launching = { launchId: '01LAUNCH', role: 'dev', launcherAlive: true, agent: null }
const session: Session = {
  sessionId: '01SESSION',
  name: 'dev-login',
  role: 'dev',
  origin: 'ticket-claim',
  profile: 'claude',
  agentId: 'agent:ann',
  worktreeId: 'wt:00000001',
  cwd: '/repo',
  witness: null,
  binding: null,
  clientSessionIds: [],
  relatedTickets: ['login'],
  peers: [],
  evidence: { kind: 'tool-call', seen: 'Write', confirmed: true, at: 1 },
  resume: null,
  launchedBy: 'human:ann',
  startedAt: 1,
  state: 'live',
  endedAt: null,
  endReason: null,
  exitCode: null,
}

/** One of each kind: a new one is a type error here until it is worded. */
const samples: { readonly [K in Refusal['kind']]: { refusal: Extract<Refusal, { kind: K }>; names: string; code: string } } = {
  held: { refusal: { kind: 'held', lease, wanted: lease.resource }, names: 'ticket:login', code: 'held' },
  launched: { refusal: { kind: 'launched', lease, session, standing: 'restorable' }, names: 'dev-login (role dev', code: 'held' },
  'no-session': { refusal: { kind: 'no-session', sessionId: '01SESSION' }, names: '01SESSION', code: 'not_found' },
  'session-is': {
    refusal: { kind: 'session-is', session, standing: 'restorable', wanted: 'stale' },
    names: 'dev-login is restorable',
    code: 'policy',
  },
  reserved: {
    refusal: {
      kind: 'reserved',
      reservation: { resource: 'ticket:login', agentId: 'agent:ann', pid: 4242, ageMs: 1500, lockFile: null, ...launching },
    },
    names: 'ticket:login',
    code: 'held',
  },
  opening: {
    refusal: {
      kind: 'opening',
      session,
      reservation: { resource: 'session:01S', agentId: 'agent:ann', pid: 4242, ageMs: 1500, lockFile: null, ...launching },
    },
    names: 'dev-login is being opened again by pid 4242 since 2 s',
    code: 'held',
  },
  lapsing: { refusal: { kind: 'lapsing', lease, retryAfterMs: 2500 }, names: 'ticket:login', code: 'held' },
  'other-instance': { refusal: { kind: 'other-instance', lease }, names: 'ticket:login', code: 'held' },
  pending: { refusal: { kind: 'pending', lease }, names: 'ticket:login', code: 'held' },
  'not-pending': { refusal: { kind: 'not-pending', lease }, names: 'ticket:login', code: 'policy' },
  'not-held': { refusal: { kind: 'not-held', resource: 'ticket:login' }, names: 'ticket:login', code: 'not_found' },
  'unknown-lease': { refusal: { kind: 'unknown-lease', leaseId: 'L-1' }, names: 'L-1', code: 'not_found' },
  'not-owner': { refusal: { kind: 'not-owner', lease }, names: 'agent:ann', code: 'not_owner' },
  superseded: {
    refusal: { kind: 'superseded', resource: 'ticket:login', lease, past: null, presented },
    names: 'token 12',
    code: 'superseded',
  },
  'store-reset': { refusal: { kind: 'store-reset', token: 99, lastSeq: 4 }, names: 'token 99', code: 'unavailable' },
  'bad-ttl': { refusal: { kind: 'bad-ttl', ttlSecs: 0.5, reservation: false }, names: '0.5 s', code: 'usage' },
  'too-many': { refusal: { kind: 'too-many', count: 33 }, names: '33', code: 'usage' },
  'op-id-reused': {
    refusal: { kind: 'op-id-reused', opId: 'op-1', op: 'acquire', by: 'agent:ann', resources: ['ticket:login'] },
    names: 'op-1',
    code: 'usage',
  },
  'same-holder': { refusal: { kind: 'same-holder', lease }, names: 'agent:ann', code: 'usage' },
  'reason-required': { refusal: { kind: 'reason-required', what: 'a reclaim' }, names: 'a reclaim', code: 'policy' },
  limit: {
    refusal: { kind: 'limit', scope: 'agent', limit: 2, agentId: 'agent:ann', held: ['env:a', 'env:b'], adding: 1 },
    names: 'env:a, env:b',
    code: 'policy',
  },
  finished: {
    refusal: { kind: 'finished', past: { ...past, endedBy: 'release', outcome: 'done', branch: 'work/login' } },
    names: 'work/login',
    code: 'policy',
  },
  'none-free': { refusal: { kind: 'none-free', candidates: 3 }, names: '3', code: 'policy' },
  'not-stale': { refusal: { kind: 'not-stale', lease }, names: 'ticket:login', code: 'policy' },
}

const worded = (refusal: Refusal): string => {
  const { message, hint } = wordRefusal(refusal, now)
  return `${message}\n${hint}`
}

describe.each(Object.values(samples))('$refusal.kind', ({ refusal, names, code }) => {
  it('names the thing, and says what to do next', () => {
    const { message, hint } = wordRefusal(refusal, now)
    expect(message).toContain(names)
    expect(hint.length).toBeGreaterThan(10)
    expect(`${message} ${hint}`).not.toMatch(/undefined|null|NaN|\[object|\s\s|\.$/)
  })

  it(`has the code ${code}`, () => expect(refusalCode(refusal)).toBe(code))
})

describe('the words', () => {
  it('of a session whose launcher is gone name nobody to stop', () => {
    const { refusal } = samples.opening
    const { message, hint } = wordRefusal({ ...refusal, reservation: { ...refusal.reservation, launcherAlive: false } }, now)
    expect(message).toBe('session dev-login was being opened again by pid 4242 2 s ago, and its launcher is gone')
    expect(hint).toBe('what that held lapses by itself within seconds; then: lh session resume dev-login')
  })

  it('say who holds it, from where, and until when', () => {
    expect(worded(samples.held.refusal)).toContain('agent:ann (wt:00000001, session s-ann), for another 4 min')
    expect(worded({ kind: 'held', lease: { ...lease, deadlineM: null, ttlSecs: 0 }, wanted: lease.resource })).toContain('indefinitely')
    expect(worded({ kind: 'held', lease: { ...lease, deadlineM: 97_000 }, wanted: lease.resource })).toContain(
      'expired 3 s ago and not yet evicted',
    )
    expect(worded({ kind: 'held', lease: { ...lease, holder: holder('agent:eve') }, wanted: lease.resource })).toContain(
      'agent:eve (wt:00000001),',
    )
  })

  it('say when it is stale, and what overlaps it', () => {
    const stale = { ...lease, ttlSecs: 0, staleSecs: 60, deadlineM: null }
    expect(worded({ kind: 'held', lease: stale, wanted: 'path:a' })).toMatch(/stale: no sign of life for 60 s.*\(path:a overlaps it\)/)
  })

  it('of an old token tell how it ended, when nobody holds it now', () => {
    const refusal: Refusal = { kind: 'superseded', resource: lease.resource, lease: null, past, presented }
    expect(worded(refusal)).toContain('it ended by force-evict (went home) 90 s ago and nobody holds it now')
    expect(worded({ ...refusal, past: null })).toContain('it has ended')
    expect(worded({ ...refusal, presented: { leaseId: 'L-1', token: null } })).toContain('your lease L-1')
    expect(worded({ ...refusal, presented: { leaseId: lease.leaseId, token: null } })).toContain('it ended by force-evict')
  })

  it('of an old token never tell its holder to wait for itself', () => {
    const refusal: Refusal = { kind: 'superseded', resource: lease.resource, lease, past: null, presented }
    const told = (asker: Holder): string => worded({ ...refusal, asker })
    expect(told(holder('agent:eve'))).toContain(`agent:ann (wt:00000001, session s-ann) holds it with token ${lease.token}`)
    expect(told(ann)).toContain(`is no longer current: you hold it yourself, with token ${lease.token}, for another 4 min`)
    expect(told(ann)).toContain(`lh claim acquire ticket:login; or show it: --lease ${lease.leaseId} --token ${lease.token}`)
    expect(told({ ...ann, sessionId: null })).toContain('you hold it yourself in session s-ann, with token')
    expect(told({ ...ann, worktreeId: 'wt:0000abcd' })).toContain('you hold it yourself in another worktree (wt:00000001), with token')
    for (const asker of [ann, { ...ann, sessionId: null }, { ...ann, worktreeId: 'wt:0000abcd' }])
      expect(told(asker)).not.toMatch(/--wait|stop writing/)
  })

  it('of a wrong lease id never call the token old that is shown beside it', () => {
    const shown = { leaseId: 'L-1', token: lease.token }
    for (const more of [{}, { asker: ann }, { evicting: true }]) {
      const words = worded({ kind: 'superseded', resource: lease.resource, lease, past: null, presented: shown, ...more })
      expect(words).toMatch(/your lease L-1 for ticket:login is no longer current|is not held with lease L-1/)
      expect(words).not.toContain(`your token ${lease.token}`)
    }
  })

  it('of an old token never tell how a later ownership ended', () => {
    const refusal: Extract<Refusal, { kind: 'superseded' }> = { kind: 'superseded', resource: lease.resource, lease: null, past, presented }
    const told = (leaseId: string | null, token: number | null): string => worded({ ...refusal, presented: { leaseId, token } })
    expect(told(null, 9)).toContain('your token 9 for ticket:login is no longer current: a later token, 12, took its place')
    expect(told('L-1', null)).toContain('a later token, 12, took its place')
    expect(told(null, 13)).toContain('its last token was 12, which has ended')
    expect(told('L-1', 12)).toContain('it has ended and nobody holds it now')
    for (const words of [told(null, 9), told('L-1', 9), told('L-1', null), told(null, 13), told('L-1', 12)])
      expect(words).not.toMatch(/force-evict|went home/)
  })

  it('name a command that waits, for those that cannot', () => {
    const spaced = { ...lease, resource: 'path:a b' }
    const wait = "wait for it: lh claim acquire 'path:a b' --wait"
    expect(worded({ kind: 'held', lease: spaced, wanted: spaced.resource })).toContain(wait)
    expect(worded({ kind: 'held', lease, wanted: spaced.resource })).toContain(wait)
    expect(worded({ kind: 'lapsing', lease: spaced, retryAfterMs: 2500 })).toContain(wait)
    for (const { refusal } of Object.values(samples)) expect(worded(refusal)).not.toMatch(/wait (?:for it )?with/)
  })

  it('say what the caller itself has, and where', () => {
    const alone = { ...lease, holder: holder('agent:eve') }
    const release = `lh claim release ticket:login --lease ${lease.leaseId} --token 17`
    expect(worded({ kind: 'other-instance', lease: alone })).toMatch(
      /^you hold ticket:login already, here, outside of a session, for another 4 min\n/,
    )
    expect(worded({ kind: 'other-instance', lease: alone })).toContain(`give it back first: ${release}`)
    expect(worded({ kind: 'held', lease, wanted: lease.resource, sameAgent: true })).toMatch(
      /\(wt:00000001, .*by you, in another worktree\n/,
    )
    expect(worded({ kind: 'held', lease, wanted: lease.resource, sameAgent: true })).toContain(release)
  })

  it('send nobody elsewhere who is where it is held, in another session', () => {
    const told = (of: Lease, sameWorktree: boolean): string => worded({ kind: 'not-owner', lease: of, sameAgent: true, sameWorktree })
    const proof = `--lease ${lease.leaseId} --token 17`
    expect(told(lease, false)).toMatch(/by you, but not from here\ngo where it is held/)
    expect(told(lease, true)).toMatch(/session s-ann\).*by you, but in another session\ndo it from inside that session, or show its token/)
    expect(told({ ...lease, holder: holder('agent:eve') }, true)).toContain(
      'by you, but outside of this session\ndo it outside of the session',
    )
    for (const words of [told(lease, false), told(lease, true)]) expect(words).toContain(proof)
  })

  it('name the process that has it, where one is known', () => {
    const witness = { host: 'box', bootId: 'b', pidNs: 'p', timeNs: 't', pid: 4242, pidStartTicks: 1 }
    const bound = { ...lease, binding: { live: 'l' }, holder: { ...ann, witness } }
    expect(worded({ kind: 'other-instance', lease: bound })).toContain('process 4242')
    expect(worded({ kind: 'other-instance', lease: { ...bound, holder: ann } })).toContain('another process')
    expect(worded({ kind: 'other-instance', lease })).toContain('session s-ann')
  })

  it('of a limit count what there is, and say which setting it is where there is nothing', () => {
    const limit = samples.limit.refusal
    expect(worded(limit)).toContain('agent:ann already has 2 indefinite leases (env:a, env:b); the limit is 2')
    expect(worded({ ...limit, held: ['env:a'], adding: 2 })).toContain(
      'agent:ann already has 1 indefinite lease (env:a), and this would be 2 more; the limit is 2',
    )
    expect(worded({ ...limit, held: [], adding: 3 })).toMatch(/^3 indefinite leases in one step are too many: the limit for agent:ann is 2/)
    const none = wordRefusal({ ...limit, scope: 'repo', limit: 0, held: [] }, now)
    expect(none.message).toBe('indefinite leases (ttl 0) are not allowed here: max_indefinite_leases_per_repo is 0')
    expect(none.hint).not.toContain('release')
  })

  it('never carry control characters, whoever wrote what they quote', () => {
    const evil = 'x\u001b[2J\r\n\u0000\u009b31m\u202egnp'
    const hostile: Lease = { ...lease, holder: { ...ann, agentId: evil, worktreeId: evil, sessionId: evil }, reason: evil, note: evil }
    const all: readonly Refusal[] = [
      ...Object.values(samples).map(({ refusal }): Refusal => ('lease' in refusal ? { ...refusal, lease: hostile } : refusal)),
      { kind: 'superseded', resource: 'ticket:a', lease: null, past: { ...past, reason: evil }, presented: { leaseId: evil, token: null } },
      { kind: 'unknown-lease', leaseId: evil },
      { kind: 'op-id-reused', opId: evil, op: 'acquire', by: evil, resources: [] },
      {
        kind: 'reserved',
        reservation: { resource: 'ticket:a', agentId: evil, pid: null, ageMs: 1, lockFile: null, ...launching, role: evil },
      },
      { kind: 'limit', scope: 'agent', limit: 1, agentId: evil, held: [evil], adding: 1 },
    ]
    for (const refusal of all) {
      const { message, hint } = wordRefusal(refusal, now)
      // oxlint-disable-next-line no-control-regex -- the point
      expect(`${message}${hint}`, refusal.kind).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
    }
  })
})

describe('asking again', () => {
  it('helps after the deadline, or after the guard', () => {
    expect(retryAfterMs(samples.held.refusal, now)).toBe(240_000)
    expect(retryAfterMs(samples.lapsing.refusal, now)).toBe(2500)
    expect(retryAfterMs({ kind: 'held', lease: { ...lease, deadlineM: 1 }, wanted: 'x' }, now)).toBe(0)
  })

  it('helps nobody who is refused for good', () => {
    expect(retryAfterMs({ kind: 'held', lease: { ...lease, deadlineM: null }, wanted: 'x' }, now)).toBeNull()
    expect(retryAfterMs(samples['not-owner'].refusal, now)).toBeNull()
    expect(retryAfterMs(samples.reserved.refusal, now)).toBeNull()
  })

  it('points at the lease in the way', () => {
    expect(blockerOf(samples.held.refusal)).toBe(lease)
    expect(blockerOf(samples['too-many'].refusal)).toBeNull()
  })
})

it.each<[number, string]>([
  [0, '0 ms'],
  [-5, '0 ms'],
  [340, '340 ms'],
  [999.4, '999 ms'],
  [1000, '1 s'],
  [119_400, '119 s'],
  [120_000, '2 min'],
  [7_140_000, '119 min'],
  [7_200_000, '2 h'],
  [12_000_000, '3 h 20 min'],
  [172_800_000, '2 d'],
])('%d ms is %s', (ms, words) => expect(inWords(ms)).toBe(words))

it('a session is begun again by a command that can be typed: over ACP an agent has to be told what to do', () => {
  expect(resumeCommand({ name: 'dev', profile: 'claude' })).toBe('lh session resume dev')
  expect(resumeCommand({ name: 'dev', profile: 'acp' })).toBe('lh session resume dev --prompt "…"')
})
