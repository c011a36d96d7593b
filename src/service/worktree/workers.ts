import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { ancestors } from '../../host/process.ts'
import { isInside } from './entries.ts'

// Processes that work in a worktree, as far as /proc shows them.

export interface Worker {
  readonly pid: number
  readonly command: string
}

/** Processes whose working directory is this one or below it: not this command, not those that called it, and not those that it feeds. */
export function workersIn(directory: string): readonly Worker[] {
  const found = others().filter(({ pid }) => {
    const cwd = linkOf(`/proc/${pid}/cwd`)
    return cwd !== null && isInside(cwd, directory)
  })
  const fed = fedByUs(found)
  return found.filter(worker => !fed.has(worker))
}

/** The rest of our own pipeline (`lh … | jq`): what reads our output, and what reads theirs. A shell starts them where it stands. */
function fedByUs(candidates: readonly Worker[]): ReadonlySet<Worker> {
  const fed = new Set<Worker>()
  const pipes = new Set(outputsOf('self'))
  for (let before = -1; before < fed.size;) {
    before = fed.size
    for (const worker of candidates) {
      const input = pipeOf(worker.pid, 0)
      if (fed.has(worker) || input === null || !pipes.has(input)) continue
      fed.add(worker)
      for (const pipe of outputsOf(worker.pid)) pipes.add(pipe)
    }
  }
  return fed
}

const outputsOf = (pid: number | 'self'): readonly string[] => [pipeOf(pid, 1), pipeOf(pid, 2)].filter(pipe => pipe !== null)

function pipeOf(pid: number | 'self', descriptor: number): string | null {
  const link = linkOf(`/proc/${pid}/fd/${descriptor}`)
  return link?.startsWith('pipe:') === true ? link : null
}

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
