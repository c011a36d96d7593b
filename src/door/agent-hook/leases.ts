import type { Witness } from '../../core/lease.ts'
import { Workspace } from '../../service/claim/workspace.ts'
import type { Repository } from '../../service/session-lock/workspaces.ts'
import { othersIn, releasePaths, renewLeases, takePaths } from '../../service/session-lock/leases.ts'
import type { Memo } from '../../service/session-lock/memo.ts'
import type { HeldEntry } from '../../service/identity/held.ts'
import { isFileStore, openStore } from '../../store/open.ts'

/** Who, and how long the store may keep us waiting. */
export interface Party {
  readonly agentId: string
  readonly session: string
  readonly witness: Witness | null
  readonly waitMs: number
}

/** One workspace's leases, as far as a hook has to do with them. Loaded only when there are any. */
export async function openLeases(repository: Repository, env: NodeJS.ProcessEnv, party: Party) {
  const workspace = await Workspace.open({
    directory: repository.root ?? repository.gitDir,
    env: plain(env),
    open: openStore,
    flags: { lock_wait: `${Math.max(0, Math.floor(party.waitMs))}ms` },
  })
  const { store } = workspace
  const log = isFileStore(store) ? store.layout.log : null
  return {
    renew: (entries: readonly HeldEntry[], memo: Memo, stretchMs: number | null, restore: boolean) =>
      renewLeases(workspace, { entries, memo, stretchMs, restore, log, ...party }),
    take: (files: readonly string[], ttlMs: number) => takePaths(workspace, files, ttlMs, party),
    release: (memo: Memo) => releasePaths(workspace, memo.paths, party),
    othersIn: (isMeant: (file: string) => boolean) => othersIn(workspace, isMeant, party),
  }
}

/** Without what would lead to another repository. */
function plain(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { GIT_DIR: _dir, GIT_WORK_TREE: _tree, GIT_COMMON_DIR: _common, GIT_INDEX_FILE: _index, ...rest } = env
  return rest
}
