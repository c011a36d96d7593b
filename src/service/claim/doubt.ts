import { existsSync } from 'node:fs'
import { isAbsolute, join, relative } from 'node:path'
import { kindOf, nameOf } from '../../core/resource.ts'
import { suggest } from '../config/schema.ts'

// Spellings that mean something, and perhaps something else than whoever typed them thinks. A claim of that protects nothing.

/** Kinds that something here, or something usual, goes by. Every other word is a kind as well. */
const usualKinds: ReadonlySet<string> = new Set(['ticket', 'path', 'branch', 'worktree', 'work', 'env', 'port', 'service', 'db'])

/** What other tools call these. */
const otherWords: Readonly<Record<string, string>> = {
  file: 'path',
  files: 'path',
  dir: 'path',
  directory: 'path',
  folder: 'path',
  glob: 'path',
  issue: 'ticket',
  task: 'ticket',
}

/** What to tell of a resource, as it was typed in `directory`; null when there is no doubt. */
export function doubtOf(typed: string, key: string, directory: string, root: string | null): string | null {
  const kind = kindOf(key)
  if (kind === 'path') return root === null ? null : pathDoubt(typed.slice(typed.indexOf(':') + 1), key, directory, root)
  if (usualKinds.has(kind)) return null
  const near = otherWords[kind] ?? suggest(kind, ['ticket', 'path', 'branch', 'worktree'])
  return near === null ? null : `${key} is of a kind of its own, and keeps nobody from ${near}:${nameOf(key)}; did you mean that?`
}

/** Below the top a path is easily typed as it is there. */
function pathDoubt(typed: string, key: string, directory: string, root: string): string | null {
  const below = relative(root, directory)
  if (isAbsolute(typed) || below === '' || below.startsWith('..')) return null
  const parts = typed.split('/')
  const wild = parts.findIndex(part => /[*?]/.test(part))
  const file = join(...(wild < 0 ? parts : parts.slice(0, wild)))
  if (file === '.' || existsSync(join(root, file)) || !existsSync(join(directory, file))) return null
  return `paths begin at the top of the repository: ${key} is not ${join(below, file)}, which would be path:${join(below, typed)}`
}
