import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, type Doc, failure, folder, parse, repository, type Result, until } from '../support/cli.ts'
import { requires } from '../support/skip.ts'
import { eventsIn, putTicket, ticketBytes, ticketFile } from '../support/tickets.ts'

// What ticket commands answer, and what an editor may do to a ticket.

const id = '20260607-220225-fix-login'

const members = (
  'id slug title status kind priority labels workflow_state created_at updated_at assignee legacy_ticket queued_by queued_at ' +
  'depends_on gates'
).split(' ')
const needsScript = requires(spawnSync('script', ['--version']).status === 0, 'needs the program script (util-linux), for a terminal')

const leaseMembers = 'lease_id resource holder token ttl_secs acquired_at expires_at last_beat branch reason standing remaining_secs'.split(
  ' ',
)

it('why sends nobody to claim a ticket that cannot be claimed', async () => {
  const repo = repository()
  const a = repo.as('agent:a')
  await a.acquire('waits')
  for (const slug of ['first', 'waits', 'broken']) putTicket(repo.dir, `20260101-000000-${slug}`)
  await a.ok('ticket depend waits --on first')
  const file = ticketFile(repo.dir, '20260101-000000-broken')
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(/^workflow_state:.*$/m, 'workflow_state: [ready'))
  const why = async (slug: string, evidence: string, next: string): Promise<void> => {
    const { error } = parse((await a.run(`--json claim acquire ${slug}`)).stdout)
    const told = await a.ok(`why ${slug}`)
    expect(told).toMatchObject({ standing: 'free', lease: null, next })
    expect(told.evidence.at(-1)).toBe(error.message)
    expect(told.evidence.at(-1)).toContain(evidence)
    expect(told.frees_when).not.toContain('now')
  }
  await why('20260101-000000-waits', 'is held by agent:a', 'lh why ticket:waits')
  await a.ok('claim release ticket:waits')
  await why('20260101-000000-waits', 'waits for 20260101-000000-first (ready)', 'lh ticket show 20260101-000000-first')
  await why('broken', 'ticket.md:', 'lh ticket doctor')
  await a.ok('ticket start first')
  await a.ok('ticket done first')
  await why('first', 'done by agent:a', 'lh ticket reopen 20260101-000000-first --reason "…"')
  expect(await a.ok('why waits')).toMatchObject({ frees_when: 'it is free now', next: 'lh claim acquire ticket:20260101-000000-waits' })
  await a.ok('ticket close first --resolution good')
  await why('first', 'closed by agent:a', 'lh ticket reopen 20260101-000000-first --reason "…"')
})

describe('with --json', () => {
  it('every command that changes a ticket answers with all of it', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const place = folder()
    fs.writeFileSync(path.join(place, 'body'), 'Text\n')
    const other = putTicket(repo.dir, '20260101-000000-other')
    const own = (await a.ok('ticket create --title T --slug fix-login')).ticket
    expect(Object.keys(own)).toEqual(members)
    const told: readonly (readonly [string, Doc])[] = [
      ['ticket edit fix-login --title=U', { title: 'U' }],
      [`ticket edit fix-login --body-file ${place}/body`, { title: 'U' }],
      ['ticket set fix-login labels=ui,x', { labels: ['ui', 'x'] }],
      ['ticket comment fix-login --message hello', { title: 'U' }],
      ['ticket review fix-login --message fine --verdict approve', { title: 'U' }],
      [`ticket depend fix-login --on ${other}`, { depends_on: [other] }],
      [`ticket depend fix-login --on ${other} --remove`, { depends_on: [] }],
      ['ticket ready fix-login', { workflow_state: 'ready' }],
      ['ticket queue fix-login', { workflow_state: 'queued', queued_by: 'agent:a' }],
      ['ticket start fix-login', { workflow_state: 'inprogress', assignee: 'agent:a' }],
      ['ticket done fix-login', { workflow_state: 'done', status: 'open' }],
      ['ticket close fix-login --resolution good', { workflow_state: 'done', status: 'closed' }],
      ['ticket reopen fix-login --reason bad', { workflow_state: 'ready', status: 'open', assignee: null, queued_by: null }],
    ]
    for (const [words, fields] of told) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { ok, ticket, ...more } = await a.ok(words)
      expect(ok).toBe(true)
      expect(Object.keys(ticket), words).toEqual(members)
      expect(ticket, words).toMatchObject({ id: own.id, ...fields })
      expect(Object.keys(more), words).toEqual(words.startsWith('ticket start') ? ['lease'] : [])
      if (more.lease !== undefined) for (const name of leaseMembers) expect(more.lease).toHaveProperty(name)
    }
    expect(
      eventsIn(repo.dir, own.id)
        .map(({ type }: Doc) => type)
        .join(' '),
    ).toBe(
      'created edited edited edited comment review dependency dependency ' +
        'state_changed state_changed state_changed state_changed closed reopened',
    )
    for (const event of eventsIn(repo.dir, own.id)) {
      expect(event).toMatchObject({ actor: 'agent:a', at: expect.stringMatching(/^\d{4}-.*Z$/) as string })
      expect(event.id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/)
    }
  })

  it('a step that was made already says so', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    expect((await a.ok('ticket ready fix-login')).already).toBe(true)
    expect((await a.ok('ticket start fix-login')).already_held).toBeUndefined()
    const again = await a.ok('ticket start fix-login')
    expect(again.already_held).toBe(true)
    const before = ticketBytes(repo.dir)
    for (const words of ['ticket done fix-login', 'ticket close fix-login --resolution x']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.ok(words)).already, words).toBeUndefined()
      const bytes = ticketBytes(repo.dir)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.ok(words)).already, words).toBe(true)
      expect(ticketBytes(repo.dir), words).toEqual(bytes)
    }
    expect(ticketBytes(repo.dir)).not.toEqual(before)
    expect(fs.readFileSync(ticketFile(repo.dir, id, 'resolution.md'), 'utf8')).toBe('x\n')
  })

  it('list, show and next have what is documented', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    const list = await a.ok('ticket list')
    expect(Object.keys(list)).toEqual(['ok', 'tickets', 'count'])
    expect(list.count).toBe(1)
    for (const name of members) expect(list.tickets[0]).toHaveProperty(name)
    expect(list.tickets[0]).toMatchObject({ ready: true, blocked_by: [], why: [], holder: null })
    await a.ok('ticket comment fix-login --message hello')
    const { ticket } = await a.ok('ticket show fix-login')
    for (const name of [...members, 'body', 'events', 'lease', 'blocked_by']) expect(ticket).toHaveProperty(name)
    expect(ticket.events).toMatchObject([{ type: 'comment', message: 'hello' }])
    // What is shown as the last change is that of the newest event.
    expect(Date.parse(ticket.updated_at)).toBe(Date.parse(ticket.events[0].at))
    expect(await a.ok('ticket next')).toMatchObject({ ticket: { id }, lease: null })
    const taken = await a.ok('ticket next --claim --ttl 5m')
    expect(Object.keys(taken.ticket)).toEqual(members)
    for (const name of leaseMembers) expect(taken.lease).toHaveProperty(name)
    expect(taken.lease).toMatchObject({ resource: `ticket:${id}`, ttl_secs: 300, branch: 'main', holder: { agent_id: 'agent:a' } })
    expect(await a.ok('ticket next --claim')).toEqual({ ok: true, ticket: null, lease: null })
    expect((await a.ok('ticket list')).tickets[0]).toMatchObject({ ready: false, holder: 'agent:a', why: ['held by agent:a'] })
    expect((await a.ok('ticket show fix-login')).ticket.lease).toMatchObject({ token: taken.lease.token, standing: 'live' })
  })

  it('filters narrow the list', async () => {
    const repo = repository()
    putTicket(repo.dir, '20260101-000000-open')
    putTicket(repo.dir, '20260101-000001-aside', { status: 'pending', priority: 'P0' })
    putTicket(repo.dir, '20260101-000002-over', { status: 'closed', state: 'done', assignee: 'agent:x' })
    const a = repo.as('agent:a')
    for (const [words, slugs] of [
      ['', ['open']],
      ['--status open', ['open']],
      ['--status pending', ['aside']],
      ['--status closed', ['over']],
      ['--status all', ['aside', 'open', 'over']],
      ['--status all --state done', ['over']],
      ['--status all --priority p0', ['aside']],
      ['--status all --assignee agent:x', ['over']],
      ['--label none', []],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(
        (await a.ok(`ticket list ${words}`)).tickets.map(({ slug }: Doc) => slug),
        words,
      ).toEqual(slugs)
    }
    await a.ok('ticket set open labels=ui,urgent')
    for (const [label, count] of [
      ['ui', 1],
      ['ui,urgent', 1],
      [' urgent , ui', 1],
      ['ui,other', 0],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.ok('ticket list --label', label)).count, label).toBe(count)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.ok('ticket next --label', label)).ticket?.slug, label).toBe(count === 1 ? 'open' : undefined)
    }
    for (const words of [
      '--label ,',
      '--ready --blocked',
      '--ready --status closed',
      '--ready --status pending',
      '--ready --state intake',
      '--ready --state inprogress',
      '--ready --state done',
    ])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await a.refused('usage', `ticket list ${words}`)
    for (const [option, value] of [
      ['--assignee', ''],
      ['--assignee', ' '],
      ['--label', ''],
      ['--label', 'ui,,urgent'],
    ] as const)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.refused('usage', 'ticket list', option, value)).message).toMatch(/empty/)
    for (const words of ['--ready --status all', '--ready --status open --state ready', '--blocked --status all'])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await a.ok(`ticket list ${words}`)
    await a.refused('usage', 'ticket list --status lost')
    await a.refused('usage', 'ticket list --state begun')
  })

  it('hints name a ticket so that the command works', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    putTicket(repo.dir, '20260101-000000-twice', { state: 'intake' })
    const { stderr } = await a.run('ticket create --title Twice')
    const [, name] = /lh ticket ready (\S+)/.exec(stderr)!
    expect(name).toMatch(/^\d{8}-\d{6}-twice$/)
    await a.ok(`ticket ready ${name}`)
    expect((await a.run('ticket next --claim')).stderr).toContain(`lh ticket start ${name}`)
    expect((await a.run('ticket create --title Once')).stderr).toContain('lh ticket ready once')
  })

  it('name the ticket that the asking agent has already, and the one that cannot be believed', async () => {
    const repo = repository()
    putTicket(repo.dir, '20260101-000000-mine')
    putTicket(repo.dir, '20260101-000001-broken', { priority: 'P0' })
    const file = path.join(repo.dir, '.leasehold/tickets/20260101-000001-broken/ticket.md')
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(/^title: .*$/m, 'title: Fix: the "login'))
    const ann = repo.as('agent:ann')
    const damaged =
      /20260101-000001-broken\/ticket\.md:\d+ is damaged \(.*\): what is said of 20260101-000001-broken is a guess; see: lh ticket doctor/
    const taken = await ann.run('ticket next --claim')
    expect([taken.code, taken.stdout]).toEqual([0, expect.stringContaining('20260101-000000-mine')])
    for (const words of ['ticket next --claim', 'ticket next', 'ticket list', 'ticket list --ready']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { code, stdout, stderr } = await ann.run(words)
      expect([words, code, stderr]).toEqual([words, 0, expect.stringMatching(damaged)])
      if (words.startsWith('ticket next'))
        expect(stdout).toContain('no ticket is ready\nyou hold 20260101-000000-mine: lh ticket show 20260101-000000-mine\n')
    }
    expect((await repo.as('agent:bob').run('ticket next')).stdout).not.toContain('you hold')
  })

  it('next says why there is none, and what helps', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const said = async (): Promise<string> => (await a.run('ticket next')).stdout
    expect(await said()).toContain('lh ticket create')
    putTicket(repo.dir, '20260101-000000-unclear', { state: 'intake' })
    expect(await said()).toBe(
      'no ticket is ready\n20260101-000000-unclear is in intake; when it is clear what to do: lh ticket ready 20260101-000000-unclear\n',
    )
    putTicket(repo.dir, '20260101-000001-other', { state: 'intake' })
    expect(await said()).toMatch(/^no ticket is ready\n2 are in intake \(lh ticket list --state intake\)/)
    putTicket(repo.dir, '20260101-000002-waiting', { dependsOn: ['20260101-000000-unclear'] })
    expect(await said()).toContain('lh ticket list --blocked')
    expect((await a.run('ticket list --blocked')).stdout).toContain('waiting')
  })

  it('next says what it was asked for, where there are others', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    putTicket(repo.dir, id)
    for (const words of ['ticket next', 'ticket next --claim'])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.run(`${words} --label ui --priority P0`)).stdout).toBe(
        'no ticket with label ui, priority P0 is ready; of all of them: lh ticket next\n',
      )
    expect((await a.run('ticket next')).stdout).toContain(id)
  })

  it('show tells approval from a wish for changes', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    putTicket(repo.dir, id)
    await a.ok('ticket review fix-login --verdict approve --message fine')
    await a.ok('ticket review fix-login --verdict changes --message', 'not yet')
    await a.ok('ticket review fix-login --message seen')
    const { stdout } = await a.run('ticket show fix-login')
    expect(stdout.match(/ {2}review {2}.*$/gm)).toEqual(['  review  approve: fine', '  review  changes: not yet', '  review  seen'])
  })

  it('a ticket that is closed is not closed once more with another text', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    await a.ok('ticket close fix-login --resolution', 'first words')
    expect((await a.ok('ticket close fix-login --resolution', ' first words\n')).already).toBe(true)
    const bytes = ticketBytes(repo.dir)
    const error = await a.refused('policy', 'ticket close fix-login --resolution', 'other words')
    expect(error).toMatchObject({ message: expect.stringContaining('first words'), hint: expect.stringContaining('lh ticket comment') })
    expect(ticketBytes(repo.dir)).toEqual(bytes)
    await a.ok('ticket reopen fix-login --reason why')
    await a.ok('ticket close fix-login --resolution', 'other words')
    expect(fs.readFileSync(ticketFile(repo.dir, id, 'resolution.md'), 'utf8')).toBe('other words\n')
  })

  it('an indefinite claim needs its reason, and keeps it', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    expect((await a.refused('policy', 'ticket start fix-login --ttl 0')).hint).toContain('--reason')
    expect((await a.refused('policy', 'ticket next --claim --ttl 0')).hint).toContain('--reason')
    await a.refused('usage', 'ticket next --reason why')
    const { lease } = await a.ok('ticket start fix-login --ttl 0 --reason', 'as long as it takes')
    expect(lease).toMatchObject({ ttl_secs: 0, expires_at: null, reason: 'ticket start: as long as it takes' })
    putTicket(repo.dir, '20260101-000000-other')
    expect((await a.ok('ticket next --claim --ttl 0 --reason why')).lease).toMatchObject({ ttl_secs: 0, reason: 'why' })
  })

  it('reading needs nobody’s name, writing does, and nothing is left of an attempt', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as(null, { GIT_CONFIG_GLOBAL: '/dev/null' })
    for (const words of ['ticket list', 'ticket show fix-login', 'ticket next', 'ticket doctor']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.run(words)).code, words).toBe(0)
    }
    const before = ticketBytes(repo.dir)
    for (const words of [
      'ticket create --title T',
      'ticket comment fix-login --message x',
      'ticket next --claim',
      'ticket set fix-login priority=P0',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await a.refused('policy', words)).hint, words).toMatch(/LEASEHOLD_AGENT_ID|--agent/)
    }
    expect(ticketBytes(repo.dir)).toEqual(before)
  })
})

it('with --quiet every command keeps silent, and says by its code what became of it', async () => {
  const repo = repository()
  putTicket(repo.dir, id)
  const a = repo.as('agent:a')
  for (const words of [
    'ticket create --title T',
    'ticket list',
    'ticket show fix-login',
    'ticket set fix-login priority=P0',
    'ticket comment fix-login --message x',
    'ticket next',
    'ticket next --claim',
    'ticket start fix-login',
    'ticket done fix-login',
    'ticket close fix-login --resolution x',
    'ticket reopen fix-login --reason x',
    'ticket next --claim',
    'ticket next --claim',
  ]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    expect(await a.run(`${words} --quiet`), words).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
  }
  const { code, stdout, stderr } = await repo.as('agent:b').run('ticket done fix-login --quiet')
  expect({ code, stdout }).toEqual({ code: 5, stdout: '' })
  expect(stderr).toContain('agent:a')
})

describe('ticket edit in an editor', () => {
  /** An editor that does this to the file `$1`. */
  const editor = (agent: Agent, script: string, name = 'EDITOR'): Agent => {
    const file = path.join(folder('editor-'), 'my editor')
    fs.writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    return agent.with({ [name]: `"${file}" --wait` })
  }
  // Its first argument is `--wait`.
  const edit = (script: string): string => `shift\n${script}`
  const kept = ({ stderr }: Result): string => /what you wrote is in (\S+)/.exec(stderr)![1]!

  it('unchanged changes nothing, and leaves nothing behind', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const temporary = folder('tmp-')
    const a = editor(repo.as('agent:a', { TMPDIR: temporary }), edit(':'))
    const before = ticketBytes(repo.dir)
    expect(await a.ok('ticket edit fix-login')).toMatchObject({ already: true })
    const { title } = (await a.ok('ticket show fix-login')).ticket
    expect(await a.ok('ticket edit fix-login', '--title', title)).toMatchObject({ already: true })
    expect((await a.run('ticket edit fix-login', '--title', title)).stdout).toBe(`${id} says that already\n`)
    expect(ticketBytes(repo.dir)).toEqual(before)
    expect(fs.readdirSync(temporary)).toEqual([])
    expect((await a.ok('claim list')).count).toBe(0)
  })

  it('takes what was written, with everything that it does not know', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const temporary = folder('tmp-')
    const a = editor(
      repo.as('agent:a', { TMPDIR: temporary }),
      edit(
        `sed -i -e 's/^title: .*/title: "Written by hand" # ours/' -e 's/^kind: .*/kind: bug\\nmine: kept/' "$1"; echo more >> "$1"; echo said`,
      ),
    )
    // What the editor says does not come between a reader and the document.
    const { stdout, stderr } = await a.run('--json ticket edit fix-login')
    expect(parse(stdout).ticket.title).toBe('Written by hand')
    expect(stderr).toBe('said\n')
    const shown = (await a.ok('ticket show fix-login')).ticket
    expect(shown).toMatchObject({ title: 'Written by hand', kind: 'bug', body: `The body of ${id}.\nmore\n` })
    expect(fs.readFileSync(ticketFile(repo.dir, id), 'utf8')).toMatch(/title: "Written by hand" # ours\n[^]*kind: bug\nmine: kept\n/)
    expect(eventsIn(repo.dir, id)).toMatchObject([{ type: 'edited', keys: ['title', 'kind', 'body'], actor: 'agent:a' }])
    expect(fs.readdirSync(temporary)).toEqual([])
  })

  needsScript.it('draws on the terminal, whatever becomes of what we say', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = editor(repo.as('agent:a'), edit('echo drawn'))
    const place = folder('said-')
    const { stdout } = await a.startWith(
      ['setsid', 'sh', '-c', `script -qec "$* > ${place}/out 2> ${place}/err" /dev/null`, 'sh'],
      '--json ticket edit fix-login',
    ).ended
    expect(stdout).toContain('drawn')
    expect(fs.readFileSync(path.join(place, 'err'), 'utf8')).toBe('')
    expect(parse(fs.readFileSync(path.join(place, 'out'), 'utf8')).ok).toBe(true)
  })

  it('prefers VISUAL', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    await editor(editor(repo.as('agent:a'), edit('exit 9')), edit('echo more >> "$1"'), 'VISUAL').ok('ticket edit fix-login')
    expect(fs.readFileSync(ticketFile(repo.dir, id), 'utf8')).toMatch(/more\n$/)
  })

  it('refuses what it cannot take, changes nothing, and names the file in which it is kept', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const before = ticketBytes(repo.dir)
    for (const [script, code, message] of [
      [`sed -i 's/^status: .*/status: [open/' "$1"`, 'usage', /line \d+: /],
      [`sed -i 's/^priority: .*/priority: P9/' "$1"`, 'usage', /line \d+: .*P9/],
      [`sed -i 's/^title: .*/title: ""/' "$1"`, 'usage', /title/],
      [`sed -i 's/^id: .*/id: other/' "$1"`, 'usage', /id/],
      [`sed -i 's/^slug: .*/slug: other/' "$1"`, 'usage', /slug is not changed in an editor/],
      [`sed -i 's/^created_at: .*/created_at: 2020-01-01T00:00:00Z/' "$1"`, 'usage', /created_at is not changed/],
      [`sed -i 's/^depends_on: .*/depends_on: [x]/' "$1"`, 'usage', /depends_on/],
      [`sed -i 's/^status: .*/status: closed/' "$1"`, 'usage', /not closed by setting/],
      [`sed -i 's/^workflow_state: .*/workflow_state: done/' "$1"`, 'policy', /cannot become done/],
      [`sed -i 's/^workflow_state: .*/workflow_state: inprogress/' "$1"`, 'policy', /started by claiming/],
      ['echo nothing of this > "$1"', 'usage', /line 1/],
      ['printf "" > "$1"', 'usage', /line 1/],
      [`printf 'latin \\374' >> "$1"`, 'usage', /UTF-8/],
      ['head -c 1100000 /dev/zero | tr "\\0" x >> "$1"', 'usage', /at most/],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const result = await editor(repo.as('agent:a'), edit(script)).run('--json ticket edit fix-login')
      const error = failure({ ...result, stderr: '' }, code, script)
      expect(error.message, script).toMatch(message)
      expect(ticketBytes(repo.dir), script).toEqual(before)
      const file = kept(result)
      expect(fs.statSync(file).mode & 0o777).toBe(0o600)
      fs.rmSync(path.dirname(file), { recursive: true })
    }
    expect((await repo.as('agent:a').ok('claim list')).count).toBe(0)
  })

  it('that fails changes nothing', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const before = ticketBytes(repo.dir)
    for (const script of ['echo more >> "$1"; exit 3', 'kill -9 $$', 'rm "$1"']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { code, stdout } = await editor(repo.as('agent:a'), edit(script)).run('--json ticket edit fix-login')
      expect({ code, error: parse(stdout).error?.code }, script).toEqual({ code: 2, error: 'usage' })
      expect(ticketBytes(repo.dir), script).toEqual(before)
    }
    expect((await repo.as('agent:a', { EDITOR: '/nonexistent/editor' }).run('ticket edit fix-login')).code).toBe(2)
    expect(ticketBytes(repo.dir)).toEqual(before)
  })

  it('loses to somebody else who changed the ticket meanwhile, and what was written is kept', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const place = folder()
    const script = edit(`echo mine >> "$1"; touch ${place}/open; while [ ! -e ${place}/close ]; do sleep 0.02; done`)
    const running = editor(repo.as('agent:a'), script).start('--json ticket edit fix-login')
    await until(() => fs.existsSync(path.join(place, 'open')), 'the editor is open')
    await repo.as('agent:b').ok('ticket set fix-login priority=P0')
    const before = ticketBytes(repo.dir)
    fs.writeFileSync(path.join(place, 'close'), '')
    const result = await running.ended
    expect(failure({ ...result, stderr: '' }, 'policy').message).toContain('changed by somebody else')
    expect(ticketBytes(repo.dir)).toEqual(before)
    const file = kept(result)
    expect(fs.readFileSync(file, 'utf8')).toMatch(/mine\n$/)
    fs.rmSync(path.dirname(file), { recursive: true })
  })
})
