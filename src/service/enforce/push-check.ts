import { isFault } from '../../core/fault.ts'
import type { Workspace } from '../claim/workspace.ts'
import type { HookSetting, Judgement } from './commit-check.ts'
import { at, configuredLevel, nothing } from './commit-check.ts'
import type { Objection } from './commit.ts'
import { branchIn, commitsHere, newTrios } from './git-facts.ts'
import type { PushedRef } from './git-facts.ts'
import type { Level } from '../config/enforce-level.ts'
import { chronicleOf } from './ownership.ts'
import type { PushedTrio } from './push.ts'
import { judgePush, wordLost } from './push.ts'

/** A push as a hook sees it. */
export interface Push extends HookSetting {
  readonly refs: readonly PushedRef[]
  /** Arguments for Git that name what the other side has. */
  readonly known: readonly string[]
}

/** May these commits go to the remote? */
export async function checkPush({ workspace, cwd, env, refs, known }: Push): Promise<Judgement> {
  const levels = new Map(refs.map(({ ref }) => [ref, configuredLevel(workspace, branchIn(ref))]))
  if ([...levels.values()].every(level => level === 'off')) return nothing
  const here = commitsHere(cwd, env, [...new Set(refs.flatMap(({ newId, oldId }) => [newId, oldId]))])
  const old = [...new Set(refs.map(({ oldId }) => oldId))].filter(id => here.has(id))
  const triosOf = (level: Level): readonly PushedTrio[] => {
    const ids = refs.filter(({ ref, newId }) => levels.get(ref) === level && here.has(newId)).map(({ newId }) => newId)
    return newTrios(cwd, env, [...new Set(ids)], old, known)
  }
  const [strict, warn] = [triosOf('strict'), triosOf('warn')]
  // Nobody claims to have worked under a lease: then no store need be asked.
  if (strict.length + warn.length === 0) return nothing
  const carried = [...strict, ...warn, ...triosOf('off')]
  try {
    return await judgeTrios(workspace, strict, warn, carried)
  } catch (error) {
    if (!isFault(error) || error.code !== 'unavailable') throw error
    return at(strict.length > 0 ? 'strict' : 'warn', [unavailable(error.message, error.hint)], [])
  }
}

/** What is said when the log cannot be read. */
export const unavailable = (message: string, hint: string | undefined): Objection => ({
  message: `nobody can tell whether this work is still its pusher’s: ${message}`,
  hint: hint === undefined || hint === '' ? 'see: lh doctor' : hint,
})

async function judgeTrios(
  workspace: Workspace,
  strict: readonly PushedTrio[],
  warn: readonly PushedTrio[],
  carried: readonly PushedTrio[],
): Promise<Judgement> {
  const view = await workspace.coordinator.view()
  if (view.doubt !== undefined) throw view.doubt
  // What is still current needs no look at the log.
  const isOpen = ({ ticket, leaseId }: PushedTrio): boolean => view.lease(`ticket:${ticket}`)?.leaseId !== leaseId
  const open = new Set(carried.filter(isOpen).map(({ ticket }) => `ticket:${ticket}`))
  for (const trio of carried) if (!isOpen(trio)) open.delete(`ticket:${trio.ticket}`)
  if (open.size === 0) return nothing
  const log = await chronicleOf(workspace.store.history(), open)
  const isAsked = ({ ticket }: PushedTrio): boolean => open.has(`ticket:${ticket}`)
  const judged = [strict, warn].map(trios => judgePush(trios.filter(isAsked), carried, log))
  const [refused, warned] = judged.map(({ lost }) => lost.map(work => wordLost(work, view.now.wall)))
  const unknown = [...new Set(judged.flatMap(verdict => verdict.unknown.map(({ ticket }) => ticket)))]
  const allowed = judged.flatMap(verdict => verdict.allowed.map(({ ticket, trio }) => `${ticket} (token ${trio.token})`))
  return {
    refusals: refused ?? [],
    warnings: [
      ...(warned ?? []).map(({ message, hint }) => `${message}; ${hint}`),
      ...(unknown.length === 0 ? [] : [`this log does not know the leases that these commits name, so they pass: ${shortened(unknown)}`]),
      ...(allowed.length === 0 ? [] : [`let through by somebody’s word, as the log says: ${shortened(allowed)}`]),
    ],
  }
}

const shortened = (names: readonly string[]): string =>
  names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`
