import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { HookLayout } from './layout.ts'
import { isExecutable, isLefthooks, isOurs, isPreCommits, isRelative, lefthookLocal, othersElsewhere, silence, textAt } from './layout.ts'
import type { HookName } from './script.ts'
import { previousName } from './script.ts'

/** One hook as it stands. */
export interface HookState {
  readonly hook: HookName
  /** Ours is somewhere, whether or not Git gets to it. */
  readonly installed: boolean
  /** Git would run it here and now. */
  readonly fires: boolean
  /** The file that has it; null when it is not installed. */
  readonly file: string | null
  /** Who starts it: Git itself, or another manager's hook. */
  readonly via: 'git' | 'husky' | 'lefthook' | 'pre-commit' | null
  /** What is called before it. */
  readonly chained: string | null
  /** Why it does not do what it should. */
  readonly problem: string | null
}

export interface HooksStatus {
  readonly hooks: readonly HookState[]
  readonly warnings: readonly string[]
}

/** How the hooks of this worktree stand. */
export function hooksStatus(layout: HookLayout): HooksStatus {
  const hooks = layout.names.map(name => stateOf(layout, name))
  const silent = silence(layout)
  const warnings = silent === null ? [] : [`${silent.why}: ${silent.hint}`]
  if (isRelative(layout) && layout.husky === null)
    warnings.push(`core.hooksPath (${layout.hooksPath}) is relative: each worktree has its own hooks`)
  if (layout.husky !== null && layout.env['HUSKY'] === '0') warnings.push('HUSKY=0 is set: husky runs no hook')
  if (layout.lefthook !== null && ['0', 'false'].includes(layout.env['LEFTHOOK'] ?? ''))
    warnings.push('LEFTHOOK is off in this environment: lefthook runs no hook')
  return { hooks, warnings: [...warnings, ...othersElsewhere(layout)] }
}

const missing = (hook: HookName, problem: string | null = null): HookState => ({
  hook,
  installed: false,
  fires: false,
  file: null,
  via: null,
  chained: null,
  problem,
})

function stateOf(layout: HookLayout, name: HookName): HookState {
  const state = layout.husky === null ? (direct(layout, name) ?? elsewhere(layout, name)) : throughHusky(layout, layout.husky, name)
  if (!state.installed || state.problem !== null || state.file === null) return state
  const gone = installationProblem(state.via === 'git' || state.via === 'pre-commit' ? state.file : join(layout.scripts, name))
  return gone === null ? state : { ...state, fires: false, problem: gone }
}

/** In the directory that Git looks into; null when nothing of ours is there. */
function direct(layout: HookLayout, name: HookName): HookState | null {
  const path = join(layout.directory, name)
  const text = textAt(path)
  const previous = join(layout.directory, previousName(name))
  const chained = existsSync(previous) ? previous : null
  if (isOurs(text)) {
    const problem = isExecutable(path) ? null : `${path} is not executable: chmod +x it, or lh hooks install git`
    return { hook: name, installed: true, fires: problem === null, file: path, via: 'git', chained, problem }
  }
  if (isPreCommits(text) && isOurs(textAt(`${path}.legacy`)))
    return { hook: name, installed: true, fires: isExecutable(path), file: `${path}.legacy`, via: 'pre-commit', chained, problem: null }
  const local = layout.lefthook === null ? null : lefthookLocal(layout.lefthook)
  if (local !== null && isLefthooks(text)) {
    const lines = textAt(local)
    const told = isOurs(lines) && lines!.includes(`\n${name}:`) && existsSync(join(layout.scripts, name))
    if (told) return { hook: name, installed: true, fires: isExecutable(path), file: local, via: 'lefthook', chained: null, problem: null }
  }
  const aside = [`${path}.old`, `${path}.legacy`].find(each => isOurs(textAt(each)))
  if (aside === undefined) return null
  const problem = `${path} was replaced, and ours is in ${aside}, where nobody calls it: lh hooks install git`
  return { hook: name, installed: true, fires: false, file: aside, via: null, chained, problem }
}

/** Not where Git looks; perhaps where it looked once. */
function elsewhere(layout: HookLayout, name: HookName): HookState {
  const path = join(layout.usual, name)
  if (layout.usual === layout.directory || !isOurs(textAt(path))) {
    const previous = join(layout.directory, previousName(name))
    return missing(name, existsSync(previous) ? `${join(layout.directory, name)} was replaced since: lh hooks install git` : null)
  }
  const problem = `it is in ${layout.usual}, but core.hooksPath is ${layout.hooksPath} now, so Git looks into ${layout.directory}: lh hooks install git`
  return { hook: name, installed: true, fires: false, file: path, via: null, chained: null, problem }
}

function throughHusky(layout: HookLayout, folder: string, name: HookName): HookState {
  const path = join(folder, name)
  if (!isOurs(textAt(path))) return elsewhere(layout, name)
  const caller = join(layout.directory, name)
  const script = join(layout.scripts, name)
  const problem = !isExecutable(caller)
    ? `${caller} is missing: run what sets husky up, usually npm install`
    : isExecutable(script)
      ? null
      : `${script} is missing: lh hooks install git`
  return { hook: name, installed: true, fires: problem === null, file: path, via: 'husky', chained: null, problem }
}

/** Does what a script starts still exist? One that needs no Node has nothing to miss. */
function installationProblem(file: string): string | null {
  const [, node, main] = /if \[ -x '([^\n]*)' \] && \[ -f '([^\n]*)' \]; then/.exec(textAt(file) ?? '') ?? []
  if (node === undefined || main === undefined) return null
  const gone = [node, main]
    .map(path => Buffer.from(path.replaceAll(`'\\''`, "'"), 'latin1').toString('utf8'))
    .filter(path => !existsSync(path))
  return gone.length === 0 ? null : `${gone.join(' and ')} is gone; only lh on PATH would be asked: lh hooks install git`
}
