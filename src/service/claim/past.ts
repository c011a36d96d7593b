import type { Wire } from '../../core/wire.ts'
import { entryToWire } from '../../core/wire.ts'
import type { HistoryQuery, Store } from '../../store/store.ts'
import type { Workspace } from './workspace.ts'

/** What happened, oldest first. */
export async function historyDocument(store: Store, query: HistoryQuery): Promise<Wire> {
  const operations: Wire[] = []
  for await (const entry of store.history(query)) operations.push(entryToWire(entry))
  return { ok: true, operations, count: operations.length }
}

/** How long to sleep at most before looking again, milliseconds; a change wakes it. */
const followMs = 60_000

/** Hands over what happened and then what happens, until the process is ended. */
export async function followHistory(workspace: Workspace, query: HistoryQuery, tell: (operation: Wire) => void): Promise<never> {
  let afterSeq = 0
  for (;;) {
    const { lastSeq } = await workspace.coordinator.view()
    for await (const entry of workspace.store.history({ ...query, afterSeq })) {
      if (entry.seq <= lastSeq) tell(entryToWire(entry))
    }
    afterSeq = Math.max(afterSeq, lastSeq)
    await workspace.store.changed(afterSeq, followMs)
  }
}
