import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, busyStore, folder, parse, repository } from '../support/cli.ts'
import { requires } from '../support/skip.ts'

// Settings, as far as commands behave by them.

const needsRoot = requires(process.platform === 'linux' && process.getuid?.() === 0, 'needs root, to be several users')

/** An agent with a home of its own. */
function withHome(): { readonly a: Agent; readonly userFile: string; readonly repositoryFile: string } {
  const repo = repository()
  const home = folder('home-')
  return {
    a: repo.as('agent:a', { HOME: home }),
    userFile: path.join(home, '.config', 'leasehold', 'config.yaml'),
    repositoryFile: path.join(repo.dir, '.leasehold', 'config.yaml'),
  }
}

function write(file: string, text: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
}

describe('ttl', () => {
  it('comes from the strongest layer that says it, and changes the lease', async () => {
    const { a, userFile, repositoryFile } = withHome()
    expect((await a.acquire('default')).ttl_secs).toBe(1800)
    write(userFile, 'ttl: 20m\n')
    expect((await a.acquire('user')).ttl_secs).toBe(1200)
    write(repositoryFile, 'ttl: 15m\n')
    expect((await a.acquire('repository')).ttl_secs).toBe(900)
    const env = a.with({ LEASEHOLD_TTL: '5m' })
    expect((await env.acquire('environment')).ttl_secs).toBe(300)
    expect((await env.acquire('flag --ttl 90s')).ttl_secs).toBe(90)
    expect(await env.ok('config get ttl')).toMatchObject({ key: 'ttl', value: 300, origin: 'environment LEASEHOLD_TTL' })
    expect(await a.ok('config explain ttl')).toMatchObject({
      origin: 'repository file',
      line: 1,
      shadowed: [{ origin: 'user file' }, { origin: 'default' }],
    })
    write(repositoryFile, 'ttl: 16m\n')
    expect((await a.acquire('changed')).ttl_secs).toBe(960)
    fs.rmSync(repositoryFile)
    expect((await a.acquire('removed')).ttl_secs).toBe(1200)
  })
})

describe('a mistake', () => {
  it('in a file is refused by every command, naming file, line and what was meant; nothing is written', async () => {
    const { a, repositoryFile } = withHome()
    await a.acquire('x')
    for (const [text, message, hint] of [
      ['ttl: 10m\nttll: 5m\n', /config\.yaml:2: there is no setting "ttll"/, 'Did you mean ttl?'],
      ['\nttl: often\n', /config\.yaml:2: ttl: "often" is no duration/, '10m'],
      ['ttl: 40d\n', /config\.yaml:1: ttl: 40d is outside 1s to 30d/, ''],
      ['max_indefinite_leases_per_agent: -1\n', /"-1" is no whole number/, ''],
      ['agent:\n  id: agent:all\n', /config\.yaml:2: agent\.id cannot be set for the whole repository/, '--user'],
      ['store: etcd://host\n', /names no etcd store/, 'etcd://127.0.0.1:2379'],
      ['worktree.directory: "a\\e[31mb"\n', /is no directory/, 'absolute'],
      ['store: "file:///a\\e[31mb"\n', /names no store/, 'file:///absolute'],
      ['ttl: [1\n', /config\.yaml/, 'a line for each setting'],
      ['- ttl\n', /config\.yaml/, 'a line for each setting'],
      ['ttl:10m\n', /config\.yaml/, 'a line for each setting'],
      ['ttl: 5m\nttl: 6m\n', /config\.yaml:2: a key is set a second time/, 'Take one of the two'],
      ['log:\n  retention: 5d\nlog.retention: 6d\n', /config\.yaml:3: log\.retention is set a second time; line 2/, 'Take one of the two'],
      ['ttl: 5m\n---\nttl: 6m\n', /config\.yaml:2: a second document/, 'into one'],
      ['ttl:\n', /config\.yaml:1: ttl has no value/, 'lh config explain ttl'],
      ['ttl: [5m]\n', /config\.yaml:1: ttl takes one value/, 'ttl: 30m'],
      ['enforce:\n  branches: main=off\n', /config\.yaml:1: enforce takes one value/, 'enforce.branches: …'],
      ['ttl: &t 5m\nlock_wait: *t\n', /config\.yaml:2: lock_wait is an alias/, 'Write its value out'],
      ['launch.command: [claude, [x]]\n', /config\.yaml:1: launch\.command takes a list of words/, 'launch.command: [one, two]'],
    ] as const) {
      write(repositoryFile, text)
      for (const words of ['claim acquire y', 'claim list', 'status']) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        const error = await a.refused('usage', words)
        expect(error.message, text).toMatch(message)
        expect(error.hint, text).toContain(hint)
      }
      // What the hints name has to work: what looks at the settings, and what finds faults.
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { code, stdout, stderr } = await a.run('--json config list')
      expect({ code, warned: parse(stdout).warnings.join(' ') }, text).toEqual({ code: 0, warned: expect.stringMatching(message) })
      expect(stderr).toMatch(message)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const doctor = await a.run('--json doctor')
      expect({ code: doctor.code, findings: parse(doctor.stdout).findings }, text).toMatchObject({
        code: 2,
        findings: [{ severity: 'error', code: 'config', message: expect.stringMatching(message) }],
      })
    }
    write(repositoryFile, 'ttl: often\nnonsense: 1\n')
    const mended = await a.run('--json config set ttl 5m')
    expect({ code: mended.code, document: parse(mended.stdout) }).toMatchObject({
      code: 0,
      document: { previous: 'often', warnings: [expect.stringContaining('nonsense')] },
    })
    expect(fs.readFileSync(repositoryFile, 'utf8')).toBe('ttl: 5m\nnonsense: 1\n')
    // The limits are the store's as well: with something else wrong, only the file gets them, and that is said.
    await a.refused('usage', 'config set max_indefinite_leases_per_agent 4')
    fs.rmSync(repositoryFile)
  })

  it('of what a file is says where to look', async () => {
    const { a, repositoryFile } = withHome()
    write(repositoryFile, '#'.repeat(70_000))
    const look = `Look at it: ls -ld ${repositoryFile}`
    expect(await a.refused('usage', 'claim list')).toMatchObject({ message: expect.stringContaining('too large'), hint: look })
    fs.rmSync(repositoryFile)
    fs.mkdirSync(repositoryFile)
    expect(await a.refused('usage', 'claim list')).toMatchObject({ message: expect.stringContaining('not a regular file'), hint: look })
    fs.rmdirSync(repositoryFile)
    fs.symlinkSync('/nowhere', repositoryFile)
    expect(await a.refused('usage', 'claim list')).toMatchObject({ message: expect.stringContaining('symbolic link'), hint: look })
  })

  it('in a variable is refused with what was meant', async () => {
    const { a } = withHome()
    for (const [name, hint] of [
      ['LEASEHOLD_TLL', 'LEASEHOLD_TTL'],
      ['LEASEHOLD_AGENT', 'LEASEHOLD_AGENT_ID'],
      ['LEASEHOLD_LOCKWAIT', 'LEASEHOLD_LOCK_WAIT'],
      ['LEASEHOLD_XYZZY_PLUGH', 'unset LEASEHOLD_XYZZY_PLUGH'],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = await a.with({ [name]: '1' }).refused('usage', 'claim acquire x')
      expect(error.message).toContain(name)
      expect(error.hint).toContain(hint)
    }
    expect((await a.with({ LEASEHOLD_TTL: 'soon' }).refused('usage', 'claim acquire x')).message).toContain('LEASEHOLD_TTL: "soon"')
    expect((await a.with({ LEASEHOLD_TTL: '' }).acquire('x')).ttl_secs).toBe(1800)
  })

  it('in a config command is refused with what was meant', async () => {
    const { a, repositoryFile } = withHome()
    for (const words of ['config get tll', 'config explain tll', 'config set tll 5m']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('usage', words)).hint).toContain('Did you mean ttl?')
    }
    await a.refused('usage', 'config set ttl often')
    await a.refused('usage', 'config set agent.id agent:all')
    expect(fs.existsSync(repositoryFile)).toBe(false)
  })
})

describe('config set', () => {
  it('writes the repository’s file and keeps what a person wrote there; --user the user’s', async () => {
    const { a, userFile, repositoryFile } = withHome()
    write(repositoryFile, '# ours\nttl: 5m # short\n\nlog:\n  retention: 30d\n')
    expect(await a.ok('config set ttl 7m')).toMatchObject({ key: 'ttl', value: '7m', previous: '5m', file: repositoryFile })
    await a.ok('config set log.segment_size 128KiB')
    expect(fs.readFileSync(repositoryFile, 'utf8')).toBe('# ours\nttl: 7m # short\n\nlog:\n  retention: 30d\n  segment_size: 128KiB\n')
    await a.ok('config set --user agent.id human:ann')
    expect(fs.readFileSync(userFile, 'utf8')).toBe('agent:\n  id: human:ann\n')
    expect((await a.acquire('x')).ttl_secs).toBe(420)
    expect((await a.repo.as(null, { HOME: a.env['HOME'] }).ok('whoami')).agent_id).toBe('human:ann')
  })
})

describe('a setting that another one hides', () => {
  it('is written, and it is said which one counts', async () => {
    const { a, repositoryFile } = withHome()
    expect(await a.ok('config set --user ttl 7m')).not.toHaveProperty('warnings')
    expect(await a.ok('config set ttl 5m')).not.toHaveProperty('warnings')
    expect((await a.run('config set --user ttl 8m')).stderr).toBe(
      `here ttl stays 5m: so says the repository file ${repositoryFile}, which counts for more; see: lh config explain ttl\n`,
    )
    const env = a.with({ LEASEHOLD_TTL: '90s' })
    expect((await env.ok('config set ttl 6m')).warnings).toEqual([
      'here ttl stays 90s: so says the environment LEASEHOLD_TTL, which counts for more; see: lh config explain ttl',
    ])
    expect(fs.readFileSync(repositoryFile, 'utf8')).toBe('ttl: 6m\n')
  })
})

describe('control characters in a committed file', () => {
  it('reach no terminal; --json has them as they are', async () => {
    const { a, repositoryFile } = withHome()
    write(repositoryFile, 'launch.command: "x \\e[31m\\u202e"\nworktree.directory: "a\\u202eb"\n')
    const env = a.with({ LEASEHOLD_LAUNCH_COMMAND: 'y' })
    const outputs = await Promise.all([
      a.run('config list'),
      a.run('config get launch.command'),
      a.run('config explain launch.command'),
      env.run('config explain launch.command'),
      a.run('config set launch.command z'),
    ])
    for (const { code, stdout } of outputs) {
      expect(code).toBe(0)
      expect(stdout).not.toMatch(/\u001b|\u202e/)
    }
    expect((await a.ok('config get worktree.directory')).value).toBe('a\u202eb')
  })
})

describe('several at a time', () => {
  const values = [
    ['ttl', '11m'],
    ['stale_after', '2h'],
    ['lock_wait', '9s'],
    ['base_branch', 'main'],
    ['worktree.directory', '../trees'],
    ['worktree.branch_prefix', 'a/'],
    ['worktree.union_paths', 'a.md'],
    ['enforce', 'warn'],
    ['enforce.branches', 'main=warn'],
    ['log.segment_size', '2MiB'],
    ['log.retention', '30d'],
    ['log.retention_size', '128MiB'],
    ['session_lock.enabled', 'true'],
    ['session_lock.fail', 'open'],
    ['session_lock.scope', 'path'],
    ['session_lock.ttl', '4m'],
  ] as const

  it.each([
    ['the repository’s file', '', true],
    ['the repository’s file, which is not there yet', '', false],
    ['the user’s file', '--user ', true],
    ['the user’s file, which is not there yet', '--user ', false],
  ])('all stand that were said to: %s', async (_which, option, isThere) => {
    const { a, userFile, repositoryFile } = withHome()
    const file = option === '' ? repositoryFile : userFile
    if (isThere) write(file, '# ours\n')
    await Promise.all(values.map(([key, value]) => a.ok(`config set ${option}${key} ${value}`)))
    const origin = option === '' ? 'repository file' : 'user file'
    const { settings } = await a.ok('config list')
    const standing = settings.filter((each: { origin: string }) => each.origin === origin)
    expect(standing.map(({ key, text }: { key: string; text: string }) => [key, text])).toEqual(values)
    expect(fs.readFileSync(file, 'utf8').startsWith('# ours\n')).toBe(isThere)
    expect(fs.readdirSync(path.dirname(file))).toEqual(['config.yaml'])
  })
})

needsRoot.it('the file that root’s init makes in somebody’s repository is theirs to change', async () => {
  const { a, repositoryFile } = withHome()
  const { dir } = a.repo
  for (const place of [path.dirname(dir), dir]) fs.chmodSync(place, 0o755)
  for (const place of [dir, ...fs.readdirSync(dir, { recursive: true, encoding: 'utf8' }).map(name => path.join(dir, name))])
    fs.chownSync(place, 1001, 1001)
  const safe = { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' }
  await a.with(safe).ok('init')
  for (const place of [path.dirname(repositoryFile), repositoryFile])
    expect([fs.statSync(place).uid, fs.statSync(place).gid]).toEqual([1001, 1001])
  const user = ['setpriv', '--reuid=1001', '--regid=1001', '--clear-groups', '--']
  expect((await a.with({ ...safe, HOME: '/' }).startWith(user, '--json config set ttl 5m').ended).code).toBe(0)
  expect(fs.readFileSync(repositoryFile, 'utf8')).toContain('ttl: 5m')
})

describe('a limit', () => {
  it('is the store’s: a file that differs is refused, naming both; config set raises it', async () => {
    const { a, repositoryFile } = withHome()
    await a.ok('claim acquire one --ttl 0 --reason r')
    await a.ok('claim acquire two --ttl 0 --reason r')
    await a.refused('policy', 'claim acquire three --ttl 0 --reason r')
    write(repositoryFile, 'max_indefinite_leases_per_agent: 9\n')
    const error = await a.refused('usage', 'claim acquire three --ttl 0 --reason r')
    expect(error.message).toMatch(/\b9\b/)
    expect(error.message).toMatch(/\b2\b/)
    expect(error.hint).toContain('lh config set max_indefinite_leases_per_agent')
    const other = a.with({ LEASEHOLD_MAX_INDEFINITE_LEASES_PER_AGENT: '7' })
    await other.refused('usage', 'claim acquire three')
    // Who only looks is told as well: what is asked next would be refused.
    const told = /^max_indefinite_leases_per_agent is 7 in the configuration here and 2 in \//
    for (const words of ['status', 'claim list', 'why one', 'session list'])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(parse((await other.run(`--json ${words}`)).stdout).warnings, words).toContainEqual(expect.stringMatching(told))
    const { stdout } = await other.run('doctor --json')
    expect(parse(stdout).findings).toContainEqual(
      expect.objectContaining({
        code: 'other-limits',
        message: expect.stringMatching(told),
        fix: expect.stringContaining('lh config set'),
      }),
    )
    expect((await a.ok('status')).warnings).not.toContainEqual(expect.stringMatching(/per_agent is 7/))
    await a.ok('config set max_indefinite_leases_per_agent 5')
    for (const name of ['three', 'four', 'five']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await a.ok(`claim acquire ${name} --ttl 0 --reason r`)
    }
    expect((await a.refused('policy', 'claim acquire six --ttl 0 --reason r')).message).toContain('the limit is 5')
    await a.refused('usage', 'config set --user max_indefinite_leases_per_agent 9')
  })

  it('that nobody chose here is not compared with the store’s', async () => {
    const { a, repositoryFile } = withHome()
    await a.ok('config set max_indefinite_leases_per_repo 5')
    await a.ok('claim acquire one')
    fs.rmSync(repositoryFile)
    await a.ok('config set max_indefinite_leases_per_agent 1')
    await a.ok('claim acquire two')
    write(repositoryFile, 'max_indefinite_leases_per_agent: 1\nmax_indefinite_leases_per_repo: 6\n')
    expect((await a.refused('usage', 'claim acquire three')).message).toContain('max_indefinite_leases_per_repo is 6')
  })

  it('of the first write is the store’s from then on', async () => {
    const { a, repositoryFile } = withHome()
    write(repositoryFile, 'max_indefinite_leases_per_repo: 1\n')
    await a.ok('claim acquire one --ttl 0 --reason r')
    const error = await a.with({ LEASEHOLD_AGENT_ID: 'agent:b' }).refused('policy', 'claim acquire two --ttl 0 --reason r')
    expect(error.message).toMatch(/this repository already has 1 indefinite lease \(.*the limit is 1/)
    fs.rmSync(repositoryFile)
    await a.with({ LEASEHOLD_AGENT_ID: 'agent:b' }).refused('policy', 'claim acquire two --ttl 0 --reason r')
  })
})

it('store: file:///dir lets two clones share one store', async () => {
  const [one, two] = [repository(), repository()]
  const env = { LEASEHOLD_STORE: `file://${path.join(folder(), 'shared')}` }
  await one.as('agent:a', env).acquire('x')
  await two.as('agent:b', env).refused('held', 'claim acquire x')
  expect(fs.existsSync(one.logFile)).toBe(false)
  // Both have been used with it, and neither falls back to a store of its own.
  for (const repo of [one, two]) await repo.as('agent:b').refused('usage', 'claim list')
})

it('lock_wait bounds how long a busy store is waited for', async () => {
  const repo = repository()
  const a = repo.as('agent:a')
  await a.acquire('x')
  const holder = await busyStore(repo)
  const error = await a.with({ LEASEHOLD_LOCK_WAIT: '200ms' }).refused('unavailable', 'claim renew x')
  expect(error.message).toMatch(/the store is busy: .* for more than 0.2 s/)
  expect(error.details).toMatchObject({ outcome: 'nothing_changed', op_id: expect.any(String) })
  expect((await a.ok('claim list')).count).toBe(1)
  holder.kill('SIGKILL')
  await holder.ended
  await a.ok('claim renew x')
})

describe('outside Git', () => {
  it("the user's settings can be set, and count in every repository; others need one", async () => {
    const { a, userFile } = withHome()
    const outside = a.in(folder())
    await outside.ok('config set --user agent.id human:me')
    await outside.ok('config set --user store file:')
    expect(fs.readFileSync(userFile, 'utf8')).toContain('human:me')
    await outside.ok('config set --user ttl 7m')
    expect(await a.ok('config get ttl')).toMatchObject({ value: 420, origin: 'user file' })
    expect((await outside.refused('usage', 'config set ttl 5m')).message).toContain('not inside a Git repository')
    expect(await outside.with({ LEASEHOLD_TTL: '9m' }).ok('config set --user ttl 5m')).toMatchObject({
      warnings: [expect.stringContaining('LEASEHOLD_TTL')],
    })
  })
})
