import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, git, parse, repository } from '../support/cli.ts'
import { commit, eventsIn, fieldOf, linked, putTicket, ticketFile, ticketsIn } from '../support/tickets.ts'

// What happens to tickets on several branches is all there after they are merged, and nothing of it is a conflict.

const merge = (dir: string, branch: string): void => {
  git(dir, 'merge', '-q', '--no-edit', branch)
  expect(git(dir, 'ls-files', '-u')).toBe('')
  expect(git(dir, 'diff', '--check', 'HEAD~')).toBe('')
}

describe('three branches', () => {
  it('that each work on a ticket of their own and talk about common ones merge without a conflict', { timeout: 120_000 }, async () => {
    const repo = repository()
    const main = repo.as('agent:m')
    // The first ticket brings the line in .gitattributes with it.
    const common = (await main.ok('ticket create --title', 'Common')).ticket.id as string
    const mute = putTicket(repo.dir, '20260101-000000-without-events')
    const own = ['20260101-000001-one', '20260101-000002-two', '20260101-000003-three']
    for (const id of own) putTicket(repo.dir, id, { state: 'ready' })
    commit(repo.dir)
    const places = own.map((_, number) => linked(repo, `work/${number}`))
    const said: string[] = []
    await Promise.all(
      own.map(async (id, number) => {
        const agent = repo.as(`agent:${number}`).in(places[number]!)
        const say = async (ticket: string, message: string): Promise<void> => {
          said.push(message)
          await agent.ok('ticket comment', ticket, '--message', message)
        }
        await say(common, `${number} begins`)
        await agent.ok('ticket start', id)
        await say(id, `${number} works`)
        commit(places[number]!, 'some')
        await say(common, `${number} goes on`)
        await say(mute, `${number} breaks the silence`)
        await agent.ok('ticket review', own[(number + 1) % 3]!, '--message', `${number} looks at the next`)
        await agent.ok('ticket done', id)
        commit(places[number]!, 'rest')
      }),
    )
    for (const number of [0, 1, 2]) merge(repo.dir, `work/${number}`)
    const messages: string[] = []
    for (const id of [common, mute, ...own]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { events } = (await main.ok('ticket show', id)).ticket
      const ids = events.map((event: Doc) => event.id)
      expect(new Set(ids).size, id).toBe(ids.length)
      expect(ids, id).toEqual(ids.toSorted())
      expect(new Set(eventsIn(repo.dir, id).map((event: Doc) => event.id)), id).toEqual(new Set(ids))
      messages.push(...events.filter(({ type }: Doc) => type === 'comment').map(({ message }: Doc) => message))
    }
    expect(new Set(messages)).toEqual(new Set(said))
    expect(messages).toHaveLength(said.length)
    for (const id of own) {
      expect(fieldOf(repo.dir, id, 'workflow_state')).toBe('done')
      expect(
        eventsIn(repo.dir, id)
          .map(({ type }: Doc) => type)
          .toSorted((a, b) => (a < b ? -1 : 1)),
      ).toEqual(['comment', 'review', 'state_changed', 'state_changed'])
    }
    const { findings } = parse((await main.run('--json ticket doctor')).stdout)
    expect(findings.filter(({ severity }: Doc) => severity === 'error')).toEqual([])
    // Each branch can take up what the others did.
    merge(places[0]!, 'main')
  })

  it('that wrote the same events merge them once, in whatever order they are merged', async () => {
    const repo = repository()
    const main = repo.as('agent:m')
    const id = (await main.ok('ticket create --title', 'Common')).ticket.id as string
    commit(repo.dir)
    const [one, other] = [linked(repo, 'work/one'), linked(repo, 'work/other')]
    await repo.as('agent:a').in(one).ok('ticket comment', id, '--message', 'first')
    commit(one)
    merge(other, 'work/one')
    await repo.as('agent:b').in(other).ok('ticket comment', id, '--message', 'second')
    commit(other)
    await repo.as('agent:a').in(one).ok('ticket comment', id, '--message', 'third')
    commit(one)
    await main.ok('ticket comment', id, '--message', 'zeroth')
    commit(repo.dir)
    for (const branch of ['work/other', 'work/one']) merge(repo.dir, branch)
    merge(one, 'main')
    for (const dir of [repo.dir, one]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { events } = (await main.in(dir).ok('ticket show', id)).ticket
      expect(events.map(({ message }: Doc) => message ?? 'created')).toEqual(['created', 'first', 'second', 'third', 'zeroth'])
    }
  })

  it('of which some know a ticket only from the main worktree merge its events all the same', async () => {
    const repo = repository()
    commit(repo.dir)
    const [one, other] = [linked(repo, 'work/one'), linked(repo, 'work/other')]
    const main = repo.as('agent:m')
    const id = (await main.ok('ticket create --title', 'Late')).ticket.id as string
    for (const [place, name] of [
      [one, 'a'],
      [other, 'b'],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await repo.as(`agent:${name}`).in(place).ok('ticket comment', id, '--message', name)
      expect(fs.readFileSync(ticketFile(place, id)).equals(fs.readFileSync(ticketFile(repo.dir, id)))).toBe(true)
      // Without this line a merge of its own would be a conflict.
      expect(fs.readFileSync(path.join(place, '.gitattributes'), 'utf8')).toContain('merge=union')
      commit(place)
    }
    commit(repo.dir)
    merge(repo.dir, 'work/one')
    merge(repo.dir, 'work/other')
    const { events } = (await main.ok('ticket show', id)).ticket
    expect(events.map(({ message, type }: Doc) => message ?? type)).toEqual(['created', 'a', 'b'])
    expect(fs.readdirSync(ticketsIn(repo.dir))).toEqual([id])
    expect((await main.ok('ticket doctor')).findings.filter(({ severity }: Doc) => severity === 'error')).toEqual([])
  })

  it('that gave a ticket its first events, where nobody had told Git of them, merge too', async () => {
    const repo = repository()
    const id = putTicket(repo.dir, '20260101-000000-by-hand')
    fs.writeFileSync(path.join(repo.dir, '.gitattributes'), '*.png binary')
    commit(repo.dir)
    const places = ['one', 'other'].map(name => linked(repo, `work/${name}`))
    for (const [number, place] of places.entries()) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await repo.as('agent:a').in(place).ok('ticket comment by-hand --message', `${number}`)
      expect(fs.readFileSync(path.join(place, '.gitattributes'), 'utf8')).toMatch(/^\*\.png binary\n\S+events\.jsonl merge=union\n$/)
      commit(place)
    }
    for (const name of ['one', 'other']) merge(repo.dir, `work/${name}`)
    expect(eventsIn(repo.dir, id).map(({ message }: Doc) => message)).toEqual(['0', '1'])
  })
})
