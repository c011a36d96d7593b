import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { ancestors } from '../../host/process.ts'
import { isInside } from './entries.ts'

// Processes that work in a worktree, as far as /proc shows them.

export interface Worker {
  readonly pid: number
  readonly command: string
}

/** Processes whose working directory is this one or below it: not this command, and not those that called it. */
export const workersIn = (directory: string): readonly Worker[] =>
  others().filter(({ pid }) => {
    const cwd = linkOf(`/proc/${pid}/cwd`)
    return cwd !== null && isInside(cwd, directory)
  })

/** Gits that have this path among their arguments. */
export const workersOf = (path: string): readonly Worker[] =>
  others().filter(({ pid, command }) => /^git\b/.test(command) && argumentsOf(pid).includes(path))

function others(): readonly Worker[] {
  const own = new Set([process.pid, ...ancestors(process.pid).map(({ pid }) => pid)])
  let names: readonly string[]
  try {
    names = readdirSync('/proc')
  } catch {
    return []
  }
  return names
    .filter(name => /^[0-9]+$/.test(name))
    .map(Number)
    .filter(pid => !own.has(pid))
    .map(pid => ({ pid, command: textOf(`/proc/${pid}/comm`).trim() || 'unknown' }))
}

const argumentsOf = (pid: number): readonly string[] => textOf(`/proc/${pid}/cmdline`).split('\0')

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    // Gone, or somebody else's.
    return null
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
