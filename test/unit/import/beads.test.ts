import { describe, expect, it } from 'vitest'
import { nowMs, Room } from './room.ts'

const issue = (more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({
  id: 'bd-a1b2',
  title: 'Import should be atomic',
  description: 'It is not.\r\n',
  status: 'open',
  priority: 1,
  issue_type: 'bug',
  created_at: '2025-12-16T13:26:47.117226-08:00',
  updated_at: '2025-12-17T16:11:17.070763-08:00',
  ...more,
})
const lines = (...issues: readonly unknown[]): string => issues.map(issue => `${JSON.stringify(issue)}\n`).join('')

describe('an issue of beads', () => {
  it('becomes a ticket with its texts as sections and its comments as events', async () => {
    const room = new Room()
    room.leave({
      '.beads/issues.jsonl': lines(
        issue({
          design: 'Two steps.',
          acceptance_criteria: '- works',
          notes: 'n',
          assignee: 'steve',
          labels: ['cli'],
          external_ref: 'gh-9',
          created_by: 'agent:x',
          comments: [{ id: 7, author: 'Steve Y', text: 'Hello', created_at: '2025-12-17T00:00:00Z' }],
        }),
      ),
    })
    expect(await room.import('beads')).toMatchObject({
      imported: 1,
      warnings: [],
      dropped: ['external_ref: of 1 record, has no place in a ticket (kept in the event `imported`)'],
    })
    expect(room.ticket()).toMatchObject({
      problems: [],
      body: 'It is not.\n\n## Design\n\nTwo steps.\n\n## Acceptance criteria\n\n- works\n\n## Notes\n\nn\n',
      ticket: {
        id: '20251216-212647-import-should-be-atomic',
        workflowState: 'ready',
        kind: 'bug',
        priority: 'P1',
        labels: ['cli'],
        assignee: 'human:steve',
        createdAt: '2025-12-16T21:26:47.117Z',
        updatedAt: '2025-12-18T00:11:17.070Z',
        legacyTicket: 'bd-a1b2',
      },
    })
    expect(room.events()).toMatchObject([
      { type: 'created', actor: 'agent:x' },
      { type: 'comment', actor: 'human:Steve Y', author: 'Steve Y', message: 'Hello', at: '2025-12-17T00:00:00Z' },
      { type: 'imported', from: 'beads', source_id: 'bd-a1b2', legacy: { external_ref: 'gh-9' } },
    ])
  })

  it.each([
    ['open', 'open', 'ready'],
    ['in_progress', 'open', 'inprogress'],
    ['deferred', 'pending', 'intake'],
    ['closed', 'closed', 'done'],
    ['tombstone', 'closed', 'done'],
  ])('that is %s is %s and %s', async (word, status, workflowState) => {
    const room = new Room()
    room.leave({
      'x.jsonl': lines(
        issue({ status: word, priority: 0, closed_at: '2025-12-18T00:00:00Z', close_reason: 'Fixed in 1.2', delete_reason: 'batch' }),
      ),
    })
    expect((await room.import('beads')).warnings).toEqual([])
    expect(room.ticket()).toMatchObject({ problems: [], ticket: { status, workflowState, priority: 'P0' } })
    if (word === 'closed') expect(room.text(room.id(), 'resolution.md')).toBe('Fixed in 1.2\n')
    if (word === 'tombstone') expect(room.text(room.id(), 'resolution.md')).toBe('Deleted in beads: batch.\n')
  })

  it.each([
    [{ pinned: true }, 'open (pinned)', 'ready'],
    [{ is_template: true, status: 'in_progress' }, 'in_progress (is_template)', 'inprogress'],
    [{ ephemeral: true }, 'open (ephemeral)', 'ready'],
    [{ issue_type: 'gate', status: 'mine' }, 'mine (gate)', 'intake'],
    [{ issue_type: 'message' }, 'open (message)', 'ready'],
  ])('that beads itself never hands out is put aside: %j', async (more, said, workflowState) => {
    const room = new Room()
    room.leave({ 'issues.jsonl': lines(issue(more)) })
    const { mapped } = await room.import('beads')
    expect(mapped.states).toEqual({ [said]: { [`pending/${workflowState}`]: 1 } })
    expect(room.ticket()).toMatchObject({ problems: [], ticket: { status: 'pending', workflowState } })
    room.leave({ 'issues.jsonl': lines(issue({ ...more, pinned: false, status: 'closed', closed_at: '2026-01-01T00:00:00Z' })) })
    expect(await room.import('beads', { nowMs: nowMs + 1 })).toMatchObject({ updated: 1, warnings: [] })
    expect(room.ticket().ticket).toMatchObject({ status: 'closed', workflowState: 'done' })
  })

  it('is not taken from a backup, where what it waits for is in another file', async () => {
    const room = new Room()
    const on = { issue_id: 'bd-a1b2', depends_on_id: 'bd-2', type: 'blocks' }
    const file = room.leave({ '.beads/backup/dependencies.jsonl': lines(on), '.beads/backup/issues.jsonl': lines(issue()) })
    const refusal = {
      code: 'usage',
      message: expect.stringMatching(/dependencies\.jsonl\)/) as unknown,
      hint: expect.stringMatching(/bd export/) as unknown,
    }
    await expect(room.import('beads', { path: file })).rejects.toMatchObject(refusal)
    await expect(room.import('beads', { path: `${room.source}/.beads/backup` })).rejects.toMatchObject(refusal)
    expect(room.ids()).toEqual([])
  })

  it('depends on what blocks it; other relations are listed and kept', async () => {
    const room = new Room()
    const on = (id: string, type: string): object => ({ issue_id: 'bd-a1b2', depends_on_id: id, type })
    room.leave({
      'issues.jsonl': lines(
        issue({ status: 'blocked', dependencies: [on('bd-2', 'blocks'), on('bd-3', 'parent-child'), on('bd-4', 'discovered-from')] }),
        issue({ id: 'bd-2', title: 'Two' }),
        issue({ id: 'bd-3', title: 'Three', status: 'blocked' }),
      ),
    })
    const { warnings, dropped } = await room.import('beads')
    expect(room.ticket('atomic').ticket.dependsOn).toEqual([room.id('two')])
    expect(warnings).toEqual([expect.stringMatching(/issues\.jsonl:3: bd-3 is blocked, but nothing that it depends on is open/)])
    expect(dropped).toHaveLength(2)
    expect(room.events('atomic').at(-1)).toMatchObject({
      legacy: {
        relations: [
          { on: 'bd-3', type: 'parent-child' },
          { on: 'bd-4', type: 'discovered-from' },
        ],
      },
    })
  })

  it('depends on what an export names by nothing but its id', async () => {
    const room = new Room()
    const line = (id: string, more: object): string =>
      `${JSON.stringify({ id, title: id, status: 'open', priority: 1, issue_type: 'task', created_at: '2026-01-01T00:00:00Z', ...more })}\n`
    room.leave({ 'issues.jsonl': line('bd-1', {}) + line('bd-2', { dependencies: ['bd-1'] }) })
    expect(await room.import('beads')).toMatchObject({ imported: 2, warnings: [], dropped: [] })
    expect(room.ticket('-bd-2').ticket.dependsOn).toEqual([room.id('-bd-1')])
  })

  it('that is there twice is the newer one; records of other types are listed', async () => {
    const room = new Room()
    room.leave({
      'issues.jsonl': lines(
        issue({ title: 'New', updated_at: '2026-01-01T00:00:00Z', _type: 'issue' }),
        issue({ title: 'Old' }),
        { _type: 'memory', key: 'k' },
        { title: 'no id' },
        issue({ id: 'bd-9', title: '', priority: 9, status: 'cooking', created_at: 'x' }),
        issue({ id: 'bd-10', title: 'bd-10', status: undefined }),
      ),
    })
    const { imported, warnings, dropped } = await room.import('beads')
    expect(imported).toBe(3)
    expect(room.ticket('-bd-10').ticket).toMatchObject({ status: 'open', workflowState: 'ready' })
    expect(room.ticket('-new').ticket.title).toBe('New')
    expect(room.ticket('-bd-9')).toMatchObject({ problems: [], ticket: { title: 'bd-9', priority: 'P2', workflowState: 'intake' } })
    expect(dropped).toEqual([expect.stringMatching(/:3: a record of type memory/)])
    expect(warnings.map(warning => warning.replace(/^.*?issues\.jsonl:/, ''))).toEqual([
      '2: bd-a1b2 is there a second time (issues.jsonl:1); the newer is taken',
      '4: it has no id; left out',
      '5: bd-9: its status "cooking" is not known; intake is taken',
      '5: bd-9: its created_at "x" is no time; left out',
      '5: bd-9 has no title; its id is taken',
      '5: bd-9: its priority 9 is not known; P2 is taken',
      '6: bd-10 has no status; open is taken',
    ])
  })

  it('keeps a list or an object where it has a text, and says which dependencies name no issue', async () => {
    const room = new Room()
    const odd = { acceptance_criteria: ['works', 'is fast'], assignee: { name: 'ann' } }
    const path = room.leave({
      'issues.jsonl': lines(
        issue({ ...odd, dependencies: [{ blocks: 'bd-2' }, 'bd-2'] }),
        issue({ id: 'bd-2', dependencies: { blocks: ['bd-a1b2'] } }),
        issue({ id: 'bd-3', dependencies: null }),
      ),
    })
    const { dropped, warnings } = await room.import('beads')
    expect(dropped).toEqual(
      Object.keys(odd)
        .toSorted()
        .map(key => `${key}: of 1 record, has no place in a ticket (kept in the event \`imported\`)`),
    )
    expect(warnings).toEqual([
      `${path}:1: bd-a1b2: its dependencies hold something that names no issue; left out`,
      `${path}:2: bd-2: its dependencies are no list; left out`,
    ])
    const first = room.ids().find(id => room.text(id).includes('legacy_ticket: bd-a1b2'))!
    expect(room.text(first, 'events.jsonl')).toContain(JSON.stringify(odd.acceptance_criteria))
  })

  it('is not looked for in a second file that lies beside, which is said', async () => {
    const room = new Room()
    const beside = room.leave({
      '.beads/issues.jsonl': lines(issue()),
      '.beads/interactions.jsonl': '{}\n',
      '.beads/beads.jsonl': lines(issue({ id: 'bd-2' })),
    })
    expect(await room.import('beads')).toMatchObject({
      imported: 1,
      dropped: [`${beside}: beads reads issues.jsonl, which lies beside it; to take this one: lh ticket import --from beads ${beside}`],
    })
    expect(await room.import('beads', { path: beside })).toMatchObject({ imported: 1, dropped: [] })
  })

  it('may come from a list as `bd list --json` prints it', async () => {
    const room = new Room()
    const path = room.leave({ 'list.json': [issue({ dependency_count: 0 })] })
    expect(await room.import('beads', { path })).toMatchObject({ imported: 1 })
  })
})
