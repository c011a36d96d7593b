import { usage } from '../../../core/fault.ts'
import { setConfig } from '../../../service/config/edit.ts'
import { settings } from '../../../service/config/schema.ts'
import type { MovePlace } from '../../../service/maintenance/store-move.ts'
import { giveUpMove, moveStore } from '../../../service/maintenance/store-move.ts'
import { openMoveEnd } from '../../../store/open.ts'
import type { Run } from '../command.ts'
import { switchOption, textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'

const placeOf = async (workspace: FileWorkspace): Promise<MovePlace> => ({
  name: workspace.config.get('store'),
  end: await openMoveEnd(workspace.store),
})

/** `lh store move` */
export const storeMove: Run = async context => {
  const [to, back] = [textOption(context, 'to'), switchOption(context, 'back')]
  if ((to === undefined) === !back) throw usage('say where the leases go: lh store move --to <store>', 'or give up: lh store move --back')
  const workspace = await openWorkspace(context)
  const source = await placeOf(workspace)
  if (to === undefined) {
    const { document, lines, exit } = await giveUpMove(source)
    context.output.answer(document, lines)
    return exit
  }
  const origin = workspace.config.origin('store')
  if (origin !== 'default' && origin !== 'repository file')
    throw usage(`the store is said by the ${origin} here, so the repository's file would not count`, 'take that away, then move')
  const name = settings.store.parse(to, '--to')
  const target = await openWorkspace(context, { flags: { store: name } })
  try {
    const { document, lines, exit } = await moveStore({
      source,
      target: { name, end: await openMoveEnd(target.store) },
      switchTo: store => setConfig(workspace.repository, 'store', store, { user: false, env: context.env }).file,
    })
    context.output.answer(document, lines)
    return exit
  } finally {
    for (const { store } of [workspace, target]) store.close()
  }
}
