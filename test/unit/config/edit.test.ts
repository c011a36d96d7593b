import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { findRepository, type Repository } from '../../../src/host/git.ts'
import { setConfig, type Written } from '../../../src/service/config/edit.ts'
import { loadConfig } from '../../../src/service/config/layers.ts'

const base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-edit-')))
const root = join(base, 'repo')
const env = { HOME: join(base, 'home') }
const file = join(root, '.leasehold', 'config.yaml')
const userFile = join(base, 'home', '.config', 'leasehold', 'config.yaml')
let repository: Repository

beforeEach(() => {
  for (const path of [root, env.HOME]) rmSync(path, { recursive: true, force: true })
  mkdirSync(root)
  execFileSync('git', ['init', '-q'], { cwd: root })
  repository = findRepository(root, {})
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

const set = (key: string, value: string, user = false): Written => setConfig(repository, key, value, { user, env })
const write = (text: string): void => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

describe('setConfig', () => {
  it('makes the file, replaces values, and says what was there', async () => {
    expect(set('ttl', '10m')).toEqual({ file, key: 'ttl', previous: null, faults: [] })
    expect(set('ttl', ' 600 ')).toEqual({ file, key: 'ttl', previous: '10m', faults: [] })
    expect(set('log.retention', '30d').previous).toBe(null)
    expect(set('log.segment_size', '64KiB').previous).toBe(null)
    expect(readFileSync(file, 'utf8')).toBe('ttl: 600\nlog:\n  retention: 30d\n  segment_size: 64KiB\n')
    expect(statSync(file).mode & 0o777).toBe(0o644)
    expect(readdirSync(dirname(file))).toEqual(['config.yaml'])
    expect((await loadConfig(repository, env)).get('ttl')).toBe(600_000)
  })

  it('takes nothing where that is a value: what another layer says can be taken back', async () => {
    for (const [key, said] of [
      ['worktree.union_paths', 'a.md'],
      ['worktree.branch_prefix', 'x/'],
      ['enforce.branches', 'main=warn'],
    ] as const) {
      set(key, said, true)
      expect((await loadConfig(repository, env)).explain(key).text).toBe(said)
      set(key, '')
      expect((await loadConfig(repository, env)).explain(key)).toMatchObject({ text: '', origin: 'repository file' })
    }
    expect(() => set('ttl', '')).toThrow(/ttl/)
    write('ttl: ""\n')
    await expect(loadConfig(repository, env)).rejects.toThrow('config.yaml:1: ttl has no value')
    write('worktree:\n  union_paths:\n')
    await expect(loadConfig(repository, env)).rejects.toThrow('config.yaml:2: worktree.union_paths has no value')
  })

  it('keeps every digit of what is no number of anything', async () => {
    for (const name of ['20261122181615000001', '007', '1e3', '0x10', 'null', '2024']) {
      set('base_branch', name)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await loadConfig(repository, env)).get('base_branch')).toBe(name)
    }
  })

  it('keeps comments, order and the way a key is written', () => {
    write(
      '# our rules\n\n# short: agents crash\nttl: 10m # ten\n\nlog.retention: 30d # dotted\nlog:\n  # nested\n  segment_size: 1MiB # one\n',
    )
    set('ttl', '20m')
    set('log.retention', '40d')
    set('log.segment_size', '2MiB')
    set('lock_wait', '5s')
    expect(readFileSync(file, 'utf8')).toBe(
      '# our rules\n\n# short: agents crash\nttl: 20m # ten\n\nlog.retention: 40d # dotted\nlog:\n  # nested\n  segment_size: 2MiB # one\nlock_wait: 5s\n',
    )
  })

  it('copes with a file that only has comments, and with an empty group', () => {
    write('# to be filled in\n')
    set('ttl', '10m')
    expect(readFileSync(file, 'utf8')).toContain('# to be filled in')
    write('log:\nttl: 1m\n')
    set('log.retention', '30d')
    expect(readFileSync(file, 'utf8')).toBe('log:\n  retention: 30d\nttl: 1m\n')
  })

  it('writes the user’s file for the user, through a link into dotfiles', async () => {
    expect(set('agent.id', 'human:Ann: x #1', true)).toEqual({ file: userFile, key: 'agent.id', previous: null, faults: [] })
    expect(statSync(userFile).mode & 0o777).toBe(0o600)
    expect((await loadConfig(repository, env)).get('agent.id')).toBe('human:Ann: x #1')
    const dotfile = join(base, 'dotfile.yaml')
    writeFileSync(dotfile, '# dots\n', { mode: 0o640 })
    rmSync(userFile)
    symlinkSync(dotfile, userFile)
    expect(set('ttl', '5m', true).file).toBe(dotfile)
    expect(lstatSync(userFile).isSymbolicLink()).toBe(true)
    expect(readFileSync(dotfile, 'utf8')).toContain('ttl: 5m')
    expect(statSync(dotfile).mode & 0o777).toBe(0o640)
  })

  it('refuses unknown keys, bad values, wrong layers and broken files, and then writes nothing', () => {
    const refused = (act: () => unknown, message: RegExp, hint = /./): void =>
      expect(act).toThrow(
        expect.objectContaining({
          name: 'Fault',
          code: 'usage',
          message: expect.stringMatching(message),
          hint: expect.stringMatching(hint),
        }),
      )
    refused(() => set('tll', '10m'), /"tll"/, /ttl/)
    refused(() => set('ttl', 'soon'), /ttl: "soon"/)
    refused(() => set('agent.id', 'human:all'), /agent\.id cannot be set for the whole repository/, /--user/)
    expect(() => set('ttl', '0')).toThrow(/1s to 30d/)
    expect(existsSync(dirname(file))).toBe(false)
    write('ttl: 10m\nnonsense: [1\n')
    expect(() => set('ttl', '20m')).toThrow(/config\.yaml:[23]/)
    expect(readFileSync(file, 'utf8')).toBe('ttl: 10m\nnonsense: [1\n')
    rmSync(file)
    symlinkSync(join(base, 'elsewhere'), file)
    expect(() => set('ttl', '10m')).toThrow(/symbolic link/)
    expect(existsSync(join(base, 'elsewhere'))).toBe(false)
  })

  it('mends a value in a file in which other things are wrong, and says what still is', () => {
    write('ttl: often\nnonsense: 1\n')
    const { previous, faults } = set('ttl', '20m')
    expect(previous).toBe('often')
    expect(faults.map(({ message }) => message)).toEqual([expect.stringContaining('config.yaml:2: there is no setting "nonsense"')])
    expect(readFileSync(file, 'utf8')).toBe('ttl: 20m\nnonsense: 1\n')
  })

  it('refuses a bare repository without --user', () => {
    const bare = join(base, 'bare.git')
    execFileSync('git', ['init', '-q', '--bare', bare])
    expect(() => setConfig(findRepository(bare, {}), 'ttl', '1m', { user: false, env })).toThrow(/is bare/)
  })
})
