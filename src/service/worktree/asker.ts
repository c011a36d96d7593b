import type { Caller } from '../../coordinator.ts'
import type { ProofFlags } from '../claim/proof.ts'
import type { Workspace } from '../claim/workspace.ts'

/** Who asks, and what they show. */
export interface Asker {
  readonly workspace: Workspace
  readonly caller: Caller
  readonly flags: ProofFlags
  readonly env: NodeJS.ProcessEnv
}
