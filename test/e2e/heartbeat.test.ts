import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { busyStore, exits, failure, isRunning, repository, success, until } from '../support/cli.ts'

// `lh claim heartbeat --every`: the background heartbeat.

const started: ChildProcess[] = []
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
})

/** A process to watch. */
function watched(): ChildProcess & { readonly pid: number } {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  started.push(child)
  return child as ChildProcess & { readonly pid: number }
}

describe('claim heartbeat --every', () => {
  it('keeps a lease alive beyond its TTL until the process it watches ends', async () => {
    const repo = repository()
    repo.busy = true
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.acquire('x --ttl 1s')
    const work = watched()
    const beating = a.start('--json claim heartbeat x --every 200ms --while-pid', String(work.pid))
    await until(() => repo.records().length > 8, 'it has beaten for more than a TTL')
    expect((await b.refused('held', 'claim acquire x')).holder.agent_id).toBe('agent:a')
    const files = Object.keys(repo.snapshot())
    work.kill('SIGKILL')
    const document = success(await beating.ended)
    expect(document).toMatchObject({ ended_by: 'the process it watched has ended', lease: { resource: 'ticket:x', token: 1 } })
    expect(document.beats).toBeGreaterThanOrEqual(8)
    expect((await beating.ended).code).toBe(0)
    expect(isRunning(beating.pid)).toBe(false)
    expect(Object.keys(repo.snapshot())).toEqual(files)
    expect(
      new Set(
        repo
          .records()
          .slice(1)
          .map(({ op, late }) => `${op} ${late}`),
      ),
    ).toEqual(new Set(['heartbeat false']))
    await b.ok('claim acquire x --wait=60s')
  })

  it('ends with 6 when the lease is evicted', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x --ttl 1m')
    const beating = a.start('--json claim heartbeat x --every 200ms')
    await until(() => repo.records().length > 2, 'it beats')
    await repo.as('agent:b').ok('claim evict x --reason stuck')
    const error = failure(await beating.ended, 'superseded')
    expect(error.message).toContain('ticket:x')
  })

  it('ends with 6 when another has taken it, and does not keep a later lease of its own agent alive', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x --ttl 1m')
    await a.acquire('y --ttl 1m')
    const [one, other] = ['x', 'y'].map(name => a.start(`claim heartbeat ${name} --every 200ms`))
    await until(() => repo.records().length > 5, 'both beat')
    await a.ok('claim transfer x --to-agent agent:b --reason handover')
    await a.ok('claim release y')
    await a.acquire('y')
    expect(await one!.ended).toMatchObject({ code: exits.superseded, stdout: '', stderr: expect.stringContaining('agent:b') })
    expect((await other!.ended).code).toBe(exits.superseded)
  })

  it('keeps a group alive, whichever of its members is named, and however', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const { leases } = await a.ok('claim acquire env:one env:two --ttl 1m')
    for (const named of ['env:one', 'env:two', leases[0].lease_id, leases[1].lease_id]) {
      const records = repo.records().length
      const beating = a.start(`claim heartbeat ${named} --every 100ms`)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await until(() => beating.child.exitCode !== null || repo.records().length > records + 2, 'it has beaten again and again')
      beating.kill('SIGTERM')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await beating.ended).toMatchObject({ code: 0, stderr: '' })
    }
  })

  it('keeps the rest of a group alive when the member that is named is given back alone', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const { leases } = await a.ok('claim acquire env:one env:three env:two --ttl 1m')
    const beats = (resources: string) => repo.story().filter(each => each === `heartbeat ${resources}`).length
    for (const [named, all, left] of [
      ['env:one', 'env:one+env:three+env:two', 'env:three+env:two'],
      [leases[2].lease_id, 'env:three+env:two', 'env:three'],
    ] as const) {
      const before = beats(all)
      const beating = a.start(`claim heartbeat ${named} --every 100ms`)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await until(() => beats(all) > before, 'it beats')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.ok(`claim release ${named} --only`)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await until(() => beating.child.exitCode !== null || beats(left) > 1, 'it goes on')
      beating.kill('SIGTERM')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await beating.ended).toMatchObject({ code: 0, stderr: '' })
    }
    const seen = beats('env:three')
    const beating = a.start('claim heartbeat env:three --every 100ms')
    await until(() => beats('env:three') > seen, 'it beats')
    await a.ok('claim release env:three --only')
    expect(await beating.ended).toMatchObject({ code: 6 })
  })

  it('calls a log that never granted the lease unavailable, and not lost', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('y --ttl 1m')
    await a.acquire('x --ttl 1m')
    for (const named of ['x', (await a.lease('ticket:x')).lease_id]) {
      const records = repo.records().length
      const beating = a.start(`--json claim heartbeat ${named} --every 200ms`)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await until(() => repo.records().length > records, 'it beats')
      fs.renameSync(repo.store, `${repo.store}.away`)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await beating.ended).toMatchObject({
        code: exits.unavailable,
        stdout: expect.stringContaining('token 2 is newer than the whole log'),
      })
      fs.rmSync(repo.store, { recursive: true, force: true })
      fs.renameSync(`${repo.store}.away`, repo.store)
    }
  })

  it('stops when it is told to, and leaves nothing behind', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x --ttl 1m')
    const before = Object.keys(repo.snapshot())
    for (const name of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const) {
      const records = repo.records().length
      const beating = a.start('claim heartbeat x --every 30s --note', name)
      // oxlint-disable-next-line no-await-in-loop -- one signal after the other
      await until(() => repo.records().length > records, 'it has beaten')
      beating.kill(name)
      // oxlint-disable-next-line no-await-in-loop -- one signal after the other
      expect(await beating.ended).toEqual({ code: 0, signal: null, stdout: `1 heartbeats; ended because ${name} told it to\n`, stderr: '' })
    }
    expect(Object.keys(repo.snapshot())).toEqual(before)
    expect((await a.lease('ticket:x')).note).toBe('SIGHUP')
  })

  it('counts only what the store has acknowledged', async () => {
    const repo = repository()
    const a = repo.as('agent:a', { LEASEHOLD_LOCK_WAIT: '100ms' })
    await a.acquire('x --ttl 1m')
    const holder = await busyStore(repo)
    const beating = a.start('claim heartbeat x --every 100ms')
    await until(() => beating.stderr.split('could not renew').length > 2, 'it has tried twice')
    beating.kill('SIGTERM')
    expect((await beating.ended).stdout).toBe('0 heartbeats; ended because SIGTERM told it to\n')
    holder.kill('SIGKILL')
    expect(repo.records()).toHaveLength(1)
  })

  it('refuses what would let the lease expire between two beats', async () => {
    const a = repository().as('agent:a')
    const lease = await a.acquire('x --ttl 2s')
    for (const [named, every] of [
      ['x', '2s'],
      [lease.lease_id, '5s'],
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { message, hint } = await a.refused('usage', `claim heartbeat ${named} --every ${every}`)
      expect(message).toContain('the lease on ticket:x has a ttl of 2 s and would expire in between')
      expect(hint).toContain('--every 400ms')
    }
    await a.ok('claim renew x --ttl 0 --reason deploys')
    await a.refused('usage', 'claim heartbeat x --every 30m --op-id once')
    const beating = a.start('claim heartbeat x --every 30m')
    await until(() => a.repo.records().length > 2, 'it beats')
    beating.kill('SIGTERM')
    expect((await beating.ended).code).toBe(0)
  })

  it('refuses what is not there, not yours, or makes no sense', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.refused('not_found', 'claim heartbeat x --every 1s')
    await a.acquire('x')
    await repo.as('agent:b').refused('not_owner', 'claim heartbeat x --every 1s')
    const gone = watched()
    gone.kill('SIGKILL')
    await until(() => !isRunning(gone.pid), 'it is gone')
    expect((await a.refused('usage', 'claim heartbeat x --every 1s --while-pid', String(gone.pid))).message).toContain(
      `there is no process ${gone.pid}`,
    )
    for (const words of ['--while-pid 1', '--every 10ms', '--every soon', '--every 1s --while-pid me', '--every 1s --while-pid -1']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.refused('usage', `claim heartbeat x ${words}`)
    }
  })
})
