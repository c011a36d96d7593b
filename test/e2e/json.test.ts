import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { exits, failure, folder, repository, success } from '../support/cli.ts'
import { requires } from '../support/skip.ts'

// The door itself: where output goes, what the options do, and how a mistyped command is answered.

const needsScript = requires(spawnSync('script', ['--version']).status === 0, 'needs the program script (util-linux), for a terminal')

describe('output', () => {
  it('for people is on standard output, refusals on standard error, never both', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    expect(await a.run('claim acquire x --ttl 10m')).toEqual({
      code: 0,
      signal: null,
      stdout: expect.stringMatching(/^acquired ticket:x  token 1, for 10 min  lease [0-9A-Z]{26}\n$/),
      stderr: '',
    })
    const refused = await repo.as('agent:b').run('claim acquire x')
    expect(refused).toMatchObject({ code: exits.held, stdout: '' })
    expect(refused.stderr).toMatch(/^lh: ticket:x is held by agent:a .*\n {4}see: lh why ticket:x.*\n$/)
    expect((await a.run('claim renew x')).stdout).toMatch(/^renewed ticket:x/)
    expect((await a.run('claim acquire x')).stdout).toMatch(/^you already hold ticket:x/)
    expect((await a.run('claim list')).stdout).toMatch(/^ticket:x +agent:a +wt:[0-9a-f]{8} +token 1 +live +for 10 min\n$/)
    expect((await a.run('claim check x --token 1')).stdout).toMatch(/^token 1 is the current one of ticket:x/)
    expect((await a.run('why x')).stdout).toMatch(/^ticket:x is live\n {2}held by +agent:a/)
    expect((await a.run('claim release x')).stdout).toBe('released ticket:x, held by agent:a with token 1\n')
    expect((await a.run('claim release x')).stdout).toBe('ticket:x was already released\n')
    expect((await a.run('claim list')).stdout).toBe('no leases\n')
    expect((await a.run('status')).stdout).toMatch(/nobody holds anything here/)
  })

  it('is nothing with --quiet, except errors', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    for (const words of [
      'claim acquire x',
      'claim acquire x',
      'claim renew x',
      'claim list',
      'why x',
      'claim history',
      'claim check x --token 1',
      'claim release x',
      'whoami',
      'status',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await a.run(`${words} --quiet`), words).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
    }
    expect((await a.run('--quiet claim renew x')).stderr).toContain('nobody holds ticket:x')
    expect((await a.run('--quiet --json claim list')).stdout).toContain('"count":0')
  })

  it('has no colour in a pipe, whatever NO_COLOR and FORCE_COLOR say', async () => {
    const repo = repository()
    await repo.as('agent:a').acquire('x')
    for (const env of [{}, { NO_COLOR: '1' }, { FORCE_COLOR: '1' }, { TERM: 'dumb' }]) {
      for (const words of ['claim list', 'why x', 'status', 'claim history']) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        expect((await repo.as('agent:a', env).run(words)).stdout).not.toContain('\u001b')
      }
    }
  })

  needsScript.it('has colour on a terminal, unless NO_COLOR is set', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x')
    const script = (env: NodeJS.ProcessEnv) =>
      a.with({ TERM: 'xterm-256color', ...env }).startWith(['setsid', 'sh', '-c', 'script -qec "$*" /dev/null', 'sh'], 'claim list').ended
    expect((await script({})).stdout).toContain('\u001b[')
    expect((await script({ NO_COLOR: '1' })).stdout).not.toContain('\u001b[')
  })

  it('that nobody reads any more is no error', async () => {
    const repo = repository()
    const result = await repo.as('agent:a').startWith(['sh', '-c', '"$@" | true; exit 0', 'sh'], 'claim list').ended
    expect(result).toMatchObject({ code: 0, stderr: '' })
  })

  it('of errors has the documented shape in every case, also for a mistyped command line', async () => {
    const a = repository().as('agent:a')
    for (const words of [
      '--json',
      'claim --json',
      'clam --json',
      'claim acquire --json',
      'claim acquire x --tll 5 --json',
      '--json claim list extra',
      '--json claim list -- x',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      failure(await a.run(words), 'usage', words)
    }
  })
})

describe('options that every command takes', () => {
  it('may come before and after the command words', async () => {
    const repo = repository()
    const elsewhere = repo.as(null).in(folder())
    for (const words of [
      `--json --repo ${repo.dir} --agent agent:a claim acquire x`,
      `--repo=${repo.dir} claim acquire x --agent=agent:a --json`,
      `claim acquire --agent agent:a --json --repo ${repo.dir} x`,
      `--agent agent:a claim acquire x --repo ${repo.dir} --json`,
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(success(await elsewhere.run(words)).lease.holder.agent_id, words).toBe('agent:a')
    }
    expect((await elsewhere.ok(`claim list --repo ${repo.dir}`)).count).toBe(1)
    expect(
      (
        await repo
          .as('agent:a')
          .in(path.dirname(repo.dir))
          .ok(`claim list --repo ${path.basename(repo.dir)}`)
      ).count,
    ).toBe(1)
  })

  it('--repo must name a directory inside a repository', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    expect((await a.refused('usage', 'claim list --repo', path.join(repo.dir, 'nowhere'))).message).toContain('nowhere')
    const file = path.join(repo.dir, 'file')
    fs.writeFileSync(file, '')
    expect((await a.refused('usage', 'claim list --repo', file)).message).toContain('is not a directory')
    await a.refused('usage', 'claim list --repo', '')
  })

  it('--help explains without doing anything', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    for (const words of ['--help', '-h', 'help', '']) expect((await a.run(words)).stdout).toContain('lh claim acquire')
    const help = await a.run('claim acquire x --help')
    expect(help).toMatchObject({ code: 0, stderr: '' })
    for (const text of ['--ttl', '--wait[=', '--reason', '--op-id', '--json', '--repo', '--agent']) expect(help.stdout).toContain(text)
    expect((await a.run('claim --help')).stdout).toContain('lh claim release')
    expect((await a.run('help')).stdout).not.toMatch(/\b(mcp|serve)\b/)
    expect(fs.existsSync(repo.store)).toBe(false)
    expect((await a.run('nonsense --help')).code).toBe(exits.usage)
  })

  it('--version', async () => {
    const { version } = JSON.parse(fs.readFileSync(path.resolve(import.meta.dirname, '../../package.json'), 'utf8'))
    const a = repository().as('agent:a')
    expect((await a.run('--version')).stdout).toBe(`${version}\n`)
    expect(success(await a.run('--version --json'))).toEqual({ ok: true, version })
  })
})

describe('a mistake', () => {
  it('in a command or option is answered with what was probably meant', async () => {
    const a = repository().as('agent:a')
    const meant = async (words: string): Promise<string> => (await a.refused('usage', words)).hint
    expect(await meant('clam list')).toContain('did you mean lh claim?')
    expect(await meant('claim aquire x')).toContain('did you mean lh claim acquire?')
    expect(await meant('claim acquire x --tll 5')).toContain('did you mean --ttl?')
    expect(await meant('claim list --jsno')).toContain('did you mean --json?')
    expect(await meant('claim evict x --raison r')).toContain('did you mean --reason?')
    expect(await meant('frobnicate')).toContain('lh --help')
    expect((await a.refused('usage', 'claim')).message).toContain(
      'acquire, renew, heartbeat, release, transfer, evict, allow, status, list, check, history',
    )
  })

  it('in the number of arguments is answered with the usage line', async () => {
    const a = repository().as('agent:a')
    expect((await a.refused('usage', 'claim acquire')).hint).toBe(
      'usage: lh claim acquire <resource>…; for example: lh claim acquire fix-login --ttl 10m',
    )
    // What is asked for by an option is shown by an example; what leads on is a command that works.
    expect((await a.refused('usage', 'ticket comment x y')).hint).toContain('--message "')
    expect((await a.refused('usage', 'tickets')).hint).toBe('did you mean lh ticket? see: lh ticket --help')
    expect((await a.refused('usage', 'ticket')).hint).toBe('see: lh ticket --help')
    expect((await a.run('ticket --help')).code).toBe(0)
    expect((await a.refused('usage', 'version')).hint).toBe('did you mean lh --version?')
    expect((await a.refused('usage', 'claim release x y')).message).toContain('"y"')
    expect((await a.refused('usage', 'why')).message).toContain('<resource>')
    expect((await a.refused('usage', 'claim list --', 'x')).message).toContain('nothing after --')
  })

  it('in a value is answered with the option and the value', async () => {
    const a = repository().as('agent:a')
    for (const words of ['claim acquire x --ttl', 'claim renew x --token', 'claim acquire x --quiet=yes']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('usage', words)).message, words).toMatch(/option '--(ttl|token|quiet)/)
    }
  })
})

it('a directory that was removed under the shell is named', async () => {
  const gone = folder()
  const a = repository().as('agent:a')
  for (const words of ['claim list --json', 'claim list --json --repo ..']) {
    fs.mkdirSync(gone, { recursive: true })
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    const result = await a.startWith(['sh', '-c', `cd ${gone} && rmdir ${gone} && "$@"`, 'sh'], words).ended
    expect(failure(result, 'usage').message).toBe('the current directory no longer exists')
  }
})
