import { usage } from '../../../core/fault.ts'
import type { Profile } from '../evidence.ts'

/** Not there yet. */
export const claude: Profile = {
  name: 'claude',
  prepare() {
    throw usage('the profile claude is not there yet')
  },
  resumable: () => null,
}
