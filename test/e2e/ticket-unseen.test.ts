import fs from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { git, repository } from '../support/cli.ts'
import type { Agent, Repo } from '../support/cli.ts'
import { commit, linked, putTicket, ticketsIn } from '../support/tickets.ts'

// Tickets that only the base branch has: an older branch is checked out, or a part of the files. They are the same tickets.

const id = '20260101-000000-fix-login'
const key = `ticket:${id}`

let repo: Repo
let ann: Agent
let bob: Agent

beforeEach(() => {
  repo = repository()
  git(repo.dir, 'checkout', '-q', '-b', 'main')
  commit(repo.dir, 'before')
  git(repo.dir, 'branch', 'older')
  putTicket(repo.dir, id)
  putTicket(repo.dir, '20260101-000001-done', { state: 'done' })
  commit(repo.dir, 'tickets')
  ;[ann, bob] = [repo.as('agent:ann'), repo.as('agent:bob')]
})

const places: Readonly<Record<string, (dir: string) => void>> = {
  'an older branch': dir => git(dir, 'checkout', '-q', 'older'),
  'a commit before them': dir => git(dir, 'checkout', '-q', '--detach', 'older'),
  'a sparse checkout': dir => {
    git(dir, 'sparse-checkout', 'set', '--no-cone', '/*', '!/.leasehold')
    git(dir, 'checkout', '-q', 'main')
  },
}

describe.each(Object.entries(places))('with %s', (_where, leave) => {
  beforeEach(() => {
    leave(repo.dir)
    expect(fs.existsSync(ticketsIn(repo.dir))).toBe(false)
  })

  it('a ticket has one lease, however it is called and wherever it was taken', async () => {
    const elsewhere = linked(repo, 'elsewhere')
    git(elsewhere, 'reset', '-q', '--hard', 'main')
    expect((await ann.in(elsewhere).acquire('fix-login')).resource).toBe(key)
    for (const words of ['claim acquire fix-login', `claim acquire ${id}`, 'exec fix-login -- true', 'work fix-login'])
      expect((await bob.refused('held', words)).holder.agent_id, words).toBe('agent:ann')
    expect((await bob.ok('claim list')).leases.map(({ resource }: { resource: string }) => resource)).toEqual([key])
    await ann.in(elsewhere).ok('claim release fix-login')
    expect((await bob.acquire('fix-login')).resource).toBe(key)
    expect((await ann.in(elsewhere).refused('held', 'claim acquire fix-login')).holder.agent_id).toBe('agent:bob')
  })

  it('what is done on the base branch is not given out again, and an unknown name is none', async () => {
    for (const words of ['claim acquire done', 'exec done -- true', 'worktree add done']) await bob.refused('policy', words)
    await bob.refused('not_found', 'claim acquire nothing-like-it')
  })

  it('is not told of a ticket that is committed that it is not', async () => {
    expect((await bob.run('worktree add fix-login')).stderr).not.toContain('not committed')
  })

  it('work for one has its worktree, its branch and its end', async () => {
    await ann.ok('work fix-login')
    const place = path.join(`${repo.dir}-worktrees`, 'fix-login')
    fs.writeFileSync(path.join(place, 'work'), 'done\n')
    git(place, 'add', 'work')
    git(place, 'commit', '-q', '-m', 'work')
    expect((await ann.run('work --finish fix-login')).stderr).toContain('main has the work')
    expect(git(repo.dir, 'show', 'main:work')).toBe('done')
    expect((await bob.refused('policy', 'claim acquire fix-login')).message).toContain('done')
  })
})

it('where there are none at all, each commit of the base branch is asked about once', async () => {
  const plain = repository()
  git(plain.dir, 'checkout', '-q', '-b', 'main')
  commit(plain.dir, 'one')
  const agent = plain.as('agent:ann')
  const known = path.join(plain.store, 'tickets.base')
  expect((await agent.acquire('first')).resource).toBe('ticket:first')
  await agent.acquire('other')
  const before = fs.statSync(known, { bigint: true }).mtimeNs
  await agent.acquire('third')
  expect(fs.statSync(known, { bigint: true }).mtimeNs).toBe(before)
  putTicket(plain.dir, id)
  commit(plain.dir, 'two')
  fs.rmSync(ticketsIn(plain.dir), { recursive: true })
  expect((await agent.acquire(id)).resource).toBe(key)
})
