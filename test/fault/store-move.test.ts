import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folder, repository } from '../support/cli.ts'
import type { Agent, Doc, Repo } from '../support/cli.ts'
import { proxyTo } from '../support/etcd-proxy.ts'
import { needsEtcd, startEtcd } from '../support/etcd.ts'
import type { Etcd } from '../support/etcd.ts'

// Leases go from files to etcd and back, and whoever is killed on the way goes on.

const preload = path.resolve(import.meta.dirname, '../support/die-at.cjs')

let etcd: Etcd
let spaces = 0
const url = (): string => `etcd://${etcd.address}/move/${process.pid}-${++spaces}`

/** A repository with a history: an outcome, a transfer, a group, an eviction, leases with and without a time limit. */
async function withHistory(): Promise<{ repo: Repo; ann: Agent; bob: Agent }> {
  const repo = repository()
  repo.busy = true
  const [ann, bob] = [repo.as('agent:ann'), repo.as('agent:bob')]
  await ann.acquire('finished')
  await ann.ok('claim release finished')
  await ann.acquire('path:src/** env:staging --ttl 1h')
  await ann.acquire('handed --ttl 1h')
  await ann.ok('claim transfer handed --to-agent agent:bob', '--reason', 'go on')
  await bob.acquire('forever --ttl 0', '--reason', 'a long job')
  await bob.acquire('taken --ttl 1h')
  await ann.ok('claim evict taken', '--reason', 'a test')
  await ann.ok('claim acquire named --ttl 1h --op-id my-own-id')
  return { repo, ann, bob }
}

/** What is the same in every store: who holds what with which token, and what happened. */
async function seen(agent: Agent): Promise<Doc> {
  const leases = (await agent.ok('claim list')).leases
    .map(({ resource, token, lease_id, holder, ttl_secs }: Doc) => ({ resource, token, lease_id, agent: holder.agent_id, ttl_secs }))
    .toSorted((a: Doc, b: Doc) => a.resource.localeCompare(b.resource))
  const story = (await agent.history())
    .filter(({ op }) => !['repair', 'boot', 'heartbeat', 'renew'].includes(op))
    .map(({ op, token, resource, resources }) => ({ op, token, about: resource ?? resources }))
  return { leases, story }
}

const largest = (state: Doc): number => Math.max(...state.leases.map(({ token }: Doc) => token))

needsEtcd.describe('moving the leases', () => {
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())

  it('to etcd and back: leases, tokens, outcomes and history stay; tokens only grow; the old store refuses', async () => {
    const { repo, ann, bob } = await withHistory()
    const before = await seen(ann)
    const there = url()
    const moved = await ann.ok(`store move --to ${there}`)
    expect(moved).toMatchObject({ from: 'file:', to: there, leases: 5 })
    expect(readFileSync(path.join(repo.dir, '.leasehold', 'config.yaml'), 'utf8')).toContain(there)
    expect(await seen(ann)).toEqual(before)

    // Whoever still has the old setting is told where to go: reading as well as writing.
    const late = ann.with({ LEASEHOLD_STORE: 'file:' })
    for (const words of ['claim acquire other', 'claim list', 'claim renew handed'])
      expect((await late.refused('unavailable', words)).message).toContain(`moved to ${there}`)

    expect(JSON.parse((await late.run('--json doctor')).stdout).findings.map(({ code }: Doc) => code)).toContain('moved')

    // Also when the file that says so is damaged, and mended by somebody who does not know.
    const format = path.join(repo.dir, '.git', 'leasehold', 'format')
    const sound = readFileSync(format)
    for (const damage of [() => writeFileSync(format, 'not any more'), () => rmSync(format)]) {
      damage()
      await late.run('recover')
      expect((await late.refused('unavailable', 'claim acquire other')).message).toContain(`moved to ${there}`)
    }
    writeFileSync(format, sound)

    // Holders go on as before, also those who only have a token; a repeated command is answered again.
    await bob.ok('claim renew handed')
    expect(await ann.ok('claim acquire named --ttl 1h --op-id my-own-id')).toMatchObject({ replay: true })
    expect((await ann.refused('held', 'claim acquire forever')).holder.agent_id).toBe('agent:bob')
    const next = await bob.acquire('later --ttl 1h')
    expect(next.token).toBeGreaterThan(largest(before))
    await ann.ok('claim release path:src/**')
    // An eviction and the claim after it are one transaction there, with one position; in files each record has its own.
    await ann.acquire('silent --ttl 1s')
    await bob.acquire('silent --ttl 1h --wait=30s')

    const inEtcd = await seen(ann)
    expect(await ann.ok('store move --to file:')).toMatchObject({ from: there, to: 'file:' })
    expect(await seen(ann)).toEqual(inEtcd)
    expect((await ann.with({ LEASEHOLD_STORE: there }).refused('unavailable', 'claim list')).message).toContain('moved to file:')
    // Every record of it is a lawful one.
    expect(await ann.ok('verify')).toMatchObject({ findings: [] })
    const last = await bob.acquire('last --ttl 1h')
    expect(last.token).toBeGreaterThan(largest(inEtcd))

    // And once more, into the space that these leases have left.
    const third = await seen(ann)
    await ann.ok(`store move --to ${there}`)
    expect(await seen(ann)).toEqual(third)
    await ann.ok('store move --to file:')
    expect(await ann.ok('verify')).toMatchObject({ findings: [] })
    expect((await bob.acquire('very-last')).token).toBeGreaterThan(last.token)
  })

  it('what two stores could lose is refused: leases of others, a running command, a setting that would hide it', async () => {
    const { ann } = await withHistory()
    const { ann: stranger } = await withHistory()
    const there = url()
    await ann.ok(`store move --to ${there}`)
    const other = await stranger.refused('usage', `store move --to ${there}`)
    expect(other.message).toContain('leases of its own')
    await stranger.ok('claim list')
    const { ann: busy } = await withHistory()
    const stop = path.join(folder(), 'stop')
    const running = busy.start('exec port:5432 -- sh -c', `until test -e ${stop}; do sleep 0.05; done`)
    await expect.poll(() => busy.lease('port:5432'), { timeout: 10_000 }).toBeDefined()
    expect((await busy.refused('policy', `store move --to ${url()}`)).message).toContain('port:5432')
    // It was given up at once: the old store goes on.
    await busy.acquire('still-here')
    writeFileSync(stop, '')
    expect(await running.ended).toMatchObject({ code: 0 })
    expect((await busy.with({ LEASEHOLD_STORE: 'file:' }).refused('usage', `store move --to ${url()}`)).message).toContain(
      'LEASEHOLD_STORE',
    )
  })

  it('what is claimed while it runs is moved too, or refused: nothing that was acknowledged is lost', async () => {
    const { repo, ann } = await withHistory()
    let delayMs = 200
    const slow = await proxyTo(etcd, { delayMs: () => delayMs })
    const there = `etcd://127.0.0.1:${slow.port}/slow/${process.pid}`
    const acknowledged: Doc[] = []
    const refusals = new Set<string>()
    const late = Array.from({ length: 4 }, async (_, number) => {
      const agent = repo.as(`agent:late-${number}`, { LEASEHOLD_STORE: 'file:' })
      for (let turn = 0; ; turn++) {
        const { code, stdout } = await agent.run(`--json claim acquire late-${number}-${turn} --ttl 1h`)
        const answer = JSON.parse(stdout)
        if (code === 0) acknowledged.push(answer.lease)
        else refusals.add(answer.error.message.replace(/^.*leasehold /, ''))
        if (code !== 0 && answer.error.message.includes('were moved')) return
      }
    })
    await expect.poll(() => acknowledged.length, { timeout: 20_000 }).toBeGreaterThan(8)
    await ann.ok(`store move --to ${there}`)
    await Promise.all(late)
    delayMs = 0
    const held = (await ann.ok('claim list')).leases
    const missing = acknowledged.filter(
      lease => !held.some(({ lease_id, token }: Doc) => lease_id === lease.lease_id && token === lease.token),
    )
    expect(missing).toEqual([])
    expect([...refusals].toSorted()).toEqual([`are being moved to ${there}, and that is not finished`, `were moved to ${there}`])
    await slow.close()
  }, 60_000)

  it('a target that does not answer leaves everything as it was', async () => {
    const { ann } = await withHistory()
    const before = await seen(ann)
    await ann.refused('unavailable', 'store move --to etcd://127.0.0.1:1/nowhere')
    expect(await seen(ann)).toEqual(before)
    await ann.acquire('still-here')
  })

  it('a move that was stopped can be given up before everything is there', async () => {
    const { ann } = await withHistory()
    const before = await seen(ann)
    const there = url()
    const steps = await stepsOf(ann, there)
    const sealing = steps.findLastIndex(step => step.includes('http')) - 3
    await killedAt(ann, `store move --to ${there}`, Math.max(1, Math.floor(sealing / 2)))
    const back = await ann.run('store move --back')
    // Killed early enough, nothing was frozen yet.
    if (back.code === 0) await ann.acquire('still-here')
    expect((await seen(ann)).story.slice(0, before.story.length)).toEqual(before.story)
  })

  describe.each(['to etcd', 'to files'] as const)('killed on the way %s', way => {
    it('at every step: never two stores in use, and the same command finishes', async () => {
      const { ann } = await withHistory()
      let here = 'file:'
      let there = url()
      if (way === 'to files') {
        await ann.ok(`store move --to ${there}`)
        ;[here, there] = [there, here]
      }
      const state = await seen(ann)
      const steps = await stepsOf(ann, there)
      expect(steps.length).toBeGreaterThan(8)
      // Back to the beginning, for each step anew.
      let deaths = 0
      for (let number = 1; number <= steps.length; number++) {
        await ann.ok(`store move --to ${here}`)
        deaths += (await killedAt(ann, `store move --to ${there}`, number)) ? 1 : 0
        const writable = []
        for (const store of [here, there]) {
          const answer = await ann.with({ LEASEHOLD_STORE: store }).run('--json claim renew named')
          if (answer.code === 0) writable.push(store)
          else expect({ store, code: answer.code }, `${number} ${steps[number - 1]}: ${answer.stdout}`).toEqual({ store, code: 7 })
        }
        expect(writable.length, `step ${number}, ${steps[number - 1]}`).toBeLessThanOrEqual(1)
        const again = await ann.run(`--json store move --to ${there}`)
        const isThere = JSON.parse(again.stdout)
        if (isThere.ok !== true) expect(isThere.error.message, `step ${number}`).toBe(`the leases are in ${there} already`)
        expect((await seen(ann)).leases, `step ${number}`).toEqual(state.leases)
        expect((await seen(ann)).story, `step ${number}`).toEqual(state.story)
      }
      expect(deaths).toBeGreaterThan(steps.length / 2)
    }, 240_000)
  })
})

/** Runs a command that dies at its n-th step; false when it was done before. */
async function killedAt(agent: Agent, words: string, number: number): Promise<boolean> {
  const { signal } = await agent.with({ NODE_OPTIONS: `--require ${preload}`, DIE_AT: String(number) }).run(words)
  return signal === 'SIGKILL'
}

/** The steps of a move that nobody stops. */
async function stepsOf(agent: Agent, to: string): Promise<readonly string[]> {
  const log = path.join(folder(), 'steps')
  mkdirSync(path.dirname(log), { recursive: true })
  await agent.with({ NODE_OPTIONS: `--require ${preload}`, DIE_LOG: log }).ok(`store move --to ${to}`)
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []
}
