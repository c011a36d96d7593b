import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { Notes } from '../../../src/service/ticket/import/imported.ts'
import { parseThread } from '../../../src/service/ticket/import/yoi.ts'
import { Room } from './room.ts'

const item = (more: string, body = 'Text.\n'): string =>
  `---\nid: 20260605-173322-roles\nslug: roles\ntitle: Roles\nkind: task\npriority: P1\nlabels: [a, b c]\ncreated_at: 2026-06-05T17:33:22Z\nupdated_at: 2026-06-06T00:00:00Z\nassignee: null\nlegacy_ticket: tickets/roles.md\n${more}---\n\n${body}`

const thread = (...entries: readonly string[]): string => entries.map(entry => `${entry}\n\n---\n`).join('\n')

describe('a ticket of yoi', () => {
  it('keeps its id, its fields, its body and its old name', async () => {
    const room = new Room()
    room.leave({
      'open/20260605-173322-roles/item.md': item(
        "status: 'open'\nworkflow_state: 'queued'\nqueued_by: 'workspace-panel'\nqueued_at: '2026-06-07T22:04:20Z'\n",
        '## 背景\n\n---\n\nmore\n',
      ),
    })
    expect(await room.import('yoi')).toMatchObject({
      imported: 1,
      warnings: [],
      dropped: [],
      mapped: { states: { 'open/queued': { queued: 1 } } },
    })
    const { ticket, body, problems } = room.ticket()
    expect(problems).toEqual([])
    expect(body).toBe('## 背景\n\n---\n\nmore\n')
    expect(ticket).toMatchObject({
      id: '20260605-173322-roles',
      slug: 'roles',
      priority: 'P1',
      labels: ['a', 'b c'],
      status: 'open',
      workflowState: 'queued',
      createdAt: '2026-06-05T17:33:22Z',
      legacyTicket: 'tickets/roles.md',
      queuedBy: 'human:workspace-panel',
      queuedAt: '2026-06-07T22:04:20Z',
    })
  })

  it('is done when it is closed, and in intake when nothing says more', async () => {
    const room = new Room()
    room.leave({ 'a/item.md': item('status: closed\n'), 'a/resolution.md': 'Did it.\n' })
    await room.import('yoi', { path: path.join(room.source, 'a') })
    expect(room.ticket().ticket).toMatchObject({ status: 'closed', workflowState: 'done' })
    expect(room.text(room.id(), 'resolution.md')).toBe('Did it.\n')
    const other = new Room()
    other.leave({ 'closed/20260605-173322-roles/item.md': item('') })
    await other.import('yoi')
    expect(other.ticket().ticket).toMatchObject({ status: 'closed', workflowState: 'done' })
    expect(other.text(other.id(), 'resolution.md')).toBe('Imported as closed from yoi.\n')
  })

  it('is found from the repository, the .yoi directory and its tickets, also by short ids; relations become dependencies', async () => {
    for (const end of ['', '.yoi', '.yoi/tickets']) {
      const room = new Room()
      room.leave({
        '.yoi/objectives/00001KT/item.md': 'no ticket',
        '.yoi/tickets/00001KSKBP9YG/item.md':
          '---\ntitle: "E2E: ハーネス"\nstate: \'inprogress\'\ncreated_at: "2026-05-27T00:00:02Z"\nrisk: high\n---\n\nText\n',
        '.yoi/tickets/00001KSKBP9YG/artifacts/relations.json': {
          version: 1,
          relations: [
            { kind: 'related', target: 'X' },
            { kind: 'depends_on', target: '00001KV0723PC' },
            { kind: 'blocks', target: '00001KV072V89' },
          ],
        },
        '.yoi/tickets/00001KV0723PC/item.md': '---\ntitle: Quit\nstate: closed\ncreated_at: 2026-05-28T00:00:00Z\n---\n',
        '.yoi/tickets/00001KV072V89/item.md': '---\ntitle: Mouse\nstate: planning\ncreated_at: 2026-05-28T00:00:00Z\n---\n',
      })
      const report = await room.import('yoi', { path: path.join(room.source, end) })
      expect(report).toMatchObject({ imported: 3, warnings: [] })
      expect(report.dropped).toEqual([expect.stringContaining('relation related to X')])
      expect(room.ids()).toEqual(['20260527-000002-e2e', '20260528-000000-mouse', '20260528-000000-quit'])
      expect(room.ticket('e2e')).toMatchObject({
        ticket: { title: 'E2E: ハーネス', legacyTicket: '00001KSKBP9YG', workflowState: 'inprogress', dependsOn: ['20260528-000000-quit'] },
        extra: { risk: 'high' },
      })
      expect(room.ticket('mouse').ticket).toMatchObject({ workflowState: 'intake', dependsOn: ['20260527-000002-e2e'] })
      expect(room.problems()).toEqual([])
    }
  })

  it('copies regular files of its artifacts and nothing else', async () => {
    const room = new Room()
    const at = '20260605-173322-roles'
    room.leave({
      [`${at}/item.md`]: item('status: open\n'),
      [`${at}/artifacts/.gitkeep`]: '',
      [`${at}/artifacts/in/a.bin`]: Buffer.from([0, 255, 10]),
    })
    fs.symlinkSync('/etc/passwd', path.join(room.source, at, 'artifacts', 'link'))
    fs.truncateSync(room.leave({ [`${at}/artifacts/large`]: '' }), 10 * 1024 * 1024 + 1)
    const { warnings } = await room.import('yoi')
    expect(fs.readdirSync(room.file(at, 'artifacts'), { recursive: true })).toEqual(['in', 'in/a.bin'])
    expect(fs.readFileSync(room.file(at, 'artifacts/in/a.bin'))).toEqual(Buffer.from([0, 255, 10]))
    expect(warnings).toEqual([expect.stringMatching(/link: not a regular file/), expect.stringMatching(/large: too large/)])
  })

  it('keeps it of an artifact that it may be run, and takes it when it is new', async () => {
    const room = new Room()
    const at = '20260605-173322-roles'
    const names = ['artifacts/run.sh', 'artifacts/text'] as const
    for (const name of [`${at}/item.md`, ...names.map(name => `${at}/${name}`)]) room.leave({ [name]: item('status: open\n') })
    const modes = (): readonly boolean[] => names.map(name => (fs.statSync(room.file(at, name)).mode & 0o100) !== 0)
    const script = path.join(room.source, at, names[0])
    fs.chmodSync(script, 0o755)
    await room.import('yoi')
    expect(modes()).toEqual([true, false])
    expect(await room.import('yoi')).toMatchObject({ unchanged: 1 })
    fs.chmodSync(script, 0o644)
    fs.chmodSync(path.join(room.source, at, names[1]), 0o755)
    expect(await room.import('yoi')).toMatchObject({ updated: 1, warnings: [] })
    expect(modes()).toEqual([false, true])
    expect(await room.import('yoi')).toMatchObject({ unchanged: 1 })
  })

  it('keeps what lies beside its item as artifacts, and overwrites none', async () => {
    const room = new Room()
    const at = '20260605-173322-roles'
    room.leave({
      [`${at}/item.md`]: item('status: open\n'),
      [`${at}/review.md`]: 'beside',
      [`${at}/delegation-intent.md`]: 'intent',
      [`${at}/relations.json`]: { relations: [{ kind: 'depends_on', target: at }] },
      [`${at}/notes/in/a.md`]: 'a',
      [`${at}/notes/.gitkeep`]: '',
      [`${at}/artifacts/review.md`]: 'real',
      [`${at}/artifacts/beside-item-twice`]: '1',
      [`${at}/artifacts/twice`]: '2',
      [`${at}/twice`]: '3',
    })
    fs.symlinkSync('/etc/passwd', path.join(room.source, at, 'link'))
    const { warnings, dropped } = await room.import('yoi')
    expect(warnings).toEqual([])
    expect(dropped.map(line => line.slice(room.source.length))).toEqual([
      `/${at}/link: not a regular file (a symbolic link is not followed)`,
      `/${at}/twice: there is an artifact of this name`,
    ])
    const names = [
      'beside-item-review.md',
      'beside-item-twice',
      'delegation-intent.md',
      'notes/in/a.md',
      'relations.json',
      'review.md',
      'twice',
    ]
    expect(names.map(name => room.text(at, `artifacts/${name}`).slice(0, 6))).toEqual(['beside', '1', 'intent', 'a', '{"rela', 'real', '2'])
    expect(room.ticket().ticket.dependsOn).toEqual([])
    expect(await room.import('yoi')).toMatchObject({ unchanged: 1 })
  })

  it('is warned of and left out when it is broken, and the others go on', async () => {
    const room = new Room()
    room.leave({
      'open/20260605-173322-roles/item.md': item('status: open\n').replace('title: Roles', 'title: CLI: roles #1'),
      'open/b/item.md': 'no front matter',
      'open/c/thread.md': 'x',
    })
    const { imported, warnings } = await room.import('yoi')
    expect(imported).toBe(1)
    expect(warnings).toEqual([
      expect.stringMatching(/c: it has a thread\.md and no item\.md/),
      expect.stringMatching(/roles\/item\.md: its front matter is not YAML/),
      expect.stringMatching(/b\/item\.md: it has no front matter/),
    ])
    expect(room.ticket().ticket.title).toBe('CLI: roles #1')
  })

  it('is left out where it is no UTF-8 or has no item of its own, and is named', async () => {
    const room = new Room()
    room.leave({
      'a/item.md': item('status: open\n'),
      'b/item.md': Buffer.from(item('status: open\n', 'caf\xe9\n'), 'latin1'),
      'c/item.md': item('status: open\n'),
      'c/thread.md': Buffer.from('one\ncaf\xe9\n', 'latin1'),
      'd/item.md': item('status: open\n'),
      'd/resolution.md': Buffer.from('caf\xe9\n', 'latin1'),
      'e/item.md/x': '',
      'g/resolution.md': 'Done.\n',
    })
    fs.mkdirSync(path.join(room.source, 'f'))
    fs.symlinkSync('../a/item.md', path.join(room.source, 'f/item.md'))
    const { imported, warnings } = await room.import('yoi')
    expect(imported).toBe(1)
    expect(warnings.map(warning => warning.slice(room.source.length + 1))).toEqual([
      'e: its item.md is a directory; left out',
      'f: its item.md is not a regular file (a symbolic link is not followed); left out',
      'g: it has a resolution.md and no item.md; left out',
      'a/item.md: its id is 20260605-173322-roles, but its directory is called a; the id counts',
      'b/item.md:15: it is not UTF-8; this ticket is left out',
      'c/thread.md:2: it is not UTF-8; this ticket is left out',
      'd/resolution.md:1: it is not UTF-8; this ticket is left out',
    ])
  })

  it('keeps its lists where its front matter is no YAML, and is read where tabs indent all of it', async () => {
    const said = async (text: string): Promise<unknown> => {
      const room = new Room()
      room.leave({ '20260605-173322-roles/item.md': text })
      const { warnings } = await room.import('yoi')
      expect(warnings).toEqual([expect.stringMatching(/its front matter is not YAML .*; it was read line by line$/)])
      const { title, workflowState, labels, assignee } = room.ticket().ticket
      return { title, workflowState, labels, assignee }
    }
    const wanted = { title: 'TUI: roles', workflowState: 'ready', labels: ['a: b', 'c'], assignee: null }
    const lines = ['title: TUI: roles', 'state: ready', 'labels:', "  - 'a: b'", '  - c', 'assignee:']
    expect(await said(`---\n${lines.join('\n')}\n---\n`)).toEqual(wanted)
    expect(await said(`---\n${lines.map(line => `\t${line}\n`).join('')}---\n`)).toEqual(wanted)
  })

  it('is not looked for behind a symbolic link, which is said', async () => {
    const room = new Room()
    room.leave({ 'open/20260605-173322-roles/item.md': item('status: open\n'), 'other/20260605-173323-first/item.md': item('') })
    const link = path.join(room.source, 'closed')
    fs.symlinkSync('other', link)
    fs.symlinkSync('other', path.join(room.source, 'latest'))
    const { warnings } = await room.import('yoi', { dryRun: true })
    expect(warnings).toContain(`${link}: not a directory (a symbolic link is not followed); left out`)
    expect(warnings.join('\n')).not.toContain('latest')
  })

  it('loses no value that is written in another way than its key has here', async () => {
    const room = new Room()
    const more = 'status: open\nqueued_by: {name: me}\ngates: [tests, lint]\nabout: |\n  one\n\n  two\n'
    room.leave({
      '20260605-173322-roles/item.md': item(more)
        .replace('title: Roles', 'title: [Draft]')
        .replace('assignee: null', 'assignee: [ann, bob]')
        .replace('labels: [a, b c]', 'labels: [a, {name: b}]'),
    })
    const { imported, dropped } = await room.import('yoi')
    expect(imported).toBe(1)
    expect(dropped).toEqual(
      ['title', 'labels', 'assignee', 'queued_by', 'about', 'gates'].map(
        key => `${key}: of 1 record, has no place in a ticket (kept in the event \`imported\`)`,
      ),
    )
    expect(room.events().at(-1)).toMatchObject({
      legacy: {
        title: ['Draft'],
        labels: ['a', { name: 'b' }],
        assignee: ['ann', 'bob'],
        queued_by: { name: 'me' },
        about: 'one\n\ntwo\n',
        gates: ['tests', 'lint'],
      },
    })
    expect(room.ticket()).toMatchObject({ problems: [], ticket: { title: 'roles', labels: ['a'], assignee: null, queuedBy: null } })
    expect(await room.import('yoi')).toMatchObject({ unchanged: 1 })
  })

  it('loses no line of front matter that is no YAML', async () => {
    const legacyOf = async (...lines: readonly string[]): Promise<unknown> => {
      const room = new Room()
      room.leave({ 'a/item.md': `---\ntitle: TUI: roles\n${lines.join('\n')}\n---\n` })
      await room.import('yoi')
      return room.events().at(-1)!['legacy']
    }
    expect(await legacyOf('# a comment', '', 'labels:', '  - c', 'state: ready')).toBeUndefined()
    for (const lines of [
      ['summary: |', '  one', '  two: three'],
      ['state: ready', '  - c'],
      ['kind: task', 'kind: bug'],
    ])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await legacyOf(...lines)).toEqual({ front_matter: `title: TUI: roles\n${lines.join('\n')}\n` })
  })

  it.each(['depends_on: [{id: 20260605-173323-first}]', 'depends_on: {on: 20260605-173323-first}'])(
    'is left out while what it waits for is no list of ids: %s',
    async line => {
      const room = new Room()
      room.leave({
        '20260605-173322-roles/item.md': item(`status: open\nworkflow_state: ready\n${line}\n`),
        '20260605-173323-first/item.md': item('status: open\n').replaceAll('173322-roles', '173323-first'),
      })
      const { imported, warnings } = await room.import('yoi')
      expect(imported).toBe(1)
      expect(warnings).toEqual([expect.stringMatching(/roles\/item\.md: its depends_on is no list of ids; this ticket is left out$/)])
    },
  )

  it('says which of its relations nobody understands', async () => {
    const room = new Room()
    const file = '20260605-173322-roles/artifacts/relations.json'
    room.leave({ '20260605-173322-roles/item.md': item('status: open\n') })
    for (const relations of [{ relations: [{ type: 'depends_on', to: 'x' }, 'y'] }, { links: [] }, ['y', 'z']]) {
      room.leave({ [file]: relations })
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { warnings } = await room.import('yoi', { dryRun: true })
      expect(warnings).toEqual([expect.stringMatching(/relations\.json: .*not a relation with kind and target/)])
    }
    room.leave({ [file]: { relations: [] } })
    expect(await room.import('yoi')).toMatchObject({ imported: 1, warnings: [] })
  })

  it('is left out while its relations cannot be read, since it would look as if it waited for nothing', async () => {
    const room = new Room()
    const relations = '20260605-173322-roles/artifacts/relations.json'
    room.leave({
      '20260605-173322-roles/item.md': item('status: open\nworkflow_state: ready\n'),
      [relations]: '{"version": 1,\n<<<<<<< HEAD\n',
      '20260605-173323-first/item.md': item('status: open\n').replaceAll('173322-roles', '173323-first'),
    })
    const { imported, warnings } = await room.import('yoi')
    expect(imported).toBe(1)
    expect(warnings).toEqual([expect.stringMatching(/roles\/artifacts\/relations\.json:2: not JSON: .*; this ticket is left out$/)])
    room.leave({ [relations]: { version: 1, relations: [{ kind: 'depends_on', target: '20260605-173323-first' }] } })
    expect(await room.import('yoi')).toMatchObject({ imported: 1, unchanged: 1, warnings: [] })
    expect(room.ticket('-roles').ticket.dependsOn).toEqual(['20260605-173323-first'])
  })

  it('is left out while a merge in it is unresolved, and so is what depends on it', async () => {
    const merge = '<<<<<<< HEAD\none\n=======\ntwo\n>>>>>>> b\n'
    const other = item('status: open\ndepends_on: [20260605-173322-roles]\n').replaceAll('roles', 'other')
    for (const files of [
      { 'item.md': item(`status: open\n${merge}`) },
      { 'item.md': item('status: open\n', `Text\n\n${merge}`) },
      { 'item.md': item('status: open\n'), 'thread.md': merge },
    ]) {
      const room = new Room()
      for (const [name, text] of Object.entries(files)) room.leave({ [`20260605-173322-roles/${name}`]: text })
      room.leave({
        '20260605-173322-other/item.md': other.replace('depends_on: [20260605-173322-other]', 'depends_on: [20260605-173322-roles]'),
      })
      const { imported, warnings } = await room.import('yoi')
      expect(imported).toBe(0)
      expect(warnings).toEqual([
        expect.stringMatching(/(?:item|thread)\.md:\d+: an unresolved merge; this ticket is left out$/),
        expect.stringMatching(/other: it depends on 20260605-173322-roles, which is there and cannot be read/),
      ])
    }
    const room = new Room()
    room.leave({ 'a/item.md': item('status: open\n', `Heading\n=======\n\n\`\`\`\n${merge}\`\`\`\n`) })
    expect(await room.import('yoi', { path: path.join(room.source, 'a') })).toMatchObject({ imported: 1 })
  })

  it('that is there twice comes over once, in the first run and in the next', async () => {
    const room = new Room()
    const short = (title: string): string => `---\ntitle: ${title}\nstate: done\ncreated_at: 2026-05-28T00:00:00Z\n---\n`
    room.leave({ 'tickets/open/00001KV0723PC/item.md': short('Open'), 'tickets/closed/00001KV0723PC/item.md': short('Closed') })
    const warnings = [
      `${room.source}/tickets/open/00001KV0723PC: ticket 00001KV0723PC is also in ${room.source}/tickets/closed/00001KV0723PC; this one is left out`,
    ]
    expect(await room.import('yoi')).toMatchObject({ imported: 1, warnings })
    expect(await room.import('yoi')).toMatchObject({ imported: 0, unchanged: 1, warnings })
    expect(room.ids()).toEqual(['20260528-000000-closed'])
  })

  it('says what is odd: status and folder, unknown words, an id that is not its directory', async () => {
    const room = new Room()
    room.leave({ 'pending/other/item.md': item('status: open\nworkflow_state: cooking\n').replace('P1', 'soon') })
    const { warnings } = await room.import('yoi')
    expect(warnings.map(warning => warning.replace(/^.*item\.md: /, ''))).toEqual([
      'its id is 20260605-173322-roles, but its directory is called other; the id counts',
      'its status is open, but it lies in pending/; the status counts',
      'its workflow state "cooking" is not known; intake is taken',
      'its priority "soon" is not known; P2 is taken',
    ])
  })
})

describe('a thread of yoi', () => {
  const parse = (text: string): { readonly events: ReturnType<typeof parseThread>; readonly warnings: readonly string[] } => {
    const notes = new Notes()
    return { events: parseThread(text, 'thread.md', notes), warnings: notes.warnings }
  }

  it('is a list of events with what their headers say', () => {
    const { events, warnings } = parse(
      thread(
        '<!-- event: create author: "yoi ticket" at: 2026-06-05T00:48:07Z -->\n\n## Created',
        '<!-- event: state_changed author: agent:x at: 2026-06-05T00:49:00Z from: intake to: ready reason: because it is field: workflow_state -->',
        "<!-- event: review author: 'it''s at: me' at: 2026-06-05T02:00:46Z status: request_changes -->\n\nNo.",
        '<!-- event: close author: hare at: 2026-06-05T02:24:23Z status: closed -->\n\n## Closed\n\nDone.',
      ),
    )
    expect(warnings).toEqual([])
    expect(events.map(({ type, at, author, fields }) => ({ type, at, author, ...fields }))).toEqual([
      { type: 'created', at: '2026-06-05T00:48:07Z', author: 'yoi ticket', message: '## Created' },
      {
        type: 'state_changed',
        at: '2026-06-05T00:49:00Z',
        author: 'agent:x',
        from: 'intake',
        to: 'ready',
        reason: 'because it is',
        field: 'workflow_state',
      },
      { type: 'review', at: '2026-06-05T02:00:46Z', author: "it's at: me", verdict: 'changes', message: 'No.' },
      { type: 'closed', at: '2026-06-05T02:24:23Z', author: 'hare', message: '## Closed\n\nDone.' },
    ])
  })

  it('keeps what a header says under keys that nobody knows', () => {
    const { events, warnings } = parse(
      thread(
        '<!-- event: comment author: y at: 2026-05-31T08:38:29+09:00 ref: abc pull: 12 -->\n\nx',
        '<!-- event: comment odd thread: 7 author: "z" by: hand at: 2026-06-01T00:00:00Z at: 2026-06-02T00:00:00Z -->\n\ny',
      ),
    )
    expect(warnings).toEqual([])
    expect(events.map(({ at, author, fields }) => [at, author, fields['legacy']])).toEqual([
      ['2026-05-30T23:38:29.000Z', 'y', { ref: 'abc', pull: '12' }],
      ['2026-06-01T00:00:00Z', 'z', { thread: '7', by: 'hand', at: '2026-06-02T00:00:00Z', header: 'odd' }],
    ])
  })

  it('has bodies with rules, comments, front matter and fenced threads in them', () => {
    const body =
      'a\n\n---\n\n## b\n\n<!-- not an event -->\n\n---\nid: x\n---\n\n```md\n<!-- event: comment author: no at: 2026-01-01T00:00:00Z -->\n\n---\n```'
    const { events } = parse(
      thread(
        `<!-- event: plan author: hare at: 2026-06-05T00:48:07Z -->\n\n${body}`,
        '<!-- event: comment author: hare at: 2026-06-05T00:48:08Z -->\n\nc',
      ),
    )
    expect(events.map(({ fields }) => fields['message'])).toEqual([body, 'c'])
  })

  it('is not swallowed by a fence that nobody closed', () => {
    const one = '<!-- event: comment author: a at: 2026-06-05T00:48:07Z -->\n\n```text\nleft open'
    const two = '<!-- event: comment author: b at: 2026-06-05T00:48:08Z -->\n\n```sh\nls\n```'
    expect(parse(thread(one, two)).events.map(({ author }) => author)).toEqual(['a', 'b'])
    expect(parse(thread(one)).events).toHaveLength(1)
  })

  it('may lack a rule between two events, end in CRLF, and begin with text', () => {
    const { events, warnings } = parse(
      'Hello.\r\n\r\n<!-- event: comment author: a at: 2026-06-05T00:48:07Z -->\r\n\r\nx\r\n\r\n<!-- event: comment author: b at: soon 2026-06-05 -->\r\n\r\ny\r\n\r\n---\r\n\r\n<!-- event: comment author: c at: soon -->\r\n\r\nz',
    )
    expect(events.map(({ author, at, fields }) => [author, at, fields['message']])).toEqual([
      [null, null, 'Hello.'],
      ['a', '2026-06-05T00:48:07Z', 'x\n\n<!-- event: comment author: b at: soon 2026-06-05 -->\n\ny'],
      ['c', null, 'z'],
    ])
    expect(warnings).toEqual([
      expect.stringContaining('text before the first event'),
      expect.stringMatching(/^thread\.md:13: the time of this event/),
    ])
  })
})
