import { worktreeIdOf } from '../../../service/ticket/doctor/worktrees.ts'
import { ticketDoctorReport } from '../../../service/ticket/doctor/report.ts'
import { Catalogue } from '../../../service/ticket/catalogue.ts'
import type { Run } from '../command.ts'
import { switchOption } from '../command.ts'
import { openWorkspace } from '../open.ts'
import { printableLine } from '../text.ts'

/** `lh ticket doctor` */
export const ticketDoctor: Run = async context => {
  const workspace = await openWorkspace(context)
  const { repository, coordinator, config } = workspace
  const fix = switchOption(context, 'fix')
  // Nobody has to say who they are; whoever does may have the tickets mended that they hold.
  const holder = fix
    ? await workspace.identify('look').then(
        identity => identity.holder,
        () => null,
      )
    : null
  // A log that cannot be read is `lh doctor`'s business.
  const reading = await coordinator.view().catch(() => null)
  if (reading === null) context.output.warn('the log of claims cannot be read, so nothing is said of claims; see: lh doctor')
  const report = await ticketDoctorReport({
    repository,
    catalogue: Catalogue.open(repository, config.get('base_branch')),
    reading,
    nowMs: Date.now(),
    worktreeId: worktreeIdOf(repository),
    otherClones: workspace.mayHaveOtherClones,
    fix,
    holder,
  })
  for (const warning of report.warnings) context.output.warn(warning)
  // Lines quote what somebody wrote into a ticket.
  context.output.answer(report.document, report.lines.map(printableLine))
  return report.exit
}
