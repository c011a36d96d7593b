import { usage } from '../../../core/fault.ts'
import { knownKey } from '../../../service/config/layers.ts'
import { setConfig } from '../../../service/config/edit.ts'
import { durationKeys, keys } from '../../../service/config/schema.ts'
import type { Key, Values } from '../../../service/config/schema.ts'
import { openMaintenance } from '../../../store/open.ts'
import type { Run } from '../command.ts'
import { switchOption } from '../command.ts'
import { openWorkspace } from '../open.ts'
import { columns, paint } from '../text.ts'

/** A setting's value on the wire: durations are seconds there. */
const wireValue = (key: Key, value: Values[Key]): Values[Key] => (durationKeys.has(key) && typeof value === 'number' ? value / 1000 : value)

/** `lh config list` */
export const list: Run = async context => {
  const { config } = await openWorkspace(context)
  const settings = keys.map(key => {
    const { text, value, origin, file, line } = config.explain(key)
    return {
      key,
      value: wireValue(key, value),
      text,
      origin,
      ...(file === undefined ? {} : { file }),
      ...(line === undefined ? {} : { line }),
    }
  })
  const rows = settings.map(({ key, text, origin }) => [key, text ?? '-', origin])
  context.output.answer(
    { ok: true, settings, count: settings.length },
    columns(rows, (text, _row, column) => (column === 2 ? paint(context.output.colour, 'dim', text) : text)),
  )
  return 0
}

/** `lh config get` */
export const get: Run = async context => {
  const { config } = await openWorkspace(context)
  const key = knownKey(context.positionals[0]!, `config ${context.spec.path.split(' ')[1]}`)
  const { text, value, origin } = config.explain(key)
  context.output.answer({ ok: true, key, value: wireValue(key, value), text, origin }, [text ?? ''])
  return 0
}

/** `lh config explain` */
export const explain: Run = async context => {
  const { config } = await openWorkspace(context)
  const found = config.explain(knownKey(context.positionals[0]!, `config ${context.spec.path.split(' ')[1]}`))
  context.output.answer({ ok: true, ...found, value: wireValue(found.key, found.value) }, [
    `${paint(context.output.colour, 'bold', found.key)} = ${found.text ?? '(not set)'}`,
    `  ${found.doc}`,
    `  from ${found.origin}${found.file === undefined ? '' : ` ${found.file}${found.line === undefined ? '' : `:${found.line}`}`}; default ${found.default ?? 'none'}; environment ${found.variable}`,
    ...found.shadowed.map(({ origin, text, file }) => `  hides ${text ?? 'nothing'} from ${origin}${file === undefined ? '' : ` ${file}`}`),
  ])
  return 0
}

/** `lh config set` */
export const set: Run = async context => {
  const [key, value] = context.positionals as readonly [string, string]
  const user = switchOption(context, 'user')
  const workspace = await openWorkspace(context)
  if (user && key.startsWith('max_indefinite_'))
    throw usage(`${key} belongs to the repository: all who share its leases share it`, `leave --user out: lh config set ${key} ${value}`)
  const done = setConfig(workspace.repository, key, value, { user, env: context.env })
  if (key === 'max_indefinite_leases_per_agent' || key === 'max_indefinite_leases_per_repo')
    await (await openMaintenance(workspace.store)).setLimits({ [key]: Number(value) })
  context.output.answer({ ok: true, key: done.key, value, previous: done.previous, file: done.file }, [
    `${done.key} = ${value}   in ${done.file}${done.previous === null ? '' : ` (was ${done.previous})`}`,
  ])
  return 0
}
