import { describe, expect, it } from 'vitest'
import { matchSessions, newestOfName } from '../../../src/service/session/find.ts'
import type { Session } from '../../../src/core/session.ts'

const session = (sessionId: string, name: string, more: Partial<Session> = {}): Session => ({
  sessionId,
  name,
  role: 'dev',
  origin: 'ticket-claim',
  profile: 'command',
  agentId: 'agent:a',
  worktreeId: 'wt:00000000',
  cwd: '/',
  witness: null,
  binding: null,
  clientSessionIds: [],
  relatedTickets: [],
  peers: [],
  evidence: { kind: 'alive', seen: '', confirmed: false, at: 0 },
  resume: null,
  launchedBy: 'human:a',
  startedAt: 0,
  state: 'live',
  endedAt: null,
  endReason: null,
  exitCode: null,
  ...more,
})

const one = session('01ARZ3NDEKTSV4RRFFQ69G5FAV', 'dev-login', {
  clientSessionIds: ['6f1c-Client'],
  relatedTickets: ['20260101-120000-fix-login'],
})
const two = session('01ARZ3NDEKTSV4RRFFQ69G5FAW', 'review-login', { relatedTickets: ['20260101-120000-fix-login'] })
const three = session('01BX5ZZKBKACTAV9WEVGEMMVS0', '01ar', { relatedTickets: ['20260102-120000-dev-login'] })

const meant = (text: string): readonly string[] => matchSessions([one, two, three], text).map(({ name }) => name)

describe('a session is found by', () => {
  it.each([
    ['its name, though that is also another’s ticket', 'dev-login', ['dev-login']],
    ['its name, though other ids begin so', '01ar', ['01ar']],
    ['its id', '01ARZ3NDEKTSV4RRFFQ69G5FAV', ['dev-login']],
    ['its id in any case', '01bx5zzkbkactav9wevgemmvs0', ['01ar']],
    ['a beginning of its id', '01BX', ['01ar']],
    ['what its client calls it', '6f1c-client', ['dev-login']],
    ['its ticket', '20260102-120000-dev-login', ['01ar']],
    ['its ticket as a key', 'ticket:20260102-120000-dev-login', ['01ar']],
    ['a beginning of its ticket', '20260102', ['01ar']],
  ])('%s', (_, text, names) => {
    expect(meant(text)).toEqual(names)
  })

  it('gives all that are meant where several are', () => {
    expect(meant('fix-login')).toEqual(['dev-login', 'review-login'])
    expect(meant('01ARZ3')).toEqual(['dev-login', 'review-login'])
  })

  it('finds none by too little', () => {
    expect(meant('01B')).toEqual([])
    expect(meant('')).toEqual([])
    expect(meant('login')).toEqual([])
  })
})

describe('of sessions that have ended', () => {
  const ended = (sessionId: string, name: string, startedAt: number) => session(sessionId, name, { startedAt, state: 'ended' })
  const [first, last, other] = [ended('01B', 'dev-login', 5), ended('01A', 'dev-login', 9), ended('01C', 'review-login', 20)]

  it('and have one name, the newest is meant', () => {
    expect(newestOfName([first, last])).toEqual([last])
    expect(newestOfName([last, first])).toEqual([last])
    expect(newestOfName([ended('01A', 'a', 1), ended('01B', 'a', 1)]).map(({ sessionId }) => sessionId)).toEqual(['01B'])
  })

  it('and have several names, each may be meant', () => {
    expect(newestOfName([first, other])).toEqual([first, other])
    expect(newestOfName([])).toEqual([])
  })
})
