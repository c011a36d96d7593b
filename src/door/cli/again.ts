import { Fault, isFault } from '../../core/fault.ts'

/**
 * For a command that takes its claims itself. What a refusal says of claiming by hand would stand in its way: a claim is of an agent in a
 * worktree, and such a command makes both. `wait` and `take`: what to type instead, to wait for the claim and to take it again.
 */
export function instead(error: unknown, wait: string, take: string): unknown {
  if (!isFault(error) || error.hint === undefined) return error
  const hint = error.hint
    .replace(/\b(?:wait for it|then): lh claim acquire .* --wait$/, wait)
    .replace(/\bto take it again: lh claim acquire .*$/, take)
  if (hint === error.hint) return error
  return new Fault(error.code, error.message, { hint, ...(error.details && { details: error.details }), cause: error })
}
