import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Repository } from '../../host/git.ts'
import { worktreeDirectory } from '../../host/paths.ts'
import { hiddenFiles, lookingItself } from './changes.ts'
import { repositoryGit, type Entry } from './entries.ts'
import { filesBelow, shown } from './files.ts'
import { Git } from './git.ts'
import type { State } from './state.ts'
import { autostashes, pendingCommits } from './unfinished.ts'

// Everything a worktree has, as one commit. The worktree's own index is not touched, and nothing is believed before it was read back.

/** What was saved, and under which name. */
export interface Salvage {
  readonly ref: string
  readonly commit: string
  readonly files: number
}

const space = 'refs/leasehold/salvage'

/**
 * Saves every file of a worktree, also untracked ones and small ignored ones, under `refs/leasehold/salvage/<name>/<time>`: the commit's
 * tree is what lies on the disk, its first parent HEAD; the index is a second parent where it differs, and what only an
 * unfinished merge or rebase, or a reference of this worktree alone, leads to are others. Throws `unavailable` when anything of it cannot be proven to be there.
 */
export async function salvage(
  repository: Repository,
  entry: Entry,
  state: State,
  name: string,
  who: string,
  env: NodeJS.ProcessEnv,
): Promise<Salvage> {
  const directory = mkdtempSync(join(worktreeDirectory(entry.gitDir), 'salvage-'))
  try {
    const work = new Work(repository, entry, state, join(directory, 'index'), who, env)
    const { commit, files } = await work.save()
    const ref = await work.keep(commit, name)
    return { ref, commit, files }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Settings under which nothing is left out and everything is on the disk before Git says so. */
const careful = [
  ...[
    'core.fsync=all',
    'core.fsyncMethod=batch',
    'core.safecrlf=false',
    'core.sparseCheckout=false',
    'advice.addEmbeddedRepo=false',
    'submodule.recurse=false',
  ].flatMap(each => ['-c', each]),
  ...lookingItself,
]

/** Facts of a commit, and nothing beside them: `log.showSignature` would put what is thought of its signature before them. */
const showing = ['show', '--no-patch', '--no-show-signature']

class Work {
  readonly #entry: Entry
  readonly #state: State
  readonly #index: string
  readonly #who: string
  readonly #all: Git
  readonly #git: Git

  constructor(repository: Repository, entry: Entry, state: State, index: string, who: string, env: NodeJS.ProcessEnv) {
    this.#entry = entry
    this.#state = state
    this.#index = index
    this.#who = who
    this.#all = repositoryGit(repository, env)
    this.#git = entry.present ? new Git(entry.path, env, careful) : new Git(entry.gitDir, env, [...careful, '--git-dir', entry.gitDir])
  }

  async save(): Promise<{ readonly commit: string; readonly files: number }> {
    const staged = await this.#stagedTree()
    const { tree, files } = this.#entry.present ? await this.#filesTree() : { tree: staged ?? (await this.#headTree()), files: 0 }
    const parents = this.#state.head === null ? [] : [this.#state.head]
    // An index that says nothing else than HEAD or the files is not worth a commit.
    if (staged !== null && staged !== tree && staged !== (await this.#headTree()))
      parents.push(await this.#commit(staged, parents, `index of ${this.#entry.path}\n`, await this.#headTime()))
    const others = [...pendingCommits(this.#entry.gitDir), ...this.#state.own.flatMap(({ commit }) => commit ?? [])]
    parents.push(...new Set(others.filter(commit => !parents.includes(commit))))
    return { commit: await this.#commit(tree, parents, this.#message()), files }
  }

  async #headTree(): Promise<string> {
    return (
      (await this.#git.resolve('HEAD^{tree}')) ??
      (await this.#git.run(['hash-object', '-w', '-t', 'tree', '--stdin'], { input: '' })).trim()
    )
  }

  /** The index as it is, without entries that a merge left in conflict; null when there is none. */
  async #stagedTree(): Promise<string | null> {
    if (!existsSync(join(this.#entry.gitDir, 'index'))) return null
    this.#copyIndex()
    const conflicts = [
      ...new Set(
        (await this.#own(['ls-files', '-u', '-z']))
          .split('\0')
          .filter(line => line !== '')
          .map(line => line.slice(line.indexOf('\t') + 1)),
      ),
    ]
    if (conflicts.length > 0) await this.#own(['update-index', '--force-remove', '-z', '--stdin'], conflicts)
    return (await this.#own(['write-tree'])).trim()
  }

  /** A copy that looks older than it is: Git then compares what it would otherwise believe. */
  #copyIndex(): void {
    const original = join(this.#entry.gitDir, 'index')
    copyFileSync(original, this.#index)
    const older = Math.floor(statSync(original).mtimeMs / 1000) - 1
    utimesSync(this.#index, older, older)
  }

  async #filesTree(): Promise<{ readonly tree: string; readonly files: number }> {
    const { path, gitDir } = this.#entry
    if (existsSync(join(gitDir, 'index'))) this.#copyIndex()
    else if (this.#state.head !== null) await this.#own(['read-tree', 'HEAD'])
    const hidden = hiddenFiles(await this.#own(['ls-files', '-v', '-z']), path)
    if (hidden.length > 0) {
      await this.#own(['update-index', '--no-assume-unchanged', '-z', '--stdin'], hidden)
      await this.#own(['update-index', '--no-skip-worktree', '-z', '--stdin'], hidden)
    }
    await this.#own(['add', '--all', '--sparse', '--', '.'])
    const { small, large } = this.#state.ignored
    if (small.length > 0)
      await this.#own(
        ['add', '--force', '--sparse', '--pathspec-from-file=-', '--pathspec-file-nul'],
        small.map(name => `:(literal)${name.replace(/\/$/, '')}`),
      )
    const tree = (await this.#own(['write-tree'])).trim()
    return { tree, files: await this.#verify(tree, new Set(large)) }
  }

  /** Every file on the disk is in the tree, with its content, and the content can be read. Throws otherwise. */
  async #verify(tree: string, left: ReadonlySet<string>): Promise<number> {
    const { path } = this.#entry
    const listed = (await this.#all.run(['ls-tree', '-r', '-z', '--full-tree', tree])).split('\0').filter(line => line !== '')
    const names = new Map(listed.map(line => [line.slice(line.indexOf('\t') + 1), line.slice(0, line.indexOf('\t')).split(' ')] as const))
    const { files } = filesBelow(path, left)
    const missing = [...files.keys()].filter(name => !names.has(name))
    if (missing.length > 0) throw unsaved(path, `${missing.length} files are not in it, for example ${shown(missing[0]!)}`)
    const differs = await this.#git.try(['diff-files', '--quiet', '--ignore-submodules=all'], { env: { GIT_INDEX_FILE: this.#index } })
    if (differs.status !== 0) throw unsaved(path, 'files changed meanwhile')
    const blobs = [...new Set([...names.values()].filter(([mode]) => mode !== '160000').map(fields => fields[2]!))]
    const checked = await this.#all.run(['cat-file', '--batch-check=%(objectname) %(objecttype)'], {
      input: `${[tree, ...blobs].join('\n')}\n`,
    })
    const bad = checked.split('\n').filter(line => line !== '' && !/ (?:blob|tree)$/.test(line))
    if (bad.length > 0) throw unsaved(path, `an object cannot be read back (${bad[0]})`)
    return files.size
  }

  #message(): string {
    const { entry, state } = { entry: this.#entry, state: this.#state }
    const lines = [
      `salvage of ${entry.path}`,
      '',
      `Branch: ${state.branch ?? '(detached)'}`,
      `Worktree: ${entry.identity.worktreeId}`,
      ...(state.unfinished === null ? [] : [`Unfinished: ${state.unfinished}`]),
      ...state.own.map(({ name, commit }) => `Reference: ${name} ${commit}`),
      ...autostashes(entry.gitDir).map(commit => `Autostash: ${commit}`),
      ...state.ignored.large.map(name => `Left out: ${shown(name)}`),
    ]
    return `${lines.join('\n')}\n`
  }

  /** The index commit has HEAD's time: the same index is then the same commit, however often it is saved. */
  async #headTime(): Promise<string> {
    return this.#state.head === null ? '0' : (await this.#git.run([...showing, '--format=%ct', 'HEAD'])).trim()
  }

  async #commit(tree: string, parents: readonly string[], message: string, seconds?: string): Promise<string> {
    // Nobody has to be known to Git for this.
    const [name, email] = [this.#who.replace(/[<>\n]/g, ''), 'leasehold@localhost']
    const env = { GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email }
    const dates = seconds === undefined ? {} : { GIT_AUTHOR_DATE: `@${seconds} +0000`, GIT_COMMITTER_DATE: `@${seconds} +0000` }
    const args = ['-c', 'commit.gpgSign=false', 'commit-tree', tree, ...parents.flatMap(parent => ['-p', parent]), '-F', '-']
    return (await this.#git.run(args, { input: message, env: { ...env, ...dates } })).trim()
  }

  /** Gives a commit its name; the name it has already when the same was saved before. Throws when it cannot be read back. */
  async keep(commit: string, name: string): Promise<string> {
    const wanted = await this.#identity(commit)
    const folder = `${space}/${refPart(name)}`
    const known = (await this.#all.run(['for-each-ref', '--format=%(refname) %(tree) %(parent)', `${folder}/`])).split('\n')
    const same = known.find(line => line.slice(line.indexOf(' ') + 1) === wanted)
    const ref = same === undefined ? await this.#create(commit, folder) : same.slice(0, same.indexOf(' '))
    const back = await this.#all.resolve(`${ref}^{commit}`)
    if (back === null || (await this.#identity(back)) !== wanted) throw unsaved(this.#entry.path, `${ref} cannot be read back`)
    return ref
  }

  async #identity(commit: string): Promise<string> {
    const [tree, parents] = (await this.#all.run([...showing, '--format=%T%n%P', commit])).trimEnd().split('\n')
    return `${tree} ${parents ?? ''}`
  }

  async #create(commit: string, folder: string): Promise<string> {
    const time = new Date()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z')
      .replace(/[-:]/g, '')
    for (let number = 1; number < 100; number++) {
      const ref = `${folder}/${time}${number === 1 ? '' : `-${number}`}`
      // The empty old value: only where there is none.
      // oxlint-disable-next-line no-await-in-loop -- the first that is free
      const made = await this.#all.try(['-c', 'core.fsync=all', 'update-ref', '-m', 'salvage', ref, commit, ''])
      if (made.status === 0) return ref
      // oxlint-disable-next-line no-await-in-loop -- as above
      if ((await this.#all.resolve(ref)) === null) throw unsaved(this.#entry.path, made.stderr)
    }
    throw unsaved(this.#entry.path, `there is no free name below ${folder}`)
  }

  #own(args: readonly string[], names?: readonly string[]): Promise<string> {
    const input = names === undefined ? {} : { input: Buffer.from(names.map(name => `${name}\0`).join(''), 'latin1') }
    return this.#git.run(args, { env: { GIT_INDEX_FILE: this.#index }, ...input })
  }
}

/** A part of a reference's name, of whatever a worktree is called. */
export const refPart = (name: string): string =>
  name
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[.-]+|\.lock$|[.-]+$/g, '') || 'worktree'

const unsaved = (path: string, why: string): Fault =>
  new Fault('unavailable', `${path} could not be saved as a whole, so nothing was removed: ${why}`, {
    hint: `Nothing is lost. Look at it: git -C ${shellWord(path)} status`,
    details: { outcome: 'nothing_changed' },
  })
