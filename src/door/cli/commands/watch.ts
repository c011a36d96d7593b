import { usage } from '../../../core/fault.ts'
import { refuseGone } from '../../../service/claim/gone.ts'
import { warnedBase } from '../../../service/config/base-branch.ts'
import { changeInWords, changesBetween, changeToWire, thingsOf } from '../../../service/session/changes.ts'
import type { Things } from '../../../service/session/changes.ts'
import { overviewOf } from '../../../service/session/overview.ts'
import { lookEveryMs } from '../board/pace.ts'
import type { Context, Run } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { writeText } from '../output.ts'
import { printable } from '../text.ts'

/** `lh status --watch` */
export const watch: Run = async context => {
  const { output, env } = context
  if (output.quiet) throw usage('--watch shows what changes, --quiet shows nothing', 'leave one of them out')
  const workspace = await openWorkspace(context)
  for (const warning of warnedBase(workspace.repository, workspace.config)) output.warn(warning)
  const identity = await workspace.identify('look').catch(() => null)
  const agentId = identity?.holder.agentId ?? null
  const onTerminal = !output.json && env['TERM'] !== 'dumb' && process.stdout.isTTY && process.stdin.isTTY
  if (!onTerminal) return tellChanges(context, workspace)
  return (await import('../board/run.ts')).runBoard(context, workspace, agentId)
}

/** One line for each change, the first ones saying what is there. Ends at the first change that nobody reads any more; an unreadable store is an error. */
async function tellChanges({ output }: Context, workspace: FileWorkspace): Promise<number> {
  let before: Things | null = null
  for (let seenSeq = 0; ;) {
    // oxlint-disable-next-line no-await-in-loop -- one look after the other
    const view = await workspace.coordinator.view()
    refuseGone(workspace.store.location, view.lastSeq, seenSeq)
    seenSeq = view.lastSeq
    const after = thingsOf(overviewOf(view, null, []), view)
    const { wall } = view.now
    for (const change of changesBetween(before, after)) {
      const line = output.json ? JSON.stringify(changeToWire(change, wall)) : printable(changeInWords(change, wall))
      if (!writeText(1, `${line}\n`)) return 0
    }
    before = after
    // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
    await workspace.coordinator.changed(view.lastSeq, lookEveryMs)
  }
}
