import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, executable, failure, folder, Running, repository } from '../support/cli.ts'
import { eventsIn, putTicket, ticketBytes, ticketFile, ticketsIn } from '../support/tickets.ts'

// What nobody should type, and what nobody should find in a repository.

const id = '20260607-220225-fix-login'
const long = 'x'.repeat(300)

/** Bytes that do something to a terminal. */
// oxlint-disable-next-line no-control-regex -- these are the ones meant
const hostile = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/

describe('ticket create', () => {
  it('refuses what cannot be meant, and makes nothing', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const bad: readonly (readonly [Parameters<typeof a.refused>[0], readonly string[], RegExp])[] = [
      ['usage', [], /needs a title/],
      ['usage', ['--title', ''], /title/],
      ['usage', ['--title', ' \t '], /title/],
      ['usage', ['--title', 'two\nlines'], /one line/],
      ['usage', ['--title', 'a bell \u0007'], /control characters/],
      ['usage', ['--title', 'red \u001b[31m'], /control characters/],
      ['usage', ['--title', 'é'.repeat(251)], /500 bytes/],
      ['usage', ['--title', 'T', '--slug', '../x'], /no slug/],
      ['usage', ['--title', 'T', '--slug', ''], /--slug is empty/],
      ['usage', ['--title', 'T', '--slug', 'Upper'], /no slug/],
      ['usage', ['--title', 'T', '--slug', 'a/b'], /no slug/],
      ['usage', ['--title', 'T', '--slug', '🚀'], /no slug/],
      ['usage', ['--title', 'T', '--slug', long], /no slug/],
      ['usage', ['--title', 'T', '--slug', 'x\u001b[2J'], /no slug/],
      ['usage', ['--title', 'T', '--label', '../x'], /no label/],
      ['usage', ['--title', 'T', '--label', 'a b'], /no label/],
      ['usage', ['--title', 'T', '--label', long], /no label/],
      ['usage', ['--title', 'T', '--label', 'x\ny'], /no label/],
      ['usage', ['--title', 'T', '--label', '[x]'], /no label/],
      ['usage', ['--title', 'T', '--label', 'ui,,urgent'], /empty value/],
      ['usage', ['--title', 'T', '--label', ''], /--label is empty/],
      ['usage', ['--title', 'T', '--depends-on', ','], /empty value/],
      ['usage', ['--title', 'T', '--gate', ''], /--gate is empty/],
      ['usage', ['--title', 'T', '--kind', 'a b'], /no kind/],
      ['usage', ['--title', 'T', '--priority', 'P5'], /P0, P1, P2, P3, P4/],
      ['usage', ['--title', 'T', '--priority', 'high'], /P0, P1, P2, P3, P4/],
      ['not_found', ['--title', 'T', '--depends-on', 'nothing'], /nothing/],
      ['not_found', ['--title', 'T', '--depends-on', '../../etc/passwd'], /passwd/],
      ['not_found', ['--title', 'T', '--gate', 'nothing'], /nothing/],
      ['usage', ['--title', 'T', '--nonsense', 'x'], /nonsense/],
      ['usage', ['--title', 'T', 'extra'], /extra/],
    ]
    for (const [code, words, message] of bad) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused(code, 'ticket create', ...words)).message, words.join(' ')).toMatch(message)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { stdout, stderr } = await a.run('ticket create', ...words)
      expect(stdout + stderr, words.join(' ')).not.toMatch(hostile)
    }
    expect(ticketBytes(repo.dir)).toEqual({})
    expect(fs.existsSync(path.join(repo.dir, '.gitattributes'))).toBe(false)
  })

  it('takes any title that is one line, and makes a harmless id of it', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    for (const [title, slug] of [
      ['../../etc/passwd', 'etc-passwd'],
      ['🚀🚀', 'ticket'],
      ['日本語の題', 'ticket'],
      ['Ünïcode: "quoted", # not a comment', 'unicode-quoted-not-a-comment'],
      ['- starts like a list', 'starts-like-a-list'],
      ['null', 'null'],
      ['---', 'ticket'],
      ['{a: b} & *c', 'a-b-c'],
      ['2026-01-01', '2026-01-01'],
      [`word ${long}`, `word-${'x'.repeat(55)}`],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { ticket } = await a.ok('ticket create', `--title=${title}`)
      expect(ticket, title).toMatchObject({ title, slug })
      expect(ticket.id, title).toMatch(/^\d{8}-\d{6}-[a-z0-9-]{1,60}$/)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('ticket show', ticket.id)).ticket, title).toMatchObject({ title, problems: [] })
    }
    expect(fs.readdirSync(repo.dir).toSorted()).toEqual(['.git', '.gitattributes', '.leasehold'])
    expect((await a.ok('ticket doctor')).findings.filter(({ severity }: Doc) => severity === 'error')).toEqual([])
  })

  it('reads a body from a file or from standard input, and refuses what is no text', { timeout: 120_000 }, async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const place = folder()
    const file = (name: string, content: string | Buffer): string => {
      fs.writeFileSync(path.join(place, name), content)
      return path.join(place, name)
    }
    const text = '# Heading\n\n---\n\ttabbed, no newline at the end'
    const made = await a.ok('ticket create --title T --body-file', file('good', text))
    expect((await a.ok('ticket show', made.ticket.id)).ticket.body).toBe(`${text}\n`)
    const piped = execFileSync(process.execPath, [executable, 'ticket', 'create', '--title', 'Piped', '--body-file', '-', '--json'], {
      cwd: repo.dir,
      env: { ...process.env, ...a.env },
      input: 'from a pipe\n',
      encoding: 'utf8',
    })
    expect((await a.ok('ticket show', JSON.parse(piped).ticket.id)).ticket.body).toBe('from a pipe\n')
    const before = ticketBytes(repo.dir)
    for (const [body, message] of [
      [path.join(place, 'missing'), /cannot be read.*ENOENT/],
      [place, /cannot be read.*EISDIR/],
      [file('latin', Buffer.from([0x66, 0xfc, 0x72])), /not UTF-8/],
      [file('huge', 'x'.repeat(1024 * 1024 + 1)), /at most/],
      // With its front matter it could not be read again.
      [file('brim', 'x'.repeat(1024 * 1024)), /at most/],
      ['/dev/zero', /at most/],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('usage', 'ticket create --title T --body-file', body)).message, body).toMatch(message)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(failure(await a.run('--json ticket edit piped --body-file', body), 'usage').message, body).toMatch(message)
    }
    expect(ticketBytes(repo.dir)).toEqual(before)
  })
})

describe('what other people wrote into a ticket', () => {
  it('does not reach a terminal', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const file = ticketFile(repo.dir, id)
    const escape = '"red \\e[31m \\x9b2J \\u202e \\a"'
    const text = fs.readFileSync(file, 'utf8')
    fs.writeFileSync(
      file,
      text
        .replace('title: fix-login', `title: ${escape}`)
        .replace('labels: []', `labels: [${escape}]`)
        .replace('assignee: null', `assignee: ${escape}`)
        .replace('legacy_ticket: null', `legacy_ticket: ${escape}`)
        .replace('gates: []', `gates: [${escape}]`)
        .replace('The body', 'The \u001b]0;body\u0007\u009b2J\u202e\r\nbody'),
    )
    fs.writeFileSync(
      ticketFile(repo.dir, id, 'events.jsonl'),
      `${JSON.stringify({ id: '01J00000000000000000000000', type: 'x\u001b[2J', at: '2026-01-01T00:00:00Z\u001b', actor: 'a\u009b', message: 'm\u001b[1m\u202e' })}\n`,
    )
    const a = repo.as('agent:a')
    for (const words of [
      'ticket list',
      'ticket list --ready',
      'ticket show fix-login',
      'ticket next',
      'ticket next --claim',
      'claim list',
      'ticket set fix-login priority=P0',
      'ticket start fix-login',
      'ticket done fix-login',
      'ticket doctor',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { stdout, stderr, code } = await a.run(words)
      expect(code, `${words}: ${stderr}`).not.toBe(1)
      expect(stdout + stderr, words).not.toMatch(hostile)
      expect(stdout + stderr, words).not.toBe('')
    }
  })

  it('is shown as it was meant: tabs, and lines that end like on Windows', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const file = ticketFile(repo.dir, id)
    fs.writeFileSync(file, `${fs.readFileSync(file, 'utf8')}\n\tindented\n`.replaceAll('\n', '\r\n'))
    const { stdout } = await repo.as(null).run('ticket show fix-login')
    expect(stdout).toContain(`\nThe body of ${id}.\n\n\tindented\n`)
    expect(stdout).not.toContain('\\u{')
  })

  it('of a ticket.md that is none stops every command that would change it', async () => {
    const repo = repository()
    const good = putTicket(repo.dir, '20260101-000000-good')
    const a = repo.as('agent:a')
    const target = path.join(folder(), 'target')
    for (const kind of ['symbolic link', 'not a regular file', 'fifo', 'too large']) {
      putTicket(repo.dir, id)
      const file = ticketFile(repo.dir, id)
      fs.rmSync(file)
      if (kind === 'symbolic link') {
        fs.writeFileSync(target, fs.readFileSync(ticketFile(repo.dir, good)))
        fs.symlinkSync(target, file)
      } else if (kind === 'not a regular file') fs.mkdirSync(file)
      else if (kind === 'fifo') execFileSync('mkfifo', [file])
      else fs.writeFileSync(file, 'x'.repeat(1024 * 1024 + 1))
      const before = ticketBytes(repo.dir)
      for (const words of [
        `ticket show ${id}`,
        `ticket set ${id} priority=P0`,
        `ticket set ${id} title=x`,
        `ticket start ${id}`,
        `ticket ready ${id}`,
        `ticket close ${id} --resolution x`,
        `ticket comment ${id} --message x`,
        `ticket edit ${id} --title x`,
      ]) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        const { message } = failure(await a.run(`--json ${words}`), 'unavailable', words)
        expect(message, words).toContain(file)
        expect(message, words).toContain(kind === 'fifo' ? 'not a regular file' : kind === 'too large' ? 'larger than' : kind)
      }
      // The others are still there.
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { stdout, stderr, code } = await a.run('ticket list')
      expect({ code, lines: stdout.trim().split('\n').length }).toEqual({ code: 0, lines: 1 })
      expect(stderr).toContain(file)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('claim list')).count).toBe(0)
      expect(ticketBytes(repo.dir)).toEqual(before)
      fs.rmSync(path.join(ticketsIn(repo.dir), id), { recursive: true })
    }
    expect(fs.readFileSync(target, 'utf8')).toContain('The body of')
  })

  it('of a directory that is a symbolic link is not followed', async () => {
    const repo = repository()
    const elsewhere = folder()
    putTicket(elsewhere, id)
    putTicket(repo.dir, '20260101-000000-good')
    fs.symlinkSync(path.join(ticketsIn(elsewhere), id), path.join(ticketsIn(repo.dir), id))
    const a = repo.as('agent:a')
    const before = ticketBytes(elsewhere)
    for (const words of [`ticket show ${id}`, `ticket set ${id} priority=P0`, `ticket comment ${id} --message x`]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.refused('not_found', words)
    }
    expect((await a.run('ticket list')).stderr).toContain('is a symbolic link; it is not followed')
    expect(ticketBytes(elsewhere)).toEqual(before)
  })

  it('of events or a resolution that are no files changes nothing of the ticket either', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const target = path.join(folder(), 'target')
    for (const name of ['events.jsonl', 'resolution.md']) {
      for (const kind of ['link', 'directory']) {
        putTicket(repo.dir, id)
        fs.writeFileSync(target, 'not yours\n')
        if (kind === 'link') fs.symlinkSync(target, ticketFile(repo.dir, id, name))
        else fs.mkdirSync(ticketFile(repo.dir, id, name))
        const before = ticketBytes(repo.dir)
        const commands = [
          `ticket close ${id} --resolution x`,
          `ticket set ${id} priority=P0`,
          `ticket queue ${id}`,
          `ticket comment ${id} --message x`,
        ]
        for (const words of name === 'events.jsonl' ? commands : commands.slice(0, 1)) {
          // oxlint-disable-next-line no-await-in-loop -- each in turn
          const { code, stdout } = await a.run(`--json ${words}`)
          expect({ code, message: JSON.parse(stdout).error?.message }, `${words}, ${name} is a ${kind}`).toEqual({
            code: 7,
            message: expect.stringContaining(ticketFile(repo.dir, id, name)) as string,
          })
          expect(ticketBytes(repo.dir), `${words}, ${name} is a ${kind}`).toEqual(before)
        }
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        expect((await a.ok('claim list')).count).toBe(0)
        expect(fs.readFileSync(target, 'utf8')).toBe('not yours\n')
        fs.rmSync(ticketsIn(repo.dir), { recursive: true })
      }
    }
  })
})

describe('ticket set', () => {
  it('knows its keys, says which other command changes the rest, and suggests', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    const before = ticketBytes(repo.dir)
    for (const [setting, message, hint] of [
      ['prority=P0', /no "prority"/, /did you mean priority\?/],
      ['titel=x', /no "titel"/, /did you mean title\?/],
      ['nonsense=x', /no "nonsense"/, /the keys are title, /],
      ['__proto__=x', /no "__proto__"/, /the keys are/],
      ['constructor=x', /no "constructor"/, /the keys are/],
      ['toString=x', /no "toString"/, /the keys are/],
      ['priority', /sets nothing/, /key=value/],
      ['=x', /sets nothing/, /key=value/],
      ['id=x', /id is not set this way/, /never changes/],
      ['slug=x', /slug is not set this way/, /never changes/],
      ['created_at=x', /created_at is not set this way/, /./],
      ['updated_at=x', /not set this way/, /./],
      ['depends_on=x', /not set this way/, /lh ticket depend/],
      ['gates=x', /not set this way/, /lh gate add/],
      ['queued_by=x', /not set this way/, /lh ticket queue/],
      ['legacy_ticket=x', /not set this way/, /imported/],
      ['priority=P9', /P0, P1, P2, P3, P4/, /^/],
      ['status=closed', /not closed by setting/, /lh ticket close/],
      ['status=lost', /open, pending, closed/, /^/],
      ['workflow_state=begun', /intake, ready, queued, inprogress, done/, /^/],
      ['assignee=nobody special', /assignee/, /^/],
      ['title=', /needs a title/, /^/],
      ['labels=a b', /no label/, /^/],
      ['labels=,,x', /no label/, /^/],
      ['labels=x,', /no label/, /^/],
      ['labels=,', /no label/, /^/],
      [`kind=${long}`, /no kind/, /^/],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = await a.refused('usage', 'ticket set fix-login', setting)
      expect(error.message, setting).toMatch(message)
      expect(error.hint, setting).toMatch(hint)
      // Of several settings none is made when one is wrong.
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.refused('usage', 'ticket set fix-login', 'priority=P0', setting)
    }
    for (const [one, other] of [
      ['priority=P1', 'priority=P3'],
      ['state=queued', 'workflow_state=queued'],
    ] as const)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('usage', 'ticket set fix-login', one, other)).message).toContain('twice')
    expect(ticketBytes(repo.dir)).toEqual(before)
    await a.ok('ticket set fix-login priority=p0 labels=ui,urgent,ui kind=Bug state=intake assignee=agent:x', 'title= = a = b ')
    expect((await a.ok('ticket show fix-login')).ticket).toMatchObject({
      priority: 'P0',
      labels: ['ui', 'urgent'],
      kind: 'bug',
      workflow_state: 'intake',
      assignee: 'agent:x',
      title: '= a = b',
    })
    await a.ok('ticket set fix-login labels= assignee=')
    expect((await a.ok('ticket show fix-login')).ticket).toMatchObject({ labels: [], assignee: null })
  })

  it('of what it is already changes nothing', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    const before = ticketBytes(repo.dir)
    await a.ok('ticket set fix-login priority=P2 status=open title=fix-login workflow_state=ready')
    expect(ticketBytes(repo.dir)).toEqual(before)
  })
})

describe('a step that leads nowhere', () => {
  it('is refused, and the refusal names those that do', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    for (const [state, words, message, hint] of [
      ['intake', 'ticket queue fix-login', /is intake, and cannot become queued/, /from intake a ticket goes to ready/],
      ['intake', 'ticket done fix-login', /is intake, and cannot become done/, /goes to ready/],
      ['intake', 'ticket start fix-login', /intake/, /lh ticket ready/],
      ['ready', 'ticket done fix-login', /is ready, and cannot become done/, /intake or queued or inprogress/],
      ['queued', 'ticket set fix-login workflow_state=intake', /cannot become intake/, /ready or inprogress/],
      ['ready', 'ticket set fix-login workflow_state=inprogress', /started by claiming/, /lh ticket start/],
      ['inprogress', 'ticket set fix-login workflow_state=done', /gates are passed/, /lh ticket done/],
      ['done', 'ticket ready fix-login', /is done, and cannot become ready/, /lh ticket reopen/],
      ['done', 'ticket start fix-login', /done/, /lh ticket reopen/],
      ['done', 'ticket set fix-login status=pending', /is done/, /lh ticket reopen/],
      ['ready', 'ticket reopen fix-login --reason why', /is ready, and nothing says that it is over/, /lh ticket show/],
    ] as const) {
      putTicket(repo.dir, id, { state })
      const before = ticketBytes(repo.dir)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { code, stdout } = await a.run(`--json ${words}`)
      const { error } = JSON.parse(stdout)
      expect({ code, error: error?.code }, `${state}: ${words}`).toEqual({ code: 8, error: 'policy' })
      expect(error.message, `${state}: ${words}`).toMatch(message)
      expect(error.hint, `${state}: ${words}`).toMatch(hint)
      expect(ticketBytes(repo.dir), `${state}: ${words}`).toEqual(before)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('claim list')).count, `${state}: ${words}`).toBe(0)
    }
  })

  it('needs what it has to say', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    const before = ticketBytes(repo.dir)
    for (const [words, hint] of [
      ['ticket close fix-login', /--resolution/],
      ['ticket close fix-login --resolution=', /--resolution/],
      ['ticket reopen fix-login', /--reason/],
      ['ticket comment fix-login', /--message/],
      ['ticket review fix-login', /--message/],
      ['ticket depend fix-login', /--on/],
      ['ticket edit fix-login', /EDITOR/],
      ['ticket next --ttl 1m', /--claim/],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('usage', words)).hint, words).toMatch(hint)
    }
    for (const words of [
      'ticket show',
      'ticket set fix-login',
      'ticket start',
      'ticket done a b',
      'ticket comment fix-login --message=',
      'ticket frobnicate',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.refused('usage', words)
    }
    await a.refused('usage', 'ticket review fix-login --message x --verdict maybe')
    await a.refused('usage', 'ticket comment fix-login --message', 'x'.repeat(2049))
    expect(ticketBytes(repo.dir)).toEqual(before)
  })
})

describe('ticket depend', () => {
  it('refuses itself, a cycle, which it prints, and what there is not', async () => {
    const repo = repository()
    const [one, two, three] = ['20260101-000001-one', '20260101-000002-two', '20260101-000003-three']
    putTicket(repo.dir, one)
    putTicket(repo.dir, two, { dependsOn: [one] })
    putTicket(repo.dir, three, { dependsOn: [two] })
    const a = repo.as('agent:a')
    const before = ticketBytes(repo.dir)
    expect((await a.refused('policy', `ticket depend ${one} --on ${one}`)).message).toContain('itself')
    const cycle = await a.refused('policy', `ticket depend ${one} --on three`)
    expect(cycle.message).toContain(`${one} → ${three} → ${two} → ${one}`)
    expect(cycle.hint).toContain('--remove')
    await a.refused('not_found', `ticket depend ${one} --on nothing`)
    await a.refused('not_found', `ticket depend ${one} --on two --remove`)
    expect(ticketBytes(repo.dir)).toEqual(before)
    // Nobody else's lease is needed, and twice is once.
    await repo.as('agent:b').ok('ticket start', one)
    expect((await a.ok(`ticket depend three --on ${one}`)).ticket.depends_on).toEqual([two, one])
    expect((await a.ok(`ticket depend three --on ${one}`)).ticket.depends_on).toEqual([two, one])
    expect((await a.ok(`ticket depend three --on two --remove`)).ticket.depends_on).toEqual([one])
    expect(eventsIn(repo.dir, three).map(({ type, on, removed }: Doc) => [type, on, removed])).toEqual([
      ['dependency', one, undefined],
      ['dependency', two, true],
    ])
    // What is gone can still be taken away.
    fs.rmSync(path.join(ticketsIn(repo.dir), one), { recursive: true })
    expect((await a.ok(`ticket depend three --on ${one} --remove`)).ticket.depends_on).toEqual([])
  })

  it('of two that would close a circle from both sides at once makes at most one', async () => {
    const repo = repository()
    repo.busy = true
    const [one, two] = [putTicket(repo.dir, '20260101-000001-one'), putTicket(repo.dir, '20260101-000002-two')]
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    for (let round = 0; round < 5; round++) {
      // oxlint-disable-next-line no-await-in-loop -- round after round
      const results = await Promise.all([
        a.run(`--json ticket depend ${one} --on ${two}`),
        b.run(`--json ticket depend ${two} --on ${one}`),
      ])
      // oxlint-disable-next-line no-await-in-loop -- round after round
      const { tickets } = await a.ok('ticket list')
      expect(tickets.flatMap(({ depends_on: on }: Doc) => on).length, results.map(({ stdout }) => stdout).join('')).toBe(1)
      putTicket(repo.dir, one)
      putTicket(repo.dir, two)
    }
  })
})

it('commands about tickets outside a repository say so, and a bare one has no files', async () => {
  const lone = folder()
  const run = (cwd: string, ...args: readonly string[]) =>
    new Running(process.execPath, [executable, ...args, '--json', '--agent', 'agent:a'], { cwd, env: process.env }).ended
  expect((await run(lone, 'ticket', 'list')).code).toBe(2)
  execFileSync('git', ['init', '-q', '--bare', lone])
  expect((await run(lone, 'ticket', 'list')).stdout).toContain('"count":0')
  const { code, stdout } = await run(lone, 'ticket', 'create', '--title', 'T')
  expect(code).toBe(2)
  expect(JSON.parse(stdout).error.message).toContain('bare')
})
