import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { type Agent, folder, git, isRunning, repository, signal, until } from '../support/cli.ts'
import { type } from '../support/shell.ts'
import { commit } from '../support/tickets.ts'
import { heldNow, read, save, shop } from '../support/work.ts'

// What somebody is told of a lease of their own that they cannot use from where they ask, of an older one, and of one whose process
// died: what is said is so, and the command that is named works when it is typed right there.

const commandIn = (hint: string, name: string): string => {
  const found = new RegExp(`lh ${name}[^,;…]*`).exec(hint)
  expect(found, hint).not.toBeNull()
  return found![0]
}

it('a launch of what its own agent holds says that it is held here, without a session, and how to give it back', async () => {
  const a = repository().as('agent:a')
  await a.acquire('own')
  const launch = ['launch own --role dev --ready alive=100ms --', 'true'] as const
  const { message, hint } = await a.refused('held', ...launch)
  expect(message).toMatch(/^you hold ticket:own already, here, outside of a session, for another /)
  expect(message).not.toContain('another session')
  expect(type(commandIn(hint, 'claim release'), a)).toContain('released ticket:own')
  // And the launch is not in its own way any more.
  expect((await a.run(...launch)).stderr).not.toContain('you hold')
})

it('the same is said in a session, where the command that gives it back needs its token', async () => {
  const a = repository().as('agent:a')
  await a.acquire('own')
  const inside = a.with({ LEASEHOLD_SESSION_ID: 's-1' })
  const { message, hint } = await inside.refused('held', 'claim acquire own')
  expect(message).toContain('you hold ticket:own already, here, outside of a session')
  expect(type(commandIn(hint, 'claim release'), inside)).toContain('released ticket:own')
  await inside.acquire('own')
})

it('what one holds in another worktree is named with that worktree, and can be given back from here', async () => {
  const { a, b } = apart()
  const there = a.in(b.cwd)
  const { holder } = await there.acquire('own')
  for (const [words, ...more] of [['claim acquire own'], ['launch own --role dev --', 'true']] as const) {
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    const { message, hint } = await a.refused('held', words, ...more)
    expect(message).toContain(`(${holder.worktree_id}), `)
    expect(message).toContain('by you, in another worktree')
    expect(hint).toContain('lh worktree list')
  }
  const { hint } = await a.refused('held', 'claim acquire own')
  expect(type(commandIn(hint, 'claim release'), a)).toContain('released ticket:own')
})

it('whoever holds it here in another session is not sent elsewhere', async () => {
  const a = repository().as('agent:a')
  const one = a.with({ LEASEHOLD_SESSION_ID: 's-1' })
  const two = a.with({ LEASEHOLD_SESSION_ID: 's-2' })
  const lease = await one.acquire('own')
  for (const other of [a, two]) {
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    const { message, hint } = await other.refused('not_owner', 'claim transfer own --to-agent agent:b --reason r')
    expect(message).toContain('by you, but in another session')
    expect(hint).toBe(`do it from inside that session, or show its token: --lease ${lease.lease_id} --token ${lease.token}`)
  }
  await two.ok(`claim renew own --lease ${lease.lease_id} --token ${lease.token}`)
  await one.ok('claim release own')
  await a.acquire('own')
  expect((await two.refused('not_owner', 'claim renew own')).message).toContain('by you, but outside of this session')
})

it('a proof that a refusal names is taken by the command that was refused', async () => {
  const { a, place, repo } = shop({}, { review: {}, tests: { command: 'true' } })
  fs.writeFileSync(path.join(repo.dir, '.leasehold', 'gates', 'late.yaml'), 'mode: manual\n')
  commit(repo.dir, 'another gate')
  // So that 1 is an older token.
  await a.acquire('env:first')
  await a.ok('claim release env:first')
  const { token } = await a.with({ LEASEHOLD_SESSION_ID: 's-1' }).ok('work fix-login')
  save(place, 'form', 'done\n')
  const commands = [
    [a.in(place), 'gate add fix-login late'],
    [a.in(place), 'gate fail fix-login review --message no'],
    [a.in(place), 'gate pass fix-login review late'],
    [a.in(place), 'gate run fix-login'],
    [a, 'work --finish fix-login'],
  ] as const
  for (const [asker, command] of commands) {
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    const { message, hint } = await asker.refused('not_owner', command)
    expect(message).toContain('by you, but ')
    const [shown] = /--lease \S+ --token \d+/.exec(hint)!
    expect(shown).toContain(`--token ${token}`)
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    await asker.refused('superseded', `${command} ${shown.replace(/\d+$/, '1')}`)
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    await asker.ok(`${command} ${shown}`)
    // What is left to do changes nothing.
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    if (command.startsWith('gate')) await asker.refused('superseded', `${command} ${shown.replace(/\d+$/, '1')}`)
  }
  expect(read(repo.dir, 'form')).toBe('done\n')
  expect(fs.existsSync(place)).toBe(false)
  expect(await heldNow(a)).toEqual([])
  expect((await a.refused('usage', 'work fix-login --token 1')).message).toBe('--token is for --finish')
})

/** Two agents, the second in a worktree of its own. */
function apart(): { readonly a: Agent; readonly b: Agent } {
  const repo = repository()
  git(repo.dir, '-c', 'user.name=a', '-c', 'user.email=a@example.org', 'commit', '-q', '--allow-empty', '-m', 'one')
  const place = path.join(folder('there-'), 'second')
  git(repo.dir, 'worktree', 'add', '-q', place)
  return { a: repo.as('agent:a'), b: repo.as('agent:b').in(place) }
}

it('who was handed back what it had lost is not told to wait for itself', async () => {
  const { a, b } = apart()
  const first = await a.acquire('own')
  await b.ok('claim evict own --reason', 'went home')
  await b.acquire('own')
  const { lease } = await b.ok(`claim transfer own --to-agent agent:a --to-worktree ${first.holder.worktree_id} --reason`, 'is back')
  const { message, hint } = await a.refused('superseded', 'claim renew own')
  expect(message).toContain(
    `your token ${first.token} for ticket:own is no longer current: you hold it yourself, with token ${lease.token},`,
  )
  expect(hint).toContain(`--lease ${lease.lease_id} --token ${lease.token}`)
  expect(type(commandIn(hint, 'claim acquire'), a)).toContain('you already hold ticket:own')
  await a.ok('claim renew own')
  // What is shown has to be the current one all the same.
  expect((await a.refused('superseded', `claim renew own --token ${first.token}`)).message).toContain('you hold it yourself')
  expect((await a.refused('superseded', `claim check own --token ${first.token}`)).message).toContain('you hold it yourself')
})

it('who lost it here and has it in another worktree is told where, and can give it back from here', async () => {
  const { a, b } = apart()
  const there = a.in(b.cwd)
  await there.acquire('own')
  await b.ok('claim evict own --reason', 'went home')
  const { holder } = await a.acquire('own')
  const { message, hint } = await there.refused('superseded', 'claim renew own')
  expect(message).toContain(`you hold it yourself in another worktree (${holder.worktree_id}), with token`)
  expect(hint).not.toContain('--wait')
  expect(type(commandIn(hint, 'claim release'), there)).toContain('released ticket:own')
  await there.acquire('own')
})

it('an old token is not told the end of a later ownership', async () => {
  const repo = repository()
  const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
  const first = await a.acquire('x')
  await b.ok('claim evict x --reason', 'went home')
  expect((await a.refused('superseded', 'claim renew x')).message).toContain('it ended by force-evict (went home)')
  const second = await b.acquire('x')
  await b.ok('claim release x')
  for (const words of [`claim renew x --token ${first.token}`, `claim check x --token ${first.token}`, `claim renew ${first.lease_id}`]) {
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    const { message } = await a.refused('superseded', words)
    expect(message, words).not.toMatch(/release|went home/)
    expect(message, words).toMatch(/has ended/)
  }
  expect((await a.refused('superseded', `claim renew x --token ${first.token}`)).message).toContain(
    `your token ${first.token} for ticket:x is no longer current: a later token, ${second.token}, took its place, which has ended too`,
  )
  expect((await b.refused('superseded', `claim check x --token ${second.token}`)).message).toContain('it ended by release')
})

it('why tells that a child of a dead process still runs, and which', async () => {
  const a = repository().as('agent:a')
  const note = path.join(folder(), 'pid')
  const exec = a.start('exec port:9 --', 'sh', '-c', `echo $$ > '${note}'; exec sleep 600`)
  const pid = Number(await until(() => fs.existsSync(note) && fs.readFileSync(note, 'utf8').trim(), 'the child runs'))
  try {
    expect((await a.ok('why port:9')).evidence).toContain('it ends with its process')
    exec.kill('SIGKILL')
    await exec.exited
    await until(() => !isRunning(exec.pid), 'its parent is gone')
    const why = await a.ok('why port:9')
    expect(why.standing).toBe('live')
    expect(why.evidence).toContainEqual(
      expect.stringMatching(new RegExp(`^process ${exec.pid} on .* is dead, but something that it started still runs: process ${pid}$`)),
    )
    expect(why.frees_when).toMatch(/at once when what its process started ends$/)
    expect((await a.run('why port:9')).stdout).toContain(`still runs: process ${pid}\n`)
  } finally {
    signal(pid, 'SIGKILL')
  }
  await until(() => !isRunning(pid), 'the child is gone')
  await until(async () => (await a.ok('why port:9')).standing === 'dead', 'that is seen')
  expect((await a.ok('why port:9')).evidence).toContain('its process and every child of it are gone')
})

it('why tells so too of a child that has no name to be found by', async () => {
  const a = repository().as('agent:a')
  const note = path.join(folder(), 'pid')
  const exec = a.start('exec port:9 --', 'env', '-i', '/bin/sh', '-c', `echo $$ > '${note}'; exec /bin/sleep 600`)
  const pid = Number(await until(() => fs.existsSync(note) && fs.readFileSync(note, 'utf8').trim(), 'the child runs'))
  try {
    exec.kill('SIGKILL')
    await exec.exited
    await until(() => !isRunning(exec.pid), 'its parent is gone')
    expect((await a.ok('why port:9')).evidence).toContainEqual(
      expect.stringMatching(/ is dead, but as far as can be told, something that it started still runs$/),
    )
  } finally {
    signal(pid, 'SIGKILL')
  }
})
