import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'
import { executable, folder, git, repository, type Repo } from './cli.ts'

// Real Git, with the hooks that the executable installed.

/** How Git ended, and what it and the hooks said. */
export interface Ran {
  readonly code: number | null
  readonly said: string
}

/** Somebody who runs Git and `lh` in a directory. */
export class Person {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv

  constructor(cwd: string, env: NodeJS.ProcessEnv) {
    this.cwd = cwd
    this.env = env
  }

  in(cwd: string): Person {
    return new Person(cwd, this.env)
  }

  with(env: NodeJS.ProcessEnv): Person {
    return new Person(this.cwd, { ...this.env, ...env })
  }

  run(program: string, ...args: readonly string[]): Ran {
    const done = spawnSync(program, args, {
      cwd: this.cwd,
      env: { ...process.env, ...this.env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return { code: done.status, said: `${done.stdout}${done.stderr}` }
  }

  git(...args: readonly string[]): Ran {
    return this.run('git', ...args)
  }

  /** Git, which has to succeed. */
  did(...args: readonly string[]): string {
    const ran = this.git(...args)
    expect(ran, args.join(' ')).toMatchObject({ code: 0 })
    return ran.said
  }

  lh(words: string, ...more: readonly string[]): Ran {
    return this.run(process.execPath, executable, ...words.split(' '), ...more)
  }

  /** `lh`, which has to succeed. */
  ok(words: string, ...more: readonly string[]): string {
    const ran = this.lh(words, ...more)
    expect(ran, words).toMatchObject({ code: 0 })
    return ran.said
  }

  /** A file, staged. */
  stage(name: string, content = `${name}\n`): void {
    fs.mkdirSync(path.dirname(path.join(this.cwd, name)), { recursive: true })
    fs.writeFileSync(path.join(this.cwd, name), content)
    this.did('add', '--', name)
  }

  commit(message: string, ...more: readonly string[]): Ran {
    return this.git('commit', '--allow-empty', '-m', message, ...more)
  }

  message(revision = 'HEAD'): string {
    return git(this.cwd, 'log', '-1', '--format=%B', revision)
  }
}

export const person = (repo: { readonly dir: string }, name: string): Person =>
  new Person(repo.dir, { LEASEHOLD_AGENT_ID: `agent:${name}` })

/** Ann and Bob in one repository with the hooks, a first commit and a remote that has it. */
export function hooked(): { repo: Repo; ann: Person; bob: Person; remote: string } {
  const repo = repository()
  const [ann, bob] = [person(repo, 'ann'), person(repo, 'bob')]
  git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'first')
  const remote = folder('remote-')
  git(remote, 'init', '-q', '--bare')
  git(repo.dir, 'remote', 'add', 'origin', remote)
  git(repo.dir, 'push', '-q', 'origin', 'main')
  ann.ok('hooks install git')
  return { repo, ann, bob, remote }
}

/** Bob takes what Ann had, by his word. */
export function steal(bob: Person, ticket: string): void {
  bob.ok(`claim evict ${ticket} --reason`, 'she is gone')
  bob.ok(`claim acquire ${ticket}`)
}

/** Every file of a directory with its mode and bytes. */
export function snapshot(directory: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of fs.existsSync(directory) ? fs.readdirSync(directory) : []) {
    const file = path.join(directory, name)
    const stats = fs.lstatSync(file)
    const content = stats.isSymbolicLink() ? `-> ${fs.readlinkSync(file)}` : stats.isFile() ? fs.readFileSync(file, 'latin1') : 'directory'
    found[name] = `${(stats.mode & 0o777).toString(8)} ${content}`
  }
  return found
}

/** A hook of somebody's own. */
export function writeHook(file: string, text: string, mode = 0o755): void {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
  fs.chmodSync(file, mode)
}
