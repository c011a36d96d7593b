import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'

// Reads the log's bytes with code of its own, so that a mistake in the store's reader cannot hide one of its writer.

/** A record as far as the check needs it. */
export interface RawRecord {
  readonly op: string
  readonly opId: string | null
  readonly resources: readonly string[]
  /** The token that the record makes or uses. */
  readonly token: number | null
}

export interface Chain {
  readonly segments: number
  /** By sequence number. */
  readonly records: ReadonlyMap<number, RawRecord>
  /** Where sums, links or numbers are wrong; empty when the chain is whole. */
  readonly faults: readonly string[]
}

const checkpointOps = new Set(['segment', 'live', 'past', 'ops'])

/** Checks every line of every segment: its sum, its link to the line before, its number. */
export function readChain(store: string): Chain {
  const records = new Map<number, RawRecord>()
  const faults: string[] = []
  let [prev, seq] = ['0'.repeat(16), 0]
  const files = segmentsOf(store)
  for (const file of files) {
    const text = textOf(file)
    if (text === null) {
      faults.push(`${path.basename(file)} is missing`)
      continue
    }
    const lines = text.split('\n')
    if (lines.pop() !== '') faults.push(`${path.basename(file)} ends in the midst of a line`)
    for (const [index, line] of lines.entries()) {
      const where = `${path.basename(file)}, line ${index + 1}`
      const { record, sum } = opened(line)
      if (record === null) {
        faults.push(`${where}: the checksum is wrong`)
        continue
      }
      if (record['prev'] !== prev) faults.push(`${where}: does not continue the line before it`)
      prev = sum
      const [op, number] = [String(record['op']), Number(record['seq'])]
      // Of a session there are lines in a checkpoint, which have its number, and records.
      if (checkpointOps.has(op) || (op === 'session' && number === seq)) {
        if (number !== seq) faults.push(`${where}: ${op} at ${number} instead of ${seq}`)
        continue
      }
      if (number !== seq + 1 && !(op === 'repair' && number > seq && record['last_good_seq'] === seq))
        faults.push(`${where}: number ${number} follows ${seq}`)
      seq = Math.max(seq, number)
      records.set(number, rawRecord(op, number, record))
    }
  }
  return { segments: files.length, records, faults }
}

function segmentsOf(store: string): readonly string[] {
  const archive = path.join(store, 'archive')
  const archived = existsSync(archive) ? readdirSync(archive).filter(name => /^claims-\d+-\d+\.jsonl$/.test(name)) : []
  return [...archived.sort().map(name => path.join(archive, name)), path.join(store, 'claims.jsonl')]
}

const textOf = (file: string): string | null => (existsSync(file) ? readFileSync(file, 'utf8') : null)

function opened(line: string): { readonly record: Record<string, unknown> | null; readonly sum: string } {
  const match = /^(.*),"sum":"([0-9a-f]{16})"\}$/.exec(line)
  const sum = match?.[2] ?? ''
  if (match === null || createHash('sha256').update(`${match[1]}}`).digest('hex').slice(0, 16) !== sum) return { record: null, sum }
  return { record: JSON.parse(line) as Record<string, unknown>, sum }
}

function rawRecord(op: string, seq: number, record: Record<string, unknown>): RawRecord {
  const { op_id: opId, resource, resources, token, previous_token: previousToken } = record
  return {
    op,
    opId: typeof opId === 'string' ? opId : null,
    resources: Array.isArray(resources) ? (resources as string[]) : typeof resource === 'string' ? [resource] : [],
    token: op === 'acquire' ? seq : typeof token === 'number' ? token : typeof previousToken === 'number' ? previousToken : null,
  }
}
