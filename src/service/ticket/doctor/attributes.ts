import { join } from 'node:path'
import { maxTicketBytes, readRegular } from '../files.ts'
import type { Diagnosis } from './finding.ts'
import { warning } from './finding.ts'

const file = '.gitattributes'

/** The line that lets two branches add events without a conflict. */
const line = '.leasehold/tickets/*/events.jsonl merge=union'
const present = /^[^#\s]*events\.jsonl\s(?:.*\s)?merge=union(?:\s|$)/m

/** Is Git told how to merge events? */
export function* attributeFaults(root: string): Generator<Diagnosis> {
  const found = readRegular(join(root, file), maxTicketBytes)
  if (typeof found !== 'string' && present.test(found.toString('utf8'))) return
  yield warning(
    'attributes-missing',
    { file, line: found === 'missing' ? null : 1 },
    'Git is not told to keep both sides when two branches add events: each merge will be a conflict',
    `lh ticket doctor --fix adds: ${line}`,
    found === 'missing' || typeof found !== 'string' ? { kind: 'edit', edit: added } : undefined,
  )
}

const added = (text: string): string => `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`
