import { chmodSync, renameSync, rmdirSync, statSync, unlinkSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { Fault } from '../../../core/fault.ts'
import { makeDirectories, replaceFile } from '../../../host/edit-file.ts'
import { isReadOnly } from '../../../host/files.ts'
import { textAt } from './layout.ts'
import { lefthookScript, scriptsFolder } from './script.ts'

/** One thing that will happen to a file. */
export type Change =
  | { readonly kind: 'write'; readonly path: string; readonly before: string | null; readonly after: string; readonly mode: number }
  | { readonly kind: 'move'; readonly path: string; readonly to: string }
  | { readonly kind: 'remove'; readonly path: string; readonly before: string | null }

/** What is going to be done, and what a person should know. */
export interface Plan {
  readonly changes: readonly Change[]
  readonly notes: readonly string[]
}

/** Writes unless it is there already, byte for byte; an existing file keeps its mode, and can be run. */
export function writing(path: string, after: string, mode = 0o755): readonly Change[] {
  const before = textAt(path)
  const present = statSync(path, { throwIfNoEntry: false })
  const kept = present === undefined ? mode : (present.mode & 0o777) | (mode & 0o111)
  if (before === after && present !== undefined && (present.mode & 0o777) === kept) return []
  return [{ kind: 'write', path, before, after, mode: kept }]
}

/** Does it. Throws `unavailable` where the hooks may not be written. */
export function apply({ changes }: Plan, readOnlyHint: string): void {
  for (const change of changes) {
    try {
      applyOne(change)
    } catch (error) {
      if (!isReadOnly(error)) throw error
      throw new Fault('unavailable', `${change.path} cannot be written: ${(error as Error).message}`, { hint: readOnlyHint, cause: error })
    }
  }
}

function applyOne(change: Change): void {
  switch (change.kind) {
    case 'write':
      makeDirectories(dirname(change.path))
      replaceFile(change.path, Buffer.from(change.after, 'latin1'), change.mode)
      chmodSync(change.path, change.mode)
      return
    case 'move':
      renameSync(change.path, change.to)
      return
    case 'remove':
      unlinkSync(change.path)
      // Folders that were made for it go with their last file.
      if (dirname(change.path).endsWith(`/${scriptsFolder}`)) removeEmpty(dirname(change.path))
      if (basename(change.path) === lefthookScript) for (const up of [dirname(change.path), dirname(dirname(change.path))]) removeEmpty(up)
  }
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // Something is in it.
  }
}

/** The changes as a person reads them: a unified diff of what is written, a line for what is moved or removed. */
export async function diffOf({ changes }: Plan): Promise<readonly string[]> {
  const { createTwoFilesPatch } = await import('diff')
  return changes.flatMap(change => {
    if (change.kind === 'move') return [`move ${change.path}`, `  to ${change.to}`]
    if (change.kind === 'remove') return [`remove ${change.path}`]
    const { path, before, after } = change
    const text = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8')
    const patch = createTwoFilesPatch(before === null ? '/dev/null' : path, path, text(before ?? ''), text(after), undefined, undefined, {
      context: 3,
    })
    return patch
      .split('\n')
      .slice(1)
      .filter(line => line !== '')
  })
}
