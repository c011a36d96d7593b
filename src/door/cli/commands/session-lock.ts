import { usage } from '../../../core/fault.ts'
import type { Wire } from '../../../core/wire.ts'
import { recordRelease } from '../../../service/session-lock/record-release.ts'
import { explainLock, releaseByForce, workspaceNamed, type Takers } from '../../../service/session-lock/report.ts'
import { hookSettings } from '../../../service/session-lock/settings.ts'
import { targetsOf } from '../../../service/session-lock/workspaces.ts'
import { hook } from '../../agent-hook/main.ts'
import type { Context, Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import { elsewhere, openWorkspace } from '../open.ts'
import { lockInWords, paint, paintStanding, printable } from '../text.ts'
import { reasonOption } from '../claiming.ts'

/** `lh session-lock status` */
export const status: Run = async context => explain(context, context.positionals[0] ?? '.')

/** `lh why workspace:…` */
export const why: Run = async context => explain(context, context.positionals[0]!)

async function explain(context: Context, named: string): Promise<number> {
  const root = workspaceNamed(named, context.directory)
  const document = explainLock(root, context.env, await takersOf(context, root))
  const { colour } = context.output
  const lock = document['session_lock'] as Wire | null
  context.output.answer(document, [
    `${paint(colour, 'bold', printable(String(document['resource'])))} is ${paintStanding(colour, String(document['standing']))}`,
    ...(lock === null ? [] : [`  held by   ${lockInWords(lock)}, since ${String(lock['since'])}`]),
    ...(document['evidence'] as readonly string[]).map((fact, at) => `${at === 0 ? '  evidence  ' : '            '}${printable(fact)}`),
    `  frees     ${String(document['frees_when'])}`,
    `  next      ${printable(String(document['next']))}`,
  ])
  return 0
}

async function takersOf(context: Context, root: string): Promise<Takers> {
  const [target] = targetsOf([], root, true)
  const { enabled } = await hookSettings(target?.repository ?? null, context.env)
  return { enabled, hooks: await (await import('./agent-hooks.ts')).areHooksWired({ ...context, directory: root }) }
}

/** `lh session-lock release --force` */
export const release: Run = async context => {
  const reason = reasonOption(context)
  if (!switchOption(context, 'force')) {
    throw usage(
      'a session gives its lock back by itself; to end another session’s, say --force',
      'lh session-lock release --force --reason "…"',
    )
  }
  if (reason === undefined) throw usage('a forced release needs --reason', 'add --reason "…"; it is kept with your name')
  const root = workspaceNamed(context.positionals[0] ?? '.', context.directory)
  // Outside Git, or where nobody has said who they are, there is no log, and the lock can still be freed.
  const workspace = await openWorkspace(elsewhere(context, root)).catch(() => null)
  const caller = workspace === null ? null : await workspace.caller(undefined).catch(() => null)
  const actor = caller?.holder.agentId ?? textOption(context, 'agent') ?? `human:${context.env['USER'] ?? 'unknown'}`
  const { document, previous } = releaseByForce(root, context.env, actor, reason)
  let recorded = 'hook-log'
  if (workspace !== null && caller !== null) {
    try {
      await recordRelease(workspace, caller, root, previous, reason)
      recorded = 'log'
    } catch (error) {
      context.output.warn(`it is noted in the hooks' log only: ${(error as Error).message}`)
    }
  }
  context.output.answer({ ...document, recorded }, [
    `released the lock of ${printable(root)}, held by ${lockInWords(document['released'] as Wire)}; recorded in ${recorded === 'log' ? 'the log' : "the hooks' log"}`,
  ])
  return 0
}

/** `lh hook`, where it is not the first word. */
export const hookHere: Run = async context => {
  const client = textOption(context, 'agent')
  return hook([...context.positionals, ...(client === undefined ? [] : ['--agent', client])], context.env)
}
