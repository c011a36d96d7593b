import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { folder, git, Repo, repository } from '../support/cli.ts'
import { type } from '../support/shell.ts'
import { commit, putTicket } from '../support/tickets.ts'
import { id, save } from '../support/work.ts'

// What is printed as a command works when it is typed so, also where names have blanks and quotes in them.

/** The command after a colon, up to the next `;`, `,` or the end of the line. */
const after = (text: string, words: string): string => {
  const rest = text.slice(text.indexOf(words) + words.length)
  expect(text).toContain(words)
  return /^(?:'[^']*'|\\.|[^',;\n])*/.exec(rest)![0].trim()
}

it.each(['path:a b.txt', "env:it's", 'path:src/**'])('says in commands how %s is typed', async resource => {
  const repo = repository()
  const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
  await a.acquire('', resource)
  const { hint } = await b.refused('held', 'claim acquire', resource)
  expect(type(after(hint, 'see: '), b)).toContain('agent:a')
  const why = await b.ok('why', resource)
  expect(why.next).toMatch(/^lh claim acquire '.*' --wait$/)
  await a.ok('claim release', resource)
  expect(type((await b.ok('why', resource)).next, b)).toContain('acquired')
  // Not ours: the command to end it, for when that is right.
  const stranger = await a.refused('not_owner', 'claim renew', resource)
  expect(type(after(stranger.hint, 'any more: '), a)).toContain('agent:b')
})

it('says how to wait for a ticket, and how to go on with it, in words of the command that was asked', async () => {
  const dir = folder('again-')
  git(dir, 'init', '-q', '-b', 'main')
  putTicket(dir, id)
  save(dir, 'file', 'one\n')
  const repo = new Repo(dir)
  const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
  await a.ok(`work ${id}`)
  const held = await b.refused('held', `work ${id}`)
  expect(held.hint).toMatch(new RegExp(`or wait for it: lh work ${id} --wait$`))
  const launched = await b.refused('held', `launch ${id} --role dev --ready fd -- true`)
  expect(launched.hint).toMatch(/^see: lh why ticket:\S+, or launch it again when it is free$/)
  // What was taken away is taken again where the work is, also when it is to be finished.
  await b.ok(`claim evict ${id} --reason`, 'a test')
  const lost = await a.refused('superseded', `work --finish ${id}`)
  expect(lost.hint).toBe(`to take it again: lh work ${id}`)
  await a.ok(after(lost.hint, 'again: lh '))
  await b.refused('held', `work ${id}`)
  expect((await a.run(`work --finish ${id}`)).code).toBe(0)
})

it('says in commands how a path with blanks is typed', async () => {
  const dir = path.join(folder('blank-'), "it's my repo")
  fs.mkdirSync(dir)
  git(dir, 'init', '-q', '-b', 'main')
  putTicket(dir, id)
  save(dir, 'file', 'one\n')
  const a = new Repo(dir).as('agent:a')
  const begun = await a.run(`work ${id}`)
  const place = path.join(path.dirname(dir), "it's my repo-worktrees", 'fix-login')
  expect(type(`${after(begun.stderr, 'go there: ')} && pwd`, a)).toBe(place)
  // A conflict is resolved where it is.
  save(place, 'file', 'theirs\n')
  save(dir, 'file', 'ours\n')
  const conflict = await a.in(place).run('work --finish')
  expect(conflict.code).toBe(8)
  expect(type(`${after(conflict.stderr, 'resolve them: ')} && pwd`, a)).toBe(place)
  fs.writeFileSync(path.join(place, 'file'), 'both\n')
  commit(place, 'merge')
  const done = await a.in(place).run('work --finish')
  expect(done.code).toBe(0)
  expect(type(`${after(done.stderr, 'what was removed: ')} && pwd`, a)).toBe(dir)
})

it.each([
  ['ticket list --status foo', 'lh ticket list --help'],
  ['ticket list --state foo', 'lh ticket list --help'],
  ['ticket import --from foo x', 'lh ticket import --help'],
  ['selftest --seconds 0', 'lh selftest --help'],
  ['selftest --agents 1', 'lh selftest --help'],
  ['store move --back', 'lh store move --to <store>'],
  ['store move --to foo', 'etcd://host:2379/space'],
  ['claim history --since foo', '2026-01-31T12:00:00Z'],
  ['claim history --since 2026-13', '2026-01-31T12:00:00Z'],
  ['claim history --since -5', '--since=-…'],
])('says after %s what helps', async (words, help) => {
  const { message, hint } = await repository().as('agent:a').refused('usage', words)
  expect(hint).toContain(help)
  expect(message).not.toContain('ambiguous')
})

it('sends nobody to the help of a command for what a file says', async () => {
  const repo = repository()
  fs.mkdirSync(path.join(repo.dir, '.leasehold'))
  fs.writeFileSync(path.join(repo.dir, '.leasehold/config.yaml'), 'enforce: [a, b]\n')
  const { message, hint } = await repo.as('agent:a').refused('usage', 'claim list')
  expect(message).toContain('config.yaml')
  expect(hint).not.toContain('--help')
})
