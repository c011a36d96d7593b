import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folder, git, parse, repository } from '../support/cli.ts'
import type { Agent, Doc, Repo } from '../support/cli.ts'
import { needsEtcd, startEtcd } from '../support/etcd.ts'
import type { Etcd } from '../support/etcd.ts'
import { requires } from '../support/skip.ts'

// One repository has one store. Whatever names another one, and in whichever order, nobody gets a second lease of the same thing.

const place = (): string => `file://${path.join(folder(), 'shared')}`

/** What is said of a store that is not the one. */
async function refusesBoth(agent: Agent, one: string, other: string, words = 'claim acquire env:a --agent agent:two'): Promise<void> {
  const { message } = await agent.refused('usage', words)
  expect(message).toContain(one)
  expect(message).toContain(other)
}

const codes = async (agent: Agent): Promise<readonly string[]> =>
  parse((await agent.run('--json doctor')).stdout).findings.map(({ code }: Doc) => code)

const config = (repo: Repo): string => path.join(repo.dir, '.leasehold', 'config.yaml')

function write(repo: Repo, text: string): void {
  fs.mkdirSync(path.dirname(config(repo)), { recursive: true })
  fs.writeFileSync(config(repo), text)
}

describe('a repository whose leases are beside it', () => {
  it('refuses another store, whoever names it, and names both; the holder goes on', async () => {
    const repo = repository()
    const one = repo.as('agent:one')
    const { token } = await one.acquire('env:a')
    const other = place()

    const byVariable = one.with({ LEASEHOLD_STORE: other })
    for (const words of ['claim acquire env:a --agent agent:two', 'claim list', 'why env:a', 'status', 'whoami', 'verify'])
      await refusesBoth(byVariable, 'file:', other, words)
    expect((await byVariable.refused('usage', 'claim list')).hint).toContain('unset LEASEHOLD_STORE')
    expect(await codes(byVariable)).toContain('other-store')

    expect((await one.refused('usage', `config set store ${other}`)).hint).toBe(`move them: lh store move --to ${other}`)
    expect(fs.existsSync(config(repo))).toBe(false)

    write(repo, `store: ${other}\n`)
    await refusesBoth(one, 'file:', other)
    expect(await codes(one)).toContain('other-store')
    // What looks at the settings and mends them still works.
    expect((await one.ok('config get store')).value).toBe(other)
    await one.ok('config set store file:')
    expect((await one.ok('claim renew env:a')).lease.token).toBe(token)
    expect(fs.existsSync(other.slice('file://'.length))).toBe(false)
  })

  it('moves: wherever the leases go next, every other store is refused', async () => {
    const repo = repository()
    const one = repo.as('agent:one')
    await one.acquire('env:a')
    const [x, y] = [place(), place()]
    // Also where the setting was edited first.
    write(repo, `store: ${x}\n`)
    expect(await one.ok(`store move --to ${x}`)).toMatchObject({ from: 'file:', to: x, leases: 1 })
    await one.ok(`store move --to ${y}`)
    await one.ok('claim renew env:a')
    for (const gone of ['file:', x])
      expect((await one.with({ LEASEHOLD_STORE: gone }).refused('unavailable', 'claim list')).message).toContain(y)
    await refusesBoth(one.with({ LEASEHOLD_STORE: place() }), y, 'LEASEHOLD_STORE')
    await one.ok('store move --to file:')
    expect(fs.existsSync(path.join(repo.store, 'moved'))).toBe(false)
    await refusesBoth(one.with({ LEASEHOLD_STORE: place() }), 'file:', 'LEASEHOLD_STORE')
    expect(await one.ok('verify')).toMatchObject({ findings: [] })
    expect((await one.lease('env:a')).token).toBe(1)
  })

  it('that was only prepared is still free to choose', async () => {
    const repo = repository()
    const one = repo.as('agent:one')
    await one.ok('init')
    const other = place()
    await one.ok(`config set store ${other}`)
    await one.acquire('env:a')
    await refusesBoth(one.with({ LEASEHOLD_STORE: 'file:' }), other, repo.store)
    expect(await one.ok('store move --to file:')).toMatchObject({ from: other, leases: 1 })
    expect(await one.ok('doctor')).toMatchObject({ findings: [] })
  })
})

describe('a repository that begins with another store', () => {
  it('keeps to it: the first write decides, a reader decides nothing', async () => {
    const repo = repository()
    const x = place()
    const one = repo.as('agent:one', { LEASEHOLD_STORE: x })
    await one.ok('claim list')
    expect(repo.snapshot()).toEqual({})
    await one.acquire('env:a')
    const plain = repo.as('agent:two')
    await refusesBoth(plain, x, repo.store)
    await refusesBoth(plain, x, repo.store, 'claim list')
    expect(await codes(plain)).toContain('moved')
    await refusesBoth(plain.with({ LEASEHOLD_STORE: place() }), x, 'LEASEHOLD_STORE')
    await one.refused('held', 'claim acquire env:a --agent agent:two')
  })

  it('is not bound to a place where nothing could be written, and is told what is missing there', async () => {
    const repo = repository()
    const one = repo.as('agent:one')
    const parent = path.join(folder(), 'not mounted')
    const file = path.join(folder(), 'file')
    fs.writeFileSync(file, '')
    await one.ok('config set store', `file://${path.join(parent, 'leases')}`)
    const { message, hint } = await one.refused('unavailable', 'claim acquire env:a')
    expect(message).toBe(`${parent} is missing`)
    expect(hint).toBe(`make it: mkdir -p '${parent}'   or mount what belongs there`)
    // Nothing was ever claimed, so any store can still be chosen.
    await one.ok(`config set store file://${path.join(file, 'leases')}`)
    expect((await one.refused('unavailable', 'claim acquire env:a')).message).toContain('ENOTDIR')
    expect(await codes(one)).toContain('store-absent')
    await one.ok('config set store file:')
    await one.acquire('env:a')
  })

  it('two that begin at the same time with different stores: one of them is refused', async () => {
    for (let round = 0; round < 4; round++) {
      const repo = repository()
      const stores = ['file:', place(), place()]
      // oxlint-disable-next-line no-await-in-loop -- one round after the other
      const results = await Promise.all(
        stores.map((store, index) => repo.as(`agent:n${index}`, { LEASEHOLD_STORE: store }).run('--json claim acquire env:a')),
      )
      expect(
        results.filter(({ code }) => code === 0),
        JSON.stringify(results),
      ).toHaveLength(1)
    }
  })

  it('clones share one, each with its own note of it; a clone that had leases of its own may leave them', async () => {
    const x = place()
    const [a, b, c] = [repository(), repository(), repository()]
    const one = a.as('agent:one', { LEASEHOLD_STORE: x })
    const two = b.as('agent:two', { LEASEHOLD_STORE: x })
    await one.acquire('env:a')
    await two.refused('held', 'claim acquire env:a')
    await refusesBoth(b.as('agent:two'), x, b.store)

    const three = c.as('agent:three')
    await three.acquire('env:a')
    expect((await three.refused('usage', `store move --to ${x}`)).hint).toContain('--join')
    expect((await three.refused('policy', `store move --to ${x} --join`)).message).toContain('env:a')
    await three.ok('claim renew env:a')
    await three.ok('claim release env:a')
    expect(await three.ok(`store move --to ${x} --join`)).toMatchObject({ from: 'file:', to: x, joined: true })
    await three.refused('held', 'claim acquire env:a')
    await refusesBoth(three.with({ LEASEHOLD_STORE: place() }), x, 'LEASEHOLD_STORE')

    // Another clone moves them all: whoever gets the new setting finds the same leases there.
    const y = place()
    await three.ok(`store move --to ${y}`)
    expect((await one.refused('unavailable', 'claim list')).message).toContain(y)
    const later = one.with({ LEASEHOLD_STORE: y })
    expect((await later.ok('claim renew env:a')).lease.token).toBe(1)
    await refusesBoth(one.with({ LEASEHOLD_STORE: place() }), y, 'LEASEHOLD_STORE')
  })

  it('clones share one, and no doctor takes the worktrees and tickets of another clone for gone', async () => {
    const x = place()
    const [a, b] = [repository(), repository()]
    const [one, two] = [a, b].map(repo => repo.as('agent:one', { LEASEHOLD_STORE: x })) as [Agent, Agent]
    await one.acquire('env:a')
    const { ticket } = await one.ok('ticket create --title', 'Only there')
    await one.ok(`ticket ready ${ticket.id}`)
    await one.ok(`ticket start ${ticket.id}`)
    // Tickets are in use there, too, but that one has not arrived yet.
    await two.ok('ticket create --title', 'Only here')
    for (const words of ['doctor', 'ticket doctor']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { findings } = parse((await two.run(`--json ${words}`)).stdout)
      const told = findings.filter(({ message }: Doc) => /agent:one/.test(message)).map(({ code }: Doc) => code)
      expect({ words, told }).toEqual({ words, told: [] })
    }
    // It is the same agent, which works in the other clone.
    const copy = path.join(b.dir, '.leasehold', 'tickets', ticket.id)
    fs.cpSync(path.join(a.dir, '.leasehold', 'tickets', ticket.id), copy, { recursive: true })
    git(b.dir, 'add', '-A')
    git(b.dir, 'commit', '-qm', 'tickets')
    const { message, hint } = await two.refused('held', `work ${ticket.id} --`, 'true')
    expect(message).toContain('another clone')
    expect(hint).not.toContain('gone')
    await one.ok(`claim check ${ticket.id} --token`, String((await one.lease(`ticket:${ticket.id}`)).token))
  })
})

describe('a Git directory that cannot be written', () => {
  requires(process.geteuid?.() === 0, 'needs root, to mount it read-only').it(
    'readers of another store work; its first writer is told why not',
    async () => {
      const repo = repository()
      const x = place()
      const run = (words: string) =>
        repo
          .as('agent:one', { LEASEHOLD_STORE: x })
          .startWith(
            [
              'unshare',
              '-m',
              'sh',
              '-c',
              `mount --bind "${repo.dir}/.git" "${repo.dir}/.git" && mount -o remount,ro,bind "${repo.dir}/.git" && exec "$@"`,
              'sh',
            ],
            words,
          ).ended
      expect(await run('--json claim list')).toMatchObject({ code: 0 })
      const { code, stdout } = await run('--json claim acquire env:a')
      expect({ code, error: parse(stdout).error }).toMatchObject({ code: 7, error: { details: { outcome: 'nothing_changed' } } })
      expect(parse(stdout).error.message).toContain('leasehold')
      await repo.as('agent:one', { LEASEHOLD_STORE: x }).acquire('env:a')
      expect(parse((await run('--json claim list')).stdout).count).toBe(1)
    },
  )
})

needsEtcd.describe('etcd', () => {
  let etcd: Etcd
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())

  it('is one store like any other: used at once, under another name of its address, and left again', async () => {
    const repo = repository()
    const there = `etcd://${etcd.address}/one/${process.pid}`
    const one = repo.as('agent:one', { LEASEHOLD_STORE: there })
    await one.acquire('env:a')
    await refusesBoth(repo.as('agent:two'), there, repo.store)
    await refusesBoth(one.with({ LEASEHOLD_STORE: `${there}-2` }), there, `${there}-2`)
    // The same leases, told by their identity.
    const renamed = there.replace('127.0.0.1', 'localhost')
    expect(renamed).not.toBe(there)
    expect((await one.with({ LEASEHOLD_STORE: renamed }).ok('claim renew env:a')).lease.resource).toBe('env:a')
    const plain = repo.as('agent:one')
    await plain.ok('store move --to file:')
    expect((await plain.ok('claim renew env:a')).lease.resource).toBe('env:a')
    await one.refused('unavailable', 'claim acquire env:a --agent agent:two')
  })

  it('a second clone finds its note wrong only when it is', async () => {
    const there = `etcd://${etcd.address}/clones/${process.pid}`
    const [a, b] = [repository(), repository()]
    const one = a.as('agent:one', { LEASEHOLD_STORE: there })
    const two = b.as('agent:two', { LEASEHOLD_STORE: there })
    await one.acquire('env:a')
    await two.acquire('env:b')
    await refusesBoth(b.as('agent:two'), there, b.store)
    expect(git(b.dir, 'status', '--short')).toBe('')
  })
})
