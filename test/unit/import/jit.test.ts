import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseDefinition } from '../../../src/service/gate/definition.ts'
import fs from 'node:fs'
import { ulid } from '../../../src/core/ulid.ts'
import { newestResults } from '../../../src/service/gate/results.ts'
import { appendEvents } from '../../../src/service/ticket/events.ts'
import { mintId } from '../../../src/service/ticket/identify.ts'
import { readSource } from '../../../src/service/ticket/import/import.ts'
import { planTickets } from '../../../src/service/ticket/import/plan.ts'
import { nowMs, Room } from './room.ts'

const a = '003f9f83-4e8a-4a5f-8e48-44f6f48a7c17'
const b = '95128759-9e96-4adf-8c3a-1cc26a653670'
const gone = 'dc2a9d91-499b-4c9b-8474-7cd1ea6ee4ba'

const issue = (more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({
  id: a,
  title: 'Support short hash issue IDs in CLI',
  description: 'Enable users.',
  state: 'done',
  priority: 'high',
  assignee: 'agent:copilot-cli',
  dependencies: [],
  gates_required: [],
  gates_status: {},
  context: {},
  documents: [],
  labels: ['type:task', 'epic:agent-friendly'],
  created_at: '2025-12-21T22:57:12.516836772Z',
  updated_at: '2025-12-21T23:00:27.670755149Z',
  ...more,
})

const gates = {
  gates: {
    tests: {
      version: 1,
      key: 'tests',
      title: 'All Tests Pass',
      description: 'Full test suite must pass',
      stage: 'postcheck',
      mode: 'auto',
      checker: {
        type: 'exec',
        command: 'cargo test --lib',
        timeout_seconds: 300,
        working_dir: 'crates',
        env: { A: '1' },
        pass_context: true,
        prompt_file: 'p.md',
      },
      priority: 100,
      reserved: {},
      auto: true,
      example_integration: null,
    },
    'tdd-reminder': { key: 'tdd-reminder', title: 'TDD', description: 'First', stage: 'precheck', mode: 'manual', auto: false },
  },
}

describe('an issue of jit', () => {
  it('becomes a ticket with its id in legacy_ticket', async () => {
    const room = new Room()
    room.leave({ [`issues/${a}.json`]: issue({ documents: [{ path: 'dev/plan.md' }] }) })
    expect(await room.import('jit')).toMatchObject({
      imported: 1,
      warnings: [],
      mapped: { states: { done: { 'closed/done': 1 } }, priorities: { high: { P1: 1 } } },
    })
    expect(room.ticket()).toMatchObject({
      problems: [],
      body: 'Enable users.\n',
      ticket: {
        id: '20251221-225712-support-short-hash-issue-ids-in-cli',
        status: 'closed',
        workflowState: 'done',
        kind: 'task',
        priority: 'P1',
        labels: ['type:task', 'epic:agent-friendly'],
        assignee: 'agent:copilot-cli',
        createdAt: '2025-12-21T22:57:12.516Z',
        updatedAt: '2025-12-21T23:00:27.670Z',
        legacyTicket: a,
      },
    })
    expect(room.text(room.id(), 'resolution.md')).toBe('Imported as done from jit.\n')
    expect(room.events().at(-1)).toMatchObject({
      type: 'imported',
      from: 'jit',
      source_id: a,
      actor: 'human:me',
      legacy: { documents: [{ path: 'dev/plan.md' }] },
    })
  })

  it.each([
    ['backlog', 'open', 'intake'],
    ['ready', 'open', 'ready'],
    ['in_progress', 'open', 'inprogress'],
    ['gated', 'open', 'inprogress'],
    ['rejected', 'closed', 'done'],
    ['archived', 'closed', 'done'],
    ['cooking', 'open', 'intake'],
  ])('that is %s is %s and %s', async (state, status, workflowState) => {
    const room = new Room()
    room.leave({ 'x.json': issue({ state, labels: ['resolution:wont-fix', 'type:BUG'], priority: 'critical' }) })
    const { warnings } = await room.import('jit')
    expect(room.ticket()).toMatchObject({ problems: [], ticket: { status, workflowState, kind: 'bug', priority: 'P0' } })
    expect(warnings).toHaveLength(state === 'cooking' ? 1 : 0)
    if (status === 'closed') expect(room.text(room.id(), 'resolution.md')).toMatch(new RegExp(`^${state}.*Reason: wont-fix\\.`, 'is'))
    else expect(fs.existsSync(room.file(room.id(), 'resolution.md'))).toBe(false)
  })

  it('has what has no place here in its event, and in the list', async () => {
    const room = new Room()
    room.leave({
      '.jit/issues/a.json': issue({ documents: [{ path: 'p' }], context: { note: 'n' } }),
      '.jit/issues/b.json': issue({ id: b, documents: [{ path: 'q' }] }),
      '.jit/gate-runs/r1/result.json': {},
      '.jit/gate-runs/r2/result.json': {},
      'shared/gates.json': gates,
    })
    fs.symlinkSync('../shared/gates.json', path.join(room.source, '.jit/gates.json'))
    const { warnings, dropped } = await room.import('jit')
    expect(warnings).toEqual([`${room.source}/.jit/gates.json: a symbolic link is not followed; left out`])
    expect(dropped).toEqual([
      'context: of 1 record, has no place in a ticket (kept in the event `imported`)',
      'documents: of 2 records, has no place in a ticket (kept in the event `imported`)',
      `${room.source}/.jit/gate-runs: 2 runs of gates, and what they printed`,
    ])
    expect(room.ids().map(id => room.events(id).at(-1)!['legacy'])).toEqual([
      { context: { note: 'n' }, documents: [{ path: 'p' }] },
      { documents: [{ path: 'q' }] },
    ])
  })

  it('that was made on a day is of that day', async () => {
    const room = new Room()
    room.leave({ 'a.json': issue({ created_at: '2025-12-20' }) })
    expect((await room.import('jit')).warnings).toEqual([])
    expect(room.ticket().ticket).toMatchObject({
      id: '20251220-000000-support-short-hash-issue-ids-in-cli',
      createdAt: '2025-12-20T00:00:00Z',
    })
  })

  it('has the events of its log, and those of no issue are counted', async () => {
    const room = new Room()
    const line = (more: object): string => `${JSON.stringify({ timestamp: '2026-01-01T00:00:00Z', ...more })}\n`
    room.leave({
      '.jit/issues/a.json': issue(),
      '.jit/events.jsonl':
        line({ id: '1', type: 'issue_completed', issue_id: a }) +
        line({ id: '2', type: 'issue_deleted', issue_id: gone }) +
        line({ id: '3', type: 'gate_definition_created', gate_key: 'g' }),
    })
    expect(await room.import('jit')).toMatchObject({
      warnings: [],
      dropped: [expect.stringMatching(/\.jit\/events\.jsonl: 2 events of no issue in this source$/)],
    })
    expect(room.events().map(({ type }) => type)).toEqual(['created', 'issue_completed', 'imported'])
  })

  it('is not looked for elsewhere when the store has none', async () => {
    const room = new Room()
    room.leave({ 'tsconfig.json': { compilerOptions: {} }, '.jit/gates.json': {} })
    fs.mkdirSync(path.join(room.source, '.jit/issues'))
    await expect(room.import('jit')).rejects.toMatchObject({
      message: expect.stringMatching(/source: nothing to import from jit was found$/) as unknown,
    })
  })

  it('that was archived before it was done is put aside, and what depends on it goes on waiting', async () => {
    for (const [from, status, workflowState] of [
      ['in_progress', 'pending', 'inprogress'],
      ['backlog', 'pending', 'intake'],
      ['cooking', 'pending', 'intake'],
      ['done', 'closed', 'done'],
      ['rejected', 'closed', 'done'],
    ]) {
      const room = new Room()
      room.leave({ 'x.json': issue({ state: 'archived', archived_from: from }) })
      const { warnings, mapped } = await room.import('jit')
      expect(warnings).toEqual([])
      expect(room.ticket().ticket, from).toMatchObject({ status, workflowState })
      expect(fs.existsSync(room.file(room.id(), 'resolution.md'))).toBe(status === 'closed')
      const [said, legacy] =
        status === 'closed' ? ['archived', { archived_from: from }] : [`archived (${from})`, { state: 'archived', archived_from: from }]
      expect(Object.keys(mapped.states)).toEqual([said])
      expect(room.events().at(-1)!['legacy']).toEqual(legacy)
    }
  })

  it('that was archived is as its log says where it does not say itself', async () => {
    const room = new Room()
    const move = (id: string, from: string, to: string, at: string): string =>
      `${JSON.stringify({ type: 'issue_state_changed', id: `${id}${at}`, issue_id: id, timestamp: `2026-01-0${at}T00:00:00Z`, from, to })}\n`
    room.leave({
      '.jit/issues/a.json': issue({ state: 'archived' }),
      '.jit/issues/b.json': issue({ id: b, title: 'B', state: 'archived' }),
      '.jit/issues/c.json': issue({ id: 'c', title: 'C', state: 'ready', dependencies: [a, b] }),
      '.jit/events.jsonl':
        move(a, 'in_progress', 'archived', '3') +
        move(a, 'done', 'archived', '1') +
        move(a, 'archived', 'in_progress', '2') +
        move(b, 'done', 'archived', '1'),
    })
    const { warnings, mapped } = await room.import('jit')
    expect(warnings).toEqual([])
    expect(mapped.states).toMatchObject({ archived: { 'closed/done': 1 }, 'archived (in_progress)': { 'pending/inprogress': 1 } })
    expect(room.ticket('-cli').ticket).toMatchObject({ status: 'pending', workflowState: 'inprogress' })
    expect(room.ticket('-b').ticket).toMatchObject({ status: 'closed', workflowState: 'done' })
    expect(room.text(room.id('-b'), 'resolution.md')).toContain('It was done before.')
  })

  it('that was archived, nobody knows when, names what it holds back no more', async () => {
    const room = new Room()
    room.leave({
      'a.json': issue({ state: 'archived' }),
      'b.json': issue({ id: b, state: 'ready', dependencies: [a] }),
      'c.json': issue({ id: gone, state: 'done', dependencies: [a] }),
    })
    expect((await room.import('jit')).warnings).toEqual([
      `${room.source}/a.json: it is archived, and nothing says whether it was done; these wait for it no more: ${b}`,
    ])
  })

  it('keeps dependencies inside, and says which lead outside', async () => {
    const room = new Room()
    room.leave({ [`issues/${a}.json`]: issue({ dependencies: [b, gone] }), [`issues/${b}.json`]: issue({ id: b, title: '日本語' }) })
    const { warnings, dropped } = await room.import('jit')
    expect(room.ticket('-cli').ticket.dependsOn).toEqual(['20251221-225712-ticket'])
    expect(room.events('-cli').at(-1)).toMatchObject({ dropped_dependencies: [gone] })
    expect(warnings).toEqual([expect.stringMatching(/^1 dependency of 1 ticket leads to what is not in this source/)])
    expect(dropped).toEqual([expect.stringContaining(gone)])
  })

  it('waits for a dependency that is there and broken', async () => {
    const room = new Room()
    const c = 'cccccccc-0000-4000-8000-000000000001'
    room.leave({
      [`issues/${a}.json`]: '<<<<<<< HEAD\n{}\n',
      [`issues/${b}.json`]: issue({ id: b, title: 'B', dependencies: [a] }),
      [`issues/${c}.json`]: issue({ id: c, title: 'C', dependencies: [b] }),
      [`issues/${gone}.json`]: issue({ id: gone, title: 'D' }),
    })
    const file = path.join(room.source, `issues/${a}.json`)
    expect(await room.import('jit')).toMatchObject({
      imported: 1,
      skipped: 2,
      warnings: [
        expect.stringMatching(/not JSON/),
        `20251221-225712-b: it depends on ${a}, which is there and cannot be read: ${file}; left out`,
        '20251221-225712-c: it depends on 20251221-225712-b, which is left out; left out',
      ],
      dropped: [],
    })
    room.leave({ [`issues/${a}.json`]: issue() })
    expect(await room.import('jit')).toMatchObject({ imported: 3, unchanged: 1, warnings: [] })
    const before = room.snapshot()
    room.leave({
      [`issues/${a}.json`]: '',
      [`issues/${gone}.json`]: issue({ id: gone, title: 'D', dependencies: ['e'] }),
      'issues/e.json': '',
    })
    expect(await room.import('jit')).toMatchObject({
      unchanged: 2,
      skipped: 1,
      warnings: expect.arrayContaining([expect.stringMatching(/-d: it depends on e, which is there .*; it stays as it is$/)]) as unknown,
    })
    expect(room.snapshot()).toEqual(before)
    expect(room.ticket('-b').ticket.dependsOn).toEqual([room.id('-cli')])
  })

  it('finds what was outside in an earlier import, and takes it when it comes later', async () => {
    const room = new Room()
    room.leave({ [`issues/${a}.json`]: issue({ dependencies: [b] }) })
    await room.import('jit')
    expect(room.ticket().ticket.dependsOn).toEqual([])
    room.leave({ [`issues/${b}.json`]: issue({ id: b, title: 'B' }) })
    expect(await room.import('jit')).toMatchObject({ imported: 1, updated: 1, warnings: [] })
    expect(room.ticket('-cli').ticket.dependsOn).toEqual(['20251221-225712-b'])
    const alone = room.leave({ 'alone/c.json': issue({ id: gone, title: 'C', dependencies: [b] }) })
    expect(await room.import('jit', { path: alone })).toMatchObject({ imported: 1, warnings: [] })
    expect(room.ticket('-c').ticket.dependsOn).toEqual(['20251221-225712-b'])
  })

  it('names a cycle of the source', async () => {
    const room = new Room()
    room.leave({ 'a.json': issue({ title: 'A', dependencies: [b] }), 'b.json': issue({ id: b, title: 'B', dependencies: [a] }) })
    const { warnings } = await room.import('jit')
    expect(warnings).toEqual([
      'dependencies form a cycle, as they do in the source: 20251221-225712-a → 20251221-225712-b → 20251221-225712-a',
    ])
    expect(room.ticket('-a').ticket.dependsOn).toEqual(['20251221-225712-b'])
  })

  it('of the same second and title gets the next second, the same in every run', async () => {
    const ids = async (files: Readonly<Record<string, unknown>>): Promise<unknown> => {
      const room = new Room()
      room.leave(files)
      await room.import('jit')
      return room.ids().map(id => [id, room.ticket(id).ticket.legacyTicket])
    }
    const first = await ids({ 'x.json': issue({ title: 'A' }), 'y.json': issue({ title: 'A', id: b }) })
    expect(first).toEqual([
      ['20251221-225712-a', a],
      ['20251221-225713-a', b],
    ])
    expect(await ids({ 'x.json': issue({ title: 'A', id: b }), 'y.json': issue({ title: 'A' }) })).toEqual(first)
  })

  it('of the same second and title as many others is not compared with each of them', () => {
    const room = new Room()
    const [number, there] = [100, 300]
    for (let at = 0; at < number; at++) room.leave({ [`issues/${at}.json`]: issue({ id: `${1000 + at}`, title: '日本語' }) })
    const idAt = (second: number): string => mintId('ticket', Date.UTC(2025, 11, 21, 22, 57, 12 + second), () => false)
    const taken = new Set(Array.from({ length: there }, (_, second) => idAt(second)))
    let asked = 0
    const isTaken = (id: string): boolean => {
      asked++
      return taken.has(id)
    }
    const { tickets, notes } = readSource('jit', room.source)
    const { planned } = planTickets(tickets, 'jit', [], isTaken, key => key, notes)
    expect(planned.map(({ ticket }) => ticket.id)).toEqual(tickets.map((_, at) => idAt(there + at)))
    expect(asked).toBe(number + there)
  })

  it('is found beside broken files and others, which are named', async () => {
    const room = new Room()
    room.leave({
      '.jit/issues/a.json': issue(),
      '.jit/issues/b.json': '{\n"id": 1,\n}',
      '.jit/issues/c.json': [1],
      '.jit/issues/d.json': issue(),
      '.jit/issues/.tmp.json': '{',
    })
    const { imported, warnings } = await room.import('jit')
    expect(imported).toBe(1)
    expect(warnings.map(warning => warning.slice(room.source.length))).toEqual([
      expect.stringMatching(/^\/\.jit\/issues\/b\.json:3: not JSON: .*; left out$/),
      '/.jit/issues/c.json: not an issue of jit; left out',
      expect.stringMatching(/d\.json: issue 003f9f83-.* is also in .*a\.json/),
    ])
  })

  it('is the one of the file that is called so, and not of a copy beside it', async () => {
    const room = new Room()
    room.leave({
      [`issues/${a} copy.json`]: issue({ title: 'Copy' }),
      [`issues/${a}.json`]: issue(),
      'issues/z.json': issue({ title: 'Z' }),
    })
    const { warnings } = await room.import('jit')
    expect(room.ticket().ticket.title).toBe('Support short hash issue IDs in CLI')
    expect(warnings).toEqual([
      expect.stringMatching(/copy\.json: issue 003f9f83-\S+ is also in \S+7c17\.json; this one is left out$/),
      expect.stringMatching(/z\.json: issue 003f9f83-\S+ is also in \S+7c17\.json; this one is left out$/),
    ])
  })

  it('is said to be left out where a link or a directory has its name, and so is what depends on it', async () => {
    const room = new Room()
    room.leave({ 'elsewhere.json': issue(), 'issues/b.json': issue({ id: b, dependencies: [a] }), 'issues/c.json': issue({ id: 'c' }) })
    fs.symlinkSync('../elsewhere.json', path.join(room.source, `issues/${a}.json`))
    fs.mkdirSync(path.join(room.source, 'issues/d.json'))
    const { imported, warnings } = await room.import('jit')
    expect(imported).toBe(1)
    expect(warnings.map(warning => warning.replaceAll(room.source, ''))).toEqual([
      '/issues/d.json: not a regular file (a symbolic link is not followed); left out',
      `/issues/${a}.json: not a regular file (a symbolic link is not followed); left out`,
      expect.stringMatching(/it depends on 003f9f83-\S+, which is there and cannot be read: .*; left out$/),
    ])
  })

  it('that is no UTF-8, or an unfinished merge, is left out, and its line is named', async () => {
    const room = new Room()
    room.leave({
      'issues/a.json': Buffer.from('{\n"id": "a",\n"title": "caf\xe9", "state": "ready"}', 'latin1'),
      'issues/b.json': '{\n<<<<<<< HEAD\n"id": "b"\n=======\n"id": "b"\n>>>>>>> x\n}',
      'issues/c.json': issue(),
    })
    const { imported, warnings } = await room.import('jit')
    expect(imported).toBe(1)
    expect(warnings.map(warning => warning.slice(room.source.length))).toEqual([
      '/issues/a.json:3: it is not UTF-8; left out',
      '/issues/b.json:2: not JSON: an unresolved merge; left out',
    ])
  })

  it('keeps a list or an object where it has a text', async () => {
    const room = new Room()
    const odd = { assignee: { type: 'agent', id: 'x' }, description: ['one', 'two'] }
    room.leave({ 'issues/a.json': issue(odd) })
    const { dropped } = await room.import('jit')
    for (const key of Object.keys(odd))
      expect(dropped).toContain(`${key}: of 1 record, has no place in a ticket (kept in the event \`imported\`)`)
    expect(room.events().at(-1)).toMatchObject({ legacy: odd })
  })

  it('loses no words and times without a word', async () => {
    const room = new Room()
    room.leave({
      'issues/a.json': issue({ dependencies: b, labels: ['x', null], gates_required: [{ key: 'g' }], created_at: '2026-02-30T00:00:00Z' }),
      'issues/b.json': issue({ id: b, created_at: 1767225600, updated_at: '2026-01-02 03:04:05' }),
    })
    const { warnings } = await room.import('jit')
    expect(warnings.map(warning => warning.slice(room.source.length))).toEqual([
      '/issues/a.json: its labels hold something that is no word; left out',
      '/issues/a.json: its created_at "2026-02-30T00:00:00Z" is no time; left out',
      '/issues/a.json: its dependencies are no list; left out',
      '/issues/a.json: its gates_required hold something that is no word; left out',
      '/issues/b.json: its created_at 1767225600 is no time; left out',
    ])
    expect(room.ids().map(id => id.slice(0, 15))).toEqual(['20251221-230027', '20260102-030405'])
  })
})

describe('gates of jit', () => {
  it('come from gates.toml, which newer ones have instead', async () => {
    const room = new Room()
    room.leave({
      '.jit/gates.toml': [
        '[[gates]]\nversion = 1\nkey = "jit-validate"\ntitle = "JIT Validate"\ndescription = "Must pass"\nstage = "precheck"',
        'mode = "auto"\npriority = 100\nauto = true\n\n[gates.checker]\ntype = "exec"\ncommand = \'jit validate "$JIT_ISSUE_ID"\'',
        'timeout_seconds = 120\npass_context = false\nprompt_file = "./p.md"\n\n[gates.checker.env]\nREVIEWER = "codex exec"\n',
        '[gates.reserved]\n\n[[gates]]\nkey = "read"\ntitle = "Read"\ndescription = ""\nstage = "postcheck"\nmode = "manual"\nauto = false\n',
      ].join('\n'),
      [`.jit/issues/${a}.json`]: issue({ gates_required: ['jit-validate', 'read'] }),
    })
    expect(await room.import('jit')).toMatchObject({ imported: 1, gates: 2, warnings: [] })
    const file = path.join(room.root, '.leasehold/gates/jit-validate.yaml')
    expect(parseDefinition(fs.readFileSync(file, 'utf8'), 'jit-validate', file)).toEqual({
      key: 'jit-validate',
      title: 'JIT Validate',
      description: 'Must pass',
      stage: 'pre',
      mode: 'auto',
      command: 'jit validate "$JIT_ISSUE_ID"',
      timeoutMs: 120_000,
      env: { REVIEWER: 'codex exec' },
      workingDir: null,
      passContext: false,
      legacy: { from: 'jit', version: 1, priority: 100, prompt_file: './p.md' },
    })
    expect(await room.import('jit')).toMatchObject({ unchanged: 1, gates: 0, warnings: [] })
    room.leave({ '.jit/gates.json': gates })
    expect(await room.import('jit')).toMatchObject({ gates: 0, dropped: [expect.stringMatching(/gates\.json: jit reads gates\.toml/)] })
    room.leave({ '.jit/gates.toml': '[[gates]]\ntitle = "Nobody"\n' })
    expect(await room.import('jit')).toMatchObject({
      gates: 0,
      warnings: [expect.stringMatching(/gates\.toml: a gate without a key; left out$/)],
    })
    room.leave({ '.jit/gates.toml': '[[gates]]\nkey = "a\n' })
    await expect(room.import('jit')).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/gates\.toml:2: not TOML: [^;]+; nothing was imported$/) as unknown,
    })
  })

  it('come with their definitions, their results and who gave them', async () => {
    const room = new Room()
    room.leave({
      'gates.json': gates,
      [`issues/${a}.json`]: issue({
        gates_required: ['tests', 'tdd-reminder', 'nobody'],
        gates_status: {
          tests: { status: 'failed', updated_by: 'auto:executor', updated_at: '2025-12-21T22:58:58.294829740Z' },
          'tdd-reminder': { status: 'passed', updated_by: null, updated_at: '2025-12-21T22:08:06.583895170Z' },
          nobody: { status: 'pending', updated_by: null, updated_at: '2025-12-21T22:08:06Z' },
        },
      }),
    })
    const { warnings, gates: written } = await room.import('jit')
    expect(written).toBe(3)
    expect(warnings).toEqual([
      'gate nobody: 1 ticket needs it, and nothing says what it is; it becomes a manual one, passed by hand; to let a command decide: lh gate define nobody --command "…"',
    ])
    expect(room.ticket().ticket.gates).toEqual(['tests', 'tdd-reminder', 'nobody'])
    const [created, first, second, imported] = room.events()
    expect(created).toMatchObject({ type: 'created', at: '2025-12-21T22:57:12.516Z', actor: 'import:jit' })
    expect(first).toMatchObject({
      type: 'gate',
      gate: 'tdd-reminder',
      stage: 'pre',
      result: 'passed',
      at: '2025-12-21T22:08:06.583Z',
      actor: 'import:jit',
    })
    expect(second).toMatchObject({ type: 'gate', gate: 'tests', stage: 'post', result: 'failed', actor: 'auto:executor' })
    expect(imported!.type).toBe('imported')
    const file = path.join(room.root, '.leasehold/gates/tests.yaml')
    expect(parseDefinition(fs.readFileSync(file, 'utf8'), 'tests', file)).toEqual({
      key: 'tests',
      title: 'All Tests Pass',
      description: 'Full test suite must pass',
      stage: 'post',
      mode: 'auto',
      command: 'cargo test --lib',
      timeoutMs: 300_000,
      env: { A: '1' },
      workingDir: 'crates',
      passContext: true,
      legacy: { from: 'jit', version: 1, priority: 100, prompt_file: 'p.md' },
    })
    expect(fs.readFileSync(path.join(room.root, '.leasehold/gates/tdd-reminder.yaml'), 'utf8')).toMatch(/stage: pre\nmode: manual\n/)
  })

  it('that are defined already stay as they are', async () => {
    const room = new Room()
    room.leave({ 'gates.json': gates, 'issues/a.json': issue() })
    fs.mkdirSync(path.join(room.root, '.leasehold/gates'), { recursive: true })
    fs.writeFileSync(path.join(room.root, '.leasehold/gates/tests.yaml'), 'command: make\n')
    const { warnings, gates: written } = await room.import('jit')
    expect(written).toBe(1)
    expect(warnings).toEqual([expect.stringMatching(/tests\.yaml: it says something else than the source \(.*command.*\); it stays/)])
    expect(fs.readFileSync(path.join(room.root, '.leasehold/gates/tests.yaml'), 'utf8')).toBe('command: make\n')
  })

  it('with odd keys, limits, directories and variables are mended or left out, and named', async () => {
    const room = new Room()
    const checker = { command: 'true', timeout_seconds: 1e9, working_dir: '../up', env: { 'a-b': '1' } }
    room.leave({
      'gates.json': {
        'My Gate': { stage: 'postcheck', mode: 'auto', checker },
        empty: { mode: 'auto' },
        long: { mode: 'auto', checker: { command: 'x'.repeat(20_000) } },
      },
      'issues/a.json': issue({ gates_required: ['My Gate'] }),
    })
    const { warnings } = await room.import('jit')
    expect(room.ticket().ticket.gates).toEqual(['my-gate'])
    expect(warnings).toEqual([
      expect.stringMatching(/gate empty is automatic and has no command/),
      expect.stringMatching(/gate My Gate: it becomes my-gate/),
      expect.stringMatching(/gate My Gate: its variable "a-b"/),
      expect.stringMatching(/gate My Gate: its time limit of 1000000000 s/),
      expect.stringMatching(/gate My Gate: its directory \.\.\/up is outside/),
      expect.stringMatching(/gate long: the command has more than 16384 bytes; this gate is left out/),
    ])
  })

  it('whose keys would become the same have one each, the same in every import', async () => {
    const long = 'x'.repeat(70)
    const keys = ['My Gate', 'my gate', 'my-gate', '単体テスト', '結合テスト', 'テスト unit', `${long}1`, `${long}2`, 'Café']
    const imported = async (order: readonly string[]): Promise<Readonly<Record<string, string>>> => {
      const room = new Room()
      const status = Object.fromEntries(order.map(key => [key, { status: 'passed', updated_at: '2025-12-21T22:58:58Z' }]))
      room.leave({
        'gates.json': Object.fromEntries(order.slice(2).map(key => [key, { mode: 'manual', title: key }])),
        'issues/a.json': issue({ gates_required: order, gates_status: status }),
      })
      await room.import('jit')
      expect(await room.import('jit')).toMatchObject({ unchanged: 1 })
      const ours = room.ticket().ticket.gates
      expect(newestResults(room.events()).size).toBe(order.length)
      for (const key of ours) expect(fs.existsSync(path.join(room.root, `.leasehold/gates/${key}.yaml`))).toBe(true)
      return Object.fromEntries(order.map((key, at) => [key, ours[at]!]))
    }
    const first = await imported(keys)
    expect(new Set(Object.values(first)).size).toBe(keys.length)
    expect(first).toMatchObject({
      'my-gate': 'my-gate',
      'My Gate': expect.stringMatching(/^my-gate-[0-9a-f]{8}$/) as unknown,
      単体テスト: expect.stringMatching(/^gate-[0-9a-f]{8}$/) as unknown,
      'テスト unit': expect.stringMatching(/^unit-[0-9a-f]{8}$/) as unknown,
      [`${long}1`]: expect.stringMatching(/^x{55}-[0-9a-f]{8}$/) as unknown,
      Café: 'cafe',
    })
    expect(await imported(keys.toReversed())).toEqual(first)
  })

  it('and their history come from the log of jit, each result once', async () => {
    const room = new Room()
    const event = (type: string, id: string, timestamp: string, more: object = {}): string =>
      `${JSON.stringify({ type, id, issue_id: a, timestamp, ...more })}\n`
    room.leave({
      '.jit/events.jsonl': [
        event('issue_created', 'e1', '2025-12-21T22:57:12.5Z', { title: 'x' }),
        event('gate_failed', 'e2', '2025-12-21T22:58:00Z', { gate_key: 'tests', updated_by: 'auto:executor' }),
        event('issue_claimed', 'e3', '2025-12-21T22:57:30Z', { assignee: 'agent:claude' }),
        event('gate_passed', 'e4', '2025-12-21T22:58:58.3Z', { gate_key: 'tests' }),
        event('issue_state_changed', 'e5', '2025-12-21T22:59:00Z', { from: 'in_progress', to: 'done' }),
        event('issue_state_changed', 'e5', '2025-12-21T22:59:00Z', { from: 'in_progress', to: 'done' }),
        `{"type":"document_archived","id":"e6","timestamp":"2025-12-21T22:59:00Z"}\n`,
        'broken\n',
      ].join(''),
      '.jit/issues/a.json': issue({
        gates_status: { tests: { status: 'passed', updated_by: 'auto:executor', updated_at: '2025-12-21T22:58:58.294829740Z' } },
      }),
    })
    const { warnings } = await room.import('jit')
    expect(warnings).toEqual([expect.stringMatching(/events\.jsonl:8: not a JSON object/)])
    expect(room.events().map(({ type, result, actor, to }) => [type, result ?? to, actor])).toEqual([
      ['created', undefined, 'import:jit'],
      ['claimed', undefined, 'agent:claude'],
      ['gate', 'failed', 'auto:executor'],
      ['gate', 'passed', 'auto:executor'],
      ['state_changed', 'done', 'import:jit'],
      ['imported', undefined, 'human:me'],
    ])
  })

  describe('stand as gates_status says', () => {
    const at = '2025-12-21T22:58:58.294829740Z'
    const passed = { tests: { status: 'passed', updated_by: 'auto:executor', updated_at: at } }
    const pending = { tests: { status: 'pending', updated_by: null, updated_at: at } }
    const log = `${JSON.stringify({ type: 'gate_passed', id: 'e4', issue_id: a, timestamp: '2025-12-21T22:58:58.3Z', gate_key: 'tests' })}\n`

    const leave = (room: Room, status: unknown, more: Readonly<Record<string, unknown>> = {}): void => {
      room.leave({ '.jit/issues/a.json': issue({ gates_required: ['tests'], gates_status: status, ...more }) })
    }
    const state = (room: Room): unknown => newestResults(room.events()).get('tests')?.['result']
    const results = (room: Room): readonly unknown[] => room.events().filter(({ type }) => type === 'gate')
    /** A result under a lease, as `lh gate pass` gives it. */
    const give = (room: Room, result: string): void => {
      const more = { gate: 'tests', stage: 'post', result, lease_id: 'l', token: 1 }
      appendEvents(path.dirname(room.file(room.id(), 'x')), [
        { id: ulid(nowMs + 1000, new Uint8Array(10)), type: 'gate', at: '2026-11-21T10:00:01Z', actor: 'human:me', ...more },
      ])
    }

    it('and not as the log does', async () => {
      const room = new Room()
      room.leave({ '.jit/events.jsonl': log })
      for (const said of [pending, {}]) leave(room, said)
      await room.import('jit')
      expect(results(room)).toHaveLength(1)
      expect(state(room)).toBeUndefined()
    })

    it('also when it is pending or gone again', async () => {
      for (const said of [pending, {}]) {
        const room = new Room()
        leave(room, passed)
        await room.import('jit')
        expect(state(room)).toBe('passed')
        leave(room, said)
        expect(await room.import('jit', { nowMs: nowMs + 1000 })).toMatchObject({ updated: 1, warnings: [] })
        expect(state(room)).toBeUndefined()
        leave(room, passed)
        await room.import('jit', { nowMs: nowMs + 2000 })
        expect([state(room), results(room).length]).toEqual(['passed', 1])
      }
    })

    it('with each result once, whichever of log and status came first', async () => {
      const [one, two] = [new Room(), new Room()]
      leave(one, passed)
      await one.import('jit')
      leave(one, pending)
      one.leave({ '.jit/events.jsonl': log })
      await one.import('jit', { nowMs: nowMs + 1000 })
      expect([state(one), results(one).length]).toEqual([undefined, 1])
      leave(two, pending)
      two.leave({ '.jit/events.jsonl': log })
      await two.import('jit')
      leave(two, passed)
      await two.import('jit', { nowMs: nowMs + 1000 })
      expect([state(two), results(two).length]).toEqual(['passed', 1])
    })

    it('except where they were decided here since', async () => {
      const room = new Room()
      leave(room, pending)
      await room.import('jit')
      give(room, 'passed')
      leave(room, pending, { title: 'Other' })
      expect(await room.import('jit', { nowMs: nowMs + 2000 })).toMatchObject({ updated: 1, warnings: [] })
      expect(state(room)).toBe('passed')
      leave(room, { tests: { status: 'failed', updated_at: '2026-11-21T10:00:03Z' } })
      expect(await room.import('jit', { nowMs: nowMs + 4000 })).toMatchObject({
        warnings: [expect.stringMatching(/its gate tests was decided here and in the source; kept as it is here/)],
      })
      expect(state(room)).toBe('passed')
    })
  })
})
