import fs from 'node:fs'
import type { ErrorCode } from '../../core/fault.ts'
import { Fault, isFault } from '../../core/fault.ts'
import type { Wire } from '../../core/wire.ts'
import type { Output } from './command.ts'
import { printable } from './text.ts'

/** The one table of exit codes. */
export const exitCodes: Readonly<Record<ErrorCode, number>> = {
  internal: 1,
  usage: 2,
  held: 3,
  not_found: 4,
  not_owner: 5,
  superseded: 6,
  unavailable: 7,
  policy: 8,
  timeout: 9,
  launch_failed: 10,
}

/**
 * Writes all of it, also into a pipe that is full for the moment. False when its reader went away, which is no error of ours. Throws
 * `unavailable` when the answer cannot be told: what was done stays done.
 */
export function writeText(fd: number, text: string): boolean {
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length;) {
    try {
      done += fs.writeSync(fd, bytes, done)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // A full disk below standard error must not end what only wants to warn of it.
      if (code === 'EPIPE' || (fd === 2 && code !== 'EAGAIN')) return false
      if (code !== 'EAGAIN') throw untold(error as Error)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
  return true
}

const untold = (cause: Error): Fault =>
  new Fault('unavailable', `the answer could not be written: ${cause.message}`, {
    hint: 'what the command did stands; to see what is held: lh status',
    details: { outcome: 'unknown' },
    cause,
  })

/** Only a character device can be a terminal, and not the null device: for anything else Node's own answer need not be loaded (3 to 6 ms). */
export function mayBeTerminal(fd: number): boolean {
  try {
    const stat = fs.fstatSync(fd)
    return stat.isCharacterDevice() && stat.rdev !== fs.statSync('/dev/null').rdev
  } catch {
    return false
  }
}

/** The output of one run. */
export function makeOutput(json: boolean, quiet: boolean, env: NodeJS.ProcessEnv): Output {
  const wanted = !json && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  return {
    json,
    quiet,
    get colour() {
      return wanted && mayBeTerminal(1) && process.stdout.isTTY
    },
    answer(document, lines) {
      if (json) return void writeText(1, `${JSON.stringify(typeof document === 'function' ? document() : document)}\n`)
      if (quiet) return
      const text = typeof lines === 'function' ? lines() : lines
      if (text.length > 0) writeText(1, `${text.join('\n')}\n`)
    },
    note(text) {
      if (!quiet && !json) writeText(2, `${text}\n`)
    },
    warn(text) {
      if (!quiet) writeText(2, `lh: warning: ${printable(text)}\n`)
    },
    raw(text) {
      return quiet || writeText(1, text)
    },
  }
}

/** Says what went wrong and returns the exit code: a document on standard output with `--json`, else text on standard error. */
export function fail(error: unknown, json: boolean): number {
  const { code, message, hint, details, holder, trace } = described(error)
  const exit = exitCodes[code]
  if (json) {
    const document: Wire = {
      ok: false,
      error: { code, exit, message, hint, ...(holder === undefined ? {} : { holder }), ...(details === undefined ? {} : { details }) },
    }
    try {
      writeText(1, `${JSON.stringify(document)}\n`)
    } catch {
      // Then nobody reads it; the exit code is left, and words for people.
      return fail(error, false)
    }
  } else {
    // A message may quote a file or a name that somebody else wrote.
    writeText(2, `lh: ${printable(message)}\n${hint === '' ? '' : `    ${printable(hint)}\n`}${trace ?? ''}`)
    const opId = code === 'unavailable' ? details?.['op_id'] : undefined
    if (typeof opId === 'string' && details?.['outcome'] === 'unknown') writeText(2, `    to ask again: --op-id ${opId}\n`)
  }
  return exit
}

interface Described {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string
  readonly details?: Wire
  readonly holder?: unknown
  /** For those who work on Leasehold itself. */
  readonly trace?: string
}

/** What the machine refuses, wherever that happens; the store says more of its own files. */
const systemTroubles: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'a file system is read-only',
  EACCES: 'this user may not go there',
  EPERM: 'this user may not do that',
  ENOTDIR: 'a file stands where a directory should',
  EISDIR: 'a directory stands where a file should',
  ELOOP: 'a symbolic link stands where none should',
  EIO: 'the disk reported an error',
  EMFILE: 'this process may not open more files',
  ENFILE: 'this machine has no room for more open files',
}

function described(error: unknown): Described {
  if (isFault(error)) {
    const { holder, ...details } = error.details ?? {}
    return {
      code: error.code,
      message: error.message,
      hint: error.hint ?? '',
      ...(Object.keys(details).length === 0 ? {} : { details }),
      ...(holder === undefined ? {} : { holder }),
    }
  }
  const message = error instanceof Error ? error.message : String(error)
  // Whoever asks for such a name has mistyped it, or lost a line end.
  if ((error as NodeJS.ErrnoException | null)?.code === 'ENAMETOOLONG')
    return {
      code: 'usage',
      message: `a path is too long for its file system: ${message.slice(0, 200)}…`,
      hint: 'name a shorter one: it comes from the command line, a variable (TMPDIR …) or a setting (lh config list)',
    }
  const trouble = systemTroubles[(error as NodeJS.ErrnoException | null)?.code ?? '']
  if (trouble !== undefined)
    return {
      code: 'unavailable',
      message: `${trouble}: ${message}`,
      hint: 'mend that, and run the command again: what it did before is kept',
    }
  const traced = process.env['LEASEHOLD_TEST_TRACE'] !== undefined && error instanceof Error
  return {
    code: 'internal',
    message: `unexpected: ${message}`,
    hint: 'nothing was acknowledged; please report this, with the command',
    ...(traced ? { trace: `${error.stack}\n` } : {}),
  }
}
