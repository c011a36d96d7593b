import fs from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { folder, type Repo } from '../support/cli.ts'
import { hooked, type Person } from '../support/git-hooks.ts'
import { commit, linked, putTicket, ticketFile } from '../support/tickets.ts'

// The installed scripts decide without Node where there is nothing to judge, and only there: what they would get wrong, nobody would see.

let repo: Repo
let ann: Person
let bob: Person
let started: string

beforeEach(() => {
  ;({ repo, ann, bob } = hooked())
  // Instead of Node: something that says so, and is Node then.
  const bin = folder('bin-')
  started = path.join(bin, 'started')
  fs.writeFileSync(path.join(bin, 'node'), `#!/bin/sh\necho "$3" >>'${started}'\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 })
  for (const name of ['pre-commit', 'pre-merge-commit', 'pre-applypatch', 'prepare-commit-msg', 'pre-push']) {
    const file = path.join(repo.dir, '.git/hooks', name)
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replaceAll(`'${process.execPath}'`, `'${bin}/node'`))
  }
})

/** The hooks for which Node was started meanwhile. */
function asked(work: () => unknown): readonly string[] {
  fs.rmSync(started, { force: true })
  work()
  return fs.existsSync(started) ? fs.readFileSync(started, 'utf8').trim().split('\n') : []
}
const commits = (who = bob): readonly string[] => asked(() => expect(who.commit('x')).toMatchObject({ code: 0 }))

describe('Node is not started', () => {
  it('without a store, also for a push', () => {
    expect(commits()).toEqual([])
    expect(asked(() => bob.did('push', 'origin', 'main'))).toEqual([])
  })

  it('where nothing is held here, and nobody holds a path or a branch', () => {
    ann.ok('claim acquire fix')
    ann.ok('claim release fix')
    const there = bob.in(linked(repo, 'side'))
    ann.ok('claim acquire fix')
    expect(commits(there)).toEqual([])
    expect(commits(ann)).toEqual(['pre-commit', 'prepare-commit-msg'])
  })

  it('a second time, after a path or a branch was held once: until the log changes', () => {
    ann.ok('claim acquire path:src branch:side')
    ann.ok('claim release path:src')
    expect(commits()).toEqual(['pre-commit'])
    expect(commits()).toEqual([])
    ann.ok('claim acquire env:x')
    ann.ok('claim release env:x')
    expect(commits()).toEqual(['pre-commit'])
    expect(commits()).toEqual([])
    const there = ann.in(linked(repo, 'other'))
    there.ok('claim acquire path:src')
    bob.stage('src/x')
    expect(asked(() => expect(bob.commit('x')).toMatchObject({ code: 1 }))).toEqual(['pre-commit'])
  })
})

describe('Node is started', () => {
  it('for the files of a ticket, deleted ones too', () => {
    const id = putTicket(repo.dir, '20260101-000000-fix')
    commit(repo.dir)
    const there = linked(repo, 'side')
    ann.ok('claim acquire fix')
    fs.rmSync(path.join(there, '.leasehold'), { recursive: true })
    const his = bob.in(there)
    his.did('add', '-A')
    expect(asked(() => expect(his.commit('gone')).toMatchObject({ code: 1 }))).toEqual(['pre-commit'])
    his.did('reset', '-q', '--hard')
    fs.appendFileSync(ticketFile(there, id), 'x\n')
    expect(asked(() => expect(his.git('commit', '-a', '-m', 'x')).toMatchObject({ code: 1 }))).toEqual(['pre-commit'])
    expect(commits(his)).toEqual([])
  })

  it('where the store may be elsewhere, whoever says so', () => {
    const store = folder('store-')
    ann.with({ LEASEHOLD_STORE: `file://${store}` }).ok('claim acquire path:src')
    bob.stage('src/x')
    const refuses = (who: Person): void => {
      expect(asked(() => expect(who.commit('x')).toMatchObject({ code: 1 }))).toEqual(['pre-commit'])
    }
    // What was noted here is of that store.
    fs.rmSync(path.join(repo.dir, '.git/leasehold/held.json'))
    refuses(bob.with({ LEASEHOLD_STORE: `file://${store}` }))
    fs.mkdirSync(path.join(repo.dir, '.leasehold'), { recursive: true })
    for (const text of [`store: file://${store}\n`, `{"st\\u006fre": "file://${store}"}`]) {
      fs.writeFileSync(path.join(repo.dir, '.leasehold/config.yaml'), text)
      refuses(bob)
    }
    fs.rmSync(path.join(repo.dir, '.leasehold'), { recursive: true })
    const home = folder('home-')
    fs.mkdirSync(path.join(home, '.config/leasehold'), { recursive: true })
    fs.writeFileSync(path.join(home, '.config/leasehold/config.yaml'), `ttl: 5m\nstore: file://${store}`)
    refuses(bob.with({ HOME: home }))
    // Nobody says so here, but the repository knows which store it uses.
    expect(asked(() => expect(bob.commit('x').said).toContain(`leases are in file://${store}`))).toContain('pre-commit')
  })

  it('where the environment or the worktree holds something, and in a worktree that was made for a ticket', () => {
    ann.ok('claim acquire env:x')
    expect(commits(bob)).toEqual(['pre-commit', 'prepare-commit-msg'])
    ann.ok('claim release env:x')
    expect(commits(bob)).toEqual([])
    expect(asked(() => bob.ok('exec ticket:y -- git commit --allow-empty -q -m x'))).toEqual(['pre-commit', 'prepare-commit-msg'])
    putTicket(repo.dir, '20260101-000000-fix')
    commit(repo.dir)
    const dir = path.join(folder('wt-'), 'fix')
    ann.ok('worktree add fix --path', dir)
    expect(commits(bob.in(dir))).toEqual(['pre-commit'])
  })
})
