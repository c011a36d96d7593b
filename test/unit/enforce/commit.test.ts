import { describe, expect, it } from 'vitest'
import type { Lease, Past } from '../../../src/core/lease.ts'
import { judgeCommit, needsLog, standingOf, ticketsIn, type CommitFacts, type Standing } from '../../../src/service/enforce/commit.ts'
import { levelFor, parseBranchLevels, parseLevel } from '../../../src/service/config/enforce-level.ts'
import { covers } from '../../../src/service/enforce/paths.ts'
import { pickTrio } from '../../../src/service/enforce/pick.ts'
import { ann, annAgain, bob } from '../../support/cast.ts'

const now = { b: 'boot', m: 1000, wall: 1_700_000_000_000 }

const lease = (resource: string, more: Partial<Lease> = {}): Lease => ({
  leaseId: '01M7YW8NB7000000F2EV1M0MSE',
  resource,
  state: 'held',
  holder: bob,
  token: 5,
  ttlSecs: 600,
  staleSecs: 0,
  acquiredAt: 0,
  lastBeatAt: 0,
  beat: { b: 'boot', m: 0 },
  deadlineM: 600_000,
  branch: null,
  reason: null,
  note: null,
  binding: null,
  group: null,
  ...more,
})

const past = (more: Partial<Past> = {}): Past => ({
  resource: 'ticket:fix',
  token: 3,
  leaseId: '01M7YW8NB7000000F2EV1M0MSA',
  holder: ann,
  endedBy: 'auto-evict',
  reason: 'ttl',
  outcome: null,
  outcomeBy: null,
  branch: null,
  endedAt: 0,
  endedSeq: 4,
  ...more,
})

const facts = { resource: 'ticket:fix', lease: null, past: null, proof: null, ownership: null, me: ann, now }
const hers = { leaseId: '01M7YW8NB7000000F2EV1M0MSA', token: 3 }

describe('how a ticket stands to whoever commits', () => {
  it.each<[string, Parameters<typeof standingOf>[0], Standing['kind']]>([
    ['nobody ever had it', facts, 'free'],
    ['another has it', { ...facts, lease: lease('ticket:fix') }, 'theirs'],
    ['another had it, and it has expired', { ...facts, lease: lease('ticket:fix', { deadlineM: 999 }) }, 'free'],
    ['she has it', { ...facts, lease: lease('ticket:fix', { holder: ann }) }, 'mine'],
    ['another session of hers has it', { ...facts, lease: lease('ticket:fix', { holder: annAgain }) }, 'theirs'],
    ['she shows lease and token', { ...facts, lease: lease('ticket:fix', { leaseId: hers.leaseId, token: 3 }), proof: hers }, 'mine'],
    ['she shows an old token', { ...facts, lease: lease('ticket:fix', { holder: ann }), past: past(), proof: hers }, 'lost'],
    ['hers expired and was evicted', { ...facts, past: past(), proof: hers }, 'lost'],
    ['hers was evicted by somebody', { ...facts, past: past({ endedBy: 'force-evict' }), proof: hers }, 'lost'],
    ['hers was reclaimed', { ...facts, past: past({ endedBy: 'reclaim' }), proof: hers }, 'lost'],
    ['she gave it back', { ...facts, past: past({ endedBy: 'release' }), proof: hers }, 'free'],
    ['she gave it to another', { ...facts, lease: lease('ticket:fix'), past: past({ endedBy: 'transfer' }), proof: hers }, 'theirs'],
    ['nobody knows what she shows', { ...facts, proof: hers }, 'free'],
    ['nobody can be named', { ...facts, me: null, lease: lease('ticket:fix') }, 'theirs'],
  ])('%s', (_, given, kind) => {
    expect(standingOf(given).kind).toBe(kind)
  })

  it('is asked of the log only for what the state no longer has', () => {
    expect(needsLog({ lease: null, past: past(), proof: hers })).toBe(false)
    expect(needsLog({ lease: null, past: past({ token: 9 }), proof: hers })).toBe(true)
    expect(needsLog({ lease: null, past: null, proof: null })).toBe(false)
  })
})

const commit = (more: Partial<CommitFacts> & { readonly standings?: Readonly<Record<string, Standing>> } = {}): CommitFacts => ({
  changed: [],
  replaying: false,
  branch: null,
  purpose: null,
  worktreeId: 'wt:00000001',
  ignoreCase: false,
  paths: [],
  standing: resource => more.standings?.[resource] ?? { kind: 'free' },
  now,
  ...more,
})
const theirs = (resource: string, more: Partial<Lease> = {}): Standing => ({ kind: 'theirs', lease: lease(resource, more) })
const said = (given: CommitFacts): string =>
  judgeCommit(given)
    .objections.map(({ message, hint }) => `${message}\n${hint}`)
    .join('\n')

describe('a commit', () => {
  const ticket = '.leasehold/tickets/fix/ticket.md'

  it('touches tickets by their own files only', () => {
    expect(
      ticketsIn([
        ticket,
        '.leasehold/tickets/a/resolution.md',
        '.leasehold/tickets/b/events.jsonl',
        '.leasehold/tickets/c/artifacts/ticket.md',
        'ticket.md',
      ]),
    ).toEqual(['fix', 'a'])
  })

  it('says what, who holds it, and the next command', () => {
    expect(said(commit({ changed: [ticket], standings: { 'ticket:fix': theirs('ticket:fix') } }))).toBe(
      'the files of ticket fix are changed, and agent:bob (wt:00000001) holds it with token 5, for another 10 min\n' +
        'leave its files out: git restore --staged .leasehold/tickets/fix; who and why: lh why fix',
    )
    expect(said(commit({ changed: [ticket], replaying: true, standings: { 'ticket:fix': theirs('ticket:fix') } }))).toBe('')
  })

  it('in a ticket’s worktree stops when the lease is lost, not for a colleague in the same worktree', () => {
    const elsewhere = theirs('ticket:fix', { holder: { ...bob, worktreeId: 'wt:00000002' } })
    expect(said(commit({ purpose: 'fix', standings: { 'ticket:fix': elsewhere } }))).toMatch(/made for ticket fix, and agent:bob/)
    expect(said(commit({ purpose: 'fix', replaying: true, standings: { 'ticket:fix': elsewhere } }))).toMatch(/made for ticket fix/)
    expect(said(commit({ purpose: 'fix', standings: { 'ticket:fix': theirs('ticket:fix') } }))).toBe('')
    const lost: Standing = { kind: 'lost', resource: 'ticket:fix', token: 3, how: 'auto-evict (ttl)', lease: null }
    expect(said(commit({ purpose: 'fix', changed: [ticket], standings: { 'ticket:fix': lost } })).match(/ended by/g)).toHaveLength(1)
  })

  it('renews what is hers and expired, and nothing once it is refused', () => {
    const mine: Standing = { kind: 'mine', lease: lease('ticket:fix'), expired: true }
    const given = { changed: [ticket], standings: { 'ticket:fix': mine } }
    expect(judgeCommit(commit(given)).renew.map(({ resource }) => resource)).toEqual(['ticket:fix'])
    expect(
      judgeCommit(commit({ ...given, branch: 'branch:main', standings: { ...given.standings, 'branch:main': theirs('branch:main') } }))
        .renew,
    ).toEqual([])
  })

  it.each([
    ['path:src/**', 'src/a/b', true],
    ['path:src/**', 'srcs/a', false],
    ['path:src', 'src/a', true],
    ['path:src', 'src', true],
    ['path:src/*.ts', 'src/a.ts', true],
    ['path:src/*.ts', 'src/a/b.ts', false],
    ['path:src/?.ts', 'src/ab.ts', false],
    ['path:**/x', 'a/b/x', true],
    ['path:**/x', 'x', true],
    ['path:a/**/z', 'a/z', true],
    ['path:a/b', 'a/*', false],
    ['path:é', 'e\u0301', true],
  ])('%s covers %s: %s', (key, file, expected) => {
    expect(covers(key, file, false)).toBe(expected)
  })

  it('folds letters where the file system does', () => {
    expect([covers('path:src/a', 'SRC/A', true), covers('path:src/a', 'SRC/A', false)]).toEqual([true, false])
  })
})

describe('the level', () => {
  it('is the first branch’s that matches, else the general one', () => {
    const levels = parseBranchLevels('main=warn, wip/*=off,*=strict', 'x')
    expect(['main', 'wip/a/b', 'wip', null].map(branch => levelFor(branch, 'warn', levels))).toEqual(['warn', 'off', 'strict', 'warn'])
    expect(levelFor('a-x-b', 'strict', parseBranchLevels('a*x*b=off', 'x'))).toBe('off')
    expect(levelFor('ab', 'strict', parseBranchLevels('a*b*b=off', 'x'))).toBe('strict')
    for (const text of ['main', 'main=sometimes', '=off', 'a b=off'])
      expect(() => parseBranchLevels(text, 'enforce.branches')).toThrow('enforce.branches')
    expect(() => parseLevel('yes', 'enforce')).toThrow('none of strict, warn, off')
  })
})

describe('whose trailers', () => {
  const note = (resource: string, token: number, session: string | null = null) =>
    [
      resource,
      { resource, leaseId: `01M7YW8NB7000000F2EV1M0M${String(token).padStart(2, '0')}`, token, agentId: 'agent:ann', session },
    ] as const
  const picked = (
    env: NodeJS.ProcessEnv,
    notes: readonly (readonly [string, ReturnType<typeof note>[1]])[],
    more: Partial<Parameters<typeof pickTrio>[0]> = {},
  ) => pickTrio({ env, entries: new Map(notes), session: null, staged: () => [], leaseIdOf: () => null, isCurrent: () => false, ...more })

  it('the environment’s, else the session’s, else the only note', () => {
    const exec = { LEASEHOLD_TOKEN: '9', LEASEHOLD_LEASE: 'L', LEASEHOLD_RESOURCES: 'ticket:x' }
    expect(picked(exec, [note('ticket:a', 1)]).trio).toEqual({ ticket: 'x', leaseId: 'L', token: 9 })
    expect(picked({ ...exec, LEASEHOLD_RESOURCES: 'port:1' }, [note('ticket:a', 1)]).trio?.ticket).toBe('a')
    expect(picked({ ...exec, LEASEHOLD_RESOURCES: 'branch:b\nticket:g' }, [], { leaseIdOf: () => 'M' }).trio).toEqual({
      ticket: 'g',
      leaseId: 'M',
      token: 9,
    })
    expect(picked({}, [note('ticket:a', 1, 's1'), note('ticket:b', 2, 's2')], { session: 's2' }).trio?.ticket).toBe('b')
    expect(picked({}, [note('ticket:a', 1, 's1'), note('path:b', 2)]).trio?.ticket).toBe('a')
    expect(picked({}, [note('path:b', 2)])).toEqual({ trio: null, warning: null })
  })

  it('never those of another agent that works here, where the environment says who commits', () => {
    const [ann, bob] = [{ LEASEHOLD_AGENT_ID: 'agent:ann' }, { LEASEHOLD_AGENT_ID: 'agent:bob' }]
    expect(picked(ann, [note('ticket:a', 1)]).trio?.ticket).toBe('a')
    expect(picked(bob, [note('ticket:a', 1)])).toEqual({
      trio: null,
      warning: expect.stringMatching(/held here is a by agent:ann, and you are agent:bob; .*lh claim acquire/),
    })
    expect(picked(bob, [])).toEqual({ trio: null, warning: null })
    // A session's own note is its own whatever its agent is called.
    expect(picked(bob, [note('ticket:a', 1, 's1')], { session: 's1' }).trio?.ticket).toBe('a')
  })

  it('of several the staged one, else the only one that was not lost, else none and a warning', () => {
    const two = [note('ticket:a', 1), note('ticket:b', 2)]
    expect(picked({}, two, { staged: () => ['.leasehold/tickets/b/ticket.md'] }).trio?.ticket).toBe('b')
    expect(picked({}, two, { isCurrent: resource => resource === 'ticket:a' }).trio?.ticket).toBe('a')
    expect(picked({}, two)).toEqual({ trio: null, warning: expect.stringMatching(/2 are held here \(a, b\)/) })
    expect(picked({}, two, { staged: () => ['a', 'b'].map(id => `.leasehold/tickets/${id}/ticket.md`) }).trio).toBeNull()
  })
})
