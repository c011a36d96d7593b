import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { baseCache, baseCacheFile, baseMayHaveTickets } from '../../../src/host/base-commit.ts'
import { findRepository } from '../../../src/host/git.ts'

const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'lh-base-')))
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

const git = (...args: readonly string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
const commit = (): string => {
  git('-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '--allow-empty', '-m', 'x')
  return git('rev-parse', 'HEAD')
}

it('a base branch has no tickets for certain only if Git said so of its very commit', () => {
  git('init', '-q', '-b', 'main')
  const repository = findRepository(root, {})
  const may = (configured: string | null = null): boolean => baseMayHaveTickets(repository, configured)
  const know = (text: string): void => {
    fs.mkdirSync(path.dirname(baseCacheFile(repository)), { recursive: true })
    fs.writeFileSync(baseCacheFile(repository), text)
  }
  expect(may()).toBe(false)
  const first = commit()
  expect(may()).toBe(true)
  know(baseCache(first, [], []))
  expect(may()).toBe(false)
  expect(may('another')).toBe(false)
  know(`${baseCache(first, [], [])}more`)
  expect(may()).toBe(true)
  know(baseCache(first, ['20260101-000000-a'], ['20260101-000000-a b "c"\n']))
  expect(may()).toBe(true)
  know(baseCache(first, [], []))
  git('branch', 'older')
  const second = commit()
  expect(second).not.toBe(first)
  expect(may()).toBe(true)
  expect(may('older')).toBe(false)
})
