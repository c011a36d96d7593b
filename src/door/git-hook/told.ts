import type { Judgement } from '../../service/enforce/commit-check.ts'
import type { Hook } from './hook.ts'

/** More of one kind than this is no longer read. */
const shown = 5

/** Says what was found, and whether Git may go on. `undo`: what takes back what Git has changed all the same. */
export function told({ say }: Pick<Hook, 'say'>, { refusals, warnings }: Judgement, what: 'commit' | 'push', undo?: string): boolean {
  for (const warning of warnings.slice(0, shown)) say(`warning: ${warning}`)
  if (warnings.length > shown) say(`warning: and ${warnings.length - shown} more`)
  for (const { message, hint } of refusals.slice(0, shown)) say(`${message}\n    ${hint}`)
  if (refusals.length > shown) say(`and ${refusals.length - shown} more`)
  if (refusals.length > 0)
    say(`the ${what} is refused; ${undo === undefined ? 'nothing was changed' : `to take back what is staged: ${undo}`}`)
  return refusals.length === 0
}
