import { lstatSync } from 'node:fs'
import { at, filesBelow, shown } from '../worktree/files.ts'
import type { WorktreeGit } from './git.ts'

// What Git would overwrite without a word. It spares files that it does not know only where they are not ignored, and sees none at all in
// the place of a submodule.

/** Files that Git does not know and that lie in a worktree where it would write those of `target`, a commit or a tree, instead of `old`'s. */
export function inTheWay(git: WorktreeGit, old: string, target: string): readonly string[] {
  const written = git.names('diff', '--name-only', '--no-renames', '--ignore-submodules=none', '--diff-filter=AT', '-z', old, target)
  const there = [...new Set(written.flatMap(path => takenBy(git.root, path)))]
  if (there.length === 0) return []
  const known = new Set(git.names('ls-files', '-z'))
  return there.filter(path => !known.has(path) || isDirectory(git.root, path)).map(shown)
}

/** The tree that a merge of a commit would write here, also in a conflict; where Git cannot say that (before 2.38) the commit itself. */
export function mergedTree(git: WorktreeGit, commit: string): string {
  const { stdout } = git.try('merge-tree', '--write-tree', '--name-only', 'HEAD', commit)
  const tree = stdout.split('\n')[0] ?? ''
  return /^[0-9a-f]{40,64}$/.test(tree) ? tree : commit
}

/** What lies where a path is to be: something of that name, what is in a directory of that name, or what is no directory on the way there. */
function takenBy(top: string, path: string): readonly string[] {
  const names = path.split('/')
  for (let depth = 1; depth <= names.length; depth++) {
    const above = names.slice(0, depth).join('/')
    const stats = lstatSync(at(top, above), { throwIfNoEntry: false })
    if (stats === undefined) return []
    if (!stats.isDirectory()) return [above]
  }
  // A repository is in the way as a whole.
  if (lstatSync(at(top, `${path}/.git`), { throwIfNoEntry: false }) !== undefined) return [path]
  const { files, nested, special } = filesBelow(top, new Set(), `${path}/`)
  return [...files.keys(), ...nested, ...special]
}

const isDirectory = (top: string, path: string): boolean => lstatSync(at(top, path), { throwIfNoEntry: false })?.isDirectory() === true
