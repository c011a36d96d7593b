import type { Wire } from '../../core/wire.ts'
import { witnessToWire } from '../../core/wire.ts'
import type { Identity, Nobody, Workspace } from './workspace.ts'

/** Who the caller is, with the origin of each part. */
export function whoamiDocument(workspace: Workspace, { holder, origins, warning }: Identity | Nobody): Wire {
  const { repository } = workspace
  return {
    ok: true,
    agent_id: holder.agentId,
    worktree_id: holder.worktreeId,
    session_id: holder.sessionId,
    witness: holder.witness === null ? null : witnessToWire(holder.witness),
    origins,
    repository: { root: repository.root, git_dir: repository.gitDir, common_dir: repository.commonDir, kind: repository.kind },
    store: workspace.store.location,
    ...(warning === null ? {} : { warnings: [warning] }),
  }
}
