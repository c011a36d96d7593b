import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { folder, parse, repository } from '../support/cli.ts'
import type { Agent, Doc, Repo } from '../support/cli.ts'

// A repository's leases are in a directory elsewhere, and the directory is not there: a disk that is not mounted. Nothing is free then.

const codes = async (agent: Agent): Promise<readonly string[]> =>
  parse((await agent.run('--json doctor')).stdout).findings.map(({ severity, code }: Doc) => `${severity} ${code}`)

interface Place {
  readonly repo: Repo
  readonly one: Agent
  readonly two: Agent
  readonly directory: string
}

/** Two leases of agent:one, tokens 1 and 2, in a directory elsewhere. */
async function held(): Promise<Place> {
  const repo = repository()
  const directory = path.join(folder(), 'app')
  const [one, two] = [repo.as('agent:one'), repo.as('agent:two')]
  await one.ok(`config set store file://${directory}`)
  expect((await one.acquire('env:x')).token).toBe(1)
  expect((await one.acquire('env:y')).token).toBe(2)
  return { repo, one, two, directory }
}

const looks = ['claim list', 'claim history', 'why env:y', 'status', 'verify', 'claim check env:y --token 2']
const writes = ['claim acquire env:y', 'claim release env:y', 'log compact', 'recover', 'store move --to file:', 'doctor --moved']

async function isUnavailable(agent: Agent, directory: string): Promise<void> {
  for (const words of [...looks, ...writes]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { message, hint } = await agent.refused('unavailable', words)
    expect(message, words).toContain(directory)
    expect(hint, words).toContain(words === 'doctor --moved' ? 'lh doctor' : 'lh recover --cut')
  }
  expect((await codes(agent)).filter(each => each.startsWith('error'))).toEqual(['error store-absent'])
}

it('is unavailable while the directory is gone, and goes on when it is back', async () => {
  const { one, two, directory } = await held()
  fs.renameSync(directory, `${directory}.away`)
  await isUnavailable(two, directory)
  expect(fs.existsSync(directory)).toBe(false)
  fs.renameSync(`${directory}.away`, directory)
  await two.refused('held', 'claim acquire env:y')
  await one.ok('claim renew env:y')
})

it('is unavailable while only the empty mount point is there, and nothing is put into it', async () => {
  const { two, directory } = await held()
  fs.renameSync(directory, `${directory}.away`)
  fs.mkdirSync(directory)
  await isUnavailable(two, directory)
  expect(fs.readdirSync(directory)).toEqual([])
})

it('is unavailable after a move whose target was removed', async () => {
  const repo = repository()
  const [one, two] = [repo.as('agent:one'), repo.as('agent:two')]
  await one.acquire('env:x')
  const directory = path.join(folder(), 'app')
  await one.ok(`store move --to file://${directory}`)
  fs.rmSync(directory, { recursive: true })
  await isUnavailable(two, directory)
})

it('begins anew when it is told to, with larger tokens, for every clone', async () => {
  const { repo, one, two, directory } = await held()
  const clone = repository().as('agent:three', { LEASEHOLD_STORE: `file://${directory}` })
  await clone.acquire('env:z')
  fs.rmSync(directory, { recursive: true })
  await two.ok('recover --cut')
  expect((await two.acquire('env:y')).token).toBeGreaterThan(1_000_000)
  await clone.refused('held', 'claim acquire env:y')
  expect((await one.refused('superseded', 'claim check env:y --token 2')).message).toContain('env:y')
  expect(await two.ok('verify')).toMatchObject({ findings: [] })
  expect(fs.existsSync(path.join(repo.store, 'moved'))).toBe(true)
})

it('is unavailable where another store is in its place, until somebody says that it is the one', async () => {
  const { one, two, directory } = await held()
  fs.renameSync(directory, `${directory}.away`)
  const stranger = repository().as('agent:three', { LEASEHOLD_STORE: `file://${directory}` })
  await stranger.acquire('env:q')
  for (const words of [
    ...looks,
    'claim acquire env:y',
    'recover',
    'recover --cut',
    'log compact',
    'config set max_indefinite_leases_per_agent 3',
  ]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { message, hint } = await two.refused('unavailable', words)
    expect(message, words).toContain('other leases')
    expect(hint, words).toContain('lh doctor --moved')
  }
  // The file does not say what the store refused.
  expect((await two.ok('config get max_indefinite_leases_per_agent')).value).toBe(2)
  expect(await codes(two)).toEqual(['error store-absent'])
  await two.ok('doctor --moved')
  expect((await one.ok('claim list')).leases.map(({ resource }: Doc) => resource)).toEqual(['env:q'])
  await stranger.ok('claim renew env:q')
})

it('knows which leases they are after a copy was declared one', async () => {
  const { one, directory } = await held()
  fs.cpSync(directory, `${directory}.copy`, { recursive: true })
  fs.rmSync(directory, { recursive: true })
  fs.renameSync(`${directory}.copy`, directory)
  await one.refused('unavailable', 'claim renew env:y')
  await one.ok('doctor --copied')
  expect((await one.acquire('env:y')).token).toBeGreaterThan(2)
})

it('is unavailable where the note of it is damaged, and the hint mends that', async () => {
  const { repo, one, two, directory } = await held()
  const note = path.join(repo.store, 'moved')
  for (const damaged of ['[]', '{', '{"to":5}', '{"to":"elsewhere","done":true}', '']) {
    fs.writeFileSync(note, damaged)
    for (const agent of [two, two.with({ LEASEHOLD_STORE: 'file:' })]) {
      for (const words of ['claim list', 'claim acquire env:y', 'config set store file:', 'store move --to file:']) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const { message, hint } = await agent.refused('unavailable', words)
        expect(message, `${damaged}: ${words}`).toContain(note)
        expect(hint, `${damaged}: ${words}`).toContain(`rm ${note}`)
      }
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await codes(agent), damaged).toContain('error moved')
    }
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await two.refused('unavailable', 'doctor --fix')
    expect(fs.readFileSync(note, 'utf8')).toBe(damaged)
    // As the hint says.
    fs.rmSync(note)
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await two.refused('held', 'claim acquire env:y')
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await one.ok('claim renew env:y')
    expect(parse(fs.readFileSync(note, 'utf8'))).toMatchObject({ to: `file://${directory}`, chosen: true })
  }
})

it('is found by what the sealed store says where the note of a move is gone', async () => {
  const repo = repository()
  const [one, two] = [repo.as('agent:one'), repo.as('agent:two')]
  await one.acquire('env:x')
  await one.ok(`store move --to file://${path.join(folder(), 'app')}`)
  fs.rmSync(path.join(repo.store, 'moved'))
  await two.refused('held', 'claim acquire env:x')
  await one.ok('claim renew env:x')
  await two.with({ LEASEHOLD_STORE: 'file:' }).refused('unavailable', 'claim acquire env:x')
})
