import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { findRepository, type Repository } from '../../../src/host/git.ts'
import { setConfig } from '../../../src/service/config/edit.ts'
import { loadConfig, type Config, type Flags } from '../../../src/service/config/layers.ts'
import * as yaml from '../../../src/service/config/load-yaml.ts'
import { flagOf, keys, settings, suggest, variableOf, type Key } from '../../../src/service/config/schema.ts'
import { requires } from '../../support/skip.ts'

// The real machine may have a system file; the tests have their own.
const system = vi.hoisted(() => ({ file: '' }))
vi.mock('../../../src/host/paths.ts', async original => ({
  ...(await original<object>()),
  get systemConfigFile() {
    return system.file
  },
}))
// Still the real parser, but it counts.
vi.mock('../../../src/service/config/load-yaml.ts', { spy: true })

const needsRoot = requires(process.geteuid?.() === 0, 'needs root, to give a file away')
const base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-config-')))
const root = join(base, 'repo')
const home = join(base, 'home')
const userFile = join(home, '.config', 'leasehold', 'config.yaml')
const repositoryFile = join(root, '.leasehold', 'config.yaml')
const storeDirectory = join(root, '.git', 'leasehold')
const cacheFile = join(storeDirectory, `config.cache.${process.geteuid?.()}.json`)
system.file = join(base, 'etc', 'config.yaml')
let repository: Repository

const write = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}
const load = (env: NodeJS.ProcessEnv = {}, flags: Flags = {}): Promise<Config> => loadConfig(repository, { HOME: home, ...env }, flags)
/** Long enough for the file system's clock to tell the next change from this one. */
const settle = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 150))
const parses = (): number => vi.mocked(yaml.loadYaml).mock.calls.length
const fault = (message: RegExp, hint?: RegExp): unknown =>
  expect.objectContaining({
    name: 'Fault',
    code: 'usage',
    message: expect.stringMatching(message),
    ...(hint && { hint: expect.stringMatching(hint) }),
  })

beforeEach(() => {
  for (const path of [root, home, dirname(system.file)]) rmSync(path, { recursive: true, force: true })
  mkdirSync(root)
  mkdirSync(home)
  execFileSync('git', ['init', '-q'], { cwd: root })
  repository = findRepository(root, {})
  vi.mocked(yaml.loadYaml).mockClear()
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

/** For each key five values that are all different, as written and as read. */
const samples: { readonly [K in Key]: readonly (readonly [text: string, value: unknown])[] } = {
  'agent.id': ['a', 'b', 'c', 'd', 'e'].map(name => [`human:${name}`, `human:${name}`] as const),
  ttl: [
    ['60', 60_000],
    ['2m', 120_000],
    ['3m', 180_000],
    ['1h30m', 5_400_000],
    ['30d', 2_592_000_000],
  ],
  stale_after: [
    ['0', 0],
    ['2h', 7_200_000],
    ['3h', 10_800_000],
    ['4h', 14_400_000],
    ['5h', 18_000_000],
  ],
  lock_wait: [
    ['300ms', 300],
    ['2', 2000],
    ['3s', 3000],
    ['4s', 4000],
    ['5s', 5000],
  ],
  max_indefinite_leases_per_agent: [
    ['0', 0],
    ['3', 3],
    ['4', 4],
    ['5', 5],
    ['6', 6],
  ],
  max_indefinite_leases_per_repo: [
    ['0', 0],
    ['3', 3],
    ['4', 4],
    ['5', 5],
    ['6', 6],
  ],
  store: [
    ['file:///a', 'file:///a'],
    ['file:///b/', 'file:///b'],
    ['file:///c/../d', 'file:///d'],
    ['file:///e//f', 'file:///e/f'],
    ['etcd://127.0.0.1:2379,[::1]/team/repo/', 'etcd://127.0.0.1:2379,[::1]/team/repo'],
  ],
  'etcd.hosts': ['127.0.0.1', 'a.example,b.example', 'c'].map(text => [text, text] as const),
  'etcd.user': ['ann', 'bob', 'eve'].map(text => [text, text] as const),
  'etcd.password_file': ['/a', '/b c', '/d'].map(text => [text, text] as const),
  'etcd.ca_file': ['/a', '/b c', '/d'].map(text => [text, text] as const),
  'etcd.cert_file': ['/a', '/b c', '/d'].map(text => [text, text] as const),
  'etcd.key_file': ['/a', '/b c', '/d'].map(text => [text, text] as const),
  base_branch: ['main', 'trunk', 'release/1.0', 'develop', 'x'].map(name => [name, name] as const),
  enforce: ['strict', 'warn', 'off', 'warn', 'strict'].map(level => [level, level] as const),
  'enforce.branches': [
    ['main=strict', 'main=strict'],
    ['wip/*=off , main=warn', 'wip/*=off,main=warn'],
    ['a=off', 'a=off'],
    ['a*b*=off', 'a*b*=off'],
    ['release/**=warn', 'release/**=warn'],
  ],
  'worktree.directory': ['/a', '../b', 'c/d', '/e f', 'ü'].map(name => [name, name] as const),
  'worktree.branch_prefix': ['agents/', 'a-', 'x/y/', 'work/', 'w'].map(name => [name, name] as const),
  'worktree.union_paths': [
    ['a.txt', 'a.txt'],
    ['a, b', 'a,b'],
    ['**/mod.rs', '**/mod.rs'],
    ['src/*.ts,,c', 'src/*.ts,c'],
    ['/d', '/d'],
  ],
  'log.segment_size': [
    ['64KiB', 65_536],
    ['131072', 131_072],
    ['2MiB', 2_097_152],
    ['3MiB', 3_145_728],
    ['1GiB', 1_073_741_824],
  ],
  'log.retention': [
    ['1d', 86_400_000],
    ['2d', 172_800_000],
    ['3d', 259_200_000],
    ['4d', 345_600_000],
    ['5d', 432_000_000],
  ],
  'log.retention_size': [
    ['1MiB', 1_048_576],
    ['2MiB', 2_097_152],
    ['3MiB', 3_145_728],
    ['4MiB', 4_194_304],
    ['1GiB', 1_073_741_824],
  ],
  'session_lock.enabled': ['true', 'false', 'true', 'false'].map(text => [text, text === 'true'] as const),
  'session_lock.fail': ['closed', 'open', 'closed', 'open'].map(text => [text, text] as const),
  'session_lock.scope': ['path', 'workspace', 'path', 'workspace'].map(text => [text, text] as const),
  'session_lock.ttl': [
    ['10s', 10_000],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
  ],
  'launch.command': ['["a","b c"]', 'codex exec', 'gemini -p x', "x 'y z'"].map(text => [text, text] as const),
  'session_lock.outside_git': ['directory', 'ignore', 'directory'].map(text => [text, text] as const),
}
const defaults: { readonly [K in Key]: unknown } = {
  'agent.id': null,
  ttl: 1_800_000,
  stale_after: 3_600_000,
  lock_wait: 10_000,
  max_indefinite_leases_per_agent: 2,
  max_indefinite_leases_per_repo: 10,
  store: 'file:',
  'etcd.hosts': null,
  'etcd.user': null,
  'etcd.password_file': null,
  'etcd.ca_file': null,
  'etcd.cert_file': null,
  'etcd.key_file': null,
  base_branch: null,
  enforce: 'strict',
  'enforce.branches': null,
  'worktree.directory': null,
  'worktree.branch_prefix': 'agents/',
  'worktree.union_paths': '',
  'log.segment_size': 1_048_576,
  'log.retention': 7_776_000_000,
  'log.retention_size': 268_435_456,
  'session_lock.enabled': true,
  'session_lock.fail': 'open',
  'session_lock.scope': 'workspace',
  'session_lock.ttl': 300_000,
  'session_lock.outside_git': 'ignore',
  'launch.command': null,
}

describe('precedence', () => {
  it('begins with the documented defaults, without a file, a parser or a cache', async () => {
    const config = await load()
    for (const key of keys) expect([key, config.get(key), config.origin(key)]).toEqual([key, defaults[key], 'default'])
    expect(parses()).toBe(0)
    expect(existsSync(storeDirectory)).toBe(false)
  })

  it.each(keys)('of %s: defaults < system < user < repository < environment < flags', async key => {
    const env: NodeJS.ProcessEnv = {}
    const flags: { -readonly [K in Key]?: string } = {}
    const say = {
      system: (text: string) => write(system.file, `${key}: ${text}\n`),
      user: (text: string) => write(userFile, `# mine\n\n${key}: ${text}\n`),
      repository: (text: string) => write(repositoryFile, `${key}: "${text}"\n`),
      environment: (text: string) => void (env[variableOf(key)] = text),
      flag: (text: string) => void (flags[key] = text),
    }
    const origins = {
      system: 'system file',
      user: 'user file',
      repository: 'repository file',
      environment: `environment ${variableOf(key)}`,
      flag: 'flag',
    }
    const files = { system: [system.file, 1], user: [userFile, 3], repository: [repositoryFile, 1] } as const
    const said: string[] = ['default']
    for (const [at, layer] of settings[key].layers.entries()) {
      const [text, value] = samples[key][at] ?? ['', '']
      say[layer](text)
      const explained = (await load(env, flags)).explain(key)
      expect(explained).toMatchObject({ key, value, text, origin: origins[layer], variable: variableOf(key) })
      expect(explained.shadowed.map(saying => saying.origin)).toEqual(said.toReversed())
      if (layer in files) expect([explained.file, explained.line]).toEqual(files[layer as keyof typeof files])
      said.push(origins[layer])
    }
  })

  it('refuses agent.id where it would be everybody’s', async () => {
    write(repositoryFile, 'ttl: 1m\nagent: {id: human:all}\n')
    await expect(load()).rejects.toThrow(fault(/config\.yaml:2: agent\.id cannot be set for the whole repository.*one agent/s, /--user/))
    write(repositoryFile, '')
    write(system.file, 'agent.id: human:all\n')
    await expect(load()).rejects.toThrow(fault(/system/))
  })

  it('takes nested and dotted keys, comments, empty files and empty groups', async () => {
    write(userFile, '# nothing\n')
    write(system.file, 'log:\n')
    write(repositoryFile, 'log:\n  retention: 30d # a month\n  segment_size: 64KiB\nlog.retention_size: 512MiB\n')
    const config = await load()
    expect([config.get('log.retention'), config.get('log.segment_size'), config.get('log.retention_size')]).toEqual([
      2_592_000_000, 65_536, 536_870_912,
    ])
    expect(config.explain('log.segment_size').line).toBe(3)
  })

  it('looks for the user file where XDG_CONFIG_HOME says, if that is absolute', async () => {
    write(userFile, 'ttl: 2m\n')
    write(join(base, 'xdg', 'leasehold', 'config.yaml'), 'ttl: 3m\n')
    expect((await load({ XDG_CONFIG_HOME: join(base, 'xdg') })).get('ttl')).toBe(180_000)
    expect((await load({ XDG_CONFIG_HOME: 'relative' })).get('ttl')).toBe(120_000)
    expect((await load({ HOME: undefined })).get('ttl')).toBe(1_800_000)
  })

  it('treats an empty variable as unset', async () => {
    expect((await load({ LEASEHOLD_TTL: '' })).origin('ttl')).toBe('default')
  })
})

describe('mistakes', () => {
  const cases: readonly (readonly [text: string, message: RegExp, hint?: RegExp])[] = [
    ['ttl: 10m\nstale_afer: 2h\n', /config\.yaml:2: .*"stale_afer"/, /stale_after/],
    ['log:\n  retension: 90d\n', /config\.yaml:2: .*"log\.retension"/, /log\.retention\?/],
    ['zzzzzzzzzzzz: 1\n', /"zzzzzzzzzzzz"/, /config list/],
    ['ttl: 10m\nttl: 20m\n', /config\.yaml:2: /],
    ['log: {retention: 90d}\nlog.retention: 30d\n', /config\.yaml:2: log\.retention is set a second time; line 1/],
    ['ttl: soon\n', /config\.yaml:1: ttl: "soon"/],
    ['ttl: 0\n', /1s to 30d/],
    ['ttl: 31d\n', /1s to 30d/],
    ['lock_wait: 11m\n', /0 to 10m/],
    ['max_indefinite_leases_per_agent: -1\n', /whole number/],
    ['max_indefinite_leases_per_agent: 1.5\n', /whole number/],
    ['max_indefinite_leases_per_agent: 0x10\n', /whole number/],
    ['log.segment_size: 1KiB\n', /64KiB/],
    ['log.retention: 1h\n', /1d to/],
    ['log.retention_size: 1\n', /64KiB/],
    ['store: redis://127.0.0.1:6379/x\n', /this version has no `redis:` store/, /file:/],
    ['store: etcd://127.0.0.1:2379\n', /names no etcd store/, /etcd:\/\/127\.0\.0\.1:2379\/team\/repo/],
    ['store: etcd://ann:secret@127.0.0.1:2379/x\n', /must not have a user or password/, /etcd\.password_file/],
    ['etcd.password_file: /home/ann/.ssh/id_ed25519\n', /cannot be set for the whole repository: .*secrets/, /--user/],
    ['store: file://relative\n', /names no store/],
    ['store: /var/lib/x\n', /names no store/],
    ['ttl:\n', /config\.yaml:1: ttl has no value/],
    ['ttl: [1m]\n', /takes one value/],
    ['ttl: {a: 1}\n', /takes one value/],
    ['a: &x 1m\nttl: *x\n', /"a"/],
    ['ttl: &x 1m\nlock_wait: *x\n', /alias/],
    ['log: 90d\n', /"log"/],
    ['- ttl\n', /holds settings/],
    ['ttl: "1m\n', /config\.yaml:\d: /],
    ['ttl: 1m\n---\nttl: 2m\n', /config\.yaml:\d: /],
    [`# ${'x'.repeat(70_000)}\n`, /too large/],
  ]
  it.each(cases.map(([text, message, hint]) => ({ text, message, hint })))('$text in a file', async ({ text, message, hint }) => {
    write(repositoryFile, text)
    await expect(load()).rejects.toThrow(fault(message, hint))
  })

  it('in variables and flags are named as such', async () => {
    await expect(load({ LEASEHOLD_TLL: '1m' })).rejects.toThrow(fault(/LEASEHOLD_TLL/, /LEASEHOLD_TTL/))
    await expect(load({ LEASEHOLD_SESION_ID: 'x' })).rejects.toThrow(fault(/LEASEHOLD_SESION_ID/, /LEASEHOLD_SESSION_ID/))
    await expect(load({ LEASEHOLD_LOCK_WAIT: 'x' })).rejects.toThrow(fault(/^LEASEHOLD_LOCK_WAIT: /))
    await expect(load({}, { lock_wait: 'x' })).rejects.toThrow(fault(/^--lock-wait: /))
    await expect(load({ LEASEHOLD_AGENT_ID: 'alice' })).rejects.toThrow(fault(/^LEASEHOLD_AGENT_ID: /))
    await load({
      LEASEHOLD_SESSION_ID: 's',
      LEASEHOLD_LEASE: 'l',
      LEASEHOLD_PID: '1',
      LEASEHOLD_REQUIRE_ALL: '1',
      LEASEHOLD_TEST_X: '1',
      OTHER: 'x',
    })
    expect([flagOf('log.segment_size'), suggest('tll', keys), suggest('qqqqqqqq', keys)]).toEqual(['--log-segment-size', 'ttl', null])
  })

  it('in a weaker layer are not hidden by a stronger one', async () => {
    write(system.file, 'ttl: soon\n')
    await expect(load({ LEASEHOLD_TTL: '1m' }, { ttl: '2m' })).rejects.toThrow(fault(/ttl: "soon"/))
  })

  it('of kind: a committed link is not followed, a user’s is, and a FIFO or directory does not hang', async () => {
    const target = join(base, 'target.yaml')
    writeFileSync(target, 'ttl: 4m\n')
    mkdirSync(dirname(userFile), { recursive: true })
    symlinkSync(target, userFile)
    expect((await load()).get('ttl')).toBe(240_000)
    mkdirSync(dirname(repositoryFile))
    symlinkSync(target, repositoryFile)
    await expect(load()).rejects.toThrow(fault(/symbolic link/))
    rmSync(repositoryFile)
    execFileSync('mkfifo', [repositoryFile])
    await expect(load()).rejects.toThrow(fault(/regular file/))
    rmSync(repositoryFile)
    mkdirSync(repositoryFile)
    await expect(load()).rejects.toThrow(fault(/regular file|directory/i))
  })

  it('of place: a committed directory that is a link is neither read through nor written through, wherever it leads', async () => {
    const elsewhere = join(base, 'elsewhere')
    for (const target of [elsewhere, join(base, 'nowhere'), '.leasehold']) {
      write(join(elsewhere, 'config.yaml'), 'ttl: 1m\n')
      symlinkSync(target, dirname(repositoryFile))
      const set = (): unknown => setConfig(repository, 'ttl', '2m', { user: false, env: { HOME: home } })
      expect(set, target).toThrow(fault(/\.leasehold is a symbolic link/, /ls -ld/))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      if (target === elsewhere) await expect(load()).rejects.toEqual(fault(/\.leasehold is a symbolic link/, /ls -ld/))
      rmSync(dirname(repositoryFile))
    }
    expect([readFileSync(join(elsewhere, 'config.yaml'), 'utf8'), existsSync(join(base, 'nowhere'))]).toEqual(['ttl: 1m\n', false])
  })
})

describe('cache', () => {
  it('spares the parser while nothing changes, and stays out of a repository without a store', async () => {
    write(repositoryFile, 'ttl: 1m\n')
    await settle()
    await load()
    expect([parses(), existsSync(storeDirectory)]).toEqual([1, false])
    mkdirSync(storeDirectory, { mode: 0o700 })
    await load()
    expect(parses()).toBe(2)
    expect(readdirSync(storeDirectory)).toEqual([`config.cache.${process.geteuid?.()}.json`])
    expect(statSync(cacheFile).mode & 0o777).toBe(0o600)
    const config = await load()
    expect([parses(), config.get('ttl'), config.explain('ttl').line]).toEqual([2, 60_000, 1])
  })

  it('sees an edit of the same size, in place or by rename, even when the time was put back', async () => {
    mkdirSync(storeDirectory)
    write(repositoryFile, 'ttl: 1m\n')
    const { atime, mtime } = statSync(repositoryFile)
    await settle()
    await load()
    writeFileSync(repositoryFile, 'ttl: 2m\n')
    utimesSync(repositoryFile, atime, mtime)
    expect((await load()).get('ttl')).toBe(120_000)
    await settle()
    await load()
    const other = join(root, 'other')
    writeFileSync(other, 'ttl: 3m\n')
    utimesSync(other, atime, mtime)
    execFileSync('mv', [other, repositoryFile])
    expect((await load()).get('ttl')).toBe(180_000)
    rmSync(repositoryFile)
    expect((await load()).origin('ttl')).toBe('default')
  })

  it('does not keep a file that changed a moment ago: a second edit might leave no trace', async () => {
    mkdirSync(storeDirectory)
    for (let minutes = 1; minutes <= 9; minutes++) {
      write(repositoryFile, `ttl: ${minutes}m\n`)
      expect((await load()).get('ttl')).toBe(minutes * 60_000)
    }
  })

  it('keeps homes and worktrees apart', async () => {
    mkdirSync(storeDirectory)
    execFileSync('git', ['commit', '-q', '--allow-empty', '-m', 'x'], { cwd: root })
    const [linked, otherHome] = [join(base, 'linked'), join(base, 'other-home')]
    execFileSync('git', ['worktree', 'add', '-q', '-f', linked], { cwd: root })
    write(userFile, 'agent.id: human:alice\n')
    write(join(otherHome, '.config', 'leasehold', 'config.yaml'), 'agent.id: human:bob00\n')
    write(repositoryFile, 'ttl: 1m\n')
    write(join(linked, '.leasehold', 'config.yaml'), 'ttl: 2m\n')
    await settle()
    for (let turn = 0; turn < 2; turn++) {
      for (const [HOME, name] of [
        [home, 'human:alice'],
        [otherHome, 'human:bob00'],
      ]) {
        for (const [place, ttl] of [
          [root, 60_000],
          [linked, 120_000],
        ] as const) {
          const config = await loadConfig(findRepository(place, {}), { HOME })
          expect([config.get('agent.id'), config.get('ttl')]).toEqual([name, ttl])
        }
      }
    }
    expect(parses()).toBe(4)
  })

  it('is ignored when it is damaged, foreign, writable by others or of another form', async () => {
    mkdirSync(storeDirectory)
    write(userFile, 'agent.id: human:alice\n')
    await settle()
    await load()
    const good = readFileSync(cacheFile, 'utf8')
    const forged = good.replace('human:alice', 'human:mallo')
    const spoil: readonly (readonly [string, () => void])[] = [
      ['torn', () => writeFileSync(cacheFile, good.slice(0, 40))],
      ['empty', () => writeFileSync(cacheFile, '')],
      ['another form', () => writeFileSync(cacheFile, forged.replace('"format":1', '"format":2'))],
      ['strange entries', () => writeFileSync(cacheFile, forged.replace('"line":1', '"line":"1"'))],
      ['writable by others', () => (writeFileSync(cacheFile, forged), chmodSync(cacheFile, 0o666))],
      ['unknown key', () => writeFileSync(cacheFile, good.replace('"key":"agent.id"', '"key":"agent.xx"'))],
      ['a link', () => (rmSync(cacheFile), writeFileSync(join(base, 'forged'), forged), symlinkSync(join(base, 'forged'), cacheFile))],
    ]
    for (const [what, how] of spoil) {
      how()
      expect((await load()).get('agent.id'), what).toBe('human:alice')
    }
    // The proof that the cache is read at all: an untouched, owned one is believed.
    await load()
    writeFileSync(cacheFile, forged)
    expect((await load()).get('agent.id')).toBe('human:mallo')
  })

  needsRoot.it('of another owner is ignored', async () => {
    mkdirSync(storeDirectory)
    write(userFile, 'agent.id: human:alice\n')
    await settle()
    await load()
    writeFileSync(cacheFile, readFileSync(cacheFile, 'utf8').replace('human:alice', 'human:mallo'))
    execFileSync('chown', ['65534', cacheFile])
    expect((await load()).get('agent.id')).toBe('human:alice')
  })
})

describe('gitUserName', () => {
  const global = join(home, '.gitconfig')
  const name = async (env: NodeJS.ProcessEnv = {}): Promise<string | null> =>
    (await load({ PATH: process.env['PATH'], GIT_CONFIG_NOSYSTEM: '1', ...env })).gitUserName()
  const calls = async (look: () => Promise<unknown>): Promise<number> => {
    const host = await import('../../../src/host/git.ts')
    const spy = vi.spyOn(process, 'getBuiltinModule')
    expect(host).toBeDefined()
    await look()
    const asked = spy.mock.calls.length
    spy.mockRestore()
    return asked
  }

  it('is Git’s, null when Git has none', async () => {
    expect(await name()).toBe(null)
    writeFileSync(global, '[user]\n\tname = Alice Example\n')
    expect(await name()).toBe('Alice Example')
    execFileSync('git', ['config', 'user.name', 'In Here'], { cwd: root })
    expect(await name()).toBe('In Here')
    expect(await name({ GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'user.name', GIT_CONFIG_VALUE_0: 'Just Now' })).toBe('Just Now')
  })

  it('is asked for once, until a file that it depends on changes', async () => {
    mkdirSync(storeDirectory)
    writeFileSync(global, '[include]\n\tpath = more.inc\n[user]\n\tname = Alice Example\n')
    await settle()
    expect(await calls(name)).toBe(1)
    expect(await calls(name)).toBe(0)
    expect(await name()).toBe('Alice Example')
    // A file that was only named so far.
    writeFileSync(join(home, 'more.inc'), '[user]\n\tname = Nobody\n')
    expect(await calls(name)).toBe(1)
    writeFileSync(global, '[user]\n\tname = Carol Example\n')
    expect(await name()).toBe('Carol Example')
    await settle()
    await name()
    expect(await calls(name)).toBe(0)
    execFileSync('git', ['config', 'user.name', 'In Here'], { cwd: root })
    expect(await name()).toBe('In Here')
  })

  it('is not remembered across homes, nor where a branch decides', async () => {
    mkdirSync(storeDirectory)
    writeFileSync(global, '[user]\n\tname = Alice Example\n')
    const other = join(base, 'bob-home')
    mkdirSync(other, { recursive: true })
    writeFileSync(join(other, '.gitconfig'), '[user]\n\tname = Bob Example\n[includeIf "onbranch:release"]\n\tpath = release.inc\n')
    await settle()
    for (let turn = 0; turn < 2; turn++) {
      expect(await name()).toBe('Alice Example')
      expect(await name({ HOME: other })).toBe('Bob Example')
    }
    expect(await calls(() => name({ HOME: other }))).toBe(1)
    expect(await calls(name)).toBe(0)
  })
})
