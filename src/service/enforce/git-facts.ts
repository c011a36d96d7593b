import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../../core/fault.ts'
import { symbolicTarget } from '../../host/references.ts'
import { gitOutput } from '../../host/git-run.ts'
import type { Repository } from '../../host/git.ts'
import { branchKey } from '../identity/purpose.ts'
import type { PushedTrio } from './push.ts'
import { triosIn } from './trailers.ts'

export { withoutRepository } from '../../host/git-run.ts'

// What Git knows. Its children get the environment of the hook: the index of a partial commit and the quarantine of a push are in it.

/** Names between NULs. */
export const namesIn = (output: string): readonly string[] => output.split('\0').filter(name => name !== '')

/** Arguments that list what is staged: both names of a rename, everything that is deleted, submodules too. */
const changedArgs = ['diff', '--cached', '--name-only', '--no-renames', '--ignore-submodules=none', '-z']

/** Is a merge, a cherry-pick, a revert or a rebase under way? */
export const isReplaying = ({ gitDir }: Repository): boolean =>
  ['MERGE_HEAD', 'CHERRY_PICK_HEAD', 'REVERT_HEAD', 'rebase-merge', 'rebase-apply'].some(name => existsSync(join(gitDir, name)))

/** Is a rebase under way? */
export const isRebasing = ({ gitDir }: Repository): boolean =>
  existsSync(join(gitDir, 'rebase-merge')) || existsSync(join(gitDir, 'rebase-apply'))

/** What a commit or a `git merge --no-commit` before it has left to merge. */
const mergeHeads = ({ gitDir }: Repository): readonly string[] =>
  (textOf(join(gitDir, 'MERGE_HEAD'))?.split('\n') ?? []).map(line => line.trim()).filter(line => line !== '')

/** What `git merge` is merging, of which its hook finds no file yet. */
export const headsOfMerge = (env: NodeJS.ProcessEnv): readonly string[] =>
  Object.keys(env).flatMap(name => /^GITHEAD_([0-9a-f]{40,64})$/.exec(name)?.[1] ?? [])

/** Is it a rebase for which `git am` applies patches? */
export const isRebasingPatches = ({ gitDir }: Repository): boolean => existsSync(join(gitDir, 'rebase-apply', 'rebasing'))

/**
 * What the commit changes. Of a merge, whose other parents may be given, only what is unlike every parent: the rest was committed, and
 * judged, elsewhere. `staged` is the difference to HEAD where that is known already.
 */
export function changedFiles(
  cwd: string,
  repository: Repository,
  env: NodeJS.ProcessEnv,
  staged: readonly string[] | null,
  parents: readonly string[] = mergeHeads(repository),
): readonly string[] {
  let changed = staged ?? listChanged(cwd, env, [])
  for (const parent of parents) {
    if (changed.length === 0) break
    const unlike = new Set(listChanged(cwd, env, [parent]))
    changed = changed.filter(name => unlike.has(name))
  }
  return changed
}

function listChanged(cwd: string, env: NodeJS.ProcessEnv, against: readonly string[]): readonly string[] {
  const output = gitOutput(cwd, [...changedArgs, ...against, '--'], { env })
  if (output === null) throw new Fault('unavailable', `git cannot tell in ${cwd} what is staged`)
  return namesIn(output.toString('utf8'))
}

/** The staged files of tickets. */
export const stagedTicketFiles = (cwd: string, env: NodeJS.ProcessEnv): readonly string[] =>
  namesIn(gitOutput(cwd, [...changedArgs, '--', '.leasehold/tickets'], { env })?.toString('utf8') ?? '')

/** The branch that is checked out, also while it is being rebased; null when HEAD is detached. */
export function currentBranch({ gitDir }: Repository): string | null {
  const rebased = ['rebase-merge', 'rebase-apply'].map(name => textOf(join(gitDir, name, 'head-name'))?.trim() ?? null)
  const found = [symbolicTarget(gitDir, 'HEAD'), ...rebased].find(name => name?.startsWith('refs/heads/') === true)
  return found?.slice('refs/heads/'.length) ?? null
}

/** Key of the branch that gets a commit. */
export function currentBranchKey(repository: Repository): string | null {
  const branch = currentBranch(repository)
  return branch === null ? null : branchKey(repository, branch)
}

/** What begins a comment line in a message that an editor shows. */
export function commentSign(cwd: string, env: NodeJS.ProcessEnv, message: string): string {
  const said = gitOutput(cwd, ['config', '--get', 'core.commentChar'], { env })?.toString('utf8').replace(/\n$/, '') ?? '#'
  // With `auto` Git has chosen, and its own comment is the last thing in the file.
  return said === 'auto' ? (message.trimEnd().split('\n').at(-1)?.charAt(0) ?? '#') : said === '' ? '#' : said
}

/** A line of what Git tells a hook about a push. */
export interface PushedRef {
  /** Where it goes, in full: `refs/heads/main`. */
  readonly ref: string
  readonly newId: string
  readonly oldId: string
}

const isNone = (id: string): boolean => /^0+$/.test(id)

/** The lines of `pre-push`; a deletion brings nothing. */
export const pushedRefs = (input: string): readonly PushedRef[] =>
  input.split('\n').flatMap(line => {
    const [, newId, ref, oldId] = line.split(' ')
    return newId === undefined || ref === undefined || oldId === undefined || isNone(newId) ? [] : [{ ref, newId, oldId: oldId.trim() }]
  })

/** The lines of `pre-receive`. */
export const receivedRefs = (input: string): readonly PushedRef[] =>
  input.split('\n').flatMap(line => {
    const [oldId, newId, ref] = line.split(' ')
    return newId === undefined || ref === undefined || oldId === undefined || isNone(newId) ? [] : [{ ref: ref.trim(), newId, oldId }]
  })

/** The branch that a reference is; null for tags and whatever else there is. */
export const branchIn = (ref: string): string | null => (ref.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : null)

/** Those of these ids that are commits, or lead to one, and are here. */
export function commitsHere(cwd: string, env: NodeJS.ProcessEnv, ids: readonly string[]): ReadonlySet<string> {
  if (ids.length === 0) return new Set()
  const output = gitOutput(cwd, ['cat-file', '--batch-check=%(objecttype)'], { env, input: ids.map(id => `${id}^{commit}\n`).join('') })
  if (output === null) throw new Fault('unavailable', `git cannot tell in ${cwd} which commits are here`)
  const types = output.toString('utf8').split('\n')
  return new Set(ids.filter((_, at) => types[at] === 'commit'))
}

/** The trailers of every commit that these ids reach and `known` does not. */
export function newTrios(
  cwd: string,
  env: NodeJS.ProcessEnv,
  ids: readonly string[],
  known: readonly string[],
  without: readonly string[],
): readonly PushedTrio[] {
  if (ids.length === 0) return []
  const output = gitOutput(
    cwd,
    [
      'log',
      '-z',
      '--no-show-signature',
      '--encoding=UTF-8',
      '--format=%H%n%B',
      '--fixed-strings',
      '--regexp-ignore-case',
      '--grep=Leasehold-Token:',
      '--stdin',
      '--not',
      ...without,
    ],
    { env, input: [...ids, ...known.map(id => `^${id}`), ''].join('\n') },
  )
  if (output === null) throw new Fault('unavailable', `git cannot tell in ${cwd} which commits are new to the remote`)
  return namesIn(output.toString('utf8')).flatMap(text => {
    const end = text.indexOf('\n')
    return triosIn(text.slice(end + 1)).map(trio => ({ ...trio, commit: text.slice(0, end) }))
  })
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** What the Git configuration of a server's repository says of us. */
export type ServerSettings =
  | { readonly store: null; readonly why: string }
  | { readonly store: string; readonly present: boolean; readonly enforce: string | null; readonly branches: string | null }

/** Reads `leasehold.store`, `leasehold.enforce` and `leasehold.enforceBranches`. */
export function serverSettings(cwd: string, env: NodeJS.ProcessEnv): ServerSettings {
  const output = gitOutput(cwd, ['config', '-z', '--get-regexp', '^leasehold\\.'], { env })
  const said = new Map(
    namesIn(output?.toString('utf8') ?? '').map(text => {
      const at = text.indexOf('\n')
      return at < 0 ? ([text, ''] as const) : ([text.slice(0, at), text.slice(at + 1)] as const)
    }),
  )
  const store = said.get('leasehold.store')
  const pass = 'this push is not judged and passes'
  if (store === undefined) return { store: null, why: `the server’s Git configuration has no leasehold.store: ${pass}` }
  const directory = /^file:\/\/(\/[^\0]+)$/.exec(store)?.[1]
  if (directory === undefined && !/^etcds?:\/\//.test(store))
    return {
      store: null,
      why: `leasehold.store in the server’s Git configuration is no file:///directory and no etcd://host/space: ${pass}`,
    }
  return {
    store,
    // Whether a cluster is there shows when it is asked.
    present: directory === undefined || existsSync(join(directory, 'format')) || existsSync(join(directory, 'claims.jsonl')),
    enforce: said.get('leasehold.enforce') ?? null,
    branches: said.get('leasehold.enforcebranches') ?? null,
  }
}
