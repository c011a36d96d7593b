import { describe, expect, it } from 'vitest'
import { nowMs, Room } from './room.ts'

const issue = (more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({
  number: 12,
  title: 'It crashes',
  body: 'Steps:\r\n1. run',
  state: 'OPEN',
  stateReason: '',
  labels: [{ id: 'x', name: 'bug', color: 'f00' }, { name: 'priority: high' }],
  assignees: [{ login: 'alice' }],
  author: { login: 'bob', is_bot: false },
  comments: [],
  createdAt: '2026-02-03T04:05:06Z',
  updatedAt: '2026-02-04T00:00:00Z',
  closedAt: null,
  milestone: null,
  url: 'https://github.com/Acme/rocket/issues/12',
  ...more,
})

describe('an issue of GitHub', () => {
  it('becomes a ticket', async () => {
    const room = new Room()
    room.leave({ 'issues.json': [issue()] })
    expect(await room.import('github')).toMatchObject({
      imported: 1,
      warnings: [],
      dropped: [],
      mapped: { priorities: { 'priority: high': { P1: 1 } } },
    })
    expect(room.ticket()).toMatchObject({
      problems: [],
      body: 'Steps:\n1. run\n',
      ticket: {
        id: '20260203-040506-it-crashes',
        status: 'open',
        workflowState: 'intake',
        kind: 'bug',
        priority: 'P1',
        labels: ['bug', 'priority: high'],
        assignee: 'human:alice',
        createdAt: '2026-02-03T04:05:06Z',
        legacyTicket: '#12',
      },
    })
    expect(room.events()).toMatchObject([
      { type: 'created', actor: 'human:bob', author: 'bob' },
      { type: 'imported', source_id: 'acme/rocket#12', legacy: { url: 'https://github.com/Acme/rocket/issues/12' } },
    ])
  })

  it('that is closed says why, and has its comments', async () => {
    const room = new Room()
    const comments = [
      { id: 'IC_2', author: { login: 'carol' }, body: 'later', createdAt: '2026-02-06T00:00:00Z' },
      { id: 'IC_1', author: null, body: 'first', createdAt: '2026-02-03T05:00:00Z' },
    ]
    const path = room.leave({
      'one.json': issue({
        state: 'CLOSED',
        stateReason: 'NOT_PLANNED',
        closedAt: '2026-02-05T00:00:00Z',
        comments,
        assignees: [{ login: 'alice' }, { login: 'dave' }],
        milestone: { title: 'v1' },
        labels: ['P0: now', 'type: Enhancement'],
      }),
    })
    const { dropped } = await room.import('github', { path })
    expect(room.ticket().ticket).toMatchObject({
      status: 'closed',
      workflowState: 'done',
      assignee: 'human:alice',
      priority: 'P0',
      kind: 'feature',
    })
    expect(room.text(room.id(), 'resolution.md')).toBe('Closed on GitHub as not planned.\n')
    expect(room.events().map(({ type, actor, message }) => [type, actor, message])).toEqual([
      ['created', 'human:bob', undefined],
      ['comment', 'import:github', 'first'],
      ['closed', 'import:github', undefined],
      ['comment', 'human:carol', 'later'],
      ['imported', 'human:me', undefined],
    ])
    expect(dropped).toEqual([expect.stringMatching(/^#12: assigned to alice, dave/), expect.stringMatching(/^#12: milestone "v1"/)])
  })

  it('may have any subset of its fields, and be what the API answers', async () => {
    const room = new Room()
    room.leave({
      'issues.json': [
        { number: 1 },
        {
          number: 2,
          title: 'T',
          state: 'closed',
          state_reason: 'completed',
          created_at: '2026-01-01T00:00:00Z',
          user: { login: 'x' },
          comments: 3,
          labels: [{ name: 'priority: soon' }],
        },
        { number: 3, pull_request: {} },
        { title: 'no number' },
        { number: 1, title: 'again' },
      ],
    })
    const { imported, warnings, dropped } = await room.import('github')
    expect(imported).toBe(2)
    expect(dropped).toEqual(['#3: a pull request, no issue'])
    expect(warnings.map(warning => warning.replace(room.source, ''))).toEqual([
      '/issues.json: issue 4: it has no number; left out',
      '/issues.json: issue 5: #1 is there twice; the first is taken',
      '3 comments of 1 issue are not in this export, which only counts them; gh issue list has them: add comments to its --json',
      '#1: nothing says when it was made; 1970 is taken',
      '#1: it has no title; its number is taken',
      '#2: its label "priority: soon" names no priority that is known',
    ])
    expect(room.problems()).toEqual([])
    expect(room.ids()).toEqual(['19700101-000000-1', '20260101-000000-t'])
  })

  it('is told from a pull request, however that is said', async () => {
    const room = new Room()
    room.leave({
      'issues.json': [
        issue({ pull_request: null, isPullRequest: false }),
        issue({ number: 13, pull_request: { url: 'https://api.github.com/repos/acme/rocket/pulls/13' } }),
        issue({ number: 14, isPullRequest: true }),
        issue({ number: 15, url: 'https://github.com/Acme/rocket/pull/15' }),
      ],
    })
    const { imported, dropped } = await room.import('github')
    expect(imported).toBe(1)
    expect(room.ticket().ticket.legacyTicket).toBe('#12')
    expect(dropped.filter(line => line.startsWith('#'))).toEqual([13, 14, 15].map(number => `#${number}: a pull request, no issue`))
  })

  it('loses nothing where a list has another form, or a time is none', async () => {
    const room = new Room()
    const nodes = (...all: readonly unknown[]): unknown => ({ nodes: all })
    const comment = { id: 'IC_1', author: { login: 'carol' }, body: 'Hello', createdAt: '2026-02-06T00:00:00Z' }
    room.leave({
      'issues.json': [
        issue({ labels: nodes({ name: 'ui' }), assignees: nodes({ login: 'dave' }), comments: nodes(comment) }),
        issue({ number: 13, title: 'Odd', labels: 'bug, ui', comments: 'Hello', closedAt: 'yesterday', body: { text: 'B' } }),
      ],
    })
    const { warnings, dropped } = await room.import('github')
    expect(room.ticket('-it-crashes').ticket).toMatchObject({ labels: ['ui'], assignee: 'human:dave' })
    expect(room.events('-it-crashes').map(({ message }) => message)).toContain('Hello')
    expect(room.events('-odd').at(-1)).toMatchObject({ legacy: { labels: 'bug, ui', comments: 'Hello', body: { text: 'B' } } })
    expect(dropped.map(line => line.split(',')[0])).toEqual(['body: of 1 record', 'labels: of 1 record', 'comments: of 1 record'])
    expect(warnings).toEqual(['#13: its closedAt "yesterday" is no time; left out'])
  })

  it('is read from UTF-16, as some shells write it, and from nothing else that is no UTF-8', async () => {
    const room = new Room()
    const text = '[{"number": 1, "title": "Café",\n"state": "OPEN", "createdAt": "2026-01-01T00:00:00Z"}]'
    const file = room.leave({ 'issues.json': Buffer.from(`\ufeff${text}`, 'utf16le') })
    expect(await room.import('github', { path: file })).toMatchObject({ imported: 1 })
    expect(room.ticket().ticket.title).toBe('Café')
    room.leave({ 'issues.json': Buffer.from(`\n${text}`, 'latin1') })
    await expect(room.import('github', { path: file })).rejects.toMatchObject({
      code: 'usage',
      message: `${file}:2: it is not UTF-8; nothing was imported`,
      hint: `write it as UTF-8, for example: iconv -f latin1 -t utf8 ${file}`,
    })
  })

  it('is the same one when another export does not say the repository', async () => {
    const room = new Room()
    room.leave({ 'issues.json': [issue()] })
    await room.import('github')
    room.leave({ 'issues.json': [issue({ url: undefined })] })
    expect(await room.import('github')).toMatchObject({ imported: 0, updated: 1 })
    room.leave({ 'issues.json': [issue({ url: 'https://github.com/other/one/issues/12', title: 'Not this' })] })
    expect(await room.import('github')).toMatchObject({ imported: 1 })
  })

  it.each(['2026-02-04T00:00:00Z', '2026-01-01T00:00:00Z'])(
    'of another repository writes over none that has its number, also when no export says which repository it is of (made %s)',
    async createdAt => {
      const room = new Room()
      const ours = issue({ url: undefined })
      const theirs = issue({ url: undefined, title: 'Another thing', body: 'Other', state: 'CLOSED', createdAt })
      room.leave({ 'issues.json': [ours] })
      await room.import('github')
      const before = room.snapshot()
      room.leave({ 'issues.json': [theirs] })
      expect(await room.import('github')).toMatchObject({ imported: 1, updated: 0 })
      expect(room.snapshot()).toMatchObject(before)
      expect(await room.import('github')).toMatchObject({ imported: 0, updated: 0, unchanged: 1 })
      room.leave({ 'issues.json': [{ ...ours, title: 'It still crashes' }] })
      expect(await room.import('github')).toMatchObject({ imported: 0, updated: 1 })
      expect(room.ticket('-it-crashes').ticket.title).toBe('It still crashes')
      room.leave({ 'issues.json': [{ ...theirs, url: 'https://github.com/other/one/issues/12' }] })
      expect(await room.import('github')).toMatchObject({ imported: 0, updated: 1 })
      expect(room.ids()).toHaveLength(2)
      expect(room.problems()).toEqual([])
    },
  )

  it('is the same one when an earlier export did not say when it was made', async () => {
    const room = new Room()
    for (const [index, more] of [
      { createdAt: undefined, updatedAt: undefined },
      { createdAt: undefined, title: 'Two' },
      { createdAt: undefined, title: 'Three', updatedAt: '2026-02-05T00:00:00Z' },
      { title: 'Four' },
    ].entries()) {
      room.leave({ 'issues.json': [issue({ url: undefined, ...more })] })
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await room.import('github', { nowMs: nowMs + index * 1000 })
      expect(room.ids()).toHaveLength(1)
    }
    expect(room.ticket().ticket.title).toBe('Four')
  })

  it('comes beside those of another repository, from one directory', async () => {
    const room = new Room()
    room.leave({ 'one.json': [issue()], 'two.json': [issue({ url: 'https://github.com/acme/boat/issues/12', title: 'It sinks' })] })
    expect(await room.import('github')).toMatchObject({ imported: 2, warnings: [] })
    expect(room.events('-it-crashes').at(-1)).toMatchObject({ source_id: 'acme/rocket#12' })
    expect(room.events('-it-sinks').at(-1)).toMatchObject({ source_id: 'acme/boat#12' })
    expect(await room.import('github')).toMatchObject({ imported: 0, unchanged: 2 })
    room.leave({ 'three.json': [issue({ url: undefined })] })
    expect(await room.import('github')).toMatchObject({
      imported: 0,
      unchanged: 2,
      warnings: [expect.stringMatching(/three\.json: issue 1: #12 is there twice; the first is taken$/)],
    })
  })
})
