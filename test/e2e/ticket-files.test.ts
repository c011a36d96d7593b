import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, type Doc, failure, folder, git, repository, Repo } from '../support/cli.ts'
import { commit, eventsIn, fieldOf, linked, putTicket, ticketBytes, ticketFile, ticketsIn, ticketText } from '../support/tickets.ts'

// What a command leaves as it found it: bytes that are none of its business, and other worktrees' files.

const id = '20260607-220225-fix-login'

/** A ticket as only a person writes it. */
const byHand = `---
# Ours since 2019; do not sort.
id: "${id}"
slug: 'fix-login'
title: 'It''s a "title": with # everything'   # why not
status:   open
kind: task
priority: P2      # see the plan
labels:
  - ui            # first
  - "two words"
owner_team: [ core, 'web' ]
x-nested: { deep: "yes", list: [1, 2.50, 0x10] }
workflow_state: ready
created_at: '2026-06-07T22:02:25Z'
updated_at: 2026-06-07T22:02:25Z
assignee: ~
notes: |
  kept as it is:
    also this
---

# Body — with trailing blanks${'  '}

---
\ttab, and no newline at the end`

/** What a list of lines has that another has not. */
const only = (ours: readonly string[], theirs: readonly string[]): readonly string[] => ours.filter(line => !theirs.includes(line))

describe('a ticket.md that a person wrote', () => {
  const day: readonly (readonly [string, readonly string[]])[] = [
    ['ticket set fix-login priority=P0', ['priority', 'updated_at']],
    ['ticket set fix-login workflow_state=intake', ['workflow_state', 'updated_at']],
    ['ticket ready fix-login', ['workflow_state', 'updated_at']],
    ['ticket start fix-login', ['workflow_state', 'assignee', 'updated_at']],
    ['ticket set fix-login kind=bug', ['kind', 'updated_at']],
    ['ticket comment fix-login --message hello', []],
    ['ticket done fix-login', ['workflow_state', 'updated_at']],
  ]
  for (const [name, bytes] of [
    ['with comments, quotes, unknown keys and no newline at its end', byHand],
    ['with Windows line ends', byHand.replaceAll('\n', '\r\n')],
    ['with a byte order mark', `\ufeff${byHand}\n`],
    ['with a byte order mark and Windows line ends', `\ufeff${byHand}\n\n\n`.replaceAll('\n', '\r\n')],
  ] as const) {
    it(`${name} changes in nothing but the lines that are meant`, async () => {
      const repo = repository()
      fs.mkdirSync(path.join(ticketsIn(repo.dir), id), { recursive: true })
      const file = ticketFile(repo.dir, id)
      fs.writeFileSync(file, bytes, { mode: 0o640 })
      const a = repo.as('agent:a')
      for (const [words, keys] of day) {
        const before = fs.readFileSync(file, 'latin1').split('\n')
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await a.ok(words)
        const after = fs.readFileSync(file, 'latin1').split('\n')
        for (const line of [...only(before, after), ...only(after, before)]) expect(keys, `${words}: ${line}`).toContain(line.split(':')[0])
        // A line that a step adds is at the end of the front matter; everything else is in its place.
        expect(
          after.filter(line => before.includes(line)),
          words,
        ).toEqual(before.filter(line => after.includes(line)))
      }
      const text = fs.readFileSync(file, 'utf8')
      const wanted = bytes
        .replace('priority: P2      # see the plan', 'priority: P0      # see the plan')
        .replace('workflow_state: ready', 'workflow_state: done')
        .replace('kind: task', 'kind: bug')
        .replace('assignee: ~', 'assignee: agent:a')
        .replace(/updated_at: [^\r\n]*/, /updated_at: [^\r\n]*/.exec(text)![0])
      expect(text).toBe(wanted)
      expect(fs.statSync(file).mode & 0o777).toBe(0o640)
      expect(fs.readdirSync(path.dirname(file)).toSorted()).toEqual(['events.jsonl', 'ticket.md'])
    })
  }

  it('keeps its body to the byte when its title changes, and its front matter when its body does', async () => {
    const repo = repository()
    fs.mkdirSync(path.join(ticketsIn(repo.dir), id), { recursive: true })
    const file = ticketFile(repo.dir, id)
    fs.writeFileSync(file, byHand)
    const a = repo.as('agent:a')
    await a.ok('ticket edit fix-login --title', 'New: "one"')
    expect(fs.readFileSync(file, 'utf8').split('---').slice(2).join('---')).toBe(byHand.split('---').slice(2).join('---'))
    const front = fs
      .readFileSync(file, 'utf8')
      .split('---')[1]!
      .split('\n')
      .filter(line => !line.startsWith('updated_at'))
    const body = path.join(folder(), 'body')
    fs.writeFileSync(body, 'A new body\n')
    await a.ok('ticket edit fix-login --body-file', body)
    const text = fs.readFileSync(file, 'utf8')
    expect(
      text
        .split('---')[1]!
        .split('\n')
        .filter(line => !line.startsWith('updated_at')),
    ).toEqual(front)
    expect(text.endsWith('---\n\nA new body\n')).toBe(true)
    expect((await a.ok('ticket show fix-login')).ticket).toMatchObject({ title: 'New: "one"', body: 'A new body\n' })
  })

  it('that cannot be changed safely is refused, and stays', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const text = ticketText(id)
    for (const broken of [
      text.replace('status: open', 'status: [open'),
      text.replace('status: open', 'status: open\nstatus: closed'),
      text.replace('---\n\nThe body', 'The body'),
      'no front matter at all\n',
      '',
    ]) {
      putTicket(repo.dir, id)
      fs.writeFileSync(ticketFile(repo.dir, id), broken)
      const before = ticketBytes(repo.dir)
      for (const words of ['ticket set fix-login priority=P0', 'ticket set fix-login title=x', `ticket close ${id} --resolution x`]) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        failure(await a.run(`--json ${words}`), 'usage', `${words}: ${broken}`)
      }
      expect(ticketBytes(repo.dir)).toEqual(before)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('claim list')).count).toBe(0)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.run('ticket doctor')).code).toBe(2)
    }
  })
})

describe('a linked worktree', () => {
  const steps = async (agent: Agent): Promise<void> => {
    await agent.ok('ticket set fix-login priority=P0')
    await agent.ok('ticket start fix-login')
    await agent.ok('ticket comment fix-login --message hello')
    await agent.ok('ticket done fix-login')
  }

  it('changes its own copy, and not that of the main one', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    commit(repo.dir)
    const place = linked(repo, 'work/a')
    const before = ticketBytes(repo.dir)
    await steps(repo.as('agent:a').in(place))
    expect(ticketBytes(repo.dir)).toEqual(before)
    expect(git(repo.dir, 'status', '--porcelain')).toBe('')
    expect(fieldOf(place, id, 'workflow_state')).toBe('done')
    expect(eventsIn(place, id)).toHaveLength(4)
  })

  it('brings a ticket that only the main one has, with its events, and leaves it there as it was', async () => {
    const repo = repository()
    commit(repo.dir)
    const place = linked(repo, 'work/a')
    const main = repo.as('agent:m')
    await main.ok('ticket create --title', 'Fix login', '--slug', 'fix-login')
    await main.ok('ticket ready fix-login')
    const own = fs.readdirSync(ticketsIn(repo.dir))[0]!
    const before = ticketBytes(repo.dir)
    await steps(repo.as('agent:a').in(place))
    expect(ticketBytes(repo.dir)).toEqual(before)
    expect(eventsIn(place, own).map(({ type, actor }: Doc) => `${type} ${actor}`)).toEqual([
      'created agent:m',
      'state_changed agent:m',
      'edited agent:a',
      'state_changed agent:a',
      'comment agent:a',
      'state_changed agent:a',
    ])
    // In the main worktree each event is there once too, the linked one's when it is merged.
    expect((await main.ok('ticket show fix-login')).ticket.events).toHaveLength(2)
    expect((await repo.as('agent:a').in(place).ok('ticket show fix-login')).ticket.events).toHaveLength(6)
  })

  it('brings a ticket that only the base branch has, with or without events', async () => {
    for (const withEvents of [true, false]) {
      const repo = repository()
      commit(repo.dir)
      const place = linked(repo, 'work/a')
      putTicket(repo.dir, id)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      if (withEvents) await repo.as('agent:m').ok('ticket comment fix-login --message early')
      commit(repo.dir)
      git(repo.dir, 'checkout', '-q', '-b', 'elsewhere', 'HEAD~')
      const a = repo.as('agent:a').in(place)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('ticket show fix-login')).ticket.source).toBe('base')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await steps(a)
      expect(fs.existsSync(ticketsIn(repo.dir))).toBe(false)
      expect(fieldOf(place, id, 'workflow_state')).toBe('done')
      expect(eventsIn(place, id).map(({ type }: Doc) => type)).toEqual([
        ...(withEvents ? ['comment'] : []),
        'edited',
        'state_changed',
        'comment',
        'state_changed',
      ])
    }
  })

  it('may be written to by many at once who all bring the same ticket', async () => {
    const repo = repository()
    commit(repo.dir)
    const place = linked(repo, 'work/a')
    putTicket(repo.dir, id)
    await Promise.all(
      Array.from({ length: 6 }, (_, number) =>
        repo.as(`agent:${number}`).in(place).ok('ticket comment fix-login --message', `of ${number}`),
      ),
    )
    const said = new Set(eventsIn(place, id).map(({ message }: Doc) => message))
    expect(said).toEqual(new Set([0, 1, 2, 3, 4, 5].map(number => `of ${number}`)))
    expect(eventsIn(place, id)).toHaveLength(6)
    expect(fs.readdirSync(ticketsIn(place))).toEqual([id])
  })

  it('of a bare repository has tickets like any other', async () => {
    const bare = folder('bare-')
    const first = repository()
    putTicket(first.dir, id)
    commit(first.dir)
    git(bare, 'clone', '-q', '--bare', first.dir, '.')
    const [one, other] = ['one', 'other'].map(name => {
      const dir = path.join(folder('linked-'), name)
      git(bare, 'worktree', 'add', '-q', '-b', `work/${name}`, dir)
      return dir
    })
    const repo = new Repo(one!, path.join(bare, 'leasehold'))
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b').in(other!)]
    expect((await a.ok('ticket next --claim')).ticket.id).toBe(id)
    expect((await b.ok('ticket next --claim')).ticket).toBeNull()
    await a.ok('ticket start fix-login')
    await a.ok('ticket done fix-login')
    expect((await b.refused('policy', 'ticket start fix-login')).message).toContain('work/one')
    expect(fieldOf(other!, id, 'workflow_state')).toBe('ready')
    // The bare repository itself sees what its branches have, and writes nothing.
    const c = repo.as('agent:c').in(bare)
    expect((await c.ok('ticket list --status all')).tickets).toMatchObject([{ id, ready: false }])
    await c.refused('usage', 'ticket set fix-login priority=P0')
    await c.refused('usage', 'ticket comment fix-login --message x')
    await c.refused('usage', 'ticket create --title x')
    const made = (await b.ok('ticket create --title', 'Another one')).ticket.id
    expect(fs.existsSync(ticketFile(other!, made))).toBe(true)
    expect(fs.readdirSync(bare)).not.toContain('.leasehold')
  })

  it('finds its tickets from a directory below, and from elsewhere with --repo', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    commit(repo.dir)
    const place = linked(repo, 'work/a')
    const below = path.join(place, 'deep', 'er')
    fs.mkdirSync(below, { recursive: true })
    await repo.as('agent:a').in(below).ok('ticket set fix-login priority=P0')
    await repo.as('agent:a').in(folder()).ok('ticket set fix-login priority=P1 --repo', repo.dir)
    expect([fieldOf(place, id, 'priority'), fieldOf(repo.dir, id, 'priority')]).toEqual(['P0', 'P1'])
    expect(fs.readdirSync(below)).toEqual([])
  })
})
