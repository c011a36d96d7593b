import { existsSync, realpathSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import type { Wire } from '../../../core/wire.ts'
import { policy, usage } from '../../../core/fault.ts'
import type { Lease } from '../../../core/lease.ts'
import type { Session, SessionOrigin } from '../../../core/session.ts'
import { refusalDocument, shownLease, toldInOwnWay } from '../../../service/claim/answer.ts'
import { openCommand } from '../../../service/claim/open-session.ts'
import { noteEnded, noteHeld } from '../../../service/claim/proof.ts'
import { formatDuration, parseDuration } from '../../../service/config/durations.ts'
import { parseAgentId } from '../../../service/identity/agent.ts'
import { claimSet } from '../../../service/identity/purpose.ts'
import { isProfileName, profileNames } from '../../../service/launch/evidence.ts'
import type { Launched } from '../../../service/launch/launch.ts'
import { hooksFor } from '../../../service/launch/hooks.ts'
import { launch } from '../../../service/launch/launch.ts'
import type { Dialogue, LaunchOrder, StartOrder } from '../../../service/launch/order.ts'
import { guessProfile, profileOf } from '../../../service/launch/profiles/by-name.ts'
import { parseReady } from '../../../service/launch/ready.ts'
import { Desk, keyOf } from '../../../service/ticket/desk.ts'
import type { Context, Run } from '../command.ts'
import { listOption, switchOption, textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { elsewhere, openWorkspace } from '../open.ts'
import { claimOf } from '../../../service/ticket/claim-words.ts'
import { mayBeTerminal } from '../output.ts'
import { printable } from '../text.ts'
import { callerOf, ttlOption } from '../claiming.ts'

/** `lh launch` */
export const launchCommand: Run = async context => {
  try {
    return await begin(context)
  } catch (error) {
    throw await toldInOwnWay(error, () => ({ wait: 'launch it again when it is free', take: 'launch it again' }))
  }
}

async function begin(context: Context): Promise<number> {
  const [spelling] = context.positionals
  const without = switchOption(context, 'no-ticket')
  if (spelling === undefined && !without) throw usage('which ticket?', 'lh launch <ticket> --role <role> -- <command>…, or --no-ticket')
  if (spelling !== undefined && without) throw usage('--no-ticket and a ticket exclude each other', 'leave one of them out')
  if (without && switchOption(context, 'worktree'))
    throw usage('--worktree is the worktree of a ticket', 'leave out --worktree or --no-ticket')
  if (without && context.options['ttl'] !== undefined && context.options['scope'] === undefined)
    throw usage('--ttl is for a claim, and without a ticket and a --scope nothing is claimed', 'leave --ttl out')
  roleOf(context)
  const here = await openWorkspace(context)
  const caller = await callerOf(context, here)
  if (switchOption(context, 'worktree')) await refuseBadOptions(context, here)
  const place =
    spelling === undefined ? { workspace: here, ticket: null, resources: [], branch: null } : await placeOf(context, here, spelling)
  const resources = [...place.resources, ...scopeOf(context, place.workspace)]
  const own = place.workspace === here ? caller : await callerOf(context, place.workspace)
  return followed(context, place.workspace, await launchOf(context, place.workspace, { ...place, resources, caller: own }))
}

/** Throws what a launch would refuse whatever becomes of its ticket: for callers that make a place for the agent first. */
export async function refuseBadOptions(context: Context, workspace: FileWorkspace): Promise<void> {
  await sessionName(context, workspace, roleOf(context), null)
  namedAgent(context)
  claimTtl(context)
  scopeOf(context, workspace)
  listOption(context, 'peer')
  const { profile, ready } = await askedStart(context, context.rest)
  if (profile.name === 'acp') promptOf(context)
  // Hooks may be there in the place that is to be made.
  const hooks = { hooksInstalled: true, program: thisProgram() }
  profile.prepare({ command: context.rest, env: context.env, cwd: context.directory, interactive: isInteractive(context), ready, ...hooks })
}

/** Launches the command after `--` as the options say, for what is claimed. */
export async function launchOf(
  context: Context,
  workspace: FileWorkspace,
  claimed: Pick<LaunchOrder, 'caller' | 'ticket' | 'resources' | 'branch'>,
  wait: LaunchOrder['wait'] = null,
): Promise<Launched> {
  const role = roleOf(context)
  return launch({
    ...claimed,
    wait,
    workspace,
    agentId: namedAgent(context),
    ttlSecs: claimTtl(context),
    role,
    name: await sessionName(context, workspace, role, claimed.ticket),
    origin: originOf(claimed.ticket, role),
    peers: await peersOf(context, workspace),
    start: await startOrder(context, workspace, context.rest),
  })
}

/** Tells of the acceptance, stays until the agent ends, and passes its exit code on. */
export async function followed(context: Context, workspace: FileWorkspace, launched: Launched, more: Wire = {}): Promise<number> {
  const { granted, session } = launched
  noteHeld(workspace, granted.leases)
  // Whatever becomes of our words (a full disk), the agent works and is not left alone.
  await tellStarted(context, workspace, launched, more).catch((error: Error) =>
    context.output.warn(`that session ${session.name} is live could not be told: ${error.message}`),
  )
  const ended = await launched.supervise()
  noteEnded(workspace, ended.goesOn ? [] : granted.leases)
  if (ended.lost !== null) {
    const { message, hint } = refusalDocument(ended.lost)
    context.output.warn(`the claim was lost while the agent ran: ${message}; ${hint}`)
    return 6
  }
  const kept = granted.leases.length > 0 ? 'its claim is kept' : 'it can be opened again'
  if (ended.restorable) context.output.note(`${kept}: ${openCommand(session, 'restorable')}, or lh session end ${session.name}`)
  return ended.exitCode
}

async function tellStarted({ output }: Context, { coordinator }: FileWorkspace, launched: Launched, more: Wire): Promise<void> {
  const { granted, session, pid } = launched
  const [lease] = granted.leases
  if (output.json) {
    const [view, { seeSession, seenSessionToWire }] = [await coordinator.view(), await import('../../../service/session/report.ts')]
    const shown = seenSessionToWire(seeSession(view.session(session.sessionId) ?? session, view), view)
    output.answer({ ok: true, lease: lease === undefined ? null : shownLease(lease, granted.now, false), session: shown, pid, ...more }, [])
  } else if (!launched.terminal) output.note(startedInWords(session, lease, pid))
}

function startedInWords({ name, evidence, agentId }: Session, lease: Lease | undefined, pid: number): string {
  const what = lease === undefined ? '' : `, holds ${lease.resource} with token ${lease.token}`
  const how = evidence.confirmed ? `seen: ${evidence.seen}` : `started, not confirmed: ${evidence.seen}`
  return printable(`session ${name} is live (${agentId}, pid ${pid})${what}; ${how}`)
}

function roleOf(context: Context): string {
  const role = textOption(context, 'role')
  if (role === undefined) throw usage('a launch needs --role', 'for example --role dev, --role intake or --role review')
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/.test(role)) throw usage('--role is 1 to 64 of a-z, 0-9, ".", "_" and "-"', 'for example --role dev')
  return role
}

/** Where the agent is to work, and what it is to hold there. */
async function placeOf(context: Context, here: FileWorkspace, spelling: string) {
  const desk = new Desk(here)
  const asked = await claimOf(here, [spelling.includes(':') ? spelling : `ticket:${spelling}`])
  const key = asked.resources[0]!
  if (!key.startsWith('ticket:')) throw usage(`${spelling} is no ticket`, 'lh ticket list shows those there are')
  const ticket = key.slice('ticket:'.length)
  if (!switchOption(context, 'worktree')) return { workspace: here, ticket, resources: inOrder(asked.resources, key), branch: asked.branch }
  const { holder } = await callerOf(context, here)
  const { addWorktree } = await import('../../../service/worktree/add.ts')
  const added = await addWorktree(desk, holder, { name: ticket, directory: context.directory, env: context.env, unheld: true })
  for (const warning of added.warnings) context.output.warn(warning)
  const workspace = await openWorkspace(elsewhere(context, added.path))
  return { workspace, ticket, resources: inOrder(claimSet(workspace.repository, keyOf(ticket)), key), branch: added.purpose.branch }
}

/** The ticket first: it is what a session is told by. */
const inOrder = (resources: readonly string[], first: string): readonly string[] => [first, ...resources.filter(key => key !== first)]

function scopeOf(context: Context, workspace: FileWorkspace): readonly string[] {
  const scope = textOption(context, 'scope')
  if (scope === undefined) return []
  const globs = scope.split(',').map(glob => glob.trim())
  if (globs.includes('')) throw usage('--scope has an empty pattern', "--scope 'src/login/**,docs/login.md'")
  return globs.map(glob => workspace.resource(`path:${glob}`))
}

/** Who was named, not merely found: a launched agent is not the person, nor the launched agent, who launches it. */
function namedAgent(context: Context): string | null {
  const flag = textOption(context, 'agent')
  if (flag !== undefined) return parseAgentId(flag, '--agent')
  const exported = context.env['LEASEHOLD_LAUNCH_ID'] ? undefined : context.env['LEASEHOLD_AGENT_ID']
  return exported ? parseAgentId(exported, 'LEASEHOLD_AGENT_ID') : null
}

function claimTtl(context: Context): number | null {
  const ttlSecs = ttlOption(context)
  if (ttlSecs === 0)
    throw usage('a launched claim is renewed while its agent runs, so it is not indefinite', 'leave --ttl out, or give it a duration')
  return ttlSecs ?? null
}

const originOf = (ticket: string | null, role: string): SessionOrigin =>
  ticket !== null ? 'ticket-claim' : role === 'intake' ? 'pre-ticket-intake' : 'role-launch'

/** A name that no other session has. One that was given is checked now, one of our own is looked for when it is needed. */
async function sessionName(
  context: Context,
  workspace: FileWorkspace,
  role: string,
  ticket: string | null,
): Promise<() => Promise<string>> {
  const given = textOption(context, 'name')
  if (given === undefined)
    return async () => freeName(ticket === null ? role : `${role}-${ticket.replace(/^\d{8}-\d{6}-/, '')}`, await takenNames(workspace))
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(given)) throw usage('--name is 1 to 128 letters, digits, ".", "_" and "-"')
  if ((await takenNames(workspace)).has(given)) throw policy(`there is a session ${given} already`, `see: lh session show ${given}`)
  return async () => given
}

const takenNames = async ({ coordinator }: FileWorkspace): Promise<ReadonlySet<string>> =>
  new Set([...(await coordinator.view()).sessions()].map(({ name }) => name))

function freeName(base: string, taken: ReadonlySet<string>): string {
  let name = base
  for (let count = 2; taken.has(name); count++) name = `${base}-${count}`
  return name
}

/** Session ids of the peers. One that cannot be reached is no reason not to start. */
async function peersOf(context: Context, workspace: FileWorkspace): Promise<readonly string[]> {
  const spellings = listOption(context, 'peer')
  if (spellings.length === 0) return []
  const sessions = [...(await workspace.coordinator.view()).sessions()]
  const { matchSessions } = await import('../../../service/session/find.ts')
  const peers = new Set<string>()
  for (const spelling of spellings) {
    const found = matchSessions(sessions, spelling)
    if (found.length === 1) peers.add(found[0]!.sessionId)
    else
      context.output.warn(
        `there is ${found.length === 0 ? 'no' : 'more than one'} session ${printable(spelling)} to be its peer; it starts without`,
      )
  }
  return [...peers]
}

const defaultReadyMs = 60_000
const aliveMs = 5000

/** What the options say of the start, as far as they can be judged without a place. */
async function askedStart(context: Context, command: readonly string[]) {
  if (command.length === 0) throw usage('which agent?', 'give its command after --, for example: -- claude')
  const named = textOption(context, 'profile')
  const text = textOption(context, 'ready')
  if (named !== undefined && !isProfileName(named))
    throw usage(`there is no profile ${printable(named)}`, `there are ${profileNames.join(', ')}`)
  const profile = await profileOf(named ?? (text === undefined ? guessProfile(command) : 'command'))
  for (const name of profile.name === 'acp' ? [] : (['prompt', 'permit'] as const))
    if (context.options[name] !== undefined) throw usage(`--${name} is for the profile acp, and this is ${profile.name}`, notForAcp[name])
  const ready = text === undefined ? null : parseReady(text)
  // A command that says nothing of itself is believed when it does not end at once; that is shown as what it is.
  const effective = ready ?? (profile.name === 'command' ? { kind: 'alive' as const, ms: aliveMs } : null)
  return { profile, ready, effective, readyTimeoutMs: readyTimeout(context, effective?.kind === 'alive' ? effective.ms : 0) }
}

const notForAcp = {
  prompt: "give the prompt to the agent's own command, after --",
  permit: 'what it may do its own options say, after --',
}

/** How long to wait for an agent that has to be there for `leastMs` before it counts as ready. */
function readyTimeout(context: Context, leastMs: number): number {
  const text = textOption(context, 'ready-timeout')
  if (text === undefined) return Math.max(defaultReadyMs, leastMs + 1000)
  const ms = parseDuration(text, '--ready-timeout')
  if (ms <= 0) throw usage('--ready-timeout must be longer than nothing')
  if (ms <= leastMs)
    throw usage(
      `it counts as ready once it has lived for ${formatDuration(leastMs)}, and --ready-timeout ${printable(text)} is over before that`,
      'give it longer, or another way to tell: --ready fd, output=REGEX, http=URL, or a shorter alive=…',
    )
  return ms
}

/**
 * How the agent is to be started, as the options say. `session`: what its client calls a session that is to be opened again, where we
 * speak to the client ourselves.
 */
export async function startOrder(
  context: Context,
  workspace: FileWorkspace,
  typed: readonly string[],
  session: string | null = null,
): Promise<StartOrder> {
  const cwd = workspace.repository.root ?? context.directory
  const command = asTyped(typed, context.directory, cwd)
  const { profile, ready, effective, readyTimeoutMs } = await askedStart(context, command)
  const interactive = isInteractive(context)
  const hooks = await hooksFor({ profile: profile.name, command, ready }, context.env, workspace.repository, thisProgram())
  const prepared = profile.prepare({ command, env: context.env, cwd, interactive, ready, ...hooks })
  for (const warning of prepared.warnings) context.output.warn(warning)
  return {
    profile,
    prepared,
    ready: effective,
    readyTimeoutMs,
    command,
    env: context.env,
    cwd,
    terminal: interactive && prepared.stdio === 'inherit',
    stdout: () => (context.output.json ? process.stderr : process.stdout),
    dialogue: prepared.stdio === 'acp' ? await dialogueOf(context, cwd, session) : null,
    keep: switchOption(context, 'keep'),
    warn: text => context.output.warn(text),
  }
}

/** The agent works at the top of its worktree. Whoever stands below it there, and names a program from where they stand, means that one. */
function asTyped(typed: readonly string[], from: string, cwd: string): readonly string[] {
  const [program = '', ...args] = typed
  const isBelow = from.startsWith(`${cwd}/`)
  if (!isBelow || !program.includes('/') || isAbsolute(program) || existsSync(join(cwd, program))) return typed
  const meant = join(from, program)
  return existsSync(meant) ? [meant, ...args] : typed
}

const isInteractive = (context: Context): boolean => !context.output.json && isTerminal()

/** Would an agent that is started now have a terminal? Asking `process.stdin` loads Node's streams, which most launches do not need yet. */
const isTerminal = (): boolean => [0, 1].every(fd => mayBeTerminal(fd) && process.getBuiltinModule('node:tty').isatty(fd))

const thisProgram = () => ({ node: process.execPath, hook: join(dirname(realpathSync.native(process.argv[1]!)), 'hook.cjs') })

function promptOf(context: Context): string {
  const prompt = textOption(context, 'prompt')
  if (prompt === undefined) throw usage('the profile acp needs --prompt', '--prompt "what the agent is to do"')
  return prompt
}

async function dialogueOf(context: Context, cwd: string, session: string | null): Promise<Dialogue> {
  const prompt = promptOf(context)
  const permit = switchOption(context, 'permit')
  const out = context.output.json ? process.stderr : process.stdout
  const { runAcp } = await import('../../../service/launch/profiles/acp.ts')
  return async (child, { onVerdict, onSession }, signal) => {
    try {
      return await runAcp({
        stdin: child.stdin!,
        stdout: child.stdout!,
        cwd,
        env: context.env,
        prompt,
        ...(session === null ? {} : { resume: session }),
        permit: permit ? 'allow' : 'reject',
        onText: text => void out.write(text),
        onVerdict,
        onSession,
        signal,
      })
    } finally {
      // The turn is over, and an agent of this kind waits for ever for the next.
      child.stdin!.end()
    }
  }
}
