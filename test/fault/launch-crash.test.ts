import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, folder, isRunning, signal, sleep, until } from '../support/cli.ts'
import { accepted, ending, id, launched, launching, locksOf, person, processesOf, stage, starts, tell, untell } from '../support/launch.ts'
import type { Stage } from '../support/launch.ts'
import { scale } from '../support/fault.ts'

// The launcher is killed, at a random moment and at every step that it takes. Afterwards there is no claim without an agent, no agent that
// `lh status` does not show, and the next launch works.

const key = `ticket:${id}`
const preload = path.resolve(import.meta.dirname, '../support/die-at.cjs')

/** What is wrong with what a killed launcher left behind, and what it is. */
async function left(all: Stage): Promise<'nothing' | 'pending' | 'claimed'> {
  // An agent that is being forked has no environment yet; it has one, or is gone, a moment later.
  const agents = await settled(all)
  const { leases, sessions, pending } = await person(all).ok('status')
  // An agent whose launcher is gone may end by itself, at its next word: what was looked at before and after is looked at once more.
  if (agents.length !== (await settled(all)).length) return left(all)
  const story = all.repo.story()
  if (leases.length > 0) {
    expect(leases).toMatchObject([{ resource: key, bound: true }])
    // A claim of an agent that has ended is dead, and nobody's ghost: the next who asks gets it.
    if (agents.length === 0) expect(leases[0].standing).toBe('dead')
    else expect(sessions).toMatchObject([{ standing: 'live', name: expect.stringMatching(/^dev-fix-login/) as string }])
    expect(pending, 'a claim has no reservation beside it').toEqual([])
    return 'claimed'
  }
  expect(sessions, 'no session without its claim').toEqual([])
  expect(story.filter(line => line.startsWith('acquire')).length, 'no record of what is not there').toBe(
    story.filter(line => /^(?:release|auto-evict|force-evict)/.test(line)).length,
  )
  if (agents.length > 0) {
    expect(pending, 'an agent without a claim is shown').toMatchObject([{ resource: key, launcher_alive: false }])
    return 'pending'
  }
  expect(pending, 'nothing is reserved for nobody').toEqual([])
  return 'nothing'
}

/** What runs, once it is known whether anything does. */
async function settled(all: Stage): Promise<readonly number[]> {
  for (let quiet = 0; quiet < 3; quiet++) {
    const now = processesOf(all.dir)
    if (now.some(pid => starts(all).includes(pid))) return now
    // oxlint-disable-next-line no-await-in-loop -- one look after the other
    await sleep(30)
  }
  return processesOf(all.dir)
}

/** The next launch works: at once, or, where the agent that was launched lives on with its claim, after that has ended. */
async function next(all: Stage, found: string): Promise<void> {
  const before = new Set(starts(all))
  if (found === 'claimed' && processesOf(all.dir).length > 0) {
    const second = all.launcher.start(launching, ...all.agent('work'))
    await Promise.race([second.exited, until(() => starts(all).some(pid => !before.has(pid)), 'a second agent is there').catch(() => 0)])
    expect([second.child.exitCode, starts(all).filter(pid => !before.has(pid))], 'nobody else is launched').toEqual([3, []])
    for (const pid of processesOf(all.dir)) signal(pid, 'SIGKILL')
    await until(() => processesOf(all.dir).length === 0, 'the old agent is gone')
  }
  const { running, doc } = await launched(all)
  expect(starts(all).filter(pid => !before.has(pid))).toEqual([doc.pid])
  expect(starts(all).filter(isRunning)).toEqual([doc.pid])
  expect((await person(all).ok('claim list')).leases.map(({ token }: Doc) => token)).toEqual([doc.lease.token])
  expect((await ending(all, running)).code).toBe(0)
}

/** A generator of chances that a seed repeats (mulberry32). */
function chances(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const seed = Number(process.env['LEASEHOLD_TEST_SEED'] ?? Date.now() % 1_000_000)
const rounds = Math.ceil(200 * scale)
const lanes = 4

describe('kill -9 of the launcher', () => {
  it(`at a random moment, ${rounds} times (seed ${seed})`, { timeout: 900_000 }, async () => {
    const seen = { nothing: 0, pending: 0, claimed: 0 }
    let round = 0
    const lane = async (number: number): Promise<void> => {
      const chance = chances(seed + number)
      let all = stage()
      for (let own = 0; round < rounds; own++) {
        round++
        const what = `seed ${seed}, lane ${number}, round ${own}`
        // A fresh repository from time to time, since its first command makes the store.
        if (own % 10 === 9) {
          // oxlint-disable-next-line no-await-in-loop -- one after the other
          await person(all).ok('verify')
          all = stage()
        }
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        seen[await killedOnce(all, chance, what)]++
      }
    }
    await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)))
    expect(seen.nothing + seen.pending + seen.claimed).toBe(rounds)
    // Else the moments were no random ones.
    if (rounds >= 100) for (const count of Object.values(seen)) expect(count, JSON.stringify(seen)).toBeGreaterThan(3)
  })
})

/** One launch, killed somewhere on its way. */
async function killedOnce(
  all: Stage,
  chance: () => number,
  what: string,
): Promise<keyof Record<'nothing' | 'pending' | 'claimed', number>> {
  const kind = chance()
  const running = all.launcher.start(launching, ...all.agent(kind < 0.4 ? 'work' : 'late'))
  const count = starts(all).length
  // From its start, or from a moment that its agent can be told from.
  const anchor = chance()
  if (anchor > 0.3) await until(() => running.child.exitCode !== null || starts(all).length > count || anchor < 0.45, 'the agent is there')
  if (anchor > 0.7) tell(all, 'go')
  await sleep(chance() * (anchor > 0.3 ? 40 : 250))
  running.kill('SIGKILL')
  await running.exited
  untell(all, 'go')
  try {
    const found = await left(all)
    await next(all, found)
    return found
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`, { cause: error })
  }
}

describe('a launcher that is killed at each step', () => {
  /** The steps of a launch that succeeds. */
  async function stepsOf(all: Stage): Promise<readonly string[]> {
    const log = path.join(folder(), 'steps')
    const running = all.launcher
      .with({ NODE_OPTIONS: `--require ${preload}`, DIE_LOG: log, DIE_AT: '' })
      .start(launching, '--', '/usr/bin/env', '-u', 'NODE_OPTIONS', ...all.agent('work').slice(1))
    await accepted(running)
    await ending(all, running)
    return fs
      .readFileSync(log, 'utf8')
      .split('\n')
      .filter(line => line !== '')
  }

  it('leaves no ghost, and the same command goes on', { timeout: 600_000 }, async () => {
    const model = stage()
    await model.a.acquire('port:1')
    const steps = await stepsOf(model)
    expect(steps.filter(step => / spawn /.test(step)).length).toBeGreaterThanOrEqual(1)
    expect(steps.filter(step => / unlinkSync /.test(step)).length).toBeGreaterThanOrEqual(1)
    const found: string[] = []
    for (const [at, step] of steps.entries()) {
      for (const after of ['', '+']) {
        const all = stage()
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await all.a.acquire('port:1')
        // oxlint-disable-next-line no-await-in-loop -- as above
        await all.a.ok('claim release port:1')
        const env = { NODE_OPTIONS: `--require ${preload}`, DIE_AT: `${at + 1}${after}` }
        const running = all.launcher.with(env).start(launching, '--', '/usr/bin/env', '-u', 'NODE_OPTIONS', ...all.agent('work').slice(1))
        // oxlint-disable-next-line no-await-in-loop -- as above
        await Promise.race([running.exited, until(() => running.stdout.includes('\n'), 'it has come further').then(() => sleep(200))])
        running.kill('SIGKILL')
        // oxlint-disable-next-line no-await-in-loop -- as above
        await running.exited
        try {
          // oxlint-disable-next-line no-await-in-loop -- as above
          const what = await left(all)
          found.push(what)
          // oxlint-disable-next-line no-await-in-loop -- as above
          await next(all, what)
        } catch (error) {
          throw new Error(`${step}${after}: ${(error as Error).message}`, { cause: error })
        }
        expect(locksOf(all), step).toEqual([])
      }
    }
    // Both sides of the record were met. Whether an agent outlives its launcher's pipes long enough to be seen pending is its own affair.
    expect(found).toEqual(expect.arrayContaining(['nothing', 'claimed']))
    expect(found.filter(what => !['nothing', 'pending', 'claimed'].includes(what))).toEqual([])
  })
})
