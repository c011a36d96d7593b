import { usage } from '../../core/fault.ts'
import { leaseIdIn } from '../../service/claim/proof.ts'
import type { ProofFlags } from '../../service/claim/proof.ts'
import { parseDuration } from '../../service/config/durations.ts'
import type { Context } from './command.ts'
import { textOption } from './command.ts'
import type { FileWorkspace } from './open.ts'
import { printable } from './text.ts'

// What the commands that claim something are given alike: who asks, and for how long.

/** The command's caller, and the warning that finding it may have caused. */
export async function callerOf(context: Context, workspace: FileWorkspace): ReturnType<FileWorkspace['caller']> {
  const opId = textOption(context, 'op-id')
  if (opId !== undefined && !/^[\u0020-\u007e]{1,128}$/.test(opId)) throw usage('--op-id has 1 to 128 printable characters')
  const caller = await workspace.caller(opId)
  if (caller.warning !== null) context.output.warn(caller.warning)
  return caller
}

/** `--ttl` in seconds. */
export function ttlOption(context: Context): number | undefined {
  const text = textOption(context, 'ttl')
  return text === undefined ? undefined : parseDuration(text, '--ttl') / 1000
}

/** `--lease`. Throws `usage` for what is no lease's id, which is mostly a variable that is not set. */
export function leaseOption(context: Context): string | undefined {
  const text = textOption(context, 'lease')
  if (text === undefined) return undefined
  const leaseId = leaseIdIn(text)
  if (leaseId === null) throw usage(`--lease is a lease id, not "${printable(text)}"`, 'lease ids are shown by: lh claim list --json')
  return leaseId
}

/** `--token` and `--lease`, for the lease of the ticket or worktree that is named. */
export const proofOptions = (context: Context): ProofFlags => ({ token: textOption(context, 'token'), lease: leaseOption(context) })

/** `--wait` without a value waits without limit. */
export function waitOption(context: Context): number | undefined {
  const text = textOption(context, 'wait')
  if (text === undefined) return undefined
  return text === '' ? Number.POSITIVE_INFINITY : parseDuration(text, '--wait')
}

/** A text that is kept in the log. */
export function reasonOption(context: Context, name = 'reason'): string | undefined {
  const text = textOption(context, name)
  if (text === undefined) return undefined
  if (Buffer.byteLength(text) > 2048) throw usage(`--${name} has at most 2048 bytes`)
  return text
}

export const tellWaiting = (context: Context) => (_refusal: unknown) => context.output.note('waiting…')
