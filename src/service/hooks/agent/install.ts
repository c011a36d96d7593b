import { isDeepStrictEqual } from 'node:util'
import { applyPatch, createTwoFilesPatch, structuredPatch } from 'diff'
import { policy } from '../../../core/fault.ts'
import { editing } from '../../../host/edit-file.ts'
import type { Client, Form, Merged, Surroundings, Target } from './client.ts'
import type { Document } from './document.ts'
import { ourEntries, valueOf, withEntries, withoutEntries } from './document.ts'
import type { AgentFile } from './file.ts'
import { readAgentFile, removeAgentFile, removeDirectories, replaceAgentFile } from './file.ts'
import type { Note } from './record.ts'
import { Notes } from './record.ts'

/** What happened to one file, or would happen. */
export interface Change {
  readonly path: string
  readonly change: 'created' | 'changed' | 'removed' | 'unchanged'
  /** As `diff -u` shows it; empty when nothing changes. */
  readonly diff: string
}

/** A file and what is to become of it; null = it goes. */
interface Plan {
  readonly file: AgentFile
  readonly after: string | null
}

/** A plan to install, and what is to be remembered: the file as it was before ours came into it. */
interface Installation extends Plan {
  readonly after: string
  readonly before: string | null
}

/** Installs our hooks, or shows what that would change. The same again changes nothing. */
export function installHooks(client: Client, form: Form, around: Surroundings, dryRun: boolean): readonly Change[] {
  const targets = client.targets(form, around)
  const notes = new Notes(around.env, around.home)
  // Everything is read and planned before the first file changes: a broken one stops it all.
  const plans = targets.map(target => planInstall(client, target, notes))
  if (dryRun) return plans.map(changeOf)
  return targets.map(target =>
    editing(target.path, () => {
      const plan = planInstall(client, target, notes)
      carryOut(plan, notes)
      return changeOf(plan)
    }),
  )
}

/** Takes our hooks away: a file that nobody else touched is what it was, byte for byte; elsewhere only our entries go. */
export function uninstallHooks(client: Client, form: Form, around: Surroundings, dryRun: boolean): readonly Change[] {
  const targets = client.targets(form, around)
  const notes = new Notes(around.env, around.home)
  const plans = targets.map(target => planUninstall(client, target, notes))
  if (dryRun) return plans.map(changeOf)
  const made: string[] = []
  const changes = targets.map(target =>
    editing(target.path, () => {
      const plan = planUninstall(client, target, notes)
      made.push(...undo(plan, notes))
      return changeOf(plan)
    }),
  )
  // Directories last: one may have been made for several files.
  removeDirectories([...new Set(made)].toSorted((a, b) => a.length - b.length))
  return changes
}

function planInstall(client: Client, target: Target, notes: Notes): Installation {
  const file = readAgentFile(target.path)
  const { text } = file
  if (target.kind === 'text') {
    if (text !== null && !target.isOurs(text))
      throw policy(`${target.path} is there and is not ours; it was left as it is`, 'move it away, then say the same again')
    return { file, after: target.text, before: null }
  }
  const known = { path: target.path, dialect: client.dialect }
  if (text !== null && text.trim() !== '' && isDeepStrictEqual(ourEntries({ ...known, text }), target.entries))
    return { file, after: text, before: text }
  // What is there of ours goes first, so that bringing it up to date is the same as installing it.
  const before = withoutOurs(file, client, target, notes.read(file.real))
  // An empty file is what some clients leave behind; they read it as an empty object.
  if (before === null || before.trim() === '') return { file, after: newDocument(target.members, target.entries), before }
  return { file, after: withEntries({ ...known, text: before }, target), before }
}

const newDocument = (members: object, hooks: object): string => `${JSON.stringify({ ...members, hooks }, null, 2)}\n`

function planUninstall(client: Client, target: Target, notes: Notes): Plan {
  const file = readAgentFile(target.path)
  const { text } = file
  const note = notes.read(file.real)
  if (target.kind === 'entries') return { file, after: withoutOurs(file, client, target, note) }
  if (text === null || text === note?.after || target.isOurs(text)) return { file, after: null }
  if (note === null) return { file, after: text }
  throw policy(`${target.path} was changed after it was installed; it was left as it is`, `look at it, then: rm ${target.path}`)
}

/** The text of a file without our entries, as it was before they came; null when there is nothing else in it, and never was. */
function withoutOurs({ text, path }: AgentFile, { dialect }: Client, { members }: Merged, note: Note | null): string | null {
  if (text === null) return null
  if (note !== null && text === note.after) return note.before
  const document = { path, text, dialect }
  if (text.trim() === '' || Object.keys(ourEntries(document)).length === 0) return text
  const plain = withoutEntries(document, note?.before ?? null)
  const value = valueOf({ ...document, text: plain })
  // Without a note an object that is empty now may have been somebody's before.
  const isNew = note === null ? Object.keys(members).length > 0 : note.before === null
  if (isNew && isDeepStrictEqual(value, members)) return null
  const isKnown = note !== null && note.before !== null
  return isKnown ? (undone(note.after, note.before, document, value) ?? plain) : plain
}

/** The text that undoing our change leaves, where that fits and means the same as taking our entries out. */
function undone(after: string, before: string, document: Document, value: unknown): string | null {
  const text = applyPatch(document.text, structuredPatch('', '', after, before, '', '', { context: 2 }), { autoConvertLineEndings: false })
  if (text === false) return null
  try {
    return isDeepStrictEqual(valueOf({ ...document, text }), value) ? text : null
  } catch {
    return null
  }
}

function carryOut({ file, after, before }: Installation, notes: Notes): void {
  if (after === file.text) return
  const known = notes.read(file.real)
  const made = replaceAgentFile(file, after, 0o644)
  notes.write(file.real, { before, after, made: [...(known?.made ?? []), ...made] })
}

/** Gives the directories that had been made for the file. */
function undo({ file, after }: Plan, notes: Notes): readonly string[] {
  const made = notes.read(file.real)?.made ?? []
  if (file.text !== null && after === null) removeAgentFile(file, file.text)
  else if (after !== null && after !== file.text) replaceAgentFile(file, after, 0o644)
  notes.forget(file.real)
  return made
}

function changeOf({ file, after }: Plan): Change {
  const change = after === file.text ? 'unchanged' : file.text === null ? 'created' : after === null ? 'removed' : 'changed'
  const { path, text } = file
  const diff =
    change === 'unchanged'
      ? ''
      : createTwoFilesPatch(change === 'created' ? '/dev/null' : path, after === null ? '/dev/null' : path, text ?? '', after ?? '', '', '')
  return { path, change, diff: diff.replace(/^=+\n/, '') }
}
