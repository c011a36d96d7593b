import type { Entry } from '../../core/operation.ts'
import { endedBy, isOwnership } from '../../core/operation.ts'
import type { Wire } from '../../core/wire.ts'
import { entryFromWire } from '../../core/wire.ts'

/** Grants and ends that are told one by one; more are only counted. */
const maxNamed = 8

/** What would be lost with the end of a log. */
export interface Loss {
  /** For people; without a full stop. */
  readonly sentence: string
  /** For machines. */
  readonly details: Wire
}

/** Reads what can still be read of bytes that are to be cut, believing nothing: only to say what they were. */
export function describeLoss(bytes: Buffer): Loss {
  const lines = bytes.toString('utf8').split('\n').slice(0, -1)
  const entries = lines.map(guess).filter(entry => entry !== null)
  const numbers = entries.map(({ seq }) => seq).filter(Number.isSafeInteger)
  const grants: string[] = []
  const ends: string[] = []
  for (const { operation } of entries) {
    if (isOwnership(operation)) for (const resource of operation.resources) grants.push(`${resource} to ${operation.holder.agentId}`)
    else if (endedBy(operation) !== null && 'resources' in operation) ends.push(...operation.resources)
  }
  const [first, last] = numbers.length === 0 ? [null, null] : [Math.min(...numbers), Math.max(...numbers)]
  const range = first === null ? '' : ` (records ${first} to ${last}${entries.length < lines.length ? ', as far as they can be read' : ''})`
  const parts = [`${lines.length} lines${range}`, ...named('the grant of', grants), ...named('the end of', ends)]
  return {
    sentence: parts.join(', '),
    details: {
      cut_lines: lines.length,
      cut_bytes: bytes.length,
      cut_first_seq: first,
      cut_last_seq: last,
      cut_grants: grants.slice(0, 100),
      cut_ends: ends.slice(0, 100),
    },
  }
}

function named(what: string, all: readonly string[]): readonly string[] {
  if (all.length === 0) return []
  const more = all.length > maxNamed ? ` and ${all.length - maxNamed} more` : ''
  return [`${what} ${all.slice(0, maxNamed).join(', ')}${more}`]
}

/** The record that a line seems to be. */
function guess(line: string): Entry | null {
  try {
    const record = JSON.parse(line)
    const entry = entryFromWire(record)
    return entry !== null && (!('resources' in entry.operation) || entry.operation.resources.every(each => typeof each === 'string'))
      ? entry
      : null
  } catch {
    return null
  }
}
