import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../../core/fault.ts'
import { isReadOnly, writeFileAtomic } from '../../host/files.ts'
import { readRegular } from './files.ts'

const pattern = '.leasehold/tickets/*/events.jsonl'

/** What Git has to know: lines that two branches appended to the events of a ticket are both kept. */
export const unionLine = `${pattern} merge=union`

/** A file of attributes is not larger than this. Bytes. */
const maxBytes = 4 * 1024 * 1024

/**
 * Sees to it that `.gitattributes` at the top of the worktree has the line for events; everything else in it stays, to the byte. Says
 * whether it had to be written. Throws `unavailable` when it cannot be.
 */
export function ensureAttributes(root: string): boolean {
  const path = join(root, '.gitattributes')
  const found = readRegular(path, maxBytes)
  if (typeof found === 'string' && found !== 'missing') throw unwritable(path, `it is unreadable (${found})`)
  // Bytes stay bytes: a path in it need not be UTF-8.
  const text = typeof found === 'string' ? '' : found.toString('latin1')
  if (hasUnion(text)) return false
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const glue = text === '' || text.endsWith('\n') ? '' : eol
  const mode = typeof found === 'string' ? 0o644 : lstatSync(path).mode & 0o777
  try {
    writeFileAtomic(path, Buffer.from(`${text}${glue}${unionLine}${eol}`, 'latin1'), mode, { sync: true })
  } catch (error) {
    throw unwritable(path, isReadOnly(error) ? 'it may not be written here' : (error as Error).message, error)
  }
  return true
}

/** What the last line for this pattern says counts, as for Git. */
function hasUnion(text: string): boolean {
  const lines = text.split(/\r?\n/).map(line => line.trim().split(/[ \t]+/))
  const merges = lines
    .filter(([path]) => path === pattern || path === `/${pattern}` || path === `"${pattern}"`)
    .flatMap(([, ...attributes]) => attributes.filter(attribute => /^[-!]?merge(?:=|$)/.test(attribute)))
  return merges.at(-1) === 'merge=union'
}

const unwritable = (path: string, why: string, cause?: unknown): Fault =>
  new Fault('unavailable', `${path} cannot be changed: ${why}.`, {
    hint: `Add this line to it yourself: ${unionLine}`,
    ...(cause === undefined ? {} : { cause }),
  })
