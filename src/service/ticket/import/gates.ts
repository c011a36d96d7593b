import { join } from 'node:path'
import { isFault } from '../../../core/fault.ts'
import {
  checkDefinition,
  defaultTimeoutMs,
  differences,
  formatDefinition,
  gatesDirectory,
  isGateKey,
  parseDefinition,
  writeDefinition,
  type Definition,
} from '../../gate/definition.ts'
import type { ImportedGate, Notes } from './imported.ts'
import { isFileAt, readText } from './source.ts'

// Definitions of gates: taken over where there is none, never written over one.

const longestMs = 86_400_000

/** A key as ours are; the same one for the same. */
export function gateKeyOf(key: string): string {
  if (isGateKey(key)) return key
  const plain = key
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replaceAll(/^[^a-z0-9]+|-+$/g, '')
    .slice(0, 64)
  return plain === '' ? 'gate' : plain
}

/** The definitions that are new here. Names those that are there and say something else. */
export function newGates(root: string, gates: readonly ImportedGate[], notes: Notes): readonly Definition[] {
  const fresh = new Map<string, Definition>()
  for (const gate of gates) {
    const key = gateKeyOf(gate.key)
    if (key !== gate.key) notes.warn(`gate ${gate.key}`, `it becomes ${key}: a key is a-z, 0-9, dot, dash and underscore`)
    if (fresh.has(key)) {
      notes.warn(`gate ${gate.key}`, `${key} is defined twice; the first is taken`)
      continue
    }
    const definition = definitionOf(key, gate, notes)
    if (definition !== null && isNew(root, definition, notes)) fresh.set(key, definition)
  }
  return [...fresh.values()]
}

/** Names every gate that tickets need and nobody defined. */
export function tellMissing(root: string, wanted: Iterable<string>, fresh: readonly Definition[], notes: Notes): void {
  const counts = new Map<string, number>()
  for (const key of wanted) counts.set(key, (counts.get(key) ?? 0) + 1)
  for (const [key, count] of [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (fresh.some(gate => gate.key === key) || isFileAt(fileOf(root, key))) continue
    notes.warn(
      `gate ${key}`,
      `${count === 1 ? '1 ticket needs it' : `${count} tickets need it`}, and nothing defines it; see: lh gate define ${key}`,
    )
  }
}

/** Writes them. */
export function writeGates(root: string, gates: readonly Definition[]): void {
  for (const gate of gates) writeDefinition(root, gate)
}

const fileOf = (root: string, key: string): string => join(gatesDirectory(root), `${key}.yaml`)

function definitionOf(key: string, gate: ImportedGate, notes: Notes): Definition | null {
  const where = `gate ${gate.key}`
  const legacy: Record<string, unknown> = { ...gate.legacy }
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(gate.env)) {
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !name.startsWith('LEASEHOLD_') && !value.includes('\0')) env[name] = value
    else notes.warn(where, `its variable ${JSON.stringify(name)} cannot be set; left out`)
  }
  const ms = gate.timeoutSecs === null ? defaultTimeoutMs : Math.round(gate.timeoutSecs * 1000)
  const timeoutMs = Math.min(Math.max(ms, 1000), longestMs)
  if (ms !== timeoutMs) notes.warn(where, `its time limit of ${gate.timeoutSecs} s is outside 1 s to 24 h; ${timeoutMs / 1000} s is taken`)
  const inside = gate.workingDir === null || !/^(?:\/|[A-Za-z]:|\\)|(?:^|\/)\.\.(?:\/|$)|\0/.test(gate.workingDir)
  if (!inside) {
    legacy['working_dir'] = gate.workingDir
    notes.warn(where, `its directory ${gate.workingDir} is outside the worktree; the top is taken`)
  }
  const definition: Definition = {
    key,
    title: gate.title,
    description: gate.description,
    stage: gate.stage,
    mode: gate.mode,
    command: gate.command,
    timeoutMs: gate.mode === 'auto' ? timeoutMs : defaultTimeoutMs,
    env,
    workingDir: inside ? gate.workingDir : null,
    passContext: gate.passContext,
    legacy,
  }
  try {
    checkDefinition(definition, where)
    // As it will be read: `./scripts/` is `scripts`.
    return parseDefinition(formatDefinition(definition), key, where)
  } catch (error) {
    if (!isFault(error)) throw error
    notes.warnings.push(`${error.message}; this gate is left out`)
    return null
  }
}

function isNew(root: string, definition: Definition, notes: Notes): boolean {
  const file = fileOf(root, definition.key)
  const read = readText(file)
  if ('why' in read) {
    if (read.why === 'missing') return true
    notes.warn(file, `${read.why}; the imported definition is left out`)
    return false
  }
  try {
    const different = differences(parseDefinition(read.text, definition.key, file), definition).filter(({ name }) => name !== 'legacy')
    if (different.length > 0)
      notes.warn(file, `it says something else than the source (${different.map(({ name }) => name).join(', ')}); it stays as it is`)
  } catch (error) {
    if (!isFault(error)) throw error
    notes.warnings.push(`${error.message}; it stays as it is`)
  }
  return false
}
