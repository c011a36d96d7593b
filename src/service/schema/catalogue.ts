import { answers } from './answers.ts'
import { format, heldFile, record, worktreeFile } from './log.ts'
import { parts } from './parts.ts'
import type { Schema } from './shape.ts'

/** A schema that is published: by `lh schema`, and as a file in `docs/schema/`. */
export interface Published {
  readonly name: string
  /** What it describes, in a few words. */
  readonly title: string
  readonly schema: Schema
}

const files: readonly (readonly [string, string, Schema])[] = [
  ['record', 'a line of the log, claims.jsonl', record],
  ['format', 'the file `format` of a store', format],
  ['worktree-file', 'worktree.json in a worktree’s git directory', worktreeFile],
  ['held-file', 'held.json in a worktree’s git directory', heldFile],
]

/** Every published schema, complete in itself. */
export const catalogue: readonly Published[] = [...answers, ...files].map(([name, title, body]) => ({
  name,
  title,
  schema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:leasehold:schema:1:${name}`,
    title,
    ...body,
    ...definitionsFor(body),
  },
}))

/** The parts that a schema refers to, and those that they refer to. */
function definitionsFor(body: Schema): Schema {
  const found = new Map<string, Schema>()
  const collect = (schema: unknown): void => {
    for (const [, name = ''] of JSON.stringify(schema).matchAll(/"#\/\$defs\/(\w+)"/g)) {
      const part = parts[name]
      if (part === undefined) throw new Error(`no part is named ${name}`)
      if (found.has(name)) continue
      found.set(name, part)
      collect(part)
    }
  }
  collect(body)
  const sorted = [...found].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return sorted.length === 0 ? {} : { $defs: Object.fromEntries(sorted) }
}
