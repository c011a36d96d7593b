import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, type Doc, folder, git, parse, until } from '../support/cli.ts'
import { eventsIn, linked } from '../support/tickets.ts'
import { allGone, countOf, dirt, heldNow, id, isGone, read, save, shop, type Shop } from '../support/work.ts'

// `lh work --finish` that is killed, or stopped, at every step. The same command goes on, and whoever lost the lease meanwhile does not.

/** Everything that finishing can meet: a gate, a base branch that has moved on, a comment there, files that nobody committed. */
async function busy(): Promise<Shop> {
  const all = shop({}, { tests: { command: 'test -f work -a -f other' } })
  const { repo, place, a, b } = all
  await a.ok('work fix-login')
  fs.writeFileSync(path.join(place, 'work'), 'done\n')
  git(place, 'add', 'work')
  git(place, 'commit', '-q', '-m', 'the work')
  await b.ok('ticket comment fix-login --message', 'how is it going?')
  save(repo.dir, 'other', 'x\n')
  await a.in(place).ok('ticket comment fix-login --message', 'nearly done')
  fs.writeFileSync(path.join(repo.dir, 'mine'), 'not committed\n')
  return all
}

/** Finished once, with all that anybody wrote. `words`: how many commits say so; a Git that went on alone may have put it into its own. */
async function expectFinished(all: Shop, what: string, words: unknown = 1): Promise<void> {
  const { repo, a } = all
  expect(git(repo.dir, 'symbolic-ref', 'HEAD'), what).toBe('refs/heads/main')
  expect(
    [countOf(repo.dir, 'main', 'the work'), countOf(repo.dir, 'main', 'work on other'), countOf(repo.dir, 'main', `Finish ${id}`)],
    what,
  ).toEqual([1, 1, words])
  expect([read(repo.dir, 'work'), read(repo.dir, 'mine'), dirt(repo.dir)], what).toEqual(['done\n', 'not committed\n', '?? mine'])
  const said = eventsIn(repo.dir, id)
  expect(
    said
      .filter(({ type }) => type === 'comment')
      .map(({ message }) => String(message))
      .toSorted(),
    what,
  ).toEqual(['how is it going?', 'nearly done'])
  expect(
    said.filter(({ to }) => to === 'done'),
    what,
  ).toHaveLength(1)
  expect(isGone(all), what).toEqual(allGone)
  expect(await heldNow(a), what).toEqual([])
  const ends = repo
    .records()
    .filter(({ op, resources, resource }) => op === 'release' && (resources ?? [resource]).includes(`ticket:${id}`))
  expect(
    ends.map(({ outcome }) => outcome),
    what,
  ).toEqual(['done'])
  expect(
    (await a.ok('ticket doctor')).findings.filter(({ severity }: Doc) => severity !== 'info'),
    what,
  ).toEqual([])
  await a.ok('verify')
}

/** What a person does after a crash: the same again, where the worktree still is, else by name. */
const again = ({ place, a }: Shop): Agent => (fs.existsSync(path.join(place, '.git')) ? a.in(place) : a)

const preload = path.resolve(import.meta.dirname, '../support/die-at.cjs')

/** Only looks. To die before such a step is to die after the one before it. */
const isLook = (line: string): boolean =>
  / (?:rev-parse|symbolic-ref|merge-base|status|diff|show|worktree list|for-each-ref|cat-file|ls-files|rev-list|log|config --get|check-ref-format|hook run)\b/.test(
    line,
  ) || / --no-optional-locks /.test(line)

/** The steps of a finish that change something. */
async function stepsOf(all: Shop, words: string): Promise<readonly string[]> {
  const log = path.join(folder(), 'steps')
  const done = await all.a.with({ NODE_OPTIONS: `--require ${preload}`, DIE_LOG: log, DIE_AT: '' }).run(words)
  expect(done.code, done.stderr).toBe(0)
  const lines = fs
    .readFileSync(log, 'utf8')
    .split('\n')
    .filter(line => line !== '' && !isLook(line) && !/ (?:mkdirSync|mkdtempSync) /.test(line))
  // Of what is removed one by one the beginning is enough.
  const isOne = (line: string | undefined): boolean => line !== undefined && / (?:unlinkSync|rmdirSync) /.test(line)
  return lines.filter((line, at) => !(isOne(line) && isOne(lines[at - 1]) && isOne(lines[at - 2])))
}

describe('work --finish, killed', () => {
  for (const [name, words, prepare] of [
    ['with the base branch checked out', 'work --finish fix-login', () => undefined],
    ['with a merge commit', 'work --finish fix-login --no-ff', () => undefined],
  ] as const) {
    it(`at any step, ${name}: the same command finishes it`, { timeout: 900_000 }, async () => {
      const model = await busy()
      prepare()
      const steps = await stepsOf(model, words)
      await expectFinished(model, 'nobody killed it')
      expect(steps.length).toBeGreaterThan(20)
      // The second way differs in one step only.
      const chosen = words.includes('--no-ff') ? steps.filter(step => /commit-tree|read-tree|update-ref/.test(step)) : steps
      let killed = 0
      for (const step of chosen) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const all = await busy()
        const env = { NODE_OPTIONS: `--require ${preload}`, DIE_AT: String(Number.parseInt(step, 10)) }
        // oxlint-disable-next-line no-await-in-loop -- as above
        const first = await again(all).with(env).run(words)
        if (first.signal === 'SIGKILL') killed++
        // oxlint-disable-next-line no-await-in-loop -- as above
        const second = await again(all).run(words)
        expect(second.code, `${step}: ${second.stderr}`).toBe(0)
        // oxlint-disable-next-line no-await-in-loop -- as above
        await expectFinished(all, step)
      }
      // The number of a step may differ by one or two between runs.
      expect(killed).toBeGreaterThanOrEqual(chosen.length - 2)
    })
  }
})

/** A `git` that does something before its n-th call, and then what it was called for. */
function wrapped(what: string): (at: number) => { readonly env: NodeJS.ProcessEnv; readonly dir: string } {
  const bin = folder()
  fs.writeFileSync(
    path.join(bin, 'git'),
    `#!/bin/sh\nn=$(($(cat "$AT_DIR/n" 2>/dev/null || echo 0)+1)); echo $n > "$AT_DIR/n"; echo "$n $*" >> "$AT_DIR/log"\n` +
      `if [ "$n" = "$AT" ]; then ${what}; fi\nexec "${git('/', '--exec-path')}/git" "$@"\n`,
    { mode: 0o755 },
  )
  return at => {
    const dir = folder()
    return { dir, env: { PATH: `${bin}:${process.env['PATH']}`, AT_DIR: dir, AT: String(at) } }
  }
}

/** The calls of a finish that nobody disturbs. */
async function callsOf(wrapper: ReturnType<typeof wrapped>): Promise<readonly string[]> {
  const model = await busy()
  const { env, dir } = wrapper(0)
  expect((await model.a.with(env).run('work --finish fix-login')).code).toBe(0)
  return read(dir, 'log').trimEnd().split('\n')
}

describe('work --finish, killed while Git goes on', () => {
  it('at any call that changes something: the same command, perhaps after a refusal, finishes it', { timeout: 900_000 }, async () => {
    const orphaning = wrapped('kill -9 $PPID; sleep 0.4')
    const calls = (await callsOf(orphaning)).filter(line => !isLook(` ${line}`))
    expect(calls.length).toBeGreaterThan(6)
    for (const line of calls) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const all = await busy()
      const { env } = orphaning(Number.parseInt(line, 10))
      const first = all.a.with(env).start('work --finish fix-login')
      // oxlint-disable-next-line no-await-in-loop -- as above
      await first.exited
      // oxlint-disable-next-line no-await-in-loop -- as above
      await until(async () => {
        const { code, stdout } = await again(all).run('--json work --finish fix-login')
        // Git is still at it, or its locks are there. A worktree in which it is at work stays until the next time.
        if (code !== 0) expect([7, 8], `${line}: ${stdout}`).toContain(code)
        return code === 0 && !fs.existsSync(all.place)
      }, `it is finished after ${line}`)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await first.ended
      // oxlint-disable-next-line no-await-in-loop -- as above
      await expectFinished(all, line, line.includes(' commit ') ? expect.any(Number) : 1)
    }
  })
})

describe('work --finish, stopped until another has the ticket', () => {
  it(
    'at any call of Git: it is superseded, or had finished by then; the base branch never moves for who lost the lease',
    { timeout: 900_000 },
    async () => {
      // A git that stops its caller before the n-th call, and lets it go on when the other has the ticket.
      const bin = folder()
      const real = git('/', '--exec-path')
      fs.writeFileSync(
        path.join(bin, 'git'),
        `#!/bin/sh\nn=$(($(cat "$STOP_DIR/n" 2>/dev/null || echo 0)+1)); echo $n > "$STOP_DIR/n"; echo "$n $*" >> "$STOP_DIR/log"\n` +
          `if [ "$n" = "$STOP_AT" ]; then touch "$STOP_DIR/stopped"; while [ ! -e "$STOP_DIR/go" ]; do sleep 0.02; done; fi\nexec "${real}/git" "$@"\n`,
        { mode: 0o755 },
      )
      const stopping = (at: number): { readonly env: NodeJS.ProcessEnv; readonly dir: string } => {
        const dir = folder()
        return { dir, env: { PATH: `${bin}:${process.env['PATH']}`, STOP_DIR: dir, STOP_AT: String(at) } }
      }
      const model = await busy()
      const { env, dir } = stopping(0)
      expect((await model.a.with(env).run('work --finish fix-login')).code).toBe(0)
      const calls = read(dir, 'log').trimEnd().split('\n')
      // Before each call that changes something, and some that only look.
      const chosen = calls.filter((line, at) => !isLook(` ${line}`) || at % 15 === 0)
      const ends: Record<string, number> = {}
      for (const line of chosen) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const all = await busy()
        const { repo, a, b } = all
        const stop = stopping(Number.parseInt(line, 10))
        // oxlint-disable-next-line no-await-in-loop -- as above
        await a.ok('work fix-login --ttl 2s')
        const run = a.with(stop.env).start('--json work --finish fix-login')
        // oxlint-disable-next-line no-await-in-loop -- as above
        await until(() => fs.existsSync(path.join(stop.dir, 'stopped')) || run.child.exitCode !== null, `it is at ${line}`)
        run.kill('SIGSTOP')
        const main = git(repo.dir, 'rev-parse', 'main')
        const other = linked(repo, 'work/b')
        // oxlint-disable-next-line no-await-in-loop -- as above
        const taken = await until(async () => {
          const result = await b.in(other).run('--json ticket start fix-login')
          return result.code === 3 ? null : result
        }, 'the other has it, or it is over')
        fs.writeFileSync(path.join(stop.dir, 'go'), '')
        run.kill('SIGCONT')
        // oxlint-disable-next-line no-await-in-loop -- as above
        const { code, stdout } = await run.ended
        ends[`${taken.code} ${code}`] = (ends[`${taken.code} ${code}`] ?? 0) + 1
        if (taken.code === 0) {
          expect([code, parse(stdout).error.code], line).toEqual([6, 'superseded'])
          expect(git(repo.dir, 'rev-parse', 'main'), line).toBe(main)
          expect(dirt(repo.dir), line).toBe('?? mine')
          // oxlint-disable-next-line no-await-in-loop -- as above
          expect((await b.lease(`ticket:${id}`)).holder.agent_id, line).toBe('agent:b')
        } else {
          // The base branch had moved, or moved while nobody else could take it.
          expect([taken.code, code, countOf(repo.dir, 'main', 'the work')], `${line}: ${stdout}`).toEqual([taken.code, 0, 1])
        }
      }
      expect(Object.keys(ends)).toContain('0 6')
    },
  )
})
