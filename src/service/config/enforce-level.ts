import { usage } from '../../core/fault.ts'

/** What becomes of work that was proven to have lost its lease: it is refused, let through with a warning, or not looked at. */
export type Level = 'strict' | 'warn' | 'off'

const isLevel = (text: string): text is Level => text === 'strict' || text === 'warn' || text === 'off'

/** Reads a level. Throws `usage`. */
export function parseLevel(text: string, where: string): Level {
  if (isLevel(text)) return text
  throw usage(`${where}: ${JSON.stringify(text)} is none of strict, warn, off.`)
}

/** What stands between commas. Throws `usage` where there are commas alone: whoever wrote them meant something. */
export function partsOf(text: string, where: string, hint: string): readonly string[] {
  const parts = text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
  if (parts.length > 0 || text.trim() === '') return parts
  throw usage(`${where}: ${JSON.stringify(text)} has nothing between its commas.`, hint)
}

/** Levels by branch, the first match counts: `release/*` stands for everything below `release/`. */
export type BranchLevels = readonly (readonly [pattern: string, level: Level])[]

/** Reads `main=strict,wip/*=off`. Throws `usage`. */
export function parseBranchLevels(text: string, where: string): BranchLevels {
  return partsOf(text, where, 'For example main=strict,wip/*=off.').map(part => {
    const equals = part.lastIndexOf('=')
    const pattern = part.slice(0, Math.max(equals, 0)).trim()
    if (equals < 0 || pattern === '' || /[\0-\u0020~^:?[\\\u007f]/.test(pattern))
      throw usage(`${where}: ${JSON.stringify(part.trim())} is not <branch>=<level>.`, 'For example main=strict,wip/*=off.')
    return [pattern, parseLevel(part.slice(equals + 1).trim(), where)] as const
  })
}

/** The level that holds for a branch; null stands for what is no branch (a tag, a detached HEAD). */
export function levelFor(branch: string | null, general: Level, branches: BranchLevels): Level {
  const found = branch === null ? undefined : branches.find(([pattern]) => matchesBranch(pattern, branch))
  return found?.[1] ?? general
}

function matchesBranch(pattern: string, branch: string): boolean {
  const parts = pattern.split('*')
  const [first = '', ...rest] = parts
  if (rest.length === 0) return pattern === branch
  if (!branch.startsWith(first)) return false
  let at = first.length
  for (const part of rest.slice(0, -1)) {
    const found = branch.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  const last = rest.at(-1)!
  return branch.length - last.length >= at && branch.endsWith(last)
}

/** Code with which a judge says no to the script that started it; anything else but 0 is a failure of ours, and lets pass. */
export const refusedCode = 96
