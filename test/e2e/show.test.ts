import fs from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Agent, Doc, Repo } from '../support/cli.ts'
import { folder, git, isRunning, parse, repository, until } from '../support/cli.ts'
import { beyond } from '../support/skip.ts'

// One repository with three linked worktrees, from the import of real tickets to a merge without a conflict. The tests build on each
// other, in this order.

const data = process.env['LEASEHOLD_TEST_DATA'] ?? path.resolve(import.meta.dirname, '../../../shared/data')
const yoi = path.join(data, 'yoi-tickets')
const jit = path.join(data, 'jit-issues')
const hasData = fs.existsSync(yoi) && fs.existsSync(jit)
const needsData = beyond(hasData, `needs yoi-tickets and jit-issues in ${data} (or where LEASEHOLD_TEST_DATA says)`)

const calls = 200
/** Each agent gives back what it has when it has this many, so that there is always something to quarrel about. */
const mostHeld = 5

const names = ['one', 'two', 'three'] as const

let repo: Repo
let ada: Agent
let agents: readonly Agent[]

const commit = (cwd: string, message: string): void => {
  git(cwd, 'add', '-A')
  git(cwd, 'commit', '-q', '-m', message)
}

const list = async (words = ''): Promise<readonly Doc[]> => (await ada.ok(`ticket list ${words}`)).tickets

/** Tickets for a machine that has no real ones. */
async function makeTickets(): Promise<void> {
  for (let number = 0; number < 30; number++) {
    // oxlint-disable-next-line no-await-in-loop -- in this order
    await ada.ok(`ticket create --slug part-${number} --priority P${number % 4} --title`, `Part ${number} of the work`)
  }
}

beforeAll(async () => {
  repo = repository()
  repo.busy = true
  ada = repo.as('human:ada')
  git(repo.dir, 'checkout', '-q', '-b', 'main')
  git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'first')
  if (!hasData) await makeTickets()
}, 120_000)

describe('three worktrees', () => {
  needsData.it(
    'import the tickets of two trackers, and nothing the second time',
    async () => {
      for (const [from, source] of [
        ['yoi', yoi],
        ['jit', jit],
      ] as const) {
        // oxlint-disable-next-line no-await-in-loop -- one tracker after the other
        const first = await ada.run(`--json ticket import --from ${from}`, source)
        expect(first.code, first.stdout).toBe(0)
        expect(parse(first.stdout)).toMatchObject({ updated: 0, skipped: 0 })
        // oxlint-disable-next-line no-await-in-loop -- as above
        const second = parse((await ada.run(`--json ticket import --from ${from}`, source)).stdout)
        expect(second).toMatchObject({ imported: 0, updated: 0, unchanged: parse(first.stdout).imported, skipped: 0 })
      }
    },
    120_000,
  )

  it('share the tickets that are ready', async () => {
    const intake = await list('--state intake')
    for (const { id } of intake) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await ada.ok(`ticket ready ${id}`)
    }
    commit(repo.dir, 'the plan')
    const worktrees = folder('worktrees-')
    agents = names.map(name => {
      git(repo.dir, 'worktree', 'add', '-q', '-b', `agents/${name}`, path.join(worktrees, name))
      return repo.as(`agent:${name}`).in(path.join(worktrees, name))
    })
    const ready = (await list('--ready')).map(({ id }) => id)
    expect(ready.length).toBeGreaterThan(20)
    const seen = await Promise.all(agents.map(agent => agent.ok('ticket list --ready')))
    for (const { tickets } of seen) expect(tickets.map(({ id }: Doc) => id)).toEqual(ready)
  }, 120_000)

  it('ask for the next ticket at once, 200 times, and never get the same', async () => {
    let asked = 0
    const answers: { readonly agent: string; readonly id: string; readonly token: number }[] = []
    const work = async (agent: Agent, name: string): Promise<void> => {
      const held: string[] = []
      const giveBack = async (): Promise<void> => {
        for (const id of held.splice(0)) {
          // oxlint-disable-next-line no-await-in-loop -- one after the other
          await agent.ok(`claim release ${id}`)
        }
      }
      while (asked++ < calls) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const { ticket, lease } = await agent.ok('ticket next --claim')
        if (ticket !== null) {
          expect(lease).toMatchObject({ resource: `ticket:${ticket.id}`, holder: { agent_id: `agent:${name}` } })
          answers.push({ agent: `agent:${name}`, id: ticket.id, token: lease.token })
          held.push(ticket.id)
        }
        // oxlint-disable-next-line no-await-in-loop -- as above
        if (held.length === mostHeld) await giveBack()
      }
      await giveBack()
    }
    await Promise.all(agents.map((agent, number) => work(agent, names[number]!)))
    expect(answers).toHaveLength(calls)
    expect(new Set(answers.map(({ token }) => token)).size).toBe(calls)

    const holders = new Map<string, string>()
    const granted = new Map<number, string>()
    for (const { op, resource, holder, token } of await ada.history()) {
      if (op === 'acquire') {
        expect(holders.get(resource), `${resource} at ${token}`).toBeUndefined()
        holders.set(resource, holder.agent_id)
        granted.set(token, `${holder.agent_id} ${resource}`)
      } else if (op === 'release') {
        expect(holders.delete(resource)).toBe(true)
      } else expect(op).toBe('boot')
    }
    expect([...holders]).toEqual([])
    for (const { agent, id, token } of answers) expect(granted.get(token)).toBe(`${agent} ticket:${id}`)
  }, 300_000)

  it('finish a ticket each, one of them by gates that fail and hang at first', async () => {
    const common = (await list('--ready')).at(-1)!.id
    const finish = async (agent: Agent, name: string): Promise<void> => {
      const { ticket } = await agent.ok('ticket next --claim')
      await agent.ok(`ticket start ${ticket.id}`)
      fs.writeFileSync(path.join(agent.cwd, `${name}.txt`), `${name}\n`)
      await agent.ok(`gate define ${name} --timeout 1m --command`, `test -e ${name}.txt`)
      await agent.ok(`gate add ${ticket.id} ${name}`)
      if (name === 'one') await failFirst(agent, ticket.id)
      commit(agent.cwd, `work of ${name}`)
      // What an import brought with it is for another machine.
      const others = ticket.gates
      if (others.length > 0) await agent.ok(`gate pass ${ticket.id} ${others.join(' ')} --reason`, 'judged elsewhere')
      await agent.ok(`gate run ${ticket.id} ${name}`)
      await agent.ok(`ticket comment ${common} --message`, `${name} was here`)
      if (name === 'one') await agent.ok(`gate run ${ticket.id} breaks hangs`)
      await agent.ok(`ticket done ${ticket.id}`)
      commit(agent.cwd, `${name} is done`)
    }
    await Promise.all(agents.map((agent, number) => finish(agent, names[number]!)))
  }, 120_000)

  it('are merged without a conflict, and the doctor finds nothing', async () => {
    for (const name of names) git(repo.dir, 'merge', '-q', '--no-ff', '-m', `merge ${name}`, `agents/${name}`)
    expect(git(repo.dir, 'status', '--porcelain')).toBe('')
    expect(git(repo.dir, 'ls-files', '--unmerged')).toBe('')
    // Events of three branches stand in the order of the merges, which is no fault; `--fix` puts them in that of time.
    const { findings } = await ada.ok('ticket doctor')
    expect(wordsOf(findings.filter(({ severity }: Doc) => severity !== 'info'))).toEqual(unavoidable)
    expect(wordsOf((await ada.ok('ticket doctor --fix')).findings)).toEqual(unavoidable)
    const comments = (await list('--status all')).map(({ id }) => eventsOf(id).filter(({ message }) => message?.endsWith(' was here')))
    const common = comments.filter(found => found.length > 0)
    expect(common.map(({ length }) => length)).toEqual([names.length])
    expect(new Set(common[0]!.map(({ actor }) => actor))).toEqual(everyone)
    const done = (await ada.history()).filter(({ outcome }) => outcome === 'done')
    expect(new Set(done.map(({ actor }) => actor))).toEqual(everyone)
    expect(done).toHaveLength(names.length)
    for (const { resource } of done) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect((await ada.ok(`ticket show ${resource.slice('ticket:'.length)}`)).ticket.workflow_state).toBe('done')
    }
    expect((await ada.ok('claim list')).leases).toEqual([])
  }, 60_000)
})

const everyone = new Set(names.map(name => `agent:${name}`))

/** Two of the real tickets have one slug. */
const unavoidable = hasData ? ['warning duplicate-slug'] : []

const wordsOf = (findings: readonly Doc[]): readonly string[] => findings.map(({ severity, code }) => `${severity} ${code}`)

const eventsOf = (id: string): readonly Doc[] =>
  fs
    .readFileSync(path.join(repo.dir, '.leasehold/tickets', id, 'events.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => parse(line))

/** A command that fails, and one that neither ends by itself nor when it is asked to; the time limit ends it with its children. */
async function failFirst(agent: Agent, id: string): Promise<void> {
  const pids = path.join(folder('pids-'), 'pids')
  await agent.ok('gate define breaks --command', 'echo "this is broken"; exit 3')
  await agent.ok('gate define hangs --timeout 2s --command', `trap '' TERM; sleep 600 & echo $$ $! > ${pids}; wait; sleep 600`)
  await agent.ok(`gate add ${id} breaks hangs`)
  const { code, stdout } = await agent.run(`--json gate run ${id} breaks hangs`)
  expect(code, stdout).toBe(8)
  const results = parse(stdout).results
  expect(results.map(({ gate, result, exit_code: exit, timed_out: late }: Doc) => [gate, result, exit, late])).toEqual([
    ['breaks', 'failed', 3, false],
    ['hangs', 'failed', null, true],
  ])
  expect(results[0].output).toContain('this is broken')
  const started = fs.readFileSync(pids, 'utf8').trim().split(' ').map(Number)
  expect(started).toHaveLength(2)
  for (const pid of started) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await until(() => !isRunning(pid), `process ${pid} of the gate is gone`)
  }
  const refusal = await agent.run(`--json ticket done ${id}`)
  expect(refusal.code).toBe(8)
  expect(parse(refusal.stdout).error.message).toMatch(/breaks.*hangs/)
  await agent.ok('gate define breaks --command', 'true')
  await agent.ok('gate define hangs --timeout 2s --command', 'true')
}
