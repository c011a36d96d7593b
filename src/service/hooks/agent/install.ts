import { isDeepStrictEqual } from 'node:util'
import { applyPatch, createTwoFilesPatch, structuredPatch } from 'diff'
import { policy } from '../../../core/fault.ts'
import type { Client, Form, Surroundings, Target } from './client.ts'
import type { Document } from './document.ts'
import { ourEntries, valueOf, withEntries, withoutEntries } from './document.ts'
import type { AgentFile } from './file.ts'
import { readAgentFile, removeAgentFile, removeDirectories, replaceAgentFile } from './file.ts'
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

/** Installs our hooks, or shows what that would change. The same again changes nothing. */
export function installHooks(client: Client, form: Form, around: Surroundings, dryRun: boolean): readonly Change[] {
  // Everything is read and planned before the first file changes: a broken one stops it all.
  const targets = client.targets(form, around)
  const plans = targets.map(target => planInstall(client, target))
  if (!dryRun) for (const plan of plans) carryOut(plan, new Notes(around.env, around.home), client)
  return plans.map(changeOf)
}

/** Takes our hooks away: a file that nobody else touched is what it was, byte for byte; elsewhere only our entries go. */
export function uninstallHooks(client: Client, form: Form, around: Surroundings, dryRun: boolean): readonly Change[] {
  const notes = new Notes(around.env, around.home)
  const plans = client.targets(form, around).map(target => planUninstall(client, target, notes))
  // Directories last: one may have been made for several files.
  if (!dryRun) removeDirectories([...new Set(plans.flatMap(plan => undo(plan, notes)))].toSorted((a, b) => a.length - b.length))
  return plans.map(changeOf)
}

function planInstall(client: Client, target: Target): Plan {
  const file = readAgentFile(target.path)
  if (target.kind === 'text') {
    if (file.text !== null && !target.isOurs(file.text))
      throw policy(`${target.path} is there and is not ours; it was left as it is`, 'move it away, then say the same again')
    return { file, after: target.text }
  }
  if (file.text === null) return { file, after: newDocument(target.members, target.entries) }
  // An empty file is what some clients leave behind; they read it as an empty object.
  if (file.text.trim() === '') return { file, after: newDocument(target.members, target.entries) }
  return { file, after: withEntries({ path: target.path, text: file.text, dialect: client.dialect }, target) }
}

const newDocument = (members: object, hooks: object): string => `${JSON.stringify({ ...members, hooks }, null, 2)}\n`

function planUninstall(client: Client, target: Target, notes: Notes): Plan {
  const file = readAgentFile(target.path)
  const { text } = file
  if (text === null) return { file, after: null }
  const note = notes.read(file.real)
  if (note !== null && text === note.after) return { file, after: note.before }
  if (target.kind === 'text') {
    if (target.isOurs(text)) return { file, after: null }
    if (note === null) return { file, after: text }
    throw policy(`${target.path} was changed after it was installed; it was left as it is`, `look at it, then: rm ${target.path}`)
  }
  const document = { path: target.path, text, dialect: client.dialect }
  if (text.trim() === '' || Object.keys(ourEntries(document)).length === 0) return { file, after: text }
  const plain = withoutEntries(document, note?.before ?? null)
  const value = valueOf({ ...document, text: plain })
  // Without a note an object that is empty now may have been somebody's before.
  const isNew = note === null ? Object.keys(target.members).length > 0 : note.before === null
  if (isNew && isDeepStrictEqual(value, target.members)) return { file, after: null }
  const isKnown = note !== null && note.before !== null
  return { file, after: isKnown ? (undone(note.after, note.before, document, value) ?? plain) : plain }
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

function carryOut({ file, after }: Plan, notes: Notes, client: Client): void {
  if (after === null || after === file.text) return
  const known = notes.read(file.real)
  // The file as it was before ours came into it, also when this only brings ours up to date.
  const isKnown = known !== null && file.text === known.after
  const before = isKnown ? known.before : file.text === null ? null : withoutOurs(file, file.text, known?.before ?? null, client)
  const made = replaceAgentFile(file, after, 0o644)
  notes.write(file.real, { before, after, made: [...(known?.made ?? []), ...made] })
}

function withoutOurs(file: AgentFile, text: string, before: string | null, client: Client): string | null {
  if (text.trim() === '') return text
  try {
    const document = { path: file.path, text, dialect: client.dialect }
    return Object.keys(ourEntries(document)).length === 0 ? text : withoutEntries(document, before)
  } catch {
    // No document but a whole file of ours.
    return null
  }
}

/** Gives the directories that had been made for the file. */
function undo({ file, after }: Plan, notes: Notes): readonly string[] {
  const made = notes.read(file.real)?.made ?? []
  if (file.text !== null && after === null) removeAgentFile(file)
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
