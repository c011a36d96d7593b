import type { Granted } from '../../../coordinator.ts'
import { usage } from '../../../core/fault.ts'
import { refusalDocument, orThrow, grantedDocument } from '../../../service/claim/answer.ts'
import { heldByThisProcess, refuseReplay, runHolding } from '../../../service/claim/hold.ts'
import { noteEnded, noteHeld, shownFor } from '../../../service/claim/proof.ts'
import type { Context, Run } from '../command.ts'
import { openWorkspace } from '../open.ts'
import { warnOfDoubt } from '../resource.ts'
import { claimOf } from '../../../service/ticket/claim-words.ts'
import { callerOf, reasonOption, tellWaiting, ttlOption, waitOption } from '../claiming.ts'

/** `lh exec`: hold while a command runs. */
export const exec: Run = async context => {
  const [program] = context.rest
  if (program === undefined) throw usage('lh exec needs a command after --', 'lh exec <resource>… -- <command>…')
  const workspace = await openWorkspace(context)
  const [ttlSecs, waitMs, reason] = [ttlOption(context), waitOption(context), reasonOption(context)]
  if (ttlSecs === 0)
    throw usage('lh exec ends with its command, so its lease cannot be indefinite', 'leave --ttl out, or give it a duration')
  const { resources, branch } = await claimOf(workspace, context.positionals)
  await warnOfDoubt(context, workspace)
  const caller = heldByThisProcess(await callerOf(context, workspace))
  const granted = orThrow(
    await workspace.coordinator.acquire(caller, {
      resources,
      bind: true,
      ...(branch === null ? {} : { branch }),
      ...(ttlSecs === undefined ? {} : { ttlSecs }),
      ...(reason === undefined ? {} : { reason }),
      ...(waitMs === undefined ? {} : { waitMs }),
      ...shownFor(resources, context.env),
      onWait: tellWaiting(context),
    }),
  )
  refuseReplay(granted)
  noteHeld(workspace, granted.leases)
  const ended = await runHolding({
    coordinator: workspace.coordinator,
    caller,
    granted,
    command: context.rest,
    env: context.env,
    stdoutToStderr: context.output.json,
    warn: context.output.warn,
  })
  noteEnded(workspace, ended.released)
  return report(context, granted, ended)
}

function report(context: Context, granted: Granted, ended: Awaited<ReturnType<typeof runHolding>>): number {
  const document = { ...grantedDocument(granted), exit_code: ended.exitCode, released: ended.released.length > 0 }
  if (ended.lost === null) {
    context.output.answer(document, [])
    return ended.exitCode
  }
  const { code, message, hint, holder, details } = refusalDocument(ended.lost)
  if (!context.output.json) context.output.warn(`the lease was lost while the command ran: ${message}; ${hint}`)
  const lost = {
    code: 'superseded',
    exit: 6,
    message: `the lease was lost while the command ran: ${message}`,
    hint,
    ...(holder === undefined ? {} : { holder }),
    details: { ...details, cause: code, command_exit_code: ended.exitCode },
  }
  context.output.answer({ ok: false, error: lost }, [])
  return 6
}
