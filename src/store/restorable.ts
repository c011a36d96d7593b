import type { Session } from '../core/session.ts'
import { presentAt } from '../host/look.ts'
import { hostname } from '../host/process.ts'

/** Can its client open the session again? Only the machine where it ran can see whether the client still has it. */
export function isRestorable({ resume, witness }: Session): boolean {
  if (resume === null) return false
  return resume.stored === null || (witness !== null && witness.host !== hostname()) || presentAt(resume.stored) !== null
}
