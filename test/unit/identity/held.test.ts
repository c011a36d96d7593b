import { execFile, execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { findRepository, type Repository } from '../../../src/host/git.ts'
import { kernelLock } from '../../../src/host/kernel-lock.ts'
import { forgetHeld, readHeld, rememberHeld, type HeldEntry } from '../../../src/service/identity/held.ts'
import { requires } from '../../support/skip.ts'

const needsRoot = requires(process.platform === 'linux' && process.getuid?.() === 0, 'needs root, to act as another user')
const base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-held-')))
const directory = join(base, 'repo', '.git', 'leasehold')
const file = join(directory, 'held.json')
let repository: Repository

beforeEach(() => {
  rmSync(join(base, 'repo'), { recursive: true, force: true })
  mkdirSync(join(base, 'repo'))
  execFileSync('git', ['init', '-q'], { cwd: join(base, 'repo') })
  repository = findRepository(join(base, 'repo'), {})
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

const entry = (resource: string, token: number, session: string | null = null): HeldEntry => ({
  resource,
  leaseId: `L${token}`,
  token,
  agentId: 'agent:a',
  session,
})
const held = (): readonly HeldEntry[] => [...readHeld(repository).entries.values()]

describe('held.json', () => {
  it('remembers, replaces and forgets, id and token together', () => {
    expect(readHeld(repository)).toEqual({ entries: new Map(), replaced: [] })
    expect(rememberHeld(repository, [entry('ticket:a', 1), entry('ticket:b', 1, 's1')])).toBe(null)
    expect(rememberHeld(repository, [entry('ticket:a', 7)])).toBe(null)
    expect(held()).toEqual([entry('ticket:b', 1, 's1'), entry('ticket:a', 7)])
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
      schema_version: 1,
      entries: {
        'ticket:b': { lease_id: 'L1', token: 1, agent_id: 'agent:a', session: 's1' },
        'ticket:a': { lease_id: 'L7', token: 7, agent_id: 'agent:a', session: null },
      },
    })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(forgetHeld(repository, ['L1', 'unknown'])).toBe(null)
    expect(held()).toEqual([entry('ticket:a', 7)])
    expect(readdirSync(directory).toSorted()).toEqual(['held.json', 'held.lock'])
  })

  it('keeps what a session was given until that session knows that somebody else has it', () => {
    const [mine, theirs] = [entry('env:k', 1, 's1'), { ...entry('env:k', 4, 's2'), agentId: 'agent:b' }]
    rememberHeld(repository, [mine])
    rememberHeld(repository, [theirs])
    expect(readHeld(repository)).toEqual({ entries: new Map([['env:k', theirs]]), replaced: [mine] })
    const before = statSync(file).ino
    rememberHeld(repository, [theirs])
    expect(statSync(file).ino).toBe(before)
    // It has it again.
    rememberHeld(repository, [entry('env:k', 6, 's1')])
    expect(readHeld(repository).replaced).toEqual([theirs])
    forgetHeld(repository, ['L4'])
    expect(readHeld(repository)).toEqual({ entries: new Map([['env:k', entry('env:k', 6, 's1')]]), replaced: [] })
    // Nobody could be told of what was taken without a session.
    rememberHeld(repository, [entry('env:n', 7)])
    rememberHeld(repository, [entry('env:n', 8, 's1')])
    expect(readHeld(repository).replaced).toEqual([])
    for (let at = 0; at < 100; at++) rememberHeld(repository, [entry('env:n', 10 + at, `s${at % 2}`)])
    for (let at = 0; at < 100; at++) rememberHeld(repository, [entry('env:m', 200 + at, `t${at}`)])
    expect(readHeld(repository).replaced).toHaveLength(64)
    expect(readHeld(repository).replaced.at(-1)).toEqual(entry('env:m', 298, 't98'))
  })

  it('writes nothing when there is nothing new', () => {
    expect(forgetHeld(repository, ['L1'])).toBe(null)
    expect(readdirSync(join(base, 'repo', '.git'))).not.toContain('leasehold')
    rememberHeld(repository, [entry('a:b', 1)])
    const before = statSync(file).ino
    rememberHeld(repository, [entry('a:b', 1)])
    forgetHeld(repository, ['other'])
    expect(statSync(file).ino).toBe(before)
  })

  it('is bounded: the oldest are forgotten', () => {
    rememberHeld(
      repository,
      Array.from({ length: 600 }, (_, at) => entry(`port:${at}`, at + 1)),
    )
    expect(held()).toHaveLength(512)
    expect(held()[0]?.resource).toBe('port:88')
    rememberHeld(repository, [entry('port:new', 9999), entry('port:88', 601)])
    expect(
      held()
        .slice(-2)
        .map(one => one.resource),
    ).toEqual(['port:new', 'port:88'])
  })

  it('ignores a damaged file with a warning, and mends it with the next lease', () => {
    mkdirSync(directory)
    const broken = [
      '',
      '{',
      '[]',
      'null',
      '{"schema_version":2,"entries":{}}',
      '{"schema_version":1,"entries":{"a:b":{"lease_id":"L"}}}',
      '{"schema_version":1,"entries":{"a:b":{"lease_id":"L","token":1.5,"agent_id":"agent:a","session":null}}}',
      '{"schema_version":1,"entries":{},"replaced":{}}',
      '{"schema_version":1,"entries":{},"replaced":[null]}',
      '{"schema_version":1,"entries":{},"replaced":[{"lease_id":"L","token":1,"agent_id":"agent:a","session":null}]}',
    ]
    for (const content of broken) {
      writeFileSync(file, content)
      expect(readHeld(repository), content).toEqual({ entries: new Map(), replaced: [], warning: expect.stringContaining(file) })
    }
    expect(rememberHeld(repository, [entry('a:b', 1)])).toContain(file)
    expect(readHeld(repository)).toEqual({ entries: new Map([['a:b', entry('a:b', 1)]]), replaced: [] })
  })

  it('is changed by one at a time, and by nobody for good', () => {
    rememberHeld(repository, [entry('a:a', 1)])
    const lock = openSync(join(directory, 'held.lock'), 'r+')
    expect(kernelLock().tryExclusive(lock)).toBe(true)
    expect(rememberHeld(repository, [entry('a:b', 2)])).toMatch(/could not be written.*others change it/)
    expect(held()).toEqual([entry('a:a', 1)])
    // What changes nothing waits for nobody, and what a dead process had is free.
    expect(rememberHeld(repository, [entry('a:a', 1)])).toBe(null)
    closeSync(lock)
    expect(rememberHeld(repository, [entry('a:b', 2)])).toBe(null)
    expect(held()).toEqual([entry('a:a', 1), entry('a:b', 2)])
  })

  it('keeps what eight processes note and forget at once', { timeout: 60_000 }, async () => {
    const bundle = execFileSync(
      'npx',
      ['esbuild', 'test/unit/identity/held-in-process.ts', '--bundle', '--platform=node', '--format=cjs', '--log-level=error'],
      { encoding: 'utf8' },
    )
    // Where the lock's addon is found from.
    const program = join(mkdtempSync(join(process.cwd(), 'node_modules', '.lh-held-')), 'held.cjs')
    try {
      writeFileSync(program, bundle)
      const startAt = String(Date.now() + 400)
      const run = (at: number) => promisify(execFile)(process.execPath, [program, join(base, 'repo'), startAt, String(at)])
      await Promise.all(Array.from({ length: 8 }, (_, at) => run(at)))
    } finally {
      rmSync(dirname(program), { recursive: true, force: true })
    }
    const kept = Array.from({ length: 8 }, (_, at) => Array.from({ length: 10 }, (__, each) => `port:${at}-${2 * each}`)).flat()
    expect(new Set(readHeld(repository).entries.keys())).toEqual(new Set(kept))
  })

  it('takes a hostile resource name for a name', () => {
    rememberHeld(repository, [entry('__proto__', 3), entry('constructor', 4)])
    expect(held()).toEqual([entry('__proto__', 3), entry('constructor', 4)])
    expect(({} as Record<string, unknown>)['leaseId']).toBe(undefined)
  })

  needsRoot.it('warns instead of failing where it may not write', () => {
    chmodSync(base, 0o755)
    process.seteuid?.(65_534)
    try {
      expect(rememberHeld(repository, [entry('a:b', 1)])).toContain('could not be written')
      expect(held()).toEqual([])
    } finally {
      process.seteuid?.(0)
    }
  })
})
