import { existsSync } from 'node:fs'
import { policy } from '../../core/fault.ts'
import type { Reservation } from '../../core/refusal.ts'
import type { Session } from '../../core/session.ts'
import { shellWord } from '../../core/shell-word.ts'
import { claimsOf, openingOf, sessionStanding } from '../../core/standing.ts'
import { findRepository } from '../../host/git.ts'
import type { Reading } from '../../store/store.ts'
import { orThrow } from '../claim/answer.ts'
import { readWorktree } from '../identity/worktree.ts'

/**
 * Throws `held` for a session whose agent works and `policy` for one that cannot be opened again, before anybody is asked how: what was
 * answered would be refused all the same.
 */
export function refuseUnlessRestorable(session: Session, view: Reading): void {
  const standing = sessionStanding(session, claimsOf(session, view)[0] ?? null, view)
  if (standing === 'restorable') return
  const refusal = { kind: 'session-is', session, standing, wanted: 'restorable' } as const
  orThrow({ ok: false, refusal, opId: '', now: view.now, lastSeq: view.lastSeq })
}

/** That the worktree of a session is gone, in words; null while it is there. */
export const placeGone = ({ cwd, worktreeId }: Session): string | null =>
  worktreeAt(cwd) === worktreeId
    ? null
    : `worked in ${cwd}, and ${existsSync(cwd) ? `what is there now is not its worktree (${worktreeId})` : 'that is gone'}`

/**
 * Throws `policy` where the worktree of a session is gone. Whatever lies in its place, an agent that is started there works in another one,
 * and holds nothing there.
 */
export function refuseElsewhere(session: Session): void {
  const { name } = session
  const gone = placeGone(session)
  if (gone === null) return
  throw policy(`session ${name} ${gone}`, `restore it, or end the session, which frees its claim: lh session end ${shellWord(name)}`)
}

function worktreeAt(directory: string): string | null {
  try {
    return readWorktree(findRepository(directory, {})).worktreeId
  } catch {
    return null
  }
}

/** Throws `held`, with the process to be stopped, for a session whose agent is being started again: to end it now would kill that agent. */
export function refuseWhileOpened(session: Session, view: Reading): void {
  const reservation = openingNow(session, view)
  if (reservation === null) return
  orThrow({ ok: false, refusal: { kind: 'opening', session, reservation }, opId: '', now: view.now, lastSeq: view.lastSeq })
}

/** The start of a session's agent that is in flight. One that works has none: its lock may be seen a moment longer than it is held. */
export const openingNow = (session: Session, view: Reading): Reservation | null =>
  sessionStanding(session, claimsOf(session, view)[0] ?? null, view) === 'live' ? null : openingOf(session, view)
