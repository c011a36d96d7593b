import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { GitPlace } from '../../../src/host/git.ts'
import type { Definition } from '../../../src/service/gate/definition.ts'
import { Code, gateAdvice, gateStates, unmetGates } from '../../../src/service/gate/results.ts'
import type { TicketEvent } from '../../../src/service/ticket/events.ts'

const base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-gate-results-')))
let root = ''
let count = 0
afterAll(() => rmSync(base, { recursive: true, force: true }))
beforeEach(() => {
  root = join(base, `repo${count++}`)
  execFileSync('git', ['init', '-q', root])
})

const git = (...args: string[]): string =>
  execFileSync('git', ['-C', root, '-c', 'user.name=x', '-c', 'user.email=x@y', ...args], { encoding: 'utf8' }).trim()
const place = (): GitPlace => ({ gitDir: join(root, '.git'), root })
const commit = (file: string, text: string): string => {
  mkdirSync(join(root, file, '..'), { recursive: true })
  writeFileSync(join(root, file), text)
  git('add', '-A')
  git('commit', '-q', '-m', file)
  return git('rev-parse', 'HEAD')
}
const define = (key: string, more: Partial<Definition> = {}): readonly [string, Definition] => [
  key,
  {
    key,
    title: null,
    description: null,
    stage: 'post',
    mode: 'auto',
    command: 'make',
    timeoutMs: 1000,
    env: {},
    workingDir: null,
    passContext: null,
    legacy: null,
    ...more,
  },
]
const definitions = new Map([define('auto'), define('early', { stage: 'pre' }), define('manual', { mode: 'manual', command: null })])
let events = 0
const event = (gate: string, result: string, more: object = {}): TicketEvent => ({
  id: String(++events).padStart(26, '0'),
  type: 'gate',
  at: 't',
  actor: 'a',
  gate,
  result,
  stage: 'post',
  ...more,
})
const stateOf = (gate: string, ...results: TicketEvent[]): string => gateStates(definitions, { gates: [gate] }, results, place())[0]!.state

describe('the state of a gate', () => {
  it('is its newest result', () => {
    const head = commit('a', '1')
    expect(stateOf('auto')).toBe('missing')
    expect(stateOf('auto', event('auto', 'failed', { commit: head }))).toBe('failed')
    expect(stateOf('auto', event('auto', 'failed', { commit: head }), event('auto', 'passed', { commit: head }))).toBe('passed')
    expect(stateOf('auto', event('auto', 'passed', { commit: head }), event('auto', 'failed', { commit: head }))).toBe('failed')
    expect(stateOf('auto', event('manual', 'passed'), { ...event('auto', 'passed'), type: 'comment' })).toBe('missing')
    expect(stateOf('nowhere', event('nowhere', 'passed'))).toBe('undefined')
    expect(stateOf('auto', event('auto', 'strange', { commit: head }))).toBe('failed')
  })

  it('is stale when the code is another, and not when only our own files are', () => {
    const first = commit('a', '1')
    const passed = event('auto', 'passed', { commit: first })
    expect(stateOf('auto', passed)).toBe('passed')
    commit('.leasehold/tickets/x/events.jsonl', '{}\n')
    expect(stateOf('auto', passed)).toBe('passed')
    git('commit', '-q', '--amend', '-m', 'other words')
    expect(stateOf('auto', passed)).toBe('passed')
    commit('a', '2')
    expect(stateOf('auto', passed)).toBe('stale')
    commit('a', '1')
    expect(stateOf('auto', passed)).toBe('passed')
  })

  it('is stale when the commit is unknown', () => {
    commit('a', '1')
    for (const commit of [null, undefined, 'f'.repeat(40), 'HEAD', '--output=x', 17])
      expect(stateOf('auto', event('auto', 'passed', { commit })), String(commit)).toBe('stale')
  })

  it('is stale when the changes that it ran with are gone', () => {
    const head = commit('a', '1')
    const passed = event('auto', 'passed', { commit: head, dirty: true })
    writeFileSync(join(root, 'a'), '2')
    expect(stateOf('auto', passed)).toBe('passed')
    git('checkout', '-q', 'a')
    expect(stateOf('auto', passed)).toBe('stale')
    expect(stateOf('manual', event('manual', 'passed', { commit: head, dirty: true }))).toBe('passed')
  })

  it('is stale when another command passed', () => {
    const head = commit('a', '1')
    expect(stateOf('auto', event('auto', 'passed', { commit: head, command: 'make' }))).toBe('passed')
    expect(stateOf('auto', event('auto', 'passed', { commit: head, command: 'true' }))).toBe('stale')
  })

  it('is stale when it was decided in another way than it is now: by a command, or by a word', () => {
    const head = commit('a', '1')
    expect(stateOf('manual', event('manual', 'passed', { commit: head, command: 'make' }))).toBe('stale')
    const states = gateStates(definitions, { gates: ['manual'] }, [event('manual', 'passed', { commit: head, command: 'make' })], place())
    expect(gateAdvice(states[0]!, 't1')).toEqual({ why: expect.stringContaining('by a command'), command: 'lh gate pass t1 manual' })
    expect(stateOf('auto', event('auto', 'passed', { commit: head, lease_id: 'L', token: 1 }))).toBe('stale')
    // What was imported may not know which command it was.
    expect(stateOf('auto', event('auto', 'passed', { commit: head }))).toBe('passed')
  })

  it('stays passed where a person decided', () => {
    const head = commit('a', '1')
    commit('a', '2')
    expect(stateOf('manual', event('manual', 'passed', { commit: head }))).toBe('passed')
    expect(stateOf('auto', event('auto', 'passed', { commit: head, override: true }))).toBe('passed')
  })

  it('counts before the first commit until there is one', () => {
    const passed = event('auto', 'passed', { commit: null })
    expect(stateOf('auto', passed)).toBe('passed')
    commit('a', '1')
    expect(stateOf('auto', passed)).toBe('stale')
  })

  it('blocks its own stage only, with the command that helps', () => {
    const states = gateStates(
      definitions,
      { gates: ['auto', 'early', 'manual', 'gone', 'auto'] },
      [event('gone', 'failed', { stage: 'pre' })],
      place(),
    )
    expect(states.map(({ key, stage, mode, state }) => [key, stage, mode, state])).toEqual([
      ['auto', 'post', 'auto', 'missing'],
      ['early', 'pre', 'auto', 'missing'],
      ['manual', 'post', 'manual', 'missing'],
      ['gone', 'pre', null, 'undefined'],
    ])
    expect(unmetGates(states, 'pre').map(({ key }) => key)).toEqual(['early', 'gone'])
    expect(unmetGates(states, 'post').map(gate => gateAdvice(gate, 't1').command)).toEqual([
      'lh gate run t1 auto',
      'lh gate pass t1 manual',
    ])
    expect(gateAdvice(states[3]!, 't1').command).toMatch(/^lh gate define gone/)
  })
})

describe('the code', () => {
  it('is dirty with changes outside our own files', () => {
    commit('a', '1')
    expect(new Code(place()).isDirty()).toBe(false)
    mkdirSync(join(root, '.leasehold'), { recursive: true })
    writeFileSync(join(root, '.leasehold', 'x'), '')
    expect(new Code(place()).isDirty()).toBe(false)
    writeFileSync(join(root, 'new'), '')
    expect(new Code(place()).isDirty()).toBe(true)
    git('config', 'status.showUntrackedFiles', 'no')
    expect(new Code(place()).isDirty()).toBe(true)
  })

  it('is that of this worktree, whichever repository a hook around us is of', () => {
    const head = commit('a', '1')
    const other = join(base, 'other')
    execFileSync('git', ['init', '-q', other])
    execFileSync('git', ['-C', other, '-c', 'user.name=x', '-c', 'user.email=x@y', 'commit', '-q', '--allow-empty', '-m', 'other'])
    vi.stubEnv('GIT_DIR', join(other, '.git'))
    vi.stubEnv('GIT_INDEX_FILE', join(other, '.git', 'index'))
    try {
      const code = new Code(place())
      expect([code.head, code.isDirty()]).toEqual([head, false])
    } finally {
      vi.unstubAllEnvs()
    }
  })
})
