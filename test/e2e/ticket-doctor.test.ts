import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Doc, Repo } from '../support/cli.ts'
import { folder, git, parse, repository } from '../support/cli.ts'

// `lh ticket doctor` in real repositories. What each fault is called is tested with the doctor itself; here is what a person or a script
// meets: exit codes, the document, the diff, and claims of the real log.

const write = (repo: Repo, name: string, content: string): void => {
  fs.mkdirSync(path.dirname(path.join(repo.dir, name)), { recursive: true })
  fs.writeFileSync(path.join(repo.dir, name), content)
}

const [alpha, beta] = ['20260101-000001-alpha', '20260101-000002-beta']
const fileOf = (id: string, name = 'ticket.md'): string => `.leasehold/tickets/${id}/${name}`
const eventLine = (number: number, type: string): string =>
  `${JSON.stringify({ id: `01KE00000000000000000${String(number).padStart(5, '0')}`, type, at: '2026-01-01T00:00:00Z', actor: 'agent:ann' })}\n`

/** A ticket as the documents describe one. */
function add(repo: Repo, id: string, changes: Readonly<Record<string, string>> = {}): void {
  const fields = {
    id,
    slug: id.slice(16),
    title: 'Fix the login',
    status: 'open',
    kind: 'task',
    priority: 'P2',
    labels: '[]',
    workflow_state: 'ready',
    created_at: '2026-01-01T00:00:00Z',
    updated_at: '2026-01-01T00:00:00Z',
    assignee: 'null',
    legacy_ticket: 'null',
    queued_by: 'null',
    queued_at: 'null',
    depends_on: '[]',
    gates: '[]',
    ...changes,
  }
  const lines = Object.entries(fields).map(([key, value]) => `${key}: ${value}\n`)
  write(repo, fileOf(id), `---\n${lines.join('')}---\n\nWhat to do.\n`)
  write(repo, fileOf(id, 'events.jsonl'), eventLine(1, 'created'))
}

function ward(): Repo {
  const repo = repository()
  write(repo, '.gitattributes', '.leasehold/tickets/*/events.jsonl merge=union\n')
  add(repo, alpha)
  return repo
}

const said = ({ findings }: Doc): readonly string[] =>
  findings.map(({ severity, code, file, line }: Doc) => `${severity} ${code} ${file === null ? 'log' : `${file}:${line}`}`)

describe('lh ticket doctor', () => {
  it('has one line to say of a healthy repository, and needs nobody’s name', async () => {
    const repo = ward()
    const nobody = repo.as(null)
    expect(await nobody.run('ticket doctor')).toEqual({ code: 0, signal: null, stdout: '1 ticket, all is well\n', stderr: '' })
    expect(await nobody.ok('ticket doctor')).toEqual({ ok: true, findings: [], count: 0 })
    expect(await nobody.ok('ticket doctor --fix')).toEqual({ ok: true, findings: [], count: 0, fixed: [] })
    expect(fs.existsSync(repo.store)).toBe(false)
  })

  it('says what is wrong with file and line, and keeps the findings beside the error', async () => {
    const repo = ward()
    add(repo, beta, { status: 'opened', depends_on: `[${beta}, nosuch]` })
    const { code, stdout, stderr } = await repo.as('agent:ann').run('--json ticket doctor')
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' })
    const document = parse(stdout)
    expect(document).toMatchObject({ ok: false, error: { code: 'usage', exit: 2 }, count: 3 })
    expect(said(document)).toEqual([
      `error unknown-status ${fileOf(beta)}:5`,
      `error dependency-self ${fileOf(beta)}:16`,
      `error dependency-unknown ${fileOf(beta)}:16`,
    ])
    const text = await repo.as('agent:ann').run('ticket doctor')
    expect(text.code).toBe(2)
    expect(text.stdout).toContain(`${fileOf(beta)}\n  5: error: status is one of open, pending, closed, not "opened" (unknown-status)\n`)
    expect(text.stdout.endsWith('\n2 tickets: 3 errors, 0 warnings, 0 to know\n')).toBe(true)
  })

  it('mends what is safe, shows each change as a diff that Git takes back, and says what is left', async () => {
    const repo = ward()
    add(repo, beta, { depends_on: '[alpha]', gates: '[nosuch]' })
    const events = eventLine(1, 'created') + eventLine(3, 'comment') + eventLine(2, 'comment') + eventLine(3, 'comment')
    write(repo, fileOf(alpha, 'events.jsonl'), events)
    fs.rmSync(path.join(repo.dir, '.gitattributes'))
    git(repo.dir, 'add', '.')
    git(repo.dir, 'commit', '-qm', 'x')
    const { code, stdout } = await repo.as('agent:ann').run('--json ticket doctor --fix')
    expect(code).toBe(2)
    const document = parse(stdout)
    expect(said(document)).toEqual([`error gate-unknown ${fileOf(beta)}:17`])
    expect(document.fixed.map(({ file, code }: Doc) => `${code} ${file}`).toSorted()).toEqual([
      'attributes-missing .gitattributes',
      `dependency-abbreviated ${fileOf(beta, 'events.jsonl')}`,
      `dependency-abbreviated ${fileOf(beta)}`,
      `events-doubled ${fileOf(alpha, 'events.jsonl')}`,
    ])
    expect(fs.readFileSync(path.join(repo.dir, fileOf(alpha, 'events.jsonl')), 'utf8')).toBe(
      eventLine(1, 'created') + eventLine(2, 'comment') + eventLine(3, 'comment'),
    )
    expect(fs.readFileSync(path.join(repo.dir, fileOf(beta)), 'utf8')).toContain(`\ndepends_on: [${alpha}]\n`)
    for (const { diff } of document.fixed.toReversed()) execFileSync('git', ['apply', '-R', '-'], { cwd: repo.dir, input: diff })
    expect(git(repo.dir, 'status', '--porcelain')).toBe('')
  })

  it('does not touch a ticket.md that somebody else holds', async () => {
    const repo = ward()
    add(repo, beta)
    await repo.as('agent:bob').acquire(beta)
    add(repo, beta, { depends_on: '[alpha]' })
    const before = fs.readFileSync(path.join(repo.dir, fileOf(beta)), 'utf8')
    const { code, stdout } = await repo.as('agent:ann').run('--json ticket doctor --fix')
    expect(code).toBe(2)
    expect(parse(stdout)).toMatchObject({ fixed: [], findings: [{ code: 'dependency-abbreviated' }, { code: 'not-fixed' }] })
    expect(fs.readFileSync(path.join(repo.dir, fileOf(beta)), 'utf8')).toBe(before)
    expect((await repo.as('agent:bob').ok('ticket doctor --fix')).findings).toEqual([])
  })

  it('finds claims of tickets that are gone or over, and of worktrees that are gone', async () => {
    const repo = ward()
    add(repo, beta)
    git(repo.dir, 'add', '.')
    git(repo.dir, 'commit', '-qm', 'x')
    const linked = path.join(folder('linked-'), 'w')
    git(repo.dir, 'worktree', 'add', '-q', linked)
    await repo.as('agent:ann').acquire(alpha)
    await repo.as('agent:bob').in(linked).acquire(beta)
    expect((await repo.as(null).ok('ticket doctor')).findings).toEqual([])

    fs.rmSync(linked, { recursive: true })
    expect(said(await repo.as(null).ok('ticket doctor'))).toEqual(['warning claim-worktree-gone log'])

    git(repo.dir, 'rm', '-rq', path.dirname(fileOf(alpha)))
    git(repo.dir, 'commit', '-qm', 'y')
    const { code, stdout } = await repo.as(null).run('--json ticket doctor')
    expect(code).toBe(2)
    const document = parse(stdout)
    expect(said(document)).toEqual(['error claim-on-missing-ticket log', 'warning claim-worktree-gone log'])
    expect(document.findings[0].message).toContain('agent:ann')

    // What it advises, helps.
    for (const { fix } of document.findings) {
      const [command, reason] = /lh (claim evict \S+ --reason) '([^']*)'/.exec(fix)!.slice(1)
      await repo.as('human:eve').ok(command!, reason!)
    }
    expect((await repo.as(null).ok('ticket doctor')).findings).toEqual([])
  })

  it('has nothing against two branches whose events Git merged', async () => {
    const repo = ward()
    git(repo.dir, 'add', '.')
    git(repo.dir, 'commit', '-qm', 'x')
    const file = path.join(repo.dir, fileOf(alpha, 'events.jsonl'))
    for (const [branch, number] of [
      ['one', 3],
      ['other', 2],
    ] as const) {
      git(repo.dir, 'switch', '-qc', branch, 'main')
      fs.appendFileSync(file, eventLine(number, 'comment'))
      git(repo.dir, 'commit', '-qam', branch)
    }
    git(repo.dir, 'switch', '-q', 'one')
    git(repo.dir, 'merge', '-q', 'other')
    const document = await repo.as(null).ok('ticket doctor')
    expect(document.findings.every(({ severity }: Doc) => severity === 'info')).toBe(true)
    expect((await repo.as(null).ok('ticket doctor --fix')).findings).toEqual([])
    expect(fs.readFileSync(file, 'utf8')).toBe(eventLine(1, 'created') + eventLine(2, 'comment') + eventLine(3, 'comment'))
  })
})
