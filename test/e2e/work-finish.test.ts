import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { executable, git, parse, Running, until } from '../support/cli.ts'
import { expectFinished, stateOf, worked } from '../support/finish.ts'
import { requires } from '../support/skip.ts'
import { commit, eventsIn, fieldOf } from '../support/tickets.ts'
import { allGone, branches, countOf, dirt, head, heldNow, id, isGone, read, references, save, shop, type Shop } from '../support/work.ts'

// `lh work --finish`: from committed work to a base branch that has it. What fails changes nothing, and the same command goes on.

const needsProc = requires(fs.existsSync('/proc/self/fd'), 'needs /proc, which shows what a process reads')

describe('work --finish', () => {
  needsProc.it('is not kept from removing the worktree by what reads its output there', async () => {
    const all = await worked()
    // The shell starts them where it stands, and they live until our output ends, or longer.
    const reader = `sh -c 'cat; sleep 1' | sh -c 'cat; sleep 1'`
    const { stdout } = await all.a.in(all.place).startWith(['sh', '-c', `"$@" | ${reader}`, 'sh'], '--json work --finish').ended
    expect(parse(stdout).removed).toBe(true)
    await expectFinished(all)
  })

  it('says what Git says where Git does not work, and not that there is no branch', async () => {
    const { a, place } = await worked()
    const { code, stderr } = await a.in(place).with({ GIT_TEST_ASSUME_DIFFERENT_OWNER: '1' }).run('work --finish')
    expect(code, stderr).toBe(7)
    expect(stderr).toContain('detected dubious ownership')
    expect(stderr).not.toContain('is on no branch')
  })

  it('says so when there is nothing that the base branch lacks', async () => {
    const all = shop()
    await all.a.ok('work fix-login')
    const { code, stderr } = await all.a.run('work --finish fix-login')
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining(`agents/fix-login has no commit that main lacks: ${id} is finished without a change`),
    ])
    const other = await worked()
    expect((await other.a.run('work --finish fix-login')).stderr).not.toContain('without a change')
  })

  it('by a launched agent ends the launch as the agent ends, with one document', async () => {
    const all = shop()
    // As no agent does, it would else be done before its launcher has said that it began.
    const begun = 'until grep -q "^workflow_state: inprogress" .leasehold/tickets/*/ticket.md; do sleep 0.05; done'
    const script = `echo >&3; ${begun}; echo done >work; git add work; git commit -qm "the work"; "$0" "$1" work --finish >&2; exit 5`
    const ended = await all.a.run('--json work fix-login --ready fd --', 'sh', '-c', script, process.execPath, executable)
    expect(ended.code, ended.stderr).toBe(5)
    expect(parse(ended.stdout)).toMatchObject({ ok: true })
    await expectFinished(all)
  })

  needsProc.it('keeps the worktree while another process works there', async () => {
    const all = await worked()
    const other = new Running('sleep', ['60'], { cwd: all.place, env: process.env })
    const { stdout, stderr } = await all.a.run('--json work --finish fix-login')
    expect(parse(stdout).removed).toBe(false)
    expect(stderr).toContain(`process ${other.pid} (sleep) works in`)
    other.kill('SIGKILL')
    await other.exited
    await all.a.ok('work --finish fix-login')
    await expectFinished(all)
  })

  it('brings the work home by a fast-forward; done is the last commit', async () => {
    const all = await worked()
    const { repo, place, a } = all
    const work = head(place)
    const done = await a.in(place).run('--json work --finish')
    expect(done.code, done.stdout).toBe(0)
    expect(JSON.parse(done.stdout)).toMatchObject({
      ok: true,
      ticket: { id, workflow_state: 'done' },
      branch: 'agents/fix-login',
      base: 'main',
      commit: head(repo.dir, 'main'),
      path: place,
      removed: true,
    })
    expect(head(repo.dir, 'main^')).toBe(work)
    expect(git(repo.dir, 'log', '-1', '--format=%s')).toBe(`Finish ${id}`)
    expect(
      git(repo.dir, 'diff', '--name-only', 'main^', 'main')
        .split('\n')
        .every(name => name.startsWith('.leasehold/')),
    ).toBe(true)
    expect([read(repo.dir, 'work'), dirt(repo.dir)]).toEqual(['done\n', ''])
    await expectFinished(all)
    // Once more is nothing more.
    const before = references(repo.dir)
    expect(await a.ok('work --finish fix-login')).toMatchObject({ already: true, ticket: { workflow_state: 'done' } })
    expect(references(repo.dir)).toEqual(before)
  })

  it('is run from the main worktree by the name of the ticket as well', async () => {
    const all = await worked()
    expect(await all.a.run('work --finish fix-lo')).toMatchObject({ code: 0, stdout: expect.stringContaining('removed') })
    await expectFinished(all)
  })

  it('makes a merge commit when that is asked for, with a message of its own', async () => {
    for (const [words, subject] of [
      [['--no-ff'], "Merge branch 'agents/fix-login'"],
      [['--message', 'Login works again'], 'Login works again'],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked()
      const before = head(all.repo.dir, 'main')
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect((await all.a.run('work --finish fix-login', ...words)).code).toBe(0)
      expect(git(all.repo.dir, 'log', '-1', '--format=%s')).toBe(subject)
      expect(head(all.repo.dir, 'main^1')).toBe(before)
      expect(git(all.repo.dir, 'log', '-1', '--format=%s', 'main^2')).toBe(`Finish ${id}`)
      expect(git(all.repo.dir, 'rev-parse', 'main^{tree}')).toBe(git(all.repo.dir, 'rev-parse', 'main^2^{tree}'))
      expect(dirt(all.repo.dir)).toBe('')
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectFinished(all)
    }
  })

  it('signs the merge commit where commits are signed', async () => {
    const all = await worked()
    const { repo, home, a } = all
    const signer = path.join(path.dirname(home), 'signer')
    const signature = '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'
    fs.writeFileSync(signer, `#!/bin/sh\ncat >/dev/null\nprintf '\\n[GNUPG:] SIG_CREATED x\\n' >&2\nprintf -- '${signature}'\n`, {
      mode: 0o755,
    })
    git(repo.dir, 'config', 'gpg.program', signer)
    git(repo.dir, 'config', 'commit.gpgSign', 'yes')
    expect((await a.run('work --finish fix-login --no-ff')).code).toBe(0)
    for (const commit of ['main', 'main^2']) expect(git(repo.dir, 'cat-file', 'commit', commit), commit).toContain('\ngpgsig ')
    await expectFinished(all)
  })

  it('has a word with who says nothing', async () => {
    const all = await worked()
    const before = await stateOf(all)
    await all.a.refused('usage', 'work --finish fix-login --message', ' ')
    await all.a.refused('usage', 'work --finish fix-login -- true')
    for (const option of [
      '--profile claude',
      '--ready fd',
      '--role dev',
      '--peer x',
      '--ttl 1h',
      '--reason why',
      '--op-id w9',
      '--wait 1s',
      '--prompt hello',
      '--permit',
    ])
      expect(await all.a.refused('usage', `work --finish fix-login ${option}`)).toMatchObject({
        message: expect.stringContaining('changes nothing'),
      })
    expect(await stateOf(all)).toEqual(before)
  })

  it('leaves worktree and branch with --keep, and removes them when it is asked again without', async () => {
    const all = await worked()
    const { repo, place, a } = all
    expect(await a.run('work --finish fix-login --keep')).toMatchObject({ code: 0, stdout: expect.stringContaining(`kept ${place}`) })
    expect([fs.existsSync(place), branches(repo.dir)]).toEqual([true, ['agents/fix-login', 'main']])
    expect(await heldNow(a)).toEqual([])
    const main = head(repo.dir, 'main')
    expect((await a.in(place).run('work --finish')).code).toBe(0)
    expect(head(repo.dir, 'main')).toBe(main)
    await expectFinished(all)
  })
})

describe('work --finish when the base branch has moved on', () => {
  it('merges it in, and the gates judge the result', async () => {
    // The gate fails on either side alone.
    const all = await worked({}, { both: { command: 'test -f work -a -f other' } })
    const { repo, place, a } = all
    save(repo.dir, 'other', 'x\n')
    const other = head(repo.dir)
    const done = await a.in(place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    git(repo.dir, 'merge-base', '--is-ancestor', other, 'main')
    expect(countOf(repo.dir, 'main', "Merge branch 'main' into agents/fix-login")).toBe(1)
    expect([read(repo.dir, 'other'), countOf(repo.dir, 'main', 'work on other')]).toEqual(['x\n', 1])
    expect(git(repo.dir, 'log', '-1', '--format=%s')).toBe(`Finish ${id}`)
    await expectFinished(all)
  })

  it('also with a merge commit asked for, and where Git is told to fast-forward only', async () => {
    const all = await worked()
    git(all.repo.dir, 'config', 'merge.ff', 'only')
    save(all.repo.dir, 'other', 'x\n')
    const other = head(all.repo.dir)
    const done = await all.a.run('work --finish fix-login --no-ff')
    expect(done.code, done.stderr).toBe(0)
    expect(head(all.repo.dir, 'main^1')).toBe(other)
    await expectFinished(all)
  })

  it('also where Git is told to leave merges of this branch uncommitted, or without a second parent', async () => {
    for (const option of ['--no-commit', '--squash']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked()
      git(all.repo.dir, 'config', 'branch.agents/fix-login.mergeOptions', option)
      save(all.repo.dir, 'other', 'x\n')
      // oxlint-disable-next-line no-await-in-loop -- as above
      const done = await all.a.run('work --finish fix-login')
      expect(done.code, done.stderr).toBe(0)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectFinished(all)
    }
  })

  it('is let through by our own hooks, and its commits say under which lease they were made', async () => {
    const all = shop()
    const { repo, place, a } = all
    await a.ok('hooks install git')
    const { token } = await a.ok('work fix-login')
    fs.writeFileSync(path.join(place, 'work'), 'done\n')
    git(place, 'add', 'work')
    expect((await a.in(place).run('exec env:commit --', 'git', 'commit', '-q', '-m', 'the work')).code).toBe(0)
    save(repo.dir, 'other', 'x\n')
    const done = await a.run('work --finish fix-login')
    expect(done.code, done.stderr).toBe(0)
    for (const subject of [`Finish ${id}`, `Record the work on ${id}`, "Merge branch 'main' into agents/fix-login"])
      expect(git(repo.dir, 'log', '-1', '--format=%(trailers:key=Leasehold-Token,valueonly)', `--grep=${subject}`), subject).toBe(
        String(token),
      )
    await expectFinished(all)
  })

  it('keeps what others said of the ticket meanwhile', async () => {
    const all = await worked()
    const { repo, place, a, b } = all
    await b.ok('ticket comment fix-login --message', 'how is it going?')
    commit(repo.dir, 'a comment')
    await a.in(place).ok('ticket comment fix-login --message', 'nearly done')
    const done = await a.in(place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    const said = eventsIn(repo.dir, id).map(({ type, message, to }) => message ?? to ?? type)
    expect(said.map(String).toSorted()).toEqual(['done', 'how is it going?', 'inprogress', 'nearly done'])
    await expectFinished(all)
  })

  it('takes the merge back when a gate fails: base branch, branch and lease are as before', async () => {
    const all = await worked({}, { tests: { command: 'test ! -f other' } })
    const { repo, place, a, b } = all
    await b.ok('ticket comment fix-login --message', 'how is it going?')
    save(repo.dir, 'other', 'x\n')
    const [refs, held] = [references(repo.dir), await heldNow(a)]
    const [worktree, events] = [dirt(place), eventsIn(place, id).length]
    for (const _ of [1, 2]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { code, stderr } = await a.in(place).run('work --finish')
      expect([code, stderr]).toEqual([8, expect.stringContaining('tests')])
      expect(references(repo.dir)).toEqual(refs)
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect(await heldNow(a)).toEqual(held)
      expect([dirt(place), fs.existsSync(path.join(place, 'other')), dirt(repo.dir)]).toEqual([worktree, false, ''])
    }
    // What the gate said is kept.
    expect(eventsIn(place, id).slice(events)).toMatchObject([
      { gate: 'tests', result: 'failed' },
      { gate: 'tests', result: 'failed' },
    ])
    git(repo.dir, 'rm', '-q', 'other')
    git(repo.dir, 'commit', '-q', '-m', 'mended')
    const done = await a.in(place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    expect(eventsIn(repo.dir, id).filter(({ type }) => type === 'gate')).toHaveLength(3)
    await expectFinished(all)
  })

  it('leaves a conflict to the person: in words, with the lease; resolved, it goes on', async () => {
    const all = await worked()
    const { repo, place, a } = all
    save(place, 'file', 'ours\n')
    save(repo.dir, 'file', 'theirs\n')
    const [main, mine] = [head(repo.dir, 'main'), head(place)]
    const { code, stdout } = await a.in(place).run('--json work --finish')
    expect(code).toBe(8)
    const { error } = JSON.parse(stdout)
    expect(error.message).toContain('file')
    expect(error.message).toContain('you still hold the ticket')
    expect(error.hint).toMatch(/git add .*lh work --finish.*git merge --abort/)
    expect(error.hint).toContain(place)
    expect([head(repo.dir, 'main'), await heldNow(a)]).toEqual([main, expect.objectContaining({ length: 3 })])
    expect(read(place, 'file')).toContain('<<<<<<<')
    // Not resolved yet: told so, nothing changes.
    const again = await a.in(place).run('--json work --finish')
    expect([again.code, JSON.parse(again.stdout).error.message]).toEqual([8, expect.stringContaining('a merge is unfinished')])
    // Given up: as it was.
    git(place, 'merge', '--abort')
    expect([git(place, 'log', '--format=%H', '--first-parent').split('\n').includes(mine), read(place, 'file'), dirt(place)]).toEqual([
      true,
      'ours\n',
      '',
    ])
    // Once more, and resolved.
    expect((await a.in(place).run('work --finish')).code).toBe(8)
    fs.writeFileSync(path.join(place, 'file'), 'both\n')
    git(place, 'add', '-A')
    git(place, 'commit', '-q', '--no-edit')
    const done = await a.in(place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    expect(read(repo.dir, 'file')).toBe('both\n')
    await expectFinished(all)
  })
})

describe('work --finish is refused', () => {
  it('by a gate that fails, with everything as before; mended, it goes on', async () => {
    const all = await worked({}, { tests: { command: 'test -f mended' } })
    const { repo, place, a } = all
    const [refs, held] = [references(repo.dir), await heldNow(a)]
    const { code, stderr } = await a.in(place).run('work --finish')
    expect([code, stderr]).toEqual([8, expect.stringContaining('gate failed: tests')])
    expect([references(repo.dir), await heldNow(a), fieldOf(place, id, 'workflow_state'), dirt(repo.dir)]).toEqual([
      refs,
      held,
      'inprogress',
      '',
    ])
    save(place, 'mended', 'x\n')
    expect((await a.in(place).run('work --finish')).code).toBe(0)
    await expectFinished(all)
  })

  it('by a gate that fails: what was committed while the gates ran stays, on top of a merge of the base branch as well', async () => {
    for (const moved of [false, true]) {
      const commits = 'test -f more || { echo x >more && git add more && git commit -q -m "meanwhile"; }'
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked({}, { tests: { command: `${commits}; test -f mended` } })
      const { repo, place, a } = all
      if (moved) save(repo.dir, 'other', 'x\n')
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { code, stderr } = await a.in(place).run('work --finish')
      expect([code, stderr]).toEqual([8, expect.stringContaining('gate failed: tests')])
      expect(stderr.includes('the merge of the base branch stays in this branch')).toBe(moved)
      expect([git(place, 'log', '-1', '--format=%s'), read(place, 'more')]).toEqual(['meanwhile', 'x\n'])
      save(place, 'mended', 'x\n')
      // oxlint-disable-next-line no-await-in-loop -- as above
      const done = await a.in(place).run('work --finish')
      expect(done.code, done.stderr).toBe(0)
      expect(countOf(repo.dir, 'main', 'meanwhile')).toBe(1)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectFinished(all)
    }
  })

  it('by a manual gate that nobody passed', async () => {
    const all = await worked({}, { review: {} })
    const { repo, place, a, b } = all
    const before = await stateOf(all)
    const { code, stdout } = await a.in(place).run('--json work --finish')
    const { error } = JSON.parse(stdout)
    expect([code, error.message, error.hint]).toEqual([8, expect.stringContaining('review'), expect.stringContaining('lh gate pass')])
    expect(await stateOf(all)).toEqual(before)
    await a.in(place).ok('gate pass fix-login review')
    expect((await b.run('work --finish fix-login')).code).toBe(5)
    expect((await a.run('work --finish fix-login')).code).toBe(0)
    expect(countOf(repo.dir, 'main', 'the work')).toBe(1)
    await expectFinished(all)
  })

  it('by a gate that changes files: what it passed is not what would be merged', async () => {
    for (const command of ['echo formatted >> work', 'echo output > report']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked({}, { format: { command } })
      const { repo, place, a } = all
      save(repo.dir, 'other', 'x\n')
      const refs = references(repo.dir)
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { code, stdout } = await a.in(place).run('--json work --finish')
      expect(code, stdout).toBe(8)
      expect(JSON.parse(stdout).error.message).toMatch(/left 1 file changed or new .*(?:work|report)/)
      expect(references(repo.dir)).toEqual(refs)
      // What the gate wrote stays.
      expect([read(place, 'work'), fs.existsSync(path.join(place, 'report'))]).toEqual(
        command.includes('report') ? ['done\n', true] : ['done\nformatted\n', false],
      )
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect(await heldNow(a)).toHaveLength(3)
    }
  })

  it('by work that is not committed: changed, staged or new', async () => {
    const all = await worked()
    const { place, a } = all
    const refusedBy = async (name: string): Promise<void> => {
      const before = await stateOf(all)
      const { code, stdout } = await a.in(place).run('--json work --finish')
      const { error } = JSON.parse(stdout)
      expect([code, error.message, error.hint]).toEqual([8, expect.stringContaining(name), expect.stringContaining('git stash')])
      expect(await stateOf(all)).toEqual(before)
    }
    fs.writeFileSync(path.join(place, 'file'), 'changed\n')
    await refusedBy('file')
    git(place, 'add', 'file')
    await refusedBy('file')
    git(place, 'reset', '-q', '--hard')
    // The ticket's own files were reset with it.
    await a.ok('work fix-login')
    fs.mkdirSync(path.join(place, 'deep'))
    fs.writeFileSync(path.join(place, 'deep', 'a new one'), 'x')
    await refusedBy('deep/a new one')
    fs.rmSync(path.join(place, 'deep'), { recursive: true })
    expect((await a.in(place).run('work --finish')).code).toBe(0)
    await expectFinished(all)
  })

  it('by what Git is in the middle of, also between two patches or commits', async () => {
    const all = await worked()
    const { repo, place, home, a } = all
    const refusedBy = async (what: string, ...continued: readonly string[]): Promise<void> => {
      const before = await stateOf(all)
      const { code, stdout } = await a.in(place).run('--json work --finish')
      const { error } = parse(stdout)
      expect([code, error.message, error.hint]).toEqual([
        8,
        expect.stringContaining(`${what} is unfinished in ${place}`),
        expect.stringMatching(continued.map(each => `git ${each}`).join('.*')),
      ])
      expect(await stateOf(all)).toEqual(before)
    }
    git(repo.dir, 'switch', '-q', '-c', 'side')
    for (const name of ['work', 'more']) save(repo.dir, name, 'of the side\n')
    const patches = git(repo.dir, 'format-patch', '-o', path.join(home, 'patches'), 'main..side').split('\n')
    git(repo.dir, 'switch', '-q', 'main')
    git(place, 'commit', '-q', '-a', '-m', 'the ticket')
    expect(() => git(place, 'am', '-q', ...patches)).toThrow()
    await refusedBy('an am', 'am --continue', 'am --abort')
    git(place, 'am', '--abort')
    expect(() => git(place, 'cherry-pick', 'main..side')).toThrow()
    git(place, 'checkout', '-q', '--ours', 'work')
    git(place, 'add', 'work')
    git(place, 'commit', '-q', '--allow-empty', '-m', 'the first of two')
    await refusedBy('a cherry-pick', 'cherry-pick --continue', 'cherry-pick --abort')
    git(place, 'cherry-pick', '--quit')
    expect(() => git(place, 'rebase', '-q', 'side')).toThrow()
    await refusedBy('a rebase', 'rebase --continue', 'rebase --abort')
    git(place, 'rebase', '--abort')
    expect((await a.in(place).run('work --finish')).code).toBe(0)
    await expectFinished(all)
  })

  it('by commits that are on no branch, with what keeps them', async () => {
    const all = await worked()
    const { place, a } = all
    git(place, 'commit', '-q', '-a', '-m', 'the ticket')
    git(place, 'switch', '-q', '--detach')
    save(place, 'more', 'more\n')
    const { code, stdout } = await a.in(place).run('--json work --finish')
    const { error } = parse(stdout)
    expect([code, error.message]).toEqual([8, expect.stringContaining('is on no branch, and a commit there is on none')])
    const [, branch, kept] = /^keep it: git switch (.*) && git merge (.*)$/.exec(error.hint)!
    git(place, 'switch', '-q', branch!)
    git(place, 'merge', '-q', kept!)
    expect((await a.in(place).run('work --finish')).code).toBe(0)
    expect(read(all.repo.dir, 'more')).toBe('more\n')
    await expectFinished(all)
  })

  it('on a detached HEAD, on the base branch itself, and when the base branch is missing', async () => {
    const all = await worked()
    const { repo, place, a } = all
    const refusedBy = async (words: RegExp): Promise<void> => {
      const before = await stateOf(all)
      const { code, stdout } = await a.in(place).run('--json work --finish')
      const { error } = JSON.parse(stdout)
      expect([code, error.message, error.hint]).toEqual([8, expect.stringMatching(words), expect.stringMatching(/git (?:switch|branch) /)])
      expect(await stateOf(all)).toEqual(before)
    }
    git(place, 'checkout', '-q', '--detach')
    await refusedBy(/on no branch/)
    git(place, 'switch', '-q', 'agents/fix-login')
    git(repo.dir, 'switch', '-q', '-c', 'elsewhere')
    git(repo.dir, 'branch', '-q', '-m', 'main', 'trunk')
    // A tag is no branch.
    git(repo.dir, 'tag', 'main', 'trunk')
    await refusedBy(/no branch main/)
    git(repo.dir, 'branch', '-q', '-m', 'trunk', 'main')
    git(place, 'stash', '-q')
    git(place, 'switch', '-q', 'main')
    await refusedBy(/on main itself/)
    git(place, 'switch', '-q', 'agents/fix-login')
    git(place, 'stash', 'pop', '-q')
    git(repo.dir, 'switch', '-q', 'main')
    expect((await a.in(place).run('work --finish')).code).toBe(0)
    git(repo.dir, 'tag', '-d', 'main')
    await expectFinished(all)
  })

  it('by a hook of the repository that refuses the commit; again it works', async () => {
    for (const [moved, hook] of [
      [false, 'pre-commit'],
      [true, 'pre-commit'],
      [true, 'pre-merge-commit'],
      [false, 'commit-msg'],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked()
      const { repo, place, a } = all
      if (moved) save(repo.dir, 'other', 'x\n')
      const file = path.join(repo.dir, '.git', 'hooks', hook)
      fs.writeFileSync(file, '#!/bin/sh\necho "no commits on Fridays" >&2\nexit 1\n', { mode: 0o755 })
      const refs = references(repo.dir)
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { code, stdout } = await a.in(place).run('--json work --finish')
      expect([code, JSON.parse(stdout).error.message], hook).toEqual([8, expect.stringContaining('no commits on Fridays')])
      expect(references(repo.dir)).toEqual(refs)
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect(await heldNow(a)).toHaveLength(3)
      fs.rmSync(file)
      // oxlint-disable-next-line no-await-in-loop -- as above
      const done = await a.in(place).run('work --finish')
      expect(done.code, done.stderr).toBe(0)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectFinished(all)
    }
  })

  it('by a hook that wants other words; with those that it says how to give it goes on', async () => {
    const all = await worked()
    const { repo, place, a } = all
    fs.writeFileSync(path.join(repo.dir, '.git', 'hooks', 'commit-msg'), '#!/bin/sh\ngrep -q "^chore: " "$1"\n', { mode: 0o755 })
    const { code, stdout } = await a.in(place).run('--json work --finish')
    const [, command] = /in your own words: (.*?); then: lh work --finish/.exec(JSON.parse(stdout).error.hint) ?? []
    expect(code, stdout).toBe(8)
    execFileSync('sh', ['-c', command!.replace('…', 'chore: done')])
    const done = await a.in(place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    expect(git(repo.dir, 'log', '-1', '--format=%s')).toBe('chore: done')
    await a.ok('verify')
    expect(isGone(all)).toEqual(allGone)
  })

  it('by the lock of a Git that was killed there, which it names', async () => {
    for (const moved of [false, true]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await worked()
      const { repo, place, a } = all
      if (moved) {
        commit(place, 'what the ticket says')
        save(repo.dir, 'other', 'x\n')
      }
      const lock = path.join(repo.dir, '.git', 'worktrees', 'fix-login', 'index.lock')
      fs.writeFileSync(lock, '')
      const refs = references(repo.dir)
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect(await a.in(place).refused('policy', 'work --finish')).toMatchObject({
        message: expect.stringContaining(`left ${lock}`),
        hint: expect.stringContaining(`rm ${lock}; then: lh work --finish`),
      })
      expect(references(repo.dir)).toEqual(refs)
      fs.rmSync(lock)
      // oxlint-disable-next-line no-await-in-loop -- as above
      const done = await a.in(place).run('work --finish')
      expect(done.code, done.stderr).toBe(0)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectFinished(all)
    }
  })

  it('while another command of the same holder finishes it, which is not disturbed', async () => {
    const all = await worked({}, { slow: { command: 'touch ../../begun; until [ -e ../../go ]; do sleep 0.05; done' } })
    const [first, above] = [all.a.start('--json work --finish fix-login'), path.dirname(all.home)]
    await until(() => fs.existsSync(path.join(above, 'begun')), 'the gate runs')
    const second = await all.a.run('--json work --finish fix-login')
    expect([second.code, parse(second.stdout).error.message]).toEqual([3, `another command is finishing ${id}`])
    fs.writeFileSync(path.join(above, 'go'), '')
    const { code, stdout } = await first.ended
    expect(code, stdout).toBe(0)
    await expectFinished(all)
  })

  it('by who holds it: another agent changes nothing', async () => {
    const all = await worked()
    const before = await stateOf(all)
    for (const agent of [all.b, all.b.in(all.place)]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { code, stdout } = await agent.run('--json work --finish fix-login')
      expect([code, JSON.parse(stdout).error.code]).toEqual([5, 'not_owner'])
    }
    expect(await stateOf(all)).toEqual(before)
  })
})

describe('work --finish and time', () => {
  const expire = async ({ a }: Shop): Promise<void> => {
    await a.ok('work fix-login --ttl 1s')
    await until(async () => (await a.lease(`ticket:${id}`)).standing === 'expired', 'it has expired')
  }

  it('goes on when its lease has expired and nobody took it; the log says that it was late', async () => {
    const all = await worked()
    await expire(all)
    const done = await all.a.in(all.place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    expect(all.repo.records().some(({ op, late }) => op === 'renew' && late === true)).toBe(true)
    await expectFinished(all)
  })

  it('is superseded when another took it, and when that one has finished by now: nothing moves', async () => {
    const all = await worked()
    const { repo, place, a, b } = all
    await expire(all)
    const begun = await b.run('ticket start fix-login')
    expect([begun.code, begun.stderr]).toEqual([0, expect.stringContaining(place)])
    const before = await stateOf(all)
    await a.in(place).refused('superseded', 'work --finish')
    await a.refused('superseded', 'work --finish fix-login')
    expect(await stateOf(all)).toEqual(before)
    await b.ok('ticket done fix-login')
    commit(repo.dir, 'done by b')
    const after = await stateOf(all)
    await a.in(place).refused('superseded', 'work --finish')
    expect(await stateOf(all)).toEqual(after)
    expect(countOf(repo.dir, 'main', 'the work')).toBe(0)
  })

  it('goes on after a ticket that was said to be done by hand, also when the base branch has moved on', async () => {
    const all = await worked()
    const { repo, place, a } = all
    await a.in(place).ok('ticket done fix-login')
    save(repo.dir, 'other', 'x\n')
    const done = await a.in(place).run('work --finish')
    expect(done.code, done.stderr).toBe(0)
    await expectFinished(all)
  })

  it('brings what a ticket says that was ended by hand, where there is nothing else to bring', async () => {
    for (const [ending, word, merged] of [
      ['ticket done fix-login', 'done', false],
      ['ticket done fix-login', 'done', true],
      ['ticket close fix-login --resolution no', 'closed', false],
    ] as const) {
      const all = shop()
      const { repo, place, a } = all
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await a.ok('work fix-login')
      if (merged) {
        fs.writeFileSync(path.join(place, 'work'), 'done\n')
        git(place, 'add', 'work')
        git(place, 'commit', '-q', '-m', 'the work')
        git(repo.dir, 'merge', '-q', 'agents/fix-login')
      }
      // oxlint-disable-next-line no-await-in-loop -- as above
      await a.in(place).ok(ending)
      // oxlint-disable-next-line no-await-in-loop -- as above
      const done = await a.run('work --finish fix-login')
      expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringContaining(`${id} is ${word}; main has it at`)])
      expect(done.stdout).toContain('removed ')
      const text = git(repo.dir, 'show', `main:.leasehold/tickets/${id}/ticket.md`)
      expect(text).toMatch(word === 'done' ? /^workflow_state: done$/m : /^status: closed$/m)
      expect([isGone(all), dirt(repo.dir)]).toEqual([allGone, ''])
    }
  })

  it('commits the line for Git that a ticket brings, and no other change of that file', async () => {
    const all = shop()
    const { repo, place, a } = all
    git(repo.dir, 'rm', '-q', '.gitattributes')
    git(repo.dir, 'commit', '-q', '-m', 'no attributes')
    await a.ok('work fix-login')
    fs.writeFileSync(path.join(place, 'work'), 'done\n')
    git(place, 'add', 'work')
    git(place, 'commit', '-q', '-m', 'the work')
    expect(dirt(place)).toContain('.gitattributes')
    fs.appendFileSync(path.join(place, '.gitattributes'), '*.bin binary\n')
    const { code, stderr } = await a.in(place).run('work --finish')
    expect([code, stderr]).toEqual([8, expect.stringContaining('1 file in')])
    fs.writeFileSync(path.join(place, '.gitattributes'), read(place, '.gitattributes').replace('*.bin binary\n', ''))
    expect((await a.in(place).run('work --finish')).code).toBe(0)
    expect(read(repo.dir, '.gitattributes')).toContain('merge=union')
    await expectFinished(all)
  })
})
