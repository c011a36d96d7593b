import { isFault, policy, usage } from '../../../core/fault.ts'
import { shellWord } from '../../../core/shell-word.ts'
import type { Wire } from '../../../core/wire.ts'
import { orThrow, toldInOwnWay } from '../../../service/claim/answer.ts'
import { heldByThisProcess, refuseReplay, runHolding } from '../../../service/claim/hold.ts'
import { refuseMissingBase } from '../../../service/config/base-branch.ts'
import { Definitions } from '../../../service/gate/definition.ts'
import { claimSet } from '../../../service/identity/purpose.ts'
import { readWorktree } from '../../../service/identity/worktree.ts'
import { Desk, keyOf } from '../../../service/ticket/desk.ts'
import { refuseEndless, startTicket } from '../../../service/ticket/workflow.ts'
import type { Asking } from '../../../service/ticket/workflow.ts'
import { isFinished } from '../../../service/ticket/ticket.ts'
import type { Ticket } from '../../../service/ticket/ticket.ts'
import { ticketToWire } from '../../../service/ticket/wire.ts'
import { refuseHalfGone } from '../../../service/worktree/add.ts'
import type { Added } from '../../../service/worktree/add.ts'
import { listEntries } from '../../../service/worktree/entries.ts'
import { findEntry } from '../../../service/worktree/find.ts'
import { mainTop } from '../../../service/worktree/layout.ts'
import { removeWorktree } from '../../../service/worktree/remove.ts'
import type { Removed } from '../../../service/worktree/remove.ts'
import { placeFor } from '../../../service/work/begin.ts'
import { placeAt, worktreeFor } from '../../../service/work/find.ts'
import type { Place } from '../../../service/work/find.ts'
import { finishWork } from '../../../service/work/finish.ts'
import type { Context, Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { elsewhere, openWorkspace } from '../open.ts'
import { printable } from '../text.ts'
import type { LaunchOrder } from '../../../service/launch/order.ts'
import { callerOf, proofOptions, reasonOption, tellWaiting, ttlOption, waitOption } from '../claiming.ts'
import { runUnmetGates } from './gate.ts'

/** `lh work` */
export const work: Run = async context => {
  try {
    return await (switchOption(context, 'finish') ? finish(context) : begin(context))
  } catch (error) {
    throw await toldInOwnWay(error, async () => {
      const ticket = context.positionals[0] ?? (await ticketHere(context))
      const command = `lh work ${ticket === null ? '<ticket>' : shellWord(ticket)}`
      return { wait: `wait for it: ${command} --wait`, take: `to take it again: ${command}` }
    })
  }
}

async function ticketHere(context: Context): Promise<string | null> {
  const { root } = (await openWorkspace(context)).repository
  return root === null ? null : (placeAt(root)?.purpose.ticket ?? null)
}

async function asking(context: Context, workspace: FileWorkspace): Promise<Asking> {
  const caller = await callerOf(context, workspace)
  return { desk: new Desk(workspace), caller, flags: proofOptions(context), env: context.env }
}

/** A worktree for the ticket, its claim, and then the command in it. */
async function begin(context: Context): Promise<number> {
  const [spelling] = context.positionals
  if (spelling === undefined) throw usage('which ticket?', 'lh work <ticket>, or in its worktree: lh work --finish')
  for (const name of ['no-ff', 'message', 'keep', 'token', 'lease'] as const)
    if (context.options[name] !== undefined) throw usage(`--${name} is for --finish`, 'lh work --finish')
  const launches = textOption(context, 'profile') !== undefined || textOption(context, 'ready') !== undefined
  refuseMeaningless(context, launches)
  const [ttlSecs, waitMs, reason] = [ttlOption(context), waitOption(context), reasonOption(context)]
  const terms = { ...(ttlSecs === undefined ? {} : { ttlSecs }), ...(reason === undefined ? {} : { reason }) }
  if (!launches) refuseEndless(terms)
  const here = await openWorkspace(context)
  refuseMissingBase(here.repository, here.config)
  const id = await new Desk(here).catalogue.resolve(spelling)
  const onWait = once(() => tellWaiting(context)(undefined))
  const start = performance.now()
  const { holder } = await callerOf(context, here)
  const launching = launches ? asLaunch(context, id) : null
  if (launching !== null) await (await import('./launch.ts')).refuseBadOptions(launching, here)
  const patience = waitMs === undefined ? null : { ms: waitMs, onWait }
  const place = await placeFor(here, holder, { ticketId: id, directory: context.directory, env: context.env, wait: patience })
  for (const warning of place.warnings) context.output.warn(warning)
  const [root, made] = [place.path, !place.already]
  const inside = elsewhere(context, root)
  const there = await openWorkspace(inside)
  const asked = await asking(inside, there)
  if (launching !== null) {
    const wait = waitMs === undefined ? null : { ms: Math.max(0, waitMs - (performance.now() - start)), onWait }
    return launchThere({ ...launching, directory: root, env: inside.env }, there, asked, id, wait).catch(unmade(context, here, place))
  }
  // With a command the id is the command's: it runs once. The claim is the same however often it is asked for.
  const { opId: _, ...claimer } = asked.caller
  const started = await startTicket(context.rest.length > 0 ? { ...asked, caller: claimer } : asked, id, {
    ...terms,
    ...(waitMs === undefined ? {} : { waitMs }),
    onWait,
  })
  if (started.warning !== null) context.output.warn(started.warning)
  const { token } = started.granted.leases.find(({ resource }) => resource === keyOf(id))!
  const document: Wire = { ok: true, ticket: ticketToWire(started.ticket), path: root, made, token }
  if (context.rest.length > 0) return runThere(inside, there, asked, id, root, document)
  context.output.answer(document, [
    `${made ? 'made' : 'goes on in'} ${printable(root)}`,
    `${started.already ? 'you hold' : 'started'} ${id}, token ${token}`,
  ])
  context.output.note(printable(`go there: cd ${shellWord(root)}; when the work is committed: lh work --finish`))
  return 0
}

function once(tell: () => void): () => void {
  let told = false
  return () => {
    if (!told) tell()
    told = true
  }
}

/** What only shows in the place itself (hooks that are missing there) leaves nothing either. */
const unmade =
  (context: Context, home: FileWorkspace, { already, path, worktreeId }: Added) =>
  async (error: unknown): Promise<never> => {
    if (!already && isFault(error) && error.code === 'usage') await removePlace(context, home, path, worktreeId)
    throw error
  }

/** Options of a launch that do not ask for one by themselves. */
const forLaunch = ['role', 'ready-timeout', 'peer', 'name', 'prompt', 'permit'] as const

/** Throws `usage` for options that would change nothing. */
function refuseMeaningless(context: Context, launches: boolean): void {
  if (launches && context.options['op-id'] !== undefined)
    throw usage(
      'a launch cannot be repeated by its id',
      'leave --op-id out: a second launch of the ticket is refused while the first one lives',
    )
  if (launches && context.options['reason'] !== undefined)
    throw usage('--reason is for a claim that is taken here: a launched one says which role took it', 'leave --reason out')
  for (const name of launches ? [] : forLaunch)
    if (context.options[name] !== undefined)
      throw usage(`--${name} is for an agent that is launched`, 'say how: --profile claude, or --ready fd for a program of your own')
}

/** The options of a launch, with what it is for when nobody says. */
function asLaunch(context: Context, id: string): Context {
  if (context.rest.length === 0) throw usage('--profile and --ready are for a command', `lh work ${id} --profile claude -- claude`)
  return { ...context, options: { role: 'dev', ...context.options } }
}

/** With a profile, or a way to tell that it is ready, the command is launched: the ticket is claimed and started once its agent works. */
async function launchThere(
  context: Context,
  workspace: FileWorkspace,
  { desk, caller, env }: Asking,
  id: string,
  wait: LaunchOrder['wait'],
): Promise<number> {
  const { output, directory: root } = context
  const { followed, launchOf } = await import('./launch.ts')
  const key = keyOf(id)
  const resources = [key, ...claimSet(workspace.repository, key).filter(each => each !== key)]
  const branch = readWorktree(workspace.repository).purpose?.branch ?? null
  const launched = await launchOf(context, workspace, { caller, ticket: id, resources, branch }, wait)
  const { holder } = launched.granted.leases[0]!
  // The agent works, and its claim wants to be kept whatever becomes of the ticket's file.
  const started = await startTicket({ desk, caller: { ...caller, holder }, flags: {}, env }, id, {}).catch((error: Error) => {
    output.warn(`${id} could not be marked as in progress: ${error.message}; when that is mended: lh ticket start ${id}`)
    return null
  })
  const ticket = started?.ticket ?? (await desk.catalogue.read(id).catch(() => null))?.ticket
  return followed(context, workspace, launched, { ...(ticket === undefined ? {} : { ticket: ticketToWire(ticket) }), path: root })
}

/** As `exec` does: renewed while the command runs. The claim was there before it, and goes on after it. */
async function runThere(
  context: Context,
  workspace: FileWorkspace,
  { caller }: Asking,
  id: string,
  root: string,
  document: Wire,
): Promise<number> {
  const own = heldByThisProcess(caller)
  // Somebody with five terminals is one holder in all of them: a second command in this worktree is kept out by a lease of its own.
  const resources = [...claimSet(workspace.repository, keyOf(id)), `work:${id}`]
  const granted = orThrow(await workspace.coordinator.acquire(own, { resources, bind: true }))
  refuseReplay(granted)
  const ended = await runHolding({
    coordinator: workspace.coordinator,
    caller: own,
    granted,
    proof: keyOf(id),
    command: context.rest,
    env: context.env,
    cwd: root,
    stdoutToStderr: context.output.json,
    warn: context.output.warn,
  })
  if (ended.lost !== null) orThrow(ended.lost)
  context.output.answer({ ...document, exit_code: ended.exitCode }, [])
  return ended.exitCode
}

async function finish(context: Context): Promise<number> {
  if (context.rest.length > 0) throw usage('--finish runs no command', 'lh work --finish')
  for (const name of [...forLaunch, 'profile', 'ready', 'ttl', 'reason', 'wait', 'op-id'] as const)
    if (context.options[name] !== undefined) throw usage(`--${name} changes nothing with --finish`, 'lh work --finish')
  const workspace = await openWorkspace(context)
  const place = await placeToFinish(context, workspace)
  if (!('root' in place)) return alreadyFinished(context, workspace, place)
  const { ticket: ticketId } = place.purpose
  if (ticketId === null) throw policy(`${place.root} was made for no ticket`, 'merge its branch by hand')
  const inside = elsewhere(context, place.root)
  const there = await openWorkspace(inside)
  const asked = await asking(inside, there)
  const message = textOption(context, 'message') ?? null
  const tell = (text: string): void => context.output.note(printable(text))
  const done = await finishWork({
    asking: asked,
    ticketId,
    purpose: place.purpose,
    runGates: () => runUnmetGates(inside, { ...asked, definitions: Definitions.open(there.repository), ticketId }, 'post'),
    noFastForward: switchOption(context, 'no-ff'),
    message,
    tell,
  })
  // As the work has it: the main worktree may be on a branch that has not.
  const { ticket } = await asked.desk.catalogue.read(ticketId)
  const home = await openWorkspace(elsewhere(context, mainTop(there.repository)))
  const removed = switchOption(context, 'keep')
    ? null
    : await removePlace(context, home, place.root, readWorktree(place.repository).worktreeId)
  context.output.answer(
    {
      ok: true,
      ticket: ticketToWire(ticket),
      branch: done.branch,
      base: done.base,
      commit: done.commit,
      path: place.root,
      removed: removed !== null,
    },
    [
      `${ticketId} is ${ticket.status === 'closed' ? 'closed' : 'done'}; ${done.base} has it at ${done.commit.slice(0, 10)}`,
      removed === null
        ? `kept ${printable(place.root)}`
        : `removed ${printable(place.root)}${removed.branchDeleted ? ` and ${printable(done.branch)}` : ''}`,
    ],
  )
  return 0
}

/** What stands in the way of removing is told; the work is merged all the same, and the same command tries again. */
async function removePlace(context: Context, home: FileWorkspace, root: string, worktreeId: string): Promise<Removed | null> {
  try {
    const entry = await findEntry(new Desk(home), { text: worktreeId, directory: context.directory, env: context.env })
    const caller = await callerOf(context, home)
    const removed = await removeWorktree({ workspace: home, caller, flags: {}, env: context.env }, entry, {
      salvage: false,
      deleteBranch: false,
      env: context.env,
    })
    if (context.directory === root || context.directory.startsWith(`${root}/`))
      context.output.note(printable(`you are in what was removed: cd ${shellWord(mainTop(home.repository))}`))
    return removed
  } catch (error) {
    if (!isFault(error)) throw error
    context.output.warn(`${root} stays: ${error.message}${error.hint === undefined ? '' : `; ${error.hint}`}`)
    return null
  }
}

/** The worktree that is meant: the one for the ticket that is named, else the one we are in. A ticket that is done and has none is finished. */
async function placeToFinish(context: Context, workspace: FileWorkspace): Promise<Place | Ticket> {
  const { repository } = workspace
  const [spelling] = context.positionals
  if (spelling === undefined) {
    const here = repository.root === null ? null : placeAt(repository.root)
    if (here !== null) return here
    throw policy('this worktree was not made for a ticket', 'go to the one that was, or name the ticket: lh work --finish <ticket>')
  }
  const { catalogue } = new Desk(workspace)
  const id = await catalogue.resolve(spelling)
  const place = worktreeFor(repository, id)
  if (place !== null) return place
  const { ticket } = await catalogue.read(id)
  if (isFinished(ticket)) return ticket
  const { holder } = await callerOf(context, workspace)
  await refuseHalfGone(new Desk(workspace), holder, id, context.env)
  throw policy(`there is no worktree for ${id}`, `to work on it: lh work ${id}`)
}

/** A removal that was cut short is brought to its end; else there is nothing to do. */
async function alreadyFinished(context: Context, workspace: FileWorkspace, ticket: Ticket): Promise<number> {
  const entries = await listEntries(workspace.repository, context.env)
  const left = entries.find(({ identity, main }) => !main && identity.purpose?.ticket === ticket.id)
  const removed = left === undefined ? null : await removePlace(context, workspace, left.path, left.identity.worktreeId)
  context.output.answer({ ok: true, ticket: ticketToWire(ticket), already: true }, [
    `${ticket.id} was finished already`,
    ...(removed === null ? [] : [`removed what was left of ${printable(removed.path)}`]),
  ])
  return 0
}
