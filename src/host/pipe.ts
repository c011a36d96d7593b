import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Both ends of a pipe, as descriptors of this process. */
export interface Pipe {
  readonly read: number
  readonly write: number
}

/**
 * A pipe, null where none can be made. Node connects its children by sockets, on which `echo >/dev/stderr` fails in the child, and one for
 * standard output and another for standard error lose the order of what is written; a pipe has neither fault.
 */
export function openPipe(): Pipe | null {
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const { tmpdir } = process.getBuiltinModule('node:os')
  let directory: string | null = null
  let read: number | null = null
  try {
    directory = mkdtempSync(join(tmpdir(), 'leasehold-'))
    const path = join(directory, 'pipe')
    if (spawnSync('mkfifo', ['-m', '600', path], { stdio: 'ignore' }).status !== 0) return null
    read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    return { read, write: openSync(path, constants.O_WRONLY) }
  } catch {
    if (read !== null) closeSync(read)
    return null
  } finally {
    // The open ends keep it.
    if (directory !== null) rmSync(directory, { recursive: true, force: true })
  }
}
