import { execFile, execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findRepository, type Repository } from '../../../src/host/git.ts'
import { ensureWorktree, readWorktree, type WorktreeIdentity } from '../../../src/service/identity/worktree.ts'
import { requires } from '../../support/skip.ts'

const needsRoot = requires(process.platform === 'linux' && process.getuid?.() === 0, 'needs root, to act as another user')
const all = realpathSync(mkdtempSync(join(tmpdir(), 'lh-worktree-')))
let base = all
let main = all
let count = 0

const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const at = (path: string): Repository => findRepository(path, {})
const ensure = (path: string): WorktreeIdentity => ensureWorktree(at(path))
const read = (path: string): WorktreeIdentity => readWorktree(at(path))
const recordOf = (path: string): string => join(at(path).gitDir, 'leasehold', 'worktree.json')
const onDisk = (path: string): Record<string, unknown> => JSON.parse(readFileSync(recordOf(path), 'utf8')) as Record<string, unknown>

beforeEach(() => {
  base = join(all, String(count++))
  main = join(base, 'main')
  mkdirSync(main, { recursive: true })
  git(main, 'init', '-q')
  git(main, 'commit', '-q', '--allow-empty', '-m', 'one')
})
afterEach(() => rmSync(base, { recursive: true, force: true }))
afterAll(() => rmSync(all, { recursive: true, force: true }))

describe('worktree identity', () => {
  it('is shown before it is written, and is the same then', () => {
    const shown = read(main)
    expect(shown).toEqual({ worktreeId: expect.stringMatching(/^wt:[0-9a-f]{8}$/), root: main, written: false, purpose: null })
    expect(readdirSync(join(main, '.git'))).not.toContain('leasehold')
    expect(read(join(main, '.git'))).toEqual(shown)
    expect(ensure(main)).toEqual({ ...shown, written: true })
    expect(read(main)).toEqual({ ...shown, written: true })
    expect(onDisk(main)).toEqual({
      schema_version: 1,
      worktree_id: shown.worktreeId,
      root: main,
      created_at: expect.stringMatching(/^20.*Z$/),
    })
    expect(statSync(recordOf(main)).mode & 0o777).toBe(0o600)
    expect(statSync(join(main, '.git', 'leasehold')).mode & 0o777).toBe(0o700)
    expect(readdirSync(join(main, '.git', 'leasehold'))).toEqual(['worktree.json'])
  })

  it('does not write what is written', () => {
    ensure(main)
    const before = statSync(recordOf(main), { bigint: true })
    ensure(main)
    expect(statSync(recordOf(main), { bigint: true })).toMatchObject({ ino: before.ino, mtimeNs: before.mtimeNs })
  })

  it('differs between worktrees, and for a worktree made anew at the same place', () => {
    const linked = join(base, 'linked')
    git(main, 'worktree', 'add', '-q', linked)
    const first = ensure(linked).worktreeId
    expect(first).not.toBe(ensure(main).worktreeId)
    git(main, 'worktree', 'remove', linked)
    git(main, 'worktree', 'add', '-q', '-f', linked, '--detach')
    expect(read(linked).worktreeId).not.toBe(first)
  })

  it('is that of the git directory in a bare repository, and group-readable in a shared one', () => {
    const bare = join(base, 'bare.git')
    git(base, 'init', '-q', '--bare', '--shared=group', bare)
    expect(ensure(bare)).toMatchObject({ root: bare, written: true })
    expect(statSync(recordOf(bare)).mode & 0o777).toBe(0o660)
    expect(statSync(join(bare, 'leasehold')).mode & 0o777).toBe(0o770)
  })

  it('stays through git worktree move, with one warning', () => {
    const [before, after] = [join(base, 'before'), join(base, 'after')]
    git(main, 'worktree', 'add', '-q', before)
    const { worktreeId } = ensure(before)
    const { created_at } = onDisk(before)
    git(main, 'worktree', 'move', before, after)
    const warning = expect.stringContaining(before) as string
    expect(read(after)).toEqual({ worktreeId, root: after, written: false, purpose: null, warning })
    expect(ensure(after)).toEqual({ worktreeId, root: after, written: true, purpose: null, warning })
    expect(ensure(after)).toEqual({ worktreeId, root: after, written: true, purpose: null })
    expect(onDisk(after)).toMatchObject({ worktree_id: worktreeId, root: after, created_at })
  })

  it('stays when the whole repository is renamed', () => {
    const { worktreeId } = ensure(main)
    const renamed = join(base, 'renamed')
    renameSync(main, renamed)
    expect(ensure(renamed)).toMatchObject({ worktreeId, warning: expect.stringContaining('moved') })
    expect(ensure(renamed)).toEqual({ worktreeId, root: renamed, written: true, purpose: null })
  })

  it('is new in a copy of the whole repository, and stays in the original', () => {
    const { worktreeId } = ensure(main)
    const copy = join(base, 'copy')
    cpSync(main, copy, { recursive: true })
    const shown = read(copy)
    expect(shown.worktreeId).not.toBe(worktreeId)
    expect(shown.warning).toContain(main)
    expect(ensure(copy)).toEqual({ ...shown, written: true })
    expect(ensure(copy)).toEqual({ worktreeId: shown.worktreeId, root: copy, written: true, purpose: null })
    expect(ensure(main)).toEqual({ worktreeId, root: main, written: true, purpose: null })
  })

  it('is new where only the file was copied from another worktree, also one that has moved since', () => {
    const [one, two, three] = [join(base, 'one'), join(base, 'two'), join(base, 'three')]
    for (const linked of [one, two]) git(main, 'worktree', 'add', '-q', '--detach', linked)
    const { worktreeId } = ensure(one)
    cpSync(join(at(one).gitDir, 'leasehold'), join(at(two).gitDir, 'leasehold'), { recursive: true })
    git(main, 'worktree', 'move', one, three)
    const second = ensure(two)
    expect(second).toMatchObject({ written: true, warning: expect.stringContaining('copy') })
    expect(second.worktreeId).not.toBe(worktreeId)
    expect(ensure(three).worktreeId).toBe(worktreeId)
    expect(ensure(two)).toEqual({ worktreeId: second.worktreeId, root: two, written: true, purpose: null })
  })

  it('is not fought over by two directories with one git directory', () => {
    const [linked, copy] = [join(base, 'linked'), join(base, 'copied')]
    git(main, 'worktree', 'add', '-q', linked)
    const { worktreeId } = ensure(linked)
    cpSync(linked, copy, { recursive: true })
    const other = ensure(copy)
    expect(other.worktreeId).not.toBe(worktreeId)
    expect(other.warning).toContain('git worktree add')
    expect(ensure(linked)).toEqual({ worktreeId, root: linked, written: true, purpose: null })
    expect(ensure(copy)).toEqual(other)
  })

  it('replaces a damaged file, and a symbolic link in its place, touching nothing else', () => {
    const { worktreeId } = ensure(main)
    for (const broken of [
      '',
      '{"schema_version":1',
      '[]',
      'null',
      '{"schema_version":1,"worktree_id":"wt:../../x","root":"/","created_at":""}',
    ]) {
      writeFileSync(recordOf(main), broken)
      expect(ensure(main)).toEqual({ worktreeId, root: main, written: true, purpose: null, warning: expect.stringContaining('damaged') })
      expect(ensure(main)).toEqual({ worktreeId, root: main, written: true, purpose: null })
    }
    const victim = join(base, 'victim')
    writeFileSync(victim, 'mine')
    rmSync(recordOf(main))
    symlinkSync(victim, recordOf(main))
    expect(ensure(main).worktreeId).toBe(worktreeId)
    expect(readFileSync(victim, 'utf8')).toBe('mine')
    rmSync(join(main, '.git', 'leasehold'), { recursive: true })
    symlinkSync(base, join(main, '.git', 'leasehold'))
    expect(() => ensure(main)).toThrow(expect.objectContaining({ code: 'unavailable' }))
    expect(readdirSync(base)).not.toContain('worktree.json')
  })

  it('is one id for eight first commands at once', { timeout: 60_000 }, async () => {
    const bundle = execFileSync(
      'npx',
      ['esbuild', 'test/unit/identity/ensure-in-process.ts', '--bundle', '--platform=node', '--format=cjs', '--log-level=error'],
      {
        encoding: 'utf8',
      },
    )
    const program = join(base, 'ensure.cjs')
    writeFileSync(program, bundle)
    for (let round = 0; round < 5; round++) {
      rmSync(join(main, '.git', 'leasehold'), { recursive: true, force: true })
      const startAt = String(Date.now() + 400)
      const run = async (): Promise<string> => (await promisify(execFile)(process.execPath, [program, main, startAt])).stdout
      const ids = await Promise.all(Array.from({ length: 8 }, run))
      expect(new Set(ids)).toEqual(new Set([read(main).worktreeId]))
      expect(readdirSync(join(main, '.git', 'leasehold'))).toEqual(['worktree.json'])
    }
  })

  needsRoot.it('says what to open when the git directory may not be written', () => {
    chmodSync(all, 0o755)
    process.seteuid?.(65_534)
    try {
      expect(read(main).written).toBe(false)
      expect(() => ensure(main)).toThrow(
        expect.objectContaining({
          code: 'unavailable',
          message: expect.stringContaining('.git/leasehold'),
          hint: expect.stringContaining('writable_roots'),
        }),
      )
    } finally {
      process.seteuid?.(0)
    }
  })
})
