import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, type Doc, folder, git, Repo } from '../support/cli.ts'
import { commit, putTicket } from '../support/tickets.ts'
import { id } from '../support/work.ts'

// Repositories whose git directory stands apart from their files, and worktrees that were parted from their repository.

interface Apart {
  /** Main worktree. */
  readonly dir: string
  readonly gitDir: string
  readonly a: Agent
}

/** `git init --separate-git-dir`. */
function separate(): Apart {
  const above = folder('apart-')
  const [dir, gitDir] = [path.join(above, 'app'), path.join(above, 'app.git')]
  git(above, 'init', '-q', '-b', 'main', '--separate-git-dir', gitDir, dir)
  putTicket(dir, id)
  commit(dir)
  return { dir, gitDir, a: new Repo(dir, path.join(gitDir, 'leasehold')).as('agent:a') }
}

/** The same below another repository. */
function submodule(): Apart {
  const above = folder('apart-')
  const [outer, source] = [path.join(above, 'outer'), path.join(above, 'source')]
  for (const dir of [outer, source]) git(above, 'init', '-q', '-b', 'main', dir)
  putTicket(source, id)
  commit(source)
  git(outer, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', source, 'sub')
  commit(outer)
  const [dir, gitDir] = [path.join(outer, 'sub'), path.join(outer, '.git', 'modules', 'sub')]
  return { dir, gitDir, a: new Repo(dir, path.join(gitDir, 'leasehold')).as('agent:a') }
}

describe.each([
  ['a separate git directory', separate],
  ['a submodule', submodule],
])('%s', (_, make) => {
  it('lists its main worktree where it is, and finds it by its path', async () => {
    const { dir, a } = make()
    const { path: linked } = (await a.ok('worktree add spike')).worktree
    for (const where of [a, a.in(linked)]) {
      const { worktrees } = await where.ok('worktree list')
      expect(worktrees[0]).toMatchObject({ path: dir, main: true, present: true, dirty: false, branch: 'main', bare: false })
      expect(worktrees[1]).toMatchObject({ path: linked, main: false, present: true })
      expect((await where.ok(`worktree info ${dir}`)).worktree).toMatchObject({ path: dir, main: true })
    }
    expect((await a.ok('worktree info .')).worktree).toMatchObject({ path: dir, current: true })
    expect((await a.refused('policy', 'worktree remove .')).message).toContain('main worktree')
  })

  it('shows a linked worktree the tickets that are not committed', async () => {
    const { dir, a } = make()
    const { path: linked } = (await a.ok('worktree add spike')).worktree
    putTicket(dir, '20260608-101010-not-committed')
    expect((await a.in(linked).ok('ticket show not-committed')).ticket.id).toBe('20260608-101010-not-committed')
    // Nor does it make another one of the same name.
    expect((await a.in(linked).ok('ticket list')).tickets.map((ticket: Doc) => ticket.id)).toContain('20260608-101010-not-committed')
  })

  it('finishes work: the base branch moves, with the files of the main worktree', async () => {
    const { dir, a } = make()
    const { path: place } = await a.ok(`work ${id}`)
    fs.writeFileSync(path.join(place, 'made'), 'by work\n')
    commit(place, 'work')
    const worker = a.in(place)
    expect(await worker.run('work --finish')).toMatchObject({ code: 0 })
    expect(fs.readFileSync(path.join(dir, 'made'), 'utf8')).toBe('by work\n')
    expect(git(dir, 'status', '--porcelain')).toBe('')
    expect(fs.existsSync(place)).toBe(false)
  })
})

describe('a git directory that stands apart, and in whose worktree lh never ran', () => {
  it('says what tells it, and does not move the base branch under files that it cannot see', async () => {
    const { dir, gitDir, a } = separate()
    const linked = path.join(path.dirname(dir), 'app-worktrees', 'fix-login')
    git(gitDir, '--git-dir', gitDir, 'worktree', 'add', '-q', '--detach', linked)
    const first = a.in(linked)
    expect(fs.existsSync(path.join(gitDir, 'leasehold', 'worktree.json'))).toBe(false)
    expect((await first.ok('worktree list')).worktrees[0]).toMatchObject({ main: true, present: false })
    expect(await first.run('worktree list')).toMatchObject({ code: 0, stderr: expect.stringContaining('lh worktree init') })
    const { path: place } = await first.ok(`work ${id}`)
    const worker = a.in(place)
    commit(place, 'work')
    const before = git(dir, 'rev-parse', 'main')
    expect((await worker.run('work --finish')).stderr).toContain('run there once: lh worktree init')
    expect(git(dir, 'rev-parse', 'main')).toBe(before)
    await a.ok('worktree init')
    expect((await first.ok('worktree list')).worktrees[0]).toMatchObject({ path: dir, present: true })
    expect(await worker.run('work --finish')).toMatchObject({ code: 0 })
    expect(git(dir, 'status', '--porcelain')).toBe('')
  })

  it('believes no note that leads elsewhere by now', async () => {
    const { dir, a } = separate()
    await a.ok('worktree init')
    const { path: linked } = (await a.ok('worktree add spike')).worktree
    fs.rmSync(path.join(dir, '.git'))
    expect((await a.in(linked).ok('worktree list')).worktrees[0]).toMatchObject({ main: true, present: false })
    git(dir, 'init', '-q')
    expect((await a.in(linked).ok('worktree list')).worktrees[0]).toMatchObject({ main: true, present: false })
  })
})

it('shows a bare repository as what it is', async () => {
  const { dir } = separate()
  const bare = path.join(path.dirname(dir), 'bare.git')
  git(dir, 'clone', '-q', '--bare', dir, bare)
  const a = new Repo(bare, path.join(bare, 'leasehold')).as('agent:a')
  expect((await a.ok('worktree list')).worktrees).toEqual([expect.objectContaining({ path: bare, bare: true, present: true, dirty: null })])
  const shown = await a.run('worktree list')
  expect(shown.stdout).toContain('(bare)')
  expect(shown.stdout).not.toContain('gone')
})

describe('a worktree whose repository was moved', () => {
  async function moved(): Promise<{ readonly a: Agent; readonly linked: string; readonly other: string }> {
    const above = folder('moved-')
    const [old, dir] = [path.join(above, 'app'), path.join(above, 'app two')]
    git(above, 'init', '-q', '-b', 'main', old)
    putTicket(old, id)
    commit(old)
    const before = new Repo(old).as('agent:a')
    const { path: linked } = (await before.ok('worktree add spike')).worktree
    const { path: other } = (await before.ok(`worktree add ${id}`)).worktree
    fs.renameSync(old, dir)
    const a = new Repo(dir).as('agent:a')
    // Says that the main worktree was moved, once.
    await a.run('worktree init')
    return { a, linked, other }
  }

  it('is listed as Git does it, and says what repairs it', async () => {
    const { a, linked, other } = await moved()
    const { worktrees } = await a.ok('worktree list')
    expect(worktrees.map((each: Doc) => each.path)).toEqual([a.cwd, other, linked])
    expect(worktrees.slice(1)).toEqual([1, 2].map(() => expect.objectContaining({ present: true, astray: true, dirty: null })))
    expect(await a.run('worktree list')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(`git worktree repair ${other} ${linked}`),
    })
    expect((await a.ok('worktree info spike')).worktree).toMatchObject({ path: linked, astray: true })
    git(a.cwd, 'worktree', 'repair', other, linked)
    expect((await a.ok('worktree list')).worktrees[2]).toMatchObject({ astray: false, dirty: false })
  })

  it('is neither removed nor pruned nor made once more until it is', async () => {
    const { a, linked, other } = await moved()
    for (const words of ['worktree remove spike --salvage', 'worktree add spike', `worktree add ${id}`, `work ${id}`])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.refused('policy', words)).hint, words).toMatch(/^git worktree repair /)
    await a.ok('worktree prune --yes --salvage')
    expect([linked, other].map(each => fs.existsSync(path.join(each, '.git')))).toEqual([true, true])
    expect((await a.ok('worktree list')).count).toBe(3)
  })
})
