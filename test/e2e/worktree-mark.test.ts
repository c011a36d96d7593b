import fs from 'node:fs'
import { expect, it } from 'vitest'
import { git } from '../support/cli.ts'
import { shop } from '../support/work.ts'

const reasonOf = (dir: string, place: string): string | undefined =>
  git(dir, 'worktree', 'list', '--porcelain', '-z')
    .split('\0\0')
    .map(record => record.split('\0'))
    .find(fields => fields[0] === `worktree ${place}`)
    ?.find(field => field.startsWith('locked'))

it('a leased worktree is locked for Git, with who holds it for what, until it is given back', async () => {
  const { repo, place, a } = shop()
  await a.ok('work fix-login')
  expect(reasonOf(repo.dir, place)).toMatch(/^locked leasehold: agent:a holds ticket:/)
  expect(() => git(repo.dir, 'worktree', 'remove', place)).toThrow(/leasehold: agent:a holds/)
  await a.in(place).ok('claim release fix-login')
  expect(reasonOf(repo.dir, place)).toBeUndefined()
  git(repo.dir, 'worktree', 'remove', '--force', place)
  expect(fs.existsSync(place)).toBe(false)
})

it('doctor sees a mark of a lease that is over, and takes it away', async () => {
  const { repo, place, a } = shop()
  await a.ok('work fix-login')
  await a.ok('claim evict fix-login', '--reason', 'gone')
  expect(reasonOf(repo.dir, place)).toMatch(/^locked leasehold/)
  expect((await a.ok('doctor')).findings).toContainEqual(expect.objectContaining({ code: 'worktree-mark', file: place }))
  await a.ok('doctor --fix')
  expect(reasonOf(repo.dir, place)).toBeUndefined()
})
