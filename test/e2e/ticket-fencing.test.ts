import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, type Doc, failure, folder, type Repo, repository, success, until } from '../support/cli.ts'
import { commit, eventsIn, fieldOf, linked, putTicket, ticketBytes, ticketFile } from '../support/tickets.ts'

// Whoever lost the lease changes nothing any more, and whoever has it is let through.

const id = '20260607-220225-fix-login'

/** Two agents, each in a worktree of its own, with one ticket that both have. */
function twoAgents(): { readonly repo: Repo; readonly a: Agent; readonly b: Agent } {
  const repo = repository()
  putTicket(repo.dir, id)
  commit(repo.dir)
  return { repo, a: repo.as('agent:a'), b: repo.as('agent:b').in(linked(repo, 'work/b')) }
}

/** Every command that changes what a lease protects. */
const guarded = [
  ['ticket set fix-login', 'title=Mine'],
  ['ticket set fix-login status=pending'],
  ['ticket edit fix-login --title', 'Mine'],
  ['ticket ready fix-login'],
  ['ticket queue fix-login'],
  ['ticket done fix-login'],
  ['ticket close fix-login --resolution', 'mine'],
] as const

describe('a token or lease that is shown', () => {
  it('has to be the present one, of every command that takes one', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    await a.ok('ticket start fix-login')
    await a.ok('claim evict fix-login --reason', 'again')
    const { lease } = await a.ok('ticket start fix-login')
    const before = ticketBytes(repo.dir)
    const commands = [...guarded, ['ticket set fix-login priority=P0'], ['ticket set fix-login labels=x']]
    for (const [words, ...more] of commands)
      for (const [code, proof] of [
        ['superseded', ['--token', '1']],
        ['superseded', ['--lease', '01J0000000000000000000000A']],
        ['unavailable', ['--token', '99']],
        ['usage', ['--lease', 'nonsense']],
        ['usage', ['--lease', '']],
        ['usage', ['--token', '']],
      ] as const) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        await a.refused(code, words, ...more, ...proof)
      }
    expect(ticketBytes(repo.dir)).toEqual(before)
    await a.ok('ticket set fix-login priority=P0 --token', String(lease.token))
    await a.ok('ticket set fix-login labels=x --lease', lease.lease_id)
  })

  it('has to match also where nothing is left to do; the own one that ended may be repeated', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    await a.refused('superseded', 'ticket ready fix-login --lease 01J0000000000000000000000A')
    await a.refused('superseded', 'ticket set fix-login priority=P0 --lease 01J0000000000000000000000A')
    const first = (await a.ok('ticket start fix-login')).lease
    await a.ok('claim evict fix-login --reason', 'again')
    const { lease } = await a.ok('ticket start fix-login')
    await a.ok(`ticket done fix-login --token ${lease.token}`)
    expect((await a.ok(`ticket done fix-login --token ${lease.token}`)).already).toBe(true)
    await a.refused('superseded', `ticket done fix-login --token ${first.token}`)
    await repo.as('agent:b').refused('superseded', `ticket done fix-login --token ${lease.token}`)
    await a.ok('ticket close fix-login --resolution x')
    await a.refused('superseded', `ticket close fix-login --resolution x --token ${first.token}`)
  })
})

describe('an agent whose lease was evicted', () => {
  it('is told so by every command that needs it, and none of them changes a byte', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.ok('ticket start fix-login')
    await b.ok('claim evict fix-login --reason', 'too slow')
    const before = ticketBytes(repo.dir)
    for (const [words, ...more] of guarded) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = await a.refused('superseded', words, ...more)
      expect(error.message, words).toContain(id)
      expect(error.hint, words).not.toBe('')
    }
    expect(ticketBytes(repo.dir)).toEqual(before)
    // What sorts the ticket needs no lease, and says who did it.
    await a.ok('ticket set fix-login priority=P0')
    await a.ok('ticket comment fix-login --message', 'I was evicted')
    expect(eventsIn(repo.dir, id).at(-1)).toMatchObject({ type: 'comment', actor: 'agent:a', message: 'I was evicted' })
    // And it may ask for the lease again.
    expect((await a.ok('ticket start fix-login')).lease.holder.agent_id).toBe('agent:a')
    await a.ok('ticket done fix-login')
  })

  it('stays refused when another has it by now, and the other is not disturbed', async () => {
    const { repo, a, b } = twoAgents()
    const c = repo.as('agent:c')
    await a.ok('ticket start fix-login')
    await b.ok('claim evict fix-login --reason', 'too slow')
    const { lease, ticket } = await b.ok('ticket start fix-login')
    expect(ticket.assignee).toBe('agent:b')
    const before = ticketBytes(repo.dir)
    for (const [words, ...more] of guarded) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('superseded', words, ...more)).holder.agent_id, words).toBe('agent:b')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await c.refused('not_owner', words, ...more)).holder.agent_id, words).toBe('agent:b')
      // An old token does not become right by being shown, and a wrong one does not become right by who shows it.
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await b.refused('superseded', words, ...more, '--token', String(lease.token - 1))
    }
    await a.refused('held', 'ticket start fix-login')
    expect(ticketBytes(repo.dir)).toEqual(before)
    expect((await b.lease(`ticket:${id}`)).token).toBe(lease.token)
    // Lease id and token together are enough for anybody.
    await c.ok(`ticket done fix-login --token ${lease.token} --lease ${lease.lease_id}`)
    expect(fieldOf(repo.dir, id, 'workflow_state')).toBe('done')
  })

  it('is no owner any more where another works in the same worktree, which the ticket tells', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.ok('ticket start fix-login')
    await b.ok('claim evict fix-login --reason', 'too slow')
    const { lease } = await b.ok('ticket start fix-login')
    expect(eventsIn(repo.dir, id).at(-1)).toMatchObject({ from_assignee: 'agent:a', token: lease.token, actor: 'agent:b' })
    const before = ticketBytes(repo.dir)
    for (const [words, ...more] of guarded) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('not_owner', words, ...more)).holder.agent_id, words).toBe('agent:b')
    }
    expect(ticketBytes(repo.dir)).toEqual(before)
  })

  it('loses to another also while it is in its editor, and what was written is kept', async () => {
    const { repo, a, b } = twoAgents()
    await a.ok('ticket start fix-login')
    const place = folder()
    const script = path.join(place, 'editor')
    fs.writeFileSync(
      script,
      `#!/bin/sh\necho "Words of a." >> "$1"\ntouch ${place}/open\nwhile [ ! -e ${place}/close ]; do sleep 0.02; done\n`,
      { mode: 0o755 },
    )
    const edit = a.with({ EDITOR: script }).start('--json ticket edit fix-login')
    await until(() => fs.existsSync(path.join(place, 'open')), 'the editor is open')
    await b.ok('claim evict fix-login --reason', 'at lunch')
    await b.ok('ticket start fix-login')
    const before = ticketBytes(repo.dir)
    fs.writeFileSync(path.join(place, 'close'), '')
    const { code, stdout, stderr } = await edit.ended
    failure({ code, stdout, stderr: '', signal: null }, 'superseded')
    expect(ticketBytes(repo.dir)).toEqual(before)
    const kept = /what you wrote is in (\S+)/.exec(stderr)![1]!
    expect(fs.readFileSync(kept, 'utf8')).toContain('Words of a.')
    fs.rmSync(path.dirname(kept), { recursive: true })
  })
})

describe('an agent whose lease has expired', () => {
  const expire = async (agent: Agent): Promise<void> => {
    await until(async () => (await agent.lease(`ticket:${id}`)).standing === 'expired', 'it has expired')
  }

  it('still finishes while nobody else took it; the log says that it was late', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    await a.ok('ticket start fix-login --ttl 1s')
    await expire(a)
    expect((await a.ok('ticket done fix-login')).ticket.workflow_state).toBe('done')
    expect(fieldOf(repo.dir, id, 'workflow_state')).toBe('done')
    expect(repo.records().filter(({ op }: Doc) => op !== 'boot')).toMatchObject([
      { op: 'acquire' },
      { op: 'renew', late: true },
      { op: 'release', outcome: 'done' },
    ])
  })

  it('still changes its ticket, and has it for another term then', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    await a.ok('ticket start fix-login --ttl 1s')
    await expire(a)
    await a.ok('ticket set fix-login', 'title=Mine')
    expect(repo.story()).toEqual([`acquire ticket:${id}`, `renew ticket:${id}`])
  })

  it('is superseded once another took it, and changes nothing', async () => {
    const { repo, a, b } = twoAgents()
    await a.ok('ticket start fix-login --ttl 1s')
    await expire(a)
    await b.ok('ticket start fix-login')
    const before = ticketBytes(repo.dir)
    for (const [words, ...more] of guarded) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.refused('superseded', words, ...more)
    }
    expect(ticketBytes(repo.dir)).toEqual(before)
    await b.ok('ticket done fix-login')
  })

  it('does not keep another from taking the lease for the moment', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.ok('ticket start fix-login --ttl 1s')
    await expire(a)
    await b.ok('ticket set fix-login', 'title=Of b')
    expect((await a.ok('claim list')).count).toBe(0)
    await a.refused('superseded', 'ticket done fix-login')
  })
})

describe('a command that was cut in two', () => {
  it('between log and file of start: the claim is there, and start goes on', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    const { token } = await a.acquire(id)
    const { lease, ticket, already_held: held } = await a.ok('ticket start fix-login')
    expect({ token: lease.token, held }).toEqual({ token, held: true })
    expect(ticket).toMatchObject({ workflow_state: 'inprogress', assignee: 'agent:a' })
    await a.ok('ticket start fix-login')
    expect(eventsIn(repo.dir, id)).toHaveLength(1)
  })

  it('between file and log of start: an abandoned ticket in progress is taken over by name only', async () => {
    const repo = repository()
    putTicket(repo.dir, id, { state: 'inprogress', assignee: 'agent:gone' })
    const a = repo.as('agent:a')
    expect((await a.ok('ticket next --claim')).ticket).toBeNull()
    expect((await a.ok('ticket show fix-login')).ticket.why).toEqual(['inprogress: somebody started it, and nobody holds it now'])
    expect((await a.ok('ticket start fix-login')).ticket.assignee).toBe('agent:a')
  })

  it('between file and release of done: the doctor says so, and done ends the lease', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.ok('ticket start fix-login')
    const file = ticketFile(repo.dir, id)
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('workflow_state: inprogress', 'workflow_state: done'))
    const { stdout } = await a.run('--json ticket doctor')
    expect(JSON.parse(stdout).findings).toContainEqual(
      expect.objectContaining({ message: expect.stringMatching(/agent:a/) as string, file: expect.stringContaining(id) as string }),
    )
    await b.refused('not_owner', 'ticket done fix-login')
    const before = fs.readFileSync(file)
    await a.ok('ticket done fix-login')
    expect(fs.readFileSync(file).equals(before)).toBe(true)
    expect(repo.records().at(-1)).toMatchObject({ op: 'release', outcome: 'done', resource: `ticket:${id}` })
    expect(success(await a.run('--json ticket done fix-login')).already).toBe(true)
    expect((await a.ok('ticket doctor')).findings.filter(({ code }: Doc) => code.includes('claim'))).toEqual([])
  })
})

describe('a command that needs a lease that nobody has', () => {
  it('takes it for the moment, and leaves it free', async () => {
    const repo = repository()
    putTicket(repo.dir, id, { state: 'intake' })
    const a = repo.as('agent:a')
    for (const words of ['ticket ready fix-login', 'ticket queue fix-login', 'ticket set fix-login kind=bug']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.ok(words)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('claim list')).count, words).toBe(0)
    }
    expect(repo.records().map(({ op, reason }: Doc) => [op, reason ?? null])).toEqual([
      ['acquire', 'ticket ready'],
      ['release', null],
      ['acquire', 'ticket queued'],
      ['release', null],
      ['acquire', 'ticket set'],
      ['release', null],
    ])
  })

  it('gives it back when the command is refused', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    const before = ticketBytes(repo.dir)
    failure(await a.run('--json ticket set fix-login workflow_state=done'), 'policy')
    failure(await a.run('--json ticket done fix-login'), 'policy')
    expect((await a.ok('claim list')).count).toBe(0)
    expect(ticketBytes(repo.dir)).toEqual(before)
  })
})
