import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findRepository } from '../../../src/host/git.ts'
import { Catalogue } from '../../../src/service/ticket/catalogue.ts'
import { createTicketDirectory, ticketsDirectory } from '../../../src/service/ticket/files.ts'
import { formatTicket } from '../../../src/service/ticket/front-matter.ts'
import { idTime, slugInId } from '../../../src/service/ticket/identify.ts'
import type { Ticket } from '../../../src/service/ticket/ticket.ts'

let base: string
let main: string
const realPath = process.env['PATH']!
const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH: realPath } }).trim()

/** A Git that counts how often it is called. */
const calls = (): readonly string[] => (existsSync(join(base, 'calls')) ? readFileSync(join(base, 'calls'), 'utf8').trim().split('\n') : [])
const forget = (): void => rmSync(join(base, 'calls'), { force: true })

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-catalogue-')))
  const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8', env: { ...process.env, PATH: realPath } }).trim()
  mkdirSync(join(base, 'bin'))
  writeFileSync(join(base, 'bin', 'git'), `#!/bin/sh\necho "$*" >> "${join(base, 'calls')}"\nexec "${real}" "$@"\n`)
  chmodSync(join(base, 'bin', 'git'), 0o755)
  process.env['PATH'] = `${join(base, 'bin')}${delimiter}${realPath}`
  main = join(base, 'main')
  git(base, 'init', '-q', '-b', 'main', 'main')
  git(main, 'commit', '-q', '--allow-empty', '-m', 'first')
  mkdirSync(join(main, '.git', 'leasehold'))
})
afterEach(() => {
  process.env['PATH'] = realPath
  rmSync(base, { recursive: true, force: true })
})

const text = (id: string, more: Partial<Ticket> = {}, body = 'Body\n'): string => {
  const createdAt = idTime(id) ?? '2026-06-07T22:02:25Z'
  return formatTicket(
    {
      id,
      slug: slugInId(id),
      title: slugInId(id),
      status: 'open',
      kind: 'task',
      priority: 'P2',
      labels: [],
      workflowState: 'ready',
      createdAt,
      updatedAt: createdAt,
      assignee: null,
      legacyTicket: null,
      queuedBy: null,
      queuedAt: null,
      dependsOn: [],
      gates: [],
      ...more,
    },
    body,
  )
}
const put = (root: string, id: string, more: Partial<Ticket> = {}): void =>
  createTicketDirectory(root, id, { 'ticket.md': text(id, more), 'events.jsonl': '' })
const rewrite = (root: string, id: string, more: Partial<Ticket>): void =>
  writeFileSync(join(ticketsDirectory(root), id, 'ticket.md'), text(id, more))
const commit = (root: string): void => {
  git(root, 'add', '-A')
  git(root, 'commit', '-q', '-m', 'tickets')
}
const worktree = (name: string, from = 'main'): string => {
  git(main, 'worktree', 'add', '-q', '-b', name, join(base, name), from)
  return join(base, name)
}
const open = (root: string, baseBranch: string | null = null): Catalogue => Catalogue.open(findRepository(root, {}), baseBranch)
const all = async (catalogue: Catalogue): Promise<string[]> => {
  const seen: string[] = []
  for await (const { ticket, located } of catalogue.list()) seen.push(`${ticket.id} ${located.source} ${ticket.workflowState}`)
  return seen
}
const fault = async (run: () => unknown): Promise<{ code: string; message: string; hint: string; details: Record<string, unknown> }> => {
  try {
    await run()
  } catch (error) {
    return error as never
  }
  throw new Error('nothing was thrown')
}

const [a, b, c, d] = ['20260601-000000-alpha', '20260601-000001-beta', '20260601-000002-gamma', '20260601-000003-delta'] as const

describe('where tickets are', () => {
  it('is nowhere at first', async () => {
    const catalogue = open(main)
    expect(catalogue.present).toBe(false)
    expect(catalogue.ids()).toEqual([])
    expect(await all(catalogue)).toEqual([])
    expect(catalogue.locate(a)).toBeNull()
    expect(await fault(() => catalogue.read(a))).toMatchObject({ code: 'not_found', hint: 'See: lh ticket list' })
    expect(catalogue.directoryHere(a)).toBe(join(main, '.leasehold', 'tickets', a))
  })

  it('is here, else in the main worktree, else on the base branch', async () => {
    put(main, a)
    put(main, b)
    commit(main)
    const linked = worktree('topic')
    rewrite(linked, a, { workflowState: 'inprogress' })
    rmSync(join(ticketsDirectory(linked), b), { recursive: true })
    put(main, c)
    git(main, 'checkout', '-q', '-b', 'elsewhere')
    git(main, 'rm', '-q', '-r', join(ticketsDirectory(main), b))
    put(linked, d)
    const catalogue = open(linked)
    expect(await all(catalogue)).toEqual([`${a} here inprogress`, `${b} base ready`, `${c} main ready`, `${d} here ready`])
    expect(catalogue.ids()).toEqual([a, b, c, d])
    expect(catalogue.directories(a)).toEqual([join(ticketsDirectory(linked), a), join(ticketsDirectory(main), a)])
    expect(catalogue.directories(c)).toEqual([join(ticketsDirectory(main), c)])
    expect(catalogue.directories(b)).toEqual([])
    expect(catalogue.locate(b)).toMatchObject({ source: 'base', directory: null, text: text(b) })
    expect(await catalogue.read(b)).toMatchObject({ ticket: { id: b }, body: 'Body\n', problems: [] })
    expect(await catalogue.read(c)).toMatchObject({ located: { source: 'main' } })
    expect(open(main).ids()).toEqual([a, b, c])
    expect(catalogue.present).toBe(true)
  })

  it('sees only the base branch in a bare repository, and the main worktree is no main worktree there', async () => {
    put(main, a)
    commit(main)
    git(base, 'clone', '-q', '--bare', 'main', 'bare.git')
    const bare = join(base, 'bare.git')
    expect(await all(open(bare))).toEqual([`${a} base ready`])
    expect((await fault(() => open(bare).directoryHere(a))).code).toBe('usage')
    git(bare, 'worktree', 'add', '-q', '-b', 'topic', join(base, 'of-bare'))
    put(join(base, 'of-bare'), b)
    expect(await all(open(join(base, 'of-bare')))).toEqual([`${a} here ready`, `${b} here ready`])
    expect(await all(open(bare))).toEqual([`${a} base ready`])
  })

  it('takes the base branch from the configuration, the remote, the usual names, and last from the main worktree', () => {
    expect(open(main).baseBranch).toBe('main')
    git(main, 'branch', 'master')
    git(main, 'branch', 'develop')
    expect(open(main).baseBranch).toBe('main')
    expect(open(main, 'develop').baseBranch).toBe('develop')
    git(main, 'symbolic-ref', 'refs/remotes/origin/HEAD', 'refs/remotes/origin/develop')
    expect(open(main).baseBranch).toBe('develop')
    git(main, 'symbolic-ref', 'refs/remotes/origin/HEAD', 'refs/remotes/origin/gone')
    expect(open(main).baseBranch).toBe('main')
    git(main, 'branch', '-m', 'main', 'odd')
    expect(open(main).baseBranch).toBe('master')
    git(main, 'branch', '-D', 'master')
    git(main, 'pack-refs', '--all')
    expect(open(main).baseBranch).toBe('odd')
    git(main, 'branch', 'trunk')
    git(main, 'pack-refs', '--all')
    expect(open(main).baseBranch).toBe('trunk')
    git(main, 'branch', '-D', 'trunk')
    git(main, 'checkout', '-q', '--detach')
    expect(open(main).baseBranch).toBeNull()
    expect(open(main).ids()).toEqual([])
  })

  it('reads a base branch that only the remote has', () => {
    put(main, a)
    commit(main)
    git(base, 'clone', '-q', '-b', 'main', 'main', 'clone')
    const clone = join(base, 'clone')
    git(clone, 'checkout', '-q', '--orphan', 'new')
    git(clone, 'rm', '-q', '-r', '-f', '.')
    git(clone, 'branch', '-D', 'main')
    expect(open(clone, 'main').ids()).toEqual([a])
    expect(open(clone, 'origin/main').ids()).toEqual([a])
    expect(open(clone, 'nowhere').ids()).toEqual([])
  })

  it('asks Git twice for a commit, once for the next, and not at all for what is in the files', async () => {
    put(main, a)
    put(main, b)
    commit(main)
    const linked = worktree('topic')
    expect(await open(linked).resolve(a)).toBe(a)
    expect(open(linked).locate(b)?.source).toBe('here')
    expect(open(linked).present).toBe(true)
    expect(calls()).toEqual([])
    expect(await all(open(linked))).toHaveLength(2)
    expect(calls()).toHaveLength(2)
    forget()
    expect(await all(open(main))).toHaveLength(2)
    expect(await open(main).copies(a)).toHaveLength(2)
    expect(await open(main).isDone(a)).toMatchObject({ done: false })
    expect(calls()).toEqual([])
    writeFileSync(join(main, 'file'), '')
    commit(main)
    expect(await all(open(main))).toHaveLength(2)
    expect(calls()).toHaveLength(1)
    forget()
    put(main, c)
    commit(main)
    expect(await all(open(linked))).toHaveLength(3)
    expect(calls()).toHaveLength(2)
  })

  it('is not led astray by a damaged, foreign or unwritable cache', async () => {
    put(main, a)
    commit(main)
    const expected = [`${a} base ready`]
    git(main, 'checkout', '-q', '--orphan', 'empty')
    git(main, 'rm', '-q', '-r', '-f', '.')
    const cache = join(main, '.git', 'leasehold', 'tickets.base')
    expect(await all(open(main))).toEqual(expected)
    const good = readFileSync(cache)
    const damaged = ['', '\n', 'rubbish', good.subarray(0, good.length - 3), good.toString().replace(/ 1 \w+/, ` 1 ${'0'.repeat(40)}`)]
    for (const content of damaged) {
      writeFileSync(cache, content)
      expect(await all(open(main))).toEqual(expected)
      expect(readFileSync(cache)).toEqual(good)
    }
    rmSync(cache)
    mkdirSync(cache)
    expect(await all(open(main))).toEqual(expected)
    rmSync(join(main, '.git', 'leasehold'), { recursive: true })
    expect(await all(open(main))).toEqual(expected)
    expect(existsSync(join(main, '.git', 'leasehold'))).toBe(false)
  })

  it('looks up many tickets of the base branch', async () => {
    const ids = Array.from({ length: 40 }, (_, number) => `20260601-0000${String(number).padStart(2, '0')}-t${number}`)
    for (const id of ids) put(main, id, { workflowState: 'done' })
    commit(main)
    git(main, 'rm', '-q', '-r', '.')
    const catalogue = open(main)
    for (const id of ids) expect(await catalogue.isDone(id)).toEqual({ done: true, where: 'base', elsewhere: null })
    expect(await catalogue.isDone('20260601-000000-t')).toMatchObject({ done: false })
    expect(await catalogue.isDone('20260601-000099-t')).toMatchObject({ done: false })
  })
})

describe('odd things in the way', () => {
  it('follows no symbolic link, and says so', async () => {
    put(main, a)
    put(main, b)
    const tickets = ticketsDirectory(main)
    symlinkSync(join(tickets, a), join(tickets, c))
    rmSync(join(tickets, b, 'ticket.md'))
    symlinkSync(join(tickets, a, 'ticket.md'), join(tickets, b, 'ticket.md'))
    const catalogue = open(main)
    expect(await all(catalogue)).toEqual([`${a} here ready`])
    expect(catalogue.warnings.join('\n')).toContain(`${join(tickets, c)} is a symbolic link`)
    expect(catalogue.warnings.join('\n')).toContain(`${join(tickets, b, 'ticket.md')} cannot be read: symbolic link`)
    expect(catalogue.locate(c)).toBeNull()
    expect(await fault(() => catalogue.read(b))).toMatchObject({ code: 'unavailable' })
    const linked = worktree('topic')
    symlinkSync(join(main, '.leasehold'), join(linked, '.leasehold'))
    for (const look of [
      () => open(linked).ids(),
      () => open(linked).present,
      () => open(linked).resolve(a),
      () => open(linked).locate(a),
      () => open(linked).copies(a),
      () => open(linked).directoryHere(a),
    ]) {
      expect(await fault(look)).toMatchObject({ code: 'unavailable', message: expect.stringContaining('is a symbolic link') })
    }
  })

  it('passes over what is no ticket, and over a file that is too large', async () => {
    put(main, a)
    const tickets = ticketsDirectory(main)
    mkdirSync(join(tickets, b))
    mkdirSync(join(tickets, '.tmp-x'))
    mkdirSync(join(tickets, 'Not A Ticket'))
    writeFileSync(join(tickets, 'README.md'), '')
    mkdirSync(join(tickets, c))
    execFileSync('mkfifo', [join(tickets, c, 'ticket.md')])
    mkdirSync(join(tickets, d))
    writeFileSync(join(tickets, d, 'ticket.md'), '')
    truncateSync(join(tickets, d, 'ticket.md'), 2 ** 33)
    const catalogue = open(main)
    expect(await all(catalogue)).toEqual([`${a} here ready`])
    expect(catalogue.warnings).toHaveLength(3)
    expect(await fault(() => catalogue.read(d))).toMatchObject({ code: 'unavailable', message: expect.stringContaining('1048576') })
    expect(await fault(() => catalogue.read(c))).toMatchObject({ code: 'unavailable' })
    expect(await fault(() => catalogue.read(b))).toMatchObject({ code: 'not_found' })
    expect(await fault(() => catalogue.read('../../x'))).toMatchObject({ code: 'not_found' })
  })

  it('reads front matter of any length and of any kind, under the name of the directory', async () => {
    put(main, a)
    const file = join(ticketsDirectory(main), a, 'ticket.md')
    for (let length = 3400; length < 3700; length += 3) {
      writeFileSync(
        file,
        text(a, { title: 'x'.repeat(length) })
          .replace('---\n\n', '---x: 1\nkind: epic\n---\n\n')
          .replace('kind: task\n', ''),
      )
      for await (const { ticket } of open(main).list()) expect(ticket.kind).toBe('epic')
    }
    writeFileSync(file, text(a, { title: '日本'.repeat(2000) }))
    for await (const { ticket } of open(main).list()) expect(ticket.title).toHaveLength(4000)
    writeFileSync(file, text(b).replace('title: beta', 'title: |-\n  two\n  lines'))
    const read = await open(main).read(a)
    expect(read.ticket).toMatchObject({ id: a, title: 'two\nlines' })
    expect(read.problems).toMatchObject([{ code: 'id_mismatch', line: 2 }])
    expect(await all(open(main))).toEqual([`${a} here ready`])
  })

  it('takes a directory without a ticket for none, if there is the ticket elsewhere', async () => {
    put(main, a)
    commit(main)
    const linked = worktree('topic')
    rmSync(join(ticketsDirectory(linked), a, 'ticket.md'))
    expect(await all(open(linked))).toEqual([`${a} main ready`])
    expect(open(linked).locate(a)?.source).toBe('main')
    rmSync(join(ticketsDirectory(main), a, 'ticket.md'))
    expect(await all(open(linked))).toEqual([`${a} base ready`])
  })
})

describe('resolve', () => {
  beforeEach(() => {
    put(main, a, { legacyTicket: 'JIRA-17', slug: 'renamed' })
    put(main, b, { legacyTicket: 'jira-178' })
    put(main, '20260601-000002-beta-two', { legacyTicket: 'tickets/old.md' })
    put(main, '20260602-000000-gamma')
    put(main, '20260603-000000-gamma')
    put(main, 'imported-1')
  })

  it('takes an id, a slug, a beginning, and what it was called elsewhere', async () => {
    const catalogue = open(main)
    for (const [spelling, id] of [
      [a, a],
      [` ${a.toUpperCase()} `, a],
      ['alpha', a],
      ['ALPH', a],
      ['20260601-000000', a],
      ['beta', b],
      ['beta-', '20260601-000002-beta-two'],
      ['imported-1', 'imported-1'],
      ['impo', 'imported-1'],
      ['renamed', a],
      ['rename', a],
      ['jira-17', a],
      ['JIRA-178', b],
      ['tickets/old.md', '20260601-000002-beta-two'],
      ['tickets/ol', '20260601-000002-beta-two'],
    ] as const) {
      expect([spelling, await catalogue.resolve(spelling)]).toEqual([spelling, id])
    }
  })

  it('finds nothing for what is nothing, or too short', async () => {
    for (const spelling of ['', 'alp', 'nothing', '20260604', '../main', 'alpha/', '*']) {
      expect(await fault(() => open(main).resolve(spelling))).toMatchObject({ code: 'not_found', hint: 'See: lh ticket list' })
    }
  })

  it('lists what it could be', async () => {
    for (const [spelling, candidates] of [
      ['gamma', ['20260602-000000-gamma', '20260603-000000-gamma']],
      ['20260601', [a, b, '20260601-000002-beta-two']],
      ['jira', [a, b]],
    ] as const) {
      const { code, message, details } = await fault(() => open(main).resolve(spelling))
      expect(code).toBe('usage')
      expect(details).toEqual({ candidates })
      for (const candidate of candidates) expect(message).toContain(candidate)
    }
  })

  it('counts tickets of all places', async () => {
    commit(main)
    const linked = worktree('topic')
    put(main, '20260604-000000-epsilon')
    put(linked, '20260605-000000-epsilon')
    expect((await fault(() => open(linked).resolve('epsi'))).code).toBe('usage')
    expect(await open(linked).resolve('20260604')).toBe('20260604-000000-epsilon')
    git(linked, 'rm', '-q', '-r', join(ticketsDirectory(linked), a))
    git(main, 'checkout', '-q', '-b', 'other')
    git(main, 'rm', '-q', '-r', join(ticketsDirectory(main), a))
    expect(await open(linked).resolve('alpha')).toBe(a)
    expect(await open(linked).resolve(a)).toBe(a)
    expect(await open(linked).resolve('jira-17')).toBe(a)
  })

  it('does not take an empty directory for a ticket', async () => {
    mkdirSync(join(ticketsDirectory(main), '20260609-000000-alphabet'))
    expect(await open(main).resolve('alpha')).toBe(a)
    expect((await fault(() => open(main).resolve('alphab'))).code).toBe('not_found')
  })
})

describe('the copies of a ticket', () => {
  it('are those here, in the main worktree and on the base branch, with their branches', async () => {
    put(main, a)
    commit(main)
    const linked = worktree('topic')
    rewrite(linked, a, { workflowState: 'inprogress' })
    git(main, 'checkout', '-q', '-b', 'feature')
    rewrite(main, a, { workflowState: 'done' })
    const states = async (root: string): Promise<unknown[]> =>
      (await open(root).copies(a)).map(({ source, branch, ticket }) => [source, branch, ticket.workflowState])
    expect(await states(linked)).toEqual([
      ['here', 'topic', 'inprogress'],
      ['main', 'feature', 'done'],
      ['base', 'main', 'ready'],
    ])
    expect(await states(main)).toEqual([
      ['here', 'feature', 'done'],
      ['base', 'main', 'ready'],
    ])
    git(linked, 'checkout', '-q', '--detach')
    expect((await states(linked))[0]).toEqual(['here', null, 'inprogress'])
    expect(await open(linked).copies('none')).toEqual([])
  })

  it('are done when this worktree or the base branch says so; elsewhere is elsewhere', async () => {
    put(main, a)
    put(main, b)
    commit(main)
    const linked = worktree('topic')
    const answer = (done: boolean, where: string | null, elsewhere: string | null): unknown => ({ done, where, elsewhere })
    expect(await open(linked).isDone(a)).toEqual(answer(false, null, null))
    git(main, 'checkout', '-q', '-b', 'feature')
    rewrite(main, a, { workflowState: 'done' })
    commit(main)
    expect(await open(linked).isDone(a)).toEqual(answer(false, null, 'feature'))
    expect(await open(main).isDone(a)).toEqual(answer(true, 'here', null))
    git(main, 'checkout', '-q', '--detach')
    expect(await open(linked).isDone(a)).toEqual(answer(false, null, 'HEAD'))
    git(main, 'checkout', '-q', 'main')
    git(main, 'merge', '-q', 'feature')
    expect(await open(linked).isDone(a)).toEqual(answer(true, 'base', null))
    rewrite(linked, b, { status: 'closed' })
    expect(await open(linked).isDone(b)).toEqual(answer(true, 'here', null))
    expect(await open(linked).isDone('none')).toEqual(answer(false, null, null))
  })
})
