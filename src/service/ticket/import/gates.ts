import { lstatSync } from 'node:fs'
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
import { hashOf, type ImportedGate, type Notes } from './imported.ts'
import { readText } from './source.ts'

// Definitions of gates: taken over where there is none, never written over one.

const longestMs = 86_400_000

/** No key of ours is longer. Characters. */
const longestKey = 64

/**
 * A key of ours for each of a source's: the same in every import, and two for two. One that is written in other letters, or is too long,
 * gets a piece of its hash; so does one whose plain form belongs to another.
 */
export function gateKeysOf(keys: Iterable<string>): (key: string) => string {
  const sorted = [...new Set(keys)].toSorted()
  const ours = new Map(sorted.filter(isGateKey).map(key => [key, key]))
  const taken = new Set(ours.values())
  for (const key of sorted.filter(key => !isGateKey(key))) {
    const plain = plainKey(key)
    const chosen = isWhole(key, plain) && !taken.has(plain) ? plain : hashedKey(key, plain)
    ours.set(key, chosen)
    taken.add(chosen)
  }
  return key => ours.get(key) ?? hashedKey(key, plainKey(key))
}

/** What of a key can be written in ours; perhaps nothing. */
const plainKey = (key: string): string =>
  key
    .normalize('NFKD')
    .replaceAll(/\p{M}+/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replaceAll(/^[^a-z0-9]+|-+$/g, '')

/** Does the plain form say all that the key says? */
const isWhole = (key: string, plain: string): boolean =>
  plain !== '' && plain.length <= longestKey && !/[^\x00-\x7f\p{M}]/u.test(key.normalize('NFKD'))

function hashedKey(key: string, plain: string): string {
  const hash = hashOf(key).slice(0, 8)
  return `${plain.slice(0, longestKey - hash.length - 1) || 'gate'}-${hash}`
}

/** The definitions that are new here. Names those that are there and say something else. */
export function newGates(
  root: string,
  gates: readonly ImportedGate[],
  keyOf: (key: string) => string,
  notes: Notes,
): readonly Definition[] {
  const fresh = new Map<string, Definition>()
  for (const gate of gates) {
    const key = keyOf(gate.key)
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

/**
 * Gates that tickets need and nobody defined become manual ones: nothing passes them unseen, and each ticket can be finished. Says so once.
 * `wanted` are the gates of each ticket.
 */
export function standIns(
  root: string,
  wanted: Iterable<readonly string[]>,
  fresh: readonly Definition[],
  notes: Notes,
): readonly Definition[] {
  const missing = new Set<string>()
  let tickets = 0
  for (const keys of wanted) {
    const lost = keys.filter(key => !fresh.some(gate => gate.key === key) && !isThere(fileOf(root, key)))
    for (const key of lost) missing.add(key)
    if (lost.length > 0) tickets++
  }
  const keys = [...missing].toSorted()
  if (keys.length > 0) {
    const names = keys.length > mostNames ? `${keys.slice(0, mostNames).join(', ')}, …` : keys.join(', ')
    const [gates, need, become] =
      keys.length === 1 ? ['gate', 'it', 'it becomes a manual one'] : ['gates', 'them', 'they become manual ones']
    notes.warnings.push(
      `${gates} ${names}: ${tickets === 1 ? '1 ticket needs' : `${tickets} tickets need`} ${need}, and nothing says what ${keys.length === 1 ? 'it is' : 'they are'}; ` +
        `${become}, passed by hand; to let a command decide: lh gate define ${keys.length === 1 ? keys[0] : '<key>'} --command "…"`,
    )
  }
  return keys.map(standIn)
}

/** So many names are said; the files have them all. */
const mostNames = 10

const standIn = (key: string): Definition => ({
  key,
  title: null,
  description: 'Nothing said what it is when its tickets were imported.',
  stage: 'post',
  mode: 'manual',
  command: null,
  timeoutMs: defaultTimeoutMs,
  env: {},
  workingDir: null,
  passContext: null,
  legacy: null,
})

const isThere = (file: string): boolean => lstatSync(file, { throwIfNoEntry: false }) !== undefined

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
