import fs from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { executable, folder, git, type Repo } from '../support/cli.ts'
import { hooked, person, steal, type Person } from '../support/git-hooks.ts'
import { lhIn } from '../support/shell.ts'
import { commit, linked, putTicket, ticketFile } from '../support/tickets.ts'

// What the hooks let pass and what they refuse, with real Git. Each refusal is tried again with the rule off, so that it is the rule that
// refuses and nothing else.

let repo: Repo
let ann: Person
let bob: Person
let remote: string

beforeEach(() => {
  ;({ repo, ann, bob, remote } = hooked())
})

/** Refused with these words; and let through as soon as nobody enforces. */
function refused(who: Person, words: RegExp, ...args: readonly string[]): void {
  const before = git(repo.dir, 'log', '--all', '--format=%H')
  const ran = who.git(...args)
  expect(ran).toMatchObject({ code: 1, said: expect.stringMatching(words) })
  expect(ran.said).toMatch(/^lh: /m)
  expect(git(repo.dir, 'log', '--all', '--format=%H')).toBe(before)
  const off = who.with({ LEASEHOLD_ENFORCE: 'off' }).git(...args)
  expect(off, 'with enforce: off').toMatchObject({ code: 0 })
  expect(off.said).not.toMatch(/lh: /)
}

describe('trailers', () => {
  const trio = /^Leasehold-Ticket: fix\nLeasehold-Lease: [0-9A-Z]{26}\nLeasehold-Token: (\d+)$/m

  it('name the ownership that a commit was made under; nobody’s commit has none', () => {
    ann.did('commit', '-q', '--allow-empty', '-m', 'before')
    expect(ann.message()).toBe('before')
    ann.ok('claim acquire fix')
    expect(ann.commit('feat: it works')).toMatchObject({ code: 0 })
    expect(ann.message()).toMatch(trio)
    expect(git(repo.dir, 'log', '-1', '--format=%(trailers:key=Leasehold-Token,valueonly)')).toBe('1')
    ann.ok('claim release fix')
    ann.commit('after')
    expect(ann.message()).toBe('after')
  })

  it('are replaced by an amend and a reword, also under a later token', () => {
    ann.ok('claim acquire fix')
    ann.commit('one')
    ann.ok('claim release fix')
    ann.ok('claim acquire fix')
    ann.did('commit', '--amend', '--allow-empty', '--no-edit')
    expect(ann.message().match(/Leasehold-Ticket/g)).toHaveLength(1)
    expect(ann.message()).toMatch(/Leasehold-Token: 3$/)
    ann.with({ GIT_EDITOR: 'sed -i 1s/one/two/' }).did('commit', '--amend', '--allow-empty')
    expect(ann.message()).toMatch(/^two\n\nLeasehold-Ticket: fix\n/)
    expect(ann.message().match(/Leasehold-Ticket/g)).toHaveLength(1)
  })

  it('stand above what an editor shows, scissors and diff included, and an empty message stays one', () => {
    ann.ok('claim acquire fix')
    ann.stage('a.txt')
    const editor = path.join(folder(), 'editor')
    fs.writeFileSync(editor, '#!/bin/sh\nsed -i "1s/^/written by hand/" "$1"\n', { mode: 0o755 })
    ann.with({ GIT_EDITOR: editor }).did('-c', 'commit.verbose=true', '-c', 'commit.cleanup=scissors', 'commit')
    expect(ann.message()).toMatch(/^written by hand\n\nLeasehold-Ticket: fix\nLeasehold-Lease: \w+\nLeasehold-Token: 1$/)
    const before = git(repo.dir, 'rev-parse', 'HEAD')
    for (const cleanup of ['default', 'scissors']) {
      const left = ann.with({ GIT_EDITOR: 'true' }).git('-c', `commit.cleanup=${cleanup}`, 'commit', '--allow-empty')
      expect(left).toMatchObject({ code: 1, said: expect.stringMatching(/nothing is committed/) })
    }
    expect(ann.git('commit', '--allow-empty', '-m', '')).toMatchObject({ code: 1, said: expect.stringMatching(/empty commit message/) })
    expect(git(repo.dir, 'rev-parse', 'HEAD')).toBe(before)
  })

  it('leave an empty message empty whatever Git takes for a comment, and a message alone that looks like one', () => {
    ann.ok('claim acquire fix')
    const untouched = ann.with({ GIT_EDITOR: 'true' })
    const before = git(repo.dir, 'rev-parse', 'HEAD')
    for (const sign of [';', 'auto', '#', '%']) {
      const left = untouched.git('-c', `core.commentChar=${sign}`, 'commit', '--allow-empty')
      expect(left, sign).toMatchObject({ code: 1, said: expect.stringMatching(/nothing is committed/) })
    }
    expect(git(repo.dir, 'rev-parse', 'HEAD')).toBe(before)
    const editor = path.join(folder(), 'editor')
    fs.writeFileSync(editor, '#!/bin/sh\nsed -i "1s/^/#77 fix/" "$1"\n', { mode: 0o755 })
    const writes = ann.with({ GIT_EDITOR: editor })
    const said = (...args: readonly string[]): string => {
      writes.did(...args)
      return git(repo.dir, 'log', '-1', '--format=%s')
    }
    expect(said('commit', '--allow-empty', '--cleanup=scissors')).toBe('#77 fix')
    expect(said('commit', '--allow-empty', '--cleanup', 'whitespace')).toBe('#77 fix')
    expect(said('-c', 'commit.cleanup=verbatim', 'commit', '--allow-empty')).toBe('#77 fix')
    expect(said('-c', 'core.commentChar=;', 'commit', '--allow-empty')).toBe('#77 fix')
    expect(writes.git('commit', '--allow-empty')).toMatchObject({ code: 1, said: expect.stringMatching(/nothing is committed/) })
    expect(writes.git('-c', 'commit.cleanup=scissors', 'commit', '--allow-empty', '--cleanup=strip')).toMatchObject({ code: 1 })
  })

  it('survive merge, squash and fixup, strange endings and CRLF', () => {
    ann.did('switch', '-q', '-c', 'side')
    ann.ok('claim acquire fix')
    ann.stage('a.txt')
    ann.commit('on the side')
    ann.did('switch', '-q', 'main')
    ann.stage('b.txt')
    ann.commit('on main')
    ann.did('merge', '--no-ff', '--no-edit', 'side')
    expect(ann.message()).toMatch(trio)
    ann.did('reset', '-q', '--hard', 'HEAD~1')
    ann.did('merge', '--squash', 'side')
    ann.with({ GIT_EDITOR: 'true' }).did('commit')
    expect(ann.message()).toMatch(/^Leasehold-Token: 1$/m)
    expect(ann.message()).toMatch(/^ {4}Leasehold-Token: 1$/m)
    ann.stage('c.txt')
    ann.did('commit', '--fixup', 'HEAD')
    expect(ann.message()).toMatch(trio)
    ann.with({ GIT_SEQUENCE_EDITOR: 'true', GIT_EDITOR: 'true' }).did('rebase', '-i', '--autosquash', 'HEAD~2')
    expect(ann.message()).toMatch(trio)
    const file = path.join(folder(), 'message')
    fs.writeFileSync(file, 'no newline at its end')
    ann.did('commit', '--allow-empty', '-q', '-F', file)
    expect(ann.message()).toMatch(/^no newline at its end\n\nLeasehold-Ticket: fix\n/)
    fs.writeFileSync(file, 'windows\r\n\r\nbody\r\n')
    ann.did('commit', '--allow-empty', '-q', '--cleanup=verbatim', '-F', file)
    expect(git(repo.dir, 'cat-file', '-p', 'HEAD')).toMatch(
      /body\r\n\r\nLeasehold-Ticket: fix\r\nLeasehold-Lease: \w+\r\nLeasehold-Token: 1\r?$/,
    )
  })

  it('of several tickets: the staged one, else none and a warning; exec says which', () => {
    putTicket(repo.dir, '20260101-000000-one')
    putTicket(repo.dir, '20260101-000000-two')
    commit(repo.dir, 'tickets')
    ann.ok('claim acquire one')
    ann.ok('claim acquire two')
    expect(ann.commit('which')).toMatchObject({ code: 0, said: expect.stringMatching(/warning: this commit names no ticket/) })
    expect(ann.message()).toBe('which')
    fs.appendFileSync(ticketFile(repo.dir, '20260101-000000-two'), 'more\n')
    ann.did('commit', '-a', '-q', '-m', 'staged')
    expect(ann.message()).toMatch(/Leasehold-Ticket: 20260101-000000-two/)
    ann.ok('exec one -- git commit --allow-empty -q -m exec')
    expect(ann.message()).toMatch(/Leasehold-Ticket: 20260101-000000-one/)
  })
})

describe('a commit', () => {
  const id = '20260101-000000-fix'

  const withTicket = (): void => {
    putTicket(repo.dir, id)
    commit(repo.dir, 'ticket')
  }
  const edit = (dir = repo.dir, name = 'ticket.md'): void => fs.appendFileSync(ticketFile(dir, id, name), 'more\n')

  it('of a ticket’s file that another holds is refused; its events, and a free or finished ticket, are not', () => {
    withTicket()
    ann.ok('claim acquire fix')
    edit()
    refused(
      bob,
      /files of ticket 20260101-000000-fix are changed, and agent:ann .* holds it with token 1[\s\S]*git restore --staged/,
      'commit',
      '-a',
      '-m',
      'x',
    )
    fs.writeFileSync(ticketFile(repo.dir, id, 'events.jsonl'), '{"id":"01M7YW8NB7000000F2EV1M0MSE"}\n')
    bob.did('add', '-A')
    expect(bob.commit('events')).toMatchObject({ code: 0 })
    edit()
    expect(ann.git('commit', '-a', '-m', 'her own')).toMatchObject({ code: 0 })
    ann.ok('claim release fix')
    edit()
    expect(bob.git('commit', '-a', '-m', 'free')).toMatchObject({ code: 0 })
  })

  it('of a ticket’s file after the lease was lost by eviction or expiry is refused, and passes when it was given back', async () => {
    withTicket()
    ann.ok('claim acquire fix')
    bob.ok('claim evict fix --reason', 'gone')
    edit()
    refused(
      ann,
      /your lease of it \(token 1\) ended by force-evict \(gone\); nobody holds it now[\s\S]*lh claim acquire/,
      'commit',
      '-a',
      '-m',
      'x',
    )
    ann.ok('claim acquire fix --ttl 1s')
    await new Promise(resolve => setTimeout(resolve, 1100))
    bob.ok('claim list --sweep')
    edit()
    refused(ann, /ended by auto-evict \(ttl\)/, 'commit', '-a', '-m', 'x')
  })

  it('under an own lease that expired, and that nobody took, renews it late and goes on', async () => {
    withTicket()
    ann.ok('claim acquire fix --ttl 1s')
    await new Promise(resolve => setTimeout(resolve, 1100))
    edit()
    expect(ann.git('commit', '-a', '-m', 'late')).toMatchObject({ code: 0 })
    expect(repo.records().at(-1)).toMatchObject({ op: 'renew', late: true, token: 1 })
  })

  it('under somebody else’s path is refused: renames, deletions, blanks and newlines in names; her own passes', () => {
    ann.stage('src/old name.txt')
    ann.stage('src/line\nbreak.txt')
    ann.commit('files')
    ann.ok('claim acquire', 'path:src/**')
    bob.did('mv', 'src/old name.txt', 'elsewhere.txt')
    refused(bob, /"src\/old name\.txt" lies under path:src\/\*\*: agent:ann/, 'commit', '-m', 'rename away')
    bob.did('rm', '-q', 'src/line\nbreak.txt')
    refused(bob, /"src\/line\\nbreak\.txt" lies under/, 'commit', '-m', 'deleted')
    bob.stage('src/new.txt')
    refused(bob, /"src\/new\.txt"/, 'commit', '-m', 'new')
    bob.stage('src2/other.txt')
    expect(bob.commit('beside it')).toMatchObject({ code: 0 })
    ann.stage('src/hers.txt')
    expect(ann.commit('hers')).toMatchObject({ code: 0 })
  })

  it('of only some files looks at those', () => {
    ann.ok('claim acquire path:src')
    bob.stage('src/x')
    bob.stage('y')
    expect(bob.git('commit', '-m', 'y only', 'y')).toMatchObject({ code: 0 })
    expect(bob.git('commit', '-m', 'x too')).toMatchObject({ code: 1 })
  })

  it('on a branch that another holds is refused', () => {
    bob.ok('claim acquire branch:main')
    ann.stage('a')
    refused(ann, /a commit on main is not yours to make: agent:bob .* holds it[\s\S]*git switch -c/, 'commit', '-m', 'x')
    expect(bob.commit('his')).toMatchObject({ code: 0 })
    ann.did('switch', '-q', '-c', 'other')
    expect(ann.commit('elsewhere')).toMatchObject({ code: 0 })
  })

  it('in a worktree that was made for a ticket is refused once its lease is lost', () => {
    withTicket()
    ann.ok('worktree add fix --path', path.join(folder('wt-'), 'fix'))
    const dir = git(repo.dir, 'worktree', 'list', '--porcelain').match(/^worktree (.*\/fix)$/m)![1]!
    const there = ann.in(dir)
    there.ok('claim acquire fix')
    there.stage('a')
    expect(there.commit('mine')).toMatchObject({ code: 0 })
    expect(there.message()).toMatch(/Leasehold-Ticket: 20260101-000000-fix/)
    steal(bob, 'fix')
    there.stage('b')
    refused(there, /this worktree was made for ticket 20260101-000000-fix.*agent:bob/, 'commit', '-m', 'too late')
    bob.ok('claim release fix')
    there.stage('c')
    refused(there, /ended by force-evict.*nobody holds it now/, 'commit', '-m', 'still lost')
    there.ok('claim acquire fix')
    expect(there.commit('mine again')).toMatchObject({ code: 0 })
  })

  it('of a merge, a cherry-pick, a revert or a rebase brings ticket files of others along', () => {
    withTicket()
    ann.did('switch', '-q', '-c', 'hers')
    ann.ok('claim acquire fix')
    edit()
    ann.stage('same', 'hers\n')
    ann.did('commit', '-a', '-q', '-m', 'hers')
    ann.did('switch', '-q', 'main')
    bob.stage('same', 'his\n')
    bob.commit('his')
    bob.git('merge', 'hers')
    bob.stage('same', 'both\n')
    expect(bob.git('commit', '-m', 'merged')).toMatchObject({ code: 0 })
    bob.did('reset', '-q', '--hard', 'HEAD~1')
    bob.git('cherry-pick', 'hers')
    bob.stage('same', 'picked\n')
    expect(bob.git('commit', '-m', 'picked')).toMatchObject({ code: 0 })
  })

  it('of a merge does not answer for what others did under their paths', () => {
    ann.ok('claim acquire path:src')
    ann.stage('src/x')
    ann.stage('same', 'hers\n')
    ann.commit('hers')
    bob.did('switch', '-q', '-c', 'his', 'HEAD~1')
    bob.stage('same', 'his\n')
    bob.commit('his')
    bob.git('merge', 'main')
    bob.stage('same', 'both\n')
    expect(bob.git('commit', '-m', 'merged')).toMatchObject({ code: 0 })
    bob.did('reset', '-q', '--hard', 'HEAD~1')
    bob.git('merge', 'main')
    bob.stage('same', 'both\n')
    bob.stage('src/x', 'and changed on the way\n')
    expect(bob.git('commit', '-m', 'merged')).toMatchObject({ code: 1 })
  })

  describe('that Git makes itself', () => {
    /** On main, with `side` beside it; what is tried there is taken back. */
    const sides = (): void => {
      ann.did('switch', '-q', '-c', 'side')
      ann.stage('s')
      ann.did('commit', '-q', '-m', 'side')
      ann.did('switch', '-q', 'main')
      ann.stage('m')
      ann.did('commit', '-q', '-m', 'main')
    }
    const patch = (): string => {
      const file = path.join(folder('patch-'), 'p')
      fs.writeFileSync(file, ann.did('format-patch', '-1', '--stdout', 'side'))
      return file
    }
    const ways = (): readonly (readonly [undo: string, code: number, ...args: readonly string[]])[] => [
      ['merge --abort', 1, 'merge', '--no-ff', '--no-edit', 'side'],
      ['cherry-pick --abort', 128, 'cherry-pick', 'side'],
      ['reset --merge', 128, 'revert', '--no-edit', 'HEAD'],
      ['am --abort', 1, 'am', '-q', patch()],
    ]
    const tried = (who: Person, words: RegExp): void => {
      for (const [undo, code, ...args] of ways()) {
        const before = who.did('rev-parse', 'HEAD')
        const ran = who.git(...args)
        expect(ran, args.join(' ')).toMatchObject({ code, said: expect.stringMatching(words) })
        expect(ran.said).toContain(`to take back what is staged: git ${undo}`)
        expect(ran.said.match(/the commit is refused/g)).toHaveLength(1)
        who.did(...undo.split(' '))
        expect(who.did('status', '--porcelain', '--untracked-files=no')).toBe('')
        expect(who.did('rev-parse', 'HEAD')).toBe(before)
        const off = who.with({ LEASEHOLD_ENFORCE: 'off' }).git(...args)
        expect(off, args.join(' ')).toMatchObject({ code: 0, said: expect.not.stringMatching(/lh: /) })
        who.did('reset', '-q', '--hard', before.trim())
      }
    }

    it('is refused on a branch that another holds', () => {
      sides()
      bob.ok('claim acquire branch:main')
      tried(ann, /a commit on main is not yours to make: agent:bob/)
      const editor = ann.with({ GIT_EDITOR: 'true' })
      expect(editor.git('revert', '--edit', 'HEAD')).toMatchObject({ code: 1, said: expect.stringMatching(/the commit is refused/) })
      ann.did('reset', '-q', '--hard')
      expect(bob.git('merge', '--no-edit', 'side')).toMatchObject({ code: 0 })
    })

    it('is refused in a worktree whose ticket was lost', () => {
      withTicket()
      sides()
      ann.ok('worktree add fix --path', path.join(folder('wt-'), 'fix'))
      const there = ann.in(git(repo.dir, 'worktree', 'list', '--porcelain').match(/^worktree (.*\/fix)$/m)![1]!)
      there.ok('claim acquire fix')
      there.did('merge', '-q', '--no-ff', '--no-edit', 'side')
      there.did('reset', '-q', '--hard', 'main')
      steal(bob, 'fix')
      tried(there, /this worktree was made for ticket/)
    })

    it('is refused under somebody else’s path where it changes it: not a merge that only brings it along', () => {
      sides()
      bob.ok('claim acquire path:s path:m')
      for (const [, code, ...args] of ways()) {
        const merges = args[0] === 'merge'
        const ran = ann.git(...args)
        if (merges) expect(ran).toMatchObject({ code: 0 })
        else expect(ran, args.join(' ')).toMatchObject({ code, said: expect.stringMatching(/lies under path:[sm]/) })
        if (args[0] === 'am') ann.did('am', '--abort')
        else ann.did('reset', '-q', '--hard', merges ? 'HEAD~1' : 'HEAD')
        ann.git('cherry-pick', '--quit')
      }
    })

    it('brings ticket files of others along', () => {
      withTicket()
      ann.did('switch', '-q', '-c', 'side')
      ann.ok('claim acquire fix')
      edit()
      ann.did('commit', '-a', '-q', '-m', 'hers')
      ann.did('switch', '-q', 'main')
      bob.stage('m')
      bob.did('commit', '-q', '-m', 'his')
      const [merge, pick, , am] = ways()
      for (const [, , ...args] of [merge!, pick!, am!]) {
        bob.did(...args)
        const undo = bob.git('revert', '--no-edit', ...(args[0] === 'merge' ? ['-m', '1'] : []), 'HEAD')
        expect(undo).toMatchObject({ code: 0 })
        bob.did('reset', '-q', '--hard', 'HEAD~2')
      }
    })

    it('passes in a rebase, and where --no-verify or an amend is somebody’s word', () => {
      sides()
      ann.did('switch', '-q', 'side')
      bob.ok('claim acquire branch:side path:s')
      for (const way of ['--merge', '--apply']) {
        ann.did('rebase', '-q', '--force-rebase', way, 'main')
        ann.did('reset', '-q', '--hard', 'ORIG_HEAD')
      }
      expect(ann.git('merge', '--no-verify', '--no-edit', 'main')).toMatchObject({ code: 0 })
      ann.did('revert', '--no-commit', 'HEAD~1')
      expect(ann.commit('by her word', '--no-verify')).toMatchObject({ code: 0 })
      expect(ann.git('commit', '--amend', '--no-edit', '--no-verify')).toMatchObject({ code: 0 })
    })
  })

  it('with --no-verify passes; so it does with a warning where only that is wanted, for one branch or all', () => {
    ann.ok('claim acquire path:src')
    bob.stage('src/x')
    expect(bob.commit('x')).toMatchObject({ code: 1 })
    expect(bob.with({ LEASEHOLD_ENFORCE_BRANCHES: 'ma*=warn' }).commit('x')).toMatchObject({
      code: 0,
      said: expect.stringMatching(/lh: warning: "src\/x"/),
    })
    bob.stage('src/y')
    bob.ok('config set enforce.branches main=off')
    expect(bob.commit('y').said).not.toMatch(/lh: /)
    fs.rmSync(path.join(repo.dir, '.leasehold/config.yaml'))
    bob.stage('src/z')
    expect(bob.commit('z', '--no-verify')).toMatchObject({ code: 0 })
  })

  it('is warned about and passes where the log cannot be read; the push is then refused', () => {
    ann.ok('claim acquire fix')
    fs.rmSync(repo.logFile)
    expect(ann.commit('x')).toMatchObject({ code: 0, said: expect.stringMatching(/warning: nobody can tell.*claims\.jsonl is gone/) })
    const push = ann.git('push', 'origin', 'main')
    expect(push).toMatchObject({ code: 1, said: expect.stringMatching(/nobody can tell whether this work is still/) })
    expect(ann.with({ LEASEHOLD_ENFORCE: 'warn' }).git('push', 'origin', 'main')).toMatchObject({ code: 0 })
  })

  it('in a linked worktree and in a submodule is judged there', () => {
    ann.ok('claim acquire path:src')
    const there = bob.in(linked(repo, 'side'))
    there.stage('src/x')
    expect(there.commit('x')).toMatchObject({ code: 1, said: expect.stringMatching(/"src\/x"/) })
    const inner = folder('inner-')
    git(inner, 'init', '-q')
    git(inner, 'commit', '-q', '--allow-empty', '-m', 'inner')
    git(repo.dir, '-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', inner, 'lib/inner')
    const within = path.join(repo.dir, 'lib/inner')
    ann.in(within).ok('hooks install git')
    ann.in(within).ok('claim acquire path:sub')
    bob.in(within).stage('sub/x')
    expect(bob.in(within).commit('x')).toMatchObject({ code: 1, said: expect.stringMatching(/"sub\/x"/) })
    bob.in(within).did('reset', '-q')
    bob.in(within).stage('src/free', 'x')
    expect(bob.in(within).commit('x')).toMatchObject({ code: 0 })
  })
})

describe('a push', () => {
  it('of work whose lease was lost to another is refused, until somebody lets it through', () => {
    ann.ok('claim acquire fix')
    ann.commit('hers')
    steal(bob, 'fix')
    refused(
      ann,
      /made for ticket fix with token 1, which ended by force-evict.*agent:bob .* holds it now with token 3[\s\S]*lh claim allow fix --token 1/,
      'push',
      'origin',
      'HEAD:refs/heads/one',
    )
    const push = (): ReturnType<Person['git']> => ann.git('push', 'origin', 'HEAD:refs/heads/two')
    git(repo.dir, 'update-ref', '-d', 'refs/remotes/origin/one')
    expect(push()).toMatchObject({ code: 1 })
    bob.ok('claim allow fix --token 1 --reason', 'looked at it')
    expect(push()).toMatchObject({ code: 0, said: expect.stringMatching(/somebody’s word.*fix \(token 1\)/) })
  })

  it('passes what is current, finished, released, lost to nobody, or taken up again by the same agent', async () => {
    const push = (): void => expect(ann.git('push', 'origin', 'main')).toMatchObject({ code: 0 })
    ann.ok('claim acquire fix')
    ann.commit('current')
    push()
    ann.commit('released')
    ann.ok('claim release fix')
    bob.ok('claim acquire fix')
    push()
    bob.ok('claim release fix')
    ann.ok('claim acquire fix')
    ann.commit('evicted')
    bob.ok('claim evict fix --reason', 'gone')
    push()
    ann.ok('claim acquire other --ttl 1s')
    ann.commit('expired')
    await new Promise(resolve => setTimeout(resolve, 1100))
    bob.ok('claim list --sweep')
    ann.ok('claim acquire other')
    push()
    ann.commit('another’s, without a result')
    bob.ok('claim evict other --reason', 'x')
    bob.ok('claim acquire other')
    bob.ok('claim release other')
    push()
  })

  it('by the present holder passes with what came before: on top, squashed or rebased', () => {
    ann.did('switch', '-q', '-c', 'work')
    ann.ok('claim acquire fix')
    ann.stage('a')
    ann.commit('hers')
    steal(bob, 'fix')
    expect(bob.git('push', 'origin', 'work')).toMatchObject({ code: 1 })
    bob.stage('b')
    bob.commit('his, on top')
    expect(bob.git('push', 'origin', 'work')).toMatchObject({ code: 0 })
    bob.did('switch', '-q', 'main')
    bob.did('merge', '--squash', 'work')
    bob.did('commit', '--no-edit')
    expect(bob.git('push', 'origin', 'main')).toMatchObject({ code: 0 })
    bob.did('switch', '-q', '-c', 'rebased', 'work')
    bob.with({ GIT_SEQUENCE_EDITOR: "sed -i '2s/pick/squash/'", GIT_EDITOR: 'true' }).did('rebase', '-i', 'HEAD~2')
    expect(bob.message().match(/Leasehold-Token: 3/g)).toHaveLength(1)
    expect(bob.git('push', 'origin', 'rebased')).toMatchObject({ code: 0 })
    expect(ann.git('push', 'origin', 'work~1:refs/heads/old')).toMatchObject({ code: 0 })
  })

  it('of what another finished is refused; deletions, tags, forced and first pushes are as any other', () => {
    ann.ok('claim acquire fix')
    ann.commit('hers')
    ann.did('tag', 'v1', '-m', 'v1')
    putTicket(repo.dir, 'fix')
    bob.ok('claim evict fix --reason', 'gone')
    bob.ok('ticket start fix')
    bob.ok('ticket done fix')
    expect(ann.git('push', 'origin', 'v1')).toMatchObject({
      code: 1,
      said: expect.stringMatching(/agent:bob .* took it with token 3 and it is done/),
    })
    expect(ann.git('push', '--force', 'origin', 'main')).toMatchObject({ code: 1 })
    expect(ann.git('push', '--all', remote)).toMatchObject({ code: 1 })
    ann.did('push', 'origin', 'main~1:refs/heads/gone')
    expect(ann.git('push', 'origin', ':gone')).toMatchObject({ code: 0 })
    expect(ann.git('push', '--no-verify', 'origin', 'main')).toMatchObject({ code: 0 })
    expect(ann.git('push', 'origin', 'v1')).toMatchObject({ code: 0 })
  })

  it('of leases that this log does not know passes with a warning', () => {
    const message = 'from elsewhere\n\nLeasehold-Ticket: far\nLeasehold-Lease: 01M7YW8NB7000000F2EV1M0MSE\nLeasehold-Token: 7'
    ann.ok('claim acquire x')
    ann.ok('claim release x')
    ann.commit(message)
    expect(ann.git('push', 'origin', 'main')).toMatchObject({
      code: 0,
      said: expect.stringMatching(/warning: this log does not know.*far/),
    })
  })

  it('from a shallow clone is judged as far as it reaches', () => {
    ann.ok('claim acquire fix')
    ann.commit('hers')
    ann.did('push', '-q', '--no-verify', 'origin', 'main')
    const clone = path.join(folder(), 'clone')
    git(repo.dir, 'clone', '-q', '--depth', '1', `file://${remote}`, clone)
    const there = ann.in(clone)
    there.ok('hooks install git')
    there.ok('config set store', `file://${repo.store}`)
    steal(bob, 'fix')
    expect(there.git('push', 'origin', 'HEAD:refs/heads/old')).toMatchObject({ code: 0 })
    there.ok('claim acquire second')
    there.commit('more')
    steal(bob, 'second')
    expect(there.git('push', 'origin', 'HEAD:refs/heads/new')).toMatchObject({ code: 1 })
  })
})

describe('pre-receive', () => {
  const lost = (): void => {
    ann.ok('claim acquire fix')
    ann.commit('hers')
    steal(bob, 'fix')
  }

  it('stops what --no-verify let out', () => {
    ann.in(remote).ok('hooks install git --pre-receive')
    git(remote, 'config', 'leasehold.store', `file://${repo.store}`)
    lost()
    const before = repo.snapshot()
    const push = ann.git('push', '--no-verify', 'origin', 'main')
    expect(push).toMatchObject({
      code: 1,
      said: expect.stringMatching(/remote: lh: commit \w+ was made for ticket fix with token 1[\s\S]*pre-receive hook declined/),
    })
    expect(repo.snapshot()).toEqual(before)
    git(remote, 'config', 'leasehold.enforce', 'warn')
    expect(ann.git('push', '--no-verify', 'origin', 'main')).toMatchObject({ code: 0, said: expect.stringMatching(/remote: lh: warning/) })
  })

  it('passes with one line without a store, and refuses where the one that it was told of is not there', () => {
    ann.in(remote).ok('hooks install git --pre-receive')
    lost()
    const push = (): ReturnType<Person['git']> => ann.git('push', '--no-verify', 'origin', 'HEAD:refs/heads/a')
    const said = push()
    expect(said).toMatchObject({
      code: 0,
      said: expect.stringMatching(/remote: lh: the server’s Git configuration has no leasehold\.store/),
    })
    expect(said.said.match(/remote: lh:/g)).toHaveLength(1)
    ann.did('push', '-q', '--no-verify', 'origin', ':a')
    git(remote, 'config', 'leasehold.store', 'nonsense')
    expect(push()).toMatchObject({ code: 0, said: expect.stringMatching(/remote: lh: leasehold\.store .* is no file/) })
    ann.did('push', '-q', '--no-verify', 'origin', ':a')
    git(remote, 'config', 'leasehold.store', `file://${folder()}/none`)
    expect(push()).toMatchObject({ code: 1, said: expect.stringMatching(/remote: lh: .*is not there/) })
  })
})

describe('a broken installation', () => {
  it('lets pass with one line, and finds lh on PATH', () => {
    const hooks = path.join(repo.dir, '.git/hooks')
    ann.ok('claim acquire path:src')
    for (const name of ['pre-commit', 'prepare-commit-msg']) {
      const text = fs.readFileSync(path.join(hooks, name), 'utf8')
      fs.writeFileSync(path.join(hooks, name), text.replaceAll(executable, '/gone/lh.cjs'))
    }
    bob.stage('src/x')
    const bin = folder('bin-')
    lhIn(bin)
    expect(bob.with({ PATH: `${bin}:${process.env['PATH']}` }).commit('x')).toMatchObject({
      code: 1,
      said: expect.stringMatching(/"src\/x"/),
    })
    const passed = bob.commit('x')
    expect(passed).toMatchObject({ code: 0 })
    const lines = passed.said.split('\n').filter(line => line.startsWith('lh:'))
    expect(lines).toEqual(
      ['pre-commit', 'prepare-commit-msg'].map(
        name => `lh: the ${name} hook judged nothing: /gone/lh.cjs and lh on PATH are gone; to install it again: lh hooks install git`,
      ),
    )
    expect(ann.lh('hooks status git')).toMatchObject({ code: 8, said: expect.stringMatching(/\/gone\/lh\.cjs is gone/) })
  })

  it('that fails by itself lets pass, and a reader that is gone is no failure', () => {
    ann.ok('claim acquire path:src')
    bob.stage('src/x')
    const broken = bob.with({ LEASEHOLD_NONSENSE: '1' }).commit('x')
    expect(broken).toMatchObject({ code: 0, said: expect.stringMatching(/the pre-commit hook judged nothing: .*LEASEHOLD_NONSENSE/) })
    bob.stage('src/y')
    const closed = bob.run('sh', '-c', '{ git commit -m y 2>&1; echo $? >&3; } 3>code | true; cat code')
    expect(closed.said.trim()).toMatch(/^(1|141)$/)
    expect(bob.run('sh', '-c', 'git commit -m y 2>&-')).toMatchObject({ code: 1 })
  })

  it('is not there for other people’s commits', () => {
    const carl = person(repo, 'carl')
    expect(carl.commit('nothing to judge')).toMatchObject({ code: 0, said: expect.not.stringMatching(/lh:/) })
  })
})
