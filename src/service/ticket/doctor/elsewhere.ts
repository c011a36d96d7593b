import { isFault } from '../../../core/fault.ts'
import type { Catalogue } from '../catalogue.ts'
import type { Diagnosis } from './finding.ts'
import { warning } from './finding.ts'
import type { Elsewhere } from './links.ts'

/**
 * The copies in the main worktree and on the base branch, looked at only when something here asks for them. Where they cannot be read that
 * is said once, and nothing is said of what depends on them.
 */
export function elsewhereIn(catalogue: Catalogue, diagnoses: Diagnosis[]): Elsewhere {
  let told = false
  const failed = (cause: unknown): void => {
    if (told) return
    told = true
    const message = cause instanceof Error ? cause.message : String(cause)
    const fix = isFault(cause) ? cause.hint : undefined
    diagnoses.push(
      warning('base-unreadable', { file: null }, `the tickets of other branches cannot be read: ${message}`, fix ?? 'git fsck'),
    )
  }
  const seen = new Map<string, boolean>()
  let all: readonly string[] | undefined
  return {
    has(id) {
      let there = seen.get(id)
      if (there !== undefined) return there
      try {
        there = catalogue.locate(id) !== null
      } catch (cause) {
        failed(cause)
        there = true
      }
      seen.set(id, there)
      return there
    },
    ids() {
      try {
        return (all ??= catalogue.ids())
      } catch (cause) {
        failed(cause)
        return (all = [])
      }
    },
    async dependsOn(id) {
      try {
        return (await catalogue.read(id)).ticket.dependsOn
      } catch (cause) {
        if (!isFault(cause) || cause.code !== 'not_found') failed(cause)
        return []
      }
    },
    async isDone(id) {
      try {
        return (await catalogue.isDone(id)).done
      } catch (cause) {
        failed(cause)
        return true
      }
    },
  }
}
