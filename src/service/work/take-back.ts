import { lstatSync, rmdirSync, rmSync } from 'node:fs'
import { lookingItself } from '../worktree/changes.ts'
import { at, shown } from '../worktree/files.ts'
import type { WorktreeGit } from './git.ts'

/**
 * A disk may fill up, or a filter fail, while Git brings the files of `target` where those of `old` were: what it had written until then is
 * put back, and what could not be is named. Git began, so nothing of anybody's was in the way; the index is still what it was.
 */
export function takeBack(home: WorktreeGit, old: string, target: string): readonly string[] {
  const changed = (filter: string, ...of: readonly string[]): readonly string[] =>
    home.names('diff', '--name-only', '--no-renames', '--ignore-submodules=all', `--diff-filter=${filter}`, '-z', ...of)
  // Staged as the work has it: Git does not touch such a file, whatever is in it.
  const staged = new Set(changed('ACDMRTUX', '--cached', old))
  const brought = (filter: string): readonly string[] => changed(filter, old, target).filter(path => !staged.has(path))
  for (const path of brought('A')) removeFile(home.root, path)
  const before = brought('DMT')
  // At once first, then one by one: what cannot be written does not keep the others from it.
  if (!putBack(home, before)) for (const path of before) putBack(home, [path])
  const left = new Set(home.changes())
  return [...brought('A'), ...before].map(shown).filter(path => left.has(path))
}

function removeFile(top: string, path: string): void {
  if (lstatSync(at(top, path), { throwIfNoEntry: false })?.isDirectory() !== false) return
  rmSync(at(top, path), { force: true })
  const names = path.split('/')
  try {
    for (let depth = names.length - 1; depth > 0; depth--) rmdirSync(at(top, names.slice(0, depth).join('/')))
  } catch {
    // Others have files there.
  }
}

function putBack(home: WorktreeGit, paths: readonly string[]): boolean {
  const input = Buffer.from(paths.map(path => `${path}\0`).join(''), 'latin1')
  return home.fed(input, ...lookingItself, 'checkout-index', '--force', '--quiet', '-z', '--stdin')
}
