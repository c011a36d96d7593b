import { realpathSync } from 'node:fs'
import { usage } from '../../../core/fault.ts'
import { Coordinator } from '../../../coordinator.ts'
import { runCanary } from '../../../service/hooks/git/canary.ts'
import { planInstall } from '../../../service/hooks/git/install.ts'
import type { HookLayout } from '../../../service/hooks/git/layout.ts'
import { hookLayout } from '../../../service/hooks/git/layout.ts'
import type { Plan } from '../../../service/hooks/git/plan.ts'
import { apply, diffOf } from '../../../service/hooks/git/plan.ts'
import type { HookState } from '../../../service/hooks/git/status.ts'
import { hooksStatus } from '../../../service/hooks/git/status.ts'
import { planUninstall } from '../../../service/hooks/git/uninstall.ts'
import { agentNames } from '../../../service/hooks/agent/names.ts'
import { canaryStore, defaultPolicy, repositoryOf } from '../../../service/hooks/git/setting.ts'
import { openFileStore } from '../../../store/open.ts'
import type { Context, Run } from '../command.ts'
import { switchOption } from '../command.ts'
import { columns, paint, printable, printableLine } from '../text.ts'

/** Is it about the hooks of an agent (or, without a name, of all), and not of Git? */
const isForAgent = ({ positionals: [kind] }: Context): boolean => kind !== 'git'

/** For whom an option means something. */
const meantFor: Readonly<Record<string, readonly string[]>> = {
  project: agentNames,
  plugin: ['claude'],
  beside: ['copilot', 'cursor'],
  'pre-receive': ['git'],
  // The others are not run: no way is known to do that without an account.
  client: ['claude', 'codex', 'gemini'],
}

/** Throws `usage` for an option that would change nothing for what is named; without a name all agents are meant. */
function refuseMeaningless({ options, positionals: [kind] }: Context): void {
  for (const [option, kinds] of Object.entries(meantFor))
    if (options[option] !== undefined && kind !== undefined && !kinds.includes(kind))
      throw usage(`--${option} changes nothing for ${kind}`, `it is for ${kinds.join(', ')}`)
}

function layoutOf(context: Context): HookLayout {
  return hookLayout(repositoryOf(context.directory, context.env), context.env)
}

/** `lh hooks install git` */
export const install: Run = async context => {
  refuseMeaningless(context)
  if (isForAgent(context)) return (await import('./agent-hooks.ts')).install(context)
  const layout = layoutOf(context)
  // As the scripts will name it: the loader beside this file's chunk, and the Node that runs it.
  const installation = { node: process.execPath, main: realpathSync(process.argv[1]!) }
  const preReceive = switchOption(context, 'pre-receive')
  const plan = planInstall(layout, installation, { preReceive })
  const next = preReceive
    ? 'it lets everything pass until it is told where the leases are, on this machine: git config leasehold.store file:///…'
    : 'to see that they work: lh hooks test git'
  return carryOut(context, layout, plan, [`the hooks are installed; ${next}`, 'the hooks are installed already'])
}

/** `lh hooks uninstall git` */
export const uninstall: Run = async context => {
  refuseMeaningless(context)
  if (isForAgent(context)) return (await import('./agent-hooks.ts')).uninstall(context)
  const layout = layoutOf(context)
  return carryOut(context, layout, planUninstall(layout), ['the hooks are taken out', 'there is nothing of ours to take out'])
}

async function carryOut(context: Context, layout: HookLayout, plan: Plan, [done, nothing]: readonly [string, string]): Promise<number> {
  const { output } = context
  const dryRun = switchOption(context, 'dry-run')
  const diff = await diffOf(plan)
  if (!dryRun)
    apply(
      plan,
      `Let this process write there. In a sandboxed agent, allow it (Codex: writable_roots = ["${layout.repository.commonDir}"]).`,
    )
  if (!output.json) for (const note of plan.notes) output.warn(note)
  const changes = plan.changes.map(change => ({
    kind: change.kind,
    path: change.path,
    ...(change.kind === 'move' ? { to: change.to } : {}),
  }))
  const last = plan.changes.length === 0 ? nothing : dryRun ? 'nothing was changed: --dry-run' : done
  output.answer({ ok: true, directory: layout.directory, changes, count: changes.length, dry_run: dryRun, notes: plan.notes }, [
    ...diff.map(printableLine),
    ...(diff.length === 0 ? [] : ['']),
    last,
  ])
  return 0
}

const policyExit = 8

/** `lh hooks status git` */
export const status: Run = async context => {
  refuseMeaningless(context)
  if (isForAgent(context)) return (await import('./agent-hooks.ts')).status(context)
  const layout = layoutOf(context)
  const { hooks, warnings } = hooksStatus(layout)
  const broken = hooks.filter(({ installed, fires }) => installed && !fires)
  const partly = hooks.some(({ installed }) => installed) && hooks.some(({ installed }) => !installed)
  const ok = broken.length === 0 && !partly
  const document = { directory: layout.directory, hooks_path: layout.hooksPath, hooks: hooks.map(onWire), count: hooks.length, warnings }
  const lines = hooks.map(({ hook, installed, fires, file, via, chained, problem }) => [
    hook,
    paint(
      context.output.colour,
      fires ? 'green' : installed ? 'red' : 'dim',
      fires ? 'fires' : installed ? 'does not fire' : 'not installed',
    ),
    [file ?? '', via === null || via === 'git' ? '' : `through ${via}`, chained === null ? '' : `after ${chained}`, problem ?? '']
      .filter(text => text !== '')
      .map(printable)
      .join('; '),
  ])
  const message = broken.length > 0 ? `${broken.length} of the hooks would not fire` : 'some of the hooks are not installed'
  context.output.answer(ok ? { ok, ...document } : { ok, error: errorPart(message, putRight), ...document }, [
    ...columns(lines),
    ...(ok ? [] : [`${message}; ${putRight}`]),
    ...warnings.map(text => `warning: ${printable(text)}`),
  ])
  return ok ? 0 : policyExit
}

const onWire = ({ hook, installed, fires, file, via, chained, problem }: HookState) => ({
  hook,
  installed,
  fires,
  file,
  via,
  chained,
  problem,
})

const putRight = 'to put them right: lh hooks install git'

const errorPart = (message: string, hint: string) => ({ code: 'policy', exit: policyExit, message, hint })

/** `lh hooks test git` */
export const test: Run = async context => {
  refuseMeaningless(context)
  if (isForAgent(context)) return (await import('./agent-hooks.ts')).test(context)
  const layout = layoutOf(context)
  if (layout.repository.root === null)
    throw usage(
      'a bare repository cannot be tested: its pre-receive judges what is pushed to it',
      'push something that must be refused, from a clone',
    )
  const steps = await runCanary(layout, directory => {
    const store = openFileStore(canaryStore(directory))
    return { coordinator: new Coordinator(store, defaultPolicy, `canary/${process.pid}`), close: () => store.close() }
  })
  const failed = steps.filter(({ ok }) => !ok)
  const ok = failed.length === 0
  const document = { steps: steps.map(({ step, ok, said }) => ({ step, ok, said })), count: steps.length }
  const lines = steps.map(
    ({ step, ok, said }) =>
      `${paint(context.output.colour, ok ? 'green' : 'red', ok ? 'ok' : 'NO')}  ${step}${said === null ? '' : `: ${printable(said)}`}`,
  )
  const [message, hint] = !hooksStatus(layout).hooks.some(({ installed }) => installed)
    ? ['no hooks are installed here', 'to install them: lh hooks install git']
    : failed.some(({ wentOn }) => wentOn)
      ? ['a hook let pass what it has to refuse', 'see: lh hooks status git']
      : [
          'something else stopped Git before our hooks could refuse, so nothing is proven',
          'mend what it says, then again: lh hooks test git',
        ]
  context.output.answer(
    ok ? { ok, ...document } : { ok, error: errorPart(message, hint), ...document },
    ok ? lines : [...lines, `${message}; ${hint}`],
  )
  return ok ? 0 : policyExit
}
