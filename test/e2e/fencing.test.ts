import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, executable, folder, git, parse, type Running, signal, until } from '../support/cli.ts'
import { commit, linked } from '../support/tickets.ts'
import { heldNow, id, references, shop, type Shop } from '../support/work.ts'

// Whoever was stopped past the time of its lease, and wakes up when another has it, changes nothing any more: neither tickets and gates,
// nor claims, nor commits, what is pushed, worktrees and the base branch.

/** A shell that runs in a worktree under `lh`, and does what it is told by files. */
class Sleeper {
  readonly run: Running
  readonly #mailbox: string
  #letters = 0

  constructor(agent: Agent, words: string) {
    this.#mailbox = folder()
    const script = path.join(this.#mailbox, 'loop')
    fs.writeFileSync(
      script,
      `echo $$ > "${this.#mailbox}/pid"; i=0\nwhile :; do\n` +
        `  if [ -f "${this.#mailbox}/in-$i" ]; then (. "${this.#mailbox}/in-$i") > "${this.#mailbox}/out-$i" 2>&1; echo $? > "${this.#mailbox}/tmp"; ` +
        `mv "${this.#mailbox}/tmp" "${this.#mailbox}/code-$i"; i=$((i+1)); else sleep 0.02; fi\ndone\n`,
    )
    this.run = agent.start(words, 'sh', script)
  }

  async pid(): Promise<number> {
    const file = path.join(this.#mailbox, 'pid')
    return Number(await until(() => fs.existsSync(file) && fs.readFileSync(file, 'utf8').trim(), 'the shell runs'))
  }

  /** The exit code of a command in it, and what it said. */
  async does(command: string): Promise<{ readonly code: number; readonly said: string }> {
    const n = this.#letters++
    fs.writeFileSync(path.join(this.#mailbox, 'letter'), `${command}\n`)
    fs.renameSync(path.join(this.#mailbox, 'letter'), path.join(this.#mailbox, `in-${n}`))
    const code = path.join(this.#mailbox, `code-${n}`)
    await until(() => fs.existsSync(code), `it did ${command}`)
    return { code: Number(fs.readFileSync(code, 'utf8')), said: fs.readFileSync(path.join(this.#mailbox, `out-${n}`), 'utf8') }
  }

  async stop(): Promise<void> {
    const pid = await this.pid()
    // First who renews, then who works.
    this.run.kill('SIGSTOP')
    signal(pid, 'SIGSTOP')
  }

  /** The shell alone: who watches over it may be slower. */
  async wake(): Promise<void> {
    signal(await this.pid(), 'SIGCONT')
  }

  async end(): Promise<void> {
    signal(await this.pid(), 'SIGKILL')
    this.run.kill('SIGCONT')
    this.run.kill('SIGKILL')
  }
}

/** Every file of a directory but Git's own, with its bytes. */
function filesIn(dir: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of fs.readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    const file = path.join(dir, name)
    if (!/(?:^|\/)\.git(?:\/|$)/.test(name) && fs.statSync(file).isFile()) found[name] = fs.readFileSync(file, 'latin1')
  }
  return found
}

const lh = `"${process.execPath}" "${executable}"`

/** Every command that has an effect, as the shell in the worktree runs it. */
const effects = [
  `${lh} --json ticket set fix-login title=Mine`,
  `${lh} --json ticket edit fix-login --title Mine`,
  `${lh} --json ticket ready fix-login`,
  `${lh} --json ticket queue fix-login`,
  `${lh} --json gate run fix-login tests`,
  `${lh} --json gate run fix-login`,
  `${lh} --json gate pass fix-login review`,
  `${lh} --json gate fail fix-login review --message no`,
  `${lh} --json gate add fix-login more`,
  `${lh} --json ticket done fix-login`,
  `${lh} --json ticket close fix-login --resolution mine`,
  `${lh} --json claim renew fix-login`,
  `${lh} --json claim heartbeat fix-login`,
  `${lh} --json claim release fix-login`,
  `${lh} --json claim transfer fix-login --to-agent agent:c --reason tired`,
  `${lh} --json worktree remove fix-login`,
  `${lh} --json worktree remove fix-login --salvage`,
  `${lh} --json work --finish`,
  `${lh} --json work --finish fix-login --keep`,
] as const

/** Without what `lh` has put into the environment, the notes of the worktree are what is shown. */
const proofs = {
  'by its environment': '',
  'by the notes of its worktree': 'unset LEASEHOLD_LEASE LEASEHOLD_TOKEN LEASEHOLD_RESOURCES LEASEHOLD_LIVE; ',
} as const

/** A holder that slept past its time, and another who has the ticket in a worktree of its own. */
async function overslept(
  begin: (all: Shop) => Promise<Sleeper>,
): Promise<{ readonly all: Shop; readonly sleeper: Sleeper; readonly remote: string }> {
  const all = shop({}, { tests: { command: 'echo ran >> ran; true' }, review: {}, more: {} })
  const { repo, a, b } = all
  const file = path.join(repo.dir, '.leasehold', 'tickets', id, 'ticket.md')
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('gates: [tests, review, more]', 'gates: [tests, review]'))
  commit(repo.dir)
  const remote = folder('remote-')
  git(remote, 'init', '-q', '--bare')
  git(repo.dir, 'remote', 'add', 'origin', remote)
  git(repo.dir, 'push', '-q', 'origin', 'main')
  await a.ok('hooks install git')
  const other = linked(repo, 'work/b')
  const sleeper = await begin(all)
  try {
    // While it lives it may do all this.
    for (const command of [
      'echo done > work; git add work; git commit -q -m "the work"',
      `${lh} ticket comment fix-login --message awake`,
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { code, said } = await sleeper.does(command)
      expect(code, said).toBe(0)
    }
    expect(git(all.place, 'log', '-1', '--format=%B')).toMatch(/^Leasehold-Token: \d+$/m)
    await sleeper.stop()
    await until(async () => (await b.lease(`ticket:${id}`)).standing === 'expired', 'its time is over')
    const begun = await b.in(other).run('ticket start fix-login')
    expect([begun.code, begun.stderr]).toEqual([0, expect.stringContaining(all.place)])
    await sleeper.wake()
    return { all, sleeper, remote }
  } catch (error) {
    await sleeper.end()
    throw error
  }
}

const beginnings = {
  'lh work': async ({ a }: Shop) => new Sleeper(a, 'work fix-login --ttl 2s --'),
  'lh exec': async ({ a, place }: Shop) => {
    await a.ok('worktree add fix-login')
    const sleeper = new Sleeper(a.in(place), 'exec fix-login --ttl 2s --')
    const { code, said } = await sleeper.does(`${lh} ticket start fix-login --ttl 2s`)
    expect(code, said).toBe(0)
    return sleeper
  },
} as const

for (const [name, begin] of Object.entries(beginnings)) {
  describe(`a holder under ${name} that was stopped past its time, and wakes up when another has the ticket`, () => {
    it('is superseded in everything, and changes nothing', async () => {
      const { all, sleeper, remote } = await overslept(begin)
      try {
        const { repo, place, b } = all
        const seen = (): unknown => ({
          log: repo.log(),
          references: references(repo.dir),
          remote: git(remote, 'for-each-ref'),
          place: filesIn(place),
          main: filesIn(repo.dir),
          notes: fs
            .readdirSync(path.join(repo.dir, '.git/worktrees'))
            .map(known => fs.readFileSync(path.join(repo.dir, '.git/worktrees', known, 'leasehold/held.json'), 'utf8')),
        })
        const before = seen()
        for (const [how, prefix] of Object.entries(proofs)) {
          for (const command of effects) {
            // oxlint-disable-next-line no-await-in-loop -- one after the other
            const { code, said } = await sleeper.does(`${prefix}${command}`)
            expect(code, `${command}, ${how}: ${said}`).toBe(6)
            const { error } = parse(said)
            expect(error.code, command).toBe('superseded')
            // The worktree is nobody's; the ticket is.
            expect(error.message, command).toContain(command.includes('worktree remove') ? 'no longer current' : 'agent:b')
            expect(error.hint, command).not.toBe('')
            expect(seen(), `${command}, ${how}`).toEqual(before)
          }
        }
        // The other is not disturbed.
        expect((await b.lease(`ticket:${id}`)).holder.agent_id).toBe('agent:b')
        expect(await heldNow(b)).toEqual([`ticket:${id}`])
        // Who watched over it learns it too.
        sleeper.run.kill('SIGCONT')
        expect((await sleeper.run.ended).code).toBe(6)
      } finally {
        await sleeper.end()
      }
    })

    it('cannot commit and cannot push', async () => {
      const { all, sleeper, remote } = await overslept(begin)
      try {
        const { repo, place } = all
        const before = [references(repo.dir), git(remote, 'for-each-ref'), repo.log()]
        for (const [how, prefix] of Object.entries(proofs)) {
          fs.writeFileSync(path.join(place, 'late'), how)
          for (const command of ['git add late; git commit -m late', 'git push origin HEAD:main', 'git push origin HEAD:refs/heads/late']) {
            // oxlint-disable-next-line no-await-in-loop -- one after the other
            const { code, said } = await sleeper.does(`${prefix}${command}`)
            expect(code, `${command}, ${how}: ${said}`).toBe(1)
            expect(said, command).toMatch(/^lh: .*agent:b/m)
            expect([references(repo.dir), git(remote, 'for-each-ref'), repo.log()], `${command}, ${how}`).toEqual(before)
          }
        }
      } finally {
        await sleeper.end()
      }
    })
  })
}
