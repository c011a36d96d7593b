import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { findRepository } from '../../../src/host/git.ts'
import { isOurMark, leasedText, markLeased, markOf, unmark } from '../../../src/service/identity/mark.ts'

const all = realpathSync(mkdtempSync(join(tmpdir(), 'lh-mark-')))
let count = 0
let main = all
let linked = all

const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } })
const at = (path: string) => findRepository(path, {})

beforeEach(() => {
  main = join(all, String(count++), 'main')
  linked = join(main, '..', 'linked')
  mkdirSync(main, { recursive: true })
  git(main, 'init', '-q')
  git(main, 'commit', '-q', '--allow-empty', '-m', 'one')
  git(main, 'worktree', 'add', '-q', linked)
})
afterAll(() => rmSync(all, { recursive: true, force: true }))

describe('the mark of a leased worktree', () => {
  it('is what git worktree lock writes, byte by byte, and Git heeds it', () => {
    const text = leasedText('agent:a', 'ticket:fix-login')
    expect(text).toBe('leasehold: agent:a holds ticket:fix-login')
    expect(markLeased(at(linked), text)).toBe(true)
    const ours = readFileSync(join(at(linked).gitDir, 'locked'))
    expect(git(main, 'worktree', 'list', '--porcelain')).toContain(`locked ${text}\n`)
    expect(() => git(main, 'worktree', 'remove', linked)).toThrow(text)
    expect(() => git(main, 'worktree', 'move', linked, `${linked}2`)).toThrow(text)
    git(main, 'worktree', 'unlock', linked)
    git(main, 'worktree', 'lock', '--reason', text, linked)
    expect(readFileSync(join(at(linked).gitDir, 'locked'))).toEqual(ours)
    expect(markLeased(at(linked), leasedText('agent:b', 'ticket:x'))).toBe(true)
    expect(markOf(at(linked))).toBe('leasehold: agent:b holds ticket:x')
    expect([unmark(at(linked)), unmark(at(linked)), markOf(at(linked))]).toEqual([true, false, null])
    git(main, 'worktree', 'remove', linked)
  })

  it('never takes the place of somebody else’s lock, and is never put on the main worktree', () => {
    git(main, 'worktree', 'lock', '--reason', 'on a stick', linked)
    expect(markLeased(at(linked), leasedText('agent:a', 'ticket:x'))).toBe(false)
    expect(unmark(at(linked))).toBe(false)
    expect(markOf(at(linked))).toBe('on a stick')
    git(main, 'worktree', 'unlock', linked)
    writeFileSync(join(at(linked).gitDir, 'locked'), '')
    expect(markLeased(at(linked), leasedText('agent:a', 'ticket:x'))).toBe(false)
    expect(markLeased(at(main), leasedText('agent:a', 'ticket:x'))).toBe(false)
    expect(markLeased(at(linked), 'something else')).toBe(false)
  })

  it('is one printable line, whatever an agent is called', () => {
    expect(leasedText('agent:a\nb\u001b[31m', 'ticket:x')).toBe(String.raw`leasehold: agent:a\u{a}b\u{1b}[31m holds ticket:x`)
    expect(isOurMark(leasedText('a:b', 'x'))).toBe(true)
    expect([null, '', 'mine', 'not leasehold: x'].map(isOurMark)).toEqual([false, false, false, false])
  })
})
