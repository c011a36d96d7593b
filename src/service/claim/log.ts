import type { Command } from '../../core/command.ts'
import { decide } from '../../core/decide.ts'
import type { Entry } from '../../core/operation.ts'
import type { Policy } from '../../core/policy.ts'
import type { Commit, HistoryQuery, Store } from '../../store/store.ts'

/** Appends what a command leads to, through all checks of the rules: there is no way to write a record past them. Durable when it resolves. */
export const appendClaimOp = (store: Store, command: Command, policy: Policy): Promise<Commit> =>
  store.transact(view => decide(command, view, policy))

/** Reads the log, oldest record first; damaged lines and records of a newer version are passed over (`lh verify` names them). */
export async function readClaimLog(store: Store, query: HistoryQuery = {}): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  for await (const entry of store.history(query)) entries.push(entry)
  return entries
}
