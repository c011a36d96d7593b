import { usage } from '../../../core/fault.ts'
import type { Profile } from '../evidence.ts'

/** Not there yet. */
export const command: Profile = {
  name: 'command',
  prepare() {
    throw usage('the profile command is not there yet')
  },
  resumable: () => null,
}
