import type { Fault } from '../../../core/fault.ts'
import { shellWord } from '../../../core/shell-word.ts'
import { usage } from '../../../core/fault.ts'
import { knownKey, nowhere } from '../../../service/config/layers.ts'
import { setConfig } from '../../../service/config/edit.ts'
import { lookAtConfig, lookAtUserConfig } from '../../../service/config/look.ts'
import { durationKeys, keys, settings } from '../../../service/config/schema.ts'
import type { Key, Values } from '../../../service/config/schema.ts'
import { openMaintenance } from '../../../store/open.ts'
import type { Context, Run } from '../command.ts'
import { switchOption } from '../command.ts'
import { openWorkspace } from '../open.ts'
import { columns, paint, printable } from '../text.ts'

// Whoever looks at the settings or mends them needs no store, and is not stopped by what is wrong with others of them.

/** A setting's value on the wire: durations are seconds there. */
const wireValue = (key: Key, value: Values[Key]): Values[Key] => (durationKeys.has(key) && typeof value === 'number' ? value / 1000 : value)

/** The settings that hold, and what is wrong with others as warnings. */
async function lookAt(context: Context) {
  const { config } = await lookAtConfig(context.directory, context.env)
  return { config, warnings: warned(context, config.faults) }
}

function warned(context: Context, faults: readonly Fault[]): { readonly warnings?: readonly string[] } {
  const warnings = faults.map(({ message, hint }) => (hint === undefined ? message : `${message} ${hint}`))
  for (const warning of warnings) context.output.warn(warning)
  return warnings.length === 0 ? {} : { warnings }
}

/** `lh config list` */
export const list: Run = async context => {
  const { config, warnings } = await lookAt(context)
  const found = keys.map(key => {
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
  const rows = found.map(({ key, text, origin }) => [key, printable(text ?? '-'), origin])
  context.output.answer(
    { ok: true, settings: found, count: found.length, ...warnings },
    columns(rows, (text, _row, column) => (column === 2 ? paint(context.output.colour, 'dim', text) : text)),
  )
  return 0
}

/** `lh config get` */
export const get: Run = async context => {
  const key = knownKey(context.positionals[0]!, 'config get')
  const { config, warnings } = await lookAt(context)
  const { text, value, origin } = config.explain(key)
  context.output.answer({ ok: true, key, value: wireValue(key, value), text, origin, ...warnings }, [printable(text ?? '')])
  return 0
}

/** `lh config explain` */
export const explain: Run = async context => {
  const key = knownKey(context.positionals[0]!, 'config explain')
  const { config, warnings } = await lookAt(context)
  const found = config.explain(key)
  context.output.answer({ ok: true, ...found, value: wireValue(found.key, found.value), ...warnings }, [
    `${paint(context.output.colour, 'bold', found.key)} = ${printable(found.text ?? '(not set)')}`,
    `  ${found.doc}`,
    `  from ${found.origin}${found.file === undefined ? '' : ` ${found.file}${found.line === undefined ? '' : `:${found.line}`}`}; default ${found.default ?? 'none'}; environment ${found.variable}`,
    ...found.shadowed.map(
      ({ origin, text, file }) => `  hides ${printable(text ?? 'nothing')} from ${origin}${file === undefined ? '' : ` ${file}`}`,
    ),
  ])
  return 0
}

/** `lh config set` */
export const set: Run = async context => {
  const [key, value] = context.positionals as readonly [string, string]
  const user = switchOption(context, 'user')
  if (user && key.startsWith('max_indefinite_'))
    throw usage(
      `${key} belongs to the repository: all who share its leases share it`,
      `leave --user out: lh config set ${key} ${shellWord(value)}`,
    )
  const { repository, config } = await (user ? lookAtUserConfig : lookAtConfig)(context.directory, context.env)
  if (key === 'store' && repository !== nowhere) await refuseOtherStore(context, value)
  const isLimit = key === 'max_indefinite_leases_per_agent' || key === 'max_indefinite_leases_per_repo'
  // The limits stand in the store as well, which is opened before anything is written; a configuration that is wrong has to be mended first.
  const workspace = isLimit && config.faults.length === 0 ? await openWorkspace(context) : null
  // A place without the repository's leases refuses the limit below, and the file would name it all the same.
  if (workspace?.config.get('store').startsWith('file:') === true) await workspace.store.view([])
  const done = setConfig(repository, key, value, { user, env: context.env })
  if (isLimit) await (await openMaintenance((workspace ?? (await openWorkspace(context))).store)).setLimits({ [key]: Number(value) })
  const hidden = await hiddenBy(context, done.key, user)
  const warnings = [...(warned(context, done.faults).warnings ?? []), ...hidden]
  context.output.answer(
    {
      ok: true,
      key: done.key,
      value,
      previous: done.previous,
      file: done.file,
      ...(warnings.length === 0 ? {} : { warnings }),
    },
    [printable(`${done.key} = ${value}   in ${done.file}${done.previous === null ? '' : ` (was ${done.previous})`}`)],
  )
  for (const each of hidden) context.output.note(printable(each))
  return 0
}

/** What a stronger layer says instead: then the setting stands in its file, and changes nothing here. */
async function hiddenBy(context: Context, key: Key, user: boolean): Promise<readonly string[]> {
  const { config } = await (user ? lookAtUserConfig : lookAtConfig)(context.directory, context.env)
  const { origin, text, file } = config.explain(key)
  if (origin === (user ? 'user file' : 'repository file')) return []
  const place = file === undefined ? origin : `${origin} ${file}`
  return [`here ${key} stays ${text}: so says the ${place}, which counts for more; see: lh config explain ${key}`]
}

/** Leases that are somewhere else do not come along with a setting; opening the store as commands will from then on tells. */
async function refuseOtherStore(context: Context, value: string): Promise<void> {
  const store = settings.store.parse(value.trim(), 'store')
  const workspace = await openWorkspace(context, { flags: { store }, faultyConfig: true })
  try {
    if (store === 'file:') await workspace.store.view([])
  } finally {
    workspace.store.close()
  }
}
