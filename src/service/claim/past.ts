import type { Wire } from '../../core/wire.ts'
import { entryToWire } from '../../core/wire.ts'
import type { HistoryQuery, Store } from '../../store/store.ts'
import { refuseGone } from './gone.ts'
import type { Workspace } from './workspace.ts'

/** What happened, oldest first. */
export async function historyDocument(store: Store, query: HistoryQuery): Promise<Wire> {
  const operations: Wire[] = []
  const gaps = new Gaps()
  for await (const entry of store.history({ ...query, unreadable: gaps.note })) operations.push(entryToWire(entry))
  return { ok: true, operations, count: operations.length, warnings: gaps.warnings }
}

/** More places than this are counted and not named. */
const maxNamed = 5

/** Places of the log that could not be read: what was there is missing in the answer, and whoever asked has to know. */
export class Gaps {
  readonly #places: string[] = []

  readonly note = (where: string): void => void this.#places.push(where)

  get warnings(): readonly string[] {
    const more = this.#places.length - maxNamed
    const named = this.#places.slice(0, maxNamed).map(where => `left out, see lh verify: ${where}`)
    return more > 0 ? [...named, `and ${more} more places`] : named
  }
}

/** How long to sleep at most before looking again, milliseconds; a change wakes it. */
const followMs = 60_000

/** Hands over what happened and then what happens, until `tell` says that nobody listens any more. */
export async function followHistory(workspace: Workspace, query: HistoryQuery, tell: (operation: Wire) => boolean): Promise<void> {
  for (let afterSeq = 0; ;) {
    const { lastSeq } = await workspace.coordinator.view()
    refuseGone(workspace.store.location, lastSeq, afterSeq)
    for await (const entry of workspace.store.history({ ...query, afterSeq })) {
      if (entry.seq <= lastSeq && !tell(entryToWire(entry))) return
    }
    afterSeq = Math.max(afterSeq, lastSeq)
    await workspace.store.changed(afterSeq, followMs)
  }
}
