import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { findRepository } from '../../../src/host/git.ts'
import { ensureWorktree, foundWorktree, type Purpose } from '../../../src/service/identity/worktree.ts'
import { claimSet, purposeOf } from '../../../src/service/identity/purpose.ts'

const all = realpathSync(mkdtempSync(join(tmpdir(), 'lh-purpose-')))
let count = 0
let base = all
let main = all
let linked = all

const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const at = (path: string) => findRepository(path, {})
const fileOf = (path: string): string => join(at(path).gitDir, 'leasehold', 'worktree.json')
const onDisk = (path: string): Record<string, unknown> => JSON.parse(readFileSync(fileOf(path), 'utf8')) as Record<string, unknown>
const purpose: Purpose = { ticket: 'fix-login-01abc', branch: 'agents/Fix-Login', base: 'main', ownBranch: true }

beforeEach(() => {
  base = join(all, String(count++))
  main = join(base, 'main')
  linked = join(base, 'linked')
  mkdirSync(main, { recursive: true })
  git(main, 'init', '-q', '-b', 'main')
  git(main, 'commit', '-q', '--allow-empty', '-m', 'one')
  git(main, 'worktree', 'add', '-q', linked)
})
afterAll(() => rmSync(all, { recursive: true, force: true }))

describe('what a worktree was made for', () => {
  it('is nothing where we did not make it', () => {
    expect(purposeOf(at(linked))).toBeNull()
    ensureWorktree(at(linked))
    expect(purposeOf(at(linked))).toBeNull()
    expect(claimSet(at(linked), 'ticket:fix-login-01abc')).toEqual(['ticket:fix-login-01abc'])
  })

  it('is written with the identity, and makes a claim of that ticket take three', () => {
    const { worktreeId } = foundWorktree(at(linked), purpose)
    expect(ensureWorktree(at(linked))).toEqual({ worktreeId, root: linked, written: true, purpose })
    expect(onDisk(linked)).toMatchObject({ worktree_id: worktreeId, ticket: 'fix-login-01abc', branch: 'agents/Fix-Login', base: 'main' })
    const three = ['ticket:fix-login-01abc', `worktree:${worktreeId.slice(3)}`, 'branch:agents/Fix-Login']
    expect(claimSet(at(linked), 'ticket:fix-login-01abc')).toEqual(three)
    expect(claimSet(at(linked), 'ticket:another')).toEqual(['ticket:another'])
    expect(claimSet(at(main), 'ticket:fix-login-01abc')).toEqual(['ticket:fix-login-01abc'])
  })

  it('folds the branch where the file system does', () => {
    foundWorktree(at(linked), purpose)
    git(main, 'config', 'core.ignorecase', 'true')
    expect(claimSet(at(linked), 'ticket:fix-login-01abc')[2]).toBe('branch:agents/fix-login')
  })

  it('is known without a ticket, and without a base', () => {
    foundWorktree(at(linked), { ticket: null, branch: 'agents/spike', base: null, ownBranch: false })
    expect(Object.keys(onDisk(linked))).toEqual(['schema_version', 'worktree_id', 'root', 'created_at', 'branch', 'own_branch'])
    expect(purposeOf(at(linked))).toEqual({ ticket: null, branch: 'agents/spike', base: null, ownBranch: false })
    expect(claimSet(at(linked), 'ticket:null')).toEqual(['ticket:null'])
  })

  it('stays through git worktree move', () => {
    const { worktreeId } = foundWorktree(at(linked), purpose)
    const moved = join(base, 'moved')
    git(main, 'worktree', 'move', linked, moved)
    expect(purposeOf(at(moved))).toEqual(purpose)
    expect(ensureWorktree(at(moved))).toMatchObject({ worktreeId, purpose, warning: expect.stringContaining('moved') })
    expect(onDisk(moved)).toMatchObject({ root: moved, ticket: 'fix-login-01abc', branch: 'agents/Fix-Login', base: 'main' })
    expect(claimSet(at(moved), 'ticket:fix-login-01abc')).toHaveLength(3)
  })

  it('is nothing in a copy', () => {
    foundWorktree(at(linked), purpose)
    const [other, copy] = [join(base, 'other'), join(base, 'copy')]
    git(main, 'worktree', 'add', '-q', '--detach', other)
    cpSync(join(at(linked).gitDir, 'leasehold'), join(at(other).gitDir, 'leasehold'), { recursive: true })
    expect(purposeOf(at(other))).toBeNull()
    ensureWorktree(at(other))
    expect(onDisk(other)).not.toHaveProperty('ticket')
    expect(onDisk(other)).not.toHaveProperty('branch')
    // Two directories with one git directory.
    cpSync(linked, copy, { recursive: true })
    expect(purposeOf(at(copy))).toBeNull()
    expect(claimSet(at(copy), 'ticket:fix-login-01abc')).toEqual(['ticket:fix-login-01abc'])
    expect(purposeOf(at(linked))).toEqual(purpose)
  })

  it('is nothing when it is badly said; the id stays', () => {
    const { worktreeId } = foundWorktree(at(linked), purpose)
    for (const bad of [{ ticket: '../x' }, { ticket: 7 }, { branch: '' }, { branch: null }, { base: 1 }]) {
      writeFileSync(fileOf(linked), JSON.stringify({ ...onDisk(linked), ...purpose, ...bad }))
      expect(ensureWorktree(at(linked))).toEqual({ worktreeId, root: linked, written: true, purpose: null })
    }
  })
})
