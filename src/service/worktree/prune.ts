import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { isFault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { clearLeft } from './add.ts'
import type { Plan } from './plan.ts'
import { listEntries } from './entries.ts'
import type { Entry } from './entries.ts'
import { isUnheld } from './fence.ts'
import type { Asker } from './fence.ts'
import { mendMarks } from './list.ts'
import { removalOf } from './removal-note.ts'
import { refuseAlways, refuseLoss, removeWorktree, sweepRemoved } from './remove.ts'
import type { Removed, RemoveOptions } from './remove.ts'
import { stateOf } from './state.ts'

/** A worktree that stays, and why. */
export interface Kept {
  readonly entry: Entry
  readonly why: string
}

export interface Pruned {
  /** What goes, or would go in a dry run. */
  readonly going: readonly Entry[]
  readonly removed: readonly Removed[]
  readonly kept: readonly Kept[]
  /** Worktrees that a killed command had begun to make. */
  readonly cleared: readonly Plan[]
  /** Worktrees whose lock says that somebody holds them, and nobody does, or the other way round. */
  readonly marks: readonly Entry[]
}

/**
 * Removes the worktrees that we made, or whose directory is gone, that nobody holds and that would lose nothing. Says what it would do
 * unless it is `really` to be done.
 */
export async function pruneWorktrees(asker: Asker, options: RemoveOptions, really: boolean): Promise<Pruned> {
  const { workspace } = asker
  const { repository } = workspace
  const cleared = await clearLeft(repository, options.env, really)
  if (really) sweepRemoved(repository)
  const going: Entry[] = []
  const removed: Removed[] = []
  const kept: Kept[] = []
  for (const entry of await listEntries(repository, options.env)) {
    if (entry.main || (entry.identity.purpose === null && entry.present)) continue
    try {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const why = await reasonToKeep(asker, entry, options)
      if (why !== null) {
        kept.push({ entry, why })
        continue
      }
      // Nobody holds it: a token that is shown is for something else.
      // oxlint-disable-next-line no-await-in-loop -- as above
      if (really) removed.push(await removeWorktree({ ...asker, env: {} }, entry, options))
      going.push(entry)
    } catch (error) {
      if (!isFault(error)) throw error
      kept.push({ entry, why: error.message })
    }
  }
  const left = (await listEntries(repository, options.env)).filter(({ path }) => !going.some(entry => entry.path === path))
  const marks = mendMarks(left, workspace, await workspace.coordinator.view(), really)
  return { going, removed, kept, cleared, marks }
}

/** Where the directory above is missing as well, a disk may not be mounted: what is on it would lose its index, and never be found again. */
function awayWith({ path, present, gitDir }: Entry): string | null {
  if (present || removalOf(gitDir) !== null || existsSync(dirname(path))) return null
  return `${dirname(path)} is missing as well: perhaps a disk that is not mounted; if it is gone for good: lh worktree remove ${shellWord(path)}`
}

async function reasonToKeep(asker: Asker, entry: Entry, options: RemoveOptions): Promise<string | null> {
  const { workspace } = asker
  if (entry.gitDir === workspace.repository.gitDir) return 'this command runs in it'
  const view = await workspace.coordinator.view()
  if (!isUnheld(entry, workspace, view)) return 'it is held'
  refuseAlways(workspace.repository, entry)
  const away = awayWith(entry)
  if (away !== null) return away
  if (removalOf(entry.gitDir)?.verified === true) return null
  refuseLoss(entry, await stateOf(workspace.repository, entry, options.env), options.salvage)
  return null
}
