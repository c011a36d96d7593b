import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, git, parse, Repo, folder } from '../support/cli.ts'
import { commit, putTicket } from '../support/tickets.ts'
import { branches, countOf, dirt, heldNow, read } from '../support/work.ts'

// Eight agents bring their work home to one base branch at the same time.

const slugs = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map(letter => `part-${letter}`)

describe('eight agents with eight tickets', () => {
  it('work, commit and finish at once: all is merged, nothing is lost', { timeout: 300_000 }, async () => {
    const dir = path.join(folder('crowd-'), 'app')
    fs.mkdirSync(dir)
    git(dir, 'init', '-q', '-b', 'main')
    fs.writeFileSync(path.join(dir, '.gitattributes'), '.leasehold/tickets/*/events.jsonl merge=union\nlist merge=union\n')
    fs.writeFileSync(path.join(dir, 'list'), 'first\n')
    for (const [n, slug] of slugs.entries()) putTicket(dir, `20260607-22022${n}-${slug}`)
    commit(dir)
    const repo = new Repo(dir)
    const told: string[] = []
    const oneDay = async (slug: string): Promise<void> => {
      const agent = repo.as(`agent:${slug}`)
      const begun = await agent.run(`--json work ${slug}`)
      expect(begun.code, begun.stdout).toBe(0)
      const { path: place } = parse(begun.stdout)
      for (const name of [slug, `${slug}-2`]) {
        fs.writeFileSync(path.join(place, name), name)
        fs.appendFileSync(path.join(place, 'list'), `${name}\n`)
        git(place, 'add', '-A')
        git(place, 'commit', '-q', '-m', `work on ${name}`)
      }
      for (let attempt = 1; ; attempt++) {
        // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
        const done = await agent.in(place).run('--json work --finish')
        if (done.code === 0) return
        const { error } = parse(done.stdout)
        told.push(error.message)
        expect(error.message, error.hint).toMatch(/^main has moved on in the meantime$/)
        expect(attempt).toBeLessThan(40)
      }
    }
    await Promise.all(slugs.map(oneDay))
    const files = git(dir, 'ls-tree', '--name-only', 'main').split('\n')
    const lines = read(dir, 'list').split('\n')
    for (const slug of slugs) {
      for (const name of [slug, `${slug}-2`]) {
        expect(files).toContain(name)
        expect(lines.filter(line => line === name)).toHaveLength(1)
        expect(countOf(dir, 'main', `work on ${name}`)).toBe(1)
      }
    }
    expect([dirt(dir), branches(dir)]).toEqual(['', ['main']])
    const someone = repo.as('agent:someone')
    expect(await heldNow(someone)).toEqual([])
    expect((await someone.ok('ticket list --status open')).tickets.map((ticket: Doc) => ticket.workflow_state)).toEqual(
      slugs.map(() => 'done'),
    )
    expect((await someone.ok('ticket doctor')).findings.filter(({ severity }: Doc) => severity !== 'info')).toEqual([])
    expect((await someone.ok('worktree list')).count).toBe(1)
    await someone.ok('verify')
    // Each ticket was acquired once for the work, and ended as done.
    const ends = repo.records().filter(({ op, outcome }) => op === 'release' && outcome === 'done')
    expect(ends).toHaveLength(slugs.length)
  })
})
