import { usage } from '../../../core/fault.ts'
import type { Profile } from '../evidence.ts'

/** Not there yet. */
export const codex: Profile = {
  name: 'codex',
  prepare() {
    throw usage('the profile codex is not there yet')
  },
  resumable: () => null,
}
