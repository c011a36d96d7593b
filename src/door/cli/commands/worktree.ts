import { usage } from '../../../core/fault.ts'
import { shellWord } from '../../../core/shell-word.ts'
import type { Wire } from '../../../core/wire.ts'
import { ensureWorktree } from '../../../service/identity/worktree.ts'
import { Desk } from '../../../service/ticket/desk.ts'
import { addWorktree } from '../../../service/worktree/add.ts'
import type { Added } from '../../../service/worktree/add.ts'
import { listEntries } from '../../../service/worktree/entries.ts'
import type { Entry } from '../../../service/worktree/entries.ts'
import type { Asker } from '../../../service/worktree/fence.ts'
import { findEntry } from '../../../service/worktree/find.ts'
import { lookAt } from '../../../service/worktree/list.ts'
import { pruneWorktrees } from '../../../service/worktree/prune.ts'
import { removeWorktree } from '../../../service/worktree/remove.ts'
import type { Removed } from '../../../service/worktree/remove.ts'
import type { Context, Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { writeText } from '../output.ts'
import { columns, paint, printable, said } from '../text.ts'
import { callerOf, proofOptions } from '../claiming.ts'

/** What is known of worktrees, for commands that only look. */
async function rows(context: Context, workspace: FileWorkspace, entries: readonly Entry[], disk = false): Promise<readonly Wire[]> {
  const view = await workspace.coordinator.view()
  for (const warning of view.warnings) context.output.warn(warning)
  const { baseBranch } = new Desk(workspace).catalogue
  return lookAt(entries, { workspace, view, base: baseBranch, disk, env: context.env })
}

/** `lh worktree add` */
export const add: Run = async context => {
  const { output, positionals, directory, env } = context
  const workspace = await openWorkspace(context)
  const caller = await callerOf(context, workspace)
  const [path, branch, base] = ['path', 'branch', 'base'].map(name => textOption(context, name))
  const added = await addWorktree(new Desk(workspace), caller.holder, { name: positionals[0]!, path, branch, base, directory, env })
  for (const warning of added.warnings) output.warn(warning)
  output.note(printable(addedInWords(added)))
  if (output.json) {
    const entries = await listEntries(workspace.repository, env)
    const [worktree] = await rows(
      context,
      workspace,
      entries.filter(entry => entry.path === added.path),
    )
    output.answer({ ok: true, worktree: worktree ?? null, ...(added.already ? { already: true } : {}) }, [])
  } else {
    // For `cd "$(lh worktree add …)"`, and also with --quiet: it is what was asked for.
    writeText(1, `${added.path}\n`)
  }
  return 0
}

/** A branch that was there was not made from the base; what it has in common with that, only Git knows. */
function addedInWords({ already, madeBranch, worktreeId, purpose }: Added): string {
  const { ticket, branch, base } = purpose
  const onBranch = `${already ? 'it is there already:' : 'made'} ${worktreeId} on ${branch}${already || madeBranch ? '' : ', which was there before'}`
  const start = base === null ? '' : madeBranch ? `, from ${base}` : `; its work goes to ${base}`
  return `${onBranch}${start}${ticket === null ? '' : `, for ${ticket}`}`
}

/** `lh worktree list` */
export const list: Run = async context => {
  const workspace = await openWorkspace(context)
  const disk = switchOption(context, 'disk')
  const worktrees = await rows(context, workspace, await listEntries(workspace.repository, context.env), disk)
  context.output.answer({ ok: true, worktrees, count: worktrees.length }, table(worktrees, context.output.colour))
  for (const hint of hintsFor(worktrees)) context.output.note(hint)
  return 0
}

/** What to do about what the table shows. */
function hintsFor(worktrees: readonly Wire[]): readonly string[] {
  const astray = worktrees.filter(worktree => worktree['astray'] === true).map(worktree => shellWord(said(worktree['path'])))
  const unknown = worktrees.some(worktree => worktree['main'] === true && worktree['present'] === false)
  return [
    ...(astray.length === 0 ? [] : [printable(`astray: it or the repository was moved; git worktree repair ${astray.join(' ')}`)]),
    ...(unknown ? ['where the main worktree is, nothing says: run there once: lh worktree init'] : []),
  ]
}

function table(worktrees: readonly Wire[], colour: boolean): readonly string[] {
  const cells = worktrees.map(worktree => [
    `${worktree['current'] === true ? '*' : ' '} ${printable(said(worktree['path']))}`,
    printable(branchOf(worktree)),
    changesOf(worktree),
    distanceOf(worktree),
    printable(said(worktree['holder']) || 'nobody'),
    printable(said(worktree['ticket'])),
    sizeInWords(worktree['disk_bytes']),
  ])
  return columns(cells, (text, _row, column) =>
    column === 0 ? paint(colour, 'bold', text) : column === 2 && /dirty|gone|astray/.test(text) ? paint(colour, 'yellow', text) : text,
  )
}

const branchOf = (worktree: Wire): string => said(worktree['branch']) || (worktree['bare'] === true ? '(bare)' : '(detached)')

const changesOf = (worktree: Wire): string =>
  worktree['removing'] === true
    ? 'half removed'
    : worktree['present'] === false
      ? worktree['main'] === true
        ? 'place not known'
        : 'gone'
      : worktree['astray'] === true
        ? 'astray'
        : worktree['dirty'] === true
          ? 'dirty'
          : worktree['dirty'] === null
            ? ''
            : 'clean'

function distanceOf({ ahead, behind }: Wire): string {
  if (typeof ahead !== 'number' || typeof behind !== 'number') return ''
  return ahead + behind === 0 ? 'as base' : [...(ahead > 0 ? [`+${ahead}`] : []), ...(behind > 0 ? [`-${behind}`] : [])].join(' ')
}

const sizeInWords = (bytes: unknown): string => (typeof bytes === 'number' ? `${(bytes / 1024 / 1024).toFixed(1)} MiB` : '')

/** `lh worktree info` */
export const info: Run = async context => {
  const { positionals, directory, env, output } = context
  const workspace = await openWorkspace(context)
  const [text] = positionals
  const entry =
    text === undefined
      ? (await listEntries(workspace.repository, env)).find(({ gitDir }) => gitDir === workspace.repository.gitDir)
      : await findEntry(new Desk(workspace), { text, directory, env })
  if (entry === undefined) throw usage(`${workspace.repository.gitDir} has no worktree here`, 'see: lh worktree list')
  if (entry.identity.warning !== undefined) output.warn(entry.identity.warning)
  const [worktree] = await rows(context, workspace, [entry], true)
  output.answer({ ok: true, worktree }, describe(worktree!))
  return 0
}

const describe = (worktree: Wire): readonly string[] =>
  columns(
    [
      ['worktree', said(worktree['worktree_id'])],
      ['path', said(worktree['path'])],
      ['ticket', said(worktree['ticket'])],
      ['branch', branchOf(worktree)],
      ['base', `${said(worktree['base'])} ${distanceOf(worktree)}`.trim()],
      ['files', `${changesOf(worktree)} ${sizeInWords(worktree['disk_bytes'])}`.trim()],
      ['holder', said(worktree['holder']) || 'nobody'],
      ['leases', (worktree['leases'] as readonly Wire[]).map(lease => said(lease['resource'])).join(', ')],
      ['locked', worktree['locked'] === '' ? 'yes' : said(worktree['locked'])],
      ['last activity', said(worktree['last_activity'])],
    ]
      .filter(([, value]) => value !== '')
      .map(row => row.map(printable)),
  )

/** `lh worktree init` */
export const init: Run = async context => {
  const workspace = await openWorkspace(context)
  const { worktreeId, root, warning } = ensureWorktree(workspace.repository)
  if (warning !== undefined) context.output.warn(warning)
  context.output.answer({ ok: true, worktree_id: worktreeId, path: root }, [`${worktreeId}  ${printable(root)}`])
  return 0
}

async function askerOf(context: Context, workspace: FileWorkspace): Promise<Asker> {
  const caller = await callerOf(context, workspace)
  return { workspace, caller, flags: proofOptions(context), env: context.env }
}

function removedToWire(removed: Removed): Wire {
  const { salvage } = removed
  return {
    worktree_id: removed.worktreeId,
    path: removed.path,
    ticket: removed.ticket,
    branch: removed.branch,
    branch_deleted: removed.branchDeleted,
    salvage: salvage === null ? null : typeof salvage === 'string' ? salvage : salvage.ref,
    left_out: removed.leftOut,
    released: removed.released.map(({ resource }) => resource),
  }
}

function removedLines(removed: Removed): readonly string[] {
  const { path, branch, branchDeleted, salvage, leftOut, released } = removed
  const ref = salvage === null ? null : typeof salvage === 'string' ? salvage : salvage.ref
  return [
    `removed ${path}`,
    ...(branch === null ? [] : [branchDeleted ? `deleted the branch ${branch}` : `the branch ${branch} stays`]),
    ...(released.length === 0 ? [] : [`released ${released.map(({ resource }) => resource).join(', ')}`]),
    ...(leftOut.length === 0 ? [] : [`ignored, and not kept: ${leftOut.slice(0, 10).join(', ')}${leftOut.length > 10 ? ', …' : ''}`]),
    ...(ref === null ? [] : [`saved as ${ref}`, `to get it back: git worktree add --detach ${shellWord(path)} ${ref}`]),
  ].map(printable)
}

/** `lh worktree remove` */
export const remove: Run = async context => {
  const { positionals, directory, env, output } = context
  const workspace = await openWorkspace(context)
  const salvage = switchOption(context, 'salvage')
  const deleteBranch = switchOption(context, 'delete-branch')
  if (deleteBranch && !salvage) throw usage('--delete-branch is for --salvage', 'a branch that is merged goes with its worktree anyway')
  const entry = await findEntry(new Desk(workspace), { text: positionals[0]!, directory, env })
  const removed = await removeWorktree(await askerOf(context, workspace), entry, { salvage, deleteBranch, env })
  output.answer({ ok: true, worktree: removedToWire(removed) }, removedLines(removed))
  return 0
}

/** `lh worktree prune` */
export const prune: Run = async context => {
  const { env, output } = context
  const workspace = await openWorkspace(context)
  const really = switchOption(context, 'yes')
  const salvage = switchOption(context, 'salvage')
  const { going, removed, kept, cleared, marks } = await pruneWorktrees(
    await askerOf(context, workspace),
    { salvage, deleteBranch: false, env },
    really,
  )
  const shown = (entry: Entry): Wire => ({
    worktree_id: entry.identity.worktreeId,
    path: entry.path,
    ticket: entry.identity.purpose?.ticket ?? null,
    branch: entry.branch,
  })
  const document = {
    ok: true,
    dry_run: !really,
    worktrees: really ? removed.map(removedToWire) : going.map(shown),
    count: going.length,
    kept: kept.map(({ entry, why }) => ({ ...shown(entry), why })),
    cleared: cleared.map(({ path }) => path),
    marks: marks.map(({ path }) => path),
  }
  output.answer(document, [
    ...(really ? removed.flatMap(removedLines) : going.map(entry => printable(`would remove ${entry.path}`))),
    ...cleared.map(({ path }) => printable(`${really ? 'cleared up' : 'would clear up'} ${path}, which was half made`)),
    ...marks.map(({ path }) => printable(`${really ? 'corrected' : 'would correct'} the lock of ${path}`)),
    ...kept.map(({ entry, why }) => printable(`keeps ${entry.path}: ${why}`)),
    ...(going.length + kept.length + cleared.length + marks.length === 0 ? ['nothing to prune'] : []),
  ])
  if (!really && going.length + cleared.length + marks.length > 0) output.note('to do it: lh worktree prune --yes')
  return 0
}
