import { usage } from '../../../core/fault.ts'
import { suggest } from '../../../service/config/schema.ts'
import { catalogue } from '../../../service/schema/catalogue.ts'
import type { Run } from '../command.ts'
import { columns } from '../text.ts'

/** `lh schema`: the names, or one schema. Needs no repository. */
export const schema: Run = async context => {
  const [name] = context.positionals
  if (name === undefined) {
    const schemas = catalogue.map(({ name, title }) => ({ name, title }))
    context.output.answer({ ok: true, schemas, count: schemas.length }, columns(schemas.map(({ name, title }) => [name, title])))
    return 0
  }
  const found = catalogue.find(published => published.name === name)
  if (found === undefined) throw unknownName(name)
  context.output.answer({ ok: true, name, schema: found.schema }, [JSON.stringify(found.schema, null, 2)])
  return 0
}

function unknownName(name: string): Error {
  const near = suggest(
    name,
    catalogue.map(({ name }) => name),
  )
  return usage(`there is no schema "${name}"`, near === null ? 'to see their names: lh schema' : `did you mean ${near}?`)
}
