import { realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { usage } from '../../../core/fault.ts'
import { loadConfig, nowhere } from '../../../service/config/layers.ts'
import { repositoryAround } from '../../../service/hooks/git/setting.ts'
import type { CanaryReport } from '../../../service/hooks/agent/canary.ts'
import type { Finding, Form, Surroundings } from '../../../service/hooks/agent/client.ts'
import type { AgentName } from '../../../service/hooks/agent/names.ts'
import { agentNames, isAgentName } from '../../../service/hooks/agent/names.ts'
import type { AgentAnswer, AgentRequest } from '../../../service/hooks/agent/service.ts'
import { agentStatus, installAgent, uninstallAgent } from '../../../service/hooks/agent/service.ts'
import type { AgentStatus } from '../../../service/hooks/agent/status.ts'
import type { Context, Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import { paint, printable, printableLine } from '../text.ts'

const policyExit = 8

/** `lh hooks install <agent>` */
export const install: Run = async context => {
  const answer = installAgent(await requestOf(context))
  return print(context, answer, 'is wired', 'is wired already', `to see that a deny denies: lh hooks test ${answer.agent}`)
}

/** `lh hooks uninstall <agent>` */
export const uninstall: Run = async context => {
  const answer = uninstallAgent(await requestOf(context))
  return print(context, answer, 'has no hooks of ours any more', 'has no hooks of ours')
}

function print(context: Context, answer: AgentAnswer, done: string, nothing: string, hint?: string): number {
  const { agent, form, changes, coveredBy, next } = answer
  const dryRun = switchOption(context, 'dry-run')
  const count = changes.filter(({ change }) => change !== 'unchanged').length
  const last =
    coveredBy !== null
      ? `${agent} is wired through ${coveredBy}; nothing was installed beside it`
      : dryRun && count > 0
        ? 'nothing was changed: --dry-run'
        : `${agent} ${count === 0 ? nothing : done}`
  const diffs = changes.flatMap(({ diff }) => (diff === '' ? [] : diff.trimEnd().split('\n')))
  context.output.answer({ ok: true, agent, form, changes, count, covered_by: coveredBy, next, dry_run: dryRun }, [
    ...diffs.map(printableLine),
    ...(diffs.length === 0 ? [] : ['']),
    printable(last),
    ...next.map(step => `- ${printable(step)}`),
    ...(count > 0 && !dryRun && hint !== undefined ? [hint] : []),
  ])
  return 0
}

/** `lh hooks status [<agent>]` */
export const status: Run = async context => {
  const [name] = context.positionals
  const around = await surroundings(context)
  const found = (name === undefined ? agentNames : [agentOf(name)]).map(agent => agentStatus(agent, around))
  const bad = found.filter(({ fires }) => fires === false)
  const document = { agents: found.map(onWire), count: found.length }
  const lines = found.flatMap(each => statusLines(context, each, name !== undefined))
  if (bad.length === 0) {
    context.output.answer({ ok: true, ...document }, lines)
    return 0
  }
  const message = `the hooks of ${bad.map(({ client }) => client.name).join(', ')} would not run as they should`
  const hint = `look at what is said above; to wire it anew: lh hooks install ${bad[0]!.client.name}`
  context.output.answer({ ok: false, error: { code: 'policy', exit: policyExit, message, hint }, ...document }, lines)
  return policyExit
}

const onWire = ({ client, wirings, fires, coveredBy, findings }: AgentStatus) => ({
  agent: client.name,
  installed: wirings.length > 0,
  fires,
  covered_by: coveredBy,
  wirings: wirings.map(({ form, path, state, missing }) => ({ form, path, state, missing })),
  findings: findings.map(({ severity, message, path, line }) => ({ severity, message, path: path ?? null, line: line ?? null })),
})

function statusLines(context: Context, { client, wirings, fires, coveredBy, findings }: AgentStatus, alone: boolean): readonly string[] {
  const { colour } = context.output
  const word =
    fires === null ? (coveredBy === null ? 'not installed' : 'wired through another agent') : fires ? 'would run' : 'would not run'
  const style = fires === null ? 'dim' : fires ? 'green' : 'red'
  const shown = findings.filter(({ severity }) => alone || severity !== 'note')
  return [
    `${client.name.padEnd(9)} ${paint(colour, style, word)}${coveredBy === null ? '' : `: ${printable(coveredBy)}`}`,
    ...wirings.map(({ form, path, state, missing }) =>
      printable(`  ${form}: ${path}, ${state}${missing.length > 0 && state !== 'broken' ? `, nothing at ${missing.join(' ')}` : ''}`),
    ),
    ...shown.map(finding => `  ${finding.severity}: ${printable(inWords(finding))}`),
  ]
}

const inWords = ({ message, path, line }: Finding): string =>
  path === undefined || message.includes(path) ? message : `${path}${line === undefined ? '' : `:${line}`}: ${message}`

/** Has any agent hooks of ours, as far as can be seen from here? Yes where that cannot be told. */
export async function areHooksWired(context: Context): Promise<boolean> {
  try {
    const around = await surroundings(context)
    return agentNames.some(agent => agentStatus(agent, around).wirings.length > 0)
  } catch {
    return true
  }
}

/** `lh hooks test <agent>` */
export const test: Run = async context => {
  const { testAgent } = await import('../../../service/hooks/agent/canary.ts')
  const named = textOption(context, 'client')
  const program = named === undefined ? null : resolve(context.directory, named)
  const report = await testAgent(agentOf(context.positionals[0]), await surroundings(context), program)
  return printReport(context, report)
}

function printReport(context: Context, { agent, tried, client, untried, steps, failure }: CanaryReport): number {
  const document = { agent, tried, client, untried, steps, count: steps.length }
  const hint = failure?.unproven === true ? `mend what it says, then again: lh hooks test ${agent}` : `see: lh hooks status ${agent}`
  const who = client === null ? null : `tried with ${client.path}${client.version === null ? '' : ` ${client.version}`}`
  context.output.answer(
    failure === null
      ? { ok: true, ...document }
      : { ok: false, error: { code: 'policy', exit: policyExit, message: failure.message, hint }, ...document },
    [
      ...steps.map(({ step, ok, said }) => {
        const mark = paint(context.output.colour, ok ? 'green' : 'red', ok ? 'ok' : 'NO')
        return `${mark}  ${printable(step)}${said === null ? '' : `: ${printable(said.split('\n')[0]!)}`}`
      }),
      printable(who ?? `the client itself was not tried: ${untried}; this was our hook, as it is installed, with what ${agent} sends`),
      ...(failure === null ? [] : [`${failure.message}; ${hint}`]),
    ],
  )
  return failure === null ? 0 : policyExit
}

async function requestOf(context: Context): Promise<AgentRequest> {
  const plugin = textOption(context, 'plugin')
  const project = switchOption(context, 'project')
  if (plugin !== undefined && project) throw usage('--plugin and --project exclude each other', 'choose one')
  const form: Form = plugin !== undefined ? 'plugin' : project ? 'project' : 'user'
  const around = await surroundings(context)
  if (project && !around.inGit)
    throw usage(`${around.root} is in no Git repository`, 'go to the repository, or install for the user: without --project')
  const agent = agentOf(context.positionals[0])
  return { agent, form, around, dryRun: switchOption(context, 'dry-run'), beside: switchOption(context, 'beside') }
}

function agentOf(name = ''): AgentName {
  if (isAgentName(name)) return name
  throw usage(`there are no hooks for "${name}"`, `there are some for git, ${agentNames.join(', ')}`)
}

async function surroundings(context: Context): Promise<Surroundings & { readonly inGit: boolean }> {
  const { env, directory } = context
  const plugin = textOption(context, 'plugin')
  const { root, commonDir, failClosed } = await repositoryFacts(context)
  return {
    env,
    home: homeIn(env),
    root: root ?? resolve(directory),
    commonDir,
    inGit: root !== null,
    // As the installed line will name it: the hook's program beside this one, and the Node that runs it.
    program: { node: process.execPath, hook: join(dirname(realpathSync(process.argv[1]!)), 'hook.cjs') },
    failClosed,
    plugin: plugin === undefined ? null : resolve(directory, plugin),
  }
}

/** Whose settings it is about. Throws `usage` where nobody says. */
function homeIn(env: NodeJS.ProcessEnv): string {
  const home = env['HOME'] ?? accountHome()
  if (home !== null && isAbsolute(home)) return home
  throw usage(
    home === null ? 'HOME is not set, and your account names no home' : `HOME names no directory: ${JSON.stringify(home)}`,
    'say whose settings are meant: HOME=/home/you lh hooks …',
  )
}

/** Null where the system knows none; without HOME the agents look there too. */
function accountHome(): string | null {
  try {
    return homedir()
  } catch {
    return null
  }
}

interface RepositoryFacts {
  readonly root: string | null
  readonly commonDir: string | null
  /** Should hooks that fail block? */
  readonly failClosed: boolean
}

async function repositoryFacts({ env, directory }: Context): Promise<RepositoryFacts> {
  // The user's hooks can be installed from anywhere.
  const repository = repositoryAround(directory, env)
  const config = await loadConfig(repository ?? nowhere, env)
  return {
    root: repository?.root ?? null,
    commonDir: repository?.commonDir ?? null,
    failClosed: config.get('session_lock.fail') === 'closed',
  }
}
