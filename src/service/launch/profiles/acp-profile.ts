import { usage } from '../../../core/fault.ts'
import type { Profile } from '../evidence.ts'

/** Not there yet. */
export const acp: Profile = {
  name: 'acp',
  prepare() {
    throw usage('the profile acp is not there yet')
  },
  resumable: () => null,
}
