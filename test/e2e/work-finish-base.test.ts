import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, executable, failure, git, parse, until } from '../support/cli.ts'
import { expectFinished, worked } from '../support/finish.ts'
import { commit } from '../support/tickets.ts'
import { dirt, head, heldNow, id, read, references, save, shop } from '../support/work.ts'

// Where the base branch is checked out its files follow the work; what is not committed there stays.

describe('work --finish, where the base branch is checked out', () => {
  it('keeps what is not committed where the base branch is checked out, unless it is in the way', async () => {
    const all = await worked()
    const { repo, a } = all
    fs.writeFileSync(path.join(repo.dir, 'file'), 'edited\n')
    fs.writeFileSync(path.join(repo.dir, 'staged'), 'staged\n')
    git(repo.dir, 'add', 'staged')
    fs.writeFileSync(path.join(repo.dir, 'new'), 'new\n')
    const before = dirt(repo.dir)
    expect((await a.run('work --finish fix-login')).code).toBe(0)
    expect(dirt(repo.dir)).toBe(before)
    expect([read(repo.dir, 'file'), read(repo.dir, 'new')]).toEqual(['edited\n', 'new\n'])
    await expectFinished(all)
  })

  it('is refused by what is in the way where the base branch is checked out; nothing is lost, and again it works', async () => {
    for (const [name, content] of [
      ['work', 'of somebody else\n'],
      [`.leasehold/tickets/${id}/ticket.md`, 'edited by hand\n'],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked()
      const { repo, place, a } = all
      const kept = fs.existsSync(path.join(repo.dir, name)) ? read(repo.dir, name) : null
      fs.writeFileSync(path.join(repo.dir, name), content)
      const [main, dirty] = [head(repo.dir, 'main'), dirt(repo.dir)]
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { code, stdout } = await a.in(place).run('--json work --finish')
      expect(code, stdout).toBe(8)
      const { error } = JSON.parse(stdout)
      expect(error.message).toContain(repo.dir)
      expect(error.message).toContain(name)
      expect(error.hint).toContain('lh work --finish')
      expect([head(repo.dir, 'main'), dirt(repo.dir), read(repo.dir, name)]).toEqual([main, dirty, content])
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect(await heldNow(a)).toHaveLength(3)
      if (kept === null) fs.rmSync(path.join(repo.dir, name))
      else fs.writeFileSync(path.join(repo.dir, name), kept)
      // oxlint-disable-next-line no-await-in-loop -- as above
      const done = await a.in(place).run('work --finish')
      expect(done.code, done.stderr).toBe(0)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectFinished(all)
    }
  })

  it('is refused by ignored files that would be overwritten there: each is named and stays', async () => {
    const all = await worked()
    const { repo, place, a } = all
    fs.appendFileSync(path.join(repo.dir, '.git', 'info', 'exclude'), '.env\nin\nover\n')
    for (const name of ['.env', 'in/deep', 'over']) {
      fs.mkdirSync(path.dirname(path.join(place, name)), { recursive: true })
      fs.writeFileSync(path.join(place, name), 'tracked\n')
    }
    git(place, 'add', '-f', '.env', 'in', 'over')
    git(place, 'commit', '-q', '-m', 'ignored ones')
    const secrets = { '.env': 'secret\n', in: 'a file where a directory is to be\n', 'over/it': 'in a directory where a file is to be\n' }
    fs.mkdirSync(path.join(repo.dir, 'over'))
    for (const [name, text] of Object.entries(secrets)) fs.writeFileSync(path.join(repo.dir, name), text)
    const main = head(repo.dir, 'main')
    const { code, stdout } = await a.run('--json work --finish fix-login')
    expect(code, stdout).toBe(8)
    expect(parse(stdout).error).toMatchObject({
      message: expect.stringContaining('in the way: .env, in, over/it'),
      hint: expect.stringContaining('then: lh work --finish'),
    })
    expect(head(repo.dir, 'main')).toBe(main)
    for (const [name, text] of Object.entries(secrets)) expect(read(repo.dir, name)).toBe(text)
    for (const name of ['.env', 'in', 'over']) fs.rmSync(path.join(repo.dir, name), { recursive: true })
    const done = await a.run('work --finish fix-login')
    expect(done.code, done.stderr).toBe(0)
    expect(read(repo.dir, 'in/deep')).toBe('tracked\n')
    await expectFinished(all)
  })

  it('names all files that are changed and in the way there, and the lock of another Git', async () => {
    const all = await worked()
    const { repo, place, a } = all
    const names = ['file', '.gitattributes']
    for (const name of names) {
      fs.appendFileSync(path.join(place, name), '# ours\n')
      fs.appendFileSync(path.join(repo.dir, name), '# theirs\n')
    }
    git(place, 'commit', '-q', '-a', '-m', 'both')
    const refused = async (): Promise<Doc> => {
      const { code, stdout } = await a.run('--json work --finish fix-login')
      expect(code, stdout).toBe(8)
      return parse(stdout).error
    }
    expect((await refused()).message).toContain('in the way: .gitattributes, file')
    git(repo.dir, 'checkout', '-q', '--', ...names)
    const lock = path.join(repo.dir, '.git', 'index.lock')
    fs.writeFileSync(lock, '')
    expect(await refused()).toMatchObject({
      message: expect.stringContaining(`it left ${lock}`),
      hint: expect.stringContaining(`rm ${lock}`),
    })
    fs.rmSync(lock)
    expect((await a.run('work --finish fix-login')).code).toBe(0)
    await expectFinished(all)
  })

  it('takes back what it had brought there when a filter, or the disk, fails in the middle', async () => {
    const all = await worked()
    const { repo, place, a } = all
    const [broken, names] = [path.join(path.dirname(all.home), 'broken'), ['a\tb', 'ä', 'deep/er/new', 'm.bin', 'z']]
    git(repo.dir, 'config', 'filter.big.smudge', `if [ -e '${broken}' ]; then echo 'no room' >&2; exit 1; fi; cat`)
    git(repo.dir, 'config', 'filter.big.clean', 'cat')
    git(repo.dir, 'config', 'filter.big.required', 'true')
    for (const name of ['changed', 'removed', 'staged', 'replaced']) fs.writeFileSync(path.join(repo.dir, name), 'before\n')
    commit(repo.dir, 'files')
    git(place, 'merge', '-q', 'main')
    fs.mkdirSync(path.join(place, 'deep/er'), { recursive: true })
    for (const name of [...names, 'changed']) fs.writeFileSync(path.join(place, name), 'after\n')
    fs.writeFileSync(path.join(place, 'staged'), 'also\n')
    for (const name of ['removed', 'replaced']) fs.rmSync(path.join(place, name))
    fs.mkdirSync(path.join(place, 'replaced'))
    fs.writeFileSync(path.join(place, 'replaced/by'), 'after\n')
    fs.writeFileSync(path.join(place, '.gitattributes'), `${read(place, '.gitattributes')}*.bin filter=big\n`)
    commit(place, 'large files')
    // Staged as the work has it, and changed once more: Git leaves such a file alone.
    fs.writeFileSync(path.join(repo.dir, 'staged'), 'also\n')
    git(repo.dir, 'add', 'staged')
    fs.writeFileSync(path.join(repo.dir, 'staged'), 'mine\n')
    fs.writeFileSync(path.join(repo.dir, 'file'), 'mine\n')
    fs.writeFileSync(path.join(repo.dir, 'new'), 'mine\n')
    const [main, before] = [head(repo.dir, 'main'), dirt(repo.dir)]
    fs.writeFileSync(broken, '')
    const { code, stderr } = await a.in(place).run('work --finish')
    expect(code, stderr).toBe(8)
    expect(stderr).toContain('m.bin: smudge filter big failed')
    expect(stderr).not.toContain('not committed there')
    expect([head(repo.dir, 'main'), dirt(repo.dir)]).toEqual([main, before])
    expect([fs.existsSync(path.join(repo.dir, 'deep')), fs.existsSync(path.join(repo.dir, 'z'))]).toEqual([false, false])
    expect(['changed', 'staged', 'file'].map(name => read(repo.dir, name))).toEqual(['before\n', 'mine\n', 'mine\n'])
    fs.rmSync(broken)
    const done = await a.in(place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    expect(names.map(name => read(repo.dir, name))).toEqual(names.map(() => 'after\n'))
    expect(['staged', 'file', 'new'].map(name => read(repo.dir, name))).toEqual(['mine\n', 'mine\n', 'mine\n'])
  })

  it.each(['new', 'changed'])('takes nothing back that somebody saves there in the moment before (%s)', async name => {
    const all = await worked()
    const { repo, place, a } = all
    fs.writeFileSync(path.join(repo.dir, 'changed'), 'before\n')
    commit(repo.dir, 'files')
    git(place, 'merge', '-q', 'main')
    for (const each of ['new', 'changed']) fs.writeFileSync(path.join(place, each), 'after\n')
    commit(place, 'more')
    const [bin, real] = [
      fs.mkdtempSync(path.join(path.dirname(all.home), 'bin-')),
      execFileSync('which', ['git'], { encoding: 'utf8' }).trim(),
    ]
    const script = `#!/bin/sh\ncase "$*" in *--dry-run*) ;; *read-tree*\\ -u\\ *) echo mine > '${path.join(repo.dir, name)}' ;; esac\nexec '${real}' "$@"\n`
    fs.writeFileSync(path.join(bin, 'git'), script, { mode: 0o755 })
    const main = head(repo.dir, 'main')
    const { message } = failure(
      await a
        .in(place)
        .with({ PATH: `${bin}:${process.env['PATH']}`, LC_ALL: 'de_DE.UTF-8' })
        .run('--json work --finish'),
      'policy',
    )
    expect(message).toContain(name)
    expect(read(repo.dir, name)).toBe('mine\n')
    expect(head(repo.dir, 'main')).toBe(main)
    fs.rmSync(path.join(repo.dir, name))
    if (name === 'changed') git(repo.dir, 'checkout', '-q', '--', name)
    await a.in(place).ok('work --finish')
    await expectFinished(all)
  })

  it('says in their own words who does not let the base branch move, and takes the files back', async () => {
    const all = await worked()
    const { repo, place, a } = all
    const hook = path.join(repo.dir, '.git/hooks/reference-transaction')
    const frozen = `[ "$1" = prepared ] || exit 0\nwhile read -r old new name; do\n  [ "$name" != refs/heads/main ] || { echo 'no merges before Monday' >&2; exit 1; }\ndone\n`
    const lock = path.join(repo.dir, '.git/refs/heads/main.lock')
    const before = [head(repo.dir, 'main'), dirt(repo.dir)]
    fs.writeFileSync(hook, `#!/bin/sh\n${frozen}`, { mode: 0o755 })
    const refused = failure(await a.in(place).run('--json work --finish'), 'policy')
    expect(refused.message).toContain('no merges before Monday')
    expect(refused.hint).toContain('then: lh work --finish')
    fs.rmSync(hook)
    fs.writeFileSync(lock, '')
    expect(failure(await a.in(place).run('--json work --finish'), 'policy').message).toContain(lock)
    fs.rmSync(lock)
    expect([head(repo.dir, 'main'), dirt(repo.dir)]).toEqual(before)
    expect(await heldNow(a)).toHaveLength(3)
    await a.in(place).ok('work --finish')
    await expectFinished(all)
  })

  it('is refused while a merge is unfinished where the base branch is checked out', async () => {
    const all = await worked()
    const { repo, a } = all
    git(repo.dir, 'branch', 'side')
    save(repo.dir, 'other', 'x\n')
    git(repo.dir, 'worktree', 'add', '-q', '-b', 'side2', path.join(all.home, 'side'), 'side')
    save(path.join(all.home, 'side'), 'more', 'y\n')
    git(repo.dir, 'merge', '-q', '--no-commit', '--no-ff', 'side2')
    const main = head(repo.dir, 'main')
    const { code, stdout } = await a.run('--json work --finish fix-login')
    expect([code, JSON.parse(stdout).error.message]).toEqual([8, expect.stringContaining('merge')])
    expect([head(repo.dir, 'main'), fs.existsSync(path.join(repo.dir, '.git', 'MERGE_HEAD'))]).toEqual([main, true])
    git(repo.dir, 'merge', '--abort')
    expect((await a.run('work --finish fix-login')).code).toBe(0)
    await expectFinished(all)
  })

  it('is refused while the base branch is being rebased, in the main worktree or a linked one: giving that up would undo it', async () => {
    for (const how of ['--merge', '--apply', 'linked', '--update-refs'] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked()
      const { repo, home, a } = all
      git(repo.dir, 'switch', '-q', '-c', 'side')
      save(repo.dir, 'file', 'side\n')
      git(repo.dir, 'switch', '-q', 'main')
      const top = path.join(home, 'top')
      if (how === '--update-refs') {
        save(repo.dir, 'file', 'main\n')
        git(repo.dir, 'worktree', 'add', '-q', '-b', 'top', top)
        save(top, 'more', 'top\n')
      } else save(repo.dir, 'file', 'main\n')
      let place = repo.dir
      if (how === 'linked') {
        git(repo.dir, 'switch', '-q', 'side')
        git(repo.dir, 'worktree', 'add', '-q', top, 'main')
      }
      if (how === 'linked' || how === '--update-refs') place = top
      if (how === '--update-refs') git(repo.dir, 'switch', '-q', 'side')
      expect(() => git(place, 'rebase', ...(how === 'linked' ? [] : [how]), 'side')).toThrow()
      const main = head(repo.dir, 'main')
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { code, stdout } = await a.run('--json work --finish fix-login')
      expect(code, `${how}: ${stdout}`).toBe(8)
      const { error } = parse(stdout)
      expect([error.message, error.hint]).toEqual([
        expect.stringContaining(`a rebase of main is unfinished in ${place}`),
        expect.stringMatching(/git rebase --continue.*git rebase --abort.*lh work --finish/),
      ])
      expect(head(repo.dir, 'main')).toBe(main)
      git(place, 'rebase', '--abort')
      // oxlint-disable-next-line no-await-in-loop -- as above
      const done = await a.run('work --finish fix-login')
      expect(done.code, done.stderr).toBe(0)
      if (how === '--update-refs') git(repo.dir, 'worktree', 'remove', top)
      if (how !== 'linked') {
        git(repo.dir, 'switch', '-q', 'main')
        // oxlint-disable-next-line no-await-in-loop -- as above
        await expectFinished(all)
      }
    }
  })

  it('is refused while another agent has leased the base branch, and names it; one’s own lease of it is fine', async () => {
    const all = await worked()
    const { repo, place, a, b } = all
    await b.ok('claim acquire branch:main')
    const before = [...references(repo.dir), dirt(place)]
    const error = await a.in(place).refused('held', 'work --finish')
    expect(error).toMatchObject({
      message: expect.stringMatching(/^main cannot be moved: branch:main is held by agent:b /),
      hint: expect.stringContaining('lh why branch:main; then: lh work --finish'),
      holder: { agent_id: 'agent:b' },
    })
    expect([...references(repo.dir), dirt(place)]).toEqual(before)
    expect(await heldNow(a)).toHaveLength(4)
    await b.ok('claim release branch:main')
    await a.ok('claim acquire branch:main')
    const done = await a.in(place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    await a.ok('claim release branch:main')
    await expectFinished(all)
  })

  it('moves a base branch that is checked out nowhere, or in another linked worktree', async () => {
    const nowhere = await worked()
    git(nowhere.repo.dir, 'switch', '-q', '-c', 'elsewhere')
    // The ticket is told as the work has it, not as the branch has it that happens to be checked out.
    expect((await nowhere.a.ok('work --finish fix-login')).ticket.workflow_state).toBe('done')
    expect([fs.existsSync(path.join(nowhere.repo.dir, 'work')), dirt(nowhere.repo.dir)]).toEqual([false, ''])
    git(nowhere.repo.dir, 'switch', '-q', 'main')
    await expectFinished(nowhere)

    const linked = await worked()
    git(linked.repo.dir, 'switch', '-q', '-c', 'elsewhere')
    const there = path.join(linked.home, 'the main one')
    git(linked.repo.dir, 'worktree', 'add', '-q', there, 'main')
    expect((await linked.a.run('work --finish fix-login')).code).toBe(0)
    expect([read(there, 'work'), dirt(there), dirt(linked.repo.dir)]).toEqual(['done\n', '', ''])
  })

  it('moves the files with a base branch that is another name of the one that is checked out', async () => {
    const { repo, place, a } = shop()
    git(repo.dir, 'symbolic-ref', 'refs/heads/trunk', 'refs/heads/main')
    await a.ok('config set base_branch trunk')
    commit(repo.dir, 'another name')
    await a.ok('work fix-login')
    save(place, 'work', 'done\n')
    const done = await a.run('work --finish fix-login')
    expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringContaining('main has it')])
    expect([read(repo.dir, 'work'), dirt(repo.dir)]).toEqual(['done\n', ''])
    expect(git(repo.dir, 'symbolic-ref', 'refs/heads/trunk')).toBe('refs/heads/main')
  })

  it('brings the files to the end also when it is interrupted, or killed with all that it started', { timeout: 60_000 }, async () => {
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked()
      const { repo, place, home, a } = all
      for (const name of ['x', 'y', 'z']) fs.writeFileSync(path.join(place, name), `${name}\n`)
      commit(place, 'more')
      const [begun, go] = [path.join(home, 'begun'), path.join(home, 'go')]
      fs.appendFileSync(path.join(repo.dir, '.git', 'info', 'attributes'), 'y filter=slow\n')
      git(repo.dir, 'config', 'filter.slow.smudge', `touch '${begun}'; until [ -e '${go}' ]; do sleep 0.02; done; cat`)
      const env = { ...process.env, ...a.env }
      const lh = spawn(process.execPath, [executable, 'work', '--finish', 'fix-login'], {
        cwd: repo.dir,
        env,
        detached: true,
        stdio: 'ignore',
      })
      const ended = once(lh, 'exit')
      // oxlint-disable-next-line no-await-in-loop -- as above
      await until(() => fs.existsSync(begun), 'the files are being brought')
      process.kill(-lh.pid!, signal)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await ended
      fs.writeFileSync(go, '')
      const lock = path.join(repo.dir, '.git', 'index.lock')
      // oxlint-disable-next-line no-await-in-loop -- as above
      await until(() => !fs.existsSync(lock), 'Git is at its end there')
      // oxlint-disable-next-line no-await-in-loop -- as above
      const again = await a.run('work --finish fix-login')
      expect([again.code, again.stderr], signal).toEqual([0, expect.not.stringContaining('in the way')])
      expect([read(repo.dir, 'x'), read(repo.dir, 'y'), dirt(repo.dir)]).toEqual(['x\n', 'y\n', ''])
      for (const each of [begun, go]) fs.rmSync(each)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectFinished(all)
    }
  })

  it('moves the branch here where the base branch is one of a remote, and says how to make it where there is none', async () => {
    const { repo, place, a } = shop()
    await a.ok('config set base_branch origin/main')
    git(repo.dir, 'update-ref', 'refs/remotes/origin/main', commit(repo.dir, 'the setting'))
    await a.ok('work fix-login')
    save(place, 'work', 'done\n')
    git(repo.dir, 'switch', '-q', '--detach')
    git(repo.dir, 'branch', '-q', '-D', 'main')
    const { message, hint } = await a.in(place).refused('policy', 'work --finish')
    expect([message, hint]).toEqual([
      'there is no branch main here to merge into',
      expect.stringContaining(': git branch main origin/main; '),
    ])
    git(repo.dir, 'branch', '-q', 'main', 'origin/main')
    git(repo.dir, 'switch', '-q', 'main')
    const done = await a.in(place).run('work --finish')
    expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringContaining('main has it')])
    expect([read(repo.dir, 'work'), dirt(repo.dir)]).toEqual(['done\n', ''])
  })

  it('goes on where the base branch was renamed meanwhile, once that is said', async () => {
    const all = await worked()
    const { repo, place, a } = all
    git(repo.dir, 'branch', '-q', '-m', 'main', 'trunk')
    const { hint } = await a.in(place).refused('policy', 'work --finish')
    const [command] = /git symbolic-ref .*$/.exec(hint)!
    git(repo.dir, ...command.replace('<branch>', 'trunk').split(' ').slice(1))
    const done = await a.in(place).run('work --finish')
    expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringContaining('trunk has it')])
    expect(dirt(repo.dir)).toBe('')
    await expectFinished(all, 'trunk')
  })

  it('keeps nobody waiting for its post-merge hook: the lease is over, and others make worktrees meanwhile', async () => {
    const all = await worked()
    const { repo, place, home, a, b } = all
    const [begun, go] = [path.join(home, 'begun'), path.join(home, 'go')]
    const hook = `#!/bin/sh\ntouch '${begun}'\nuntil [ -e '${go}' ]; do sleep 0.05; done\n`
    fs.writeFileSync(path.join(repo.dir, '.git/hooks/post-merge'), hook, { mode: 0o755 })
    const run = a.start('work --finish fix-login')
    try {
      await until(() => fs.existsSync(begun), 'the hook runs')
      expect([await heldNow(b), fs.existsSync(place)]).toEqual([[], true])
      const other = b.start('worktree add spike')
      await until(() => other.child.exitCode !== null, 'another worktree is made')
      expect((await other.ended).code).toBe(0)
    } finally {
      fs.writeFileSync(go, '')
    }
    expect((await run.ended).code).toBe(0)
    expect(fs.existsSync(place)).toBe(false)
  })

  it('does not wait for what hooks leave running', async () => {
    const all = shop()
    const { repo, place, home, a } = all
    const [begun, go] = [path.join(path.dirname(home), 'begun'), path.join(path.dirname(home), 'go')]
    const hook = `#!/bin/sh\ncd /\n{ echo >>'${begun}'; until [ -e '${go}' ]; do sleep 0.05; done; } &\n`
    for (const name of ['post-checkout', 'post-commit', 'post-merge'])
      fs.writeFileSync(path.join(repo.dir, '.git/hooks', name), hook, { mode: 0o755 })
    try {
      const begin = a.start('work fix-login')
      await until(() => begin.child.exitCode !== null, 'the worktree is there')
      git(repo.dir, 'config', 'core.hooksPath', '/dev/null')
      save(place, 'work', 'done\n')
      git(repo.dir, 'config', '--unset', 'core.hooksPath')
      const run = a.start('work --finish fix-login')
      await until(() => run.child.exitCode !== null, 'it is finished')
      expect([run.child.exitCode, read(repo.dir, 'work')], run.stderr).toEqual([0, 'done\n'])
      await until(() => fs.readFileSync(begun, 'utf8') === '\n\n\n', 'each hook has run')
    } finally {
      fs.writeFileSync(go, '')
    }
    expect(fs.existsSync(place)).toBe(false)
  })

  it('runs the post-merge hook where the base branch is checked out, once the branch has moved and the store is free', async () => {
    const all = await worked()
    const { repo, a } = all
    const lh = `"${process.execPath}" "${path.resolve(import.meta.dirname, '../../dist/bin/lh.cjs')}"`
    fs.writeFileSync(
      path.join(repo.dir, '.git/hooks/post-merge'),
      `#!/bin/sh\n${lh} claim acquire env:x >/dev/null\ngit rev-parse HEAD > .git/merged\n`,
      {
        mode: 0o755,
      },
    )
    expect((await a.run('work --finish fix-login')).code).toBe(0)
    expect(read(repo.dir, '.git/merged').trim()).toBe(head(repo.dir, 'main'))
    expect(await heldNow(a)).toEqual(['env:x'])
  })
})
