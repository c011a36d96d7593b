import { existsSync, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { policy, usage } from '../../../core/fault.ts'
import { withBlock, withoutBlock } from './block.ts'
import type { HookLayout } from './layout.ts'
import {
  isExecutable,
  isLefthooks,
  isOurs,
  isPreCommits,
  isRelative,
  isThere,
  lefthookHooks,
  lefthookLocal,
  lefthookScripts,
  othersElsewhere,
  silence,
  spare,
  textAt,
  textBehind,
} from './layout.ts'
import type { Change, Plan } from './plan.ts'
import { writing } from './plan.ts'
import type { HookName, Installation } from './script.ts'
import { callingLines, hookScript, lefthookLines, lefthookScript, lefthookScriptLines, previousName } from './script.ts'

/** The line that Git needs to run a file as a shell script. */
export const shellPreamble = '#!/bin/sh\n'

export interface InstallOptions {
  /** The caller asked for the hook of a server. */
  readonly preReceive: boolean
}

/** What installing here would do. Nothing is written. Throws `usage` where it makes no sense, `policy` for what is no hook. */
export function planInstall(layout: HookLayout, installation: Installation, { preReceive }: InstallOptions): Plan {
  const bare = layout.repository.root === null
  if (bare && !preReceive)
    throw usage('this repository is bare: nobody commits here', 'to judge what is pushed to it: lh hooks install git --pre-receive')
  if (!bare && preReceive)
    throw usage(
      'pre-receive is for a bare repository, which is pushed to',
      'go there, or name it: lh hooks install git --pre-receive --repo <bare repository>',
    )
  const silent = silence(layout)
  if (silent !== null) throw policy(silent.why, silent.hint)
  if (layout.husky !== null) return planHusky(layout, layout.husky, installation)
  const plans = layout.names.map(name => planOne(layout, name, installation))
  const changes = plans.flatMap(plan => plan.changes)
  const notes = plans.flatMap(plan => plan.notes)
  if (isRelative(layout))
    notes.push(`core.hooksPath (${layout.hooksPath}) is relative: each worktree has its own hooks; install in each, or commit these`)
  else if (layout.hooksPath !== null)
    notes.push(`core.hooksPath is ${layout.hooksPath}: every repository with that setting shares these hooks`)
  notes.push(...othersElsewhere(layout))
  if (layout.lefthook === null) return { changes, notes }
  const lefthook = planLefthook(layout, layout.lefthook, installation)
  return { changes: [...changes, ...lefthook.changes], notes: [...notes, ...lefthook.notes] }
}

/** One hook in the directory that Git looks into. */
function planOne({ directory }: HookLayout, name: HookName, installation: Installation): Plan {
  const path = join(directory, name)
  const script = hookScript(name, installation, true)
  const legacy = `${path}.legacy`
  const text = textAt(path)
  // The pre-commit framework has made room for itself and calls us.
  if (isPreCommits(text) && isOurs(textAt(legacy)))
    return { changes: writing(legacy, updated(textAt(legacy)!, name, installation)), notes: [] }
  if (isOurs(text)) return { changes: writing(path, updated(text!, name, installation)), notes: [] }
  const aside: Change[] = []
  const notes: string[] = []
  if (isThere(path)) {
    const previous = join(directory, previousName(name))
    if (isThere(previous)) {
      const old = textAt(previous)
      const same = old === text || (isLefthooks(old) && isLefthooks(text)) || (isPreCommits(old) && isPreCommits(text))
      if (same) aside.push({ kind: 'remove', path: previous, before: old })
      else {
        const kept = spare(previous)
        aside.push({ kind: 'move', path: previous, to: kept })
        notes.push(
          `${name} was replaced by somebody since it was installed: what stood there before is kept as ${kept}, and nobody calls it`,
        )
      }
    }
    aside.push({ kind: 'move', path, to: previous })
    if (looksAtItsName(path))
      notes.push(
        `${path} looks at the name it is called by, which is ${previousName(name)} from now on: let it leave out what comes after the dot`,
      )
    if (!isExecutable(path)) notes.push(`${path} was not executable, so Git did not run it; it is still not run`)
  }
  // What lefthook put aside of ours would stop it from doing so again.
  const old = textAt(`${path}.old`)
  if (isOurs(old)) aside.push({ kind: 'remove', path: `${path}.old`, before: old })
  return { changes: [...aside, { kind: 'write', path, before: null, after: script, mode: 0o755 }], notes }
}

/** Does a hook go by its name, and is none of the shell scripts that are called by the name that they had? */
function looksAtItsName(path: string): boolean {
  const text = textBehind(path)
  return text !== null && /basename|PROGRAM_NAME|argv\[[01]\]/.test(text) && !/^#!.*[/ ](?:ba|da)?sh(?: -.*)?\n/.test(text)
}

/** Our block as it is written today; what somebody put before or behind it stays. */
function updated(text: string, name: HookName, installation: Installation): string {
  const fresh = hookScript(name, installation, true)
  const [, title = '', lines = ''] = /^#!\/bin\/sh\n# >>> leasehold ([^\n]*)\n([\s\S]*)# <<< leasehold\n$/.exec(fresh) ?? []
  return withBlock(text, { title, lines, preamble: shellPreamble, first: false })
}

/** With husky the scripts are its users' own and committed: they get lines that ask ours, where there is one. */
function planHusky(layout: HookLayout, folder: string, installation: Installation): Plan {
  const notes = [`husky runs the hooks here: commit the changes in ${folder}, so that every worktree has them`]
  if (!existsSync(layout.directory))
    notes.push(`${layout.directory} is missing in this worktree, so no hook runs in it: run what sets husky up, usually npm install`)
  const changes = layout.names.flatMap(name => {
    const path = join(folder, name)
    const text = isThere(path) ? textAt(path) : null
    const after = withBlock(text, { title: huskyTitle(name), lines: callingLines(name), preamble: '', first: isCutShort(name, text) })
    return [
      ...writing(join(layout.scripts, name), hookScript(name, installation, false)),
      ...writing(path, after, text === null ? 0o755 : modeOf(path)),
    ]
  })
  return { changes, notes }
}

const huskyTitle = (name: HookName): string => `${name}: asks leasehold, where it is installed; taken out by lh hooks uninstall git`

const modeOf = (path: string): number => lstatSync(path).mode & 0o777

/** What comes first must not use up the input, and nobody comes after an `exec` or an `exit`. */
const isCutShort = (name: HookName, text: string | null): boolean =>
  text !== null && (name === 'pre-push' || /^[ \t]*(?:exec|exit)\b/m.test(text))

/** `lefthook install` puts its own hooks in our place; then it is lefthook that has to ask us. */
function planLefthook(layout: HookLayout, config: string, installation: Installation): Plan {
  const names = lefthookHooks(layout)
  if (names.length === 0) return { changes: [], notes: [] }
  const path = lefthookLocal(config)
  const text = isThere(path) ? textAt(path) : null
  const lines = lefthookLines(names)
  const others = text === null ? '' : (withoutBlock(text, '') ?? '')
  const taken = names.filter(name => new RegExp(`^["']?${name}["']?[ \\t]*:`, 'm').test(others))
  if (taken.length > 0) {
    const note = `${path} has ${taken.join(' and ')} already, so it is left alone; when lefthook install has run, run lh hooks install git again`
    return { changes: [], notes: [note] }
  }
  const after = withBlock(text, {
    title: 'lefthook asks leasehold, where it is installed; taken out by lh hooks uninstall git',
    lines,
    preamble: '',
    first: false,
  })
  const scripts = names.flatMap(name => {
    const file = join(lefthookScripts(config), name, lefthookScript)
    const script = withBlock(textAt(file), { title: 'lefthook', lines: lefthookScriptLines(name), preamble: shellPreamble, first: false })
    return [...writing(join(layout.scripts, name), hookScript(name, installation, false)), ...writing(file, script)]
  })
  return { changes: [...scripts, ...writing(path, after, text === null ? 0o644 : modeOf(path))], notes: [] }
}
