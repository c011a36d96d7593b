import fs from 'node:fs'
import path from 'node:path'
import { type Agent, type Doc, folder, git, Repo } from './cli.ts'
import { commit, putTicket, type Fields } from './tickets.ts'

// A repository below a folder of its own, so that worktrees beside it go with it; and what can be seen of it from outside.

export const id = '20260607-220225-fix-login'

/** A repository with a ticket that is ready, and two agents. */
export interface Shop {
  readonly repo: Repo
  /** Where the ticket's worktree is, when it is there. */
  readonly place: string
  /** Where the worktrees are. */
  readonly home: string
  readonly a: Agent
  readonly b: Agent
}

/** A gate, as its definition is committed. */
export interface Gate {
  readonly command?: string
  readonly stage?: 'pre' | 'post'
}

/** Makes one. The ticket has the gates that are given. */
export function shop(fields: Fields = {}, gates: Readonly<Record<string, Gate>> = {}): Shop {
  const dir = path.join(folder('shop-'), 'app')
  fs.mkdirSync(dir)
  git(dir, 'init', '-q', '-b', 'main')
  fs.writeFileSync(path.join(dir, 'file'), 'one\n')
  fs.writeFileSync(path.join(dir, '.gitattributes'), '.leasehold/tickets/*/events.jsonl merge=union\n')
  putTicket(dir, id, fields)
  const keys = Object.keys(gates)
  for (const key of keys) {
    const { command, stage = 'post' } = gates[key]!
    fs.mkdirSync(path.join(dir, '.leasehold', 'gates'), { recursive: true })
    const how = command === undefined ? 'mode: manual\n' : `mode: auto\ncommand: ${JSON.stringify(command)}\n`
    fs.writeFileSync(path.join(dir, '.leasehold', 'gates', `${key}.yaml`), `stage: ${stage}\n${how}`)
  }
  const file = path.join(dir, '.leasehold', 'tickets', id, 'ticket.md')
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('gates: []', `gates: [${keys.join(', ')}]`))
  commit(dir, 'start')
  const repo = new Repo(dir)
  const home = path.join(path.dirname(dir), 'app-worktrees')
  return { repo, home, place: path.join(home, 'fix-login'), a: repo.as('agent:a'), b: repo.as('agent:b') }
}

/** Writes a file and commits everything. */
export function save(dir: string, name: string, content: string, message = `work on ${name}`): string {
  fs.writeFileSync(path.join(dir, name), content)
  return commit(dir, message)
}

export const read = (dir: string, name: string): string => fs.readFileSync(path.join(dir, name), 'utf8')

/** Every reference with its commit, and where each worktree stands: what must not move when nothing may. */
export function references(dir: string): readonly string[] {
  const heads = git(dir, 'worktree', 'list', '--porcelain').split('\n')
  return [...git(dir, 'for-each-ref', '--format=%(refname) %(objectname)').split('\n'), ...heads]
}

export const head = (dir: string, name = 'HEAD'): string => git(dir, 'rev-parse', name)
export const dirt = (dir: string): string => git(dir, 'status', '--porcelain', '--untracked-files=all')
export const branches = (dir: string): readonly string[] => git(dir, 'for-each-ref', '--format=%(refname:short)', 'refs/heads').split('\n')

/** How many commits with this subject a branch has. */
export const countOf = (dir: string, branch: string, subject: string): number =>
  git(dir, 'log', '--format=%s', branch)
    .split('\n')
    .filter(line => line === subject).length

/** Resources that somebody holds. */
export const heldNow = async (agent: Agent): Promise<readonly string[]> =>
  (await agent.ok('claim list')).leases
    .map(({ resource }: Doc) => resource)
    // That a command runs there is another matter.
    .filter((resource: string) => !resource.startsWith('work:'))
    .toSorted()

/** Everything of a worktree that is gone is gone. */
export function isGone({ repo, home }: Shop, slug = 'fix-login'): Readonly<Record<string, boolean>> {
  const known = path.join(repo.dir, '.git', 'worktrees', slug)
  const left = fs.existsSync(home) ? fs.readdirSync(home).filter(name => name.includes(slug)) : []
  // What "removed-" has is for the next removal to delete; Git knows nothing of it any more.
  const kept = fs.readdirSync(repo.store).filter(name => /^(?:adding|salvage)-/.test(name))
  return {
    directory: left.length === 0,
    branch: !branches(repo.dir).includes(`agents/${slug}`),
    entry: !fs.existsSync(known),
    leftovers: kept.length === 0,
  }
}

export const allGone = { directory: true, branch: true, entry: true, leftovers: true } as const
