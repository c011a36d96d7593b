import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Fault } from '../../core/fault.ts'
import { makeDirectory, writeFileAtomic } from '../../host/files.ts'
import type { Repository } from '../../host/git.ts'

/**
 * Sees to it that `.gitattributes` at the top of a worktree merges these files by keeping the lines of both sides. Everything else in it
 * stays, to the byte. Says whether it had to be written.
 */
export function ensureUnion(top: string, patterns: readonly string[]): boolean {
  return ensureLines(
    join(top, '.gitattributes'),
    patterns.map(pattern => `${pattern} merge=union`),
  )
}

/** Keeps a worktree that lies inside the repository out of its status, without touching a committed file. */
export function exclude(repository: Repository, top: string, path: string): void {
  const directory = join(repository.commonDir, 'info')
  makeDirectory(directory)
  const escaped = relative(top, path).replace(/[\\*?[\]!# ]/g, '\\$&')
  ensureLines(join(directory, 'exclude'), [`/${escaped}`])
}

function ensureLines(file: string, lines: readonly string[]): boolean {
  const stats = lstatSync(file, { throwIfNoEntry: false })
  if (stats !== undefined && !stats.isFile())
    throw new Fault('unavailable', `${file} is no regular file, so nothing is written to it`, { hint: `Look at it: ls -l ${file}` })
  // Bytes stay bytes: a path in it need not be UTF-8.
  const text = existsSync(file) ? readFileSync(file, 'latin1') : ''
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const known = new Set(text.split(/\r?\n/).map(line => line.trim().replace(/[ \t]+/g, ' ')))
  const missing = lines.map(line => Buffer.from(line).toString('latin1')).filter(line => !known.has(line))
  if (missing.length === 0) return false
  const glue = text === '' || text.endsWith('\n') ? '' : eol
  const mode = stats === undefined ? 0o644 : stats.mode & 0o777
  writeFileAtomic(file, Buffer.from(`${text}${glue}${missing.map(line => `${line}${eol}`).join('')}`, 'latin1'), mode, { sync: true })
  return true
}
