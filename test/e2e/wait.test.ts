import { existsSync } from 'node:fs'
import { expect, it } from 'vitest'
import { exits, failure, parse, repository, success, until } from '../support/cli.ts'
import { requires } from '../support/skip.ts'

// Waiting for what another holds. Each waiter has a deadline of a minute, which is far from being reached: it is woken.

const needsProc = requires(existsSync('/proc/self/environ'), 'needs /proc, where it can be proven that a process and its children are gone')

/** A waiter says that it waits (on standard error, without --json). */
const waits = (waiter: { readonly stderr: string }): boolean => waiter.stderr.includes('waiting')

it('a waiter is woken by the release, not by its deadline', async () => {
  const repo = repository()
  const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
  await a.acquire('x')
  const waiter = b.start('claim acquire x --wait=60s')
  await until(() => waits(waiter), 'it waits')
  const start = performance.now()
  await a.ok('claim release x')
  const { code, stdout } = await waiter.ended
  expect(performance.now() - start).toBeLessThan(30_000)
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^acquired ticket:x  token 3/) })
})

it('a waiter for a path is woken when another path that overlaps it is released', async () => {
  const repo = repository()
  const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
  await a.acquire('path:src/**')
  const waiter = b.start('claim acquire path:src/main.ts ticket:y --wait')
  await until(() => waits(waiter), 'it waits')
  expect(await a.lease('ticket:y')).toBeUndefined()
  await a.ok('claim release path:src/')
  expect((await waiter.ended).code).toBe(0)
})

it('a waiter gives way at its deadline, with the holder in the message', async () => {
  const repo = repository()
  await repo.as('agent:a').acquire('x')
  const error = await repo.as('agent:b').refused('timeout', 'claim acquire x --wait=300ms')
  expect(error.message).toMatch(/^waited 0.3 s, and ticket:x is held by agent:a/)
  expect(error.hint).toContain('lh why ticket:x')
  const text = await repo.as('agent:b').run('claim acquire x --wait 300ms')
  expect(text).toMatchObject({ code: exits.timeout, stdout: '' })
  await repo.as('agent:b').refused('timeout', 'claim acquire x --wait=0')
})

it('a waiter is woken when the lease in its way expires', async () => {
  const repo = repository()
  await repo.as('agent:a').acquire('x --ttl 1s')
  const { lease } = await repo.as('agent:b').ok('claim acquire x --wait=60s')
  expect(lease.holder.agent_id).toBe('agent:b')
  expect(repo.story()).toEqual(['acquire ticket:x', 'auto-evict ticket:x', 'acquire ticket:x'])
})

needsProc.it('a waiter is woken when a holder that runs a command is killed with it', async () => {
  const repo = repository()
  const holder = repo.as('agent:a').start('exec x --', 'sh', '-c', 'echo $$; exec sleep 60')
  const child = Number(await until(() => holder.stdout.trim(), 'the command runs'))
  const waiter = repo.as('agent:b').start('claim acquire x --wait=60s')
  await until(() => waits(waiter), 'it waits')
  holder.kill('SIGKILL')
  process.kill(child, 'SIGKILL')
  expect((await waiter.ended).code).toBe(0)
  expect(repo.records().find(({ op }) => op === 'auto-evict')).toMatchObject({
    reason: 'holder-dead',
    previous_holder: { agent_id: 'agent:a' },
  })
})

it('of ten waiters each release lets exactly one in, until all had it', async () => {
  const repo = repository()
  await repo.as('agent:first').acquire('x')
  const waiters = Array.from({ length: 10 }, (_, index) => {
    const agent = repo.as(`agent:${index}`)
    return { agent, process: agent.start('claim acquire x --wait=60s'), done: false }
  })
  for (const waiter of waiters) {
    void waiter.process.ended.then(() => (waiter.done = true))
    // oxlint-disable-next-line no-await-in-loop -- all of them, one after the other
    await until(() => waits(waiter.process), 'all wait')
  }
  let holder = repo.as('agent:first')
  for (let round = 1; round <= 10; round++) {
    // oxlint-disable-next-line no-await-in-loop -- rounds
    await holder.ok('claim release x')
    // oxlint-disable-next-line no-await-in-loop -- rounds
    const owner = await until(() => repo.records().at(-1)!.op === 'acquire' && repo.records().at(-1)!.actor, 'somebody has it')
    holder = waiters.find(({ agent }) => agent.env['LEASEHOLD_AGENT_ID'] === owner)!.agent
    // oxlint-disable-next-line no-await-in-loop -- rounds
    await until(() => waiters.filter(({ done }) => done).length === round, 'one more is through')
  }
  for (const { process: waiter } of waiters) expect((await waiter.ended).code).toBe(0)
  const tokens = repo
    .records()
    .filter(({ op }) => op === 'acquire')
    .map(({ token }) => token)
  expect(tokens).toHaveLength(11)
  expect(tokens).toEqual(tokens.toSorted((one, other) => one - other))
})

it('only what can become free is waited for: other refusals come at once', async () => {
  const repo = repository()
  await repo.as('agent:a').acquire('x')
  await repo.as('agent:b').refused('usage', 'claim acquire x --ttl 40d --wait=60s')
  await repo.as('agent:b').refused('policy', 'claim acquire y --ttl 0 --wait=60s')
})

it('a waiter that is told to stop leaves nothing behind', async () => {
  const repo = repository()
  await repo.as('agent:a').acquire('x')
  const before = repo.log()
  const waiter = repo.as('agent:b').start('claim acquire x --wait')
  await until(() => waits(waiter), 'it waits')
  waiter.kill('SIGINT')
  expect(await waiter.ended).toMatchObject({ signal: 'SIGINT', stdout: '' })
  expect(repo.log()).toBe(before)
})

it('--wait takes its value with = or, with a unit, as the next word; a plain number is ambiguous', async () => {
  const repo = repository()
  const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
  await a.acquire('x')
  failure(await b.run('--json claim acquire x --wait 200ms'), 'timeout')
  const error = await b.refused('usage', 'claim acquire x --wait 5')
  expect(error.hint).toContain('--wait=5')
  // As of a variable that is not set: without limit was not asked for.
  for (const words of ['claim acquire x --wait=', 'claim acquire --wait= x', 'exec x --wait= -- true'])
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    expect((await b.refused('usage', words)).message, words).toBe('--wait= has no value')
  expect(success(await b.run('--json claim acquire --wait=5 7')).lease.resource).toBe('ticket:7')
  expect(success(await b.run('claim acquire --json --wait y')).lease.resource).toBe('ticket:y')
  expect(parse((await b.run('--json claim acquire x --wait=soon')).stdout).error.message).toContain('--wait: "soon" is no duration')
})
