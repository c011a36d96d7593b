import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'
import { type Doc, git } from './cli.ts'
import { ticketBytes } from './tickets.ts'
import { allGone, countOf, dirt, heldNow, id, isGone, references, type Shop, shop } from './work.ts'

// Work that is finished, and what must be so afterwards.

/** Work that is committed in a worktree of its own. */
export async function worked(...args: Parameters<typeof shop>): Promise<Shop> {
  const all = shop(...args)
  await all.a.ok('work fix-login')
  fs.writeFileSync(path.join(all.place, 'work'), 'done\n')
  git(all.place, 'add', 'work')
  git(all.place, 'commit', '-q', '-m', 'the work')
  return all
}

/** The base branch has the work once, the ticket is done, and nothing else is left. */
export async function expectFinished(all: Shop, base = 'main'): Promise<void> {
  const { repo, a } = all
  expect(git(repo.dir, 'show', `${base}:work`)).toBe('done')
  expect(git(repo.dir, 'show', `${base}:.leasehold/tickets/${id}/ticket.md`)).toMatch(/^workflow_state: done$/m)
  expect(countOf(repo.dir, base, 'the work')).toBe(1)
  expect(isGone(all)).toEqual(allGone)
  expect(await heldNow(a)).toEqual([])
  const ended = repo.records().findLast(({ op, outcome }) => op === 'release' && outcome === 'done')
  expect(ended.resources ?? [ended.resource]).toContain(`ticket:${id}`)
  expect((await a.ok('ticket doctor')).findings.filter(({ severity }: Doc) => severity !== 'info')).toEqual([])
  await a.ok('verify')
}

/** All that must not change when it is refused: base branch, branch, files, and who holds what. */
export const stateOf = async ({ repo, place, a }: Shop): Promise<unknown> => ({
  references: references(repo.dir),
  main: [dirt(repo.dir), ticketBytes(repo.dir)],
  place: [dirt(place), ticketBytes(place)],
  held: await heldNow(a),
})
