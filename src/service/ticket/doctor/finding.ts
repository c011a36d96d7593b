import type { Finding, Severity } from '../../../store/maintenance.ts'

/** Names of what can be wrong with tickets. They are stable: scripts look for them. */
export type Code =
  // The directory.
  | 'bad-directory'
  | 'stray-file'
  | 'leftover'
  | 'symlink'
  | 'unreadable'
  | 'not-utf8'
  | 'no-ticket-file'
  // The front matter.
  | 'no-front-matter'
  | 'bad-yaml'
  | 'conflict-markers'
  | 'duplicate-key'
  | 'missing-id'
  | 'missing-field'
  | 'id-mismatch'
  | 'wrong-type'
  | 'bad-time'
  | 'unknown-state'
  | 'unknown-status'
  | 'unknown-priority'
  // Several tickets together.
  | 'duplicate-id'
  | 'duplicate-slug'
  | 'dependency-unknown'
  | 'dependency-self'
  | 'dependency-doubled'
  | 'dependency-abbreviated'
  | 'dependency-cycle'
  // The end of the work.
  | 'closed-not-done'
  | 'closed-without-resolution'
  | 'done-dependency-open'
  | 'done-gate-open'
  // Gates.
  | 'gate-unknown'
  | 'gate-definition-broken'
  | 'gate-event-stray'
  // The events.
  | 'events-missing'
  | 'events-malformed'
  | 'events-doubled'
  | 'events-conflict-markers'
  | 'events-no-newline'
  | 'events-out-of-order'
  | 'edited-without-event'
  // The log.
  | 'started-half'
  | 'done-half'
  | 'claim-on-missing-ticket'
  | 'claim-on-closed-ticket'
  | 'claim-worktree-gone'
  | 'assignee-without-claim'
  // Around them.
  | 'attributes-missing'
  | 'events-ignored'
  | 'base-unreadable'
  | 'not-fixed'

/** How something is mended without losing anything: another text for the file, or away with it. */
export type Mend = { readonly kind: 'edit'; readonly edit: (text: string) => string } | { readonly kind: 'remove' }

/** A finding, and how `--fix` mends it where that is safe. */
export interface Diagnosis extends Finding {
  readonly code: Code
  readonly mend: Mend | null
}

/** Says that something is wrong: with what (a path from the top of the worktree), where, why and what to do. */
export type Say = (
  code: Code,
  place: { readonly file: string | null; readonly line?: number | null },
  message: string,
  fix: string,
  mend?: Mend,
) => Diagnosis

const sayer =
  (severity: Severity): Say =>
  (code, { file, line = null }, message, fix, mend) => ({ severity, code, file, line, message, fix, mend: mend ?? null })

export const error = sayer('error')
export const warning = sayer('warning')
export const info = sayer('info')

/** What goes on the wire. */
export const findingOf = ({ severity, code, file, line, message, fix }: Diagnosis): Finding => ({
  severity,
  code,
  file,
  line,
  message,
  fix,
})
