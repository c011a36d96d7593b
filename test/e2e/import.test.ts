import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { executable, folder, git, parse, repository, sleep, type Agent, type Doc } from '../support/cli.ts'
import { beyond } from '../support/skip.ts'

// The built executable over what other trackers really wrote, where that is there.

const data = process.env['LEASEHOLD_TEST_DATA'] ?? path.resolve(import.meta.dirname, '../../../shared/data')
const real = beyond(
  fs.existsSync(path.join(data, 'yoi-tickets')) && fs.existsSync(path.join(data, 'jit-issues')),
  `needs yoi-tickets and jit-issues in ${data} (or where LEASEHOLD_TEST_DATA says)`,
)

const ticketsOf = (dir: string): string => path.join(dir, '.leasehold', 'tickets')
const idsIn = (dir: string): readonly string[] => (fs.existsSync(ticketsOf(dir)) ? fs.readdirSync(ticketsOf(dir)).toSorted() : [])
const read = (dir: string, id: string, name: string): string => fs.readFileSync(path.join(ticketsOf(dir), id, name), 'utf8')
const eventsOf = (dir: string, id: string): readonly Doc[] =>
  read(dir, id, 'events.jsonl')
    .trimEnd()
    .split('\n')
    .map(line => parse(line))

/** A field of the front matter as it is written. */
const field = (text: string, name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(text.split('\n---\n')[0]!)?.[1]

/** Every file below `.leasehold` with its content and when it changed. */
function snapshot(dir: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of fs.readdirSync(path.join(dir, '.leasehold'), { recursive: true, encoding: 'utf8' })) {
    const file = path.join(dir, '.leasehold', name)
    if (fs.statSync(file).isFile()) found[name] = `${fs.statSync(file, { bigint: true }).mtimeNs} ${fs.readFileSync(file, 'latin1')}`
  }
  return found
}

function room(): { readonly dir: string; readonly me: Agent } {
  const repo = repository()
  return { dir: repo.dir, me: repo.as('human:me') }
}

const count = (dir: string, test: (name: string) => boolean): number =>
  fs.readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter(name => test(name)).length

describe('real tickets', () => {
  real.it('of yoi come over whole, twice without a change', async () => {
    const { dir, me } = room()
    const source = path.join(data, 'yoi-tickets')
    const items = fs.readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('/item.md'))
    expect(await me.ok('ticket import --from yoi', source)).toMatchObject({
      imported: items.length,
      updated: 0,
      unchanged: 0,
      skipped: 0,
      warnings: [],
    })
    expect(idsIn(dir)).toEqual(items.map(name => name.split('/').at(-2)!).toSorted())
    for (const name of items) {
      const id = name.split('/').at(-2)!
      const from = path.join(source, path.dirname(name))
      const [before, after] = [fs.readFileSync(path.join(from, 'item.md'), 'utf8'), read(dir, id, 'ticket.md')]
      expect(after.slice(after.indexOf('\n---\n')), id).toBe(before.slice(before.indexOf('\n---\n')))
      for (const key of ['id', 'slug', 'title', 'status', 'kind', 'priority', 'created_at', 'updated_at', 'legacy_ticket'])
        expect(field(after, key)!.replaceAll("'", ''), `${id} ${key}`).toBe(field(before, key)!.replaceAll("'", ''))
      const headers = fs.readFileSync(path.join(from, 'thread.md'), 'utf8').match(/^<!-- event: /gm)
      expect(eventsOf(dir, id), id).toHaveLength((headers?.length ?? 0) + 1)
      const files = ['resolution.md', ...fs.readdirSync(path.join(from, 'artifacts')).map(file => `artifacts/${file}`)]
      for (const file of files.filter(file => !file.endsWith('.gitkeep') && fs.existsSync(path.join(from, file))))
        expect(fs.readFileSync(path.join(ticketsOf(dir), id, file)), `${id} ${file}`).toEqual(fs.readFileSync(path.join(from, file)))
      expect(fs.existsSync(path.join(ticketsOf(dir), id, 'resolution.md'))).toBe(field(after, 'status') === 'closed')
    }
    expect((await me.ok('ticket doctor')).findings).toEqual([])
    const before = snapshot(dir)
    expect(await me.ok('ticket import --from yoi', source)).toMatchObject({ imported: 0, updated: 0, unchanged: items.length, skipped: 0 })
    expect(snapshot(dir)).toEqual(before)
  })

  real.it('of jit come over with dependencies, gates and results, twice without a change', async () => {
    const { dir, me } = room()
    const source = path.join(data, 'jit-issues')
    const issues: readonly Doc[] = fs
      .readdirSync(path.join(source, 'issues'))
      .map(name => parse(fs.readFileSync(path.join(source, 'issues', name), 'utf8')))
    const definitions = Object.keys(parse(fs.readFileSync(path.join(source, 'gates.json'), 'utf8')).gates)
    const known = new Set(issues.map(({ id }) => id))
    const outside = issues.flatMap(({ dependencies }) => dependencies).filter(id => !known.has(id)).length
    const report = await me.ok('ticket import --from jit', source)
    expect(report).toMatchObject({ imported: issues.length, updated: 0, skipped: 0, gates: definitions.length })
    expect(report.dropped.filter((line: string) => line.includes(': dependency on '))).toHaveLength(outside)
    expect(report.warnings).toEqual([
      expect.stringMatching(new RegExp(`^${outside} dependencies of \\d+ tickets lead to what is not in this source`)),
    ])
    expect(fs.readdirSync(path.join(dir, '.leasehold/gates')).toSorted()).toEqual(definitions.map(key => `${key}.yaml`).toSorted())
    const byOldId = new Map(idsIn(dir).map(id => [field(read(dir, id, 'ticket.md'), 'legacy_ticket'), id]))
    expect(byOldId.size).toBe(issues.length)
    for (const issue of issues) {
      const id = byOldId.get(issue.id)!
      const text = read(dir, id, 'ticket.md')
      expect(text.slice(text.indexOf('\n---\n') + 6).trimEnd(), id).toBe(issue.description.replaceAll('\r\n', '\n').trimEnd())
      const dependencies = issue.dependencies.filter((on: string) => known.has(on)).map((on: string) => byOldId.get(on))
      expect(field(text, 'depends_on')!.replaceAll("'", ''), id).toBe(`[${dependencies.join(', ')}]`)
      expect(field(text, 'gates')!.replaceAll("'", ''), id).toBe(`[${issue.gates_required.join(', ')}]`)
      expect(new Date(field(text, 'created_at')!), id).toEqual(new Date(issue.created_at))
      const results = Object.entries<Doc>(issue.gates_status).filter(([, { status }]) => status !== 'pending')
      expect(
        eventsOf(dir, id)
          .filter(({ type }) => type === 'gate')
          .map(({ gate, result }) => `${gate} ${result}`)
          .toSorted(),
        id,
      ).toEqual(results.map(([gate, { status }]) => `${gate} ${status}`).toSorted())
    }
    // Two titles of the source may be the same.
    expect((await me.ok('ticket doctor')).findings.filter(({ code }: Doc) => code !== 'duplicate-slug')).toEqual([])
    const before = snapshot(dir)
    expect(await me.ok('ticket import --from jit', source)).toMatchObject({ imported: 0, updated: 0, unchanged: issues.length, gates: 0 })
    expect(snapshot(dir)).toEqual(before)
  })

  real.it('of both, imported on two branches, merge without a conflict', async () => {
    const { dir, me } = room()
    git(dir, 'config', 'user.email', 'me@example.org')
    git(dir, 'config', 'user.name', 'me')
    git(dir, 'commit', '-q', '--allow-empty', '-m', 'empty')
    const linked = path.join(folder(), 'linked')
    git(dir, 'worktree', 'add', '-q', '-b', 'other', linked)
    const other = me.in(linked)
    // Each sees the tickets of the main worktree: so the linked one goes first.
    for (const [agent, at] of [
      [other, linked],
      [me, dir],
    ] as const) {
      await agent.ok('ticket import --from yoi', path.join(data, 'yoi-tickets'))
      await agent.ok('ticket import --from jit', path.join(data, 'jit-issues'))
      git(at, 'add', '-A')
      git(at, 'commit', '-q', '-m', 'import')
    }
    git(dir, 'merge', '-q', '-m', 'merge', 'other')
    expect(git(dir, 'status', '--porcelain')).toBe('')
    for (const id of idsIn(dir)) {
      const ids = eventsOf(dir, id).map(event => event.id)
      const imports = eventsOf(dir, id).filter(({ type }) => type === 'imported')
      expect(imports, id).toHaveLength(2)
      expect(new Set(ids).size, id).toBe(ids.length)
    }
    expect(await me.ok('ticket import --from jit', path.join(data, 'jit-issues'))).toMatchObject({ imported: 0, updated: 0 })
  })

  real.it('are all there after an import that was killed again and again', async () => {
    const { dir, me } = room()
    const source = path.join(data, 'jit-issues')
    const issues = count(path.join(source, 'issues'), name => name.endsWith('.json'))
    for (let waitMs = 60; waitMs < 300; waitMs += 20) {
      const child = spawn(process.execPath, [executable, 'ticket', 'import', '--from', 'jit', source], {
        cwd: dir,
        env: { ...process.env, ...me.env },
        stdio: 'ignore',
      })
      const ended = new Promise(resolve => child.once('exit', resolve))
      await sleep(waitMs)
      child.kill('SIGKILL')
      await ended
    }
    const report = await me.ok('ticket import --from jit', source)
    expect(report.imported + report.unchanged).toBe(issues)
    const ids = idsIn(dir).filter(id => !id.startsWith('.'))
    expect(ids).toHaveLength(issues)
    for (const id of ids) expect(eventsOf(dir, id).filter(({ type }) => type === 'imported')).toHaveLength(1)
  })
})

describe('lh ticket import', () => {
  const issue = {
    id: 'bd-1',
    title: 'One',
    status: 'open',
    priority: 1,
    issue_type: 'task',
    created_at: '2026-01-01T00:00:00Z',
    updated_at: '2026-01-01T00:00:00Z',
  }

  it('is refused without a tracker, for an unknown one, and for what is not there', async () => {
    const { dir, me } = room()
    expect(await me.refused('usage', 'ticket import .')).toMatchObject({ message: expect.stringContaining('--from') as unknown })
    expect(await me.refused('usage', 'ticket import --from jira .')).toMatchObject({
      message: expect.stringContaining('yoi, jit, beads, github') as unknown,
    })
    expect(await me.refused('usage', 'ticket import --from beads nowhere')).toMatchObject({
      message: expect.stringContaining('nowhere') as unknown,
    })
    fs.writeFileSync(path.join(dir, 'issues.jsonl'), `${JSON.stringify(issue)}\n`)
    expect(await me.refused('usage', 'ticket import --from jit issues.jsonl')).toMatchObject({
      message: expect.stringContaining('use --from beads') as unknown,
    })
    expect(fs.readdirSync(dir).toSorted()).toEqual(['.git', 'issues.jsonl'])
  })

  it('says what is there and cannot be read more than once', async () => {
    const { dir, me } = room()
    execFileSync('mkfifo', [path.join(dir, 'pipe')])
    for (const name of ['/dev/null', 'pipe']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { message, hint } = await me.refused('usage', `ticket import --from github ${name}`)
      expect(message).toContain('neither a regular file nor a directory')
      expect(hint).toContain('to a file first')
    }
  })

  it('names a ticket that is too large by its id, which is where it would be', async () => {
    const { dir, me } = room()
    fs.writeFileSync(
      path.join(dir, 'issues.jsonl'),
      `${JSON.stringify({ ...issue, description: 'x'.repeat(880_000), labels: ['y'.repeat(200_000)] })}\n`,
    )
    const { warnings } = await me.ok('ticket import --from beads issues.jsonl')
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^20260101-000000-[0-9a-z-]+: its ticket\.md would have \d+ bytes, .*; left out$/)
    expect(warnings[0]).not.toContain('.tmp-')
  })

  it('makes manual gates of those that tickets need and nothing defines, and says so once', async () => {
    const { dir, me } = room()
    const old = ['003f9f83-4e8a-4a5f-8e48-44f6f48a7c17', '95128759-9e96-4adf-8c3a-1cc26a653670']
    fs.mkdirSync(path.join(dir, '.jit/issues'), { recursive: true })
    for (const [at, id] of old.entries()) {
      const times = { created_at: '2025-12-21T22:57:12Z', updated_at: '2025-12-21T22:57:12Z' }
      const gates = { gates_required: ['tests', 'review'], gates_status: {} }
      const text = JSON.stringify({
        id,
        title: `Number ${at}`,
        description: '',
        state: 'ready',
        priority: 'high',
        dependencies: [],
        ...gates,
        ...times,
      })
      fs.writeFileSync(path.join(dir, '.jit/issues', `${id}.json`), text)
    }
    const report = await me.ok('ticket import --from jit .jit')
    expect(report).toMatchObject({ imported: 2, gates: 2 })
    expect(report.warnings).toEqual([
      'gates review, tests: 2 tickets need them, and nothing says what they are; they become manual ones, passed by hand; to let a command decide: lh gate define <key> --command "…"',
    ])
    expect((await me.ok('ticket doctor')).findings).toEqual([])
    expect(fs.readFileSync(path.join(dir, '.leasehold/gates/tests.yaml'), 'utf8')).toContain('mode: manual')
    await me.ok('gate define tests --command true')
    const again = await me.ok('ticket import --from jit .jit')
    expect(again).toMatchObject({ imported: 0, unchanged: 2, gates: 0, warnings: [] })
    expect(fs.readFileSync(path.join(dir, '.leasehold/gates/tests.yaml'), 'utf8')).toContain('mode: auto')
  })

  it('leaves alone what another agent has claimed', async () => {
    const { dir, me } = room()
    const file = path.join(dir, 'issues.jsonl')
    fs.writeFileSync(file, `${JSON.stringify(issue)}\n`)
    await me.ok('ticket import --from beads', file, '--dry-run')
    expect(idsIn(dir)).toEqual([])
    await me.ok('ticket import --from beads', file)
    const [id] = idsIn(dir)
    await me.with({ LEASEHOLD_AGENT_ID: 'agent:other' }).acquire(id!)
    fs.writeFileSync(file, `${JSON.stringify({ ...issue, title: 'Two' })}\n`)
    const report = await me.ok('ticket import --from beads', file)
    expect(report).toMatchObject({ skipped: 1, updated: 0, warnings: [expect.stringContaining('agent:other holds it') as unknown] })
    expect(field(read(dir, id!, 'ticket.md'), 'title')).toBe('One')
    expect((await me.run('ticket import --from beads', file)).stderr).toContain('agent:other holds it')
  })
})
