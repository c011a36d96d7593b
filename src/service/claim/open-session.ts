import { resumeCommand } from '../../core/session.ts'
import type { Session, SessionStanding } from '../../core/session.ts'

/** What a session is called where it is shown: facts first, and one that is over is over. */
export type ShownStanding = 'live' | 'restorable' | 'stale' | 'dead' | 'ended'

export const shownStanding = (standing: SessionStanding): ShownStanding => (standing === 'gone' ? 'dead' : standing)

/** The command that opens a session again, ends it, or says where it works; null when it is over. */
export function openCommand(session: Pick<Session, 'name' | 'profile'>, standing: ShownStanding): string | null {
  const { name } = session
  switch (standing) {
    case 'live':
      return `lh session show ${name}`
    case 'restorable':
      return resumeCommand(session)
    case 'stale':
      return `lh session reclaim ${name} --reason "…"`
    case 'dead':
      return `lh session end ${name}`
    case 'ended':
      return null
  }
}
