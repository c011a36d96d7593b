import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, it, vi } from 'vitest'
import { findRepository } from '../../../src/host/git.ts'
import { hookSettings } from '../../../src/service/session-lock/settings.ts'

const home = realpathSync(mkdtempSync(join(tmpdir(), 'lh-hook-settings-')))
afterAll(() => rmSync(home, { recursive: true }))
afterEach(() => void vi.restoreAllMocks())

it.each([
  ['new', 0],
  ['of yesterday', 86_400_000],
])('outside Git the user’s file counts when it is %s', async (_age, ageMs) => {
  mkdirSync(join(home, '.config/leasehold'), { recursive: true })
  writeFileSync(
    join(home, '.config/leasehold/config.yaml'),
    'session_lock: {outside_git: directory, fail: closed, ttl: 42s, enabled: false}\n',
  )
  const now = Date.now() + ageMs
  vi.spyOn(Date, 'now').mockReturnValue(now)
  expect(await hookSettings(null, { HOME: home })).toEqual({
    enabled: false,
    fail: 'closed',
    scope: 'workspace',
    ttlMs: 42_000,
    outsideGit: 'directory',
    fault: null,
  })
})

it('a fault in the repository’s file leaves what else it says, and names the line', async () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'lh-hook-settings-repository-')))
  try {
    execFileSync('git', ['init', '--quiet', root])
    mkdirSync(join(root, '.leasehold'))
    const file = join(root, '.leasehold/config.yaml')
    writeFileSync(file, 'session_lock.fail: closed\nnonsense: 1\nsession_lock.ttl: 7m\nsession_lock.scope: paths\n')
    const found = await hookSettings(findRepository(root, {}), { HOME: root })
    expect(found).toMatchObject({ enabled: true, fail: 'closed', ttlMs: 420_000, scope: 'workspace' })
    expect(found.fault).toContain(`${file}:2`)
  } finally {
    rmSync(root, { recursive: true })
  }
})
