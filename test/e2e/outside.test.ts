import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { executable, failure, folder, git, openToAll, Repo, repository, Running, success } from '../support/cli.ts'
import { requires } from '../support/skip.ts'

// Where there is no repository, where it has an unusual shape, and where it may not be written.

const isRoot = process.platform === 'linux' && process.getuid?.() === 0
const needsRoot = requires(isRoot, 'needs root on Linux, to act as another user and to mount read-only')

describe('outside Git', () => {
  it('every command that needs a repository is refused, names Git, and makes no file', async () => {
    const repo = new Repo(folder())
    const a = repo.as('agent:a')
    for (const words of [
      'claim acquire x',
      'claim renew x',
      'claim list',
      'claim list --sweep',
      'claim history',
      'init',
      'status',
      'why x',
      'whoami',
      'config list',
      'config set ttl 5m',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = await a.refused('usage', words)
      expect(error.message, words).toContain('not inside a Git repository')
      expect(error.hint, words).toContain('git init')
    }
    await a.refused('usage', 'exec x --', 'true')
    expect(fs.readdirSync(repo.dir)).toEqual([])
  })

  it('a .git file that leads nowhere is a clear refusal', async () => {
    const repo = new Repo(folder())
    fs.writeFileSync(path.join(repo.dir, '.git'), 'gitdir: /nowhere\n')
    expect((await repo.as('agent:a').refused('usage', 'claim acquire x')).message).toContain('/nowhere')
    expect(fs.readdirSync(repo.dir)).toEqual(['.git'])
  })

  it('help, version and completion need no repository', async () => {
    const a = new Repo(folder()).as('agent:a')
    for (const words of ['--help', 'claim acquire --help', '--version', 'completion bash', 'schema']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await a.run(words), words).toMatchObject({ code: 0, stderr: '' })
    }
  })
})

describe('without a lock module for the platform', () => {
  it('reads as ever, refuses to write, and makes nothing', async () => {
    const repo = repository()
    const bin = path.join(folder(), 'bin')
    fs.cpSync(path.dirname(executable), bin, { recursive: true })
    const run = (words: string) =>
      new Running(process.execPath, [path.join(bin, 'lh.cjs'), ...words.split(' ')], { cwd: repo.dir, env: repo.as('agent:a').env }).ended
    const refused = await run('claim acquire env:x')
    expect(refused).toMatchObject({ code: 7, stdout: '' })
    expect(refused.stderr).toContain('no file-lock module')
    expect((await run('doctor')).stdout).toContain('no file-lock module')
    expect(fs.existsSync(repo.store)).toBe(false)
    await repo.as('agent:a').ok('claim acquire env:x')
    expect(await run('claim check env:x --token 1')).toMatchObject({ code: 0, stderr: '' })
    expect((await run('claim list')).stdout).toContain('env:x')
    expect(await run('claim release env:x')).toMatchObject({ code: 7 })
    expect(repo.story()).toEqual(['acquire env:x'])
  })
})

describe('one store', () => {
  it('is shared by all linked worktrees and subdirectories of a repository', async () => {
    const repo = repository()
    git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'first')
    git(repo.dir, 'worktree', 'add', '-q', '../linked-of-' + path.basename(repo.dir))
    const linked = path.join(path.dirname(repo.dir), `linked-of-${path.basename(repo.dir)}`)
    fs.mkdirSync(path.join(linked, 'deep', 'down'), { recursive: true })
    await repo.as('agent:a').acquire('x')
    await repo
      .as('agent:b')
      .in(path.join(linked, 'deep', 'down'))
      .refused('held', 'claim acquire x')
    await repo.as('agent:b').in(linked).acquire('y')
    expect((await repo.as('agent:a').ok('claim list')).count).toBe(2)
  })

  it('belongs to a bare repository, its linked worktrees included', async () => {
    const dir = folder()
    git(dir, 'init', '-q', '--bare', 'bare.git')
    const bare = path.join(dir, 'bare.git')
    const tree = git(bare, 'hash-object', '-t', 'tree', '-w', '/dev/null')
    git(bare, 'update-ref', 'refs/heads/main', git(bare, 'commit-tree', '-m', 'first', tree))
    git(bare, 'worktree', 'add', '-q', '../work', 'main')
    const repo = new Repo(dir, path.join(bare, 'leasehold'))
    await repo.as('agent:a').in(bare).acquire('x')
    await repo.as('agent:b').in(path.join(dir, 'work')).refused('held', 'claim acquire x')
    expect((await repo.as('agent:b').in(path.join(dir, 'work')).ok('whoami')).repository.kind).toBe('linked')
    expect((await repo.as('agent:a').in(bare).ok('whoami')).repository).toMatchObject({ kind: 'bare', root: null })
    // What would be refused there is not said to be next.
    expect((await repo.as('agent:a').in(bare).ok('init')).next).toEqual(['lh claim acquire <resource>', 'lh status', 'lh demo'])
    expect((await repo.as('agent:b').in(path.join(dir, 'work')).ok('init')).next).toContain('lh ticket create --title "…"')
  })

  it('is a submodule’s own', async () => {
    const inner = repository()
    git(inner.dir, 'commit', '-q', '--allow-empty', '-m', 'first')
    const outer = repository()
    git(outer.dir, '-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', inner.dir, 'sub')
    await outer.as('agent:a').acquire('x')
    const sub = new Repo(path.join(outer.dir, 'sub'), path.join(outer.dir, '.git', 'modules', 'sub', 'leasehold'))
    await sub.as('agent:b').acquire('x')
    expect(sub.story()).toEqual(['acquire ticket:x'])
    expect((await sub.as('agent:b').ok('whoami')).repository.kind).toBe('submodule')
  })

  it('lies in a separate git directory where there is one', async () => {
    const dir = folder()
    git(dir, 'init', '-q', '--separate-git-dir', path.join(dir, 'elsewhere'), path.join(dir, 'work'))
    const repo = new Repo(path.join(dir, 'work'), path.join(dir, 'elsewhere', 'leasehold'))
    await repo.as('agent:a').acquire('x')
    expect(repo.story()).toEqual(['acquire ticket:x'])
    expect(fs.readdirSync(repo.dir)).toEqual(['.git'])
  })

  it('is that of GIT_DIR where it is set', async () => {
    const repo = repository()
    const outside = repo.as('agent:a', { GIT_DIR: path.join(repo.dir, '.git'), GIT_WORK_TREE: repo.dir }).in(folder())
    await outside.acquire('x')
    await repo.as('agent:b').refused('held', 'claim acquire x')
    expect((await repo.as('agent:a').ok('claim release x')).resource).toBe('ticket:x')
    expect((await repo.as('agent:a', { GIT_DIR: '/nowhere' }).run('claim list --json')).code).toBe(2)
  })
})

describe('reading', () => {
  it('makes nothing in a repository that has no store', async () => {
    const repo = repository()
    const before = fs.readdirSync(path.join(repo.dir, '.git'))
    for (const words of ['claim list', 'claim status', 'claim history', 'status', 'why x', 'whoami', 'config list', 'config get ttl']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await repo.as('agent:a').ok(words)
    }
    await repo.as('agent:a').refused('superseded', 'claim check x --token 1')
    expect(fs.readdirSync(path.join(repo.dir, '.git'))).toEqual(before)
    expect(fs.readdirSync(repo.dir)).toEqual(['.git'])
  })
})

describe('a repository that may not be written', () => {
  const stranger = 65_534

  needsRoot.it('by this user: 7, with what to allow; reading goes on', async () => {
    const repo = repository()
    openToAll(repo.dir)
    await repo.as('agent:a').acquire('x')
    const asStranger = (words: string) =>
      new Running(process.execPath, [executable, '--json', ...words.split(' ')], {
        cwd: repo.dir,
        env: { ...process.env, HOME: '/', GIT_CONFIG_GLOBAL: '/dev/null', LEASEHOLD_AGENT_ID: 'agent:b' },
        uid: stranger,
      }).ended
    const before = repo.snapshot()
    for (const words of ['claim acquire y', 'claim release x', 'claim list --sweep', 'claim list']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = failure(await asStranger(words), 'unavailable', words)
      expect(error.message, words).toContain(path.join('.git', 'leasehold'))
    }
    expect(repo.snapshot()).toEqual(before)
  })

  needsRoot.it('nor entered by this user: 7 for every command, and no defect of ours', async () => {
    const repo = repository()
    openToAll(repo.dir)
    const a = repo.as('agent:a')
    await a.acquire('x')
    await a.ok('ticket create --title One')
    const home = folder('home-')
    openToAll(home)
    fs.mkdirSync(path.join(home, '.claude', 'runtime'), { recursive: true })
    fs.chmodSync(path.join(home, '.claude'), 0o700)
    const asStranger = async (words: string) =>
      failure(
        await new Running(process.execPath, [executable, '--json', ...words.split(' ')], {
          cwd: repo.dir,
          env: { ...process.env, HOME: home, GIT_CONFIG_GLOBAL: '/dev/null', LEASEHOLD_AGENT_ID: 'agent:b' },
          uid: stranger,
        }).ended,
        'unavailable',
        words,
      )
    expect((await asStranger('session-lock status')).message).toContain('.claude')
    fs.chmodSync(path.join(repo.dir, '.leasehold', 'tickets'), 0o700)
    expect((await asStranger('ticket show one')).hint).toMatch(/^Look at it: ls -ld .*\.leasehold\/tickets$/)
    for (const [place, ...commands] of [
      ['.git/leasehold', 'log compact', 'claim list', `store move --to file://${home}/store`],
      ['.git', 'whoami', 'claim list', 'claim acquire y', 'status', 'config list'],
    ] as const) {
      fs.chmodSync(path.join(repo.dir, place), 0o700)
      for (const words of commands) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        const { message, hint } = await asStranger(words)
        expect(message, words).toContain(path.join('.git', place === '.git' ? '' : 'leasehold'))
        expect(hint, words).not.toContain('report')
      }
    }
  })

  it('because something else stands in its place: 7', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const store = path.join(repo.dir, '.git', 'leasehold')
    fs.writeFileSync(store, '')
    expect((await a.refused('unavailable', 'log compact')).message).toMatch(/^a file stands where a directory should/)
    fs.rmSync(store)
    await a.acquire('x')
    const log = path.join(store, 'claims.jsonl')
    fs.renameSync(log, path.join(repo.dir, 'log'))
    const move = `store move --to file://${folder('other-')}/store`
    fs.mkdirSync(log)
    expect(failure(await a.run(`--json ${move}`), 'unavailable').message).toMatch(/^a directory stands where a file should/)
    fs.rmdirSync(log)
    fs.symlinkSync(path.join(repo.dir, 'log'), log)
    expect(failure(await a.run(`--json ${move}`), 'unavailable').message).toMatch(/^a symbolic link stands where none should/)
  })

  needsRoot.it('because it is mounted read-only (a sandbox): 7 with the exact line; list and why still answer', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x')
    const before = repo.snapshot()
    const wrapper = ['unshare', '-m', 'sh', '-c', 'mount --bind .git .git && mount -o remount,bind,ro .git && exec "$@"', 'sh']
    for (const words of ['claim acquire y', 'claim renew x', 'claim release x']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = failure(await a.startWith(wrapper, `--json ${words}`).ended, 'unavailable', words)
      expect(error.message).toMatch(/cannot be written.*EROFS|EROFS/)
      expect(error.hint).toMatch(/writable_roots ?= ?\["/)
      expect(error.details).toMatchObject({ outcome: 'nothing_changed' })
    }
    expect(success(await a.startWith(wrapper, '--json claim list').ended).count).toBe(1)
    expect(success(await a.startWith(wrapper, '--json why x').ended).standing).toBe('live')
    expect(success(await a.startWith(wrapper, '--json claim check x --token 1').ended).current).toBe(true)
    expect(repo.snapshot()).toEqual(before)
    const fresh = repository()
    const error = failure(await fresh.as('agent:a').startWith(wrapper, '--json claim acquire y').ended, 'unavailable')
    expect(error.hint).toMatch(/writable_roots ?= ?\["/)
  })

  needsRoot.it('because its state directory belongs to a stranger, or is a link, or open to all: 7, nothing changed', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x')
    const before = repo.snapshot()
    fs.chownSync(repo.store, stranger, stranger)
    for (const words of ['claim acquire y', 'claim list']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = await a.refused('unavailable', words)
      expect(error.message).toContain(`belongs to user ${stranger}`)
      expect(error.hint).toContain('chown')
    }
    fs.chownSync(repo.store, 0, 0)
    fs.chmodSync(repo.store, 0o777)
    expect((await a.refused('unavailable', 'claim acquire y')).hint).toContain('chmod o-w')
    fs.chmodSync(repo.store, 0o700)
    fs.renameSync(repo.store, `${repo.store}-elsewhere`)
    fs.symlinkSync(`${repo.store}-elsewhere`, repo.store)
    const linked = failure(await a.run('--json claim acquire y'), 'unavailable')
    expect(linked.message).toContain('symbolic link')
    fs.rmSync(repo.store)
    fs.renameSync(`${repo.store}-elsewhere`, repo.store)
    expect(repo.snapshot()).toEqual(before)
    await a.ok('claim renew x')
  })
})

it('a store that was copied with its repository is refused until somebody says what it is', async () => {
  const repo = repository()
  await repo.as('agent:a').acquire('x')
  const copy = folder()
  fs.cpSync(repo.dir, copy, { recursive: true })
  const other = new Repo(copy)
  const result = await other.as('agent:a').run('--json claim acquire y')
  expect(result.stderr).toMatch(/^lh: warning: This worktree is a copy of /)
  const error = failure({ ...result, stderr: '' }, 'unavailable')
  expect(other.log()).toBe(repo.log())
  expect(error.message).toContain('was copied or moved')
  expect(error.hint).toContain('lh doctor --copied')
})

it('init makes what a repository needs, keeps what is there, and may be repeated', async () => {
  const repo = repository()
  const a = repo.as('agent:a')
  fs.writeFileSync(path.join(repo.dir, '.gitattributes'), '*.png binary')
  const first = await a.ok('init')
  expect(first).toMatchObject({ agent: 'agent:a', next: expect.arrayContaining(['lh claim acquire <resource>']) })
  expect(first.made).toHaveLength(3)
  expect(fs.readFileSync(path.join(repo.dir, '.gitattributes'), 'utf8')).toBe(
    '*.png binary\n.leasehold/tickets/*/events.jsonl merge=union\n',
  )
  const before = repo.log()
  expect(await a.ok('init')).toMatchObject({ made: [], kept: first.made })
  expect(repo.log()).toBe(before)
})

it.runIf(fs.existsSync('/dev/full'))('says that its answer could not be written, and with which code', async () => {
  const repo = repository()
  const one = repo.as('agent:one')
  const full = (words: string) => one.startWith(['sh', '-c', 'exec "$@" > /dev/full', 'sh'], words).ended
  for (const words of [
    'claim acquire env:a',
    '--json claim acquire env:b',
    'claim list',
    '--json claim list',
    'status --watch',
    '--version',
    '--help',
  ])
    expect(await full(words), words).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/^lh: the answer could not be written: ENOSPC/),
    })
  // An error keeps its own code, and is told where it can be.
  expect(await full('--json claim release env:nothing')).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('nobody holds env:nothing'),
  })
  expect(repo.story()).toEqual(['acquire env:a', 'acquire env:b'])
})

const mayMount = (): boolean => {
  if (process.getuid?.() !== 0) return false
  const place = folder('mount-')
  const done = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place])
  return done.status === 0 && spawnSync('umount', [place]).status === 0
}

requires(mayMount(), 'needs root and the right to mount a tmpfs').it('a full disk is one wherever something is to be written', async () => {
  const place = folder('full-')
  spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', place])
  try {
    git(place, 'init', '-q')
    const filler = fs.openSync(path.join(place, 'filler'), 'w')
    expect(() => {
      for (;;) fs.writeSync(filler, Buffer.alloc(512))
    }).toThrow(/ENOSPC/)
    fs.closeSync(filler)
    const one = new Repo(place).as('agent:one')
    for (const words of ['config set ttl 5m', 'init', 'hooks install git', 'claim acquire x']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await one.refused('unavailable', words)).message, words).toMatch(/^the disk is full/)
    }
  } finally {
    spawnSync('umount', [place])
  }
})
