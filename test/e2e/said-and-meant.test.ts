import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { executable, folder, git, parse, repository, type Doc } from '../support/cli.ts'
import { putTicket } from '../support/tickets.ts'
import { requires } from '../support/skip.ts'

// Whatever is said on a command line is done, or refused with the reason. Nothing is accepted and ignored.

const needsBash = requires(fs.existsSync('/bin/bash'), 'needs bash')

describe('a lease that is named twice', () => {
  it('differently is refused by every command that takes --lease', async () => {
    const one = repository().as('agent:one')
    const [a, b] = [await one.acquire('env:a'), await one.acquire('env:b')]
    for (const words of ['claim release', 'claim renew', 'claim heartbeat', 'claim transfer --to-agent agent:two --reason r']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { message } = await one.refused('usage', `${words} ${a.lease_id} --lease ${b.lease_id}`)
      expect(message).toContain(a.lease_id)
      expect(message).toContain(b.lease_id)
    }
    await one.refused('superseded', `claim release env:a --lease ${b.lease_id}`)
    await one.refused('usage', 'claim release env:a --lease nonsense')
    await one.ok(`claim release ${a.lease_id} --lease ${a.lease_id.toLowerCase()}`)
    expect(await one.lease('env:b')).toBeDefined()
  })
})

describe('the beginning of a lease id', () => {
  it('names the lease, for every command that takes one', async () => {
    const one = repository().as('agent:one')
    const { lease_id: id, token } = await one.acquire('env:a')
    const begin = id.slice(0, 8)
    expect((await one.ok(`claim renew ${begin}`)).lease.resource).toBe('env:a')
    expect((await one.ok(`claim heartbeat ${begin.toLowerCase()}`)).lease.resource).toBe('env:a')
    expect((await one.ok(`claim check ${begin} --token ${token}`)).resource).toBe('env:a')
    await one.refused('not_found', `claim renew ${id.slice(0, 3)}`)
    expect((await one.ok(`claim release ${begin}`)).resource).toBe('env:a')
    await one.refused('not_found', `claim renew ${begin}`)
  })

  it('is enough to look at it, too', async () => {
    const one = repository().as('agent:one')
    const { lease_id: id } = await one.acquire('env:a')
    for (const named of [id, id.slice(0, 20), id.slice(0, 20).toLowerCase()]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await one.ok(`why ${named}`)).toMatchObject({ resource: 'env:a', standing: 'live' })
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await one.ok(`claim status --resource ${named}`)).toMatchObject({ resource: 'env:a', count: 1 })
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await one.ok(`claim history ${named}`)).toMatchObject({ count: 1 })
    }
  })

  it('of several, or the name of a ticket that is held, is refused with what it can mean', async () => {
    const one = repository().as('agent:one')
    const [a, b] = [await one.acquire('env:a'), await one.acquire('env:b')]
    const shared = a.lease_id.slice(0, 4)
    expect(b.lease_id.slice(0, 4)).toBe(shared)
    const { message } = await one.refused('usage', `claim renew ${shared}`)
    for (const each of [a, b]) expect(message).toContain(`${each.lease_id} (${each.resource})`)
    const whole = a.lease_id.slice(0, 20).toLowerCase()
    await one.acquire(`ticket:${whole}`)
    expect((await one.refused('usage', `claim renew ${whole}`)).message).toContain(`ticket:${whole}`)
    expect((await one.ok(`claim renew ticket:${whole}`)).lease.resource).toBe(`ticket:${whole}`)
  })
})

describe('a reason and a branch', () => {
  it('of a renewal, and of acquiring what one holds, are kept with the lease and in the log', async () => {
    const repo = repository()
    const one = repo.as('agent:one')
    const token = (await one.acquire('env:a --branch first', '--reason', 'why at first')).token
    const state = async (): Promise<Doc> => {
      const { reason, branch, token: now, ttl_secs: ttl } = await one.lease('env:a')
      return { reason, branch, token: now, ttl }
    }
    expect((await one.ok('claim renew env:a', '--reason', 'a review')).lease.reason).toBe('a review')
    expect(repo.records().at(-1)).toMatchObject({ op: 'renew', reason: 'a review' })
    expect(await state()).toEqual({ reason: 'a review', branch: 'first', token, ttl: 1800 })
    await one.ok('claim renew env:a --ttl 0', '--reason', 'over night')
    expect(await state()).toEqual({ reason: 'over night', branch: 'first', token, ttl: 0 })
    await one.ok('claim acquire env:a --ttl 10m --branch second', '--reason', 'again')
    expect(repo.records().at(-1)).toMatchObject({ op: 'renew', reason: 'again', branch: 'second' })
    await one.ok('claim acquire env:a')
    await one.ok('claim renew env:a')
    expect(await state()).toEqual({ reason: 'again', branch: 'second', token, ttl: 600 })
    // What did not change is not said again.
    expect(repo.records().at(-1)).not.toHaveProperty('reason')
    expect((await one.ok('why env:a')).lease.reason).toBe('again')
    expect((await one.history('env:a')).map(({ reason }) => reason).filter(Boolean)).toEqual([
      'why at first',
      'a review',
      'over night',
      'again',
    ])
    expect(await one.ok('verify')).toMatchObject({ findings: [] })
    // The index is the log's, also after it was made anew.
    fs.rmSync(path.join(repo.store, 'claims.index.jsonl'), { force: true })
    expect((await state()).reason).toBe('again')
  })
})

it('a transfer goes to an agent or to a session', async () => {
  const one = repository().as('agent:one')
  await one.acquire('env:a')
  const both = 'claim transfer env:a --to-agent agent:two --to-session review --reason r'
  expect((await one.refused('usage', both)).message).toContain('exclude each other')
  expect((await one.refused('usage', 'claim transfer env:a --reason r')).message).toContain('needs --to-agent or --to-session')
})

it('the doctor does one thing at a time', async () => {
  const one = repository().as('agent:one')
  for (const words of ['--moved --fix', '--copied --fix', '--moved --copied'])
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    expect((await one.refused('usage', `doctor ${words}`)).message).toBe(`${words.replace(' ', ' and ')} exclude each other`)
})

it('a reason that a command gives of itself does not replace what a person said', async () => {
  const repo = repository()
  git(repo.dir, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '--allow-empty', '-m', 'first')
  const one = repo.as('agent:one')
  const { id } = (await one.ok('ticket create --title', 'Mend it')).ticket
  await one.ok(`ticket ready ${id}`)
  await one.acquire(`${id} --reason`, 'because I can')
  await one.ok(`ticket start ${id}`)
  expect((await one.lease(`ticket:${id}`)).reason).toBe('because I can')
})

describe('who acts', () => {
  it('is refused when it is no agent id, wherever it is said', async () => {
    const repo = repository()
    for (const words of ['status', 'why env:a', 'claim list', 'claim status', 'claim acquire env:a', 'config list', 'schema']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { message } = await repo.as('agent:one').refused('usage', `${words} --agent x`)
      expect(message, words).toContain('--agent: "x" is no agent id')
    }
    expect(repo.snapshot()).toEqual({})
  })

  it('need not be known to ask who one is; status and whoami say what to do', async () => {
    const repo = repository()
    const home = folder()
    const nobody = repo.as(null, { HOME: home, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' })
    const who = await nobody.ok('whoami')
    expect(who).toMatchObject({ agent_id: null, worktree_id: expect.stringMatching(/^wt:/) })
    expect(who.origins.agent).toContain('lh config set --user agent.id')
    expect(await nobody.run('whoami')).toMatchObject({ code: 0, stdout: expect.stringContaining('lh config set --user agent.id') })
    expect(await nobody.ok('status')).toMatchObject({ agent: null })
    await nobody.refused('policy', 'claim acquire env:a')
    // An agent that left a mark and no session is told of that, and exits 0 as well.
    expect((await nobody.with({ GEMINI_CLI: '1' }).ok('whoami')).origins.agent).toContain('GEMINI_CLI')
  })
})

describe('a worktree that is handed something', () => {
  it('has to be one of the repository; with a store that others share it is warned of', async () => {
    const repo = repository()
    const one = repo.as('agent:one')
    git(repo.dir, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '--allow-empty', '-m', 'first')
    const there = path.join(folder(), 'there')
    git(repo.dir, 'worktree', 'add', '-q', there)
    const two = repo.as('agent:two').in(there)
    const second = (await two.ok('claim acquire env:mine')).lease.holder.worktree_id
    const own = (await one.acquire('env:a')).holder.worktree_id
    const { message } = await one.refused('not_found', 'claim transfer env:a --to-agent agent:two --to-worktree wt:00000000 --reason r')
    for (const id of ['wt:00000000', own, second]) expect(message).toContain(id)
    expect((await one.ok(`claim transfer env:a --to-agent agent:two --to-worktree ${second} --reason r`)).lease.holder).toMatchObject({
      agent_id: 'agent:two',
      worktree_id: second,
    })
    const shared = repository().as('agent:one', { LEASEHOLD_STORE: `file://${path.join(folder(), 'store')}` })
    await shared.acquire('env:a')
    const far = await shared.run('--json claim transfer env:a --to-agent agent:two --to-worktree wt:00000000 --reason r')
    expect(far).toMatchObject({ code: 0, stderr: expect.stringContaining('wt:00000000') })
  })
})

describe('an output', () => {
  it('with --json is one document: help, completion, version', async () => {
    const one = repository().as('agent:one')
    const all = await one.ok('--help')
    expect(all.commands.map(({ command }: Doc) => command)).toEqual(
      expect.arrayContaining(['lh claim acquire', 'lh ticket create', 'lh doctor']),
    )
    const [acquire, ...others] = (await one.ok('claim acquire --help')).commands
    expect(others).toEqual([])
    expect(acquire).toMatchObject({ command: 'lh claim acquire', usage: '<resource>…' })
    expect(acquire.options).toContainEqual({ name: '--ttl', value: expect.any(String), doc: expect.any(String) })
    expect((await one.ok('claim --help')).commands.length).toBeGreaterThan(5)
    expect((await one.ok('help claim renew')).commands).toMatchObject([{ command: 'lh claim renew' }])
    const { script, shell } = await one.ok('completion bash')
    expect({ shell, script: `${script}` }).toEqual({ shell: 'bash', script: (await one.run('completion bash')).stdout })
    expect(await one.ok('--version')).toEqual({ ok: true, version: (await one.run('--version')).stdout.trim() })
  })

  it('that nobody wants is refused, or not there', async () => {
    const one = repository().as('agent:one')
    await one.acquire('env:a')
    expect((await one.refused('usage', 'claim history --follow --quiet')).message).toContain('--quiet')
    expect(await one.run('claim history --quiet')).toMatchObject({ code: 0, stdout: '', stderr: '' })
    expect(await one.run('log export --quiet')).toMatchObject({ code: 0, stdout: '', stderr: '' })
    expect(await one.run('completion bash --quiet')).toMatchObject({ code: 0, stdout: '', stderr: '' })
  })

  needsBash.it('for bash completes words also in a shell that is strict about what is not set', async () => {
    const { stdout: script } = await repository().as('agent:one').run('completion bash')
    const complete = (...words: readonly string[]): readonly string[] =>
      execFileSync(
        'bash',
        ['-uc', `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _leasehold; echo "\${COMPREPLY[@]}"`, 'bash', ...words],
        {
          encoding: 'utf8',
        },
      )
        .trim()
        .split(' ')
    expect(complete('lh', 'cl')).toEqual(['claim'])
    expect(complete('lh', '')).toContain('claim')
    expect(complete('lh', 'claim', 're')).toEqual(['renew', 'release'])
    expect(complete('lh', 'claim', 'heartbeat', 'x', '--e')).toEqual(['--every='])
  })

  describe('for bash completes what the repository knows', () => {
    /** Words that a shell in this directory would offer for a line, typed up to its end. */
    async function offered(dir: string, line: string): Promise<readonly string[]> {
      const { stdout: script } = await repository().as('agent:one').run('completion bash')
      // As readline splits it.
      const words = line.split(/\s+/).flatMap((word, at, all) => {
        const parts = word.split(/([=:])/).filter(part => part !== '')
        return parts.length === 0 ? (at === all.length - 1 ? [''] : []) : parts
      })
      const complete = 'COMP_LINE="$1"; COMP_POINT=${#1}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _leasehold lh'
      const program = `lh() { '${process.execPath}' '${executable}' "$@"; }`
      return execFileSync(
        'bash',
        ['-uc', `${script}\n${program}\n${complete}; printf '%s\\n' "\${COMPREPLY[@]-}"`, 'bash', line, ...words],
        {
          cwd: dir,
          encoding: 'utf8',
        },
      )
        .split('\n')
        .filter(word => word !== '')
    }

    needsBash.it('tickets, resources and sessions, and nothing elsewhere', async () => {
      const repo = repository()
      putTicket(repo.dir, '20260101-000000-fix-login')
      putTicket(repo.dir, '20260101-000001-fix-start')
      // Whoever can put a directory into a repository runs nothing by it.
      fs.mkdirSync(path.join(repo.dir, '.leasehold/tickets/fix-$(touch hit)'))
      await repo.as('agent:one').acquire('env:staging')
      for (const [line, expected] of [
        ['lh ticket show fix-', ['fix-login', 'fix-start']],
        ['lh ticket show 20260101-000001', ['20260101-000001-fix-start']],
        ['lh ticket show', ['show']],
        ['lh ticket set fix-l', ['fix-login']],
        ['lh work fix-l', ['fix-login']],
        ['lh claim release env:st', ['staging']],
        ['lh claim release env:', ['staging']],
        ['lh why fix-l', ['fix-login']],
        ['lh exec fix-l', ['fix-login']],
        ['lh exec x -- fix-l', []],
        ['lh ticket depend fix-login --on fix-s', ['fix-start']],
        ['lh ticket depend fix-login --on=fix-s', ['fix-start']],
        ['lh ticket depend fix-login --on=', ['20260101-000000-fix-login', '20260101-000001-fix-start', 'fix-login', 'fix-start']],
        ['lh ticket create --depends-on fix-login,fix-s', ['fix-login,fix-start']],
        ['lh ticket close fix-login --resolution fix-', []],
        ['lh ticket close fix-login --re', ['--resolution=', '--repo=']],
        ['lh session show x', []],
        ['lh ticket list fix-', []],
      ] as const)
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        expect(await offered(repo.dir, line), line).toEqual(expected)
      expect(fs.existsSync(path.join(repo.dir, 'hit'))).toBe(false)
      const elsewhere = folder()
      expect(await offered(elsewhere, 'lh ticket show fix-')).toEqual([])
      expect(fs.readdirSync(elsewhere)).toEqual([])
    })

    it('asks for words with a command that says nothing where there is nothing to say', async () => {
      const repo = repository()
      const one = repo.as('agent:one')
      expect((await one.ok('completion tickets')).words).toEqual([])
      expect(fs.existsSync(path.join(repo.dir, '.git/leasehold'))).toBe(false)
      await one.acquire('env:a')
      expect((await one.ok('completion resources')).words).toEqual(['env:a'])
      expect((await one.ok('completion sessions')).words).toEqual([])
      const dead = { LEASEHOLD_STORE: 'etcd://127.0.0.1:1/nobody' }
      expect(await repo.as('agent:one', dead).run('completion resources')).toMatchObject({ code: 0, stdout: '', stderr: '' })
    })
  })

  it('--version takes nothing else', async () => {
    const one = repository().as('agent:one')
    for (const words of ['--version --bogus', '--version claim', '-v --quiet'])
      expect((await one.refused('usage', words)).message).toContain(words.split(' ')[1])
    expect(parse((await one.run('--version --json')).stdout).ok).toBe(true)
  })
})

describe('a name that no file system takes', () => {
  it('is a mistake, and no defect of ours', async () => {
    const a = repository().as('agent:a')
    const name = 'x'.repeat(300)
    for (const words of [`worktree info ${name}`, `worktree remove ${name}`]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { message, hint } = await a.refused('usage', words)
      expect(message, words).toMatch(/^a path is too long for its file system: /)
      expect(message.length).toBeLessThan(300)
      expect(hint).toContain('a shorter one')
    }
    await a.with({ TMPDIR: `/tmp/${name}` }).refused('usage', 'demo')
  })
})

describe('without a home', () => {
  it('session locks have no place, and it is said what to do', async () => {
    const { hint } = await repository().as('agent:a', { HOME: '' }).refused('unavailable', 'session-lock status')
    expect(hint).toContain('HOME=/home/you')
  })
})

describe('too many arguments', () => {
  it('are counted as what they are', async () => {
    const a = repository().as('agent:a')
    const { message } = await a.refused('usage', 'config set launch.command claude -- -p')
    expect(message).not.toContain('resource')
    expect((await a.refused('usage', 'config set ttl 5m 6m')).message).toBe('lh config set does not take "6m"')
    expect((await a.refused('usage', 'work one two')).message).toBe('lh work does not take "two"')
    const keys = Array.from({ length: 40 }, (_, at) => `k${at}`).join(' ')
    expect((await a.refused('usage', `gate add x ${keys}`)).message).toBe('lh gate add takes at most 33 words at once, and 41 are named')
  })
})

describe('too many resources', () => {
  it.each(['claim acquire', 'exec'])('of %s are refused with the limit', async command => {
    const one = repository().as('agent:one')
    const many = Array.from({ length: 33 }, (_, number) => `env:n${number}`)
    const { message } = await one.refused('usage', command, ...many, ...(command === 'exec' ? ['--', 'true'] : []))
    expect(message).toContain('at most 32')
    expect(message).toContain('33')
    await one.ok('claim acquire', ...many.slice(1))
  })
})
