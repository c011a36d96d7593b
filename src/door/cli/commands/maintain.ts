import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isFault, usage } from '../../../core/fault.ts'
import type { Fault } from '../../../core/fault.ts'
import { missingBase } from '../../../service/config/base-branch.ts'
import { lookAtConfig } from '../../../service/config/look.ts'
import { orThrow } from '../../../service/claim/answer.ts'
import { adoptReport } from '../../../service/maintenance/adopt.ts'
import { compactReport } from '../../../service/maintenance/compact.ts'
import { doctorFound, doctorReport } from '../../../service/maintenance/doctor.ts'
import { heldFindings } from '../../../service/maintenance/held.ts'
import { recoverReport } from '../../../service/maintenance/recover.ts'
import type { Report } from '../../../service/maintenance/report.ts'
import { verifyReport } from '../../../service/maintenance/verify.ts'
import { clearHeld, worktreeIdsOf } from '../../../service/identity/worktrees.ts'
import { openHome, openMaintenance } from '../../../store/open.ts'
import type { Context, Run } from '../command.ts'
import { switchOption } from '../command.ts'
import type { Finding } from '../../../store/maintenance.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { progressBar } from '../progress.ts'
import { printableLine } from '../text.ts'

function answer(context: Context, { document, exit, lines, warnings }: Report): number {
  for (const warning of warnings) context.output.warn(warning)
  // Lines quote what somebody wrote into a ticket or a file.
  context.output.answer(document, lines.map(printableLine))
  return exit
}

/** `lh doctor` */
export const doctor: Run = async context => {
  const [how, ...others] = (['moved', 'copied', 'restored'] as const).filter(each => switchOption(context, each))
  const beside = others[0] ?? (switchOption(context, 'fix') ? 'fix' : undefined)
  if (how !== undefined && beside !== undefined) throw usage(`--${how} and --${beside} exclude each other`)
  const { workspace, faults } = await examined(context)
  if (workspace === null) return answer(context, doctorFound(faults))
  const maintenance = await openMaintenance(workspace.store)
  if (how !== undefined) {
    const note = (space: string): Promise<boolean> => noteSpace(workspace, space)
    return answer(context, await adoptReport(maintenance, how, () => clearHeld(workspace.repository), note))
  }
  const sweep = async (): Promise<number> => orThrow(await workspace.coordinator.sweep(workspace.system())).seqs.length
  const worktreeIds = workspace.mayHaveOtherClones ? null : worktreeIdsOf(workspace.repository)
  return answer(
    context,
    await doctorReport({
      maintenance,
      worktreeIds,
      fix: switchOption(context, 'fix'),
      sweep,
      hooks: [
        () => faults,
        () => baseFinding(workspace),
        () => heldFindings(workspace.repository),
        () => ticketFaults(workspace),
        () => wrongMarks(context, workspace),
      ],
    }),
  )
}

/** Where the store is elsewhere, the one beside the repository says which leases it has to have. */
async function noteSpace(workspace: FileWorkspace, space: string): Promise<boolean> {
  const home = await openHome(workspace.beside())
  const seen = home.whereabouts()
  if (seen.kind !== 'there' || seen.to !== workspace.config.get('store') || seen.space === space) return false
  await home.settle(seen.to, space, seen)
  return true
}

interface Examined {
  /** Null where it cannot be told which store this repository uses. */
  readonly workspace: FileWorkspace | null
  readonly faults: readonly Finding[]
}

/** Opens the store in which this repository's leases are, whatever is wrong with the configuration. */
async function examined(context: Context): Promise<Examined> {
  const { config } = await lookAtConfig(context.directory, context.env)
  const faults = config.faults.map(configFinding)
  if (!config.isSure('store')) return { workspace: null, faults }
  try {
    return { workspace: await openWorkspace(context, { faultyConfig: true }), faults }
  } catch (error) {
    if (!isFault(error)) throw error
    const { store: inUse, damaged_note: note } = error.details ?? {}
    if (error.code === 'usage' && typeof inUse === 'string')
      return {
        workspace: await openWorkspace(context, { faultyConfig: true, flags: { store: inUse } }),
        faults: [...faults, placeFinding('other-store', error)],
      }
    // Perhaps not the right store: it is looked at, and nothing in it is changed.
    if (typeof note !== 'string' || changes(context)) throw error
    return {
      workspace: await openWorkspace(context, { faultyConfig: true, anyStore: true }),
      faults: [...faults, placeFinding('moved', error)],
    }
  }
}

const changes = (context: Context): boolean => ['fix', 'moved', 'copied', 'restored'].some(name => switchOption(context, name))

const placeFinding = (code: string, { message, hint }: Fault): Finding => ({
  severity: 'error',
  code,
  file: null,
  line: null,
  message,
  fix: hint ?? null,
})

/** `base_branch`, where it names no branch. Before the first commit none is there, and nothing is wrong with that. */
function baseFinding({ repository, config }: FileWorkspace): readonly Finding[] {
  const missing = missingBase(repository, config)
  if (missing === null) return []
  return [{ ...placeFinding('base-branch', missing.fault), severity: missing.unborn ? 'info' : 'error' }]
}

function configFinding({ message, hint }: Fault): Finding {
  const [, file, line] = /^(\/[^\n]*?):([0-9]+): /.exec(message) ?? []
  return {
    severity: 'error',
    code: 'config',
    file: file ?? null,
    line: line === undefined ? null : Number(line),
    message,
    fix: hint ?? null,
  }
}

/** What is wrong with the tickets, where there are some. */
async function ticketFaults(workspace: FileWorkspace): Promise<readonly Finding[]> {
  if (!workspace.mayHaveTickets) return []
  const [{ ticketFindings }, { worktreeIdOf }, { Catalogue }] = await Promise.all([
    import('../../../service/ticket/doctor/report.ts'),
    import('../../../service/ticket/doctor/worktrees.ts'),
    import('../../../service/ticket/catalogue.ts'),
  ])
  return ticketFindings({
    repository: workspace.repository,
    catalogue: Catalogue.open(workspace.repository, workspace.config.get('base_branch')),
    reading: await workspace.coordinator.view().catch(() => null),
    nowMs: Date.now(),
    worktreeId: worktreeIdOf(workspace.repository),
    otherClones: workspace.mayHaveOtherClones,
  })
}

/** Git's locks of ours on worktrees that nobody holds any more, and missing ones; `--fix` puts them right. */
async function wrongMarks(context: Context, workspace: FileWorkspace): Promise<readonly Finding[]> {
  if (!existsSync(join(workspace.repository.commonDir, 'worktrees'))) return []
  const [{ listEntries }, { mendMarks }] = await Promise.all([
    import('../../../service/worktree/entries.ts'),
    import('../../../service/worktree/list.ts'),
  ])
  const fix = switchOption(context, 'fix')
  const wrong = mendMarks(await listEntries(workspace.repository, context.env), workspace, await workspace.coordinator.view(), fix)
  return fix
    ? []
    : wrong.map(({ path, locked }) => ({
        severity: 'info' as const,
        code: 'worktree-mark',
        file: path,
        line: null,
        message: locked === null ? 'it is leased, and Git does not show that' : `Git shows it as leased (${locked}), and nobody holds it`,
        fix: 'lh doctor --fix',
      }))
}

/** `lh recover` */
export const recover: Run = async context => {
  const workspace = await openWorkspace(context)
  return answer(context, await recoverReport(await openMaintenance(workspace.store), { cut: switchOption(context, 'cut') }))
}

/** `lh verify` */
export const verify: Run = async context => {
  const workspace = await openWorkspace(context)
  const bar = progressBar(context.output, 'verifying')
  try {
    return answer(context, await verifyReport(await openMaintenance(workspace.store), bar.show))
  } finally {
    bar.clear()
  }
}

/** `lh log compact` */
export const compact: Run = async context => {
  const workspace = await openWorkspace(context)
  return answer(context, await compactReport(await openMaintenance(workspace.store), workspace.config.get('log.retention')))
}
