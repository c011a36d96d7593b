import { usage } from '../../../core/fault.ts'
import type { Profile } from '../evidence.ts'

/** Not there yet. */
export const qwen: Profile = {
  name: 'qwen',
  prepare() {
    throw usage('the profile qwen is not there yet')
  },
  resumable: () => null,
}
