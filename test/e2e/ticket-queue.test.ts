import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, folder, git, repository, success } from '../support/cli.ts'
import { commit, drain, linked, putTicket, ticketBytes, ticketFile, ticketText } from '../support/tickets.ts'

// Who gets which ticket: real processes in real worktrees, all asking at once.

const two = (number: number): string => String(number).padStart(2, '0')

/** Sixty tickets of every priority, some queued; the order in which they were made is not that of their priorities. */
const sixty = Array.from({ length: 60 }, (_, number) => {
  const minute = two((number * 37) % 60)
  return {
    id: `20260101-00${minute}00-job-${two(number)}`,
    priority: `P${number % 5}`,
    state: number % 3 === 0 ? 'queued' : 'ready',
    created: `2026-01-01T00:${minute}:00Z`,
  }
})

/** By priority, queued first, oldest first: said once more, and not taken from the source. */
const inTurn = sixty
  .map(job => `${job.priority} ${job.state === 'queued' ? 0 : 1} ${job.created} ${job.id}`)
  .toSorted()
  .map(line => line.split(' ')[3]!)

describe('the queue', () => {
  it('gives each of sixty tickets to exactly one of twelve processes in four worktrees', { timeout: 180_000 }, async () => {
    const repo = repository()
    for (const job of sixty.slice(0, 40)) putTicket(repo.dir, job.id, job)
    commit(repo.dir)
    const places = [repo.dir, linked(repo, 'work/a'), linked(repo, 'work/b'), linked(repo, 'work/c')]
    // These are in the main worktree only, and committed nowhere.
    for (const job of sixty.slice(40)) putTicket(repo.dir, job.id, job)
    const taken = await Promise.all(Array.from({ length: 12 }, (_, number) => drain(repo.as(`agent:${number}`).in(places[number % 4]!))))
    expect(taken.flat().toSorted()).toEqual(sixty.map(({ id }) => id).toSorted())
    expect(repo.records().filter(({ op }: Doc) => op === 'acquire')).toHaveLength(60)
    // Whatever was taken before it, each process got its own in turn.
    for (const own of taken) expect(own).toEqual(inTurn.filter(id => own.includes(id)))
    await repo.as('agent:0').ok('verify')
  })

  it('hands out by priority, queued before ready, oldest first', { timeout: 120_000 }, async () => {
    const repo = repository()
    const some = sixty.filter((_, number) => number % 4 === 0)
    for (const job of some) putTicket(repo.dir, job.id, job)
    const order = inTurn.filter(id => some.some(job => job.id === id))
    const a = repo.as('agent:a')
    expect((await a.ok('ticket list --ready')).tickets.map(({ id }: Doc) => id)).toEqual(order)
    expect((await a.ok('ticket next')).ticket.id).toBe(order[0])
    expect((await a.ok('ticket next')).lease).toBeNull()
    expect(await drain(a)).toEqual(order)
  })

  it('takes of a narrowed list the first that fits', async () => {
    const repo = repository()
    putTicket(repo.dir, '20260101-000000-one', { priority: 'P0' })
    putTicket(repo.dir, '20260101-000001-two', { priority: 'P3' })
    const file = ticketFile(repo.dir, '20260101-000001-two')
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('labels: []', 'labels: [ui]'))
    const a = repo.as('agent:a')
    expect((await a.ok('ticket next --claim --label nothing')).ticket).toBeNull()
    expect((await a.ok('ticket next --claim --label ui')).ticket.id).toBe('20260101-000001-two')
    expect((await a.ok('ticket next --claim --priority P3')).ticket).toBeNull()
    expect((await a.ok('ticket next --claim')).ticket.id).toBe('20260101-000000-one')
  })

  it('asks the log and not the copies, where the copies of two branches differ', async () => {
    const repo = repository()
    const id = putTicket(repo.dir, '20260101-000000-shared')
    const other = putTicket(repo.dir, '20260101-000001-other')
    commit(repo.dir)
    const [early, late, unclear] = [linked(repo, 'work/early'), linked(repo, 'work/late'), linked(repo, 'work/unclear')]
    putTicket(early, id, { priority: 'P0', state: 'queued', title: 'as early has it' })
    putTicket(late, id, { priority: 'P4' })
    putTicket(unclear, id, { state: 'intake' })
    const [a, b, c] = [repo.as('agent:a').in(early), repo.as('agent:b').in(late), repo.as('agent:c').in(unclear)]
    expect((await a.ok('ticket next')).ticket).toMatchObject({ id, title: 'as early has it', priority: 'P0' })
    expect((await b.ok('ticket next')).ticket.id).toBe(other)
    expect((await c.ok('ticket next')).ticket.id).toBe(other)
    expect(await drain(a)).toEqual([id, other])
    expect(await drain(b)).toEqual([])
    expect(await drain(repo.as('agent:d'))).toEqual([])
  })

  it('does not hand out again what is done on a branch that is not merged, until it is reopened', async () => {
    const repo = repository()
    const id = putTicket(repo.dir, '20260101-000000-one')
    commit(repo.dir)
    const [first, second] = [linked(repo, 'work/first'), linked(repo, 'work/second')]
    const [a, b] = [repo.as('agent:a').in(first), repo.as('agent:b').in(second)]
    await a.ok('ticket start one')
    await a.ok('ticket done one')
    for (const agent of [b, repo.as('agent:c')]) {
      expect((await agent.ok('ticket next --claim')).ticket).toBeNull()
      for (const words of ['claim acquire one', 'ticket start one', 'exec one -- false']) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        const { message, hint } = await agent.refused('policy', words)
        expect(message, words).toContain(id)
        expect(message, words).toContain('done by agent:a on work/first, not merged')
        expect(hint).toContain(`lh ticket reopen ${id}`)
      }
      expect((await agent.ok('ticket list --status all')).tickets).toMatchObject([
        { ready: false, why: [expect.stringContaining('work/first')] },
      ])
    }
    await b.ok('ticket reopen one --reason', 'it is not')
    expect((await repo.as('agent:c').ok('ticket next --claim')).ticket.id).toBe(id)
  })

  it('forgets neither an outcome nor a reopening over what happens later', async () => {
    const repo = repository()
    const id = putTicket(repo.dir, '20260101-000000-one')
    commit(repo.dir)
    const first = linked(repo, 'work/first')
    const [a, b] = [repo.as('agent:a').in(first), repo.as('agent:b')]
    await a.ok('ticket start one')
    await a.ok('ticket done one')
    await a.ok('ticket set one title=Corrected')
    expect((await b.ok('ticket next --claim')).ticket).toBeNull()
    git(repo.dir, 'checkout', '-q', '.')
    commit(first)
    git(repo.dir, 'merge', '-q', 'work/first')
    await b.ok('ticket reopen one --reason', 'it is not')
    // The other worktree's copy still says that it is done.
    expect((await a.ok('ticket next')).ticket).toBeNull()
    await b.ok('claim acquire one')
    await b.ok('claim release one')
    await b.ok('ticket queue one')
    expect((await b.ok('ticket next --claim')).ticket.id).toBe(id)
    await b.ok('ticket start one')
    await b.ok('ticket done one')
    expect((await b.ok('ticket next --claim')).ticket).toBeNull()
  })

  it('sees from a linked worktree what lies in the main one, committed or not', async () => {
    const repo = repository()
    commit(repo.dir)
    const place = linked(repo, 'work/a')
    const id = putTicket(repo.dir, '20260101-000000-new')
    const a = repo.as('agent:a').in(place)
    expect((await a.ok('ticket list')).tickets.map((ticket: Doc) => ticket.id)).toEqual([id])
    expect((await a.ok('ticket show new')).ticket).toMatchObject({ id, source: 'main', body: `The body of ${id}.\n` })
    expect((await a.ok('ticket next --claim')).ticket.id).toBe(id)
    expect(ticketBytes(place)).toEqual({})
  })

  it('gives nobody what is held, also not to its own holder', async () => {
    const repo = repository()
    putTicket(repo.dir, '20260101-000000-one')
    const a = repo.as('agent:a')
    await a.acquire('one')
    expect((await a.ok('ticket next --claim')).ticket).toBeNull()
    expect((await repo.as('agent:b').ok('ticket next --claim')).ticket).toBeNull()
    expect((await repo.as('agent:b').ok('ticket next')).ticket).toBeNull()
    await a.ok('claim release one')
    expect((await repo.as('agent:b').ok('ticket next --claim')).ticket.slug).toBe('one')
  })

  it('gives the same agent that asks several times at once several tickets', { timeout: 120_000 }, async () => {
    const repo = repository()
    const ids = Array.from({ length: 24 }, (_, number) => putTicket(repo.dir, `20260101-0000${two(number)}-job`))
    const a = repo.as('agent:a')
    const taken = await Promise.all(Array.from({ length: 6 }, () => drain(a)))
    expect(taken.flat().toSorted()).toEqual(ids)
    expect(repo.story()).toEqual(repo.records().map(({ resource }: Doc) => `acquire ${resource}`))
  })

  it('hands out neither what is blocked, unclear, put aside, begun, done nor closed', async () => {
    const repo = repository()
    putTicket(repo.dir, '20260101-000000-intake', { state: 'intake' })
    putTicket(repo.dir, '20260101-000001-pending', { status: 'pending' })
    putTicket(repo.dir, '20260101-000002-done', { state: 'done' })
    putTicket(repo.dir, '20260101-000003-closed', { status: 'closed', state: 'done' })
    putTicket(repo.dir, '20260101-000004-begun', { state: 'inprogress', assignee: 'agent:x' })
    putTicket(repo.dir, '20260101-000005-blocked', { state: 'queued', priority: 'P0', dependsOn: ['20260101-000000-intake'] })
    putTicket(repo.dir, '20260101-000006-orphan', { dependsOn: ['20260101-000000-nowhere'] })
    const a = repo.as('agent:a')
    expect((await a.ok('ticket next --claim')).ticket).toBeNull()
    expect(repo.records()).toEqual([])
    expect((await a.ok('ticket list --ready')).count).toBe(0)
    const blocked = (await a.ok('ticket list --blocked')).tickets
    expect(blocked.map((ticket: Doc) => [ticket.slug, ticket.blocked_by])).toEqual([
      ['blocked', [{ id: '20260101-000000-intake', why: 'intake' }]],
      ['orphan', [{ id: '20260101-000000-nowhere', why: 'there is no such ticket' }]],
    ])
    const text = (await a.run('ticket list --blocked')).stdout
    expect(text).toContain('waits for 20260101-000000-intake (intake)')
    expect((await a.run('ticket next')).stdout).toContain('lh ticket list --blocked')
  })

  it('hands out nothing that cannot be claimed since what it waits for is a guess, and says so', async () => {
    const repo = repository()
    const damages = ['depends_on: {on: good}', 'depends_on: [[good]]', 'depends_on: [null]', 'depends_on: ? good', 'gates: {tests: true}']
    for (const [number, line] of damages.entries()) {
      const file = ticketFile(repo.dir, putTicket(repo.dir, `20260101-00000${number}-odd`, { priority: 'P0' }))
      fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(new RegExp(`^${line.split(':')[0]!}: .*$`, 'm'), line))
    }
    const good = putTicket(repo.dir, '20260101-000009-good', { priority: 'P4' })
    const a = repo.as('agent:a')
    const said = async (words: string): Promise<Doc> => success(await a.run(`--json ${words}`))
    expect((await said('ticket list --ready')).tickets.map(({ id }: Doc) => id)).toEqual([good])
    const { stderr } = await a.run('ticket next')
    for (const number of damages.keys()) {
      const id = `20260101-00000${number}-odd`
      expect(stderr).toMatch(
        new RegExp(`${id}/ticket\\.md:\\d+ is damaged \\(.*\\): what is said of ${id} is a guess; see: lh ticket doctor`),
      )
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await said(`ticket show ${id}`)).ticket).toMatchObject({ ready: false, why: [expect.stringMatching(/^damaged: /)] })
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.refused('policy', `claim acquire ${id}`)
    }
    expect((await said('ticket next --claim')).ticket.id).toBe(good)
    expect((await said('ticket next --claim')).ticket).toBeNull()
  })

  it('refuses a claim of what is done, closed or blocked, and says why; a command under it does not run', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const mark = path.join(folder(), 'ran')
    const first = putTicket(repo.dir, '20260101-000000-first')
    const cases = [
      [putTicket(repo.dir, '20260101-000001-done', { state: 'done' }), /cannot be claimed: done$/, /lh ticket reopen/],
      [
        putTicket(repo.dir, '20260101-000002-closed', { status: 'closed', state: 'done' }),
        /cannot be claimed: closed$/,
        /lh ticket reopen/,
      ],
      [
        putTicket(repo.dir, '20260101-000003-blocked', { dependsOn: [first] }),
        /waits for 20260101-000000-first \(ready\)/,
        /lh ticket show 20260101-000000-first/,
      ],
    ] as const
    for (const [id, why, help] of cases) {
      for (const words of [`claim acquire ${id}`, `claim acquire other-key:x ${id}`, `exec ${id} -- touch ${mark}`, `ticket start ${id}`]) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        const { message, hint } = await a.refused('policy', words)
        expect(`${message}`, words).toContain(id)
        expect(`${message} ${hint}`, words).toMatch(words.startsWith('ticket start') && !id.endsWith('blocked') ? /reopen/ : help)
        if (!words.startsWith('ticket start')) expect(message, words).toMatch(why)
      }
    }
    expect(fs.existsSync(mark)).toBe(false)
    expect((await a.ok('claim list')).count).toBe(0)
  })

  it('lets an unclear ticket be claimed, to clarify it, but not be started', async () => {
    const repo = repository()
    const id = putTicket(repo.dir, '20260101-000000-unclear', { state: 'intake' })
    const a = repo.as('agent:a')
    const { token } = await a.acquire('unclear')
    const { message, hint } = await a.refused('policy', 'ticket start unclear')
    expect(message).toContain('intake')
    expect(hint).toContain(`lh ticket ready ${id}`)
    await a.ok('ticket edit unclear --title', 'Now it is clear')
    await a.ok('ticket ready unclear')
    const { ticket, lease } = await a.ok('ticket start unclear')
    expect(ticket).toMatchObject({ title: 'Now it is clear', workflow_state: 'inprogress', assignee: 'agent:a' })
    expect(lease.token).toBe(token)
  })

  it('lets a dependency block until it is merged, and names the branch on which it is done', async () => {
    const repo = repository()
    const first = putTicket(repo.dir, '20260101-000000-first')
    const second = putTicket(repo.dir, '20260101-000001-second', { dependsOn: [first] })
    commit(repo.dir)
    const [one, other] = [linked(repo, 'work/first'), linked(repo, 'work/second')]
    const [a, b] = [repo.as('agent:a').in(one), repo.as('agent:b').in(other)]
    await a.ok('ticket start first')
    expect((await b.refused('policy', 'claim acquire second')).message).toContain(`waits for ${first} (ready)`)
    await a.ok('ticket done first')
    commit(one)
    for (const agent of [b, repo.as('agent:c')]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { message } = await agent.refused('policy', 'claim acquire second')
      expect(message).toContain(`waits for ${first} (done on work/first, not merged)`)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await agent.ok('ticket next --claim')).ticket).toBeNull()
    }
    // Where it is done, what follows may be done.
    expect((await a.ok('ticket next')).ticket.id).toBe(second)
    git(repo.dir, 'merge', '-q', 'work/first')
    expect((await b.ok('ticket next --claim')).ticket.id).toBe(second)
  })

  it('follows the copy on the base branch, whatever is checked out in the main worktree', async () => {
    const repo = repository()
    const id = putTicket(repo.dir, '20260101-000000-one')
    commit(repo.dir)
    const place = linked(repo, 'work/a')
    fs.writeFileSync(ticketFile(repo.dir, id), ticketText(id, { state: 'done' }))
    commit(repo.dir)
    git(repo.dir, 'checkout', '-q', '-b', 'elsewhere', 'HEAD~')
    const a = repo.as('agent:a').in(place)
    expect((await a.ok('ticket next --claim')).ticket).toBeNull()
    expect((await a.refused('policy', 'claim acquire one')).message).toContain('done on main')
  })
})
