import { Fault } from '../core/fault.ts'
import { shellWord } from '../core/shell-word.ts'
import type { MoveMark } from './move.ts'

/** Does this say where leases are or come from? */
export function isMoveMark(value: unknown): value is MoveMark {
  const { to, from, done, chosen, space } = (value ?? {}) as Record<keyof MoveMark, unknown>
  const isName = (name: unknown): boolean => typeof name === 'string' && /^(?:file|etcds?):/.test(name)
  const isAbsentOr = (type: string, member: unknown): boolean => member === undefined || typeof member === type
  return (
    [to, from].every(name => name === undefined || isName(name)) &&
    (to !== undefined || from !== undefined) &&
    isAbsentOr('boolean', done) &&
    isAbsentOr('boolean', chosen) &&
    isAbsentOr('string', space)
  )
}

/**
 * Throws `unavailable` when the leases are not here: they are at the other end of a move, or on their way. A reader may look while a move
 * from here is under way, for nothing changes meanwhile.
 */
export function refuseMoved(mark: MoveMark | undefined, location: string, isWriting: boolean): void {
  if (mark === undefined) return
  const { to, from, done, chosen } = mark
  const details = { outcome: 'nothing_changed' }
  if (to !== undefined && chosen === true)
    throw new Fault('usage', `this repository's leases are in ${to}, and not in ${location}`, {
      hint: `use them there: lh config set store ${shellWord(to)}   or bring them here: lh store move --to file:`,
      details,
    })
  if (to !== undefined && done === true)
    throw new Fault('unavailable', `the leases of ${location} were moved to ${to}`, {
      hint: `use them there: lh config set store ${shellWord(to)}`,
      details: { ...details, moved_to: to },
    })
  if (to !== undefined && isWriting)
    throw new Fault('unavailable', `the leases of ${location} are being moved to ${to}, and that is not finished`, {
      hint: `try again in a moment; if the move was stopped, finish it: lh store move --to ${shellWord(to)}   or give it up: lh store move --back`,
      details: { ...details, moving_to: to },
    })
  if (from !== undefined)
    throw new Fault('unavailable', `leases are being moved to ${location} from ${from}, and that is not finished`, {
      hint: `finish it where the leases were: lh store move --to …`,
      details,
    })
}
