import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, folder, git, parse } from '../support/cli.ts'
import { expectFinished, worked } from '../support/finish.ts'
import { commit } from '../support/tickets.ts'
import { head, heldNow, read, save, type Shop } from '../support/work.ts'

// What Git overwrites without a word when it merges or moves a branch, `lh work --finish` does not.

/** It is refused, and the base branch has not moved. */
async function refused({ repo, a }: Shop): Promise<Doc> {
  const before = head(repo.dir, 'main')
  const { code, stdout } = await a.run('--json work --finish fix-login')
  expect(code, stdout).toBe(8)
  expect(head(repo.dir, 'main')).toBe(before)
  expect(await heldNow(a)).toHaveLength(3)
  return parse(stdout).error
}

const exclude = ({ repo }: Shop, ...lines: readonly string[]): void =>
  fs.appendFileSync(path.join(repo.dir, '.git/info/exclude'), `${lines.join('\n')}\n`)

describe('work --finish, of what Git would overwrite', () => {
  it('spares ignored files of the worktree where the base branch brings in others', async () => {
    const all = await worked()
    const { repo, place, a } = all
    exclude(all, '.env', 'in')
    fs.mkdirSync(path.join(repo.dir, 'in'))
    for (const name of ['.env', 'in/deep']) fs.writeFileSync(path.join(repo.dir, name), 'of the base branch\n')
    git(repo.dir, 'add', '-f', '.env', 'in')
    commit(repo.dir, 'ignored ones')
    fs.writeFileSync(path.join(place, '.env'), 'secret\n')
    fs.writeFileSync(path.join(place, 'in'), 'a file where a directory is to be\n')
    expect(await refused(all)).toMatchObject({
      message: expect.stringMatching(/main has moved on, .* not committed: \.env, in$/),
      hint: expect.stringContaining('move them away, then: lh work --finish'),
    })
    expect([read(place, '.env'), read(place, 'in')]).toEqual(['secret\n', 'a file where a directory is to be\n'])
    for (const name of ['.env', 'in']) fs.rmSync(path.join(place, name))
    const done = await a.run('work --finish fix-login')
    expect(done.code, done.stderr).toBe(0)
    await expectFinished(all)
  })

  it('spares an ignored file that is tracked no more, where the base branch has changed it; one it did not change is in nobody’s way', async () => {
    const all = await worked()
    const { repo, place, a } = all
    for (const name of ['settings', 'same']) save(repo.dir, name, 'shared\n')
    git(place, 'merge', '-q', '--no-edit', 'main')
    git(place, 'rm', '-q', '--cached', 'settings', 'same')
    git(place, 'commit', '-q', '-m', 'not tracked')
    exclude(all, 'settings', 'same')
    for (const name of ['settings', 'same']) fs.writeFileSync(path.join(place, name), 'my own\n')
    fs.writeFileSync(path.join(repo.dir, 'settings'), 'changed\n')
    git(repo.dir, 'commit', '-q', '-a', '-m', 'change it')
    expect((await refused(all)).message).toMatch(/not committed: settings$/)
    expect(read(place, 'settings')).toBe('my own\n')
    git(repo.dir, 'revert', '--no-edit', 'HEAD')
    expect(read(place, 'same')).toBe('my own\n')
    const done = await a.run('work --finish --keep fix-login')
    expect(done.code, done.stderr).toBe(0)
    expect([read(place, 'settings'), read(place, 'same')]).toEqual(['my own\n', 'my own\n'])
  })

  it('spares what a file system monitor hides where the base branch is checked out', async () => {
    const all = await worked()
    const { repo, place, a } = all
    const monitor = path.join(folder('monitor-'), 'monitor')
    fs.writeFileSync(monitor, "#!/bin/sh\nprintf 'token\\0'\n", { mode: 0o755 })
    save(place, 'file', 'two\n')
    git(repo.dir, 'config', 'core.fsmonitor', monitor)
    for (let time = 0; time < 2; time++) git(repo.dir, 'status')
    fs.writeFileSync(path.join(repo.dir, 'file'), 'precious\n')
    expect(git(repo.dir, 'status', '--porcelain')).toBe('')
    expect((await refused(all)).message).toContain('in the way: file')
    expect(read(repo.dir, 'file')).toBe('precious\n')
    git(repo.dir, '-c', 'core.fsmonitor=false', 'checkout', '-q', '--', 'file')
    expect((await a.run('work --finish fix-login')).code).toBe(0)
    await expectFinished(all)
  })

  it('spares files in the place of a submodule that the work has replaced', { timeout: 60_000 }, async () => {
    const library = folder('library-')
    git(library, 'init', '-q')
    save(library, 'lib', '1')
    const all = await worked()
    const { repo, place, a } = all
    git(repo.dir, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', library, 'sub')
    commit(repo.dir, 'a submodule')
    git(place, 'merge', '-q', '--no-edit', 'main')
    git(place, 'rm', '-q', '--cached', 'sub')
    fs.rmSync(path.join(place, 'sub'), { recursive: true })
    save(place, 'sub', 'a file\n')
    git(repo.dir, 'submodule', '--quiet', 'deinit', '-f', 'sub')
    fs.writeFileSync(path.join(repo.dir, 'sub/notes'), 'precious\n')
    expect(git(repo.dir, 'status', '--porcelain')).toBe('')
    expect((await refused(all)).message).toContain('in the way: sub/notes')
    expect(read(repo.dir, 'sub/notes')).toBe('precious\n')
    fs.rmSync(path.join(repo.dir, 'sub/notes'))
    const done = await a.run('work --finish fix-login')
    expect(done.code, done.stderr).toBe(0)
    expect(read(repo.dir, 'sub')).toBe('a file\n')
  })
})
