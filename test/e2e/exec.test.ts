import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  type Doc,
  exits,
  executable,
  failure,
  folder,
  isRunning,
  parse,
  repository,
  type Running,
  signal,
  success,
  until,
} from '../support/cli.ts'
import { requires } from '../support/skip.ts'
import { room, ticketId } from '../support/worktrees.ts'

// `lh exec`: a lease that lives as long as a command.

const needsProc = requires(
  fs.existsSync('/proc/self/environ'),
  'needs /proc, where it can be proven that a process and its children are gone',
)

/** Prints its pid, then sleeps: the child of most tests. */
const sleeper = ['sh', '-c', 'echo $$; exec sleep 60']
const childOf = async (holder: Running): Promise<number> => Number(await until(() => holder.stdout.trim(), 'the command runs'))

it('what its command asks about is judged by the token of that, also where the environment has another one', async () => {
  const a = repository().as('agent:a')
  await a.acquire('env:c')
  const lh = `"${process.execPath}" "${executable}"`
  const asked = `${lh} claim check env:c && ${lh} claim check env:d && ${lh} claim check env:e; echo $?; ${lh} claim check env:c --token "$LEASEHOLD_TOKEN"`
  const { code, stdout, stderr } = await a.run('exec env:c env:d --', 'sh', '-c', asked)
  expect(stdout).toBe('token 1 is the current one of env:c, held by agent:a\ntoken 3 is the current one of env:d, held by agent:a\n2\n')
  expect(stderr).toContain('LEASEHOLD_TOKEN is not of env:e, and no other token of it is known here')
  expect(stderr).toContain('your token 3 for env:c is no longer current: you hold it yourself, with token 1')
  expect(code).toBe(6)
})

describe('a command under a lease', () => {
  it('finds lease, token and resources in its environment, and is held for while it runs', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const { code, stdout, stderr } = await a.run(
      'exec ticket:x env:y --ttl 1m --reason tests --',
      'sh',
      '-c',
      `printf '%s|%s|%s\\n' "$LEASEHOLD_LEASE" "$LEASEHOLD_TOKEN" "$LEASEHOLD_RESOURCES"; "${process.execPath}" "${executable}" claim list --json`,
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [lease, token, rest] = stdout.split('|')
    const [one, other, list] = rest!.trim().split('\n')
    expect([one, other]).toEqual(['env:y', 'ticket:x'])
    const { leases } = parse(list!)
    expect(
      leases.map(({ resource, bound, standing, ttl_secs, reason }: Record<string, unknown>) => [
        resource,
        bound,
        standing,
        ttl_secs,
        reason,
      ]),
    ).toEqual([
      ['env:y', true, 'live', 60, 'tests'],
      ['ticket:x', true, 'live', 60, 'tests'],
    ])
    expect(leases[0]).toMatchObject({
      lease_id: lease,
      token: Number(token),
      holder: { agent_id: 'agent:a', witness: { pid: expect.any(Number) } },
    })
    expect((await a.ok('claim list')).count).toBe(0)
    expect(repo.story()).toEqual(['acquire env:y+ticket:x', 'release env:y+ticket:x'])
  })

  it('may use them: lh below it acts as the holder, and check needs no token', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const lh = `"${process.execPath}" "${executable}"`
    const result = await a.run(
      'exec x --',
      'sh',
      '-c',
      `${lh} claim check x && LEASEHOLD_AGENT_ID=agent:other ${lh} claim renew x --note busy`,
    )
    expect(result).toMatchObject({ code: 0, stderr: '' })
    expect(repo.records().map(({ op }) => op)).toEqual(['acquire', 'renew', 'release'])
  })

  it('passes its exit code through, and 128 + n for a signal', async () => {
    const a = repository().as('agent:a')
    for (const code of [0, 1, 3, 7, 42, 255]) expect((await a.run('exec x --', 'sh', '-c', `exit ${code}`)).code).toBe(code)
    for (const name of ['SIGTERM', 'SIGKILL', 'SIGSEGV'] as const) {
      expect((await a.run('exec x --', 'sh', '-c', `kill -${name.slice(3)} $$`)).code).toBe(128 + os.constants.signals[name])
    }
    expect((await a.ok('claim list')).count).toBe(0)
  })

  needsProc.it('passes its exit code through also when its lease cannot be given back, and that ends with the process', async () => {
    const repo = repository()
    const format = path.join(repo.store, 'format')
    const result = await repo
      .as('agent:a')
      .run('exec env:y env:x --', 'sh', '-c', `cp "${format}" "${format}.whole" && echo >"${format}" && exit 3`)
    expect(result.code).toBe(3)
    expect(result.stderr).toContain('the lease on env:x, env:y could not be given back, and ends with this process')
    fs.renameSync(`${format}.whole`, format)
    await repo.as('agent:b').acquire('env:x')
  })

  it('keeps standard output for the one document with --json', async () => {
    const a = repository().as('agent:a')
    const result = await a.run('--json exec x --', 'sh', '-c', 'echo out; echo err >&2; exit 5')
    expect(result.code).toBe(5)
    expect(result.stderr.split('\n').toSorted()).toEqual(['', 'err', 'out'])
    const document = success(result)
    expect(document).toMatchObject({ exit_code: 5, released: true, lease: { resource: 'ticket:x', bound: true } })
    expect(Object.keys(document).toSorted()).toEqual(['exit_code', 'lease', 'ok', 'op_id', 'released'])
  })

  it('takes its own options: what follows -- is not ours', async () => {
    const a = repository().as('agent:a')
    const result = await a.run('exec x --', 'echo', '--json', '--help', '--')
    expect(result).toEqual({ code: 0, signal: null, stdout: '--json --help --\n', stderr: '' })
  })

  it('that does not exist is a usage error, and nothing is held', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    repo.busy = true
    expect((await a.refused('usage', 'exec x --', 'no-such-program')).message).toContain('"no-such-program" could not be started')
    const file = path.join(folder(), 'script')
    fs.writeFileSync(file, '#!/bin/sh\n', { mode: 0o600 })
    await a.refused('usage', 'exec x --', file)
    await a.refused('usage', 'exec x')
    await a.refused('usage', 'exec --', 'true')
    await a.refused('usage', 'exec x --ttl 0 --reason r --', 'true')
    expect((await a.ok('claim list')).count).toBe(0)
    expect(fs.readdirSync(path.join(repo.store, 'locks'))).toEqual(['claims.lock'])
  })

  it('that cannot be started, for whatever reason, is a usage error that names it, and nothing is held', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    repo.busy = true
    const [file, circle] = [path.join(repo.dir, 'file'), path.join(repo.dir, 'circle')]
    fs.writeFileSync(file, '')
    fs.symlinkSync('circle', circle)
    const programs = {
      '': '"" could not be started: it has no name',
      [`${file}/below`]: `"${file}/below" could not be started: there is no such program`,
      [circle]: `"${circle}" could not be started: its symbolic links lead in a circle`,
      ['x'.repeat(300)]: `"${'x'.repeat(77)}…" could not be started: its name is too long`,
    }
    for (const [program, message] of Object.entries(programs)) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await a.refused('usage', 'exec x env:y --', program)).toMatchObject({ message, hint: 'nothing is held any more' })
    }
    expect((await a.ok('claim list')).count).toBe(0)
    expect(fs.readdirSync(path.join(repo.store, 'locks'))).toEqual(['claims.lock'])
  })

  it('is not started when another holds it', async () => {
    const repo = repository()
    await repo.as('agent:a').acquire('x')
    const file = path.join(folder(), 'ran')
    expect((await repo.as('agent:b').run('exec x --', 'touch', file)).code).toBe(exits.held)
    expect((await repo.as('agent:b').run('exec x --wait=200ms --', 'touch', file)).code).toBe(exits.timeout)
    expect(fs.existsSync(file)).toBe(false)
  })

  it('gets the signals that lh gets, and decides itself', async () => {
    const repo = repository()
    for (const [name, code] of [
      ['SIGINT', 7],
      ['SIGTERM', 8],
      ['SIGQUIT', 9],
      ['SIGUSR1', 10],
    ] as const) {
      const holder = repo
        .as('agent:a')
        .start(
          'exec x --',
          'sh',
          '-c',
          'trap "exit 7" INT; trap "exit 8" TERM; trap "exit 9" QUIT; trap "exit 10" USR1; echo ready; while :; do sleep 0.05; done',
        )
      // oxlint-disable-next-line no-await-in-loop -- one signal after the other
      await until(() => holder.stdout, 'the command runs')
      holder.kill(name)
      // oxlint-disable-next-line no-await-in-loop -- one signal after the other
      expect((await holder.ended).code).toBe(code)
    }
    expect(repo.records().map(({ op }) => op)).toEqual([
      'acquire',
      'release',
      'acquire',
      'release',
      'acquire',
      'release',
      'acquire',
      'release',
    ])
  })
})

describe('a lease that its holder had before', () => {
  it('is still held after the command', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const before = await a.acquire('x --ttl 5m')
    const document = success(await a.run('--json exec x --', 'true'))
    expect(document).toMatchObject({ already_held: true, released: false, lease: { lease_id: before.lease_id } })
    expect(await a.lease('ticket:x')).toMatchObject({ lease_id: before.lease_id, token: before.token })
  })

  it('stays when only the others were taken for the command', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const before = await a.acquire('x')
    const result = await a.run('exec ticket:x ticket:y --', 'sh', '-c', 'printf "%s %s" "$LEASEHOLD_TOKEN" "$LEASEHOLD_RESOURCES"')
    expect(result).toMatchObject({ code: 0, stdout: '3 ticket:y' })
    const { leases } = await a.ok('claim list')
    expect(leases).toMatchObject([{ resource: 'ticket:x', lease_id: before.lease_id, bound: false }])
  })
})

describe('its environment', () => {
  it('proves each of several resources by its own lease id, to whoever runs there', async () => {
    const repo = repository()
    const lh = `"${process.execPath}" "${executable}"`
    const result = await repo
      .as('agent:a')
      .run(
        'exec port:1 env:b ticket:c --',
        'env',
        'LEASEHOLD_AGENT_ID=agent:another',
        'sh',
        '-c',
        `echo "$LEASEHOLD_RESOURCES"; echo "$LEASEHOLD_LEASES"; for each in port:1 env:b ticket:c; do ${lh} claim renew "$each" --quiet || exit 9; done; ${lh} claim list --json`,
      )
    expect(result, result.stderr).toMatchObject({ code: 0 })
    const lines = result.stdout.trimEnd().split('\n')
    const { leases } = parse(lines.at(-1)!)
    const byKey = new Map(leases.map(({ resource, lease_id: leaseId }: Doc) => [resource, leaseId]))
    expect(lines.slice(3, 6)).toEqual(lines.slice(0, 3).map(resource => byKey.get(resource)))
  })

  it('lets whoever runs there acquire again what it is of, one or all, and is no proof in another repository', async () => {
    const [repo, other] = [repository(), repository()]
    const lh = `"${process.execPath}" "${executable}"`
    const asked = ['env:one', 'env:two', 'env:two env:one'].map(keys => `${lh} claim acquire ${keys} --json`)
    const result = await repo
      .as('agent:a')
      .run(
        'exec env:one env:two --',
        'env',
        'LEASEHOLD_AGENT_ID=agent:another',
        'sh',
        '-c',
        `${asked.join('; ')}; ${lh} --repo "${other.dir}" claim acquire env:three --json`,
      )
    expect(result, result.stderr + result.stdout).toMatchObject({ code: 0 })
    const answers = result.stdout.trimEnd().split('\n').map(parse)
    for (const answer of answers.slice(0, 3)) expect(answer).toMatchObject({ ok: true, already_held: true })
    expect(answers[3].lease).toMatchObject({ holder: { agent_id: 'agent:another' }, token: 1 })
  })
})

describe('a lease that ends inside its command', () => {
  const lh = `"${process.execPath}" "${executable}"`

  /** A command for `sh -c` that waits until an eviction would have ended it, says so, and ends with 5. */
  const goOn = 'sleep 2; echo goes on; exit 5'

  it('is not lost with the ticket that was finished there', async () => {
    const { repo, a } = room()
    const finish = `${lh} ticket start ${ticketId} --quiet && ${lh} ticket done ${ticketId} --quiet`
    const result = await a.run(`--json exec ${ticketId} --`, 'sh', '-c', `(${finish} && ${goOn}) >&2`)
    expect(result, result.stderr).toMatchObject({ code: 5 })
    expect(parse(result.stdout)).toMatchObject({ ok: true, exit_code: 5, released: false })
    expect(result.stderr).toContain('goes on')
    expect(result.stderr).not.toContain('lost')
    expect(repo.records().at(-1)).toMatchObject({ op: 'release', outcome: 'done' })
  })

  it('is lost when something else goes with the ticket', async () => {
    const { a } = room()
    const finish = `${lh} ticket start ${ticketId} --quiet && ${lh} ticket done ${ticketId} --quiet`
    const result = await a.run(`exec env:staging ${ticketId} --`, 'sh', '-c', `${finish} && ${goOn}`)
    expect(result.code).toBe(exits.superseded)
    expect(result.stdout).not.toContain('goes on')
  })

  it('is lost when it was merely given back', async () => {
    const a = repository().as('agent:a')
    const result = await a.run('exec env:staging --', 'sh', '-c', `${lh} claim release env:staging --quiet; ${goOn}`)
    expect(result.code).toBe(exits.superseded)
    expect(result.stdout).not.toContain('goes on')
  })

  it('goes on being renewed for what is left of it', async () => {
    const a = repository().as('agent:a')
    await a.acquire('ticket:a branch:b --ttl 5s')
    const result = await a.run(
      'exec ticket:a env:c --ttl 5s --',
      'sh',
      '-c',
      `${lh} claim release ticket:a --only --quiet; sleep 8; ${lh} claim check branch:b --quiet && ${lh} claim check env:c --quiet`,
    )
    expect(result, result.stderr).toMatchObject({ code: 0 })
  })
})

describe('one of several that is given back meanwhile', () => {
  it.each(['env:one', 'env:two'])('leaves the command running under the rest, which ends with it (%s)', async given => {
    const repo = repository()
    const a = repo.as('agent:a')
    const holder = a.start('exec env:one env:two --ttl 5s --', ...sleeper)
    await childOf(holder)
    await a.ok(`claim release ${given} --only`)
    const rest = given === 'env:one' ? 'env:two' : 'env:one'
    await until(() => repo.records().some(({ op, resource }) => op === 'renew' && resource === rest), 'the rest is renewed')
    holder.kill('SIGTERM')
    expect((await holder.ended).code).toBe(143)
    expect(repo.records().at(-1)).toMatchObject({ op: 'release', resource: rest })
    expect((await a.ok('claim list')).leases).toEqual([])
  })

  needsProc.it('leaves the rest free at once when everything is killed', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const holder = a.start('exec env:one env:two --', ...sleeper)
    const child = await childOf(holder)
    await a.ok('claim release env:one --only')
    holder.kill('SIGKILL')
    signal(child, 'SIGKILL')
    await until(() => !isRunning(child) && !isRunning(holder.pid), 'both are gone')
    await b.acquire('env:two')
  })
})

describe('a lease whose TTL is changed meanwhile', () => {
  it('is renewed in time for the new one', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const holder = a.start('exec env:one env:two --ttl 1h --', ...sleeper)
    await childOf(holder)
    await a.ok('claim renew env:two --ttl 2s')
    await until(
      () => repo.records().filter(({ op, ttl_secs: ttl }) => op === 'renew' && ttl === 2).length > 3,
      'it is renewed again and again',
    )
    await a.ok('claim renew env:one --ttl 1h')
    const { token } = await a.lease('env:one')
    holder.kill('SIGTERM')
    expect((await holder.ended).code).toBe(143)
    expect(repo.records().at(-1)).toMatchObject({ op: 'release', token })
  })
})

describe('a lost lease', () => {
  it('ends the command with SIGTERM, and lh with 6', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const holder = a.start('exec x --ttl 1s --', 'sh', '-c', 'trap "echo told; exit 0" TERM; echo $$; while :; do sleep 0.05; done')
    const child = await childOf(holder)
    await b.ok('claim evict x --reason', 'needed elsewhere')
    await b.acquire('x')
    const { code, stdout, stderr } = await holder.ended
    expect(code).toBe(exits.superseded)
    expect(stdout).toContain('told')
    expect(stderr).toMatch(/the lease was lost while the command ran: .*ticket:x/)
    expect(isRunning(child)).toBe(false)
    expect((await b.lease('ticket:x')).holder.agent_id).toBe('agent:b')
  })

  it('is an error document with --json, with what became of the command', async () => {
    const repo = repository()
    const holder = repo.as('agent:a').start('--json exec x --ttl 1s --', 'sh', '-c', 'echo $$ >&2; exec sleep 60')
    await until(() => holder.stderr, 'the command runs')
    await repo.as('agent:b').ok('claim evict x --reason r')
    const result = await holder.ended
    const error = failure({ ...result, stderr: '' }, 'superseded')
    expect(error.details).toMatchObject({ command_exit_code: 128 + os.constants.signals.SIGTERM })
  })

  it('does not come from time: a command outlives its TTL', async () => {
    const repo = repository()
    const result = await repo.as('agent:a').run('exec x --ttl 1s --', 'sleep', '2.5')
    expect(result).toMatchObject({ code: 0, stderr: '' })
    expect(
      repo
        .records()
        .map(({ op }) => op)
        .filter(op => op !== 'renew'),
    ).toEqual(['acquire', 'release'])
  })
})

needsProc.describe('kill -9', () => {
  it('of lh alone frees nothing while its command lives, and at once when that ends', async () => {
    const repo = repository()
    const b = repo.as('agent:b')
    const holder = repo.as('agent:a').start('exec x --', ...sleeper)
    const child = await childOf(holder)
    holder.kill('SIGKILL')
    await holder.exited
    const error = await b.refused('held', 'claim acquire x')
    expect(error.holder.agent_id).toBe('agent:a')
    expect((await b.ok('why x')).standing).toBe('live')
    signal(child, 'SIGKILL')
    await until(() => !isRunning(child), 'it is gone')
    expect(await b.ok('why x')).toMatchObject({ standing: 'dead', next: 'lh claim acquire ticket:x' })
    expect((await b.acquire('x')).holder.agent_id).toBe('agent:b')
    expect(repo.records().at(-2)).toMatchObject({
      op: 'auto-evict',
      reason: 'holder-dead',
      actor: 'agent:b',
      previous_holder: { agent_id: 'agent:a' },
    })
  })

  it('of lh and its command frees at once, whatever the TTL', async () => {
    const repo = repository()
    const holder = repo.as('agent:a').start('exec x y --ttl 30d --', ...sleeper)
    const child = await childOf(holder)
    // lh first: with its command gone it would have time to release.
    holder.kill('SIGKILL')
    await holder.exited
    signal(child, 'SIGKILL')
    await until(() => !isRunning(child), 'it is gone')
    await repo.as('agent:b').acquire('y')
    expect(repo.story().slice(1)).toEqual(['auto-evict ticket:x+ticket:y', 'acquire ticket:y'])
  })

  it('frees the ticket for whoever looks for work, and for a worktree made for it', async () => {
    const { repo, a, b } = room()
    const holder = a.start('exec fix-login --ttl 30d --', ...sleeper)
    const child = await childOf(holder)
    expect((await b.ok('ticket next')).ticket).toBeNull()
    await b.refused('held', 'worktree add fix-login')
    // lh first: with its command gone it would have time to release.
    holder.kill('SIGKILL')
    await holder.exited
    signal(child, 'SIGKILL')
    await until(() => !isRunning(child), 'it is gone')
    expect((await b.ok('ticket next')).ticket).toMatchObject({ id: ticketId })
    await b.ok('worktree add fix-login')
    // Making it claims nothing: the lease of the dead is still what the record tells.
    expect(repo.story()).toEqual([`acquire ticket:${ticketId}`])
  })

  it('of a child that is not the last frees nothing: a grandchild still works', async () => {
    const repo = repository()
    const holder = repo.as('agent:a').start('exec x --', 'sh', '-c', 'sleep 60 & echo $!; wait')
    const grandchild = await childOf(holder)
    holder.kill('SIGKILL')
    await holder.exited
    const shell = Number(/^PPid:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${grandchild}/status`, 'utf8'))![1])
    signal(shell, 'SIGKILL')
    await until(() => !isRunning(shell), 'the shell is gone')
    await repo.as('agent:b').refused('held', 'claim acquire x')
    signal(grandchild, 'SIGKILL')
    await until(() => !isRunning(grandchild), 'the last is gone')
    await repo.as('agent:b').acquire('x')
  })

  it('of all lh frees nothing of the outer one while the command of an inner one lives', async () => {
    const repo = repository()
    const b = repo.as('agent:b')
    const outer = repo.as('agent:a').start('exec x --', process.execPath, executable, 'exec', 'env:y', '--', ...sleeper)
    const child = await childOf(outer)
    const { witness } = (await b.lease('env:y')).holder
    signal(witness.pid, 'SIGKILL')
    outer.kill('SIGKILL')
    await until(() => !isRunning(witness.pid) && !isRunning(outer.pid), 'both are gone')
    for (const key of ['x', 'env:y']) expect((await b.refused('held', `claim acquire ${key}`)).message).toContain('agent:a')
    signal(child, 'SIGKILL')
    await until(() => !isRunning(child), 'the command is gone')
    for (const key of ['x', 'env:y']) await b.acquire(key)
  })

  it('of lh frees nothing either when its command closed what it inherited, for any of its resources', async () => {
    const repo = repository()
    const holder = repo
      .as('agent:a')
      .start(
        'exec x y --',
        'bash',
        '-c',
        'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done; echo $$; exec sleep 60',
      )
    const child = await childOf(holder)
    holder.kill('SIGKILL')
    await holder.exited
    await repo.as('agent:b').refused('held', 'claim acquire x')
    await repo.as('agent:b').refused('held', 'claim acquire y')
    signal(child, 'SIGKILL')
    await until(() => !isRunning(child), 'it is gone')
    await repo.as('agent:b').acquire('y')
  })
})

describe('a second exec', () => {
  it('by the same holder is refused while the first lives, with or without its op_id', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const holder = a.start('exec x --op-id once --', ...sleeper)
    const child = await childOf(holder)
    const error = await a.refused('held', 'exec x --', 'true')
    expect(error.details.kind).toBe('other-instance')
    expect(error.message).toContain(`process ${holder.pid}`)
    expect((await a.refused('usage', 'exec x --op-id once --', 'true')).message).toContain('"once" was already used')
    signal(child, 'SIGTERM')
    expect((await holder.ended).code).toBe(143)
    expect((await a.run('exec x --', 'true')).code).toBe(0)
  })

  needsProc.it('takes over when the first is dead, with a new token', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    const holder = a.start('exec x --', ...sleeper)
    const child = await childOf(holder)
    holder.kill('SIGKILL')
    signal(child, 'SIGKILL')
    await holder.ended
    await until(() => !isRunning(child), 'it is gone')
    const document = success(await a.run('--json exec x --', 'true'))
    expect(document).toMatchObject({ lease: { token: 3 }, released: true })
    expect(document.already_held).toBeUndefined()
  })
})
