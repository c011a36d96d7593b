import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, exits, parse, repository, sleep, until } from '../support/cli.ts'

// What each claim command answers, and with which code, in a real repository.

const ulid = /^[0-9A-HJKMNP-TV-Z]{26}$/
const sorted = (document: Doc): readonly string[] => Object.keys(document).toSorted()

/** A lease that has passed its deadline and that nobody has evicted. */
async function expired(words = 'ticket:old') {
  const repo = repository()
  const a = repo.as('agent:a')
  const lease = await a.acquire(`${words} --ttl 1s`)
  await until(async () => (await a.lease(lease.resource)).standing === 'expired', 'it has expired')
  return { repo, a, b: repo.as('agent:b'), lease }
}

describe('acquire', () => {
  it('answers with the lease, its token and its deadline', async () => {
    const repo = repository()
    const before = Date.now()
    const document = await repo.as('agent:a').ok('claim acquire fix-login --ttl 10m --branch work/login --reason', 'the login')
    expect(sorted(document)).toEqual(['lease', 'ok', 'op_id'])
    const { lease } = document
    const { acquired_at, expires_at, last_beat, lease_id, remaining_secs, holder, ...plain } = lease
    expect(plain).toEqual({
      resource: 'ticket:fix-login',
      token: 1,
      ttl_secs: 600,
      branch: 'work/login',
      reason: 'the login',
      note: null,
      session: null,
      group: null,
      bound: false,
      standing: 'live',
    })
    expect(lease_id).toMatch(ulid)
    expect(holder).toEqual({ agent_id: 'agent:a', worktree_id: expect.stringMatching(/^wt:[0-9a-f]{8}$/), session_id: null, witness: null })
    for (const time of [acquired_at, expires_at, last_beat]) expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(Date.parse(expires_at) - before).toBeGreaterThanOrEqual(600_000)
    expect(remaining_secs).toBe(600)
  })

  it('lasts 30 minutes unless told otherwise; a plain number is seconds', async () => {
    const a = repository().as('agent:a')
    expect((await a.acquire('one')).ttl_secs).toBe(1800)
    expect((await a.acquire('two --ttl 90')).ttl_secs).toBe(90)
    expect((await a.acquire('three --ttl 1h30m')).ttl_secs).toBe(5400)
    expect((await a.acquire('four --ttl 30d')).ttl_secs).toBe(2_592_000)
    expect((await a.acquire('five --ttl 1500ms')).ttl_secs).toBe(1.5)
  })

  it('again by its holder gives the same lease, refreshed; a retry does no harm', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const first = await a.acquire('x --ttl 10m')
    await sleep(20)
    const again = await a.ok('claim acquire x')
    expect(again).toMatchObject({
      already_held: true,
      lease: { lease_id: first.lease_id, token: first.token, ttl_secs: 600, remaining_secs: 600 },
    })
    expect(again.lease.last_beat > first.last_beat).toBe(true)
    const longer = await a.ok('claim acquire TICKET:X --ttl 20m')
    expect(longer).toMatchObject({ already_held: true, lease: { lease_id: first.lease_id, ttl_secs: 1200 } })
    expect(repo.story()).toEqual(['acquire ticket:x', 'renew ticket:x', 'renew ticket:x'])
  })

  it('of what another holds is refused: who, until when, and what to do', async () => {
    const repo = repository()
    await repo.as('agent:a').acquire('x --ttl 10m')
    const error = await repo.as('agent:b').refused('held', 'claim acquire x')
    expect(error.message).toMatch(/ticket:x is held by agent:a .*for another 10 min/)
    expect(error.hint).toContain('lh why ticket:x')
    expect(error.holder.agent_id).toBe('agent:a')
    expect(error.details).toMatchObject({ kind: 'held', stale: false, op_id: expect.stringMatching(ulid) })
    expect(error.details.retry_after_secs).toBeGreaterThan(590)
    expect(error.details.lease.token).toBe(1)
  })

  it('of what the same agent holds in another worktree or session is refused as another instance', async () => {
    const repo = repository()
    const one = repo.as('agent:a', { CLAUDE_CODE_SESSION_ID: 'session-one' })
    await one.acquire('x')
    const error = await repo.as('agent:a', { CLAUDE_CODE_SESSION_ID: 'session-two' }).refused('held', 'claim acquire x')
    expect(error.details.kind).toBe('other-instance')
    expect(error.message).toContain('session-one')
    expect((await repo.as('agent:a').refused('held', 'claim acquire x')).details.kind).toBe('other-instance')
    expect((await one.ok('claim acquire x')).already_held).toBe(true)
  })

  it('of several resources is all or nothing, in one record', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const document = await a.ok('claim acquire ticket:x path:src/** env:staging')
    expect(sorted(document)).toEqual(['count', 'leases', 'ok', 'op_id'])
    expect(document.count).toBe(3)
    expect(new Set(document.leases.map((lease: Doc) => lease.token))).toEqual(new Set([1]))
    expect(new Set(document.leases.map((lease: Doc) => lease.group)).size).toBe(1)
    expect(new Set(document.leases.map((lease: Doc) => lease.lease_id)).size).toBe(3)
    expect(repo.records()).toHaveLength(1)
    await b.refused('held', 'claim acquire ticket:free env:staging')
    expect(await a.lease('ticket:free')).toBeUndefined()
  })

  it('of more than 32 resources is refused', async () => {
    const a = repository().as('agent:a')
    const words = Array.from({ length: 33 }, (_, index) => `env:${index}`)
    expect((await a.refused('usage', 'claim acquire', ...words)).message).toContain('at most 32')
    expect((await a.ok('claim acquire', ...words.slice(0, 32))).count).toBe(32)
  })

  it('of a path that overlaps another agent’s is refused; one’s own paths may overlap', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.acquire('path:src/**')
    for (const path of ['path:src/main.ts', 'path:**/*.ts', 'path:./docs/../src//x', 'path:*/main.ts']) {
      const error = await b.refused('held', 'claim acquire', path)
      expect(error.message).toContain('path:src/** is held by agent:a')
      expect(error.message).toContain('overlaps it')
    }
    await b.acquire('path:docs/** ')
    await b.acquire('path:srcs')
    await a.acquire('path:src/core/**')
    expect((await a.ok('why path:src/core/x.ts')).standing).toBe('live')
  })

  it('of an expired lease evicts it, once, and gives a larger token', async () => {
    const { repo, a, b, lease } = await expired()
    const taken = await b.acquire('old')
    expect(taken.token).toBeGreaterThan(lease.token)
    expect(taken.lease_id).not.toBe(lease.lease_id)
    expect(repo.story()).toEqual(['acquire ticket:old', 'auto-evict ticket:old', 'acquire ticket:old'])
    const evictions = (await a.history('ticket:old')).filter(({ op }) => op === 'auto-evict')
    expect(evictions).toHaveLength(1)
    expect(evictions[0]).toMatchObject({
      actor: 'agent:b',
      reason: 'ttl',
      previous_token: lease.token,
      previous_holder: { agent_id: 'agent:a' },
    })
    expect((await a.refused('superseded', 'claim renew', lease.lease_id)).message).toContain('agent:b')
  })

  it('says which agent may not have an indefinite lease, and why', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    expect((await a.refused('policy', 'claim acquire x --ttl 0')).hint).toContain('--reason')
    const lease = await a.acquire('x --ttl 0 --reason deploys')
    expect(lease).toMatchObject({ ttl_secs: 0, expires_at: null, remaining_secs: null, reason: 'deploys' })
    expect((await a.refused('policy', 'claim acquire y z --ttl 0 --reason deploys')).message).toContain('and this would be 2 more')
    await a.acquire('y --ttl 0 --reason deploys')
    const error = await a.refused('policy', 'claim acquire z --ttl 0 --reason deploys')
    expect(error.message).toMatch(/agent:a already has 2 indefinite leases \(ticket:x, ticket:y\); the limit is 2/)
    expect(error.hint).toContain('max_indefinite_leases_per_agent')
    await a.acquire('z')
    expect((await a.refused('policy', 'claim renew z --ttl 0 --reason deploys')).details.kind).toBe('limit')
    await b.acquire('w --ttl 0 --reason deploys')
    await a.ok('claim release x')
    expect((await a.ok('claim renew z --ttl 0 --reason deploys')).lease.expires_at).toBeNull()
  })

  it('refuses a time that no lease can have', async () => {
    const a = repository().as('agent:a')
    for (const ttl of ['31d', '999ms', '2592001']) {
      const error = await a.refused('usage', 'claim acquire x --ttl', ttl)
      expect(error.message).toMatch(/a ttl of [\d.]+ s is not possible/)
      expect(error.hint).toContain('from 1s to 30d')
    }
  })
})

describe('an op_id', () => {
  it('used again gives the first answer, and says whether that still holds', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const first = await a.ok('claim acquire x --ttl 10m --op-id once')
    expect(first.op_id).toBe('once')
    const again = await a.ok('claim acquire x --ttl 10m --op-id once')
    expect(again).toMatchObject({ replay: true, live: true, op_id: 'once', lease: { lease_id: first.lease.lease_id, token: 1 } })
    const released = await a.ok('claim release x --op-id twice')
    expect((await a.ok('claim release x --op-id twice')).lease_id).toBe(released.lease_id)
    await b.acquire('x')
    const late = await a.ok('claim acquire x --ttl 10m --op-id once')
    const gone = { lease_id: first.lease.lease_id, token: 1, standing: 'ended', remaining_secs: 0, expires_at: null }
    expect(late).toMatchObject({ replay: true, live: false, lease: gone })
    expect(late.hint).toMatch(
      /^this is .* ticket:x is not held with token 1 any more: agent:b \(wt:\w+\) holds it with token 3; see: lh why ticket:x$/,
    )
    const text = await a.run('claim acquire x --ttl 10m --op-id once')
    expect(text.stdout).toMatch(
      /^acquired ticket:x {2}token 1, no longer current .*\(the first answer again\)\nthis is the first .*agent:b/,
    )
    // What was lost is not presented as proof of anything.
    expect((await a.refused('not_owner', 'claim renew x')).message).toContain('agent:b')
    expect((await a.lease('ticket:x')).holder.agent_id).toBe('agent:b')
    expect(repo.story()).toEqual(['acquire ticket:x', 'release ticket:x', 'acquire ticket:x'])
  })

  it('tells of each lease whether it lasts', async () => {
    const a = repository().as('agent:a')
    await a.ok('claim acquire x y --op-id once')
    await a.ok('claim release x --only')
    const { live, leases } = await a.ok('claim acquire x y --op-id once')
    expect([live, ...leases.map((lease: { standing: string }) => lease.standing)]).toEqual([false, 'ended', 'live'])
  })

  it('is of one holder: nobody else is told that it has what was granted', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.ok('claim acquire x --op-id once')
    expect((await b.refused('usage', 'claim acquire x --op-id once')).message).toContain('for acquire of ticket:x by agent:a')
  })

  it('gives what was held before again, too', async () => {
    const a = repository().as('agent:a')
    await a.acquire('x')
    await a.acquire('y')
    const words = 'claim acquire w x y --op-id once'
    const shown = ({ leases }: Doc) => leases.map(({ resource, token }: Doc) => `${resource} ${token}`)
    const first = await a.ok(words)
    expect(shown(first)).toEqual(['ticket:w 5', 'ticket:x 1', 'ticket:y 2'])
    const again = await a.ok(words)
    expect([shown(again), again.live, again.count]).toEqual([shown(first), true, 3])
    await a.ok('claim release x')
    const later = await a.ok(words)
    expect([shown(later), later.live]).toEqual([['ticket:w 5', 'ticket:y 2'], false])
    expect(later.hint).toContain('ticket:x is not held as it was any more: nobody holds it now; see: lh why ticket:x')
    // Only renewed, one record each, of which the last has the id.
    expect(shown(await a.ok('claim acquire w y --op-id twice'))).toEqual(shown(await a.ok('claim acquire w y --op-id twice')))
  })

  it('used for another command is a mistake', async () => {
    const a = repository().as('agent:a')
    await a.ok('claim acquire x --op-id once')
    const error = await a.refused('usage', 'claim acquire y --op-id once')
    expect(error.message).toMatch(/op_id "once" was already used for acquire of ticket:x/)
    await a.refused('usage', 'claim release x --op-id once')
    await a.refused('usage', 'claim evict x --reason r --op-id once')
  })

  it('makes renew, transfer and evict happen once', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.acquire('x')
    await a.ok('claim renew x --op-id r1')
    expect((await a.ok('claim renew x --op-id r1')).replay).toBe(true)
    const moved = await a.ok('claim transfer x --to-agent agent:b --reason done --op-id t1')
    const again = await a.ok('claim transfer x --to-agent agent:b --reason done --op-id t1')
    expect(again).toMatchObject({ replay: true, live: true, lease: { token: moved.lease.token } })
    await a.ok('claim evict x --reason stuck --op-id e1')
    expect(await a.ok('claim evict x --reason stuck --op-id e1')).toMatchObject({
      replay: true,
      resource: 'ticket:x',
      previous_holder: { agent_id: 'agent:b' },
    })
    expect(repo.story()).toEqual(['acquire ticket:x', 'renew ticket:x', 'transfer ticket:x', 'force-evict ticket:x'])
    expect((await b.lease('ticket:x')) ?? null).toBeNull()
  })

  it('says in words too that it was not done now: what is held since stays held', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const twice = async (words: string): Promise<readonly string[]> => {
      const [first, again] = [await a.run(words), await a.run(words)]
      return [first.stdout, again.stdout]
    }
    await a.acquire('x')
    const released = 'released ticket:x, held by agent:a with token 1'
    expect(await twice('claim release x --op-id r1')).toEqual([`${released}\n`, `${released} (the first answer again)\n`])
    await a.acquire('x')
    expect((await a.run('claim release x --op-id r1')).stdout).toBe(`${released} (the first answer again)\n`)
    const evicted = 'evicted ticket:x, held by agent:a with token 3'
    expect(await twice('claim evict x --reason r --op-id e1')).toEqual([`${evicted}\n`, `${evicted} (the first answer again)\n`])
    await a.acquire('x')
    const [moved, again] = await twice('claim transfer x --to-agent agent:b --reason r --op-id t1')
    expect(again).toBe(`${moved!.trimEnd()} (the first answer again)\n`)
  })
})

describe('the id of a lease', () => {
  it('is looked up as what it is of, also when it has ended; no ticket of that name is made up', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const { lease_id: id } = await a.acquire('env:staging')
    expect(await b.ok(`why ${id}`)).toMatchObject({ resource: 'env:staging', standing: 'live', lease: { lease_id: id } })
    expect(await b.ok(`claim status --resource ${id.toLowerCase()}`)).toMatchObject({ resource: 'env:staging', count: 1 })
    for (const words of ['claim acquire', 'claim acquire env:other']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = await b.refused('usage', words, id)
      expect(error.message).toBe(`${id} is the id of a lease on env:staging, and no resource`)
      expect(error.hint).toContain('lh claim acquire env:staging')
    }
    await b.refused('usage', 'exec', id, '--', 'true')
    await a.ok('claim release env:staging')
    expect(await b.ok(`why ${id}`)).toMatchObject({ resource: 'env:staging', standing: 'free' })
    expect((await b.ok(`claim history ${id}`)).operations.map(({ op }: Doc) => op)).toEqual(['acquire', 'release'])
    await b.refused('usage', 'claim acquire', id)
    expect(repo.story()).toEqual(['acquire env:staging', 'release env:staging'])
    // A ticket may be called as other tools call theirs.
    expect((await b.acquire('01ARZ3NDEKTSV4RRFFQ69G5FAV')).resource).toBe('ticket:01arz3ndektsv4rrffq69g5fav')
  })
})

describe('renew and heartbeat', () => {
  it('move the deadline, keep the token, and may set another TTL', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const lease = await a.acquire('x --ttl 1m')
    const renewed = await a.ok('claim renew x')
    expect(sorted(renewed)).toEqual(['lease', 'ok', 'op_id'])
    expect(renewed.lease).toMatchObject({
      lease_id: lease.lease_id,
      token: 1,
      ttl_secs: 60,
      remaining_secs: 60,
      acquired_at: lease.acquired_at,
    })
    expect((await a.ok('claim renew x --ttl 10m')).lease).toMatchObject({ ttl_secs: 600, remaining_secs: 600 })
    const beaten = await a.ok('claim heartbeat', lease.lease_id, '--note', 'writing tests')
    expect(beaten.lease).toMatchObject({ token: 1, ttl_secs: 600, note: 'writing tests' })
    expect((await a.ok('why x')).evidence).toContainEqual(expect.stringContaining('writing tests'))
    expect(repo.story()).toEqual(['acquire ticket:x', 'renew ticket:x', 'renew ticket:x', 'heartbeat ticket:x'])
  })

  it('are still possible late, until somebody has evicted it', async () => {
    const { repo, a, lease } = await expired()
    const renewed = await a.ok('claim renew old')
    expect(renewed).toMatchObject({ late: true, lease: { token: lease.token, standing: 'live' } })
    expect(repo.records().at(-1)).toMatchObject({ op: 'renew', late: true })
    await repo.as('agent:b').refused('held', 'claim acquire old')
  })

  it('of what nobody holds are not_found; by a stranger not_owner, naming the holder', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    for (const command of ['renew', 'heartbeat']) {
      const error = await a.refused('not_found', `claim ${command} x`)
      expect(error.message).toBe('nobody holds ticket:x')
      expect(error.hint).toContain('lh claim acquire ticket:x')
    }
    await a.acquire('x')
    for (const command of ['renew', 'heartbeat']) {
      const error = await b.refused('not_owner', `claim ${command} x`)
      expect(error.message).toContain('agent:a')
      expect(error.hint).toContain('lh claim evict ticket:x --reason')
      expect(error.holder.agent_id).toBe('agent:a')
    }
  })

  it('with the lease id or token of an ended ownership are superseded', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const old = await a.acquire('x')
    await b.ok('claim evict x --reason stuck')
    for (const proof of [[old.lease_id], ['x', '--token', '1'], ['x', '--lease', old.lease_id], ['x']]) {
      const error = await a.refused('superseded', 'claim renew', ...proof)
      expect(error.message).toMatch(/no longer current: it ended by force-evict \(stuck\).*nobody holds it now/)
      expect(error.hint).toContain('lh claim acquire ticket:x')
    }
    const taken = await b.acquire('x')
    for (const proof of [[old.lease_id], ['x', '--token', '1'], ['x', '--lease', old.lease_id, '--token', '1']]) {
      const error = await a.refused('superseded', 'claim renew', ...proof)
      expect(error.message).toContain(`agent:b`)
      expect(error.message).toContain(`token ${taken.token}`)
    }
    await a.refused('not_found', 'claim renew', '01ARZ3NDEKTSV4RRFFQ69G5FAV')
  })

  it('are open to whoever shows lease id and token; a wrong token is not rescued by identity', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const { lease_id, token } = await a.acquire('x')
    expect((await b.ok('claim renew x', '--lease', lease_id, '--token', String(token))).lease.holder.agent_id).toBe('agent:a')
    expect((await b.ok('claim renew', lease_id, '--token', String(token))).lease.token).toBe(token)
    await b.refused('not_owner', 'claim renew x', '--token', String(token))
    await b.refused('not_owner', 'claim renew', lease_id)
    await b.acquire('y')
    await a.refused('superseded', 'claim renew x --token 3')
    const reset = await a.refused('unavailable', 'claim renew x --token 4000')
    expect(reset.message).toContain('the store was reset')
  })
})

describe('release', () => {
  it('answers who held what, and frees it', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const lease = await a.acquire('x')
    const document = await a.ok('claim release x --reason done')
    expect(sorted(document)).toEqual(['actor', 'lease_id', 'ok', 'op_id', 'previous_holder', 'resource', 'token'])
    expect(document).toMatchObject({
      lease_id: lease.lease_id,
      resource: 'ticket:x',
      actor: 'agent:a',
      token: 1,
      previous_holder: { agent_id: 'agent:a' },
    })
    expect(repo.records().at(-1)).toMatchObject({ op: 'release', reason: 'done' })
    expect((await b.acquire('x')).token).toBeGreaterThan(1)
  })

  it('repeated by its holder is fine and writes nothing', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const { lease_id, token } = await a.acquire('x')
    await a.ok('claim release x')
    const log = repo.log()
    expect(await a.ok('claim release x')).toMatchObject({ already_released: true, resource: 'ticket:x', lease_id: null })
    expect(await a.ok('claim release x', '--lease', lease_id, '--token', String(token))).toMatchObject({ already_released: true })
    expect(repo.log()).toBe(log)
    await b.refused('not_found', 'claim release x')
    await a.refused('not_found', 'claim release never-held')
  })

  it('by a stranger is not_owner; of an ended lease superseded', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const { lease_id } = await a.acquire('x')
    await b.refused('not_owner', 'claim release x')
    await b.ok('claim evict x --reason stuck')
    await a.refused('superseded', 'claim release', lease_id)
    await a.refused('superseded', 'claim release x --token 1')
    await b.acquire('x')
    expect((await a.refused('superseded', 'claim release x --token 1')).message).toContain('agent:b')
  })
})

describe('a group', () => {
  it('is renewed and released as a whole', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.ok('claim acquire ticket:x env:y --ttl 1m')
    const renewed = await a.ok('claim renew env:y --ttl 10m')
    expect(renewed.leases.map((lease: Doc) => [lease.resource, lease.ttl_secs])).toEqual([
      ['env:y', 600],
      ['ticket:x', 600],
    ])
    const released = await a.ok('claim release x')
    expect(released.resources.toSorted()).toEqual(['env:y', 'ticket:x'])
    expect((await a.ok('claim list')).count).toBe(0)
    expect(repo.records()).toHaveLength(3)
  })

  it('can lose one member with --only and keep the others', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.ok('claim acquire x y z')
    expect((await a.ok('claim release y --only')).resource).toBe('ticket:y')
    expect((await a.ok('claim list')).leases.map((lease: Doc) => lease.resource)).toEqual(['ticket:x', 'ticket:z'])
    await b.acquire('y')
    expect((await a.ok('claim renew x')).count).toBe(2)
    await a.ok('claim release z')
    expect((await a.ok('claim list')).leases.map((lease: Doc) => lease.resource)).toEqual(['ticket:y'])
  })

  it('is evicted and transferred as a whole', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.ok('claim acquire x y')
    const moved = await a.ok('claim transfer x --to-agent agent:b --reason handover')
    expect(moved.leases.map((lease: Doc) => [lease.resource, lease.holder.agent_id])).toEqual([
      ['ticket:x', 'agent:b'],
      ['ticket:y', 'agent:b'],
    ])
    await b.ok('claim renew y')
    expect((await a.ok('claim evict y --reason stuck')).resources.toSorted()).toEqual(['ticket:x', 'ticket:y'])
    expect((await a.ok('claim list')).count).toBe(0)
  })
})

describe('transfer', () => {
  it('of a path that overlaps another of one’s own says which to give back first, and how', async () => {
    const a = repository().as('agent:a')
    await a.acquire('path:docs/**')
    await a.acquire('path:docs/x')
    const words = 'claim transfer path:docs/x --to-agent agent:b --reason handover'
    const { message, hint } = await a.refused('held', words)
    expect(message).toContain('path:docs/** is held by agent:a')
    expect(hint).toMatch(/^give that back first: lh claim release 'path:docs\/\*\*' /)
    await a.ok(hint.replace(/^.*?: lh /, '').replaceAll("'", ''))
    expect((await a.ok(words)).lease.holder.agent_id).toBe('agent:b')
  })

  it('gives the lease to another agent; the old token is refused from then on', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const old = await a.acquire('x --ttl 10m --branch work/x')
    const { lease, ...rest } = await a.ok('claim transfer x --to-agent agent:b --reason handover')
    expect(sorted(rest)).toEqual(['ok', 'op_id'])
    expect(lease).toMatchObject({
      resource: 'ticket:x',
      ttl_secs: 600,
      branch: 'work/x',
      holder: { agent_id: 'agent:b', session_id: null },
    })
    expect(lease.token).toBeGreaterThan(old.token)
    await a.refused('superseded', 'claim renew x --token 1')
    await a.refused('superseded', 'claim renew', old.lease_id)
    await a.refused('not_owner', 'claim renew x')
    await a.refused('superseded', 'claim check x --token 1')
    await b.ok('claim renew x')
    await b.ok('claim check x --token', String(lease.token))
    expect(repo.records().at(-2)).toMatchObject({ op: 'transfer', actor: 'agent:a', reason: 'handover', from: { token: 1 } })
  })

  it('may name the worktree, and a new TTL', async () => {
    const a = repository().as('agent:a')
    const { worktree_id: here } = (await a.acquire('x')).holder
    const { lease } = await a.ok(`claim transfer x --to-agent agent:b --to-worktree ${here} --ttl 5m --reason handover`)
    expect(lease).toMatchObject({ ttl_secs: 300, holder: { agent_id: 'agent:b', worktree_id: here } })
    expect((await a.refused('usage', 'claim transfer x --to-agent agent:c --to-worktree elsewhere --reason r')).hint).toContain('lh whoami')
  })

  it('wants a receiver and a reason, and is the holder’s alone', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.refused('not_found', 'claim transfer x --to-agent agent:b --reason r')
    const { lease_id } = await a.acquire('x')
    expect((await a.refused('usage', 'claim transfer x --reason r')).message).toContain('--to-agent')
    expect((await a.refused('usage', 'claim transfer x --to-agent agent:b')).hint).toContain('--reason')
    expect((await a.refused('usage', 'claim transfer x --to-agent nobody --reason r')).message).toContain('--to-agent: "nobody"')
    await a.refused('usage', 'claim transfer x --to-agent agent:a --reason r')
    await b.refused('not_owner', 'claim transfer x --to-agent agent:b --reason r')
    await b.ok('claim evict x --reason stuck')
    await a.refused('superseded', 'claim transfer', lease_id, ...'--to-agent agent:b --reason r'.split(' '))
    await a.refused('superseded', 'claim transfer x --token 1 --to-agent agent:b --reason r')
  })
})

describe('evict', () => {
  it('by anybody, with a reason, is recorded with both names', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const lease = await a.acquire('x')
    expect((await b.refused('usage', 'claim evict x')).hint).toContain('--reason')
    const document = await b.ok('claim evict x --reason', 'a is stuck')
    expect(sorted(document)).toEqual(['actor', 'lease_id', 'ok', 'op_id', 'previous_holder', 'resource', 'token'])
    expect(document).toMatchObject({ lease_id: lease.lease_id, actor: 'agent:b', previous_holder: { agent_id: 'agent:a' } })
    expect(repo.records().at(-1)).toMatchObject({
      op: 'force-evict',
      actor: 'agent:b',
      reason: 'a is stuck',
      previous_holder: { agent_id: 'agent:a' },
      previous_token: 1,
    })
    const text = await a.run('claim history x')
    expect(text.stdout).toMatch(/force-evict +ticket:x +agent:b ended agent:a \(a is stuck\)/)
  })

  it('can be tied to one ownership by its token', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.acquire('x')
    await a.ok('claim release x')
    const { token } = await a.acquire('x')
    const { message, hint } = await b.refused('superseded', 'claim evict x --reason r --token 1')
    expect(message).toMatch(new RegExp(`^ticket:x is not held with token 1: agent:a .*holds it with token ${token}, for another `))
    expect(hint).toContain(`nothing was evicted; see: lh why ticket:x; to end that one: lh claim evict ticket:x --token ${token} --reason`)
    await b.ok('claim evict x --reason r --token', String(token))
  })

  it('of what nobody holds is not_found; of an ended lease id superseded', async () => {
    const a = repository().as('agent:a')
    await a.refused('not_found', 'claim evict x --reason r')
    const { lease_id } = await a.acquire('x')
    await a.ok('claim release x')
    for (const words of [`claim evict ${lease_id} --reason r`, 'claim evict x --reason r --token 1']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { message, hint } = await a.refused('superseded', words)
      expect(message).toMatch(/^ticket:x is not held with (lease \w+|token 1): it ended by release .* ago and nobody holds it now$/)
      expect(hint).toBe('there is nothing to evict; see: lh why ticket:x')
    }
    await a.refused('not_found', 'claim evict x --reason r')
  })
})

describe('a token in the environment', () => {
  it('that is none is called by its name', async () => {
    const a = repository().as('agent:a')
    await a.acquire('x')
    const odd = a.with({ LEASEHOLD_TOKEN: 'bar', LEASEHOLD_LEASE: 'foo' })
    for (const words of ['check', 'renew', 'acquire'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await odd.refused('usage', `claim ${words} x`)).message).toBe('LEASEHOLD_TOKEN must be a positive whole number, not "bar"')
    expect((await odd.refused('usage', 'claim check x --token bar')).message).toMatch(/^--token must be/)
    await a.with({ LEASEHOLD_TOKEN: '', LEASEHOLD_LEASE: 'foo' }).ok('claim acquire x')
  })
})

describe('check', () => {
  it('answers yes only for the current token', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const { lease_id, token } = await a.acquire('x')
    const document = await b.ok('claim check x --token', String(token))
    expect(document).toMatchObject({ current: true, token, resource: 'ticket:x', lease: { lease_id } })
    await b.ok('claim check', lease_id, '--token', String(token))
    expect((await a.refused('usage', 'claim check x')).message).toContain('--token')
    await a.acquire('y')
    const error = await a.refused('superseded', 'claim check x --token 2')
    expect(error.details).toMatchObject({ current: false, token: 1 })
    expect(error.hint).toContain('lh why ticket:x')
    expect((await a.with({ LEASEHOLD_TOKEN: String(token) }).ok('claim check x')).current).toBe(true)
  })

  it('is superseded when it is free', async () => {
    const a = repository().as('agent:a')
    const { token } = await a.acquire('x')
    await a.ok('claim release x')
    const error = await a.refused('superseded', 'claim check x --token', String(token))
    expect(error.message).toContain('nobody holds it now')
    await a.refused('superseded', 'claim check never --token 1')
    await a.refused('superseded', 'claim check x --token 77')
  })

  it('of the id of a lease that has ended says who has now what it was of, and how to get that', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const { lease_id: id, token } = await a.acquire('env:staging')
    await a.ok('claim release env:staging')
    const free = await a.refused('superseded', `claim check ${id} --token ${token}`)
    expect(free.message).toMatch(
      /^your (token 1|lease \w+) for env:staging is no longer current: it ended by release .* nobody holds it now$/,
    )
    expect(free.hint).toBe('to take it again: lh claim acquire env:staging')
    const later = await b.acquire('env:staging')
    for (const shown of [token, later.token]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const held = await a.refused('superseded', `claim check ${id} --token ${shown}`)
      expect(held.message).toContain('agent:b')
      expect(held.details).toMatchObject({ current: false, token: later.token, resource: 'env:staging' })
    }
    const unknown = await a.refused('superseded', `claim check ${id.slice(0, -3)}ZZZ --token 1`)
    expect(unknown.message).toContain(`there is no lease ${id.slice(0, -3)}ZZZ`)
    expect(unknown.hint).toContain('lh claim list')
  })

  it('is superseded when it has expired, and says that renew is still possible', async () => {
    const { a, lease } = await expired()
    const error = await a.refused('superseded', 'claim check old --token', String(lease.token))
    expect(error.hint).toContain('renew is still possible')
    expect(error.hint).toContain('lh claim renew ticket:old')
    await a.ok('claim renew old')
    await a.ok('claim check old --token', String(lease.token))
  })
})

describe('list, status, history and why', () => {
  it('list shows every lease; --all also how ended ones ended', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    expect(await a.ok('claim list')).toMatchObject({ leases: [], count: 0, pending: [] })
    await a.acquire('x')
    await b.acquire('port:5432')
    await b.acquire('gone')
    await b.ok('claim release gone --reason finished')
    const document = await repo.as(null).ok('claim list')
    expect(sorted(document)).toEqual(['count', 'leases', 'ok', 'pending', 'warnings'])
    expect(document.leases.map((lease: Doc) => [lease.resource, lease.holder.agent_id])).toEqual([
      ['port:5432', 'agent:b'],
      ['ticket:x', 'agent:a'],
    ])
    expect((await a.ok('claim list --all')).ended).toMatchObject([
      { resource: 'ticket:gone', ended_by: 'release', reason: 'finished', holder: { agent_id: 'agent:b' } },
    ])
  })

  it('status shows mine, one agent’s or one resource’s', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.acquire('x')
    await b.acquire('y')
    const names = async (words: string): Promise<Doc> => (await a.ok(`claim status ${words}`)).leases.map((lease: Doc) => lease.resource)
    expect(await names('')).toEqual(['ticket:x'])
    expect(await names('--agent agent:b')).toEqual(['ticket:y'])
    expect(await names('--resource y')).toEqual(['ticket:y'])
    expect(await names('--resource free')).toEqual([])
    expect(await a.ok('status')).toMatchObject({ agent: 'agent:a', count: 2, mine: 1 })
  })

  it('history is oldest first, of all or one resource, from a time on', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x')
    await a.acquire('y')
    await a.ok('claim release x')
    const document = await a.ok('claim history')
    expect(sorted(document)).toEqual(['count', 'ok', 'operations', 'warnings'])
    expect(document.count).toBe(3)
    expect(document.operations.map(({ seq, op, actor }: Doc) => [seq, op, actor])).toEqual([
      [1, 'acquire', 'agent:a'],
      [2, 'acquire', 'agent:a'],
      [3, 'release', 'agent:a'],
    ])
    expect((await a.history('x')).map(({ op }) => op)).toEqual(['acquire', 'release'])
    expect(await a.history('--since', '2h')).toHaveLength(3)
    expect(await a.history('--since', '2999-01-01')).toHaveLength(0)
    expect(await a.history('--since', document.operations[2].at)).toHaveLength(1)
    for (const since of ['yesterday', '2026-02-30', '2026-13-01', '2026-02-29T12:00:00Z', '2026-01-01 (noon)', '2026-01-01T25:00', 'soon'])
      for (const command of ['claim history', 'log export'])
        expect((await a.refused('usage', command, '--since', since)).message, since).toContain('neither a duration nor a date')
    for (const since of ['2024-02-29', '2024-02', '2024-02-29T12:30', '2024-02-29 12:30:15+02:00'])
      expect(await a.history('--since', since), since).toHaveLength(3)
  })

  it('history --follow ends when the leases move away, and says where they are', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x')
    const follower = a.start('claim history --follow')
    await until(() => follower.stdout.includes('ticket:x'), 'it follows')
    const there = `file://${path.join(fs.mkdtempSync(path.join(path.dirname(repo.dir), 'store-')), 'leases')}`
    await a.ok('store move --to', there)
    const { code, stderr } = await follower.ended
    expect([code, stderr]).toEqual([exits.unavailable, expect.stringContaining(there)])
  })

  it('history --follow goes on as it happens, one record a line with --json', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.acquire('x')
    const follower = a.start('--json claim history --follow')
    await until(() => follower.stdout.includes('\n'), 'it shows the past')
    await b.acquire('y')
    await until(() => follower.stdout.split('\n').length > 2, 'it shows what came')
    expect(
      follower.stdout
        .trim()
        .split('\n')
        .map(line => parse(line).resource),
    ).toEqual(['ticket:x', 'ticket:y'])
    follower.kill('SIGTERM')
    await follower.ended
  })

  it('why names what is in the way of who asks, where several paths overlap, and how to get what was asked about', async () => {
    const repo = repository()
    const [a, b, c] = [repo.as('agent:a'), repo.as('agent:b'), repo.as('agent:c')]
    await a.acquire('path:src/a --ttl 1s')
    await b.acquire('path:src/b --ttl 10m')
    const inTheWay = { resource: 'path:src/**', standing: 'live', lease: { resource: 'path:src/b' } }
    const wait = "lh claim acquire 'path:src/**' --wait"
    expect(await a.ok('why path:src/**')).toMatchObject({ ...inTheWay, next: wait })
    await until(async () => (await a.ok('why path:src/a')).standing === 'expired', 'it has expired')
    expect(await c.ok('why path:src/**')).toMatchObject({ ...inTheWay, next: wait })
    expect(await b.ok('why path:src/**')).toMatchObject({ standing: 'expired', next: "lh claim acquire 'path:src/**'" })
  })

  it('why explains the holder, the evidence, what frees it and the next command', async () => {
    const { a } = await expired('x')
    const free = await a.ok('why never')
    expect(sorted(free)).toEqual(['evidence', 'frees_when', 'lease', 'next', 'ok', 'pending', 'resource', 'standing', 'warnings'])
    expect(free).toMatchObject({ standing: 'free', lease: null, frees_when: 'it is free now', next: 'lh claim acquire ticket:never' })
    const old = await a.ok('why x')
    expect(old).toMatchObject({ standing: 'expired', next: 'lh claim acquire ticket:x' })
    expect(old.frees_when).toMatch(/at the next request for it: it expired/)
    await a.acquire('y --ttl 10m')
    const held = await a.ok('why y')
    // Whoever holds it has nothing to wait for.
    expect(held).toMatchObject({ standing: 'live', next: 'lh claim release ticket:y' })
    expect(await a.with({ LEASEHOLD_AGENT_ID: 'agent:b' }).ok('why y')).toMatchObject({ next: 'lh claim acquire ticket:y --wait' })
    expect(held.frees_when).toMatch(/in 10 min, at .*unless its holder renews/)
    await a.acquire('z --ttl 0 --reason r')
    expect((await a.ok('why z')).frees_when).toContain('only by release, transfer or evict')
    expect(await a.with({ LEASEHOLD_STALE_AFTER: '1s' }).acquire('w --ttl 0 --reason r')).toMatchObject({ standing: 'live' })
    await until(async () => (await a.lease('ticket:w')).standing === 'stale', 'it is stale')
    expect((await a.ok('why w')).next).toContain('lh claim evict ticket:w')
    const error = await a.with({ LEASEHOLD_AGENT_ID: 'agent:b' }).refused('held', 'claim acquire w')
    expect(error.details.stale).toBe(true)
    expect(error.message).toContain('stale: no sign of life')
  })

  it('50 lists beside an expired lease write nothing, byte for byte', async () => {
    const { repo, a } = await expired()
    const before = repo.snapshot()
    for (let round = 0; round < 10; round++) {
      const results = await Promise.all(Array.from({ length: 5 }, () => a.run('claim list')))
      for (const { code, stdout } of results) expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('expired') })
    }
    for (const words of ['claim status', 'status', 'why old', 'claim history', 'whoami', 'config list']) await a.ok(words)
    expect(repo.snapshot()).toEqual(before)
  })

  it('list --sweep evicts what has expired, once, also when eight run at once', async () => {
    const { repo, a } = await expired()
    const swept = await Promise.all(Array.from({ length: 8 }, (_, index) => repo.as(`agent:${index}`).ok('claim list --sweep')))
    for (const document of swept) expect(document.leases).toEqual([])
    expect(repo.story()).toEqual(['acquire ticket:old', 'auto-evict ticket:old'])
    await a.ok('claim list --sweep')
    expect(repo.records()).toHaveLength(2)
    expect((await a.ok('claim list --all')).ended).toMatchObject([{ resource: 'ticket:old', ended_by: 'auto-evict', reason: 'ttl' }])
  })
})

it('of 16 agents who ask at once exactly one gets it, and every number is used once', async () => {
  const repo = repository()
  repo.busy = true
  const results = await Promise.all(Array.from({ length: 16 }, (_, index) => repo.as(`agent:${index}`).run('--json claim acquire x')))
  expect(results.filter(({ code }) => code === 0)).toHaveLength(1)
  expect(results.filter(({ code }) => code === 3)).toHaveLength(15)
  expect(repo.records().map(({ seq }) => seq)).toEqual([1])
})

it.each([
  ['paht:src/**', 'paht:src/** is of a kind of its own, and keeps nobody from path:src/**'],
  ['file:src/foo.ts', 'keeps nobody from path:src/foo.ts'],
  ['tickets:fix', 'keeps nobody from ticket:fix'],
  ['path:inside.ts', 'paths begin at the top of the repository: path:inside.ts is not lib/inside.ts, which would be path:lib/inside.ts'],
  ['path:deep/**', 'path:deep/** is not lib/deep, which would be path:lib/deep/**'],
])('%s is granted, and what it may not protect is said', async (resource, words) => {
  const repo = repository()
  const lib = path.join(repo.dir, 'lib')
  fs.mkdirSync(path.join(lib, 'deep'), { recursive: true })
  fs.writeFileSync(path.join(lib, 'inside.ts'), '')
  const a = repo.as('agent:a').in(lib)
  for (const command of ['claim acquire', 'exec']) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { code, stderr } = await a.run(command, resource, ...(command === 'exec' ? ['--', 'true'] : []))
    expect([command, code, stderr]).toEqual([command, 0, expect.stringContaining(words)])
    // oxlint-disable-next-line no-await-in-loop -- as above
    if (command !== 'exec') await a.ok('claim release', resource)
  }
})

it.each(['env:x', 'gpu:0', 'mailbox:x', 'path:new.ts', 'path:**', 'path:lib/inside.ts', 'path:*.ts'])(
  '%s raises no doubt',
  async resource => {
    const repo = repository()
    const lib = path.join(repo.dir, 'lib')
    fs.mkdirSync(lib)
    fs.writeFileSync(path.join(lib, 'inside.ts'), '')
    expect(await repo.as('agent:a').in(lib).run('claim acquire', resource)).toMatchObject({ code: 0, stderr: '' })
  },
)
