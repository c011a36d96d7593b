import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, type Doc, failure, folder, git, parse, Repo, repository, signal, sleep, success } from '../support/cli.ts'
import { withFileLimit } from '../support/fault-processes.ts'
import { requires } from '../support/skip.ts'
import { commit, eventsIn, fieldOf, linked, putTicket, ticketBytes, ticketFile, ticketsIn, ticketText } from '../support/tickets.ts'

// Tickets when processes die and pause, when editors write at the same time, and when the disk refuses.

const id = '20260607-220225-fix-login'

/** Files of a write that did not come to its end; a process that is killed may leave one, any other none. */
const leftovers = (dir: string): readonly string[] =>
  fs
    .readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter(name => !name.startsWith('.git/') && (name.endsWith('.tmp') || name.includes('.tmp-')))

/** Starts a command and kills it after a while; whether it had come to its end. */
async function cutShort(agent: Agent, words: string, afterMs: number): Promise<boolean> {
  const running = agent.start(`--json ${words}`)
  await Promise.race([running.ended, sleep(afterMs)])
  signal(running.pid, 'SIGKILL')
  return (await running.ended).code === 0
}

describe('a process that is killed', () => {
  it('at any moment of a day leaves what the same holder can go on with', { timeout: 180_000 }, async () => {
    const repo = repository()
    repo.busy = true
    const a = repo.as('agent:a')
    const ended = { completed: 0, cut: 0 }
    // How long one takes here, to kill within it.
    putTicket(repo.dir, '20260101-000000-warm')
    let usual = Number.POSITIVE_INFINITY
    const timed = async (words: string): Promise<Doc> => {
      const before = performance.now()
      const answer = await a.ok(words)
      usual = Math.min(usual, performance.now() - before)
      return answer
    }
    await timed('ticket set warm kind=bug')
    for (let round = 0; round < 12; round++) {
      const own = putTicket(repo.dir, `20260201-0000${String(round).padStart(2, '0')}-round`)
      for (const step of ['start', 'done']) {
        const state = step === 'start' ? 'inprogress' : 'done'
        // oxlint-disable-next-line no-await-in-loop -- step after step
        const completed = await cutShort(a, `ticket ${step} ${own}`, usual * (0.3 + ((round * 7) % 12) / 12))
        ended[completed ? 'completed' : 'cut']++
        // Whatever there is of it is whole.
        const text = fs.readFileSync(ticketFile(repo.dir, own), 'utf8')
        expect(text).toMatch(/^---\n[^]*\n---\n\nThe body of [^\n]*\n$/)
        eventsIn(repo.dir, own)
        // oxlint-disable-next-line no-await-in-loop -- step after step
        const { ticket } = await timed(`ticket ${step} ${own}`)
        expect(ticket.workflow_state, `${step} in round ${round}`).toBe(state)
        expect(fieldOf(repo.dir, own, 'workflow_state')).toBe(state)
        expect(eventsIn(repo.dir, own).filter(({ to }: Doc) => to === state).length).toBeGreaterThan(0)
      }
      expect(repo.records().filter(({ resource, op }: Doc) => resource === `ticket:${own}` && op === 'release')).toMatchObject([
        { outcome: 'done' },
      ])
    }
    expect(ended.cut).toBeGreaterThan(0)
    expect((await a.ok('claim list')).count).toBe(0)
    await a.ok('verify')
    const { findings } = parse((await a.run('--json ticket doctor --fix')).stdout)
    expect(findings.filter(({ severity }: Doc) => severity === 'error')).toEqual([])
  })

  it('between the file and the log of done still holds the ticket; the doctor says so, and done goes on', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    await a.ok('ticket start fix-login')
    // The log is longer than what this process may write, the ticket's files are not.
    await a.ok('claim renew fix-login --note', 'x'.repeat(2000))
    const before = repo.log()
    const error = failure(await a.startWith(withFileLimit(before.length), '--json ticket done fix-login').ended, 'unavailable')
    expect(error.message).toMatch(/full|too large/i)
    expect(repo.log()).toBe(before)
    expect(fieldOf(repo.dir, id, 'workflow_state')).toBe('done')
    const half = parse((await a.run('--json ticket doctor')).stdout).findings
    expect(half).toContainEqual(expect.objectContaining({ message: expect.stringContaining('agent:a') as string }))
    // Nobody else gets in between.
    await repo.as('agent:b').refused('not_owner', 'ticket done fix-login')
    await repo.as('agent:b').refused('held', 'claim acquire fix-login')
    await a.ok('ticket done fix-login')
    expect(repo.records().at(-1)).toMatchObject({ op: 'release', outcome: 'done' })
    expect((await a.ok('ticket doctor')).findings.filter(({ message }: Doc) => message.includes('agent:a'))).toEqual([])
  })

  it('between the log and the file of start holds the ticket, and start goes on', async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    fs.appendFileSync(ticketFile(repo.dir, id), 'long\n'.repeat(10_000))
    const a = repo.as('agent:a')
    const before = ticketBytes(repo.dir)
    const { code } = await a.startWith(withFileLimit(20_000), '--json ticket start fix-login').ended
    expect(code).toBe(7)
    expect(ticketBytes(repo.dir)).toEqual(before)
    expect((await a.lease(`ticket:${id}`)).holder.agent_id).toBe('agent:a')
    await repo.as('agent:b').refused('held', 'ticket start fix-login')
    expect(await a.ok('ticket start fix-login')).toMatchObject({ already_held: true, ticket: { workflow_state: 'inprogress' } })
  })

  it('while many comment on one ticket loses nobody’s word, and readers see no torn line', { timeout: 180_000 }, async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    repo.busy = true
    const acknowledged: string[] = []
    const reading = new AbortController()
    const reader = (async (): Promise<number> => {
      let looks = 0
      for (; !reading.signal.aborted; looks++) {
        // oxlint-disable-next-line no-await-in-loop -- one look after the other
        const { ticket } = await repo.as(null).ok('ticket show fix-login')
        for (const event of ticket.events) expect(event.message).toMatch(/^\d+-\d+ x{300}$/)
      }
      return looks
    })()
    await Promise.all(
      Array.from({ length: 16 }, async (_, number) => {
        for (let round = 0; round < 4; round++) {
          const message = `${number}-${round} ${'x'.repeat(300)}`
          const running = repo.as(`agent:${number}`).start('--json ticket comment fix-login --message', message)
          // One in four is killed somewhere on its way.
          // oxlint-disable-next-line no-await-in-loop -- one after the other
          if ((number + round) % 4 === 0) await Promise.race([running.ended, sleep(150 * (number + 1))])
          if ((number + round) % 4 === 0) signal(running.pid, 'SIGKILL')
          // oxlint-disable-next-line no-await-in-loop -- one after the other
          if ((await running.ended).code === 0) acknowledged.push(message)
        }
      }),
    )
    reading.abort()
    expect(await reader).toBeGreaterThan(1)
    expect(acknowledged.length).toBeGreaterThanOrEqual(48)
    const { ticket } = await repo.as(null).ok('ticket show fix-login')
    const said = ticket.events.map(({ message }: Doc) => message as string)
    expect(acknowledged.filter(message => !said.includes(message))).toEqual([])
    expect(new Set(said).size).toBe(said.length)
  })
})

describe('a process that is paused', () => {
  it('in the middle of done, and loses the lease meanwhile, is superseded and changes nothing', { timeout: 180_000 }, async () => {
    const repo = repository()
    repo.busy = true
    const rounds = Array.from({ length: 8 }, (_, round) => putTicket(repo.dir, `20260201-00000${round}-round`))
    commit(repo.dir)
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b').in(linked(repo, 'work/b'))]
    const outcomes = { done: 0, superseded: 0 }
    for (const [round, own] of rounds.entries()) {
      // oxlint-disable-next-line no-await-in-loop -- round after round
      await a.ok('ticket start', own)
      const running = a.start('--json ticket done', own)
      // oxlint-disable-next-line no-await-in-loop -- round after round
      await sleep(20 + 12 * round)
      signal(running.pid, 'SIGSTOP')
      // oxlint-disable-next-line no-await-in-loop -- round after round
      const evicted = await b.run('--json claim evict', own, '--reason', 'paused')
      const before = ticketBytes(repo.dir)
      // One that was stopped while it had the store to itself is waited for.
      const took = evicted.code === 0
      signal(running.pid, 'SIGCONT')
      // oxlint-disable-next-line no-await-in-loop -- round after round
      const result = await running.ended
      if (took) {
        failure(result, 'superseded', own)
        // Only a temporary file may have gone.
        const after = ticketBytes(repo.dir)
        expect(Object.entries(after).every(([name, bytes]) => before[name] === bytes)).toBe(true)
        expect(fieldOf(repo.dir, own, 'workflow_state')).toBe('inprogress')
        outcomes.superseded++
      } else {
        success(result)
        outcomes.done++
      }
      expect(leftovers(repo.dir)).toEqual([])
    }
    expect(outcomes.superseded).toBeGreaterThan(0)
  })
})

describe('an editor', () => {
  it('that writes while fields are set loses nothing to a command, and no file is ever torn', { timeout: 240_000 }, async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    repo.busy = true
    const file = ticketFile(repo.dir, id)
    const whole = /^---\n[^]*\n---\n\nThe body of [^\n]*\n(?:line \d+\n)*$/
    const written: string[] = []
    const editing = new AbortController()
    // It saves as good editors do: a new file that takes the place of the old one, made from what it read just before.
    const editor = (async (): Promise<void> => {
      for (let number = 0; !editing.signal.aborted; number++) {
        // oxlint-disable-next-line no-await-in-loop -- now and then
        await sleep(97)
        const text = fs.readFileSync(file, 'utf8')
        expect(text).toMatch(whole)
        fs.writeFileSync(`${file}~`, `${text}line ${number}\n`)
        fs.renameSync(`${file}~`, file)
        written.push(`line ${number}`)
      }
    })()
    const codes: (number | null)[] = []
    for (let round = 0; round < 50; round++) {
      // oxlint-disable-next-line no-await-in-loop -- four at a time
      const results = await Promise.all(
        Array.from({ length: 4 }, (_, number) =>
          repo.as(`agent:${number}`).run('--json ticket set fix-login', `priority=P${(round + number) % 5}`),
        ),
      )
      for (const result of results) {
        codes.push(result.code)
        if (result.code !== 0) expect(failure(result, 'policy').message).toContain('changed by somebody else')
      }
      expect(fs.readFileSync(file, 'utf8')).toMatch(whole)
    }
    editing.abort()
    await editor
    expect(codes.filter(code => code === 0).length).toBeGreaterThan(150)
    const text = fs.readFileSync(file, 'utf8')
    expect(written.filter(line => !text.includes(`\n${line}\n`))).toEqual([])
    expect(written.length).toBeGreaterThan(20)
    expect(leftovers(repo.dir)).toEqual([])
    eventsIn(repo.dir, id)
  })
})

const mounts = (): boolean => {
  if (process.getuid?.() !== 0) return false
  const place = folder('mount-')
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place], { stdio: 'ignore' })
    execFileSync('umount', [place], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Every command that writes, of a ticket in progress by `agent:a`. */
const writing = [
  `ticket set ${id} priority=P0`,
  `ticket set ${id} title=x`,
  `ticket edit ${id} --title x`,
  `ticket comment ${id} --message x`,
  `ticket review ${id} --message x`,
  `ticket ready ${id}`,
  `ticket done ${id}`,
  `ticket close ${id} --resolution x`,
]

requires(mounts(), 'needs root and the right to mount a tmpfs').describe('a place that cannot be written', () => {
  it('because it is read-only says so, and nothing is changed', { timeout: 120_000 }, async () => {
    const repo = repository()
    putTicket(repo.dir, id)
    const a = repo.as('agent:a')
    await a.ok('ticket start', id)
    const place = path.dirname(ticketsIn(repo.dir))
    execFileSync('mount', ['--bind', place, place])
    try {
      execFileSync('mount', ['-o', 'remount,ro,bind', place])
      const before = ticketBytes(repo.dir)
      const log = repo.log()
      for (const words of [...writing, 'ticket create --title T']) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        const error = failure(await a.run(`--json ${words}`), 'unavailable', words)
        expect(error.message, words).toContain(ticketsIn(repo.dir))
        expect(error.message, words).toMatch(/EROFS|read-only/)
      }
      expect(ticketBytes(repo.dir)).toEqual(before)
      expect(repo.log()).toBe(log)
      await a.ok('ticket show', id)
      await a.ok('ticket list')
    } finally {
      execFileSync('umount', [place])
    }
    await a.ok('ticket done', id)
  })

  it(
    'because the disk is full says so, changes nothing, leaves nothing, and goes on when there is room',
    { timeout: 120_000 },
    async () => {
      const place = folder('small-')
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', place])
      try {
        // The store has a disk of its own: it is the tickets' that is full.
        const store = repository()
        const dir = path.join(place, 'linked')
        commit(store.dir)
        git(store.dir, 'worktree', 'add', '-q', '-b', 'work/small', dir)
        putTicket(dir, id)
        fs.appendFileSync(ticketFile(dir, id), 'long\n'.repeat(5000))
        const a = new Repo(dir, store.store).as('agent:a')
        await a.ok('ticket start', id)
        const filler = fs.openSync(path.join(place, 'filler'), 'w')
        expect(() => {
          for (;;) fs.writeSync(filler, Buffer.alloc(4096))
        }).toThrow(/ENOSPC/)
        // Events still find room in the last page of their file.
        const events = ticketFile(dir, id, 'events.jsonl')
        fs.truncateSync(events, 0)
        fs.appendFileSync(events, `${'\n'.repeat(4095)}\n`)
        const before = ticketBytes(dir)
        const log = a.repo.log()
        for (const words of [...writing, 'ticket create --title T']) {
          // oxlint-disable-next-line no-await-in-loop -- each in turn
          const error = failure(await a.run(`--json ${words}`), 'unavailable', words)
          expect(error.message, words).toMatch(/ENOSPC|full|found room/)
          expect(ticketBytes(dir), words).toEqual(before)
        }
        expect(a.repo.log()).toBe(log)
        expect(leftovers(dir)).toEqual([])
        fs.closeSync(filler)
        fs.rmSync(path.join(place, 'filler'))
        await a.ok('ticket done', id)
      } finally {
        execFileSync('umount', [place])
      }
    },
  )
})

it('a directory of tickets that is no directory is told, and nothing is written into it', async () => {
  const repo = repository()
  const elsewhere = folder()
  fs.symlinkSync(elsewhere, path.join(repo.dir, '.leasehold'))
  const a = repo.as('agent:a')
  for (const words of ['ticket create --title T', 'ticket list']) {
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    const { message } = failure(await a.run(`--json ${words}`), 'unavailable', words)
    expect(message).toContain('symbolic link')
  }
  expect(fs.readdirSync(elsewhere)).toEqual([])
  expect(ticketText(id)).toContain(id)
})
