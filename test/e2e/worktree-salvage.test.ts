import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, folder, git, Repo } from '../support/cli.ts'
import { commit } from '../support/tickets.ts'
import { branches, contentOf, known, leftovers, restored, room, salvages } from '../support/worktrees.ts'

// `worktree remove --salvage`: what it saves is what was there.

async function made(agent: Agent, name = 'spike'): Promise<string> {
  return (await agent.ok(`worktree add ${name}`)).worktree.path
}

const salvageOf = async (agent: Agent, name = 'spike'): Promise<string> =>
  (await agent.ok(`worktree remove ${name} --salvage`)).worktree.salvage
const write = (dir: string, name: string, text: string): void => {
  fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true })
  fs.writeFileSync(path.join(dir, name), text)
}

describe('salvage', () => {
  it('keeps every file: staged, unstaged, untracked, ignored, executable, linked, oddly named, and none that was deleted', async () => {
    const { repo, a } = room()
    for (const name of ['deleted', 'deleted-staged', 'staged', 'both']) write(repo.dir, name, 'before\n')
    commit(repo.dir)
    const place = await made(a)
    fs.rmSync(path.join(place, 'deleted'))
    git(place, 'rm', '-q', 'deleted-staged')
    write(place, 'staged', 'staged\n')
    write(place, 'both', 'staged version\n')
    write(place, 'added', 'staged new\n')
    git(place, 'add', 'staged', 'both', 'added')
    write(place, 'both', 'file version\n')
    write(place, 'file', 'changed\n')
    write(place, 'un tracked/deep/er', 'x')
    write(place, 'new\nline', 'x')
    write(place, 'ü"\t\\', 'x')
    fs.writeFileSync(Buffer.concat([Buffer.from(`${place}/`), Buffer.from([0x62, 0xff, 0xfe])]), 'no UTF-8')
    write(place, '-dash', 'x')
    write(place, ':(top)magic', 'x')
    write(place, '*', 'star')
    write(place, 'run', '#!/bin/sh\n')
    fs.chmodSync(path.join(place, 'run'), 0o755)
    fs.symlinkSync('nowhere/at\nall', path.join(place, 'link'))
    fs.symlinkSync('file', path.join(place, 'to-file'))
    write(place, 'crlf', 'a\r\nb\r\n')
    fs.writeFileSync(path.join(place, 'binary'), Buffer.from([0, 1, 2, 255, 254, 10, 13]))
    write(place, 'empty', '')
    write(place, 'ignored', 'small and ignored')
    write(place, 'build/out', 'built')
    const before = contentOf(place)
    expect(Object.keys(before).length).toBeGreaterThan(20)
    const shown = await a.run('worktree remove spike --salvage')
    expect(shown.code, shown.stderr).toBe(0)
    const ref = salvages(repo.dir)[0]!
    expect(shown.stdout).toContain(`git worktree add --detach ${place} ${ref}`)
    expect(restored(repo.dir, ref)).toEqual(before)
    // The index differed from the files: it is there too.
    expect(git(repo.dir, 'show', `${ref}^2:both`)).toBe('staged version')
    expect(git(repo.dir, 'rev-parse', `${ref}^1`)).toBe(git(repo.dir, 'rev-parse', 'main'))
    expect(fs.existsSync(place)).toBe(false)
    expect(known(repo.dir)).toEqual([])
    expect(leftovers(repo.dir)).toEqual([])
  })

  it('of staged changes on a signed commit, where Git shows signatures', async () => {
    const { repo, a } = room()
    const signer = path.join(folder(), 'signer')
    const signature = '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'
    fs.writeFileSync(signer, `#!/bin/sh\ncat >/dev/null\nprintf '\\n[GNUPG:] SIG_CREATED x\\n' >&2\nprintf -- '${signature}'\n`, {
      mode: 0o755,
    })
    for (const [name, value] of [
      ['gpg.program', signer],
      ['commit.gpgSign', 'yes'],
      ['log.showSignature', 'yes'],
    ] as const)
      git(repo.dir, 'config', name, value)
    write(repo.dir, 'signed', 'x')
    commit(repo.dir)
    git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'signed')
    const place = await made(a)
    write(place, 'file', 'staged\n')
    git(place, 'add', 'file')
    write(place, 'file', 'changed\n')
    const ref = await salvageOf(a)
    expect(git(repo.dir, 'cat-file', 'commit', `${ref}^1`)).toContain('\ngpgsig ')
    expect([git(repo.dir, 'show', `${ref}:file`), git(repo.dir, 'show', `${ref}^2:file`)]).toEqual(['changed', 'staged'])
  })

  it('leaves large ignored files out, and names them', async () => {
    const { repo, a } = room()
    const place = await made(a)
    write(place, 'ignored', 'x'.repeat(1024 * 1024 + 1))
    write(place, 'build/out', 'small')
    const { worktree } = await a.ok('worktree remove spike --salvage')
    expect(worktree.left_out).toEqual(['ignored'])
    expect(Object.keys(restored(repo.dir, worktree.salvage))).toEqual(expect.arrayContaining(['build/out', 'file']))
    expect(git(repo.dir, 'show', '-s', '--format=%B', worktree.salvage)).toContain('Left out: ignored')
  })

  it('keeps what a merge in conflict and a rebase have, and says that they were unfinished', async () => {
    const { repo, a } = room()
    const place = await made(a)
    write(place, 'file', 'mine\n')
    write(place, 'other', 'mine\n')
    commit(place, 'mine')
    write(repo.dir, 'file', 'theirs\n')
    const theirs = commit(repo.dir, 'theirs')
    expect(() => git(place, 'merge', 'main')).toThrow()
    write(place, 'new', 'while merging')
    const before = contentOf(place)
    expect(before['file']).toContain('<<<<<<<')
    const index = fs.readFileSync(path.join(repo.dir, '.git/worktrees/spike/index'))
    const refused = await a.refused('policy', 'worktree remove spike')
    expect(refused.message).toContain('unfinished merge')
    expect(fs.readFileSync(path.join(repo.dir, '.git/worktrees/spike/index'))).toEqual(index)
    const ref = await salvageOf(a)
    expect(restored(repo.dir, ref)).toEqual(before)
    expect(git(repo.dir, 'show', '-s', '--format=%B', ref)).toContain('Unfinished: merge')
    expect(git(repo.dir, 'show', '-s', '--format=%P', ref).split(' ')).toContain(theirs)
    expect(branches(repo.dir)).toEqual(['agents/spike', 'main'])
    // A rebase: HEAD is detached, the branch is where it was.
    const again = await made(a)
    expect(() => git(again, 'rebase', 'main')).toThrow()
    const middle = contentOf(again)
    const second = await salvageOf(a)
    expect(restored(repo.dir, second)).toEqual(middle)
    expect(git(repo.dir, 'show', '-s', '--format=%B', second)).toContain('Unfinished: rebase')
    expect(git(repo.dir, 'show', 'agents/spike:other')).toBe('mine')
  })

  it('refuses what is unfinished, and saves what only that leads to: an autostash, and where a detached HEAD was', async () => {
    const { repo, a } = room()
    const theirs = (): void => {
      write(repo.dir, 'theirs', `${Math.random()}`)
      commit(repo.dir, 'theirs')
    }
    const stop = ['-c', 'sequence.editor=sed -i 1ibreak', 'rebase', '-q', '-i', '--autostash', 'main']
    for (const how of ['rebase', 'merge', 'detached'] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const place = await made(a, how)
      if (how === 'detached') git(place, 'switch', '-q', '--detach')
      write(place, 'mine', 'mine\n')
      const mine = commit(place, 'mine')
      write(place, 'file', 'precious\n')
      theirs()
      if (how === 'merge') git(place, 'merge', '-q', '--no-commit', '--autostash', 'main')
      else git(place, ...stop)
      expect(contentOf(place)['file']).toContain('one')
      // oxlint-disable-next-line no-await-in-loop -- as above
      const refused = await a.refused('policy', `worktree remove ${how}`)
      const what = how === 'merge' ? 'merge' : 'rebase'
      expect([refused.message, refused.details.unfinished]).toEqual([expect.stringContaining(`an unfinished ${what}`), what])
      expect(refused.hint).toMatch(new RegExp(`git ${what} --continue.*git ${what} --abort.*--salvage`))
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect((await a.ok('worktree prune --yes')).count).toBe(0)
      // oxlint-disable-next-line no-await-in-loop -- as above
      const ref = await salvageOf(a, how)
      const [, autostash] = /^Autostash: (.*)$/m.exec(git(repo.dir, 'show', '-s', '--format=%B', ref)) ?? []
      expect(git(repo.dir, 'show', '-s', '--format=%P', ref).split(' ')).toEqual(expect.arrayContaining([mine, autostash]))
      expect(git(repo.dir, 'show', `${autostash}:file`)).toBe('precious')
      git(repo.dir, 'merge-base', '--is-ancestor', mine, ref)
    }
  })

  it('refuses a git am: what is left of its patches is in no file and no commit', async () => {
    const { repo, a } = room()
    const place = await made(a)
    const patches = folder('patches-')
    git(repo.dir, 'switch', '-q', '-c', 'series')
    for (const name of ['one', 'two']) {
      write(repo.dir, name, name)
      commit(repo.dir, name)
    }
    git(repo.dir, 'format-patch', '-q', '-o', patches, 'main')
    git(repo.dir, 'switch', '-q', 'main')
    git(repo.dir, 'branch', '-q', '-D', 'series')
    write(place, 'one', 'in the way')
    commit(place, 'in the way')
    const all = fs.readdirSync(patches).map(name => path.join(patches, name))
    expect(() => git(place, 'am', '-q', ...all)).toThrow()
    const [plain, saving] = [
      await a.refused('policy', 'worktree remove spike'),
      await a.refused('policy', 'worktree remove spike --salvage'),
    ]
    expect(plain.hint).toMatch(/git am --continue.*git am --abort$/)
    expect(saving.message).toContain('no salvage can keep the patches that are left of it')
    expect(saving.hint).toBe(`cd ${place}; finish it: git am --continue, or give it up: git am --abort`)
    expect((await a.ok('worktree prune --yes --salvage')).count).toBe(0)
    git(place, 'am', '--skip')
    expect(git(place, 'show', 'HEAD:two')).toBe('two')
    expect(restored(repo.dir, await salvageOf(a))['one']).toContain('in the way')
  })

  it('sees through assume-unchanged, skip-worktree, sparse checkouts and an index that looks current', async () => {
    const { repo, a } = room()
    for (const name of ['assumed', 'skipped', 'same', 'in/a', 'out/b']) write(repo.dir, name, 'before\n')
    commit(repo.dir)
    const place = await made(a)
    git(place, 'sparse-checkout', 'set', '--no-cone', '/*', '!/out/')
    git(place, 'update-index', '--assume-unchanged', 'assumed')
    git(place, 'update-index', '--skip-worktree', 'skipped')
    write(place, 'assumed', 'AFTER!\n')
    write(place, 'skipped', 'AFTER!\n')
    // Same size and time as what the index knows.
    const { atime, mtime } = fs.statSync(path.join(place, 'same'))
    write(place, 'same', 'AFTER!\n')
    fs.utimesSync(path.join(place, 'same'), atime, mtime)
    const before = contentOf(place)
    expect(before).not.toHaveProperty('out/b')
    const ref = await salvageOf(a)
    // What the sparse checkout left out is no change.
    expect(restored(repo.dir, ref)).toEqual({ ...before, 'out/b': '- before\n' })
  })

  it('keeps the pointer of a submodule, and refuses one with anything that is nowhere else', { timeout: 60_000 }, async () => {
    const { repo, a } = room()
    const library = folder('library-')
    git(library, 'init', '-q', '-b', 'main')
    write(library, 'lib', '1')
    commit(library)
    const local = ['-c', 'protocol.file.allow=always']
    git(repo.dir, ...local, 'submodule', '--quiet', 'add', library, 'sub')
    commit(repo.dir)
    const place = await made(a)
    git(place, ...local, 'submodule', '--quiet', 'update', '--init')
    const sub = path.join(place, 'sub')
    git(sub, 'config', 'status.showUntrackedFiles', 'no')
    write(sub, 'new', 'x')
    expect((await a.refused('policy', 'worktree remove spike --salvage')).message).toContain('sub: it has uncommitted changes')
    git(sub, 'checkout', '-q', '-b', 'mine')
    commit(sub, 'mine')
    expect((await a.refused('policy', 'worktree remove spike --salvage')).message).toContain('commits that its remote does not have')
    git(sub, 'push', '-q', 'origin', 'mine')
    const pointer = git(sub, 'rev-parse', 'HEAD')
    expect((await a.refused('policy', 'worktree remove spike')).details.dirty).toEqual(['sub'])
    const ref = await salvageOf(a)
    expect(git(repo.dir, 'ls-tree', ref, 'sub')).toContain(`160000 commit ${pointer}`)
    expect(known(repo.dir)).toEqual([])
    // A clean one is no reason to stay.
    const clean = await made(a, 'other')
    git(clean, ...local, 'submodule', '--quiet', 'update', '--init')
    await a.ok('worktree remove other')
  })

  it('refuses a repository inside that Git would only point at', async () => {
    const { a } = room()
    const place = await made(a)
    const inner = path.join(place, 'inner')
    fs.mkdirSync(inner)
    git(inner, 'init', '-q')
    write(inner, 'precious', 'x')
    commit(inner)
    const error = await a.refused('policy', 'worktree remove spike --salvage')
    expect(error.message).toContain('inner: it is a repository of its own')
    expect(fs.readFileSync(path.join(inner, 'precious'), 'utf8')).toBe('x')
    expect((await a.ok('worktree prune --yes --salvage')).kept[0].why).toContain('inner')
  })

  it('removes nothing when it cannot save: a filter that fails, a file that cannot be read', async () => {
    const { repo, a } = room()
    const place = await made(a)
    write(place, '.gitattributes', 'secret filter=broken\n')
    write(place, 'secret', 'x')
    git(repo.dir, 'config', 'filter.broken.clean', 'false')
    git(repo.dir, 'config', 'filter.broken.required', 'true')
    const before = contentOf(place)
    repo.busy = true
    expect((await a.refused('unavailable', 'worktree remove spike --salvage')).message).toContain('git')
    expect(contentOf(place)).toEqual(before)
    expect(salvages(repo.dir)).toEqual([])
    expect(leftovers(repo.dir)).toEqual([])
    expect((await a.ok('claim list')).count).toBe(0)
    git(repo.dir, 'config', 'filter.broken.clean', 'cat')
    git(repo.dir, 'config', 'filter.broken.smudge', 'cat')
    expect(restored(repo.dir, await salvageOf(a))).toEqual(before)
  })

  it('needs nobody to be known to Git, and saves the same only once', async () => {
    const { repo, a } = room()
    const place = await made(a)
    write(place, 'new', 'x')
    const nobody = a.with({ GIT_CONFIG_GLOBAL: '/dev/null', EMAIL: '', GIT_AUTHOR_NAME: undefined, GIT_COMMITTER_NAME: undefined })
    const ref = (await nobody.ok('worktree remove spike --salvage')).worktree.salvage
    expect(git(repo.dir, 'show', '-s', '--format=%an', ref)).toBe('agent:a')
    git(repo.dir, 'worktree', 'add', '-q', place, 'main', '-b', 'again')
    write(place, 'new', 'x')
    expect((await a.ok('worktree remove spike --salvage')).worktree.salvage).toBe(ref)
    expect(salvages(repo.dir)).toEqual([ref])
  })

  it('keeps a branch without a commit, files only announced to the index, and a file in the place of a directory', async () => {
    const { repo, a } = room()
    write(repo.dir, 'was/dir', 'x')
    commit(repo.dir)
    const place = await made(a)
    git(place, 'checkout', '-q', '--orphan', 'unborn')
    write(place, 'staged', 'one')
    git(place, 'add', 'staged')
    write(place, 'staged', 'two')
    write(place, 'announced', 'x')
    git(place, 'add', '--intent-to-add', 'announced')
    fs.rmSync(path.join(place, 'was'), { recursive: true })
    write(place, 'was', 'a file now')
    const before = contentOf(place)
    const ref = await salvageOf(a)
    expect(restored(repo.dir, ref)).toEqual(before)
    expect(git(repo.dir, 'show', `${ref}^1:staged`)).toBe('one')
  })

  it('refuses commits that only a reference of the worktree leads to, saves them, and refuses what is no commit', async () => {
    const { repo, a } = room()
    const place = await made(a)
    write(place, 'mine', 'mine')
    const mine = commit(place, 'mine')
    git(place, 'reset', '-q', '--hard', 'main')
    git(place, 'update-ref', 'refs/worktree/kept/one', mine)
    git(place, 'update-ref', 'refs/worktree/two', 'main')
    const refused = await a.refused('policy', 'worktree remove spike')
    expect(refused.message).toContain('has commits that only it leads to (refs/worktree/kept/one)')
    expect((await a.ok('worktree prune --yes')).count).toBe(0)
    git(place, 'update-ref', 'refs/worktree/blob', git(place, 'rev-parse', 'HEAD:file'))
    expect((await a.refused('policy', 'worktree remove spike --salvage')).message).toContain('refs/worktree/blob')
    git(place, 'update-ref', '-d', 'refs/worktree/blob')
    // Also where the directory is gone.
    fs.renameSync(place, `${place}.aside`)
    await a.refused('policy', 'worktree remove spike')
    fs.renameSync(`${place}.aside`, place)
    const ref = await salvageOf(a)
    expect(git(repo.dir, 'show', '-s', '--format=%B', ref)).toContain(`Reference: refs/worktree/kept/one ${mine}`)
    git(repo.dir, 'merge-base', '--is-ancestor', mine, ref)
    expect(known(repo.dir)).toEqual([])
  })

  it('works in a worktree of a bare repository', async () => {
    const { repo } = room()
    const bare = path.join(folder('room-'), 'hub.git')
    git(repo.dir, 'clone', '-q', '--bare', repo.dir, bare)
    const agent = new Repo(bare, path.join(bare, 'leasehold')).as('agent:a')
    const place = await made(agent)
    write(place, 'new', 'x')
    const before = contentOf(place)
    expect(restored(bare, await salvageOf(agent))).toEqual(before)
  })
})
