import { resolve } from 'node:path'
import { usage } from '../../../core/fault.ts'
import { Desk } from '../../../service/ticket/desk.ts'
import { holderOf } from '../../../service/ticket/import/held.ts'
import { few, importLines, importTickets, importToWire } from '../../../service/ticket/import/import.ts'
import { trackers } from '../../../service/ticket/import/imported.ts'
import { oneOf } from '../../../service/ticket/ticket.ts'
import type { Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import { openWorkspace } from '../open.ts'
import { progressBar } from '../progress.ts'

/** `lh ticket import` */
export const importFrom: Run = async context => {
  const { output, positionals, directory } = context
  const said = textOption(context, 'from')
  if (said === undefined) throw usage(`--from is missing: one of ${trackers.join(', ')}`, 'lh ticket import --from github issues.json')
  const from = oneOf(trackers, said, '--from')
  const workspace = await openWorkspace(context)
  const { root, gitDir } = workspace.repository
  if (root === null) throw usage(`${gitDir} is bare: it has no files for tickets.`, 'Run this in a worktree.')
  const dryRun = switchOption(context, 'dry-run')
  const { holder } = await workspace.identify(dryRun ? 'look' : 'write')
  const desk = new Desk(workspace)
  const bar = progressBar(output, 'importing')
  try {
    const report = await importTickets({
      root,
      from,
      path: resolve(directory, positionals[0]!),
      actor: holder.agentId,
      nowMs: Date.now(),
      tickets: desk.catalogue.list(),
      heldBy: holderOf(await desk.view(), holder),
      dryRun,
      progress: bar.show,
    })
    bar.clear()
    // With --json they are in the document, all of them.
    if (!output.json) for (const warning of few([...desk.catalogue.warnings, ...report.warnings])) output.warn(warning)
    output.answer(importToWire(report), importLines(report))
    return 0
  } finally {
    bar.clear()
  }
}
