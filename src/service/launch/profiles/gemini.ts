import { usage } from '../../../core/fault.ts'
import type { Profile } from '../evidence.ts'

/** Not there yet. */
export const gemini: Profile = {
  name: 'gemini',
  prepare() {
    throw usage('the profile gemini is not there yet')
  },
  resumable: () => null,
}
