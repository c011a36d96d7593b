import { join } from 'node:path'
import { isOnlyBlock, withoutBlock } from './block.ts'
import { shellPreamble } from './install.ts'
import type { HookLayout } from './layout.ts'
import { isLefthooks, isOurs, isPreCommits, isThere, lefthookLocal, lefthookScripts, textAt } from './layout.ts'
import type { Change, Plan } from './plan.ts'
import { writing } from './plan.ts'
import { clientHooks, lefthookScript, previousName, serverHooks } from './script.ts'

/** What taking everything of ours out would do: what stood there before stands there again, to the byte, and lines of others stay. */
export function planUninstall(layout: HookLayout): Plan {
  const changes: Change[] = []
  const notes: string[] = []
  for (const directory of new Set([layout.directory, layout.usual])) {
    for (const name of [...clientHooks, ...serverHooks]) {
      const plan = planOne(directory, name)
      changes.push(...plan.changes)
      notes.push(...plan.notes)
    }
  }
  const shared = [
    ...(layout.husky === null ? [] : clientHooks.map(name => join(layout.husky!, name))),
    ...(layout.lefthook === null ? [] : [lefthookLocal(layout.lefthook)]),
  ]
  for (const path of shared) {
    const text = textAt(path)
    if (text !== null && isOurs(text) && !changes.some(change => change.path === path)) changes.push(...withoutOurs(path, text, ''))
  }
  for (const name of layout.lefthook === null ? [] : clientHooks) {
    const path = join(lefthookScripts(layout.lefthook!), name, lefthookScript)
    const text = textAt(path)
    if (text !== null && isOurs(text)) changes.push(...withoutOurs(path, text, shellPreamble))
  }
  for (const name of clientHooks) {
    const path = join(layout.scripts, name)
    const text = textAt(path)
    if (text !== null) changes.push({ kind: 'remove', path, before: text })
  }
  return { changes, notes }
}

function withoutOurs(path: string, text: string, preamble: string): readonly Change[] {
  const rest = withoutBlock(text, preamble)
  return rest === null ? [{ kind: 'remove', path, before: text }] : writing(path, rest, 0)
}

function planOne(directory: string, name: string): Plan {
  const path = join(directory, name)
  const previous = join(directory, previousName(name))
  const hasPrevious = isThere(previous)
  const old = hasPrevious ? textAt(previous) : null
  const changes: Change[] = []
  const notes: string[] = []
  // Put aside by another manager that came after us.
  for (const aside of [`${path}.old`, `${path}.legacy`]) {
    const text = textAt(aside)
    if (!isOurs(text)) continue
    changes.push({ kind: 'remove', path: aside, before: text })
    if (!hasPrevious) continue
    // The manager that stands in our place was here before us too; anybody else's hook goes where the manager would have put it.
    if (isLefthooks(old) || isPreCommits(old)) changes.push({ kind: 'remove', path: previous, before: old })
    else changes.push({ kind: 'move', path: previous, to: aside })
    return { changes, notes }
  }
  const text = textAt(path)
  if (text === null || !isOurs(text)) {
    if (hasPrevious) notes.push(`${path} is somebody else’s by now, and is left alone; what stood there before is in ${previous}`)
    return { changes, notes }
  }
  if (isOnlyBlock(text, shellPreamble)) {
    changes.push({ kind: 'remove', path, before: text })
    if (hasPrevious) changes.push({ kind: 'move', path: previous, to: path })
    return { changes, notes }
  }
  changes.push(...writing(path, withoutBlock(text, shellPreamble) ?? '', 0))
  notes.push(
    `${path} has lines that are not ours: they stay${hasPrevious ? `, and what stood there before is in ${previous}, to be put together by hand` : ''}`,
  )
  return { changes, notes }
}
