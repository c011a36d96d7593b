import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, folder, git, until } from '../support/cli.ts'
import { commit } from '../support/tickets.ts'
import { known, room, salvages } from '../support/worktrees.ts'

// What Git does not tell of a worktree: repositories inside, git directories of submodules, and what it was told not to look at.

const local = ['-c', 'protocol.file.allow=always']

const write = (dir: string, name: string, text: string): void => {
  fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true })
  fs.writeFileSync(path.join(dir, name), text)
}

async function made(agent: Agent, name = 'spike'): Promise<string> {
  return (await agent.ok(`worktree add ${name}`)).worktree.path
}

/** A repository that others clone. */
function library(): string {
  const place = folder('library-')
  git(place, 'init', '-q', '-b', 'main')
  write(place, 'lib', '1')
  commit(place)
  return place
}

/** Removing it is refused with these words, in every way, and nothing is changed. */
async function expectKept(agent: Agent, words: string): Promise<void> {
  for (const how of ['worktree remove spike', 'worktree remove spike --salvage'])
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    expect((await agent.refused('policy', how)).message).toContain(words)
  const { count, kept } = await agent.ok('worktree prune --yes --salvage')
  expect([count, kept[0].why]).toEqual([0, expect.stringContaining(words)])
}

describe('worktree remove, of what Git does not tell', () => {
  it('refuses files in the place of a submodule that is not set up', { timeout: 60_000 }, async () => {
    const { repo, a } = room()
    git(repo.dir, ...local, 'submodule', '--quiet', 'add', library(), 'sub')
    commit(repo.dir)
    const place = await made(a)
    write(place, 'sub/deep/notes', 'precious')
    expect(git(place, 'status', '--porcelain')).toBe('')
    await expectKept(a, 'sub: it is a submodule that is not set up, and has files of its own: sub/deep/notes')
    expect(fs.readFileSync(path.join(place, 'sub/deep/notes'), 'utf8')).toBe('precious')
    fs.rmSync(path.join(place, 'sub/deep'), { recursive: true })
    await a.ok('worktree remove spike')
    expect(known(repo.dir)).toEqual([])
  })

  it('refuses repositories below ignored directories that have what is nowhere else; others may go', { timeout: 120_000 }, async () => {
    const { repo, a } = room()
    const origin = library()
    const place = await made(a)
    const clone = path.join(place, 'build/deep/clone')
    fs.mkdirSync(path.dirname(clone), { recursive: true })
    git(place, 'clone', '-q', origin, clone)
    write(clone, 'new', 'x')
    await expectKept(a, 'build/deep/clone: it has uncommitted changes')
    const mine = commit(clone, 'mine')
    await expectKept(a, 'build/deep/clone: it has commits that its remote does not have')
    // On no branch, too.
    git(clone, 'checkout', '-q', '--detach')
    git(clone, 'branch', '-q', '-f', 'main', 'origin/main')
    await expectKept(a, 'build/deep/clone: it has commits that its remote does not have')
    git(clone, 'push', '-q', 'origin', 'HEAD:refs/heads/mine')
    write(clone, 'lib', 'changed')
    git(clone, 'stash', '-q')
    await expectKept(a, 'build/deep/clone: it has stashed changes')
    git(clone, 'stash', 'drop', '-q')
    // One without a remote, a bare one, and one of which nobody can tell.
    const own = path.join(place, 'build/own')
    git(place, 'init', '-q', '-b', 'main', own)
    write(own, 'x', 'x')
    commit(own)
    await expectKept(a, 'build/own: it has commits that its remote does not have')
    fs.rmSync(own, { recursive: true })
    git(place, 'clone', '-q', '--bare', clone, own)
    await expectKept(a, 'build/own: it has commits that its remote does not have')
    fs.rmSync(own, { recursive: true })
    write(place, 'build/own/.git', 'gitdir: /nowhere/at/all\n')
    await expectKept(a, 'build/own: its .git leads to no repository')
    fs.writeFileSync(path.join(own, '.git'), '')
    // A worktree of a repository elsewhere: only what it has checked out is there alone.
    const elsewhere = path.join(place, 'build/elsewhere')
    git(origin, 'worktree', 'add', '-q', '--detach', elsewhere)
    git(elsewhere, 'commit', '-q', '--allow-empty', '-m', 'detached')
    await expectKept(a, 'build/elsewhere: it has commits that are on no branch')
    git(elsewhere, 'branch', 'kept')
    expect((await a.ok('worktree remove spike')).worktree.left_out).toEqual(['build/'])
    expect(known(repo.dir)).toEqual([])
    expect(git(origin, 'rev-parse', 'mine')).toBe(mine)
  })

  it('refuses while a submodule that was taken out has commits in its git directory', { timeout: 60_000 }, async () => {
    const { repo, a } = room()
    git(repo.dir, ...local, 'submodule', '--quiet', 'add', '--name', 'a/lib', library(), 'sub')
    commit(repo.dir)
    const place = await made(a)
    git(place, ...local, 'submodule', '--quiet', 'update', '--init')
    const sub = path.join(place, 'sub')
    git(sub, 'checkout', '-q', '-b', 'mine')
    write(sub, 'lib', 'mine')
    commit(sub, 'mine')
    git(sub, 'checkout', '-q', 'main')
    git(place, 'submodule', '--quiet', 'deinit', '-f', 'sub')
    expect(git(place, 'status', '--porcelain')).toBe('')
    const module = path.join(repo.dir, '.git/worktrees/spike/modules/a/lib')
    await expectKept(a, `${module}, of a submodule that is not set up: it has commits that its remote does not have`)
    // Also where the directory is gone.
    fs.renameSync(place, `${place}.aside`)
    await expectKept(a, module)
    fs.renameSync(`${place}.aside`, place)
    git(place, ...local, 'submodule', '--quiet', 'update', '--init')
    git(sub, 'push', '-q', 'origin', 'mine')
    git(place, 'submodule', '--quiet', 'deinit', '-f', 'sub')
    await a.ok('worktree remove spike')
    expect(known(repo.dir)).toEqual([])
  })

  it('leaves another repository that lies where the worktree was', async () => {
    const { repo, a } = room()
    for (const how of ['worktree remove spike', 'worktree prune --yes', 'worktree remove spike --salvage']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const place = await made(a)
      fs.rmSync(place, { recursive: true })
      git(repo.dir, 'clone', '-q', repo.dir, place)
      git(place, 'checkout', '-q', '-b', 'mine')
      write(place, 'mine', 'precious')
      const mine = commit(place, 'mine')
      git(place, 'checkout', '-q', 'main')
      // oxlint-disable-next-line no-await-in-loop -- as above
      await a.ok(how)
      expect(git(place, 'rev-parse', 'mine')).toBe(mine)
      expect(known(repo.dir)).toEqual([])
      fs.rmSync(place, { recursive: true })
    }
  })

  it('does not delete what a removal that was cut short had put aside, where something else lies there by now', async () => {
    const { repo, a } = room()
    const place = await made(a)
    write(place, 'precious', 'x')
    const note = path.join(repo.dir, '.git/worktrees/spike/leasehold/removing.json')
    const id = (await a.ok('worktree info spike')).worktree.worktree_id.slice(3)
    const aside = path.join(path.dirname(place), `.spike.removing-${id}`)
    fs.writeFileSync(note, JSON.stringify({ path: place, aside, verified: false, branch: null, branchAt: null, salvage: null }))
    fs.renameSync(place, aside)
    write(place, 'other', 'y')
    for (const how of ['worktree remove spike', 'worktree remove spike --salvage'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('policy', how)).message).toContain(`put it aside as ${aside}, and something else lies there now`)
    expect((await a.ok('worktree prune --yes')).count).toBe(0)
    expect([fs.readFileSync(path.join(aside, 'precious'), 'utf8'), fs.readdirSync(place)]).toEqual(['x', ['other']])
    fs.rmSync(place, { recursive: true })
    const { worktree } = await a.ok('worktree remove spike --salvage')
    expect(git(repo.dir, 'show', `${worktree.salvage}:precious`)).toBe('x')
  })

  it('keeps the branch where the other one that had its commits is gone by the time that it would go', async () => {
    const { repo, a } = room()
    const place = await made(a)
    write(place, 'mine', 'mine')
    const mine = commit(place, 'mine')
    git(repo.dir, 'branch', 'other', mine)
    const id = (await a.ok('worktree info spike')).worktree.worktree_id.slice(3)
    const aside = path.join(path.dirname(place), `.spike.removing-${id}`)
    const note = path.join(repo.dir, '.git/worktrees/spike/leasehold/removing.json')
    // Cut short between looking at the branch and deleting it.
    const begun = { path: place, aside, verified: true, branch: 'agents/spike', branchAt: mine, salvage: null }
    fs.writeFileSync(note, JSON.stringify(begun))
    fs.renameSync(place, aside)
    git(repo.dir, 'branch', '-D', 'other')
    expect((await a.ok('worktree remove spike')).worktree.branch_deleted).toBe(false)
    expect(git(repo.dir, 'rev-parse', 'agents/spike')).toBe(mine)
    expect(known(repo.dir)).toEqual([])
  })

  it('looks itself, whatever a file system monitor or a setting says of a file', async () => {
    const { repo, a } = room()
    const place = await made(a)
    const file = path.join(place, 'file')
    const change = async (): Promise<void> => {
      const { atime, mtime, ctime } = fs.statSync(file)
      // Many builds of Git note whole seconds: within one, a change that keeps size and time cannot be told by looking at the file.
      await until(() => Date.now() >= Math.ceil((ctime.getTime() + 1) / 1000) * 1000 + 20, 'it is another second')
      fs.writeFileSync(file, 'ONE\n')
      fs.utimesSync(file, atime, mtime)
    }
    /** Nothing is seen by `git status`, and the change is there. */
    const hidden = async (): Promise<void> => {
      expect(git(place, 'status', '--porcelain')).toBe('')
      const refused = await a.refused('policy', 'worktree remove spike')
      expect(refused.details.dirty).toEqual(['file'])
      expect((await a.ok('worktree prune --yes')).count).toBe(0)
      expect(fs.readFileSync(file, 'utf8')).toBe('ONE\n')
      git(place, 'update-index', '--no-assume-unchanged', 'file')
      git(place, '-c', 'core.fsmonitor=false', 'reset', '-q', '--hard')
    }
    const monitor = path.join(folder('monitor-'), 'monitor')
    fs.writeFileSync(monitor, "#!/bin/sh\nprintf 'token\\0'\n", { mode: 0o755 })
    git(repo.dir, 'config', 'core.fsmonitor', monitor)
    git(place, 'status')
    git(place, 'status')
    await change()
    await hidden()
    git(repo.dir, 'config', '--unset', 'core.fsmonitor')
    git(repo.dir, 'config', 'core.ignoreStat', 'true')
    git(place, 'update-index', '--really-refresh')
    git(place, 'update-index', '--assume-unchanged', 'file')
    await change()
    await hidden()
    git(repo.dir, 'config', '--unset', 'core.ignoreStat')
    git(repo.dir, 'config', 'core.trustctime', 'false')
    git(repo.dir, 'config', 'core.checkStat', 'minimal')
    // An index that is younger than the file: else Git compares what is in it.
    fs.utimesSync(file, 1_000_000_000, 1_000_000_000)
    git(place, 'update-index', '-q', '--refresh')
    await change()
    await hidden()
    await a.ok('worktree remove spike')
    expect(salvages(repo.dir)).toEqual([])
  })
})
