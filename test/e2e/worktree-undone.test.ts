import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { git } from '../support/cli.ts'
import { commit } from '../support/tickets.ts'
import { branches, contentOf, known, leftovers, room } from '../support/worktrees.ts'

// An add that fails takes away what it made, and nothing of what somebody else put there.

describe('worktree add that fails', () => {
  it('leaves what somebody put at its path before Git got there', async () => {
    const { repo, home, a } = room()
    const place = path.join(home, 'spike')
    const hook = path.join(repo.dir, '.git/hooks/reference-transaction')
    fs.writeFileSync(hook, `#!/bin/sh\nmkdir -p '${place}/.git' && echo precious >'${place}/notes'\n`, { mode: 0o755 })
    const error = await a.refused('unavailable', 'worktree add spike')
    expect(error.message).toContain(`'${place}' already exists`)
    expect(error.hint).toContain(`${place} has what is not of it (notes), and that stays`)
    expect(contentOf(place)).toEqual({ notes: '- precious\n' })
    fs.rmSync(hook)
    expect([branches(repo.dir), known(repo.dir), leftovers(repo.dir)]).toEqual([['main'], [], []])
    await a.refused('policy', 'worktree add spike')
    fs.rmSync(place, { recursive: true })
    await a.ok('worktree add spike')
  })

  it('leaves what somebody put beside its files', async () => {
    const { repo, home, a } = room()
    fs.mkdirSync(path.join(repo.dir, 'in'))
    fs.writeFileSync(path.join(repo.dir, 'in/first'), 'one\n')
    fs.writeFileSync(path.join(repo.dir, 'last'), 'one\n')
    fs.writeFileSync(path.join(repo.dir, '.gitattributes'), 'last filter=failing\n')
    commit(repo.dir)
    git(repo.dir, 'config', 'filter.failing.smudge', 'echo precious >in/notes; false')
    git(repo.dir, 'config', 'filter.failing.required', 'true')
    const error = await a.refused('unavailable', 'worktree add spike')
    expect(error.hint).toContain('(in), and that stays')
    expect(contentOf(path.join(home, 'spike'))).toEqual({ 'in/notes': '- precious\n' })
    expect([branches(repo.dir), known(repo.dir), leftovers(repo.dir)]).toEqual([['main'], [], []])
  })
})
