import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, folder, git, type Result } from '../support/cli.ts'
import { commit } from '../support/tickets.ts'
import { branches, contentOf, known, leftovers, restored, room, salvages, ticketId } from '../support/worktrees.ts'

// SIGKILL at every step of making and of removing a worktree. Nothing is lost at any, and the same command again goes on to the end.

const hook = path.resolve(import.meta.dirname, '../support/die-at.cjs')

const dying = (agent: Agent, at: string, words: string, log?: string): Promise<Result> =>
  agent.with({ NODE_OPTIONS: `--require ${hook}`, DIE_AT: at, ...(log === undefined ? {} : { DIE_LOG: log }) }).run(`--json ${words}`)

/** The steps of a command: what each calls. */
async function stepsOf(prepare: () => Promise<Agent>, words: string): Promise<readonly string[]> {
  const agent = await prepare()
  const log = path.join(folder('steps-'), 'log')
  expect(await dying(agent, '0', words, log)).toMatchObject({ code: 0 })
  return fs.readFileSync(log, 'utf8').trimEnd().split('\n')
}

/** Before each step, and with a program that was just started and lives on; some at a time. */
async function atEach(steps: readonly string[], work: (at: string) => Promise<void>): Promise<void> {
  const wishes = steps.flatMap((step, number) => [`${number + 1}`, ...(/^\d+ spawn/.test(step) ? [`${number + 1}+`] : [])])
  const lanes = Array.from({ length: 4 }, async () => {
    for (let at = wishes.shift(); at !== undefined; at = wishes.shift())
      // oxlint-disable-next-line no-await-in-loop -- a lane does one after the other
      await work(at)
  })
  await Promise.all(lanes)
}

describe('killed in the middle of worktree add', () => {
  it('leaves something that the same command makes whole', { timeout: 400_000 }, async () => {
    const steps = await stepsOf(async () => room().a, 'worktree add fix-login')
    expect(steps.length).toBeGreaterThan(15)
    let died = 0
    await atEach(steps, async at => {
      const { repo, home, a } = room()
      const result = await dying(a, at, 'worktree add fix-login')
      if (result.signal === 'SIGKILL') died++
      const again = await a.run('worktree add fix-login')
      expect(again, `killed at ${at}: ${again.stderr}`).toMatchObject({ code: 0, stdout: `${path.join(home, 'fix-login')}\n` })
      const { worktrees, count } = await a.ok('worktree list')
      expect(count, at).toBe(2)
      expect(worktrees[1], at).toMatchObject({ ticket: ticketId, branch: 'agents/fix-login', dirty: false, present: true, locked: null })
      expect(contentOf(path.join(home, 'fix-login')), at).toEqual(contentOf(repo.dir))
      expect(branches(repo.dir), at).toEqual(['agents/fix-login', 'main'])
      expect(known(repo.dir).length, at).toBe(1)
      expect(leftovers(repo.dir), at).toEqual([])
      expect(fs.readdirSync(home), at).toEqual(['fix-login'])
      git(repo.dir, 'worktree', 'remove', path.join(home, 'fix-login'))
    })
    expect(died).toBeGreaterThan(steps.length * 0.9)
  })
})

describe('killed in the middle of worktree remove --salvage', () => {
  it('loses nothing, and the same command goes on to the end', { timeout: 400_000 }, async () => {
    const prepare = async (): Promise<ReturnType<typeof room> & { readonly place: string }> => {
      const all = room()
      const { worktree } = await all.a.ok('worktree add fix-login')
      const place: string = worktree.path
      await all.a.in(place).ok('claim acquire fix-login')
      fs.writeFileSync(path.join(place, 'committed'), 'x')
      commit(place, 'unmerged')
      fs.writeFileSync(path.join(place, 'file'), 'staged\n')
      git(place, 'add', 'file')
      fs.writeFileSync(path.join(place, 'file'), 'changed\n')
      fs.mkdirSync(path.join(place, 'new'))
      fs.writeFileSync(path.join(place, 'new', 'un\ntracked'), 'x')
      fs.writeFileSync(path.join(place, 'ignored'), 'small')
      return { ...all, place }
    }
    const words = 'worktree remove fix-login --salvage --delete-branch'
    const steps = await stepsOf(async () => (await prepare()).a, words)
    expect(steps.length).toBeGreaterThan(40)
    let died = 0
    await atEach(steps, async at => {
      const { repo, home, a, place } = await prepare()
      const before = contentOf(place)
      const head = git(place, 'rev-parse', 'HEAD')
      const result = await dying(a, at, words)
      if (result.signal === 'SIGKILL') died++
      // At this very moment: everything is in the worktree, or beside it under another name, or can be got back.
      const [ref] = salvages(repo.dir)
      const places = [place, ...(fs.existsSync(home) ? fs.readdirSync(home).map(name => path.join(home, name)) : [])]
      const whole = places.some(each => fs.existsSync(each) && JSON.stringify(contentOf(each)) === JSON.stringify(before))
      expect(whole || ref !== undefined, `killed at ${at}`).toBe(true)
      const gone = !known(repo.dir).includes('fix-login')
      const again = await a.run(`--json ${words}`)
      expect(again.code, `killed at ${at}: ${again.stdout}`).toBe(gone ? 4 : 0)
      expect(fs.readdirSync(home), at).toEqual([])
      expect(known(repo.dir), at).toEqual([])
      expect(branches(repo.dir), at).toEqual(['main'])
      const refs = salvages(repo.dir)
      expect(refs.length, at).toBe(1)
      expect(restored(repo.dir, refs[0]!), at).toEqual(before)
      expect(git(repo.dir, 'show', `${refs[0]}^2:file`), at).toBe('staged')
      expect(git(repo.dir, 'rev-parse', `${refs[0]}^1`), at).toBe(head)
      expect((await a.ok('claim list')).count, at).toBe(0)
      if (leftovers(repo.dir).length > 0) await a.ok('worktree prune --yes')
      expect(leftovers(repo.dir), at).toEqual([])
    })
    expect(died).toBeGreaterThan(steps.length * 0.9)
  })
})
