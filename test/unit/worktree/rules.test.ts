import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { settings } from '../../../src/service/config/schema.ts'
import { ensureUnion } from '../../../src/service/worktree/attributes.ts'
import { isInside, realPath } from '../../../src/service/worktree/entries.ts'
import { filesBelow } from '../../../src/service/worktree/files.ts'
import { cleanEnvironment } from '../../../src/service/worktree/git.ts'
import { refPart } from '../../../src/service/worktree/salvage.ts'

const all = realpathSync(mkdtempSync(join(tmpdir(), 'lh-worktree-rules-')))
afterAll(() => rmSync(all, { recursive: true, force: true }))

describe('small rules of worktrees', () => {
  it('a salvage is filed under a name that Git takes, whatever the directory is called', () => {
    for (const [name, part] of [
      ['fix-login', 'fix-login'],
      ['by hand', 'by-hand'],
      ['a/b', 'a-b'],
      ['..', 'worktree'],
      ['-x.lock', 'x'],
      ['new\nline', 'new-line'],
      ['a..b', 'a.b'],
      ['.hidden', 'hidden'],
      ['~^:', 'worktree'],
    ] as const)
      expect(refPart(name), name).toBe(part)
  })

  it('inside is the directory or below it, not beside it', () => {
    expect([isInside('/a/b', '/a'), isInside('/a', '/a'), isInside('/ab', '/a'), isInside('/a', '/a/b'), isInside('/a', '/')]).toEqual([
      true,
      true,
      false,
      false,
      true,
    ])
  })

  it('a path that is not there yet has no symbolic link in what is there', () => {
    mkdirSync(join(all, 'real'))
    symlinkSync('real', join(all, 'link'))
    expect(realPath(join(all, 'link', 'new', 'deep'))).toBe(join(all, 'real', 'new', 'deep'))
    expect(realPath('/')).toBe('/')
    expect(realPath('/no-such-directory-here')).toBe('/no-such-directory-here')
  })

  it('Git is free of what a hook has set, and keeps what a person has', () => {
    const kept = { GIT_SSH_COMMAND: 'ssh', GIT_AUTHOR_NAME: 'Ann', GIT_CONFIG_GLOBAL: '/x', PATH: '/bin' }
    const gone = {
      GIT_DIR: '.git',
      GIT_INDEX_FILE: 'i',
      GIT_WORK_TREE: '/',
      GIT_PREFIX: 'a/',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'a.b',
    }
    expect(cleanEnvironment({ ...kept, ...gone })).toEqual({ ...kept, LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0' })
  })

  it('the files of a worktree are all but its own .git; repositories inside are named, not read', () => {
    const top = join(all, 'top')
    for (const directory of ['a/.git', 'b/c']) mkdirSync(join(top, directory), { recursive: true })
    for (const file of ['.git', 'a/hidden', 'b/.git-not', 'b/c/d', 'skipped']) writeFileSync(join(top, file), 'x')
    symlinkSync('nowhere', join(top, 'link'))
    const { files, nested } = filesBelow(top, new Set(['skipped']))
    expect([...files.keys()].toSorted()).toEqual(['b/.git-not', 'b/c/d', 'link'])
    expect(nested).toEqual(['a'])
  })

  it('lines for union merges are added once, and everything else stays to the byte', () => {
    const file = join(all, '.gitattributes')
    expect(ensureUnion(all, ['a.txt'])).toBe(true)
    expect(ensureUnion(all, ['a.txt'])).toBe(false)
    writeFileSync(file, Buffer.from('# ours \xff\r\nb   merge=union', 'latin1'))
    expect(ensureUnion(all, ['a.txt', 'b', 'c/**'])).toBe(true)
    expect(readFileSync(file, 'latin1')).toBe('# ours \xff\r\nb   merge=union\r\na.txt merge=union\r\nc/** merge=union\r\n')
  })

  it('settings refuse what could not be used', () => {
    for (const text of ['', ' a', 'a\nb', 'a\0'])
      expect(() => settings['worktree.directory'].parse(text, 'w'), text).toThrow('no directory')
    for (const text of ['a b', '-a', '/', 'a..', 'x:', 'a@{'])
      expect(() => settings['worktree.branch_prefix'].parse(text, 'w'), text).toThrow('branch')
    for (const text of ['a b', '#x', '!x', '[attr]x', '"q"', '/', 'a,b c'])
      expect(() => settings['worktree.union_paths'].parse(text, 'w'), text).toThrow('pattern')
  })
})
