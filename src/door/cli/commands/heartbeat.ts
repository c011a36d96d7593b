import type { Target } from '../../../core/command.ts'
import { usage } from '../../../core/fault.ts'
import { shellWord } from '../../../core/shell-word.ts'
import { grantedDocument, orThrow } from '../../../service/claim/answer.ts'
import { beatUntil } from '../../../service/claim/beat.ts'
import { parseDuration } from '../../../service/config/durations.ts'
import type { Context } from '../command.ts'
import { textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { reasonOption } from '../claiming.ts'
import { addressed } from './claim.ts'

/** `lh claim heartbeat --every`: renews until a process ends, the lease is lost, or a signal says stop. */
export async function keepBeating(context: Context): Promise<number> {
  const every = textOption(context, 'every')
  if (every === undefined)
    throw usage('--while-pid goes with --every', 'for example: lh claim heartbeat fix-login --every 30s --while-pid $PPID')
  const everyMs = parseDuration(every, '--every')
  if (everyMs < 100) throw usage('--every is at least 100ms')
  // Under one id it would happen once, and then never again.
  if (textOption(context, 'op-id') !== undefined) throw usage('--op-id does not go with --every: an op_id names one heartbeat')
  const whilePid = pidOption(context)
  const note = reasonOption(context, 'note')
  const workspace = await openWorkspace(context)
  const { caller, target, presented } = await addressed(context, workspace)
  await refuseRare(workspace, target, everyMs)
  const ended = await beatUntil({
    coordinator: workspace.coordinator,
    caller,
    target,
    presented,
    everyMs,
    whilePid,
    note,
    warn: context.output.warn,
  })
  if (ended.last !== null && !ended.last.ok) orThrow(ended.last)
  const document = { ...(ended.last?.ok === true ? grantedDocument(ended.last) : { ok: true }), beats: ended.beats, ended_by: ended.why }
  context.output.answer(document, [`${ended.beats} heartbeats; ended because ${ended.why}`])
  return 0
}

/** Throws `usage` where the lease would be over before the second beat. */
async function refuseRare({ coordinator }: FileWorkspace, target: Target, everyMs: number): Promise<void> {
  const view = await coordinator.view('resource' in target ? [target.resource] : undefined)
  const lease = 'resource' in target ? view.lease(target.resource) : view.byLeaseId(target.leaseId)
  if (lease === null || lease.ttlSecs === 0 || everyMs < lease.ttlSecs * 1000) return
  throw usage(
    `a heartbeat every ${everyMs / 1000} s is too rare: the lease on ${lease.resource} has a ttl of ${lease.ttlSecs} s and would expire in between`,
    `a fifth of the ttl is often enough: --every ${lease.ttlSecs * 200}ms; or give it a longer one: lh claim renew ${shellWord(lease.resource)} --ttl …`,
  )
}

function pidOption(context: Context): number | null {
  const text = textOption(context, 'while-pid')
  if (text === undefined) return null
  if (!/^[1-9]\d{0,8}$/.test(text)) throw usage(`--while-pid must be a process id, not "${text}"`)
  return Number(text)
}
