import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, executable, failure, git, parse, sleep, until } from '../support/cli.ts'
import { commit, fieldOf, putTicket } from '../support/tickets.ts'
import { branches, dirt, heldNow, id, read, shop, type Shop } from '../support/work.ts'

// `lh work <ticket>`: a worktree of its own, the claim, and a command in it.

/** A refused one leaves nothing behind: no worktree, no branch, no lease. */
async function expectNothing({ repo, home, b }: Shop, held: readonly string[] = []): Promise<void> {
  expect(branches(repo.dir)).toEqual(['main'])
  expect(fs.existsSync(home)).toBe(false)
  expect(await heldNow(b)).toEqual(held)
  expect(dirt(repo.dir)).toBe('')
}

const recordOf = (place: string): Doc => parse(read(fs.realpathSync(read(place, '.git').slice(8).trim()), 'leasehold/worktree.json'))

describe('work on a ticket', () => {
  it('makes worktree and branch, and takes ticket, worktree and branch as one', async () => {
    const { repo, place, a } = shop()
    const made = await a.ok('work fix-lo')
    expect(made).toMatchObject({ made: true, path: place, ticket: { id, workflow_state: 'inprogress', assignee: 'agent:a' } })
    const record = recordOf(place)
    expect(record).toMatchObject({ ticket: id, branch: 'agents/fix-login', base: 'main' })
    const keys = ['branch:agents/fix-login', `ticket:${id}`, `worktree:${record.worktree_id.slice(3)}`]
    const acquired = repo.records().filter(({ op }) => op === 'acquire')
    expect(acquired).toHaveLength(1)
    expect(acquired[0].resources.toSorted()).toEqual(keys)
    const { leases } = await a.ok('claim list')
    expect(leases.map(({ resource }: Doc) => resource).toSorted()).toEqual(keys)
    expect(new Set(leases.map(({ token }: Doc) => token))).toEqual(new Set([made.token]))
    expect(leases[0].holder).toMatchObject({ agent_id: 'agent:a', worktree_id: record.worktree_id })
    // The state of the ticket is in the worktree; where the work started from nothing has changed.
    expect(fieldOf(place, id, 'workflow_state')).toBe('inprogress')
    expect(dirt(repo.dir)).toBe('')
    // A release of one is a release of all.
    await a.in(place).ok('claim release fix-login')
    expect(await heldNow(a)).toEqual([])
  })

  it('says in words what it did, and where to go', async () => {
    const { place, a } = shop()
    const { code, stdout, stderr } = await a.run('work fix-login')
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^made ${place}\nstarted ${id}, token \\d+\n$`))
    expect(stderr).toContain(`cd ${place}`)
    expect((await a.run('work fix-login')).stdout).toMatch(/^goes on in .*\nyou hold /)
  })

  it('goes on when it is asked again, from the main worktree and from inside, and makes nothing', async () => {
    const { repo, place, a } = shop()
    const first = await a.ok('work fix-login')
    const [files, seen] = [dirt(place), branches(repo.dir)]
    for (const agent of [a, a.in(place), a.in(path.join(place, '.leasehold'))]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await agent.ok('work fix-login')).toMatchObject({ made: false, path: place, token: first.token })
    }
    expect([dirt(place), branches(repo.dir)]).toEqual([files, seen])
    expect(repo.records().filter(({ op }) => op === 'acquire')).toHaveLength(1)
    expect(read(place, `.leasehold/tickets/${id}/events.jsonl`).match(/state_changed/g)).toHaveLength(1)
  })

  it('tells another agent who has it, before and after there is a worktree', async () => {
    const all = shop()
    const { repo, place, a, b } = all
    // Held where its holder stood: no worktree is made for the other.
    await a.ok('ticket start fix-login')
    const held = await b.refused('held', 'work fix-login')
    expect(held).toMatchObject({ holder: { agent_id: 'agent:a' }, message: expect.stringContaining('agent:a') })
    expect(branches(repo.dir)).toEqual(['main'])
    // Nor for its holder, who is told what to do: a lease is of an agent in a worktree.
    const own = await a.refused('held', 'work fix-login')
    expect([own.message, own.hint]).toEqual([expect.stringContaining('you hold'), expect.stringContaining('lh claim release')])
    expect(branches(repo.dir)).toEqual(['main'])
    await a.ok('claim release fix-login')
    commit(repo.dir, 'what a has written of it')
    expect(await a.ok('work fix-login')).toMatchObject({ made: true })
    expect((await b.refused('held', 'work fix-login')).message).toContain('agent:a')
    expect((await b.in(place).refused('held', 'work fix-login')).message).toContain('agent:a')
    expect((await b.in(place).refused('held', 'work fix-login -- touch', path.join(place, 'ran'))).message).toContain('agent:a')
    expect(fs.existsSync(path.join(place, 'ran'))).toBe(false)
  })

  it('waits for a ticket that another has, as long as it is told to, and makes nothing meanwhile', async () => {
    const { repo, a, b } = shop()
    await a.acquire('fix-login')
    const { code, stdout } = await b.run('--json work fix-login --wait=1s')
    expect([code, parse(stdout).error.message]).toEqual([9, expect.stringContaining('agent:a')])
    expect(branches(repo.dir)).toEqual(['main'])
    const waiting = b.start('work fix-login --wait=20s')
    await until(() => waiting.stderr !== '', 'it waits')
    await a.ok('claim release fix-login')
    expect((await waiting.ended).code).toBe(0)
    expect((await b.lease(`ticket:${id}`)).holder.agent_id).toBe('agent:b')
  })

  it('asks for what is ready only here to be committed first: the worktree is made from the base branch', async () => {
    const all = shop({ state: 'intake' })
    await all.a.ok('ticket ready fix-login')
    const error = await all.a.refused('policy', 'work fix-login')
    expect([error.message, error.hint]).toEqual([expect.stringContaining('main'), expect.stringContaining('git commit')])
    expect(branches(all.repo.dir)).toEqual(['main'])
    commit(all.repo.dir)
    await all.a.ok('work fix-login')
  })

  it('is taken over by another, in the same worktree, when its holder gave it back', async () => {
    const { place, a, b } = shop()
    await a.ok('work fix-login')
    await a.in(place).ok('claim release fix-login')
    expect(await b.ok('work fix-login')).toMatchObject({ made: false, path: place, ticket: { assignee: 'agent:b' } })
    await a.refused('held', 'work fix-login')
  })

  it('is not begun anew elsewhere without a word, and goes on as it says', async () => {
    const { repo, place, a, b } = shop()
    await a.ok('work fix-login')
    fs.writeFileSync(path.join(place, 'half'), 'half\n')
    commit(place, 'half of it')
    await b.ok('claim evict fix-login --reason gone')
    // The copy of the main worktree knows nothing of it.
    expect(fieldOf(repo.dir, id, 'workflow_state')).toBe('ready')
    const there = `${place} on agents/fix-login`
    expect((await b.run('ticket next --claim')).stderr).toContain(there)
    const { code, stderr } = await b.run('ticket start fix-login')
    expect([code, stderr]).toEqual([0, expect.stringContaining(there)])
    expect((await b.run('ticket start fix-login')).stderr).toBe('')
    await b.ok('ticket ready fix-login')
    const [, release, work] = /to go on there: lh (.*) && lh (.*)\n/.exec(stderr)!
    await b.ok(release!)
    expect(await b.ok(work!)).toMatchObject({ made: false, path: place })
    // There nothing is elsewhere.
    expect((await b.in(place).run('ticket start fix-login')).stderr).toBe('')
    expect(read(place, 'half')).toBe('half\n')
  })

  it('refuses what is in intake, blocked, done, closed or short of a gate, and leaves no worktree', async () => {
    for (const [fields, gates, words] of [
      [{ state: 'intake' }, {}, /intake/],
      [{ dependsOn: ['20260101-000000-first'] }, {}, /waits for 20260101-000000-first/],
      [{ state: 'done' }, {}, /done/],
      [{ state: 'done', status: 'closed' }, {}, /closed/],
      [{}, { plan: { stage: 'pre' } }, /gate plan/],
    ] as const) {
      const all = shop(fields, gates)
      putTicket(all.repo.dir, '20260101-000000-first')
      commit(all.repo.dir)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const error = await all.a.refused('policy', 'work fix-login')
      expect(error.message).toMatch(words)
      expect(error.hint).toContain('lh ')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await all.a.refused('policy', 'work fix-login -- true')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await expectNothing(all)
    }
  })

  it('says of a ticket in intake what leads back to it', async () => {
    const { repo, a } = shop({ state: 'intake' })
    const { hint } = await a.refused('policy', 'work fix-login')
    expect(hint).toMatch(/lh ticket ready \S+ && git add \.leasehold && git commit; then: lh work /)
    await a.ok('ticket ready fix-login')
    commit(repo.dir)
    await a.ok('work fix-login')
  })

  it('refuses words that it does not understand, and makes nothing', async () => {
    const all = shop()
    const { a } = all
    await a.refused('usage', 'work')
    await a.refused('not_found', 'work nothing-like-it')
    await a.refused('usage', 'work fix-login --no-ff')
    await a.refused('usage', 'work fix-login --keep')
    await a.refused('usage', 'work fix-login --message', 'words')
    await a.refused('usage', 'work fix-login --finish -- true')
    await a.refused('usage', 'work fix-login --ttl soon')
    await a.refused('policy', 'work --finish')
    await a.refused('policy', 'work --finish fix-login')
    await expectNothing(all)
  })

  it('refuses what a launch would refuse, before anything is made for it', { timeout: 60_000 }, async () => {
    const all = shop()
    for (const options of [
      '--prompt x --ready alive=1s -- true',
      '--permit --profile command -- true',
      '--profile nobody -- true',
      '--profile acp -- true',
      '--profile command',
      '--ready nonsense -- true',
      '--ready fd --ready-timeout 0 -- true',
      '--ready fd --name /x -- true',
      '--ready fd --role X -- true',
      '--ready fd --ttl 0 -- true',
      '--profile codex -- codex --help',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await all.a.refused('usage', `work fix-login ${options}`)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await expectNothing(all)
    }
    // What only the place itself can tell: nobody installed hooks there.
    failure(await all.a.run('--json work fix-login --profile gemini -- gemini'), 'usage')
    expect(branches(all.repo.dir)).toEqual(['main'])
    expect(fs.existsSync(all.place)).toBe(false)
  })

  it('needs a reason for a claim without an end, and makes nothing without', async () => {
    const all = shop()
    expect((await all.a.refused('policy', 'work fix-login --ttl 0')).hint).toContain('--reason')
    await all.a.refused('usage', 'work fix-login --reason x --ready fd -- true')
    await expectNothing(all)
    await all.a.ok('work fix-login --ttl 0 --reason', 'over the weekend')
    expect(await all.a.lease(`ticket:${id}`)).toMatchObject({ ttl_secs: 0, reason: 'ticket start: over the weekend' })
  })

  it('whose directory somebody deleted says with which command it goes on, and that does', { timeout: 60_000 }, async () => {
    const { repo, place, a, b } = shop()
    await a.ok('work fix-login')
    fs.writeFileSync(path.join(place, 'new'), 'work\n')
    commit(place, 'work')
    fs.rmSync(place, { recursive: true })
    await b.refused('held', 'work fix-login')
    for (const words of ['work fix-login', 'work fix-login -- true', 'work --finish fix-login']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { message, hint } = await a.refused('policy', words)
      expect(message).toContain('is gone')
      expect(hint).toMatch(/lh worktree remove wt:\S+ --salvage; then: lh work /)
    }
    const [, command] = /lh (worktree remove \S+ --salvage);/.exec((await a.refused('policy', 'work fix-login')).hint)!
    await a.ok(command!)
    await a.ok('work fix-login')
    expect(read(place, 'new')).toBe('work\n')
    // Git has forgotten it as well: nobody can remove it, but its claim can be ended.
    fs.rmSync(place, { recursive: true })
    fs.rmSync(path.join(repo.dir, '.git', 'worktrees', 'fix-login'), { recursive: true })
    expect((await a.refused('held', 'work fix-login')).hint).toContain('lh claim evict')
    await a.ok('claim evict fix-login --reason', 'its worktree is gone')
    await a.ok('work fix-login')
    expect(read(place, 'new')).toBe('work\n')
  })

  it('is one for both when two agents ask at the same time: one has it, the other is told', async () => {
    const { repo, place, a, b } = shop()
    const [first, second] = await Promise.all([a.run('--json work fix-login'), b.run('--json work fix-login')])
    const codes = [first.code, second.code].map(Number).toSorted((x, y) => x - y)
    expect(codes, first.stdout + second.stdout).toEqual([0, 3])
    expect(branches(repo.dir)).toEqual(['agents/fix-login', 'main'])
    expect(fieldOf(place, id, 'assignee')).toBe(first.code === 0 ? 'agent:a' : 'agent:b')
    expect(repo.records().filter(({ op }) => op === 'acquire')).toHaveLength(1)
  })
})

describe('work on a ticket with a command', () => {
  it('runs it in the worktree with the lease in its environment, and passes its exit code', async () => {
    const { place, a } = shop()
    const { code, stdout } = await a.run(
      'work fix-login --',
      'sh',
      '-c',
      'pwd; echo "$LEASEHOLD_LEASE $LEASEHOLD_TOKEN"; echo "$LEASEHOLD_RESOURCES"; exit 7',
    )
    expect(code).toBe(7)
    const [where, proof, ...resources] = stdout.trimEnd().split('\n')
    const { leases } = await a.ok('claim list')
    const lease = leases.find(({ resource }: Doc) => resource === `ticket:${id}`)
    expect(where).toBe(place)
    expect(leases.map(({ lease_id: each, token }: Doc) => `${each} ${token}`)).toContain(proof)
    expect(proof!.split(' ')[1]).toBe(String(lease.token))
    expect(resources.toSorted()).toEqual(leases.map(({ resource }: Doc) => resource).toSorted())
    // The claim stays after the command.
    expect(lease).toMatchObject({ standing: 'live', holder: { agent_id: 'agent:a' } })
    expect(await a.run('work fix-login -- true')).toMatchObject({ code: 0, stdout: '' })
    expect((await a.lease(`ticket:${id}`)).token).toBe(lease.token)
  })

  it('proves it whoever the command is, for each lease and to the end', async () => {
    const { repo, a, place } = shop()
    const lh = `"${process.execPath}" "${executable}"`
    const script = [
      'echo w > work; git add work; git commit -q -m work',
      'for each in $LEASEHOLD_RESOURCES',
      `do ${lh} claim renew "$each" --ttl 20m || exit 21; done`,
      `${lh} claim acquire fix-login || exit 23`,
      `before=$(git diff); ${lh} ticket start fix-login && test "$(git diff)" = "$before" || exit 24`,
      `${lh} exec fix-login -- true || exit 25`,
      `${lh} ticket set fix-login title=new || exit 22`,
      `exec ${lh} work --finish`,
    ].join('\n')
    const result = await a.run(
      'work fix-login --',
      'env',
      'LEASEHOLD_AGENT_ID=agent:another',
      'LEASEHOLD_SESSION_ID=s9',
      'sh',
      '-c',
      script,
    )
    expect(result, result.stderr).toMatchObject({ code: 0 })
    expect(git(repo.dir, 'show', 'main:work')).toBe('w')
    expect(fs.existsSync(place)).toBe(false)
    expect((await a.ok('claim list')).leases).toEqual([])
  })

  it('runs once under an id: the same id again is told so, and the claim is as it was', async () => {
    const { place, a } = shop()
    const script = 'echo ran >> ran'
    const first = await a.run('work fix-login --op-id w9 --', 'sh', '-c', script)
    expect(first, first.stderr).toMatchObject({ code: 0 })
    const held = await heldNow(a)
    const again = await a.run('--json work fix-login --op-id w9 --', 'sh', '-c', script)
    expect(failure(again, 'usage').message).toContain('w9')
    expect(read(place, 'ran')).toBe('ran\n')
    expect(await heldNow(a)).toEqual(held)
    expect((await a.run('work fix-login --op-id w10 --', 'sh', '-c', script)).code).toBe(0)
    expect(read(place, 'ran')).toBe('ran\nran\n')
  })

  it('ends with 128 + n when a signal ended the command', async () => {
    const { a } = shop()
    expect((await a.run('work fix-login --', 'sh', '-c', 'kill -TERM $$')).code).toBe(143)
    expect((await a.run('work fix-login --', 'sh', '-c', 'kill -KILL $$')).code).toBe(137)
    expect((await a.lease(`ticket:${id}`)).standing).toBe('live')
  })

  it('with --json puts what the command says on standard error, and one document on standard output', async () => {
    const { place, a } = shop()
    const { code, stdout, stderr } = await a.run('--json work fix-login --', 'sh', '-c', 'echo said; echo "{}"; exit 3')
    expect(code).toBe(3)
    expect(stdout.split('\n')).toHaveLength(2)
    expect(parse(stdout)).toMatchObject({ ok: true, exit_code: 3, path: place, made: true, ticket: { id } })
    expect(stderr).toBe('said\n{}\n')
  })

  it('renews beyond the time of the lease, and keeps its length', async () => {
    const { repo, a, b } = shop()
    repo.busy = true
    const run = a.start('work fix-login --ttl 2s --', 'sleep', '5')
    await sleep(4000)
    await b.refused('held', 'claim acquire fix-login')
    expect(await run.ended).toMatchObject({ code: 0, stderr: '' })
    expect(repo.records().filter(({ op }) => op === 'renew').length).toBeGreaterThan(4)
    const lease = await a.lease(`ticket:${id}`)
    expect(lease.ttl_secs).toBe(2)
    // Nobody renews any more: it ends by itself.
    await until(async () => (await a.lease(`ticket:${id}`)).standing === 'expired', 'it has expired')
  })

  it('ends the command when the lease is lost: TERM, and 6', async () => {
    const { place, a, b } = shop()
    const script = `trap 'echo ended > ended; exit 0' TERM; echo go > go; while :; do sleep 0.05; done`
    const run = a.start('--json work fix-login --ttl 3s --', 'sh', '-c', script)
    await until(() => fs.existsSync(path.join(place, 'go')), 'it runs')
    await b.ok(`claim evict ticket:${id} --reason`, 'too slow')
    const { code, stdout } = await run.ended
    expect(code).toBe(6)
    expect(parse(stdout).error).toMatchObject({ code: 'superseded', exit: 6 })
    expect(fs.existsSync(path.join(place, 'ended'))).toBe(true)
  })

  it('says which program is missing, and that the ticket is held all the same', async () => {
    const { a } = shop()
    const result = await a.run('--json work fix-login -- no-such-program-here')
    const error = failure(result, 'usage')
    expect(error.message).toContain('no-such-program-here')
    expect((await a.lease(`ticket:${id}`)).standing).toBe('live')
    expect(error.hint).not.toContain('nothing is held')
  })

  it('is one at a time: a second one of the same person is refused while the first runs', async () => {
    const { place, a } = shop()
    const first = a.start('work fix-login --', 'sh', '-c', 'touch begun; while [ ! -e end ]; do sleep 0.05; done')
    await until(() => fs.existsSync(path.join(place, 'begun')), 'the first command')
    const { message } = failure(await a.run('--json work fix-login -- touch second'), 'held')
    expect(message).toMatch(/work:.* is held by agent:a itself, in process \d+/)
    expect(fs.existsSync(path.join(place, 'second'))).toBe(false)
    // Without a command there is nothing to keep apart.
    expect(await a.ok('work fix-login')).toMatchObject({ made: false })
    fs.writeFileSync(path.join(place, 'end'), '')
    expect(await first.ended).toMatchObject({ code: 0 })
    await a.run('work fix-login -- touch second')
    expect(fs.existsSync(path.join(place, 'second'))).toBe(true)
  })

  it('is ended soon after an eviction, however long its lease would have lasted', async () => {
    const { place, a, b } = shop()
    const running = a.start('work fix-login --', 'sh', '-c', 'touch begun; exec sleep 60')
    await until(() => fs.existsSync(path.join(place, 'begun')), 'the command')
    await b.ok('claim evict fix-login', '--reason', 'it went wrong')
    expect(await running.ended).toMatchObject({ code: 6 })
  })

  it('has the code of a lost lease also when it ends before anybody could tell it', async () => {
    const { place, a, b } = shop()
    const running = a.start('work fix-login --', 'sh', '-c', 'trap "" TERM; touch begun; while [ ! -e end ]; do sleep 0.01; done; exit 0')
    await until(() => fs.existsSync(path.join(place, 'begun')), 'the command')
    await b.ok('claim evict fix-login', '--reason', 'it went wrong')
    fs.writeFileSync(path.join(place, 'end'), '')
    expect(await running.ended).toMatchObject({ code: 6 })
  })

  it('needs the ticket on the base branch: two beginnings of one file would meet in the merge', async () => {
    const { repo, a } = shop()
    putTicket(repo.dir, '20260607-220226-other')
    const { message, hint } = await a.refused('policy', 'work other')
    expect([message, hint]).toEqual([expect.stringContaining('not committed on main'), expect.stringContaining('git add .leasehold')])
    expect(branches(repo.dir)).toEqual(['main'])
  })

  it('is not harmed by a finish inside: it ends with the code of the command', async () => {
    const { repo, place, a } = shop()
    const script = `git add -A && git commit -qm "the work" && "${process.execPath}" "$LH" work --finish --quiet && cd / && sleep 3`
    const env = { LH: path.resolve(import.meta.dirname, '../../dist/bin/lh.cjs') }
    const result = await a.with(env).run('work fix-login --ttl 4s --', 'sh', '-c', script)
    expect(result).toMatchObject({ code: 0 })
    expect(fieldOf(repo.dir, id, 'workflow_state')).toBe('done')
    expect(fs.existsSync(place)).toBe(false)
    expect(await heldNow(a)).toEqual([])
  })
})
