import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { failure, folder, git, openToAll, parse, Repo, success } from '../support/cli.ts'
import type { Agent, Code, Doc, Result } from '../support/cli.ts'
import { requires } from '../support/skip.ts'

// One repository, several users of the machine: whatever one of them makes, the others go on with.

const group = 2000
const needsRoot = requires(process.platform === 'linux' && process.getuid?.() === 0, 'needs root, to be several users')

/** A user who works in a repository, with a group of their own and that of the repository. */
class User {
  readonly #repo: Repo
  readonly #uid: number
  readonly #umask: string

  constructor(repo: Repo, uid: number, umask = '022') {
    this.#repo = repo
    this.#uid = uid
    this.#umask = umask
  }

  run(...words: readonly string[]): Promise<Result> {
    const safe = { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' }
    const env = { ...safe, HOME: '/', LEASEHOLD_AGENT_ID: `agent:u${this.#uid}` }
    const user = ['setpriv', `--reuid=${this.#uid}`, `--regid=${this.#uid}`, `--groups=${group}`, '--']
    return this.#repo.as(null, env).startWith([...user, 'sh', '-c', `umask ${this.#umask} && exec "$@"`, 'sh'], '--json', ...words).ended
  }

  async ok(words: string): Promise<Doc> {
    const result = await this.run(...words.split(' '))
    expect(result, words).toMatchObject({ code: 0, stderr: '' })
    return success(result)
  }

  async refused(code: Code, words: string): Promise<Doc> {
    return failure(await this.run(...words.split(' ')), code, words)
  }
}

function inReach(): string {
  const dir = folder('users-')
  openToAll(dir)
  return dir
}

/** As its documentation says to make one: a directory of the group, whose files are of the group. */
function sharedRepository(): Repo {
  const dir = inReach()
  fs.chownSync(dir, 1001, group)
  fs.chmodSync(dir, 0o2770)
  execFileSync('git', ['init', '-q', '--shared=group', dir], { uid: 1001, gid: group, env: { ...process.env, HOME: '/' } })
  return new Repo(dir)
}

/** What in the store the group could not use. */
function closed(repo: Repo): readonly string[] {
  const names = ['.', ...fs.readdirSync(repo.store, { recursive: true, encoding: 'utf8' })]
  return names
    .filter(name => !name.startsWith('config.cache.'))
    .map(name => {
      const { gid, mode } = fs.lstatSync(path.join(repo.store, name))
      return `${name} ${gid} ${(mode & 0o7777).toString(8)}`
    })
    .filter(line => !/ 2000 (?:2770|660)$/.test(line))
}

needsRoot.describe('a repository that a group shares', () => {
  it('is used by all of them, whoever made what', async () => {
    for (const [first, second] of [
      [1001, 1002],
      [1002, 1001],
    ] as const) {
      const repo = sharedRepository()
      const [one, two] = [new User(repo, first), new User(repo, second, '077')]
      for (const [at, user] of [one, two, one, two].entries()) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await user.ok(`claim acquire env:r${at}`)
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await user.ok('log compact')
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await user.ok(`claim acquire env:s${at}`)
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await user.ok('recover')
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        expect(await user.ok('doctor')).toMatchObject({ findings: [] })
        expect(closed(repo)).toEqual([])
      }
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await two.refused('held', 'claim acquire env:r0')).message).toContain(`agent:u${first}`)
    }
  })

  it('is so at the same moment, from the first command on', async () => {
    const repo = sharedRepository()
    const users = [new User(repo, 1001), new User(repo, 1002, '077'), new User(repo, 1003)]
    const results = await Promise.all(users.flatMap((user, at) => [1, 2].map(n => user.run('claim', 'acquire', `env:u${at}-${n}`))))
    expect(results.map(({ code, stdout }) => (code === 0 ? '' : stdout))).toEqual(['', '', '', '', '', ''])
    expect(closed(repo)).toEqual([])
  })

  it('keeps to its group where Git was told later, and no directory hands its group on', async () => {
    const dir = inReach()
    git(dir, 'init', '-q')
    git(dir, 'config', 'core.sharedRepository', 'group')
    execFileSync('chown', ['-R', `1001:${group}`, dir])
    execFileSync('chmod', ['-R', 'g+rwX', dir])
    const repo = new Repo(dir)
    await new User(repo, 1001).ok('claim acquire env:a')
    await new User(repo, 1002).ok('claim acquire env:b')
    expect(closed(repo)).toEqual([])
  })

  it('says of a worktree file that it cannot be read, and leaves it', async () => {
    const repo = sharedRepository()
    const [one, two] = [new User(repo, 1001), new User(repo, 1002)]
    await one.ok('claim acquire env:a')
    const file = path.join(repo.store, 'worktree.json')
    const before = fs.readFileSync(file, 'utf8')
    fs.chmodSync(file, 0o600)
    const { message, hint } = await two.refused('unavailable', 'claim acquire env:b')
    expect(message).toContain(`${file} cannot be read`)
    expect(hint).toContain(`chmod g+rw ${file}`)
    expect((await two.run('whoami')).stdout).toContain('cannot be read')
    expect(fs.readFileSync(file, 'utf8')).toBe(before)
    fs.chmodSync(file, 0o660)
    await two.ok('claim acquire env:b')
  })
})

/** A repository of user 1001. */
function ownRepository(): Repo {
  const dir = inReach()
  git(dir, 'init', '-q')
  execFileSync('chown', ['-R', '1001:1001', dir])
  return new Repo(dir)
}

needsRoot.describe('a repository in which root works for its owner', () => {
  const asRoot = (repo: Repo): Agent =>
    repo.as('agent:root', { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' })
  const foreign = (repo: Repo): readonly string[] =>
    ['.', ...fs.readdirSync(repo.store, { recursive: true, encoding: 'utf8' })]
      .filter(name => name !== 'config.cache.0.json')
      .filter(name => fs.lstatSync(path.join(repo.store, name)).uid !== 1001 || fs.lstatSync(path.join(repo.store, name)).gid !== 1001)

  it('stays the owner’s, whoever began', async () => {
    for (const first of ['owner', 'root']) {
      const repo = ownRepository()
      const [owner, root] = [new User(repo, 1001), asRoot(repo)]
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      if (first === 'owner') await owner.ok('claim acquire env:a')
      for (const words of ['claim acquire env:b', 'log compact', 'recover', 'claim acquire env:c', 'doctor --fix']) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await root.ok(words)
        expect(foreign(repo), words).toEqual([])
      }
      fs.appendFileSync(repo.logFile, 'torn')
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await root.ok('recover')
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await root.ok('exec env:d -- true')
      expect(foreign(repo)).toEqual([])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await owner.ok('claim acquire env:e')
    }
  })

  it('is told of a log that cannot be read, and not that it is gone', async () => {
    const repo = ownRepository()
    const owner = new User(repo, 1001)
    await owner.ok('claim acquire env:a')
    for (const file of [repo.logFile, path.join(repo.store, 'format')]) {
      fs.chownSync(file, 0, 0)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { code, stdout } = await owner.run('doctor')
      const { findings } = parse(stdout)
      expect({ code, findings }).toMatchObject({ code: 2, findings: [{ severity: 'error', code: 'unreadable', file }] })
      expect(findings[0].message).toBe(`${file} cannot be read by user 1001: it belongs to user 0 and group 0, with mode 0600`)
      expect(stdout).not.toContain('--cut')
      const [, ...command] = /: (chown) (\S+) (\S+)$/.exec(findings[0].fix) ?? []
      execFileSync(command[0]!, command.slice(1))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await owner.ok('doctor')).toMatchObject({ findings: [] })
    }
  })
})
