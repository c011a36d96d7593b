import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { git, repository } from '../support/cli.ts'

// Who acts, and what follows from it for who may do what.

describe('the agent', () => {
  it('is the first that is said: flag, environment, user configuration, session, Git', async () => {
    const repo = repository()
    const home = path.join(repo.dir, 'home')
    fs.mkdirSync(path.join(home, '.config', 'leasehold'), { recursive: true })
    const config = path.join(home, '.config', 'leasehold', 'config.yaml')
    fs.writeFileSync(config, 'agent:\n  id: human:configured\n')
    const env = { HOME: home, CLAUDE_CODE_SESSION_ID: '0123456789abcdef', GIT_CONFIG_GLOBAL: path.join(home, '.gitconfig') }
    fs.writeFileSync(env.GIT_CONFIG_GLOBAL, '[user]\n\tname = Ann Example\n')
    const a = repo.as('agent:environment', env)
    expect(await a.ok('whoami --agent ci:flag')).toMatchObject({ agent_id: 'ci:flag', origins: { agent: '--agent' } })
    expect(await a.ok('whoami')).toMatchObject({ agent_id: 'agent:environment', origins: { agent: 'environment LEASEHOLD_AGENT_ID' } })
    expect(await repo.as(null, env).ok('whoami')).toMatchObject({ agent_id: 'human:configured' })
    fs.rmSync(config)
    expect(await repo.as(null, env).ok('whoami')).toMatchObject({
      agent_id: 'agent:claude-01234567',
      origins: { session: 'environment CLAUDE_CODE_SESSION_ID' },
    })
    expect(await repo.as(null, { ...env, CLAUDE_CODE_SESSION_ID: '' }).ok('whoami')).toMatchObject({
      agent_id: 'human:Ann Example',
      session_id: null,
    })
    fs.writeFileSync(env.GIT_CONFIG_GLOBAL, '')
    const error = await repo.as(null, { ...env, CLAUDE_CODE_SESSION_ID: '' }).refused('policy', 'claim acquire x')
    expect(error.hint).toContain('lh config set --user agent.id')
    expect(await repo.as(null, { ...env, CLAUDE_CODE_SESSION_ID: '' }).ok('claim list')).toMatchObject({ count: 0 })
  })

  it('has an id of the form type:name', async () => {
    const repo = repository()
    for (const id of ['nobody', ':x', 'agent:', 'Agent:x', 'agent:a\nb', 'agent: x', `agent:${'x'.repeat(129)}`, 'agent:\u202Eevil']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await repo.as(null).refused('usage', 'claim acquire x --agent', id)).message).toContain('--agent: ')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await repo.as(id).refused('usage', 'claim acquire x')).message).toContain('LEASEHOLD_AGENT_ID: ')
    }
    expect(repo.records()).toEqual([])
  })
})

describe('the session', () => {
  it('is the first variable that is set, and part of the holder', async () => {
    const repo = repository()
    const all = {
      COPILOT_AGENT_SESSION_ID: 'co',
      QWEN_CODE_SESSION_ID: 'qw',
      CODEX_SESSION_ID: 'cx',
      CLAUDE_CODE_SESSION_ID: 'cl',
      LEASEHOLD_SESSION_ID: 'lh',
    }
    const seen: string[] = []
    for (const name of Object.keys(all).toReversed()) {
      const left = Object.fromEntries(Object.entries(all).slice(0, Object.keys(all).indexOf(name) + 1))
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      seen.push((await repo.as('agent:a', left).ok('whoami')).session_id)
    }
    expect(seen).toEqual(['lh', 'cl', 'cx', 'qw', 'co'])
    expect(await repo.as('agent:a', all).acquire('x')).toMatchObject({ session: 'lh', holder: { session_id: 'lh' } })
  })

  it('tells two holders of one agent apart: only the one that took it may renew, release or transfer it', async () => {
    const repo = repository()
    const [one, two] = ['one', 'two'].map(session => repo.as('agent:a', { CLAUDE_CODE_SESSION_ID: session }))
    await one!.acquire('x')
    await two!.refused('held', 'claim acquire x')
    for (const words of ['renew x', 'heartbeat x', 'release x', 'transfer x --to-agent agent:b --reason r']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await two!.refused('not_owner', `claim ${words}`)).message).toContain('session one')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await repo.as('agent:a').refused('not_owner', `claim ${words}`)
    }
    await one!.ok('claim renew x')
    await two!.ok('claim evict x --reason', 'the other session is gone')
  })

  it('that rotated goes on by lease id and token, never by guessing', async () => {
    const repo = repository()
    const before = repo.as('agent:a', { CLAUDE_CODE_SESSION_ID: 'before' })
    const after = repo.as('agent:a', { CLAUDE_CODE_SESSION_ID: 'after' })
    const { lease_id, token } = await before.acquire('x')
    await after.refused('not_owner', 'claim renew x')
    await after.refused('not_owner', 'claim renew x --token', String(token))
    await after.ok('claim renew x', '--lease', lease_id, '--token', String(token))
    const handed = after.with({ LEASEHOLD_LEASE: lease_id, LEASEHOLD_TOKEN: String(token) })
    expect(await handed.ok('claim acquire x')).toMatchObject({ already_held: true, lease: { lease_id, token } })
    await handed.ok('claim release x')
  })

  it('is missing where an agent leaves a mark and no id: policy, with what to set', async () => {
    const repo = repository()
    const error = await repo.as('agent:a', { GEMINI_CLI: '1' }).refused('policy', 'claim acquire x')
    expect(error.message).toContain('GEMINI_CLI')
    expect(error.hint).toContain('LEASEHOLD_SESSION_ID')
    await repo.as('agent:a', { GEMINI_CLI: '1', LEASEHOLD_SESSION_ID: 's' }).acquire('x')
    expect((await repo.as('agent:a', { GEMINI_CLI: '1' }).ok('claim list')).count).toBe(1)
  })

  it('may not be empty of meaning: control characters and endless ids are refused', async () => {
    const repo = repository()
    for (const id of ['a\nb', ' x', 'x'.repeat(257)]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await repo.as('agent:a', { LEASEHOLD_SESSION_ID: id }).refused('usage', 'claim acquire x')).message).toContain(
        'LEASEHOLD_SESSION_ID',
      )
    }
  })
})

describe('the worktree', () => {
  it('is another holder than the one beside it; both see all leases', async () => {
    const repo = repository()
    git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'first')
    git(repo.dir, 'worktree', 'add', '-q', 'beside')
    const main = repo.as('agent:a')
    const beside = main.in(path.join(repo.dir, 'beside'))
    await main.acquire('x')
    const error = await beside.refused('held', 'claim acquire x')
    expect(error.details.kind).toBe('held')
    await beside.refused('not_owner', 'claim release x')
    await beside.acquire('y')
    expect((await main.ok('claim list')).count).toBe(2)
    const [one, other] = [await main.ok('whoami'), await beside.ok('whoami')]
    expect(one.worktree_id).not.toBe(other.worktree_id)
    expect([one.repository.kind, other.repository.kind]).toEqual(['main', 'linked'])
    expect(one.store).toBe(other.store)
  })

  it('keeps its id when it is moved, with one warning, and what it holds', async () => {
    const repo = repository()
    git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'first')
    git(repo.dir, 'worktree', 'add', '-q', 'before')
    const before = repo.as('agent:a').in(path.join(repo.dir, 'before'))
    const lease = await before.acquire('x')
    git(repo.dir, 'worktree', 'move', 'before', 'after')
    const after = repo.as('agent:a').in(path.join(repo.dir, 'after'))
    const first = await after.run('claim renew x')
    expect(first).toMatchObject({ code: 0, stderr: expect.stringMatching(/^lh: warning: .*moved here from .*before/) })
    expect((await after.ok('claim renew x')).lease.holder.worktree_id).toBe(lease.holder.worktree_id)
  })

  it('notes what it was granted for its own agent and session, and its loss: the next command is told', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.acquire('x')
    await b.refused('not_owner', 'claim release x')
    await b.refused('not_owner', 'claim renew x')
    await b.ok('claim evict x --reason stuck')
    await a.refused('superseded', 'claim renew x')
    await b.refused('not_found', 'claim renew x')
  })
})

it('a witness is recorded only where a long-lived process is known', async () => {
  const repo = repository()
  expect((await repo.as('agent:a').acquire('x')).holder.witness).toBeNull()
  const lease = await repo.as('agent:a', { LEASEHOLD_PID: String(process.pid) }).acquire('y')
  expect(lease.holder.witness).toMatchObject({ pid: process.pid, host: expect.any(String), boot_id: expect.any(String) })
  expect((await repo.as('agent:a').ok('why y')).evidence).toContainEqual(expect.stringMatching(`process ${process.pid} on .* is alive`))
  await repo.as('agent:a', { LEASEHOLD_PID: 'me' }).refused('usage', 'claim acquire z')
  const { message } = await repo.as('agent:a', { LEASEHOLD_PID: '4194305' }).refused('usage', 'claim acquire z')
  expect(message).toBe('LEASEHOLD_PID: no process 4194305 of yours runs.')
})
