import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { isReadOnly, makePrivateDirectory, openLockFile } from '../../host/files.ts'
import type { Repository } from '../../host/git.ts'
import { kernelLock } from '../../host/kernel-lock.ts'
import { storeDirectory } from '../../host/paths.ts'
import { pause } from './git.ts'

/** A descriptor that has the lock; closing it, or the end of this process, frees it. */
export interface Turn {
  end(): void
}

/** How long one waits for others that make or remove worktrees, milliseconds. Each needs some tens of them. */
const waitMs = 120_000

/**
 * Where worktrees are made and removed, one at a time: Git's own locks make it fail where it could wait. Not the lock of the store, so
 * claims go on meanwhile.
 */
export async function inTurn<T>(repository: Repository, work: () => Promise<T>): Promise<T> {
  const turn = await takeTurn(repository)
  try {
    return await work()
  } finally {
    turn.end()
  }
}

async function takeTurn(repository: Repository): Promise<Turn> {
  const file = join(ownDirectory(repository), 'worktrees.lock')
  const descriptor = openLock(file, repository)
  for (const deadline = performance.now() + waitMs; !kernelLock().tryExclusive(descriptor);) {
    if (performance.now() > deadline) {
      closeSync(descriptor)
      throw new Fault('unavailable', `others are making or removing worktrees here, for more than ${waitMs / 1000} s`, {
        hint: `Try again. Its lock is ${file}.`,
        details: { outcome: 'nothing_changed' },
      })
    }
    // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
    await pause(10)
  }
  return { end: () => closeSync(descriptor) }
}

/** Locks a file that is there if nobody has it; null when somebody has, or it is gone. */
export function tryLock(file: string): Turn | null {
  let descriptor: number
  try {
    descriptor = openSync(file, constants.O_RDWR | constants.O_NOFOLLOW)
  } catch {
    return null
  }
  if (kernelLock().tryExclusive(descriptor)) return { end: () => closeSync(descriptor) }
  closeSync(descriptor)
  return null
}

/** Locks a file of this worktree's, made if it is missing; null when somebody has it. */
export function lockIn(directory: string, name: string, repository: Repository): Turn | null {
  const file = join(directory, name)
  try {
    makePrivateDirectory(directory, repository.shared)
  } catch (error) {
    throw readOnly(directory, repository, error)
  }
  const descriptor = openLock(file, repository)
  if (kernelLock().tryExclusive(descriptor)) return { end: () => closeSync(descriptor) }
  closeSync(descriptor)
  return null
}

/** The directory that all worktrees share, made if it is missing. Throws `unavailable` where nothing may be written. */
export function ownDirectory(repository: Repository): string {
  const directory = storeDirectory(repository.commonDir)
  try {
    makePrivateDirectory(directory, repository.shared)
  } catch (error) {
    throw readOnly(directory, repository, error)
  }
  return directory
}

function openLock(file: string, repository: Repository): number {
  try {
    return openLockFile(file, repository.shared)
  } catch (error) {
    throw readOnly(file, repository, error)
  }
}

const isInItsPlace = (error: unknown): boolean =>
  ['EISDIR', 'ENOTDIR', 'ELOOP', 'EMLINK'].includes((error as NodeJS.ErrnoException | null)?.code ?? '')

/** What to throw when something of ours cannot be written. */
export function readOnly(path: string, repository: Repository, error: unknown): unknown {
  if (isInItsPlace(error))
    return new Fault('unavailable', `${path} is a directory or a link, where a file of Leasehold belongs`, {
      hint: `Look at it, and move it away, then try again: ls -ld ${shellWord(path)}`,
      details: { outcome: 'nothing_changed' },
      cause: error,
    })
  if (!isReadOnly(error)) return error
  return new Fault('unavailable', `${path} cannot be written: ${(error as Error).message}`, {
    hint: `Let this process write there. In a sandboxed agent, allow it (Codex: writable_roots = ["${repository.commonDir}"]).`,
    details: { outcome: 'nothing_changed' },
    cause: error,
  })
}
