import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, repository } from '../support/cli.ts'
import { commit, linked, putTicket, ticketBytes, ticketsIn } from '../support/tickets.ts'

// One ticket has many spellings and one key, and it is the key that is locked.

const id = '20260607-220225-fix-login'
const spellings = [
  id,
  id.toUpperCase(),
  `ticket:${id}`,
  'TICKET:Fix-Login',
  'fix-login',
  'Fix-Log',
  'fix-',
  '20260607-22',
  '2026',
  'JIT-0042',
  'jit-00',
]

describe('the spellings of a ticket', () => {
  it('all mean the same lease', async () => {
    const repo = repository()
    putTicket(repo.dir, id, { legacy: 'JIT-0042' })
    putTicket(repo.dir, '20270101-000000-another')
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const { lease_id: leaseId, resource } = await a.acquire(id)
    expect(resource).toBe(`ticket:${id}`)
    for (const spelling of spellings) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await a.ok('claim acquire', spelling), spelling).toMatchObject({ already_held: true, lease: { lease_id: leaseId, resource } })
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await b.refused('held', 'claim acquire', spelling)).details.lease.resource, spelling).toBe(resource)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await b.ok('why', spelling)).resource, spelling).toBe(resource)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await b.ok('ticket show', spelling)).ticket.id, spelling).toBe(id)
    }
    expect((await a.ok('claim list')).count).toBe(1)
    for (const words of ['claim renew fix-', 'claim check JIT-0042 --token 1', 'claim status --resource 2026', 'claim release 20260607']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.ok(words)
    }
    expect((await a.ok('claim list')).count).toBe(0)
    expect((await a.history('fix-l')).every(({ resource: key }: Doc) => key === resource)).toBe(true)
  })

  it('of two agents that spell it differently at the same moment, one wins', async () => {
    const repo = repository()
    putTicket(repo.dir, id, { legacy: 'JIT-0042' })
    repo.busy = true
    for (let round = 0; round < 6; round++) {
      const [mine, yours] = [spellings[round]!, spellings.at(-1 - round)!]
      // oxlint-disable-next-line no-await-in-loop -- round after round
      const results = await Promise.all([
        repo.as('agent:a').run('--json claim acquire', mine),
        repo.as('agent:b').run('--json claim acquire', yours),
      ])
      expect(
        results.map(({ code }) => code).toSorted((x, y) => x! - y!),
        `${mine} against ${yours}`,
      ).toEqual([0, 3])
      // oxlint-disable-next-line no-await-in-loop -- round after round
      await repo.as(results[0].code === 0 ? 'agent:a' : 'agent:b').ok('claim release', yours)
    }
    expect(new Set(repo.records().map(({ resource }) => resource))).toEqual(new Set([`ticket:${id}`]))
  })

  it('are refused when they could be several, and the several are listed', async () => {
    const repo = repository()
    const one = putTicket(repo.dir, '20260101-000000-fix-login', { legacy: 'A-1' })
    const other = putTicket(repo.dir, '20260202-000000-fix-logout', { legacy: 'A-1' })
    const third = putTicket(repo.dir, '20260303-000000-unlike')
    const a = repo.as('agent:a')
    for (const spelling of ['fix-', 'FIX-LOG', 'A-1']) {
      for (const words of ['ticket show', 'claim acquire', 'ticket start', 'why', 'claim release', 'ticket set']) {
        const more = words === 'ticket set' ? ['priority=P0'] : []
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        const { message, details } = await a.refused('usage', words, spelling, ...more)
        expect(details.candidates, `${words} ${spelling}`).toEqual([one, other])
        expect(message).toContain(one)
        expect(message).toContain(other)
      }
    }
    expect((await a.refused('usage', 'claim acquire 2026')).details.candidates).toEqual([one, other, third])
    // A whole slug is not the beginning of another.
    expect((await a.ok('ticket show fix-login')).ticket.id).toBe(one)
    // Three characters are no prefix.
    await a.refused('not_found', 'ticket show fix')
  })

  it('are not made up: a word that names no ticket is not found where there are tickets', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    for (const words of ['claim acquire nothing', 'exec nothing -- true', 'claim release nothing', 'why nothing', 'ticket start nothing']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('not_found', words)).message, words).toContain('nothing')
    }
    expect((await a.ok('claim list')).count).toBe(0)
    // Anything but a ticket needs no file.
    await a.acquire('port:5432')
  })
})

describe('a ticket that is gone', () => {
  it('leaves a lease that can be looked at, released and evicted', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const other = putTicket(repo.dir, '20270101-000000-another')
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    for (const left of ['others', 'nothing']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { lease_id: leaseId } = await a.acquire(id)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.acquire(other)
      fs.rmSync(path.join(ticketsIn(repo.dir), id), { recursive: true })
      if (left === 'nothing') fs.rmSync(ticketsIn(repo.dir), { recursive: true })
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await b.ok('why', id), left).toMatchObject({ resource: `ticket:${id}`, standing: 'live', lease: { lease_id: leaseId } })
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await b.ok('claim list')).count, left).toBe(2)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await b.refused('not_owner', 'claim release', id)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('claim release', id)).lease_id, left).toBe(leaseId)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await b.ok('claim evict', other, '--reason', 'it is gone')).resource, left).toBe(`ticket:${other}`)
      putTicket(repo.dir, id)
      putTicket(repo.dir, other)
    }
  })

  it('is a finding of the doctor as long as somebody holds it', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    putTicket(repo.dir, '20270101-000000-another')
    const a = repo.as('agent:a')
    await a.acquire(id)
    fs.rmSync(path.join(ticketsIn(repo.dir), id), { recursive: true })
    const { stdout } = await a.run('--json ticket doctor')
    expect(JSON.parse(stdout).findings).toContainEqual(expect.objectContaining({ message: expect.stringContaining(id) as string }))
    await a.ok('claim release', id)
    expect((await a.ok('ticket doctor')).findings.filter(({ message }: Doc) => message.includes(id))).toEqual([])
  })
})

describe('new ids', () => {
  it('differ when several are made in one second, also in two worktrees at once', async () => {
    const repo = repository()
    commit(repo.dir)
    const place = linked(repo, 'work/a')
    const made = await Promise.all(
      Array.from({ length: 8 }, (_, number) =>
        repo
          .as(`agent:${number}`)
          .in(number % 2 === 0 ? repo.dir : place)
          .ok('ticket create --title', 'The same title'),
      ),
    )
    const ids = made.map(({ ticket }) => ticket.id as string)
    expect(new Set(ids).size).toBe(8)
    for (const each of ids) expect(each).toMatch(/^\d{8}-\d{6}-the-same-title$/)
    const here = fs.readdirSync(ticketsIn(repo.dir))
    const there = fs.readdirSync(ticketsIn(place))
    expect([...here, ...there].toSorted()).toEqual(ids.toSorted())
    expect(here.filter(name => there.includes(name))).toEqual([])
  })

  it('also stay apart from what a branch has committed and nobody has checked out', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const first = (await a.ok('ticket create --title', 'Twice')).ticket.id
    commit(repo.dir)
    fs.rmSync(path.join(ticketsIn(repo.dir), first), { recursive: true })
    const made = await Promise.all(Array.from({ length: 4 }, () => a.ok('ticket create --title', 'Twice')))
    expect(new Set([first, ...made.map(({ ticket }) => ticket.id)]).size).toBe(5)
    expect(Object.keys(ticketBytes(repo.dir)).filter(name => name.includes('tmp'))).toEqual([])
  })
})
