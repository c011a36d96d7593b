import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findRepository } from '../../../src/host/git.ts'

const base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-git-')))
const main = join(base, 'main')
const gitEnv = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=T', '-c', 'user.email=t@example.org', '-c', 'protocol.file.allow=always', ...args], {
    cwd,
    encoding: 'utf8',
    env: gitEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim()

/** What Git itself says, in our words. */
function asGitSays(cwd: string, env: NodeJS.ProcessEnv = {}): { gitDir: string; commonDir: string; root: string | null } {
  const ask = (what: string): string =>
    execFileSync('git', ['rev-parse', '--path-format=absolute', what], { cwd, encoding: 'utf8', env: { ...gitEnv, ...env } }).trim()
  const bare = ask('--is-bare-repository') === 'true'
  return {
    gitDir: realpathSync(ask('--git-dir')),
    commonDir: realpathSync(ask('--git-common-dir')),
    root: bare ? null : ask('--show-toplevel'),
  }
}

function failure(start: string, env: NodeJS.ProcessEnv = {}): { code: string; message: string; hint: string } {
  try {
    findRepository(start, env)
  } catch (error) {
    return error as { code: string; message: string; hint: string }
  }
  throw new Error(`${start} was taken for a repository`)
}

beforeAll(() => {
  mkdirSync(main)
  git(main, 'init', '-q', '-b', 'main')
  mkdirSync(join(main, 'deep', 'er'), { recursive: true })
  writeFileSync(join(main, 'deep', 'er', 'file'), 'x')
  git(main, 'add', '.')
  git(main, 'commit', '-q', '-m', 'one')
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

describe('findRepository', () => {
  it('finds the main worktree from its top, from below, through symbolic links and relative spellings', () => {
    const link = join(base, 'link')
    symlinkSync(join(main, 'deep'), link)
    const expected = {
      gitDir: join(main, '.git'),
      commonDir: join(main, '.git'),
      root: main,
      kind: 'main',
      shared: false,
      ignoreCase: false,
    }
    for (const start of [main, join(main, 'deep', 'er'), link, join(link, 'er'), join(main, 'deep', '..', 'deep')]) {
      expect(findRepository(start, {})).toEqual(expected)
    }
    expect(findRepository('.', {}).root).toBe(asGitSays('.').root)
    expect(expected).toMatchObject(asGitSays(join(main, 'deep')))
  })

  it('finds the worktree from inside its git directory', () => {
    for (const inside of ['.git', '.git/refs/heads', '.git/hooks']) {
      expect(findRepository(join(main, inside), {})).toMatchObject({ gitDir: join(main, '.git'), root: main, kind: 'main' })
    }
  })

  it('finds linked worktrees, with the shared directory in common, also from inside their git directory', () => {
    const linked = join(base, 'linked')
    git(main, 'worktree', 'add', '-q', linked)
    const found = findRepository(linked, {})
    expect(found).toMatchObject({ ...asGitSays(linked), kind: 'linked' })
    expect(found.commonDir).toBe(join(main, '.git'))
    expect(findRepository(found.gitDir, {})).toEqual(found)
  })

  it('follows relative paths in a .git file', () => {
    const linked = join(base, 'relative')
    git(main, 'worktree', 'add', '-q', linked)
    writeFileSync(join(linked, '.git'), 'gitdir: ../main/.git/worktrees/relative\n')
    expect(findRepository(linked, {})).toMatchObject({ gitDir: join(main, '.git', 'worktrees', 'relative'), root: linked, kind: 'linked' })
  })

  it('finds linked worktrees whose paths have newlines: only the last one ends what a file of Git says', () => {
    const [odd, linked] = [join(base, 'o\nd', 'd'), join(base, 'l\n', 'i\nnked')]
    git(base, 'init', '-q', '-b', 'main', odd)
    git(odd, 'commit', '-q', '--allow-empty', '-m', 'one')
    git(odd, 'worktree', 'add', '-q', '-b', 'odd', linked)
    const found = findRepository(linked, {})
    expect(found).toMatchObject({ commonDir: join(odd, '.git'), root: linked, kind: 'linked' })
    expect(findRepository(found.gitDir, {})).toEqual(found)
  })

  it('gives a submodule its own shared directory, also inside a linked worktree and from its git directory', () => {
    const outer = join(base, 'outer')
    mkdirSync(outer)
    git(outer, 'init', '-q', '-b', 'main')
    git(outer, 'submodule', '--quiet', 'add', main, 'libs/sub')
    git(outer, 'commit', '-q', '-m', 'sub')
    const sub = join(outer, 'libs', 'sub')
    const found = findRepository(join(sub, 'deep'), {})
    expect(found).toMatchObject({ ...asGitSays(sub), kind: 'submodule' })
    expect(found.commonDir).toBe(join(outer, '.git', 'modules', 'libs', 'sub'))
    expect(findRepository(found.gitDir, {})).toEqual(found)
    const linked = join(base, 'outer-linked')
    git(outer, 'worktree', 'add', '-q', linked)
    git(linked, 'submodule', '--quiet', 'update', '--init')
    expect(findRepository(join(linked, 'libs', 'sub'), {})).toMatchObject({ ...asGitSays(join(linked, 'libs', 'sub')), kind: 'submodule' })
  })

  it('finds a git directory kept elsewhere (--separate-git-dir)', () => {
    const [work, elsewhere] = [join(base, 'work'), join(base, 'elsewhere')]
    git(base, 'init', '-q', '--separate-git-dir', elsewhere, work)
    expect(findRepository(work, {})).toMatchObject({ gitDir: elsewhere, commonDir: elsewhere, root: work, kind: 'main' })
    // From the inside nobody can tell where the worktree is.
    expect(findRepository(elsewhere, {})).toMatchObject({ gitDir: elsewhere, root: null, kind: 'bare' })
  })

  it('finds a bare repository, its linked worktrees, and a repository made bare by configuration', () => {
    const bare = join(base, 'bare.git')
    git(base, 'clone', '-q', '--bare', main, bare)
    expect(findRepository(join(bare, 'objects'), {})).toMatchObject({ gitDir: bare, commonDir: bare, root: null, kind: 'bare' })
    const linked = join(base, 'of-bare')
    git(bare, 'worktree', 'add', '-q', linked)
    expect(findRepository(linked, {})).toMatchObject({ ...asGitSays(linked), kind: 'linked', commonDir: bare })
    const hub = join(base, 'hub')
    mkdirSync(hub)
    git(base, 'clone', '-q', '--bare', main, join(hub, '.git'))
    expect(findRepository(hub, {})).toMatchObject({ gitDir: join(hub, '.git'), root: null, kind: 'bare' })
  })

  it('honours core.worktree, also in quotes, with a comment, and from config.worktree', () => {
    const [place, tree] = [join(base, 'place'), join(base, 'tree #1')]
    mkdirSync(place)
    mkdirSync(tree)
    git(place, 'init', '-q')
    git(place, 'config', 'core.worktree', '../../tree #1')
    expect(findRepository(place, {})).toMatchObject({ root: tree, kind: 'main' })
    expect(findRepository(place, {}).root).toBe(asGitSays(place).root)
    git(place, 'config', '--unset', 'core.worktree')
    git(place, 'config', 'extensions.worktreeConfig', 'true')
    git(place, 'config', '--worktree', 'core.worktree', tree)
    expect(findRepository(place, {}).root).toBe(tree)
    expect(asGitSays(place).root).toBe(tree)
  })

  it('reads core.sharedRepository and core.ignorecase', () => {
    const shared = join(base, 'shared')
    git(base, 'init', '-q', '--shared=group', shared)
    git(shared, 'config', 'core.ignorecase', 'true')
    expect(findRepository(shared, {})).toMatchObject({ shared: true, ignoreCase: true })
    writeFileSync(join(shared, '.git', 'config'), '[core] sharedRepository = umask ; no\n\tignoreCase\n')
    expect(findRepository(shared, {})).toMatchObject({ shared: false, ignoreCase: true })
  })

  it('lets the environment decide, as Git does', () => {
    const linked = join(base, 'from-hook')
    git(main, 'worktree', 'add', '-q', linked)
    const gitDir = join(main, '.git', 'worktrees', 'from-hook')
    expect(findRepository(linked, { ...gitEnv, GIT_DIR: gitDir })).toMatchObject({
      gitDir,
      commonDir: join(main, '.git'),
      root: linked,
      kind: 'linked',
    })
    expect(findRepository(base, { ...gitEnv, GIT_DIR: join(main, '.git'), GIT_WORK_TREE: main })).toMatchObject({
      root: main,
      kind: 'main',
    })
    expect(findRepository(base, { ...gitEnv, GIT_DIR: join(base, 'bare.git') })).toMatchObject({ root: null, kind: 'bare' })
    const wrong = failure(main, { ...gitEnv, GIT_DIR: join(base, 'nothing') })
    expect(wrong).toMatchObject({ name: 'Fault', code: 'usage' })
    expect(wrong.message).toContain(`GIT_DIR=${join(base, 'nothing')}`)
  })

  it('refuses politely outside Git, and creates nothing', () => {
    const outside = join(base, 'outside')
    mkdirSync(outside)
    const refused = failure(outside)
    expect(refused).toMatchObject({ name: 'Fault', code: 'usage' })
    expect(refused.message).toContain(outside)
    expect(refused.message).toContain('Git')
    expect(refused.hint).toContain('git init')
    expect(failure(join(base, 'not-there')).message).toContain('not-there')
    expect(failure(join(main, 'deep', 'er', 'file')).message).toContain('not a directory')
  })

  it('stops at GIT_CEILING_DIRECTORIES, but not at the start itself', () => {
    const deep = join(main, 'deep')
    expect(failure(deep, { GIT_CEILING_DIRECTORIES: `relative:${main}` }).code).toBe('usage')
    expect(findRepository(main, { GIT_CEILING_DIRECTORIES: main }).root).toBe(main)
  })

  it('walks past a .git directory that is none, and stops at a damaged .git file', () => {
    const nested = join(main, 'nested')
    mkdirSync(join(nested, '.git'), { recursive: true })
    expect(findRepository(nested, {}).root).toBe(main)
    rmSync(join(nested, '.git'), { recursive: true })
    for (const [content, words] of [
      ['', 'gitdir: <path>'],
      ['gitdir: /not/there\n', '/not/there'],
      ['hello', 'gitdir: <path>'],
    ] as const) {
      writeFileSync(join(nested, '.git'), content)
      expect(failure(nested)).toMatchObject({ name: 'Fault', code: 'usage', message: expect.stringContaining(words) })
      expect(failure(nested).hint).toContain('git worktree repair')
    }
    rmSync(nested, { recursive: true })
  })

  it('follows a worktree that Git moved, and a repository that was renamed or copied', () => {
    const [before, after] = [join(base, 'before'), join(base, 'after')]
    git(main, 'worktree', 'add', '-q', before)
    const { gitDir } = findRepository(before, {})
    git(main, 'worktree', 'move', before, after)
    expect(findRepository(after, {})).toMatchObject({ gitDir, root: after, kind: 'linked' })
    const copy = join(base, 'copy')
    cpSync(main, copy, { recursive: true })
    expect(findRepository(copy, {})).toMatchObject({ gitDir: join(copy, '.git'), root: copy })
    const renamed = join(base, 'renamed')
    renameSync(copy, renamed)
    expect(findRepository(join(renamed, 'deep'), {})).toMatchObject({ gitDir: join(renamed, '.git'), root: renamed })
  })
})
