import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { appendEvents } from '../../../src/service/ticket/events.ts'
import { editTicket } from '../../../src/service/ticket/front-matter.ts'
import type { Held } from '../../../src/service/ticket/import/held.ts'
import { importLines } from '../../../src/service/ticket/import/import.ts'
import { trackers, type Tracker } from '../../../src/service/ticket/import/imported.ts'
import { nowMs, Room } from './room.ts'

const laterMs = nowMs + 60_000

const beads = (more: Readonly<Record<string, unknown>> = {}): string =>
  `${JSON.stringify({ id: 'bd-1', title: 'One', description: 'Body', status: 'open', priority: 1, issue_type: 'task', created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-02T00:00:00Z', ...more })}\n`

const yoi = (more = ''): string =>
  `---\nid: 20260101-000000-x\nslug: x\ntitle: X\nstatus: open\nkind: task\npriority: P1\nlabels: []\ncreated_at: 2026-01-01T00:00:00Z\nupdated_at: 2026-01-01T00:00:00Z\nassignee: null\n${more}---\n\nBody\n`

const jit = (more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({
  id: 'aaaaaaaa-0000-4000-8000-000000000001',
  title: 'J',
  description: 'Body',
  state: 'ready',
  priority: 'normal',
  gates_required: ['g'],
  gates_status: { g: { status: 'passed', updated_by: 'agent:x', updated_at: '2026-01-02T00:00:00Z' } },
  labels: [],
  created_at: '2026-01-01T00:00:00.123456789Z',
  updated_at: '2026-01-01T00:00:00Z',
  ...more,
})

const github = {
  number: 1,
  title: 'G',
  body: 'b',
  state: 'CLOSED',
  createdAt: '2026-01-01T00:00:00Z',
  comments: [{ id: 'c', author: { login: 'x' }, body: 'hi', createdAt: '2026-01-03T00:00:00Z' }],
}

/** A little of everything. */
const samples: Readonly<Record<Tracker, Readonly<Record<string, unknown>>>> = {
  yoi: {
    '20260101-000000-x/item.md': yoi('extra_key: yes\n'),
    '20260101-000000-x/thread.md': '<!-- event: comment author: a at: 2026-01-01T00:00:00Z -->\n\nhi\n\n---\n',
    '20260101-000000-x/artifacts/a.txt': 'A',
  },
  jit: {
    'issues/a.json': jit(),
    'gates.json': { gates: { g: { key: 'g', mode: 'auto', stage: 'postcheck', checker: { command: 'true' } } } },
  },
  beads: { 'issues.jsonl': beads({ comments: [{ id: 1, author: 'a', text: 'hi', created_at: '2026-01-01T00:00:00Z' }] }) },
  github: { 'issues.json': [github] },
}

/** Changes the text of the only ticket as an editor would. */
const edit = (room: Room, changes: Parameters<typeof editTicket>[1]): void => {
  const id = room.id()
  fs.writeFileSync(room.file(id, 'ticket.md'), editTicket(room.text(id), { updatedAt: '2026-06-01T00:00:00Z', ...changes }))
}

describe.each(trackers)('an import from %s', from => {
  it('twice changes nothing and touches no file', async () => {
    const room = new Room()
    room.leave(samples[from])
    expect(await room.import(from)).toMatchObject({ imported: 1, unchanged: 0, skipped: 0 })
    expect(room.problems()).toEqual([])
    const before = room.snapshot()
    expect(await room.import(from, { nowMs: laterMs })).toMatchObject({ imported: 0, updated: 0, unchanged: 1, skipped: 0, gates: 0 })
    expect(room.snapshot()).toEqual(before)
  })

  it('on two branches gives the same events and the same ticket', async () => {
    const [one, two] = [new Room(), new Room()]
    for (const [room, at] of [
      [one, nowMs],
      [two, laterMs],
    ] as const) {
      room.leave(samples[from])
      await room.import(from, { nowMs: at })
    }
    expect(two.text(two.id())).toBe(one.text(one.id()))
    const [here, there] = [one.events(), two.events()]
    expect(there.slice(0, -1)).toEqual(here.slice(0, -1))
    expect(there.at(-1)!.id).not.toBe(here.at(-1)!.id)
  })

  it('that is only tried writes nothing', async () => {
    const room = new Room()
    room.leave(samples[from])
    const report = await room.import(from, { dryRun: true })
    expect(report).toMatchObject({ imported: 1 })
    expect(importLines(report)[0]).toBe(`Would import 1 from ${from}: 0 updated, 0 unchanged, 0 skipped.`)
    expect(fs.readdirSync(room.root)).toEqual(['.git'])
  })

  it('of nothing, and of what another tracker wrote, is refused', async () => {
    const room = new Room()
    await expect(room.import(from, { path: path.join(room.source, 'gone') })).rejects.toMatchObject({ code: 'usage' })
    await expect(room.import(from)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(`nothing to import from ${from} was found`) as unknown,
    })
    for (const other of trackers) {
      if (other === from) continue
      const theirs = new Room()
      theirs.leave(samples[other])
      await expect(theirs.import(from), other).rejects.toMatchObject({
        code: 'usage',
        message: expect.stringContaining(`this looks like ${other}: use --from ${other}`) as unknown,
      })
      expect(fs.readdirSync(theirs.root)).toEqual(['.git'])
    }
  })
})

describe('an import', () => {
  it('of a broken file names the line, and writes nothing', async () => {
    const cases: readonly (readonly [Tracker, string, string, RegExp])[] = [
      ['beads', 'issues.jsonl', `${beads()}{"id": "bd-2", \n`, /issues\.jsonl:2: not JSON/],
      ['beads', 'issues.jsonl', `${beads()}<<<<<<< HEAD\n`, /issues\.jsonl:2: an unresolved merge/],
      ['beads', 'issues.jsonl', `${beads()}[1]\n`, /issues\.jsonl:2: not a JSON object/],
      ['github', 'issues.json', '[\n{"number": 1},\n{"number": }\n]', /issues\.json:3: not JSON/],
      ['github', 'issues.json', '[\n{"number": 1},\n', /issues\.json:3: not JSON/],
      ['jit', 'a.json', '{"id": "a\\nb",\n"x": [1, 2\n}', /a\.json:3: not JSON/],
      ['yoi', 'item.md', 'no', /none of its 1 tickets can be read/],
    ]
    for (const [from, name, content, message] of cases) {
      const room = new Room()
      const file = room.leave({ [name]: content })
      await expect(room.import(from, { path: file }), content).rejects.toMatchObject({
        code: 'usage',
        message: expect.stringMatching(message) as unknown,
      })
      expect(fs.readdirSync(room.root)).toEqual(['.git'])
    }
  })

  it('of what is nested too deeply names the file, and takes the rest', async () => {
    const room = new Room()
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
    room.leave({ 'issues/a.json': jit(), 'issues/b.json': `{"id": "b", "state": "ready", "context": ${deep}}` })
    expect(await room.import('jit')).toMatchObject({
      imported: 1,
      warnings: expect.arrayContaining([expect.stringMatching(/b\.json:1: .*it is nested deeper than 500 levels; left out/)]) as unknown,
    })
    const other = new Room()
    const file = other.leave({ 'issues.jsonl': `${beads()}${beads({ id: 'bd-2' }).replace('}\n', `,"x":${deep}}\n`)}` })
    await expect(other.import('beads', { path: file })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/issues\.jsonl:2: .*nested deeper/) as unknown,
    })
  })

  it('brings over what changed in the source', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads({ assignee: 'a' }) })
    await room.import('beads')
    fs.writeFileSync(room.file(room.id(), 'ticket.md'), room.text(room.id()).replace('kind: task', 'kind: task # mine'))
    room.leave({
      'issues.jsonl': beads({
        title: 'Two',
        description: 'Other',
        status: 'closed',
        close_reason: 'Done.',
        closed_at: '2026-02-02T00:00:00Z',
        updated_at: '2026-02-02T00:00:00Z',
        labels: ['x'],
        comments: [{ id: 5, author: 'a', text: 'hi', created_at: '2026-02-01T00:00:00Z' }],
      }),
    })
    expect(await room.import('beads', { nowMs: laterMs })).toMatchObject({ imported: 0, updated: 1, unchanged: 0, warnings: [] })
    expect(room.ticket()).toMatchObject({
      body: 'Other\n',
      ticket: { title: 'Two', status: 'closed', workflowState: 'done', assignee: null, labels: ['x'], updatedAt: '2026-02-02T00:00:00Z' },
    })
    expect(room.text(room.id())).toContain('kind: task # mine')
    expect(room.text(room.id(), 'resolution.md')).toBe('Done.\n')
    expect(room.events().map(({ type }) => type)).toEqual(['created', 'comment', 'closed', 'imported', 'imported'])
    expect(room.events().at(-1)).toMatchObject({ keys: ['title', 'state', 'labels', 'assignee', 'body', 'resolution'] })
    expect(await room.import('beads')).toMatchObject({ unchanged: 1 })
    expect(room.problems()).toEqual([])
  })

  it('keeps what was changed here, and says so', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads() })
    await room.import('beads')
    edit(room, { title: 'Mine', workflowState: 'inprogress', body: 'My body\n' })
    const id = room.id()
    room.leave({ 'issues.jsonl': beads({ title: 'Theirs', status: 'closed', priority: 0, updated_at: '2026-02-02T00:00:00Z' }) })
    const report = await room.import('beads', { nowMs: laterMs })
    expect(report).toMatchObject({
      updated: 1,
      warnings: [
        `${id}: its title changed here and in the source; kept as it is here`,
        `${id}: its status and workflow state changed here and in the source; kept as it is here`,
      ],
    })
    expect(room.ticket()).toMatchObject({
      body: 'My body\n',
      ticket: { title: 'Mine', status: 'open', workflowState: 'inprogress', priority: 'P0', updatedAt: '2026-06-01T00:00:00Z' },
    })
    expect(await room.import('beads')).toMatchObject({ unchanged: 1, warnings: [] })
  })

  it('leaves a ticket alone that is not UTF-8 here, and loses no sign of it', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads() })
    await room.import('beads')
    const file = room.file(room.id(), 'ticket.md')
    fs.appendFileSync(file, Buffer.from('Caf\xe9\n', 'latin1'))
    const before = fs.readFileSync(file)
    const line = before.toString('latin1').split('\n').length - 1
    room.leave({ 'issues.jsonl': beads({ priority: 0, updated_at: '2026-03-01T00:00:00Z' }) })
    const { skipped, warnings } = await room.import('beads')
    expect(fs.readFileSync(file).equals(before)).toBe(true)
    expect(skipped).toBe(1)
    expect(warnings).toEqual([expect.stringContaining(`${file}:${line}: it is not UTF-8`)])
  })

  it('does not take other line endings for a change', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads({ description: 'One\nTwo', status: 'closed', close_reason: 'Did\nit.' }) })
    await room.import('beads')
    for (const name of ['ticket.md', 'resolution.md'])
      fs.writeFileSync(room.file(room.id(), name), room.text(room.id(), name).replaceAll('\n', '\r\n'))
    room.leave({ 'issues.jsonl': beads({ description: 'One\nThree', status: 'closed', close_reason: 'Did it again.' }) })
    expect(await room.import('beads', { nowMs: laterMs })).toMatchObject({ updated: 1, warnings: [] })
    expect(room.ticket()).toMatchObject({ body: 'One\r\nThree\r\n', problems: [] })
    expect(room.text(room.id(), 'resolution.md')).toBe('Did it again.\n')
    fs.writeFileSync(room.file(room.id(), 'ticket.md'), room.text(room.id()).replace('Three', 'Ours'))
    room.leave({ 'issues.jsonl': beads({ description: 'One\nFour', status: 'closed', close_reason: 'Did it again.' }) })
    const { warnings } = await room.import('beads', { nowMs: laterMs + 60_000 })
    expect(warnings).toEqual([expect.stringMatching(/its body changed here and in the source; kept as it is here$/)])
  })

  it('takes a new text of a file only when nobody changed it here', async () => {
    const room = new Room()
    const files = {
      '20260101-000000-x/item.md': yoi(),
      '20260101-000000-x/artifacts/a': '1',
      '20260101-000000-x/artifacts/b': '1',
      '20260101-000000-x/resolution.md': 'r1\n',
    }
    room.leave(files)
    await room.import('yoi')
    const id = room.id()
    fs.writeFileSync(room.file(id, 'artifacts/b'), 'mine')
    room.leave({
      ...files,
      '20260101-000000-x/artifacts/a': '2',
      '20260101-000000-x/artifacts/b': '2',
      '20260101-000000-x/artifacts/in/c': '2',
      '20260101-000000-x/resolution.md': 'r2\n',
    })
    expect(await room.import('yoi')).toMatchObject({
      updated: 1,
      warnings: [`${id}: its artifacts/b changed here and in the source; kept as it is here`],
    })
    expect(['artifacts/a', 'artifacts/b', 'artifacts/in/c', 'resolution.md'].map(name => room.text(id, name))).toEqual([
      '2',
      'mine',
      '2',
      'r2\n',
    ])
  })

  it('leaves a ticket as it is where a file of the source became a directory, or the reverse, and goes on with the others', async () => {
    const room = new Room()
    const other = (title: string): string =>
      yoi().replaceAll('20260101-000000-x', '20260102-000000-y').replace('title: X', `title: ${title}`)
    room.leave({ ...samples.yoi, '20260101-000000-x/artifacts/logs/one.txt': '1', '20260102-000000-y/item.md': other('Y') })
    await room.import('yoi')
    fs.rmSync(path.join(room.source, '20260101-000000-x/artifacts'), { recursive: true })
    room.leave({
      '20260101-000000-x/item.md': yoi().replace('title: X', 'title: New'),
      '20260101-000000-x/artifacts/a.txt/inside.txt': 'A',
      '20260101-000000-x/artifacts/logs': '1',
      '20260102-000000-y/item.md': other('New'),
    })
    const before = room.text('20260101-000000-x')
    for (const dryRun of [true, false]) {
      expect(await room.import('yoi', { nowMs: laterMs, dryRun })).toMatchObject({
        updated: 1,
        skipped: 1,
        warnings: [
          `20260101-000000-x: ${room.file('20260101-000000-x', 'artifacts/logs')} is a directory here, and a file in the source: ` +
            'move it away, and run this again. It is left out.',
        ],
      })
    }
    expect(room.text('20260101-000000-x')).toBe(before)
    expect(room.ticket('-y').ticket.title).toBe('New')
    fs.rmSync(room.file('20260101-000000-x', 'artifacts/logs'), { recursive: true })
    expect(await room.import('yoi', { nowMs: laterMs })).toMatchObject({
      skipped: 1,
      warnings: [expect.stringMatching(/artifacts\/a\.txt is a file here, and a directory in the source: move it away/)],
    })
    fs.rmSync(room.file('20260101-000000-x', 'artifacts/a.txt'))
    expect(await room.import('yoi', { nowMs: laterMs })).toMatchObject({ updated: 1, unchanged: 1, skipped: 0, warnings: [] })
    expect(room.text('20260101-000000-x', 'artifacts/a.txt/inside.txt')).toBe('A')
    expect(room.text('20260101-000000-x', 'artifacts/logs')).toBe('1')
  })

  it('keeps ids of events when a thread grows, also when other events came in between', async () => {
    const room = new Room()
    const entry = (text: string, second: number): string =>
      `<!-- event: comment author: a at: 2026-01-01T00:00:0${second}Z -->\n\n${text}\n\n---\n\n`
    room.leave({ '20260101-000000-x/item.md': yoi(), '20260101-000000-x/thread.md': entry('one', 1) + entry('two', 1) })
    await room.import('yoi')
    const before = room.events()
    appendEvents(path.dirname(room.file(room.id(), 'x')), [
      { id: '01KTJ3EQZ8000DJEP5B0VB5JWN', type: 'comment', at: '2026-06-01T00:00:00Z', actor: 'human:me' },
    ])
    room.leave({ '20260101-000000-x/thread.md': entry('one', 1) + entry('two', 1) + entry('three', 0) })
    expect(await room.import('yoi', { nowMs: laterMs })).toMatchObject({ updated: 1 })
    const messages = room.events().map(({ message }) => message)
    expect(messages).toEqual(['one', 'two', 'three', undefined, undefined, undefined])
    expect(room.events().filter(({ id }) => before.some(event => event.id === id))).toEqual(before)
    expect(room.events()[2]!.at).toBe('2026-01-01T00:00:00Z')
  })

  it('skips what somebody else holds, unless nothing is new', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads() })
    await room.import('beads')
    const heldBy = (): Held => ({ agentId: 'agent:other', mine: false })
    expect(await room.import('beads', { heldBy })).toMatchObject({ unchanged: 1, warnings: [] })
    room.leave({ 'issues.jsonl': beads({ title: 'New' }) })
    const before = room.snapshot()
    const report = await room.import('beads', { heldBy })
    expect(report).toMatchObject({ skipped: 1, warnings: [expect.stringMatching(/agent:other holds it; .* lh why/)] })
    expect(room.snapshot()).toEqual(before)
    expect(await room.import('beads')).toMatchObject({ updated: 1 })
  })

  it('changes what I hold myself, but does not close it', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads() })
    await room.import('beads')
    const heldBy = (): Held => ({ agentId: 'human:me', mine: true })
    room.leave({ 'issues.jsonl': beads({ title: 'New' }) })
    expect(await room.import('beads', { heldBy, nowMs: laterMs })).toMatchObject({ updated: 1, warnings: [] })
    const before = room.snapshot()
    room.leave({ 'issues.jsonl': beads({ title: 'New', status: 'closed' }) })
    expect(await room.import('beads', { heldBy, nowMs: laterMs + 1 })).toMatchObject({
      skipped: 1,
      warnings: [`${room.id()}: the source closed it, and you hold it; left out. Run this again after: lh claim release ${room.id()}`],
    })
    expect(room.snapshot()).toEqual(before)
    expect(await room.import('beads', { nowMs: laterMs + 1 })).toMatchObject({ updated: 1, warnings: [] })
    expect(room.ticket().ticket.status).toBe('closed')
  })

  it('does not say what became of a ticket on which the work goes on here', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads() })
    await room.import('beads')
    edit(room, { workflowState: 'inprogress' })
    for (const close_reason of ['Done.', 'Done twice.']) {
      room.leave({ 'issues.jsonl': beads({ status: 'closed', close_reason }) })
      expect(await room.import('beads', { nowMs: laterMs })).toMatchObject({ updated: 1 })
      expect(room.ticket().ticket.status).toBe('open')
      expect(fs.existsSync(room.file(room.id(), 'resolution.md'))).toBe(false)
    }
  })

  it('reopens what was reopened in the source, and takes its resolution away unless it was changed here', async () => {
    for (const changed of [false, true]) {
      const room = new Room()
      room.leave({ 'issues.jsonl': beads({ status: 'closed', close_reason: 'Done.' }) })
      await room.import('beads')
      if (changed) fs.writeFileSync(room.file(room.id(), 'resolution.md'), 'Mine.\n')
      room.leave({ 'issues.jsonl': beads({ status: 'in_progress' }) })
      expect((await room.import('beads', { nowMs: laterMs })).warnings).toHaveLength(changed ? 1 : 0)
      expect(room.ticket().ticket).toMatchObject({ status: 'open', workflowState: 'inprogress' })
      expect(room.events().map(({ type }) => type)).toEqual(['created', 'imported', 'reopened', 'imported'])
      expect(room.events().at(-2)).toMatchObject({
        actor: 'human:me',
        reason: 'reopened in beads',
        from: 'done',
        to: 'inprogress',
        status: 'closed',
      })
      expect(fs.existsSync(room.file(room.id(), 'resolution.md'))).toBe(changed)
      expect(await room.import('beads')).toMatchObject({ unchanged: 1 })
    }
  })

  it('leaves the reopening to the thread of the source where that has it', async () => {
    const room = new Room()
    const closed = yoi().replace('status: open', 'status: closed')
    room.leave({ '20260101-000000-x/item.md': closed })
    await room.import('yoi')
    room.leave({
      '20260101-000000-x/item.md': yoi(),
      '20260101-000000-x/thread.md': '<!-- event: reopen author: a at: 2026-01-01T00:00:00Z -->\n\nagain\n\n---\n',
    })
    await room.import('yoi', { nowMs: laterMs })
    expect(room.events().filter(({ type }) => type === 'reopened')).toEqual([expect.objectContaining({ message: 'again' })])
  })

  it('leaves a ticket alone that has the id and is not from there', async () => {
    const room = new Room()
    room.leave({ '20260101-000000-x/item.md': yoi() })
    await room.import('yoi')
    fs.rmSync(room.file(room.id(), 'events.jsonl'))
    const before = room.snapshot()
    expect(await room.import('yoi')).toMatchObject({ skipped: 1, warnings: [expect.stringMatching(/not imported from here; left out/)] })
    expect(room.snapshot()).toEqual(before)
  })

  it('knows a ticket again whose file is broken or gone, and leaves it and what depends on it alone', async () => {
    const breaks: readonly (readonly [(text: string) => string | null, RegExp])[] = [
      [
        text => text.replace('status: open\n', '<<<<<<< HEAD\nstatus: open\n=======\nstatus: closed\n>>>>>>> b\n'),
        /-one\/ticket\.md:\d+: an unresolved merge; mend it/,
      ],
      [text => text.replace('---\n', ''), /-one\/ticket\.md:1: it does not begin with/],
      [() => null, /-one\/ticket\.md is missing; .*git checkout/],
    ]
    for (const [broken, message] of breaks) {
      const room = new Room()
      const two = (title: string): string => beads({ id: 'bd-2', title, dependencies: [{ depends_on_id: 'bd-1', type: 'blocks' }] })
      room.leave({ 'issues.jsonl': beads() + two('Two') })
      await room.import('beads')
      const file = room.file(room.id('-one'), 'ticket.md')
      const text = broken(fs.readFileSync(file, 'utf8'))
      if (text === null) fs.rmSync(file)
      else fs.writeFileSync(file, text)
      for (const title of ['Two', 'Twice']) {
        room.leave({ 'issues.jsonl': beads() + two(title) })
        expect(await room.import('beads', { nowMs: laterMs })).toMatchObject({
          imported: 0,
          skipped: 1,
          warnings: [expect.stringMatching(message)],
        })
      }
      expect(room.ids()).toHaveLength(2)
      expect(room.ticket('-two').ticket.dependsOn).toEqual(['20260101-000000-one'])
    }
  })

  it('does not copy a ticket that only another worktree has', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads() })
    await room.import('beads')
    const linked = path.join(path.dirname(room.root), 'linked')
    const git = (...args: readonly string[]): unknown =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { cwd: room.root, stdio: 'ignore' })
    git('commit', '-q', '--allow-empty', '-m', 'x')
    git('worktree', 'add', '-q', linked)
    const { Catalogue } = await import('../../../src/service/ticket/catalogue.ts')
    const { findRepository } = await import('../../../src/host/git.ts')
    const report = await room.import('beads', { root: linked, tickets: Catalogue.open(findRepository(linked, {}), null).list() })
    expect(report).toMatchObject({ imported: 0, skipped: 1, warnings: [expect.stringMatching(/^1 ticket is not in this worktree/)] })
    expect(fs.existsSync(path.join(linked, '.leasehold/tickets'))).toBe(false)
  })

  it('that was stopped halfway is finished by the next, and nothing is doubled', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': [1, 2, 3, 4, 5].map(n => beads({ id: `bd-${n}`, title: `T${n}` })).join('') })
    const stop = room.import('beads', {
      progress: done => {
        if (done === 3) throw new Error('stopped')
      },
    })
    await expect(stop).rejects.toThrow('stopped')
    expect(room.ids()).toHaveLength(3)
    expect(await room.import('beads', { nowMs: laterMs })).toMatchObject({ imported: 2, unchanged: 3 })
    expect(room.ids()).toHaveLength(5)
    expect(room.problems()).toEqual([])
  })

  it.each(trackers)('of %s beside another of the same source takes over nothing twice', async from => {
    const room = new Room()
    room.leave(samples[from])
    const reports = await Promise.all([room.import(from), room.import(from, { nowMs: laterMs })])
    expect(room.ids()).toHaveLength(1)
    expect(reports.map(({ imported, skipped, warnings }) => ({ imported, skipped, warnings }))).toEqual([
      { imported: 1, skipped: 0, warnings: [] },
      {
        imported: 0,
        skipped: 1,
        warnings: [
          `${room.id()}: There is a ticket ${room.id()} already: ${path.join(room.tickets, room.id())}. It is left out. Look at it: lh ticket show ${room.id()}`,
        ],
      },
    ])
    expect(await room.import(from, { nowMs: laterMs })).toMatchObject({ unchanged: 1, skipped: 0, warnings: [] })
  })

  it('finishes an update that wrote the ticket and not its events', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads() })
    await room.import('beads')
    room.leave({
      'issues.jsonl': beads({ title: 'New', comments: [{ id: 1, author: 'a', text: 'x', created_at: '2026-01-05T00:00:00Z' }] }),
    })
    edit(room, { title: 'New', updatedAt: '2026-01-02T00:00:00Z' })
    expect(await room.import('beads')).toMatchObject({ updated: 1, warnings: [] })
    expect(room.events().map(({ type }) => type)).toEqual(['created', 'comment', 'imported', 'imported'])
  })

  it('makes a file of a body that is too long for a ticket', async () => {
    const room = new Room()
    const body = 'x'.repeat(2_000_000)
    room.leave({ 'issues.json': [{ ...github, body }] })
    const { warnings } = await room.import('github')
    expect(warnings).toEqual([expect.stringMatching(/artifacts\/body\.md/)])
    expect(room.text(room.id(), 'artifacts/body.md')).toBe(`${body}\n`)
    expect(room.problems()).toEqual([])
    expect(await room.import('github')).toMatchObject({ unchanged: 1 })
  })

  it('takes what is new of a file that is larger than a ticket may be', async () => {
    const room = new Room()
    const large = (sign: string): string => sign.repeat(1_100_000)
    const leave = (sign: string): string =>
      room.leave({ '20260101-000000-x/item.md': yoi().replace('Body', sign), '20260101-000000-x/artifacts/log': large(sign) })
    leave('a')
    await room.import('yoi')
    leave('b')
    expect(await room.import('yoi')).toMatchObject({ updated: 1, warnings: [] })
    expect(room.ticket().body).toBe('b\n')
    expect(room.text(room.id(), 'artifacts/log') === large('b')).toBe(true)
    expect(await room.import('yoi')).toMatchObject({ unchanged: 1 })
    room.leave({ 'issues.json': [{ ...github, body: large('a') }] })
    await room.import('github', { path: `${room.source}/issues.json` })
    room.leave({ 'issues.json': [{ ...github, body: large('b') }] })
    expect(await room.import('github', { path: `${room.source}/issues.json` })).toMatchObject({ updated: 1, skipped: 0 })
  })

  it('writes a long body over no artifact', async () => {
    const room = new Room()
    const body = 'x'.repeat(950_000)
    room.leave({
      '20260101-000000-x/item.md': yoi().replace('Body', body),
      '20260101-000000-x/artifacts/body.md': 'real',
      '20260101-000000-x/artifacts/body-2.md/a': 'real too',
    })
    expect(await room.import('yoi')).toMatchObject({ warnings: [expect.stringMatching(/artifacts\/body-3\.md/)] })
    expect(['body.md', 'body-2.md/a', 'body-3.md'].map(name => room.text(room.id(), `artifacts/${name}`))).toEqual([
      'real',
      'real too',
      `${body}\n`,
    ])
    expect(room.ticket().body).toContain('(artifacts/body-3.md)')
  })

  it('cuts a title that nobody could read again, and keeps all of it', async () => {
    const room = new Room()
    const title = 'x'.repeat(70_000)
    room.leave({ 'issues.jsonl': beads({ title }) })
    expect(await room.import('beads')).toMatchObject({ imported: 1, warnings: [expect.stringMatching(/its title has 70000 characters/)] })
    expect(room.problems()).toEqual([])
    expect(room.ticket().ticket.title).toMatch(/^x{999}…$/)
    expect(room.events().at(-1)).toMatchObject({ legacy: { title } })
    expect(await room.import('beads')).toMatchObject({ imported: 0, unchanged: 1 })
  })

  it('keeps keys of others that are too long in its event', async () => {
    const room = new Room()
    const [long, many] = ['y'.repeat(70_000), Array.from({ length: 1000 }, (_, n) => `key${n}: ${'z'.repeat(100)}\n`).join('')]
    room.leave({ '20260101-000000-x/item.md': yoi(`long: ${long}\nshort: s\n`) })
    expect(await room.import('yoi')).toMatchObject({
      imported: 1,
      dropped: ['20260101-000000-x: long: too long for a ticket (kept in the event `imported`)'],
    })
    expect(room.ticket()).toMatchObject({ problems: [], extra: { short: 's' } })
    expect(room.events().at(-1)).toMatchObject({ legacy: { long } })
    const other = new Room()
    other.leave({ '20260101-000000-x/item.md': yoi(many) })
    expect((await other.import('yoi')).dropped).toHaveLength(1000)
    expect(other.ticket()).toMatchObject({ problems: [], extra: {} })
  })

  it('leaves out what nobody could read again, and what depends on it', async () => {
    const room = new Room()
    const on = (id: string): unknown => ({ dependencies: [{ depends_on_id: id, type: 'blocks' }] })
    const more = on('bd-1') as Readonly<Record<string, unknown>>
    room.leave({
      'issues.jsonl': [
        beads({ labels: Array.from({ length: 20_000 }, (_, n) => `label-${n}`) }),
        beads({ id: 'bd-2', title: 'Two', ...more }),
        beads({ id: 'bd-3', title: 'Three', ...(on('bd-2') as object) }),
        beads({ id: 'bd-4', title: 'Four' }),
      ].join(''),
    })
    for (const dryRun of [true, false, false])
      expect(await room.import('beads', { dryRun })).toMatchObject({
        skipped: 3,
        warnings: [
          '20260101-000000-one: the front matter is longer than 65536 characters (20000 labels); left out',
          '20260101-000000-two: it depends on 20260101-000000-one, which is left out; left out',
          '20260101-000000-three: it depends on 20260101-000000-two, which is left out; left out',
        ],
      })
    expect(room.ids()).toEqual(['20260101-000000-four'])
  })

  it('leaves a ticket as it is that could not be read with what is new', async () => {
    const room = new Room()
    room.leave({ 'issues.jsonl': beads() })
    await room.import('beads')
    const before = room.snapshot()
    room.leave({ 'issues.jsonl': beads({ labels: Array.from({ length: 20_000 }, (_, n) => `label-${n}`) }) })
    expect(await room.import('beads', { nowMs: laterMs })).toMatchObject({
      skipped: 1,
      warnings: [expect.stringMatching(/could not be read any more: the front matter is longer than 65536 characters \(20000 labels\)/)],
    })
    expect(room.snapshot()).toEqual(before)
  })

  it('says what became what', async () => {
    const room = new Room()
    room.leave({
      'issues.jsonl': beads() + beads({ id: 'bd-2', status: 'closed', dependencies: [{ depends_on_id: 'bd-1', type: 'related' }] }),
    })
    expect(importLines(await room.import('beads'))).toEqual([
      'Imported 2 from beads: 0 updated, 0 unchanged, 0 skipped.',
      '  state     open    → ready  1',
      '  state     closed  → closed/done  1',
      '  priority  1       → P1  2',
      '  left out or without a place here (1):',
      '    bd-2: related bd-1 (it does not block; kept in the event `imported`)',
    ])
  })
})
