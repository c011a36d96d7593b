import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { isDirectory, linkAt } from '../../host/look.ts'
import type { Tree } from './shell-places.ts'
import { meant } from './workspaces.ts'

// What lies below the places that a command writes as a whole: other worktrees, and the files of other sessions.

/** Says of a place without symbolic links whether one of these trees, as they are named in a directory, has it. */
export function reachOf(trees: readonly Tree[], cwd: string): (place: string) => boolean {
  const known = trees.map(tree => ({ tree, tops: tops(tree, cwd) }))
  return place => known.some(({ tree, tops }) => tops.some(top => isIn(tree, top, cwd, place)))
}

function tops({ path, keepsLink, into }: Tree, cwd: string): readonly string[] {
  if (keepsLink === true && linkAt(resolve(cwd, path)) !== null) return []
  return meant(cwd, path).map(top => (into !== undefined && isDirectory(top) ? join(top, into) : top))
}

function isIn({ names, from }: Tree, top: string, cwd: string, place: string): boolean {
  if (place !== top && !place.startsWith(top === '/' ? top : `${top}/`)) return false
  const rest = relative(top, place)
  if (names !== undefined && (rest === '' || !rest.startsWith(names) || (names === '' && rest.startsWith('.')))) return false
  return from === undefined || rest === '' || existsSync(join(resolve(cwd, from), rest))
}
