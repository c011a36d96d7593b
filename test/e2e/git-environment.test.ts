import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { executable, repository, Running } from '../support/cli.ts'
import { commit } from '../support/tickets.ts'
import { id, shop } from '../support/work.ts'

// What Git sets for whatever it starts, and what somebody has exported.

it('works on the repository that --repo names, whatever GIT_DIR says', async () => {
  const [named, exported] = [repository(), repository()]
  const a = named.as('agent:a', { GIT_DIR: path.join(exported.dir, '.git'), GIT_WORK_TREE: exported.dir }).in('/')
  expect((await a.ok(`claim acquire env:mix --repo ${named.dir}`)).lease).toMatchObject({ resource: 'env:mix', token: 1 })
  expect(named.story()).toEqual(['acquire env:mix'])
  expect(exported.story()).toEqual([])
  expect(fs.existsSync(exported.store)).toBe(false)
  // Without it they decide, as for Git.
  await a.ok('claim acquire env:other')
  expect(exported.story()).toEqual(['acquire env:other'])
})

it('finishes work from an alias of Git, which sets GIT_DIR in a linked worktree', async () => {
  const { repo, a } = shop()
  const { path: place } = await a.ok(`work ${id}`)
  commit(place, 'work')
  const env = { ...process.env, ...a.env }
  const alias = `!'${process.execPath}' '${executable}'`
  const done = await new Running('git', ['-c', `alias.lh=${alias}`, 'lh', 'work', '--finish'], { cwd: place, env }).ended
  expect(done).toMatchObject({ code: 0 })
  expect(done.stderr).not.toContain('warning')
  expect(fs.existsSync(place)).toBe(false)
  expect(fs.readFileSync(path.join(repo.dir, '.leasehold', 'tickets', id, 'ticket.md'), 'utf8')).toContain('workflow_state: done')
})
