import { usage } from '../../../core/fault.ts'
import { setConfig } from '../../../service/config/edit.ts'
import { settings } from '../../../service/config/schema.ts'
import type { MovePlace } from '../../../service/maintenance/store-move.ts'
import { giveUpMove, moveStore } from '../../../service/maintenance/store-move.ts'
import { openHome, openMoveEnd } from '../../../store/open.ts'
import type { Context, Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'

/** A store as one end of a move, and what has to be closed after it. */
interface Opened extends MovePlace {
  readonly workspace: FileWorkspace
}

async function openPlace(context: Context, store?: string): Promise<Opened> {
  return placeOf(await openWorkspace(context, { anyStore: true, ...(store === undefined ? {} : { flags: { store } }) }))
}

const placeOf = async (workspace: FileWorkspace): Promise<Opened> => ({
  name: workspace.config.get('store'),
  end: await openMoveEnd(workspace.store),
  workspace,
})

/**
 * The store that the leases are in. A setting may name another already: it was edited by hand, or the move to it was stopped before its last
 * step. What a store says of a move counts first, then what the one beside the repository knows.
 */
async function sourceOf(context: Context, named: Opened): Promise<Opened> {
  const standing = await named.end.standing().catch(() => null)
  if (standing?.kind === 'leaving') return named
  if (standing?.kind === 'arriving') return openPlace(context, standing.from)
  const where = (await homeOf(named.workspace)).whereabouts()
  // As any other command opens it: it has to be the noted one.
  if (where.kind === 'there') return placeOf(await openWorkspace(context, { flags: { store: where.to } }))
  return where.kind === 'open' || named.name === 'file:' ? named : openPlace(context, 'file:')
}

const homeOf = (workspace: FileWorkspace) => openHome(workspace.beside())

/** `lh store move` */
export const storeMove: Run = async context => {
  const [to, back, join] = [textOption(context, 'to'), switchOption(context, 'back'), switchOption(context, 'join')]
  if ((to === undefined) === !back) throw usage('say where the leases go: lh store move --to <store>', 'or give up: lh store move --back')
  if (back && join) throw usage('--join goes with --to')
  const named = await openPlace(context)
  const { repository, config } = named.workspace
  const source = await sourceOf(context, named)
  if (to === undefined) {
    const { document, lines, exit } = await giveUpMove(source)
    context.output.answer(document, lines)
    return exit
  }
  const origin = config.origin('store')
  if (origin !== 'default' && origin !== 'repository file')
    throw usage(`the store is said by the ${origin} here, so the repository's file would not count`, 'take that away, then move')
  const target = await openPlace(context, settings.store.parse(to, '--to'))
  const home = await homeOf(target.workspace)
  try {
    const { document, lines, exit } = await moveStore({
      source,
      target,
      join,
      unused: source.name === 'file:' && home.whereabouts().kind === 'open',
      switchTo: async store => {
        const [seen, standing] = [home.whereabouts(), await target.end.standing()]
        if (seen.kind !== 'here' && store !== 'file:') await home.settle(store, standing.kind === 'nothing' ? null : standing.space, seen)
        return setConfig(repository, 'store', store, { user: false, env: context.env }).file
      },
    })
    context.output.answer(document, lines)
    return exit
  } finally {
    for (const { workspace } of [named, source, target]) workspace.store.close()
  }
}
