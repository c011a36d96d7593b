import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { makePrivateDirectory, writeRepositoryFile } from '../../host/files.ts'
import type { Repository } from '../../host/git.ts'
import { worktreeDirectory } from '../../host/paths.ts'
import type { CommandEnd } from './run.ts'

// What a gate's command said: all that was kept of it in a file beside the worktree's own, and its end in the event.

/** How much of a failed command's output goes into the event, bytes: that is committed, and merged. */
const eventBytes = 4096

/** Where the output is kept, relative to the worktree's git directory; what is committed names no place of one machine. */
export const logName = (ticketId: string, key: string): string => `leasehold/gates/${ticketId}/${key}.log`

/** Where the output is kept. */
export const logFile = ({ gitDir }: Repository, ticketId: string, key: string): string => join(gitDir, logName(ticketId, key))

/** Keeps the output of a gate; the newest run replaces the one before. Returns a warning when that was not possible. */
export function keepOutput(repository: Repository, ticketId: string, key: string, { output, dropped }: CommandEnd): string | null {
  const file = logFile(repository, ticketId, key)
  const gates = join(worktreeDirectory(repository.gitDir), 'gates')
  try {
    for (const directory of [worktreeDirectory(repository.gitDir), gates, join(gates, ticketId)]) {
      makePrivateDirectory(directory, repository.shared)
    }
    const head = dropped === 0 ? [] : [Buffer.from(`[${dropped} bytes before this were not kept]\n`)]
    writeRepositoryFile(file, Buffer.concat([...head, output]), repository.shared)
    return null
  } catch (error) {
    return `the output of ${key} could not be kept in ${file}: ${(error as Error).message}`
  }
}

/** Output as text without the colours of a terminal. */
export const plainText = (output: Buffer): string => stripVTControlCharacters(output.toString('utf8')).replaceAll('\r\n', '\n')

/** The end of an output that fits into an event, whole lines where there are any. */
export function tailOf(output: Buffer): string {
  const bytes = Buffer.from(plainText(output))
  if (bytes.length <= eventBytes) return bytes.toString('utf8')
  let from = bytes.length - eventBytes
  const line = bytes.indexOf(10, from)
  if (line >= 0 && line < bytes.length - 1) from = line + 1
  else while ((bytes[from]! & 0xc0) === 0x80) from++
  return bytes.toString('utf8', from)
}
