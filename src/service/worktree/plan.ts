import { closeSync, openSync, readdirSync, constants } from 'node:fs'
import { join } from 'node:path'
import { readJson, remove, writeRepositoryTemporary } from '../../host/files.ts'
import { renameSync } from 'node:fs'
import type { Repository } from '../../host/git.ts'
import { kernelLock } from '../../host/kernel-lock.ts'
import { sha256Hex } from '../../core/sha256.ts'
import { storeDirectory } from '../../host/paths.ts'
import { ownDirectory, readOnly, tryLock } from './turn.ts'
import type { Turn } from './turn.ts'

// What is written down before a worktree is made, so that whoever comes after a crash knows what to clear up.

/** A worktree that is being made. */
export interface Plan {
  readonly ticket: string | null
  readonly name: string
  readonly path: string
  readonly branch: string
  /** The commit at which we make the branch; null when it was there before. */
  readonly madeBranch: string | null
}

/** A plan whose maker may have died. */
export interface LeftPlan {
  readonly plan: Plan
  /** Its lock; null while its maker lives. */
  take(): Turn | null
  forget(): void
}

const pattern = /^adding-[0-9a-f]{16}\.json$/

/** Writes a plan down. Its file is locked as long as this process lives and has not ended it. */
export function beginPlan(repository: Repository, plan: Plan): Turn {
  const file = join(ownDirectory(repository), `adding-${sha256Hex(Buffer.from(plan.path), 16)}.json`)
  try {
    const temporary = writeRepositoryTemporary(file, JSON.stringify(plan), repository.shared, true)
    const descriptor = openSync(temporary, constants.O_RDWR)
    kernelLock().tryExclusive(descriptor)
    renameSync(temporary, file)
    return {
      end() {
        remove(file)
        closeSync(descriptor)
      },
    }
  } catch (error) {
    throw readOnly(file, repository, error)
  }
}

/** The plans that are written down. */
export function leftPlans(repository: Repository): readonly LeftPlan[] {
  const directory = storeDirectory(repository.commonDir)
  return namesIn(directory).flatMap(name => {
    const file = join(directory, name)
    const plan = planIn(file)
    return plan === null ? [] : [{ plan, take: () => tryLock(file), forget: () => remove(file) }]
  })
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter(name => pattern.test(name))
  } catch {
    return []
  }
}

function planIn(file: string): Plan | null {
  try {
    const { ticket, name, path, branch, madeBranch } = readJson(file) as Record<keyof Plan, unknown>
    if (typeof name !== 'string' || typeof path !== 'string' || typeof branch !== 'string') return null
    return {
      ticket: typeof ticket === 'string' ? ticket : null,
      name,
      path,
      branch,
      madeBranch: typeof madeBranch === 'string' ? madeBranch : null,
    }
  } catch {
    return null
  }
}
