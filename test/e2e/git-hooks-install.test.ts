import fs from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { folder, git, repository, type Repo } from '../support/cli.ts'
import { Person, person, snapshot, writeHook } from '../support/git-hooks.ts'
import { requires } from '../support/skip.ts'
import { linked } from '../support/tickets.ts'

// How the hooks come and go beside what others have put there.

let repo: Repo
let ann: Person
let bob: Person
let hooks: string

beforeEach(() => {
  repo = repository()
  ;[ann, bob] = [person(repo, 'ann'), person(repo, 'bob')]
  git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'first')
  hooks = path.join(repo.dir, '.git/hooks')
})

const document = (who: Person, words: string): Record<string, unknown> =>
  JSON.parse(who.lh(`${words} --json`).said) as Record<string, unknown>
const states = (who: Person): readonly Record<string, unknown>[] =>
  document(who, 'hooks status git')['hooks'] as readonly Record<string, unknown>[]
const fires = (who: Person): readonly unknown[] => states(who).map(state => state['fires'])
const all = Array<boolean>(6).fill(true)

/** Bob may not commit what Ann holds, and is told so by our words. */
function denies(who = bob): void {
  ann.lh('claim acquire path:src')
  who.stage('src/x', `${Math.random()}\n`)
  expect(who.commit('x')).toMatchObject({ code: 1, said: expect.stringMatching(/"src\/x" lies under path:src/) })
  who.did('reset', '-q')
}

describe('alone', () => {
  it('shows what it does, does it once, and takes it all out again', () => {
    const before = snapshot(hooks)
    const dry = ann.ok('hooks install git --dry-run')
    expect(dry).toMatch(/^\+\+\+ .*pre-push/m)
    expect(dry).toMatch(/^\+leasehold_hook "\$@"/m)
    expect(snapshot(hooks)).toEqual(before)
    expect(states(ann).every(state => state['installed'] === false)).toBe(true)
    ann.ok('hooks install git')
    const after = snapshot(hooks)
    expect(fires(ann)).toEqual(all)
    expect(document(ann, 'hooks install git')).toMatchObject({ count: 0, changes: [] })
    expect(snapshot(hooks)).toEqual(after)
    expect(git(repo.dir, 'config', '--default', 'unset', '--get', 'core.hooksPath')).toBe('unset')
    denies()
    ann.ok('hooks uninstall git')
    expect(snapshot(hooks)).toEqual(before)
    expect(ann.ok('hooks uninstall git')).toMatch(/nothing of ours/)
  })

  it('calls what was there by the name that it had, where it can; else says that it has another one', () => {
    writeHook(path.join(hooks, 'every'), '#!/bin/sh -e\necho "$(dirname "$0") ${0##*/} [$*]" >>said\n. "$(dirname "$0")/more"\n')
    writeHook(path.join(hooks, 'more'), 'case $(basename "$0") in pre-commit) [ ! -e stop ] ;; pre-push) cat >>said ;; esac\n', 0o644)
    for (const name of ['pre-commit', 'commit-msg', 'pre-push']) fs.symlinkSync('every', path.join(hooks, name))
    // It needs itself for more than its name.
    writeHook(path.join(hooks, 'prepare-commit-msg'), '#!/bin/sh\nsed -n "s/^# data: //p" "$0" >>said\n# data: its own\n')
    writeHook(path.join(hooks, 'pre-merge-commit'), '#!/usr/bin/env python3\nimport os, sys\nos.path.basename(sys.argv[0])\n')
    const noted = ann.ok('hooks install git')
    expect(noted.match(/looks at the name it is called by/g)).toHaveLength(1)
    expect(noted).toContain('pre-merge-commit.leasehold-prev from now on')
    const said = (): string => {
      const text = fs.readFileSync(path.join(repo.dir, 'said'), 'utf8')
      fs.rmSync(path.join(repo.dir, 'said'))
      return text
    }
    expect(ann.commit('one')).toMatchObject({ code: 0 })
    expect(said()).toBe('.git/hooks pre-commit []\nits own\n.git/hooks commit-msg [.git/COMMIT_EDITMSG]\n')
    fs.writeFileSync(path.join(repo.dir, 'stop'), '')
    expect(ann.commit('two')).toMatchObject({ code: 1 })
    fs.rmSync(path.join(repo.dir, 'stop'))
    said()
    const remote = folder('remote-')
    git(remote, 'init', '-q', '--bare')
    ann.did('push', '-q', remote, 'main')
    expect(said()).toMatch(/^\.git\/hooks pre-push .*\nrefs\/heads\/main [0-9a-f]+ refs\/heads\/main 0+\n$/)
    denies()
    ann.ok('hooks uninstall git')
    expect(fs.readlinkSync(path.join(hooks, 'pre-commit'))).toBe('every')
  })

  it('lets a linked script find what lies beside it', () => {
    const scripts = path.join(repo.dir, 'scripts')
    fs.mkdirSync(scripts)
    writeHook(path.join(scripts, 'check'), '#!/bin/bash\n. "$(dirname "$(readlink -f "$0")")/more"\n')
    writeHook(path.join(scripts, 'more'), '[ ! -e stop ]\n', 0o644)
    fs.symlinkSync('../../scripts/check', path.join(hooks, 'pre-commit'))
    ann.ok('hooks install git')
    expect(ann.commit('one')).toMatchObject({ code: 0 })
    fs.writeFileSync(path.join(repo.dir, 'stop'), '')
    expect(ann.commit('two')).toMatchObject({ code: 1 })
    fs.rmSync(path.join(repo.dir, 'stop'))
    denies()
  })

  it('comes and goes where the directory of hooks is a link', () => {
    const real = path.join(repo.dir, 'hooks')
    fs.renameSync(hooks, real)
    fs.symlinkSync('../hooks', hooks)
    writeHook(path.join(real, 'pre-commit'), '#!/bin/sh\n[ ! -e stop ]\n')
    const before = snapshot(real)
    ann.ok('hooks install git')
    expect(fires(ann)).toEqual(all)
    ann.ok('hooks uninstall git')
    expect(snapshot(real)).toEqual(before)
  })

  it('says which worktrees have hooks of their own', () => {
    const there = linked(repo, 'other')
    git(repo.dir, 'config', 'extensions.worktreeConfig', 'true')
    const own = path.join(folder('own-'), 'hooks')
    git(there, 'config', '--worktree', 'core.hooksPath', own)
    const words = `${there} has a core.hooksPath of its own, so Git takes its hooks from ${own}`
    expect(ann.ok('hooks install git')).toContain(words)
    expect(document(ann, 'hooks status git')['warnings']).toEqual([expect.stringContaining(words)])
    expect(fires(ann.in(there))).not.toEqual(all)
    ann.in(there).ok('hooks install git')
    expect(fires(ann.in(there))).toEqual(all)
    git(repo.dir, 'config', '--worktree', 'core.hooksPath', `${own}-of-main`)
    git(there, 'config', '--worktree', '--unset', 'core.hooksPath')
    const main = `${repo.dir} has a core.hooksPath of its own, so Git takes its hooks from ${own}-of-main: run lh hooks install git there, too`
    expect(ann.in(there).ok('hooks install git')).toContain(main)
    expect(document(ann.in(there), 'hooks status git')['warnings']).toEqual([main])
    git(repo.dir, 'config', '--worktree', '--unset', 'core.hooksPath')
    expect(document(ann.in(there), 'hooks status git')['warnings']).toEqual([])
  })

  it('serves all worktrees, says who would not fire, and proves that a no is a no', () => {
    expect(ann.lh('hooks test git')).toMatchObject({
      code: 8,
      said: expect.stringMatching(/no hooks are installed here; to install them: lh hooks install git/),
    })
    ann.ok('hooks install git')
    const there = linked(repo, 'side')
    expect(fires(ann.in(there))).toEqual(all)
    denies(bob.in(there))
    const list = git(repo.dir, 'worktree', 'list')
    const log = repo.log()
    expect(ann.ok('hooks test git')).toMatch(/^ok {2}a commit .*\nok {2}a merge .*\nok {2}a cherry-pick .*\nok {2}a push /)
    expect(ann.in(there).ok('hooks test git')).toMatch(/^ok/)
    expect([git(repo.dir, 'worktree', 'list'), repo.log()]).toEqual([list, log])
    fs.chmodSync(path.join(hooks, 'pre-commit'), 0o644)
    expect(ann.lh('hooks status git')).toMatchObject({ code: 8, said: expect.stringMatching(/pre-commit +does not fire .*not executable/) })
    expect(ann.lh('hooks test git')).toMatchObject({
      code: 8,
      said: expect.stringMatching(/NO {2}a commit[^]*a hook let pass what it has to refuse; see: lh hooks status git/),
    })
    ann.ok('hooks install git')
    expect(fires(ann)).toEqual(all)
    ann.ok('hooks uninstall git')
    const own = path.join(hooks, 'pre-commit')
    fs.writeFileSync(own, '#!/bin/sh\necho "not today" >&2\nexit 1\n', { mode: 0o755 })
    ann.ok('hooks install git')
    expect(ann.lh('hooks test git')).toMatchObject({
      code: 8,
      said: expect.stringMatching(
        /NO {2}a commit[^\n]*another reason: not today[^]*nothing is proven; mend what it says, then again: lh hooks test git/,
      ),
    })
    ann.ok('hooks uninstall git')
    fs.rmSync(own)
    ann.ok('hooks install git')
    const elsewhere = folder('hooks-')
    git(repo.dir, 'config', 'core.hooksPath', elsewhere)
    expect(ann.lh('hooks status git')).toMatchObject({ code: 8, said: expect.stringMatching(/but core\.hooksPath is .* now/) })
    ann.ok('hooks install git')
    expect(fires(ann)).toEqual(all)
    denies()
    ann.ok('hooks uninstall git')
    expect(fs.readdirSync(elsewhere)).toEqual([])
    expect(fs.readdirSync(hooks).filter(name => !name.endsWith('.sample'))).toEqual([])
  })

  it('says that a hook is missing which an earlier version did not install, and adds it', () => {
    ann.ok('hooks install git')
    fs.rmSync(path.join(hooks, 'pre-merge-commit'))
    expect(ann.lh('hooks status git')).toMatchObject({
      code: 8,
      said: expect.stringMatching(/pre-merge-commit +not installed[^]*some of the hooks are not installed/),
    })
    expect(ann.lh('hooks test git')).toMatchObject({ code: 8, said: expect.stringMatching(/NO {2}a merge /) })
    ann.ok('hooks install git')
    expect(fires(ann)).toEqual(all)
  })

  it('says that Git runs no hook where core.hooksPath is no directory', () => {
    ann.ok('hooks install git')
    const file = path.join(folder('hooks-'), 'file')
    fs.writeFileSync(file, '')
    for (const nowhere of ['/dev/null', file]) {
      git(repo.dir, 'config', 'core.hooksPath', nowhere)
      const words = `core.hooksPath is ${nowhere}, which is no directory, so Git runs no hook`
      const install = ann.lh('hooks install git')
      expect(install).toMatchObject({ code: 8, said: expect.stringContaining(words) })
      expect(install.said).toContain('git config --unset core.hooksPath')
      expect(ann.lh('hooks status git')).toMatchObject({ code: 8, said: expect.stringContaining(`warning: ${words}`) })
    }
    git(repo.dir, 'config', 'core.hooksPath', '')
    const empty = 'core.hooksPath is empty, so Git runs no hook'
    expect(ann.lh('hooks install git')).toMatchObject({ code: 8, said: expect.stringContaining(empty) })
    expect(document(ann, 'hooks status git')['warnings']).toEqual([expect.stringMatching(new RegExp(`^${empty}: git config --unset`))])
    expect(ann.lh('hooks test git')).toMatchObject({ code: 8 })
    ann.ok('hooks uninstall git')
    expect(ann.lh('hooks status git')).toMatchObject({ code: 0, said: expect.stringMatching(/warning: core\.hooksPath is/) })
    git(repo.dir, 'config', '--unset', 'core.hooksPath')
    ann.ok('hooks install git')
  })

  it('needs a repository of the right kind', () => {
    expect(ann.lh('hooks install claude-nobody')).toMatchObject({ code: 2 })
    expect(ann.lh('hooks install git --pre-receive')).toMatchObject({ code: 2, said: expect.stringMatching(/bare repository/) })
    const bare = folder('bare-')
    git(bare, 'init', '-q', '--bare')
    expect(ann.in(bare).lh('hooks install git')).toMatchObject({ code: 2, said: expect.stringMatching(/--pre-receive/) })
    const before = snapshot(path.join(bare, 'hooks'))
    ann.in(bare).ok('hooks install git --pre-receive')
    expect(fires(ann.in(bare))).toEqual([true])
    ann.in(bare).ok('hooks uninstall git')
    expect(snapshot(path.join(bare, 'hooks'))).toEqual(before)
  })

  it('says what opens a place that may not be written', () => {
    if (process.getuid?.() === 0) return
    fs.chmodSync(hooks, 0o500)
    expect(ann.lh('hooks install git')).toMatchObject({ code: 7, said: expect.stringMatching(/writable_roots/) })
    fs.chmodSync(hooks, 0o700)
  })
})

describe('beside somebody’s own hooks', () => {
  const log = (): string => fs.readFileSync(path.join(repo.dir, 'log'), 'utf8')

  it('calls them first, with arguments and input; their failure counts, and they come back to the byte', () => {
    writeHook(path.join(hooks, 'pre-commit'), '#!/bin/sh\necho "pc $#" >>log\n[ ! -e fail ] || exit 7\n', 0o755)
    writeHook(path.join(hooks, 'prepare-commit-msg'), '#!/bin/sh\necho "pm $2" >>log\necho from-hook >>"$1"\n', 0o775)
    writeHook(path.join(hooks, 'pre-push'), '#!/usr/bin/env bash\r\necho "not run"', 0o644)
    writeHook(path.join(hooks, 'commit-msg.real'), '#!/bin/sh\necho cm >>log\n')
    fs.symlinkSync('commit-msg.real', path.join(hooks, 'commit-msg'))
    const before = snapshot(hooks)
    ann.ok('hooks install git')
    ann.ok('claim acquire fix')
    expect(ann.commit('one')).toMatchObject({ code: 0 })
    expect(log()).toBe('pc 0\npm message\ncm\n')
    expect(ann.message()).toMatch(/^one\n\nfrom-hook\n\nLeasehold-Ticket: fix\n|^one\nfrom-hook\n\nLeasehold-Ticket: fix\n/)
    denies()
    fs.writeFileSync(path.join(repo.dir, 'fail'), '')
    expect(ann.commit('two')).toMatchObject({ code: 1 })
    expect(ann.run(path.join(hooks, 'pre-commit'))).toMatchObject({ code: 7 })
    ann.ok('hooks uninstall git')
    expect(snapshot(hooks)).toEqual(before)
  })

  it('hands the lines of a push to both', () => {
    writeHook(path.join(hooks, 'pre-push'), '#!/bin/sh\necho "$1" >log\ncat >>log\n')
    const remote = folder('remote-')
    git(remote, 'init', '-q', '--bare')
    git(repo.dir, 'remote', 'add', 'origin', remote)
    ann.ok('hooks install git')
    ann.ok('claim acquire fix')
    ann.commit('hers')
    bob.ok('claim evict fix --reason x')
    bob.ok('claim acquire fix')
    expect(ann.git('push', 'origin', 'main')).toMatchObject({ code: 1, said: expect.stringMatching(/ticket fix with token 1/) })
    expect(log()).toMatch(/^origin\nrefs\/heads\/main \w{40} refs\/heads\/main 0{40}\n$/)
    writeHook(path.join(hooks, 'pre-push.leasehold-prev'), '#!/bin/sh\nexit 3\n')
    expect(ann.git('push', 'origin', 'main')).toMatchObject({ code: 1, said: expect.not.stringMatching(/lh:/) })
  })

  it('takes only its own lines out of what was changed meanwhile, and says so', () => {
    ann.ok('hooks install git')
    fs.appendFileSync(path.join(hooks, 'pre-commit'), 'echo added >>log\n')
    writeHook(path.join(hooks, 'pre-push'), '#!/bin/sh\necho mine\n')
    expect(ann.commit('x')).toMatchObject({ code: 0 })
    expect(log()).toBe('added\n')
    const said = ann.ok('hooks uninstall git')
    expect(said).toMatch(/pre-commit has lines that are not ours: they stay/)
    expect(fs.readFileSync(path.join(hooks, 'pre-commit'), 'utf8')).toBe('#!/bin/sh\necho added >>log\n')
    expect(fs.readFileSync(path.join(hooks, 'pre-push'), 'utf8')).toBe('#!/bin/sh\necho mine\n')
  })

  it('in a shared directory of hooks (core.hooksPath) does the same, and never sets it', () => {
    const shared = path.join(repo.dir, '.githooks')
    writeHook(path.join(shared, 'pre-commit'), '#!/bin/sh\necho shared >>log\n')
    git(repo.dir, 'config', 'core.hooksPath', '.githooks')
    const before = snapshot(shared)
    expect(ann.ok('hooks install git')).toMatch(/relative: each worktree has its own hooks/)
    denies()
    expect(log()).toBe('shared\n')
    ann.ok('hooks uninstall git')
    expect(snapshot(shared)).toEqual(before)
    expect(git(repo.dir, 'config', 'core.hooksPath')).toBe('.githooks')
  })

  it('goes on when the pre-commit framework comes later, and does not run in circles', () => {
    // What that framework writes and does: it moves what it finds to <name>.legacy and calls it.
    const framework = `#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\necho framework >>log\n[ -z "$PRE_COMMIT_RUNNING_LEGACY" ] || exit 9\nlegacy="\${0%/*}/pre-commit.legacy"\n[ ! -x "$legacy" ] || PRE_COMMIT_RUNNING_LEGACY=1 "$legacy" "$@"\n`
    const install = (): void => {
      if (
        fs.existsSync(path.join(hooks, 'pre-commit')) &&
        !fs.readFileSync(path.join(hooks, 'pre-commit'), 'utf8').includes('generated by pre-commit')
      )
        fs.renameSync(path.join(hooks, 'pre-commit'), path.join(hooks, 'pre-commit.legacy'))
      writeHook(path.join(hooks, 'pre-commit'), framework)
    }
    install()
    const before = snapshot(hooks)
    ann.ok('hooks install git')
    denies()
    install()
    expect(states(ann)[1]).toMatchObject({ fires: true, via: 'pre-commit' })
    denies()
    expect(log()).toBe('framework\nframework\n')
    expect(document(ann, 'hooks install git')).toMatchObject({ count: 0 })
    ann.ok('hooks uninstall git')
    expect(snapshot(hooks)).toEqual(before)
  })
})

const fixture = (name: string): string => path.join(import.meta.dirname, '../fixtures/hooks', name, 'node_modules')

const husky = path.join(fixture('husky'), 'husky/bin.js')
requires(fs.existsSync(husky), 'needs husky: npm ci in test/fixtures/hooks/husky').describe('with husky', () => {
  const scripts = (): string => path.join(repo.dir, '.husky')
  const setUp = (dir: string): void => {
    fs.writeFileSync(path.join(dir, 'package.json'), '{ "private": true }\n')
    expect(new Person(dir, {}).run(process.execPath, husky)).toMatchObject({ code: 0 })
  }

  beforeEach(() => {
    setUp(repo.dir)
    writeHook(path.join(scripts(), 'pre-commit'), 'echo from-husky >>log', 0o644)
    writeHook(path.join(scripts(), 'pre-push'), 'cat >>log\nexit 0\n', 0o644)
  })

  it('adds lines to the committed scripts, in every worktree that has husky, and takes them out to the byte', () => {
    const before = snapshot(scripts())
    ann.ok('hooks install git')
    expect(git(repo.dir, 'config', 'core.hooksPath')).toBe('.husky/_')
    expect(fires(ann)).toEqual(all)
    denies()
    expect(fs.readFileSync(path.join(repo.dir, 'log'), 'utf8')).toBe('from-husky\n')
    expect(document(ann, 'hooks install git')).toMatchObject({ count: 0 })
    expect(ann.ok('hooks test git')).toMatch(/^ok.*\nok/)
    git(repo.dir, '-c', 'core.hooksPath=/dev/null', 'add', '.husky', 'package.json')
    git(repo.dir, '-c', 'core.hooksPath=/dev/null', 'commit', '-q', '-m', 'husky')
    const there = linked(repo, 'side')
    expect(ann.in(there).lh('hooks status git')).toMatchObject({ code: 8, said: expect.stringMatching(/run what sets husky up/) })
    setUp(there)
    expect(fires(ann.in(there))).toEqual(all)
    denies(bob.in(there))
    ann.ok('hooks uninstall git')
    expect(snapshot(scripts())).toEqual(before)
    expect(fs.existsSync(path.join(repo.dir, '.git/leasehold-hooks'))).toBe(false)
    expect(bob.in(there).commit('lines without what they call')).toMatchObject({ code: 0 })
  })

  it('judges a push before the script of its users, which still reads its lines', () => {
    const remote = folder('remote-')
    git(remote, 'init', '-q', '--bare')
    ann.ok('hooks install git')
    ann.ok('claim acquire fix')
    ann.commit('hers')
    fs.rmSync(path.join(repo.dir, 'log'))
    expect(ann.git('push', remote, 'main:refs/heads/a')).toMatchObject({ code: 0 })
    expect(fs.readFileSync(path.join(repo.dir, 'log'), 'utf8')).toMatch(/^refs\/heads\/main \w{40} refs\/heads\/a 0{40}\n$/)
    bob.ok('claim evict fix --reason x')
    bob.ok('claim acquire fix')
    expect(ann.git('push', remote, 'main:refs/heads/b')).toMatchObject({ code: 1, said: expect.stringMatching(/ticket fix with token 1/) })
  })

  it('keeps what was added to its scripts meanwhile', () => {
    ann.ok('hooks install git')
    fs.appendFileSync(path.join(scripts(), 'pre-commit'), 'echo later\n')
    fs.appendFileSync(path.join(scripts(), 'commit-msg'), 'echo theirs\n')
    ann.ok('hooks uninstall git')
    expect(fs.readFileSync(path.join(scripts(), 'pre-commit'), 'utf8')).toBe('echo from-husky >>log\necho later\n')
    expect(fs.readFileSync(path.join(scripts(), 'commit-msg'), 'utf8')).toBe('echo theirs\n')
  })
})

const lefthook = path.join(fixture('lefthook'), '.bin/lefthook')
requires(fs.existsSync(lefthook), 'needs lefthook: npm ci in test/fixtures/hooks/lefthook').describe('with lefthook', () => {
  const install = (): void => {
    expect(ann.with({ CI: '1' }).run(lefthook, 'install')).toMatchObject({ code: 0 })
  }
  const lost = (): void => {
    ann.ok('claim acquire fix')
    ann.commit('hers')
    bob.ok('claim evict fix --reason x')
    bob.ok('claim acquire fix')
  }

  beforeEach(() => {
    fs.writeFileSync(
      path.join(repo.dir, 'lefthook.yml'),
      'pre-commit:\n  jobs:\n    - run: echo commit >>log\npre-push:\n  commands:\n    a:\n      run: echo push >>log\n',
    )
    install()
  })

  it('works when lefthook came first, comes again, and is there when ours is taken out', () => {
    const before = snapshot(hooks)
    const remote = folder('remote-')
    git(remote, 'init', '-q', '--bare')
    ann.ok('hooks install git')
    denies()
    expect(fs.readFileSync(path.join(repo.dir, 'log'), 'utf8')).toBe('commit\n')
    install()
    expect(states(ann).map(state => [state['fires'], state['via']])).toEqual([
      [true, 'git'],
      [true, 'lefthook'],
      [true, 'git'],
      [true, 'git'],
      [true, 'git'],
      [true, 'lefthook'],
    ])
    denies()
    lost()
    expect(ann.git('push', remote, 'main')).toMatchObject({ code: 1, said: expect.stringMatching(/ticket fix with token \d+/) })
    expect(ann.ok('hooks test git')).toMatch(/^ok.*\nok/)
    ann.ok('hooks install git')
    expect(fires(ann)).toEqual(all)
    install()
    denies()
    ann.ok('hooks uninstall git')
    expect(snapshot(hooks)).toEqual(before)
    expect(fs.readdirSync(repo.dir).filter(name => name.includes('local'))).toEqual([])
    expect(fs.existsSync(path.join(repo.dir, '.git/leasehold-hooks'))).toBe(false)
  })

  it('leaves a local file alone that has those hooks already, and says so', () => {
    const local = path.join(repo.dir, 'lefthook-local.yml')
    fs.writeFileSync(local, 'pre-push:\n  skip: true\n')
    expect(ann.ok('hooks install git')).toMatch(/lefthook-local\.yml has pre-push already/)
    expect(fs.readFileSync(local, 'utf8')).toBe('pre-push:\n  skip: true\n')
    fs.writeFileSync(local, 'output: false')
    ann.ok('hooks install git')
    expect(fs.readFileSync(local, 'utf8')).toMatch(/^output: false\n# >>> leasehold/)
    install()
    denies()
    ann.ok('hooks uninstall git')
    expect(fs.readFileSync(local, 'utf8')).toBe('output: false')
  })
})
