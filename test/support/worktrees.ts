import fs from 'node:fs'
import path from 'node:path'
import { type Agent, folder, git, Repo } from './cli.ts'
import { commit, putTicket } from './tickets.ts'

// Repositories with worktrees, and what lies in them, to the byte.

export const ticketId = '20260607-220225-fix-login'

export interface Room {
  readonly repo: Repo
  /** Where worktrees go. */
  readonly home: string
  readonly a: Agent
  readonly b: Agent
}

/** A repository one level below a folder of its own, with a file and a ticket: worktrees go beside it. */
export function room(): Room {
  const dir = path.join(folder('room-'), 'app')
  fs.mkdirSync(dir)
  git(dir, 'init', '-q', '-b', 'main')
  fs.writeFileSync(path.join(dir, 'file'), 'one\n')
  fs.writeFileSync(path.join(dir, '.gitignore'), 'ignored\nbuild/\n')
  putTicket(dir, ticketId)
  commit(dir)
  const repo = new Repo(dir)
  return { repo, home: path.join(path.dirname(dir), 'app-worktrees'), a: repo.as('agent:a'), b: repo.as('agent:b') }
}

export const branches = (dir: string): readonly string[] => git(dir, 'for-each-ref', '--format=%(refname:short)', 'refs/heads').split('\n')

/** The names under which Git knows linked worktrees. */
export const known = (dir: string): readonly string[] =>
  fs.existsSync(path.join(dir, '.git', 'worktrees')) ? fs.readdirSync(path.join(dir, '.git', 'worktrees')) : []

/** Notes and temporary directories of commands about worktrees. Unfinished `.tmp` files are the store's to sweep. */
export const leftovers = (dir: string): readonly string[] =>
  fs.existsSync(path.join(dir, '.git', 'leasehold'))
    ? fs.readdirSync(path.join(dir, '.git', 'leasehold')).filter(name => /^(?:adding|salvage|removed)-(?!.*\.tmp$)/.test(name))
    : []

/** Files and links below a directory but Git's own: mode and content, by name. Names are bytes. */
export function contentOf(top: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  const walk = (relative: string): void => {
    for (const entry of fs.readdirSync(Buffer.from(`${top}/${relative}`, 'latin1'), { withFileTypes: true, encoding: 'buffer' })) {
      const name = `${relative}${entry.name.toString('latin1')}`
      const file = Buffer.from(`${top}/${name}`, 'latin1')
      if (name === '.git') continue
      if (entry.isDirectory()) walk(`${name}/`)
      else if (entry.isSymbolicLink()) found[name] = `-> ${fs.readlinkSync(file, 'latin1')}`
      else if (entry.isFile()) found[name] = `${fs.statSync(file).mode & 0o111 ? 'x' : '-'} ${fs.readFileSync(file, 'latin1')}`
    }
  }
  walk('')
  return found
}

/** The salvage references of a repository. */
export const salvages = (dir: string): readonly string[] =>
  git(dir, 'for-each-ref', '--format=%(refname)', 'refs/leasehold/salvage')
    .split('\n')
    .filter(ref => ref !== '')

/** What a salvage gives back. */
export function restored(dir: string, ref: string): Readonly<Record<string, string>> {
  const back = path.join(folder('back-'), 'back')
  git(dir, 'worktree', 'add', '-q', '--detach', back, ref)
  const content = contentOf(back)
  git(dir, 'worktree', 'remove', '--force', back)
  return content
}
